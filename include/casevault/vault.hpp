// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <casevault/analytics.hpp>
#include <casevault/audit.hpp>
#include <casevault/disclosure.hpp>
#include <casevault/find.hpp>
#include <casevault/policy.hpp>
#include <casevault/record.hpp>
#include <casevault/schema.hpp>
#include <casevault/unlock.hpp>

#include <map>
#include <memory>

namespace casevault {

/// How the fields of new cells are sealed; chosen once, when a vault is made. Every reader opens all of them.
/// What each consists of: FORMAT.md section 3. Persisted values.
enum class Suite : std::uint8_t {
  kAes256Gcm = 1,         ///< the default: fastest where the processor has AES instructions
  kChaCha20Poly1305 = 2,  ///< for processors without them
  kHkdfAes256Gcm = 3,  ///< HKDF-SHA-512 and AES-256-GCM by OpenSSL: approved algorithms for cells; no more is claimed
};

struct InitOptions {
  std::string owner = "owner";
  /// Where the owner's identity goes. Empty: into the vault's `identities/` (convenient for a first try; status warns).
  std::filesystem::path identity_file;
  SlotCost slot_cost;
  Suite suite = Suite::kAes256Gcm;
  /// Where anchors are kept. Empty: default_state_folder().
  std::filesystem::path state_folder;
};

struct InitResult {
  std::string vault_id;  ///< 64 hexadecimal digits: hash of the genesis entry
  std::string owner;
  std::string log_key;  ///< verifier key string (C2SP signed note)
  std::string schema;
  std::filesystem::path identity_file;
};

struct OpenOptions {
  bool read_only = false;                      ///< appends nothing, cuts nothing, takes no write lock
  std::filesystem::path state_folder;          ///< where anchors are kept; empty: default_state_folder()
  std::vector<std::filesystem::path> anchors;  ///< further signed checkpoints the log must contain
  std::string trust_id;                        ///< opens a vault that the identity has not pinned, if this is its id
};

struct EpochInfo {
  std::string compartment;
  std::uint32_t epoch = 0;
};

struct Status {
  std::string id;
  std::string schema;
  Suite suite{};
  std::string principal;
  std::string role;
  std::map<std::string, std::uint64_t> records;  ///< every type of the schema
  std::uint64_t log_size = 0;
  audit::Digest root{};
  std::vector<EpochInfo> epochs;
  std::string log_key;  ///< verifier key string of the newest log key: what receipts from now on are held against
  std::uint32_t vault_key_epoch = 0;
  std::string erasure_level;  ///< "E0" or "E1" by the file system that holds erasure.root
  std::vector<std::string> warnings;
};

struct VerifyReport {
  bool ok = false;
  std::uint64_t size = 0;  ///< entries verified
  audit::Digest root{};
  std::optional<std::uint64_t> entry;  ///< first bad entry
  std::string reason;                  ///< what is wrong with it; empty when ok
  std::vector<std::string> warnings;   ///< clock steps, pending mutations, missing anchors
};

struct LogEntry {
  std::uint64_t entry = 0;
  std::int64_t time_ms = 0;
  audit::Action action{};
  audit::Outcome outcome{};
  std::string actor;
  std::string purpose;
  std::string basis;
  std::uint64_t count = 0;
  std::string details;  ///< one JSON object when details were asked for and can be opened, else empty
};

struct LogQuery {
  std::uint64_t from = 0;
  std::string actor;                ///< empty: all
  std::optional<RecordId> subject;  ///< only entries about this record; like details, needs and leaves
  bool details = false;             ///< needs the audit compartment; leaves an entry of its own first
};

/// An open vault, unlocked by an identity: the only way in. Everything is checked against keys and the log, in that
/// order.
///
/// Thread-safe: members may be called from several threads at a time. Move-only. Unusable in a forked child (kUsage).
/// Several sessions of several processes may have one vault open at once.
class CASEVAULT_API Session {
 public:
  /// Makes a new vault in `folder` (which must not exist: kUsage) and pins it in the owner's new identity.
  [[nodiscard]] static Result<InitResult> init(const std::filesystem::path& folder, const Schema& schema,
                                               const Passphrase& passphrase, const InitOptions& options = {});
  /// The same with an owner that only custodians open together: daily work runs on other principals. Failing leaves no
  /// shares.
  [[nodiscard]] static Result<InitResult> init(const std::filesystem::path& folder, const Schema& schema,
                                               const QuorumPlan& quorum, const InitOptions& options = {});
  /// kUntrusted unless the identity pins this vault (or `trust_id` names it), kNoGrant when no vault key was granted to
  /// it, kRolledBack when an anchor knows a newer log, kIntegrity, kUnsafePermissions, kUnsupported.
  [[nodiscard]] static Result<Session> open(const std::filesystem::path& folder, const Identity& identity,
                                            const OpenOptions& options = {});
  /// Pins the vault of an invitation in the identity file after opening the vault key sealed to it.
  /// Returns the vault's id. kWrongKey when the invitation is for another identity.
  [[nodiscard]] static Result<std::string> accept(std::string_view invitation, Identity& identity);

