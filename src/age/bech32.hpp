// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <casevault/bytes.hpp>

#include <optional>

namespace casevault::age {

/// Bech32 (BIP-173 with its first checksum) without the limit of 90 characters, as age uses it. What is encoded may be
/// a key, so both directions work in the arena.
struct Bech32 {
  std::string prefix;  ///< in the case of the text
  SecretBytes data;
};
/// nullopt unless text is one case throughout, its checksum holds and its padding is less than a digit and zero.
[[nodiscard]] std::optional<Bech32> bech32_decode(std::string_view text);
/// The text takes the case of the prefix, which is 1 to 83 printable ASCII characters of one case.
[[nodiscard]] SecretBytes bech32_encode(std::string_view prefix, ByteView data);

}  // namespace casevault::age
