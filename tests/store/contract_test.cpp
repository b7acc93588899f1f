// SPDX-License-Identifier: Apache-2.0
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <future>
#include <map>
#include <thread>

#include "catch.hpp"
#include "store/store.hpp"
#include "support/faulty_store.hpp"
#include "support/fixed_environment.hpp"
#include "support/temp_folder.hpp"

// The contract of store.hpp. Every test runs over every backend, the fault-injecting wrapper of other tests included.

namespace {

using namespace casevault;
using namespace casevault::store;

constexpr std::array kTables = {Table::kMeta, Table::kRows, Table::kTree, Table::kIndex};

struct Subject {
  test::TempFolder folder;
  std::unique_ptr<Store> store;
};

Subject make_subject(std::string_view backend) {
  Subject subject;
  if (backend == "memory") {
    subject.store = make_memory_store();
  } else {
    subject.store = REQUIRE_OK(open_lmdb_store(subject.folder.path(), {.create = true}));
    if (backend == "faulty") subject.store = std::make_unique<test::FaultyStore>(std::move(subject.store));
  }
  return subject;
}

#define FOR_EVERY_BACKEND(subject)                                                     \
  const std::string backend = GENERATE(as<std::string>{}, "memory", "lmdb", "faulty"); \
  CAPTURE(backend);                                                                    \
  Subject subject = make_subject(backend)

Bytes bytes(std::string_view text) { return {text.begin(), text.end()}; }
ByteView view(std::string_view text) { return as_bytes(text); }

std::optional<Bytes> get(ReadTxn& txn, Table table, std::string_view key) {
  const auto found = REQUIRE_OK(txn.get(table, view(key)));
  if (!found) return std::nullopt;
  return Bytes(found->begin(), found->end());
}

using Content = std::map<std::string, Bytes>;

Content content(ReadTxn& txn, Table table, ByteView from = {}) {
  Content all;
  std::string last;
  REQUIRE_DONE(txn.scan(table, from, [&](const Item& item) {
    std::string key(as_text(item.key));
    if (!all.empty() && !(last < key)) throw std::runtime_error("scan out of order");
    last = key;
    all.emplace(std::move(key), Bytes(item.value.begin(), item.value.end()));
    return true;
  }));
  return all;
}

void put_one(Store& store, Table table, std::string_view key, std::string_view value) {
  auto txn = REQUIRE_OK(store.begin_write());
  REQUIRE_DONE(txn->put(table, view(key), view(value)));
  REQUIRE_DONE(txn->commit());
}

}  // namespace

TEST_CASE("a new store is empty in every table") {
  FOR_EVERY_BACKEND(subject);
  auto txn = REQUIRE_OK(subject.store->begin_read());
  for (const Table table : kTables) {
    REQUIRE(REQUIRE_OK(txn->count(table)) == 0);
    REQUIRE_FALSE(REQUIRE_OK(txn->seek(table, {})).has_value());
    REQUIRE_FALSE(get(*txn, table, "k").has_value());
    REQUIRE(content(*txn, table).empty());
  }
}

TEST_CASE("tables are independent key spaces") {
  FOR_EVERY_BACKEND(subject);
  for (std::size_t i = 0; i < kTables.size(); ++i) put_one(*subject.store, kTables[i], "same", std::to_string(i));
  auto txn = REQUIRE_OK(subject.store->begin_read());
  for (std::size_t i = 0; i < kTables.size(); ++i) REQUIRE(get(*txn, kTables[i], "same") == bytes(std::to_string(i)));
}

