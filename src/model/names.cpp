// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>
#include <bit>

#include "crypto/types.hpp"
#include "model/normalise.hpp"
#include "model/unicode/fold.hpp"

namespace casevault::model {
namespace {

using unicode::Folded;
using Unit = Folded::Unit;

constexpr std::size_t kMaxSyllables = unicode::kMaxFolded / 2;
/// Bytes of a key: at most four a unit (or three for a tone, which was one), and the spaces stand for units too.
constexpr std::size_t kMaxKey = 4 * unicode::kMaxFolded;

/// Superscripts, because no digit of the text is one after NFKC: hoa1 as typed is not Hoa with an acute.
constexpr std::array<char32_t, 5> kToneDigit = {0xB9, 0xB2, 0xB3, 0x2074, 0x2075};

/// 0 for what is no tone of Vietnamese, else 1 to 5: acute, grave, hook, tilde, dot below.
std::size_t tone_of(char32_t point) noexcept {
  switch (point) {
    case 0x301:
      return 1;
    case 0x300:
      return 2;
    case 0x309:
      return 3;
    case 0x303:
      return 4;
    case 0x323:
      return 5;
    default:
      return 0;
  }
}

/// Text in memory of its own that never moves, wiped when it goes.
class Scratch {
 public:
  Scratch() noexcept = default;
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  ~Scratch() { crypto::wipe({reinterpret_cast<std::uint8_t*>(text_.data()), size_}); }  // NOLINT

  void put(char32_t point) noexcept { size_ += unicode::put_utf8(point, text_.data() + size_); }
  [[nodiscard]] char* at(std::size_t offset) noexcept { return text_.data() + offset; }
  [[nodiscard]] std::size_t size() const noexcept { return size_; }
  [[nodiscard]] std::string_view from(std::size_t offset) const noexcept {
    return {text_.data() + offset, size_ - offset};
  }

 private:
  std::array<char, kMaxKey> text_;
  std::size_t size_ = 0;
};

void put_exact(std::span<const Unit> syllable, Scratch& out) {
  std::array<std::size_t, 4> tones{};
  std::size_t count = 0;
  for (const Unit unit : syllable) {
    const std::size_t tone = tone_of(Folded::point(unit));
    if (tone != 0 && count < tones.size()) {
      tones[count++] = tone;
    } else {
      out.put(Folded::point(unit));
    }
  }
  for (std::size_t i = 0; i < count; ++i) out.put(kToneDigit[tones[i] - 1]);
}

bool is_consonant(char c) noexcept {
  constexpr std::string_view kVowels = "aeiouy";
  return c >= 'a' && c <= 'z' && kVowels.find(c) == std::string_view::npos;
}

void put_folded(std::span<const Unit> syllable, Scratch& out) {
  const std::size_t begin = out.size();
  for (const Unit unit : syllable) {
    if (Folded::kind(unit) != unicode::kAccent) out.put(unicode::plain_letter(Folded::point(unit)));
  }
  std::string_view onset = out.from(begin);
  if (onset.size() < 2 || onset.back() != 'y') return;
  onset.remove_suffix(1);
  if (onset == "qu" || std::ranges::all_of(onset, is_consonant)) *out.at(out.size() - 1) = 'i';
}

/// A string_view that costs nothing until it is set: arrays of it are long and mostly unused.
struct Piece {
  const char* data;
  std::size_t size;
  [[nodiscard]] std::string_view text() const noexcept { return {data, size}; }
};
struct Syllable {
  Piece exact;
  Piece folded;
};
Piece piece(std::string_view text) noexcept { return {text.data(), text.size()}; }

/// The syllables of a name, in scratch memory of their own.
class Syllables {
 public:
  explicit Syllables(const Folded& name) {
    std::span<const Unit> rest = name.units();
    while (!rest.empty()) {
      const auto end = static_cast<std::size_t>(std::ranges::find(rest, Unit{0}) - rest.begin());
      const std::size_t exact = exact_.size();
      const std::size_t folded = folded_.size();
      put_exact(rest.first(end), exact_);
      put_folded(rest.first(end), folded_);
      list_[count_++] = {piece(exact_.from(exact)), piece(folded_.from(folded))};
      rest = rest.subspan(std::min(end + 1, rest.size()));
    }
  }
  [[nodiscard]] std::span<const Syllable> list() const noexcept { return {list_.data(), count_}; }

