// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>

#include "age/input.hpp"
#include "age/recipient.hpp"

/// age v1 (https://age-encryption.org/v1): files that the `age` program opens, and the other way round. Recipients are
/// X25519 keys or one passphrase; stanzas of other kinds are passed over. Anyone who has a recipient's public key can
/// write to it, so what comes out of a file was not changed on its way, but says nothing about who wrote it.
namespace casevault::age {

enum class Armor : bool { kNo, kYes };  ///< kYes: text that survives mail and chat. Reading finds out by itself.

inline constexpr std::size_t kMaxRecipients = 1024;

/// What an age file may be opened with. Refers to what it was made of.
struct Keys {
  Keys(const Identity& one) : identities(&one, 1) {}     // NOLINT(google-explicit-constructor)
  Keys(const Passphrase& one) : passphrases(&one, 1) {}  // NOLINT(google-explicit-constructor)
  Keys(std::span<const Identity> i, std::span<const Passphrase> p = {}) : identities(i), passphrases(p) {}  // NOLINT
  std::span<const Identity> identities;
  std::span<const Passphrase> passphrases;
};

/// Writes one age file into a sink, in constant memory. Without finish() the file counts as truncated for every reader.
/// After a failure of the sink every later call gives that failure. Not for several threads at once.
class Encryptor {
 public:
  /// kUsage for no recipients or more than kMaxRecipients, or an empty passphrase.
  [[nodiscard]] static Result<Encryptor> start(std::span<const Recipient> recipients, base::Random& random, Sink sink,
                                               Armor armor = Armor::kNo);
  [[nodiscard]] static Result<Encryptor> start(const Passphrase& passphrase, base::Random& random, Sink sink,
                                               Armor armor = Armor::kNo);
  Encryptor(Encryptor&&) noexcept;
  Encryptor& operator=(Encryptor&&) noexcept;
  ~Encryptor();
  [[nodiscard]] Result<void> write(ByteView plaintext);
  [[nodiscard]] Result<void> finish();  ///< once; kUsage for any call after it

 private:
  struct State;
  explicit Encryptor(std::unique_ptr<State> state);
  [[nodiscard]] static Result<Encryptor> start(const SecretBytes& file_key, std::string header, base::Random& random,
                                               Sink sink, Armor armor);
  std::unique_ptr<State> state_;
};

/// Reads one age file, armored or not, in constant memory. Not for several threads at once.
/// kBadInput: header or armor is malformed. kUnsupported: another version of age, or scrypt that costs too much.
/// kWrongKey: no key given is a recipient. kIntegrity: header or payload was changed, damaged or cut off.
class Decryptor {
 public:
  /// Reads and authenticates the header.
  [[nodiscard]] static Result<Decryptor> open(Source source, const Keys& keys);
  Decryptor(Decryptor&&) noexcept;
  Decryptor& operator=(Decryptor&&) noexcept;
  ~Decryptor();
  /// The next plaintext, 1 byte to 64 KiB, authentic at its place; valid until the next call. Empty once the whole file
  /// was seen to be there, and nothing after it: only then is the plaintext complete. A failure is given again for
  /// ever.
  [[nodiscard]] Result<ByteView> next();

 private:
  struct State;
  explicit Decryptor(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

/// Both at once, for what fits into memory. decrypt gives the whole plaintext or none.
[[nodiscard]] Result<Bytes> encrypt(ByteView plaintext, std::span<const Recipient> recipients, base::Random& random,
                                    Armor armor = Armor::kNo);
[[nodiscard]] Result<Bytes> encrypt(ByteView plaintext, const Passphrase& passphrase, base::Random& random,
                                    Armor armor = Armor::kNo);
[[nodiscard]] Result<SecretBytes> decrypt(ByteView file, const Keys& keys);

}  // namespace casevault::age
