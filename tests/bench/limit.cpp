// SPDX-License-Identifier: Apache-2.0
#include "bench/limit.hpp"

#include <fcntl.h>
#include <lmdb.h>
#include <openssl/evp.h>
#include <sodium.h>
#include <unistd.h>

#include <array>
#include <condition_variable>
#include <optional>
#include <stdexcept>

namespace casevault::bench {
namespace {

constexpr std::size_t kTag = crypto_aead_aes256gcm_ABYTES;
constexpr std::size_t kNonce = crypto_aead_aes256gcm_NPUBBYTES;
constexpr std::size_t kKey = crypto_aead_aes256gcm_KEYBYTES;
constexpr std::size_t kRowsPerTransaction = 1000;
constexpr std::size_t kParts = kIdentifying + 1;  ///< AEADs of a record: its identifying fields and the coded group
constexpr std::size_t kPartsAt = kNonce + kKey + kTag;
constexpr std::size_t kBodyAt = kPartsAt + kParts * sizeof(std::uint16_t);
constexpr std::size_t kMaxPart = 1024;
constexpr std::size_t kMaxCoded = 256;  ///< of a record

using State = crypto_aead_aes256gcm_state;
using Id = std::array<std::uint8_t, kIdBytes>;
using CipherContext = std::unique_ptr<EVP_CIPHER_CTX, decltype(&EVP_CIPHER_CTX_free)>;
using DigestContext = std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)>;

void require(bool fine, const char* what) {
  if (!fine) throw std::runtime_error(std::string("limit: ") + what + " failed");
}

void check(int code, const char* what) {
  if (code != MDB_SUCCESS) throw std::runtime_error(std::string("limit: ") + what + ": " + mdb_strerror(code));
}

std::array<std::uint8_t, kNonce> counter_nonce(std::size_t part) {
  std::array<std::uint8_t, kNonce> nonce{};
  nonce.back() = static_cast<std::uint8_t>(part);
  return nonce;
}

void seal(std::uint8_t* out, const std::uint8_t* text, std::size_t size, const std::uint8_t* nonce,
          const State& state) {
  crypto_aead_aes256gcm_encrypt_afternm(out, nullptr, text, size, nullptr, 0, nullptr, nonce, &state);
}

void unseal(std::uint8_t* out, const std::uint8_t* sealed, std::size_t size, const std::uint8_t* nonce,
            const State& state) {
  require(crypto_aead_aes256gcm_decrypt_afternm(out, nullptr, nullptr, sealed, size, nullptr, 0, nonce, &state) == 0,
          "opening a sealed value");
}

/// AES-256 of one block with a kept context.
class IdCipher {
 public:
  IdCipher(const std::array<std::uint8_t, kKey>& key, bool encrypt)
      : context_(EVP_CIPHER_CTX_new(), &EVP_CIPHER_CTX_free) {
    require(EVP_CipherInit_ex(context_.get(), EVP_aes_256_ecb(), nullptr, key.data(), nullptr, encrypt ? 1 : 0) == 1,
            "EVP_CipherInit_ex");
    EVP_CIPHER_CTX_set_padding(context_.get(), 0);
  }
  [[nodiscard]] Id turn(const Id& block) {
    Id out{};
    int size = 0;
    require(EVP_CipherUpdate(context_.get(), out.data(), &size, block.data(), static_cast<int>(block.size())) == 1,
            "EVP_CipherUpdate");
    return out;
  }
  [[nodiscard]] Id id_of(std::uint64_t row) {
    Id block{};
    std::memcpy(block.data(), &row, sizeof row);
    return turn(block);
  }
  [[nodiscard]] std::uint64_t row_of(const Id& id) {
    const Id block = turn(id);
    std::uint64_t row = 0;
    std::uint64_t zeros = 0;
    std::memcpy(&row, block.data(), sizeof row);
    std::memcpy(&zeros, block.data() + sizeof row, sizeof zeros);
    require(zeros == 0, "reading an id");
    return row;
  }

