// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <casevault/unlock.hpp>

#include "base/environment.hpp"
#include "crypto/keypair.hpp"

namespace casevault {

/// The unlocked identity. Secrets live in the arena.
struct Identity::Impl {
  std::filesystem::path file;
  std::string name;
  std::string public_string;
  SecretBytes x_secret;  ///< X25519
  SecretBytes ed_seed;   ///< Ed25519
  crypto::PublicKey x_public{};
  crypto::PublicKey ed_public{};
  std::vector<Pin> pins;
  SecretBytes identity_key;      ///< seals the body; every slot wraps it
  Bytes slots;                   ///< the slot table as it stands in the file
  std::uint64_t generation = 0;  ///< of the slot table: how often it was changed
  crypto::Hash seen{};           ///< hash of the file as it was read or written last
  std::filesystem::path state_folder;
};

namespace keys {

/// Who a principal is: permanent keys and a name, self-signed over all three.
struct Principal {
  std::string name;
  crypto::PublicKey x_public{};
  crypto::PublicKey ed_public{};
};
/// CBOR [name, x25519, ed25519]: what is signed, and what slots and body are bound to.
[[nodiscard]] Bytes public_part(const Principal& principal);
/// "cvp1:" ‖ base64(CBOR [name, x25519, ed25519, signature]).
[[nodiscard]] std::string principal_string(const Principal& principal, crypto::KeyView ed_seed);
/// kBadInput when it is no principal string or its signature does not verify.
[[nodiscard]] Result<Principal> parse_principal(std::string_view text);
/// 1 to 64 bytes of UTF-8 without control characters; kBadInput otherwise.
[[nodiscard]] Result<void> check_name(std::string_view name);

/// Adds the pin and rewrites the identity file atomically. kUntrusted when the vault is pinned with another log key,
/// kConflict when the file was changed meanwhile.
[[nodiscard]] Result<void> add_pin(Identity& identity, const Pin& pin, base::Random& random);

/// Like Identity::create, with everything from outside passed in. Writes nothing: see write_identity.
[[nodiscard]] Result<Identity> make_identity(const std::filesystem::path& file, std::string_view name,
                                             const Passphrase& passphrase, SlotCost cost,
                                             const base::Environment& environment);
/// The same, opened by the shares of a quorum alone. Writes the shares.
[[nodiscard]] Result<Identity> make_quorum_identity(const std::filesystem::path& file, std::string_view name,
                                                    const QuorumPlan& plan, const base::Environment& environment);
/// Writes the file for the first time (kUsage when it exists).
[[nodiscard]] Result<void> write_identity(Identity& identity, base::Random& random);

}  // namespace keys
}  // namespace casevault
