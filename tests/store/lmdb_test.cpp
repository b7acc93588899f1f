// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <fstream>
#include <future>
#include <iostream>

#include "catch.hpp"
#include "store/store.hpp"
#include "support/faulty_store.hpp"
#include "support/fixed_environment.hpp"
#include "support/temp_folder.hpp"

namespace {

/// What the next writes of liblmdb do. It reaches these functions through the dynamic linker, which prefers ours.
struct IoFault {
  enum class On : std::uint8_t { kNothing, kPages, kShortPages, kFlush, kMeta };
  On on = On::kNothing;
  int error = 0;
};
IoFault fault;
constexpr std::size_t kMetaTail = 120;  // the one write of LMDB of this size

/// 0: go on; -1: fail with errno; 1: short write.
int judge_write(std::size_t size) {
  const bool meta = size == kMetaTail;
  if (meta ? fault.on == IoFault::On::kMeta : fault.on == IoFault::On::kPages) {
    errno = fault.error;
    return -1;
  }
  return !meta && fault.on == IoFault::On::kShortPages ? 1 : 0;
}

}  // namespace

extern "C" {
__attribute__((visibility("default"))) ssize_t pwrite(int fd, const void* data, std::size_t size, off_t offset) {
  const int verdict = judge_write(size);
  if (verdict < 0) return -1;
  return ::syscall(SYS_pwrite64, fd, data, verdict > 0 ? size / 2 : size, offset);
}
__attribute__((visibility("default"))) ssize_t writev(int fd, const struct iovec* parts, int count) {
  const int verdict = judge_write(0);
  if (verdict < 0) return -1;
  return ::syscall(SYS_writev, fd, parts, verdict > 0 ? count - 1 : count);
}
__attribute__((visibility("default"))) int fdatasync(int fd) {
  if (fault.on == IoFault::On::kFlush) {
    errno = fault.error;
    return -1;
  }
  return static_cast<int>(::syscall(SYS_fdatasync, fd));
}
}

namespace {

using namespace casevault;
using namespace casevault::store;

ByteView view(std::string_view text) { return as_bytes(text); }

Result<void> put_one(Store& store, std::string_view key, ByteView value) {
  CASEVAULT_TRY(auto txn, store.begin_write());
  CASEVAULT_CHECK(txn->put(Table::kRows, view(key), value));
  return txn->commit();
}

bool has(Store& store, std::string_view key) {
  auto txn = REQUIRE_OK(store.begin_read());
  return REQUIRE_OK(txn->get(Table::kRows, view(key))).has_value();
}

unsigned mode_of(const std::filesystem::path& path) {
  struct stat info{};
  REQUIRE(::lstat(path.c_str(), &info) == 0);
  return info.st_mode & 07777U;
}

/// Runs `work` in a child; yields its exit code, or minus the signal that killed it.
template <typename Work>
int in_child(Work work) {
  const pid_t child = ::fork();
  if (child == 0) ::_exit(work());
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

std::string number(std::uint64_t n) {
  std::string text = std::to_string(n);
  return std::string(8 - text.size(), '0') + text;
}

}  // namespace

TEST_CASE("a new store is private, close-on-exec, passes the preflight and opens again with what it held") {
  const test::TempFolder folder;
  {
    auto store = REQUIRE_OK(open_lmdb_store(folder.path(), {.create = true}));
    REQUIRE(mode_of(folder / "data.mdb") == 0600);
    REQUIRE(mode_of(folder / "lock.mdb") == 0600);
    int open_files = 0;
    for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
      std::error_code gone;
      if (std::filesystem::read_symlink(entry.path(), gone).parent_path() != folder.path()) continue;
      ++open_files;
      REQUIRE((::fcntl(std::stoi(entry.path().filename().string()), F_GETFD) & FD_CLOEXEC) != 0);
    }
    REQUIRE(open_files == 3);
    REQUIRE_DONE(put_one(*store, "k", view("v")));
    const StoreInfo info = REQUIRE_OK(store->info());
    REQUIRE(info.file_bytes == std::filesystem::file_size(folder / "data.mdb"));
    REQUIRE(info.txnid == 2);
  }
  REQUIRE(REQUIRE_OK(preflight(folder.path(), PreflightDepth::kFull)).txnid == 2);
  auto again = REQUIRE_OK(open_lmdb_store(folder.path(), {}));
  REQUIRE(has(*again, "k"));
}

