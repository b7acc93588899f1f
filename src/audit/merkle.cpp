// SPDX-License-Identifier: Apache-2.0
#include "audit/merkle.hpp"

#include <algorithm>
#include <bit>

#include "crypto/hash.hpp"

namespace casevault::audit {
namespace {

constexpr std::array<std::uint8_t, 1> kLeafPrefix{0x00};
constexpr std::array<std::uint8_t, 1> kNodePrefix{0x01};
constexpr std::size_t kMaxPath = 63;

/// Root over the leaves [begin, end), holding one digest a level.
Result<Digest> range_root(std::uint64_t begin, std::uint64_t end, const LeafSource& leaves) {
  CompactRange range;
  for (std::uint64_t i = begin; i < end; ++i) {
    CASEVAULT_TRY(const Digest leaf, leaves(i));
    range.append(leaf);
  }
  return range.root();
}

/// Where RFC 6962 splits a tree of `size` >= 2 leaves: the largest power of two below it.
std::uint64_t split(std::uint64_t size) { return std::bit_floor(size - 1); }

/// Position of a node on its level while a path is walked upwards: `node` of a level whose last node is `last`.
struct Walk {
  std::uint64_t node;
  std::uint64_t last;

  [[nodiscard]] bool sibling_is_left() const { return (node & 1U) != 0 || node == last; }
  void up() {
    node >>= 1U;
    last >>= 1U;
  }
  /// A right edge without a sibling moves up unhashed until it has one.
  void up_past_lone_nodes() {
    while ((node & 1U) == 0 && node != 0) up();
  }
};

}  // namespace

Digest leaf_hash(ByteView leaf) { return crypto::sha256({kLeafPrefix, leaf}); }

Digest node_hash(const Digest& left, const Digest& right) { return crypto::sha256({kNodePrefix, left, right}); }

Digest empty_root() { return crypto::sha256({}); }

Result<CompactRange> CompactRange::restore(std::uint64_t size, std::vector<Digest> hashes) {
  if (hashes.size() != static_cast<std::size_t>(std::popcount(size))) {
    return Error{ErrorCode::kIntegrity, "log tree: " + std::to_string(hashes.size()) +
                                            " subtree roots do not make a tree of " + std::to_string(size) +
                                            " entries; rebuild the node cache from the log"};
  }
  CompactRange range;
  range.size_ = size;
  range.hashes_ = std::move(hashes);
  return range;
}

void CompactRange::append(const Digest& leaf) {
  hashes_.push_back(leaf);
  for (std::uint64_t rest = size_; (rest & 1U) != 0; rest >>= 1U) {
    const Digest right = hashes_.back();
    hashes_.pop_back();
    hashes_.back() = node_hash(hashes_.back(), right);
  }
  ++size_;
}

Digest CompactRange::root() const {
  if (hashes_.empty()) return empty_root();
  Digest root = hashes_.back();
  for (auto left = hashes_.rbegin() + 1; left != hashes_.rend(); ++left) root = node_hash(*left, root);
  return root;
}

Result<std::vector<Digest>> prove_inclusion(std::uint64_t index, std::uint64_t size, const LeafSource& leaves) {
  if (index >= size) {
    return Error{ErrorCode::kUsage, "proof of inclusion: entry " + std::to_string(index) + " is not among the first " +
                                        std::to_string(size) + " of the log"};
  }
  std::vector<Digest> path;
  for (std::uint64_t begin = 0, end = size; end - begin > 1;) {
    const std::uint64_t middle = begin + split(end - begin);
    const bool left = index < middle;
    CASEVAULT_TRY(const Digest sibling, left ? range_root(middle, end, leaves) : range_root(begin, middle, leaves));
    path.push_back(sibling);
    (left ? end : begin) = middle;
  }
  std::reverse(path.begin(), path.end());
  return path;
}

Result<std::vector<Digest>> prove_consistency(std::uint64_t old_size, std::uint64_t size, const LeafSource& leaves) {
  if (old_size == 0 || old_size > size) {
    return Error{ErrorCode::kUsage, "proof of consistency: from " + std::to_string(old_size) + " to " +
                                        std::to_string(size) + " entries; the older size must be 1 to the newer"};
  }
  std::vector<Digest> path;
  std::uint64_t begin = 0;
  std::uint64_t end = size;
  while (end != old_size) {
    const std::uint64_t middle = begin + split(end - begin);
    const bool left = old_size <= middle;
    CASEVAULT_TRY(const Digest sibling, left ? range_root(middle, end, leaves) : range_root(begin, middle, leaves));
    path.push_back(sibling);
    (left ? end : begin) = middle;
  }
  if (begin != 0) {  // otherwise the verifier knows this subtree: it is the whole old tree
    CASEVAULT_TRY(const Digest common, range_root(begin, end, leaves));
    path.push_back(common);
  }
  std::reverse(path.begin(), path.end());
  return path;
}

bool verify_inclusion(const Digest& leaf, std::uint64_t index, std::uint64_t size, std::span<const Digest> path,
                      const Digest& root) {
  if (index >= size || path.size() > kMaxPath) return false;
  Walk at{index, size - 1};
  Digest found = leaf;
  for (const Digest& sibling : path) {
    if (at.last == 0) return false;
    if (at.sibling_is_left()) {
      found = node_hash(sibling, found);
      at.up_past_lone_nodes();
    } else {
      found = node_hash(found, sibling);
    }
    at.up();
  }
  return at.last == 0 && found == root;
}

bool verify_consistency(std::uint64_t old_size, std::uint64_t size, std::span<const Digest> path,
                        const Digest& old_root, const Digest& root) {
  if (old_size == 0 || old_size > size || path.size() > kMaxPath) return false;
  if (old_size == size) return path.empty() && old_root == root;
  Walk at{old_size - 1, size - 1};
  while ((at.node & 1U) != 0) at.up();
  Digest old_found = old_root;
  if (!std::has_single_bit(old_size)) {
    if (path.empty()) return false;
    old_found = path.front();
    path = path.subspan(1);
  }
  Digest found = old_found;
  for (const Digest& sibling : path) {
    if (at.last == 0) return false;
    if (at.sibling_is_left()) {
      old_found = node_hash(sibling, old_found);
      found = node_hash(sibling, found);
      at.up_past_lone_nodes();
    } else {
      found = node_hash(found, sibling);
    }
    at.up();
  }
  return at.last == 0 && old_found == old_root && found == root;
}

std::vector<Digest> inclusion_path(const CompactRange& before, std::span<const Digest> leaves) {
  // Left siblings, top down, are the perfect subtrees of [0, index): the binary digits of the index. Right siblings lie
  // wholly after it. The path is listed bottom up (RFC 6962 section 2.1.1).
  const std::uint64_t index = before.size();
  std::vector<Digest> path;
  std::size_t left = 0;
  std::uint64_t low = 0;
  std::uint64_t high = index + leaves.size();
  while (high - low > 1) {
    const std::uint64_t half = std::bit_floor(high - low - 1);
    if (index < low + half) {
      CompactRange right;
      for (std::uint64_t i = low + half; i < high; ++i) right.append(leaves[i - index]);
      path.push_back(right.root());
      high = low + half;
    } else {
      path.push_back(before.hashes()[left++]);
      low += half;
    }
  }
  std::ranges::reverse(path);
  return path;
}

}  // namespace casevault::audit
