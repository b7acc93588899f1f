// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <casevault/maintenance.hpp>

#include "vault/core.hpp"

namespace casevault::maintenance {

/// Where what is wrong was found and what it is, for doctor's list.
using TellIndex = std::function<void(Severity severity, std::string where, std::string what)>;

/// Examines table `index`. Always: every row belongs to a generation of the state, opens in its place under the keys
/// that this principal holds, and there are as many as the state counts. `deep`: every posting is of a record that
/// holds its word, and every word of a record has its posting.
[[nodiscard]] Result<void> check_index(vault::Core& core, const vault::Snapshot& snapshot, bool deep,
                                       const TellIndex& tell);

}  // namespace casevault::maintenance
