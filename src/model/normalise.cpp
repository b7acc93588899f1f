// SPDX-License-Identifier: Apache-2.0
#include "model/normalise.hpp"

#include <algorithm>
#include <array>
#include <map>

#include "base/text.hpp"

namespace casevault::model {
namespace {

constexpr std::array<std::pair<std::string_view, char>, 14> kMarked = {{{"àáảãạăằắẳẵặâầấẩẫậ", 'a'},
                                                                        {"ÀÁẢÃẠĂẰẮẲẴẶÂẦẤẨẪẬ", 'A'},
                                                                        {"èéẻẽẹêềếểễệ", 'e'},
                                                                        {"ÈÉẺẼẸÊỀẾỂỄỆ", 'E'},
                                                                        {"ìíỉĩị", 'i'},
                                                                        {"ÌÍỈĨỊ", 'I'},
                                                                        {"òóỏõọôồốổỗộơờớởỡợ", 'o'},
                                                                        {"ÒÓỎÕỌÔỒỐỔỖỘƠỜỚỞỠỢ", 'O'},
                                                                        {"ùúủũụưừứửữự", 'u'},
                                                                        {"ÙÚỦŨỤƯỪỨỬỮỰ", 'U'},
                                                                        {"ỳýỷỹỵ", 'y'},
                                                                        {"ỲÝỶỸỴ", 'Y'},
                                                                        {"đ", 'd'},
                                                                        {"Đ", 'D'}}};

std::size_t letter_size(char c) {
  const auto byte = static_cast<unsigned char>(c);
  return byte < 0x80 ? 1 : byte < 0xE0 ? 2 : byte < 0xF0 ? 3 : 4;
}

struct Marked {
  std::string lower;
  char base = 0;
};

const std::map<std::string_view, Marked>& marked() {
  static const auto known = [] {
    std::map<std::string_view, Marked> out;
    for (std::size_t i = 0; i < kMarked.size(); ++i) {
      const std::string_view lower = kMarked.at(i & ~std::size_t{1}).first;
      std::string_view letters = kMarked.at(i).first;
      const std::string_view pairs = i < 12 || i == 12 ? lower : kMarked.at(12).first;
      std::size_t at = 0;
      while (!letters.empty()) {
        const std::size_t size = letter_size(letters.front());
        const std::size_t low = letter_size(pairs.at(at));
        out[letters.substr(0, size)] = {std::string(pairs.substr(at, low)), kMarked.at(i).second};
        letters.remove_prefix(size);
        at += low;
      }
    }
    return out;
  }();
  return known;
}

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

Result<std::string> no_key(std::string_view what) {
  return Error{ErrorCode::kBadInput, std::string(what) + " holds no letter or digit to search by"};
}

Result<std::string> compact(std::string_view text, std::string_view what) {
  std::string out;
  for (const char c : text) {
    const char low = lower(c);
    if ((low >= '0' && low <= '9') || (low >= 'a' && low <= 'z')) out += low;
  }
  if (out.empty()) return no_key(what);
  return out;
}

}  // namespace

bool has_diacritics(std::string_view text) {
  return std::ranges::any_of(text, [](char c) { return static_cast<unsigned char>(c) >= 0x80; });
}

Result<NameKeys> name_keys(std::string_view text) {
  if (!base::valid_utf8(text)) return Error{ErrorCode::kBadInput, "a name is not valid UTF-8"};
  NameKeys keys;
  std::vector<std::string> syllables(1);
  bool gap = false;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t size = letter_size(text[at]);
    const std::string_view letter = text.substr(at, size);
    at += size;
    const bool is_letter =
        size > 1 || (lower(letter[0]) >= 'a' && lower(letter[0]) <= 'z') || (letter[0] >= '0' && letter[0] <= '9');
    if (!is_letter) {
      gap = !keys.joined.empty();
      continue;
    }
    if (gap) {
      keys.exact += ' ';
      keys.folded += ' ';
      syllables.emplace_back();
      gap = false;
    }
    const auto mark = marked().find(letter);
    std::string folded = size == 1 ? std::string(1, lower(letter[0])) : std::string(letter);
    keys.exact += mark == marked().end() ? folded : mark->second.lower;
    if (mark != marked().end()) folded = std::string(1, lower(mark->second.base));
    keys.folded += folded;
    keys.joined += folded;
    syllables.back() += folded;
  }
  if (keys.joined.empty()) return no_key("a name").error();
  std::ranges::sort(syllables);
  for (const std::string& syllable : syllables) keys.bag += (keys.bag.empty() ? "" : " ") + syllable;
  return keys;
}

Result<std::vector<std::string>> phone_keys(std::string_view text) {
  std::vector<std::string> out;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find_first_of(";,/"), text.size());
    std::string digits;
    for (const char c : text.substr(0, end)) {
      if (c >= '0' && c <= '9') digits += c;
    }
    if (digits.starts_with("84") && digits.size() > 9) digits.replace(0, 2, "0");
    if (!digits.empty()) out.push_back(std::move(digits));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  if (out.empty()) return no_key("a phone number").error();
  return out;
}

Result<std::string> id_key(std::string_view text) { return compact(text, "an identity number"); }

Result<std::vector<std::string>> date_keys(std::string_view text) {
  std::vector<std::string> out{std::string(text.substr(0, 4))};
  if (text.size() >= 7) out.emplace_back(text.substr(0, 7));
  if (text.size() >= 10) out.emplace_back(text.substr(0, 10));
  return out;
}

Result<std::vector<std::string>> place_keys(std::string_view text) {
  CASEVAULT_TRY(NameKeys keys, name_keys(text));
  return std::vector<std::string>{std::move(keys.joined)};
}

std::size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  for (std::size_t j = 0; j < row.size(); ++j) row[j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    std::size_t diagonal = std::exchange(row[0], i);
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t above = row[j];
      row[j] = std::min({row[j] + 1, row[j - 1] + 1, diagonal + (a[i - 1] == b[j - 1] ? 0U : 1U)});
      diagonal = above;
    }
  }
  return row.back();
}

}  // namespace casevault::model
