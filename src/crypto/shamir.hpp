// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/environment.hpp"
#include "crypto/types.hpp"

#include <vector>

/// Shamir's secret sharing of 32 bytes, byte by byte over GF(2^8) mod x^8 + x^4 + x^3 + x + 1. No branch and no address
/// depends on a secret. Shares carry no proof: a wrong one gives a wrong secret, which the caller must be able to tell.
namespace casevault::crypto {

inline constexpr unsigned kMaxShares = 255;

/// The value of the polynomials at `index`, 1 to 255: at 0 they are the secret.
struct ShamirShare {
  std::uint8_t index = 0;
  SecretBytes value;
};

/// `total` shares with indices 1 to `total`, any `threshold` of which give the secret and fewer tell nothing of it.
/// 2 <= threshold <= total <= kMaxShares (programmer error otherwise).
[[nodiscard]] std::vector<ShamirShare> shamir_split(KeyView secret, unsigned threshold, unsigned total,
                                                    base::Random& random);
/// From exactly as many shares as the threshold says, with indices that differ and are not 0 (programmer error
/// otherwise).
[[nodiscard]] SecretBytes shamir_combine(std::span<const ShamirShare> shares);

namespace detail {
[[nodiscard]] std::uint8_t gf_multiply(std::uint8_t a, std::uint8_t b) noexcept;
[[nodiscard]] std::uint8_t gf_invert(std::uint8_t a) noexcept;  ///< 0 for 0
}  // namespace detail

}  // namespace casevault::crypto
