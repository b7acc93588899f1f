// SPDX-License-Identifier: Apache-2.0
#include "cli/terminal.hpp"

#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <ctime>

namespace casevault::cli {
namespace {

constexpr std::size_t kMaxPassphrase = 4096;
constexpr std::size_t kMaxText = 16U << 20U;

// What the handler needs to give the echo back.
volatile sig_atomic_t echo_off_fd = -1;
termios echo_on{};

extern "C" void leave(int signal) {
  const int fd = echo_off_fd;
  if (fd >= 0) {
    ::tcsetattr(fd, TCSANOW, &echo_on);
    // Like the terminal's own ^C, the prompt's line ends; nothing can be done when that fails.
    [[maybe_unused]] const ssize_t ignored = ::write(fd, "\n", 1);
  }
  ::_exit(128 + signal);
}

void handle(int signal, void (*handler)(int)) noexcept {
  struct sigaction action{};
  action.sa_handler = handler;
  sigemptyset(&action.sa_mask);
  ::sigaction(signal, &action, nullptr);
}

class OwnedFd {
 public:
  explicit OwnedFd(int fd) noexcept : fd_(fd) {}
  OwnedFd(const OwnedFd&) = delete;
  OwnedFd& operator=(const OwnedFd&) = delete;
  ~OwnedFd() {
    if (fd_ >= 0) ::close(fd_);
  }
  [[nodiscard]] int get() const noexcept { return fd_; }

 private:
  int fd_;
};

/// Turns echo off for its lifetime.
class EchoOff {
 public:
  explicit EchoOff(int fd) noexcept {
    if (::tcgetattr(fd, &echo_on) != 0) return;
    termios off = echo_on;
    off.c_lflag &= ~static_cast<tcflag_t>(ECHO | ECHONL);
    off.c_lflag |= ICANON | ISIG;
    echo_off_fd = fd;
    ok_ = ::tcsetattr(fd, TCSAFLUSH, &off) == 0;
  }
  EchoOff(const EchoOff&) = delete;
  EchoOff& operator=(const EchoOff&) = delete;
  ~EchoOff() {
    if (ok_) ::tcsetattr(echo_off_fd, TCSANOW, &echo_on);
    echo_off_fd = -1;
  }
  [[nodiscard]] bool ok() const noexcept { return ok_; }

