// SPDX-License-Identifier: Apache-2.0
#include "age/age.hpp"

#include <algorithm>
#include <optional>
#include <set>

#include "age/header.hpp"
#include "age/sources.hpp"
#include "catch.hpp"
#include "crypto/hex.hpp"
#include "support/fixed_environment.hpp"

namespace {

using namespace casevault;
using namespace casevault::age;

constexpr std::size_t kChunk = 65536;
constexpr std::size_t kSealed = kChunk + 16;

struct Party {
  test::SeededRandom random{11};
  Identity identity = Identity::generate(random);
  std::vector<Recipient> recipients = {identity.recipient()};

  Bytes sealed(ByteView plaintext, Armor armor = Armor::kNo) {
    return REQUIRE_OK(encrypt(plaintext, recipients, random, armor));
  }
};

Passphrase passphrase(std::string_view text) { return {SecretBytes::copy(as_bytes(text)), 4}; }

std::size_t header_size(ByteView file) {
  Input input(source_of(file));
  return REQUIRE_OK(read_header(input)).size();
}

/// All that comes out before the end or a failure.
Bytes released(ByteView file, const Identity& identity, std::optional<ErrorCode>& failure) {
  Decryptor decryptor = REQUIRE_OK(Decryptor::open(source_of(file), identity));
  Bytes out;
  while (true) {
    const auto chunk = decryptor.next();
    if (!chunk) {
      failure = chunk.error().code;
      REQUIRE_ERROR(*failure, decryptor.next());  // and for ever
      return out;
    }
    if (chunk->empty()) return out;
    REQUIRE(chunk->size() <= kChunk);
    out.insert(out.end(), chunk->begin(), chunk->end());
  }
}

}  // namespace

TEST_CASE("What was sealed comes back, armored or not, whatever its length and the pieces it is written and read in") {
  Party party;
  const Passphrase phrase = passphrase("correct horse");
  for (const std::size_t size : {0U, 1U, 2U, 47U, 48U, 65535U, 65536U, 65537U, 131071U, 131072U, 131073U, 200001U}) {
    Bytes plaintext(size);
    party.random.fill(plaintext);
    for (const Armor armor : {Armor::kNo, Armor::kYes}) {
      INFO(size << (armor == Armor::kYes ? " armored" : " binary"));
      const Bytes file = party.sealed(plaintext, armor);
      REQUIRE(REQUIRE_OK(decrypt(file, party.identity)).equals(plaintext));
      if (armor == Armor::kNo) {
        REQUIRE(file.size() ==
                header_size(file) + 16 + size + 16 * std::max<std::size_t>(1, (size + kChunk - 1) / kChunk));
      }
      REQUIRE(
          REQUIRE_OK(decrypt(REQUIRE_OK(encrypt(plaintext, phrase, party.random, armor)), phrase)).equals(plaintext));

      for (const std::size_t piece : {1U, 13U, 65536U, 65553U}) {
        if (piece == 1 && size > kChunk + 1) continue;
        Bytes made;
        Encryptor encryptor = REQUIRE_OK(Encryptor::start(party.recipients, party.random, sink_to(made), armor));
        for (std::size_t at = 0; at < size; at += piece) {
          REQUIRE_DONE(encryptor.write(ByteView(plaintext).subspan(at, std::min(piece, size - at))));
        }
        REQUIRE_DONE(encryptor.finish());
        Decryptor decryptor = REQUIRE_OK(Decryptor::open(test::in_pieces(made, piece), party.identity));
        Bytes out;
        for (ByteView chunk = REQUIRE_OK(decryptor.next()); !chunk.empty(); chunk = REQUIRE_OK(decryptor.next())) {
          out.insert(out.end(), chunk.begin(), chunk.end());
        }
        REQUIRE(out == plaintext);
        REQUIRE(REQUIRE_OK(decryptor.next()).empty());  // the end stays the end
      }
    }
  }
}

