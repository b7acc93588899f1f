// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "lab.hpp"
#include "model/value.hpp"
#include "support/fixed_environment.hpp"
#include "vault/records.hpp"
#include "vault/row_key.hpp"
#include "vault/unit_of_work.hpp"

namespace casevault::test {
namespace {

TEST_CASE("robust: values come back exactly as they were written") {
  const Lab lab;
  Session session = lab.open();
  const std::vector<std::string> names = {
      "a",
      "Nguye\xCC\x82\xCC\x83n Thi\xCC\xA3",  // decomposed
      "Nguyễn Thị Ánh",                      // composed
      std::string("nul \0 inside", 12),
      "  spaces, \"quotes\", tabs\t and\nlines\r\n ",
      std::string(16, 'x'),
      std::string(17, 'x'),
      std::string(2022, 'y'),
      std::string(2023, 'z'),
      std::string(1U << 20U, 'w'),
  };
  std::vector<RecordId> ids;
  for (const std::string& name : names) {
    const FieldInput fields[] = {{"full_name", name}, {"born", "1999-02"}, {"sex", "female"}};
    ids.push_back(REQUIRE_OK(session.add("person", fields)).id);
  }
  const Values values = REQUIRE_OK(disclose(session, request_for(ids, {"sex", "full_name", "phone", "born"})));
  REQUIRE(values.size() == names.size());
  for (std::size_t i = 0; i < names.size(); ++i) {
    CHECK(values[i][0] == "female");
    CHECK((values[i][1] == names[i]));
    CHECK_FALSE(values[i][2].has_value());
    CHECK(values[i][3] == "1999-02");
  }
  require_sound(session);
}

TEST_CASE("bound: a vault of every suite gives back what was written, says which suite it is, and is sound") {
  const Suite suite = GENERATE(Suite::kAes256Gcm, Suite::kChaCha20Poly1305, Suite::kHkdfAes256Gcm);
  const Lab lab(suite);
  Session session = lab.open();
  REQUIRE(REQUIRE_OK(session.status()).suite == suite);
  const RecordId id = add_person(session, "first", "0900 000 001").id;
  const std::string long_name(3000, 'n');
  const FieldInput changed[] = {{"full_name", long_name}};
  REQUIRE_OK(session.update(id, changed));
  Rows rows(300);
  REQUIRE(REQUIRE_OK(session.import_rows("person", rows)).imported == 300);
  const Values values = REQUIRE_OK(disclose(session, request_for({id}, {"full_name", "phone"})));
  CHECK((values[0][0] == long_name));
  CHECK(values[0][1] == "0900 000 001");
  const auto listed = REQUIRE_OK(session.list("person", 10));
  CHECK(name_of(session, listed[1].id) == "Person 1");
  require_sound(session);

  // The cells are sealed with it, not only the status says so.
  session.close();
  const auto core = lab.core();
  const vault::Snapshot snapshot = REQUIRE_OK(core->snapshot());
  std::size_t cells = 0;
  REQUIRE_OK(core->scan_rows(*snapshot.txn, snapshot.db, 0, [&](std::uint64_t, const model::OpenedRow& row) {
    for (const model::CellEntry& cell : row.head.cells) {
      REQUIRE(static_cast<int>(cell.suite) == static_cast<int>(suite));
      ++cells;
    }
    return Result<bool>(true);
  }));
  REQUIRE(cells > 300);
}

TEST_CASE("robust: a vault is not made with a suite that does not exist") {
  const TempFolder folder;
  const Schema schema = REQUIRE_OK(Schema::bundled("vn-victim-support"));
  InitOptions options;
  options.suite = static_cast<Suite>(GENERATE(0, 4));
  const Passphrase passphrase(SecretBytes::copy(as_bytes("unused")));
  REQUIRE_ERROR(ErrorCode::kUsage, Session::init(folder / "vault", schema, passphrase, options));
  REQUIRE(std::filesystem::is_empty(folder.path()));
}

TEST_CASE("robust: an update changes the fields named, empties what is given empty, and leaves the rest") {
  const Lab lab;
  Session session = lab.open();
  const FieldInput fields[] = {{"full_name", "Hoa"}, {"note", "first"}, {"phone", "0901"}, {"sex", "female"}};
  const Written added = REQUIRE_OK(session.add("person", fields));
  CHECK(added.version == 1);
  const FieldInput change[] = {{"note", ""}, {"phone", "0902"}, {"born", "2001"}};
  const Written updated = REQUIRE_OK(session.update(added.id, change));
  CHECK(updated.version == 2);
  CHECK(updated.entry > added.entry);
  const auto all = request_for({added.id}, {"full_name", "note", "phone", "sex", "born"});
  const Values values = REQUIRE_OK(disclose(session, all));
  CHECK(values[0] == std::vector<std::optional<std::string>>{"Hoa", std::nullopt, "0902", "female", "2001"});
  const FieldInput emptied[] = {{"phone", ""}};
  REQUIRE_OK(session.update(added.id, emptied));
  CHECK(REQUIRE_OK(disclose(session, all))[0] ==
        std::vector<std::optional<std::string>>{"Hoa", std::nullopt, std::nullopt, "female", "2001"});

  const std::vector<VersionInfo> history = REQUIRE_OK(session.history(added.id));
  REQUIRE(history.size() == 3);
  for (std::uint32_t i = 0; i < 3; ++i) {
    CHECK(history[i].version == i + 1);
    CHECK(history[i].actor == "owner");
    CHECK(history[i].action == (i == 0 ? "add" : "update"));
  }
  CHECK(history[0].entry == added.entry);
  CHECK(history[1].entry == updated.entry);
  require_sound(session);
}

TEST_CASE("durable: of two updates that start from one version, the second is a conflict and changes nothing") {
  const Lab lab;
  Session session = lab.open();
  const Written added = add_person(session, "Hoa");
  const FieldInput first[] = {{"full_name", "Hoa A"}};
  const FieldInput second[] = {{"full_name", "Hoa B"}};
  REQUIRE_OK(session.update(added.id, first, 1));
  const std::uint64_t size = REQUIRE_OK(session.status()).log_size;
  REQUIRE_ERROR(ErrorCode::kConflict, session.update(added.id, second, 1));
  REQUIRE_ERROR(ErrorCode::kConflict, session.update(added.id, second, 3));
  CHECK(REQUIRE_OK(session.status()).log_size == size);
  CHECK(name_of(session, added.id) == "Hoa A");
  REQUIRE_OK(session.update(added.id, second, 2));
}

TEST_CASE("robust: bad rows are refused with the field and never the value, and leave no trace in the log") {
  const Lab lab;
  Session session = lab.open();
  const Written added = add_person(session, "Hoa");
  const std::uint64_t size = REQUIRE_OK(session.status()).log_size;
  const std::string secret = "SECRET-VALUE-7f3a";
  struct Case {
    std::vector<FieldInput> fields;
    std::string named;
  };
  const std::vector<Case> cases = {
      {{{"phone", "1"}}, "full_name"},
      {{{"full_name", ""}}, "full_name"},
      {{{"full_name", "x"}, {"no_such_field", secret}}, "no_such_field"},
      {{{"full_name", "x"}, {"full_name", secret}}, "full_name"},
      {{{"full_name", "x"}, {"sex", secret}}, "sex"},
      {{{"full_name", "x"}, {"born", secret}}, "born"},
      {{{"full_name", "x"}, {"born", "2023-02-30"}}, "born"},
      {{{"full_name", "x\xFF"}}, "full_name"},
  };
  for (const Case& each : cases) {
    const auto refused = session.add("person", each.fields);
    REQUIRE_ERROR(ErrorCode::kBadInput, session.add("person", each.fields));
    CHECK(refused.error().message.find(each.named) != std::string::npos);
    CHECK(refused.error().message.find(secret) == std::string::npos);
  }
  const std::string long_name((1U << 20U) + 1, 'x');
  const FieldInput too_long[] = {{"full_name", long_name}};
  REQUIRE_ERROR(ErrorCode::kBadInput, session.add("person", too_long));
  const FieldInput good[] = {{"full_name", "x"}};
  const FieldInput unknown[] = {{"nothing", "x"}};
  const FieldInput emptied[] = {{"full_name", ""}};
  REQUIRE_ERROR(ErrorCode::kNotFound, session.add("no such type", good));
  REQUIRE_ERROR(ErrorCode::kBadInput, session.update(added.id, unknown));
  REQUIRE_ERROR(ErrorCode::kBadInput, session.update(added.id, emptied));
  REQUIRE_ERROR(ErrorCode::kUsage, session.update(added.id, {}));
  CHECK(REQUIRE_OK(session.status()).log_size == size);
  CHECK(REQUIRE_OK(session.status()).records.at("person") == 1);
}

TEST_CASE("robust: an id that is mistyped, of another vault or of no record is not found") {
  const Lab lab;
  Session session = lab.open();
  const Written added = add_person(session, "Hoa");
  std::array<std::uint8_t, 16> bytes = added.id.bytes();
  for (std::size_t i = 0; i < 128; ++i) {
    bytes[i / 8] ^= static_cast<std::uint8_t>(1U << (i % 8));
    const RecordId wrong(bytes);
    const FieldInput change[] = {{"full_name", "y"}};
    REQUIRE_ERROR(ErrorCode::kNotFound, session.history(wrong));
    REQUIRE_ERROR(ErrorCode::kNotFound, session.update(wrong, change));
    bytes = added.id.bytes();
  }
  for (const std::string_view text : {"", "ABC", "UUUUUUUUUUUUUUUUUUUUUUUUUU", "0000000000000000000000000!"}) {
    REQUIRE_ERROR(ErrorCode::kNotFound, RecordId::parse(text));
  }
  CHECK(REQUIRE_OK(RecordId::parse(added.id.to_string())) == added.id);
  auto core_id = [&] {
    session.close();
    return lab.core()->id_of(5000);
  }();
  Session again = lab.open();
  REQUIRE_ERROR(ErrorCode::kNotFound, again.history(core_id));
}

TEST_CASE("robust: listing goes through all records of a type in pages, in order of insertion") {
  const Lab lab;
  Session session = lab.open();
  std::vector<RecordId> ids;
  const FieldInput visit[] = {{"place", "somewhere"}};
  for (int i = 0; i < 7; ++i) {
    ids.push_back(add_person(session, "P" + std::to_string(i)).id);
    REQUIRE_OK(session.add("visit", visit));
  }
  std::vector<RecordId> seen;
  std::optional<RecordId> after;
  for (;;) {
    const auto page = REQUIRE_OK(session.list("person", 3, after));
    if (page.empty()) break;
    for (const RecordInfo& info : page) {
      CHECK(info.type == "person");
      CHECK(info.version == 1);
      seen.push_back(info.id);
    }
    after = page.back().id;
  }
  CHECK(seen == ids);
  CHECK(REQUIRE_OK(session.list("person", 0)).empty());
  REQUIRE_ERROR(ErrorCode::kNotFound, session.list("nothing", 1));
  const Status status = REQUIRE_OK(session.status());
  CHECK(status.records == std::map<std::string, std::uint64_t>{{"person", 7}, {"visit", 7}});
  CHECK(status.role == "owner");
  CHECK(status.log_size == 15);
}

TEST_CASE("durable: records, versions and the log are there after closing and opening") {
  const Lab lab;
  RecordId id;
  audit::Digest root{};
  {
    Session session = lab.open();
    id = add_person(session, "Hoa", "0901").id;
    const FieldInput change[] = {{"full_name", "Hoa B"}};
    REQUIRE_OK(session.update(id, change));
    root = REQUIRE_OK(session.status()).root;
  }
  Session session = lab.read_only();
  CHECK(REQUIRE_OK(session.status()).root == root);
  CHECK(REQUIRE_OK(session.history(id)).size() == 2);
  require_sound(session);
  session.close();
  Session writer = lab.open();
  CHECK(name_of(writer, id) == "Hoa B");
}

TEST_CASE("traced: a vault that is open read-only releases and changes nothing, because nothing can be logged") {
  const Lab lab;
  RecordId id;
  {
    Session session = lab.open();
    id = add_person(session, "Hoa").id;
  }
  const Bytes log = file_bytes(lab.segment());
  const Bytes data = file_bytes(lab.data());
  Session session = lab.read_only();
  const FieldInput change[] = {{"full_name", "x"}};
  REQUIRE_ERROR(ErrorCode::kUsage, session.disclose(request_for({id})));
  REQUIRE_ERROR(ErrorCode::kUsage, session.add("person", change));
  REQUIRE_ERROR(ErrorCode::kUsage, session.update(id, change));
  Rows rows(3);
  REQUIRE_ERROR(ErrorCode::kUsage, session.import_rows("person", rows));
  LogQuery query;
  query.details = true;
  REQUIRE_ERROR(ErrorCode::kUsage, session.read_log(query, [](const LogEntry&) { return true; }));
  session.close();
  CHECK((file_bytes(lab.segment()) == log));
  CHECK((file_bytes(lab.data()) == data));
}

TEST_CASE("robust: a session that is closed, and a disclosure whose session is, say so") {
  const Lab lab;
  Session session = lab.open();
  const RecordId id = add_person(session, "Hoa").id;
  Disclosure disclosure = REQUIRE_OK(session.disclose(request_for({id})));
  session.close();
  session.close();
  const FieldInput fields[] = {{"full_name", "x"}};
  Rows rows(2);
  REQUIRE_ERROR(ErrorCode::kUsage, session.status());
  REQUIRE_ERROR(ErrorCode::kUsage, session.add("person", fields));
  REQUIRE_ERROR(ErrorCode::kUsage, session.update(id, fields));
  REQUIRE_ERROR(ErrorCode::kUsage, session.list("person", 1));
  REQUIRE_ERROR(ErrorCode::kUsage, session.history(id));
  REQUIRE_ERROR(ErrorCode::kUsage, session.import_rows("person", rows));
  REQUIRE_ERROR(ErrorCode::kUsage, session.disclose(request_for({id})));
  REQUIRE_ERROR(ErrorCode::kUsage, session.verify_log());
  REQUIRE_ERROR(ErrorCode::kUsage, session.read_log({}, [](const LogEntry&) { return true; }));
  REQUIRE_ERROR(ErrorCode::kUsage, session.prove(0));
  REQUIRE_ERROR(ErrorCode::kUsage, session.checkpoint());
  REQUIRE_ERROR(ErrorCode::kUsage, session.principals());
  REQUIRE_ERROR(ErrorCode::kUsage, session.keys());
  REQUIRE_ERROR(ErrorCode::kUsage, disclosure.next());
  REQUIRE_ERROR(ErrorCode::kUsage, disclosure.receipt());
  CHECK(session.schema().name() == kSchemaName);
}

TEST_CASE("robust: in a forked child every call is refused, and its end leaves no mark on the vault") {
  const Lab lab;
  auto session = std::make_unique<Session>(lab.open());
  const RecordId id = add_person(*session, "Hoa").id;
  Disclosure disclosure = REQUIRE_OK(session->disclose(request_for({id})));
  for (int i = 0; i < 3; ++i) add_person(*session, "more entries than the newest anchor knows");
  const int refused = in_child([&] {
    const auto usage = [](const auto& result) { return !result && result.error().code == ErrorCode::kUsage ? 0 : 1; };
    int failures = usage(session->status()) + usage(session->list("person", 1)) + usage(session->checkpoint()) +
                   usage(session->prove(0)) + usage(disclosure.next()) + usage(disclosure.receipt()) +
                   usage(session->disclose(request_for({id}))) + usage(session->verify_log());
    session.reset();  // its destructor must not write an anchor with wiped keys
    return failures;
  });
  CHECK(refused == 0);
  CHECK(name_of(*session, id) == "Hoa");
  session.reset();
  Session again = lab.open();
  require_sound(again);
}

TEST_CASE("robust: one process opens a vault once") {
  const Lab lab;
  Session session = lab.open();
  REQUIRE_ERROR(ErrorCode::kBusy, lab.try_open(lab.owner));
}

TEST_CASE(
    "rotatable: a leaf node gets a fresh key when a record reaches 4000 seals, and every record of it still opens") {
  const Lab lab;
  Session session = lab.open();
  const RecordId busy = add_person(session, "Busy").id;
  const RecordId still = add_person(session, "Still", "0901").id;
  session.close();
  std::uint64_t row = 0;
  {
    // A head as it is after 3,999 seals.
    const auto core = lab.core();
    auto txn = REQUIRE_OK(core->store().begin_write());
    row = core->row_of(busy).value();
    const auto value = REQUIRE_OK(txn->get(store::Table::kRows, vault::row_key(row)));
    model::OpenedRow opened =
        REQUIRE_OK(core->open_row_number(*txn, REQUIRE_OK(core->load_state(*txn)), row, value.value()));
    opened.head.seals = 3999;
    const auto leaf = REQUIRE_OK(core->leaf_key(*txn, REQUIRE_OK(core->load_state(*txn)), 0));
    const Bytes cells(opened.cells.begin(), opened.cells.end());
    REQUIRE_DONE(txn->put(store::Table::kRows, vault::row_key(row),
                          model::seal_row(core->row_context(row), opened.head, *leaf, cells, core->random())));
    REQUIRE_DONE(txn->commit());
  }
  const auto core = lab.core();
  const vault::Snapshot before = REQUIRE_OK(core->snapshot());
  const FieldInput change[] = {{"full_name", "Busy 2"}};
  REQUIRE_OK(vault::update_record(*core, busy, change, std::nullopt));
  const vault::Snapshot after = REQUIRE_OK(core->snapshot());
  CHECK(after.db.tree_generation == before.db.tree_generation + 1);

  // Old and new snapshots are read side by side: neither sees the other's leaf node key.
  std::uint64_t number = 0;
  for (int i = 0; i < 2; ++i) {
    CHECK(REQUIRE_OK(core->open_row(*before.txn, before.db, busy, number)).head.version == 1);
    CHECK(REQUIRE_OK(core->open_row(*after.txn, after.db, busy, number)).head.version == 2);
    CHECK(REQUIRE_OK(core->open_row(*before.txn, before.db, still, number)).head.seals == 1);
    CHECK(REQUIRE_OK(core->open_row(*after.txn, after.db, still, number)).head.seals == 2);
  }
}

TEST_CASE("rotatable: 4100 updates of one record in a row", "[.long]") {
  const Lab lab;
  Session session = lab.open();
  const RecordId busy = add_person(session, "Busy").id;
  const RecordId still = add_person(session, "Still").id;
  for (std::uint32_t i = 2; i <= 4100; ++i) {
    const std::string name = "Busy " + std::to_string(i);
    const FieldInput change[] = {{"full_name", name}};
    REQUIRE(REQUIRE_OK(session.update(busy, change, i - 1)).version == i);
  }
  CHECK(name_of(session, busy) == "Busy 4100");
  CHECK(name_of(session, still) == "Still");
  require_sound(session);
}

}  // namespace
}  // namespace casevault::test