  [[nodiscard]] const Schema& schema() const;
  [[nodiscard]] Result<Status> status();

  /// `searched`: the log entry of a search that went before, for types whose schema wants one; kRefused without it.
  [[nodiscard]] Result<Written> add(std::string_view type, std::span<const FieldInput> fields,
                                    const std::optional<std::uint64_t>& searched = std::nullopt);
  /// Fields not named stay. An empty text empties the field. kConflict when `expect_version` is not the present
  /// version.
  [[nodiscard]] Result<Written> update(const RecordId& id, std::span<const FieldInput> fields,
                                       std::optional<std::uint32_t> expect_version = std::nullopt);
  [[nodiscard]] Result<std::vector<RecordInfo>> list(std::string_view type, std::size_t limit,
                                                     const std::optional<RecordId>& after = std::nullopt);
  [[nodiscard]] Result<std::vector<VersionInfo>> history(const RecordId& id);
  /// All or nothing, whatever the size. With bad rows and not skip_bad_rows: the report lists them and nothing is
  /// written.
  [[nodiscard]] Result<ImportReport> import_rows(std::string_view type, RowSource& source,
                                                 const ImportOptions& options = {});

  /// The audited disclosure: policy, then entry on disk, then plaintext. kRefused or kNoGrant (both logged), kNotFound,
  /// kIo / kDiskFull / kUnknownOutcome when the entry could not be written: nothing is released.
  [[nodiscard]] Result<Disclosure> disclose(const DisclosureRequest& request);

  /// The audited search: policy, then the index, then what was found is decrypted inside and held against what was
  /// typed; ids leave when the entry with the outcome is on disk, hit or miss. kRefused or kNoGrant (both logged),
  /// kNotFound for a type, a field without an index, or an index that has to be built first, kBadInput for a text that
  /// no record can be found by, kIntegrity when the index was altered (logged).
  [[nodiscard]] Result<FindResult> find(const FindRequest& request);
  /// Records that may be about one person: those that the policy admits are decrypted inside and compared by what the
  /// schema calls their traits; pairs leave, best explained, after the entry that names all of them is on disk. Records
  /// that are merged already make no pair. `found` returns false to stop. Errors as find; kNotFound also for a type of
  /// whose fields none has the trait name.
  [[nodiscard]] Result<DuplicatesResult> duplicates(const DuplicatesRequest& request,
                                                    const std::function<bool(const DuplicatePair&)>& found);
  /// Says in the log, signed, that two records are about one person; both stay as they are. `reason` is kept sealed.
  /// With `undo` it takes a merge back. kRefused for roles that write no records, kNoGrant without the compartment of
  /// the type's names (both logged), kBadInput for one record or two types, kConflict when they are, or are not, merged
  /// with each other already.
  [[nodiscard]] Result<Merged> merge(const RecordId& a, const RecordId& b, std::string_view reason, bool undo = false);
  /// All records that merges, one after another, say to be about the person of this one, with it, oldest first.
  [[nodiscard]] Result<std::vector<RecordId>> same_person(const RecordId& id);
  /// Granted columns of a type, exactly. Discloses nothing yet: the first read of the table does, under its own entry.
  [[nodiscard]] Result<Table> table(const TableRequest& request);
  /// A cross table that may be published, after its entry in the release ledger. kRefused (logged) when it would show a
  /// small cell together with an earlier one, which is named, and when the purpose's quota is used up.
  [[nodiscard]] Result<Tabulation> tabulate(const TabulateRequest& request);
  /// The schema's indicators over a period, one such table and entry after the other: what was refused says why, and
  /// the others come. Any other failure ends the report; the tables before it are published, and come again when asked
  /// again.
  [[nodiscard]] Result<std::vector<IndicatorResult>> indicators(const IndicatorsRequest& request);
  /// Rows that may be handed on, likewise.
  [[nodiscard]] Result<Release> release(const ReleaseRequest& request);
  /// What was published, oldest first. Every principal may read it: it holds definitions, never a count.
  [[nodiscard]] Result<std::vector<LedgerEntry>> ledger();
  /// Records what a tool outside spent; kRefused (logged) when the purpose has no more. Entry number.
  [[nodiscard]] Result<std::uint64_t> record_budget(const BudgetUse& use);

