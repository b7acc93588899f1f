// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>

#include "crypto/types.hpp"
#include "model/bundled.hpp"
#include "model/normalise.hpp"
#include "model/unicode/fold.hpp"

namespace casevault::model {
namespace {

using unicode::Folded;

constexpr std::size_t kMaxCell = 1024;  // bytes
constexpr std::size_t kMaxNumber = 32;  // digits and letters of one number

Error refuse(std::string reason) { return {ErrorCode::kBadInput, std::move(reason)}; }

bool is_digit(char c) noexcept { return c >= '0' && c <= '9'; }

/// Signs that a cell is reduced to, beside digits, '+' and parentheses.
constexpr char kBetween = ';';  // ends a number
constexpr char kGap = ' ';      // within a number
constexpr char kLetter = 'a';
constexpr char kLetterO = 'O';
constexpr char kOther = ':';

char simple_sign(char32_t point) {
  if (point >= 0xFF01 && point <= 0xFF5E) point -= 0xFEE0;  // full width
  switch (point) {
    case U';':
    case U',':
    case U'/':
    case U'|':
    case U'\n':
    case U'\r':
    case U'\\':
      return kBetween;
    case U'+':
    case U'(':
    case U')':
      return static_cast<char>(point);
    case U'.':
    case U'-':
    case 0x2212:
      return kGap;
    case U'O':
    case U'o':
      return kLetterO;
    default:
      break;
  }
  if (point >= U'0' && point <= U'9') return static_cast<char>(point);
  if (point >= 0x2010 && point <= 0x2015) return kGap;
  const unicode::Entry& entry = unicode::entry_of(point);
  if (entry.length == 1 && unicode::kPool[entry.offset] < 0x80) {
    const char plain = static_cast<char>(unicode::kPool[entry.offset]);
    if (is_digit(plain)) return plain;
  }
  if (entry.kind == unicode::kDropped) return '\0';
  const bool space = point == U' ' || point == U'\t' || point == 0xA0 || (point >= 0x2000 && point <= 0x200A) ||
                     point == 0x202F || point == 0x205F || point == 0x3000;
  return space ? kGap : entry.kind == unicode::kSeparator ? kOther : kLetter;
}

using Cell = crypto::Wiped<kMaxCell>;

/// The simple signs of a cell; a letter O among digits is a zero.
Result<std::string_view> simplify(std::string_view text, Cell& cell) {
  if (text.size() > kMaxCell) return refuse("longer than 1024 bytes; keep remarks in another field");
  const MutableBytes out = cell.out();
  std::size_t size = 0;
  for (ByteView rest = as_bytes(text); !rest.empty();) {
    const std::size_t offset = text.size() - rest.size();
    const char32_t point = unicode::take_utf8(rest);
    if (!unicode::readable(point)) return unicode::unreadable(point, offset);
    const char sign = simple_sign(point);
    if (sign != '\0') out[size++] = static_cast<std::uint8_t>(sign);
  }
  const MutableBytes signs = out.first(size);
  const auto at = [&signs](std::size_t i) { return i < signs.size() ? static_cast<char>(signs[i]) : kGap; };
  for (std::size_t i = 0; i < size; ++i) {
    if (at(i) != kLetterO) continue;
    const char before = i == 0 ? kGap : at(i - 1);
    const char after = at(i + 1);
    const bool among = (is_digit(before) && after != kLetter) || (before != kLetter && is_digit(after));
    signs[i] = static_cast<std::uint8_t>(among ? '0' : kLetter);
  }
  return as_text(signs);
}

struct Prefix {
  std::string before;  ///< without the leading zero: "168"
  std::string after;   ///< "38"
};

const std::vector<Prefix>& prefixes_of_2018() {
  static const std::vector<Prefix> prefixes = [] {
    std::vector<Prefix> out;
    for (const std::vector<std::string>& row : bundled_rows("vn_phone_prefix_2018"))
      out.push_back({row.at(0).substr(1), row.at(1).substr(1)});
    return out;
  }();
  return prefixes;
}

/// One number while it is put together.
class Number {
 public:
  [[nodiscard]] std::string_view text() const noexcept { return as_text(memory_.view().first(size_)); }
  Number& put(std::string_view part) noexcept {
    part = part.substr(0, kMaxNumber - size_);
    std::ranges::copy(as_bytes(part), memory_.out().subspan(size_).begin());
    size_ += part.size();
    return *this;
  }
  void clear() noexcept { size_ = 0; }

