// SPDX-License-Identifier: Apache-2.0
#include "log/log.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <exception>
#include <limits>
#include <mutex>
#include <thread>

#include "base/cursor.hpp"
#include "base/process_id.hpp"
#include "log/segment.hpp"

namespace casevault::log {
namespace {

using Build = std::function<Result<void>(FrameSink&)>;
using Visit = std::function<Result<bool>(const FrameView&)>;

constexpr std::string_view kLockFile = "lock";
constexpr std::size_t kTailChunk = 64U << 10U;
constexpr int kTailReads = 16;

/// Below this many free bytes a new segment is begun. When the disk is full these bytes still take entries.
std::uint32_t reserve_of(std::uint32_t segment_bytes) { return std::min(segment_bytes / 16, 64U << 10U); }

/// The exclusive lock on the log, held for one batch.
class Turn {
 public:
  [[nodiscard]] static Result<Turn> take(const base::Fd& lock, const std::string& name) {
    CASEVAULT_CHECK(base::lock_file(lock, base::LockKind::kExclusive, 0, true, name));
    return Turn(&lock);
  }
  Turn(Turn&& other) noexcept : lock_(std::exchange(other.lock_, nullptr)) {}
  Turn& operator=(Turn&&) = delete;
  ~Turn() {
    if (lock_ != nullptr) base::unlock_file(*lock_, 0);
  }

 private:
  explicit Turn(const base::Fd* lock) : lock_(lock) {}
  const base::Fd* lock_;
};

/// The frames of one batch in memory.
class Batch final : public FrameSink {
 public:
  explicit Batch(Position start) : start_(start) {}
  [[nodiscard]] Position next() const override {
    return {start_.segment, start_.offset + static_cast<std::uint32_t>(bytes_.size())};
  }
  void append(ByteView body) override { add(body, false); }
  void close(ByteView body) { add(body, true); }

  [[nodiscard]] bool refused() const { return refused_; }
  /// Whether any build came as far as a frame, even one that was dropped: only then is there anything to roll back. A
  /// client asked to roll back when nothing was built could not tell this from a failure of its last closed batch.
  [[nodiscard]] bool offered() const { return offered_; }
  [[nodiscard]] const Bytes& bytes() const { return bytes_; }
  [[nodiscard]] Bytes release() { return std::move(bytes_); }
  void cut(std::size_t size) { bytes_.resize(size), refused_ = false; }

 private:
  void add(ByteView body, bool closes_batch) {
    offered_ = true;
    const std::size_t room = kMaxBatch - std::min<std::size_t>(bytes_.size(), kMaxBatch);
    if (body.empty() || room < kFrameHead || body.size() > room - kFrameHead) {
      refused_ = true;
      return;
    }
    append_frame(bytes_, next(), start_.offset, closes_batch, body);
  }
  Position start_;
  Bytes bytes_;
  bool refused_ = false;
  bool offered_ = false;
};

class FileLog final : public Log {
 public:
  FileLog(std::filesystem::path folder, LogClient& client, const LogOptions& options, FileOps ops)
      : folder_(std::move(folder)), client_(client), options_(options), ops_(std::move(ops)) {}
  FileLog(const FileLog&) = delete;
  FileLog& operator=(const FileLog&) = delete;
  ~FileLog() override {
    // In a forked child other threads' waits on these will never end, and destroying them would wait for that.
    if (base::process_id() != pid_) static_cast<void>(sync_.release());
  }

  Result<void> open();

  Result<void> append(const Build& build) override;
  Result<void> refresh() override;
  Result<void> scan(Position from, const Visit& visit) override;
  Result<Bytes> read(Position position) override;
  Result<Bytes> read_segment_header(std::uint32_t segment) override;
  std::uint32_t segment_count() const override;
  std::uint64_t torn_bytes() const override { return torn_bytes_; }

