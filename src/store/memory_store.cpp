// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <condition_variable>
#include <mutex>
#include <thread>

#include "base/process_id.hpp"
#include "store/tables.hpp"

namespace casevault::store {
namespace {

constexpr std::string_view kName = "memory store";

/// Persistent treap: an update copies the path to the root, so a snapshot is a root pointer and views into it live as
/// long as it is held.
struct Node;
using Tree = std::shared_ptr<const Node>;

struct Entry {
  Bytes key;
  Bytes value;
  std::size_t priority;
};
using EntryRef = std::shared_ptr<const Entry>;

struct Node {
  EntryRef entry;
  Tree left;
  Tree right;
};

std::strong_ordering compare(ByteView a, ByteView b) noexcept { return as_text(a) <=> as_text(b); }

Tree make_node(const EntryRef& entry, Tree left, Tree right) {
  return std::make_shared<const Node>(Node{entry, std::move(left), std::move(right)});
}

EntryRef make_entry(ByteView key, ByteView value) {
  return std::make_shared<const Entry>(Entry{Bytes(key.begin(), key.end()), Bytes(value.begin(), value.end()),
                                             std::hash<std::string_view>{}(as_text(key))});
}

const Entry* lower_bound(const Node* node, ByteView from) noexcept {
  const Entry* best = nullptr;
  while (node != nullptr) {
    const bool inside = compare(node->entry->key, from) >= 0;
    if (inside) best = node->entry.get();
    node = inside ? node->left.get() : node->right.get();
  }
  return best;
}

const Entry* find(const Node* node, ByteView key) noexcept {
  const Entry* entry = lower_bound(node, key);
  return entry != nullptr && compare(entry->key, key) == 0 ? entry : nullptr;
}

const Entry* greatest(const Node* node) noexcept {
  if (node == nullptr) return nullptr;
  while (node->right) node = node->right.get();
  return node->entry.get();
}

Tree insert(const Tree& tree, const EntryRef& entry) {
  if (!tree) return make_node(entry, nullptr, nullptr);
  const auto order = compare(entry->key, tree->entry->key);
  if (order == 0) return make_node(entry, tree->left, tree->right);
  if (order < 0) {
    Tree left = insert(tree->left, entry);
    if (left->entry->priority <= tree->entry->priority) return make_node(tree->entry, std::move(left), tree->right);
    return make_node(left->entry, left->left, make_node(tree->entry, left->right, tree->right));
  }
  Tree right = insert(tree->right, entry);
  if (right->entry->priority <= tree->entry->priority) return make_node(tree->entry, tree->left, std::move(right));
  return make_node(right->entry, make_node(tree->entry, tree->left, right->left), right->right);
}

Tree merge(const Tree& left, const Tree& right) {
  if (!left) return right;
  if (!right) return left;
  if (left->entry->priority > right->entry->priority) {
    return make_node(left->entry, left->left, merge(left->right, right));
  }
  return make_node(right->entry, merge(left, right->left), right->right);
}

/// `key` is in the tree.
Tree remove(const Tree& tree, ByteView key) {
  const auto order = compare(key, tree->entry->key);
  if (order == 0) return merge(tree->left, tree->right);
  if (order < 0) return make_node(tree->entry, remove(tree->left, key), tree->right);
  return make_node(tree->entry, tree->left, remove(tree->right, key));
}

bool visit_from(const Node* node, ByteView from, const std::function<bool(const Item&)>& visit) {
  if (node == nullptr) return true;
  if (compare(node->entry->key, from) >= 0) {
    if (!visit_from(node->left.get(), from, visit)) return false;
    if (!visit({node->entry->key, node->entry->value})) return false;
  }
  return visit_from(node->right.get(), from, visit);
}

struct TableState {
  Tree root;
  std::uint64_t count = 0;
};

struct Snapshot {
  std::array<TableState, kTableCount> tables;
  std::uint64_t txnid = 0;
};

/// The reading half of both transactions.
template <typename Base>
class Reading : public Base {
 public:
  explicit Reading(Snapshot snapshot) : snapshot_(std::move(snapshot)) {}

  Result<std::optional<ByteView>> get(Table table, ByteView key) override {
    CASEVAULT_CHECK(check_key(table, key));
    const Entry* entry = find(state(table).root.get(), key);
    if (entry == nullptr) return std::optional<ByteView>{};
    return std::optional<ByteView>(entry->value);
  }
  Result<std::optional<Item>> seek(Table table, ByteView from) override {
    CASEVAULT_CHECK(check_start(table, from));
    const Entry* entry = lower_bound(state(table).root.get(), from);
    if (entry == nullptr) return std::optional<Item>{};
    return std::optional<Item>({entry->key, entry->value});
  }
  Result<void> scan(Table table, ByteView from, const std::function<bool(const Item&)>& visit) override {
    CASEVAULT_CHECK(check_start(table, from));
    visit_from(state(table).root.get(), from, visit);
    return {};
  }
  Result<std::uint64_t> count(Table table) override { return state(table).count; }
  [[nodiscard]] std::uint64_t number() const override { return snapshot_.txnid; }

