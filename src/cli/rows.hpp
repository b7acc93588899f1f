// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <casevault/record.hpp>

#include "cli/secret_buffer.hpp"

#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace casevault::cli {

/// Which field a column goes to; a column that is not named keeps its name.
class ColumnMap {
 public:
  /// `[columns]` of a TOML file: "column" = "field"; "" drops the column. `name` is for messages.
  [[nodiscard]] static Result<ColumnMap> parse(std::string_view toml, std::string_view name);
  /// nullopt: dropped. The view lives as long as the map and `column`.
  [[nodiscard]] std::optional<std::string_view> field_of(std::string_view column) const;

 private:
  std::map<std::string, std::string, std::less<>> fields_;
};

/// Reads one flat JSON object: strings, numbers and booleans as written, null as the empty text. The views point into
/// `json` and `text` (cleared first). Answers what is wrong, or an empty string; never a value.
[[nodiscard]] std::string parse_flat_object(std::string_view json, SecretBuffer& text, std::vector<FieldInput>& fields);

/// Rows of a file, one in memory at a time.
class FileRows : public RowSource {
 public:
  /// .csv (RFC 4180 with a header) or .jsonl by the suffix, else kUsage. The header is read here.
  [[nodiscard]] static Result<std::unique_ptr<FileRows>> open(const std::filesystem::path& file, ColumnMap map);
  /// The same over an owned descriptor that can seek.
  [[nodiscard]] static Result<std::unique_ptr<FileRows>> over(int fd, std::string name, bool csv, ColumnMap map);
  ~FileRows() override;
  FileRows(const FileRows&) = delete;
  FileRows& operator=(const FileRows&) = delete;

  [[nodiscard]] Result<void> rewind() final;

  /// Columns of the header with the field each goes to (nullopt: dropped); none for JSONL.
  struct Column {
    std::string name;
    std::optional<std::string> field;
  };
  [[nodiscard]] const std::vector<Column>& columns() const noexcept { return columns_; }
  /// Exact bytes, line end included, of the header and of the row that was read last: what a rejected row is written
  /// as.
  [[nodiscard]] std::string_view raw_header() const noexcept { return raw_header_; }
  [[nodiscard]] std::string_view raw_row() const noexcept { return raw_.text(); }

 protected:
  FileRows(int fd, std::string name, ColumnMap map);
  [[nodiscard]] virtual Result<void> read_header() = 0;

  int get() {  ///< next byte, or -1 at the end or after a failed read
    return at_ < filled_ || fill() ? chunk_.view()[at_++] : -1;
  }
  int peek() { return at_ < filled_ || fill() ? chunk_.view()[at_] : -1; }
  [[nodiscard]] Result<void> check_read() const;
  [[nodiscard]] Error bad(std::string_view column, std::string_view what) const;

  std::string name_;
  ColumnMap map_;
  std::vector<Column> columns_;
  std::string raw_header_;
  SecretBuffer raw_;        ///< the row as it stands in the file
  SecretBuffer text_;       ///< its values, unescaped
  std::uint64_t row_ = 0;   ///< data rows read; 0 while in the header
  std::uint64_t line_ = 1;  ///< line of the file where the row begins
  std::uint64_t next_line_ = 1;

 private:
  bool fill();

  int fd_;
  SecretBytes chunk_;
  std::size_t at_ = 0;
  std::size_t filled_ = 0;
  int read_error_ = 0;
};

}  // namespace casevault::cli
