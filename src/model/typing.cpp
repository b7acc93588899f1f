// SPDX-License-Identifier: Apache-2.0
// Telex and VNI write shapes and tones as letters and digits that a Vietnamese syllable cannot hold where they stand,
// so a syllable typed without the input method is told from one that is meant as it stands.
#include <algorithm>
#include <array>

#include "base/text.hpp"
#include "crypto/types.hpp"
#include "model/normalise.hpp"
#include "model/unicode/fold.hpp"

namespace casevault::model {
namespace {

constexpr std::size_t kMaxText = 256;
constexpr std::size_t kMaxSyllable = 12;

// Letters with a shape, as one char each: a circumflex A, a breve W, e circumflex E, o circumflex O, o horn V, u horn
// U, d stroke D.
constexpr std::string_view kVowels = "aWAeEioOVuUy";
/// Rows as kVowels, columns by tone: none, acute, grave, hook, tilde, dot below.
constexpr std::array<std::array<char32_t, 6>, 12> kComposed = {{{'a', 0xE1, 0xE0, 0x1EA3, 0xE3, 0x1EA1},
                                                                {0x103, 0x1EAF, 0x1EB1, 0x1EB3, 0x1EB5, 0x1EB7},
                                                                {0xE2, 0x1EA5, 0x1EA7, 0x1EA9, 0x1EAB, 0x1EAD},
                                                                {'e', 0xE9, 0xE8, 0x1EBB, 0x1EBD, 0x1EB9},
                                                                {0xEA, 0x1EBF, 0x1EC1, 0x1EC3, 0x1EC5, 0x1EC7},
                                                                {'i', 0xED, 0xEC, 0x1EC9, 0x129, 0x1ECB},
                                                                {'o', 0xF3, 0xF2, 0x1ECF, 0xF5, 0x1ECD},
                                                                {0xF4, 0x1ED1, 0x1ED3, 0x1ED5, 0x1ED7, 0x1ED9},
                                                                {0x1A1, 0x1EDB, 0x1EDD, 0x1EDF, 0x1EE1, 0x1EE3},
                                                                {'u', 0xFA, 0xF9, 0x1EE7, 0x169, 0x1EE5},
                                                                {0x1B0, 0x1EE9, 0x1EEB, 0x1EED, 0x1EEF, 0x1EF1},
                                                                {'y', 0xFD, 0x1EF3, 0x1EF7, 0x1EF9, 0x1EF5}}};

constexpr std::array<std::string_view, 28> kOnsets = {"",   "b",  "c", "ch", "d",  "D",  "g",   "gh", "gi", "h",
                                                      "k",  "kh", "l", "m",  "n",  "ng", "ngh", "nh", "p",  "ph",
                                                      "qu", "r",  "s", "t",  "th", "tr", "v",   "x"};
constexpr std::array<std::string_view, 156> kRhymes = {
    "a",   "ac",  "ach",  "ai",  "am",   "an",  "ang",  "anh",  "ao",   "ap",   "at",   "au",   "ay",   "Wc",   "Wm",
    "Wn",  "Wng", "Wp",   "Wt",  "Ac",   "Am",  "An",   "Ang",  "Ap",   "At",   "Au",   "Ay",   "e",    "ec",   "em",
    "en",  "eng", "eo",   "ep",  "et",   "E",   "Ech",  "Em",   "En",   "Enh",  "Ep",   "Et",   "Eu",   "i",    "ia",
    "ich", "iEc", "iEm",  "iEn", "iEng", "iEp", "iEt",  "iEu",  "im",   "in",   "inh",  "ip",   "it",   "iu",   "o",
    "oa",  "oac", "oach", "oai", "oam",  "oan", "oang", "oanh", "oao",  "oap",  "oat",  "oay",  "oc",   "oe",   "oem",
    "oen", "oeo", "oet",  "oi",  "om",   "on",  "ong",  "oong", "op",   "ot",   "oWc",  "oWm",  "oWn",  "oWng", "oWt",
    "O",   "Oc",  "Oi",   "Om",  "On",   "Ong", "Op",   "Ot",   "V",    "Vi",   "Vm",   "Vn",   "Vp",   "Vt",   "u",
    "ua",  "uAn", "uAng", "uAt", "uAy",  "uc",  "uE",   "uEch", "uEnh", "ui",   "um",   "un",   "ung",  "uOc",  "uOi",
    "uOm", "uOn", "uOng", "uOt", "up",   "ut",  "uV",   "uy",   "uya",  "uych", "uyEn", "uyEt", "uynh", "uyt",  "uyu",
    "U",   "Ua",  "Uc",   "Ui",  "Um",   "Ung", "Ut",   "Uu",   "UVc",  "UVi",  "UVm",  "UVn",  "UVng", "UVp",  "UVt",
    "UVu", "y",   "yEn",  "yEt", "yEu",  "ynh"};

char lower(char c) noexcept { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c; }
bool upper(char c) noexcept { return c >= 'A' && c <= 'Z'; }
bool is_vowel(char c) noexcept { return kVowels.find(c) != std::string_view::npos; }

char plain(char c) noexcept {
  switch (c) {
    case 'A':
    case 'W':
      return 'a';
    case 'E':
      return 'e';
    case 'O':
    case 'V':
      return 'o';
    case 'U':
      return 'u';
    case 'D':
      return 'd';
    default:
      return c;
  }
}

/// Letters of one syllable with their case, on the stack, wiped when it goes.
class Syllable {
 public:
  Syllable() noexcept = default;
  Syllable(const Syllable&) = delete;
  Syllable& operator=(const Syllable&) = delete;
  ~Syllable() { crypto::wipe({reinterpret_cast<std::uint8_t*>(letters_.data()), letters_.size()}); }  // NOLINT

