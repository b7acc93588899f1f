// SPDX-License-Identifier: Apache-2.0
#include "base/process_id.hpp"

#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <new>

namespace casevault::base {
namespace {

using Known = std::atomic<pid_t>;
static_assert(Known::is_always_lock_free);

/// On a page of its own, which reads as zero in every child that has a copy of this memory. Null where the system knows
/// no such pages. Never freed: whoever asks may outlive every static.
Known* make_known() noexcept {
  void* const page = ::mmap(nullptr, sizeof(Known), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (page == MAP_FAILED) return nullptr;
  // Some emulators answer every advice with success, and take none.
  constexpr int kNoAdvice = -1;
  if (::madvise(page, sizeof(Known), kNoAdvice) == 0 || ::madvise(page, sizeof(Known), MADV_WIPEONFORK) != 0)
    return ::munmap(page, sizeof(Known)), nullptr;
  return new (page) Known(0);  // NOLINT(cppcoreguidelines-owning-memory): in memory that is there already
}

}  // namespace

pid_t process_id() noexcept {
  static Known* const known = make_known();
  if (known == nullptr) return ::getpid();
  if (const pid_t id = known->load(std::memory_order_relaxed); id != 0) return id;
  const pid_t id = ::getpid();
  known->store(id, std::memory_order_relaxed);
  return id;
}

}  // namespace casevault::base
