// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <casevault/vault.hpp>

#include <string>
#include <vector>

/// Looking after a vault.
namespace casevault {

enum class Severity : std::uint8_t {
  kInfo,     ///< worth knowing; says nothing against the vault
  kWarning,  ///< works, but not all is as it should be
  kError,    ///< tampered, corrupt, rolled back
};
[[nodiscard]] CASEVAULT_API std::string_view name_of(Severity severity) noexcept;  ///< "info", "warning", "error"

struct Finding {
  Severity severity{};
  std::string where;   ///< file, log entry, record, epoch or place of the key tree
  std::string what;    ///< what is wrong there; never a value
  std::string remedy;  ///< what to do; empty when nothing needs doing
};

struct DoctorOptions {
  bool deep = false;  ///< also opens every cell that this principal may open, and decodes every value
  ProgressCallback progress;
};

struct DoctorReport {
  bool ok = false;                   ///< no finding is worse than kInfo
  Severity worst = Severity::kInfo;  ///< also of findings beyond those that are listed
  std::vector<Finding> findings;     ///< in the order of the examination; at most 1,000 errors and warnings
  std::uint64_t more = 0;            ///< errors and warnings beyond those
  std::uint64_t entries = 0;         ///< log entries verified
  std::uint64_t records = 0;         ///< heads opened
  std::uint64_t tree_rows = 0;       ///< rows of the key tree opened
  std::uint64_t cells = 0;           ///< cells opened, when deep
  std::uint64_t sealed_cells = 0;    ///< cells that this principal holds no key for, when deep
};

/// Examines a vault without believing anything its writers computed: structure of data.mdb, tree and signatures of the
/// log, authority, write entries against every head, key tree, erasure root, epochs, counts; with `deep` every cell.
/// Opens read-only, appends nothing, mends nothing. What is wrong with the vault is a finding; an error means that the
/// examination itself could not be made: kNotFound, kUntrusted, kNoGrant, kIo, kCancelled, as Session::open says.
/// A vault that others have open can be examined too.
[[nodiscard]] CASEVAULT_API Result<DoctorReport> examine(const std::filesystem::path& folder, const Identity& identity,
                                                         const OpenOptions& open = {},
                                                         const DoctorOptions& options = {});

}  // namespace casevault
