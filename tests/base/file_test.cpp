// SPDX-License-Identifier: Apache-2.0
#include "base/file.hpp"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <filesystem>
#include <thread>

#include "base/process.hpp"
#include "catch.hpp"
#include "support/temp_folder.hpp"

namespace {

using namespace casevault;
using namespace casevault::base;
using std::filesystem::path;
using test::TempFolder;

mode_t mode_of(const path& file) {
  struct stat info{};
  REQUIRE(::lstat(file.c_str(), &info) == 0);
  return info.st_mode & 07777U;
}

std::size_t entries(const path& folder) {
  return static_cast<std::size_t>(std::distance(std::filesystem::directory_iterator(folder), {}));
}

std::string content(const path& file) {
  const Bytes bytes = REQUIRE_OK(read_file(file, 1U << 20U, false));
  return std::string(as_text(bytes));
}

path make(const path& file, std::string_view text = "content") {
  REQUIRE_DONE(write_new_file(file, as_bytes(text)));
  return file;
}

constexpr OpenMode kExisting[] = {OpenMode::kRead, OpenMode::kReadWrite};

}  // namespace

TEST_CASE("A new file is private, whatever the umask allows, and is never overwritten") {
  const TempFolder folder;
  const mode_t umask = ::umask(0);
  const path file = make(folder / "file", "first");
  REQUIRE_DONE(create_folder(folder / "sub"));
  REQUIRE_DONE(replace_file(folder / "replaced", as_bytes("x")));
  ::umask(umask);
  REQUIRE(mode_of(file) == 0600);
  REQUIRE(mode_of(folder / "sub") == 0700);
  REQUIRE(mode_of(folder / "replaced") == 0600);
  REQUIRE_ERROR(ErrorCode::kUsage, write_new_file(file, as_bytes("second")));
  REQUIRE_ERROR(ErrorCode::kUsage, open_file(file, OpenMode::kCreateNew));
  REQUIRE_ERROR(ErrorCode::kUsage, create_folder(folder / "sub"));
  REQUIRE_ERROR(ErrorCode::kUsage, create_folder(file));
  REQUIRE(content(file) == "first");
}

TEST_CASE("A new file does not go through a link, even one that leads nowhere") {
  const TempFolder folder;
  std::filesystem::create_symlink(folder / "target", folder / "link");
  REQUIRE_ERROR(ErrorCode::kUsage, write_new_file(folder / "link", as_bytes("x")));
  REQUIRE_FALSE(std::filesystem::exists(folder / "target"));
}

TEST_CASE("A link in a file's place is refused") {
  const TempFolder folder;
  make(folder / "file");
  std::filesystem::create_symlink("file", folder / "link");
  for (const OpenMode mode : kExisting) {
    REQUIRE_ERROR(ErrorCode::kUnsafePermissions, open_file(folder / "link", mode));
    REQUIRE_ERROR(ErrorCode::kUnsafePermissions, open_file(folder / "link", mode, false));
  }
  REQUIRE_ERROR(ErrorCode::kUnsafePermissions, read_secret_file(folder / "link", 100));
}

TEST_CASE("A file with a second hard link is refused where privacy counts") {
  const TempFolder folder;
  make(folder / "file");
  std::filesystem::create_hard_link(folder / "file", folder / "other");
  REQUIRE_ERROR(ErrorCode::kUnsafePermissions, open_file(folder / "file", OpenMode::kRead));
  REQUIRE_OK(open_file(folder / "file", OpenMode::kRead, false));
  std::filesystem::remove(folder / "other");
  REQUIRE_OK(open_file(folder / "file", OpenMode::kRead));
}

TEST_CASE("A file or folder that group or others may use is refused where privacy counts") {
  const TempFolder folder;
  const path file = make(folder / "file");
  REQUIRE_DONE(create_folder(folder / "sub"));
  for (unsigned bit = 0; bit < 6; ++bit) {
    REQUIRE(::chmod(file.c_str(), 0600U | 1U << bit) == 0);
    REQUIRE(::chmod((folder / "sub").c_str(), 0700U | 1U << bit) == 0);
    REQUIRE_ERROR(ErrorCode::kUnsafePermissions, open_file(file, OpenMode::kRead));
    REQUIRE_ERROR(ErrorCode::kUnsafePermissions, read_file(file, 100, true));
    REQUIRE_ERROR(ErrorCode::kUnsafePermissions, read_secret_file(file, 100));
    REQUIRE_ERROR(ErrorCode::kUnsafePermissions, open_folder(folder / "sub"));
    REQUIRE_OK(open_file(file, OpenMode::kRead, false));
    REQUIRE_OK(open_folder(folder / "sub", false));
  }
  const Error error = open_file(file, OpenMode::kRead).error();
  REQUIRE(error.message.find(file.string()) != std::string::npos);
}

