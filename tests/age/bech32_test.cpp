// SPDX-License-Identifier: Apache-2.0
#include "age/bech32.hpp"

#include <algorithm>
#include <cctype>

#include "age/recipient.hpp"
#include "catch.hpp"
#include "crypto/hex.hpp"
#include "support/fixed_environment.hpp"

namespace {

using namespace casevault;
using namespace casevault::age;

// The key pair of the vectors of C2SP/CCTV, where the identity is named; the recipient is its public key.
constexpr std::string_view kIdentity = "AGE-SECRET-KEY-1EGTZVFFV20835NWYV6270LXYVK2VKNX2MMDKWYKLMGR48UAWX40Q2P2LM0";

}  // namespace

TEST_CASE("Bech32 takes the valid strings of BIP-173") {
  for (const std::string_view text :
       {"A12UEL5L", "a12uel5l",
        "an83characterlonghumanreadablepartthatcontainsthenumber1andtheexcludedcharactersbio1tt5tgs",
        "abcdef1qpzry9x8gf2tvdw0s3jn54khce6mua7lmqqqxw",
        "11qqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqc8247j", "?1ezyfcl"}) {
    INFO(text);
    const auto decoded = bech32_decode(text);
    REQUIRE(decoded.has_value());
    REQUIRE(bech32_encode(decoded->prefix, decoded->data.view()).text() == text);
  }
}

TEST_CASE("Bech32 refuses the invalid strings of BIP-173") {
  for (const std::string_view text :
       {"\x20"
        "1nwldj5",
        "\x7F"
        "1axkwrx",
        "\x80"
        "1eym55h",
        "an84characterslonghumanreadablepartthatcontainsthenumber1andtheexcludedcharactersbio1569pvx", "pzry9x0s0muk",
        "1pzry9x0s0muk", "x1b4n0q5v", "li1dgmt3", "de1lg7wt\xFF", "A1G7SGD8", "10a06t8", "1qzzfhee", "", "1", "a1",
        "A12uEL5L", "a12UEL5L"}) {
    INFO(text);
    REQUIRE_FALSE(bech32_decode(text).has_value());
  }
}

TEST_CASE("Bech32 refuses padding that is a digit long or not zero") {
  // Right checksums all of them.
  REQUIRE(bech32_decode("a1qqqd87cq")->data.equals(Bytes(1)));
  for (const std::string_view text : {"a1q3g6mn3", "a1qqqd87cpp", "a1qqqqqq3q4q7k", "a1qpamnt9j", "a1qqqpkq7t3x"}) {
    INFO(text);
    REQUIRE_FALSE(bech32_decode(text).has_value());
  }
}

TEST_CASE("Bech32 gives back any bytes in either case, and every single changed character is found") {
  test::SeededRandom random(5);
  for (std::size_t size = 0; size < 70; ++size) {
    Bytes data(size);
    random.fill(data);
    for (const std::string_view prefix : {"age", "AGE-SECRET-KEY-"}) {
      std::string text(bech32_encode(prefix, data).text());
      const auto decoded = bech32_decode(text);
      REQUIRE(decoded.has_value());
      REQUIRE(decoded->prefix == prefix);
      REQUIRE(decoded->data.equals(data));
      for (char& c : text) {
        const char right = c;
        c = right == 'q' || right == 'Q' ? static_cast<char>(right - 1) : static_cast<char>(right ^ 1);
        REQUIRE_FALSE(bech32_decode(text).has_value());
        c = right;
      }
    }
  }
}

TEST_CASE("Recipients and identities are read as age-keygen writes them, and in no other way") {
  const Identity identity = REQUIRE_OK(Identity::parse(kIdentity));
  REQUIRE(identity.text().text() == kIdentity);
  const std::string recipient = identity.recipient().text();
  REQUIRE(recipient.size() == 62);
  REQUIRE(REQUIRE_OK(Recipient::parse(recipient)).key() == crypto::x25519_public(identity.secret()));

  const auto upper = [](std::string text) {
    std::ranges::transform(text, text.begin(), [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
    return text;
  };
  const auto lower = [](std::string text) {
    std::ranges::transform(text, text.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    return text;
  };
  const std::string other_size(bech32_encode("age", Bytes(31)).text());
  const std::string other_prefix(bech32_encode("aged", Bytes(32)).text());
  for (const std::string& text : {upper(recipient), recipient + " ", " " + recipient, recipient.substr(1), other_size,
                                  other_prefix, std::string(kIdentity), std::string(), std::string(5000, 'a')}) {
    REQUIRE_ERROR(ErrorCode::kBadInput, Recipient::parse(text));
  }
  for (const std::string& text : {lower(std::string(kIdentity)), std::string(kIdentity) + "\n", recipient,
                                  std::string(), std::string(bech32_encode("AGE-SECRET-KEY-", Bytes(33)).text())}) {
    REQUIRE_ERROR(ErrorCode::kBadInput, Identity::parse(text));
  }
  REQUIRE_ERROR(ErrorCode::kUnsupported, Recipient::parse(bech32_encode("age1yubikey", Bytes(33)).text()));
  REQUIRE_ERROR(ErrorCode::kUnsupported, Identity::parse(bech32_encode("AGE-PLUGIN-YUBIKEY-", Bytes(9)).text()));
}

TEST_CASE("A mistyped identity is refused without being repeated") {
  std::string text(kIdentity);
  text[30] = text[30] == 'Q' ? 'P' : 'Q';
  const auto refused = Identity::parse(text);
  REQUIRE_FALSE(refused.has_value());
  REQUIRE(refused.error().message.find(text.substr(16, 8)) == std::string::npos);
}

TEST_CASE("An identity file may hold comments and several identities, and names the line that is wrong") {
  test::SeededRandom random(6);
  const Identity other = Identity::generate(random);
  const std::string file = "# created: 2026-01-01\r\n# public key: age1...\n" + std::string(kIdentity) + "\r\n\n" +
                           std::string(other.text().text());
  const std::vector<Identity> identities = REQUIRE_OK(parse_identities(file));
  REQUIRE(identities.size() == 2);
  REQUIRE(identities[0].text().text() == kIdentity);
  REQUIRE(identities[1].recipient().key() == other.recipient().key());

  REQUIRE_ERROR(ErrorCode::kBadInput, parse_identities(""));
  REQUIRE_ERROR(ErrorCode::kBadInput, parse_identities("# only a comment\n"));
  const auto wrong = parse_identities(file + "\n AGE-SECRET-KEY-1\n");
  REQUIRE_FALSE(wrong.has_value());
  REQUIRE(wrong.error().message.starts_with("line 6: "));
}
