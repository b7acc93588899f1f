// SPDX-License-Identifier: Apache-2.0
#include "keys/slot.hpp"

#include "age/age.hpp"
#include "base/file.hpp"
#include "base/text.hpp"
#include "crypto/envelope.hpp"
#include "format/cbor.hpp"
#include "format/labels.hpp"
#include "keys/share.hpp"
#include "keys/token.hpp"

#include <algorithm>
#include <functional>

namespace casevault {
namespace {

constexpr std::size_t kMinKeyFile = 32;
constexpr std::size_t kMaxKeyFile = 64 * 1024;
constexpr std::size_t kMaxAgeIdentity = 64 * 1024;

}  // namespace

Result<Passphrase> generate_passphrase(unsigned words) {
  if (words < 6 || words > 64) return Error{ErrorCode::kUsage, "a generated passphrase has 6 to 64 words"};
  constexpr std::string_view kConsonants = "bdklmnst";
  constexpr std::string_view kVowels = "aiou";
  constexpr std::size_t kSyllables = 2;
  constexpr std::size_t kWord = 2 * kSyllables + 1;  // with the space after it
  SecretBytes random(words * kSyllables);
  base::system_environment().random->fill(random.mutable_view());
  SecretBytes text(words * kWord - 1);
  for (std::size_t i = 0; i < random.size(); ++i) {
    const std::uint8_t byte = random.view()[i];
    const std::size_t at = i / kSyllables * kWord + i % kSyllables * 2;
    text.mutable_view()[at] = static_cast<std::uint8_t>(kConsonants[byte & 7U]);
    text.mutable_view()[at + 1] = static_cast<std::uint8_t>(kVowels[byte >> 3U & 3U]);
    if (i % kSyllables == kSyllables - 1 && at + 2 < text.size()) text.mutable_view()[at + 2] = ' ';
  }
  return Passphrase(std::move(text));
}

Result<KeyFile> KeyFile::read(const std::filesystem::path& file) {
  CASEVAULT_TRY(SecretBytes content, base::read_secret_file(file, kMaxKeyFile));
  return KeyFile(std::move(content));
}

Result<KeyFile> KeyFile::create(const std::filesystem::path& file) {
  SecretBytes content = crypto::random_key(*base::system_environment().random);
  CASEVAULT_CHECK(base::write_new_file(file, content.view()));
  return KeyFile(std::move(content));
}

Result<AgeIdentity> AgeIdentity::read(const std::filesystem::path& file) {
  CASEVAULT_TRY(SecretBytes text, base::read_secret_file(file, kMaxAgeIdentity));
  return AgeIdentity(std::move(text));
}

namespace keys {
namespace {

using crypto::key_of;
using format::CborReader;
using format::CborWriter;

/// A key file is not guessed, so its stretching only has to punish a file that was chosen badly.
constexpr crypto::Argon2Cost kKeyFileCost{1, 64 * 1024};

/// What is fixed for each kind.
struct Kind {
  SlotKind kind;
  std::string_view name;
  format::Label label;
  std::size_t parameters;  ///< members of the body before the envelope; 0: the body is the envelope
  std::string_view refused;
};
constexpr std::array kKinds = {
    Kind{SlotKind::kPassphrase, "passphrase", format::kSlotPassphrase, 0, "wrong passphrase (or a slot was altered)"},
    Kind{SlotKind::kKeyFile, "keyfile", format::kSlotKeyFile, 0,
         "no slot opens with this key file (or a slot was altered)"},
    Kind{SlotKind::kAge, "age", format::kSlotAge, 1, "no slot opens with this age identity (or a slot was altered)"},
    Kind{SlotKind::kToken, "pkcs11", format::kSlotToken, kTokenMembers,
         "no slot opens with this token (or a slot was altered)"},
    Kind{SlotKind::kShares, "shares", format::kSlotShares, 2,
         "no slot opens with these shares: their quorum was replaced or removed (or a slot was altered)"},
};

const Kind* kind_of(std::uint64_t number) {
  const auto found =
      std::ranges::find(kKinds, number, [](const Kind& k) { return static_cast<std::uint64_t>(k.kind); });
  return found == kKinds.end() ? nullptr : &*found;
}
const Kind& kind_of(SlotKind kind) { return *kind_of(static_cast<std::uint64_t>(kind)); }

struct Body {
  ByteView parameters;  ///< CBOR, one after the other
  ByteView envelope;
};

std::optional<Body> take_apart(const Kind& kind, ByteView body) {
  if (kind.parameters == 0) return Body{{}, body};
  CborReader reader(body);
  if (reader.array() != kind.parameters + 1) return std::nullopt;
  const ByteView members = reader.rest();
  for (std::size_t i = 0; i < kind.parameters; ++i) reader.skip();
  const ByteView parameters = members.first(members.size() - reader.rest().size());
  const ByteView envelope = reader.bytes();
  if (!reader.finish()) return std::nullopt;
  return Body{parameters, envelope};
}

/// What a slot's envelope is bound to: the principal it opens and the slot's own parameters.
Bytes slot_context(const Principal& who, const Slot& slot, ByteView parameters) {
  Bytes out = public_part(who);
  CborWriter(out)
      .array(5)
      .uint(slot.kind)
      .bytes(slot.id)
      .uint(slot.cost.passes)
      .uint(slot.cost.memory_kib)
      .bytes(slot.salt);
  out.insert(out.end(), parameters.begin(), parameters.end());
  return out;
}

/// How an unlock comes from a slot of its kind to the key of the slot's envelope; kWrongKey: try the next slot.
using SlotKey = std::function<Result<SecretBytes>(const Slot& slot, ByteView parameters)>;

Result<SecretBytes> try_slots(std::span<const Slot> slots, SlotKind which, const Principal& who, const SlotKey& key) {
  const Kind& kind = kind_of(which);
  std::string others;
  bool any = false;
  for (const Slot& slot : slots) {
    if (kind_of(slot.kind) != &kind) {
      others += (others.empty() ? "" : ", ") + describe(slot).kind;
      continue;
    }
    any = true;
    const auto body = take_apart(kind, slot.body);
    if (!body) return Error{ErrorCode::kIntegrity, "a slot is damaged"};
    const auto slot_key = key(slot, body->parameters);
    if (!slot_key && slot_key.error().code == ErrorCode::kWrongKey) continue;
    if (!slot_key) return slot_key.error();
    auto opened =
        crypto::open_envelope(kind.label, key_of(*slot_key), slot_context(who, slot, body->parameters), body->envelope);
    if (!opened && opened.error().code == ErrorCode::kWrongKey) continue;
    if (!opened || opened->size() != 32) return Error{ErrorCode::kIntegrity, "a slot is damaged"};
    return opened;
  }
  if (any) return Error{ErrorCode::kWrongKey, std::string(kind.refused)};
  return Error{ErrorCode::kWrongKey, "it has no slot of the kind " + std::string(kind.name) + ", but: " + others};
}

Result<void> check(const Passphrase& passphrase) {
  if (passphrase.secret().empty()) return Error{ErrorCode::kUsage, "the passphrase is empty"};
  if (!base::valid_utf8(passphrase.secret().text()))
    return Error{ErrorCode::kUsage, "the passphrase is not valid UTF-8"};
  return {};
}

Result<void> check(const KeyFile& file) {
  if (file.secret().size() >= kMinKeyFile && file.secret().size() <= kMaxKeyFile) return {};
  return Error{ErrorCode::kBadInput, "a key file has 32 bytes to 64 KiB"};
}

/// Passphrase or key file: the slot's key is its content, stretched.
Result<SecretBytes> stretch(const SecretBytes& secret, const Slot& slot) {
  return crypto::argon2id(secret.view(), slot.salt, slot.cost);
}

/// What the parameters of a slot of shares say; its id is that of the set.
std::optional<ShareTerms> terms_of(const Slot& slot, ByteView parameters) {
  CborReader reader(parameters);
  const std::uint64_t threshold = reader.uint();
  const std::uint64_t total = reader.uint();
  if (!reader.finish() || threshold > total || total > kMaxShareFiles) return std::nullopt;
  return ShareTerms{slot.id, static_cast<unsigned>(threshold), static_cast<unsigned>(total)};
}

Result<void> check_pin(const Passphrase& pin) {
  if (pin.secret().empty()) return Error{ErrorCode::kUsage, "the PIN is empty"};
  return {};
}

struct Opener {
  std::span<const Slot> slots;
  const Principal& who;

