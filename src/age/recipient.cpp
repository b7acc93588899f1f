// SPDX-License-Identifier: Apache-2.0
#include "age/recipient.hpp"

#include <algorithm>

#include "age/bech32.hpp"

namespace casevault::age {
namespace {

constexpr std::string_view kRecipientPrefix = "age";
constexpr std::string_view kIdentityPrefix = "AGE-SECRET-KEY-";

}  // namespace

Result<Recipient> Recipient::parse(std::string_view text) {
  const auto decoded = bech32_decode(text);
  if (decoded && decoded->prefix == kRecipientPrefix && decoded->data.size() == 32) {
    crypto::PublicKey key{};
    std::ranges::copy(decoded->data.view(), key.begin());
    return Recipient(key);
  }
  // "age1yubikey1..." and its like; the post-quantum "age1pq1..." too.
  if (decoded && decoded->prefix.starts_with("age1")) {
    return Error{ErrorCode::kUnsupported,
                 "age recipient is of a kind that needs a plugin or a newer age; ask for an X25519 one: 'age1' and 58 "
                 "more characters"};
  }
  return Error{ErrorCode::kBadInput,
               "age recipient is not 'age1' and 58 more characters with a right checksum; copy it again, whole"};
}

std::string Recipient::text() const { return std::string(bech32_encode(kRecipientPrefix, key_).text()); }

Identity::Identity(SecretBytes secret)
    : secret_(std::move(secret)), recipient_(crypto::x25519_public(crypto::key_of(secret_))) {}

Identity Identity::generate(base::Random& random) { return Identity(crypto::random_key(random)); }

Result<Identity> Identity::parse(std::string_view text) {
  auto decoded = bech32_decode(text);
  if (decoded && decoded->prefix == kIdentityPrefix && decoded->data.size() == 32) {
    return Identity(std::move(decoded->data));
  }
  if (decoded && decoded->prefix.starts_with("AGE-PLUGIN-")) {
    return Error{ErrorCode::kUnsupported, "age identity belongs to a plugin; only 'AGE-SECRET-KEY-1...' can be used"};
  }
  return Error{ErrorCode::kBadInput,
               "age identity is not 'AGE-SECRET-KEY-1' and 58 more characters with a right checksum; copy it again, "
               "whole"};
}

SecretBytes Identity::text() const { return bech32_encode(kIdentityPrefix, secret_.view()); }

Result<std::vector<Identity>> parse_identities(std::string_view text) {
  std::vector<Identity> out;
  for (std::size_t number = 1; !text.empty(); ++number) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (line.empty() || line.front() == '#') continue;
    Result<Identity> identity = Identity::parse(line);
    if (!identity) {
      return Error{identity.error().code, "line " + std::to_string(number) + ": " + identity.error().message};
    }
    out.push_back(*std::move(identity));
  }
  if (out.empty()) return Error{ErrorCode::kBadInput, "age identity file holds no 'AGE-SECRET-KEY-1...' line"};
  return out;
}

}  // namespace casevault::age
