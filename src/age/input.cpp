// SPDX-License-Identifier: Apache-2.0
#include "age/input.hpp"

#include <algorithm>
#include <gsl/gsl>

namespace casevault::age {
namespace {

constexpr std::size_t kBlock = 1024;

}  // namespace

Source source_of(ByteView bytes) {
  return [bytes](MutableBytes out) mutable -> Result<std::size_t> {
    const std::size_t size = std::min(bytes.size(), out.size());
    std::ranges::copy(bytes.first(size), out.begin());
    bytes = bytes.subspan(size);
    return size;
  };
}

Sink sink_to(Bytes& out) {
  return [&out](ByteView bytes) -> Result<void> {
    out.insert(out.end(), bytes.begin(), bytes.end());
    return {};
  };
}

Result<std::size_t> Input::pull(MutableBytes out) {
  CASEVAULT_TRY(const std::size_t got, source_(out));
  Ensures(got <= out.size());
  ended_ = got == 0;
  return got;
}

Result<ByteView> Input::peek(std::size_t size) {
  Expects(size <= kBlock);
  if (buffer_.size() - start_ < size && !ended_) {
    buffer_.erase(buffer_.begin(), buffer_.begin() + gsl::narrow_cast<std::ptrdiff_t>(start_));
    start_ = 0;
    while (buffer_.size() < size && !ended_) {
      const std::size_t before = buffer_.size();
      buffer_.resize(before + kBlock);
      const Result<std::size_t> got = pull(MutableBytes(buffer_).subspan(before));
      buffer_.resize(before + (got ? *got : 0));
      if (!got) return got.error();
    }
  }
  return ByteView(buffer_).subspan(start_, std::min(size, buffer_.size() - start_));
}

Result<std::string> Input::line(std::size_t limit) {
  std::string out;
  while (out.size() < limit) {
    CASEVAULT_TRY(const ByteView next, peek(1));
    if (next.empty()) break;
    const ByteView held = ByteView(buffer_).subspan(start_);
    const ByteView room = held.first(std::min(held.size(), limit - out.size()));
    const auto newline = std::ranges::find(room, std::uint8_t{'\n'});
    const bool whole = newline != room.end();
    const auto size = gsl::narrow_cast<std::size_t>(newline - room.begin()) + (whole ? 1 : 0);
    out += as_text(room.first(size));
    start_ += size;
    if (whole) break;
  }
  return out;
}

Result<std::size_t> Input::read(MutableBytes out) {
  std::size_t size = std::min(out.size(), buffer_.size() - start_);
  std::ranges::copy(ByteView(buffer_).subspan(start_, size), out.begin());
  start_ += size;
  while (size < out.size() && !ended_) {
    CASEVAULT_TRY(const std::size_t got, pull(out.subspan(size)));
    size += got;
  }
  return size;
}

}  // namespace casevault::age