 protected:
  TableState& state(Table table) { return snapshot_.tables.at(index_of(table)); }
  Snapshot snapshot_;
};

using MemoryRead = Reading<ReadTxn>;

class MemoryStore final : public Store {
 public:
  Result<std::unique_ptr<ReadTxn>> begin_read() override {
    CASEVAULT_CHECK(check_process());
    return std::unique_ptr<ReadTxn>(std::make_unique<MemoryRead>(current()));
  }
  Result<std::unique_ptr<WriteTxn>> begin_write() override;
  Result<StoreInfo> info() override {
    CASEVAULT_CHECK(check_process());
    return StoreInfo{.file_bytes = 0, .txnid = current().txnid};
  }

  Result<void> check_process() const {
    if (base::process_id() == owner_) return {};
    return fork_error(kName);
  }
  Snapshot current() {
    const std::lock_guard lock(mutex_);
    return snapshot_;
  }
  /// Ends the turn of the writer, with a new state or without.
  void finish_write(const Snapshot* committed) {
    {
      const std::lock_guard lock(mutex_);
      if (committed != nullptr) snapshot_ = *committed;
      writer_ = {};
    }
    writer_left_.notify_one();
  }

 private:
  const pid_t owner_ = base::process_id();
  std::mutex mutex_;
  std::condition_variable writer_left_;
  std::thread::id writer_;  ///< none when default
  Snapshot snapshot_;
};

class MemoryWrite final : public Reading<WriteTxn> {
 public:
  MemoryWrite(MemoryStore& store, Snapshot snapshot) : Reading(std::move(snapshot)), store_(store) {}
  MemoryWrite(const MemoryWrite&) = delete;
  MemoryWrite& operator=(const MemoryWrite&) = delete;
  ~MemoryWrite() override {
    if (open_ && store_.check_process()) store_.finish_write(nullptr);
  }

  Result<void> put(Table table, ByteView key, ByteView value) override {
    CASEVAULT_CHECK(check_usable());
    CASEVAULT_CHECK(check_item(table, key, value));
    TableState& target = state(table);
    if (find(target.root.get(), key) == nullptr) ++target.count;
    target.root = insert(target.root, make_entry(key, value));
    changed_ = true;
    return {};
  }
  Result<void> append(Table table, ByteView key, ByteView value) override {
    CASEVAULT_CHECK(check_usable());
    CASEVAULT_CHECK(check_item(table, key, value));
    const Entry* last = greatest(state(table).root.get());
    if (last != nullptr && compare(key, last->key) <= 0) {
      return Error{ErrorCode::kInternal, "memory store: append needs a key greater than every key of the table"};
    }
    return put(table, key, value);
  }
  Result<bool> erase(Table table, ByteView key) override {
    CASEVAULT_CHECK(check_usable());
    CASEVAULT_CHECK(check_key(table, key));
    TableState& target = state(table);
    if (find(target.root.get(), key) == nullptr) return false;
    target.root = remove(target.root, key);
    --target.count;
    changed_ = true;
    return true;
  }
  Result<void> commit() override {
    CASEVAULT_CHECK(check_usable());
    open_ = false;
    if (changed_) ++snapshot_.txnid;
    store_.finish_write(&snapshot_);
    return {};
  }

  [[nodiscard]] std::uint64_t number() const override { return snapshot_.txnid + (open_ ? 1 : 0); }

 private:
  Result<void> check_usable() const {
    CASEVAULT_CHECK(store_.check_process());
    if (open_) return {};
    return Error{ErrorCode::kInternal, "memory store: the transaction has already ended"};
  }

  MemoryStore& store_;
  bool open_ = true;
  bool changed_ = false;
};

Result<std::unique_ptr<WriteTxn>> MemoryStore::begin_write() {
  CASEVAULT_CHECK(check_process());
  std::unique_lock lock(mutex_);
  if (writer_ == std::this_thread::get_id()) {
    return Error{ErrorCode::kInternal, "memory store: this thread already holds the write transaction"};
  }
  writer_left_.wait(lock, [&] { return writer_ == std::thread::id{}; });
  auto txn = std::make_unique<MemoryWrite>(*this, snapshot_);
  writer_ = std::this_thread::get_id();
  return std::unique_ptr<WriteTxn>(std::move(txn));
}

}  // namespace

std::unique_ptr<Store> make_memory_store() { return std::make_unique<MemoryStore>(); }

}  // namespace casevault::store
