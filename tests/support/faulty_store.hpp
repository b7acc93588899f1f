// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <memory>
#include <utility>

#include "store/store.hpp"

namespace casevault::test {

/// What a FaultyStore fails next. Counts run down with each call of the kind named; 1 = the very next one, 0 = never.
/// Set it between transactions or from the thread that uses the store.
struct StoreFaults {
  std::atomic<int> write_in = 0;   ///< put, append and erase; a failed write spoils its transaction, as in LMDB
  std::atomic<int> commit_in = 0;  ///< kIo, kDiskFull: rolled back; kUnknownOutcome: the store refuses further use
  std::atomic<ErrorCode> code = ErrorCode::kIo;
  std::atomic<bool> applied = false;       ///< with kUnknownOutcome: whether the failing commit took effect after all
  std::atomic<bool> refuse_write = false;  ///< begin_write fails with `code`
  std::atomic<bool> refuse_read = false;   ///< begin_read fails with `code`
  std::atomic<int> commits = 0;            ///< counts commits that succeeded
};

/// Wraps any store and fails on request. Keeps the contract of store.hpp otherwise. `reopen()` plays closing and
/// opening again after an unknown outcome.
class FaultyStore final : public store::Store {
 public:
  explicit FaultyStore(std::unique_ptr<store::Store> inner) : inner_(std::move(inner)) {}

  [[nodiscard]] StoreFaults& faults() noexcept { return faults_; }
  [[nodiscard]] store::Store& inner() noexcept { return *inner_; }
  void reopen() noexcept { lost_ = false; }

  Result<std::unique_ptr<store::ReadTxn>> begin_read() override {
    CASEVAULT_CHECK(check_usable());
    if (faults_.refuse_read) return injected("begin_read");
    return inner_->begin_read();
  }
  Result<std::unique_ptr<store::WriteTxn>> begin_write() override {
    CASEVAULT_CHECK(check_usable());
    if (faults_.refuse_write) return injected("begin_write");
    CASEVAULT_TRY(auto txn, inner_->begin_write());
    return std::unique_ptr<store::WriteTxn>(std::make_unique<Txn>(*this, std::move(txn)));
  }
  Result<store::StoreInfo> info() override {
    CASEVAULT_CHECK(check_usable());
    return inner_->info();
  }

 private:
  class Txn final : public store::WriteTxn {
   public:
    Txn(FaultyStore& owner, std::unique_ptr<store::WriteTxn> inner) : owner_(owner), inner_(std::move(inner)) {}

    Result<std::optional<ByteView>> get(store::Table table, ByteView key) override { return inner_->get(table, key); }
    Result<std::optional<store::Item>> seek(store::Table table, ByteView from) override {
      return inner_->seek(table, from);
    }
    Result<void> scan(store::Table table, ByteView from,
                      const std::function<bool(const store::Item&)>& visit) override {
      return inner_->scan(table, from, visit);
    }
    Result<std::uint64_t> count(store::Table table) override { return inner_->count(table); }
    [[nodiscard]] std::uint64_t number() const override { return inner_->number(); }
    Result<void> put(store::Table table, ByteView key, ByteView value) override {
      CASEVAULT_CHECK(before_write());
      return inner_->put(table, key, value);
    }
    Result<void> append(store::Table table, ByteView key, ByteView value) override {
      CASEVAULT_CHECK(before_write());
      return inner_->append(table, key, value);
    }
    Result<bool> erase(store::Table table, ByteView key) override {
      CASEVAULT_CHECK(before_write());
      return inner_->erase(table, key);
    }
    Result<void> commit() override {
      if (spoiled_) return owner_.injected("commit after a failed write");
      if (due(owner_.faults_.commit_in)) return fail_commit();
      CASEVAULT_CHECK(inner_->commit());
      ++owner_.faults_.commits;
      return {};
    }

   private:
    Result<void> before_write() {
      spoiled_ = spoiled_ || due(owner_.faults_.write_in);
      if (spoiled_) return owner_.injected("write");
      return {};
    }
    Error fail_commit() {
      spoiled_ = true;
      if (owner_.faults_.code == ErrorCode::kUnknownOutcome) {
        owner_.lost_ = true;
        if (owner_.faults_.applied) {
          if (auto done = inner_->commit(); !done) return done.error();
        }
      }
      return owner_.injected("commit");
    }

    FaultyStore& owner_;
    std::unique_ptr<store::WriteTxn> inner_;
    bool spoiled_ = false;
  };

  static bool due(std::atomic<int>& countdown) { return countdown > 0 && --countdown == 0; }
  [[nodiscard]] Error injected(const char* where) const {
    return {faults_.code, std::string("faulty store: injected failure of ") + where};
  }
  [[nodiscard]] Result<void> check_usable() const {
    if (!lost_) return {};
    return Error{ErrorCode::kUnknownOutcome, "faulty store: an earlier commit failed while it was flushed; reopen it"};
  }

  std::unique_ptr<store::Store> inner_;
  StoreFaults faults_;
  std::atomic<bool> lost_ = false;
};

}  // namespace casevault::test
