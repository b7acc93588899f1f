// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sched.h>

#include "base/cursor.hpp"
#include "crypto/aead.hpp"
#include "format/labels.hpp"
#include "lab.hpp"

/// What is asked of a vault after maintenance.
namespace casevault::test {

/// What a deep doctor finds, told with the next failure.
[[nodiscard]] inline DoctorReport examined(const Lab& lab, const Person& who) {
  DoctorReport report = REQUIRE_OK(examine(lab.vault(), who.identity(), lab.options(), {true, {}}));
  for (const Finding& finding : report.findings) UNSCOPED_INFO(finding.where << ": " << finding.what);
  return report;
}
[[nodiscard]] inline bool healthy(const Lab& lab, const Person& who) { return examined(lab, who).ok; }
[[nodiscard]] inline bool healthy(const Lab& lab) { return healthy(lab, lab.owner); }

[[nodiscard]] inline KeyInfo key_info(Session& session, std::string_view compartment, std::uint32_t epoch) {
  for (const KeyInfo& key : REQUIRE_OK(session.keys())) {
    if (key.compartment == compartment && key.epoch == epoch) return key;
  }
  return {std::string(compartment), epoch, "none", 0};
}
[[nodiscard]] inline std::string state_of(Session& session, std::string_view compartment, std::uint32_t epoch) {
  return key_info(session, compartment, epoch).state;
}

/// Somebody else's lock, or an authority that is just changing, passes.
template <typename Work>
auto patiently(const Work& work) {
  for (;;) {
    auto result = work();
    if (result.has_value() || result.error().code != ErrorCode::kBusy) return result;
    ::sched_yield();
  }
}

/// What a row of the key tree wraps, for whoever has a key; nothing when that is not its parent's.
[[nodiscard]] inline std::optional<Bytes> unwrap_tree_row(const keys::VaultTag& tag, ByteView row, ByteView value,
                                                          ByteView key) {
  Bytes aad;
  base::Writer(aad).bytes(format::kTreeNode).bytes(tag).bytes(row);
  Bytes child(32);
  const SecretBytes parent = SecretBytes::copy(key);
  if (!crypto::aead_open(crypto::key_of(parent), crypto::NonceView(value.data(), 12), aad, value.subspan(12), child)) {
    return std::nullopt;
  }
  return child;
}

}  // namespace casevault::test
