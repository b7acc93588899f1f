// SPDX-License-Identifier: Apache-2.0
#include "vault/import.hpp"

#include "crypto/hash.hpp"
#include "format/labels.hpp"
#include "vault/lookalike.hpp"
#include "vault/row_key.hpp"

#include <algorithm>
#include <numeric>
#include <utility>

namespace casevault::vault {
namespace {

constexpr std::uint64_t kBatchRows = 20 * keys::kFanout;
constexpr std::size_t kMaxProblems = 1000;
constexpr std::size_t kMaxWarnings = 100;
constexpr std::uint64_t kMostOpened = 5'000;  ///< records that are opened to compare people
constexpr std::uint64_t kProgressEvery = 256;

bool wants_to_stop(const ImportOptions& options, std::string_view stage, std::uint64_t done, std::uint64_t total) {
  return options.progress && done % kProgressEvery == 0 && !options.progress({stage, done, total});
}

Error cancelled() { return {ErrorCode::kCancelled, "the import was stopped; nothing was written"}; }

std::vector<FieldProblem> problems_of(RowChecker& checker, const ImportRow& row) {
  if (!row.problem.empty()) return {{{}, row.problem}};
  return checker.check(row.fields);
}

/// First pass: every row is checked before anything is written.
struct Survey {
  std::uint64_t good = 0;
  std::uint64_t bad = 0;
  std::vector<RowProblem> problems;
};

Result<Survey> survey(RowChecker& checker, RowSource& source, const ImportOptions& options) {
  Survey out;
  CASEVAULT_CHECK(source.rewind());
  ImportRow row;
  for (std::uint64_t seen = 0;; ++seen) {
    CASEVAULT_TRY(const bool more, source.next(row));
    if (!more) return out;
    if (wants_to_stop(options, "check", seen, 0)) return cancelled();
    const std::vector<FieldProblem> problems = problems_of(checker, row);
    problems.empty() ? ++out.good : ++out.bad;
    for (const FieldProblem& problem : problems) {
      if (out.problems.size() < kMaxProblems) out.problems.push_back({row.number, problem.column, problem.reason});
    }
  }
}

/// Second pass. Knows where it stands in the source and in the vault.
class Writer {
 public:
  Writer(Core& core, const Schema& schema, const RecordType& type, RowChecker& checker, RowSource& source,
         const ImportOptions& options, const Survey& expected)
      : core_(core),
        schema_(schema),
        type_(type),
        checker_(checker),
        source_(source),
        options_(options),
        expected_(expected) {
    core.random().fill(seed_);
    std::array<std::uint8_t, 7> id{};  // a longer number would now and then make every head of the import a step larger
    core.random().fill(id);
    id[0] |= 1U;  // 0 means "added singly"
    import_id_ = std::accumulate(id.begin(), id.end(), std::uint64_t{0},
                                 [](std::uint64_t v, std::uint8_t b) { return v << 8U | b; });
    now_ms_ = core.environment().clock->now_ms();
  }

