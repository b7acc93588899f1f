// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "bench/workload.hpp"

#include <algorithm>
#include <chrono>
#include <exception>
#include <filesystem>
#include <functional>
#include <latch>
#include <memory>
#include <mutex>
#include <span>
#include <thread>

namespace casevault::bench {

using Clock = std::chrono::steady_clock;

[[nodiscard]] inline double microseconds_since(Clock::time_point start) {
  return std::chrono::duration<double, std::micro>(Clock::now() - start).count();
}

using Rows = std::span<const std::uint32_t>;

/// What was done, how long all of it took, and the sum of `mark` over every value read.
struct Timed {
  double microseconds = 0;
  std::size_t operations = 0;
  std::uint64_t checksum = 0;
  [[nodiscard]] double each() const { return microseconds / static_cast<double>(operations); }
};

/// One of the three ways to do the same work. Members are called in the order in which they stand, some more
/// than once; failures are exceptions.
class Side {
 public:
  virtual ~Side() = default;
  /// A new store in `folder`, all records of the workload put in, 1,000 a transaction; making the store is not timed.
  virtual Timed import_all(const std::filesystem::path& folder) = 0;
  /// One field of each row, or all of them, by id, in one go.
  virtual Timed read(Rows rows, bool all_fields) = 0;
  /// Finds each row by its name, in one go, and reads the name; the sum counts those that were found. `loose`: what
  /// that means to casevault; others look for the name as it is.
  virtual Timed lookup(Rows rows, bool loose) = 0;
  /// The coded fields of every record, in order, into memory, by `callers` threads. The sum is of their values with
  /// `check`, which costs time, and else the number of records. Sides that have one thread for it take one.
  virtual Timed scan(unsigned callers, bool check) = 0;
  /// `callers` threads share the rows; before a field is read, a line about that is on disk.
  virtual Timed audit(unsigned callers, Rows rows) = 0;
  /// Puts everything under new keys, the index of names too.
  virtual Timed reencrypt() = 0;
  /// Reads one field right after opening, the store being closed before and after.
  virtual Timed open(Rows rows) = 0;
  /// Lets go of the store, whose folder may then vanish.
  virtual void close() = 0;
};

/// Runs `callers` threads at once and times them from the common start to the last one's end. `prepare(i)` is called in
/// the thread of caller i, untimed, and returns its work, which returns its checksum.
[[nodiscard]] inline Timed run_callers(unsigned callers, std::size_t operations,
                                       const std::function<std::function<std::uint64_t()>(unsigned)>& prepare) {
  Timed out{0, operations, 0};
  std::mutex mutex;
  std::exception_ptr failure;
  Clock::time_point last;
  std::latch ready(callers);
  std::latch start(1);
  const auto guarded = [&](const auto& step) {
    try {
      step();
    } catch (...) {
      const std::lock_guard lock(mutex);
      failure = std::current_exception();
    }
  };
  std::vector<std::jthread> threads;
  for (unsigned i = 0; i < callers; ++i) {
    threads.emplace_back([&, i] {
      std::function<std::uint64_t()> work;
      guarded([&] { work = prepare(i); });
      ready.count_down();
      start.wait();
      if (!work) return;
      guarded([&] {
        const std::uint64_t sum = work();
        const auto end = Clock::now();
        const std::lock_guard lock(mutex);
        out.checksum += sum;
        last = std::max(last, end);
      });
    });
  }
  ready.wait();
  const auto begin = Clock::now();
  start.count_down();
  threads.clear();  // joins
  if (failure) std::rethrow_exception(failure);
  out.microseconds = std::chrono::duration<double, std::micro>(last - begin).count();
  return out;
}

/// The part of `rows` that caller `i` of `callers` takes.
[[nodiscard]] inline Rows share(Rows rows, unsigned i, unsigned callers) {
  const std::size_t from = rows.size() * i / callers;
  return rows.subspan(from, rows.size() * (i + 1) / callers - from);
}

}  // namespace casevault::bench
