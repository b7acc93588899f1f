// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "base/cursor.hpp"
#include "catch.hpp"
#include "log/segment.hpp"
#include "support/temp_folder.hpp"

namespace casevault::test {

/// A log client that remembers every frame it built or was told of, closing frames included.
class Journal final : public log::LogClient {
 public:
  struct Line {
    log::Position position;
    std::string body;
    auto operator<=>(const Line&) const = default;
  };

  /// Adds a frame from inside a build.
  void add(log::FrameSink& sink, const std::string& body) {
    settle();
    lines_.push_back({sink.next(), body});
    sink.append(as_bytes(body));
  }

  Bytes segment_header() override {
    settle();
    Bytes header;
    base::Writer(header).u64(before_ + lines_.size());
    return header;
  }
  Result<void> start(ByteView header) override {
    base::Reader reader(header);
    before_ = reader.u64();
    lines_.clear();
    settled_ = 0;
    return {};
  }
  Result<void> replay(const log::FrameView& frame) override {
    if (fail_replay) return Error{ErrorCode::kIntegrity, "a frame the client refuses"};
    lines_.push_back({frame.position, std::string(as_text(frame.body))});
    settled_ = lines_.size();
    ++replayed;
    return {};
  }
  Result<Bytes> close_batch(log::Position position) override {
    if (fail_close) return Error{ErrorCode::kNoGrant, "cannot sign"};
    const std::string body = "close " + std::to_string(++closed);
    lines_.push_back({position, body});
    open_ = false;
    return Bytes(body.begin(), body.end());
  }
  void rollback() override {
    lines_.resize(settled_);
    open_ = false;
    ++rolled_back;
  }

  /// Frames before the first of `lines()`.
  [[nodiscard]] std::uint64_t before() const { return before_; }
  [[nodiscard]] const std::vector<Line>& lines() const { return lines_; }
  /// The bodies without those of closing frames.
  [[nodiscard]] std::vector<std::string> bodies() const {
    std::vector<std::string> out;
    for (const Line& line : lines_) {
      if (!line.body.starts_with("close ")) out.push_back(line.body);
    }
    return out;
  }

  bool fail_replay = false;
  bool fail_close = false;
  int closed = 0;
  int replayed = 0;
  int rolled_back = 0;

 private:
  /// The first act of a batch: the one before was acknowledged.
  void settle() {
    if (!open_) settled_ = lines_.size();
    open_ = true;
  }
  std::uint64_t before_ = 0;
  std::vector<Line> lines_;
  std::size_t settled_ = 0;
  bool open_ = false;
};

/// A log folder with its first segment.
struct LogFolder {
  LogFolder() {
    Journal journal;
    REQUIRE_DONE(log::create_log(path(), journal));
  }
  [[nodiscard]] std::filesystem::path path() const { return folder / "log"; }
  [[nodiscard]] std::filesystem::path segment(std::uint32_t number) const {
    return path() / log::segment_file_name(number);
  }
  [[nodiscard]] Bytes bytes(std::uint32_t number) const {
    return REQUIRE_OK(base::read_file(segment(number), 64U << 20U, true));
  }
  void replace(std::uint32_t number, const Bytes& content) const {
    const auto fd = REQUIRE_OK(base::open_file(segment(number), base::OpenMode::kReadWrite));
    std::filesystem::resize_file(segment(number), content.size());
    REQUIRE_DONE(base::write_at(fd, 0, content, segment(number).string()));
  }
  TempFolder folder;
};

/// For tests that open thousands of logs and whose subject is not the flush.
[[nodiscard]] inline log::FileOps unflushed() {
  log::FileOps ops = log::system_file_ops();
  ops.sync = [](const base::Fd&, std::string_view) -> Result<void> { return {}; };
  return ops;
}

[[nodiscard]] inline Result<void> add(log::Log& log, Journal& journal, const std::vector<std::string>& bodies) {
  return log.append([&](log::FrameSink& sink) -> Result<void> {
    for (const std::string& body : bodies) journal.add(sink, body);
    return {};
  });
}

[[nodiscard]] inline std::vector<Journal::Line> scan_all(log::Log& log) {
  std::vector<Journal::Line> lines;
  REQUIRE_DONE(log.scan({}, [&](const log::FrameView& frame) -> Result<bool> {
    lines.push_back({frame.position, std::string(as_text(frame.body))});
    return true;
  }));
  return lines;
}

[[nodiscard]] inline std::vector<std::string> bodies_of(const std::vector<Journal::Line>& lines) {
  std::vector<std::string> out;
  for (const auto& line : lines) {
    if (!line.body.starts_with("close ")) out.push_back(line.body);
  }
  return out;
}

}  // namespace casevault::test
