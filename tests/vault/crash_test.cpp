// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <chrono>

#include "killed_child.hpp"
#include "lab.hpp"
#include "log_editor.hpp"
#include "support/fixed_environment.hpp"
#include "vault/unit_of_work.hpp"

/// Processes that are killed at any moment, and processes that start at the same one.
namespace casevault::test {
namespace {

/// One import that was told to its caller.
struct Acknowledged {
  std::uint64_t import = 0;
  std::uint64_t entry = 0;
};

Rows rows_of_import(std::uint64_t import, std::uint64_t rows) {
  return Rows(rows, [import](std::uint64_t row) -> Rows::Values {
    return {{"full_name", std::to_string(import) + "/" + std::to_string(row)}, {"phone", std::to_string(row)}};
  });
}

/// Imports again and again, telling of each, until somebody ends it or `times` are done.
int import_endlessly(const Lab& lab, std::uint64_t first, std::uint64_t rows, std::uint64_t times,
                     const Channel<Acknowledged>& channel) {
  auto session = Session::open(lab.vault(), lab.owner.identity(), lab.options());
  if (!session) return 1;
  for (std::uint64_t import = first; import < first + times; ++import) {
    Rows source = rows_of_import(import, rows);
    const auto report = session->import_rows("person", source);
    if (!report || report->imported != rows || !report->entry) return 2;
    if (!channel.tell({import, *report->entry})) return 3;
  }
  return 0;
}

/// Every import is there with all its rows or with none, the acknowledged ones are there, and everything verifies.
void require_whole_imports(const Lab& lab, std::uint64_t rows, const std::vector<Acknowledged>& acknowledged) {
  Session session = lab.open();
  require_sound(session);
  std::vector<RecordId> ids;
  for (const RecordInfo& record : REQUIRE_OK(session.list("person", 10'000'000))) ids.push_back(record.id);
  REQUIRE(REQUIRE_OK(session.status()).records.at("person") == ids.size());
  std::map<std::uint64_t, std::uint64_t> next_row;
  if (!ids.empty()) {
    Disclosure disclosure = REQUIRE_OK(session.disclose(request_for(ids, {"full_name", "phone"})));
    for (;;) {
      const Disclosure::Record* record = REQUIRE_OK(disclosure.next());
      if (record == nullptr) break;
      const std::string name(record->values.at(0).value());
      const std::uint64_t import = std::stoull(name);
      const std::string row = std::to_string(++next_row[import]);  // in order, none missing, none twice
      REQUIRE(name == std::to_string(import) + "/" + row);
      REQUIRE(record->values.at(1) == row);
    }
  }
  for (const auto& [import, last] : next_row) REQUIRE(last == rows);
  const std::vector<LogEntry> log = entries(session);
  for (const Acknowledged& each : acknowledged) {
    CAPTURE(each.import, each.entry);
    REQUIRE(next_row.contains(each.import));
    REQUIRE(log.at(each.entry).action == audit::Action::kImport);
    REQUIRE(log.at(each.entry).count == rows);
  }
  const auto imports = static_cast<std::size_t>(std::ranges::count(log, audit::Action::kImport, &LogEntry::action));
  const auto undone = static_cast<std::size_t>(std::ranges::count(log, audit::Action::kNotApplied, &LogEntry::action));
  REQUIRE(imports - undone == next_row.size());
}

/// `kills` children, one after the other, in one vault (a new one every ten, so that it stays small).
void kill_imports(std::uint64_t rows, int kills, std::uint64_t seed) {
  SeededRandom random(seed);
  std::chrono::nanoseconds usual{};
  {
    const Lab lab;
    Channel<Acknowledged> channel;
    const auto start = std::chrono::steady_clock::now();
    REQUIRE(in_child([&] { return import_endlessly(lab, 1, rows, 2, channel); }) == 0);
    usual = std::chrono::steady_clock::now() - start;
    require_whole_imports(lab, rows, channel.all());
  }
  std::optional<Lab> lab;
  std::vector<Acknowledged> acknowledged;
  for (int kill = 0; kill < kills; ++kill) {
    if (kill % 10 == 0) {
      lab.emplace();
      acknowledged.clear();
    }
    const auto delay = std::chrono::nanoseconds(random.below(static_cast<std::uint64_t>(usual.count())) + 1);
    CAPTURE(kill, rows, delay.count());
    Channel<Acknowledged> channel;
    REQUIRE(killed([&] {
      kill_after(delay);
      return import_endlessly(*lab, static_cast<std::uint64_t>(kill) * 1'000'000 + 1, rows, 1'000'000, channel);
    }));
    const std::vector<Acknowledged> told = channel.all();
    acknowledged.insert(acknowledged.end(), told.begin(), told.end());
    require_whole_imports(*lab, rows, acknowledged);
  }
}

constexpr std::uint64_t kOneTransaction = 60;
constexpr std::uint64_t kStaged = 10'001;  // more than one transaction takes

TEST_CASE("durable: imports killed at random moments leave every acknowledged record and no half import") {
  kill_imports(kOneTransaction, 9, 21);
  kill_imports(kStaged, 3, 22);
}
TEST_CASE("durable: 200 imports killed at random moments leave every acknowledged record and no half import",
          "[.long]") {
  kill_imports(kOneTransaction, 150, 23);
  kill_imports(kStaged, 50, 24);
}

TEST_CASE("durable: a certification and a grant killed between any two steps are there whole, or not at all") {
  struct Told {
    bool certified = false;
    bool granted = false;
  };
  const auto work = [](const Lab& lab, const Person& officer, const Channel<Told>& channel) {
    auto session = Session::open(lab.vault(), lab.owner.identity(), lab.options());
    if (!session) return 1;
    PrincipalRequest request;
    request.name = officer.name;
    request.public_string = officer.public_string;
    request.role = "officer";
    request.grants = {"identity"};
    if (!session->add_principal(request) || !channel.tell({true, false})) return 2;
    const std::vector<std::string> contact = {"contact"};
    if (!session->grant(officer.name, contact) || !channel.tell({true, true})) return 3;
    session->close();
    return 0;
  };
  int calls = 1;
  for (int at = 0; at <= calls; ++at) {
    CAPTURE(at, calls);
    const Lab lab;
    RecordId id;
    {
      Session session = lab.open();
      id = add_person(session, "Hoa", "0901").id;
    }
    Person officer = Person::make("officer", lab.folder / "officer.identity");
    officer.pins = lab.owner.pins;
    Channel<Told> channel;
    const int counted = calls_until(at, [&] { return work(lab, officer, channel); });
    if (at == 0) calls = counted;
    const std::vector<Told> told = channel.all();
    {
      Session session = lab.open();
      require_sound(session);
      const auto principals = REQUIRE_OK(session.principals());
      REQUIRE(principals.size() <= 2);
      if (!told.empty()) REQUIRE(principals.size() == 2);
      if (principals.size() == 2) {
        const auto& grants = principals[1].grants;
        REQUIRE((grants == std::vector<std::string>{"identity"} ||
                 grants == std::vector<std::string>{"identity", "contact"}));
        if (told.size() == 2) REQUIRE(grants.size() == 2);
        session.close();
        Session theirs = lab.open(officer);
        REQUIRE(name_of(theirs, id) == "Hoa");
        const auto phone = disclose(theirs, request_for({id}, {"phone"}));
        REQUIRE(phone.has_value() == (grants.size() == 2));
      } else {
        session.close();
        REQUIRE_ERROR(ErrorCode::kNoGrant, lab.try_open(officer));
        session = lab.open();
        // What was not applied is not in the way of doing it again.
        const Person again = lab.add(session, "officer", "officer", {"identity"});
        session.close();
        Session theirs = lab.open(again);
        REQUIRE(name_of(theirs, id) == "Hoa");
      }
    }
    Session session = lab.open();
    require_sound(session);
  }
}

/// A vault whose writer died with a mutation between entry and commit, a staged erasure root and half a batch.
struct Hurt {
  Lab lab;
  RecordId id;

