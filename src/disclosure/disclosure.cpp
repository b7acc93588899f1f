// SPDX-License-Identifier: Apache-2.0
#include <casevault/disclosure.hpp>

#include "base/text.hpp"
#include "model/value.hpp"
#include "vault/audit_view.hpp"
#include "vault/row_key.hpp"
#include "vault/session_impl.hpp"

#include <algorithm>
#include <set>

namespace casevault {
namespace {

using vault::Authority;
using vault::Core;
using vault::Snapshot;

constexpr std::size_t kWindowBytes = std::size_t{1} << 20U;
constexpr std::size_t kChunkBytes = std::size_t{1} << 16U;
constexpr std::size_t kMaxRecipient = 1024;
constexpr int kMaxAttempts = 4;  // the first and three restarts

/// One record as the entry fixes it.
struct Subject {
  RecordId id;
  std::uint64_t row = 0;
  std::uint32_t version = 0;
  const RecordType* type = nullptr;
};

/// The authority a decision rests on must still be the newest when the entry is written.
vault::Journal::Guard unchanged(const Authority& authority) {
  return [newest = authority.newest](const vault::Journal::State& state) -> Result<void> {
    if (state.last_authority && state.last_authority->entry == newest) return {};
    return Error{ErrorCode::kBusy, "the authority of the vault changed meanwhile; try again"};
  };
}

std::vector<const Field*> fields_of(const RecordType& type, const std::vector<std::string>& names) {
  std::vector<const Field*> out;
  for (const std::string& name : names) out.push_back(type.find(name));
  return out;
}

}  // namespace

struct Disclosure::Impl {
  std::shared_ptr<const Authority> decided;  ///< `subjects` point into its schema
  std::weak_ptr<Core> session;
  Core* core = nullptr;  ///< of `session`, during a call
  std::vector<Subject> subjects;
  std::vector<std::string> field_names;
  std::uint64_t entry = 0;
  std::string purpose;
  std::string basis;

  std::vector<Record> window;
  std::vector<SecretBytes> chunks;  ///< the window's plaintext
  std::size_t used = 0;             ///< of the last chunk
  std::size_t next_in_window = 0;
  std::size_t next_subject = 0;
  std::size_t window_bytes = 0;

  /// Room for `size` bytes that stays where it is.
  MutableBytes room(std::size_t size) {
    if (chunks.empty() || chunks.back().size() - used < size) {
      chunks.emplace_back(std::max(size, kChunkBytes));
      used = 0;
    }
    return chunks.back().mutable_view().subspan(used);
  }

  /// Decrypts the next records, up to a window's worth, from one fresh snapshot.
  Result<void> fill() {
    window.clear();
    chunks.clear();
    used = 0;
    window_bytes = 0;
    next_in_window = 0;
    CASEVAULT_TRY(const Snapshot snapshot, core->snapshot());
    while (next_subject < subjects.size() && window_bytes < kWindowBytes) {
      CASEVAULT_TRY(Record record, open(snapshot, subjects[next_subject]));
      window.push_back(std::move(record));
      ++next_subject;
    }
    return {};
  }

