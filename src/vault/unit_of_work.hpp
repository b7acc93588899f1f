// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "vault/core.hpp"

namespace casevault::vault {

/// A mutation: the database's write lock, then the entry in the log, then the commit that names the entry. Rolls back
/// unless committed. An entry whose commit failed is marked `not applied` by whoever writes next.
class UnitOfWork {
 public:
  /// The database is under the newest vault key then: one that an interrupted revocation left behind is brought there
  /// first.
  [[nodiscard]] static Result<UnitOfWork> begin(Core& core);
  /// The same with the database as it is: for who holds the lock of erasure.root.
  [[nodiscard]] static Result<UnitOfWork> begin_as_is(Core& core);
  /// The database is still under an older vault key.
  [[nodiscard]] bool behind() const noexcept {
    return authority_->state.database_key_epoch < authority_->state.vault_key_epoch;
  }
  /// When this began: the one time by which it judges.
  [[nodiscard]] std::int64_t now_ms() const noexcept { return now_ms_; }

  [[nodiscard]] store::WriteTxn& txn() noexcept { return *txn_; }
  [[nodiscard]] DbState& db() noexcept { return db_; }
  [[nodiscard]] const Authority& authority() const noexcept { return *authority_; }
  [[nodiscard]] Core& core() noexcept { return *core_; }
  /// Postings that go in with the commit.
  [[nodiscard]] model::IndexWriter& index() noexcept { return index_; }

  /// Entry, then commit. Success: both are durable. kUnknownOutcome: settled at the next open.
  [[nodiscard]] Result<EntryPlace> commit(EntryDraft entry);
  /// The same for an entry of authority: the chain is folded with it first, because what the fold refuses would close
  /// the vault.
  [[nodiscard]] Result<EntryPlace> commit_authority(audit::Action action, std::string text,
                                                    std::vector<AuthorityOp> ops,
                                                    std::vector<VaultKeyGrant> grants = {});
  /// The same for an entry that is drafted already.
  [[nodiscard]] Result<EntryPlace> commit_authority(EntryDraft entry, std::vector<AuthorityOp> ops);
  /// Appends an entry that begins a vault key epoch: no mutation, so nothing is committed. It is appended under the
  /// write lock, where no mutation waits for its commit.
  [[nodiscard]] Result<EntryPlace> append_vault_key(audit::Action action, std::string text,
                                                    std::vector<AuthorityOp> ops, SecretBytes vault_key,
                                                    std::vector<VaultKeyGrant> grants);
  /// Commit without an entry: rows that nothing can see yet (a staged import) or any more, and cells sealed anew.
  [[nodiscard]] Result<void> commit_unseen();
  /// Logs that the actor may not do this, and gives the error to return.
  [[nodiscard]] Error deny(audit::Action action, Error error);

 private:
  explicit UnitOfWork(Core& core) noexcept : core_(&core), index_(core.word_counts()) {}
  [[nodiscard]] Result<void> write();
  [[nodiscard]] Result<EntryDraft> draft_authority(audit::Action action, std::string text, std::vector<AuthorityOp> ops,
                                                   std::vector<VaultKeyGrant> grants);
  /// Puts the ops into the entry, after the chain was folded with them.
  [[nodiscard]] Result<void> rehearse(EntryDraft& entry, std::vector<AuthorityOp> ops);
  [[nodiscard]] Result<void> finish_index();
  Core* core_;
  std::unique_ptr<store::WriteTxn> txn_;
  DbState db_;
  std::shared_ptr<const Authority> authority_;
  std::int64_t now_ms_ = 0;
  model::IndexWriter index_;
};

}  // namespace casevault::vault
