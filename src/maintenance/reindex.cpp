// SPDX-License-Identifier: Apache-2.0
#include "maintenance/reindex.hpp"

#include <algorithm>
#include <thread>

#include "vault/records.hpp"
#include "vault/vault_key.hpp"

namespace casevault::maintenance {
namespace {

using vault::Core;
using vault::IndexGeneration;
using vault::IndexState;
using vault::Snapshot;
using vault::UnitOfWork;
using Clock = std::chrono::steady_clock;

constexpr std::size_t kMostNamed = 100;
constexpr std::uint64_t kLastRows = 64;  ///< that the transaction which publishes may still take in

const Compartment& compartment_of(const vault::Authority& authority, std::uint16_t id) {
  return *std::ranges::find(authority.schema().compartments(), id, &Compartment::id);
}

std::uint16_t position_of(const vault::Authority& authority, std::uint16_t id) {
  return static_cast<std::uint16_t>(&compartment_of(authority, id) - authority.schema().compartments().data());
}

/// Made by the schema's rules and under the current epoch.
bool is_current(const vault::Authority& authority, const IndexGeneration& generation) {
  return generation.epoch == authority.state.current(generation.compartment).epoch &&
         generation.rules == vault::index_rules(authority.schema(), position_of(authority, generation.compartment));
}

IndexGeneration* unfinished(IndexState& state, std::uint16_t compartment) {
  const auto found = std::ranges::find_if(state.generations, [&](const IndexGeneration& each) {
    return each.compartment == compartment && each.built.has_value();
  });
  return found == state.generations.end() ? nullptr : &*found;
}

/// One compartment's new index.
class Builder {
 public:
  Builder(Core& core, std::uint16_t compartment, const ReencryptOptions& options, Reindexing& report)
      : core_(core), compartment_(compartment), options_(options), report_(report), began_(Clock::now()) {}

  Result<void> run() {
    CASEVAULT_CHECK(begin());
    for (;;) {
      CASEVAULT_TRY(const bool near, batch());
      CASEVAULT_TRY(const bool go_on, progress());
      if (!go_on) return {};
      if (near) {
        CASEVAULT_TRY(const bool published, publish());
        if (published) return {};
      }
      slow_down();
    }
  }

 private:
  /// An unfinished index of a kill or stop before this is continued if it is still what is wanted.
  Result<void> begin() {
    bool stale = false;
    {
      CASEVAULT_TRY(const Snapshot snapshot, core_.snapshot());
      vault::DbState db = snapshot.db;
      const IndexGeneration* const there = db.index ? unfinished(*db.index, compartment_) : nullptr;
      if (there != nullptr && is_current(*snapshot.authority, *there)) return {};
      stale = there != nullptr;
    }
    if (stale) CASEVAULT_CHECK(erase_stale());
    CASEVAULT_TRY(UnitOfWork work, UnitOfWork::begin(core_));
    const vault::Authority& authority = work.authority();
    if (!work.db().index) {
      // A vault from before there were indexes: what others hold has to be built by them, never begun by a writer.
      work.db().index.emplace();
      for (std::uint16_t i = 0; i < authority.schema().compartments().size(); ++i) {
        if (vault::indexed_fields(authority.schema(), i).empty()) continue;
        CASEVAULT_TRY(IndexGeneration* const made, vault::begin_generation(work, i));
        made->built = 0;
      }
    } else if (unfinished(*work.db().index, compartment_) == nullptr) {
      CASEVAULT_TRY(IndexGeneration* const made, vault::begin_generation(work, position_of(authority, compartment_)));
      made->built = 0;
    }
    return work.commit_unseen();
  }

  /// True when what is left fits into the transaction that publishes.
  Result<bool> batch() {
    CASEVAULT_TRY(UnitOfWork work, UnitOfWork::begin(core_));
    IndexGeneration* const generation = unfinished(*work.db().index, compartment_);
    if (generation == nullptr) return true;                      // somebody else was faster
    const Clock::time_point end = Clock::now() + kHoldLock / 2;  // the other half puts what was gathered
    const std::uint64_t most = options_.rate == 0 ? UINT64_MAX : std::max<std::uint64_t>(options_.rate / 20, 1);
    std::uint64_t taken = 0;
    CASEVAULT_CHECK(take(work, *generation, [&] { return ++taken < most && Clock::now() < end; }));
    const bool near = *generation->built + kLastRows >= work.db().next_row;
    CASEVAULT_CHECK(work.commit_unseen());
    return near;
  }

