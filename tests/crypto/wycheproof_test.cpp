// SPDX-License-Identifier: Apache-2.0
#include <openssl/evp.h>
#include <sodium.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iostream>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <set>

#include "catch.hpp"
#include "crypto/aead.hpp"
#include "crypto/hash.hpp"
#include "crypto/hex.hpp"
#include "crypto/keypair.hpp"

/// Project Wycheproof through our own entry points. What casevault has no entry point for is put to the libraries it
/// is built on, so that every file is run.
namespace {

using namespace casevault;
using namespace casevault::crypto;
using nlohmann::json;
using test::as;
namespace fs = std::filesystem;

Bytes field(const json& object, const char* name) { return test::hex(object.at(name).get<std::string>()); }

bool has_flag(const json& test, const char* flag) {
  return std::ranges::find(test.at("flags"), json(flag)) != test.at("flags").end();
}

/// `acceptable` is decided where it comes up, by its flag.
bool expected(const json& test) { return test.at("result") == "valid"; }

using Runner = std::function<std::size_t(const json& group)>;  ///< returns the number of cases it ran

template <typename Case>
std::size_t each(const json& group, Case run) {
  for (const json& test : group.at("tests")) {
    INFO("tcId " << test.at("tcId"));
    run(test);
  }
  return group.at("tests").size();
}

using Seal = void (*)(KeyView, NonceView, ByteView, ByteView, MutableBytes);
using Open = bool (*)(KeyView, NonceView, ByteView, ByteView, MutableBytes);

Runner aead(std::vector<std::pair<Seal, Open>> implementations) {
  return [=](const json& group) -> std::size_t {
    if (group.at("keySize") != 256 || group.at("ivSize") != 96 || group.at("tagSize") != 128) return 0;
    return each(group, [&](const json& test) {
      const bool valid = expected(test);
      const Bytes key = field(test, "key");
      const Bytes nonce = field(test, "iv");
      const Bytes aad = field(test, "aad");
      const Bytes plaintext = field(test, "msg");
      Bytes sealed = field(test, "ct");
      const Bytes tag = field(test, "tag");
      sealed.insert(sealed.end(), tag.begin(), tag.end());
      for (const auto& [seal, open] : implementations) {
        Bytes out(sealed.size() - kTagSize, 0xEE);
        REQUIRE(open(as<32>(key), as<12>(nonce), aad, sealed, out) == valid);
        REQUIRE(out == (valid ? plaintext : Bytes(out.size())));
        Bytes again(plaintext.size() + kTagSize);
        seal(as<32>(key), as<12>(nonce), aad, plaintext, again);
        REQUIRE((again == sealed) == valid);
      }
    });
  };
}

Runner hmac_of(Digest digest) {
  return [digest](const json& group) {
    return each(group, [&](const json& test) {
      Bytes tag(group.at("tagSize").get<std::size_t>() / 8);
      hmac(digest, field(test, "key"), field(test, "msg"), tag);
      REQUIRE((tag == field(test, "tag")) == expected(test));
    });
  };
}

Runner hkdf_of(Digest digest) {
  return [digest](const json& group) {
    return each(group, [&](const json& test) {
      const auto size = test.at("size").get<std::size_t>();
      const std::size_t most = 255 * (digest == Digest::kSha256 ? 32U : 64U);
      if (!expected(test)) {
        REQUIRE(size > most);  // what the contract of hkdf leaves out is all that is invalid
        return;
      }
      Bytes out(size);
      hkdf(digest, field(test, "salt"), field(test, "ikm"), field(test, "info"), out);
      REQUIRE(out == field(test, "okm"));
    });
  };
}

std::size_t x25519_of(const json& group) {
  return each(group, [](const json& test) {
    const Bytes shared = field(test, "shared");
    const Result<SecretBytes> result = x25519(as<32>(field(test, "private")), as<32>(field(test, "public")));
    // Twists, non-canonical and low-order points may be taken; an all-zero result must not.
    REQUIRE(result.has_value() == (shared != Bytes(32)));
    if (result) REQUIRE(result->equals(shared));
  });
}

std::size_t ed25519_of(const json& group) {
  const Bytes public_key = field(group.at("publicKey"), "pk");
  return each(group, [&](const json& test) {
    REQUIRE(verify_raw(as<32>(public_key), field(test, "msg"), field(test, "sig")) == expected(test));
  });
}

/// libcrypto on its own, for what casevault does not use: nullopt when it refuses.
std::optional<Bytes> openssl(const std::string& name, bool encrypt, ByteView key, ByteView aad, ByteView in,
                             ByteView tag = {}, Bytes* tag_out = nullptr) {
  const std::unique_ptr<EVP_CIPHER, decltype(&EVP_CIPHER_free)> cipher(EVP_CIPHER_fetch(nullptr, name.c_str(), nullptr),
                                                                       EVP_CIPHER_free);
  const std::unique_ptr<EVP_CIPHER_CTX, decltype(&EVP_CIPHER_CTX_free)> context(EVP_CIPHER_CTX_new(),
                                                                                EVP_CIPHER_CTX_free);
  REQUIRE(cipher != nullptr);
  const bool siv = tag_out != nullptr || !tag.empty();
  if (!siv) EVP_CIPHER_CTX_set_flags(context.get(), EVP_CIPHER_CTX_FLAG_WRAP_ALLOW);
  REQUIRE(EVP_CipherInit_ex2(context.get(), cipher.get(), key.data(), nullptr, encrypt ? 1 : 0, nullptr) == 1);
  if (!tag.empty()) {
    Bytes copy(tag.begin(), tag.end());
    REQUIRE(EVP_CIPHER_CTX_ctrl(context.get(), EVP_CTRL_AEAD_SET_TAG, static_cast<int>(copy.size()), copy.data()) == 1);
  }
  int size = 0;
  if (siv && EVP_CipherUpdate(context.get(), nullptr, &size, aad.data(), static_cast<int>(aad.size())) != 1) return {};
  Bytes out(in.size() + 64);
  if (EVP_CipherUpdate(context.get(), out.data(), &size, in.data(), static_cast<int>(in.size())) != 1 || size < 0) {
    return std::nullopt;
  }
  int last = 0;
  if (EVP_CipherFinal_ex(context.get(), out.data() + size, &last) != 1) return std::nullopt;
  out.resize(static_cast<std::size_t>(size + last));
  if (tag_out != nullptr) {
    tag_out->resize(16);
    REQUIRE(EVP_CIPHER_CTX_ctrl(context.get(), EVP_CTRL_AEAD_GET_TAG, 16, tag_out->data()) == 1);
  }
  return out;
}

Runner key_wrap(std::string suffix) {
  return [suffix](const json& group) {
    const std::string name = "AES-" + std::to_string(group.at("keySize").get<int>()) + suffix;
    return each(group, [&](const json& test) {
      const Bytes key = field(test, "key");
      const Bytes plain = field(test, "msg");
      const Bytes wrapped = field(test, "ct");
      if (wrapped.empty()) {  // a text that cannot be wrapped
        REQUIRE_FALSE(expected(test));
        REQUIRE(openssl(name, true, key, {}, plain).value_or(Bytes()).empty());
        return;
      }
      const auto opened = openssl(name, false, key, {}, wrapped);
      if (test.at("result") == "acceptable") {  // keys of 8 bytes: below what RFC 3394 wraps, and harmless
        REQUIRE(has_flag(test, "ShortKey"));
        REQUIRE((!opened || *opened == plain));
        return;
      }
      const bool valid = expected(test);
      REQUIRE(opened.has_value() == valid);
      if (valid) REQUIRE(*opened == plain);
      if (valid) REQUIRE(openssl(name, true, key, {}, plain) == wrapped);
    });
  };
}

std::size_t siv_of(const json& group) {
  const std::string name = "AES-" + std::to_string(group.at("keySize").get<int>() / 2) + "-SIV";
  std::size_t run = 0;
  for (const json& test : group.at("tests")) {
    INFO("tcId " << test.at("tcId"));
    const Bytes plain = field(test, "msg");
    const Bytes sealed = field(test, "ct");
    const Bytes aad = field(test, "aad");
    // libcrypto's SIV takes an empty text or associated text for none at all, which is another thing (RFC 5297).
    if (plain.empty() || sealed.size() <= 16 || aad.empty()) continue;
    const ByteView tag = ByteView(sealed).first(16);
    const Bytes key = field(test, "key");
    const auto opened = openssl(name, false, key, aad, ByteView(sealed).subspan(16), tag);
    REQUIRE(opened.has_value() == expected(test));
    if (opened) REQUIRE(*opened == plain);
    Bytes made;
    const auto again = openssl(name, true, key, aad, plain, {}, &made);
    REQUIRE(again.has_value());
    made.insert(made.end(), again->begin(), again->end());
    REQUIRE((made == sealed) == expected(test));
    ++run;
  }
  return run;
}

std::size_t xchacha_of(const json& group) {
  if (group.at("ivSize") != 192) return 0;  // libsodium has no other size
  REQUIRE(sodium_init() >= 0);
  return each(group, [](const json& test) {
    const Bytes key = field(test, "key");
    const Bytes nonce = field(test, "iv");
    const Bytes aad = field(test, "aad");
    const Bytes plain = field(test, "msg");
    Bytes sealed = field(test, "ct");
    const Bytes tag = field(test, "tag");
    sealed.insert(sealed.end(), tag.begin(), tag.end());
    Bytes out(plain.size());
    const bool opened =
        crypto_aead_xchacha20poly1305_ietf_decrypt(out.data(), nullptr, nullptr, sealed.data(), sealed.size(),
                                                   aad.data(), aad.size(), nonce.data(), key.data()) == 0;
    REQUIRE(opened == expected(test));
    if (opened) REQUIRE(out == plain);
  });
}

const std::map<std::string, Runner>& runners() {
  static const std::map<std::string, Runner> all = {
      {"aes_gcm_test.json", aead({{aead_seal, aead_open}, {detail::openssl_seal, detail::openssl_open}})},
      {"aes_kwp_test.json", key_wrap("-WRAP-PAD")},
      {"aes_siv_cmac_test.json", siv_of},
      {"aes_wrap_test.json", key_wrap("-WRAP")},
      {"chacha20_poly1305_test.json", aead({{chacha_seal, chacha_open}})},
      {"ed25519_test.json", ed25519_of},
      {"hkdf_sha256_test.json", hkdf_of(Digest::kSha256)},
      {"hkdf_sha512_test.json", hkdf_of(Digest::kSha512)},
      {"hmac_sha256_test.json", hmac_of(Digest::kSha256)},
      {"hmac_sha512_test.json", hmac_of(Digest::kSha512)},
      {"x25519_test.json", x25519_of},
      {"xchacha20_poly1305_test.json", xchacha_of},
  };
  return all;
}

/// Runs every file of a folder. A file that nothing here can run fails the test.
void run_folder(const fs::path& folder) {
  std::size_t files = 0;
  for (const auto& entry : fs::directory_iterator(folder)) {
    if (entry.path().extension() != ".json") continue;
    const std::string name = entry.path().filename();
    INFO(name);
    const auto runner = runners().find(name);
    REQUIRE(runner != runners().end());
    const json vectors = json::parse(std::ifstream(entry.path()));
    std::size_t run = 0;
    std::size_t all = 0;
    for (const json& group : vectors.at("testGroups")) {
      run += runner->second(group);
      all += group.at("tests").size();
    }
    REQUIRE(all == vectors.at("numberOfTests"));
    REQUIRE(run > 0);
    std::cout << name << ": " << run << " of " << all << " cases\n";
    ++files;
  }
  REQUIRE(files > 0);
}

}  // namespace

TEST_CASE("The Wycheproof files of the tree pass: AES-256-GCM, X25519, Ed25519") {
  run_folder(fs::path(CASEVAULT_TEST_DATA) / "crypto/wycheproof");
}

TEST_CASE("Every Wycheproof file there is passes", "[.wycheproof]") {
  const char* const set = std::getenv("CASEVAULT_VECTORS");
  const fs::path folder =
      (set != nullptr ? fs::path(set) : fs::path(CASEVAULT_SOURCE_DIR) / "../shared/vectors") / "wycheproof";
  if (!fs::is_directory(folder)) {
    WARN("skipped: no vectors in " << folder.string());
    return;
  }
  run_folder(folder);
}
