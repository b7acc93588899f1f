// SPDX-License-Identifier: Apache-2.0
#include "cli/context.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cstdlib>
#include <memory>

namespace casevault::cli {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kSuffix = ".identity";

Error usage(std::string message) { return {ErrorCode::kUsage, std::move(message)}; }

/// Where the service manager (systemd) has put the passphrase; empty when it has not.
fs::path credential() {
  const char* folder = std::getenv("CREDENTIALS_DIRECTORY");
  if (folder == nullptr || folder[0] != '/') return {};
  fs::path file = fs::path(folder) / "casevault-passphrase";
  std::error_code error;
  return fs::exists(file, error) ? file : fs::path();
}

/// Passphrase from a file or descriptor, else from the service manager; nullopt when there is none of them.
Result<std::optional<SecretBytes>> given_passphrase(const GlobalOptions& options) {
  if (!options.passphrase_file.empty() && !options.passphrase_fd.empty()) {
    return usage("--passphrase-file and --passphrase-fd exclude each other");
  }
  if (!options.passphrase_file.empty()) {
    CASEVAULT_TRY(SecretBytes secret, read_passphrase_file(options.passphrase_file));
    return std::optional<SecretBytes>(std::move(secret));
  }
  if (options.passphrase_fd.empty()) {
    const fs::path file = credential();
    if (file.empty()) return std::optional<SecretBytes>();
    CASEVAULT_TRY(SecretBytes secret, read_passphrase_file(file));
    return std::optional<SecretBytes>(std::move(secret));
  }
  CASEVAULT_TRY(const std::uint64_t number, parse_number(options.passphrase_fd, "--passphrase-fd"));
  const int fd = number <= 1U << 20U ? static_cast<int>(number) : -1;
  const int flags = fd == STDOUT_FILENO || fd == STDERR_FILENO ? -1 : ::fcntl(fd, F_GETFL);
  if (flags < 0 || (flags & O_ACCMODE) == O_WRONLY) {
    return usage("--passphrase-fd " + options.passphrase_fd + " is not open for reading");
  }
  CASEVAULT_TRY(SecretBytes secret, read_secret_line(fd, "descriptor " + options.passphrase_fd));
  return std::optional<SecretBytes>(std::move(secret));
}

Error no_prompt() { return usage("a passphrase is needed and --no-input forbids asking; use --passphrase-file"); }

}  // namespace

Result<fs::path> Context::vault() const {
  if (options.vault.empty()) return usage("no vault is named; use --vault DIR or set CASEVAULT_VAULT");
  fs::path folder(options.vault);
  std::error_code error;
  if (!fs::is_directory(folder, error)) return Error{ErrorCode::kNotFound, "there is no vault at " + folder.string()};
  return folder;
}

Result<fs::path> Context::identity_file() const {
  if (!options.identity.empty() && !options.as.empty()) return usage("--identity and --as exclude each other");
  if (!options.identity.empty()) return fs::path(options.identity);
  CASEVAULT_TRY(const fs::path folder, vault());
  const fs::path identities = folder / "identities";
  std::vector<std::string> names;
  std::error_code error;
  for (fs::directory_iterator at(identities, error), end; !error && at != end; at.increment(error)) {
    std::string name = at->path().filename().string();
    if (name.size() <= kSuffix.size() || !name.ends_with(kSuffix)) continue;
    name.resize(name.size() - kSuffix.size());
    names.push_back(std::move(name));
  }
  std::sort(names.begin(), names.end());
  std::string listed;
  for (const std::string& name : names) listed += (listed.empty() ? "" : ", ") + name;
  if (!options.as.empty()) {
    if (std::binary_search(names.begin(), names.end(), options.as))
      return identities / (options.as + std::string(kSuffix));
    return Error{ErrorCode::kNotFound, "no identity " + options.as + " in " + identities.string() +
                                           (names.empty() ? "; use --identity FILE" : "; there are: " + listed)};
  }
  if (names.size() == 1) return identities / (names.front() + std::string(kSuffix));
  if (names.empty()) return usage("no identity in " + identities.string() + "; use --identity FILE");
  return usage("several identities in " + identities.string() + "; choose one with --as: " + listed);
}

