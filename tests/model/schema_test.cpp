// SPDX-License-Identifier: Apache-2.0
#include <casevault/schema.hpp>

#include <fstream>
#include <iterator>
#include <set>

#include "catch.hpp"
#include "model/bundled.hpp"
#include "model/value.hpp"
#include "support/fixed_environment.hpp"

namespace casevault {
namespace {

constexpr std::string_view kSmall = R"(name = "small-one"
version = 3
bases = ["duty", "consent"]
recipient_classes = ["police"]
roles = ["nurse"]
[codelists]
sex = ["female", "male"]
"Own.List" = ["a"]
[[compartments]]
id = 1
name = "identity"
[[compartments]]
id = 9
name = "coded"
sealed = "cell"
[[types]]
id = 2
name = "person"
fields = [
  { id = 1, name = "full_name", type = "text", compartment = "identity", required = true },
  { id = 2, name = "sex", type = "code", compartment = "coded", list = "sex" },
  { id = 3, name = "services", type = "multi-code", compartment = "coded", list = "service_types" },
]
[[purposes]]
code = "care"
bases = ["duty", "consent"]
default_basis = "duty"
[[rules]]
roles = ["nurse", "owner"]
purposes = ["care"]
compartments = ["coded"]
fields = ["person.full_name"]
scope = "own_unit"
)";

std::string with(std::string_view from, std::string_view to) {
  std::string text(kSmall);
  const std::size_t at = text.find(from);
  REQUIRE(at != std::string::npos);
  return text.replace(at, from.size(), to);
}

std::string repeat(std::string_view part, std::size_t times) {
  std::string out;
  for (std::size_t i = 0; i < times; ++i) out += part;
  return out;
}

std::vector<std::string> first_column(const std::string& file) {
  std::ifstream in(std::string(CASEVAULT_SOURCE_DIR) + "/src/model/codelists/" + file);
  std::vector<std::string> out;
  std::string line;
  std::getline(in, line);
  while (std::getline(in, line)) out.push_back(line.substr(0, line.find(',')));
  REQUIRE_FALSE(out.empty());
  return out;
}

}  // namespace

TEST_CASE("a schema says what its text says") {
  const Schema schema = REQUIRE_OK(Schema::parse(kSmall));
  REQUIRE(schema.name() == "small-one");
  REQUIRE(schema.version() == 3);
  REQUIRE(schema.bases() == std::vector<std::string>{"duty", "consent"});
  REQUIRE(schema.recipient_classes() == std::vector<std::string>{"police"});
  REQUIRE(schema.compartments().size() == 3);
  REQUIRE(schema.find_compartment("identity")->id == 1);
  REQUIRE_FALSE(schema.find_compartment("identity")->sealed_as_cell);
  REQUIRE(schema.find_compartment("coded")->sealed_as_cell);
  REQUIRE(schema.compartments().back().name == "audit");
  REQUIRE(schema.compartments().back().id == 64);
  REQUIRE(schema.find_compartment("none") == nullptr);

  const RecordType* const type = schema.find_type("person");
  REQUIRE(type != nullptr);
  REQUIRE(schema.find_type(std::uint16_t{2}) == type);
  REQUIRE(schema.find_type(std::uint16_t{1}) == nullptr);
  REQUIRE(type->fields.size() == 3);
  REQUIRE(type->find("full_name")->required);
  REQUIRE(type->find(std::uint16_t{2})->name == "sex");
  REQUIRE(type->find("sex")->compartment == 1);
  REQUIRE(type->find("none") == nullptr);
  REQUIRE(name_of(type->find("services")->type) == "multi-code");

  REQUIRE(schema.find_list("sex")->codes == std::vector<std::string>{"female", "male"});
  REQUIRE(schema.find_list("service_types")->codes.size() == 25);
  REQUIRE(schema.find_list("Own.List") != nullptr);
  const Purpose* const purpose = schema.find_purpose("care");
  REQUIRE(purpose->default_basis == "duty");
  REQUIRE_FALSE(purpose->requires_consent);
  REQUIRE(schema.rules().size() == 1);
  REQUIRE(schema.rules()[0].own_unit_only);
  REQUIRE(schema.rules()[0].fields == std::vector<std::string>{"person.full_name"});
}

