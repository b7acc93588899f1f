// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <casevault/audit.hpp>
#include <casevault/schema.hpp>

#include "crypto/suite.hpp"
#include "keys/erasure_root.hpp"
#include "keys/grants.hpp"
#include "keys/identity.hpp"
#include "log/log.hpp"

#include <map>
#include <set>
#include <variant>

/// Who may do what: a fold over the authority payloads of the log, from the genesis entry on (FORMAT.md, "Authority").
/// Pure: payloads in, state out. Every payload is signed by its actor and names the one before.
namespace casevault::vault {

inline constexpr std::uint16_t kAuditCompartment = 64;  ///< persisted id
using PrincipalNumber = std::uint32_t;                  ///< permanent, from 1, never reused

struct OpGenesis {
  keys::VaultTag tag{};
  std::int64_t created_ms = 0;
  SecretBytes id_key;       ///< AES-256 key of public record ids
  SecretBytes log_seed;     ///< Ed25519 seed that signs checkpoints
  std::uint64_t suite = 0;  ///< crypto::Suite of new cells; the fold judges it
};
struct OpSchema {
  std::string source;
};
/// A payload that begins a new vault key epoch says so first, is itself sealed under the new key, belongs to no
/// database transaction and holds at once.
struct OpVaultKey {
  std::uint32_t epoch = 0;
  crypto::Hash commitment{};
  SecretBytes past;  ///< the vault key of the epoch before; none in the genesis
};
/// Signs checkpoints from here on. Only beside a new vault key: who holds that knows the seed.
struct OpLogKey {
  SecretBytes seed;
};
/// The database and erasure.root are sealed under this vault key epoch from here on, under a new erasure root.
struct OpDatabaseKey {
  std::uint32_t epoch = 0;
};
struct OpPrincipal {
  PrincipalNumber number = 0;
  std::string public_string;
  std::string role;
  std::string unit;
  std::vector<std::string> functional_roles;
};
struct OpEpoch {
  keys::EpochName name;
  keys::EpochCommitments commitments;
  std::uint64_t half_slot = 0;  ///< in the key tree, kind kEpochHalves
};
struct OpGrant {
  PrincipalNumber principal = 0;
  keys::EpochName name;
  Bytes box;
  bool may_grant = false;
  std::int64_t expires_ms = 0;  ///< from this time on it is refused and taken back by whoever holds the epoch; 0: never
};
struct OpNotApplied {
  std::uint64_t entry = 0;  ///< a mutation whose transaction never committed
};
/// Goes with every epoch but the first of its compartment.
struct OpPastEpoch {
  keys::EpochName name;  ///< the epoch that this payload opens
  Bytes envelope;        ///< CK' of the one before, sealed under CK' of this one
};
/// No cell is under the epoch any more, and none will be: a statement before its half is destroyed, or instead.
struct OpRetiredEpoch {
  keys::EpochName name;
};
struct OpDestroyedEpoch {
  keys::EpochName name;
};
/// The principal is out: signs nothing that is believed, and gets no successor epoch and no new vault key. Only beside
/// a new vault key.
struct OpRevoke {
  PrincipalNumber principal = 0;
};
/// The same for one compartment.
struct OpEndGrant {
  PrincipalNumber principal = 0;
  std::uint16_t compartment = 0;
};
/// The actor's own keys are replaced, under its name; every grant it has of a present epoch is sealed to the new ones
/// in the same payload. Only beside a new vault key: who stole the old ones knows the present one.
struct OpRekey {
  std::string public_string;
};
/// Something was published: tables, rows, or a budget spent by a tool outside. What is published later is held against
/// it, by whoever publishes and whatever compartments that one holds; hence here, and not in sealed details.
enum class ReleaseKind : std::uint8_t { kTable = 1, kRows = 2, kBudget = 3 };  ///< persisted
struct OpRelease {
  ReleaseKind kind{};
  Bytes definition;  ///< analytics/ledger.hpp
};
/// Two records are about one person, or are not after all. A fact of the log like all here: it holds whatever becomes
/// of the database, and tells numbers of rows only.
struct OpSamePerson {
  std::uint32_t a = 0;  ///< row; less than b
  std::uint32_t b = 0;
  bool same = true;
};
using AuthorityOp = std::variant<OpGenesis, OpSchema, OpVaultKey, OpPrincipal, OpEpoch, OpGrant, OpNotApplied,
                                 OpPastEpoch, OpDestroyedEpoch, OpRevoke, OpEndGrant, OpLogKey, OpDatabaseKey,
                                 OpRetiredEpoch, OpRekey, OpRelease, OpSamePerson>;

/// Where a payload stands in the chain.
struct AuthorityLink {
  std::uint64_t entry = 0;
  audit::Digest leaf_hash{};
  log::Position position;  ///< where to look; what stands there is judged by the hash
  bool operator==(const AuthorityLink&) const = default;
};

struct AuthorityPayload {
  PrincipalNumber actor = 0;
  std::optional<AuthorityLink> previous;  ///< none for the genesis payload
  std::vector<AuthorityOp> ops;
};

/// CBOR [salt 32, actor, previous|null, ops, signature]. Holds secrets (genesis), hence SecretBytes.
[[nodiscard]] SecretBytes encode_authority(const keys::VaultTag& vault, const AuthorityPayload& payload,
                                           crypto::KeyView ed_seed, base::Random& random);

struct GrantState {
  Bytes box;
  bool may_grant = false;
  bool ended = false;  ///< taken back: goes on to no successor epoch
  std::int64_t expires_ms = 0;
  [[nodiscard]] bool expired(std::int64_t now_ms) const noexcept { return expires_ms != 0 && now_ms >= expires_ms; }
};
/// Whether giving a grant again gives more, and nothing less: the right to grant it, a later end.
[[nodiscard]] bool gives_more(const GrantState& held, const GrantState& given);
struct PrincipalState {
  PrincipalNumber number = 0;
  keys::Principal who;
  std::string role;
  std::string unit;
  std::vector<std::string> functional_roles;
  std::uint64_t entry = 0;
  std::optional<std::uint64_t> revoked;  ///< entry that revoked it
  /// Keys it had before, with the entry that replaced them.
  std::vector<std::pair<std::uint64_t, keys::Principal>> former;
  /// What signs a batch of this principal that begins with `entry`.
  [[nodiscard]] const crypto::PublicKey& signer_at(std::uint64_t first) const { return keys_at(first, true).ed_public; }
  /// Its keys once an entry holds.
  [[nodiscard]] const keys::Principal& keys_after(std::uint64_t at) const { return keys_at(at, false); }
  std::map<keys::EpochName, GrantState> grants;
  /// The grant that gives this epoch: of itself, or of the nearest later one that was not taken back, which keeps
  /// what is before it.
  [[nodiscard]] std::map<keys::EpochName, GrantState>::const_iterator grant_of(keys::EpochName name) const {
    for (auto at = grants.lower_bound(name); at != grants.end() && at->first.compartment == name.compartment; ++at) {
      if (!at->second.ended) return at;
    }
    return grants.end();
  }
  [[nodiscard]] const keys::Principal& keys_at(std::uint64_t at, bool before) const;
  [[nodiscard]] bool holds(keys::EpochName name) const { return grant_of(name) != grants.end(); }
  /// When what it holds of a compartment ends: what its newest grant says, for older epochs too. 0: never.
  [[nodiscard]] std::int64_t expires_ms(std::uint16_t compartment) const;
  /// Holds the epoch, at this time.
  [[nodiscard]] bool may_open(keys::EpochName name, std::int64_t now_ms) const {
    const std::int64_t end = expires_ms(name.compartment);
    return holds(name) && (end == 0 || now_ms < end);
  }
};
struct EpochState {
  keys::EpochCommitments commitments;
  std::uint64_t half_slot = 0;
  Bytes past;              ///< CK' of the epoch before, under CK' of this one; empty for the first
  bool destroyed = false;  ///< its half was erased
  bool retired = false;    ///< said to be empty for good
};
struct LogKeyState {
  std::uint64_t from = 0;  ///< entry that certifies it; checkpoints of more entries are signed by it
  crypto::PublicKey key{};
};

struct ReleaseState {
  std::uint64_t entry = 0;
  PrincipalNumber actor = 0;
  ReleaseKind kind{};
  Bytes definition;
};

/// Two records that were said to be about one person, by rows.
struct SamePersonState {
  std::uint64_t entry = 0;
  PrincipalNumber actor = 0;
  std::int64_t time_ms = 0;
  OpSamePerson what;
};

struct AuthorityState {
  keys::VaultTag tag{};
  std::int64_t created_ms = 0;
  SecretBytes id_key;
  SecretBytes log_seed;               ///< of the newest log key
  std::vector<LogKeyState> log_keys;  ///< oldest first
  std::uint32_t vault_key_epoch = 0;
  crypto::Hash vault_key_commitment{};
  std::uint32_t database_key_epoch = 0;  ///< vault key epoch that the database and erasure.root are under
  std::map<PrincipalNumber, PrincipalState> principals;
  std::map<keys::EpochName, EpochState> epochs;
  std::map<std::uint16_t, std::uint32_t> current_epoch;  ///< per compartment id
  crypto::Suite suite = crypto::Suite::kAes256Gcm;       ///< what writers seal new cells with
  std::optional<Schema> schema;
  std::set<std::uint64_t> not_applied;
  std::vector<ReleaseState> releases;                      ///< in the order of their entries
  std::vector<SamePersonState> same_person;                ///< all that was ever said, in the order of their entries
  std::map<std::uint32_t, std::set<std::uint32_t>> links;  ///< what holds of it: rows beside each, both ways
  /// Compartments of whose present epoch a grant was taken back: nothing more is to be sealed under it.
  std::set<std::uint16_t> due;

