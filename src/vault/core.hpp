// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <casevault/vault.hpp>

#include "base/file.hpp"
#include "base/process_id.hpp"
#include "crypto/aead.hpp"
#include "keys/key_tree.hpp"
#include "model/record_row.hpp"
#include "policy/policy.hpp"
#include "vault/anchors.hpp"
#include "vault/db_state.hpp"
#include "vault/details.hpp"
#include "vault/index.hpp"
#include "vault/journal.hpp"

#include <mutex>
#include <unordered_map>

/// An open, unlocked vault: log, database, erasure root and the keys that this principal can reach, kept fresh.
/// Everything above it (records, imports, people, disclosure) goes through a Snapshot or a UnitOfWork.
namespace casevault::vault {

/// Authority as of a snapshot, and who this session is in it.
struct Authority {
  AuthorityState state;
  std::uint64_t newest = 0;  ///< entry of the newest link that was folded
  bool newest_pending = false;
  PrincipalNumber self = 0;
  [[nodiscard]] const PrincipalState& me() const { return state.principals.at(self); }
  [[nodiscard]] policy::Actor actor() const { return {me().role, me().functional_roles, me().unit}; }
  [[nodiscard]] const Schema& schema() const { return *state.schema; }
};

/// A consistent view: one database snapshot and the authority that holds in it.
struct Snapshot {
  std::unique_ptr<store::ReadTxn> txn;
  DbState db;
  std::shared_ptr<const Authority> authority;
};

/// How an open went, for whoever examines the vault.
struct Examination {
  bool believe = true;               ///< in: a remembered pre-flight of data.mdb will do
  bool alone = false;                ///< out: nobody else had the vault open, so data.mdb was checked at all
  std::string_view part = "folder";  ///< out: what was being opened last
};

class Core {
 public:
  [[nodiscard]] static Result<std::unique_ptr<Core>> open(const std::filesystem::path& folder, const Identity& identity,
                                                          const OpenOptions& options,
                                                          const base::Environment& environment,
                                                          Examination* examination = nullptr);
  ~Core();
  Core(const Core&) = delete;
  Core& operator=(const Core&) = delete;

  /// Fresh snapshot; reloads authority, roots and keys whose generation changed. The log is known at least as far as
  /// the snapshot has applied it, which is all that authority depends on; who shows or judges the log refreshes it
  /// first. An append sees everything: its guard runs after the entries of other processes were replayed.
  [[nodiscard]] Result<Snapshot> snapshot();
  /// The same for the database as a write transaction sees it.
  [[nodiscard]] Result<DbState> load_state(store::ReadTxn& txn);
  [[nodiscard]] Result<std::shared_ptr<const Authority>> authority_for(const DbState& db);

  /// CK of an epoch. kNoGrant when this principal does not hold it, kUnsupported for an unknown epoch.
  [[nodiscard]] Result<std::shared_ptr<const SecretBytes>> epoch_key(store::ReadTxn& txn, const DbState& db,
                                                                     const Authority& authority, keys::EpochName name);
  [[nodiscard]] bool may_open(const Authority& authority, keys::EpochName name) const {
    return authority.me().may_open(name, environment_.clock->now_ms());
  }
  /// Granted part CK' of an epoch this principal holds. A grant that has expired is none, except for who takes it along
  /// to new keys.
  enum class Expired { kNot, kToo };
  [[nodiscard]] Result<SecretBytes> granted_key(const Authority& authority, keys::EpochName name,
                                                Expired expired = Expired::kNot) const;
  /// Cached only for the tree generation that the caches belong to: an older snapshot reads its own tree.
  [[nodiscard]] Result<std::shared_ptr<const model::LeafKey>> leaf_key(store::ReadTxn& txn, const DbState& db,
                                                                       std::uint64_t leaf);
  /// The same, making the leaf when it does not exist.
  [[nodiscard]] Result<std::shared_ptr<const model::LeafKey>> make_leaf_key(store::WriteTxn& txn, const DbState& db,
                                                                            std::uint64_t leaf);
  /// A new leaf node key from what the tree holds now, past the cache.
  [[nodiscard]] model::LeafKey derive_leaf(const SecretBytes& node_key, std::uint64_t leaf) const;
  void forget_leaf(std::uint64_t leaf);