  /// What Telex and VNI make of the keys; false where a key has nothing to act on.
  bool type(std::string_view keys) {
    if (keys.size() > letters_.size()) return false;
    for (const char key : keys) {
      if (!press(lower(key), upper(key))) return false;
    }
    return true;
  }
  /// The keys as letters that mean themselves.
  bool take(std::string_view keys) {
    if (keys.size() > letters_.size()) return false;
    for (const char key : keys) {
      if (lower(key) < 'a' || lower(key) > 'z') return false;
      push(lower(key), upper(key));
    }
    return true;
  }
  /// Whether this is a syllable of Vietnamese; `shaped`: with its shapes and tone, else as typed plain.
  [[nodiscard]] bool valid(bool shaped) const {
    const std::string_view all(letters_.data(), size_);
    for (const std::string_view onset : kOnsets) {
      if (!all.starts_with(onset)) continue;
      const std::string_view rhyme = all.substr(onset.size());
      const auto fits = [&](std::string_view known) {
        return shaped ? known == rhyme : std::ranges::equal(known, rhyme, {}, plain);
      };
      const bool stopped =
          rhyme.ends_with('c') || rhyme.ends_with("ch") || rhyme.ends_with('p') || rhyme.ends_with('t');
      if (std::ranges::any_of(kRhymes, fits) && (!stopped || tone_ == 0 || tone_ == 1 || tone_ == 5)) return true;
    }
    return false;
  }
  void append_to(std::string& out) const {
    const std::size_t toned = tone_ == 0 ? size_ : toned_letter();
    for (std::size_t i = 0; i < size_; ++i) {
      char32_t point = letters_[i] == 'D' ? char32_t{0x111} : static_cast<char32_t>(letters_[i]);
      const std::size_t row = kVowels.find(letters_[i]);
      if (row != std::string_view::npos) point = kComposed[row][i == toned ? tone_ : 0];
      if (upper_[i]) point -= point < 0x100 ? 0x20U : 1U;
      char bytes[4];
      out.append(bytes, unicode::put_utf8(point, bytes));
    }
  }