TEST_CASE("the source a vault keeps carries every list it needs, and is its own source") {
  const std::string no_line_break(kSmall.substr(0, kSmall.size() - 1));
  for (const std::string& text : {std::string(kSmall), no_line_break, std::string(kSmall) + "# remark"}) {
    const Schema schema = REQUIRE_OK(Schema::parse(text));
    REQUIRE(schema.source().find(text) == 0);
    REQUIRE(schema.source().find("reintegration_followup") != std::string::npos);
    const Schema again = REQUIRE_OK(Schema::parse(schema.source()));
    REQUIRE(again.source() == schema.source());
    REQUIRE(again.find_list("service_types")->codes == schema.find_list("service_types")->codes);
    // A later edit may name further bundled lists behind the appended ones.
    std::string edited = schema.source();
    edited.replace(edited.find(R"(list = "sex")"), 12, R"(list = "vn_support_regimes")");
    REQUIRE(REQUIRE_OK(Schema::parse(edited)).find_list("vn_support_regimes")->codes.size() == 10);
  }
  const Schema bundled = REQUIRE_OK(Schema::bundled("vn-victim-support"));
  REQUIRE(REQUIRE_OK(Schema::parse(bundled.source())).source() == bundled.source());
}

TEST_CASE("what is wrong with a schema is named with its line") {
  struct Bad {
    std::string text;
    std::string line;  // "" when no single line is at fault
    std::string what;
  };
  const std::string fields_of_rule = R"(fields = ["person.full_name"])";
  const auto bad = GENERATE_REF(values<Bad>({
      {"", "", "needs name"},
      {"name = ", "line 1", ""},
      {with("name = \"small-one\"", "name = \"Small\""), "line 1", "name"},
      {with("version = 3", "version = 0"), "line 2", "version"},
      {with("version = 3", "version = 65536"), "line 2", "version"},
      {with("version = 3", "version = 3.0"), "line 2", "version"},
      {with("version = 3", "version = 3\nversion = 4"), "line 3", ""},
      {with("version = 3", "version = 3\nlicence = 4"), "line 3", "unknown key 'licence'"},
      {with("version = 3", "version = 3\n\"a\\nb\" = 4"), "line 3", "'a?b'"},
      {with("[\"duty\", \"consent\"]", "[\"duty\", \"duty\"]"), "line 3", "twice"},
      {with("[\"duty\", \"consent\"]", "[\"Duty\"]"), "line 3", "bases"},
      {with("[\"duty\", \"consent\"]", "\"duty\""), "line 3", "array"},
      {with("[\"nurse\"]", "[\"owner\"]"), "line 5", "every vault"},
      {with("[\"female\", \"male\"]", "[]"), "line 6", "no code"},
      {with("[\"female\", \"male\"]", "[\"a\", \"a\"]"), "line 7", "twice"},
      {with("[\"female\", \"male\"]", "[\"a;b\"]"), "line 7", "sex"},
      {with("[\"female\", \"male\"]", "[\"\"]"), "line 7", "sex"},
      {with("[\"female\", \"male\"]", "[1]"), "line 7", "sex"},
      {with("\"Own.List\"", "\"Own List\""), "line 8", "Own List"},
      {with("\"Own.List\"", "sex"), "line 8", ""},
      {with("id = 1\nname = \"identity\"", "name = \"identity\""), "line 9", "needs id"},
      {with("id = 1\n", "id = 9\n"), "line 13", "twice"},
      {with("id = 1\n", "id = 64\n"), "line 9", "library's"},
      {with("name = \"coded\"", "name = \"audit\""), "line 12", "library's"},
      {with("name = \"coded\"", "name = \"identity\""), "line 14", "twice"},
      {with("sealed = \"cell\"", "sealed = \"row\""), "line 15", "field cell"},
      {with("sealed = \"cell\"", "sealed = 1"), "line 15", "field cell"},
      {with("sealed = \"cell\"", "seal = \"cell\""), "line 15", "unknown key"},
      {with("compartment = \"identity\", required", "compartment = \"none\", required"), "line 20", "'none'"},
      {with("compartment = \"identity\", required", "compartment = \"audit\", required"), "line 20", "audit"},
      {with("compartment = \"identity\", required", "compartment = \"coded\", required"), "line 20", "sealed"},
      {with("required = true", "required = 1"), "line 20", "required"},
      {with("required = true", "requred = true"), "line 20", "unknown key"},
      {with("type = \"text\"", "type = \"txt\""), "line 20", "'txt'"},
      {with("type = \"text\"", "type = \"text\", list = \"sex\""), "line 20", "list"},
      {with("list = \"sex\"", "list = \"sexes\""), "line 21", "'sexes'"},
      {with("list = \"sex\"", "list = \"htcds.none\""), "line 21", "htcds.none"},
      {with("list = \"sex\"", "list = \"service_types.none\""), "line 21", "service_types.none"},
      {with(", list = \"sex\"", ""), "line 21", "list"},
      {with("id = 2, name = \"sex\"", "id = 1, name = \"sex\""), "line 21", "twice"},
      {with("name = \"sex\"", "name = \"full_name\""), "line 21", "twice"},
      {with("name = \"sex\"", "name = \"s\u00EBx\""), "line 21", "characters"},
      {with("name = \"sex\"", "name = \"" + std::string(65, 'a') + "\""), "line 21", "characters"},
      {with("id = 2\nname = \"person\"", "id = 0\nname = \"person\""), "line 17", "id"},
      {with("fields = [\n", "fields = []\nother = [\n"), "line 20", "unknown key"},
      {with("bases = [\"duty\", \"consent\"]\ndefault", "bases = [\"none\"]\ndefault"), "line 26", "'none'"},
      {with("bases = [\"duty\", \"consent\"]\ndefault", "bases = []\ndefault"), "line 24", "needs bases"},
      {with("default_basis = \"duty\"", "default_basis = \"none\""), "line 27", "default_basis"},
      {with("default_basis = \"duty\"\n", ""), "line 24", "default_basis"},
      {with("default_basis = \"duty\"",
            "default_basis = \"duty\"\n[[purposes]]\ncode = \"care\"\nbases = [\"duty\"]\ndefault_basis = \"duty\""),
       "line 29", "twice"},
      {with("roles = [\"nurse\", \"owner\"]", "roles = [\"doctor\"]"), "line 29", "'doctor'"},
      {with("roles = [\"nurse\", \"owner\"]", ""), "line 28", "needs roles"},
      {with("purposes = [\"care\"]", "purposes = [\"cure\"]"), "line 30", "'cure'"},
      {with("purposes = [\"care\"]", ""), "line 28", "needs purposes"},
      {with("compartments = [\"coded\"]", "compartments = [\"code\"]"), "line 31", "'code'"},
      {with("compartments = [\"coded\"]", "compartments = [\"audit\"]"), "line 31", "'audit'"},
      {with("compartments = [\"coded\"]\n" + fields_of_rule, ""), "line 28", "compartments or fields"},
      {with(fields_of_rule, "fields = [\"person.name\"]"), "line 32", "'person.name'"},
      {with(fields_of_rule, "fields = [\"full_name\"]"), "line 32", "'full_name'"},
      {with(fields_of_rule, "fields = [\"animal.full_name\"]"), "line 32", "'animal.full_name'"},
      {with("own_unit", "ours"), "line 33", "own_unit"},
      {std::string(kSmall) + "[types.x]\n", "line 34", ""},
      {std::string(kSmall) + "\xFF", "", ""},
      {std::string(kSmall) + repeat("a.", 65) + "a = 1", "line 34", "dots"},
      {std::string(kSmall) + repeat("# a long remark\n", 70000), "", "1 MiB"},
  }));
  INFO(bad.text.substr(0, 1200));
  const auto parsed = Schema::parse(bad.text);
  REQUIRE_FALSE(parsed.has_value());
  INFO(parsed.error().message);
  REQUIRE(parsed.error().code == ErrorCode::kBadInput);
  REQUIRE(parsed.error().message.find(bad.line) != std::string::npos);
  REQUIRE(parsed.error().message.find(bad.what) != std::string::npos);
  REQUIRE(parsed.error().message.find('\n') == std::string::npos);
}

