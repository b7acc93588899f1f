// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>

#include "base/file.hpp"
#include "log/log.hpp"

/// The bytes of one segment file (README.md): pure coding, finding the tail, making and opening files.
namespace casevault::log {

inline constexpr std::uint32_t kFrameHead = 4 + 4 + 1 + 8;  ///< length, batch start, flags, checksum
inline constexpr std::uint32_t kMaxSegmentHeader = 4096;
/// Zeros are written ahead up to a multiple of this: the first write to a reserved block makes the file system record
/// that it is in use, which costs its flush a second write. So it is done for many batches at once.
inline constexpr std::uint64_t kFillAhead = 64U << 10U;
inline constexpr std::uint32_t kMaxBatch = 1U << 30U;  ///< bytes of all frames of a batch, heads included

/// What the log does to files while appending; tests put failures here.
struct FileOps {
  std::function<Result<void>(const base::Fd&, std::uint64_t offset, ByteView, std::string_view name)> write_at;
  std::function<Result<void>(const base::Fd&, std::string_view name)> sync;
};
[[nodiscard]] FileOps system_file_ops();
[[nodiscard]] Result<std::unique_ptr<Log>> open_log(const std::filesystem::path& folder, LogClient& client,
                                                    const LogOptions& options, FileOps ops);

/// CRC-64/XZ. Finds damage; proves nothing against tampering, which is the client's signatures' business.
[[nodiscard]] std::uint64_t crc64(ByteView first, ByteView second = {}) noexcept;

/// An open segment file whose head was checked.
struct Segment {
  base::Fd fd;
  std::string name;  ///< path, for messages
  std::uint32_t number = 0;
  std::uint32_t previous_end = 0;  ///< where the frames of the segment before end; 0 in segment 0
  Bytes header;                    ///< the client's
  std::uint32_t first_frame = 0;   ///< offset
};
[[nodiscard]] std::string segment_file_name(std::uint32_t number);
[[nodiscard]] Result<Segment> open_segment(const std::filesystem::path& folder, std::uint32_t number,
                                           base::OpenMode mode);
/// Makes segment `number` appear whole or not at all: written beside, flushed, renamed, folder flushed.
[[nodiscard]] Result<void> create_segment(const std::filesystem::path& folder, std::uint32_t number,
                                          std::uint32_t previous_end, ByteView header, std::uint32_t segment_bytes,
                                          const FileOps& ops);
/// Allocates the file up to `end`; kDiskFull when there is no room.
[[nodiscard]] Result<void> allocate(const base::Fd& fd, std::uint64_t end, std::string_view name);
/// The number of the last segment of the folder; kIntegrity when one before it is missing.
[[nodiscard]] Result<std::uint32_t> last_segment(const std::filesystem::path& folder);
/// All bytes from here to `size` are zeros, as far as the file system knows without reading them; at least `from`.
[[nodiscard]] std::uint64_t end_of_data(const Segment& segment, std::uint64_t from, std::uint64_t size);
/// Bytes [from, to) of the file.
[[nodiscard]] Result<Bytes> read_range(const Segment& segment, std::uint32_t from, std::uint64_t to);

/// A frame in a buffer, checksum verified.
struct Frame {
  std::uint32_t batch_start = 0;
  bool closes_batch = false;
  ByteView body;
};
void append_frame(Bytes& out, Position position, std::uint32_t batch_start, bool closes_batch, ByteView body);
/// The intact frame at the start of `bytes`, which stand at `position`.
/// Whether the checksum of a frame is to be compared, or was for the same bytes in memory.
enum class Checksum : std::uint8_t { kCompare, kCompared };
[[nodiscard]] std::optional<Frame> parse_frame(ByteView bytes, Position position,
                                               Checksum checksum = Checksum::kCompare) noexcept;

[[nodiscard]] Error damage(const std::string& name, std::uint64_t offset, std::string_view what);

/// Hands out the frames of `bytes`, which stand at `start` and must be intact batches to the last byte (the first
/// may be entered at any of its frames); kIntegrity otherwise. Ends early when `visit` returns false; the value says
/// whether it did not.
[[nodiscard]] Result<bool> each_frame(ByteView bytes, Position start, const std::string& name,
                                      const std::function<Result<bool>(const FrameView&)>& visit,
                                      Checksum checksum = Checksum::kCompare);

/// Where the intact batches of a last segment end.
struct Tail {
  std::uint32_t end = 0;         ///< offset after the last intact batch
  std::uint32_t last_batch = 0;  ///< offset of that batch; == end when there is none
  std::uint64_t torn = 0;        ///< bytes after `end` up to the last one that is not zero
  bool damaged = false;          ///< what stands at `end` is not torn: a later batch exists, so it was once whole
};
/// `bytes` stand at `start`, which is the start of a batch, and go to the end of the file.
[[nodiscard]] Tail find_tail(ByteView bytes, Position start) noexcept;

}  // namespace casevault::log
