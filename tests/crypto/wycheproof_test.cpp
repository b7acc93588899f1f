// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <fstream>
#include <nlohmann/json.hpp>

#include "catch.hpp"
#include "crypto/aead.hpp"
#include "crypto/hex.hpp"
#include "crypto/keypair.hpp"

namespace {

using namespace casevault;
using namespace casevault::crypto;
using nlohmann::json;
using test::as;

json load(const std::string& name) {
  std::ifstream in(std::string(CASEVAULT_TEST_DATA) + "/crypto/wycheproof/" + name);
  return json::parse(in);
}

Bytes field(const json& object, const char* name) { return test::hex(object.at(name).get<std::string>()); }

}  // namespace

TEST_CASE("AES-256-GCM passes Wycheproof") {
  std::size_t run = 0;
  const json vectors = load("aes_gcm_test.json");
  for (const json& group : vectors.at("testGroups")) {
    if (group.at("keySize") != 256 || group.at("ivSize") != 96 || group.at("tagSize") != 128) continue;
    for (const json& test : group.at("tests")) {
      INFO("tcId " << test.at("tcId"));
      const bool valid = test.at("result") == "valid";
      const Bytes key = field(test, "key");
      const Bytes nonce = field(test, "iv");
      const Bytes aad = field(test, "aad");
      const Bytes plaintext = field(test, "msg");
      Bytes sealed = field(test, "ct");
      const Bytes tag = field(test, "tag");
      sealed.insert(sealed.end(), tag.begin(), tag.end());
      Bytes out(sealed.size() - kTagSize);
      for (const auto open : {&aead_open, &detail::openssl_open}) {
        REQUIRE(open(as<32>(key), as<12>(nonce), aad, sealed, out) == valid);
        if (valid) REQUIRE(out == plaintext);
      }
      Bytes again(plaintext.size() + kTagSize);
      aead_seal(as<32>(key), as<12>(nonce), aad, plaintext, again);
      REQUIRE((again == sealed) == valid);
      ++run;
    }
  }
  REQUIRE(run >= 60);
}

TEST_CASE("X25519 passes Wycheproof, and an all-zero secret is refused") {
  std::size_t run = 0;
  const json vectors = load("x25519_test.json");
  for (const json& group : vectors.at("testGroups")) {
    for (const json& test : group.at("tests")) {
      INFO("tcId " << test.at("tcId"));
      const Bytes secret = field(test, "private");
      const Bytes point = field(test, "public");
      const Bytes shared = field(test, "shared");
      const Result<SecretBytes> result = x25519(as<32>(secret), as<32>(point));
      REQUIRE(result.has_value() == (shared != Bytes(32)));
      if (result) REQUIRE(result->equals(shared));
      ++run;
    }
  }
  REQUIRE(run == 518);
}

TEST_CASE("Ed25519 passes Wycheproof") {
  std::size_t run = 0;
  const json vectors = load("ed25519_test.json");
  for (const json& group : vectors.at("testGroups")) {
    const Bytes public_key = field(group.at("publicKey"), "pk");
    for (const json& test : group.at("tests")) {
      INFO("tcId " << test.at("tcId"));
      REQUIRE(verify_raw(as<32>(public_key), field(test, "msg"), field(test, "sig")) == (test.at("result") == "valid"));
      ++run;
    }
  }
  REQUIRE(run == 151);
}