namespace {

constexpr std::string_view kCounted = R"([[indicators]]
name = "helped"
title = { vi = "Được giúp", en = "Helped" }
type = "visit"
date = "day"
where = ["day=2020..2030", "sex=male", "age=-1..9", "sex=", "done=true", "services=shelter"]
by = ["services", "day:month"]
)";

/// kSmall with a type that can be counted, and `indicators`.
std::string counting(const std::string& indicators) {
  return std::string(kSmall) + R"([[types]]
id = 3
name = "visit"
fields = [
  { id = 1, name = "day", type = "date", compartment = "coded" },
  { id = 2, name = "sex", type = "code", compartment = "coded", list = "sex" },
  { id = 3, name = "age", type = "integer", compartment = "coded" },
  { id = 4, name = "note", type = "text", compartment = "identity" },
  { id = 5, name = "done", type = "boolean", compartment = "coded" },
  { id = 6, name = "services", type = "multi-code", compartment = "coded", list = "service_types" } ]
)" + indicators;
}

std::string counted_with(std::string_view from, std::string_view to) {
  std::string text(kCounted);
  const std::size_t at = text.find(from);
  REQUIRE(at != std::string::npos);
  return counting(text.replace(at, from.size(), to));
}

}  // namespace

TEST_CASE("a schema declares what reports count, in the order of its text") {
  const Schema schema = REQUIRE_OK(
      Schema::parse(counting(std::string(kCounted) + "[[indicators]]\nname = \"all\"\ntitle = { lo = \"x\" }\n"
                                                     "type = \"visit\"\ndate = \"day\"\n")));
  REQUIRE(schema.indicators().size() == 2);
  const Indicator& first = schema.indicators()[0];
  CHECK(schema.find_indicator("helped") == &first);
  CHECK(schema.find_indicator("none") == nullptr);
  CHECK(first.title("en") == "Helped");
  CHECK(first.title("vi") == "Được giúp");
  CHECK(first.title("fr") == "Helped");
  CHECK(schema.indicators()[1].title("en") == "x");
  CHECK(first.type == "visit");
  CHECK(first.date == "day");
  REQUIRE(first.where.size() == 6);
  CHECK(first.where[0].field == "day");
  CHECK(first.where[0].from == "2020");
  CHECK(first.where[0].to == "2030");
  CHECK(first.by == std::vector<std::string>{"services", "day:month"});
  CHECK(schema.indicators()[1].by.empty());
  CHECK(REQUIRE_OK(Schema::parse(kSmall)).indicators().empty());
  CHECK(REQUIRE_OK(Schema::bundled("vn-victim-support")).indicators().size() > 5);
}

