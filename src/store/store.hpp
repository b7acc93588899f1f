// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <casevault/bytes.hpp>

#include <filesystem>
#include <functional>
#include <memory>
#include <optional>

/// Ordered key/value store, blind to what it holds. The contract is this header and tests/store/contract_test.cpp,
/// which every backend passes. src/store/README.md tells the life of a commit per backend.
namespace casevault::store {

/// Tables are independent key spaces. Persisted by name. Keys are 1..64 bytes, ordered bytewise; values 0..2^31 bytes.
enum class Table : std::uint8_t { kMeta, kRows, kTree, kIndex };
inline constexpr std::size_t kTableCount = 4;

struct Item {
  ByteView key;
  ByteView value;
};

/// Turns a key into where to seek for what follows it, within the 64 bytes that a key may have. False: nothing can.
[[nodiscard]] inline bool advance(Bytes& key) {
  if (key.size() < 64) return key.push_back(0), true;
  while (!key.empty() && key.back() == 0xFF) key.pop_back();
  if (key.empty()) return false;
  ++key.back();
  return true;
}

/// A consistent snapshot. Views stay valid until the transaction ends (or, in a write transaction, until its next
/// write). Used by one thread at a time; may move between threads. Ends with the object.
class ReadTxn {
 public:
  virtual ~ReadTxn() = default;
  [[nodiscard]] virtual Result<std::optional<ByteView>> get(Table table, ByteView key) = 0;
  /// First item with key >= `from` (empty `from` = the very first). nullopt at the end.
  [[nodiscard]] virtual Result<std::optional<Item>> seek(Table table, ByteView from) = 0;
  /// Visits items in order from `from` while `visit` returns true. `visit` must not touch the transaction.
  [[nodiscard]] virtual Result<void> scan(Table table, ByteView from,
                                          const std::function<bool(const Item&)>& visit) = 0;
  [[nodiscard]] virtual Result<std::uint64_t> count(Table table) = 0;
  /// Of the committed transaction that a snapshot shows, or of the one that a write transaction will be. What a
  /// snapshot viewed stays where it was in later snapshots of the same number.
  [[nodiscard]] virtual std::uint64_t number() const = 0;
};

/// The only writer of the database (among threads and processes). Rolls back unless committed.
class WriteTxn : public ReadTxn {
 public:
  [[nodiscard]] virtual Result<void> put(Table table, ByteView key, ByteView value) = 0;
  /// Like put for a key greater than every key of the table (kInternal otherwise): the fast way to fill a table.
  [[nodiscard]] virtual Result<void> append(Table table, ByteView key, ByteView value) = 0;
  [[nodiscard]] virtual Result<bool> erase(Table table, ByteView key) = 0;  ///< whether it was there
  /// Durable when it returns success. kIo / kDiskFull: nothing changed. kUnknownOutcome: the last flush failed; the
  /// store refuses all further use until reopened, and what the disk holds then is the truth.
  [[nodiscard]] virtual Result<void> commit() = 0;
};

struct StoreInfo {
  std::uint64_t file_bytes = 0;  ///< size of the data file, 0 for memory
  std::uint64_t txnid = 0;       ///< number of the newest committed transaction
};

/// Thread-safe. Transactions must end before the store is destroyed. Unusable in a forked child (kUsage).
class Store {
 public:
  virtual ~Store() = default;
  [[nodiscard]] virtual Result<std::unique_ptr<ReadTxn>> begin_read() = 0;
  /// Waits for the writer of this process and of others. kIo when the store was opened read-only.
  [[nodiscard]] virtual Result<std::unique_ptr<WriteTxn>> begin_write() = 0;
  [[nodiscard]] virtual Result<StoreInfo> info() = 0;
};

[[nodiscard]] std::unique_ptr<Store> make_memory_store();

/// LMDB 0.9 in `folder` (data.mdb, lock.mdb).
struct LmdbOptions {
  bool create = false;  ///< new files, kUsage when they exist
  bool read_only =
      false;  ///< works on a read-only medium too (MDB_RDONLY, without a lock file if it cannot be written)
  std::uint64_t map_bytes = std::uint64_t{1} << 36U;  ///< reserved address space, 64 GiB; the file grows only as used
};
/// The caller has run `preflight` (or knows the file unchanged since a clean one). One open per process and file:
/// a second one is kBusy.
[[nodiscard]] Result<std::unique_ptr<Store>> open_lmdb_store(const std::filesystem::path& folder,
                                                             const LmdbOptions& options);

enum class PreflightDepth : std::uint8_t { kMetas, kFull };
/// Structural check of `folder`/data.mdb with pread only, never a mapping: LMDB itself trusts the file, and a hostile
/// one kills the process. kFull walks every live page, the free list and all tables; kMetas reads the two meta pages.
/// kIntegrity names the page and what is wrong with it. reference: LMDB 0.9 on-disk layout, FORMAT.md "data.mdb".
[[nodiscard]] Result<StoreInfo> preflight(const std::filesystem::path& folder, PreflightDepth depth);

}  // namespace casevault::store
