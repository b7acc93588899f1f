// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <casevault/vault.hpp>

#include "base/environment.hpp"

#include <variant>

namespace casevault::vault {

/// What opens the owner's new identity.
using OwnerKey = std::variant<const Passphrase*, QuorumPlan>;

/// A new vault: everything is made in a hidden sibling folder and appears under its name in one rename.
[[nodiscard]] Result<InitResult> create_vault(const std::filesystem::path& folder, const Schema& schema,
                                              const OwnerKey& owner_key, const InitOptions& options,
                                              const base::Environment& environment);

}  // namespace casevault::vault
