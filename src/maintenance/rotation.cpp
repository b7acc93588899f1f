// SPDX-License-Identifier: Apache-2.0
#include "maintenance/reindex.hpp"
#include "vault/epochs.hpp"
#include "vault/records.hpp"
#include "vault/session_impl.hpp"
#include "vault/vault_key.hpp"
#include "vault/verify.hpp"

#include <algorithm>
#include <chrono>
#include <set>
#include <thread>

/// The life of a compartment's epochs: successor, re-encryption, census, end.
namespace casevault {
namespace {

using vault::Authority;
using vault::AuthorityOp;
using vault::Core;
using vault::Snapshot;
using vault::UnitOfWork;
using Clock = std::chrono::steady_clock;

constexpr int kTellAgain = 8;
constexpr std::size_t kMaxNamed = 100;  // records that could not be moved
using maintenance::kHoldLock;

std::string name_of(const Compartment& compartment, std::uint32_t epoch) {
  return compartment.name + ":" + std::to_string(epoch);
}

/// Moves cells of held compartments from old epochs to the current ones.
class Mover {
 public:
  Mover(Core& core, const ReencryptOptions& options) : core_(core), options_(options), began_(Clock::now()) {}

  Result<Reencryption> run() {
    CASEVAULT_CHECK(choose());
    // Whoever rotates, or publishes an import, while this is at work leaves old cells behind it: passes go on until one
    // finds nothing.
    for (bool stopped = options_.index; !stopped;) {
      const std::uint64_t before = report_.done;
      CASEVAULT_TRY(stopped, pass());
      stopped_ = stopped;
      if (report_.done == before) break;
    }
    if (!stopped_) CASEVAULT_CHECK(indexes());
    if (report_.done > 0 || report_.records > 0 || !rebuilt_.empty()) CASEVAULT_CHECK(log_end());
    CASEVAULT_TRY(const Snapshot snapshot, core_.snapshot());
    bool left = maintenance::has_old_index(snapshot, compartments_);
    if (!options_.index && !left) {
      CASEVAULT_TRY(left, any_left(snapshot));
    }
    report_.finished = !left && report_.skipped.empty() && report_.failed.empty();
    return std::move(report_);
  }

 private:
  /// The compartments to work on, and what lies before us.
  Result<void> choose() {
    CASEVAULT_TRY(const Snapshot snapshot, core_.snapshot());
    const Authority& authority = *snapshot.authority;
    const auto deny = [&](Error error) {
      return core_.refuse(authority, audit::Action::kKeyReencrypt, audit::Outcome::kDenied, {}, {}, {},
                          std::move(error));
    };
    if (auto writer = vault::require_writer(authority); !writer) return deny(std::move(writer).error());
    if (!options_.compartment.empty()) {
      CASEVAULT_TRY(const Compartment* const only, vault::find_compartment(authority, options_.compartment));
      auto held = core_.granted_key(authority, authority.state.current(only->id));
      if (!held) {
        return held.error().code == ErrorCode::kNoGrant ? deny(std::move(held).error()) : std::move(held).error();
      }
    }
    std::vector<KeyInfo> keys;
    if (!options_.index) {  // an index alone is built without a census, which no damaged record may be missing from
      CASEVAULT_TRY(keys, vault::count_keys(core_, *snapshot.txn, snapshot.db, authority));
    }
    for (const Compartment& compartment : authority.schema().compartments()) {
      if (!options_.compartment.empty() && options_.compartment != compartment.name) continue;
      std::uint64_t old = 0;
      for (const KeyInfo& key : keys) {
        if (key.compartment == compartment.name && key.state == "old") old += key.cells;
      }
      if (core_.may_open(authority, authority.state.current(compartment.id))) {
        compartments_.push_back(compartment.id);
        report_.total += old;
      } else if (old > 0) {
        report_.skipped.push_back(compartment.name);
      }
    }
    return {};
  }

  Result<void> indexes() {
    CASEVAULT_TRY(maintenance::Reindexing done,
                  maintenance::rebuild_indexes(core_, compartments_, options_.index, options_));
    report_.records = done.records;
    if (options_.index) {
      report_.done = report_.total = done.records;
      report_.skipped.clear();  // cells that this job does not move
    }
    rebuilt_ = std::move(done.rebuilt);
    for (std::string& record : done.failed) {
      const std::string_view id = std::string_view(record).substr(0, record.find(':'));
      const bool named = std::ranges::any_of(report_.failed, [&](const auto& each) { return each.starts_with(id); });
      if (!named && report_.failed.size() < kMaxNamed) report_.failed.push_back(std::move(record));
    }
    return {};
  }

