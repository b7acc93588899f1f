// SPDX-License-Identifier: Apache-2.0
#include "faulty_calls.hpp"

#include <dlfcn.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

namespace casevault::test {

CallFaults& call_faults() {
  static CallFaults faults;
  return faults;
}

void kill_after(std::chrono::nanoseconds delay) {
  sigevent event{};
  event.sigev_notify = SIGEV_SIGNAL;
  event.sigev_signo = SIGKILL;
  timer_t timer{};
  itimerspec when{};
  const auto ns = std::max<std::int64_t>(delay.count(), 1);
  when.it_value.tv_sec = ns / 1'000'000'000;
  when.it_value.tv_nsec = ns % 1'000'000'000;
  if (::timer_create(CLOCK_MONOTONIC, &event, &timer) != 0 || ::timer_settime(timer, 0, &when, nullptr) != 0)
    ::_exit(9);
}

namespace {

/// True when the call is to fail, with errno set.
bool fails(bool flush) {
  CallFaults& faults = call_faults();
  if (faults.only_flushes && !flush) return false;
  const int number = ++faults.calls;
  if (number == faults.kill_at) {
    const std::chrono::microseconds delay(faults.kill_delay_us);
    if (delay.count() == 0) ::kill(::getpid(), SIGKILL);
    kill_after(delay);
  }
  const int first = faults.fail_at;
  if (first == 0 || number < first || number - first >= faults.fail_count) return false;
  errno = faults.error;
  return true;
}

int flush(int fd, int (*real)(int)) {
  if (fails(true)) return -1;
  return call_faults().skip_flushes ? 0 : real(fd);
}

template <typename Function>
Function* next(const char* name) {
  return reinterpret_cast<Function*>(::dlsym(RTLD_NEXT, name));  // NOLINT
}

}  // namespace
}  // namespace casevault::test

#define CASEVAULT_SEAM extern "C" __attribute__((visibility("default")))

CASEVAULT_SEAM int fdatasync(int fd) {
  static auto* const real = casevault::test::next<int(int)>("fdatasync");
  return casevault::test::flush(fd, real);
}
CASEVAULT_SEAM int fsync(int fd) {
  static auto* const real = casevault::test::next<int(int)>("fsync");
  return casevault::test::flush(fd, real);
}
CASEVAULT_SEAM ssize_t pwrite(int fd, const void* data, size_t size, off_t at) {
  static auto* const real = casevault::test::next<ssize_t(int, const void*, size_t, off_t)>("pwrite");
  return casevault::test::fails(false) ? -1 : real(fd, data, size, at);
}
CASEVAULT_SEAM ssize_t pwrite64(int fd, const void* data, size_t size, off64_t at) {
  static auto* const real = casevault::test::next<ssize_t(int, const void*, size_t, off64_t)>("pwrite64");
  return casevault::test::fails(false) ? -1 : real(fd, data, size, at);
}
CASEVAULT_SEAM ssize_t writev(int fd, const struct iovec* parts, int count) {
  static auto* const real = casevault::test::next<ssize_t(int, const struct iovec*, int)>("writev");
  return casevault::test::fails(false) ? -1 : real(fd, parts, count);
}
CASEVAULT_SEAM int posix_fallocate(int fd, off_t at, off_t size) {
  static auto* const real = casevault::test::next<int(int, off_t, off_t)>("posix_fallocate");
  return casevault::test::fails(false) ? errno : real(fd, at, size);
}
CASEVAULT_SEAM int rename(const char* from, const char* to) noexcept {
  static auto* const real = casevault::test::next<int(const char*, const char*)>("rename");
  return casevault::test::fails(false) ? -1 : real(from, to);
}
