// SPDX-License-Identifier: Apache-2.0
#include "model/value.hpp"

#include "catch.hpp"
#include "format/cbor.hpp"
#include "support/fixed_environment.hpp"

namespace casevault::model {
namespace {

constexpr std::string_view kToml = R"(
name = "values"
version = 1
[codelists]
colour = ["red", "green", "blue", "đ"]
[[compartments]]
id = 1
name = "all"
[[types]]
id = 1
name = "thing"
fields = [
  { id = 1, name = "text", type = "text", compartment = "all" },
  { id = 2, name = "code", type = "code", compartment = "all", list = "colour" },
  { id = 3, name = "multi", type = "multi-code", compartment = "all", list = "colour" },
  { id = 4, name = "date", type = "date", compartment = "all" },
  { id = 5, name = "integer", type = "integer", compartment = "all" },
  { id = 6, name = "boolean", type = "boolean", compartment = "all" },
  { id = 7, name = "bytes", type = "bytes", compartment = "all" },
]
)";

const Schema& schema() {
  static const Schema made = REQUIRE_OK(Schema::parse(kToml));
  return made;
}

const Field& field(std::string_view name) { return *schema().types().front().find(name); }

Result<std::string> decoded(const Field& of, ByteView encoded) {
  Bytes out(max_text_size(encoded.size()));
  CASEVAULT_TRY(const std::size_t end, decode_value(of, encoded, out, 0));
  return std::string(as_text(ByteView(out).first(end)));
}

Bytes padded(ByteView encoded) {
  Bytes out(encoded.begin(), encoded.end());
  out.resize(class_size(length_class(encoded.size())));
  return out;
}

struct Case {
  std::string_view field;
  std::string_view value;
};

}  // namespace

TEST_CASE("an accepted value comes back exactly as it was written, padded or not") {
  static const auto max = std::string(kMaxValueBytes, 'x');
  const auto [name, value] = GENERATE_REF(
      Case{"text", ""}, Case{"text", "Nguyễn Thị Hoà"}, Case{"text", "Hoa\xCC\x80 (NFD)"},
      Case{"text", "two\nlines\r\n"}, Case{"text", std::string_view("nul\0inside", 10)},
      Case{"text", "\xC2\xA0\xC3\x90"}, Case{"text", max}, Case{"code", "red"}, Case{"code", "đ"}, Case{"multi", "red"},
      Case{"multi", "blue;red;đ;green"}, Case{"date", "1959"}, Case{"date", "2024-02"}, Case{"date", "2024-02-29"},
      Case{"date", "2000-02-29"}, Case{"date", "0001-12-31"}, Case{"integer", "0"}, Case{"integer", "-1"},
      Case{"integer", "42"}, Case{"integer", "-9223372036854775808"}, Case{"integer", "9223372036854775807"},
      Case{"boolean", "true"}, Case{"boolean", "false"}, Case{"bytes", ""}, Case{"bytes", "AA=="},
      Case{"bytes", "AAEC"}, Case{"bytes", "/+8="});
  INFO(name << " " << value.substr(0, 40));
  REQUIRE_DONE(check_value(schema(), field(name), value));
  REQUIRE(ValueCheck(schema(), field(name)).admits(value));
  const SecretBytes encoded = REQUIRE_OK(encode_value(schema(), field(name), value));
  REQUIRE(REQUIRE_OK(decoded(field(name), encoded.view())) == value);
  REQUIRE(REQUIRE_OK(decoded(field(name), padded(encoded.view()))) == value);
}

TEST_CASE("a value that does not fit its type is refused by name of the field and never shown") {
  static const auto too_long = std::string(kMaxValueBytes + 1, 'x');
  const auto [name, value] = GENERATE_REF(
      Case{"text", "\xFFzzz"}, Case{"text", "\xC0\x80zzz"}, Case{"text", "\xED\xA0\x80zzz"}, Case{"text", too_long},
      Case{"code", ""}, Case{"code", "zzz"}, Case{"code", "Red"}, Case{"code", "red "}, Case{"code", "red;green"},
      Case{"multi", ""}, Case{"multi", "red;"}, Case{"multi", ";red"}, Case{"multi", "red;;blue"},
      Case{"multi", "red; blue"}, Case{"multi", "red;red"}, Case{"multi", "red;zzz"}, Case{"date", ""},
      Case{"date", "zzz"}, Case{"date", "2023-02-29"}, Case{"date", "1900-02-29"}, Case{"date", "2024-13"},
      Case{"date", "2024-00"}, Case{"date", "2024-04-31"}, Case{"date", "2024-04-00"}, Case{"date", "2024/04/01"},
      Case{"date", "2024-4-1"}, Case{"date", "0000"}, Case{"date", "20240401"}, Case{"date", "2024-04-01 "},
      Case{"date", "+202"}, Case{"integer", ""}, Case{"integer", "-"}, Case{"integer", "+7"}, Case{"integer", "007"},
      Case{"integer", "-0"}, Case{"integer", "1.0"}, Case{"integer", " 1"}, Case{"integer", "9223372036854775808"},
      Case{"boolean", "True"}, Case{"boolean", "1"}, Case{"boolean", ""}, Case{"bytes", "AA"}, Case{"bytes", "AB=="},
      Case{"bytes", "A A="}, Case{"bytes", "A"});
  INFO(name << " " << value.substr(0, 40));
  const auto checked = check_value(schema(), field(name), value);
  REQUIRE_ERROR(ErrorCode::kBadInput, checked);
  REQUIRE_FALSE(ValueCheck(schema(), field(name)).admits(value));
  REQUIRE(checked.error().message.find("field " + std::string(name)) == 0);
  REQUIRE(checked.error().message.find("zzz") == std::string::npos);
  REQUIRE_ERROR(ErrorCode::kBadInput, encode_value(schema(), field(name), value));
}

