// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <stdexcept>

#include "base/text.hpp"
#include "crypto/types.hpp"

namespace casevault::test {

/// Bytes of a test vector; spaces are ignored.
inline Bytes hex(std::string_view text) {
  std::string digits(text);
  std::erase(digits, ' ');
  auto bytes = base::from_hex(digits);
  if (!bytes) throw std::invalid_argument("bad hexadecimal in a test vector");
  return *std::move(bytes);
}

/// The first N bytes as a view of fixed size.
template <std::size_t N>
std::span<const std::uint8_t, N> as(const Bytes& bytes) {
  if (bytes.size() < N) throw std::invalid_argument("test vector too short");
  return std::span<const std::uint8_t>(bytes).first<N>();
}

/// start, start + 1, ...
inline Bytes counting(std::size_t size, std::uint8_t start = 0) {
  Bytes out(size);
  for (std::uint8_t& byte : out) byte = start++;
  return out;
}

template <typename Container>
std::string hex_of(const Container& bytes) {
  return base::to_hex(bytes);
}

}  // namespace casevault::test
