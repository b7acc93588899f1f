// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <set>

#include <casevault/find.hpp>
#include "catch.hpp"

#include "model/duplicates.hpp"

using namespace casevault;
using namespace casevault::model;

namespace {

/// The pair of people at the two ends of a crowd of strangers, with the score that it has.
ScoredPair pair_of(const PersonCells& a, const PersonCells& b) {
  std::vector<Person> people = {person_of(a)};
  const std::vector<std::string> families = {"Trần", "Lê", "Phạm", "Bùi", "Đỗ", "Hồ", "Ngô"};
  for (int i = 0; i < 500; ++i) {
    const std::string name = families[static_cast<std::size_t>(i) % families.size()] + " Văn " +
                             std::string(1, static_cast<char>('A' + i % 26)) +
                             std::string(1, static_cast<char>('a' + i / 26));
    const std::string born = std::to_string(1970 + i % 40) + "-01-02";
    people.push_back(person_of({.name = name, .birth_date = born, .province = i % 2 == 0 ? "Hà Nội" : "Cà Mau"}));
  }
  people.push_back(person_of(b));
  ScoredPair found;
  find_duplicates(people, 0, [&](const ScoredPair& pair) {
    if (pair.a != 0 || pair.b != people.size() - 1) return true;
    found = pair;
    return false;
  });
  return found;
}

double score(const PersonCells& a, const PersonCells& b) {
  const double forth = pair_of(a, b).score;
  REQUIRE(pair_of(b, a).score == Approx(forth));
  return forth;
}

bool gives(const ScoredPair& pair, Reason reason) {
  return std::ranges::find(pair.because, reason) != pair.because.end();
}

const PersonCells kHoa = {.name = "Nguyễn Thị Hòa",
                          .sex = "female",
                          .birth_date = "1994-04-08",
                          .birth_precision = "day",
                          .phone = "0912 345 678",
                          .province = "Phú Yên",
                          .province_edition = "2024",
                          .commune = "xã Xuân Phương, huyện Sông Cầu",
                          .relatives = "Phan Thu Linh; mẹ; 0987654321 | Nguyễn Thụy; bố; "};

}  // namespace

TEST_CASE("One person taken down by two offices is found, and the reasons say why") {
  PersonCells again = kHoa;
  again.name = "NGUYEN THI HOA";
  again.birth_date = "1994";
  again.birth_precision = "year";
  again.phone = "+84 (0) 912-345-678";
  again.province = "Đắk Lắk (Phú Yên cũ)";
  again.province_edition = "2025";
  again.commune = "X. Xuân Phương";
  again.relatives = "Phan Thu Linh; mẹ; ";
  const ScoredPair pair = pair_of(kHoa, again);
  REQUIRE(pair.score > 0.9);
  for (const Reason reason :
       {Reason::kSameNamePlain, Reason::kBirthDateFits, Reason::kSamePhone, Reason::kSamePlace, Reason::kSameRelative})
    REQUIRE(gives(pair, reason));
  REQUIRE(std::ranges::all_of(pair.because, speaks_for));
}

TEST_CASE("Brothers, sisters and twins share much and are not one person") {
  PersonCells sister = kHoa;
  sister.name = "Nguyễn Thị Lan";
  sister.birth_date = "1996-10-22";
  REQUIRE(score(kHoa, sister) < 0.05);
  REQUIRE(gives(pair_of(kHoa, sister), Reason::kOtherGivenName));
  PersonCells twin = sister;
  twin.birth_date = kHoa.birth_date;
  REQUIRE(score(kHoa, twin) < kDefaultDuplicateScore);
  twin.sex = "male";
  twin.name = "Nguyễn Văn Hòa";
  REQUIRE(score(kHoa, twin) < kDefaultDuplicateScore);
  REQUIRE(gives(pair_of(kHoa, twin), Reason::kOtherSex));
  sister.relatives = "Nguyễn Thị Hòa; chị gái; 0912345678 | Phan Thu Linh; mẹ; ";
  REQUIRE(score(kHoa, sister) < 0.01);
  REQUIRE(gives(pair_of(kHoa, sister), Reason::kOtherIsRelative));
}

