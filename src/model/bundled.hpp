// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <casevault/bytes.hpp>

#include <optional>

/// Schemas and code lists that ship inside the library (src/model/schemas, src/model/codelists).
namespace casevault::model {

struct BundledFile {
  std::string_view name;  ///< without folder, e.g. "service_types.csv"
  std::string_view content;
};
/// Written at build time by embed.cmake.
[[nodiscard]] std::span<const BundledFile> bundled_files() noexcept;

[[nodiscard]] std::vector<std::string_view> bundled_schema_names();
[[nodiscard]] std::optional<std::string_view> bundled_schema(std::string_view name);

/// Codes of a bundled list, or nullopt: "file" is the first column of file.csv, "file.column" the named one,
/// "htcds.field" the picklist of that field in htcds_codes.csv. Repeated values count once.
[[nodiscard]] std::optional<std::vector<std::string>> bundled_list(std::string_view name);

/// The rows of a bundled list without its header, each with all its columns.
[[nodiscard]] std::vector<std::vector<std::string>> bundled_rows(std::string_view file);

}  // namespace casevault::model
