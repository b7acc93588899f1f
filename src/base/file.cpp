// SPDX-License-Identifier: Apache-2.0
#include "base/file.hpp"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <limits>
#include <system_error>

#include "base/text.hpp"

namespace casevault::base {
namespace {

constexpr mode_t kForeignBits = 077;

template <typename Call>
auto retry(Call call) {
  decltype(call()) result;
  do {
    result = call();
  } while (result == -1 && errno == EINTR);
  return result;
}

Error unsafe(const std::string& name, const std::string& cause_and_remedy) {
  return {ErrorCode::kUnsafePermissions, "refusing " + name + ": " + cause_and_remedy};
}

Error link_error(const std::string& name) { return unsafe(name, "it is a symbolic link; name the real path"); }

Error exists_error(const std::string& name) {
  return {ErrorCode::kUsage, "create " + name + ": it already exists and is never overwritten; choose another name"};
}

Result<void> require_private(const struct stat& info, const std::string& name) {
  if ((info.st_mode & kForeignBits) != 0) {
    return unsafe(name, std::string("group or others have access; run: chmod go= ") + name);
  }
  if (info.st_uid != ::geteuid() && info.st_uid != 0) {
    return unsafe(name, "it belongs to user " + std::to_string(info.st_uid) + ", not to the user running this");
  }
  if (S_ISREG(info.st_mode) && info.st_nlink > 1) {
    return unsafe(name, "it has " + std::to_string(info.st_nlink) + " hard links; remove all but this one");
  }
  return {};
}

Result<Fd> check_opened(Fd fd, mode_t type, bool private_only, const std::string& name) {
  struct stat info{};
  if (::fstat(fd.get(), &info) != 0) return errno_error(errno, "stat", name);
  if ((info.st_mode & S_IFMT) != type) {
    const char* wanted = type == S_IFDIR ? "folder" : "regular file";
    return Error{ErrorCode::kIo, "open " + name + ": it is not a " + wanted};
  }
  if (private_only) CASEVAULT_CHECK(require_private(info, name));
  return fd;
}

std::filesystem::path parent_of(const std::filesystem::path& path) {
  const std::filesystem::path parent = path.parent_path();
  return parent.empty() ? "." : parent;
}

bool beyond_files(std::uint64_t offset, std::size_t size) noexcept {
  constexpr std::uint64_t kMax = std::numeric_limits<off_t>::max();
  return offset > kMax || size > kMax - offset;
}

/// Fills `out` until the end of the file; returns how much there was.
Result<std::size_t> read_some(const Fd& fd, std::uint64_t offset, MutableBytes out, std::string_view name) {
  std::size_t done = 0;
  while (done < out.size()) {
    const ssize_t count = retry(
        [&] { return ::pread(fd.get(), out.data() + done, out.size() - done, static_cast<off_t>(offset + done)); });
    if (count < 0) return errno_error(errno, "read", name);
    if (count == 0) break;
    done += static_cast<std::size_t>(count);
  }
  return done;
}

/// Reads the whole file into a `Buffer` made for its size; `fit` cuts the buffer to what was read.
template <typename Buffer, typename Fit>
Result<Buffer> read_whole(const std::filesystem::path& path, std::size_t limit, bool private_only, Fit fit) {
  const std::string name = path.string();
  CASEVAULT_TRY(const Fd fd, open_file(path, OpenMode::kRead, private_only));
  CASEVAULT_TRY(const std::uint64_t size, file_size(fd));
  if (size > limit) {
    return Error{ErrorCode::kBadInput, "read " + name + ": it has " + std::to_string(size) + " bytes, more than the " +
                                           std::to_string(limit) + " allowed here"};
  }
  Buffer buffer(static_cast<std::size_t>(size) + 1);  // one more, to see a file that grows
  CASEVAULT_TRY(const std::size_t count, read_some(fd, 0, MutableBytes(fit(buffer, buffer.size())), name));
  if (count > size) return Error{ErrorCode::kIo, "read " + name + ": it changed while being read; try again"};
  fit(buffer, count);
  return buffer;
}

Result<void> write_and_sync(const Fd& fd, ByteView data, const std::string& name) {
  CASEVAULT_CHECK(write_at(fd, 0, data, name));
  return sync_data(fd, name);
}

Result<void> set_lock(const Fd& fd, short type, std::uint64_t offset, bool wait, std::string_view name) {
  struct flock lock{};
  lock.l_type = type;
  lock.l_whence = SEEK_SET;
  lock.l_start = static_cast<off_t>(offset);
  lock.l_len = 1;
  if (retry([&] { return ::fcntl(fd.get(), wait ? F_OFD_SETLKW : F_OFD_SETLK, &lock); }) == 0) return {};
  if (errno == EAGAIN || errno == EACCES) {
    return Error{ErrorCode::kBusy, "lock " + std::string(name) + ": another process or session holds it; try again"};
  }
  return errno_error(errno, "lock", name);
}

}  // namespace

Fd& Fd::operator=(Fd&& other) noexcept {
  Fd old(std::exchange(fd_, std::exchange(other.fd_, -1)));
  return *this;
}

Fd::~Fd() {
  if (fd_ >= 0) ::close(fd_);
}

Result<Fd> open_file(const std::filesystem::path& path, OpenMode mode, bool private_only) {
  const std::string name = path.string();
  // O_NONBLOCK, so that a pipe put in the file's place cannot hang us; regular files ignore it.
  int flags = O_CLOEXEC | O_NOFOLLOW | O_NOCTTY | O_NONBLOCK;
  flags |= mode == OpenMode::kRead ? O_RDONLY : O_RDWR;
  if (mode == OpenMode::kCreateNew) flags |= O_CREAT | O_EXCL;
  Fd fd(retry([&] { return ::open(path.c_str(), flags, S_IRUSR | S_IWUSR); }));
  if (!fd.valid()) {
    if (errno == EEXIST) return exists_error(name);
    if (errno == ELOOP) return link_error(name);
    return errno_error(errno, mode == OpenMode::kCreateNew ? "create" : "open", name);
  }
  return check_opened(std::move(fd), S_IFREG, private_only, name);
}

Result<Fd> open_folder(const std::filesystem::path& path, bool private_only) {
  std::string name = path.string();
  while (name.size() > 1 && name.back() == '/') name.pop_back();  // "link/" would be followed
  Fd fd(retry([&] { return ::open(name.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW); }));
  if (!fd.valid()) {
    const int error = errno;
    struct stat info{};  // Linux reports a link as "not a directory"; only the message hangs on this look
    if (error == ELOOP || (error == ENOTDIR && ::lstat(name.c_str(), &info) == 0 && S_ISLNK(info.st_mode))) {
      return link_error(name);
    }
    return errno_error(error, "open folder", name);
  }
  return check_opened(std::move(fd), S_IFDIR, private_only, name);
}

Result<void> create_folder(const std::filesystem::path& path) {
  if (::mkdir(path.c_str(), S_IRWXU) == 0) return {};
  if (errno == EEXIST) return exists_error(path.string());
  return errno_error(errno, "create folder", path.string());
}

Result<std::uint64_t> file_size(const Fd& fd) {
  // Not fstat: newer kernels give a file whose times were asked for a time of its own at the next write, and the flush
  // after it has the inode to write too.
  const off_t size = ::lseek(fd.get(), 0, SEEK_END);
  if (size < 0) return errno_error(errno, "find the size of", "an open file");
  return static_cast<std::uint64_t>(size);
}

Result<void> read_at(const Fd& fd, std::uint64_t offset, MutableBytes out, std::string_view name) {
  std::size_t count = 0;
  if (!beyond_files(offset, out.size())) {
    CASEVAULT_TRY(count, read_some(fd, offset, out, name));
  }
  if (count == out.size() && !beyond_files(offset, out.size())) return {};
  return Error{ErrorCode::kIntegrity, "read " + std::string(name) + ": it ends before byte " + std::to_string(offset) +
                                          " + " + std::to_string(out.size()) +
                                          "; it was cut short, restore it from a backup"};
}

Result<void> write_at(const Fd& fd, std::uint64_t offset, ByteView data, std::string_view name) {
  if (beyond_files(offset, data.size())) return errno_error(EFBIG, "write", name);
  while (!data.empty()) {
    const ssize_t count =
        retry([&] { return ::pwrite(fd.get(), data.data(), data.size(), static_cast<off_t>(offset)); });
    if (count <= 0) return errno_error(count == 0 ? EIO : errno, "write", name);
    data = data.subspan(static_cast<std::size_t>(count));
    offset += static_cast<std::uint64_t>(count);
  }
  return {};
}

Result<void> sync_data(const Fd& fd, std::string_view name) {
  if (retry([&] { return ::fdatasync(fd.get()); }) != 0) return errno_error(errno, "flush", name);
  return {};
}

Result<void> sync_folder(const std::filesystem::path& folder) {
  const Fd fd(retry([&] { return ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC); }));
  if (!fd.valid()) return errno_error(errno, "open folder", folder.string());
  if (retry([&] { return ::fsync(fd.get()); }) != 0) return errno_error(errno, "flush folder", folder.string());
  return {};
}