TEST_CASE("A file or folder of another user is refused where privacy counts") {
  if (::geteuid() != 0) return;  // only root can give a file away
  const TempFolder folder;
  const path file = make(folder / "file");
  REQUIRE_DONE(create_folder(folder / "sub"));
  REQUIRE(::chown(file.c_str(), 4242, 4242) == 0);
  REQUIRE(::chown((folder / "sub").c_str(), 4242, 4242) == 0);
  REQUIRE_ERROR(ErrorCode::kUnsafePermissions, open_file(file, OpenMode::kRead));
  REQUIRE_ERROR(ErrorCode::kUnsafePermissions, open_folder(folder / "sub"));
  REQUIRE_OK(open_file(file, OpenMode::kRead, false));
}

TEST_CASE("What is not a regular file is refused at once, and so is what is not a folder") {
  const TempFolder folder;
  make(folder / "file");
  REQUIRE(::mkfifo((folder / "pipe").c_str(), 0600) == 0);
  for (const OpenMode mode : kExisting) {
    REQUIRE_ERROR(ErrorCode::kIo, open_file(folder / "pipe", mode));  // a pipe would hang a careless open
    REQUIRE_ERROR(ErrorCode::kIo, open_file(folder.path(), mode));
    REQUIRE_ERROR(ErrorCode::kIo, open_file("/dev/null", mode, false));
    REQUIRE_ERROR(ErrorCode::kNotFound, open_file(folder / "absent", mode));
  }
  REQUIRE_ERROR(ErrorCode::kIo, open_folder(folder / "file"));
  REQUIRE_ERROR(ErrorCode::kIo, open_folder(folder / "pipe"));
  REQUIRE_ERROR(ErrorCode::kNotFound, open_folder(folder / "absent"));
  REQUIRE_ERROR(ErrorCode::kNotFound, create_folder(folder / "absent/sub"));
  REQUIRE_ERROR(ErrorCode::kNotFound, write_new_file(folder / "absent/file", {}));
  REQUIRE_ERROR(ErrorCode::kNotFound, replace_file(folder / "absent/file", {}));
}

TEST_CASE("A link in a folder's place is refused, with or without a slash at the end") {
  const TempFolder folder;
  REQUIRE_DONE(create_folder(folder / "sub"));
  std::filesystem::create_directory_symlink("sub", folder / "link");
  REQUIRE_OK(open_folder(folder / "sub"));
  REQUIRE_OK(open_folder(folder / "sub/"));
  REQUIRE_ERROR(ErrorCode::kUnsafePermissions, open_folder(folder / "link"));
  REQUIRE_ERROR(ErrorCode::kUnsafePermissions, open_folder(folder / "link/"));
  REQUIRE_ERROR(ErrorCode::kUnsafePermissions, open_folder(folder / "link//", false));
}

TEST_CASE("Descriptors close with their owner and do not pass to another program") {
  const TempFolder folder;
  int number = -1;
  {
    Fd fd = REQUIRE_OK(open_file(folder / "file", OpenMode::kCreateNew));
    number = fd.get();
    REQUIRE((::fcntl(number, F_GETFD) & FD_CLOEXEC) != 0);
    const Fd sub = REQUIRE_OK(open_folder(folder.path()));
    REQUIRE((::fcntl(sub.get(), F_GETFD) & FD_CLOEXEC) != 0);
    Fd moved(std::move(fd));
    REQUIRE_FALSE(fd.valid());  // NOLINT(bugprone-use-after-move)
    Fd& itself = moved;
    moved = std::move(itself);
    REQUIRE(moved.get() == number);
  }
  REQUIRE(::fcntl(number, F_GETFD) == -1);
}

TEST_CASE("Reads and writes are exact and a short file is an integrity error") {
  const TempFolder folder;
  const Fd fd = REQUIRE_OK(open_file(folder / "file", OpenMode::kCreateNew));
  REQUIRE_DONE(write_at(fd, 5, as_bytes("hello"), "file"));
  REQUIRE_DONE(write_at(fd, 7, {}, "file"));
  REQUIRE_DONE(sync_data(fd, "file"));
  REQUIRE(REQUIRE_OK(file_size(fd)) == 10);
  Bytes out(6);
  REQUIRE_DONE(read_at(fd, 4, out, "file"));
  REQUIRE(as_text(out) == std::string_view("\0hello", 6));
  REQUIRE_DONE(read_at(fd, 10, {}, "file"));
  REQUIRE_ERROR(ErrorCode::kIntegrity, read_at(fd, 5, out, "file"));
  REQUIRE_ERROR(ErrorCode::kIntegrity, read_at(fd, 10, out, "file"));
  REQUIRE_ERROR(ErrorCode::kIntegrity, read_at(fd, UINT64_MAX, out, "file"));
  REQUIRE_ERROR(ErrorCode::kIntegrity, read_at(fd, UINT64_MAX / 2 - 2, out, "file"));
  REQUIRE_ERROR(ErrorCode::kDiskFull, write_at(fd, UINT64_MAX, out, "file"));
  REQUIRE_ERROR(ErrorCode::kIo, read_at(Fd(), 0, out, "file"));
  REQUIRE_ERROR(ErrorCode::kIo, file_size(Fd()));
}

