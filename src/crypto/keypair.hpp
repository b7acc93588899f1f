// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/environment.hpp"
#include "crypto/types.hpp"

namespace casevault::crypto {

using PublicKey = std::array<std::uint8_t, 32>;
using Signature = std::array<std::uint8_t, 64>;

/// X25519 (RFC 7748). The secret is 32 random bytes, kept in the arena.
[[nodiscard]] PublicKey x25519_public(KeyView secret);
/// Shared secret; kBadInput for a low-order point (all-zero result).
[[nodiscard]] Result<SecretBytes> x25519(KeyView secret, KeyView peer_public);

/// Ed25519 (RFC 8032). The secret is the 32-byte seed, kept in the arena.
[[nodiscard]] PublicKey ed25519_public(KeyView seed);
/// Signs label ‖ message: a signature made for one label never verifies under another.
[[nodiscard]] Signature sign(LabelView label, KeyView seed, ByteView message);
[[nodiscard]] bool verify(LabelView label, KeyView public_key, ByteView message, ByteView signature);
/// The same for whoever signs often: keeps the seed with its public key, which takes as long to compute as a signature.
class Signer {
 public:
  Signer() noexcept = default;
  explicit Signer(KeyView seed);
  [[nodiscard]] Signature sign(LabelView label, ByteView message) const;

 private:
  SecretBytes key_;  ///< seed ‖ public key
};
/// Without a label, for formats of others (C2SP signed note).
[[nodiscard]] Signature sign_raw(KeyView seed, ByteView message);
[[nodiscard]] bool verify_raw(KeyView public_key, ByteView message, ByteView signature);

[[nodiscard]] SecretBytes random_key(base::Random& random);  ///< 32 bytes in the arena

}  // namespace casevault::crypto