 private:
  crypto::Wiped<kMaxNumber> memory_;
  std::size_t size_ = 0;
};

constexpr std::string_view kVietnam = "+84";

/// A national number without its leading zero.
bool put_national(std::string_view number, Number& out) {
  constexpr std::string_view kMobile = "35789";
  if (number.size() == 9 && kMobile.find(number.front()) != std::string_view::npos)
    return out.put(kVietnam).put(number), true;
  if (number.size() != 10) return false;
  if (number.front() == '2') return out.put(kVietnam).put(number), true;  // landline: area and subscriber
  for (const Prefix& prefix : prefixes_of_2018()) {
    if (number.starts_with(prefix.before))
      return out.put(kVietnam).put(prefix.after).put(number.substr(prefix.before.size())), true;
  }
  return false;
}

std::string_view without_zero(std::string_view number) noexcept {
  return number.substr(number.starts_with('0') ? 1 : 0);
}

bool put_international(std::string_view number, Number& out) {
  if (number.starts_with("84")) return put_national(without_zero(number.substr(2)), out);
  constexpr std::size_t kShortest = 7;
  constexpr std::size_t kLongest = 15;
  if (number.size() < kShortest || number.size() > kLongest || number.front() == '0') return false;
  out.put("+").put(number);
  return true;
}

/// Puts a whole number, short codes aside, in its one form; false when it is none.
bool put_number(std::string_view digits, bool plus, Number& out) {
  out.clear();
  if (plus) return put_international(digits, out);
  if (digits.starts_with("00")) return put_international(digits.substr(2), out);
  if (digits.starts_with("0")) return put_national(digits.substr(1), out);
  if (digits.starts_with("84") && digits.size() >= 11) return put_international(digits, out);
  return put_national(digits, out);  // a spreadsheet took the zero
}

bool is_short_code(std::string_view digits) noexcept {
  if (digits.starts_with("1800") || digits.starts_with("1900")) return digits.size() >= 8 && digits.size() <= 10;
  return digits.starts_with('1') && digits.size() >= 3 && digits.size() <= 5;
}

/// Digits that stand together.
struct Group {
  std::string_view digits;
  bool plus = false;       ///< right after a plus sign
  bool new_chunk = false;  ///< something other than gaps and parentheses lies before it
  bool by_letter = false;  ///< a letter touches it, as in 20h
};

constexpr std::size_t kMaxGroups = 48;

/// The groups of one part of a cell; those past the bound are left out.
std::span<const Group> groups_of(std::string_view part, std::array<Group, kMaxGroups>& groups) {
  std::size_t count = 0;
  bool plus = false;
  bool new_chunk = true;
  for (std::size_t i = 0; i < part.size() && count < groups.size();) {
    const char c = part[i];
    if (!is_digit(c)) {
      if (c == '+') plus = true;
      if (c == kLetter || c == kOther) new_chunk = true, plus = false;
      ++i;
      continue;
    }
    std::size_t end = i;
    while (end < part.size() && is_digit(part[end])) ++end;
    const bool by_letter = (i != 0 && part[i - 1] == kLetter) || (end < part.size() && part[end] == kLetter);
    groups[count++] = {part.substr(i, end - i), plus, new_chunk, by_letter};
    plus = new_chunk = false;
    i = end;
  }
  return std::span(groups).first(count);
}

class Phones {
 public:
  explicit Phones(std::vector<std::string>& out) : out_(out) { out_.reserve(kMaxPhones); }

  /// False when there are more than a cell may hold.
  [[nodiscard]] bool add_part(std::string_view part) {
    std::array<Group, kMaxGroups> memory;
    const std::span<const Group> groups = groups_of(part, memory);
    const std::size_t before = found_;
    for (std::size_t i = 0; i < groups.size();) {
      std::size_t end = i + 1;
      while (end < groups.size() && !groups[end].new_chunk) ++end;
      if (!add_chunk(groups.subspan(i, end - i))) return false;
      i = end;
    }
    return found_ != before || add_short_code(groups);
  }
  /// Digits enough for a number were seen that make none.
  [[nodiscard]] bool saw_wrong_number() const noexcept { return wrong_; }

