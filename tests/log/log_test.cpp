// SPDX-License-Identifier: Apache-2.0
#include <sys/stat.h>

#include <algorithm>

#include "journal.hpp"

namespace casevault::test {
namespace {

using log::open_log;
using Bodies = std::vector<std::string>;

TEST_CASE("the checksum is CRC-64/XZ, whatever the split") {
  const std::string text = "123456789";
  CHECK(log::crc64(as_bytes(text)) == 0x995DC9BBDF1939FAU);
  const std::string longer = "The quick brown fox jumps over the lazy dog";
  const std::uint64_t whole = log::crc64(as_bytes(longer));
  for (std::size_t i = 0; i <= longer.size(); ++i) {
    CHECK(log::crc64(as_bytes(longer.substr(0, i)), as_bytes(longer.substr(i))) == whole);
  }
}

TEST_CASE("the checksum of any length is the one that dividing bit by bit gives") {
  Bytes bytes;
  std::uint32_t state = 1;
  std::uint64_t divided = ~std::uint64_t{0};
  for (std::size_t length = 0; length < 700; ++length) {
    CHECK(log::crc64(bytes) == ~divided);
    CHECK(log::crc64(ByteView(bytes).first(length / 3), ByteView(bytes).subspan(length / 3)) == ~divided);
    state = state * 1664525U + 1013904223U;
    bytes.push_back(static_cast<std::uint8_t>(state >> 24U));
    divided ^= bytes.back();
    for (int bit = 0; bit < 8; ++bit) divided = (divided >> 1U) ^ ((divided & 1U) != 0 ? 0xC96C5795D7870F42U : 0U);
  }
}

TEST_CASE("the bytes of a segment are those of the README") {
  const LogFolder folder;
  Journal journal;
  {
    auto log = REQUIRE_OK(open_log(folder.path(), journal, {}));
    REQUIRE_DONE(add(*log, journal, {"abc"}));
  }
  Bytes expected;
  base::Writer writer(expected);
  writer.bytes(as_bytes(std::string_view("CVLOG1\n\0", 8))).u32(0).u32(0).u32(8).u64(0);
  writer.u64(log::crc64(expected));
  REQUIRE(expected.size() == 36);
  Bytes covered;
  base::Writer(covered).u32(0).u32(36).u32(3).u32(36).u8(0).bytes(as_bytes("abc"));
  writer.u32(3).u32(36).u8(0).u64(log::crc64(covered)).bytes(as_bytes("abc"));
  covered.clear();
  base::Writer(covered).u32(0).u32(56).u32(7).u32(36).u8(1).bytes(as_bytes("close 1"));
  writer.u32(7).u32(36).u8(1).u64(log::crc64(covered)).bytes(as_bytes("close 1"));
  expected.resize(1U << 20U);
  CHECK(folder.bytes(0) == expected);
}

TEST_CASE("what was appended is scanned, read by position, and replayed by the next open") {
  const LogFolder folder;
  Journal journal;
  std::vector<Journal::Line> written;
  {
    auto log = REQUIRE_OK(open_log(folder.path(), journal, {}));
    CHECK(log->torn_bytes() == 0);
    CHECK(scan_all(*log).empty());
    REQUIRE_DONE(add(*log, journal, {"one", "two"}));
    REQUIRE_DONE(add(*log, journal, {std::string(100'000, 'x')}));
    REQUIRE_DONE(add(*log, journal, {"three"}));
    written = journal.lines();
    REQUIRE(written.size() == 7);
    CHECK(scan_all(*log) == written);
    for (const auto& line : written) CHECK(as_text(REQUIRE_OK(log->read(line.position))) == line.body);
  }
  for (const bool read_only : {true, false}) {
    Journal again;
    auto log = REQUIRE_OK(open_log(folder.path(), again, {read_only, 1U << 20U}));
    CHECK(again.lines() == written);
    CHECK(scan_all(*log) == written);
    CHECK(log->torn_bytes() == 0);
    std::size_t count = 0;
    REQUIRE_DONE(log->scan(written[3].position, [&](const log::FrameView& frame) -> Result<bool> {
      CHECK(frame.position == written[3 + count].position);
      return ++count < 2;
    }));
    CHECK(count == 2);
    REQUIRE_ERROR(ErrorCode::kNoGrant, log->scan({}, [](const log::FrameView&) -> Result<bool> {
      return Error{ErrorCode::kNoGrant, "stop"};
    }));
  }
}

TEST_CASE("a position where no acknowledged frame starts is refused") {
  const LogFolder folder;
  Journal journal;
  auto log = REQUIRE_OK(open_log(folder.path(), journal, {}));
  REQUIRE_DONE(add(*log, journal, {"one", "two"}));
  const auto lines = journal.lines();
  const std::uint32_t end = lines.back().position.offset + log::kFrameHead + 7;
  for (std::uint32_t offset = 0; offset < end + 40; ++offset) {
    const bool starts =
        std::any_of(lines.begin(), lines.end(), [&](auto& line) { return line.position.offset == offset; });
    if (!starts) REQUIRE_ERROR(ErrorCode::kIntegrity, log->read({0, offset}));
  }
  for (const log::Position far : {log::Position{0, ~0U}, {1, 36}, {~0U, ~0U}}) {
    REQUIRE_ERROR(ErrorCode::kIntegrity, log->read(far));
    bool called = false;
    REQUIRE_DONE(log->scan(far, [&](const log::FrameView&) -> Result<bool> { return called = true; }));
    CHECK_FALSE(called);
  }
  REQUIRE_ERROR(ErrorCode::kIntegrity, log->scan({0, 37}, [](const log::FrameView&) -> Result<bool> { return true; }));
  REQUIRE_ERROR(ErrorCode::kNotFound, log->read_segment_header(1));
}

TEST_CASE("segments follow each other, each with the client's state at its head and no batch across two") {
  const LogFolder folder;
  const log::LogOptions options{false, 4096};
  Journal journal;
  auto log = REQUIRE_OK(open_log(folder.path(), journal, options));
  Bodies bodies;
  for (int i = 0; i < 60; ++i) {
    bodies.push_back(std::to_string(i) + std::string(300, '.'));
    REQUIRE_DONE(add(*log, journal, {bodies.back()}));
  }
  bodies.emplace_back(20'000, '#');  // larger than a segment
  REQUIRE_DONE(add(*log, journal, {bodies.back(), "end"}));
  bodies.emplace_back("end");
  const auto lines = journal.lines();
  CHECK(scan_all(*log) == lines);
  CHECK(journal.bodies() == bodies);
  REQUIRE(log->segment_count() > 4);
  for (const auto& line : lines) CHECK(as_text(REQUIRE_OK(log->read(line.position))) == line.body);
  for (std::uint32_t number = 0; number < log->segment_count(); ++number) {
    const Bytes header = REQUIRE_OK(log->read_segment_header(number));
    const auto before = std::count_if(lines.begin(), lines.end(), [&](auto& l) { return l.position.segment < number; });
    CHECK(base::Reader(header).u64() == static_cast<std::uint64_t>(before));
    const auto last = std::find_if(lines.rbegin(), lines.rend(), [&](auto& l) { return l.position.segment == number; });
    REQUIRE(last != lines.rend());
    CHECK(last->body.starts_with("close "));
  }

  Journal again;
  auto reopened = REQUIRE_OK(open_log(folder.path(), again, options));
  CHECK(reopened->segment_count() == log->segment_count());
  CHECK(again.before() + again.lines().size() == lines.size());
  CHECK(std::equal(again.lines().rbegin(), again.lines().rend(), lines.rbegin()));
  CHECK(scan_all(*reopened) == lines);
}

TEST_CASE("a read-only log opens on a read-only folder, changes nothing, and refuses to append") {
  const LogFolder folder;
  Journal journal;
  auto writer = REQUIRE_OK(open_log(folder.path(), journal, {}));
  REQUIRE_DONE(add(*writer, journal, {"one"}));
  const Bytes before = folder.bytes(0);
  REQUIRE(::chmod(folder.segment(0).c_str(), 0400) == 0);
  REQUIRE(::chmod(folder.path().c_str(), 0500) == 0);
  std::filesystem::file_time_type time = std::filesystem::last_write_time(folder.segment(0));
  Journal reader;
  auto log = REQUIRE_OK(open_log(folder.path(), reader, {true, 1U << 20U}));
  REQUIRE_ERROR(ErrorCode::kUsage, add(*log, reader, {"two"}));
  CHECK(folder.bytes(0) == before);
  CHECK(std::filesystem::last_write_time(folder.segment(0)) == time);
  REQUIRE(::chmod(folder.path().c_str(), 0700) == 0);

  REQUIRE_DONE(add(*writer, journal, {"two"}));
  CHECK(reader.bodies() == Bodies{"one"});
  REQUIRE_DONE(log->refresh());
  CHECK(reader.lines() == journal.lines());
  CHECK(scan_all(*log) == journal.lines());
}

TEST_CASE("a reader follows a writer through segments") {
  const LogFolder folder;
  Journal journal;
  Journal follower;
  auto writer = REQUIRE_OK(open_log(folder.path(), journal, {false, 2048}));
  auto reader = REQUIRE_OK(open_log(folder.path(), follower, {true, 2048}));
  for (int i = 0; i < 40; ++i) {
    REQUIRE_DONE(add(*writer, journal, {std::string(200, 'a'), std::to_string(i)}));
    if (i % 7 == 0) REQUIRE_DONE(reader->refresh());
  }
  REQUIRE_DONE(reader->refresh());
  CHECK(follower.lines() == journal.lines());
  CHECK(reader->segment_count() == writer->segment_count());
  CHECK(reader->segment_count() > 3);
}

TEST_CASE("a failing build loses its frames and nothing else; nothing built writes nothing") {
  const LogFolder folder;
  Journal journal;
  auto log = REQUIRE_OK(open_log(folder.path(), journal, {}));
  REQUIRE_DONE(add(*log, journal, {"one"}));
  const Bytes before = folder.bytes(0);
  const auto fails = [&](log::FrameSink& sink) -> Result<void> {
    journal.add(sink, "dropped");
    return Error{ErrorCode::kRefused, "no"};
  };
  REQUIRE_ERROR(ErrorCode::kRefused, log->append(fails));
  CHECK(journal.rolled_back == 1);
  REQUIRE_ERROR(ErrorCode::kRefused, log->append([](log::FrameSink&) -> Result<void> {
    return Error{ErrorCode::kRefused, "before any frame"};
  }));
  CHECK(journal.rolled_back == 1);
  REQUIRE_DONE(log->append([](log::FrameSink&) -> Result<void> { return {}; }));
  REQUIRE_ERROR(ErrorCode::kUsage,
                log->append([](log::FrameSink& sink) -> Result<void> { return sink.append({}), Result<void>(); }));
  CHECK_THROWS_AS(log->append([&](log::FrameSink& sink) -> Result<void> {
    journal.add(sink, "dropped");
    throw std::bad_alloc();
  }),
                  std::bad_alloc);
  CHECK(journal.closed == 1);
  CHECK(journal.bodies() == Bodies{"one"});
  CHECK(folder.bytes(0) == before);

  journal.fail_close = true;
  REQUIRE_ERROR(ErrorCode::kNoGrant, add(*log, journal, {"unsigned"}));
  journal.fail_close = false;
  CHECK(folder.bytes(0) == before);
  REQUIRE_DONE(add(*log, journal, {"two"}));
  CHECK(scan_all(*log) == journal.lines());
  CHECK(journal.bodies() == Bodies{"one", "two"});
}

TEST_CASE("a log is not made over another, nor opened where there is none") {
  const LogFolder folder;
  Journal journal;
  REQUIRE_ERROR(ErrorCode::kUsage, log::create_log(folder.path(), journal));
  CHECK(std::filesystem::exists(folder.segment(0)));
  REQUIRE_ERROR(ErrorCode::kNotFound, open_log(folder.folder / "nothing", journal, {}));
  REQUIRE_ERROR(ErrorCode::kUsage, open_log(folder.path(), journal, {false, ~0U}));
}

TEST_CASE("append and refresh from inside a build are refused, reading is not") {
  const LogFolder folder;
  Journal journal;
  auto log = REQUIRE_OK(open_log(folder.path(), journal, {}));
  REQUIRE_DONE(add(*log, journal, {"one"}));
  const auto lines = journal.lines();
  const auto build = [&](log::FrameSink& sink) -> Result<void> {
    REQUIRE_ERROR(ErrorCode::kUsage, log->refresh());
    REQUIRE_ERROR(ErrorCode::kUsage, log->append([](log::FrameSink&) -> Result<void> { return {}; }));
    CHECK(as_text(REQUIRE_OK(log->read(lines[0].position))) == "one");
    journal.add(sink, "two");
    CHECK(scan_all(*log) == lines);  // acknowledged batches only
    return {};
  };
  REQUIRE_DONE(log->append(build));
  CHECK(scan_all(*log) == journal.lines());
}

}  // namespace
}  // namespace casevault::test
