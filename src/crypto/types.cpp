// SPDX-License-Identifier: Apache-2.0
#include "crypto/types.hpp"

#include <sodium.h>

#include <gsl/gsl>

namespace casevault::crypto {

void wipe(MutableBytes bytes) noexcept {
  if (!bytes.empty()) sodium_memzero(bytes.data(), bytes.size());
}

void wipe(std::string& text) noexcept {
  if (text.capacity() != 0) sodium_memzero(text.data(), text.capacity());
  text.clear();
}

bool equal(ByteView a, ByteView b) noexcept {
  if (a.size() != b.size() || a.empty()) return a.size() == b.size();
  if (a.size() == crypto_verify_32_BYTES) return crypto_verify_32(a.data(), b.data()) == 0;  // for each cell opened
  if (a.size() == crypto_verify_16_BYTES) return crypto_verify_16(a.data(), b.data()) == 0;  // for each posting
  return sodium_memcmp(a.data(), b.data(), a.size()) == 0;
}

KeyView key_of(const SecretBytes& key) {
  Expects(key.size() == KeyView::extent);
  return key.view().first<KeyView::extent>();
}

}  // namespace casevault::crypto
