// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "vault/unit_of_work.hpp"

/// Successor epochs of compartments: opened on request, and by the next writer after a grant was taken back.
namespace casevault::vault {

/// Opens the successor of a compartment's present epoch, sealed to exactly those who hold that.
/// kNoGrant when this principal does not (logged), kNotFound for no such compartment.
[[nodiscard]] Result<Rotation> open_successor(Core& core, std::string_view compartment);
/// Opens the successors that are due in compartments which this principal holds. Writers call it before they begin.
[[nodiscard]] Result<void> open_due_successors(Core& core);

}  // namespace casevault::vault
