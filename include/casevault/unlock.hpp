// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <casevault/bytes.hpp>

#include <array>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <variant>
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

/// `words` words of two syllables, 10 bits each, with a space between two. kUsage outside 6 (60 bits) to 64.
[[nodiscard]] CASEVAULT_API Result<Passphrase> generate_passphrase(unsigned words = 6);

/// A file that nobody can guess: 32 bytes to 64 KiB, of which every byte counts.
class CASEVAULT_API KeyFile {
 public:
  explicit KeyFile(SecretBytes content) noexcept : content_(std::move(content)) {}
  [[nodiscard]] static Result<KeyFile> read(const std::filesystem::path& file);    ///< others must not read it
  [[nodiscard]] static Result<KeyFile> create(const std::filesystem::path& file);  ///< 0600, never overwrites: kUsage
  [[nodiscard]] const SecretBytes& secret() const noexcept { return content_; }

 private:
  SecretBytes content_;
};

/// The content of an identity file of age: lines "AGE-SECRET-KEY-1...".
class CASEVAULT_API AgeIdentity {
 public:
  explicit AgeIdentity(SecretBytes text) noexcept : text_(std::move(text)) {}
  [[nodiscard]] static Result<AgeIdentity> read(const std::filesystem::path& file);  ///< others must not read it
  [[nodiscard]] const SecretBytes& secret() const noexcept { return text_; }

 private:
  SecretBytes text_;
};

/// Shares of one quorum, as many as it needs: lines "cvs1...", of which any changed character is told.
class CASEVAULT_API Shares {
 public:
  struct Share {
    std::string name;  ///< what messages call it
    SecretBytes line;
  };
  explicit Shares(std::vector<Share> all) noexcept : all_(std::move(all)) {}
  /// One share a file; others must not read it.
  [[nodiscard]] static Result<Shares> read(std::span<const std::filesystem::path> files);
  [[nodiscard]] const std::vector<Share>& all() const noexcept { return all_; }

 private:
  std::vector<Share> all_;
};

/// A PKCS#11 token. The module is loaded into the process: name one that is trusted. The PIN is tried once.
struct Token {
  std::filesystem::path module;
  Passphrase pin;
  std::string label = {};  ///< of the token; empty: the first that a slot names and that is there
};

/// What opens an identity. Each tries the slots of its own kind only.
using Unlock = std::variant<Passphrase, KeyFile, AgeIdentity, Shares, Token>;

/// To whom an age slot is sealed: "age1...".
struct AgeRecipient {
  std::string text;
};
/// A key on a token that cannot be taken out of it: AES that wraps or encrypts, or EC on P-256 that derives.
struct TokenKey {
  std::filesystem::path module;
  std::string token;  ///< label
  std::string key;    ///< label
  Passphrase pin;
};
/// What a new slot is made of. An age slot needs nothing secret.
using NewSlot = std::variant<Passphrase, KeyFile, AgeRecipient, TokenKey>;

/// Cost of a passphrase slot. Floor 64 MiB and 1 pass, ceiling 1 GiB and 8 passes (kUsage outside).
struct SlotCost {
  std::uint32_t passes = 3;
  std::uint32_t memory_mib = 256;
};

/// Any `threshold` (at least 2) of `total` (at most 32) shares open an identity. They are written into a new folder, a
/// file of one line each, and proven by combining them before anything depends on them.
struct QuorumPlan {
  unsigned threshold = 0;
  unsigned total = 0;
  std::filesystem::path folder;
};

/// A vault that an identity trusts: the hash of its genesis entry and its log's verifier key.
struct Pin {
  std::array<std::uint8_t, 32> vault_id{};
  std::string log_key;
};

/// One way to open an identity, as its file shows it without a key.
struct SlotInfo {
  std::string id;      ///< 16 hexadecimal digits
  std::string kind;    ///< passphrase keyfile age pkcs11 shares; unknown: of a later version
  std::string detail;  ///< shares: "2 of 3"; pkcs11: labels of token and key; else empty
};

/// What an identity file shows without a key.
struct IdentityInfo {
  std::string name;
  std::string public_string;  ///< self-signed principal string, for `principal add --public`
  std::vector<SlotInfo> slots;
};

/// `$XDG_STATE_HOME/casevault`, else `~/.local/state/casevault`; empty when neither is known.
[[nodiscard]] CASEVAULT_API std::filesystem::path default_state_folder();

/// An unlocked identity: the X25519 and Ed25519 secrets of one principal, in locked memory, and its pins.
/// Move-only. Thread rule: one thread at a time; open sessions hold their own copy.
class CASEVAULT_API Identity {
 public:
  /// Makes a new identity file (0600, never overwrites: kUsage) with one passphrase slot.
  /// `name`: 1 to 64 bytes of UTF-8 without control characters. kUsage for an empty passphrase.
  [[nodiscard]] static Result<Identity> create(const std::filesystem::path& file, std::string_view name,
                                               const Passphrase& passphrase, SlotCost cost = {});
  /// kWrongKey for a wrong passphrase, kWaiting for too few shares, kIntegrity for a damaged or altered file,
  /// kNotFound, kUnsafePermissions. kRolledBack for a file older than one that `state_folder` (empty:
  /// default_state_folder()) remembers.
  [[nodiscard]] static Result<Identity> open(const std::filesystem::path& file, const Passphrase& passphrase,
                                             const std::filesystem::path& state_folder = {});
  [[nodiscard]] static Result<Identity> open(const std::filesystem::path& file, const Unlock& unlock,
                                             const std::filesystem::path& state_folder = {});
  [[nodiscard]] static Result<IdentityInfo> inspect(const std::filesystem::path& file);

  Identity(Identity&&) noexcept;
  Identity& operator=(Identity&&) noexcept;
  ~Identity();

  [[nodiscard]] const std::string& name() const noexcept;
  [[nodiscard]] const std::string& public_string() const noexcept;
  [[nodiscard]] const std::vector<Pin>& pins() const noexcept;
  [[nodiscard]] const std::filesystem::path& file() const noexcept;

  /// Changes of the slots rewrite the file at once, whole or not at all. kConflict when another process has changed it
  /// since it was opened. Who has seen the identity's keys, or keeps a copy of the file, is not shut out by a removal.
  [[nodiscard]] std::vector<SlotInfo> slots() const;
  /// Answers the new slot's id. `cost` counts for passphrases only.
  [[nodiscard]] Result<std::string> add_slot(const NewSlot& slot, SlotCost cost = {});
  /// Makes shares, files share-NN-of-NN.txt, that take the place of an older quorum once they are proven. Answers the
  /// id of their slot.
  [[nodiscard]] Result<std::string> split(const QuorumPlan& plan);
  /// kUsage for the last slot that this version can open, kNotFound for no such id.
  [[nodiscard]] Result<void> remove_slot(std::string_view id);

  struct Impl;  ///< library internal
  [[nodiscard]] Impl& impl() noexcept { return *impl_; }
  [[nodiscard]] const Impl& impl() const noexcept { return *impl_; }
  explicit Identity(std::unique_ptr<Impl> impl) noexcept;

 private:
  std::unique_ptr<Impl> impl_;
};

}  // namespace casevault