 private:
  bool ok_ = false;
};

template <typename Append>
Result<void> read_whole(const std::filesystem::path& file, std::size_t limit, const Append& append) {
  const OwnedFd fd(::open(file.c_str(), O_RDONLY | O_CLOEXEC));
  if (fd.get() < 0) return errno_error(errno, "cannot open", file.string());
  SecretBytes chunk(64U << 10U);
  for (std::size_t total = 0;;) {
    const ssize_t got = ::read(fd.get(), chunk.mutable_view().data(), chunk.size());
    if (got == 0) return {};
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return errno_error(errno, "cannot read", file.string());
    total += static_cast<std::size_t>(got);
    if (total > limit) {
      return Error{ErrorCode::kBadInput, file.string() + " is larger than " + std::to_string(limit >> 20U) + " MiB"};
    }
    append(as_text(chunk.view().first(static_cast<std::size_t>(got))));
  }
}

void warn_of_readers(const std::filesystem::path& file, std::string_view what) {
  struct stat info{};
  if (::stat(file.c_str(), &info) == 0 && S_ISREG(info.st_mode) && (info.st_mode & 077U) != 0) {
    note("casevault: warning: " + std::string(what) + " " + file.string() + " can be read by others; chmod 600 it");
  }
}

std::filesystem::path folder_of(const std::filesystem::path& file) {
  return file.has_parent_path() ? file.parent_path() : std::filesystem::path(".");
}

constexpr std::string_view kHexDigits = "0123456789abcdef";

}  // namespace

void prepare_process() noexcept {
  handle(SIGPIPE, SIG_IGN);
  handle(SIGINT, leave);
  handle(SIGTERM, leave);
  const rlimit none{0, 0};
  ::setrlimit(RLIMIT_CORE, &none);
  ::umask(077);
  // A descriptor of the wrong direction keeps the number taken while every use of it still fails.
  for (int fd = 0; fd <= 2; ++fd) {
    if (::fcntl(fd, F_GETFD) < 0) [[maybe_unused]]
      const int taken = ::open("/dev/null", fd == 1 ? O_RDONLY : O_WRONLY);
  }
}

Result<void> write_all(int fd, std::string_view text, std::string_view name) {
  while (!text.empty()) {
    const ssize_t wrote = ::write(fd, text.data(), text.size());
    if (wrote < 0 && errno == EINTR) continue;
    if (wrote < 0) return errno_error(errno, "cannot write", name);
    text.remove_prefix(static_cast<std::size_t>(wrote));
  }
  return {};
}

Result<void> check_stdout() {
  const int flags = ::fcntl(STDOUT_FILENO, F_GETFL);
  if (flags >= 0 && (flags & O_ACCMODE) != O_RDONLY) return {};
  return Error{ErrorCode::kIo, "standard output is closed; nothing was done"};
}

void note(std::string_view line) noexcept {
  try {
    const std::string text = visible(line) + "\n";
    [[maybe_unused]] const auto ignored = write_all(STDERR_FILENO, text, "standard error");
  } catch (const std::bad_alloc&) {
    [[maybe_unused]] const auto ignored = write_all(STDERR_FILENO, "casevault: out of memory\n", {});
  }
}

Result<SecretBytes> read_secret_line(int fd, std::string_view name) {
  SecretBytes line(kMaxPassphrase);
  std::size_t size = 0;
  for (;;) {
    char c = 0;
    const ssize_t got = ::read(fd, &c, 1);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return errno_error(errno, "cannot read", name);
    if (got == 0 || c == '\n') break;
    if (size == line.size())
      return Error{ErrorCode::kUsage, "the passphrase from " + std::string(name) + " is longer than 4096 bytes"};
    line.mutable_view()[size++] = static_cast<std::uint8_t>(c);
  }
  if (size != 0 && line.view()[size - 1] == '\r') --size;
  if (size == 0) return Error{ErrorCode::kUsage, "the passphrase from " + std::string(name) + " is empty"};
  line.shrink(size);
  return line;
}

Result<SecretBytes> read_passphrase_file(const std::filesystem::path& file) {
  const OwnedFd fd(::open(file.c_str(), O_RDONLY | O_CLOEXEC));
  if (fd.get() < 0) return errno_error(errno, "cannot open the passphrase file", file.string());
  warn_of_readers(file, "passphrase file");
  return read_secret_line(fd.get(), file.string());
}

Result<SecretBytes> read_secret_file(const std::filesystem::path& file) {
  warn_of_readers(file, "file");
  CASEVAULT_TRY(const SecretBuffer content, read_secret_text(file, std::size_t{1} << 20U));
  return SecretBytes::copy(as_bytes(content.text()));
}

Result<void> show_passphrase(const SecretBytes& passphrase) {
  SecretBuffer line;
  line.append("passphrase: ");
  line.append(passphrase.text());
  line.append("\n");
  return write_all(STDERR_FILENO, line.text(), "standard error");
}

Result<SecretBytes> ask_secret(std::string_view prompt) {
  const OwnedFd tty(::open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY));
  if (tty.get() < 0)
    return Error{ErrorCode::kUsage, "there is no terminal to ask for the passphrase; use --passphrase-file"};
  const EchoOff quiet(tty.get());
  if (!quiet.ok()) return Error{ErrorCode::kUsage, "the terminal's echo cannot be turned off; use --passphrase-file"};
  CASEVAULT_CHECK(write_all(tty.get(), prompt, "/dev/tty"));
  auto line = read_secret_line(tty.get(), "the terminal");
  CASEVAULT_CHECK(write_all(tty.get(), "\n", "/dev/tty"));
  return line;
}

Result<std::string> ask_line(std::string_view prompt) {
  const OwnedFd tty(::open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY));
  if (tty.get() < 0) return Error{ErrorCode::kUsage, "there is no terminal to ask at"};
  CASEVAULT_CHECK(write_all(tty.get(), prompt, "/dev/tty"));
  CASEVAULT_TRY(const SecretBytes line, read_secret_line(tty.get(), "the terminal"));
  return std::string(line.text());
}

Result<std::string> read_text(const std::filesystem::path& file) {
  std::string text;
  CASEVAULT_CHECK(read_whole(file, kMaxText, [&](std::string_view part) { text += part; }));
  return text;
}

Result<SecretBuffer> read_secret_text(const std::filesystem::path& file, std::size_t limit) {
  SecretBuffer text;
  CASEVAULT_CHECK(read_whole(file, limit, [&](std::string_view part) { text.append(part); }));
  return text;
}

Result<void> check_new_file(const std::filesystem::path& file) {
  if (file.empty()) return {};
  struct stat info{};
  if (::lstat(file.c_str(), &info) == 0) {
    return Error{ErrorCode::kUsage, file.string() + " exists and is not overwritten; name a new file"};
  }
  const std::filesystem::path folder = folder_of(file);
  if (!file.has_filename() || ::stat(folder.c_str(), &info) != 0 || !S_ISDIR(info.st_mode)) {
    return Error{ErrorCode::kUsage, "cannot create " + file.string() + ": " + folder.string() + " is no folder"};
  }
  if (::access(folder.c_str(), W_OK | X_OK) != 0) return errno_error(errno, "cannot create", file.string());
  return {};
}

