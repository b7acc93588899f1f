// SPDX-License-Identifier: Apache-2.0
#include "keys/key_tree.hpp"
#include "vault/epochs.hpp"
#include "vault/people.hpp"
#include "vault/records.hpp"
#include "vault/row_key.hpp"
#include "vault/session_impl.hpp"

#include <algorithm>
#include <chrono>
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

/// How long a background job holds the write lock at a time (design.md section 4).
constexpr auto kHoldLock = std::chrono::milliseconds(4);

Result<const Compartment*> find_compartment(const Authority& authority, std::string_view name) {
  const Compartment* compartment = authority.schema().find_compartment(name);
  if (compartment == nullptr) return Error{ErrorCode::kNotFound, "the schema has no compartment " + std::string(name)};
  return compartment;
}

Error denied(UnitOfWork& work, audit::Action action, Error error) {
  return work.core().refuse(work.authority(), action, audit::Outcome::kDenied, {}, {}, {}, std::move(error));
}

std::string name_of(const Compartment& compartment, std::uint32_t epoch) {
  return compartment.name + ":" + std::to_string(epoch);
}

/// Moves cells of held compartments from old epochs to the current ones.
class Mover {
 public:
  Mover(Core& core, const ReencryptOptions& options) : core_(core), options_(options), began_(Clock::now()) {}

  Result<Reencryption> run() {
    CASEVAULT_CHECK(choose());
    while (true) {
      CASEVAULT_TRY(const bool found, seek_work());
      if (!found) break;
      CASEVAULT_CHECK(batch());
      if (options_.progress && !options_.progress({"cells", report_.done, std::max(report_.total, report_.done)})) {
        return report_;  // what was moved stays moved; the next call goes on
      }
      slow_down();
    }
    report_.finished = report_.skipped.empty();
    if (report_.done > 0) CASEVAULT_CHECK(log_end());
    return report_;
  }

 private:
  /// The compartments to work on, and what lies before us.
  Result<void> choose() {
    CASEVAULT_TRY(const Snapshot snapshot, core_.snapshot());
    const Authority& authority = *snapshot.authority;
    CASEVAULT_CHECK(vault::require_writer(authority));
    CASEVAULT_TRY(const std::vector<KeyInfo> keys, vault::count_keys(core_, *snapshot.txn, snapshot.db, authority));
    if (!options_.compartment.empty()) {
      CASEVAULT_TRY(const Compartment* const only, find_compartment(authority, options_.compartment));
      CASEVAULT_CHECK(core_.granted_key(authority, authority.state.current(only->id)));
    }
    for (const Compartment& compartment : authority.schema().compartments()) {
      if (!options_.compartment.empty() && options_.compartment != compartment.name) continue;
      std::uint64_t old = 0;
      for (const KeyInfo& key : keys) {
        if (key.compartment == compartment.name && key.state == "old") old += key.cells;
      }
      if (authority.me().holds(authority.state.current(compartment.id))) {
        compartments_.push_back(compartment.id);
        report_.total += old;
      } else if (old > 0) {
        report_.skipped.push_back(compartment.name);
      }
    }
    return {};
  }

  bool is_old(const Authority& authority, const model::CellEntry& cell) const {
    return std::ranges::find(compartments_, cell.compartment) != compartments_.end() &&
           cell.epoch != authority.state.current(cell.compartment).epoch;
  }
  bool has_old(const Authority& authority, const model::Head& head) const {
    return std::ranges::any_of(head.cells, [&](const model::CellEntry& cell) { return is_old(authority, cell); });
  }

  /// Finds the next row with something to do without holding the write lock.
  Result<bool> seek_work() {
    CASEVAULT_TRY(const Snapshot snapshot, core_.snapshot());
    bool found = false;
    CASEVAULT_CHECK(core_.scan_rows(*snapshot.txn, snapshot.db, next_row_,
                                    [&](std::uint64_t row, const model::OpenedRow& opened) -> Result<bool> {
                                      next_row_ = row;
                                      found = has_old(*snapshot.authority, opened.head);
                                      return !found;
                                    }));
    return found;
  }

