// SPDX-License-Identifier: Apache-2.0
#include "keys/slot_memory.hpp"

#include <casevault/unlock.hpp>

#include "base/cursor.hpp"
#include "base/file.hpp"
#include "base/text.hpp"
#include "crypto/hash.hpp"
#include "format/labels.hpp"

#include <cstdlib>

namespace casevault {

std::filesystem::path default_state_folder() {
  // XDG Base Directory Specification: relative paths are invalid and ignored.
  if (const char* state = std::getenv("XDG_STATE_HOME"); state != nullptr && state[0] == '/') {
    return std::filesystem::path(state) / "casevault";
  }
  if (const char* home = std::getenv("HOME"); home != nullptr && home[0] == '/') {
    return std::filesystem::path(home) / ".local/state/casevault";
  }
  return {};
}

namespace keys {
namespace {

constexpr std::size_t kSize = 8 + 32;

Bytes render(std::uint64_t generation, const crypto::PublicKey& ed_public, const SecretBytes& identity_key) {
  Bytes message;
  base::Writer(message).bytes(ed_public).u64(generation);
  crypto::Hash mac{};
  crypto::derive32(format::kSlotMemory, identity_key.view(), message, mac);
  Bytes out;
  base::Writer(out).u64(generation).bytes(mac);
  return out;
}

}  // namespace

SlotMemory::SlotMemory(const std::filesystem::path& state_folder, const crypto::PublicKey& ed_public)
    : ed_public_(ed_public) {
  if (!state_folder.empty()) file_ = state_folder / (base::to_hex(ed_public) + ".slots");
}

std::uint64_t SlotMemory::newest(const SecretBytes& identity_key) const {
  if (file_.empty()) return 0;
  const auto bytes = base::read_file(file_, kSize, true);
  if (!bytes) return 0;
  const std::uint64_t generation = base::Reader(*bytes).u64();
  return crypto::equal(*bytes, render(generation, ed_public_, identity_key)) ? generation : 0;
}

void SlotMemory::remember(std::uint64_t generation, const SecretBytes& identity_key) const {
  if (file_.empty() || newest(identity_key) >= generation) return;
  std::error_code ignored;
  std::filesystem::create_directories(file_.parent_path(), ignored);
  (void)base::replace_file(file_, render(generation, ed_public_, identity_key));
}

}  // namespace keys
}  // namespace casevault