  [[nodiscard]] const PrincipalState* find(std::string_view name) const;
  [[nodiscard]] const PrincipalState* find(const crypto::PublicKey& ed_public) const;
  [[nodiscard]] keys::EpochName current(std::uint16_t compartment) const;
  /// All records that merges, one after another, say to be about the person of this one, with it; ascending.
  [[nodiscard]] std::vector<std::uint32_t> rows_of_person(std::uint32_t row) const;
  /// Unended grants of present epochs that have expired: principal and compartment.
  [[nodiscard]] std::vector<std::pair<PrincipalNumber, std::uint16_t>> expired(std::int64_t now_ms) const;
};

/// One payload as it was read from the log.
struct SealedLink {
  AuthorityLink at;
  SecretBytes payload;
  std::int64_t time_ms = 0;  ///< of its leaf
};

/// Folds the chain, oldest first. Payloads at or after entry `applied` (mutations whose transaction has not committed)
/// and those named by a later OpNotApplied change nothing, but stay in the chain; those that begin a vault key epoch
/// are no mutations and always hold. kIntegrity when the chain is broken, a signature fails, an actor did what its role
/// does not allow, or the mutation before `applied` is named so.
[[nodiscard]] Result<AuthorityState> fold_authority(std::span<const SealedLink> chain, std::uint64_t applied);
/// kIntegrity when a mutation that the database or the log counts as applied (entry + 1; 0 for none) is marked as one
/// that never was.
[[nodiscard]] Result<void> check_not_undone(const AuthorityState& state, std::uint64_t mutation);
/// What a payload says about itself; nothing of it is checked.
struct AuthorityFacts {
  PrincipalNumber actor = 0;
  std::optional<AuthorityLink> previous;
  std::optional<std::uint64_t> not_applied;  ///< the mutation that it marks
  std::uint32_t vault_key_epoch = 0;         ///< that it begins; 0 for none
  SecretBytes past_vault_key;                ///< of the epoch before that
};
[[nodiscard]] Result<AuthorityFacts> facts_of(ByteView payload);

/// Name of the log's key: "casevault/<tag in hex>".
[[nodiscard]] std::string log_origin(const keys::VaultTag& tag);

}  // namespace casevault::vault
