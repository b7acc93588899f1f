// SPDX-License-Identifier: Apache-2.0
#include "cli/rows.hpp"

#include <sys/mman.h>
#include <unistd.h>

#include <fstream>

#include "catch.hpp"
#include "support/temp_folder.hpp"

using namespace casevault;
using casevault::cli::ColumnMap;
using casevault::cli::FileRows;

namespace {

struct Row {
  std::uint64_t number = 0;
  std::vector<std::pair<std::string, std::string>> fields;
  std::string problem;
  std::string raw;
  bool operator==(const Row&) const = default;
};
using Fields = std::vector<std::pair<std::string, std::string>>;

std::unique_ptr<FileRows> rows_over(std::string_view text, bool csv, ColumnMap map = {}) {
  const int fd = ::memfd_create("rows", MFD_CLOEXEC);
  REQUIRE(fd >= 0);
  REQUIRE(::write(fd, text.data(), text.size()) == static_cast<ssize_t>(text.size()));
  return REQUIRE_OK(FileRows::over(fd, "in", csv, std::move(map)));
}

std::string header_error(std::string_view text, ColumnMap map = {}) {
  const int fd = ::memfd_create("rows", MFD_CLOEXEC);
  REQUIRE(::write(fd, text.data(), text.size()) == static_cast<ssize_t>(text.size()));
  const auto rows = FileRows::over(fd, "in", true, std::move(map));
  REQUIRE_FALSE(rows.has_value());
  REQUIRE(rows.error().code == ErrorCode::kBadInput);
  return rows.error().message;
}

Result<std::vector<Row>> read_all(FileRows& rows) {
  std::vector<Row> all;
  ImportRow row;
  for (;;) {
    CASEVAULT_TRY(const bool more, rows.next(row));
    if (!more) return all;
    Row copy{row.number, {}, row.problem, std::string(rows.raw_row())};
    for (const FieldInput& field : row.fields) copy.fields.emplace_back(field.name, field.text);
    all.push_back(std::move(copy));
  }
}

std::vector<Row> read_csv(std::string_view text, ColumnMap map = {}) {
  return REQUIRE_OK(read_all(*rows_over(text, true, std::move(map))));
}
std::vector<Row> read_jsonl(std::string_view text, ColumnMap map = {}) {
  return REQUIRE_OK(read_all(*rows_over(text, false, std::move(map))));
}
std::string error_of(std::string_view text, bool csv) {
  const auto all = read_all(*rows_over(text, csv));
  REQUIRE_FALSE(all.has_value());
  REQUIRE(all.error().code == ErrorCode::kBadInput);
  return all.error().message;
}
bool holds(const std::string& text, std::string_view part) { return text.find(part) != std::string::npos; }

constexpr std::string_view kSecret = "SEKRET";

}  // namespace

TEST_CASE("CSV values come out exactly: quotes, doubled quotes, commas, line breaks, empty ones") {
  const auto rows = read_csv("a,b,c\r\n1,\"x, \"\"y\"\"\r\nz\",\r\n\"\",\" s \", t \n");
  REQUIRE(rows.size() == 2);
  REQUIRE(rows[0].fields == Fields{{"a", "1"}, {"b", "x, \"y\"\r\nz"}, {"c", ""}});
  REQUIRE(rows[1].fields == Fields{{"a", ""}, {"b", " s "}, {"c", " t "}});
  REQUIRE(rows[0].number == 1);
  REQUIRE(rows[1].number == 2);
  REQUIRE(rows[0].raw == "1,\"x, \"\"y\"\"\r\nz\",\r\n");
}

TEST_CASE("A byte order mark, LF or CRLF, a missing last line end and blank lines do not matter") {
  const Fields expected{{"a", "1"}, {"b", "2"}};
  for (const char* text : {"a,b\n1,2\n", "a,b\r\n1,2\r\n",
                           "\xEF\xBB\xBF"
                           "a,b\n1,2",
                           "a,b\n\n1,2\n\r\n\n", "\"a\",\"b\"\n\"1\",\"2\""}) {
    const auto rows = read_csv(text);
    REQUIRE(rows.size() == 1);
    REQUIRE(rows[0].fields == expected);
    REQUIRE(rows[0].number == 1);
  }
  REQUIRE(read_csv("a,b\n").empty());
  REQUIRE(read_csv("a\n\nx\n").size() == 2);  // one column: an empty line is an empty value
}