 private:
  /// All groups of a chunk belong to numbers, or none: 20h after a number is a remark, digits beside it are a slip.
  [[nodiscard]] bool add_chunk(std::span<const Group> groups) {
    std::array<std::pair<std::size_t, std::size_t>, kMaxGroups> numbers;
    std::size_t count = 0;
    std::size_t digits = 0;
    for (const Group& group : groups) digits += group.digits.size();
    for (std::size_t i = 0; i < groups.size();) {
      std::size_t end = groups.size();
      while (end != i && !number_from(groups.subspan(i, end - i))) --end;
      if (end == i) {
        wrong_ = wrong_ || digits >= 6;
        return true;
      }
      numbers[count++] = {i, end - i};
      i = end;
    }
    for (const auto& [begin, size] : std::span(numbers).first(count)) {
      (void)number_from(groups.subspan(begin, size));
      if (!add(number_.text())) return false;
    }
    return true;
  }

  /// The number that these groups make together, into number_.
  bool number_from(std::span<const Group> groups) {
    Number whole;
    std::size_t size = 0;
    for (const Group& group : groups) {
      if (&group != groups.data() && group.plus) return false;
      whole.put(group.digits);
      size += group.digits.size();
    }
    constexpr std::size_t kLongest = 18;
    return size >= 7 && size <= kLongest && put_number(whole.text(), groups.front().plus, number_);
  }

  [[nodiscard]] bool add_short_code(std::span<const Group> groups) {
    Number whole;
    for (const Group& group : groups) {
      if (group.by_letter || group.plus) return true;
      if (group.new_chunk) whole.clear();
      whole.put(group.digits);
    }
    return !is_short_code(whole.text()) || add(whole.text());
  }

  [[nodiscard]] bool add(std::string_view number) {
    ++found_;
    if (std::ranges::find(out_, number) != out_.end()) return true;
    if (out_.size() == kMaxPhones) return false;
    out_.emplace_back(number);
    return true;
  }

