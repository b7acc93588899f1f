// SPDX-License-Identifier: Apache-2.0
#include "keys/token.hpp"

#include "base/text.hpp"
#include "crypto/hash.hpp"
#include "crypto/keypair.hpp"
#include "crypto/p256.hpp"
#include "format/cbor.hpp"
#include "format/labels.hpp"

#include <dlfcn.h>

#define CRYPTOKI_GNU
#include <p11-kit/pkcs11.h>

#include <algorithm>
#include <mutex>

namespace casevault::keys {
namespace {

using format::CborReader;
using format::CborWriter;

constexpr std::size_t kMaxAttribute = 4096;
constexpr unsigned long kUnavailable = ~0UL;  // CK_UNAVAILABLE_INFORMATION

/// PKCS#11 takes what it only reads as non-const.
unsigned char* in(ByteView bytes) { return const_cast<unsigned char*>(bytes.data()); }  // NOLINT

std::string hex_code(ck_rv_t code) {
  Bytes bytes;
  for (int shift = 24; shift >= 0; shift -= 8) bytes.push_back(static_cast<std::uint8_t>(code >> shift));
  return "PKCS#11 error 0x" + base::to_hex(bytes);
}

/// A field that is padded with blanks.
template <std::size_t N>
std::string padded(const unsigned char (&field)[N]) {
  std::string text(field, field + N);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\0')) text.pop_back();
  return text;
}

template <typename T>
ck_attribute attribute(ck_attribute_type_t type, T& value) {
  return {type, &value, sizeof value};
}
ck_attribute attribute(ck_attribute_type_t type, ByteView bytes) { return {type, in(bytes), bytes.size()}; }

std::mutex& one_at_a_time() {
  static std::mutex mutex;
  return mutex;
}

}  // namespace

Bytes encode_token_slot(const TokenSlot& slot) {
  Bytes out;
  CborWriter(out)
      .uint(static_cast<std::uint64_t>(slot.mechanism))
      .text(slot.serial)
      .text(slot.label)
      .bytes(slot.key_id)
      .text(slot.key_label)
      .bytes(slot.public_data)
      .bytes(slot.wrapped);
  return out;
}

std::optional<TokenSlot> decode_token_slot(ByteView members) {
  CborReader reader(members);
  TokenSlot slot;
  const std::uint64_t mechanism = reader.uint();
  slot.serial = std::string(reader.text());
  slot.label = std::string(reader.text());
  const ByteView key_id = reader.bytes();
  slot.key_id.assign(key_id.begin(), key_id.end());
  slot.key_label = std::string(reader.text());
  const ByteView public_data = reader.bytes();
  slot.public_data.assign(public_data.begin(), public_data.end());
  const ByteView wrapped = reader.bytes();
  slot.wrapped.assign(wrapped.begin(), wrapped.end());
  if (!reader.finish() || mechanism < 1 || mechanism > 3) return std::nullopt;
  slot.mechanism = static_cast<TokenMechanism>(mechanism);
  return slot;
}

struct TokenDevice::State {
  std::unique_lock<std::mutex> alone{one_at_a_time()};
  std::string module;
  const ck_function_list* calls = nullptr;
  bool initialized = false;
  std::optional<ck_slot_id_t> chosen;
  std::string label;
  std::string serial;
  unsigned long flags = 0;
  std::optional<ck_session_handle_t> session;
  bool logged_in = false;

  State() = default;
  State(const State&) = delete;
  State& operator=(const State&) = delete;
  ~State() {
    if (logged_in) calls->C_Logout(*session);
    if (session) calls->C_CloseSession(*session);
    if (initialized) calls->C_Finalize(nullptr);
    // The module stays loaded: modules register exit handlers, which must still be there at the end of the process.
  }

  [[nodiscard]] Error failure(ErrorCode code, std::string_view what, ck_rv_t rv) const {
    return {code, "token " + label + ": " + std::string(what) + " (" + hex_code(rv) + ")"};
  }