TEST_CASE("an indicator that cannot be counted is named with its line") {
  struct Bad {
    std::string from, to, line, what;
  };
  const auto bad = GENERATE(values<Bad>({
      {"name = \"helped\"", "name = \"Helped\"", "line 45", "characters"},
      {"name = \"helped\"\n", "", "line 44", "needs name"},
      {"name = \"helped\"", "name = \"helped\"\nby_sex = true", "line 46", "unknown key 'by_sex'"},
      {"title = { vi", "titel = { vi", "line 46", "unknown key 'titel'"},
      {"title = { vi = \"Được giúp\", en = \"Helped\" }", "title = \"Helped\"", "line 46", "title"},
      {"title = { vi = \"Được giúp\", en = \"Helped\" }", "title = {}", "line 46", "title"},
      {"en = \"Helped\"", "en = 1", "line 46", "title"},
      {"en = \"Helped\"", "en = \"\"", "line 46", "title"},
      {"en = \"Helped\"", "en = \"a\\nb\"", "line 46", "title"},
      {"en = \"Helped\"", "EN = \"Helped\"", "line 46", "title"},
      {"\"visit\"", "\"visits\"", "line 47", "'visits'"},
      {"date = \"day\"", "date = \"sex\"", "line 48", "no date"},
      {"date = \"day\"", "date = \"none\"", "line 48", "'none'"},
      {"\"day=2020..2030\"", "\"day\"", "line 49", "FIELD=VALUE"},
      {"\"day=2020..2030\"", "\"day=2030..2020\"", "line 49", "before its beginning"},
      {"\"day=2020..2030\"", "\"day=2020-13\"", "line 49", "'day'"},
      {"\"day=2020..2030\"", "\"day=2020..\"", "line 49", "FIELD=VALUE"},
      {"\"day=2020..2030\"", "\"none=2020\"", "line 49", "'none'"},
      {"\"day=2020..2030\"", "\"note=x\"", "line 49", "'note'"},
      {"\"sex=male\"", "\"sex=other\"", "line 49", "'sex'"},
      {"\"sex=male\"", "\"sex=female..male\"", "line 49", "no order"},
      {"\"age=-1..9\"", "\"age=9..-1\"", "line 49", "before its beginning"},
      {"\"age=-1..9\"", "\"age=old\"", "line 49", "'age'"},
      {"services=shelter\"", "services=shelter;legal_aid\"", "line 49", "'services'"},
      {"by = [\"services\", \"day:month\"]", "by = [\"note\"]", "line 50", "'note'"},
      {"by = [\"services\", \"day:month\"]", "by = [\"age\"]", "line 50", "'age'"},
      {"by = [\"services\", \"day:month\"]", "by = [\"day\"]", "line 50", "'day'"},
      {"by = [\"services\", \"day:month\"]", "by = [\"sex:year\"]", "line 50", "'sex:year'"},
      {"by = [\"services\", \"day:month\"]", "by = [\"day:x:year\"]", "line 50", "'day:x:year'"},
      {"by = [\"services\", \"day:month\"]", "by = [\"day:year\", \"day:month\"]", "line 50", "twice"},
      {"by = [\"services\", \"day:month\"]", "by = [\"sex\", \"done\", \"services\"]", "line 50", "more than 2"},
  }));
  CAPTURE(bad.from, bad.to);
  const auto parsed = Schema::parse(counted_with(bad.from, bad.to));
  REQUIRE_FALSE(parsed.has_value());
  INFO(parsed.error().message);
  CHECK(parsed.error().code == ErrorCode::kBadInput);
  CHECK(parsed.error().message.find(bad.line) != std::string::npos);
  CHECK(parsed.error().message.find(bad.what) != std::string::npos);
  CHECK(parsed.error().message.find("other\"") == std::string::npos);
}

