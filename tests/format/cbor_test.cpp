// SPDX-License-Identifier: Apache-2.0
#include "format/cbor.hpp"

#include <array>
#include <limits>

#include "base/text.hpp"
#include "catch.hpp"

namespace casevault::format {
namespace {

using Kind = CborReader::Kind;

Bytes hex(std::string_view text) { return base::from_hex(text).value(); }

template <typename Write>
std::string written(Write write) {
  Bytes out;
  CborWriter writer(out);
  write(writer);
  return base::to_hex(out);
}

bool whole_value(ByteView input) {
  CborReader in(input);
  in.skip();
  return in.finish();
}
bool whole_value(std::string_view text) { return whole_value(hex(text)); }

std::string repeat(std::string_view piece, int times) {
  std::string out;
  for (int i = 0; i < times; ++i) out += piece;
  return out;
}

TEST_CASE("unsigned integers are those of RFC 8949 appendix A") {
  const std::pair<std::uint64_t, std::string> examples[] = {{0, "00"},
                                                            {1, "01"},
                                                            {10, "0a"},
                                                            {23, "17"},
                                                            {24, "1818"},
                                                            {25, "1819"},
                                                            {100, "1864"},
                                                            {255, "18ff"},
                                                            {256, "190100"},
                                                            {1000, "1903e8"},
                                                            {65535, "19ffff"},
                                                            {65536, "1a00010000"},
                                                            {1000000, "1a000f4240"},
                                                            {4294967295, "1affffffff"},
                                                            {4294967296, "1b0000000100000000"},
                                                            {1000000000000, "1b000000e8d4a51000"},
                                                            {18446744073709551615U, "1bffffffffffffffff"}};
  for (const auto& [value, encoding] : examples) {
    INFO(encoding);
    REQUIRE(written([v = value](CborWriter& out) { out.uint(v); }) == encoding);
    const Bytes raw = hex(encoding);
    CborReader in(raw);
    REQUIRE(in.peek() == Kind::kUint);
    REQUIRE(in.uint() == value);
    REQUIRE(in.finish());
    REQUIRE(whole_value(raw));
  }
}

TEST_CASE("signed integers are those of RFC 8949 appendix A, within 64 bits") {
  const std::pair<std::int64_t, std::string> examples[] = {
      {-1, "20"},
      {-10, "29"},
      {-24, "37"},
      {-25, "3818"},
      {-100, "3863"},
      {-1000, "3903e7"},
      {std::numeric_limits<std::int64_t>::min(), "3b7fffffffffffffff"},
      {std::numeric_limits<std::int64_t>::max(), "1b7fffffffffffffff"},
      {0, "00"},
      {23, "17"}};
  for (const auto& [value, encoding] : examples) {
    INFO(encoding);
    REQUIRE(written([v = value](CborWriter& out) { out.integer(v); }) == encoding);
    const Bytes raw = hex(encoding);
    CborReader in(raw);
    REQUIRE(in.peek() == (value < 0 ? Kind::kNegative : Kind::kUint));
    REQUIRE(in.integer() == value);
    REQUIRE(in.finish());
  }
  for (const char* beyond : {"3b8000000000000000", "3bffffffffffffffff", "1b8000000000000000"}) {
    const Bytes raw = hex(beyond);
    CborReader in(raw);
    REQUIRE(in.integer() == (raw[0] == 0x3b ? -1 : 0));
    REQUIRE_FALSE(in.ok());
  }
}

TEST_CASE("strings, arrays, maps and simple values are those of RFC 8949 appendix A") {
  REQUIRE(written([](CborWriter& out) { out.boolean(false); }) == "f4");
  REQUIRE(written([](CborWriter& out) { out.boolean(true); }) == "f5");
  REQUIRE(written([](CborWriter& out) { out.null(); }) == "f6");
  REQUIRE(written([](CborWriter& out) { out.bytes({}); }) == "40");
  REQUIRE(written([](CborWriter& out) { out.bytes(hex("01020304")); }) == "4401020304");
  REQUIRE(written([](CborWriter& out) { out.text(""); }) == "60");
  REQUIRE(written([](CborWriter& out) { out.text("IETF"); }) == "6449455446");
  REQUIRE(written([](CborWriter& out) { out.text("\"\\"); }) == "62225c");
  REQUIRE(written([](CborWriter& out) { out.text("\u00fc"); }) == "62c3bc");
  REQUIRE(written([](CborWriter& out) { out.text("\u6c34"); }) == "63e6b0b4");
  REQUIRE(written([](CborWriter& out) { out.text("\U00010151"); }) == "64f0908591");
  REQUIRE(written([](CborWriter& out) { out.array(0); }) == "80");
  REQUIRE(written([](CborWriter& out) { out.array(3).uint(1).array(2).uint(2).uint(3).array(2).uint(4).uint(5); }) ==
          "8301820203820405");
  REQUIRE(written([](CborWriter& out) {
            out.array(25);
            for (std::uint64_t i = 1; i <= 25; ++i) out.uint(i);
          }) == "98190102030405060708090a0b0c0d0e0f101112131415161718181819");
  REQUIRE(written([](CborWriter& out) { out.map(0); }) == "a0");
  REQUIRE(written([](CborWriter& out) { out.map(2).uint(1).uint(2).uint(3).uint(4); }) == "a201020304");

  const Bytes raw = hex("a301820203024401020304186466e6b0b449455400");
  Bytes exact(raw.begin(), raw.end() - 1);
  CborReader in(exact);
  REQUIRE(in.map() == 3);
  REQUIRE(in.uint() == 1);
  REQUIRE(in.array() == 2);
  REQUIRE(in.uint() == 2);
  REQUIRE(in.integer() == 3);
  REQUIRE(in.uint() == 2);
  REQUIRE(in.fixed<4>() == std::array<std::uint8_t, 4>{1, 2, 3, 4});
  REQUIRE(in.uint() == 100);
  REQUIRE(in.text() == "\u6c34IET");
  REQUIRE(in.finish());
  REQUIRE(in.peek() == Kind::kEnd);
}

TEST_CASE("a head longer than needed is refused") {
  for (int major = 0; major <= 5; ++major) {
    for (const char* overlong : {"1800", "1817", "190000", "190017", "1900ff", "1a00000001", "1a0000ffff",
                                 "1b0000000000000001", "1b00000000ffffffff"}) {
      Bytes raw = hex(overlong);
      raw[0] = static_cast<std::uint8_t>(raw[0] | major << 5);
      raw.resize(raw.size() + 0x20000);  // room for what the head announces, so that only its form is wrong
      CborReader in(raw);
      in.skip();
      INFO("major " << major << " " << overlong);
      REQUIRE_FALSE(in.ok());
    }
  }
}

TEST_CASE("indefinite lengths, tags, floats, undefined and reserved heads are refused") {
  for (const char* text : {"5f42010243030405ff",
                           "7f657374726561646d696e67ff",
                           "9fff",
                           "9f0102ff",
                           "bfff",
                           "bf0102ff",
                           "ff",
                           "c000",
                           "c11a514b67b0",
                           "c249010000000000000000",
                           "d74401020304",
                           "d818456449455446",
                           "f90000",
                           "f97e00",
                           "fa47c35000",
                           "fb3ff199999999999a",
                           "f7",
                           "f0",
                           "f800",
                           "f814",
                           "f818",
                           "f8ff",
                           "e0",
                           "f3",
                           "f8",
                           "1c",
                           "1d",
                           "1e",
                           "1f",
                           "3c",
                           "5c",
                           "7d",
                           "9e",
                           "bc",
                           "dc",
                           "fc",
                           "fd",
                           "fe",
                           "8101c0",
                           "81f7"}) {
    const Bytes raw = hex(text);
    INFO(text);
    REQUIRE_FALSE(whole_value(raw));
    CborReader in(raw);
    if (in.peek() == Kind::kEnd) REQUIRE_FALSE(in.finish());  // a loop until the end cannot take it for the end
  }
}

TEST_CASE("map keys are unsigned, in ascending order, each once") {
  REQUIRE(whole_value("a2000017f6"));
  REQUIRE(whole_value("a41700181800190100001a0001000000"));
  for (const char* text :
       {"a200000000", "a201000000", "a218ff001800", "a2190100001800", "a201000100", "a3000002000100", "a12000",
        "a1613100", "a1413100", "a18000", "a1f400", "a1f600", "81a201000000", "a101a201000000"}) {
    INFO(text);
    REQUIRE_FALSE(whole_value(text));
    const Bytes raw = hex(text);
    CborReader in(raw);
    if (in.peek() == Kind::kMap) {
      REQUIRE(in.map() == 0);
    } else {
      REQUIRE(in.array() == 0);  // the outermost container vouches for all that is in it
    }
    REQUIRE_FALSE(in.ok());
  }
}

TEST_CASE("text that is not UTF-8 is refused") {
  for (const char* text :
       {"61ff", "6180", "62c080", "61c3", "63eda080", "64f4908080", "64f08080af", "62c328", "8161ff", "a10061ff"}) {
    INFO(text);
    REQUIRE_FALSE(whole_value(text));
  }
  const Bytes raw = hex("63eda080");
  CborReader in(raw);
  REQUIRE(in.text().empty());
  REQUIRE_FALSE(in.ok());
}

TEST_CASE("sixteen levels are admitted and the seventeenth is refused") {
  REQUIRE(whole_value(repeat("81", 15) + "80"));
  REQUIRE(whole_value(repeat("81", 16) + "00"));
  REQUIRE_FALSE(whole_value(repeat("81", 16) + "80"));
  REQUIRE_FALSE(whole_value(repeat("81", 17) + "00"));
  REQUIRE(whole_value(repeat("a100", 16) + "00"));
  REQUIRE_FALSE(whole_value(repeat("a100", 17) + "00"));
  REQUIRE_FALSE(whole_value(repeat("81", 100000) + "00"));

  const Bytes deep = hex(repeat("81", 17) + "00");
  CborReader in(deep);
  REQUIRE(in.array() == 0);
  REQUIRE_FALSE(in.ok());

  // A sibling after a deep one is measured from the outermost container, not from where it stands.
  REQUIRE(whole_value("82" + repeat("81", 15) + "00" + repeat("81", 15) + "00"));
  REQUIRE_FALSE(whole_value("82" + repeat("81", 15) + "00" + repeat("81", 16) + "00"));
}

TEST_CASE("a value cut at any byte is refused, and so is one with a byte too many by finish") {
  Bytes raw;
  CborWriter out(raw);
  out.array(7).uint(1000000).integer(-1000).text("n\u01b0\u1edbc").bytes(hex("00ff")).null().boolean(true);
  out.map(2).uint(1).array(1).uint(24).uint(300).map(0);
  REQUIRE(whole_value(raw));
  const auto read = [](ByteView view) {
    CborReader in(view);
    (void)in.array();
    (void)in.uint();
    (void)in.integer();
    (void)in.text();
    (void)in.bytes();
    in.null();
    (void)in.boolean();
    (void)in.map();
    (void)in.uint();
    in.skip();
    (void)in.uint();
    (void)in.map();
    return in.finish();
  };
  REQUIRE(read(raw));
  for (std::size_t size = 0; size < raw.size(); ++size) {
    const Bytes cut(raw.begin(), raw.begin() + static_cast<std::ptrdiff_t>(size));  // own block, for the sanitizer
    INFO(size);
    REQUIRE_FALSE(whole_value(cut));
    REQUIRE_FALSE(read(cut));
  }
  raw.push_back(0);
  REQUIRE_FALSE(whole_value(raw));
  REQUIRE_FALSE(read(raw));
}

TEST_CASE("a hostile count is refused before anyone can reserve memory for it") {
  for (const char* text : {"9bffffffffffffffff", "9affffffff00", "81", "8200", "bbffffffffffffffff", "a1", "a100",
                           "a2000001", "5bffffffffffffffff", "7bffffffffffffffff", "5affffffff00", "41", "61",
                           "bb800000000000000000", "9b800000000000000000"}) {
    const Bytes raw = hex(text);
    INFO(text);
    REQUIRE_FALSE(whole_value(raw));
    for (int read = 0; read < 4; ++read) {
      CborReader in(raw);
      std::size_t size = 0;
      if (read == 0) size = in.array();
      if (read == 1) size = in.map();
      if (read == 2) size = in.bytes().size();
      if (read == 3) size = in.text().size();
      REQUIRE(size == 0);
      REQUIRE_FALSE(in.ok());
    }
  }
}

TEST_CASE("after the first violation everything fails, also what would be right") {
  const Bytes raw = hex("0061610182");
  CborReader in(raw);
  REQUIRE(in.bytes().empty());
  REQUIRE_FALSE(in.ok());
  REQUIRE(in.peek() == Kind::kEnd);
  REQUIRE(in.uint() == 0);
  REQUIRE(in.text().empty());
  REQUIRE(in.array() == 0);
  REQUIRE_FALSE(in.boolean());
  in.null();
  in.skip();
  REQUIRE(in.fixed<2>() == std::array<std::uint8_t, 2>{});
  REQUIRE(in.rest().empty());
  REQUIRE_FALSE(in.finish());
}

TEST_CASE("every value read as another type is refused") {
  const std::pair<Kind, std::string> values[] = {{Kind::kUint, "00"}, {Kind::kNegative, "20"}, {Kind::kBytes, "40"},
                                                 {Kind::kText, "60"}, {Kind::kArray, "80"},    {Kind::kMap, "a0"},
                                                 {Kind::kBool, "f4"}, {Kind::kNull, "f6"}};
  for (const auto& [kind, text] : values) {
    const Bytes raw = hex(text);
    for (const auto& [as, unused] : values) {
      CborReader in(raw);
      REQUIRE(in.peek() == kind);
      if (as == Kind::kUint) (void)in.uint();
      if (as == Kind::kNegative) (void)in.integer();
      if (as == Kind::kBytes) (void)in.bytes();
      if (as == Kind::kText) (void)in.text();
      if (as == Kind::kArray) (void)in.array();
      if (as == Kind::kMap) (void)in.map();
      if (as == Kind::kBool) (void)in.boolean();
      if (as == Kind::kNull) in.null();
      REQUIRE(in.finish() == (as == kind || (as == Kind::kNegative && kind == Kind::kUint)));
    }
  }
  const Bytes short_one = hex("420102");
  CborReader in(short_one);
  REQUIRE(in.fixed<3>() == std::array<std::uint8_t, 3>{});
  REQUIRE_FALSE(in.ok());
}

TEST_CASE("several values in a row are read one by one, each checked") {
  const Bytes raw = hex("8101820203a201000000");
  CborReader in(raw);
  REQUIRE(in.array() == 1);
  REQUIRE(in.uint() == 1);
  in.skip();
  REQUIRE(in.ok());
  REQUIRE(in.map() == 0);
  REQUIRE_FALSE(in.ok());
}

TEST_CASE("of all inputs of up to three bytes, what is accepted is written back the same") {
  std::size_t accepted = 0;
  for (std::uint32_t n = 0; n < 0x1000000; n += (n < 0x20000 ? 1 : 7)) {
    const Bytes raw{static_cast<std::uint8_t>(n >> 16U), static_cast<std::uint8_t>(n >> 8U),
                    static_cast<std::uint8_t>(n)};
    CborReader in(raw);
    in.skip();
    if (!in.ok()) continue;
    ++accepted;
    CborReader again(raw);
    Bytes back;
    CborWriter out(back);
    for (std::size_t left = 1; left != 0 && again.ok(); --left) {
      switch (again.peek()) {
        case Kind::kUint:
          out.uint(again.uint());
          break;
        case Kind::kNegative:
          out.integer(again.integer());
          break;
        case Kind::kBytes:
          out.bytes(again.bytes());
          break;
        case Kind::kText:
          out.text(again.text());
          break;
        case Kind::kArray: {
          const std::size_t count = again.array();
          out.array(count);
          left += count;
          break;
        }
        case Kind::kMap: {
          const std::size_t count = again.map();
          out.map(count);
          left += 2 * count;
          break;
        }
        case Kind::kBool:
          out.boolean(again.boolean());
          break;
        case Kind::kNull:
          again.null();
          out.null();
          break;
        case Kind::kEnd:
          again.fail();
      }
    }
    const std::size_t used = raw.size() - in.rest().size();
    if (!again.ok() || back != Bytes(raw.begin(), raw.begin() + static_cast<std::ptrdiff_t>(used))) {
      FAIL(base::to_hex(raw));
    }
  }
  REQUIRE(accepted > 100000);
}

TEST_CASE("a map that is read entry by entry, once, is refused for all that a map is refused for") {
  const auto once = [](ByteView input) {
    CborReader in(input);
    for (std::size_t left = in.map_once(); left > 0 && in.ok(); --left) (void)in.entry();
    return in.finish();
  };
  std::size_t accepted = 0;
  // A map of two, then every value of the bytes that decide: keys, heads of values, what they hold.
  const std::array<std::uint8_t, 12> bytes = {0x00, 0x01, 0x02, 0x17, 0x18, 0x20, 0x41, 0x61, 0x81, 0xA1, 0xF5, 0xFF};
  for (std::size_t i = 0; i < bytes.size() * bytes.size() * bytes.size() * bytes.size() * bytes.size(); ++i) {
    Bytes input{0xA2};
    for (std::size_t rest = i, at = 0; at < 5; ++at, rest /= bytes.size())
      input.push_back(bytes.at(rest % bytes.size()));
    for (std::size_t size = 4; size <= input.size(); ++size) {
      const ByteView whole = ByteView(input).first(size);
      const bool fine = once(whole);
      if (fine != whole_value(whole)) FAIL(base::to_hex(whole));
      accepted += fine ? 1U : 0U;
    }
  }
  CHECK(accepted > 1000);
  // Numbers, texts and simple values of every size, and what is not quite one.
  for (std::size_t length = 0; length < 40; ++length) {
    for (std::size_t at = 0; at < length + 1; ++at) {
      for (const std::uint8_t byte : hex("007f80c3ff")) {
        for (const std::size_t claimed : {length, length + 1}) {
          Bytes input = hex("a10a");
          CborWriter(input).text(std::string(claimed, 'x'));
          input.resize(input.size() - (claimed - length));
          if (at < length) input[input.size() - length + at] = byte;
          if (once(input) != whole_value(input)) FAIL(base::to_hex(input));
        }
      }
    }
  }
  for (std::uint32_t first = 0; first < 256; ++first) {
    for (std::uint32_t second = 0; second < 256; ++second) {
      for (const char* const start : {"a1", "a100", "a20000"}) {
        Bytes input = hex(start);
        input.insert(input.end(), {static_cast<std::uint8_t>(first), static_cast<std::uint8_t>(second), 0x00});
        for (std::size_t size = input.size() - 3; size <= input.size(); ++size) {
          if (once(ByteView(input).first(size)) != whole_value(ByteView(input).first(size))) FAIL(base::to_hex(input));
        }
      }
    }
  }
  // As deep as a map may be, and one deeper; no key comes twice, not the greatest either.
  for (const int depth : {15, 16}) {
    const Bytes deep = hex("a101" + repeat("81", depth) + "00");
    CHECK(once(deep) == whole_value(deep));
    CHECK(once(deep) == (depth == 15));
  }
  CHECK_FALSE(once(hex("a21bfffffffffffffffe001bfffffffffffffffe00")));
  // An array read element by element is as long as it says.
  const Bytes two = hex("820102");
  CborReader in(two);
  CHECK(in.array_once() == 2);
  CHECK(in.uint() == 1);
  CHECK(in.uint() == 2);
  CHECK(in.finish());
  const Bytes beyond = hex("830102");
  CborReader cut(beyond);
  CHECK(cut.array_once() == 0);
  CHECK_FALSE(cut.ok());
}

TEST_CASE("robust: a number that does not fit is refused, and not cut off") {
  const auto narrow = [](std::uint64_t number) {
    Bytes bytes;
    CborWriter(bytes).uint(number);
    CborReader in(bytes);
    const std::uint16_t value = in.narrow<std::uint16_t>();
    return in.finish() ? std::optional(value) : std::nullopt;
  };
  CHECK(narrow(65535) == 65535);
  for (const std::uint64_t wide : {std::uint64_t{65536}, std::uint64_t{1} << 32U, UINT64_MAX}) {
    CHECK_FALSE(narrow(wide).has_value());
  }
}

}  // namespace
}  // namespace casevault::format