  Result<Record> open(const Snapshot& snapshot, const Subject& subject) {
    std::uint64_t row = 0;
    CASEVAULT_TRY(const model::OpenedRow opened, core->open_row(*snapshot.txn, snapshot.db, subject.id, row));
    if (opened.head.version != subject.version) {
      return Error{ErrorCode::kConflict, "record " + subject.id.to_string() + " changed after entry " +
                                             std::to_string(entry) + " fixed version " +
                                             std::to_string(subject.version) + ": disclose it again"};
    }
    const Authority& authority = *snapshot.authority;
    const auto& compartments = authority.schema().compartments();
    const std::vector<const Field*> wanted = fields_of(*subject.type, field_names);
    Record record{subject.id, std::vector<std::optional<std::string_view>>(wanted.size())};
    for (std::size_t i = 0; i < opened.head.cells.size(); ++i) {
      const model::CellEntry& cell = opened.head.cells[i];
      const auto in_cell = [&](const Field* field) { return compartments[field->compartment].id == cell.compartment; };
      const auto first = std::ranges::find_if(wanted, in_cell);
      if (first == wanted.end()) continue;
      CASEVAULT_TRY(const auto key, core->epoch_key(*snapshot.txn, authority, {cell.compartment, cell.epoch}));
      CASEVAULT_TRY(const ByteView bytes, opened.cell_bytes(i));
      auto opener = model::CellOpener::make(core->row_context(row), compartments[(*first)->compartment], cell, bytes,
                                            crypto::key_of(*key), crypto::key_of(opened.head.record_key));
      if (!opener) return named(subject, std::move(opener).error());
      for (std::size_t f = 0; f < wanted.size(); ++f) {
        if (!in_cell(wanted[f])) continue;
        auto encoded = opener->open(wanted[f]->id);
        if (!encoded) return named(subject, std::move(encoded).error());
        if (!*encoded) continue;
        const std::size_t most = model::max_text_size((*encoded)->size());
        MutableBytes out = room(most);
        auto end = model::decode_value(*wanted[f], **encoded, out, 0);
        if (!end) return named(subject, std::move(end).error());
        record.values[f] = as_text(out.first(*end));
        used += *end;
        window_bytes += *end;
      }
    }
    return record;
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
  CASEVAULT_TRY(const auto core, impl_->hold());
  if (impl_->next_in_window == impl_->window.size()) {
    if (impl_->next_subject == impl_->subjects.size()) return static_cast<const Record*>(nullptr);
    if (auto filled = impl_->fill(); !filled) return impl_->log_failure(std::move(filled).error());
  }
  return &impl_->window[impl_->next_in_window++];
}

namespace {

/// A disclosure from request to entry: decides, names what it fixes, logs. Nothing is decrypted here.
class Decision {
 public:
  Decision(const std::shared_ptr<Core>& core, const DisclosureRequest& request)
      : session_(core), core_(*core), request_(request) {}

  Result<std::unique_ptr<Disclosure::Impl>> run() {
    CASEVAULT_TRY(const Snapshot snapshot, core_.snapshot());
    const Authority& authority = *snapshot.authority;
    CASEVAULT_CHECK(find_subjects(snapshot));
    std::string basis;
    for (const Subject& subject : subjects_) {
      CASEVAULT_CHECK(check_fields(*subject.type));
    }
    for (std::size_t i = 0; i < subjects_.size(); ++i) {
      CASEVAULT_TRY(basis, admit(authority, subjects_[i], units_[i]));
    }
    CASEVAULT_CHECK(check_grants(snapshot));

    vault::DetailsDraft details = describe();
    if (subjects_.size() <= vault::kMaxSubjectParts) {
      for (std::size_t i = 0; i < subjects_.size(); ++i) {
        details.subjects.push_back({subjects_[i].row, subjects_[i].version, record_keys_[i].clone()});
      }
    } else {
      for (const Subject& subject : subjects_) details.rows.push_back(subject.row);
    }
    CASEVAULT_TRY(vault::EntryDraft entry,
                  core_.draft(authority, audit::Action::kDisclose, audit::Outcome::kOk, std::move(details)));
    entry.leaf.purpose = request_.purpose;
    entry.leaf.basis = basis;
    entry.leaf.count = subjects_.size();
    CASEVAULT_TRY(const vault::EntryPlace place, core_.append(std::move(entry), unchanged(authority)));

    auto impl = std::make_unique<Disclosure::Impl>();
    impl->session = session_;
    impl->core = &core_;
    impl->decided = snapshot.authority;
    impl->subjects = std::move(subjects_);
    impl->field_names = request_.fields;
    impl->entry = place.entry;
    impl->purpose = request_.purpose;
    impl->basis = std::move(basis);
    return impl;
  }

 private:
  vault::DetailsDraft describe() const {
    vault::DetailsDraft details;
    details.recipient = request_.recipient;
    details.recipient_class = request_.recipient_class;
    if (!subjects_.empty()) {
      details.type = subjects_.front().type->id;
      for (const Field* field : fields_of(*subjects_.front().type, request_.fields)) {
        if (field != nullptr) details.fields.push_back(field->id);
      }
    }
    return details;
  }