  Result<SecretBytes> operator()(const Passphrase& with) const {
    CASEVAULT_CHECK(check(with));
    return try_slots(slots, SlotKind::kPassphrase, who,
                     [&](const Slot& slot, ByteView) { return stretch(with.secret(), slot); });
  }
  Result<SecretBytes> operator()(const KeyFile& with) const {
    CASEVAULT_CHECK(check(with));
    return try_slots(slots, SlotKind::kKeyFile, who,
                     [&](const Slot& slot, ByteView) { return stretch(with.secret(), slot); });
  }
  Result<SecretBytes> operator()(const AgeIdentity& with) const {
    const auto identities = age::parse_identities(with.secret().text());
    if (!identities) return Error{identities.error().code, "age identity: " + identities.error().message};
    return try_slots(slots, SlotKind::kAge, who, [&](const Slot&, ByteView parameters) -> Result<SecretBytes> {
      CborReader reader(parameters);
      const ByteView file = reader.bytes();
      auto key = age::decrypt(file, std::span(*identities));
      if (!key && key.error().code == ErrorCode::kWrongKey) return key;
      if (!reader.finish() || !key || key->size() != 32) return Error{ErrorCode::kIntegrity, "a slot is damaged"};
      return key;
    });
  }
  Result<SecretBytes> operator()(const Token& with) const {
    CASEVAULT_CHECK(check_pin(with.pin));
    CASEVAULT_TRY(const auto device, TokenDevice::load(with.module));
    const Error not_this{ErrorCode::kWrongKey, {}};
    std::optional<Error> trouble;
    bool tried = false;  // one login, at one token: a PIN that is wrong here is not spent there
    bool ready = false;
    auto opened = try_slots(slots, SlotKind::kToken, who, [&](const Slot&, ByteView parameters) -> Result<SecretBytes> {
      const auto slot = decode_token_slot(parameters);
      if (!slot) return Error{ErrorCode::kIntegrity, "a slot is damaged"};
      if (!with.label.empty() && with.label != slot->label) return not_this;
      if (!tried) {
        auto done = device->select(slot->label, slot->serial);
        tried = done.has_value();
        if (done) done = device->login(with.pin);
        ready = done.has_value();
        if (!done) trouble = done.error();
      }
      if (!ready || !device->logged_in_at(*slot)) return not_this;
      auto key = device->unseal(*slot);
      if (key) return key;
      trouble = key.error();
      return not_this;
    });
    if (!opened && opened.error().code == ErrorCode::kWrongKey && trouble) return *trouble;
    return opened;
  }
  Result<SecretBytes> operator()(const Shares& with) const {
    CASEVAULT_TRY(const CombinedShares combined, combine_shares(with, who.ed_public));
    return try_slots(slots, SlotKind::kShares, who, [&](const Slot& slot, ByteView parameters) -> Result<SecretBytes> {
      if (terms_of(slot, parameters) != combined.terms) return Error{ErrorCode::kWrongKey, {}};
      return combined.secret.clone();
    });
  }
};

class Sealer {
 public:
  Sealer(SlotCost cost, const Principal& who, const SecretBytes& identity_key, base::Random& random)
      : cost_(cost), who_(who), identity_key_(identity_key), random_(random) {}

