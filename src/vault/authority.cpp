// SPDX-License-Identifier: Apache-2.0
#include "vault/authority.hpp"

#include "base/text.hpp"
#include "format/cbor.hpp"
#include "format/labels.hpp"
#include "policy/policy.hpp"

#include <algorithm>
#include <type_traits>
#include <utility>

namespace casevault::vault {
namespace {

using format::CborReader;
using format::CborWriter;

constexpr std::size_t kMaxUnit = 64;  ///< the head of a record holds it
constexpr std::size_t kMaxDefinition = std::size_t{64} << 10U;

enum OpCode : std::uint8_t {
  kGenesis = 1,
  kSchema = 2,
  kVaultKey = 3,
  kPrincipal = 4,
  kEpoch = 5,
  kGrant = 6,
  kNotApplied = 7,
  kPastEpoch = 8,
  kDestroyedEpoch = 9,
  kRevoke = 10,
  kEndGrant = 11,
  kLogKey = 12,
  kDatabaseKey = 13,
  kRetiredEpoch = 14,
  kRekey = 15,
  kRelease = 16,
  kSamePerson = 17
};

template <typename... F>
struct Overloaded : F... {
  using F::operator()...;
};

void encode_op(CborWriter& w, const AuthorityOp& op) {
  std::visit(
      Overloaded{
          [&](const OpGenesis& o) {
            w.array(6)
                .uint(kGenesis)
                .bytes(o.tag)
                .integer(o.created_ms)
                .bytes(o.id_key.view())
                .bytes(o.log_seed.view());
            w.uint(o.suite);
          },
          [&](const OpSchema& o) { w.array(2).uint(kSchema).text(o.source); },
          [&](const OpVaultKey& o) {
            w.array(o.past.empty() ? 3 : 4).uint(kVaultKey).uint(o.epoch).bytes(o.commitment);
            if (!o.past.empty()) w.bytes(o.past.view());
          },
          [&](const OpPrincipal& o) {
            w.array(6).uint(kPrincipal).uint(o.number).text(o.public_string).text(o.role).text(o.unit);
            w.array(o.functional_roles.size());
            for (const std::string& role : o.functional_roles) w.text(role);
          },
          [&](const OpEpoch& o) {
            w.array(7).uint(kEpoch).uint(o.name.compartment).uint(o.name.epoch).bytes(o.commitments.granted);
            w.bytes(o.commitments.key).bytes(o.commitments.deposit_public).uint(o.half_slot);
          },
          [&](const OpGrant& o) {
            w.array(7)
                .uint(kGrant)
                .uint(o.principal)
                .uint(o.name.compartment)
                .uint(o.name.epoch)
                .bytes(o.box)
                .boolean(o.may_grant);
            w.integer(o.expires_ms);
          },
          [&](const OpNotApplied& o) { w.array(2).uint(kNotApplied).uint(o.entry); },
          [&](const OpPastEpoch& o) {
            w.array(4).uint(kPastEpoch).uint(o.name.compartment).uint(o.name.epoch).bytes(o.envelope);
          },
          [&](const OpDestroyedEpoch& o) {
            w.array(3).uint(kDestroyedEpoch).uint(o.name.compartment).uint(o.name.epoch);
          },
          [&](const OpLogKey& o) { w.array(2).uint(kLogKey).bytes(o.seed.view()); },
          [&](const OpDatabaseKey& o) { w.array(2).uint(kDatabaseKey).uint(o.epoch); },
          [&](const OpRetiredEpoch& o) { w.array(3).uint(kRetiredEpoch).uint(o.name.compartment).uint(o.name.epoch); },
          [&](const OpRekey& o) { w.array(2).uint(kRekey).text(o.public_string); },
          [&](const OpRelease& o) {
            w.array(3).uint(kRelease).uint(static_cast<std::uint64_t>(o.kind)).bytes(o.definition);
          },
          [&](const OpSamePerson& o) { w.array(4).uint(kSamePerson).uint(o.a).uint(o.b).boolean(o.same); },
          [&](const OpRevoke& o) { w.array(2).uint(kRevoke).uint(o.principal); },
          [&](const OpEndGrant& o) { w.array(3).uint(kEndGrant).uint(o.principal).uint(o.compartment); },
      },
      op);
}

std::optional<AuthorityOp> decode_op(CborReader& r) {
  const std::size_t count = r.array();
  const std::uint64_t code = r.uint();
  const auto require = [&](std::size_t expected) {
    if (count != expected) r.fail();
  };
  switch (code) {
    case kGenesis: {
      require(6);
      OpGenesis o;
      o.tag = r.fixed<16>();
      o.created_ms = r.integer();
      o.id_key = SecretBytes::copy(r.bytes());
      o.log_seed = SecretBytes::copy(r.bytes());
      o.suite = r.uint();
      if (o.id_key.size() != 32 || o.log_seed.size() != 32) r.fail();
      return o;
    }
    case kSchema: {
      require(2);
      return OpSchema{std::string(r.text())};
    }
    case kVaultKey: {
      OpVaultKey o;
      o.epoch = r.narrow<std::uint32_t>();
      require(o.epoch == 1 ? 3 : 4);
      o.commitment = r.fixed<32>();
      if (o.epoch != 1) {
        o.past = SecretBytes::copy(r.bytes());
        if (o.past.size() != 32) r.fail();
      }
      return o;
    }
    case kPrincipal: {
      require(6);
      OpPrincipal o;
      o.number = r.narrow<PrincipalNumber>();
      o.public_string = std::string(r.text());
      o.role = std::string(r.text());
      o.unit = std::string(r.text());
      const std::size_t roles = r.array();
      for (std::size_t i = 0; i < roles && r.ok(); ++i) o.functional_roles.emplace_back(r.text());
      return o;
    }
    case kEpoch: {
      require(7);
      OpEpoch o;
      o.name.compartment = r.narrow<std::uint16_t>();
      o.name.epoch = r.narrow<std::uint32_t>();
      o.commitments.granted = r.fixed<32>();
      o.commitments.key = r.fixed<32>();
      o.commitments.deposit_public = r.fixed<32>();
      o.half_slot = r.uint();
      return o;
    }
    case kGrant: {
      require(7);
      OpGrant o;
      o.principal = r.narrow<PrincipalNumber>();
      o.name.compartment = r.narrow<std::uint16_t>();
      o.name.epoch = r.narrow<std::uint32_t>();
      const ByteView box = r.bytes();
      o.box.assign(box.begin(), box.end());
      o.may_grant = r.boolean();
      o.expires_ms = r.integer();
      if (o.expires_ms < 0) r.fail();
      return o;
    }
    case kNotApplied: {
      require(2);
      return OpNotApplied{r.uint()};
    }
    case kPastEpoch: {
      require(4);
      OpPastEpoch o;
      o.name.compartment = r.narrow<std::uint16_t>();
      o.name.epoch = r.narrow<std::uint32_t>();
      const ByteView envelope = r.bytes();
      o.envelope.assign(envelope.begin(), envelope.end());
      return o;
    }
    case kDestroyedEpoch: {
      require(3);
      OpDestroyedEpoch o;
      o.name.compartment = r.narrow<std::uint16_t>();
      o.name.epoch = r.narrow<std::uint32_t>();
      return o;
    }
    case kLogKey: {
      require(2);
      OpLogKey o{SecretBytes::copy(r.bytes())};
      if (o.seed.size() != 32) r.fail();
      return o;
    }
    case kDatabaseKey: {
      require(2);
      return OpDatabaseKey{r.narrow<std::uint32_t>()};
    }
    case kRetiredEpoch: {
      require(3);
      OpRetiredEpoch o;
      o.name.compartment = r.narrow<std::uint16_t>();
      o.name.epoch = r.narrow<std::uint32_t>();
      return o;
    }
    case kRekey: {
      require(2);
      return OpRekey{std::string(r.text())};
    }
    case kRevoke: {
      require(2);
      return OpRevoke{r.narrow<PrincipalNumber>()};
    }
    case kEndGrant: {
      require(3);
      OpEndGrant o;
      o.principal = r.narrow<PrincipalNumber>();
      o.compartment = r.narrow<std::uint16_t>();
      return o;
    }
    case kRelease: {
      require(3);
      OpRelease o;
      o.kind = static_cast<ReleaseKind>(r.narrow<std::uint8_t>());
      const ByteView definition = r.bytes();
      o.definition.assign(definition.begin(), definition.end());
      return o;
    }
    case kSamePerson: {
      require(4);
      OpSamePerson o;
      o.a = r.narrow<std::uint32_t>();
      o.b = r.narrow<std::uint32_t>();
      o.same = r.boolean();
      return o;
    }
    default:
      r.fail();
      return std::nullopt;
  }
}

struct Decoded {
  AuthorityPayload payload;
  ByteView signed_part;
  ByteView signature;
};

Error malformed() { return {ErrorCode::kIntegrity, "an authority payload of the log is malformed"}; }

std::optional<AuthorityLink> decode_link(CborReader& r) {
  if (r.peek() == CborReader::Kind::kNull) return r.null(), std::nullopt;
  if (r.array() != 4) r.fail();
  AuthorityLink link;
  link.entry = r.uint();
  link.leaf_hash = r.fixed<32>();
  link.position.segment = r.narrow<std::uint32_t>();
  link.position.offset = r.narrow<std::uint32_t>();
  return link;
}

Result<Decoded> decode_payload(ByteView bytes) {
  CborReader r(bytes);
  Decoded out;
  if (r.array() != 5) return malformed();
  (void)r.fixed<32>();
  out.payload.actor = r.narrow<PrincipalNumber>();
  out.payload.previous = decode_link(r);
  const std::size_t ops = r.array();
  for (std::size_t i = 0; i < ops && r.ok(); ++i) {
    std::optional<AuthorityOp> op = decode_op(r);
    if (op) out.payload.ops.push_back(*std::move(op));
  }
  out.signed_part = bytes.first(bytes.size() - r.rest().size());
  out.signature = r.bytes();
  if (!r.finish()) return malformed();
  return out;
}

/// What the signature is over: label ‖ vault ‖ signed part. Payloads may hold secrets (genesis, new vault and log
/// keys), so no copy lies outside the arena.
SecretBytes signed_message(const keys::VaultTag& vault, ByteView signed_part) {
  SecretBytes message(format::kAuthoritySign.size() + vault.size() + signed_part.size());
  auto at = std::ranges::copy(format::kAuthoritySign, message.mutable_view().begin()).out;
  at = std::ranges::copy(vault, at).out;
  std::ranges::copy(signed_part, at);
  return message;
}

/// Applies one payload's ops. The actor's right to each is checked here: state is never believed from anywhere else.
class Folder {
 public:
  Folder(AuthorityState& state, std::uint64_t entry, std::int64_t time_ms)
      : state_(state), entry_(entry), time_ms_(time_ms) {}

