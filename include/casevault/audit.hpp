// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <casevault/bytes.hpp>

#include <array>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

/// What a verifier needs. Everything here works without a vault.
namespace casevault::audit {

using Digest = std::array<std::uint8_t, 32>;  ///< SHA-256

/// Persisted in leaves. DO NOT CHANGE THESE VALUES.
enum class Action : std::uint8_t {
  kGenesis = 1,
  kAdd = 2,
  kUpdate = 3,
  kImport = 4,
  kDisclose = 5,
  kPrincipalAdd = 6,
  kGrantAdd = 7,
  kNotApplied = 8,  ///< names a mutation entry whose database transaction never committed
  kReadLog = 9,     ///< details of the log were opened
  // 10 is reserved
  kKeyRotate = 11,     ///< a compartment's successor epoch was opened
  kKeyReencrypt = 12,  ///< a re-encryption came to its end
  kKeyCensus = 13,     ///< nothing lies under old epochs any more, stated by who counted
  kKeyDestroy = 14,    ///< the half of an epoch was erased: nothing opens under it any more
  kPrincipalRevoke = 15,
  kGrantRevoke = 16,
  kKeyVault = 17,        ///< a new vault key and log key; then that the database is under them
  kPrincipalRekey = 18,  ///< a principal replaced its own keys
  kKeyRetire = 19,       ///< an epoch was said to be empty for good
  kFind = 20,            ///< records were searched for, with or without a match
  kDuplicates = 21,      ///< records were compared: which of them may be about one person
  kMerge = 22,           ///< two records were said to be about one person
  kUnmerge = 23,         ///< that was taken back
  kTable = 32,           ///< exact values of columns were read
  kTabulate = 33,        ///< a cross table was published
  kRelease = 34,         ///< rows were published
  kBudget = 35,          ///< a tool outside spent privacy budget
};
enum class Outcome : std::uint8_t { kOk = 0, kDenied = 1, kFailed = 2 };
[[nodiscard]] CASEVAULT_API std::string_view name_of(Action action) noexcept;    ///< e.g. "disclose"
[[nodiscard]] CASEVAULT_API std::string_view name_of(Outcome outcome) noexcept;  ///< "ok", "denied", "failed"

/// A signed statement of size and root (C2SP tlog-checkpoint).
struct Checkpoint {
  std::string origin;
  std::uint64_t size = 0;
  Digest root{};
  auto operator<=>(const Checkpoint&) const = default;
};

/// What a valid receipt proves: entry `entry` with these coarse codes stands in the log of `size` entries with `root`.
struct ReceiptFacts {
  std::uint64_t entry = 0;
  std::uint64_t size = 0;
  Digest root{};
  std::string origin;
  Action action{};
  Outcome outcome{};
  std::int64_t time_ms = 0;
  std::string purpose;
  std::string basis;
  std::uint64_t count = 0;
};

/// Checks a receipt (C2SP tlog-proof whose extra data is the leaf) against the log's verifier key string, as `init`
/// prints it. Needs no vault. kIntegrity when the signature, the path or the leaf does not fit; kBadInput when it is no
/// receipt at all or `log_key` is no verifier key.
[[nodiscard]] CASEVAULT_API Result<ReceiptFacts> verify_receipt(std::string_view receipt, std::string_view log_key);

/// Checks a signed checkpoint against the log's verifier key string.
[[nodiscard]] CASEVAULT_API Result<Checkpoint> verify_checkpoint(std::string_view note, std::string_view log_key);

}  // namespace casevault::audit
