// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <casevault/unlock.hpp>

#include "base/environment.hpp"

#include <memory>
#include <optional>

/// Slots that a PKCS#11 token opens. The module is loaded at run time and called directly.
namespace casevault::keys {

/// Persisted. DO NOT CHANGE THESE VALUES.
enum class TokenMechanism : std::uint8_t { kAesKeyWrapPad = 1, kAesGcm = 2, kEcdhP256 = 3 };

/// What a slot says about its token (FORMAT.md section 6): all that is needed to find the key again, never the PIN.
struct TokenSlot {
  TokenMechanism mechanism{};
  std::string serial;
  std::string label;
  Bytes key_id;  ///< CKA_ID; empty: the key is found by its label
  std::string key_label;
  Bytes public_data;  ///< nonce, or the ephemeral point and that of the token
  Bytes wrapped;
};
inline constexpr std::size_t kTokenMembers = 7;
[[nodiscard]] Bytes encode_token_slot(const TokenSlot& slot);  ///< the members, one after the other
[[nodiscard]] std::optional<TokenSlot> decode_token_slot(ByteView members);

/// One use of a module: at most one login, never a second try. Only one exists at a time; others wait.
class TokenDevice {
 public:
  [[nodiscard]] static Result<std::unique_ptr<TokenDevice>> load(const std::filesystem::path& module);
  ~TokenDevice();
  TokenDevice(const TokenDevice&) = delete;
  TokenDevice& operator=(const TokenDevice&) = delete;

  /// Chooses a token; an empty serial fits any. kNotFound, or kUsage when several fit.
  [[nodiscard]] Result<void> select(std::string_view label, std::string_view serial);
  /// Not tried at all when the token says that it is locked or would be after one more wrong PIN.
  [[nodiscard]] Result<void> login(const Passphrase& pin);
  [[nodiscard]] bool logged_in_at(const TokenSlot& slot) const;
  /// A new slot key, kept by the token's key of this label in the first way that is seen to work both ways.
  struct Sealed {
    TokenSlot slot;
    SecretBytes key;
  };
  [[nodiscard]] Result<Sealed> seal(std::string_view key_label, base::Random& random);
  [[nodiscard]] Result<SecretBytes> unseal(const TokenSlot& slot);

 private:
  struct State;
  explicit TokenDevice(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace casevault::keys
