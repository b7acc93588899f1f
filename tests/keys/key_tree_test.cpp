// SPDX-License-Identifier: Apache-2.0
#include "keys/key_tree.hpp"

#include <algorithm>
#include <set>

#include "base/cursor.hpp"
#include "catch.hpp"
#include "support/faulty_store.hpp"
#include "support/fixed_environment.hpp"

namespace casevault::test {
namespace {

using keys::TreeKind;
using store::Table;

struct Fixture {
  FixedEnvironment environment;
  keys::VaultTag vault{7};
  keys::KeyTree tree{vault, environment.random};
  SecretBytes erk = crypto::random_key(environment.random);
  std::unique_ptr<store::Store> store = store::make_memory_store();

  void put(std::uint64_t slot, const SecretBytes& secret, TreeKind kind = TreeKind::kEpochHalves) {
    auto txn = REQUIRE_OK(store->begin_write());
    REQUIRE_DONE(tree.put_slot(*txn, erk, kind, slot, secret));
    REQUIRE_DONE(txn->commit());
  }
  Result<SecretBytes> get(std::uint64_t slot, TreeKind kind = TreeKind::kEpochHalves) {
    auto txn = REQUIRE_OK(store->begin_read());
    return tree.get_slot(*txn, erk, kind, slot);
  }
  SecretBytes make_leaf(std::uint64_t leaf, TreeKind kind = TreeKind::kRecords) {
    auto txn = REQUIRE_OK(store->begin_write());
    SecretBytes key = REQUIRE_OK(tree.make_leaf(*txn, erk, kind, leaf));
    REQUIRE_DONE(txn->commit());
    return key;
  }
  Result<SecretBytes> leaf(std::uint64_t number, TreeKind kind = TreeKind::kRecords) {
    auto txn = REQUIRE_OK(store->begin_read());
    return tree.leaf_key(*txn, erk, kind, number);
  }
  std::vector<std::pair<Bytes, Bytes>> rows() {
    std::vector<std::pair<Bytes, Bytes>> out;
    auto txn = REQUIRE_OK(store->begin_read());
    REQUIRE_DONE(txn->scan(Table::kTree, {}, [&](const store::Item& item) {
      out.emplace_back(Bytes(item.key.begin(), item.key.end()), Bytes(item.value.begin(), item.value.end()));
      return true;
    }));
    return out;
  }
  void set(ByteView key, ByteView value) {
    auto txn = REQUIRE_OK(store->begin_write());
    REQUIRE_DONE(txn->put(Table::kTree, key, value));
    REQUIRE_DONE(txn->commit());
  }
};

Bytes row_key(TreeKind kind, std::uint8_t level, std::uint64_t index) {
  Bytes out;
  base::Writer(out).u8(static_cast<std::uint8_t>(kind)).u8(level).u64(index);
  return out;
}

TEST_CASE("compartmented: leaf node keys of all leaves and kinds differ, and come back as they were made") {
  Fixture f;
  std::set<std::string> seen;
  std::vector<std::pair<std::uint64_t, SecretBytes>> made;
  for (const std::uint64_t leaf : {0U, 1U, 255U, 256U, 257U, 65535U, 65536U, 16777215U}) {
    for (const TreeKind kind :
         {TreeKind::kRecords, TreeKind::kEpochHalves, TreeKind::kIndexGenerations, TreeKind::kLogMonths}) {
      SecretBytes key = f.make_leaf(leaf, kind);
      CHECK(seen.insert(std::string(key.text())).second);
      CHECK(REQUIRE_OK(f.leaf(leaf, kind)).equals(key.view()));
      CHECK(f.make_leaf(leaf, kind).equals(key.view()));  // making what exists changes nothing
    }
  }
  auto txn = REQUIRE_OK(f.store->begin_write());
  REQUIRE_ERROR(ErrorCode::kUnsupported, f.tree.make_leaf(*txn, f.erk, TreeKind::kRecords, keys::kMaxLeaf + 1));
}

TEST_CASE("sealed: no row of the key tree holds a key in clear") {
  Fixture f;
  const SecretBytes secret = crypto::random_key(f.environment.random);
  f.put(5, secret);
  const SecretBytes leaf = f.make_leaf(0, TreeKind::kEpochHalves);
  for (const auto& [key, value] : f.rows()) {
    CHECK(value.size() == 12 + 32 + 16);
    for (const SecretBytes* each : std::initializer_list<const SecretBytes*>{&secret, &leaf, &f.erk}) {
      CHECK(std::ranges::search(value, each->view().first(8)).empty());
    }
  }
}

TEST_CASE("erasable: without the root that lies outside the database nothing of the tree opens") {
  Fixture f;
  f.put(5, crypto::random_key(f.environment.random));
  f.make_leaf(3);
  f.erk = crypto::random_key(f.environment.random);
  REQUIRE_ERROR(ErrorCode::kIntegrity, f.get(5));
  REQUIRE_ERROR(ErrorCode::kIntegrity, f.leaf(3));
  auto txn = REQUIRE_OK(f.store->begin_write());
  REQUIRE_ERROR(ErrorCode::kIntegrity, f.tree.make_leaf(*txn, f.erk, TreeKind::kRecords, 4));
  REQUIRE_ERROR(ErrorCode::kIntegrity, f.tree.replace_leaf(*txn, f.erk, TreeKind::kRecords, 3));
}

TEST_CASE("bound: rows of the tree that were flipped, cut, swapped or moved to another vault do not open") {
  Fixture f;
  std::vector<SecretBytes> secrets;
  for (const std::uint64_t slot : {0U, 1U, 256U, 65536U}) {
    secrets.push_back(crypto::random_key(f.environment.random));
    f.put(slot, secrets.back());
  }
  const std::vector<std::uint64_t> slots = {0, 1, 256, 65536};
  const auto all_right_or_refused = [&] {
    bool refused = false;
    for (std::size_t i = 0; i < slots.size(); ++i) {
      const auto got = f.get(slots[i]);
      if (got) {
        REQUIRE(got->equals(secrets[i].view()));
      } else {
        REQUIRE(got.error().code == ErrorCode::kIntegrity);
        refused = true;
      }
    }
    return refused;
  };
  REQUIRE_FALSE(all_right_or_refused());
  const auto rows = f.rows();

  SECTION("flipped or cut") {
    for (const auto& [key, value] : rows) {
      for (std::size_t i = 0; i < value.size(); ++i) {
        Bytes altered = value;
        altered[i] ^= 0x40;
        f.set(key, altered);
        REQUIRE(all_right_or_refused());
      }
      f.set(key, ByteView(value).first(value.size() - 1));
      REQUIRE(all_right_or_refused());
      f.set(key, {});
      REQUIRE(all_right_or_refused());
      f.set(key, value);
    }
    REQUIRE_FALSE(all_right_or_refused());
  }
  SECTION("swapped") {
    for (std::size_t a = 0; a < rows.size(); ++a) {
      for (std::size_t b = a + 1; b < rows.size(); ++b) {
        f.set(rows[a].first, rows[b].second);
        f.set(rows[b].first, rows[a].second);
        REQUIRE(all_right_or_refused());
        f.set(rows[a].first, rows[a].second);
        f.set(rows[b].first, rows[b].second);
      }
    }
  }
  SECTION("missing") {
    for (const auto& [key, value] : rows) {
      auto txn = REQUIRE_OK(f.store->begin_write());
      REQUIRE(REQUIRE_OK(txn->erase(Table::kTree, key)));
      REQUIRE_DONE(txn->commit());
      REQUIRE(all_right_or_refused());
      f.set(key, value);
    }
  }
  SECTION("another vault") {
    const keys::KeyTree other(keys::VaultTag{8}, f.environment.random);
    auto txn = REQUIRE_OK(f.store->begin_read());
    REQUIRE_ERROR(ErrorCode::kIntegrity, other.get_slot(*txn, f.erk, TreeKind::kEpochHalves, 0));
  }
}

TEST_CASE("erasable: a slot is never written twice") {
  Fixture f;
  const SecretBytes first = crypto::random_key(f.environment.random);
  f.put(9, first);
  auto txn = REQUIRE_OK(f.store->begin_write());
  REQUIRE_ERROR(ErrorCode::kInternal,
                f.tree.put_slot(*txn, f.erk, TreeKind::kEpochHalves, 9, crypto::random_key(f.environment.random)));
  txn.reset();
  CHECK(REQUIRE_OK(f.get(9)).equals(first.view()));
  REQUIRE_ERROR(ErrorCode::kIntegrity, f.get(10));
}

TEST_CASE("rotatable: a replaced leaf node has a new key, its neighbours keep theirs, its old rows are out of reach") {
  Fixture f;
  const SecretBytes before = f.make_leaf(3);
  const SecretBytes neighbour = f.make_leaf(4);
  f.put(3 * keys::kFanout, before);  // a slot wrapped under a leaf of another kind
  f.make_leaf(3, TreeKind::kEpochHalves);
  const Bytes old_row = [&] {
    auto txn = REQUIRE_OK(f.store->begin_read());
    const auto value = REQUIRE_OK(txn->get(Table::kTree, row_key(TreeKind::kRecords, 0, 3)));
    return Bytes(value->begin(), value->end());
  }();
  {
    auto txn = REQUIRE_OK(f.store->begin_write());
    const SecretBytes fresh = REQUIRE_OK(f.tree.replace_leaf(*txn, f.erk, TreeKind::kRecords, 3));
    CHECK_FALSE(fresh.equals(before.view()));
    CHECK(REQUIRE_OK(f.tree.leaf_key(*txn, f.erk, TreeKind::kRecords, 3)).equals(fresh.view()));
    const SecretBytes halves = REQUIRE_OK(f.tree.replace_leaf(*txn, f.erk, TreeKind::kEpochHalves, 3));
    REQUIRE_DONE(txn->commit());
  }
  CHECK(REQUIRE_OK(f.leaf(4)).equals(neighbour.view()));
  REQUIRE_ERROR(ErrorCode::kIntegrity, f.get(3 * keys::kFanout));
  auto txn = REQUIRE_OK(f.store->begin_write());
  REQUIRE_ERROR(ErrorCode::kIntegrity, f.tree.replace_leaf(*txn, f.erk, TreeKind::kRecords, 70000));
  // Without re-keying the path the old row still opens under its parent: that is what an erasure must not rely on.
  REQUIRE_DONE(txn->put(Table::kTree, row_key(TreeKind::kRecords, 0, 3), old_row));
  CHECK(REQUIRE_OK(f.tree.leaf_key(*txn, f.erk, TreeKind::kRecords, 3)).equals(before.view()));
}

TEST_CASE("erasable: a dropped leaf node is gone with every way to its slots") {
  Fixture f;
  const SecretBytes before = f.make_leaf(3);
  const SecretBytes neighbour = f.make_leaf(2);
  {
    auto txn = REQUIRE_OK(f.store->begin_write());
    REQUIRE_DONE(f.tree.drop_leaf(*txn, TreeKind::kRecords, 3));
    REQUIRE_DONE(f.tree.drop_leaf(*txn, TreeKind::kRecords, 3));
    REQUIRE_DONE(f.tree.drop_leaf(*txn, TreeKind::kRecords, 9999));
    REQUIRE_DONE(txn->commit());
  }
  REQUIRE_ERROR(ErrorCode::kIntegrity, f.leaf(3));
  CHECK(REQUIRE_OK(f.leaf(2)).equals(neighbour.view()));
  CHECK_FALSE(f.make_leaf(3).equals(before.view()));
}

TEST_CASE("durable: a write that fails anywhere in the making of a path leaves the tree as it was") {
  for (int nth = 1; nth <= 4; ++nth) {
    CAPTURE(nth);
    Fixture f;
    auto owned = std::make_unique<FaultyStore>(std::move(f.store));
    FaultyStore& faulty = *owned;
    f.store = std::move(owned);
    faulty.faults().write_in = nth;
    {
      auto txn = REQUIRE_OK(f.store->begin_write());
      REQUIRE_ERROR(ErrorCode::kIo,
                    f.tree.put_slot(*txn, f.erk, TreeKind::kEpochHalves, 0, crypto::random_key(f.environment.random)));
      REQUIRE_FALSE(txn->commit().has_value());
    }
    faulty.faults().write_in = 0;
    CHECK(f.rows().empty());
    const SecretBytes secret = crypto::random_key(f.environment.random);
    f.put(0, secret);
    CHECK(REQUIRE_OK(f.get(0)).equals(secret.view()));
  }
}

}  // namespace
}  // namespace casevault::test