  Hurt() {
    {
      Session session = lab.open();
      id = add_person(session, "Before").id;
    }
    REQUIRE(killed([&] {
      auto core = vault::Core::open(lab.vault(), lab.owner.identity(), lab.options(), base::system_environment());
      if (!core) return 1;
      append_pending(**core);
      auto lock = keys::ErasureRoot::lock((*core)->root_file());
      if (!lock ||
          !lock->stage(*(*core)->root_context(1), 2, crypto::random_key((*core)->random()), (*core)->random())) {
        return 2;
      }
      ::kill(::getpid(), SIGKILL);
      return 3;
    }));
    Bytes log = file_bytes(lab.segment());
    const std::size_t end = used_bytes(log);
    for (std::size_t i = 0; i < 40; ++i) log.at(end + i) = static_cast<std::uint8_t>(i + 1);
    write_bytes(lab.segment(), log);
    lab.save("hurt");
    std::filesystem::copy(lab.state(), lab.folder / "hurt-state");
  }
  void again() const {
    lab.restore("hurt");
    std::filesystem::remove_all(lab.state());
    std::filesystem::copy(lab.folder / "hurt-state", lab.state());
  }
  void require_healed() const {
    {
      Session session = lab.open();
      REQUIRE(name_of(session, id) == "Before");
      REQUIRE(REQUIRE_OK(session.list("person", 10)).size() == 1);
      const auto log = entries(session);
      REQUIRE(std::ranges::count(log, audit::Action::kNotApplied, &LogEntry::action) == 1);
      const VerifyReport report = REQUIRE_OK(session.verify_log());
      REQUIRE(report.ok);
      add_person(session, "After");
      require_sound(session);
    }
    const auto core = lab.core();
    const vault::Snapshot snapshot = REQUIRE_OK(core->snapshot());
    REQUIRE(
        REQUIRE_OK(keys::ErasureRoot::idle(core->root_file(), REQUIRE_OK(core->root_context(1)), snapshot.db.root)));
  }
};

TEST_CASE("durable: recovery that is itself killed between any two steps, twice, is finished by the next opener") {
  const Hurt hurt;
  const auto recover = [&] {
    const auto session = Session::open(hurt.lab.vault(), hurt.lab.owner.identity(), hurt.lab.options());
    return session ? 0 : 1;
  };
  const int calls = calls_until(0, recover);
  REQUIRE(calls > 8);
  hurt.require_healed();
  for (int at = 1; at <= calls; ++at) {
    CAPTURE(at, calls);
    hurt.again();
    calls_until(at, recover);
    // What is left may need fewer steps: then the second comes to its end.
    (void)in_child([&] {
      call_faults().reset();
      call_faults().kill_at = at;
      return recover();
    });
    hurt.require_healed();
  }
}

TEST_CASE("durable: a new log segment whose making is killed between any two steps loses no entry and repeats none") {
  const Lab lab;
  RecordId id;
  std::vector<RecordId> many;
  std::uint64_t size = 0;
  {
    Session session = lab.open();
    id = add_person(session, "Hoa").id;
    Rows rows(64);
    ImportOptions options;
    options.collect_ids = true;
    many = REQUIRE_OK(session.import_rows("person", rows, options)).ids;
    // Up to where the next batch or the one after it starts a new segment.
    while (used_bytes(file_bytes(lab.segment())) < (1U << 20U) - (64U << 10U) - (24U << 10U)) {
      REQUIRE_OK(disclose(session, request_for(many)));
    }
    size = REQUIRE_OK(session.status()).log_size;
  }
  lab.save("full");
  std::filesystem::copy(lab.state(), lab.folder / "full-state");
  const std::filesystem::path second = lab.vault() / "log" / "00000001.log";
  REQUIRE_FALSE(std::filesystem::exists(second));
  Channel<std::uint64_t> unused;
  const auto work = [&](const Channel<std::uint64_t>& channel) {
    auto session = Session::open(lab.vault(), lab.owner.identity(), lab.options());
    if (!session) return 1;
    for (int i = 0; i < 3; ++i) {
      auto disclosure = session->disclose(request_for(many));
      if (!disclosure || !channel.tell(disclosure->entry())) return 2;
    }
    const FieldInput change[] = {{"full_name", "Lan"}};
    return session->update(id, change) ? 0 : 3;
  };
  const int calls = calls_until(0, [&] { return work(unused); });
  REQUIRE(std::filesystem::exists(second));
  for (int at = 1; at <= calls; ++at) {
    CAPTURE(at, calls);
    lab.restore("full");
    std::filesystem::remove_all(lab.state());
    std::filesystem::copy(lab.folder / "full-state", lab.state());
    Channel<std::uint64_t> channel;
    calls_until(at, [&] { return work(channel); });
    const std::vector<std::uint64_t> told = channel.all();
    Session session = lab.open();
    require_sound(session);
    const auto log = entries(session);
    REQUIRE(log.size() >= size + told.size());
    for (std::size_t i = 0; i < told.size(); ++i) {
      REQUIRE(told[i] == size + i);
      REQUIRE(log.at(told[i]).action == audit::Action::kDisclose);
    }
    REQUIRE((name_of(session, id) == "Hoa" || told.size() == 3));
    REQUIRE_OK(disclose(session, request_for(many)));
    require_sound(session);
  }
}

/// Children that begin at the same moment; 0 from each.
void race(const std::vector<std::function<int()>>& runners) {
  Channel<char> gate;
  std::vector<pid_t> children;
  for (const auto& run : runners) {
    const pid_t child = ::fork();
    REQUIRE(child >= 0);
    if (child == 0) {
      gate.wait_for_go();
      ::_exit(run());
    }
    children.push_back(child);
  }
  (void)gate.all();
  for (const pid_t child : children) {
    int status = 0;
    REQUIRE(::waitpid(child, &status, 0) == child);
    REQUIRE(WIFEXITED(status));
    REQUIRE(WEXITSTATUS(status) == 0);
  }
}

TEST_CASE(
    "durable: processes that open a hurt vault at the same moment recover it once, and each gets the right values") {
  const Hurt hurt;
  const auto reader = [&] {
    auto session = Session::open(hurt.lab.vault(), hurt.lab.owner.identity(), hurt.lab.options());
    if (!session) return 1;
    for (int i = 0; i < 5; ++i) {
      const auto values = disclose(*session, request_for({hurt.id}));
      if (!values) return 2;
      if ((*values)[0][0] != "Before") return 3;
    }
    const auto report = session->verify_log();
    return report && report->ok ? 0 : 4;
  };
  const auto looker = [&] {
    auto session = Session::open(hurt.lab.vault(), hurt.lab.owner.identity(), hurt.lab.options(true));
    if (!session) return 5;
    const auto list = session->list("person", 10);
    return list && !list->empty() && (*list)[0].id == hurt.id ? 0 : 6;
  };
  for (int round = 0; round < 12; ++round) {
    CAPTURE(round);
    hurt.again();
    race({reader, looker, reader, reader});
    {
      Session session = hurt.lab.open();
      const auto log = entries(session);
      REQUIRE(std::ranges::count(log, audit::Action::kDisclose, &LogEntry::action) == 15);
    }
    hurt.require_healed();
  }
}

TEST_CASE("durable: imports and a disclosure that start at once on a killed import clear it once, and all come whole") {
  const Lab lab;
  RecordId id;
  {
    Session session = lab.open();
    id = add_person(session, "0/1", "1").id;
  }
  const auto importer = [&](std::uint64_t number, std::uint64_t rows) {
    return [&lab, number, rows] {
      auto session = Session::open(lab.vault(), lab.owner.identity(), lab.options());
      if (!session) return 1;
      for (;;) {
        Rows source = rows_of_import(number, rows);
        const auto report = session->import_rows("person", source);
        if (report) return report->imported == rows ? 0 : 2;
        if (report.error().code != ErrorCode::kBusy) return 3;
        ::sched_yield();
      }
    };
  };
  const auto reader = [&] {
    auto session = Session::open(lab.vault(), lab.owner.identity(), lab.options());
    if (!session) return 4;
    for (int i = 0; i < 20; ++i) {
      const auto values = disclose(*session, request_for({id}));
      if (!values || (*values)[0][0] != "0/1") return 5;
      const auto list = session->list("person", 100'000);
      // Never a part of an import: 1 record, and 60 or 10,001 or both.
      if (!list || (list->size() != 1 && list->size() != 1 + kOneTransaction && list->size() != 1 + kStaged &&
                    list->size() != 1 + kOneTransaction + kStaged)) {
        return 6;
      }
    }
    return 0;
  };
  REQUIRE(killed([&] {
    auto session = Session::open(lab.vault(), lab.owner.identity(), lab.options());
    if (!session) return 1;
    Rows rows(kStaged);
    ImportOptions options;
    options.progress = [](const Progress& progress) {
      if (progress.stage == "write" && progress.done == 5376) ::kill(::getpid(), SIGKILL);
      return true;
    };
    (void)session->import_rows("person", rows, options);
    return 2;
  }));
  race({importer(1, kOneTransaction), importer(2, kStaged), reader});
  {
    Session session = lab.open();
    require_sound(session);
    REQUIRE(REQUIRE_OK(session.status()).records.at("person") == 1 + kOneTransaction + kStaged);
    REQUIRE(REQUIRE_OK(session.list("person", 100'000)).size() == 1 + kOneTransaction + kStaged);
  }
  const auto core = lab.core();
  const vault::Snapshot snapshot = REQUIRE_OK(core->snapshot());
  REQUIRE(snapshot.db.staged.empty());
  REQUIRE(REQUIRE_OK(snapshot.txn->count(store::Table::kRows)) == 1 + kOneTransaction + kStaged);
}

}  // namespace
}  // namespace casevault::test
