// SPDX-License-Identifier: Apache-2.0
#include "maintenance/index_check.hpp"

#include <algorithm>
#include <cstring>

#include "vault/records.hpp"
#include "vault/row_key.hpp"

namespace casevault::maintenance {
namespace {

using vault::Core;
using vault::Snapshot;

constexpr std::size_t kMostHeld = std::size_t{1} << 21U;  ///< postings in memory at a time

struct Generation {
  vault::IndexGeneration state;
  std::uint16_t compartment = 0;  ///< index into the schema
  std::string name;
  model::IndexWriter::Keys keys;  ///< none: not held, or of other rules
  std::uint64_t rows = 0;
};

/// A posting as it stands in the table.
struct Held {
  std::uint32_t row = 0;
  std::uint32_t position = 0;
  std::uint64_t print = 0;
  model::IndexRowKey at{};
  bool filler = false;
  bool explained = false;
};

class IndexCheck {
 public:
  IndexCheck(Core& core, const Snapshot& snapshot, const TellIndex& tell)
      : core_(core), snapshot_(snapshot), tell_(tell) {}

  Result<void> run(bool deep) {
    CASEVAULT_CHECK(find_generations());
    CASEVAULT_CHECK(every_row());
    if (!deep) return {};
    for (const Generation& generation : generations_) {
      if (!generation.keys || generation.rows == 0) continue;
      const std::uint64_t next_row = std::max<std::uint64_t>(snapshot_.db.next_row, 1);
      const std::uint64_t windows = generation.rows / kMostHeld + 1;
      const std::uint64_t step = (next_row + windows - 1) / windows;
      for (std::uint64_t from = 0; from < next_row; from += step) {
        CASEVAULT_CHECK(words(generation, from, from + step));
      }
    }
    return {};
  }

 private:
  const Schema& schema() const { return snapshot_.authority->schema(); }

  Result<void> find_generations() {
    if (!snapshot_.db.index) return {};
    for (const vault::IndexGeneration& state : snapshot_.db.index->generations) {
      Generation& generation = generations_.emplace_back();
      generation.state = state;
      const auto& all = schema().compartments();
      const auto compartment = std::ranges::find(all, state.compartment, &Compartment::id);
      generation.name = "index " + std::to_string(state.slot);
      if (compartment == all.end()) {
        tell_(Severity::kError, generation.name, "is of a compartment that the schema does not know");
        continue;
      }
      generation.compartment = static_cast<std::uint16_t>(compartment - all.begin());
      generation.name = "index of " + compartment->name;
      const auto epoch = snapshot_.authority->state.epochs.find({state.compartment, state.epoch});
      if (epoch == snapshot_.authority->state.epochs.end() || epoch->second.destroyed) {
        tell_(Severity::kError, generation.name, "hangs on an epoch that was never opened, or was destroyed");
        continue;
      }
      if (state.rules != vault::index_rules(schema(), generation.compartment)) {
        tell_(Severity::kWarning, generation.name,
              "was made by other rules than those of the schema and of this casevault, and is not searched: key "
              "reencrypt --index builds it anew");
        continue;
      }
      auto keys = vault::index_keys(core_, *snapshot_.txn, snapshot_.db, *snapshot_.authority, state);
      if (keys) {
        generation.keys = *std::move(keys);
      } else if (keys.error().code == ErrorCode::kNoGrant) {
        tell_(Severity::kInfo, generation.name,
              "was only counted: this principal holds no grant for it; run doctor as principals that do");
      } else if (keys.error().code == ErrorCode::kIntegrity) {
        tell_(Severity::kError, generation.name, keys.error().message);
      } else {
        return std::move(keys).error();
      }
    }
    return {};
  }

  Generation* generation_of(ByteView key) {
    const std::uint32_t slot = model::slot_of_index_key(key);
    const auto found = std::ranges::find(generations_, slot, [](const Generation& each) { return each.state.slot; });
    left_over_ = snapshot_.db.index && slot < snapshot_.db.index->next_slot;
    return found == generations_.end() ? nullptr : &*found;
  }

  Result<void> every_row() {
    std::uint64_t foreign = 0;
    std::uint64_t left_over = 0;
    CASEVAULT_CHECK(snapshot_.txn->scan(store::Table::kIndex, {}, [&](const store::Item& item) {
      Generation* const generation = item.key.size() == model::kIndexKeySize ? generation_of(item.key) : nullptr;
      if (generation == nullptr) {
        ++(item.key.size() == model::kIndexKeySize && left_over_ ? left_over : foreign);
        return true;
      }
      ++generation->rows;
      if (generation->keys && !generation->keys->open(item.key, item.value)) {
        tell_(Severity::kError, generation->name, "holds a posting that does not open in its place: altered or moved");
      }
      return true;
    }));
    if (foreign > 0) {
      tell_(Severity::kError, "data.mdb",
            "table index holds " + std::to_string(foreign) + " rows that belong to no index of this vault");
    }
    if (left_over > 0) {
      tell_(Severity::kInfo, "data.mdb",
            "table index holds " + std::to_string(left_over) +
                " rows of indexes whose key was erased: the next key reencrypt --index clears them");
    }
    for (const Generation& generation : generations_) {
      if (generation.rows == generation.state.postings) continue;
      tell_(Severity::kError, generation.name,
            "holds " + std::to_string(generation.rows) + " postings, and the state row counts " +
                std::to_string(generation.state.postings) + ": some were dropped or put in");
    }
    return {};
  }