TEST_CASE("the limits of a schema hold at the limit and not beyond") {
  const auto indicators = [](int count) {
    std::string out;
    for (int i = 0; i < count; ++i) {
      out += "[[indicators]]\nname = \"i" + std::to_string(i) + "\"\ntitle = { en = \"" + std::string(256, 'x') +
             "\" }\ntype = \"visit\"\ndate = \"day\"\n";
    }
    return counting(out);
  };
  REQUIRE(REQUIRE_OK(Schema::parse(indicators(256))).indicators().size() == 256);
  REQUIRE_ERROR(ErrorCode::kBadInput, Schema::parse(indicators(257)));
  REQUIRE_ERROR(ErrorCode::kBadInput, Schema::parse(counted_with("Helped", std::string(257, 'x'))));
  REQUIRE_ERROR(ErrorCode::kBadInput, Schema::parse(counting(std::string(kCounted) + std::string(kCounted))));

  const auto compartments = [](int count) {
    std::string out;
    for (int i = 0; i < count; ++i) {
      out += "[[compartments]]\nid = " + std::to_string(100 + i) + "\nname = \"c" + std::to_string(i) + "\"\n";
    }
    return std::string(kSmall) + out;
  };
  REQUIRE(REQUIRE_OK(Schema::parse(compartments(61))).compartments().size() == 64);
  REQUIRE_ERROR(ErrorCode::kBadInput, Schema::parse(compartments(62)));

  const auto fields = [](int count) {
    std::string out = std::string(kSmall) + "[[types]]\nid = 3\nname = \"wide\"\nfields = [\n";
    for (int i = 1; i <= count; ++i) {
      out += "{ id = " + std::to_string(i) + ", name = \"f" + std::to_string(i) +
             "\", type = \"text\", compartment = \"identity\" },\n";
    }
    return out + "]\n";
  };
  REQUIRE(REQUIRE_OK(Schema::parse(fields(1000))).find_type("wide")->fields.size() == 1000);
  REQUIRE_ERROR(ErrorCode::kBadInput, Schema::parse(fields(1001)));

  // 9 bytes of head are reckoned for each code: 16384 x (64 + 9) fills the map of one sealed cell.
  std::string codes = "[\n";
  for (int i = 0; i < 15000; ++i) {
    const std::string code = std::to_string(i);
    codes += "\"" + std::string(56 - code.size(), 'x') + code + "\",\n";
  }
  REQUIRE_DONE(Schema::parse(with("[\"female\", \"male\"]", codes + "]")));
  const std::string twice = R"(, list = "sex" },
  { id = 4, name = "more", type = "multi-code", compartment = "coded", list = "sex" },
  { id = 5, name = "most", type = "multi-code", compartment = "coded", list = "sex" },)";
  std::string too_wide = with("[\"female\", \"male\"]", codes + "]");
  const std::string one = R"(, list = "sex" },)";
  too_wide.replace(too_wide.find(one), one.size(), twice);
  const auto refused = Schema::parse(too_wide);
  REQUIRE_ERROR(ErrorCode::kBadInput, refused);
  REQUIRE(refused.error().message.find("1 MiB together") != std::string::npos);

  // The text fits, but not with the lists written out: a vault could not open its own copy.
  std::string full(kSmall);
  full += "#" + std::string((std::size_t{1} << 20U) - full.size() - 1, '-');
  REQUIRE(full.size() == std::size_t{1} << 20U);
  REQUIRE_ERROR(ErrorCode::kBadInput, Schema::parse(full));
}

TEST_CASE("robust: hostile texts are refused without exhausting the stack or the clock") {
  const std::size_t much = (std::size_t{1} << 20U) - 64;
  for (const std::string& text :
       {repeat("[", much), "a = " + repeat("[", much), "a = " + repeat("{a=", much / 3),
        repeat("a.", much / 2) + "a = 1", "[" + repeat("a.", much / 2) + "a]",
        "a = " + repeat("[\n{" + repeat("a.", 30) + "a =", much / 70), repeat("[[a]]\n", much / 6), repeat("\"", much),
        std::string(much, '\0'), "a = \"" + repeat("\\u0000", much / 6), std::string("[.a]\n"), std::string("[[ [\n"),
        std::string("\u03A4 = 1\n"), std::string("a = '\u03A4' \u0111\n"),
        std::string("a = \"\"\"x\\\"\"\"\"\" \u0111 = 1\n"), std::string("a = '''x''''' \u0111 = 1\n"),
        "bundled_codelists = []\n" + std::string(kSmall)}) {
    REQUIRE_ERROR(ErrorCode::kBadInput, Schema::parse(text));
  }
}

