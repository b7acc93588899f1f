// SPDX-License-Identifier: Apache-2.0
#include <casevault/vault.hpp>

#include "analytics/arrow.hpp"
#include "analytics/ledger.hpp"
#include "analytics/release.hpp"
#include "base/process_id.hpp"
#include "base/text.hpp"
#include "crypto/suite.hpp"
#include "model/value.hpp"
#include "vault/access.hpp"
#include "vault/people.hpp"
#include "vault/session_impl.hpp"

#include <algorithm>
#include <set>
#include <utility>

namespace casevault {
namespace {

using namespace analytics;
using vault::Core;
using vault::Snapshot;

constexpr std::size_t kMaxWords = 256;
constexpr std::size_t kMaxFilters = 64;
constexpr std::uint64_t kMaxMinCell = 1'000'000;
constexpr std::uint64_t kMaxRound = 1000;
constexpr int kMaxAttempts = 4;

Result<void> check_words(std::initializer_list<std::pair<std::string_view, std::string_view>> texts) {
  for (const auto& [what, text] : texts) {
    if (text.size() > kMaxWords || !base::valid_utf8(text))
      return Error{ErrorCode::kBadInput, std::string(what) + " is at most 256 bytes of UTF-8"};
  }
  return {};
}

/// Whether the current key of the field's compartment is held.
bool covers(const vault::Authority& authority, const Field& field) {
  const Compartment& compartment = authority.schema().compartments()[field.compartment];
  return authority.me().holds(authority.state.current(compartment.id));
}

Error refused(std::string why) { return {ErrorCode::kRefused, "refused: " + std::move(why)}; }

/// Definitions are written by whoever may publish, with whatever program: one that cannot be made again is named, since
/// nothing can be held against it.
Result<void> check_comparable(const RecordType& type, const Published& earlier) {
  const auto no = [&](std::string why) {
    return refused("entry " + std::to_string(earlier.entry) +
                   " of the ledger is something that nothing can be compared with: " + std::move(why));
  };
  const auto check_axis = [&](const DefinedAxis& axis) -> Result<void> {
    const Field* const field = type.find(axis.field);
    if (field == nullptr) return {};
    const bool date = field->type == FieldType::kDate;
    const bool coarse = axis.coarseness == Coarseness::kMonth || axis.coarseness == Coarseness::kYear;
    const bool exact = axis.coarseness == Coarseness::kExact;
    const bool coded =
        field->type == FieldType::kCode || field->type == FieldType::kMultiCode || field->type == FieldType::kBoolean;
    return (date && coarse) || (coded && exact) ? Result<void>() : no("a line by field " + field->name);
  };
  const auto check_set = [&](const DefinedSet& set, std::uint64_t least) -> Result<void> {
    if (least < 2 || least > kMaxMinCell) return no("its least number");
    for (const DefinedFilter& filter : set.where) {
      const Field* const field = type.find(filter.field);
      if (field == nullptr) continue;
      const bool text = field->type == FieldType::kText || field->type == FieldType::kBytes;
      if (text || !check_filter(*field, {field->name, filter.from, filter.to}))
        return no("a filter of field " + field->name);
    }
    return {};
  };
  if (const auto* table = std::get_if<DefinedTable>(&earlier.definition);
      table != nullptr && table->set.type == type.id) {
    CASEVAULT_CHECK(check_set(table->set, table->min_cell));
    CASEVAULT_CHECK(check_axis(table->rows));
    CASEVAULT_CHECK(check_axis(table->columns));
    if (table->round_to > kMaxRound) return no("what it rounds to");
  }
  if (const auto* rows = std::get_if<DefinedRows>(&earlier.definition); rows != nullptr && rows->set.type == type.id) {
    CASEVAULT_CHECK(check_set(rows->set, rows->k));
    for (const DefinedColumn& column : rows->columns) {
      const Field* const field = type.find(column.field);
      if (field != nullptr && (field->type == FieldType::kText || field->type == FieldType::kBytes))
        return no("a column of field " + field->name);
    }
  }
  return {};
}

/// From a request to what may be published: fields found, policy asked, records read and judged, entry written. A
/// ledger that grew meanwhile means to begin again, so that no two definitions are judged beside each other.
class Publication {
 public:
  struct Asked {
    audit::Action action{};
    std::vector<std::string> fields;  ///< those whose values are counted or shown
    std::string type;
    std::vector<Filter> where;
    Era era = Era::kRecorded;
    std::string purpose, basis, recipient, recipient_class, name;
    std::uint64_t least = 0;  ///< minimum cell or k; 0: the floor of the purpose
    ProgressCallback progress;
  };
  Publication(Core& core, Asked asked)
      : core_(core),
        asked_(std::move(asked)),
        access_(core, {asked_.action, names(), asked_.purpose, asked_.basis,
                       asked_.recipient.empty() ? "published" : asked_.recipient, asked_.recipient_class}) {
    if (!asked_.progress) return;
    asked_.progress = [this, asks = std::move(asked_.progress)](const Progress& now) {
      try {
        return asks(now);
      } catch (...) {
        thrown_ = std::current_exception();
        return false;
      }
    };
  }
  Publication(const Publication&) = delete;
  Publication& operator=(const Publication&) = delete;

