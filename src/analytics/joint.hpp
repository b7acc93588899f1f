// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "base/environment.hpp"

/// What several publications give away together. Each number that was published is a sum over records; whoever holds
/// all of them can add and subtract, and learns exactly the sums that lie in their span. Pure.
///
/// A sum lies in the span exactly when every vector that is orthogonal to all that is known is orthogonal to it. Two
/// random ones of those vectors are kept beside the numbers, so that a question costs one pass over its records; only a
/// number that does not follow from those before it is eliminated. Arithmetic is modulo a prime. Where there are more
/// records than numbers could tell apart, records are folded: each adds random multiples of three columns of fewer.
/// Chance makes a sum look known that is not, about once in 2^62 questions; vectors and folding are drawn anew for each
/// system, because whoever knew them could choose records that add up to a sum which looks known.
///
/// What follows from counts being whole and not negative is judged table by table (tabulate.hpp), not here.
namespace casevault::analytics {

inline constexpr std::size_t kMaxJointRank = 2048;  ///< independent numbers that are judged together

/// A number, as the records that it counts, each as often as it does.
using Sum = std::vector<std::uint32_t>;

class JointSystem {
 public:
  /// Records are numbered below `records`; for about so many numbers.
  JointSystem(std::size_t records, std::size_t numbers, base::Random& random);

  /// Readers know this number. False when the system is full: nothing can be said then.
  [[nodiscard]] bool know(std::span<const std::uint32_t> sum);
  /// From here on `newly` tells what follows from what was known since.
  void mark() { marked_ = orthogonal_; }
  /// Whether it follows from all that is known.
  [[nodiscard]] bool gives(std::span<const std::uint32_t> sum) const;
  /// Whether it follows from all that is known, and did not follow when the system was marked.
  [[nodiscard]] bool newly(std::span<const std::uint32_t> sum) const;

 private:
  using Numbers = std::vector<std::uint32_t>;  ///< below the prime, by column
  using Orthogonal = std::array<Numbers, 2>;
  [[nodiscard]] Numbers fold(std::span<const std::uint32_t> sum) const;
  [[nodiscard]] static bool is_orthogonal(const Orthogonal& to, const Numbers& values);
  /// Makes the column the one of the next row.
  void move_forward(std::size_t column);

  std::size_t width_;
  bool folded_;
  std::uint64_t seed_ = 0;  ///< of the folding
  Numbers place_;           ///< of each column among those of rows: pivots first
  Numbers column_;          ///< the other way round
  /// Reduced: row i has 1 in place i and 0 in the places of the other rows; by place.
  std::vector<Numbers> rows_;
  Orthogonal orthogonal_;  ///< by column
  Orthogonal marked_;
};

}  // namespace casevault::analytics