TEST_CASE("A name in any key, and an alias, can tell that two are one") {
  const auto with_name = [](std::string_view name, std::string_view aliases = {}) {
    PersonCells other = kHoa;
    other.name = name;
    other.aliases = aliases;
    return pair_of(kHoa, other);
  };
  for (const auto& [name, reason] :
       std::vector<std::pair<std::string_view, Reason>>{{"Nguyễn Thị Hoà", Reason::kSameName},
                                                        {"Nguyen Thi Hoa", Reason::kSameNamePlain},
                                                        {"Nguyễn Thị Hoa", Reason::kSameNamePlain},
                                                        {"Hòa Thị Nguyễn", Reason::kNameReordered},
                                                        {"Nguyễn Thịhòa", Reason::kNameSpacing},
                                                        {"Nguyễn Hòa", Reason::kMiddleNameLeftOut},
                                                        {"Nguyễn Thị Hòaa", Reason::kNearName},
                                                        {"Nguyeenx Thij Hoaf", Reason::kTypedWithoutMethod}}) {
    const ScoredPair pair = with_name(name);
    INFO(name);
    REQUIRE(pair.score > kDefaultDuplicateScore);
    REQUIRE((gives(pair, reason) || (reason == Reason::kSameNamePlain && gives(pair, Reason::kOtherTones))));
  }
  REQUIRE(gives(with_name("Kelly Trần", "tên khai sinh: Nguyễn Thị Hòa"), Reason::kNameIsAlias));
  REQUIRE(with_name("Kelly Trần", "tên khai sinh: Nguyễn Thị Hòa").score > kDefaultDuplicateScore);
  PersonCells southern = kHoa;
  PersonCells northern = kHoa;
  southern.name = "Huỳnh Văn Hòa";
  northern.name = "Hoàng Văn Hòa";
  REQUIRE(gives(pair_of(southern, northern), Reason::kRegionalName));
  REQUIRE(score(southern, northern) > kDefaultDuplicateScore);
}

TEST_CASE("A document decides for, and another of the same type against") {
  PersonCells a = {.name = "Jack", .document = "038096968659", .province = "Thanh Hóa"};
  PersonCells b = {
      .name = "A Thút", .aliases = "tên do chủ đặt: Jack", .document = "CCCD 38096968659", .province = "Thanh Hóa"};
  REQUIRE(score(a, b) > 0.9);
  REQUIRE(gives(pair_of(a, b), Reason::kSameDocument));
  PersonCells hoa = kHoa;
  PersonCells other = kHoa;
  hoa.document = "054194001234";
  other.document = "054194777777";
  REQUIRE(gives(pair_of(hoa, other), Reason::kOtherDocument));
  REQUIRE(score(hoa, other) < score(kHoa, kHoa));
  other.document = "979407397";  // another type: one person may hold both
  REQUIRE_FALSE(gives(pair_of(hoa, other), Reason::kOtherDocument));
}

TEST_CASE("A slip or an estimate in a date is near, another year is not") {
  const auto born = [](std::string_view date, std::string_view precision) {
    PersonCells other = kHoa;
    other.birth_date = date;
    other.birth_precision = precision;
    return pair_of(kHoa, other);
  };
  REQUIRE(gives(born("1994-08-04", "day"), Reason::kNearBirthDate));
  REQUIRE(gives(born("1995", "estimated"), Reason::kNearBirthDate));
  REQUIRE(gives(born("1984-04-08", "day"), Reason::kNearBirthDate));
  REQUIRE(gives(born("1994-04", "month"), Reason::kBirthDateFits));
  REQUIRE(gives(born("1999-07-21", "day"), Reason::kOtherBirthDate));
  REQUIRE(born("1994-04-08", "day").score > born("1994-04", "month").score);
  REQUIRE(born("1994-04", "month").score > born("1999-07-21", "day").score);
}

