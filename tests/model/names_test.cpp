// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>
#include <chrono>
#include <random>
#include <set>

#include "catch.hpp"
#include "model/normalise.hpp"

using namespace casevault;
using model::NameKeys;

namespace {

NameKeys keys(std::string_view name) { return REQUIRE_OK(model::name_keys(name)); }

/// Which of K1 to K4 are equal, as the table of test pairs writes it.
std::string compared(std::string_view a, std::string_view b) {
  const NameKeys left = keys(a);
  const NameKeys right = keys(b);
  const auto sign = [](const std::string& x, const std::string& y) { return x == y ? '=' : '#'; };
  return {sign(left.exact, right.exact), sign(left.folded, right.folded), sign(left.bag, right.bag),
          sign(left.joined, right.joined)};
}

}  // namespace

TEST_CASE("Two spellings of a name share the keys that they should, and no other") {
  struct Pair {
    std::string_view a, b, outcome;
  };
  const std::vector<Pair> pairs = {
      {"Nguyễn Thị Hòa", "Nguyễn Thị Hoà", "===="},
      {"Nguy\u1ec5n Th\u1ecb H\u00f2a", "Nguye\u0302\u0303n Thi\u0323 Ho\u0300a", "===="},
      {"NGUYỄN THỊ HÒA", "nguyễn thị hoà", "===="},
      {"Trần Thủy", "Trần Thuỷ", "===="},
      {"Đỗ Văn Đức", "\u00d0ỗ Văn \u00d0ức", "===="},
      {"Đỗ Văn Đức", "\u0189ỗ Văn \u0189ức", "===="},
      {"đỗ", "\u00f0ỗ", "===="},
      {"đỗ", "\u0256ỗ", "===="},
      {"Nguyễn  Thị\u00a0Hoa ", "Nguyễn Thị Hoa", "===="},
      {"Nguyễn Thị Hoa", "Nguyễn Thị Hoa\u200b", "===="},
      {"\uff2eguyễn", "Nguyễn", "===="},
      {"Đặng Thúy", "Dang Thuy", "#==="},
      {"Lý Mỹ Kỳ", "Lí Mĩ Kì", "#==="},
      {"Quý", "Quí", "#==="},
      {"Vy", "Vi", "#==="},
      {"Nguyễn Thị Hoa", "Nguyễn Thị Hòa", "#==="},
      {"Trần Văn Dung", "Trần Văn Dũng", "#==="},
      {"Đào", "Dao", "#==="},
      {"Nguyễn thị Tuyết", "Nguyễn thị Tuyêt", "#==="},
      {"Mai Anh", "Maianh", "###="},
      {"Thuý", "Thúi", "####"},
      {"Huy", "Hui", "####"},
      {"Y", "I", "####"},
      {"Hoàng", "Huỳnh", "####"},
      {"Võ", "Vũ", "####"},
      {"Phúc", "Phước", "####"},
      {"Hùynh", "Huỳnh", "===="},
      {"khỏe", "khoẻ", "===="},
      {"úy", "uý", "===="},
      {"Nguyễn Thị Hoa", "Hoa Nguyễn Thị", "##=#"},
      {"H'Hen Niê", "H\u2019Hen Niê", "===="},
      {"H'Hen Niê", "H\u02bcHen Niê", "===="},
      {"H'Hen Niê", "H\u2018Hen Niê", "===="},
      {"H'Hen Niê", "HHen Niê", "###="},
      {"K'sor", "Ksor", "###="},
      {"Kpă", "Kpa", "#==="},
      {"Y \u0180\u014f", "Y Bo", "#==="},
      {"\u0243\u014e", "\u0180o\u0306", "===="},
      {"Čĕ", "Ce", "#==="},
      {"Hoa1", "Hoá", "####"},  // a digit is no tone
      {"Nguyễn\tThị\nHoa", "Nguyễn Thị Hoa", "===="},
      {"Ngu\u00adyễn Th\u202eị", "Nguyễn Thị", "===="},
      {"\ufeffTrần", "Trần", "===="},
      {"Stra\u00dfe", "STRASSE", "===="},
      {"\u039f\u03b4\u03c5\u03c3\u03c3\u03b5\u03cd\u03c2", "\u039f\u0394\u03a5\u03a3\u03a3\u0395\u038e\u03a3", "===="},
      {"李小龙", "李小龍", "####"},
      {"李小龙", "小龙李", "####"},
      {"葛", "葛\U000e0100", "===="},
      {"ສົມສັກ", "ສົມສີ", "####"},
      {"ບຸນມີ", "ບຸນມາ", "####"},
      {"ກີ", "ກິ", "####"},  // differ in a vowel sign only
      {"សុខា", "សុភា", "####"},
      {"សុខ", "សូខ", "####"},
      {"သီတာ", "သိတာ", "####"},
      {"김민수", "김민주", "####"},
      {"김", "\u1100\u1175\u11b7", "===="},
      {"ﾀﾞ", "ダ", "===="},
      {"\U00031350", "\U00031351", "####"},  // newer than the tables
      {"\ue000", "\ue001", "####"},          // private use
  };
  for (const Pair& pair : pairs) {
    INFO(pair.a << " | " << pair.b);
    REQUIRE(compared(pair.a, pair.b) == pair.outcome);
    REQUIRE(compared(pair.b, pair.a) == pair.outcome);
  }
}

