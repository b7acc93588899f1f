// SPDX-License-Identifier: Apache-2.0
// Finds duplicates in a register (CSV with the columns of tests/data/registry_vn.csv) for duplicates_test.py: a line
// for each pair, row numbers from 0, score, reasons.
#include <algorithm>
#include <cstdio>
#include <cstdlib>

#include "model/csv.hpp"
#include "model/duplicates.hpp"

int main(int argc, char** argv) {
  using namespace casevault::model;
  if (argc != 3) return 2;
  const auto rows = casevault::test::read_csv(argv[1]);
  const auto cell = [&rows](std::size_t row, std::string_view name) -> std::string_view {
    const auto column = std::ranges::find(rows.front(), name);
    return rows.at(row).at(static_cast<std::size_t>(column - rows.front().begin()));
  };
  std::vector<Person> people;
  for (std::size_t i = 1; i < rows.size(); ++i) {
    people.push_back(person_of({.name = cell(i, "full_name"),
                                .aliases = cell(i, "aliases"),
                                .sex = cell(i, "sex"),
                                .birth_date = cell(i, "dob"),
                                .birth_precision = cell(i, "dob_precision"),
                                .nationality = cell(i, "nationality"),
                                .document = cell(i, "id_number"),
                                .phone = cell(i, "phone"),
                                .province = cell(i, "province_text"),
                                .province_code = cell(i, "province_code"),
                                .province_edition = cell(i, "province_edition"),
                                .commune = cell(i, "commune_text"),
                                .relatives = cell(i, "relatives")}));
  }
  find_duplicates(people, std::atof(argv[2]), [](const ScoredPair& pair) {
    std::printf("%zu %zu %.4f ", pair.a, pair.b, pair.score);
    for (const Reason reason : pair.because)
      std::printf("%s%s; ", speaks_for(reason) ? "" : "but ", std::string(text_of(reason)).c_str());
    std::puts("");
    return true;
  });
}