TEST_CASE("Strangers of one frequent name are no pair") {
  const PersonCells a = {.name = "Nguyễn Thị Hoa", .birth_date = "1994-04-08", .province = "Hà Nội"};
  const PersonCells b = {.name = "Nguyễn Thị Hoa", .birth_date = "1981-11-30", .province = "Cà Mau"};
  REQUIRE(score(a, b) < 0.01);
}

TEST_CASE("The search stops when it is told to, and takes people of whom nothing is known") {
  std::vector<Person> people(5, person_of(kHoa));
  std::size_t calls = 0;
  find_duplicates(people, 0, [&](const ScoredPair&) { return ++calls < 3; });
  REQUIRE(calls == 3);
  calls = 0;
  find_duplicates(people, 0, [&](const ScoredPair& pair) {
    REQUIRE((pair.a < pair.b && pair.b < 5 && pair.score >= 0 && pair.score <= 1));
    return ++calls != 0;
  });
  REQUIRE(calls == 10);
  const std::vector<Person> blank(100);
  calls = 0;
  const auto count = [&calls](const ScoredPair&) { return ++calls != 0; };
  find_duplicates(blank, 0, count);
  find_duplicates({}, 0, count);
  REQUIRE(calls == 0);
  const Person broken = person_of({.name = "\xff",
                                   .aliases = "\xff;\xff",
                                   .birth_date = "x",
                                   .document = "\xff",
                                   .phone = "-",
                                   .province = "\xff",
                                   .province_code = "99",
                                   .commune = "\xff",
                                   .relatives = "|;;|\xff;\xff;\xff"});
  const std::vector<Person> both = {broken, broken};
  find_duplicates(both, 0, [](const ScoredPair& pair) { return pair.score < kDefaultDuplicateScore; });
}

TEST_CASE("A newcomer is held against the few that a search has found as against the whole register") {
  PersonCells again = kHoa;
  again.name = "Nguyen Thi Hoa";
  again.phone = {};
  again.relatives = {};
  const double whole = score(kHoa, again);
  const PersonCells namesake = {.name = "Nguyễn Thị Hoa", .birth_date = "1981-11-30", .province = "Cà Mau"};
  const std::vector<Person> few = {person_of(kHoa), person_of(again), person_of(namesake)};
  std::vector<ScoredPair> pairs;
  find_duplicates(
      few, kDefaultDuplicateScore, [&pairs](const ScoredPair& pair) { return pairs.push_back(pair), true; }, 502);
  REQUIRE(pairs.size() == 1);
  REQUIRE((pairs.front().a == 0 && pairs.front().b == 1));
  REQUIRE(pairs.front().score == Approx(whole).margin(0.1));
}

TEST_CASE("Thousands of one name, telephone and commune are compared with few of them") {
  std::vector<Person> people;
  for (int i = 0; i < 5000; ++i) {
    const std::string born = std::to_string(1970 + i % 40);
    people.push_back(person_of(
        {.name = "Nguyễn Thị Hoa", .birth_date = born, .phone = "111", .province = "Hà Nội", .commune = "xã Tân Lập"}));
  }
  std::size_t pairs = 0;
  find_duplicates(people, 0, [&pairs](const ScoredPair&) { return ++pairs != 0; });
  REQUIRE(pairs < 5000 * 64);
}

TEST_CASE("Reasons are told apart and hold no values, and a person can be wiped") {
  std::set<std::string_view> texts;
  for (auto reason = static_cast<std::uint8_t>(Reason::kSameName);
       reason <= static_cast<std::uint8_t>(Reason::kOtherIsRelative); ++reason)
    REQUIRE(texts.insert(text_of(static_cast<Reason>(reason))).second);
  REQUIRE_FALSE(texts.contains(""));
  Person person = person_of(kHoa);
  REQUIRE(person.relatives.size() == 2);
  REQUIRE(person.relatives.front().phones == std::vector<std::string>{"+84987654321"});
  REQUIRE(person.communes == std::vector<std::string>{"name:xuanphuong", "name:songcau"});
  REQUIRE(person.provinces == std::vector<std::string>{"2024:54", "2025:66"});
  wipe(person);
  REQUIRE(person.names.front().empty());
  REQUIRE(person.relatives.front().name.empty());
}
