// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <casevault/bytes.hpp>

#include <string>
#include <vector>

namespace casevault {

/// Someone the log vouches for.
struct PrincipalInfo {
  std::string name;
  std::string role;  ///< owner administrator officer analyst auditor service
  std::string unit;
  std::vector<std::string> grants;  ///< compartments
  std::vector<std::string> may_grant;
  std::uint64_t entry = 0;  ///< the entry that added it
};

/// A request to certify a principal.
struct PrincipalRequest {
  std::string name;
  std::string public_string;  ///< as `identity new` prints it; its self-signature is checked
  std::string role;
  std::string unit;
  std::vector<std::string> functional_roles;
  std::vector<std::string> grants;  ///< compartments to grant at once
  bool may_grant = false;
};

struct KeyInfo {
  std::string compartment;
  std::uint32_t epoch = 0;  ///< from 1
  std::string state;        ///< "current"
  std::uint64_t cells = 0;  ///< cells sealed under it, counted by reading heads
};

}  // namespace casevault
