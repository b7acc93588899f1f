// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>

#include "crypto/types.hpp"
#include "model/bundled.hpp"
#include "model/normalise.hpp"

namespace casevault::model {
namespace {

constexpr std::string_view kEdition2024 = "2024";  // the edition of 63 provinces
constexpr std::string_view kEdition2025 = "2025";  // the edition of 34, from 1 July 2025

Error refuse(std::string reason) { return {ErrorCode::kBadInput, std::move(reason)}; }

std::string joined(std::string_view public_name) {
  const auto keys = name_keys(public_name);
  return keys ? keys->joined : std::string();
}

/// What a name may mean: codes of both editions, empty where it names no unit of that edition.
struct Province {
  std::string name;  ///< K4
  std::string before;
  std::string since;
};

class Provinces {
 public:
  static const Provinces& get() {
    static const Provinces provinces;
    return provinces;
  }

  [[nodiscard]] const Province* named(std::string_view name) const {
    const auto found = std::ranges::find(names_, name, &Province::name);
    return found == names_.end() ? nullptr : &*found;
  }
  /// The unit that a unit of before went into; empty for what is no code.
  [[nodiscard]] std::string_view successor(std::string_view before) const {
    const auto found = std::ranges::find(mergers_, before, &Merger::before);
    return found == mergers_.end() ? std::string_view() : found->since;
  }
  [[nodiscard]] bool has_since(std::string_view code) const {
    return std::ranges::find(mergers_, code, &Merger::since) != mergers_.end();
  }
  [[nodiscard]] bool is_city(std::string_view since) const {
    return std::ranges::find(cities_, since) != cities_.end();
  }

 private:
  struct Merger {
    std::string before;
    std::string since;
  };

  Provinces() {
    for (const auto& row : bundled_rows("vn_province_mergers")) {
      mergers_.push_back({row.at(0), row.at(2)});
      names_.push_back({joined(row.at(1)), row.at(0), row.at(1) == row.at(3) ? row.at(2) : ""});
    }
    for (const auto& row : bundled_rows("vn_provinces_2025")) {
      if (row.at(2) == "thanh_pho") cities_.push_back(row.at(0));
    }
    for (const auto& row : bundled_rows("vn_province_changes")) {
      const std::string after = joined(row.at(3));
      constexpr std::string_view kCity = "thanhpho";
      if (after.starts_with(kCity) && !is_city(row.at(0))) cities_.push_back(row.at(0));
      constexpr std::string_view kProvince = "tinh";
      std::string before = joined(row.at(2));
      if (before.starts_with(kProvince)) before.erase(0, kProvince.size());
      also(before, row.at(0));
    }
    // Spellings and abbreviations in use; each names the unit of this code of before.
    constexpr std::array<std::array<std::string_view, 2>, 12> kOthers = {{{"hcm", "79"},
                                                                          {"tphcm", "79"},
                                                                          {"saigon", "79"},
                                                                          {"brvt", "77"},
                                                                          {"tthue", "46"},
                                                                          {"daclac", "66"},
                                                                          {"daclak", "66"},
                                                                          {"daklac", "66"},
                                                                          {"darlac", "66"},
                                                                          {"dacnong", "67"},
                                                                          {"baccan", "06"},
                                                                          {"darnong", "67"}}};
    for (const auto& [name, code] : kOthers) also(name, code);
  }

  void also(std::string_view name, std::string_view before) {
    if (named(name) != nullptr) return;
    const auto found = std::ranges::find(names_, before, &Province::before);
    if (found == names_.end()) return;
    Province other = *found;
    other.name = name;
    names_.push_back(std::move(other));
  }

  std::vector<Merger> mergers_;
  std::vector<Province> names_;
  std::vector<std::string> cities_;  ///< run by the centre, by code of since
};

enum class Era { kAny, kBefore, kSince };

/// Kinds of units below provinces, folded; what is written shorter means the last word of the line.
struct UnitKind {
  std::string_view written;
  std::string_view kind;
};
constexpr std::array<UnitKind, 15> kUnitKinds = {{{"thi tran ", "thitran"},
                                                  {"tt ", "thitran"},
                                                  {"thi xa ", "thixa"},
                                                  {"tx ", "thixa"},
                                                  {"dac khu ", "dackhu"},
                                                  {"phuong ", "phuong"},
                                                  {"p ", "phuong"},
                                                  {"huyen ", "huyen"},
                                                  {"h ", "huyen"},
                                                  {"quan ", "quan"},
                                                  {"q ", "quan"},
                                                  {"xa ", "xa"},
                                                  {"x ", "xa"},
                                                  {"thanh pho ", "thanhpho"},
                                                  {"tp ", "thanhpho"}}};

bool drop_front(std::string_view& text, std::string_view front) noexcept {
  if (!text.starts_with(front)) return false;
  text.remove_prefix(front.size());
  return true;
}
bool drop_back(std::string_view& text, std::string_view back) noexcept {
  if (!text.ends_with(back)) return false;
  text.remove_suffix(back.size());
  return true;
}

/// Collects words, each once, up to the bound.
class Words {
 public:
  Words(std::vector<std::string>& out, bool query, bool loose) : out_(out), query_(query), loose_(loose) {
    out_.reserve(kMaxPlaceKeys);
  }

