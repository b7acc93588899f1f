// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "vault/unit_of_work.hpp"

/// Principals, grants, invitations, the state of the keys.
namespace casevault::vault {

[[nodiscard]] Result<std::string> add_principal(Core& core, const PrincipalRequest& request);
[[nodiscard]] Result<std::uint64_t> grant(Core& core, std::string_view principal,
                                          std::span<const std::string> compartments);
[[nodiscard]] Result<std::uint64_t> revoke(Core& core, std::string_view principal);
[[nodiscard]] Result<std::uint64_t> revoke_grant(Core& core, std::string_view principal,
                                                 std::span<const std::string> compartments);
[[nodiscard]] Result<std::vector<PrincipalInfo>> list_principals(Core& core);
[[nodiscard]] Result<std::vector<KeyInfo>> list_keys(Core& core);
/// Every epoch and the cells under it, rows of unfinished imports included.
[[nodiscard]] Result<std::vector<KeyInfo>> count_keys(Core& core, store::ReadTxn& txn, const DbState& db,
                                                      const Authority& authority);

/// Writes an authority entry: folds the chain with it first, because what the fold refuses would close the vault.
[[nodiscard]] Result<EntryPlace> commit_authority(UnitOfWork& work, audit::Action action, std::string text,
                                                  std::vector<AuthorityOp> ops,
                                                  std::vector<std::pair<keys::GrantLabel, Bytes>> vault_key_grants);
/// The same for an entry that is drafted already.
[[nodiscard]] Result<EntryPlace> commit_authority(UnitOfWork& work, EntryDraft entry, std::vector<AuthorityOp> ops);

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
