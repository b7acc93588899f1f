// SPDX-License-Identifier: Apache-2.0
#include "crypto/envelope.hpp"

#include "base/cursor.hpp"
#include "catch.hpp"
#include "crypto/aead.hpp"
#include "crypto/hash.hpp"
#include "crypto/hex.hpp"
#include "crypto/keypair.hpp"
#include "format/labels.hpp"
#include "support/fixed_environment.hpp"

namespace {

using namespace casevault;
using namespace casevault::crypto;
using test::as;
using test::counting;
using test::hex_of;

/// 0, 1, 2, ... so that an envelope has one expected spelling.
class CountingRandom final : public base::Random {
 public:
  void fill(MutableBytes out) override {
    for (std::uint8_t& byte : out) byte = next_++;
  }

 private:
  std::uint8_t next_ = 0;
};

constexpr const format::Label& kLabel = format::kVaultKeyGrant;
const ByteView kContext = as_bytes("vault 1, record 2");
const ByteView kText = as_bytes("attack at dawn");

Bytes flipped(const Bytes& bytes, std::size_t bit) {
  Bytes out = bytes;
  out[bit / 8] = static_cast<std::uint8_t>(out[bit / 8] ^ 1U << bit % 8);
  return out;
}

Bytes cut(const Bytes& bytes, std::size_t size) {
  return Bytes(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(size));
}

struct Recipient {
  explicit Recipient(std::uint8_t start) : secret(counting(32, start)), point(x25519_public(as<32>(secret))) {}
  [[nodiscard]] Result<SecretBytes> open(const Bytes& box, const format::Label& label = kLabel,
                                         ByteView context = kContext) const {
    return open_box(label, as<32>(secret), point, context, box);
  }
  Bytes secret;
  PublicKey point;
};

}  // namespace

TEST_CASE("An envelope has the bytes that its description says") {
  // Computed from the header's description with Python's hashlib and cryptography.
  const Bytes key = counting(32, 100);
  CountingRandom random;
  const Bytes envelope = seal_envelope(kLabel, as<32>(key), kContext, kText, random);
  REQUIRE(hex_of(envelope) ==
          "01000102030405060708090a0b0c0d0e0f1011121314151617f953db459cd48d2ef4c6f12c8569cc0baf8199f57d739dab6fe3"
          "33213c05c4529a9c05a04e5b07dec51b99f7f4b93b10e44e828ac9f0f725ef580c31bd1b");
  REQUIRE(REQUIRE_OK(open_envelope(kLabel, as<32>(key), kContext, envelope)).equals(kText));
}

TEST_CASE("A box has the bytes that its description says") {
  const Recipient recipient(200);
  CountingRandom random;
  const Bytes box = REQUIRE_OK(seal_box(kLabel, recipient.point, kContext, kText, random));
  REQUIRE(hex_of(box) ==
          "8f40c5adb68f25624ae5b214ea767a6ec94d829d3d7b5e1ad1ba6f3e2138285f01202122232425262728292a2b2c2d2e2f3031"
          "323334353637fff28ef982fcca9f99b26069d64f8a86909fe72a5234dff09a6d15cd8fc57b2bd4c8b22ff222fcefe2803ff9e1"
          "2dab0d4f8a3a3d6818fd36c51aad656b37");
  REQUIRE(REQUIRE_OK(recipient.open(box)).equals(kText));
}

