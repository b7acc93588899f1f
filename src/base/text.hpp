// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <casevault/bytes.hpp>

#include <array>
#include <cstring>
#include <optional>

namespace casevault::base {

/// Whether every byte is ASCII. Words of eight, the last of which may overlap the one before.
[[nodiscard]] inline bool is_ascii(std::string_view text) noexcept {
  constexpr std::uint64_t kNotAscii = 0x8080'8080'8080'8080U;
  const auto load = [](const char* at, auto word) {
    std::memcpy(&word, at, sizeof word);
    return std::uint64_t{word};
  };
  const char* at = text.data();
  const char* const end = at + text.size();
  std::uint64_t seen = 0;
  if (text.size() >= 8) {
    for (seen = load(end - 8, std::uint64_t{}); end - at > 8; at += 8) seen |= load(at, std::uint64_t{});
  } else if (text.size() >= 4) {
    seen = load(at, std::uint32_t{}) | load(end - 4, std::uint32_t{});
  } else {
    for (; at != end; ++at) seen |= load(at, std::uint8_t{});
  }
  return (seen & kNotAscii) == 0;
}
namespace detail {
[[nodiscard]] bool valid_multibyte(std::string_view text) noexcept;
}
/// RFC 3629: no surrogates, no overlong forms.
[[nodiscard]] inline bool valid_utf8(std::string_view text) noexcept {
  return is_ascii(text) || detail::valid_multibyte(text);
}
[[nodiscard]] std::string to_hex(ByteView bytes);
[[nodiscard]] std::optional<Bytes> from_hex(std::string_view text);     ///< lower or upper case, even length
[[nodiscard]] std::string to_base64(ByteView bytes);                    ///< RFC 4648 section 4, padded
[[nodiscard]] std::optional<Bytes> from_base64(std::string_view text);  ///< canonical and padded only
/// Crockford base32 of exactly 16 bytes: 26 characters, upper case.
[[nodiscard]] std::string to_crockford(const std::array<std::uint8_t, 16>& bytes);
/// Accepts lower case, hyphens, and o/i/l as 0/1/1; nullopt for any other character or length.
[[nodiscard]] std::optional<std::array<std::uint8_t, 16>> from_crockford(std::string_view text);
/// RFC 3339 in UTC with milliseconds, e.g. 2026-01-31T08:00:00.000Z.
[[nodiscard]] std::string to_rfc3339(std::int64_t unix_ms);

}  // namespace casevault::base
