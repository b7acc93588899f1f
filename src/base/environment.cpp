// SPDX-License-Identifier: Apache-2.0
#include "base/environment.hpp"

#include <sodium.h>

#include <chrono>
#include <cstring>
#include <mutex>

namespace casevault::base {
namespace {

class SystemClock final : public Clock {
 public:
  [[nodiscard]] std::int64_t now_ms() const override {
    const auto since_1970 = std::chrono::system_clock::now().time_since_epoch();
    return std::chrono::duration_cast<std::chrono::milliseconds>(since_1970).count();
  }
};

/// Saves the system call for small requests. The first byte of the pool says that the rest was filled in this process:
/// the arena reads as zero in a forked child, which therefore never repeats its parent's bytes.
class PooledRandom final : public Random {
 public:
  PooledRandom() : pool_(kPool) {}

  void fill(MutableBytes out) override {
    if (out.empty()) return;
    // A mutex held at the moment of a fork stays held in the child: do not wait for it.
    const std::unique_lock lock(mutex_, std::try_to_lock);
    if (!lock.owns_lock() || out.size() > kLargest) return randombytes_buf(out.data(), out.size());
    const MutableBytes pool = pool_.mutable_view();
    if (pool[0] == 0 || out.size() > kPool - next_) {
      randombytes_buf(pool.data() + 1, kPool - 1);
      pool[0] = 1;
      next_ = 1;
    }
    std::memcpy(out.data(), pool.data() + next_, out.size());
    sodium_memzero(pool.data() + next_, out.size());
    next_ += out.size();
  }

 private:
  static constexpr std::size_t kPool = 4096;
  static constexpr std::size_t kLargest = 512;
  std::mutex mutex_;
  SecretBytes pool_;
  std::size_t next_ = kPool;
};

}  // namespace

const Environment& system_environment() {
  // Never destroyed: a vault closed by a static destructor still draws nonces.
  static const Environment& environment = *[] {
    // Cannot fail and return: without randomness from the system libsodium ends the process.
    [[maybe_unused]] const int ready = sodium_init();
    return new Environment{new SystemClock, new PooledRandom};
  }();
  return environment;
}

}  // namespace casevault::base
