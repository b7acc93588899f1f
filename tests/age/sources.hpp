// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>

#include "age/input.hpp"

namespace casevault::test {

/// Like age::source_of, but gives `most` bytes at a time. The bytes must outlive it.
inline age::Source in_pieces(ByteView bytes, std::size_t most) {
  return
      [whole = age::source_of(bytes), most](MutableBytes out) { return whole(out.first(std::min(out.size(), most))); };
}

}  // namespace casevault::test
