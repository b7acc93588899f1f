// SPDX-License-Identifier: Apache-2.0
#include "age/bech32.hpp"

#include <algorithm>
#include <array>
#include <gsl/gsl>

namespace casevault::age {
namespace {

constexpr std::string_view kDigits = "qpzry9x8gf2tvdw0s3jn54khce6mua7l";
constexpr std::size_t kChecksumSize = 6;
constexpr std::size_t kMaxPrefix = 83;
constexpr std::size_t kMaxText = 1024;

constexpr bool is_upper(char c) { return c >= 'A' && c <= 'Z'; }
constexpr bool is_lower(char c) { return c >= 'a' && c <= 'z'; }
constexpr char lower(char c) { return is_upper(c) ? static_cast<char>(c + ('a' - 'A')) : c; }
constexpr char upper(char c) { return is_lower(c) ? static_cast<char>(c - ('a' - 'A')) : c; }

/// The code of BIP-173, fed one 5-bit digit after the other.
class Checksum {
 public:
  explicit Checksum(std::string_view prefix) {
    for (const char c : prefix) add(static_cast<std::uint32_t>(lower(c)) >> 5U);
    add(0);
    for (const char c : prefix) add(static_cast<std::uint32_t>(lower(c)) & 31U);
  }
  void add(std::uint32_t digit) {
    static constexpr std::array<std::uint32_t, 5> kGenerator = {0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD,
                                                                0x2A1462B3};
    const std::uint32_t top = state_ >> 25U;
    state_ = (state_ & 0x1FFFFFFU) << 5U ^ digit;
    for (std::size_t i = 0; i < kGenerator.size(); ++i) state_ ^= (top >> i & 1U) != 0 ? kGenerator[i] : 0U;
  }
  [[nodiscard]] std::uint32_t state() const { return state_; }

 private:
  std::uint32_t state_ = 1;
};

constexpr bool printable(char c) { return c > ' ' && c < '\x7F'; }

}  // namespace

std::optional<Bech32> bech32_decode(std::string_view text) {
  const std::size_t separator = text.rfind('1');
  if (text.size() > kMaxText || separator == std::string_view::npos || separator == 0 || separator > kMaxPrefix ||
      text.size() - separator - 1 < kChecksumSize || !std::ranges::all_of(text, printable) ||
      (std::ranges::any_of(text, is_upper) && std::ranges::any_of(text, is_lower))) {
    return std::nullopt;
  }
  Bech32 out{std::string(text.substr(0, separator)), {}};
  const std::string_view digits = text.substr(separator + 1);
  const std::size_t payload = digits.size() - kChecksumSize;
  out.data = SecretBytes(payload * 5 / 8);
  Checksum checksum(out.prefix);
  std::uint32_t pending = 0;
  unsigned bits = 0;
  std::size_t written = 0;
  for (std::size_t i = 0; i < digits.size(); ++i) {
    const std::size_t digit = kDigits.find(lower(digits[i]));
    if (digit == std::string_view::npos) return std::nullopt;
    checksum.add(static_cast<std::uint32_t>(digit));
    if (i >= payload) continue;
    pending = (pending << 5U | static_cast<std::uint32_t>(digit)) & 0xFFFU;
    bits += 5;
    if (bits >= 8) {
      bits -= 8;
      out.data.mutable_view()[written++] = static_cast<std::uint8_t>(pending >> bits);
    }
  }
  if (checksum.state() != 1 || bits >= 5 || (pending & ((1U << bits) - 1)) != 0) return std::nullopt;
  return out;
}

SecretBytes bech32_encode(std::string_view prefix, ByteView data) {
  Expects(!prefix.empty() && prefix.size() <= kMaxPrefix && std::ranges::all_of(prefix, printable));
  const bool in_upper = std::ranges::any_of(prefix, is_upper);
  Expects(!in_upper || std::ranges::none_of(prefix, is_lower));
  SecretBytes out(prefix.size() + 1 + (data.size() * 8 + 4) / 5 + kChecksumSize);
  auto next = out.mutable_view().begin();
  const auto put = [&](char c) { *next++ = static_cast<std::uint8_t>(in_upper ? upper(c) : c); };
  Checksum checksum(prefix);
  const auto digit = [&](std::uint32_t value) {
    checksum.add(value);
    put(kDigits[value]);
  };
  for (const char c : prefix) put(c);
  put('1');
  std::uint32_t pending = 0;
  unsigned bits = 0;
  for (const std::uint8_t byte : data) {
    pending = (pending << 8U | byte) & 0xFFFU;
    for (bits += 8; bits >= 5;) digit(pending >> (bits -= 5) & 31U);
  }
  if (bits > 0) digit(pending << (5 - bits) & 31U);
  for (std::size_t i = 0; i < kChecksumSize; ++i) checksum.add(0);
  const std::uint32_t sum = checksum.state() ^ 1U;
  for (std::size_t i = 0; i < kChecksumSize; ++i) put(kDigits[sum >> 5 * (kChecksumSize - 1 - i) & 31U]);
  return out;
}

}  // namespace casevault::age