  /// The one object that fits, or an error that names the key.
  [[nodiscard]] Result<ck_object_handle_t> find(std::span<ck_attribute> wanted, std::string_view key) const {
    if (const ck_rv_t rv = calls->C_FindObjectsInit(*session, wanted.data(), wanted.size()); rv != CKR_OK)
      return failure(ErrorCode::kIo, "its objects cannot be listed", rv);
    std::array<ck_object_handle_t, 2> found{};
    unsigned long count = 0;
    const ck_rv_t rv = calls->C_FindObjects(*session, found.data(), found.size(), &count);
    calls->C_FindObjectsFinal(*session);
    if (rv != CKR_OK) return failure(ErrorCode::kIo, "its objects cannot be listed", rv);
    if (count == 0) return Error{ErrorCode::kNotFound, "token " + label + " has no key " + std::string(key)};
    if (count > 1)
      return Error{ErrorCode::kUsage,
                   "token " + label + " has several keys " + std::string(key) + "; name one of its own"};
    return found[0];
  }
  [[nodiscard]] Result<ck_object_handle_t> find_key(ck_object_class_t type, ByteView id, std::string_view name) const {
    std::array wanted = {attribute(CKA_CLASS, type),
                         id.empty() ? attribute(CKA_LABEL, as_bytes(name)) : attribute(CKA_ID, id)};
    return find(wanted, name);
  }

  [[nodiscard]] std::optional<SecretBytes> read(ck_object_handle_t object, ck_attribute_type_t type) const {
    ck_attribute wanted{type, nullptr, 0};
    if (calls->C_GetAttributeValue(*session, object, &wanted, 1) != CKR_OK || wanted.value_len == kUnavailable ||
        wanted.value_len > kMaxAttribute) {
      return std::nullopt;
    }
    SecretBytes value(wanted.value_len);
    wanted.value = value.mutable_view().data();
    if (calls->C_GetAttributeValue(*session, object, &wanted, 1) != CKR_OK || wanted.value_len != value.size())
      return std::nullopt;
    return value;
  }
  template <typename T>
  [[nodiscard]] std::optional<T> number(ck_object_handle_t object, ck_attribute_type_t type) const {
    T value{};
    ck_attribute wanted = attribute(type, value);
    if (calls->C_GetAttributeValue(*session, object, &wanted, 1) != CKR_OK || wanted.value_len != sizeof value)
      return std::nullopt;
    return value;
  }

  /// A key that was unwrapped or derived into this session, taken out and destroyed.
  [[nodiscard]] std::optional<SecretBytes> take(ck_object_handle_t object) const {
    auto value = read(object, CKA_VALUE);
    calls->C_DestroyObject(*session, object);
    if (value && value->size() != 32) value.reset();
    return value;
  }

  /// What a key is that is made in this session to be read out at once.
  struct SessionKey {
    ck_object_class_t type = CKO_SECRET_KEY;
    ck_key_type_t kind = CKK_GENERIC_SECRET;
    unsigned long size = 32;
    unsigned char yes = 1;
    unsigned char no = 0;
    std::array<ck_attribute, 5> attributes() {
      return {attribute(CKA_CLASS, type), attribute(CKA_KEY_TYPE, kind), attribute(CKA_TOKEN, no),
              attribute(CKA_SENSITIVE, no), attribute(CKA_EXTRACTABLE, yes)};
    }
  };

  [[nodiscard]] ck_rv_t wrap(ck_object_handle_t with, const SecretBytes& key, Bytes& out) const {
    SessionKey made;
    const auto common = made.attributes();
    std::vector<ck_attribute> all(common.begin(), common.end());
    all.push_back(attribute(CKA_VALUE, key.view()));
    ck_object_handle_t object = 0;
    if (const ck_rv_t rv = calls->C_CreateObject(*session, all.data(), all.size(), &object); rv != CKR_OK) return rv;
    ck_mechanism mechanism{CKM_AES_KEY_WRAP_PAD, nullptr, 0};
    out.resize(128);
    unsigned long size = out.size();
    const ck_rv_t rv = calls->C_WrapKey(*session, &mechanism, with, object, out.data(), &size);
    calls->C_DestroyObject(*session, object);
    out.resize(rv == CKR_OK ? size : 0);
    return rv;
  }
  [[nodiscard]] ck_rv_t unwrap(ck_object_handle_t with, ByteView wrapped, std::optional<SecretBytes>& out) const {
    SessionKey made;
    auto attributes = made.attributes();
    ck_mechanism mechanism{CKM_AES_KEY_WRAP_PAD, nullptr, 0};
    ck_object_handle_t object = 0;
    const ck_rv_t rv = calls->C_UnwrapKey(*session, &mechanism, with, in(wrapped), wrapped.size(), attributes.data(),
                                          attributes.size(), &object);
    if (rv == CKR_OK) out = take(object);
    return rv;
  }

