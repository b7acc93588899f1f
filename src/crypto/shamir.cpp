// SPDX-License-Identifier: Apache-2.0
#include "crypto/shamir.hpp"

#include <gsl/gsl>

#include <algorithm>
#include <bitset>

namespace casevault::crypto {
namespace {

constexpr std::size_t kSize = KeyView::extent;

}  // namespace

namespace detail {

std::uint8_t gf_multiply(std::uint8_t a, std::uint8_t b) noexcept {
  unsigned product = 0;
  unsigned shifted = a;
  for (unsigned bit = 0; bit < 8; ++bit) {
    product ^= shifted & (0U - (static_cast<unsigned>(b) >> bit & 1U));
    shifted = shifted << 1U ^ (0x11BU & (0U - (shifted >> 7U)));
  }
  return static_cast<std::uint8_t>(product);
}

std::uint8_t gf_invert(std::uint8_t a) noexcept {
  // a^254, as a^255 = 1: the product of a^2, a^4, ... a^128.
  std::uint8_t result = 1;
  std::uint8_t power = a;
  for (int i = 1; i < 8; ++i) {
    power = gf_multiply(power, power);
    result = gf_multiply(result, power);
  }
  return result;
}

}  // namespace detail

std::vector<ShamirShare> shamir_split(KeyView secret, unsigned threshold, unsigned total, base::Random& random) {
  Expects(threshold >= 2 && threshold <= total && total <= kMaxShares);
  // One polynomial for each byte; row d holds the coefficients of x^d, all of them uniform, zero included.
  SecretBytes coefficients(threshold * kSize);
  const MutableBytes rows = coefficients.mutable_view();
  std::copy(secret.begin(), secret.end(), rows.begin());
  random.fill(rows.subspan(kSize));
  std::vector<ShamirShare> shares(total);
  for (unsigned i = 0; i < total; ++i) {
    shares[i] = {static_cast<std::uint8_t>(i + 1), SecretBytes(kSize)};
    const MutableBytes value = shares[i].value.mutable_view();
    for (unsigned degree = threshold; degree-- > 0;) {  // Horner's rule
      for (std::size_t byte = 0; byte < kSize; ++byte) {
        value[byte] =
            static_cast<std::uint8_t>(detail::gf_multiply(value[byte], shares[i].index) ^ rows[degree * kSize + byte]);
      }
    }
  }
  return shares;
}

SecretBytes shamir_combine(std::span<const ShamirShare> shares) {
  std::bitset<256> seen;
  for (const ShamirShare& share : shares) {
    Expects(share.index != 0 && !seen[share.index] && share.value.size() == kSize);
    seen.set(share.index);
  }
  SecretBytes secret(kSize);
  const MutableBytes out = secret.mutable_view();
  for (const ShamirShare& share : shares) {
    // Lagrange's polynomial of this share at 0: the product of other / (other - mine), and minus is plus here.
    std::uint8_t weight = 1;
    for (const ShamirShare& other : shares) {
      if (other.index == share.index) continue;
      const auto difference = static_cast<std::uint8_t>(other.index ^ share.index);
      weight = detail::gf_multiply(weight, detail::gf_multiply(other.index, detail::gf_invert(difference)));
    }
    for (std::size_t byte = 0; byte < kSize; ++byte) {
      out[byte] = static_cast<std::uint8_t>(out[byte] ^ detail::gf_multiply(share.value.view()[byte], weight));
    }
  }
  return secret;
}

}  // namespace casevault::crypto