  Result<void> batch() {
    CASEVAULT_TRY(UnitOfWork work, UnitOfWork::begin(core_));
    const Clock::time_point end = Clock::now() + kHoldLock;
    const std::uint64_t before = report_.done;
    bool more = true;
    while (more && Clock::now() < end) {
      std::optional<std::uint64_t> row;
      // One row at a time: what is found is changed before the next is looked for.
      CASEVAULT_CHECK(core_.scan_rows(work.txn(), work.db(), next_row_,
                                      [&](std::uint64_t number, const model::OpenedRow& opened) -> Result<bool> {
                                        next_row_ = number + 1;
                                        if (has_old(work.authority(), opened.head)) {
                                          row = number;
                                          CASEVAULT_CHECK(move(work, number, opened));
                                        }
                                        return !row && Clock::now() < end;
                                      }));
      more = row.has_value();
    }
    return report_.done == before ? Result<void>() : work.commit_unseen();
  }

  Result<void> move(UnitOfWork& work, std::uint64_t number, const model::OpenedRow& opened) {
    const Authority& authority = work.authority();
    model::Head head;
    Bytes cells;
    std::vector<model::CellEntry> entries;
    for (std::size_t i = 0; i < opened.head.cells.size(); ++i) {
      const model::CellEntry& entry = opened.head.cells[i];
      CASEVAULT_TRY(const ByteView bytes, opened.cell_bytes(i));
      if (!is_old(authority, entry)) {
        entries.push_back(entry);
        cells.insert(cells.end(), bytes.begin(), bytes.end());
        continue;
      }
      CASEVAULT_TRY(model::CellEntry moved, reseal(work, number, opened.head.record_key, entry, bytes, cells));
      entries.push_back(std::move(moved));
      ++report_.done;
    }
    head = copy_of(opened.head);
    head.cells = std::move(entries);
    return vault::rewrite_row(work, number, head, cells);
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
    CASEVAULT_TRY(const auto old_key, core_.epoch_key(work.txn(), authority, {entry.compartment, entry.epoch}));
    CASEVAULT_TRY(const auto new_key, core_.epoch_key(work.txn(), authority, current));
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
    CASEVAULT_TRY(const Snapshot snapshot, core_.snapshot());
    vault::DetailsDraft details;
    details.text = std::to_string(report_.done) + " cells sealed under the current epochs of " +
                   (options_.compartment.empty() ? "all compartments held" : options_.compartment);
    CASEVAULT_TRY(vault::EntryDraft entry, core_.draft(*snapshot.authority, audit::Action::kKeyReencrypt,
                                                       audit::Outcome::kOk, std::move(details)));
    entry.leaf.count = report_.done;
    CASEVAULT_CHECK(core_.append(std::move(entry)));
    return {};
  }

  Core& core_;
  const ReencryptOptions& options_;
  const Clock::time_point began_;
  Reencryption report_;
  std::vector<std::uint16_t> compartments_;
  std::uint64_t next_row_ = 0;
};

std::uint64_t cells_under_old(std::span<const KeyInfo> keys) {
  std::uint64_t total = 0;
  for (const KeyInfo& key : keys) total += key.state == "old" ? key.cells : 0;
  return total;
}

}  // namespace

Result<Rotation> Session::rotate(std::string_view compartment_name) {
  CASEVAULT_TRY(const auto core, impl_->core());
  return vault::open_successor(*core, compartment_name);
}

Result<Reencryption> Session::reencrypt(const ReencryptOptions& options) {
  CASEVAULT_TRY(const auto core, impl_->core());
  return Mover(*core, options).run();
}

