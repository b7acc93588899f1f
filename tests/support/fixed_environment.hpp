// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstdint>
#include <mutex>

#include "base/environment.hpp"

namespace casevault::test {

/// A clock that stands still until told otherwise. Thread-safe.
class ManualClock final : public base::Clock {
 public:
  explicit ManualClock(std::int64_t start_ms) : now_(start_ms) {}
  [[nodiscard]] std::int64_t now_ms() const override { return now_; }
  void set(std::int64_t ms) { now_ = ms; }
  void advance(std::int64_t ms) { now_ += ms; }

 private:
  std::atomic<std::int64_t> now_;
};

/// SplitMix64: the same bytes for the same seed and the same calls. For tests only, it predicts itself. Thread-safe.
class SeededRandom final : public base::Random {
 public:
  explicit SeededRandom(std::uint64_t seed) : state_(seed) {}
  void fill(MutableBytes out) override {
    const std::lock_guard lock(mutex_);
    for (std::size_t i = 0; i < out.size(); ++i) {
      if (i % 8 == 0) next();
      out[i] = static_cast<std::uint8_t>(word_ >> (8 * (i % 8)));
    }
  }
  /// A number below `bound` (slightly biased), for choices a test makes itself.
  [[nodiscard]] std::uint64_t below(std::uint64_t bound) {
    const std::lock_guard lock(mutex_);
    next();
    return word_ % bound;
  }

 private:
  void next() {
    state_ += 0x9E3779B97F4A7C15U;
    std::uint64_t z = state_;
    z = (z ^ (z >> 30U)) * 0xBF58476D1CE4E5B9U;
    z = (z ^ (z >> 27U)) * 0x94D049BB133111EBU;
    word_ = z ^ (z >> 31U);
  }
  std::mutex mutex_;
  std::uint64_t state_;
  std::uint64_t word_ = 0;
};

/// Manual clock and seeded randomness; outlives every object that was given its `environment()`.
struct FixedEnvironment {
  static constexpr std::int64_t kStart = 1'767'225'600'000;  ///< 2026-01-01T00:00:00.000Z
  explicit FixedEnvironment(std::uint64_t seed = 1, std::int64_t start_ms = kStart) : clock(start_ms), random(seed) {}
  [[nodiscard]] base::Environment environment() { return {&clock, &random}; }

  ManualClock clock;
  SeededRandom random;
};

}  // namespace casevault::test
