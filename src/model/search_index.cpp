// SPDX-License-Identifier: Apache-2.0
#include "model/search_index.hpp"

#include <algorithm>
#include <bit>
#include <cstring>
#include <tuple>

#include "base/cursor.hpp"
#include "crypto/hash.hpp"
#include "format/labels.hpp"

namespace casevault::model {
namespace {

static_assert(kLabelSize == kIndexKeySize - 4);
constexpr std::size_t kLabelsPerHash = 64 / kLabelSize;
constexpr std::size_t kTag = 16;
constexpr std::uint8_t kExactName = 6;  ///< the class of words that only prints are made of
constexpr std::uint64_t kPrintBits = (std::uint64_t{1} << 56U) - 1;
constexpr std::uint32_t kMostPostings = UINT32_MAX - 1;
constexpr std::size_t kMostKept = std::size_t{1} << 18U;
constexpr std::size_t kMostWaiting = std::size_t{1} << 17U;
constexpr std::uint32_t kWorthKeeping = 4;  ///< fewer postings are counted again at once
constexpr std::size_t kSealedAtOnce = 64;
constexpr std::size_t kKeysPerBlock = 128;  ///< 4 KiB of the arena: little for one record, and not many for an import

template <std::size_t N>
void put_number(std::span<std::uint8_t, N> out, std::uint64_t value) {
  for (std::size_t i = 0; i < N; ++i) out[i] = static_cast<std::uint8_t>(value >> (8 * (N - 1 - i)));
}

using Block = crypto::Aes256Block::Block;

Block plain_of(const Posting& posting) {
  Block out{};
  put_number(std::span(out).first<8>(), posting.print & kPrintBits);
  out[0] = static_cast<std::uint8_t>(posting.kind);
  put_number(std::span(out).subspan<8, 4>(), posting.row);
  put_number(std::span(out).subspan<12, 4>(), posting.position);
  return out;
}

/// Two numbers that keys are in the order of: a third of the time of comparing bytes.
std::tuple<std::uint64_t, std::uint64_t> in_order(const IndexRowKey& key) {
  const auto [high, low] = std::bit_cast<std::array<std::uint64_t, 2>>(key);
  if constexpr (std::endian::native == std::endian::big) return {high, low};
  return {__builtin_bswap64(high), __builtin_bswap64(low)};
}

void mask(const Block& text, const Block& stream, std::span<std::uint8_t, 16> out) {
  for (std::size_t i = 0; i < text.size(); ++i) out[i] = text[i] ^ stream[i];
}

/// word key 32 ‖ print 7 ‖ nothing's ‖ label 0
void split(std::span<const std::uint8_t, 64> hash, WordKey& out) {
  std::ranges::copy(hash.first<32>(), out.key.out().begin());
  std::ranges::copy(hash.last<kLabelSize>(), out.first.begin());
}

Error damaged(std::string_view what) {
  return {ErrorCode::kIntegrity, "data.mdb: search index: " + std::string(what) +
                                     "; run doctor, and rebuild the index with key reencrypt --index"};
}

}  // namespace

struct IndexKeys::Derived {
  Derived(const IndexContext& context, crypto::KeyView compartment_key, crypto::KeyView generation_key) {
    crypto::Wiped<64> both;
    std::ranges::copy(compartment_key, both.out().begin());
    std::ranges::copy(generation_key, both.out().subspan<32>().begin());
    Bytes message;
    base::Writer(message).bytes(context.vault).u16(context.compartment).u32(context.epoch).u32(context.slot).u8(0);
    crypto::derive64(format::kIndexGeneration, both.view(), message, seal.out());
    message.back() = 1;
    crypto::derive32(format::kIndexGeneration, both.view(), message, words.out());
  }
  crypto::Wiped<64> seal;  ///< tag key ‖ mask key
  crypto::Wiped<32> words;
};

IndexKeys::IndexKeys(const IndexContext& context, crypto::KeyView compartment_key, crypto::KeyView generation_key,
                     std::span<const IndexedField> fields)
    : IndexKeys(context.slot, Derived(context, compartment_key, generation_key), fields) {}

IndexKeys::IndexKeys(std::uint32_t slot, const Derived& derived, std::span<const IndexedField> fields)
    : slot_(slot), tag_(SecretBytes::copy(derived.seal.view().first<32>())), mask_(derived.seal.view().last<32>()) {
  const auto field_key = [&](IndexedField field) {
    Bytes name;
    base::Writer(name).u16(field.type).u16(field.field);
    return crypto::derive_key(format::kIndexField, derived.words.view(), name);
  };
  for (const IndexedField field : fields) fields_.emplace(field, field_key(field));
  filler_ = field_key({});  // no type and no field has the id 0
}

void IndexKeys::word(IndexedField field, const IndexWord& word, WordKey& out) const {
  const SecretBytes& key = fields_.at(field);
  const auto derive = [&](std::uint8_t word_class, std::string_view text, std::span<std::uint8_t, 64> hash) {
    // Short words, which all but some are, stay out of the heap.
    crypto::Wiped<128> buffer;
    const bool fits = text.size() < buffer.view().size();
    SecretBytes longer(fits ? 0 : text.size() + 1);
    const MutableBytes message = fits ? MutableBytes(buffer.out()).first(text.size() + 1) : longer.mutable_view();
    message[0] = word_class;
    std::memcpy(message.data() + 1, text.data(), text.size());
    crypto::derive64(format::kIndexWord, key.view(), message, hash);
  };
  const auto print_of = [](std::span<const std::uint8_t, 64> hash) {
    std::uint64_t print = 0;
    for (const std::uint8_t byte : hash.subspan<32, 7>()) print = print << 8U | byte;
    return print;
  };
  crypto::Wiped<64> hash;
  derive(static_cast<std::uint8_t>(word.word_class), word.text, hash.out());
  split(hash.view(), out);
  if (word.word_class == WordClass::kFolded) derive(kExactName, word.exact, hash.out());
  out.print = print_of(hash.view());
}

void IndexKeys::filler(std::uint64_t row, WordKey& out) const {
  std::array<std::uint8_t, 9> message{static_cast<std::uint8_t>(WordClass::kNothing)};
  put_number(std::span(message).subspan<1, 8>(), row);
  crypto::Wiped<64> hash;
  crypto::derive64(format::kIndexWord, filler_.view(), message, hash.out());
  split(hash.view(), out);
  out.print = 0;
}

Block IndexKeys::tag(ByteView at, ByteView posting) const {
  crypto::Wiped<kIndexKeySize + 16> message;
  std::ranges::copy(posting, std::ranges::copy(at, message.out().begin()).out);
  crypto::Wiped<32> hash;
  crypto::derive32(format::kIndexTag, tag_.view(), message.view(), hash.out());
  Block out{};
  std::ranges::copy(hash.view().first<kTag>(), out.begin());
  return out;
}

std::vector<IndexRowValue> IndexKeys::seal(std::span<const Placed> postings) const {
  std::vector<IndexRowValue> out;
  out.reserve(postings.size());
  while (!postings.empty()) {
    const auto some = postings.first(std::min(postings.size(), kSealedAtOnce));
    postings = postings.subspan(some.size());
    std::array<Block, kSealedAtOnce> masks;  // NOLINT: filled up to `some`
    for (std::size_t i = 0; i < some.size(); ++i) masks[i] = tag(some[i].at, plain_of(some[i].posting));
    const std::size_t first = out.size();
    for (std::size_t i = 0; i < some.size(); ++i) std::ranges::copy(masks[i], out.emplace_back().begin());
    mask_.encrypt_all(std::span(masks).first(some.size()));
    for (std::size_t i = 0; i < some.size(); ++i)
      mask(plain_of(some[i].posting), masks[i], std::span(out[first + i]).last<16>());
    crypto::wipe({masks.front().data(), sizeof masks});
  }
  return out;
}

std::optional<Posting> IndexKeys::open(ByteView at, ByteView value) const {
  if (at.size() != kIndexKeySize || value.size() != kIndexValueSize) return std::nullopt;
  Block own{};
  Block sealed{};
  std::ranges::copy(value.first(kTag), own.begin());
  std::ranges::copy(value.subspan(kTag), sealed.begin());
  Block plain{};
  mask(sealed, mask_.encrypt(own), plain);
  if (!crypto::equal(tag(at, plain), own)) return std::nullopt;
  base::Reader in(plain);
  Posting out;
  const std::uint64_t head = in.u64();
  const auto kind = static_cast<std::uint8_t>(head >> 56U);
  if (kind < 1 || kind > 3) return std::nullopt;
  out.kind = static_cast<PostingKind>(kind);
  out.print = head & kPrintBits;
  out.row = in.u32();
  out.position = in.u32();
  return out;
}

Labels::Labels(std::uint32_t slot, const WordKey& word) noexcept : word_(word.key.view()) {
  put_number(std::span(first_).first<4>(), slot);
  std::ranges::copy(word.first, first_.begin() + 4);
}

IndexRowKey Labels::at(std::uint64_t position) {
  if (position == 0) return first_;
  --position;
  if (position / kLabelsPerHash != block_) {
    block_ = position / kLabelsPerHash;
    std::array<std::uint8_t, 8> message{};
    put_number(std::span(message).first<8>(), block_);
    crypto::derive64(format::kIndexLabel, word_, message, bytes_.out());
  }
  IndexRowKey out = first_;
  std::ranges::copy(bytes_.view().subspan(position % kLabelsPerHash * kLabelSize, kLabelSize), out.begin() + 4);
  return out;
}

Result<std::uint32_t> count_postings(store::ReadTxn& txn, Labels& labels, std::uint32_t at_least) {
  const auto there = [&](std::uint64_t position) -> Result<bool> {
    CASEVAULT_TRY(const auto value, txn.get(store::Table::kIndex, labels.at(position)));
    return value.has_value();
  };
  std::uint64_t low = at_least;  // this many are there for certain
  std::uint64_t step = 1;
  for (;; step *= 2) {
    CASEVAULT_TRY(const bool more, there(low + step - 1));
    if (!more) break;
    low += step;
    if (low > kMostPostings) return damaged("a word has more postings than an index holds");
  }
  std::uint64_t high = low + step - 1;  // no more than this many
  while (low < high) {
    const std::uint64_t middle = low + (high - low) / 2;
    CASEVAULT_TRY(const bool more, there(middle));
    if (more) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return static_cast<std::uint32_t>(low);
}

Result<void> each_posting(store::ReadTxn& txn, const IndexKeys& keys, const WordKey& word,
                          const std::function<bool(const Posting&)>& visit) {
  Labels labels(keys.slot(), word);
  for (std::uint32_t position = 0;; ++position) {
    const IndexRowKey at = labels.at(position);
    CASEVAULT_TRY(const auto value, txn.get(store::Table::kIndex, at));
    if (!value) return {};
    const auto posting = keys.open(at, *value);
    if (!posting || posting->position != position) return damaged("a posting was altered");
    if (posting->kind == PostingKind::kRecord && !visit(*posting)) return {};
  }
}

std::size_t LabelHasher::operator()(const IndexRowKey& key) const noexcept {
  std::size_t out = 0;
  std::memcpy(&out, key.data() + kIndexKeySize - sizeof out, sizeof out);
  return out;
}

std::uint32_t KeptCounts::of(const IndexRowKey& first) const {
  const std::lock_guard lock(mutex_);
  const auto known = counts_.find(first);
  return known == counts_.end() ? 0 : known->second;
}

void KeptCounts::keep(std::span<const WordCount> counts) {
  const std::lock_guard lock(mutex_);
  if (counts_.size() + counts.size() > kMostKept) counts_.clear();
  if (counts.size() > kMostKept) return;
  for (const auto& [first, count] : counts) {
    std::uint32_t& kept = counts_[first];
    kept = std::max(kept, count);
  }
}

MutableBytes IndexWriter::Part::word_key(std::size_t number) {
  constexpr std::size_t kSize = crypto::KeyView::extent;
  return words[number / kKeysPerBlock].mutable_view().subspan(number % kKeysPerBlock * kSize, kSize);
}

Result<void> IndexWriter::add(store::WriteTxn& txn, const Keys& keys, const WordKey& word, PostingKind kind,
                              std::uint32_t row, bool telling) {
  if (waiting_.size_ == kMostWaiting) CASEVAULT_CHECK(flush(txn));
  auto generation = std::ranges::find(waiting_.generations_, keys);
  if (generation == waiting_.generations_.end()) generation = waiting_.generations_.insert(generation, keys);
  const IndexRowKey first = Labels(keys->slot(), word).at(0);
  Part& part = waiting_.parts_[first[kIndexKeySize - kLabelSize] * kParts >> 8U];
  const std::uint32_t number = part.added++;
  if (number / kKeysPerBlock == part.words.size()) part.words.emplace_back(kKeysPerBlock * word.key.view().size());
  std::ranges::copy(word.key.view(), part.word_key(number).begin());
  part.postings.push_back({first, number, row, word.print,
                           static_cast<std::uint32_t>(generation - waiting_.generations_.begin()), kind, telling});
  ++waiting_.size_;
  return {};
}

Result<void> IndexWriter::place(store::ReadTxn& txn, Part& part, std::span<const Pending> of_one_word) {
  const Pending& front = of_one_word.front();
  Labels labels(front.first, ByteView(part.word_key(front.number)).first<crypto::KeyView::extent>());
  CASEVAULT_TRY(const auto there, txn.get(store::Table::kIndex, front.first));
  std::uint32_t count = 0;
  if (there) {
    CASEVAULT_TRY(count, count_postings(txn, labels, std::max(known_->of(front.first), 1U)));
  }
  if (of_one_word.size() > kMostPostings - count) return damaged("a word has as many postings as an index holds");
  for (const Pending& each : of_one_word) {
    placed_.push_back({labels.at(count), {each.kind, each.print, each.row, count}});
    if (each.telling && count > 0) shared_.push_back(each.row);
    ++count;
  }
  added_[slot_of_index_key(front.first)] += of_one_word.size();
  if (count >= kWorthKeeping) counts_.emplace_back(front.first, count);
  return {};
}

Result<bool> IndexWriter::remove(store::WriteTxn& txn, const IndexKeys& keys, const WordKey& word, std::uint32_t row) {
  CASEVAULT_CHECK(flush(txn));
  Labels labels(keys.slot(), word);
  std::optional<std::uint32_t> found;
  CASEVAULT_CHECK(each_posting(txn, keys, word, [&](const Posting& posting) {
    if (posting.row == row && posting.print == word.print) found = posting.position;
    return !found;
  }));
  if (!found) return false;
  const IndexRowKey at = labels.at(*found);
  const Placed tombstone{at, {PostingKind::kTombstone, 0, 0, *found}};
  CASEVAULT_CHECK(txn.put(store::Table::kIndex, at, keys.seal({&tombstone, 1}).front()));
  return true;
}

Result<void> IndexWriter::flush(store::WriteTxn& txn, Part& part) {
  std::vector<Pending>& postings = part.postings;
  std::ranges::sort(postings, {},
                    [](const Pending& each) { return std::tuple_cat(in_order(each.first), std::tuple(each.number)); });
  for (auto from = postings.begin(); from != postings.end();) {
    const auto to = std::find_if(from, postings.end(), [&](const Pending& each) { return each.first != from->first; });
    CASEVAULT_CHECK(place(txn, part, {from, to}));
    from = to;
  }
  waiting_.size_ -= postings.size();
  part = {};
  std::ranges::sort(placed_, {}, [](const Placed& each) { return in_order(each.at); });
  for (std::span<const Placed> rest = placed_; !rest.empty();) {
    const std::uint32_t slot = slot_of_index_key(rest.front().at);
    const auto end = std::ranges::find_if(rest, [&](const Placed& each) { return slot_of_index_key(each.at) != slot; });
    const auto of_slot = rest.first(static_cast<std::size_t>(end - rest.begin()));
    rest = rest.subspan(of_slot.size());
    const auto keys = std::ranges::find(waiting_.generations_, slot, &IndexKeys::slot);
    const std::vector<IndexRowValue> values = (*keys)->seal(of_slot);
    for (std::size_t i = 0; i < of_slot.size(); ++i)
      CASEVAULT_CHECK(txn.put(store::Table::kIndex, of_slot[i].at, values[i]));
  }
  placed_.clear();
  return {};
}

Result<void> IndexWriter::flush(store::WriteTxn& txn) {
  for (Part& part : waiting_.parts_) CASEVAULT_CHECK(flush(txn, part));
  waiting_.generations_.clear();
  return {};
}

Result<void> IndexWriter::flush_part(store::WriteTxn& txn, std::size_t turn) {
  return flush(txn, waiting_.parts_[turn % kParts]);
}

void IndexWriter::resume(Waiting waiting, const std::function<bool(std::uint32_t slot)>& alive) {
  waiting_ = std::move(waiting);
  for (Part& part : waiting_.parts_) {
    waiting_.size_ -= std::erase_if(
        part.postings, [&](const Pending& each) { return !alive(waiting_.generations_[each.generation]->slot()); });
  }
}

std::vector<std::uint32_t> IndexWriter::take_shared() {
  std::ranges::sort(shared_);
  shared_.erase(std::unique(shared_.begin(), shared_.end()), shared_.end());
  return std::exchange(shared_, {});
}

std::uint32_t slot_of_index_key(ByteView key) noexcept { return base::Reader(key).u32(); }

Bytes first_index_key(std::uint32_t slot) {
  Bytes out;
  base::Writer(out).u32(slot);
  return out;
}

}  // namespace casevault::model
