// SPDX-License-Identifier: Apache-2.0
// The module as a command, for the attacker: a JSON table of counts a line in, what would be published a line out.
#include <iostream>
#include <nlohmann/json.hpp>
#include <string>

#include "analytics/tabulate.hpp"

namespace {

using nlohmann::json;
using namespace casevault;
using namespace casevault::analytics;

CodedColumn column_of(const json& in) {
  CodedColumn out;
  out.categories.resize(in.at("categories").get<std::size_t>());
  for (const json& record : in.at("records")) {
    for (const json& code : record) out.codes.push_back(code.get<std::uint32_t>());
    out.ends.push_back(out.codes.size());
  }
  return out;
}

Result<json> publish(const json& in) {
  CASEVAULT_TRY(const Counts counts, count(column_of(in.at("rows")), column_of(in.at("columns"))));
  json out;
  if (in.contains("base")) {
    out["shown"] = round_to(counts, in.at("base").get<std::uint64_t>());
    return out;
  }
  std::vector<Mark> earlier;
  for (const json& mark : in.value("earlier", json::array())) earlier.push_back(mark.get<Mark>());
  CASEVAULT_TRY(const std::vector<bool> hidden, suppress(counts, in.at("min_cell").get<std::uint64_t>(), earlier));
  for (std::size_t i = 0; i < hidden.size(); ++i) out["shown"].push_back(hidden[i] ? json() : json(counts.values[i]));
  return out;
}

}  // namespace

int main() {
  std::string line;
  while (std::getline(std::cin, line)) {
    const Result<json> out = publish(json::parse(line));
    std::cout << (out ? *out : json{{"refused", out.error().message}}).dump() << "\n";
  }
}
