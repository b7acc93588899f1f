// SPDX-License-Identifier: Apache-2.0
#include "model/duplicates.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <unordered_map>

#include "crypto/types.hpp"
#include "model/value.hpp"

namespace casevault::model {
namespace {

/// Values are told apart by 64 bits; a chance collision among so few only brings together a pair that then scores low.
using Mark = std::uint64_t;

Mark mark_of(std::string_view text, Mark seed) noexcept {
  Mark mark = 0xCBF2'9CE4'8422'2325U ^ (seed * 0x9E37'79B9'7F4A'7C15U);
  for (const std::uint8_t byte : as_bytes(text)) mark = (mark ^ byte) * 0x100'0000'01B3U;
  mark ^= mark >> 32U;
  mark *= 0xD6E8'FEB8'6659'FD93U;
  return mark ^ mark >> 32U;
}
Mark join(Mark a, Mark b) noexcept {
  return (a ^ (b + 0x9E37'79B9'7F4A'7C15U + (a << 6U) + (a >> 2U))) * 0xD6E8'FEB8'6659'FD93U;
}

/// Namespaces of marks.
enum Space : Mark {
  kBag = 1,
  kJoined,
  kEnds,
  kFamily,
  kGiven,
  kDocument,
  kPhone,
  kPlace,
  kRelative,
  kKin,
  kBirthday,
  kYear
};

constexpr std::size_t kMaxBlock = 64;

struct Name {
  NameKeys keys;
  Mark bag = 0;     ///< K3 with regional names in one form
  Mark joined = 0;  ///< K4
  Mark family = 0;  ///< the first syllable
  Mark given = 0;   ///< the last
  std::size_t syllables = 0;
  bool meant = false;  ///< not as written: as typing_suggestion has it

  Name() = default;
  Name(Name&&) noexcept = default;
  Name& operator=(Name&&) noexcept = default;
  Name(const Name&) = delete;
  Name& operator=(const Name&) = delete;
  ~Name() {
    for (std::string* const key : {&keys.exact, &keys.folded, &keys.bag, &keys.joined}) crypto::wipe(*key);
  }
  [[nodiscard]] Mark ends() const noexcept { return join(join(kEnds, family), given); }
};

/// Calls `each` for the syllables of K2.
template <typename Each>
void for_syllables(std::string_view folded, Each each) {
  while (!folded.empty()) {
    const std::size_t end = std::min(folded.find(' '), folded.size());
    each(folded.substr(0, end));
    folded.remove_prefix(std::min(end + 1, folded.size()));
  }
}

bool read_name(std::string_view text, Name& name) {
  auto keys = name_keys(text);
  if (!keys) return false;
  name.keys = std::move(*keys);
  name.joined = mark_of(name.keys.joined, kJoined);
  Mark sum = 0;  // order-free
  for_syllables(name.keys.folded, [&](std::string_view syllable) {
    const std::string_view one = regional_form(syllable);
    if (name.syllables++ == 0) name.family = mark_of(one, kFamily);
    name.given = mark_of(one, kGiven);
    sum += mark_of(one, kBag);
  });
  name.bag = join(kBag, sum);
  return true;
}

struct Date {
  int year = 0;
  int month = 0;
  int day = 0;
  bool estimated = false;
};

int number(std::string_view digits) noexcept {
  int value = 0;
  for (const char c : digits) value = 10 * value + (c - '0');
  return value;
}

struct Kin {
  Mark name = 0;      ///< bag
  Mark relation = 0;  ///< name and relation
  bool spouse = false;
  std::vector<Mark> phones;
};

/// A person as it is compared.
struct Features {
  std::vector<Name> names;
  Date born;
  char sex = 0;
  std::vector<std::pair<Mark, const IdKey*>> documents;
  std::vector<Mark> phones;
  std::vector<Mark> provinces;
  std::vector<Mark> communes;
  std::vector<Kin> kin;
  const std::string* nationality = nullptr;
};

std::vector<Mark> marks_of(const std::vector<std::string>& texts, Space space) {
  std::vector<Mark> marks;
  marks.reserve(texts.size());
  for (const std::string& text : texts) marks.push_back(mark_of(text, space));
  return marks;
}

Features features_of(const Person& person) {
  Features out;
  out.names.reserve(person.names.size() + 1);
  for (const std::string& text : person.names) {
    if (Name name; read_name(text, name)) out.names.push_back(std::move(name));
  }
  if (std::optional<std::string> text = person.names.empty() ? std::nullopt : typing_suggestion(person.names.front())) {
    if (Name name; read_name(*text, name)) {
      name.meant = true;
      out.names.push_back(std::move(name));
    }
    crypto::wipe(*text);
  }
  if (valid_date(person.birth_date)) {
    const std::string_view date = person.birth_date;
    out.born = {number(date.substr(0, 4)), date.size() > 4 ? number(date.substr(5, 2)) : 0,
                date.size() > 7 ? number(date.substr(8, 2)) : 0, person.birth_estimated};
  }
  out.sex = person.sex == "female" ? 'f' : person.sex == "male" ? 'm' : '\0';
  for (const IdKey& document : person.documents)
    out.documents.emplace_back(mark_of(document.number, kDocument), &document);
  out.phones = marks_of(person.phones, kPhone);
  out.provinces = marks_of(person.provinces, kPlace);
  out.communes = marks_of(person.communes, kPlace);
  for (const Relative& relative : person.relatives) {
    Name name;
    if (!read_name(relative.name, name)) continue;
    Kin kin{name.bag, 0, false, marks_of(relative.phones, kPhone)};
    if (Name relation; read_name(relative.relation, relation)) {
      kin.relation = join(name.bag, relation.joined);
      kin.spouse = relation.keys.folded == "vo" || relation.keys.folded == "chong";
    }
    out.kin.push_back(std::move(kin));
  }
  out.nationality = &person.nationality;
  return out;
}

template <typename T>
bool has(const std::vector<T>& list, const T& value) noexcept {
  return std::ranges::find(list, value) != list.end();
}

/// How many people share a value, and who is compared with whom.
class Crowd {
 public:
  Crowd(std::span<const Person> people, std::size_t register_size)
      : register_size_(static_cast<double>(register_size)) {
    people_.reserve(people.size());
    for (const Person& person : people) people_.push_back(features_of(person));
    for (const Features& person : people_) count(person);
    index();
  }

  [[nodiscard]] std::size_t size() const noexcept { return people_.size(); }
  [[nodiscard]] double register_size() const noexcept { return register_size_; }
  [[nodiscard]] const Features& operator[](std::size_t i) const noexcept { return people_[i]; }

  /// How much more often the value is met in one and the same person than by chance, as a logarithm.
  [[nodiscard]] double rarity(Mark value) const {
    const auto found = shared_.find(value);
    const double others = found == shared_.end() ? 1 : std::max<double>(1, found->second - 1.0);
    return std::max(0.0, std::log(register_size_ / others));
  }
  [[nodiscard]] std::uint32_t count_of(Mark value) const {
    const auto found = shared_.find(value);
    return found == shared_.end() ? 0 : found->second;
  }

  /// Those after `a` in the list who share a block with it, each once.
  void candidates(std::size_t a, std::vector<std::uint32_t>& out) const {
    out.clear();
    for (const Mark key : block_keys(people_[a])) {
      const auto found = blocks_.find(key);
      if (found == blocks_.end()) continue;
      for (std::size_t i = found->second.first; i < found->second.second; ++i) {
        if (members_[i].second > a) out.push_back(members_[i].second);
      }
    }
    std::ranges::sort(out);
    out.erase(std::unique(out.begin(), out.end()), out.end());
  }

 private:
  void count(const Features& person) {
    std::vector<Mark> values;
    for (const Name& name : person.names) {
      values.insert(values.end(), {name.bag, name.joined, name.ends()});
      if (&name == person.names.data()) values.insert(values.end(), {name.family, name.given});
    }
    for (const auto* list : {&person.phones, &person.provinces, &person.communes})
      values.insert(values.end(), list->begin(), list->end());
    for (const Kin& kin : person.kin) values.insert(values.end(), {join(kRelative, kin.name), kin.relation});
    std::ranges::sort(values);
    values.erase(std::unique(values.begin(), values.end()), values.end());
    for (const Mark value : values) ++shared_[value];
  }

  /// Frequent values bring people together only in company of a year of birth or a province.
  static std::vector<Mark> block_keys(const Features& person) {
    std::vector<Mark> keys;
    const auto year = static_cast<Mark>(person.born.year);
    const auto name_block = [&](Mark value) {
      keys.push_back(value);
      if (year != 0) keys.insert(keys.end(), {join(join(value, kYear), year), join(join(value, kYear), year + 1)});
      for (const Mark province : person.provinces) keys.push_back(join(value, province));
    };
    for (const Name& name : person.names) {
      name_block(name.bag);
      name_block(name.joined);
      if (name.syllables > 1) name_block(name.ends());
    }
    for (const auto& [mark, document] : person.documents) keys.push_back(mark);
    keys.insert(keys.end(), person.phones.begin(), person.phones.end());
    if (!person.names.empty()) {
      const Mark family = person.names.front().family;
      for (const Mark commune : person.communes) keys.push_back(join(family, commune));
      const Date& born = person.born;
      if (born.day != 0) {
        const auto birthday = [&](int month, int day) {
          return join(join(family, kBirthday), year << 16U | static_cast<Mark>(month) << 8U | static_cast<Mark>(day));
        };
        keys.push_back(birthday(born.month, born.day));
        if (born.day <= 12 && born.day != born.month) keys.push_back(birthday(born.day, born.month));
      }
    }
    for (const Kin& kin : person.kin) {
      name_block(kin.relation != 0 ? kin.relation : join(kRelative, kin.name));
      for (const Mark phone : kin.phones) keys.push_back(join(kKin, phone));
    }
    std::ranges::sort(keys);
    keys.erase(std::unique(keys.begin(), keys.end()), keys.end());
    return keys;
  }

  void index() {
    for (std::size_t i = 0; i < people_.size(); ++i) {
      for (const Mark key : block_keys(people_[i])) members_.emplace_back(key, static_cast<std::uint32_t>(i));
    }
    std::ranges::sort(members_);
    for (std::size_t begin = 0; begin < members_.size();) {
      std::size_t end = begin;
      while (end < members_.size() && members_[end].first == members_[begin].first) ++end;
      if (end - begin > 1 && end - begin <= kMaxBlock) blocks_.emplace(members_[begin].first, std::pair(begin, end));
      begin = end;
    }
  }

  double register_size_;
  std::vector<Features> people_;
  std::unordered_map<Mark, std::uint32_t> shared_;
  std::vector<std::pair<Mark, std::uint32_t>> members_;
  std::unordered_map<Mark, std::pair<std::size_t, std::size_t>> blocks_;
};

/// Weighs the explanations of one pair. Every weight is the logarithm of how much more likely the finding is for one
/// person, and for two of one household, than for two strangers; the numbers come from what clerks vary (see the
/// generator of the tests) and need no more than the right order of magnitude.
class Weighing {
 public:
  Weighing(const Crowd& crowd, const Features& a, const Features& b) : crowd_(crowd), a_(a), b_(b) {
    const double strangers = std::log(crowd.register_size());
    same_ = -3.5 - strangers;       // one in 30 is recorded twice
    household_ = -3.0 - strangers;  // one in 20 has somebody of the household in the register
    names();
    birth();
    documents();
    phones();
    places();
    relatives();
    if (a.sex != 0 && b.sex != 0) {
      if (a.sex == b.sex) {
        add(0.65, 0);
      } else {
        add(-5, 0, Reason::kOtherSex);
      }
    }
    if (!a.nationality->empty() && !b.nationality->empty() && *a.nationality != *b.nationality)
      add(-2.5, -4, Reason::kOtherNationality);
  }

  [[nodiscard]] double score() const noexcept {
    const double most = std::max({same_, household_, 0.0});
    const double same = std::exp(same_ - most);
    return same / (same + std::exp(household_ - most) + std::exp(-most));
  }
  [[nodiscard]] std::vector<Reason>& because() noexcept { return because_; }

 private:
  struct Weight {
    double same;
    double household;
    Reason reason;
  };

  void add(double same, double household) noexcept {
    same_ += same;
    household_ += household;
  }
  void add(double same, double household, Reason reason) {
    add(same, household);
    because_.push_back(reason);
  }
  void add(const Weight& weight) { add(weight.same, weight.household, weight.reason); }

  void names() {
    if (a_.names.empty() || b_.names.empty()) return;
    const Name& left = a_.names.front();
    const Name& right = b_.names.front();
    Weight best = between_names(left, right);
    const auto consider = [&best](const std::optional<Weight>& weight) {
      if (weight && weight->same > best.same) best = *weight;
    };
    for (std::size_t i = 1; i < b_.names.size(); ++i) consider(with_alias(left, b_.names[i], right));
    for (std::size_t i = 1; i < a_.names.size(); ++i) consider(with_alias(right, a_.names[i], left));
    add(best);
    if (best.reason != Reason::kNameIsAlias) aliases();
  }

  [[nodiscard]] Weight between_names(const Name& left, const Name& right) const {
    const double rarity = crowd_.rarity(left.bag);
    if (left.keys.exact == right.keys.exact) return {rarity - 0.4, rarity - 6, Reason::kSameName};
    if (left.keys.folded == right.keys.folded) {
      if (!left.keys.marked || !right.keys.marked) return {rarity - 0.7, rarity - 5, Reason::kSameNamePlain};
      return {rarity - 2, rarity - 4, Reason::kOtherTones};
    }
    if (left.keys.bag == right.keys.bag) return {rarity - 2.5, rarity - 5, Reason::kNameReordered};
    if (left.joined == right.joined)
      return {crowd_.rarity(left.joined) - 2.5, crowd_.rarity(left.joined) - 6, Reason::kNameSpacing};
    if (left.bag == right.bag) return {rarity - 2, rarity - 6, Reason::kRegionalName};
    const bool family = left.family == right.family;
    if (family && left.given == right.given && one_leaves_out(left, right)) {
      const double ends = crowd_.rarity(left.ends());
      return {ends - 2, ends - 6, Reason::kMiddleNameLeftOut};
    }
    if (const auto near = near_name(left, right)) return *near;
    const double family_rarity = family_of(left);
    if (family) return {family_rarity - 4, family_rarity - 0.2, Reason::kOtherGivenName};
    return {-4.5, -2.5, Reason::kOtherName};
  }

  /// Bounded, because people who were picked by other values do not show how frequent it is; so are places.
  [[nodiscard]] double family_of(const Name& name) const { return std::min(4.5, crowd_.rarity(name.family)); }

  /// Whether one has all the syllables of the other, in their order.
  static bool one_leaves_out(const Name& left, const Name& right) {
    const bool left_is_short = left.syllables < right.syllables;
    std::string_view rest = left_is_short ? right.keys.folded : left.keys.folded;
    bool all = left.syllables != right.syllables;
    for_syllables((left_is_short ? left : right).keys.folded, [&](std::string_view wanted) {
      bool met = false;
      while (!rest.empty() && !met) {
        const std::size_t end = std::min(rest.find(' '), rest.size());
        met = regional_form(rest.substr(0, end)) == regional_form(wanted);
        rest.remove_prefix(std::min(end + 1, rest.size()));
      }
      all = all && met;
    });
    return all;
  }

  /// One or two letters off. Brothers and sisters are often called alike, so a given name that others bear, too, is
  /// hardly a slip.
  [[nodiscard]] std::optional<Weight> near_name(const Name& left, const Name& right) const {
    const std::size_t length = std::min(left.keys.joined.size(), right.keys.joined.size());
    const std::size_t longest = std::max(left.keys.joined.size(), right.keys.joined.size());
    constexpr std::size_t kShortest = 5;
    constexpr std::size_t kLong = 9;
    if (length < kShortest || longest - length > 2) return std::nullopt;
    const std::uint32_t steps = edit_distance(left.keys.joined, right.keys.joined);
    if (steps > (length >= kLong ? 2U : 1U)) return std::nullopt;
    constexpr std::uint32_t kBorne = 3;
    const bool both_borne =
        left.given != right.given && crowd_.count_of(left.given) >= kBorne && crowd_.count_of(right.given) >= kBorne;
    const double rarity = std::max(crowd_.rarity(left.bag), crowd_.rarity(right.bag)) - 1;
    return Weight{rarity - 2.5 - steps, rarity - (both_borne ? 2 : 6), Reason::kNearName};
  }

  /// The name of one against an alias of the other; the family name may stand before a name used at home.
  [[nodiscard]] std::optional<Weight> with_alias(const Name& name, const Name& alias, const Name& of) const {
    const double rarity = crowd_.rarity(alias.bag);
    if (alias.meant) {
      if (name.keys.folded != alias.keys.folded) return std::nullopt;
      return Weight{rarity - 1, rarity - (name.keys.exact == alias.keys.exact ? 6 : 5), Reason::kTypedWithoutMethod};
    }
    if (name.bag == alias.bag || name.joined == alias.joined)
      return Weight{rarity - 1.5, rarity - 6, Reason::kNameIsAlias};
    if (name.syllables == 2 && alias.syllables == 1 && name.family == of.family) {
      bool second = false;
      std::size_t at = 0;
      for_syllables(name.keys.folded, [&](std::string_view syllable) {
        if (at++ == 1) second = syllable == alias.keys.folded;
      });
      const double together = rarity + family_of(of);
      if (second) return Weight{together - 3, together - 6, Reason::kNameIsAlias};
    }
    return std::nullopt;
  }

  void aliases() {
    constexpr double kMost = 5;
    double best = 0;
    for (std::size_t i = 1; i < a_.names.size(); ++i) {
      for (std::size_t k = 1; k < b_.names.size(); ++k) {
        if (a_.names[i].bag == b_.names[k].bag) best = std::max(best, std::min(kMost, crowd_.rarity(a_.names[i].bag)));
      }
    }
    if (best > 0) add(best - 0.5, std::max(0.0, best - 3.5), Reason::kSameAlias);
  }

  void birth() {
    const Date& left = a_.born;
    const Date& right = b_.born;
    if (left.year == 0 || right.year == 0) return;
    const int years = std::abs(left.year - right.year);
    const bool months = left.month != 0 && right.month != 0;
    const bool days = left.day != 0 && right.day != 0;
    if (years == 0 && days && left.month == right.month && left.day == right.day)
      return add(8.3, 6, Reason::kSameBirthDate);
    if (days && near_date(left, right)) return add(4, 2, Reason::kNearBirthDate);
    if (years == 0 && months && !days && left.month == right.month) return add(5.3, 3.2, Reason::kBirthDateFits);
    if (years == 0 && !months) return add(3, 0.9, Reason::kBirthDateFits);
    if (years <= 1 && (left.estimated || right.estimated)) return add(2, 0.5, Reason::kNearBirthDate);
    if (years == 0) return add(-1, -0.3, Reason::kOtherBirthDate);
    if (years == 1) return add(-1.5, 0.9, Reason::kOtherBirthDate);
    constexpr int kSiblings = 15;
    add(-4.5, years <= kSiblings ? 0.3 : -3, Reason::kOtherBirthDate);
  }

  /// Day and month exchanged, or one digit off.
  static bool near_date(const Date& left, const Date& right) {
    if (left.year == right.year && left.month == right.day && left.day == right.month) return true;
    const auto digits_off = [](int x, int y) {
      int count = 0;
      for (; x != 0 || y != 0; x /= 10, y /= 10) count += x % 10 != y % 10 ? 1 : 0;
      return count;
    };
    return digits_off(left.year, right.year) + digits_off(left.month, right.month) + digits_off(left.day, right.day) ==
           1;
  }

  void documents() {
    bool same = false;
    bool near = false;
    bool other = false;
    for (const auto& [left, left_key] : a_.documents) {
      for (const auto& [right, right_key] : b_.documents) {
        if (left_key->type != right_key->type) continue;
        same = same || left == right;
        if (left == right) continue;
        near = near || (left_key->number.size() == right_key->number.size() &&
                        edit_distance(left_key->number, right_key->number) <= 1);
        other = true;
      }
    }
    if (same) return add(13, 3, Reason::kSameDocument);
    if (near) return add(4.5, 2, Reason::kNearDocument);
    if (other) add(-3.5, 0, Reason::kOtherDocument);
  }

  void phones() {
    if (a_.phones.empty() || b_.phones.empty()) return;
    double best = -1;
    for (const Mark phone : a_.phones) {
      if (has(b_.phones, phone)) best = std::max(best, crowd_.rarity(phone));
    }
    if (best >= 0) return add(std::max(0.0, best - 0.8), std::max(0.0, best - 1.2), Reason::kSamePhone);
    add(-0.8, -0.4);
  }

  void places() {
    constexpr double kMost = 6;
    constexpr double kMostProvince = 3.5;
    double commune = -1;
    for (const Mark place : a_.communes) {
      if (has(b_.communes, place)) commune = std::max(commune, std::min(kMost, crowd_.rarity(place)));
    }
    double province = -1;
    for (const Mark place : a_.provinces) {
      if (has(b_.provinces, place)) province = std::max(province, std::min(kMostProvince, crowd_.rarity(place)));
    }
    const bool provinces = !a_.provinces.empty() && !b_.provinces.empty();
    if (provinces && province < 0) return add(-2.5, -2.5, Reason::kOtherProvince);
    if (commune >= 0)
      return add(std::max(commune, province) - 0.4, std::max(commune, province) - 0.5, Reason::kSamePlace);
    if (province >= 0) add(province - 0.2, province - 0.2, Reason::kSameProvince);
    if (!a_.communes.empty() && !b_.communes.empty()) add(-1.5, -1.7);
  }

  void relatives() {
    constexpr double kMost = 9;
    double same = 0;
    double household = 0;
    for (const Kin& left : a_.kin) {
      for (const Kin& right : b_.kin) {
        if (left.name != right.name) continue;
        const bool relation = left.relation == right.relation;
        const bool phone = std::ranges::any_of(left.phones, [&](Mark each) { return has(right.phones, each); });
        const double weight = crowd_.rarity(join(kRelative, left.name)) + (phone ? 2.0 : 0.0);
        same += weight - (relation ? 0.3 : 3);
        household += weight - (left.spouse || right.spouse ? 4 : relation ? 0.5 : 1);
        break;
      }
    }
    if (household > 0 || same > 0) {
      const double over = std::max(0.0, std::max(same, household) - kMost);
      add(same - over, household - over, Reason::kSameRelative);
    } else if (!a_.kin.empty() && !b_.kin.empty()) {
      add(-1, -1.2);
    }
    if (names_as_relative(a_, b_) || names_as_relative(b_, a_)) add(-3, 4, Reason::kOtherIsRelative);
  }

  static bool names_as_relative(const Features& who, const Features& whom) {
    if (whom.names.empty() || (!who.names.empty() && who.names.front().bag == whom.names.front().bag)) return false;
    return std::ranges::any_of(who.kin, [&](const Kin& kin) { return kin.name == whom.names.front().bag; });
  }

  const Crowd& crowd_;
  const Features& a_;
  const Features& b_;
  double same_ = 0;
  double household_ = 0;
  std::vector<Reason> because_;
};

std::vector<std::string> phones_of(std::string_view cell) {
  auto keys = phone_keys(cell);
  return keys ? *std::move(keys) : std::vector<std::string>();
}

std::string_view trimmed(std::string_view text) noexcept {
  constexpr std::string_view kBlank = " \t\r\n";
  text.remove_prefix(std::min(text.find_first_not_of(kBlank), text.size()));
  return text.substr(0, text.find_last_not_of(kBlank) + 1);
}

std::string_view take_until(std::string_view& text, char sign) noexcept {
  const std::size_t end = std::min(text.find(sign), text.size());
  const std::string_view part = text.substr(0, end);
  text.remove_prefix(std::min(end + 1, text.size()));
  return trimmed(part);
}

}  // namespace

Person person_of(const PersonCells& cells) {
  Person out;
  if (!trimmed(cells.name).empty()) out.names.emplace_back(cells.name);
  for (const std::string_view alias : name_parts(cells.aliases)) out.names.emplace_back(alias);
  if (valid_date(cells.birth_date)) out.birth_date = cells.birth_date;
  out.birth_estimated = cells.birth_precision == "estimated";
  out.sex = cells.sex;
  out.nationality = cells.nationality;
  if (auto key = id_key(cells.document)) {
    if (auto whole = id_suggestion(cells.document)) {
      key->type = whole->size() == 12 ? "cccd" : "cmnd";
      key->number = *whole;
      crypto::wipe(*whole);
    }
    out.documents.push_back(*std::move(key));
  }
  out.phones = phones_of(cells.phone);
  // The unit of 34 is common to both eras; the codes of 63 tell more where both know them.
  const auto provinces = cells.province_code.empty() ? place_keys(cells.province, cells.province_edition)
                                                     : place_keys(cells.province_code, cells.province_edition);
  if (provinces) out.provinces = *provinces;
  if (auto communes = place_keys(cells.commune)) {
    std::erase_if(*communes, [](const std::string& word) { return !word.starts_with("name:"); });
    out.communes = *std::move(communes);
  }
  for (std::string_view rest = cells.relatives; !rest.empty();) {
    std::string_view one = take_until(rest, '|');
    Relative relative;
    relative.name = take_until(one, ';');
    relative.relation = take_until(one, ';');
    relative.phones = phones_of(one);
    if (!relative.name.empty()) out.relatives.push_back(std::move(relative));
  }
  return out;
}

void wipe(Person& person) noexcept {
  const auto all = [](std::vector<std::string>& texts) {
    for (std::string& text : texts) crypto::wipe(text);
  };
  for (auto* const texts : {&person.names, &person.phones, &person.provinces, &person.communes}) all(*texts);
  for (std::string* const text : {&person.birth_date, &person.sex, &person.nationality}) crypto::wipe(*text);
  for (IdKey& document : person.documents) crypto::wipe(document.number);
  for (Relative& relative : person.relatives) {
    crypto::wipe(relative.name);
    crypto::wipe(relative.relation);
    all(relative.phones);
  }
}

std::string_view text_of(Reason reason) noexcept {
  switch (reason) {
    case Reason::kSameName:
      return "same name";
    case Reason::kSameNamePlain:
      return "same name, typed without diacritics";
    case Reason::kOtherTones:
      return "same name but for diacritics";
    case Reason::kNameReordered:
      return "same name in another order";
    case Reason::kNameSpacing:
      return "same name but for spaces";
    case Reason::kRegionalName:
      return "same name in another region's form";
    case Reason::kMiddleNameLeftOut:
      return "same name but for a middle name";
    case Reason::kNearName:
      return "name differs by a slip";
    case Reason::kTypedWithoutMethod:
      return "same name, typed without the input method";
    case Reason::kNameIsAlias:
      return "name of one is an alias of the other";
    case Reason::kSameAlias:
      return "same alias";
    case Reason::kSameBirthDate:
      return "same date of birth";
    case Reason::kBirthDateFits:
      return "dates of birth agree as far as known";
    case Reason::kNearBirthDate:
      return "date of birth differs by a slip or an estimate";
    case Reason::kSameDocument:
      return "same document number";
    case Reason::kNearDocument:
      return "document number differs by one digit";
    case Reason::kSamePhone:
      return "same telephone";
    case Reason::kSamePlace:
      return "same commune or district";
    case Reason::kSameProvince:
      return "same province";
    case Reason::kSameRelative:
      return "same relative";
    case Reason::kOtherGivenName:
      return "same family name, other given name";
    case Reason::kOtherName:
      return "other name";
    case Reason::kOtherBirthDate:
      return "other date of birth";
    case Reason::kOtherDocument:
      return "other document number of the same type";
    case Reason::kOtherSex:
      return "other sex";
    case Reason::kOtherNationality:
      return "other nationality";
    case Reason::kOtherProvince:
      return "other province";
    case Reason::kOtherIsRelative:
      return "one names the other as a relative";
  }
  return "";
}

bool speaks_for(Reason reason) noexcept { return reason < Reason::kOtherGivenName; }

void find_duplicates(std::span<const Person> people, double least_score,
                     const std::function<bool(const ScoredPair&)>& found, std::size_t register_size) {
  const Crowd crowd(people, std::max(register_size, people.size()));
  std::vector<std::uint32_t> candidates;
  for (std::size_t a = 0; a < crowd.size(); ++a) {
    crowd.candidates(a, candidates);
    for (const std::uint32_t b : candidates) {
      Weighing weighing(crowd, crowd[a], crowd[b]);
      const double score = weighing.score();
      if (score < least_score) continue;
      if (!found({a, b, score, std::move(weighing.because())})) return;
    }
  }
}

}  // namespace casevault::model
