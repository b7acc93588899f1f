// SPDX-License-Identifier: Apache-2.0
#include "vault/epochs.hpp"

#include "vault/people.hpp"

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
  ops.emplace_back(OpEpoch{
      name, keys::commit_epoch(core.tag(), name, granted, keys::epoch_key(core.tag(), name, granted, half)), slot});
  ops.emplace_back(OpPastEpoch{name, keys::seal_past_epoch(core.tag(), name, granted, past, core.random())});
  for (const auto& [number, principal] : work.authority().state.principals) {
    const auto held = principal.grants.find(before);
    if (held == principal.grants.end() || held->second.ended) continue;
    OpGrant grant{number, name, {}, held->second.may_grant, 0};
    CASEVAULT_TRY(grant.box, keys::seal_epoch(core.tag(), name, principal.who.x_public, granted, core.random()));
    ops.emplace_back(std::move(grant));
  }
  return ops;
}

Result<Rotation> open_next(UnitOfWork& work, const Compartment& compartment, const SecretBytes& past) {
  const keys::EpochName before = work.authority().state.current(compartment.id);
  CASEVAULT_TRY(std::vector<AuthorityOp> ops, successor(work, before, past));
  CASEVAULT_TRY(const EntryPlace place,
                commit_authority(work, audit::Action::kKeyRotate,
                                 "opened epoch " + compartment.name + ":" + std::to_string(before.epoch + 1),
                                 std::move(ops), {}));
  return Rotation{compartment.name, before.epoch, before.epoch + 1, place.entry};
}

}  // namespace

Result<Rotation> open_successor(Core& core, std::string_view name) {
  CASEVAULT_TRY(UnitOfWork work, UnitOfWork::begin(core));
  const Compartment* compartment = work.authority().schema().find_compartment(name);
  if (compartment == nullptr) return Error{ErrorCode::kNotFound, "the schema has no compartment " + std::string(name)};
  auto past = core.granted_key(work.authority(), work.authority().state.current(compartment->id));
  if (!past && past.error().code == ErrorCode::kNoGrant) {
    return core.refuse(work.authority(), audit::Action::kKeyRotate, audit::Outcome::kDenied, {}, {}, {},
                       std::move(past).error());
  }
  if (!past) return std::move(past).error();
  return open_next(work, *compartment, *past);
}

Result<void> open_due_successors(Core& core) {
  if (core.read_only()) return {};
  std::vector<std::string> names;
  {
    CASEVAULT_TRY(const Snapshot snapshot, core.snapshot());
    const Authority& authority = *snapshot.authority;
    if (authority.state.due.empty()) return {};
    for (const Compartment& compartment : authority.schema().compartments()) {
      const bool mine = authority.me().holds(authority.state.current(compartment.id));
      if (mine && authority.state.due.contains(compartment.id)) names.push_back(compartment.name);
    }
  }
  for (const std::string& name : names) {
    CASEVAULT_TRY(UnitOfWork work, UnitOfWork::begin(core));
    const Compartment* compartment = work.authority().schema().find_compartment(name);
    // Somebody else may have been faster.
    if (compartment == nullptr || !work.authority().state.due.contains(compartment->id)) continue;
    auto past = core.granted_key(work.authority(), work.authority().state.current(compartment->id));
    if (!past) return std::move(past).error();
    CASEVAULT_CHECK(open_next(work, *compartment, *past));
  }
  return {};
}

}  // namespace casevault::vault
