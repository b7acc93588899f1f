// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "crypto/hash.hpp"
#include "keys/identity.hpp"

#include <optional>

/// The ways to open an identity: each slot holds the identity key in a committing envelope (FORMAT.md section 6).
namespace casevault::keys {

/// Persisted. DO NOT CHANGE THESE VALUES.
enum class SlotKind : std::uint8_t { kPassphrase = 1, kKeyFile = 2, kAge = 3, kToken = 4, kShares = 5 };

inline constexpr std::size_t kMaxSlots = 32;

struct Slot {
  std::uint64_t kind = 0;  ///< a SlotKind, or one of a later version
  std::array<std::uint8_t, 8> id{};
  crypto::Argon2Cost cost{0, 0};
  std::array<std::uint8_t, 16> salt{};
  Bytes body;  ///< the envelope, or the parameters of the kind with the envelope
};

[[nodiscard]] Bytes encode_slots(std::span<const Slot> slots);
/// nullopt unless it is a table of 1 to 32 slots; slots of unknown kinds are kept as they are.
[[nodiscard]] std::optional<std::vector<Slot>> decode_slots(ByteView table);
[[nodiscard]] SlotInfo describe(const Slot& slot);
[[nodiscard]] bool known_kind(const Slot& slot);
[[nodiscard]] bool is_quorum(const Slot& slot);

/// A new slot around the identity key.
[[nodiscard]] Result<Slot> seal_slot(const NewSlot& with, SlotCost cost, const Principal& who,
                                     const SecretBytes& identity_key, base::Random& random);
/// A new slot that `threshold` of `total` shares open, and their lines. kUsage for numbers out of range.
struct Quorum {
  Slot slot;
  std::vector<SecretBytes> lines;
};
[[nodiscard]] Result<Quorum> seal_quorum(unsigned threshold, unsigned total, const Principal& who,
                                         crypto::KeyView ed_seed, const SecretBytes& identity_key,
                                         base::Random& random);
/// The identity key, from the first slot that opens. kWrongKey when none does, kIntegrity for a slot that its own key
/// shows to be altered.
[[nodiscard]] Result<SecretBytes> open_slots(std::span<const Slot> slots, const Unlock& unlock, const Principal& who);

}  // namespace casevault::keys
