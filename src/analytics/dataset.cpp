// SPDX-License-Identifier: Apache-2.0
#include "analytics/dataset.hpp"

#include <algorithm>
#include <charconv>
#include <set>
#include <unordered_map>

#include "model/bundled.hpp"
#include "model/value.hpp"

namespace casevault::analytics {
namespace {

constexpr std::size_t kMaxText = std::size_t{1} << 16U;
constexpr std::string_view kPlaces = "vn_province_mergers.old_code";
constexpr std::string_view kOldest = "2024";
constexpr std::string_view kNewest = "2025";
constexpr std::size_t kShortList = 64;
constexpr std::size_t kProgressEvery = 1024;

bool is_place(const Field& field) { return field.list == kPlaces; }

/// Old codes of the administrative units and the new ones that they became.
struct Mergers {
  std::map<std::string, std::string, std::less<>> to_new;
  std::map<std::string, std::size_t, std::less<>> olds_of;  ///< how many old ones a new one has
  static const Mergers& get() {
    static const Mergers mergers = [] {
      Mergers out;
      for (const model::BundledFile& file : model::bundled_files()) {
        if (file.name != "vn_province_mergers.csv") continue;
        std::string_view rest = file.content.substr(std::min(file.content.find('\n'), file.content.size() - 1) + 1);
        while (!rest.empty()) {
          const std::string_view line = rest.substr(0, rest.find('\n'));
          rest.remove_prefix(std::min(rest.size(), line.size() + 1));
          std::array<std::string_view, 3> cells{};
          std::string_view left = line;
          for (std::string_view& cell : cells) {
            cell = left.substr(0, left.find(','));
            left.remove_prefix(std::min(left.size(), cell.size() + 1));
          }
          out.to_new.emplace(cells[0], cells[2]);
          ++out.olds_of[std::string(cells[2])];
        }
      }
      return out;
    }();
    return mergers;
  }
};

Result<std::int64_t> number(const Field& field, std::string_view text) {
  std::int64_t out = 0;
  const auto end = std::from_chars(text.data(), text.data() + text.size(), out);
  if (end.ptr == text.data() + text.size() && !text.empty()) return out;
  return Error{ErrorCode::kBadInput, "field " + field.name + " is a number: the filter's bound is none"};
}

bool is_date(std::string_view text) {
  return text.size() >= 4 && text.size() <= 10 && text.find_first_not_of("0123456789-") == std::string_view::npos;
}

/// Which values of a column a filter takes.
Result<std::vector<bool>> taken(const DataColumn& column, const Filter& filter) {
  const Field& field = *column.field;
  CASEVAULT_CHECK(check_filter(field, filter));
  std::vector<bool> out(column.values.size(), false);
  const auto take = [&](const auto& fits) {
    for (std::size_t i = 0; i < out.size(); ++i) out[i] = !column.values[i].empty() && fits(column.values[i]);
    return out;
  };
  if (filter.from.empty() && filter.to.empty()) {
    out.front() = true;
    return out;
  }
  if (field.type == FieldType::kDate) {
    return take([&](std::string_view value) {
      // A value that says less than a bound cannot be placed by it.
      return value.size() >= std::max(filter.from.size(), filter.to.size()) &&
             filter.from <= value.substr(0, filter.from.size()) && value.substr(0, filter.to.size()) <= filter.to;
    });
  }
  if (field.type == FieldType::kInteger) {
    CASEVAULT_TRY(const std::int64_t from, number(field, filter.from));
    CASEVAULT_TRY(const std::int64_t to, number(field, filter.to));
    return take([&](std::string_view value) {
      const auto own = number(field, value);
      return own && from <= *own && *own <= to;
    });
  }
  return take([&](std::string_view value) { return value == filter.from; });
}

}  // namespace

std::size_t number_of(const Chosen& chosen) { return static_cast<std::size_t>(std::ranges::count(chosen, true)); }

Result<void> check_filter(const Field& field, const Filter& filter) {
  const bool one = filter.from == filter.to;
  if (one && filter.from.empty()) return {};
  if (field.type == FieldType::kDate) {
    if (!is_date(filter.from) || !is_date(filter.to))
      return Error{ErrorCode::kBadInput, "field " + field.name + " is a date: the filter's bound is none"};
  } else if (field.type == FieldType::kInteger) {
    CASEVAULT_CHECK(number(field, filter.from));
    CASEVAULT_CHECK(number(field, filter.to));
  } else if (!one) {
    return Error{ErrorCode::kBadInput, "field " + field.name + " has no order: a range needs a date or a number"};
  }
  return {};
}

Result<void> advance(const ProgressCallback& progress, std::string_view stage, std::size_t done, std::size_t total) {
  if (!progress || progress({stage, done, total})) return {};
  return Error{ErrorCode::kCancelled, "stopped; nothing was published"};
}

Result<Dataset> Dataset::read(vault::Core& core, const vault::Snapshot& snapshot, const RecordType& type,
                              std::span<const Field* const> fields, const ProgressCallback& progress) {
  Dataset out;
  const vault::Authority& authority = *snapshot.authority;
  std::map<std::uint16_t, std::vector<DataColumn*>> by_compartment;  // persisted ids
  for (const Field* const field : fields) {
    if (field->type == FieldType::kText || field->type == FieldType::kBytes) {
      return Error{ErrorCode::kBadInput, "field " + field->name + " is " + std::string(name_of(field->type)) +
                                             ": only coded fields, dates, numbers and booleans can be counted"};
    }
    const auto [place, fresh] = out.columns_.try_emplace(field->id);
    if (!fresh) continue;
    place->second.field = field;
    place->second.values.push_back({});
    const Compartment& compartment = authority.schema().compartments()[field->compartment];
    by_compartment[compartment.id].push_back(&place->second);
    CASEVAULT_CHECK(core.epoch_key(*snapshot.txn, snapshot.db, authority, authority.state.current(compartment.id)));
  }
  std::set<std::string, std::less<>> units;
  std::map<keys::EpochName, std::shared_ptr<const SecretBytes>> epochs;
  model::DirectoryHashes hashes;
  model::HeadOpener head;
  model::CellOpener cell(&hashes);
  SecretBytes text(model::max_text_size(kMaxText));
  const auto compartment_of = [&](std::uint16_t id) {
    const auto& all = authority.schema().compartments();
    return std::ranges::find(all, id, &Compartment::id);
  };
  std::uint64_t seen = 0;
  const auto visit = [&](std::uint64_t row, const model::HeadOpener& opened) -> Result<bool> {
    if (seen++ % kProgressEvery == 0) CASEVAULT_CHECK(advance(progress, "records", out.rows_.size(), 0));
    if (opened.type != type.id) return true;
    out.rows_.push_back(row);
    if (!units.contains(opened.unit)) units.emplace(opened.unit);
    for (const auto& [id, columns] : by_compartment) {
      const auto place = std::ranges::find(opened.cells, id, &model::CellView::compartment);
      if (place != opened.cells.end()) {
        auto& key = epochs[{id, place->epoch}];
        if (!key) {
          CASEVAULT_TRY(key, core.epoch_key(*snapshot.txn, snapshot.db, authority, {id, place->epoch}));
        }
        auto begun = cell.begin(core.row_context(row), *compartment_of(id), *place, opened.bytes_of(*place),
                                crypto::key_of(*key), opened.record_key.first<32>());
        if (!begun) return std::move(begun).error();
      }
      for (DataColumn* const each : columns) {
        DataColumn& column = *each;
        std::string_view value;
        if (place != opened.cells.end()) {
          CASEVAULT_TRY(const std::optional<ByteView> encoded, cell.open(column.field->id));
          if (encoded && encoded->size() > kMaxText)
            return Error{ErrorCode::kBadInput, "record " + core.id_of(row).to_string() + ": field " +
                                                   column.field->name + " is too long to be counted"};
          if (encoded) {
            CASEVAULT_TRY(const std::size_t end, model::decode_value(*column.field, *encoded, text.mutable_view(), 0));
            value = text.text().substr(0, end);
          }
        }
        if (column.field->type != FieldType::kMultiCode) {
          column.codes.push_back(column.values.number_of(value));
          continue;
        }
        for (bool more = true; more;) {
          const std::size_t end = value.find(';');
          column.codes.push_back(column.values.number_of(value.substr(0, end)));
          more = end != std::string_view::npos;
          if (more) value.remove_prefix(end + 1);
        }
        column.ends.push_back(static_cast<std::uint32_t>(column.codes.size()));
      }
    }
    return true;
  };
  CASEVAULT_CHECK(core.scan_heads(*snapshot.txn, snapshot.db, 0, head, visit));
  out.units_.assign(units.begin(), units.end());
  CASEVAULT_CHECK(advance(progress, "records", out.size(), out.size()));
  return out;
}

Result<Chosen> Dataset::choose(std::span<const Filter> where) const {
  Chosen out(size(), true);
  for (const Filter& filter : where) {
    const auto found =
        std::ranges::find_if(columns_, [&](const auto& each) { return each.second.field->name == filter.field; });
    if (found == columns_.end()) return Error{ErrorCode::kInternal, "field " + filter.field + " was not read"};
    const DataColumn& column = found->second;
    CASEVAULT_TRY(const std::vector<bool> values, taken(column, filter));
    for (std::size_t i = 0; i < out.size(); ++i) {
      out[i] = out[i] && std::ranges::any_of(column.of(i), [&](std::uint32_t code) { return values[code]; });
    }
  }
  return out;
}

const Field* edition_of(const RecordType& type, const Field& field) {
  constexpr std::string_view kCode = "_code";
  if (!is_place(field) || !field.name.ends_with(kCode)) return nullptr;
  return type.find(field.name.substr(0, field.name.size() - kCode.size()) + "_edition");
}

Result<Axis> Axis::parse(const RecordType& type, std::string_view text) {
  const std::size_t colon = text.find(':');
  const std::string_view name = text.substr(0, colon);
  const std::string_view level = colon == std::string_view::npos ? std::string_view() : text.substr(colon + 1);
  const auto bad = [&](std::string why) { return Error{ErrorCode::kBadInput, std::move(why)}; };
  Axis axis;
  axis.field = type.find(name);
  if (axis.field == nullptr) return bad("type " + type.name + " has no field " + std::string(name));
  const FieldType kind = axis.field->type;
  if (kind == FieldType::kDate) {
    if (!level.empty() && level != "year" && level != "month")
      return bad("field " + axis.field->name + " is counted by year or month");
    axis.coarseness = level == "month" ? Coarseness::kMonth : Coarseness::kYear;
    return axis;
  }
  if (!level.empty()) return bad("field " + axis.field->name + " is no date: it has no years and months");
  if (kind != FieldType::kCode && kind != FieldType::kMultiCode && kind != FieldType::kBoolean) {
    return bad("field " + axis.field->name + " is " + std::string(name_of(kind)) +
               ": tables are made of codes, booleans and dates");
  }
  return axis;
}

std::string place_in(Era era, std::string_view code, std::string_view edition) {
  const Mergers& mergers = Mergers::get();
  const bool newest = edition == kNewest;
  const auto marked = [&](std::string_view of) {
    return of.empty() ? std::string(code) : std::string(code) + " (" + std::string(of) + ")";
  };
  if (code.empty() || era == Era::kRecorded) return code.empty() ? std::string() : marked(edition);
  if (era == Era::k2025) {
    const auto found = mergers.to_new.find(code);
    return newest || found == mergers.to_new.end() ? std::string(code) : found->second;
  }
  // What became of several units cannot be told apart again.
  const auto olds = mergers.olds_of.find(code);
  return newest && olds != mergers.olds_of.end() && olds->second > 1 ? marked(edition) : std::string(code);
}

namespace {

/// Every year (of four characters) or month (of seven) from one to another.
std::vector<std::string> span_of(std::string_view first, std::string_view last) {
  const auto number = [&](std::string_view text, std::size_t begin) {
    int out = 0;
    std::from_chars(text.data() + begin, text.data() + text.size(), out);
    return out;
  };
  const auto padded = [](int value, std::size_t size) {
    std::string out = std::to_string(value);
    return std::string(size - std::min(size, out.size()), '0') + out;
  };
  const bool months = first.size() > 4;
  const auto place = [&](std::string_view text) {
    return months ? number(text.substr(0, 4), 0) * 12 + number(text, 5) - 1 : number(text, 0);
  };
  std::vector<std::string> out;
  for (int i = place(first); i <= place(last); ++i)
    out.push_back(months ? padded(i / 12, 4) + "-" + padded(i % 12 + 1, 2) : padded(i, 4));
  return out;
}

}  // namespace

AxisLines::AxisLines(const Dataset& data, const RecordType& type, const Schema& schema, const Axis& axis, Era era)
    : coarseness_(axis.coarseness) {
  using Value = std::pair<std::uint32_t, std::uint32_t>;  // and the edition it is recorded in
  using Label = std::pair<std::size_t, std::string>;      // in the order of the list as far as it has one
  const Label absent{SIZE_MAX, kNotRecorded};
  const Label rest{SIZE_MAX - 1, kOther};
  const Field& field = *axis.field;
  const DataColumn& column = data.column(field.id);
  const CodeList* const list = schema.find_list(field.list);
  const bool place = is_place(field);
  const bool is_long = place || (list != nullptr && list->codes.size() > kShortList);
  const Field* const edition_field = edition_of(type, field);
  const DataColumn* const editions = edition_field == nullptr ? nullptr : &data.column(edition_field->id);
  const auto value_of = [&](std::size_t record, std::uint32_t code) {
    return Value(code, editions == nullptr ? 0U : editions->of(record)[0]);
  };
  const auto edition = [&](const Value& value) {
    return editions == nullptr ? std::string_view() : editions->values[value.second];
  };
  // What must be frequent for the value to be a line of its own.
  const auto unit_of = [&](const Value& value) {
    const std::string_view text = column.values[value.first];
    return place ? place_in(Era::k2025, text, edition(value)) : std::string(text);
  };
  std::map<Value, std::uint64_t> found;
  for (std::size_t i = 0; i < data.size(); ++i) {
    for (const std::uint32_t code : column.of(i)) ++found[value_of(i, code)];
  }
  std::set<std::string, std::less<>> frequent;
  {
    std::uint64_t least = 0;
    for (const Purpose& purpose : schema.purposes()) least = std::max<std::uint64_t>(least, purpose.min_cell);
    std::map<std::string, std::uint64_t, std::less<>> units;
    for (const auto& [value, count] : found) units[unit_of(value)] += count;
    for (const auto& [unit, count] : units) {
      if (count >= least) frequent.emplace(unit);
    }
  }
  std::set<Label> always;
  if (!field.required) always.insert(absent);
  if (is_long) always.insert(rest);
  if (place) {
    for (const auto& [old, unit] : Mergers::get().to_new) {
      if (!frequent.contains(unit)) continue;
      always.emplace(0, place_in(era, old, editions == nullptr ? "" : kOldest));
      always.emplace(0, place_in(era, unit, editions == nullptr ? "" : kNewest));
    }
  } else if (field.type == FieldType::kBoolean) {
    always.insert({{0, "false"}, {0, "true"}});
  } else if (list != nullptr) {
    for (std::size_t i = 0; i < list->codes.size(); ++i) {
      if (!is_long || frequent.contains(list->codes[i])) always.emplace(i, list->codes[i]);
    }
  }
  const auto label_of = [&](const Value& value) {
    const std::string_view text = column.values[value.first];
    if (text.empty()) return absent;
    if (coarseness_ != Coarseness::kExact) return Label(0, text.substr(0, date_size()));
    if (is_long && !frequent.contains(unit_of(value))) return rest;
    if (place) return Label(0, place_in(era, text, edition(value)));
    if (list == nullptr) return Label(0, text);
    const auto code = std::ranges::find(list->codes, text);
    return code == list->codes.end() ? rest : Label(static_cast<std::size_t>(code - list->codes.begin()), text);
  };
  std::set<Label> all = always;
  for (const auto& [value, unused] : found) all.insert(label_of(value));
  if (coarseness_ != Coarseness::kExact) {
    std::vector<std::string> dates;
    for (const Label& label : all) {
      if (label.first == 0 && label.second.size() == date_size()) dates.push_back(label.second);
    }
    if (!dates.empty()) {
      for (std::string& each : span_of(dates.front(), dates.back())) all.emplace(0, std::move(each));
    }
  }
  std::map<Label, std::uint32_t> number;
  for (const Label& label : all) {
    number.emplace(label, static_cast<std::uint32_t>(labels_.size()));
    labels_.push_back(label.second);
    always_.push_back(always.contains(label));
    dates_.push_back(coarseness_ != Coarseness::kExact && label.first == 0 && label.second.size() == date_size());
  }
  std::map<Value, std::uint32_t> line_of;
  for (const auto& [value, unused] : found) line_of.emplace(value, number.at(label_of(value)));
  std::vector<std::uint32_t> own;
  for (std::size_t i = 0; i < data.size(); ++i) {
    own.clear();
    for (const std::uint32_t code : column.of(i)) own.push_back(line_of.at(value_of(i, code)));
    std::ranges::sort(own);
    own.erase(std::unique(own.begin(), own.end()), own.end());
    for (const std::uint32_t each : own) lines_.push_back(each);
    ends_.push_back(static_cast<std::uint32_t>(lines_.size()));
  }
}

CodedColumn AxisLines::of(const Chosen& chosen) const {
  const std::span<const std::uint32_t> lines = lines_.view();
  const std::span<const std::uint32_t> ends = ends_.view();
  const auto of_record = [&](std::size_t record) {
    const std::size_t begin = record == 0 ? 0 : ends[record - 1];
    return lines.subspan(begin, ends[record] - begin);
  };
  std::vector<bool> there = always_;
  for (std::size_t i = 0; i < chosen.size(); ++i) {
    if (!chosen[i]) continue;
    for (const std::uint32_t line : of_record(i)) there[line] = true;
  }
  // Dates from the first to the last, whatever lies between.
  std::size_t first = labels_.size();
  std::size_t last = 0;
  for (std::size_t i = 0; i < labels_.size(); ++i) {
    if (!there[i] || !dates_[i]) continue;
    first = std::min(first, i);
    last = i;
  }
  for (std::size_t i = first; i < last; ++i) there[i] = there[i] || dates_[i];
  CodedColumn out;
  std::vector<std::uint32_t> number(labels_.size(), 0);
  for (std::size_t i = 0; i < labels_.size(); ++i) {
    if (!there[i]) continue;
    number[i] = static_cast<std::uint32_t>(out.categories.size());
    out.categories.push_back(labels_[i]);
  }
  for (std::size_t i = 0; i < chosen.size(); ++i) {
    if (!chosen[i]) continue;
    for (const std::uint32_t line : of_record(i)) out.codes.push_back(number[line]);
    out.ends.push_back(out.codes.size());
  }
  return out;
}

}  // namespace casevault::analytics
