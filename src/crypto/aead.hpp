// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "crypto/types.hpp"

namespace casevault::crypto {

inline constexpr std::size_t kTagSize = 16;
using NonceView = std::span<const std::uint8_t, 12>;

/// AES-256-GCM (NIST SP 800-38D), 96-bit nonces. The caller guarantees that (key, nonce) is used once: nonces are
/// counters under a key derived with a fresh salt, or 96 random bits within the limits of FORMAT.md.
/// seal writes ciphertext ‖ tag: out.size() == plaintext.size() + 16; out may not overlap plaintext.
/// Safe to call from several threads. libsodium where the CPU has AES-NI and the text is short, OpenSSL otherwise: same
/// bytes.
void aead_seal(KeyView key, NonceView nonce, ByteView aad, ByteView plaintext, MutableBytes out);
/// False when the tag does not verify (out is then zeroed) or `sealed` is shorter than a tag.
/// out.size() == sealed.size() - 16.
[[nodiscard]] bool aead_open(KeyView key, NonceView nonce, ByteView aad, ByteView sealed, MutableBytes out);

/// ChaCha20-Poly1305 (RFC 8439 section 2.8), by libsodium, under the same rules.
void chacha_seal(KeyView key, NonceView nonce, ByteView aad, ByteView plaintext, MutableBytes out);
[[nodiscard]] bool chacha_open(KeyView key, NonceView nonce, ByteView aad, ByteView sealed, MutableBytes out);

namespace detail {  // the two implementations, for the test that compares them byte for byte
[[nodiscard]] bool sodium_aes_available();
void sodium_seal(KeyView key, NonceView nonce, ByteView aad, ByteView plaintext, MutableBytes out);
[[nodiscard]] bool sodium_open(KeyView key, NonceView nonce, ByteView aad, ByteView sealed, MutableBytes out);
void openssl_seal(KeyView key, NonceView nonce, ByteView aad, ByteView plaintext, MutableBytes out);
[[nodiscard]] bool openssl_open(KeyView key, NonceView nonce, ByteView aad, ByteView sealed, MutableBytes out);
}  // namespace detail

/// One AES-256 block (FIPS 197), for record ids only. Key schedule kept by the object; move-only, thread-safe.
class Aes256Block {
 public:
  explicit Aes256Block(KeyView key);
  Aes256Block(Aes256Block&&) noexcept;
  Aes256Block& operator=(Aes256Block&&) noexcept;
  ~Aes256Block();
  [[nodiscard]] std::array<std::uint8_t, 16> encrypt(const std::array<std::uint8_t, 16>& block) const;
  [[nodiscard]] std::array<std::uint8_t, 16> decrypt(const std::array<std::uint8_t, 16>& block) const;

 private:
  struct State;
  State* state_;
};

}  // namespace casevault::crypto