  /// From the first row to the last; true when the caller asked to stop.
  Result<bool> pass() {
    next_row_ = 0;
    while (true) {
      CASEVAULT_TRY(const bool found, seek_work());
      if (!found) return false;
      CASEVAULT_CHECK(batch());
      if (options_.progress && !options_.progress({"cells", report_.done, std::max(report_.total, report_.done)})) {
        return true;  // what was moved stays moved; the next call goes on
      }
      slow_down();
    }
  }

  bool is_old(const Authority& authority, const model::CellEntry& cell) const {
    return std::ranges::find(compartments_, cell.compartment) != compartments_.end() &&
           cell.epoch != authority.state.current(cell.compartment).epoch;
  }
  bool has_old(const Authority& authority, const model::Head& head) const {
    return std::ranges::any_of(head.cells, [&](const model::CellEntry& cell) { return is_old(authority, cell); });
  }
  Result<bool> any_left(const Snapshot& snapshot) const {
    bool left = false;
    CASEVAULT_CHECK(core_.scan_rows(
        *snapshot.txn, snapshot.db, 0,
        [&](std::uint64_t, const model::OpenedRow& opened) -> Result<bool> {
          left = has_old(*snapshot.authority, opened.head);
          return !left;
        },
        true));
    return left;
  }

  /// Finds the next row with something to do without holding the write lock.
  Result<bool> seek_work() {
    CASEVAULT_TRY(const Snapshot snapshot, core_.snapshot());
    bool found = false;
    CASEVAULT_CHECK(core_.scan_rows(
        *snapshot.txn, snapshot.db, next_row_,
        [&](std::uint64_t row, const model::OpenedRow& opened) -> Result<bool> {
          next_row_ = row;
          found = has_old(*snapshot.authority, opened.head) && !failed_.contains(row);
          return !found;
        },
        true));
    return found;
  }

  Result<void> batch() {
    CASEVAULT_TRY(UnitOfWork work, UnitOfWork::begin(core_));
    const Clock::time_point end = Clock::now() + kHoldLock;
    const std::uint64_t before = report_.done;
    const std::uint64_t most = options_.rate == 0 ? UINT64_MAX : std::max<std::uint64_t>(options_.rate / 20, 1);
    bool more = true;
    while (more && Clock::now() < end && report_.done - before < most) {
      std::optional<std::uint64_t> row;
      // One row at a time: what is found is changed before the next is looked for.
      CASEVAULT_CHECK(core_.scan_rows(
          work.txn(), work.db(), next_row_,
          [&](std::uint64_t number, const model::OpenedRow& opened) -> Result<bool> {
            next_row_ = number + 1;
            if (has_old(work.authority(), opened.head) && !failed_.contains(number)) {
              row = number;
              CASEVAULT_CHECK(move_or_name(work, number, opened));
            }
            return !row && Clock::now() < end;
          },
          true));
      more = row.has_value();
    }
    return report_.done == before ? Result<void>() : work.commit_unseen();
  }

  /// One damaged record does not keep the others from being moved.
  Result<void> move_or_name(UnitOfWork& work, std::uint64_t number, const model::OpenedRow& opened) {
    auto moved = move(work, number, opened);
    if (moved) return {};
    const ErrorCode code = moved.error().code;
    if (code != ErrorCode::kIntegrity && code != ErrorCode::kUnsupported && code != ErrorCode::kErased) return moved;
    failed_.insert(number);
    if (report_.failed.size() < kMaxNamed) {
      report_.failed.push_back("record " + core_.id_of(number).to_string() + ": " + moved.error().message);
    }
    return {};
  }

  Result<void> move(UnitOfWork& work, std::uint64_t number, const model::OpenedRow& opened) {
    Bytes cells;
    model::Head head = copy_of(opened.head);
    std::uint64_t moved = 0;
    for (std::size_t i = 0; i < opened.head.cells.size(); ++i) {
      const model::CellEntry& entry = opened.head.cells[i];
      CASEVAULT_TRY(const ByteView bytes, opened.cell_bytes(i));
      if (!is_old(work.authority(), entry)) {
        head.cells.push_back(entry);
        cells.insert(cells.end(), bytes.begin(), bytes.end());
        continue;
      }
      CASEVAULT_TRY(model::CellEntry fresh, reseal(work, number, opened.head.record_key, entry, bytes, cells));
      head.cells.push_back(std::move(fresh));
      ++moved;
    }
    CASEVAULT_CHECK(vault::rewrite_row(work, number, head, cells));
    report_.done += moved;
    return {};
  }

