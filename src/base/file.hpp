// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <casevault/bytes.hpp>

#include <filesystem>
#include <utility>

namespace casevault::base {

/// An owned file descriptor (close-on-exec). Move-only.
class Fd {
 public:
  Fd() noexcept = default;
  explicit Fd(int fd) noexcept : fd_(fd) {}
  Fd(Fd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Fd& operator=(Fd&& other) noexcept;
  ~Fd();
  [[nodiscard]] int get() const noexcept { return fd_; }
  [[nodiscard]] bool valid() const noexcept { return fd_ >= 0; }

 private:
  int fd_ = -1;
};

enum class OpenMode : std::uint8_t { kRead, kReadWrite, kCreateNew };  ///< kCreateNew: O_EXCL, 0600

/// Opens a regular file without following a link (O_NOFOLLOW), close-on-exec. With `private_only`, a file
/// with group or other bits, a foreign owner (neither the effective user nor root) or more than one hard
/// link is refused with kUnsafePermissions. kNotFound when absent, kIo otherwise; the path is named.
[[nodiscard]] Result<Fd> open_file(const std::filesystem::path& path, OpenMode mode, bool private_only = true);
/// Checks a folder like open_file does a file (0700, owner, no link) and returns a descriptor of it.
[[nodiscard]] Result<Fd> open_folder(const std::filesystem::path& path, bool private_only = true);
[[nodiscard]] Result<void> create_folder(const std::filesystem::path& path);  ///< 0700; kUsage if it exists

[[nodiscard]] Result<std::uint64_t> file_size(const Fd& fd);
/// Reads exactly out.size() bytes at `offset`, or fails with kIo; a short file is kIntegrity.
[[nodiscard]] Result<void> read_at(const Fd& fd, std::uint64_t offset, MutableBytes out, std::string_view name);
[[nodiscard]] Result<void> write_at(const Fd& fd, std::uint64_t offset, ByteView data, std::string_view name);
[[nodiscard]] Result<void> sync_data(const Fd& fd, std::string_view name);    ///< fdatasync
[[nodiscard]] Result<void> sync_folder(const std::filesystem::path& folder);  ///< fsync of the folder

/// Whole small file, at most `limit` bytes (kBadInput beyond).
[[nodiscard]] Result<Bytes> read_file(const std::filesystem::path& path, std::size_t limit, bool private_only);
[[nodiscard]] Result<SecretBytes> read_secret_file(const std::filesystem::path& path, std::size_t limit);
/// New file 0600, never overwrites (kUsage), synced with its folder.
[[nodiscard]] Result<void> write_new_file(const std::filesystem::path& path, ByteView data);
/// Replaces atomically: temporary beside it, fsync, rename, fsync of the folder. 0600.
[[nodiscard]] Result<void> replace_file(const std::filesystem::path& path, ByteView data);

enum class LockKind : std::uint8_t { kShared, kExclusive };
/// Open-file-description lock on one byte at `offset` (fcntl F_OFD_SETLK[W]). With `wait` false a held lock is
/// kBusy. Taking another kind on the same descriptor converts it atomically when it is a downgrade.
[[nodiscard]] Result<void> lock_file(const Fd& fd, LockKind kind, std::uint64_t offset, bool wait,
                                     std::string_view name);
void unlock_file(const Fd& fd, std::uint64_t offset) noexcept;

/// kDiskFull for ENOSPC/EDQUOT/EFBIG, kNotFound for ENOENT, kUnsafePermissions for EACCES/EPERM/ELOOP, else kIo.
/// The message is "<what> <name>: <strerror>".
[[nodiscard]] Error errno_error(int error, std::string_view what, std::string_view name);

}  // namespace casevault::base
