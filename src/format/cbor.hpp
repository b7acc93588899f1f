// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <casevault/bytes.hpp>

#include <array>
#include <concepts>
#include <limits>

#include "base/text.hpp"

/// Deterministic CBOR (RFC 8949 section 4.2.1), a subset: unsigned and negative integers, byte strings, text strings
/// (valid UTF-8), arrays, maps with unsigned keys in ascending order, false, true, null. Definite lengths, shortest
/// heads, no tags, no floats, depth at most 16. Anything else is refused, so one value has one encoding.
namespace casevault::format {

/// Largest head of a value.
inline constexpr std::size_t kMaxCborHead = 9;
/// Writes the shortest head of a major type and number; returns its size.
std::size_t write_cbor_head(std::span<std::uint8_t, kMaxCborHead> out, std::uint8_t major, std::uint64_t v) noexcept;

class CborWriter {
 public:
  explicit CborWriter(Bytes& out) noexcept : out_(out) {}
  CborWriter& uint(std::uint64_t v) { return head(0, v); }
  CborWriter& integer(std::int64_t v);
  CborWriter& bytes(ByteView v);
  CborWriter& text(std::string_view v);
  CborWriter& array(std::size_t count) { return head(4, count); }
  CborWriter& map(std::size_t count) { return head(5, count); }  ///< then count times key (uint), value; keys ascending
  CborWriter& boolean(bool v);
  CborWriter& null();

 private:
  CborWriter& head(std::uint8_t major, std::uint64_t v);
  Bytes& out_;
};

/// Pull reader. The first violation makes everything after it fail; ask `finish()` at the end.
/// Views point into the input. Never allocates, never throws.
class CborReader {
 public:
  explicit CborReader(ByteView input) noexcept : rest_(input) {}
  enum class Kind : std::uint8_t { kUint, kNegative, kBytes, kText, kArray, kMap, kBool, kNull, kEnd };
  [[nodiscard]] Kind peek() const noexcept;  ///< kEnd at the end or after a failure
  [[nodiscard]] std::uint64_t uint() noexcept;
  /// A number that fits T: one that does not is never cut off, it fails.
  template <std::unsigned_integral T>
  [[nodiscard]] T narrow() noexcept {
    const std::uint64_t v = uint();
    if (v > std::numeric_limits<T>::max()) return fail(), T{0};
    return static_cast<T>(v);
  }
  [[nodiscard]] std::int64_t integer() noexcept;
  [[nodiscard]] ByteView bytes() noexcept;
  [[nodiscard]] std::string_view text() noexcept {
    // Most are short and ASCII; nothing is left after a failure.
    constexpr unsigned kShortText = 3U << 5U;
    const std::size_t size = rest_.empty() ? kShort : rest_.front() - kShortText;
    if (size >= kShort || size >= rest_.size() || !base::is_ascii(as_text(rest_.subspan(1, size)))) return long_text();
    const std::string_view v = as_text(rest_.subspan(1, size));
    rest_ = rest_.subspan(1 + size);
    return v;
  }
  /// Element count; at most the bytes that are left, so a hostile count cannot make a caller reserve memory.
  [[nodiscard]] std::size_t array() noexcept;
  [[nodiscard]] std::size_t map() noexcept;
  /// As array() and map() for who reads every element anyway, once: nothing is walked beforehand. The elements of a map
  /// are read by entry(), which checks the order of keys; those of an array must be no containers.
  [[nodiscard]] std::size_t array_once() noexcept { return static_cast<std::size_t>(single_head(4)); }
  [[nodiscard]] std::size_t map_once() noexcept { return static_cast<std::size_t>(single_head(5)); }
  struct Entry {
    std::uint64_t key = 0;
    ByteView value;  ///< one whole value, checked
  };
  [[nodiscard]] Entry entry() noexcept;
  [[nodiscard]] bool boolean() noexcept;
  void null() noexcept;
  void skip() noexcept;  ///< one whole value
  template <std::size_t N>
  [[nodiscard]] std::array<std::uint8_t, N> fixed() noexcept {
    std::array<std::uint8_t, N> out{};
    const ByteView v = bytes();
    if (v.size() != N) return fail(), out;
    for (std::size_t i = 0; i < N; ++i) out[i] = v[i];
    return out;
  }
  [[nodiscard]] bool ok() const noexcept { return ok_; }
  [[nodiscard]] bool finish() const noexcept { return ok_ && rest_.empty(); }
  [[nodiscard]] ByteView rest() const noexcept { return rest_; }
  void fail() noexcept { ok_ = false, rest_ = {}; }

 private:
  static constexpr std::size_t kShort = 24;  ///< values below it are in the first byte
  std::uint64_t head(std::uint8_t major) noexcept;
  std::string_view long_text() noexcept;
  std::uint64_t single_head(std::uint8_t major) noexcept;
  ByteView rest_;
  std::uint64_t least_key_ = 0;            ///< of the next entry()
  const std::uint8_t* checked_ = nullptr;  ///< containers that start before it were already checked whole
  bool ok_ = true;
};

}  // namespace casevault::format