  /// Writes good rows until `end` of them are done, or the source ends. `last`: no row of the vault comes after them.
  /// `own`: the range of a staged import.
  Result<void> write(UnitOfWork& work, RecordSealer& sealer, std::uint64_t first_row, std::uint64_t end, bool last,
                     const StagedRange* own = nullptr) {
    CASEVAULT_TRY(Indexer indexer, Indexer::make(work));
    if (done_ == 0) not_searched_ = indexer.not_searched(work, type_);
    if (!waiting_.empty()) {
      work.index().resume(std::exchange(waiting_, {}),
                          [&](std::uint32_t slot) { return work.db().index && work.db().index->has(slot); });
    }
    if (work.authority().schema().source() != schema_.source())
      return Error{ErrorCode::kConflict, "the schema changed during the import: nothing was written; import again"};
    ImportRow row;
    while (done_ < end) {
      CASEVAULT_TRY(const bool more, source_.next(row));
      if (!more) break;
      if (wants_to_stop(options_, "write", done_, expected_.good)) return cancelled();
      const std::vector<FieldProblem> problems = problems_of(checker_, row);
      if (!problems.empty()) {
        if (!options_.skip_bad_rows) return changed();
        ++rejected_;
        const FieldProblem& first = problems.front();
        if (options_.on_reject) CASEVAULT_CHECK(options_.on_reject(row, {row.number, first.column, first.reason}));
        continue;
      }
      const std::uint64_t number = first_row + done_;
      const RecordSealer::NewRow fresh{
          number, last, type_.id, now_ms_, work.authority().me().unit, import_id_, import_stamp(seed_, number)};
      const std::span<const EncodedField> encoded = checker_.encode(row.fields);
      CASEVAULT_CHECK(sealer.write(work, fresh, encoded, nullptr));
      CASEVAULT_CHECK(indexer.add(work, type_, number, encoded));
      ++done_;
    }
    // Nobody searches a staged import, so its postings may come later than its rows.
    CASEVAULT_CHECK(own == nullptr ? work.index().flush(work.txn()) : work.index().flush_part(work.txn(), turn_++));
    waiting_ = work.index().take_waiting();
    // When they are in the transaction: rows of one file may be about one person too.
    Lookalikes lookalikes(work, indexer, type_, own);
    for (const std::uint32_t suspect : work.index().take_shared()) {
      // One suspect may name several: their parts must fit into the entry.
      const bool full = named_.size() + lookalikes.named().size() + kMostNamed > kMaxSubjectParts;
      if (full || warnings_.size() >= kMaxWarnings || opened_ + lookalikes.opened() >= kMostOpened) {
        ++not_compared_;
        continue;
      }
      CASEVAULT_TRY(std::vector<std::string> found, lookalikes.of(suspect));
      for (std::string& warning : found) {
        // Words of one row that come by turns may tell of it twice.
        const bool told = std::ranges::find(warnings_, warning) != warnings_.end();
        if (!told && warnings_.size() < kMaxWarnings) warnings_.push_back(std::move(warning));
      }
    }
    opened_ += lookalikes.opened();
    const auto ours = [&](std::uint64_t other) { return other >= first_row && other - first_row < expected_.good; };
    for (SubjectDraft& each : lookalikes.named()) {
      const bool told = std::ranges::find(named_, each.row, &SubjectDraft::row) != named_.end();
      if (!ours(each.row) && !told) named_.push_back(std::move(each));
    }
    return {};
  }
  /// Reads on to the end (bad rows may follow the last good one) and compares with the first pass.
  Result<void> finish() {
    ImportRow row;
    for (;;) {
      CASEVAULT_TRY(const bool more, source_.next(row));
      if (!more) break;
      const std::vector<FieldProblem> problems = problems_of(checker_, row);
      if (problems.empty() || !options_.skip_bad_rows) return changed();
      ++rejected_;
      if (options_.on_reject)
        CASEVAULT_CHECK(options_.on_reject(row, {row.number, problems.front().column, problems.front().reason}));
    }
    if (done_ != expected_.good || rejected_ != expected_.bad) return changed();
    return {};
  }

  [[nodiscard]] WritePayload payload(std::uint64_t first_row) const {
    return {first_row, done_, 1, seed_, true, import_id_};
  }
  [[nodiscard]] std::uint64_t done() const noexcept { return done_; }
  /// Postings of a staged import are left that write() has to put.
  [[nodiscard]] bool waiting() const noexcept { return !waiting_.empty(); }
  [[nodiscard]] std::uint64_t rejected() const noexcept { return rejected_; }
  [[nodiscard]] std::vector<std::string>& warnings() noexcept { return warnings_; }
  [[nodiscard]] std::uint64_t not_compared() const noexcept { return not_compared_; }
  /// Why rows were not compared with what was there before.
  [[nodiscard]] std::vector<std::string>& not_searched() noexcept { return not_searched_; }
  /// Records outside the import that the warnings name.
  [[nodiscard]] std::vector<SubjectDraft>& named() noexcept { return named_; }

 private:
  static Error changed() {
    return {ErrorCode::kConflict, "the rows changed while they were imported: nothing was written; import again"};
  }