 private:
  void push(char letter, bool is_upper) {
    letters_[size_] = letter;
    upper_[size_++] = is_upper;
  }
  /// The last letter that is `from` becomes `to`.
  bool reshape(char from, char to) {
    for (std::size_t i = size_; i-- != 0;) {
      if (letters_[i] == from) return letters_[i] = to, true;
    }
    return false;
  }
  [[nodiscard]] bool has_vowel() const {
    return std::ranges::any_of(std::string_view(letters_.data(), size_), is_vowel);
  }
  bool set_tone(std::size_t tone) {
    if (!has_vowel() || tone_ != 0) return false;
    tone_ = tone;
    return true;
  }
  bool horn() {
    const std::size_t pair = std::string_view(letters_.data(), size_).find("uo");
    if (pair != std::string_view::npos) return letters_[pair] = 'U', letters_[pair + 1] = 'V', true;
    return reshape('o', 'V') || reshape('u', 'U');
  }
  bool press(char key, bool is_upper) {
    constexpr std::string_view kToneKeys = "sfrxj";
    const std::size_t tone = kToneKeys.find(key);
    if (tone != std::string_view::npos && has_vowel()) return set_tone(tone + 1);
    if (key >= '1' && key <= '5') return set_tone(static_cast<std::size_t>(key - '0'));
    switch (key) {
      case '6':
        return reshape('a', 'A') || reshape('e', 'E') || reshape('o', 'O');
      case '7':
        return horn();
      case '8':
        return reshape('a', 'W');
      case '9':
      case 'd':
        if (size_ != 0) return letters_[0] == 'd' && (letters_[0] = 'D', true);
        break;
      case 'w':
        if (!reshape('a', 'W') && !horn()) push('U', is_upper);
        return true;
      case 'a':
        if (reshape('a', 'A')) return true;
        break;
      case 'e':
        if (reshape('e', 'E')) return true;
        break;
      case 'o':
        if (reshape('o', 'O')) return true;
        break;
      default:
        break;
    }
    if (key < 'a' || key > 'z') return false;
    push(key, is_upper);
    return true;
  }
  /// Where the tone is written: on the last shaped vowel, else before a coda the last, else the first of two and the
  /// middle of three; the u of qu and the i of gi before a vowel are no vowels.
  [[nodiscard]] std::size_t toned_letter() const {
    const std::string_view all(letters_.data(), size_);
    std::size_t begin = 0;
    while (begin < size_ && !is_vowel(all[begin])) ++begin;
    if ((all.starts_with("qu") || all.starts_with("gi")) && size_ > 2 && is_vowel(all[2])) begin = 2;
    std::size_t end = begin;
    while (end < size_ && is_vowel(all[end])) ++end;
    for (std::size_t i = end; i-- != begin;) {
      if (plain(all[i]) != all[i]) return i;
    }
    if (end != size_) return end - 1;
    return end - begin == 3 ? begin + 1 : begin;
  }

  std::array<char, kMaxSyllable> letters_{};
  std::array<bool, kMaxSyllable> upper_{};
  std::size_t size_ = 0;
  std::size_t tone_ = 0;
};

bool is_key(char c) noexcept { return (lower(c) >= 'a' && lower(c) <= 'z') || (c >= '0' && c <= '9'); }

/// Letters beyond ASCII: the input method was on. An apostrophe: the name is of another language.
bool is_foreign(char c) noexcept { return c == '\'' || static_cast<unsigned char>(c) >= 0x80; }

}  // namespace

std::optional<std::string> typing_suggestion(std::string_view text) {
  if (text.size() > kMaxText || !base::valid_utf8(text)) return std::nullopt;
  std::optional<std::string> out(std::in_place);
  out->reserve(3 * text.size());
  bool changed = false;
  bool beside_foreign = false;
  while (!text.empty()) {
    const auto end = static_cast<std::size_t>(std::ranges::find_if_not(text, is_key) - text.begin());
    const std::string_view keys = text.substr(0, end);
    beside_foreign = beside_foreign || (end != text.size() && is_foreign(text[end]));
    Syllable typed;
    Syllable meant;
    const bool as_it_stands = typed.take(keys) && typed.valid(false);
    if (!beside_foreign && !as_it_stands && meant.type(keys) && meant.valid(true)) {
      meant.append_to(*out);
      changed = true;
    } else {
      out->append(keys);
    }
    text.remove_prefix(end);
    if (text.empty()) break;
    beside_foreign = is_foreign(text.front());
    out->push_back(text.front());
    text.remove_prefix(1);
  }
  if (!changed) {
    crypto::wipe(*out);
    out.reset();
  }
  return out;
}

}  // namespace casevault::model