 private:
  CipherContext context_;
};

/// A preallocated file of frames. The first caller flushes for all who wait, and waits an eighth of a flush for as many
/// as came last time.
class FrameLog {
 public:
  FrameLog(const std::filesystem::path& file, std::size_t frames)
      : fd_(::open(file.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600)) {
    require(fd_ >= 0 && ::posix_fallocate(fd_, 0, static_cast<off_t>(frames * kAuditLineBytes)) == 0 &&
                ::fdatasync(fd_) == 0,
            "making the log");
  }
  FrameLog(const FrameLog&) = delete;
  FrameLog& operator=(const FrameLog&) = delete;
  ~FrameLog() { ::close(fd_); }

  void append(const std::array<std::uint8_t, kAuditLineBytes>& frame) {
    std::unique_lock lock(mutex_);
    pending_.insert(pending_.end(), frame.begin(), frame.end());
    const std::uint64_t mine = ++appended_;
    arrived_.notify_one();
    flushed_.wait(lock, [&] { return durable_ >= mine || !leading_; });
    if (durable_ < mine) lead(lock);
    require(!failed_, "writing the log");
  }

 private:
  [[nodiscard]] std::size_t waiting() const { return pending_.size() / kAuditLineBytes; }

  void lead(std::unique_lock<std::mutex>& lock) {
    leading_ = true;
    if (company_ > 1) arrived_.wait_for(lock, flush_time_ / 8, [&] { return waiting() >= company_; });
    std::vector<std::uint8_t> batch;
    batch.swap(pending_);
    const std::uint64_t last = appended_;
    lock.unlock();
    const bool written = ::pwrite(fd_, batch.data(), batch.size(), end_) == static_cast<ssize_t>(batch.size());
    end_ += static_cast<off_t>(batch.size());
    const auto start = Clock::now();
    const bool durable = written && ::fdatasync(fd_) == 0;
    flush_time_ = Clock::now() - start;
    lock.lock();
    company_ = batch.size() / kAuditLineBytes;
    failed_ = failed_ || !durable;
    durable_ = last;
    leading_ = false;
    flushed_.notify_all();
  }

  const int fd_;
  off_t end_ = 0;  ///< the leader's, like flush_time_
  Clock::duration flush_time_{};
  std::mutex mutex_;
  std::condition_variable arrived_;
  std::condition_variable flushed_;
  std::vector<std::uint8_t> pending_;
  std::uint64_t appended_ = 0;
  std::uint64_t durable_ = 0;
  std::size_t company_ = 1;
  bool leading_ = false;
  bool failed_ = false;
};

/// A transaction that is aborted unless it was committed.
class Transaction {
 public:
  Transaction(MDB_env* env, unsigned flags) { check(mdb_txn_begin(env, nullptr, flags, &txn_), "mdb_txn_begin"); }
  Transaction(const Transaction&) = delete;
  Transaction& operator=(const Transaction&) = delete;
  ~Transaction() {
    if (txn_ != nullptr) mdb_txn_abort(txn_);
  }
  [[nodiscard]] MDB_txn* get() const { return txn_; }
  void commit() { check(mdb_txn_commit(std::exchange(txn_, nullptr)), "mdb_txn_commit"); }
  void renew() {
    mdb_txn_reset(txn_);
    check(mdb_txn_renew(txn_), "mdb_txn_renew");
  }

 private:
  MDB_txn* txn_ = nullptr;
};

class Limit final : public Side {
 public:
  explicit Limit(const Workload& workload) : workload_(workload) {
    require(sodium_init() >= 0 && crypto_aead_aes256gcm_is_available() == 1, "finding AES instructions");
    randombytes_buf(id_key_.data(), id_key_.size());
    draw_keys();
  }
  Limit(const Limit&) = delete;
  Limit& operator=(const Limit&) = delete;
  ~Limit() override { Limit::close(); }

