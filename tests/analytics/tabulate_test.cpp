// SPDX-License-Identifier: Apache-2.0
#include "analytics/tabulate.hpp"

#include <algorithm>
#include <random>

#include "catch.hpp"

namespace casevault::analytics {
namespace {

/// A table with these inner counts.
Counts table(std::size_t columns, const std::vector<std::uint64_t>& inner) {
  Counts out;
  out.columns = columns;
  out.rows = inner.size() / columns;
  out.values.assign((out.rows + 1) * (columns + 1), 0);
  for (std::size_t i = 0; i < inner.size(); ++i) {
    const std::size_t row = i / columns;
    const std::size_t column = i % columns;
    for (const std::size_t at :
         {out.at(row, column), out.at(row, columns), out.at(out.rows, column), out.at(out.rows, columns)}) {
      out.values[at] += inner[i];
    }
  }
  out.records = out.values;
  return out;
}

std::size_t number_hidden(const std::vector<bool>& hidden) {
  return static_cast<std::size_t>(std::ranges::count(hidden, true));
}

TEST_CASE("a table without small cells is published whole") {
  const Counts counts = table(3, {20, 30, 0, 11, 12, 13});
  CHECK(number_hidden(suppress(counts, 11).value()) == 0);
}

TEST_CASE("one small cell takes three others with it, the cheapest, and no total") {
  const Counts counts = table(3, {50, 60, 3, 70, 80, 90, 40, 30, 20});
  const std::vector<bool> hidden = suppress(counts, 11).value();
  CHECK(number_hidden(hidden) == 4);
  CHECK((hidden[2] && hidden[10] && hidden[1] && hidden[9]));
}

TEST_CASE("where all the few of a line fall into one category, a zero is hidden beside it, and not every zero") {
  const Counts counts = table(3, {3, 0, 0, 70, 80, 90, 40, 30, 20});
  const std::vector<bool> hidden = suppress(counts, 11).value();
  CHECK((hidden[0] && hidden[3]));
  CHECK((hidden[1] || hidden[2]));
  CHECK_FALSE((hidden[1] && hidden[2]));
}

TEST_CASE("one person of a rare category does not hide the rest of a large table") {
  std::vector<std::uint64_t> inner;
  for (std::uint64_t row = 0; row < 12; ++row) {
    inner.push_back(100 + 7 * row);
    inner.push_back(50 + 5 * row);
    inner.push_back(row == 3 ? 1 : 0);
  }
  CHECK(number_hidden(suppress(table(3, inner), 11).value()) <= 9);
}

TEST_CASE("what gives a small cell away is found") {
  const Counts counts = table(2, {3, 50, 70, 80});
  std::vector<bool> hidden(9, false);
  CHECK(given_away(counts, 11, hidden) == 0U);
  hidden[0] = true;
  CHECK(given_away(counts, 11, hidden) == 0U);
  CHECK(!given_away(counts, 11, suppress(counts, 11).value()));
}

TEST_CASE("a minimum cell below 2 protects nobody and is refused") {
  CHECK(suppress(table(1, {5}), 1).error().code == ErrorCode::kUsage);
}

TEST_CASE("records of several categories count in each, and a total counts mentions") {
  const CodedColumn rows{{"a", "b"}, {0, 1, 0}, {2, 3}};
  const CodedColumn columns{{"x"}, {0, 0}, {1, 2}};
  const Counts counts = count(rows, columns).value();
  CHECK(counts.values == std::vector<std::uint64_t>{2, 2, 1, 1, 3, 3});
  CHECK(counts.records == std::vector<std::uint64_t>{2, 2, 1, 1, 2, 2});
}

TEST_CASE("a table with more cells than can be judged is refused") {
  CodedColumn wide;
  wide.categories.resize(kMaxTableCells);
  CHECK(count(wide, wide).error().code == ErrorCode::kBadInput);
}

TEST_CASE("large tables full of small cells are judged to the end, and are safe") {
  std::mt19937 random(5);
  std::vector<std::uint64_t> inner(60U * 60U);
  for (std::uint64_t& value : inner) value = random() % 4 == 0 ? random() % 30 : 0;
  const Counts counts = table(60, inner);
  CHECK(!given_away(counts, 11, suppress(counts, 11).value()));
}

TEST_CASE("rounded totals are the sums of rounded counts") {
  CHECK(round_to(table(2, {2, 3, 7, 8}), 5) == std::vector<std::uint64_t>{0, 5, 5, 5, 10, 15, 5, 15, 20});
}

}  // namespace
}  // namespace casevault::analytics
