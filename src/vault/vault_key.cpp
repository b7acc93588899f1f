// SPDX-License-Identifier: Apache-2.0
#include "vault/vault_key.hpp"

#include "audit/note.hpp"
#include "vault/row_key.hpp"

#include <algorithm>

namespace casevault::vault {

Result<RootChange> RootChange::begin(Core& core) {
  CASEVAULT_TRY(keys::ErasureRoot lock, keys::ErasureRoot::lock(core.root_file(), keys::ErasureRoot::Wait::kYes));
  return RootChange(core, std::move(lock));
}

Result<void> RootChange::prepare(UnitOfWork& work) {
  CASEVAULT_TRY(const keys::RootContext context, core_->root_context(work.db().vault_key_epoch));
  CASEVAULT_CHECK(lock_.settle(context, work.db().root, core_->random()));
  next_ = crypto::random_key(core_->random());
  return {};
}

Result<void> RootChange::stage(UnitOfWork& work, std::uint32_t vault_key_epoch) {
  DbState& db = work.db();
  live_ = {db.root.epoch + 1, keys::commit_root(core_->tag(), db.root.epoch + 1, next_)};
  vault_key_epoch_ = vault_key_epoch;
  CASEVAULT_TRY(const keys::RootContext context, core_->root_context(vault_key_epoch));
  CASEVAULT_CHECK(lock_.stage(context, live_.epoch, next_, core_->random()));
  db.root = live_;
  db.root_key.reset();
  db.vault_key_epoch = vault_key_epoch;
  db.tree_generation += 1;
  return {};
}

Result<void> RootChange::erase(UnitOfWork& work, keys::TreeKind kind, std::uint64_t slot) {
  CASEVAULT_CHECK(prepare(work));
  const keys::KeyTree tree(core_->tag(), core_->random());
  CASEVAULT_CHECK(tree.erase_slot(work.txn(), *work.db().root_key, next_, kind, slot));
  return stage(work, work.db().vault_key_epoch);
}

Result<void> RootChange::settle() {
  CASEVAULT_TRY(const keys::RootContext context, core_->root_context(vault_key_epoch_));
  CASEVAULT_CHECK(lock_.settle(context, live_, core_->random()));
  return {};
}

Result<BegunVaultKey> begin_vault_key(UnitOfWork& work, audit::Action action, std::string text,
                                      std::vector<AuthorityOp> ops) {
  Core& core = work.core();
  const AuthorityState& state = work.authority().state;
  const std::uint32_t epoch = state.vault_key_epoch + 1;
  SecretBytes key = crypto::random_key(core.random());
  std::vector<AuthorityOp> all;
  all.emplace_back(OpVaultKey{epoch, keys::vault_key_commitment(core.tag(), epoch, key), core.vault_key().clone()});
  SecretBytes seed = crypto::random_key(core.random());
  std::string log_key = audit::verifier_string(log_origin(core.tag()), crypto::ed25519_public(crypto::key_of(seed)));
  all.emplace_back(OpLogKey{std::move(seed)});
  std::map<PrincipalNumber, crypto::PublicKey> present;
  for (const auto& [number, principal] : state.principals) {
    if (!principal.revoked) present.emplace(number, principal.who.x_public);
  }
  for (AuthorityOp& op : ops) {
    if (const auto* revoke = std::get_if<OpRevoke>(&op)) present.erase(revoke->principal);
    if (const auto* rekey = std::get_if<OpRekey>(&op)) {
      CASEVAULT_TRY(const keys::Principal who, keys::parse_principal(rekey->public_string));
      present[work.authority().self] = who.x_public;
    }
    all.push_back(std::move(op));
  }
  std::vector<VaultKeyGrant> grants;
  for (const auto& [number, x_public] : present) {
    CASEVAULT_TRY(Bytes box, keys::seal_vault_key(core.tag(), epoch, x_public, key, core.random()));
    grants.emplace_back(keys::vault_key_label(core.tag(), epoch, x_public), std::move(box));
  }
  CASEVAULT_TRY(const EntryPlace place,
                work.append_vault_key(action, std::move(text), std::move(all), std::move(key), std::move(grants)));
  return BegunVaultKey{place.entry, std::move(log_key)};
}

Result<void> move_database(Core& core) {
  if (core.read_only()) return {};
  {
    CASEVAULT_TRY(const Snapshot snapshot, core.snapshot());
    const AuthorityState& state = snapshot.authority->state;
    if (state.database_key_epoch == state.vault_key_epoch) return {};
  }
  CASEVAULT_TRY(RootChange root, RootChange::begin(core));
  CASEVAULT_TRY(UnitOfWork work, UnitOfWork::begin_as_is(core));
  if (!work.behind()) return {};  // another process was faster
  CASEVAULT_CHECK(root.prepare(work));
  DbState& db = work.db();
  db.next_row = next_leaf_row(db.next_row);
  // Rows go where the next one goes, and into the ranges of imports that are at work.
  std::vector<keys::LeafRange> growing = {{db.next_row / keys::kFanout, db.next_row / keys::kFanout + 1}};
  for (const StagedRange& range : db.staged) {
    growing.push_back({range.first_row / keys::kFanout, next_leaf_row(range.end_row) / keys::kFanout});
  }
  const keys::KeyTree tree(core.tag(), core.random());
  CASEVAULT_CHECK(tree.swap_root(work.txn(), *db.root_key, root.next(), growing));
  const std::uint32_t epoch = work.authority().state.vault_key_epoch;
  CASEVAULT_CHECK(root.stage(work, epoch));
  std::vector<AuthorityOp> ops;
  ops.emplace_back(OpDatabaseKey{epoch});
  CASEVAULT_CHECK(work.commit_authority(
      audit::Action::kKeyVault, "the database is under vault key epoch " + std::to_string(epoch), std::move(ops)));
  return root.settle();
}

Result<void> move_database_after(Core& core, std::uint64_t entry) {
  const auto moved = move_database(core);
  if (moved) return {};
  return Error{ErrorCode::kErasePending, "it holds since entry " + std::to_string(entry) +
                                             ", but the database is not under the new vault key yet (" +
                                             moved.error().message + "); the next session that writes does it"};
}

Result<std::uint64_t> rotate_vault_key(Core& core) {
  std::uint64_t entry = 0;
  {
    CASEVAULT_TRY(UnitOfWork work, UnitOfWork::begin(core));
    const std::string& role = work.authority().me().role;
    if (!policy::may_administer(role)) {
      return work.deny(audit::Action::kKeyVault,
                       {ErrorCode::kRefused, "role " + role + " may not change the vault key"});
    }
    const std::string text =
        "vault key epoch " + std::to_string(work.authority().state.vault_key_epoch + 1) + " and a new log key";
    CASEVAULT_TRY(const BegunVaultKey begun, begin_vault_key(work, audit::Action::kKeyVault, text, {}));
    entry = begun.entry;
  }
  CASEVAULT_CHECK(move_database_after(core, entry));
  return entry;
}

}  // namespace casevault::vault
