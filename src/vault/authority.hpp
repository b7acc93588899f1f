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
struct OpVaultKey {
  std::uint32_t epoch = 0;
  crypto::Hash commitment{};
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
  std::int64_t expires_ms = 0;  ///< 0: never; grants that expire are reserved
};
struct OpNotApplied {
  std::uint64_t entry = 0;  ///< a mutation whose transaction never committed
};
/// Goes with every epoch but the first of its compartment.
struct OpPastEpoch {
  keys::EpochName name;  ///< the epoch that this payload opens
  Bytes envelope;        ///< CK' of the one before, sealed under CK' of this one
};
struct OpDestroyedEpoch {
  keys::EpochName name;
};
/// The principal is out: signs nothing that is believed, and gets no successor epoch.
struct OpRevoke {
  PrincipalNumber principal = 0;
};
/// The same for one compartment.
struct OpEndGrant {
  PrincipalNumber principal = 0;
  std::uint16_t compartment = 0;
};
/// Something was published: tables, rows, or a budget spent by a tool outside. What is published later is held against
/// it, by whoever publishes and whatever compartments that one holds; hence here, and not in sealed details.
enum class ReleaseKind : std::uint8_t { kTable = 1, kRows = 2, kBudget = 3 };  ///< persisted
struct OpRelease {
  ReleaseKind kind{};
  Bytes definition;  ///< analytics/ledger.hpp
};
using AuthorityOp = std::variant<OpGenesis, OpSchema, OpVaultKey, OpPrincipal, OpEpoch, OpGrant, OpNotApplied,
                                 OpPastEpoch, OpDestroyedEpoch, OpRevoke, OpEndGrant, OpRelease>;

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
};
struct PrincipalState {
  PrincipalNumber number = 0;
  keys::Principal who;
  std::string role;
  std::string unit;
  std::vector<std::string> functional_roles;
  std::uint64_t entry = 0;
  std::optional<std::uint64_t> revoked;  ///< entry that revoked it
  std::map<keys::EpochName, GrantState> grants;
  /// The grant that gives this epoch: of itself, or of the nearest later one that was not taken back, which keeps
  /// what is before it.
  [[nodiscard]] std::map<keys::EpochName, GrantState>::const_iterator grant_of(keys::EpochName name) const {
    for (auto at = grants.lower_bound(name); at != grants.end() && at->first.compartment == name.compartment; ++at) {
      if (!at->second.ended) return at;
    }
    return grants.end();
  }
  [[nodiscard]] bool holds(keys::EpochName name) const { return grant_of(name) != grants.end(); }
};
struct EpochState {
  keys::EpochCommitments commitments;
  std::uint64_t half_slot = 0;
  Bytes past;              ///< CK' of the epoch before, under CK' of this one; empty for the first
  bool destroyed = false;  ///< its half was erased
};

struct ReleaseState {
  std::uint64_t entry = 0;
  PrincipalNumber actor = 0;
  ReleaseKind kind{};
  Bytes definition;
};

struct AuthorityState {
  keys::VaultTag tag{};
  std::int64_t created_ms = 0;
  SecretBytes id_key;
  SecretBytes log_seed;
  crypto::PublicKey log_public{};
  std::uint32_t vault_key_epoch = 0;
  crypto::Hash vault_key_commitment{};
  std::map<PrincipalNumber, PrincipalState> principals;
  std::map<keys::EpochName, EpochState> epochs;
  std::map<std::uint16_t, std::uint32_t> current_epoch;  ///< per compartment id
  crypto::Suite suite = crypto::Suite::kAes256Gcm;       ///< what writers seal new cells with
  std::optional<Schema> schema;
  std::set<std::uint64_t> not_applied;
  std::vector<ReleaseState> releases;  ///< in the order of their entries
  /// Compartments of whose present epoch a grant was taken back: nothing more is to be sealed under it.
  std::set<std::uint16_t> due;

  [[nodiscard]] const PrincipalState* find(std::string_view name) const;
  [[nodiscard]] const PrincipalState* find(const crypto::PublicKey& ed_public) const;
  [[nodiscard]] keys::EpochName current(std::uint16_t compartment) const;
};

/// One payload as it was read from the log.
struct SealedLink {
  AuthorityLink at;
  SecretBytes payload;
};

/// Folds the chain, oldest first. Payloads at or after entry `applied` (mutations whose transaction has not committed)
/// and those named by a later OpNotApplied change nothing, but stay in the chain. kIntegrity when the chain is broken,
/// a signature fails, an actor did what its role does not allow, or the mutation before `applied` is named so.
[[nodiscard]] Result<AuthorityState> fold_authority(std::span<const SealedLink> chain, std::uint64_t applied);
/// kIntegrity when a mutation that the database or the log counts as applied (entry + 1; 0 for none) is marked as one
/// that never was.
[[nodiscard]] Result<void> check_not_undone(const AuthorityState& state, std::uint64_t mutation);
/// What a payload says about itself; nothing of it is checked.
struct AuthorityFacts {
  PrincipalNumber actor = 0;
  std::optional<AuthorityLink> previous;
  std::optional<std::uint64_t> not_applied;  ///< the mutation that it marks
};
[[nodiscard]] Result<AuthorityFacts> facts_of(ByteView payload);

/// Name of the log's key: "casevault/<tag in hex>".
[[nodiscard]] std::string log_origin(const keys::VaultTag& tag);

}  // namespace casevault::vault
