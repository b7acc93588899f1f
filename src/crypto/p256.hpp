// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "crypto/types.hpp"

namespace casevault::crypto {

/// An uncompressed point of NIST P-256 (SEC 1): 4 ‖ x ‖ y. For tokens, which know no X25519.
using P256Point = std::array<std::uint8_t, 65>;

struct P256Shared {
  P256Point ephemeral{};
  SecretBytes secret;  ///< x of the shared point
};
/// A fresh key pair, by libcrypto and its randomness, against `peer`. kBadInput when that is no point of the curve.
[[nodiscard]] Result<P256Shared> p256_share(ByteView peer);

}  // namespace casevault::crypto
