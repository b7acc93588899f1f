// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>

#include "lab.hpp"

/// A vault with coded records, and an analyst who holds `statistics` only.
namespace casevault::test {

inline constexpr std::string_view kBureauSchema = R"(
name = "bureau"
version = 1
bases = ["duty"]
recipient_classes = ["clinic"]
[codelists]
sex = ["female", "male", "unknown"]
status = ["suspected", "identified", "closed"]
harm = ["labour", "sexual", "marriage"]
outcome = ["open", "home"]
district = ["north", "south", "east"]
edition = ["2024", "2025"]
[[compartments]]
id = 1
name = "identity"
[[compartments]]
id = 2
name = "statistics"
sealed = "cell"
[[compartments]]
id = 3
name = "case"
[[types]]
id = 1
name = "person"
fields = [
  { id = 1, name = "full_name", type = "text", compartment = "identity", required = true },
  { id = 2, name = "sex", type = "code", compartment = "statistics", list = "sex" },
  { id = 3, name = "status", type = "code", compartment = "statistics", list = "status", sensitive = true },
  { id = 4, name = "intake", type = "date", compartment = "statistics" },
  { id = 5, name = "harm", type = "multi-code", compartment = "statistics", list = "harm" },
  { id = 6, name = "age", type = "integer", compartment = "statistics" },
  { id = 7, name = "minor", type = "boolean", compartment = "statistics" },
  { id = 8, name = "district", type = "code", compartment = "statistics", list = "district" },
  { id = 9, name = "outcome", type = "code", compartment = "case", list = "outcome", sensitive = true },
  { id = 10, name = "place_code", type = "code", compartment = "statistics", list = "vn_province_mergers.old_code" },
  { id = 11, name = "place_edition", type = "code", compartment = "statistics", list = "edition" },
  { id = 12, name = "country", type = "code", compartment = "statistics", list = "iso3166_1_alpha3" },
  { id = 13, name = "born", type = "date", compartment = "identity" },
]
[[types]]
id = 2
name = "visit"
fields = [ { id = 1, name = "reason", type = "code", compartment = "statistics", list = "outcome" } ]
)";
inline constexpr std::string_view kBureauRules = R"(
[[purposes]]
code = "care"
bases = ["duty"]
default_basis = "duty"
[[rules]]
roles = ["owner", "analyst"]
purposes = ["statistics"]
compartments = ["*"]
[[rules]]
roles = ["owner"]
purposes = ["care"]
compartments = ["*"]
[[indicators]]
name = "received"
title = { en = "Persons received" }
type = "person"
date = "intake"
[[indicators]]
name = "status_by_sex"
title = { en = "Status, by sex", vi = "Tình trạng, theo giới tính" }
type = "person"
date = "intake"
where = ["minor=false"]
by = ["status", "sex"]
[[indicators]]
name = "outcomes"
title = { vi = "Kết quả" }
type = "person"
date = "intake"
by = ["outcome"]
)";

enum class Types : std::uint8_t { kOne, kTwo };

/// The schema, with quotas and a floor where a test wants them; with people alone, or visits besides.
[[nodiscard]] inline std::string bureau_schema(std::string_view quotas = {}, Types types = Types::kTwo) {
  std::string out(kBureauSchema);
  if (types == Types::kOne) out.erase(out.find("[[types]]\nid = 2"));
  out += "[[purposes]]\ncode = \"statistics\"\nbases = [\"duty\"]\ndefault_basis = \"duty\"\n";
  out += quotas;
  return out += kBureauRules;
}

struct Bureau {
  Lab lab;
  Session session = lab.open();
  explicit Bureau(std::string_view quotas = {}) : lab(bureau_schema(quotas)) {}
  explicit Bureau(Types types) : lab(bureau_schema({}, types)) {}

  /// `count` people with these fields.
  void add(std::uint64_t count, Rows::Values fields) {
    if (count == 0) return;
    Rows rows(count, [&](std::uint64_t number) {
      Rows::Values out = fields;
      out.emplace_back("full_name", "CANARY " + std::to_string(number));
      return out;
    });
    REQUIRE_OK(session.import_rows("person", rows));
  }
  /// The session goes on as the analyst's: one process opens a vault once.
  void become_analyst() {
    const Person ana = lab.add(session, "ana", "analyst", {"statistics"});
    session.close();
    session = lab.open(ana);
  }
  void become_owner() {
    session.close();
    session = lab.open();
  }
};

inline TabulateRequest table_of(std::string rows, std::string columns = {},
                                const std::vector<std::string>& where = {}) {
  TabulateRequest request;
  request.type = "person";
  request.rows = std::move(rows);
  request.columns = std::move(columns);
  for (const std::string& filter : where) request.where.push_back(REQUIRE_OK(Filter::parse(filter)));
  return request;
}

/// A number of a table by its labels; "" is the total.
inline std::optional<std::uint64_t> at(const Tabulation& table, const std::string& row,
                                       const std::string& column = {}) {
  const auto place = [](const std::vector<std::string>& labels, const std::string& label) {
    return label.empty() ? labels.size() : static_cast<std::size_t>(std::ranges::find(labels, label) - labels.begin());
  };
  return table.at(place(table.row_labels, row), place(table.column_labels, column));
}

inline ReleaseRequest rows_of(std::vector<ReleaseColumn> columns) {
  ReleaseRequest request;
  request.type = "person";
  request.columns = std::move(columns);
  request.name = "study";
  return request;
}

}  // namespace casevault::test
