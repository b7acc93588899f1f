// SPDX-License-Identifier: Apache-2.0
#include "crypto/shamir.hpp"

#include <algorithm>
#include <set>

#include "catch.hpp"
#include "support/fixed_environment.hpp"

namespace casevault::test {
namespace {

using crypto::detail::gf_invert;
using crypto::detail::gf_multiply;

SecretBytes secret_of(std::uint8_t first) {
  SecretBytes secret(32);
  for (std::size_t i = 0; i < 32; ++i) secret.mutable_view()[i] = static_cast<std::uint8_t>(first + i);
  return secret;
}

std::vector<crypto::ShamirShare> choose(const std::vector<crypto::ShamirShare>& from, unsigned mask) {
  std::vector<crypto::ShamirShare> out;
  for (std::size_t i = 0; i < from.size(); ++i) {
    if ((mask >> i & 1U) != 0) out.push_back({from[i].index, from[i].value.clone()});
  }
  return out;
}

TEST_CASE("multiplication in GF(2^8) is that of FIPS 197, checked against logarithms") {
  CHECK(gf_multiply(0x57, 0x83) == 0xC1);  // FIPS 197 sections 4.2 and 4.2.1
  CHECK(gf_multiply(0x57, 0x13) == 0xFE);
  std::array<std::uint8_t, 255> exponential{};
  std::array<int, 256> logarithm{};
  unsigned power = 1;
  for (int i = 0; i < 255; ++i) {
    exponential[static_cast<std::size_t>(i)] = static_cast<std::uint8_t>(power);
    logarithm[power] = i;
    power = power ^ power << 1U;  // 3 generates the group
    if (power > 255) power ^= 0x11BU;
  }
  for (unsigned a = 0; a < 256; ++a) {
    for (unsigned b = 0; b < 256; ++b) {
      const auto expected =
          a == 0 || b == 0 ? 0 : exponential[static_cast<std::size_t>((logarithm[a] + logarithm[b]) % 255)];
      if (gf_multiply(static_cast<std::uint8_t>(a), static_cast<std::uint8_t>(b)) != expected) FAIL(a << " x " << b);
    }
    const auto inverse = gf_invert(static_cast<std::uint8_t>(a));
    CHECK(gf_multiply(static_cast<std::uint8_t>(a), inverse) == (a == 0 ? 0 : 1));
  }
}

TEST_CASE("every choice of k shares gives the secret back, and none of k - 1 does") {
  FixedEnvironment environment;
  const SecretBytes secret = secret_of(200);
  for (unsigned total = 2; total <= 6; ++total) {
    for (unsigned threshold = 2; threshold <= total; ++threshold) {
      CAPTURE(threshold, total);
      const auto shares = crypto::shamir_split(crypto::key_of(secret), threshold, total, environment.random);
      REQUIRE(shares.size() == total);
      for (unsigned mask = 1; mask < 1U << total; ++mask) {
        const auto chosen = choose(shares, mask);
        const bool enough = chosen.size() >= threshold;
        CHECK(crypto::shamir_combine(chosen).equals(secret.view()) == enough);
      }
    }
  }
}

TEST_CASE("the largest sets work, and shares may come in any order") {
  FixedEnvironment environment;
  const SecretBytes secret = secret_of(7);
  for (const auto& [threshold, total] : {std::pair(2U, 255U), std::pair(255U, 255U), std::pair(32U, 32U)}) {
    auto shares = crypto::shamir_split(crypto::key_of(secret), threshold, total, environment.random);
    std::ranges::reverse(shares);
    shares.resize(threshold);
    CHECK(crypto::shamir_combine(shares).equals(secret.view()));
  }
}

TEST_CASE("one share fewer than the threshold fits every secret equally") {
  // 2 of 2: one share fixes, for each possible secret, one other share; over all splits each value of it comes up.
  FixedEnvironment environment;
  const SecretBytes secret = secret_of(0);
  std::set<std::uint8_t> first_bytes;
  bool zero_coefficient = false;
  for (int i = 0; i < 4000; ++i) {
    const auto shares = crypto::shamir_split(crypto::key_of(secret), 2, 2, environment.random);
    first_bytes.insert(shares[0].value.view()[0]);
    zero_coefficient = zero_coefficient || shares[0].value.view()[0] == secret.view()[0];
  }
  CHECK(first_bytes.size() == 256);
  CHECK(zero_coefficient);  // refusing it would tell what the secret is not
}

TEST_CASE("two splits of one secret share nothing, and their shares do not combine") {
  FixedEnvironment environment;
  const SecretBytes secret = secret_of(1);
  auto one = crypto::shamir_split(crypto::key_of(secret), 2, 3, environment.random);
  auto two = crypto::shamir_split(crypto::key_of(secret), 2, 3, environment.random);
  CHECK_FALSE(one[0].value.equals(two[0].value.view()));
  std::vector<crypto::ShamirShare> mixed;
  mixed.push_back(std::move(one[0]));
  mixed.push_back(std::move(two[1]));
  CHECK_FALSE(crypto::shamir_combine(mixed).equals(secret.view()));
}

TEST_CASE("a change of any bit of a share changes the secret") {
  FixedEnvironment environment;
  const SecretBytes secret = secret_of(1);
  auto shares = crypto::shamir_split(crypto::key_of(secret), 3, 3, environment.random);
  for (auto& share : shares) {
    for (std::size_t bit = 0; bit < 256; ++bit) {
      std::uint8_t& byte = share.value.mutable_view()[bit / 8];
      byte = static_cast<std::uint8_t>(byte ^ 1U << bit % 8);
      CHECK_FALSE(crypto::shamir_combine(shares).equals(secret.view()));
      byte = static_cast<std::uint8_t>(byte ^ 1U << bit % 8);
    }
  }
  CHECK(crypto::shamir_combine(shares).equals(secret.view()));
}

}  // namespace
}  // namespace casevault::test
