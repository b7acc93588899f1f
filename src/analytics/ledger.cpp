// SPDX-License-Identifier: Apache-2.0
#include "analytics/ledger.hpp"

#include <algorithm>

#include "analytics/release.hpp"
#include "base/text.hpp"
#include "format/cbor.hpp"

namespace casevault::analytics {
namespace {

using format::CborReader;
using format::CborWriter;
using vault::ReleaseKind;

constexpr std::uint64_t kVersion = 1;
constexpr std::size_t kMaxList = 4096;

template <typename... F>
struct Overloaded : F... {
  using F::operator()...;
};

void write(CborWriter& w, const DefinedSet& set) {
  w.array(5).uint(set.type).uint(static_cast<std::uint64_t>(set.era)).array(set.where.size());
  for (const DefinedFilter& filter : set.where) w.array(3).uint(filter.field).text(filter.from).text(filter.to);
  w.text(set.purpose).text(set.name);
}
void write(CborWriter& w, const DefinedAxis& axis) {
  w.array(2).uint(axis.field).uint(static_cast<std::uint64_t>(axis.coarseness));
}

void require(CborReader& r, bool holds) {
  if (!holds) r.fail();
}
std::size_t list(CborReader& r) {
  const std::size_t count = r.array();
  require(r, count <= kMaxList);
  return r.ok() ? count : 0;
}
template <typename E>
E code(CborReader& r, E greatest) {
  const auto value = r.narrow<std::uint8_t>();
  const bool known = value <= static_cast<std::uint8_t>(greatest);
  require(r, known);
  return known ? static_cast<E>(value) : E{};
}

DefinedSet read_set(CborReader& r) {
  DefinedSet set;
  require(r, r.array() == 5);
  set.type = r.narrow<std::uint16_t>();
  set.era = code(r, Era::k2025);
  for (std::size_t left = list(r); left > 0 && r.ok(); --left) {
    require(r, r.array() == 3);
    DefinedFilter filter;
    filter.field = r.narrow<std::uint16_t>();
    require(r, filter.field != 0);
    filter.from = r.text();
    filter.to = r.text();
    set.where.push_back(std::move(filter));
  }
  set.purpose = r.text();
  set.name = r.text();
  return set;
}
DefinedAxis read_axis(CborReader& r) {
  require(r, r.array() == 2);
  DefinedAxis axis;
  axis.field = r.narrow<std::uint16_t>();
  axis.coarseness = code(r, Coarseness::kBands);
  return axis;
}

const DefinedSet* set_of(const Definition& definition) {
  if (const auto* table = std::get_if<DefinedTable>(&definition)) return &table->set;
  if (const auto* rows = std::get_if<DefinedRows>(&definition)) return &rows->set;
  return nullptr;
}
std::int64_t time_of(const Definition& definition) {
  return std::visit([](const auto& each) { return each.time_ms; }, definition);
}
const std::string& purpose_of(const Definition& definition) {
  const DefinedSet* const set = set_of(definition);
  return set != nullptr ? set->purpose : std::get<DefinedBudget>(definition).purpose;
}

std::string named(std::uint64_t entry) { return "entry " + std::to_string(entry); }

std::string field_name(const RecordType* type, std::uint16_t id) {
  const Field* const field = type == nullptr ? nullptr : type->find(id);
  return field == nullptr ? "field " + std::to_string(id) : field->name;
}

std::string words(const RecordType* type, const DefinedAxis& axis) {
  if (axis.field == 0) return "all";
  const std::string name = field_name(type, axis.field);
  if (axis.coarseness == Coarseness::kYear) return name + ":year";
  return axis.coarseness == Coarseness::kMonth ? name + ":month" : name;
}

std::string words(const RecordType* type, const DefinedSet& set) {
  std::string out;
  for (const DefinedFilter& filter : set.where) {
    out += (out.empty() ? " where " : " and ") + field_name(type, filter.field) + "=" + filter.from;
    if (filter.to != filter.from) out += ".." + filter.to;
  }
  if (set.era != Era::kRecorded) out += set.era == Era::k2024 ? ", places of 2024" : ", places of 2025";
  return out;
}

/// Whether both are the same table of the same records.
bool same_table(const Definition& a, const Definition& b) {
  const auto* const one = std::get_if<DefinedTable>(&a);
  const auto* const other = std::get_if<DefinedTable>(&b);
  return one != nullptr && other != nullptr && one->set.type == other->set.type && one->set.era == other->set.era &&
         one->set.where == other->set.where && one->rows == other->rows && one->columns == other->columns &&
         one->min_cell == other->min_cell && one->round_to == other->round_to;
}

/// Where a table has no rows or no columns its counts stand twice, as cells and as their totals: what is said of one is
/// said of the other.
void join_twins(const DefinedTable& definition, const Counts& counts, std::vector<Mark>& marks) {
  const auto join = [&](std::size_t a, std::size_t b) {
    const bool known = marks[a] == Mark::kKnown || marks[b] == Mark::kKnown;
    const bool hidden = marks[a] == Mark::kHidden || marks[b] == Mark::kHidden;
    marks[a] = marks[b] = known ? Mark::kKnown : hidden ? Mark::kHidden : Mark::kFree;
  };
  for (std::size_t r = 0; definition.columns.field == 0 && r <= counts.rows; ++r)
    join(counts.at(r, 0), counts.at(r, 1));
  for (std::size_t c = 0; definition.rows.field == 0 && c <= counts.columns; ++c)
    join(counts.at(0, c), counts.at(1, c));
}

/// Records of `a` that are not in `b`.
Chosen without(const Chosen& a, const Chosen& b) {
  Chosen out(a.size());
  for (std::size_t i = 0; i < a.size(); ++i) out[i] = a[i] && !b[i];
  return out;
}

}  // namespace

vault::OpRelease encode_definition(const Definition& definition) {
  vault::OpRelease op;
  CborWriter w(op.definition);
  std::visit(Overloaded{
                 [&](const DefinedTable& d) {
                   op.kind = ReleaseKind::kTable;
                   w.array(7).uint(kVersion).integer(d.time_ms);
                   write(w, d.set);
                   write(w, d.rows);
                   write(w, d.columns);
                   w.uint(d.min_cell).uint(d.round_to);
                 },
                 [&](const DefinedRows& d) {
                   op.kind = ReleaseKind::kRows;
                   w.array(7).uint(kVersion).integer(d.time_ms);
                   write(w, d.set);
                   w.array(d.columns.size());
                   for (const DefinedColumn& column : d.columns) {
                     w.array(5).uint(column.field).uint(static_cast<std::uint64_t>(column.coarseness));
                     w.array(column.bands.size());
                     for (const std::int64_t band : column.bands) w.integer(band);
                     w.text(column.age_on).boolean(column.sensitive);
                   }
                   w.uint(d.k).uint(d.distinct).boolean(d.star);
                 },
                 [&](const DefinedBudget& d) {
                   op.kind = ReleaseKind::kBudget;
                   w.array(6).uint(kVersion).integer(d.time_ms).text(d.purpose).text(d.tool).text(d.name);
                   w.uint(d.millionths);
                 },
             },
             definition);
  return op;
}

Result<Definition> decode_definition(const vault::ReleaseState& state) {
  CborReader r(state.definition);
  const std::size_t members = r.array();
  const std::uint64_t version = r.uint();
  const std::int64_t time = r.integer();
  Definition out;
  switch (state.kind) {
    case ReleaseKind::kTable: {
      require(r, members == 7);
      DefinedTable d;
      d.time_ms = time;
      d.set = read_set(r);
      d.rows = read_axis(r);
      d.columns = read_axis(r);
      d.min_cell = r.uint();
      d.round_to = r.uint();
      out = std::move(d);
      break;
    }
    case ReleaseKind::kRows: {
      require(r, members == 7);
      DefinedRows d;
      d.time_ms = time;
      d.set = read_set(r);
      for (std::size_t left = list(r); left > 0 && r.ok(); --left) {
        require(r, r.array() == 5);
        DefinedColumn column;
        column.field = r.narrow<std::uint16_t>();
        column.coarseness = code(r, Coarseness::kBands);
        for (std::size_t bands = list(r); bands > 0 && r.ok(); --bands) column.bands.push_back(r.integer());
        column.age_on = r.text();
        column.sensitive = r.boolean();
        d.columns.push_back(std::move(column));
      }
      d.k = r.uint();
      d.distinct = r.uint();
      d.star = r.boolean();
      out = std::move(d);
      break;
    }
    case ReleaseKind::kBudget: {
      require(r, members == 6);
      DefinedBudget d;
      d.time_ms = time;
      d.purpose = r.text();
      d.tool = r.text();
      d.name = r.text();
      d.millionths = r.uint();
      out = std::move(d);
      break;
    }
  }
  if (r.finish() && version == kVersion) return out;
  return Error{ErrorCode::kUnsupported,
               named(state.entry) + " published something that this casevault cannot compare with; use a newer one"};
}

std::string describe(const Definition& definition, const Schema& schema) {
  return std::visit(Overloaded{
                        [&](const DefinedTable& d) {
                          const RecordType* const type = schema.find_type(d.set.type);
                          std::string out = words(type, d.rows);
                          if (d.columns.field != 0) out += " by " + words(type, d.columns);
                          out += words(type, d.set);
                          return out + (d.round_to != 0 ? ", rounded to " + std::to_string(d.round_to)
                                                        : ", minimum cell " + std::to_string(d.min_cell));
                        },
                        [&](const DefinedRows& d) {
                          const RecordType* const type = schema.find_type(d.set.type);
                          std::string out = "rows of ";
                          for (const DefinedColumn& column : d.columns) {
                            out += (&column == d.columns.data() ? "" : ", ") +
                                   words(type, DefinedAxis{column.field, column.coarseness});
                            if (column.coarseness == Coarseness::kBands) out += " in bands";
                            if (column.sensitive) out += " (sensitive)";
                          }
                          out += words(type, d.set) + ", k " + std::to_string(d.k);
                          if (d.distinct > 1) out += ", distinct " + std::to_string(d.distinct);
                          return out + (d.star ? ", starred" : "");
                        },
                        [&](const DefinedBudget& d) {
                          std::string places = std::to_string(d.millionths % 1'000'000);
                          places.insert(0, 6 - places.size(), '0');
                          return "epsilon " + std::to_string(d.millionths / 1'000'000) + "." + places + " by " + d.tool;
                        },
                    },
                    definition);
}

Result<std::vector<Published>> read_ledger(const vault::Authority& authority) {
  std::vector<Published> out;
  for (const vault::ReleaseState& state : authority.state.releases) {
    CASEVAULT_TRY(Definition definition, decode_definition(state));
    out.push_back({state.entry, std::move(definition)});
  }
  return out;
}

Result<void> check_quota(const Schema& schema, std::span<const Published> ledger, const Definition& definition) {
  const Purpose* const purpose = schema.find_purpose(purpose_of(definition));
  if (purpose == nullptr) return {};
  const auto year = [](const Definition& each) { return base::to_rfc3339(time_of(each)).substr(0, 4); };
  std::uint64_t used = 0;
  std::uint64_t spent = 0;
  std::uint64_t last = 0;
  for (const Published& each : ledger) {
    if (each.definition.index() != definition.index() || purpose_of(each.definition) != purpose->code ||
        year(each.definition) != year(definition))
      continue;
    ++used;
    last = each.entry;
    if (const auto* budget = std::get_if<DefinedBudget>(&each.definition)) spent += budget->millionths;
  }
  const auto refuse = [&](std::string what) {
    return Error{ErrorCode::kRefused, "refused: purpose " + purpose->code + " has used up " + std::move(what) + " of " +
                                          year(definition) + ", the last in " + named(last)};
  };
  if (const auto* budget = std::get_if<DefinedBudget>(&definition)) {
    if (purpose->epsilon_a_year != 0 && spent + budget->millionths > purpose->epsilon_a_year)
      return refuse("its privacy budget");
    return {};
  }
  const bool table = std::holds_alternative<DefinedTable>(definition);
  const std::uint64_t limit = table ? purpose->tables_a_year : purpose->row_sets_a_year;
  if (limit != 0 && used >= limit)
    return refuse("its " + std::to_string(limit) + (table ? " tables" : " sets of rows"));
  return {};
}

std::vector<const Field*> fields_to_compare(const RecordType& type, std::span<const Published> ledger) {
  std::vector<const Field*> out;
  const auto add = [&](std::uint16_t id) {
    const Field* const field = type.find(id);
    if (field == nullptr || std::ranges::find(out, field) != out.end()) return;
    out.push_back(field);
    if (const Field* const edition = edition_of(type, *field);
        edition != nullptr && std::ranges::find(out, edition) == out.end())
      out.push_back(edition);
  };
  for (const Published& each : ledger) {
    const DefinedSet* const set = set_of(each.definition);
    if (set == nullptr || set->type != type.id) continue;
    for (const DefinedFilter& filter : set->where) add(filter.field);
    if (const auto* table = std::get_if<DefinedTable>(&each.definition)) {
      add(table->rows.field);
      add(table->columns.field);
    }
    if (const auto* rows = std::get_if<DefinedRows>(&each.definition)) {
      for (const DefinedColumn& column : rows->columns) add(column.field);
    }
  }
  return out;
}

Judge::Judge(const Schema& schema, const RecordType& type, const Dataset& data, std::span<const Published> ledger,
             std::span<const Field* const> readable, base::Random& random, ProgressCallback progress)
    : progress_(std::move(progress)), random_(random), schema_(schema), type_(type), data_(data), ledger_(ledger) {
  for (const Field* const field : readable) readable_.push_back(field->id);
  for (std::size_t i = 0; i < ledger_.size(); ++i) {
    const DefinedSet* const set = set_of(ledger_[i].definition);
    const auto same = [&](std::size_t earlier) {
      return same_table(ledger_[earlier].definition, ledger_[i].definition);
    };
    if (set != nullptr && set->type == type_.id && std::ranges::none_of(different_, same)) different_.push_back(i);
  }
}

std::uint16_t Judge::unreadable(std::uint16_t id) const {
  const Field* const field = type_.find(id);
  if (field == nullptr) return id;
  for (const Field* const each : {field, edition_of(type_, *field)}) {
    if (each != nullptr && std::ranges::find(readable_, each->id) == readable_.end()) return each->id;
  }
  return 0;
}

std::uint16_t Judge::unreadable(const Definition& definition) const {
  std::vector<std::uint16_t> fields;
  for (const DefinedFilter& filter : set_of(definition)->where) fields.push_back(filter.field);
  if (const auto* table = std::get_if<DefinedTable>(&definition)) {
    fields.push_back(table->rows.field);
    fields.push_back(table->columns.field);
  }
  if (const auto* rows = std::get_if<DefinedRows>(&definition)) {
    for (const DefinedColumn& column : rows->columns) fields.push_back(column.field);
  }
  for (const std::uint16_t field : fields) {
    if (const std::uint16_t id = unreadable(field); id != 0) return id;
  }
  return 0;
}

Result<void> Judge::join(const DefinedSet& set, const Chosen& chosen) {
  joined_.assign(ledger_.size(), false);
  std::vector<std::optional<Chosen>> sets(ledger_.size());
  for (std::size_t i = 0; i < ledger_.size(); ++i) {
    const DefinedSet* const earlier = set_of(ledger_[i].definition);
    if (earlier == nullptr || earlier->type != set.type) continue;
    // What fits the filters that can be read is more than what fits all of them, never less.
    DefinedSet known = *earlier;
    std::erase_if(known.where, [&](const DefinedFilter& filter) { return unreadable(filter.field) != 0; });
    CASEVAULT_TRY(sets[i], choose(known));
  }
  Chosen reached = chosen;
  for (bool grew = true; grew;) {
    grew = false;
    for (std::size_t i = 0; i < ledger_.size(); ++i) {
      if (!sets[i] || joined_[i]) continue;
      bool meet = false;
      for (std::size_t r = 0; r < reached.size() && !meet; ++r) meet = reached[r] && (*sets[i])[r];
      if (!meet) continue;
      for (std::size_t r = 0; r < reached.size(); ++r) reached[r] = reached[r] || (*sets[i])[r];
      joined_[i] = grew = true;
    }
  }
  for (std::size_t i = 0; i < ledger_.size(); ++i) {
    if (!joined_[i]) continue;
    const std::uint16_t id = unreadable(ledger_[i].definition);
    if (id == 0) continue;
    const Field* const field = type_.find(id);
    const std::string why = "refused: " + named(ledger_[i].entry) + " published by " +
                            (field == nullptr ? "" : "field ") + field_name(&type_, id) + " about records that this " +
                            "has to do with, and this identity cannot read that field, so what both tell together " +
                            "cannot be judged; ";
    if (field == nullptr)
      return Error{ErrorCode::kRefused, why + "the schema has no such field: publish about other records"};
    const std::string& compartment = schema_.compartments()[field->compartment].name;
    return Error{ErrorCode::kRefused, why + "let somebody who holds compartment " + compartment +
                                          " publish this, or have " + compartment + " granted to this identity"};
  }
  return {};
}

Result<Chosen> Judge::choose(const DefinedSet& set) const {
  std::vector<Filter> where;
  std::string key;  // publications share few filters, and each is held against all before it
  for (const DefinedFilter& filter : set.where) {
    where.push_back({type_.find(filter.field)->name, filter.from, filter.to});
    key += std::to_string(filter.field) + '\0' + filter.from + '\0' + filter.to + '\0';
  }
  const auto known = chosen_.find(key);
  if (known != chosen_.end()) return known->second;
  CASEVAULT_TRY(Chosen chosen, data_.choose(where));
  return chosen_.emplace(std::move(key), std::move(chosen)).first->second;
}

CodedColumn Judge::line(const DefinedAxis& axis, Era era, const Chosen& chosen) const {
  if (axis.field != 0) {
    const auto key = std::tuple(axis.field, axis.coarseness, era);
    auto known = lines_.find(key);
    if (known == lines_.end()) {
      const Axis own{type_.find(axis.field), axis.coarseness};
      known = lines_.emplace(key, AxisLines(data_, type_, schema_, own, era)).first;
    }
    return known->second.of(chosen);
  }
  CodedColumn all{{std::string()}, {}, {}};
  for (std::size_t left = number_of(chosen); left > 0; --left) {
    all.codes.push_back(0);
    all.ends.push_back(all.codes.size());
  }
  return all;
}

Result<Judged> Judge::count_table(const DefinedTable& definition, const Chosen& chosen) const {
  Judged out;
  const CodedColumn rows = line(definition.rows, definition.set.era, chosen);
  const CodedColumn columns = line(definition.columns, definition.set.era, chosen);
  CASEVAULT_TRY(out.counts, count(rows, columns));
  out.row_labels = rows.categories;
  out.column_labels = columns.categories;
  return out;
}

Result<Judge::Parts> Judge::parts(const DefinedAxis& axis, Era fine, const std::vector<std::string>& labels,
                                  const Chosen& chosen, Era coarse,
                                  const std::vector<std::string>& coarse_labels) const {
  Parts out(coarse_labels.size());
  const auto place = [](const std::vector<std::string>& in, const std::string& label) {
    return static_cast<std::size_t>(std::ranges::find(in, label) - in.begin());
  };
  if (fine == coarse || edition_of(type_, *type_.find(axis.field)) == nullptr) {
    for (std::size_t i = 0; i < coarse_labels.size(); ++i) {
      const std::size_t at = place(labels, coarse_labels[i]);
      if (at != labels.size()) out[i].push_back(at);
    }
    return out;
  }
  const CodedColumn from = line(axis, fine, chosen);
  const CodedColumn to = line(axis, coarse, chosen);
  std::vector<std::optional<std::uint32_t>> unit(from.categories.size());
  for (std::size_t i = 0; i < from.codes.size(); ++i) {
    auto& known = unit[from.codes[i]];
    if (known.value_or(to.codes[i]) != to.codes[i])
      return Error{ErrorCode::kInternal, "a place of one era is of two units of a later one"};
    known = to.codes[i];
  }
  for (std::size_t i = 0; i < unit.size(); ++i) {
    if (!unit[i]) continue;
    const std::size_t coarser = place(coarse_labels, to.categories[*unit[i]]);
    if (coarser != coarse_labels.size()) out[coarser].push_back(place(labels, from.categories[i]));
  }
  return out;
}

Result<void> Judge::mark(const DefinedTable& earlier, const Judged& shown, const DefinedTable& definition,
                         const Chosen& chosen, const Judged& fresh, std::vector<Mark>& marks) const {
  const auto same = [](const DefinedAxis& a, const DefinedAxis& b) { return a.field != 0 && a == b; };
  const Counts& old = shown.counts;
  const Counts& now = fresh.counts;
  // Places of an era that is not the earlier table's: a number of the coarser table is the sum of those of the finer
  // one that make it up. It is hidden where one of these is and shown where all are, whichever came first: then what
  // else the finer table could be is also something else that the coarser one could be.
  const bool finer = definition.set.era < earlier.set.era;
  const auto set = [&](std::size_t to, std::span<const std::size_t> from) {
    const auto hides = [&](std::size_t at) { return shown.hidden[at]; };
    const auto counts = [&](std::size_t at) { return old.values[at] != 0; };
    // What one earlier table shows is known, even where another hides it.
    if (std::ranges::none_of(from, hides)) {
      marks[to] = Mark::kKnown;
    } else if (marks[to] == Mark::kFree && !(finer && now.values[to] == 0 && std::ranges::any_of(from, counts))) {
      marks[to] = Mark::kHidden;
    }
  };
  // For each line of the new table those of the earlier one that it is made of, or the one that it is a part of.
  const auto lines = [&](const DefinedAxis& axis, const std::vector<std::string>& labels,
                         const std::vector<std::string>& old_labels) -> Result<Parts> {
    if (!finer) return parts(axis, earlier.set.era, old_labels, chosen, definition.set.era, labels);
    CASEVAULT_TRY(const Parts of_old, parts(axis, definition.set.era, labels, chosen, earlier.set.era, old_labels));
    Parts out(labels.size());
    for (std::size_t i = 0; i < of_old.size(); ++i) {
      for (const std::size_t part : of_old[i]) out[part].push_back(i);
    }
    return out;
  };
  std::vector<std::size_t> from;
  const auto margins = [&](bool new_rows, bool old_rows) -> Result<void> {
    CASEVAULT_TRY(const Parts made_of, lines(new_rows ? definition.rows : definition.columns,
                                             new_rows ? fresh.row_labels : fresh.column_labels,
                                             old_rows ? shown.row_labels : shown.column_labels));
    for (std::size_t i = 0; i < made_of.size(); ++i) {
      from.clear();
      for (const std::size_t j : made_of[i]) from.push_back(old_rows ? old.at(j, old.columns) : old.at(old.rows, j));
      set(new_rows ? now.at(i, now.columns) : now.at(now.rows, i), from);
    }
    return {};
  };
  const auto total = [&] {
    const std::size_t at = old.at(old.rows, old.columns);
    set(now.at(now.rows, now.columns), {&at, 1});
  };
  // Totals of a multi-code count mentions of the other line's codes too: they are the same numbers only where both
  // tables count every record once across.
  const auto single = [&](const DefinedAxis& axis) {
    return axis.field == 0 || type_.find(axis.field)->type != FieldType::kMultiCode;
  };
  const bool straight = same(earlier.rows, definition.rows);
  const bool straight_columns = same(earlier.columns, definition.columns);
  const bool turned = same(earlier.columns, definition.rows);
  const bool turned_columns = same(earlier.rows, definition.columns);
  if ((straight && straight_columns) || (turned && turned_columns)) {
    CASEVAULT_TRY(const Parts rows,
                  lines(definition.rows, fresh.row_labels, straight ? shown.row_labels : shown.column_labels));
    CASEVAULT_TRY(const Parts columns,
                  lines(definition.columns, fresh.column_labels, straight ? shown.column_labels : shown.row_labels));
    for (std::size_t r = 0; r < now.rows; ++r) {
      for (std::size_t c = 0; c < now.columns; ++c) {
        from.clear();
        for (const std::size_t i : rows[r]) {
          for (const std::size_t j : columns[c]) from.push_back(straight ? old.at(i, j) : old.at(j, i));
        }
        set(now.at(r, c), from);
      }
    }
    CASEVAULT_CHECK(margins(true, straight));
    CASEVAULT_CHECK(margins(false, !straight));
    total();
    return {};
  }
  if (straight && single(earlier.columns) && single(definition.columns)) {
    CASEVAULT_CHECK(margins(true, true));
  }
  if (turned && single(earlier.rows) && single(definition.columns)) {
    CASEVAULT_CHECK(margins(true, false));
  }
  if (straight_columns && single(earlier.rows) && single(definition.rows)) {
    CASEVAULT_CHECK(margins(false, false));
  }
  if (turned_columns && single(earlier.columns) && single(definition.rows)) {
    CASEVAULT_CHECK(margins(false, true));
  }
  if (single(earlier.rows) && single(earlier.columns) && single(definition.rows) && single(definition.columns)) total();
  return {};
}

Result<Judged> Judge::publish(const DefinedTable& definition, const Chosen& chosen, std::size_t before) {
  CASEVAULT_TRY(Judged out, count_table(definition, chosen));
  if (definition.round_to != 0) {
    out.hidden.assign(out.counts.values.size(), false);
    return out;
  }
  std::vector<Mark> marks(out.counts.values.size(), Mark::kFree);
  std::optional<std::uint64_t> named_entry;
  for (std::size_t i = 0; i < before; ++i) {
    const auto* const earlier = std::get_if<DefinedTable>(&ledger_[i].definition);
    if (earlier == nullptr || !joined_[i]) continue;
    CASEVAULT_TRY(const Chosen records, choose(earlier->set));
    if (records != chosen) continue;
    CASEVAULT_TRY(const std::optional<Judged>* const known, made_again(i, *earlier, records));
    if (!known->has_value()) continue;
    const bool share = earlier->rows == definition.rows || earlier->rows == definition.columns ||
                       (earlier->columns.field != 0 &&
                        (earlier->columns == definition.rows || earlier->columns == definition.columns));
    if (earlier->round_to != 0) {
      if (!share) continue;
      return Error{ErrorCode::kRefused, "refused: " + named(ledger_[i].entry) +
                                            " published counts of the same records rounded; use the same rule"};
    }
    CASEVAULT_CHECK(mark(*earlier, **known, definition, chosen, out, marks));
    named_entry = ledger_[i].entry;
  }
  join_twins(definition, out.counts, marks);
  auto hidden = suppress(out.counts, definition.min_cell, marks);
  if (!hidden && hidden.error().code == ErrorCode::kRefused && named_entry) {
    return Error{ErrorCode::kRefused,
                 "refused: " + named(*named_entry) + " shows of the same records what this table would have to hide"};
  }
  if (!hidden) return std::move(hidden).error();
  out.hidden = *std::move(hidden);
  return out;
}

Result<const std::optional<Judged>*> Judge::made_again(std::size_t i, const DefinedTable& definition,
                                                       const Chosen& chosen) {
  const auto [known, fresh] = judged_.try_emplace(i);
  if (fresh) {
    auto judged = publish(definition, chosen, i);
    if (!judged && judged.error().code == ErrorCode::kCancelled) return std::move(judged).error();
    if (judged) known->second = *std::move(judged);
  }
  return &known->second;
}

Result<void> Judge::compare(std::uint64_t min_cell, const Chosen& chosen, const DefinedTable* table,
                            const Judged* judged) {
  for (std::size_t step = 0; step < different_.size(); ++step) {
    CASEVAULT_CHECK(advance(progress_, "differences", step, different_.size()));
    const std::size_t i = different_[step];
    const Definition& definition = ledger_[i].definition;
    if (!joined_[i]) continue;
    CASEVAULT_TRY(const Chosen records, choose(*set_of(definition)));
    if (records == chosen) continue;
    const Chosen only_new = without(chosen, records);
    const Chosen only_old = without(records, chosen);
    const std::size_t more = number_of(only_new);
    const std::size_t less = number_of(only_old);
    // Of sets that overlap otherwise no difference can be taken.
    if (more != 0 && less != 0) continue;
    const auto* const old = std::get_if<DefinedTable>(&definition);
    const std::uint64_t theirs = old != nullptr ? old->min_cell : std::get<DefinedRows>(definition).k;
    const std::uint64_t least = std::max(min_cell, theirs);
    const auto refuse = [&](std::string_view what) {
      return Error{ErrorCode::kRefused, "refused: together with " + named(ledger_[i].entry) +
                                            ", which differs by its filter alone, " + std::string(what) +
                                            " fewer than " + std::to_string(least) + " records could be worked out"};
    };
    if (more + less < least) return refuse("");
    if (table == nullptr || judged == nullptr || old == nullptr || old->round_to != 0 || table->round_to != 0) continue;
    // The difference of two tables is a table that readers have as well.
    const Chosen& between = more != 0 ? only_new : only_old;
    DefinedTable both = *table;
    const bool rows = old->rows == table->rows || (old->columns.field != 0 && old->columns == table->rows);
    const bool columns = table->columns.field != 0 && (old->columns == table->columns || old->rows == table->columns);
    both.set.era = std::max(old->set.era, table->set.era);
    if (!rows) both.rows = {};
    if (!columns) both.columns = {};
    CASEVAULT_TRY(const Judged difference, count_table(both, between));
    CASEVAULT_TRY(const std::optional<Judged>* const of_old, made_again(i, *old, records));
    // What a table says of each number of the difference: of all that it is made of there, where places are coarser in
    // the other; what it has no line for is 0.
    struct Said {
      std::vector<bool> hidden;
      std::vector<std::uint64_t> values;
    };
    const auto says = [&](const DefinedTable& of, const Judged& from, const Chosen& own) -> Result<Said> {
      // For each line of the difference, totals last, the lines of the table.
      const auto lines = [&](const DefinedAxis& axis, const std::vector<std::string>& labels) -> Result<Parts> {
        const bool is_row = both.rows.field != 0 && axis == both.rows;
        const bool is_column = both.columns.field != 0 && axis == both.columns;
        if (!is_row && !is_column) return Parts();
        CASEVAULT_TRY(Parts out, parts(axis, of.set.era, labels, own, both.set.era,
                                       is_row ? difference.row_labels : difference.column_labels));
        out.push_back({labels.size()});
        return out;
      };
      CASEVAULT_TRY(const Parts rows_of, lines(of.rows, from.row_labels));
      CASEVAULT_TRY(const Parts columns_of, lines(of.columns, from.column_labels));
      const std::vector<std::size_t> all_rows{from.row_labels.size()};
      const std::vector<std::size_t> all_columns{from.column_labels.size()};
      const bool turned =
          (of.rows.field != 0 && of.rows == both.columns) || (of.columns.field != 0 && of.columns == both.rows);
      Said out{std::vector<bool>(difference.counts.values.size(), false),
               std::vector<std::uint64_t>(difference.counts.values.size(), 0)};
      for (std::size_t r = 0; r <= difference.counts.rows; ++r) {
        for (std::size_t c = 0; c <= difference.counts.columns; ++c) {
          const std::size_t at = difference.counts.at(r, c);
          for (const std::size_t row : rows_of.empty() ? all_rows : rows_of[turned ? c : r]) {
            for (const std::size_t column : columns_of.empty() ? all_columns : columns_of[turned ? r : c]) {
              const std::size_t place = from.counts.at(row, column);
              out.hidden[at] = out.hidden[at] || from.hidden[place];
              out.values[at] += from.counts.values[place];
            }
          }
        }
      }
      return out;
    };
    CASEVAULT_TRY(Said larger, says(*table, *judged, chosen));
    Said smaller{std::vector<bool>(larger.hidden.size(), false), {}};
    if (of_old->has_value()) {
      CASEVAULT_TRY(smaller, says(*old, **of_old, records));
    }
    if (more == 0) std::swap(larger, smaller);
    std::vector<bool> hidden(larger.hidden.size(), false);
    for (std::size_t at = 0; at < hidden.size(); ++at) {
      // A number is known where both tables show it.
      hidden[at] = larger.hidden[at] || smaller.hidden[at];
      // Where the larger table shows a number and the smaller hides its part, both parts are at most that number: it
      // must leave a small one room enough to be another.
      if (larger.hidden[at] || !smaller.hidden[at]) continue;
      const std::uint64_t rest = difference.counts.values[at];
      const std::uint64_t part = smaller.values[at];
      const auto few = [&](std::uint64_t count) { return count != 0 && count < least; };
      if ((few(rest) || few(part)) && rest + part < 2 * least - 1) return refuse("a cell of");
    }
    if (given_away(difference.counts, least, hidden)) return refuse("a cell of");
  }
  return {};
}

Judge::Numbers Judge::numbers_of(const CodedColumn& rows, const CodedColumn& columns, const Chosen& chosen,
                                 std::uint64_t least) const {
  const std::size_t width = columns.categories.size() + 1;
  Numbers out;
  out.least = least;
  out.sums.resize((rows.categories.size() + 1) * width);
  std::size_t nth = 0;
  const auto of = [&](const CodedColumn& line) {
    const std::size_t begin = nth == 0 ? 0 : line.ends[nth - 1];
    return std::span(line.codes).subspan(begin, line.ends[nth] - begin);
  };
  for (std::size_t record = 0; record < chosen.size(); ++record) {
    if (!chosen[record]) continue;
    for (const std::uint32_t row : of(rows)) {
      for (const std::uint32_t column : of(columns)) {
        for (const std::size_t at : {row * width + column, row * width + width - 1,
                                     rows.categories.size() * width + column, out.sums.size() - 1})
          out.sums[at].push_back(static_cast<std::uint32_t>(record));
      }
    }
    ++nth;
  }
  out.shown.assign(out.sums.size(), false);
  for (const Sum& sum : out.sums) {
    std::size_t different = 0;  // records come in order
    for (std::size_t i = 0; i < sum.size(); ++i) different += i == 0 || sum[i] != sum[i - 1] ? 1U : 0U;
    out.records.push_back(different);
  }
  return out;
}

Result<Judge::Numbers> Judge::numbers_of(const DefinedTable& definition, const Judged& judged,
                                         const Chosen& chosen) const {
  Numbers out = numbers_of(line(definition.rows, definition.set.era, chosen),
                           line(definition.columns, definition.set.era, chosen), chosen, definition.min_cell);
  if (judged.hidden.size() != out.sums.size()) return Error{ErrorCode::kInternal, "a table was counted in two ways"};
  for (std::size_t at = 0; at < out.sums.size(); ++at) out.shown[at] = !judged.hidden[at];
  return out;
}

Result<Judge::Numbers> Judge::numbers_of(const DefinedRows& definition, const Chosen& chosen) const {
  // Rows that agree in all columns, and within them those that agree in what may be known of them: what a reader
  // counts.
  std::map<std::string, std::pair<Sum, std::map<std::string, Sum>>> groups;
  std::vector<std::string> open(data_.size());
  std::vector<std::string> whole(data_.size());
  for (const DefinedColumn& column : definition.columns) {
    const Field* const field = type_.find(column.field);
    if (field == nullptr) return Error{ErrorCode::kRefused, "a column of it is no field of the schema"};
    CASEVAULT_TRY(const Generaliser coarser,
                  Generaliser::make({field->name, column.coarseness, column.bands, column.age_on, column.sensitive},
                                    field->type));
    const Field* const edition = edition_of(type_, *field);
    const DataColumn& source = data_.column(field->id);
    for (std::size_t i = 0; i < data_.size(); ++i) {
      if (!chosen[i]) continue;
      std::string text;
      for (const std::uint32_t code : source.of(i)) {
        if (!text.empty()) text += ';';
        text += source.values[code];
      }
      text = edition == nullptr ? coarser.apply(text)
                                : place_in(definition.set.era, text,
                                           data_.column(edition->id).values[data_.column(edition->id).of(i)[0]]);
      text += '\n';
      whole[i] += text;
      if (!column.sensitive) open[i] += text;
    }
  }
  for (std::size_t i = 0; i < data_.size(); ++i) {
    if (!chosen[i]) continue;
    auto& [all, parts] = groups[open[i]];
    all.push_back(static_cast<std::uint32_t>(i));
    parts[whole[i]].push_back(static_cast<std::uint32_t>(i));
  }
  Numbers out;
  out.least = definition.k;
  const auto add = [&](const Sum& sum, bool shown) {
    out.sums.push_back(sum);
    out.shown.push_back(shown);
    out.records.push_back(sum.size());
  };
  Sum kept;
  Sum dropped;
  for (const auto& [key, group] : groups) {
    const bool stays = group.first.size() >= definition.k;
    add(group.first, stays);
    Sum& side = stays ? kept : dropped;
    side.insert(side.end(), group.first.begin(), group.first.end());
    // What is kept of a group shows how its sensitive values are spread: the rule admits that.
    if (stays && group.second.size() > 1) {
      for (const auto& [unused, part] : group.second) add(part, true);
    }
  }
  add(kept, true);
  add(dropped, false);
  // Which values stay among stars is not a sum: every row is taken to be told.
  if (definition.star) out.shown.assign(out.shown.size(), true);
  return out;
}

std::vector<Judge::Lines> Judge::lines_of(const DefinedRows& definition) const {
  std::vector<Lines> out;
  for (const DefinedColumn& column : definition.columns) {
    const Field* const field = type_.find(column.field);
    if (field == nullptr) continue;
    const bool coarse = column.coarseness == Coarseness::kMonth || column.coarseness == Coarseness::kYear;
    const bool coded =
        field->type == FieldType::kCode || field->type == FieldType::kMultiCode || field->type == FieldType::kBoolean;
    if (field->type == FieldType::kDate ? coarse : coded) out.push_back({{column.field, column.coarseness}, {}});
  }
  return out;
}

Result<void> Judge::hold_together(const DefinedSet& set, const Chosen& chosen, const Numbers& fresh,
                                  std::span<const Lines> lines, std::uint64_t round_to) {
  struct Before {
    std::uint64_t entry;
    Chosen chosen;
    Numbers numbers;
  };
  std::vector<Before> all;
  std::vector<Lines> looked_at(lines.begin(), lines.end());
  const auto look = [&](const Lines& each) {
    if (std::ranges::find(looked_at, each) == looked_at.end()) looked_at.push_back(each);
  };
  const auto with = [&](std::uint64_t entry, std::string what) {
    return Error{ErrorCode::kRefused, "refused: together with " + named(entry) + ", " + std::move(what)};
  };
  for (std::size_t step = 0; step < different_.size(); ++step) {
    CASEVAULT_CHECK(advance(progress_, "sums", step, different_.size()));
    const std::size_t i = different_[step];
    const Definition& definition = ledger_[i].definition;
    if (!joined_[i]) continue;
    CASEVAULT_TRY(Chosen records, choose(*set_of(definition)));
    bool meet = false;
    for (std::size_t r = 0; r < records.size() && !meet; ++r) meet = records[r] && chosen[r];
    const auto* const table = std::get_if<DefinedTable>(&definition);
    // Where two rules say something of one record, each narrows what the other leaves open.
    const std::uint64_t was_rounded_to = table == nullptr ? 0 : table->round_to;
    if (meet && round_to != was_rounded_to) {
      return with(ledger_[i].entry,
                  "which has records in common, counts that are not rounded to the same would show more than either");
    }
    if (round_to != 0 || was_rounded_to != 0) continue;
    if (table != nullptr) {
      CASEVAULT_TRY(const std::optional<Judged>* const known, made_again(i, *table, records));
      Judged judged;
      if (known->has_value()) {
        judged = **known;
      } else {  // it could not be made of the records as they are: then it is taken to show everything
        CASEVAULT_TRY(judged, count_table(*table, records));
        judged.hidden.assign(judged.counts.values.size(), false);
      }
      CASEVAULT_TRY(Numbers numbers, numbers_of(*table, judged, records));
      look({table->rows, table->columns});
      all.push_back({ledger_[i].entry, std::move(records), std::move(numbers)});
    } else {
      const auto& rows = std::get<DefinedRows>(definition);
      if (rows.star && meet)
        return with(ledger_[i].entry, "which starred values of records in common, it cannot be judged");
      auto numbers = numbers_of(rows, records);
      if (!numbers) return with(ledger_[i].entry, "it cannot be judged: " + numbers.error().message);
      for (const Lines& each : lines_of(rows)) look(each);
      all.push_back({ledger_[i].entry, std::move(records), *std::move(numbers)});
    }
  }
  const std::size_t steps = different_.size();
  std::size_t next_step = 0;
  const auto looked = [&](std::size_t done, std::size_t total) -> Result<void> {
    for (; next_step < steps && next_step * total <= done * steps; ++next_step)
      CASEVAULT_CHECK(advance(progress_, "sets", next_step, steps));
    return {};
  };
  if (all.empty()) return looked(0, 0);

  std::size_t shown = static_cast<std::size_t>(std::ranges::count(fresh.shown, true));
  for (const Before& each : all) shown += static_cast<std::size_t>(std::ranges::count(each.numbers.shown, true));
  JointSystem sums(data_.size(), shown, random_);
  const auto know = [&](const Numbers& numbers) {
    for (std::size_t at = 0; at < numbers.sums.size(); ++at) {
      if (numbers.shown[at] && !numbers.sums[at].empty() && !sums.know(numbers.sums[at])) return false;
    }
    return true;
  };
  const Error full{
      ErrorCode::kRefused,
      "refused: so much was published of these records that this cannot be held against all of it; publish "
      "coarser tables, or of other records"};
  for (const Before& each : all) {
    if (!know(each.numbers)) return full;
  }
  sums.mark();
  if (!know(fresh)) return full;

  std::uint64_t least = fresh.least;
  for (const Before& each : all) least = std::max(least, each.numbers.least);
  const auto secret = [&](const Sum& sum, std::size_t records) {
    return records != 0 && records < least && sums.newly(sum);
  };
  // Hidden numbers, of the new one and of all before.
  const auto hidden = [&](const Numbers& numbers) {
    for (std::size_t at = 0; at < numbers.sums.size(); ++at) {
      if (!numbers.shown[at] && numbers.records[at] < numbers.least && secret(numbers.sums[at], numbers.records[at]))
        return true;
    }
    return false;
  };
  const std::string told = "a number of fewer than " + std::to_string(least) +
                           " records could be worked out; publish fewer lines, or coarser ones";
  if (hidden(fresh)) return with(all.back().entry, told);
  for (const Before& each : all) {
    if (hidden(each.numbers)) return with(each.entry, told);
  }
  // What lies between sets: records that are in the same of them, as a whole and along each line.
  std::vector<const Chosen*> sets{&chosen};
  std::vector<std::uint64_t> entry_of{0};
  for (const Before& each : all) {
    if (std::ranges::none_of(sets, [&](const Chosen* other) { return *other == each.chosen; })) {
      sets.push_back(&each.chosen);
      entry_of.push_back(each.entry);
    }
  }
  const auto between = [&](const Chosen& records) -> Result<bool> {
    const std::size_t number = number_of(records);
    if (number == 0) return false;
    Sum whole;
    for (std::size_t r = 0; r < records.size(); ++r) {
      if (records[r]) whole.push_back(static_cast<std::uint32_t>(r));
    }
    if (secret(whole, number)) return true;
    for (const auto& [rows, columns] : looked_at) {
      const Numbers parts = numbers_of(line(rows, set.era, records), line(columns, set.era, records), records, least);
      for (std::size_t at = 0; at < parts.sums.size(); ++at) {
        if (secret(parts.sums[at], parts.records[at])) return true;
      }
    }
    return false;
  };
  std::map<std::vector<bool>, Sum> classes;
  for (std::size_t r = 0; r < data_.size() && sets.size() > 2; ++r) {
    std::vector<bool> in;
    in.reserve(sets.size());
    for (const Chosen* const each : sets) in.push_back((*each)[r]);
    if (std::ranges::find(in, true) != in.end()) classes[std::move(in)].push_back(static_cast<std::uint32_t>(r));
  }
  const std::size_t total = sets.size() - 1 + classes.size();
  for (std::size_t i = 1; i < sets.size(); ++i) {
    CASEVAULT_CHECK(looked(i - 1, total));
    for (const auto& [a, b] : {std::pair(sets[0], sets[i]), std::pair(sets[i], sets[0])}) {
      CASEVAULT_TRY(const bool small, between(without(*a, *b)));
      if (small) return with(entry_of[i], told);
    }
    CASEVAULT_TRY(const bool small, between(without(*sets[0], without(*sets[0], *sets[i]))));
    if (small) return with(entry_of[i], told);
  }
  std::size_t done = sets.size() - 1;
  for (const auto& [in, numbers] : classes) {
    CASEVAULT_CHECK(looked(done++, total));
    Chosen records(data_.size(), false);
    for (const std::uint32_t r : numbers) records[r] = true;
    CASEVAULT_TRY(const bool small, between(records));
    if (small) return with(all.back().entry, told);
  }
  return looked(total, total);
}

Result<Judged> Judge::table(const DefinedTable& definition) {
  CASEVAULT_TRY(const Chosen chosen, choose(definition.set));
  CASEVAULT_CHECK(join(definition.set, chosen));
  CASEVAULT_CHECK(advance(progress_, "earlier tables", 0, different_.size()));
  CASEVAULT_TRY(Judged out, publish(definition, chosen, ledger_.size()));
  CASEVAULT_CHECK(compare(definition.min_cell, chosen, &definition, &out));
  CASEVAULT_TRY(const Numbers numbers, numbers_of(definition, out, chosen));
  const Lines own(definition.rows, definition.columns);
  CASEVAULT_CHECK(hold_together(definition.set, chosen, numbers, std::span(&own, 1), definition.round_to));
  return out;
}

Result<void> Judge::rows(const DefinedRows& definition) {
  CASEVAULT_TRY(const Chosen chosen, choose(definition.set));
  CASEVAULT_CHECK(join(definition.set, chosen));
  CASEVAULT_CHECK(advance(progress_, "earlier tables", 0, different_.size()));
  CASEVAULT_CHECK(compare(definition.k, chosen, nullptr, nullptr));
  CASEVAULT_TRY(const Numbers numbers, numbers_of(definition, chosen));
  return hold_together(definition.set, chosen, numbers, lines_of(definition), 0);
}

}  // namespace casevault::analytics
