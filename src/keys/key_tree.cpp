// SPDX-License-Identifier: Apache-2.0
#include "keys/key_tree.hpp"

#include <algorithm>

#include "base/cursor.hpp"
#include "crypto/aead.hpp"
#include "format/labels.hpp"

#include <map>
#include <set>

namespace casevault::keys {
namespace {

using crypto::key_of;

constexpr std::array kKinds = {TreeKind::kRecords, TreeKind::kEpochHalves, TreeKind::kIndexGenerations};
constexpr std::uint8_t kSlotLevel = 0xFF;
constexpr int kTopLevel = 2;
constexpr std::size_t kWrapped = 12 + 32 + crypto::kTagSize;

std::uint64_t node_index(std::uint64_t leaf, int level) { return leaf >> (8U * static_cast<unsigned>(level)); }

Bytes row_key(TreeKind kind, std::uint8_t level, std::uint64_t index) {
  Bytes out;
  base::Writer(out).u8(static_cast<std::uint8_t>(kind)).u8(level).u64(index);
  return out;
}

Bytes row_aad(const VaultTag& vault, ByteView key) {
  Bytes out;
  base::Writer(out).bytes(format::kTreeNode).bytes(vault).bytes(key);
  return out;
}

Bytes wrap(const VaultTag& vault, ByteView row, const SecretBytes& parent, const SecretBytes& child,
           base::Random& random) {
  Bytes out(kWrapped);
  const MutableBytes nonce = MutableBytes(out).first(12);
  random.fill(nonce);
  crypto::aead_seal(key_of(parent), crypto::NonceView(out.data(), 12), row_aad(vault, row), child.view(),
                    MutableBytes(out).subspan(12));
  return out;
}

/// "node 3 of level 0, kind 1" of a row's key.
std::string name_of(ByteView row) {
  base::Reader in(row);
  const int kind = in.u8();
  const int level = in.u8();
  const std::string index = std::to_string(in.u64());
  return (level == kSlotLevel ? "slot " + index : "node " + index + " of level " + std::to_string(level)) + ", kind " +
         std::to_string(kind) + ",";
}

Result<SecretBytes> unwrap(const VaultTag& vault, ByteView row, const SecretBytes& parent, ByteView value) {
  SecretBytes child(32);
  if (value.size() != kWrapped || !crypto::aead_open(key_of(parent), crypto::NonceView(value.data(), 12),
                                                     row_aad(vault, row), value.subspan(12), child.mutable_view())) {
    return Error{ErrorCode::kIntegrity,
                 "key tree: " + name_of(row) +
                     " does not open under its parent: altered, or the database does not belong to this erasure.root"};
  }
  return child;
}

Error missing(TreeKind kind, int level, std::uint64_t index) {
  return {ErrorCode::kIntegrity, "key tree: node " + std::to_string(index) + " of level " + std::to_string(level) +
                                     ", kind " + std::to_string(static_cast<int>(kind)) +
                                     ", is missing from the database"};
}

}  // namespace

Result<SecretBytes> KeyTree::node_key(store::ReadTxn& txn, const SecretBytes& erk, TreeKind kind, std::uint64_t leaf,
                                      int stop) const {
  SecretBytes key = erk.clone();
  for (int level = kTopLevel; level >= stop; --level) {
    const std::uint64_t index = node_index(leaf, level);
    const Bytes row = row_key(kind, static_cast<std::uint8_t>(level), index);
    CASEVAULT_TRY(const std::optional<ByteView> value, txn.get(store::Table::kTree, row));
    if (!value) return missing(kind, level, index);
    CASEVAULT_TRY(key, unwrap(vault_, row, key, *value));
  }
  return key;
}

Result<void> KeyTree::rewrap(store::WriteTxn& txn, TreeKind kind, std::uint8_t level, std::uint64_t first,
                             const SecretBytes& old_parent, const SecretBytes& new_parent) const {
  for (std::uint64_t index = first; index < first + kFanout; ++index) {
    const Bytes row = row_key(kind, level, index);
    CASEVAULT_TRY(const std::optional<ByteView> value, txn.get(store::Table::kTree, row));
    if (!value) continue;
    CASEVAULT_TRY(const SecretBytes child, unwrap(vault_, row, old_parent, *value));
    CASEVAULT_CHECK(txn.put(store::Table::kTree, row, wrap(vault_, row, new_parent, child, *random_)));
  }
  return {};
}

Result<void> KeyTree::erase_slot(store::WriteTxn& txn, const SecretBytes& erk, const SecretBytes& next, TreeKind kind,
                                 std::uint64_t slot) const {
  const std::uint64_t leaf = slot / kFanout;
  CASEVAULT_TRY(const bool was_there, txn.erase(store::Table::kTree, row_key(kind, kSlotLevel, slot)));
  if (!was_there) return missing(kind, kSlotLevel, slot);
  CASEVAULT_CHECK(rewrap_tops(txn, erk, next));
  SecretBytes parent = next.clone();
  for (int level = kTopLevel; level >= 0; --level) {
    CASEVAULT_TRY(std::optional<SecretBytes> fresh, renew_node(txn, parent, kind, node_index(leaf, level), level));
    if (!fresh) return missing(kind, level, node_index(leaf, level));
    parent = *std::move(fresh);
  }
  return {};
}

Result<void> KeyTree::swap_root(store::WriteTxn& txn, const SecretBytes& erk, const SecretBytes& next,
                                std::span<const LeafRange> growing) const {
  CASEVAULT_CHECK(rewrap_tops(txn, erk, next));
  std::map<std::uint64_t, std::set<std::uint64_t>> nodes;  // of level 1, by their parents
  for (const LeafRange& range : growing) {
    for (std::uint64_t index = node_index(range.first, 1); index <= node_index(range.end - 1, 1); ++index)
      nodes[index / kFanout].insert(index);
  }
  for (const auto& [top, below] : nodes) {
    CASEVAULT_TRY(const std::optional<SecretBytes> parent, renew_node(txn, next, TreeKind::kRecords, top, kTopLevel));
    if (!parent) continue;
    for (const std::uint64_t index : below) CASEVAULT_CHECK(renew_node(txn, *parent, TreeKind::kRecords, index, 1));
  }
  return {};
}

Result<void> KeyTree::rewrap_tops(store::WriteTxn& txn, const SecretBytes& erk, const SecretBytes& next) const {
  for (const TreeKind each : kKinds) {
    CASEVAULT_CHECK(rewrap(txn, each, kTopLevel, 0, erk, next));
  }
  return {};
}

Result<std::optional<SecretBytes>> KeyTree::renew_node(store::WriteTxn& txn, const SecretBytes& parent, TreeKind kind,
                                                       std::uint64_t leaf, int level) const {
  const std::uint64_t index = node_index(leaf, level);
  const Bytes row = row_key(kind, static_cast<std::uint8_t>(level), index);
  CASEVAULT_TRY(const std::optional<ByteView> value, txn.get(store::Table::kTree, row));
  if (!value) return std::optional<SecretBytes>();
  CASEVAULT_TRY(const SecretBytes old, unwrap(vault_, row, parent, *value));
  SecretBytes fresh = crypto::random_key(*random_);
  CASEVAULT_CHECK(txn.put(store::Table::kTree, row, wrap(vault_, row, parent, fresh, *random_)));
  const auto below = static_cast<std::uint8_t>(level == 0 ? kSlotLevel : level - 1);
  CASEVAULT_CHECK(rewrap(txn, kind, below, index * kFanout, old, fresh));
  return std::optional(std::move(fresh));
}

Result<std::uint64_t> KeyTree::check(store::ReadTxn& txn, const SecretBytes& erk,
                                     const std::function<void(std::string what)>& wrong) const {
  std::uint64_t rows = 0;
  std::optional<SecretBytes> leaf;  // of the slots, which follow each other
  std::pair<TreeKind, std::uint64_t> leaf_of;
  Bytes from;
  for (bool more = true; more; more = store::advance(from)) {
    CASEVAULT_TRY(const std::optional<store::Item> item, txn.seek(store::Table::kTree, from));
    if (!item) return rows;
    ++rows;
    from.assign(item->key.begin(), item->key.end());
    base::Reader in(from);
    const auto kind = static_cast<TreeKind>(in.u8());
    const std::uint8_t level = in.u8();
    const std::uint64_t index = in.u64();
    const bool slot = level == kSlotLevel;
    const bool known = std::ranges::find(kKinds, kind) != kKinds.end();
    // Slots of kind 1 are the heads in the records' rows.
    if (!in.ok() || !in.rest().empty() || !known || (slot ? kind == TreeKind::kRecords : level > kTopLevel) ||
        (slot ? index / kFanout > kMaxLeaf : index > kMaxLeaf >> (8U * level))) {
      wrong("a row stands under a key that no node of this version has");
      continue;
    }
    const std::uint64_t under = slot ? index / kFanout : index << (8U * level);
    if (slot && (!leaf || leaf_of != std::pair(kind, under))) {
      leaf.reset();
      auto parent = node_key(txn, erk, kind, under, 0);
      if (!parent) {
        wrong(std::move(parent).error().message);
        continue;
      }
      leaf = *std::move(parent);
      leaf_of = {kind, under};
    }
    const auto opened = slot ? unwrap(vault_, from, *leaf, item->value) : node_key(txn, erk, kind, under, level);
    if (!opened) wrong(opened.error().message);
  }
  return rows;
}

Result<SecretBytes> KeyTree::leaf_key(store::ReadTxn& txn, const SecretBytes& erk, TreeKind kind,
                                      std::uint64_t leaf) const {
  return node_key(txn, erk, kind, leaf, 0);
}

Result<SecretBytes> KeyTree::replace_leaf(store::WriteTxn& txn, const SecretBytes& erk, TreeKind kind,
                                          std::uint64_t leaf) const {
  CASEVAULT_TRY(const SecretBytes parent, node_key(txn, erk, kind, leaf, 1));
  SecretBytes fresh = crypto::random_key(*random_);
  const Bytes row = row_key(kind, 0, leaf);
  CASEVAULT_CHECK(txn.put(store::Table::kTree, row, wrap(vault_, row, parent, fresh, *random_)));
  return fresh;
}

Result<SecretBytes> KeyTree::make_leaf(store::WriteTxn& txn, const SecretBytes& erk, TreeKind kind,
                                       std::uint64_t leaf) const {
  if (leaf > kMaxLeaf) return Error{ErrorCode::kUnsupported, "the key tree is full (2^24 leaf nodes)"};
  SecretBytes key = erk.clone();
  for (int level = kTopLevel; level >= 0; --level) {
    const Bytes row = row_key(kind, static_cast<std::uint8_t>(level), node_index(leaf, level));
    CASEVAULT_TRY(const std::optional<ByteView> value, txn.get(store::Table::kTree, row));
    if (value) {
      CASEVAULT_TRY(key, unwrap(vault_, row, key, *value));
      continue;
    }
    SecretBytes child = crypto::random_key(*random_);
    CASEVAULT_CHECK(txn.put(store::Table::kTree, row, wrap(vault_, row, key, child, *random_)));
    key = std::move(child);
  }
  return key;
}

Result<void> KeyTree::drop_leaf(store::WriteTxn& txn, TreeKind kind, std::uint64_t leaf) const {
  CASEVAULT_TRY([[maybe_unused]] const bool was_there, txn.erase(store::Table::kTree, row_key(kind, 0, leaf)));
  return {};
}

Result<void> KeyTree::put_slot(store::WriteTxn& txn, const SecretBytes& erk, TreeKind kind, std::uint64_t slot,
                               const SecretBytes& secret) const {
  CASEVAULT_TRY(const SecretBytes leaf, make_leaf(txn, erk, kind, slot / kFanout));
  const Bytes row = row_key(kind, kSlotLevel, slot);
  CASEVAULT_TRY(const std::optional<ByteView> taken, txn.get(store::Table::kTree, row));
  if (taken) return Error{ErrorCode::kInternal, "key tree: slot " + std::to_string(slot) + " is taken"};
  return txn.put(store::Table::kTree, row, wrap(vault_, row, leaf, secret, *random_));
}

Result<SecretBytes> KeyTree::get_slot(store::ReadTxn& txn, const SecretBytes& erk, TreeKind kind,
                                      std::uint64_t slot) const {
  CASEVAULT_TRY(const SecretBytes leaf, leaf_key(txn, erk, kind, slot / kFanout));
  const Bytes row = row_key(kind, kSlotLevel, slot);
  CASEVAULT_TRY(const std::optional<ByteView> value, txn.get(store::Table::kTree, row));
  if (!value) return missing(kind, kSlotLevel, slot);
  return unwrap(vault_, row, leaf, *value);
}

}  // namespace casevault::keys