  [[nodiscard]] RecordId id_of(std::uint64_t row) const { return ids_of(row, 1).front(); }
  [[nodiscard]] std::vector<RecordId> ids_of(std::uint64_t first_row, std::size_t count) const;
  [[nodiscard]] std::vector<RecordId> ids_of(std::span<const std::uint32_t> rows) const;
  /// nullopt for an id that was never issued by this vault (mistyped).
  [[nodiscard]] std::optional<std::uint64_t> row_of(const RecordId& id) const { return rows_of({&id, 1}).front(); }
  [[nodiscard]] std::vector<std::optional<std::uint64_t>> rows_of(std::span<const RecordId> ids) const;
  /// Reads and opens a row. kNotFound when the id is mistyped or there is no such record. `value` keeps the row's bytes
  /// alive (they live as long as the transaction).
  [[nodiscard]] Result<model::OpenedRow> open_row(store::ReadTxn& txn, const DbState& db, const RecordId& id,
                                                  std::uint64_t& row);
  /// The same for many rows: only the head, into what is used again. `row` is what rows_of said.
  [[nodiscard]] Result<void> open_head(store::ReadTxn& txn, const DbState& db, const RecordId& id,
                                       std::optional<std::uint64_t> row, model::HeadOpener& head);
  [[nodiscard]] Result<model::OpenedRow> open_row_number(store::ReadTxn& txn, const DbState& db, std::uint64_t row,
                                                         ByteView value);
  /// Visits every published record from row `from` on, in order, while `visit` returns true.
  using VisitRow = std::function<Result<bool>(std::uint64_t row, const model::OpenedRow& opened)>;
  /// Told of a record whose head does not open, and visited instead of it; without one the scan ends there.
  using VisitDamaged = std::function<Result<bool>(std::uint64_t row, const Error& error)>;
  [[nodiscard]] Result<void> scan_rows(store::ReadTxn& txn, const DbState& db, std::uint64_t from,
                                       const VisitRow& visit, bool staged_too = false,
                                       const VisitDamaged& damaged = {});
  /// The same for many records of which only heads, and then cells, are opened: the head lives until the next one.
  using VisitHead = std::function<Result<bool>(std::uint64_t row, const model::HeadOpener& head)>;
  [[nodiscard]] Result<void> scan_heads(store::ReadTxn& txn, const DbState& db, std::uint64_t from,
                                        model::HeadOpener& head, const VisitHead& visit,
                                        const VisitDamaged& damaged = {});
  /// The sealed bytes of every published record, in order, for who needs to know only that they are there.
  using VisitSealed = std::function<void(std::uint64_t row, ByteView sealed)>;
  [[nodiscard]] static Result<void> scan_sealed(store::ReadTxn& txn, const DbState& db, const VisitSealed& visit);
  [[nodiscard]] model::RowContext row_context(std::uint64_t row) const { return {tag(), row}; }

  /// Appends an entry that belongs to no database transaction.
  [[nodiscard]] Result<EntryPlace> append(EntryDraft draft, const Journal::Guard& guard = {});
  /// Drafts an entry with sealed details; the audit compartment's deposit key is taken from `authority`.
  [[nodiscard]] Result<EntryDraft> draft(const Authority& authority, audit::Action action, audit::Outcome outcome,
                                         DetailsDraft details);
  /// Logs a denial or failure. The error of the append itself wins when it cannot be written (fail closed).
  [[nodiscard]] Error refuse(const Authority& authority, audit::Action action, audit::Outcome outcome,
                             DetailsDraft details, std::string purpose, std::string basis, Error error);

  [[nodiscard]] const keys::VaultTag& tag() const noexcept { return journal_.tag(); }
  [[nodiscard]] const audit::Digest& vault_id() const noexcept { return vault_id_; }
  /// For the state row under a vault key epoch that is known (load_state, a write under the newest).
  [[nodiscard]] Result<StateSeal> state_seal(std::uint32_t vault_key_epoch) const;
  [[nodiscard]] Journal& journal() noexcept { return journal_; }
  /// Counts of words of the search index that were committed.
  [[nodiscard]] model::KeptCounts& word_counts() noexcept { return word_counts_; }
  [[nodiscard]] log::Log& log() noexcept { return *log_; }
  [[nodiscard]] store::Store& store() noexcept { return *store_; }
  [[nodiscard]] base::Random& random() const noexcept { return *environment_.random; }
  [[nodiscard]] const base::Environment& environment() const noexcept { return environment_; }
  [[nodiscard]] const std::filesystem::path& folder() const noexcept { return folder_; }
  [[nodiscard]] bool read_only() const noexcept { return options_.read_only; }
  [[nodiscard]] const OpenOptions& options() const noexcept { return options_; }
  [[nodiscard]] const SecretBytes& ed_seed() const noexcept { return ed_seed_; }
  [[nodiscard]] const SecretBytes& vault_key() const { return journal_.vault_key(); }
  [[nodiscard]] std::shared_ptr<const SecretBytes> erasure_root();
  [[nodiscard]] const std::vector<std::string>& open_warnings() const noexcept { return warnings_; }
  [[nodiscard]] const std::vector<std::pair<std::string, std::string>>& anchor_notes() const noexcept {
    return anchor_notes_;
  }
  [[nodiscard]] std::string log_key() const;  ///< verifier key string of the newest
  /// A signed checkpoint of this vault's log: by the newest log key, or by an older one up to where that was replaced.
  [[nodiscard]] Result<audit::Checkpoint> verify_checkpoint(std::string_view note) const;
  [[nodiscard]] Result<std::string> sign_checkpoint();                    ///< of the acknowledged state
  [[nodiscard]] Result<std::string> sign_checkpoint(std::uint64_t size);  ///< of an earlier size
  [[nodiscard]] Result<audit::Digest> root_at(std::uint64_t size);        ///< root of an earlier size of the log
  /// Of the erasure root that a state names.
  [[nodiscard]] Result<keys::RootContext> root_context(std::uint32_t vault_key_epoch) const;
  [[nodiscard]] std::filesystem::path root_file() const { return folder_ / "erasure.root"; }
  /// Serialises imports of this vault among processes: a lock that lives as long as the descriptor.
  [[nodiscard]] Result<base::Fd> lock_imports() const;
  /// Appends `not applied` for a mutation entry whose transaction never committed, if there is one.
  [[nodiscard]] Result<void> settle_pending();
  /// The same for a caller that already holds the database's write lock.
  [[nodiscard]] Result<void> settle_pending(store::WriteTxn& txn);
  /// kUsage in a forked child: the keys were wiped there, and what it signed or opened would be wrong.
  [[nodiscard]] Result<void> check_process() const;
  void keep_anchor() noexcept;
  void close() noexcept;