TEST_CASE("A row with too few or too many columns is a problem of that row only") {
  const auto rows = read_csv("a,b\n1\n1,2,3\n1,2\n");
  REQUIRE(rows.size() == 3);
  REQUIRE(rows[0].problem == "1 columns, 2 expected");
  REQUIRE(rows[1].problem == "3 columns, 2 expected");
  REQUIRE(rows[1].raw == "1,2,3\n");
  REQUIRE(rows[2].problem.empty());
}

TEST_CASE("Malformed CSV is refused with row, line and column, and without the value") {
  using namespace std::string_literals;
  const std::vector<std::pair<std::string, std::string>> cases{
      {"a,b\n\"x\ny\",2\n1,SEK\"RET\n", "row 2 (line 4), column b: a quote inside"},
      {"a,b\n1,\"SEKRET\n", "row 1 (line 2), column b: a quote is opened"},
      {"a,b\n\"SEKRET\"x,1\n", "row 1 (line 2), column a: text after"},
      {"a,b\n1,SEK\0RET\n"s, "row 1 (line 2), column b: a NUL"},
      {"a,b\n1,SEKRET\xC3\n", "row 1 (line 2), column b: not UTF-8"},
      {"a,b\n1,\xED\xA0\x80SEKRET\n", "column b: not UTF-8"},      // a surrogate
      {"a,b\n1,\xC0\xAFSEKRET\n", "column b: not UTF-8"},          // overlong
      {"a,b\n1,\xF4\x90\x80\x80SEKRET\n", "column b: not UTF-8"},  // above U+10FFFF
      {"a,b\n1,SEKRET\r2,3\n", "column b: a carriage return"},
      {"a,b\n1,2,SEK\"RET", "row 1 (line 2), column 3: a quote inside"},
  };
  for (const auto& [text, expected] : cases) {
    const std::string message = error_of(text, true);
    INFO(message);
    REQUIRE(holds(message, expected));
    REQUIRE_FALSE(holds(message, kSecret));
  }
}

TEST_CASE("A header that is missing, doubled, unnamed or broken is refused") {
  REQUIRE(holds(header_error(""), "empty"));
  REQUIRE(holds(header_error("\xEF\xBB\xBF"), "empty"));
  REQUIRE(holds(header_error("a,b,a\n"), "header row (line 1), column a"));
  REQUIRE(holds(header_error("a,,b\n"), "header row (line 1), column 2"));
  REQUIRE(holds(header_error("a,\"b\n"), "never closed"));
  REQUIRE(holds(header_error("\xFF\xFE"
                             "a\n"),
                "save the file as UTF-8"));
  std::string wide = "c0";
  for (int i = 1; i <= 5000; ++i) wide += ",c" + std::to_string(i);
  REQUIRE(holds(header_error(wide), "more than 4096 columns"));
}

TEST_CASE("Rows read the same after rewinding, in pieces larger and smaller than the read buffer") {
  std::string text = "a,b\n";
  for (int i = 0; i < 3000; ++i)
    text += std::to_string(i) + ",\"" + std::string(static_cast<std::size_t>(i % 97), 'x') + "\"\"\n\"\n";
  text += "big," + std::string(300000, 'y') + "\n";
  const auto rows = rows_over(text, true);
  const auto first = REQUIRE_OK(read_all(*rows));
  REQUIRE_DONE(rows->rewind());
  const auto second = REQUIRE_OK(read_all(*rows));
  REQUIRE(first.size() == 3001);
  REQUIRE(first == second);
  REQUIRE(first[2999].fields[1].second == std::string(2999 % 97, 'x') + "\"\n");
  REQUIRE(first[3000].fields[1].second.size() == 300000);
}

TEST_CASE("A header that changes between the two passes is a conflict") {
  const test::TempFolder folder;
  std::ofstream(folder / "in.csv") << "a,b\n1,2\n";
  const auto rows = REQUIRE_OK(FileRows::open(folder / "in.csv", {}));
  std::ofstream(folder / "in.csv") << "b,a\n1,2\n";
  REQUIRE_ERROR(ErrorCode::kConflict, rows->rewind());
}

TEST_CASE("JSON lines give strings, numbers and booleans as written, null as the empty text") {
  const auto rows = read_jsonl(
      "\xEF\xBB\xBF{\"a\":\"x\",\"b\":-1.50e+3,\"c\":true,\"d\":null,\"e\":\"\",\"f\":0}\r\n\n"
      " { \"a\" : \"\\u0048\\u1ea1\\ud83d\\ude00\\n\\\"\\\\\\/\" } \n{}");
  REQUIRE(rows.size() == 3);
  REQUIRE(rows[0].fields == Fields{{"a", "x"}, {"b", "-1.50e+3"}, {"c", "true"}, {"d", ""}, {"e", ""}, {"f", "0"}});
  REQUIRE(rows[1].fields == Fields{{"a", "H\xE1\xBA\xA1\xF0\x9F\x98\x80\n\"\\/"}});
  REQUIRE(rows[1].number == 2);
  REQUIRE(rows[2].fields.empty());
  REQUIRE(rows[2].problem.empty());
}

