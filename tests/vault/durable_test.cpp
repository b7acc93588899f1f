// SPDX-License-Identifier: Apache-2.0
#include <signal.h>

#include <algorithm>
#include <cerrno>

#include "faulty_calls.hpp"
#include "lab.hpp"
#include "vault/unit_of_work.hpp"

namespace casevault::test {
namespace {

/// What a run of the workload was told, step by step. Plain bytes: it crosses a pipe.
struct Acknowledged {
  int steps = 0;   ///< 1 opened, 2 added, 3 updated, 4 imported, 5 disclosed, 6 closed
  int failed = 0;  ///< code of the first failure
  int calls = 0;   ///< storage calls
  std::uint64_t disclosed = 0;
};

/// Adds, updates, imports three rows, discloses. Tells each step that was acknowledged; stops at the first failure.
Acknowledged workload(const Lab& lab, const std::function<void(const Acknowledged&)>& tell = {}) {
  Acknowledged done;
  const auto step = [&](const auto& result) {
    if (!result) {
      done.failed = static_cast<int>(result.error().code);
      return false;
    }
    ++done.steps;
    done.calls = call_faults().calls;
    if (tell) tell(done);
    return true;
  };
  auto session = Session::open(lab.vault(), lab.owner.identity(), lab.options());
  if (!step(session)) return done;
  const FieldInput fields[] = {{"full_name", "Added"}, {"phone", "1"}};
  const auto added = session->add("person", fields);
  if (!step(added)) return done;
  const FieldInput change[] = {{"phone", "2"}};
  if (!step(session->update(added->id, change))) return done;
  Rows rows(3);
  if (!step(session->import_rows("person", rows))) return done;
  const auto disclosure = session->disclose(request_for({added->id}));
  if (disclosure) done.disclosed = disclosure->entry();
  if (!step(disclosure)) return done;
  session->close();
  (void)step(Result<void>());
  return done;
}

/// Runs it in a child that is killed before its storage call number `kill_at`; what it told last counts.
Acknowledged in_killed_child(const Lab& lab, int kill_at, bool& killed) {
  std::array<int, 2> channel{};
  REQUIRE(::pipe(channel.data()) == 0);
  killed = in_child([&] {
             call_faults().reset();
             call_faults().kill_at = kill_at;
             bool told = true;
             const Acknowledged done = workload(lab, [&](const Acknowledged& now) {
               told = told && ::write(channel[1], &now, sizeof now) == sizeof now;
             });
             return told && done.steps == 6 ? 0 : 1;
           }) == -1;
  ::close(channel[1]);
  Acknowledged last;
  Acknowledged now;
  while (::read(channel[0], &now, sizeof now) == sizeof now) last = now;
  ::close(channel[0]);
  return last;
}

/// Everything that was acknowledged is there, nothing is there in part, and everything verifies.
void require_consistent(const Lab& lab, const Acknowledged& done) {
  Session session = lab.open();
  const std::vector<RecordInfo> records = REQUIRE_OK(session.list("person", 100));
  const std::size_t imported = 3;
  REQUIRE((records.empty() || records.size() == 1 || records.size() == 1 + imported));
  REQUIRE(REQUIRE_OK(session.status()).records.at("person") == records.size());
  if (done.steps >= 2) REQUIRE_FALSE(records.empty());
  if (done.steps >= 4) REQUIRE(records.size() == 1 + imported);
  require_sound(session);
  if (!records.empty()) {
    const Values values = REQUIRE_OK(disclose(session, request_for({records[0].id}, {"full_name", "phone"})));
    REQUIRE(values[0][0] == "Added");
    REQUIRE(values[0][1] == (records[0].version == 1 ? "1" : "2"));
    if (done.steps >= 3) REQUIRE(records[0].version == 2);
    REQUIRE(REQUIRE_OK(session.history(records[0].id)).size() == records[0].version);
  }
  if (done.steps >= 5) REQUIRE(audit::name_of(entries(session).at(done.disclosed).action) == "disclose");
  // And the vault takes writes again.
  add_person(session, "After");
  require_sound(session);
}

TEST_CASE("durable: kill -9 before any storage call loses nothing that was acknowledged and leaves nothing in part") {
  bool killed = false;
  int calls = 0;
  {
    const Lab lab;
    const Acknowledged whole = in_killed_child(lab, 0, killed);
    REQUIRE_FALSE(killed);
    REQUIRE(whole.steps == 6);
    calls = whole.calls;
    require_consistent(lab, whole);
  }
  REQUIRE(calls > 20);
  for (int at = 1; at <= calls; ++at) {
    CAPTURE(at, calls);
    const Lab lab;
    const Acknowledged done = in_killed_child(lab, at, killed);
    REQUIRE(killed);
    require_consistent(lab, done);
  }
}

TEST_CASE("durable: a storage call that fails is an error that names its cause, and nothing is there in part") {
  call_faults().reset();
  int calls = 0;
  {
    const Lab lab;
    REQUIRE(workload(lab).steps == 6);
    calls = call_faults().calls;
  }
  for (const int error : {EIO, ENOSPC}) {
    for (const int length : {1, 1'000'000}) {
      for (int at = 1; at <= calls; at += length == 1 ? 1 : 5) {
        CAPTURE(error, length, at);
        const Lab lab;
        call_faults().reset();
        call_faults().fail_at = at;
        call_faults().fail_count = length;
        call_faults().error = error;
        const Acknowledged done = workload(lab);
        call_faults().reset();
        if (done.failed != 0) {
          const auto code = static_cast<ErrorCode>(done.failed);
          CAPTURE(done.failed);
          REQUIRE((code == ErrorCode::kIo || code == ErrorCode::kDiskFull || code == ErrorCode::kUnknownOutcome));
        }
        require_consistent(lab, done);
      }
    }
  }
}

TEST_CASE("durable: a mutation killed between its entry and its commit is settled by the next opener as not applied") {
  const Lab lab;
  RecordId id;
  {
    Session session = lab.open();
    id = add_person(session, "Before").id;
  }
  CHECK(in_child([&] {
          auto core = vault::Core::open(lab.vault(), lab.owner.identity(), lab.options(), base::system_environment());
          if (!core) return 1;
          append_pending(**core);
          ::kill(::getpid(), SIGKILL);
          return 2;
        }) == -1);
  {
    Session reader = lab.read_only();  // appends nothing, and says what is pending
    const Status status = REQUIRE_OK(reader.status());
    CHECK(status.log_size == 3);
    CHECK(std::ranges::any_of(
        status.warnings, [](const std::string& text) { return text.find("entry 2 is pending") != std::string::npos; }));
    const VerifyReport report = REQUIRE_OK(reader.verify_log());
    CHECK(report.ok);
    CHECK_FALSE(report.warnings.empty());
  }
  Session session = lab.open();
  const auto log = entries(session, true);
  REQUIRE(log.size() >= 4);
  CHECK(log[3].action == audit::Action::kNotApplied);
  CHECK(log[3].details.find("entry 2") != std::string::npos);
  CHECK(REQUIRE_OK(session.list("person", 10)).size() == 1);
  const RecordId next = add_person(session, "After").id;
  CHECK(name_of(session, next) == "After");
  require_sound(session);
}

TEST_CASE("durable: of a database one mutation old the log says not applied, and history, verify and values agree") {
  const Lab lab;
  RecordId id;
  {
    Session session = lab.open();
    id = add_person(session, "One").id;
    const FieldInput change[] = {{"full_name", "Two"}};
    session.close();
    lab.save("one");
    session = lab.open();
    REQUIRE_OK(session.update(id, change));
  }
  std::filesystem::copy_file(lab.folder / "one" / "data.mdb", lab.data(),
                             std::filesystem::copy_options::overwrite_existing);
  Session session = lab.open();
  CHECK(name_of(session, id) == "One");
  CHECK(REQUIRE_OK(session.history(id)).size() == 1);
  const auto log = entries(session);
  CHECK(std::ranges::count(log, audit::Action::kNotApplied, &LogEntry::action) == 1);
  require_sound(session);
  const FieldInput change[] = {{"full_name", "Three"}};
  CHECK(REQUIRE_OK(session.update(id, change, 1)).version == 2);
  CHECK(REQUIRE_OK(session.history(id)).size() == 2);
  require_sound(session);
}

TEST_CASE("tamper-evident: a database two or more mutations old is told as rolled back") {
  for (const int newer : {2, 3, 7}) {
    CAPTURE(newer);
    const Lab lab;
    {
      Session session = lab.open();
      add_person(session, "One");
    }
    lab.save("old");
    {
      Session session = lab.open();
      for (int i = 0; i < newer; ++i) add_person(session, "More");
    }
    std::filesystem::copy_file(lab.folder / "old" / "data.mdb", lab.data(),
                               std::filesystem::copy_options::overwrite_existing);
    REQUIRE_ERROR(ErrorCode::kRolledBack, lab.try_open(lab.owner));
    REQUIRE_ERROR(ErrorCode::kRolledBack, lab.try_open(lab.owner, true));
  }
}

TEST_CASE("tamper-evident: a log older than its database is refused, with and without an anchor") {
  for (const bool anchors : {true, false}) {
    const Lab lab;
    lab.save("old");
    {
      Session session = lab.open();
      add_person(session, "One");
      add_person(session, "Two");
    }
    std::filesystem::copy_file(lab.folder / "old" / "log" / "00000000.log", lab.segment(),
                               std::filesystem::copy_options::overwrite_existing);
    if (!anchors) std::filesystem::remove_all(lab.state());
    REQUIRE_ERROR(ErrorCode::kRolledBack, lab.try_open(lab.owner));
    REQUIRE_ERROR(ErrorCode::kRolledBack, lab.try_open(lab.owner, true));
  }
}

TEST_CASE("durable: a root that was staged and never committed is dropped by the next opener") {
  const Lab lab;
  RecordId id;
  {
    Session session = lab.open();
    id = add_person(session, "One").id;
  }
  {
    const auto core = lab.core();
    keys::ErasureRoot lock = REQUIRE_OK(keys::ErasureRoot::lock(core->root_file()));
    REQUIRE_DONE(lock.stage(REQUIRE_OK(core->root_context(1)), 2, crypto::random_key(core->random()), core->random()));
  }
  {
    Session reader = lab.read_only();
    CHECK(REQUIRE_OK(reader.list("person", 1)).at(0).id == id);
  }
  Session session = lab.open();
  CHECK(name_of(session, id) == "One");
  session.close();
  const auto core = lab.core();
  const vault::Snapshot snapshot = REQUIRE_OK(core->snapshot());
  CHECK(snapshot.db.root.epoch == 1);
  CHECK(REQUIRE_OK(keys::ErasureRoot::idle(core->root_file(), REQUIRE_OK(core->root_context(1)), snapshot.db.root)));
}

TEST_CASE("durable: a torn batch at the end of the log is cut and told, and what was acknowledged stays") {
  const Lab lab;
  RecordId id;
  {
    Session session = lab.open();
    id = add_person(session, "One").id;
  }
  Bytes log = file_bytes(lab.segment());
  const auto last = std::find_if(log.rbegin(), log.rend(), [](std::uint8_t b) { return b != 0; }).base() - log.begin();
  for (std::size_t i = 0; i < 40; ++i) log[static_cast<std::size_t>(last) + i] = static_cast<std::uint8_t>(i + 1);
  write_bytes(lab.segment(), log);
  {
    Session reader = lab.read_only();
    CHECK_FALSE(REQUIRE_OK(reader.verify_log()).warnings.empty());
    require_sound(reader);
  }
  Session session = lab.open();
  CHECK(name_of(session, id) == "One");
  require_sound(session);
}

TEST_CASE("durable: init leaves nothing behind when any storage call fails, and never writes over something") {
  const Schema schema = REQUIRE_OK(Schema::bundled("vn-victim-support"));
  const Passphrase passphrase(SecretBytes::copy(as_bytes("init")));
  for (int at = 1; at < 200; at += 3) {
    CAPTURE(at);
    TempFolder folder;
    InitOptions options;
    options.identity_file = folder / "owner.identity";
    options.slot_cost = {1, 64};
    options.state_folder = folder / "state";
    call_faults().reset();
    call_faults().fail_at = at;
    call_faults().error = ENOSPC;
    const auto made = Session::init(folder / "vault", schema, passphrase, options);
    const int calls = call_faults().calls;
    call_faults().reset();
    if (made) {
      REQUIRE_ERROR(ErrorCode::kUsage, Session::init(folder / "vault", schema, passphrase, options));
      if (calls < at) break;
      continue;
    }
    std::vector<std::string> left;
    for (const auto& file : std::filesystem::directory_iterator(folder.path())) left.push_back(file.path().filename());
    CAPTURE(left);
    // Once the vault has its name it stays; a failure before leaves the folder as it was.
    if (!std::filesystem::exists(folder / "vault")) CHECK((left.empty() || left == std::vector<std::string>{"state"}));
  }
}

}  // namespace
}  // namespace casevault::test
