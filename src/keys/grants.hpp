// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/environment.hpp"
#include "crypto/keypair.hpp"

/// Vault keys and compartment epochs: how they are granted, committed to, and derived (FORMAT.md, "Grants and epochs").
namespace casevault::keys {

using VaultTag = std::array<std::uint8_t, 16>;  ///< random, in clear: what every derivation of a vault is bound to

// --- vault key
// -------------------------------------------------------------------------------------------------------------
using GrantLabel = std::array<std::uint8_t, 16>;
/// What a principal looks for among the anonymous grants of a vault key epoch.
[[nodiscard]] GrantLabel vault_key_label(const VaultTag& vault, std::uint32_t epoch,
                                         const crypto::PublicKey& principal);
[[nodiscard]] Result<Bytes> seal_vault_key(const VaultTag& vault, std::uint32_t epoch,
                                           const crypto::PublicKey& principal, const SecretBytes& vault_key,
                                           base::Random& random);
[[nodiscard]] Result<SecretBytes> open_vault_key(const VaultTag& vault, std::uint32_t epoch,
                                                 const SecretBytes& x_secret, const crypto::PublicKey& x_public,
                                                 ByteView box);
[[nodiscard]] crypto::Hash vault_key_commitment(const VaultTag& vault, std::uint32_t epoch,
                                                const SecretBytes& vault_key);

// --- compartment epochs
// ----------------------------------------------------------------------------------------------------
struct EpochName {
  std::uint16_t compartment = 0;  ///< persisted id
  std::uint32_t epoch = 0;        ///< from 1
  auto operator<=>(const EpochName&) const = default;
};
/// CK' is what is granted; CK = KDF(CK', half) is what cells are sealed under and is never written.
struct EpochCommitments {
  crypto::Hash granted{};              ///< to CK'
  crypto::Hash key{};                  ///< to CK
  crypto::PublicKey deposit_public{};  ///< X25519 of the epoch, derived from CK
};
[[nodiscard]] Result<Bytes> seal_epoch(const VaultTag& vault, EpochName name, const crypto::PublicKey& principal,
                                       const SecretBytes& granted, base::Random& random);
/// Opens CK' and checks it against the log's commitment. kIntegrity on any mismatch: the log says what the key must be.
[[nodiscard]] Result<SecretBytes> open_epoch(const VaultTag& vault, EpochName name, const SecretBytes& x_secret,
                                             const crypto::PublicKey& x_public, ByteView box,
                                             const EpochCommitments& commitments);
/// CK' of the epoch before `name`, for whoever holds `name`: members read what is still under the old epoch.
[[nodiscard]] Bytes seal_past_epoch(const VaultTag& vault, EpochName name, const SecretBytes& granted,
                                    const SecretBytes& past, base::Random& random);
/// Checked against the log's commitment to the epoch before. kIntegrity on any mismatch.
[[nodiscard]] Result<SecretBytes> open_past_epoch(const VaultTag& vault, EpochName name, const SecretBytes& granted,
                                                  ByteView envelope, const EpochCommitments& past);
[[nodiscard]] SecretBytes epoch_key(const VaultTag& vault, EpochName name, const SecretBytes& granted,
                                    const SecretBytes& half);
[[nodiscard]] SecretBytes deposit_secret(const VaultTag& vault, EpochName name, const SecretBytes& key);
[[nodiscard]] EpochCommitments commit_epoch(const VaultTag& vault, EpochName name, const SecretBytes& granted,
                                            const SecretBytes& key);
/// epoch_key checked against the commitment; kIntegrity when the half is not the one of this epoch.
[[nodiscard]] Result<SecretBytes> checked_epoch_key(const VaultTag& vault, EpochName name, const SecretBytes& granted,
                                                    const SecretBytes& half, const EpochCommitments& commitments);

}  // namespace casevault::keys
