// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <mutex>
#include <unordered_map>

#include "crypto/types.hpp"
#include "model/index_words.hpp"
#include "store/store.hpp"

/// Counter-label searchable encryption (FORMAT.md, "Search index"): whoever holds the file sees how many postings there
/// are, and not which belong to one word, record or field. Pure over transactions and keys.
///
///   row of table `index`: slot u32 ‖ label 12 -> tag 16 ‖ sealed posting 16
///
/// Posting number i of a word stands under label i of the word. A word's count is found by galloping over its labels,
/// which therefore have no gaps: a posting is never moved or removed, it is overwritten with a tombstone.
namespace casevault::model {

inline constexpr std::size_t kIndexKeySize = 16;
inline constexpr std::size_t kIndexValueSize = 32;
using IndexRowKey = std::array<std::uint8_t, kIndexKeySize>;
using IndexRowValue = std::array<std::uint8_t, kIndexValueSize>;

enum class PostingKind : std::uint8_t { kRecord = 1, kFiller = 2, kTombstone = 3 };  ///< persisted

struct Posting {
  PostingKind kind = PostingKind::kRecord;
  std::uint64_t print = 0;  ///< 56 bits: of kFolded of the exact name, of other words of the word itself
  std::uint32_t row = 0;
  std::uint32_t position = 0;
  bool operator==(const Posting&) const = default;
};

/// A word's key, and what its postings carry.
struct WordKey {
  crypto::Wiped<32> key;
  std::uint64_t print = 0;
};

/// Names the generation that its keys belong to.
struct IndexContext {
  std::array<std::uint8_t, 16> vault{};
  std::uint16_t compartment = 0;
  std::uint32_t epoch = 0;
  std::uint32_t slot = 0;  ///< of tree kind 3
};

struct IndexedField {
  std::uint16_t type = 0;
  std::uint16_t field = 0;
  auto operator<=>(const IndexedField&) const = default;
};

/// The keys of one generation of a compartment's index. Thread-safe once made.
class IndexKeys {
 public:
  IndexKeys(const IndexContext& context, crypto::KeyView compartment_key, crypto::KeyView generation_key,
            std::span<const IndexedField> fields);
  [[nodiscard]] bool has(IndexedField field) const noexcept { return fields_.contains(field); }
  /// Key and print of a word. The field must be one of the generation's.
  void word(IndexedField field, const IndexWord& word, WordKey& out) const;
  void filler(std::uint64_t row, WordKey& out) const;
  [[nodiscard]] IndexRowValue seal(const IndexRowKey& at, const Posting& posting) const;
  /// nullopt when it does not verify at this place.
  [[nodiscard]] std::optional<Posting> open(ByteView at, ByteView value) const;
  [[nodiscard]] std::uint32_t slot() const noexcept { return slot_; }

 private:
  [[nodiscard]] std::array<std::uint8_t, 16> tag(ByteView at, ByteView posting) const;
  [[nodiscard]] std::array<std::uint8_t, 16> masked(std::array<std::uint8_t, 16> text, ByteView tag) const;
  std::uint32_t slot_;
  SecretBytes seal_;  ///< tag key 32 ‖ mask key 32
  SecretBytes filler_;
  std::map<IndexedField, SecretBytes> fields_;
};

/// The labels of one word, in any order; neighbours share a hash.
class Labels {
 public:
  Labels(std::uint32_t slot, const WordKey& word) noexcept : word_(word), slot_(slot) {}
  [[nodiscard]] IndexRowKey at(std::uint64_t position);

 private:
  const WordKey& word_;
  std::uint32_t slot_;
  std::uint64_t block_ = UINT64_MAX;
  crypto::Wiped<64> bytes_;
};

/// How many postings a word has, tombstones included. `at_least` is known to be there.
[[nodiscard]] Result<std::uint32_t> count_postings(store::ReadTxn& txn, Labels& labels, std::uint32_t at_least = 0);

/// Visits the postings of a word that are about records, while `visit` returns true. kIntegrity when one is altered, or
/// another one's.
[[nodiscard]] Result<void> each_posting(store::ReadTxn& txn, const IndexKeys& keys, const WordKey& word,
                                        const std::function<bool(const Posting&)>& visit);

/// Counts of words by their first label.
struct LabelHasher {
  std::size_t operator()(const IndexRowKey& key) const noexcept;  // labels are uniform as they are
};
using WordCounts = std::unordered_map<IndexRowKey, std::uint32_t, LabelHasher>;

/// What one transaction counted, for those after it. It was committed, so it is a lower bound for ever: within a
/// generation no label goes away. Bounded; thread-safe.
class KeptCounts {
 public:
  [[nodiscard]] std::uint32_t of(const IndexRowKey& first) const;  ///< 0 when unknown
  void keep(const WordCounts& counts);

 private:
  mutable std::mutex mutex_;
  WordCounts counts_;
};

/// The postings of one transaction, put in order of their labels when it ends: pages are touched once, whatever the
/// order of the records.
class IndexWriter {
 public:
  /// Appends a posting to a word and tells its position. `known`: counts of earlier transactions.
  [[nodiscard]] Result<std::uint32_t> add(store::WriteTxn& txn, const IndexKeys& keys, const WordKey& word,
                                          PostingKind kind, std::uint32_t row, const KeptCounts& known);
  /// Overwrites the word's posting about `row` with a tombstone; false when there is none.
  [[nodiscard]] Result<bool> remove(store::WriteTxn& txn, const IndexKeys& keys, const WordKey& word,
                                    std::uint32_t row);
  /// Everything added so far goes into the transaction.
  [[nodiscard]] Result<void> flush(store::WriteTxn& txn);
  [[nodiscard]] const WordCounts& counts() const noexcept { return counts_; }
  [[nodiscard]] const std::map<std::uint32_t, std::uint64_t>& added() const noexcept { return added_; }  ///< per slot

 private:
  WordCounts counts_;
  std::vector<std::pair<IndexRowKey, IndexRowValue>> pending_;
  std::map<std::uint32_t, std::uint64_t> added_;
};

/// Where the rows of a generation begin.
[[nodiscard]] Bytes first_index_key(std::uint32_t slot);
/// Of a key of at least 4 bytes; others are nobody's.
[[nodiscard]] std::uint32_t slot_of_index_key(ByteView key) noexcept;

}  // namespace casevault::model