Result<Unlock> Context::unlock(const fs::path& file) const {
  const bool passphrase = !options.passphrase_file.empty() || !options.passphrase_fd.empty();
  const int ways = int{passphrase} + int{!options.keyfile.empty()} + int{!options.age_identity.empty()} +
                   int{!options.shares.empty()} + int{!options.token_module.empty()};
  if (ways > 1) {
    return usage(
        "one way to open the identity is enough: a passphrase, --keyfile, --age-identity, --share or "
        "--token-module");
  }
  if (options.token_module.empty() && !(options.token.empty() && options.pin_file.empty())) {
    return usage("--token and --pin-file go with --token-module");
  }
  if (!options.keyfile.empty()) {
    CASEVAULT_TRY(SecretBytes content, read_secret_file(options.keyfile));
    return Unlock(KeyFile(std::move(content)));
  }
  if (!options.age_identity.empty()) {
    CASEVAULT_TRY(SecretBytes text, read_secret_file(options.age_identity));
    return Unlock(AgeIdentity(std::move(text)));
  }
  if (!options.shares.empty()) {
    std::vector<Shares::Share> shares;
    for (const std::string& name : options.shares) {
      CASEVAULT_TRY(SecretBytes line, read_secret_file(name));
      shares.push_back({name, std::move(line)});
    }
    return Unlock(Shares(std::move(shares)));
  }
  if (!options.token_module.empty()) {
    CASEVAULT_TRY(Passphrase secret, pin(options.pin_file, options.token.empty() ? "the token" : options.token));
    return Unlock(Token{options.token_module, std::move(secret), options.token});
  }
  CASEVAULT_TRY(auto given, given_passphrase(options));
  if (given) return Unlock(Passphrase(std::move(*given)));
  if (const auto info = Identity::inspect(file); info.has_value()) {
    std::string kinds;
    for (const SlotInfo& slot : info->slots) kinds += (kinds.empty() ? "" : ", ") + slot.kind;
    if (kinds.find("passphrase") == std::string::npos) {
      return usage("identity " + file.string() + " has no passphrase, but: " + kinds +
                   "; use --keyfile, --age-identity, --share or --token-module");
    }
  }
  if (options.no_input) return no_prompt();
  CASEVAULT_TRY(SecretBytes asked, ask_secret("Passphrase for " + visible(file.string()) + ": "));
  return Unlock(Passphrase(std::move(asked)));
}

Result<Passphrase> Context::pin(const std::string& file, std::string_view whose) const {
  if (!file.empty()) {
    CASEVAULT_TRY(SecretBytes line, read_passphrase_file(file));
    return Passphrase(std::move(line));
  }
  if (options.no_input) return usage("a PIN is needed and --no-input forbids asking; use --pin-file");
  CASEVAULT_TRY(SecretBytes asked, ask_secret("PIN for " + visible(whose) + ": "));
  return Passphrase(std::move(asked));
}

Result<Passphrase> Context::new_passphrase(std::string_view whose) const {
  CASEVAULT_TRY(auto given, given_passphrase(options));
  if (given) return Passphrase(std::move(*given));
  return ask_new_passphrase(whose);
}

Result<Passphrase> Context::ask_new_passphrase(std::string_view whose) const {
  if (options.no_input) return no_prompt();
  CASEVAULT_TRY(SecretBytes first, ask_secret("New passphrase for " + visible(whose) + ": "));
  CASEVAULT_TRY(const SecretBytes second, ask_secret("The same again: "));
  if (!first.equals(second.view())) return usage("the two passphrases differ; nothing was done");
  return Passphrase(std::move(first));
}

Result<Identity> Context::identity() const {
  CASEVAULT_TRY(const fs::path file, identity_file());
  return identity(file);
}

Result<Identity> Context::identity(const fs::path& file) const {
  std::error_code error;
  if (!fs::exists(file, error)) return Error{ErrorCode::kNotFound, "there is no identity file " + file.string()};
  CASEVAULT_TRY(const Unlock how, unlock(file));
  return Identity::open(file, how);
}

OpenOptions Context::open_options(Access access, const std::vector<std::string>& anchors) const {
  OpenOptions how;
  how.read_only = access == Access::kReadOnly;
  how.anchors.assign(anchors.begin(), anchors.end());
  how.trust_id = options.trust;
  return how;
}

Result<Session> Context::open(Access access, const std::vector<std::string>& anchors) const {
  CASEVAULT_TRY(const fs::path folder, vault());
  CASEVAULT_TRY(const Identity who, identity());
  return Session::open(folder, who, open_options(access, anchors));
}

ProgressCallback Context::progress() const {
  const bool json = options.progress == "json";
  if (options.progress == "off" || (!json && ::isatty(STDERR_FILENO) == 0)) return {};
  using Clock = std::chrono::steady_clock;
  struct State {
    std::string stage;
    Clock::time_point last;
  };
  return [json, state = std::make_shared<State>()](const Progress& at) {
    const auto now = Clock::now();
    const bool ends = at.total != 0 && at.done >= at.total;
    if (state->stage == at.stage && !ends && now - state->last < std::chrono::milliseconds(100)) return true;
    state->stage = at.stage;
    state->last = now;
    std::string line;
    if (json) {
      line = dump(Json{{"stage", at.stage}, {"done", at.done}, {"total", at.total}}) + "\n";
    } else {
      line = "\r\x1b[K" + visible(at.stage) + " " + std::to_string(at.done);
      if (at.total != 0) line += " of " + std::to_string(at.total);
      if (ends) line += "\n";
    }
    [[maybe_unused]] const auto ignored = write_all(STDERR_FILENO, line, "standard error");
    return true;
  };
}

