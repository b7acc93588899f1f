// SPDX-License-Identifier: Apache-2.0
#include <pthread.h>
#include <sodium.h>
#include <sys/mman.h>
#include <unistd.h>

#include <casevault/bytes.hpp>

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <cstring>
#include <iterator>
#include <limits>
#include <map>
#include <mutex>
#include <new>
#include <utility>

namespace casevault {
namespace {

constexpr std::size_t kSmallest = 32;
constexpr std::size_t kRun = 64 * 1024;  // a run holds blocks of one class; the largest class fills it
constexpr std::size_t kRunsPerSlab = 4;
constexpr std::size_t kClasses = std::bit_width(kRun / kSmallest);
constexpr std::uint8_t kUnassigned = 0xFF;

std::size_t page_size() noexcept {
  static const std::size_t size = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
  return size;
}

std::size_t class_of(std::size_t size) noexcept {
  return static_cast<std::size_t>(std::bit_width((std::max(size, kSmallest) - 1) / kSmallest));
}

/// Memory between two guard pages, left out of dumps and zeroed in children. Throws rather than promise less.
std::uint8_t* map_guarded(std::size_t size) {
  const std::size_t page = page_size();
  void* const whole = ::mmap(nullptr, size + 2 * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (whole == MAP_FAILED) throw std::bad_alloc();
  std::uint8_t* const data = static_cast<std::uint8_t*>(whole) + page;
  if (::mprotect(data, size, PROT_READ | PROT_WRITE) != 0 || ::madvise(data, size, MADV_DONTDUMP) != 0 ||
      ::madvise(data, size, MADV_WIPEONFORK) != 0) {
    ::munmap(whole, size + 2 * page);
    throw std::bad_alloc();
  }
  return data;
}

void unmap_guarded(std::uint8_t* data, std::size_t size) noexcept {
  ::munmap(data - page_size(), size + 2 * page_size());
}

/// Process-wide owner of all secret memory. Its bookkeeping lives outside the slabs, because those read as zero in a
/// forked child. Slabs are kept for reuse; blocks larger than a run have a mapping of their own.
class Arena {
 public:
  static Arena& instance() {
    static Arena& arena = *new Arena;  // never destroyed: secrets may outlive every static
    return arena;
  }

  std::uint8_t* take(std::size_t size) {
    std::uint8_t* const block = size <= kRun ? take_small(class_of(size)) : take_large(size);
    in_use_ += size;
    return block;
  }

  /// `used` bytes were written at most and are zero again.
  void give_back(std::uint8_t* block, std::size_t used) noexcept {
    in_use_ -= used;
    Regions::node_type large;
    {
      const std::lock_guard lock(mutex_);
      const auto region = std::prev(regions_.upper_bound(block));
      if (region->second.large) {
        large = regions_.extract(region);
      } else {
        const auto run = static_cast<std::size_t>(block - region->first) / kRun;
        free_[region->second.run_class[run]].push_back(block);  // capacity was reserved when the run was cut
      }
    }
    if (!large.empty()) unmap_guarded(large.key(), large.mapped().size);
  }

  void forget(std::size_t bytes) noexcept { in_use_ -= bytes; }

  MemoryLockStatus status() noexcept {
    const std::lock_guard lock(mutex_);
    relock_after_fork();
    return {locked_, in_use_};
  }

 private:
  struct Region {
    std::size_t size;
    bool large;
    std::array<std::uint8_t, kRunsPerSlab> run_class{kUnassigned, kUnassigned, kUnassigned, kUnassigned};
  };
  using Regions = std::map<std::uint8_t*, Region>;

  Arena() {
    // A child must not inherit a mutex held by a thread it does not have.
    const int failed = ::pthread_atfork([] { instance().mutex_.lock(); }, [] { instance().mutex_.unlock(); },
                                        [] {
                                          instance().forked_ = true;
                                          instance().mutex_.unlock();
                                        });
    if (failed != 0) throw std::bad_alloc();
  }

  std::uint8_t* take_small(std::size_t size_class) {
    const std::lock_guard lock(mutex_);
    relock_after_fork();
    std::vector<std::uint8_t*>& blocks = free_[size_class];
    if (blocks.empty()) cut_run(size_class);
    std::uint8_t* const block = blocks.back();
    blocks.pop_back();
    return block;
  }

  std::uint8_t* take_large(std::size_t size) {
    const std::size_t page = page_size();
    if (size > std::numeric_limits<std::size_t>::max() / 2) throw std::bad_alloc();
    return add_region((size + page - 1) / page * page, true)->first;
  }

  /// Maps and locks before taking the mutex when `large`; the caller holds it otherwise.
  Regions::iterator add_region(std::size_t size, bool large) {
    std::uint8_t* const data = map_guarded(size);
    const bool locked = ::mlock(data, size) == 0;
    try {
      std::unique_lock lock(mutex_, std::defer_lock);
      if (large) lock.lock();
      if (!locked) locked_ = false;
      return regions_.emplace(data, Region{size, large}).first;
    } catch (...) {
      unmap_guarded(data, size);
      throw;
    }
  }

  void cut_run(std::size_t size_class) {
    if (next_run_ == kRunsPerSlab) {
      slab_ = add_region(kRunsPerSlab * kRun, false);
      next_run_ = 0;
    }
    const std::size_t block = kSmallest << size_class;
    std::vector<std::uint8_t*>& blocks = free_[size_class];
    total_[size_class] += kRun / block;
    if (blocks.capacity() < total_[size_class]) {
      try {
        blocks.reserve(2 * total_[size_class]);
      } catch (...) {
        total_[size_class] -= kRun / block;
        throw;
      }
    }
    slab_->second.run_class[next_run_] = static_cast<std::uint8_t>(size_class);
    std::uint8_t* const run = slab_->first + next_run_ * kRun;
    ++next_run_;
    for (std::size_t at = kRun; at != 0; at -= block) blocks.push_back(run + at - block);
  }

  /// Memory locks do not pass to a child, so it takes its own before it hands out a block or answers for them.
  void relock_after_fork() noexcept {
    if (!std::exchange(forked_, false)) return;
    for (const auto& [data, region] : regions_) {
      if (::mlock(data, region.size) != 0) locked_ = false;
    }
  }

  std::mutex mutex_;
  Regions regions_;
  std::array<std::vector<std::uint8_t*>, kClasses> free_;
  std::array<std::size_t, kClasses> total_{};
  Regions::iterator slab_;
  std::size_t next_run_ = kRunsPerSlab;
  bool locked_ = true;
  bool forked_ = false;
  std::atomic<std::size_t> in_use_ = 0;
};

}  // namespace

SecretBytes::SecretBytes(std::size_t size) : data_(size == 0 ? nullptr : Arena::instance().take(size)), size_(size) {}

SecretBytes SecretBytes::copy(ByteView source) {
  SecretBytes out(source.size());
  if (!source.empty()) std::memcpy(out.data_, source.data(), source.size());
  return out;
}

SecretBytes::SecretBytes(SecretBytes&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}

SecretBytes& SecretBytes::operator=(SecretBytes&& other) noexcept {
  SecretBytes old(std::move(other));  // self-assignment ends where it began
  std::swap(data_, old.data_);
  std::swap(size_, old.size_);
  return *this;
}

SecretBytes::~SecretBytes() {
  if (data_ == nullptr) return;
  sodium_memzero(data_, size_);
  Arena::instance().give_back(data_, size_);
}

void SecretBytes::shrink(std::size_t size) noexcept {
  if (size >= size_) return;
  sodium_memzero(data_ + size, size_ - size);
  Arena::instance().forget(size_ - size);
  size_ = size;
}

bool SecretBytes::equals(ByteView other) const noexcept {
  return other.size() == size_ && (size_ == 0 || sodium_memcmp(data_, other.data(), size_) == 0);
}

MemoryLockStatus memory_lock_status() noexcept { return Arena::instance().status(); }

}  // namespace casevault
