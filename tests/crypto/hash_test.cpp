// SPDX-License-Identifier: Apache-2.0
#include "crypto/hash.hpp"

#include <sys/resource.h>

#include <set>

#include "base/process.hpp"
#include "catch.hpp"
#include "crypto/hex.hpp"
#include "format/labels.hpp"

namespace {

using namespace casevault;
using namespace casevault::crypto;
using test::as;
using test::counting;
using test::hex_of;

std::string derived(LabelView label, ByteView key, ByteView message) {
  std::array<std::uint8_t, 64> out{};
  derive64(label, key, message, out);
  return hex_of(out);
}

}  // namespace

TEST_CASE("SHA-256 agrees with FIPS 180-4 and hashes the concatenation of its parts") {
  REQUIRE(hex_of(sha256({})) == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  const std::string abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
  REQUIRE(hex_of(sha256({as_bytes("abc")})) == abc);
  REQUIRE(hex_of(sha256({as_bytes("a"), {}, as_bytes("bc")})) == abc);
  REQUIRE(hex_of(sha256({as_bytes("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq")})) ==
          "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
}

TEST_CASE("HMAC agrees with RFC 4231 and HKDF with RFC 5869") {
  const Bytes key(20, 0x0B);
  Bytes out(64);
  hmac(Digest::kSha512, key, as_bytes("Hi There"), out);  // RFC 4231 section 4.2
  REQUIRE(hex_of(out) ==
          "87aa7cdea5ef619d4ff0b4241a1d6cb02379f4e2ce4ec2787ad0b30545e17cdedaa833b7d6b8a702038b274eaea3f4e4be9d914eeb61"
          "f1702"
          "e696c203a126854");
  out.resize(16);  // section 4.6
  hmac(Digest::kSha256, Bytes(20, 0x0C), as_bytes("Test With Truncation"), out);
  REQUIRE(hex_of(out) == "a3b6167473100ee06e0c796c2955552b");

  out.resize(42);  // RFC 5869 appendix A.1 and A.3
  hkdf(Digest::kSha256, test::hex("000102030405060708090a0b0c"), Bytes(22, 0x0B), test::hex("f0f1f2f3f4f5f6f7f8f9"),
       out);
  REQUIRE(hex_of(out) == "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865");
  hkdf(Digest::kSha256, {}, Bytes(22, 0x0B), {}, out);
  REQUIRE(hex_of(out) == "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8");
  Bytes most(255 * 64);
  hkdf(Digest::kSha512, {}, key, {}, most);
  Bytes first(64);
  hkdf(Digest::kSha512, {}, key, {}, first);
  REQUIRE(std::equal(first.begin(), first.end(), most.begin()));
}

TEST_CASE("BLAKE2b agrees with RFC 7693 and the reference vectors") {
  REQUIRE(hex_of(blake2b256(as_bytes("abc"))) == "bddd813c634239723171ef3fee98579b94964e3bb1cb3e427262c8c068d52319");
  REQUIRE(hex_of(blake2b256({})) == "0e5751c026e543b2e8ab2eb06099daa1d1e5df47778f7787faab45cdf12fe3a8");
  // With neither label nor salt the derivation is plain keyed BLAKE2b-512: first of the reference KAT.
  const format::Label none{};
  REQUIRE(derived(none, counting(64), {}) ==
          "10ebb67700b1868efb4417987acf4690ae9d972fb7a590c2f02871799aaa4786"
          "b5e996e8f0f4eb981fc214b005f42d2ff4233499391653df7aefcbc13fc51568");
}

TEST_CASE("The derivation agrees with another implementation of personalised BLAKE2b") {
  // hashlib.blake2b(b"message", digest_size=64, key=bytes(range(100, 132)), salt=bytes(16), person=label)
  const Bytes key = counting(32, 100);
  const std::string expected =
      "609d7ec143056ba932e54fcdd284c088602c332916aa69a85c3c986792b76985"
      "8a706c16b5093dd40db277e3686fc486868ef69914e8ff5cbcee7ac9a713a184";
  REQUIRE(derived(format::kVaultKeyGrant, key, as_bytes("message")) == expected);
  Hash half{};
  derive32(format::kVaultKeyGrant, key, as_bytes("message"), half);
  REQUIRE(hex_of(half) == expected.substr(0, 64));
  REQUIRE(hex_of(derive_key(format::kVaultKeyGrant, key, as_bytes("message")).view()) == expected.substr(0, 64));
}

TEST_CASE("Both libraries derive the same") {
  const Bytes bytes = counting(200, 5);
  for (const std::size_t key_size : {std::size_t{32}, std::size_t{47}, std::size_t{64}}) {
    for (std::size_t size = 0; size <= 130; ++size) {
      const ByteView key = ByteView(bytes).last(key_size);
      const ByteView message = ByteView(bytes).first(size);
      std::array<std::uint8_t, 64> ours{};
      std::array<std::uint8_t, 64> theirs{};
      REQUIRE(detail::openssl_derive64(format::kCell, key, message, ours));
      detail::sodium_derive64(format::kCell, key, message, theirs);
      REQUIRE(ours == theirs);
    }
  }
}

TEST_CASE("Label, key, its length and message each change what is derived") {
  Bytes key = counting(32);
  std::set<std::string> seen;
  for (const format::Label& label : {format::kVaultKeyGrant, format::kCell, format::kTreeNode}) {
    for (const std::string_view message : {"", "m", "mm"}) {
      for (const std::size_t size : {std::size_t{32}, std::size_t{33}, std::size_t{64}}) {
        REQUIRE(seen.insert(derived(label, counting(size), as_bytes(message))).second);
      }
      key[31] ^= 1;
      REQUIRE(seen.insert(derived(label, key, as_bytes(message))).second);
      key[31] ^= 1;
    }
  }
}

TEST_CASE("SipHash-2-4 agrees with the vectors of its paper and uses the first half of the key") {
  Bytes key = counting(32);
  REQUIRE(siphash(as<32>(key), counting(15)) == 0xa129ca6149be45e5U);
  REQUIRE(siphash(as<32>(key), {}) == 0x726fdb47dd0e0e31U);
  key[16] ^= 1;
  REQUIRE(siphash(as<32>(key), counting(15)) == 0xa129ca6149be45e5U);
  key[15] ^= 1;
  REQUIRE(siphash(as<32>(key), counting(15)) != 0xa129ca6149be45e5U);
}

TEST_CASE("Argon2id agrees with another implementation") {
  // cryptography 48: Argon2id(salt=bytes(range(16)), length=32, iterations=t, lanes=1, memory_cost=65536)
  const Bytes salt = counting(16);
  REQUIRE(hex_of(REQUIRE_OK(argon2id(as_bytes("correct horse"), as<16>(salt), {1, 65536})).view()) ==
          "fc8135cb0b278c487da7b351052a7bc3a6c11e6ae6394b40276aaf23559ffda2");
  REQUIRE(hex_of(REQUIRE_OK(argon2id({}, as<16>(salt), {2, 65536})).view()) ==
          "bed4350c496024724d50592eb2cd4f61b3333ea871c495f63a4f687aed67f82c");
}

TEST_CASE("Argon2id refuses costs that a hostile file may ask for, before it takes memory") {
  const Bytes salt = counting(16);
  const Argon2Cost hostile[] = {{0, 65536},      {9, 65536}, {UINT32_MAX, 65536},
                                {3, 65535},      {3, 0},     {3, 1024 * 1024 + 1},
                                {3, UINT32_MAX}, {0, 0},     {UINT32_MAX, UINT32_MAX}};
  for (const Argon2Cost cost : hostile) {
    REQUIRE_ERROR(ErrorCode::kUnsupported, argon2id(as_bytes("x"), as<16>(salt), cost));
  }
}

#if !defined(__SANITIZE_ADDRESS__)  // the sanitizer itself cannot live under the limit
TEST_CASE("Argon2id says so when it cannot have its memory") {
  const Bytes salt = counting(16);
  const int status = test::in_child([&salt] {
    const rlimit limit{512U << 20U, 512U << 20U};
    if (::setrlimit(RLIMIT_AS, &limit) != 0) return 1;
    const Result<SecretBytes> result = argon2id(as_bytes("x"), as<16>(salt), {1, 1024 * 1024});
    return !result && result.error().code == ErrorCode::kIo ? 0 : 2;
  });
  REQUIRE(status == 0);
}
#endif

TEST_CASE("scrypt agrees with RFC 7914") {
  // Section 12, r = 8 and p = 1; its 64 bytes begin with our 32.
  REQUIRE(hex_of(REQUIRE_OK(scrypt(as_bytes("pleaseletmein"), as_bytes("SodiumChloride"), 14)).view()) ==
          "7023bdcb3afd7348461c06cd81fd38ebfda8fbba904f8e3ea9b543f6545da1f2");
}

TEST_CASE("scrypt refuses work factors that a hostile file may ask for, before it takes memory") {
  for (const unsigned log2_n : {0U, 21U, 23U, 63U, 64U, 100U, UINT32_MAX}) {
    REQUIRE_ERROR(ErrorCode::kUnsupported, scrypt(as_bytes("x"), as_bytes("salt"), log2_n));
  }
}
