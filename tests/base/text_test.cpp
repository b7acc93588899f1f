// SPDX-License-Identifier: Apache-2.0
#include "base/text.hpp"

#include <cctype>

#include "catch.hpp"
#include "support/fixed_environment.hpp"

namespace {

using namespace casevault;
using namespace casevault::base;
using Id = std::array<std::uint8_t, 16>;

std::string encode_utf8(std::uint32_t point) {
  const auto unit = [](std::uint32_t bits) { return static_cast<char>(static_cast<std::uint8_t>(bits)); };
  if (point < 0x80) return {unit(point)};
  if (point < 0x800) return {unit(0xC0 | point >> 6), unit(0x80 | (point & 63))};
  if (point < 0x10000) return {unit(0xE0 | point >> 12), unit(0x80 | (point >> 6 & 63)), unit(0x80 | (point & 63))};
  return {unit(0xF0 | point >> 18), unit(0x80 | (point >> 12 & 63)), unit(0x80 | (point >> 6 & 63)),
          unit(0x80 | (point & 63))};
}

}  // namespace

TEST_CASE("Every Unicode scalar value is valid UTF-8 and no surrogate or larger value is") {
  for (std::uint32_t point = 0; point < 0x120000; ++point) {
    const bool scalar = point < 0xD800 || (point > 0xDFFF && point <= 0x10FFFF);
    if (valid_utf8(encode_utf8(point)) != scalar) FAIL("U+" << std::hex << point);
  }
}

TEST_CASE("Hostile UTF-8 is refused wherever it stands") {
  using namespace std::string_view_literals;
  const std::string_view hostile[] = {"\x80"sv,
                                      "\xBF"sv,
                                      "\xC0\x80"sv,
                                      "\xC1\xBF"sv,
                                      "\xC2"sv,
                                      "\xC2\x41"sv,
                                      "\xC2\xC2\x80"sv,
                                      "\xE0\x80\x80"sv,
                                      "\xE0\x9F\xBF"sv,
                                      "\xE1\x80"sv,
                                      "\xE1\x80\x41"sv,
                                      "\xED\xA0\x80"sv,
                                      "\xED\xBF\xBF"sv,
                                      "\xF0\x80\x80\x80"sv,
                                      "\xF0\x8F\xBF\xBF"sv,
                                      "\xF1\x80\x80"sv,
                                      "\xF4\x90\x80\x80"sv,
                                      "\xF5\x80\x80\x80"sv,
                                      "\xF8\x88\x80\x80\x80"sv,
                                      "\xFE"sv,
                                      "\xFF"sv,
                                      "\xED\xA0\xBD\xED\xB8\x80"sv};
  for (const std::string_view text : hostile) {
    CAPTURE(to_hex(as_bytes(text)));
    REQUIRE_FALSE(valid_utf8(text));
    REQUIRE_FALSE(valid_utf8("before " + std::string(text)));
    REQUIRE_FALSE(valid_utf8(std::string(text) + " after"));
  }
  REQUIRE(valid_utf8(""));
  REQUIRE(valid_utf8("\0 in the middle \0"sv));
  REQUIRE(valid_utf8("Müller, Ολγα, 王, \xF0\x9F\x98\x80"));
}

TEST_CASE("A text is ASCII when no byte of it is above 127, wherever that byte stands") {
  for (std::size_t size = 0; size < 70; ++size) {
    std::string text(size, '\x7F');
    REQUIRE(is_ascii(text));
    for (char& each : text) {
      each = '\x80';
      REQUIRE_FALSE(is_ascii(text));
      REQUIRE_FALSE(valid_utf8(text));
      each = '\x00';
    }
    for (std::size_t at = 0; at + 1 < size; ++at) {
      text.replace(at, 2, "\xC3\xA9");
      REQUIRE_FALSE(is_ascii(text));
      REQUIRE(valid_utf8(text));
      text.replace(at, 2, "ee");
    }
  }
}

TEST_CASE("Hexadecimal goes both ways and refuses anything else") {
  REQUIRE(to_hex(Bytes{0x00, 0x0F, 0xA5, 0xFF}) == "000fa5ff");
  REQUIRE(from_hex("000fA5Ff") == Bytes{0x00, 0x0F, 0xA5, 0xFF});
  REQUIRE(from_hex("") == Bytes{});
  for (const char* bad : {"0", "0g", "g0", " 0", "0x00", "00 ", "-1", "\xC3\xA9"}) REQUIRE_FALSE(from_hex(bad));
  for (int c = 0; c < 256; ++c) {
    const std::string pair{'0', static_cast<char>(c)};
    REQUIRE(from_hex(pair).has_value() == (std::isxdigit(c) != 0));
  }
}

