// SPDX-License-Identifier: Apache-2.0
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>

#include "journal.hpp"

namespace casevault::test {
namespace {

using log::open_log;
using Bodies = std::vector<std::string>;

/// File operations that fail on demand.
struct Faults {
  int writes_to_fail = 0;   ///< the next so many; negative: all
  std::size_t written = 0;  ///< bytes that a failing write still writes
  int syncs_to_fail = 0;
  ErrorCode code = ErrorCode::kIo;

  [[nodiscard]] log::FileOps ops() {
    log::FileOps system = log::system_file_ops();
    log::FileOps faulty;
    faulty.write_at = [this, system](const base::Fd& fd, std::uint64_t at, ByteView data,
                                     std::string_view name) -> Result<void> {
      if (!due(writes_to_fail)) return system.write_at(fd, at, data, name);
      CASEVAULT_CHECK(system.write_at(fd, at, data.first(std::min(written, data.size())), name));
      return Error{code, "injected write failure"};
    };
    faulty.sync = [this, system](const base::Fd& fd, std::string_view name) -> Result<void> {
      if (!due(syncs_to_fail)) return system.sync(fd, name);
      return Error{ErrorCode::kIo, "injected flush failure"};
    };
    return faulty;
  }

 private:
  static bool due(int& left) {
    if (left == 0) return false;
    if (left > 0) --left;
    return true;
  }
};

/// What a fresh reader finds.
Bodies found(const LogFolder& folder) {
  Journal journal;
  auto log = REQUIRE_OK(open_log(folder.path(), journal, {true, 1U << 20U}));
  CHECK(log->torn_bytes() == 0);
  return bodies_of(scan_all(*log));
}

TEST_CASE("a write that fails is taken back whole, whatever part of it was written") {
  for (const std::size_t written : {0U, 1U, 4U, 10U, 40U, 1000U}) {
    for (const ErrorCode code : {ErrorCode::kDiskFull, ErrorCode::kIo}) {
      CAPTURE(written);
      const LogFolder folder;
      Journal journal;
      Faults faults;
      auto log = REQUIRE_OK(open_log(folder.path(), journal, {}, faults.ops()));
      REQUIRE_DONE(add(*log, journal, {"one"}));
      const Bytes before = folder.bytes(0);
      faults.writes_to_fail = 1;
      faults.written = written;
      faults.code = code;
      REQUIRE_ERROR(code, add(*log, journal, {"lost", std::string(50, 'x')}));
      CHECK(journal.bodies() == Bodies{"one"});
      CHECK(folder.bytes(0) == before);
      CHECK(log->segment_count() == 1);
      CHECK(found(folder) == Bodies{"one"});
      REQUIRE_DONE(add(*log, journal, {"two"}));
      CHECK(found(folder) == Bodies{"one", "two"});
    }
  }
}

TEST_CASE("a write that fails and cannot be zeroed is superseded by a new segment") {
  const LogFolder folder;
  Journal journal;
  Faults faults;
  auto log = REQUIRE_OK(open_log(folder.path(), journal, {}, faults.ops()));
  REQUIRE_DONE(add(*log, journal, {"one"}));
  faults.writes_to_fail = 2;
  faults.written = 1000;  // the whole batch, but said to have failed
  faults.syncs_to_fail = 1;
  REQUIRE_ERROR(ErrorCode::kIo, add(*log, journal, {"lost"}));
  CHECK(log->segment_count() == 2);
  CHECK(found(folder) == Bodies{"one"});
  REQUIRE_DONE(add(*log, journal, {"two"}));
  CHECK(found(folder) == Bodies{"one", "two"});
}

TEST_CASE("after a failed flush the outcome is unknown, and the segment ends at the last acknowledged batch") {
  const LogFolder folder;
  Journal journal;
  Journal other;
  Journal reader;
  Faults faults;
  auto log = REQUIRE_OK(open_log(folder.path(), journal, {}, faults.ops()));
  auto second = REQUIRE_OK(open_log(folder.path(), other, {}));
  auto follower = REQUIRE_OK(open_log(folder.path(), reader, {true, 1U << 20U}));
  REQUIRE_DONE(add(*log, journal, {"one"}));
  const log::Position lost{0, journal.lines().back().position.offset + log::kFrameHead + 7};
  faults.syncs_to_fail = 1;
  REQUIRE_ERROR(ErrorCode::kUnknownOutcome, add(*log, journal, {"lost"}));
  CHECK(journal.bodies() == Bodies{"one"});
  CHECK(log->segment_count() == 2);
  CHECK(found(folder) == Bodies{"one"});
  REQUIRE_DONE(add(*log, journal, {"two"}));
  CHECK(journal.lines().back().position.segment == 1);
  REQUIRE_ERROR(ErrorCode::kIntegrity, log->read(lost));  // whole on the disk, and void
  for (auto* each : {second.get(), follower.get()}) {
    REQUIRE_DONE(each->refresh());
    CHECK(scan_all(*each) == journal.lines());
  }
  CHECK(other.lines() == journal.lines());
  CHECK(reader.lines() == journal.lines());
  REQUIRE_DONE(add(*second, other, {"three"}));
  CHECK(found(folder) == Bodies{"one", "two", "three"});
}

TEST_CASE("when no new segment can be begun either, the log goes on in one as soon as it can") {
  const LogFolder folder;
  Journal journal;
  Faults faults;
  auto log = REQUIRE_OK(open_log(folder.path(), journal, {}, faults.ops()));
  REQUIRE_DONE(add(*log, journal, {"one"}));
  faults.syncs_to_fail = -1;
  REQUIRE_ERROR(ErrorCode::kUnknownOutcome, add(*log, journal, {"lost"}));
  REQUIRE_ERROR(ErrorCode::kIo, add(*log, journal, {"refused"}));
  CHECK_FALSE(std::filesystem::exists(folder.path() / "next.tmp"));
  CHECK(journal.bodies() == Bodies{"one"});
  CHECK(found(folder) == Bodies{"one"});
  SECTION("of its own") {
    faults.syncs_to_fail = 0;
    REQUIRE_DONE(add(*log, journal, {"two"}));
    CHECK(log->segment_count() == 2);
    CHECK(found(folder) == Bodies{"one", "two"});
  }
  SECTION("after another process wrote meanwhile") {
    Journal other;
    auto second = REQUIRE_OK(open_log(folder.path(), other, {}));
    REQUIRE_DONE(add(*second, other, {"two"}));
    faults.syncs_to_fail = 0;
    REQUIRE_DONE(add(*log, journal, {"three"}));
    CHECK(journal.bodies() == Bodies{"one", "two", "three"});
    CHECK(found(folder) == Bodies{"one", "two", "three"});
    REQUIRE_DONE(second->refresh());
    CHECK(other.lines() == journal.lines());
  }
}

TEST_CASE("a batch of unknown outcome that nobody could take back is there after all, for everybody") {
  const LogFolder folder;
  Journal journal;
  bool broken = false;
  bool flushed = false;
  log::FileOps ops = log::system_file_ops();
  ops.write_at = [&, inner = ops.write_at](const base::Fd& fd, std::uint64_t at, ByteView data,
                                           std::string_view name) -> Result<void> {
    if (broken && flushed) return Error{ErrorCode::kIo, "injected write failure"};
    return inner(fd, at, data, name);
  };
  ops.sync = [&, inner = ops.sync](const base::Fd& fd, std::string_view name) -> Result<void> {
    flushed = true;
    if (broken) return Error{ErrorCode::kIo, "injected flush failure"};
    return inner(fd, name);
  };
  auto log = REQUIRE_OK(open_log(folder.path(), journal, {}, ops));
  REQUIRE_DONE(add(*log, journal, {"one"}));
  // No segment can be made, because something stands in its way, and nothing can be zeroed either.
  std::filesystem::create_directories(folder.path() / "next.tmp" / "in the way");
  flushed = false;
  broken = true;
  REQUIRE_ERROR(ErrorCode::kUnknownOutcome, add(*log, journal, {"perhaps"}));
  broken = false;
  CHECK(journal.bodies() == Bodies{"one"});
  std::filesystem::remove_all(folder.path() / "next.tmp");
  REQUIRE_DONE(add(*log, journal, {"two"}));
  CHECK(journal.bodies() == Bodies{"one", "perhaps", "two"});
  CHECK(found(folder) == journal.bodies());
  CHECK(log->segment_count() == 2);
}

TEST_CASE("a reader that saw a batch before its flush failed is told to open again") {
  const LogFolder folder;
  Journal journal;
  Journal reader;
  Faults faults;
  std::unique_ptr<log::Log> follower;
  log::FileOps ops = faults.ops();
  ops.sync = [&, inner = ops.sync](const base::Fd& fd, std::string_view name) -> Result<void> {
    if (faults.syncs_to_fail > 0) REQUIRE_DONE(follower->refresh());
    return inner(fd, name);
  };
  auto log = REQUIRE_OK(open_log(folder.path(), journal, {}, ops));
  follower = REQUIRE_OK(open_log(folder.path(), reader, {true, 1U << 20U}));
  REQUIRE_DONE(add(*log, journal, {"one"}));
  faults.syncs_to_fail = 1;
  REQUIRE_ERROR(ErrorCode::kUnknownOutcome, add(*log, journal, {"lost"}));
  REQUIRE(reader.bodies() == Bodies{"one", "lost"});
  REQUIRE_ERROR(ErrorCode::kUnknownOutcome, follower->refresh());
  CHECK(found(folder) == Bodies{"one"});
}

TEST_CASE("a batch whose writer died before the flush is written again and flushed by the next one") {
  const LogFolder folder;
  Journal dead;
  Faults faults;
  int writes = 0;
  int syncs = 0;
  {
    log::FileOps ops = log::system_file_ops();
    ops.sync = [](const base::Fd&, std::string_view) -> Result<void> { return {}; };
    auto log = REQUIRE_OK(open_log(folder.path(), dead, {}, ops));
    REQUIRE_DONE(add(*log, dead, {"one"}));
    REQUIRE_DONE(add(*log, dead, {"unflushed"}));
  }
  log::FileOps ops = log::system_file_ops();
  const Bytes before = folder.bytes(0);
  ops.write_at = [&, inner = ops.write_at](const base::Fd& fd, std::uint64_t at, ByteView data, std::string_view name) {
    CHECK(syncs == 0);
    CHECK(at == dead.lines()[2].position.offset);
    ++writes;
    return inner(fd, at, data, name);
  };
  ops.sync = [&, inner = ops.sync](const base::Fd& fd, std::string_view name) { return ++syncs, inner(fd, name); };
  Journal journal;
  auto log = REQUIRE_OK(open_log(folder.path(), journal, {}, ops));
  CHECK(writes == 1);
  CHECK(syncs == 1);
  CHECK(journal.lines() == dead.lines());
  CHECK(folder.bytes(0) == before);
}

TEST_CASE("one write and one flush a batch, and neither when nothing is new") {
  const LogFolder folder;
  Journal journal;
  log::FileOps ops = log::system_file_ops();
  int writes = 0;
  int syncs = 0;
  ops.write_at = [&, inner = ops.write_at](const base::Fd& fd, std::uint64_t at, ByteView data, std::string_view name) {
    return ++writes, inner(fd, at, data, name);
  };
  ops.sync = [&, inner = ops.sync](const base::Fd& fd, std::string_view name) { return ++syncs, inner(fd, name); };
  auto log = REQUIRE_OK(open_log(folder.path(), journal, {}, ops));
  CHECK(writes + syncs == 0);
  for (int i = 0; i < 10; ++i) REQUIRE_DONE(add(*log, journal, {"a", "b", "c"}));
  REQUIRE_DONE(log->refresh());
  CHECK(writes == 10);
  CHECK(syncs == 10);
  CHECK(journal.replayed == 0);
}

/// Runs `body` in a child that may not make files larger than `limit`; true when it returned true.
template <typename Body>
bool in_limited_child(rlim_t limit, Body body) {
  const pid_t child = ::fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    ::signal(SIGXFSZ, SIG_IGN);
    const rlimit size{limit, limit};
    bool good = false;
    if (::setrlimit(RLIMIT_FSIZE, &size) == 0) good = body();
    ::_exit(good ? 0 : 1);
  }
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

TEST_CASE("a disk that fills up refuses the batch, keeps all before it, and harms no later one") {
  const LogFolder folder;
  CHECK(in_limited_child(200'000, [&] {
    Journal journal;
    auto log = open_log(folder.path(), journal, {});
    if (!log) return false;
    for (int i = 0; i < 1000; ++i) {
      const auto bodies = journal.bodies();
      const Result<void> added = add(**log, journal, {std::to_string(i) + std::string(7000, '.')});
      if (!added) {
        return i > 20 && added.error().code == ErrorCode::kDiskFull && journal.bodies() == bodies &&
               bodies_of(scan_all(**log)) == bodies && add(**log, journal, {"denied: disk full"}).has_value();
      }
    }
    return false;
  }));
  Journal journal;
  auto log = REQUIRE_OK(open_log(folder.path(), journal, {}));
  CHECK(log->torn_bytes() == 0);
  REQUIRE(journal.bodies().size() > 20);
  CHECK(journal.bodies().back() == "denied: disk full");
  REQUIRE_DONE(add(*log, journal, {"space again"}));
  CHECK(found(folder) == journal.bodies());
}

TEST_CASE("no room for a new segment leaves no half of one, and the reserve still takes entries") {
  const LogFolder folder;
  const log::LogOptions options{false, 65536};
  CHECK(in_limited_child(60'000, [&] {
    Journal journal;
    auto log = open_log(folder.path(), journal, options);
    if (!log) return false;
    bool refused = false;
    for (int i = 0; i < 2000 && !refused; ++i) {
      const Result<void> added = add(**log, journal, {std::string(100, '.')});
      if (!added && added.error().code != ErrorCode::kDiskFull) return false;
      refused = !added;
    }
    return refused && (*log)->segment_count() == 1 && !std::filesystem::exists(folder.path() / "next.tmp");
  }));
  Journal journal;
  auto log = REQUIRE_OK(open_log(folder.path(), journal, options));
  CHECK(log->segment_count() == 1);
  CHECK(log->torn_bytes() == 0);
  CHECK(journal.bodies().size() > 350);
  while (log->segment_count() == 1) REQUIRE_DONE(add(*log, journal, {std::string(100, '.')}));

  // In segment 0 of the next folder only its allocated bytes are left, and files may be no larger than they are.
  const LogFolder full;
  CHECK(in_limited_child(1U << 20U, [&] {
    Journal writer;
    auto opened = open_log(full.path(), writer, {false, 1U << 21U});
    if (!opened) return false;
    if (!add(**opened, writer, {std::string(1'000'000, 'x')})) return false;
    const Result<void> large = add(**opened, writer, {std::string(100'000, 'y')});
    if (large || large.error().code != ErrorCode::kDiskFull) return false;
    return add(**opened, writer, {"denied: disk full"}).has_value();
  }));
  CHECK(found(full).size() == 2);
}

TEST_CASE("a log that cannot be made leaves nothing behind") {
  const TempFolder folder;
  CHECK(in_limited_child(1000, [&] {
    Journal journal;
    const Result<void> made = log::create_log(folder / "log", journal);
    return !made && made.error().code == ErrorCode::kDiskFull;
  }));
  CHECK_FALSE(std::filesystem::exists(folder / "log"));
}

}  // namespace
}  // namespace casevault::test
