// SPDX-License-Identifier: Apache-2.0
#include "keys/erasure_root.hpp"

#include "base/cursor.hpp"
#include "crypto/envelope.hpp"
#include "crypto/hash.hpp"
#include "format/labels.hpp"

#include <sys/vfs.h>

#include <algorithm>
#include <array>

namespace casevault::keys {
namespace {

using crypto::key_of;

constexpr std::array<std::uint8_t, 8> kMagic = {'C', 'V', 'E', 'R', 'K', '1', 0, 0};
constexpr std::size_t kPlaceSize = 8 + 8 + 4 + 32 + crypto::kEnvelopeOverhead;
constexpr std::uint64_t kCopyDistance = std::uint64_t{1} << 20U;
constexpr std::uint64_t kSlotDistance = 4096;
constexpr std::array<std::uint64_t, 4> kPlaces = {0, kSlotDistance, kCopyDistance, kCopyDistance + kSlotDistance};
constexpr std::uint64_t kFileSize = kCopyDistance + 2 * kSlotDistance;

Bytes place_context(const RootContext& context, std::uint64_t epoch) {
  Bytes out;
  base::Writer(out).bytes(context.vault).u64(epoch).u32(context.vault_key_epoch);
  return out;
}

Bytes seal_place(const RootContext& context, std::uint64_t epoch, const SecretBytes& root, base::Random& random) {
  Bytes out;
  base::Writer(out)
      .bytes(kMagic)
      .u64(epoch)
      .u32(context.vault_key_epoch)
      .bytes(crypto::seal_envelope(format::kErasureRoot, key_of(*context.vault_key), place_context(context, epoch),
                                   root.view(), random));
  return out;
}

struct Place {
  std::uint64_t epoch = 0;
  SecretBytes root;  ///< empty when the place does not open
};

Place open_place(const RootContext& context, ByteView bytes) {
  base::Reader reader(bytes);
  Place place;
  const auto magic = reader.fixed<8>();
  place.epoch = reader.u64();
  const std::uint32_t vault_key_epoch = reader.u32();
  if (!reader.ok() || magic != kMagic || vault_key_epoch != context.vault_key_epoch) return place;
  auto root = crypto::open_envelope(format::kErasureRoot, key_of(*context.vault_key),
                                    place_context(context, place.epoch), reader.rest());
  if (root && root->size() == 32) place.root = *std::move(root);
  return place;
}

bool is_live(const RootContext& context, const LiveRoot& live, const Place& place) {
  return place.epoch == live.epoch && !place.root.empty() &&
         crypto::equal(commit_root(context.vault, place.epoch, place.root), live.commitment);
}

struct Survey {
  SecretBytes root;
  std::vector<std::uint64_t> stale;  ///< offsets of places without the live root
  std::uint64_t newest = 0;
};

Result<Survey> survey(const base::Fd& fd, std::string_view name, const RootContext& context, const LiveRoot& live) {
  Survey result;
  CASEVAULT_TRY(const std::uint64_t size, base::file_size(fd));
  for (const std::uint64_t offset : kPlaces) {
    result.stale.push_back(offset);
    if (offset + kPlaceSize > size) continue;  // a truncated file still serves from the places it has
    Bytes bytes(kPlaceSize);
    CASEVAULT_CHECK(base::read_at(fd, offset, bytes, name));
    Place place = open_place(context, bytes);
    if (place.root.empty()) continue;
    result.newest = std::max(result.newest, place.epoch);
    if (!is_live(context, live, place)) continue;
    result.stale.pop_back();
    if (result.root.empty()) result.root = std::move(place.root);
  }
  return result;
}

Result<SecretBytes> require_root(Survey survey, std::string_view name, const LiveRoot& live) {
  if (!survey.root.empty()) return std::move(survey.root);
  if (survey.newest > live.epoch) {
    return Error{ErrorCode::kRolledBack, std::string(name) + ": holds root epoch " + std::to_string(survey.newest) +
                                             ", the database is at " + std::to_string(live.epoch) +
                                             ": the database was rolled back; restore the newest one"};
  }
  return Error{ErrorCode::kIntegrity,
               std::string(name) + ": holds no copy of root epoch " + std::to_string(live.epoch) +
                   " that the database commits to; restore the file that belongs to this database"};
}

}  // namespace

crypto::Hash commit_root(const VaultTag& vault, std::uint64_t epoch, const SecretBytes& root) {
  Bytes message;
  base::Writer(message).bytes(vault).u64(epoch);
  crypto::Hash out{};
  crypto::derive32(format::kErasureCommit, root.view(), message, out);
  return out;
}

Result<void> ErasureRoot::create(const std::filesystem::path& file, const RootContext& context, std::uint64_t epoch,
                                 const SecretBytes& root, base::Random& random) {
  CASEVAULT_TRY(const base::Fd fd, base::open_file(file, base::OpenMode::kCreateNew));
  Bytes image(kFileSize);  // written out, so that no later overwrite needs space
  for (const std::uint64_t offset : kPlaces) {
    std::ranges::copy(seal_place(context, epoch, root, random), image.begin() + static_cast<std::ptrdiff_t>(offset));
  }
  CASEVAULT_CHECK(base::write_at(fd, 0, image, file.string()));
  CASEVAULT_CHECK(base::sync_data(fd, file.string()));
  return base::sync_folder(file.parent_path());
}

Result<SecretBytes> ErasureRoot::load(const std::filesystem::path& file, const RootContext& context,
                                      const LiveRoot& live) {
  CASEVAULT_TRY(const base::Fd fd, base::open_file(file, base::OpenMode::kRead));
  CASEVAULT_TRY(Survey found, survey(fd, file.string(), context, live));
  return require_root(std::move(found), file.string(), live);
}

Result<std::vector<std::uint64_t>> ErasureRoot::stale_places(const std::filesystem::path& file,
                                                             const RootContext& context, const LiveRoot& live) {
  CASEVAULT_TRY(const base::Fd fd, base::open_file(file, base::OpenMode::kRead));
  CASEVAULT_TRY(Survey found, survey(fd, file.string(), context, live));
  return std::move(found.stale);
}

Result<bool> ErasureRoot::idle(const std::filesystem::path& file, const RootContext& context, const LiveRoot& live) {
  CASEVAULT_TRY(const std::vector<std::uint64_t> stale, stale_places(file, context, live));
  return stale.empty();
}

Result<ErasureRoot> ErasureRoot::lock(const std::filesystem::path& file, Wait wait) {
  CASEVAULT_TRY(base::Fd fd, base::open_file(file, base::OpenMode::kReadWrite));
  CASEVAULT_CHECK(base::lock_file(fd, base::LockKind::kExclusive, 0, wait == Wait::kYes, file.string()));
  return ErasureRoot(std::move(fd), file.string());
}

Result<void> ErasureRoot::stage(const RootContext& context, std::uint64_t epoch, const SecretBytes& root,
                                base::Random& random) {
  for (const std::uint64_t offset : {kSlotDistance, kCopyDistance + kSlotDistance}) {
    CASEVAULT_CHECK(base::write_at(fd_, offset, seal_place(context, epoch, root, random), name_));
  }
  return base::sync_data(fd_, name_);
}

Result<SecretBytes> ErasureRoot::settle(const RootContext& context, const LiveRoot& live, base::Random& random) {
  CASEVAULT_TRY(Survey found, survey(fd_, name_, context, live));
  CASEVAULT_TRY(SecretBytes root, require_root(std::move(found), name_, live));
  for (const std::uint64_t offset : kPlaces) {
    CASEVAULT_CHECK(base::write_at(fd_, offset, seal_place(context, live.epoch, root, random), name_));
  }
  CASEVAULT_CHECK(base::sync_data(fd_, name_));
  return root;
}

std::string erasure_level(const std::filesystem::path& file) {
  struct statfs info{};
  if (::statfs(file.c_str(), &info) != 0) return "E0";
  switch (static_cast<std::uint32_t>(info.f_type)) {
    case 0xEF53U:      // ext2, ext3, ext4
    case 0x58465342U:  // xfs
    case 0x3153464AU:  // jfs
    case 0x4D44U:      // fat
    case 0x2011BAB0U:  // exfat
      return "E1";
    default:
      return "E0";
  }
}

}  // namespace casevault::keys