  /// Finds, decides and reads; what the rest works on.
  Result<void> prepare() {
    if (asked_.where.size() > kMaxFilters) return Error{ErrorCode::kBadInput, "too many filters; 64 at most"};
    CASEVAULT_CHECK(check_words({{"a name", asked_.name},
                                 {"a recipient", asked_.recipient},
                                 {"the class of a recipient", asked_.recipient_class}}));
    for (const Filter& filter : asked_.where)
      CASEVAULT_CHECK(check_words({{"a filter", filter.from}, {"a filter", filter.to}}));
    CASEVAULT_TRY(snapshot, core_.snapshot());
    const vault::Authority& authority = *snapshot.authority;
    type = authority.schema().find_type(asked_.type);
    if (type == nullptr) return Error{ErrorCode::kNotFound, "the schema has no type " + asked_.type};
    CASEVAULT_CHECK(access_.resolve(authority.schema(), *type));
    // Decided before anything is opened, and again for the units that the records turn out to be of.
    const std::string own = authority.me().unit;
    CASEVAULT_TRY(basis, access_.admit(snapshot, std::span(&own, 1)));
    const Purpose& purpose = *authority.schema().find_purpose(asked_.purpose);
    if (!purpose.publishes) {
      std::string others;
      for (const Purpose& each : authority.schema().purposes()) {
        if (each.publishes) others += (others.empty() ? "" : ", ") + each.code;
      }
      return refuse(refused("nothing is published for purpose " + purpose.code + "; those that publish are " +
                            (others.empty() ? "none" : others)));
    }
    // No number of the requester's: what is refused must not tell how many there are.
    const std::uint64_t floor = purpose.min_cell;
    least = asked_.least == 0 ? floor : asked_.least;
    if (least < floor) {
      return refuse(refused("purpose " + asked_.purpose + " publishes nothing with a least number below " +
                            std::to_string(floor)));
    }
    auto known = read_ledger(authority);
    if (!known) return refuse(refused(known.error().message));
    ledger = *std::move(known);
    for (const Published& each : ledger) {
      if (auto comparable = check_comparable(*type, each); !comparable) return refuse(std::move(comparable).error());
    }
    fields = access_.fields();
    const auto add = [&](const Field* field) {
      if (field != nullptr && std::ranges::find(fields, field) == fields.end()) fields.push_back(field);
    };
    for (const Field* const field : access_.fields()) add(edition_of(*type, *field));
    for (const Field* const field : fields_to_compare(*type, ledger)) {
      if (covers(authority, *field)) add(field);
    }
    auto read = Dataset::read(core_, snapshot, *type, fields, asked_.progress);
    if (!read) return refuse(std::move(read).error());
    data = *std::move(read);
    if (!data.units().empty()) {
      CASEVAULT_TRY(basis, access_.admit(snapshot, data.units()));
    } else {
      CASEVAULT_TRY(basis, access_.admit(snapshot, std::span(&own, 1)));
    }
    CASEVAULT_TRY(chosen, data.choose(asked_.where));
    if (number_of(chosen) < floor) return refuse(refused("fewer than " + std::to_string(floor) + " records fit"));
    judge.emplace(authority.schema(), *type, data, ledger, fields, core_.random(), asked_.progress);
    return {};
  }

  [[nodiscard]] Result<DefinedSet> set() const {
    DefinedSet out{type->id, asked_.era, {}, asked_.purpose, asked_.name};
    for (const Filter& filter : asked_.where)
      out.where.push_back({type->find(filter.field)->id, filter.from, filter.to});
    return out;
  }

  [[nodiscard]] std::int64_t now() const { return core_.environment().clock->now_ms(); }

