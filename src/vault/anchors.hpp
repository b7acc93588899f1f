// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <casevault/audit.hpp>

#include "audit/note.hpp"

#include <filesystem>
#include <functional>

namespace casevault::vault {

/// The last checkpoint that this user of the machine has seen of a vault, outside the vault's folder: what makes a
/// rolled-back or shortened log visible. One file a vault, monotonic, replaced under a lock, not flushed.
class AnchorStore {
 public:
  AnchorStore() = default;
  /// An empty folder keeps and knows nothing.
  AnchorStore(std::filesystem::path folder, const audit::Digest& vault_id);
  /// The signed checkpoint, empty when there is none.
  [[nodiscard]] Result<std::string> load() const;
  /// Keeps `note` unless the anchor already there is as large. Failing is no error of the vault: false.
  /// `verify` judges the one already there: what is none of this vault's stays.
  using Verify = std::function<Result<audit::Checkpoint>(std::string_view note)>;
  bool keep(std::string_view note, std::uint64_t size, const Verify& verify) const noexcept;
  [[nodiscard]] const std::filesystem::path& file() const noexcept { return file_; }

 private:
  std::filesystem::path file_;
};

}  // namespace casevault::vault
