// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "vault/core.hpp"

/// Two records that are about one person: said in the log, where it can be taken back. The records stay as they are.
namespace casevault::vault {

[[nodiscard]] Result<Merged> merge_records(Core& core, const RecordId& a, const RecordId& b, std::string_view reason,
                                           bool undo);
[[nodiscard]] Result<std::vector<RecordId>> records_of_person(Core& core, const RecordId& id);
/// Of the other records of a person.
[[nodiscard]] std::vector<RecordId> other_records(const Core& core, const AuthorityState& state, std::uint64_t row);

}  // namespace casevault::vault
