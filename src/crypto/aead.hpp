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

/// A key of AES-256-GCM that opens many texts, made ready once. One thread at a time. What is made of the key is in
/// the arena, as the key itself.
class OpeningKey {
 public:
  /// Makes ready for another key; nothing is done when it is the one of before.
  void set(KeyView key);
  /// As aead_open with the key that was set.
  [[nodiscard]] bool open(NonceView nonce, ByteView aad, ByteView sealed, MutableBytes out) const;

 private:
  SecretBytes state_;  ///< libsodium's ‖ the key, none before the first
};

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

/// Single AES-256 blocks (FIPS 197), for record ids and postings of an index. Move-only, thread-safe. The key schedule
/// is made for each call and wiped after it: whoever has many blocks passes them together.
class Aes256Block {
 public:
  explicit Aes256Block(KeyView key);
  Aes256Block(Aes256Block&&) noexcept;
  Aes256Block& operator=(Aes256Block&&) noexcept;
  ~Aes256Block();
  using Block = std::array<std::uint8_t, 16>;
  void encrypt_all(std::span<Block> blocks) const;
  void decrypt_all(std::span<Block> blocks) const;
  [[nodiscard]] Block encrypt(Block block) const { return encrypt_all({&block, 1}), block; }
  [[nodiscard]] Block decrypt(Block block) const { return decrypt_all({&block, 1}), block; }

 private:
  struct State;
  State* state_;
};

}  // namespace casevault::crypto
