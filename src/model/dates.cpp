// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>

#include "crypto/types.hpp"
#include "model/normalise.hpp"
#include "model/unicode/fold.hpp"
#include "model/value.hpp"

namespace casevault::model {
namespace {

constexpr int kMaxYears = 200;

Error refuse(std::string reason) { return {ErrorCode::kBadInput, std::move(reason)}; }
Error no_date() { return refuse("no date; write day/month/year, month/year or a year of four digits"); }

/// A date with what is not known of it as 0.
struct Date {
  int year = 0;
  int month = 0;
  int day = 0;
  friend auto operator<=>(const Date&, const Date&) = default;
};

int number(std::string_view digits) noexcept {
  int value = 0;
  for (const char c : digits) value = 10 * value + (c - '0');
  return value;
}

Date parsed(std::string_view canonical) noexcept {
  return {number(canonical.substr(0, 4)), canonical.size() > 4 ? number(canonical.substr(5, 2)) : 0,
          canonical.size() > 7 ? number(canonical.substr(8, 2)) : 0};
}

/// YYYY, YYYY-MM or YYYY-MM-DD in memory of its own, wiped when it goes.
class Word {
 public:
  explicit Word(int year) noexcept { put(year, 4); }
  Word& part(int value) noexcept {
    memory_.out()[size_++] = '-';
    return put(value, 2);
  }
  [[nodiscard]] std::string_view text() const noexcept { return as_text(memory_.view().first(size_)); }

 private:
  Word& put(int value, std::size_t width) noexcept {
    for (std::size_t i = width; i-- != 0; value /= 10)
      memory_.out()[size_ + i] = static_cast<std::uint8_t>('0' + value % 10);
    size_ += width;
    return *this;
  }
  crypto::Wiped<16> memory_;
  std::size_t size_ = 0;
};

int days_in(int year, int month) noexcept {
  int last = 31;
  while (!valid_date(Word(year).part(month).part(last).text())) --last;
  return last;
}

/// The words of the days from `first` to `last`, both whole dates; whole months and years have one word.
void cover(Date first, const Date& last, std::vector<std::string>& words) {
  while (first <= last) {
    const Date year_end = {first.year, 12, 31};
    const Date month_end = {first.year, first.month, days_in(first.year, first.month)};
    const Word year(first.year);
    if (first.month == 1 && first.day == 1 && year_end <= last) {
      words.emplace_back(year.text());
      first = {first.year + 1, 1, 1};
      continue;
    }
    const auto once = [&words](std::string_view word) {
      if (std::ranges::find(words, word) == words.end()) words.emplace_back(word);
    };
    once(Word(first.year).part(0).text());
    if (first.day == 1 && month_end <= last) {
      words.emplace_back(Word(first.year).part(first.month).text());
    } else {
      once(Word(first.year).part(first.month).part(0).text());
      for (; first <= std::min(month_end, last); ++first.day)
        words.emplace_back(Word(first.year).part(first.month).part(first.day).text());
    }
    first = first.month == 12 ? Date{first.year + 1, 1, 1} : Date{first.year, first.month + 1, 1};
  }
}

}  // namespace

Result<std::string> canonical_date(std::string_view typed) {
  unicode::Folded folded;
  if (!folded.assign(typed)) return no_date();
  std::array<int, 3> parts{};
  std::array<std::size_t, 3> widths{};
  std::size_t count = 0;
  bool within = false;
  for (const auto unit : folded.units()) {
    const char32_t point = unicode::Folded::point(unit);
    if (point == 0) {
      within = false;
      continue;
    }
    if (point < U'0' || point > U'9') return no_date();
    if (!within && count++ == parts.size()) return no_date();
    within = true;
    if (++widths[count - 1] > 4) return no_date();
    parts[count - 1] = 10 * parts[count - 1] + static_cast<int>(point - U'0');
  }
  const bool year_first = widths[0] == 4;
  const std::size_t year = year_first ? 0 : count - 1;
  for (std::size_t i = 0; i < count; ++i) {
    if (i == year && widths[i] == 2 && count > 1)
      return refuse("a year of two digits may mean two centuries; write all four");
    if (i == year ? widths[i] != 4 : widths[i] > 2) return no_date();
  }
  Word word(parts[year]);
  if (count > 1) word.part(parts[1 - (count == 2 && !year_first ? 1U : 0U)]);
  if (count > 2) word.part(parts[year_first ? 2 : 0]);
  if (!valid_date(word.text())) return no_date();
  return std::string(word.text());
}

Result<std::vector<std::string>> date_keys(std::string_view canonical_date) {
  if (!valid_date(canonical_date)) return no_date();
  const Date date = parsed(canonical_date);
  Result<std::vector<std::string>> keys = std::vector<std::string>();
  keys->reserve(kMaxDateKeys);
  keys->emplace_back(Word(date.year).text());
  keys->emplace_back(Word(date.year).part(date.month).text());
  if (date.month != 0) keys->emplace_back(Word(date.year).part(date.month).part(date.day).text());
  return keys;
}

Result<std::vector<std::string>> date_range_keys(std::string_view first, std::string_view last) {
  if (!valid_date(first) || !valid_date(last)) return no_date();
  Date begin = parsed(first);
  Date end = parsed(last);
  begin.month = std::max(begin.month, 1);
  begin.day = std::max(begin.day, 1);
  if (end.month == 0) end.month = 12;
  if (end.day == 0) end.day = days_in(end.year, end.month);
  if (end < begin) return refuse("the range of dates ends before it begins");
  if (end.year - begin.year >= kMaxYears)
    return refuse("the range of dates is longer than " + std::to_string(kMaxYears) + " years; ask for a shorter one");
  Result<std::vector<std::string>> words = std::vector<std::string>();
  words->reserve(kMaxYears + std::size_t{2} * (11 + 31 + 2));
  cover(begin, end, *words);
  return words;
}

}  // namespace casevault::model
