// SPDX-License-Identifier: Apache-2.0
#include "base/process_id.hpp"

#include <sys/syscall.h>

#include <csignal>
#include <thread>

#include "base/process.hpp"
#include "catch.hpp"

namespace {

using casevault::base::process_id;

int right() { return process_id() == ::getpid() && process_id() == ::getpid() ? 0 : 1; }

}  // namespace

TEST_CASE("The number of the process is its own in threads, children and their children") {
  REQUIRE(right() == 0);
  int in_thread = 1;
  std::thread([&] { in_thread = right(); }).join();
  CHECK(in_thread == 0);
  const int status = casevault::test::in_child([] { return right() + casevault::test::in_child(right); });
  CHECK(status == 0);
  CHECK(right() == 0);
}

TEST_CASE("The number of the process is right in a child that no fork handler saw") {
  REQUIRE(right() == 0);
  const auto child = static_cast<pid_t>(::syscall(SYS_clone, SIGCHLD, nullptr, nullptr, nullptr, 0));
  if (child == 0) ::_exit(right());
  int status = -1;
  REQUIRE(::waitpid(child, &status, 0) == child);
  CHECK((WIFEXITED(status) && WEXITSTATUS(status) == 0));
}
