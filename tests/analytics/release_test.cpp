// SPDX-License-Identifier: Apache-2.0
#include "analytics/release.hpp"

#include <algorithm>
#include <map>
#include <set>

#include "catch.hpp"
#include "support/fixed_environment.hpp"

namespace casevault::analytics {
namespace {

using test::SeededRandom;

CoarseColumn column(const std::vector<std::string>& values, const std::vector<std::uint32_t>& codes,
                    bool sensitive = false) {
  CoarseColumn out;
  for (const std::string& value : values) out.values.push_back(value);
  for (const std::uint32_t code : codes) out.codes.push_back(code);
  out.sensitive = sensitive;
  return out;
}

std::vector<CoarseColumn> random_columns(SeededRandom& random, std::size_t rows) {
  std::vector<CoarseColumn> out;
  for (std::size_t i = 0; i < 4; ++i) {
    const std::uint32_t values = 2 + static_cast<std::uint32_t>(random.below(5));
    std::vector<std::uint32_t> codes(rows);
    for (std::uint32_t& code : codes)
      code = static_cast<std::uint32_t>(std::min(random.below(values), random.below(values)));
    out.push_back(column(std::vector<std::string>(values, "v"), codes, i == 3));
  }
  return out;
}

Generaliser made(Coarseness level, FieldType type, std::vector<std::int64_t> bands = {}, std::string age_on = {}) {
  return Generaliser::make({"f", level, std::move(bands), std::move(age_on), false}, type).value();
}

TEST_CASE("dates become months or years, and what is coarser already stays") {
  CHECK(made(Coarseness::kMonth, FieldType::kDate).apply("2024-05-17") == "2024-05");
  CHECK(made(Coarseness::kMonth, FieldType::kDate).apply("2024") == "2024");
  CHECK(made(Coarseness::kYear, FieldType::kDate).apply("2024-05") == "2024");
  CHECK(made(Coarseness::kYear, FieldType::kDate).apply("").empty());
}

TEST_CASE("numbers and dates of birth fall into exactly one band") {
  const Generaliser numbers = made(Coarseness::kBands, FieldType::kInteger, {0, 9, 18, 19});
  const std::map<std::string, std::string> expected{{"-3", "<0"}, {"0", "0-8"},  {"8", "0-8"},   {"9", "9-17"},
                                                    {"18", "18"}, {"19", "19+"}, {"200", "19+"}, {"", ""}};
  for (const auto& [value, band] : expected) CHECK(numbers.apply(value) == band);
  const Generaliser ages = made(Coarseness::kBands, FieldType::kDate, {9, 18}, "2024-05-17");
  CHECK(ages.apply("2006-05-17") == "18+");
  CHECK(ages.apply("2006-05-18") == "9-17");
  CHECK(ages.apply("2006-05") == "18+");
  CHECK(ages.apply("2006") == "18+");
  CHECK(ages.apply("2020-01-01") == "<9");
}

TEST_CASE("what cannot be made coarser as declared is refused, and free text always") {
  const auto refused = [](Coarseness level, FieldType type, std::vector<std::int64_t> bands = {},
                          std::string age_on = {}) {
    return Generaliser::make({"f", level, std::move(bands), std::move(age_on), false}, type).error().code ==
           ErrorCode::kBadInput;
  };
  CHECK(refused(Coarseness::kExact, FieldType::kText));
  CHECK(refused(Coarseness::kExact, FieldType::kBytes));
  CHECK(refused(Coarseness::kMonth, FieldType::kCode));
  CHECK(refused(Coarseness::kBands, FieldType::kCode, {1}));
  CHECK(refused(Coarseness::kBands, FieldType::kInteger));
  CHECK(refused(Coarseness::kBands, FieldType::kInteger, {5, 5}));
  CHECK(refused(Coarseness::kBands, FieldType::kInteger, {6, 5}));
  CHECK(refused(Coarseness::kBands, FieldType::kDate, {18}));
  CHECK(refused(Coarseness::kBands, FieldType::kDate, {18}, "2024"));
}

TEST_CASE("every group of rows that stay has k members and l sensitive values, whatever the rows") {
  SeededRandom random(1);
  for (int round = 0; round < 300; ++round) {
    const std::size_t rows = random.below(400);
    std::vector<CoarseColumn> columns = random_columns(random, rows);
    const std::vector<CoarseColumn> before = [&] {
      std::vector<CoarseColumn> out;
      for (const CoarseColumn& each : columns) {
        out.push_back(column(std::vector<std::string>(each.values.size(), "v"),
                             {each.codes.view().begin(), each.codes.view().end()}, each.sensitive));
      }
      return out;
    }();
    const Rule rule{2 + random.below(12), 1 + random.below(3), random.below(2) == 1};
    const Kept kept = apply_rule(columns, rows, rule, random);
    std::map<std::vector<std::uint32_t>, std::pair<std::size_t, std::set<std::uint32_t>>> groups;
    std::set<std::uint32_t> different;
    for (const std::uint32_t row : kept.rows.view()) {
      REQUIRE(row < rows);
      REQUIRE(different.insert(row).second);
      auto& group = groups[{columns[0].codes[row], columns[1].codes[row], columns[2].codes[row]}];
      ++group.first;
      group.second.insert(columns[3].codes[row]);
      for (std::size_t i = 0; i < columns.size(); ++i) {
        const std::uint32_t code = columns[i].codes[row];
        REQUIRE((code == before[i].codes[row] || (rule.star && i != 3 && code == kStarred)));
      }
    }
    std::size_t least = SIZE_MAX;
    for (const auto& [values, group] : groups) {
      REQUIRE(group.first >= rule.k);
      REQUIRE(group.second.size() >= rule.l);
      least = std::min(least, group.first);
    }
    REQUIRE(kept.k == (groups.empty() ? 0 : least));
  }
}

TEST_CASE("starring keeps rows that dropping loses") {
  std::vector<std::uint32_t> first(30, 0);
  std::vector<std::uint32_t> second(30);
  for (std::uint32_t i = 0; i < 30; ++i) second[i] = i;
  const auto run = [&](bool star) {
    std::vector<CoarseColumn> columns;
    columns.push_back(column({"a"}, first));
    columns.push_back(column(std::vector<std::string>(30, "v"), second));
    SeededRandom random(1);
    Kept kept = apply_rule(columns, 30, {11, 1, star}, random);
    return std::pair(kept.rows.size(), kept.starred);
  };
  CHECK(run(false).first == 0);
  CHECK(run(true) == std::pair(std::size_t{30}, std::vector<std::uint64_t>{0, 30}));
}

TEST_CASE("rows leave in another order each time, and none is more likely to come first") {
  SeededRandom random(9);
  std::vector<int> first(5, 0);
  for (int round = 0; round < 2000; ++round) {
    std::vector<CoarseColumn> columns;
    columns.push_back(column({"a"}, std::vector<std::uint32_t>(5, 0)));
    const Kept kept = apply_rule(columns, 5, {2, 1, false}, random);
    ++first[kept.rows[0]];
  }
  for (const int count : first) CHECK((count > 300 && count < 500));
}

TEST_CASE("a pseudonym is of one record and one release") {
  const SecretBytes one = SecretBytes::copy(Bytes(32, 1));
  const SecretBytes other = SecretBytes::copy(Bytes(32, 2));
  const RecordId a({1});
  const RecordId b({2});
  CHECK(pseudonym(one, a) == pseudonym(one, a));
  CHECK(pseudonym(one, a) != pseudonym(one, b));
  CHECK(pseudonym(one, a) != pseudonym(other, a));
  CHECK(pseudonym(one, a) != a.to_string());
}

}  // namespace
}  // namespace casevault::analytics