  /// The entry, durable, or kBusy when something was published meanwhile.
  Result<std::uint64_t> commit(const Definition& definition, std::uint64_t count) {
    const vault::Authority& decided = *snapshot.authority;
    CASEVAULT_CHECK(check_quota(decided.schema(), ledger, definition));
    CASEVAULT_CHECK(advance(asked_.progress, "entry", 1, 1));
    CASEVAULT_TRY(vault::UnitOfWork work, vault::UnitOfWork::begin(core_));
    if (work.authority().newest != decided.newest)
      return Error{ErrorCode::kBusy, "somebody else changed or published something meanwhile; try again"};
    vault::DetailsDraft details = access_.describe();
    details.text = describe(definition, decided.schema());
    if (!asked_.name.empty()) details.text = asked_.name + ": " + details.text;
    CASEVAULT_TRY(vault::EntryDraft entry,
                  core_.draft(work.authority(), asked_.action, audit::Outcome::kOk, std::move(details)));
    entry.leaf.purpose = asked_.purpose;
    entry.leaf.basis = basis;
    entry.leaf.count = count;
    std::vector<vault::AuthorityOp> ops;
    ops.emplace_back(encode_definition(definition));
    CASEVAULT_TRY(const vault::EntryPlace place, work.commit_authority(std::move(entry), std::move(ops)));
    return place.entry;
  }

  /// A refusal of the judge or a quota is a denial, and an entry; the policy's own are logged where they are made. How
  /// far it came before it was stopped tells of the records too, so that is an entry. What the callback threw is thrown
  /// after it.
  Error refuse(Error error) const {
    const bool stopped = error.code == ErrorCode::kCancelled;
    if (!stopped && error.code != ErrorCode::kRefused && error.code != ErrorCode::kNoGrant) return error;
    error = access_.refuse(*snapshot.authority, stopped ? audit::Outcome::kFailed : audit::Outcome::kDenied, {}, basis,
                           std::move(error));
    if (thrown_) std::rethrow_exception(thrown_);
    return error;
  }

  Snapshot snapshot;
  const RecordType* type = nullptr;
  std::vector<Published> ledger;
  std::vector<const Field*> fields;
  Dataset data;
  Chosen chosen;
  std::optional<Judge> judge;
  std::string basis;
  std::uint64_t least = 0;  ///< minimum cell or k

 private:
  [[nodiscard]] std::vector<std::string> names() const {
    std::vector<std::string> out;
    const auto add = [&](const std::string& name) {
      if (std::ranges::find(out, name) == out.end()) out.push_back(name);
    };
    for (const std::string& name : asked_.fields) add(name);
    for (const Filter& filter : asked_.where) add(filter.field);
    return out;
  }

