// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "vault/unit_of_work.hpp"

/// The keys that hang on the vault as a whole: the vault key with the log key, and the erasure root.
namespace casevault::vault {

/// One change of the erasure root, around the unit of work that commits it: lock, begin, prepare, stage, commit,
/// settle.
class RootChange {
 public:
  /// Takes the lock of erasure.root, before the database's write lock, always; waits while another process holds it.
  [[nodiscard]] static Result<RootChange> begin(Core& core);
  /// Settles what an interrupted change left in the file, and makes the next root.
  [[nodiscard]] Result<void> prepare(UnitOfWork& work);
  [[nodiscard]] const SecretBytes& next() const noexcept { return next_; }
  /// Writes the next root beside the live one, under a vault key epoch, and names it in the work's state.
  [[nodiscard]] Result<void> stage(UnitOfWork& work, std::uint32_t vault_key_epoch);
  /// The three steps before the commit of a work that erases one slot of the key tree for good.
  [[nodiscard]] Result<void> erase(UnitOfWork& work, keys::TreeKind kind, std::uint64_t slot);
  /// After the commit: overwrites the old root. What fails here is done by the next session that may write.
  [[nodiscard]] Result<void> settle();

 private:
  RootChange(Core& core, keys::ErasureRoot lock) noexcept : core_(&core), lock_(std::move(lock)) {}
  Core* core_;
  keys::ErasureRoot lock_;
  SecretBytes next_;
  keys::LiveRoot live_;
  std::uint32_t vault_key_epoch_ = 0;
};

/// Begins the next vault key epoch, with a new log key, in one entry with `ops`: the new key goes to every principal
/// who is not out after them. It holds at once in every open session; `move_database` follows.
struct BegunVaultKey {
  std::uint64_t entry = 0;
  std::string log_key;  ///< verifier key string of the new log key
};
[[nodiscard]] Result<BegunVaultKey> begin_vault_key(UnitOfWork& work, audit::Action action, std::string text,
                                                    std::vector<AuthorityOp> ops);
/// Brings the database and erasure.root under the newest vault key, under a new root, with new keys where new rows go.
/// Nothing to do when they are.
[[nodiscard]] Result<void> move_database(Core& core);
/// The same after `entry` began the key: kErasePending, naming the entry, when it fails; the next writer does it.
[[nodiscard]] Result<void> move_database_after(Core& core, std::uint64_t entry);

/// A new vault key, log key and erasure root. kRefused (logged) for roles that do not administer.
[[nodiscard]] Result<std::uint64_t> rotate_vault_key(Core& core);

}  // namespace casevault::vault
