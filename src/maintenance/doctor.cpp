// SPDX-License-Identifier: Apache-2.0
#include <casevault/maintenance.hpp>

#include "maintenance/index_check.hpp"
#include "vault/epochs.hpp"
#include "vault/row_key.hpp"
#include "vault/verify.hpp"

#include "model/value.hpp"

#include <algorithm>

namespace casevault {
namespace {

using vault::Core;
using vault::Snapshot;

constexpr std::size_t kMaxFindings = 1000;
constexpr std::uint64_t kProgressEvery = 1024;

constexpr std::string_view kRestore =
    "keep a copy of this folder as evidence, stop writing, and restore the newest backup that doctor finds sound";
constexpr std::string_view kAnyWrite = "nothing is lost: the next command that writes puts it right";

std::string join(std::uint64_t number, std::string_view noun) {
  return std::to_string(number) + " " + std::string(noun) + (number == 1 ? "" : "s");
}

/// What the vault did wrong, as opposed to what kept us from looking.
bool speaks_of_the_vault(ErrorCode code) {
  return code == ErrorCode::kIntegrity || code == ErrorCode::kRolledBack || code == ErrorCode::kUnsupported ||
         code == ErrorCode::kUnsafePermissions;
}

class Doctor {
 public:
  Doctor(const DoctorOptions& options, DoctorReport& report) : options_(options), report_(report) {}

  void unopened(const vault::Examination& examination, const Error& error) {
    const bool modes = error.code == ErrorCode::kUnsafePermissions;
    const bool newer = error.code == ErrorCode::kUnsupported;
    std::string where(examination.part);
    if (error.entry) where += ", entry " + std::to_string(*error.entry);
    find(Severity::kError, std::move(where), error.message,
         modes ? "give the folder mode 0700 and its files 0600, owned by you, without links; find out who changed them"
         : newer ? "use the casevault that wrote it"
                 : kRestore);
    find(Severity::kInfo, "vault",
         "the vault does not open, so what follows " + std::string(examination.part) + " was not examined");
  }

  Result<void> run(Core& core, const vault::Examination& examination) {
    core_ = &core;
    surroundings(examination);
    CASEVAULT_TRY(check_, vault::check_log(core, {}, options_.progress));
    report_.entries = check_.size;
    log();
    CASEVAULT_CHECK(erasure_root());
    CASEVAULT_CHECK(epochs());
    CASEVAULT_CHECK(key_tree());
    CASEVAULT_CHECK(other_tables());
    CASEVAULT_CHECK(rows());
    return missing_rows();
  }

 private:
  void find(Severity severity, std::string where, std::string what, std::string_view remedy = {}) {
    report_.worst = std::max(report_.worst, severity);
    if (severity != Severity::kInfo && bad_++ >= kMaxFindings) {
      ++report_.more;
      return;
    }
    report_.findings.push_back({severity, std::move(where), std::move(what), std::string(remedy)});
  }

  Result<void> progress(std::string_view stage, std::uint64_t done, std::uint64_t total) const {
    if (!options_.progress || options_.progress({stage, done, total})) return {};
    return Error{ErrorCode::kCancelled, "the examination was stopped"};
  }

  /// The error when it kept us from looking; otherwise it becomes a finding.
  Result<void> finding_of(std::string where, Error error) {
    if (!speaks_of_the_vault(error.code)) return error;
    find(Severity::kError, std::move(where), std::move(error.message), kRestore);
    return {};
  }

  void surroundings(const vault::Examination& examination) {
    if (!examination.alone) {
      find(Severity::kInfo, "data.mdb",
           "another process has the vault open: the structure of the file was checked by the "
           "first that opened it, and only its heads now",
           "run doctor when nobody has the vault open");
    }
    if (core_->anchor_notes().empty()) {
      find(Severity::kInfo, "anchor",
           "no anchor of this vault is known here: that the whole vault was put back to an "
           "earlier state before now would not be seen",
           "keep checkpoints elsewhere (audit checkpoint --out) and name them with --anchor");
    }
    if (keys::erasure_level(core_->root_file()) == "E0") {
      find(Severity::kInfo, "erasure.root",
           "lies on a file system that may keep overwritten blocks: erasure reaches only level E0",
           "move the vault to ext4 or xfs on a disk of its own");
    }
    if (!memory_lock_status().locked) {
      find(Severity::kInfo, "this process", "memory could not be locked: keys may be written to swap",
           "raise RLIMIT_MEMLOCK");
    }
    std::error_code ignored;
    for (const auto& file : std::filesystem::directory_iterator(core_->folder() / "identities", ignored)) {
      const std::string where = "identities/" + file.path().filename().string();
      if (auto identity = Identity::inspect(file.path()); !identity) {
        find(Severity::kWarning, where, identity.error().message, "restore it from your copy");
      } else {
        find(Severity::kInfo, where,
             "lies inside the vault: whoever copies the folder has it, guarded by its slots alone",
             "move it elsewhere");
      }
    }
  }

