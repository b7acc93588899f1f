// SPDX-License-Identifier: Apache-2.0
#include "vault/lookalike.hpp"

#include <algorithm>
#include <set>

#include "vault/audit_view.hpp"
#include "vault/row_key.hpp"

namespace casevault::vault {
namespace {

constexpr std::size_t kMostNamed = 8;
constexpr std::size_t kMostLookedAt = 32;  ///< records that share a word
constexpr std::int64_t kSearchHoldsMs = 24LL * 60 * 60 * 1000;

/// Words of a record, by the compartments that this unit of work indexes.
Result<std::vector<FieldWord>> words_of_row(UnitOfWork& work, const Indexer& indexer, const RecordType& type,
                                            std::uint64_t row) {
  std::vector<FieldWord> out;
  Core& core = work.core();
  CASEVAULT_TRY(const auto value, work.txn().get(store::Table::kRows, row_key(row)));
  if (!value) return out;  // of an import that never ended
  // Past the cache of leaf keys: this transaction may have made the leaf, and may still roll back.
  const Bytes bytes(value->begin(), value->end());
  CASEVAULT_TRY(const auto leaf, core.make_leaf_key(work.txn(), work.db(), row / keys::kFanout));
  CASEVAULT_TRY(const model::OpenedRow opened, model::open_row(core.row_context(row), bytes, *leaf));
  if (opened.head.type != type.id) return out;
  const auto& compartments = work.authority().schema().compartments();
  SecretBytes text;
  std::vector<FieldWord> words;
  for (std::size_t i = 0; i < opened.head.cells.size(); ++i) {
    const auto found = std::ranges::find(compartments, opened.head.cells[i].compartment, &Compartment::id);
    const auto index = static_cast<std::uint16_t>(found - compartments.begin());
    if (!indexer.covers(index)) continue;
    std::vector<SecretBytes> copies;
    CASEVAULT_TRY(const std::vector<EncodedField> fields,
                  open_cell(core, work.txn(), work.db(), work.authority(), row, opened, i, type, copies));
    words_of_fields(index, fields, text, words);
    std::ranges::move(words, std::back_inserter(out));
  }
  return out;
}

/// A word that says who somebody is: names only together with a year of birth.
bool identifies(const RecordType& type, const FieldWord& word) {
  const IndexKind kind = type.find(word.field)->index;
  return word.word.word_class != model::WordClass::kRaw && (kind == IndexKind::kPhone || kind == IndexKind::kId);
}
bool is_name(const FieldWord& word) { return word.word.word_class == model::WordClass::kFolded; }
bool is_year(const RecordType& type, const FieldWord& word) {
  return type.find(word.field)->index == IndexKind::kDate && word.word.text.size() == 4;
}

std::string because(const RecordType& type, const std::vector<FieldWord>& mine, const std::vector<FieldWord>& theirs) {
  const auto shared = [&](const auto& counts) {
    return std::ranges::find_if(mine, [&](const FieldWord& a) {
      return counts(a) && std::ranges::any_of(theirs, [&](const FieldWord& b) {
               return a.field == b.field && a.word.word_class == b.word.word_class && a.word.text == b.word.text;
             });
    });
  };
  const auto number = shared([&](const FieldWord& word) { return identifies(type, word); });
  if (number != mine.end()) return "the same " + type.find(number->field)->name;
  const auto name = shared(is_name);
  const auto year = shared([&](const FieldWord& word) { return is_year(type, word); });
  if (name == mine.end() || year == mine.end()) return {};
  const bool exactly = std::ranges::find(theirs, *name) != theirs.end();
  return std::string(exactly ? "the same " : "nearly the same ") + type.find(name->field)->name + " and year of " +
         type.find(year->field)->name;
}

}  // namespace

Result<std::vector<std::string>> find_lookalikes(UnitOfWork& work, const Indexer& indexer, const RecordType& type,
                                                 std::uint64_t row) {
  std::vector<std::string> out;
  CASEVAULT_CHECK(work.index().flush(work.txn()));
  CASEVAULT_TRY(const std::vector<FieldWord> mine, words_of_row(work, indexer, type, row));
  std::set<std::uint32_t> rows;
  for (const FieldWord& word : mine) {
    if (is_name(word) || identifies(type, word))
      CASEVAULT_CHECK(indexer.rows_with(work, type, word, kMostLookedAt, rows));
  }
  rows.erase(static_cast<std::uint32_t>(row));
  for (const std::uint32_t other : rows) {
    if (out.size() == kMostNamed) break;
    CASEVAULT_TRY(const std::vector<FieldWord> theirs, words_of_row(work, indexer, type, other));
    const std::string why = because(type, mine, theirs);
    if (!why.empty()) {
      out.push_back("record " + work.core().id_of(row).to_string() + " may be the same person as record " +
                    work.core().id_of(other).to_string() + ": " + why);
    }
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
             entry.actor == authority.me().who.name && entry.time_ms + kSearchHoldsMs >= now;
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