  Result<void> apply(const AuthorityPayload& payload, bool genesis) {
    genesis_ = genesis;
    actor_ = payload.actor;
    const auto rekeys = [](const AuthorityOp& op) { return std::holds_alternative<OpRekey>(op); };
    new_vault_key_ = !genesis && std::holds_alternative<OpVaultKey>(payload.ops.front());
    own_rekey_ = std::ranges::any_of(payload.ops, rekeys);
    if (new_vault_key_) CASEVAULT_CHECK(begins_epoch(payload.ops));
    for (const AuthorityOp& op : payload.ops) CASEVAULT_CHECK(std::visit([&](const auto& o) { return on(o); }, op));
    for (const keys::EpochName& name : opened_) CASEVAULT_CHECK(succession(name));
    if (!unsealed_.empty()) return refuse("new keys of a principal without all that it holds");
    return {};
  }

 private:
  Error refuse(std::string_view why) const {
    return {ErrorCode::kIntegrity, "authority entry " + std::to_string(entry_) + ": " + std::string(why)};
  }
  const PrincipalState* actor() const {
    const auto found = state_.principals.find(actor_);
    return found == state_.principals.end() ? nullptr : &found->second;
  }
  bool administers() const { return genesis_ || (actor() != nullptr && policy::may_administer(actor()->role)); }

