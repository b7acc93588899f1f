// SPDX-License-Identifier: Apache-2.0
#include <casevault/maintenance.hpp>

#include <sys/stat.h>

#include <algorithm>
#include <map>

#include "format/cbor.hpp"
#include "killed_child.hpp"
#include "lab.hpp"
#include "model/value.hpp"
#include "support/fixed_environment.hpp"
#include "vault/row_key.hpp"
#include "vault/session_impl.hpp"

namespace casevault::test {
namespace {

using store::Table;

/// Three people of whom one was changed, an officer, a disclosure; closed.
struct Ward {
  Lab lab;
  RecordId hoa, lan, mai;
  Person officer;

  Ward() {
    Session session = lab.open();
    hoa = add_person(session, "Hoa", "0901").id;
    lan = add_person(session, "Lan", "0902").id;
    mai = add_person(session, "Mai", "0903").id;
    const FieldInput change[] = {{"phone", "0904"}};
    REQUIRE_OK(session.update(hoa, change));
    officer = lab.add(session, "officer", "officer", {"identity"});
    REQUIRE_OK(disclose(session, request_for({hoa, lan})));
  }

  [[nodiscard]] DoctorReport look(bool deep = true) const { return look(lab.owner, deep); }
  [[nodiscard]] DoctorReport look(const Person& who, bool deep) const {
    DoctorOptions options;
    options.deep = deep;
    return REQUIRE_OK(examine(lab.vault(), who.identity(), lab.options(), options));
  }
  /// Works on the database with all the keys of the owner, and commits.
  void operate(const std::function<void(vault::Core&, store::WriteTxn&)>& work) const {
    const auto core = lab.core();
    auto txn = REQUIRE_OK(core->store().begin_write());
    work(*core, *txn);
    REQUIRE_DONE(txn->commit());
  }
  static Bytes row(vault::Core& core, store::ReadTxn& txn, const RecordId& id) {
    const auto value = REQUIRE_OK(txn.get(Table::kRows, vault::row_key(core.row_of(id).value())));
    return {value->begin(), value->end()};
  }
};

std::vector<Finding> bad(const DoctorReport& report) {
  std::vector<Finding> out = report.findings;
  std::erase_if(out, [](const Finding& finding) { return finding.severity == Severity::kInfo; });
  return out;
}

/// Exactly one thing is wrong: there, for that reason, and with a remedy.
void require_only(const DoctorReport& report, Severity severity, const std::string& where, const std::string& what) {
  const std::vector<Finding> found = bad(report);
  for (const Finding& finding : found) UNSCOPED_INFO(finding.where << ": " << finding.what);
  REQUIRE(found.size() == 1);
  CHECK_FALSE(report.ok);
  CHECK(report.worst == severity);
  CHECK(found[0].severity == severity);
  CHECK(found[0].where.find(where) != std::string::npos);
  CHECK(found[0].what.find(what) != std::string::npos);
  CHECK_FALSE(found[0].remedy.empty());
}

std::map<std::string, Bytes> all_files(const std::filesystem::path& folder) {
  std::map<std::string, Bytes> out;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder)) {
    if (entry.is_regular_file() && entry.path().filename() != "lock.mdb") out[entry.path()] = file_bytes(entry.path());
  }
  return out;
}

TEST_CASE("robust: doctor finds nothing in a sound vault, and changes nothing in it") {
  const Ward ward;
  const auto before = all_files(ward.lab.vault());
  for (const bool deep : {false, true}) {
    const DoctorReport report = ward.look(deep);
    CHECK(report.ok);
    CHECK(bad(report).empty());
    CHECK(report.records == 3);
    CHECK(report.entries == 7);
    CHECK(report.cells == (deep ? 6U : 0U));
    CHECK(report.sealed_cells == 0);
    CHECK(report.tree_rows > 6);
  }
  CHECK((all_files(ward.lab.vault()) == before));
}

