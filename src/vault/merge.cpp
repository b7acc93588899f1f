// SPDX-License-Identifier: Apache-2.0
#include "vault/merge.hpp"

#include "base/text.hpp"
#include "vault/records.hpp"

#include <algorithm>

namespace casevault::vault {
namespace {

constexpr std::size_t kMaxReason = 1024;

Result<void> check_reason(std::string_view reason) {
  if (reason.empty()) return Error{ErrorCode::kUsage, "a reason is required: who merges records says why"};
  if (reason.size() > kMaxReason || !base::valid_utf8(reason))
    return Error{ErrorCode::kBadInput, "a reason is at most 1,024 bytes of UTF-8"};
  return {};
}

std::vector<RecordId> ids_of(const Core& core, std::span<const std::uint32_t> rows) {
  std::vector<RecordId> out;
  for (const std::uint32_t row : rows) out.push_back(core.id_of(row));
  return out;
}

/// Rows of one person once `rows` are linked, or parted.
std::vector<std::uint32_t> person_after(const AuthorityState& state, std::uint32_t row,
                                        std::pair<std::uint32_t, std::uint32_t> rows, bool undo) {
  AuthorityState after;
  after.links = state.links;
  if (undo) {
    after.links[rows.first].erase(rows.second);
    after.links[rows.second].erase(rows.first);
  } else {
    after.links[rows.first].insert(rows.second);
    after.links[rows.second].insert(rows.first);
  }
  return after.rows_of_person(row);
}

/// kConflict unless the link can be made, or ended.
Result<void> check_link(const Core& core, const AuthorityState& state, std::uint32_t a, std::uint32_t b, bool undo) {
  const std::vector<std::uint32_t> person = state.rows_of_person(a);
  const bool one = std::ranges::find(person, b) != person.end();
  const auto beside = state.links.find(a);
  const bool linked = beside != state.links.end() && beside->second.contains(b);
  if (undo ? linked : !one) return {};
  const std::string both = "records " + core.id_of(a).to_string() + " and " + core.id_of(b).to_string();
  if (!one) return Error{ErrorCode::kConflict, both + " are not merged: there is nothing to undo"};
  if (linked) return Error{ErrorCode::kConflict, both + " are merged already"};
  std::string others;
  for (const std::uint32_t row : person) {
    if (row != a && row != b) others += " " + core.id_of(row).to_string();
  }
  return Error{ErrorCode::kConflict,
               both + " are merged through" + others + (undo ? ": undo the merges with those instead" : " already")};
}

}  // namespace

Result<Merged> merge_records(Core& core, const RecordId& a, const RecordId& b, std::string_view reason, bool undo) {
  CASEVAULT_CHECK(check_reason(reason));
  if (a == b) return Error{ErrorCode::kBadInput, "record " + a.to_string() + " is given twice: a merge takes two"};
  CASEVAULT_TRY(UnitOfWork work, UnitOfWork::begin(core));
  const Authority& authority = work.authority();
  DetailsDraft details;
  details.text = reason;
  const audit::Action action = undo ? audit::Action::kUnmerge : audit::Action::kMerge;
  const auto deny = [&](Error error) {
    return core.refuse(authority, action, audit::Outcome::kDenied, std::move(details), {}, {}, std::move(error));
  };
  // Decided before anything is said about the records.
  if (auto writer = require_writer(authority); !writer) return deny(std::move(writer).error());
  const RecordType* type = nullptr;
  for (const RecordId& id : {a, b}) {
    std::uint64_t row = 0;
    CASEVAULT_TRY(const model::OpenedRow opened, core.open_row(work.txn(), work.db(), id, row));
    const RecordType* const own = authority.schema().find_type(opened.head.type);
    if (own == nullptr)
      return Error{ErrorCode::kUnsupported, "record " + id.to_string() + " has a type the schema does not know"};
    if (type != nullptr && type != own) {
      return Error{ErrorCode::kBadInput, "record " + a.to_string() + " is a " + type->name + " and record " +
                                             b.to_string() + " a " + own->name + ": only records of one type merge"};
    }
    type = own;
    details.subjects.push_back({row, opened.head.version, opened.head.record_key.clone()});
  }
  details.type = type->id;
  const std::pair<std::uint32_t, std::uint32_t> rows = std::minmax(static_cast<std::uint32_t>(details.subjects[0].row),
                                                                   static_cast<std::uint32_t>(details.subjects[1].row));
  // Who cannot read names cannot know who is one person.
  if (const Field* const name = type->find(Trait::kName)) {
    const Compartment& compartment = authority.schema().compartments()[name->compartment];
    auto key = core.epoch_key(work.txn(), work.db(), authority, authority.state.current(compartment.id));
    if (!key) return key.error().code == ErrorCode::kNoGrant ? deny(std::move(key).error()) : std::move(key).error();
  }
  if (auto fits = check_link(core, authority.state, rows.first, rows.second, undo); !fits)
    return deny(std::move(fits).error());
  // Before the entry: nothing may fail once it stands.
  std::vector<RecordId> person =
      ids_of(core, person_after(authority.state, static_cast<std::uint32_t>(details.subjects[0].row), rows, undo));
  CASEVAULT_TRY(EntryDraft entry, core.draft(authority, action, audit::Outcome::kOk, std::move(details)));
  entry.leaf.count = 2;
  std::vector<AuthorityOp> ops;
  ops.emplace_back(OpSamePerson{rows.first, rows.second, !undo});
  CASEVAULT_TRY(const EntryPlace place, work.commit_authority(std::move(entry), std::move(ops)));
  return Merged{place.entry, std::move(person)};
}

Result<std::vector<RecordId>> records_of_person(Core& core, const RecordId& id) {
  CASEVAULT_TRY(const Snapshot snapshot, core.snapshot());
  std::uint64_t row = 0;
  CASEVAULT_CHECK(core.open_row(*snapshot.txn, snapshot.db, id, row));
  return ids_of(core, snapshot.authority->state.rows_of_person(static_cast<std::uint32_t>(row)));
}

std::vector<RecordId> other_records(const Core& core, const AuthorityState& state, std::uint64_t row) {
  std::vector<std::uint32_t> rows = state.rows_of_person(static_cast<std::uint32_t>(row));
  std::erase(rows, static_cast<std::uint32_t>(row));
  return ids_of(core, rows);
}

}  // namespace casevault::vault
