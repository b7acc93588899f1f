// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <set>

#include "lab.hpp"
#include "vault/merge.hpp"

namespace casevault::test {
namespace {

using Terms = std::vector<std::pair<std::string, std::string>>;

RecordId add(Session& session, const Terms& values) {
  std::vector<FieldInput> fields;
  for (const auto& [name, text] : values) fields.push_back({name, text});
  return REQUIRE_OK(session.add("person", fields)).id;
}

struct Compared {
  DuplicatesResult result;
  std::vector<std::set<std::string>> pairs;
  std::vector<std::string> because;
};

Result<Compared> try_compare(Session& session, double least = kDefaultDuplicateScore,
                             const std::string& purpose = "care") {
  Compared out;
  DuplicatesRequest request;
  request.type = "person";
  request.purpose = purpose;
  request.min_score = least;
  CASEVAULT_TRY(out.result, session.duplicates(request, [&](const DuplicatePair& pair) {
    out.pairs.push_back({pair.a.to_string(), pair.b.to_string()});
    for (const std::string_view each : pair.because) out.because.emplace_back(each);
    return true;
  }));
  return out;
}
Compared compare(Session& session) { return REQUIRE_OK(try_compare(session)); }

std::set<std::string> pair_of(const RecordId& a, const RecordId& b) { return {a.to_string(), b.to_string()}; }

const Terms kHoa = {
    {"full_name", "Nguyễn Thị Hòa"}, {"born", "1999-03-14"}, {"sex", "female"}, {"phone", "0912 345 678"}};
const Terms kHoaAgain = {
    {"full_name", "NGUYEN THI HOA"}, {"born", "1999"}, {"sex", "female"}, {"phone", "+84912345678"}};

/// Some people among whom nobody is twice.
void add_strangers(Session& session) {
  (void)add(session, {{"full_name", "Lò Văn Páo"}, {"born", "1987-01-02"}, {"sex", "male"}});
  (void)add(session, {{"full_name", "Vàng A Dế"}, {"born", "1979-11-20"}, {"sex", "male"}, {"phone", "0988 111 222"}});
  (void)add(session, {{"full_name", "Trần Thị Mai"}, {"born", "2001-07-07"}, {"sex", "female"}});
}

TEST_CASE("traced: pairs that may be one person leave after an entry that names all records which were compared") {
  const Lab lab;
  Session session = lab.open();
  const RecordId a = add(session, kHoa);
  add_strangers(session);
  const RecordId b = add(session, kHoaAgain);
  std::uint64_t size_at_first_pair = 0;
  DuplicatesRequest request;
  request.type = "person";
  request.purpose = "care";
  const std::uint64_t before = REQUIRE_OK(session.status()).log_size;
  std::size_t calls = 0;
  const DuplicatesResult result = REQUIRE_OK(session.duplicates(request, [&](const DuplicatePair& pair) {
    ++calls;
    size_at_first_pair = REQUIRE_OK(session.status()).log_size;
    CHECK(std::set{pair.a.to_string(), pair.b.to_string()} == pair_of(a, b));
    CHECK(pair.score > 0.9);
    CHECK(std::ranges::find(pair.because, std::string_view("same telephone")) != pair.because.end());
    return true;
  }));
  CHECK(calls == 1);
  CHECK(result.pairs == 1);
  CHECK(result.records == 5);
  CHECK(result.basis == "duty");
  CHECK(result.unheard.empty());
  CHECK(size_at_first_pair == before + 1);
  const LogEntry entry = entries(session, true).at(result.entry);
  CHECK(entry.action == audit::Action::kDuplicates);
  CHECK(entry.count == 5);
  CHECK(entry.purpose == "care");
  CHECK(entry.details.find(a.to_string()) != std::string::npos);
  CHECK(entry.details.find("Hoa") == std::string::npos);
  require_sound(session);
}

TEST_CASE("traced: a comparison that the policy does not admit is refused and logged, and tells no pair") {
  const Lab lab;
  Session session = lab.open();
  (void)add(session, kHoa);
  (void)add(session, kHoaAgain);
  for (const std::string purpose : {"count", "none", "press"}) {
    const std::uint64_t before = REQUIRE_OK(session.status()).log_size;
    REQUIRE_ERROR(ErrorCode::kRefused, try_compare(session, 0, purpose));
    const LogEntry entry = entries(session).at(before);
    CHECK(entry.action == audit::Action::kDuplicates);
    CHECK(entry.outcome == audit::Outcome::kDenied);
  }
  REQUIRE_ERROR(ErrorCode::kUsage, try_compare(session, 0, ""));
  REQUIRE_ERROR(ErrorCode::kUsage, try_compare(session, 1.5));
  REQUIRE_ERROR(ErrorCode::kUsage, try_compare(session, std::numeric_limits<double>::quiet_NaN()));
  DuplicatesRequest visit;
  visit.type = "visit";
  visit.purpose = "care";
  REQUIRE_ERROR(ErrorCode::kNotFound, session.duplicates(visit, [](const DuplicatePair&) { return true; }));
}

TEST_CASE("compartmented: records are compared by what the one who asks may read, and what was left out is told") {
  const Lab lab;
  std::optional<Session> session = lab.open();
  (void)add(*session, {{"full_name", "Nguyễn Thị Hòa"}, {"phone", "0912345678"}});
  (void)add(*session, {{"full_name", "Lò Văn Páo"}, {"phone", "0912345678"}});
  const auto by_phone = REQUIRE_OK(try_compare(*session, 0));
  REQUIRE(by_phone.pairs.size() == 1);
  const Person nurse = lab.add(*session, "nurse", "officer", {"identity"});
  const Person clerk = lab.add(*session, "clerk", "officer", {"contact", "statistics"});
  session.reset();
  std::optional<Session> hers = lab.open(nurse);
  const Compared seen = REQUIRE_OK(try_compare(*hers, 0));
  CHECK(seen.pairs.empty());
  CHECK(seen.result.unheard == std::vector<std::string>{"sex", "phone", "born"});
  hers.reset();
  std::optional<Session> his = lab.open(clerk);
  const std::uint64_t before = REQUIRE_OK(his->status()).log_size;
  REQUIRE_ERROR(ErrorCode::kNoGrant, try_compare(*his, 0));
  CHECK(entries(*his).at(before).outcome == audit::Outcome::kDenied);
}

TEST_CASE("compartmented: records of units that the policy keeps from somebody make no pair") {
  const std::string text = schema_of_own_units();
  const Lab lab{std::string_view(text)};
  std::optional<Session> session = lab.open();
  const std::vector<std::string> all = {"identity", "contact", "statistics"};
  const Person north = lab.add(*session, "north", "officer", all, false, "north");
  const Person south = lab.add(*session, "south", "officer", all, false, "south");
  session.reset();
  std::optional<Session> theirs = lab.open(north);
  (void)add(*theirs, kHoa);
  theirs.reset();
  theirs = lab.open(south);
  const RecordId a = add(*theirs, kHoaAgain);
  const RecordId b = add(*theirs, kHoa);
  const Compared seen = compare(*theirs);
  CHECK(seen.result.records == 2);
  CHECK(seen.pairs == std::vector{pair_of(a, b)});
}

TEST_CASE("robust: merged records stay, are one person, make no pair, and can be parted again") {
  const Lab lab;
  std::optional<Session> session = lab.open();
  const RecordId a = add(*session, kHoa);
  const RecordId b = add(*session, kHoaAgain);
  const RecordId c = add(*session, kHoa);
  add_strangers(*session);
  CHECK(compare(*session).pairs.size() == 3);
  const Merged merged = REQUIRE_OK(session->merge(b, a, "both remember the day"));
  CHECK(merged.person == std::vector{a, b});
  CHECK(REQUIRE_OK(session->merge(b, c, "the same phone")).person == std::vector{a, b, c});
  CHECK(compare(*session).pairs.empty());
  CHECK(name_of(*session, a) == "Nguyễn Thị Hòa");
  CHECK(name_of(*session, b) == "NGUYEN THI HOA");
  session.reset();
  session = lab.open();
  CHECK(REQUIRE_OK(session->same_person(c)) == std::vector{a, b, c});
  FindRequest request;
  request.type = "person";
  request.searches.push_back({{"full_name", "NGUYEN THI HOA"}});
  request.purpose = "care";
  request.limit = 1;
  const FindResult found = REQUIRE_OK(session->find(request));
  CHECK(found.answers.at(0).matches.at(0).same_person == std::vector{a, c});

  REQUIRE_ERROR(ErrorCode::kConflict, session->merge(a, b, "again"));
  REQUIRE_ERROR(ErrorCode::kConflict, session->merge(a, c, "already, through b"));
  REQUIRE_ERROR(ErrorCode::kConflict, session->merge(a, c, "not directly", true));
  CHECK(REQUIRE_OK(session->merge(a, b, "mistaken", true)).person == std::vector{a});
  REQUIRE_ERROR(ErrorCode::kConflict, session->merge(a, b, "twice", true));
  CHECK(REQUIRE_OK(session->same_person(b)) == std::vector{b, c});
  CHECK(compare(*session).pairs.size() == 2);
  std::vector<std::string> actions;
  for (const VersionInfo& each : REQUIRE_OK(session->history(b))) {
    actions.push_back(each.action);
    CHECK(each.version == 1);
    CHECK(each.actor == "owner");
  }
  CHECK(actions == std::vector<std::string>{"add", "merge", "merge", "unmerge"});
  const LogEntry entry = entries(*session, true).at(merged.entry);
  CHECK(entry.count == 2);
  CHECK(entry.details.find("both remember the day") != std::string::npos);
  require_sound(*session);
}

TEST_CASE("robust: what cannot be merged is refused with its cause, and nothing is written") {
  const Lab lab;
  Session session = lab.open();
  const RecordId a = add(session, kHoa);
  const RecordId b = add(session, kHoaAgain);
  const std::vector<FieldInput> visit_fields = {{"place", "Clinic 2"}};
  const RecordId visit = REQUIRE_OK(session.add("visit", visit_fields)).id;
  const std::uint64_t before = REQUIRE_OK(session.status()).log_size;
  REQUIRE_ERROR(ErrorCode::kBadInput, session.merge(a, a, "itself"));
  REQUIRE_ERROR(ErrorCode::kBadInput, session.merge(a, visit, "two types"));
  REQUIRE_ERROR(ErrorCode::kUsage, session.merge(a, b, ""));
  REQUIRE_ERROR(ErrorCode::kBadInput, session.merge(a, b, "\xFF"));
  REQUIRE_ERROR(ErrorCode::kBadInput, session.merge(a, b, std::string(1025, 'x')));
  REQUIRE_ERROR(ErrorCode::kNotFound, session.merge(a, RecordId(), "nobody"));
  CHECK(REQUIRE_OK(session.status()).log_size == before);
}

TEST_CASE("compartmented: who writes no records, or does not hold names, merges nothing, and that is logged") {
  const Lab lab;
  std::optional<Session> session = lab.open();
  const RecordId a = add(*session, kHoa);
  const RecordId b = add(*session, kHoaAgain);
  const std::pair<Person, ErrorCode> people[] = {
      {lab.add(*session, "counter", "analyst", {"identity", "statistics"}), ErrorCode::kRefused},
      {lab.add(*session, "watcher", "auditor", {"identity"}), ErrorCode::kRefused},
      {lab.add(*session, "clerk", "officer", {"contact"}), ErrorCode::kNoGrant}};
  for (const auto& [who, code] : people) {
    session.reset();
    session = lab.open(who);
    const std::uint64_t before = REQUIRE_OK(session->status()).log_size;
    REQUIRE_ERROR(code, session->merge(a, b, "because"));
    const LogEntry entry = entries(*session).at(before);
    CHECK(entry.action == audit::Action::kMerge);
    CHECK(entry.outcome == audit::Outcome::kDenied);
    CHECK(REQUIRE_OK(session->same_person(a)) == std::vector{a});
  }
}

TEST_CASE("tamper-evident: a merge is a fact of the log: a database from before it opens no more") {
  const Lab lab;
  std::optional<Session> session = lab.open();
  const RecordId a = add(*session, kHoa);
  const RecordId b = add(*session, kHoaAgain);
  session.reset();
  lab.save("before");
  session = lab.open();
  REQUIRE_OK(session->merge(a, b, "the same person"));
  (void)add(*session, {{"full_name", "Later"}});
  session.reset();
  std::filesystem::copy_file(lab.folder / "before" / "data.mdb", lab.data(),
                             std::filesystem::copy_options::overwrite_existing);
  REQUIRE_ERROR(ErrorCode::kRolledBack, lab.try_open(lab.owner));
}

}  // namespace
}  // namespace casevault::test
