// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "analytics/ledger.hpp"

/// First byte: the kind. The rest: a definition as any principal may have written it.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace casevault;
  if (size == 0) return 0;
  vault::ReleaseState state;
  state.kind = static_cast<vault::ReleaseKind>(data[0]);
  state.definition.assign(data + 1, data + size);
  const auto definition = analytics::decode_definition(state);
  // What is accepted has one encoding: what was published is what is compared.
  if (definition && !std::ranges::equal(analytics::encode_definition(*definition).definition, state.definition))
    __builtin_trap();
  return 0;
}
