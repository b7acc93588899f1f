// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <unordered_map>
#include <utility>

#include "crypto/aead.hpp"
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

/// Of what FORMAT.md says here. An index of another layout is not searched, and waits to be built anew.
inline constexpr std::uint16_t kIndexLayout = 2;

inline constexpr std::size_t kIndexKeySize = 16;
inline constexpr std::size_t kLabelSize = 12;
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

struct Placed {
  IndexRowKey at{};
  Posting posting;
};

/// A word's key, and what its postings carry.
struct WordKey {
  crypto::Wiped<32> key;
  std::array<std::uint8_t, kLabelSize> first{};  ///< label 0
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
  /// In the order of the places; many at once cost less.
  [[nodiscard]] std::vector<IndexRowValue> seal(std::span<const Placed> postings) const;
  /// nullopt when it does not verify at this place.
  [[nodiscard]] std::optional<Posting> open(ByteView at, ByteView value) const;
  [[nodiscard]] std::uint32_t slot() const noexcept { return slot_; }

 private:
  struct Derived;
  IndexKeys(std::uint32_t slot, const Derived& derived, std::span<const IndexedField> fields);
  [[nodiscard]] crypto::Aes256Block::Block tag(ByteView at, ByteView posting) const;
  std::uint32_t slot_;
  SecretBytes tag_;
  crypto::Aes256Block mask_;
  SecretBytes filler_;
  std::map<IndexedField, SecretBytes> fields_;
};

/// The labels of the word with a key, in any order; neighbours share a hash.
class Labels {
 public:
  /// `word` outlives the labels.
  Labels(const IndexRowKey& first, crypto::KeyView word) noexcept : first_(first), word_(word) {}
  Labels(std::uint32_t slot, const WordKey& word) noexcept;
  [[nodiscard]] IndexRowKey at(std::uint64_t position);

 private:
  IndexRowKey first_{};
  crypto::KeyView word_;
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
using WordCount = std::pair<IndexRowKey, std::uint32_t>;

/// What one transaction counted, for those after it. It was committed, so it is a lower bound for ever: within a
/// generation no label goes away. Bounded; thread-safe.
class KeptCounts {
 public:
  [[nodiscard]] std::uint32_t of(const IndexRowKey& first) const;  ///< 0 when unknown
  void keep(std::span<const WordCount> counts);

 private:
  mutable std::mutex mutex_;
  std::unordered_map<IndexRowKey, std::uint32_t, LabelHasher> counts_;
};

/// The postings of one transaction. They wait, and are counted and put in the order of their labels: pages are touched
/// once, whatever the order of the records, and a word that comes often is counted once.
class IndexWriter {
 public:
  using Keys = std::shared_ptr<const IndexKeys>;
  /// Of the space of first labels. A transaction that puts one part copies as much less of the table.
  static constexpr std::size_t kParts = 4;
  /// `known`: counts of earlier transactions; outlives the writer.
  explicit IndexWriter(const KeptCounts& known) noexcept : known_(&known) {}
  /// Appends a posting to a word. `telling`: take_shared() shall name the row if the word has postings before it.
  [[nodiscard]] Result<void> add(store::WriteTxn& txn, const Keys& keys, const WordKey& word, PostingKind kind,
                                 std::uint32_t row, bool telling = false);
  /// Overwrites the word's posting about `row` with a tombstone; false when there is none.
  [[nodiscard]] Result<bool> remove(store::WriteTxn& txn, const IndexKeys& keys, const WordKey& word,
                                    std::uint32_t row);
  /// Everything added so far goes into the transaction.
  [[nodiscard]] Result<void> flush(store::WriteTxn& txn);
  /// One part of it, by turns.
  [[nodiscard]] Result<void> flush_part(store::WriteTxn& txn, std::size_t turn);
  /// Rows, ascending, that a telling word shares with earlier postings, of all that were put since this was asked.
  [[nodiscard]] std::vector<std::uint32_t> take_shared();
  /// What was put so far: counts of the words that are not soon counted again, and postings per slot.
  [[nodiscard]] std::span<const WordCount> counts() const noexcept { return counts_; }
  [[nodiscard]] const std::map<std::uint32_t, std::uint64_t>& added() const noexcept { return added_; }

 private:
  struct Pending {
    IndexRowKey first{};       ///< label 0 of the word: what words are told apart by
    std::uint32_t number = 0;  ///< in the order of adding to its part; says where its key is
    std::uint32_t row = 0;
    std::uint64_t print = 0;
    std::uint32_t generation = 0;  ///< in `generations`
    PostingKind kind = PostingKind::kRecord;
    bool telling = false;
  };
  struct Part {
    [[nodiscard]] MutableBytes word_key(std::size_t number);
    std::vector<Pending> postings;
    std::vector<SecretBytes> words;  ///< keys of words, many a block
    std::uint32_t added = 0;
  };

 public:
  /// Postings that wait for another transaction of the same vault, which counts their words.
  class Waiting {
   public:
    [[nodiscard]] bool empty() const noexcept { return size_ == 0; }

   private:
    friend IndexWriter;
    std::array<Part, kParts> parts_;
    std::vector<Keys> generations_;
    std::size_t size_ = 0;
  };
  [[nodiscard]] Waiting take_waiting() noexcept { return std::exchange(waiting_, {}); }
  /// Goes on with what an earlier writer left; nothing was added here yet. Postings of slots that are not `alive` any
  /// more are dropped.
  void resume(Waiting waiting, const std::function<bool(std::uint32_t slot)>& alive);

 private:
  [[nodiscard]] Result<void> flush(store::WriteTxn& txn, Part& part);
  [[nodiscard]] Result<void> place(store::ReadTxn& txn, Part& part, std::span<const Pending> of_one_word);

  const KeptCounts* known_;
  Waiting waiting_;
  std::vector<Placed> placed_;  ///< within one flush
  std::vector<std::uint32_t> shared_;
  std::vector<WordCount> counts_;
  std::map<std::uint32_t, std::uint64_t> added_;
};

/// Where the rows of a generation begin.
[[nodiscard]] Bytes first_index_key(std::uint32_t slot);
/// Of a key of at least 4 bytes; others are nobody's.
[[nodiscard]] std::uint32_t slot_of_index_key(ByteView key) noexcept;

}  // namespace casevault::model
