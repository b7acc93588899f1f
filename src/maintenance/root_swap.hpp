// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "vault/unit_of_work.hpp"

namespace casevault::maintenance {

/// Erases one slot of the key tree for good, within a unit of work: a new erasure root takes effect with its commit.
class RootSwap {
 public:
  /// Takes the lock of erasure.root: before the database's write lock, always. kBusy.
  [[nodiscard]] static Result<RootSwap> begin(vault::Core& core);
  /// `work` was begun after `begin`, and commits after this.
  [[nodiscard]] Result<void> erase(vault::UnitOfWork& work, keys::TreeKind kind, std::uint64_t slot);
  /// After the commit: overwrites the old root. An error means that the next session that may write has to do it.
  [[nodiscard]] Result<void> finish();

 private:
  RootSwap(vault::Core& core, keys::ErasureRoot root) noexcept : core_(&core), root_(std::move(root)) {}
  vault::Core* core_;
  keys::ErasureRoot root_;
  keys::LiveRoot live_;
};

}  // namespace casevault::maintenance
