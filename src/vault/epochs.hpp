// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "vault/unit_of_work.hpp"

/// Epochs of compartments: counted, and their successors opened, on request and by the next writer after a grant was
/// taken back.
namespace casevault::vault {

/// kNotFound when the schema has no such compartment.
[[nodiscard]] Result<const Compartment*> find_compartment(const Authority& authority, std::string_view name);

/// Opens the successor of a compartment's present epoch, sealed to exactly those who hold that.
/// kNoGrant when this principal does not (logged), kNotFound for no such compartment.
[[nodiscard]] Result<Rotation> open_successor(Core& core, std::string_view compartment);
/// What earlier changes of authority left to whoever comes next: the database under the newest vault key, successors of
/// epochs in compartments that this principal holds and of which a grant was taken back or has expired. Writers call it
/// before they begin.
[[nodiscard]] Result<void> catch_up(Core& core);

/// What of that waits now, whoever can do it, in words.
[[nodiscard]] std::vector<std::string> left_over(Core& core, const Authority& authority);

/// Every epoch and the cells under it, rows of unfinished imports included.
[[nodiscard]] Result<std::vector<KeyInfo>> count_keys(Core& core, store::ReadTxn& txn, const DbState& db,
                                                      const Authority& authority);
[[nodiscard]] Result<std::vector<KeyInfo>> list_keys(Core& core);

}  // namespace casevault::vault
