// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <casevault/audit.hpp>
#include <casevault/bytes.hpp>

#include <functional>

/// RFC 6962 section 2.1 (= RFC 9162 section 2.1) Merkle tree over SHA-256. Pure.
namespace casevault::audit {

[[nodiscard]] Digest leaf_hash(ByteView leaf);                            ///< SHA-256(0x00 ‖ leaf)
[[nodiscard]] Digest node_hash(const Digest& left, const Digest& right);  ///< SHA-256(0x01 ‖ left ‖ right)
[[nodiscard]] Digest empty_root();                                        ///< SHA-256("")

/// The roots of the perfect subtrees of a tree of `size` leaves, largest first: all that an append needs.
class CompactRange {
 public:
  CompactRange() = default;
  /// kIntegrity unless `hashes.size()` is the number of one bits in `size`.
  [[nodiscard]] static Result<CompactRange> restore(std::uint64_t size, std::vector<Digest> hashes);
  void append(const Digest& leaf);
  [[nodiscard]] std::uint64_t size() const noexcept { return size_; }
  [[nodiscard]] Digest root() const;
  [[nodiscard]] const std::vector<Digest>& hashes() const noexcept { return hashes_; }

 private:
  std::uint64_t size_ = 0;
  std::vector<Digest> hashes_;
};

/// Leaf hash of an index below the tree's size.
using LeafSource = std::function<Result<Digest>(std::uint64_t index)>;
/// RFC 6962 section 2.1.1 / 2.1.2. kUsage when index >= size or old > size or old == 0.
[[nodiscard]] Result<std::vector<Digest>> prove_inclusion(std::uint64_t index, std::uint64_t size,
                                                          const LeafSource& leaves);
[[nodiscard]] Result<std::vector<Digest>> prove_consistency(std::uint64_t old_size, std::uint64_t size,
                                                            const LeafSource& leaves);

/// The same path for the first of `leaves`, when the tree before it and all leaves from it on are at hand: for recent
/// entries of a long log, cheap. `before.size()` is the index; the tree's size is before.size() + leaves.size().
[[nodiscard]] std::vector<Digest> inclusion_path(const CompactRange& before, std::span<const Digest> leaves);

/// RFC 9162 section 2.1.3.2 and 2.1.4.2. Paths longer than 63 are refused; old_size 0 is refused.
[[nodiscard]] bool verify_inclusion(const Digest& leaf, std::uint64_t index, std::uint64_t size,
                                    std::span<const Digest> path, const Digest& root);
[[nodiscard]] bool verify_consistency(std::uint64_t old_size, std::uint64_t size, std::span<const Digest> path,
                                      const Digest& old_root, const Digest& root);

}  // namespace casevault::audit