TEST_CASE("strings and comments of a schema may hold any language") {
  REQUIRE_DONE(Schema::parse("\xEF\xBB\xBF# \u0111 \u03A4 \u3000 '\"\n" + std::string(kSmall)));
  for (const char* codes :
       {"['\u0111', \"\u03A4\"]", "['''\u0111''', \"\"\"\u03A4\"\"\"]", "[\"\\\"\u0111\", '\"\u03A4']",
        "[\"\"\"\u0111\"\"\"\"\", '''\u03A4'''''] # \u0111", "[\"a\"\n, # \"\u0111\n'b\u0111']"}) {
    INFO(codes);
    REQUIRE(REQUIRE_OK(Schema::parse(with("[\"female\", \"male\"]", codes))).find_list("sex")->codes.size() == 2);
  }
}

TEST_CASE("robust: any truncation or change of a schema's text parses or is an error of one line") {
  const std::string_view bundled = *model::bundled_schema("vn-victim-support");
  for (std::size_t size = 0; size < bundled.size(); size += 97) {
    const auto parsed = Schema::parse(bundled.substr(0, size));
    if (!parsed) REQUIRE(parsed.error().code == ErrorCode::kBadInput);
  }
  test::SeededRandom random(5);
  for (int round = 0; round < 3000; ++round) {
    std::string text(kSmall);
    for (int i = 0; i < 3; ++i) text[random.below(text.size())] = static_cast<char>(random.below(256));
    const auto parsed = Schema::parse(text);
    if (parsed) {
      REQUIRE_DONE(Schema::parse(parsed->source()));
    } else {
      REQUIRE(parsed.error().code == ErrorCode::kBadInput);
      REQUIRE(parsed.error().message.find('\n') == std::string::npos);
    }
  }
}

TEST_CASE("a field says how it can be searched for, and an index that does not fit its type is an error") {
  CHECK(REQUIRE_OK(Schema::parse(kSmall)).find_type("person")->find("full_name")->index == IndexKind::kNone);
  const auto name_with = [](std::string_view index) {
    return Schema::parse(with("required = true }", "required = true, index = \"" + std::string(index) + "\" }"));
  };
  for (const IndexKind kind :
       {IndexKind::kNone, IndexKind::kExact, IndexKind::kName, IndexKind::kPhone, IndexKind::kId, IndexKind::kPlace}) {
    CHECK(REQUIRE_OK(name_with(name_of(kind))).find_type("person")->find("full_name")->index == kind);
  }
  REQUIRE_ERROR(ErrorCode::kBadInput, name_with("date"));
  REQUIRE_ERROR(ErrorCode::kBadInput, name_with("soundex"));
  REQUIRE_ERROR(ErrorCode::kBadInput, Schema::parse(with("list = \"sex\" }", "list = \"sex\", index = \"name\" }")));
  REQUIRE_ERROR(ErrorCode::kBadInput,
                Schema::parse(with("list = \"service_types\" }", "list = \"service_types\", index = \"exact\" }")));
}

TEST_CASE("a field says what it tells of a person, each thing once, and only what fits its type") {
  CHECK(REQUIRE_OK(Schema::parse(kSmall)).find_type("person")->find(Trait::kName) == nullptr);
  const Schema named = REQUIRE_OK(Schema::parse(with("required = true }", "required = true, trait = \"name\" }")));
  CHECK(named.find_type("person")->find(Trait::kName)->name == "full_name");
  CHECK(REQUIRE_OK(Schema::parse(with("list = \"sex\" }", "list = \"sex\", trait = \"sex\" }")))
            .find_type("person")
            ->find(Trait::kSex)
            ->name == "sex");
  REQUIRE_ERROR(ErrorCode::kBadInput, Schema::parse(with("list = \"sex\" }", "list = \"sex\", trait = \"phone\" }")));
  REQUIRE_ERROR(ErrorCode::kBadInput, Schema::parse(with("required = true }", "required = true, trait = \"soul\" }")));
  REQUIRE_ERROR(ErrorCode::kBadInput,
                Schema::parse(with("required = true }", "required = true, trait = \"birth_date\" }")));
  std::string twice = with("required = true }", "required = true, trait = \"sex\" }");
  const std::string list = "list = \"sex\" }";
  twice.replace(twice.find(list), list.size(), "list = \"sex\", trait = \"sex\" }");
  const auto refused = Schema::parse(twice);
  REQUIRE_FALSE(refused.has_value());
  CHECK(refused.error().message.find("used twice") != std::string::npos);
  for (int i = 0; i <= static_cast<int>(Trait::kRelatives); ++i) CHECK(name_of(static_cast<Trait>(i)) != "unknown");
  // Every trait is in the bundled schema, so that what is compared is what was measured.
  const Schema bundled = REQUIRE_OK(Schema::bundled("vn-victim-support"));
  const RecordType* const person = bundled.find_type("person");
  for (int i = 1; i <= static_cast<int>(Trait::kRelatives); ++i) CHECK(person->find(static_cast<Trait>(i)) != nullptr);
}

