// SPDX-License-Identifier: Apache-2.0
#include "vault/records.hpp"

#include "model/index_words.hpp"
#include "model/normalise.hpp"
#include "model/value.hpp"
#include "vault/lookalike.hpp"
#include "vault/row_key.hpp"

#include <algorithm>
#include <bit>

namespace casevault::vault {
namespace {

/// A leaf node key serves random nonces: it is replaced long before their limit (FORMAT.md, "Key tree").
constexpr std::uint32_t kSealsPerLeafKey = 4000;

Result<const RecordType*> find_type(const Schema& schema, std::string_view name) {
  const RecordType* type = schema.find_type(name);
  if (type == nullptr) return Error{ErrorCode::kNotFound, "the schema has no record type " + std::string(name)};
  return type;
}

Error first_problem(const std::vector<FieldProblem>& problems) {
  const FieldProblem& first = problems.front();
  std::string message = first.column.empty() ? first.reason : "field " + first.column + ": " + first.reason;
  if (problems.size() > 1) message += " (and " + std::to_string(problems.size() - 1) + " more)";
  return {ErrorCode::kBadInput, std::move(message)};
}

std::vector<std::uint16_t> compartments_of(std::span<const EncodedField> fields) {
  std::vector<std::uint16_t> out;
  for (const EncodedField& field : fields) out.push_back(field.field->compartment);
  std::ranges::sort(out);
  out.erase(std::unique(out.begin(), out.end()), out.end());
  return out;
}

std::vector<std::uint16_t> field_ids(std::span<const FieldInput> fields, const RecordType& type) {
  std::vector<std::uint16_t> out;
  for (const FieldInput& input : fields) {
    if (const Field* field = type.find(input.name)) out.push_back(field->id);
  }
  return out;
}

void plain(std::span<const EncodedField> fields, std::uint16_t compartment, std::vector<model::PlainField>& out) {
  out.clear();
  for (const EncodedField& field : fields) {
    if (field.field->compartment == compartment) out.push_back({field.field->id, field.value});
  }
  // Coded and short values first, long texts last: the head of a row then lies in the page (FORMAT.md, "Record row").
  const auto is_long = [](const model::PlainField& f) { return f.encoded.size() > 2022; };
  if (std::ranges::any_of(out, is_long)) std::ranges::stable_sort(out, {}, is_long);
}

}  // namespace

Result<std::vector<EncodedField>> open_cell(Core& core, store::ReadTxn& txn, const DbState& db,
                                            const Authority& authority, std::uint64_t number,
                                            const model::OpenedRow& row, std::size_t index, const RecordType& type,
                                            std::vector<SecretBytes>& copies) {
  const model::CellEntry& entry = row.head.cells[index];
  const Schema& schema = authority.schema();
  const auto compartment = std::ranges::find(schema.compartments(), entry.compartment, &Compartment::id);
  if (compartment == schema.compartments().end())
    return Error{ErrorCode::kUnsupported, "a cell of a compartment the schema does not know"};
  CASEVAULT_TRY(const auto key, core.epoch_key(txn, db, authority, {entry.compartment, entry.epoch}));
  CASEVAULT_TRY(const ByteView bytes, row.cell_bytes(index));
  CASEVAULT_TRY(model::CellOpener opener,
                model::CellOpener::make(core.row_context(number), *compartment, entry, bytes, crypto::key_of(*key),
                                        crypto::key_of(row.head.record_key)));
  CASEVAULT_TRY(const std::vector<std::uint16_t> present, opener.fields());
  std::vector<EncodedField> out;
  for (const std::uint16_t id : present) {
    const Field* field = type.find(id);
    if (field == nullptr)
      return Error{ErrorCode::kUnsupported, "a field the schema does not know: " + std::to_string(id)};
    CASEVAULT_TRY(const std::optional<ByteView> value, opener.open(id));
    if (value) out.push_back({field, copies.emplace_back(SecretBytes::copy(*value)).view()});
  }
  return out;
}

Result<void> require_writer(const Authority& authority) {
  const std::string& role = authority.me().role;
  if (role == "analyst" || role == "auditor")
    return Error{ErrorCode::kRefused, "role " + role + " may not write records"};
  return {};
}

std::vector<FieldProblem> check_fields(const Schema& schema, const RecordType& type, std::span<const FieldInput> fields,
                                       bool require_all) {
  std::vector<FieldProblem> problems;
  std::vector<const Field*> seen;
  std::vector<const Field*> filled;
  // Where no name fits, the "names" may be somebody's values (a file without its header): they are counted, not
  // repeated.
  const bool named =
      std::ranges::any_of(fields, [&](const FieldInput& input) { return type.find(input.name) != nullptr; });
  for (std::size_t i = 0; i < fields.size(); ++i) {
    const FieldInput& input = fields[i];
    const Field* field = type.find(input.name);
    if (field == nullptr) {
      problems.push_back(
          {named ? std::string(input.name) : "#" + std::to_string(i + 1), "type " + type.name + " has no such field"});
      continue;
    }
    if (std::ranges::find(seen, field) != seen.end()) {
      problems.push_back({field->name, "given twice"});
      continue;
    }
    seen.push_back(field);
    if (input.text.empty()) {
      if (!require_all && field->required) problems.push_back({field->name, "required, cannot be emptied"});
      continue;
    }
    filled.push_back(field);
    if (auto checked = model::check_value(schema, *field, input.text); !checked) {
      // The checker names the field too; the column says it already.
      const std::string prefix = "field " + field->name + ": ";
      std::string reason = checked.error().message;
      if (reason.starts_with(prefix)) reason.erase(0, prefix.size());
      problems.push_back({field->name, std::move(reason)});
    }
  }
  if (require_all) {
    for (const Field& field : type.fields) {
      if (field.required && std::ranges::find(filled, &field) == filled.end())
        problems.push_back({field.name, "required, but empty"});
    }
  }
  return problems;
}

namespace {

/// Lays encoded values out one behind the other. `capacity` is an upper bound of all.
class Encoder {
 public:
  Encoder(SecretBytes& buffer, std::size_t capacity) {
    if (buffer.size() < capacity) buffer = SecretBytes(std::bit_ceil(capacity));
    rest_ = buffer.mutable_view();
  }
  ByteView add(const Field& field, std::string_view text) {
    const MutableBytes value = rest_.first(model::encode_checked(field, text, rest_));
    rest_ = rest_.subspan(value.size());
    return value;
  }