  Timed import_all(const std::filesystem::path& folder) override {
    close();
    folder_ = folder;
    std::filesystem::create_directory(folder);
    names_table_ = 0;
    open_store(true);
    IdCipher ids(id_key_, true);
    ids_.clear();
    ids_.reserve(workload_.size());

    const auto start = Clock::now();
    std::vector<std::uint8_t> random(kRowsPerTransaction * (kKey + kNonce));
    for (std::size_t row = 0; row < workload_.size();) {
      Transaction txn(env_, 0);
      randombytes_buf(random.data(), random.size());
      const std::uint8_t* fresh = random.data();
      const std::size_t end = std::min(workload_.size(), row + kRowsPerTransaction);
      for (; row < end; ++row, fresh += kKey + kNonce) {
        put(txn.get(), row, fresh);
        ids_.push_back(ids.id_of(row));
      }
      txn.commit();
    }
    return {microseconds_since(start), workload_.size(), 0};
  }

  Timed read(Rows rows, bool all_fields) override {
    IdCipher ids(id_key_, false);
    std::uint64_t sum = 0;
    const auto start = Clock::now();
    Transaction txn(env_, MDB_RDONLY);
    for (const std::uint32_t row : rows) sum += get(txn.get(), ids, ids_[row], all_fields);
    return {microseconds_since(start), rows.size(), sum};
  }

  Timed lookup(Rows rows, bool) override {
    IdCipher ids(id_key_, false);
    Timed out{0, rows.size(), 0};
    const auto start = Clock::now();
    Transaction txn(env_, MDB_RDONLY);
    for (const std::uint32_t row : rows) {
      Id hash = hash_of(workload_.value(row, kReadField));
      MDB_val key{hash.size(), hash.data()};
      MDB_val value{};
      check(mdb_get(txn.get(), names_.at(names_table_), &key, &value), "mdb_get");
      std::uint64_t number = 0;
      std::memcpy(&number, value.mv_data, sizeof number);
      (void)get(txn.get(), ids, ids_[number], false);
      ++out.checksum;
    }
    out.microseconds = microseconds_since(start);
    return out;
  }

  Timed scan(unsigned, bool verify) override {
    const std::size_t records = workload_.size();
    std::vector<std::uint8_t> out(records * kMaxCoded);
    std::vector<std::size_t> ends{0};
    ends.reserve(records + 1);
    const auto start = Clock::now();
    Transaction txn(env_, MDB_RDONLY);
    MDB_cursor* cursor = nullptr;
    check(mdb_cursor_open(txn.get(), rows_, &cursor), "mdb_cursor_open");
    MDB_val key{};
    MDB_val value{};
    while (mdb_cursor_get(cursor, &key, &value, MDB_NEXT) == MDB_SUCCESS) {
      const auto* bytes = static_cast<const std::uint8_t*>(value.mv_data);
      std::uint16_t sealed = 0;
      std::memcpy(&sealed, bytes + kPartsAt + kIdentifying * sizeof sealed, sizeof sealed);
      std::array<std::uint8_t, kKey> record_key;  // NOLINT: filled by unseal
      unseal(record_key.data(), bytes + kNonce, kKey + kTag, bytes, master_);
      State state;
      crypto_aead_aes256gcm_beforenm(&state, record_key.data());
      unseal(out.data() + ends.back(), bytes + value.mv_size - sealed, sealed, counter_nonce(kIdentifying).data(),
             state);
      ends.push_back(ends.back() + sealed - kTag);
    }
    mdb_cursor_close(cursor);
    Timed timed{microseconds_since(start), records, ends.size() - 1};
    if (!verify) return timed;
    timed.checksum = 0;
    for (std::size_t row = 0; row < records; ++row)
      timed.checksum += marks_of_coded(reinterpret_cast<const char*>(out.data() + ends[row]), row);  // NOLINT
    return timed;
  }

