// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <casevault/bytes.hpp>

#include <algorithm>

namespace casevault::base {

/// Asks for the first of bytes that are read soon: rows of a large file are in no cache, and memory takes as long as
/// opening a field. Always inline: gcc leaves out calls of functions that do nothing but this.
[[gnu::always_inline]] inline void prefetch(ByteView bytes) noexcept {
  constexpr std::size_t kMost = 512;
  constexpr std::size_t kLine = 64;
  for (std::size_t at = 0; at < std::min(bytes.size(), kMost); at += kLine) __builtin_prefetch(bytes.data() + at);
}

}  // namespace casevault::base
