// SPDX-License-Identifier: Apache-2.0
#include <casevault/disclosure.hpp>

#include "base/text.hpp"
#include "model/value.hpp"
#include "vault/access.hpp"
#include "vault/audit_view.hpp"
#include "vault/row_key.hpp"
#include "vault/session_impl.hpp"

#include <algorithm>
#include <map>
#include <set>

namespace casevault {
namespace {

using vault::Authority;
using vault::Core;
using vault::Snapshot;
using vault::Wanted;

constexpr std::size_t kWindowBytes = std::size_t{1} << 20U;
constexpr std::size_t kChunkBytes = std::size_t{1} << 16U;
constexpr std::size_t kMaxRecipient = 1024;
constexpr int kMaxAttempts = 4;  // the first and three restarts

/// One record as the entry fixes it.
struct Subject {
  RecordId id;
  std::uint64_t row = 0;
  std::uint32_t version = 0;
  std::array<std::uint8_t, 16> stamp{};
};

/// What opening a row's cells takes, besides keys of compartments.
struct SeenRow {
  ByteView record_key;
  ByteView sealed_cells;  ///< into the snapshot
  std::span<const model::CellView> cells;
};

/// Rows as the decision saw them, for the first window: when nothing was committed in between, its fresh snapshot is
/// the same one, and heads need not be fetched and opened twice. Ends with the call that makes the disclosure.
class Seen {
 public:
  std::uint64_t snapshot = 0;
  std::vector<SeenRow> rows;  ///< of the first subjects

  void add(const model::HeadOpener& head, const std::vector<Wanted>& wanted) {
    if (full_) return;
    const auto asked = [&](const model::CellView& cell) {
      return std::ranges::any_of(wanted, [&](const Wanted& w) { return w.compartment->id == cell.compartment; });
    };
    std::size_t size = head.record_key.size();
    std::size_t count = 0;
    for (const model::CellView& cell : head.cells) {
      if (!asked(cell)) continue;
      size += cell.directory.size();
      ++count;
    }
    if (secrets_.empty() || secrets_.back().size() - used_ < size ||
        cells_.back().capacity() - cells_.back().size() < count) {
      full_ = secrets_.size() == kMaxSeenChunks;
      if (full_) return;
      secrets_.emplace_back(std::max(size, kChunkBytes));
      cells_.emplace_back().reserve(std::max(count, kChunkBytes / 64));
      used_ = 0;
    }
    std::vector<model::CellView>& cells = cells_.back();
    const ByteView key = keep(head.record_key);
    for (const model::CellView& cell : head.cells) {
      if (!asked(cell)) continue;
      cells.push_back(cell);
      cells.back().directory = keep(cell.directory);
    }
    rows.push_back({key, head.sealed_cells, std::span(cells).last(count)});
  }

 private:
  static constexpr std::size_t kMaxSeenChunks = 16;

  ByteView keep(ByteView bytes) {
    const MutableBytes place = secrets_.back().mutable_view().subspan(used_, bytes.size());
    std::ranges::copy(bytes, place.begin());
    used_ += bytes.size();
    return place;
  }

  std::vector<SecretBytes> secrets_;  ///< record keys and directories
  std::vector<std::vector<model::CellView>> cells_;
  std::size_t used_ = 0;  ///< of the last of `secrets_`
  bool full_ = false;
};

}  // namespace

struct Disclosure::Impl {
  std::shared_ptr<const Authority> decided;  ///< `wanted` points into its schema
  std::weak_ptr<Core> session;
  Core* core = nullptr;  ///< of `session`, during a call
  std::vector<Subject> subjects;
  std::vector<Wanted> wanted;
  std::size_t field_count = 0;
  std::uint64_t entry = 0;
  std::string purpose;
  std::string basis;

  std::vector<Record> window;       ///< the first `filled` hold
  std::vector<SecretBytes> chunks;  ///< the window's plaintext
  std::size_t used = 0;             ///< of the last chunk
  std::size_t filled = 0;
  std::size_t next_in_window = 0;
  std::size_t next_subject = 0;
  std::size_t window_bytes = 0;
  model::DirectoryHashes hashes;
  /// 1 in the process that made it, 0 in a forked child: cheaper than asking the system for each record.
  SecretBytes alive = SecretBytes::copy(std::array<std::uint8_t, 1>{1});

