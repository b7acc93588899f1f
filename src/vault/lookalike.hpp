// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "vault/records.hpp"

/// A new record that may be about a person who is there already: told to who wrote it, decided by nobody.
namespace casevault::vault {

/// One line for each published record that has the same name (exact or without marks) and year of birth, the same phone
/// number or the same identity number as the record in `row`, which this unit of work wrote. At most a few.
[[nodiscard]] Result<std::vector<std::string>> find_lookalikes(UnitOfWork& work, const Indexer& indexer,
                                                               const RecordType& type, std::uint64_t row);

/// kRefused unless `searched` is the entry of a search that this principal made within the last day.
[[nodiscard]] Result<void> require_search(Core& core, const Authority& authority, const RecordType& type,
                                          const std::optional<std::uint64_t>& searched);

}  // namespace casevault::vault
