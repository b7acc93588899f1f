// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <lmdb.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <mutex>
#include <set>
#include <thread>
#include <tuple>
#include <vector>

#include "base/file.hpp"
#include "base/process_id.hpp"
#include "store/tables.hpp"

namespace casevault::store {
namespace {

constexpr unsigned kMaxReaders = 254;
constexpr std::size_t kIdleReaders = 16;  ///< kept for reuse; each occupies a slot of the shared reader table
constexpr unsigned kUnsafeFlags = MDB_NOSYNC | MDB_NOMETASYNC | MDB_WRITEMAP | MDB_MAPASYNC;

MDB_val to_val(ByteView bytes) noexcept { return {bytes.size(), const_cast<std::uint8_t*>(bytes.data())}; }  // NOLINT
ByteView to_view(const MDB_val& value) noexcept {
  return {static_cast<const std::uint8_t*>(value.mv_data), value.mv_size};
}

Error lmdb_error(int code, std::string_view what, const std::string& name) {
  if (code > 0 && code != EFBIG) return base::errno_error(code, what, name);
  ErrorCode cause = ErrorCode::kInternal;
  std::string remedy;
  switch (code) {
    case MDB_MAP_FULL:
    case EFBIG:
      cause = ErrorCode::kDiskFull;
      remedy = "; nothing changed, make room or raise the limit";
      break;
    case MDB_CORRUPTED:
    case MDB_PAGE_NOTFOUND:
    case MDB_INVALID:
    case MDB_INCOMPATIBLE:
    case MDB_NOTFOUND:
    case MDB_CURSOR_FULL:
    case MDB_PAGE_FULL:
      cause = ErrorCode::kIntegrity;
      remedy = "; the file is damaged, restore it from a backup";
      break;
    case MDB_VERSION_MISMATCH:
      cause = ErrorCode::kUnsupported;
      break;
    case MDB_READERS_FULL:
    case MDB_MAP_RESIZED:
      cause = ErrorCode::kBusy;
      remedy = "; too many readers or a larger map elsewhere, try again";
      break;
    case MDB_PANIC:
      cause = ErrorCode::kUnknownOutcome;
      remedy = "; reopen the store";
      break;
    default:
      break;
  }
  return {cause, std::string(what) + " " + name + ": " + ::mdb_strerror(code) + remedy};
}

/// LMDB reports a short write as EIO although no system call failed: `system_error`, errno set to 0 before the call,
/// tells a full disk from a failing one.
int tell_full_disk(int code, int system_error) noexcept {
  if (code == EDQUOT || code == EFBIG || (code == EIO && system_error != EIO)) return ENOSPC;
  return code;
}

/// This process's claim on one data file. A second environment on it would, when closed, drop the locks of the first
/// (POSIX locks belong to the process). The process id is part of it: a forked child starts without claims.
class FileClaim {
 public:
  static Result<FileClaim> take(const base::Fd& file, const std::string& name) {
    struct stat info{};
    if (::fstat(file.get(), &info) != 0) return base::errno_error(errno, "stat", name);
    const Key key{base::process_id(), info.st_dev, info.st_ino};
    const std::lock_guard lock(mutex());
    if (!held().insert(key).second) {
      return Error{ErrorCode::kBusy, "open " + name + ": this process already has it open; use that one"};
    }
    return FileClaim(key);
  }
  FileClaim(FileClaim&& other) noexcept : key_(std::exchange(other.key_, std::nullopt)) {}
  FileClaim& operator=(FileClaim&&) = delete;
  ~FileClaim() {
    if (!key_) return;
    const std::lock_guard lock(mutex());
    held().erase(*key_);
  }
  [[nodiscard]] bool is_for(const struct stat& info) const noexcept {
    return key_ && std::get<1>(*key_) == info.st_dev && std::get<2>(*key_) == info.st_ino;
  }

