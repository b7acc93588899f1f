// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "age/age.hpp"
#include "age/header.hpp"

namespace casevault::age {

inline constexpr std::size_t kFileKeySize = 16;

/// kBadInput when the recipient is no key anyone honest has; kUnsupported for a cost out of range.
[[nodiscard]] Result<Stanza> wrap(const SecretBytes& file_key, const Recipient& recipient, base::Random& random);
[[nodiscard]] Result<Stanza> wrap(const SecretBytes& file_key, const Passphrase& passphrase, base::Random& random);

/// The file key of the first stanza that one of the keys opens, else kWrongKey. Stanzas of other kinds are passed over;
/// a malformed one of our two kinds is kBadInput whether or not a key would open it.
[[nodiscard]] Result<SecretBytes> unwrap(const std::vector<Stanza>& stanzas, const Keys& keys);

/// The key of the header's MAC and that of the payload.
[[nodiscard]] crypto::Hash header_mac(const SecretBytes& file_key, std::string_view authenticated);
[[nodiscard]] SecretBytes payload_key(const SecretBytes& file_key, ByteView nonce);

}  // namespace casevault::age
