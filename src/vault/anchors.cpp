// SPDX-License-Identifier: Apache-2.0
#include "vault/anchors.hpp"

#include "base/file.hpp"
#include "base/text.hpp"

namespace casevault::vault {

AnchorStore::AnchorStore(std::filesystem::path folder, const audit::Digest& vault_id) {
  if (!folder.empty()) file_ = std::move(folder) / (base::to_hex(vault_id) + ".anchor");
}

Result<std::string> AnchorStore::load() const {
  if (file_.empty()) return std::string();
  auto bytes = base::read_file(file_, std::size_t{1} << 16U, true);
  if (!bytes && bytes.error().code == ErrorCode::kNotFound) return std::string();
  if (!bytes) return std::move(bytes).error();
  return std::string(as_text(*bytes));
}

bool AnchorStore::keep(std::string_view note, std::uint64_t size, const Verify& verify) const noexcept {
  if (file_.empty()) return false;
  try {
    std::error_code ignored;
    std::filesystem::create_directories(file_.parent_path(), ignored);
    std::filesystem::path lock_path = file_;
    lock_path += ".lock";
    auto lock = base::open_file(lock_path, base::OpenMode::kReadWrite);
    if (!lock) lock = base::open_file(lock_path, base::OpenMode::kCreateNew);
    if (!lock) lock = base::open_file(lock_path, base::OpenMode::kReadWrite);  // another process made it meanwhile
    if (!lock || !base::lock_file(*lock, base::LockKind::kExclusive, 0, true, lock_path.string())) return false;
    const auto known = load();
    if (!known) return false;
    if (!known->empty()) {
      const auto checkpoint = verify(*known);
      if (!checkpoint || checkpoint->size >= size) return false;
    }
    std::filesystem::path next = file_;
    next += ".next";
    std::filesystem::remove(next, ignored);
    {
      const auto fd = base::open_file(next, base::OpenMode::kCreateNew);
      if (!fd || !base::write_at(*fd, 0, as_bytes(note), next.string())) return false;
    }
    std::filesystem::rename(next, file_, ignored);
    return !ignored;
  } catch (...) {
    return false;  // an anchor is kept at best effort; losing one is told at the next open
  }
}

}  // namespace casevault::vault
