// SPDX-License-Identifier: Apache-2.0
#include "keys/erasure_root.hpp"

#include <signal.h>

#include <algorithm>

#include "base/process.hpp"
#include "catch.hpp"
#include "support/fixed_environment.hpp"
#include "support/temp_folder.hpp"

namespace casevault::test {
namespace {

using keys::ErasureRoot;
using keys::LiveRoot;

constexpr std::uint64_t kCopy = 1U << 20U;
constexpr std::array<std::uint64_t, 4> kPlaces = {0, 4096, kCopy, kCopy + 4096};
constexpr std::size_t kPlaceSize = 8 + 8 + 4 + 32 + 73;

struct Fixture {
  TempFolder folder;
  std::filesystem::path file = folder / "erasure.root";
  FixedEnvironment environment;
  base::Random& random = environment.random;
  SecretBytes vault_key = crypto::random_key(random);
  keys::RootContext context{keys::VaultTag{5}, 1, &vault_key};
  SecretBytes old_root = crypto::random_key(random);
  SecretBytes new_root = crypto::random_key(random);
  LiveRoot old_live{1, keys::commit_root(context.vault, 1, old_root)};
  LiveRoot new_live{2, keys::commit_root(context.vault, 2, new_root)};

  Fixture() { REQUIRE_DONE(ErasureRoot::create(file, context, 1, old_root, random)); }
  void stage() {
    ErasureRoot lock = REQUIRE_OK(ErasureRoot::lock(file));
    REQUIRE_DONE(lock.stage(context, 2, new_root, random));
  }
  void settle(const LiveRoot& live) {
    ErasureRoot lock = REQUIRE_OK(ErasureRoot::lock(file));
    REQUIRE_OK(lock.settle(context, live, random));
  }
  [[nodiscard]] Result<SecretBytes> load(const LiveRoot& live) const { return ErasureRoot::load(file, context, live); }
  [[nodiscard]] bool idle(const LiveRoot& live) const { return REQUIRE_OK(ErasureRoot::idle(file, context, live)); }
  void overwrite(std::uint64_t at, ByteView bytes) const {
    const base::Fd fd = REQUIRE_OK(base::open_file(file, base::OpenMode::kReadWrite));
    REQUIRE_DONE(base::write_at(fd, at, bytes, "erasure.root"));
  }
  void spoil(std::uint64_t place) {
    Bytes garbage(kPlaceSize);
    random.fill(garbage);
    overwrite(place, garbage);
  }
  [[nodiscard]] Bytes bytes() const { return REQUIRE_OK(base::read_file(file, 8U << 20U, true)); }
};

/// Whether the file still gives the old root to anybody.
bool knows(const Fixture& f, const LiveRoot& live) { return f.load(live).has_value(); }

TEST_CASE("durable: a new erasure root is idle and gives its key") {
  Fixture f;
  CHECK(REQUIRE_OK(f.load(f.old_live)).equals(f.old_root.view()));
  CHECK(f.idle(f.old_live));
  REQUIRE_FALSE(ErasureRoot::create(f.file, f.context, 1, f.new_root, f.random).has_value());
  CHECK(REQUIRE_OK(f.load(f.old_live)).equals(f.old_root.view()));
  const Bytes bytes = f.bytes();
  CHECK(std::ranges::search(bytes, f.old_root.view().first(8)).empty());
}

TEST_CASE("durable: killed after staging, before the commit: the old root is live, settling drops the staged one") {
  Fixture f;
  f.stage();
  CHECK(REQUIRE_OK(f.load(f.old_live)).equals(f.old_root.view()));
  CHECK_FALSE(f.idle(f.old_live));
  CHECK(knows(f, f.new_live));
  f.settle(f.old_live);
  CHECK(f.idle(f.old_live));
  CHECK_FALSE(knows(f, f.new_live));
  f.settle(f.old_live);  // doing it twice does no harm
  CHECK(f.idle(f.old_live));
}

TEST_CASE("erasable: killed after the commit, before settling: the new root is live, settling overwrites the old one") {
  Fixture f;
  f.stage();
  const Bytes before = f.bytes();
  CHECK(REQUIRE_OK(f.load(f.new_live)).equals(f.new_root.view()));
  CHECK_FALSE(f.idle(f.new_live));
  f.settle(f.new_live);
  CHECK(f.idle(f.new_live));
  CHECK_FALSE(knows(f, f.old_live));
  // Every place was overwritten, none only in part.
  const Bytes after = f.bytes();
  for (const std::uint64_t place : kPlaces) {
    CHECK(std::search(after.begin(), after.end(), before.begin() + static_cast<std::ptrdiff_t>(place) + 20,
                      before.begin() + static_cast<std::ptrdiff_t>(place) + 60) == after.end());
  }
}

TEST_CASE(
    "durable: killed between the writes of staging or settling, any prefix of them leaves the live root readable") {
  Fixture f;
  const Bytes idle_old = f.bytes();
  f.stage();
  const Bytes staged = f.bytes();
  f.settle(f.new_live);
  const Bytes settled = f.bytes();
  const auto mix = [&](const Bytes& from, const Bytes& to, std::span<const std::uint64_t> written, std::size_t torn) {
    Bytes image = from;
    for (std::size_t i = 0; i < written.size(); ++i) {
      const std::size_t size = i + 1 == written.size() ? torn : kPlaceSize;
      std::copy_n(to.begin() + static_cast<std::ptrdiff_t>(written[i]), size,
                  image.begin() + static_cast<std::ptrdiff_t>(written[i]));
    }
    f.overwrite(0, image);
  };
  const std::array<std::uint64_t, 2> staging = {kPlaces[1], kPlaces[3]};
  for (std::size_t count = 1; count <= staging.size(); ++count) {
    for (std::size_t torn = 0; torn <= kPlaceSize; torn += 5) {
      mix(idle_old, staged, std::span(staging).first(count), torn);
      REQUIRE(REQUIRE_OK(f.load(f.old_live)).equals(f.old_root.view()));
    }
  }
  for (std::size_t count = 1; count <= kPlaces.size(); ++count) {
    for (std::size_t torn = 0; torn <= kPlaceSize; torn += 5) {
      mix(staged, settled, std::span(kPlaces).first(count), torn);
      REQUIRE(REQUIRE_OK(f.load(f.new_live)).equals(f.new_root.view()));
    }
  }
}

TEST_CASE("robust: garbage in up to three places still gives the root, in all four it is refused") {
  for (unsigned spoiled = 1; spoiled < 16; ++spoiled) {
    CAPTURE(spoiled);
    Fixture f;
    for (unsigned i = 0; i < 4; ++i) {
      if ((spoiled >> i & 1U) != 0) f.spoil(kPlaces.at(i));
    }
    if (spoiled == 15) {
      REQUIRE_ERROR(ErrorCode::kIntegrity, f.load(f.old_live));
      ErasureRoot lock = REQUIRE_OK(ErasureRoot::lock(f.file));
      REQUIRE_ERROR(ErrorCode::kIntegrity, lock.settle(f.context, f.old_live, f.random));
      continue;
    }
    CHECK(REQUIRE_OK(f.load(f.old_live)).equals(f.old_root.view()));
    CHECK_FALSE(f.idle(f.old_live));
    f.settle(f.old_live);
    CHECK(f.idle(f.old_live));
  }
}

TEST_CASE("robust: every flipped byte of a place costs that place and nothing else") {
  Fixture f;
  const Bytes image = f.bytes();
  for (const std::uint64_t place : {kPlaces[0], kPlaces[3]}) {
    for (std::size_t i = 0; i < kPlaceSize; ++i) {
      const std::uint8_t flipped = image[place + i] ^ 0x10U;
      f.overwrite(place + i, ByteView(&flipped, 1));
      REQUIRE(REQUIRE_OK(f.load(f.old_live)).equals(f.old_root.view()));
      REQUIRE_FALSE(f.idle(f.old_live));
      f.overwrite(place + i, ByteView(&image[place + i], 1));
    }
  }
  CHECK(f.idle(f.old_live));
}

TEST_CASE("robust: a truncated file serves from what is left and says so, an empty one is refused") {
  Fixture f;
  for (const std::uint64_t size :
       {kCopy + 4096, kCopy, std::uint64_t{8192}, std::uint64_t{4096}, std::uint64_t{kPlaceSize}}) {
    std::filesystem::resize_file(f.file, size);
    CAPTURE(size);
    CHECK(REQUIRE_OK(f.load(f.old_live)).equals(f.old_root.view()));
    CHECK_FALSE(f.idle(f.old_live));
  }
  for (const std::uint64_t size : {kPlaceSize - 1, std::size_t{1}, std::size_t{0}}) {
    std::filesystem::resize_file(f.file, size);
    REQUIRE_ERROR(ErrorCode::kIntegrity, f.load(f.old_live));
  }
  std::filesystem::remove(f.file);
  REQUIRE_ERROR(ErrorCode::kNotFound, f.load(f.old_live));
}

TEST_CASE("robust: settling mends a file that was cut short") {
  Fixture f;
  std::filesystem::resize_file(f.file, 4096);
  f.settle(f.old_live);
  CHECK(f.idle(f.old_live));
}

TEST_CASE("erasable: a database older than the root is told as rolled back, and gets nothing") {
  Fixture f;
  f.stage();
  f.settle(f.new_live);
  REQUIRE_ERROR(ErrorCode::kRolledBack, f.load(f.old_live));
  ErasureRoot lock = REQUIRE_OK(ErasureRoot::lock(f.file));
  REQUIRE_ERROR(ErrorCode::kRolledBack, lock.settle(f.context, f.old_live, f.random));
  CHECK(f.idle(f.new_live));
}

TEST_CASE("bound: a root file older than the database, of another vault, epoch or vault key is refused") {
  Fixture f;
  REQUIRE_ERROR(ErrorCode::kIntegrity, f.load(f.new_live));
  keys::RootContext other = f.context;
  other.vault = keys::VaultTag{6};
  REQUIRE_ERROR(ErrorCode::kIntegrity, ErasureRoot::load(f.file, other, f.old_live));
  other = f.context;
  other.vault_key_epoch = 2;
  REQUIRE_ERROR(ErrorCode::kIntegrity, ErasureRoot::load(f.file, other, f.old_live));
  const SecretBytes wrong = crypto::random_key(f.random);
  other = f.context;
  other.vault_key = &wrong;
  REQUIRE_ERROR(ErrorCode::kIntegrity, ErasureRoot::load(f.file, other, f.old_live));
  // A key holder's own root under the live epoch's number: the database commits to another.
  LiveRoot claimed = f.old_live;
  claimed.commitment = keys::commit_root(f.context.vault, 1, f.new_root);
  REQUIRE_ERROR(ErrorCode::kIntegrity, f.load(claimed));
  // A place relabelled with another epoch does not open: the epoch is bound.
  Bytes image = f.bytes();
  for (const std::uint64_t place : kPlaces) image[place + 15] = 2;
  f.overwrite(0, image);
  LiveRoot renamed{2, keys::commit_root(f.context.vault, 2, f.old_root)};
  REQUIRE_ERROR(ErrorCode::kIntegrity, f.load(renamed));
}

TEST_CASE("durable: the lock is exclusive between two processes and ends with its holder") {
  Fixture f;
  {
    const ErasureRoot mine = REQUIRE_OK(ErasureRoot::lock(f.file));
    CHECK(in_child([&] {
            const auto theirs = ErasureRoot::lock(f.file);
            return !theirs && theirs.error().code == ErrorCode::kBusy ? 0 : 1;
          }) == 0);
  }
  CHECK(in_child([&] { return ErasureRoot::lock(f.file) ? 0 : 1; }) == 0);
  CHECK(in_child([&] {  // killed while it holds it
          const auto theirs = ErasureRoot::lock(f.file);
          return theirs && ::kill(::getpid(), SIGKILL) == 0 ? 0 : 1;
        }) == -1);
  REQUIRE_OK(ErasureRoot::lock(f.file));
}

}  // namespace
}  // namespace casevault::test
