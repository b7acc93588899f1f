// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <casevault/result.hpp>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace casevault {

using ByteView = std::span<const std::uint8_t>;
using MutableBytes = std::span<std::uint8_t>;
using Bytes = std::vector<std::uint8_t>;

[[nodiscard]] inline ByteView as_bytes(std::string_view text) noexcept {
  return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};  // NOLINT
}
[[nodiscard]] inline std::string_view as_text(ByteView bytes) noexcept {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};  // NOLINT
}

/// Plaintext or key bytes that must not be dumped, swapped or left behind.
///
/// Owns a block of the secret arena: locked (see `memory_lock_status`), left out of core dumps, zeroed
/// in forked children, wiped on destruction. Move-only; compares in constant time; cannot be printed.
/// Construction throws `std::bad_alloc` when the arena cannot grow.
/// Thread rule: as std::vector.
class CASEVAULT_API SecretBytes {
 public:
  SecretBytes() noexcept = default;
  explicit SecretBytes(std::size_t size);  ///< zero-filled
  [[nodiscard]] static SecretBytes copy(ByteView source);
  SecretBytes(SecretBytes&& other) noexcept;
  SecretBytes& operator=(SecretBytes&& other) noexcept;
  SecretBytes(const SecretBytes&) = delete;
  SecretBytes& operator=(const SecretBytes&) = delete;
  ~SecretBytes();

  [[nodiscard]] std::size_t size() const noexcept { return size_; }
  [[nodiscard]] bool empty() const noexcept { return size_ == 0; }
  [[nodiscard]] ByteView view() const noexcept { return {data_, size_}; }
  [[nodiscard]] MutableBytes mutable_view() noexcept { return {data_, size_}; }
  [[nodiscard]] std::string_view text() const noexcept { return as_text(view()); }
  /// Wipes the tail and keeps the first `size` bytes; `size` must not exceed the present size.
  void shrink(std::size_t size) noexcept;
  [[nodiscard]] SecretBytes clone() const { return copy(view()); }
  [[nodiscard]] bool equals(ByteView other) const noexcept;  ///< constant time in the content

 private:
  std::uint8_t* data_ = nullptr;
  std::size_t size_ = 0;
};

/// Whether every block handed out so far could be locked into memory (mlock).
struct MemoryLockStatus {
  bool locked = true;            ///< false once any lock was refused by the system
  std::size_t bytes_in_use = 0;  ///< bytes now handed out
};
[[nodiscard]] CASEVAULT_API MemoryLockStatus memory_lock_status() noexcept;

}  // namespace casevault
