// SPDX-License-Identifier: Apache-2.0
#include "vault/epochs.hpp"

#include "vault/vault_key.hpp"

#include <algorithm>

namespace casevault::vault {
namespace {

/// The ops that open the successor of `before`, sealed to exactly those who hold it.
Result<std::vector<AuthorityOp>> successor(UnitOfWork& work, keys::EpochName before, const SecretBytes& past) {
  Core& core = work.core();
  const keys::EpochName name{before.compartment, before.epoch + 1};
  const SecretBytes granted = crypto::random_key(core.random());
  const SecretBytes half = crypto::random_key(core.random());
  const std::uint64_t slot = work.db().next_half_slot++;
  const keys::KeyTree tree(core.tag(), core.random());
  CASEVAULT_CHECK(tree.put_slot(work.txn(), *work.db().root_key, keys::TreeKind::kEpochHalves, slot, half));
  std::vector<AuthorityOp> ops;
  const std::int64_t now = work.now_ms();
  for (const auto& [number, compartment] : work.authority().state.expired(now)) {
    if (compartment == before.compartment) ops.emplace_back(OpEndGrant{number, compartment});
  }
  ops.emplace_back(OpEpoch{
      name, keys::commit_epoch(core.tag(), name, granted, keys::epoch_key(core.tag(), name, granted, half)), slot});
  ops.emplace_back(OpPastEpoch{name, keys::seal_past_epoch(core.tag(), name, granted, past, core.random())});
  for (const auto& [number, principal] : work.authority().state.principals) {
    const auto held = principal.grants.find(before);
    if (held == principal.grants.end() || held->second.ended || held->second.expired(now)) continue;
    OpGrant grant{number, name, {}, held->second.may_grant, held->second.expires_ms};
    CASEVAULT_TRY(grant.box, keys::seal_epoch(core.tag(), name, principal.who.x_public, granted, core.random()));
    ops.emplace_back(std::move(grant));
  }
  return ops;
}

Result<Rotation> open_next(UnitOfWork& work, const Compartment& compartment) {
  const keys::EpochName before = work.authority().state.current(compartment.id);
  CASEVAULT_TRY(const SecretBytes past, work.core().granted_key(work.authority(), before));
  CASEVAULT_TRY(std::vector<AuthorityOp> ops, successor(work, before, past));
  CASEVAULT_TRY(const EntryPlace place,
                work.commit_authority(audit::Action::kKeyRotate,
                                      "opened epoch " + compartment.name + ":" + std::to_string(before.epoch + 1),
                                      std::move(ops)));
  return Rotation{compartment.name, before.epoch, before.epoch + 1, place.entry};
}

}  // namespace

Result<const Compartment*> find_compartment(const Authority& authority, std::string_view name) {
  const Compartment* compartment = authority.schema().find_compartment(name);
  if (compartment == nullptr) return Error{ErrorCode::kNotFound, "the schema has no compartment " + std::string(name)};
  return compartment;
}

Result<Rotation> open_successor(Core& core, std::string_view name) {
  CASEVAULT_TRY(UnitOfWork work, UnitOfWork::begin(core));
  CASEVAULT_TRY(const Compartment* const compartment, find_compartment(work.authority(), name));
  auto opened = open_next(work, *compartment);
  if (opened || opened.error().code != ErrorCode::kNoGrant) return opened;
  return work.deny(audit::Action::kKeyRotate, std::move(opened).error());
}

namespace {

/// Compartments of `authority` that wait for a successor and that this principal can give one.
std::vector<const Compartment*> due(const Authority& authority, std::int64_t now_ms) {
  std::set<std::uint16_t> ids = authority.state.due;
  for (const auto& [number, compartment] : authority.state.expired(now_ms)) ids.insert(compartment);
  std::vector<const Compartment*> out;
  for (const Compartment& compartment : authority.schema().compartments()) {
    const bool mine = authority.me().may_open(authority.state.current(compartment.id), now_ms);
    if (mine && ids.contains(compartment.id)) out.push_back(&compartment);
  }
  return out;
}

}  // namespace

Result<void> catch_up(Core& core) {
  if (core.read_only()) return {};
  CASEVAULT_CHECK(move_database(core));
  {
    CASEVAULT_TRY(const Snapshot snapshot, core.snapshot());
    if (due(*snapshot.authority, core.environment().clock->now_ms()).empty()) return {};
  }
  for (;;) {  // one entry each; somebody else may be faster
    CASEVAULT_TRY(UnitOfWork work, UnitOfWork::begin(core));
    const std::vector<const Compartment*> waiting = due(work.authority(), work.now_ms());
    if (waiting.empty()) return {};
    CASEVAULT_CHECK(open_next(work, *waiting.front()));
  }
}

std::vector<std::string> left_over(Core& core, const Authority& authority) {
  std::vector<std::string> out;
  const AuthorityState& state = authority.state;
  if (state.database_key_epoch < state.vault_key_epoch) {
    out.push_back("the database is still under vault key epoch " + std::to_string(state.database_key_epoch) + " of " +
                  std::to_string(state.vault_key_epoch) + ": the next write brings it under the newest");
  }
  std::set<std::uint16_t> waiting = state.due;
  for (const auto& [number, compartment] : state.expired(core.environment().clock->now_ms()))
    waiting.insert(compartment);
  for (const Compartment& compartment : authority.schema().compartments()) {
    if (waiting.contains(compartment.id)) {
      out.push_back("compartment " + compartment.name +
                    " was taken back from somebody, or a grant of it has expired: the next write by who holds it "
                    "opens its successor epoch");
    }
  }
  return out;
}

Result<std::vector<KeyInfo>> count_keys(Core& core, store::ReadTxn& txn, const DbState& db,
                                        const Authority& authority) {
  std::map<keys::EpochName, std::uint64_t> cells;
  CASEVAULT_CHECK(core.scan_rows(
      txn, db, 0,
      [&](std::uint64_t, const model::OpenedRow& row) -> Result<bool> {
        for (const model::CellEntry& cell : row.head.cells) ++cells[{cell.compartment, cell.epoch}];
        return true;
      },
      true));
  std::vector<KeyInfo> out;
  for (const Compartment& compartment : authority.schema().compartments()) {
    for (const auto& [name, epoch] : authority.state.epochs) {
      if (name.compartment != compartment.id) continue;
      const bool current = name == authority.state.current(compartment.id);
      std::uint64_t indexes = 0;
      for (const IndexGeneration& each : db.index ? db.index->generations : std::vector<IndexGeneration>()) {
        if (each.compartment == name.compartment && each.epoch == name.epoch) ++indexes;
      }
      out.push_back({compartment.name, name.epoch,
                     current           ? "current"
                     : epoch.destroyed ? "destroyed"
                     : epoch.retired   ? "retired"
                                       : "old",
                     cells[name], indexes});
    }
  }
  return out;
}

Result<std::vector<KeyInfo>> list_keys(Core& core) {
  CASEVAULT_TRY(const Snapshot snapshot, core.snapshot());
  return count_keys(core, *snapshot.txn, snapshot.db, *snapshot.authority);
}

}  // namespace casevault::vault