  Result<Slot> operator()(const Passphrase& with) const {
    CASEVAULT_CHECK(check(with));
    if (cost_.memory_mib < 64 || cost_.memory_mib > 1024 || cost_.passes < 1 || cost_.passes > 8) {
      return Error{ErrorCode::kUsage, "passphrase cost must be 1 to 8 passes and 64 to 1024 MiB"};
    }
    Slot slot = fresh(SlotKind::kPassphrase);
    slot.cost = {cost_.passes, cost_.memory_mib * 1024};
    CASEVAULT_TRY(const SecretBytes key, stretch(with.secret(), slot));
    return sealed(std::move(slot), {}, key);
  }
  Result<Slot> operator()(const KeyFile& with) const {
    CASEVAULT_CHECK(check(with));
    Slot slot = fresh(SlotKind::kKeyFile);
    slot.cost = kKeyFileCost;
    CASEVAULT_TRY(const SecretBytes key, stretch(with.secret(), slot));
    return sealed(std::move(slot), {}, key);
  }
  Result<Slot> operator()(const AgeRecipient& with) const {
    CASEVAULT_TRY(const age::Recipient recipient, age::Recipient::parse(with.text));
    const SecretBytes key = crypto::random_key(random_);
    CASEVAULT_TRY(const Bytes file, age::encrypt(key.view(), std::span(&recipient, 1), random_));
    Bytes parameters;
    CborWriter(parameters).bytes(file);
    return sealed(fresh(SlotKind::kAge), parameters, key);
  }
  Result<Slot> operator()(const TokenKey& with) const {
    CASEVAULT_CHECK(check_pin(with.pin));
    CASEVAULT_TRY(const auto device, TokenDevice::load(with.module));
    CASEVAULT_CHECK(device->select(with.token, {}));
    CASEVAULT_CHECK(device->login(with.pin));
    CASEVAULT_TRY(const TokenDevice::Sealed made, device->seal(with.key, random_));
    return sealed(fresh(SlotKind::kToken), encode_token_slot(made.slot), made.key);
  }
  [[nodiscard]] Quorum quorum(unsigned threshold, unsigned total, crypto::KeyView ed_seed) const {
    Slot slot = fresh(SlotKind::kShares);
    const SecretBytes key = crypto::random_key(random_);
    std::vector<SecretBytes> lines = make_shares({slot.id, threshold, total}, key_of(key), ed_seed, random_);
    Bytes parameters;
    CborWriter(parameters).uint(threshold).uint(total);
    return {sealed(std::move(slot), parameters, key), std::move(lines)};
  }

