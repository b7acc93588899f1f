// SPDX-License-Identifier: Apache-2.0
#include "age/header.hpp"

#include <algorithm>

#include "base/text.hpp"

namespace casevault::age {
namespace {

constexpr std::string_view kVersion = "age-encryption.org/v1";
constexpr std::string_view kAnyVersion = "age-encryption.org/v";
constexpr std::string_view kStanza = "-> ";
constexpr std::string_view kLast = "---";
constexpr std::size_t kColumns = 64;
constexpr std::size_t kMaxHeader = std::size_t{1024} * 1024;

Error bad_line(std::size_t line, std::string_view what) {
  return {ErrorCode::kBadInput, "age header, line " + std::to_string(line) + ": " + std::string(what)};
}

/// The version line, without its end.
Result<void> check_version(std::string_view line) {
  if (line == kVersion) return {};
  if (line.starts_with(kAnyVersion) && line.size() > kAnyVersion.size() &&
      line.substr(kAnyVersion.size()).find_first_not_of("0123456789") == std::string_view::npos) {
    return Error{ErrorCode::kUnsupported, "age header, line 1: the file is of another version of age than 1"};
  }
  return bad_line(1, "it is not '" + std::string(kVersion) + "', so this is not an age file");
}

/// Arguments separated by one space each; nullopt for an empty one or one with anything but printable ASCII.
std::optional<std::vector<std::string>> split_arguments(std::string_view text) {
  std::vector<std::string> out;
  while (true) {
    const std::size_t end = std::min(text.find(' '), text.size());
    const std::string_view argument = text.substr(0, end);
    if (argument.empty() || !std::ranges::all_of(argument, [](char c) { return c > ' ' && c < '\x7F'; })) {
      return std::nullopt;
    }
    out.emplace_back(argument);
    if (end == text.size()) return out;
    text.remove_prefix(end + 1);
  }
}

class Parser {
 public:
  explicit Parser(std::string_view text) : text_(text), rest_(text) {}

  Result<Header> run() {
    CASEVAULT_TRY(std::string_view line, next());
    CASEVAULT_CHECK(check_version(line));
    Header out;
    while (true) {
      const std::size_t before = text_.size() - rest_.size();
      CASEVAULT_TRY(line, next());
      if (line.starts_with(kLast)) {
        out.authenticated = text_.substr(0, before + kLast.size());
        CASEVAULT_CHECK(finish(line.substr(kLast.size()), out));
        return out;
      }
      CASEVAULT_TRY(Stanza stanza, read_stanza(line));
      out.stanzas.push_back(std::move(stanza));
    }
  }

 private:
  [[nodiscard]] Error bad(std::string_view what) const { return bad_line(line_, what); }

  Result<std::string_view> next() {
    ++line_;
    const std::size_t end = rest_.find('\n');
    if (end == std::string_view::npos) return bad("it does not end; the file was cut off, get it again");
    const std::string_view line = rest_.substr(0, end);
    rest_.remove_prefix(end + 1);
    return line;
  }

  Result<Stanza> read_stanza(std::string_view line) {
    if (!line.starts_with(kStanza)) return bad("it begins neither with '-> ' nor with '---'");
    auto arguments = split_arguments(line.substr(kStanza.size()));
    if (!arguments) return bad("an argument is empty or not printable ASCII");
    Stanza out{*std::move(arguments), {}};
    do {
      CASEVAULT_TRY(line, next());
      const auto bytes = from_unpadded_base64(line);
      if (!bytes || line.size() > kColumns) return bad("it is not canonical base64 of up to 64 characters");
      out.body.insert(out.body.end(), bytes->begin(), bytes->end());
    } while (line.size() == kColumns);
    return out;
  }

  /// `mac` is what follows "---".
  Result<void> finish(std::string_view mac, Header& out) const {
    if (out.stanzas.empty()) return bad("no recipient comes before it");
    const auto bytes = mac.starts_with(' ') ? from_unpadded_base64(mac.substr(1)) : std::nullopt;
    if (!bytes || bytes->size() != out.mac.size()) return bad("the MAC is not 43 characters of canonical base64");
    if (!rest_.empty()) return bad("more follows the header");
    std::ranges::copy(*bytes, out.mac.begin());
    return {};
  }

  std::string_view text_;
  std::string_view rest_;
  std::size_t line_ = 0;
};

}  // namespace

std::string unpadded_base64(ByteView bytes) {
  std::string out = base::to_base64(bytes);
  out.resize(std::min(out.find('='), out.size()));
  return out;
}

std::optional<Bytes> from_unpadded_base64(std::string_view text) {
  if (text.find('=') != std::string_view::npos) return std::nullopt;
  std::string padded(text);
  padded.append((4 - text.size() % 4) % 4, '=');
  return base::from_base64(padded);
}

std::string header_text(const std::vector<Stanza>& stanzas) {
  std::string out(kVersion);
  out.push_back('\n');
  for (const Stanza& stanza : stanzas) {
    out.append("->");
    for (const std::string& argument : stanza.arguments) out.append(1, ' ').append(argument);
    out.push_back('\n');
    const std::string body = unpadded_base64(stanza.body);
    // The last line is shorter than the others even when it must be empty for that.
    for (std::size_t at = 0; at <= body.size(); at += kColumns) out.append(body, at, kColumns).push_back('\n');
  }
  return out.append(kLast);
}

Result<Header> parse_header(std::string_view text) { return Parser(text).run(); }

Result<std::string> read_header(Input& input) {
  CASEVAULT_TRY(std::string out, input.line(kVersion.size() + 16));
  if (out.empty()) return bad_line(1, "the file is empty");
  CASEVAULT_CHECK(check_version(out.ends_with('\n') ? std::string_view(out).substr(0, out.size() - 1) : out));
  while (true) {
    CASEVAULT_TRY(const std::string line, input.line(kMaxHeader - out.size()));
    out += line;
    if (line.ends_with('\n') && !line.starts_with(kLast)) continue;
    if (out.size() == kMaxHeader) {
      return Error{ErrorCode::kUnsupported, "age header is longer than 1 MiB; casevault reads none of this size"};
    }
    return out;  // the parser finds a cut
  }
}

}  // namespace casevault::age