TEST_CASE("Each recipient opens the file, nobody else does") {
  Party party;
  std::vector<Identity> identities;
  std::vector<Recipient> recipients;
  for (int i = 0; i < 5; ++i) {
    identities.push_back(Identity::generate(party.random));
    recipients.push_back(identities.back().recipient());
  }
  const Bytes file = REQUIRE_OK(encrypt(as_bytes("to five"), recipients, party.random));
  for (const Identity& identity : identities) REQUIRE(REQUIRE_OK(decrypt(file, identity)).text() == "to five");
  REQUIRE_ERROR(ErrorCode::kWrongKey, decrypt(file, party.identity));
  REQUIRE_ERROR(ErrorCode::kWrongKey, decrypt(file, passphrase("to five")));
  REQUIRE_ERROR(ErrorCode::kWrongKey, decrypt(file, Keys(std::span<const Identity>())));
  std::vector<Identity> many;
  many.push_back(Identity::generate(party.random));
  many.push_back(std::move(identities[3]));
  const std::vector<Passphrase> none;
  REQUIRE(REQUIRE_OK(decrypt(file, Keys(many, none))).text() == "to five");
}

TEST_CASE("A passphrase opens the file, another or an identity does not, and the failure says what is missing") {
  Party party;
  const Bytes file = REQUIRE_OK(encrypt(as_bytes("x"), passphrase("right"), party.random));
  REQUIRE(REQUIRE_OK(decrypt(file, passphrase("right"))).text() == "x");
  REQUIRE_ERROR(ErrorCode::kWrongKey, decrypt(file, passphrase("Right")));
  REQUIRE_ERROR(ErrorCode::kWrongKey, decrypt(file, passphrase("")));
  const auto refused = decrypt(file, party.identity);
  REQUIRE_FALSE(refused.has_value());
  REQUIRE(refused.error().code == ErrorCode::kWrongKey);
  REQUIRE(refused.error().message.find("passphrase, and none was given") != std::string::npos);
}

TEST_CASE("What no reader would open is not written") {
  Party party;
  Bytes out;
  REQUIRE_ERROR(ErrorCode::kUsage, encrypt({}, std::span<const Recipient>(), party.random));
  const std::vector<Recipient> too_many(kMaxRecipients + 1, party.recipients[0]);
  REQUIRE_ERROR(ErrorCode::kUsage, encrypt({}, too_many, party.random));
  REQUIRE_ERROR(ErrorCode::kUsage, encrypt({}, passphrase(""), party.random));
  Passphrase costly = passphrase("x");
  for (const unsigned log2_n : {0U, 21U}) {
    costly.log2_n = log2_n;
    REQUIRE_ERROR(ErrorCode::kUnsupported, encrypt({}, costly, party.random));
  }
  const std::vector<Recipient> low_order = {Recipient(crypto::PublicKey{})};
  REQUIRE_ERROR(ErrorCode::kBadInput, encrypt({}, low_order, party.random));
}

TEST_CASE("A file to as many recipients as can be is opened by the last of them") {
  Party party;
  std::vector<Recipient> recipients(kMaxRecipients, Identity::generate(party.random).recipient());
  recipients.back() = party.recipients[0];
  REQUIRE(REQUIRE_OK(decrypt(REQUIRE_OK(encrypt(as_bytes("x"), recipients, party.random)), party.identity)).text() ==
          "x");
}

TEST_CASE("No bit of a file can be changed") {
  Party party;
  for (const Armor armor : {Armor::kNo, Armor::kYes}) {
    Bytes file = party.sealed(as_bytes("a short secret"), armor);
    std::set<ErrorCode> codes;
    for (std::size_t bit = 0; bit < 8 * file.size(); ++bit) {
      file[bit / 8] ^= static_cast<std::uint8_t>(1U << bit % 8);
      INFO("byte " << bit / 8 << " bit " << bit % 8);
      const auto refused = decrypt(file, party.identity);
      REQUIRE_FALSE(refused.has_value());
      codes.insert(refused.error().code);
      file[bit / 8] ^= static_cast<std::uint8_t>(1U << bit % 8);
    }
    REQUIRE(codes ==
            std::set{ErrorCode::kWrongKey, ErrorCode::kIntegrity, ErrorCode::kUnsupported, ErrorCode::kBadInput});
  }
}

