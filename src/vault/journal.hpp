// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "audit/entry.hpp"
#include "audit/merkle.hpp"
#include "log/log.hpp"
#include "vault/authority.hpp"

#include <map>
#include <memory>
#include <mutex>

/// What the frames of the log mean: entries, batch signatures, vault key grants, segment headers (FORMAT.md, "Log
/// frames"). Seals what goes in, keeps the tree's right edge, and hands out what comes back. The only client of
/// log::Log.
namespace casevault::vault {

/// What a mutation wrote, for the comparison of heads with the log.
struct WritePayload {
  std::uint64_t first_row = 0;
  std::uint64_t rows = 1;
  std::uint32_t version = 1;
  std::array<std::uint8_t, 16> stamp{};  ///< of the row; for a range the seed its rows' stamps derive from
  bool range = false;
  std::uint64_t import_id = 0;
};

using VaultKeyGrant = std::pair<keys::GrantLabel, Bytes>;

/// The parts of an entry before it has a number.
struct EntryDraft {
  audit::Leaf leaf;       ///< time and the commitments of payloads are filled in by the journal
  bool mutation = false;  ///< a database transaction belongs to it
  /// Newest authority entry that its actor knew. When it is not the newest any more (the actor may have been revoked),
  /// the entry is not written: kBusy.
  std::optional<std::uint64_t> decided_under;
  std::vector<AuthorityOp> authority;
  std::vector<VaultKeyGrant> vault_key_grants;
  /// Begins the next vault key epoch, which `authority` says first and `vault_key_grants` hands out: this entry and
  /// all after it are sealed under it.
  std::optional<SecretBytes> vault_key;
  std::optional<WritePayload> write;
  /// Seals the details for the entry's number (vault/details.hpp); may be empty.
  std::function<Result<Bytes>(std::uint64_t entry)> details;
};

struct EntryPlace {
  std::uint64_t entry = 0;
  log::Position position;
  audit::Digest leaf_hash{};
};

/// An entry as it stands in the log.
struct EntryFrame {
  std::uint64_t entry = 0;
  log::Position position;
  audit::Digest leaf_hash{};
  std::uint32_t vault_key_epoch = 0;
  ByteView leaf, vault_keys, authority, write, details;  ///< sealed, as stored; valid during the visit
};
struct CloseFrame {
  log::Position vault_keys{UINT32_MAX, UINT32_MAX};
  std::uint64_t size_before = 0;
  std::uint64_t size_after = 0;
  std::uint32_t vault_key_epoch = 0;
  ByteView sealed;
};
struct BatchClose;

class Journal final : public log::LogClient {
 public:
  explicit Journal(const base::Environment& environment) noexcept : environment_(environment) {}

  /// Before the log is created: the tag and vault key of a new vault.
  void begin_new(const keys::VaultTag& tag, const SecretBytes& vault_key, PrincipalNumber actor,
                 const SecretBytes& ed_seed);

  // --- opening: log first, then the vault key from it, then the rest ---
  [[nodiscard]] const keys::VaultTag& tag() const noexcept { return tag_; }
  /// Finds the vault key granted to this principal, out of the anonymous grants in the log, and so the present state:
  /// what was replayed until then has waited for it. Grants of later epochs are opened as they come. kNoGrant when
  /// there is none of the newest epoch: no principal, or one that was revoked.
  [[nodiscard]] Result<void> unlock(log::Log& log, const SecretBytes& x_secret, const crypto::PublicKey& x_public);
  /// Vault key of an epoch; lives as long as the journal. kUnsupported for an epoch that was not met yet.
  [[nodiscard]] Result<const SecretBytes*> vault_key(std::uint32_t epoch) const;
  /// Of the newest epoch that is acknowledged.
  [[nodiscard]] const SecretBytes& vault_key() const;
  [[nodiscard]] std::uint32_t vault_key_epoch() const;
  void set_actor(PrincipalNumber actor, const SecretBytes& ed_seed);

