// SPDX-License-Identifier: Apache-2.0
#include "analytics/joint.hpp"

#include <algorithm>

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

}  // namespace

JointSystem::JointSystem(std::size_t numbers) : width_(2 * std::min(numbers, kMaxJointRank) + 128) {}

JointSystem::Numbers JointSystem::fold(std::span<const std::uint32_t> records) const {
  Numbers out(width_, 0);
  for (const std::uint32_t record : records) {
    std::uint64_t hash = record;
    for (int i = 0; i < kColumns; ++i) {
      hash = mixed(hash);
      std::uint32_t& at = out[hash % width_];
      at = folded(at + (hash >> 32U) + 1);
    }
  }
  return out;
}

bool JointSystem::reduce(Numbers& values, std::size_t rows,
                         std::vector<std::pair<std::uint32_t, std::uint32_t>>* parts) const {
  for (std::size_t i = 0; i < rows; ++i) {
    const Row& row = rows_[i];
    const std::uint64_t times = values[row.pivot];
    if (times == 0) continue;
    const std::uint64_t less = kPrime - times;
    for (std::size_t k = row.pivot; k < width_; ++k) values[k] = folded(values[k] + less * row.values[k]);
    if (parts == nullptr) continue;
    for (const auto& [id, share] : row.parts) {
      const auto known = std::ranges::find(*parts, id, &std::pair<std::uint32_t, std::uint32_t>::first);
      if (known == parts->end()) {
        parts->emplace_back(id, folded(times * share));
      } else {
        known->second = folded(known->second + times * share);
      }
    }
  }
  return std::ranges::all_of(values, [](std::uint32_t value) { return value == 0; });
}

bool JointSystem::know(std::uint32_t id, std::span<const std::uint32_t> records) {
  Row row;
  row.values = fold(records);
  std::vector<std::pair<std::uint32_t, std::uint32_t>> taken;
  if (reduce(row.values, rows_.size(), &taken)) return true;
  if (rows_.size() == kMaxJointRank) return false;
  row.pivot = static_cast<std::size_t>(
      std::ranges::find_if(row.values, [](std::uint32_t value) { return value != 0; }) - row.values.begin());
  const std::uint64_t scale = inverse(row.values[row.pivot]);
  for (std::uint32_t& value : row.values) value = folded(value * scale);
  // This row is the number less what was taken away, all times the scale.
  if (marked_) {
    row.parts.emplace_back(id, static_cast<std::uint32_t>(scale));
    for (const auto& [other, share] : taken) {
      if (share != 0) row.parts.emplace_back(other, folded((kPrime - share) * scale));
    }
  }
  rows_.push_back(std::move(row));
  return true;
}

bool JointSystem::gives(std::span<const std::uint32_t> records) const {
  Numbers values = fold(records);
  return reduce(values, rows_.size(), nullptr);
}

std::optional<std::vector<std::uint32_t>> JointSystem::used(std::span<const std::uint32_t> records) const {
  Numbers values = fold(records);
  const Numbers whole = values;
  if (reduce(values, marked_.value_or(rows_.size()), nullptr)) return std::nullopt;
  values = whole;
  std::vector<std::pair<std::uint32_t, std::uint32_t>> parts;
  if (!reduce(values, rows_.size(), &parts)) return std::nullopt;
  std::vector<std::uint32_t> out;
  for (const auto& [id, share] : parts) {
    if (share != 0) out.push_back(id);
  }
  return out;
}

}  // namespace casevault::analytics