TEST_CASE("Keys of a name are what an index has stored") {
  const NameKeys hoa = keys("  Đặng THỊ Hòa-Lý ");
  REQUIRE(hoa.exact == "đa\u0306ng\u2075 thi\u2075 hoa\u00b2 ly\u00b9");
  REQUIRE(hoa.folded == "dang thi hoa li");
  REQUIRE(hoa.bag == "dang hoa li thi");
  REQUIRE(hoa.joined == "dangthihoali");
  const NameKeys hen = keys("H'Hen");
  REQUIRE(hen.folded == "h hen");
  REQUIRE(hen.joined == "hhen");
}

TEST_CASE("Every Vietnamese letter has the same keys composed, decomposed and in either order of its marks") {
  const std::array<std::string_view, 12> vowels = {"a", "a\u0306", "a\u0302", "e", "e\u0302", "i",
                                                   "o", "o\u0302", "o\u031b", "u", "u\u031b", "y"};
  const std::array<std::string_view, 6> tones = {"", "\u0301", "\u0300", "\u0309", "\u0303", "\u0323"};
  const std::array<std::string_view, 12> composed = {"aáàảãạ", "ăắằẳẵặ", "âấầẩẫậ", "eéèẻẽẹ", "êếềểễệ", "iíìỉĩị",
                                                     "oóòỏõọ", "ôốồổỗộ", "ơớờởỡợ", "uúùủũụ", "ưứừửữự", "yýỳỷỹỵ"};
  const std::array<std::string_view, 12> capitals = {"AÁÀẢÃẠ", "ĂẮẰẲẴẶ", "ÂẤẦẨẪẬ", "EÉÈẺẼẸ", "ÊẾỀỂỄỆ", "IÍÌỈĨỊ",
                                                     "OÓÒỎÕỌ", "ÔỐỒỔỖỘ", "ƠỚỜỞỠỢ", "UÚÙỦŨỤ", "ƯỨỪỬỮỰ", "YÝỲỶỸỴ"};
  const auto letter = [](std::string_view row, std::size_t index) {
    std::size_t at = 0;
    const auto size = [row](std::size_t i) {
      const auto lead = static_cast<unsigned char>(row[i]);
      return lead < 0x80 ? 1U : lead < 0xE0 ? 2U : 3U;
    };
    for (; index != 0; --index) at += size(at);
    return std::string(row.substr(at, size(at)));
  };
  std::set<std::string> exact;
  for (std::size_t vowel = 0; vowel < vowels.size(); ++vowel) {
    for (std::size_t tone = 0; tone < tones.size(); ++tone) {
      const std::string nfc = letter(composed[vowel], tone);
      const std::string nfd = std::string(vowels[vowel]) + std::string(tones[tone]);
      const std::string typed =
          vowels[vowel].substr(0, 1).data()[0] + std::string(tones[tone]) + std::string(vowels[vowel].substr(1));
      INFO(nfc);
      REQUIRE(compared("H" + nfc, "H" + nfd) == "====");
      REQUIRE(compared("H" + nfc, "h" + letter(capitals[vowel], tone)) == "====");
      REQUIRE(compared("H" + nfc, "H" + typed) == "====");
      REQUIRE(exact.insert(keys("H" + nfc).exact).second);
      REQUIRE(keys("H" + nfc).folded == "h" + std::string(vowel == 11 ? "i" : vowels[vowel].substr(0, 1)));
    }
  }
  REQUIRE(compared("\u0110", "\u0111") == "====");
}

TEST_CASE("A cell of several names is taken apart, and labels are no names") {
  using Names = std::vector<std::string_view>;
  REQUIRE(model::name_parts("tên gọi ở nhà: Tí Em; tên khai sinh: Đinh Văn Tý") == Names{"Tí Em", "Đinh Văn Tý"});
  REQUIRE(model::name_parts(" 黄丽花 |A Linh\nKelly;; :") == Names{"黄丽花", "A Linh", "Kelly"});
  REQUIRE(model::name_parts("").empty());
}

