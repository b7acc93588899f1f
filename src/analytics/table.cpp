// SPDX-License-Identifier: Apache-2.0
#include <casevault/vault.hpp>

#include "analytics/arrow.hpp"
#include "base/text.hpp"
#include "crypto/hash.hpp"
#include "vault/access.hpp"
#include "vault/session_impl.hpp"

#include <algorithm>
#include <map>
#include <set>
#include <utility>

namespace casevault {
namespace {

using namespace analytics;
using vault::Authority;
using vault::Core;
using vault::Snapshot;

/// Fewer than a batch may hold, so that several threads end at about the same time.
constexpr std::size_t kBatchRows = kMaxBatchRows / 4;
constexpr std::size_t kMaxBatchBytes = std::size_t{16} << 20U;  ///< of sealed rows, unless one row is larger
constexpr std::size_t kMaxRecipient = 1024;
constexpr int kMaxAttempts = 4;

/// Rows of one batch as the entry fixes them.
struct Group {
  std::uint64_t first_row = 0;
  std::uint64_t last_row = 0;
  std::size_t rows = 0;
  crypto::Hash versions{};  ///< what Versions makes of each
};

/// What a group is checked against: row, version and stamp of its records, or row and nonce of heads as they are
/// sealed.
class Versions {
 public:
  void add(std::uint64_t row, const model::HeadOpener& head) {
    number(row);
    number(head.version);
    bytes_.insert(bytes_.end(), head.stamp.begin(), head.stamp.end());
  }
  void add(std::uint64_t row, ByteView nonce) {
    number(row);
    bytes_.insert(bytes_.end(), nonce.begin(), nonce.end());
  }
  [[nodiscard]] crypto::Hash take() {
    const crypto::Hash out = crypto::blake2b256(bytes_);
    bytes_.clear();
    return out;
  }

 private:
  void number(std::uint64_t value) {
    std::array<std::uint8_t, 8> big_endian{};
    for (std::size_t i = 0; i < 8; ++i) big_endian[i] = static_cast<std::uint8_t>(value >> (56 - 8 * i));
    bytes_.insert(bytes_.end(), big_endian.begin(), big_endian.end());
  }
  Bytes bytes_;
};

}  // namespace

struct Table::Impl {
  std::weak_ptr<Core> session;
  TableRequest request;
  std::shared_ptr<const Authority> authority;  ///< what follows points into its schema
  const RecordType* type = nullptr;
  std::vector<const Field*> fields;
  std::vector<CodeNumbers> codes;  ///< of each field

  mutable std::mutex mutex;  ///< guards what follows, which the first read fills
  bool decided = false;
  std::uint64_t entry = 0;
  std::uint64_t rows = 0;
  std::string basis;
  std::shared_ptr<const std::vector<Group>> groups;
  bool sealed = false;  ///< groups were fixed without opening a head
  std::optional<Error> failed;

  Result<std::shared_ptr<Core>> hold() const {
    std::shared_ptr<Core> held = session.lock();
    if (!held) return Error{ErrorCode::kUsage, "the session of this table is closed"};
    CASEVAULT_CHECK(held->check_process());
    return held;
  }

  [[nodiscard]] std::vector<ArrowField> arrow_fields() const {
    std::vector<ArrowField> out;
    if (request.ids) out.push_back({"id", ArrowKind::kText, {{"casevault.class", "id"}}});
    for (const Field* const field : fields) {
      out.push_back({field->name,
                     kind_of(field->type),
                     {{"casevault.class", authority->schema().compartments()[field->compartment].name},
                      {"casevault.type", std::string(name_of(field->type))}}});
    }
    return out;
  }

  vault::Access access(Core& core) const {
    return {core,
            {audit::Action::kTable, request.columns, request.purpose, request.basis,
             request.recipient.empty() ? authority->me().who.name : request.recipient, request.recipient_class}};
  }

  /// Whether rows and versions can be fixed by what is seen of sealed heads: every record is of the one type that there
  /// is, and no new keys are on their way to records, which would seal heads anew while versions stay.
  static bool heads_say_nothing(const Authority& held) {
    const vault::AuthorityState& state = held.state;
    return held.schema().types().size() == 1 && std::ranges::all_of(state.epochs, [&](const auto& each) {
             return each.second.destroyed || each.second.retired || each.first == state.current(each.first.compartment);
           });
  }

