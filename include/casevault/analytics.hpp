// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <casevault/record.hpp>
#include <casevault/schema.hpp>

#include <memory>

// The Arrow C data and stream interfaces, as their specification asks to be copied.
#ifndef ARROW_C_DATA_INTERFACE
#define ARROW_C_DATA_INTERFACE
#define ARROW_FLAG_DICTIONARY_ORDERED 1
#define ARROW_FLAG_NULLABLE 2
#define ARROW_FLAG_MAP_KEYS_SORTED 4
extern "C" {
struct ArrowSchema {
  const char* format;
  const char* name;
  const char* metadata;
  std::int64_t flags;
  std::int64_t n_children;
  struct ArrowSchema** children;
  struct ArrowSchema* dictionary;
  void (*release)(struct ArrowSchema*);
  void* private_data;
};
struct ArrowArray {
  std::int64_t length;
  std::int64_t null_count;
  std::int64_t offset;
  std::int64_t n_buffers;
  std::int64_t n_children;
  const void** buffers;
  struct ArrowArray** children;
  struct ArrowArray* dictionary;
  void (*release)(struct ArrowArray*);
  void* private_data;
};
}
#endif
#ifndef ARROW_C_STREAM_INTERFACE
#define ARROW_C_STREAM_INTERFACE
extern "C" {
struct ArrowArrayStream {
  int (*get_schema)(struct ArrowArrayStream*, struct ArrowSchema* out);
  int (*get_next)(struct ArrowArrayStream*, struct ArrowArray* out);
  const char* (*get_last_error)(struct ArrowArrayStream*);
  void (*release)(struct ArrowArrayStream*);
  void* private_data;
};
}
#endif

namespace casevault {

// --- tables of exact values ---

struct TableRequest {
  std::string type;
  std::vector<std::string> columns;
  bool ids = false;  ///< a first column `id` with the public ids
  std::string purpose;
  std::string basis;            ///< empty: the purpose's default
  std::string recipient;        ///< free text for the sealed details; empty: the principal itself
  std::string recipient_class;  ///< what rules match; may be empty
  ProgressCallback progress;    ///< after each batch, in the thread that took it
};

/// Granted columns of a type, exactly, as Arrow record batches. Looking at the schema discloses nothing. The first read
/// decides, and its entry (columns, count, commitment to the row set) is on disk before the first batch exists; reading
/// again gives the same rows under the same entry. Batches hold at most 65,536 rows, are decrypted one by one from
/// fresh snapshots straight into locked memory that their release wipes, and are refused (kConflict) when a record of
/// them changed since the entry. The library starts no thread: several threads of the caller may take batches at a
/// time. A forked child reads nothing (kUsage), and batches that it took over hold zeros there.
///
/// Types: code = dictionary of int16 and text, multi-code = list of text, date = struct of date32 and precision (year,
/// month, day: the date is the first day that it may be), integer = int64, boolean, text = utf8, bytes = binary.
/// Thread-safe. Must not outlive the session.
class CASEVAULT_API Table {
 public:
  /// Record batches, each once. Thread-safe: a batch belongs to the call that took it.
  class CASEVAULT_API Reader {
   public:
    /// False at the end. After an error (kConflict, kIntegrity, kCancelled, which leaves a `failed` entry unless the
    /// caller stopped) every further call gives the same one. A progress callback that throws ends the table like an
    /// error, after which what it threw goes on.
    [[nodiscard]] Result<bool> next(ArrowArray& out);
    Reader(Reader&&) noexcept;
    Reader& operator=(Reader&&) noexcept;
    ~Reader();
    struct Impl;
    explicit Reader(std::shared_ptr<Impl> impl) noexcept;

   private:
    std::shared_ptr<Impl> impl_;
  };

  void schema(ArrowSchema& out) const;
  /// kRefused or kNoGrant (both logged), kIo and the like when the entry could not be written.
  [[nodiscard]] Result<Reader> read();
  /// The same as a C stream; what went wrong afterwards is in `last_error`.
  [[nodiscard]] Result<void> stream(ArrowArrayStream& out);
  [[nodiscard]] std::optional<Error> last_error() const;