TEST_CASE("create never touches files that exist, and open never makes new ones") {
  const test::TempFolder folder;
  REQUIRE_ERROR(ErrorCode::kNotFound, open_lmdb_store(folder.path(), {}));
  REQUIRE_ERROR(ErrorCode::kNotFound, open_lmdb_store(folder.path(), {.read_only = true}));
  REQUIRE(std::filesystem::is_empty(folder.path()));
  REQUIRE_ERROR(ErrorCode::kUsage, open_lmdb_store(folder.path(), {.create = true, .read_only = true}));
  REQUIRE_OK(open_lmdb_store(folder.path(), {.create = true}));
  const auto size = std::filesystem::file_size(folder / "data.mdb");
  REQUIRE_ERROR(ErrorCode::kUsage, open_lmdb_store(folder.path(), {.create = true}));
  std::filesystem::remove(folder / "lock.mdb");
  REQUIRE_ERROR(ErrorCode::kUsage, open_lmdb_store(folder.path(), {.create = true}));
  REQUIRE(std::filesystem::file_size(folder / "data.mdb") == size);
  std::filesystem::resize_file(folder / "data.mdb", 0);
  REQUIRE_ERROR(ErrorCode::kIntegrity, open_lmdb_store(folder.path(), {}));
  REQUIRE(std::filesystem::file_size(folder / "data.mdb") == 0);
}

TEST_CASE("a create that fails leaves no files behind") {
  const test::TempFolder folder;
  fault = {IoFault::On::kPages, ENOSPC};
  auto store = open_lmdb_store(folder.path(), {.create = true});
  fault = {};
  REQUIRE_ERROR(ErrorCode::kDiskFull, std::move(store));
  REQUIRE(std::filesystem::is_empty(folder.path()));
}

TEST_CASE("looser modes, links and second names are refused") {
  const test::TempFolder folder;
  REQUIRE_OK(open_lmdb_store(folder.path(), {.create = true}));
  for (const char* name : {"data.mdb", "lock.mdb"}) {
    CAPTURE(name);
    const auto path = folder / name;
    ::chmod(path.c_str(), 0640);
    REQUIRE_ERROR(ErrorCode::kUnsafePermissions, open_lmdb_store(folder.path(), {}));
    ::chmod(path.c_str(), 0600);
    std::filesystem::create_hard_link(path, folder / "second");
    REQUIRE_ERROR(ErrorCode::kUnsafePermissions, open_lmdb_store(folder.path(), {}));
    std::filesystem::remove(folder / "second");
    std::filesystem::rename(path, folder / "real");
    std::filesystem::create_symlink("real", path);
    REQUIRE_ERROR(ErrorCode::kUnsafePermissions, open_lmdb_store(folder.path(), {}));
    std::filesystem::remove(path);
    std::filesystem::rename(folder / "real", path);
  }
  ::chmod(folder.path().c_str(), 0750);
  REQUIRE_ERROR(ErrorCode::kUnsafePermissions, open_lmdb_store(folder.path(), {}));
  ::chmod(folder.path().c_str(), 0700);
  REQUIRE_OK(open_lmdb_store(folder.path(), {}));
}

TEST_CASE("one process opens a file once, by whatever path, and again after closing") {
  const test::TempFolder folder;
  auto store = REQUIRE_OK(open_lmdb_store(folder.path(), {.create = true}));
  REQUIRE_ERROR(ErrorCode::kBusy, open_lmdb_store(folder.path(), {}));
  REQUIRE_ERROR(ErrorCode::kBusy, open_lmdb_store(folder / ".", {.read_only = true}));
  REQUIRE_DONE(put_one(*store, "k", view("v")));
  REQUIRE(in_child([&] {
            auto own = open_lmdb_store(folder.path(), {});
            return own && put_one(**own, "child", view("v")) ? 0 : 1;
          }) == 0);
  REQUIRE(has(*store, "child"));
  store.reset();
  REQUIRE_OK(open_lmdb_store(folder.path(), {}));
}

