// SPDX-License-Identifier: Apache-2.0
#include "age/header.hpp"

#include <algorithm>

#include "catch.hpp"
#include "crypto/hex.hpp"

namespace {

using namespace casevault;
using namespace casevault::age;

constexpr std::string_view kMac = " AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8\n";

std::string with(const std::string& lines) { return "age-encryption.org/v1\n" + lines + "---" + std::string(kMac); }

}  // namespace

TEST_CASE("A header comes back as it was written, whatever the length of its bodies") {
  for (std::size_t size = 0; size < 200; ++size) {
    const std::vector<Stanza> stanzas = {{{"first", "!~"}, test::counting(size)}, {{"second"}, test::counting(7)}};
    const std::string text = header_text(stanzas);
    const Header header = REQUIRE_OK(parse_header(text + std::string(kMac)));
    REQUIRE(header.authenticated == text);
    REQUIRE(header.mac == crypto::Hash{0,  1,  2,  3,  4,  5,  6,  7,  8,  9,  10, 11, 12, 13, 14, 15,
                                       16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31});
    REQUIRE(header.stanzas.size() == 2);
    REQUIRE(header.stanzas[0].arguments == stanzas[0].arguments);
    REQUIRE(header.stanzas[0].body == stanzas[0].body);
    REQUIRE(header.stanzas[1].body == stanzas[1].body);
  }
}

TEST_CASE("A header that strays from the grammar is refused, and the line is named") {
  const std::string full(64, 'A');
  const std::pair<std::string, std::size_t> cases[] = {
      {"", 1},
      {"age-encryption.org/v1", 1},
      {"age-encryption.org/v1\r\n", 1},
      {"age-encryption.org/v\n", 1},
      {"age-encryption.org/v1 \n", 1},
      {"AGE-encryption.org/v1\n", 1},
      {"age-encryption.org/v1\n", 2},
      {with(""), 2},  // no recipient
      {with("->\n\n"), 2},
      {with("-> \n\n"), 2},
      {with("->a\n\n"), 2},
      {with("-> a \n\n"), 2},
      {with("-> a  b\n\n"), 2},
      {with("->  a\n\n"), 2},
      {with("-> a\tb\n\n"), 2},
      {with("-> a\r\n\n"), 2},
      {with("-> \xC3\xA9\n\n"), 2},
      {with("-> a\x7F\n\n"), 2},
      {with(" -> a\n\n"), 2},
      {with("-> a\n"), 3},        // no body
      {with("-> a\nAA==\n"), 3},  // padded
      {with("-> a\nAB\n"), 3},    // not canonical
      {with("-> a\nA\n"), 3},     // one character
      {with("-> a\nAA\r\n"), 3},  //
      {with("-> a\nA A\n"), 3},   //
      {with("-> a\nA_-A\n"), 3},  // the other alphabet
      {with("-> a\n" + full + "AAAA\n"), 3},
      {with("-> a\n" + full + "\n"), 4},  // no shorter last line
      {with("-> a\nAAAA\nAAAA\n"), 4},    // two short lines
      {with("-> a\n\n\n"), 4},            // an empty line between stanzas
      {with("-> a\n\n-> b\n"), 5},        //
      {"age-encryption.org/v1\n-> a\n\n---\n", 4},
      {"age-encryption.org/v1\n-> a\n\n--- \n", 4},
      {"age-encryption.org/v1\n-> a\n\n----" + std::string(kMac), 4},
      {"age-encryption.org/v1\n-> a\n\n--- " + std::string(kMac), 4},
      {"age-encryption.org/v1\n-> a\n\n--- AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh\n", 4},
      {"age-encryption.org/v1\n-> a\n\n--- AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n", 4},
      {"age-encryption.org/v1\n-> a\n\n--- AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh9\n", 4},
      {"age-encryption.org/v1\n-> a\n\n--- AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8 \n", 4},
      {"age-encryption.org/v1\n-> a\n\n--- AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8", 4},
      {with("-> a\n\n") + "x", 4},
  };
  for (const auto& [text, line] : cases) {
    INFO(text);
    const auto refused = parse_header(text);
    REQUIRE_FALSE(refused.has_value());
    INFO(refused.error().message);
    REQUIRE(refused.error().code == ErrorCode::kBadInput);
    REQUIRE(refused.error().message.starts_with("age header, line " + std::to_string(line) + ":"));
  }
}

TEST_CASE("Another version of age is told apart from what is no age file") {
  REQUIRE_ERROR(ErrorCode::kUnsupported, parse_header("age-encryption.org/v2\n"));
  REQUIRE_ERROR(ErrorCode::kBadInput, parse_header("age-encryption.org/v1x\n"));
}

TEST_CASE("A header without end is given up after 1 MiB, a first line without end at once") {
  for (const bool lines : {false, true}) {
    std::size_t given = 0;
    Input input([&](MutableBytes out) -> Result<std::size_t> {
      for (std::uint8_t& byte : out) {
        constexpr std::string_view kStart = "age-encryption.org/v1\n-> a\n";
        byte = given < kStart.size()      ? static_cast<std::uint8_t>(kStart[given])
               : lines && given % 65 == 0 ? std::uint8_t{'\n'}
                                          : std::uint8_t{'A'};
        ++given;
      }
      return out.size();
    });
    REQUIRE_ERROR(ErrorCode::kUnsupported, read_header(input));
    REQUIRE(given <= 1026 * 1024);
  }
  std::size_t given = 0;
  Input input([&](MutableBytes out) -> Result<std::size_t> {
    std::ranges::fill(out, std::uint8_t{'a'});
    given += out.size();
    return out.size();
  });
  REQUIRE_ERROR(ErrorCode::kBadInput, read_header(input));
  REQUIRE(given <= 4096);
}
