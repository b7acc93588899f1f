// SPDX-License-Identifier: Apache-2.0
#include "crypto/keypair.hpp"

#include "catch.hpp"
#include "crypto/hex.hpp"
#include "format/labels.hpp"
#include "support/fixed_environment.hpp"

namespace {

using namespace casevault;
using namespace casevault::crypto;
using test::as;
using test::hex;
using test::hex_of;

void flip(Bytes& bytes, std::size_t bit) { bytes[bit / 8] = static_cast<std::uint8_t>(bytes[bit / 8] ^ 1U << bit % 8); }

}  // namespace

TEST_CASE("X25519 agrees with RFC 7748") {
  const Bytes scalar = hex("a546e36bf0527c9d3b16154b82465edd62144c0ac1fc5a18506a2244ba449ac4");
  const Bytes point = hex("e6db6867583030db3594c1a424b15f7c726624ec26b3353b10a903a6d0ab1c4c");
  REQUIRE(hex_of(REQUIRE_OK(x25519(as<32>(scalar), as<32>(point))).view()) ==
          "c3da55379de9c6908e94ea4df28d084f32eccf03491c71f754b4075577a28552");

  const Bytes alice_public = hex("8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a");
  const Bytes bob = hex("5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb");
  REQUIRE(hex_of(x25519_public(as<32>(bob))) == "de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f");
  REQUIRE(hex_of(REQUIRE_OK(x25519(as<32>(bob), as<32>(alice_public))).view()) ==
          "4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742");
}

TEST_CASE("X25519 refuses every low-order point") {
  const Bytes secret = test::counting(32, 1);
  // The points of order 1, 2, 4 and 8, and their non-canonical spellings (p, p + 1).
  for (const char* point : {"0000000000000000000000000000000000000000000000000000000000000000",
                            "0100000000000000000000000000000000000000000000000000000000000000",
                            "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
                            "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
                            "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
                            "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
                            "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"}) {
    Bytes bytes = hex(point);
    REQUIRE_ERROR(ErrorCode::kBadInput, x25519(as<32>(secret), as<32>(bytes)));
    bytes[31] |= 0x80;  // the top bit is ignored, so it must not help
    REQUIRE_ERROR(ErrorCode::kBadInput, x25519(as<32>(secret), as<32>(bytes)));
  }
}

TEST_CASE("Ed25519 agrees with RFC 8032") {
  const struct {
    const char *seed, *public_key, *message, *signature;
  } cases[] = {
      {"9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
       "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a", "",
       "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e06522490155"
       "5fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b"},
      {"c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
       "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025", "af82",
       "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac"
       "18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a"},
  };
  for (const auto& [seed_hex, public_hex, message_hex, signature_hex] : cases) {
    const Bytes seed = hex(seed_hex);
    const Bytes public_key = hex(public_hex);
    const Bytes message = hex(message_hex);
    REQUIRE(hex_of(ed25519_public(as<32>(seed))) == public_hex);
    REQUIRE(hex_of(sign_raw(as<32>(seed), message)) == signature_hex);
    REQUIRE(verify_raw(as<32>(public_key), message, hex(signature_hex)));
  }
}

TEST_CASE("A signature binds every bit of message, signature and key, and its own length") {
  const Bytes seed = test::counting(32, 7);
  const PublicKey signer = ed25519_public(as<32>(seed));
  const Bytes public_key(signer.begin(), signer.end());
  const Bytes message = test::counting(20);
  const Signature made = sign(format::kLogBatch, as<32>(seed), message);
  const Bytes signature(made.begin(), made.end());
  const auto accepts = [](const Bytes& key, const Bytes& text, const Bytes& mark) {
    return verify(format::kLogBatch, as<32>(key), text, mark);
  };
  REQUIRE(accepts(public_key, message, signature));
  for (std::size_t bit = 0; bit < message.size() * 8; ++bit) {
    Bytes changed = message;
    flip(changed, bit);
    REQUIRE_FALSE(accepts(public_key, changed, signature));
  }
  for (std::size_t bit = 0; bit < signature.size() * 8; ++bit) {
    Bytes changed = signature;
    flip(changed, bit);
    REQUIRE_FALSE(accepts(public_key, message, changed));
  }
  for (std::size_t bit = 0; bit < public_key.size() * 8; ++bit) {
    Bytes changed = public_key;
    flip(changed, bit);
    REQUIRE_FALSE(accepts(changed, message, signature));
  }
  for (std::size_t size = 0; size < 64; ++size) {
    REQUIRE_FALSE(accepts(public_key, message, Bytes(signature.begin(), signature.begin() + static_cast<int>(size))));
  }
  Bytes longer = signature;
  longer.push_back(0);
  REQUIRE_FALSE(accepts(public_key, message, longer));
}