  /// Puts rows into the index from where it ends, while `more`.
  Result<void> take(UnitOfWork& work, IndexGeneration& generation, const std::function<bool()>& more) {
    CASEVAULT_TRY(vault::Indexer indexer, vault::Indexer::make(work, generation));
    bool to_the_end = true;
    const auto next = [&](std::uint64_t row) {
      generation.built = row + 1;
      ++report_.records;
      return to_the_end = more();
    };
    CASEVAULT_CHECK(core_.scan_rows(
        work.txn(), work.db(), *generation.built,
        [&](std::uint64_t row, const model::OpenedRow& opened) -> Result<bool> {
          auto taken = record(work, indexer, row, opened);
          if (!taken && !vault::is_damage(taken.error())) return std::move(taken).error();
          if (!taken) name_failed(row, taken.error());
          return next(row);
        },
        true,
        [&](std::uint64_t row, const Error& error) -> Result<bool> {
          name_failed(row, error);
          return next(row);
        }));
    if (to_the_end) generation.built = work.db().next_row;
    return {};
  }

  void name_failed(std::uint64_t row, const Error& error) {
    if (report_.failed.size() == kMostNamed) return;
    const std::string who = "record " + core_.id_of(row).to_string() + ": ";
    report_.failed.push_back((error.message.starts_with(who) ? "" : who) + error.message);
  }

  Result<void> record(UnitOfWork& work, vault::Indexer& indexer, std::uint64_t row, const model::OpenedRow& opened) {
    const vault::Authority& authority = work.authority();
    const RecordType* const type = authority.schema().find_type(opened.head.type);
    if (type == nullptr) return Error{ErrorCode::kUnsupported, "has a type the schema does not know"};
    std::vector<SecretBytes> copies;
    std::vector<vault::EncodedField> fields;
    for (std::size_t i = 0; i < opened.head.cells.size(); ++i) {
      if (opened.head.cells[i].compartment != compartment_) continue;
      CASEVAULT_TRY(fields, vault::open_cell(core_, work.txn(), work.db(), authority, row, opened, i, *type, copies));
    }
    CASEVAULT_CHECK(indexer.add(work, *type, row, fields));
    return {};
  }

  /// The new index takes the place of the old one, whose key goes for good. False when more has come meanwhile.
  Result<bool> publish() {
    CASEVAULT_TRY(vault::RootChange root, vault::RootChange::begin(core_));
    CASEVAULT_TRY(UnitOfWork work, begin_with_root());
    IndexState& state = *work.db().index;
    IndexGeneration* const fresh = unfinished(state, compartment_);
    if (fresh == nullptr) return true;
    if (*fresh->built + kLastRows < work.db().next_row) return false;
    CASEVAULT_CHECK(take(work, *fresh, [] { return true; }));
    fresh->built.reset();
    const std::uint32_t slot = fresh->slot;
    const auto old = std::ranges::find_if(state.generations, [&](const IndexGeneration& each) {
      return each.compartment == compartment_ && each.slot != slot;
    });
    const bool swapped = old != state.generations.end();
    if (swapped) {
      const std::uint32_t old_slot = old->slot;
      state.generations.erase(old);
      CASEVAULT_CHECK(root.erase(work, keys::TreeKind::kIndexGenerations, old_slot));
    }
    const std::string name = compartment_of(work.authority(), compartment_).name;
    CASEVAULT_CHECK(work.commit_unseen());
    report_.rebuilt.push_back(name);
    return swapped ? settled(root) : Result<bool>(true);
  }

  /// Erases the unfinished index.
  Result<void> erase_stale() {
    CASEVAULT_TRY(vault::RootChange root, vault::RootChange::begin(core_));
    CASEVAULT_TRY(UnitOfWork work, begin_with_root());
    IndexGeneration* const stale = unfinished(*work.db().index, compartment_);
    if (stale == nullptr || is_current(work.authority(), *stale)) return {};
    const std::uint32_t slot = stale->slot;
    std::erase_if(work.db().index->generations, [&](const IndexGeneration& each) { return each.slot == slot; });
    CASEVAULT_CHECK(root.erase(work, keys::TreeKind::kIndexGenerations, slot));
    CASEVAULT_CHECK(work.commit_unseen());
    CASEVAULT_CHECK(settled(root));
    return {};
  }

