// SPDX-License-Identifier: Apache-2.0
#include "age/file_key.hpp"

#include <algorithm>
#include <optional>

#include "crypto/aead.hpp"
#include "crypto/hash.hpp"

namespace casevault::age {
namespace {

using crypto::Digest;

constexpr std::string_view kX25519 = "X25519";
constexpr std::string_view kX25519Info = "age-encryption.org/v1/X25519";
constexpr std::string_view kScrypt = "scrypt";
constexpr std::string_view kScryptSalt = "age-encryption.org/v1/scrypt";
constexpr std::size_t kSaltSize = 16;
constexpr std::size_t kBodySize = kFileKeySize + crypto::kTagSize;
constexpr std::array<std::uint8_t, 12> kZeroNonce{};  // every wrapping key is used once

Bytes joined(ByteView first, ByteView second) {
  Bytes out(first.begin(), first.end());
  out.insert(out.end(), second.begin(), second.end());
  return out;
}

SecretBytes x25519_wrapping_key(const SecretBytes& shared, ByteView share, const Recipient& recipient) {
  SecretBytes key(32);
  crypto::hkdf(Digest::kSha256, joined(share, recipient.key()), shared.view(), as_bytes(kX25519Info),
               key.mutable_view());
  return key;
}

Result<SecretBytes> scrypt_wrapping_key(const Passphrase& passphrase, ByteView salt, unsigned log2_n) {
  return crypto::scrypt(passphrase.text.view(), joined(as_bytes(kScryptSalt), salt), log2_n);
}

Bytes sealed(const SecretBytes& wrapping_key, const SecretBytes& file_key) {
  Bytes out(kBodySize);
  crypto::chacha_seal(crypto::key_of(wrapping_key), kZeroNonce, {}, file_key.view(), out);
  return out;
}

std::optional<SecretBytes> opened(const SecretBytes& wrapping_key, ByteView body) {
  SecretBytes file_key(kFileKeySize);
  if (!crypto::chacha_open(crypto::key_of(wrapping_key), kZeroNonce, {}, body, file_key.mutable_view())) {
    return std::nullopt;
  }
  return file_key;
}

/// What both kinds have: some bytes as first argument after the type, then perhaps a work factor, and 32 bytes of body.
struct Known {
  bool scrypt = false;
  std::size_t number = 0;  ///< of the stanza, from 1
  Bytes bytes;             ///< ephemeral share, or salt
  unsigned log2_n = 0;
  ByteView body;
};

Error bad(std::size_t number, std::string_view what) {
  return {ErrorCode::kBadInput, "age header, recipient " + std::to_string(number) + ": " + std::string(what)};
}

/// Decimal without sign or leading zero. Whatever has more than two digits is 100: it is refused as too much.
std::optional<unsigned> parse_work_factor(std::string_view text) {
  if (text.empty() || text.front() == '0' || text.find_first_not_of("0123456789") != std::string_view::npos) {
    return std::nullopt;
  }
  unsigned value = 0;
  for (const char digit : text) value = std::min(value * 10 + static_cast<unsigned>(digit - '0'), 100U);
  return value;
}

Result<std::vector<Known>> known_stanzas(const std::vector<Stanza>& stanzas) {
  std::vector<Known> out;
  for (std::size_t i = 0; i < stanzas.size(); ++i) {
    const Stanza& stanza = stanzas[i];
    const auto& arguments = stanza.arguments;
    Known known{arguments[0] == kScrypt, i + 1, {}, 0, stanza.body};
    if (!known.scrypt && arguments[0] != kX25519) continue;
    if (known.scrypt && stanzas.size() != 1) {
      return bad(known.number, "a passphrase must be the only recipient; do not trust the file");
    }
    if (arguments.size() != (known.scrypt ? 3U : 2U)) return bad(known.number, "the number of arguments is wrong");
    auto bytes = from_unpadded_base64(arguments[1]);
    if (!bytes || bytes->size() != (known.scrypt ? kSaltSize : crypto::PublicKey{}.size())) {
      return bad(known.number, known.scrypt ? "the salt is not 16 bytes in canonical base64"
                                            : "the ephemeral key is not 32 bytes in canonical base64");
    }
    known.bytes = *std::move(bytes);
    if (known.scrypt) {
      const auto log2_n = parse_work_factor(arguments[2]);
      if (!log2_n) return bad(known.number, "the work factor is not a decimal number");
      known.log2_n = *log2_n;
    }
    if (known.body.size() != kBodySize) return bad(known.number, "the wrapped key is not 32 bytes");
    out.push_back(std::move(known));
  }
  return out;
}

Result<std::optional<SecretBytes>> try_open(const Known& stanza, const Identity& identity) {
  const auto shared = crypto::x25519(identity.secret(), std::span(stanza.bytes).first<32>());
  if (!shared) return bad(stanza.number, "the ephemeral key is a low-order point; do not trust the file");
  return opened(x25519_wrapping_key(*shared, stanza.bytes, identity.recipient()), stanza.body);
}

Result<std::optional<SecretBytes>> try_open(const Known& stanza, const Passphrase& passphrase) {
  auto key = scrypt_wrapping_key(passphrase, stanza.bytes, stanza.log2_n);
  if (!key) return Error{key.error().code, "age header, recipient 1: " + key.error().message};
  return opened(*key, stanza.body);
}

Error no_match(const std::vector<Known>& stanzas, const Keys& keys) {
  const bool by_passphrase = !stanzas.empty() && stanzas.front().scrypt;
  std::string message = "age file: ";
  if (stanzas.empty()) {
    message +=
        "it is sealed to kinds of recipients only that casevault does not know; ask for one sealed to your 'age1...'";
  } else if (by_passphrase && keys.passphrases.empty()) {
    message += "it is sealed to a passphrase, and none was given";
  } else if (by_passphrase) {
    message += "the passphrase is not the one it is sealed to";
  } else if (keys.identities.empty()) {
    message += "it is sealed to keys, and no identity was given";
  } else {
    message +=
        "no identity given is one of the " + std::to_string(stanzas.size()) + " X25519 recipients it is sealed to";
  }
  return {ErrorCode::kWrongKey, message};
}

}  // namespace

Result<Stanza> wrap(const SecretBytes& file_key, const Recipient& recipient, base::Random& random) {
  const SecretBytes ephemeral = crypto::random_key(random);
  const crypto::PublicKey share = crypto::x25519_public(crypto::key_of(ephemeral));
  CASEVAULT_TRY(const SecretBytes shared, crypto::x25519(crypto::key_of(ephemeral), recipient.key()));
  return Stanza{{std::string(kX25519), unpadded_base64(share)},
                sealed(x25519_wrapping_key(shared, share, recipient), file_key)};
}

Result<Stanza> wrap(const SecretBytes& file_key, const Passphrase& passphrase, base::Random& random) {
  std::array<std::uint8_t, kSaltSize> salt{};
  random.fill(salt);
  CASEVAULT_TRY(const SecretBytes key, scrypt_wrapping_key(passphrase, salt, passphrase.log2_n));
  return Stanza{{std::string(kScrypt), unpadded_base64(salt), std::to_string(passphrase.log2_n)},
                sealed(key, file_key)};
}

Result<SecretBytes> unwrap(const std::vector<Stanza>& stanzas, const Keys& keys) {
  CASEVAULT_TRY(const std::vector<Known> known, known_stanzas(stanzas));
  for (const Known& stanza : known) {
    const auto each = [&](const auto& candidates) -> Result<std::optional<SecretBytes>> {
      for (const auto& candidate : candidates) {
        CASEVAULT_TRY(std::optional<SecretBytes> file_key, try_open(stanza, candidate));
        if (file_key) return file_key;
      }
      return std::optional<SecretBytes>();
    };
    CASEVAULT_TRY(std::optional<SecretBytes> file_key, stanza.scrypt ? each(keys.passphrases) : each(keys.identities));
    if (file_key) return *std::move(file_key);
  }
  return no_match(known, keys);
}

crypto::Hash header_mac(const SecretBytes& file_key, std::string_view authenticated) {
  crypto::Wiped<32> key;
  crypto::hkdf(Digest::kSha256, {}, file_key.view(), as_bytes("header"), key.out());
  crypto::Hash mac{};
  crypto::hmac(Digest::kSha256, key.view(), as_bytes(authenticated), mac);
  return mac;
}

SecretBytes payload_key(const SecretBytes& file_key, ByteView nonce) {
  SecretBytes key(32);
  crypto::hkdf(Digest::kSha256, nonce, file_key.view(), as_bytes("payload"), key.mutable_view());
  return key;
}

}  // namespace casevault::age