TEST_CASE("A signature made for one label never verifies under another, nor without one") {
  const Bytes seed = test::counting(32, 7);
  const PublicKey public_key = ed25519_public(as<32>(seed));
  const Bytes message = test::counting(20);
  const Signature signature = sign(format::kLogBatch, as<32>(seed), message);
  REQUIRE_FALSE(verify(format::kPrincipalFile, public_key, message, signature));
  REQUIRE_FALSE(verify_raw(public_key, message, signature));
  REQUIRE_FALSE(verify(format::kLogBatch, public_key, message, sign_raw(as<32>(seed), message)));
  Bytes labelled(format::kLogBatch.begin(), format::kLogBatch.end());
  labelled.insert(labelled.end(), message.begin(), message.end());
  REQUIRE(verify_raw(public_key, labelled, signature));
}

TEST_CASE("A signer that keeps its key signs as the seed does, and for its label only") {
  const Bytes seed = test::counting(32, 7);
  const Bytes message = test::counting(200, 1);
  const Signer signer(as<32>(seed));
  for (int i = 0; i < 2; ++i) {
    const Signature signature = signer.sign(format::kLogBatch, message);
    CHECK(signature == sign(format::kLogBatch, as<32>(seed), message));
    CHECK(verify(format::kLogBatch, ed25519_public(as<32>(seed)), message, signature));
    CHECK_FALSE(verify(format::kPrincipalFile, ed25519_public(as<32>(seed)), message, signature));
  }
}

TEST_CASE("A small-order public key verifies nothing") {
  // With these keys a forger would need no secret: R = S·B verifies for (nearly) any message.
  Signature forged{};
  forged[0] = 1;
  for (const char* weak : {"0100000000000000000000000000000000000000000000000000000000000000",
                           "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
                           "0000000000000000000000000000000000000000000000000000000000000000"}) {
    const Bytes key = hex(weak);
    for (std::uint8_t i = 0; i < 32; ++i) REQUIRE_FALSE(verify_raw(as<32>(key), Bytes{i}, forged));
  }
}

TEST_CASE("A new key is 32 bytes of the given randomness, in the arena") {
  test::SeededRandom random(3);
  test::SeededRandom same(3);
  const std::size_t before = memory_lock_status().bytes_in_use;
  const SecretBytes key = random_key(random);
  REQUIRE(memory_lock_status().bytes_in_use == before + 32);
  Bytes expected(32);
  same.fill(expected);
  REQUIRE(key.equals(expected));
  REQUIRE(equal(key_of(key), expected));
  REQUIRE_FALSE(random_key(random).equals(expected));
}

TEST_CASE("Comparing and wiping look at every byte") {
  Bytes a = test::counting(70);
  const Bytes b = a;
  REQUIRE(equal(a, b));
  REQUIRE(equal({}, {}));
  REQUIRE_FALSE(equal(a, ByteView(b).first(69)));
  for (std::size_t bit = 0; bit < a.size() * 8; ++bit) {
    flip(a, bit);
    REQUIRE_FALSE(equal(a, b));
    flip(a, bit);
  }
  wipe(a);
  REQUIRE(a == Bytes(70));
  wipe({});
}
