// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "audit/entry.hpp"
#include "keys/grants.hpp"
#include "vault/authority.hpp"

#include <functional>
#include <map>

/// Details of an entry: who, what, for whom. A deposit to the audit compartment: every actor can seal them, only
/// holders of that compartment open them (FORMAT.md, "Details").
namespace casevault::vault {

inline constexpr std::size_t kMaxSubjectParts = 64;  ///< beyond, a set of rows instead of a part per subject

struct SubjectDraft {
  std::uint64_t row = 0;
  std::uint32_t version = 0;
  SecretBytes record_key;  ///< its part is sealed under it too, and dies with it
};

struct DetailsDraft {
  PrincipalNumber actor = 0;
  std::string actor_name;
  std::uint16_t type = 0;
  std::vector<std::uint16_t> fields;
  std::string recipient;
  std::string recipient_class;
  std::string text;                    ///< reason of a refusal, names of people and keys concerned, ...
  std::vector<SubjectDraft> subjects;  ///< at most kMaxSubjectParts
  std::vector<std::uint64_t> rows;     ///< instead of subjects for larger sets
};

/// What a reader with the audit compartment gets back.
struct OpenedDetails {
  PrincipalNumber actor = 0;
  std::string actor_name;
  std::uint16_t type = 0;
  std::vector<std::uint16_t> fields;
  std::string recipient;
  std::string recipient_class;
  std::string text;
  std::vector<std::uint64_t> rows;
};

/// Seals the details of one session's entries under one ephemeral key. Thread-safe after construction.
class DetailsSealer {
 public:
  [[nodiscard]] static Result<DetailsSealer> make(const keys::VaultTag& tag, keys::EpochName audit_epoch,
                                                  const crypto::PublicKey& deposit_public, base::Random& random);
  /// Fills the four commitments of `leaf` and returns what seals the details once the entry's number is known.
  /// The sealer and `random` must outlive the returned function.
  [[nodiscard]] std::function<Result<Bytes>(std::uint64_t entry)> prepare(DetailsDraft draft, audit::Leaf& leaf) const;

 private:
  DetailsSealer(const keys::VaultTag& tag, keys::EpochName epoch, base::Random& random) noexcept
      : tag_(tag), epoch_(epoch), random_(&random) {}
  keys::VaultTag tag_;
  keys::EpochName epoch_;
  base::Random* random_;
  crypto::PublicKey ephemeral_{};
  SecretBytes shared_;
};

/// Opens sealed details with the deposit secret of their audit epoch.
class DetailsOpener {
 public:
  DetailsOpener(const keys::VaultTag& tag, keys::EpochName audit_epoch, SecretBytes deposit_secret) noexcept
      : tag_(tag), epoch_(audit_epoch), deposit_secret_(std::move(deposit_secret)) {}
  /// Checks them against the leaf's commitments: kIntegrity when they were altered or do not belong to the leaf.
  [[nodiscard]] Result<OpenedDetails> open(std::uint64_t entry, const audit::Leaf& leaf, ByteView sealed);

 private:
  [[nodiscard]] Result<const SecretBytes*> shared_with(const crypto::PublicKey& ephemeral);

  keys::VaultTag tag_;
  keys::EpochName epoch_;
  SecretBytes deposit_secret_;
  /// All entries of a session have one ephemeral key, and agreeing on a key takes longer than all else in an entry.
  std::map<crypto::PublicKey, SecretBytes> shared_;
};
/// The epoch whose deposit key opens these details; nullopt when malformed.
[[nodiscard]] std::optional<std::uint32_t> details_epoch(ByteView sealed);
/// Whether one of the subject parts is about the record with this key: the tag is a PRF of the key over the part's
/// salt.
[[nodiscard]] bool concerns(ByteView sealed, const SecretBytes& record_key);

}  // namespace casevault::vault