 private:
  using Key = std::tuple<pid_t, dev_t, ino_t>;
  explicit FileClaim(const Key& key) : key_(key) {}
  static std::mutex& mutex() {
    static std::mutex instance;
    return instance;
  }
  static std::set<Key>& held() {
    static std::set<Key> instance;
    return instance;
  }
  std::optional<Key> key_;
};

struct EnvironmentCloser {
  void operator()(MDB_env* env) const noexcept { ::mdb_env_close(env); }
};
using Environment = std::unique_ptr<MDB_env, EnvironmentCloser>;
using Handles = std::array<MDB_dbi, kTableCount>;

/// A read transaction with its cursors; renewing one costs a fraction of beginning one.
struct ReadSlot {
  MDB_txn* txn = nullptr;
  std::array<MDB_cursor*, kTableCount> cursors{};
};

class LmdbStore final : public Store {
 public:
  LmdbStore(FileClaim claim, Environment env, const Handles& handles, std::string name, bool read_only)
      : claim_(std::move(claim)),
        env_(std::move(env)),
        handles_(handles),
        name_(std::move(name)),
        read_only_(read_only) {
    idle_.reserve(kIdleReaders);  // so that giving back never throws
  }
  LmdbStore(const LmdbStore&) = delete;
  LmdbStore& operator=(const LmdbStore&) = delete;
  ~LmdbStore() override {
    if (!in_owner()) {  // slots and locks are the parent's: leave all of it alone
      static_cast<void>(env_.release());
      return;
    }
    for (const ReadSlot& slot : idle_) discard(slot);
  }

  Result<std::unique_ptr<ReadTxn>> begin_read() override;
  Result<std::unique_ptr<WriteTxn>> begin_write() override;
  Result<StoreInfo> info() override;

  [[nodiscard]] bool in_owner() const noexcept { return base::process_id() == owner_; }
  [[nodiscard]] MDB_dbi handle(Table table) const { return handles_.at(index_of(table)); }
  [[nodiscard]] const std::string& name() const noexcept { return name_; }

  void give_back(const ReadSlot& slot) {
    ::mdb_txn_reset(slot.txn);
    {
      const std::lock_guard lock(mutex_);
      if (idle_.size() < kIdleReaders) return idle_.push_back(slot);
    }
    discard(slot);
  }
  void writer_ends() noexcept { writer_ = std::thread::id{}; }
  [[nodiscard]] bool is_writer() const noexcept { return writer_ == std::this_thread::get_id(); }
  /// Judges a failed commit. Nothing changed if it failed before the meta page was touched, and after a failing meta
  /// write LMDB begins no more transactions.
  Error failed_commit(int code, int system_error);

 private:
  Result<void> check_usable() const {
    if (!in_owner()) return fork_error(name_);
    if (!failed_) return {};
    return Error{ErrorCode::kUnknownOutcome,
                 name_ + ": an earlier commit failed while it was flushed; reopen the store"};
  }
  static void discard(const ReadSlot& slot) noexcept {
    for (MDB_cursor* cursor : slot.cursors) {
      if (cursor != nullptr) ::mdb_cursor_close(cursor);
    }
    ::mdb_txn_abort(slot.txn);
  }

  const pid_t owner_ = base::process_id();
  FileClaim claim_;  // outlives the environment
  Environment env_;
  const Handles handles_;
  const std::string name_;
  const bool read_only_;
  std::atomic<bool> failed_ = false;
  std::atomic<std::thread::id> writer_;  ///< none when default
  std::mutex mutex_;
  std::vector<ReadSlot> idle_;
};

/// Asks for the items that a scan of large ones comes to next. Those that were appended lie two or more to a page, page
/// after page: four steps from here lead about twice as far as the last two did. A wrong guess changes nothing.
class Ahead {
 public:
  void fetch(ByteView value) noexcept {
    constexpr std::size_t kLarge = 512;  // smaller ones are many to a page, which the processor foresees
    constexpr std::uintptr_t kAround = 192;
    if (value.size() < kLarge) return;
    const auto here = reinterpret_cast<std::uintptr_t>(value.data());  // NOLINT: arithmetic on addresses of two pages
    const std::uintptr_t guess = here + 2 * (here - last_but_one_);
    for (std::uintptr_t at = guess - kAround; at != guess + kAround; at += 64)
      __builtin_prefetch(reinterpret_cast<const void*>(at));  // NOLINT
    last_but_one_ = std::exchange(last_, here);
  }

