// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <casevault/bytes.hpp>

#include <array>
#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace casevault {

/// Public id of a record: 16 bytes, 26 characters of Crockford base32. Says nothing about the record or its order.
class CASEVAULT_API RecordId {
 public:
  RecordId() = default;
  explicit RecordId(const std::array<std::uint8_t, 16>& bytes) noexcept : bytes_(bytes) {}
  /// kNotFound when the text cannot be an id at all (length, characters).
  [[nodiscard]] static Result<RecordId> parse(std::string_view text);
  [[nodiscard]] std::string to_string() const;
  [[nodiscard]] const std::array<std::uint8_t, 16>& bytes() const noexcept { return bytes_; }
  auto operator<=>(const RecordId&) const = default;

 private:
  std::array<std::uint8_t, 16> bytes_{};
};

/// One field on its way in. The text is copied into locked memory before the call returns; an empty text is "no value".
struct FieldInput {
  std::string_view name;
  std::string_view text;
};

/// What a write answers.
struct Written {
  RecordId id;
  std::uint32_t version = 0;  ///< from 1
  std::uint64_t entry = 0;    ///< log entry, from 0
  /// Records that may be about the same person as a new one, a line each: told, and decided by nobody. Also why others
  /// were not compared, and what is found as it stands alone.
  std::vector<std::string> warnings = {};
};

/// What a merge, or taking it back, answers.
struct Merged {
  std::uint64_t entry = 0;
  std::vector<RecordId> person;  ///< all records that are about the person of the first now, with it
};

/// Metadata of a record; no values.
struct RecordInfo {
  RecordId id;
  std::string type;
  std::uint32_t version = 0;
  std::int64_t created_ms = 0;
  std::int64_t updated_ms = 0;
  std::string unit;
};

struct VersionInfo {
  std::uint32_t version = 0;
  std::uint64_t entry = 0;
  std::int64_t time_ms = 0;
  std::string action;
  std::string actor;
};

/// Progress of long work; return false to stop (the work ends with kCancelled and changed nothing, or can be resumed).
struct Progress {
  std::string_view stage;
  std::uint64_t done = 0;
  std::uint64_t total = 0;  ///< 0 when not known yet
};
using ProgressCallback = std::function<bool(const Progress&)>;

struct ReencryptOptions {
  std::string compartment;  ///< empty: all that this principal holds
  std::uint64_t rate = 0;   ///< cells, or records of an index, a second at most; 0: no limit of its own
  bool index = false;       ///< the search indexes alone, whatever epoch they are under
  ProgressCallback progress;
};

/// One row of an import. Views live until the next call of the source.
struct ImportRow {
  std::uint64_t number = 0;  ///< as people count it: first data row is 1
  std::vector<FieldInput> fields;
  std::string problem;  ///< not empty: the row cannot be read (e.g. "6 columns, 49 expected")
};

/// Rows of an import, read twice: once to check, once to write. A change between the two is kConflict.
class RowSource {
 public:
  virtual ~RowSource() = default;
  [[nodiscard]] virtual Result<void> rewind() = 0;
  /// False at the end. An error ends the import (kBadInput: the file is malformed from here on, row named).
  [[nodiscard]] virtual Result<bool> next(ImportRow& row) = 0;
};

struct RowProblem {
  std::uint64_t row = 0;
  std::string column;  ///< empty when the whole row is meant
  std::string reason;  ///< never a value
};

struct ImportOptions {
  bool dry_run = false;
  bool skip_bad_rows = false;  ///< write the good rows although some are bad
  bool collect_ids = false;
  /// Called in the second pass for each bad row that is left out.
  std::function<Result<void>(const ImportRow&, const RowProblem&)> on_reject;
  ProgressCallback progress;
};

struct ImportReport {
  std::uint64_t imported = 0;
  std::uint64_t rejected = 0;
  std::optional<std::uint64_t> entry;  ///< none for a dry run or when nothing was imported
  std::vector<RowProblem> problems;    ///< the first 1,000
  std::vector<RecordId> ids;           ///< input order, when collect_ids
  std::vector<std::string> warnings;   ///< as of Written; the first 100
};

}  // namespace casevault
