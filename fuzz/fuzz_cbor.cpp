// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "format/cbor.hpp"

using casevault::Bytes;
using casevault::ByteView;
using casevault::format::CborReader;
using casevault::format::CborWriter;
using Kind = CborReader::Kind;

namespace {

/// Copies one value and returns what is left of the input.
ByteView copy_value(CborReader& in, CborWriter& out) {
  for (std::size_t left = 1; left != 0 && in.ok(); --left) {
    switch (in.peek()) {
      case Kind::kUint:
        out.uint(in.uint());
        break;
      case Kind::kNegative:
        out.integer(in.integer());
        break;
      case Kind::kBytes:
        out.bytes(in.bytes());
        break;
      case Kind::kText:
        out.text(in.text());
        break;
      case Kind::kArray: {
        const std::size_t count = in.array();
        out.array(count);
        left += count;
        break;
      }
      case Kind::kMap: {
        const std::size_t count = in.map();
        out.map(count);
        left += 2 * count;
        break;
      }
      case Kind::kBool:
        out.boolean(in.boolean());
        break;
      case Kind::kNull:
        in.null();
        out.null();
        break;
      case Kind::kEnd:
        in.fail();
    }
  }
  return in.rest();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const ByteView input(data, size);
  CborReader skipping(input);
  skipping.skip();
  CborReader reading(input);
  Bytes copy;
  CborWriter out(copy);
  const ByteView rest = copy_value(reading, out);
  // Both ways agree on what is a value, and a value has one encoding.
  if (skipping.ok() != reading.ok()) __builtin_trap();
  if (!reading.ok()) return 0;
  if (skipping.rest().size() != rest.size()) __builtin_trap();
  if (!std::ranges::equal(copy, input.first(size - rest.size()))) __builtin_trap();
  return 0;
}
