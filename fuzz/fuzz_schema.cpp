// SPDX-License-Identifier: Apache-2.0
#include <casevault/schema.hpp>

#include <cstdlib>

/// Any text parses or is kBadInput of one line; what a vault would keep of an accepted one parses to itself.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace casevault;
  const auto schema = Schema::parse(as_text({data, size}));
  if (!schema) {
    if (schema.error().code != ErrorCode::kBadInput) std::abort();
    if (schema.error().message.find('\n') != std::string::npos) std::abort();
    return 0;
  }
  const auto again = Schema::parse(schema->source());
  if (!again || again->source() != schema->source()) std::abort();
  return 0;
}
