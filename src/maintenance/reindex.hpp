// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>

#include "vault/core.hpp"

namespace casevault::maintenance {

/// How long a background job holds the write lock at a time (design.md section 4).
inline constexpr auto kHoldLock = std::chrono::milliseconds(4);

struct Reindexing {
  std::uint64_t records = 0;         ///< put into new indexes
  std::vector<std::string> rebuilt;  ///< compartments whose new index took the place of the old one
  std::vector<std::string> failed;   ///< records that could not be read, with the reason; at most 100
  bool stopped = false;              ///< the caller asked for it; the next call goes on
};

/// Builds new search indexes under the current epochs of the named compartments, beside the old ones, which are
/// searched until then; then erases the keys of the old ones. `all`: also where the index is under the current epoch
/// already.
[[nodiscard]] Result<Reindexing> rebuild_indexes(vault::Core& core, const std::vector<std::uint16_t>& compartments,
                                                 bool all, const ReencryptOptions& options);
/// Whether an index of the compartments (ids) is unfinished, or under another epoch than the current one.
[[nodiscard]] bool has_old_index(const vault::Snapshot& snapshot, const std::vector<std::uint16_t>& compartments);

}  // namespace casevault::maintenance
