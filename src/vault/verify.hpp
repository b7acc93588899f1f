// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "vault/core.hpp"

/// Verification that trusts nothing: the log recomputed from its first entry, and what it says of every record.
namespace casevault::vault {

/// The write payloads of applied entries, in order: ranges of imports, then single rows over them.
class WriteHistory {
 public:
  /// False when a range names a row that was written before: an import only makes rows, so singles stand over ranges.
  [[nodiscard]] bool apply(const WritePayload& write);
  /// What is wrong with this head, or nothing: it must be what the newest entry about its row wrote.
  [[nodiscard]] std::string judge(std::uint64_t row, const model::Head& head) const;
  [[nodiscard]] std::uint64_t rows() const;  ///< how many rows the log has written
  /// Visits rows while `visit` returns true.
  void each_row(const std::function<bool(std::uint64_t row)>& visit) const;

 private:
  struct Expected {
    std::uint32_t version = 0;
    std::array<std::uint8_t, 16> stamp{};
  };
  [[nodiscard]] std::optional<Expected> expected(std::uint64_t row) const;
  [[nodiscard]] const WritePayload* range_of(std::uint64_t row) const;
  std::map<std::uint64_t, WritePayload> ranges_;  ///< imports by first row; rows are never given twice
  std::map<std::uint64_t, Expected> singles_;
};

/// What is wrong with a row that the log wrote and no reader sees, or nothing.
[[nodiscard]] Result<std::string> judge_absent(const Snapshot& snapshot, std::uint64_t row);

/// The outcome of recomputing the log, and the database snapshot that it was held against.
struct LogCheck {
  Snapshot snapshot;
  std::uint64_t size = 0;  ///< entries verified
  audit::Digest root{};
  std::optional<std::uint64_t> entry;      ///< first bad entry
  std::string reason;                      ///< what is wrong with it; empty when all is well
  WriteHistory history;                    ///< whole only when all is well
  std::vector<std::uint64_t> clock_steps;  ///< entries dated before their predecessor
  bool details_unchecked = false;          ///< this principal does not hold the audit compartment
  std::optional<std::uint64_t> pending;    ///< a mutation whose transaction has not committed
  bool torn = false;                       ///< a batch that was never acknowledged stands at the end
};

/// Tree, commitments, signatures, authority chain, anchors known at open and `anchor` (a signed checkpoint, or empty).
[[nodiscard]] Result<LogCheck> check_log(Core& core, std::string_view anchor, const ProgressCallback& progress);
/// The same, and every head of the database against the write entries.
[[nodiscard]] Result<VerifyReport> verify_log(Core& core, std::string_view anchor, const ProgressCallback& progress);

}  // namespace casevault::vault
