// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <casevault/schema.hpp>

/// Pure decisions over values: no clock, no store, no keys. Deny by default.
namespace casevault::policy {

struct Actor {
  std::string role;                           ///< administrative role
  std::vector<std::string> functional_roles;  ///< names of the schema
  std::string unit;
};

struct Request {
  Actor actor;
  std::string purpose;
  std::string basis;            ///< empty: the purpose's default
  std::string recipient_class;  ///< empty, or one of the schema's
  const RecordType* type = nullptr;
  std::vector<const Field*> fields;
  std::string record_unit;  ///< custodian unit of the record
  bool consent_in_force = false;
};

struct Decision {
  bool allowed = false;
  std::string basis;   ///< the one the entry carries, also when denied (as far as it is known)
  std::string reason;  ///< why not, naming purpose, basis, field: for the error and the sealed details
};

/// The whole rule: the purpose exists, the basis is admitted for it, consent is there if it needs one, and for every
/// field some rule admits (role or functional role, purpose, compartment or field, unit).
[[nodiscard]] Decision decide(const Schema& schema, const Request& request);

/// Role names the library knows: owner administrator officer analyst auditor service.
[[nodiscard]] bool is_role(std::string_view role) noexcept;
/// May this role certify principals and hand out grants?
[[nodiscard]] bool may_administer(std::string_view role) noexcept;

}  // namespace casevault::policy
