// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sodium.h>

namespace casevault::crypto {

/// Called before libsodium is used: initialisation is what picks the fast implementation for this processor.
inline void ready_sodium() noexcept {
  // Cannot fail and return: without randomness from the system libsodium ends the process.
  [[maybe_unused]] static const int ready = sodium_init();
}

}  // namespace casevault::crypto
