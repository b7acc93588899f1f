// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "vault/records.hpp"

namespace casevault::vault {

/// Imports up to this many rows are one transaction; larger ones are staged in batches and published by the entry's
/// transaction.
inline constexpr std::uint64_t kSingleTransactionRows = 10000;

[[nodiscard]] Result<ImportReport> import_rows(Core& core, std::string_view type, RowSource& source,
                                               const ImportOptions& options);

/// Stamp of a row of an import: derives from the import's one seed, so that one write payload covers all rows.
[[nodiscard]] std::array<std::uint8_t, 16> import_stamp(const std::array<std::uint8_t, 16>& seed, std::uint64_t row);

}  // namespace casevault::vault
