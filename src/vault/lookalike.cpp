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

Lookalikes::Lookalikes(UnitOfWork& work, const Indexer& indexer, const RecordType& type, const StagedRange* own)
    : work_(work), indexer_(indexer), type_(type), own_(own) {}

Result<std::vector<FieldWord>> Lookalikes::words_of(std::uint64_t row) {
  std::vector<FieldWord> out;
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
    std::ranges::move(words, std::back_inserter(out));
  }
  return out;
}

Result<std::vector<std::string>> Lookalikes::of(std::uint64_t row) {
  std::vector<std::string> out;
  CASEVAULT_TRY(const std::vector<FieldWord> mine, words_of(row));
  std::set<std::uint32_t> rows;
  for (const FieldWord& word : mine) {
    if (is_name(word) || identifies(type_, word))
      CASEVAULT_CHECK(indexer_.rows_with(work_, type_, word, kMostLookedAt, own_, rows));
  }
  rows.erase(static_cast<std::uint32_t>(row));
  for (const std::uint32_t other : rows) {
    if (out.size() == kMostNamed) break;
    const auto theirs = words_of(other);
    // A damaged record, or one under a key that this principal has not got, keeps nobody from writing another.
    if (!theirs && (is_damage(theirs.error()) || theirs.error().code == ErrorCode::kNoGrant)) continue;
    if (!theirs) return theirs.error();
    const std::string why = because(type_, mine, *theirs);
    if (!why.empty()) {
      out.push_back("record " + work_.core().id_of(row).to_string() + " may be the same person as record " +
                    work_.core().id_of(other).to_string() + ": " + why);
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
