// SPDX-License-Identifier: Apache-2.0
#include <random>

#include "catch.hpp"
#include "model/normalise.hpp"

using namespace casevault;
using model::IdWarning;
using Texts = std::vector<std::string>;

namespace {

Texts phones(std::string_view text) {
  INFO(text);
  return REQUIRE_OK(model::phone_keys(text));
}
std::string id(std::string_view text) {
  INFO(text);
  const model::IdKey key = REQUIRE_OK(model::id_key(text));
  return key.type + " " + key.number;
}

}  // namespace

TEST_CASE("A telephone number has one key however it is written") {
  for (const std::string_view text : {"0912 345 678",
                                      "+84 912345678",
                                      "0084912345678",
                                      "+84 (0) 912-345-678",
                                      "(+84) 912 345 678",
                                      "84912345678",
                                      "912345678",
                                      "O912345678",
                                      "o912.345.678",
                                      "091 234 56 78",
                                      "\uff10912\uff13\uff14\uff15678",
                                      "0912\u00a0345\u00a0678",
                                      "0912\u2013345\u2013678",
                                      "0912\u200b345678",
                                      "ĐT: 0912 345 678",
                                      "SĐT:0912345678",
                                      "0912345678 (số của mẹ)",
                                      "0912.345.678 - gọi sau 20h",
                                      "+84 (0) 912-345-678 - gọi sau 20h",
                                      "zalo0912345678",
                                      "\uff0b84 912345678",
                                      "0912345678; 0912 345 678",
                                      "+840912345678"})
    REQUIRE(phones(text) == Texts{"+84912345678"});
  for (const std::string_view text :
       {"0168.123.4567", "0381234567", "84 168 1234567", "+841681234567", "+84 (0) 168 123 4567", "1681234567"})
    REQUIRE(phones(text) == Texts{"+84381234567"});
  for (const std::string_view text :
       {"(0237) 3000398", "0237 3000398", "+84 237 3000398", "0237.3000398", "2373000398"})
    REQUIRE(phones(text) == Texts{"+842373000398"});
  REQUIRE(phones("028-30000651") == Texts{"+842830000651"});
  REQUIRE(phones("+86 138 0000 0047") == Texts{"+8613800000047"});
  REQUIRE(phones("00856 20 5500 0573") == phones("+856 20 5500 0573"));
}

TEST_CASE("Every prefix that changed in 2018 leads to the number of today, and no other does") {
  const std::vector<std::pair<std::string, std::string>> changes = {
      {"0120", "070"}, {"0121", "079"}, {"0122", "077"}, {"0126", "076"}, {"0128", "078"}, {"0123", "083"},
      {"0124", "084"}, {"0125", "085"}, {"0127", "081"}, {"0129", "082"}, {"0162", "032"}, {"0163", "033"},
      {"0164", "034"}, {"0165", "035"}, {"0166", "036"}, {"0167", "037"}, {"0168", "038"}, {"0169", "039"},
      {"0186", "056"}, {"0188", "058"}, {"0199", "059"}};
  std::size_t changed = 0;
  for (int head = 100; head < 200; ++head) {
    const std::string number = "0" + std::to_string(head) + "0001234";
    const auto keys = model::phone_keys(number);
    const auto known = std::find_if(changes.begin(), changes.end(),
                                    [&](const auto& change) { return number.starts_with(change.first); });
    INFO(number);
    REQUIRE(keys.has_value() == (known != changes.end()));
    if (keys) REQUIRE(*keys == phones(known->second + "0001234"));
    changed += keys.has_value() ? 1U : 0U;
  }
  REQUIRE(changed == changes.size());
}

TEST_CASE("Short codes stay as they are and are never numbers of Viet Nam") {
  REQUIRE(phones("111") == Texts{"111"});
  REQUIRE(phones("Tổng đài 111") == Texts{"111"});
  REQUIRE(phones("113") == Texts{"113"});
  REQUIRE(phones("1800 1567") == Texts{"18001567"});
  REQUIRE(phones("18001567") == Texts{"18001567"});
  REQUIRE(phones("1900.1234") == Texts{"19001234"});
  REQUIRE(phones("111; 0912345678") == Texts{"111", "+84912345678"});
}

TEST_CASE("A cell may hold several telephone numbers and remarks") {
  REQUIRE(phones("+84 890 005 336; +84 930 000 422") == Texts{"+84890005336", "+84930000422"});
  REQUIRE(phones("+84 (0) 900-001-998, 0960000149") == Texts{"+84900001998", "+84960000149"});
  REQUIRE(phones("0760 005 880 / 0760000178") == Texts{"+84760005880", "+84760000178"});
  REQUIRE(phones("(+84) 880 008 467; +856 20 5500 0573") == Texts{"+84880008467", "+8562055000573"});
  REQUIRE(phones("0760 005 880 0760000178") == Texts{"+84760005880", "+84760000178"});
  REQUIRE(phones("0760005880 - 0760000178") == Texts{"+84760005880", "+84760000178"});
  REQUIRE(phones("+84 890 003 061 - gọi sau 20h / 0163.000.3720") == Texts{"+84890003061", "+84330003720"});
  REQUIRE(phones("0580-001-590 (số của mẹ) / 0560.000.025 (số của mẹ)") == Texts{"+84580001590", "+84560000025"});
  REQUIRE(phones("0912345678, không nhớ số kia") == Texts{"+84912345678"});
  std::string many;
  for (int i = 0; i < 9; ++i) many += "091234567" + std::to_string(i) + ";";
  REQUIRE_ERROR(ErrorCode::kBadInput, model::phone_keys(many));
}