 private:
  Scratch exact_;
  Scratch folded_;
  std::array<Syllable, kMaxSyllables> list_;
  std::size_t count_ = 0;
};

std::size_t total(std::span<const Syllable> syllables, Piece Syllable::* part) noexcept {
  std::size_t size = 0;
  for (const Syllable& syllable : syllables) size += (syllable.*part).size;
  return size;
}

/// Sized once: a string that grows leaves copies behind.
void join(std::span<const Syllable> syllables, Piece Syllable::* part, std::string_view between, std::string& out) {
  out.reserve(total(syllables, part) + between.size() * (syllables.size() - 1));
  for (const Syllable& syllable : syllables) {
    if (!out.empty()) out += between;
    out += (syllable.*part).text();
  }
}

void keys_of(std::span<const Syllable> syllables, bool loosely, NameKeys& out) {
  join(syllables, &Syllable::exact, " ", out.exact);
  join(syllables, &Syllable::folded, " ", out.folded);
  if (!loosely) return;
  join(syllables, &Syllable::folded, "", out.joined);
  std::array<Syllable, kMaxSyllables> sorted;
  const std::span<Syllable> bag = std::span(sorted).first(syllables.size());
  std::ranges::copy(syllables, bag.begin());
  std::ranges::sort(bag, {}, [](const Syllable& syllable) { return syllable.folded.text(); });
  join(bag, &Syllable::folded, " ", out.bag);
}

/// One name in two regions, exact and folded.
struct Doublet {
  std::array<std::string_view, 2> exact;
  std::array<std::string_view, 2> folded;
};
constexpr std::array<Doublet, 3> kDoublets = {{
    {{"hoang\xC2\xB2", "huynh\xC2\xB2"}, {"hoang", "huynh"}},
    {{"vu\xE2\x81\xB4", "vo\xE2\x81\xB4"}, {"vu", "vo"}},
    {{"phuc\xC2\xB9",
      "phu\xCC\x9Bo\xCC\x9B"
      "c\xC2\xB9"},
     {"phuc", "phuoc"}},
}};

/// The other name of a doublet; typed without diacritics, it stays without.
std::optional<Syllable> other_of(const Syllable& syllable) {
  const bool plain = syllable.exact.text() == syllable.folded.text();
  for (const Doublet& doublet : kDoublets) {
    for (const std::size_t i : {std::size_t{0}, std::size_t{1}}) {
      const auto& same = plain ? doublet.folded : doublet.exact;
      if (syllable.exact.text() == same[i]) return Syllable{piece(same[1 - i]), piece(doublet.folded[1 - i])};
    }
  }
  return std::nullopt;
}

}  // namespace

Result<NameKeys> name_keys(std::string_view text, bool loosely) {
  Folded name;
  CASEVAULT_CHECK(name.assign(text));
  const Syllables syllables(name);
  Result<NameKeys> keys = NameKeys{};  // filled where it stands: a move would leave short keys behind
  keys_of(syllables.list(), loosely, *keys);
  keys->marked = std::ranges::any_of(name.units(), [](Unit unit) {
    return Folded::kind(unit) == unicode::kAccent || unicode::plain_letter(Folded::point(unit)) != Folded::point(unit);
  });
  return keys;
}

std::vector<std::string_view> name_parts(std::string_view cell) {
  constexpr std::string_view kBlank = " \t\r";
  std::vector<std::string_view> parts;
  while (!cell.empty()) {
    const std::size_t end = std::min(cell.find_first_of(";|\n"), cell.size());
    std::string_view part = cell.substr(0, end);
    cell.remove_prefix(std::min(end + 1, cell.size()));
    const std::size_t colon = part.find(':');
    if (colon != std::string_view::npos) part.remove_prefix(colon + 1);
    part.remove_prefix(std::min(part.find_first_not_of(kBlank), part.size()));
    part = part.substr(0, part.find_last_not_of(kBlank) + 1);
    if (!part.empty()) parts.push_back(part);
  }
  return parts;
}

std::vector<NameKeys> name_aliases(std::string_view text) {
  constexpr std::size_t kMaxChanged = 3;
  constexpr std::size_t kCombinations = std::size_t{1} << kMaxChanged;
  Folded name;
  if (!name.assign(text)) return {};
  const Syllables syllables(name);
  std::array<Syllable, kMaxSyllables> memory;
  const std::span<Syllable> changed = std::span(memory).first(syllables.list().size());
  std::array<std::pair<std::size_t, Syllable>, kMaxChanged> others;
  std::size_t count = 0;
  for (std::size_t i = 0; i < changed.size() && count < others.size(); ++i) {
    if (const std::optional<Syllable> other = other_of(syllables.list()[i])) others[count++] = {i, *other};
  }
  std::vector<NameKeys> aliases;
  aliases.reserve(kCombinations);
  for (std::size_t changes = 1; changes <= count; ++changes) {
    for (std::size_t set = 1; set < std::size_t{1} << count; ++set) {
      if (static_cast<std::size_t>(std::popcount(set)) != changes) continue;
      std::ranges::copy(syllables.list(), changed.begin());
      for (std::size_t i = 0; i < count; ++i) {
        if ((set >> i & 1U) != 0) changed[others[i].first] = others[i].second;
      }
      keys_of(changed, true, aliases.emplace_back());
    }
  }
  return aliases;
}

std::string_view regional_form(std::string_view folded_syllable) noexcept {
  for (const Doublet& doublet : kDoublets) {
    if (folded_syllable == doublet.folded[1]) return doublet.folded[0];
  }
  return folded_syllable;
}

std::uint32_t edit_distance(std::string_view a, std::string_view b) {
  constexpr std::size_t kMaxPoints = 2 * unicode::kMaxFolded;
  struct Points {
    ~Points() { crypto::wipe({reinterpret_cast<std::uint8_t*>(list.data()), size * sizeof(char32_t)}); }  // NOLINT
    bool assign(std::string_view text) {
      for (ByteView rest = as_bytes(text); !rest.empty();) {
        const char32_t point = unicode::take_utf8(rest);
        if (point == unicode::kInvalid || size == list.size()) return false;
        list[size++] = point;
      }
      return true;
    }
    std::array<char32_t, kMaxPoints> list;
    std::size_t size = 0;
  };
  Points left;
  Points right;
  if (!left.assign(a) || !right.assign(b)) return static_cast<std::uint32_t>(std::max(a.size(), b.size()));
  std::array<std::uint32_t, kMaxPoints + 1> row;
  for (std::size_t j = 0; j <= right.size; ++j) row[j] = static_cast<std::uint32_t>(j);
  for (std::size_t i = 0; i < left.size; ++i) {
    std::uint32_t diagonal = row[0]++;
    for (std::size_t j = 0; j < right.size; ++j) {
      const std::uint32_t replaced = diagonal + (left.list[i] == right.list[j] ? 0U : 1U);
      diagonal = row[j + 1];
      row[j + 1] = std::min({replaced, row[j] + 1, diagonal + 1});
    }
  }
  return row[right.size];
}

}  // namespace casevault::model
