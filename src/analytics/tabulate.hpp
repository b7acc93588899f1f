// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <casevault/bytes.hpp>

#include <optional>

/// Cross tables that give no small cell away. Pure: coded columns in, a table out that may be published.
///
/// What a reader of a published table knows: every number that stands in it; that counts are whole and not negative;
/// that each total is the sum of its line; and this file. Hidden numbers all look alike, so it does not say whether one
/// is small or hidden to protect another. The rule:
///
/// * A count or total of 1 to min_cell - 1 is hidden, and so is a total that fewer than min_cell records make up.
/// * Zeros are shown, because hiding them would hide little else but noise in a sparse table; except that in a line of
///   fewer than min_cell records at least two cells are hidden, if need be zeros: else everybody would see into which
///   category all of these few fall. Which zeros these are follows from the order of the categories, so that it does
///   not tell which of them is none. So a reader knows that a hidden cell is at least 1 where both its totals stand,
///   and at least 0 elsewhere; a hidden total is at least 1.
/// * More is hidden until, of every small cell, the numbers that fit what is published are at least min_cell - 1 and
///   reach min_cell: less is known of it than "1 to 10" would say. The zeros that are hidden beside the few of a line
///   are protected like them, and any other hidden zero must leave 1 possible.
///
/// The numbers that fit are found exactly: a table with its totals is a circulation (total of all -> rows -> columns ->
/// total of all), one edge a number, so the range of a number is its value plus and minus the greatest flow that the
/// other hidden edges carry. Linear programming would give the same bounds; they are whole because the network is.
namespace casevault::analytics {

/// For each record the categories that it is in, by number; a record is in one (code) or several (multi-code).
struct CodedColumn {
  std::vector<std::string> categories;
  std::vector<std::uint32_t> codes;  ///< of all records, back to back
  std::vector<std::size_t> ends;     ///< of each record in `codes`
};

inline constexpr std::size_t kMaxTableCells = 16'384;  ///< totals included

/// Counts with their totals: row r, column c at r * (columns + 1) + c; the last row and column are the totals, the sums
/// of their lines. A record in several categories counts in each of them, so a total counts mentions.
struct Counts {
  std::size_t rows = 0;
  std::size_t columns = 0;
  std::vector<std::uint64_t> values;
  std::vector<std::uint64_t> records;  ///< different records behind each value
  [[nodiscard]] std::size_t at(std::size_t row, std::size_t column) const noexcept {
    return row * (columns + 1) + column;
  }
};

/// kBadInput when there are too many cells. Both columns are of the same records.
[[nodiscard]] Result<Counts> count(const CodedColumn& rows, const CodedColumn& columns);

enum class Mark : std::uint8_t { kFree, kKnown, kHidden };  ///< what earlier tables say of a number

/// Which numbers to hide. `earlier` (empty, or one a value) holds what readers know from earlier tables and what these
/// hid: the one is not hidden any more, the other is not shown. kRefused when that leaves no safe table.
[[nodiscard]] Result<std::vector<bool>> suppress(const Counts& counts, std::uint64_t min_cell,
                                                 std::span<const Mark> earlier = {});

/// Index of a small number that the rest gives away, or nothing when the table is safe with exactly these hidden.
[[nodiscard]] std::optional<std::size_t> given_away(const Counts& counts, std::uint64_t min_cell,
                                                    const std::vector<bool>& hidden);

/// The alternative: every count to the nearest multiple of `base`, totals as sums of what is shown. Always the same for
/// the same count, so that asking again averages nothing out. A reader learns of a count the `base` numbers that round
/// to it (of a zero, half as many), and nothing more from totals.
[[nodiscard]] std::vector<std::uint64_t> round_to(const Counts& counts, std::uint64_t base);

}  // namespace casevault::analytics