 private:
  struct Request {
    const Build& build;
    Result<void> result;
    std::exception_ptr exception;
    bool done = false;
    [[nodiscard]] bool failed() const { return exception != nullptr || !result; }
  };
  struct Sync {
    std::mutex mutex;
    std::array<std::condition_variable, 2> rounds;  ///< waits of even and of odd rounds: its requests are done, or
                                                    ///< nobody leads
    std::condition_variable idle;                   ///< nobody leads: a refresh may
    std::condition_variable arrived;                ///< as many requests came as the leader waits for
  };
  enum class Doubt : std::uint8_t {
    kNone,
    kWrite,
    kFlush
  };  ///< what did not come to its end, leaving bytes after end_

  [[nodiscard]] Result<void> check_caller() const;
  [[nodiscard]] Result<void> check_thread() const;  ///< under the mutex
  [[nodiscard]] std::string lock_name() const { return (folder_ / kLockFile).string(); }
  [[nodiscard]] Position position() const { return {segment_.number, end_}; }
  [[nodiscard]] Position known() const;
  void publish();

  // The following run as the one leader, without the mutex.
  void lead(std::unique_lock<std::mutex>& lock);
  void hand_over(std::unique_lock<std::mutex>& lock);
  [[nodiscard]] Result<void> run(std::vector<Request*>& batch);
  [[nodiscard]] Result<void> commit(const std::vector<Request*>& requests);
  [[nodiscard]] Result<void> build_and_write(const std::vector<Request*>& requests, Batch& batch);
  [[nodiscard]] Result<void> write(Bytes bytes);
  [[nodiscard]] Error give_up(Error cause);
  [[nodiscard]] Result<void> blank();
  [[nodiscard]] Result<void> write_zeros(std::uint32_t from, std::size_t count);
  [[nodiscard]] Result<void> next_segment();
  [[nodiscard]] Result<void> catch_up(bool opening);
  [[nodiscard]] Result<bool> catch_up_one_segment();
  [[nodiscard]] Result<void> catch_up_tail(bool opening);
  [[nodiscard]] Result<Bytes> read_tail(Tail& tail, bool whole) const;
  [[nodiscard]] Result<void> settle(const Tail& tail, ByteView bytes);
  [[nodiscard]] Result<void> replay(ByteView bytes, Checksum checksum);
  void take(std::vector<Request*>& batch);
  [[nodiscard]] std::condition_variable& round() { return sync_->rounds[round_ % 2]; }

  [[nodiscard]] base::OpenMode mode() const {
    return options_.read_only ? base::OpenMode::kRead : base::OpenMode::kReadWrite;
  }
  [[nodiscard]] Result<void> scan_segment(std::uint32_t number, std::uint32_t from, Position last, const Visit& visit,
                                          bool& more) const;
  [[nodiscard]] Result<std::uint32_t> end_of(std::uint32_t number, Position last) const;

  const std::filesystem::path folder_;
  LogClient& client_;
  const LogOptions options_;
  const FileOps ops_;
  const pid_t pid_ = base::process_id();
  base::Fd folder_fd_;
  base::Fd lock_;
  std::uint64_t torn_bytes_ = 0;

  // The leader's.
  Segment segment_;
  std::uint32_t end_ = 0;     ///< after the last acknowledged batch that the client knows
  std::size_t doubtful_ = 0;  ///< bytes after end_ that `doubt_` is about
  Doubt doubt_ = Doubt::kNone;
  std::optional<Error> broken_;  ///< the client stopped in the middle of a replay: only a new open helps
  std::chrono::steady_clock::duration flush_time_{};

