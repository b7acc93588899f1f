// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "bench/side.hpp"

namespace casevault::bench {

/// SQLCipher 4 from the shared library `library`: a row a record, WAL, synchronous=FULL. `cache_mib` 0: its default.
/// Fails when the library is not there or is plain SQLite.
[[nodiscard]] std::unique_ptr<Side> make_sqlcipher(const Workload& workload, const std::filesystem::path& library,
                                                   unsigned cache_mib);

}  // namespace casevault::bench
