// SPDX-License-Identifier: Apache-2.0
#include <signal.h>

#include <algorithm>
#include <thread>

#include "lab.hpp"

namespace casevault::test {
namespace {

constexpr std::uint64_t kStaged = 10'500;  // more than one transaction takes

std::uint64_t count(Session& session) { return REQUIRE_OK(session.status()).records.at("person"); }

ImportOptions collecting() {
  ImportOptions options;
  options.collect_ids = true;
  return options;
}

Rows rows_with_bad(std::uint64_t number, const std::vector<std::uint64_t>& bad) {
  return Rows(number, [bad](std::uint64_t row) -> Rows::Values {
    const bool wrong = std::ranges::find(bad, row) != bad.end();
    return {{"full_name", "Person " + std::to_string(row)}, {"sex", wrong ? "SECRET-VALUE" : "male"}};
  });
}

TEST_CASE("robust: an import brings every row, in order, under one entry") {
  const Lab lab;
  Session session = lab.open();
  Rows rows(300);
  const ImportReport report = REQUIRE_OK(session.import_rows("person", rows, collecting()));
  CHECK(report.imported == 300);
  CHECK(report.rejected == 0);
  REQUIRE(report.entry.has_value());
  REQUIRE(report.ids.size() == 300);
  CHECK(rows.passes == 2);
  CHECK(count(session) == 300);
  CHECK(REQUIRE_OK(session.status()).log_size == 2);
  CHECK(name_of(session, report.ids[0]) == "Person 1");
  CHECK(name_of(session, report.ids[299]) == "Person 300");
  const auto history = REQUIRE_OK(session.history(report.ids[7]));
  REQUIRE(history.size() == 1);
  CHECK(history[0].entry == *report.entry);
  CHECK(history[0].action == "import");
  require_sound(session);
}

TEST_CASE("robust: rows that name their columns differently are each checked and read by their own names") {
  const Lab lab;
  Session session = lab.open();
  Rows good(12, [](std::uint64_t row) -> Rows::Values {
    const std::string name = "Person " + std::to_string(row);
    if (row % 3 == 0) return {{"sex", "male"}, {"full_name", name}};
    if (row % 3 == 1) return {{"full_name", name}};
    return {{"full_name", name}, {"sex", row == 5 ? "" : "female"}};
  });
  const ImportReport report = REQUIRE_OK(session.import_rows("person", good, collecting()));
  REQUIRE(report.imported == 12);
  for (std::uint64_t row = 1; row <= 12; ++row)
    CHECK(name_of(session, report.ids[row - 1]) == "Person " + std::to_string(row));

  Rows bad(6, [](std::uint64_t row) -> Rows::Values {
    const std::string name = "Person " + std::to_string(row);
    if (row == 2) return {{"sex", "male"}};                           // the required column is missing
    if (row == 3) return {{"full_name", name}, {"full_name", name}};  // twice
    if (row == 4) return {{"full_name", ""}, {"sex", "male"}};        // there, but empty
    if (row == 5) return {{"full_name", name}, {"no_such", "x"}};     // unknown
    return {{"full_name", name}, {"sex", "male"}};
  });
  const ImportReport refused = REQUIRE_OK(session.import_rows("person", bad));
  CHECK(refused.imported == 0);
  CHECK(refused.rejected == 4);
  std::vector<std::pair<std::uint64_t, std::string>> told;
  for (const RowProblem& problem : refused.problems) told.emplace_back(problem.row, problem.column);
  CHECK(told == std::vector<std::pair<std::uint64_t, std::string>>{
                    {2, "full_name"}, {3, "full_name"}, {4, "full_name"}, {5, "no_such"}});
  require_sound(session);
}

TEST_CASE("durable: one bad row, and nothing is written; the report names row and column, never the value") {
  const Lab lab;
  Session session = lab.open();
  Rows rows = rows_with_bad(20, {7, 20});
  const ImportReport report = REQUIRE_OK(session.import_rows("person", rows));
  CHECK(report.imported == 0);
  CHECK(report.rejected == 2);
  CHECK_FALSE(report.entry.has_value());
  REQUIRE(report.problems.size() == 2);
  CHECK(report.problems[0].row == 7);
  CHECK(report.problems[0].column == "sex");
  CHECK(report.problems[0].reason.find("SECRET") == std::string::npos);
  CHECK(report.problems[1].row == 20);
  CHECK(count(session) == 0);
  CHECK(REQUIRE_OK(session.status()).log_size == 1);
}

TEST_CASE("robust: bad rows can be skipped, and each is handed back") {
  const Lab lab;
  Session session = lab.open();
  Rows rows = rows_with_bad(20, {1, 20});
  rows.problem = [](std::uint64_t row) { return row == 9 ? "1 column, 2 expected" : std::string(); };
  ImportOptions options = collecting();
  options.skip_bad_rows = true;
  std::vector<std::uint64_t> rejected;
  options.on_reject = [&](const ImportRow& row, const RowProblem& problem) -> Result<void> {
    CHECK(row.number == problem.row);
    rejected.push_back(row.number);
    return {};
  };
  const ImportReport report = REQUIRE_OK(session.import_rows("person", rows, options));
  CHECK(report.imported == 17);
  CHECK(report.rejected == 3);
  CHECK(rejected == std::vector<std::uint64_t>{1, 9, 20});
  CHECK(name_of(session, report.ids[0]) == "Person 2");
  require_sound(session);

  Rows all_bad = rows_with_bad(2, {1, 2});
  const ImportReport none = REQUIRE_OK(session.import_rows("person", all_bad, options));
  CHECK(none.imported == 0);
  CHECK_FALSE(none.entry.has_value());

  rejected.clear();
  options.on_reject = [](const ImportRow&, const RowProblem&) -> Result<void> {
    return Error{ErrorCode::kIo, "no room for rejects"};
  };
  const std::uint64_t before = count(session);
  REQUIRE_ERROR(ErrorCode::kIo, session.import_rows("person", rows, options));
  CHECK(count(session) == before);
}

TEST_CASE("durable: a dry run and an import that is stopped write nothing") {
  const Lab lab;
  Session session = lab.open();
  const Bytes log = file_bytes(lab.segment());
  Rows rows = rows_with_bad(600, {5});
  ImportOptions options;
  options.dry_run = true;
  const ImportReport dry = REQUIRE_OK(session.import_rows("person", rows, options));
  CHECK(dry.imported == 599);
  CHECK(dry.rejected == 1);
  CHECK_FALSE(dry.entry.has_value());
  CHECK(rows.passes == 1);

  Rows good(600);
  for (const std::string_view stop : {"check", "write"}) {
    for (const std::uint64_t at : {0U, 256U, 512U}) {
      ImportOptions stopping;
      stopping.progress = [&](const Progress& progress) { return progress.stage != stop || progress.done < at; };
      REQUIRE_ERROR(ErrorCode::kCancelled, session.import_rows("person", good, stopping));
      CHECK(count(session) == 0);
    }
  }
  CHECK(REQUIRE_OK(session.list("person", 10)).empty());
  CHECK((file_bytes(lab.segment()) == log));
  CHECK(REQUIRE_OK(session.import_rows("person", good)).imported == 600);
  require_sound(session);
}

TEST_CASE("robust: rows that change between the two passes are a conflict and nothing is written") {
  const Lab lab;
  Session session = lab.open();
  ImportOptions skipping;
  skipping.skip_bad_rows = true;
  for (const bool skip : {false, true}) {
    int reads = 0;
    // The second time row 3 is bad.
    Rows turning(5, [&](std::uint64_t row) -> Rows::Values {
      if (row == 1) ++reads;
      return {{"full_name", "x"}, {"sex", row == 3 && reads == 2 ? "bad" : "male"}};
    });
    REQUIRE_ERROR(ErrorCode::kConflict, session.import_rows("person", turning, skip ? skipping : ImportOptions{}));
  }
  class Shrinking final : public RowSource {
   public:
    explicit Shrinking(int first, int second) : counts_{first, second} {}
    Result<void> rewind() override { return ++pass_, at_ = 0, Result<void>(); }
    Result<bool> next(ImportRow& row) override {
      if (at_ == counts_.at(static_cast<std::size_t>(pass_))) return false;
      row.number = static_cast<std::uint64_t>(++at_);
      row.fields = {{"full_name", "x"}};
      row.problem.clear();
      return true;
    }

   private:
    std::array<int, 2> counts_;
    int pass_ = -1;
    int at_ = 0;
  };
  Shrinking fewer(5, 4);
  REQUIRE_ERROR(ErrorCode::kConflict, session.import_rows("person", fewer));
  Shrinking more(5, 6);
  REQUIRE_ERROR(ErrorCode::kConflict, session.import_rows("person", more));
  CHECK(count(session) == 0);
  require_sound(session);
  Rows nothing(0);
  CHECK_FALSE(REQUIRE_OK(session.import_rows("person", nothing)).entry.has_value());
  REQUIRE_ERROR(ErrorCode::kNotFound, session.import_rows("nobody", nothing));
}

TEST_CASE("durable: an import of many rows shows nothing until it is whole; other writers go on meanwhile") {
  const Lab lab;
  Session session = lab.open();
  const RecordId before = add_person(session, "Before").id;
  Rows rows(kStaged);
  ImportOptions options = collecting();
  std::vector<RecordId> between;
  int looked = 0;
  options.progress = [&](const Progress& progress) {
    // While a batch is open this process holds the write lock; a look comes from another thread, as a reader's would.
    if (progress.stage != "write" || progress.done != 5376) return true;
    std::thread([&] {
      const auto status = session.status();
      const auto list = session.list("person", 100);
      if (status && status->records.at("person") == 1 && list && list->size() == 1 && (*list)[0].id == before) ++looked;
    }).join();
    return true;
  };
  const ImportReport report = REQUIRE_OK(session.import_rows("person", rows, options));
  CHECK(looked == 1);
  CHECK(report.imported == kStaged);
  CHECK(count(session) == kStaged + 1);
  CHECK(name_of(session, report.ids.front()) == "Person 1");
  CHECK(name_of(session, report.ids.back()) == "Person " + std::to_string(kStaged));
  CHECK(REQUIRE_OK(session.list("person", 20'000)).size() == kStaged + 1);
  const RecordId after = add_person(session, "After").id;
  CHECK(name_of(session, after) == "After");
  require_sound(session);
}

TEST_CASE("durable: other processes add records while an import is staged, and find them after it") {
  const Lab lab;
  Session session = lab.open();
  Rows rows(kStaged, [](std::uint64_t row) -> Rows::Values {
    return {{"full_name", row % 100 == 0 ? "Meanwhile" : "Person " + std::to_string(row)}};
  });
  // Another process works through the whole import.
  std::array<int, 2> gate{};
  REQUIRE(::pipe(gate.data()) == 0);
  const pid_t child = ::fork();
  if (child == 0) {
    char go = 0;
    if (::read(gate[0], &go, 1) != 1) ::_exit(9);
    auto other = Session::open(lab.vault(), lab.owner.identity(), lab.options());
    if (!other) ::_exit(2);
    for (int i = 0; i < 10; ++i) {
      const FieldInput fields[] = {{"full_name", "Meanwhile"}};
      const auto added = other->add("person", fields);
      if (!added) ::_exit(3);
      if (!disclose(*other, request_for({added->id}))) ::_exit(4);
    }
    ::_exit(0);
  }
  ImportOptions options = collecting();
  options.progress = [&](const Progress& progress) {
    if (progress.stage == "write" && progress.done == 256 && ::write(gate[1], "g", 1) != 1) return false;
    return true;
  };
  const ImportReport report = REQUIRE_OK(session.import_rows("person", rows, options));
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  CHECK(WIFEXITED(status));
  CHECK(WEXITSTATUS(status) == 0);
  ::close(gate[0]);
  ::close(gate[1]);
  CHECK(count(session) == kStaged + 10);
  CHECK(REQUIRE_OK(session.list("person", 20'000)).size() == kStaged + 10);
  CHECK(name_of(session, report.ids[5000]) == "Person 5001");
  // Both put the same word in turns.
  FindRequest request;
  request.type = "person";
  request.purpose = "care";
  request.limit = 2 * kStaged;
  request.searches = {{{"full_name", "Meanwhile"}}, {{"full_name", "Person 5001"}}};
  const FindResult found = REQUIRE_OK(session.find(request));
  CHECK(found.answers[0].count == 10 + kStaged / 100);
  CHECK(found.answers[1].count == 1);
  require_sound(session);
}

TEST_CASE("durable: a killed import leaves nothing to see, and the next one clears it away") {
  const Lab lab;
  RecordId kept;
  {
    Session session = lab.open();
    kept = add_person(session, "Kept").id;
  }
  for (const std::uint64_t at : {256U, 5376U, 10'240U}) {
    CAPTURE(at);
    CHECK(in_child([&] {
            auto session = Session::open(lab.vault(), lab.owner.identity(), lab.options());
            if (!session) return 1;
            Rows rows(kStaged);
            ImportOptions options;
            options.progress = [&](const Progress& progress) {
              if (progress.stage == "write" && progress.done == at) ::kill(::getpid(), SIGKILL);
              return true;
            };
            (void)session->import_rows("person", rows, options);
            return 2;
          }) == -1);
    Session session = lab.open();
    CHECK(count(session) == 1);
    CHECK(REQUIRE_OK(session.list("person", 100)).size() == 1);
    CHECK(name_of(session, kept) == "Kept");
    require_sound(session);
  }
  Session session = lab.open();
  Rows rows(20);
  CHECK(REQUIRE_OK(session.import_rows("person", rows)).imported == 20);
  CHECK(count(session) == 21);
  require_sound(session);
  session.close();
  const auto core = lab.core();
  const vault::Snapshot snapshot = REQUIRE_OK(core->snapshot());
  CHECK(snapshot.db.staged.empty());
  CHECK(REQUIRE_OK(snapshot.txn->count(store::Table::kRows)) == 21);
}

TEST_CASE("durable: a staged import that is stopped is taken back at once") {
  const Lab lab;
  Session session = lab.open();
  Rows rows(kStaged);
  ImportOptions options;
  options.progress = [](const Progress& progress) { return progress.stage != "write" || progress.done < 6000; };
  REQUIRE_ERROR(ErrorCode::kCancelled, session.import_rows("person", rows, options));
  CHECK(count(session) == 0);
  require_sound(session);
  session.close();
  const auto core = lab.core();
  const vault::Snapshot snapshot = REQUIRE_OK(core->snapshot());
  CHECK(snapshot.db.staged.empty());
  CHECK(REQUIRE_OK(snapshot.txn->count(store::Table::kRows)) == 0);
}

TEST_CASE("robust: a second importer is told to try again, and the first is not disturbed") {
  const Lab lab;
  // The other process opens first and waits for its moment: while the first import holds the database's write lock.
  std::array<int, 2> go{};
  std::array<int, 2> answer{};
  REQUIRE(::pipe(go.data()) == 0);
  REQUIRE(::pipe(answer.data()) == 0);
  const pid_t child = ::fork();
  if (child == 0) {
    auto other = Session::open(lab.vault(), lab.owner.identity(), lab.options());
    char word = other ? 'o' : 'f';
    if (::write(answer[1], &word, 1) != 1 || !other || ::read(go[0], &word, 1) != 1) ::_exit(1);
    Rows theirs(10001);
    const auto refused = other->import_rows("person", theirs);
    word = !refused && refused.error().code == ErrorCode::kBusy ? 'b' : 'x';
    ::_exit(::write(answer[1], &word, 1) == 1 ? 0 : 2);
  }
  char opened = 0;
  REQUIRE(::read(answer[0], &opened, 1) == 1);
  REQUIRE(opened == 'o');
  Session session = lab.open();
  Rows rows(10300);
  char told = 0;
  ImportOptions options;
  options.progress = [&](const Progress& progress) {
    if (progress.stage != "write" || progress.done != 256) return true;
    return ::write(go[1], "g", 1) == 1 && ::read(answer[0], &told, 1) == 1;
  };
  CHECK(REQUIRE_OK(session.import_rows("person", rows, options)).imported == 10300);
  CHECK(told == 'b');
  CHECK(count(session) == 10300);
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  for (const int end : {go[0], go[1], answer[0], answer[1]}) ::close(end);
}

TEST_CASE("sealed: the bundled schema takes an import, and no value of it is found in the folder") {
  TempFolder folder;
  const Schema schema = REQUIRE_OK(Schema::bundled("vn-victim-support"));
  InitOptions options;
  options.identity_file = folder / "owner.identity";
  options.slot_cost = {1, 64};
  options.state_folder = folder / "state";
  const Passphrase passphrase(SecretBytes::copy(as_bytes("bundled")));
  REQUIRE_OK(Session::init(folder / "vault", schema, passphrase, options));
  const Identity identity = REQUIRE_OK(Identity::open(options.identity_file, passphrase));
  OpenOptions open;
  open.state_folder = options.state_folder;
  Session session = REQUIRE_OK(Session::open(folder / "vault", identity, open));
  const RecordType& type = schema.types().front();
  Rows rows(40, [&](std::uint64_t number) {
    Rows::Values values;
    for (const Field& field : type.fields) {
      if (field.type == FieldType::kText) {
        values.emplace_back(field.name, "CANARY-" + field.name + "-" + std::to_string(number));
      } else if (field.required && field.type == FieldType::kCode) {
        values.emplace_back(field.name, schema.find_list(field.list)->codes.front());
      } else if (field.required && field.type == FieldType::kDate) {
        values.emplace_back(field.name, "2024-05-06");
      }
    }
    return values;
  });
  const ImportReport report = REQUIRE_OK(session.import_rows(type.name, rows, collecting()));
  INFO((report.problems.empty() ? std::string() : report.problems[0].column + ": " + report.problems[0].reason));
  CHECK(report.imported == 40);
  require_sound(session);
  session.close();
  for (const auto& file : std::filesystem::recursive_directory_iterator(folder.path())) {
    if (!file.is_regular_file()) continue;
    CHECK_FALSE(contains(file_bytes(file.path()), as_bytes("CANARY-")));
  }
}

}  // namespace
}  // namespace casevault::test
