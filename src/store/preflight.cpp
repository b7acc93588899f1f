// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <bit>
#include <cstring>
#include <vector>

#include "base/file.hpp"
#include "store/tables.hpp"

namespace casevault::store {
namespace {

constexpr std::size_t kPageHeader = 16;
constexpr std::size_t kNodeHeader = 8;
constexpr std::size_t kDbBytes = 48;
constexpr std::size_t kMetaBytes = kPageHeader + 136;
constexpr std::uint32_t kMagic = 0xBEEFC0DE;
constexpr std::uint16_t kBranchPage = 1;
constexpr std::uint16_t kLeafPage = 2;
constexpr std::uint16_t kOverflowPage = 4;
constexpr std::uint16_t kMetaPage = 8;
constexpr std::uint16_t kBigData = 1;
constexpr std::uint16_t kSubData = 2;
constexpr std::uint16_t kIntegerKey = 8;
constexpr std::uint64_t kNoRoot = ~std::uint64_t{0};
constexpr unsigned kMaxDepth = 32;
constexpr std::size_t kMinPage = 4096;
constexpr std::size_t kMaxPage = 32768;  ///< LMDB 0.9 never makes larger ones: offsets in a page are 16 bits
constexpr std::size_t kChunk = std::size_t{256} * 1024;

/// LMDB writes numbers as the machine has them; the magic number tells a foreign byte order. Zero outside `bytes`.
template <typename T>
T load(ByteView bytes, std::size_t offset) noexcept {
  T value{};
  if (offset <= bytes.size() && sizeof(T) <= bytes.size() - offset) {
    std::memcpy(&value, bytes.data() + offset, sizeof(T));
  }
  return value;
}

/// The 48 bytes that describe one tree.
struct Db {
  std::uint32_t pad;
  std::uint16_t flags;
  std::uint16_t depth;
  std::uint64_t entries;
  std::uint64_t root;
};

Db load_db(ByteView bytes, std::size_t offset) noexcept {
  return {load<std::uint32_t>(bytes, offset), load<std::uint16_t>(bytes, offset + 4),
          load<std::uint16_t>(bytes, offset + 6), load<std::uint64_t>(bytes, offset + 32),
          load<std::uint64_t>(bytes, offset + 40)};
}

struct Meta {
  Db free_list;
  Db main;
  std::uint64_t last_page;
  std::uint64_t txnid;
};

enum class Kind : std::uint8_t { kFreeList, kMain, kTable };

/// A node of a branch or leaf page; `pgno` is the child or the overflow run, `value` what stands in the page.
struct NodeView {
  ByteView key;
  ByteView value;
  std::uint64_t pgno;
  std::uint32_t size;
  std::uint16_t flags;
};

/// Which pages are accounted for; one bit each.
class PageSet {
 public:
  explicit PageSet(std::uint64_t pages) : words_(static_cast<std::size_t>(pages / 64 + 1)) {}
  /// False if the page is in the set already.
  bool add(std::uint64_t page) noexcept {
    std::uint64_t& word = words_[static_cast<std::size_t>(page / 64)];
    const std::uint64_t bit = std::uint64_t{1} << (page % 64);
    const bool fresh = (word & bit) == 0;
    word |= bit;
    return fresh;
  }
  void clear() noexcept { std::fill(words_.begin(), words_.end(), 0); }

 private:
  std::vector<std::uint64_t> words_;
};

/// State of the walk through one tree. Keys must ascend strictly through all of its pages, separators included.
struct Walk {
  Kind kind;
  unsigned depth;
  std::uint64_t entries = 0;
  std::array<std::uint8_t, kMaxKeyBytes> last{};
  std::size_t last_size = 0;
  bool last_is_separator = true;  // the first key of all has no lower bound
};

class Checker {
 public:
  Checker(base::Fd file, std::string name, std::uint64_t file_bytes)
      : file_(std::move(file)), name_(std::move(name)), file_bytes_(file_bytes) {}

  Result<StoreInfo> run(PreflightDepth depth) {
    CASEVAULT_CHECK(check_metas());
    if (depth == PreflightDepth::kFull) {
      CASEVAULT_CHECK(check_tree(Kind::kFreeList, meta_.free_list));
      CASEVAULT_CHECK(check_tree(Kind::kMain, meta_.main));
      for (const std::optional<Db>& table : tables_) {
        if (table) CASEVAULT_CHECK(check_tree(Kind::kTable, *table));
      }
    }
    return StoreInfo{.file_bytes = file_bytes_, .txnid = meta_.txnid};
  }

