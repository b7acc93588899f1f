// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <casevault/audit.hpp>

#include "format/labels.hpp"

/// The leaf of the Merkle tree: what happened, in coarse codes and hiding commitments. Pure.
namespace casevault::audit {

/// SHA-256(label ‖ opening); hiding because every opening starts with 32 random bytes of its own.
using Commitment = Digest;
[[nodiscard]] Commitment commit(const format::Label& label, ByteView opening);

struct Leaf {
  Action action = Action::kGenesis;
  Outcome outcome = Outcome::kOk;
  std::int64_t time_ms = 0;
  std::string purpose;      ///< code of the schema, may be empty
  std::string basis;        ///< code of the schema, may be empty
  std::uint64_t count = 0;  ///< records concerned
  Commitment actor{};
  Commitment subjects{};
  Commitment fields{};
  Commitment details{};
  std::optional<Commitment> authority;  ///< of the authority payload, when there is one
  std::optional<Commitment> write;      ///< of the write payload, when there is one
};

/// Canonical CBOR array [1, action, outcome, time, purpose, basis, count, actor, subjects, fields, details,
/// authority|null, write|null].
[[nodiscard]] Bytes encode_leaf(const Leaf& leaf);
[[nodiscard]] Result<Leaf> decode_leaf(ByteView bytes);

}  // namespace casevault::audit
