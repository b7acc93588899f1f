// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <map>
#include <set>

#include "keys/key_tree.hpp"
#include "killed_child.hpp"
#include "lab.hpp"
#include "model/search_index.hpp"
#include "vault/records.hpp"
#include "vault/row_key.hpp"

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

/// Of a copy: this process may have the vault open.
std::uint64_t index_rows(const Lab& lab) {
  const std::filesystem::path copy = lab.folder / "copy";
  std::filesystem::create_directory(copy);
  std::filesystem::permissions(copy, std::filesystem::perms::owner_all);
  std::filesystem::copy_file(lab.data(), copy / "data.mdb", std::filesystem::copy_options::overwrite_existing);
  store::LmdbOptions options;
  options.read_only = true;
  const auto store = REQUIRE_OK(store::open_lmdb_store(copy, options));
  return REQUIRE_OK(REQUIRE_OK(store->begin_read())->count(store::Table::kIndex));
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
      add(session, {{"full_name", "Tran Mai"}, {"born", "1990-05-02"}, {"phone", "0901 111 222; 0902 333 444"}})
          .to_string();
  const std::string b =
      add(session, {{"full_name", "Tran Mai"}, {"born", "1990"}, {"phone", "0902333444"}}).to_string();
  const std::string c = add(session, {{"full_name", "Tran Lan"}, {"born", "1990-05"}}).to_string();
  CHECK(find(session, {{"full_name", "tran mai"}, {"born", "1990"}}).ids == Ids{a, b});
  CHECK(find(session, {{"full_name", "tran mai"}, {"born", "1990-05"}}).ids == Ids{a});
  CHECK(find(session, {{"born", "1990-05"}}).ids == Ids{a, c});
  CHECK(find(session, {{"born", "1990-05-01..1990-05-31"}}).ids == Ids{a, b, c});  // b may lie there
  CHECK(find(session, {{"born", "1990-05-03..1990-05-04"}}).ids == Ids{b, c});
  CHECK(find(session, {{"born", "1990-06..1990-07"}}).ids == Ids{b});
  CHECK(find(session, {{"born", "02/05/1990"}}).ids == Ids{a});
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
  session.close();
  Session again = lab.open();  // that has counted nothing yet
  update(again, id, {{"full_name", "Vo Tu"}});
  CHECK(find(again, {{"full_name", "vo tu"}}).ids == Ids{id.to_string()});
  CHECK(find(again, {{"full_name", "tran mai"}}).ids == Ids{other.to_string()});
  require_sound(again);
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

TEST_CASE("durable: a first write that is rolled back leaves no key behind that others write or search by") {
  const Lab lab;
  Channel<char> go;
  const pid_t other = ::fork();  // opens the vault when the first write of this process was rolled back
  if (other == 0) {
    if (!go.next()) ::_exit(1);
    auto session = lab.try_open(lab.owner);
    const FieldInput fields[] = {{"full_name", "Tran Mai"}};
    ::_exit(session && session->add("person", fields) ? 0 : 2);
  }
  std::optional<Session> session = lab.open();
  Rows rows(5, [](std::uint64_t) -> Rows::Values { return {{"full_name", "Tran Mai"}, {"phone", "0901222333"}}; });
  ImportOptions cancel;
  cancel.progress = [](const Progress& progress) { return progress.stage != "write"; };
  REQUIRE_ERROR(ErrorCode::kCancelled, session->import_rows("person", rows, cancel));
  REQUIRE(go.tell(1));
  int status = 0;
  REQUIRE(::waitpid(other, &status, 0) == other);
  REQUIRE((WIFEXITED(status) && WEXITSTATUS(status) == 0));
  CHECK(find(*session, {{"full_name", "tran mai"}}).count == 1);
  const std::string mine = add(*session, {{"full_name", "Tran Mai"}, {"phone", "0901222333"}}).to_string();
  CHECK(find(*session, {{"phone", "0901222333"}}).ids == Ids{mine});
  session.reset();
  session = lab.open();
  CHECK(find(*session, {{"full_name", "tran mai"}}).count == 2);
  CHECK(find(*session, {{"full_name", "tran mai"}, {"phone", "0901222333"}}).ids == Ids{mine});
  require_sound(*session);
  session.reset();
  DoctorOptions options;
  options.deep = true;
  CHECK(REQUIRE_OK(examine(lab.vault(), lab.owner.identity(), lab.options(true), options)).ok);
}

TEST_CASE("durable: a first import that is stopped leaves nothing that hides the next record from other sessions") {
  const Lab lab;
  std::optional<Session> session = lab.open();
  Rows rows(5, [](std::uint64_t) -> Rows::Values { return {{"full_name", "Tran Mai"}}; });
  ImportOptions cancel;
  cancel.progress = [](const Progress& progress) { return progress.stage != "write"; };
  REQUIRE_ERROR(ErrorCode::kCancelled, session->import_rows("person", rows, cancel));
  const std::string id = add(*session, {{"full_name", "Tran Mai"}}).to_string();
  CHECK(find(*session, {{"full_name", "tran mai"}}).ids == Ids{id});
  session.reset();
  session = lab.open();
  CHECK(find(*session, {{"full_name", "tran mai"}}).ids == Ids{id});
}

TEST_CASE("rotatable: a grant that ended keeps nobody from adding records without fields of its compartment") {
  struct SetClock final : base::Clock {
    std::int64_t at = base::system_environment().clock->now_ms();
    [[nodiscard]] std::int64_t now_ms() const override { return at; }
  };
  const Lab lab;
  SetClock clock;
  const base::Environment environment{&clock, base::system_environment().random};
  Person clerk;
  {
    Session session = lab.open();
    clerk = lab.add(session, "clerk", "officer", {"identity"});
    const std::vector<std::string> contact = {"contact"};
    REQUIRE_OK(session.grant("clerk", contact, {false, clock.at + 86'400'000}));
  }
  auto core = REQUIRE_OK(vault::Core::open(lab.vault(), clerk.identity(), lab.options(), environment));
  clock.at += 2 * 86'400'000;
  const FieldInput name[] = {{"full_name", "Tran Mai"}};
  const Written written = REQUIRE_OK(vault::add_record(*core, "person", name, std::nullopt));
  const FieldInput phone[] = {{"full_name", "Tran Mai"}, {"phone", "0901222333"}};
  const auto refused = vault::add_record(*core, "person", phone, std::nullopt);
  REQUIRE_FALSE(refused.has_value());
  CHECK(refused.error().code == ErrorCode::kNoGrant);
  CHECK(refused.error().message.find("(log entry ") != std::string::npos);
  core.reset();
  Session session = lab.open();
  CHECK(find(session, {{"full_name", "tran mai"}}).ids == Ids{written.id.to_string()});
}

TEST_CASE("robust: a cell of very many names is refused, and one of the most there may be is found by each") {
  const Lab lab;
  Session session = lab.open();
  std::string names;
  for (int i = 1; i <= 64; ++i) names += (i == 1 ? "" : ";") + std::string("Tran Mai ") + std::to_string(i);
  const RecordId id = add(session, {{"full_name", names}});
  CHECK(find(session, {{"full_name", "tran mai 64"}}).ids == Ids{id.to_string()});
  const std::string too_many = names + ";Le Lan";
  const FieldInput more[] = {{"full_name", too_many}};
  const auto refused = session.add("person", more);
  REQUIRE_FALSE(refused.has_value());
  CHECK(refused.error().code == ErrorCode::kBadInput);
  CHECK(refused.error().message.find("more than 64 names") != std::string::npos);
  REQUIRE_ERROR(ErrorCode::kBadInput, session.update(id, more));
  Rows rows(1, [&](std::uint64_t) -> Rows::Values { return {{"full_name", names + "|Le Lan"}}; });
  const ImportReport report = REQUIRE_OK(session.import_rows("person", rows));
  CHECK(report.imported == 0);
  REQUIRE(report.problems.size() == 1);
  CHECK(report.problems[0].reason.find("more than 64 names") != std::string::npos);
  update(session, id, {{"full_name", "Le Lan"}});
  CHECK(find(session, {{"full_name", "tran mai 64"}}).ids.empty());
  require_sound(session);
}

TEST_CASE("robust: a name of which nothing is left to search by is refused with the reason") {
  const Lab lab;
  Session session = lab.open();
  const RecordId id = add(session, {{"full_name", "Tran Mai"}});
  for (const std::string text : {"...", "???", "---", "\xEF\xBF\xBD", ";|;", "at home:"}) {
    INFO(text);
    const FieldInput fields[] = {{"full_name", text}};
    REQUIRE_ERROR(ErrorCode::kBadInput, session.add("person", fields));
    REQUIRE_ERROR(ErrorCode::kBadInput, session.update(id, fields));
    Rows rows(1, [&](std::uint64_t) -> Rows::Values { return {{"full_name", text}}; });
    const ImportReport report = REQUIRE_OK(session.import_rows("person", rows));
    REQUIRE(report.problems.size() == 1);
    CHECK(report.problems[0].column == "full_name");
  }
  for (const std::string text : {"Đỗ", "Ở", "...; Ý", "李"}) {
    const FieldInput fields[] = {{"full_name", text}};
    REQUIRE_OK(session.add("person", fields));
  }
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
  std::optional<Session> session = lab.open();
  (void)add(*session, {{"full_name", "Tran Mai"}, {"phone", "0901"}});
  const Person nurse = lab.add(*session, "nurse", "officer", {"identity"});
  session.reset();
  std::optional<Session> hers = lab.open(nurse);
  CHECK(find(*hers, {{"full_name", "tran mai"}}).count == 1);
  const std::uint64_t before = REQUIRE_OK(hers->status()).log_size;
  REQUIRE_ERROR(ErrorCode::kNoGrant, try_find(*hers, {{"phone", "0901"}}));
  REQUIRE_ERROR(ErrorCode::kNoGrant, try_find(*hers, {{"full_name", "tran mai"}, {"phone", "0901"}}));
  const std::vector<LogEntry> log = entries(*hers);
  CHECK(log.at(before).action == audit::Action::kFind);
  CHECK(log.at(before).outcome == audit::Outcome::kDenied);
  // What she writes she can find, and who holds more finds it too; what she cannot write into is not in the way.
  const RecordId id = add(*hers, {{"full_name", "Le Lan"}});
  CHECK(find(*hers, {{"full_name", "le lan"}}).ids == Ids{id.to_string()});
  hers.reset();
  session = lab.open();
  update(*session, id, {{"phone", "0902"}});
  CHECK(find(*session, {{"phone", "0902"}}).ids == Ids{id.to_string()});
  require_sound(*session);
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
           {{{"born", "5/2/90"}}, ErrorCode::kBadInput},
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
  CHECK(added({{"full_name", "A B"}, {"phone", "0901000001;0901000002;0901000003;0901000004;0901000005"}},
              {{"sex", "male"}}) == std::pair<std::uint64_t, std::uint64_t>(12, 0));
}

TEST_CASE(
    "robust: a new record that may be about somebody who is there is told, in add and import, and decided by nobody") {
  const Lab lab;
  Session session = lab.open();
  const auto add_all = [&](const Terms& values) {
    std::vector<FieldInput> fields;
    for (const auto& [name, text] : values) fields.push_back({name, text});
    return REQUIRE_OK(session.add("person", fields));
  };
  const Written first = add_all({{"full_name", "Trần Mai"}, {"born", "1990-05-02"}, {"phone", "0901 222 333"}});
  CHECK(first.warnings.empty());
  CHECK(add_all({{"full_name", "Trần Mai"}, {"born", "1991-05-02"}}).warnings.empty());
  CHECK(add_all({{"full_name", "Tran Mai"}}).warnings.empty());
  const Written year = add_all({{"full_name", "Tran Mai"}, {"born", "1990"}});
  REQUIRE(year.warnings.size() == 1);
  CHECK(year.warnings[0].find(first.id.to_string()) != std::string::npos);
  CHECK(year.warnings[0].find("nearly the same full_name and year of born") != std::string::npos);
  const Written phone = add_all({{"full_name", "Le Lan"}, {"phone", "0901222333"}});
  REQUIRE(phone.warnings.size() == 1);
  CHECK(phone.warnings[0].find("the same phone") != std::string::npos);
  CHECK(entries(session, true).at(phone.entry).details.find(first.id.to_string()) != std::string::npos);

  Rows rows(50, [](std::uint64_t row) -> Rows::Values {
    return {{"full_name", row % 25 == 0 ? "Ho Hai" : "Nguoi " + std::to_string(row)},
            {"born", row == 7 ? "1990-05-02" : "1980"},
            {"phone", row == 9 ? "0901 222 333" : ""}};
  });
  const ImportReport report = REQUIRE_OK(session.import_rows("person", rows, {false, false, true, {}, {}}));
  REQUIRE(report.warnings.size() == 3);  // the phone of two records, and the second Ho Hai
  CHECK(std::ranges::count_if(report.warnings, [](const auto& text) { return text.find("phone") != text.npos; }) == 2);
  for (const std::string& warning : report.warnings) CHECK(warning.find("Hai") == std::string::npos);
  require_sound(session);
}

TEST_CASE("robust: rows of a staged import that may be about one person are told, whatever batches they came in") {
  const Lab lab;
  Session session = lab.open();
  (void)add(session, {{"full_name", "Truoc"}, {"phone", "0901 000 001"}});
  Rows rows(12'000, [](std::uint64_t row) -> Rows::Values {
    const bool twin = row == 30 || row == 11'500;
    return {{"full_name", twin ? "Ho Hai" : "Nguoi " + std::to_string(row)},
            {"born", twin ? "1980-01-01" : "1990"},
            {"phone", row == 50          ? "0901000001"
                      : row % 6000 == 70 ? "0902 000 002"
                      : twin             ? "0903 000 003"
                                         : "09" + std::to_string(10'000'000 + row)}};
  });
  const ImportReport report = REQUIRE_OK(session.import_rows("person", rows, {false, false, true, {}, {}}));
  REQUIRE(report.warnings.size() == 3);  // the phone of a record from before, and two pairs, each told once
  const auto told = [&](std::uint64_t later, const std::string& what) {
    return std::ranges::count_if(report.warnings, [&](const std::string& text) {
      return text.find("record " + report.ids.at(later - 1).to_string()) == 0 && text.find(what) != text.npos;
    });
  };
  CHECK(told(50, "the same phone") == 1);
  CHECK(told(6070, report.ids.at(69).to_string() + ": the same phone") == 1);
  CHECK(told(11'500, report.ids.at(29).to_string() + ": the same phone") == 1);
  CHECK(find(session, {{"phone", "0902000002"}}).count == 2);
  CHECK(find(session, {{"born", "1990"}}).count == 11'998);
  const std::uint64_t entry = report.entry.value();
  CHECK(entries(session, true).at(entry).details.find("told of 3 pairs") != std::string::npos);
  require_sound(session);
}

TEST_CASE("traced: where the schema wants a search before a new record, none is made without one's own") {
  const Lab lab(schema_with("search_before_add = true"));
  Session session = lab.open();
  const FieldInput fields[] = {{"full_name", "Tran Mai"}};
  const std::uint64_t before = REQUIRE_OK(session.status()).log_size;
  REQUIRE_ERROR(ErrorCode::kRefused, session.add("person", fields));
  CHECK(entries(session).at(before).outcome == audit::Outcome::kDenied);
  REQUIRE_ERROR(ErrorCode::kRefused, session.add("person", fields, before));  // no search
  REQUIRE_ERROR(ErrorCode::kRefused, session.add("person", fields, 1'000'000));
  REQUIRE_ERROR(ErrorCode::kRefused, try_find(session, {{"full_name", "tran mai"}}, false, 100, "press"));
  REQUIRE_ERROR(ErrorCode::kRefused, session.add("person", fields, REQUIRE_OK(session.status()).log_size - 1));
  const Searched found = find(session, {{"full_name", "tran mai"}});
  REQUIRE_OK(session.add("person", fields, found.entry));
  const Person other = lab.add(session, "other", "officer", {"identity", "contact", "statistics"});
  session.close();
  Session theirs = lab.open(other);
  REQUIRE_ERROR(ErrorCode::kRefused, theirs.add("person", fields, found.entry));
  require_sound(theirs);
}

std::vector<vault::IndexGeneration> generations(const Lab& lab) {
  const auto core = lab.core();
  return REQUIRE_OK(core->snapshot()).db.index->generations;
}

/// The vault as one from before there was an index: rows, and nothing about an index.
void forget_index(const Lab& lab) {
  const auto core = lab.core();
  vault::UnitOfWork work = REQUIRE_OK(vault::UnitOfWork::begin(*core));
  for (const auto& generation : work.db().index->generations) {
    for (;;) {
      const Bytes from = model::first_index_key(generation.slot);
      const auto item = REQUIRE_OK(work.txn().seek(store::Table::kIndex, from));
      if (!item || model::slot_of_index_key(item->key) != generation.slot) break;
      const Bytes key(item->key.begin(), item->key.end());
      REQUIRE_OK(work.txn().erase(store::Table::kIndex, key));
    }
  }
  work.db().index.reset();
  Bytes from = {3};
  for (;;) {
    const auto item = REQUIRE_OK(work.txn().seek(store::Table::kTree, from));
    if (!item) break;
    const Bytes key(item->key.begin(), item->key.end());
    REQUIRE_OK(work.txn().erase(store::Table::kTree, key));
  }
  REQUIRE_OK(work.commit_unseen());
}

DoctorReport examined(const Lab& lab, bool deep) {
  DoctorOptions options;
  options.deep = deep;
  return REQUIRE_OK(examine(lab.vault(), lab.owner.identity(), lab.options(true), options));
}

/// Every row of the table `index`, and how to put one.
struct Table {
  const Lab& lab;
  std::vector<std::pair<Bytes, Bytes>> rows() const {
    const auto core = lab.core();
    const auto txn = REQUIRE_OK(core->store().begin_read());
    std::vector<std::pair<Bytes, Bytes>> out;
    REQUIRE_OK(txn->scan(store::Table::kIndex, {}, [&](const store::Item& item) {
      out.emplace_back(Bytes(item.key.begin(), item.key.end()), Bytes(item.value.begin(), item.value.end()));
      return true;
    }));
    return out;
  }
  void change(const std::function<Result<void>(store::WriteTxn&)>& how) const {
    const auto core = lab.core();
    const auto txn = REQUIRE_OK(core->store().begin_write());
    REQUIRE_OK(how(*txn));
    REQUIRE_OK(txn->commit());
  }
};

TEST_CASE("tamper-evident: doctor tells of every posting that was flipped, swapped, dropped, put in or put back") {
  const Lab lab;
  const Table table{lab};
  std::vector<std::pair<Bytes, Bytes>> old;
  {
    Session session = lab.open();
    const RecordId id = add(session, {{"full_name", "Tran Mai"}, {"phone", "0901"}, {"born", "1990-05-02"}});
    (void)add(session, {{"full_name", "Le Lan"}});
    session.close();
    old = table.rows();
    Session again = lab.open();
    update(again, id, {{"full_name", "Tran Hoa"}, {"phone", ""}});
  }
  for (const Finding& f : examined(lab, true).findings) UNSCOPED_INFO(f.where << ": " << f.what);
  CHECK(examined(lab, false).ok);
  CHECK(examined(lab, true).ok);
  const auto rows = table.rows();
  REQUIRE(rows.size() == 2 * 8 + 2 * 4);
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const auto& [key, value] = rows[i];
    CAPTURE(i);
    Bytes bad = value;
    bad[i % bad.size()] ^= 1U;
    table.change([&](store::WriteTxn& txn) { return txn.put(store::Table::kIndex, key, bad); });
    CHECK_FALSE(examined(lab, false).ok);
    table.change(
        [&](store::WriteTxn& txn) { return txn.put(store::Table::kIndex, key, rows[(i + 1) % rows.size()].second); });
    CHECK_FALSE(examined(lab, false).ok);
    table.change([&](store::WriteTxn& txn) -> Result<void> {
      CASEVAULT_TRY([[maybe_unused]] const bool there, txn.erase(store::Table::kIndex, key));
      return {};
    });
    CHECK_FALSE(examined(lab, false).ok);
    // The count is kept by a row that is nobody's.
    Bytes other = key;
    other.back() ^= 1U;
    table.change([&](store::WriteTxn& txn) { return txn.put(store::Table::kIndex, other, value); });
    CHECK_FALSE(examined(lab, false).ok);
    table.change([&](store::WriteTxn& txn) -> Result<void> {
      CASEVAULT_TRY([[maybe_unused]] const bool there, txn.erase(store::Table::kIndex, other));
      return txn.put(store::Table::kIndex, key, value);
    });
  }
  CHECK(examined(lab, true).ok);
  int put_back = 0;
  for (const auto& [key, value] : old) {
    const auto now = std::ranges::find(rows, key, &std::pair<Bytes, Bytes>::first);
    REQUIRE(now != rows.end());
    if (now->second == value) continue;
    ++put_back;
    table.change([&](store::WriteTxn& txn) { return txn.put(store::Table::kIndex, key, value); });
    CHECK_FALSE(examined(lab, true).ok);
    table.change([&](store::WriteTxn& txn) { return txn.put(store::Table::kIndex, key, now->second); });
  }
  CHECK(put_back == 4);  // three words of the name, and the phone
  Session session = lab.open();
  require_sound(session);
}

TEST_CASE("rotatable: a new index is built beside the old one, which is searched until the new one takes its place") {
  const Lab lab;
  Session session = lab.open();
  Rows rows(3000, [](std::uint64_t row) -> Rows::Values {
    return {{"full_name", "Nguoi " + std::to_string(row)}, {"phone", "09" + std::to_string(row)}, {"born", "1990"}};
  });
  const ImportReport report = REQUIRE_OK(session.import_rows("person", rows, {false, false, true, {}, {}}));
  REQUIRE_OK(session.rotate("identity"));
  REQUIRE_OK(session.reencrypt({}));
  REQUIRE_OK(session.rotate("identity"));
  ReencryptOptions options;
  options.index = true;
  std::uint64_t calls = 0;
  RecordId later;
  options.progress = [&](const Progress&) {
    // Writers go on: one record that is in the new index already, one that is not, and a new one.
    if (++calls == 2) {
      update(session, report.ids[0], {{"full_name", "Doi Ten"}});
      update(session, report.ids[2999], {{"full_name", "Doi Ten"}});
      later = add(session, {{"full_name", "Doi Ten"}});
    }
    CHECK(find(session, {{"full_name", "nguoi 1500"}}).count == 1);
    return true;
  };
  const Reencryption done = REQUIRE_OK(session.reencrypt(options));
  CHECK(done.records >= 3 * 3000);
  CHECK(calls > 2);
  CHECK(find(session, {{"full_name", "doi ten"}}).ids ==
        Ids{report.ids[0].to_string(), report.ids[2999].to_string(), later.to_string()});
  CHECK(find(session, {{"full_name", "nguoi 1"}}).ids.empty());
  CHECK(find(session, {{"full_name", "nguoi 1500"}, {"born", "1990"}, {"phone", "091500"}}).count == 1);
  require_sound(session);
  session.close();
  std::uint64_t rows_left = 0;
  for (const auto& generation : generations(lab)) {
    CHECK_FALSE(generation.built.has_value());
    CHECK(generation.epoch == (generation.compartment == 1 ? 3 : 1));
    rows_left += generation.postings;
  }
  CHECK(index_rows(lab) == rows_left);  // nothing of the old ones
  CHECK(examined(lab, true).ok);
}

TEST_CASE("rotatable: an index that is stopped half-way is gone on with, and begun anew when the epoch changed") {
  const Lab lab;
  Session session = lab.open();
  Rows rows(3000);
  REQUIRE_OK(session.import_rows("person", rows));
  ReencryptOptions stop;
  stop.index = true;
  stop.progress = [](const Progress&) { return false; };
  for (int i = 0; i < 2; ++i) {
    CHECK_FALSE(REQUIRE_OK(session.reencrypt(stop)).finished);
    CHECK(find(session, {{"full_name", "person 77"}}).count == 1);
  }
  REQUIRE_OK(session.rotate("identity"));
  CHECK_FALSE(REQUIRE_OK(session.reencrypt(stop)).finished);
  (void)add(session, {{"full_name", "person 77"}});
  REQUIRE_OK(session.reencrypt({}));
  CHECK(REQUIRE_OK(session.reencrypt({})).finished);
  CHECK(find(session, {{"full_name", "person 77"}}).count == 2);
  CHECK(find(session, {{"full_name", "person 2999"}}).count == 1);
  session.close();
  CHECK(generations(lab).size() == 3);
  CHECK(examined(lab, true).ok);
}

TEST_CASE("rotatable: an epoch that an index hangs on is counted and not destroyed") {
  const Lab lab;
  Session session = lab.open();
  const RecordId id = add(session, {{"full_name", "Tran Mai"}});
  REQUIRE_OK(session.rotate("identity"));
  update(session, id, {{"full_name", "Tran Hoa"}});  // the cell is under the new epoch now, the index is not
  const Census census = REQUIRE_OK(session.census());
  CHECK(census.old_cells == 0);
  CHECK(census.old_indexes == 1);
  CHECK_FALSE(census.entry.has_value());
  REQUIRE_ERROR(ErrorCode::kRefused, session.destroy_epoch("identity", 1));
  CHECK(REQUIRE_OK(session.reencrypt({})).finished);
  CHECK(REQUIRE_OK(session.census()).old_indexes == 0);
  REQUIRE_OK(session.destroy_epoch("identity", 1));
  CHECK(find(session, {{"full_name", "tran hoa"}}).ids == Ids{id.to_string()});
  require_sound(session);
}

TEST_CASE("rotatable: the index of a vault that was made without one is built, and a search says how") {
  const Lab lab;
  RecordId id;
  {
    Session session = lab.open();
    id = add(session, {{"full_name", "Tran Mai"}, {"phone", "0901"}});
  }
  forget_index(lab);
  CHECK(examined(lab, true).ok);
  Session session = lab.open();
  (void)add(session, {{"full_name", "Tran Mai"}});
  const auto none = try_find(session, {{"full_name", "tran mai"}});
  REQUIRE_ERROR(ErrorCode::kNotFound, none);
  CHECK(none.error().message.find("key reencrypt --index") != std::string::npos);
  ReencryptOptions options;
  options.compartment = "identity";
  options.index = true;
  CHECK(REQUIRE_OK(session.reencrypt(options)).finished);
  CHECK(find(session, {{"full_name", "tran mai"}}).count == 2);
  // What was not built is not begun by a writer, who would leave out all that is there.
  (void)add(session, {{"full_name", "Le Lan"}, {"phone", "0901"}});
  REQUIRE_ERROR(ErrorCode::kNotFound, try_find(session, {{"phone", "0901"}}));
  options.compartment.clear();
  CHECK(REQUIRE_OK(session.reencrypt(options)).finished);
  CHECK(find(session, {{"phone", "0901"}}).count == 2);
  CHECK(find(session, {{"full_name", "le lan"}}).count == 1);
  session.close();
  CHECK(examined(lab, true).ok);
}

TEST_CASE("rotatable: an index by other rules is not searched or written to, is told, and is built anew") {
  const Lab lab;
  {
    Session session = lab.open();
    (void)add(session, {{"full_name", "Tran Mai"}, {"phone", "0901234567"}});
  }
  {
    const auto core = lab.core();
    vault::UnitOfWork work = REQUIRE_OK(vault::UnitOfWork::begin(*core));
    for (auto& generation : work.db().index->generations) generation.rules[0] ^= 1U;
    REQUIRE_OK(work.commit_unseen());
  }
  const auto before = generations(lab);
  {
    const DoctorReport report = examined(lab, true);
    const auto told = [](const Finding& each) { return each.what.find("other rules") != std::string::npos; };
    CHECK(std::ranges::any_of(report.findings, told));
  }
  std::optional<Session> session = lab.open();
  const auto none = try_find(*session, {{"full_name", "tran mai"}});
  REQUIRE_ERROR(ErrorCode::kNotFound, none);
  CHECK(none.error().message.find("key reencrypt --index") != std::string::npos);
  const std::vector<FieldInput> same = {{"full_name", "Tran Mai"}, {"phone", "0901234567"}};
  const Written second = REQUIRE_OK(session->add("person", same));
  const auto not_compared = [](const std::string& warning) { return warning.find("not compared") == 0; };
  CHECK(std::ranges::count_if(second.warnings, not_compared) == 2);
  const std::vector<FieldInput> other = {{"full_name", "Le Lan"}};
  REQUIRE_OK(session->update(second.id, other));
  session.reset();
  for (std::size_t i = 0; const auto& each : generations(lab)) {
    CHECK(each.slot == before[i].slot);
    CHECK(each.postings == before[i++].postings);
  }
  session = lab.open();
  ReencryptOptions options;
  options.index = true;
  CHECK(REQUIRE_OK(session->reencrypt(options)).finished);
  CHECK(find(*session, {{"full_name", "tran mai"}}).count == 1);
  CHECK(find(*session, {{"full_name", "le lan"}}).count == 1);
  CHECK(find(*session, {{"phone", "0901234567"}}).count == 2);
  const Written third = REQUIRE_OK(session->add("person", same));
  CHECK(std::ranges::none_of(third.warnings, not_compared));
  session.reset();
  CHECK(examined(lab, true).ok);
}

TEST_CASE("erasable: the key of an index that was replaced is gone, also for an older copy of the database") {
  const Lab lab;
  {
    Session session = lab.open();
    (void)add(session, {{"full_name", "Tran Mai"}});
    session.close();
  }
  const auto before = generations(lab);
  std::map<Bytes, Bytes> tree;
  {
    const auto core = lab.core();
    const auto txn = REQUIRE_OK(core->store().begin_read());
    REQUIRE_OK(txn->scan(store::Table::kTree, {}, [&](const store::Item& item) {
      tree.emplace(Bytes(item.key.begin(), item.key.end()), Bytes(item.value.begin(), item.value.end()));
      return true;
    }));
  }
  {
    Session session = lab.open();
    ReencryptOptions options;
    options.index = true;
    CHECK(REQUIRE_OK(session.reencrypt(options)).finished);
  }
  // Whoever has the old rows of the tree, and every key that exists now.
  const auto core = lab.core();
  const vault::Snapshot snapshot = REQUIRE_OK(core->snapshot());
  const keys::KeyTree now(core->tag(), core->random());
  for (const auto& generation : before) {
    CHECK_FALSE(now.get_slot(*snapshot.txn, *snapshot.db.root_key, keys::TreeKind::kIndexGenerations, generation.slot)
                    .has_value());
    const auto store = store::make_memory_store();
    {
      const auto txn = REQUIRE_OK(store->begin_write());
      for (const auto& [key, value] : tree) REQUIRE_OK(txn->put(store::Table::kTree, key, value));
      REQUIRE_OK(txn->commit());
    }
    const auto old = REQUIRE_OK(store->begin_read());
    CHECK_FALSE(
        now.get_slot(*old, *snapshot.db.root_key, keys::TreeKind::kIndexGenerations, generation.slot).has_value());
  }
}

TEST_CASE("bound: a search that comes upon an altered posting, or one that was put back, fails and is logged") {
  const Lab lab;
  const Table table{lab};
  {
    Session session = lab.open();
    (void)add(session, {{"full_name", "Tran Mai"}});
  }
  const auto before = table.rows();
  RecordId id;
  {
    Session session = lab.open();
    const auto list = REQUIRE_OK(session.list("person", 1));
    id = list.at(0).id;
    update(session, id, {{"full_name", "Le Lan"}});
  }
  table.change([&](store::WriteTxn& txn) -> Result<void> {
    for (const auto& [key, value] : before) CASEVAULT_CHECK(txn.put(store::Table::kIndex, key, value));
    return {};
  });
  Session session = lab.open();
  const std::uint64_t size = REQUIRE_OK(session.status()).log_size;
  REQUIRE_ERROR(ErrorCode::kIntegrity, try_find(session, {{"full_name", "tran mai"}}));
  CHECK(entries(session).at(size).outcome == audit::Outcome::kFailed);
  CHECK(find(session, {{"full_name", "le lan"}}).ids == Ids{id.to_string()});
  session.close();
  table.change([&](store::WriteTxn& txn) -> Result<void> {
    for (const auto& [key, value] : before) {
      Bytes bad = value;
      bad[20] ^= 1U;
      CASEVAULT_CHECK(txn.put(store::Table::kIndex, key, bad));
    }
    return {};
  });
  Session again = lab.open();
  REQUIRE_ERROR(ErrorCode::kIntegrity, try_find(again, {{"full_name", "tran mai"}}));
}

/// Flips a bit in the sealed row of the record.
void damage(const Lab& lab, const RecordId& id) {
  const auto core = lab.core();
  const auto key = vault::row_key(core->row_of(id).value());
  const auto txn = REQUIRE_OK(core->store().begin_write());
  const auto value = REQUIRE_OK(txn->get(store::Table::kRows, key));
  Bytes bad(value->begin(), value->end());
  bad[bad.size() / 4] ^= 1U;
  REQUIRE_OK(txn->put(store::Table::kRows, key, bad));
  REQUIRE_OK(txn->commit());
}

TEST_CASE(
    "robust: a damaged record keeps nobody from adding, importing, comparing or building the index of the others") {
  const Lab lab;
  const Terms kMai = {{"full_name", "Tran Mai"}, {"born", "1990"}, {"phone", "0901222333"}};
  RecordId bad;
  RecordId good;
  {
    Session session = lab.open();
    bad = add(session, kMai);
    good = add(session, kMai);
  }
  damage(lab, bad);
  Session session = lab.open();
  std::vector<FieldInput> fields;
  for (const auto& [name, text] : kMai) fields.push_back({name, text});
  const Written written = REQUIRE_OK(session.add("person", fields));
  REQUIRE(written.warnings.size() == 1);
  CHECK(written.warnings[0].find(good.to_string()) != std::string::npos);
  Rows rows(1, [&](std::uint64_t) { return Rows::Values(kMai.begin(), kMai.end()); });
  CHECK(REQUIRE_OK(session.import_rows("person", rows)).warnings.size() == 2);

  const auto found = try_find(session, {{"full_name", "tran mai"}});
  REQUIRE_ERROR(ErrorCode::kIntegrity, found);
  CHECK(found.error().message.find("record " + bad.to_string()) == 0);
  DuplicatesRequest request;
  request.type = "person";
  request.purpose = "care";
  const DuplicatesResult compared = REQUIRE_OK(session.duplicates(request, [](const DuplicatePair&) { return true; }));
  CHECK(compared.records == 3);
  CHECK(compared.pairs == 3);
  CHECK(compared.damaged == 1);

  ReencryptOptions options;
  options.index = true;
  const Reencryption done = REQUIRE_OK(session.reencrypt(options));
  CHECK(std::ranges::any_of(done.failed, [&](const std::string& each) { return each.find(bad.to_string()) == 7; }));
  CHECK(find(session, {{"full_name", "tran mai"}}).count == 3);  // the damaged one has no words any more
}

TEST_CASE(
    "compartmented: a warning names another record only to whom the policy admits what the two share, and logs it") {
  const std::string text = schema_of_own_units();
  const Lab lab{std::string_view(text)};
  std::optional<Session> session = lab.open();
  const std::vector<std::string> all = {"identity", "contact", "statistics"};
  const Person north = lab.add(*session, "north", "officer", all, false, "north");
  const Person south = lab.add(*session, "south", "officer", all, false, "south");
  session.reset();
  const std::vector<FieldInput> mai = {{"full_name", "Tran Mai"}, {"phone", "0901222333"}};
  session = lab.open(north);
  const RecordId theirs = REQUIRE_OK(session->add("person", mai)).id;
  session.reset();
  session = lab.open(south);
  const auto is_silent = [&](const std::string& line) {
    CHECK(line.find(theirs.to_string()) == std::string::npos);
    CHECK(line.find("a record with the same phone may be there already") != std::string::npos);
  };
  const Written first = REQUIRE_OK(session->add("person", mai));
  REQUIRE(first.warnings.size() == 1);
  is_silent(first.warnings[0]);
  Rows rows(1, [&](std::uint64_t) -> Rows::Values { return {{"full_name", "Le Lan"}, {"phone", "0901222333"}}; });
  const ImportReport report = REQUIRE_OK(session->import_rows("person", rows));
  REQUIRE(report.warnings.size() == 2);
  is_silent(report.warnings[0]);
  CHECK(report.warnings[1].find(first.id.to_string()) != std::string::npos);
  const Written third = REQUIRE_OK(session->add("person", mai));
  CHECK(third.warnings.size() == 3);  // two of the own unit, and one that is not named
  session.reset();

  session = lab.open();
  const auto concern = [&](const RecordId& id) {
    std::vector<std::uint64_t> out;
    LogQuery about;
    about.subject = id;
    REQUIRE_OK(session->read_log(about, [&](const LogEntry& entry) {
      if (entry.action == audit::Action::kAdd || entry.action == audit::Action::kImport) out.push_back(entry.entry);
      return true;
    }));
    return out;
  };
  CHECK(concern(first.id) == std::vector{first.entry, report.entry.value(), third.entry});
  CHECK(concern(theirs).size() == 1);
  require_sound(*session);
}

TEST_CASE("robust: namesakes, and a number that many share, do not hide the record of the same person") {
  const Lab lab;
  Session session = lab.open();
  Rows rows(60, [](std::uint64_t row) -> Rows::Values {
    return {{"full_name", "Tran Mai"}, {"born", std::to_string(1900 + row)}, {"phone", "0901222333"}};
  });
  const ImportReport report = REQUIRE_OK(session.import_rows("person", rows, {false, false, true, {}, {}}));
  const FieldInput last[] = {{"full_name", "Trần Mai"}, {"born", "1960-02-03"}, {"phone", "0901222333"}};
  const Written written = REQUIRE_OK(session.add("person", last));
  REQUIRE(written.warnings.size() == 1);
  CHECK(written.warnings[0].find(report.ids.at(59).to_string()) != std::string::npos);
}

TEST_CASE("robust: a search says what may have been meant, and why a text is found as it stands alone") {
  const Lab lab;
  Session session = lab.open();
  const auto ask = [&](const std::string& field, const std::string& text, bool loose = false) {
    FindRequest request;
    request.type = "person";
    request.purpose = "care";
    request.loose = loose;
    request.searches.push_back({{field, text}});
    return REQUIRE_OK(session.find(request)).answers.at(0);
  };
  const RecordId two = add(session, {{"full_name", "Tran Mai; Le Lan"}, {"born", "1990-02"}});
  (void)add(session, {{"full_name", "Tran Mai"}});
  const auto typed = ask("full_name", "Nguyeenx Thij Hoaf").suggestions;
  REQUIRE(typed.size() == 1);
  CHECK(typed[0].find("Nguyễn Thị Hòa") != std::string::npos);
  const auto phone = ask("phone", "0912").suggestions;
  REQUIRE(phone.size() == 1);
  CHECK(phone[0].find("0912") == std::string::npos);
  CHECK(ask("full_name", "tran mai").suggestions.empty());
  CHECK(ask("full_name", "Le Lan; Tran Mai").matches.at(0).id == two);
  CHECK(ask("full_name", "Tran Mai; Le Lan").count == 1);
  CHECK(ask("full_name", "Tran Mai; Vo Tu").count == 0);
  CHECK(ask("born", "1990-02-10").count == 0);
  CHECK(ask("born", "1990-02-10", true).count == 1);
  const auto open_end = try_find(session, {{"born", "1990.."}});
  REQUIRE_ERROR(ErrorCode::kBadInput, open_end);
  CHECK(open_end.error().message.find("both ends") != std::string::npos);

  const FieldInput odd[] = {{"full_name", "Vo Tu"}, {"phone", "0912"}};
  const Written written = REQUIRE_OK(session.add("person", odd));
  REQUIRE(written.warnings.size() == 1);
  CHECK(written.warnings[0].find("field phone: found only by exactly this text") == 0);
  CHECK(written.warnings[0].find("0912") == std::string::npos);
  CHECK(REQUIRE_OK(session.update(written.id, std::span(odd).subspan(1))).warnings == written.warnings);

  FindRequest many;
  many.type = "person";
  many.purpose = "care";
  many.searches.assign(1001, {{"full_name", "tran mai"}});
  REQUIRE_ERROR(ErrorCode::kUsage, session.find(many));
}

}  // namespace
}  // namespace casevault::test
