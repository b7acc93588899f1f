// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <map>
#include <random>
#include <set>

#include "lab.hpp"
#include "model/search_index.hpp"
#include "vault/unit_of_work.hpp"

/// A thief with two copies of the table `index` plays against the truth, in numbers. Seeded: the names, whom they are
/// given, and what the thief compares. The keys of the vault are not, so each bound is one that chance keeps but for
/// one run in millions.
namespace casevault::test {
namespace {

using Rows2 = std::map<Bytes, Bytes>;

constexpr double kSigmas = 6;

/// What the table says to who has the keys.
struct Truth {
  std::uint32_t row = 0;
  std::string word;  ///< first label of the word: names it and no other
};

Rows2 table_of(const Lab& lab) {
  const auto core = lab.core();
  const auto txn = REQUIRE_OK(core->store().begin_read());
  Rows2 out;
  REQUIRE_OK(txn->scan(store::Table::kIndex, {}, [&](const store::Item& item) {
    out.emplace(Bytes(item.key.begin(), item.key.end()), Bytes(item.value.begin(), item.value.end()));
    return true;
  }));
  return out;
}

/// Postings of folded names, by their place.
std::map<Bytes, Truth> truth_of(const Lab& lab, const std::set<std::string>& names) {
  const auto core = lab.core();
  vault::UnitOfWork work = REQUIRE_OK(vault::UnitOfWork::begin(*core));
  const auto* const generation = work.db().index->whole(1);
  REQUIRE(generation != nullptr);
  const auto keys = REQUIRE_OK(vault::index_keys(*core, work.txn(), work.db(), work.authority(), *generation));
  std::map<Bytes, Truth> out;
  std::vector<model::IndexWord> words;
  for (const std::string& name : names) {
    model::words_of_value(IndexKind::kName, name, words);
    model::WordKey key;
    keys->word({1, 1}, words.at(0), key);
    model::Labels labels(keys->slot(), key);
    REQUIRE_OK(model::each_posting(work.txn(), *keys, key, [&](const model::Posting& posting) {
      const auto at = labels.at(posting.position);
      out[Bytes(at.begin(), at.end())] = {posting.row, name};
      return true;
    }));
  }
  return out;
}

/// Share of `right` among `of` is no further from `chance` than it is by chance.
void require_chance(double right, double of, double chance) {
  CAPTURE(right, of, chance);
  REQUIRE(of > 0);
  CHECK(std::abs(right / of - chance) <= kSigmas * std::sqrt(chance * (1 - chance) / of) + 1 / of);
}

/// Ranks against ranks, -1 to 1; by chance within some 1 / sqrt(n).
double correlation(const std::vector<std::uint32_t>& rows) {
  std::vector<std::size_t> order(rows.size());
  for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
  std::ranges::sort(order, {}, [&](std::size_t i) { return std::pair(rows[i], i); });
  const auto n = static_cast<double>(rows.size());
  double sum = 0;
  for (std::size_t rank = 0; rank < order.size(); ++rank) {
    const double gap = static_cast<double>(rank) - static_cast<double>(order[rank]);
    sum += gap * gap;
  }
  return 1 - 6 * sum / (n * (n * n - 1));
}

int distance(const Bytes& a, const Bytes& b) {
  int bits = 0;
  for (std::size_t i = 0; i < a.size(); ++i) bits += std::popcount(static_cast<unsigned>(a[i] ^ b[i]));
  return bits;
}

/// How often the most frequent beginning of a label or a value comes.
std::size_t most_common(const Rows2& table) {
  std::map<std::string, std::size_t> seen;
  std::size_t most = 0;
  for (const auto& [key, value] : table) {
    for (const ByteView part : {ByteView(key).subspan(4, 4), ByteView(value).first(4), ByteView(value).last(4)})
      most = std::max(most, ++seen[std::string(as_text(part))]);
  }
  return most;
}

/// (a) and (c), on one copy.
void play(const Rows2& table, const std::map<Bytes, Truth>& truth) {
  std::vector<std::pair<Bytes, Truth>> known;  // in the order of the table
  for (const auto& [key, value] : table) {
    if (const auto found = truth.find(key); found != truth.end()) {
      Bytes both = key;
      both.insert(both.end(), value.begin(), value.end());
      known.emplace_back(std::move(both), found->second);
    }
  }
  // Two records share a name: guessed from what is alike, half of the pairs being such.
  std::map<std::string, std::vector<std::size_t>> of_word;
  for (std::size_t i = 0; i < known.size(); ++i) of_word[known[i].second.word].push_back(i);
  std::mt19937 random(7);  // NOLINT: the same each time
  std::vector<std::pair<int, bool>> scores;
  // Distinct pairs of random texts are as far apart as independent ones, so each is drawn once.
  std::set<std::pair<std::size_t, std::size_t>> drawn;
  const auto draw = [&](std::size_t i, std::size_t j, bool same) {
    if (i == j || (known[i].second.word == known[j].second.word) != same) return;
    if (drawn.emplace(std::minmax(i, j)).second) scores.emplace_back(distance(known[i].first, known[j].first), same);
  };
  for (std::size_t tries = 0; tries < std::min<std::size_t>(20'000, 4 * known.size()); ++tries) {
    const std::size_t i = random() % known.size();
    const auto& alike = of_word.at(known[i].second.word);
    draw(i, alike[random() % alike.size()], true);
  }
  for (std::size_t pairs = 2 * scores.size(); scores.size() < pairs;)
    draw(random() % known.size(), random() % known.size(), false);
  // The closer half is called the same: ties are cut by a seeded coin.
  std::ranges::shuffle(scores, random);
  std::ranges::stable_sort(scores, {}, [](const auto& each) { return each.first; });
  const auto half = static_cast<std::ptrdiff_t>(scores.size() / 2);
  const auto right = std::count_if(scores.begin(), scores.begin() + half, [](const auto& each) { return each.second; });
  require_chance(static_cast<double>(right), static_cast<double>(half), 0.5);

  // Neighbours in the table are of one word no more often than any two.
  double expected = 0;
  for (const auto& [word, at] : of_word) {
    const double share = static_cast<double>(at.size()) / static_cast<double>(known.size());
    expected += share * share;
  }
  double neighbours = 0;
  for (std::size_t i = 1; i < known.size(); ++i) neighbours += known[i].second.word == known[i - 1].second.word ? 1 : 0;
  require_chance(neighbours / 2, static_cast<double>(known.size() - 1) / 2, expected);

  // Whose a posting is: from its place, or from its value.
  std::vector<std::uint32_t> rows;
  for (const auto& [bytes, posting] : known) rows.push_back(posting.row);
  const double chance = kSigmas / std::sqrt(static_cast<double>(rows.size()));
  CHECK(std::abs(correlation(rows)) < chance);
  std::ranges::sort(known, {}, [](const auto& each) { return Bytes(each.first.begin() + 16, each.first.end()); });
  rows.clear();
  for (const auto& [bytes, posting] : known) rows.push_back(posting.row);
  CHECK(std::abs(correlation(rows)) < chance);
}

void steal(std::uint32_t records) {
  CAPTURE(records);
  const std::uint32_t updates = records / 20;
  const std::uint32_t deletions = records / 200;
  constexpr std::size_t kNames = 400;
  std::vector<double> weights;
  for (std::size_t i = 0; i < kNames; ++i) weights.push_back(1.0 / static_cast<double>(i + 1));
  std::mt19937 random(42);  // NOLINT: the same each time
  const auto below = [&](std::uint32_t end) { return static_cast<std::uint32_t>(random() % end); };
  std::discrete_distribution<std::size_t> zipf(weights.begin(), weights.end());
  const auto name_of_rank = [](std::size_t rank) {
    return "Ho Ten " + std::string(1, static_cast<char>('a' + rank % 20)) + " " +
           std::string(1, static_cast<char>('a' + rank / 20));
  };
  std::set<std::string> names;
  std::vector<std::string> given;
  for (std::uint32_t i = 0; i < records; ++i) {
    given.push_back(name_of_rank(zipf(random)));
    names.insert(given.back());
  }
  const Lab lab;
  ImportReport report;
  {
    Session session = lab.open();
    class Rows rows(records, [&](std::uint64_t row) -> Rows::Values {
      Rows::Values values = {{"full_name", given[row - 1]}};
      if (row % 3 == 0) values.emplace_back("phone", "09" + std::to_string(10'000'000 + row));
      if (row % 2 == 0) values.emplace_back("born", std::to_string(1960 + row % 40));
      return values;
    });
    report = REQUIRE_OK(session.import_rows("person", rows, {false, false, true, {}, {}}));
  }
  const Rows2 first = table_of(lab);
  // (b) how common the commonest name is: nothing in the table comes that often.
  const auto commonest = static_cast<std::size_t>(std::ranges::count(given, name_of_rank(0)));
  CHECK(commonest > records / 12);
  CHECK(first.size() == std::size_t{8} * records);
  CHECK(most_common(first) <= 4);
  play(first, truth_of(lab, names));

  std::set<std::uint32_t> changed;
  {
    Session session = lab.open();
    for (std::uint32_t i = 0; i < updates; ++i) {
      const std::uint32_t row = below(records);
      std::string name = name_of_rank(zipf(random));
      if (name == given[row]) name = name_of_rank((zipf(random) + 1) % kNames);
      if (name == given[row]) continue;
      const FieldInput fields[] = {{"full_name", name}};
      REQUIRE_OK(session.update(report.ids[row], fields));
      given[row] = name;
      names.insert(name);
      changed.insert(row);
    }
    for (std::uint32_t i = 0; i < deletions; ++i) {
      const std::uint32_t row = below(records / 3) * 3 + 2;  // that has a phone
      const FieldInput fields[] = {{"phone", ""}};
      REQUIRE_OK(session.update(report.ids[row], fields));
    }
  }
  const Rows2 second = table_of(lab);
  const std::map<Bytes, Truth> truth = truth_of(lab, names);
  CHECK(most_common(second) <= 4);
  play(second, truth);

  // What two copies do reveal: which rows are new and which were overwritten, and so how much was changed.
  std::size_t overwritten = 0;
  Rows2 fresh;
  for (const auto& [key, value] : second) {
    const auto before = first.find(key);
    if (before == first.end()) {
      fresh.emplace(key, value);
    } else if (before->second != value) {
      ++overwritten;
    }
  }
  CHECK(fresh.size() % 4 == 0);
  CHECK(overwritten > 0);
  std::size_t of_changed = 0;
  std::size_t of_names = 0;
  for (const auto& [key, value] : fresh) {
    const auto known = truth.find(key);
    if (known == truth.end()) continue;
    ++of_names;
    of_changed += changed.contains(known->second.row) ? 1U : 0U;
  }
  CHECK(of_names > 0);
  CHECK(of_changed == of_names);
  // Among them, again, nothing tells words or records apart.
  play(fresh, truth);
}

TEST_CASE(
    "sealed: a thief of two copies of 2,000 records guesses words and owners of postings no better than by chance") {
  steal(2'000);
}

TEST_CASE("sealed: the same thief, of 20,000 records, 1,000 updates and 100 deletions", "[.long]") { steal(20'000); }

}  // namespace
}  // namespace casevault::test