  void log() {
    if (!check_.reason.empty()) {
      find(Severity::kError, check_.entry ? "log entry " + std::to_string(*check_.entry) : "log", check_.reason,
           kRestore);
      find(Severity::kInfo, "records", "were not held against the log, because it does not verify");
    }
    if (check_.torn) {
      find(Severity::kWarning, "log",
           "bytes of a batch that was never acknowledged stand at its end: a writer died, or "
           "the last batch was damaged",
           "the next command that writes cuts it; if nobody's work was interrupted, compare with an anchor first");
    }
    if (check_.pending) {
      find(Severity::kWarning, "log entry " + std::to_string(*check_.pending),
           "is a mutation that the database does not hold: its writer died before the commit, or data.mdb was put back "
           "by one mutation",
           kAnyWrite);
    }
    for (const std::uint64_t entry : check_.clock_steps) {
      find(Severity::kInfo, "log entry " + std::to_string(entry),
           "is dated before the entry that precedes it: a clock was set back");
    }
    if (check_.details_unchecked) {
      find(Severity::kInfo, "log",
           "the details of entries were not opened: this principal does not hold the audit compartment");
    }
  }

  Result<void> erasure_root() {
    for (std::string& what : vault::left_over(*core_, authority()))
      find(Severity::kInfo, "keys", std::move(what), kAnyWrite);
    CASEVAULT_TRY(const keys::RootContext context, core_->root_context(snapshot().db.vault_key_epoch));
    auto stale = keys::ErasureRoot::stale_places(core_->root_file(), context, snapshot().db.root);
    if (!stale) return finding_of("erasure.root", std::move(stale).error());
    for (const std::uint64_t offset : *stale) {
      find(Severity::kWarning, "erasure.root at byte " + std::to_string(offset),
           "this place does not hold the live root: damaged, or a change of the root was interrupted", kAnyWrite);
    }
    return {};
  }

  std::string name_of(keys::EpochName name) const {
    const auto& compartments = schema().compartments();
    const auto found = std::ranges::find(compartments, name.compartment, &Compartment::id);
    return "epoch " + (found == compartments.end() ? std::to_string(name.compartment) : found->name) + ":" +
           std::to_string(name.epoch);
  }

  /// Halves are there and, where this principal holds the grant, give the key that the log commits to.
  Result<void> epochs() {
    const keys::KeyTree tree(core_->tag(), core_->random());
    for (const auto& [name, epoch] : authority().state.epochs) {
      if (epoch.destroyed) {
        if (tree.get_slot(*snapshot().txn, *snapshot().db.root_key, keys::TreeKind::kEpochHalves, epoch.half_slot)) {
          find(Severity::kError, name_of(name), "was destroyed, but its half is still in the key tree", kRestore);
        }
      } else if (core_->may_open(authority(), name)) {
        auto key = core_->epoch_key(*snapshot().txn, snapshot().db, authority(), name);
        if (!key) CASEVAULT_CHECK(finding_of(name_of(name), std::move(key).error()));
        // Who was granted later reaches older epochs through this one alone.
        const keys::EpochName before{name.compartment, name.epoch - 1};
        auto granted = core_->granted_key(authority(), name);
        if (granted && name.epoch > 1) {
          auto past = keys::open_past_epoch(core_->tag(), name, *granted, epoch.past,
                                            authority().state.epochs.at(before).commitments);
          if (!past) CASEVAULT_CHECK(finding_of(name_of(name), std::move(past).error()));
        }
      } else {
        auto half =
            tree.get_slot(*snapshot().txn, *snapshot().db.root_key, keys::TreeKind::kEpochHalves, epoch.half_slot);
        if (!half) CASEVAULT_CHECK(finding_of(name_of(name), std::move(half).error()));
      }
    }
    return {};
  }

  Result<void> key_tree() {
    const keys::KeyTree tree(core_->tag(), core_->random());
    CASEVAULT_TRY(report_.tree_rows, tree.check(*snapshot().txn, *snapshot().db.root_key, [&](std::string what) {
      find(Severity::kError, "key tree", std::move(what), kRestore);
    }));
    return progress("key tree", report_.tree_rows, report_.tree_rows);
  }