TEST_CASE("Envelopes and boxes of every size open to what was sealed") {
  test::SeededRandom random(4);
  const Bytes key = counting(32);
  const Recipient recipient(50);
  for (const std::size_t size :
       {std::size_t{0}, std::size_t{1}, std::size_t{32}, std::size_t{1023}, std::size_t{1024}, std::size_t{70'000}}) {
    Bytes text(size);
    random.fill(text);
    const Bytes envelope = seal_envelope(kLabel, as<32>(key), {}, text, random);
    REQUIRE(envelope.size() == size + kEnvelopeOverhead);
    REQUIRE(REQUIRE_OK(open_envelope(kLabel, as<32>(key), {}, envelope)).equals(text));
    const Bytes box = REQUIRE_OK(seal_box(kLabel, recipient.point, {}, text, random));
    REQUIRE(box.size() == size + kBoxOverhead);
    REQUIRE(REQUIRE_OK(recipient.open(box, kLabel, {})).equals(text));
  }
}

TEST_CASE("Every flipped bit of an envelope is refused, with the code that fits its place") {
  test::SeededRandom random(5);
  const Bytes key = counting(32);
  const Bytes envelope = seal_envelope(kLabel, as<32>(key), kContext, kText, random);
  for (std::size_t bit = 0; bit < envelope.size() * 8; ++bit) {
    const std::size_t at = bit / 8;
    const ErrorCode expected = at == 0   ? ErrorCode::kUnsupported
                               : at < 57 ? ErrorCode::kWrongKey  // salt or commitment
                                         : ErrorCode::kIntegrity;
    CAPTURE(bit);
    REQUIRE_ERROR(expected, open_envelope(kLabel, as<32>(key), kContext, flipped(envelope, bit)));
  }
}

TEST_CASE("Another key, label or context is a wrong key") {
  test::SeededRandom random(6);
  const Bytes key = counting(32);
  const Bytes envelope = seal_envelope(kLabel, as<32>(key), kContext, kText, random);
  for (std::size_t bit = 0; bit < 256; ++bit) {
    const Bytes other = flipped(key, bit);
    REQUIRE_ERROR(ErrorCode::kWrongKey, open_envelope(kLabel, as<32>(other), kContext, envelope));
  }
  REQUIRE_ERROR(ErrorCode::kWrongKey, open_envelope(format::kEpochGrant, as<32>(key), kContext, envelope));
  for (const std::string_view context : {"", "vault 1, record 3", "vault 1, record ", "vault 1, record 22"}) {
    REQUIRE_ERROR(ErrorCode::kWrongKey, open_envelope(kLabel, as<32>(key), as_bytes(context), envelope));
  }
}

TEST_CASE("Every truncation of an envelope or box is an integrity error, never a crash or a success") {
  test::SeededRandom random(7);
  const Bytes key = counting(32);
  const Recipient recipient(50);
  const Bytes envelope = seal_envelope(kLabel, as<32>(key), kContext, kText, random);
  const Bytes box = REQUIRE_OK(seal_box(kLabel, recipient.point, kContext, kText, random));
  for (std::size_t size = 0; size < envelope.size(); ++size) {
    REQUIRE_ERROR(ErrorCode::kIntegrity, open_envelope(kLabel, as<32>(key), kContext, cut(envelope, size)));
  }
  for (std::size_t size = 0; size < box.size(); ++size) {
    REQUIRE_ERROR(ErrorCode::kIntegrity, recipient.open(cut(box, size)));
  }
  Bytes longer = envelope;
  longer.push_back(0);
  REQUIRE_ERROR(ErrorCode::kIntegrity, open_envelope(kLabel, as<32>(key), kContext, longer));
}

TEST_CASE("The same text sealed twice shares nothing but the suite") {
  test::SeededRandom random(8);
  const Bytes key = counting(32);
  const Bytes a = seal_envelope(kLabel, as<32>(key), kContext, Bytes(64), random);
  const Bytes b = seal_envelope(kLabel, as<32>(key), kContext, Bytes(64), random);
  for (std::size_t at = 1; at + 8 <= a.size(); at += 8) {
    REQUIRE_FALSE(std::equal(a.begin() + static_cast<int>(at), a.begin() + static_cast<int>(at) + 8,
                             b.begin() + static_cast<int>(at)));
  }
}

TEST_CASE("An envelope made to open under two keys is refused under the second") {
  // The commitment belongs to one key: splice a body that is good under the other key behind it.
  test::SeededRandom random(9);
  const Bytes ours = counting(32);
  const Bytes theirs = counting(32, 1);
  const Bytes envelope = seal_envelope(kLabel, as<32>(ours), kContext, kText, random);
  Bytes message;
  base::Writer(message).u8(1).bytes(ByteView(envelope).subspan(1, 24)).bytes(kContext);
  std::array<std::uint8_t, 64> pair{};
  derive64(kLabel, theirs, message, pair);
  Bytes spliced = envelope;
  const Bytes nonce(12);
  aead_seal(std::span<const std::uint8_t, 64>(pair).first<32>(), as<12>(nonce), {}, kText,
            MutableBytes(spliced).subspan(57));
  REQUIRE_ERROR(ErrorCode::kWrongKey, open_envelope(kLabel, as<32>(theirs), kContext, spliced));
  REQUIRE_ERROR(ErrorCode::kIntegrity, open_envelope(kLabel, as<32>(ours), kContext, spliced));
}

TEST_CASE("Every flipped bit of a box is refused") {
  test::SeededRandom random(10);
  const Recipient recipient(50);
  const Bytes box = REQUIRE_OK(seal_box(kLabel, recipient.point, kContext, kText, random));
  for (std::size_t bit = 0; bit < box.size() * 8; ++bit) {
    CAPTURE(bit);
    REQUIRE_FALSE(recipient.open(flipped(box, bit)).has_value());
  }
  // X25519 ignores the top bit of a point, the key of the box does not.
  REQUIRE_ERROR(ErrorCode::kWrongKey, recipient.open(flipped(box, 255)));
}

TEST_CASE("A box opens for its recipient, label and context only") {
  test::SeededRandom random(11);
  const Recipient recipient(50);
  const Recipient other(51);
  const Bytes box = REQUIRE_OK(seal_box(kLabel, recipient.point, kContext, kText, random));
  REQUIRE_ERROR(ErrorCode::kWrongKey, other.open(box));
  REQUIRE_ERROR(ErrorCode::kWrongKey, recipient.open(box, format::kEpochGrant));
  REQUIRE_ERROR(ErrorCode::kWrongKey, recipient.open(box, kLabel, as_bytes("vault 2, record 2")));
  REQUIRE_ERROR(ErrorCode::kWrongKey, open_box(kLabel, as<32>(recipient.secret), other.point, kContext, box));
}

TEST_CASE("A box is neither sealed to a low-order point nor opened from one") {
  test::SeededRandom random(12);
  const Bytes zero(32);
  REQUIRE_ERROR(ErrorCode::kBadInput, seal_box(kLabel, as<32>(zero), kContext, kText, random));
  const Recipient recipient(50);
  Bytes box = REQUIRE_OK(seal_box(kLabel, recipient.point, kContext, kText, random));
  std::fill_n(box.begin(), 32, std::uint8_t{0});
  REQUIRE_ERROR(ErrorCode::kIntegrity, recipient.open(box));
}
