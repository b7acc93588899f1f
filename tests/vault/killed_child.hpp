// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <optional>
#include <utility>
#include <vector>

#include "base/process.hpp"
#include "catch.hpp"
#include "faulty_calls.hpp"

/// Children that are killed, and what they told before.
namespace casevault::test {

/// A pipe for plain bytes from a child.
template <typename T>
class Channel {
 public:
  Channel() { REQUIRE(::pipe(ends_.data()) == 0); }
  ~Channel() {
    close_writer();
    ::close(ends_[0]);
  }
  Channel(const Channel&) = delete;
  Channel& operator=(const Channel&) = delete;
  [[nodiscard]] bool tell(const T& value) const { return ::write(ends_[1], &value, sizeof value) == sizeof value; }
  /// The parent waits for the next; nothing when the last writer is gone.
  std::optional<T> next() {
    close_writer();
    T value;
    return ::read(ends_[0], &value, sizeof value) == sizeof value ? std::optional(value) : std::nullopt;
  }
  /// The parent's end of it: everything until the last writer is gone.
  std::vector<T> all() {
    std::vector<T> out;
    while (const std::optional<T> value = next()) out.push_back(*value);
    return out;
  }
  /// A child waits here until the parent calls all().
  void wait_for_go() {
    close_writer();
    T ignored;
    (void)!::read(ends_[0], &ignored, sizeof ignored);
  }

 private:
  void close_writer() {
    if (ends_[1] >= 0) ::close(std::exchange(ends_[1], -1));
  }
  std::array<int, 2> ends_{};
};

/// Whether a child was ended by SIGKILL, and not by a crash of its own.
[[nodiscard]] inline bool was_killed(int status) { return WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL; }
[[nodiscard]] inline int wait_for(pid_t child) {
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  return status;
}

/// The same of a child that runs `body`.
template <typename Body>
bool killed(const Body& body) {
  const pid_t child = ::fork();
  if (child == 0) ::_exit(body());
  return was_killed(wait_for(child));
}

/// Runs `body` in a child that is killed before its storage call `kill_at` (0: never); how many calls it told of.
template <typename Body>
int calls_until(int kill_at, const Body& body) {
  Channel<int> channel;
  const auto run = [&] {
    call_faults().reset();
    call_faults().kill_at = kill_at;
    const int code = body();
    return code == 0 && channel.tell(call_faults().calls) ? 0 : 1;
  };
  if (kill_at != 0) {
    REQUIRE(killed(run));
    return 0;
  }
  REQUIRE(in_child(run) == 0);
  return channel.all().at(0);
}

}  // namespace casevault::test