TEST_CASE("a reader sees one snapshot whatever is committed meanwhile") {
  FOR_EVERY_BACKEND(subject);
  put_one(*subject.store, Table::kRows, "a", "old");
  put_one(*subject.store, Table::kRows, "b", "old");
  auto before = REQUIRE_OK(subject.store->begin_read());
  const ByteView held = *REQUIRE_OK(before->get(Table::kRows, view("a")));
  for (int round = 0; round < 20; ++round) {
    auto txn = REQUIRE_OK(subject.store->begin_write());
    REQUIRE_DONE(txn->put(Table::kRows, view("a"), view("new")));
    REQUIRE(REQUIRE_OK(txn->erase(Table::kRows, view("b"))) == (round == 0));
    REQUIRE_DONE(txn->put(Table::kRows, view("c" + std::to_string(round)), view("new")));
    REQUIRE_DONE(txn->commit());
  }
  REQUIRE(as_text(held) == "old");
  REQUIRE(content(*before, Table::kRows) == Content{{"a", bytes("old")}, {"b", bytes("old")}});
  REQUIRE(REQUIRE_OK(before->count(Table::kRows)) == 2);
  auto after = REQUIRE_OK(subject.store->begin_read());
  REQUIRE(get(*after, Table::kRows, "a") == bytes("new"));
  REQUIRE(REQUIRE_OK(after->count(Table::kRows)) == 21);
}

TEST_CASE("snapshots have the same number exactly when no commit lies between them, and then views stay good") {
  FOR_EVERY_BACKEND(subject);
  put_one(*subject.store, Table::kRows, "a", "old");
  std::uint64_t number = 0;
  ByteView held;
  {
    auto before = REQUIRE_OK(subject.store->begin_read());
    number = before->number();
    held = *REQUIRE_OK(before->get(Table::kRows, view("a")));
  }
  {
    auto dropped = REQUIRE_OK(subject.store->begin_write());
    REQUIRE(dropped->number() > number);
    REQUIRE_DONE(dropped->put(Table::kRows, view("a"), view("never")));
  }
  {
    auto same = REQUIRE_OK(subject.store->begin_read());
    REQUIRE(same->number() == number);
    REQUIRE(as_text(held) == "old");
  }
  put_one(*subject.store, Table::kRows, "b", "new");
  REQUIRE(REQUIRE_OK(subject.store->begin_read())->number() > number);
}

TEST_CASE("a writer reads its own writes, others do not before the commit") {
  FOR_EVERY_BACKEND(subject);
  auto txn = REQUIRE_OK(subject.store->begin_write());
  REQUIRE_DONE(txn->put(Table::kTree, view("k"), view("v")));
  REQUIRE(get(*txn, Table::kTree, "k") == bytes("v"));
  REQUIRE(REQUIRE_OK(txn->count(Table::kTree)) == 1);
  REQUIRE(as_text(REQUIRE_OK(txn->seek(Table::kTree, {}))->key) == "k");
  REQUIRE_FALSE(get(*REQUIRE_OK(subject.store->begin_read()), Table::kTree, "k").has_value());
  REQUIRE_DONE(txn->commit());
  REQUIRE(get(*REQUIRE_OK(subject.store->begin_read()), Table::kTree, "k") == bytes("v"));
}

TEST_CASE("a transaction that is dropped changes nothing and frees the writer's place") {
  FOR_EVERY_BACKEND(subject);
  put_one(*subject.store, Table::kMeta, "k", "kept");
  const std::uint64_t before = REQUIRE_OK(subject.store->info()).txnid;
  {
    auto txn = REQUIRE_OK(subject.store->begin_write());
    REQUIRE_DONE(txn->put(Table::kMeta, view("k"), view("lost")));
    REQUIRE_DONE(txn->put(Table::kMeta, view("other"), view("lost")));
    REQUIRE(REQUIRE_OK(txn->erase(Table::kMeta, view("k"))));
  }
  REQUIRE(REQUIRE_OK(subject.store->info()).txnid == before);
  REQUIRE(content(*REQUIRE_OK(subject.store->begin_read()), Table::kMeta) == Content{{"k", bytes("kept")}});
  put_one(*subject.store, Table::kMeta, "k", "again");
  REQUIRE(REQUIRE_OK(subject.store->info()).txnid == before + 1);
}

