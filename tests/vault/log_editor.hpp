// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>

#include "lab.hpp"
#include "log/segment.hpp"

namespace casevault::test {

/// How many bytes of the segment are in use.
inline std::size_t used_bytes(ByteView segment) {
  std::size_t size = segment.size();
  while (size > 0 && segment[size - 1] == 0) --size;
  return size;
}

/// A segment file taken apart into batches of frame bodies and put together with every checksum right: what an attacker
/// without keys can do.
class LogEditor {
 public:
  struct Frame {
    Bytes body;
    bool closes = false;
  };
  using Batch = std::vector<Frame>;

  explicit LogEditor(const std::filesystem::path& file) : file_(file), whole_(file_bytes(file)) {
    const log::Segment segment = REQUIRE_OK(log::open_segment(file.parent_path(), 0, base::OpenMode::kRead));
    first_ = segment.first_frame;
    const log::Tail tail = log::find_tail(ByteView(whole_).subspan(first_), {0, first_});
    const ByteView frames = ByteView(whole_).subspan(first_, tail.end - first_);
    batches.emplace_back();
    REQUIRE(
        REQUIRE_OK(log::each_frame(frames, {0, first_}, "segment", [&](const log::FrameView& frame) -> Result<bool> {
          batches.back().push_back({Bytes(frame.body.begin(), frame.body.end()), frame.closes_batch});
          if (frame.closes_batch) batches.emplace_back();
          return true;
        })));
    batches.pop_back();
  }
  void write() const {
    Bytes out(whole_.begin(), whole_.begin() + first_);
    for (const Batch& batch : batches) {
      const auto start = static_cast<std::uint32_t>(out.size());
      Bytes bytes;
      for (const Frame& frame : batch) {
        log::append_frame(bytes, {0, start + static_cast<std::uint32_t>(bytes.size())}, start, frame.closes,
                          frame.body);
      }
      out.insert(out.end(), bytes.begin(), bytes.end());
    }
    out.resize(std::max(out.size(), whole_.size()));
    write_bytes(file_, out);
  }
  [[nodiscard]] std::uint32_t first_frame() const { return first_; }
  std::vector<Batch> batches;

 private:
  std::filesystem::path file_;
  Bytes whole_;
  std::uint32_t first_ = 0;
};

}  // namespace casevault::test