TEST_CASE("a writer waits for the writer of another process") {
  const test::TempFolder folder;
  auto store = REQUIRE_OK(open_lmdb_store(folder.path(), {.create = true}));
  int ready[2];
  int release[2];
  REQUIRE(::pipe(ready) == 0);
  REQUIRE(::pipe(release) == 0);
  const pid_t child = ::fork();
  if (child == 0) {
    char byte = 0;
    auto own = open_lmdb_store(folder.path(), {});
    auto txn = own ? (*own)->begin_write() : Result<std::unique_ptr<WriteTxn>>(own.error());
    if (!txn || !(*txn)->put(Table::kRows, view("n"), view("child"))) ::_exit(1);
    if (::write(ready[1], "r", 1) != 1 || ::read(release[0], &byte, 1) != 1) ::_exit(2);
    ::_exit((*txn)->commit() ? 0 : 3);
  }
  char byte = 0;
  REQUIRE(::read(ready[0], &byte, 1) == 1);
  auto waiting = std::async(std::launch::async, [&]() -> Result<std::string> {
    CASEVAULT_TRY(auto txn, store->begin_write());
    CASEVAULT_TRY(const auto seen, txn->get(Table::kRows, view("n")));
    return std::string(seen ? as_text(*seen) : "nothing");
  });
  REQUIRE(::write(release[1], "g", 1) == 1);
  REQUIRE(REQUIRE_OK(waiting.get()) == "child");
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  REQUIRE(status == 0);
  for (const int fd : {ready[0], ready[1], release[0], release[1]}) ::close(fd);
}

TEST_CASE("a write transaction on another thread than its own is refused, not corrupted") {
  const test::TempFolder folder;
  auto store = REQUIRE_OK(open_lmdb_store(folder.path(), {.create = true}));
  auto txn = REQUIRE_OK(store->begin_write());
  std::async(std::launch::async, [&] {
    REQUIRE_ERROR(ErrorCode::kInternal, txn->put(Table::kRows, view("k"), view("v")));
    REQUIRE_ERROR(ErrorCode::kInternal, txn->commit());
  }).get();
  REQUIRE_DONE(txn->put(Table::kRows, view("k"), view("v")));
  REQUIRE_DONE(txn->commit());
}

TEST_CASE("read-only refuses writes and works in a folder nothing can be written to") {
  const test::TempFolder folder;
  {
    auto store = REQUIRE_OK(open_lmdb_store(folder.path(), {.create = true}));
    REQUIRE_DONE(put_one(*store, "k", view("v")));
  }
  {
    auto store = REQUIRE_OK(open_lmdb_store(folder.path(), {.read_only = true}));
    REQUIRE_ERROR(ErrorCode::kIo, store->begin_write());
    REQUIRE(has(*store, "k"));
  }
  std::filesystem::remove(folder / "lock.mdb");
  constexpr uid_t kNobody = 65534;
  if (::geteuid() == 0) {  // root may write anywhere: look at it as somebody else
    REQUIRE(::chown(folder.path().c_str(), kNobody, kNobody) == 0);
    REQUIRE(::chown((folder / "data.mdb").c_str(), kNobody, kNobody) == 0);
  }
  REQUIRE(::chmod((folder / "data.mdb").c_str(), 0400) == 0);
  REQUIRE(::chmod(folder.path().c_str(), 0500) == 0);
  const int outcome = in_child([&] {
    if (::geteuid() == 0 && ::setuid(kNobody) != 0) return 1;
    auto store = open_lmdb_store(folder.path(), {.read_only = true});
    if (!store) return 2;
    if ((*store)->begin_write()) return 3;
    for (int i = 0; i < 3; ++i) {
      auto txn = (*store)->begin_read();
      if (!txn) return 4;
      auto value = (*txn)->get(Table::kRows, view("k"));
      auto first = (*txn)->seek(Table::kRows, {});
      if (!value || !*value || !first || !*first) return 5;
    }
    return std::filesystem::exists(folder / "lock.mdb") ? 6 : 0;
  });
  ::chmod(folder.path().c_str(), 0700);
  REQUIRE(outcome == 0);
}