TEST_CASE("A text that names nobody is refused with the reason, and not repeated") {
  for (const std::string_view empty :
       {"", "   ", "\u200b\u200e", "...", "- / -", "\u3164", "\u00b4", "\u0301\u0302", "\xf0\x9f\x98\x80"}) {
    const auto result = model::name_keys(empty);
    REQUIRE_ERROR(ErrorCode::kBadInput, result);
    REQUIRE(result.error().message.find("no letter and no digit") != std::string::npos);
  }
  const auto message = [](std::string_view text) {
    const auto result = model::name_keys(text);
    REQUIRE_ERROR(ErrorCode::kBadInput, result);
    REQUIRE(result.error().message.find("Hoa") == std::string::npos);
    return result.error().message;
  };
  REQUIRE(message("Hoa\xff") == "not valid UTF-8 at byte 3; save the source as UTF-8");
  for (const std::string_view bad : {"Hoa\xc0\xaf", "Hoa\xed\xa0\x80", "Hoa\xf4\x90\x80\x80", "Hoa\xe1\xbb", "Hoa\x80",
                                     "Hoa\xf8\x88\x80\x80\x80", "Hoa\xe0\x80\x80"})
    REQUIRE(message(bad).find("at byte 3;") != std::string::npos);
  REQUIRE(message("Hoa\ufffd").find("(U+FFFD) at byte 3") != std::string::npos);
  REQUIRE(message("Hoa" + std::string(2000, 'a')).find("longer than 1024") != std::string::npos);
  std::string ligatures = "Hoa";
  for (int i = 0; i < 100; ++i) ligatures += "\ufdfa";
  REQUIRE(message(ligatures).find("longer than 1024") != std::string::npos);
}

TEST_CASE("A query is known to tell diacritics apart, or not") {
  for (const std::string_view plain : {"Nguyen Thi Hoa", "H'Hen", "李小龙", "ສົມສັກ"}) REQUIRE_FALSE(keys(plain).marked);
  for (const std::string_view marked : {"Hoà", "Đo", "\u00d0o", "Niê", "\u0180o", "Hoa\u0300"})
    REQUIRE(keys(marked).marked);
}

TEST_CASE("A query that is not loose is made of the same exact and folded keys, and of no others") {
  for (const std::string_view name : {"Nguyễn Thị Hoà", "Y Ban", "Đỗ", "hoa  MAI"}) {
    const NameKeys plain = REQUIRE_OK(model::name_keys(name, false));
    REQUIRE(plain.exact == keys(name).exact);
    REQUIRE(plain.folded == keys(name).folded);
    REQUIRE(plain.marked == keys(name).marked);
    REQUIRE((plain.bag.empty() && plain.joined.empty()));
  }
}

TEST_CASE("A query of a regional name also asks for its other form, with the same care for tones") {
  const auto aliases = [](std::string_view name) {
    std::vector<std::string> exact;
    for (const NameKeys& alias : model::name_aliases(name)) exact.push_back(alias.exact);
    return exact;
  };
  REQUIRE(aliases("Hoàng Văn Nam") == std::vector{keys("Huỳnh Văn Nam").exact});
  REQUIRE(aliases("huỳnh văn nam") == std::vector{keys("Hoàng Văn Nam").exact});
  REQUIRE(aliases("Võ") == std::vector{keys("Vũ").exact});
  REQUIRE(aliases("Vũ") == std::vector{keys("Võ").exact});
  REQUIRE(aliases("Phúc") == std::vector{keys("Phước").exact});
  REQUIRE(aliases("Phước") == std::vector{keys("Phúc").exact});
  REQUIRE(aliases("hoang van phuoc") ==
          std::vector{keys("huynh van phuoc").exact, keys("hoang van phuc").exact, keys("huynh van phuc").exact});
  REQUIRE(aliases("Vũ Hoàng Phúc Võ").size() == 7);
  for (const std::string_view none : {"Vụ", "Hoáng", "Phục", "Nguyễn", "", "\xff"}) REQUIRE(aliases(none).empty());
  const NameKeys alias = model::name_aliases("Hoàng Văn Nam").front();
  const NameKeys huynh = keys("Huỳnh Văn Nam");
  REQUIRE(alias.folded == huynh.folded);
  REQUIRE(alias.bag == huynh.bag);
  REQUIRE(alias.joined == huynh.joined);
}

TEST_CASE("Distance counts code points, so a tone is one step") {
  REQUIRE(model::edit_distance("", "") == 0);
  REQUIRE(model::edit_distance("", "abc") == 3);
  REQUIRE(model::edit_distance("kitten", "sitting") == 3);
  REQUIRE(model::edit_distance(keys("Hoà").exact, keys("Hoa").exact) == 1);
  REQUIRE(model::edit_distance(keys("Hoà").exact, keys("Hoá").exact) == 1);
  REQUIRE(model::edit_distance(keys("Tuyết").exact, keys("Tuyêt").exact) == 1);
  REQUIRE(model::edit_distance("李小龙", "李小龍") == 1);
  REQUIRE(model::edit_distance("\xff", "abc") == 3);
  const std::string longest(5000, 'a');
  REQUIRE(model::edit_distance(longest, "b") == 5000);
}