 private:
  explicit Core(const base::Environment& environment) noexcept : environment_(environment), journal_(environment) {}
  Result<void> open_database(const Pin* pin, Examination& examination);
  template <typename RowAt>
  std::vector<RecordId> encrypt_ids(std::size_t count, const RowAt& row_at) const;
  Result<void> check_file(bool believe, bool& alone);
  Result<void> check_anchor(const std::string& name, std::string_view note);
  /// kRolledBack unless the database stands at the log's newest mutation or the one before it.
  Result<void> check_in_step(const DbState& db) const;
  Result<std::shared_ptr<const SecretBytes>> root_of(const DbState& db);
  /// What draft() does once no authority entry is waiting for its commit.
  Result<EntryDraft> draft_settled(const Authority& authority, audit::Action action, audit::Outcome outcome,
                                   DetailsDraft details);
  Result<std::string> sign_root(std::uint64_t size, const audit::Digest& root);
  /// Bytes of a published row; kNotFound when `row` is none or there is no such record.
  static Result<ByteView> find_row(store::ReadTxn& txn, const DbState& db, const RecordId& id,
                                   std::optional<std::uint64_t> row);

  base::Environment environment_;
  std::filesystem::path folder_;
  OpenOptions options_;
  AnchorStore anchors_;
  Journal journal_;
  std::unique_ptr<log::Log> log_;
  std::unique_ptr<store::Store> store_;
  model::KeptCounts word_counts_;
  base::Fd format_lock_;
  audit::Digest vault_id_{};
  SecretBytes x_secret_;
  crypto::PublicKey x_public_{};
  SecretBytes ed_seed_;
  crypto::PublicKey ed_public_{};
  std::optional<crypto::Aes256Block> id_cipher_;
  std::vector<std::string> warnings_;
  std::vector<std::pair<std::string, std::string>>
      anchor_notes_;     ///< name and signed checkpoint of each anchor known at open
  bool opened_ = false;  ///< every check of open() has passed
  bool closed_ = false;
  const pid_t owner_ = base::process_id();

  mutable std::mutex mutex_;  ///< guards the caches below
  StateRow state_row_;        ///< the row that `state_` was decoded from
  DbState state_;
  std::shared_ptr<const Authority> authority_;
  std::vector<SealedLink> chain_;  ///< read by open(), for the first fold
  std::shared_ptr<const SecretBytes> erasure_root_;
  std::uint64_t root_epoch_ = 0;
  std::uint64_t tree_generation_ = 0;
  std::map<keys::EpochName, std::shared_ptr<const SecretBytes>> epoch_keys_;
  std::unordered_map<std::uint64_t, std::shared_ptr<const model::LeafKey>> leaf_keys_;
  std::map<std::uint32_t, std::shared_ptr<const DetailsSealer>> sealers_;  ///< per audit epoch
  std::int64_t anchor_kept_ms_ = 0;
};

/// An error that is about one record and says nothing of others.
[[nodiscard]] bool is_damage(const Error& error) noexcept;

/// The FORMAT file of a vault folder.
struct FormatLine {
  audit::Digest vault_id{};
};
[[nodiscard]] std::string format_line(const audit::Digest& vault_id);
[[nodiscard]] Result<FormatLine> parse_format_line(std::string_view text);

}  // namespace casevault::vault