  /// Room for `size` bytes that stays where it is.
  MutableBytes room(std::size_t size) {
    if (chunks.empty() || chunks.back().size() - used < size) {
      chunks.emplace_back(std::max(size, kChunkBytes));
      used = 0;
    }
    return chunks.back().mutable_view().subspan(used);
  }

  /// Decrypts the next records, up to a window's worth, from one fresh snapshot. `seen` is what the decision saw.
  Result<void> fill(const Seen* seen) {
    filled = 0;
    chunks.clear();
    used = 0;
    window_bytes = 0;
    next_in_window = 0;
    CASEVAULT_TRY(const Snapshot snapshot, core->snapshot());
    if (seen != nullptr && seen->snapshot != snapshot.txn->number()) seen = nullptr;
    Keys keys{model::HeadOpener(), model::CellOpener(&hashes), {}};
    while (next_subject < subjects.size() && window_bytes < kWindowBytes) {
      if (filled == window.size()) window.emplace_back();
      Record& record = window[filled];
      record.id = subjects[next_subject].id;
      record.values.assign(field_count, std::nullopt);
      if (seen != nullptr && next_subject < seen->rows.size()) {
        CASEVAULT_CHECK(open(snapshot, keys, subjects[next_subject], seen->rows[next_subject], record));
      } else {
        CASEVAULT_CHECK(open(snapshot, keys, subjects[next_subject], record));
      }
      ++filled;
      ++next_subject;
    }
    return {};
  }

  /// What opens a window's cells. It ends with the call that fills the window: no key outlives the session in a
  /// disclosure.
  struct Keys {
    model::HeadOpener head;
    model::CellOpener cell;
    std::map<keys::EpochName, std::shared_ptr<const SecretBytes>> epochs;
  };

  Result<void> open(const Snapshot& snapshot, Keys& keys, const Subject& subject, Record& record) {
    model::HeadOpener& head = keys.head;
    CASEVAULT_CHECK(core->open_head(*snapshot.txn, snapshot.db, subject.id, subject.row, head));
    if (head.version != subject.version || head.stamp != subject.stamp) {
      return Error{ErrorCode::kConflict, "record " + subject.id.to_string() + " changed after entry " +
                                             std::to_string(entry) + " fixed version " +
                                             std::to_string(subject.version) + ": disclose it again"};
    }
    return open(snapshot, keys, subject, {head.record_key, head.sealed_cells, head.cells}, record);
  }

  Result<void> open(const Snapshot& snapshot, Keys& keys, const Subject& subject, const SeenRow& row, Record& record) {
    for (const model::CellView& place : row.cells) {
      const auto asked =
          std::ranges::find_if(wanted, [&](const Wanted& each) { return each.compartment->id == place.compartment; });
      if (asked == wanted.end()) continue;
      CASEVAULT_TRY(const crypto::KeyView key, epoch_key(snapshot, keys, {place.compartment, place.epoch}));
      auto opened =
          keys.cell.begin(core->row_context(subject.row), *asked->compartment, place,
                          row.sealed_cells.subspan(place.offset, place.size), key, row.record_key.first<32>());
      if (opened) opened = open_fields(keys.cell, *asked, record);
      if (!opened) return named(subject, std::move(opened).error());
    }
    return {};
  }

  Result<void> open_fields(model::CellOpener& cell, const Wanted& asked, Record& record) {
    for (const auto& [field, at] : asked.fields) {
      CASEVAULT_TRY(const std::optional<ByteView> encoded, cell.open(field->id));
      if (!encoded) continue;
      MutableBytes out = room(model::max_text_size(encoded->size()));
      CASEVAULT_TRY(const std::size_t end, model::decode_value(*field, *encoded, out, 0));
      record.values[at] = as_text(out.first(end));
      used += end;
      window_bytes += end;
    }
    return {};
  }

  Result<crypto::KeyView> epoch_key(const Snapshot& snapshot, Keys& keys, keys::EpochName name) {
    auto known = keys.epochs.find(name);
    if (known == keys.epochs.end()) {
      CASEVAULT_TRY(auto key, core->epoch_key(*snapshot.txn, snapshot.db, *snapshot.authority, name));
      known = keys.epochs.emplace(name, std::move(key)).first;
    }
    return crypto::key_of(*known->second);
  }

  /// Keeps the vault open for one call. kUsage when the session has ended or this is a forked child.
  Result<std::shared_ptr<Core>> hold() {
    std::shared_ptr<Core> held = session.lock();
    if (!held) return Error{ErrorCode::kUsage, "the session of this disclosure is closed"};
    CASEVAULT_CHECK(held->check_process());
    core = held.get();
    return held;
  }

