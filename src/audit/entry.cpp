// SPDX-License-Identifier: Apache-2.0
#include "audit/entry.hpp"

#include "crypto/hash.hpp"
#include "format/cbor.hpp"

namespace casevault::audit {
namespace {

using format::CborReader;
using format::CborWriter;

constexpr std::uint64_t kVersion = 1;
constexpr std::size_t kMembers = 13;

void write_optional(CborWriter& out, const std::optional<Commitment>& commitment) {
  if (commitment) {
    out.bytes(*commitment);
  } else {
    out.null();
  }
}

std::optional<Commitment> read_optional(CborReader& in) {
  if (in.peek() != CborReader::Kind::kNull) return in.fixed<sizeof(Commitment)>();
  in.null();
  return std::nullopt;
}

Error unsupported(std::string_view what, std::uint64_t number) {
  return {ErrorCode::kUnsupported, "log entry: " + std::string(what) + ' ' + std::to_string(number) +
                                       " is not known to this version of casevault; use a newer one"};
}

}  // namespace

Commitment commit(const format::Label& label, ByteView opening) { return crypto::sha256({label, opening}); }

Bytes encode_leaf(const Leaf& leaf) {
  Bytes bytes;
  CborWriter out(bytes);
  out.array(kMembers).uint(kVersion);
  out.uint(static_cast<std::uint64_t>(leaf.action)).uint(static_cast<std::uint64_t>(leaf.outcome));
  out.integer(leaf.time_ms).text(leaf.purpose).text(leaf.basis).uint(leaf.count);
  out.bytes(leaf.actor).bytes(leaf.subjects).bytes(leaf.fields).bytes(leaf.details);
  write_optional(out, leaf.authority);
  write_optional(out, leaf.write);
  return bytes;
}

Result<Leaf> decode_leaf(ByteView bytes) {
  CborReader in(bytes);
  const std::size_t members = in.array();
  const std::uint64_t version = in.uint();
  // Before anything else: a later version may have other members.
  if (in.ok() && version != kVersion) return unsupported("version", version);
  const std::uint64_t action = in.uint();
  const std::uint64_t outcome = in.uint();
  Leaf leaf;
  leaf.time_ms = in.integer();
  leaf.purpose = in.text();
  leaf.basis = in.text();
  leaf.count = in.uint();
  leaf.actor = in.fixed<sizeof(Commitment)>();
  leaf.subjects = in.fixed<sizeof(Commitment)>();
  leaf.fields = in.fixed<sizeof(Commitment)>();
  leaf.details = in.fixed<sizeof(Commitment)>();
  leaf.authority = read_optional(in);
  leaf.write = read_optional(in);
  if (!in.finish() || members != kMembers) {
    return Error{ErrorCode::kIntegrity, "log entry: its leaf is damaged; check the log with audit verify"};
  }
  if (action > 0xFF || name_of(static_cast<Action>(action)).empty()) return unsupported("action", action);
  if (outcome > 0xFF || name_of(static_cast<Outcome>(outcome)).empty()) return unsupported("outcome", outcome);
  leaf.action = static_cast<Action>(action);
  leaf.outcome = static_cast<Outcome>(outcome);
  return leaf;
}

}  // namespace casevault::audit