TEST_CASE("an index that would serve nobody is allowed and warned of") {
  CHECK(REQUIRE_OK(Schema::parse(kSmall)).warnings().empty());
  CHECK(REQUIRE_OK(Schema::bundled("vn-victim-support")).warnings().empty());
  const Schema few = REQUIRE_OK(Schema::parse(with("list = \"sex\" }", "list = \"sex\", index = \"exact\" }")));
  REQUIRE(few.warnings().size() == 1);
  CHECK(few.warnings()[0].find("person.sex") != std::string::npos);
  CHECK(few.warnings()[0].find("2 values") != std::string::npos);
  const Schema text = REQUIRE_OK(Schema::parse(with("required = true }", "required = true, index = \"exact\" }")));
  REQUIRE(text.warnings().size() == 1);
  CHECK(text.warnings()[0].find("person.full_name") != std::string::npos);
}

TEST_CASE("a type can want a search before a new record, if anything of it can be searched for") {
  CHECK_FALSE(REQUIRE_OK(Schema::parse(kSmall)).find_type("person")->search_before_add);
  const std::string wanted = with("name = \"person\"\n", "name = \"person\"\nsearch_before_add = true\n");
  REQUIRE_ERROR(ErrorCode::kBadInput, Schema::parse(wanted));
  std::string indexed = wanted;
  indexed.replace(indexed.find("required = true }"), 15, "required = true, index = \"name\"");
  CHECK(REQUIRE_OK(Schema::parse(indexed)).find_type("person")->search_before_add);
}

TEST_CASE("purposes marked for it publish; where nothing is said of any all do, and the check says so") {
  const Schema bundled = REQUIRE_OK(Schema::bundled("vn-victim-support"));
  for (const Purpose& purpose : bundled.purposes()) CHECK(purpose.publishes == (purpose.code == "statistics"));
  const std::string_view other = "[[purposes]]\ncode = \"press\"\nbases = [\"duty\"]\ndefault_basis = \"duty\"\n";
  const auto parse = [&](std::string_view mark) {
    return REQUIRE_OK(Schema::parse(with("[[rules]]", std::string(other) + std::string(mark) + "[[rules]]")));
  };
  const Schema unmarked = parse("");
  CHECK(unmarked.find_purpose("care")->publishes);
  CHECK(unmarked.find_purpose("press")->publishes);
  REQUIRE(unmarked.warnings().size() == 1);
  CHECK(unmarked.warnings()[0].find("says whether it publishes") != std::string::npos);
  const Schema marked = parse("publishes = true\n");
  CHECK_FALSE(marked.find_purpose("care")->publishes);
  CHECK(marked.find_purpose("press")->publishes);
  CHECK(marked.warnings().empty());
  const Schema forbidden = parse("publishes = false\n");
  CHECK_FALSE(forbidden.find_purpose("care")->publishes);
  CHECK_FALSE(forbidden.find_purpose("press")->publishes);
  CHECK(REQUIRE_OK(Schema::parse(kSmall)).find_purpose("care")->publishes);
}

TEST_CASE("what is published for a purpose has a floor of three at least, eleven where the schema says nothing") {
  const auto floor = [](std::string_view value) {
    return Schema::parse(
        with("default_basis = \"duty\"", "default_basis = \"duty\"\nmin_cell = " + std::string(value)));
  };
  REQUIRE(REQUIRE_OK(Schema::parse(with("purposes", "purposes"))).find_purpose("care")->min_cell == 11);
  REQUIRE(REQUIRE_OK(floor("3")).find_purpose("care")->min_cell == 3);
  REQUIRE(REQUIRE_OK(floor("30")).find_purpose("care")->min_cell == 30);
  for (const char* bad : {"0", "1", "2", "-3", "65536", "\"11\""}) REQUIRE_ERROR(ErrorCode::kBadInput, floor(bad));
}