  static Error named(const Subject& subject, Error error) {
    error.message = "record " + subject.id.to_string() + ": " + error.message;
    return error;
  }

  /// What went wrong after the entry is an entry too.
  Error log_failure(Error error) {
    auto snapshot = core->snapshot();
    if (!snapshot) return error;
    vault::DetailsDraft details;
    for (std::size_t i = next_subject; i < subjects.size(); ++i) details.rows.push_back(subjects[i].row);
    return core->refuse(*snapshot->authority, audit::Action::kDisclose, audit::Outcome::kFailed, std::move(details),
                        purpose, basis, std::move(error));
  }
};

Disclosure::Disclosure(std::unique_ptr<Impl> impl) noexcept : impl_(std::move(impl)) {}
Disclosure::Disclosure(Disclosure&&) noexcept = default;
Disclosure& Disclosure::operator=(Disclosure&&) noexcept = default;
Disclosure::~Disclosure() = default;
std::uint64_t Disclosure::entry() const noexcept { return impl_->entry; }
const std::string& Disclosure::basis() const noexcept { return impl_->basis; }
Result<std::string> Disclosure::receipt() const {
  CASEVAULT_TRY(const auto core, impl_->hold());
  return vault::prove_entry(*core, impl_->entry);
}

Result<const Disclosure::Record*> Disclosure::next() {
  const bool ready = impl_->next_in_window < impl_->filled;
  if (!ready || impl_->alive.view().front() != 1 || impl_->session.expired()) {
    CASEVAULT_TRY(const auto core, impl_->hold());
    if (ready) return &impl_->window[impl_->next_in_window++];
    if (impl_->next_subject == impl_->subjects.size()) return static_cast<const Record*>(nullptr);
    if (auto filled = impl_->fill(nullptr); !filled) return impl_->log_failure(std::move(filled).error());
  }
  return &impl_->window[impl_->next_in_window++];
}

namespace {

/// A disclosure from request to entry: decides, names what it fixes, logs. Nothing is decrypted here.
class Decision {
 public:
  Decision(const std::shared_ptr<Core>& core, const DisclosureRequest& request, Seen& seen)
      : session_(core),
        core_(*core),
        request_(request),
        seen_(seen),
        access_(*core, {audit::Action::kDisclose, request.fields, request.purpose, request.basis, request.recipient,
                        request.recipient_class}) {}

  Result<std::unique_ptr<Disclosure::Impl>> run() {
    CASEVAULT_TRY(const Snapshot snapshot, core_.snapshot());
    const Authority& authority = *snapshot.authority;
    CASEVAULT_CHECK(find_subjects(snapshot));
    CASEVAULT_TRY(std::string basis, access_.admit(snapshot, units_, rows_));

    vault::DetailsDraft details = access_.describe();
    if (subjects_.size() <= vault::kMaxSubjectParts) {
      for (std::size_t i = 0; i < subjects_.size(); ++i) {
        details.subjects.push_back({subjects_[i].row, subjects_[i].version, std::move(record_keys_[i])});
      }
    } else {
      details.rows = std::move(rows_);
    }
    CASEVAULT_TRY(vault::EntryDraft entry,
                  core_.draft(authority, audit::Action::kDisclose, audit::Outcome::kOk, std::move(details)));
    entry.leaf.purpose = request_.purpose;
    entry.leaf.basis = basis;
    entry.leaf.count = subjects_.size();
    CASEVAULT_TRY(const vault::EntryPlace place, core_.append(std::move(entry)));

    auto impl = std::make_unique<Disclosure::Impl>();
    impl->session = session_;
    impl->core = &core_;
    impl->decided = snapshot.authority;
    impl->subjects = std::move(subjects_);
    impl->wanted = access_.wanted();
    impl->field_count = access_.fields().size();
    impl->entry = place.entry;
    impl->purpose = request_.purpose;
    impl->basis = std::move(basis);
    return impl;
  }

 private:
  std::vector<std::uint64_t> rows_of_subjects() const {
    std::vector<std::uint64_t> rows;
    rows.reserve(subjects_.size());
    for (const Subject& subject : subjects_) rows.push_back(subject.row);
    return rows;
  }

