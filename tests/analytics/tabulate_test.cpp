// SPDX-License-Identifier: Apache-2.0
#include "analytics/tabulate.hpp"

#include <algorithm>
#include <map>
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
  const Counts counts = table(5, {3, 0, 0, 0, 0, 70, 80, 90, 60, 50, 40, 30, 20, 50, 60});
  const std::vector<bool> hidden = suppress(counts, 11).value();
  CHECK((hidden[0] && hidden[1] && hidden[5]));
  CHECK_FALSE((hidden[2] || hidden[3] || hidden[4]));
}

TEST_CASE("of an odd number of categories the last three are partners, and one that nobody is in is nobody's") {
  const std::vector<bool> three = suppress(table(3, {0, 0, 3, 70, 80, 90, 40, 30, 20}), 11).value();
  CHECK((three[0] && three[1] && three[2]));
  const std::vector<bool> empty = suppress(table(4, {3, 0, 0, 0, 70, 0, 80, 90, 40, 0, 30, 20}), 11).value();
  CHECK((empty[0] && !empty[1] && empty[2] && empty[3]));
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

using Shown = std::vector<std::optional<std::uint64_t>>;

Shown published(const Counts& counts, std::uint64_t min_cell) {
  const std::vector<bool> hidden = suppress(counts, min_cell).value();
  Shown out;
  for (std::size_t at = 0; at < hidden.size(); ++at)
    out.push_back(hidden[at] ? std::nullopt : std::optional(counts.values[at]));
  return out;
}

/// Who has a published table and the public rule, and nothing else: tries every table that the numbers shown admit,
/// with cells of up to `most`, and keeps those that would have been published like this one.
class Reader {
 public:
  Reader(std::size_t columns, std::uint64_t min_cell, std::uint64_t most, Shown shown)
      : columns_(columns),
        rows_(shown.size() / (columns + 1) - 1),
        min_cell_(min_cell),
        most_(most),
        shown_(std::move(shown)),
        inner_(rows_ * columns_) {
    fill(0);
  }
  [[nodiscard]] const std::vector<Counts>& worlds() const { return worlds_; }

 private:
  /// What the cells before this one leave of a total; nothing where it is not shown.
  [[nodiscard]] std::optional<std::uint64_t> left(std::size_t total, std::size_t first, std::size_t step,
                                                  std::size_t count) const {
    if (!shown_[total]) return std::nullopt;
    std::uint64_t sum = 0;
    for (std::size_t i = 0; i < count; ++i) sum += inner_[first + i * step];
    return sum > *shown_[total] ? std::optional<std::uint64_t>() : *shown_[total] - sum;
  }
  void fill(std::size_t cell) {
    if (cell == inner_.size()) {
      Counts world = table(columns_, inner_);
      if (published(world, min_cell_) == shown_) worlds_.push_back(std::move(world));
      return;
    }
    const std::size_t row = cell / columns_;
    const std::size_t column = cell % columns_;
    const auto& own = shown_[row * (columns_ + 1) + column];
    std::uint64_t from = own.value_or(0);
    std::uint64_t to = own.value_or(most_);
    const auto bound = [&](std::size_t total, std::size_t first, std::size_t step, std::size_t count, bool last) {
      if (!shown_[total]) return true;
      const auto rest = left(total, first, step, count);
      if (!rest) return false;
      to = std::min(to, *rest);
      if (last) from = std::max(from, *rest);
      return true;
    };
    if (!bound(row * (columns_ + 1) + columns_, row * columns_, 1, column, column + 1 == columns_)) return;
    if (!bound(rows_ * (columns_ + 1) + column, column, columns_, row, row + 1 == rows_)) return;
    for (std::uint64_t value = from; value <= to; ++value) {
      inner_[cell] = value;
      fill(cell + 1);
    }
  }

  std::size_t columns_, rows_;
  std::uint64_t min_cell_, most_;
  Shown shown_;
  std::vector<std::uint64_t> inner_;
  std::vector<Counts> worlds_;
};

/// How many lines of few records there are of which a reader knows that all are of one category, though others have
/// records too.
std::size_t told(const Counts& truth, std::uint64_t min_cell, std::uint64_t most) {
  const Reader reader(truth.columns, min_cell, most, published(truth, min_cell));
  REQUIRE_FALSE(reader.worlds().empty());
  std::size_t out = 0;
  const auto look = [&](std::size_t total, std::size_t count, const auto& cell, const auto& other_total) {
    if (truth.values[total] == 0 || truth.values[total] >= min_cell) return;
    std::size_t open = 0;
    std::size_t possible = 0;
    for (std::size_t i = 0; i < count; ++i) {
      if (truth.values[other_total(i)] == 0) continue;
      ++open;
      // Somebody of the line is there in one world at least.
      if (std::ranges::any_of(reader.worlds(), [&](const Counts& world) { return world.values[cell(i)] > 0; }))
        ++possible;
    }
    if (open > 1 && possible < 2) ++out;
  };
  for (std::size_t r = 0; r < truth.rows; ++r) {
    look(
        truth.at(r, truth.columns), truth.columns, [&](std::size_t c) { return truth.at(r, c); },
        [&](std::size_t c) { return truth.at(truth.rows, c); });
  }
  for (std::size_t c = 0; c < truth.columns; ++c) {
    look(
        truth.at(truth.rows, c), truth.rows, [&](std::size_t r) { return truth.at(r, c); },
        [&](std::size_t r) { return truth.at(r, truth.columns); });
  }
  return out;
}

/// Tables of the same others, with these few in each category of the first line in turn.
std::vector<Counts> variations(std::size_t columns, std::uint64_t few, const std::vector<std::uint64_t>& others) {
  std::vector<Counts> out;
  for (std::size_t c = 0; c < columns; ++c) {
    std::vector<std::uint64_t> inner(columns, 0);
    inner[c] = few;
    inner.insert(inner.end(), others.begin(), others.end());
    out.push_back(table(columns, inner));
  }
  return out;
}

TEST_CASE("which zeros are hidden is the same whichever of at least two categories the few of a line are in") {
  std::mt19937 random(11);
  for (int round = 0; round < 300; ++round) {
    const std::size_t columns = 2 + random() % 6;
    std::vector<std::uint64_t> others(columns, 20);  // a category that nobody else is in shows as such
    for (std::size_t i = columns * (1 + random() % 5); i > 0; --i)
      others.push_back(random() % 3 == 0 ? random() % 12 : 11 + random() % 40);
    std::map<std::vector<bool>, std::size_t> seen;
    for (const Counts& each : variations(columns, 1 + random() % 10, others)) {
      const std::vector<bool> hidden = suppress(each, 11).value();
      ++seen[{hidden.begin(), hidden.begin() + static_cast<std::ptrdiff_t>(columns)}];
    }
    for (const auto& [unused, categories] : seen) REQUIRE(categories >= 2);
  }
}

TEST_CASE(
    "beside cells well above the least number, a reader who tries every table that fits does not find of which "
    "category the few of a line are") {
  std::mt19937 random(11);
  for (int round = 0; round < 30; ++round) {
    const std::size_t columns = 2 + random() % 3;
    std::vector<std::uint64_t> others;
    for (std::size_t i = columns * (2 + random() % 2); i > 0; --i) others.push_back(7 + random() % 6);
    for (const Counts& each : variations(columns, 1 + random() % 2, others)) REQUIRE(told(each, 3, 15) == 0);
  }
}

TEST_CASE("large tables full of small cells are judged to the end, and are safe") {
  std::mt19937 random(5);
  std::vector<std::uint64_t> inner(60U * 60U);
  for (std::uint64_t& value : inner) value = random() % 4 == 0 ? random() % 30 : 0;
  const Counts counts = table(60, inner);
  CHECK(!given_away(counts, 11, suppress(counts, 11).value()));
}

TEST_CASE("golden: what was hidden of a table is hidden of it for ever") {
  // The ledger keeps definitions, and later publications are judged by what they hid: a rule that hides other numbers
  // judges them wrongly. These never change.
  constexpr std::array<std::uint64_t, 12> kHidden = {0x8b507a175910158cU, 0x4460c2fb426e96b2U, 0xc26ada1411e265f9U,
                                                     0x67d71308231a73eeU, 0x1b6aa368ab045af2U, 0x453342a33fb0df81U,
                                                     0xa4e04bd95f7577a2U, 0x84d116a37ea79893U, 0xc316569be172c53bU,
                                                     0xebcbf3d63c81dbc4U, 0xe533a678bae43dcU,  0x63c26fdfd0f7ad53U};
  std::mt19937 random(2026);
  for (const std::uint64_t expected : kHidden) {
    const std::size_t rows = 3 + random() % 5;
    const std::size_t columns = 3 + random() % 5;
    std::vector<std::uint64_t> inner(rows * columns);
    for (std::uint64_t& value : inner) value = random() % 3 == 0 ? 0 : random() % 40;
    const std::vector<bool> hidden = suppress(table(columns, inner), 11).value();
    std::uint64_t hash = 0;
    for (std::size_t at = 0; at < hidden.size(); ++at) hash = hash * 0x9E3779B97F4A7C15U + (hidden[at] ? 2 : 1);
    CHECK(hash == expected);
  }
}

TEST_CASE("rounded totals are the sums of rounded counts") {
  CHECK(round_to(table(2, {2, 3, 7, 8}), 5) == std::vector<std::uint64_t>{0, 5, 5, 5, 10, 15, 5, 15, 20});
}

}  // namespace
}  // namespace casevault::analytics
