// SPDX-License-Identifier: Apache-2.0
#include <sys/stat.h>

#include <algorithm>
#include <fstream>

#include "base/text.hpp"
#include "lab.hpp"
#include "log_editor.hpp"
#include "support/fixed_environment.hpp"
#include "vault/row_key.hpp"
#include "vault/session_impl.hpp"

namespace casevault::test {
namespace {

using store::Table;

/// A vault with a bit of everything in its log, closed.
struct Busy {
  Lab lab;
  RecordId hoa, lan;
  std::uint64_t size = 0;
  std::string checkpoint;

  Busy() {
    Session session = lab.open();
    hoa = add_person(session, "Hoa CANARY-1", "0901").id;
    lan = add_person(session, "Lan CANARY-2", "0902").id;
    const FieldInput change[] = {{"phone", "0903"}};
    REQUIRE_OK(session.update(hoa, change));
    lab.add(session, "officer", "officer", {"identity"});
    REQUIRE_OK(disclose(session, request_for({hoa, lan}, {"full_name"})));
    size = REQUIRE_OK(session.status()).log_size;
    checkpoint = REQUIRE_OK(session.checkpoint());
  }
};

/// Opening and verifying must tell of it. `deep` verification runs as the owner, who holds the audit compartment.
void require_noticed(const Lab& lab, std::string_view anchor = {}) {
  auto session = lab.try_open(lab.owner, true);
  if (!session) {
    const ErrorCode code = session.error().code;
    INFO(session.error().message);
    REQUIRE((code == ErrorCode::kIntegrity || code == ErrorCode::kRolledBack || code == ErrorCode::kUnsupported ||
             code == ErrorCode::kNoGrant));
    return;
  }
  const auto report = session->verify_log(anchor);
  if (!report) {
    REQUIRE((report.error().code == ErrorCode::kIntegrity || report.error().code == ErrorCode::kRolledBack));
    return;
  }
  REQUIRE_FALSE(report->ok);
  REQUIRE_FALSE(report->reason.empty());
}

void flip_log(std::size_t step) {
  const Busy busy;
  const Bytes whole = file_bytes(busy.lab.segment());
  const std::size_t end = used_bytes(whole);
  std::fstream file(busy.lab.segment(), std::ios::binary | std::ios::in | std::ios::out);
  const auto poke = [&](std::size_t at, std::uint8_t byte) {
    file.seekp(static_cast<std::streamoff>(at)).put(static_cast<char>(byte)).flush();
    REQUIRE(file.good());
  };
  for (std::size_t i = 0; i < end; i += step) {
    CAPTURE(i, end);
    poke(i, whole[i] ^ 0x20U);
    require_noticed(busy.lab);
    poke(i, whole[i]);
  }
}

TEST_CASE("tamper-evident: a flipped byte of the log is told at opening or by verify") { flip_log(113); }
TEST_CASE("tamper-evident: a flipped byte of the log is told at opening or by verify, every byte", "[.long]") {
  flip_log(1);
}

TEST_CASE("tamper-evident: a log that is put together again unchanged is accepted") {
  const Busy busy;
  const Bytes before = file_bytes(busy.lab.segment());
  const LogEditor editor(busy.lab.segment());
  CHECK(editor.batches.size() == busy.size);
  editor.write();
  CHECK((file_bytes(busy.lab.segment()) == before));
}

TEST_CASE("tamper-evident: a byte changed in the head of a segment, with its checksum mended, is told") {
  const Busy busy;
  const Bytes whole = file_bytes(busy.lab.segment());
  const log::Segment segment =
      REQUIRE_OK(log::open_segment(busy.lab.segment().parent_path(), 0, base::OpenMode::kRead));
  const std::size_t header = segment.first_frame - 8 - segment.header.size();
  for (std::size_t i = 0; i < segment.header.size(); ++i) {
    CAPTURE(i, segment.header.size());
    Bytes altered = whole;
    altered[header + i] ^= 1;
    std::uint64_t checksum = log::crc64(ByteView(altered).first(segment.first_frame - 8));
    for (std::size_t j = 8; j > 0; --j, checksum >>= 8U) {
      altered[segment.first_frame - 9 + j] = static_cast<std::uint8_t>(checksum);
    }
    write_bytes(busy.lab.segment(), altered);
    require_noticed(busy.lab);
  }
  write_bytes(busy.lab.segment(), whole);
  Session session = busy.lab.open();
  require_sound(session);
}

void flip_frames(std::size_t step) {
  const Busy busy;
  LogEditor editor(busy.lab.segment());
  for (std::size_t b = 0; b < editor.batches.size(); ++b) {
    for (std::size_t f = 0; f < editor.batches[b].size(); ++f) {
      Bytes& body = editor.batches[b][f].body;
      for (std::size_t i = (b * 7 + f) % step; i < body.size(); i += step) {
        CAPTURE(b, f, i, body.size());
        body[i] ^= 1;
        editor.write();
        body[i] ^= 1;
        require_noticed(busy.lab);
      }
    }
  }
}

TEST_CASE("tamper-evident: a byte changed in any frame, with its checksum mended, is told") { flip_frames(61); }
TEST_CASE("tamper-evident: a byte changed in any frame, with its checksum mended, is told, every byte", "[.long]") {
  flip_frames(1);
}

TEST_CASE("tamper-evident: batches dropped, doubled, swapped or moved, with checksums mended, are told") {
  const Busy busy;
  const LogEditor whole(busy.lab.segment());
  const std::size_t count = whole.batches.size();
  for (std::size_t i = 0; i < count; ++i) {
    CAPTURE(i);
    LogEditor dropped = whole;
    dropped.batches.erase(dropped.batches.begin() + static_cast<std::ptrdiff_t>(i));
    dropped.write();
    require_noticed(busy.lab);  // the last one: the anchor of this user knows it
    LogEditor doubled = whole;
    doubled.batches.insert(doubled.batches.begin() + static_cast<std::ptrdiff_t>(i), whole.batches[i]);
    doubled.write();
    require_noticed(busy.lab);
    for (std::size_t j = i + 1; j < count; ++j) {
      LogEditor swapped = whole;
      std::swap(swapped.batches[i], swapped.batches[j]);
      swapped.write();
      require_noticed(busy.lab);
      // Only the entries, each under the other's closing frame.
      swapped = whole;
      std::swap(swapped.batches[i].front(), swapped.batches[j].front());
      swapped.write();
      require_noticed(busy.lab);
    }
  }
}

TEST_CASE(
    "tamper-evident: the last entries cannot be cut off: the anchor of the user, or one kept elsewhere, knows them") {
  const Busy busy;
  LogEditor editor(busy.lab.segment());
  editor.batches.pop_back();  // a disclosure: no mutation, the database does not miss it
  editor.write();
  REQUIRE_ERROR(ErrorCode::kRolledBack, busy.lab.try_open(busy.lab.owner));
  REQUIRE_ERROR(ErrorCode::kRolledBack, busy.lab.try_open(busy.lab.owner, true));

  // Another user of the host, who never opened the vault, but holds a checkpoint.
  std::filesystem::remove_all(busy.lab.state());
  write_bytes(busy.lab.folder / "checkpoint", as_bytes(busy.checkpoint));
  OpenOptions options = busy.lab.options(true);
  options.anchors = {busy.lab.folder / "checkpoint"};
  REQUIRE_ERROR(ErrorCode::kRolledBack, Session::open(busy.lab.vault(), busy.lab.owner.identity(), options));
  Session session = REQUIRE_OK(busy.lab.try_open(busy.lab.owner, true));
  CHECK_FALSE(REQUIRE_OK(session.status()).warnings.empty());  // no anchor: told, as nothing contradicts
  CHECK(REQUIRE_OK(session.verify_log()).ok);
  const VerifyReport report = REQUIRE_OK(session.verify_log(busy.checkpoint));
  CHECK_FALSE(report.ok);
  CHECK(report.entry == busy.size - 1);
}

TEST_CASE("tamper-evident: an anchor that is no checkpoint of this log is told") {
  const Busy busy;
  Session session = busy.lab.open();
  CHECK(REQUIRE_OK(session.verify_log(busy.checkpoint)).ok);
  for (std::size_t i = 0; i < busy.checkpoint.size(); i += 3) {
    std::string altered = busy.checkpoint;
    altered[i] = static_cast<char>(altered[i] ^ 1);
    CAPTURE(i);
    const auto report = session.verify_log(altered);
    REQUIRE((!report || !report->ok));
  }
  session.close();
  for (const auto& file : std::filesystem::directory_iterator(busy.lab.state())) {
    if (file.path().extension() == ".anchor") write_bytes(file.path(), as_bytes("not an anchor"));
  }
  REQUIRE_ERROR(ErrorCode::kIntegrity, busy.lab.try_open(busy.lab.owner));
}

TEST_CASE("tamper-evident: a whole vault that was rolled back is told by the anchor") {
  const Lab lab;
  lab.save("old");
  {
    Session session = lab.open();
    const RecordId id = add_person(session, "One").id;
    REQUIRE_OK(disclose(session, request_for({id})));
  }
  lab.restore("old");
  REQUIRE_ERROR(ErrorCode::kRolledBack, lab.try_open(lab.owner));
  REQUIRE_ERROR(ErrorCode::kRolledBack, lab.try_open(lab.owner, true));
}

TEST_CASE(
    "tamper-evident: every earlier state of the whole vault is told by an anchor: the user's own, or a checkpoint kept "
    "elsewhere") {
  const Lab lab;
  RecordId id;
  const std::vector<std::function<void(Session&)>> steps = {
      [&](Session& session) { id = add_person(session, "One").id; },
      [&](Session& session) { REQUIRE_OK(disclose(session, request_for({id}))); },
      [&](Session& session) { lab.add(session, "officer", "officer", {"identity"}); },
      [&](Session& session) {
        Rows rows(5);
        REQUIRE_OK(session.import_rows("person", rows));
      }};
  std::string checkpoint;
  for (std::size_t i = 0; i < steps.size(); ++i) {
    lab.save("state " + std::to_string(i));
    Session session = lab.open();
    steps[i](session);
    checkpoint = REQUIRE_OK(session.checkpoint());
  }
  lab.save("newest");
  const std::filesystem::path kept = lab.folder / "checkpoint";
  write_bytes(kept, as_bytes(checkpoint));
  for (std::size_t i = 0; i < steps.size(); ++i) {
    CAPTURE(i);
    lab.restore("state " + std::to_string(i));
    for (const bool read_only : {true, false}) {
      const auto session = lab.try_open(lab.owner, read_only);
      REQUIRE_FALSE(session.has_value());
      REQUIRE(session.error().code == ErrorCode::kRolledBack);
      REQUIRE(session.error().entry == i + 1);  // the first that is missing
    }
    // A user who never saw the vault, and so has no anchor but the one brought along.
    OpenOptions options = lab.options(true);
    options.state_folder = lab.folder / ("nobody " + std::to_string(i));
    options.anchors = {kept};
    REQUIRE_ERROR(ErrorCode::kRolledBack, Session::open(lab.vault(), lab.owner.identity(), options));
    options.anchors.clear();
    Session session = REQUIRE_OK(Session::open(lab.vault(), lab.owner.identity(), options));
    CHECK(REQUIRE_OK(session.verify_log()).warnings.size() == 1);  // that there is no anchor
    const VerifyReport report = REQUIRE_OK(session.verify_log(checkpoint));
    CHECK_FALSE(report.ok);
    CHECK(report.entry == i + 1);
  }
  lab.restore("newest");
  Session session = lab.open();
  CHECK(REQUIRE_OK(session.verify_log(checkpoint)).ok);
}

TEST_CASE("tamper-evident: two histories of one vault cannot both be shown to one user") {
  const Lab lab;
  lab.save("fork");
  {
    Session session = lab.open();
    add_person(session, "One");
  }
  {
    // Elsewhere the copy goes on, longer.
    Session session = REQUIRE_OK([&] {
      OpenOptions elsewhere = lab.options();
      elsewhere.state_folder = lab.folder / "elsewhere";
      return Session::open(lab.folder / "fork", lab.owner.identity(), elsewhere);
    }());
    for (int i = 0; i < 3; ++i) add_person(session, "Another");
  }
  lab.restore("fork");
  REQUIRE_ERROR(ErrorCode::kIntegrity, lab.try_open(lab.owner));
}

/// Bytes of a record row, read and written behind the vault's back.
Bytes row_bytes(vault::Core& core, const RecordId& id) {
  auto txn = REQUIRE_OK(core.store().begin_read());
  const auto value = REQUIRE_OK(txn->get(Table::kRows, vault::row_key(core.row_of(id).value())));
  return {value->begin(), value->end()};
}
void set_row(vault::Core& core, std::uint64_t row, ByteView value) {
  auto txn = REQUIRE_OK(core.store().begin_write());
  REQUIRE_DONE(txn->put(Table::kRows, vault::row_key(row), value));
  REQUIRE_DONE(txn->commit());
}

TEST_CASE("tamper-evident: an older row played back is named by verify, and never given out as the newer version") {
  const Busy busy;
  Bytes old;
  {
    const auto core = busy.lab.core();
    old = row_bytes(*core, busy.hoa);
  }
  {
    Session session = busy.lab.open();
    const FieldInput change[] = {{"full_name", "Hoa NEW"}};
    CHECK(REQUIRE_OK(session.update(busy.hoa, change)).version == 3);
  }
  {
    const auto core = busy.lab.core();
    set_row(*core, core->row_of(busy.hoa).value(), old);
  }
  Session session = busy.lab.open();
  const VerifyReport report = REQUIRE_OK(session.verify_log());
  CHECK_FALSE(report.ok);
  CHECK(report.reason.find(busy.hoa.to_string()) != std::string::npos);
  CHECK(report.reason.find("replayed") != std::string::npos);
  // A writer who names the version it knows is told; nobody gets the old value under the new version's number.
  const FieldInput change[] = {{"phone", "1"}};
  REQUIRE_ERROR(ErrorCode::kConflict, session.update(busy.hoa, change, 3));
  CHECK(REQUIRE_OK(session.list("person", 10)).at(0).version == 2);
}

TEST_CASE("bound: a row played back between the entry and the reading is a conflict") {
  const Lab lab;
  Session session = lab.open();
  const RecordId first = add_person(session, "First").id;
  const RecordId id = add_person(session, "Old").id;
  session.close();
  Bytes old;
  {
    const auto core = lab.core();
    old = row_bytes(*core, id);
  }
  session = lab.open();
  const FieldInput change[] = {{"full_name", "New"}};
  REQUIRE_OK(session.update(id, change));
  const std::string wide(1U << 20U, 'w');
  const FieldInput widen[] = {{"note", wide}};
  REQUIRE_OK(session.update(first, widen));
  Disclosure disclosure = REQUIRE_OK(session.disclose(request_for({first, id}, {"note", "full_name"})));
  REQUIRE_OK(disclosure.next());
  // The attacker's own transaction, in another process: the window of the second record is not decrypted yet.
  CHECK(in_child([&] {
          auto core = vault::Core::open(lab.vault(), lab.owner.identity(), lab.options(), base::system_environment());
          if (!core) return 1;
          set_row(**core, (*core)->row_of(id).value(), old);
          return 0;
        }) == 0);
  REQUIRE_ERROR(ErrorCode::kConflict, disclosure.next());
}

TEST_CASE("bound: an older cell under a newer head, and a newer cell under an older head, do not open") {
  const Lab lab;
  Session session = lab.open();
  const RecordId id = add_person(session, "Name A").id;
  session.close();
  Bytes one;
  Bytes two;
  std::size_t cells = 0;
  std::uint64_t row = 0;
  {
    const auto core = lab.core();
    one = row_bytes(*core, id);
  }
  session = lab.open();
  const FieldInput change[] = {{"full_name", "Name B"}};
  REQUIRE_OK(session.update(id, change));
  session.close();
  {
    const auto core = lab.core();
    two = row_bytes(*core, id);
    const vault::Snapshot snapshot = REQUIRE_OK(core->snapshot());
    cells = REQUIRE_OK(core->open_row(*snapshot.txn, snapshot.db, id, row)).cells.size();
  }
  REQUIRE(one.size() == two.size());
  const auto splice = [&](Bytes head, const Bytes& from) {
    std::copy(from.end() - static_cast<std::ptrdiff_t>(cells), from.end(),
              head.end() - static_cast<std::ptrdiff_t>(cells));
    return head;
  };
  for (const Bytes& forged : {splice(two, one), splice(one, two)}) {
    {
      const auto core = lab.core();
      set_row(*core, row, forged);
    }
    session = lab.open();
    REQUIRE_ERROR(ErrorCode::kIntegrity, disclose(session, request_for({id})));
    CHECK(entries(session).back().outcome == audit::Outcome::kFailed);
    session.close();
  }
}

TEST_CASE("bound: rows swapped between records, moved to new numbers or cut do not open") {
  const Busy busy;
  const Lab& lab = busy.lab;
  Bytes hoa;
  Bytes lan;
  {
    const auto core = lab.core();
    hoa = row_bytes(*core, busy.hoa);
    lan = row_bytes(*core, busy.lan);
    set_row(*core, core->row_of(busy.hoa).value(), lan);
    set_row(*core, core->row_of(busy.lan).value(), hoa);
  }
  const auto refused = [&] {
    Session session = lab.open();
    REQUIRE_ERROR(ErrorCode::kIntegrity, disclose(session, request_for({busy.hoa})));
    REQUIRE_ERROR(ErrorCode::kIntegrity, session.list("person", 10));
    REQUIRE_ERROR(ErrorCode::kIntegrity, session.history(busy.hoa));
    const FieldInput change[] = {{"phone", "1"}};
    REQUIRE_ERROR(ErrorCode::kIntegrity, session.update(busy.hoa, change));
    const VerifyReport report = REQUIRE_OK(session.verify_log());
    CHECK_FALSE(report.ok);
    CHECK(report.reason.find(busy.hoa.to_string()) != std::string::npos);
  };
  refused();
  for (const std::size_t size : {std::size_t{0}, std::size_t{11}, std::size_t{13}, std::size_t{40}, hoa.size() - 1}) {
    CAPTURE(size);
    {
      const auto core = lab.core();
      set_row(*core, core->row_of(busy.hoa).value(), ByteView(hoa).first(size));
      set_row(*core, core->row_of(busy.lan).value(), lan);
    }
    refused();
  }
  {
    const auto core = lab.core();
    set_row(*core, core->row_of(busy.hoa).value(), hoa);
    set_row(*core, 77, lan);  // a copy at a number that no entry wrote
  }
  Session session = lab.open();
  CHECK(name_of(session, busy.hoa) == "Hoa CANARY-1");
  CHECK_FALSE(REQUIRE_OK(session.verify_log()).ok);
}

TEST_CASE(
    "bound: every flipped byte of a row is refused or leaves its field out of what is read, never another value") {
  const Busy busy;
  Bytes whole;
  {
    const auto core = busy.lab.core();
    whole = row_bytes(*core, busy.hoa);
  }
  const std::shared_ptr<vault::Core> shared = busy.lab.core();
  const std::uint64_t row = shared->row_of(busy.hoa).value();
  Session session(std::make_unique<Session::Impl>(shared));
  for (std::size_t i = 0; i < whole.size(); i += 3) {
    CAPTURE(i);
    Bytes altered = whole;
    altered[i] ^= 4;
    set_row(*shared, row, altered);
    const auto values = disclose(session, request_for({busy.hoa}, {"full_name"}));
    if (values) {
      REQUIRE((*values)[0][0] == "Hoa CANARY-1");  // another cell's byte
    } else {
      REQUIRE(values.error().code == ErrorCode::kIntegrity);
    }
  }
}

TEST_CASE("tamper-evident: a record that was taken out, or put in without an entry, is named by verify") {
  const Busy busy;
  Bytes hoa;
  {
    const auto core = busy.lab.core();
    hoa = row_bytes(*core, busy.hoa);
    auto txn = REQUIRE_OK(core->store().begin_write());
    REQUIRE(REQUIRE_OK(txn->erase(Table::kRows, vault::row_key(core->row_of(busy.hoa).value()))));
    REQUIRE_DONE(txn->commit());
  }
  {
    Session session = busy.lab.open();
    const VerifyReport report = REQUIRE_OK(session.verify_log());
    CHECK_FALSE(report.ok);
    CHECK(report.reason.find(busy.hoa.to_string()) != std::string::npos);
    CHECK(report.reason.find("missing") != std::string::npos);
  }
  {
    // A holder of the tree's keys seals a row of its own, without an entry.
    const auto core = busy.lab.core();
    set_row(*core, core->row_of(busy.hoa).value(), hoa);
    auto txn = REQUIRE_OK(core->store().begin_write());
    const std::uint64_t row = core->row_of(busy.lan).value() + 1;
    model::OpenedRow opened = REQUIRE_OK(
        core->open_row_number(*txn, REQUIRE_OK(core->load_state(*txn)), core->row_of(busy.hoa).value(), hoa));
    const auto leaf = REQUIRE_OK(core->leaf_key(*txn, REQUIRE_OK(core->load_state(*txn)), 0));
    REQUIRE_DONE(txn->put(Table::kRows, vault::row_key(row),
                          model::seal_row(core->row_context(row), opened.head, *leaf, opened.cells, core->random())));
    REQUIRE_DONE(txn->commit());
  }
  Session session = busy.lab.open();
  const VerifyReport report = REQUIRE_OK(session.verify_log());
  CHECK_FALSE(report.ok);
  CHECK(report.reason.find("foreign") != std::string::npos);
}

TEST_CASE("tamper-evident: an attacker's vault in the place of mine is untrusted, or told as another") {
  const Lab lab;
  const Lab mine;
  // The attacker's own vault, into which it certified me: my public string is public.
  TempFolder folder;
  InitOptions options;
  options.identity_file = folder / "attacker.identity";
  options.slot_cost = {1, 64};
  options.state_folder = folder / "state";
  const Passphrase passphrase(SecretBytes::copy(as_bytes("attacker")));
  const Schema schema = REQUIRE_OK(Schema::bundled("vn-victim-support"));
  options.owner = "attacker";
  REQUIRE_OK(Session::init(folder / "vault", schema, passphrase, options));
  {
    const Identity attacker = REQUIRE_OK(Identity::open(options.identity_file, passphrase));
    OpenOptions open;
    open.state_folder = options.state_folder;
    Session session = REQUIRE_OK(Session::open(folder / "vault", attacker, open));
    PrincipalRequest request;
    request.name = mine.owner.name;
    request.public_string = mine.owner.public_string;
    request.role = "owner";
    REQUIRE_OK(session.add_principal(request));
  }
  OpenOptions open = mine.options();
  REQUIRE_ERROR(ErrorCode::kUntrusted, Session::open(folder / "vault", mine.owner.identity(), open));
  // With my vault's FORMAT line on it.
  write_bytes(folder / "vault" / "FORMAT", file_bytes(mine.vault() / "FORMAT"));
  REQUIRE_ERROR(ErrorCode::kIntegrity, Session::open(folder / "vault", mine.owner.identity(), open));
  open.trust_id = base::to_hex(mine.owner.pins[0].vault_id);
  REQUIRE_ERROR(ErrorCode::kIntegrity, Session::open(folder / "vault", mine.owner.identity(), open));
  // Parts of it: its database, its log or its erasure root in my folder.
  for (const char* part : {"data.mdb", "erasure.root", "log/00000000.log"}) {
    CAPTURE(part);
    mine.save("whole");
    write_bytes(mine.vault() / part, file_bytes(folder / "vault" / part));
    const auto session = mine.try_open(mine.owner);
    REQUIRE_FALSE(session.has_value());
    const ErrorCode code = session.error().code;
    INFO(session.error().message);
    CHECK((code == ErrorCode::kIntegrity || code == ErrorCode::kNoGrant || code == ErrorCode::kRolledBack));
    mine.restore("whole");
  }
}

TEST_CASE("robust: a FORMAT that was edited, cut, replaced or is missing is told for what it is") {
  const Lab lab;
  const std::filesystem::path file = lab.vault() / "FORMAT";
  const Bytes whole = file_bytes(file);
  const std::string text(as_text(whole));
  const auto opened = [&](std::string_view now) {
    write_bytes(file, as_bytes(now));
    return lab.try_open(lab.owner);
  };
  for (std::size_t i = 0; i < text.size(); ++i) {
    std::string altered = text;
    altered[i] = static_cast<char>(altered[i] ^ 1);
    CAPTURE(i);
    const auto session = opened(altered);
    REQUIRE_FALSE(session.has_value());
    const ErrorCode code = session.error().code;
    REQUIRE((code == ErrorCode::kIntegrity || code == ErrorCode::kUnsupported || code == ErrorCode::kUntrusted));
    REQUIRE_FALSE(opened(text.substr(0, i)).has_value());
  }
  REQUIRE_ERROR(ErrorCode::kUnsupported, opened("casevault 2 lmdb 0.9 " + text.substr(21)));
  REQUIRE_FALSE(opened(text + text).has_value());
  REQUIRE_FALSE(opened(std::string(100'000, 'x')).has_value());
  std::filesystem::remove(file);
  REQUIRE_ERROR(ErrorCode::kNotFound, lab.try_open(lab.owner));
  write_bytes(file, whole);
  lab.open();
}

TEST_CASE("robust: looser modes, links and foreign files in a vault are refused") {
  const Lab lab;
  for (const char* name : {"FORMAT", "data.mdb", "erasure.root", "log/00000000.log", "log/lock"}) {
    CAPTURE(name);
    const std::filesystem::path file = lab.vault() / name;
    REQUIRE(::chmod(file.c_str(), 0640) == 0);
    REQUIRE_ERROR(ErrorCode::kUnsafePermissions, lab.try_open(lab.owner));
    REQUIRE(::chmod(file.c_str(), 0600) == 0);
    const std::filesystem::path aside = lab.folder / "aside";
    std::filesystem::rename(file, aside);
    std::filesystem::create_symlink(aside, file);
    REQUIRE_ERROR(ErrorCode::kUnsafePermissions, lab.try_open(lab.owner));
    std::filesystem::remove(file);
    std::filesystem::rename(aside, file);
  }
  REQUIRE(::chmod(lab.vault().c_str(), 0750) == 0);
  REQUIRE_ERROR(ErrorCode::kUnsafePermissions, lab.try_open(lab.owner));
  REQUIRE(::chmod(lab.vault().c_str(), 0700) == 0);
  lab.open();
}

TEST_CASE("robust: damaged, cut and empty files of a vault are errors that name them") {
  const Lab lab;
  RecordId id;
  {
    Session session = lab.open();
    id = add_person(session, "One").id;
  }
  lab.save("whole");
  SeededRandom random(7);
  for (const char* name : {"data.mdb", "erasure.root", "log/00000000.log"}) {
    const std::filesystem::path file = lab.vault() / name;
    const Bytes whole = file_bytes(file);
    for (int i = 0; i < 12; ++i) {
      CAPTURE(name, i);
      Bytes altered = whole;
      if (i < 4) {
        altered.resize(whole.size() * static_cast<std::size_t>(i) / 4);
      } else {
        const std::size_t at = random.below(i < 8 ? 8192 : whole.size());
        for (std::size_t j = at; j < std::min(whole.size(), at + 64); ++j)
          altered[j] = static_cast<std::uint8_t>(random.below(256));
      }
      write_bytes(file, altered);
      auto session = lab.try_open(lab.owner);
      if (session) {
        const auto report = session->verify_log();
        REQUIRE((!report || report->ok == report->reason.empty()));
        const auto values = disclose(*session, request_for({id}));
        REQUIRE((values ? (*values)[0][0] == "One" : values.error().code == ErrorCode::kIntegrity));
      } else {
        CHECK_FALSE(session.error().message.empty());
      }
      session = Error{};
      lab.restore("whole");
    }
    std::filesystem::remove(file);
    REQUIRE_FALSE(lab.try_open(lab.owner).has_value());
    lab.restore("whole");
  }
}

TEST_CASE("tamper-evident: an entry dated before its predecessor is flagged") {
  const Lab lab;
  FixedEnvironment time(3, 1'900'000'000'000);
  const base::Environment environment{&time.clock, base::system_environment().random};
  auto core = std::shared_ptr<vault::Core>(
      REQUIRE_OK(vault::Core::open(lab.vault(), lab.owner.identity(), lab.options(), environment)));
  Session session(std::make_unique<Session::Impl>(core));
  add_person(session, "One");
  time.clock.advance(-3'600'000);
  add_person(session, "Back-dated");
  const VerifyReport report = REQUIRE_OK(session.verify_log());
  CHECK(report.ok);
  REQUIRE(report.warnings.size() == 1);
  CHECK(report.warnings[0].find("entry 2") != std::string::npos);
}

TEST_CASE("sealed: no plaintext, field name or purpose is found in any file of the vault") {
  const Lab lab;
  const std::string canary = "CANARY-5ad1f0";
  {
    Session session = lab.open();
    const FieldInput fields[] = {
        {"full_name", canary}, {"phone", "CANARY-phone"}, {"note", "CANARY-note"}, {"sex", "unknown"}};
    const RecordId id = REQUIRE_OK(session.add("person", fields)).id;
    DisclosureRequest request = request_for({id}, {"full_name", "phone", "sex"});
    request.recipient = "CANARY-recipient";
    REQUIRE_OK(disclose(session, request));
    request.purpose = "CANARY-purpose";
    REQUIRE_ERROR(ErrorCode::kRefused, session.disclose(request));
    Rows rows(100, [](std::uint64_t n) -> Rows::Values { return {{"full_name", "CANARY-row-" + std::to_string(n)}}; });
    REQUIRE_OK(session.import_rows("person", rows));
    lab.add(session, "officer-CANARY", "officer", {"identity"});
  }
  int files = 0;
  for (const auto& root : {lab.vault(), lab.state()}) {
    for (const auto& file : std::filesystem::recursive_directory_iterator(root)) {
      if (!file.is_regular_file()) continue;
      ++files;
      const Bytes bytes = file_bytes(file.path());
      CAPTURE(file.path());
      for (const std::string_view word : {"CANARY", "full_name", "statistics", "person", "visit", "care", "duty",
                                          "consent", "clinic", "attack-lab", "unknown", "officer"}) {
        CAPTURE(word);
        CHECK_FALSE(contains(bytes, as_bytes(word)));
      }
    }
  }
  CHECK(files >= 6);
}

TEST_CASE("sealed: equal values, and one value written twice, share no bytes at rest") {
  const Lab lab;
  Session session = lab.open();
  const std::string name(200, 'n');
  const RecordId one = add_person(session, name, "0901").id;
  const RecordId two = add_person(session, name, "0901").id;
  session.close();
  Bytes first;
  Bytes second;
  {
    const auto core = lab.core();
    first = row_bytes(*core, one);
    second = row_bytes(*core, two);
  }
  CHECK(first.size() == second.size());
  session = lab.open();
  const FieldInput same[] = {{"full_name", name}};
  REQUIRE_OK(session.update(one, same));
  session.close();
  const auto core = lab.core();
  const Bytes again = row_bytes(*core, one);
  std::size_t shared = 0;
  for (std::size_t i = 0; i + 8 <= first.size(); ++i) {
    const ByteView part = ByteView(first).subspan(i, 8);
    CHECK_FALSE(contains(second, part));
    shared += contains(again, part) ? 1 : 0;
  }
  // The untouched cell (the phone) keeps its bytes; nothing of the rewritten one does.
  CHECK(shared < 110);
}

}  // namespace
}  // namespace casevault::test
