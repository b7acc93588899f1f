// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <casevault/unlock.hpp>

#include "crypto/keypair.hpp"
#include "crypto/shamir.hpp"

/// Shares of a quorum as one line of text (FORMAT.md section 6): Bech32, so that every changed character is told, and
/// signed by the identity, so that a share of another hand is told too.
namespace casevault::keys {

inline constexpr unsigned kMaxShareFiles = 32;

/// What all shares of one set have in common.
struct ShareTerms {
  std::array<std::uint8_t, 8> set{};  ///< the id of the slot they open
  unsigned threshold = 0;
  unsigned total = 0;
  bool operator==(const ShareTerms&) const = default;
};

struct ParsedShare {
  ShareTerms terms;
  crypto::ShamirShare share;
  crypto::Signature signature{};
};

/// `total` lines, each with its line end.
[[nodiscard]] std::vector<SecretBytes> make_shares(const ShareTerms& terms, crypto::KeyView secret,
                                                   crypto::KeyView ed_seed, base::Random& random);
/// kBadInput when the line is damaged, kUnsupported for another version. Blanks and line ends around it are ignored.
[[nodiscard]] Result<ParsedShare> parse_share(std::string_view line);

struct CombinedShares {
  ShareTerms terms;
  SecretBytes secret;  ///< right only if it opens the slot of these terms
};
/// kBadInput for a damaged share and for shares of two sets, kWrongKey for one that `dealer` has not signed, kUsage for
/// one that is there twice, kWaiting for too few. The share is named.
[[nodiscard]] Result<CombinedShares> combine_shares(const Shares& shares, const crypto::PublicKey& dealer);

}  // namespace casevault::keys