Result<NewFile> NewFile::create(const std::filesystem::path& file) {
  const int fd = ::open(file.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
  if (fd >= 0) return NewFile(file, fd);
  if (errno == EEXIST)
    return Error{ErrorCode::kUsage, file.string() + " exists and is not overwritten; name a new file"};
  return errno_error(errno, "cannot create", file.string());
}

Result<void> NewFile::write(std::string_view text) { return write_all(fd_, text, file_.string()); }

Result<void> NewFile::finish() {
  if (::fsync(fd_) != 0) return errno_error(errno, "cannot flush", file_.string());
  const OwnedFd folder(::open(folder_of(file_).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (folder.get() < 0 || ::fsync(folder.get()) != 0)
    return errno_error(errno, "cannot flush the folder of", file_.string());
  ::close(std::exchange(fd_, -1));
  return {};
}

NewFile::NewFile(NewFile&& other) noexcept : file_(std::move(other.file_)), fd_(std::exchange(other.fd_, -1)) {}

NewFile::~NewFile() {
  if (fd_ < 0) return;
  ::close(fd_);
  ::unlink(file_.c_str());
}

Result<void> write_new_file(const std::filesystem::path& file, std::string_view text) {
  CASEVAULT_TRY(NewFile out, NewFile::create(file));
  CASEVAULT_CHECK(out.write(text));
  return out.finish();
}

void append_json_string(SecretBuffer& out, std::string_view text) {
  out.push('"');
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      out.push('\\');
      out.push(c);
    } else if (c == '\n') {
      out.append("\\n");
    } else if (byte < 0x20 || byte == 0x7F) {
      out.append("\\u00");
      out.push(kHexDigits[byte >> 4U]);
      out.push(kHexDigits[byte & 0xFU]);
    } else {
      out.push(c);
    }
  }
  out.push('"');
}

void append_visible(SecretBuffer& out, std::string_view text, std::string_view indent) {
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto byte = static_cast<unsigned char>(text[i]);
    const bool c1 = byte == 0xC2 && i + 1 < text.size() && static_cast<unsigned char>(text[i + 1]) < 0xA0;
    if (text[i] == '\n') {
      out.push('\n');
      out.append(indent);
    } else if ((byte < 0x20 && text[i] != '\t') || byte == 0x7F || c1) {
      const auto shown = c1 ? static_cast<unsigned char>(text[++i]) : byte;
      out.append("\\x");
      out.push(kHexDigits[shown >> 4U]);
      out.push(kHexDigits[shown & 0xFU]);
    } else {
      out.push(text[i]);
    }
  }
}

std::string visible(std::string_view text) {
  SecretBuffer out;
  append_visible(out, text, {});
  std::string line(out.text());
  for (char& c : line) {
    if (c == '\n') c = ' ';
  }
  return line;
}

std::string hex(const audit::Digest& digest) {
  std::string text;
  for (const std::uint8_t byte : digest) {
    text += kHexDigits[byte >> 4U];
    text += kHexDigits[byte & 0xFU];
  }
  return text;
}

std::string rfc3339(std::int64_t unix_ms) {
  std::int64_t seconds = unix_ms / 1000;
  std::int64_t rest = unix_ms % 1000;
  if (rest < 0) rest += 1000, --seconds;
  const auto time = static_cast<std::time_t>(seconds);
  std::tm utc{};
  if (::gmtime_r(&time, &utc) == nullptr) return {};
  char text[64];
  const std::size_t size = std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &utc);
  const std::string digits = std::to_string(1000 + rest);
  return std::string(text, size) + "." + digits.substr(1) + "Z";
}

std::string_view name_of(ErrorCode code) noexcept {
  switch (code) {
    case ErrorCode::kInternal:
      return "internal";
    case ErrorCode::kCancelled:
      return "cancelled";
    case ErrorCode::kUsage:
      return "usage";
    case ErrorCode::kWrongKey:
      return "wrong_key";
    case ErrorCode::kRefused:
      return "refused";
    case ErrorCode::kNoGrant:
      return "no_grant";
    case ErrorCode::kUntrusted:
      return "untrusted";
    case ErrorCode::kNotFound:
      return "not_found";
    case ErrorCode::kErased:
      return "erased";
    case ErrorCode::kBusy:
      return "busy";
    case ErrorCode::kConflict:
      return "conflict";
    case ErrorCode::kWaiting:
      return "waiting";
    case ErrorCode::kIntegrity:
      return "integrity";
    case ErrorCode::kRolledBack:
      return "rolled_back";
    case ErrorCode::kUnsupported:
      return "unsupported";
    case ErrorCode::kIo:
      return "io";
    case ErrorCode::kDiskFull:
      return "disk_full";
    case ErrorCode::kUnknownOutcome:
      return "unknown_outcome";
    case ErrorCode::kErasePending:
      return "erase_pending";
    case ErrorCode::kUnsafePermissions:
      return "unsafe_permissions";
    case ErrorCode::kDegraded:
      return "degraded";
    case ErrorCode::kBadInput:
      return "bad_input";
  }
  return "internal";
}

Error errno_error(int error, std::string_view what, std::string_view name) {
  const ErrorCode code = error == ENOSPC || error == EDQUOT ? ErrorCode::kDiskFull
                         : error == ENOENT                  ? ErrorCode::kNotFound
                                                            : ErrorCode::kIo;
  return {code, std::string(what) + " " + std::string(name) + ": " + std::strerror(error)};
}

}  // namespace casevault::cli