Result<void> Context::confirm(std::string_view what, std::string_view given, std::string_view warning) const {
  if (given == what) return {};
  if (!given.empty()) {
    return Error{ErrorCode::kUsage, "--confirm " + std::string(given) + " does not name " + std::string(what)};
  }
  if (options.no_input) return Error{ErrorCode::kUsage, "this cannot be undone; say --confirm " + std::string(what)};
  CASEVAULT_TRY(const std::string typed,
                ask_line(std::string(warning) + "\nType " + std::string(what) + " to go on: "));
  if (typed == what) return {};
  return Error{ErrorCode::kUsage, "what was typed is not " + std::string(what) + "; nothing was done"};
}

Result<void> Context::print(const Json& json, std::string_view text) const {
  return print(options.json ? dump(json) + "\n" : std::string(text) + "\n");
}

Result<void> Context::print(std::string_view lines) const { return write_all(STDOUT_FILENO, lines, "standard output"); }

void Context::list_problems() const {
  for (const RowProblem& problem : problems) {
    const std::string row = problem.row == 0 ? "header row" : "row " + std::to_string(problem.row);
    note(row + (problem.column.empty() ? "" : ", column " + problem.column) + ": " + problem.reason);
  }
}

int Context::report(const Error& error) const noexcept {
  const int exit = exit_code(error.code);
  try {
    if (!options.json) {
      list_problems();
      note("casevault: " + error.message);
      return exit;
    }
    Json object{{"code", name_of(error.code)}, {"exit", exit}, {"message", visible(error.message)}};
    if (!problems.empty()) {
      object["problems"] = Json::array();
      for (const RowProblem& problem : problems) {
        object["problems"].push_back({{"row", problem.row}, {"column", problem.column}, {"reason", problem.reason}});
      }
    }
    note(dump(Json{{"error", std::move(object)}}));
  } catch (const std::exception&) {
    note("casevault: out of memory while reporting an error");
  }
  return exit;
}

std::string dump(const Json& json) { return json.dump(-1, ' ', false, Json::error_handler_t::replace); }

Result<std::uint64_t> parse_number(std::string_view text, std::string_view what) {
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) {
    return usage(std::string(what) + " needs a whole number of decimal digits");
  }
  return value;
}

Result<QuorumPlan> parse_quorum(std::string_view quorum, const std::string& folder) {
  const std::size_t slash = std::min(quorum.find('/'), quorum.size());
  CASEVAULT_TRY(const std::uint64_t threshold, parse_number(quorum.substr(0, slash), "K of --quorum K/N"));
  CASEVAULT_TRY(const std::uint64_t total,
                parse_number(quorum.substr(std::min(slash + 1, quorum.size())), "N of --quorum K/N"));
  if (total > 32 || threshold < 2 || threshold > total)
    return Error{ErrorCode::kUsage, "--quorum K/N wants 2 <= K <= N <= 32"};
  QuorumPlan plan{static_cast<unsigned>(threshold), static_cast<unsigned>(total), folder};
  if (!plan.folder.has_filename()) plan.folder = plan.folder.parent_path();  // "shares/"
  CASEVAULT_CHECK(check_new_file(plan.folder));
  return plan;
}

Result<std::vector<std::string>> parse_names(std::string_view text, std::string_view what) {
  std::vector<std::string> names;
  while (true) {
    const std::size_t comma = text.find(',');
    names.emplace_back(text.substr(0, comma));
    if (names.back().empty()) return usage(std::string(what) + " needs names with one comma between two");
    if (comma == std::string_view::npos) return names;
    text.remove_prefix(comma + 1);
  }
}

Result<std::string> read_public_string(const fs::path& file, std::string_view json_key, std::string_view line_label) {
  CASEVAULT_TRY(const std::string text, read_text(file));
  const auto trimmed = [](std::string_view part) {
    const std::size_t begin = part.find_first_not_of(" \t\r\n");
    if (begin == std::string_view::npos) return std::string();
    return std::string(part.substr(begin, part.find_last_not_of(" \t\r\n") - begin + 1));
  };
  const Json json = Json::parse(text, nullptr, false);
  if (json.is_object() && json.contains(json_key) && json[json_key].is_string())
    return json[json_key].get<std::string>();
  const std::string label = std::string(line_label) + ":";
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = std::min(text.find('\n', begin), text.size());
    const std::string_view line = std::string_view(text).substr(begin, end - begin);
    if (line.starts_with(label)) return trimmed(line.substr(label.size()));
    begin = end + 1;
  }
  std::string whole = trimmed(text);
  if (whole.empty() || whole.find('\n') != std::string::npos || json.is_object()) {
    return Error{ErrorCode::kBadInput,
                 file.string() + " does not hold the one line that is expected (" + std::string(line_label) + ")"};
  }
  return whole;
}

}  // namespace casevault::cli
