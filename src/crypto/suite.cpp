// SPDX-License-Identifier: Apache-2.0
#include "crypto/suite.hpp"

#include "crypto/aead.hpp"
#include "crypto/hash.hpp"

#include <algorithm>

namespace casevault::crypto {

std::optional<Suite> suite_of(std::uint64_t number) noexcept {
  if (number < 1 || number > 3) return std::nullopt;
  return static_cast<Suite>(number);
}

void derive_cell_keys(Suite suite, LabelView label, KeyView ck, KeyView rk, ByteView message,
                      std::span<std::uint8_t, 64> out) {
  if (suite == Suite::kHkdfAes256Gcm) {
    Bytes info(label.begin(), label.end());
    info.insert(info.end(), message.begin(), message.end());
    hkdf(Digest::kSha512, ck, rk, info, out);
    wipe(info);  // it holds the cell's salt
    return;
  }
  Wiped<64> key;
  std::ranges::copy(ck, key.out().begin());
  std::ranges::copy(rk, key.out().subspan<32>().begin());
  derive64(label, key.view(), message, out);
}

void seal_field(Suite suite, KeyView key, NonceView nonce, ByteView aad, ByteView plaintext, MutableBytes out) {
  switch (suite) {
    case Suite::kAes256Gcm:
      return aead_seal(key, nonce, aad, plaintext, out);
    case Suite::kChaCha20Poly1305:
      return chacha_seal(key, nonce, aad, plaintext, out);
    case Suite::kHkdfAes256Gcm:
      return detail::openssl_seal(key, nonce, aad, plaintext, out);
  }
}

bool open_field(Suite suite, KeyView key, NonceView nonce, ByteView aad, ByteView sealed, MutableBytes out) {
  switch (suite) {
    case Suite::kAes256Gcm:
      return aead_open(key, nonce, aad, sealed, out);
    case Suite::kChaCha20Poly1305:
      return chacha_open(key, nonce, aad, sealed, out);
    case Suite::kHkdfAes256Gcm:
      return detail::openssl_open(key, nonce, aad, sealed, out);
  }
  return false;
}

}  // namespace casevault::crypto
