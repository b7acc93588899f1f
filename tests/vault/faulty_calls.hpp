// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <chrono>

/// What the storage calls of this process do: every write, allocation, flush and rename of the library and of LMDB
/// passes through here, because the dynamic linker prefers this program's functions.
namespace casevault::test {

struct CallFaults {
  std::atomic<int> calls = 0;          ///< storage calls so far
  std::atomic<int> kill_at = 0;        ///< SIGKILL instead of this call (from 1); 0: never
  std::atomic<int> kill_delay_us = 0;  ///< not instead of it, but so long after its beginning
  std::atomic<int> fail_at = 0;        ///< first call to fail; 0: never
  std::atomic<int> fail_count = 1;
  std::atomic<int> error = 0;
  std::atomic<bool> only_flushes = false;  ///< count and fail fdatasync and fsync alone
  std::atomic<bool> skip_flushes =
      false;  ///< fdatasync and fsync do nothing: for thousands of trials without a power cut

  void reset() {
    calls = 0, kill_at = 0, kill_delay_us = 0, fail_at = 0, fail_count = 1, error = 0, only_flushes = false,
    skip_flushes = false;
  }
};
[[nodiscard]] CallFaults& call_faults();
/// SIGKILL for the calling process after so long, whatever it is doing then.
void kill_after(std::chrono::nanoseconds delay);

}  // namespace casevault::test