  Result<model::CellEntry> reseal(UnitOfWork& work, std::uint64_t number, const SecretBytes& record_key,
                                  const model::CellEntry& entry, ByteView bytes, Bytes& out) {
    const Authority& authority = work.authority();
    const auto& compartments = authority.schema().compartments();
    const auto compartment = std::ranges::find(compartments, entry.compartment, &Compartment::id);
    if (compartment == compartments.end()) {
      return Error{ErrorCode::kUnsupported, "record " + core_.id_of(number).to_string() +
                                                " has a cell of a compartment the schema does not know"};
    }
    const keys::EpochName current = authority.state.current(entry.compartment);
    CASEVAULT_TRY(const auto old_key,
                  core_.epoch_key(work.txn(), work.db(), authority, {entry.compartment, entry.epoch}));
    CASEVAULT_TRY(const auto new_key, core_.epoch_key(work.txn(), work.db(), authority, current));
    const model::RowContext context = core_.row_context(number);
    auto opener = model::CellOpener::make(context, *compartment, entry, bytes, crypto::key_of(*old_key),
                                          crypto::key_of(record_key));
    if (!opener) return std::move(opener).error();
    CASEVAULT_TRY(const std::vector<std::uint16_t> ids, opener->fields());
    std::vector<SecretBytes> values;
    std::vector<model::PlainField> fields;
    for (const std::uint16_t id : ids) {
      CASEVAULT_TRY(const std::optional<ByteView> value, opener->open(id));
      values.push_back(SecretBytes::copy(*value));
      fields.push_back({id, values.back().view()});
    }
    return model::seal_cell(context, *compartment, current.epoch, entry.schema_version, authority.state.suite,
                            crypto::key_of(*new_key), crypto::key_of(record_key), fields, core_.random(), out);
  }

  static model::Head copy_of(const model::Head& head) {
    model::Head out;
    out.record_key = head.record_key.clone();
    out.stamp = head.stamp;  // a re-encryption is no new version: the log's word about this row stays true
    out.type = head.type;
    out.version = head.version;
    out.created_ms = head.created_ms;
    out.updated_ms = head.updated_ms;
    out.policy_bits = head.policy_bits;
    out.consent_bits = head.consent_bits;
    out.import_id = head.import_id;
    out.seals = head.seals;
    out.unit = head.unit;
    return out;
  }

  void slow_down() const {
    if (options_.rate == 0) return;
    const auto due =
        std::chrono::duration<double>(static_cast<double>(report_.done) / static_cast<double>(options_.rate));
    std::this_thread::sleep_until(began_ + std::chrono::duration_cast<Clock::duration>(due));
  }

  Result<void> log_end() {
    for (int attempt = 0;; ++attempt) {
      CASEVAULT_TRY(const Snapshot snapshot, core_.snapshot());
      vault::DetailsDraft details;
      details.text = std::to_string(options_.index ? 0 : report_.done) + " cells sealed under the current epochs of " +
                     (options_.compartment.empty() ? "all compartments held" : options_.compartment);
      for (const std::string& name : rebuilt_) details.text += "; new search index of " + name;
      CASEVAULT_TRY(vault::EntryDraft entry, core_.draft(*snapshot.authority, audit::Action::kKeyReencrypt,
                                                         audit::Outcome::kOk, std::move(details)));
      entry.leaf.count = options_.index ? 0 : report_.done;
      auto place = core_.append(std::move(entry));
      if (place) return {};
      // The authority may change at any moment; what was done is to be told all the same.
      if (place.error().code != ErrorCode::kBusy || attempt == kTellAgain) return std::move(place).error();
    }
  }