 private:
  std::uintptr_t last_ = 0;
  std::uintptr_t last_but_one_ = 0;
};

using CursorLease = std::unique_ptr<MDB_cursor, void (*)(MDB_cursor*)>;

/// The reading half of both transactions.
template <typename Base>
class Reading : public Base {
 public:
  Result<std::optional<ByteView>> get(Table table, ByteView key) override {
    CASEVAULT_CHECK(check_open());
    CASEVAULT_CHECK(check_key(table, key));
    MDB_val wanted = to_val(key);
    MDB_val found{};
    const int code = ::mdb_get(txn_, store_.handle(table), &wanted, &found);
    if (code == MDB_NOTFOUND) return std::optional<ByteView>{};
    if (code != 0) return lmdb_error(code, "read", store_.name());
    return std::optional<ByteView>(to_view(found));
  }

  Result<std::optional<Item>> seek(Table table, ByteView from) override {
    std::optional<Item> first;
    CASEVAULT_CHECK(walk(table, from, [&](const Item& item) {
      first = item;
      return false;
    }));
    return first;
  }

  Result<void> scan(Table table, ByteView from, const std::function<bool(const Item&)>& visit) override {
    return walk(table, from, visit);
  }

  Result<std::uint64_t> count(Table table) override {
    CASEVAULT_CHECK(check_open());
    MDB_stat stat{};
    const int code = ::mdb_stat(txn_, store_.handle(table), &stat);
    if (code != 0) return lmdb_error(code, "read", store_.name());
    return std::uint64_t{stat.ms_entries};
  }

  [[nodiscard]] std::uint64_t number() const override { return txn_ == nullptr ? 0 : ::mdb_txn_id(txn_); }

 protected:
  Reading(LmdbStore& store, MDB_txn* txn) : store_(store), txn_(txn) {}
  virtual Result<CursorLease> cursor(Table table) = 0;
  Result<void> check_open() const {
    if (txn_ != nullptr) return {};
    return Error{ErrorCode::kInternal, store_.name() + ": the transaction has already ended"};
  }

  LmdbStore& store_;
  MDB_txn* txn_;

 private:
  template <typename Visit>
  Result<void> walk(Table table, ByteView from, const Visit& visit) {
    CASEVAULT_CHECK(check_open());
    CASEVAULT_CHECK(check_start(table, from));
    CASEVAULT_TRY(const CursorLease lease, cursor(table));
    MDB_val key = to_val(from);
    MDB_val value{};
    int code = ::mdb_cursor_get(lease.get(), &key, &value, from.empty() ? MDB_FIRST : MDB_SET_RANGE);
    Ahead ahead;
    while (code == 0) {
      ahead.fetch(to_view(value));
      if (!visit(Item{to_view(key), to_view(value)})) return {};
      code = ::mdb_cursor_get(lease.get(), &key, &value, MDB_NEXT);
    }
    if (code == MDB_NOTFOUND) return {};
    return lmdb_error(code, "read", store_.name());
  }
};

class LmdbRead final : public Reading<ReadTxn> {
 public:
  LmdbRead(LmdbStore& store, const ReadSlot& slot) : Reading(store, slot.txn), slot_(slot) {}
  LmdbRead(const LmdbRead&) = delete;
  LmdbRead& operator=(const LmdbRead&) = delete;
  ~LmdbRead() override {
    if (store_.in_owner()) store_.give_back(slot_);
  }

 private:
  Result<CursorLease> cursor(Table table) override {
    MDB_cursor*& cursor = slot_.cursors.at(index_of(table));
    int code = 0;
    if (cursor == nullptr) {
      code = ::mdb_cursor_open(txn_, store_.handle(table), &cursor);
    } else if (!bound_.at(index_of(table))) {
      code = ::mdb_cursor_renew(txn_, cursor);
    }
    if (code != 0) return lmdb_error(code, "read", store_.name());
    bound_.at(index_of(table)) = true;
    return CursorLease(cursor, [](MDB_cursor*) {});
  }

  ReadSlot slot_;
  std::array<bool, kTableCount> bound_{};  ///< whether the cursor is on this snapshot yet
};

class LmdbWrite final : public Reading<WriteTxn> {
 public:
  LmdbWrite(LmdbStore& store, MDB_txn* txn) : Reading(store, txn) {}
  LmdbWrite(const LmdbWrite&) = delete;
  LmdbWrite& operator=(const LmdbWrite&) = delete;
  ~LmdbWrite() override {
    if (txn_ != nullptr && store_.in_owner()) ::mdb_txn_abort(end());
  }

