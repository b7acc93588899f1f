// SPDX-License-Identifier: Apache-2.0
#include "vault/people.hpp"

#include "base/text.hpp"
#include "crypto/envelope.hpp"
#include "format/cbor.hpp"
#include "format/labels.hpp"
#include "vault/epochs.hpp"

#include <algorithm>

namespace casevault::vault {
namespace {

constexpr std::string_view kInvitationPrefix = "cvi1:";

std::string join(std::span<const std::string> names) {
  std::string out;
  for (const std::string& name : names) out += (out.empty() ? "" : " ") + name;
  return out;
}

/// The ops that grant the compartments to `who`, each sealed to its key. kNoGrant when this principal cannot grant one.
Result<std::vector<AuthorityOp>> grant_ops(UnitOfWork& work, PrincipalNumber number, const keys::Principal& who,
                                           std::span<const std::string> compartments, bool may_grant) {
  Core& core = work.core();
  const Authority& authority = work.authority();
  std::vector<AuthorityOp> ops;
  for (const std::string& name : compartments) {
    const Compartment* compartment = authority.schema().find_compartment(name);
    if (compartment == nullptr) return Error{ErrorCode::kNotFound, "the schema has no compartment " + name};
    const keys::EpochName epoch = authority.state.current(compartment->id);
    if (std::ranges::any_of(ops, [&](const AuthorityOp& op) { return std::get<OpGrant>(op).name == epoch; })) {
      return Error{ErrorCode::kUsage, "compartment " + name + " is named twice"};
    }
    CASEVAULT_TRY(const SecretBytes granted, core.granted_key(authority, epoch));
    if (!authority.me().grants.at(epoch).may_grant) {
      return Error{ErrorCode::kNoGrant,
                   authority.me().who.name + " holds compartment " + name + " without the right to grant it"};
    }
    OpGrant op;
    op.principal = number;
    op.name = epoch;
    op.may_grant = may_grant;
    CASEVAULT_TRY(op.box, keys::seal_epoch(core.tag(), epoch, who.x_public, granted, core.random()));
    ops.emplace_back(std::move(op));
  }
  return ops;
}

/// Folds the chain with the new payload at its end before it is written: what the fold refuses must never reach the
/// log, where it would close the vault to everybody.
Result<void> rehearse(UnitOfWork& work, EntryDraft& entry) {
  Core& core = work.core();
  CASEVAULT_TRY(std::vector<SealedLink> chain, core.journal().authority_chain(core.log()));
  AuthorityPayload payload{work.authority().self, chain.back().at, std::move(entry.authority)};
  SealedLink next{{core.journal().state().tree.size(), {}, {}},
                  encode_authority(core.tag(), payload, crypto::key_of(core.ed_seed()), core.random())};
  entry.authority = std::move(payload.ops);
  const std::uint64_t applied = next.at.entry + 1;
  chain.push_back(std::move(next));
  auto folded = fold_authority(chain, applied);
  if (!folded) return Error{ErrorCode::kBadInput, "this cannot be written: " + folded.error().message};
  return {};
}

Error denied(UnitOfWork& work, audit::Action action, Error error) {
  return work.core().refuse(work.authority(), action, audit::Outcome::kDenied, {}, {}, {}, std::move(error));
}

Bytes invitation_context(const audit::Digest& vault_id, std::string_view log_key, std::string_view name) {
  Bytes out;
  format::CborWriter(out).array(3).bytes(vault_id).text(log_key).text(name);
  return out;
}

}  // namespace

Result<EntryPlace> commit_authority(UnitOfWork& work, audit::Action action, std::string text,
                                    std::vector<AuthorityOp> ops,
                                    std::vector<std::pair<keys::GrantLabel, Bytes>> vault_key_grants) {
  DetailsDraft details;
  details.text = std::move(text);
  CASEVAULT_TRY(EntryDraft entry, work.core().draft(work.authority(), action, audit::Outcome::kOk, std::move(details)));
  entry.vault_key_grants = std::move(vault_key_grants);
  return commit_authority(work, std::move(entry), std::move(ops));
}

Result<EntryPlace> commit_authority(UnitOfWork& work, EntryDraft entry, std::vector<AuthorityOp> ops) {
  entry.authority = std::move(ops);
  CASEVAULT_CHECK(rehearse(work, entry));
  return work.commit(std::move(entry));
}

Result<std::string> add_principal(Core& core, const PrincipalRequest& request) {
  CASEVAULT_TRY(const keys::Principal who, keys::parse_principal(request.public_string));
  CASEVAULT_CHECK(keys::check_name(request.name));
  if (who.name != request.name) {
    return Error{ErrorCode::kBadInput, "the public string is of " + who.name + ", not of " + request.name};
  }
  if (!policy::is_role(request.role)) {
    return Error{ErrorCode::kBadInput,
                 "unknown role " + request.role + "; roles are owner administrator officer analyst auditor service"};
  }
  if (request.unit.size() > 64 || !base::valid_utf8(request.unit))
    return Error{ErrorCode::kBadInput, "a unit is at most 64 bytes of UTF-8"};
  for (const std::string& functional : request.functional_roles) {
    if (functional.empty() || functional.size() > 64 || !base::valid_utf8(functional)) {
      return Error{ErrorCode::kBadInput, "a functional role is 1 to 64 bytes of UTF-8"};
    }
  }
  CASEVAULT_TRY(UnitOfWork work, UnitOfWork::begin(core));
  const Authority& authority = work.authority();
  constexpr audit::Action kAction = audit::Action::kPrincipalAdd;
  const std::string& role = authority.me().role;
  if (!policy::may_administer(role))
    return denied(work, kAction, {ErrorCode::kRefused, "role " + role + " may not certify principals"});
  if ((request.role == "owner" || request.role == "administrator") && role != "owner") {
    return denied(work, kAction, {ErrorCode::kRefused, "only an owner certifies owners and administrators"});
  }
  if (authority.state.find(request.name) != nullptr || authority.state.find(who.ed_public) != nullptr) {
    return Error{ErrorCode::kConflict, "principal " + request.name +
                                           " (or its keys) is already in the vault; names and keys are never reused"};
  }
  OpPrincipal op;
  op.number = static_cast<PrincipalNumber>(authority.state.principals.size() + 1);
  op.public_string = std::string(request.public_string);
  op.role = request.role;
  op.unit = request.unit;
  op.functional_roles = request.functional_roles;
  const PrincipalNumber number = op.number;
  std::vector<AuthorityOp> ops;
  ops.emplace_back(std::move(op));
  auto grants = grant_ops(work, number, who, request.grants, request.may_grant);
  if (!grants)
    return grants.error().code == ErrorCode::kNoGrant ? denied(work, kAction, std::move(grants).error())
                                                      : std::move(grants).error();
  for (AuthorityOp& grant_op : *grants) ops.push_back(std::move(grant_op));

  const std::uint32_t epoch = authority.state.vault_key_epoch;
  CASEVAULT_TRY(Bytes box, keys::seal_vault_key(core.tag(), epoch, who.x_public, core.vault_key(), core.random()));
  CASEVAULT_TRY(std::string invitation,
                make_invitation(core.vault_id(), core.log_key(), who, core.vault_key(), core.random()));
  std::string text = "principal " + who.name + ", role " + request.role;
  if (!request.grants.empty()) text += ", grants " + join(request.grants);
  CASEVAULT_CHECK(commit_authority(work, kAction, std::move(text), std::move(ops),
                                   {{keys::vault_key_label(core.tag(), epoch, who.x_public), std::move(box)}}));
  return invitation;
}

Result<std::uint64_t> grant(Core& core, std::string_view principal, std::span<const std::string> compartments) {
  if (compartments.empty()) return Error{ErrorCode::kUsage, "no compartment to grant"};
  CASEVAULT_TRY(UnitOfWork work, UnitOfWork::begin(core));
  const PrincipalState* target = work.authority().state.find(principal);
  if (target == nullptr) return Error{ErrorCode::kNotFound, "no principal " + std::string(principal)};
  if (target->revoked)
    return Error{ErrorCode::kConflict, target->who.name + " was revoked; certify new keys under a new name"};
  auto ops = grant_ops(work, target->number, target->who, compartments, false);
  if (!ops) {
    return ops.error().code == ErrorCode::kNoGrant ? denied(work, audit::Action::kGrantAdd, std::move(ops).error())
                                                   : std::move(ops).error();
  }
  for (const AuthorityOp& op : *ops) {
    const keys::EpochName& name = std::get<OpGrant>(op).name;
    if (target->holds(name)) {
      const auto& all = work.authority().schema().compartments();
      return Error{ErrorCode::kConflict, target->who.name + " holds compartment " +
                                             std::ranges::find(all, name.compartment, &Compartment::id)->name +
                                             " already"};
    }
  }
  CASEVAULT_TRY(const EntryPlace place,
                commit_authority(work, audit::Action::kGrantAdd,
                                 "grants of " + target->who.name + ": " + join(compartments), *std::move(ops), {}));
  return place.entry;
}

namespace {

/// What a compartment would be left without when `target` loses it, or nothing: somebody must be able to read what is
/// under it, and somebody to grant it.
std::string lacking(const AuthorityState& state, const PrincipalState& target, std::uint16_t compartment) {
  const keys::EpochName epoch = state.current(compartment);
  const auto other = [&](bool granter) {
    return std::ranges::any_of(state.principals, [&](const auto& each) {
      const auto grant = each.second.grants.find(epoch);
      return each.first != target.number && grant != each.second.grants.end() && !grant->second.ended &&
             (!granter || grant->second.may_grant);
    });
  };
  const auto own = target.grants.find(epoch);
  if (own == target.grants.end() || own->second.ended) return {};
  if (!other(false)) return "a holder";
  return own->second.may_grant && !other(true) ? "anyone who may grant it" : std::string();
}

}  // namespace

Result<std::uint64_t> revoke(Core& core, std::string_view principal) {
  std::uint64_t entry = 0;
  {
    CASEVAULT_TRY(UnitOfWork work, UnitOfWork::begin(core));
    const Authority& authority = work.authority();
    constexpr audit::Action kAction = audit::Action::kPrincipalRevoke;
    const PrincipalState* target = authority.state.find(principal);
    if (target == nullptr) return Error{ErrorCode::kNotFound, "no principal " + std::string(principal)};
    if (target->revoked) {
      return Error{ErrorCode::kConflict,
                   target->who.name + " was revoked before, in entry " + std::to_string(*target->revoked)};
    }
    const std::string& role = authority.me().role;
    const bool high = target->role == "owner" || target->role == "administrator";
    if (!policy::may_administer(role) || (high && role != "owner")) {
      return denied(work, kAction, {ErrorCode::kRefused, "role " + role + " may not revoke " + target->who.name});
    }
    const auto stays = [&](const auto& each) {
      return each.first != target->number && each.second.role == "owner" && !each.second.revoked;
    };
    if (!std::ranges::any_of(authority.state.principals, stays)) {
      return denied(work, kAction,
                    {ErrorCode::kRefused, target->who.name + " is the last owner; certify another first"});
    }
    for (const Compartment& compartment : authority.schema().compartments()) {
      if (const std::string what = lacking(authority.state, *target, compartment.id); !what.empty()) {
        return denied(work, kAction,
                      {ErrorCode::kRefused, "compartment " + compartment.name + " would be left without " + what});
      }
    }
    const std::string name = target->who.name;
    std::vector<AuthorityOp> ops;
    ops.emplace_back(OpRevoke{target->number});
    CASEVAULT_TRY(const EntryPlace place, commit_authority(work, kAction, "revoked " + name, std::move(ops), {}));
    entry = place.entry;
  }
  (void)open_due_successors(core);  // it is done; a successor that is still due is opened by the next writer
  return entry;
}

Result<std::uint64_t> revoke_grant(Core& core, std::string_view principal, std::span<const std::string> compartments) {
  if (compartments.empty()) return Error{ErrorCode::kUsage, "no compartment to take back"};
  std::uint64_t entry = 0;
  {
    CASEVAULT_TRY(UnitOfWork work, UnitOfWork::begin(core));
    const Authority& authority = work.authority();
    constexpr audit::Action kAction = audit::Action::kGrantRevoke;
    const PrincipalState* target = authority.state.find(principal);
    if (target == nullptr) return Error{ErrorCode::kNotFound, "no principal " + std::string(principal)};
    std::vector<AuthorityOp> ops;
    for (const std::string& name : compartments) {
      const Compartment* compartment = authority.schema().find_compartment(name);
      if (compartment == nullptr) return Error{ErrorCode::kNotFound, "the schema has no compartment " + name};
      const keys::EpochName epoch = authority.state.current(compartment->id);
      if (!target->grants.contains(epoch) || target->grants.at(epoch).ended) {
        return Error{ErrorCode::kNotFound, target->who.name + " does not hold compartment " + name};
      }
      const auto mine = authority.me().grants.find(epoch);
      const bool granter = mine != authority.me().grants.end() && !mine->second.ended && mine->second.may_grant;
      if (!policy::may_administer(authority.me().role) && !granter) {
        return denied(work, kAction, {ErrorCode::kRefused, authority.me().who.name + " may not take back " + name});
      }
      if (const std::string what = lacking(authority.state, *target, compartment->id); !what.empty()) {
        return denied(work, kAction, {ErrorCode::kRefused, "compartment " + name + " would be left without " + what});
      }
      ops.emplace_back(OpEndGrant{target->number, compartment->id});
    }
    CASEVAULT_TRY(const EntryPlace place,
                  commit_authority(work, kAction, "took back from " + target->who.name + ": " + join(compartments),
                                   std::move(ops), {}));
    entry = place.entry;
  }
  (void)open_due_successors(core);  // it is done; a successor that is still due is opened by the next writer
  return entry;
}

Result<std::vector<PrincipalInfo>> list_principals(Core& core) {
  CASEVAULT_TRY(const Snapshot snapshot, core.snapshot());
  const Authority& authority = *snapshot.authority;
  std::vector<PrincipalInfo> out;
  for (const auto& [number, principal] : authority.state.principals) {
    PrincipalInfo info{principal.who.name, principal.role, principal.unit, {}, {}, principal.entry, principal.revoked};
    for (const Compartment& compartment : authority.schema().compartments()) {
      const auto held = principal.grants.find(authority.state.current(compartment.id));
      if (held == principal.grants.end() || held->second.ended) continue;
      info.grants.push_back(compartment.name);
      if (held->second.may_grant) info.may_grant.push_back(compartment.name);
    }
    out.push_back(std::move(info));
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
      out.push_back({compartment.name, name.epoch,
                     current           ? "current"
                     : epoch.destroyed ? "destroyed"
                                       : "old",
                     cells[name]});
    }
  }
  return out;
}