 private:
  [[nodiscard]] Error bad(std::uint64_t page, std::string_view what) const {
    return {ErrorCode::kIntegrity, name_ + ": page " + std::to_string(page) + ": " + std::string(what) +
                                       "; the file is damaged or forged, restore it from a backup"};
  }

  // --- Metas ---

  Result<void> check_metas() {
    std::array<std::uint8_t, kMetaBytes> page{};
    CASEVAULT_CHECK(base::read_at(file_, 0, page, name_));
    page_bytes_ = load<std::uint32_t>(page, kPageHeader + 24);
    if (page_bytes_ < kMinPage || page_bytes_ > kMaxPage || !std::has_single_bit(page_bytes_)) {
      return bad(0, "page size " + std::to_string(page_bytes_) + " is not a power of two from 4096 to 32768");
    }
    if (file_bytes_ < 2 * page_bytes_) return bad(1, "lies beyond the end of the file");
    CASEVAULT_TRY(const Meta first, check_meta(page, 0));
    CASEVAULT_CHECK(base::read_at(file_, page_bytes_, page, name_));
    CASEVAULT_TRY(const Meta second, check_meta(page, 1));
    // Only the newest meta's trees are used. The other's need not fit together: after a failed write of a meta LMDB
    // puts back its transaction number but not its trees.
    const std::uint64_t newest = first.txnid < second.txnid ? 1 : 0;
    meta_ = newest == 1 ? second : first;
    CASEVAULT_CHECK(check_db(meta_.free_list, meta_.last_page, newest));
    CASEVAULT_CHECK(check_db(meta_.main, meta_.last_page, newest));
    used_ = PageSet(meta_.last_page + 1);
    halfwords_ = PageSet(page_bytes_ / 2);
    return {};
  }

  Result<Meta> check_meta(ByteView page, std::uint64_t index) const {
    if (load<std::uint64_t>(page, 0) != index || load<std::uint16_t>(page, 10) != kMetaPage) {
      return bad(index, "is not a meta page");
    }
    const ByteView body = page.subspan(kPageHeader);
    if (load<std::uint32_t>(body, 0) != kMagic)
      return bad(index, "is not of an LMDB file of this machine's byte order");
    if (const auto version = load<std::uint32_t>(body, 4); version != 1) {
      return Error{ErrorCode::kUnsupported,
                   name_ + ": LMDB data format " + std::to_string(version) + "; this version reads format 1"};
    }
    if (load<std::uint64_t>(body, 8) != 0) return bad(index, "wants a fixed address");
    const Meta meta{load_db(body, 24), load_db(body, 72), load<std::uint64_t>(body, 120),
                    load<std::uint64_t>(body, 128)};
    if (meta.free_list.pad != page_bytes_) return bad(index, "the two metas differ in page size");
    if (meta.free_list.flags != kIntegerKey) return bad(index, "unknown flags");
    // A file may end before its last page: LMDB does not write pages that were allocated and freed in one transaction.
    // Each such page then stands in the free list, 8 bytes in the file, which bounds how many there can be.
    if (meta.last_page < 1 || meta.last_page > file_bytes_ / page_bytes_ + file_bytes_ / 8) {
      return bad(index, "last page " + std::to_string(meta.last_page) + " is impossible in a file of " +
                            std::to_string(file_bytes_) + " bytes");
    }
    if (meta.txnid > kNoRoot >> 2U || (meta.txnid != 0 && meta.txnid % 2 != index)) {
      return bad(index, "transaction number " + std::to_string(meta.txnid) + " cannot stand here");
    }
    CASEVAULT_CHECK(check_plain(meta.main, index));
    return meta;
  }

  Result<void> check_plain(const Db& db, std::uint64_t page) const {
    if (db.pad == 0 && db.flags == 0) return {};
    return bad(page, "a table has flags casevault never sets");
  }

  Result<void> check_db(const Db& db, std::uint64_t last_page, std::uint64_t page) const {
    const bool sound = db.root == kNoRoot ? db.depth == 0 && db.entries == 0
                                          : db.depth >= 1 && db.depth <= kMaxDepth && db.entries >= 1 && db.root >= 2 &&
                                                db.root <= last_page && (db.root + 1) * page_bytes_ <= file_bytes_;
    if (sound) return {};
    return bad(page, "a table's depth " + std::to_string(db.depth) + ", root page " + std::to_string(db.root) +
                         " and " + std::to_string(db.entries) + " entries do not fit together");
  }

