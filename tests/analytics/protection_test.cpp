// SPDX-License-Identifier: Apache-2.0
#include <map>
#include <stdexcept>

#include "analytics/ledger.hpp"
#include "base/process.hpp"
#include "bureau.hpp"
#include "vault/unit_of_work.hpp"

namespace casevault::test {
namespace {

/// The error of a request that leaves one denied entry and publishes nothing.
template <typename Ask>
std::string denied(Bureau& bureau, const Ask& ask) {
  const std::uint64_t before = REQUIRE_OK(bureau.session.status()).log_size;
  const std::size_t published = REQUIRE_OK(bureau.session.ledger()).size();
  const auto answer = ask();
  REQUIRE_FALSE(answer.has_value());
  CHECK(answer.error().code == ErrorCode::kRefused);
  const auto log = entries(bureau.session);
  REQUIRE(log.size() == before + 1);
  CHECK(log.back().outcome == audit::Outcome::kDenied);
  CHECK(REQUIRE_OK(bureau.session.ledger()).size() == published);
  // The number of its own entry is no secret.
  return answer.error().message.substr(0, answer.error().message.find(" (log entry"));
}

TEST_CASE("nobody takes columns out of the k rule by calling them sensitive") {
  Bureau bureau;
  // Every row is the only one with its values.
  for (int i = 0; i < 24; ++i) {
    bureau.add(1, {{"age", std::to_string(20 + i)},
                   {"status", i % 2 == 0 ? "identified" : "suspected"},
                   {"intake", "2024-03-" + std::to_string(10 + i % 19)}});
  }
  ReleaseRequest request = rows_of({{"status", {}, {}, {}, true}});
  CHECK(bureau.session.release(request).error().code == ErrorCode::kUsage);
  for (const ReleaseColumn& column : std::vector<ReleaseColumn>{{"age", {}, {}, {}, true},
                                                                {"intake", Coarseness::kExact, {}, {}, true},
                                                                {"intake", Coarseness::kYear, {}, {}, true},
                                                                {"sex", {}, {}, {}, true}}) {
    CAPTURE(column.field);
    request = rows_of({{"district", {}, {}, {}, false}, column});
    const std::string message = denied(bureau, [&] { return bureau.session.release(request); });
    CHECK(message.find(column.field) != std::string::npos);
  }
  request = rows_of({{"district", {}, {}, {}, false}, {"status", {}, {}, {}, true}});
  request.distinct = 1;
  CHECK(bureau.session.release(request).error().code == ErrorCode::kUsage);
  request.distinct = 12;
  CHECK(bureau.session.release(request).error().code == ErrorCode::kUsage);
  request.distinct = 0;
  CHECK(REQUIRE_OK(bureau.session.release(request)).distinct() == 2);
}

TEST_CASE("a group of rows with one value of a sensitive column stays out though nobody asked for distinct values") {
  Bureau bureau;
  bureau.add(15, {{"district", "north"}, {"status", "identified"}});
  bureau.add(9, {{"district", "south"}, {"status", "identified"}});
  bureau.add(9, {{"district", "south"}, {"status", "closed"}});
  const Release release =
      REQUIRE_OK(bureau.session.release(rows_of({{"district", {}, {}, {}, false}, {"status", {}, {}, {}, true}})));
  CHECK(release.rows() == 18);
  CHECK(release.dropped() == 15U);
  for (std::size_t i = 0; i < release.rows(); ++i) CHECK(REQUIRE_OK(release.value(i, 1)) == "south");
}

TEST_CASE("dates of released rows are years unless something else is asked for") {
  Bureau bureau;
  bureau.add(12, {{"intake", "2024-05-17"}});
  const Release release = REQUIRE_OK(bureau.session.release(rows_of({{"intake", {}, {}, {}, false}})));
  REQUIRE(release.rows() == 12);
  CHECK(REQUIRE_OK(release.value(0, 1)) == "2024");
  const Release exact = REQUIRE_OK(bureau.session.release(rows_of({{"intake", Coarseness::kExact, {}, {}, false}})));
  CHECK(REQUIRE_OK(exact.value(0, 1)) == "2024-05-17");
  CHECK(bureau.session.release(rows_of({{"age", Coarseness::kExact, {18}, {}, false}})).error().code ==
        ErrorCode::kBadInput);
  CHECK(bureau.session.release(rows_of({{"intake", Coarseness::kYear, {18}, "2024-12-31", false}})).error().code ==
        ErrorCode::kBadInput);
}

TEST_CASE("a filter that fits few records or none is refused in one way, whatever their number and the requester's") {
  std::set<std::string> messages;
  for (const std::uint64_t count : {0, 1, 2, 10}) {
    CAPTURE(count);
    Bureau bureau;
    bureau.add(40, {{"sex", "male"}, {"harm", "labour"}, {"intake", "2024-05"}});
    bureau.add(count, {{"sex", "female"}, {"harm", "sexual"}, {"intake", "2023-05"}});
    TabulateRequest table = table_of("harm", "", {"sex=female"});
    messages.insert(denied(bureau, [&] { return bureau.session.tabulate(table); }));
    table.min_cell = 30;
    messages.insert(denied(bureau, [&] { return bureau.session.tabulate(table); }));
    table.round_to = 5;
    messages.insert(denied(bureau, [&] { return bureau.session.tabulate(table); }));
    ReleaseRequest rows = rows_of({{"harm", {}, {}, {}, false}});
    rows.where.push_back({"sex", "female", "female"});
    messages.insert(denied(bureau, [&] { return bureau.session.release(rows); }));
    rows.k = 15;
    rows.star = true;
    messages.insert(denied(bureau, [&] { return bureau.session.release(rows); }));
    IndicatorsRequest period;
    period.from = period.to = "2023";
    period.names = {"received"};
    const auto report = REQUIRE_OK(bureau.session.indicators(period));
    REQUIRE(report.front().refused.has_value());
    const std::string& message = report.front().refused->message;
    messages.insert(message.substr(0, message.find(" (log entry")));
  }
  CHECK(messages == std::set<std::string>{"refused: fewer than 11 records fit"});
}

TEST_CASE("eleven records have a table") {
  Bureau bureau;
  bureau.add(11, {{"sex", "female"}});
  CHECK(at(REQUIRE_OK(bureau.session.tabulate(table_of("sex"))), "female") == 11U);
}

TEST_CASE("the labels of a table do not tell what the records of its filter hold") {
  const auto labels = [](const std::string& field, const Rows::Values& one) {
    Bureau bureau;
    bureau.add(
        40, {{"sex", "male"}, {"minor", "true"}, {"country", "CHN"}, {"place_code", "01"}, {"place_edition", "2025"}});
    bureau.add(30, {{"sex", "female"}, {"country", "VNM"}, {"place_code", "66"}, {"place_edition", "2024"}});
    Rows::Values own = {{"sex", "female"}};
    own.insert(own.end(), one.begin(), one.end());
    bureau.add(1, own);
    const Tabulation few = REQUIRE_OK(bureau.session.tabulate(table_of(field, "", {"sex=female"})));
    const Tabulation all = REQUIRE_OK(bureau.session.tabulate(table_of(field, "", {"minor=true"})));
    CHECK(few.row_labels == all.row_labels);
    return few.row_labels;
  };
  const Rows::Values nothing;
  using Labels = std::vector<std::string>;
  CHECK(labels("country", {{"country", "MYS"}}) == Labels{"CHN", "VNM", "(other)", "(not recorded)"});
  CHECK(labels("country", {{"country", "KHM"}}) == labels("country", nothing));
  CHECK(labels("harm", {{"harm", "labour;marriage"}}) == labels("harm", nothing));
  CHECK(labels("minor", {{"minor", "false"}}) == Labels{"false", "true", "(not recorded)"});
  const auto places = labels("place_code", {{"place_code", "04"}, {"place_edition", "2024"}});
  CHECK(places == labels("place_code", nothing));
  CHECK(places == labels("place_code", {{"place_code", "54"}, {"place_edition", "2024"}}));  // another part of 66
  CHECK(std::ranges::find(places, "04 (2024)") == places.end());
}

TEST_CASE("what few records of the type have counts as one line, shown when it is not small itself") {
  const auto others = [](int countries) {
    Bureau bureau;
    bureau.add(30, {{"country", "CHN"}});
    constexpr std::array<const char*, 6> kRare{"MYS", "KHM", "LAO", "THA", "MMR", "SGP"};
    for (int i = 0; i < countries; ++i) bureau.add(4, {{"country", kRare.at(static_cast<std::size_t>(i))}});
    const Tabulation table = REQUIRE_OK(bureau.session.tabulate(table_of("country")));
    CHECK(table.row_labels == std::vector<std::string>{"CHN", "(other)", "(not recorded)"});
    return at(table, "(other)");
  };
  CHECK(others(0) == 0U);
  CHECK_FALSE(others(1).has_value());
  CHECK_FALSE(others(2).has_value());
  CHECK(others(3) == 12U);
  CHECK(others(6) == 24U);
}

TEST_CASE("places that few people come from are one line in every era, and those of a unit stand together") {
  for (const Era era : {Era::kRecorded, Era::k2024, Era::k2025}) {
    Bureau bureau;
    bureau.add(20, {{"place_code", "01"}, {"place_edition", "2024"}});
    bureau.add(5, {{"place_code", "02"}, {"place_edition", "2024"}});  // these three are one unit of 2025
    bureau.add(5, {{"place_code", "08"}, {"place_edition", "2024"}});
    bureau.add(5, {{"place_code", "08"}, {"place_edition", "2025"}});
    bureau.add(9, {{"place_code", "04"}, {"place_edition", "2024"}});
    bureau.add(6, {{"place_code", "11"}, {"place_edition", "2025"}});
    TabulateRequest request = table_of("place_code");
    request.era = era;
    const Tabulation table = REQUIRE_OK(bureau.session.tabulate(request));
    CHECK(at(table, "(other)") == 15U);
    for (const std::string& label : table.row_labels)
      CHECK((label.starts_with("04") || label.starts_with("11")) == false);
    const bool finer = era != Era::k2025;
    CHECK((std::ranges::find(table.row_labels, era == Era::kRecorded ? "02 (2024)" : "02") != table.row_labels.end()) ==
          finer);
  }
}

TEST_CASE("dates of a table run from the first to the last without gaps") {
  Bureau bureau;
  bureau.add(20, {{"intake", "2021-11-05"}});
  bureau.add(20, {{"intake", "2022-02"}});
  bureau.add(20, {{"intake", "2022"}});
  const Tabulation months = REQUIRE_OK(bureau.session.tabulate(table_of("intake:month")));
  CHECK(months.row_labels ==
        std::vector<std::string>{"2021-11", "2021-12", "2022", "2022-01", "2022-02", "(not recorded)"});
  CHECK(at(months, "2021-12") == 0U);
  bureau.add(20, {{"intake", "0999"}});
  bureau.add(20, {{"intake", "1002"}});
  const Tabulation years = REQUIRE_OK(bureau.session.tabulate(table_of("intake:year", "", {"intake=0900..1100"})));
  CHECK(years.row_labels == std::vector<std::string>{"0999", "1000", "1001", "1002", "(not recorded)"});
}

TEST_CASE("how many rows were left out is told when it is none or k, and stars are none or k in a column") {
  for (const std::uint64_t few : {0, 1, 7, 10, 11, 14}) {
    CAPTURE(few);
    const auto fill = [&](Bureau& into) {
      into.add(30, {{"sex", "female"}, {"district", "north"}});
      into.add(few, {{"sex", "male"}, {"district", "north"}});
      into.add(2, {{"sex", "unknown"}, {"district", "north"}});
      into.add(9, {{"sex", "unknown"}, {"district", "south"}});
    };
    Bureau bureau;
    fill(bureau);
    ReleaseRequest request = rows_of({{"sex", {}, {}, {}, false}});
    const Release release = REQUIRE_OK(bureau.session.release(request));
    if (few == 0 || few >= 11) CHECK(release.dropped() == 0U);
    if (few > 0 && few < 11) CHECK_FALSE(release.dropped().has_value());
    request.columns.push_back({"district", {}, {}, {}, false});
    request.star = true;
    Bureau other;  // beside the rows before, these would be refused
    fill(other);
    const Release starred = REQUIRE_OK(other.session.release(request));
    for (const std::uint64_t stars : starred.starred()) CHECK((stars == 0 || stars >= 11));
  }
}

TEST_CASE("nobody goes below the floor of the purpose, and who says nothing gets it") {
  Bureau bureau("min_cell = 20\n");
  bureau.add(60, {{"sex", "female"}});
  bureau.add(50, {{"sex", "male"}});
  bureau.add(15, {{"sex", "unknown"}});
  for (const std::uint64_t least : {2, 11, 19}) {
    TabulateRequest table = table_of("sex");
    table.min_cell = least;
    CHECK(denied(bureau, [&] { return bureau.session.tabulate(table); }).find("below 20") != std::string::npos);
    ReleaseRequest rows = rows_of({{"sex", {}, {}, {}, false}});
    rows.k = least;
    CHECK(denied(bureau, [&] { return bureau.session.release(rows); }).find("below 20") != std::string::npos);
  }
  CHECK(denied(bureau, [&] { return bureau.session.tabulate(table_of("district", "", {"sex=unknown"})); }) ==
        "refused: fewer than 20 records fit");
  const Tabulation table = REQUIRE_OK(bureau.session.tabulate(table_of("sex")));
  CHECK(table.min_cell == 20);
  CHECK_FALSE(at(table, "unknown").has_value());
  Bureau other("min_cell = 20\n");
  other.add(60, {{"sex", "female"}});
  other.add(15, {{"sex", "unknown"}});
  CHECK(REQUIRE_OK(other.session.release(rows_of({{"sex", {}, {}, {}, false}}))).k() >= 20);
}

TEST_CASE("in a forked child released rows and tables are errors, never other values") {
  Bureau bureau;
  bureau.add(20, {{"sex", "female"}});
  bureau.add(20, {{"sex", "male"}});
  const Release release = REQUIRE_OK(bureau.session.release(rows_of({{"sex", {}, {}, {}, false}})));
  ArrowArrayStream begun{};
  release.stream(begun);
  TableRequest request;
  request.type = "person";
  request.columns = {"sex"};
  request.purpose = "statistics";
  Table table = REQUIRE_OK(bureau.session.table(request));
  Table::Reader reader = REQUIRE_OK(table.read());
  CHECK(in_child([&] {
          const auto value = release.value(0, 1);
          if (value || value.error().code != ErrorCode::kUsage) return 1;
          ArrowArray batch{};
          if (begun.get_next(&begun, &batch) == 0 || batch.release != nullptr) return 2;
          if (std::string_view(begun.get_last_error(&begun)).find("parent") == std::string_view::npos) return 3;
          ArrowArrayStream fresh{};
          release.stream(fresh);
          if (fresh.get_next(&fresh, &batch) == 0) return 4;
          const auto next = reader.next(batch);
          if (next || next.error().code != ErrorCode::kUsage || batch.release != nullptr) return 5;
          return 0;
        }) == 0);
  ArrowArray batch{};
  CHECK(begun.get_next(&begun, &batch) == 0);
  CHECK(batch.length == 40);
  batch.release(&batch);
  CHECK(REQUIRE_OK(reader.next(batch)));
  batch.release(&batch);
  begun.release(&begun);
}

TEST_CASE("a progress callback that throws gets no batch, and its table a failed entry") {
  Bureau bureau;
  bureau.add(20, {{"sex", "female"}});
  TableRequest request;
  request.type = "person";
  request.columns = {"sex"};
  request.purpose = "statistics";
  request.progress = [](const Progress&) -> bool { throw std::runtime_error("no bar"); };
  Table table = REQUIRE_OK(bureau.session.table(request));
  Table::Reader reader = REQUIRE_OK(table.read());
  ArrowArray batch{};
  CHECK_THROWS_AS(reader.next(batch), std::runtime_error);
  CHECK(batch.release == nullptr);
  CHECK(entries(bureau.session).back().outcome == audit::Outcome::kFailed);
  CHECK(reader.next(batch).error().code == ErrorCode::kCancelled);
  REQUIRE(table.last_error().has_value());
}

TEST_CASE("the class of who gets released rows is a question to the policy") {
  Bureau bureau;
  bureau.add(20, {{"sex", "female"}});
  ReleaseRequest request = rows_of({{"sex", {}, {}, {}, false}});
  request.recipient_class = "press";
  CHECK(denied(bureau, [&] { return bureau.session.release(request); }).find("press") != std::string::npos);
  request.recipient_class = "clinic";
  const Release release = REQUIRE_OK(bureau.session.release(request));
  CHECK(entries(bureau.session, true).at(release.entry()).details.find("clinic") != std::string::npos);
}

TEST_CASE("the ledger shows values of filters only to who can read the field") {
  Bureau bureau;
  bureau.add(20, {{"sex", "female"}, {"born", "1999-03-04"}});
  REQUIRE_OK(bureau.session.tabulate(table_of("sex", "", {"born=1999-03-04", "sex=female"})));
  CHECK(REQUIRE_OK(bureau.session.ledger()).front().definition.find("born=1999-03-04") != std::string::npos);
  bureau.become_analyst();
  const std::string shown = REQUIRE_OK(bureau.session.ledger()).front().definition;
  CHECK(shown.find("1999") == std::string::npos);
  CHECK(shown.find("born") != std::string::npos);
  CHECK(shown.find("sex=female") != std::string::npos);
}

/// Puts something into the ledger that casevault would not: what an insider's own program does.
std::uint64_t forge(Bureau& bureau, vault::OpRelease op) {
  bureau.session.close();
  std::uint64_t entry = 0;
  {
    const auto core = bureau.lab.core();
    vault::UnitOfWork work = REQUIRE_OK(vault::UnitOfWork::begin(*core));
    vault::EntryDraft draft =
        REQUIRE_OK(core->draft(work.authority(), audit::Action::kTabulate, audit::Outcome::kOk, {}));
    std::vector<vault::AuthorityOp> ops;
    ops.emplace_back(std::move(op));
    entry = REQUIRE_OK(work.commit_authority(std::move(draft), std::move(ops))).entry;
  }
  bureau.session = bureau.lab.open();
  return entry;
}

TEST_CASE("nothing is published for a purpose that the schema does not mark for it, and that is logged") {
  Bureau bureau("publishes = true\n");
  bureau.add(30, {{"sex", "female"}, {"outcome", "home"}, {"intake", "2024"}});
  bureau.add(30, {{"sex", "male"}, {"outcome", "open"}, {"intake", "2024"}});
  TabulateRequest table = table_of("outcome");
  table.purpose = "care";
  const std::string message = denied(bureau, [&] { return bureau.session.tabulate(table); });
  CHECK(message == "refused: nothing is published for purpose care; those that publish are statistics");
  CHECK(entries(bureau.session).back().purpose == "care");
  ReleaseRequest rows = rows_of({{"sex", {}, {}, {}, false}});
  rows.purpose = "care";
  CHECK(denied(bureau, [&] { return bureau.session.release(rows); }) == message);
  IndicatorsRequest report;
  report.from = report.to = "2024";
  report.names = {"received"};
  report.purpose = "care";
  const auto refused = REQUIRE_OK(bureau.session.indicators(report)).front().refused;
  REQUIRE(refused.has_value());
  CHECK(refused->message.starts_with(message));
  CHECK(entries(bureau.session).back().outcome == audit::Outcome::kDenied);
  // Values of single people for that purpose are disclosed as before, and stand in nobody's way.
  TableRequest exact;
  exact.type = "person";
  exact.columns = {"outcome"};
  exact.purpose = "care";
  REQUIRE_OK(REQUIRE_OK(bureau.session.table(exact)).read());
  bureau.become_analyst();
  REQUIRE_OK(bureau.session.tabulate(table_of("sex")));
}

TEST_CASE("who cannot read a field of an earlier publication is told its entry, the field and who could publish") {
  const auto message = [](const std::function<void(Bureau&)>& publish) {
    Bureau bureau;
    bureau.add(60, {{"sex", "female"}, {"outcome", "home"}});
    bureau.add(40, {{"sex", "male"}, {"outcome", "open"}});
    publish(bureau);
    const std::uint64_t entry = REQUIRE_OK(bureau.session.ledger()).back().entry;
    bureau.become_analyst();
    const std::string out = denied(bureau, [&] { return bureau.session.tabulate(table_of("sex")); });
    CHECK(denied(bureau, [&] { return bureau.session.release(rows_of({{"sex", {}, {}, {}, false}})); }) == out);
    CHECK(out.find("entry " + std::to_string(entry)) != std::string::npos);
    return out;
  };
  const std::string filter =
      message([](Bureau& b) { REQUIRE_OK(b.session.tabulate(table_of("sex", "", {"outcome=home"}))); });
  CHECK(filter.find("field outcome") != std::string::npos);
  CHECK(filter.find("holds compartment case") != std::string::npos);
  CHECK(message([](Bureau& b) { REQUIRE_OK(b.session.tabulate(table_of("sex", "outcome"))); }).find("field outcome") !=
        std::string::npos);
  CHECK(message([](Bureau& b) {
          REQUIRE_OK(b.session.release(rows_of({{"outcome", {}, {}, {}, false}})));
        }).find("field outcome") != std::string::npos);
}

TEST_CASE(
    "a publication that somebody cannot read stands in the way only where records, or other publications, join it") {
  const auto fill = [](Bureau& bureau) {
    for (const char* const year : {"2023", "2024"}) {
      bureau.add(40, {{"sex", "female"}, {"outcome", "home"}, {"intake", year}});
      bureau.add(30, {{"sex", "male"}, {"outcome", "home"}, {"intake", year}});
      bureau.add(3, {{"sex", "male"}, {"outcome", "open"}, {"intake", year}});
    }
  };
  const TabulateRequest hidden = table_of("sex", "", {"outcome=home", "intake=2024"});
  {
    Bureau bureau;
    fill(bureau);
    REQUIRE_OK(bureau.session.tabulate(hidden));
    bureau.become_analyst();
    REQUIRE_OK(bureau.session.tabulate(table_of("sex", "", {"intake=2023"})));
    denied(bureau, [&] { return bureau.session.tabulate(table_of("sex", "", {"intake=2024"})); });
    denied(bureau, [&] { return bureau.session.tabulate(table_of("sex")); });
  }
  // Both years together less 2023 are 2024, so that both tables of 2024 are read against each other.
  for (const TabulateRequest& of_2024 : {hidden, table_of("sex", "outcome", {"intake=2024"})}) {
    Bureau bureau;
    fill(bureau);
    REQUIRE_OK(bureau.session.tabulate(table_of("sex")));
    REQUIRE_OK(bureau.session.tabulate(of_2024));
    bureau.become_analyst();
    denied(bureau, [&] { return bureau.session.tabulate(table_of("sex", "", {"intake=2023"})); });
  }
}

TEST_CASE("robust: a forged definition that nothing can be compared with is named by its entry, and crashes nothing") {
  using namespace analytics;
  const auto table = [](const std::function<void(DefinedTable&)>& spoil) {
    DefinedTable out;
    out.set = {1, Era::kRecorded, {}, "statistics", "forged"};
    out.rows = {2, Coarseness::kExact};
    out.min_cell = 11;
    spoil(out);
    return encode_definition(out);
  };
  DefinedRows rows;
  rows.set = {1, Era::kRecorded, {{6, "many", "many"}}, "statistics", "forged"};
  rows.k = 11;
  const std::vector<vault::OpRelease> forged = {
      {vault::ReleaseKind::kTable, {0xFF, 0x00, 0x13}},
      {vault::ReleaseKind::kRows, table([](DefinedTable&) {}).definition},
      table([](DefinedTable& d) { d.set.where = {{0, "x", "x"}}; }),  // no field
      table([](DefinedTable& d) { d.set.where = {{1, "x", "x"}}; }),  // of text
      table([](DefinedTable& d) { d.set.where = {{4, "yesterday", ""}}; }),
      table([](DefinedTable& d) { d.set.where = {{6, "1", "many"}}; }),
      table([](DefinedTable& d) { d.set.where = {{2, "female", "male"}}; }),
      table([](DefinedTable& d) { d.rows = {1, Coarseness::kExact}; }),    // text
      table([](DefinedTable& d) { d.rows = {6, Coarseness::kExact}; }),    // a number
      table([](DefinedTable& d) { d.columns = {2, Coarseness::kYear}; }),  // the year of a code
      table([](DefinedTable& d) { d.rows = {4, Coarseness::kBands}; }),
      table([](DefinedTable& d) { d.min_cell = 0; }),
      table([](DefinedTable& d) { d.min_cell = UINT64_MAX; }),
      table([](DefinedTable& d) { d.round_to = UINT64_MAX; }),
      encode_definition(rows),
  };
  for (std::size_t i = 0; i < forged.size(); ++i) {
    CAPTURE(i);
    Bureau bureau;
    bureau.add(30, {{"sex", "female"}, {"age", "20"}, {"intake", "2024"}});
    const std::uint64_t entry = forge(bureau, forged[i]);
    const std::string named = "entry " + std::to_string(entry);
    CHECK(denied(bureau, [&] { return bureau.session.tabulate(table_of("sex")); }).find(named) != std::string::npos);
    CHECK(denied(bureau, [&] { return bureau.session.release(rows_of({{"sex", {}, {}, {}, false}})); }).find(named) !=
          std::string::npos);
    const auto ledger = REQUIRE_OK(bureau.session.ledger());
    REQUIRE(ledger.size() == 1);
    CHECK(ledger[0].entry == entry);
    CHECK((i > 2 || ledger[0].kind == "unknown"));
    require_sound(bureau.session);
  }
}

TEST_CASE("robust: a forged definition of fields that the schema has not, or of another type, is no crash either") {
  using namespace analytics;
  for (const bool other_type : {false, true}) {
    Bureau bureau;
    bureau.add(30, {{"sex", "female"}});
    DefinedTable definition;
    definition.set = {
        static_cast<std::uint16_t>(other_type ? 77 : 1), Era::kRecorded, {{999, "x", "x"}}, "statistics", ""};
    definition.rows = {998, Coarseness::kExact};
    definition.min_cell = 11;
    forge(bureau, encode_definition(definition));
    CHECK(bureau.session.tabulate(table_of("sex")).has_value() == other_type);
    CHECK(REQUIRE_OK(bureau.session.ledger()).size() == (other_type ? 2 : 1));
  }
}

}  // namespace
}  // namespace casevault::test
