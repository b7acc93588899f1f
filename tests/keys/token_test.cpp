// SPDX-License-Identifier: Apache-2.0
// Against SoftHSM 2, with keys of each kind made on the token; skipped by name where it is not installed.
#include "keys/token.hpp"

#include <dlfcn.h>
#include <stdlib.h>

#include <fstream>
#include <iostream>

#include "catch.hpp"
#include "keys/slot.hpp"
#include "support/fixed_environment.hpp"
#include "support/temp_folder.hpp"

#define CRYPTOKI_GNU
#include <p11-kit/pkcs11.h>

namespace casevault::test {
namespace {

constexpr const char* kModule = "/usr/lib/softhsm/libsofthsm2.so";

Passphrase pin(std::string_view text = "123456") { return Passphrase(SecretBytes::copy(as_bytes(text))); }
unsigned char* out(std::string& text) { return reinterpret_cast<unsigned char*>(text.data()); }  // NOLINT

/// A token "cv" with an AES key that wraps, one that only encrypts, one that may be taken out, and an EC pair.
struct Hsm {
  TempFolder folder;

  Hsm() {
    std::filesystem::create_directory(folder / "tokens");
    std::ofstream(folder / "conf") << "directories.tokendir = " << (folder / "tokens").string()
                                   << "\nlog.level = ERROR\n";
    REQUIRE(::setenv("SOFTHSM2_CONF", (folder / "conf").c_str(), 1) == 0);
    void* const library = ::dlopen(kModule, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
    REQUIRE(library != nullptr);
    const auto get = reinterpret_cast<CK_C_GetFunctionList>(::dlsym(library, "C_GetFunctionList"));  // NOLINT
    ck_function_list* p11 = nullptr;
    REQUIRE(get(&p11) == CKR_OK);
    REQUIRE(p11->C_Initialize(nullptr) == CKR_OK);
    std::string so = "87654321", user = "123456", label = "cv";
    label.resize(32, ' ');
    ck_slot_id_t slot = 0;
    unsigned long count = 1;
    REQUIRE(p11->C_GetSlotList(1, &slot, &count) == CKR_OK);
    REQUIRE(p11->C_InitToken(slot, out(so), so.size(), out(label)) == CKR_OK);
    std::array<ck_slot_id_t, 4> slots{};
    count = slots.size();
    REQUIRE(p11->C_GetSlotList(1, slots.data(), &count) == CKR_OK);  // it has another number now
    ck_session_handle_t session = 0;
    for (unsigned long i = 0; i < count; ++i) {
      ck_token_info info{};
      REQUIRE(p11->C_GetTokenInfo(slots[i], &info) == CKR_OK);
      if ((info.flags & CKF_TOKEN_INITIALIZED) != 0) slot = slots[i];
    }
    REQUIRE(p11->C_OpenSession(slot, CKF_SERIAL_SESSION | CKF_RW_SESSION, nullptr, nullptr, &session) == CKR_OK);
    REQUIRE(p11->C_Login(session, CKU_SO, out(so), so.size()) == CKR_OK);
    REQUIRE(p11->C_InitPIN(session, out(user), user.size()) == CKR_OK);
    REQUIRE(p11->C_Logout(session) == CKR_OK);
    REQUIRE(p11->C_Login(session, CKU_USER, out(user), user.size()) == CKR_OK);

    unsigned char yes = 1, no = 0;
    unsigned long size = 32;
    const auto flag = [](ck_attribute_type_t type, unsigned char& value) { return ck_attribute{type, &value, 1}; };
    const auto text = [](ck_attribute_type_t type, std::string& value) {
      return ck_attribute{type, value.data(), value.size()};
    };
    std::string wraps = "wraps", encrypts = "encrypts", loose = "loose", pair = "pair", id = "\x07";
    ck_mechanism aes{0x1080UL, nullptr, 0};  // CKM_AES_KEY_GEN
    for (std::string* name : {&wraps, &encrypts, &loose}) {
      unsigned char& wrap = name == &encrypts ? no : yes;
      std::array attributes = {text(CKA_LABEL, *name),
                               flag(CKA_TOKEN, yes),
                               flag(CKA_SENSITIVE, yes),
                               flag(CKA_EXTRACTABLE, name == &loose ? yes : no),
                               flag(CKA_WRAP, wrap),
                               flag(CKA_UNWRAP, wrap),
                               flag(CKA_ENCRYPT, yes),
                               flag(CKA_DECRYPT, yes),
                               ck_attribute{CKA_VALUE_LEN, &size, sizeof size}};
      ck_object_handle_t key = 0;
      REQUIRE(p11->C_GenerateKey(session, &aes, attributes.data(), attributes.size(), &key) == CKR_OK);
    }
    std::string p256 = "\x06\x08\x2A\x86\x48\xCE\x3D\x03\x01\x07";
    std::array shown = {text(CKA_LABEL, pair), text(CKA_ID, id), flag(CKA_TOKEN, yes), text(CKA_EC_PARAMS, p256)};
    std::array kept = {text(CKA_LABEL, pair),    text(CKA_ID, id),          flag(CKA_TOKEN, yes),
                       flag(CKA_SENSITIVE, yes), flag(CKA_EXTRACTABLE, no), flag(CKA_DERIVE, yes)};
    ck_mechanism ec{0x1040UL, nullptr, 0};  // CKM_EC_KEY_PAIR_GEN
    ck_object_handle_t one = 0, two = 0;
    REQUIRE(p11->C_GenerateKeyPair(session, &ec, shown.data(), shown.size(), kept.data(), kept.size(), &one, &two) ==
            CKR_OK);
    REQUIRE(p11->C_Finalize(nullptr) == CKR_OK);
  }
};

bool installed() {
  if (std::filesystem::exists(kModule)) return true;
  std::cout << "skipped: no SoftHSM at " << kModule << "\n";
  return false;
}

TEST_CASE("bound: a token keeps a slot's key by wrapping, by encrypting and by ECDH, and no altered byte opens",
          "[.token]") {
  if (!installed()) return;
  const Hsm hsm;
  FixedEnvironment environment;
  const auto device = REQUIRE_OK(keys::TokenDevice::load(kModule));
  REQUIRE_DONE(device->select("cv", ""));
  REQUIRE_DONE(device->login(pin()));
  for (const auto& [key, mechanism] :
       {std::pair("wraps", keys::TokenMechanism::kAesKeyWrapPad), std::pair("encrypts", keys::TokenMechanism::kAesGcm),
        std::pair("pair", keys::TokenMechanism::kEcdhP256)}) {
    CAPTURE(key);
    const auto sealed = REQUIRE_OK(device->seal(key, environment.random));
    CHECK(sealed.slot.mechanism == mechanism);
    CHECK(sealed.slot.label == "cv");
    CHECK(REQUIRE_OK(device->unseal(sealed.slot)).equals(sealed.key.view()));
    CHECK_FALSE(REQUIRE_OK(device->seal(key, environment.random)).key.equals(sealed.key.view()));
    for (Bytes keys::TokenSlot::* part : {&keys::TokenSlot::public_data, &keys::TokenSlot::wrapped}) {
      for (std::size_t at = 0; at < (sealed.slot.*part).size(); ++at) {
        keys::TokenSlot altered = sealed.slot;
        (altered.*part)[at] ^= 1U;
        CAPTURE(at);
        const auto opened = device->unseal(altered);
        CHECK_FALSE((opened.has_value() && opened->equals(sealed.key.view())));
      }
    }
    const auto again = keys::decode_token_slot(keys::encode_token_slot(sealed.slot));
    REQUIRE(again.has_value());
    CHECK(REQUIRE_OK(device->unseal(*again)).equals(sealed.key.view()));
  }
  REQUIRE_ERROR(ErrorCode::kUsage, device->seal("loose", environment.random));
  REQUIRE_ERROR(ErrorCode::kNotFound, device->seal("none", environment.random));
}

TEST_CASE("bound: a wrong PIN is tried once at one token, and the last try is never spent", "[.token]") {
  if (!installed()) return;
  const Hsm hsm;
  const TempFolder folder;
  const Passphrase words(SecretBytes::copy(as_bytes("correct horse")));
  REQUIRE_OK(Identity::create(folder / "a", "An", words, {1, 64}));
  Identity identity = REQUIRE_OK(Identity::open(folder / "a", words, folder / "state"));
  for (const char* key : {"wraps", "encrypts", "pair"})
    REQUIRE_OK(identity.add_slot(TokenKey{kModule, "cv", key, pin()}));
  const auto open = [&](std::string_view with) {
    return Identity::open(folder / "a", Unlock(Token{kModule, pin(with)}), folder / "state");
  };
  CHECK(REQUIRE_OK(open("123456")).impl().ed_seed.equals(identity.impl().ed_seed.view()));
  // Three slots name the token; a wrong PIN that was tried for each would have locked a card.
  const auto wrong = open("654321");
  REQUIRE_FALSE(wrong.has_value());
  CHECK(wrong.error().code == ErrorCode::kWrongKey);
  CHECK(wrong.error().message.find("tried once") != std::string::npos);
  REQUIRE_OK(open("123456"));
  REQUIRE_ERROR(ErrorCode::kUsage, open(""));
}

TEST_CASE("robust: what a slot says of its token is taken only whole and of a known mechanism") {
  keys::TokenSlot slot;
  slot.mechanism = keys::TokenMechanism::kAesGcm;
  slot.serial = "1";
  slot.label = "cv";
  const Bytes good = keys::encode_token_slot(slot);
  REQUIRE(keys::decode_token_slot(good).has_value());
  for (std::size_t size = 0; size < good.size(); ++size)
    CHECK_FALSE(keys::decode_token_slot(ByteView(good).first(size)));
  for (const int mechanism : {0, 4, 23}) {
    Bytes other = good;
    other[0] = static_cast<std::uint8_t>(mechanism);
    CHECK_FALSE(keys::decode_token_slot(other).has_value());
  }
}

}  // namespace
}  // namespace casevault::test