  /// A unit of work for who holds the lock of erasure.root.
  Result<UnitOfWork> begin_with_root() {
    CASEVAULT_TRY(UnitOfWork work, UnitOfWork::begin_as_is(core_));
    if (work.behind()) return Error{ErrorCode::kBusy, "the vault key is just changing; try again"};
    return work;
  }

  Result<bool> settled(vault::RootChange& root) {
    if (auto done = root.settle(); !done) {
      return Error{ErrorCode::kErasePending, "the old search index is gone, but the old root is not overwritten yet (" +
                                                 done.error().message + "); the next session that may write does it"};
    }
    CASEVAULT_CHECK(core_.snapshot());  // drops the keys of before
    return true;
  }

  Result<bool> progress() {
    if (!options_.progress) return true;
    CASEVAULT_TRY(const Snapshot snapshot, core_.snapshot());
    const bool go_on = options_.progress({"index", report_.records, std::max(report_.records, snapshot.db.next_row)});
    report_.stopped = !go_on;
    return go_on;
  }

  void slow_down() const {
    if (options_.rate == 0) return;
    const auto due =
        std::chrono::duration<double>(static_cast<double>(report_.records) / static_cast<double>(options_.rate));
    std::this_thread::sleep_until(began_ + std::chrono::duration_cast<Clock::duration>(due));
  }

  Core& core_;
  const std::uint16_t compartment_;
  const ReencryptOptions& options_;
  Reindexing& report_;
  const Clock::time_point began_;
};

/// Rows of indexes whose key is gone, some milliseconds at a time.
Result<void> sweep(Core& core) {
  for (Bytes from;;) {
    CASEVAULT_TRY(UnitOfWork work, UnitOfWork::begin(core));
    if (!work.db().index) return {};
    const Clock::time_point end = Clock::now() + kHoldLock;
    bool found = false;
    bool more = true;
    while (Clock::now() < end) {
      CASEVAULT_TRY(const std::optional<store::Item> item, work.txn().seek(store::Table::kIndex, from));
      more = item.has_value();
      if (!more) break;
      from.assign(item->key.begin(), item->key.end());
      const std::uint32_t slot = model::slot_of_index_key(from);
      const auto known = std::ranges::find(work.db().index->generations, slot, &IndexGeneration::slot);
      if (known != work.db().index->generations.end()) {
        if (slot == UINT32_MAX) break;
        from = model::first_index_key(slot + 1);
        continue;
      }
      CASEVAULT_TRY(found, work.txn().erase(store::Table::kIndex, from));
    }
    if (found) CASEVAULT_CHECK(work.commit_unseen());
    if (!more) return {};
  }
}

}  // namespace

bool has_old_index(const Snapshot& snapshot, const std::vector<std::uint16_t>& compartments) {
  if (!snapshot.db.index) return false;
  return std::ranges::any_of(snapshot.db.index->generations, [&](const IndexGeneration& each) {
    return std::ranges::find(compartments, each.compartment) != compartments.end() &&
           (each.built || !is_current(*snapshot.authority, each));
  });
}

Result<Reindexing> rebuild_indexes(Core& core, const std::vector<std::uint16_t>& compartments, bool all,
                                   const ReencryptOptions& options) {
  Reindexing report;
  CASEVAULT_CHECK(sweep(core));  // what a kill left behind the last time
  for (const std::uint16_t compartment : compartments) {
    {
      CASEVAULT_TRY(const Snapshot snapshot, core.snapshot());
      const vault::Authority& authority = *snapshot.authority;
      if (vault::indexed_fields(authority.schema(), position_of(authority, compartment)).empty()) continue;
      const auto& index = snapshot.db.index;
      const auto mine = [&](const IndexGeneration& each) { return each.compartment == compartment; };
      // Where nobody has written there is nothing to build, and the first writer begins.
      if (index && std::ranges::none_of(index->generations, mine)) continue;
      if (!all && !has_old_index(snapshot, {compartment})) continue;
    }
    CASEVAULT_CHECK(Builder(core, compartment, options, report).run());
    if (report.stopped) return report;
  }
  CASEVAULT_CHECK(sweep(core));
  return report;
}

}  // namespace casevault::maintenance
