// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "crypto/keypair.hpp"

#include <filesystem>

namespace casevault::keys {

/// Remembers, outside the identity file, the newest generation of its slot table that this user of the machine has
/// seen, under a MAC of the identity key: what makes a file told that was put back to before a slot was removed.
class SlotMemory {
 public:
  /// An empty folder remembers nothing.
  SlotMemory(const std::filesystem::path& state_folder, const crypto::PublicKey& ed_public);
  /// 0 when nothing is remembered. A memory that this identity key did not write counts as lost.
  [[nodiscard]] std::uint64_t newest(const SecretBytes& identity_key) const;
  /// At best effort: without it a rollback to before this generation is not told here.
  void remember(std::uint64_t generation, const SecretBytes& identity_key) const;
  [[nodiscard]] const std::filesystem::path& file() const noexcept { return file_; }

 private:
  std::filesystem::path file_;
  crypto::PublicKey ed_public_;
};

}  // namespace casevault::keys
