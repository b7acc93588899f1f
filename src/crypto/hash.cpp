// SPDX-License-Identifier: Apache-2.0
#include "crypto/hash.hpp"

#include <algorithm>
#include <gsl/gsl>

#include "crypto/sodium.hpp"

namespace casevault::crypto {

Hash sha256(std::initializer_list<ByteView> parts) {
  ready_sodium();
  crypto_hash_sha256_state state;
  crypto_hash_sha256_init(&state);
  for (const ByteView part : parts) crypto_hash_sha256_update(&state, part.data(), part.size());
  Hash out{};
  crypto_hash_sha256_final(&state, out.data());
  return out;
}

Hash blake2b256(ByteView data) {
  ready_sodium();
  Hash out{};
  crypto_generichash_blake2b(out.data(), out.size(), data.data(), data.size(), nullptr, 0);
  return out;
}

void derive64(LabelView label, ByteView key, ByteView message, std::span<std::uint8_t, 64> out) noexcept {
  Expects(key.size() >= 32 && key.size() <= 64);
  ready_sodium();
  static constexpr std::array<std::uint8_t, crypto_generichash_blake2b_SALTBYTES> kNoSalt{};
  crypto_generichash_blake2b_salt_personal(out.data(), out.size(), message.data(), message.size(), key.data(),
                                           key.size(), kNoSalt.data(), label.data());
}

void derive32(LabelView label, ByteView key, ByteView message, std::span<std::uint8_t, 32> out) noexcept {
  Wiped<64> whole;
  derive64(label, key, message, whole.out());
  std::ranges::copy(whole.view().first<32>(), out.begin());
}

SecretBytes derive_key(LabelView label, ByteView key, ByteView message) {
  SecretBytes out(32);
  derive32(label, key, message, out.mutable_view().first<32>());
  return out;
}

std::uint64_t siphash(KeyView key, ByteView message) noexcept {
  std::array<std::uint8_t, crypto_shorthash_BYTES> out{};
  crypto_shorthash(out.data(), message.data(), message.size(), key.data());
  std::uint64_t value = 0;  // SipHash is defined as a number; libsodium writes it little-endian
  for (std::size_t i = out.size(); i-- > 0;) value = value << 8U | out[i];
  return value;
}

Result<SecretBytes> argon2id(ByteView passphrase, std::span<const std::uint8_t, 16> salt, Argon2Cost cost) {
  if (cost.passes < 1 || cost.passes > 8 || cost.memory_kib < 64 * 1024 || cost.memory_kib > 1024 * 1024) {
    return Error{ErrorCode::kUnsupported, "Argon2id cost of " + std::to_string(cost.passes) + " passes over " +
                                              std::to_string(cost.memory_kib) +
                                              " KiB is outside 1 to 8 passes over 64 MiB to 1 GiB; the file is not "
                                              "one this version writes"};
  }
  ready_sodium();
  SecretBytes out(32);
  const char* const text = passphrase.empty() ? "" : as_text(passphrase).data();  // libsodium takes no null
  const std::size_t memory = std::size_t{cost.memory_kib} * 1024;
  if (crypto_pwhash(out.mutable_view().data(), out.size(), text, passphrase.size(), salt.data(), cost.passes, memory,
                    crypto_pwhash_ALG_ARGON2ID13) != 0) {
    return Error{ErrorCode::kIo, "Argon2id could not get " + std::to_string(cost.memory_kib / 1024) +
                                     " MiB of memory; close other programs and try again"};
  }
  return out;
}

}  // namespace casevault::crypto