  /// Recomputes the whole tree, every commitment and signature, and compares with `anchor` (a signed checkpoint) and
  /// the anchors known at open. Findings are in the report; an error means that it could not be carried out.
  [[nodiscard]] Result<VerifyReport> verify_log(std::string_view anchor = {}, const ProgressCallback& progress = {});
  [[nodiscard]] Result<void> read_log(const LogQuery& query, const std::function<bool(const LogEntry&)>& visit);
  [[nodiscard]] Result<std::string> prove(std::uint64_t entry);  ///< receipt of one entry
  [[nodiscard]] Result<std::string> checkpoint();                ///< signed checkpoint of now, an anchor for elsewhere

  /// Certifies a principal and seals its first grants; returns the invitation to hand over.
  [[nodiscard]] Result<std::string> add_principal(const PrincipalRequest& request);
  [[nodiscard]] Result<std::vector<PrincipalInfo>> principals();
  /// Entry number of the grant. kNoGrant when this principal may not grant one of the compartments (logged). A grant
  /// that is held already can be given again only to add the right to grant it, or to change when it expires.
  [[nodiscard]] Result<std::uint64_t> grant(std::string_view principal, std::span<const std::string> compartments,
                                            const GrantOptions& options = {});
  /// Puts a principal out, at once in every open session of every process: it opens the vault no more, signs nothing
  /// that is believed, and gets neither successor epochs nor the new vault key that this begins, with a new log key and
  /// a new erasure root. The compartments it held that this principal holds too get their
  /// successors now; the others from the next writer who holds them. What lies under the old epochs stays readable for
  /// keys that it kept: re-encrypt and destroy them. kRefused for roles that may not (logged), for the last owner, and
  /// when a compartment would be left without a holder, or without anyone who may grant it. Entry number.
  [[nodiscard]] Result<std::uint64_t> revoke(std::string_view principal);
  /// The same for single compartments; also for whoever may grant them.
  [[nodiscard]] Result<std::uint64_t> revoke_grant(std::string_view principal,
                                                   std::span<const std::string> compartments);
  /// Replaces this principal's own keys by those of a new identity of the same name: every grant is sealed to them, a
  /// new vault key begins, and the identity of this session opens the vault no more, this session included. Returns the
  /// invitation for the new identity. kBadInput when the public string is of another name.
  [[nodiscard]] Result<std::string> rekey(std::string_view public_string);
  [[nodiscard]] Result<std::vector<KeyInfo>> keys();
  /// New vault key, log key and erasure root, for all who are in; at once. What was signed by the old log key stays
  /// good up to here. kRefused (logged) for roles other than owner and administrator. Entry number.
  [[nodiscard]] Result<std::uint64_t> rotate_vault_key();
  /// Says in the log, signed, that an old epoch has no cell and gets none: what comes before destroying it, or instead
  /// where old backups are to stay readable. Counts like destroy_epoch and refuses like it. Entry number.
  [[nodiscard]] Result<std::uint64_t> retire_epoch(std::string_view compartment, std::uint32_t epoch);
  /// Opens the successor epoch of a compartment, sealed to exactly those who hold the present one: new writes are under
  /// it at once, in every open session; what is under old epochs stays readable. Takes no rights beyond holding the
  /// compartment. kNoGrant without it (logged), kNotFound for no such compartment.
  [[nodiscard]] Result<Rotation> rotate(std::string_view compartment);
  /// Seals every cell under an old epoch anew under the current one, while readers and writers work: the write lock is
  /// held for some milliseconds at a time. Can be stopped or killed anywhere and simply called again: what is still to
  /// be done is what the heads say, no journal tells it. kNoGrant for a named compartment that is not held.
  [[nodiscard]] Result<Reencryption> reencrypt(const ReencryptOptions& options = {});
  /// Counts; when old epochs are there and nothing is left under them, an entry says so under this principal's
  /// signature (not when the vault is open read-only).
  [[nodiscard]] Result<Census> census();
  /// Erases the half of an old epoch, so that its grants, kept in the log, open nothing any more, also not from older
  /// copies of the database (level as `Status::erasure_level`). Counts first, in the same transaction: kRefused while
  /// cells are left, for the current epoch, for `audit` (details of the log are under it), for roles other than owner
  /// and administrator; kNoGrant for who does not hold the compartment, because every cell of it is checked against the
  /// keys first; these are logged. kIntegrity when the vault does not verify: nothing is destroyed then. kErasePending:
  /// destroyed, but the old root is not overwritten yet; the next session that may write does it. Entry number.
  [[nodiscard]] Result<std::uint64_t> destroy_epoch(std::string_view compartment, std::uint32_t epoch);

  /// Keeps the newest checkpoint as anchor and ends the session; also done by the destructor.
  void close() noexcept;

  Session(Session&&) noexcept;
  Session& operator=(Session&&) noexcept;
  ~Session();
  struct Impl;
  explicit Session(std::unique_ptr<Impl> impl) noexcept;

 private:
  std::unique_ptr<Impl> impl_;
};

}  // namespace casevault