  std::unique_ptr<Sync> sync_ = std::make_unique<Sync>();
  // Under the mutex.
  std::vector<Request*> queue_;
  std::uint64_t round_ = 0;  ///< of the requests in the queue: a flush wakes those it was for, and one of the next
  std::thread::id leader_;   ///< default: nobody leads
  std::size_t company_ = 1;  ///< callers in the last batch
  Position known_;
};

Result<void> FileLog::check_caller() const {
  if (base::process_id() == pid_) return {};
  return Error{ErrorCode::kUsage, "log " + folder_.string() + ": opened before fork; open it anew in the child"};
}

Result<void> FileLog::check_thread() const {
  if (leader_ != std::this_thread::get_id()) return {};
  return Error{ErrorCode::kUsage, "log " + folder_.string() + ": append or refresh called from inside an append"};
}

Position FileLog::known() const {
  const std::lock_guard lock(sync_->mutex);
  return known_;
}

void FileLog::publish() {
  const std::lock_guard lock(sync_->mutex);
  known_ = position();
}

Result<void> FileLog::open() {
  CASEVAULT_TRY(folder_fd_, base::open_folder(folder_));
  std::optional<Turn> turn;
  if (!options_.read_only) {
    CASEVAULT_TRY(lock_, base::open_file(folder_ / kLockFile, base::OpenMode::kReadWrite));
    CASEVAULT_TRY(Turn taken, Turn::take(lock_, lock_name()));
    turn.emplace(std::move(taken));
  }
  CASEVAULT_TRY(const std::uint32_t last, last_segment(folder_));
  CASEVAULT_TRY(segment_, open_segment(folder_, last, mode()));
  end_ = segment_.first_frame;
  CASEVAULT_CHECK(client_.start(segment_.header));
  return catch_up(true);
}

Result<void> FileLog::append(const Build& build) {
  CASEVAULT_CHECK(check_caller());
  if (options_.read_only) return Error{ErrorCode::kUsage, "log " + folder_.string() + ": opened read-only"};
  Request request{build, {}, nullptr, false};
  std::unique_lock lock(sync_->mutex);
  CASEVAULT_CHECK(check_thread());
  queue_.push_back(&request);
  if (queue_.size() >= company_) sync_->arrived.notify_one();
  round().wait(lock, [&] { return request.done || leader_ == std::thread::id(); });
  if (request.done) {
    lock.unlock();
  } else {
    lead(lock);
  }
  if (request.exception) std::rethrow_exception(request.exception);
  return std::move(request.result);
}

Result<void> FileLog::refresh() {
  CASEVAULT_CHECK(check_caller());
  std::unique_lock lock(sync_->mutex);
  CASEVAULT_CHECK(check_thread());
  sync_->idle.wait(lock, [&] { return leader_ == std::thread::id(); });
  leader_ = std::this_thread::get_id();
  lock.unlock();

  std::exception_ptr exception;
  Result<void> result;
  try {
    result = [&]() -> Result<void> {
      if (options_.read_only) return catch_up(false);
      CASEVAULT_TRY(const Turn turn, Turn::take(lock_, lock_name()));
      return catch_up(false);
    }();
  } catch (...) {
    exception = std::current_exception();
  }
  lock.lock();
  hand_over(lock);
  if (exception) std::rethrow_exception(exception);
  return result;
}

/// Gives up leading, to one of the next round. Nobody is woken under the mutex, only to wait for it.
void FileLog::hand_over(std::unique_lock<std::mutex>& lock) {
  leader_ = {};
  std::condition_variable& next = round();
  lock.unlock();
  next.notify_one();
  sync_->idle.notify_all();
}

/// Leaves `lock` open.
void FileLog::lead(std::unique_lock<std::mutex>& lock) {
  leader_ = std::this_thread::get_id();
  // Without this, callers split into two shifts that flush in turn, each with half of them.
  if (company_ > 1) sync_->arrived.wait_for(lock, flush_time_ / 8, [&] { return queue_.size() >= company_; });
  lock.unlock();

  std::vector<Request*> batch;
  Result<void> result;
  std::exception_ptr exception;
  try {
    result = run(batch);
  } catch (...) {
    exception = std::current_exception();
  }
  if (batch.empty()) take(batch);  // failed before: who waits must hear of it

  lock.lock();
  for (Request* request : batch) {
    if (!request->failed()) {
      request->exception = exception;
      if (!result) request->result = result;
    }
    request->done = true;
  }
  company_ = batch.size();
  std::condition_variable& done = sync_->rounds[(round_ - 1) % 2];
  hand_over(lock);
  // A round shares it with the one after next: should that be over before this line, its wake-up for one may have gone
  // to one of these, and comes now.
  done.notify_all();
}

void FileLog::take(std::vector<Request*>& batch) {
  const std::lock_guard lock(sync_->mutex);
  batch.swap(queue_);
  ++round_;
}

Result<void> FileLog::run(std::vector<Request*>& batch) {
  CASEVAULT_TRY(const Turn turn, Turn::take(lock_, lock_name()));
  CASEVAULT_CHECK(catch_up(false));
  if (doubt_ != Doubt::kNone) {
    // An earlier segment change failed. Whatever stood after end_ was settled by catch_up; nothing more goes there.
    CASEVAULT_CHECK(next_segment());
  } else if (end_ > segment_.first_frame &&
             std::uint64_t{end_} + reserve_of(options_.segment_bytes) > options_.segment_bytes) {
    Result<void> moved = next_segment();
    if (!moved && moved.error().code != ErrorCode::kDiskFull) return moved;
  }
  take(batch);
  return commit(batch);
}

Result<void> FileLog::commit(const std::vector<Request*>& requests) {
  Batch batch(position());
  Result<void> written;
  try {
    written = build_and_write(requests, batch);
  } catch (...) {
    if (batch.offered()) client_.rollback();
    if (doubt_ != Doubt::kNone) static_cast<void>(blank());
    throw;
  }
  if (written) return written;
  client_.rollback();
  if (doubt_ == Doubt::kNone) return written;
  return give_up(written.error());
}

/// An error here is one of the whole batch.
Result<void> FileLog::build_and_write(const std::vector<Request*>& requests, Batch& batch) {
  for (Request* request : requests) {
    const std::size_t before = batch.bytes().size();
    try {
      request->result = request->build(batch);
      if (request->result && batch.refused()) {
        request->result =
            Error{ErrorCode::kUsage, "log " + folder_.string() + ": a frame is empty or the batch larger than 1 GiB"};
      }
    } catch (...) {
      request->exception = std::current_exception();
    }
    if (request->failed()) batch.cut(before);
  }
  if (batch.bytes().empty()) {
    if (batch.offered()) client_.rollback();
    return {};
  }
  CASEVAULT_TRY(const Bytes closing, client_.close_batch(batch.next()));
  batch.close(closing);
  if (batch.refused()) {
    return Error{ErrorCode::kInternal, "log " + folder_.string() + ": the closing frame is empty or too large"};
  }
  return write(batch.release());
}

Result<void> FileLog::write(Bytes bytes) {
  const std::uint64_t end = std::uint64_t{end_} + bytes.size();
  if (end > std::numeric_limits<std::uint32_t>::max()) {
    return Error{ErrorCode::kInternal, "log segment " + segment_.name + " would pass 4 GiB"};
  }
  CASEVAULT_TRY(const std::uint64_t size, base::file_size(segment_.fd));
  if (end > size) CASEVAULT_CHECK(allocate(segment_.fd, end, segment_.name));
  const std::uint64_t filled = (end + kFillAhead - 1) / kFillAhead * kFillAhead;
  if (filled - end_ >= kFillAhead) bytes.resize(std::max(end, std::min(filled, size)) - end_);

  doubtful_ = bytes.size();
  doubt_ = Doubt::kWrite;
  CASEVAULT_CHECK(ops_.write_at(segment_.fd, end_, bytes, segment_.name));
  doubt_ = Doubt::kFlush;
  const auto start = std::chrono::steady_clock::now();
  CASEVAULT_CHECK(ops_.sync(segment_.fd, segment_.name));
  flush_time_ = std::chrono::steady_clock::now() - start;
  doubt_ = Doubt::kNone;
  end_ = static_cast<std::uint32_t>(end);
  publish();
  return {};
}

/// After a failed write or flush and the client's rollback; returns what to tell the callers. A flush is not tried
/// again: the kernel reports a lost page once and then calls it clean.
Error FileLog::give_up(Error cause) {
  const bool flushing = doubt_ == Doubt::kFlush;
  if (!flushing && blank()) {
    doubt_ = Doubt::kNone;
    return cause;
  }
  const Result<void> moved = next_segment();
  if (moved && !flushing) return cause;
  if (!moved) static_cast<void>(blank());  // so that no other process takes the batch for an acknowledged one
  return {ErrorCode::kUnknownOutcome, cause.message + " (whether the entry is in the log is settled at the next open)"};
}

/// Puts zeros over the doubtful bytes. Success means that they are zero, also on the disk.
Result<void> FileLog::blank() {
  // On a full disk this stops where the batch did, and is complete all the same; hence the look.
  static_cast<void>(write_zeros(end_, doubtful_));
  CASEVAULT_TRY(const std::uint64_t size, base::file_size(segment_.fd));
  CASEVAULT_TRY(const Bytes now, read_range(segment_, end_, std::min<std::uint64_t>(size, end_ + doubtful_)));
  if (std::any_of(now.begin(), now.end(), [](std::uint8_t byte) { return byte != 0; })) {
    return Error{ErrorCode::kIo, "log segment " + segment_.name + ": a part of a batch cannot be taken back"};
  }
  return ops_.sync(segment_.fd, segment_.name);
}

/// The first length last: whoever comes after a kill in between still sees that something is there to be cut.
Result<void> FileLog::write_zeros(std::uint32_t from, std::size_t count) {
  const std::size_t first = std::min(count, sizeof(std::uint32_t));
  const Bytes zeros(count - first);
  Result<void> rest = ops_.write_at(segment_.fd, from + first, zeros, segment_.name);
  CASEVAULT_CHECK(ops_.write_at(segment_.fd, from, Bytes(first), segment_.name));
  return rest;
}

/// Begins a segment at end_, as of which the client must stand; what follows end_ in the present one is void.
Result<void> FileLog::next_segment() {
  const std::uint32_t number = segment_.number + 1;
  if (number >= 100'000'000) return Error{ErrorCode::kInternal, "log " + folder_.string() + ": no segment number left"};
  const Bytes header = client_.segment_header();
  CASEVAULT_CHECK(create_segment(folder_, number, end_, header, options_.segment_bytes, ops_));
  CASEVAULT_TRY(segment_, open_segment(folder_, number, mode()));
  end_ = segment_.first_frame;
  doubt_ = Doubt::kNone;
  publish();
  return {};
}

Result<void> FileLog::catch_up(bool opening) {
  if (broken_) return *broken_;
  const std::uint32_t before = segment_.number;
  for (;;) {
    CASEVAULT_TRY(const bool moved, catch_up_one_segment());
    if (!moved) break;
  }
  CASEVAULT_CHECK(catch_up_tail(opening));
  // Its maker may have died before its name was on the disk. A batch in it proves the contrary.
  const bool bare = end_ == segment_.first_frame && (opening || segment_.number != before);
  if (bare && !options_.read_only) CASEVAULT_CHECK(base::sync_folder(folder_));
  publish();
  return {};
}

/// If another process began the next segment: replays the rest of this one and goes there.
Result<bool> FileLog::catch_up_one_segment() {
  const std::uint32_t number = segment_.number + 1;
  // Asked before every batch, so without the cost of a failing open.
  if (::faccessat(folder_fd_.get(), segment_file_name(number).c_str(), F_OK, 0) != 0 && errno == ENOENT) return false;
  CASEVAULT_TRY(Segment next, open_segment(folder_, number, mode()));
  if (next.previous_end < end_) {
    return Error{ErrorCode::kUnknownOutcome, "log segment " + segment_.name +
                                                 ": its last batch was taken back after a " +
                                                 "failed flush of another process; close the log and open it again"};
  }
  CASEVAULT_TRY(const Bytes bytes, read_range(segment_, end_, next.previous_end));
  CASEVAULT_CHECK(replay(bytes, Checksum::kCompare));
  segment_ = std::move(next);
  end_ = segment_.first_frame;
  doubt_ = Doubt::kNone;
  return true;
}

Result<void> FileLog::catch_up_tail(bool opening) {
  Tail tail;
  CASEVAULT_TRY(const Bytes bytes, read_tail(tail, opening));
  if (tail.damaged) return damage(segment_.name, tail.end, "intact batches follow a broken one");
  if (opening) torn_bytes_ = tail.torn;
  if (!options_.read_only) CASEVAULT_CHECK(settle(tail, bytes));
  return replay(ByteView(bytes).first(tail.end - end_), Checksum::kCompared);  // by find_tail
}

/// Everything from end_ to the end of the file, or at least to the first zeros after the last batch.
Result<Bytes> FileLog::read_tail(Tail& tail, bool whole) const {
  Bytes previous;
  std::size_t chunk = whole ? std::numeric_limits<std::size_t>::max() : sizeof(std::uint32_t);
  for (int reads = 0;;) {
    CASEVAULT_TRY(const std::uint64_t size, base::file_size(segment_.fd));
    // What was reserved and never written is not worth reading.
    const std::uint64_t written = whole && size > end_ ? end_of_data(segment_, end_, size) : size;
    const std::uint64_t rest = written > end_ ? written - end_ : 0;
    const std::uint64_t count = std::min<std::uint64_t>(rest, chunk);
    if (size > std::numeric_limits<std::uint32_t>::max()) return damage(segment_.name, size, "it is too large");
    CASEVAULT_TRY(Bytes bytes, read_range(segment_, end_, end_ + count));
    tail = find_tail(bytes, position());
    const bool clean = tail.torn == 0 && tail.end - end_ + sizeof(std::uint32_t) <= count;
    if (!clean && count < rest) {
      chunk = std::max(chunk * 8, kTailChunk);
      continue;
    }
    // Who holds no lock may have read across a write; damage that is real stays the same.
    if (!tail.damaged || !options_.read_only || bytes == previous || ++reads == kTailReads) return bytes;
    previous = std::move(bytes);
  }
}

/// Cuts a torn batch, and writes the last whole one again before flushing it: its writer may have died before or after
/// a failed flush, when its pages count as clean without being on the disk.
Result<void> FileLog::settle(const Tail& tail, ByteView bytes) {
  if (tail.last_batch < tail.end) {
    const ByteView batch = bytes.subspan(tail.last_batch - end_, tail.end - tail.last_batch);
    CASEVAULT_CHECK(ops_.write_at(segment_.fd, tail.last_batch, batch, segment_.name));
  }
  if (tail.torn != 0) CASEVAULT_CHECK(write_zeros(tail.end, static_cast<std::size_t>(tail.torn)));
  if (tail.last_batch == tail.end && tail.torn == 0) return {};
  return ops_.sync(segment_.fd, segment_.name);
}

Result<void> FileLog::replay(ByteView bytes, Checksum checksum) {
  if (bytes.empty()) return {};
  broken_ = Error{ErrorCode::kInternal, "log " + folder_.string() + ": a replay failed; open the log again"};
  const auto visit = [this](const FrameView& frame) -> Result<bool> {
    CASEVAULT_CHECK(client_.replay(frame));
    return true;
  };
  const Result<bool> done = each_frame(bytes, position(), segment_.name, visit, checksum);
  if (!done) {
    broken_ = done.error();
    return done.error();
  }
  broken_.reset();
  end_ += static_cast<std::uint32_t>(bytes.size());
  return {};
}

Result<std::uint32_t> FileLog::end_of(std::uint32_t number, Position last) const {
  if (number == last.segment) return last.offset;
  CASEVAULT_TRY(const Segment next, open_segment(folder_, number + 1, base::OpenMode::kRead));
  return next.previous_end;
}

Result<void> FileLog::scan_segment(std::uint32_t number, std::uint32_t from, Position last, const Visit& visit,
                                   bool& more) const {
  CASEVAULT_TRY(const Segment segment, open_segment(folder_, number, base::OpenMode::kRead));
  CASEVAULT_TRY(const std::uint32_t end, end_of(number, last));
  const std::uint32_t start = std::max(from, segment.first_frame);
  if (end < segment.first_frame) return damage(segment.name, end, "the next segment says it ends there");
  CASEVAULT_TRY(const Bytes bytes, read_range(segment, start, end));
  CASEVAULT_TRY(more, each_frame(bytes, {number, start}, segment.name, visit));
  return {};
}

Result<void> FileLog::scan(Position from, const Visit& visit) {
  CASEVAULT_CHECK(check_caller());
  const Position last = known();
  bool more = true;
  for (std::uint32_t number = from.segment; more && number <= last.segment; ++number) {
    CASEVAULT_CHECK(scan_segment(number, number == from.segment ? from.offset : 0, last, visit, more));
  }
  return {};
}

Result<Bytes> FileLog::read(Position position) {
  CASEVAULT_CHECK(check_caller());
  const Position last = known();
  const std::string name = (folder_ / segment_file_name(position.segment)).string();
  const Error none = damage(name, position.offset, "no intact frame starts there");
  if (position >= last) return none;
  CASEVAULT_TRY(const std::uint32_t end, end_of(position.segment, last));
  if (end < kFrameHead || position.offset > end - kFrameHead) return none;

  CASEVAULT_TRY(const Segment segment, open_segment(folder_, position.segment, base::OpenMode::kRead));
  CASEVAULT_TRY(Bytes frame, read_range(segment, position.offset, position.offset + kFrameHead));
  const std::uint32_t length = base::Reader(frame).u32();
  if (length > end - kFrameHead - position.offset) return none;
  CASEVAULT_TRY(frame, read_range(segment, position.offset, std::uint64_t{position.offset} + kFrameHead + length));
  const auto parsed = parse_frame(frame, position);
  if (!parsed) return none;
  return Bytes(parsed->body.begin(), parsed->body.end());
}

Result<Bytes> FileLog::read_segment_header(std::uint32_t segment) {
  CASEVAULT_CHECK(check_caller());
  if (segment > known().segment) {
    return Error{ErrorCode::kNotFound, "log " + folder_.string() + " has no segment " + std::to_string(segment)};
  }
  CASEVAULT_TRY(Segment opened, open_segment(folder_, segment, base::OpenMode::kRead));
  return std::move(opened.header);
}

std::uint32_t FileLog::segment_count() const { return known().segment + 1; }

}  // namespace

Result<void> create_log(const std::filesystem::path& folder, LogClient& client) {
  CASEVAULT_CHECK(base::create_folder(folder));
  const auto fill = [&]() -> Result<void> {
    CASEVAULT_CHECK(base::write_new_file(folder / kLockFile, {}));
    const Bytes header = client.segment_header();
    CASEVAULT_CHECK(create_segment(folder, 0, 0, header, LogOptions{}.segment_bytes, system_file_ops()));
    const std::filesystem::path parent = folder.parent_path();
    return base::sync_folder(parent.empty() ? "." : parent);
  };
  Result<void> filled = fill();
  if (!filled) {
    std::error_code ignored;
    std::filesystem::remove_all(folder, ignored);
  }
  return filled;
}

Result<std::unique_ptr<Log>> open_log(const std::filesystem::path& folder, LogClient& client,
                                      const LogOptions& options) {
  return open_log(folder, client, options, system_file_ops());
}

Result<std::unique_ptr<Log>> open_log(const std::filesystem::path& folder, LogClient& client, const LogOptions& options,
                                      FileOps ops) {
  if (options.segment_bytes > kMaxBatch) {
    return Error{ErrorCode::kUsage, "log " + folder.string() + ": segments cannot be larger than 1 GiB"};
  }
  auto log = std::make_unique<FileLog>(folder, client, options, std::move(ops));
  CASEVAULT_CHECK(log->open());
  return std::unique_ptr<Log>(std::move(log));
}

}  // namespace casevault::log
