// SPDX-License-Identifier: Apache-2.0
#include "maintenance/root_swap.hpp"

namespace casevault::maintenance {

Result<RootSwap> RootSwap::begin(vault::Core& core) {
  CASEVAULT_TRY(keys::ErasureRoot root, keys::ErasureRoot::lock(core.root_file()));
  return RootSwap(core, std::move(root));
}

Result<void> RootSwap::erase(vault::UnitOfWork& work, keys::TreeKind kind, std::uint64_t slot) {
  vault::DbState& db = work.db();
  // What an interrupted change left in the file is settled before another one begins.
  CASEVAULT_CHECK(root_.settle(core_->root_context(), db.root, core_->random()));
  const SecretBytes next = crypto::random_key(core_->random());
  live_ = {db.root.epoch + 1, keys::commit_root(core_->tag(), db.root.epoch + 1, next)};
  const keys::KeyTree tree(core_->tag(), core_->random());
  CASEVAULT_CHECK(tree.erase_slot(work.txn(), *db.root_key, next, kind, slot));
  CASEVAULT_CHECK(root_.stage(core_->root_context(), live_.epoch, next, core_->random()));
  db.root = live_;
  db.root_key.reset();
  db.tree_generation += 1;
  return {};
}

Result<void> RootSwap::finish() {
  auto settled = root_.settle(core_->root_context(), live_, core_->random());
  if (!settled) return std::move(settled).error();
  return {};
}

}  // namespace casevault::maintenance