  /// Policy, then the entry, durable, that fixes rows and versions. Nothing is decrypted but heads.
  Result<void> decide_once(Core& core) {
    CASEVAULT_TRY(const Snapshot snapshot, core.snapshot());
    vault::Access access = this->access(core);
    CASEVAULT_CHECK(access.resolve(authority->schema(), *type));
    const std::string own = snapshot.authority->me().unit;
    std::set<std::string, std::less<>> units;
    std::vector<std::uint64_t> numbers;
    auto found = std::make_shared<std::vector<Group>>();
    Versions versions;
    std::size_t bytes = 0;
    const auto close = [&] {
      if (!found->empty()) found->back().versions = versions.take();
      bytes = 0;
    };
    const auto add = [&](std::uint64_t row, std::size_t size) {
      if (found->empty() || found->back().rows == kBatchRows || bytes >= kMaxBatchBytes) {
        close();
        found->push_back({row, row, 0, {}});
      }
      Group& group = found->back();
      group.last_row = row;
      ++group.rows;
      bytes += size;
      numbers.push_back(row);
    };
    sealed = heads_say_nothing(*snapshot.authority) && access.admits_every_unit(snapshot);
    if (sealed) {
      CASEVAULT_CHECK(Core::scan_sealed(*snapshot.txn, snapshot.db, [&](std::uint64_t row, ByteView value) {
        add(row, value.size());
        versions.add(row, value.first(std::min(value.size(), model::kHeadNonceSize)));
      }));
    } else {
      model::HeadOpener head;
      CASEVAULT_CHECK(core.scan_heads(*snapshot.txn, snapshot.db, 0, head,
                                      [&](std::uint64_t row, const model::HeadOpener& opened) -> Result<bool> {
                                        if (opened.type != type->id) return true;
                                        add(row, opened.sealed_cells.size());
                                        versions.add(row, opened);
                                        if (!units.contains(opened.unit)) units.emplace(opened.unit);
                                        return true;
                                      }));
    }
    close();
    if (units.empty()) units.insert(own);
    const std::vector<std::string> each(units.begin(), units.end());
    CASEVAULT_TRY(basis, access.admit(snapshot, each));
    vault::DetailsDraft details = access.describe();
    const std::uint64_t count = numbers.size();
    details.rows = std::move(numbers);
    CASEVAULT_TRY(vault::EntryDraft draft,
                  core.draft(*snapshot.authority, audit::Action::kTable, audit::Outcome::kOk, std::move(details)));
    draft.leaf.purpose = request.purpose;
    draft.leaf.basis = basis;
    draft.leaf.count = count;
    CASEVAULT_TRY(const vault::EntryPlace place, core.append(std::move(draft)));
    entry = place.entry;
    rows = count;
    groups = std::move(found);
    return {};
  }

  Result<void> decide() {
    const std::lock_guard lock(mutex);
    if (decided) return {};
    CASEVAULT_TRY(const auto core, hold());
    Result<void> done = decide_once(*core);
    // The authority moved under the decision: decide again.
    for (int i = 1; i < kMaxAttempts && !done && done.error().code == ErrorCode::kBusy; ++i) done = decide_once(*core);
    CASEVAULT_CHECK(std::move(done));
    decided = true;
    return {};
  }