Result<Census> Session::census() {
  CASEVAULT_TRY(const auto core, impl_->core());
  const auto count = [&](store::ReadTxn& txn, const vault::DbState& db, const Authority& authority) -> Result<Census> {
    Census census;
    CASEVAULT_TRY(census.keys, vault::count_keys(*core, txn, db, authority));
    census.old_cells = cells_under_old(census.keys);
    return census;
  };
  if (core->read_only()) {
    CASEVAULT_TRY(const Snapshot snapshot, core->snapshot());
    return count(*snapshot.txn, snapshot.db, *snapshot.authority);
  }
  // Under the write lock: what is signed is true of the database as it stands, not of an earlier one.
  CASEVAULT_TRY(UnitOfWork work, UnitOfWork::begin(*core));
  CASEVAULT_TRY(Census census, count(work.txn(), work.db(), work.authority()));
  std::string epochs;
  for (const KeyInfo& key : census.keys) {
    if (key.state == "old") epochs += " " + key.compartment + ":" + std::to_string(key.epoch);
  }
  if (census.old_cells > 0 || epochs.empty()) return census;
  vault::DetailsDraft details;
  details.text = "no cell is left under" + epochs;
  CASEVAULT_TRY(vault::EntryDraft entry,
                core->draft(work.authority(), audit::Action::kKeyCensus, audit::Outcome::kOk, std::move(details)));
  CASEVAULT_TRY(const vault::EntryPlace place, core->append(std::move(entry)));
  census.entry = place.entry;
  return census;
}

Result<std::uint64_t> Session::destroy_epoch(std::string_view compartment_name, std::uint32_t epoch) {
  CASEVAULT_TRY(const auto core, impl_->core());
  if (core->read_only()) return Error{ErrorCode::kUsage, "the vault is open read-only"};
  CASEVAULT_TRY(keys::ErasureRoot root, keys::ErasureRoot::lock(core->root_file()));  // before the write lock, always
  CASEVAULT_TRY(UnitOfWork work, UnitOfWork::begin(*core));
  const Authority& authority = work.authority();
  CASEVAULT_TRY(const Compartment* const compartment, find_compartment(authority, compartment_name));
  const keys::EpochName name{compartment->id, epoch};
  const std::string shown = name_of(*compartment, epoch);
  const auto state = authority.state.epochs.find(name);
  if (state == authority.state.epochs.end()) return Error{ErrorCode::kNotFound, "there is no epoch " + shown};
  const auto refuse = [&](std::string why) {
    return denied(work, audit::Action::kKeyDestroy, {ErrorCode::kRefused, "epoch " + shown + ": " + std::move(why)});
  };
  if (!policy::may_administer(authority.me().role)) {
    return refuse("role " + authority.me().role + " may not destroy epochs");
  }
  if (state->second.destroyed) return refuse("was destroyed before");
  if (name == authority.state.current(compartment->id)) return refuse("is the current one; rotate first");
  if (compartment->id == vault::kAuditCompartment) {
    return refuse("the details of log entries are sealed under it and would be lost");
  }
  CASEVAULT_TRY(const std::vector<KeyInfo> keys, vault::count_keys(*core, work.txn(), work.db(), authority));
  const auto counted = std::ranges::find_if(
      keys, [&](const KeyInfo& key) { return key.compartment == compartment->name && key.epoch == epoch; });
  if (counted->cells > 0) {
    return refuse(std::to_string(counted->cells) + " cells are left under it; run key reencrypt");
  }

  // What an interrupted change left in the file is settled before another one begins.
  CASEVAULT_CHECK(root.settle(core->root_context(), work.db().root, core->random()));
  const SecretBytes next = crypto::random_key(core->random());
  const keys::LiveRoot live{work.db().root.epoch + 1, keys::commit_root(core->tag(), work.db().root.epoch + 1, next)};
  const keys::KeyTree tree(core->tag(), core->random());
  CASEVAULT_CHECK(
      tree.erase_slot(work.txn(), *core->erasure_root(), next, keys::TreeKind::kEpochHalves, state->second.half_slot));
  CASEVAULT_CHECK(root.stage(core->root_context(), live.epoch, next, core->random()));
  work.db().root = live;
  work.db().tree_generation += 1;
  std::vector<AuthorityOp> ops;
  ops.emplace_back(vault::OpDestroyedEpoch{name});
  CASEVAULT_TRY(const vault::EntryPlace place, vault::commit_authority(work, audit::Action::kKeyDestroy,
                                                                       "destroyed epoch " + shown, std::move(ops), {}));
  if (auto settled = root.settle(core->root_context(), live, core->random()); !settled) {
    return Error{ErrorCode::kErasePending, "epoch " + shown + " is destroyed in entry " + std::to_string(place.entry) +
                                               ", but the old root is not overwritten yet (" + settled.error().message +
                                               "); the next session that may write does it"};
  }
  return place.entry;
}

}  // namespace casevault