  Core& core_;
  const ReencryptOptions& options_;
  const Clock::time_point began_;
  Reencryption report_;
  std::vector<std::uint16_t> compartments_;
  std::uint64_t next_row_ = 0;
  std::set<std::uint64_t> failed_;    ///< rows that could not be moved
  std::vector<std::string> rebuilt_;  ///< compartments with a new index
  bool stopped_ = false;              ///< the caller asked for it
};

/// Every cell of the compartment is what its head says: the commitment under the epoch it names is that of the keys. A
/// head whose labels were changed would otherwise lead to the end of an epoch that cells are still under.
Result<void> check_labels(UnitOfWork& work, const Compartment& compartment) {
  Core& core = work.core();
  return core.scan_rows(
      work.txn(), work.db(), 0,
      [&](std::uint64_t row, const model::OpenedRow& opened) -> Result<bool> {
        for (std::size_t i = 0; i < opened.head.cells.size(); ++i) {
          const model::CellEntry& cell = opened.head.cells[i];
          if (cell.compartment != compartment.id) continue;
          CASEVAULT_TRY(const auto key,
                        core.epoch_key(work.txn(), work.db(), work.authority(), {cell.compartment, cell.epoch}));
          CASEVAULT_TRY(const ByteView bytes, opened.cell_bytes(i));
          auto opener = model::CellOpener::make(core.row_context(row), compartment, cell, bytes, crypto::key_of(*key),
                                                crypto::key_of(opened.head.record_key));
          if (!opener) {
            return Error{opener.error().code, "record " + core.id_of(row).to_string() + ": " + opener.error().message};
          }
        }
        return true;
      },
      true);
}

}  // namespace

Result<Rotation> Session::rotate(std::string_view compartment_name) {
  CASEVAULT_TRY(const auto core, impl_->core());
  CASEVAULT_CHECK(vault::catch_up(*core));
  return vault::open_successor(*core, compartment_name);
}

Result<Reencryption> Session::reencrypt(const ReencryptOptions& options) {
  CASEVAULT_TRY(const auto core, impl_->core());
  CASEVAULT_CHECK(vault::catch_up(*core));
  return Mover(*core, options).run();
}

Result<Census> Session::census() {
  CASEVAULT_TRY(const auto core, impl_->core());
  // No lock is needed: writers seal under the epoch that is current when they hold it, so what is zero stays zero.
  CASEVAULT_TRY(const Snapshot snapshot, core->snapshot());
  const Authority& authority = *snapshot.authority;
  Census census;
  CASEVAULT_TRY(census.keys, vault::count_keys(*core, *snapshot.txn, snapshot.db, authority));
  std::string epochs;
  bool replayed = false;
  for (const KeyInfo& key : census.keys) {
    if (key.state == "destroyed" || key.state == "retired") replayed = replayed || key.cells > 0;
    if (key.state != "old") continue;
    census.old_cells += key.cells;
    census.old_indexes += key.indexes;
    // Details of the log lie under old epochs of audit for good.
    if (key.compartment != "audit") epochs += " " + key.compartment + ":" + std::to_string(key.epoch);
  }
  if (census.old_cells > 0 || census.old_indexes > 0 || epochs.empty() || replayed || core->read_only()) return census;
  vault::DetailsDraft details;
  details.text = "no cell is left under" + epochs;
  CASEVAULT_TRY(vault::EntryDraft entry,
                core->draft(authority, audit::Action::kKeyCensus, audit::Outcome::kOk, std::move(details)));
  CASEVAULT_TRY(const vault::EntryPlace place, core->append(std::move(entry)));
  census.entry = place.entry;
  return census;
}

namespace {

/// An epoch that may end: known, old, and without a cell, counted within the unit of work that ends it.
struct EndingEpoch {
  keys::EpochName name;
  std::string shown;  ///< "health:1"
  std::uint64_t half_slot = 0;
};

Result<EndingEpoch> require_empty(UnitOfWork& work, std::string_view compartment_name, std::uint32_t epoch,
                                  audit::Action action, std::string_view verb) {
  Core& core = work.core();
  const Authority& authority = work.authority();
  CASEVAULT_TRY(const Compartment* const compartment, vault::find_compartment(authority, compartment_name));
  const keys::EpochName name{compartment->id, epoch};
  std::string shown = name_of(*compartment, epoch);
  const auto state = authority.state.epochs.find(name);
  if (state == authority.state.epochs.end()) return Error{ErrorCode::kNotFound, "there is no epoch " + shown};
  const auto refuse = [&](std::string why) {
    return work.deny(action, {ErrorCode::kRefused, "epoch " + shown + ": " + std::move(why)});
  };
  if (!policy::may_administer(authority.me().role)) {
    return refuse("role " + authority.me().role + " may not " + std::string(verb) + " epochs");
  }
  if (state->second.destroyed) return refuse("was destroyed before");
  if (name == authority.state.current(compartment->id)) return refuse("is the current one; rotate first");
  if (compartment->id == vault::kAuditCompartment) {
    return refuse("the details of log entries are sealed under it and would be lost");
  }
  CASEVAULT_TRY(const std::vector<KeyInfo> keys, vault::count_keys(core, work.txn(), work.db(), authority));
  const auto counted = std::ranges::find_if(
      keys, [&](const KeyInfo& key) { return key.compartment == compartment->name && key.epoch == epoch; });
  if (counted->cells > 0) {
    return refuse(std::to_string(counted->cells) + " cells are left under it; run key reencrypt");
  }
  if (counted->indexes > 0) {
    return refuse("the search index of " + compartment->name + " hangs on it; run key reencrypt");
  }
  if (auto labels = check_labels(work, *compartment); !labels) {
    if (labels.error().code != ErrorCode::kNoGrant) return std::move(labels).error();
    return work.deny(action, std::move(labels).error());
  }
  return EndingEpoch{name, std::move(shown), state->second.half_slot};
}

/// Rows that were hidden or put back would count as moved.
Result<void> require_sound(Core& core, std::string_view verb) {
  if (core.read_only()) return Error{ErrorCode::kUsage, "the vault is open read-only"};
  CASEVAULT_TRY(const VerifyReport report, vault::verify_log(core, {}, {}));
  if (report.ok) return {};
  return Error{ErrorCode::kIntegrity,
               "no epoch is " + std::string(verb) + " in a vault that does not verify: " + report.reason, report.entry};
}

}  // namespace

Result<std::uint64_t> Session::retire_epoch(std::string_view compartment, std::uint32_t epoch) {
  CASEVAULT_TRY(const auto core, impl_->core());
  CASEVAULT_CHECK(vault::catch_up(*core));
  CASEVAULT_CHECK(require_sound(*core, "retired"));
  CASEVAULT_TRY(UnitOfWork work, UnitOfWork::begin(*core));
  constexpr audit::Action kAction = audit::Action::kKeyRetire;
  CASEVAULT_TRY(const EndingEpoch ending, require_empty(work, compartment, epoch, kAction, "retire"));
  if (work.authority().state.epochs.at(ending.name).retired) {
    return Error{ErrorCode::kConflict, "epoch " + ending.shown + " was retired before"};
  }
  std::vector<AuthorityOp> ops;
  ops.emplace_back(vault::OpRetiredEpoch{ending.name});
  CASEVAULT_TRY(const vault::EntryPlace place,
                work.commit_authority(kAction, "retired epoch " + ending.shown, std::move(ops)));
  return place.entry;
}

Result<std::uint64_t> Session::destroy_epoch(std::string_view compartment, std::uint32_t epoch) {
  CASEVAULT_TRY(const auto core, impl_->core());
  CASEVAULT_CHECK(vault::catch_up(*core));
  CASEVAULT_CHECK(require_sound(*core, "destroyed"));
  CASEVAULT_TRY(vault::RootChange root, vault::RootChange::begin(*core));
  CASEVAULT_TRY(UnitOfWork work, UnitOfWork::begin_as_is(*core));
  if (work.behind()) return Error{ErrorCode::kBusy, "the vault key is just changing; try again"};
  constexpr audit::Action kAction = audit::Action::kKeyDestroy;
  CASEVAULT_TRY(const EndingEpoch ending, require_empty(work, compartment, epoch, kAction, "destroy"));
  CASEVAULT_CHECK(root.erase(work, keys::TreeKind::kEpochHalves, ending.half_slot));
  std::vector<AuthorityOp> ops;
  ops.emplace_back(vault::OpDestroyedEpoch{ending.name});
  CASEVAULT_TRY(const vault::EntryPlace place,
                work.commit_authority(kAction, "destroyed epoch " + ending.shown, std::move(ops)));
  if (auto settled = root.settle(); !settled) {
    return Error{ErrorCode::kErasePending, "epoch " + ending.shown + " is destroyed in entry " +
                                               std::to_string(place.entry) +
                                               ", but the old root is not overwritten yet (" + settled.error().message +
                                               "); the next session that may write does it"};
  }
  CASEVAULT_CHECK(core->snapshot());  // drops the keys of before
  return place.entry;
}

}  // namespace casevault
