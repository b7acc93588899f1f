// SPDX-License-Identifier: Apache-2.0
#include "age/armor.hpp"

#include <algorithm>

#include "base/text.hpp"

namespace casevault::age {
namespace {

constexpr std::string_view kBegin = "-----BEGIN AGE ENCRYPTED FILE-----";
constexpr std::string_view kEnd = "-----END AGE ENCRYPTED FILE-----";
constexpr std::size_t kColumns = 64;
constexpr std::size_t kBytesPerLine = kColumns / 4 * 3;
constexpr std::size_t kMaxLine = kColumns + 2;  // with CRLF
constexpr std::size_t kMaxSpace = 1024;

bool blank(std::string_view text) { return text.find_first_not_of(" \t\r\n\v\f") == std::string_view::npos; }

}  // namespace

Error ArmorReader::bad(const std::string& what) const {
  return {ErrorCode::kBadInput, "age armor, line " + std::to_string(line_) + ": " + what};
}

Result<std::string> ArmorReader::next_line() {
  ++line_;
  CASEVAULT_TRY(std::string line, input_.line(kMaxLine));
  if (line.empty()) return bad("the file ends before '" + std::string(kEnd) + "'; it was cut off, get it again");
  if (line.ends_with('\n')) {
    line.pop_back();
    if (line.ends_with('\r')) line.pop_back();
  }
  return line;
}

Result<void> ArmorReader::begin() {
  for (std::size_t space = 0; space <= kMaxSpace; ++line_) {
    CASEVAULT_TRY(const ByteView first, input_.peek(1));
    if (first.empty() || !blank(as_text(first))) {
      CASEVAULT_TRY(const std::string line, next_line());
      if (line != kBegin) return bad("it is not '" + std::string(kBegin) + "', so this is not an age file");
      begun_ = true;
      return {};
    }
    CASEVAULT_TRY(const std::string line, input_.line(kMaxSpace));
    if (!blank(line)) return bad("white space comes before text");
    space += line.size();
  }
  return bad("more than 1 KiB of white space comes first");
}

Result<void> ArmorReader::decode_line() {
  CASEVAULT_TRY(const std::string line, next_line());
  if (line == kEnd) return check_rest();
  if (short_line_) return bad("only '" + std::string(kEnd) + "' may follow a line of less than 64 characters");
  if (line.empty()) return bad("it is empty");
  if (line.size() > kColumns) return bad("it is longer than 64 characters");
  auto bytes = base::from_base64(line);
  if (!bytes) return bad("it is not canonical base64");
  decoded_ = *std::move(bytes);
  start_ = 0;
  short_line_ = decoded_.size() < kBytesPerLine;
  return {};
}

Result<void> ArmorReader::check_rest() {
  ended_ = true;
  ++line_;
  for (std::size_t space = 0; space <= kMaxSpace;) {
    CASEVAULT_TRY(const std::string line, input_.line(kMaxSpace));
    if (line.empty()) return {};
    if (!blank(line)) return bad("text follows '" + std::string(kEnd) + "'");
    space += line.size();
  }
  return bad("more than 1 KiB of white space follows");
}

Result<std::size_t> ArmorReader::read(MutableBytes out) {
  if (!begun_) CASEVAULT_CHECK(begin());
  if (start_ == decoded_.size() && !ended_) CASEVAULT_CHECK(decode_line());
  const ByteView rest = ByteView(decoded_).subspan(start_);
  const std::size_t size = std::min(rest.size(), out.size());
  std::ranges::copy(rest.first(size), out.begin());
  start_ += size;
  return size;
}

Result<void> ArmorWriter::write(ByteView bytes) {
  std::string text;
  if (!std::exchange(begun_, true)) text.append(kBegin).push_back('\n');
  while (pending_.size() + bytes.size() >= kBytesPerLine) {
    const std::size_t take = kBytesPerLine - pending_.size();
    pending_.insert(pending_.end(), bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(take));
    bytes = bytes.subspan(take);
    text.append(base::to_base64(pending_)).push_back('\n');
    pending_.clear();
  }
  pending_.insert(pending_.end(), bytes.begin(), bytes.end());
  return sink_(as_bytes(text));
}

Result<void> ArmorWriter::finish() {
  std::string text;
  if (!pending_.empty()) text.append(base::to_base64(pending_)).push_back('\n');
  text.append(kEnd).push_back('\n');
  return sink_(as_bytes(text));
}

}  // namespace casevault::age
