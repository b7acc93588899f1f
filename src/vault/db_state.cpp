// SPDX-License-Identifier: Apache-2.0
#include "vault/db_state.hpp"

#include "base/cursor.hpp"
#include "crypto/envelope.hpp"
#include "format/cbor.hpp"
#include "format/labels.hpp"

#include <algorithm>

namespace casevault::vault {
namespace {

const ByteView kStateKey = as_bytes("state");  // epoch 1; of later ones: followed by the epoch
constexpr std::uint64_t kIndexKey = 1;
constexpr std::size_t kMostGenerations = 256;
constexpr std::size_t kStep = 256;  // the row's size does not tell how many types or imports there are

Error damaged() {
  return {ErrorCode::kIntegrity,
          "data.mdb: the state row does not open under the vault key: altered, or of another vault"};
}

Bytes key_at(std::uint32_t vault_key_epoch) {
  Bytes key(kStateKey.begin(), kStateKey.end());
  if (vault_key_epoch != 1) base::Writer(key).u32(vault_key_epoch);
  return key;
}

/// Rows that say what the state is, by their epochs.
Result<std::vector<StateRow>> state_rows(store::ReadTxn& txn) {
  std::vector<StateRow> out;
  Bytes from(kStateKey.begin(), kStateKey.end());
  for (bool more = true; more; more = store::advance(from)) {
    CASEVAULT_TRY(const std::optional<store::Item> item, txn.seek(store::Table::kMeta, from));
    if (!item || item->key.size() < kStateKey.size() ||
        !std::ranges::equal(item->key.first(kStateKey.size()), kStateKey))
      break;
    base::Reader rest(item->key.subspan(kStateKey.size()));
    const std::uint32_t epoch = item->key.size() == kStateKey.size() ? 1 : rest.u32();
    from.assign(item->key.begin(), item->key.end());
    if (key_at(epoch) != from) return Error{ErrorCode::kUnsupported, "data.mdb: a state row of a later version"};
    out.push_back({epoch, Bytes(item->value.begin(), item->value.end())});
  }
  return out;
}

Error later() { return {ErrorCode::kUnsupported, "data.mdb: the state row holds what a later version wrote"}; }

IndexState read_index(format::CborReader& r) {
  IndexState index;
  if (r.array() != 2) r.fail();
  index.next_slot = r.narrow<std::uint32_t>();
  const std::size_t count = r.array();
  if (count > kMostGenerations) r.fail();
  for (std::size_t i = 0; i < count && r.ok(); ++i) {
    IndexGeneration& generation = index.generations.emplace_back();
    if (r.array() != 6) r.fail();
    generation.compartment = r.narrow<std::uint16_t>();
    generation.epoch = r.narrow<std::uint32_t>();
    generation.slot = r.narrow<std::uint32_t>();
    generation.rules = r.fixed<8>();
    generation.postings = r.uint();
    if (r.peek() == format::CborReader::Kind::kNull) {
      r.null();
    } else {
      generation.built = r.uint();
    }
    if (generation.slot >= index.next_slot) r.fail();
  }
  return index;
}

void write_index(format::CborWriter& w, const IndexState& index) {
  w.array(2).uint(index.next_slot).array(index.generations.size());
  for (const IndexGeneration& generation : index.generations) {
    w.array(6).uint(generation.compartment).uint(generation.epoch).uint(generation.slot).bytes(generation.rules);
    w.uint(generation.postings);
    if (generation.built) {
      w.uint(*generation.built);
    } else {
      w.null();
    }
  }
}

}  // namespace

const IndexGeneration* IndexState::whole(std::uint16_t compartment) const noexcept {
  const auto found = std::ranges::find_if(generations, [&](const IndexGeneration& generation) {
    return generation.compartment == compartment && !generation.built;
  });
  return found == generations.end() ? nullptr : &*found;
}

bool IndexState::has(std::uint32_t slot) const noexcept {
  return std::ranges::find(generations, slot, &IndexGeneration::slot) != generations.end();
}

bool DbState::is_staged(std::uint64_t row) const noexcept {
  return std::ranges::any_of(staged,
                             [&](const StagedRange& range) { return row >= range.first_row && row < range.end_row; });
}

Result<StateRow> read_state_row(store::ReadTxn& txn) {
  CASEVAULT_TRY(std::vector<StateRow> rows, state_rows(txn));
  if (rows.size() == 1) return std::move(rows.front());
  return Error{ErrorCode::kIntegrity,
               rows.empty() ? "data.mdb: the state row is missing" : "data.mdb: there are two state rows"};
}

Result<DbState> decode_state(const StateSeal& seal, const StateRow& row) {
  auto opened = crypto::open_envelope(format::kMetaRow, crypto::key_of(*seal.vault_key), seal.vault, row.bytes);
  if (!opened) return damaged();
  format::CborReader r(opened->view());
  DbState state;
  state.vault_key_epoch = row.vault_key_epoch;
  if (r.array() != 9) r.fail();
  state.applied = r.uint();
  state.tree_generation = r.uint();
  state.root.epoch = r.uint();
  state.root.commitment = r.fixed<32>();
  state.next_row = r.uint();
  state.next_half_slot = r.uint();
  const std::size_t types = r.map();
  for (std::size_t i = 0; i < types && r.ok(); ++i) {
    const auto type = r.narrow<std::uint16_t>();
    state.records[type] = r.uint();
  }
  const std::size_t staged = r.array();
  for (std::size_t i = 0; i < staged && r.ok(); ++i) {
    if (r.array() != 2) r.fail();
    StagedRange range;
    range.first_row = r.uint();
    range.end_row = r.uint();
    state.staged.push_back(range);
  }
  const std::size_t more = r.map();
  for (std::size_t i = 0; i < more && r.ok(); ++i) {
    if (r.uint() != kIndexKey || state.index) return r.ok() ? later() : damaged();
    state.index = read_index(r);
  }
  if (!r.ok() || std::ranges::any_of(r.rest(), [](std::uint8_t b) { return b != 0; })) return damaged();
  return state;
}

Result<void> write_state(const StateSeal& seal, store::WriteTxn& txn, const DbState& state, base::Random& random) {
  Bytes out;
  format::CborWriter w(out);
  w.array(9).uint(state.applied).uint(state.tree_generation).uint(state.root.epoch).bytes(state.root.commitment);
  w.uint(state.next_row).uint(state.next_half_slot).map(state.records.size());
  for (const auto& [type, count] : state.records) w.uint(type).uint(count);
  w.array(state.staged.size());
  for (const StagedRange& range : state.staged) w.array(2).uint(range.first_row).uint(range.end_row);
  w.map(state.index ? 1 : 0);
  if (state.index) {
    w.uint(kIndexKey);
    write_index(w, *state.index);
  }
  out.resize((out.size() + kStep - 1) / kStep * kStep);
  CASEVAULT_TRY(const std::vector<StateRow> rows, state_rows(txn));
  for (const StateRow& row : rows) {
    if (row.vault_key_epoch != state.vault_key_epoch)
      CASEVAULT_CHECK(txn.erase(store::Table::kMeta, key_at(row.vault_key_epoch)));
  }
  return txn.put(store::Table::kMeta, key_at(state.vault_key_epoch),
                 crypto::seal_envelope(format::kMetaRow, crypto::key_of(*seal.vault_key), seal.vault, out, random));
}

}  // namespace casevault::vault
