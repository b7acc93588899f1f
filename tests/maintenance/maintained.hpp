// SPDX-License-Identifier: Apache-2.0
#pragma once

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

}  // namespace casevault::test