Result<std::vector<KeyInfo>> list_keys(Core& core) {
  CASEVAULT_TRY(const Snapshot snapshot, core.snapshot());
  return count_keys(core, *snapshot.txn, snapshot.db, *snapshot.authority);
}

Result<std::string> make_invitation(const audit::Digest& vault_id, std::string_view log_key,
                                    const keys::Principal& principal, const SecretBytes& vault_key,
                                    base::Random& random) {
  CASEVAULT_TRY(const Bytes box,
                crypto::seal_box(format::kInvitation, principal.x_public,
                                 invitation_context(vault_id, log_key, principal.name), vault_key.view(), random));
  Bytes out;
  format::CborWriter(out).array(4).bytes(vault_id).text(log_key).text(principal.name).bytes(box);
  return std::string(kInvitationPrefix) + base::to_base64(out) + "\n";
}

Result<Invitation> parse_invitation(std::string_view text) {
  const Error bad{ErrorCode::kBadInput, "not an invitation (cvi1:...), or damaged; ask for it again"};
  while (!text.empty() && (text.back() == '\n' || text.back() == '\r' || text.back() == ' ')) text.remove_suffix(1);
  if (!text.starts_with(kInvitationPrefix) || text.size() > 4096) return bad;
  const auto raw = base::from_base64(text.substr(kInvitationPrefix.size()));
  if (!raw) return bad;
  format::CborReader r(*raw);
  if (r.array() != 4) return bad;
  Invitation out;
  out.vault_id = r.fixed<32>();
  out.log_key = std::string(r.text());
  out.name = std::string(r.text());
  const ByteView box = r.bytes();
  out.box.assign(box.begin(), box.end());
  if (!r.finish()) return bad;
  return out;
}

Result<Pin> open_invitation(const Invitation& invitation, const Identity::Impl& identity) {
  auto key =
      crypto::open_box(format::kInvitation, crypto::key_of(identity.x_secret), identity.x_public,
                       invitation_context(invitation.vault_id, invitation.log_key, invitation.name), invitation.box);
  if (!key || key->size() != 32) {
    return Error{ErrorCode::kWrongKey, "this invitation is for " + invitation.name +
                                           " and does not open with identity " + identity.name +
                                           " (another identity, or it was altered)"};
  }
  return Pin{invitation.vault_id, invitation.log_key};
}

}  // namespace casevault::vault
