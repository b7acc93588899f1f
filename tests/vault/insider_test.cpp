// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "base/cursor.hpp"
#include "crypto/envelope.hpp"
#include "forger.hpp"
#include "format/cbor.hpp"
#include "format/labels.hpp"
#include "vault/row_key.hpp"
#include "vault/unit_of_work.hpp"

/// What a principal with the vault key (which opens the log-signing secret too) and a program of its own writes into
/// the files.
namespace casevault::test {
namespace {

using store::Table;

TEST_CASE("tamper-evident: an insider's program writes what verifies, as far as it may: its own newest entries") {
  // Without this the refusals below could rest on a clumsy forger.
  const Story story;
  story.rewrite([](Entries&, vault::Core&) {});
  for (const Anchor anchor : {Anchor::kNone, Anchor::kOwners, Anchor::kNewest}) {
    const Story::Verdict verdict = story.judge(story.lab.owner, anchor);
    INFO(verdict.reason);
    CHECK(verdict.ok);
  }
  story.rewrite([&](Entries& e, vault::Core& core) {
    e[5].leaf.purpose = "press";
    e[5].leaf.time_ms -= 3'600'000;
    story.sign(e[5], 2);
    e[6] = own_entry(story, core, e[6]);
  });
  Story::Verdict verdict = story.judge(story.lab.owner, Anchor::kNone);
  INFO(verdict.reason);
  CHECK(verdict.ok);  // newer than any anchor outside and than any other actor's batch: the limit of the promise
  CHECK(std::ranges::any_of(verdict.warnings, [](const std::string& text) {
    return text.find("entry 5: its time is before") != std::string::npos;  // but a date before its predecessor shows
  }));
  CHECK(story.judge(story.lab.owner, Anchor::kOwners).ok);
  verdict = story.judge(story.lab.owner, Anchor::kNewest);
  CHECK_FALSE(verdict.ok);
  CHECK(verdict.entry == 6);
  CHECK(verdict.reason.find("anchor") != std::string::npos);
}

TEST_CASE(
    "tamper-evident: entries older than another actor's batch that a holder of the log key changes, back-dates, drops, "
    "moves or adds are named by verify") {
  const Story story;
  struct Attack {
    const char* name;
    std::uint64_t named;
    std::function<void(Entries&, vault::Core&)> edit;  ///< the owner's entry keeps its leaf unless it is the target
    std::size_t owners;                                ///< where the owner's entry stands afterwards
  };
  const std::vector<Attack> attacks = {
      {"own entry changed", 4,
       [&](Entries& e, vault::Core&) {
         e[3].leaf.purpose = "press";
         story.sign(e[3], 2);
       },
       4},
      {"own entry back-dated", 4,
       [&](Entries& e, vault::Core&) {
         e[3].leaf.time_ms -= 1;
         story.sign(e[3], 2);
       },
       4},
      {"own entry replaced with new details", 4,
       [&](Entries& e, vault::Core& core) { e[3] = own_entry(story, core, e[3]); }, 4},
      {"own entry dropped", 3, [](Entries& e, vault::Core&) { e.erase(e.begin() + 3); }, 3},
      {"entries swapped", 3, [](Entries& e, vault::Core&) { std::swap(e[3], e[4]); }, 3},
      {"an entry put in", 5,
       [&](Entries& e, vault::Core& core) { e.insert(e.begin() + 4, own_entry(story, core, e[3])); }, 5},
      {"the owner's entry changed", 4, [](Entries& e, vault::Core&) { e[4].leaf.purpose = "press"; }, 4},
      {"the owner's entry back-dated", 4, [](Entries& e, vault::Core&) { e[4].leaf.time_ms -= 3'600'000; }, 4},
      {"a mutation of the owner changed", 1, [](Entries& e, vault::Core&) { e[1].leaf.count = 7; }, 4},
  };
  for (const Attack& attack : attacks) {
    // Whose signature stands under the owner's entries: the true one, mallory's as the owner, mallory's as mallory.
    for (const int signing : {0, 1, 2}) {
      CAPTURE(attack.name, signing);
      story.rewrite([&](Entries& e, vault::Core& core) {
        attack.edit(e, core);
        for (std::size_t i = 1; i < e.size(); ++i) {
          if (i < 3 && attack.named >= 3) continue;
          if (e[i].actor == 2) story.sign(e[i], 2);
          if (e[i].actor == 1 && signing != 0) story.sign(e[i], signing == 1 ? 1 : 2);
        }
      });
      const Story::Verdict verdict = story.judge(story.lab.owner, Anchor::kNone);
      INFO(verdict.reason);
      REQUIRE_FALSE(verdict.ok);
      REQUIRE(verdict.entry == attack.named);
      REQUIRE_FALSE(story.judge(story.lab.owner, Anchor::kOwners).ok);
      // Who cannot open details is told by the signatures, or else is told that the details were not looked at.
      const Story::Verdict outside = story.judge(story.mallory, Anchor::kNone);
      REQUIRE((!outside.ok || std::ranges::any_of(outside.warnings, [](const std::string& text) {
        return text.find("details of entries were not checked") != std::string::npos;
      })));
      if (signing != 2) REQUIRE_FALSE(outside.ok);
    }
  }
}

TEST_CASE(
    "tamper-evident: a log cut before another actor's batch, or written anew from there, is told by that actor's "
    "anchor") {
  const Story story;
  story.rewrite([](Entries& e, vault::Core&) { e.resize(4); });
  Story::Verdict verdict = story.judge(story.lab.owner, Anchor::kOwners);
  CHECK_FALSE(verdict.ok);
  CHECK(verdict.entry == 4);
  story.rewrite([&](Entries& e, vault::Core& core) {
    e.resize(5);
    e[3] = own_entry(story, core, e[3]);
    e[4] = own_entry(story, core, e[4]);
  });
  verdict = story.judge(story.lab.owner, Anchor::kOwners);
  CHECK_FALSE(verdict.ok);
  CHECK(verdict.entry == 4);
  CHECK(verdict.reason.find("not those") != std::string::npos);
}

/// A payload with other bytes before its signature, signed by mallory.
Bytes signed_by(const Bytes& seed, const keys::VaultTag& tag, ByteView payload) {
  const ByteView signed_part = payload.first(payload.size() - 66);
  Bytes message;
  base::Writer(message).bytes(format::kAuthoritySign).bytes(tag).bytes(signed_part);
  Bytes out(signed_part.begin(), signed_part.end());
  format::CborWriter(out).bytes(crypto::sign_raw(crypto::key_of(SecretBytes::copy(seed)), message));
  return out;
}

void replace_once(Bytes& bytes, ByteView from, ByteView to) {
  const auto found = std::search(bytes.begin(), bytes.end(), from.begin(), from.end());
  REQUIRE(found != bytes.end());
  const auto at = found - bytes.begin();
  bytes.erase(found, found + static_cast<std::ptrdiff_t>(from.size()));
  bytes.insert(bytes.begin() + at, to.begin(), to.end());
}

TEST_CASE(
    "compartmented: a role or a key that is raised or exchanged by editing the bytes of its entry is never believed") {
  const Story story;
  const Person accomplice = Person::make(story.mallory.name, story.lab.folder / "accomplice");
  // The victim's signing key with the attacker's sealing key: what the next grant would be sealed to.
  keys::Principal mixed = REQUIRE_OK(keys::parse_principal(story.mallory.public_string));
  mixed.x_public = REQUIRE_OK(keys::parse_principal(accomplice.public_string)).x_public;
  const std::string mixed_string = keys::principal_string(mixed, crypto::key_of(SecretBytes::copy(accomplice.ed_seed)));
  REQUIRE_ERROR(ErrorCode::kBadInput, keys::parse_principal(mixed_string));

  const auto edits = std::vector<std::pair<const char*, std::function<void(Bytes&)>>>{
      {"role", [](Bytes& p) { replace_once(p, as_bytes("\x67officer"), as_bytes("\x65owner")); }},
      {"may_grant of nobody", [](Bytes& p) { p[p.size() - 68] ^= 1; }},
      {"another's keys under the name",
       [&](Bytes& p) { replace_once(p, as_bytes(story.mallory.public_string), as_bytes(accomplice.public_string)); }},
      {"another's sealing key beside the signing key",
       [&](Bytes& p) { replace_once(p, as_bytes(story.mallory.public_string), as_bytes(mixed_string)); }},
  };
  for (const auto& [name, edit] : edits) {
    for (const int signer : {0, 1, 2}) {  // the owner's signature kept; mallory's, as the owner; mallory's, as mallory
      for (const bool mend_leaf : {false, true}) {
        CAPTURE(name, signer, mend_leaf);
        story.rewrite([&](Entries& e, vault::Core& core) {
          edit(e[2].authority);
          if (signer == 2) e[2].authority[1 + 34] = 2;  // array head, salt, actor
          if (signer != 0) e[2].authority = signed_by(story.mallory.ed_seed, core.tag(), e[2].authority);
          e[2].mend_leaf = mend_leaf;
          for (std::size_t i = 2; i < e.size(); ++i) story.sign(e[i], e[i].actor == 1 && signer == 2 ? 2 : e[i].actor);
        });
        for (const Person* who : {&story.lab.owner, &story.mallory}) {
          OpenOptions options = story.lab.options(true);
          options.state_folder = story.lab.folder / "nobody";
          const auto session = Session::open(story.lab.vault(), who->identity(), options);
          REQUIRE_FALSE(session.has_value());
          INFO(session.error().message);
          REQUIRE(session.error().code == ErrorCode::kIntegrity);
          REQUIRE(session.error().message.find("authority entry 2") != std::string::npos);
        }
      }
    }
  }
}

TEST_CASE(
    "compartmented: a vault key grant slipped in beside a true certification is named, and makes nobody a principal") {
  const Story story;
  Person accomplice = Person::make("accomplice", story.lab.folder / "accomplice");
  accomplice.pins = story.lab.owner.pins;
  const keys::Principal who = REQUIRE_OK(keys::parse_principal(accomplice.public_string));
  for (const bool mend_leaf : {false, true}) {
    CAPTURE(mend_leaf);
    story.rewrite([&](Entries& e, vault::Core& core) {
      Bytes& grants = e[2].vault_keys;
      REQUIRE(grants.at(11) == 1);
      grants[11] = 2;
      base::Writer(grants)
          .bytes(keys::vault_key_label(core.tag(), 1, who.x_public))
          .block(REQUIRE_OK(keys::seal_vault_key(core.tag(), 1, who.x_public, core.vault_key(), core.random())));
      e[2].mend_leaf = mend_leaf;
      for (std::size_t i = 2; i < e.size(); ++i) story.sign(e[i], e[i].actor);
    });
    const Story::Verdict verdict = story.judge(story.lab.owner, Anchor::kNone);
    INFO(verdict.reason);
    CHECK_FALSE(verdict.ok);
    CHECK((verdict.entry == 2 || verdict.reason.find("authority entry 2") != std::string::npos));
    OpenOptions options = story.lab.options(true);
    options.state_folder = story.lab.folder / "nobody";
    const auto opened = Session::open(story.lab.vault(), accomplice.identity(), options);
    REQUIRE_FALSE(opened.has_value());
    CHECK((opened.error().code == ErrorCode::kNoGrant || opened.error().code == ErrorCode::kIntegrity));
  }
}

/// Commits an authority entry with these ops as this principal, past every check of the library.
void force(vault::Core& core, std::vector<vault::AuthorityOp> ops) {
  vault::UnitOfWork work = REQUIRE_OK(vault::UnitOfWork::begin(core));
  vault::EntryDraft entry = REQUIRE_OK(core.draft(work.authority(), audit::Action::kGrantAdd, audit::Outcome::kOk, {}));
  entry.authority = std::move(ops);
  REQUIRE_OK(work.commit(std::move(entry)));
}

TEST_CASE(
    "compartmented: nothing is sealed to a key that the log does not vouch for, and such a grant opens for nobody") {
  const Story story;
  const Lab& lab = story.lab;
  Person accomplice = Person::make("accomplice", lab.folder / "accomplice");
  accomplice.pins = lab.owner.pins;
  const crypto::PublicKey stranger = REQUIRE_OK(keys::parse_principal(accomplice.public_string)).x_public;
  Session owner = lab.open();
  const Person victim = lab.add(owner, "victim", "officer", {"contact"});
  // A string whose sealing key was exchanged on its way to the administrator.
  keys::Principal mixed = REQUIRE_OK(keys::parse_principal(accomplice.public_string));
  mixed.name = "newcomer";
  PrincipalRequest request;
  request.name = mixed.name;
  request.role = "officer";
  request.grants = {"identity"};
  const Person newcomer = Person::make("newcomer", lab.folder / "newcomer");
  mixed.ed_public = REQUIRE_OK(keys::parse_principal(newcomer.public_string)).ed_public;
  request.public_string = keys::principal_string(mixed, crypto::key_of(SecretBytes::copy(accomplice.ed_seed)));
  const std::uint64_t before = REQUIRE_OK(owner.status()).log_size;
  REQUIRE_ERROR(ErrorCode::kBadInput, owner.add_principal(request));
  CHECK(REQUIRE_OK(owner.status()).log_size == before);
  const std::vector<std::string> identity = {"identity"};
  REQUIRE_ERROR(ErrorCode::kNotFound, owner.grant("accomplice", identity));
  owner.close();

  const bool known = GENERATE(true, false);  // the grant names the victim, or a principal that does not exist
  CAPTURE(known);
  {
    const auto core = lab.core(story.mallory);  // holds identity with may_grant
    const vault::Snapshot snapshot = REQUIRE_OK(core->snapshot());
    const SecretBytes granted = REQUIRE_OK(core->granted_key(*snapshot.authority, {1, 1}));
    std::vector<vault::AuthorityOp> ops;
    ops.emplace_back(
        vault::OpGrant{known ? 3U : 4U,
                       {1, 1},
                       REQUIRE_OK(keys::seal_epoch(core->tag(), {1, 1}, stranger, granted, core->random())),
                       true});
    force(*core, std::move(ops));
  }
  REQUIRE_ERROR(ErrorCode::kNoGrant, lab.try_open(accomplice));
  if (!known) {
    auto refused = lab.try_open(lab.owner);
    REQUIRE_ERROR(ErrorCode::kIntegrity, std::move(refused));
    return;
  }
  Session session = lab.open(victim);
  REQUIRE_ERROR(ErrorCode::kIntegrity, disclose(session, request_for({story.hoa})));
  // The victim never opened the key, so it passes on nothing, and the owner's own grant still holds.
  REQUIRE_ERROR(ErrorCode::kIntegrity, session.grant("owner", identity));
  session.close();
  owner = lab.open();
  CHECK(name_of(owner, story.hoa) == "Hoa");
}

/// Two people and a way to put any row in the place of the first one's.
struct Cells {
  Lab lab;
  RecordId hoa, lan;
  Bytes hoa_row;

