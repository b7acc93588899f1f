// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <set>

#include "lab.hpp"
#include "vault/records.hpp"

namespace casevault::test {
namespace {

using Terms = std::vector<std::pair<std::string, std::string>>;

struct Searched {
  std::vector<std::string> ids;
  std::vector<Match> matches;
  std::uint64_t count = 0;
  std::uint64_t entry = 0;
};

Result<Searched> try_find(Session& session, const Terms& terms, bool loose = false, std::size_t limit = 100,
                          const std::string& purpose = "care") {
  FindRequest request;
  request.type = "person";
  std::vector<FieldInput>& search = request.searches.emplace_back();
  for (const auto& [name, text] : terms) search.push_back({name, text});
  request.purpose = purpose;
  request.loose = loose;
  request.limit = limit;
  CASEVAULT_TRY(const FindResult result, session.find(request));
  Searched out;
  for (const FindResult::Hit& hit : result.answers.at(0).matches) {
    out.ids.push_back(hit.id.to_string());
    out.matches.push_back(hit.match);
  }
  out.count = result.answers.at(0).count;
  out.entry = result.entry;
  return out;
}

Searched find(Session& session, const Terms& terms, bool loose = false, std::size_t limit = 100) {
  return REQUIRE_OK(try_find(session, terms, loose, limit));
}

RecordId add(Session& session, const Terms& values) {
  std::vector<FieldInput> fields;
  for (const auto& [name, text] : values) fields.push_back({name, text});
  return REQUIRE_OK(session.add("person", fields)).id;
}

void update(Session& session, const RecordId& id, const Terms& values) {
  std::vector<FieldInput> fields;
  for (const auto& [name, text] : values) fields.push_back({name, text});
  REQUIRE_OK(session.update(id, fields));
}

using Ids = std::vector<std::string>;

std::uint64_t index_rows(const Lab& lab) {
  const auto core = lab.core();
  const auto snapshot = REQUIRE_OK(core->snapshot());
  return REQUIRE_OK(snapshot.txn->count(store::Table::kIndex));
}

TEST_CASE("robust: a name is found as it was typed, without its marks, in another order, with other spaces") {
  const Lab lab;
  Session session = lab.open();
  const std::string hoa = add(session, {{"full_name", "Nguyễn Thị Hòa"}}).to_string();
  const std::string plain = add(session, {{"full_name", "Nguyen Thi Hoa"}}).to_string();
  const std::string turned = add(session, {{"full_name", "Hoa Nguyen Thi"}}).to_string();
  const std::string joined = add(session, {{"full_name", "Nguyenthi Hoa"}}).to_string();
  (void)add(session, {{"full_name", "Nguyễn Thị Hảo"}});

  Searched found = find(session, {{"full_name", "NGUYỄN  THỊ HÒA"}});
  CHECK(found.ids == Ids{hoa});
  CHECK(found.matches == std::vector{Match::kExact});
  found = find(session, {{"full_name", "nguyen thi hoa"}});
  CHECK(found.ids == Ids{plain, hoa});
  CHECK(found.matches == std::vector{Match::kExact, Match::kFolded});
  found = find(session, {{"full_name", "Nguyễn Thị Hòa"}}, true);
  CHECK(std::set<std::string>(found.ids.begin(), found.ids.end()) == std::set<std::string>{hoa, plain, turned, joined});
  CHECK(found.ids[0] == hoa);
  CHECK(found.matches == std::vector{Match::kExact, Match::kFolded, Match::kOrderFree, Match::kJoined});
  CHECK(find(session, {{"full_name", "Nguyen Thi"}}, true).ids.empty());
  require_sound(session);
}

TEST_CASE(
    "robust: fields together find what fits all of them; dates by year, month, day and range; phones one by one") {
  const Lab lab;
  Session session = lab.open();
  const std::string a =
      add(session, {{"full_name", "Tran Mai"}, {"born", "1990-05-02"}, {"phone", "0901 111 222; 0902333444"}})
          .to_string();
  const std::string b =
      add(session, {{"full_name", "Tran Mai"}, {"born", "1990"}, {"phone", "0902333444"}}).to_string();
  const std::string c = add(session, {{"full_name", "Tran Lan"}, {"born", "1990-05"}}).to_string();
  CHECK(find(session, {{"full_name", "tran mai"}, {"born", "1990"}}).ids == Ids{a, b});
  CHECK(find(session, {{"full_name", "tran mai"}, {"born", "1990-05"}}).ids == Ids{a});
  CHECK(find(session, {{"born", "1990-05"}}).ids == Ids{a, c});
  CHECK(find(session, {{"born", "1990-05-01..1990-05-31"}}).ids == Ids{a, c});
  CHECK(find(session, {{"born", "1990-05-03..1991"}}).ids.empty());
  CHECK(find(session, {{"born", "1989..1990"}}).ids == Ids{a, b, c});
  CHECK(find(session, {{"phone", "0902 333 444"}}).ids == Ids{a, b});
  CHECK(find(session, {{"phone", "0901111222"}, {"full_name", "tran mai"}, {"born", "1990-05-02"}}).ids == Ids{a});
  CHECK(find(session, {{"phone", "0901111222"}, {"full_name", "tran lan"}}).ids.empty());
}

TEST_CASE("robust: a search lists the closest and tells how many there are") {
  const Lab lab;
  Session session = lab.open();
  Rows rows(300, [](std::uint64_t row) -> Rows::Values {
    return {{"full_name", row == 250 ? "Lê Hoa" : "Lê Hóa"}, {"born", std::to_string(1900 + row % 3)}};
  });
  const ImportReport report = REQUIRE_OK(session.import_rows("person", rows, {false, false, true, {}, {}}));
  const Searched found = find(session, {{"full_name", "le hoa"}}, false, 7);
  CHECK(found.count == 300);
  CHECK(found.ids.size() == 7);
  CHECK(found.ids[0] == report.ids[249].to_string());
  CHECK(found.matches[0] == Match::kFolded);
  const Searched some = find(session, {{"full_name", "le hoa"}, {"born", "1901"}}, false, 5);
  CHECK(some.count == 100);
  CHECK(some.ids.size() == 5);
}

TEST_CASE("durable: what is changed, emptied or changed back is found as it is now, and not as it was") {
  const Lab lab;
  Session session = lab.open();
  const RecordId id = add(session, {{"full_name", "Tran Mai"}, {"phone", "0901"}, {"born", "1990-05-02"}});
  const RecordId other = add(session, {{"full_name", "Tran Mai"}});
  update(session, id, {{"full_name", "Trần Mai"}});
  CHECK(find(session, {{"full_name", "Trần Mai"}}).ids == Ids{id.to_string()});
  CHECK(find(session, {{"full_name", "tran mai"}}).count == 2);
  update(session, id, {{"full_name", "Le Lan"}, {"phone", ""}});
  CHECK(find(session, {{"full_name", "tran mai"}}).ids == Ids{other.to_string()});
  CHECK(find(session, {{"full_name", "le lan"}}).ids == Ids{id.to_string()});
  CHECK(find(session, {{"phone", "0901"}}).ids.empty());
  CHECK(find(session, {{"born", "1990"}}).ids == Ids{id.to_string()});
  update(session, id, {{"full_name", "Tran Mai"}, {"phone", "0901"}});
  CHECK(find(session, {{"full_name", "tran mai"}}).count == 2);
  CHECK(find(session, {{"phone", "0901"}}).ids == Ids{id.to_string()});
  Session again = lab.open();  // that has counted nothing yet
  update(again, id, {{"full_name", "Vo Tu"}});
  CHECK(find(session, {{"full_name", "vo tu"}}).ids == Ids{id.to_string()});
  CHECK(find(again, {{"full_name", "tran mai"}}).ids == Ids{other.to_string()});
  require_sound(session);
}

TEST_CASE("durable: a write that fails leaves nothing in the index, and a later one is counted right") {
  const Lab lab;
  Session session = lab.open();
  (void)add(session, {{"full_name", "Tran Mai"}});
  const std::uint64_t before = index_rows(lab);
  std::vector<FieldInput> bad = {{"full_name", "Tran Mai"}, {"sex", "none"}};
  REQUIRE_ERROR(ErrorCode::kBadInput, session.add("person", bad));
  Rows rows(5, [](std::uint64_t) -> Rows::Values { return {{"full_name", "Tran Mai"}}; });
  ImportOptions options;
  options.progress = [](const Progress& progress) { return progress.stage != "write"; };
  REQUIRE_ERROR(ErrorCode::kCancelled, session.import_rows("person", rows, options));
  CHECK(index_rows(lab) == before);
  (void)add(session, {{"full_name", "Tran Mai"}});
  CHECK(find(session, {{"full_name", "tran mai"}}).count == 2);
}

TEST_CASE(
    "traced: a search is an entry, hit or miss, before an id leaves; what was typed is in the sealed details alone") {
  const Lab lab;
  Session session = lab.open();
  const RecordId id = add(session, {{"full_name", "Tran CANARY"}});
  const Searched hit = find(session, {{"full_name", "tran canary"}});
  const Searched miss = find(session, {{"full_name", "nobody canary"}});
  CHECK(hit.ids == Ids{id.to_string()});
  CHECK(miss.ids.empty());
  const std::vector<LogEntry> log = entries(session, true);
  CHECK(log.at(hit.entry).action == audit::Action::kFind);
  CHECK(log.at(hit.entry).count == 1);
  CHECK(log.at(hit.entry).purpose == "care");
  CHECK(log.at(hit.entry).basis == "duty");
  CHECK(log.at(hit.entry).details.find("tran canary") != std::string::npos);
  CHECK(log.at(hit.entry).details.find(id.to_string()) != std::string::npos);
  CHECK(log.at(miss.entry).count == 0);
  CHECK(log.at(miss.entry).details.find("nobody canary") != std::string::npos);
  LogQuery about;
  about.subject = id;
  std::vector<std::uint64_t> seen;
  REQUIRE_OK(session.read_log(about, [&](const LogEntry& entry) {
    seen.push_back(entry.entry);
    return true;
  }));
  CHECK(std::ranges::find(seen, hit.entry) != seen.end());
  CHECK(std::ranges::find(seen, miss.entry) == seen.end());
  require_sound(session);
}

TEST_CASE("traced: a search that the policy does not admit is refused and logged, and finds nothing") {
  const Lab lab;
  Session session = lab.open();
  (void)add(session, {{"full_name", "Tran Mai"}});
  const std::uint64_t before = REQUIRE_OK(session.status()).log_size;
  REQUIRE_ERROR(ErrorCode::kRefused, try_find(session, {{"full_name", "tran mai"}}, false, 100, "count"));
  REQUIRE_ERROR(ErrorCode::kRefused, try_find(session, {{"full_name", "tran mai"}}, false, 100, "none"));
  REQUIRE_ERROR(ErrorCode::kRefused, try_find(session, {{"full_name", "tran mai"}}, false, 100, "press"));
  const std::vector<LogEntry> log = entries(session);
  REQUIRE(log.size() >= before + 3);
  for (std::uint64_t i = before; i < before + 3; ++i) {
    CHECK(log[i].action == audit::Action::kFind);
    CHECK(log[i].outcome == audit::Outcome::kDenied);
  }
}

TEST_CASE("compartmented: who does not hold a compartment can neither search it nor see its words") {
  const Lab lab;
  Session session = lab.open();
  (void)add(session, {{"full_name", "Tran Mai"}, {"phone", "0901"}});
  const Person nurse = lab.add(session, "nurse", "officer", {"identity"});
  Session hers = lab.open(nurse);
  CHECK(find(hers, {{"full_name", "tran mai"}}).count == 1);
  const std::uint64_t before = REQUIRE_OK(session.status()).log_size;
  REQUIRE_ERROR(ErrorCode::kNoGrant, try_find(hers, {{"phone", "0901"}}));
  REQUIRE_ERROR(ErrorCode::kNoGrant, try_find(hers, {{"full_name", "tran mai"}, {"phone", "0901"}}));
  const std::vector<LogEntry> log = entries(session);
  CHECK(log.at(before).action == audit::Action::kFind);
  CHECK(log.at(before).outcome == audit::Outcome::kDenied);
  // What she writes she can find, and who holds more finds it too; what she cannot write into is not in the way.
  const RecordId id = add(hers, {{"full_name", "Le Lan"}});
  CHECK(find(hers, {{"full_name", "le lan"}}).ids == Ids{id.to_string()});
  update(session, id, {{"phone", "0902"}});
  CHECK(find(session, {{"phone", "0902"}}).ids == Ids{id.to_string()});
  require_sound(session);
}

TEST_CASE("robust: what cannot be searched for is an error that says what can") {
  const Lab lab;
  Session session = lab.open();
  (void)add(session, {{"full_name", "Tran Mai"}});
  for (const auto& [terms, code] : std::vector<std::pair<Terms, ErrorCode>>{
           {{}, ErrorCode::kUsage},
           {{{"full_name", ""}}, ErrorCode::kUsage},
           {{{"full_name", "..."}}, ErrorCode::kBadInput},
           {{{"full_name", "\xFF"}}, ErrorCode::kBadInput},
           {{{"born", "05/02/1990"}}, ErrorCode::kBadInput},
           {{{"note", "x"}}, ErrorCode::kNotFound},
           {{{"none", "x"}}, ErrorCode::kNotFound},
           {{{"full_name", "a"}, {"full_name", "b"}}, ErrorCode::kUsage},
       }) {
    REQUIRE_ERROR(code, try_find(session, terms));
  }
  const auto note = try_find(session, {{"note", "x"}});
  CHECK(note.error().message.find("full_name, phone, born") != std::string::npos);
  REQUIRE_ERROR(ErrorCode::kUsage, try_find(session, {{"full_name", "x"}}, false, 0));
  REQUIRE_ERROR(ErrorCode::kUsage, try_find(session, {{"full_name", "x"}}, false, 1, ""));
}

TEST_CASE("durable: rows of an import are found when it is published, and those of a killed one never") {
  const Lab lab;
  Session session = lab.open();
  (void)add(session, {{"full_name", "Tran Mai"}});
  Rows rows(11'000, [](std::uint64_t row) -> Rows::Values {
    return {{"full_name", row % 1000 == 0 ? "Tran Mai" : "Nguoi So " + std::to_string(row)}};
  });
  std::vector<std::uint64_t> seen;
  ImportOptions options;
  options.progress = [&](const Progress& progress) {
    if (progress.stage != "write" || progress.done % 5120 != 0 || progress.done == 0) return true;
    seen.push_back(find(session, {{"full_name", "tran mai"}}).count);
    return progress.done < 10'000;  // then it stops
  };
  REQUIRE_ERROR(ErrorCode::kCancelled, session.import_rows("person", rows, options));
  CHECK(seen == std::vector<std::uint64_t>{1, 1});
  CHECK(find(session, {{"full_name", "tran mai"}}).count == 1);
  REQUIRE_OK(session.import_rows("person", rows));
  CHECK(find(session, {{"full_name", "tran mai"}}).count == 12);
  CHECK(find(session, {{"full_name", "nguoi so 10999"}}).count == 1);
  require_sound(session);
}

TEST_CASE("sealed: a record has as many postings whatever its fields, and a change adds as many whatever it changes") {
  const auto added = [](const Terms& values, const Terms& changed) {
    const Lab lab;
    Session session = lab.open();
    (void)add(session, {{"full_name", "First One"}});
    const std::uint64_t start = index_rows(lab);
    const RecordId id = add(session, values);
    const std::uint64_t made = index_rows(lab);
    update(session, id, changed);
    return std::pair(made - start, index_rows(lab) - made);
  };
  const auto usual = added({{"full_name", "A B"}}, {{"full_name", "A C"}});
  CHECK(usual == std::pair<std::uint64_t, std::uint64_t>(8, 4));
  CHECK(added({{"full_name", "A B"}, {"phone", "0901"}, {"born", "1990"}}, {{"phone", "0902"}}) == usual);
  CHECK(added({{"full_name", "A B"}, {"phone", "0901; 0902"}, {"born", "1990-05-01"}}, {{"born", "1991-05-01"}}) ==
        usual);
  CHECK(added({{"full_name", "A B"}, {"sex", "male"}, {"phone", "0901"}}, {{"phone", ""}}) == usual);
  CHECK(added({{"full_name", "A B"}, {"phone", "1;2;3;4;5"}}, {{"sex", "male"}}) ==
        std::pair<std::uint64_t, std::uint64_t>(12, 0));
}

}  // namespace
}  // namespace casevault::test
