// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <casevault/audit.hpp>

#include "keys/grants.hpp"
#include "store/store.hpp"

#include <filesystem>

namespace casevault::vault {

/// Remembers that a whole pre-flight of data.mdb found it clean, beside the anchors, under a MAC of the vault key: a
/// file whose device, inode, size, change time and transaction number are still the same needs only its metas checked.
class PreflightMemo {
 public:
  PreflightMemo(const std::filesystem::path& state_folder, const audit::Digest& vault_id,
                const std::filesystem::path& vault_folder);
  /// Checks data.mdb: in full, or the metas when the memo says nothing changed since a full check.
  /// `alone`: no other process can be writing now; only then a full check means anything and is remembered.
  /// `believe` false: checks in full although the memo knows the file.
  [[nodiscard]] Result<void> check(const SecretBytes& vault_key, bool alone, bool believe, std::int64_t now_ms) const;

 private:
  std::filesystem::path file_;  ///< empty: nothing is remembered
  std::filesystem::path vault_folder_;
};

}  // namespace casevault::vault
