// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace casevault::vault {

inline constexpr std::size_t kRowKeySize = 8;
inline constexpr std::size_t kAttachmentKeySize = 16;  ///< reserved (FORMAT.md): row ‖ attachment ‖ chunk

/// Key of a record row in the rows table: the row number, big-endian, so that byte order is insertion order.
[[nodiscard]] constexpr std::array<std::uint8_t, 8> row_key(std::uint64_t row) noexcept {
  std::array<std::uint8_t, 8> out{};
  for (std::size_t i = 0; i < out.size(); ++i) out[i] = static_cast<std::uint8_t>(row >> (56 - 8 * i));
  return out;
}
/// First row of the first leaf node of the key tree (256 rows each) that has no row before this one.
[[nodiscard]] constexpr std::uint64_t next_leaf_row(std::uint64_t row) noexcept { return (row + 255) / 256 * 256; }
/// Inverse of row_key; the key must be 8 bytes.
template <typename Key>
[[nodiscard]] constexpr std::uint64_t row_of_key(const Key& key) noexcept {
  std::uint64_t row = 0;
  for (const std::uint8_t byte : key) row = row << 8U | byte;
  return row;
}

}  // namespace casevault::vault