  Error refuse(const Authority& authority, audit::Outcome outcome, std::string basis, Error error) {
    vault::DetailsDraft details = describe();
    for (const Subject& subject : subjects_) details.rows.push_back(subject.row);
    // Leaves hold codes of the schema only: what is no code stays in the sealed details.
    const Schema& schema = authority.schema();
    const std::string purpose = schema.find_purpose(request_.purpose) != nullptr ? request_.purpose : std::string();
    if (std::ranges::find(schema.bases(), basis) == schema.bases().end()) basis.clear();
    return core_.refuse(authority, audit::Action::kDisclose, outcome, std::move(details), purpose, std::move(basis),
                        std::move(error));
  }

  Result<void> find_subjects(const Snapshot& snapshot) {
    const Authority& authority = *snapshot.authority;
    std::set<RecordId> seen;
    for (const RecordId& id : request_.ids) {
      if (!seen.insert(id).second) return Error{ErrorCode::kUsage, "record " + id.to_string() + " is asked for twice"};
      std::uint64_t row = 0;
      auto opened = core_.open_row(*snapshot.txn, snapshot.db, id, row);
      if (!opened) return refuse(authority, audit::Outcome::kFailed, request_.basis, std::move(opened).error());
      const RecordType* type = authority.schema().find_type(opened->head.type);
      if (type == nullptr)
        return Error{ErrorCode::kUnsupported, "record " + id.to_string() + " has a type the schema does not know"};
      if (!subjects_.empty() && subjects_.front().type != type) {
        return Error{ErrorCode::kUsage,
                     "record " + id.to_string() + " is of another type than the first: disclose each type by itself"};
      }
      subjects_.push_back({id, row, opened->head.version, type});
      units_.push_back(opened->head.unit);
      record_keys_.push_back(std::move(opened->head.record_key));
    }
    return {};
  }

  Result<void> check_fields(const RecordType& type) const {
    for (const std::string& name : request_.fields) {
      if (type.find(name) == nullptr) return Error{ErrorCode::kBadInput, "type " + type.name + " has no field " + name};
    }
    return {};
  }

  Result<std::string> admit(const Authority& authority, const Subject& subject, const std::string& unit) {
    policy::Request question;
    question.actor = authority.actor();
    question.purpose = request_.purpose;
    question.basis = request_.basis;
    question.recipient_class = request_.recipient_class;
    question.type = subject.type;
    question.fields = fields_of(*subject.type, request_.fields);
    question.record_unit = unit;
    policy::Decision decision = policy::decide(authority.schema(), question);
    if (!decision.allowed)
      return refuse(authority, audit::Outcome::kDenied, std::move(decision.basis),
                    {ErrorCode::kRefused, "refused: " + decision.reason});
    basis_ = decision.basis;
    return std::move(decision.basis);
  }

  /// A policy that admits is not enough: the key must be there.
  Result<void> check_grants(const Snapshot& snapshot) {
    const Authority& authority = *snapshot.authority;
    std::set<std::uint16_t> compartments;
    for (const Subject& subject : subjects_) {
      for (const Field* field : fields_of(*subject.type, request_.fields)) compartments.insert(field->compartment);
    }
    for (const std::uint16_t index : compartments) {
      const keys::EpochName name = authority.state.current(authority.schema().compartments()[index].id);
      auto key = core_.epoch_key(*snapshot.txn, authority, name);
      if (key) continue;
      if (key.error().code != ErrorCode::kNoGrant) return std::move(key).error();
      return refuse(authority, audit::Outcome::kDenied, basis_, std::move(key).error());
    }
    return {};
  }

  std::shared_ptr<Core> session_;
  Core& core_;
  const DisclosureRequest& request_;
  std::vector<Subject> subjects_;
  std::vector<std::string> units_;
  std::vector<SecretBytes> record_keys_;
  std::string basis_;
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
    auto impl = Decision(core, request).run();
    if (!impl) {
      if (impl.error().code != ErrorCode::kBusy) return std::move(impl).error();
      last = std::move(impl).error();
      continue;  // the authority moved under the decision: decide again
    }
    auto filled = (*impl)->fill();
    if (filled) return Disclosure(*std::move(impl));
    if (filled.error().code != ErrorCode::kConflict) return (*impl)->log_failure(std::move(filled).error());
    last = (*impl)->log_failure(std::move(filled).error());
    last.code = ErrorCode::kBusy;
  }
  return last;
}

}  // namespace casevault