  Result<void> put(Table table, ByteView key, ByteView value) override { return write(table, key, value, 0); }

  Result<void> append(Table table, ByteView key, ByteView value) override {
    return write(table, key, value, MDB_APPEND);
  }

  Result<bool> erase(Table table, ByteView key) override {
    CASEVAULT_CHECK(check_writable());
    CASEVAULT_CHECK(check_key(table, key));
    MDB_val victim = to_val(key);
    errno = 0;
    const int code = ::mdb_del(txn_, store_.handle(table), &victim, nullptr);
    if (code == MDB_NOTFOUND) return false;
    if (code != 0) return fail(code);
    return true;
  }

  Result<void> commit() override {
    CASEVAULT_CHECK(check_writable());
    errno = 0;
    const int code = ::mdb_txn_commit(end());
    const int system_error = errno;
    if (code == 0) return {};
    return store_.failed_commit(code, system_error);
  }

 private:
  Result<CursorLease> cursor(Table table) override {
    MDB_cursor* cursor = nullptr;
    const int code = ::mdb_cursor_open(txn_, store_.handle(table), &cursor);
    if (code != 0) return lmdb_error(code, "read", store_.name());
    return CursorLease(cursor, &::mdb_cursor_close);
  }

  /// A failed write spoils the transaction; every later write and the commit repeat its error.
  Error fail(int code) {
    failure_ = lmdb_error(tell_full_disk(code, errno), "write", store_.name());
    return *failure_;
  }

  /// Before the write lock is released, so that the next writer's mark is not wiped.
  MDB_txn* end() {
    store_.writer_ends();
    return std::exchange(txn_, nullptr);
  }

  Result<void> check_writable() const {
    if (!store_.in_owner()) return fork_error(store_.name());
    CASEVAULT_CHECK(check_open());
    if (!store_.is_writer()) {  // the lock is a robust mutex: only the thread that took it can release it
      return Error{ErrorCode::kInternal, store_.name() + ": a write transaction must stay on the thread that began it"};
    }
    if (failure_) return *failure_;
    return {};
  }

  Result<void> write(Table table, ByteView key, ByteView value, unsigned flags) {
    CASEVAULT_CHECK(check_writable());
    CASEVAULT_CHECK(check_item(table, key, value));
    MDB_val name = to_val(key);
    MDB_val data = to_val(value);
    errno = 0;
    const int code = ::mdb_put(txn_, store_.handle(table), &name, &data, flags);
    if (code == 0) return {};
    if (code == MDB_KEYEXIST) {
      return Error{ErrorCode::kInternal, store_.name() + ": append needs a key greater than every key of the table"};
    }
    return fail(code);
  }

