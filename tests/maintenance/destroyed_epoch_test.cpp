// SPDX-License-Identifier: Apache-2.0
#include <set>

#include "killed_child.hpp"
#include "maintained.hpp"
#include "vault/row_key.hpp"

/// The end of an epoch, and a thief who has everything but the old root.
namespace casevault::test {
namespace {

constexpr keys::EpochName kEnded{1, 1};  // identity:1

Bytes bytes_of(const SecretBytes& secret) { return {secret.view().begin(), secret.view().end()}; }

/// Every 32-byte key that somebody holds or comes to.
struct Keys {
  std::set<Bytes> all;

  void take(ByteView key) { all.emplace(key.begin(), key.end()); }
  /// Opens every row of the present key tree, from the root down.
  void take_tree(store::ReadTxn& txn, const keys::VaultTag& tag, const SecretBytes& root) {
    std::map<Bytes, Bytes> nodes;
    for (const unsigned level : {2U, 1U, 0U, 0xFFU}) {
      REQUIRE_DONE(txn.scan(store::Table::kTree, {}, [&](const store::Item& item) {
        base::Reader in(item.key);
        const std::uint8_t kind = in.u8();
        if (in.u8() != level) return true;
        const std::uint64_t index = in.u64();
        Bytes parent = bytes_of(root);
        if (level != 2) {
          Bytes above;
          base::Writer(above).u8(kind).u8(level == 0xFF ? 0 : static_cast<std::uint8_t>(level + 1)).u64(index / 256);
          parent = nodes.at(above);
        }
        const auto key = unwrap_tree_row(tag, item.key, item.value, parent);
        REQUIRE(key);
        nodes.emplace(Bytes(item.key.begin(), item.key.end()), *key);
        take(*key);
        return true;
      }));
    }
  }
  /// All that a principal has, is given by the log, and reads in the database, after the end of the epoch.
  void take_from(vault::Core& core, const Person& who) {
    const vault::Snapshot snapshot = REQUIRE_OK(core.snapshot());
    const vault::AuthorityState& state = snapshot.authority->state;
    take(who.x_secret);
    take(who.ed_seed);
    take(state.id_key.view());
    take(state.log_seed.view());
    for (std::uint32_t epoch = 1; epoch <= state.vault_key_epoch; ++epoch) {
      take(REQUIRE_OK(core.journal().vault_key(epoch))->view());
    }
    for (const auto& [name, epoch] : state.epochs) {
      const auto granted = core.granted_key(*snapshot.authority, name);
      if (!granted) continue;
      take(granted->view());
      const auto key = core.epoch_key(*snapshot.txn, snapshot.db, *snapshot.authority, name);
      REQUIRE(key.has_value() == (name != kEnded));
      if (key) take((*key)->view());
    }
    take(snapshot.db.root_key->view());
    take_tree(*snapshot.txn, core.tag(), *snapshot.db.root_key);
    REQUIRE_DONE(core.scan_rows(
        *snapshot.txn, snapshot.db, 0, [&](std::uint64_t row, const model::OpenedRow& opened) -> Result<bool> {
          take(opened.head.record_key.view());
          if (row % keys::kFanout == 0) {
            const auto leaf = REQUIRE_OK(core.leaf_key(*snapshot.txn, snapshot.db, row / keys::kFanout));
            take(leaf->seal.view());
            take(leaf->mask.view());
          }
          return true;
        }));
  }
};

/// A cell of the ended epoch in the older copy, with all about it that the thief can read.
struct OldCell {
  std::uint64_t row = 0;
  Bytes record_key;
  model::CellEntry entry;
  Bytes bytes;
};

/// Heads of the older copy open by the leaf nodes of the present tree, which an end of an epoch does not change.
std::vector<OldCell> old_cells(vault::Core& core, store::ReadTxn& old) {
  const vault::Snapshot snapshot = REQUIRE_OK(core.snapshot());
  std::vector<OldCell> out;
  REQUIRE_DONE(old.scan(store::Table::kRows, {}, [&](const store::Item& item) {
    const std::uint64_t row = vault::row_of_key(item.key);
    const auto leaf = REQUIRE_OK(core.leaf_key(*snapshot.txn, snapshot.db, row / keys::kFanout));
    const model::OpenedRow opened = REQUIRE_OK(model::open_row(core.row_context(row), item.value, *leaf));
    for (std::size_t i = 0; i < opened.head.cells.size(); ++i) {
      const model::CellEntry& entry = opened.head.cells[i];
      if (entry.compartment != kEnded.compartment) continue;
      REQUIRE(entry.epoch == kEnded.epoch);
      const ByteView bytes = REQUIRE_OK(opened.cell_bytes(i));
      out.push_back({row, bytes_of(opened.head.record_key), entry, {bytes.begin(), bytes.end()}});
    }
    return true;
  }));
  return out;
}

Result<model::CellOpener> open_cell(vault::Core& core, const Compartment& compartment, const OldCell& cell,
                                    const SecretBytes& key) {
  const SecretBytes record_key = SecretBytes::copy(cell.record_key);
  return model::CellOpener::make(core.row_context(cell.row), compartment, cell.entry, cell.bytes, crypto::key_of(key),
                                 crypto::key_of(record_key));
}

TEST_CASE(
    "rotatable: with writers at work the census of 20,000 records comes to zero, and after destroy no key that anybody "
    "has opens a cell of an older copy") {
  constexpr std::uint64_t kRecords = 20'000;
  const Lab lab;
  Person officer;
  RecordId written;
  {
    Session session = lab.open();
    officer = lab.add(session, "officer", "officer", {"identity", "contact"});
    Rows rows(kRecords);
    REQUIRE_OK(session.import_rows("person", rows));
    written = add_person(session, "Written 0").id;
  }
  lab.save("old");

  // The officer writes until somebody ends it, telling of each.
  Channel<std::uint32_t> channel;
  const pid_t writer = ::fork();
  REQUIRE(writer >= 0);
  if (writer == 0) {
    auto session = Session::open(lab.vault(), officer.identity(), lab.options());
    for (std::uint32_t n = 1; session; ++n) {
      const std::string name = "Written " + std::to_string(n);
      const FieldInput change[] = {{"full_name", name}};
      const FieldInput fresh[] = {{"full_name", "New"}};
      if (!patiently([&] { return session->update(written, change); }) ||
          !patiently([&] { return session->add("person", fresh); }) || !channel.tell(n)) {
        break;
      }
    }
    ::_exit(1);
  }
  std::uint32_t acknowledged = 0;
  const auto writes_on = [&] {
    const std::optional<std::uint32_t> next = channel.next();
    REQUIRE(next);
    acknowledged = *next;
  };
  writes_on();
  {
    Session session = lab.open();
    REQUIRE_OK(patiently([&] { return session.rotate("identity"); }));
    writes_on();
    const Reencryption moved = REQUIRE_OK(patiently([&] { return session.reencrypt({}); }));
    CHECK(moved.finished);
    CHECK(moved.done >= kRecords);
    writes_on();
    const Census census = REQUIRE_OK(patiently([&] { return session.census(); }));
    CHECK(census.old_cells == 0);
    REQUIRE(census.entry);
    writes_on();
    REQUIRE_OK(patiently([&] { return session.destroy_epoch("identity", 1); }));
    writes_on();
    ::kill(writer, SIGKILL);
    REQUIRE(was_killed(wait_for(writer)));
    for (const std::uint32_t n : channel.all()) acknowledged = n;
    const std::string name = name_of(session, written);
    CHECK((name == "Written " + std::to_string(acknowledged) || name == "Written " + std::to_string(acknowledged + 1)));
    CHECK(state_of(session, "identity", 1) == "destroyed");
    CHECK(key_info(session, "identity", 2).cells > kRecords);
    require_sound(session);
  }
  {
    Session session = lab.open();  // settles what the writer left
    require_sound(session);
  }
  CHECK(healthy(lab));

  Keys thief;
  thief.take_from(*lab.core(officer), officer);
  const auto core = lab.core();
  thief.take_from(*core, lab.owner);
  CHECK(thief.all.size() > kRecords);
  const vault::Snapshot snapshot = REQUIRE_OK(core->snapshot());
  const vault::EpochState& epoch = snapshot.authority->state.epochs.at(kEnded);
  const Compartment& compartment = *snapshot.authority->schema().find_compartment("identity");
  // The old grants are in the log, and open still: to the granted part, which is not the key.
  const SecretBytes granted = REQUIRE_OK(core->granted_key(*snapshot.authority, kEnded));
  REQUIRE_ERROR(ErrorCode::kErased, core->epoch_key(*snapshot.txn, snapshot.db, *snapshot.authority, kEnded));

  store::LmdbOptions look;
  look.read_only = true;
  const auto old_store = REQUIRE_OK(store::open_lmdb_store(lab.folder / "old", look));
  const auto old = REQUIRE_OK(old_store->begin_read());
  const std::vector<OldCell> cells = old_cells(*core, *old);
  REQUIRE(cells.size() == kRecords + 1);
  for (const OldCell& cell : cells) thief.take(cell.record_key);

  // No key opens a row on the way to the half, is the half, or is the key.
  const keys::KeyTree tree(core->tag(), core->random());
  REQUIRE_ERROR(ErrorCode::kIntegrity,
                tree.get_slot(*old, *snapshot.db.root_key, keys::TreeKind::kEpochHalves, epoch.half_slot));
  std::size_t rows = 0;
  REQUIRE_DONE(old->scan(store::Table::kTree, {}, [&](const store::Item& item) {
    if (base::Reader(item.key).u8() != static_cast<std::uint8_t>(keys::TreeKind::kEpochHalves)) return true;
    ++rows;
    for (const Bytes& key : thief.all) REQUIRE_FALSE(unwrap_tree_row(core->tag(), item.key, item.value, key));
    return true;
  }));
  CHECK(rows == 7);  // three nodes, and the halves of four compartments
  for (const Bytes& each : thief.all) {
    const SecretBytes key = SecretBytes::copy(each);
    REQUIRE_FALSE(open_cell(*core, compartment, cells[0], key).has_value());
    REQUIRE_FALSE(
        open_cell(*core, compartment, cells[0], keys::epoch_key(core->tag(), kEnded, granted, key)).has_value());
  }
  const auto next = REQUIRE_OK(core->epoch_key(*snapshot.txn, snapshot.db, *snapshot.authority, {1, 2}));
  for (const OldCell& cell : cells) {
    REQUIRE_FALSE(open_cell(*core, compartment, cell, granted).has_value());
    REQUIRE_FALSE(open_cell(*core, compartment, cell, *next).has_value());
  }

  // The limit of level E1: with the old root as well, every cell opens. So it was the root that was missing.
  const Bytes vault_key = bytes_of(*REQUIRE_OK(core->journal().vault_key(1)));
  const SecretBytes old_vault_key = SecretBytes::copy(vault_key);
  const vault::StateRow state_row = REQUIRE_OK(vault::read_state_row(*old));
  const vault::DbState old_state = REQUIRE_OK(vault::decode_state({core->tag(), &old_vault_key}, state_row));
  const keys::RootContext context{core->tag(), 1, &old_vault_key};
  REQUIRE_ERROR(ErrorCode::kRolledBack, keys::ErasureRoot::load(lab.vault() / "erasure.root", context, old_state.root));
  const SecretBytes old_root =
      REQUIRE_OK(keys::ErasureRoot::load(lab.folder / "old" / "erasure.root", context, old_state.root));
  const SecretBytes half = REQUIRE_OK(tree.get_slot(*old, old_root, keys::TreeKind::kEpochHalves, epoch.half_slot));
  const SecretBytes key = REQUIRE_OK(keys::checked_epoch_key(core->tag(), kEnded, granted, half, epoch.commitments));
  CHECK_FALSE(thief.all.contains(bytes_of(half)));
  for (const OldCell& cell : cells) {
    model::CellOpener opener = REQUIRE_OK(open_cell(*core, compartment, cell, key));
    REQUIRE(REQUIRE_OK(opener.open(1)));
  }
}

}  // namespace
}  // namespace casevault::test