TEST_CASE("a commit ends the transaction, and an empty one succeeds without a new transaction number") {
  FOR_EVERY_BACKEND(subject);
  const std::uint64_t before = REQUIRE_OK(subject.store->info()).txnid;
  auto txn = REQUIRE_OK(subject.store->begin_write());
  REQUIRE_DONE(txn->commit());
  REQUIRE(REQUIRE_OK(subject.store->info()).txnid == before);
  REQUIRE_ERROR(ErrorCode::kInternal, txn->commit());
  REQUIRE_ERROR(ErrorCode::kInternal, txn->put(Table::kMeta, view("k"), view("v")));
  REQUIRE_ERROR(ErrorCode::kInternal, txn->erase(Table::kMeta, view("k")));
}

TEST_CASE("order is bytewise and unsigned, and seek finds the first key not below") {
  FOR_EVERY_BACKEND(subject);
  const std::vector<Bytes> keys = {{0},          {0, 0}, {0, 1}, {1},       {0x7F},
                                   {0x7F, 0xFF}, {0x80}, {0xFF}, {0xFF, 0}, Bytes(64, 0xFF)};
  auto txn = REQUIRE_OK(subject.store->begin_write());
  for (std::size_t i = keys.size(); i-- > 0;) REQUIRE_DONE(txn->put(Table::kIndex, keys[i], keys[i]));
  std::vector<Bytes> seen;
  REQUIRE_DONE(txn->scan(Table::kIndex, {}, [&](const Item& item) {
    seen.emplace_back(item.key.begin(), item.key.end());
    return true;
  }));
  REQUIRE(seen == keys);
  for (std::size_t i = 0; i < keys.size(); ++i) {
    const auto exact = REQUIRE_OK(txn->seek(Table::kIndex, keys[i]));
    REQUIRE(std::ranges::equal(exact->key, keys[i]));
    REQUIRE(std::ranges::equal(exact->value, keys[i]));
    if (keys[i].size() == 64) continue;
    Bytes above = keys[i];
    above.push_back(0);
    const auto next = REQUIRE_OK(txn->seek(Table::kIndex, above));
    REQUIRE(std::ranges::equal(next->key, keys[i + 1]));
  }
}

TEST_CASE("a scan starts where it is told and stops when it is told") {
  FOR_EVERY_BACKEND(subject);
  auto txn = REQUIRE_OK(subject.store->begin_write());
  for (const char c : std::string_view("acegi")) REQUIRE_DONE(txn->put(Table::kRows, view({&c, 1}), view("v")));
  REQUIRE_DONE(txn->commit());
  auto reader = REQUIRE_OK(subject.store->begin_read());
  std::string seen;
  REQUIRE_DONE(reader->scan(Table::kRows, view("b"), [&](const Item& item) {
    seen += as_text(item.key);
    return seen.size() < 2;
  }));
  REQUIRE(seen == "ce");
  REQUIRE(content(*reader, Table::kRows, view("j")).empty());
  REQUIRE_FALSE(REQUIRE_OK(reader->seek(Table::kRows, view("j"))).has_value());
  REQUIRE(as_text(REQUIRE_OK(reader->seek(Table::kRows, view("h")))->key) == "i");
}

TEST_CASE("append takes only keys beyond the last one and leaves the transaction usable when it refuses") {
  FOR_EVERY_BACKEND(subject);
  auto txn = REQUIRE_OK(subject.store->begin_write());
  REQUIRE_DONE(txn->append(Table::kRows, view("b"), view("1")));
  REQUIRE_DONE(txn->append(Table::kRows, view("d"), view("2")));
  REQUIRE_ERROR(ErrorCode::kInternal, txn->append(Table::kRows, view("d"), view("x")));
  REQUIRE_ERROR(ErrorCode::kInternal, txn->append(Table::kRows, view("c"), view("x")));
  REQUIRE_DONE(txn->append(Table::kRows, view("e"), view("3")));
  REQUIRE_DONE(txn->commit());
  REQUIRE(content(*REQUIRE_OK(subject.store->begin_read()), Table::kRows) ==
          Content{{"b", bytes("1")}, {"d", bytes("2")}, {"e", bytes("3")}});
}

