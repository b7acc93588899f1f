// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <casevault/bytes.hpp>

#include <functional>

namespace casevault::age {

/// Gives 1 to out.size() bytes, or 0 at the end of the input. `out` is never empty.
using Source = std::function<Result<std::size_t>(MutableBytes out)>;
/// Takes all bytes, or fails.
using Sink = std::function<Result<void>(ByteView bytes)>;

[[nodiscard]] Source source_of(ByteView bytes);  ///< the bytes must outlive it
[[nodiscard]] Sink sink_to(Bytes& out);          ///< `out` must outlive it

/// Lines, then bytes, of one source.
class Input {
 public:
  explicit Input(Source source) : source_(std::move(source)) {}
  /// Up to `size` bytes that come next, fewer only at the end; they stay. At most 1 KiB; valid until the next call.
  [[nodiscard]] Result<ByteView> peek(std::size_t size);
  /// Through the next '\n', or to the end of the input, or `limit` bytes.
  [[nodiscard]] Result<std::string> line(std::size_t limit);
  /// Fills `out`; fewer bytes only at the end.
  [[nodiscard]] Result<std::size_t> read(MutableBytes out);

 private:
  [[nodiscard]] Result<std::size_t> pull(MutableBytes out);

  Source source_;
  Bytes buffer_;
  std::size_t start_ = 0;  ///< what of the buffer is handed out
  bool ended_ = false;
};

}  // namespace casevault::age