TEST_CASE("A file cut off at any byte is refused: malformed within the header, damaged within the payload") {
  Party party;
  const Bytes file = party.sealed(as_bytes("a short secret"));
  const std::size_t payload = header_size(file) + 16;
  for (std::size_t size = 0; size < file.size(); ++size) {
    INFO(size);
    REQUIRE_ERROR(size < payload ? ErrorCode::kBadInput : ErrorCode::kIntegrity,
                  decrypt(ByteView(file).first(size), party.identity));
  }
  const Bytes armored = party.sealed(as_bytes("a short secret"), Armor::kYes);
  for (std::size_t size = 0; size + 1 < armored.size(); ++size) {
    INFO(size);
    REQUIRE_ERROR(ErrorCode::kBadInput, decrypt(ByteView(armored).first(size), party.identity));
  }
  REQUIRE_OK(decrypt(ByteView(armored).first(armored.size() - 1), party.identity));  // all but the last end of line
}

TEST_CASE("Chunks cannot be dropped, swapped, repeated, appended or cut, and nothing is released past the damage") {
  Party party;
  Bytes plaintext(3 * kChunk);  // the last chunk is as long as the others
  party.random.fill(plaintext);
  const Bytes file = party.sealed(plaintext);
  const std::size_t start = header_size(file) + 16;
  const auto chunk = [&](std::size_t i) { return ByteView(file).subspan(start + i * kSealed, kSealed); };
  const auto assembled = [&](std::initializer_list<std::size_t> order) {
    Bytes out(file.begin(), file.begin() + static_cast<std::ptrdiff_t>(start));
    for (const std::size_t i : order) out.insert(out.end(), chunk(i).begin(), chunk(i).end());
    return out;
  };
  const auto check = [&](const Bytes& forged, std::size_t authentic) {
    std::optional<ErrorCode> failure;
    const Bytes out = released(forged, party.identity, failure);
    REQUIRE(failure == ErrorCode::kIntegrity);
    REQUIRE(out == Bytes(plaintext.begin(), plaintext.begin() + static_cast<std::ptrdiff_t>(authentic * kChunk)));
    REQUIRE_ERROR(ErrorCode::kIntegrity, decrypt(forged, party.identity));  // the whole or nothing
  };
  REQUIRE(REQUIRE_OK(decrypt(assembled({0, 1, 2}), party.identity)).equals(plaintext));
  check(assembled({}), 0);
  check(assembled({0}), 1);
  check(assembled({0, 1}), 2);
  check(assembled({1, 2}), 0);
  check(assembled({0, 2}), 1);
  check(assembled({1, 0, 2}), 0);
  check(assembled({0, 0, 1, 2}), 1);
  check(assembled({0, 1, 2, 2}), 3);
  Bytes longer = file;
  longer.push_back(0);
  check(longer, 3);
  for (const std::size_t cut :
       {std::size_t{1}, std::size_t{15}, std::size_t{16}, std::size_t{17}, kSealed - 16, kSealed - 1}) {
    check(Bytes(file.begin(), file.end() - static_cast<std::ptrdiff_t>(cut)), 2);
  }
  for (std::size_t i = 0; i < 3; ++i) {
    Bytes damaged = file;
    damaged[start + i * kSealed + 40000] ^= 1;
    check(damaged, i);
  }
}

TEST_CASE("The payload of one file does not open under the header of another to the same recipient") {
  Party party;
  const Bytes first = party.sealed(as_bytes("first"));
  const Bytes second = party.sealed(as_bytes("other"));
  REQUIRE(first.size() == second.size());
  const auto header = static_cast<std::ptrdiff_t>(header_size(first));
  Bytes mixed(first.begin(), first.begin() + header);
  mixed.insert(mixed.end(), second.begin() + header, second.end());
  REQUIRE_ERROR(ErrorCode::kIntegrity, decrypt(mixed, party.identity));
}