TEST_CASE("bytes that are no value of the field are integrity, never another value") {
  const auto text = [](std::string_view v) {
    Bytes out;
    format::CborWriter(out).text(v);
    return out;
  };
  Bytes no_codes;
  format::CborWriter(no_codes).array(0);
  Bytes joined_code;
  format::CborWriter(joined_code).array(1).text("red;green");
  Bytes empty_code;
  format::CborWriter(empty_code).array(1).text("");
  REQUIRE_ERROR(ErrorCode::kIntegrity, decoded(field("date"), text("2023-02-30")));
  REQUIRE_ERROR(ErrorCode::kIntegrity, decoded(field("integer"), text("1")));
  REQUIRE_ERROR(ErrorCode::kIntegrity, decoded(field("text"), Bytes{0x01}));
  REQUIRE_ERROR(ErrorCode::kIntegrity, decoded(field("text"), Bytes{}));
  REQUIRE_ERROR(ErrorCode::kIntegrity, decoded(field("boolean"), Bytes{0xF6}));
  REQUIRE_ERROR(ErrorCode::kIntegrity, decoded(field("multi"), no_codes));
  REQUIRE_ERROR(ErrorCode::kIntegrity, decoded(field("multi"), joined_code));
  REQUIRE_ERROR(ErrorCode::kIntegrity, decoded(field("multi"), empty_code));

  Bytes dirty = padded(text("value"));
  dirty.back() = 1;
  REQUIRE_ERROR(ErrorCode::kIntegrity, decoded(field("text"), dirty));
}

TEST_CASE("a refused value leaves no plaintext in the buffer, and a small buffer is not overrun") {
  const SecretBytes encoded = REQUIRE_OK(encode_value(schema(), field("text"), "secret"));
  Bytes dirty = padded(encoded.view());
  dirty.back() = 1;
  Bytes out(64, 0xAA);
  REQUIRE_ERROR(ErrorCode::kIntegrity, decode_value(field("text"), dirty, out, 3));
  REQUIRE(as_text(out).find("secret") == std::string_view::npos);

  Bytes small(8, 0xAA);
  REQUIRE_ERROR(ErrorCode::kInternal, decode_value(field("text"), encoded.view(), small, 3));
  REQUIRE_ERROR(ErrorCode::kInternal, decode_value(field("text"), encoded.view(), small, 9));
  REQUIRE(small == Bytes(8, 0xAA));
  REQUIRE(REQUIRE_OK(decode_value(field("text"), encoded.view(), small, 2)) == 8);
}

TEST_CASE("whatever bytes stand in a row, a decoded text fits the promised size") {
  test::SeededRandom random(7);
  for (int round = 0; round < 20000; ++round) {
    Bytes bytes(1 + random.below(40));
    random.fill(bytes);
    for (const Field& each : schema().types().front().fields) {
      const auto result = decoded(each, bytes);
      if (!result) REQUIRE(result.error().code == ErrorCode::kIntegrity);
    }
  }
}

TEST_CASE("length classes grow with the size, hold it, and come back from their own size") {
  std::uint16_t previous = 0;
  for (std::size_t size = 0; size <= kMaxValueBytes + 4096; size += size < 10000 ? 1 : 509) {
    const std::uint16_t of = length_class(size);
    REQUIRE(of >= previous);
    REQUIRE(class_size(of) >= size);
    if (of != 0) REQUIRE(class_size(static_cast<std::uint16_t>(of - 1)) < size);
    REQUIRE(length_class(class_size(of)) == of);
    previous = of;
  }
  REQUIRE(class_size(0) == 16);
  REQUIRE(class_size(15) == 256);
  REQUIRE(class_size(16) == 320);
  REQUIRE(class_size(27) == 1024);
  REQUIRE(class_size(28) == 1280);
  REQUIRE(class_size(39) == 4096);
  REQUIRE(class_size(40) == 8192);
  REQUIRE(class_size(295) == kMaxValueBytes + 4096);
  REQUIRE(class_size(296) == 0);
  REQUIRE(class_size(0xFFFF) == 0);
  REQUIRE(class_size(length_class(kMaxValueBytes + 4097)) == 0);
}

}  // namespace casevault::model
