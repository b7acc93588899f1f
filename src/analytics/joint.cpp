// SPDX-License-Identifier: Apache-2.0
#include "analytics/joint.hpp"

#include <algorithm>
#include <numeric>

namespace casevault::analytics {
namespace {

constexpr int kColumns = 3;  ///< of each record: few records that share one are told apart by the others
constexpr std::uint64_t kPrime = (std::uint64_t{1} << 31U) - 1;

std::uint64_t mixed(std::uint64_t x) {
  x += 0x9E3779B97F4A7C15U;
  x = (x ^ (x >> 30U)) * 0xBF58476D1CE4E5B9U;
  x = (x ^ (x >> 27U)) * 0x94D049BB133111EBU;
  return x ^ (x >> 31U);
}

std::uint32_t folded(std::uint64_t value) {
  value = (value & kPrime) + (value >> 31U);
  value = (value & kPrime) + (value >> 31U);
  return static_cast<std::uint32_t>(value == kPrime ? 0 : value);
}

std::uint32_t inverse(std::uint32_t of) {
  std::uint64_t out = 1;
  std::uint64_t base = of;
  for (std::uint64_t power = kPrime - 2; power != 0; power >>= 1U) {
    if ((power & 1U) != 0) out = folded(out * base);
    base = folded(base * base);
  }
  return static_cast<std::uint32_t>(out);
}

/// Takes so many times `row` away, from this place on.
void take_away(std::vector<std::uint32_t>& values, std::uint64_t times, const std::vector<std::uint32_t>& row,
               std::size_t from) {
  if (times == 0) return;
  const std::uint64_t add = kPrime - times;
  for (std::size_t i = from; i < values.size(); ++i) values[i] = folded(values[i] + add * row[i]);
}

}  // namespace

JointSystem::JointSystem(std::size_t records, std::size_t numbers, base::Random& random)
    : width_(std::min(records, 2 * std::min(numbers, kMaxJointRank) + 128)),
      folded_(width_ < records),
      place_(width_),
      column_(width_) {
  std::iota(place_.begin(), place_.end(), std::uint32_t{0});
  column_ = place_;
  random.fill({reinterpret_cast<std::uint8_t*>(&seed_), sizeof seed_});  // NOLINT
  for (Numbers& each : orthogonal_) {
    each.resize(width_);
    random.fill({reinterpret_cast<std::uint8_t*>(each.data()), each.size() * sizeof each.front()});  // NOLINT
    for (std::uint32_t& value : each) value = folded(value >> 1U);
  }
  marked_ = orthogonal_;
}

JointSystem::Numbers JointSystem::fold(std::span<const std::uint32_t> sum) const {
  Numbers out(width_, 0);
  for (const std::uint32_t record : sum) {
    if (!folded_) {
      out[record] = folded(std::uint64_t{out[record]} + 1);
      continue;
    }
    std::uint64_t hash = seed_ ^ record;
    for (int i = 0; i < kColumns; ++i) {
      hash = mixed(hash);
      std::uint32_t& at = out[hash % width_];
      at = folded(at + (hash >> 32U) + 1);
    }
  }
  return out;
}

bool JointSystem::is_orthogonal(const Orthogonal& to, const Numbers& values) {
  return std::ranges::all_of(to, [&](const Numbers& each) {
    std::uint64_t product = 0;
    for (std::size_t i = 0; i < values.size(); ++i) {
      if (values[i] != 0) product = folded(product + std::uint64_t{values[i]} * each[i]);
    }
    return product == 0;
  });
}

void JointSystem::move_forward(std::size_t column) {
  const std::size_t to = rows_.size();
  const std::size_t from = place_[column];
  for (Numbers& row : rows_) std::swap(row[from], row[to]);
  std::swap(column_[from], column_[to]);
  place_[column_[from]] = static_cast<std::uint32_t>(from);
  place_[column_[to]] = static_cast<std::uint32_t>(to);
}

bool JointSystem::know(std::span<const std::uint32_t> sum) {
  const Numbers by_column = fold(sum);
  if (is_orthogonal(orthogonal_, by_column)) return true;
  if (rows_.size() == kMaxJointRank) return false;
  const std::size_t own = rows_.size();
  Numbers row(width_);
  for (std::size_t i = 0; i < width_; ++i) row[i] = by_column[column_[i]];
  for (std::size_t i = 0; i < own; ++i) take_away(row, row[i], rows_[i], own);
  const auto pivot = std::find_if(row.begin() + static_cast<std::ptrdiff_t>(own), row.end(),
                                  [](std::uint32_t value) { return value != 0; });
  if (pivot == row.end()) return true;
  const auto from = static_cast<std::size_t>(pivot - row.begin());
  move_forward(column_[from]);
  std::swap(row[from], row[own]);
  const std::uint64_t scale = inverse(row[own]);
  std::fill(row.begin(), row.begin() + static_cast<std::ptrdiff_t>(own), 0);
  for (std::size_t i = own; i < width_; ++i) row[i] = folded(row[i] * scale);
  // What is orthogonal to the rows so far becomes so to this one by its value in the new place alone, and by what
  // follows of it in the places of the others.
  for (Numbers& each : orthogonal_) {
    std::uint64_t rest = 0;
    for (std::size_t i = own + 1; i < width_; ++i) rest = folded(rest + std::uint64_t{row[i]} * each[column_[i]]);
    std::uint32_t& value = each[column_[own]];
    const std::uint64_t less = folded(value + rest);  // how much less it becomes
    value = folded(value + kPrime - less);
    for (std::size_t i = 0; i < own; ++i) {
      std::uint32_t& other = each[column_[i]];
      other = folded(other + less * rows_[i][own]);
    }
  }
  for (std::size_t i = 0; i < own; ++i) take_away(rows_[i], rows_[i][own], row, own);
  rows_.push_back(std::move(row));
  return true;
}

bool JointSystem::gives(std::span<const std::uint32_t> sum) const { return is_orthogonal(orthogonal_, fold(sum)); }

bool JointSystem::newly(std::span<const std::uint32_t> sum) const {
  const Numbers values = fold(sum);
  return is_orthogonal(orthogonal_, values) && !is_orthogonal(marked_, values);
}

}  // namespace casevault::analytics