 private:
  [[nodiscard]] Slot fresh(SlotKind kind) const {
    Slot slot;
    slot.kind = static_cast<std::uint64_t>(kind);
    random_.fill(slot.id);
    random_.fill(slot.salt);
    return slot;
  }
  [[nodiscard]] Slot sealed(Slot slot, ByteView parameters, const SecretBytes& key) const {
    const Kind& kind = *kind_of(slot.kind);
    Bytes envelope = crypto::seal_envelope(kind.label, key_of(key), slot_context(who_, slot, parameters),
                                           identity_key_.view(), random_);
    if (kind.parameters == 0) {
      slot.body = std::move(envelope);
      return slot;
    }
    CborWriter(slot.body).array(kind.parameters + 1);
    slot.body.insert(slot.body.end(), parameters.begin(), parameters.end());
    CborWriter(slot.body).bytes(envelope);
    return slot;
  }

  SlotCost cost_;
  const Principal& who_;
  const SecretBytes& identity_key_;
  base::Random& random_;
};

}  // namespace

Bytes encode_slots(std::span<const Slot> slots) {
  Bytes out;
  CborWriter writer(out);
  writer.array(slots.size());
  for (const Slot& slot : slots) {
    writer.array(6).uint(slot.kind).bytes(slot.id).uint(slot.cost.passes).uint(slot.cost.memory_kib);
    writer.bytes(slot.salt).bytes(slot.body);
  }
  return out;
}

std::optional<std::vector<Slot>> decode_slots(ByteView table) {
  CborReader reader(table);
  const std::size_t count = reader.array();
  if (count == 0 || count > kMaxSlots) return std::nullopt;
  std::vector<Slot> slots;
  for (std::size_t i = 0; i < count; ++i) {
    if (reader.array() != 6) reader.fail();
    Slot slot;
    slot.kind = reader.uint();
    slot.id = reader.fixed<8>();
    const std::uint64_t passes = reader.uint();
    const std::uint64_t memory = reader.uint();
    slot.salt = reader.fixed<16>();
    const ByteView body = reader.bytes();
    slot.body.assign(body.begin(), body.end());
    if (!reader.ok() || passes > UINT32_MAX || memory > UINT32_MAX) return std::nullopt;
    slot.cost = {static_cast<std::uint32_t>(passes), static_cast<std::uint32_t>(memory)};
    slots.push_back(std::move(slot));
  }
  if (!reader.finish()) return std::nullopt;
  return slots;
}

SlotInfo describe(const Slot& slot) {
  const Kind* kind = kind_of(slot.kind);
  SlotInfo info{base::to_hex(slot.id), std::string(kind == nullptr ? "unknown" : kind->name), {}};
  const auto body = kind == nullptr ? std::nullopt : take_apart(*kind, slot.body);
  if (!body) return info;
  if (kind->kind == SlotKind::kToken) {
    if (const auto token = decode_token_slot(body->parameters)) info.detail = token->label + "/" + token->key_label;
  }
  if (kind->kind == SlotKind::kShares) {
    if (const auto terms = terms_of(slot, body->parameters))
      info.detail = std::to_string(terms->threshold) + " of " + std::to_string(terms->total);
  }
  return info;
}

bool known_kind(const Slot& slot) { return kind_of(slot.kind) != nullptr; }

bool is_quorum(const Slot& slot) { return slot.kind == static_cast<std::uint64_t>(SlotKind::kShares); }

Result<Slot> seal_slot(const NewSlot& with, SlotCost cost, const Principal& who, const SecretBytes& identity_key,
                       base::Random& random) {
  return std::visit(Sealer(cost, who, identity_key, random), with);
}

Result<Quorum> seal_quorum(unsigned threshold, unsigned total, const Principal& who, crypto::KeyView ed_seed,
                           const SecretBytes& identity_key, base::Random& random) {
  if (threshold < 2 || threshold > total || total > kMaxShareFiles) {
    return Error{ErrorCode::kUsage, "a quorum is K of N shares, K at least 2 and N at most 32"};
  }
  return Sealer({}, who, identity_key, random).quorum(threshold, total, ed_seed);
}

Result<SecretBytes> open_slots(std::span<const Slot> slots, const Unlock& unlock, const Principal& who) {
  return std::visit(Opener{slots, who}, unlock);
}

}  // namespace keys
}  // namespace casevault
