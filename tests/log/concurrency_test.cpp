// SPDX-License-Identifier: Apache-2.0
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <map>
#include <thread>

#include "journal.hpp"

namespace casevault::test {
namespace {

using log::open_log;

/// A child process that leaves with what `body` returns.
template <typename Body>
pid_t start_child(Body body) {
  const pid_t child = ::fork();
  REQUIRE(child >= 0);
  if (child == 0) ::_exit(body());
  return child;
}

int exit_of(pid_t child) {
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

TEST_CASE("two logs that take turns see every frame of each other in one order") {
  const LogFolder folder;
  const log::LogOptions options{false, 2048};
  Journal first;
  Journal second;
  auto one = REQUIRE_OK(open_log(folder.path(), first, options));
  auto two = REQUIRE_OK(open_log(folder.path(), second, options));
  for (int i = 0; i < 50; ++i) {
    REQUIRE_DONE(add(*one, first, {"first " + std::to_string(i)}));
    REQUIRE_DONE(add(*two, second, {"second " + std::to_string(i), "and more"}));
    if (i % 5 == 0) REQUIRE_DONE(add(*two, second, {"second again"}));
  }
  REQUIRE_DONE(one->refresh());
  CHECK(first.lines() == second.lines());
  CHECK(scan_all(*one) == first.lines());
  CHECK(one->segment_count() > 2);
}

TEST_CASE("processes that append at the same time lose and double nothing, and agree on the order") {
  const LogFolder folder;
  const log::LogOptions options{false, 16384};
  constexpr int kEach = 150;
  std::vector<pid_t> children;
  for (int who = 0; who < 3; ++who) {
    children.push_back(start_child([&, who] {
      Journal journal;
      auto log = open_log(folder.path(), journal, options);
      if (!log) return 1;
      for (int i = 0; i < kEach; ++i) {
        if (!add(**log, journal, {std::to_string(who) + " " + std::to_string(i), std::string(100, 'x')})) return 2;
      }
      // What this client knows is what is in the files, from where it began.
      const auto all = scan_all(**log);
      const auto& mine = journal.lines();
      return mine.size() <= all.size() && std::equal(mine.rbegin(), mine.rend(), all.rbegin()) ? 0 : 3;
    }));
  }
  for (const pid_t child : children) CHECK(exit_of(child) == 0);
  Journal journal;
  auto log = REQUIRE_OK(open_log(folder.path(), journal, options));
  std::map<std::string, int> next;
  for (const std::string& body : bodies_of(scan_all(*log))) {
    if (body[0] == 'x') continue;
    CHECK(body.substr(2) == std::to_string(next[body.substr(0, 1)]++));
  }
  for (const char* who : {"0", "1", "2"}) CHECK(next[who] == kEach);
}

TEST_CASE("threads share flushes, and every frame is there once, in the order of its thread") {
  const LogFolder folder;
  constexpr int kThreads = 8;
  constexpr int kEach = 200;
  Journal journal;
  log::FileOps ops = log::system_file_ops();
  ops.sync = [inner = ops.sync](const base::Fd& fd, std::string_view name) {
    for (int i = 0; i < 100; ++i) std::this_thread::yield();  // a flush takes time, also on a file system in memory
    return inner(fd, name);
  };
  auto log = REQUIRE_OK(open_log(folder.path(), journal, {false, 65536}, ops));
  std::atomic<int> failures = 0;
  std::atomic<bool> stop = false;
  std::vector<std::thread> threads;
  for (int who = 0; who < kThreads; ++who) {
    threads.emplace_back([&, who] {
      for (int i = 0; i < kEach; ++i) {
        const bool fails = i % 10 == 9;
        const Result<void> added = log->append([&](log::FrameSink& sink) -> Result<void> {
          if (fails) return Error{ErrorCode::kRefused, "no"};
          journal.add(sink, std::to_string(who) + " " + std::to_string(i));
          return {};
        });
        if (added.has_value() == fails) ++failures;
      }
    });
  }
  std::thread reader([&] {
    std::size_t seen = 0;
    while (!stop) {
      std::size_t count = 0;
      const auto scanned = log->scan({}, [&](const log::FrameView&) -> Result<bool> { return ++count > 0; });
      if (!scanned || count < seen || !log->refresh()) ++failures;
      seen = count;
    }
  });
  for (auto& thread : threads) thread.join();
  stop = true;
  reader.join();
  CHECK(failures == 0);
  std::map<char, int> last;
  std::size_t count = 0;
  for (const std::string& body : bodies_of(scan_all(*log))) {
    const int number = std::stoi(body.substr(2)) + 1;
    CHECK(number > last[body[0]]);
    last[body[0]] = number;
    ++count;
  }
  CHECK(count == kThreads * kEach * 9 / 10);
  CHECK(scan_all(*log) == journal.lines());
  INFO(journal.closed << " flushes for " << count << " appends");
  CHECK(journal.closed < static_cast<int>(count));
}

TEST_CASE("a build that throws hurts its caller only") {
  const LogFolder folder;
  Journal journal;
  auto log = REQUIRE_OK(open_log(folder.path(), journal, {}));
  std::atomic<int> thrown = 0;
  std::atomic<int> done = 0;
  std::vector<std::thread> threads;
  for (int who = 0; who < 4; ++who) {
    threads.emplace_back([&, who] {
      for (int i = 0; i < 50; ++i) {
        try {
          if (log->append([&](log::FrameSink& sink) -> Result<void> {
                if (who == 0) throw std::bad_alloc();
                journal.add(sink, std::to_string(who));
                return {};
              })) {
            ++done;
          }
        } catch (const std::bad_alloc&) {
          ++thrown;
        }
      }
    });
  }
  for (auto& thread : threads) thread.join();
  CHECK(thrown == 50);
  CHECK(done == 150);
  CHECK(journal.bodies().size() == 150);
}

TEST_CASE("a forked child is refused and can still leave, and the parent goes on") {
  const LogFolder folder;
  Journal journal;
  auto log = REQUIRE_OK(open_log(folder.path(), journal, {}));
  REQUIRE_DONE(add(*log, journal, {"one"}));
  CHECK(exit_of(start_child([&] {
          const auto refused = [](const auto& result) { return !result && result.error().code == ErrorCode::kUsage; };
          const bool good = refused(add(*log, journal, {"child"})) && refused(log->refresh()) &&
                            refused(log->read({0, 36})) && refused(log->read_segment_header(0)) &&
                            refused(log->scan({}, [](const log::FrameView&) -> Result<bool> { return true; }));
          log.reset();
          return good ? 0 : 1;
        })) == 0);
  REQUIRE_DONE(add(*log, journal, {"two"}));
  CHECK(scan_all(*log) == journal.lines());
}

TEST_CASE("acknowledged frames survive kill -9 at any moment") {
  const LogFolder folder;
  const log::LogOptions options{false, 8192};
  std::size_t acknowledged = 0;
  for (int round = 0; round < 40; ++round) {
    int ends[2];
    REQUIRE(::pipe(ends) == 0);
    const pid_t child = start_child([&] {
      Journal journal;
      auto log = open_log(folder.path(), journal, options);
      if (!log) return 1;
      std::size_t number = 0;
      for (const std::string& body : bodies_of(scan_all(**log))) number = std::stoul(body) + 1;
      for (;; ++number) {
        const std::string body = std::to_string(number) + std::string(number % 700, '.');
        if (!add(**log, journal, {body})) return 2;
        if (::write(ends[1], &number, sizeof number) != sizeof number) return 3;
      }
    });
    ::close(ends[1]);
    // Killed after a number of acknowledgements that varies, somewhere in the middle of what comes next.
    for (int i = 0; i < 1 + round % 7; ++i) {
      std::size_t number = 0;
      REQUIRE(::read(ends[0], &number, sizeof number) == sizeof number);
      acknowledged = number + 1;
    }
    for (std::atomic<int> spin = 0; spin < round * 997;) ++spin;
    REQUIRE(::kill(child, SIGKILL) == 0);
    for (std::size_t number = 0; ::read(ends[0], &number, sizeof number) == sizeof number;) acknowledged = number + 1;
    ::close(ends[0]);
    CHECK(exit_of(child) == -1);

    Journal journal;
    auto log = REQUIRE_OK(open_log(folder.path(), journal, {true, 8192}));
    const auto bodies = bodies_of(scan_all(*log));
    REQUIRE(bodies.size() >= acknowledged);
    REQUIRE(bodies.size() <= acknowledged + 1);
    for (std::size_t i = 0; i < bodies.size(); ++i) REQUIRE(std::stoul(bodies[i]) == i);
  }
}

TEST_CASE("a reader without a lock never sees a part of a batch while another process writes") {
  const LogFolder folder;
  const log::LogOptions options{false, 32768};
  const pid_t child = start_child([&] {
    Journal journal;
    auto log = open_log(folder.path(), journal, options);
    if (!log) return 1;
    for (int i = 0; i < 400; ++i) {
      if (!add(**log, journal, {std::to_string(i) + std::string(3000, 'a'), std::string(4000, 'b')})) return 2;
    }
    return 0;
  });
  Journal journal;
  auto log = REQUIRE_OK(open_log(folder.path(), journal, {true, 32768}));
  while (journal.lines().size() < std::size_t{3} * 400) {
    REQUIRE_DONE(log->refresh());
    REQUIRE(journal.lines().size() % 3 == 0);
    int status = 0;
    if (::waitpid(child, &status, WNOHANG) == child) {
      REQUIRE((WIFEXITED(status) && WEXITSTATUS(status) == 0));
      REQUIRE_DONE(log->refresh());
      break;
    }
  }
  REQUIRE(journal.lines().size() == std::size_t{3} * 400);
  ::waitpid(child, nullptr, 0);
}

}  // namespace
}  // namespace casevault::test
