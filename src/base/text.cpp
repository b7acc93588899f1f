// SPDX-License-Identifier: Apache-2.0
#include "base/text.hpp"

#include <algorithm>
#include <chrono>

namespace casevault::base {
namespace {

constexpr std::string_view kHex = "0123456789abcdef";
constexpr std::string_view kBase64 = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
constexpr std::string_view kCrockford = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
constexpr std::uint8_t kNone = 0xFF;

using DecodeTable = std::array<std::uint8_t, 256>;

constexpr DecodeTable decode_table(std::string_view alphabet) {
  DecodeTable table{};
  table.fill(kNone);
  for (std::size_t i = 0; i < alphabet.size(); ++i) {
    table[static_cast<std::uint8_t>(alphabet[i])] = static_cast<std::uint8_t>(i);
  }
  return table;
}

constexpr DecodeTable any_case(DecodeTable table) {
  for (std::size_t c = 'A'; c <= 'Z'; ++c) {
    const std::uint8_t value = std::min(table[c], table[c + 32]);
    table[c] = table[c + 32] = value;
  }
  return table;
}

constexpr DecodeTable crockford_table() {
  DecodeTable table = decode_table(kCrockford);
  table['O'] = 0;
  table['I'] = table['L'] = 1;
  return any_case(table);
}

constexpr DecodeTable kFromHex = any_case(decode_table(kHex));
constexpr DecodeTable kFromBase64 = decode_table(kBase64);
constexpr DecodeTable kFromCrockford = crockford_table();

std::uint8_t decode(const DecodeTable& table, char c) noexcept { return table[static_cast<std::uint8_t>(c)]; }

/// UTF-8 as an automaton without branches: the row of a byte holds, at the position of each state, the state that
/// follows, in its low bits. States are these positions. RFC 3629: no overlong forms, no surrogates, nothing past
/// U+10FFFF.
constexpr unsigned kUtf8Mask = 63;
enum Utf8 : unsigned {
  kUtf8Bad = 0,
  kUtf8Whole = 6,
  kUtf8One = 12,  ///< so many continuation bytes are missing
  kUtf8Two = 18,
  kUtf8Three = 24,
  kUtf8AfterE0 = 30,  ///< the second byte's range is narrower
  kUtf8AfterEd = 36,
  kUtf8AfterF0 = 42,
  kUtf8AfterF4 = 48,
};

constexpr std::array<std::uint64_t, 256> utf8_table() {
  std::array<std::uint64_t, 256> table{};
  const auto step = [&table](Utf8 from, unsigned first, unsigned last, Utf8 to) {
    for (unsigned byte = first; byte <= last; ++byte) table[byte] |= std::uint64_t{to} << from;
  };
  step(kUtf8Whole, 0x00, 0x7F, kUtf8Whole);
  step(kUtf8Whole, 0xC2, 0xDF, kUtf8One);
  step(kUtf8Whole, 0xE0, 0xE0, kUtf8AfterE0);
  step(kUtf8Whole, 0xE1, 0xEC, kUtf8Two);
  step(kUtf8Whole, 0xED, 0xED, kUtf8AfterEd);
  step(kUtf8Whole, 0xEE, 0xEF, kUtf8Two);
  step(kUtf8Whole, 0xF0, 0xF0, kUtf8AfterF0);
  step(kUtf8Whole, 0xF1, 0xF3, kUtf8Three);
  step(kUtf8Whole, 0xF4, 0xF4, kUtf8AfterF4);
  step(kUtf8One, 0x80, 0xBF, kUtf8Whole);
  step(kUtf8Two, 0x80, 0xBF, kUtf8One);
  step(kUtf8Three, 0x80, 0xBF, kUtf8Two);
  step(kUtf8AfterE0, 0xA0, 0xBF, kUtf8One);
  step(kUtf8AfterEd, 0x80, 0x9F, kUtf8One);
  step(kUtf8AfterF0, 0x90, 0xBF, kUtf8Two);
  step(kUtf8AfterF4, 0x80, 0x8F, kUtf8Two);
  return table;
}

constexpr std::array<std::uint64_t, 256> kUtf8 = utf8_table();

/// Appends `value` in decimal, zero-padded to `width`.
void append_number(std::string& out, std::int64_t value, std::size_t width) {
  const std::string digits = std::to_string(value);
  out.append(width - std::min(width, digits.size()), '0').append(digits);
}

}  // namespace

bool detail::valid_multibyte(std::string_view text) noexcept {
  std::uint64_t state = kUtf8Whole;
  while (!text.empty()) {
    const std::string_view word = text.substr(0, 8);
    text.remove_prefix(word.size());
    if ((state & kUtf8Mask) == kUtf8Whole && is_ascii(word)) continue;
    for (const std::uint8_t byte : as_bytes(word)) state = kUtf8[byte] >> (state & kUtf8Mask);
  }
  return (state & kUtf8Mask) == kUtf8Whole;
}

std::string to_hex(ByteView bytes) {
  std::string out;
  out.reserve(2 * bytes.size());
  for (const std::uint8_t byte : bytes) out.append({kHex[byte >> 4U], kHex[byte & 15U]});
  return out;
}

std::optional<Bytes> from_hex(std::string_view text) {
  if (text.size() % 2 != 0) return std::nullopt;
  Bytes out;
  out.reserve(text.size() / 2);
  for (std::size_t i = 0; i < text.size(); i += 2) {
    const std::uint8_t high = decode(kFromHex, text[i]);
    const std::uint8_t low = decode(kFromHex, text[i + 1]);
    if (high == kNone || low == kNone) return std::nullopt;
    out.push_back(static_cast<std::uint8_t>(high << 4U | low));
  }
  return out;
}

std::string to_base64(ByteView bytes) {
  std::string out;
  out.reserve((bytes.size() + 2) / 3 * 4);
  for (std::size_t i = 0; i < bytes.size(); i += 3) {
    const std::size_t count = std::min<std::size_t>(3, bytes.size() - i);
    std::uint32_t group = 0;
    for (std::size_t k = 0; k < 3; ++k) group = group << 8U | (k < count ? bytes[i + k] : 0U);
    for (std::size_t k = 0; k < 4; ++k) out.push_back(k <= count ? kBase64[group >> (18 - 6 * k) & 63U] : '=');
  }
  return out;
}

std::optional<Bytes> from_base64(std::string_view text) {
  if (text.size() % 4 != 0) return std::nullopt;
  Bytes out;
  out.reserve(text.size() / 4 * 3);
  for (std::size_t i = 0; i < text.size(); i += 4) {
    const std::string_view quad = text.substr(i, 4);
    const bool last = i + 4 == text.size();
    const std::size_t padding = !last || quad[3] != '=' ? 0 : quad[2] != '=' ? 1 : 2;
    std::uint32_t group = 0;
    for (std::size_t k = 0; k < 4; ++k) {
      const std::uint8_t value = k < 4 - padding ? decode(kFromBase64, quad[k]) : std::uint8_t{0};
      if (value == kNone) return std::nullopt;
      group = group << 6U | value;
    }
    if ((group & ((1U << (8 * padding)) - 1)) != 0) return std::nullopt;  // a second spelling of the same bytes
    for (std::size_t k = 0; k < 3 - padding; ++k) out.push_back(static_cast<std::uint8_t>(group >> (16 - 8 * k)));
  }
  return out;
}

std::string to_crockford(const std::array<std::uint8_t, 16>& bytes) {
  std::string out;
  out.reserve(26);
  std::uint32_t held = 0;  // the number is 130 bits wide, so two zero bits go in front
  unsigned bits = 2;
  for (const std::uint8_t byte : bytes) {
    held = held << 8U | byte;
    for (bits += 8; bits >= 5; bits -= 5) out.push_back(kCrockford[held >> (bits - 5) & 31U]);
    held &= (1U << bits) - 1;
  }
  return out;
}

std::optional<std::array<std::uint8_t, 16>> from_crockford(std::string_view text) {
  std::array<std::uint8_t, 16> out{};
  std::size_t digits = 0;
  std::size_t filled = 0;
  std::uint32_t held = 0;
  unsigned bits = 0;
  for (const char c : text) {
    if (c == '-') continue;
    const std::uint8_t value = decode(kFromCrockford, c);
    if (value == kNone || digits == 26 || (digits == 0 && value > 7)) return std::nullopt;
    held = held << 5U | value;
    bits += digits == 0 ? 3 : 5;
    ++digits;
    if (bits < 8) continue;
    bits -= 8;
    out[filled++] = static_cast<std::uint8_t>(held >> bits);
    held &= (1U << bits) - 1;
  }
  if (digits != 26) return std::nullopt;
  return out;
}

std::string to_rfc3339(std::int64_t unix_ms) {
  // RFC 3339 has four digits for the year; a time from outside that does not fit is shown as the nearest that does.
  constexpr std::int64_t kYear0 = -62'167'219'200'000;
  constexpr std::int64_t kEndOfYear9999 = 253'402'300'799'999;
  const std::chrono::sys_time<std::chrono::milliseconds> time{
      std::chrono::milliseconds(std::clamp(unix_ms, kYear0, kEndOfYear9999))};
  const auto day = std::chrono::floor<std::chrono::days>(time);
  const std::chrono::year_month_day date{day};
  const std::chrono::hh_mm_ss clock{time - day};
  std::string out;
  append_number(out, static_cast<int>(date.year()), 4);
  append_number(out += '-', static_cast<unsigned>(date.month()), 2);
  append_number(out += '-', static_cast<unsigned>(date.day()), 2);
  append_number(out += 'T', clock.hours().count(), 2);
  append_number(out += ':', clock.minutes().count(), 2);
  append_number(out += ':', clock.seconds().count(), 2);
  append_number(out += '.', clock.subseconds().count(), 3);
  return out += 'Z';
}

}  // namespace casevault::base