  /// It holds at once, without a transaction of the database: nothing may stand there that needs one.
  Result<void> begins_epoch(const std::vector<AuthorityOp>& ops) const {
    const auto count = [&]<typename Op>(std::type_identity<Op>) {
      return std::ranges::count_if(ops, [](const AuthorityOp& op) { return std::holds_alternative<Op>(op); });
    };
    const auto keys = count(std::type_identity<OpVaultKey>());
    const auto log_keys = count(std::type_identity<OpLogKey>());
    const auto grants = own_rekey_ ? count(std::type_identity<OpGrant>()) : 0;
    const auto others = count(std::type_identity<OpRevoke>()) + count(std::type_identity<OpRekey>()) + grants;
    if (keys == 1 && log_keys == 1 && 2 + others == std::ssize(ops)) return {};
    return refuse("a new vault key without a new log key, or beside what needs a transaction");
  }
  Result<void> on(const OpGenesis& o) {
    if (!genesis_ || !state_.id_key.empty() || !state_.principals.empty())
      return refuse("a genesis that is not the first entry, or said twice");
    state_.tag = o.tag;
    state_.created_ms = o.created_ms;
    const std::optional<crypto::Suite> suite = crypto::suite_of(o.suite);
    if (!suite) {
      return Error{ErrorCode::kUnsupported, "the vault seals its cells with suite " + std::to_string(o.suite) +
                                                ", unknown here; use a newer casevault"};
    }
    state_.suite = *suite;
    state_.id_key = o.id_key.clone();
    return sign_with(o.log_seed);
  }
  Result<void> on(const OpSchema& o) {
    if (!genesis_ || state_.schema) return refuse("a schema outside the genesis, or a second one");
    auto schema = Schema::parse(o.source);
    if (!schema) return refuse("its schema does not parse: " + schema.error().message);
    state_.schema = *std::move(schema);
    return {};
  }
  Result<void> on(const OpVaultKey& o) {
    if (o.epoch != state_.vault_key_epoch + 1 || genesis_ != (o.epoch == 1))
      return refuse("an unexpected vault key epoch");
    if (!genesis_) {
      if (!new_vault_key_ || (!administers() && !own_rekey_)) return refuse("its actor may not change the vault key");
      if (keys::vault_key_commitment(state_.tag, state_.vault_key_epoch, o.past) != state_.vault_key_commitment)
        return refuse("a past vault key that is not the one before");
    } else {
      state_.database_key_epoch = 1;
    }
    state_.vault_key_epoch = o.epoch;
    state_.vault_key_commitment = o.commitment;
    return {};
  }
  Result<void> sign_with(const SecretBytes& seed) {
    state_.log_seed = seed.clone();
    state_.log_keys.push_back({entry_, crypto::ed25519_public(crypto::key_of(seed))});
    return {};
  }
  Result<void> on(const OpLogKey& o) {
    if (!new_vault_key_) return refuse("a log key without a new vault key");
    return sign_with(o.seed);
  }
  Result<void> on(const OpDatabaseKey& o) {
    if (genesis_ || o.epoch <= state_.database_key_epoch || o.epoch > state_.vault_key_epoch)
      return refuse("a database under an unexpected vault key epoch");
    state_.database_key_epoch = o.epoch;
    return {};
  }
  Result<void> on(const OpRetiredEpoch& o) {
    if (!administers()) return refuse("its actor may not retire epochs");
    const auto epoch = state_.epochs.find(o.name);
    if (epoch == state_.epochs.end() || epoch->second.destroyed || epoch->second.retired ||
        o.name == state_.current(o.name.compartment) || o.name.compartment == kAuditCompartment)
      return refuse("the retirement of an epoch that is unknown, in use or gone already");
    epoch->second.retired = true;
    return {};
  }
  Result<void> on(const OpRekey& o) {
    const auto self = state_.principals.find(actor_);
    if (!new_vault_key_ || self == state_.principals.end()) return refuse("new keys without a new vault key");
    PrincipalState& principal = self->second;
    auto who = keys::parse_principal(o.public_string);
    if (!who || who->name != principal.who.name) return refuse("new keys that are not self-signed under the name");
    const auto has_x = [&](const auto& each) { return each.second.who.x_public == who->x_public; };
    if (state_.find(who->ed_public) != nullptr || std::ranges::any_of(state_.principals, has_x) || known_before(*who))
      return refuse("new keys that somebody has or had");
    rekeyed_ = true;
    principal.former.emplace_back(entry_, std::exchange(principal.who, *std::move(who)));
    std::erase_if(principal.grants, [&](const auto& grant) {
      const bool present = grant.first == state_.current(grant.first.compartment);
      if (present && !grant.second.ended) unsealed_.insert(grant);
      return !present || !grant.second.ended;  // what was taken back is still due a successor
    });
    return {};
  }
  bool known_before(const keys::Principal& who) const {
    return std::ranges::any_of(state_.principals, [&](const auto& each) {
      return std::ranges::any_of(each.second.former, [&](const auto& former) {
        return former.second.ed_public == who.ed_public || former.second.x_public == who.x_public;
      });
    });
  }
  Result<void> on(const OpPrincipal& o) {
    if (!administers()) return refuse("its actor may not certify principals");
    const bool high = o.role == "owner" || o.role == "administrator";
    if (high && !genesis_ && actor()->role != "owner")
      return refuse("only an owner certifies owners and administrators");
    if (!policy::is_role(o.role)) return refuse("an unknown role");
    if (o.unit.size() > kMaxUnit) return refuse("a unit that is too long");
    if (o.number != state_.principals.size() + 1) return refuse("a principal number out of order");
    auto who = keys::parse_principal(o.public_string);
    if (!who) return refuse("a principal whose keys are not self-signed");
    if (state_.find(who->name) != nullptr || state_.find(who->ed_public) != nullptr || known_before(*who))
      return refuse("a principal certified twice");
    PrincipalState principal;
    principal.number = o.number;
    principal.who = *std::move(who);
    principal.role = o.role;
    principal.unit = o.unit;
    principal.functional_roles = o.functional_roles;
    principal.entry = entry_;
    state_.principals.emplace(o.number, std::move(principal));
    return {};
  }
  Result<void> on(const OpEpoch& o) {
    const keys::EpochName before = state_.current(o.name.compartment);
    if (o.name.epoch != before.epoch + 1 || genesis_ != (before.epoch == 0)) return refuse("an unexpected epoch");
    // A slot that two epochs shared would end both when one is destroyed.
    const auto taken = [&](const auto& each) { return each.second.half_slot == o.half_slot; };
    if (std::ranges::any_of(state_.epochs, taken)) return refuse("an epoch whose half slot another epoch has");
    // Opening a successor adds nobody, so whoever holds the present epoch may do it.
    if (!genesis_ && !has_now(before)) return refuse("its actor does not hold the epoch before the one it opens");
    if (!state_.epochs.emplace(o.name, EpochState{o.commitments, o.half_slot, {}, false}).second)
      return refuse("an epoch opened twice");
    state_.current_epoch[o.name.compartment] = o.name.epoch;
    if (!genesis_) opened_.insert(o.name);
    return {};
  }
  /// The actor holds the epoch, by the time of the entry.
  bool has_now(keys::EpochName name) const {
    return actor() != nullptr && given(*actor(), name) && !actor()->grants.at(name).expired(time_ms_);
  }
  static bool given(const PrincipalState& principal, keys::EpochName name) {
    const auto grant = principal.grants.find(name);
    return grant != principal.grants.end() && !grant->second.ended;
  }
  Result<void> on(const OpRevoke& o) {
    const auto target = state_.principals.find(o.principal);
    if (target == state_.principals.end() || target->second.revoked) return refuse("the end of an unknown principal");
    const bool high = target->second.role == "owner" || target->second.role == "administrator";
    if (genesis_ || !administers() || (high && actor()->role != "owner"))
      return refuse("its actor may not revoke this principal");
    if (!new_vault_key_) return refuse("the end of a principal that leaves it the vault key");
    const auto stays = [&](const auto& each) {
      return each.first != o.principal && each.second.role == "owner" && !each.second.revoked;
    };
    if (!std::ranges::any_of(state_.principals, stays)) return refuse("the end of the last owner");
    target->second.revoked = entry_;
    for (auto& [name, grant] : target->second.grants) grant.ended = true;
    return {};
  }
  Result<void> on(const OpEndGrant& o) {
    const auto target = state_.principals.find(o.principal);
    const keys::EpochName current = state_.current(o.compartment);
    if (target == state_.principals.end() || !given(target->second, current))
      return refuse("the end of a grant that nobody holds");
    // Taking back needs no key: an administrator may, and whoever may grant.
    const bool holder = has_now(current);
    const bool granter = holder && actor()->grants.at(current).may_grant;
    const bool expired = holder && target->second.grants.at(current).expired(time_ms_);
    if (genesis_ || (!administers() && !granter && !expired)) return refuse("its actor may not take this grant back");
    const auto stays = [&](const auto& each) { return each.first != o.principal && given(each.second, current); };
    if (!std::ranges::any_of(state_.principals, stays)) return refuse("the end of the last grant of a compartment");
    for (auto& [name, grant] : target->second.grants) {
      if (name.compartment == o.compartment) grant.ended = true;
    }
    return {};
  }
  Result<void> on(const OpPastEpoch& o) {
    if (!opened_.contains(o.name)) return refuse("a past of an epoch that it does not open");
    Bytes& past = state_.epochs.at(o.name).past;
    if (!past.empty() || o.envelope.empty()) return refuse("a past that is empty or told twice");
    past = o.envelope;
    return {};
  }
  Result<void> on(const OpDestroyedEpoch& o) {
    if (!administers()) return refuse("its actor may not destroy epochs");
    const auto epoch = state_.epochs.find(o.name);
    if (o.name.compartment == kAuditCompartment) return refuse("the end of an epoch that details of the log are under");
    if (epoch == state_.epochs.end() || epoch->second.destroyed || o.name == state_.current(o.name.compartment))
      return refuse("the end of an epoch that is unknown, in use or destroyed already");
    epoch->second.destroyed = true;
    return {};
  }
  /// A successor goes to exactly those who held the epoch before, with the rights they had, and keeps its past.
  Result<void> succession(keys::EpochName name) const {
    const keys::EpochName before{name.compartment, name.epoch - 1};
    for (const auto& [number, principal] : state_.principals) {
      const auto has = principal.grants.find(name);
      const bool had = given(principal, before);
      const auto same = [](const GrantState& a, const GrantState& b) {
        return a.may_grant == b.may_grant && a.expires_ms == b.expires_ms;
      };
      if (had != (has != principal.grants.end()) || (had && !same(principal.grants.at(before), has->second)))
        return refuse("an epoch that does not go to those who held the one before");
    }
    if (state_.epochs.at(name).past.empty()) return refuse("an epoch without its past");
    return {};
  }
  Result<void> on(const OpGrant& o) {
    const auto target = state_.principals.find(o.principal);
    if (target == state_.principals.end() || target->second.revoked || !state_.epochs.contains(o.name))
      return refuse("a grant of or to something unknown");
    GrantState grant{o.box, o.may_grant, false, o.expires_ms};
    if (const auto held = unsealed_.find(o.name); held != unsealed_.end() && o.principal == actor_) {
      if (held->second.may_grant != grant.may_grant || held->second.expires_ms != grant.expires_ms)
        return refuse("a grant sealed to new keys with other rights");
      unsealed_.erase(held);
    } else if (rekeyed_ && o.principal == actor_) {
      return refuse("a grant to itself that its new keys do not ask for");
    } else if (!genesis_ && !opened_.contains(o.name)) {
      if (!has_now(o.name) || !actor()->grants.at(o.name).may_grant)
        return refuse("its actor may not grant this compartment");
    }
    const auto held = target->second.grants.find(o.name);
    if (held != target->second.grants.end()) {
      if (genesis_ || !gives_more(held->second, grant)) return refuse("a grant that is held already");
      grant.box = held->second.box;  // which is good: whoever gives more need not be who gave it
    }
    target->second.grants[o.name] = grant;
    return {};
  }
  Result<void> on(const OpRelease& o) {
    // Every principal may publish what it can read; the definition is judged by whoever publishes next.
    if (genesis_ || o.kind < ReleaseKind::kTable || o.kind > ReleaseKind::kBudget)
      return refuse("an unknown kind of release");
    if (o.definition.empty() || o.definition.size() > kMaxDefinition) return refuse("a release without a definition");
    state_.releases.push_back({entry_, actor_, o.kind, o.definition});
    return {};
  }
  Result<void> on(const OpSamePerson& o) {
    // Every principal may say so: who may write records is a check of writers, like that of record writes.
    if (genesis_ || o.a >= o.b) return refuse("a link of records that is none");
    const auto found = state_.links.find(o.a);
    const bool linked = found != state_.links.end() && found->second.contains(o.b);
    if (o.same == linked) return refuse(linked ? "a link of records that is there already" : "an end of no link");
    if (o.same) {
      state_.links[o.a].insert(o.b);
      state_.links[o.b].insert(o.a);
    } else {
      state_.links[o.a].erase(o.b);
      state_.links[o.b].erase(o.a);
    }
    state_.same_person.push_back({entry_, actor_, time_ms_, o});
    return {};
  }
  Result<void> on(const OpNotApplied&) { return {}; }  // collected before the fold