  [[nodiscard]] std::optional<std::uint64_t> entry() const;  ///< none before the first read
  [[nodiscard]] std::optional<std::uint64_t> rows() const;   ///< that the entry fixed
  [[nodiscard]] std::string basis() const;                   ///< the one the entry carries

  Table(Table&&) noexcept;
  Table& operator=(Table&&) noexcept;
  ~Table();
  struct Impl;
  explicit Table(std::shared_ptr<Impl> impl) noexcept;

 private:
  std::shared_ptr<Impl> impl_;
};

// --- what may be published ---

/// Which edition of the administrative units a place is counted in: as recorded (units of different editions apart),
/// or of one edition. What an older edition cannot tell apart any more stays marked with its own.
enum class Era : std::uint8_t { kRecorded = 0, k2024 = 1, k2025 = 2 };

/// How much coarser a value is made. Persisted in definitions.
enum class Coarseness : std::uint8_t { kExact = 0, kMonth = 1, kYear = 2, kBands = 3 };

struct TabulateRequest {
  std::string type;
  std::string rows;           ///< a coded field, or a date: FIELD:month or FIELD:year (the default for dates)
  std::string columns;        ///< likewise; empty: rows alone
  std::vector<Filter> where;  ///< all must hold
  Era era = Era::kRecorded;
  std::uint64_t min_cell = 0;  ///< 0: that of the purpose, below which nothing is published
  std::uint64_t round_to = 0;  ///< not 0: the other rule, every count to the nearest multiple (5 to 1000)
  std::string purpose = "statistics";
  std::string basis;
  std::string recipient;  ///< for the sealed details; empty: published
  std::string name;       ///< of the publication, for the ledger; may be empty
  /// Stages: "records" (read), "earlier tables" (made again), "differences" (from earlier sets), "sums" (all numbers
  /// together), "sets" (what lies between them), each as often as there were publications, and "entry" (written next).
  /// kCancelled, and nothing published, when it stops; that it was is an entry, because how far it came tells of the
  /// records. While the callback runs, a snapshot of the database is held.
  ProgressCallback progress;
};

/// A cross table as it may be published. A set of fewer records than the purpose's min_cell, or of none, has no table
/// (kRefused, the same for all of them). Labels do not tell what a set holds: a short code list stands there whole; of
/// a longer one, and of places, what few records of the type have is one line "(other)", whatever the filter; dates run
/// from the first to the last year or month of the set. Numbers that are hidden are small, or hidden so that these
/// cannot be worked out; which of them does not show. Every number of it may be shown, added and divided.
struct Tabulation {
  std::string type;
  std::string rows;     ///< as asked; empty for the total alone
  std::string columns;  ///< empty for rows alone
  std::vector<std::string> row_labels;
  std::vector<std::string> column_labels;  ///< one, empty, for rows alone
  /// Row by row, each with its total at the end; the last row holds the totals. nullopt: hidden.
  std::vector<std::optional<std::uint64_t>> cells;
  std::uint64_t min_cell = 0;  ///< 0 when counts are rounded
  std::uint64_t round_to = 0;
  Era era = Era::kRecorded;
  std::string purpose;
  std::string basis;
  std::uint64_t entry = 0;
  [[nodiscard]] const std::optional<std::uint64_t>& at(std::size_t row, std::size_t column) const {
    return cells[row * (column_labels.size() + 1) + column];
  }
  /// As a frame: a line a row label, a number (null: hidden) a column label, and the totals.
  CASEVAULT_API void schema(ArrowSchema& out) const;
  CASEVAULT_API void stream(ArrowArrayStream& out) const;
};

struct IndicatorsRequest {
  std::string from;  ///< YYYY, YYYY-MM or YYYY-MM-DD; both ends are in
  std::string to;
  std::vector<std::string> names;  ///< of the schema's indicators; empty: all, in the schema's order
  Era era = Era::kRecorded;
  std::uint64_t min_cell = 0;  ///< 0: that of the purpose
  std::string purpose = "statistics";
  std::string basis;
  std::string recipient;
  /// Stages: "indicators", and those of each table. Indicators that were published before it stopped stay published.
  ProgressCallback progress;
};

/// One indicator of a report: its table, or why there is none.
struct IndicatorResult {
  Indicator indicator;
  std::optional<Tabulation> table;
  std::optional<Error> refused;  ///< kRefused or kNoGrant, logged
};

struct ReleaseColumn {
  std::string field;
  std::optional<Coarseness> coarseness;  ///< none: bands where there are any, else years of dates and exactly all else
  std::vector<std::int64_t> bands;       ///< where each band begins; what is below the first is a band of its own
  std::string age_on;                    ///< of bands of a date of birth: the day, YYYY-MM-DD, that ages are of
  /// Not known to others: protected by `distinct`, not part of the k rule. Only of fields that the schema calls so.
  bool sensitive = false;
};

struct ReleaseRequest {
  std::string type;
  std::vector<ReleaseColumn> columns;  ///< one at least that is not sensitive
  std::vector<Filter> where;
  std::string name;     ///< required: what the ledger calls it
  std::uint64_t k = 0;  ///< 0: min_cell of the purpose, below which nothing is published
  /// Different values of each sensitive column that a group must have, from 2 to k; 0: 2, or 1 without such a column.
  std::uint64_t distinct = 0;
  bool star = false;       ///< star values of small groups, before rows are left out
  bool pseudonyms = true;  ///< a first column `pseudonym`; no two releases share one
  Era era = Era::kRecorded;
  std::string purpose = "statistics";
  std::string basis;
  std::string recipient;
  std::string recipient_class;  ///< what rules match; may be empty
  ProgressCallback progress;    ///< as of a table
};

/// Rows that may be handed on, in random order. Every combination of values that are not sensitive stands in at least k
/// of them. A set of fewer records than the purpose's min_cell has no rows (kRefused). Thread-safe. Values live as long
/// as the object, in locked memory; making them uses ordinary memory for one at a time.
class CASEVAULT_API Release {
 public:
  [[nodiscard]] const std::vector<std::string>& columns() const noexcept;
  [[nodiscard]] std::size_t rows() const noexcept;
  /// "*" where it was starred. kUsage in a forked child, where locked memory is wiped; so does the stream.
  [[nodiscard]] Result<std::string_view> value(std::size_t row, std::size_t column) const;
  [[nodiscard]] std::uint64_t entry() const noexcept;
  [[nodiscard]] const std::string& name() const noexcept;
  [[nodiscard]] const std::string& basis() const noexcept;
  [[nodiscard]] std::uint64_t k() const noexcept;         ///< reached: size of the smallest group, 0 without rows
  [[nodiscard]] std::uint64_t distinct() const noexcept;  ///< reached; 0 without sensitive columns or rows
  /// Rows left out; nothing when these are some, but fewer than k: then their number is nobody's business.
  [[nodiscard]] std::optional<std::uint64_t> dropped() const noexcept;
  [[nodiscard]] const std::vector<std::uint64_t>& starred()
      const noexcept;  ///< values taken out, of each column: none, or k at least
  /// Columns of text, null where nothing is recorded, with class (the compartment), release and k as metadata of each.
  /// Reading them again is not another release.
  void schema(ArrowSchema& out) const;
  void stream(ArrowArrayStream& out) const;

  Release(Release&&) noexcept;
  Release& operator=(Release&&) noexcept;
  ~Release();
  struct Impl;
  explicit Release(std::shared_ptr<const Impl> impl) noexcept;

 private:
  std::shared_ptr<const Impl> impl_;
};

/// What was published: an entry of the release ledger.
struct LedgerEntry {
  std::uint64_t entry = 0;
  std::int64_t time_ms = 0;
  std::string kind;  ///< "table", "rows", "budget", or "unknown" where it cannot be read
  std::string actor;
  std::string type;
  std::string name;
  std::string definition;  ///< in words; without the values of filters of fields that this identity cannot read
};

/// Privacy budget that a tool outside has spent on data of this vault.
struct BudgetUse {
  std::string purpose = "statistics";
  std::string tool;
  std::string name;     ///< of what was published
  std::string epsilon;  ///< decimal, up to six places: "0.5"
};

}  // namespace casevault