  Timed audit(unsigned callers, Rows rows) override {
    FrameLog log(folder_ / "log", rows.size());
    return run_callers(callers, rows.size(), [&](unsigned i) {
      auto ids = std::make_shared<IdCipher>(id_key_, false);
      auto txn = std::make_shared<Transaction>(env_, static_cast<unsigned>(MDB_RDONLY));
      return [&, ids, txn, mine = share(rows, i, callers)] {
        std::uint64_t sum = 0;
        std::array<std::uint8_t, kAuditLineBytes> frame{};
        for (const std::uint32_t row : mine) {
          std::memcpy(frame.data(), ids_[row].data(), kIdBytes);
          log.append(frame);
          txn->renew();
          sum += get(txn->get(), *ids, ids_[row], false);
        }
        return sum;
      };
    });
  }

  /// Rows where they lie, names into a second table, after which the first goes.
  Timed reencrypt() override {
    const auto start = Clock::now();
    const State old = master_;
    draw_keys();
    names_table_ = 1 - names_table_;
    std::vector<std::uint8_t> random(kRowsPerTransaction * (kKey + kNonce));
    for (std::size_t row = 0; row < workload_.size();) {
      Transaction txn(env_, 0);
      randombytes_buf(random.data(), random.size());
      const std::uint8_t* fresh = random.data();
      const std::size_t end = std::min(workload_.size(), row + kRowsPerTransaction);
      for (; row < end; ++row, fresh += kKey + kNonce) move(txn.get(), row, old, fresh);
      txn.commit();
    }
    Transaction txn(env_, 0);
    check(mdb_drop(txn.get(), names_.at(1 - names_table_), 0), "mdb_drop");
    txn.commit();
    return {microseconds_since(start), workload_.size(), 0};
  }

  Timed open(Rows rows) override {
    Timed out{0, rows.size(), 0};
    IdCipher ids(id_key_, false);
    for (const std::uint32_t row : rows) {
      close();
      const auto start = Clock::now();
      open_store(false);
      {
        const Transaction txn(env_, MDB_RDONLY);
        out.checksum += get(txn.get(), ids, ids_[row], false);
      }
      out.microseconds += microseconds_since(start);
    }
    return out;
  }

  void close() override {
    if (env_ != nullptr) mdb_env_close(env_);
    env_ = nullptr;
  }

 private:
  void open_store(bool create) {
    check(mdb_env_create(&env_), "mdb_env_create");
    check(mdb_env_set_mapsize(env_, (std::size_t{1} << 30U) + workload_.size() * 4096), "mdb_env_set_mapsize");
    check(mdb_env_set_maxdbs(env_, 3), "mdb_env_set_maxdbs");
    check(mdb_env_open(env_, folder_.c_str(), 0, 0600), "mdb_env_open");
    Transaction txn(env_, create ? 0 : MDB_RDONLY);
    const unsigned flags = create ? MDB_CREATE : 0;
    check(mdb_dbi_open(txn.get(), "rows", flags | MDB_INTEGERKEY, &rows_), "mdb_dbi_open");
    check(mdb_dbi_open(txn.get(), "names", flags, &names_[0]), "mdb_dbi_open");
    check(mdb_dbi_open(txn.get(), "other names", flags, &names_[1]), "mdb_dbi_open");
    txn.commit();
  }

  void draw_keys() {
    std::array<std::uint8_t, kKey> master{};
    randombytes_buf(master.data(), master.size());
    randombytes_buf(index_key_.data(), index_key_.size());
    crypto_aead_aes256gcm_beforenm(&master_, master.data());
  }

  using Row = std::array<std::uint8_t, kParts * kMaxPart>;
  using Parts = std::array<std::span<const std::uint8_t>, kParts>;

  void put(MDB_txn* txn, std::size_t row, const std::uint8_t* fresh) {
    std::array<std::uint8_t, kMaxPart> coded;  // NOLINT: filled up to `coded_size`
    std::size_t coded_size = 0;
    for (std::size_t field = kIdentifying; field < kFields; ++field) {
      const std::string_view value = workload_.value(row, field);
      coded[coded_size++] = static_cast<std::uint8_t>(value.size());
      std::memcpy(coded.data() + coded_size, value.data(), value.size());
      coded_size += value.size();
    }
    Parts parts;
    for (std::size_t part = 0; part < kIdentifying; ++part) {
      const std::string_view value = workload_.value(row, part);
      parts[part] = {reinterpret_cast<const std::uint8_t*>(value.data()), value.size()};  // NOLINT
    }
    parts.back() = std::span(coded).first(coded_size);
    put(txn, row, parts, fresh, MDB_APPEND);
  }

