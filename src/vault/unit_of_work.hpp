// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "vault/core.hpp"

namespace casevault::vault {

/// A mutation: the database's write lock, then the entry in the log, then the commit that names the entry. Rolls back
/// unless committed. An entry whose commit failed is marked `not applied` by whoever writes next.
class UnitOfWork {
 public:
  [[nodiscard]] static Result<UnitOfWork> begin(Core& core);

  [[nodiscard]] store::WriteTxn& txn() noexcept { return *txn_; }
  [[nodiscard]] DbState& db() noexcept { return db_; }
  [[nodiscard]] const Authority& authority() const noexcept { return *authority_; }
  [[nodiscard]] Core& core() noexcept { return *core_; }
  /// Postings that go in with the commit.
  [[nodiscard]] model::IndexWriter& index() noexcept { return index_; }

  /// Entry, then commit. Success: both are durable. kUnknownOutcome: settled at the next open.
  [[nodiscard]] Result<EntryPlace> commit(EntryDraft entry);
  /// Commit without an entry: rows that nothing can see yet (a staged import) or any more, and cells sealed anew.
  [[nodiscard]] Result<void> commit_unseen();

 private:
  explicit UnitOfWork(Core& core) noexcept : core_(&core) {}
  [[nodiscard]] Result<void> finish_index();
  Core* core_;
  std::unique_ptr<store::WriteTxn> txn_;
  DbState db_;
  std::shared_ptr<const Authority> authority_;
  model::IndexWriter index_;
};

}  // namespace casevault::vault