TEST_CASE("keys of no or more than 64 bytes are refused everywhere") {
  FOR_EVERY_BACKEND(subject);
  auto txn = REQUIRE_OK(subject.store->begin_write());
  const Bytes longest(64, 'k');
  const Bytes too_long(65, 'k');
  REQUIRE_DONE(txn->put(Table::kRows, longest, view("v")));
  for (const ByteView key : {ByteView{}, ByteView(too_long)}) {
    REQUIRE_ERROR(ErrorCode::kInternal, txn->put(Table::kRows, key, view("v")));
    REQUIRE_ERROR(ErrorCode::kInternal, txn->append(Table::kRows, key, view("v")));
    REQUIRE_ERROR(ErrorCode::kInternal, txn->erase(Table::kRows, key));
    REQUIRE_ERROR(ErrorCode::kInternal, txn->get(Table::kRows, key));
  }
  REQUIRE_ERROR(ErrorCode::kInternal, txn->seek(Table::kRows, too_long));
  REQUIRE_ERROR(ErrorCode::kInternal, txn->scan(Table::kRows, too_long, [](const Item&) { return true; }));
  REQUIRE_DONE(txn->commit());
  auto reader = REQUIRE_OK(subject.store->begin_read());
  REQUIRE(REQUIRE_OK(reader->count(Table::kRows)) == 1);
}

TEST_CASE("values of every size come back as they went in") {
  FOR_EVERY_BACKEND(subject);
  const std::vector<std::size_t> sizes = {0, 1, 2013, 2014, 2015, 2016, 4079, 4080, 4081, 65536, 3'000'001};
  auto txn = REQUIRE_OK(subject.store->begin_write());
  for (const std::size_t size : sizes) {
    REQUIRE_DONE(txn->put(Table::kRows, view("0123456789-" + std::to_string(size)),
                          Bytes(size, static_cast<std::uint8_t>(size))));
  }
  REQUIRE_DONE(txn->commit());
  auto reader = REQUIRE_OK(subject.store->begin_read());
  for (const std::size_t size : sizes) {
    REQUIRE(get(*reader, Table::kRows, "0123456789-" + std::to_string(size)) ==
            Bytes(size, static_cast<std::uint8_t>(size)));
  }
}