  Cells() {
    Session session = lab.open();
    hoa = add_person(session, "Hoa", "0901").id;
    lan = add_person(session, "Lan", "0902").id;
    session.close();
    hoa_row = row(*lab.core(), 0);
  }
  static Bytes row(vault::Core& core, std::uint64_t number) {
    auto txn = REQUIRE_OK(core.store().begin_read());
    const auto value = REQUIRE_OK(txn->get(Table::kRows, vault::row_key(number)));
    return {value->begin(), value->end()};
  }
  void put(vault::Core& core, ByteView value) const {
    auto txn = REQUIRE_OK(core.store().begin_write());
    REQUIRE_DONE(txn->put(Table::kRows, vault::row_key(0), value));
    REQUIRE_DONE(txn->commit());
  }
  /// Seals a head of the forger's making around cells, with the true leaf key: every principal can come by that.
  void put_forged(const std::function<void(model::Head& head, std::vector<Bytes>& cells, const model::OpenedRow& other,
                                           ByteView other_row)>& forge) const {
    const auto core = lab.core();
    const vault::Snapshot snapshot = REQUIRE_OK(core->snapshot());
    const auto leaf = REQUIRE_OK(core->leaf_key(*snapshot.txn, snapshot.db, 0));
    const Bytes other_row = row(*core, 1);
    model::OpenedRow mine = REQUIRE_OK(model::open_row(core->row_context(0), hoa_row, *leaf));
    const model::OpenedRow other = REQUIRE_OK(model::open_row(core->row_context(1), other_row, *leaf));
    std::vector<Bytes> cells;
    for (std::size_t i = 0; i < mine.head.cells.size(); ++i) cells.push_back(bytes_of(REQUIRE_OK(mine.cell_bytes(i))));
    forge(mine.head, cells, other, other_row);
    Bytes all;
    for (const Bytes& cell : cells) all.insert(all.end(), cell.begin(), cell.end());
    put(*core, model::seal_row(core->row_context(0), mine.head, *leaf, all, core->random()));
  }
  static Bytes bytes_of(ByteView view) { return {view.begin(), view.end()}; }
  /// No field of the forged row opens to a value of somebody else or of another field.
  void require_refused(const std::vector<std::string>& fields) const {
    Session session = lab.open();
    for (const std::string& field : fields) {
      CAPTURE(field);
      REQUIRE_ERROR(ErrorCode::kIntegrity, disclose(session, request_for({hoa}, {field})));
    }
  }
};

TEST_CASE("bound: a head that an insider seals around cells of another record or compartment opens none of them") {
  const Cells cells;
  // A head sealed anew around the record's own cells is the control: it opens.
  cells.put_forged([](model::Head&, std::vector<Bytes>&, const model::OpenedRow&, ByteView) {});
  {
    Session session = cells.lab.open();
    REQUIRE(REQUIRE_OK(disclose(session, request_for({cells.hoa}, {"full_name", "phone"})))[0][1] == "0901");
  }
  const auto take = [](model::Head& head, std::vector<Bytes>& own, const model::OpenedRow& other, std::size_t i) {
    head.cells[i] = other.head.cells[i];
    own[i] = Cells::bytes_of(REQUIRE_OK(other.cell_bytes(i)));
  };
  // The other record's cells, under this record's key, and under the other's.
  for (const bool with_key : {false, true}) {
    CAPTURE(with_key);
    cells.put_forged([&](model::Head& head, std::vector<Bytes>& own, const model::OpenedRow& other, ByteView) {
      REQUIRE(head.cells.size() == 2);
      for (std::size_t i = 0; i < 2; ++i) take(head, own, other, i);
      if (with_key) head.record_key = other.head.record_key.clone();
    });
    cells.require_refused({"full_name", "phone"});
  }
  // The cells of two compartments in each other's place, with their salts and directories.
  cells.put_forged([&](model::Head& head, std::vector<Bytes>& own, const model::OpenedRow&, ByteView) {
    std::swap(head.cells[0].compartment, head.cells[1].compartment);
    std::swap(head.cells[0], head.cells[1]);
    std::swap(own[0], own[1]);
  });
  cells.require_refused({"full_name"});
  // Each number that a cell is bound to, changed in the head alone.
  const std::vector<std::function<void(model::CellEntry&)>> lies = {
      [](model::CellEntry& c) { c.schema_version = 2; }, [](model::CellEntry& c) { c.salt[0] ^= 1; },
      [](model::CellEntry& c) { c.directory[0].field = 5; },  // note instead of full_name
  };
  for (std::size_t i = 0; i < lies.size(); ++i) {
    CAPTURE(i);
    cells.put_forged(
        [&](model::Head& head, std::vector<Bytes>&, const model::OpenedRow&, ByteView) { lies[i](head.cells[0]); });
    Session session = cells.lab.open();
    for (const char* field : {"full_name", "note"}) {
      const auto got = disclose(session, request_for({cells.hoa}, {field}));
      if (got) {
        REQUIRE_FALSE((*got)[0][0].has_value());
      } else {
        REQUIRE(got.error().code == ErrorCode::kIntegrity);
      }
    }
  }
  // An epoch that nobody opened is its own error.
  cells.put_forged(
      [&](model::Head& head, std::vector<Bytes>&, const model::OpenedRow&, ByteView) { head.cells[0].epoch = 2; });
  Session session = cells.lab.open();
  REQUIRE_ERROR(ErrorCode::kUnsupported, disclose(session, request_for({cells.hoa})));
}

TEST_CASE("bound: rows, cells, states and key tree rows of another vault of the same schema and people do not open") {
  const Cells cells;
  const Lab& lab = cells.lab;
  // Another vault of the same schema, with the same record in the same row.
  TempFolder folder;
  InitOptions init;
  init.identity_file = folder / "other.identity";
  init.slot_cost = {1, 64};
  init.state_folder = folder / "state";
  const Passphrase passphrase(SecretBytes::copy(as_bytes("other")));
  const Schema schema = REQUIRE_OK(Schema::parse([&] {
    const auto core = lab.core();
    return REQUIRE_OK(core->snapshot()).authority->schema().source();
  }()));
  REQUIRE_OK(Session::init(folder / "vault", schema, passphrase, init));
  const Identity other = REQUIRE_OK(Identity::open(init.identity_file, passphrase));
  OpenOptions open;
  open.state_folder = init.state_folder;
  {
    Session session = REQUIRE_OK(Session::open(folder / "vault", other, open));
    add_person(session, "Hoa", "0901");
    add_person(session, "Lan", "0902");
  }
  std::map<std::pair<Table, Bytes>, Bytes> theirs;
  std::optional<model::Head> their_head;
  Bytes their_cells;
  {
    const auto core = REQUIRE_OK(vault::Core::open(folder / "vault", other, open, base::system_environment()));
    const vault::Snapshot snapshot = REQUIRE_OK(core->snapshot());
    for (const Table table : {Table::kMeta, Table::kRows, Table::kTree}) {
      REQUIRE_DONE(snapshot.txn->scan(table, {}, [&](const store::Item& item) {
        theirs[{table, Cells::bytes_of(item.key)}] = Cells::bytes_of(item.value);
        return true;
      }));
    }
    model::OpenedRow opened = REQUIRE_OK(
        core->open_row_number(*snapshot.txn, snapshot.db, 0, theirs.at({Table::kRows, [] {
                                                                          const auto key = vault::row_key(0);
                                                                          return Bytes(key.begin(), key.end());
                                                                        }()})));
    their_cells = Cells::bytes_of(opened.cells);
    their_head = std::move(opened.head);
  }
  lab.save("true");
  int replaced = 0;
  for (const auto& [where, value] : theirs) {
    CAPTURE(static_cast<int>(where.first), where.second);
    lab.restore("true");
    std::filesystem::remove_all(lab.state());
    {
      const auto core = lab.core();
      auto txn = REQUIRE_OK(core->store().begin_write());
      if (!REQUIRE_OK(txn->get(where.first, where.second))) continue;
      REQUIRE_DONE(txn->put(where.first, where.second, value));
      REQUIRE_DONE(txn->commit());
      ++replaced;
    }
    auto session = lab.try_open(lab.owner);
    if (!session) {
      REQUIRE(session.error().code == ErrorCode::kIntegrity);
      continue;
    }
    bool told = false;
    for (const RecordId& id : {cells.hoa, cells.lan}) {
      for (const char* field : {"full_name", "phone"}) {
        const auto got = disclose(*session, request_for({id}, {field}));
        if (got) {
          const std::string_view name = id == cells.hoa ? "Hoa" : "Lan";
          const std::string_view phone = id == cells.hoa ? "0901" : "0902";
          REQUIRE((*got)[0][0] == (field == std::string_view("phone") ? phone : name));
        } else {
          REQUIRE(got.error().code == ErrorCode::kIntegrity);
          told = true;
        }
      }
    }
    const auto report = session->verify_log();
    told = told || !report || !report->ok;
    // What nothing asked for here: the half of a compartment without values, met when its key is needed.
    if (!told) {
      const FieldInput change[] = {{"sex", "female"}};
      told = !session->update(cells.hoa, change);
    }
    if (!told) {
      session->close();
      told = !REQUIRE_OK(examine(lab.vault(), lab.owner.identity(), lab.options(true))).ok;
    }
    REQUIRE(told);
  }
  CHECK(replaced >= 8);
  lab.restore("true");
  std::filesystem::remove_all(lab.state());
  // Their head and cells, sealed by an insider under this vault's leaf key.
  {
    const auto core = lab.core();
    const vault::Snapshot snapshot = REQUIRE_OK(core->snapshot());
    const auto leaf = REQUIRE_OK(core->leaf_key(*snapshot.txn, snapshot.db, 0));
    cells.put(*core, model::seal_row(core->row_context(0), *their_head, *leaf, their_cells, core->random()));
  }
  cells.require_refused({"full_name", "phone"});
  Session session = lab.open();
  CHECK_FALSE(REQUIRE_OK(session.verify_log()).ok);
}

}  // namespace
}  // namespace casevault::test