TEST_CASE("A name typed without the input method is understood, and any other left alone") {
  const auto meant = [](std::string_view typed) { return model::typing_suggestion(typed).value_or("-"); };
  REQUIRE(meant("Nguyeenx Thij Hoaf") == "Nguyễn Thị Hòa");
  REQUIRE(meant("Nguye64n Thi5 Hoa2") == "Nguyễn Thị Hòa");
  REQUIRE(meant("Nguyenex Thij Hoa") == "Nguyễn Thị Hoa");
  REQUIRE(meant("NGUYEENX VAWN DDUWCS") == "NGUYỄN VĂN ĐỨC");
  REQUIRE(meant("D9a8ng5 Tru7o7ng") == "Đặng Trương");
  REQUIRE(meant("Truowng Thuyr Quys Huynhf") == "Trương Thủy Quý Huỳnh");
  REQUIRE(meant("Truong Gia Gif Khoer") == "Truong Gia Gì Khỏe");
  REQUIRE(meant("Phwowcs") == "Phước");
  REQUIRE(meant("Nguyeexn, Uyeenr") == "Nguyễn, Uyển");
  REQUIRE(meant("Luwu Dduwcj") == "Lưu Đực");
  REQUIRE(meant("thij Hoà") == "thị Hoà");
  for (const std::string_view other : {"Nguyễn Thị Hoà", "Nguyen Thi Hoa", "Kelly", "Mei Mei", "H'Hen", "H'Rosa", "",
                                       "Johnson", "12 A", "\xff\xfe", "Bồs", "sồB", "Nguyeenxx"})
    REQUIRE(meant(other) == "-");
  REQUIRE(meant(std::string(300, 's')) == "-");
}

TEST_CASE("Whatever bytes come, keys are made or refused, and folding what was folded changes nothing") {
  std::mt19937 random(5);
  std::uniform_int_distribution<int> byte(0, 255);
  std::uniform_int_distribution<char32_t> point(1, 0x10FFFF);
  std::size_t made = 0;
  for (int round = 0; round < 4000; ++round) {
    std::string text;
    for (int i = round % 40; i >= 0; --i) {
      const char32_t c = point(random) >> (round % 3 * 4);
      if (round % 5 == 0) {
        text.push_back(static_cast<char>(byte(random)));
      } else if (c < 0x80) {
        text.push_back(static_cast<char>(c));
      } else if (c < 0x800) {
        text += {static_cast<char>(0xC0U | c >> 6U), static_cast<char>(0x80U | (c & 63U))};
      } else if (c < 0x1'0000) {
        text += {static_cast<char>(0xE0U | c >> 12U), static_cast<char>(0x80U | (c >> 6U & 63U)),
                 static_cast<char>(0x80U | (c & 63U))};
      } else {
        text += {static_cast<char>(0xF0U | c >> 18U), static_cast<char>(0x80U | (c >> 12U & 63U)),
                 static_cast<char>(0x80U | (c >> 6U & 63U)), static_cast<char>(0x80U | (c & 63U))};
      }
    }
    const auto first = model::name_keys(text);
    (void)model::typing_suggestion(text);
    (void)model::name_aliases(text);
    (void)model::edit_distance(text, "a");
    if (!first) continue;
    ++made;
    REQUIRE_FALSE((first->exact.empty() || first->folded.empty() || first->bag.empty() || first->joined.empty()));
    const NameKeys again = keys(first->folded);
    REQUIRE(again.folded == first->folded);
    REQUIRE(again.bag == first->bag);
    REQUIRE(again.joined == first->joined);
    REQUIRE(keys(first->bag).bag == first->bag);
  }
  REQUIRE(made > 500);
}

TEST_CASE("time of the keys of a name", "[.time]") {
  const std::array<std::string_view, 4> names = {"Nguyễn Thị Hoà", "Luong Van Chung", "Trần Kim Uyên",
                                                 "Phạm Thị Thanh Thuỵ"};
  constexpr int kRounds = 200'000;
  const auto begin = std::chrono::steady_clock::now();
  std::size_t bytes = 0;
  for (int i = 0; i < kRounds; ++i) bytes += model::name_keys(names[static_cast<std::size_t>(i) % 4])->joined.size();
  const std::chrono::duration<double, std::micro> spent = std::chrono::steady_clock::now() - begin;
  WARN("a name: " << spent.count() / kRounds << " us");
  REQUIRE(bytes != 0);
}