TEST_CASE("A recipient cannot be added to or taken from a file") {
  Party party;
  const std::vector<Recipient> two = {party.recipients[0], Identity::generate(party.random).recipient()};
  const std::string file(as_text(REQUIRE_OK(encrypt(as_bytes("x"), two, party.random))));
  const std::size_t second = file.find("-> X25519", file.find("-> X25519") + 1);
  const std::size_t mac = file.find("---");
  REQUIRE_ERROR(ErrorCode::kIntegrity, decrypt(as_bytes(file.substr(0, second) + file.substr(mac)), party.identity));
  REQUIRE_ERROR(ErrorCode::kIntegrity,
                decrypt(as_bytes(file.substr(0, mac) + "-> grease\n\n" + file.substr(mac)), party.identity));
}

TEST_CASE("A passphrase beside another recipient is refused whoever opens the file") {
  Party party;
  const std::string mine(as_text(party.sealed(as_bytes("x"))));
  const std::string stanza = "-> scrypt AAAAAAAAAAAAAAAAAAAAAA 4\n" + std::string(43, 'A') + "\n";
  const std::size_t first = mine.find("->");
  const std::size_t mac = mine.find("---");
  for (const std::size_t at : {first, mac}) {
    const std::string forged = mine.substr(0, at) + stanza + mine.substr(at);
    REQUIRE_ERROR(ErrorCode::kBadInput, decrypt(as_bytes(forged), party.identity));
    REQUIRE_ERROR(ErrorCode::kBadInput, decrypt(as_bytes(forged), passphrase("x")));
  }
}

TEST_CASE("Armor is read with either line end and white space around it, and refused with anything else") {
  Party party;
  const Bytes plaintext = test::counting(100);
  const std::string text(as_text(party.sealed(plaintext, Armor::kYes)));
  const auto crlf = [](const std::string& lines) {
    std::string out;
    for (const char c : lines) out += c == '\n' ? std::string("\r\n") : std::string(1, c);
    return out;
  };
  for (const std::string& good :
       {text, crlf(text), "\n \t\r\n" + text, text + "\n\n \t\r\n", text.substr(0, text.size() - 1),
        std::string(1000, '\n') + text + std::string(1000, ' ')}) {
    REQUIRE(REQUIRE_OK(decrypt(as_bytes(good), party.identity)).equals(plaintext));
  }
  const std::size_t second = text.find('\n') + 1;
  const std::size_t end = text.find("-----END");
  const std::string head = text.substr(0, second);
  const std::string body = text.substr(second, end - second);
  const std::string tail = text.substr(end);
  for (const std::string& bad : {"x" + text,
                                 "x\n" + text,
                                 text + "x",
                                 text + "\nx\n",
                                 " " + text,
                                 std::string(1100, '\n') + text,
                                 text + std::string(1100, '\n'),
                                 text + text,
                                 head + "\n" + body + tail,
                                 head + body + "\n" + tail,
                                 head + "Version: 1\n" + body + tail,
                                 head + " " + body + tail,
                                 head + body.substr(0, 63) + "\n" + body.substr(64) + tail,
                                 head + body.substr(0, 60) + "\n" + body.substr(60) + tail,
                                 head + "AAAA" + body + tail,
                                 head + body.substr(0, 64) + " " + body.substr(64) + tail,
                                 head + body.substr(0, 64) + "\r\r" + body.substr(64) + tail,
                                 head + body.substr(0, 64) + body.substr(65) + tail,
                                 head + body,
                                 tail,
                                 crlf(head) + body + " " + tail,
                                 std::string("-----BEGIN AGE ENCRYPTED FILE-----"),
                                 std::string("PK\x03\x04")}) {
    INFO(bad);
    REQUIRE_ERROR(ErrorCode::kBadInput, decrypt(as_bytes(bad), party.identity));
  }
}

TEST_CASE("Armor of any length has lines of 64 characters and a last one that is padded") {
  Party party;
  for (std::size_t size = 0; size < 200; ++size) {
    const std::string text(as_text(party.sealed(test::counting(size), Armor::kYes)));
    std::size_t at = text.find('\n') + 1;
    const std::size_t end = text.find("-----END");
    REQUIRE(text.substr(end) == "-----END AGE ENCRYPTED FILE-----\n");
    while (at < end) {
      const std::size_t line = text.find('\n', at) - at;
      REQUIRE(line % 4 == 0);
      REQUIRE((line == 64 || (line > 0 && at + line + 1 == end)));
      at += line + 1;
    }
  }
}

