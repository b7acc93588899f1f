// SPDX-License-Identifier: Apache-2.0
#include "keys/identity.hpp"

#include "base/file.hpp"
#include "base/text.hpp"
#include "crypto/envelope.hpp"
#include "crypto/hash.hpp"
#include "format/cbor.hpp"
#include "format/labels.hpp"

#include <algorithm>

namespace casevault {
namespace {

using crypto::key_of;
using format::CborReader;
using format::CborWriter;

constexpr std::string_view kFirstLine = "casevault-identity 1\n";
constexpr std::string_view kPublicPrefix = "cvp1:";
constexpr std::size_t kMaxFile = 256 * 1024;
constexpr std::uint64_t kPassphraseSlot = 1;
constexpr std::size_t kMaxSlots = 32;

struct Slot {
  std::uint64_t kind = 0;
  std::array<std::uint8_t, 8> id{};
  crypto::Argon2Cost cost;
  std::array<std::uint8_t, 16> salt{};
  Bytes envelope;
};

/// The file as anyone can read it.
struct FileView {
  keys::Principal principal;
  std::string public_string;
  std::vector<Slot> slots;
  Bytes slot_table;
  Bytes body;
};

Bytes public_part(const keys::Principal& principal) {
  Bytes out;
  CborWriter(out).array(3).text(principal.name).bytes(principal.x_public).bytes(principal.ed_public);
  return out;
}

/// What a slot's envelope is bound to: the principal it opens and the slot's own parameters.
Bytes slot_context(const keys::Principal& principal, const Slot& slot) {
  Bytes out = public_part(principal);
  CborWriter(out)
      .array(5)
      .uint(slot.kind)
      .bytes(slot.id)
      .uint(slot.cost.passes)
      .uint(slot.cost.memory_kib)
      .bytes(slot.salt);
  return out;
}

/// What the body is bound to: the principal and the slot table as a set, so that no slot can be added or dropped in the
/// file.
Bytes body_context(const keys::Principal& principal, ByteView slot_table) {
  Bytes out = public_part(principal);
  const crypto::Hash hash = crypto::sha256({slot_table});
  out.insert(out.end(), hash.begin(), hash.end());
  return out;
}

Bytes encode_slots(const std::vector<Slot>& slots) {
  Bytes out;
  CborWriter writer(out);
  writer.array(slots.size());
  for (const Slot& slot : slots) {
    writer.array(6).uint(slot.kind).bytes(slot.id).uint(slot.cost.passes).uint(slot.cost.memory_kib);
    writer.bytes(slot.salt).bytes(slot.envelope);
  }
  return out;
}

Error damaged(const std::filesystem::path& file) {
  return {ErrorCode::kIntegrity, "identity " + file.string() + ": damaged or altered; restore the file from your copy"};
}

Result<std::vector<Slot>> decode_slots(ByteView table, const std::filesystem::path& file) {
  CborReader reader(table);
  const std::size_t count = reader.array();
  if (count == 0 || count > kMaxSlots) return damaged(file);
  std::vector<Slot> slots;
  for (std::size_t i = 0; i < count; ++i) {
    if (reader.array() != 6) reader.fail();
    Slot slot;
    slot.kind = reader.uint();
    slot.id = reader.fixed<8>();
    const std::uint64_t passes = reader.uint();
    const std::uint64_t memory = reader.uint();
    slot.salt = reader.fixed<16>();
    const ByteView envelope = reader.bytes();
    slot.envelope.assign(envelope.begin(), envelope.end());
    if (!reader.ok() || passes > UINT32_MAX || memory > UINT32_MAX) return damaged(file);
    slot.cost = {static_cast<std::uint32_t>(passes), static_cast<std::uint32_t>(memory)};
    slots.push_back(std::move(slot));
  }
  if (!reader.finish()) return damaged(file);
  return slots;
}

Result<FileView> read_file_view(const std::filesystem::path& file, bool private_only) {
  CASEVAULT_TRY(const Bytes raw, base::read_file(file, kMaxFile, private_only));
  const std::string_view text = as_text(raw);
  if (!text.starts_with(kFirstLine)) {
    return Error{ErrorCode::kBadInput, "identity " + file.string() + ": not an identity file of this version"};
  }
  std::string packed;
  for (const char c : text.substr(kFirstLine.size())) {
    if (c != '\n') packed.push_back(c);
  }
  const std::optional<Bytes> body = base::from_base64(packed);
  if (!body) return damaged(file);
  CborReader reader(*body);
  if (reader.array() != 3) return damaged(file);
  FileView view;
  view.public_string = std::string(reader.text());
  const ByteView table = reader.bytes();
  view.slot_table.assign(table.begin(), table.end());
  const ByteView sealed = reader.bytes();
  view.body.assign(sealed.begin(), sealed.end());
  if (!reader.finish()) return damaged(file);
  auto principal = keys::parse_principal(view.public_string);
  if (!principal) return damaged(file);
  view.principal = *std::move(principal);
  CASEVAULT_TRY(view.slots, decode_slots(view.slot_table, file));
  return view;
}

Bytes render_file(const Identity::Impl& impl, base::Random& random) {
  const keys::Principal principal{impl.name, impl.x_public, impl.ed_public};
  // Lay the secrets out once in locked memory: two keys, then the pins.
  Bytes pins;
  CborWriter pin_writer(pins);
  pin_writer.array(impl.pins.size());
  for (const Pin& pin : impl.pins) pin_writer.array(2).bytes(pin.vault_id).text(pin.log_key);
  SecretBytes body(64 + pins.size());
  std::ranges::copy(impl.x_secret.view(), body.mutable_view().begin());
  std::ranges::copy(impl.ed_seed.view(), body.mutable_view().begin() + 32);
  std::ranges::copy(pins, body.mutable_view().begin() + 64);
  const Bytes sealed = crypto::seal_envelope(format::kIdentityBody, key_of(impl.identity_key),
                                             body_context(principal, impl.slots), body.view(), random);
  Bytes packed;
  CborWriter(packed).array(3).text(impl.public_string).bytes(impl.slots).bytes(sealed);
  const std::string base64 = base::to_base64(packed);
  std::string out(kFirstLine);
  for (std::size_t i = 0; i < base64.size(); i += 76) out.append(base64, i, 76).push_back('\n');
  return {out.begin(), out.end()};
}

Result<void> check_passphrase(const Passphrase& passphrase) {
  if (passphrase.secret().empty()) return Error{ErrorCode::kUsage, "the passphrase is empty"};
  if (!base::valid_utf8(passphrase.secret().text()))
    return Error{ErrorCode::kUsage, "the passphrase is not valid UTF-8"};
  return {};
}

}  // namespace

namespace keys {

Result<void> check_name(std::string_view name) {
  const bool control =
      std::ranges::any_of(name, [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7F; });
  if (name.empty() || name.size() > 64 || control || !base::valid_utf8(name)) {
    return Error{ErrorCode::kBadInput, "a name must be 1 to 64 bytes of UTF-8 without control characters"};
  }
  return {};
}

std::string principal_string(const Principal& principal, crypto::KeyView ed_seed) {
  const Bytes signed_part = public_part(principal);
  const crypto::Signature signature = crypto::sign(format::kPrincipalFile, ed_seed, signed_part);
  Bytes out;
  CborWriter(out).array(4).text(principal.name).bytes(principal.x_public).bytes(principal.ed_public).bytes(signature);
  return std::string(kPublicPrefix) + base::to_base64(out);
}

Result<Principal> parse_principal(std::string_view text) {
  const Error bad{ErrorCode::kBadInput, "not a principal's public string (cvp1:...), or altered; ask for it again"};
  while (!text.empty() && (text.back() == '\n' || text.back() == '\r' || text.back() == ' ')) text.remove_suffix(1);
  if (!text.starts_with(kPublicPrefix) || text.size() > 1024) return bad;
  const std::optional<Bytes> raw = base::from_base64(text.substr(kPublicPrefix.size()));
  if (!raw) return bad;
  CborReader reader(*raw);
  if (reader.array() != 4) return bad;
  Principal principal;
  principal.name = std::string(reader.text());
  principal.x_public = reader.fixed<32>();
  principal.ed_public = reader.fixed<32>();
  const ByteView signature = reader.bytes();
  if (!reader.finish() || !check_name(principal.name)) return bad;
  if (!crypto::verify(format::kPrincipalFile, principal.ed_public, public_part(principal), signature)) return bad;
  return principal;
}

Result<Identity> make_identity(const std::filesystem::path& file, std::string_view name, const Passphrase& passphrase,
                               SlotCost cost, const base::Environment& environment) {
  CASEVAULT_CHECK(check_name(name));
  CASEVAULT_CHECK(check_passphrase(passphrase));
  if (cost.memory_mib < 64 || cost.memory_mib > 1024 || cost.passes < 1 || cost.passes > 8) {
    return Error{ErrorCode::kUsage, "passphrase cost must be 1 to 8 passes and 64 to 1024 MiB"};
  }
  base::Random& random = *environment.random;
  auto impl = std::make_unique<Identity::Impl>();
  impl->file = file;
  impl->name = std::string(name);
  impl->x_secret = crypto::random_key(random);
  impl->ed_seed = crypto::random_key(random);
  impl->x_public = crypto::x25519_public(key_of(impl->x_secret));
  impl->ed_public = crypto::ed25519_public(key_of(impl->ed_seed));
  impl->identity_key = crypto::random_key(random);
  const Principal principal{impl->name, impl->x_public, impl->ed_public};
  impl->public_string = principal_string(principal, key_of(impl->ed_seed));

  Slot slot;
  slot.kind = kPassphraseSlot;
  slot.cost = {cost.passes, cost.memory_mib * 1024};
  random.fill(slot.id);
  random.fill(slot.salt);
  CASEVAULT_TRY(const SecretBytes stretched, crypto::argon2id(passphrase.secret().view(), slot.salt, slot.cost));
  slot.envelope = crypto::seal_envelope(format::kSlotPassphrase, key_of(stretched), slot_context(principal, slot),
                                        impl->identity_key.view(), random);
  impl->slots = encode_slots({slot});
  return Identity(std::move(impl));
}

Result<void> write_identity(const Identity& identity, base::Random& random) {
  return base::write_new_file(identity.file(), render_file(identity.impl(), random));
}

Result<void> add_pin(Identity& identity, const Pin& pin, base::Random& random) {
  std::vector<Pin>& pins = identity.impl().pins;
  const auto known = std::ranges::find(pins, pin.vault_id, &Pin::vault_id);
  const std::vector<Pin> before = pins;
  if (known != pins.end()) {
    if (known->log_key == pin.log_key) return {};
    return Error{ErrorCode::kUntrusted,
                 "identity " + identity.name() + " has pinned this vault with another log key already"};
  }
  pins.push_back(pin);
  auto written = base::replace_file(identity.file(), render_file(identity.impl(), random));
  if (!written) pins = before;
  return written;
}

}  // namespace keys

Result<Identity> Identity::create(const std::filesystem::path& file, std::string_view name,
                                  const Passphrase& passphrase, SlotCost cost) {
  const base::Environment& environment = base::system_environment();
  CASEVAULT_TRY(Identity identity, keys::make_identity(file, name, passphrase, cost, environment));
  CASEVAULT_CHECK(keys::write_identity(identity, *environment.random));
  return identity;
}

Result<Identity> Identity::open(const std::filesystem::path& file, const Passphrase& passphrase) {
  CASEVAULT_TRY(FileView view, read_file_view(file, true));
  CASEVAULT_CHECK(check_passphrase(passphrase));
  auto impl = std::make_unique<Impl>();
  for (const Slot& slot : view.slots) {
    if (slot.kind != kPassphraseSlot) continue;
    CASEVAULT_TRY(const SecretBytes stretched, crypto::argon2id(passphrase.secret().view(), slot.salt, slot.cost));
    auto opened = crypto::open_envelope(format::kSlotPassphrase, key_of(stretched), slot_context(view.principal, slot),
                                        slot.envelope);
    if (!opened && opened.error().code == ErrorCode::kWrongKey) continue;
    if (!opened || opened->size() != 32) return damaged(file);
    impl->identity_key = *std::move(opened);
    break;
  }
  if (impl->identity_key.empty()) {
    return Error{ErrorCode::kWrongKey, "identity " + file.string() + ": wrong passphrase (or a slot was altered)"};
  }
  // The slot proved the key, so a body that does not open under it was altered, or its slot table was.
  auto body = crypto::open_envelope(format::kIdentityBody, key_of(impl->identity_key),
                                    body_context(view.principal, view.slot_table), view.body);
  if (!body || body->size() < 65) return damaged(file);
  impl->file = file;
  impl->name = view.principal.name;
  impl->public_string = view.public_string;
  impl->slots = view.slot_table;
  impl->x_secret = SecretBytes::copy(body->view().first(32));
  impl->ed_seed = SecretBytes::copy(body->view().subspan(32, 32));
  impl->x_public = crypto::x25519_public(key_of(impl->x_secret));
  impl->ed_public = crypto::ed25519_public(key_of(impl->ed_seed));
  if (impl->x_public != view.principal.x_public || impl->ed_public != view.principal.ed_public) return damaged(file);
  CborReader pins(body->view().subspan(64));
  const std::size_t count = pins.array();
  for (std::size_t i = 0; i < count; ++i) {
    if (pins.array() != 2) pins.fail();
    Pin pin;
    pin.vault_id = pins.fixed<32>();
    pin.log_key = std::string(pins.text());
    if (!pins.ok()) return damaged(file);
    impl->pins.push_back(std::move(pin));
  }
  if (!pins.finish()) return damaged(file);
  return Identity(std::move(impl));
}

Result<IdentityInfo> Identity::inspect(const std::filesystem::path& file) {
  CASEVAULT_TRY(const FileView view, read_file_view(file, false));
  IdentityInfo info{view.principal.name, view.public_string, {}};
  for (const Slot& slot : view.slots) info.slots.emplace_back(slot.kind == kPassphraseSlot ? "passphrase" : "unknown");
  return info;
}

Identity::Identity(std::unique_ptr<Impl> impl) noexcept : impl_(std::move(impl)) {}
Identity::Identity(Identity&&) noexcept = default;
Identity& Identity::operator=(Identity&&) noexcept = default;
Identity::~Identity() = default;
const std::string& Identity::name() const noexcept { return impl_->name; }
const std::string& Identity::public_string() const noexcept { return impl_->public_string; }
const std::vector<Pin>& Identity::pins() const noexcept { return impl_->pins; }
const std::filesystem::path& Identity::file() const noexcept { return impl_->file; }

}  // namespace casevault
