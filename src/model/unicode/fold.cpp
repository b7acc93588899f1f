// SPDX-License-Identifier: Apache-2.0
#include "model/unicode/fold.hpp"

#include "crypto/types.hpp"

namespace casevault::model::unicode {
namespace {

constexpr char32_t kIotaSubscript = 0x345;
constexpr char32_t kIota = 0x3B9;

constexpr char32_t kHangulFirst = 0xAC00;
constexpr char32_t kHangulLast = 0xD7A3;
constexpr char32_t kHangulL = 0x1100;
constexpr char32_t kHangulV = 0x1161;
constexpr char32_t kHangulT = 0x11A7;
constexpr char32_t kHangulTCount = 28;
constexpr char32_t kHangulVTCount = 21 * kHangulTCount;

Error refuse(std::string reason) { return {ErrorCode::kBadInput, std::move(reason)}; }

}  // namespace

Folded::~Folded() {
  crypto::wipe({reinterpret_cast<std::uint8_t*>(units_.data()), size_ * sizeof(Unit)});  // NOLINT
}

bool Folded::append_unit(char32_t point, Kind kind, std::uint8_t ccc) noexcept {
  const bool after_break = size_ == 0 || units_[size_ - 1] == 0;
  if (kind == kSeparator || kind == kDropped) {
    if (kind == kDropped || after_break) return true;
    point = 0;
    kind = kSeparator;
    ccc = 0;
  } else if (after_break && (kind == kMark || kind == kAccent)) {
    return true;  // a mark on nothing, as NFKC makes of spacing accents
  }
  if (size_ == kMaxFolded) return false;
  std::size_t at = size_++;
  for (; ccc != 0 && at != 0 && units_[at - 1] >> kClassShift > ccc; --at) units_[at] = units_[at - 1];
  units_[at] = point | Unit{kind} << kKindShift | Unit{ccc} << kClassShift;
  return true;
}

bool Folded::append_folded(char32_t point) noexcept {
  const Entry& entry = entry_of(point);
  return append_unit(point, static_cast<Kind>(entry.kind), entry.ccc);
}

bool Folded::append(char32_t point) noexcept {
  if (point >= kHangulFirst && point <= kHangulLast) {
    const char32_t index = point - kHangulFirst;
    const char32_t tail = index % kHangulTCount;
    return append_folded(kHangulL + index / kHangulVTCount) &&
           append_folded(kHangulV + index % kHangulVTCount / kHangulTCount) &&
           (tail == 0 || append_folded(kHangulT + tail));
  }
  const Entry& entry = entry_of(point);
  if (entry.length == 0) return append_unit(point, static_cast<Kind>(entry.kind), entry.ccc);
  for (std::size_t i = 0; i < entry.length; ++i) {
    if (!append_folded(kPool[entry.offset + i])) return false;
  }
  return true;
}

Result<void> Folded::assign(std::string_view text) {
  ByteView rest = as_bytes(text);
  while (!rest.empty()) {
    const std::size_t offset = text.size() - rest.size();
    const char32_t point = take_utf8(rest);
    if (!readable(point)) return unreadable(point, offset);
    if (!append(point))
      return refuse("longer than " + std::to_string(kMaxFolded) +
                    " letters; shorten it or keep it in a field without an index");
  }
  if (size_ != 0 && units_[size_ - 1] == 0) --size_;
  if (size_ == 0) return refuse("holds no letter and no digit; write the name, or leave it empty");
  for (Unit& unit : std::span(units_).first(size_)) {
    if (point(unit) == kIotaSubscript) unit = kIota | Unit{kLetter} << kKindShift;
  }
  return {};
}

char32_t take_utf8(ByteView& rest) noexcept {
  const std::uint32_t lead = rest[0];
  if (lead < 0x80) return rest = rest.subspan(1), lead;
  const std::size_t size = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : 2;
  if (lead < 0xC2 || lead > 0xF4 || rest.size() < size) return kInvalid;
  char32_t point = lead & (0x7FU >> size);
  for (const std::uint8_t byte : rest.subspan(1, size - 1)) {
    if ((byte & 0xC0U) != 0x80) return kInvalid;
    point = point << 6U | (byte & 0x3FU);
  }
  const bool overlong = (size == 3 && point < 0x800) || (size == 4 && point < 0x1'0000);
  if (overlong || (point >= 0xD800 && point <= 0xDFFF) || point > 0x10'FFFF) return kInvalid;
  return rest = rest.subspan(size), point;
}

Error unreadable(char32_t point, std::size_t offset) {
  const std::string where = " at byte " + std::to_string(offset);
  return refuse(point == kInvalid
                    ? "not valid UTF-8" + where + "; save the source as UTF-8"
                    : "the sign for lost letters (U+FFFD)" + where + "; take the text from its source again");
}

char32_t plain_letter(char32_t folded) noexcept {
  if (folded < 0x80) return folded;
  switch (folded) {
    case 0x111:
      return U'd';
    case 0x127:
      return U'h';
    case 0x131:
    case 0x268:
      return U'i';
    case 0x142:
      return U'l';
    case 0xF8:
      return U'o';
    case 0x167:
      return U't';
    case 0x289:
      return U'u';
    case 0x180:
      return U'b';
    default:
      return folded;
  }
}

std::size_t put_utf8(char32_t point, char* out) noexcept {
  const auto tail = [point](unsigned shift) { return static_cast<char>(0x80U | (point >> shift & 0x3FU)); };
  if (point < 0x80) return out[0] = static_cast<char>(point), 1;
  if (point < 0x800) return out[0] = static_cast<char>(0xC0U | point >> 6U), out[1] = tail(0), 2;
  if (point < 0x1'0000) return out[0] = static_cast<char>(0xE0U | point >> 12U), out[1] = tail(6), out[2] = tail(0), 3;
  return out[0] = static_cast<char>(0xF0U | point >> 18U), out[1] = tail(12), out[2] = tail(6), out[3] = tail(0), 4;
}

}  // namespace casevault::model::unicode
