// SPDX-License-Identifier: Apache-2.0
#include "vault/index.hpp"

#include <algorithm>
#include <set>

#include "base/cursor.hpp"
#include "crypto/hash.hpp"
#include "model/normalise.hpp"
#include "model/value.hpp"
#include "vault/unit_of_work.hpp"

namespace casevault::vault {
namespace {

/// How many postings a change adds, at least and in steps of: an exact number would tell which field changed.
constexpr std::size_t kStep = 4;

std::size_t in_steps(std::size_t count) { return (count + kStep - 1) / kStep * kStep; }

/// The most that a record of any type usually has: types must not be told apart.
std::size_t usual_of(const Schema& schema, std::uint16_t compartment) {
  std::size_t most = 0;
  for (const RecordType& type : schema.types()) {
    std::size_t sum = 0;
    for (const Field& field : type.fields) {
      if (field.compartment == compartment) sum += model::usual_words(field.index);
    }
    most = std::max(most, sum);
  }
  return most;
}

std::optional<std::uint16_t> index_of(const Schema& schema, std::uint16_t id) {
  const auto& all = schema.compartments();
  const auto found = std::ranges::find(all, id, &Compartment::id);
  if (found == all.end()) return std::nullopt;
  return static_cast<std::uint16_t>(found - all.begin());
}

}  // namespace

std::vector<model::IndexedField> indexed_fields(const Schema& schema, std::uint16_t compartment) {
  std::vector<model::IndexedField> out;
  for (const RecordType& type : schema.types()) {
    for (const Field& field : type.fields) {
      if (field.compartment == compartment && field.index != IndexKind::kNone) out.push_back({type.id, field.id});
    }
  }
  std::ranges::sort(out);
  return out;
}

std::array<std::uint8_t, 8> index_rules(const Schema& schema, std::uint16_t compartment) {
  Bytes message;
  base::Writer out(message);
  out.u16(model::kIndexLayout).u16(static_cast<std::uint16_t>(model::kNormaliserVersion));
  for (const model::IndexedField& field : indexed_fields(schema, compartment)) {
    const IndexKind kind = schema.find_type(field.type)->find(field.field)->index;
    out.u16(field.type).u16(field.field).u8(static_cast<std::uint8_t>(kind));
  }
  const crypto::Hash hash = crypto::blake2b256(message);
  std::array<std::uint8_t, 8> rules{};
  std::copy_n(hash.begin(), rules.size(), rules.begin());
  return rules;
}

bool has_index(const Schema& schema) {
  return std::ranges::any_of(schema.types(), [](const RecordType& type) {
    return std::ranges::any_of(type.fields, [](const Field& field) { return field.index != IndexKind::kNone; });
  });
}

void words_of_fields(std::uint16_t compartment, std::span<const EncodedField> fields, SecretBytes& text,
                     std::vector<FieldWord>& out) {
  out.clear();
  std::vector<model::IndexWord> words;
  for (const EncodedField& field : fields) {
    if (field.field->compartment != compartment || field.field->index == IndexKind::kNone) continue;
    const std::size_t most = model::max_text_size(field.value.size());
    if (text.size() < most) text = SecretBytes(std::max<std::size_t>(most, 512));
    const auto end = model::decode_value(*field.field, field.value, text.mutable_view(), 0);
    if (!end) continue;
    model::words_of_value(field.field->index, as_text(text.view().first(*end)), words);
    for (model::IndexWord& word : words) out.push_back({field.field->id, std::move(word)});
  }
}

bool identifies(const RecordType& type, const FieldWord& word) {
  const IndexKind kind = type.find(word.field)->index;
  return word.word.word_class != model::WordClass::kRaw && (kind == IndexKind::kPhone || kind == IndexKind::kId);
}

Result<model::IndexWriter::Keys> index_keys(Core& core, store::ReadTxn& txn, const DbState& db,
                                            const Authority& authority, const IndexGeneration& generation) {
  const keys::EpochName epoch{generation.compartment, generation.epoch};
  CASEVAULT_TRY(const auto compartment_key, core.epoch_key(txn, db, authority, epoch));
  const std::optional<std::uint16_t> compartment = index_of(authority.schema(), generation.compartment);
  if (!compartment) {
    return Error{ErrorCode::kUnsupported, "data.mdb: an index of a compartment that the schema does not know"};
  }
  const keys::KeyTree tree(core.tag(), core.random());
  CASEVAULT_TRY(const SecretBytes key,
                tree.get_slot(txn, *db.root_key, keys::TreeKind::kIndexGenerations, generation.slot));
  return std::make_shared<const model::IndexKeys>(
      model::IndexContext{core.tag(), generation.compartment, generation.epoch, generation.slot},
      crypto::key_of(*compartment_key), crypto::key_of(key), indexed_fields(authority.schema(), *compartment));
}

Result<IndexGeneration*> begin_generation(UnitOfWork& work, std::uint16_t compartment) {
  Core& core = work.core();
  const Schema& schema = work.authority().schema();
  const std::uint16_t id = schema.compartments()[compartment].id;
  const keys::EpochName current = work.authority().state.current(id);
  IndexState& state = *work.db().index;
  const keys::KeyTree tree(core.tag(), core.random());
  CASEVAULT_CHECK(tree.put_slot(work.txn(), *work.db().root_key, keys::TreeKind::kIndexGenerations, state.next_slot,
                                crypto::random_key(core.random())));
  state.generations.push_back({id, current.epoch, state.next_slot++, index_rules(schema, compartment), 0, {}});
  return &state.generations.back();
}

Result<Indexer> Indexer::make(UnitOfWork& work, std::span<const std::uint16_t> compartments) {
  Indexer out;
  const Authority& authority = work.authority();
  const Schema& schema = authority.schema();
  if (!work.db().index) return out;
  for (const std::uint16_t compartment : compartments) {
    if (indexed_fields(schema, compartment).empty()) continue;
    const std::uint16_t id = schema.compartments()[compartment].id;
    if (!work.core().may_open(authority, authority.state.current(id))) continue;
    const auto mine = [&](const IndexGeneration& generation) { return generation.compartment == id; };
    if (std::ranges::none_of(work.db().index->generations, mine)) CASEVAULT_CHECK(begin_generation(work, compartment));
    for (const IndexGeneration& generation : work.db().index->generations) {
      if (mine(generation)) CASEVAULT_CHECK(out.join(work, compartment, generation));
    }
  }
  return out;
}

Result<Indexer> Indexer::make(UnitOfWork& work) {
  std::vector<std::uint16_t> all(work.authority().schema().compartments().size());
  for (std::size_t i = 0; i < all.size(); ++i) all[i] = static_cast<std::uint16_t>(i);
  return make(work, all);
}

Result<Indexer> Indexer::make(UnitOfWork& work, const IndexGeneration& generation) {
  Indexer out;
  const auto compartment = index_of(work.authority().schema(), generation.compartment);
  if (!compartment) return Error{ErrorCode::kUnsupported, "an index of a compartment that the schema does not know"};
  IndexGeneration whole = generation;
  whole.built.reset();  // the builder writes what lies ahead of it
  CASEVAULT_CHECK(out.join(work, *compartment, whole));
  return out;
}

Result<void> Indexer::join(UnitOfWork& work, std::uint16_t compartment, const IndexGeneration& generation) {
  const Schema& schema = work.authority().schema();
  // An index that was made by other rules is not searched any more, and waits to be built anew.
  if (generation.rules != index_rules(schema, compartment)) return {};
  CASEVAULT_TRY(auto keys, index_keys(work.core(), work.txn(), work.db(), work.authority(), generation));
  targets_.push_back({compartment, std::move(keys), generation.built, usual_of(schema, compartment)});
  return {};
}

bool Indexer::covers(std::uint16_t compartment) const noexcept {
  return std::ranges::find(targets_, compartment, &Target::compartment) != targets_.end();
}

std::vector<std::string> Indexer::not_searched(UnitOfWork& work, const RecordType& type) const {
  std::vector<std::string> out;
  const Authority& authority = work.authority();
  const auto& compartments = authority.schema().compartments();
  std::set<std::uint16_t> seen;
  for (const Field& field : type.fields) {
    const bool tells =
        field.index == IndexKind::kName || field.index == IndexKind::kPhone || field.index == IndexKind::kId;
    if (!tells || !seen.insert(field.compartment).second) continue;
    const Compartment& compartment = compartments[field.compartment];
    const auto searched = [&](const Target& each) { return each.compartment == field.compartment && !each.built; };
    if (!work.core().may_open(authority, authority.state.current(compartment.id)) ||
        std::ranges::any_of(targets_, searched))
      continue;
    out.push_back("not compared by " + compartment.name +
                  " with records that were there before: its index is not whole, or was made by other rules; build it "
                  "with: key reencrypt --index");
  }
  return out;
}

Result<void> Indexer::fill(UnitOfWork& work, const Target& target, std::uint64_t row, std::size_t count) {
  if (count == 0) return {};
  model::WordKey key;
  target.keys->filler(row, key);
  for (std::size_t i = 0; i < count; ++i) {
    CASEVAULT_CHECK(
        work.index().add(work.txn(), target.keys, key, model::PostingKind::kFiller, static_cast<std::uint32_t>(row)));
  }
  return {};
}

Result<std::vector<std::uint32_t>> Indexer::rows_with(UnitOfWork& work, const RecordType& type, const FieldWord& word,
                                                      std::size_t most, const StagedRange* own) const {
  std::vector<std::uint32_t> rows;
  const std::uint16_t compartment = type.find(word.field)->compartment;
  const auto target = std::ranges::find_if(
      targets_, [&](const Target& each) { return each.compartment == compartment && !each.built; });
  if (target == targets_.end()) return rows;
  model::WordKey key;
  target->keys->word({type.id, word.field}, word.word, key);
  CASEVAULT_CHECK(model::each_posting(work.txn(), *target->keys, key, [&](const model::Posting& posting) {
    const bool mine = own != nullptr && posting.row >= own->first_row && posting.row < own->end_row;
    if (mine || !work.db().is_staged(posting.row)) rows.push_back(posting.row);
    return rows.size() < most;
  }));
  std::ranges::sort(rows);
  rows.erase(std::unique(rows.begin(), rows.end()), rows.end());
  return rows;
}

Result<void> Indexer::add(UnitOfWork& work, const RecordType& type, std::uint64_t row,
                          std::span<const EncodedField> fields) {
  if (row >= UINT32_MAX) return Error{ErrorCode::kUnsupported, "the vault holds as many rows as an index can name"};
  // A name alone says nothing of who somebody is.
  const bool dated =
      std::ranges::any_of(fields, [](const EncodedField& field) { return field.field->index == IndexKind::kDate; });
  for (const Target& target : targets_) {
    if (target.built && row >= *target.built) continue;
    words_of_fields(target.compartment, fields, text_, after_);
    for (const FieldWord& each : after_) {
      model::WordKey key;
      target.keys->word({type.id, each.field}, each.word, key);
      const bool telling = identifies(type, each) || (dated && each.word.word_class == model::WordClass::kFolded);
      CASEVAULT_CHECK(work.index().add(work.txn(), target.keys, key, model::PostingKind::kRecord,
                                       static_cast<std::uint32_t>(row), telling));
    }
    const std::size_t total =
        after_.size() <= target.usual ? target.usual : target.usual + in_steps(after_.size() - target.usual);
    CASEVAULT_CHECK(fill(work, target, row, total - after_.size()));
  }
  return {};
}

Result<void> Indexer::replace(UnitOfWork& work, const RecordType& type, std::uint64_t row,
                              std::span<const EncodedField> before, std::span<const EncodedField> after) {
  for (const Target& target : targets_) {
    if (target.built && row >= *target.built) continue;
    words_of_fields(target.compartment, before, text_, before_);
    words_of_fields(target.compartment, after, text_, after_);
    std::ranges::sort(before_);
    std::ranges::sort(after_);
    std::size_t removed = 0;
    std::size_t added = 0;
    for (const FieldWord& each : before_) {
      if (std::ranges::binary_search(after_, each)) continue;
      model::WordKey key;
      target.keys->word({type.id, each.field}, each.word, key);
      // A posting that is not there is doctor's to tell; the record is written all the same.
      CASEVAULT_TRY([[maybe_unused]] const bool found,
                    work.index().remove(work.txn(), *target.keys, key, static_cast<std::uint32_t>(row)));
      ++removed;
    }
    for (const FieldWord& each : after_) {
      if (std::ranges::binary_search(before_, each)) continue;
      model::WordKey key;
      target.keys->word({type.id, each.field}, each.word, key);
      CASEVAULT_CHECK(
          work.index().add(work.txn(), target.keys, key, model::PostingKind::kRecord, static_cast<std::uint32_t>(row)));
      ++added;
    }
    if (removed + added > 0) CASEVAULT_CHECK(fill(work, target, row, in_steps(std::max(added, kStep)) - added));
  }
  return {};
}

}  // namespace casevault::vault