TEST_CASE("Whole files are read up to the limit and not beyond") {
  const TempFolder folder;
  make(folder / "file", "12345");
  make(folder / "empty", "");
  REQUIRE(content(folder / "file") == "12345");
  REQUIRE(REQUIRE_OK(read_file(folder / "file", 5, true)).size() == 5);
  REQUIRE_ERROR(ErrorCode::kBadInput, read_file(folder / "file", 4, true));
  REQUIRE_ERROR(ErrorCode::kBadInput, read_secret_file(folder / "file", 4));
  REQUIRE(REQUIRE_OK(read_secret_file(folder / "file", 5)).text() == "12345");
  REQUIRE(REQUIRE_OK(read_file(folder / "empty", 0, true)).empty());
  REQUIRE(REQUIRE_OK(read_secret_file(folder / "empty", 0)).empty());
  REQUIRE_ERROR(ErrorCode::kNotFound, read_file(folder / "absent", 10, true));
}

TEST_CASE("A file that has more than its size says is refused, not cut") {
  // Files of /proc say 0 and have content: the same as one that grows between the look and the read.
  REQUIRE_ERROR(ErrorCode::kIo, read_file("/proc/self/status", 1U << 20U, false));
}

TEST_CASE("Replacing a file leaves the new content, a new file, and nothing beside it") {
  const TempFolder folder;
  make(folder / "file", "old");
  REQUIRE(::chmod((folder / "file").c_str(), 0644) == 0);
  const Fd old = REQUIRE_OK(open_file(folder / "file", OpenMode::kRead, false));
  REQUIRE_DONE(replace_file(folder / "file", as_bytes("new")));
  REQUIRE(content(folder / "file") == "new");
  REQUIRE(mode_of(folder / "file") == 0600);
  Bytes still(3);
  REQUIRE_DONE(read_at(old, 0, still, "old"));  // who had it open keeps the old file whole
  REQUIRE(as_text(still) == "old");
  REQUIRE_DONE(replace_file(folder / "another", as_bytes("x")));
  REQUIRE(entries(folder.path()) == 2);
}

TEST_CASE("Replacing a link replaces the link, not what it points to") {
  const TempFolder folder;
  make(folder / "target", "untouched");
  std::filesystem::create_symlink("target", folder / "link");
  REQUIRE_DONE(replace_file(folder / "link", as_bytes("new")));
  REQUIRE(content(folder / "target") == "untouched");
  REQUIRE(content(folder / "link") == "new");
  REQUIRE_FALSE(std::filesystem::is_symlink(folder / "link"));
}

TEST_CASE("A failed replacement leaves everything as it was") {
  const TempFolder folder;
  REQUIRE_DONE(create_folder(folder / "sub"));
  REQUIRE_ERROR(ErrorCode::kIo, replace_file(folder / "sub", as_bytes("x")));
  REQUIRE(std::filesystem::is_directory(folder / "sub"));
  REQUIRE(entries(folder.path()) == 1);
}

TEST_CASE("A write that ends half-way leaves no file behind and says so") {
  const TempFolder folder;
  make(folder / "kept", "old");
  const int status = test::in_child([&folder] {
    const rlimit limit{100, 100};  // the first write is short, the next fails
    std::signal(SIGXFSZ, SIG_IGN);
    if (::setrlimit(RLIMIT_FSIZE, &limit) != 0) return 1;
    const Result<void> fresh = write_new_file(folder / "fresh", Bytes(1000, 1));
    if (fresh || fresh.error().code != ErrorCode::kDiskFull) return 2;
    const Result<void> replaced = replace_file(folder / "kept", Bytes(1000, 1));
    if (replaced || replaced.error().code != ErrorCode::kDiskFull) return 3;
    return 0;
  });
  REQUIRE(status == 0);
  REQUIRE(content(folder / "kept") == "old");
  REQUIRE(entries(folder.path()) == 1);
}

TEST_CASE("A full disk is its own error") {
  const Fd full(::open("/dev/full", O_RDWR | O_CLOEXEC));
  REQUIRE(full.valid());
  REQUIRE_ERROR(ErrorCode::kDiskFull, write_at(full, 0, as_bytes("x"), "/dev/full"));
}