  Result<void> other_tables() {
    CASEVAULT_TRY(const std::uint64_t count, snapshot().txn->count(store::Table::kMeta));
    if (count != 1) find(Severity::kError, "data.mdb", "table meta holds " + join(count, "row") + ", not 1", kRestore);
    return maintenance::check_index(
        *core_, snapshot(), options_.deep, [&](Severity severity, std::string where, std::string what) {
          find(severity, std::move(where), std::move(what),
               severity == Severity::kError ? "find out who wrote to data.mdb; then rebuild it: key reencrypt --index"
                                            : "");
        });
  }

  Result<void> rows() {
    std::map<std::uint16_t, std::uint64_t> counted;
    std::uint64_t staged = 0;
    std::uint64_t total = 0;
    for (const auto& [type, count] : snapshot().db.records) total += count;
    Bytes from;
    for (bool more = true; more; more = store::advance(from)) {
      CASEVAULT_TRY(const std::optional<store::Item> item, snapshot().txn->seek(store::Table::kRows, from));
      if (!item) break;
      from.assign(item->key.begin(), item->key.end());
      if (from.size() != vault::kRowKeySize) {
        find(Severity::kError, "data.mdb",
             from.size() == vault::kAttachmentKeySize ? "holds attachments, which this version does not know"
                                                      : "a row stands under a key that is no record's",
             kRestore);
        continue;
      }
      const std::uint64_t row = vault::row_of_key(from);
      if (snapshot().db.is_staged(row)) {
        ++staged;
        continue;
      }
      CASEVAULT_CHECK(record(row, item->value, counted));
      if (++seen_ % kProgressEvery == 0) CASEVAULT_CHECK(progress("records", seen_, total));
    }
    if (staged > 0) {
      find(Severity::kInfo, "data.mdb",
           join(staged, "row") +
               " of an import that is not published: it is at work, or it "
               "was killed and the next import clears them");
    }
    for (const RecordType& type : schema().types()) {
      const auto known = snapshot().db.records.find(type.id);
      const std::uint64_t expected = known == snapshot().db.records.end() ? 0 : known->second;
      if (counted[type.id] == expected) continue;
      find(Severity::kError, "data.mdb",
           "counts " + std::to_string(expected) + " records of type " + type.name + ", and holds " +
               std::to_string(counted[type.id]),
           kRestore);
    }
    if (options_.deep && report_.sealed_cells > 0) {
      find(Severity::kInfo, "records",
           join(report_.sealed_cells, "cell") +
               " could not be opened: this principal holds no "
               "grant for them",
           "run doctor --deep as principals that do");
    }
    return {};
  }

  Result<void> record(std::uint64_t row, ByteView value, std::map<std::uint16_t, std::uint64_t>& counted) {
    const std::string where = "record " + core_->id_of(row).to_string();
    if (row >= snapshot().db.next_row) {
      find(Severity::kError, where, "lies beyond the last row that the database gave out (foreign)", kRestore);
    }
    const auto leaf = core_->leaf_key(*snapshot().txn, snapshot().db, row / keys::kFanout);
    if (!leaf) return finding_of(where, leaf.error());
    auto opened = model::open_row(core_->row_context(row), value, **leaf);
    if (!opened) return finding_of(where, std::move(opened).error());
    const model::Head& head = opened->head;
    ++report_.records;
    ++counted[head.type];
    if (check_.reason.empty()) {
      if (std::string wrong = check_.history.judge(row, head); !wrong.empty()) {
        find(Severity::kError, where, std::move(wrong), kRestore);
      } else {
        ++judged_;
      }
    }
    const RecordType* const type = schema().find_type(head.type);
    if (type == nullptr) {
      find(Severity::kError, where, "has type " + std::to_string(head.type) + ", which the schema does not know",
           kRestore);
      return {};
    }
    for (std::size_t i = 0; i < head.cells.size(); ++i) CASEVAULT_CHECK(cell(where, row, *type, *opened, i));
    return {};
  }