TEST_CASE("Base64 agrees with RFC 4648 section 10") {
  const std::pair<std::string_view, std::string_view> vectors[] = {{"", ""},
                                                                   {"f", "Zg=="},
                                                                   {"fo", "Zm8="},
                                                                   {"foo", "Zm9v"},
                                                                   {"foob", "Zm9vYg=="},
                                                                   {"fooba", "Zm9vYmE="},
                                                                   {"foobar", "Zm9vYmFy"}};
  for (const auto& [plain, coded] : vectors) {
    REQUIRE(to_base64(as_bytes(plain)) == coded);
    const auto back = from_base64(coded);
    REQUIRE(back.has_value());
    REQUIRE(as_text(*back) == plain);
  }
}

TEST_CASE("Base64 that is not the one canonical spelling is refused") {
  for (const char* bad : {"Zg", "Zg=", "Zg===", "Zh==", "Zm9=", "Z===", "====", "=Zg=", "Zg==Zg==", "Zm8=Zm8=",
                          "Zm9v\n", "Zm 9v", "Zm-_", "Zg=a", "Zm9vZ", "Zm9v====", "\xC3\xA9==", "Zm9v Zg=="}) {
    CAPTURE(bad);
    REQUIRE_FALSE(from_base64(bad));
  }
}

TEST_CASE("What base64 accepts it writes again, for random input") {
  test::SeededRandom random(7);
  constexpr std::string_view kLikely = "ABCDwxyz0189+/==";
  for (int i = 0; i < 50000; ++i) {
    std::string text(4 * random.below(4), 'A');
    for (char& c : text) c = kLikely[random.below(kLikely.size())];
    if (const auto bytes = from_base64(text)) REQUIRE(to_base64(*bytes) == text);
  }
  for (std::size_t size = 0; size < 100; ++size) {
    Bytes bytes(size);
    random.fill(bytes);
    REQUIRE(from_base64(to_base64(bytes)) == bytes);
  }
}

TEST_CASE("Crockford base32 writes 26 characters and forgives what people type") {
  Id ones{};
  ones.fill(0xFF);
  REQUIRE(to_crockford(Id{}) == "00000000000000000000000000");
  REQUIRE(to_crockford(ones) == "7ZZZZZZZZZZZZZZZZZZZZZZZZZ");
  const Id id{0x01, 0x56, 0x3D, 0xF3, 0x64, 0x81, 0x00, 0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08, 0x09};
  const std::string text = to_crockford(id);
  REQUIRE(text == "01ARYZ6S41000G40R40M30E209");  // the number in base 32, most significant digit first
  REQUIRE(from_crockford(text) == id);
  REQUIRE(from_crockford("oiaryz6s-4LOOOg4or4-om3oe2o9-") == id);
}

TEST_CASE("Crockford base32 refuses other characters, lengths and numbers over 128 bits") {
  const std::string good = "7ZZZZZZZZZZZZZZZZZZZZZZZZZ";
  REQUIRE(from_crockford(good).has_value());
  REQUIRE_FALSE(from_crockford(""));
  REQUIRE_FALSE(from_crockford("-"));
  REQUIRE_FALSE(from_crockford(good.substr(1)));
  REQUIRE_FALSE(from_crockford(good + "0"));
  REQUIRE_FALSE(from_crockford("0" + good));
  REQUIRE_FALSE(from_crockford("8" + good.substr(1)));
  REQUIRE_FALSE(from_crockford("Z" + good.substr(1)));
  for (int c = 0; c < 256; ++c) {
    std::string text = good;
    text[5] = static_cast<char>(c);
    const bool allowed = c < 128 && std::isalnum(c) != 0 && c != 'U' && c != 'u';
    CAPTURE(c);
    REQUIRE(from_crockford(text).has_value() == allowed);
  }
}

TEST_CASE("Every id survives Crockford base32, in either case") {
  test::SeededRandom random(9);
  for (int i = 0; i < 2000; ++i) {
    Id id{};
    random.fill(id);
    std::string text = to_crockford(id);
    REQUIRE(text.size() == 26);
    REQUIRE(from_crockford(text) == id);
    for (char& c : text) c = static_cast<char>(std::tolower(c));
    REQUIRE(from_crockford(text) == id);
  }
}

TEST_CASE("Times are RFC 3339 in UTC with milliseconds, even hostile ones") {
  REQUIRE(to_rfc3339(0) == "1970-01-01T00:00:00.000Z");
  REQUIRE(to_rfc3339(test::FixedEnvironment::kStart) == "2026-01-01T00:00:00.000Z");
  REQUIRE(to_rfc3339(-1) == "1969-12-31T23:59:59.999Z");
  REQUIRE(to_rfc3339(1'709'210'096'007) == "2024-02-29T12:34:56.007Z");
  REQUIRE(to_rfc3339(INT64_MIN) == "0000-01-01T00:00:00.000Z");
  REQUIRE(to_rfc3339(INT64_MAX) == "9999-12-31T23:59:59.999Z");
}