  void province(const Province& province, Era era) {
    const bool only_before = province.since.empty();
    if (era != Era::kSince || only_before) before(province.before);
    if (!only_before && era != Era::kBefore) since(province.since);
  }
  void before(std::string_view code) {
    unit(kEdition2024, code);
    if (!query_ || loose_) since(Provinces::get().successor(code));
  }
  void since(std::string_view code) { unit(kEdition2025, code); }
  void name(std::string_view kind, std::string_view name) {
    if (out_.size() == kMaxPlaceKeys) return;
    std::string word;
    word.reserve(kNamePrefix.size() + kind.size() + name.size());
    word.append(kNamePrefix).append(kind);
    std::ranges::copy_if(name, std::back_inserter(word), [](char c) { return c != ' '; });
    add(word);
    crypto::wipe(word);
  }
  [[nodiscard]] bool empty() const noexcept { return out_.empty(); }

 private:
  static constexpr std::string_view kNamePrefix = "name:";
  void unit(std::string_view edition, std::string_view code) { add(std::string(edition) + ":" + std::string(code)); }
  void add(std::string_view word) {
    if (out_.size() < kMaxPlaceKeys && std::ranges::find(out_, word) == out_.end()) out_.emplace_back(word);
  }
  std::vector<std::string>& out_;
  bool query_;
  bool loose_;
};

/// One name of a place, folded, with what was said about its era.
class Name {
 public:
  explicit Name(std::string_view text) {
    auto keys = name_keys(text);
    if (!keys) return;
    folded_ = std::move(keys->folded);
    joined_ = std::move(keys->joined);
    crypto::wipe(keys->exact);
    crypto::wipe(keys->folded);
    crypto::wipe(keys->bag);
    crypto::wipe(keys->joined);
  }
  Name(const Name&) = delete;
  Name& operator=(const Name&) = delete;
  ~Name() {
    crypto::wipe(folded_);
    crypto::wipe(joined_);
  }
  [[nodiscard]] std::string_view folded() const noexcept { return folded_; }
  [[nodiscard]] bool is_country() const noexcept { return joined_ == "vietnam"; }
  [[nodiscard]] bool is_province() const { return province_of(folded_) != nullptr; }

  /// A name without its kind; the joined form comes from the folded one, whose spaces are the only difference.
  static const Province* province_of(std::string_view folded) {
    std::string name;
    name.reserve(folded.size());
    std::ranges::copy_if(folded, std::back_inserter(name), [](char c) { return c != ' '; });
    const Province* const found = Provinces::get().named(name);
    crypto::wipe(name);
    return found;
  }

