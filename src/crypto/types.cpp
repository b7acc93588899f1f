// SPDX-License-Identifier: Apache-2.0
#include "crypto/types.hpp"

#include <sodium.h>

#include <gsl/gsl>

namespace casevault::crypto {

void wipe(MutableBytes bytes) noexcept {
  if (!bytes.empty()) sodium_memzero(bytes.data(), bytes.size());
}

bool equal(ByteView a, ByteView b) noexcept {
  return a.size() == b.size() && (a.empty() || sodium_memcmp(a.data(), b.data(), a.size()) == 0);
}

KeyView key_of(const SecretBytes& key) {
  Expects(key.size() == KeyView::extent);
  return key.view().first<KeyView::extent>();
}

}  // namespace casevault::crypto
