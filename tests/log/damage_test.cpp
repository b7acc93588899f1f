// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "journal.hpp"

namespace casevault::test {
namespace {

using log::open_log;
using Lines = std::vector<Journal::Line>;

/// A log of three batches, two frames and a closing one each, cut down to little more than what was written.
struct SmallLog : LogFolder {
  SmallLog() {
    Journal journal;
    auto log = REQUIRE_OK(open_log(path(), journal, {}));
    for (int i = 0; i < 3; ++i) {
      starts.push_back(end(journal));
      REQUIRE_DONE(add(*log, journal, {"entry " + std::to_string(i), std::string(30, static_cast<char>('a' + i))}));
    }
    lines = journal.lines();
    last = end(journal);
    image = bytes(0);
    image.resize(last + 100);
    replace(0, image);
  }
  static std::uint32_t end(const Journal& journal) {
    if (journal.lines().empty()) return 36;
    const auto& line = journal.lines().back();
    return line.position.offset + log::kFrameHead + static_cast<std::uint32_t>(line.body.size());
  }
  [[nodiscard]] Lines first(std::size_t count) const {
    return {lines.begin(), lines.begin() + static_cast<long>(count)};
  }

  Lines lines;
  std::vector<std::uint32_t> starts;
  std::uint32_t last = 0;  ///< where the third batch ends
  Bytes image;
};

/// The log holds the first two batches, says so, and goes on from there.
void require_cut(const SmallLog& folder, bool torn) {
  {
    Journal reader;
    const Bytes before = folder.bytes(0);
    auto log = REQUIRE_OK(open_log(folder.path(), reader, {true, 1U << 20U}));
    CHECK((log->torn_bytes() > 0) == torn);
    CHECK(reader.lines() == folder.first(6));
    CHECK(folder.bytes(0) == before);
  }
  Journal journal;
  {
    auto log = REQUIRE_OK(open_log(folder.path(), journal, {}, unflushed()));
    CHECK((log->torn_bytes() > 0) == torn);
    CHECK(journal.lines() == folder.first(6));
    const Bytes now = folder.bytes(0);
    CHECK(std::all_of(now.begin() + std::min<long>(folder.starts[2], static_cast<long>(now.size())), now.end(),
                      [](auto b) { return b == 0; }));
    REQUIRE_DONE(add(*log, journal, {"after"}));
  }
  Journal again;
  auto log = REQUIRE_OK(open_log(folder.path(), again, {}, unflushed()));
  CHECK(log->torn_bytes() == 0);
  CHECK(again.lines() == journal.lines());
}

TEST_CASE("a tail cut at any byte of the last batch loses that batch only") {
  const SmallLog folder;
  for (std::uint32_t cut = folder.starts[2]; cut < folder.last; ++cut) {
    CAPTURE(cut);
    Bytes image = folder.image;
    std::fill(image.begin() + cut, image.end(), std::uint8_t{0});
    const bool torn = std::any_of(image.begin() + folder.starts[2], image.end(), [](auto b) { return b != 0; });
    if (Bytes(image.begin() + folder.starts[2], image.end()) ==
        Bytes(folder.image.begin() + folder.starts[2], folder.image.end()))
      continue;
    folder.replace(0, image);
    require_cut(folder, torn);
    image.resize(cut);
    folder.replace(0, image);
    require_cut(folder, torn);
  }
}

TEST_CASE("a last batch of which any part is missing is torn, also when its closing frame is there") {
  const SmallLog folder;
  for (std::uint32_t hole = folder.starts[2]; hole < folder.last; hole += 5) {
    for (const std::uint32_t size : {1U, 8U, 24U}) {
      CAPTURE(hole, size);
      Bytes image = folder.image;
      const std::uint32_t to = std::min(hole + size, folder.last);
      std::fill(image.begin() + hole, image.begin() + to, std::uint8_t{0});
      if (image == folder.image) continue;
      folder.replace(0, image);
      require_cut(folder, true);
    }
  }
}

TEST_CASE("a flipped bit is damage, or a torn last batch; never another frame") {
  const SmallLog folder;
  for (std::uint32_t offset = 0; offset < folder.image.size(); ++offset) {
    for (unsigned bit = 0; bit < 8; ++bit) {
      CAPTURE(offset, bit);
      Bytes image = folder.image;
      image[offset] = static_cast<std::uint8_t>(image[offset] ^ 1U << bit);
      folder.replace(0, image);
      for (const bool read_only : {true, false}) {
        Journal journal;
        auto opened = open_log(folder.path(), journal, {read_only, 1U << 20U}, unflushed());
        if (offset < folder.starts[2]) {
          REQUIRE_FALSE(opened.has_value());
          REQUIRE(opened.error().code == ErrorCode::kIntegrity);
          CHECK(opened.error().message.find("00000000.log") != std::string::npos);
          CHECK(journal.lines().empty());
          CHECK(folder.bytes(0) == image);
        } else {
          REQUIRE(opened.has_value());
          CHECK((*opened)->torn_bytes() > 0);
          CHECK(journal.lines() == (offset < folder.last ? folder.first(6) : folder.lines));
        }
      }
    }
  }
}

TEST_CASE("damage in an earlier segment stops the scan at its place and does not stop the open") {
  const LogFolder folder;
  Journal journal;
  {
    auto log = REQUIRE_OK(open_log(folder.path(), journal, {false, 2048}));
    while (log->segment_count() < 3) REQUIRE_DONE(add(*log, journal, {std::string(100, 'x')}));
  }
  const auto& line = journal.lines()[4];
  Bytes image = folder.bytes(0);
  image[line.position.offset + log::kFrameHead] ^= 1U;
  folder.replace(0, image);
  Journal again;
  auto log = REQUIRE_OK(open_log(folder.path(), again, {false, 2048}));
  std::size_t count = 0;
  const auto scanned = log->scan({}, [&](const log::FrameView&) -> Result<bool> { return ++count > 0; });
  REQUIRE_FALSE(scanned.has_value());
  CHECK(scanned.error().code == ErrorCode::kIntegrity);
  CHECK(scanned.error().message.find("00000000.log is damaged at byte " + std::to_string(line.position.offset)) !=
        std::string::npos);
  CHECK(count == 4);
  REQUIRE_ERROR(ErrorCode::kIntegrity, log->read(line.position));
  CHECK(as_text(REQUIRE_OK(log->read(journal.lines()[5].position))) == journal.lines()[5].body);

  image.resize(line.position.offset);
  folder.replace(0, image);
  REQUIRE_ERROR(ErrorCode::kIntegrity, log->scan({}, [](const log::FrameView&) -> Result<bool> { return true; }));
}

TEST_CASE("a missing, swapped, foreign or oversized segment is refused") {
  const LogFolder folder;
  Journal journal;
  {
    auto log = REQUIRE_OK(open_log(folder.path(), journal, {false, 2048}));
    while (log->segment_count() < 3) REQUIRE_DONE(add(*log, journal, {std::string(100, 'x')}));
  }
  const Bytes second = folder.bytes(1);
  const Bytes third = folder.bytes(2);
  Journal again;
  const auto open = [&] { return open_log(folder.path(), again, {true, 2048}); };
  SECTION("missing") {
    std::filesystem::remove(folder.segment(1));
    REQUIRE_ERROR(ErrorCode::kIntegrity, open());
  }
  SECTION("swapped") {
    folder.replace(2, second);
    REQUIRE_ERROR(ErrorCode::kIntegrity, open());
  }
  SECTION("empty") {
    folder.replace(2, {});
    REQUIRE_ERROR(ErrorCode::kIntegrity, open());
  }
  SECTION("none at all") {
    for (const std::uint32_t number : {0U, 1U, 2U}) std::filesystem::remove(folder.segment(number));
    REQUIRE_ERROR(ErrorCode::kIntegrity, open());
  }
  SECTION("larger than any segment") {
    std::filesystem::resize_file(folder.segment(2), std::uintmax_t{1} << 33U);
    REQUIRE_ERROR(ErrorCode::kIntegrity, open());
  }
  SECTION("a head that names more header than it may have") {
    Bytes image = third;
    image[16] = 0xFF;
    folder.replace(2, image);
    REQUIRE_ERROR(ErrorCode::kIntegrity, open());
  }
  SECTION("a link") {
    std::filesystem::rename(folder.segment(2), folder.folder / "elsewhere");
    std::filesystem::create_symlink(folder.folder / "elsewhere", folder.segment(2));
    REQUIRE_ERROR(ErrorCode::kUnsafePermissions, open());
  }
  SECTION("readable by others") {
    std::filesystem::permissions(folder.segment(2), std::filesystem::perms::others_read,
                                 std::filesystem::perm_options::add);
    REQUIRE_ERROR(ErrorCode::kUnsafePermissions, open());
  }
}

TEST_CASE("a frame copied elsewhere is no frame") {
  const SmallLog folder;
  Bytes image = folder.image;
  const std::uint32_t size = folder.last - folder.starts[2];
  image.resize(image.size() + size);
  std::copy_n(image.begin() + folder.starts[2], size, image.begin() + folder.last);
  folder.replace(0, image);
  Journal journal;
  auto log = REQUIRE_OK(open_log(folder.path(), journal, {}, unflushed()));
  CHECK(journal.lines() == folder.lines);
  CHECK(log->torn_bytes() == size);
}

TEST_CASE("an intact frame that names another batch than its own is no part of the log") {
  const SmallLog folder;
  for (const std::uint32_t batch_start : {folder.starts[0], folder.starts[2], folder.last - 1, folder.last + 1}) {
    Bytes image(folder.image.begin(), folder.image.begin() + folder.last);
    log::append_frame(image, {0, folder.last}, batch_start, true, as_bytes("foreign"));
    folder.replace(0, image);
    Journal journal;
    auto log = REQUIRE_OK(open_log(folder.path(), journal, {}, unflushed()));
    CHECK(journal.lines() == folder.lines);
    CHECK(log->torn_bytes() == log::kFrameHead + 7);
  }
}

TEST_CASE("a segment made to be slow to search is refused in bounded time") {
  const SmallLog folder;
  Bytes image(folder.image.begin(), folder.image.begin() + folder.starts[0]);
  // At every 17th byte a closing frame of a later batch that seems to reach far, none of them intact.
  image.resize(image.size() + log::kFrameHead, 0x01);
  while (image.size() < (1U << 20U)) {
    const auto at = static_cast<std::uint32_t>(image.size());
    base::Writer(image).u32((1U << 20U) - at > 40 ? (1U << 20U) - at - 20 : 1).u32(at).u8(1).u64(7);
  }
  folder.replace(0, image);
  Journal journal;
  REQUIRE_ERROR(ErrorCode::kIntegrity, open_log(folder.path(), journal, {}, unflushed()));
}

TEST_CASE("a client that refuses a replay stops the log for good") {
  const LogFolder folder;
  Journal first;
  Journal second;
  auto one = REQUIRE_OK(open_log(folder.path(), first, {}));
  auto two = REQUIRE_OK(open_log(folder.path(), second, {}));
  REQUIRE_DONE(add(*one, first, {"one"}));
  second.fail_replay = true;
  REQUIRE_ERROR(ErrorCode::kIntegrity, two->refresh());
  second.fail_replay = false;
  REQUIRE_ERROR(ErrorCode::kIntegrity, two->refresh());
  REQUIRE_ERROR(ErrorCode::kIntegrity, add(*two, second, {"two"}));
  CHECK(second.lines().empty());
}

}  // namespace
}  // namespace casevault::test
