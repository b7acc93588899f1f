// SPDX-License-Identifier: Apache-2.0
#include "base/cursor.hpp"

#include "catch.hpp"
#include "support/fixed_environment.hpp"

namespace {

using namespace casevault;
using base::Reader;
using base::Writer;

std::optional<std::uint64_t> whole_varint(const Bytes& bytes) {
  Reader in(bytes);
  const std::uint64_t value = in.varint();
  if (!in.finish()) return std::nullopt;
  return value;
}

}  // namespace

TEST_CASE("What a writer wrote a reader reads back, big-endian") {
  Bytes out;
  const Bytes block{9, 8, 7};
  Writer(out).u8(1).u16(0x0203).u32(0x04050607).u64(0x08090A0B0C0D0E0F).varint(300).block(block).bytes(block);
  REQUIRE(Bytes(out.begin(), out.begin() + 15) == Bytes{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15});
  Reader in(out);
  REQUIRE(in.u8() == 1);
  REQUIRE(in.u16() == 0x0203);
  REQUIRE(in.u32() == 0x04050607);
  REQUIRE(in.u64() == 0x08090A0B0C0D0E0F);
  REQUIRE(in.varint() == 300);
  REQUIRE(std::ranges::equal(in.block(), block));
  REQUIRE_FALSE(in.finish());
  REQUIRE(in.fixed<3>() == std::array<std::uint8_t, 3>{9, 8, 7});
  REQUIRE(in.finish());
}

TEST_CASE("A read past the end yields nothing and every later read fails") {
  const Bytes three{1, 2, 3};
  Reader in(three);
  REQUIRE(in.u32() == 0);
  REQUIRE_FALSE(in.ok());
  REQUIRE(in.u8() == 0);  // there were bytes left, but the reader has failed
  REQUIRE(in.take(1).empty());
  REQUIRE(in.fixed<2>() == std::array<std::uint8_t, 2>{});
  REQUIRE(in.varint() == 0);
  REQUIRE(in.rest().empty());
  REQUIRE_FALSE(in.finish());

  Reader empty(ByteView{});
  REQUIRE(empty.finish());
  REQUIRE(empty.take(0).empty());
  REQUIRE(empty.finish());
  REQUIRE(empty.u8() == 0);
  REQUIRE_FALSE(empty.finish());
}

TEST_CASE("A length that lies about the input is refused") {
  for (const std::uint32_t length : {4U, 5U, 0x7FFFFFFFU, 0xFFFFFFFFU}) {
    Bytes out;
    Writer(out).u32(length).bytes(Bytes{1, 2, 3});
    Reader in(out);
    REQUIRE(in.block().empty());
    REQUIRE_FALSE(in.ok());
  }
  const Bytes three{1, 2, 3};
  Reader in(three);
  REQUIRE(in.take(SIZE_MAX).empty());
  REQUIRE_FALSE(in.ok());
}

TEST_CASE("Every truncation of a message is refused") {
  Bytes out;
  Writer(out).u16(7).varint(1U << 20U).block(Bytes(5, 1)).u64(1);
  const auto read = [](ByteView bytes) {
    Reader in(bytes);
    static_cast<void>(in.u16());
    static_cast<void>(in.varint());
    static_cast<void>(in.block());
    static_cast<void>(in.u64());
    return in.finish();
  };
  REQUIRE(read(out));
  for (std::size_t size = 0; size < out.size(); ++size) REQUIRE_FALSE(read(ByteView(out).first(size)));
  out.push_back(0);
  REQUIRE_FALSE(read(out));
}

TEST_CASE("A varint has exactly one spelling") {
  for (unsigned bit = 0; bit < 64; ++bit) {
    for (const std::uint64_t value : {(std::uint64_t{1} << bit) - 1, std::uint64_t{1} << bit}) {
      Bytes out;
      Writer(out).varint(value);
      REQUIRE(out.size() <= 10);
      REQUIRE(whole_varint(out) == value);
      if (out.size() == 10) continue;
      out.back() = static_cast<std::uint8_t>(out.back() | 0x80U);
      REQUIRE_FALSE(whole_varint(out).has_value());  // unfinished
      out.push_back(0);
      REQUIRE_FALSE(whole_varint(out).has_value());  // padded with a zero
    }
  }
  Bytes most(9, 0xFF);
  most.push_back(1);
  REQUIRE(whole_varint(most) == UINT64_MAX);
  most.back() = 2;  // bit 64
  REQUIRE_FALSE(whole_varint(most).has_value());
  most.back() = 0x81;
  most.push_back(0);
  REQUIRE_FALSE(whole_varint(most).has_value());
  REQUIRE_FALSE(whole_varint(Bytes(100, 0x80)).has_value());
  REQUIRE_FALSE(whole_varint({}).has_value());
}

TEST_CASE("Any bytes that read as a varint are the bytes a writer writes for it") {
  test::SeededRandom random(5);
  for (int i = 0; i < 20000; ++i) {
    Bytes bytes(1 + random.below(11));
    random.fill(bytes);
    for (std::size_t k = 0; k + 1 < bytes.size(); ++k) bytes[k] = static_cast<std::uint8_t>(bytes[k] | 0x80U);
    const auto value = whole_varint(bytes);
    if (!value) continue;
    Bytes again;
    Writer(again).varint(*value);
    REQUIRE(again == bytes);
  }
}