Result<Bytes> read_file(const std::filesystem::path& path, std::size_t limit, bool private_only) {
  return read_whole<Bytes>(path, limit, private_only, [](Bytes& buffer, std::size_t size) {
    buffer.resize(size);
    return MutableBytes(buffer);
  });
}

Result<SecretBytes> read_secret_file(const std::filesystem::path& path, std::size_t limit) {
  return read_whole<SecretBytes>(path, limit, true, [](SecretBytes& buffer, std::size_t size) {
    buffer.shrink(size);
    return buffer.mutable_view();
  });
}

Result<void> write_new_file(const std::filesystem::path& path, ByteView data) {
  CASEVAULT_TRY(const Fd fd, open_file(path, OpenMode::kCreateNew));
  Result<void> written = write_and_sync(fd, data, path.string());
  if (written) written = sync_folder(parent_of(path));
  if (!written) ::unlink(path.c_str());
  return written;
}

Result<void> replace_file(const std::filesystem::path& path, ByteView data) {
  const std::string name = path.string();
  std::string temporary = (parent_of(path) / ("." + path.filename().string() + ".XXXXXX")).string();
  const Fd fd(::mkostemp(temporary.data(), O_CLOEXEC));
  if (!fd.valid()) return errno_error(errno, "create a temporary beside", name);
  Result<void> written = write_and_sync(fd, data, temporary);
  if (written && ::rename(temporary.c_str(), path.c_str()) != 0) written = errno_error(errno, "replace", name);
  if (!written) {
    ::unlink(temporary.c_str());
    return written;
  }
  Result<void> synced = sync_folder(parent_of(path));
  if (!synced) return Error{ErrorCode::kUnknownOutcome, synced.error().message + " (after " + name + " was replaced)"};
  return {};
}

Result<void> lock_file(const Fd& fd, LockKind kind, std::uint64_t offset, bool wait, std::string_view name) {
  return set_lock(fd, kind == LockKind::kShared ? F_RDLCK : F_WRLCK, offset, wait, name);
}

void unlock_file(const Fd& fd, std::uint64_t offset) noexcept {
  struct flock lock{};
  lock.l_type = F_UNLCK;
  lock.l_whence = SEEK_SET;
  lock.l_start = static_cast<off_t>(offset);
  lock.l_len = 1;
  static_cast<void>(retry([&] { return ::fcntl(fd.get(), F_OFD_SETLK, &lock); }));
}

Error errno_error(int error, std::string_view what, std::string_view name) {
  ErrorCode code = ErrorCode::kIo;
  if (error == ENOSPC || error == EDQUOT || error == EFBIG) code = ErrorCode::kDiskFull;
  if (error == ENOENT) code = ErrorCode::kNotFound;
  if (error == EACCES || error == EPERM || error == ELOOP) code = ErrorCode::kUnsafePermissions;
  return {code, std::string(what) + " " + std::string(name) + ": " + std::generic_category().message(error)};
}

}  // namespace casevault::base
