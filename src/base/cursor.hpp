// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <casevault/bytes.hpp>

#include <algorithm>
#include <array>
#include <cstring>

namespace casevault::base {

/// Bounds-checked reader over bytes from outside; every decoder is built on it.
/// Once a read fails, all later reads fail: check `ok()` (or `finish()`) once at the end. Failed reads
/// return zeros or empty views, never memory outside the input.
class Reader {
 public:
  explicit Reader(ByteView input) noexcept : rest_(input) {}

  [[nodiscard]] std::uint8_t u8() noexcept {
    if (rest_.empty()) return fail(), std::uint8_t{0};  // nothing is left after a failure
    const std::uint8_t byte = rest_.front();
    rest_ = rest_.subspan(1);
    return byte;
  }
  [[nodiscard]] std::uint16_t u16() noexcept { return static_cast<std::uint16_t>(number(2)); }
  [[nodiscard]] std::uint32_t u32() noexcept { return static_cast<std::uint32_t>(number(4)); }
  [[nodiscard]] std::uint64_t u64() noexcept { return number(8); }
  /// Minimal little-endian base-128; a non-minimal or overlong form fails.
  [[nodiscard]] std::uint64_t varint() noexcept {
    if (!rest_.empty() && rest_.front() < 0x80U) {  // most are one byte; nothing is left after a failure
      const std::uint8_t byte = rest_.front();
      rest_ = rest_.subspan(1);
      return byte;
    }
    const Number number = long_varint(rest_);
    if (number.size == 0) return fail(), 0;
    rest_ = rest_.subspan(number.size);
    return number.value;
  }
  [[nodiscard]] ByteView take(std::size_t size) noexcept {
    if (!ok_ || size > rest_.size()) return fail(), ByteView{};
    const ByteView head = rest_.first(size);
    rest_ = rest_.subspan(size);
    return head;
  }
  /// u32 length, then that many bytes.
  [[nodiscard]] ByteView block() noexcept { return take(u32()); }
  template <std::size_t N>
  [[nodiscard]] std::array<std::uint8_t, N> fixed() noexcept {
    std::array<std::uint8_t, N> out{};
    const ByteView bytes = take(N);
    if (bytes.size() == N) std::memcpy(out.data(), bytes.data(), N);
    return out;
  }
  [[nodiscard]] ByteView rest() const noexcept { return rest_; }
  [[nodiscard]] bool ok() const noexcept { return ok_; }
  /// True when everything was read and nothing failed.
  [[nodiscard]] bool finish() const noexcept { return ok_ && rest_.empty(); }
  void fail() noexcept { ok_ = false, rest_ = {}; }

 private:
  struct Number {
    std::uint64_t value = 0;
    std::size_t size = 0;  ///< in bytes; 0: there is none
  };
  /// By value, so that a reader whose short varints are read inline stays in registers.
  [[nodiscard]] static Number long_varint(ByteView in) noexcept {
    constexpr std::size_t kLast = 9;  // of ten bytes, which hold 64 bits, seven each and one
    const std::size_t end = std::min(in.size(), kLast);
    std::uint64_t value = 0;
    for (std::size_t i = 0; i < end; ++i) {
      const std::uint64_t byte = in[i];
      value |= (byte & 0x7FU) << (7 * i);
      if (byte >= 0x80) continue;
      if (byte == 0 && i != 0) return {};
      return {value, i + 1};
    }
    if (in.size() > kLast && in[kLast] == 1) return {value | std::uint64_t{1} << 63U, kLast + 1};
    return {};
  }
  std::uint64_t number(std::size_t size) noexcept {  // big-endian
    std::uint64_t value = 0;
    for (const std::uint8_t byte : take(size)) value = value << 8U | byte;
    return value;
  }
  ByteView rest_;
  bool ok_ = true;
};

/// Appends big-endian numbers, varints and length-prefixed blocks to a buffer it does not own.
/// `Buffer` is `Bytes` for public bytes. Secrets are laid out into exactly sized `SecretBytes` instead.
class Writer {
 public:
  explicit Writer(Bytes& out) noexcept : out_(out) {}
  Writer& u8(std::uint8_t v) { return number(v, 1); }
  Writer& u16(std::uint16_t v) { return number(v, 2); }
  Writer& u32(std::uint32_t v) { return number(v, 4); }
  Writer& u64(std::uint64_t v) { return number(v, 8); }
  Writer& varint(std::uint64_t v) {
    std::array<std::uint8_t, 10> bytes;  // NOLINT: filled up to `size`
    std::size_t size = 0;
    for (; v >= 0x80; v >>= 7U) bytes[size++] = static_cast<std::uint8_t>(v | 0x80U);
    bytes[size++] = static_cast<std::uint8_t>(v);
    return this->bytes(ByteView(bytes).first(size));
  }
  Writer& bytes(ByteView v) {
    out_.insert(out_.end(), v.begin(), v.end());
    return *this;
  }
  Writer& block(ByteView v) { return u32(static_cast<std::uint32_t>(v.size())).bytes(v); }

 private:
  Writer& number(std::uint64_t v, int size) {
    for (int shift = (size - 1) * 8; shift >= 0; shift -= 8) out_.push_back(static_cast<std::uint8_t>(v >> shift));
    return *this;
  }
  Bytes& out_;
};

}  // namespace casevault::base
