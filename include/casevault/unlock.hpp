// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <casevault/bytes.hpp>

#include <array>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

namespace casevault {

/// A passphrase, never a plain string. UTF-8, taken as typed; compared by nobody, stretched by Argon2id (RFC 9106).
class Passphrase {
 public:
  explicit Passphrase(SecretBytes text) noexcept : text_(std::move(text)) {}
  [[nodiscard]] const SecretBytes& secret() const noexcept { return text_; }

 private:
  SecretBytes text_;
};

/// Cost of a passphrase slot. Floor 64 MiB and 1 pass, ceiling 1 GiB and 8 passes (kUsage outside).
struct SlotCost {
  std::uint32_t passes = 3;
  std::uint32_t memory_mib = 256;
};

/// A vault that an identity trusts: the hash of its genesis entry and its log's verifier key.
struct Pin {
  std::array<std::uint8_t, 32> vault_id{};
  std::string log_key;
};

/// What an identity file shows without a key.
struct IdentityInfo {
  std::string name;
  std::string public_string;       ///< self-signed principal string, for `principal add --public`
  std::vector<std::string> slots;  ///< kinds, e.g. "passphrase"
};

/// An unlocked identity: the X25519 and Ed25519 secrets of one principal, in locked memory, and its pins.
/// Move-only. Thread rule: one thread at a time; open sessions hold their own copy.
class CASEVAULT_API Identity {
 public:
  /// Makes a new identity file (0600, never overwrites: kUsage) with one passphrase slot.
  /// `name`: 1 to 64 bytes of UTF-8 without control characters. kUsage for an empty passphrase.
  [[nodiscard]] static Result<Identity> create(const std::filesystem::path& file, std::string_view name,
                                               const Passphrase& passphrase, SlotCost cost = {});
  /// kWrongKey for a wrong passphrase, kIntegrity for a damaged or altered file, kNotFound, kUnsafePermissions.
  [[nodiscard]] static Result<Identity> open(const std::filesystem::path& file, const Passphrase& passphrase);
  [[nodiscard]] static Result<IdentityInfo> inspect(const std::filesystem::path& file);

  Identity(Identity&&) noexcept;
  Identity& operator=(Identity&&) noexcept;
  ~Identity();

  [[nodiscard]] const std::string& name() const noexcept;
  [[nodiscard]] const std::string& public_string() const noexcept;
  [[nodiscard]] const std::vector<Pin>& pins() const noexcept;
  [[nodiscard]] const std::filesystem::path& file() const noexcept;

  struct Impl;  ///< library internal
  [[nodiscard]] Impl& impl() noexcept { return *impl_; }
  [[nodiscard]] const Impl& impl() const noexcept { return *impl_; }
  explicit Identity(std::unique_ptr<Impl> impl) noexcept;

 private:
  std::unique_ptr<Impl> impl_;
};

}  // namespace casevault