  /// Decrypts one group from a fresh snapshot, which must still hold the versions that the entry fixed.
  Result<void> fill(Core& core, const Group& group, ArrowArray& out) const {
    CASEVAULT_TRY(const Snapshot snapshot, core.snapshot());
    model::HeadOpener head;
    model::DirectoryHashes hashes;
    model::CellOpener cell(&hashes);
    std::map<keys::EpochName, std::shared_ptr<const SecretBytes>> epochs;
    struct Source {
      const Field* field;
      ColumnBuilder* builder;
    };
    const Schema& schema = authority->schema();
    TextBuilder ids;
    std::vector<ColumnBuilder> builders;
    builders.reserve(fields.size());
    std::map<std::uint16_t, std::vector<Source>> by_compartment;  // indices into the schema
    for (std::size_t i = 0; i < fields.size(); ++i) {
      builders.emplace_back(*fields[i], schema.find_list(fields[i]->list), codes[i], group.rows);
      by_compartment[fields[i]->compartment].push_back({fields[i], &builders.back()});
    }
    Versions versions;
    std::size_t rows_seen = 0;
    const auto of_record = [&](std::uint64_t row, Error error) {
      error.message = "record " + core.id_of(row).to_string() + ": " + error.message;
      return error;
    };
    // Both the map and the sources are in the order of field ids: one way through.
    for (auto& [index, sources] : by_compartment)
      std::ranges::sort(sources, {}, [](const Source& source) { return source.field->id; });
    const auto add_map = [&](const std::vector<Source>& sources) -> Result<void> {
      CASEVAULT_TRY(const auto map, cell.map());
      auto next = map.begin();
      for (const Source& source : sources) {
        while (next != map.end() && next->first < source.field->id) ++next;
        const bool there = next != map.end() && next->first == source.field->id;
        CASEVAULT_CHECK(source.builder->add(there ? std::optional(next->second) : std::nullopt));
      }
      return {};
    };
    const auto open = [&](std::uint64_t row, const model::HeadOpener& opened) -> Result<void> {
      for (const auto& [index, sources] : by_compartment) {
        const Compartment& compartment = schema.compartments()[index];
        const auto place = std::ranges::find(opened.cells, compartment.id, &model::CellView::compartment);
        const bool there = place != opened.cells.end();
        if (there) {
          auto& key = epochs[{compartment.id, place->epoch}];
          if (!key) {
            CASEVAULT_TRY(
                key, core.epoch_key(*snapshot.txn, snapshot.db, *snapshot.authority, {compartment.id, place->epoch}));
          }
          CASEVAULT_CHECK(cell.begin(core.row_context(row), compartment, *place, opened.bytes_of(*place),
                                     crypto::key_of(*key), opened.record_key.first<32>()));
          if (compartment.sealed_as_cell) {
            CASEVAULT_CHECK(add_map(sources));
            continue;
          }
        }
        for (const Source& source : sources) {
          std::optional<ByteView> encoded;
          if (there) {
            CASEVAULT_TRY(encoded, cell.open(source.field->id));
          }
          CASEVAULT_CHECK(source.builder->add(encoded));
        }
      }
      return {};
    };
    CASEVAULT_CHECK(core.scan_heads(*snapshot.txn, snapshot.db, group.first_row, head,
                                    [&](std::uint64_t row, const model::HeadOpener& opened) -> Result<bool> {
                                      if (row > group.last_row || rows_seen > group.rows) return false;
                                      if (opened.type != type->id) return true;
                                      if (sealed) {
                                        versions.add(row, opened.nonce);
                                      } else {
                                        versions.add(row, opened);
                                      }
                                      ++rows_seen;
                                      if (request.ids) ids.add(core.id_of(row).to_string());
                                      if (auto done = open(row, opened); !done)
                                        return of_record(row, std::move(done).error());
                                      return row < group.last_row;
                                    }));
    if (rows_seen != group.rows || versions.take() != group.versions) {
      return Error{ErrorCode::kConflict, "records changed after entry " + std::to_string(entry) +
                                             " fixed their versions: make the table again"};
    }
    std::vector<ArrowNode> columns;
    if (request.ids) columns.push_back(std::move(ids).node());
    for (ColumnBuilder& builder : builders) columns.push_back(std::move(builder).node());
    make_batch(group.rows, std::move(columns), out);
    return {};
  }

  /// What went wrong after the entry is an entry too.
  Error log_failure(Core& core, Error error) const {
    auto snapshot = core.snapshot();
    if (!snapshot) return error;
    vault::Access access = this->access(core);
    if (!access.resolve(authority->schema(), *type)) return error;
    return access.refuse(*snapshot->authority, audit::Outcome::kFailed, {}, basis, std::move(error));
  }
};

struct Table::Reader::Impl {
  std::shared_ptr<Table::Impl> table;
  std::mutex mutex;
  std::size_t next = 0;
  std::uint64_t done = 0;
  std::optional<Error> failed;

