// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <casevault/bytes.hpp>

namespace casevault::base {

/// Wall clock, passed in and never global. Thread-safe.
class Clock {
 public:
  virtual ~Clock() = default;
  [[nodiscard]] virtual std::int64_t now_ms() const = 0;  ///< milliseconds since 1970-01-01T00:00:00Z
};

/// Cryptographic randomness, passed in and never global. Thread-safe.
class Random {
 public:
  virtual ~Random() = default;
  virtual void fill(MutableBytes out) = 0;
};

/// What the library takes from outside besides files. Both objects must outlive every user.
struct Environment {
  const Clock* clock;
  Random* random;
};

/// System clock; randomness from libsodium through a pool in the secret arena that is wiped on fork.
[[nodiscard]] const Environment& system_environment();

}  // namespace casevault::base
