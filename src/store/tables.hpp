// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <string>

#include "store/store.hpp"

/// What every backend and the structural check agree on.
namespace casevault::store {

inline constexpr std::array<std::string_view, kTableCount> kTableNames = {"meta", "rows", "tree", "index"};
inline constexpr std::size_t kMaxKeyBytes = 64;
/// A little under 2^31: Linux moves at most 0x7ffff000 bytes a call and LMDB takes the rest for a full disk.
inline constexpr std::size_t kMaxValueBytes = 0x7FFF0000;

[[nodiscard]] inline std::size_t index_of(Table table) noexcept { return static_cast<std::size_t>(table); }

[[nodiscard]] inline Result<void> check_key(Table table, ByteView key) {
  if (index_of(table) >= kTableCount) return Error{ErrorCode::kInternal, "store: there is no such table"};
  if (!key.empty() && key.size() <= kMaxKeyBytes) return {};
  return Error{ErrorCode::kInternal, "store: a key of table " + std::string(kTableNames.at(index_of(table))) + " has " +
                                         std::to_string(key.size()) + " bytes; 1 to 64 are allowed"};
}

[[nodiscard]] inline Result<void> check_item(Table table, ByteView key, ByteView value) {
  CASEVAULT_CHECK(check_key(table, key));
  if (value.size() <= kMaxValueBytes) return {};
  return Error{ErrorCode::kInternal, "store: a value of table " + std::string(kTableNames.at(index_of(table))) +
                                         " has " + std::to_string(value.size()) + " bytes; split it"};
}

/// Where a seek or scan may start: anywhere a key may be, or at the very first.
[[nodiscard]] inline Result<void> check_start(Table table, ByteView from) {
  constexpr std::uint8_t kAnyKey = 0;
  return check_key(table, from.empty() ? ByteView(&kAnyKey, 1) : from);
}

[[nodiscard]] inline Error fork_error(std::string_view name) {
  return {ErrorCode::kUsage, std::string(name) + ": the store was opened by the parent of this process; open it again"};
}

}  // namespace casevault::store
