// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <lmdb.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstring>
#include <fstream>
#include <iostream>

#include "catch.hpp"
#include "store/store.hpp"
#include "support/fixed_environment.hpp"
#include "support/temp_folder.hpp"

namespace {

using namespace casevault;
using namespace casevault::store;

constexpr std::array kTables = {Table::kMeta, Table::kRows, Table::kTree, Table::kIndex};
constexpr std::size_t kHeader = 16;
constexpr std::size_t kMetaFreeList = 16 + 24;
constexpr std::size_t kMetaMain = 16 + 72;
constexpr std::size_t kMetaLastPage = 16 + 120;
constexpr std::size_t kMetaTxnid = 16 + 128;

Bytes key_of(std::uint64_t n) {
  Bytes key(16, 0);
  for (std::size_t i = 0; i < 8; ++i) key[i] = static_cast<std::uint8_t>(n * 0x9E3779B97F4A7C15U >> (8 * i));
  for (std::size_t i = 0; i < 8; ++i) key[8 + i] = static_cast<std::uint8_t>(n >> (8 * (7 - i)));
  return key;
}

/// A few hundred rows in all tables, with overflow values, deletions, shrunk values and a free list of several records.
void fill(Store& store) {
  test::SeededRandom random(3);
  for (std::uint64_t round = 0; round < 12; ++round) {
    auto txn = REQUIRE_OK(store.begin_write());
    for (std::uint64_t i = 0; i < 60; ++i) {
      const std::uint64_t n = round * 60 + i;
      Bytes value(n % 23 == 0 ? 3000 + random.below(30'000) : 20 + random.below(250), 0);
      random.fill(value);
      REQUIRE_DONE(txn->put(kTables.at(n % 7 == 0 ? n % 4 : 1), key_of(n), value));
    }
    for (std::uint64_t i = 0; i < 25 && round > 1; ++i) {
      const std::uint64_t n = random.below(round * 60);
      REQUIRE_OK(txn->erase(kTables.at(n % 7 == 0 ? n % 4 : 1), key_of(n)));
    }
    REQUIRE_DONE(txn->commit());
  }
}

Bytes read_all(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

void write_all(const std::filesystem::path& path, ByteView data) {
  const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
  REQUIRE(::write(fd, data.data(), data.size()) == static_cast<ssize_t>(data.size()));
  ::close(fd);
}

template <typename T>
T load(ByteView bytes, std::size_t at) {
  T value{};
  REQUIRE(at + sizeof(T) <= bytes.size());
  std::memcpy(&value, bytes.data() + at, sizeof(T));
  return value;
}

template <typename T>
void store_at(Bytes& bytes, std::size_t at, T value) {
  REQUIRE(at + sizeof(T) <= bytes.size());
  std::memcpy(bytes.data() + at, &value, sizeof(T));
}

/// In memory where the system offers it: these tests flush thousands of times, and none of them is about the disk.
test::TempFolder fast_folder() {
  if (::getenv("TMPDIR") != nullptr || ::access("/dev/shm", W_OK) != 0) return {};
  ::setenv("TMPDIR", "/dev/shm", 1);
  test::TempFolder folder;
  ::unsetenv("TMPDIR");
  return folder;
}

/// A sound file as bytes, and a folder to try damaged versions of it in.
struct Specimen {
  Specimen() {
    {
      fill(*REQUIRE_OK(open_lmdb_store(folder.path(), {.create = true})));
    }
    clean = read_all(path());
    page_bytes = load<std::uint32_t>(clean, kMetaFreeList);
    const bool second = load<std::uint64_t>(clean, page_bytes + kMetaTxnid) > load<std::uint64_t>(clean, kMetaTxnid);
    newest = second ? page_bytes : 0;
  }
  [[nodiscard]] std::filesystem::path path() const { return folder / "data.mdb"; }
  [[nodiscard]] Result<StoreInfo> check(ByteView data, PreflightDepth depth = PreflightDepth::kFull) const {
    write_all(path(), data);
    return preflight(folder.path(), depth);
  }
  [[nodiscard]] std::size_t page(std::uint64_t number) const { return static_cast<std::size_t>(number) * page_bytes; }
  [[nodiscard]] std::size_t root_of(std::size_t db) const { return page(load<std::uint64_t>(clean, db + 40)); }
  [[nodiscard]] std::size_t node(std::size_t page_at, std::size_t index) const {
    return page_at + load<std::uint16_t>(clean, page_at + kHeader + 2 * index);
  }
  /// The 48 bytes of a named table: the main tree is one leaf, in the order index, meta, rows, tree.
  [[nodiscard]] std::size_t table_record(std::size_t index) const {
    const std::size_t at = node(root_of(newest + kMetaMain), index);
    return at + 8 + load<std::uint16_t>(clean, at + 6);
  }
  /// First leaf node of the rows that is (not) a long value.
  [[nodiscard]] std::size_t row(bool big) const {
    for (std::size_t at = page(2); at < clean.size(); at += page_bytes) {
      if (load<std::uint16_t>(clean, at + 10) != 2 || load<std::uint64_t>(clean, at) != at / page_bytes) continue;
      const std::size_t count = (load<std::uint16_t>(clean, at + 12) - kHeader) / 2U;
      for (std::size_t i = 0; i < count && is_live(at); ++i) {
        const std::size_t found = node(at, i);
        if (load<std::uint16_t>(clean, found + 6) == 16 && (load<std::uint16_t>(clean, found + 4) == 1) == big)
          return found;
      }
    }
    FAIL("no such row");
    return 0;
  }
  /// Whether a leaf is a child of the root of the rows.
  [[nodiscard]] bool is_live(std::size_t leaf) const {
    const std::size_t root = root_of(table_record(2));
    for (std::size_t i = 0; i < (load<std::uint16_t>(clean, root + 12) - kHeader) / 2U; ++i) {
      if (load<std::uint32_t>(clean, node(root, i)) == leaf / page_bytes) return true;
    }
    return false;
  }

  test::TempFolder folder = fast_folder();
  Bytes clean;
  std::size_t page_bytes = 0;
  std::size_t newest = 0;  ///< offset of the newest meta page
};

/// Opens with LMDB and reads every item; with `writes` also rewrites, deletes and allocates. 0 when the file reads as
/// the preflight promised.
int use_everything(const std::filesystem::path& folder, bool writes) {
  auto store = open_lmdb_store(folder, {});
  if (!store) return 1;
  std::uint64_t sum = 0;
  std::vector<Bytes> keys;
  {
    auto txn = (*store)->begin_read();
    if (!txn) return 2;
    for (const Table table : kTables) {
      std::uint64_t seen = 0;
      const auto done = (*txn)->scan(table, {}, [&](const Item& item) {
        for (const std::uint8_t byte : item.value) sum += byte;
        if (table == Table::kRows) keys.emplace_back(item.key.begin(), item.key.end());
        ++seen;
        return true;
      });
      const auto count = (*txn)->count(table);
      if (!done || !count || *count != seen) return 3;
    }
    for (const Bytes& key : keys) {
      const auto found = (*txn)->get(Table::kRows, key);
      if (!found || !*found) return 4;
    }
  }
  for (std::size_t part = 0; part < 3 && writes; ++part) {
    auto txn = (*store)->begin_write();
    if (!txn) return 5;
    for (std::size_t i = part; i < keys.size(); i += 3) {
      const bool done = part == 0 ? bool((*txn)->erase(Table::kRows, keys[i]))
                                  : bool((*txn)->put(Table::kRows, keys[i], Bytes(part == 1 ? 6000 : 90, 5)));
      if (!done) return 6;
    }
    if (!(*txn)->commit()) return 7;
  }
  return sum == 1 ? 8 : 0;  // keeps the sum
}

int use_in_child(const std::filesystem::path& folder, bool writes = true) {
  const pid_t child = ::fork();
  if (child == 0) ::_exit(use_everything(folder, writes));
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

}  // namespace

TEST_CASE("a sound file passes at every stage of its life, with readers, deletions and long free lists") {
  const test::TempFolder folder = fast_folder();
  test::SeededRandom random(5);
  auto store = REQUIRE_OK(open_lmdb_store(folder.path(), {.create = true}));
  REQUIRE_OK(preflight(folder.path(), PreflightDepth::kFull));
  for (int round = 0; round < 120; ++round) {
    std::unique_ptr<ReadTxn> pin;
    if (round % 3 == 0) pin = REQUIRE_OK(store->begin_read());
    auto txn = REQUIRE_OK(store->begin_write());
    const bool shrinking = round % 20 > 12;
    for (int i = 0; i < 300; ++i) {
      const Table table = kTables.at(random.below(4));
      const Bytes key = key_of(random.below(4000));
      if (shrinking || random.below(3) == 0) {
        REQUIRE_OK(txn->erase(table, key));
      } else {
        REQUIRE_DONE(txn->put(table, key, Bytes(random.below(40) == 0 ? random.below(200'000) : random.below(300), 1)));
      }
    }
    REQUIRE_DONE(txn->commit());
    const StoreInfo expected = REQUIRE_OK(store->info());
    const StoreInfo found = REQUIRE_OK(preflight(folder.path(), PreflightDepth::kFull));
    REQUIRE(found.txnid == expected.txnid);
    REQUIRE(found.file_bytes == expected.file_bytes);
    REQUIRE(REQUIRE_OK(preflight(folder.path(), PreflightDepth::kMetas)).txnid == expected.txnid);
  }
  auto txn = REQUIRE_OK(store->begin_write());
  for (const Table table : kTables) {
    for (std::uint64_t n = 0; n < 4000; ++n) REQUIRE_OK(txn->erase(table, key_of(n)));
  }
  REQUIRE_DONE(txn->commit());
  REQUIRE_OK(preflight(folder.path(), PreflightDepth::kFull));
}

TEST_CASE("a file that ends before its last page passes when only free pages are missing") {
  const test::TempFolder folder;
  auto store = REQUIRE_OK(open_lmdb_store(folder.path(), {.create = true}));
  fill(*store);
  auto txn = REQUIRE_OK(store->begin_write());
  REQUIRE_DONE(txn->put(Table::kRows, key_of(90'000), Bytes(10'000'000, 1)));
  REQUIRE(REQUIRE_OK(txn->erase(Table::kRows, key_of(90'000))));
  REQUIRE_DONE(txn->commit());
  store.reset();
  const Bytes file = read_all(folder / "data.mdb");
  std::uint64_t last = 0;
  for (const std::size_t meta : {std::size_t{0}, std::size_t{load<std::uint32_t>(file, kMetaFreeList)}}) {
    last = std::max(last, load<std::uint64_t>(file, meta + kMetaLastPage));
  }
  REQUIRE(file.size() < last * load<std::uint32_t>(file, kMetaFreeList));
  REQUIRE_OK(preflight(folder.path(), PreflightDepth::kFull));
  REQUIRE(use_in_child(folder.path()) == 0);
}

TEST_CASE("an absent, empty, foreign or loosely kept file is refused") {
  const test::TempFolder folder;
  REQUIRE_ERROR(ErrorCode::kNotFound, preflight(folder.path(), PreflightDepth::kFull));
  write_all(folder / "data.mdb", {});
  REQUIRE_ERROR(ErrorCode::kIntegrity, preflight(folder.path(), PreflightDepth::kMetas));
  write_all(folder / "data.mdb", Bytes(100'000, 0));
  REQUIRE_ERROR(ErrorCode::kIntegrity, preflight(folder.path(), PreflightDepth::kMetas));
  write_all(folder / "data.mdb", Bytes(100'000, 0xFF));
  REQUIRE_ERROR(ErrorCode::kIntegrity, preflight(folder.path(), PreflightDepth::kMetas));
  ::chmod((folder / "data.mdb").c_str(), 0644);
  REQUIRE_ERROR(ErrorCode::kUnsafePermissions, preflight(folder.path(), PreflightDepth::kMetas));
}

TEST_CASE("a file cut at any page, or in one, is refused or reads in full") {
  const Specimen specimen;
  std::size_t refused = 0;
  for (std::size_t size = 0; size < specimen.clean.size(); size += specimen.page_bytes) {
    for (const std::size_t cut : {size, size + 1, size + specimen.page_bytes - 1}) {
      const auto verdict = specimen.check(ByteView(specimen.clean).first(cut));
      if (!verdict) {
        REQUIRE_ERROR(ErrorCode::kIntegrity, verdict);
        ++refused;
      } else {
        REQUIRE(use_in_child(specimen.folder.path()) == 0);
      }
    }
  }
  REQUIRE(refused > specimen.clean.size() / specimen.page_bytes * 2);
}

TEST_CASE("every field of both meta pages is checked") {
  const Specimen specimen;
  for (const std::size_t meta : {std::size_t{0}, specimen.page_bytes}) {
    CAPTURE(meta);
    const auto refuses = [&](std::size_t at, auto value, ErrorCode code = ErrorCode::kIntegrity) {
      Bytes file = specimen.clean;
      store_at(file, meta + at, value);
      CAPTURE(at, value);
      REQUIRE_ERROR(code, specimen.check(file, PreflightDepth::kMetas));
      REQUIRE_ERROR(code, specimen.check(file));
    };
    refuses(0, std::uint64_t{7});            // page number
    refuses(10, std::uint16_t{2});           // kind
    refuses(10, std::uint16_t{0x18});        // dirty
    refuses(16, std::uint32_t{0xDEC0EFBE});  // magic of the other byte order
    refuses(20, std::uint32_t{2}, ErrorCode::kUnsupported);
    refuses(24, std::uint64_t{0x7000'0000'0000});  // fixed address
    for (const std::uint32_t size : {0U, 1U, 512U, 2048U, 4095U, 4097U, 8192U, 65536U, 0x8000'0000U, ~0U}) {
      if (size != specimen.page_bytes) refuses(kMetaFreeList, size);
    }
    for (const int flags : {0, 4, 0x0C, 0x4008, 0xFFFF}) refuses(kMetaFreeList + 4, static_cast<std::uint16_t>(flags));
    for (const int flags : {1, 2, 4, 8, 0x10, 0x8000}) refuses(kMetaMain + 4, static_cast<std::uint16_t>(flags));
    refuses(kMetaMain, std::uint32_t{8});  // pad
    for (const std::size_t db : {kMetaFreeList, kMetaMain}) {
      if (meta != specimen.newest) continue;  // the trees of the other are not used
      for (const int depth : {0, 33, 0xFFFF}) refuses(db + 6, static_cast<std::uint16_t>(depth));
      for (const std::uint64_t root :
           {std::uint64_t{0}, std::uint64_t{1}, std::uint64_t{1} << 40U, ~std::uint64_t{0}, ~std::uint64_t{0} - 1}) {
        refuses(db + 40, root);
      }
      refuses(db + 32, std::uint64_t{0});  // entries
    }
    for (const std::uint64_t last : {std::uint64_t{0}, std::uint64_t{1}, std::uint64_t{1} << 40U, ~std::uint64_t{0}}) {
      if (last != 1 || meta == specimen.newest) refuses(kMetaLastPage, last);
    }
    refuses(kMetaTxnid, ~std::uint64_t{0});
    refuses(kMetaTxnid, load<std::uint64_t>(specimen.clean, meta + kMetaTxnid) + 1);
  }
}

TEST_CASE("the known attacks on trees, tables, nodes and the free list are refused by name") {
  const Specimen specimen;
  const std::size_t main_root = specimen.root_of(specimen.newest + kMetaMain);
  const std::size_t rows = specimen.table_record(2);
  const std::size_t rows_root = specimen.root_of(rows);
  const std::size_t free_root = specimen.root_of(specimen.newest + kMetaFreeList);
  const std::size_t small = specimen.row(false);
  const std::size_t big = specimen.row(true);
  REQUIRE_OK(specimen.check(specimen.clean));
  REQUIRE(load<std::uint16_t>(specimen.clean, rows + 6) == 2);
  REQUIRE(load<std::uint16_t>(specimen.clean, free_root + 10) == 2);
  REQUIRE(std::memcmp(specimen.clean.data() + specimen.node(main_root, 2) + 8, "rows", 4) == 0);

  const auto refuses = [&](std::string_view why, std::size_t at, auto value) {
    Bytes file = specimen.clean;
    store_at(file, at, value);
    CAPTURE(why, at, value);
    const auto verdict = specimen.check(file);
    REQUIRE_ERROR(ErrorCode::kIntegrity, verdict);
    REQUIRE_THAT(verdict.error().message, Catch::Matchers::Contains(std::string(why)));
  };
  refuses("other than the tables", specimen.node(main_root, 2) + 8 + 3, 'z');
  for (const int flags : {0, 1, 4, 6}) refuses("", specimen.node(main_root, 2) + 4, static_cast<std::uint16_t>(flags));
  refuses("other than the tables", specimen.node(main_root, 2), std::uint16_t{47});
  for (const int flags : {2, 4, 8, 0x10, 0x20, 0x40}) refuses("flags", rows + 4, static_cast<std::uint16_t>(flags));
  refuses("flags", rows, std::uint32_t{4});
  refuses("wrong kind", rows + 6, std::uint16_t{1});
  refuses("wrong kind", rows + 6, std::uint16_t{3});
  refuses("entries", rows + 32, load<std::uint64_t>(specimen.clean, rows + 32) + 1);
  refuses("in use", rows + 40, std::uint64_t{main_root / specimen.page_bytes});
  refuses("fit together", rows + 40, std::uint64_t{1});

  for (const int flags : {0, 2, 3, 4, 0x11, 0x21, 0x41, 0x4001, 0x8001}) {
    refuses("wrong kind", rows_root + 10, static_cast<std::uint16_t>(flags));
  }
  refuses("another page's number", rows_root, std::uint64_t{3});
  refuses("bounds", rows_root + 12, std::uint16_t{14});
  refuses("bounds", rows_root + 12, std::uint16_t{17});
  refuses("bounds", rows_root + 12, std::uint16_t{0xFFFE});
  refuses("too few", rows_root + 12, std::uint16_t{16});
  refuses("too few", rows_root + 12, std::uint16_t{18});
  refuses("bounds", rows_root + 14, static_cast<std::uint16_t>(specimen.page_bytes + 2));
  refuses("outside", rows_root + kHeader, std::uint16_t{8});
  refuses("outside", rows_root + kHeader, static_cast<std::uint16_t>(specimen.page_bytes - 4));
  refuses("outside", rows_root + kHeader + 2,
          static_cast<std::uint16_t>(load<std::uint16_t>(specimen.clean, rows_root + kHeader + 2) + 1));
  refuses("overlap", rows_root + kHeader + 2, load<std::uint16_t>(specimen.clean, rows_root + kHeader));
  refuses("in use", specimen.node(rows_root, 1), load<std::uint16_t>(specimen.clean, specimen.node(rows_root, 0)));
  refuses("in use", specimen.node(rows_root, 1), static_cast<std::uint16_t>(rows_root / specimen.page_bytes));
  refuses("beyond", specimen.node(rows_root, 1) + 4, std::uint16_t{1});
  refuses("does not exist", specimen.node(rows_root, 1), std::uint16_t{1});
  refuses("do not ascend", specimen.node(rows_root, 1) + 8, std::uint64_t{0});

  refuses("flags", small + 4, std::uint16_t{4});
  refuses("", small + 4, std::uint16_t{2});
  refuses("too long", small + 2, std::uint16_t{1});
  refuses("too long", small + 6, std::uint16_t{0xFFFF});
  refuses("length", small + 6, std::uint16_t{0});
  const std::uint64_t run = load<std::uint64_t>(specimen.clean, big + 8 + 16);
  refuses("beyond", big + 8 + 16, std::uint64_t{1} << 40U);
  refuses("beyond", big + 8 + 16, ~std::uint64_t{0});
  refuses("", big + 8 + 16, run + 1);
  refuses("does not exist", big + 8 + 16, std::uint64_t{0});
  refuses("", big + 8 + 16, std::uint64_t{free_root / specimen.page_bytes});
  refuses("too long", big + 2, std::uint16_t{0xFFFF});
  refuses("", big + 2, std::uint16_t{0x7F});
  refuses("long value", specimen.page(run) + 12, std::uint32_t{0});
  refuses("beyond", specimen.page(run) + 12, ~std::uint32_t{0});
  refuses("long value", specimen.page(run) + 10, std::uint16_t{0x14});
  refuses("long value", specimen.page(run), run + 1);

  const std::size_t freed = specimen.node(free_root, 0);  // key at 8, count at 16, pages from 24
  refuses("never was", freed + 8, std::uint64_t{0});
  refuses("", freed + 8, std::uint64_t{1} << 50U);
  refuses("length", freed + 6, std::uint16_t{7});
  refuses("too short", freed + 16, std::uint64_t{1} << 60U);
  refuses("does not exist", freed + 24, std::uint64_t{1} << 60U);
  refuses("in use", freed + 24, std::uint64_t{free_root / specimen.page_bytes});  // the last page: still descending
  refuses("does not exist", freed + 16 + 8 * load<std::uint64_t>(specimen.clean, freed + 16), std::uint64_t{1});
}

TEST_CASE("tables that casevault never makes are refused") {
  const test::TempFolder folder;
  {
    REQUIRE_OK(open_lmdb_store(folder.path(), {.create = true}));
  }
  MDB_env* env = nullptr;
  MDB_txn* txn = nullptr;
  MDB_dbi dbi = 0;
  const bool foreign_table = GENERATE(true, false);
  REQUIRE(::mdb_env_create(&env) == 0);
  REQUIRE(::mdb_env_set_maxdbs(env, 8) == 0);
  REQUIRE(::mdb_env_open(env, folder.path().c_str(), 0, 0600) == 0);
  REQUIRE(::mdb_txn_begin(env, nullptr, 0, &txn) == 0);
  if (foreign_table) {
    REQUIRE(::mdb_dbi_open(txn, "extra", MDB_CREATE, &dbi) == 0);
  } else {
    REQUIRE(::mdb_dbi_open(txn, "rows", 0, &dbi) == 0);
    REQUIRE(::mdb_drop(txn, dbi, 1) == 0);
    REQUIRE(::mdb_dbi_open(txn, "rows", MDB_CREATE | MDB_DUPSORT, &dbi) == 0);
  }
  REQUIRE(::mdb_txn_commit(txn) == 0);
  ::mdb_env_close(env);
  REQUIRE_ERROR(ErrorCode::kIntegrity, preflight(folder.path(), PreflightDepth::kFull));
  if (!foreign_table) REQUIRE_ERROR(ErrorCode::kIntegrity, open_lmdb_store(folder.path(), {}));
}

TEST_CASE("no seeded mutation that passes the preflight can kill or mislead LMDB") {
  const Specimen specimen;
  test::SeededRandom random(2026);
#ifdef __SANITIZE_ADDRESS__  // each accepted mutant costs a fork, which is slow there
  constexpr int kMutants = 500;
#else
  constexpr int kMutants = 4000;
#endif
  std::vector<std::size_t> tree_pages;
  for (std::size_t page = 2 * specimen.page_bytes; page < specimen.clean.size(); page += specimen.page_bytes) {
    Bytes file = specimen.clean;
    store_at(file, page, ~std::uint64_t{0});  // noticed if the page is in use
    if (load<std::uint16_t>(file, page + 10) <= 2 && !specimen.check(file)) tree_pages.push_back(page);
  }
  const auto choose = [&]() -> std::size_t {
    const std::size_t page = tree_pages.at(random.below(tree_pages.size()));
    const std::size_t nodes = (load<std::uint16_t>(specimen.clean, page + 12) - kHeader) / 2U;
    switch (random.below(8)) {
      case 0:
        return random.below(specimen.clean.size());
      case 1:
        return random.below(2) * specimen.page_bytes + random.below(152);  // a meta
      case 2:
      case 3:
        return page + random.below(kHeader);
      case 4:
        return page + kHeader + random.below(2 * nodes);  // a pointer
      default:
        return specimen.node(page, random.below(nodes)) + random.below(32);
    }
  };
  int passed = 0;
  bool dirty = true;
  for (int mutant = 0; mutant < kMutants; ++mutant) {
    if (dirty) write_all(specimen.path(), specimen.clean);
    dirty = false;
    const int fd = ::open(specimen.path().c_str(), O_RDWR);
    std::vector<std::size_t> touched;
    for (std::uint64_t i = 1 + random.below(3); i > 0; --i) {
      const std::size_t at = std::min(choose(), specimen.clean.size() - 1);
      auto fresh = static_cast<std::uint8_t>(random.below(256));
      if (random.below(2) == 0) fresh = static_cast<std::uint8_t>(specimen.clean[at] ^ (1U << random.below(8)));
      touched.push_back(at);
      REQUIRE(::pwrite(fd, &fresh, 1, static_cast<off_t>(at)) == 1);
    }
    if (preflight(specimen.folder.path(), PreflightDepth::kFull)) {
      dirty = ++passed % 8 == 0;  // a use that writes is the slow one
      CAPTURE(mutant, touched);
      REQUIRE(use_in_child(specimen.folder.path(), dirty) == 0);
    }
    for (const std::size_t at : touched) {
      REQUIRE(::pwrite(fd, &specimen.clean[at], 1, static_cast<off_t>(at)) == 1);
    }
    ::close(fd);
  }
  CAPTURE(passed);
  REQUIRE(passed > kMutants / 20);  // values and unused space may be anything: casevault authenticates what it reads
  REQUIRE(passed < kMutants / 2);
}

TEST_CASE("time of a full preflight", "[.timing]") {
  const std::size_t value_bytes = GENERATE(std::size_t{40}, std::size_t{400});
  const test::TempFolder folder;
  auto store = REQUIRE_OK(open_lmdb_store(folder.path(), {.create = true}));
  test::SeededRandom random(1);
  for (int part = 0; part < 20; ++part) {  // random order: the leaves lie scattered
    auto txn = REQUIRE_OK(store->begin_write());
    for (int i = 0; i < 20'000; ++i) {
      REQUIRE_DONE(txn->put(Table::kRows, key_of(random.below(1U << 30U)), Bytes(value_bytes, 1)));
    }
    REQUIRE_DONE(txn->commit());
  }
  const auto start = std::chrono::steady_clock::now();
  const StoreInfo info = REQUIRE_OK(preflight(folder.path(), PreflightDepth::kFull));
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
  std::cout << "preflight, values of " << value_bytes << ": "
            << static_cast<double>(info.file_bytes) / took.count() / 1e9 << " GB/s of " << info.file_bytes / 1'000'000
            << " MB\n";
}
