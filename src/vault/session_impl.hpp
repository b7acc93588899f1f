// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "vault/core.hpp"

/// What stands behind the public Session; shared with the modules above the vault.
struct casevault::Session::Impl {
  std::unique_ptr<vault::Core> core;
  std::optional<Schema> schema;
};
