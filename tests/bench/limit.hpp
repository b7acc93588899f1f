// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "bench/side.hpp"

namespace casevault::bench {

/// Raw libsodium AES-256-GCM and raw LMDB with nothing around them: the time below which no store of this kind comes.
[[nodiscard]] std::unique_ptr<Side> make_limit(const Workload& workload);

/// RFC 6962 tree over `leaves` leaves of kAuditLineBytes, hashed by OpenSSL.
[[nodiscard]] Timed hash_tree(std::size_t leaves);

}  // namespace casevault::bench