  // --- state as of the last acknowledged batch seen ---
  struct State {
    audit::CompactRange tree;
    std::optional<AuthorityLink> last_authority;
    /// Entry + 1 of the newest mutation that is not marked `not applied`; 0 for none.
    std::uint64_t last_mutation = 0;
    /// What the database was known to have applied when an entry was written. The database is at `last_mutation`, or
    /// still here while that mutation stands between its entry and its commit; anywhere else one of the two files was
    /// rolled back.
    std::uint64_t database_floor = 0;
    log::Position vault_keys{UINT32_MAX, UINT32_MAX};  ///< newest frame with vault key grants
    std::uint32_t vault_key_epoch = 1;
    std::int64_t last_time_ms = 0;
  };
  [[nodiscard]] State state() const;
  /// Of that, what every snapshot asks for.
  struct Newest {
    std::optional<AuthorityLink> authority;
    std::uint64_t mutation = 0;
    std::uint64_t floor = 0;
  };
  [[nodiscard]] Newest newest() const;

  /// Tells what the database has applied; the next entry makes it the floor.
  void database_at(std::uint64_t applied);

  // --- appending ---
  /// Appends one entry durably. `guard` runs under the log lock, after foreign entries were replayed: what it refuses
  /// is not appended (used to see that the authority a decision rests on is still the newest).
  using Guard = std::function<Result<void>(const State&)>;
  [[nodiscard]] Result<EntryPlace> append(log::Log& log, EntryDraft draft, const Guard& guard = {});

  // --- reading ---
  using VisitEntry = std::function<Result<bool>(const EntryFrame&)>;
  using VisitClose = std::function<Result<bool>(const CloseFrame&)>;
  /// Entries (and closing frames) from the segment that holds entry `from` on; entries before `from` are visited too
  /// when `whole_segment`. Stops when a visitor returns false.
  [[nodiscard]] Result<void> scan(log::Log& log, std::uint64_t from, const VisitEntry& on_entry,
                                  const VisitClose& on_close = {}, bool whole_segment = false) const;
  [[nodiscard]] Result<audit::Leaf> open_leaf(const EntryFrame& frame) const;  ///< also checks the leaf hash
  [[nodiscard]] Result<SecretBytes> open_leaf_bytes(const EntryFrame& frame) const;
  [[nodiscard]] Result<SecretBytes> open_authority(
      const EntryFrame& frame) const;  ///< payload bytes, for fold_authority
  /// What the leaf must hold as its authority commitment: over the payload and the vault key grants beside it.
  [[nodiscard]] static audit::Commitment authority_commitment(ByteView payload, ByteView vault_keys);
  struct OpenedWrite {
    WritePayload payload;
    SecretBytes opening;
  };
  [[nodiscard]] Result<OpenedWrite> open_write(const EntryFrame& frame) const;
  [[nodiscard]] Result<BatchClose> open_close(const CloseFrame& frame) const;
  [[nodiscard]] static Bytes batch_message(const keys::VaultTag& tag, std::uint64_t size_before,
                                           const audit::Digest& root_before, std::span<const audit::Digest> leaves);
  /// The authority chain up to the newest link, oldest first.
  [[nodiscard]] Result<std::vector<SealedLink>> authority_chain(log::Log& log) const;
  [[nodiscard]] Result<std::vector<SealedLink>> authority_chain(log::Log& log, std::optional<AuthorityLink> link) const;
  /// Tree just before the segment that holds entry `from` (or is the last one).
  [[nodiscard]] Result<audit::CompactRange> tree_before_segment(log::Log& log, std::uint64_t from,
                                                                std::uint32_t& segment) const;
  /// Entries that can be read from the first on, without a key: the number of the first that cannot.
  [[nodiscard]] static std::uint64_t intact_entries(const std::filesystem::path& folder);
  /// What each segment's header claims to continue, in order: hints for readers, judged by a full verification.
  [[nodiscard]] Result<std::vector<State>> segment_heads(log::Log& log) const;

 private:
  // log::LogClient
  Bytes segment_header() override;
  Result<void> start(ByteView header) override;
  Result<void> replay(const log::FrameView& frame) override;
  Result<Bytes> close_batch(log::Position position) override;
  void rollback() override;

