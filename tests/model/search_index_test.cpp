// SPDX-License-Identifier: Apache-2.0
#include "model/search_index.hpp"

#include <algorithm>
#include <map>
#include <set>

#include "catch.hpp"

namespace casevault::model {
namespace {

const IndexContext kContext{{1, 2, 3}, 5, 1, 7};
constexpr IndexedField kName{1, 2};
constexpr IndexedField kOther{1, 3};

std::array<std::uint8_t, 32> key_of_bytes(std::uint8_t byte) {
  std::array<std::uint8_t, 32> out{};
  out.fill(byte);
  return out;
}

IndexWriter::Keys make_keys(const IndexContext& context = kContext, std::uint8_t ck = 1, std::uint8_t generation = 2) {
  const std::array fields{kName, kOther};
  return std::make_shared<const IndexKeys>(context, key_of_bytes(ck), key_of_bytes(generation), fields);
}

struct Bench {
  std::unique_ptr<store::Store> store = store::make_memory_store();
  IndexWriter::Keys keys = make_keys();
  std::unique_ptr<KeptCounts> counts = std::make_unique<KeptCounts>();

  void add(const IndexWord& word, const std::vector<std::uint32_t>& rows, IndexedField field = kName) {
    const auto txn = REQUIRE_OK(store->begin_write());
    IndexWriter writer(*counts);
    WordKey key;
    keys->word(field, word, key);
    for (const std::uint32_t row : rows) REQUIRE_OK(writer.add(*txn, keys, key, PostingKind::kRecord, row));
    REQUIRE_OK(writer.flush(*txn));
    REQUIRE_OK(txn->commit());
    counts->keep(writer.counts());
  }
  bool remove(const IndexWord& word, std::uint32_t row) {
    const auto txn = REQUIRE_OK(store->begin_write());
    IndexWriter writer(*counts);
    WordKey key;
    keys->word(kName, word, key);
    const bool found = REQUIRE_OK(writer.remove(*txn, *keys, key, row));
    REQUIRE_OK(txn->commit());
    return found;
  }
  Result<std::vector<std::uint32_t>> try_find(const IndexWord& word, IndexedField field = kName) {
    const auto txn = REQUIRE_OK(store->begin_read());
    WordKey key;
    keys->word(field, word, key);
    std::vector<std::uint32_t> rows;
    CASEVAULT_CHECK(each_posting(*txn, *keys, key, [&](const Posting& posting) {
      rows.push_back(posting.row);
      return true;
    }));
    return rows;
  }
  std::vector<std::uint32_t> find(const IndexWord& word, IndexedField field = kName) {
    return REQUIRE_OK(try_find(word, field));
  }
  std::vector<std::pair<Bytes, Bytes>> rows() {
    const auto txn = REQUIRE_OK(store->begin_read());
    std::vector<std::pair<Bytes, Bytes>> out;
    REQUIRE_OK(txn->scan(store::Table::kIndex, {}, [&](const store::Item& item) {
      out.emplace_back(Bytes(item.key.begin(), item.key.end()), Bytes(item.value.begin(), item.value.end()));
      return true;
    }));
    return out;
  }
  void put(ByteView key, ByteView value) {
    const auto txn = REQUIRE_OK(store->begin_write());
    REQUIRE_OK(txn->put(store::Table::kIndex, key, value));
    REQUIRE_OK(txn->commit());
  }
};

IndexWord folded(std::string text, std::string exact = {}) {
  return {WordClass::kFolded, std::move(text), std::move(exact)};
}

std::vector<std::uint32_t> numbers(std::uint32_t count) {
  std::vector<std::uint32_t> out(count);
  for (std::uint32_t i = 0; i < count; ++i) out[i] = i;
  return out;
}

TEST_CASE("a word finds the rows it was given, in their order, however many there are") {
  for (const std::uint32_t count : {0U, 1U, 2U, 3U, 4U, 5U, 6U, 7U, 8U, 9U, 31U, 32U, 33U, 1000U}) {
    Bench bench;
    bench.add(folded("hoa"), numbers(count));
    bench.counts = std::make_unique<KeptCounts>();  // as another session finds it
    CHECK(bench.find(folded("hoa")) == numbers(count));
    CHECK(bench.find(folded("hoa ")).empty());
    bench.add(folded("hoa"), {5000});
    CHECK(bench.find(folded("hoa")).size() == count + 1);
    CHECK(bench.find(folded("hoa")).back() == 5000);
  }
}

TEST_CASE("words that come mixed, often and in several flushes are found in the order in which they were added") {
  Bench bench;
  bench.add(folded("mai"), {1, 2});
  const auto txn = REQUIRE_OK(bench.store->begin_write());
  IndexWriter writer(*bench.counts);
  std::map<std::string, std::vector<std::uint32_t>> expected{{"mai", {1, 2}}};
  for (std::uint32_t row = 3; row < 400; ++row) {
    const std::string text = row % 3 == 0 ? "mai" : row % 3 == 1 ? "hoa" : "lan" + std::to_string(row);
    WordKey key;
    bench.keys->word(kName, folded(text), key);
    REQUIRE_OK(writer.add(*txn, bench.keys, key, PostingKind::kRecord, row, row % 2 == 0));
    expected[text].push_back(row);
    if (row % 150 == 0) REQUIRE_OK(writer.flush(*txn));
  }
  REQUIRE_OK(writer.flush(*txn));
  std::vector<std::uint32_t> shared;
  for (const auto& [text, rows] : expected) {
    for (const std::uint32_t row : rows) {
      if (row > 2 && row != rows.front() && row % 2 == 0) shared.push_back(row);
    }
  }
  std::ranges::sort(shared);
  CHECK(writer.take_shared() == shared);
  CHECK(writer.take_shared().empty());
  CHECK(writer.added().at(kContext.slot) == 397);
  REQUIRE_OK(txn->commit());
  bench.counts->keep(writer.counts());
  for (const auto& [text, rows] : expected) CHECK(bench.find(folded(text)) == rows);
  bench.add(folded("mai"), {1000});
  CHECK(bench.find(folded("mai")).back() == 1000);
}

TEST_CASE("a word that others added to since it was counted is counted to its end") {
  Bench bench;
  bench.add(folded("hoa"), numbers(40));
  auto stale = std::make_unique<KeptCounts>();
  WordKey key;
  bench.keys->word(kName, folded("hoa"), key);
  stale->keep(std::array{WordCount(Labels(kContext.slot, key).at(0), 7U)});
  bench.counts = std::move(stale);
  bench.add(folded("hoa"), {5000});
  CHECK(bench.find(folded("hoa")).size() == 41);
  CHECK(bench.find(folded("hoa")).back() == 5000);
}

TEST_CASE("words of other fields, classes, generations and compartments are other words") {
  Bench bench;
  bench.add(folded("hoa"), {1});
  bench.add({WordClass::kOrderFree, "hoa"}, {2});
  bench.add(folded("hoa"), {3}, kOther);
  CHECK(bench.find(folded("hoa")) == std::vector<std::uint32_t>{1});
  CHECK(bench.find({WordClass::kOrderFree, "hoa"}) == std::vector<std::uint32_t>{2});
  CHECK(bench.find(folded("hoa"), kOther) == std::vector<std::uint32_t>{3});
  IndexContext compartment = kContext;
  compartment.compartment = 6;
  IndexContext epoch = kContext;
  epoch.epoch = 2;
  IndexContext vault = kContext;
  vault.vault[0] ^= 1;
  const auto finds_nothing = [&](IndexWriter::Keys other) {
    std::swap(bench.keys, other);
    CHECK(bench.find(folded("hoa")).empty());
    std::swap(bench.keys, other);
  };
  finds_nothing(make_keys(compartment));
  finds_nothing(make_keys(epoch));
  finds_nothing(make_keys(vault));
  finds_nothing(make_keys(kContext, 9));
  finds_nothing(make_keys(kContext, 1, 9));
}

TEST_CASE("a folded word's posting tells exact names apart, and a name without key nothing") {
  WordKey a;
  WordKey b;
  WordKey c;
  const IndexWriter::Keys keys = make_keys();
  keys->word(kName, folded("hoa", "hòa"), a);
  keys->word(kName, folded("hoa", "hóa"), b);
  keys->word(kName, folded("hoa", "hòa"), c);
  CHECK(std::ranges::equal(a.key.view(), b.key.view()));
  CHECK(a.print != b.print);
  CHECK(a.print == c.print);
}

TEST_CASE("a removed posting is a tombstone of the same size in the same place, and others stay where they are") {
  Bench bench;
  bench.add(folded("hoa"), {1, 2, 3});
  const auto before = bench.rows();
  CHECK(bench.remove(folded("hoa"), 2));
  CHECK_FALSE(bench.remove(folded("hoa"), 2));
  CHECK_FALSE(bench.remove(folded("hoa"), 9));
  CHECK_FALSE(bench.remove(folded("mai"), 1));
  const auto after = bench.rows();
  REQUIRE(before.size() == after.size());
  int changed = 0;
  for (std::size_t i = 0; i < before.size(); ++i) {
    CHECK(before[i].first == after[i].first);
    CHECK(after[i].second.size() == kIndexValueSize);
    if (before[i].second != after[i].second) ++changed;
  }
  CHECK(changed == 1);
  CHECK(bench.find(folded("hoa")) == std::vector<std::uint32_t>{1, 3});
  bench.add(folded("hoa"), {2});
  CHECK(bench.find(folded("hoa")) == std::vector<std::uint32_t>{1, 3, 2});
}

TEST_CASE("bound: a posting that was flipped, cut, or put in another place is told, not skipped") {
  Bench bench;
  bench.add(folded("hoa"), numbers(6));
  bench.add(folded("mai"), numbers(6));
  const auto rows = bench.rows();
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const auto& [key, value] = rows[i];
    for (std::size_t byte = 0; byte < value.size(); ++byte) {
      Bytes bad = value;
      bad[byte] ^= 0x40U;
      bench.put(key, bad);
      CHECK((!bench.try_find(folded("hoa")) || !bench.try_find(folded("mai"))));
    }
    bench.put(key, Bytes(value.begin(), value.end() - 1));
    CHECK((!bench.try_find(folded("hoa")) || !bench.try_find(folded("mai"))));
    bench.put(key, rows[(i + 1) % rows.size()].second);
    CHECK((!bench.try_find(folded("hoa")) || !bench.try_find(folded("mai"))));
    bench.put(key, value);
  }
  CHECK(bench.find(folded("hoa")).size() == 6);
}

TEST_CASE("sealed: rows of the index are of one size, and no label or value is there twice, whatever the words") {
  Bench bench;
  bench.add(folded("hoa"), numbers(200));
  bench.add({WordClass::kRaw, std::string(5000, 'x')}, numbers(200));
  WordKey filler;
  bench.keys->filler(3, filler);
  std::set<Bytes> values;
  for (const auto& [key, value] : bench.rows()) {
    CHECK(key.size() == kIndexKeySize);
    CHECK(value.size() == kIndexValueSize);
    CHECK(values.insert(value).second);
  }
  CHECK(values.size() == 400);
}

TEST_CASE("a single date is asked for as it was typed, a range by words that find all that may lie in it") {
  const auto words = [](std::string_view typed) {
    std::vector<std::string> out;
    for (const IndexWord& word : REQUIRE_OK(words_of_query(IndexKind::kDate, typed, false)).words)
      out.push_back(word.text);
    return out;
  };
  using Texts = std::vector<std::string>;
  CHECK(words("1990") == Texts{"1990"});
  CHECK(words("1990-02") == Texts{"1990-02"});
  CHECK(words("03/02/1990") == Texts{"1990-02-03"});
  CHECK(words("1990..1990") == Texts{"1990"});
  std::vector<IndexWord> own;
  for (const char* date : {"1990", "1990-02", "1990-02-03"}) {
    words_of_value(IndexKind::kDate, date, own);
    CHECK(std::ranges::find(own, REQUIRE_OK(words_of_query(IndexKind::kDate, date, false)).words[0]) != own.end());
  }
  for (const char* bad :
       {"", "..", "1990..", "..1990", "1992..1990", "1990-13", "1990-02-30", "0000", "1500..1990", "abcd"}) {
    CAPTURE(bad);
    REQUIRE_ERROR(ErrorCode::kBadInput, words_of_query(IndexKind::kDate, bad, false));
  }
}

TEST_CASE("a loose query asks for the names of other regions too, and says that they are another's") {
  const TypedWords loose = REQUIRE_OK(words_of_query(IndexKind::kName, "Hoàng Vũ", true));
  CHECK(std::ranges::any_of(loose.words, &IndexWord::regional));
  CHECK(std::ranges::none_of(REQUIRE_OK(words_of_query(IndexKind::kName, "Hoàng Vũ", false)).words,
                             &IndexWord::regional));
  std::vector<IndexWord> cell;
  words_of_value(IndexKind::kName, "Lan; Tý", cell);
  CHECK(cell.size() == 6);
}

TEST_CASE("a value that the normaliser makes nothing of is found as it was written") {
  std::vector<IndexWord> words;
  words_of_value(IndexKind::kPhone, "(none)", words);
  REQUIRE(words.size() == 1);
  CHECK(words[0].word_class == WordClass::kRaw);
  CHECK(words[0] == REQUIRE_OK(words_of_query(IndexKind::kPhone, "(none)", false)).words[0]);
  words_of_value(IndexKind::kName, "...", words);
  CHECK(words.size() == 1);
  REQUIRE_ERROR(ErrorCode::kBadInput, words_of_query(IndexKind::kName, "...", false));
}

}  // namespace
}  // namespace casevault::model
