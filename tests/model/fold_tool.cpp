// SPDX-License-Identifier: Apache-2.0
// Folds one text a line for unicode_test.py: code points in hex in, code points in hex out ("0" between syllables).
// With an argument: the code points that the tables do not know.
#include <cstdio>
#include <iostream>
#include <sstream>

#include "model/unicode/fold.hpp"

int main(int argc, char**) {
  using namespace casevault::model::unicode;
  for (char32_t point = 0; argc > 1 && point <= 0x10'FFFF; ++point) {
    if (entry_of(point).kind == kUnassigned) std::printf("%X\n", unsigned{point});
  }
  if (argc > 1) return 0;
  std::printf("%s\n", std::string(kVersion).c_str());
  for (std::string line; std::getline(std::cin, line);) {
    std::istringstream in(line);
    std::string text;
    for (std::uint32_t point = 0; in >> std::hex >> point;) {
      char bytes[4];
      text.append(bytes, put_utf8(point, bytes));
    }
    Folded folded;
    if (!folded.assign(text)) {
      std::puts("refused");
      continue;
    }
    for (const Folded::Unit unit : folded.units()) std::printf("%X ", unsigned{Folded::point(unit)});
    std::puts("");
  }
}