  std::optional<Error> failure_;
};

Result<std::unique_ptr<ReadTxn>> LmdbStore::begin_read() {
  CASEVAULT_CHECK(check_usable());
  ReadSlot slot;
  {
    const std::lock_guard lock(mutex_);
    if (!idle_.empty()) {
      slot = idle_.back();
      idle_.pop_back();
    }
  }
  if (slot.txn == nullptr) {
    const int code = ::mdb_txn_begin(env_.get(), nullptr, MDB_RDONLY, &slot.txn);
    if (code != 0) return lmdb_error(code, "read", name_);
  } else if (const int code = ::mdb_txn_renew(slot.txn); code != 0) {
    discard(slot);
    return lmdb_error(code, "read", name_);
  }
  return std::unique_ptr<ReadTxn>(std::make_unique<LmdbRead>(*this, slot));
}

Result<std::unique_ptr<WriteTxn>> LmdbStore::begin_write() {
  CASEVAULT_CHECK(check_usable());
  if (read_only_) return Error{ErrorCode::kIo, "write " + name_ + ": it was opened read-only"};
  if (is_writer()) return Error{ErrorCode::kInternal, name_ + ": this thread already holds the write transaction"};
  MDB_txn* txn = nullptr;
  const int code = ::mdb_txn_begin(env_.get(), nullptr, 0, &txn);
  if (code != 0) return lmdb_error(code, "write", name_);
  if (failed_) {  // by the writer this one waited for
    ::mdb_txn_abort(txn);
    return check_usable().error();
  }
  writer_ = std::this_thread::get_id();
  return std::unique_ptr<WriteTxn>(std::make_unique<LmdbWrite>(*this, txn));
}

Result<StoreInfo> LmdbStore::info() {
  CASEVAULT_CHECK(check_usable());
  int file = -1;
  struct stat status{};
  if (::mdb_env_get_fd(env_.get(), &file) != 0 || ::fstat(file, &status) != 0) {
    return base::errno_error(errno, "stat", name_);
  }
  MDB_envinfo state{};
  if (const int code = ::mdb_env_info(env_.get(), &state); code != 0) return lmdb_error(code, "read", name_);
  return StoreInfo{.file_bytes = static_cast<std::uint64_t>(status.st_size), .txnid = state.me_last_txnid};
}

Error LmdbStore::failed_commit(int code, int system_error) {
  MDB_txn* probe = nullptr;
  const bool meta_untouched = ::mdb_txn_begin(env_.get(), nullptr, MDB_RDONLY, &probe) == 0;
  if (meta_untouched) ::mdb_txn_abort(probe);
  const Error cause = lmdb_error(tell_full_disk(code, system_error), "commit to", name_);
  const bool understood = cause.code == ErrorCode::kDiskFull || cause.code == ErrorCode::kIntegrity;
  if (meta_untouched && understood) return cause;
  failed_ = true;
  return {ErrorCode::kUnknownOutcome, cause.message + "; whether it is durable shows when the store is reopened"};
}

/// The lock file is looked at, never opened: closing any descriptor of it drops the locks of this process.
Result<void> check_lock_file(const std::filesystem::path& path) {
  struct stat info{};
  if (::lstat(path.c_str(), &info) != 0) {
    if (errno == ENOENT) return {};
    return base::errno_error(errno, "stat", path.string());
  }
  const bool ours = info.st_uid == ::geteuid() || info.st_uid == 0;
  if (S_ISREG(info.st_mode) && (info.st_mode & 077U) == 0 && ours && info.st_nlink == 1) return {};
  return Error{ErrorCode::kUnsafePermissions,
               "refusing " + path.string() + ": it must be a regular file of yours with mode 0600; remove it"};
}

Result<Environment> make_environment(const LmdbOptions& options, const std::string& name) {
  MDB_env* raw = nullptr;
  int code = ::mdb_env_create(&raw);
  if (code != 0) return lmdb_error(code, "open", name);
  Environment env(raw);
  code = ::mdb_env_set_maxdbs(raw, kTableCount);
  if (code == 0) code = ::mdb_env_set_maxreaders(raw, kMaxReaders);
  if (code == 0) code = ::mdb_env_set_mapsize(raw, options.map_bytes);
  if (code != 0) return lmdb_error(code, "open", name);
  return env;
}

Result<Environment> open_environment(const std::filesystem::path& folder, const LmdbOptions& options,
                                     const std::string& name) {
  constexpr mode_t kOwnerOnly = 0600;
  const unsigned flags = MDB_NOTLS | (options.read_only ? unsigned{MDB_RDONLY} : 0U);
  CASEVAULT_TRY(Environment env, make_environment(options, name));
  int code = ::mdb_env_open(env.get(), folder.c_str(), flags, kOwnerOnly);
  if (options.read_only && (code == EROFS || code == EACCES || code == EPERM)) {
    CASEVAULT_TRY(env, make_environment(options, name));  // a failed open leaves nothing but closing
    code = ::mdb_env_open(env.get(), folder.c_str(), flags | unsigned{MDB_NOLOCK}, kOwnerOnly);
  }
  if (code != 0) return lmdb_error(code, "open", name);
  return env;
}

/// What LMDB leaves to its caller after mdb_env_open.
Result<void> settle_environment(MDB_env* env, const FileClaim& claim, const std::string& name) {
  int file = -1;
  struct stat info{};
  int code = ::mdb_env_get_fd(env, &file);
  if (code != 0) return lmdb_error(code, "open", name);
  const int descriptor_flags = ::fcntl(file, F_GETFD);
  if (descriptor_flags < 0 || ::fcntl(file, F_SETFD, descriptor_flags | FD_CLOEXEC) != 0 || ::fstat(file, &info) != 0) {
    return base::errno_error(errno, "open", name);
  }
  if (!claim.is_for(info)) {
    return Error{ErrorCode::kIntegrity, "open " + name + ": it was replaced while being opened; try again"};
  }
  unsigned flags = 0;
  code = ::mdb_env_get_flags(env, &flags);
  if (code == 0 && (flags & kUnsafeFlags) != 0) code = MDB_INCOMPATIBLE;
  int dead_readers = 0;
  if (code == 0 && (flags & unsigned{MDB_NOLOCK}) == 0) code = ::mdb_reader_check(env, &dead_readers);
  if (code != 0) return lmdb_error(code, "open", name);
  return {};
}

Result<Handles> open_tables(MDB_env* env, const LmdbOptions& options, const std::string& name) {
  MDB_txn* txn = nullptr;
  int code = ::mdb_txn_begin(env, nullptr, options.create ? 0U : unsigned{MDB_RDONLY}, &txn);
  if (code != 0) return lmdb_error(code, "open", name);
  Handles handles{};
  for (std::size_t i = 0; i < kTableCount && code == 0; ++i) {
    const std::string table(kTableNames.at(i));
    unsigned flags = 0;
    code = ::mdb_dbi_open(txn, table.c_str(), options.create ? unsigned{MDB_CREATE} : 0U, &handles.at(i));
    if (code == 0) code = ::mdb_dbi_flags(txn, handles.at(i), &flags);
    if (code == 0 && flags != 0) code = MDB_INCOMPATIBLE;
  }
  if (code != 0) {
    ::mdb_txn_abort(txn);
    return lmdb_error(code, "open the tables of", name);
  }
  code = ::mdb_txn_commit(txn);  // for a reader too: it is what keeps the handles
  if (code != 0) return lmdb_error(code, "open the tables of", name);
  return handles;
}

Result<std::unique_ptr<Store>> open_claimed(const std::filesystem::path& folder, const LmdbOptions& options,
                                            FileClaim claim, const std::string& name) {
  CASEVAULT_CHECK(check_lock_file(folder / "lock.mdb"));
  CASEVAULT_TRY(Environment env, open_environment(folder, options, name));
  CASEVAULT_CHECK(settle_environment(env.get(), claim, name));
  CASEVAULT_TRY(const Handles handles, open_tables(env.get(), options, name));
  if (options.create) CASEVAULT_CHECK(base::sync_folder(folder));
  return std::unique_ptr<Store>(
      std::make_unique<LmdbStore>(std::move(claim), std::move(env), handles, name, options.read_only));
}

Result<std::unique_ptr<Store>> create_files(const std::filesystem::path& folder, const LmdbOptions& options) {
  const std::filesystem::path data = folder / "data.mdb";
  const std::filesystem::path lock = folder / "lock.mdb";
  struct stat info{};
  if (::lstat(lock.c_str(), &info) == 0) {
    return Error{ErrorCode::kUsage, "create " + lock.string() + ": it already exists; choose an empty folder"};
  }
  CASEVAULT_TRY(const base::Fd file, base::open_file(data, base::OpenMode::kCreateNew));
  CASEVAULT_TRY(FileClaim claim, FileClaim::take(file, data.string()));
  auto store = open_claimed(folder, options, std::move(claim), data.string());
  if (!store) {
    ::unlink(data.c_str());
    ::unlink(lock.c_str());
  }
  return store;
}

}  // namespace

Result<std::unique_ptr<Store>> open_lmdb_store(const std::filesystem::path& folder, const LmdbOptions& options) {
  if (options.create && options.read_only) {
    return Error{ErrorCode::kUsage, "open " + folder.string() + ": create and read-only exclude each other"};
  }
  CASEVAULT_TRY(const base::Fd checked_folder, base::open_folder(folder));
  if (options.create) return create_files(folder, options);
  const std::string name = (folder / "data.mdb").string();
  CASEVAULT_TRY(const base::Fd file, base::open_file(name, base::OpenMode::kRead));
  CASEVAULT_TRY(const std::uint64_t size, base::file_size(file));
  if (size == 0) {  // LMDB would take it for a new one
    return Error{ErrorCode::kIntegrity, "open " + name + ": it is empty; restore it from a backup"};
  }
  CASEVAULT_TRY(FileClaim claim, FileClaim::take(file, name));
  return open_claimed(folder, options, std::move(claim), name);
}

}  // namespace casevault::store
