// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "vault/unit_of_work.hpp"

/// Principals, grants, invitations.
namespace casevault::vault {

[[nodiscard]] Result<std::string> add_principal(Core& core, const PrincipalRequest& request);
[[nodiscard]] Result<std::uint64_t> grant(Core& core, std::string_view principal,
                                          std::span<const std::string> compartments, const GrantOptions& options);
[[nodiscard]] Result<std::string> rekey(Core& core, std::string_view public_string);
[[nodiscard]] Result<std::uint64_t> revoke(Core& core, std::string_view principal);
[[nodiscard]] Result<std::uint64_t> revoke_grant(Core& core, std::string_view principal,
                                                 std::span<const std::string> compartments);
[[nodiscard]] Result<std::vector<PrincipalInfo>> list_principals(Core& core);

/// "cvi1:" ‖ base64(CBOR [vault id, log key, name, box]); the box holds the vault key sealed to the invited identity,
/// bound to the rest.
struct Invitation {
  audit::Digest vault_id{};
  std::string log_key;
  std::string name;
  Bytes box;
};
[[nodiscard]] Result<std::string> make_invitation(const audit::Digest& vault_id, std::string_view log_key,
                                                  const keys::Principal& principal, const SecretBytes& vault_key,
                                                  base::Random& random);
[[nodiscard]] Result<Invitation> parse_invitation(std::string_view text);
/// kWrongKey when it is for another identity or was altered.
[[nodiscard]] Result<Pin> open_invitation(const Invitation& invitation, const Identity::Impl& identity);

}  // namespace casevault::vault
