// SPDX-License-Identifier: Apache-2.0
#include "vault/core.hpp"

#include "audit/note.hpp"
#include "base/cursor.hpp"
#include "base/prefetch.hpp"
#include "base/text.hpp"
#include "crypto/hash.hpp"
#include "format/labels.hpp"
#include "vault/preflight_memo.hpp"
#include "vault/row_key.hpp"

#include <algorithm>

namespace casevault::vault {
namespace {

using crypto::key_of;

constexpr std::string_view kFormatPrefix = "casevault 1 lmdb 0.9 ";
constexpr std::uint64_t kOpenLockByte = 0;
constexpr std::uint64_t kImportLockByte = 1;
constexpr std::uint64_t kTurnLockByte = 2;
constexpr std::int64_t kAnchorEveryMs = 1000;
constexpr std::size_t kLeafCacheLimit = 8192;

Result<audit::Digest> parse_digest(std::string_view hex) {
  const auto bytes = base::from_hex(hex);
  audit::Digest out{};
  if (!bytes || bytes->size() != out.size()) return Error{ErrorCode::kUsage, "a vault id is 64 hexadecimal digits"};
  std::ranges::copy(*bytes, out.begin());
  return out;
}

/// A vault without one of its files is damaged, not absent.
Error missing_part(Error error) {
  if (error.code != ErrorCode::kNotFound) return error;
  return {ErrorCode::kIntegrity, error.message + ": a part of the vault is missing; restore it from your copy"};
}

Error of_record(const RecordId& id, Error error) {
  error.message = "record " + id.to_string() + ": " + error.message;
  return error;
}

}  // namespace

std::string format_line(const audit::Digest& vault_id) {
  return std::string(kFormatPrefix) + base::to_hex(vault_id) + "\n";
}

Result<FormatLine> parse_format_line(std::string_view text) {
  if (!text.starts_with("casevault ")) return Error{ErrorCode::kIntegrity, "FORMAT: this is no casevault folder"};
  if (!text.starts_with(kFormatPrefix))
    return Error{
        ErrorCode::kUnsupported,
        "FORMAT: a vault of another format version or LMDB major; this version reads \"casevault 1 lmdb 0.9\""};
  text.remove_prefix(kFormatPrefix.size());
  if (!text.ends_with('\n') || text.find('\n') != text.size() - 1)
    return Error{ErrorCode::kIntegrity, "FORMAT: damaged"};
  text.remove_suffix(1);
  auto id = parse_digest(text);
  if (!id) return Error{ErrorCode::kIntegrity, "FORMAT: damaged"};
  return FormatLine{*id};
}

Core::~Core() { close(); }

Result<std::unique_ptr<Core>> Core::open(const std::filesystem::path& folder, const Identity& identity,
                                         const OpenOptions& options, const base::Environment& environment,
                                         Examination* asked) {
  Examination unasked;
  Examination& examination = asked == nullptr ? unasked : *asked;
  std::unique_ptr<Core> core(new Core(environment));
  core->folder_ = folder;
  core->options_ = options;
  const Identity::Impl& who = identity.impl();
  core->x_secret_ = who.x_secret.clone();
  core->x_public_ = who.x_public;
  core->ed_seed_ = who.ed_seed.clone();
  core->ed_public_ = who.ed_public;

  CASEVAULT_CHECK(base::open_folder(folder));
  examination.part = "FORMAT";
  CASEVAULT_TRY(const Bytes format, base::read_file(folder / "FORMAT", 256, true));
  CASEVAULT_TRY(const FormatLine line, parse_format_line(as_text(format)));
  core->vault_id_ = line.vault_id;
  const auto pin = std::ranges::find(who.pins, line.vault_id, &Pin::vault_id);
  const bool pinned = pin != who.pins.end();
  if (!pinned) {
    const std::string id = base::to_hex(line.vault_id);
    if (options.trust_id.empty()) {
      return Error{ErrorCode::kUntrusted,
                   "vault " + id + " is not pinned in identity " + who.name +
                       ": accept its invitation, or name the id you were told (--trust) if it is the same"};
    }
    CASEVAULT_TRY(const audit::Digest trusted, parse_digest(options.trust_id));
    if (trusted != line.vault_id)
      return Error{ErrorCode::kUntrusted, "vault " + id + " is not the vault that was to be trusted"};
  }

  examination.part = "log";
  log::LogOptions log_options;
  log_options.read_only = options.read_only;
  auto opened_log = log::open_log(folder / "log", core->journal_, log_options);
  if (!opened_log) {
    Error error = missing_part(std::move(opened_log).error());
    if (error.code == ErrorCode::kIntegrity) error.entry = Journal::intact_entries(folder / "log");
    return error;
  }
  core->log_ = *std::move(opened_log);
  CASEVAULT_CHECK(core->journal_.unlock(*core->log_, who.x_secret, who.x_public));

  // The genesis entry is the vault's identity: nothing of the log is believed before its hash is the pinned one.
  CASEVAULT_TRY(core->chain_, core->journal_.authority_chain(*core->log_));
  const std::vector<SealedLink>& chain = core->chain_;
  if (chain.empty() || chain.front().at.entry != 0 || chain.front().at.leaf_hash != line.vault_id) {
    return Error{ErrorCode::kIntegrity,
                 "the log does not begin with the genesis entry that FORMAT and the pin name: this is another vault"};
  }
  if (auto database = core->open_database(pinned ? &*pin : nullptr, examination); !database)
    return missing_part(std::move(database).error());
  core->opened_ = true;
  core->anchor_kept_ms_ = environment.clock->now_ms();
  return core;
}

Result<void> Core::check_file(bool believe, bool& alone) {
  const std::filesystem::path state_folder =
      options_.state_folder.empty() ? default_state_folder() : options_.state_folder;
  const PreflightMemo memo(state_folder, vault_id_, folder_);
  auto writable = base::open_file(folder_ / "FORMAT", base::OpenMode::kReadWrite);
  if (!writable) {  // read-only medium: nobody writes
    CASEVAULT_TRY(format_lock_, base::open_file(folder_ / "FORMAT", base::OpenMode::kRead));
    alone = true;
    CASEVAULT_CHECK(memo.check(vault_key(), true, believe, environment_.clock->now_ms()));
    return base::lock_file(format_lock_, base::LockKind::kShared, kOpenLockByte, true, "FORMAT");
  }
  format_lock_ = *std::move(writable);
  // Openers take turns. A shared lock on the open byte is held only by those who found the file sound: whoever gets it
  // exclusively is alone and checks everything, whoever does not joins one who has.
  CASEVAULT_CHECK(base::lock_file(format_lock_, base::LockKind::kExclusive, kTurnLockByte, true, "FORMAT"));
  alone = base::lock_file(format_lock_, base::LockKind::kExclusive, kOpenLockByte, false, "FORMAT").has_value();
  CASEVAULT_CHECK(memo.check(vault_key(), alone, believe, environment_.clock->now_ms()));
  CASEVAULT_CHECK(base::lock_file(format_lock_, base::LockKind::kShared, kOpenLockByte, true, "FORMAT"));
  base::unlock_file(format_lock_, kTurnLockByte);
  return {};
}

Result<void> Core::check_anchor(const std::string& name, std::string_view note) {
  auto anchor = verify_checkpoint(note);
  if (!anchor) {  // another process may have changed the log key, and kept its anchor, since the log was read
    CASEVAULT_CHECK(log_->refresh());
    CASEVAULT_CHECK(snapshot());
    anchor = verify_checkpoint(note);
  }
  if (!anchor) {
    return Error{ErrorCode::kIntegrity,
                 "anchor " + name + ": not a checkpoint of this vault's log (" + anchor.error().message + ")"};
  }
  // Another process may have appended, and kept its anchor, since the log was read.
  if (anchor->size > journal_.state().tree.size()) CASEVAULT_CHECK(log_->refresh());
  const std::uint64_t size = journal_.state().tree.size();
  if (anchor->size > size) {
    return Error{ErrorCode::kRolledBack,
                 "the log ends at entry " + std::to_string(size) + " (exclusive), but anchor " + name + " has seen " +
                     std::to_string(anchor->size) + ": entries were cut off or the vault was rolled back",
                 size};
  }
  CASEVAULT_TRY(const audit::Digest root, root_at(anchor->size));
  if (root != anchor->root) {
    return Error{
        ErrorCode::kIntegrity,
        "the log's first " + std::to_string(anchor->size) + " entries are not those that anchor " + name + " has seen",
        anchor->size == 0 ? 0 : anchor->size - 1};
  }
  anchor_notes_.emplace_back(name, note);
  return {};
}

Result<void> Core::open_database(const Pin* pin, Examination& examination) {
  examination.part = "data.mdb";
  CASEVAULT_CHECK(check_file(examination.believe, examination.alone));
  store::LmdbOptions lmdb;
  lmdb.read_only = options_.read_only;
  CASEVAULT_TRY(store_, store::open_lmdb_store(folder_, lmdb));

  CASEVAULT_TRY(Snapshot first, snapshot());
  // Writers at work may be several mutations ahead of a snapshot: a fresh one tells that apart from a rollback.
  for (int attempt = 0; attempt < 16 && !check_in_step(first.db); ++attempt) {
    first.txn.reset();
    CASEVAULT_TRY(first, snapshot());
  }
  CASEVAULT_CHECK(check_in_step(first.db));
  const Authority& authority = *first.authority;
  journal_.set_actor(authority.self, ed_seed_);
  id_cipher_.emplace(key_of(authority.state.id_key));

  const auto is_pinned = [&](const LogKeyState& key) {
    return pin->log_key == audit::verifier_string(log_origin(tag()), key.key);
  };
  if (pin != nullptr && std::ranges::none_of(authority.state.log_keys, is_pinned)) {
    return Error{ErrorCode::kUntrusted, "the log's key is not the one this identity pinned for the vault"};
  }
  examination.part = "anchor";
  anchors_ = AnchorStore(options_.state_folder.empty() ? default_state_folder() : options_.state_folder, vault_id_);
  CASEVAULT_TRY(const std::string kept, anchors_.load());
  if (kept.empty()) {
    warnings_.emplace_back("no anchor of this vault is known to this user: a rollback before now would not be seen");
  } else {
    CASEVAULT_CHECK(check_anchor(anchors_.file().string(), kept));
  }
  for (const std::filesystem::path& file : options_.anchors) {
    CASEVAULT_TRY(const Bytes note, base::read_file(file, std::size_t{1} << 16U, false));
    CASEVAULT_CHECK(check_anchor(file.string(), as_text(note)));
  }
  examination.part = "erasure.root";
  CASEVAULT_TRY(const keys::RootContext context, root_context(first.db.vault_key_epoch));
  CASEVAULT_TRY(const bool idle, keys::ErasureRoot::idle(root_file(), context, first.db.root));
  if (!idle)
    warnings_.emplace_back(
        "erasure.root: not all four copies of the root were whole; a session that may write puts them right");
  if (options_.read_only) return {};
  CASEVAULT_CHECK(settle_pending());
  // A crash between staging and settling a new root leaves work for the next opener; a busy lock means someone does it.
  if (!idle) {
    auto lock = keys::ErasureRoot::lock(root_file());
    if (lock) {
      CASEVAULT_TRY(const auto txn, store_->begin_write());
      CASEVAULT_TRY(const DbState db, load_state(*txn));
      CASEVAULT_TRY(const keys::RootContext now, root_context(db.vault_key_epoch));
      CASEVAULT_CHECK(lock->settle(now, db.root, random()));
    } else if (lock.error().code != ErrorCode::kBusy) {
      return std::move(lock).error();
    }
  }
  return {};
}

Result<void> Core::check_in_step(const DbState& db) const {
  const Journal::State log = journal_.state();
  if (db.applied == log.last_mutation || db.applied == log.database_floor) return {};
  const bool older = db.applied < log.last_mutation;
  return Error{ErrorCode::kRolledBack,
               std::string(older ? "data.mdb is older than the log" : "the log is older than data.mdb") +
                   ": the database is at mutation entry " + std::to_string(db.applied) + " (exclusive), the log at " +
                   std::to_string(log.last_mutation) + "; one of them was rolled back, restore the newest of both",
               older ? db.applied : log.tree.size()};
}

Result<void> Core::settle_pending() {
  CASEVAULT_TRY(const Snapshot seen, snapshot());
  if (journal_.newest().mutation <= seen.db.applied) return {};
  CASEVAULT_TRY(const auto txn, store_->begin_write());
  return settle_pending(*txn);
}

Result<void> Core::settle_pending(store::WriteTxn& txn) {
  // Under the write lock no mutation can be between its entry and its commit.
  CASEVAULT_CHECK(log_->refresh());
  CASEVAULT_TRY(const DbState db, load_state(txn));
  CASEVAULT_CHECK(check_in_step(db));
  const std::uint64_t pending = journal_.newest().mutation;
  if (pending <= db.applied) return {};
  CASEVAULT_TRY(const auto authority, authority_for(db));
  DetailsDraft details;
  details.text = "entry " + std::to_string(pending - 1) + " has no committed transaction";
  CASEVAULT_TRY(EntryDraft entry,
                draft_settled(*authority, audit::Action::kNotApplied, audit::Outcome::kOk, std::move(details)));
  entry.authority.emplace_back(OpNotApplied{pending - 1});
  CASEVAULT_CHECK(append(std::move(entry)));
  return {};
}

Result<DbState> Core::load_state(store::ReadTxn& txn) {
  CASEVAULT_TRY(StateRow row, read_state_row(txn));
  {
    const std::lock_guard lock(mutex_);
    if (row == state_row_) return state_;
  }
  auto seal = state_seal(row.vault_key_epoch);
  if (!seal) {  // the entry that begins its epoch is further on in the log
    CASEVAULT_CHECK(log_->refresh());
    seal = state_seal(row.vault_key_epoch);
  }
  if (!seal) {
    return Error{ErrorCode::kRolledBack,
                 "data.mdb is under " + seal.error().message + ": the log was rolled back; restore the newest of both"};
  }
  CASEVAULT_TRY(DbState state, decode_state(*seal, row));
  // Another process wrote: its entries come first, the authority among them.
  if (state.applied > journal_.newest().mutation) CASEVAULT_CHECK(log_->refresh());
  CASEVAULT_TRY(state.root_key, root_of(state));
  const std::lock_guard lock(mutex_);
  state_row_ = std::move(row);
  state_ = state;
  journal_.database_at(state.applied);
  return state;
}

Result<std::shared_ptr<const SecretBytes>> Core::root_of(const DbState& db) {
  {
    const std::lock_guard lock(mutex_);
    if (erasure_root_ && root_epoch_ == db.root.epoch && tree_generation_ == db.tree_generation) return erasure_root_;
  }
  CASEVAULT_TRY(const keys::RootContext context, root_context(db.vault_key_epoch));
  CASEVAULT_TRY(SecretBytes root, keys::ErasureRoot::load(root_file(), context, db.root));
  const std::lock_guard lock(mutex_);
  erasure_root_ = std::make_shared<const SecretBytes>(std::move(root));
  root_epoch_ = db.root.epoch;
  tree_generation_ = db.tree_generation;
  leaf_keys_.clear();
  epoch_keys_.clear();
  return erasure_root_;
}

Result<std::shared_ptr<const Authority>> Core::authority_for(const DbState& db) {
  const Journal::Newest log = journal_.newest();
  const std::optional<AuthorityLink>& newest = log.authority;
  if (!newest) return Error{ErrorCode::kIntegrity, "the log has no genesis entry"};
  const bool pending = newest->entry >= db.applied;
  std::vector<SealedLink> chain;
  {
    const std::lock_guard lock(mutex_);
    if (authority_ && authority_->newest == newest->entry && authority_->newest_pending == pending &&
        authority_->state.database_key_epoch == db.vault_key_epoch)
      return authority_;
    chain.swap(chain_);
  }
  if (chain.empty() || chain.back().at.entry != newest->entry) {
    CASEVAULT_TRY(chain, journal_.authority_chain(*log_, newest));
  }
  auto fresh = std::make_shared<Authority>();
  CASEVAULT_TRY(fresh->state, fold_authority(chain, db.applied));
  CASEVAULT_CHECK(check_not_undone(fresh->state, log.mutation));
  CASEVAULT_CHECK(check_not_undone(fresh->state, log.floor));
  if (fresh->state.tag != tag())
    return Error{ErrorCode::kIntegrity, "the genesis entry names another vault tag than the log's files"};
  const auto key = journal_.vault_key(fresh->state.vault_key_epoch);
  if (!key ||
      keys::vault_key_commitment(tag(), fresh->state.vault_key_epoch, **key) != fresh->state.vault_key_commitment) {
    return Error{ErrorCode::kIntegrity, "the vault key granted to this principal is not the one the log commits to"};
  }
  // Every key is held to what the log says of it; who knows an older one must not pass off an older state.
  if (db.vault_key_epoch != fresh->state.database_key_epoch) {
    return Error{ErrorCode::kIntegrity, "data.mdb: the state row is under vault key epoch " +
                                            std::to_string(db.vault_key_epoch) + ", the log says " +
                                            std::to_string(fresh->state.database_key_epoch)};
  }
  const PrincipalState* self = fresh->state.find(ed_public_);
  if (self == nullptr || self->who.x_public != x_public_) {
    return Error{ErrorCode::kNoGrant, "this identity is not a principal of the vault"};
  }
  if (self->revoked) {
    return Error{ErrorCode::kNoGrant, self->who.name + " was revoked in entry " + std::to_string(*self->revoked)};
  }
  fresh->self = self->number;
  fresh->newest = chain.back().at.entry;
  fresh->newest_pending = fresh->newest >= db.applied;
  const std::lock_guard lock(mutex_);
  if (!authority_ || authority_->newest <= fresh->newest) {  // a slow reader does not put back an older one
    authority_ = fresh;
    epoch_keys_.clear();
  }
  return std::shared_ptr<const Authority>(fresh);
}

Result<Snapshot> Core::snapshot() {
  for (std::uint64_t last = 0;;) {
    Snapshot out;
    CASEVAULT_TRY(out.txn, store_->begin_read());
    const std::uint64_t number = out.txn->number();
    const auto look = [&]() -> Result<void> {
      CASEVAULT_TRY(out.db, load_state(*out.txn));
      CASEVAULT_TRY(out.authority, authority_for(out.db));
      return {};
    };
    const auto seen = look();
    if (seen) return out;
    // The root may have been swapped, or the log gone on, since this snapshot began: then a fresh one is newer, else
    // the error is true.
    const ErrorCode code = seen.error().code;
    const bool stale = code == ErrorCode::kRolledBack || code == ErrorCode::kIntegrity || code == ErrorCode::kBusy;
    if (!stale) return seen.error();
    if (number == last && code == ErrorCode::kBusy)
      return Error{ErrorCode::kRolledBack,
                   "data.mdb is older than the log: it was rolled back, restore the newest of both"};
    if (number == last) return seen.error();
    last = number;
  }
}

std::shared_ptr<const SecretBytes> Core::erasure_root() {
  const std::lock_guard lock(mutex_);
  return erasure_root_;
}

Result<SecretBytes> Core::granted_key(const Authority& authority, keys::EpochName name, Expired expired) const {
  const auto epoch = authority.state.epochs.find(name);
  if (epoch == authority.state.epochs.end()) {
    return Error{ErrorCode::kUnsupported, "epoch " + std::to_string(name.epoch) + " of compartment " +
                                              std::to_string(name.compartment) + " is unknown to the log"};
  }
  const auto grant = authority.me().grant_of(name);
  const auto called = [&] {
    const auto& compartments = authority.schema().compartments();
    const auto compartment = std::ranges::find(compartments, name.compartment, &Compartment::id);
    return compartment == compartments.end() ? std::to_string(name.compartment) : compartment->name;
  };
  if (grant == authority.me().grants.end()) {
    return Error{ErrorCode::kNoGrant, authority.me().who.name + " holds no grant for compartment " + called()};
  }
  if (expired == Expired::kNot && !may_open(authority, name)) {
    return Error{ErrorCode::kNoGrant, authority.me().who.name + "'s grant of compartment " + called() + " expired at " +
                                          base::to_rfc3339(authority.me().expires_ms(name.compartment))};
  }
  keys::EpochName at = grant->first;
  CASEVAULT_TRY(SecretBytes granted, keys::open_epoch(tag(), at, x_secret_, x_public_, grant->second.box,
                                                      authority.state.epochs.at(at).commitments));
  for (; at != name; --at.epoch) {
    const EpochState& before = authority.state.epochs.at({at.compartment, at.epoch - 1});
    CASEVAULT_TRY(granted,
                  keys::open_past_epoch(tag(), at, granted, authority.state.epochs.at(at).past, before.commitments));
  }
  return granted;
}

Result<std::shared_ptr<const SecretBytes>> Core::epoch_key(store::ReadTxn& txn, const DbState& db,
                                                           const Authority& authority, keys::EpochName name) {
  if (const auto known = authority.state.epochs.find(name);
      known != authority.state.epochs.end() && known->second.destroyed) {
    return Error{ErrorCode::kErased, "epoch " + std::to_string(name.epoch) + " of compartment " +
                                         std::to_string(name.compartment) +
                                         " was destroyed: nothing opens what is under it"};
  }
  if (may_open(authority, name)) {
    const std::lock_guard lock(mutex_);
    if (const auto known = epoch_keys_.find(name); known != epoch_keys_.end()) return known->second;
  }
  CASEVAULT_TRY(const SecretBytes granted, granted_key(authority, name));
  const EpochState& epoch = authority.state.epochs.at(name);
  const keys::KeyTree tree(tag(), random());
  CASEVAULT_TRY(const SecretBytes half,
                tree.get_slot(txn, *db.root_key, keys::TreeKind::kEpochHalves, epoch.half_slot));
  CASEVAULT_TRY(SecretBytes key, keys::checked_epoch_key(tag(), name, granted, half, epoch.commitments));
  auto shared = std::make_shared<const SecretBytes>(std::move(key));
  const std::lock_guard lock(mutex_);
  epoch_keys_[name] = shared;
  return shared;
}

model::LeafKey Core::derive_leaf(const SecretBytes& node_key, std::uint64_t leaf) const {
  Bytes context;
  base::Writer(context).bytes(tag()).u64(leaf);
  crypto::Wiped<64> both;
  crypto::derive64(format::kLeafKeys, node_key.view(), context, both.out());
  return {SecretBytes::copy(both.view().first<32>()), SecretBytes::copy(both.view().last<32>())};
}

Result<std::shared_ptr<const model::LeafKey>> Core::leaf_key(store::ReadTxn& txn, const DbState& db,
                                                             std::uint64_t leaf) {
  {
    const std::lock_guard lock(mutex_);
    if (const auto known = leaf_keys_.find(leaf); known != leaf_keys_.end() && db.tree_generation == tree_generation_)
      return known->second;
  }
  const keys::KeyTree tree(tag(), random());
  CASEVAULT_TRY(const SecretBytes node, tree.leaf_key(txn, *db.root_key, keys::TreeKind::kRecords, leaf));
  auto key = std::make_shared<const model::LeafKey>(derive_leaf(node, leaf));
  const std::lock_guard lock(mutex_);
  if (db.tree_generation != tree_generation_) return key;
  if (leaf_keys_.size() >= kLeafCacheLimit) leaf_keys_.clear();
  leaf_keys_[leaf] = key;
  return key;
}

Result<std::shared_ptr<const model::LeafKey>> Core::make_leaf_key(store::WriteTxn& txn, const DbState& db,
                                                                  std::uint64_t leaf) {
  // Not cached: the transaction may still roll back and the node be made anew.
  const keys::KeyTree tree(tag(), random());
  CASEVAULT_TRY(const SecretBytes node, tree.make_leaf(txn, *db.root_key, keys::TreeKind::kRecords, leaf));
  return std::make_shared<const model::LeafKey>(derive_leaf(node, leaf));
}

void Core::forget_leaf(std::uint64_t leaf) {
  const std::lock_guard lock(mutex_);
  leaf_keys_.erase(leaf);
}

std::vector<RecordId> Core::ids_of(std::uint64_t first_row, std::size_t count) const {
  return encrypt_ids(count, [first_row](std::size_t i) { return first_row + i; });
}

std::vector<RecordId> Core::ids_of(std::span<const std::uint32_t> rows) const {
  return encrypt_ids(rows.size(), [rows](std::size_t i) { return std::uint64_t{rows[i]}; });
}

template <typename RowAt>
std::vector<RecordId> Core::encrypt_ids(std::size_t count, const RowAt& row_at) const {
  std::vector<crypto::Aes256Block::Block> blocks(count);
  for (std::size_t i = 0; i < count; ++i) std::ranges::copy(row_key(row_at(i)), blocks[i].begin());
  id_cipher_->encrypt_all(blocks);
  std::vector<RecordId> ids;
  ids.reserve(count);
  for (const auto& block : blocks) ids.emplace_back(block);
  return ids;
}

std::vector<std::optional<std::uint64_t>> Core::rows_of(std::span<const RecordId> ids) const {
  std::vector<crypto::Aes256Block::Block> blocks;
  blocks.reserve(ids.size());
  for (const RecordId& id : ids) blocks.push_back(id.bytes());
  id_cipher_->decrypt_all(blocks);
  std::vector<std::optional<std::uint64_t>> rows;
  rows.reserve(ids.size());
  for (const auto& block : blocks) {
    const bool issued = std::all_of(block.begin() + 8, block.end(), [](std::uint8_t b) { return b == 0; });
    rows.push_back(issued ? std::optional(row_of_key(std::span(block).first<8>())) : std::nullopt);
  }
  return rows;
}

Result<model::OpenedRow> Core::open_row_number(store::ReadTxn& txn, const DbState& db, std::uint64_t row,
                                               ByteView value) {
  CASEVAULT_TRY(const auto leaf, leaf_key(txn, db, row / keys::kFanout));
  auto opened = model::open_row(row_context(row), value, *leaf);
  if (!opened) return of_record(id_of(row), std::move(opened).error());
  return opened;
}

Result<ByteView> Core::find_row(store::ReadTxn& txn, const DbState& db, const RecordId& id,
                                std::optional<std::uint64_t> row) {
  if (!row)
    return Error{ErrorCode::kNotFound,
                 "record " + id.to_string() + ": this id was never issued by this vault; it is mistyped"};
  CASEVAULT_TRY(const std::optional<ByteView> value, txn.get(store::Table::kRows, row_key(*row)));
  if (!value || db.is_staged(*row)) return Error{ErrorCode::kNotFound, "record " + id.to_string() + ": no such record"};
  return *value;
}

Result<model::OpenedRow> Core::open_row(store::ReadTxn& txn, const DbState& db, const RecordId& id,
                                        std::uint64_t& row) {
  const std::optional<std::uint64_t> known = row_of(id);
  CASEVAULT_TRY(const ByteView value, find_row(txn, db, id, known));
  row = *known;
  return open_row_number(txn, db, row, value);
}

Result<void> Core::open_head(store::ReadTxn& txn, const DbState& db, const RecordId& id,
                             std::optional<std::uint64_t> row, model::HeadOpener& head) {
  CASEVAULT_TRY(const ByteView value, find_row(txn, db, id, row));
  CASEVAULT_TRY(const auto leaf, leaf_key(txn, db, *row / keys::kFanout));
  auto opened = head.open(row_context(*row), value, *leaf);
  if (!opened) return of_record(id, std::move(opened).error());
  return {};
}

namespace {

Error foreign_row() { return {ErrorCode::kIntegrity, "data.mdb: a row stands under a key that is no record's"}; }

}  // namespace

bool is_damage(const Error& error) noexcept {
  return error.code == ErrorCode::kIntegrity || error.code == ErrorCode::kUnsupported ||
         error.code == ErrorCode::kErased;
}

Result<void> Core::scan_rows(store::ReadTxn& txn, const DbState& db, std::uint64_t from, const VisitRow& visit,
                             bool staged_too, const VisitDamaged& damaged) {
  const auto first = row_key(from);
  for (Bytes next(first.begin(), first.end());;) {
    CASEVAULT_TRY(const std::optional<store::Item> item, txn.seek(store::Table::kRows, next));
    if (!item) return {};
    next.assign(item->key.begin(), item->key.end());
    next.push_back(0);  // the smallest key after this one
    if (item->key.size() == kAttachmentKeySize) continue;
    if (item->key.size() != row_key(0).size()) return foreign_row();
    const std::uint64_t row = row_of_key(item->key);
    if (!staged_too && db.is_staged(row)) continue;
    const auto opened = open_row_number(txn, db, row, item->value);
    if (!opened && !(damaged && is_damage(opened.error()))) return opened.error();
    CASEVAULT_TRY(const bool more, opened ? visit(row, *opened) : damaged(row, opened.error()));
    if (!more) return {};
  }
}

Result<void> Core::scan_heads(store::ReadTxn& txn, const DbState& db, std::uint64_t from, model::HeadOpener& head,
                              const VisitHead& visit, const VisitDamaged& damaged) {
  std::vector<std::pair<std::uint64_t, ByteView>> rows;  // of one leaf node: its key is looked up once
  for (std::uint64_t next = from;;) {
    rows.clear();
    bool foreign = false;
    CASEVAULT_CHECK(txn.scan(store::Table::kRows, row_key(next), [&](const store::Item& item) {
      if (item.key.size() == kAttachmentKeySize) return true;
      foreign = item.key.size() != kRowKeySize;
      if (foreign) return false;
      const std::uint64_t row = row_of_key(item.key);
      if (!rows.empty() && row / keys::kFanout != rows.front().first / keys::kFanout) return false;
      rows.emplace_back(row, item.value);
      return true;
    }));
    if (foreign) return foreign_row();
    if (rows.empty()) return {};
    next = rows.back().first + 1;
    std::shared_ptr<const model::LeafKey> leaf;
    for (std::size_t i = 0; i < rows.size(); ++i) {
      const auto& [row, value] = rows[i];
      if (i + 1 < rows.size()) base::prefetch(rows[i + 1].second);
      if (db.is_staged(row)) continue;
      Result<void> opened;
      if (!leaf) {
        if (auto key = leaf_key(txn, db, row / keys::kFanout)) {
          leaf = *std::move(key);
        } else {
          opened = std::move(key).error();
        }
      }
      if (opened) opened = head.open(row_context(row), value, *leaf);
      if (!opened && !(damaged && is_damage(opened.error()))) return of_record(id_of(row), std::move(opened).error());
      CASEVAULT_TRY(const bool more, opened ? visit(row, head) : damaged(row, opened.error()));
      if (!more) return {};
    }
  }
}

Result<void> Core::scan_sealed(store::ReadTxn& txn, const DbState& db, const VisitSealed& visit) {
  bool foreign = false;
  CASEVAULT_CHECK(txn.scan(store::Table::kRows, row_key(0), [&](const store::Item& item) {
    if (item.key.size() == kAttachmentKeySize) return true;
    foreign = item.key.size() != kRowKeySize;
    if (foreign) return false;
    const std::uint64_t row = row_of_key(item.key);
    if (!db.is_staged(row)) visit(row, item.value);
    return true;
  }));
  if (foreign) return foreign_row();
  return {};
}

Result<EntryPlace> Core::append(EntryDraft entry, const Journal::Guard& guard) {
  if (options_.read_only)
    return Error{ErrorCode::kUsage,
                 "the vault is open read-only: nothing can be logged, so nothing is released or changed"};
  const auto unchanged = [under = entry.decided_under, &guard](const Journal::State& state) -> Result<void> {
    if (under && (!state.last_authority || state.last_authority->entry != *under)) {
      return Error{ErrorCode::kBusy, "the authority of the vault changed meanwhile; try again"};
    }
    return guard ? guard(state) : Result<void>();
  };
  CASEVAULT_TRY(const EntryPlace place, journal_.append(*log_, std::move(entry), unchanged));
  const std::int64_t now = environment_.clock->now_ms();
  bool due = false;
  {
    const std::lock_guard lock(mutex_);
    due = now - anchor_kept_ms_ >= kAnchorEveryMs || now < anchor_kept_ms_;
    if (due) anchor_kept_ms_ = now;
  }
  if (due) keep_anchor();
  return place;
}

Result<EntryDraft> Core::draft(const Authority& authority, audit::Action action, audit::Outcome outcome,
                               DetailsDraft details) {
  // An authority entry stands in the log and is not committed yet: it may revoke this very actor, so nothing is decided
  // before it took effect, or is known never to. Within a unit of work this cannot be: its beginning settled it.
  if (!read_only() && authority.newest_pending && journal_.newest().mutation == authority.newest + 1) {
    CASEVAULT_CHECK(settle_pending());
    return Error{ErrorCode::kBusy, "the authority of the vault is just changing; try again"};
  }
  return draft_settled(authority, action, outcome, std::move(details));
}

Result<EntryDraft> Core::draft_settled(const Authority& authority, audit::Action action, audit::Outcome outcome,
                                       DetailsDraft details) {
  const keys::EpochName epoch = authority.state.current(kAuditCompartment);
  const auto state = authority.state.epochs.find(epoch);
  if (state == authority.state.epochs.end())
    return Error{ErrorCode::kIntegrity, "the log opens no epoch of the audit compartment"};
  std::shared_ptr<const DetailsSealer> sealer;
  {
    const std::lock_guard lock(mutex_);
    if (const auto known = sealers_.find(epoch.epoch); known != sealers_.end()) sealer = known->second;
  }
  if (!sealer) {
    CASEVAULT_TRY(DetailsSealer made,
                  DetailsSealer::make(tag(), epoch, state->second.commitments.deposit_public, random()));
    sealer = std::make_shared<const DetailsSealer>(std::move(made));
    const std::lock_guard lock(mutex_);
    sealers_[epoch.epoch] = sealer;  // kept for the session, so the closures below may point into it
  }
  EntryDraft entry;
  entry.decided_under = authority.newest;
  entry.leaf.action = action;
  entry.leaf.outcome = outcome;
  details.actor = authority.self;
  details.actor_name = authority.me().who.name;
  entry.details = [sealer, seal = sealer->prepare(std::move(details), entry.leaf)](std::uint64_t number) {
    return seal(number);
  };
  return entry;
}

Error Core::refuse(const Authority& authority, audit::Action action, audit::Outcome outcome, DetailsDraft details,
                   std::string purpose, std::string basis, Error error) {
  details.text = error.message;
  const std::uint64_t count = details.subjects.size() + details.rows.size();
  auto entry = draft(authority, action, outcome, std::move(details));
  if (!entry) return std::move(entry).error();
  entry->leaf.count = count;
  entry->leaf.purpose = std::move(purpose);
  entry->leaf.basis = std::move(basis);
  auto place = append(*std::move(entry));
  if (!place) return std::move(place).error();
  error.message += " (log entry " + std::to_string(place->entry) + ")";
  return error;
}

Result<StateSeal> Core::state_seal(std::uint32_t vault_key_epoch) const {
  CASEVAULT_TRY(const SecretBytes* const key, journal_.vault_key(vault_key_epoch));
  return StateSeal{tag(), key};
}

Result<keys::RootContext> Core::root_context(std::uint32_t vault_key_epoch) const {
  CASEVAULT_TRY(const SecretBytes* const key, journal_.vault_key(vault_key_epoch));
  return keys::RootContext{tag(), vault_key_epoch, key};
}

std::string Core::log_key() const {
  const std::lock_guard lock(mutex_);
  return audit::verifier_string(log_origin(tag()), authority_->state.log_keys.back().key);
}

Result<audit::Checkpoint> Core::verify_checkpoint(std::string_view note) const {
  std::shared_ptr<const Authority> authority;
  {
    const std::lock_guard lock(mutex_);
    authority = authority_;
  }
  const std::vector<LogKeyState>& keys = authority->state.log_keys;
  Result<audit::Checkpoint> last = Error{ErrorCode::kIntegrity, "the log has no key"};
  for (std::size_t i = keys.size(); i-- > 0;) {
    last = audit::verify_checkpoint(note, audit::verifier_string(log_origin(tag()), keys[i].key));
    if (!last) continue;
    if (i + 1 == keys.size() || last->size <= keys[i + 1].from) return last;
    return Error{ErrorCode::kIntegrity, "it is signed by a log key that was replaced in entry " +
                                            std::to_string(keys[i + 1].from) + ", before what it says"};
  }
  return last;
}

Result<std::string> Core::sign_root(std::uint64_t size, const audit::Digest& root) {
  std::shared_ptr<const Authority> authority;
  {
    const std::lock_guard lock(mutex_);
    authority = authority_;
  }
  // The log key may have been replaced in an entry that is among these: the old one must not speak of it.
  if (const auto newest = journal_.newest().authority; newest && newest->entry != authority->newest) {
    CASEVAULT_TRY(const Snapshot now, snapshot());
    authority = now.authority;
  }
  const std::string origin = log_origin(tag());
  return audit::sign_note(audit::checkpoint_text({origin, size, root}), origin, key_of(authority->state.log_seed));
}

Result<std::string> Core::sign_checkpoint() {
  const Journal::State state = journal_.state();
  return sign_root(state.tree.size(), state.tree.root());
}

Result<std::string> Core::sign_checkpoint(std::uint64_t size) {
  CASEVAULT_TRY(const audit::Digest root, root_at(size));
  return sign_root(size, root);
}

Result<audit::Digest> Core::root_at(std::uint64_t size) {
  // The anchor of the session before, most often, and no frame needs to be read.
  if (const Journal::State state = journal_.state(); state.tree.size() == size) return state.tree.root();
  std::uint32_t segment = 0;
  CASEVAULT_TRY(audit::CompactRange tree, journal_.tree_before_segment(*log_, size, segment));
  if (tree.size() < size) {
    CASEVAULT_CHECK(journal_.scan(*log_, tree.size(), [&](const EntryFrame& frame) -> Result<bool> {
      tree.append(frame.leaf_hash);
      return tree.size() < size;
    }));
  }
  if (tree.size() != size)
    return Error{ErrorCode::kRolledBack, "the log has only " + std::to_string(tree.size()) + " entries"};
  return tree.root();
}

Result<base::Fd> Core::lock_imports() const {
  CASEVAULT_TRY(base::Fd fd, base::open_file(folder_ / "FORMAT", base::OpenMode::kReadWrite));
  auto locked = base::lock_file(fd, base::LockKind::kExclusive, kImportLockByte, false, "FORMAT");
  if (!locked) return Error{ErrorCode::kBusy, "another import into this vault is at work; try again when it has ended"};
  return fd;
}

Result<void> Core::check_process() const {
  if (base::process_id() == owner_) return {};
  return Error{ErrorCode::kUsage,
               folder_.string() + ": the session was opened by the parent of this process; open the vault again"};
}

void Core::keep_anchor() noexcept {
  // What open() refused must not become what the next open is held against; nor may a forked child sign.
  if (!opened_ || !check_process()) return;
  try {
    const std::uint64_t size = journal_.state().tree.size();
    const auto note = sign_checkpoint();
    if (note) anchors_.keep(*note, size, [this](std::string_view known) { return verify_checkpoint(known); });
  } catch (...) {  // best effort: a missing anchor is told at the next open
  }
}

void Core::close() noexcept {
  if (closed_) return;
  closed_ = true;
  keep_anchor();
  store_.reset();
  log_.reset();
}

}  // namespace casevault::vault
