// SPDX-License-Identifier: Apache-2.0
#include "vault/unit_of_work.hpp"

#include <algorithm>

namespace casevault::vault {

Result<UnitOfWork> UnitOfWork::begin(Core& core) {
  if (core.read_only()) return Error{ErrorCode::kUsage, "the vault is open read-only"};
  UnitOfWork work(core);
  CASEVAULT_TRY(work.txn_, core.store().begin_write());
  CASEVAULT_CHECK(core.settle_pending(*work.txn_));
  CASEVAULT_TRY(work.db_, core.load_state(*work.txn_));
  CASEVAULT_TRY(work.authority_, core.authority_for(work.db_));
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
  Result<void> done = write_state(core_->state_seal(), *txn_, db_, core_->random());
  if (done) done = txn_->commit();
  if (done) {
    core_->journal().database_at(db_.applied);
    core_->index().counts().keep(index_.counts());
    return place;
  }
  if (done.error().code != ErrorCode::kUnknownOutcome) {
    txn_.reset();  // the lock, so that the entry can be settled at once; failing that, the next writer does it
    (void)core_->settle_pending();
  }
  return std::move(done).error();
}

Result<void> UnitOfWork::commit_unseen() {
  CASEVAULT_CHECK(finish_index());
  CASEVAULT_CHECK(write_state(core_->state_seal(), *txn_, db_, core_->random()));
  CASEVAULT_CHECK(txn_->commit());
  core_->index().counts().keep(index_.counts());
  return {};
}

}  // namespace casevault::vault