TEST_CASE("a commit that finds the disk full changes nothing and the store stays usable") {
  const test::TempFolder folder;
  auto store = REQUIRE_OK(open_lmdb_store(folder.path(), {.create = true}));
  REQUIRE_DONE(put_one(*store, "kept", Bytes(5000, 1)));
  const std::uint64_t before = REQUIRE_OK(store->info()).txnid;
  const IoFault full = GENERATE(IoFault{IoFault::On::kPages, ENOSPC}, IoFault{IoFault::On::kPages, EDQUOT},
                                IoFault{IoFault::On::kPages, EFBIG}, IoFault{IoFault::On::kShortPages, 0});
  CAPTURE(full.error);
  fault = full;
  const auto outcome = put_one(*store, "lost", Bytes(50000, 2));
  fault = {};
  REQUIRE_ERROR(ErrorCode::kDiskFull, outcome);
  REQUIRE(REQUIRE_OK(store->info()).txnid == before);
  REQUIRE_FALSE(has(*store, "lost"));
  REQUIRE_OK(preflight(folder.path(), PreflightDepth::kFull));
  REQUIRE_DONE(put_one(*store, "next", Bytes(50000, 3)));
  store.reset();
  REQUIRE_OK(preflight(folder.path(), PreflightDepth::kFull));
  store = REQUIRE_OK(open_lmdb_store(folder.path(), {}));
  REQUIRE(has(*store, "kept"));
  REQUIRE(has(*store, "next"));
  REQUIRE_FALSE(has(*store, "lost"));
}

TEST_CASE("a commit whose flush or meta write fails has an unknown outcome and closes the store until reopened") {
  const test::TempFolder folder;
  auto store = REQUIRE_OK(open_lmdb_store(folder.path(), {.create = true}));
  REQUIRE_DONE(put_one(*store, "kept", view("v")));
  const IoFault lost = GENERATE(IoFault{IoFault::On::kPages, EIO}, IoFault{IoFault::On::kFlush, EIO},
                                IoFault{IoFault::On::kMeta, EIO}, IoFault{IoFault::On::kMeta, ENOSPC});
  CAPTURE(lost.error, static_cast<int>(lost.on));
  auto reader = REQUIRE_OK(store->begin_read());
  fault = lost;
  const auto outcome = put_one(*store, "lost", view("v"));
  fault = {};
  REQUIRE_ERROR(ErrorCode::kUnknownOutcome, outcome);
  REQUIRE_ERROR(ErrorCode::kUnknownOutcome, store->begin_write());
  REQUIRE_ERROR(ErrorCode::kUnknownOutcome, store->begin_read());
  REQUIRE_ERROR(ErrorCode::kUnknownOutcome, store->info());
  reader.reset();
  store.reset();
  REQUIRE_OK(preflight(folder.path(), PreflightDepth::kFull));
  store = REQUIRE_OK(open_lmdb_store(folder.path(), {}));
  REQUIRE(has(*store, "kept"));
  REQUIRE_DONE(put_one(*store, "next", view("v")));
}

TEST_CASE("a full map is a full disk: the transaction is spoiled, the store is not") {
  const test::TempFolder folder;
  auto store = REQUIRE_OK(open_lmdb_store(folder.path(), {.create = true, .map_bytes = 1U << 20U}));
  REQUIRE_DONE(put_one(*store, "kept", view("v")));
  auto txn = REQUIRE_OK(store->begin_write());
  REQUIRE_ERROR(ErrorCode::kDiskFull, txn->put(Table::kRows, view("lost"), Bytes(2U << 20U, 1)));
  REQUIRE_ERROR(ErrorCode::kDiskFull, txn->put(Table::kRows, view("small"), view("v")));
  REQUIRE_ERROR(ErrorCode::kDiskFull, txn->commit());
  txn.reset();
  REQUIRE_DONE(put_one(*store, "next", view("v")));
  REQUIRE(has(*store, "kept"));
  REQUIRE_FALSE(has(*store, "small"));
}

