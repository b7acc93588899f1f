// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "keys/erasure_root.hpp"
#include "store/store.hpp"

#include <map>
#include <memory>
#include <optional>

namespace casevault::vault {

/// Rows of an import that is not published yet: readers and search skip them.
struct StagedRange {
  std::uint64_t first_row = 0;
  std::uint64_t end_row = 0;
};

/// One index of a compartment's fields, under keys of its own.
struct IndexGeneration {
  std::uint16_t compartment = 0;            ///< id
  std::uint32_t epoch = 0;                  ///< that its keys hang on
  std::uint32_t slot = 0;                   ///< of tree kind 3, and the first bytes of its rows
  std::array<std::uint8_t, 8> rules{};      ///< fields and normaliser that it was made by
  std::uint64_t postings = 0;               ///< rows of table `index`
  std::optional<std::uint64_t> built = {};  ///< rows below are in it, it is not searched yet; none: it is whole
};

/// Absent in vaults that were made before there was an index: theirs is built, never begun by a writer.
struct IndexState {
  std::uint32_t next_slot = 0;
  std::vector<IndexGeneration> generations;  ///< at most one whole and one unfinished per compartment
  [[nodiscard]] const IndexGeneration* whole(std::uint16_t compartment) const noexcept;
  [[nodiscard]] bool has(std::uint32_t slot) const noexcept;
};

/// The one row about the database itself, rewritten by every transaction and sealed under the vault key.
struct DbState {
  std::uint64_t applied = 0;          ///< entry + 1 of the newest mutation in this database
  std::uint64_t tree_generation = 1;  ///< changes when node keys change: caches of them are stale
  keys::LiveRoot root;
  std::uint64_t next_row = 0;
  std::uint64_t next_half_slot = 0;
  std::map<std::uint16_t, std::uint64_t> records;  ///< published records per type id
  std::vector<StagedRange> staged;
  /// Vault key epoch that the row, and erasure.root, are sealed under. Part of the row's key.
  std::uint32_t vault_key_epoch = 1;
  std::optional<IndexState> index;
  /// The erasure root key that this state names: an older snapshot keeps its own. Not part of the row.
  std::shared_ptr<const SecretBytes> root_key;

  [[nodiscard]] bool is_staged(std::uint64_t row) const noexcept;
};

struct StateSeal {
  keys::VaultTag vault{};
  const SecretBytes* vault_key = nullptr;
};

/// The sealed row, copied, and the vault key epoch that it is under.
struct StateRow {
  std::uint32_t vault_key_epoch = 0;
  Bytes bytes;
  bool operator==(const StateRow&) const = default;
};
/// kIntegrity when there is none, or more than one.
[[nodiscard]] Result<StateRow> read_state_row(store::ReadTxn& txn);
/// `seal` holds the key of the row's epoch.
[[nodiscard]] Result<DbState> decode_state(const StateSeal& seal, const StateRow& row);
/// Under the epoch that the state names; a row under an earlier one goes.
[[nodiscard]] Result<void> write_state(const StateSeal& seal, store::WriteTxn& txn, const DbState& state,
                                       base::Random& random);

}  // namespace casevault::vault