  // --- Pages ---

  Result<void> claim(std::uint64_t page, std::uint64_t from) {
    if (page < 2 || page > meta_.last_page) {
      return bad(from, "names page " + std::to_string(page) + ", which does not exist");
    }
    if (used_.add(page)) return {};
    return bad(from, "names page " + std::to_string(page) + ", which is in use elsewhere");
  }

  /// A run of live pages: they must be in the file as well.
  Result<void> claim_run(std::uint64_t page, std::uint64_t count, std::uint64_t from) {
    const std::uint64_t pages_in_file = file_bytes_ / page_bytes_;
    if (page > pages_in_file || count > pages_in_file - page) {
      return bad(from, "names page " + std::to_string(page) + ", which lies beyond the end of the file");
    }
    for (std::uint64_t i = 0; i < count; ++i) CASEVAULT_CHECK(claim(page + i, from));
    return {};
  }

  /// Reads claimed pages into `buffer`, neighbours in one call; `place` tells where each one went.
  Result<void> load_pages(std::span<const std::uint64_t> pages, Bytes& buffer, std::vector<std::size_t>& place) const {
    std::vector<std::size_t> order(pages.size());
    for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
    std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return pages[a] < pages[b]; });
    buffer.resize(std::max(buffer.size(), pages.size() * page_bytes_));
    place.resize(pages.size());
    for (std::size_t i = 0; i < order.size();) {
      const std::uint64_t first = pages[order[i]];
      const std::size_t start = i;
      for (; i < order.size() && pages[order[i]] == first + (i - start); ++i) place[order[i]] = i * page_bytes_;
      const MutableBytes run = MutableBytes(buffer).subspan(start * page_bytes_, (i - start) * page_bytes_);
      CASEVAULT_CHECK(base::read_at(file_, first * page_bytes_, run, name_));
    }
    return {};
  }

  // --- Trees ---

  Result<void> check_tree(Kind kind, const Db& db) {
    if (db.root == kNoRoot) return {};
    Walk walk{.kind = kind, .depth = db.depth};
    CASEVAULT_CHECK(claim_run(db.root, 1, db.root));
    Bytes page(page_bytes_);
    CASEVAULT_CHECK(base::read_at(file_, db.root * page_bytes_, page, name_));
    CASEVAULT_CHECK(check_page(walk, db.root, page, 1));
    if (walk.entries == db.entries) return {};
    return bad(db.root, "its tree has " + std::to_string(walk.entries) + " entries where " +
                            std::to_string(db.entries) + " are recorded");
  }

  Result<void> check_page(Walk& walk, std::uint64_t number, ByteView page, unsigned level) {
    const std::uint16_t wanted = level == walk.depth ? kLeafPage : kBranchPage;
    if (load<std::uint64_t>(page, 0) != number) return bad(number, "carries another page's number");
    if (load<std::uint16_t>(page, 10) != wanted) return bad(number, "is of the wrong kind for its place in the tree");
    const std::size_t lower = load<std::uint16_t>(page, 12);
    const std::size_t upper = load<std::uint16_t>(page, 14);
    if (lower < kPageHeader || lower > upper || upper > page_bytes_ || lower % 2 != 0 || upper % 2 != 0) {
      return bad(number, "its bounds " + std::to_string(lower) + " and " + std::to_string(upper) + " are impossible");
    }
    const std::size_t nodes = (lower - kPageHeader) / 2;
    // LMDB may leave a branch with a single child in the free list, nowhere else.
    const std::size_t least = wanted == kBranchPage && walk.kind != Kind::kFreeList ? 2 : 1;
    if (nodes < least) return bad(number, "has too few nodes");
    CASEVAULT_CHECK(check_layout(number, page, nodes, upper));
    return wanted == kLeafPage ? check_leaf(walk, number, page, nodes) : check_branch(walk, number, page, nodes, level);
  }

