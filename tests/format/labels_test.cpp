// SPDX-License-Identifier: Apache-2.0
#include "format/labels.hpp"

#include <fstream>
#include <set>
#include <string>

#include "catch.hpp"

namespace {

TEST_CASE("no two labels of the registry are alike") {
  std::ifstream in(CASEVAULT_SOURCE_DIR "/src/format/labels.hpp");
  std::set<std::string> names;
  std::set<std::string> values;
  for (std::string line; std::getline(in, line);) {
    if (!line.starts_with("inline constexpr Label ")) continue;
    const std::size_t name_end = line.find(" = label(\"");
    REQUIRE(name_end != std::string::npos);
    const std::string value = line.substr(name_end + 10, 16);
    INFO(line);
    REQUIRE(line.substr(name_end + 26) == "\");");
    REQUIRE(names.insert(line.substr(0, name_end)).second);
    REQUIRE(values.insert(value).second);
    REQUIRE(value.starts_with("cv1 "));
  }
  REQUIRE(values.size() > 20);
}

}  // namespace
