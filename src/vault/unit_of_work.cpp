// SPDX-License-Identifier: Apache-2.0
#include "vault/unit_of_work.hpp"

#include "vault/vault_key.hpp"

#include <algorithm>

namespace casevault::vault {

Result<UnitOfWork> UnitOfWork::begin(Core& core) {
  for (;;) {
    {
      CASEVAULT_TRY(UnitOfWork work, begin_as_is(core));
      if (!work.behind()) return work;
    }
    CASEVAULT_CHECK(move_database(core));
  }
}

Result<UnitOfWork> UnitOfWork::begin_as_is(Core& core) {
  if (core.read_only()) return Error{ErrorCode::kUsage, "the vault is open read-only"};
  UnitOfWork work(core);
  CASEVAULT_TRY(work.txn_, core.store().begin_write());
  CASEVAULT_CHECK(core.settle_pending(*work.txn_));
  CASEVAULT_TRY(work.db_, core.load_state(*work.txn_));
  CASEVAULT_TRY(work.authority_, core.authority_for(work.db_));
  work.now_ms_ = core.environment().clock->now_ms();
  return work;
}

Result<void> UnitOfWork::finish_index() {
  CASEVAULT_CHECK(index_.flush(*txn_));
  for (const auto& [slot, rows] : index_.added()) {
    const auto generation = std::ranges::find(db_.index->generations, slot, &IndexGeneration::slot);
    if (generation != db_.index->generations.end()) generation->postings += rows;
  }
  return {};
}

Result<EntryPlace> UnitOfWork::commit(EntryDraft entry) {
  CASEVAULT_CHECK(finish_index());
  entry.mutation = true;
  CASEVAULT_TRY(const EntryPlace place, core_->append(std::move(entry)));
  db_.applied = place.entry + 1;
  auto done = write();
  if (done) done = txn_->commit();
  if (done) {
    core_->journal().database_at(db_.applied);
    core_->word_counts().keep(index_.counts());
    return place;
  }
  if (done.error().code != ErrorCode::kUnknownOutcome) {
    txn_.reset();  // the lock, so that the entry can be settled at once; failing that, the next writer does it
    (void)core_->settle_pending();
  }
  return std::move(done).error();
}

Result<EntryDraft> UnitOfWork::draft_authority(audit::Action action, std::string text, std::vector<AuthorityOp> ops,
                                               std::vector<VaultKeyGrant> grants) {
  DetailsDraft details;
  details.text = std::move(text);
  CASEVAULT_TRY(EntryDraft entry, core_->draft(*authority_, action, audit::Outcome::kOk, std::move(details)));
  CASEVAULT_CHECK(rehearse(entry, std::move(ops)));
  entry.vault_key_grants = std::move(grants);
  return entry;
}

Result<void> UnitOfWork::rehearse(EntryDraft& entry, std::vector<AuthorityOp> ops) {
  CASEVAULT_TRY(std::vector<SealedLink> chain, core_->journal().authority_chain(core_->log()));
  AuthorityPayload payload{authority_->self, chain.back().at, std::move(ops)};
  SealedLink next{{core_->journal().state().tree.size(), {}, {}},
                  encode_authority(core_->tag(), payload, crypto::key_of(core_->ed_seed()), core_->random()),
                  now_ms_};
  entry.leaf.time_ms = now_ms_;
  entry.authority = std::move(payload.ops);
  const std::uint64_t applied = next.at.entry + 1;
  chain.push_back(std::move(next));
  auto folded = fold_authority(chain, applied);
  if (!folded) return Error{ErrorCode::kBadInput, "this cannot be written: " + folded.error().message};
  return {};
}

Result<EntryPlace> UnitOfWork::commit_authority(EntryDraft entry, std::vector<AuthorityOp> ops) {
  CASEVAULT_CHECK(rehearse(entry, std::move(ops)));
  return commit(std::move(entry));
}

Result<EntryPlace> UnitOfWork::commit_authority(audit::Action action, std::string text, std::vector<AuthorityOp> ops,
                                                std::vector<VaultKeyGrant> grants) {
  CASEVAULT_TRY(EntryDraft entry, draft_authority(action, std::move(text), std::move(ops), std::move(grants)));
  return commit(std::move(entry));
}

Result<EntryPlace> UnitOfWork::append_vault_key(audit::Action action, std::string text, std::vector<AuthorityOp> ops,
                                                SecretBytes vault_key, std::vector<VaultKeyGrant> grants) {
  CASEVAULT_TRY(EntryDraft entry, draft_authority(action, std::move(text), std::move(ops), std::move(grants)));
  entry.vault_key = std::move(vault_key);
  return core_->append(std::move(entry));
}

Result<void> UnitOfWork::write() {
  CASEVAULT_TRY(const StateSeal seal, core_->state_seal(db_.vault_key_epoch));
  return write_state(seal, *txn_, db_, core_->random());
}

Error UnitOfWork::deny(audit::Action action, Error error) {
  return core_->refuse(*authority_, action, audit::Outcome::kDenied, {}, {}, {}, std::move(error));
}

Result<void> UnitOfWork::commit_unseen() {
  CASEVAULT_CHECK(finish_index());
  CASEVAULT_CHECK(write());
  CASEVAULT_CHECK(txn_->commit());
  core_->word_counts().keep(index_.counts());
  return {};
}

}  // namespace casevault::vault
