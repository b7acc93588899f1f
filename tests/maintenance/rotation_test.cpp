// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <atomic>
#include <thread>

#include "faulty_calls.hpp"
#include "keys/key_tree.hpp"
#include "lab.hpp"
#include "maintained.hpp"
#include "vault/epochs.hpp"
#include "vault/people.hpp"
#include "vault/row_key.hpp"

namespace casevault::test {
namespace {

/// People with names in compartment identity, an officer who holds it, an analyst who does not.
struct Archive {
  Lab lab;
  Person officer, analyst;
  std::vector<RecordId> ids;

  explicit Archive(std::uint64_t people = 5) {
    Session session = lab.open();
    officer = lab.add(session, "officer", "officer", {"identity"});
    analyst = lab.add(session, "analyst", "analyst", {"statistics"});
    Rows rows(people);
    ImportOptions options;
    options.collect_ids = true;
    ids = REQUIRE_OK(session.import_rows("person", rows, options)).ids;
  }
  [[nodiscard]] std::uint64_t cells(Session& session, const std::string& compartment, std::uint32_t epoch) const {
    return key_info(session, compartment, epoch).cells;
  }
  void require_names(Session& session, std::uint64_t people) const {
    const Values values = REQUIRE_OK(disclose(session, request_for(ids)));
    REQUIRE(values.size() == people);
    for (std::size_t i = 0; i < values.size(); ++i) REQUIRE(values[i][0] == "Person " + std::to_string(i + 1));
  }
  [[nodiscard]] bool healthy() const { return test::healthy(lab); }
};

TEST_CASE("rotatable: a rotation is for new writes at once, and who held the compartment reads old and new") {
  const Archive archive;
  {
    Session session = archive.lab.open();
    const Rotation rotation = REQUIRE_OK(session.rotate("identity"));
    CHECK(rotation.compartment == "identity");
    CHECK(rotation.old_epoch == 1);
    CHECK(rotation.new_epoch == 2);
    const RecordId id = add_person(session, "After").id;
    CHECK(archive.cells(session, "identity", 1) == 5);
    CHECK(archive.cells(session, "identity", 2) == 1);
    CHECK(archive.cells(session, "statistics", 1) == 5);
    CHECK(state_of(session, "identity", 1) == "old");
    CHECK(state_of(session, "identity", 2) == "current");
    CHECK(name_of(session, id) == "After");
    archive.require_names(session, 5);
    REQUIRE_OK(session.rotate("identity"));  // a chain of pasts
    const FieldInput change[] = {{"full_name", "Person 1"}};
    REQUIRE_OK(session.update(archive.ids[0], change));
    CHECK(archive.cells(session, "identity", 3) == 1);
    archive.require_names(session, 5);
    require_sound(session);
  }
  Session officer = archive.lab.open(archive.officer);
  archive.require_names(officer, 5);
  officer.close();
  Session analyst = archive.lab.open(archive.analyst);
  REQUIRE_ERROR(ErrorCode::kRefused, disclose(analyst, request_for(archive.ids)));
  analyst.close();
  CHECK(archive.healthy());
}

TEST_CASE("rotatable: an epoch opened by one process is used by the sessions that others have open") {
  const Archive archive;
  Session session = archive.lab.open();
  CHECK(in_child([&] {
          auto beside = Session::open(archive.lab.vault(), archive.officer.identity(), archive.lab.options());
          return beside && beside->rotate("identity") ? 0 : 1;
        }) == 0);
  const RecordId id = add_person(session, "Mine").id;
  CHECK(archive.cells(session, "identity", 2) == 1);
  CHECK(name_of(session, id) == "Mine");
  archive.require_names(session, 5);
}

TEST_CASE("compartmented: who does not hold a compartment cannot rotate, move or destroy, and each try is logged") {
  const Archive archive;
  {
    Session analyst = archive.lab.open(archive.analyst);
    REQUIRE_ERROR(ErrorCode::kNoGrant, analyst.rotate("identity"));
    REQUIRE_ERROR(ErrorCode::kRefused, analyst.reencrypt({}));  // analysts write nothing
  }
  Session officer = archive.lab.open(archive.officer);
  ReencryptOptions options;
  options.compartment = "contact";
  REQUIRE_ERROR(ErrorCode::kNoGrant, officer.reencrypt(options));
  REQUIRE_OK(officer.rotate("identity"));  // adds nobody, so it needs no right to grant
  REQUIRE_OK(officer.reencrypt({}));
  REQUIRE_ERROR(ErrorCode::kRefused, officer.destroy_epoch("identity", 1));
  const auto log = entries(officer);
  CHECK(std::ranges::count_if(log, [](const LogEntry& entry) {
          return entry.outcome == audit::Outcome::kDenied &&
                 (entry.action == audit::Action::kKeyRotate || entry.action == audit::Action::kKeyDestroy);
        }) == 2);
}

TEST_CASE("compartmented: an epoch that goes to others than those who held the one before is never written") {
  const Archive archive;
  const Person stranger = Person::make("stranger", archive.lab.folder / "stranger.identity");
  const auto core = archive.lab.core();
  const std::uint64_t before = core->journal().state().tree.size();
  enum class Twist { kNone, kOneMore, kOneLess, kMoreRight, kNoPast, kTwoPasts, kSkip, kOther };
  const auto attempt = [&](Twist twist) {
    auto work = REQUIRE_OK(vault::UnitOfWork::begin(*core));
    base::Random& random = core->random();
    const keys::EpochName old{1, 1};
    const keys::EpochName name{1, twist == Twist::kSkip ? 3U : 2U};
    const SecretBytes granted = crypto::random_key(random);
    const SecretBytes half = crypto::random_key(random);
    const SecretBytes past = REQUIRE_OK(core->granted_key(work.authority(), old));
    std::vector<vault::AuthorityOp> ops;
    ops.emplace_back(vault::OpEpoch{
        name, keys::commit_epoch(core->tag(), name, granted, keys::epoch_key(core->tag(), name, granted, half)), 9});
    const vault::OpPastEpoch keeps{name, keys::seal_past_epoch(core->tag(), name, granted, past, random)};
    if (twist != Twist::kNoPast) ops.emplace_back(keeps);
    if (twist == Twist::kTwoPasts) ops.emplace_back(keeps);
    for (const auto& [number, principal] : work.authority().state.principals) {
      const bool held = principal.grants.contains(old);
      if (twist == Twist::kOneLess && principal.who.name == "officer") continue;
      if (!held && !(twist == Twist::kOneMore && principal.who.name == "analyst")) continue;
      const bool right = twist == Twist::kMoreRight || (held && principal.grants.at(old).may_grant);
      ops.emplace_back(vault::OpGrant{number, name, Bytes(137), right, 0});
    }
    if (twist == Twist::kOther) {  // a grant of another compartment's present epoch, slipped in
      ops.emplace_back(vault::OpGrant{3, {3, 2}, Bytes(137), false, 0});
    }
    return work.commit_authority(audit::Action::kKeyRotate, "forged", std::move(ops), {});
  };
  for (const Twist twist : {Twist::kOneMore, Twist::kOneLess, Twist::kMoreRight, Twist::kNoPast, Twist::kTwoPasts,
                            Twist::kSkip, Twist::kOther}) {
    CAPTURE(static_cast<int>(twist));
    REQUIRE_ERROR(ErrorCode::kBadInput, attempt(twist));
  }
  CHECK(core->journal().state().tree.size() == before);
  REQUIRE_OK(attempt(Twist::kNone));  // the same without a twist is well-formed
}

TEST_CASE("rotatable: re-encryption moves every cell, changes no value, version or word of the log") {
  const Archive archive(300);
  Session session = archive.lab.open();
  const FieldInput long_note[] = {{"note", "x"}};
  REQUIRE_OK(session.update(archive.ids[7], long_note));
  for (const char* compartment : {"identity", "statistics"}) REQUIRE_OK(session.rotate(compartment));
  const auto listed = REQUIRE_OK(session.list("person", 1000));
  std::uint64_t last = 0;
  ReencryptOptions options;
  options.progress = [&](const Progress& at) {
    if (at.stage != "cells") return true;
    CHECK(at.done > last);
    CHECK(at.total == 600);
    last = at.done;
    return true;
  };
  const Reencryption moved = REQUIRE_OK(session.reencrypt(options));
  CHECK(moved.done == 600);
  CHECK(moved.total == 600);
  CHECK(moved.finished);
  CHECK(last == 600);
  CHECK(archive.cells(session, "identity", 1) == 0);
  CHECK(archive.cells(session, "identity", 2) == 300);
  CHECK(archive.cells(session, "statistics", 2) == 300);
  archive.require_names(session, 300);
  const auto after = REQUIRE_OK(session.list("person", 1000));
  for (std::size_t i = 0; i < listed.size(); ++i) CHECK(listed[i].version == after[i].version);
  require_sound(session);
  CHECK(REQUIRE_OK(session.reencrypt({})).done == 0);  // nothing to do, nothing logged
  CHECK(std::ranges::count(entries(session), audit::Action::kKeyReencrypt, &LogEntry::action) == 1);
  session.close();
  CHECK(archive.healthy());
}

TEST_CASE("rotatable: a re-encryption that is stopped goes on where it was, also by another holder") {
  const Archive archive(400);
  Session session = archive.lab.open();
  REQUIRE_OK(session.rotate("identity"));
  ReencryptOptions options;
  options.compartment = "identity";
  options.rate = 20;
  options.progress = [](const Progress&) { return false; };
  const Reencryption first = REQUIRE_OK(session.reencrypt(options));
  CHECK(first.done > 0);
  CHECK_FALSE(first.finished);
  session.close();
  Session officer = archive.lab.open(archive.officer);
  const Reencryption second = REQUIRE_OK(officer.reencrypt({}));
  CHECK(second.finished);
  CHECK(first.done + second.done == 400);
  archive.require_names(officer, 400);
}

TEST_CASE("rotatable: writers and readers work while cells move, and lose nothing") {
  const Archive archive(2000);
  Session session = archive.lab.open();
  REQUIRE_OK(session.rotate("identity"));
  std::atomic<bool> done = false;
  std::atomic<int> failures = 0;
  std::vector<std::string> names(archive.ids.size());
  for (std::size_t i = 0; i < names.size(); ++i) names[i] = "Person " + std::to_string(i + 1);
  std::thread writer([&] {
    for (std::size_t i = 0; !done || i < 20; ++i) {
      const std::size_t which = i * 37 % names.size();
      const std::string text = "Changed " + std::to_string(i);
      const FieldInput change[] = {{"full_name", text}};
      if (!session.update(archive.ids[which], change)) ++failures;
      names[which] = text;
    }
  });
  std::thread reader([&] {
    for (std::size_t i = 0; !done || i < 20; ++i) {
      auto values = disclose(session, request_for({archive.ids[i % names.size()]}));
      if (!values && values.error().code != ErrorCode::kConflict && values.error().code != ErrorCode::kBusy) ++failures;
    }
  });
  const auto moved = session.reencrypt({});
  done = true;
  writer.join();
  reader.join();
  REQUIRE(moved.has_value());
  CHECK(moved->finished);
  CHECK(failures == 0);
  CHECK(archive.cells(session, "identity", 1) == 0);
  const Values values = REQUIRE_OK(disclose(session, request_for(archive.ids)));
  for (std::size_t i = 0; i < names.size(); ++i) REQUIRE(values[i][0] == names[i]);
  require_sound(session);
}

TEST_CASE("rotatable: an epoch is destroyed only when nothing is under it, and the census that says so is signed") {
  const Archive archive;
  Session session = archive.lab.open();
  CHECK_FALSE(REQUIRE_OK(session.census()).entry);
  REQUIRE_ERROR(ErrorCode::kRefused, session.destroy_epoch("identity", 1));
  REQUIRE_ERROR(ErrorCode::kNotFound, session.destroy_epoch("identity", 2));
  REQUIRE_ERROR(ErrorCode::kNotFound, session.destroy_epoch("nothing", 1));
  REQUIRE_OK(session.rotate("identity"));
  REQUIRE_OK(session.rotate("audit"));
  const Census before = REQUIRE_OK(session.census());
  CHECK(before.old_cells == 5);
  CHECK_FALSE(before.entry);
  REQUIRE_ERROR(ErrorCode::kRefused, session.destroy_epoch("identity", 1));
  REQUIRE_OK(session.reencrypt({}));
  const Census zero = REQUIRE_OK(session.census());
  CHECK(zero.old_cells == 0);
  REQUIRE(zero.entry);
  CHECK(entries(session).at(*zero.entry).action == audit::Action::kKeyCensus);
  CHECK(entries(session).at(*zero.entry).actor == "owner");
  REQUIRE_ERROR(ErrorCode::kRefused, session.destroy_epoch("audit", 1));
  const std::uint64_t entry = REQUIRE_OK(session.destroy_epoch("identity", 1));
  CHECK(entries(session).at(entry).action == audit::Action::kKeyDestroy);
  CHECK(state_of(session, "identity", 1) == "destroyed");
  REQUIRE_ERROR(ErrorCode::kRefused, session.destroy_epoch("identity", 1));
  archive.require_names(session, 5);
  CHECK(entries(session, true).size() > 10);  // details of both audit epochs
  require_sound(session);
  session.close();
  CHECK(archive.healthy());
  Session officer = archive.lab.open(archive.officer);
  archive.require_names(officer, 5);
}

TEST_CASE("rotatable: with all grants and an older copy of the database, a destroyed epoch opens no cell") {
  const Archive archive;
  archive.lab.save("old");
  {
    Session session = archive.lab.open();
    REQUIRE_OK(session.rotate("identity"));
    REQUIRE_OK(session.reencrypt({}));
    REQUIRE_OK(session.destroy_epoch("identity", 1));
  }
  // The thief: the old database and log, the present erasure.root, every key of the owner, an own program.
  std::optional<SecretBytes> root;
  {
    const auto core = archive.lab.core();
    REQUIRE_OK(core->snapshot());
    root = core->erasure_root()->clone();
  }
  const auto tag = archive.lab.core()->tag();
  archive.lab.save("new");
  archive.lab.restore("old");
  store::LmdbOptions lmdb;
  lmdb.read_only = true;
  auto database = REQUIRE_OK(store::open_lmdb_store(archive.lab.vault(), lmdb));
  auto txn = REQUIRE_OK(database->begin_read());
  std::optional<SecretBytes> old_root;
  {
    OpenOptions look;
    look.read_only = true;
    look.state_folder = archive.lab.folder / "other-state";
    const auto core = REQUIRE_OK(
        vault::Core::open(archive.lab.folder / "old", archive.lab.owner.identity(), look, base::system_environment()));
    old_root = core->erasure_root()->clone();
  }
  const keys::KeyTree tree(tag, *base::system_environment().random);
  REQUIRE_OK(tree.get_slot(*txn, *old_root, keys::TreeKind::kEpochHalves, 0));  // the old root would do it
  REQUIRE_ERROR(ErrorCode::kIntegrity, tree.get_slot(*txn, *root, keys::TreeKind::kEpochHalves, 0));
  txn.reset();
  database.reset();
  // And the old root is nowhere in what there is now: no place of erasure.root opens to it.
  std::filesystem::copy_file(archive.lab.folder / "new" / "erasure.root", archive.lab.vault() / "erasure.root",
                             std::filesystem::copy_options::overwrite_existing);
  OpenOptions fresh;
  fresh.state_folder = archive.lab.folder / "no-anchor";
  REQUIRE_ERROR(ErrorCode::kRolledBack, Session::open(archive.lab.vault(), archive.lab.owner.identity(), fresh));
}

TEST_CASE("rotatable: who is revoked is out at once, in sessions that are open too, and reads nothing written after") {
  const Archive archive;
  Session owner = archive.lab.open();
  // The officer's process has the vault open when the owner revokes it.
  std::array<int, 2> go{};
  std::array<int, 2> ready{};
  REQUIRE(::pipe(go.data()) == 0);
  REQUIRE(::pipe(ready.data()) == 0);
  const pid_t child = ::fork();
  if (child == 0) {
    auto session = Session::open(archive.lab.vault(), archive.officer.identity(), archive.lab.options());
    const bool before = session && disclose(*session, request_for({archive.ids[0]})).has_value();
    char byte = 0;
    if (::write(ready[1], &byte, 1) != 1 || ::read(go[0], &byte, 1) != 1) ::_exit(9);
    const FieldInput change[] = {{"full_name", "x"}};
    const bool after = disclose(*session, request_for({archive.ids[0]})).has_value() ||
                       session->update(archive.ids[0], change).has_value() || session->status().has_value();
    ::_exit(before && !after ? 0 : 1);
  }
  char byte = 0;
  REQUIRE(::read(ready[0], &byte, 1) == 1);
  REQUIRE_OK(owner.revoke("officer"));
  REQUIRE(::write(go[1], &byte, 1) == 1);
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  CHECK(WIFEXITED(status));
  CHECK(WEXITSTATUS(status) == 0);
  for (const int fd : {go[0], go[1], ready[0], ready[1]}) ::close(fd);

  REQUIRE_ERROR(ErrorCode::kConflict, owner.revoke("officer"));
  const std::vector<PrincipalInfo> people = REQUIRE_OK(owner.principals());
  const auto officer = std::ranges::find(people, "officer", &PrincipalInfo::name);
  REQUIRE(officer != people.end());
  CHECK(officer->revoked);
  CHECK(officer->grants.empty());
  CHECK(state_of(owner, "identity", 1) == "old");
  CHECK(state_of(owner, "contact", 1) == "current");  // the officer did not hold it
  const RecordId after = add_person(owner, "After").id;
  CHECK(archive.cells(owner, "identity", 2) == 1);
  CHECK(name_of(owner, after) == "After");
  require_sound(owner);
  owner.close();
  REQUIRE_ERROR(ErrorCode::kNoGrant, archive.lab.try_open(archive.officer));
  CHECK(archive.healthy());
}

TEST_CASE("compartmented: revoking keeps to roles, leaves an owner, and a holder for every compartment") {
  const Archive archive;
  Person administrator;
  {
    Session owner = archive.lab.open();
    administrator = archive.lab.add(owner, "administrator", "administrator", {});
    REQUIRE_ERROR(ErrorCode::kRefused, owner.revoke("owner"));
    REQUIRE_ERROR(ErrorCode::kNotFound, owner.revoke("nobody"));
    const std::vector<std::string> contact = {"contact"};
    REQUIRE_ERROR(ErrorCode::kRefused, owner.revoke_grant("owner", contact));
    REQUIRE_ERROR(ErrorCode::kNotFound, owner.revoke_grant("officer", contact));
  }
  {
    Session officer = archive.lab.open(archive.officer);
    REQUIRE_ERROR(ErrorCode::kRefused, officer.revoke("analyst"));
    const std::vector<std::string> statistics = {"statistics"};
    REQUIRE_ERROR(ErrorCode::kRefused, officer.revoke_grant("analyst", statistics));
  }
  {
    // An administrator certifies and revokes without holding a compartment.
    Session session = archive.lab.open(administrator);
    REQUIRE_ERROR(ErrorCode::kRefused, session.revoke("owner"));
    REQUIRE_OK(session.revoke("officer"));
    CHECK(state_of(session, "identity", 1) == "current");  // it cannot open the successor
  }
  Session owner = archive.lab.open();
  archive.require_names(owner, 5);
  add_person(owner, "After");  // the next writer who holds the compartment does
  CHECK(state_of(owner, "identity", 1) == "old");
  CHECK(archive.cells(owner, "identity", 1) == 5);
  CHECK(archive.cells(owner, "identity", 2) == 1);
  require_sound(owner);
}

TEST_CASE("rotatable: a compartment that is taken back is closed for what comes after, and the rest stays open") {
  const Archive archive;
  Session owner = archive.lab.open();
  const std::vector<std::string> statistics = {"statistics"};
  REQUIRE_OK(owner.grant("officer", statistics));
  REQUIRE_OK(owner.revoke_grant("officer", statistics));
  CHECK(state_of(owner, "statistics", 1) == "old");
  CHECK(state_of(owner, "identity", 1) == "current");
  add_person(owner, "After");
  owner.close();
  {
    Session officer = archive.lab.open(archive.officer);
    archive.require_names(officer, 5);
    const auto values = disclose(officer, request_for({archive.ids[0]}, {"sex"}));
    REQUIRE_ERROR(ErrorCode::kNoGrant, values);
    officer.close();
    // With its old grant and a program of its own it opens the old epoch, and not the new one.
    const auto core = archive.lab.core(archive.officer);
    const vault::Snapshot snapshot = REQUIRE_OK(core->snapshot());
    REQUIRE_ERROR(ErrorCode::kNoGrant, core->granted_key(*snapshot.authority, {2, 2}));
  }
  owner = archive.lab.open();
  REQUIRE_OK(owner.grant("officer", statistics));  // and given again
  owner.close();
  Session officer = archive.lab.open(archive.officer);
  CHECK(REQUIRE_OK(disclose(officer, request_for({archive.ids[0]}, {"sex"})))[0][0] == "male");
}

TEST_CASE("rotatable: a slot of the key tree is the half of one epoch only, and details of the log keep theirs") {
  const Archive archive;
  const auto core = archive.lab.core();
  const auto attempt = [&](std::vector<vault::AuthorityOp> ops) {
    auto work = REQUIRE_OK(vault::UnitOfWork::begin(*core));
    return work.commit_authority(audit::Action::kKeyDestroy, "forged", std::move(ops), {});
  };
  {
    // Destroying an epoch whose half is also another's would end both.
    auto work = REQUIRE_OK(vault::UnitOfWork::begin(*core));
    base::Random& random = core->random();
    const keys::EpochName name{3, 2};
    const SecretBytes granted = crypto::random_key(random);
    const SecretBytes past = REQUIRE_OK(core->granted_key(work.authority(), {3, 1}));
    const std::uint64_t slot = work.authority().state.epochs.at({1, 1}).half_slot;
    const SecretBytes half =
        REQUIRE_OK(keys::KeyTree(core->tag(), random)
                       .get_slot(work.txn(), *work.db().root_key, keys::TreeKind::kEpochHalves, slot));
    std::vector<vault::AuthorityOp> ops;
    ops.emplace_back(vault::OpEpoch{
        name, keys::commit_epoch(core->tag(), name, granted, keys::epoch_key(core->tag(), name, granted, half)), slot});
    ops.emplace_back(vault::OpPastEpoch{name, keys::seal_past_epoch(core->tag(), name, granted, past, random)});
    ops.emplace_back(vault::OpGrant{1, name, Bytes(137), true, 0});
    REQUIRE_ERROR(ErrorCode::kBadInput, work.commit_authority(audit::Action::kKeyRotate, "forged", std::move(ops), {}));
  }
  std::vector<vault::AuthorityOp> present;
  present.emplace_back(vault::OpDestroyedEpoch{{1, 1}});
  REQUIRE_ERROR(ErrorCode::kBadInput, attempt(std::move(present)));
  REQUIRE_OK(vault::open_successor(*core, "audit"));
  std::vector<vault::AuthorityOp> details;
  details.emplace_back(vault::OpDestroyedEpoch{{vault::kAuditCompartment, 1}});
  REQUIRE_ERROR(ErrorCode::kBadInput, attempt(std::move(details)));
}

TEST_CASE(
    "rotatable: an older row put back under a destroyed epoch is named, and keeps nothing else from being moved") {
  const Archive archive(300);
  Bytes old;
  const auto row_of = [&](vault::Core& core) { return core.row_of(archive.ids[3]).value(); };
  {
    const auto core = archive.lab.core();
    const auto txn = REQUIRE_OK(core->store().begin_read());
    const auto value = REQUIRE_OK(txn->get(store::Table::kRows, vault::row_key(row_of(*core))));
    old.assign(value->begin(), value->end());
  }
  {
    Session session = archive.lab.open();
    REQUIRE_OK(session.rotate("identity"));
    REQUIRE_OK(session.reencrypt({}));
    REQUIRE_OK(session.destroy_epoch("identity", 1));
    REQUIRE_OK(session.rotate("identity"));
  }
  {
    // No key is needed for this: the head still says what the log says.
    const auto core = archive.lab.core();
    auto txn = REQUIRE_OK(core->store().begin_write());
    REQUIRE_DONE(txn->put(store::Table::kRows, vault::row_key(row_of(*core)), old));
    REQUIRE_DONE(txn->commit());
  }
  for (const bool deep : {false, true}) {
    DoctorOptions options;
    options.deep = deep;
    const DoctorReport report =
        REQUIRE_OK(examine(archive.lab.vault(), archive.lab.owner.identity(), archive.lab.options(), options));
    CHECK(report.worst == Severity::kError);
    CHECK(std::ranges::any_of(report.findings, [&](const Finding& finding) {
      return finding.where == "record " + archive.ids[3].to_string() &&
             finding.what.find("was destroyed") != std::string::npos;
    }));
  }
  Session session = archive.lab.open();
  const Reencryption moved = REQUIRE_OK(session.reencrypt({}));
  CHECK(moved.done == 299);
  CHECK_FALSE(moved.finished);
  REQUIRE(moved.failed.size() == 1);
  CHECK(moved.failed[0].find(archive.ids[3].to_string()) != std::string::npos);
  CHECK_FALSE(REQUIRE_OK(session.census()).entry);
}

TEST_CASE("rotatable: a head that an insider labelled anew does not lead to the end of an epoch that is in use") {
  const Archive archive;
  {
    Session session = archive.lab.open();
    REQUIRE_OK(session.rotate("identity"));
  }
  {
    // With the vault key, and without the compartment: heads say that their cells are under the new epoch.
    const auto core = archive.lab.core();
    auto txn = REQUIRE_OK(core->store().begin_write());
    const vault::DbState db = REQUIRE_OK(core->load_state(*txn));
    for (const RecordId& id : archive.ids) {
      const std::uint64_t row = core->row_of(id).value();
      const auto value = REQUIRE_OK(txn->get(store::Table::kRows, vault::row_key(row)));
      const Bytes bytes(value->begin(), value->end());
      model::OpenedRow opened = REQUIRE_OK(core->open_row_number(*txn, db, row, bytes));
      for (model::CellEntry& cell : opened.head.cells) {
        if (cell.compartment == 1) cell.epoch = 2;
      }
      const auto leaf = REQUIRE_OK(core->leaf_key(*txn, db, 0));
      REQUIRE_DONE(txn->put(store::Table::kRows, vault::row_key(row),
                            model::seal_row(core->row_context(row), opened.head, *leaf, opened.cells, core->random())));
    }
    REQUIRE_DONE(txn->commit());
  }
  Session session = archive.lab.open();
  CHECK(REQUIRE_OK(session.reencrypt({})).done == 0);
  REQUIRE_ERROR(ErrorCode::kIntegrity, session.destroy_epoch("identity", 1));
  CHECK(state_of(session, "identity", 1) == "old");
}

TEST_CASE("rotatable: readers of this and of other processes are not disturbed while epochs are destroyed") {
  const Archive archive(600);
  Session session = archive.lab.open();
  std::atomic<bool> done = false;
  std::vector<std::string> wrong;
  std::vector<std::string> wrong_here;
  std::thread reader([&] {
    for (int i = 0; !done || i < 5; ++i) {
      if (const auto keys = session.keys(); !keys) wrong.push_back(keys.error().message);
      if (const auto report = session.verify_log(); !report || !report->ok) {
        wrong.push_back(report ? report->reason : report.error().message);
      }
    }
  });
  const pid_t child = ::fork();
  if (child == 0) {
    for (int i = 0; i < 40; ++i) {
      auto beside = Session::open(archive.lab.vault(), archive.officer.identity(), archive.lab.options());
      if (!beside) ::_exit(1);
      if (!beside->keys()) ::_exit(2);
    }
    ::_exit(0);
  }
  // An opener that settles the root holds its lock for a moment.
  const auto patient = [&](const auto& work) {
    for (;;) {
      const auto result = work();
      if (result.has_value()) return;
      if (result.error().code == ErrorCode::kBusy) continue;
      wrong_here.push_back(result.error().message);
      return;
    }
  };
  for (std::uint32_t epoch = 1; epoch <= 4; ++epoch) {
    patient([&] { return session.rotate("identity"); });
    patient([&] { return session.reencrypt({}); });
    patient([&] { return session.destroy_epoch("identity", epoch); });
  }
  done = true;
  reader.join();
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  CHECK(WIFEXITED(status));
  CHECK(WEXITSTATUS(status) == 0);
  wrong.insert(wrong.end(), wrong_here.begin(), wrong_here.end());
  for (const std::string& what : wrong) UNSCOPED_INFO(what);
  CHECK(wrong.empty());
  CHECK(state_of(session, "identity", 4) == "destroyed");
  archive.require_names(session, 600);
}

TEST_CASE("rotatable: while a revocation stands in the log uncommitted, nothing is decided before it is settled") {
  const Archive archive;
  Session officer = archive.lab.open(archive.officer);
  archive.require_names(officer, 5);
  CHECK(in_child([&] {
          auto core = vault::Core::open(archive.lab.vault(), archive.lab.owner.identity(), archive.lab.options(),
                                        base::system_environment());
          if (!core) return 1;
          auto snapshot = (*core)->snapshot();
          if (!snapshot) return 2;
          auto entry = (*core)->draft(*snapshot->authority, audit::Action::kPrincipalRevoke, audit::Outcome::kOk, {});
          if (!entry) return 3;
          entry->mutation = true;
          entry->authority.emplace_back(vault::OpRevoke{snapshot->authority->state.find("officer")->number});
          if (!(*core)->append(*std::move(entry))) return 4;
          ::kill(::getpid(), SIGKILL);  // before the commit
          return 5;
        }) == -1);
  // The disclosure settles what stands there: its writer is dead, so it never takes effect.
  archive.require_names(officer, 5);
  const std::vector<LogEntry> log = entries(officer);
  const auto at = [&](audit::Action action) { return std::ranges::find(log, action, &LogEntry::action) - log.begin(); };
  CHECK(at(audit::Action::kPrincipalRevoke) < at(audit::Action::kNotApplied));
  CHECK(log.back().action == audit::Action::kDisclose);
  CHECK(std::ranges::none_of(log, [&](const LogEntry& entry) {
    return entry.action == audit::Action::kDisclose &&
           entry.entry > log[static_cast<std::size_t>(at(audit::Action::kPrincipalRevoke))].entry &&
           entry.entry < log[static_cast<std::size_t>(at(audit::Action::kNotApplied))].entry;
  }));
  officer.close();
  Session owner = archive.lab.open();
  require_sound(owner);
}

TEST_CASE(
    "rotatable: killed between any two steps of rotate, re-encrypt and destroy, the vault opens whole and the job "
    "ends") {
  const Archive archive(20);
  archive.lab.save("start");
  int steps = 0;
  const auto work = [&](Session& session) {
    return session.rotate("identity") && session.reencrypt({}) && session.census() &&
           session.destroy_epoch("identity", 1);
  };
  for (int at = 1; at <= 400; ++at) {
    CAPTURE(at);
    archive.lab.restore("start");
    std::filesystem::remove_all(archive.lab.state());
    const int end = in_child([&] {
      auto session = Session::open(archive.lab.vault(), archive.lab.owner.identity(), archive.lab.options());
      if (!session) return 1;
      call_faults().reset();
      call_faults().kill_at = at;
      const bool done = work(*session);
      call_faults().reset();
      return done ? 0 : 2;
    });
    if (end == 0) {
      steps = at;
      break;
    }
    REQUIRE(end == -1);
    Session session = archive.lab.open();
    archive.require_names(session, 20);
    if (state_of(session, "identity", 1) == "current") REQUIRE_OK(session.rotate("identity"));
    REQUIRE(REQUIRE_OK(session.reencrypt({})).finished);
    if (state_of(session, "identity", 1) == "old") REQUIRE_OK(session.destroy_epoch("identity", 1));
    CHECK(state_of(session, "identity", 1) == "destroyed");
    archive.require_names(session, 20);
    require_sound(session);
    session.close();
    if (at % 5 == 0) CHECK(archive.healthy());
  }
  CHECK(steps > 20);
}

TEST_CASE("rotatable: a storage call that fails in rotate, re-encrypt or destroy is told, and nothing is lost") {
  const Archive archive(10);
  archive.lab.save("start");
  int failed = 0;
  for (int at = 1; at <= 400; ++at) {
    CAPTURE(at);
    archive.lab.restore("start");
    std::filesystem::remove_all(archive.lab.state());
    {
      Session session = archive.lab.open();
      call_faults().reset();
      call_faults().error = at % 2 == 0 ? ENOSPC : EIO;
      call_faults().fail_at = at;
      const auto rotated = session.rotate("identity");
      const auto moved = session.reencrypt({});
      const auto destroyed = session.destroy_epoch("identity", 1);
      const bool reached = call_faults().calls >= at;
      call_faults().reset();
      session.close();
      if (!reached) break;
      ++failed;
      (void)rotated, (void)moved, (void)destroyed;
    }
    Session session = archive.lab.open();
    archive.require_names(session, 10);
    if (state_of(session, "identity", 1) == "current") REQUIRE_OK(session.rotate("identity"));
    REQUIRE(REQUIRE_OK(session.reencrypt({})).finished);
    if (state_of(session, "identity", 1) == "old") REQUIRE_OK(session.destroy_epoch("identity", 1));
    archive.require_names(session, 10);
    require_sound(session);
  }
  CHECK(failed > 20);
}

}  // namespace
}  // namespace casevault::test