  [[nodiscard]] static ck_gcm_params gcm(ByteView nonce) {
    return {in(nonce), nonce.size(), nonce.size() * 8, nullptr, 0, 128};
  }
  [[nodiscard]] ck_rv_t encrypt(ck_object_handle_t with, ByteView nonce, const SecretBytes& key, Bytes& out) const {
    ck_gcm_params parameters = gcm(nonce);
    ck_mechanism mechanism{CKM_AES_GCM, &parameters, sizeof parameters};
    if (const ck_rv_t rv = calls->C_EncryptInit(*session, &mechanism, with); rv != CKR_OK) return rv;
    out.resize(128);
    unsigned long size = out.size();
    const ck_rv_t rv = calls->C_Encrypt(*session, in(key.view()), key.size(), out.data(), &size);
    out.resize(rv == CKR_OK ? size : 0);
    return rv;
  }
  [[nodiscard]] ck_rv_t decrypt(ck_object_handle_t with, ByteView nonce, ByteView wrapped,
                                std::optional<SecretBytes>& out) const {
    ck_gcm_params parameters = gcm(nonce);
    ck_mechanism mechanism{CKM_AES_GCM, &parameters, sizeof parameters};
    if (const ck_rv_t rv = calls->C_DecryptInit(*session, &mechanism, with); rv != CKR_OK) return rv;
    SecretBytes plain(128);
    unsigned long size = plain.size();
    const ck_rv_t rv = calls->C_Decrypt(*session, in(wrapped), wrapped.size(), plain.mutable_view().data(), &size);
    if (rv == CKR_OK && size == 32) {
      plain.shrink(32);
      out = std::move(plain);
    }
    return rv;
  }

