// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <casevault/bytes.hpp>

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

/// What several publications give away together. Each number that was published is a sum over records; whoever holds
/// all of them can add and subtract, and learns exactly the sums that lie in their span. Pure.
///
/// A record is a column of the system and may be one of a million, so columns are folded: every record adds random
/// multiples of three of few, which keeps ranks but for a chance that only ever makes a sum look known that is not.
/// Arithmetic is modulo a prime. What follows from counts being whole and not negative is judged table by table
/// (tabulate.hpp), not here.
namespace casevault::analytics {

inline constexpr std::size_t kMaxJointRank = 2048;  ///< independent numbers that are judged together

/// A number, as the records that it counts, each as often as it does.
using Sum = std::vector<std::uint32_t>;

class JointSystem {
 public:
  /// For about so many numbers.
  explicit JointSystem(std::size_t numbers);

  /// Readers know this number. Ids are of the caller, for `used`. False when the system is full: nothing can be said
  /// then.
  [[nodiscard]] bool know(std::uint32_t id, std::span<const std::uint32_t> records);
  /// From here on `used` tells of what was known since.
  void mark() noexcept { marked_ = rows_.size(); }
  /// Whether it follows from all that is known.
  [[nodiscard]] bool gives(std::span<const std::uint32_t> records) const;
  /// The ids since the mark that it takes; nothing when it follows without them, or does not follow.
  [[nodiscard]] std::optional<std::vector<std::uint32_t>> used(std::span<const std::uint32_t> records) const;

 private:
  using Numbers = std::vector<std::uint32_t>;  ///< below the prime
  struct Row {
    Numbers values;
    std::size_t pivot = 0;
    /// What was known since the mark, as its share in this row.
    std::vector<std::pair<std::uint32_t, std::uint32_t>> parts;
  };
  [[nodiscard]] Numbers fold(std::span<const std::uint32_t> records) const;
  /// Takes multiples of the first `rows` away; what is left is zero when it follows from them.
  bool reduce(Numbers& values, std::size_t rows, std::vector<std::pair<std::uint32_t, std::uint32_t>>* parts) const;

  std::size_t width_;
  std::optional<std::size_t> marked_;
  std::vector<Row> rows_;
};

}  // namespace casevault::analytics