 private:
  std::string folded_;
  std::string joined_;
};

/// "nay la" and "cu" with the name they belong to.
Era take_era(std::string_view& folded) noexcept {
  for (const std::string_view now : {"nay la ", "nay thuoc "}) {
    if (drop_front(folded, now)) return Era::kSince;
  }
  for (const std::string_view then : {"truoc day la ", "truoc la "}) {
    if (drop_front(folded, then)) return Era::kBefore;
  }
  if (folded == "cu") return folded = {}, Era::kBefore;
  return drop_back(folded, " cu") ? Era::kBefore : Era::kAny;
}

Era other(Era era) noexcept {
  return era == Era::kBefore ? Era::kSince : era == Era::kSince ? Era::kBefore : Era::kAny;
}

/// `bare_is_province`: a name without kind is a province's when there is one.
void add_name(std::string_view folded, Era era, bool bare_is_province, Words& words) {
  if (folded.empty()) return;
  const bool said = drop_front(folded, "tinh ");
  const Province* province = said || bare_is_province ? Name::province_of(folded) : nullptr;
  if (province != nullptr) return words.province(*province, era);
  for (const UnitKind& unit : kUnitKinds) {
    if (!drop_front(folded, unit.written)) continue;
    province = unit.kind == "thanhpho" ? Name::province_of(folded) : nullptr;
    if (province != nullptr && Provinces::get().is_city(province->since)) return words.province(*province, era);
    const bool number = std::ranges::all_of(folded, [](char c) { return c >= '0' && c <= '9'; });
    while (number && folded.size() > 1 && folded.front() == '0') folded.remove_prefix(1);
    return words.name(number ? unit.kind : std::string_view(), folded);
  }
  words.name({}, folded);
}

/// One part of an address, with what stands in parentheses after it.
void add_part(std::string_view part, Era era, bool last, Words& words) {
  const std::size_t open = part.find('(');
  Era aside_era = Era::kAny;
  if (open != std::string_view::npos) {
    std::string_view aside = part.substr(open + 1);
    aside = aside.substr(0, aside.find(')'));
    const Name name(aside);
    std::string_view folded = name.folded();
    aside_era = take_era(folded);
    if (folded.empty() && aside_era != Era::kAny) {
      era = aside_era;
      aside_era = Era::kAny;
    } else {
      if (aside_era != Era::kAny) era = other(aside_era);
      add_name(folded, aside_era, true, words);
    }
  }
  const Name name(part.substr(0, open));
  std::string_view folded = name.folded();
  const Era said = take_era(folded);
  if (!name.is_country()) add_name(folded, said == Era::kAny ? era : said, last, words);
}

/// A dash with spaces parts an address too, but not the provinces that have one in their name.
std::string_view take_part(std::string_view& rest) {
  const std::size_t end = std::min(rest.find_first_of(",;/|\r\n"), rest.size());
  const std::string_view part = rest.substr(0, end);
  const std::size_t dash = std::min(part.find(" - "), part.find(" \xE2\x80\x93 "));
  if (dash != std::string_view::npos) {
    const Name whole(part.substr(0, part.find('(')));
    std::string_view folded = whole.folded();
    drop_front(folded, "tinh ");
    (void)take_era(folded);
    if (Name::province_of(folded) == nullptr) {
      rest.remove_prefix(dash + 2);
      return part.substr(0, dash);
    }
  }
  rest.remove_prefix(std::min(end + 1, rest.size()));
  return part;
}

bool blank(std::string_view text) noexcept { return text.find_first_not_of(" \t\r\n,;/|.-") == std::string_view::npos; }

/// Whether nothing but the country follows.
bool is_last(std::string_view rest) { return blank(rest) || Name(rest).is_country(); }

Result<void> add_code(std::string_view code, std::string_view edition, Words& words) {
  const Provinces& provinces = Provinces::get();
  const bool before = edition != kEdition2025 && !provinces.successor(code).empty();
  const bool since = edition != kEdition2024 && provinces.has_since(code);
  if (!before && !since)
    return refuse("no province has this code in the edition " +
                  (edition.empty() ? "2024 or 2025" : std::string(edition)));
  if (before) words.before(code);
  if (since) words.since(code);
  return {};
}

Result<std::vector<std::string>> keys_of(std::string_view text, std::string_view edition, bool query, bool loose) {
  if (!edition.empty() && edition != kEdition2024 && edition != kEdition2025)
    return refuse("the edition of province codes is 2024 or 2025");
  Result<std::vector<std::string>> keys = std::vector<std::string>();
  Words words(*keys, query, loose);
  if (!text.empty() && text.size() <= 2 && text.find_first_not_of("0123456789") == std::string_view::npos) {
    CASEVAULT_CHECK(add_code(text, edition, words));
    return keys;
  }
  auto whole = name_keys(text);  // tells what is wrong with the text
  if (!whole) return std::move(whole).error();
  for (std::string* const key : {&whole->exact, &whole->folded, &whole->bag, &whole->joined}) crypto::wipe(*key);

  const Era era = edition.empty() ? Era::kAny : edition == kEdition2024 ? Era::kBefore : Era::kSince;
  for (std::string_view rest = text; !rest.empty() && (!query || words.empty());) {
    const std::string_view part = take_part(rest);
    if (!blank(part)) add_part(part, era, is_last(rest), words);
  }
  if (keys->empty()) return refuse("holds no name of a place");
  return keys;
}

}  // namespace

Result<std::vector<std::string>> place_keys(std::string_view text, std::string_view edition) {
  return keys_of(text, edition, false, false);
}

Result<std::vector<std::string>> place_query_keys(std::string_view text, std::string_view edition, bool loose) {
  return keys_of(text, edition, true, loose);
}

}  // namespace casevault::model