  /// Every node lies between `upper` and the end of the page and none overlaps another.
  Result<void> check_layout(std::uint64_t number, ByteView page, std::size_t nodes, std::size_t upper) {
    const bool leaf = load<std::uint16_t>(page, 10) == kLeafPage;
    const std::size_t longest = (((page_bytes_ - kPageHeader) / 2) & ~std::size_t{1}) - 2;  // LMDB's me_nodemax
    halfwords_.clear();
    for (std::size_t i = 0; i < nodes; ++i) {
      const std::size_t at = load<std::uint16_t>(page, kPageHeader + 2 * i);
      if (at % 2 != 0 || at < upper || at + kNodeHeader > page_bytes_) return bad(number, "a node lies outside of it");
      std::size_t size = kNodeHeader + load<std::uint16_t>(page, at + 6);
      if (leaf) {
        const bool big = (load<std::uint16_t>(page, at + 4) & kBigData) != 0;
        size += big ? sizeof(std::uint64_t) : load<std::uint32_t>(page, at);
      }
      if (size > longest || at + size > page_bytes_) return bad(number, "a node is too long");
      for (std::size_t half = at / 2; half < (at + size + 1) / 2; ++half) {
        if (!halfwords_.add(half)) return bad(number, "two nodes overlap");
      }
    }
    return {};
  }

  /// Only after check_layout.
  static NodeView node_at(ByteView page, std::size_t index, bool leaf) noexcept {
    const std::size_t at = load<std::uint16_t>(page, kPageHeader + 2 * index);
    NodeView node{};
    node.size = load<std::uint32_t>(page, at);
    node.flags = load<std::uint16_t>(page, at + 4);
    const std::size_t key_bytes = load<std::uint16_t>(page, at + 6);
    node.key = page.subspan(at + kNodeHeader, key_bytes);
    const std::size_t data = at + kNodeHeader + key_bytes;
    if (!leaf) {
      node.pgno = node.size | std::uint64_t{node.flags} << 32U;
    } else if ((node.flags & kBigData) != 0) {
      node.pgno = load<std::uint64_t>(page, data);
    } else {
      node.value = page.subspan(data, node.size);
    }
    return node;
  }

  Result<void> check_key_order(Walk& walk, std::uint64_t number, ByteView key, bool separator) const {
    if (key.empty() || key.size() > kMaxKeyBytes ||
        (walk.kind == Kind::kFreeList && key.size() != sizeof(std::uint64_t))) {
      return bad(number, "a key has an impossible length");
    }
    const ByteView last = ByteView(walk.last).first(walk.last_size);
    const auto order = walk.kind == Kind::kFreeList ? load<std::uint64_t>(key, 0) <=> load<std::uint64_t>(last, 0)
                                                    : as_text(key) <=> as_text(last);
    // What follows a separator in this order is the first key of its subtree, which may equal it.
    if (order < 0 || (order == 0 && (separator || !walk.last_is_separator)))
      return bad(number, "its keys do not ascend");
    std::memcpy(walk.last.data(), key.data(), key.size());
    walk.last_size = key.size();
    walk.last_is_separator = separator;
    return {};
  }

  Result<void> check_branch(Walk& walk, std::uint64_t number, ByteView page, std::size_t nodes, unsigned level) {
    // Children are read in batches, each level into a buffer of its own: the pages above stay in place.
    const std::size_t batch = kChunk / page_bytes_;
    Bytes& buffer = buffers_.at(level - 1);
    std::vector<std::uint64_t> children;
    std::vector<std::size_t> place;
    for (std::size_t first = 0; first < nodes; first += batch) {
      children.clear();
      for (std::size_t i = first; i < std::min(nodes, first + batch); ++i) {
        children.push_back(node_at(page, i, false).pgno);
        CASEVAULT_CHECK(claim_run(children.back(), 1, number));
      }
      CASEVAULT_CHECK(load_pages(children, buffer, place));
      for (std::size_t i = 0; i < children.size(); ++i) {
        if (first + i > 0) CASEVAULT_CHECK(check_key_order(walk, number, node_at(page, first + i, false).key, true));
        CASEVAULT_CHECK(check_page(walk, children[i], ByteView(buffer).subspan(place[i], page_bytes_), level + 1));
      }
    }
    return {};
  }

  Result<void> check_leaf(Walk& walk, std::uint64_t number, ByteView page, std::size_t nodes) {
    const std::uint16_t allowed = walk.kind == Kind::kMain ? kSubData : kBigData;
    for (std::size_t i = 0; i < nodes; ++i) {
      const NodeView node = node_at(page, i, true);
      CASEVAULT_CHECK(check_key_order(walk, number, node.key, false));
      if ((node.flags & ~allowed) != 0) return bad(number, "a node has flags casevault never sets");
      if ((node.flags & kBigData) != 0) CASEVAULT_CHECK(check_overflow(number, node));
      if (walk.kind == Kind::kMain) CASEVAULT_CHECK(check_table_record(number, node));
      if (walk.kind == Kind::kFreeList) CASEVAULT_CHECK(check_free_pages(number, node));
    }
    walk.entries += nodes;
    return {};
  }