TEST_CASE("What cannot be a telephone number is refused with the reason") {
  const auto reason = [](std::string_view text) {
    const auto result = model::phone_keys(text);
    INFO(text);
    REQUIRE_ERROR(ErrorCode::kBadInput, result);
    return result.error().message;
  };
  for (const std::string_view text : {"0123456789", "0123 456 789", "01234567890123", "0912 345 67", "0912 345 678 9",
                                      "+84 12345", "0170 000 1234", "00", "+0912345678900", "999999999999"})
    REQUIRE((reason(text).starts_with("no telephone number:") || text == "00"));
  for (const std::string_view text : {"", "-", "không có", "không nhớ", "gọi sau 20h", "+", "()"})
    REQUIRE(reason(text) == "holds no telephone number");
  REQUIRE(reason("09\xff").starts_with("not valid UTF-8 at byte 2"));
  REQUIRE(reason("0912345678 \ufffd").find("(U+FFFD) at byte 11") != std::string::npos);
  REQUIRE(reason(std::string(1025, '1')).starts_with("longer than 1024 bytes"));
}

TEST_CASE("A document number has one key however it is written, and numbers of two types are two") {
  for (const std::string_view text :
       {"001203000123", "001 203 000 123", "001.203.000.123", "CCCD 001203000123", "Số CCCD: 001203 000123",
        "Căn cước công dân 001203000123", "\uff10\uff10\uff11203000123"})
    REQUIRE(id(text) == "cccd 001203000123");
  REQUIRE(id("979 407 397") == "cmnd 979407397");
  REQUIRE(id("CMND số 012345678") == "cmnd 012345678");
  REQUIRE(id("54190001234") == "other 54190001234");
  REQUIRE(id("c9774476") == "other C9774476");
  REQUIRE(id("Hộ chiếu C 9774476") == "other C9774476");
  REQUIRE(id("By-12345") == "other BY12345");
  for (const std::string_view text : {"", "không có", "CCCD", "\xff", "C\ufffd1", "123456789012345678901234567890123"})
    REQUIRE_ERROR(ErrorCode::kBadInput, model::id_key(text));
}

TEST_CASE("A lost zero is suggested and never put back silently") {
  REQUIRE(model::id_suggestion("54190001234") == "054190001234");
  REQUIRE(model::id_suggestion("1 203 000 123") == "001203000123");
  REQUIRE(model::id_suggestion("12345678") == "012345678");
  for (const std::string_view text : {"054190001234", "979407397", "C9774476", "99190001234", "3203000123", "", "x"})
    REQUIRE_FALSE(model::id_suggestion(text));
}

TEST_CASE("A personal number that disagrees with the record is a warning") {
  using Warnings = std::vector<IdWarning>;
  REQUIRE(model::check_id("054190001234", "1990-05-12", "female") == Warnings{});
  REQUIRE(model::check_id("054190001234", "1991", "female") == Warnings{IdWarning::kBirthYear});
  REQUIRE(model::check_id("054190001234", "1991", "female", 1) == Warnings{});
  REQUIRE(model::check_id("054190001234", "1990-05", "male") == Warnings{IdWarning::kSex});
  REQUIRE(model::check_id("054190001234", "", "unknown") == Warnings{});
  REQUIRE(model::check_id("087084000999", "1984", "male") == Warnings{});
  REQUIRE(model::check_id("001203000123", "2003-01-01", "male") == Warnings{});
  REQUIRE(model::check_id("001303000123", "2003-01-01", "male") == Warnings{IdWarning::kSex});
  REQUIRE(model::check_id("003190001234", "1990", "female") == Warnings{IdWarning::kProvince});
  REQUIRE(model::check_id("54190001234", "1991", "male") ==
          Warnings{IdWarning::kZeroLost, IdWarning::kBirthYear, IdWarning::kSex});
  REQUIRE(model::check_id("979407397", "1991", "male") == Warnings{});
  REQUIRE(model::check_id("C9774476", "1991", "male") == Warnings{});
  REQUIRE(model::check_id("", "1991", "male") == Warnings{});
  for (const IdWarning warning : {IdWarning::kZeroLost, IdWarning::kProvince, IdWarning::kBirthYear, IdWarning::kSex})
    REQUIRE_FALSE(model::text_of(warning).empty());
}

TEST_CASE("Keys of telephones and documents are their own keys, and no bytes break them") {
  std::mt19937 random(7);
  constexpr std::string_view kAlphabet = "0123456789012345678901234567890123456789+() .-;/,aOh\n\xc4\x90\xff";
  std::uniform_int_distribution<std::size_t> pick(0, kAlphabet.size() - 1);
  std::size_t made = 0;
  for (int round = 0; round < 20'000; ++round) {
    std::string text;
    for (int i = round % 60; i >= 0; --i) text.push_back(kAlphabet[pick(random)]);
    if (const auto keys = model::phone_keys(text)) {
      ++made;
      REQUIRE((!keys->empty() && keys->size() <= model::kMaxPhones));
      for (const std::string& key : *keys) REQUIRE(phones(key) == Texts{key});
    }
    if (const auto key = model::id_key(text)) REQUIRE(id(key->number) == key->type + " " + key->number);
    (void)model::check_id(text, text, text);
  }
  REQUIRE(made > 500);
}