TEST_CASE("a field is sensitive when the schema says so, which it cannot of what others know people by") {
  const Schema schema = REQUIRE_OK(Schema::parse(with("list = \"sex\" }", "list = \"sex\", sensitive = true }")));
  REQUIRE(schema.find_type("person")->find("sex")->sensitive);
  REQUIRE_FALSE(schema.find_type("person")->find("full_name")->sensitive);
  REQUIRE_ERROR(ErrorCode::kBadInput, Schema::parse(with("required = true }", "required = true, sensitive = true }")));
  REQUIRE_ERROR(ErrorCode::kBadInput,
                Schema::parse(with("list = \"sex\" }", "list = \"sex\", trait = \"sex\", sensitive = true }")));
  REQUIRE_ERROR(ErrorCode::kBadInput, Schema::parse(with("list = \"sex\" }", "list = \"sex\", sensitive = 1 }")));
  const Schema bundled = REQUIRE_OK(Schema::bundled("vn-victim-support"));
  for (const RecordType& type : bundled.types()) {
    for (const Field& field : type.fields) {
      if (field.sensitive) REQUIRE((field.type == FieldType::kCode || field.type == FieldType::kMultiCode));
    }
  }
}

TEST_CASE("the bundled schema has the compartments, purposes and bases of the published lists") {
  const Schema schema = REQUIRE_OK(Schema::bundled("vn-victim-support"));
  REQUIRE(schema.name() == "vn-victim-support");
  REQUIRE(schema.version() == 1);
  const std::vector<std::string> names = {"identity", "contact",  "location", "relatives",  "case",
                                          "health",   "evidence", "service",  "statistics", "audit"};
  REQUIRE(schema.compartments().size() == names.size());
  for (std::size_t i = 0; i < names.size(); ++i) {
    REQUIRE(schema.compartments()[i].name == names[i]);
    REQUIRE(schema.compartments()[i].id == (names[i] == "audit" ? 64 : i + 1));
    REQUIRE(schema.compartments()[i].sealed_as_cell == (names[i] == "statistics"));
  }
  std::vector<std::string> purposes;
  for (const Purpose& purpose : schema.purposes()) purposes.push_back(purpose.code);
  REQUIRE(purposes == first_column("purposes.csv"));
  REQUIRE(schema.bases() == first_column("legal_bases.csv"));
  std::set<std::string> used;
  for (const Purpose& purpose : schema.purposes()) used.insert(purpose.bases.begin(), purpose.bases.end());
  REQUIRE(used.size() == schema.bases().size());

  int required = 0;
  for (const Field& field : schema.find_type("person")->fields) required += field.required ? 1 : 0;
  REQUIRE(required == 1);
  REQUIRE(schema.find_type("person")->find("full_name")->required);
}

TEST_CASE("bundled lists are whole and distinct") {
  const std::vector<std::pair<std::string, std::size_t>> sizes = {{"iso3166_1_alpha3", 249},
                                                                  {"service_types", 25},
                                                                  {"vn_support_regimes", 10},
                                                                  {"htcds.vic_TypeOfExploitation", 11},
                                                                  {"htcds.vic_MethodsOfControl", 16},
                                                                  {"htcds.vic_MethodOfRecruitment", 10},
                                                                  {"htcds.vic_RelationshipToTrafficker", 3},
                                                                  {"vn_province_mergers.old_code", 63},
                                                                  {"vn_province_mergers.new_code", 34},
                                                                  {"purposes", 21},
                                                                  {"legal_bases", 16}};
  for (const auto& [name, size] : sizes) {
    INFO(name);
    const auto list = model::bundled_list(name);
    REQUIRE(list.has_value());
    REQUIRE(list->size() == size);
    REQUIRE(std::set<std::string>(list->begin(), list->end()).size() == size);
  }
  const auto countries = *model::bundled_list("iso3166_1_alpha3");
  for (const std::string& code : countries) {
    REQUIRE(code.size() == 3);
    REQUIRE(code.find_first_not_of("ABCDEFGHIJKLMNOPQRSTUVWXYZ") == std::string::npos);
  }
  const auto old_codes = *model::bundled_list("vn_province_mergers.old_code");
  const auto new_codes = *model::bundled_list("vn_province_mergers.new_code");
  for (const std::string& code : new_codes) {
    REQUIRE(std::ranges::find(old_codes, code) != old_codes.end());
  }
  for (const char* name : {"", ".", "htcds", "htcds.", "none", "purposes.none", "purposes.", "vn-victim-support"}) {
    INFO(name);
    REQUIRE_FALSE(model::bundled_list(name).has_value());
  }
}

TEST_CASE("an unknown bundled schema names those there are") {
  const auto none = Schema::bundled("other");
  REQUIRE_ERROR(ErrorCode::kNotFound, none);
  REQUIRE(none.error().message.find("vn-victim-support") != std::string::npos);
}

}  // namespace casevault