  [[nodiscard]] ck_rv_t derive(ck_object_handle_t with, ByteView ephemeral, std::optional<SecretBytes>& out) const {
    SessionKey made;
    const auto common = made.attributes();
    std::vector<ck_attribute> all(common.begin(), common.end());
    all.push_back(attribute(CKA_VALUE_LEN, made.size));
    ck_ecdh1_derive_params parameters{CKD_NULL, 0, nullptr, ephemeral.size(), in(ephemeral)};
    ck_mechanism mechanism{CKM_ECDH1_DERIVE, &parameters, sizeof parameters};
    ck_object_handle_t object = 0;
    const ck_rv_t rv = calls->C_DeriveKey(*session, &mechanism, with, all.data(), all.size(), &object);
    if (rv == CKR_OK) out = take(object);
    return rv;
  }
};

TokenDevice::TokenDevice(std::unique_ptr<State> state) : state_(std::move(state)) {}
TokenDevice::~TokenDevice() = default;

Result<std::unique_ptr<TokenDevice>> TokenDevice::load(const std::filesystem::path& module) {
  std::error_code error;
  const std::filesystem::path path = std::filesystem::absolute(module, error);  // never searched for
  if (module.empty() || error || !std::filesystem::exists(path, error))
    return Error{ErrorCode::kNotFound, "there is no PKCS#11 module " + module.string()};
  auto state = std::make_unique<State>();
  state->module = path.string();
  void* const library = ::dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
  void* const entry = library == nullptr ? nullptr : ::dlsym(library, "C_GetFunctionList");
  const auto get_list = reinterpret_cast<CK_C_GetFunctionList>(entry);  // NOLINT: what dlsym is for
  ck_function_list* calls = nullptr;
  if (get_list == nullptr || get_list(&calls) != CKR_OK || calls == nullptr)
    return Error{ErrorCode::kBadInput, path.string() + " is no PKCS#11 module that can be loaded"};
  state->calls = calls;
  ck_c_initialize_args arguments{};
  arguments.flags = CKF_OS_LOCKING_OK;
  const ck_rv_t rv = calls->C_Initialize(&arguments);
  if (rv != CKR_OK && rv != CKR_CRYPTOKI_ALREADY_INITIALIZED)
    return Error{ErrorCode::kIo, "PKCS#11 module " + path.string() + " does not start (" + hex_code(rv) + ")"};
  state->initialized = rv == CKR_OK;  // what the host has started is the host's to end
  return std::unique_ptr<TokenDevice>(new TokenDevice(std::move(state)));
}

Result<void> TokenDevice::select(std::string_view label, std::string_view serial) {
  State& s = *state_;
  std::vector<ck_slot_id_t> slots(64);
  unsigned long count = slots.size();
  if (const ck_rv_t rv = s.calls->C_GetSlotList(1, slots.data(), &count); rv != CKR_OK)
    return Error{ErrorCode::kIo, "PKCS#11 module " + s.module + ": tokens cannot be listed (" + hex_code(rv) + ")"};
  slots.resize(count);
  std::size_t fitting = 0;
  for (const ck_slot_id_t slot : slots) {
    ck_token_info info{};
    if (s.calls->C_GetTokenInfo(slot, &info) != CKR_OK || (info.flags & CKF_TOKEN_INITIALIZED) == 0) continue;
    if (padded(info.label) != label || (!serial.empty() && padded(info.serial_number) != serial)) continue;
    ++fitting;
    s.chosen = slot;
    s.label = padded(info.label);
    s.serial = padded(info.serial_number);
    s.flags = info.flags;
  }
  if (fitting == 1) return {};
  s.chosen.reset();
  if (fitting > 1)
    return Error{ErrorCode::kUsage, "several tokens are labelled " + std::string(label) + "; leave one in"};
  return Error{ErrorCode::kNotFound, "the token " + std::string(label) + " is not there; plug it in"};
}

Result<void> TokenDevice::login(const Passphrase& pin) {
  State& s = *state_;
  const std::string token = "token " + s.label;
  if ((s.flags & CKF_USER_PIN_LOCKED) != 0)
    return Error{ErrorCode::kWrongKey, token + " is locked after wrong PINs; whoever administers it can unlock it"};
  if ((s.flags & CKF_USER_PIN_FINAL_TRY) != 0) {
    return Error{ErrorCode::kWrongKey, token +
                                           " would lock itself at one more wrong PIN, so it was not tried; log in once "
                                           "with the token's own program, then try again"};
  }
  ck_session_handle_t session = 0;
  if (const ck_rv_t rv = s.calls->C_OpenSession(*s.chosen, CKF_SERIAL_SESSION, nullptr, nullptr, &session);
      rv != CKR_OK)
    return s.failure(ErrorCode::kIo, "no session", rv);
  s.session = session;
  const ck_rv_t rv = s.calls->C_Login(session, CKU_USER, in(pin.secret().view()), pin.secret().size());
  s.logged_in = rv == CKR_OK;
  switch (rv) {
    case CKR_OK:
    case CKR_USER_ALREADY_LOGGED_IN:
      return {};
    case CKR_PIN_INCORRECT:
    case CKR_PIN_INVALID:
    case CKR_PIN_LEN_RANGE:
      return Error{ErrorCode::kWrongKey,
                   token +
                       ": wrong PIN; it was tried once and is not tried again, as a token locks itself after a few: "
                       "make sure of the PIN before the next try"};
    case CKR_PIN_LOCKED:
      return Error{ErrorCode::kWrongKey, token + " is locked after wrong PINs; whoever administers it can unlock it"};
    default:
      return s.failure(ErrorCode::kIo, "no login", rv);
  }
}

bool TokenDevice::logged_in_at(const TokenSlot& slot) const {
  return state_->session && state_->label == slot.label && state_->serial == slot.serial;
}

Result<TokenDevice::Sealed> TokenDevice::seal(std::string_view key_label, base::Random& random) {
  State& s = *state_;
  Sealed out;
  out.slot.serial = s.serial;
  out.slot.label = s.label;
  out.slot.key_label = std::string(key_label);
  const auto aes = s.find_key(CKO_SECRET_KEY, {}, key_label);
  const auto ec = aes ? aes : s.find_key(CKO_PRIVATE_KEY, {}, key_label);
  if (!ec) return aes.error().code == ErrorCode::kNotFound ? ec.error() : aes.error();
  const ck_object_handle_t key = *ec;
  if (s.number<unsigned char>(key, CKA_EXTRACTABLE).value_or(1) != 0) {
    return Error{ErrorCode::kUsage, "key " + std::string(key_label) + " of token " + s.label +
                                        " can be taken out of it (CKA_EXTRACTABLE); make one that cannot"};
  }
  if (const auto id = s.read(key, CKA_ID)) out.slot.key_id.assign(id->view().begin(), id->view().end());
  const auto proven = [&] {
    const auto again = unseal(out.slot);
    return again && again->equals(out.key.view());
  };
  const auto kind = s.number<ck_key_type_t>(key, CKA_KEY_TYPE);
  if (aes && kind == CKK_AES) {
    out.key = crypto::random_key(random);
    out.slot.mechanism = TokenMechanism::kAesKeyWrapPad;
    if (s.wrap(key, out.key, out.slot.wrapped) == CKR_OK && proven()) return out;
    out.slot.mechanism = TokenMechanism::kAesGcm;
    out.slot.public_data.resize(12);
    random.fill(out.slot.public_data);
    if (s.encrypt(key, out.slot.public_data, out.key, out.slot.wrapped) == CKR_OK && proven()) return out;
  } else if (!aes && kind == CKK_EC) {
    const auto open = s.find_key(CKO_PUBLIC_KEY, out.slot.key_id, key_label);
    if (!open) return Error{open.error().code, open.error().message + " with its public part"};
    auto point = s.read(*open, CKA_EC_POINT);
    if (!point) return Error{ErrorCode::kBadInput, "key " + std::string(key_label) + " shows no public point"};
    ByteView raw = point->view();
    if (raw.size() == 67 && raw[0] == 4 && raw[1] == 65) raw = raw.subspan(2);  // in an ASN.1 OCTET STRING
    CASEVAULT_TRY(const crypto::P256Shared shared, crypto::p256_share(raw));
    out.slot.mechanism = TokenMechanism::kEcdhP256;
    out.slot.public_data.assign(shared.ephemeral.begin(), shared.ephemeral.end());
    out.slot.public_data.insert(out.slot.public_data.end(), raw.begin(), raw.end());
    out.key = crypto::derive_key(format::kTokenDerive, shared.secret.view(), out.slot.public_data);
    if (proven()) return out;
  }
  return Error{ErrorCode::kUnsupported, "key " + std::string(key_label) + " of token " + s.label +
                                            " neither wraps nor encrypts (AES) nor derives (EC P-256)"};
}

Result<SecretBytes> TokenDevice::unseal(const TokenSlot& slot) {
  State& s = *state_;
  const bool ec = slot.mechanism == TokenMechanism::kEcdhP256;
  CASEVAULT_TRY(const ck_object_handle_t key,
                s.find_key(ec ? CKO_PRIVATE_KEY : CKO_SECRET_KEY, slot.key_id, slot.key_label));
  std::optional<SecretBytes> out;
  ck_rv_t rv = CKR_OK;
  switch (slot.mechanism) {
    case TokenMechanism::kAesKeyWrapPad:
      rv = s.unwrap(key, slot.wrapped, out);
      break;
    case TokenMechanism::kAesGcm:
      rv = s.decrypt(key, slot.public_data, slot.wrapped, out);
      break;
    case TokenMechanism::kEcdhP256:
      rv = s.derive(key, ByteView(slot.public_data).first(std::min<std::size_t>(slot.public_data.size(), 65)), out);
      if (out) out = crypto::derive_key(format::kTokenDerive, out->view(), slot.public_data);
      break;
  }
  if (!out) return s.failure(ErrorCode::kWrongKey, "it does not open this slot, which is another key's or altered", rv);
  return *std::move(out);
}

}  // namespace casevault::keys
