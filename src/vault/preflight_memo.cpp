// SPDX-License-Identifier: Apache-2.0
#include "vault/preflight_memo.hpp"

#include "base/cursor.hpp"
#include "base/file.hpp"
#include "base/text.hpp"
#include "crypto/hash.hpp"
#include "format/labels.hpp"

#include <sys/stat.h>

#include <algorithm>

namespace casevault::vault {
namespace {

constexpr std::size_t kMemoSize = 32;
/// A change within the tick of the last one leaves the change time as it is, so a file this fresh is not remembered.
constexpr std::int64_t kSettledMs = 2000;

struct Stamp {
  Bytes bytes;
  std::int64_t changed_ms = 0;
};

std::optional<Stamp> stamp_of(const std::filesystem::path& data, const store::StoreInfo& info) {
  struct stat st{};
  if (::lstat(data.c_str(), &st) != 0) return std::nullopt;
  Stamp out;
  base::Writer(out.bytes)
      .u64(st.st_dev)
      .u64(st.st_ino)
      .u64(static_cast<std::uint64_t>(st.st_size))
      .u64(static_cast<std::uint64_t>(st.st_ctim.tv_sec))
      .u64(static_cast<std::uint64_t>(st.st_ctim.tv_nsec))
      .u64(info.txnid);
  out.changed_ms = std::int64_t{st.st_ctim.tv_sec} * 1000 + st.st_ctim.tv_nsec / 1'000'000;
  return out;
}

crypto::Hash mac_of(const SecretBytes& vault_key, const Stamp& stamp) {
  crypto::Hash out{};
  crypto::derive32(format::kPreflight, vault_key.view(), stamp.bytes, out);
  return out;
}

}  // namespace

PreflightMemo::PreflightMemo(const std::filesystem::path& state_folder, const audit::Digest& vault_id,
                             const std::filesystem::path& vault_folder)
    : vault_folder_(vault_folder) {
  if (!state_folder.empty()) file_ = state_folder / (base::to_hex(vault_id) + ".preflight");
}

Result<void> PreflightMemo::check(const SecretBytes& vault_key, bool alone, bool believe, std::int64_t now_ms) const {
  CASEVAULT_TRY(const store::StoreInfo metas, store::preflight(vault_folder_, store::PreflightDepth::kMetas));
  if (!alone) return {};  // whoever holds the vault open has checked it
  const std::filesystem::path data = vault_folder_ / "data.mdb";
  const auto before = stamp_of(data, metas);
  if (believe && before && !file_.empty()) {
    const auto memo = base::read_file(file_, kMemoSize, true);
    if (memo && crypto::equal(*memo, mac_of(vault_key, *before))) return {};
  }
  CASEVAULT_TRY(const store::StoreInfo full, store::preflight(vault_folder_, store::PreflightDepth::kFull));
  const auto after = stamp_of(data, full);
  const bool settled = before && after && before->bytes == after->bytes && now_ms - after->changed_ms > kSettledMs;
  if (settled && !file_.empty()) {
    std::error_code ignored;
    std::filesystem::create_directories(file_.parent_path(), ignored);
    (void)base::replace_file(file_, mac_of(vault_key, *after));  // best effort: without it the next open checks again
  }
  return {};
}

}  // namespace casevault::vault
