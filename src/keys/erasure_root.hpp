// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/environment.hpp"
#include "base/file.hpp"
#include "keys/grants.hpp"

/// erasure.root: the root key of the key tree, outside the database, overwritten in place when it changes (FORMAT.md,
/// "erasure.root"). Two slots, each stored twice 1 MiB apart; idle, all four hold the live key.
namespace casevault::keys {

/// What the database says the live root is.
struct LiveRoot {
  std::uint64_t epoch = 0;  ///< from 1
  crypto::Hash commitment{};
};

struct RootContext {
  VaultTag vault{};
  std::uint32_t vault_key_epoch = 0;
  const SecretBytes* vault_key = nullptr;
};

[[nodiscard]] crypto::Hash commit_root(const VaultTag& vault, std::uint64_t epoch, const SecretBytes& root);

/// One swap at a time: an exclusive OFD lock on the file is held from load-for-change to the end.
class ErasureRoot {
 public:
  /// New file with `root` in all four places, synced.
  [[nodiscard]] static Result<void> create(const std::filesystem::path& file, const RootContext& context,
                                           std::uint64_t epoch, const SecretBytes& root, base::Random& random);
  /// The live root. kRolledBack when the file only knows a newer one (the database was rolled back), kIntegrity when it
  /// holds no copy of the live one.
  [[nodiscard]] static Result<SecretBytes> load(const std::filesystem::path& file, const RootContext& context,
                                                const LiveRoot& live);
  /// True when all four places hold the live root; otherwise `settle` has work to do.
  [[nodiscard]] static Result<bool> idle(const std::filesystem::path& file, const RootContext& context,
                                         const LiveRoot& live);
  /// Offsets in the file of the places that do not hold the live root.
  [[nodiscard]] static Result<std::vector<std::uint64_t>> stale_places(const std::filesystem::path& file,
                                                                       const RootContext& context,
                                                                       const LiveRoot& live);

  /// Takes the lock. kBusy when another process changes or recovers the root, unless told to wait for it.
  enum class Wait { kNo, kYes };
  [[nodiscard]] static Result<ErasureRoot> lock(const std::filesystem::path& file, Wait wait = Wait::kNo);
  /// Step 1: writes the next root into the pending slot, twice, synced. The live one stays.
  [[nodiscard]] Result<void> stage(const RootContext& context, std::uint64_t epoch, const SecretBytes& root,
                                   base::Random& random);
  /// Last step, also the recovery after a crash: overwrites every place with the root the database names, synced.
  [[nodiscard]] Result<SecretBytes> settle(const RootContext& context, const LiveRoot& live, base::Random& random);

 private:
  ErasureRoot(base::Fd fd, std::string name) noexcept : fd_(std::move(fd)), name_(std::move(name)) {}
  base::Fd fd_;
  std::string name_;
};

/// "E1" where an in-place overwrite reaches the medium (ext, xfs, ...), "E0" on copy-on-write, network and memory file
/// systems that keep or may keep old blocks (reference: statfs magic numbers, statfs(2)).
[[nodiscard]] std::string erasure_level(const std::filesystem::path& file);

}  // namespace casevault::keys
