// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "vault/core.hpp"

/// Looking at the log: listing, receipts.
namespace casevault::vault {

[[nodiscard]] Result<void> read_log(Core& core, const LogQuery& query,
                                    const std::function<bool(const LogEntry&)>& visit);
[[nodiscard]] Result<std::string> prove_entry(Core& core, std::uint64_t entry);

}  // namespace casevault::vault
