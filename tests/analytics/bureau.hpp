// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "lab.hpp"

/// A vault with coded records, and an analyst who holds `statistics` only.
namespace casevault::test {

inline constexpr std::string_view kBureauSchema = R"(
name = "bureau"
version = 1
bases = ["duty"]
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
  { id = 3, name = "status", type = "code", compartment = "statistics", list = "status" },
  { id = 4, name = "intake", type = "date", compartment = "statistics" },
  { id = 5, name = "harm", type = "multi-code", compartment = "statistics", list = "harm" },
  { id = 6, name = "age", type = "integer", compartment = "statistics" },
  { id = 7, name = "minor", type = "boolean", compartment = "statistics" },
  { id = 8, name = "district", type = "code", compartment = "statistics", list = "district" },
  { id = 9, name = "outcome", type = "code", compartment = "case", list = "outcome" },
  { id = 10, name = "place_code", type = "code", compartment = "statistics", list = "vn_province_mergers.old_code" },
  { id = 11, name = "place_edition", type = "code", compartment = "statistics", list = "edition" },
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

/// The schema, with quotas where a test wants them; with people alone, or visits besides.
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

}  // namespace casevault::test