  Error fail(Error error) {
    const std::lock_guard lock(mutex);
    if (!failed) failed = std::move(error);
    const std::lock_guard table_lock(table->mutex);
    table->failed = failed;
    return *failed;
  }
};

Result<bool> Table::Reader::next(ArrowArray& out) {
  std::size_t mine = 0;
  const std::vector<Group>& groups = *impl_->table->groups;
  {
    const std::lock_guard lock(impl_->mutex);
    if (impl_->failed) return *impl_->failed;
    if (impl_->next == groups.size()) return false;
    mine = impl_->next++;
  }
  CASEVAULT_TRY(const auto core, impl_->table->hold());
  if (auto filled = impl_->table->fill(*core, groups[mine], out); !filled)
    return impl_->fail(impl_->table->log_failure(*core, std::move(filled).error()));
  std::uint64_t done = 0;
  {
    const std::lock_guard lock(impl_->mutex);
    done = impl_->done += groups[mine].rows;
  }
  const ProgressCallback& progress = impl_->table->request.progress;
  if (!progress) return true;
  // The batch is the caller's only once its callback has said so.
  ArrowArray batch = std::exchange(out, {});
  bool more = false;
  try {
    more = progress({"table", done, impl_->table->rows});
  } catch (...) {
    batch.release(&batch);
    (void)impl_->fail(
        impl_->table->log_failure(*core, {ErrorCode::kCancelled, "the progress callback of the table threw"}));
    throw;
  }
  if (!more) {
    batch.release(&batch);
    return impl_->fail({ErrorCode::kCancelled, "the table was stopped"});
  }
  out = batch;
  return true;
}

Table::Reader::Reader(std::shared_ptr<Impl> impl) noexcept : impl_(std::move(impl)) {}
Table::Reader::Reader(Reader&&) noexcept = default;
Table::Reader& Table::Reader::operator=(Reader&&) noexcept = default;
Table::Reader::~Reader() = default;

void Table::schema(ArrowSchema& out) const {
  make_schema(impl_->arrow_fields(), {{"casevault.type", impl_->type->name}}, out);
}

Result<Table::Reader> Table::read() {
  CASEVAULT_CHECK(impl_->decide());
  auto reader = std::make_shared<Reader::Impl>();
  reader->table = impl_;
  return Reader(std::move(reader));
}

Result<void> Table::stream(ArrowArrayStream& out) {
  CASEVAULT_TRY(Reader reader, read());
  make_stream(
      [impl = impl_](ArrowSchema& schema) {
        Table(impl).schema(schema);
        return Result<void>();
      },
      [shared = std::make_shared<Reader>(std::move(reader))](ArrowArray& batch) { return shared->next(batch); }, out);
  return {};
}

std::optional<Error> Table::last_error() const {
  const std::lock_guard lock(impl_->mutex);
  return impl_->failed;
}
std::optional<std::uint64_t> Table::entry() const {
  const std::lock_guard lock(impl_->mutex);
  return impl_->decided ? std::optional(impl_->entry) : std::nullopt;
}
std::optional<std::uint64_t> Table::rows() const {
  const std::lock_guard lock(impl_->mutex);
  return impl_->decided ? std::optional(impl_->rows) : std::nullopt;
}
std::string Table::basis() const {
  const std::lock_guard lock(impl_->mutex);
  return impl_->basis;
}

Table::Table(std::shared_ptr<Impl> impl) noexcept : impl_(std::move(impl)) {}
Table::Table(Table&&) noexcept = default;
Table& Table::operator=(Table&&) noexcept = default;
Table::~Table() = default;

Result<Table> Session::table(const TableRequest& request) {
  if (request.columns.empty()) return Error{ErrorCode::kUsage, "no column is named"};
  if (request.purpose.empty()) return Error{ErrorCode::kUsage, "a purpose is required"};
  for (const std::string* text : {&request.recipient, &request.recipient_class}) {
    if (text->size() > kMaxRecipient || !base::valid_utf8(*text))
      return Error{ErrorCode::kBadInput, "a recipient and its class are at most 1024 bytes of UTF-8"};
  }
  CASEVAULT_TRY(const auto core, impl_->core());
  CASEVAULT_TRY(const Snapshot snapshot, core->snapshot());
  auto impl = std::make_shared<Table::Impl>();
  impl->session = core;
  impl->request = request;
  impl->authority = snapshot.authority;
  const Schema& schema = snapshot.authority->schema();
  impl->type = schema.find_type(request.type);
  if (impl->type == nullptr) return Error{ErrorCode::kNotFound, "the schema has no type " + request.type};
  std::set<std::string> seen;
  for (const std::string& name : request.columns) {
    const Field* const field = impl->type->find(name);
    if (field == nullptr) return Error{ErrorCode::kBadInput, "type " + request.type + " has no field " + name};
    if (!seen.insert(name).second) return Error{ErrorCode::kUsage, "column " + name + " is asked for twice"};
    impl->fields.push_back(field);
    impl->codes.emplace_back(schema.find_list(field->list));
  }
  return Table(std::move(impl));
}

}  // namespace casevault
