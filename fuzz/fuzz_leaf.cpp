// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "audit/entry.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const casevault::ByteView input(data, size);
  const auto leaf = casevault::audit::decode_leaf(input);
  // What is accepted has one encoding; otherwise two leaves with the same meaning could be told apart by their hash.
  if (leaf && !std::ranges::equal(casevault::audit::encode_leaf(*leaf), input)) __builtin_trap();
  return 0;
}
