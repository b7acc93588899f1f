// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <casevault/vault.hpp>

#include "base/environment.hpp"

namespace casevault::vault {

/// A new vault: everything is made in a hidden sibling folder and appears under its name in one rename.
[[nodiscard]] Result<InitResult> create_vault(const std::filesystem::path& folder, const Schema& schema,
                                              const Passphrase& passphrase, const InitOptions& options,
                                              const base::Environment& environment);

}  // namespace casevault::vault