  Result<void> cell(const std::string& where, std::uint64_t row, const RecordType& type, const model::OpenedRow& opened,
                    std::size_t index) {
    const model::CellEntry& entry = opened.head.cells[index];
    const auto& compartments = schema().compartments();
    const auto compartment = std::ranges::find(compartments, entry.compartment, &Compartment::id);
    if (compartment == compartments.end()) {
      find(Severity::kError, where,
           "has a cell of compartment " + std::to_string(entry.compartment) + ", which the schema does not know",
           kRestore);
      return {};
    }
    const keys::EpochName name{entry.compartment, entry.epoch};
    const auto epoch = authority().state.epochs.find(name);
    if (epoch == authority().state.epochs.end()) {
      find(Severity::kError, where, "has a cell under " + name_of(name) + ", which the log never opened", kRestore);
      return {};
    }
    if (epoch->second.destroyed || epoch->second.retired) {
      find(Severity::kError, where,
           "has a cell under " + name_of(name) + ", which was " + (epoch->second.destroyed ? "destroyed" : "retired") +
               ": an older row was put back",
           kRestore);
      return {};
    }
    const auto belongs = [&](std::uint16_t id) {
      const Field* const field = type.find(id);
      return field != nullptr && &compartments[field->compartment] == &*compartment;
    };
    if (!compartment->sealed_as_cell) {
      for (const model::DirectoryEntry& field : entry.directory) {
        if (!belongs(field.field)) foreign_field(where, field.field, compartment->name);
      }
    }
    if (!options_.deep) return {};
    if (!core_->may_open(authority(), name)) {
      ++report_.sealed_cells;
      return {};
    }
    auto key = core_->epoch_key(*snapshot().txn, snapshot().db, authority(), name);
    if (!key) return finding_of(where, std::move(key).error());
    CASEVAULT_TRY(const ByteView bytes, opened.cell_bytes(index));
    auto opener = model::CellOpener::make(core_->row_context(row), *compartment, entry, bytes, crypto::key_of(**key),
                                          crypto::key_of(opened.head.record_key));
    if (!opener) return finding_of(where, std::move(opener).error());
    auto fields = opener->fields();
    if (!fields) return finding_of(where, std::move(fields).error());
    for (const std::uint16_t id : *fields) {
      if (!belongs(id)) {
        if (compartment->sealed_as_cell) foreign_field(where, id, compartment->name);
        continue;
      }
      auto encoded = opener->open(id);
      if (!encoded) return finding_of(where, std::move(encoded).error());
      CASEVAULT_CHECK(value(where, *type.find(id), encoded->value()));
    }
    ++report_.cells;
    return {};
  }

  void foreign_field(const std::string& where, std::uint16_t id, const std::string& compartment) {
    find(Severity::kError, where,
         "has field " + std::to_string(id) + " in compartment " + compartment + ", where its type has no such field",
         kRestore);
  }

  Result<void> value(const std::string& where, const Field& field, ByteView encoded) {
    const std::size_t most = model::max_text_size(encoded.size());
    if (text_.size() < most) text_ = SecretBytes(most);
    auto end = model::decode_value(field, encoded, text_.mutable_view(), 0);
    if (!end) return finding_of(where, std::move(end).error());
    const std::string_view text = as_text(text_.view().first(*end));
    if (auto admitted = model::check_value(schema(), field, text); !admitted) {
      find(Severity::kWarning, where, "holds what its schema does not admit: " + admitted.error().message,
           "correct the record");
    }
    return {};
  }

  Result<void> missing_rows() {
    if (!check_.reason.empty() || judged_ == check_.history.rows()) return {};
    std::optional<Error> broken;
    check_.history.each_row([&](std::uint64_t row) {
      auto absent = vault::judge_absent(snapshot(), row);
      if (!absent) {
        broken = std::move(absent).error();
      } else if (!absent->empty()) {
        find(Severity::kError, "record " + core_->id_of(row).to_string(), *std::move(absent), kRestore);
      }
      return !broken;
    });
    if (broken) return *std::move(broken);
    return {};
  }

  const Snapshot& snapshot() const { return check_.snapshot; }
  const vault::Authority& authority() const { return *check_.snapshot.authority; }
  const Schema& schema() const { return authority().schema(); }

  const DoctorOptions& options_;
  DoctorReport& report_;
  Core* core_ = nullptr;
  vault::LogCheck check_;
  SecretBytes text_;          ///< room for one decoded value
  std::uint64_t seen_ = 0;    ///< rows
  std::uint64_t judged_ = 0;  ///< heads that are what the log says
  std::size_t bad_ = 0;       ///< errors and warnings
};

}  // namespace

std::string_view name_of(Severity severity) noexcept {
  switch (severity) {
    case Severity::kInfo:
      return "info";
    case Severity::kWarning:
      return "warning";
    case Severity::kError:
      return "error";
  }
  return "error";
}

Result<DoctorReport> examine(const std::filesystem::path& folder, const Identity& identity, const OpenOptions& open,
                             const DoctorOptions& options) {
  DoctorReport report;
  OpenOptions read_only = open;
  read_only.read_only = true;
  vault::Examination examination;
  examination.believe = false;
  auto core = Core::open(folder, identity, read_only, base::system_environment(), &examination);
  Doctor doctor(options, report);  // its snapshot must end before the vault does
  if (core) {
    CASEVAULT_CHECK(doctor.run(**core, examination));
  } else {
    if (!speaks_of_the_vault(core.error().code)) return std::move(core).error();
    doctor.unopened(examination, core.error());
  }
  report.ok = report.worst == Severity::kInfo;
  return report;
}

}  // namespace casevault
