// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <casevault/audit.hpp>
#include <casevault/bytes.hpp>

#include "cli/secret_buffer.hpp"

#include <filesystem>
#include <string>

namespace casevault::cli {

/// Interrupts leave at once (all work is safe to kill) after the terminal's echo is back; a closed pipe is an error,
/// not a signal; no core dump holds what stands outside locked memory; a closed standard descriptor cannot become a
/// file of the vault.
void prepare_process() noexcept;

[[nodiscard]] Result<void> write_all(int fd, std::string_view text, std::string_view name);
/// kIo when nothing can be written to standard output: found before work is done for it.
[[nodiscard]] Result<void> check_stdout();
/// One line on standard error; a failure to write there has nowhere to go.
void note(std::string_view line) noexcept;

/// First line of an open descriptor, without its line end, read byte by byte so that nothing after it is taken.
[[nodiscard]] Result<SecretBytes> read_secret_line(int fd, std::string_view name);
/// First line of a passphrase file; a file that others may read is used with a warning.
[[nodiscard]] Result<SecretBytes> read_passphrase_file(const std::filesystem::path& file);
/// A key file, share or the like, whole; one that others may read is used with a warning.
[[nodiscard]] Result<SecretBytes> read_secret_file(const std::filesystem::path& file);
/// "passphrase: ..." on standard error, where no redirected result takes it along.
[[nodiscard]] Result<void> show_passphrase(const SecretBytes& passphrase);
/// Asks on /dev/tty without echo. kUsage when there is no terminal.
[[nodiscard]] Result<SecretBytes> ask_secret(std::string_view prompt);
/// Asks on /dev/tty, with echo. kUsage when there is no terminal.
[[nodiscard]] Result<std::string> ask_line(std::string_view prompt);

/// A small public text file: schema, receipt, key, invitation, map.
[[nodiscard]] Result<std::string> read_text(const std::filesystem::path& file);
/// The same for values on their way in.
[[nodiscard]] Result<SecretBuffer> read_secret_text(const std::filesystem::path& file, std::size_t limit);

/// kUsage when the path exists or its folder does not; an empty path is no output and passes.
[[nodiscard]] Result<void> check_new_file(const std::filesystem::path& file);
/// A new file, 0600, on disk with its folder; never overwrites (kUsage) and leaves no half file behind.
class NewFile {
 public:
  [[nodiscard]] static Result<NewFile> create(const std::filesystem::path& file);
  [[nodiscard]] Result<void> write(std::string_view text);
  [[nodiscard]] Result<void> finish();
  NewFile(NewFile&& other) noexcept;
  NewFile& operator=(NewFile&&) = delete;
  ~NewFile();  ///< removes the file unless it was finished

 private:
  NewFile(std::filesystem::path file, int fd) : file_(std::move(file)), fd_(fd) {}
  std::filesystem::path file_;
  int fd_ = -1;
};
[[nodiscard]] Result<void> write_new_file(const std::filesystem::path& file, std::string_view text);

void append_json_string(SecretBuffer& out, std::string_view text);
/// For people: control characters that could steer a terminal are shown as \xNN; line breaks are indented by `indent`.
void append_visible(SecretBuffer& out, std::string_view text, std::string_view indent);
[[nodiscard]] std::string visible(std::string_view text);  ///< on one line

[[nodiscard]] std::string hex(const audit::Digest& digest);
[[nodiscard]] std::string rfc3339(std::int64_t unix_ms);  ///< UTC with milliseconds
[[nodiscard]] std::string_view name_of(ErrorCode code) noexcept;
/// kDiskFull for a full disk, kNotFound for a missing file, else kIo.
[[nodiscard]] Error errno_error(int error, std::string_view what, std::string_view name);

}  // namespace casevault::cli