TEST_CASE("robust: what a killed import left behind is no fault of the search index") {
  const Lab lab;
  for (const std::uint64_t at : {5376U, 10'240U}) {
    REQUIRE(killed([&] {
      auto session = Session::open(lab.vault(), lab.owner.identity(), lab.options());
      if (!session) return 1;
      Rows rows(10'300);
      ImportOptions options;
      options.progress = [at](const Progress& progress) {
        if (progress.stage == "write" && progress.done == at) ::kill(::getpid(), SIGKILL);
        return true;
      };
      (void)session->import_rows("person", rows, options);
      return 2;
    }));
    DoctorOptions options;
    options.deep = true;
    const DoctorReport report = REQUIRE_OK(examine(lab.vault(), lab.owner.identity(), lab.options(), options));
    for (const Finding& finding : bad(report)) UNSCOPED_INFO(finding.where << ": " << finding.what);
    CHECK(bad(report).empty());
  }
  Session session = lab.open();
  Rows rows(10'300);
  CHECK(REQUIRE_OK(session.import_rows("person", rows)).imported == 10'300);
  session.close();
  DoctorOptions options;
  options.deep = true;
  const DoctorReport report = REQUIRE_OK(examine(lab.vault(), lab.owner.identity(), lab.options(), options));
  for (const Finding& finding : bad(report)) UNSCOPED_INFO(finding.where << ": " << finding.what);
  CHECK(bad(report).empty());
  CHECK(report.records == 10'300);
}

TEST_CASE("compartmented: doctor opens the cells of its own grants, and says how many it could not") {
  const Ward ward;
  const DoctorReport report = ward.look(ward.officer, true);
  CHECK(report.ok);
  CHECK(report.cells == 3);
  CHECK(report.sealed_cells == 3);
}

TEST_CASE("bound: doctor --deep names the record of every changed byte of its row, and no other") {
  const Ward ward;
  Bytes whole;
  ward.operate([&](vault::Core& core, store::WriteTxn& txn) { whole = Ward::row(core, txn, ward.lan); });
  std::size_t seen_without_deep = 0;
  for (std::size_t at = 0; at < whole.size(); at += 7) {
    CAPTURE(at, whole.size());
    ward.operate([&](vault::Core& core, store::WriteTxn& txn) {
      Bytes changed = whole;
      changed[at] ^= 0x40;
      REQUIRE_DONE(txn.put(Table::kRows, vault::row_key(core.row_of(ward.lan).value()), changed));
    });
    const DoctorReport report = ward.look();
    CHECK(report.worst == Severity::kError);
    for (const Finding& finding : bad(report)) {
      INFO(finding.where << ": " << finding.what);
      // A head that does not open is not counted either.
      CHECK((finding.where == "record " + ward.lan.to_string() || finding.what.find("counts 3") != std::string::npos));
    }
    if (!ward.look(false).ok) ++seen_without_deep;
  }
  CHECK(seen_without_deep > 3);  // the head
}

TEST_CASE("tamper-evident: doctor names every record that was replayed, taken out or put in, not only the first") {
  const Ward ward;
  Bytes old;
  ward.operate([&](vault::Core& core, store::WriteTxn& txn) { old = Ward::row(core, txn, ward.hoa); });
  {
    Session session = ward.lab.open();
    const FieldInput change[] = {{"full_name", "Hoa again"}};
    REQUIRE_OK(session.update(ward.hoa, change));
  }
  RecordId put_in;
  ward.operate([&](vault::Core& core, store::WriteTxn& txn) {
    const std::uint64_t row = core.row_of(ward.hoa).value();
    REQUIRE_DONE(txn.put(Table::kRows, vault::row_key(row), old));
    REQUIRE(REQUIRE_OK(txn.erase(Table::kRows, vault::row_key(core.row_of(ward.lan).value()))));
    const vault::DbState db = REQUIRE_OK(core.load_state(txn));
    const model::OpenedRow opened = REQUIRE_OK(core.open_row_number(txn, db, row, old));
    const auto leaf = REQUIRE_OK(core.leaf_key(txn, db, 0));
    put_in = core.id_of(99);
    REQUIRE_DONE(txn.put(Table::kRows, vault::row_key(99),
                         model::seal_row(core.row_context(99), opened.head, *leaf, opened.cells, core.random())));
  });
  const DoctorReport report = ward.look(false);
  const auto said = [&](const RecordId& id, const std::string& what) {
    return std::ranges::any_of(bad(report), [&](const Finding& finding) {
      return finding.where == "record " + id.to_string() && finding.what.find(what) != std::string::npos;
    });
  };
  CHECK(said(ward.hoa, "replayed"));
  CHECK(said(ward.lan, "missing"));
  CHECK(said(put_in, "foreign"));
  CHECK(said(put_in, "no entry"));
}

TEST_CASE("tamper-evident: doctor recounts: a state row with other counts or bounds is named") {
  const Ward ward;
  const auto change = [&](const std::function<void(vault::DbState&)>& how) {
    ward.operate([&](vault::Core& core, store::WriteTxn& txn) {
      vault::DbState db = REQUIRE_OK(core.load_state(txn));
      how(db);
      REQUIRE_DONE(vault::write_state(REQUIRE_OK(core.state_seal(db.vault_key_epoch)), txn, db, core.random()));
    });
  };
  change([](vault::DbState& db) { db.records[1] = 4; });
  require_only(ward.look(), Severity::kError, "data.mdb", "counts 4 records of type person, and holds 3");
  change([](vault::DbState& db) {
    db.records[1] = 3;
    db.next_row = 2;
  });
  require_only(ward.look(), Severity::kError, "record " + ward.mai.to_string(), "beyond the last row");
  // Calling a record's row staged hides it from readers; the log knows better.
  change([](vault::DbState& db) {
    db.next_row = 3;
    db.records[1] = 2;
    db.staged.push_back({2, 3});
  });
  require_only(ward.look(), Severity::kError, "record " + ward.mai.to_string(), "hidden");
  Session session = ward.lab.read_only();
  const VerifyReport verified = REQUIRE_OK(session.verify_log());
  CHECK_FALSE(verified.ok);
  CHECK(verified.reason.find("hidden") != std::string::npos);
}

TEST_CASE("bound: doctor opens every row of the key tree: changed, orphaned and foreign ones are named") {
  const Ward ward;
  const auto put = [&](const Bytes& key, const std::function<void(Bytes&)>& how) {
    Bytes before;
    ward.operate([&](vault::Core&, store::WriteTxn& txn) {
      const auto value = REQUIRE_OK(txn.get(Table::kTree, key));
      if (value) before.assign(value->begin(), value->end());
      Bytes after = before.empty() ? Bytes(60, 0x5A) : before;
      how(after);
      REQUIRE_DONE(txn.put(Table::kTree, key, after));
    });
    const DoctorReport report = ward.look(false);
    ward.operate([&](vault::Core&, store::WriteTxn& txn) {
      if (before.empty()) {
        REQUIRE(REQUIRE_OK(txn.erase(Table::kTree, key)));
      } else {
        REQUIRE_DONE(txn.put(Table::kTree, key, before));
      }
    });
    return report;
  };
  const auto nothing = [](Bytes&) {};
  // The half of an epoch: its slot, and the epoch that needs it.
  const DoctorReport half = put({2, 0xFF, 0, 0, 0, 0, 0, 0, 0, 0}, [](Bytes& value) { value[20] ^= 1; });
  CHECK(std::ranges::any_of(bad(half), [](const Finding& f) { return f.where == "key tree"; }));
  CHECK(std::ranges::any_of(bad(half), [](const Finding& f) { return f.where == "epoch identity:1"; }));
  // The leaf node of the records: the node, and all of its records.
  const DoctorReport leaf = put({1, 0, 0, 0, 0, 0, 0, 0, 0, 0}, [](Bytes& value) { value.back() ^= 1; });
  CHECK(std::ranges::count_if(bad(leaf), [](const Finding& f) { return f.where.starts_with("record "); }) >= 3);
  require_only(put({1, 0, 0, 0, 0, 0, 0, 0, 0, 9}, nothing), Severity::kError, "key tree", "node 9 of level 0, kind 1");
  require_only(put({2, 0xFF, 0, 0, 0, 0, 0, 0, 1, 9}, nothing), Severity::kError, "key tree", "is missing");
  require_only(put({4, 0, 0, 0, 0, 0, 0, 0, 0, 0}, nothing), Severity::kError, "key tree", "no node of this version");
  require_only(put({1, 0xFF, 0, 0, 0, 0, 0, 0, 0, 0}, nothing), Severity::kError, "key tree",
               "no node of this version");
  require_only(put({1}, nothing), Severity::kError, "key tree", "no node of this version");
  CHECK(ward.look().ok);
}

TEST_CASE("robust: doctor names what stands in tables and under keys where nothing of a vault can stand") {
  const Ward ward;
  ward.operate([](vault::Core&, store::WriteTxn& txn) {
    REQUIRE_DONE(txn.put(Table::kIndex, Bytes{1}, Bytes{1}));
    REQUIRE_DONE(txn.put(Table::kMeta, Bytes{1}, Bytes{1}));
    REQUIRE_DONE(txn.put(Table::kRows, Bytes(9), Bytes{1}));
    REQUIRE_DONE(txn.put(Table::kRows, Bytes(16), Bytes{1}));
  });
  std::vector<Finding> found = bad(ward.look(false));
  CHECK(std::ranges::count(found, "data.mdb", &Finding::where) == 4);
  CHECK(found.size() == 4);
}

TEST_CASE(
    "bound: doctor judges what cells claim: epoch, compartment, field and value, also of a writer with the keys") {
  const Ward ward;
  // An insider seals a cell of its own making into the row of Lan, under the right keys, version and stamp.
  const auto forge = [&](std::uint16_t field, std::string_view text, std::uint32_t epoch) {
    ward.operate([&](vault::Core& core, store::WriteTxn& txn) {
      const vault::DbState db = REQUIRE_OK(core.load_state(txn));
      const auto authority = REQUIRE_OK(core.authority_for(db));
      const std::uint64_t row = core.row_of(ward.lan).value();
      const Bytes old = Ward::row(core, txn, ward.lan);
      model::OpenedRow opened = REQUIRE_OK(core.open_row_number(txn, db, row, old));
      const auto key = REQUIRE_OK(core.epoch_key(txn, db, *authority, {1, 1}));
      Bytes encoded;
      format::CborWriter(encoded).text(text);
      const std::vector<model::PlainField> fields = {{field, encoded}};
      Bytes cells;
      model::Head& head = opened.head;
      head.cells = {model::seal_cell(core.row_context(row), authority->schema().compartments()[0], epoch, 1,
                                     crypto::Suite::kAes256Gcm, crypto::key_of(*key), crypto::key_of(head.record_key),
                                     fields, core.random(), cells)};
      const auto leaf = REQUIRE_OK(core.leaf_key(txn, db, 0));
      REQUIRE_DONE(txn.put(Table::kRows, vault::row_key(row),
                           model::seal_row(core.row_context(row), head, *leaf, cells, core.random())));
    });
  };
  const std::string where = "record " + ward.lan.to_string();
  forge(1, "Lan", 2);
  require_only(ward.look(false), Severity::kError, where, "epoch identity:2, which the log never opened");
  forge(3, "0902", 1);
  require_only(ward.look(false), Severity::kError, where, "has field 3 in compartment identity");
  forge(77, "0902", 1);
  require_only(ward.look(false), Severity::kError, where, "has field 77 in compartment identity");
  forge(1, "Lan", 1);
  CHECK(ward.look(false).ok);
  // The other cells are gone, and only the search index still knows of them.
  for (const Finding& finding : bad(ward.look())) CHECK(finding.what.find("search index") != std::string::npos);
}

TEST_CASE("erasable: doctor names each place of erasure.root that does not hold the live root") {
  const Ward ward;
  const std::filesystem::path file = ward.lab.vault() / "erasure.root";
  const Bytes whole = file_bytes(file);
  for (const std::size_t place :
       {std::size_t{0}, std::size_t{4096}, std::size_t{1} << 20U, (std::size_t{1} << 20U) + 4096}) {
    Bytes changed = whole;
    changed[place + 60] ^= 1;
    write_bytes(file, changed);
    require_only(ward.look(false), Severity::kWarning, "erasure.root at byte " + std::to_string(place), "live root");
  }
  write_bytes(file, ByteView(whole).first(4000));
  CHECK(bad(ward.look(false)).size() == 3);
  CHECK(ward.look(false).worst == Severity::kWarning);
  write_bytes(file, ByteView(whole).first(100));
  require_only(ward.look(false), Severity::kError, "data.mdb", "erasure.root");
  write_bytes(file, whole);
  CHECK(ward.look(false).ok);
}

TEST_CASE("tamper-evident: doctor names the log entry that was changed, and a vault that does not open is a finding") {
  const Ward ward;
  const Bytes whole = file_bytes(ward.lab.segment());
  Bytes changed = whole;
  std::size_t end = whole.size();
  while (end > 0 && whole[end - 1] == 0) --end;
  changed[end / 2] ^= 1;
  write_bytes(ward.lab.segment(), changed);
  DoctorReport report = ward.look();
  require_only(report, Severity::kError, "log, entry ", "damaged");
  CHECK(report.records == 0);
  write_bytes(ward.lab.segment(), whole);

  REQUIRE(::chmod(ward.lab.data().c_str(), 0644) == 0);
  require_only(ward.look(), Severity::kError, "data.mdb", "data.mdb");
  REQUIRE(::chmod(ward.lab.data().c_str(), 0600) == 0);

  const Bytes data = file_bytes(ward.lab.data());
  write_bytes(ward.lab.data(), ByteView(data).first(data.size() / 2));
  CHECK(ward.look().worst == Severity::kError);
  std::filesystem::remove(ward.lab.data());
  require_only(ward.look(), Severity::kError, "data.mdb", "missing");
  write_bytes(ward.lab.data(), data);

  ward.lab.save("old");
  {
    Session session = ward.lab.open();
    add_person(session, "Newer");
  }
  ward.lab.restore("old");
  require_only(ward.look(), Severity::kError, "anchor", "rolled back");
}

TEST_CASE("robust: what keeps doctor from looking is an error, not a finding") {
  const Ward ward;
  REQUIRE_ERROR(ErrorCode::kNotFound,
                examine(ward.lab.folder / "nowhere", ward.lab.owner.identity(), ward.lab.options()));
  const Person stranger = Person::make("stranger", ward.lab.folder / "s.identity");
  REQUIRE_ERROR(ErrorCode::kUntrusted, examine(ward.lab.vault(), stranger.identity(), ward.lab.options()));
  DoctorOptions options;
  std::size_t calls = 0;
  options.progress = [&](const Progress&) { return ++calls < 2; };
  REQUIRE_ERROR(ErrorCode::kCancelled,
                examine(ward.lab.vault(), ward.lab.owner.identity(), ward.lab.options(), options));
  CHECK(calls == 2);
}

TEST_CASE("durable: what a crash leaves is a warning with its remedy, and gone after the next writer") {
  const Ward ward;
  CHECK(in_child([&] {
          auto core = vault::Core::open(ward.lab.vault(), ward.lab.owner.identity(), ward.lab.options(),
                                        base::system_environment());
          if (!core) return 1;
          append_pending(**core);
          ::kill(::getpid(), SIGKILL);
          return 2;
        }) == -1);
  require_only(ward.look(), Severity::kWarning, "log entry 7", "the database does not hold");
  {
    Session session = ward.lab.open();
    add_person(session, "After");
  }
  CHECK(ward.look().ok);

  const Bytes whole = file_bytes(ward.lab.segment());
  Bytes torn = whole;
  std::size_t end = torn.size();
  while (torn[end - 1] == 0) --end;
  torn[end + 4] = 1;
  write_bytes(ward.lab.segment(), torn);
  require_only(ward.look(), Severity::kWarning, "log", "never acknowledged");
  {
    Session session = ward.lab.open();
    add_person(session, "After that");
  }
  CHECK(ward.look().ok);
}

TEST_CASE("robust: rows of an unfinished import, a clock set back and an open vault leave a vault ok, and are told") {
  const Ward ward;
  const auto told = [](const DoctorReport& report, const std::string& what) {
    return std::ranges::any_of(report.findings, [&](const Finding& finding) {
      return finding.severity == Severity::kInfo && finding.what.find(what) != std::string::npos;
    });
  };
  CHECK(in_child([&] {
          auto session = Session::open(ward.lab.vault(), ward.lab.owner.identity(), ward.lab.options());
          if (!session) return 1;
          Rows rows(10'500);
          ImportOptions options;
          options.progress = [&](const Progress& progress) {
            if (progress.stage == "write" && progress.done > 5000) ::kill(::getpid(), SIGKILL);
            return true;
          };
          (void)session->import_rows("person", rows, options);
          return 2;
        }) == -1);
  DoctorReport report = ward.look();
  CHECK(report.ok);
  CHECK(told(report, "of an import that is not published"));

  {
    FixedEnvironment time(3, 1'000'000'000'000);
    const base::Environment environment{&time.clock, base::system_environment().random};
    auto core = std::shared_ptr<vault::Core>(
        REQUIRE_OK(vault::Core::open(ward.lab.vault(), ward.lab.owner.identity(), ward.lab.options(), environment)));
    Session session(std::make_unique<Session::Impl>(core));
    add_person(session, "Back-dated");
  }
  report = ward.look();
  CHECK(report.ok);
  CHECK(told(report, "a clock was set back"));
  CHECK_FALSE(told(report, "another process"));

  const Session open = ward.lab.open();
  CHECK(in_child([&] {
          const auto beside = examine(ward.lab.vault(), ward.lab.owner.identity(), ward.lab.options());
          return beside && beside->ok && told(*beside, "another process") ? 0 : 1;
        }) == 0);
}

}  // namespace
}  // namespace casevault::test
