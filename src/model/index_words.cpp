// SPDX-License-Identifier: Apache-2.0
#include "model/index_words.hpp"

#include <algorithm>

#include "crypto/types.hpp"
#include "model/normalise.hpp"

namespace casevault::model {
namespace {

void wipe(std::string& text) {
  crypto::wipe(MutableBytes(reinterpret_cast<std::uint8_t*>(text.data()), text.size()));  // NOLINT: bytes of a text
}

void add(std::vector<IndexWord>& out, IndexWord word) {
  if (std::ranges::find(out, word) == out.end()) out.push_back(std::move(word));
}

Result<std::vector<std::string>> whole_words(IndexKind kind, std::string_view text) {
  switch (kind) {
    case IndexKind::kPhone:
      return phone_keys(text);
    case IndexKind::kDate:
      return date_keys(text);
    case IndexKind::kPlace:
      return place_keys(text);
    case IndexKind::kId: {
      CASEVAULT_TRY(std::string key, id_key(text));
      return std::vector<std::string>{std::move(key)};
    }
    default:
      return std::vector<std::string>{std::string(text)};
  }
}

void add_name(NameKeys keys, std::vector<IndexWord>& out) {
  add(out, {WordClass::kOrderFree, std::move(keys.bag)});
  add(out, {WordClass::kJoined, std::move(keys.joined)});
  add(out, {WordClass::kFolded, std::move(keys.folded), std::move(keys.exact)});
}

bool date_digits(std::string_view text) {
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (i == 4 || i == 7 ? text[i] != '-' : text[i] < '0' || text[i] > '9') return false;
  }
  return text.size() == 4 || text.size() == 7 || text.size() == 10;
}

int number(std::string_view digits) {
  int value = 0;
  for (const char c : digits) value = value * 10 + (c - '0');
  return value;
}

int days_in(int year, int month) {
  if (month == 2) return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0 ? 29 : 28;
  return month == 4 || month == 6 || month == 9 || month == 11 ? 30 : 31;
}

struct Day {
  int year = 0;
  int month = 0;
  int day = 0;
  auto operator<=>(const Day&) const = default;
};

/// The first or last day of a year, month or day; nullopt when it is none.
std::optional<Day> bound(std::string_view text, bool last) {
  if (!date_digits(text)) return std::nullopt;
  Day out{number(text.substr(0, 4)), last ? 12 : 1, 1};
  if (out.year == 0) return std::nullopt;
  if (text.size() >= 7) out.month = number(text.substr(5, 2));
  if (out.month < 1 || out.month > 12) return std::nullopt;
  out.day = last ? days_in(out.year, out.month) : 1;
  if (text.size() == 10) out.day = number(text.substr(8, 2));
  if (out.day < 1 || out.day > days_in(out.year, out.month)) return std::nullopt;
  return out;
}

std::string padded(int value, std::size_t width) {
  std::string digits = std::to_string(value);
  return std::string(width - std::min(width, digits.size()), '0') + digits;
}

constexpr int kMostYears = 150;  ///< a range that is wider than a life is a slip of the pen

/// Years, months and days that make up the range and nothing else.
Result<void> cover(const Day& from, const Day& to, std::vector<IndexWord>& out) {
  if (to < from) return Error{ErrorCode::kBadInput, "a range of dates ends before it begins"};
  if (to.year - from.year >= kMostYears) {
    return Error{ErrorCode::kBadInput, "a range of dates spans at most " + std::to_string(kMostYears) + " years"};
  }
  for (Day at = from; at <= to;) {
    const std::string year = padded(at.year, 4);
    const int month_end = days_in(at.year, at.month);
    if (at.month == 1 && at.day == 1 && Day{at.year, 12, 31} <= to) {
      out.emplace_back(WordClass::kWhole, year);
      at = {at.year + 1, 1, 1};
    } else if (at.day == 1 && Day{at.year, at.month, month_end} <= to) {
      out.emplace_back(WordClass::kWhole, year + "-" + padded(at.month, 2));
      at = at.month == 12 ? Day{at.year + 1, 1, 1} : Day{at.year, at.month + 1, 1};
    } else {
      out.emplace_back(WordClass::kWhole, year + "-" + padded(at.month, 2) + "-" + padded(at.day, 2));
      if (at.day < month_end) {
        ++at.day;
      } else {
        at = at.month == 12 ? Day{at.year + 1, 1, 1} : Day{at.year, at.month + 1, 1};
      }
    }
  }
  return {};
}

Result<TypedWords> words_of_dates(std::string_view typed) {
  const std::size_t dots = typed.find("..");
  const std::string_view first = typed.substr(0, dots);
  const std::string_view second = dots == std::string_view::npos ? first : typed.substr(dots + 2);
  const auto from = bound(first, false);
  const auto to = bound(second, true);
  if (!from || !to) {
    return Error{ErrorCode::kBadInput,
                 "a date is searched for as YYYY, YYYY-MM, YYYY-MM-DD or a range FROM..TO of them"};
  }
  TypedWords out;
  CASEVAULT_CHECK(cover(*from, *to, out.words));
  return out;
}

}  // namespace

IndexWord::~IndexWord() {
  wipe(text);
  wipe(exact);
}

void words_of_value(IndexKind kind, std::string_view value, std::vector<IndexWord>& out) {
  out.clear();
  if (kind == IndexKind::kName) {
    if (auto keys = name_keys(value)) add_name(*std::move(keys), out);
  } else if (auto words = whole_words(kind, value)) {
    for (std::string& word : *words) add(out, {WordClass::kWhole, std::move(word)});
  }
  if (out.empty()) out.emplace_back(WordClass::kRaw, std::string(value));
}

Result<TypedWords> words_of_query(IndexKind kind, std::string_view typed, bool loose) {
  if (kind == IndexKind::kDate) return words_of_dates(typed);
  TypedWords out;
  if (kind == IndexKind::kName) {
    CASEVAULT_TRY(NameKeys keys, name_keys(typed));
    out.exact_only = !loose && has_diacritics(typed);
    add_name(std::move(keys), out.words);
    if (!loose) out.words.erase(out.words.begin(), out.words.end() - 1);
    return out;
  }
  auto words = whole_words(kind, typed);
  if (!words) {
    out.words.emplace_back(WordClass::kRaw, std::string(typed));
    return out;
  }
  for (std::string& word : *words) add(out.words, {WordClass::kWhole, std::move(word)});
  return out;
}

std::size_t usual_words(IndexKind kind) noexcept {
  switch (kind) {
    case IndexKind::kNone:
      return 0;
    case IndexKind::kExact:
    case IndexKind::kId:
      return 1;
    case IndexKind::kPhone:
    case IndexKind::kPlace:
      return 2;
    case IndexKind::kName:
    case IndexKind::kDate:
      return 3;
  }
  return 0;
}

}  // namespace casevault::model
