// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "crypto/keypair.hpp"

namespace casevault::age {

/// To whom an age file is sealed: an X25519 public key.
class Recipient {
 public:
  explicit Recipient(const crypto::PublicKey& key) : key_(key) {}
  /// "age1...", as age-keygen writes it. kUnsupported for the recipients of plugins and of newer kinds.
  [[nodiscard]] static Result<Recipient> parse(std::string_view text);
  [[nodiscard]] std::string text() const;
  [[nodiscard]] const crypto::PublicKey& key() const noexcept { return key_; }

 private:
  crypto::PublicKey key_;
};

/// Who can open what was sealed to its recipient. The secret lives in the arena; move-only.
class Identity {
 public:
  explicit Identity(SecretBytes secret);  ///< exactly 32 bytes
  [[nodiscard]] static Identity generate(base::Random& random);
  /// "AGE-SECRET-KEY-1...", one line without the end of line.
  [[nodiscard]] static Result<Identity> parse(std::string_view text);
  [[nodiscard]] SecretBytes text() const;
  [[nodiscard]] const Recipient& recipient() const noexcept { return recipient_; }
  [[nodiscard]] crypto::KeyView secret() const { return crypto::key_of(secret_); }

 private:
  SecretBytes secret_;
  Recipient recipient_;
};

/// An identity file as age-keygen writes it: one identity a line; empty lines and lines from '#' on are skipped.
/// kBadInput when there is none or a line is something else; the line is named.
[[nodiscard]] Result<std::vector<Identity>> parse_identities(std::string_view text);

/// Seals by scrypt instead of a key. Nothing else can be sealed to besides it.
struct Passphrase {
  SecretBytes text;
  unsigned log2_n = 18;  ///< cost of sealing, 256 MiB; opening takes that of the file, up to crypto::kMaxScryptLog2N
};

}  // namespace casevault::age