  Result<void> check_overflow(std::uint64_t number, const NodeView& node) {
    if (node.size > kMaxValueBytes) return bad(number, "a value is too long");
    const std::uint64_t needed = (kPageHeader + node.size + page_bytes_ - 1) / page_bytes_;
    CASEVAULT_CHECK(claim_run(node.pgno, needed, number));
    std::array<std::uint8_t, kPageHeader> header{};
    CASEVAULT_CHECK(base::read_at(file_, node.pgno * page_bytes_, header, name_));
    const std::uint64_t pages = load<std::uint32_t>(header, 12);
    if (load<std::uint64_t>(header, 0) != node.pgno || load<std::uint16_t>(header, 10) != kOverflowPage ||
        pages < needed) {
      return bad(node.pgno, "does not start the long value that page " + std::to_string(number) + " expects");
    }
    return claim_run(node.pgno + needed, pages - needed, node.pgno);  // a value that shrank keeps its pages
  }

  Result<void> check_table_record(std::uint64_t number, const NodeView& node) {
    const auto* const known = std::find(kTableNames.begin(), kTableNames.end(), as_text(node.key));
    if (node.flags != kSubData || node.value.size() != kDbBytes || known == kTableNames.end()) {
      return bad(number, "holds something other than the tables of casevault");
    }
    const Db db = load_db(node.value, 0);
    CASEVAULT_CHECK(check_plain(db, number));
    CASEVAULT_CHECK(check_db(db, meta_.last_page, number));
    tables_.at(static_cast<std::size_t>(known - kTableNames.begin())) = db;
    return {};
  }

  /// One record of the free list: the transaction that freed the pages, then a count and the pages, descending.
  Result<void> check_free_pages(std::uint64_t number, const NodeView& node) {
    const auto freed_by = load<std::uint64_t>(node.key, 0);
    if (freed_by == 0 || freed_by > meta_.txnid) return bad(number, "pages are freed by a transaction that never was");
    constexpr std::size_t kWord = sizeof(std::uint64_t);
    const bool big = (node.flags & kBigData) != 0;
    const std::uint64_t start = node.pgno * page_bytes_ + kPageHeader;
    Bytes chunk(big ? std::min<std::size_t>(kChunk, node.size) : 0);
    std::uint64_t count = 0;
    std::uint64_t last = kNoRoot;
    for (std::size_t done = 0; done < node.size; done += chunk.size()) {
      ByteView words = node.value;
      if (big) {
        chunk.resize(std::min<std::size_t>(chunk.size(), node.size - done));
        CASEVAULT_CHECK(base::read_at(file_, start + done, chunk, name_));
        words = chunk;
      }
      std::size_t at = 0;
      if (done == 0) {
        count = load<std::uint64_t>(words, 0);
        if (node.size % kWord != 0 || count > node.size / kWord - 1)
          return bad(number, "a free-page list is too short");
        at = kWord;
      }
      for (; at < words.size() && count > 0; at += kWord, --count) {
        const auto page = load<std::uint64_t>(words, at);
        if (page >= last) return bad(number, "a free-page list does not descend");
        CASEVAULT_CHECK(claim(page, number));
        last = page;
      }
      if (!big || count == 0) return {};
    }
    return bad(number, "a free-page list is empty");
  }

  base::Fd file_;
  std::string name_;
  std::uint64_t file_bytes_;
  std::size_t page_bytes_ = 0;
  Meta meta_{};
  std::array<std::optional<Db>, kTableCount> tables_;
  PageSet used_{0};
  PageSet halfwords_{0};  ///< of one page: which 2-byte units its nodes occupy
  std::array<Bytes, kMaxDepth> buffers_;
};

}  // namespace

Result<StoreInfo> preflight(const std::filesystem::path& folder, PreflightDepth depth) {
  const std::filesystem::path path = folder / "data.mdb";
  CASEVAULT_TRY(base::Fd file, base::open_file(path, base::OpenMode::kRead));
  CASEVAULT_TRY(const std::uint64_t size, base::file_size(file));
  return Checker(std::move(file), path.string(), size).run(depth);
}

}  // namespace casevault::store