  std::vector<std::string>& out_;
  Number number_;
  std::size_t found_ = 0;
  bool wrong_ = false;
};

}  // namespace

Result<std::vector<std::string>> phone_keys(std::string_view text) {
  Cell cell;
  CASEVAULT_TRY(std::string_view rest, simplify(text, cell));
  Result<std::vector<std::string>> keys = std::vector<std::string>();
  Phones phones(*keys);
  while (!rest.empty()) {
    const std::size_t end = std::min(rest.find(kBetween), rest.size());
    if (!phones.add_part(rest.substr(0, end)))
      return refuse("more than " + std::to_string(kMaxPhones) + " telephone numbers; keep the others in another field");
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
  if (!keys->empty()) return keys;
  if (phones.saw_wrong_number())
    return refuse(
        "no telephone number: its digits fit neither a number of Viet Nam (0 and 9 digits, 02 and 9 digits, the "
        "prefixes "
        "of before 2018) nor a foreign one (+ or 00 and the country code)");
  return refuse("holds no telephone number");
}

namespace {

constexpr std::size_t kCccdSize = 12;
constexpr std::size_t kCmndSize = 9;

/// What clerks write before a number, by syllable.
constexpr std::array<std::string_view, 28> kLabels = {"ca",   "can",   "cc",   "cccd",   "chieu",    "chung", "cmnd",
                                                      "cmt",  "cmtnd", "cong", "cuoc",   "dan",      "danh",  "ddcn",
                                                      "dinh", "giay",  "gttt", "hc",     "ho",       "id",    "ma",
                                                      "minh", "nhan",  "no",   "number", "passport", "so",    "the"};

bool all_digits(std::string_view text) noexcept { return std::ranges::all_of(text, is_digit); }

/// The number without labels and punctuation, into `out`; false when it is too long.
bool put_document(std::span<const Folded::Unit> rest, Number& out) {
  while (!rest.empty()) {
    const auto end = static_cast<std::size_t>(std::ranges::find(rest, Folded::Unit{0}) - rest.begin());
    std::array<char, 4 * kMaxNumber> token;
    std::size_t size = 0;
    for (const Folded::Unit unit : rest.first(end)) {
      if (Folded::kind(unit) == unicode::kAccent) continue;
      if (size + 4 > token.size()) return false;
      const char32_t plain = unicode::plain_letter(Folded::point(unit));
      const bool lower = plain >= U'a' && plain <= U'z';
      size += unicode::put_utf8(lower ? plain - (U'a' - U'A') : plain, token.data() + size);
    }
    const std::string_view text(token.data(), size);
    const auto same = [text](std::string_view label) {
      return std::ranges::equal(label, text, [](char a, char b) { return a - ('a' - 'A') == b; });
    };
    const bool label = std::ranges::any_of(kLabels, same);
    const bool fits = label || text.size() <= kMaxNumber - out.text().size();
    if (!label && fits) out.put(text);
    crypto::wipe({reinterpret_cast<std::uint8_t*>(token.data()), size});  // NOLINT
    if (!fits) return false;
    rest = rest.subspan(std::min(end + 1, rest.size()));
  }
  return true;
}

/// Whether a 12-digit number begins as numbers of a province do, by the list of before 2025.
bool of_known_province(std::string_view number) {
  static const std::vector<std::string> codes =
      bundled_list("vn_province_mergers.old_code").value_or(std::vector<std::string>());
  return number.front() == '0' && std::ranges::find(codes, number.substr(1, 2)) != codes.end();
}

}  // namespace

Result<IdKey> id_key(std::string_view text) {
  Folded folded;
  CASEVAULT_CHECK(folded.assign(text));
  Number number;
  if (!put_document(folded.units(), number))
    return refuse("longer than " + std::to_string(kMaxNumber) +
                  " digits and letters, which is no number of a document");
  if (std::ranges::none_of(number.text(), is_digit)) return refuse("holds no number of a document");
  const bool digits = all_digits(number.text());
  const std::size_t size = number.text().size();
  Result<IdKey> key = IdKey{};
  key->type = digits && size == kCccdSize ? "cccd" : digits && size == kCmndSize ? "cmnd" : "other";
  key->number = number.text();
  return key;
}

std::optional<std::string> id_suggestion(std::string_view text) {
  Result<IdKey> key = id_key(text);
  if (!key) return std::nullopt;
  std::optional<std::string> out;
  const std::size_t size = key->number.size();
  if (all_digits(key->number) && key->type == "other" && (size == 8 || size == 10 || size == 11)) {
    const std::size_t whole = size == 8 ? kCmndSize : kCccdSize;
    out.emplace().reserve(whole);
    out->append(whole - size, '0').append(key->number);
    if (whole == kCccdSize && !of_known_province(*out)) {
      crypto::wipe(*out);
      out.reset();
    }
  }
  crypto::wipe(key->number);
  return out;
}

std::string_view text_of(IdWarning warning) noexcept {
  switch (warning) {
    case IdWarning::kZeroLost:
      return "the number seems to have lost its leading zero";
    case IdWarning::kProvince:
      return "no province has the code that the number begins with";
    case IdWarning::kBirthYear:
      return "the number says another year of birth than the record";
    case IdWarning::kSex:
      return "the number says another sex than the record";
  }
  return "";
}

std::vector<IdWarning> check_id(std::string_view text, std::string_view birth_date, std::string_view sex,
                                int years_off) {
  std::vector<IdWarning> warnings;
  std::optional<std::string> whole = id_suggestion(text);
  if (whole) {
    warnings.push_back(IdWarning::kZeroLost);
  } else if (Result<IdKey> key = id_key(text); key) {
    whole.emplace(key->number);
    crypto::wipe(key->number);
  }
  if (whole && whole->size() == kCccdSize && all_digits(*whole)) {
    const auto digit = [&whole](std::size_t i) { return (*whole)[i] - '0'; };
    const int year = (19 + digit(3) / 2) * 100 + 10 * digit(4) + digit(5);
    const bool female = digit(3) % 2 == 1;
    if (whole->front() == '0' && !of_known_province(*whole)) warnings.push_back(IdWarning::kProvince);
    if (birth_date.size() >= 4 && all_digits(birth_date.substr(0, 4))) {
      int born = 0;
      for (const char c : birth_date.substr(0, 4)) born = 10 * born + (c - '0');
      if (born - year > years_off || year - born > years_off) warnings.push_back(IdWarning::kBirthYear);
    }
    if ((sex == "female" && !female) || (sex == "male" && female)) warnings.push_back(IdWarning::kSex);
  }
  if (whole) crypto::wipe(*whole);
  return warnings;
}

}  // namespace casevault::model