  Core& core_;
  Asked asked_;
  vault::Access access_;
  std::exception_ptr thrown_;  ///< by the progress callback
};

/// Runs an attempt until it is not overtaken.
template <typename Attempt>
auto retried(const Attempt& attempt) -> decltype(attempt()) {
  auto out = attempt();
  for (int i = 1; i < kMaxAttempts && !out.has_value() && out.error().code == ErrorCode::kBusy; ++i) out = attempt();
  return out;
}

Result<void> check_min_cell(std::uint64_t min_cell) {
  if (min_cell != 1 && min_cell <= kMaxMinCell) return {};
  return Error{ErrorCode::kUsage, "the minimum cell is a number from 2 to 1000000"};
}

std::string field_of(std::string_view axis) { return std::string(axis.substr(0, axis.find(':'))); }

Result<Tabulation> tabulate_once(Core& core, const TabulateRequest& request) {
  std::vector<std::string> counted;
  for (const std::string* const axis : {&request.rows, &request.columns}) {
    if (!axis->empty()) counted.push_back(field_of(*axis));
  }
  Publication work(core, {audit::Action::kTabulate,
                          std::move(counted),
                          request.type,
                          request.where,
                          request.era,
                          request.purpose,
                          request.basis,
                          request.recipient,
                          {},
                          request.name,
                          request.min_cell,
                          request.progress});
  CASEVAULT_CHECK(work.prepare());
  DefinedTable definition;
  definition.time_ms = work.now();
  CASEVAULT_TRY(definition.set, work.set());
  const auto axis = [&](std::string_view text) -> Result<DefinedAxis> {
    CASEVAULT_TRY(const Axis parsed, Axis::parse(*work.type, text));
    return DefinedAxis{parsed.field->id, parsed.coarseness};
  };
  if (!request.rows.empty()) {
    CASEVAULT_TRY(definition.rows, axis(request.rows));
  }
  if (!request.columns.empty()) {
    CASEVAULT_TRY(definition.columns, axis(request.columns));
    if (definition.rows.field == definition.columns.field)
      return Error{ErrorCode::kUsage, "rows and columns are the same field"};
  }
  definition.min_cell = work.least;
  definition.round_to = request.round_to;
  auto judged = work.judge->table(definition);
  if (!judged) return work.refuse(std::move(judged).error());

  Tabulation out;
  // The number of records is not written into the leaf: a total may be among what is hidden.
  auto entry = work.commit(definition, 0);
  if (!entry) return work.refuse(std::move(entry).error());
  out.entry = *entry;
  out.type = request.type;
  out.rows = request.rows;
  out.columns = request.columns;
  out.row_labels = std::move(judged->row_labels);
  out.column_labels = std::move(judged->column_labels);
  out.min_cell = request.round_to == 0 ? work.least : 0;
  out.round_to = request.round_to;
  out.era = request.era;
  out.purpose = request.purpose;
  out.basis = work.basis;
  const std::vector<std::uint64_t> values =
      request.round_to == 0 ? judged->counts.values : round_to(judged->counts, request.round_to);
  for (std::size_t i = 0; i < values.size(); ++i)
    out.cells.push_back(judged->hidden[i] ? std::nullopt : std::optional(values[i]));
  return out;
}

}  // namespace

Result<Tabulation> Session::tabulate(const TabulateRequest& request) {
  if (request.rows.empty()) return Error{ErrorCode::kUsage, "a table needs a field for its rows"};
  CASEVAULT_CHECK(check_min_cell(request.min_cell));
  if (request.round_to != 0 && (request.round_to < 5 || request.round_to > kMaxRound))
    return Error{ErrorCode::kUsage, "counts are rounded to a multiple of 5 to 1000"};
  CASEVAULT_TRY(const auto core, impl_->core());
  return retried([&] { return tabulate_once(*core, request); });
}

Result<std::vector<IndicatorResult>> Session::indicators(const IndicatorsRequest& request) {
  if (!model::valid_date(request.from) || !model::valid_date(request.to))
    return Error{ErrorCode::kUsage, "a period begins and ends with a date: YYYY, YYYY-MM or YYYY-MM-DD"};
  const std::size_t common = std::min(request.from.size(), request.to.size());
  if (request.from.substr(0, common) > request.to.substr(0, common))
    return Error{ErrorCode::kUsage, "the period ends before it begins"};
  CASEVAULT_CHECK(check_min_cell(request.min_cell));
  CASEVAULT_TRY(const auto core, impl_->core());
  CASEVAULT_TRY(const Snapshot snapshot, core->snapshot());
  const Schema& schema = snapshot.authority->schema();
  std::vector<IndicatorResult> out;
  for (const std::string& name : request.names) {
    const Indicator* const found = schema.find_indicator(name);
    if (found == nullptr) return Error{ErrorCode::kNotFound, "the schema has no indicator " + name};
    out.push_back({*found, {}, {}});
  }
  for (const Indicator& each : schema.indicators()) {
    if (request.names.empty()) out.push_back({each, {}, {}});
  }
  if (out.empty())
    return Error{ErrorCode::kNotFound, "the schema declares no indicators; they are [[indicators]] of its text"};
  for (IndicatorResult& each : out) {
    TabulateRequest table;
    table.type = each.indicator.type;
    table.rows = each.indicator.by.empty() ? std::string() : each.indicator.by.front();
    table.columns = each.indicator.by.size() < 2 ? std::string() : each.indicator.by.back();
    table.where = each.indicator.where;
    table.where.push_back({each.indicator.date, request.from, request.to});
    table.era = request.era;
    table.min_cell = request.min_cell;
    table.purpose = request.purpose;
    table.basis = request.basis;
    table.recipient = request.recipient;
    table.name = each.indicator.name;
    table.progress = request.progress;
    const auto done = static_cast<std::size_t>(&each - out.data());
    const auto published = static_cast<std::size_t>(
        std::count_if(out.begin(), out.end(), [](const IndicatorResult& result) { return result.table.has_value(); }));
    const auto stopped = [&](Error error) {
      if (error.code == ErrorCode::kCancelled && published != 0) {
        error.message = "stopped; " + std::to_string(published) +
                        (published == 1 ? " indicator is" : " indicators are") +
                        " published already; the same report again counts them again";
      }
      return error;
    };
    if (auto go_on = advance(request.progress, "indicators", done, out.size()); !go_on)
      return stopped(std::move(go_on).error());
    auto made = retried([&] { return tabulate_once(*core, table); });
    if (made) {
      each.table = *std::move(made);
    } else if (made.error().code == ErrorCode::kRefused || made.error().code == ErrorCode::kNoGrant) {
      each.refused = std::move(made).error();
    } else {
      return stopped(std::move(made).error());
    }
  }
  return out;
}

void Tabulation::schema(ArrowSchema& out) const {
  std::vector<ArrowField> fields{{rows, ArrowKind::kText, {}}};
  for (const std::string& label : column_labels) {
    if (!columns.empty()) fields.push_back({label, ArrowKind::kInteger, {}});
  }
  fields.push_back({"total", ArrowKind::kInteger, {}});
  ArrowMetadata metadata{{"casevault.type", type}, {"casevault.entry", std::to_string(entry)}};
  if (min_cell != 0) metadata.emplace_back("casevault.min_cell", std::to_string(min_cell));
  if (round_to != 0) metadata.emplace_back("casevault.round_to", std::to_string(round_to));
  make_schema(fields, metadata, out);
}

void Tabulation::stream(ArrowArrayStream& out) const {
  const auto shared = std::make_shared<const Tabulation>(*this);
  make_stream(
      [shared](ArrowSchema& schema) {
        shared->schema(schema);
        return Result<void>();
      },
      [shared, done = false](ArrowArray& batch) mutable -> Result<bool> {
        if (std::exchange(done, true)) return false;
        const Tabulation& table = *shared;
        const std::size_t lines = table.row_labels.size() + 1;
        TextBuilder labels;
        for (const std::string& label : table.row_labels) labels.put(label, true);
        labels.put("total", true);
        std::vector<ArrowNode> nodes;
        nodes.push_back(std::move(labels).node());
        for (std::size_t c = table.columns.empty() ? table.column_labels.size() : 0; c <= table.column_labels.size();
             ++c) {
          Validity valid;
          SecretArray<std::int64_t> numbers;
          for (std::size_t r = 0; r < lines; ++r) {
            const auto& number = table.at(r, c);
            valid.add(number.has_value());
            numbers.push_back(static_cast<std::int64_t>(number.value_or(0)));
          }
          ArrowNode node = std::move(valid).node();
          node.buffers.push_back(std::move(numbers).take());
          nodes.push_back(std::move(node));
        }
        make_batch(lines, std::move(nodes), batch);
        return true;
      },
      out);
}

struct Release::Impl {
  std::vector<std::string> names;
  std::vector<CoarseColumn> columns;  ///< without the pseudonyms; all rows, of which `kept` stay
  Kept kept;
  std::vector<std::string> pseudonyms;  ///< of rows that stay, in their order; empty without
  std::vector<std::uint64_t> starred;
  std::vector<std::string> classes;  ///< compartments, of each column
  std::string name, basis;
  std::uint64_t entry = 0;
  std::optional<std::uint64_t> dropped;
  pid_t owner = base::process_id();

