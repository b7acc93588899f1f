// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <chrono>
#include <random>

#include "catch.hpp"
#include "model/normalise.hpp"

using namespace casevault;
using Texts = std::vector<std::string>;

namespace {

std::string date(int year, int month, int day) {
  char text[16];
  (void)std::snprintf(text, sizeof text, "%04d-%02d-%02d", year % 10'000, month % 100, day % 100);
  return std::string(text).substr(0, month == 0 ? 4 : day == 0 ? 7 : 10);
}

bool found(const Texts& keys, const Texts& query) {
  return std::ranges::any_of(query,
                             [&](const std::string& word) { return std::ranges::find(keys, word) != keys.end(); });
}

Texts place(std::string_view text, std::string_view edition = {}) {
  INFO(text);
  return REQUIRE_OK(model::place_keys(text, edition));
}

bool place_found(const Texts& keys, std::string_view query, std::string_view edition = {}, bool loose = false) {
  INFO(query);
  return found(keys, REQUIRE_OK(model::place_query_keys(query, edition, loose)));
}

}  // namespace

TEST_CASE("A date is kept in one form, day before month, and a year of two digits is refused") {
  for (const std::string_view typed :
       {"5/3/1990", "05/03/1990", "05-03-1990", "5.3.1990", "1990-03-05", " 05 / 03 / 1990 "})
    REQUIRE(REQUIRE_OK(model::canonical_date(typed)) == "1990-03-05");
  REQUIRE(REQUIRE_OK(model::canonical_date("3/1990")) == "1990-03");
  REQUIRE(REQUIRE_OK(model::canonical_date("1990-03")) == "1990-03");
  REQUIRE(REQUIRE_OK(model::canonical_date("1990")) == "1990");
  REQUIRE(REQUIRE_OK(model::canonical_date("29/02/2000")) == "2000-02-29");
  for (const std::string_view bad :
       {"5/3/90", "03/90", "12/25/1990", "29/02/1999", "0/3/1990", "5/3/0000", "90", "5/3/19900", "", "May 1990",
        "1/2/3/1990", "05031990", "1990-3-5-1", "\xff", "31/4/2001"})
    REQUIRE_ERROR(ErrorCode::kBadInput, model::canonical_date(bad));
  REQUIRE(model::canonical_date("5/3/90").error().message.find("two centuries") != std::string::npos);
}

TEST_CASE("A date is found by its year, its month and its day, as far as they are known") {
  REQUIRE(REQUIRE_OK(model::date_keys("1990-05-12")) == Texts{"1990", "1990-05", "1990-05-12"});
  REQUIRE(REQUIRE_OK(model::date_keys("1990-05")) == Texts{"1990", "1990-05", "1990-05-00"});
  REQUIRE(REQUIRE_OK(model::date_keys("1990")) == Texts{"1990", "1990-00"});
  for (const std::string_view bad : {"", "90", "1990-13", "12/05/1990", "1990-02-30"})
    REQUIRE_ERROR(ErrorCode::kBadInput, model::date_keys(bad));
}

TEST_CASE("A range of dates finds every date in it, each imprecise one that may be, and none outside") {
  std::mt19937 random(11);
  const auto one_of = [&random](int first, int last) {
    return std::uniform_int_distribution<int>(first, last)(random);
  };
  const auto any = [&] {
    const int month = one_of(0, 12);
    return date(one_of(1988, 1993), month, month == 0 ? 0 : one_of(0, 28));
  };
  const auto begin_of = [](std::string text) { return text + std::string("-01-01").substr(text.size() - 4); };
  const auto end_of = [](std::string text) { return text + std::string("-12-99").substr(text.size() - 4); };
  for (int round = 0; round < 20'000; ++round) {
    const std::string first = any();
    const std::string last = any();
    const std::string record = any();
    const auto words = model::date_range_keys(first, last);
    INFO(first << " to " << last << ": " << record);
    REQUIRE(words.has_value() == (begin_of(first) <= end_of(last)));
    if (!words) continue;
    REQUIRE(words->size() <= 100);
    const bool overlaps = begin_of(record) <= end_of(last) && end_of(record) >= begin_of(first);
    REQUIRE(found(REQUIRE_OK(model::date_keys(record)), *words) == overlaps);
  }
  REQUIRE(REQUIRE_OK(model::date_range_keys("1990", "1992")) == Texts{"1990", "1991", "1992"});
  REQUIRE_ERROR(ErrorCode::kBadInput, model::date_range_keys("1800", "2000"));
  REQUIRE_ERROR(ErrorCode::kBadInput, model::date_range_keys("1990-02-30", "2000"));
}

TEST_CASE("A province is found by either era, and never taken for its successor") {
  const Texts phu_yen = place("54", "2024");
  REQUIRE(phu_yen == Texts{"2024:54", "2025:66"});
  for (const std::string_view text : {"Phú Yên", "Phu Yen", "tỉnh Phú Yên", "PHÚ YÊN", "Phú Yên cũ"})
    REQUIRE(place(text) == phu_yen);
  REQUIRE(place("Đắk Lắk", "2025") == Texts{"2025:66"});
  REQUIRE(place("66", "2025") == Texts{"2025:66"});
  const Texts dak_lak = place("66", "2024");
  for (const std::string_view text :
       {"Đắk Lắk", "Đak Lak", "Dak Lak", "Đắc Lắc", "Đăk Lăk", "tỉnh Dak Lak", "Daklak", "DakLac"})
    REQUIRE(place(text) == dak_lak);

  REQUIRE(place_found(phu_yen, "Phú Yên"));
  REQUIRE(place_found(place("Phu Yen"), "Phú Yên"));
  REQUIRE_FALSE(place_found(dak_lak, "Phú Yên"));
  REQUIRE_FALSE(place_found(place("66", "2025"), "Phú Yên"));
  REQUIRE(place_found(place("66", "2025"), "Phú Yên", {}, true));
  REQUIRE(place_found(place("66", "2025"), "Đắk Lắk"));
  REQUIRE(place_found(phu_yen, "Đắk Lắk", "2025"));
  REQUIRE_FALSE(place_found(phu_yen, "Đắk Lắk", "2024"));
  REQUIRE(place_found(place("Đắk Lắk (Phú Yên cũ)", "2025"), "Phú Yên"));
  REQUIRE(place_found(phu_yen, "54"));
  REQUIRE_FALSE(place_found(place("66", "2025"), "54"));
}

TEST_CASE("A code means what its edition says, and both units where it has none") {
  REQUIRE(place("24", "2024") == Texts{"2024:24", "2025:24"});
  REQUIRE(place("24", "2025") == Texts{"2025:24"});
  REQUIRE(place("82", "2024") == Texts{"2024:82", "2025:82"});
  REQUIRE(place("87", "2024") == Texts{"2024:87", "2025:82"});
  REQUIRE(place("10") == Texts{"2024:10", "2025:15"});
  REQUIRE(place("15") == Texts{"2024:15", "2025:15"});
  REQUIRE_FALSE(place_found(place("24", "2024"), "Bắc Ninh", "2024"));
  REQUIRE(place_found(place("24", "2024"), "Bắc Giang"));
  REQUIRE(place_found(place("24", "2025"), "Bắc Ninh"));
  REQUIRE_FALSE(place_found(place("24", "2025"), "Bắc Giang"));
  for (const auto& [code, edition] : std::vector<std::pair<std::string, std::string>>{
           {"03", ""}, {"54", "2025"}, {"7", ""}, {"99", "2024"}, {"54", "2026"}, {"Phú Yên", "old"}})
    REQUIRE_ERROR(ErrorCode::kBadInput, model::place_keys(code, edition));
}

TEST_CASE("Both eras of a place are read where the text names them") {
  REQUIRE(place("Yên Bái (nay là Lào Cai)", "2025") == Texts{"2025:15", "2024:15"});
  REQUIRE(place("Lào Cai (Yên Bái cũ)", "2025") == Texts{"2024:15", "2025:15"});
  REQUIRE(place("Đà Nẵng (Quảng Nam cũ)") == Texts{"2024:49", "2025:48"});
  REQUIRE(place("tỉnh Bình Định (nay là Gia Lai)") == Texts{"2025:52", "2024:52"});
  REQUIRE(place("Lào Cai (cũ)", "2025") == Texts{"2024:10", "2025:15"});
}

TEST_CASE("Names of provinces are known as clerks write them") {
  const auto is = [](std::string_view text, std::string_view code) {
    return place(text).front() == "2024:" + std::string(code);
  };
  for (const std::string_view text :
       {"TP. Hồ Chí Minh", "TPHCM", "TP.HCM", "Thành phố Hồ Chí Minh", "Hồ Chí Minh", "Sài Gòn"})
    REQUIRE(is(text, "79"));
  for (const std::string_view text : {"Bà Rịa - Vũng Tàu", "Bà Rịa Vũng Tàu", "BR-VT", "tỉnh Bà Rịa - Vũng Tàu"})
    REQUIRE(is(text, "77"));
  for (const std::string_view text : {"Thừa Thiên Huế", "Thừa Thiên - Huế", "TT-Huế", "Huế", "thành phố Huế"})
    REQUIRE(is(text, "46"));
  for (const std::string_view text : {"Bắc Kạn", "Bắc Cạn", "Bac Kan"}) REQUIRE(is(text, "06"));
  for (const std::string_view text : {"Kon Tum", "KonTum"}) REQUIRE(is(text, "62"));
  for (const std::string_view text : {"Đắk Nông", "Đắc Nông", "Đăk Nông"}) REQUIRE(is(text, "67"));
  REQUIRE(is("Thành phố Đồng Nai", "75"));
  REQUIRE(is("TP Ha Noi", "01"));
  REQUIRE(is("Hoà Bình, Việt Nam", "17"));
}

TEST_CASE("A ward, commune or district is found by its name, and is not the province of that name") {
  const Texts province = place("Hòa Bình");
  REQUIRE(province == Texts{"2024:17", "2025:25"});
  const Texts commune = place("xã Hoà Bình, huyện Vũ Thư, tỉnh Thái Bình");
  REQUIRE(commune == Texts{"name:hoabinh", "name:vuthu", "2024:34", "2025:33"});
  REQUIRE_FALSE(place_found(commune, "Hòa Bình"));
  REQUIRE_FALSE(place_found(province, "xã Hòa Bình"));
  REQUIRE(place_found(commune, "xã Hòa Bình"));
  REQUIRE(place_found(commune, "X. Hoà Bình"));
  REQUIRE(place_found(commune, "Vũ Thư"));
  REQUIRE_FALSE(place_found(commune, "xã Tân Hòa, huyện Vũ Thư"));  // the first name is asked for
  REQUIRE(place("Phường Tiền Phong, Thành phố Thái Bình") == Texts{"name:tienphong", "name:thaibinh"});
  REQUIRE(place("TT Cổ Phúc - H. Trấn Yên - Yên Bái") == Texts{"name:cophuc", "name:tranyen", "2024:15", "2025:15"});
  REQUIRE(place("P. 01, Q.3, TP.HCM") == Texts{"name:phuong1", "name:quan3", "2024:79", "2025:79"});
  REQUIRE(place("Xã Ea KPam, Huyện Cư M'gar") == Texts{"name:eakpam", "name:cumgar"});
  REQUIRE(place("ວຽງຈັນ").size() == 1);
}

TEST_CASE("What is no place is refused, and no text makes more words than an index takes") {
  for (const std::string_view bad : {"", " , ", "\xff", "Hà \ufffd", "Việt Nam"})
    REQUIRE_ERROR(ErrorCode::kBadInput, model::place_keys(bad));
  std::string many;
  for (int i = 0; i < 40; ++i)
    many += "xã " + std::string(1, static_cast<char>('a' + i % 26)) + std::to_string(i) + ", ";
  REQUIRE(place(many).size() == model::kMaxPlaceKeys);
  std::mt19937 random(13);
  const std::vector<std::string> pieces = {"tỉnh ",  "xã ",     "Hòa Bình", "(",        ")",   " - ", ",",
                                           "cũ",     " cũ",     "nay là ",  "TP ",      "Huế", "54",  "\xff",
                                           "\u200b", "Đắk Lắk", " ",        "Việt Nam", "/"};
  for (int round = 0; round < 20'000; ++round) {
    std::string text;
    for (int i = round % 8; i >= 0; --i)
      text += pieces[std::uniform_int_distribution<std::size_t>(0, pieces.size() - 1)(random)];
    for (const std::string_view edition : {"", "2024", "2025"}) {
      const auto keys = model::place_keys(text, edition);
      REQUIRE((!keys || (!keys->empty() && keys->size() <= model::kMaxPlaceKeys)));
      const auto query = model::place_query_keys(text, edition, round % 2 == 0);
      REQUIRE((!query || !query->empty()));
    }
  }
}

TEST_CASE("time of the keys of telephones, documents, dates and places", "[.time]") {
  const auto time_of = [](std::string_view what, const auto& make) {
    constexpr int kRounds = 50'000;
    const auto begin = std::chrono::steady_clock::now();
    std::size_t made = 0;
    for (int i = 0; i < kRounds; ++i) made += make().has_value() ? 1U : 0U;
    const std::chrono::duration<double, std::micro> spent = std::chrono::steady_clock::now() - begin;
    WARN(what << ": " << spent.count() / kRounds << " us");
    REQUIRE(made == kRounds);
  };
  time_of("a telephone", [] { return model::phone_keys("+84 (0) 912-345-678"); });
  time_of("a document", [] { return model::id_key("CCCD 001 203 000 123"); });
  time_of("a date", [] { return model::date_keys("1990-05-12"); });
  time_of("a province", [] { return model::place_keys("Đắk Lắk (Phú Yên cũ)", "2025"); });
  time_of("a commune", [] { return model::place_keys("xã Lạc Thịnh, huyện Yên Thủy"); });
}
