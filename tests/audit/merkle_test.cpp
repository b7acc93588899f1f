// SPDX-License-Identifier: Apache-2.0
#include "audit/merkle.hpp"

#include <algorithm>
#include <bit>
#include <limits>

#include "base/text.hpp"
#include "catch.hpp"

namespace casevault::audit {
namespace {

std::vector<Digest> leaves_of(std::uint64_t count) {
  std::vector<Digest> out;
  for (std::uint64_t i = 0; i < count; ++i) out.push_back(leaf_hash(as_bytes("leaf " + std::to_string(i))));
  return out;
}

LeafSource source_of(const std::vector<Digest>& leaves) {
  return [&leaves](std::uint64_t i) -> Result<Digest> { return leaves.at(i); };
}

/// The definition of RFC 6962 section 2.1, as it is written there.
Digest defined_root(std::span<const Digest> leaves) {
  if (leaves.empty()) return empty_root();
  if (leaves.size() == 1) return leaves[0];
  const std::size_t k = std::bit_floor(leaves.size() - 1);
  return node_hash(defined_root(leaves.first(k)), defined_root(leaves.subspan(k)));
}

void flip(Digest& digest, std::size_t bit) {
  digest[bit / 8] = static_cast<std::uint8_t>(digest[bit / 8] ^ 1U << bit % 8);
}

std::vector<Digest> roots_of(const std::vector<Digest>& leaves) {
  std::vector<Digest> roots{empty_root()};
  CompactRange range;
  for (const Digest& leaf : leaves) {
    range.append(leaf);
    roots.push_back(range.root());
  }
  return roots;
}

TEST_CASE("the roots of the eight well-known leaves are those of RFC 6962 implementations") {
  const char* leaves[] = {
      "", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"};
  const char* roots[] = {"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
                         "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
                         "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
                         "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
                         "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
                         "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
                         "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
                         "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
                         "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328"};
  CompactRange range;
  for (std::size_t n = 0;; ++n) {
    REQUIRE(range.size() == n);
    REQUIRE(base::to_hex(range.root()) == roots[n]);
    if (n == 8) break;
    range.append(leaf_hash(*base::from_hex(leaves[n])));
  }
}

TEST_CASE("an appended and a restored range agree with the definition for every size to 130") {
  const auto leaves = leaves_of(130);
  CompactRange range;
  for (std::size_t n = 0; n <= leaves.size(); ++n) {
    REQUIRE(range.root() == defined_root(std::span(leaves).first(n)));
    REQUIRE(range.hashes().size() == static_cast<std::size_t>(std::popcount(n)));
    range = REQUIRE_OK(CompactRange::restore(n, range.hashes()));
    if (n < leaves.size()) range.append(leaves[n]);
  }
}

TEST_CASE("a range is not restored from too many or too few subtree roots") {
  const Digest hash = leaf_hash({});
  REQUIRE_ERROR(ErrorCode::kIntegrity, CompactRange::restore(0, {hash}));
  REQUIRE_ERROR(ErrorCode::kIntegrity, CompactRange::restore(3, {hash}));
  REQUIRE_ERROR(ErrorCode::kIntegrity, CompactRange::restore(4, {hash, hash}));
  REQUIRE_ERROR(ErrorCode::kIntegrity, CompactRange::restore(std::numeric_limits<std::uint64_t>::max(), {}));
  REQUIRE_DONE(CompactRange::restore(0, {}));
}

TEST_CASE("every entry of every tree to 64 leaves is proved, in no other place and in no other tree") {
  const auto leaves = leaves_of(64);
  const auto roots = roots_of(leaves);
  for (std::uint64_t size = 1; size <= 64; ++size) {
    for (std::uint64_t index = 0; index < size; ++index) {
      const auto path = REQUIRE_OK(prove_inclusion(index, size, source_of(leaves)));
      if (!verify_inclusion(leaves[index], index, size, path, roots[size])) FAIL(index << " of " << size);
      for (std::uint64_t other = 0; other <= size; ++other) {
        if (other != index && verify_inclusion(leaves[index], other, size, path, roots[size]))
          FAIL(other << " of " << size);
      }
      if (verify_inclusion(leaves[index], index, size, path, roots[size - 1])) FAIL("root before " << size);
    }
  }
}

TEST_CASE("every two sizes to 64 are proved consistent, and no other roots are") {
  const auto leaves = leaves_of(64);
  const auto roots = roots_of(leaves);
  for (std::uint64_t size = 1; size <= 64; ++size) {
    for (std::uint64_t old_size = 1; old_size <= size; ++old_size) {
      const auto path = REQUIRE_OK(prove_consistency(old_size, size, source_of(leaves)));
      INFO(old_size << " to " << size);
      REQUIRE(path.empty() == (old_size == size));
      REQUIRE(verify_consistency(old_size, size, path, roots[old_size], roots[size]));
      REQUIRE_FALSE(verify_consistency(old_size, size, path, roots[old_size - 1], roots[size]));
      REQUIRE_FALSE(verify_consistency(old_size, size, path, roots[old_size], roots[size - 1]));
      REQUIRE_FALSE(verify_consistency(0, size, path, roots[0], roots[size]));
      REQUIRE_FALSE(verify_consistency(size + 1, size, path, roots[old_size], roots[size]));
    }
  }
}

TEST_CASE("a proof of inclusion with any one bit turned, cut, extended or reordered is refused") {
  const auto leaves = leaves_of(9);
  const auto roots = roots_of(leaves);
  for (std::uint64_t size = 1; size <= 9; ++size) {
    for (std::uint64_t index = 0; index < size; ++index) {
      const auto path = REQUIRE_OK(prove_inclusion(index, size, source_of(leaves)));
      const Digest& leaf = leaves[index];
      const Digest& root = roots[size];
      for (std::size_t bit = 0; bit < 256; ++bit) {
        Digest turned = root;
        flip(turned, bit);
        if (verify_inclusion(leaf, index, size, path, turned)) FAIL("root bit " << bit);
        turned = leaf;
        flip(turned, bit);
        if (verify_inclusion(turned, index, size, path, root)) FAIL("leaf bit " << bit);
        for (std::size_t i = 0; i < path.size(); ++i) {
          auto changed = path;
          flip(changed[i], bit);
          if (verify_inclusion(leaf, index, size, changed, root)) FAIL("path " << i << " bit " << bit);
        }
      }
      for (unsigned bit = 0; bit < 64; ++bit) {
        REQUIRE_FALSE(verify_inclusion(leaf, index ^ std::uint64_t{1} << bit, size, path, root));
      }
      auto longer = path;
      longer.push_back(root);
      REQUIRE_FALSE(verify_inclusion(leaf, index, size, longer, root));
      REQUIRE_FALSE(verify_inclusion(leaf, index, 0, path, root));
      if (path.empty()) continue;
      REQUIRE_FALSE(verify_inclusion(leaf, index, size, std::span(path).first(path.size() - 1), root));
      REQUIRE_FALSE(verify_inclusion(leaf, index, size, std::span(path).subspan(1), root));
      auto reversed = path;
      std::reverse(reversed.begin(), reversed.end());
      if (path.size() > 1) REQUIRE_FALSE(verify_inclusion(leaf, index, size, reversed, root));
    }
  }
}

TEST_CASE("a proof of consistency with any one bit turned, cut, extended or reordered is refused") {
  const auto leaves = leaves_of(9);
  const auto roots = roots_of(leaves);
  for (std::uint64_t size = 1; size <= 9; ++size) {
    for (std::uint64_t old_size = 1; old_size <= size; ++old_size) {
      const auto path = REQUIRE_OK(prove_consistency(old_size, size, source_of(leaves)));
      for (std::size_t bit = 0; bit < 256; ++bit) {
        Digest turned = roots[size];
        flip(turned, bit);
        if (verify_consistency(old_size, size, path, roots[old_size], turned)) FAIL("root bit " << bit);
        turned = roots[old_size];
        flip(turned, bit);
        if (verify_consistency(old_size, size, path, turned, roots[size])) FAIL("old root bit " << bit);
        for (std::size_t i = 0; i < path.size(); ++i) {
          auto changed = path;
          flip(changed[i], bit);
          if (verify_consistency(old_size, size, changed, roots[old_size], roots[size]))
            FAIL("path " << i << " bit " << bit);
        }
      }
      auto longer = path;
      longer.push_back(roots[size]);
      REQUIRE_FALSE(verify_consistency(old_size, size, longer, roots[old_size], roots[size]));
      if (path.empty()) continue;
      REQUIRE_FALSE(
          verify_consistency(old_size, size, std::span(path).first(path.size() - 1), roots[old_size], roots[size]));
      REQUIRE_FALSE(verify_consistency(old_size, size, std::span(path).subspan(1), roots[old_size], roots[size]));
      REQUIRE_FALSE(verify_consistency(old_size, size, {}, roots[old_size], roots[size]));
    }
  }
}

TEST_CASE("a leaf is no inner node: two leaves' hashes are not an entry of the tree above them") {
  const auto leaves = leaves_of(2);
  Bytes both(leaves[0].begin(), leaves[0].end());
  both.insert(both.end(), leaves[1].begin(), leaves[1].end());
  const Digest root = node_hash(leaves[0], leaves[1]);
  REQUIRE_FALSE(verify_inclusion(leaf_hash(both), 0, 1, {}, root));
}

TEST_CASE("a path of 63 hashes is admitted and one of 64 refused, right as it may be") {
  const Digest leaf = leaf_hash(as_bytes("x"));
  std::vector<Digest> path(63, leaf);
  Digest root = leaf;
  for (const Digest& sibling : path) root = node_hash(root, sibling);
  const std::uint64_t half = std::uint64_t{1} << 63U;
  REQUIRE(verify_inclusion(leaf, 0, half, path, root));
  REQUIRE(verify_consistency(1, half, path, leaf, root));
  path.push_back(leaf);
  root = node_hash(root, leaf);
  REQUIRE_FALSE(verify_inclusion(leaf, 0, half + 1, path, root));
  REQUIRE_FALSE(verify_inclusion(leaf, 0, std::numeric_limits<std::uint64_t>::max(), path, root));
  REQUIRE_FALSE(verify_consistency(1, half + 1, path, leaf, root));
}

TEST_CASE("proofs are made of what exists only, and read every leaf at most once") {
  const auto leaves = leaves_of(1000);
  REQUIRE_ERROR(ErrorCode::kUsage, prove_inclusion(0, 0, source_of(leaves)));
  REQUIRE_ERROR(ErrorCode::kUsage, prove_inclusion(5, 5, source_of(leaves)));
  REQUIRE_ERROR(ErrorCode::kUsage, prove_consistency(0, 5, source_of(leaves)));
  REQUIRE_ERROR(ErrorCode::kUsage, prove_consistency(6, 5, source_of(leaves)));
  std::vector<int> reads(1000);
  const LeafSource counting = [&](std::uint64_t i) -> Result<Digest> { return ++reads[i], leaves[i]; };
  REQUIRE(REQUIRE_OK(prove_inclusion(777, 1000, counting)).size() == 10);
  REQUIRE(std::count(reads.begin(), reads.end(), 1) == 999);
  REQUIRE(reads[777] == 0);
  std::fill(reads.begin(), reads.end(), 0);
  (void)REQUIRE_OK(prove_consistency(777, 1000, counting));
  REQUIRE(std::count(reads.begin(), reads.end(), 1) == 1000);
}

TEST_CASE("the error of a leaf source is the error of the proof") {
  const LeafSource broken = [](std::uint64_t i) -> Result<Digest> {
    if (i == 3) return Error{ErrorCode::kIo, "leaf 3"};
    return Digest{};
  };
  REQUIRE_ERROR(ErrorCode::kIo, prove_inclusion(0, 8, broken));
  REQUIRE_ERROR(ErrorCode::kIo, prove_consistency(5, 8, broken));
}

}  // namespace
}  // namespace casevault::audit
