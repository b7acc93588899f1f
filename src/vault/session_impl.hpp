// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "vault/core.hpp"

/// What stands behind the public Session; shared with the modules above the vault.
struct casevault::Session::Impl {
 public:
  explicit Impl(std::shared_ptr<vault::Core> core) : core_(std::move(core)) {}

  /// The open vault, alive until the caller's last use of it. kUsage after close() and in a forked child.
  [[nodiscard]] Result<std::shared_ptr<vault::Core>> core() const {
    const std::lock_guard lock(mutex_);
    if (!core_) return Error{ErrorCode::kUsage, "the session is closed; open the vault again"};
    CASEVAULT_CHECK(core_->check_process());
    return core_;
  }
  /// Calls at work in other threads end first; then the keys are wiped.
  void close() noexcept {
    std::shared_ptr<vault::Core> last;
    const std::lock_guard lock(mutex_);
    last.swap(core_);
  }

  std::optional<Schema> schema;

 private:
  mutable std::mutex mutex_;
  std::shared_ptr<vault::Core> core_;
};
