// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

namespace casevault::base {

/// getpid(2), which is asked before each access to the database, mostly without a system call. Of a child that
/// has a copy of this memory its own. Thread-safe.
[[nodiscard]] pid_t process_id() noexcept;

}  // namespace casevault::base
