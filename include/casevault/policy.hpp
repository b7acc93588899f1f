// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <casevault/bytes.hpp>

#include <map>
#include <optional>
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
  std::map<std::string, std::int64_t> expires_ms;  ///< of the grants that expire, by compartment
  std::uint64_t entry = 0;                         ///< the entry that added it
  std::optional<std::uint64_t> revoked;            ///< the entry that revoked it
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
  std::int64_t expires_ms = 0;  ///< Unix milliseconds from which on the grants are refused; 0: they do not expire
};
struct GrantOptions {
  bool may_grant = false;
  std::int64_t expires_ms = 0;  ///< as above
};

struct KeyInfo {
  std::string compartment;
  std::uint32_t epoch = 0;    ///< from 1
  std::string state;          ///< "current", "old", "destroyed"
  std::uint64_t cells = 0;    ///< cells sealed under it, counted by reading heads
  std::uint64_t indexes = 0;  ///< search indexes whose keys hang on it
};

struct Rotation {
  std::string compartment;
  std::uint32_t old_epoch = 0;
  std::uint32_t new_epoch = 0;
  std::uint64_t entry = 0;
};

struct Reencryption {
  std::uint64_t done = 0;            ///< cells moved by this call
  std::uint64_t total = 0;           ///< cells that lay under old epochs when it began
  std::uint64_t records = 0;         ///< put into new search indexes by this call
  bool finished = false;             ///< nothing is left under old epochs, no index unfinished
  std::vector<std::string> failed;   ///< records whose cells do not open, with the reason; at most 100
  std::vector<std::string> skipped;  ///< compartments with old cells that this principal does not hold
};

/// What lies under which epoch, counted in one transaction.
struct Census {
  std::vector<KeyInfo> keys;
  std::uint64_t old_cells = 0;         ///< under epochs that are neither current nor destroyed
  std::uint64_t old_indexes = 0;       ///< likewise
  std::optional<std::uint64_t> entry;  ///< the signed statement that none is left
};

}  // namespace casevault
