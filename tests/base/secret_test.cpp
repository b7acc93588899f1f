// SPDX-License-Identifier: Apache-2.0
#include <sys/resource.h>
#include <unistd.h>

#include <casevault/bytes.hpp>

#include <algorithm>
#include <thread>
#include <type_traits>

#include "base/process.hpp"
#include "catch.hpp"
#include "support/fixed_environment.hpp"

namespace {

using namespace casevault;
using test::in_child;

bool all_are(ByteView bytes, std::uint8_t value) {
  return std::ranges::all_of(bytes, [value](std::uint8_t byte) { return byte == value; });
}

void fill(SecretBytes& secret, std::uint8_t value) { std::ranges::fill(secret.mutable_view(), value); }

#if defined(__SANITIZE_ADDRESS__)  // makes mlock succeed without doing anything
constexpr bool kLocksAreReal = false;
#else
constexpr bool kLocksAreReal = true;
#endif

constexpr std::size_t kSizes[] = {1, 31, 32, 33, 64, 65, 4096, 4097, 65535, 65536, 65537, 1'000'000};

static_assert(!std::is_copy_constructible_v<SecretBytes> && !std::is_copy_assignable_v<SecretBytes>);
static_assert(std::is_nothrow_move_constructible_v<SecretBytes>);

}  // namespace

TEST_CASE("An empty secret takes no memory") {
  const std::size_t before = memory_lock_status().bytes_in_use;
  SecretBytes none(0);
  REQUIRE(none.empty());
  REQUIRE(none.view().data() == nullptr);
  REQUIRE(SecretBytes::copy({}).view().data() == nullptr);
  REQUIRE(none.equals({}));
  none.shrink(0);
  REQUIRE(memory_lock_status().bytes_in_use == before);
}

TEST_CASE("A secret is zero when handed out, of every size, and counted while held") {
  const std::size_t before = memory_lock_status().bytes_in_use;
  for (int round = 0; round < 3; ++round) {
    for (const std::size_t size : kSizes) {
      SecretBytes secret(size);
      CAPTURE(size);
      REQUIRE(secret.size() == size);
      REQUIRE(all_are(secret.view(), 0));
      REQUIRE(memory_lock_status().bytes_in_use == before + size);
      fill(secret, 0xA5);
    }
  }
  REQUIRE(memory_lock_status().bytes_in_use == before);
}

TEST_CASE("A secret is wiped on release") {
  for (const std::size_t size : kSizes) {
    if (size > 65536) continue;  // a larger block is unmapped
    ByteView left_behind;
    {
      SecretBytes secret(size);
      fill(secret, 0xA5);
      left_behind = secret.view();
    }
    CAPTURE(size);
    REQUIRE(all_are(left_behind, 0));
  }
}

TEST_CASE("A large secret is unmapped on release") {
  std::uintptr_t address = 0;
  {
    SecretBytes secret(1'000'000);
    address = reinterpret_cast<std::uintptr_t>(secret.view().data());  // NOLINT
  }
  for (const test::Mapping& mapping : test::mappings()) {
    REQUIRE_FALSE((mapping.has("wf") && mapping.begin <= address && address < mapping.end));
  }
}

TEST_CASE("Moving a secret moves the block and empties the source") {
  SecretBytes a = SecretBytes::copy(as_bytes("first"));
  const std::uint8_t* const block = a.view().data();
  SecretBytes b(std::move(a));
  REQUIRE(b.view().data() == block);
  REQUIRE(a.empty());  // NOLINT(bugprone-use-after-move)

  SecretBytes c = SecretBytes::copy(as_bytes("second"));
  const ByteView overwritten = c.view();
  c = std::move(b);
  REQUIRE(c.text() == "first");
  REQUIRE(b.empty());  // NOLINT(bugprone-use-after-move)
  REQUIRE(all_are(overwritten, 0));

  SecretBytes& itself = c;
  c = std::move(itself);
  REQUIRE(c.text() == "first");

  const SecretBytes twin = c.clone();
  REQUIRE(twin.view().data() != c.view().data());
  REQUIRE(twin.equals(c.view()));
}

TEST_CASE("Equality looks at every byte and the length") {
  const SecretBytes secret = SecretBytes::copy(as_bytes("0123456789abcdef"));
  REQUIRE(secret.equals(as_bytes("0123456789abcdef")));
  REQUIRE_FALSE(secret.equals(as_bytes("0123456789abcdeF")));
  REQUIRE_FALSE(secret.equals(as_bytes("_123456789abcdef")));
  REQUIRE_FALSE(secret.equals(as_bytes("0123456789abcde")));
  REQUIRE_FALSE(secret.equals(as_bytes("0123456789abcdef0")));
  REQUIRE_FALSE(secret.equals({}));
}

