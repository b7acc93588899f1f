// SPDX-License-Identifier: Apache-2.0
#include "crypto/keypair.hpp"

#include <algorithm>

#include "crypto/sodium.hpp"

namespace casevault::crypto {
namespace {

using SigningKey = std::span<const std::uint8_t, crypto_sign_SECRETKEYBYTES>;  // seed ‖ public key

/// libsodium's form of a secret key.
PublicKey expand(KeyView seed, std::span<std::uint8_t, crypto_sign_SECRETKEYBYTES> out) noexcept {
  ready_sodium();
  PublicKey public_key{};
  crypto_sign_seed_keypair(public_key.data(), out.data(), seed.data());
  return public_key;
}

Signature sign_with(SigningKey key, ByteView message) noexcept {
  Signature out{};
  crypto_sign_detached(out.data(), nullptr, message.data(), message.size(), key.data());
  return out;
}

Bytes labelled(LabelView label, ByteView message) {
  Bytes out(label.size() + message.size());
  std::ranges::copy(message, std::ranges::copy(label, out.begin()).out);
  return out;
}

}  // namespace

PublicKey x25519_public(KeyView secret) {
  ready_sodium();
  PublicKey out{};
  crypto_scalarmult_base(out.data(), secret.data());
  return out;
}

Result<SecretBytes> x25519(KeyView secret, KeyView peer_public) {
  ready_sodium();
  SecretBytes shared(32);
  if (crypto_scalarmult(shared.mutable_view().data(), secret.data(), peer_public.data()) != 0) {
    return Error{ErrorCode::kBadInput, "X25519 public key is a low-order point; no honest key is: do not use it"};
  }
  return shared;
}

PublicKey ed25519_public(KeyView seed) {
  Wiped<crypto_sign_SECRETKEYBYTES> key;
  return expand(seed, key.out());
}

Signature sign(LabelView label, KeyView seed, ByteView message) { return sign_raw(seed, labelled(label, message)); }

bool verify(LabelView label, KeyView public_key, ByteView message, ByteView signature) {
  return verify_raw(public_key, labelled(label, message), signature);
}

Signer::Signer(KeyView seed) : key_(crypto_sign_SECRETKEYBYTES) {
  expand(seed, key_.mutable_view().first<crypto_sign_SECRETKEYBYTES>());
}

Signature Signer::sign(LabelView label, ByteView message) const {
  return sign_with(key_.view().first<crypto_sign_SECRETKEYBYTES>(), labelled(label, message));
}

Signature sign_raw(KeyView seed, ByteView message) {
  Wiped<crypto_sign_SECRETKEYBYTES> key;
  expand(seed, key.out());
  return sign_with(key.view(), message);
}

bool verify_raw(KeyView public_key, ByteView message, ByteView signature) {
  ready_sodium();
  return signature.size() == crypto_sign_BYTES &&
         crypto_sign_verify_detached(signature.data(), message.data(), message.size(), public_key.data()) == 0;
}

SecretBytes random_key(base::Random& random) {
  SecretBytes key(32);
  random.fill(key.mutable_view());
  return key;
}

}  // namespace casevault::crypto
