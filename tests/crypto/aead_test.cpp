// SPDX-License-Identifier: Apache-2.0
#include "crypto/aead.hpp"

#include <thread>
#include <type_traits>
#include <vector>

#include "catch.hpp"
#include "crypto/hex.hpp"
#include "support/fixed_environment.hpp"

namespace {

using namespace casevault;
using namespace casevault::crypto;
using test::as;
using test::hex;

struct Implementation {
  const char* name;
  void (*seal)(KeyView, NonceView, ByteView, ByteView, MutableBytes);
  bool (*open)(KeyView, NonceView, ByteView, ByteView, MutableBytes);
};

/// Turned from key to key, as an opener of many heads is.
bool open_kept(KeyView key, NonceView nonce, ByteView aad, ByteView sealed, MutableBytes out) {
  static OpeningKey kept;
  kept.set(key);
  return kept.open(nonce, aad, sealed, out);
}

/// Those this processor has; the public entry point first.
std::vector<Implementation> implementations() {
  std::vector<Implementation> all{{"public", aead_seal, aead_open},
                                  {"kept key", aead_seal, open_kept},
                                  {"OpenSSL", detail::openssl_seal, detail::openssl_open}};
  if (detail::sodium_aes_available()) all.push_back({"libsodium", detail::sodium_seal, detail::sodium_open});
  return all;
}

struct Text {
  Bytes key, nonce, aad, plaintext;
};

Text random_text(test::SeededRandom& random, std::size_t size, std::size_t aad_size) {
  Text text{Bytes(32), Bytes(12), Bytes(aad_size), Bytes(size)};
  for (Bytes* part : {&text.key, &text.nonce, &text.aad, &text.plaintext}) random.fill(*part);
  return text;
}

Bytes seal(const Implementation& with, const Text& text) {
  Bytes out(text.plaintext.size() + kTagSize);
  with.seal(as<32>(text.key), as<12>(text.nonce), text.aad, text.plaintext, out);
  return out;
}

/// The plaintext, or nothing; checks that what did not verify was zeroed.
std::optional<Bytes> open(const Implementation& with, const Text& text, const Bytes& sealed) {
  Bytes out(sealed.size() < kTagSize ? 5 : sealed.size() - kTagSize, 0xEE);
  if (with.open(as<32>(text.key), as<12>(text.nonce), text.aad, sealed, out)) return out;
  for (const std::uint8_t byte : out) REQUIRE(byte == 0);
  return std::nullopt;
}

}  // namespace

TEST_CASE("ChaCha20-Poly1305 agrees with RFC 8439 section 2.8.2, and opens nothing that was changed") {
  const Implementation chacha{"ChaCha20-Poly1305", chacha_seal, chacha_open};
  const std::string_view sunscreen =
      "Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, sunscreen would be "
      "it.";
  Text text{test::counting(32, 0x80), test::hex("070000004041424344454647"), test::hex("50515253c0c1c2c3c4c5c6c7"),
            Bytes(sunscreen.begin(), sunscreen.end())};
  const Bytes sealed = seal(chacha, text);
  REQUIRE(sealed.size() == 114 + kTagSize);
  REQUIRE(test::hex_of(ByteView(sealed).first(16)) == "d31a8d34648e60db7b86afbc53ef7ec2");
  REQUIRE(test::hex_of(ByteView(sealed).last(16)) == "1ae10b594f09e26a7e902ecbd0600691");
  REQUIRE(open(chacha, text, sealed) == text.plaintext);
  for (std::size_t at = 0; at < sealed.size(); ++at) {
    Bytes flipped = sealed;
    flipped[at] ^= 0x10;
    REQUIRE_FALSE(open(chacha, text, flipped));
    REQUIRE_FALSE(open(chacha, text, Bytes(sealed.begin(), sealed.begin() + static_cast<std::ptrdiff_t>(at))));
  }
  for (Bytes* part : {&text.key, &text.nonce, &text.aad}) {
    part->back() ^= 1;
    REQUIRE_FALSE(open(chacha, text, sealed));
    part->back() ^= 1;
  }
}

TEST_CASE("AES-256-GCM agrees with the test cases of its specification") {
  // McGrew and Viega, The Galois/Counter Mode of Operation, test cases 13 to 16.
  const char* const key = "feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308";
  const char* const text =
      "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72"
      "1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39";
  const struct {
    Text text;
    Bytes sealed;
  } cases[] = {
      {{Bytes(32), Bytes(12), {}, {}}, hex("530f8afbc74536b9a963b4f1c4cb738b")},
      {{Bytes(32), Bytes(12), {}, Bytes(16)}, hex("cea7403d4d606b6e074ec5d3baf39d18 d0d1c8a799996bf0265b98b5d48ab919")},
      {{hex(key), hex("cafebabefacedbaddecaf888"), hex("feedfacedeadbeeffeedfacedeadbeefabaddad2"), hex(text)},
       hex("522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa"
           "8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662 76fc6ece0f4e1768cddf8853bb2d551b")},
  };
  for (const Implementation& with : implementations()) {
    INFO(with.name);
    for (const auto& [plain, sealed] : cases) {
      REQUIRE(seal(with, plain) == sealed);
      REQUIRE(open(with, plain, sealed) == plain.plaintext);
    }
  }
}

