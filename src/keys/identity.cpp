// SPDX-License-Identifier: Apache-2.0
#include "keys/identity.hpp"

#include "base/file.hpp"
#include "base/text.hpp"
#include "crypto/envelope.hpp"
#include "crypto/hash.hpp"
#include "format/cbor.hpp"
#include "format/labels.hpp"
#include "keys/slot.hpp"
#include "keys/slot_memory.hpp"

#include <fcntl.h>
#include <sys/file.h>

#include <algorithm>
#include <cerrno>
#include <utility>

namespace casevault {
namespace {

using crypto::key_of;
using format::CborReader;
using format::CborWriter;

constexpr std::string_view kFirstLine = "casevault-identity 1\n";
constexpr std::string_view kPublicPrefix = "cvp1:";
constexpr std::size_t kMaxFile = 256 * 1024;

/// The file as anyone can read it.
struct FileView {
  keys::Principal principal;
  std::string public_string;
  std::vector<keys::Slot> slots;
  Bytes slot_table;
  Bytes body;
  crypto::Hash hash{};
};

/// What the body is bound to: the principal and the slot table as a set, so that no slot can be added or dropped in the
/// file.
Bytes body_context(const keys::Principal& principal, ByteView slot_table) {
  Bytes out = keys::public_part(principal);
  const crypto::Hash hash = crypto::sha256({slot_table});
  out.insert(out.end(), hash.begin(), hash.end());
  return out;
}

Error damaged(const std::filesystem::path& file) {
  return {ErrorCode::kIntegrity, "identity " + file.string() + ": damaged or altered; restore the file from your copy"};
}

Result<FileView> read_file_view(const std::filesystem::path& file, bool private_only) {
  CASEVAULT_TRY(const Bytes raw, base::read_file(file, kMaxFile, private_only));
  FileView view;
  view.hash = crypto::sha256({raw});
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
  view.public_string = std::string(reader.text());
  const ByteView table = reader.bytes();
  view.slot_table.assign(table.begin(), table.end());
  const ByteView sealed = reader.bytes();
  view.body.assign(sealed.begin(), sealed.end());
  if (!reader.finish()) return damaged(file);
  auto principal = keys::parse_principal(view.public_string);
  if (!principal) return damaged(file);
  view.principal = *std::move(principal);
  auto slots = keys::decode_slots(view.slot_table);
  if (!slots) return damaged(file);
  view.slots = *std::move(slots);
  return view;
}

keys::Principal principal_of(const Identity::Impl& impl) { return {impl.name, impl.x_public, impl.ed_public}; }

Bytes render_file(const Identity::Impl& impl, base::Random& random) {
  const keys::Principal principal = principal_of(impl);
  // Lay the secrets out once in locked memory: two keys, then the pins and the generation.
  Bytes pins;
  CborWriter pin_writer(pins);
  pin_writer.array(impl.pins.size());
  for (const Pin& pin : impl.pins) pin_writer.array(2).bytes(pin.vault_id).text(pin.log_key);
  if (impl.generation != 0) pin_writer.uint(impl.generation);
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

/// Held from the comparison to the rename. On the folder, because the file itself is another one afterwards.
Result<base::Fd> lock_folder_of(const std::filesystem::path& file) {
  const std::filesystem::path folder = file.has_parent_path() ? file.parent_path() : std::filesystem::path(".");
  base::Fd fd(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  while (fd.valid()) {
    if (::flock(fd.get(), LOCK_EX) == 0) return fd;
    if (errno != EINTR) break;
  }
  return base::errno_error(errno, "lock", folder.string());
}

/// Writes what `impl` now is over its file, unless that is no longer the file it was read from.
Result<void> rewrite(Identity::Impl& impl, base::Random& random) {
  CASEVAULT_TRY(const base::Fd lock, lock_folder_of(impl.file));
  if (impl.seen != crypto::Hash{}) {  // else it was never written, and there is nothing to compare with
    CASEVAULT_TRY(const Bytes present, base::read_file(impl.file, kMaxFile, true));
    if (crypto::sha256({present}) != impl.seen) {
      return Error{ErrorCode::kConflict,
                   "identity " + impl.file.string() + ": another process has changed it meanwhile; try again"};
    }
  }
  const Bytes next = render_file(impl, random);
  CASEVAULT_CHECK(base::replace_file(impl.file, next));
  impl.seen = crypto::sha256({next});
  return {};
}

/// Puts another slot table in force: the next generation, remembered outside the file.
Result<void> change_slots(Identity::Impl& impl, std::span<const keys::Slot> slots, base::Random& random) {
  Bytes before = std::exchange(impl.slots, keys::encode_slots(slots));
  ++impl.generation;
  if (auto written = rewrite(impl, random); !written) {
    impl.slots = std::move(before);
    --impl.generation;
    return written;
  }
  keys::SlotMemory(impl.state_folder, impl.ed_public).remember(impl.generation, impl.identity_key);
  return {};
}

std::vector<keys::Slot> slots_of(const Identity::Impl& impl) {
  return keys::decode_slots(impl.slots).value_or(std::vector<keys::Slot>());  // it was decoded when it was read
}

Error too_many_slots(const std::filesystem::path& file) {
  return {ErrorCode::kUsage, "identity " + file.string() + " has 32 slots already; remove one first"};
}

/// Writes the shares and proves what stands in the files: each takes part in a quorum that opens the slot.
Result<void> hand_out(const keys::Quorum& quorum, unsigned threshold, const std::filesystem::path& folder,
                      const Identity::Impl& impl) {
  const auto two_digits = [](std::size_t n) { return (n < 10 ? "0" : "") + std::to_string(n); };
  const std::size_t total = quorum.lines.size();
  std::vector<std::filesystem::path> files;
  for (std::size_t i = 0; i < total; ++i) {
    files.push_back(folder / ("share-" + two_digits(i + 1) + "-of-" + two_digits(total) + ".txt"));
    CASEVAULT_CHECK(base::write_new_file(files.back(), quorum.lines[i].view()));
  }
  for (std::size_t first = 0; first < total; ++first) {
    std::vector<std::filesystem::path> some;
    for (std::size_t i = 0; i < threshold; ++i) some.push_back(files[(first + i) % total]);
    CASEVAULT_TRY(Shares shares, Shares::read(some));
    auto key = keys::open_slots(std::span(&quorum.slot, 1), Unlock(std::move(shares)), principal_of(impl));
    if (!key) return std::move(key).error();
    if (!key->equals(impl.identity_key.view())) return Error{ErrorCode::kInternal, "the shares open another identity"};
  }
  return {};
}

/// Shares of a new quorum in a new folder, proven; the folder is gone again when that fails.
Result<keys::Quorum> make_shares(const QuorumPlan& plan, const Identity::Impl& impl, base::Random& random) {
  CASEVAULT_TRY(keys::Quorum quorum, keys::seal_quorum(plan.threshold, plan.total, principal_of(impl),
                                                       key_of(impl.ed_seed), impl.identity_key, random));
  CASEVAULT_CHECK(base::create_folder(plan.folder));
  auto done = hand_out(quorum, plan.threshold, plan.folder, impl);
  if (done) done = base::sync_folder(plan.folder.has_parent_path() ? plan.folder.parent_path() : ".");
  if (done) return quorum;
  std::error_code ignored;
  std::filesystem::remove_all(plan.folder, ignored);
  return std::move(done).error();
}

}  // namespace

namespace keys {

Bytes public_part(const Principal& principal) {
  Bytes out;
  CborWriter(out).array(3).text(principal.name).bytes(principal.x_public).bytes(principal.ed_public);
  return out;
}

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

namespace {

/// New keys under a name; no way yet to open them.
Result<std::unique_ptr<Identity::Impl>> new_keys(const std::filesystem::path& file, std::string_view name,
                                                 base::Random& random) {
  CASEVAULT_CHECK(check_name(name));
  auto impl = std::make_unique<Identity::Impl>();
  impl->file = file;
  impl->name = std::string(name);
  impl->x_secret = crypto::random_key(random);
  impl->ed_seed = crypto::random_key(random);
  impl->x_public = crypto::x25519_public(key_of(impl->x_secret));
  impl->ed_public = crypto::ed25519_public(key_of(impl->ed_seed));
  impl->identity_key = crypto::random_key(random);
  impl->state_folder = default_state_folder();
  impl->public_string = principal_string(principal_of(*impl), key_of(impl->ed_seed));
  return impl;
}

}  // namespace

Result<Identity> make_identity(const std::filesystem::path& file, std::string_view name, const Passphrase& passphrase,
                               SlotCost cost, const base::Environment& environment) {
  base::Random& random = *environment.random;
  CASEVAULT_TRY(auto impl, new_keys(file, name, random));
  CASEVAULT_TRY(const Slot slot, seal_slot(Passphrase(passphrase.secret().clone()), cost, principal_of(*impl),
                                           impl->identity_key, random));
  impl->slots = encode_slots(std::span(&slot, 1));
  return Identity(std::move(impl));
}

Result<Identity> make_quorum_identity(const std::filesystem::path& file, std::string_view name, const QuorumPlan& plan,
                                      const base::Environment& environment) {
  CASEVAULT_TRY(auto impl, new_keys(file, name, *environment.random));
  CASEVAULT_TRY(const Quorum quorum, make_shares(plan, *impl, *environment.random));
  impl->slots = encode_slots(std::span(&quorum.slot, 1));
  return Identity(std::move(impl));
}

Result<void> write_identity(Identity& identity, base::Random& random) {
  const Bytes file = render_file(identity.impl(), random);
  CASEVAULT_CHECK(base::write_new_file(identity.file(), file));
  identity.impl().seen = crypto::sha256({file});
  return {};
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
  auto written = rewrite(identity.impl(), random);
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

Result<Identity> Identity::open(const std::filesystem::path& file, const Passphrase& passphrase,
                                const std::filesystem::path& state_folder) {
  return open(file, Unlock(Passphrase(passphrase.secret().clone())), state_folder);
}

namespace {

/// What the file holds, for who has the identity key. A slot proved the key, so a body that does not open under it was
/// altered, or its slot table was.
Result<void> take_body(Identity::Impl& impl, const FileView& view) {
  const auto body = crypto::open_envelope(format::kIdentityBody, key_of(impl.identity_key),
                                          body_context(view.principal, view.slot_table), view.body);
  if (!body || body->size() < 65) return damaged(impl.file);
  impl.name = view.principal.name;
  impl.public_string = view.public_string;
  impl.slots = view.slot_table;
  impl.seen = view.hash;
  impl.x_secret = SecretBytes::copy(body->view().first(32));
  impl.ed_seed = SecretBytes::copy(body->view().subspan(32, 32));
  impl.x_public = crypto::x25519_public(key_of(impl.x_secret));
  impl.ed_public = crypto::ed25519_public(key_of(impl.ed_seed));
  if (impl.x_public != view.principal.x_public || impl.ed_public != view.principal.ed_public) return damaged(impl.file);
  CborReader pins(body->view().subspan(64));
  impl.pins.clear();
  const std::size_t count = pins.array();
  for (std::size_t i = 0; i < count; ++i) {
    if (pins.array() != 2) pins.fail();
    Pin pin;
    pin.vault_id = pins.fixed<32>();
    pin.log_key = std::string(pins.text());
    if (!pins.ok()) return damaged(impl.file);
    impl.pins.push_back(std::move(pin));
  }
  impl.generation = 0;
  if (pins.ok() && !pins.rest().empty()) {
    impl.generation = pins.uint();
    if (impl.generation == 0) return damaged(impl.file);
  }
  if (!pins.finish()) return damaged(impl.file);
  return {};
}

}  // namespace

Result<Identity> Identity::open(const std::filesystem::path& file, const Unlock& unlock,
                                const std::filesystem::path& state_folder) {
  CASEVAULT_TRY(FileView view, read_file_view(file, true));
  auto impl = std::make_unique<Impl>();
  auto identity_key = keys::open_slots(view.slots, unlock, view.principal);
  if (!identity_key && identity_key.error().code == ErrorCode::kIntegrity) return damaged(file);
  if (!identity_key) {
    return Error{identity_key.error().code, "identity " + file.string() + ": " + identity_key.error().message};
  }
  impl->identity_key = *std::move(identity_key);
  impl->file = file;
  impl->state_folder = state_folder.empty() ? default_state_folder() : state_folder;
  const keys::SlotMemory memory(impl->state_folder, view.principal.ed_public);
  for (;;) {
    CASEVAULT_CHECK(take_body(*impl, view));
    const std::uint64_t newest = memory.newest(impl->identity_key);
    if (newest <= impl->generation) break;
    // Another process may have changed the slots, and remembered it, since the file was read.
    CASEVAULT_TRY(FileView present, read_file_view(file, true));
    if (present.hash == view.hash) {
      return Error{ErrorCode::kRolledBack,
                   "identity " + file.string() + ": its slots are of generation " + std::to_string(impl->generation) +
                       ", but generation " + std::to_string(newest) +
                       " was seen here: an older copy was put back; restore the newest copy, or, if the older one is "
                       "wanted, remove " +
                       memory.file().string()};
    }
    view = std::move(present);
  }
  memory.remember(impl->generation, impl->identity_key);
  return Identity(std::move(impl));
}

Result<IdentityInfo> Identity::inspect(const std::filesystem::path& file) {
  CASEVAULT_TRY(const FileView view, read_file_view(file, false));
  IdentityInfo info{view.principal.name, view.public_string, {}};
  for (const keys::Slot& slot : view.slots) info.slots.push_back(keys::describe(slot));
  return info;
}

std::vector<SlotInfo> Identity::slots() const {
  std::vector<SlotInfo> out;
  for (const keys::Slot& slot : slots_of(*impl_)) out.push_back(keys::describe(slot));
  return out;
}

Result<std::string> Identity::add_slot(const NewSlot& with, SlotCost cost) {
  base::Random& random = *base::system_environment().random;
  std::vector<keys::Slot> slots = slots_of(*impl_);
  if (slots.size() == keys::kMaxSlots) return too_many_slots(impl_->file);
  CASEVAULT_TRY(keys::Slot slot, keys::seal_slot(with, cost, principal_of(*impl_), impl_->identity_key, random));
  slots.push_back(std::move(slot));
  CASEVAULT_CHECK(change_slots(*impl_, slots, random));
  return keys::describe(slots.back()).id;
}

Result<std::string> Identity::split(const QuorumPlan& plan) {
  base::Random& random = *base::system_environment().random;
  std::vector<keys::Slot> slots = slots_of(*impl_);
  std::erase_if(slots, keys::is_quorum);
  if (slots.size() == keys::kMaxSlots) return too_many_slots(impl_->file);
  CASEVAULT_TRY(keys::Quorum quorum, make_shares(plan, *impl_, random));
  slots.push_back(std::move(quorum.slot));
  auto done = change_slots(*impl_, slots, random);
  if (!done && done.error().code == ErrorCode::kUnknownOutcome) {
    Error error = std::move(done).error();
    error.message += "; the shares in " + plan.folder.string() + " are kept: they may be the ones in force";
    return error;
  }
  if (!done) {
    std::error_code ignored;
    std::filesystem::remove_all(plan.folder, ignored);
    return std::move(done).error();
  }
  return keys::describe(slots.back()).id;
}

Result<void> Identity::remove_slot(std::string_view id) {
  std::vector<keys::Slot> slots = slots_of(*impl_);
  const auto gone = std::ranges::find(slots, id, [](const keys::Slot& slot) { return keys::describe(slot).id; });
  if (gone == slots.end()) {
    return Error{ErrorCode::kNotFound, "identity " + impl_->file.string() + " has no such slot; list its slots"};
  }
  slots.erase(gone);
  if (std::ranges::none_of(slots, keys::known_kind)) {
    return Error{ErrorCode::kUsage, "identity " + impl_->file.string() +
                                        ": the last slot cannot be removed, nobody could open it; add another first"};
  }
  return change_slots(*impl_, slots, *base::system_environment().random);
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