  /// How entries move a state, as far as their frames show it without a key.
  struct Moves {
    std::optional<AuthorityLink> authority;
    std::optional<log::Position> vault_keys;
    std::optional<std::uint64_t> newest, before;  ///< entries with an authority or write payload
    bool may_mark = false;                        ///< the newest has no write payload
    std::uint32_t vault_key_epoch = 1;            ///< of the newest entry; before the first, of what precedes it
    bool impossible = false;                      ///< no writer makes such frames
    void add(const EntryFrame& entry);
  };
  /// Opens this principal's grant of the epoch that the entry begins.
  [[nodiscard]] Result<void> learn_vault_key(const EntryFrame& entry);
  [[nodiscard]] Result<SecretBytes> find_vault_key(log::Log& log, std::uint32_t epoch, log::Position at) const;
  void set_vault_key(std::uint32_t epoch, SecretBytes key);
  [[nodiscard]] Result<void> add_vault_key(std::uint32_t epoch, SecretBytes key) const;
  [[nodiscard]] Bytes entry_context(std::uint64_t entry, std::uint32_t vault_key_epoch) const;
  [[nodiscard]] Result<SecretBytes> open_sealed(const format::Label& label, const EntryFrame& frame, ByteView sealed,
                                                std::string_view what) const;
  Result<void> absorb(const log::FrameView& frame);
  Result<void> keep_locked(const log::FrameView& frame);
  /// Whether the state that ends a batch is one that the frames since `before` can have given.
  [[nodiscard]] static bool follows(const State& before, const Moves& moves, const State& said);
  /// State a segment begins with, as its head was sealed; kIntegrity when anything in it was altered.
  [[nodiscard]] Result<State> open_segment_header(ByteView header) const;
  [[nodiscard]] Bytes close_context(const CloseFrame& frame) const;
  void promote();  ///< under the mutex
  Bytes encode_state(const State& state) const;

  base::Environment environment_;
  keys::VaultTag tag_{};
  mutable std::mutex keys_mutex_;
  mutable std::map<std::uint32_t, std::unique_ptr<const SecretBytes>> vault_keys_;  ///< by epoch
  bool unlocked_ = false;
  SecretBytes x_secret_;
  crypto::PublicKey x_public_{};
  PrincipalNumber actor_ = 0;
  SecretBytes ed_seed_;
  crypto::Signer signer_;  ///< of the same

  mutable std::mutex mutex_;     ///< guards these three, which are read and promoted while a batch is built
  State acknowledged_;           ///< while closed_ is empty, only the log's callbacks change it
  std::optional<State> closed_;  ///< after a batch that was handed to the log and not yet told durable
  std::uint64_t known_applied_ = 0;

  // Of the log's callbacks, which come one at a time.
  State working_;
  std::vector<audit::Digest> batch_;  ///< leaf hashes of the batch being built
  Moves moves_;                       ///< of the batch being absorbed
  /// What was replayed before the vault key is known. The end of the last batch states all that is needed: it seals the
  /// root before it, and so the hashes of all entries up to there.
  struct Locked {
    Bytes header;                       ///< of the segment
    std::uint64_t size = 0;             ///< entries before it
    std::vector<audit::Digest> leaves;  ///< leaf hashes of the entries since
    Moves moves;                        ///< of the same
    std::size_t batches = 0;            ///< of these, in whole batches
    std::size_t last_batch = 0;         ///< of these, before the last batch
    Bytes last_close;
    log::Position last_close_at;
    log::Position vault_keys{UINT32_MAX, UINT32_MAX};  ///< newest position told by the frames
    std::uint32_t epoch = 1;
  };
  Locked locked_;
};

/// The opened closing frame. No signature covers the state: it is what the entries give, or a lie.
struct BatchClose {
  PrincipalNumber actor = 0;
  std::uint64_t size_before = 0;
  audit::Digest root_before{};
  std::uint64_t count = 0;
  crypto::Signature signature{};
  Journal::State state;  ///< without the tree
};

}  // namespace casevault::vault