TEST_CASE("System errors keep their family and their words") {
  REQUIRE(errno_error(ENOSPC, "a", "b").code == ErrorCode::kDiskFull);
  REQUIRE(errno_error(EDQUOT, "a", "b").code == ErrorCode::kDiskFull);
  REQUIRE(errno_error(ENOENT, "a", "b").code == ErrorCode::kNotFound);
  REQUIRE(errno_error(EACCES, "a", "b").code == ErrorCode::kUnsafePermissions);
  REQUIRE(errno_error(EPERM, "a", "b").code == ErrorCode::kUnsafePermissions);
  REQUIRE(errno_error(ELOOP, "a", "b").code == ErrorCode::kUnsafePermissions);
  REQUIRE(errno_error(EIO, "a", "b").code == ErrorCode::kIo);
  REQUIRE(errno_error(ENOENT, "open", "/x").message == "open /x: No such file or directory");
}

TEST_CASE("Folders can be flushed and absent ones say so") {
  const TempFolder folder;
  REQUIRE_DONE(sync_folder(folder.path()));
  REQUIRE_ERROR(ErrorCode::kNotFound, sync_folder(folder / "absent"));
}

TEST_CASE("Locks exclude between descriptors of one process, byte by byte") {
  const TempFolder folder;
  make(folder / "file");
  const Fd a = REQUIRE_OK(open_file(folder / "file", OpenMode::kReadWrite));
  const Fd b = REQUIRE_OK(open_file(folder / "file", OpenMode::kReadWrite));
  const auto take = [](const Fd& fd, LockKind kind, std::uint64_t offset = 0) {
    return lock_file(fd, kind, offset, false, "file");
  };
  REQUIRE_DONE(take(a, LockKind::kExclusive));
  REQUIRE_ERROR(ErrorCode::kBusy, take(b, LockKind::kExclusive));
  REQUIRE_ERROR(ErrorCode::kBusy, take(b, LockKind::kShared));
  REQUIRE_DONE(take(b, LockKind::kExclusive, 1));
  REQUIRE_DONE(take(a, LockKind::kShared));  // downgrade
  REQUIRE_DONE(take(b, LockKind::kShared));
  REQUIRE_ERROR(ErrorCode::kBusy, take(b, LockKind::kExclusive));
  unlock_file(a, 0);
  REQUIRE_DONE(take(b, LockKind::kExclusive));
  REQUIRE_ERROR(ErrorCode::kBusy, take(a, LockKind::kShared));
  unlock_file(b, 0);
  REQUIRE_DONE(take(a, LockKind::kExclusive));
}

TEST_CASE("A lock ends with its descriptor, not with another one of the same file") {
  const TempFolder folder;
  make(folder / "file");
  const Fd b = REQUIRE_OK(open_file(folder / "file", OpenMode::kReadWrite));
  {
    const Fd a = REQUIRE_OK(open_file(folder / "file", OpenMode::kReadWrite));
    REQUIRE_DONE(lock_file(a, LockKind::kExclusive, 0, false, "file"));
    {
      const Fd c = REQUIRE_OK(open_file(folder / "file", OpenMode::kReadWrite));
    }  // classic POSIX locks die here
    REQUIRE_ERROR(ErrorCode::kBusy, lock_file(b, LockKind::kExclusive, 0, false, "file"));
  }
  REQUIRE_DONE(lock_file(b, LockKind::kExclusive, 0, false, "file"));
}

TEST_CASE("Who waits for a lock gets it when it is released") {
  const TempFolder folder;
  make(folder / "file");
  const Fd a = REQUIRE_OK(open_file(folder / "file", OpenMode::kReadWrite));
  const Fd b = REQUIRE_OK(open_file(folder / "file", OpenMode::kReadWrite));
  REQUIRE_DONE(lock_file(a, LockKind::kExclusive, 0, false, "file"));
  bool got = false;
  std::thread waiter([&] { got = lock_file(b, LockKind::kExclusive, 0, true, "file").has_value(); });
  unlock_file(a, 0);
  waiter.join();
  REQUIRE(got);
  REQUIRE_ERROR(ErrorCode::kBusy, lock_file(a, LockKind::kShared, 0, false, "file"));
}

TEST_CASE("A lock the descriptor cannot hold is an error, not a success") {
  const TempFolder folder;
  make(folder / "file");
  const Fd reader = REQUIRE_OK(open_file(folder / "file", OpenMode::kRead));
  REQUIRE_ERROR(ErrorCode::kIo, lock_file(reader, LockKind::kExclusive, 0, false, "file"));
  REQUIRE_ERROR(ErrorCode::kIo, lock_file(reader, LockKind::kShared, UINT64_MAX, false, "file"));
}