TEST_CASE("a real file size limit is a full disk, and everything acknowledged before it stays") {
  const test::TempFolder folder;
  {
    REQUIRE_OK(open_lmdb_store(folder.path(), {.create = true}));
  }
  constexpr rlim_t kLimit = 300'000;
  int acknowledged = 0;
  int pipe_ends[2];
  REQUIRE(::pipe(pipe_ends) == 0);
  const int outcome = in_child([&] {
    ::signal(SIGXFSZ, SIG_IGN);
    const rlimit limit{kLimit, kLimit};
    auto store = open_lmdb_store(folder.path(), {});
    if (!store || ::setrlimit(RLIMIT_FSIZE, &limit) != 0) return 1;
    for (int i = 0; i < 1000; ++i) {
      const auto done = put_one(**store, number(static_cast<std::uint64_t>(i)), Bytes(9000, 7));
      if (!done) {
        if (done.error().code != ErrorCode::kDiskFull) return 2;
        auto reader = (*store)->begin_read();
        if (!reader) return 3;
        const auto count = (*reader)->count(Table::kRows);
        return count && *count == static_cast<std::uint64_t>(i) && ::write(pipe_ends[1], &i, sizeof(i)) > 0 ? 0 : 4;
      }
    }
    return 5;
  });
  REQUIRE(outcome == 0);
  REQUIRE(::read(pipe_ends[0], &acknowledged, sizeof(acknowledged)) == sizeof(acknowledged));
  REQUIRE(acknowledged > 5);
  REQUIRE_OK(preflight(folder.path(), PreflightDepth::kFull));
  auto store = REQUIRE_OK(open_lmdb_store(folder.path(), {}));
  auto reader = REQUIRE_OK(store->begin_read());
  REQUIRE(REQUIRE_OK(reader->count(Table::kRows)) == static_cast<std::uint64_t>(acknowledged));
  for (const int fd : pipe_ends) ::close(fd);
}

TEST_CASE("kill -9 loses nothing that was acknowledged and leaves a sound file") {
  const test::TempFolder folder;
  {
    REQUIRE_OK(open_lmdb_store(folder.path(), {.create = true}));
  }
  test::SeededRandom random(11);
  std::uint64_t next = 0;
  for (int round = 0; round < 8; ++round) {
    int pipe_ends[2];
    REQUIRE(::pipe(pipe_ends) == 0);
    const pid_t child = ::fork();
    if (child == 0) {
      auto store = open_lmdb_store(folder.path(), {});
      for (std::uint64_t i = next; store; ++i) {
        auto txn = (*store)->begin_write();
        if (!txn) break;
        const bool done = (*txn)->put(Table::kRows, view(number(i)), Bytes(i % 5 == 0 ? 9000 : 100, 1)) &&
                          (*txn)->erase(Table::kIndex, view(number(i == 0 ? 0 : i - 1))) &&
                          (*txn)->put(Table::kIndex, view(number(i)), view("newest")) && (*txn)->commit();
        if (!done || ::write(pipe_ends[1], &i, sizeof(i)) != sizeof(i)) break;
      }
      ::_exit(1);
    }
    ::close(pipe_ends[1]);
    std::uint64_t acknowledged = 0;
    for (std::uint64_t i = random.below(40) + 1; i > 0; --i) {
      REQUIRE(::read(pipe_ends[0], &acknowledged, sizeof(acknowledged)) == sizeof(acknowledged));
    }
    REQUIRE(::kill(child, SIGKILL) == 0);
    while (::read(pipe_ends[0], &acknowledged, sizeof(acknowledged)) == sizeof(acknowledged)) {
    }
    int status = 0;
    REQUIRE(::waitpid(child, &status, 0) == child);
    ::close(pipe_ends[0]);

    REQUIRE_OK(preflight(folder.path(), PreflightDepth::kFull));
    auto store = REQUIRE_OK(open_lmdb_store(folder.path(), {}));
    for (std::uint64_t i = 0; i <= acknowledged; ++i) REQUIRE(has(*store, number(i)));
    auto txn = REQUIRE_OK(store->begin_read());
    const std::uint64_t rows = REQUIRE_OK(txn->count(Table::kRows));
    REQUIRE(rows >= acknowledged + 1);
    REQUIRE(rows <= acknowledged + 2);  // at most the one that was under way
    REQUIRE(as_text(REQUIRE_OK(txn->seek(Table::kIndex, {}))->key) == number(rows - 1));
    next = rows;
  }
}