TEST_CASE("Shrinking wipes the tail, and the block goes back to where it came from") {
  const std::size_t before = memory_lock_status().bytes_in_use;
  for (const std::size_t size : {std::size_t{5000}, std::size_t{65536}, std::size_t{200'000}}) {
    for (const std::size_t kept : {std::size_t{0}, std::size_t{1}, std::size_t{40}}) {
      SecretBytes secret(size);
      fill(secret, 0xA5);
      const ByteView whole = secret.view();
      secret.shrink(kept);
      REQUIRE(secret.size() == kept);
      REQUIRE(all_are(whole.first(kept), 0xA5));
      REQUIRE(all_are(whole.subspan(kept), 0));
      REQUIRE(memory_lock_status().bytes_in_use == before + kept);
    }
  }
  REQUIRE(memory_lock_status().bytes_in_use == before);
  // Were a shrunk block filed under its new size, or a small one under a large size, these would overlap.
  std::vector<SecretBytes> blocks;
  for (std::uint8_t i = 0; i < 60; ++i) {
    blocks.emplace_back(i % 2 == 0 ? 5000 : 40);
    fill(blocks.back(), i);
  }
  for (std::uint8_t i = 0; i < 60; ++i) REQUIRE(all_are(blocks[i].view(), i));
}

TEST_CASE("Secrets of many threads never overlap and always start at zero") {
  constexpr std::size_t kThreads = 4;
  std::array<bool, kThreads> sound{};
  std::vector<std::thread> threads;
  for (std::size_t t = 0; t < kThreads; ++t) {
    threads.emplace_back([t, &sound] {
      test::SeededRandom random(t);
      std::vector<SecretBytes> held(40);
      std::vector<std::uint8_t> marks(held.size());
      bool good = true;
      for (int step = 0; step < 4000; ++step) {
        const std::size_t i = random.below(held.size());
        good = good && all_are(held[i].view(), marks[i]);
        held[i] = SecretBytes(random.below(1U << random.below(18)));
        good = good && all_are(held[i].view(), 0);
        marks[i] = static_cast<std::uint8_t>(random.below(256));
        fill(held[i], marks[i]);
      }
      sound[t] = good;
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (const bool good : sound) REQUIRE(good);
}

TEST_CASE("A forked child sees zeros, can take secrets of its own, and the parent keeps its") {
  SecretBytes small(100);
  SecretBytes large(300'000);
  fill(small, 0xA5);
  fill(large, 0xA5);
  const bool locked = memory_lock_status().locked;
  const int status = in_child([&] {
    if (!all_are(small.view(), 0) || !all_are(large.view(), 0)) return 1;
    SecretBytes own(100);
    if (!all_are(own.view(), 0)) return 2;
    fill(own, 0x5A);
    small = SecretBytes();
    if (memory_lock_status().locked != locked) return 3;
    if (kLocksAreReal && locked) {  // locks do not pass over a fork: the child must have taken its own
      for (const test::Mapping& mapping : test::mappings()) {
        if (mapping.has("wf") && mapping.has("dd") && mapping.permissions.starts_with("rw") && !mapping.has("lo"))
          return 4;
      }
    }
    return 0;
  });
  REQUIRE(status == 0);
  REQUIRE(all_are(small.view(), 0xA5));
  REQUIRE(all_are(large.view(), 0xA5));
}

TEST_CASE("A child forked while other threads use the arena can use it too") {
  std::atomic<bool> stop = false;
  std::vector<std::thread> threads;
  for (int t = 0; t < 2; ++t) {
    threads.emplace_back([&stop] {
      while (!stop) SecretBytes churn(64);
    });
  }
  int failures = 0;
  for (int i = 0; i < 50; ++i) failures += in_child([] { return SecretBytes(64).size() == 64 ? 0 : 1; }) == 0 ? 0 : 1;
  stop = true;
  for (std::thread& thread : threads) thread.join();
  REQUIRE(failures == 0);
}

TEST_CASE("Secrets are left out of dumps, locked when the status says so, and fenced by guard pages") {
  for (const std::size_t size : {std::size_t{32}, std::size_t{65536}, std::size_t{1'000'000}}) {
    SecretBytes secret(size);
    const auto address = reinterpret_cast<std::uintptr_t>(secret.view().data());  // NOLINT
    const std::vector<test::Mapping> all = test::mappings();
    const auto at =
        std::ranges::find_if(all, [address](const test::Mapping& m) { return m.begin <= address && address < m.end; });
    CAPTURE(size);
    REQUIRE(at != all.end());
    REQUIRE(address + size <= at->end);
    REQUIRE(at->has("dd"));
    REQUIRE(at->has("wf"));
    if (kLocksAreReal && memory_lock_status().locked) REQUIRE(at->has("lo"));
    REQUIRE(at != all.begin());
    const test::Mapping& before = *std::prev(at);
    const test::Mapping& after = *std::next(at);
    REQUIRE(before.end == at->begin);
    REQUIRE(before.permissions == "---p");
    REQUIRE(after.begin == at->end);
    REQUIRE(after.permissions == "---p");
  }
}

TEST_CASE("The lock status says so when the system refuses to lock, and secrets still work") {
  const int status = in_child([] {
    const rlimit none{0, 0};
    if (::setrlimit(RLIMIT_MEMLOCK, &none) != 0) return 1;
    if (::geteuid() == 0 && ::setuid(65534) != 0) return 2;  // root may lock beyond any limit
    SecretBytes secret(2'000'000);
    fill(secret, 0xA5);
    SecretBytes small(10);
    fill(small, 0xA5);
    return kLocksAreReal && memory_lock_status().locked ? 3 : 0;
  });
  REQUIRE(status == 0);
}

TEST_CASE("A secret too large for any machine is refused with bad_alloc and leaves the count alone") {
  const std::size_t before = memory_lock_status().bytes_in_use;
  REQUIRE_THROWS_AS(SecretBytes(SIZE_MAX), std::bad_alloc);
  REQUIRE_THROWS_AS(SecretBytes(SIZE_MAX / 2), std::bad_alloc);
  REQUIRE(memory_lock_status().bytes_in_use == before);
}