  Result<void> find_subjects(const Snapshot& snapshot) {
    const Authority& authority = *snapshot.authority;
    const std::vector<std::optional<std::uint64_t>> rows = core_.rows_of(request_.ids);
    seen_.snapshot = snapshot.txn->number();
    CASEVAULT_CHECK(check_repeats(rows));
    subjects_.reserve(rows.size());
    model::HeadOpener head;
    for (std::size_t i = 0; i < rows.size(); ++i) {
      const RecordId& id = request_.ids[i];
      auto opened = core_.open_head(*snapshot.txn, snapshot.db, id, rows[i], head);
      if (!opened) {
        return access_.refuse(authority, audit::Outcome::kFailed, rows_of_subjects(), request_.basis,
                              std::move(opened).error());
      }
      const RecordType* const type = authority.schema().find_type(head.type);
      if (type == nullptr)
        return Error{ErrorCode::kUnsupported, "record " + id.to_string() + " has a type the schema does not know"};
      if (access_.type() == nullptr) CASEVAULT_CHECK(access_.resolve(authority.schema(), *type));
      if (access_.type() != type) {
        return Error{ErrorCode::kUsage,
                     "record " + id.to_string() + " is of another type than the first: disclose each type by itself"};
      }
      subjects_.push_back({id, *rows[i], head.version, head.stamp});
      seen_.add(head, access_.wanted());
      if (units_.empty() || units_.back() != head.unit) units_.emplace_back(head.unit);
      if (rows.size() <= vault::kMaxSubjectParts) record_keys_.push_back(SecretBytes::copy(head.record_key));
    }
    // One decision for each unit: nothing else of a record enters it.
    std::ranges::sort(units_);
    units_.erase(std::unique(units_.begin(), units_.end()), units_.end());
    return {};
  }

  Result<void> check_repeats(const std::vector<std::optional<std::uint64_t>>& rows) {
    rows_.reserve(rows.size());
    for (const auto& row : rows) {
      if (row) rows_.push_back(*row);
    }
    std::ranges::sort(rows_);
    const auto twice = std::ranges::adjacent_find(rows_);
    if (twice == rows_.end()) return {};
    return Error{ErrorCode::kUsage, "record " + core_.id_of(*twice).to_string() + " is asked for twice"};
  }

  std::shared_ptr<Core> session_;
  Core& core_;
  const DisclosureRequest& request_;
  Seen& seen_;
  vault::Access access_;
  std::vector<Subject> subjects_;
  std::vector<std::uint64_t> rows_;       ///< of the ids asked for, ascending
  std::vector<std::string> units_;        ///< of the subjects, each once
  std::vector<SecretBytes> record_keys_;  ///< of few subjects
};

Result<void> check_request(const DisclosureRequest& request) {
  if (request.ids.empty()) return Error{ErrorCode::kUsage, "no record is named"};
  if (request.fields.empty()) return Error{ErrorCode::kUsage, "no field is named"};
  if (request.purpose.empty()) return Error{ErrorCode::kUsage, "a purpose is required"};
  if (request.recipient.empty()) return Error{ErrorCode::kUsage, "a recipient is required"};
  for (const std::string* text : {&request.recipient, &request.recipient_class}) {
    if (text->size() > kMaxRecipient || !base::valid_utf8(*text)) {
      return Error{ErrorCode::kBadInput, "a recipient and its class are at most 1024 bytes of UTF-8"};
    }
  }
  std::set<std::string> seen;
  for (const std::string& field : request.fields) {
    if (!seen.insert(field).second) return Error{ErrorCode::kUsage, "field " + field + " is asked for twice"};
  }
  return {};
}

}  // namespace

Result<Disclosure> Session::disclose(const DisclosureRequest& request) {
  CASEVAULT_CHECK(check_request(request));
  CASEVAULT_TRY(const auto core, impl_->core());
  Error last{ErrorCode::kBusy, "the records kept changing while they were disclosed; try again"};
  for (int attempt = 0; attempt < kMaxAttempts; ++attempt) {
    Seen seen;
    auto impl = Decision(core, request, seen).run();
    if (!impl) {
      if (impl.error().code != ErrorCode::kBusy) return std::move(impl).error();
      last = std::move(impl).error();
      continue;  // the authority moved under the decision: decide again
    }
    auto filled = (*impl)->fill(&seen);
    if (filled) return Disclosure(*std::move(impl));
    if (filled.error().code != ErrorCode::kConflict) return (*impl)->log_failure(std::move(filled).error());
    last = (*impl)->log_failure(std::move(filled).error());
    last.code = ErrorCode::kBusy;
  }
  return last;
}

}  // namespace casevault
