// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/environment.hpp"
#include "keys/grants.hpp"
#include "store/store.hpp"

/// The key tree (FORMAT.md, "Key tree"): whatever must be erasable is a leaf of it. Fanout 256, four levels, one tree
/// per kind:
///
///   ERK (erasure.root) -> level 2 -> level 1 -> level 0 (leaf nodes) -> 256 slots
///
/// A node's row in the tree table wraps its key under its parent's: nonce 12 random ‖ AES-256-GCM(parent, nonce, aad =
/// label ‖ vault ‖ kind ‖ level ‖ index, key). Record slots are the heads in the record rows; slots of the other kinds
/// are rows here.
namespace casevault::keys {

enum class TreeKind : std::uint8_t {
  kRecords = 1,
  kEpochHalves = 2,
  kIndexGenerations = 3,
  kLogMonths = 4
};  ///< persisted

inline constexpr std::uint64_t kFanout = 256;
inline constexpr std::uint64_t kMaxLeaf = (std::uint64_t{1} << 24U) - 1;  ///< 2^24 leaf nodes, 2^32 slots

/// Leaf nodes from `first` up to, not including, `end`.
struct LeafRange {
  std::uint64_t first = 0;
  std::uint64_t end = 0;
};

/// Stateless; keys come and go as SecretBytes. `erk` is the live erasure root key.
class KeyTree {
 public:
  KeyTree(const VaultTag& vault, base::Random& random) noexcept : vault_(vault), random_(&random) {}

  /// Node key of leaf node `leaf`. kIntegrity when a row is missing or does not open: the path was altered, or the
  /// database is older or newer than the erasure root.
  [[nodiscard]] Result<SecretBytes> leaf_key(store::ReadTxn& txn, const SecretBytes& erk, TreeKind kind,
                                             std::uint64_t leaf) const;
  /// Like leaf_key, making the nodes of the path that do not exist yet.
  [[nodiscard]] Result<SecretBytes> make_leaf(store::WriteTxn& txn, const SecretBytes& erk, TreeKind kind,
                                              std::uint64_t leaf) const;
  /// Gives a leaf node a fresh key and rewraps it under its parent; whoever holds the slots seals them anew. The old
  /// key is gone from the present tree (older copies of the database keep it until their path is re-keyed).
  [[nodiscard]] Result<SecretBytes> replace_leaf(store::WriteTxn& txn, const SecretBytes& erk, TreeKind kind,
                                                 std::uint64_t leaf) const;
  /// Removes a leaf node and with it every way to its slots; nothing when it does not exist.
  [[nodiscard]] Result<void> drop_leaf(store::WriteTxn& txn, TreeKind kind, std::uint64_t leaf) const;
  /// Stores / reads a 32-byte secret in a slot of a kind other than records. Slots are never reused (kInternal when
  /// taken).
  [[nodiscard]] Result<void> put_slot(store::WriteTxn& txn, const SecretBytes& erk, TreeKind kind, std::uint64_t slot,
                                      const SecretBytes& secret) const;
  [[nodiscard]] Result<SecretBytes> get_slot(store::ReadTxn& txn, const SecretBytes& erk, TreeKind kind,
                                             std::uint64_t slot) const;

  /// Erases a slot of a kind other than records for good: every node key on its path, and the root above, is a new one,
  /// and what hangs beside the path is wrapped anew. With the old root gone, no older copy of the database leads to the
  /// slot. `next` is the erasure root key that takes effect with this transaction. At most 256 rewraps a level, and one
  /// for each top node of the tree.
  [[nodiscard]] Result<void> erase_slot(store::WriteTxn& txn, const SecretBytes& erk, const SecretBytes& next,
                                        TreeKind kind, std::uint64_t slot) const;
  /// Hangs the tree on a new root key. Above the leaf nodes of the records where new rows go, every node key is a new
  /// one too: who knew the old ones does not come to leaf nodes that are made from now on.
  [[nodiscard]] Result<void> swap_root(store::WriteTxn& txn, const SecretBytes& erk, const SecretBytes& next,
                                       std::span<const LeafRange> growing) const;
  /// Opens every row of the tree table under its parents, whoever needs it or not. `wrong` is told of each that cannot
  /// be one, has no parent or does not open. Returns the number of rows; an error when the store cannot be read.
  [[nodiscard]] Result<std::uint64_t> check(store::ReadTxn& txn, const SecretBytes& erk,
                                            const std::function<void(std::string what)>& wrong) const;

 private:
  [[nodiscard]] Result<SecretBytes> node_key(store::ReadTxn& txn, const SecretBytes& erk, TreeKind kind,
                                             std::uint64_t leaf, int stop) const;
  /// Wraps the tops of all trees under the next root key.
  [[nodiscard]] Result<void> rewrap_tops(store::WriteTxn& txn, const SecretBytes& erk, const SecretBytes& next) const;
  /// New key of one node, whose children are wrapped under it; nullopt when there is no such node.
  [[nodiscard]] Result<std::optional<SecretBytes>> renew_node(store::WriteTxn& txn, const SecretBytes& parent,
                                                              TreeKind kind, std::uint64_t index, int level) const;
  /// Wraps the children of one node, rows of `level` from `first` on, under its new key.
  [[nodiscard]] Result<void> rewrap(store::WriteTxn& txn, TreeKind kind, std::uint8_t level, std::uint64_t first,
                                    const SecretBytes& old_parent, const SecretBytes& new_parent) const;
  VaultTag vault_;
  base::Random* random_;
};

}  // namespace casevault::keys
