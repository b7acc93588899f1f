// SPDX-License-Identifier: Apache-2.0
#include "log/segment.hpp"

#include <fcntl.h>
#include <unistd.h>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include <algorithm>
#include <array>
#include <bit>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <iterator>
#include <limits>
#include <system_error>

#include "base/cursor.hpp"

namespace casevault::log {
namespace {

constexpr std::array<std::uint8_t, 8> kMagic = {'C', 'V', 'L', 'O', 'G', '1', '\n', 0};
constexpr std::uint32_t kSegmentHead = 8 + 4 + 4 + 4;  // magic, number, previous end, header length
constexpr std::uint8_t kClosesBatch = 1;
constexpr std::string_view kUnfinished = "next.tmp";

constexpr std::uint64_t kPolynomial = 0xC96C5795D7870F42U;  // of CRC-64/XZ, lowest power in the highest bit

/// A polynomial times x.
constexpr std::uint64_t times_x(std::uint64_t value) { return (value >> 1U) ^ ((value & 1U) != 0 ? kPolynomial : 0U); }

using CrcTables = std::array<std::array<std::uint64_t, 256>, 8>;

constexpr CrcTables make_crc_tables() {
  CrcTables tables{};
  for (std::size_t i = 0; i < 256; ++i) {
    std::uint64_t value = i;
    for (int bit = 0; bit < 8; ++bit) value = times_x(value);
    tables[0][i] = value;
  }
  for (std::size_t k = 1; k < 8; ++k) {
    for (std::size_t i = 0; i < 256; ++i) {
      tables[k][i] = (tables[k - 1][i] >> 8U) ^ tables[0][tables[k - 1][i] & 0xFFU];
    }
  }
  return tables;
}
constexpr CrcTables kCrc = make_crc_tables();

#if defined(__x86_64__)
constexpr std::size_t kLane = 16;

constexpr std::uint64_t x_to_the(unsigned power) {
  std::uint64_t value = std::uint64_t{1} << 63U;
  for (; power > 0; --power) value = times_x(value);
  return value;
}

__m128i load(ByteView& bytes) noexcept {
  __m128i lane;
  std::memcpy(&lane, bytes.data(), kLane);
  bytes = bytes.subspan(kLane);
  return lane;
}

/// Factors that move the halves of a lane up by `lanes` lanes. A product of reversed polynomials is x too high, hence
/// the powers one lower.
__m128i factors(unsigned lanes) noexcept {
  return _mm_set_epi64x(std::bit_cast<std::int64_t>(x_to_the(128 * lanes - 1)),
                        std::bit_cast<std::int64_t>(x_to_the(128 * lanes + 63)));
}

__attribute__((target("pclmul"))) __m128i moved(__m128i lane, __m128i by) noexcept {
  return _mm_xor_si128(_mm_clmulepi64_si128(lane, by, 0x00), _mm_clmulepi64_si128(lane, by, 0x11));
}

/// Replaces the longest whole number of four lanes at the head of `bytes` by one lane with the same remainder. Ten
/// times as fast as the tables, which matters at open and to verify.
__attribute__((target("pclmul"))) std::array<std::uint8_t, kLane> fold(std::uint64_t crc, ByteView& bytes) noexcept {
  static const __m128i one_up = factors(1);
  static const __m128i four_up = factors(4);
  __m128i lanes[4] = {load(bytes), load(bytes), load(bytes), load(bytes)};  // NOLINT: std::array drops its alignment
  lanes[0] = _mm_xor_si128(lanes[0], _mm_set_epi64x(0, std::bit_cast<std::int64_t>(crc)));
  while (bytes.size() >= std::size(lanes) * kLane) {
    for (__m128i& lane : lanes) lane = _mm_xor_si128(moved(lane, four_up), load(bytes));
  }
  __m128i last = lanes[0];
  for (std::size_t i = 1; i < std::size(lanes); ++i) last = _mm_xor_si128(moved(last, one_up), lanes[i]);
  return std::bit_cast<std::array<std::uint8_t, kLane>>(last);
}
#endif

std::uint64_t crc_update(std::uint64_t crc, ByteView bytes) noexcept {
#if defined(__x86_64__)
  if (bytes.size() >= 4 * kLane && __builtin_cpu_supports("pclmul")) {
    const std::array<std::uint8_t, kLane> folded = fold(crc, bytes);
    crc = crc_update(0, folded);
  }
#endif
  for (; bytes.size() >= 8; bytes = bytes.subspan(8)) {
    for (unsigned i = 0; i < 8; ++i) crc ^= std::uint64_t{bytes[i]} << (8 * i);
    crc = kCrc[7][crc & 0xFFU] ^ kCrc[6][crc >> 8U & 0xFFU] ^ kCrc[5][crc >> 16U & 0xFFU] ^
          kCrc[4][crc >> 24U & 0xFFU] ^ kCrc[3][crc >> 32U & 0xFFU] ^ kCrc[2][crc >> 40U & 0xFFU] ^
          kCrc[1][crc >> 48U & 0xFFU] ^ kCrc[0][crc >> 56U];
  }
  for (const std::uint8_t byte : bytes) crc = (crc >> 8U) ^ kCrc[0][(crc ^ byte) & 0xFFU];
  return crc;
}

void put_u32(std::uint8_t* out, std::uint32_t value) noexcept {
  for (unsigned i = 0; i < 4; ++i) out[i] = static_cast<std::uint8_t>(value >> (24 - 8 * i));
}

/// The checksum covers where the frame stands, so that a copied one is no frame.
std::uint64_t frame_checksum(Position position, std::uint32_t batch_start, std::uint8_t flags, ByteView body) noexcept {
  std::array<std::uint8_t, 17> where{};
  put_u32(&where[0], position.segment);
  put_u32(&where[4], position.offset);
  put_u32(&where[8], static_cast<std::uint32_t>(body.size()));
  put_u32(&where[12], batch_start);
  where[16] = flags;
  return crc64(where, body);
}

Result<void> write_segment(const base::Fd& fd, const std::string& name, ByteView head, std::uint64_t size,
                           const FileOps& ops) {
  CASEVAULT_CHECK(allocate(fd, size, name));
  Bytes filled(head.begin(), head.end());
  filled.resize(static_cast<std::size_t>(std::max<std::uint64_t>(head.size(), std::min(size, kFillAhead))));
  CASEVAULT_CHECK(ops.write_at(fd, 0, filled, name));
  return ops.sync(fd, name);
}

std::optional<std::uint32_t> parse_segment_file_name(const std::string& name) {
  if (name.size() != 12 || !name.ends_with(".log")) return std::nullopt;
  std::uint32_t number = 0;
  for (const char digit : name.substr(0, 8)) {
    if (digit < '0' || digit > '9') return std::nullopt;
    number = number * 10 + static_cast<std::uint32_t>(digit - '0');
  }
  return number;
}

/// Up to the last byte that is not zero. By pages first: most of a young segment is zeros.
std::size_t size_without_zeros(ByteView bytes) noexcept {
  static constexpr std::array<std::uint8_t, 4096> kZeros{};
  while (bytes.size() >= kZeros.size() &&
         std::memcmp(bytes.last<kZeros.size()>().data(), kZeros.data(), kZeros.size()) == 0)
    bytes = bytes.first(bytes.size() - kZeros.size());
  while (!bytes.empty() && bytes.back() == 0) bytes = bytes.first(bytes.size() - 1);
  return bytes.size();
}

/// Whether a frame of a batch other than the one at `broken` stands anywhere in `bytes`. A length that was damaged
/// cannot be hopped over, so every offset of the `torn` bytes is tried. Input made to be slow runs out of budget and
/// counts as damage.
bool holds_later_batch(ByteView bytes, std::uint64_t torn, Position broken) noexcept {
  std::uint64_t budget = 64 * (std::uint64_t{bytes.size()} + (1U << 10U));
  for (std::uint32_t skip = 1; skip < torn && skip + kFrameHead < bytes.size(); ++skip) {
    base::Reader head(bytes.subspan(skip, kFrameHead));
    const std::uint32_t length = head.u32();
    const std::uint32_t batch_start = head.u32();
    const std::uint32_t offset = broken.offset + skip;
    if (length == 0 || length > bytes.size() - skip - kFrameHead || batch_start <= broken.offset ||
        batch_start > offset || head.u8() > kClosesBatch) {
      continue;
    }
    if (length > budget) return true;
    budget -= length;
    if (parse_frame(bytes.subspan(skip), {broken.segment, offset})) return true;
  }
  return false;
}

}  // namespace

FileOps system_file_ops() {
  const auto write = [](const base::Fd& fd, std::uint64_t offset, ByteView data, std::string_view name) {
    errno = 0;
    Result<void> written = base::write_at(fd, offset, data, name);
    // A limit on file sizes is a full disk to whoever appends.
    if (!written && errno == EFBIG) return Result<void>(Error{ErrorCode::kDiskFull, written.error().message});
    return written;
  };
  return {write, base::sync_data};
}

std::uint64_t crc64(ByteView first, ByteView second) noexcept {
  return ~crc_update(crc_update(~std::uint64_t{0}, first), second);
}

Error damage(const std::string& name, std::uint64_t offset, std::string_view what) {
  return {ErrorCode::kIntegrity, "log segment " + name + " is damaged at byte " + std::to_string(offset) + ": " +
                                     std::string(what) + "; restore it from a backup"};
}

std::string segment_file_name(std::uint32_t number) {
  std::array<char, 24> name{};
  std::snprintf(name.data(), name.size(), "%08u.log", number);
  return name.data();
}

Result<Segment> open_segment(const std::filesystem::path& folder, std::uint32_t number, base::OpenMode mode) {
  const std::filesystem::path path = folder / segment_file_name(number);
  CASEVAULT_TRY(base::Fd fd, base::open_file(path, mode));
  CASEVAULT_TRY(const std::uint64_t size, base::file_size(fd));
  const std::string name = path.string();
  if (size > std::numeric_limits<std::uint32_t>::max()) return damage(name, 0, "it is larger than a segment can be");
  Bytes head(static_cast<std::size_t>(std::min<std::uint64_t>(size, kSegmentHead + kMaxSegmentHeader + 8)));
  CASEVAULT_CHECK(base::read_at(fd, 0, head, name));

  base::Reader reader(head);
  const auto magic = reader.fixed<8>();
  const std::uint32_t stored_number = reader.u32();
  const std::uint32_t previous_end = reader.u32();
  const ByteView header = reader.block();
  const std::size_t covered = head.size() - reader.rest().size();
  const std::uint64_t checksum = reader.u64();
  if (!reader.ok() || magic != kMagic || checksum != crc64(ByteView(head).first(covered))) {
    return damage(name, 0, "its head is not the one that was written");
  }
  if (stored_number != number) {
    return damage(name, 8, "it says it is segment " + std::to_string(stored_number) + ", the file was renamed");
  }
  return Segment{std::move(fd),
                 name,
                 number,
                 previous_end,
                 Bytes(header.begin(), header.end()),
                 static_cast<std::uint32_t>(covered + 8)};
}

Result<void> allocate(const base::Fd& fd, std::uint64_t end, std::string_view name) {
  const int error = ::posix_fallocate(fd.get(), 0, static_cast<off_t>(end));
  if (error == 0) return {};
  return base::errno_error(error, "reserve space in", name);
}

Result<void> create_segment(const std::filesystem::path& folder, std::uint32_t number, std::uint32_t previous_end,
                            ByteView header, std::uint32_t segment_bytes, const FileOps& ops) {
  if (header.size() > kMaxSegmentHeader) {
    return Error{ErrorCode::kInternal, "the head of log segment " + std::to_string(number) + " would have " +
                                           std::to_string(header.size()) + " bytes, more than " +
                                           std::to_string(kMaxSegmentHeader)};
  }
  Bytes head;
  base::Writer writer(head);
  writer.bytes(kMagic).u32(number).u32(previous_end).block(header);
  writer.u64(crc64(head));

  const std::filesystem::path unfinished = folder / kUnfinished;
  const std::filesystem::path path = folder / segment_file_name(number);
  std::error_code error;
  std::filesystem::remove(unfinished, error);  // left by a crash; a real obstacle shows in the next step
  CASEVAULT_TRY(const base::Fd fd, base::open_file(unfinished, base::OpenMode::kCreateNew));
  Result<void> written =
      write_segment(fd, path.string(), head, std::max<std::uint64_t>(segment_bytes, head.size()), ops);
  if (written && std::rename(unfinished.c_str(), path.c_str()) != 0) {
    written = base::errno_error(errno, "create", path.string());
  }
  if (!written) {
    std::filesystem::remove(unfinished, error);
    return written;
  }
  // Never kDiskFull from here on: the segment is there, and nothing may be appended to the one before any more.
  const Result<void> synced = base::sync_folder(folder);
  if (!synced) return Error{ErrorCode::kIo, synced.error().message};
  return {};
}

Result<std::uint32_t> last_segment(const std::filesystem::path& folder) {
  std::error_code error;
  std::uint32_t count = 0;
  std::uint32_t last = 0;
  std::filesystem::directory_iterator entry(folder, error);
  for (; !error && entry != std::filesystem::directory_iterator(); entry.increment(error)) {
    if (const auto number = parse_segment_file_name(entry->path().filename().string())) {
      ++count;
      last = std::max(last, *number);
    }
  }
  if (error) return base::errno_error(error.value(), "list", folder.string());
  if (count == 0) {
    return Error{ErrorCode::kIntegrity, "log folder " + folder.string() + " has no segment; restore it from a backup"};
  }
  if (count != last + 1) {
    return Error{ErrorCode::kIntegrity, "log folder " + folder.string() + " lacks a segment before " +
                                            segment_file_name(last) + "; restore it from a backup"};
  }
  return last;
}

std::uint64_t end_of_data(const Segment& segment, std::uint64_t from, std::uint64_t size) {
  std::uint64_t end = from;
  for (int extents = 0; extents < 64; ++extents) {
    const off_t data = ::lseek(segment.fd.get(), static_cast<off_t>(end), SEEK_DATA);
    if (data < 0) return errno == ENXIO ? end : size;
    const off_t hole = ::lseek(segment.fd.get(), data, SEEK_HOLE);
    if (hole < 0 || static_cast<std::uint64_t>(hole) >= size) return size;
    end = static_cast<std::uint64_t>(hole);
  }
  return size;
}

Result<Bytes> read_range(const Segment& segment, std::uint32_t from, std::uint64_t to) {
  Bytes bytes(static_cast<std::size_t>(to > from ? to - from : 0));
  CASEVAULT_CHECK(base::read_at(segment.fd, from, bytes, segment.name));
  return bytes;
}

void append_frame(Bytes& out, Position position, std::uint32_t batch_start, bool closes_batch, ByteView body) {
  const std::uint8_t flags = closes_batch ? kClosesBatch : 0;
  base::Writer(out)
      .u32(static_cast<std::uint32_t>(body.size()))
      .u32(batch_start)
      .u8(flags)
      .u64(frame_checksum(position, batch_start, flags, body))
      .bytes(body);
}

std::optional<Frame> parse_frame(ByteView bytes, Position position, Checksum checksum) noexcept {
  base::Reader reader(bytes);
  const std::uint32_t length = reader.u32();
  const std::uint32_t batch_start = reader.u32();
  const std::uint8_t flags = reader.u8();
  const std::uint64_t stored = reader.u64();
  const ByteView body = reader.take(length);
  if (!reader.ok() || body.empty() || flags > kClosesBatch) return std::nullopt;
  if (checksum == Checksum::kCompare && stored != frame_checksum(position, batch_start, flags, body))
    return std::nullopt;
  return Frame{batch_start, flags == kClosesBatch, body};
}

Result<bool> each_frame(ByteView bytes, Position start, const std::string& name,
                        const std::function<Result<bool>(const FrameView&)>& visit, Checksum checksum) {
  Position at = start;
  std::optional<std::uint32_t> batch;
  bool closed = true;
  while (!bytes.empty()) {
    const auto frame = parse_frame(bytes, at, checksum);
    if (!frame) return damage(name, at.offset, "no intact frame starts there");
    if (!batch) batch = frame->batch_start;
    if (frame->batch_start != *batch || *batch > at.offset) return damage(name, at.offset, "a frame of another batch");
    CASEVAULT_TRY(const bool more, visit({at, frame->closes_batch, frame->body}));
    if (!more) return false;
    closed = frame->closes_batch;
    const std::size_t size = kFrameHead + frame->body.size();
    bytes = bytes.subspan(size);
    at.offset += static_cast<std::uint32_t>(size);
    if (closed) batch = at.offset;
  }
  if (!closed) return damage(name, at.offset, "the last batch is not closed");
  return true;
}

Tail find_tail(ByteView bytes, Position start) noexcept {
  Tail tail{start.offset, start.offset, 0, false};
  for (std::size_t at = 0; at < bytes.size();) {
    const Position position{start.segment, start.offset + static_cast<std::uint32_t>(at)};
    const auto frame = parse_frame(bytes.subspan(at), position);
    if (!frame || frame->batch_start != tail.end) break;
    at += kFrameHead + frame->body.size();
    if (frame->closes_batch) {
      tail.last_batch = tail.end;
      tail.end = start.offset + static_cast<std::uint32_t>(at);
    }
  }
  const ByteView rest = bytes.subspan(tail.end - start.offset);
  tail.torn = size_without_zeros(rest);
  tail.damaged = tail.torn != 0 && holds_later_batch(rest, tail.torn, {start.segment, tail.end});
  return tail;
}

Result<void> walk_intact(const std::filesystem::path& folder, const std::function<void(const FrameView&)>& visit) {
  for (std::uint32_t number = 0;; ++number) {
    auto segment = open_segment(folder, number, base::OpenMode::kRead);
    if (!segment) return {};  // the end, or a head that is damaged: either way it goes no further
    CASEVAULT_TRY(const std::uint64_t size, base::file_size(segment->fd));
    const auto next = open_segment(folder, number + 1, base::OpenMode::kRead);
    const std::uint64_t end = next ? std::min<std::uint64_t>(size, next->previous_end) : size;
    if (end < segment->first_frame) return {};
    CASEVAULT_TRY(const Bytes bytes, read_range(*segment, segment->first_frame, end));
    Position at{number, segment->first_frame};
    for (ByteView rest = bytes; !rest.empty();) {
      const std::optional<Frame> frame = parse_frame(rest, at);
      if (!frame) return {};
      visit({at, frame->closes_batch, frame->body});
      const std::size_t length = kFrameHead + frame->body.size();
      rest = rest.subspan(length);
      at.offset += static_cast<std::uint32_t>(length);
    }
  }
}

}  // namespace casevault::log
