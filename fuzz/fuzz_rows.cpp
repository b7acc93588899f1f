// SPDX-License-Identifier: Apache-2.0
#include <sys/mman.h>
#include <unistd.h>

#include "cli/rows.hpp"

namespace {

using namespace casevault;

struct Rows {
  std::string values;  ///< all that was read, with lengths between
  std::string raw;     ///< the rows as a file of rejects would hold them
};

Result<Rows> read_all(cli::FileRows& rows) {
  Rows all;
  all.raw = rows.raw_header();
  ImportRow row;
  for (std::uint64_t number = 1;; ++number) {
    if (!all.raw.empty() && all.raw.back() != '\n') all.raw += '\n';
    CASEVAULT_TRY(const bool more, rows.next(row));
    if (!more) return all;
    if (row.number != number) __builtin_trap();
    if (!row.problem.empty() && !row.fields.empty()) __builtin_trap();
    all.raw += rows.raw_row();
    all.values += row.problem.empty() ? ";" : "!";  // the wording may name the line end that was added
    for (const FieldInput& field : row.fields) {
      all.values += std::to_string(field.name.size()) + ":" + std::to_string(field.text.size()) + "=";
      all.values.append(field.name).append(field.text);
    }
  }
}

Result<std::unique_ptr<cli::FileRows>> rows_over(std::string_view text, bool csv) {
  const int fd = ::memfd_create("rows", MFD_CLOEXEC);
  if (fd < 0 || ::write(fd, text.data(), text.size()) != static_cast<ssize_t>(text.size())) __builtin_trap();
  return cli::FileRows::over(fd, "in", csv, {});
}

}  // namespace

/// Input: a byte whose lowest bit says CSV or JSON lines, then the file. What reads must read the same again, and so
/// must the rows written back as they came, which is what a file of rejects holds.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const bool csv = (data[0] & 1U) != 0;
  const auto rows = rows_over(as_text({data + 1, size - 1}), csv);
  if (!rows) return 0;
  const auto first = read_all(**rows);
  if (!(*rows)->rewind()) __builtin_trap();
  const auto second = read_all(**rows);
  if (first.has_value() != second.has_value()) __builtin_trap();
  if (!first) return 0;
  if (first->values != second->values) __builtin_trap();
  if (first->raw.starts_with("\xEF\xBB\xBF")) return 0;  // a second byte order mark would be taken for the first
  const auto again = rows_over(first->raw, csv);
  if (!again) __builtin_trap();
  const auto third = read_all(**again);
  if (!third || third->values != first->values) __builtin_trap();
  return 0;
}
