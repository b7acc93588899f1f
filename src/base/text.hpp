// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <casevault/bytes.hpp>

#include <array>
#include <optional>

namespace casevault::base {

[[nodiscard]] bool valid_utf8(std::string_view text) noexcept;  ///< RFC 3629: no surrogates, no overlong forms
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