TEST_CASE("random work agrees with a model, in the transaction, after commits and after rollbacks") {
  FOR_EVERY_BACKEND(subject);
  test::SeededRandom random(7);
  std::array<Content, kTableCount> committed;
  for (int round = 0; round < 60; ++round) {
    auto model = committed;
    auto txn = REQUIRE_OK(subject.store->begin_write());
    for (std::uint64_t step = random.below(80); step > 0; --step) {
      const Table table = kTables.at(random.below(kTableCount));
      Content& expected = model.at(static_cast<std::size_t>(table));
      Bytes key(1 + random.below(3), 0);
      random.fill(key);
      for (auto& byte : key) byte &= 7U;
      if (random.below(3) == 0) {
        REQUIRE(REQUIRE_OK(txn->erase(table, key)) == (expected.erase(std::string(as_text(key))) == 1));
      } else {
        Bytes value(random.below(10) == 0 ? random.below(20'000) : random.below(40), 0);
        random.fill(value);
        REQUIRE_DONE(txn->put(table, key, value));
        expected[std::string(as_text(key))] = std::move(value);
      }
    }
    const bool keep = random.below(4) != 0;
    for (const Table table : kTables) REQUIRE(content(*txn, table) == model.at(static_cast<std::size_t>(table)));
    if (keep) REQUIRE_DONE(txn->commit());
    txn.reset();
    if (keep) committed = std::move(model);
    auto reader = REQUIRE_OK(subject.store->begin_read());
    for (const Table table : kTables) {
      REQUIRE(content(*reader, table) == committed.at(static_cast<std::size_t>(table)));
      REQUIRE(REQUIRE_OK(reader->count(table)) == committed.at(static_cast<std::size_t>(table)).size());
    }
  }
}

TEST_CASE("writers of two threads take turns and lose no update") {
  FOR_EVERY_BACKEND(subject);
  constexpr int kEach = 40;
  put_one(*subject.store, Table::kMeta, "n", "0");
  std::atomic<int> failures = 0;
  const auto increment = [&] {
    for (int i = 0; i < kEach; ++i) {
      auto txn = subject.store->begin_write();
      if (!txn) return void(++failures);
      const auto old = (*txn)->get(Table::kMeta, view("n"));
      if (!old || !*old) return void(++failures);
      const std::string next = std::to_string(std::stoi(std::string(as_text(**old))) + 1);
      if (!(*txn)->put(Table::kMeta, view("n"), view(next)) || !(*txn)->commit()) return void(++failures);
    }
  };
  std::thread one(increment);
  std::thread two(increment);
  one.join();
  two.join();
  REQUIRE(failures == 0);
  REQUIRE(get(*REQUIRE_OK(subject.store->begin_read()), Table::kMeta, "n") == bytes(std::to_string(2 * kEach)));
}

TEST_CASE("a thread that asks for a second write transaction is told so instead of waiting for itself") {
  FOR_EVERY_BACKEND(subject);
  auto txn = REQUIRE_OK(subject.store->begin_write());
  REQUIRE_ERROR(ErrorCode::kInternal, subject.store->begin_write());
  REQUIRE_DONE(txn->commit());
  REQUIRE_OK(subject.store->begin_write());
}

TEST_CASE("read transactions move between threads and run beside the writer") {
  FOR_EVERY_BACKEND(subject);
  put_one(*subject.store, Table::kRows, "k", "v");
  auto writer = REQUIRE_OK(subject.store->begin_write());
  auto reader = REQUIRE_OK(subject.store->begin_read());
  auto moved = std::async(std::launch::async, [reader = std::move(reader)]() mutable {
    const auto value = reader->get(Table::kRows, view("k"));
    const bool right = value && *value && as_text(**value) == "v";
    reader.reset();
    return right;
  });
  REQUIRE(moved.get());
  std::vector<std::unique_ptr<ReadTxn>> many;
  for (int i = 0; i < 100; ++i) many.push_back(REQUIRE_OK(subject.store->begin_read()));
  for (auto& txn : many) REQUIRE(get(*txn, Table::kRows, "k") == bytes("v"));
}

TEST_CASE("a forked child is refused, and leaves its parent's store alone when it ends") {
  FOR_EVERY_BACKEND(subject);
  put_one(*subject.store, Table::kRows, "k", "v");
  auto reader = REQUIRE_OK(subject.store->begin_read());
  auto writer = REQUIRE_OK(subject.store->begin_write());
  REQUIRE_DONE(writer->put(Table::kRows, view("k"), view("w")));
  const pid_t child = ::fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    const auto refused = [](const auto& result) { return !result && result.error().code == ErrorCode::kUsage; };
    const bool right = refused(subject.store->begin_read()) && refused(subject.store->begin_write()) &&
                       refused(subject.store->info()) && refused(writer->put(Table::kRows, view("x"), view("y"))) &&
                       refused(writer->commit());
    writer.reset();
    reader.reset();
    subject.store.reset();
    ::_exit(right ? 0 : 1);
  }
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  REQUIRE(status == 0);
  REQUIRE_DONE(writer->commit());
  REQUIRE(get(*reader, Table::kRows, "k") == bytes("v"));
  REQUIRE(get(*REQUIRE_OK(subject.store->begin_read()), Table::kRows, "k") == bytes("w"));
}
