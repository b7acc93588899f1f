// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <casevault/bytes.hpp>

#include <array>

namespace casevault::crypto {

using KeyView = std::span<const std::uint8_t, 32>;
using LabelView = std::span<const std::uint8_t, 16>;  ///< one entry of format/labels.hpp
using Hash = std::array<std::uint8_t, 32>;

void wipe(MutableBytes bytes) noexcept;
void wipe(std::string& text) noexcept;  ///< all it ever held in its present buffer; empty afterwards
[[nodiscard]] bool equal(ByteView a, ByteView b) noexcept;  ///< constant time in the content

/// Short-lived key material on the stack, wiped on destruction. Long-lived keys are SecretBytes.
template <std::size_t N>
class Wiped {
 public:
  Wiped() noexcept = default;
  Wiped(const Wiped&) = delete;
  Wiped& operator=(const Wiped&) = delete;
  ~Wiped() { wipe(bytes_); }
  [[nodiscard]] std::span<std::uint8_t, N> out() noexcept { return std::span<std::uint8_t, N>(bytes_); }
  [[nodiscard]] std::span<const std::uint8_t, N> view() const noexcept {
    return std::span<const std::uint8_t, N>(bytes_);
  }

 private:
  alignas(16) std::array<std::uint8_t, N> bytes_{};
};

/// A 32-byte secret held in the arena as a key; `key` must be exactly 32 bytes (programmer error otherwise).
[[nodiscard]] KeyView key_of(const SecretBytes& key);

}  // namespace casevault::crypto