TEST_CASE("more readers than slots are told to try again, and recover") {
  const test::TempFolder folder;
  auto store = REQUIRE_OK(open_lmdb_store(folder.path(), {.create = true}));
  std::vector<std::unique_ptr<ReadTxn>> readers;
  for (int i = 0; i < 126; ++i) readers.push_back(REQUIRE_OK(store->begin_read()));
  for (;;) {
    auto next = store->begin_read();
    if (!next) {
      REQUIRE_ERROR(ErrorCode::kBusy, std::move(next));
      break;
    }
    readers.push_back(std::move(*next));
    REQUIRE(readers.size() < 1000);
  }
  readers.clear();
  REQUIRE_OK(store->begin_read());
}

TEST_CASE("pages freed under a reused reader are used again: the file stops growing") {
  const test::TempFolder folder;
  auto store = REQUIRE_OK(open_lmdb_store(folder.path(), {.create = true}));
  std::uint64_t settled = 0;
  for (int i = 0; i < 200; ++i) {
    REQUIRE_DONE(put_one(*store, "k", Bytes(20'000, static_cast<std::uint8_t>(i))));
    REQUIRE(has(*store, "k"));
    if (i == 50) settled = REQUIRE_OK(store->info()).file_bytes;
  }
  REQUIRE(REQUIRE_OK(store->info()).file_bytes == settled);
}

TEST_CASE("the fault-injecting store fails what it is told to and nothing else") {
  test::FaultyStore store(make_memory_store());
  store.faults().write_in = 2;
  {
    auto txn = REQUIRE_OK(store.begin_write());
    REQUIRE_DONE(txn->put(Table::kRows, view("a"), view("v")));
    REQUIRE_ERROR(ErrorCode::kIo, txn->put(Table::kRows, view("b"), view("v")));
    REQUIRE_ERROR(ErrorCode::kIo, txn->commit());
  }
  store.faults().commit_in = 1;
  store.faults().code = ErrorCode::kDiskFull;
  REQUIRE_ERROR(ErrorCode::kDiskFull, put_one(store, "a", view("v")));
  REQUIRE_FALSE(has(store, "a"));
  store.faults().refuse_write = true;
  REQUIRE_ERROR(ErrorCode::kDiskFull, store.begin_write());
  store.faults().refuse_write = false;
  REQUIRE_DONE(put_one(store, "a", view("v")));
  REQUIRE(store.faults().commits == 1);
  const bool applied = GENERATE(false, true);
  store.faults().code = ErrorCode::kUnknownOutcome;
  store.faults().applied = applied;
  store.faults().commit_in = 1;
  REQUIRE_ERROR(ErrorCode::kUnknownOutcome, put_one(store, "b", view("v")));
  REQUIRE_ERROR(ErrorCode::kUnknownOutcome, store.begin_read());
  REQUIRE_ERROR(ErrorCode::kUnknownOutcome, store.begin_write());
  store.reopen();
  REQUIRE(has(store, "b") == applied);
}

TEST_CASE("time of begin, get, end", "[.timing]") {
  const test::TempFolder folder;
  auto store = REQUIRE_OK(open_lmdb_store(folder.path(), {.create = true}));
  {
    auto txn = REQUIRE_OK(store->begin_write());
    for (std::uint64_t i = 0; i < 100'000; ++i) REQUIRE_DONE(txn->append(Table::kRows, view(number(i)), Bytes(100, 1)));
    REQUIRE_DONE(txn->commit());
  }
  constexpr std::uint64_t kRounds = 500'000;
  const auto start = std::chrono::steady_clock::now();
  for (std::uint64_t i = 0; i < kRounds; ++i) {
    auto txn = store->begin_read();
    const auto value = (*txn)->get(Table::kRows, view(number(i * 7919 % 100'000)));
    if (!value || !*value) FAIL("lost a row");
  }
  const std::chrono::duration<double, std::nano> took = std::chrono::steady_clock::now() - start;
  std::cout << "begin+get+end: " << took.count() / kRounds << " ns\n";
}
