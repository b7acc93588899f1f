// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <casevault/casevault.hpp>

#include "cli/terminal.hpp"

#include <nlohmann/json.hpp>

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace casevault::cli {

using Json = nlohmann::ordered_json;

/// Options that every command takes, as written.
struct GlobalOptions {
  std::string vault;
  std::string as;
  std::string identity;
  std::string passphrase_file;
  std::string passphrase_fd;
  std::string keyfile;
  std::string age_identity;
  std::vector<std::string> shares;
  std::string token_module;
  std::string token;
  std::string pin_file;
  std::vector<std::string> anchors;
  std::string trust;
  std::string progress = "auto";
  bool json = false;
  bool no_input = false;
  bool yes = false;
};

enum class Access : std::uint8_t { kReadOnly, kReadWrite };

/// One run of the command: where the vault is, who asks, how answers are shown.
class Context {
 public:
  GlobalOptions options;
  /// Rows of an import that are bad: part of the error that is reported.
  std::vector<RowProblem> problems;

  [[nodiscard]] Result<std::filesystem::path> vault() const;
  [[nodiscard]] Result<std::filesystem::path> identity_file() const;
  /// What was named to open this identity file with, else the passphrase of the service manager, else it is asked for.
  [[nodiscard]] Result<Unlock> unlock(const std::filesystem::path& file) const;
  [[nodiscard]] Result<Passphrase> new_passphrase(std::string_view whose) const;  ///< asked twice at a terminal
  [[nodiscard]] Result<Passphrase> ask_new_passphrase(std::string_view whose) const;
  [[nodiscard]] Result<Passphrase> pin(const std::string& file, std::string_view whose) const;
  [[nodiscard]] Result<Identity> identity() const;
  [[nodiscard]] Result<Identity> identity(const std::filesystem::path& file) const;
  [[nodiscard]] Result<Session> open(Access access) const { return open(access, options.anchors); }
  [[nodiscard]] Result<Session> open(Access access, const std::vector<std::string>& anchors) const;
  [[nodiscard]] OpenOptions open_options(Access access, const std::vector<std::string>& anchors) const;

  [[nodiscard]] ProgressCallback progress() const;
  /// Nothing when `what` was given with --confirm or is typed now; kUsage otherwise. A --yes is not enough.
  [[nodiscard]] Result<void> confirm(std::string_view what, std::string_view given, std::string_view warning) const;

  /// The result: `json` with --json, else `text`; a line end is added to either.
  [[nodiscard]] Result<void> print(const Json& json, std::string_view text) const;
  [[nodiscard]] Result<void> print(std::string_view lines) const;  ///< as it is
  void list_problems() const;                                      ///< a line each on standard error
  /// "casevault: <message>" and, with --json, the error object, on standard error; answers the exit code.
  int report(const Error& error) const noexcept;
};

/// One line, invalid UTF-8 replaced.
[[nodiscard]] std::string dump(const Json& json);
/// Decimal digits only: "0x10", "-1" and "1e3" are no numbers here. `what` names the argument.
[[nodiscard]] Result<std::uint64_t> parse_number(std::string_view text, std::string_view what);
/// "K/N" and the new folder for the shares; kUsage for what is no quorum, or when the folder is there.
[[nodiscard]] Result<QuorumPlan> parse_quorum(std::string_view quorum, const std::string& folder);
/// Splits "a,b"; kUsage for an empty part. `what` names the option.
[[nodiscard]] Result<std::vector<std::string>> parse_names(std::string_view text, std::string_view what);
/// The public string in a file: alone, after "`line_label`: " on a line of its own, or as `json_key` of a JSON
/// document.
[[nodiscard]] Result<std::string> read_public_string(const std::filesystem::path& file, std::string_view json_key,
                                                     std::string_view line_label);

}  // namespace casevault::cli