  /// Opens all of a row that lies under the master key `old`, and seals it anew.
  void move(MDB_txn* txn, std::uint64_t row, const State& old, const std::uint8_t* fresh) {
    MDB_val key{sizeof row, &row};
    MDB_val value{};
    check(mdb_get(txn, rows_, &key, &value), "mdb_get");
    const auto* bytes = static_cast<const std::uint8_t*>(value.mv_data);
    std::array<std::uint8_t, kKey> record_key;  // NOLINT: filled by unseal
    unseal(record_key.data(), bytes + kNonce, kKey + kTag, bytes, old);
    State state;
    crypto_aead_aes256gcm_beforenm(&state, record_key.data());
    Row plain;  // NOLINT: filled up to `end`
    std::uint8_t* end = plain.data();
    Parts parts;
    const std::uint8_t* at = bytes + kBodyAt;
    for (std::size_t part = 0; part < kParts; ++part) {
      std::uint16_t sealed = 0;
      std::memcpy(&sealed, bytes + kPartsAt + part * sizeof sealed, sizeof sealed);
      unseal(end, at, sealed, counter_nonce(part).data(), state);
      parts[part] = {end, sealed - kTag};
      end += sealed - kTag;
      at += sealed;
    }
    put(txn, row, parts, fresh, 0);
  }

  /// Row: nonce, wrapped record key, sizes of the parts, the parts. The coded group is a byte of length and the bytes
  /// of each field.
  void put(MDB_txn* txn, std::uint64_t row, const Parts& parts, const std::uint8_t* fresh, unsigned flags) {
    const std::uint8_t* record_key = fresh;
    const std::uint8_t* nonce = fresh + kKey;
    State state;
    crypto_aead_aes256gcm_beforenm(&state, record_key);
    Row out;  // NOLINT: filled up to `at`
    std::memcpy(out.data(), nonce, kNonce);
    seal(out.data() + kNonce, record_key, kKey, nonce, master_);
    std::size_t at = kBodyAt;
    for (std::size_t part = 0; part < kParts; ++part) {
      seal(out.data() + at, parts[part].data(), parts[part].size(), counter_nonce(part).data(), state);
      const auto sealed = static_cast<std::uint16_t>(parts[part].size() + kTag);
      std::memcpy(out.data() + kPartsAt + part * sizeof sealed, &sealed, sizeof sealed);
      at += sealed;
    }
    MDB_val key{sizeof row, &row};
    MDB_val value{at, out.data()};
    check(mdb_put(txn, rows_, &key, &value, flags), "mdb_put");
    auto hash = hash_of({reinterpret_cast<const char*>(parts.front().data()), parts.front().size()});  // NOLINT
    MDB_val name{hash.size(), hash.data()};
    MDB_val number{sizeof row, &row};
    check(mdb_put(txn, names_.at(names_table_), &name, &number, 0), "mdb_put");
  }

  [[nodiscard]] Id hash_of(std::string_view name) const {
    Id hash{};
    crypto_generichash(hash.data(), hash.size(), reinterpret_cast<const std::uint8_t*>(name.data()), name.size(),
                       index_key_.data(), index_key_.size());  // NOLINT
    return hash;
  }

