// SPDX-License-Identifier: Apache-2.0
#include "base/environment.hpp"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <ctime>
#include <set>
#include <thread>

#include "base/process.hpp"
#include "catch.hpp"

namespace {

using namespace casevault;
using Draw = std::array<std::uint8_t, 32>;

Draw draw() {
  Draw out{};
  base::system_environment().random->fill(out);
  return out;
}

bool arena_holds(ByteView needle) {
  for (const test::Mapping& mapping : test::mappings()) {
    if (!mapping.has("wf") || !mapping.permissions.starts_with("rw")) continue;
    if (!std::ranges::search(mapping.bytes(), needle).empty()) return true;
  }
  return false;
}

}  // namespace

TEST_CASE("The system clock is the wall clock in milliseconds") {
  const std::int64_t seconds = std::time(nullptr);
  const std::int64_t now = base::system_environment().clock->now_ms();
  REQUIRE(now / 1000 >= seconds - 1);
  REQUIRE(now / 1000 <= seconds + 60);
}

TEST_CASE("Randomness fills any length, exactly, and does not repeat") {
  std::set<Bytes> seen;
  for (std::size_t size = 0; size < 1200; size += 7) {
    Bytes out(size + 2, 0xEE);
    base::system_environment().random->fill(MutableBytes(out).subspan(1, size));
    REQUIRE(out.front() == 0xEE);
    REQUIRE(out.back() == 0xEE);
    if (size >= 14) REQUIRE(seen.insert(Bytes(out.begin() + 1, out.begin() + 15)).second);
  }
}

TEST_CASE("Random bytes are wiped from the pool once handed out") {
  draw();
  SecretBytes marker = SecretBytes::copy(as_bytes("a marker that the search must find"));
  REQUIRE(arena_holds(as_bytes("a marker that the search must find")));
  const Draw out = draw();
  REQUIRE_FALSE(arena_holds(out));
  REQUIRE_FALSE(arena_holds(ByteView(out).first(12)));
}

TEST_CASE("A forked child never repeats its parent's or its sibling's random bytes") {
  draw();  // the pool is live and has bytes left
  std::array<int, 2> pipe{};
  REQUIRE(::pipe(pipe.data()) == 0);
  for (int i = 0; i < 2; ++i) {
    const int status = test::in_child([&pipe] {
      const Draw mine = draw();
      return ::write(pipe[1], mine.data(), mine.size()) == static_cast<ssize_t>(mine.size()) ? 0 : 1;
    });
    REQUIRE(status == 0);
  }
  std::set<Draw> seen{Draw{}};
  REQUIRE(seen.insert(draw()).second);
  for (int i = 0; i < 2; ++i) {
    Draw child{};
    REQUIRE(::read(pipe[0], child.data(), child.size()) == static_cast<ssize_t>(child.size()));
    REQUIRE(seen.insert(child).second);
  }
  ::close(pipe[0]);
  ::close(pipe[1]);
}

TEST_CASE("Threads never share random bytes") {
  constexpr std::size_t kThreads = 4;
  std::array<std::vector<Draw>, kThreads> drawn;
  std::vector<std::thread> threads;
  for (std::size_t t = 0; t < kThreads; ++t) {
    threads.emplace_back([&drawn, t] {
      for (int i = 0; i < 2000; ++i) drawn[t].push_back(draw());
    });
  }
  for (std::thread& thread : threads) thread.join();
  std::set<Draw> seen{Draw{}};
  for (const auto& some : drawn) {
    for (const Draw& one : some) REQUIRE(seen.insert(one).second);
  }
}
