// SPDX-License-Identifier: Apache-2.0
#include "crypto/envelope.hpp"

#include <algorithm>

#include "base/cursor.hpp"
#include "crypto/aead.hpp"
#include "crypto/hash.hpp"
#include "crypto/keypair.hpp"

namespace casevault::crypto {
namespace {

constexpr std::size_t kSaltSize = 24;
constexpr std::size_t kCommitmentSize = 32;
constexpr std::uint8_t kSuite = 1;                    // AES-256-GCM, whatever the suite of the vault's cells
constexpr std::array<std::uint8_t, 12> kOnlyNonce{};  // the key seals one text

/// key 32 ‖ commitment 32.
void derive_pair(LabelView label, KeyView key, ByteView salt, ByteView context, Wiped<64>& out) {
  Bytes message;
  message.reserve(1 + kSaltSize + context.size());
  base::Writer(message).u8(kSuite).bytes(salt).bytes(context);
  derive64(label, key, message, out.out());
}

/// The key of a box, from what X25519 gave and both public keys: an attacker cannot keep the one and swap the other.
SecretBytes box_key(LabelView label, const SecretBytes& shared, ByteView ephemeral, ByteView recipient) {
  Bytes message;
  message.reserve(ephemeral.size() + recipient.size());
  base::Writer(message).bytes(ephemeral).bytes(recipient);
  return derive_key(label, shared.view(), message);
}

}  // namespace

Bytes seal_envelope(LabelView label, KeyView key, ByteView context, ByteView plaintext, base::Random& random) {
  Bytes out(plaintext.size() + kEnvelopeOverhead);
  MutableBytes rest(out);
  const auto next = [&rest](std::size_t size) {
    const MutableBytes head = rest.first(size);
    rest = rest.subspan(size);
    return head;
  };
  next(1)[0] = kSuite;
  const MutableBytes salt = next(kSaltSize);
  random.fill(salt);
  Wiped<64> pair;
  derive_pair(label, key, salt, context, pair);
  std::ranges::copy(pair.view().last<kCommitmentSize>(), next(kCommitmentSize).begin());
  aead_seal(pair.view().first<32>(), kOnlyNonce, {}, plaintext, rest);
  return out;
}

Result<SecretBytes> open_envelope(LabelView label, KeyView key, ByteView context, ByteView envelope) {
  if (envelope.size() < kEnvelopeOverhead) {
    return Error{ErrorCode::kIntegrity, "sealed bytes are cut short: " + std::to_string(envelope.size()) +
                                            " bytes, at least " + std::to_string(kEnvelopeOverhead) +
                                            " expected; restore them from a backup"};
  }
  base::Reader in(envelope);
  if (const std::uint8_t suite = in.u8(); suite != kSuite) {
    return Error{ErrorCode::kUnsupported,
                 "sealed bytes use suite " + std::to_string(suite) + ", unknown here; use a newer casevault"};
  }
  const ByteView salt = in.take(kSaltSize);
  const ByteView commitment = in.take(kCommitmentSize);
  Wiped<64> pair;
  derive_pair(label, key, salt, context, pair);
  if (!equal(pair.view().last<kCommitmentSize>(), commitment)) {
    return Error{ErrorCode::kWrongKey, "sealed bytes do not open: sealed under another key, or for another place"};
  }
  SecretBytes plaintext(in.rest().size() - kTagSize);
  if (!aead_open(pair.view().first<32>(), kOnlyNonce, {}, in.rest(), plaintext.mutable_view())) {
    return Error{ErrorCode::kIntegrity, "sealed bytes were changed after sealing; restore them from a backup"};
  }
  return plaintext;
}

Result<Bytes> seal_box(LabelView label, KeyView recipient_public, ByteView context, ByteView plaintext,
                       base::Random& random) {
  const SecretBytes ephemeral_secret = random_key(random);
  CASEVAULT_TRY(const SecretBytes shared, x25519(key_of(ephemeral_secret), recipient_public));
  const PublicKey ephemeral = x25519_public(key_of(ephemeral_secret));
  const SecretBytes key = box_key(label, shared, ephemeral, recipient_public);
  const Bytes envelope = seal_envelope(label, key_of(key), context, plaintext, random);
  Bytes out;
  out.reserve(ephemeral.size() + envelope.size());
  base::Writer(out).bytes(ephemeral).bytes(envelope);
  return out;
}

Result<SecretBytes> open_box(LabelView label, KeyView recipient_secret, KeyView recipient_public, ByteView context,
                             ByteView box) {
  if (box.size() < kBoxOverhead) {
    return Error{ErrorCode::kIntegrity, "sealed box is cut short: " + std::to_string(box.size()) + " bytes, at least " +
                                            std::to_string(kBoxOverhead) + " expected; restore it from a backup"};
  }
  const auto ephemeral = box.first<32>();
  const Result<SecretBytes> shared = x25519(recipient_secret, ephemeral);
  if (!shared) {
    return Error{ErrorCode::kIntegrity,
                 "sealed box names a sender key that no honest sender has; it was tampered with"};
  }
  const SecretBytes key = box_key(label, *shared, ephemeral, recipient_public);
  return open_envelope(label, key_of(key), context, box.subspan(ephemeral.size()));
}

}  // namespace casevault::crypto
