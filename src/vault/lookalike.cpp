// SPDX-License-Identifier: Apache-2.0
#include "vault/lookalike.hpp"

#include <algorithm>

#include "vault/audit_view.hpp"
#include "vault/row_key.hpp"

namespace casevault::vault {
namespace {

constexpr std::size_t kMostLookedAt = 32;  ///< records that are opened for one
constexpr std::size_t kMostShared = 16;    ///< records with one number; beyond, it is a hotline's or a shelter's
constexpr std::size_t kMostNamesakes = 1024;
constexpr std::size_t kMostOfYear = std::size_t{1} << 15U;
constexpr std::size_t kPostingsOfOne = 32;  ///< cost about what a record costs
constexpr std::int64_t kSearchHoldsMs = 24LL * 60 * 60 * 1000;
constexpr std::int64_t kClocksDifferMs = 60LL * 1000;

bool is_name(const FieldWord& word) { return word.word.word_class == model::WordClass::kFolded; }
bool is_year(const RecordType& type, const FieldWord& word) {
  return type.find(word.field)->index == IndexKind::kDate && word.word.text.size() == 4;
}

/// What two records have in common that may make them one person.
struct Shared {
  std::vector<const Field*> fields;
  std::string what;
};

/// `mine`: without numbers that many have.
std::optional<Shared> shared_by(const RecordType& type, const std::vector<FieldWord>& mine,
                                const std::vector<FieldWord>& theirs) {
  const auto shared = [&](const auto& counts) {
    return std::ranges::find_if(mine, [&](const FieldWord& a) {
      return counts(a) && std::ranges::any_of(theirs, [&](const FieldWord& b) {
               return a.field == b.field && a.word.word_class == b.word.word_class && a.word.text == b.word.text;
             });
    });
  };
  const auto number = shared([&](const FieldWord& word) { return identifies(type, word); });
  if (number != mine.end()) {
    const Field* const field = type.find(number->field);
    return Shared{{field}, "the same " + field->name};
  }
  const auto name = shared(is_name);
  const auto year = shared([&](const FieldWord& word) { return is_year(type, word); });
  if (name == mine.end() || year == mine.end()) return std::nullopt;
  const bool exactly = std::ranges::find(theirs, *name) != theirs.end();
  const Field* const name_field = type.find(name->field);
  const Field* const year_field = type.find(year->field);
  return Shared{
      {name_field, year_field},
      std::string(exactly ? "the same " : "nearly the same ") + name_field->name + " and year of " + year_field->name};
}

}  // namespace

Lookalikes::Lookalikes(UnitOfWork& work, const Indexer& indexer, const RecordType& type, const StagedRange* own)
    : work_(work), indexer_(indexer), type_(type), own_(own) {}

Result<Lookalikes::Looked> Lookalikes::look(std::uint64_t row) {
  Looked out;
  Core& core = work_.core();
  ++opened_;
  CASEVAULT_TRY(const auto value, work_.txn().get(store::Table::kRows, row_key(row)));
  if (!value) return out;  // of an import that never ended
  const Bytes bytes(value->begin(), value->end());
  // Past the vault's cache of leaf keys: this transaction may have made the leaf, and may still roll back.
  std::shared_ptr<const model::LeafKey>& leaf = leaves_[row / keys::kFanout];
  if (!leaf) {
    CASEVAULT_TRY(leaf, core.make_leaf_key(work_.txn(), work_.db(), row / keys::kFanout));
  }
  CASEVAULT_TRY(const model::OpenedRow opened, model::open_row(core.row_context(row), bytes, *leaf));
  if (opened.head.type != type_.id) return out;
  out.unit = opened.head.unit;
  out.version = opened.head.version;
  out.record_key = opened.head.record_key.clone();
  const auto& compartments = work_.authority().schema().compartments();
  std::vector<FieldWord> words;
  for (std::size_t i = 0; i < opened.head.cells.size(); ++i) {
    const auto found = std::ranges::find(compartments, opened.head.cells[i].compartment, &Compartment::id);
    const auto index = static_cast<std::uint16_t>(found - compartments.begin());
    if (!indexer_.covers(index)) continue;
    std::vector<SecretBytes> copies;
    CASEVAULT_TRY(const std::vector<EncodedField> fields,
                  open_cell(core, work_.txn(), work_.db(), work_.authority(), row, opened, i, type_, copies));
    words_of_fields(index, fields, text_, words);
    std::ranges::move(words, std::back_inserter(out.words));
  }
  return out;
}

Result<const std::vector<std::uint32_t>*> Lookalikes::of_year(const FieldWord& word) {
  const auto [known, fresh] = years_.try_emplace({word.field, word.word.text});
  if (fresh) {
    CASEVAULT_TRY(known->second, indexer_.rows_with(work_, type_, word, kMostOfYear, own_));
    opened_ += known->second.size() / kPostingsOfOne;
  }
  return &known->second;
}

Result<std::vector<std::uint32_t>> Lookalikes::candidates(const std::vector<FieldWord>& mine,
                                                          std::vector<FieldWord>& telling) {
  std::vector<std::uint32_t> out;
  const auto take = [&](const std::vector<std::uint32_t>& rows) {
    for (const std::uint32_t row : rows) {
      if (out.size() < kMostLookedAt && std::ranges::find(out, row) == out.end()) out.push_back(row);
    }
  };
  const auto add = [&](const FieldWord& word) {
    telling.push_back({word.field, {word.word.word_class, word.word.text, word.word.exact}});
  };
  for (const FieldWord& word : mine) {
    if (!identifies(type_, word)) continue;
    CASEVAULT_TRY(const auto rows, indexer_.rows_with(work_, type_, word, kMostShared + 1, own_));
    if (rows.size() > kMostShared) continue;
    add(word);
    take(rows);
  }
  std::vector<const FieldWord*> years;
  for (const FieldWord& word : mine) {
    if (is_year(type_, word)) years.push_back(&word);
  }
  if (years.empty()) return out;
  for (const FieldWord* const year : years) add(*year);
  for (const FieldWord& word : mine) {
    if (!is_name(word)) continue;
    add(word);
    CASEVAULT_TRY(auto rows, indexer_.rows_with(work_, type_, word, kMostNamesakes, own_));
    opened_ += rows.size() / kPostingsOfOne;
    if (rows.size() > kMostLookedAt) {  // a frequent name: only who was born in the year is opened
      std::vector<std::uint32_t> of_age;
      for (const FieldWord* const year : years) {
        CASEVAULT_TRY(const auto* const born, of_year(*year));
        std::ranges::set_intersection(rows, *born, std::back_inserter(of_age));
      }
      rows = std::move(of_age);
    }
    take(rows);
  }
  return out;
}

bool Lookalikes::may_know(std::span<const Field* const> fields, const std::string& unit) const {
  const Authority& authority = work_.authority();
  policy::Request question;
  question.actor = authority.actor();
  question.type = &type_;
  question.fields.assign(fields.begin(), fields.end());
  question.record_unit = unit;
  return std::ranges::any_of(authority.schema().purposes(), [&](const Purpose& purpose) {
    question.purpose = purpose.code;
    return policy::decide(authority.schema(), question).allowed;
  });
}

Result<std::vector<std::string>> Lookalikes::of(std::uint64_t row) {
  std::vector<std::string> out;
  CASEVAULT_TRY(const Looked mine, look(row));
  std::vector<FieldWord> telling;
  CASEVAULT_TRY(const std::vector<std::uint32_t> rows, candidates(mine.words, telling));
  const std::string who = "record " + work_.core().id_of(row).to_string();
  for (const std::uint32_t other : rows) {
    if (other == row) continue;
    if (out.size() == kMostNamed) break;
    auto theirs = look(other);
    // A damaged record, or one under a key that this principal has not got,
    // keeps nobody from writing another.
    if (!theirs && (is_damage(theirs.error()) || theirs.error().code == ErrorCode::kNoGrant)) continue;
    if (!theirs) return theirs.error();
    const std::optional<Shared> shared = shared_by(type_, telling, theirs->words);
    if (!shared) continue;
    std::string line;
    if (may_know(shared->fields, theirs->unit)) {
      line = who + " may be the same person as record " + work_.core().id_of(other).to_string() + ": " + shared->what;
      if (std::ranges::find(named_, other, &SubjectDraft::row) == named_.end())
        named_.push_back({other, theirs->version, std::move(theirs->record_key)});
    } else {
      line = who + ": a record with " + shared->what +
             " may be there already, which you may not be told of: ask who may search";
    }
    if (std::ranges::find(out, line) == out.end()) out.push_back(std::move(line));
  }
  return out;
}

Result<void> require_search(Core& core, const Authority& authority, const RecordType& type,
                            const std::optional<std::uint64_t>& searched) {
  if (!type.search_before_add) return {};
  bool fits = false;
  if (searched) {
    const std::int64_t now = core.environment().clock->now_ms();
    LogQuery query;
    query.from = *searched;
    CASEVAULT_CHECK(read_log(core, query, [&](const LogEntry& entry) {
      fits = entry.entry == *searched && entry.action == audit::Action::kFind && entry.outcome == audit::Outcome::kOk &&
             entry.actor == authority.me().who.name && entry.time_ms + kSearchHoldsMs >= now &&
             entry.time_ms <= now + kClocksDifferMs;
      return false;
    }));
  }
  if (fits) return {};
  return Error{ErrorCode::kRefused, "a new " + type.name +
                                        " is refused without a search: find whether the record is there already, and "
                                        "name the entry of that search, which must be your own and of the last day "
                                        "(find, then add --searched ENTRY)"};
}

}  // namespace casevault::vault
