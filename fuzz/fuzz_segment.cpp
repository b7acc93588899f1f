// SPDX-License-Identifier: Apache-2.0
#include "log/segment.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace casevault::log;
  const casevault::ByteView input(data, size);
  const Position start{3, 64};
  const Tail tail = find_tail(input, start);
  if (tail.end < start.offset || tail.end > start.offset + size || tail.last_batch > tail.end) __builtin_trap();
  // What is called intact must be handed out whole, to its last byte.
  const auto whole = each_frame(input.first(tail.end - start.offset), start, "fuzz",
                                [](const FrameView& frame) { return casevault::Result<bool>(!frame.body.empty()); });
  if (!whole || !*whole) __builtin_trap();
  return 0;
}
