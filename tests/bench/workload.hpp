// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <casevault/schema.hpp>

#include <array>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

namespace casevault::bench {

inline constexpr std::size_t kIdentifying = 10;  ///< the first fields of a record; the others are coded
inline constexpr std::size_t kFields = 24;
inline constexpr std::size_t kReadField = 0;         ///< what "one identifying field" is
inline constexpr std::size_t kIdBytes = 16;          ///< counted as plaintext of a record
inline constexpr std::size_t kAuditLineBytes = 200;  ///< one disclosure in a log without casevault

/// Workload R, the same bytes for the same number of records. Thread-safe once made.
class Workload {
 public:
  explicit Workload(std::size_t records);

  [[nodiscard]] const Schema& schema() const noexcept { return schema_; }
  [[nodiscard]] const Schema& schema_without_index() const noexcept { return plain_schema_; }
  [[nodiscard]] const RecordType& type() const noexcept { return schema_.types().front(); }
  [[nodiscard]] std::size_t size() const noexcept { return size_; }
  [[nodiscard]] std::string_view value(std::size_t row, std::size_t field) const noexcept {
    const std::size_t at = row * kFields + field;
    return std::string_view(text_).substr(ends_[at], ends_[at + 1] - ends_[at]);
  }
  [[nodiscard]] std::size_t plaintext_bytes() const noexcept { return text_.size() + size_ * kIdBytes; }
  /// A random id, for a side that has no way of its own to name records by something that says nothing about them.
  [[nodiscard]] static std::array<std::uint8_t, kIdBytes> random_id(std::size_t row) noexcept;
  /// `count` different rows in random order, the same ones each time.
  [[nodiscard]] std::vector<std::uint32_t> sample(std::size_t count) const;

 private:
  Schema schema_;
  Schema plain_schema_;
  std::size_t size_;
  std::string text_;
  std::vector<std::size_t> ends_;
};

/// Folds a value that was read into a sum that says whether every value was the right one in the right place, whatever
/// the order of the threads. A few nanoseconds, the same for all sides.
[[nodiscard]] inline std::uint64_t mark(std::string_view value, std::size_t row, std::size_t field) noexcept {
  std::uint64_t factor = (row * kFields + field) * 0x9E3779B97F4A7C15U | 1U;
  std::uint64_t sum = value.size() * factor;
  const auto add = [&](std::uint64_t word) {
    factor += 0xD1342543DE82EF96U;  // even: the factor stays odd
    sum += word * factor;
  };
  std::size_t at = 0;
  for (; at + 8 <= value.size(); at += 8) {
    std::uint64_t word = 0;
    std::memcpy(&word, value.data() + at, 8);
    add(word);
  }
  std::uint64_t rest = 0;
  std::memcpy(&rest, value.data() + at, value.size() - at);
  add(rest);
  return sum;
}

}  // namespace casevault::bench