  [[nodiscard]] std::uint64_t get(MDB_txn* txn, IdCipher& ids, const Id& id, bool all_fields) const {
    std::uint64_t number = ids.row_of(id);
    const std::size_t row = number;
    MDB_val key{sizeof number, &number};
    MDB_val value{};
    check(mdb_get(txn, rows_, &key, &value), "mdb_get");
    const auto* bytes = static_cast<const std::uint8_t*>(value.mv_data);
    std::array<std::uint8_t, kKey> record_key;  // NOLINT: filled by unseal
    unseal(record_key.data(), bytes + kNonce, kKey + kTag, bytes, master_);
    State state;
    crypto_aead_aes256gcm_beforenm(&state, record_key.data());

    std::uint64_t sum = 0;
    std::array<std::uint8_t, kMaxPart> text;                         // NOLINT: filled by unseal
    const auto* plain = reinterpret_cast<const char*>(text.data());  // NOLINT
    const std::uint8_t* at = bytes + kBodyAt;
    for (std::size_t part = 0; part < (all_fields ? kParts : kReadField + 1); ++part) {
      std::uint16_t sealed = 0;
      std::memcpy(&sealed, bytes + kPartsAt + part * sizeof sealed, sizeof sealed);
      if (all_fields || part == kReadField) unseal(text.data(), at, sealed, counter_nonce(part).data(), state);
      at += sealed;
      if (part < kIdentifying) {
        if (all_fields || part == kReadField) sum += mark({plain, sealed - kTag}, row, part);
        continue;
      }
      sum += marks_of_coded(plain, row);
    }
    return sum;
  }

  [[nodiscard]] static std::uint64_t marks_of_coded(const char* coded, std::size_t row) {
    std::uint64_t sum = 0;
    for (std::size_t field = kIdentifying; field < kFields; ++field) {
      const auto size = static_cast<std::uint8_t>(*coded++);
      sum += mark({coded, size}, row, field);
      coded += size;
    }
    return sum;
  }

  const Workload& workload_;
  std::filesystem::path folder_;
  State master_{};
  std::array<std::uint8_t, kKey> id_key_{};
  std::array<std::uint8_t, kKey> index_key_{};
  std::vector<Id> ids_;
  MDB_env* env_ = nullptr;
  MDB_dbi rows_ = 0;
  std::array<MDB_dbi, 2> names_{};
  std::size_t names_table_ = 0;  ///< of the two, the one that is filled
};

}  // namespace

std::unique_ptr<Side> make_limit(const Workload& workload) { return std::make_unique<Limit>(workload); }

Timed hash_tree(std::size_t leaves) {
  using Digest = std::array<std::uint8_t, 32>;
  const DigestContext context(EVP_MD_CTX_new(), &EVP_MD_CTX_free);
  const std::unique_ptr<EVP_MD, decltype(&EVP_MD_free)> sha256(EVP_MD_fetch(nullptr, "SHA256", nullptr), &EVP_MD_free);
  const auto hash = [&](std::uint8_t prefix, const void* left, std::size_t left_size, const void* right,
                        std::size_t right_size) {
    Digest out{};
    require(EVP_DigestInit_ex2(context.get(), sha256.get(), nullptr) == 1 &&
                EVP_DigestUpdate(context.get(), &prefix, 1) == 1 &&
                EVP_DigestUpdate(context.get(), left, left_size) == 1 &&
                EVP_DigestUpdate(context.get(), right, right_size) == 1 &&
                EVP_DigestFinal_ex(context.get(), out.data(), nullptr) == 1,
            "hashing");
    return out;
  };
  std::array<std::uint8_t, kAuditLineBytes> leaf{};
  std::vector<Digest> peaks;
  const auto start = Clock::now();
  for (std::uint64_t number = 0; number < leaves; ++number) {
    std::memcpy(leaf.data(), &number, sizeof number);
    peaks.push_back(hash(0, leaf.data(), leaf.size(), nullptr, 0));
    for (std::uint64_t full = number + 1; full % 2 == 0; full /= 2) {
      const Digest right = peaks.back();
      peaks.pop_back();
      peaks.back() = hash(1, peaks.back().data(), right.size(), right.data(), right.size());
    }
  }
  while (peaks.size() > 1) {
    const Digest right = peaks.back();
    peaks.pop_back();
    peaks.back() = hash(1, peaks.back().data(), right.size(), right.data(), right.size());
  }
  return {microseconds_since(start), leaves, 0};
}

}  // namespace casevault::bench