  AuthorityState& state_;
  std::uint64_t entry_;
  std::int64_t time_ms_;
  std::set<keys::EpochName> opened_;                ///< by this payload, genesis apart
  std::map<keys::EpochName, GrantState> unsealed_;  ///< what its actor holds and has not sealed to its new keys yet
  bool new_vault_key_ = false;
  bool own_rekey_ = false;
  bool rekeyed_ = false;  ///< its op was applied
  PrincipalNumber actor_ = 0;
  bool genesis_ = false;
};

}  // namespace

bool gives_more(const GrantState& held, const GrantState& given) {
  const auto longer = [](const GrantState& a, const GrantState& b) {
    return b.expires_ms != 0 && (a.expires_ms == 0 || a.expires_ms > b.expires_ms);
  };
  const bool less = held.ended || (held.may_grant && !given.may_grant) || longer(held, given);
  return !less && ((given.may_grant && !held.may_grant) || longer(given, held));
}

std::vector<std::uint32_t> AuthorityState::rows_of_person(std::uint32_t row) const {
  std::set<std::uint32_t> rows{row};
  for (std::vector<std::uint32_t> next{row}; !next.empty();) {
    const auto beside = links.find(next.back());
    next.pop_back();
    if (beside == links.end()) continue;
    for (const std::uint32_t other : beside->second) {
      if (rows.insert(other).second) next.push_back(other);
    }
  }
  return {rows.begin(), rows.end()};
}

const PrincipalState* AuthorityState::find(std::string_view name) const {
  const auto found = std::ranges::find_if(principals, [&](const auto& p) { return p.second.who.name == name; });
  return found == principals.end() ? nullptr : &found->second;
}

const PrincipalState* AuthorityState::find(const crypto::PublicKey& ed_public) const {
  const auto found =
      std::ranges::find_if(principals, [&](const auto& p) { return p.second.who.ed_public == ed_public; });
  return found == principals.end() ? nullptr : &found->second;
}

const keys::Principal& PrincipalState::keys_at(std::uint64_t at, bool before) const {
  const auto then =
      std::ranges::find_if(former, [&](const auto& each) { return before ? at <= each.first : at < each.first; });
  return then == former.end() ? who : then->second;
}

std::int64_t PrincipalState::expires_ms(std::uint16_t compartment) const {
  std::int64_t end = 0;
  for (const auto& [name, grant] : grants) {
    if (name.compartment == compartment && !grant.ended) end = grant.expires_ms;  // ascending: the newest counts
  }
  return end;
}

std::vector<std::pair<PrincipalNumber, std::uint16_t>> AuthorityState::expired(std::int64_t now_ms) const {
  std::vector<std::pair<PrincipalNumber, std::uint16_t>> out;
  for (const auto& [number, principal] : principals) {
    for (const auto& [name, grant] : principal.grants) {
      if (!grant.ended && grant.expired(now_ms) && name == current(name.compartment))
        out.emplace_back(number, name.compartment);
    }
  }
  return out;
}

keys::EpochName AuthorityState::current(std::uint16_t compartment) const {
  const auto found = current_epoch.find(compartment);
  return {compartment, found == current_epoch.end() ? 0 : found->second};
}

SecretBytes encode_authority(const keys::VaultTag& vault, const AuthorityPayload& payload, crypto::KeyView ed_seed,
                             base::Random& random) {
  // Genesis and vault key payloads hold secrets: the buffer is wiped below and its bytes handed over in locked memory.
  std::array<std::uint8_t, 32> salt{};
  random.fill(salt);
  Bytes out;
  std::size_t expected = std::size_t{1} << 16U;
  for (const AuthorityOp& op : payload.ops) {
    if (const auto* schema = std::get_if<OpSchema>(&op)) expected += schema->source.size();
  }
  out.reserve(expected);
  CborWriter w(out);
  w.array(5).bytes(salt).uint(payload.actor);
  if (payload.previous) {
    const AuthorityLink& link = *payload.previous;
    w.array(4).uint(link.entry).bytes(link.leaf_hash).uint(link.position.segment).uint(link.position.offset);
  } else {
    w.null();
  }
  w.array(payload.ops.size());
  for (const AuthorityOp& op : payload.ops) encode_op(w, op);
  w.bytes(crypto::sign_raw(ed_seed, signed_message(vault, out).view()));
  SecretBytes result = SecretBytes::copy(out);
  crypto::wipe(out);
  return result;
}

Result<AuthorityFacts> facts_of(ByteView payload) {
  CASEVAULT_TRY(const Decoded decoded, decode_payload(payload));
  AuthorityFacts facts{decoded.payload.actor, decoded.payload.previous, {}, 0, {}};
  for (const AuthorityOp& op : decoded.payload.ops) {
    if (const auto* undo = std::get_if<OpNotApplied>(&op)) facts.not_applied = undo->entry;
  }
  const auto* key = decoded.payload.ops.empty() ? nullptr : std::get_if<OpVaultKey>(&decoded.payload.ops.front());
  if (key != nullptr && !key->past.empty()) {
    facts.vault_key_epoch = key->epoch;
    facts.past_vault_key = key->past.clone();
  }
  return facts;
}

Result<void> check_not_undone(const AuthorityState& state, std::uint64_t mutation) {
  if (mutation == 0 || !state.not_applied.contains(mutation - 1)) return {};
  return Error{ErrorCode::kIntegrity,
               "the log says that entry " + std::to_string(mutation - 1) +
                   " never reached the database, which holds it: somebody with the vault key undoes what was done",
               mutation - 1};
}

Result<AuthorityState> fold_authority(std::span<const SealedLink> chain, std::uint64_t applied) {
  AuthorityState state;
  std::vector<Decoded> decoded;
  decoded.reserve(chain.size());
  for (const SealedLink& link : chain) {
    CASEVAULT_TRY(Decoded payload, decode_payload(link.payload.view()));
    for (const AuthorityOp& op : payload.payload.ops) {
      if (const auto* undo = std::get_if<OpNotApplied>(&op)) state.not_applied.insert(undo->entry);
    }
    decoded.push_back(std::move(payload));
  }
  std::optional<AuthorityLink> last;
  bool settled = true;  // every mutation so far is applied, or never will be
  for (std::size_t i = 0; i < chain.size(); ++i) {
    const AuthorityPayload& payload = decoded[i].payload;
    const std::uint64_t entry = chain[i].at.entry;
    const auto refuse = [&](std::string_view why) {
      return Error{ErrorCode::kIntegrity, "authority entry " + std::to_string(entry) + ": " + std::string(why)};
    };
    const bool linked =
        payload.previous.has_value() == last.has_value() &&
        (!last || (payload.previous->entry == last->entry && payload.previous->leaf_hash == last->leaf_hash));
    if (!linked) return refuse("does not continue the one before");
    // A mutation that another authority payload followed was committed: only the newest can still be undone.
    for (const AuthorityOp& op : payload.ops) {
      const auto* undo = std::get_if<OpNotApplied>(&op);
      if (undo == nullptr) continue;
      if (payload.ops.size() != 1) return refuse("undoes an entry beside something else");
      if (undo->entry >= entry || !last || undo->entry < last->entry) return refuse("undoes an entry that is settled");
    }
    last = chain[i].at;
    const bool genesis = i == 0;
    if (payload.ops.empty()) return refuse("says nothing");
    if (genesis && (!std::holds_alternative<OpGenesis>(payload.ops.front()))) return refuse("is no genesis");
    if (genesis && payload.actor != 1) return refuse("is not by the first principal");
    const bool live = genesis || (entry < applied && !state.not_applied.contains(entry)) ||
                      std::holds_alternative<OpNotApplied>(payload.ops.front()) ||
                      std::holds_alternative<OpVaultKey>(payload.ops.front());
    if (!live) {
      settled = settled && state.not_applied.contains(entry);
      continue;
    }
    // It was appended when nothing waited for its commit.
    if (!settled && std::holds_alternative<OpVaultKey>(payload.ops.front()))
      return Error{ErrorCode::kBusy, "the database was read before what the log says of it"};
    if (const auto before = state.principals.find(payload.actor);
        before != state.principals.end() && before->second.revoked) {
      return refuse("by a principal that was revoked before");
    }
    CASEVAULT_CHECK(Folder(state, entry, chain[i].time_ms).apply(payload, genesis));
    const auto actor = state.principals.find(payload.actor);
    if (actor == state.principals.end()) return refuse("by an unknown principal");
    if (!crypto::verify_raw(actor->second.signer_at(entry), signed_message(state.tag, decoded[i].signed_part).view(),
                            decoded[i].signature)) {
      return refuse("its signature does not verify");
    }
  }
  CASEVAULT_CHECK(check_not_undone(state, applied));
  if (state.principals.empty() || !state.schema || state.vault_key_epoch == 0) {
    return Error{ErrorCode::kIntegrity, "the genesis entry of the log is incomplete"};
  }
  for (const auto& [number, principal] : state.principals) {
    for (const auto& [name, grant] : principal.grants) {
      if (grant.ended && name == state.current(name.compartment)) state.due.insert(name.compartment);
    }
  }
  return state;
}

std::string log_origin(const keys::VaultTag& tag) { return "casevault/" + base::to_hex(tag); }

}  // namespace casevault::vault