  /// Secret memory is wiped in forked children: rows would come out wrong, and look well.
  [[nodiscard]] Result<void> check_process() const {
    if (base::process_id() == owner) return {};
    return Error{ErrorCode::kUsage,
                 "release " + name + " was made by the parent of this process, where its values are; read it there"};
  }
  [[nodiscard]] std::string_view value(std::size_t row, std::size_t column) const {
    if (!pseudonyms.empty() || names.size() > columns.size()) {
      if (column == 0) return pseudonyms[row];
      --column;
    }
    const std::uint32_t code = columns[column].codes[kept.rows[row]];
    return code == kStarred ? std::string_view("*") : std::string_view(columns[column].values[code]);
  }
};

namespace {

/// Which columns others may be said not to know is not the requester's choice.
Result<void> check_sensitive(const RecordType& type, std::span<const ReleaseColumn> columns) {
  for (const ReleaseColumn& column : columns) {
    if (column.sensitive && !type.find(column.field)->sensitive) {
      return refused("field " + column.field +
                     " is not sensitive in the schema: others may know it, so it is part of what k rows share");
    }
  }
  return {};
}

/// One column of the chosen records, as coarse as declared.
Result<CoarseColumn> coarse_column(const Publication& work, const ReleaseColumn& column, Era era) {
  const Field& field = *work.type->find(column.field);
  CASEVAULT_TRY(const Generaliser coarser, Generaliser::make(column, field.type));
  const DataColumn& source = work.data.column(field.id);
  const Field* const edition = edition_of(*work.type, field);
  CoarseColumn out;
  out.sensitive = column.sensitive;
  std::set<std::string, std::less<>> parts;  // codes of several may become the same one
  for (std::size_t i = 0; i < work.data.size(); ++i) {
    if (!work.chosen[i]) continue;
    parts.clear();
    for (const std::uint32_t code : source.of(i)) {
      if (edition != nullptr) {
        const DataColumn& editions = work.data.column(edition->id);
        parts.insert(place_in(era, source.values[code], editions.values[editions.of(i)[0]]));
      } else {
        parts.insert(coarser.apply(source.values[code]));
      }
    }
    std::string text;
    for (const std::string& part : parts) text += (text.empty() ? "" : ";") + part;
    out.codes.push_back(out.values.number_of(text));
  }
  return out;
}

Result<std::shared_ptr<const Release::Impl>> release_once(Core& core, const ReleaseRequest& request) {
  std::vector<std::string> names;
  for (const ReleaseColumn& column : request.columns) names.push_back(column.field);
  Publication work(
      core, {audit::Action::kRelease, names, request.type, request.where, request.era, request.purpose, request.basis,
             request.recipient, request.recipient_class, request.name, request.k, request.progress});
  CASEVAULT_CHECK(work.prepare());
  if (auto allowed = check_sensitive(*work.type, request.columns); !allowed)
    return work.refuse(std::move(allowed).error());
  DefinedRows definition;
  definition.time_ms = work.now();
  CASEVAULT_TRY(definition.set, work.set());
  definition.k = work.least;
  definition.distinct = request.distinct;
  if (request.distinct == 0)
    definition.distinct = std::ranges::any_of(request.columns, &ReleaseColumn::sensitive) ? 2 : 1;
  if (definition.distinct > definition.k) return Error{ErrorCode::kUsage, "distinct is at most k"};
  definition.star = request.star;
  for (const ReleaseColumn& column : request.columns) {
    const Field& field = *work.type->find(column.field);
    definition.columns.push_back(
        {field.id, level_of(column, field.type), column.bands, column.age_on, column.sensitive});
  }
  auto out = std::make_shared<Release::Impl>();
  const Schema& schema = work.snapshot.authority->schema();
  for (const ReleaseColumn& column : request.columns) {
    CASEVAULT_TRY(CoarseColumn coarse, coarse_column(work, column, request.era));
    out->columns.push_back(std::move(coarse));
    out->names.push_back(column.field);
    out->classes.push_back(schema.compartments()[work.type->find(column.field)->compartment].name);
  }
  if (auto judged = work.judge->rows(definition); !judged) return work.refuse(std::move(judged).error());
  const std::size_t rows = number_of(work.chosen);
  out->kept = apply_rule(out->columns, rows, {definition.k, definition.distinct, request.star}, core.random());
  const std::size_t dropped = rows - out->kept.rows.size();
  if (dropped == 0 || dropped >= definition.k) out->dropped = dropped;
  out->starred = out->kept.starred;
  if (request.pseudonyms) {
    const SecretBytes key = crypto::random_key(core.random());
    std::vector<std::uint64_t> numbers;
    for (std::size_t i = 0; i < work.chosen.size(); ++i) {
      if (work.chosen[i]) numbers.push_back(work.data.row(i));
    }
    for (const std::uint32_t row : out->kept.rows.view())
      out->pseudonyms.push_back(pseudonym(key, core.id_of(numbers[row])));
    out->names.insert(out->names.begin(), "pseudonym");
    out->classes.insert(out->classes.begin(), "pseudonym");
    out->starred.insert(out->starred.begin(), 0);
  }
  auto entry = work.commit(definition, out->kept.rows.size());
  if (!entry) return work.refuse(std::move(entry).error());
  out->entry = *entry;
  out->name = request.name;
  out->basis = work.basis;
  return std::shared_ptr<const Release::Impl>(std::move(out));
}

}  // namespace

Result<Release> Session::release(const ReleaseRequest& request) {
  if (request.name.empty()) return Error{ErrorCode::kUsage, "a release needs a name"};
  if (request.columns.empty()) return Error{ErrorCode::kUsage, "a release needs columns"};
  if (request.k == 1 || request.k > kMaxMinCell) return Error{ErrorCode::kUsage, "k is a number from 2 to 1000000"};
  if (std::ranges::all_of(request.columns, &ReleaseColumn::sensitive))
    return Error{ErrorCode::kUsage, "a release needs a column that is not sensitive: by it rows look alike"};
  if (request.distinct == 1 && std::ranges::any_of(request.columns, &ReleaseColumn::sensitive))
    return Error{ErrorCode::kUsage, "distinct is a number from 2 to k where a column is sensitive"};
  for (std::size_t i = 0; i < request.columns.size(); ++i) {
    for (std::size_t j = 0; j < i; ++j) {
      if (request.columns[i].field == request.columns[j].field)
        return Error{ErrorCode::kUsage, "column " + request.columns[i].field + " is asked for twice"};
    }
  }
  CASEVAULT_TRY(const auto core, impl_->core());
  CASEVAULT_TRY(auto made, retried([&] { return release_once(*core, request); }));
  return Release(std::move(made));
}

namespace {

/// Everybody may see what was published, but values of a field only who can read it.
Definition without_values(Definition definition, const vault::Authority& authority) {
  const auto clear = [&](DefinedSet& set) {
    const RecordType* const type = authority.schema().find_type(set.type);
    for (DefinedFilter& filter : set.where) {
      const Field* const field = type == nullptr ? nullptr : type->find(filter.field);
      if (field == nullptr || !covers(authority, *field)) filter.from = filter.to = "(not shown)";
    }
  };
  if (auto* table = std::get_if<DefinedTable>(&definition)) clear(table->set);
  if (auto* rows = std::get_if<DefinedRows>(&definition)) clear(rows->set);
  return definition;
}

}  // namespace

Result<std::vector<LedgerEntry>> Session::ledger() {
  CASEVAULT_TRY(const auto core, impl_->core());
  CASEVAULT_TRY(const Snapshot snapshot, core->snapshot());
  const vault::Authority& authority = *snapshot.authority;
  std::vector<LedgerEntry> out;
  for (const vault::ReleaseState& state : authority.state.releases) {
    LedgerEntry entry;
    entry.entry = state.entry;
    entry.actor = authority.state.principals.at(state.actor).who.name;
    auto decoded = decode_definition(state);
    if (!decoded) {
      entry.kind = "unknown";
      entry.definition = decoded.error().message;
      out.push_back(std::move(entry));
      continue;
    }
    const Definition definition = without_values(*std::move(decoded), authority);
    entry.definition = describe(definition, authority.schema());
    std::visit([&](const auto& each) { entry.time_ms = each.time_ms; }, definition);
    const auto of_set = [&](std::string_view kind, const DefinedSet& set) {
      const RecordType* const type = authority.schema().find_type(set.type);
      entry.kind = kind;
      entry.type = type == nullptr ? "" : type->name;
      entry.name = set.name;
    };
    if (const auto* table = std::get_if<DefinedTable>(&definition)) of_set("table", table->set);
    if (const auto* rows = std::get_if<DefinedRows>(&definition)) of_set("rows", rows->set);
    if (const auto* budget = std::get_if<DefinedBudget>(&definition)) {
      entry.kind = "budget";
      entry.name = budget->name;
    }
    out.push_back(std::move(entry));
  }
  return out;
}

namespace {

/// Decimal with up to six places, as millionths.
std::optional<std::uint64_t> millionths(std::string_view text) {
  constexpr std::size_t kPlaces = 6;
  constexpr std::size_t kMaxDigits = 6;
  const std::size_t dot = text.find('.');
  const std::string_view whole = text.substr(0, dot);
  std::string places(dot == std::string_view::npos ? "" : text.substr(dot + 1));
  if (whole.empty() || whole.size() > kMaxDigits || places.size() > kPlaces ||
      (dot != std::string_view::npos && places.empty()))
    return std::nullopt;
  places.resize(kPlaces, '0');
  std::uint64_t out = 0;
  for (const char digit : std::string(whole) + places) {
    if (digit < '0' || digit > '9') return std::nullopt;
    out = out * 10 + static_cast<std::uint64_t>(digit - '0');
  }
  return out;
}

Result<std::uint64_t> record_once(Core& core, const DefinedBudget& definition, const Snapshot& snapshot) {
  CASEVAULT_TRY(const std::vector<Published> ledger, read_ledger(*snapshot.authority));
  CASEVAULT_CHECK(check_quota(snapshot.authority->schema(), ledger, definition));
  CASEVAULT_TRY(vault::UnitOfWork work, vault::UnitOfWork::begin(core));
  if (work.authority().newest != snapshot.authority->newest)
    return Error{ErrorCode::kBusy, "somebody else changed or published something meanwhile; try again"};
  vault::DetailsDraft details;
  details.text = definition.name + ": " + describe(definition, snapshot.authority->schema());
  CASEVAULT_TRY(vault::EntryDraft entry,
                core.draft(work.authority(), audit::Action::kBudget, audit::Outcome::kOk, std::move(details)));
  entry.leaf.purpose = definition.purpose;
  std::vector<vault::AuthorityOp> ops;
  ops.emplace_back(encode_definition(definition));
  CASEVAULT_TRY(const vault::EntryPlace place, work.commit_authority(std::move(entry), std::move(ops)));
  return place.entry;
}

}  // namespace

Result<std::uint64_t> Session::record_budget(const BudgetUse& use) {
  const auto spent = millionths(use.epsilon);
  if (!spent || *spent == 0)
    return Error{ErrorCode::kBadInput, "epsilon is a decimal above 0 with up to six places, such as 0.5"};
  if (use.tool.empty()) return Error{ErrorCode::kUsage, "a budget was spent by a tool: name it"};
  CASEVAULT_CHECK(check_words({{"a tool", use.tool}, {"a name", use.name}}));
  CASEVAULT_TRY(const auto core, impl_->core());
  return retried([&]() -> Result<std::uint64_t> {
    CASEVAULT_TRY(const Snapshot snapshot, core->snapshot());
    if (snapshot.authority->schema().find_purpose(use.purpose) == nullptr)
      return Error{ErrorCode::kBadInput, "the schema has no such purpose"};
    auto entry =
        record_once(*core, {core->environment().clock->now_ms(), use.purpose, use.tool, use.name, *spent}, snapshot);
    if (entry || entry.error().code != ErrorCode::kRefused) return entry;
    return core->refuse(*snapshot.authority, audit::Action::kBudget, audit::Outcome::kDenied, {}, use.purpose, {},
                        std::move(entry).error());
  });
}

Release::Release(std::shared_ptr<const Impl> impl) noexcept : impl_(std::move(impl)) {}
Release::Release(Release&&) noexcept = default;
Release& Release::operator=(Release&&) noexcept = default;
Release::~Release() = default;
const std::vector<std::string>& Release::columns() const noexcept { return impl_->names; }
std::size_t Release::rows() const noexcept { return impl_->kept.rows.size(); }
Result<std::string_view> Release::value(std::size_t row, std::size_t column) const {
  CASEVAULT_CHECK(impl_->check_process());
  return impl_->value(row, column);
}
std::uint64_t Release::entry() const noexcept { return impl_->entry; }
const std::string& Release::name() const noexcept { return impl_->name; }
const std::string& Release::basis() const noexcept { return impl_->basis; }
std::uint64_t Release::k() const noexcept { return impl_->kept.k; }
std::uint64_t Release::distinct() const noexcept { return impl_->kept.l; }
std::optional<std::uint64_t> Release::dropped() const noexcept { return impl_->dropped; }
const std::vector<std::uint64_t>& Release::starred() const noexcept { return impl_->starred; }

void Release::schema(ArrowSchema& out) const {
  std::vector<ArrowField> fields;
  for (std::size_t i = 0; i < impl_->names.size(); ++i) {
    fields.push_back({impl_->names[i],
                      ArrowKind::kText,
                      {{"casevault.class", impl_->classes[i]},
                       {"casevault.release", impl_->name},
                       {"casevault.k", std::to_string(impl_->kept.k)}}});
  }
  make_schema(fields, {{"casevault.release", impl_->name}, {"casevault.entry", std::to_string(impl_->entry)}}, out);
}

void Release::stream(ArrowArrayStream& out) const {
  const auto impl = impl_;
  make_stream(
      [impl](ArrowSchema& schema) {
        Release(impl).schema(schema);
        return Result<void>();
      },
      [impl, next = std::size_t{0}](ArrowArray& batch) mutable -> Result<bool> {
        CASEVAULT_CHECK(impl->check_process());
        const std::size_t rows = std::min(impl->kept.rows.size() - next, kMaxBatchRows);
        if (rows == 0) return false;
        std::vector<ArrowNode> columns;
        for (std::size_t c = 0; c < impl->names.size(); ++c) {
          TextBuilder text;
          for (std::size_t r = next; r < next + rows; ++r) text.add(impl->value(r, c));
          columns.push_back(std::move(text).node());
        }
        next += rows;
        make_batch(rows, std::move(columns), batch);
        return true;
      },
      out);
}

}  // namespace casevault
