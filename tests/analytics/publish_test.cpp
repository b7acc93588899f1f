// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <map>
#include <set>
#include <stdexcept>

#include "bureau.hpp"
#include "faulty_calls.hpp"

namespace casevault::test {
namespace {

void fill(Bureau& bureau) {
  bureau.add(50, {{"sex", "female"}, {"status", "identified"}, {"district", "north"}, {"intake", "2023-05-01"}});
  bureau.add(40, {{"sex", "male"}, {"status", "identified"}, {"district", "north"}, {"intake", "2024-05-01"}});
  bureau.add(30, {{"sex", "female"}, {"status", "suspected"}, {"district", "south"}, {"intake", "2024-06"}});
  bureau.add(3, {{"sex", "male"}, {"status", "suspected"}, {"district", "south"}, {"intake", "2022"}});
}

TEST_CASE("traced: a published table has its entry and stands in the ledger, which holds no count") {
  Bureau bureau;
  fill(bureau);
  TabulateRequest request = table_of("sex", "status");
  request.name = "yearbook";
  const Tabulation table = REQUIRE_OK(bureau.session.tabulate(request));
  CHECK(table.row_labels == std::vector<std::string>{"female", "male", "unknown", "(not recorded)"});
  CHECK(table.column_labels == std::vector<std::string>{"suspected", "identified", "closed", "(not recorded)"});
  CHECK_FALSE(at(table, "male", "suspected").has_value());
  CHECK_FALSE(at(table, "female", "suspected").has_value());
  CHECK(at(table, "", "").value() == 123);
  CHECK(at(table, "female").value() == 80);
  CHECK(at(table, "", "identified").value() == 90);
  const LogEntry entry = entries(bureau.session, true).at(table.entry);
  CHECK(entry.action == audit::Action::kTabulate);
  CHECK(entry.purpose == "statistics");
  CHECK(entry.basis == "duty");
  CHECK(entry.count == 0);
  CHECK(entry.details.find("yearbook: sex by status, minimum cell 11") != std::string::npos);
  const auto ledger = REQUIRE_OK(bureau.session.ledger());
  REQUIRE(ledger.size() == 1);
  CHECK(ledger[0].entry == table.entry);
  CHECK(ledger[0].kind == "table");
  CHECK(ledger[0].actor == "owner");
  CHECK(ledger[0].name == "yearbook");
  CHECK(ledger[0].definition.find("123") == std::string::npos);
  require_sound(bureau.session);
}

TEST_CASE("the same table again is the same table") {
  Bureau bureau;
  fill(bureau);
  const Tabulation first = REQUIRE_OK(bureau.session.tabulate(table_of("sex", "status")));
  const Tabulation second = REQUIRE_OK(bureau.session.tabulate(table_of("sex", "status")));
  CHECK(first.cells == second.cells);
  const Tabulation turned = REQUIRE_OK(bureau.session.tabulate(table_of("status", "sex")));
  CHECK(at(turned, "identified", "female") == at(first, "female", "identified"));
  CHECK_FALSE(at(turned, "suspected", "male").has_value());
}

TEST_CASE("a table that differs from an earlier one by a filter of few records is refused, and the entry is named") {
  Bureau bureau;
  fill(bureau);
  bureau.add(4, {{"sex", "female"}, {"status", "closed"}, {"district", "east"}});
  const Tabulation all = REQUIRE_OK(bureau.session.tabulate(table_of("sex")));
  const std::uint64_t before = REQUIRE_OK(bureau.session.status()).log_size;
  const auto refused = bureau.session.tabulate(table_of("sex", "", {"intake=2023..2024"}));
  REQUIRE_FALSE(refused.has_value());
  CHECK(refused.error().code == ErrorCode::kRefused);
  CHECK(refused.error().message.find("entry " + std::to_string(all.entry)) != std::string::npos);
  const auto log = entries(bureau.session);
  REQUIRE(log.size() == before + 1);
  CHECK(log.back().outcome == audit::Outcome::kDenied);
  CHECK(REQUIRE_OK(bureau.session.ledger()).size() == 1);
  // The other way round, and by another person who holds the statistics.
  bureau.become_analyst();
  CHECK(bureau.session.tabulate(table_of("district", "", {"intake=2023..2024"})).error().code == ErrorCode::kRefused);
  // Many records between them are fine, unless few of them are men.
  CHECK(bureau.session.tabulate(table_of("district", "", {"status=identified"})).has_value());
  CHECK(bureau.session.tabulate(table_of("sex", "", {"status=identified"})).error().code == ErrorCode::kRefused);
}

TEST_CASE("a table whose cells differ from an earlier one's by few records is refused though the sets differ by many") {
  Bureau bureau;
  bureau.add(60, {{"sex", "female"}, {"district", "north"}});
  bureau.add(60, {{"sex", "male"}, {"district", "north"}});
  bureau.add(40, {{"sex", "female"}, {"district", "south"}});
  bureau.add(2, {{"sex", "male"}, {"district", "south"}});
  const Tabulation north = REQUIRE_OK(bureau.session.tabulate(table_of("sex", "", {"district=north"})));
  const auto refused = bureau.session.tabulate(table_of("sex"));
  REQUIRE_FALSE(refused.has_value());
  CHECK(refused.error().message.find("entry " + std::to_string(north.entry)) != std::string::npos);
  CHECK(bureau.session.tabulate(table_of("district")).has_value());
}

TEST_CASE("what one table hides of a line, no later table of the same records shows") {
  Bureau bureau;
  // By sex and status the total of unknown is hidden to protect a small one.
  bureau.add(40, {{"sex", "female"}, {"status", "identified"}, {"minor", "true"}});
  bureau.add(5, {{"sex", "male"}, {"status", "suspected"}, {"minor", "false"}});
  bureau.add(20, {{"sex", "unknown"}, {"status", "suspected"}, {"minor", "true"}});
  const Tabulation first = REQUIRE_OK(bureau.session.tabulate(table_of("sex", "status")));
  const auto second = bureau.session.tabulate(table_of("sex", "minor"));
  if (second) {
    for (const std::string sex : {"female", "male", "unknown"}) {
      if (!at(first, sex)) CHECK_FALSE(at(*second, sex).has_value());
    }
    if (!at(first, "")) CHECK_FALSE(at(*second, "").has_value());
  } else {
    CHECK(second.error().code == ErrorCode::kRefused);
  }
}

TEST_CASE("rounded and exact tables of the same records do not stand side by side") {
  Bureau bureau;
  fill(bureau);
  TabulateRequest rounded = table_of("sex", "status");
  rounded.round_to = 10;
  const Tabulation table = REQUIRE_OK(bureau.session.tabulate(rounded));
  CHECK(at(table, "male", "suspected").value() == 0);
  CHECK(at(table, "male").value() == 40);
  CHECK(table.min_cell == 0);
  CHECK(bureau.session.tabulate(table_of("sex", "status")).error().code == ErrorCode::kRefused);
}

/// Publishes one after another; true when the last was refused as what would give a small number away, the others not.
bool last_is_refused(Bureau& bureau, const std::vector<TabulateRequest>& tables) {
  for (std::size_t i = 0; i + 1 < tables.size(); ++i) REQUIRE_OK(bureau.session.tabulate(tables[i]));
  const auto last = bureau.session.tabulate(tables.back());
  return !last && last.error().code == ErrorCode::kRefused;
}

/// Of each status many women, many men, and few of whom no sex is known: their cells hide men too.
void fill_unknown(Bureau& bureau) {
  const char* const statuses[] = {"suspected", "identified", "closed"};
  for (std::size_t i = 0; i < 3; ++i) {
    bureau.add(60 + 10 * i, {{"sex", "female"}, {"status", statuses[i]}, {"intake", "2023-05-01"}});
    bureau.add(40 + 10 * i, {{"sex", "male"}, {"status", statuses[i]}, {"intake", "2024-06-01"}});
    bureau.add(2 + i, {{"sex", "unknown"}, {"status", statuses[i]}, {"intake", "2024-07-01"}});
  }
}

TEST_CASE("a table of one value of a filter is a line of a table by that field, whichever comes first") {
  {
    Bureau bureau;
    fill_unknown(bureau);
    CHECK(last_is_refused(bureau, {table_of("status", "sex"), table_of("status", "", {"sex=male"})}));
  }
  Bureau bureau;
  fill_unknown(bureau);
  CHECK(last_is_refused(
      bureau, {table_of("status", "", {"sex=female"}), table_of("status", "", {"sex=male"}), table_of("status")}));
}

TEST_CASE("months and years, and parts of a period, are held against each other") {
  Bureau bureau;
  bureau.add(40, {{"sex", "female"}, {"intake", "2023-01-10"}});
  bureau.add(4, {{"sex", "female"}, {"intake", "2023-02-10"}});
  bureau.add(50, {{"sex", "female"}, {"intake", "2023-03-10"}});
  bureau.add(90, {{"sex", "female"}, {"intake", "2024-03-10"}});
  {
    const auto months = REQUIRE_OK(bureau.session.tabulate(table_of("intake:month")));
    REQUIRE_FALSE(at(months, "2023-02").has_value());
    const auto years = bureau.session.tabulate(table_of("intake:year"));
    const auto shows = [&](const char* month) { return at(months, month).has_value(); };
    if (years) CHECK_FALSE((at(*years, "2023") && shows("2023-01") && shows("2023-03")));
  }
  Bureau parts;
  parts.add(40, {{"sex", "female"}, {"intake", "2023-01-10"}});
  parts.add(4, {{"sex", "female"}, {"intake", "2023-02-10"}});
  parts.add(50, {{"sex", "female"}, {"intake", "2023-03-10"}});
  CHECK(last_is_refused(
      parts, {table_of("sex", "", {"intake=2023-01..2023-03"}), table_of("sex", "", {"intake=2023-01..2023-01"}),
              table_of("sex", "", {"intake=2023-03..2023-03"})}));
}

TEST_CASE("counts rounded to another base, or rounded at all, do not stand beside others of the same records") {
  Bureau bureau;
  fill_unknown(bureau);
  TabulateRequest rounded = table_of("status", "sex");
  rounded.round_to = 5;
  REQUIRE_OK(bureau.session.tabulate(rounded));
  REQUIRE_OK(bureau.session.tabulate(rounded));
  rounded.round_to = 7;
  REQUIRE_ERROR(ErrorCode::kRefused, bureau.session.tabulate(rounded));
  rounded.rows = "district";
  REQUIRE_ERROR(ErrorCode::kRefused, bureau.session.tabulate(rounded));
  REQUIRE_ERROR(ErrorCode::kRefused, bureau.session.tabulate(table_of("district")));
}

TEST_CASE("rows that are handed on and tables of the same records give no small number away together") {
  const auto rows = [](std::vector<ReleaseColumn> columns) {
    ReleaseRequest request;
    request.type = "person";
    request.columns = std::move(columns);
    request.name = "study";
    return request;
  };
  const ReleaseRequest fine = rows({{"status", {}, {}, {}, false}, {"sex", {}, {}, {}, false}});
  const ReleaseRequest coarse = rows({{"status", {}, {}, {}, false}});
  {
    Bureau bureau;
    fill_unknown(bureau);
    REQUIRE_OK(bureau.session.tabulate(table_of("status", "sex")));
    REQUIRE_ERROR(ErrorCode::kRefused, bureau.session.release(fine));
  }
  {
    Bureau bureau;
    fill_unknown(bureau);
    REQUIRE_OK(bureau.session.release(fine));
    const auto table = bureau.session.tabulate(table_of("status", "sex"));
    if (table) CHECK_FALSE(at(*table, "closed").has_value());
  }
  Bureau bureau;
  fill_unknown(bureau);
  REQUIRE_OK(bureau.session.release(fine));
  REQUIRE_ERROR(ErrorCode::kRefused, bureau.session.release(coarse));
}

TEST_CASE("an identity that cannot read the filter of an earlier publication is told so, and publishes nothing") {
  Bureau bureau;
  bureau.add(60, {{"sex", "female"}, {"outcome", "home"}});
  bureau.add(40, {{"sex", "male"}, {"outcome", "open"}});
  const Tabulation table = REQUIRE_OK(bureau.session.tabulate(table_of("sex", "", {"outcome=home"})));
  bureau.become_analyst();
  const auto refused = bureau.session.tabulate(table_of("sex"));
  REQUIRE_FALSE(refused.has_value());
  CHECK(refused.error().code == ErrorCode::kRefused);
  CHECK(refused.error().message.find("entry " + std::to_string(table.entry)) != std::string::npos);
}

TEST_CASE("filters: codes, one of several codes, dates as far as they are known, numbers") {
  Bureau bureau;
  bureau.add(20, {{"intake", "2024-03-05"}, {"harm", "labour;sexual"}, {"age", "17"}, {"sex", "female"}});
  bureau.add(30, {{"intake", "2024-03"}, {"harm", "sexual"}, {"age", "40"}, {"sex", "female"}});
  bureau.add(50, {{"intake", "2025"}, {"sex", "male"}});
  const auto total = [&](const std::string& filter) {
    Bureau fresh;
    fresh.add(20, {{"intake", "2024-03-05"}, {"harm", "labour;sexual"}, {"age", "17"}, {"sex", "female"}});
    fresh.add(30, {{"intake", "2024-03"}, {"harm", "sexual"}, {"age", "40"}, {"sex", "female"}});
    fresh.add(50, {{"intake", "2025"}, {"sex", "male"}});
    return at(REQUIRE_OK(fresh.session.tabulate(table_of("sex", "", {filter}))), "").value();
  };
  CHECK(total("intake=2024") == 50);
  CHECK(total("intake=2024-03-05") == 20);
  CHECK(total("intake=2024-01..2024-12") == 50);
  CHECK(total("intake=2024..2025") == 100);
  CHECK(total("harm=sexual") == 50);
  CHECK(total("harm=labour") == 20);
  CHECK(total("age=18..60") == 30);
  CHECK(total("age=") == 50);
  for (const std::string bad : {"age=x", "intake=x", "sex=a..b", "full_name=x"})
    CHECK(bureau.session.tabulate(table_of("sex", "", {bad})).error().code == ErrorCode::kBadInput);
  for (const std::string bad : {"sex", "=x", "intake=2024.."})
    CHECK(Filter::parse(bad).error().code == ErrorCode::kUsage);
}

TEST_CASE("codes of several count in each line, dates by year, and free text makes no table") {
  Bureau bureau;
  bureau.add(20, {{"harm", "labour;sexual"}, {"intake", "2023-01-05"}});
  bureau.add(30, {{"harm", "sexual"}, {"intake", "2024"}});
  const Tabulation table = REQUIRE_OK(bureau.session.tabulate(table_of("harm", "intake:year")));
  CHECK(at(table, "sexual").value() == 50);
  CHECK(at(table, "labour", "2023").value() == 20);
  CHECK(at(table, "").value() == 70);
  CHECK(bureau.session.tabulate(table_of("full_name")).error().code == ErrorCode::kBadInput);
  CHECK(bureau.session.tabulate(table_of("age")).error().code == ErrorCode::kBadInput);
  CHECK(bureau.session.tabulate(table_of("sex:year")).error().code == ErrorCode::kBadInput);
  CHECK(bureau.session.tabulate(table_of("sex", "sex")).error().code == ErrorCode::kUsage);
}

TEST_CASE("a place is never counted under a unit of another edition unless that edition is asked for") {
  const auto labels = [](Era era) {
    Bureau bureau;
    bureau.add(20, {{"place_code", "54"}, {"place_edition", "2024"}});  // became 66
    bureau.add(30, {{"place_code", "66"}, {"place_edition", "2024"}});
    bureau.add(40, {{"place_code", "66"}, {"place_edition", "2025"}});
    TabulateRequest request = table_of("place_code");
    request.era = era;
    const Tabulation table = REQUIRE_OK(bureau.session.tabulate(request));
    std::map<std::string, std::uint64_t> out;
    for (const std::string& label : table.row_labels) {
      if (at(table, label).value() != 0) out[label] = at(table, label).value();
    }
    return out;
  };
  CHECK(labels(Era::kRecorded) ==
        std::map<std::string, std::uint64_t>{{"54 (2024)", 20}, {"66 (2024)", 30}, {"66 (2025)", 40}});
  CHECK(labels(Era::k2025) == std::map<std::string, std::uint64_t>{{"66", 90}});
  CHECK(labels(Era::k2024) == std::map<std::string, std::uint64_t>{{"54", 20}, {"66", 30}, {"66 (2025)", 40}});
}

TEST_CASE("a number that an earlier table hides, no table of rows alone and no total alone shows, cells included") {
  Bureau bureau;
  // By sex and status the total of unknown is hidden to protect a small one, and with it the number of all.
  bureau.add(40, {{"sex", "female"}, {"status", "identified"}, {"intake", "2024"}});
  bureau.add(5, {{"sex", "male"}, {"status", "suspected"}, {"intake", "2024"}});
  bureau.add(20, {{"sex", "unknown"}, {"status", "suspected"}, {"intake", "2024"}});
  const Tabulation first = REQUIRE_OK(bureau.session.tabulate(table_of("sex", "status")));
  const auto rows = bureau.session.tabulate(table_of("sex"));
  if (rows) {
    for (std::size_t r = 0; r <= rows->row_labels.size(); ++r) {
      CHECK(rows->at(r, 0) == rows->at(r, 1));
      const std::string sex = r < rows->row_labels.size() ? rows->row_labels[r] : std::string();
      CHECK((at(first, sex).has_value() || !rows->at(r, 0).has_value()));
    }
  } else {
    CHECK(rows.error().code == ErrorCode::kRefused);
  }
  IndicatorsRequest request;
  request.from = request.to = "2024";
  request.names = {"received"};
  const auto report = REQUIRE_OK(bureau.session.indicators(request));
  REQUIRE(report.size() == 1);
  if (report[0].table) {
    for (const auto& each : report[0].table->cells) CHECK((at(first, "").has_value() || !each.has_value()));
  }
}

TEST_CASE(
    "the indicators of the schema come over a period, each with its entry, and who may not have one is told why") {
  Bureau bureau;
  bureau.add(50, {{"sex", "female"}, {"status", "identified"}, {"intake", "2024-05-01"}, {"minor", "false"}});
  bureau.add(40, {{"sex", "male"}, {"status", "identified"}, {"intake", "2024-06-30"}, {"outcome", "home"}});
  bureau.add(30, {{"sex", "male"}, {"status", "suspected"}, {"intake", "2024-07-01"}, {"minor", "false"}});
  bureau.add(20, {{"sex", "male"}, {"intake", "2024"}});  // nobody knows in which half
  IndicatorsRequest request;
  request.from = "2024-01-01";
  request.to = "2024-06-30";
  const auto report = REQUIRE_OK(bureau.session.indicators(request));
  REQUIRE(report.size() == 3);
  CHECK(report[0].indicator.title("vi") == "Persons received");
  CHECK(report[1].indicator.title("vi") == "Tình trạng, theo giới tính");
  CHECK(report[2].indicator.title("en") == "Kết quả");
  const Tabulation& all = report[0].table.value();
  CHECK(all.rows.empty());
  CHECK(at(all, "").value() == 90);
  CHECK(at(report[1].table.value(), "identified", "female").value() == 50);
  CHECK(at(report[2].table.value(), "home").value() == 40);
  const auto ledger = REQUIRE_OK(bureau.session.ledger());
  REQUIRE(ledger.size() == 3);
  for (std::size_t i = 0; i < 3; ++i) {
    CHECK(ledger[i].entry == report[i].table->entry);
    CHECK(ledger[i].name == report[i].indicator.name);
  }
  CHECK(ledger[0].definition == "all where intake=2024-01-01..2024-06-30, minimum cell 11");
  CHECK(ledger[1].definition == "status by sex where minor=false and intake=2024-01-01..2024-06-30, minimum cell 11");
  // The same report again is the same.
  const auto again = REQUIRE_OK(bureau.session.indicators(request));
  for (std::size_t i = 0; i < 3; ++i) CHECK(again[i].table->cells == report[i].table->cells);

  bureau.become_analyst();
  request.from = request.to = "2024-07";
  const std::uint64_t before = REQUIRE_OK(bureau.session.status()).log_size;
  const auto mine = REQUIRE_OK(bureau.session.indicators(request));
  REQUIRE(mine.size() == 3);
  CHECK(mine[0].table.has_value());
  CHECK(mine[1].table.has_value());
  REQUIRE(mine[2].refused.has_value());
  CHECK(mine[2].refused->code == ErrorCode::kNoGrant);
  CHECK(REQUIRE_OK(bureau.session.status()).log_size == before + 3);
  require_sound(bureau.session);
}

TEST_CASE("robust: a period that is none and an indicator that is not there are told before anything is published") {
  Bureau bureau;
  fill(bureau);
  IndicatorsRequest request;
  for (const auto& [from, to] : std::vector<std::pair<std::string, std::string>>{
           {"", ""}, {"2024", ""}, {"2025", "2024"}, {"2024-07", "2024-06-30"}, {"2024-13", "2025"}, {"x", "y"}}) {
    CAPTURE(from, to);
    request.from = from;
    request.to = to;
    CHECK(bureau.session.indicators(request).error().code == ErrorCode::kUsage);
  }
  request.from = request.to = "2024";
  request.names = {"received", "nothing"};
  CHECK(bureau.session.indicators(request).error().code == ErrorCode::kNotFound);
  request.names.clear();
  request.min_cell = 1;
  CHECK(bureau.session.indicators(request).error().code == ErrorCode::kUsage);
  CHECK(REQUIRE_OK(bureau.session.ledger()).empty());
}

TEST_CASE("tables of places of two eras together give no small cell away, whichever comes first") {
  const auto people = [](Bureau& bureau) {
    bureau.add(5, {{"place_code", "54"}, {"place_edition", "2024"}, {"sex", "male"}});  // became part of 66
    bureau.add(90, {{"place_code", "66"}, {"place_edition", "2024"}, {"sex", "female"}});
    bureau.add(60, {{"place_code", "01"}, {"place_edition", "2024"}, {"sex", "female"}});
    bureau.add(70, {{"place_code", "04"}, {"place_edition", "2024"}, {"sex", "female"}});
  };
  const auto places = [](Era era, std::string columns = {}) {
    TabulateRequest request = table_of("place_code", std::move(columns));
    request.era = era;
    return request;
  };
  for (const Era finer : {Era::kRecorded, Era::k2024}) {
    const std::string mark = finer == Era::kRecorded ? " (2024)" : "";
    Bureau bureau;
    people(bureau);
    const Tabulation fine = REQUIRE_OK(bureau.session.tabulate(places(finer)));
    CHECK_FALSE(at(fine, "54" + mark).has_value());
    CHECK(at(fine, "66" + mark).value() == 90);
    const Tabulation coarse = REQUIRE_OK(bureau.session.tabulate(places(Era::k2025)));
    CHECK_FALSE(at(coarse, "66").has_value());
    CHECK_FALSE(at(coarse, "01").has_value());
    CHECK(at(coarse, "04").value() == 70);
    // By sex too, which shares the totals alone.
    const auto by_sex = bureau.session.tabulate(places(Era::k2025, "sex"));
    if (by_sex) CHECK_FALSE(at(*by_sex, "66").has_value());
  }
  for (const Era finer : {Era::kRecorded, Era::k2024}) {
    Bureau bureau;
    people(bureau);
    const Tabulation coarse = REQUIRE_OK(bureau.session.tabulate(places(Era::k2025)));
    CHECK(at(coarse, "66").value() == 95);
    const auto refused = bureau.session.tabulate(places(finer));
    REQUIRE_FALSE(refused.has_value());
    CHECK(refused.error().message.find("entry " + std::to_string(coarse.entry)) != std::string::npos);
  }
}

TEST_CASE("another era is no way round the comparison with an earlier table of fewer or more records") {
  Bureau bureau;
  bureau.add(30, {{"place_code", "54"}, {"place_edition", "2024"}, {"sex", "female"}, {"minor", "false"}});
  bureau.add(40, {{"place_code", "66"}, {"place_edition", "2024"}, {"sex", "female"}, {"minor", "false"}});
  bureau.add(5, {{"place_code", "66"}, {"place_edition", "2024"}, {"sex", "male"}, {"minor", "true"}});
  bureau.add(50, {{"place_code", "01"}, {"place_edition", "2024"}, {"sex", "female"}, {"minor", "true"}});
  bureau.add(50, {{"place_code", "01"}, {"place_edition", "2024"}, {"sex", "male"}, {"minor", "false"}});
  TabulateRequest coarse = table_of("place_code");
  coarse.era = Era::k2025;
  const Tabulation all = REQUIRE_OK(bureau.session.tabulate(coarse));
  CHECK(at(all, "66").value() == 75);
  // Of 66 the 70 women would leave the 5 men.
  TabulateRequest fine = table_of("place_code", "", {"sex=female"});
  fine.era = Era::k2024;
  const auto refused = bureau.session.tabulate(fine);
  REQUIRE_FALSE(refused.has_value());
  CHECK(refused.error().message.find("entry " + std::to_string(all.entry)) != std::string::npos);
  // Nor where no line is a place.
  REQUIRE_OK(bureau.session.tabulate(table_of("sex")));
  TabulateRequest grown = table_of("sex", "", {"minor=false"});
  REQUIRE_OK(bureau.session.tabulate(table_of("district")));
  bureau.add(4, {{"sex", "unknown"}, {"minor", "true"}});
  grown.era = Era::k2025;
  CHECK(bureau.session.tabulate(grown).error().code == ErrorCode::kRefused);
}

TEST_CASE("a number of many records leaves a hidden part of it room to be another") {
  Bureau bureau;
  // North has 12 of whom 4 are minors: 12 beside a hidden part would say that it is at most 11.
  bureau.add(4, {{"district", "north"}, {"minor", "true"}});
  bureau.add(8, {{"district", "north"}, {"minor", "false"}});
  bureau.add(60, {{"district", "south"}, {"minor", "true"}});
  bureau.add(60, {{"district", "south"}, {"minor", "false"}});
  bureau.add(30, {{"district", "east"}, {"minor", "true"}});
  bureau.add(80, {{"district", "east"}, {"minor", "false"}});
  const Tabulation minors = REQUIRE_OK(bureau.session.tabulate(table_of("district", "", {"minor=true"})));
  CHECK_FALSE(at(minors, "north").has_value());
  CHECK(bureau.session.tabulate(table_of("district")).error().code == ErrorCode::kRefused);
}

TEST_CASE("quotas of a purpose are kept, and what outside tools spent is one of them") {
  Bureau bureau("tables_a_year = 2\nrow_sets_a_year = 1\nepsilon_a_year = 2\n");
  fill(bureau);
  REQUIRE_OK(bureau.session.tabulate(table_of("sex")));
  const Tabulation last = REQUIRE_OK(bureau.session.tabulate(table_of("status")));
  const auto refused = bureau.session.tabulate(table_of("district"));
  REQUIRE_FALSE(refused.has_value());
  CHECK(refused.error().code == ErrorCode::kRefused);
  CHECK(refused.error().message.find("entry " + std::to_string(last.entry)) != std::string::npos);
  REQUIRE_OK(bureau.session.record_budget({"statistics", "opendp", "histogram", "1.5"}));
  CHECK(bureau.session.record_budget({"statistics", "opendp", "histogram", "0.500001"}).error().code ==
        ErrorCode::kRefused);
  REQUIRE_OK(bureau.session.record_budget({"statistics", "opendp", "histogram", "0.5"}));
  for (const std::string bad : {"", "0", "-1", "1e3", "1.", ".5", "0.0000001", "99999999"})
    CHECK(bureau.session.record_budget({"statistics", "opendp", "h", bad}).error().code == ErrorCode::kBadInput);
  const auto ledger = REQUIRE_OK(bureau.session.ledger());
  REQUIRE(ledger.size() == 4);
  CHECK(ledger[2].definition == "epsilon 1.500000 by opendp");
  require_sound(bureau.session);
}

TEST_CASE("released rows are coarser, k times each, shuffled, under new names, and what was dropped is said") {
  Bureau bureau;
  fill(bureau);
  ReleaseRequest request = rows_of({{"sex", {}, {}, {}, false}, {"intake", Coarseness::kYear, {}, {}, false}});
  const Release release = REQUIRE_OK(bureau.session.release(request));
  CHECK(release.rows() == 120);
  CHECK_FALSE(release.dropped().has_value());  // fewer than k
  CHECK(release.k() == 30);
  CHECK(release.columns() == std::vector<std::string>{"pseudonym", "sex", "intake"});
  std::map<std::string, int> groups;
  std::set<std::string> names;
  std::string order;
  for (std::size_t i = 0; i < release.rows(); ++i) {
    names.emplace(REQUIRE_OK(release.value(i, 0)));
    ++groups[std::string(REQUIRE_OK(release.value(i, 1))) + std::string(REQUIRE_OK(release.value(i, 2)))];
    order += REQUIRE_OK(release.value(i, 1)).front();
  }
  CHECK(names.size() == 120);
  CHECK(groups == std::map<std::string, int>{{"female2023", 50}, {"male2024", 40}, {"female2024", 30}});
  CHECK_FALSE(std::ranges::is_sorted(order));
  for (const RecordInfo& record : REQUIRE_OK(bureau.session.list("person", 200)))
    CHECK_FALSE(names.contains(record.id.to_string()));
  const LogEntry entry = entries(bureau.session, true).at(release.entry());
  CHECK(entry.action == audit::Action::kRelease);
  CHECK(entry.count == 120);
  CHECK(entry.details.find("study: rows of sex, intake:year, k 11") != std::string::npos);
  // The same rows again have other names.
  const Release again = REQUIRE_OK(bureau.session.release(request));
  for (std::size_t i = 0; i < again.rows(); ++i)
    CHECK_FALSE(names.contains(std::string(REQUIRE_OK(again.value(i, 0)))));
  require_sound(bureau.session);
}

void fill_ages(Bureau& bureau) {
  bureau.add(20, {{"sex", "female"}, {"age", "17"}, {"status", "identified"}});
  bureau.add(5, {{"sex", "female"}, {"age", "40"}, {"status", "suspected"}});
  bureau.add(8, {{"sex", "female"}, {"age", "60"}, {"status", "identified"}});
}

TEST_CASE("stars keep rows in, sensitive columns are held to different values") {
  Bureau bureau;
  fill_ages(bureau);
  ReleaseRequest request = rows_of({{"sex", {}, {}, {}, false}, {"age", Coarseness::kBands, {18, 50}, {}, false}});
  request.star = true;
  const Release starred = REQUIRE_OK(bureau.session.release(request));
  CHECK(starred.rows() == 33);
  CHECK(starred.starred() == std::vector<std::uint64_t>{0, 0, 13});
  // Which values were starred cannot be held against anything else.
  request.star = false;
  REQUIRE_ERROR(ErrorCode::kRefused, bureau.session.release(request));
  REQUIRE_ERROR(ErrorCode::kRefused, bureau.session.tabulate(table_of("status")));

  Bureau other;
  fill_ages(other);
  request.columns.push_back({"status", {}, {}, {}, true});
  request.columns[1].bands = {100};
  request.distinct = 2;
  const Release distinct = REQUIRE_OK(other.session.release(request));
  CHECK(distinct.rows() == 33);
  CHECK(distinct.distinct() == 2);
  request.columns[1].bands = {18, 50};
  Bureau third;
  fill_ages(third);
  CHECK(REQUIRE_OK(third.session.release(request)).rows() == 0);
}

TEST_CASE("released rows that differ from an earlier publication by few records are refused") {
  Bureau bureau;
  fill(bureau);
  bureau.add(4, {{"sex", "female"}, {"status", "closed"}});
  const Tabulation all = REQUIRE_OK(bureau.session.tabulate(table_of("sex")));
  ReleaseRequest request = rows_of({{"sex", {}, {}, {}, false}});
  request.where.push_back({"intake", "2023", "2024"});
  const auto refused = bureau.session.release(request);
  REQUIRE_FALSE(refused.has_value());
  CHECK(refused.error().message.find("entry " + std::to_string(all.entry)) != std::string::npos);
}

TEST_CASE("robust: what no release can be made of is told before anything is read") {
  Bureau bureau;
  bureau.add(1, {{"sex", "female"}});
  ReleaseRequest request = rows_of({{"sex", {}, {}, {}, false}});
  request.name.clear();
  CHECK(bureau.session.release(request).error().code == ErrorCode::kUsage);
  CHECK(bureau.session.release(rows_of({})).error().code == ErrorCode::kUsage);
  request = rows_of({{"sex", {}, {}, {}, false}, {"sex", {}, {}, {}, false}});
  CHECK(bureau.session.release(request).error().code == ErrorCode::kUsage);
  CHECK(bureau.session.release(rows_of({{"full_name", {}, {}, {}, false}})).error().code == ErrorCode::kBadInput);
  request = rows_of({{"sex", {}, {}, {}, false}});
  request.k = 1;
  CHECK(bureau.session.release(request).error().code == ErrorCode::kUsage);
  TabulateRequest table = table_of("sex");
  table.min_cell = 1;
  CHECK(bureau.session.tabulate(table).error().code == ErrorCode::kUsage);
  table = table_of("sex");
  table.round_to = 2;
  CHECK(bureau.session.tabulate(table).error().code == ErrorCode::kUsage);
  table = table_of("sex");
  table.purpose = "nothing";
  CHECK(bureau.session.tabulate(table).error().code == ErrorCode::kRefused);
}

TEST_CASE("what is published shows its stages, and stopped at any of them it is not published, which is an entry") {
  using Ask = std::function<Result<void>(Session&, const ProgressCallback&)>;
  const Ask table = [](Session& session, const ProgressCallback& progress) -> Result<void> {
    TabulateRequest request = table_of("sex", "", {"intake=2023..2024"});
    request.progress = progress;
    CASEVAULT_TRY([[maybe_unused]] const Tabulation made, session.tabulate(request));
    return {};
  };
  const Ask rows = [](Session& session, const ProgressCallback& progress) -> Result<void> {
    ReleaseRequest request = rows_of({{"sex", {}, {}, {}, false}});
    request.where.push_back({"intake", "2023", "2024"});
    request.progress = progress;
    CASEVAULT_TRY([[maybe_unused]] const Release made, session.release(request));
    return {};
  };
  const Ask report = [](Session& session, const ProgressCallback& progress) -> Result<void> {
    IndicatorsRequest request;
    request.from = "2023";
    request.to = "2024";
    request.names = {"received"};
    request.progress = progress;
    CASEVAULT_TRY(const std::vector<IndicatorResult> made, session.indicators(request));
    CHECK(made.front().table.has_value());
    return {};
  };
  for (const Ask& ask : {table, rows, report}) {
    Bureau bureau;
    bureau.add(50, {{"sex", "female"}, {"status", "identified"}, {"intake", "2023"}});
    bureau.add(40, {{"sex", "male"}, {"status", "identified"}, {"intake", "2024"}});
    bureau.add(30, {{"sex", "male"}, {"status", "suspected"}, {"intake", "2022"}});
    REQUIRE_OK(bureau.session.tabulate(table_of("status")));
    const auto state = [&] {
      return std::pair(REQUIRE_OK(bureau.session.status()).log_size, REQUIRE_OK(bureau.session.ledger()).size());
    };
    auto before = state();
    std::set<std::string> stages;
    for (int stop_at = 0; !stages.contains("entry"); ++stop_at) {
      CAPTURE(stop_at);
      int calls = 0;
      const auto stopped = ask(bureau.session, [&](const Progress& now) {
        CHECK((now.total == 0 || now.done <= now.total));
        stages.emplace(now.stage);
        return calls++ != stop_at;
      });
      REQUIRE_ERROR(ErrorCode::kCancelled, stopped);
      const bool begun = stages != std::set<std::string>{"indicators"};
      before.first += begun ? 1 : 0;
      REQUIRE(state() == before);
    }
    stages.erase("indicators");
    CHECK(stages == std::set<std::string>{"records", "earlier tables", "differences", "sums", "sets", "entry"});
    const ProgressCallback thrower = [](const Progress&) -> bool { throw std::runtime_error("no bar"); };
    CHECK_THROWS_AS(ask(bureau.session, thrower), std::runtime_error);
    REQUIRE(state().second == before.second);
    CHECK(ask(bureau.session, {}).has_value());
    CHECK(state().second == before.second + 1);
  }
}

TEST_CASE(
    "what the progress tells does not depend on which records earlier publications have in common with the new one") {
  const auto steps_of = [](bool meet) {
    Bureau bureau;
    bureau.add(50, {{"sex", "female"}, {"status", "identified"}, {"intake", "2023"}});
    bureau.add(40, {{"sex", "male"}, {"status", "suspected"}, {"intake", "2024"}});
    bureau.add(30, {{"sex", "female"}, {"status", meet ? "identified" : "suspected"}, {"intake", "2024"}});
    bureau.add(30, {{"sex", "male"}, {"status", "closed"}, {"intake", "2022"}});
    for (const std::string where : {"status=identified", "status=closed"})
      REQUIRE_OK(bureau.session.tabulate(table_of("district", "", {where})));
    std::vector<std::tuple<std::string, std::uint64_t, std::uint64_t>> steps;
    TabulateRequest request = table_of("district", "", {"intake=2024"});
    request.progress = [&](const Progress& now) {
      steps.emplace_back(now.stage, now.done, now.total);
      return true;
    };
    REQUIRE_OK(bureau.session.tabulate(request));
    return steps;
  };
  const auto apart = steps_of(false);
  CHECK(apart.size() > 8);
  CHECK(steps_of(true) == apart);
}

TEST_CASE("a report that is stopped says how many indicators are published already") {
  Bureau bureau;
  fill(bureau);
  IndicatorsRequest request;
  request.from = "2023";
  request.to = "2024";
  int tables = 0;
  request.progress = [&](const Progress& now) { return now.stage != "indicators" || tables++ == 0; };
  const auto stopped = bureau.session.indicators(request);
  REQUIRE_FALSE(stopped.has_value());
  CHECK(stopped.error().code == ErrorCode::kCancelled);
  CHECK(stopped.error().message.find("1 indicator is published already") != std::string::npos);
  CHECK(REQUIRE_OK(bureau.session.ledger()).size() == 1);
}

TEST_CASE("the same table published again and again is held against once, and stands in nobody's way") {
  Bureau bureau;
  fill(bureau);
  const Tabulation first = REQUIRE_OK(bureau.session.tabulate(table_of("sex", "status")));
  for (int i = 0; i < 5; ++i)
    CHECK(REQUIRE_OK(bureau.session.tabulate(table_of("sex", "status"))).cells == first.cells);
  TabulateRequest request = table_of("district");
  std::uint64_t most = 0;
  request.progress = [&](const Progress& now) {
    if (now.stage == "sums") most = std::max(most, now.total);
    return true;
  };
  REQUIRE_OK(bureau.session.tabulate(request));
  CHECK(most == 1);
}

TEST_CASE("durable: a table whose entry could not be written is not published, and the vault opens again") {
  for (int fail_at = 1; fail_at <= 12; ++fail_at) {
    CAPTURE(fail_at);
    Bureau bureau;
    fill(bureau);
    call_faults().reset();
    call_faults().fail_at = fail_at;
    call_faults().fail_count = 1'000'000;
    call_faults().error = EIO;
    const auto table = bureau.session.tabulate(table_of("sex"));
    const bool failed = call_faults().calls >= fail_at;
    call_faults().reset();
    bureau.session.close();
    Session other = bureau.lab.open();
    const std::size_t published = REQUIRE_OK(other.ledger()).size();
    if (table) CHECK(published == 1);
    if (!table && table.error().code != ErrorCode::kUnknownOutcome) CHECK(published == 0);
    require_sound(other);
    if (!failed) break;
  }
}

}  // namespace
}  // namespace casevault::test