TEST_CASE("All implementations of the AEAD write the same bytes and open each other's") {
  test::SeededRandom random(1);
  std::vector<std::size_t> sizes{1022, 1023, 1024, 1025, 4095, 4096, 65535, 65536, 1'000'003};
  for (std::size_t size = 0; size < 300; ++size) sizes.push_back(size);
  for (const std::size_t size : sizes) {
    for (const std::size_t aad_size : {std::size_t{0}, std::size_t{1}, std::size_t{16}, std::size_t{77}}) {
      const Text text = random_text(random, size, aad_size);
      const Bytes sealed = seal(implementations()[0], text);
      for (const Implementation& with : implementations()) {
        INFO(with.name << " " << size << " " << aad_size);
        REQUIRE((seal(with, text) == sealed));
        REQUIRE((open(with, text, sealed) == text.plaintext));
      }
    }
  }
}

TEST_CASE("A flip of any bit of ciphertext, tag, key, nonce or associated data is refused and the output zeroed") {
  test::SeededRandom random(2);
  for (const Implementation& with : implementations()) {
    INFO(with.name);
    for (const std::size_t size : {std::size_t{0}, std::size_t{1}, std::size_t{33}, std::size_t{1100}}) {
      const Text text = random_text(random, size, 9);
      const Bytes sealed = seal(with, text);
      const std::size_t step = size > 100 ? 7 : 1;
      for (std::size_t bit = 0; bit < sealed.size() * 8; bit += step) {
        Bytes changed = sealed;
        changed[bit / 8] = static_cast<std::uint8_t>(changed[bit / 8] ^ 1U << bit % 8);
        REQUIRE_FALSE(open(with, text, changed).has_value());
      }
      for (Bytes Text::* part : {&Text::key, &Text::nonce, &Text::aad}) {
        for (std::size_t bit = 0; bit < (text.*part).size() * 8; ++bit) {
          Text changed = text;
          std::uint8_t& byte = (changed.*part)[bit / 8];
          byte = static_cast<std::uint8_t>(byte ^ 1U << bit % 8);
          REQUIRE_FALSE(open(with, changed, sealed).has_value());
        }
      }
      Text longer = text;
      longer.aad.push_back(0);
      REQUIRE_FALSE(open(with, longer, sealed).has_value());
    }
  }
}

TEST_CASE("A truncated or extended sealed text is refused") {
  test::SeededRandom random(3);
  for (const Implementation& with : implementations()) {
    INFO(with.name);
    const Text text = random_text(random, 40, 3);
    const Bytes sealed = seal(with, text);
    for (std::size_t size = 0; size < sealed.size(); ++size) {
      REQUIRE_FALSE(open(with, text, Bytes(sealed.begin(), sealed.begin() + static_cast<std::ptrdiff_t>(size))));
      REQUIRE_FALSE(open(with, text, Bytes(sealed.end() - static_cast<std::ptrdiff_t>(size), sealed.end())));
    }
    Bytes longer = sealed;
    longer.push_back(0);
    REQUIRE_FALSE(open(with, text, longer));
  }
}

TEST_CASE("One AES block agrees with FIPS 197 appendix C.3, both ways") {
  static_assert(std::is_nothrow_move_constructible_v<Aes256Block> && !std::is_copy_constructible_v<Aes256Block>);
  const Bytes key = test::counting(32);
  std::array<std::uint8_t, 16> plain{};
  for (std::size_t i = 0; i < 16; ++i) plain[i] = static_cast<std::uint8_t>(i * 0x11);
  Aes256Block aes(as<32>(key));
  const auto sealed = aes.encrypt(plain);
  REQUIRE(test::hex_of(sealed) == "8ea2b7ca516745bfeafc49904b496089");
  REQUIRE(aes.decrypt(sealed) == plain);

  Aes256Block moved(std::move(aes));
  REQUIRE(moved.encrypt(plain) == sealed);
  Aes256Block other(as<32>(Bytes(32)));
  REQUIRE(other.encrypt(plain) != sealed);
  other = std::move(moved);
  REQUIRE(other.encrypt(plain) == sealed);
}

TEST_CASE("One AES object serves several threads at once") {
  const Bytes key = test::counting(32);
  const Aes256Block aes(as<32>(key));
  std::array<bool, 4> sound{};
  std::vector<std::thread> threads;
  for (std::size_t t = 0; t < sound.size(); ++t) {
    threads.emplace_back([&aes, &sound, t] {
      bool good = true;
      for (std::uint8_t i = 0; i < 250; ++i) {
        std::array<std::uint8_t, 16> block{};
        block[t] = i;
        good = good && aes.decrypt(aes.encrypt(block)) == block;
      }
      sound[t] = good;
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (const bool good : sound) REQUIRE(good);
}