TEST_CASE("A failing sink ends the file: every later call gives the same failure") {
  Party party;
  for (const Armor armor : {Armor::kNo, Armor::kYes}) {
    std::size_t calls = 0;
    bool fails = true;
    const Sink sink = [&](ByteView) -> Result<void> {
      ++calls;
      if (calls == 2 && fails) return Error{ErrorCode::kDiskFull, "full"};
      return {};
    };
    Encryptor encryptor = REQUIRE_OK(Encryptor::start(party.recipients, party.random, sink, armor));
    REQUIRE_ERROR(ErrorCode::kDiskFull, encryptor.write(Bytes(2 * kChunk)));
    fails = false;
    REQUIRE_ERROR(ErrorCode::kDiskFull, encryptor.write(Bytes(1)));
    REQUIRE_ERROR(ErrorCode::kDiskFull, encryptor.finish());
    REQUIRE(calls == 2);
  }
  const auto none = Encryptor::start(party.recipients, party.random,
                                     [](ByteView) -> Result<void> { return Error{ErrorCode::kIo, "no"}; });
  REQUIRE_FALSE(none.has_value());
}

TEST_CASE("A finished file takes no more, and one that was not finished does not open") {
  Party party;
  Bytes out;
  Encryptor encryptor = REQUIRE_OK(Encryptor::start(party.recipients, party.random, sink_to(out)));
  REQUIRE_DONE(encryptor.write(Bytes(kChunk + 5)));
  REQUIRE_ERROR(ErrorCode::kIntegrity, decrypt(out, party.identity));
  REQUIRE_DONE(encryptor.finish());
  const Bytes whole = out;
  REQUIRE_ERROR(ErrorCode::kUsage, encryptor.write(Bytes(1)));
  REQUIRE_ERROR(ErrorCode::kUsage, encryptor.finish());
  REQUIRE(out == whole);
  REQUIRE_OK(decrypt(out, party.identity));
}

TEST_CASE("A source that fails is not taken for the end of the file, at any byte") {
  Party party;
  for (const Armor armor : {Armor::kNo, Armor::kYes}) {
    const Bytes file = party.sealed(as_bytes("x"), armor);
    for (std::size_t good = 0; good <= file.size(); ++good) {
      const Source whole = test::in_pieces(ByteView(file).first(good), 7);
      const Source source = [&whole](MutableBytes out) -> Result<std::size_t> {
        auto got = whole(out);
        if (got && *got == 0) return Error{ErrorCode::kIo, "cable pulled"};
        return got;
      };
      auto decryptor = Decryptor::open(source, party.identity);
      if (!decryptor) {
        REQUIRE(decryptor.error().code == ErrorCode::kIo);
      } else {
        REQUIRE_ERROR(ErrorCode::kIo, decryptor->next());
      }
    }
  }
}

TEST_CASE("Memory does not grow with the file: a chunk each way is all that is held") {
  Party party;
  constexpr std::size_t kSize = 64 * kChunk;
  const std::size_t before = memory_lock_status().bytes_in_use;
  std::size_t largest = 0;
  std::size_t most = 0;
  Bytes file;
  {
    Encryptor encryptor =
        REQUIRE_OK(Encryptor::start(party.recipients, party.random, [&](ByteView bytes) -> Result<void> {
          largest = std::max(largest, bytes.size());
          file.insert(file.end(), bytes.begin(), bytes.end());
          most = std::max(most, memory_lock_status().bytes_in_use - before);
          return {};
        }));
    REQUIRE_DONE(encryptor.write(Bytes(kSize)));
    REQUIRE_DONE(encryptor.finish());
  }
  REQUIRE(largest == kSealed);
  const Source whole = source_of(file);
  std::size_t asked = 0;
  Decryptor decryptor = REQUIRE_OK(Decryptor::open(
      [&](MutableBytes out) {
        asked = std::max(asked, out.size());
        return whole(out);
      },
      party.identity));
  while (!REQUIRE_OK(decryptor.next()).empty()) most = std::max(most, memory_lock_status().bytes_in_use - before);
  REQUIRE(asked <= kSealed);
  REQUIRE(most <= kChunk + 1024);
}