 private:
  MutableBytes rest_;
};

}  // namespace

std::vector<EncodedField> encode_fields(const RecordType& type, std::span<const FieldInput> fields,
                                        SecretBytes& buffer) {
  std::size_t capacity = 0;
  for (const FieldInput& input : fields) capacity += model::max_encoded_size(*type.find(input.name), input.text);
  Encoder encoder(buffer, capacity);
  std::vector<EncodedField> out;
  for (const FieldInput& input : fields) {
    if (input.text.empty()) continue;
    const Field* field = type.find(input.name);
    out.push_back({field, encoder.add(*field, input.text)});
  }
  return out;
}

void RowChecker::resolve(std::span<const FieldInput> fields) {
  columns_.clear();
  for (const FieldInput& input : fields) {
    const Field* const field = type_.find(input.name);
    if (field == nullptr || std::ranges::find(columns_, field, &Column::field) != columns_.end())
      return columns_.clear();
    columns_.push_back({std::string(input.name), field, {schema_, *field}});
  }
  for (const Field& field : type_.fields) {
    if (field.required && std::ranges::find(columns_, &field, &Column::field) == columns_.end()) columns_.clear();
  }
}

std::vector<FieldProblem> RowChecker::check(std::span<const FieldInput> fields) {
  const auto same_name = [](const Column& column, const FieldInput& input) { return column.name == input.name; };
  if (!std::ranges::equal(columns_, fields, same_name)) resolve(fields);
  bool good = columns_.size() == fields.size();
  for (std::size_t i = 0; i < columns_.size() && good; ++i) {
    const std::string_view text = fields[i].text;
    good = text.empty() ? !columns_[i].field->required : columns_[i].check.admits(text);
  }
  if (good && !columns_.empty()) return {};
  return check_fields(schema_, type_, fields, true);
}

std::span<const EncodedField> RowChecker::encode(std::span<const FieldInput> fields) {
  encoded_.clear();
  if (columns_.empty()) return encoded_ = encode_fields(type_, fields, buffer_);
  std::size_t capacity = 0;
  for (std::size_t i = 0; i < fields.size(); ++i)
    capacity += model::max_encoded_size(*columns_[i].field, fields[i].text);
  Encoder encoder(buffer_, capacity);
  for (std::size_t i = 0; i < fields.size(); ++i) {
    const Field* const field = columns_[i].field;
    if (!fields[i].text.empty()) encoded_.push_back({field, encoder.add(*field, fields[i].text)});
  }
  return encoded_;
}

Result<RecordSealer> RecordSealer::make(UnitOfWork& work, std::span<const std::uint16_t> compartments) {
  RecordSealer sealer;
  sealer.suite_ = work.authority().state.suite;
  const Schema& schema = work.authority().schema();
  for (const std::uint16_t index : compartments) {
    const keys::EpochName name = work.authority().state.current(schema.compartments()[index].id);
    if (work.authority().state.due.contains(name.compartment) && work.authority().me().holds(name)) {
      return Error{ErrorCode::kBusy, "a grant of compartment " + schema.compartments()[index].name +
                                         " was taken back meanwhile; try again"};
    }
    CASEVAULT_TRY(auto key, work.core().epoch_key(work.txn(), work.db(), work.authority(), name));
    sealer.keys_[index] = {name, std::move(key)};
  }
  return sealer;
}

model::CellEntry RecordSealer::seal(Core& core, const Schema& schema, const model::RowContext& context,
                                    std::uint16_t compartment, const SecretBytes& record_key,
                                    std::span<const model::PlainField> fields, Bytes& out) {
  const Key& key = keys_.at(compartment);
  return model::seal_cell(context, schema.compartments()[compartment], key.name.epoch, schema.version(), suite_,
                          crypto::key_of(*key.key), crypto::key_of(record_key), fields, core.random(), out, buffers_);
}

Result<void> RecordSealer::write(UnitOfWork& work, const NewRow& row, std::span<const EncodedField> fields,
                                 SecretBytes* record_key) {
  Core& core = work.core();
  const std::uint64_t leaf = row.number / keys::kFanout;
  if (leaf != leaf_) {
    CASEVAULT_TRY(leaf_key_, core.make_leaf_key(work.txn(), work.db(), leaf));
    leaf_ = leaf;
  }
  model::Head& head = head_;
  if (head.record_key.empty()) head.record_key = SecretBytes(32);
  core.random().fill(head.record_key.mutable_view());
  head.type = row.type;
  head.created_ms = row.now_ms;
  head.updated_ms = row.now_ms;
  head.unit = row.unit;
  head.import_id = row.import_id;
  head.stamp = row.stamp;
  head.cells.clear();
  const model::RowContext context = core.row_context(row.number);
  cells_.clear();
  for (const auto& [compartment, key] : keys_) {
    plain(fields, compartment, own_);
    if (!own_.empty())
      head.cells.push_back(seal(core, work.authority().schema(), context, compartment, head.record_key, own_, cells_));
  }
  std::ranges::sort(head.cells, {}, &model::CellEntry::compartment);  // keys_ is ordered by index, ids ascend with it
  model::seal_row(context, head, *leaf_key_, cells_, core.random(), row_, buffers_);
  const auto key = row_key(row.number);
  CASEVAULT_CHECK(row.last ? work.txn().append(store::Table::kRows, key, row_)
                           : work.txn().put(store::Table::kRows, key, row_));
  if (record_key != nullptr) *record_key = head.record_key.clone();
  return {};
}

namespace {

/// What was accepted as it is and may yet be mistyped: told without the value.
std::vector<std::string> doubts_about(const RecordType& type, std::span<const FieldInput> fields) {
  std::vector<std::string> out;
  std::string_view born;
  std::string_view sex;
  for (const FieldInput& input : fields) {
    const Field* const field = type.find(input.name);
    if (field->trait == Trait::kBirthDate) born = input.text;
    if (field->trait == Trait::kSex) sex = input.text;
  }
  for (const FieldInput& input : fields) {
    if (input.text.empty()) continue;
    const Field* const field = type.find(input.name);
    if (const auto why = model::why_as_written(field->index, input.text))
      out.push_back("field " + field->name + ": found only by exactly this text: " + *why);
    if (field->index != IndexKind::kId) continue;
    for (const model::IdWarning warning : model::check_id(input.text, born, sex))
      out.push_back("field " + field->name + ": " + std::string(model::text_of(warning)));
  }
  return out;
}

}  // namespace

Result<Written> add_record(Core& core, std::string_view type_name, std::span<const FieldInput> fields,
                           const std::optional<std::uint64_t>& searched) {
  CASEVAULT_TRY(UnitOfWork work, UnitOfWork::begin(core));
  const Authority& authority = work.authority();
  const Schema& schema = authority.schema();
  CASEVAULT_TRY(const RecordType* type, find_type(schema, type_name));
  const auto problems = check_fields(schema, *type, fields, true);
  if (!problems.empty()) return first_problem(problems);
  SecretBytes buffer;
  const std::vector<EncodedField> encoded = encode_fields(*type, fields, buffer);
  DetailsDraft details;
  details.type = type->id;
  details.fields = field_ids(fields, *type);
  const auto deny = [&](Error error) {
    return core.refuse(authority, audit::Action::kAdd, audit::Outcome::kDenied, std::move(details), {}, {},
                       std::move(error));
  };
  if (auto writer = require_writer(authority); !writer) return deny(std::move(writer).error());
  if (auto found = require_search(core, authority, *type, searched); !found) return deny(std::move(found).error());
  auto sealer = RecordSealer::make(work, compartments_of(encoded));
  if (!sealer)
    return sealer.error().code == ErrorCode::kNoGrant ? deny(std::move(sealer).error()) : std::move(sealer).error();

  RecordSealer::NewRow row;
  row.number = work.db().next_row++;
  row.type = type->id;
  row.now_ms = core.environment().clock->now_ms();
  row.unit = authority.me().unit;
  core.random().fill(row.stamp);
  SecretBytes record_key;
  CASEVAULT_CHECK(sealer->write(work, row, encoded, &record_key));
  CASEVAULT_TRY(Indexer indexer, Indexer::make(work));
  CASEVAULT_CHECK(indexer.add(work, *type, row.number, encoded));
  CASEVAULT_CHECK(work.index().flush(work.txn()));
  std::vector<std::string> warnings;
  details.subjects.push_back({row.number, 1, std::move(record_key)});
  if (!work.index().take_shared().empty()) {
    Lookalikes lookalikes(work, indexer, *type);
    CASEVAULT_TRY(warnings, lookalikes.of(row.number));
    std::ranges::move(lookalikes.named(), std::back_inserter(details.subjects));
  }
  for (const std::string& warning : warnings) details.text += (details.text.empty() ? "" : "; ") + warning;
  std::ranges::move(indexer.not_searched(work, *type), std::back_inserter(warnings));
  std::ranges::move(doubts_about(*type, fields), std::back_inserter(warnings));
  work.db().records[type->id] += 1;
  CASEVAULT_TRY(EntryDraft entry, core.draft(authority, audit::Action::kAdd, audit::Outcome::kOk, std::move(details)));
  entry.leaf.count = 1;
  entry.write = WritePayload{row.number, 1, 1, row.stamp, false, 0};
  CASEVAULT_TRY(const EntryPlace place, work.commit(std::move(entry)));
  return Written{core.id_of(row.number), 1, place.entry, std::move(warnings)};
}

Result<Written> update_record(Core& core, const RecordId& id, std::span<const FieldInput> fields,
                              std::optional<std::uint32_t> expect_version) {
  CASEVAULT_TRY(UnitOfWork work, UnitOfWork::begin(core));
  const Authority& authority = work.authority();
  const Schema& schema = authority.schema();
  std::uint64_t number = 0;
  CASEVAULT_TRY(model::OpenedRow row, core.open_row(work.txn(), work.db(), id, number));
  const RecordType* type = schema.find_type(row.head.type);
  if (type == nullptr)
    return Error{ErrorCode::kUnsupported, "record " + id.to_string() + " has a type the schema does not know"};
  if (fields.empty()) return Error{ErrorCode::kUsage, "no field to update"};
  const auto problems = check_fields(schema, *type, fields, false);
  if (!problems.empty()) return first_problem(problems);
  if (expect_version && *expect_version != row.head.version) {
    return Error{ErrorCode::kConflict, "record " + id.to_string() + " is at version " +
                                           std::to_string(row.head.version) + ", not " +
                                           std::to_string(*expect_version) + ": read it again and repeat"};
  }
  SecretBytes buffer;
  const std::vector<EncodedField> changed = encode_fields(*type, fields, buffer);
  DetailsDraft details;
  details.type = type->id;
  details.fields = field_ids(fields, *type);
  details.subjects.push_back({number, row.head.version, row.head.record_key.clone()});
  const auto deny = [&](Error error) {
    return core.refuse(authority, audit::Action::kUpdate, audit::Outcome::kDenied, std::move(details), {}, {},
                       std::move(error));
  };
  if (auto writer = require_writer(authority); !writer) return deny(std::move(writer).error());
  std::vector<std::uint16_t> touched;
  for (const FieldInput& input : fields) touched.push_back(type->find(input.name)->compartment);
  std::ranges::sort(touched);
  touched.erase(std::unique(touched.begin(), touched.end()), touched.end());
  auto sealer = RecordSealer::make(work, touched);
  if (!sealer)
    return sealer.error().code == ErrorCode::kNoGrant ? deny(std::move(sealer).error()) : std::move(sealer).error();

  // Old cells that are not touched keep their bytes; touched ones are merged and sealed under a fresh salt.
  const model::RowContext context = core.row_context(number);
  std::map<std::uint16_t, std::pair<model::CellEntry, Bytes>> cells;  // by compartment id
  std::vector<EncodedField> kept;
  std::vector<EncodedField> before;
  std::vector<SecretBytes> copies;
  for (std::size_t i = 0; i < row.head.cells.size(); ++i) {
    const model::CellEntry& cell = row.head.cells[i];
    const auto& compartments = schema.compartments();
    const auto compartment = std::ranges::find(compartments, cell.compartment, &Compartment::id);
    const auto index = static_cast<std::uint16_t>(compartment - compartments.begin());
    if (std::ranges::find(touched, index) == touched.end()) {
      CASEVAULT_TRY(const ByteView bytes, row.cell_bytes(i));
      cells[cell.compartment] = {cell, Bytes(bytes.begin(), bytes.end())};
      continue;
    }
    auto old = open_cell(core, work.txn(), work.db(), authority, number, row, i, *type, copies);
    if (!old) return old.error().code == ErrorCode::kNoGrant ? deny(std::move(old).error()) : std::move(old).error();
    before.insert(before.end(), old->begin(), old->end());
    for (const EncodedField& field : *old) {
      const bool replaced =
          std::ranges::any_of(fields, [&](const FieldInput& input) { return input.name == field.field->name; });
      if (!replaced) kept.push_back(field);
    }
  }
  kept.insert(kept.end(), changed.begin(), changed.end());
  std::vector<model::PlainField> own;
  for (const std::uint16_t index : touched) {
    plain(kept, index, own);
    if (own.empty()) continue;
    Bytes bytes;
    model::CellEntry entry = sealer->seal(core, schema, context, index, row.head.record_key, own, bytes);
    cells[entry.compartment] = {std::move(entry), std::move(bytes)};
  }
  model::Head head = std::move(row.head);
  head.cells.clear();
  Bytes all;
  for (auto& [compartment, cell] : cells) {
    head.cells.push_back(std::move(cell.first));
    all.insert(all.end(), cell.second.begin(), cell.second.end());
  }
  head.version += 1;
  head.updated_ms = core.environment().clock->now_ms();
  core.random().fill(head.stamp);
  CASEVAULT_CHECK(rewrite_row(work, number, head, all));
  CASEVAULT_TRY(Indexer indexer, Indexer::make(work, touched));
  CASEVAULT_CHECK(indexer.replace(work, *type, number, before, kept));

  details.subjects.front().version = head.version;
  CASEVAULT_TRY(EntryDraft entry,
                core.draft(authority, audit::Action::kUpdate, audit::Outcome::kOk, std::move(details)));
  entry.leaf.count = 1;
  entry.write = WritePayload{number, 1, head.version, head.stamp, false, 0};
  CASEVAULT_TRY(const EntryPlace place, work.commit(std::move(entry)));
  return Written{id, head.version, place.entry, doubts_about(*type, fields)};
}

namespace {

/// Every record of a leaf sealed anew under a fresh node key.
Result<void> replace_leaf_key(UnitOfWork& work, std::uint64_t leaf) {
  Core& core = work.core();
  const keys::KeyTree tree(core.tag(), core.random());
  CASEVAULT_TRY(const auto old_key, core.leaf_key(work.txn(), work.db(), leaf));
  CASEVAULT_TRY(const SecretBytes node,
                tree.replace_leaf(work.txn(), *work.db().root_key, keys::TreeKind::kRecords, leaf));
  const model::LeafKey new_key = core.derive_leaf(node, leaf);
  for (std::uint64_t row = leaf * keys::kFanout; row < (leaf + 1) * keys::kFanout; ++row) {
    CASEVAULT_TRY(const std::optional<ByteView> value, work.txn().get(store::Table::kRows, row_key(row)));
    if (!value) continue;
    const model::RowContext context = core.row_context(row);
    CASEVAULT_TRY(model::OpenedRow opened, model::open_row(context, *value, *old_key));
    const Bytes cells(opened.cells.begin(), opened.cells.end());
    opened.head.seals += 1;
    CASEVAULT_CHECK(work.txn().put(store::Table::kRows, row_key(row),
                                   model::seal_row(context, opened.head, new_key, cells, core.random())));
  }
  work.db().tree_generation += 1;
  return {};
}

}  // namespace

Result<void> rewrite_row(UnitOfWork& work, std::uint64_t row, model::Head& head, ByteView cells) {
  Core& core = work.core();
  const std::uint64_t leaf = row / keys::kFanout;
  head.seals += 1;
  CASEVAULT_TRY(const auto leaf_key, core.leaf_key(work.txn(), work.db(), leaf));
  CASEVAULT_CHECK(work.txn().put(store::Table::kRows, row_key(row),
                                 model::seal_row(core.row_context(row), head, *leaf_key, cells, core.random())));
  if (head.seals % kSealsPerLeafKey == 0) CASEVAULT_CHECK(replace_leaf_key(work, leaf));
  return {};
}

Result<std::vector<RecordInfo>> list_records(Core& core, std::string_view type_name, std::size_t limit,
                                             const std::optional<RecordId>& after) {
  CASEVAULT_TRY(const Snapshot snapshot, core.snapshot());
  CASEVAULT_TRY(const RecordType* type, find_type(snapshot.authority->schema(), type_name));
  std::uint64_t from = 0;
  if (after) {
    const std::optional<std::uint64_t> row = core.row_of(*after);
    if (!row)
      return Error{ErrorCode::kNotFound,
                   "record " + after->to_string() + ": this id was never issued by this vault; it is mistyped"};
    from = *row + 1;
  }
  std::vector<RecordInfo> out;
  if (limit == 0) return out;
  CASEVAULT_CHECK(core.scan_rows(
      *snapshot.txn, snapshot.db, from, [&](std::uint64_t row, const model::OpenedRow& opened) -> Result<bool> {
        const model::Head& head = opened.head;
        if (head.type != type->id) return true;
        out.push_back({core.id_of(row), type->name, head.version, head.created_ms, head.updated_ms, head.unit});
        return out.size() < limit;
      }));
  return out;
}

Result<std::vector<VersionInfo>> record_history(Core& core, const RecordId& id) {
  CASEVAULT_TRY(const Snapshot snapshot, core.snapshot());
  std::uint64_t number = 0;
  CASEVAULT_TRY(const model::OpenedRow row, core.open_row(*snapshot.txn, snapshot.db, id, number));
  std::vector<VersionInfo> out;
  std::size_t unnamed = 0;
  const AuthorityState& state = snapshot.authority->state;
  CASEVAULT_CHECK(core.journal().scan(
      core.log(), 0,
      [&](const EntryFrame& frame) -> Result<bool> {
        if (frame.write.empty() || frame.entry >= snapshot.db.applied || state.not_applied.contains(frame.entry))
          return true;
        CASEVAULT_TRY(const Journal::OpenedWrite write, core.journal().open_write(frame));
        if (number < write.payload.first_row || number - write.payload.first_row >= write.payload.rows) return true;
        CASEVAULT_TRY(const audit::Leaf leaf, core.journal().open_leaf(frame));
        out.push_back({write.payload.version, frame.entry, leaf.time_ms, std::string(audit::name_of(leaf.action)), {}});
        return true;
      },
      [&](const CloseFrame& close) -> Result<bool> {
        if (unnamed == out.size()) return true;
        CASEVAULT_TRY(const BatchClose batch, core.journal().open_close(close));
        const auto actor = state.principals.find(batch.actor);
        for (; unnamed < out.size(); ++unnamed)
          out[unnamed].actor = actor == state.principals.end() ? "?" : actor->second.who.name;
        return true;
      }));
  for (const SamePersonState& each : state.same_person) {
    if (each.what.a != number && each.what.b != number) continue;
    const auto action = each.what.same ? audit::Action::kMerge : audit::Action::kUnmerge;
    const auto after = std::ranges::find_if(out, [&](const VersionInfo& one) { return one.entry > each.entry; });
    const std::uint32_t version = after == out.begin() ? 0 : std::prev(after)->version;
    out.insert(after, {version, each.entry, each.time_ms, std::string(audit::name_of(action)),
                       state.principals.at(each.actor).who.name});
  }
  return out;
}

}  // namespace casevault::vault