  Core& core_;
  const Schema& schema_;  ///< that `checker_` and the first pass went by
  const RecordType& type_;
  RowChecker& checker_;
  RowSource& source_;
  const ImportOptions& options_;
  const Survey& expected_;
  std::array<std::uint8_t, 16> seed_{};
  std::uint64_t import_id_ = 0;
  std::int64_t now_ms_ = 0;
  std::uint64_t done_ = 0;
  std::uint64_t rejected_ = 0;
  std::uint64_t opened_ = 0;  ///< records, to compare people
  model::IndexWriter::Waiting waiting_;
  std::size_t turn_ = 0;
  std::vector<std::string> warnings_;
  std::uint64_t not_compared_ = 0;
  std::vector<std::string> not_searched_;
  std::vector<SubjectDraft> named_;
};

/// All compartments that a field of the type lives in.
std::vector<std::uint16_t> compartments_of(const RecordType& type) {
  std::vector<std::uint16_t> out;
  for (const Field& field : type.fields) out.push_back(field.compartment);
  std::ranges::sort(out);
  out.erase(std::unique(out.begin(), out.end()), out.end());
  return out;
}

Result<EntryDraft> import_entry(Core& core, const Authority& authority, const RecordType& type, Writer& writer,
                                std::uint64_t first_row) {
  DetailsDraft details;
  details.type = type.id;
  if (!writer.warnings().empty()) {
    details.text = "told of " + std::to_string(writer.warnings().size()) + " pairs that may be one person";
  }
  details.rows.resize(writer.done());
  std::iota(details.rows.begin(), details.rows.end(), first_row);
  details.subjects = std::move(writer.named());
  CASEVAULT_TRY(EntryDraft entry,
                core.draft(authority, audit::Action::kImport, audit::Outcome::kOk, std::move(details)));
  entry.leaf.count = writer.done();
  entry.write = writer.payload(first_row);
  return entry;
}

Result<std::uint64_t> import_at_once(Core& core, const RecordType& type, Writer& writer, std::uint64_t rows,
                                     std::uint64_t& first_row) {
  CASEVAULT_TRY(UnitOfWork work, UnitOfWork::begin(core));
  CASEVAULT_TRY(RecordSealer sealer, RecordSealer::make(work, compartments_of(type)));
  first_row = work.db().next_row;
  CASEVAULT_CHECK(writer.write(work, sealer, first_row, rows, true));
  CASEVAULT_CHECK(writer.finish());
  work.db().next_row += writer.done();
  work.db().records[type.id] += writer.done();
  CASEVAULT_TRY(EntryDraft entry, import_entry(core, work.authority(), type, writer, first_row));
  CASEVAULT_TRY(const EntryPlace place, work.commit(std::move(entry)));
  return place.entry;
}

/// Rows and leaf nodes of staged imports whose process is gone. The import lock says that nobody stages now.
Result<void> drop_abandoned(Core& core) {
  for (;;) {
    CASEVAULT_TRY(UnitOfWork work, UnitOfWork::begin(core));
    if (work.db().staged.empty()) return {};
    StagedRange& range = work.db().staged.back();
    const keys::KeyTree tree(core.tag(), core.random());
    // From the end, a batch at a time: a kill in between leaves a shorter range that is still staged.
    const std::uint64_t from = range.end_row - std::min(kBatchRows, range.end_row - range.first_row);
    for (std::uint64_t row = from; row < range.end_row; ++row) {
      CASEVAULT_TRY([[maybe_unused]] const bool was_there, work.txn().erase(store::Table::kRows, row_key(row)));
    }
    for (std::uint64_t leaf = from / keys::kFanout; leaf < range.end_row / keys::kFanout; ++leaf) {
      CASEVAULT_CHECK(tree.drop_leaf(work.txn(), keys::TreeKind::kRecords, leaf));
      core.forget_leaf(leaf);
    }
    range.end_row = from;
    if (range.end_row <= range.first_row) work.db().staged.pop_back();
    CASEVAULT_CHECK(work.commit_unseen());
  }
}

Result<std::uint64_t> import_staged(Core& core, const RecordType& type, Writer& writer, std::uint64_t rows,
                                    std::uint64_t& first_row) {
  StagedRange range;
  {
    // Whole fresh leaf nodes for the whole import: dropping them drops it and nothing else, and other writers go on
    // behind them.
    CASEVAULT_TRY(UnitOfWork work, UnitOfWork::begin(core));
    range = {next_leaf_row(work.db().next_row), next_leaf_row(next_leaf_row(work.db().next_row) + rows)};
    work.db().staged.push_back(range);
    work.db().next_row = range.end_row;
    CASEVAULT_CHECK(work.commit_unseen());
  }
  first_row = range.first_row;
  for (;;) {
    CASEVAULT_TRY(UnitOfWork work, UnitOfWork::begin(core));
    CASEVAULT_TRY(RecordSealer sealer, RecordSealer::make(work, compartments_of(type)));
    const bool nothing_behind = work.db().next_row == range.end_row;
    const std::uint64_t end = std::min(rows, writer.done() + kBatchRows);
    CASEVAULT_CHECK(writer.write(work, sealer, first_row, end, nothing_behind, &range));
    if (writer.done() == end && (end < rows || writer.waiting())) {
      CASEVAULT_CHECK(work.commit_unseen());
      continue;
    }
    CASEVAULT_CHECK(writer.finish());
    std::erase_if(work.db().staged, [&](const StagedRange& s) { return s.first_row == range.first_row; });
    work.db().records[type.id] += writer.done();
    CASEVAULT_TRY(EntryDraft entry, import_entry(core, work.authority(), type, writer, first_row));
    CASEVAULT_TRY(const EntryPlace place, work.commit(std::move(entry)));
    return place.entry;
  }
}

}  // namespace

std::array<std::uint8_t, 16> import_stamp(const std::array<std::uint8_t, 16>& seed, std::uint64_t row) {
  const auto number = row_key(row);  // the same big-endian number
  std::array<std::uint8_t, 40> message{};
  auto end = std::ranges::copy(format::kImportStamp, message.begin()).out;
  end = std::ranges::copy(seed, end).out;
  std::ranges::copy(number, end);
  const crypto::Hash hash = crypto::blake2b256(message);
  std::array<std::uint8_t, 16> out{};
  std::copy_n(hash.begin(), out.size(), out.begin());
  return out;
}

Result<ImportReport> import_rows(Core& core, std::string_view type_name, RowSource& source,
                                 const ImportOptions& options) {
  CASEVAULT_TRY(Snapshot now, core.snapshot());
  now.txn.reset();  // a snapshot held through a long import would keep every page that its batches replace
  const Authority& authority = *now.authority;
  const RecordType* type = authority.schema().find_type(type_name);
  if (type == nullptr) return Error{ErrorCode::kNotFound, "the schema has no record type " + std::string(type_name)};

  RowChecker checker(authority.schema(), *type);
  CASEVAULT_TRY(const Survey expected, survey(checker, source, options));
  ImportReport report;
  report.rejected = expected.bad;
  report.problems = expected.problems;
  if (options.dry_run) {
    report.imported = expected.good;
    return report;
  }
  if ((expected.bad > 0 && !options.skip_bad_rows) || (expected.good == 0 && expected.bad == 0)) return report;
  if (core.read_only()) return Error{ErrorCode::kUsage, "the vault is open read-only"};
  const auto denied = [&](Error error) {
    DetailsDraft details;
    details.type = type->id;
    return core.refuse(authority, audit::Action::kImport, audit::Outcome::kDenied, std::move(details), {}, {},
                       std::move(error));
  };
  if (auto writer = require_writer(authority); !writer) return denied(std::move(writer).error());

  // One staged import at a time; small ones just take their turn at the database's write lock.
  auto only_importer = core.lock_imports();
  if (only_importer) {
    CASEVAULT_CHECK(drop_abandoned(core));
  } else if (only_importer.error().code != ErrorCode::kBusy || expected.good > kSingleTransactionRows) {
    return std::move(only_importer).error();
  }
  CASEVAULT_CHECK(source.rewind());
  Writer writer(core, authority.schema(), *type, checker, source, options, expected);
  std::uint64_t first_row = 0;
  if (expected.good > 0) {
    auto entry = expected.good <= kSingleTransactionRows ? import_at_once(core, *type, writer, expected.good, first_row)
                                                         : import_staged(core, *type, writer, expected.good, first_row);
    if (!entry) {
      Error error = std::move(entry).error();
      if (expected.good > kSingleTransactionRows) (void)drop_abandoned(core);  // else the next import does it
      return error.code == ErrorCode::kNoGrant ? denied(std::move(error)) : std::move(error);
    }
    report.entry = *entry;
  } else {
    CASEVAULT_CHECK(writer.finish());
  }
  report.imported = writer.done();
  report.rejected = writer.rejected();
  report.warnings = std::move(writer.warnings());
  if (writer.not_compared() > 0) {
    report.warnings.push_back(std::to_string(writer.not_compared()) +
                              " more rows share a name or a number with others and were not compared: run duplicates");
  }
  std::ranges::move(writer.not_searched(), std::back_inserter(report.warnings));
  if (options.collect_ids) {
    report.ids = core.ids_of(first_row, writer.done());
  }
  if (options.progress) (void)options.progress({"write", writer.done(), writer.done()});
  return report;
}

}  // namespace casevault::vault
