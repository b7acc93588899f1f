// SPDX-License-Identifier: Apache-2.0
#include "keys/grants.hpp"

#include "base/cursor.hpp"
#include "crypto/envelope.hpp"
#include "crypto/hash.hpp"
#include "format/labels.hpp"

#include <algorithm>

namespace casevault::keys {
namespace {

using crypto::key_of;

Bytes vault_context(const VaultTag& vault, std::uint32_t epoch) {
  Bytes out;
  base::Writer(out).bytes(vault).u32(epoch);
  return out;
}

Bytes epoch_context(const VaultTag& vault, EpochName name) {
  Bytes out;
  base::Writer(out).bytes(vault).u16(name.compartment).u32(name.epoch);
  return out;
}

/// `which`: 0 for CK', 1 for CK, so that one commitment never stands for the other.
crypto::Hash commitment(const VaultTag& vault, EpochName name, const SecretBytes& key, std::uint8_t which) {
  Bytes message = epoch_context(vault, name);
  message.push_back(which);
  crypto::Hash out{};
  crypto::derive32(format::kEpochCommit, key.view(), message, out);
  return out;
}

std::string describe(EpochName name) {
  return "compartment " + std::to_string(name.compartment) + " epoch " + std::to_string(name.epoch);
}

}  // namespace

GrantLabel vault_key_label(const VaultTag& vault, std::uint32_t epoch, const crypto::PublicKey& principal) {
  crypto::Hash full{};
  crypto::derive32(format::kVaultKeyLabel, principal, vault_context(vault, epoch), full);
  GrantLabel out{};
  std::copy_n(full.begin(), out.size(), out.begin());
  return out;
}

Result<Bytes> seal_vault_key(const VaultTag& vault, std::uint32_t epoch, const crypto::PublicKey& principal,
                             const SecretBytes& vault_key, base::Random& random) {
  return crypto::seal_box(format::kVaultKeyGrant, principal, vault_context(vault, epoch), vault_key.view(), random);
}

Result<SecretBytes> open_vault_key(const VaultTag& vault, std::uint32_t epoch, const SecretBytes& x_secret,
                                   const crypto::PublicKey& x_public, ByteView box) {
  CASEVAULT_TRY(SecretBytes key,
                crypto::open_box(format::kVaultKeyGrant, key_of(x_secret), x_public, vault_context(vault, epoch), box));
  if (key.size() != 32)
    return Error{ErrorCode::kIntegrity, "the grant of vault key epoch " + std::to_string(epoch) + " is malformed"};
  return key;
}

crypto::Hash vault_key_commitment(const VaultTag& vault, std::uint32_t epoch, const SecretBytes& vault_key) {
  crypto::Hash out{};
  crypto::derive32(format::kVaultKeyCommit, vault_key.view(), vault_context(vault, epoch), out);
  return out;
}

Result<Bytes> seal_epoch(const VaultTag& vault, EpochName name, const crypto::PublicKey& principal,
                         const SecretBytes& granted, base::Random& random) {
  return crypto::seal_box(format::kEpochGrant, principal, epoch_context(vault, name), granted.view(), random);
}

Result<SecretBytes> open_epoch(const VaultTag& vault, EpochName name, const SecretBytes& x_secret,
                               const crypto::PublicKey& x_public, ByteView box, const EpochCommitments& commitments) {
  auto opened = crypto::open_box(format::kEpochGrant, key_of(x_secret), x_public, epoch_context(vault, name), box);
  if (!opened || opened->size() != 32 || !crypto::equal(commitment(vault, name, *opened, 0), commitments.granted)) {
    return Error{ErrorCode::kIntegrity, "the grant of " + describe(name) + " does not hold the key the log commits to"};
  }
  return opened;
}

Bytes seal_past_epoch(const VaultTag& vault, EpochName name, const SecretBytes& granted, const SecretBytes& past,
                      base::Random& random) {
  return crypto::seal_envelope(format::kEpochPast, key_of(granted), epoch_context(vault, name), past.view(), random);
}

Result<SecretBytes> open_past_epoch(const VaultTag& vault, EpochName name, const SecretBytes& granted,
                                    ByteView envelope, const EpochCommitments& past) {
  const EpochName before{name.compartment, name.epoch - 1};
  auto opened = crypto::open_envelope(format::kEpochPast, key_of(granted), epoch_context(vault, name), envelope);
  if (!opened || opened->size() != 32 || !crypto::equal(commitment(vault, before, *opened, 0), past.granted)) {
    return Error{ErrorCode::kIntegrity,
                 "what " + describe(name) + " keeps of " + describe(before) + " is not the key the log commits to"};
  }
  return opened;
}

SecretBytes epoch_key(const VaultTag& vault, EpochName name, const SecretBytes& granted, const SecretBytes& half) {
  crypto::Wiped<64> both;
  std::ranges::copy(granted.view(), both.out().begin());
  std::ranges::copy(half.view(), both.out().begin() + 32);
  return crypto::derive_key(format::kEpochKey, both.view(), epoch_context(vault, name));
}

SecretBytes deposit_secret(const VaultTag& vault, EpochName name, const SecretBytes& key) {
  return crypto::derive_key(format::kEpochDeposit, key.view(), epoch_context(vault, name));
}

EpochCommitments commit_epoch(const VaultTag& vault, EpochName name, const SecretBytes& granted,
                              const SecretBytes& key) {
  return {commitment(vault, name, granted, 0), commitment(vault, name, key, 1),
          crypto::x25519_public(key_of(deposit_secret(vault, name, key)))};
}

Result<SecretBytes> checked_epoch_key(const VaultTag& vault, EpochName name, const SecretBytes& granted,
                                      const SecretBytes& half, const EpochCommitments& commitments) {
  SecretBytes key = epoch_key(vault, name, granted, half);
  if (!crypto::equal(commitment(vault, name, key, 1), commitments.key)) {
    return Error{ErrorCode::kIntegrity,
                 "the half of " + describe(name) + " in the key tree is not the one the log commits to"};
  }
  // Whoever opened the epoch stated this key too: a false one would send all deposits to somebody else.
  if (crypto::x25519_public(key_of(deposit_secret(vault, name, key))) != commitments.deposit_public) {
    return Error{ErrorCode::kIntegrity,
                 "the deposit key that the log names for " + describe(name) + " is not that of its key"};
  }
  return key;
}

}  // namespace casevault::keys