  /// Postings about rows from `from` to `end`, against what these rows hold.
  Result<void> words(const Generation& generation, std::uint64_t from, std::uint64_t end) {
    std::vector<Held> held;
    CASEVAULT_CHECK(snapshot_.txn->scan(
        store::Table::kIndex, model::first_index_key(generation.state.slot), [&](const store::Item& item) {
          if (generation_of(item.key) != &generation) return false;
          const auto posting = generation.keys->open(item.key, item.value);
          if (!posting || posting->kind == model::PostingKind::kTombstone) return true;
          const bool last = end >= snapshot_.db.next_row;  // what lies beyond is looked at with it
          if (posting->row < from || (posting->row >= end && !last)) return true;
          Held& one = held.emplace_back();
          one.row = posting->row;
          one.position = posting->position;
          one.print = posting->print;
          std::ranges::copy(item.key, one.at.begin());
          one.filler = posting->kind == model::PostingKind::kFiller;
          return true;
        }));
    std::ranges::sort(held, {}, &Held::row);
    std::size_t next = 0;
    std::uint64_t dropped = 0;
    const auto skip_to = [&](std::uint64_t row) {
      for (; next < held.size() && held[next].row < row; ++next) ++dropped;
    };
    const auto first_row = vault::row_key(from);
    Bytes seek(first_row.begin(), first_row.end());
    for (bool more = true; more; more = store::advance(seek)) {
      CASEVAULT_TRY(const auto item, snapshot_.txn->seek(store::Table::kRows, seek));
      if (!item) break;
      seek.assign(item->key.begin(), item->key.end());
      if (seek.size() != vault::kRowKeySize) continue;
      const std::uint64_t row = vault::row_of_key(seek);
      if (row >= end) break;
      skip_to(row);
      const std::size_t first = next;
      while (next < held.size() && held[next].row == row) ++next;
      const bool due = !generation.state.built || row < *generation.state.built;
      if (!due && next == first) continue;
      if (snapshot_.db.is_staged(row)) continue;  // its postings may be still to come
      // A row that does not open is told with the records.
      const auto opened = core_.open_row_number(*snapshot_.txn, snapshot_.db, row, item->value);
      if (opened) CASEVAULT_CHECK(record(generation, row, *opened, std::span(held).subspan(first, next - first)));
    }
    skip_to(UINT64_MAX);
    if (dropped > 0) {
      tell_(Severity::kInfo, generation.name,
            std::to_string(dropped) +
                " postings lead to rows that are not there, of an import that never ended or of records that are "
                "missing; a search skips them, and key reencrypt --index leaves them out");
    }
    return {};
  }

  Result<void> record(const Generation& generation, std::uint64_t row, const model::OpenedRow& opened,
                      std::span<Held> postings) {
    const std::string where = "record " + core_.id_of(row).to_string();
    const RecordType* const type = schema().find_type(opened.head.type);
    if (type == nullptr) return {};  // told elsewhere
    std::vector<SecretBytes> copies;
    std::vector<vault::FieldWord> words;
    for (std::size_t i = 0; i < opened.head.cells.size(); ++i) {
      if (opened.head.cells[i].compartment != generation.state.compartment) continue;
      auto fields =
          vault::open_cell(core_, *snapshot_.txn, snapshot_.db, *snapshot_.authority, row, opened, i, *type, copies);
      if (!fields) return {};  // told with the cell
      vault::words_of_fields(generation.compartment, *fields, text_, words);
    }
    std::ranges::sort(postings, {}, &Held::print);
    for (const vault::FieldWord& each : words) {
      model::WordKey key;
      generation.keys->word({type->id, each.field}, each.word, key);
      if (explain(generation, key, false, postings)) continue;
      tell_(Severity::kError, where,
            "is not found by its " + type->find(each.field)->name + ": a posting of the search index was dropped");
    }
    model::WordKey filler;
    generation.keys->filler(row, filler);
    while (explain(generation, filler, true, postings)) {
    }
    const auto unexplained = std::ranges::count(postings, false, &Held::explained);
    if (unexplained > 0) {
      tell_(Severity::kError, where,
            "is found by " + std::to_string(unexplained) +
                " words that it does not hold: postings of the search index were put back");
    }
    return {};
  }

  static bool explain(const Generation& generation, const model::WordKey& key, bool filler, std::span<Held> postings) {
    model::Labels labels(generation.state.slot, key);
    for (Held& posting : std::ranges::equal_range(postings, key.print, {}, &Held::print)) {
      if (posting.explained || posting.filler != filler) continue;
      if (labels.at(posting.position) != posting.at) continue;
      posting.explained = true;
      return true;
    }
    return false;
  }

  Core& core_;
  const Snapshot& snapshot_;
  const TellIndex& tell_;
  std::vector<Generation> generations_;
  bool left_over_ = false;
  SecretBytes text_;
};

}  // namespace

Result<void> check_index(Core& core, const Snapshot& snapshot, bool deep, const TellIndex& tell) {
  return IndexCheck(core, snapshot, tell).run(deep);
}

}  // namespace casevault::maintenance
