// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <casevault/bytes.hpp>

#include <filesystem>
#include <functional>
#include <memory>

/// The append-only log file: segments, frames, lock, group commit, tail recovery. Blind to what frames mean.
namespace casevault::log {

/// Where a frame starts: segment number (from 0) and byte offset in its file. Ordered.
struct Position {
  std::uint32_t segment = 0;
  std::uint32_t offset = 0;
  auto operator<=>(const Position&) const = default;
};

struct FrameView {
  Position position;
  bool closes_batch = false;
  ByteView body;  ///< valid during the call that hands it out
};

/// Receives the frames of one batch while the log lock is held.
class FrameSink {
 public:
  virtual ~FrameSink() = default;
  /// Position that the next appended frame will have.
  [[nodiscard]] virtual Position next() const = 0;
  virtual void append(ByteView body) = 0;
};

/// The one who knows what frames mean (the vault's journal). All calls come under the log's mutex, one at a time.
class LogClient {
 public:
  virtual ~LogClient() = default;
  /// First 4 KiB-bounded bytes to stand at the head of each new segment: the state a reader needs to start there.
  [[nodiscard]] virtual Bytes segment_header() = 0;
  /// Start reading at a segment whose header holds these bytes (at open, of the last segment).
  [[nodiscard]] virtual Result<void> start(ByteView segment_header) = 0;
  /// A frame of an acknowledged batch that this client has not seen: at open, or appended by another process.
  [[nodiscard]] virtual Result<void> replay(const FrameView& frame) = 0;
  /// Adds exactly one closing frame after the frames of the batch; its bytes end the batch.
  [[nodiscard]] virtual Result<Bytes> close_batch(Position position) = 0;
  /// The batch could not be made durable: forget what `build` and `close_batch` did since the last acknowledged batch.
  virtual void rollback() = 0;
};

struct LogOptions {
  bool read_only = false;                   ///< never writes, cuts or locks; sees acknowledged batches only
  std::uint32_t segment_bytes = 1U << 20U;  ///< a segment is closed when a batch would pass this size
};

/// Thread-safe among the threads of a process; processes take turns by an OFD lock on `folder`/lock.
class Log {
 public:
  virtual ~Log() = default;

  /// Appends what `build` puts into the sink, durably. Callers that wait at the same time share one flush: the first
  /// commits for all (leader and followers). `build` runs on the leader's thread under the log lock, after all frames
  /// of other processes were replayed. If `build` fails, its frames are dropped and its error returned; others go on.
  /// kDiskFull / kIo: nothing of the batch is in the log. kUnknownOutcome: the flush failed; the segment is given up at
  /// the last acknowledged batch and a new one begun, and whether the batch is there is settled at the next open.
  [[nodiscard]] virtual Result<void> append(const std::function<Result<void>(FrameSink&)>& build) = 0;

  /// Replays what other processes appended since. Cheap when nothing was.
  [[nodiscard]] virtual Result<void> refresh() = 0;

  /// Every frame of acknowledged batches from `from` on, in order, while `visit` returns true; reads files, holds no
  /// lock.
  [[nodiscard]] virtual Result<void> scan(Position from,
                                          const std::function<Result<bool>(const FrameView&)>& visit) = 0;
  /// The frame at a position, copied. kIntegrity when none starts there.
  [[nodiscard]] virtual Result<Bytes> read(Position position) = 0;
  /// The header bytes of a segment, copied; kNotFound past the last.
  [[nodiscard]] virtual Result<Bytes> read_segment_header(std::uint32_t segment) = 0;
  [[nodiscard]] virtual std::uint32_t segment_count() const = 0;
  /// Bytes after the last acknowledged batch found at open: none normally; a torn batch after a crash. Told, not
  /// hidden.
  [[nodiscard]] virtual std::uint64_t torn_bytes() const = 0;
};

/// Hands out the intact frames from the first segment on, up to the first that is not: tells how far a damaged log can
/// be read. Needs no key and no lock, changes nothing. An error is one of reading, not of damage.
[[nodiscard]] Result<void> walk_intact(const std::filesystem::path& folder,
                                       const std::function<void(const FrameView&)>& visit);

/// Makes `folder` with its lock file and an empty first segment (header from the client).
[[nodiscard]] Result<void> create_log(const std::filesystem::path& folder, LogClient& client);
/// Opens, finds the tail (reading only the last segment), calls client.start and replays that segment. Without
/// read_only it cuts a batch that has no closing frame and flushes a complete one, under the lock. Damage before the
/// last batch of the last segment is kIntegrity and names segment and offset. `client` must outlive the log.
[[nodiscard]] Result<std::unique_ptr<Log>> open_log(const std::filesystem::path& folder, LogClient& client,
                                                    const LogOptions& options);

}  // namespace casevault::log