TEST_CASE("A line that is no flat JSON object is a problem of that row only, told without its value") {
  for (const char* line : {"SEKRET",
                           "[]",
                           "{\"a\":\"SEKRET\"",
                           "{\"a\":\"SEKRET}",
                           "{\"a\":{\"b\":\"SEKRET\"}}",
                           "{\"a\":[1]}",
                           "{\"a\":01}",
                           "{\"a\":1.}",
                           "{\"a\":+1}",
                           "{\"a\":.5}",
                           "{\"a\":1e}",
                           "{\"a\":nul}",
                           "{\"a\":True}",
                           "{\"a\":\"\\ud800\"}",
                           "{\"a\":\"\\ud800\\u0041\"}",
                           "{\"a\":\"\\udc00\"}",
                           "{\"a\":\"\\u00\"}",
                           "{\"a\":\"\\u0000\"}",
                           "{\"a\":\"\\x\"}",
                           "{\"a\":\"\t\"}",
                           "{\"a\" \"SEKRET\"}",
                           "{\"a\":\"SEKRET\",}",
                           "{\"a\":1 \"b\":2}",
                           "{\"a\":\"SEKRET\"} x",
                           "{a:1}",
                           "{\"a\":1,\"a\":2}",
                           "{\"a\":\"\\",
                           "{\"a\":NaN}"}) {
    INFO(line);
    const auto rows = read_jsonl(std::string(line) + "\n{\"ok\":1}\n");
    REQUIRE(rows.size() == 2);
    REQUIRE_FALSE(rows[0].problem.empty());
    REQUIRE(rows[0].fields.empty());
    REQUIRE_FALSE(holds(rows[0].problem, kSecret));
    REQUIRE(rows[1].fields == Fields{{"ok", "1"}});
    REQUIRE(rows[1].number == 2);
  }
}

TEST_CASE("NUL bytes and broken UTF-8 end a JSON lines file with the row named") {
  using namespace std::string_literals;
  REQUIRE(holds(error_of("{}\n\n{\"a\":\"SEK\0RET\"}\n"s, false), "row 2 (line 3): a NUL"));
  REQUIRE(holds(error_of("{}\n{\"a\":\"\xC3\"}\n", false), "row 2 (line 2): not UTF-8"));
}

TEST_CASE("A map renames and drops columns, and refuses two columns for one field") {
  const auto map = [](std::string_view toml) { return REQUIRE_OK(ColumnMap::parse(toml, "map")); };
  constexpr std::string_view kMap = "[columns]\n\"Họ tên\" = \"full_name\"\nx = \"\"\n";
  REQUIRE(read_csv("Họ tên,x,dob\nA,B,C\n", map(kMap))[0].fields == Fields{{"full_name", "A"}, {"dob", "C"}});
  REQUIRE(read_jsonl("{\"Họ tên\":\"A\",\"x\":\"B\",\"dob\":\"C\"}\n", map(kMap))[0].fields ==
          Fields{{"full_name", "A"}, {"dob", "C"}});
  REQUIRE(holds(header_error("Họ tên,full_name\n", map(kMap)), "full_name"));
  REQUIRE_FALSE(read_jsonl("{\"Họ tên\":\"A\",\"full_name\":\"B\"}\n", map(kMap))[0].problem.empty());
}

TEST_CASE("A map that is malformed or says something else is refused") {
  for (const char* toml :
       {"", "[columns", "columns = 1", "[column]\na = \"b\"", "[columns]\na = 1", "[columns]\na = \"b\"\n[more]\n"}) {
    INFO(toml);
    REQUIRE_ERROR(ErrorCode::kBadInput, ColumnMap::parse(toml, "map"));
  }
}

TEST_CASE("Only regular .csv and .jsonl files are opened") {
  const test::TempFolder folder;
  REQUIRE_ERROR(ErrorCode::kUsage, FileRows::open(folder / "in.txt", {}));
  REQUIRE_ERROR(ErrorCode::kNotFound, FileRows::open(folder / "in.csv", {}));
  std::filesystem::create_directory(folder / "dir.csv");
  REQUIRE_ERROR(ErrorCode::kUsage, FileRows::open(folder / "dir.csv", {}));
  std::ofstream(folder / "IN.CSV") << "a\n1\n";
  REQUIRE_OK(FileRows::open(folder / "IN.CSV", {}));
}
