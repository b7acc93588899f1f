// SPDX-License-Identifier: Apache-2.0
#include "vault/vault_key.hpp"

#include <algorithm>

namespace casevault::vault {

Result<RootChange> RootChange::begin(Core& core) {
  CASEVAULT_TRY(keys::ErasureRoot lock, keys::ErasureRoot::lock(core.root_file()));
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

Result<void> RootChange::settle() {
  CASEVAULT_TRY(const keys::RootContext context, core_->root_context(vault_key_epoch_));
  CASEVAULT_CHECK(lock_.settle(context, live_, core_->random()));
  return {};
}

Result<EntryPlace> begin_vault_key(UnitOfWork& work, audit::Action action, std::string text,
                                   std::vector<AuthorityOp> ops) {
  Core& core = work.core();
  const AuthorityState& state = work.authority().state;
  const std::uint32_t epoch = state.vault_key_epoch + 1;
  SecretBytes key = crypto::random_key(core.random());
  std::vector<AuthorityOp> all;
  all.emplace_back(OpVaultKey{epoch, keys::vault_key_commitment(core.tag(), epoch, key), core.vault_key().clone()});
  all.emplace_back(OpLogKey{crypto::random_key(core.random())});
  std::set<PrincipalNumber> out;
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
  return work.append_vault_key(action, std::move(text), std::move(all), std::move(key), std::move(grants));
}

Result<void> move_database(Core& core) {
  if (core.read_only()) return {};
  const auto behind = [](const AuthorityState& state) { return state.database_key_epoch < state.vault_key_epoch; };
  {
    CASEVAULT_TRY(const Snapshot snapshot, core.snapshot());
    if (!behind(snapshot.authority->state)) return {};
  }
  auto root = RootChange::begin(core);
  if (!root) return root.error().code == ErrorCode::kBusy ? Result<void>() : std::move(root).error();
  CASEVAULT_TRY(UnitOfWork work, UnitOfWork::begin(core));
  const AuthorityState& state = work.authority().state;
  if (!behind(state)) return {};
  CASEVAULT_CHECK(root->prepare(work));
  DbState& db = work.db();
  db.next_row = (db.next_row + keys::kFanout - 1) / keys::kFanout * keys::kFanout;
  const keys::KeyTree tree(core.tag(), core.random());
  CASEVAULT_CHECK(tree.swap_root(work.txn(), *db.root_key, root->next(), db.next_row / keys::kFanout));
  CASEVAULT_CHECK(root->stage(work, state.vault_key_epoch));
  std::vector<AuthorityOp> ops;
  ops.emplace_back(OpDatabaseKey{state.vault_key_epoch});
  const std::string text = "the database is under vault key epoch " + std::to_string(state.vault_key_epoch);
  CASEVAULT_CHECK(work.commit_authority(audit::Action::kKeyVault, text, std::move(ops)));
  return root->settle();
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
    CASEVAULT_TRY(const EntryPlace place, begin_vault_key(work, audit::Action::kKeyVault, text, {}));
    entry = place.entry;
  }
  CASEVAULT_CHECK(move_database(core));
  return entry;
}

}  // namespace casevault::vault
