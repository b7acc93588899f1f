// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "crypto/types.hpp"

#include <optional>

/// How the fields of a cell are sealed (FORMAT.md section 3): key derivation and AEAD that go together.
namespace casevault::crypto {

/// Persisted. DO NOT CHANGE THESE VALUES.
enum class Suite : std::uint8_t {
  kAes256Gcm = 1,         ///< BLAKE2b, AES-256-GCM
  kChaCha20Poly1305 = 2,  ///< BLAKE2b, ChaCha20-Poly1305
  kHkdfAes256Gcm = 3,     ///< HKDF-SHA-512, AES-256-GCM, all by OpenSSL: algorithms that NIST approves
};
[[nodiscard]] std::optional<Suite> suite_of(std::uint64_t number) noexcept;

/// C64 of FORMAT.md: AEAD key 32 ‖ commitment 32 from both keys of a cell.
void derive_cell_keys(Suite suite, LabelView label, KeyView ck, KeyView rk, ByteView message,
                      std::span<std::uint8_t, 64> out);
/// As aead_seal and aead_open (crypto/aead.hpp): same sizes, same duty to use (key, nonce) once.
void seal_field(Suite suite, KeyView key, std::span<const std::uint8_t, 12> nonce, ByteView aad, ByteView plaintext,
                MutableBytes out);
[[nodiscard]] bool open_field(Suite suite, KeyView key, std::span<const std::uint8_t, 12> nonce, ByteView aad,
                              ByteView sealed, MutableBytes out);

}  // namespace casevault::crypto
