// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "lab.hpp"
#include "vault/people.hpp"
#include "vault/unit_of_work.hpp"

namespace casevault::test {
namespace {

const std::vector<std::string> kStatistics = {"statistics"};

TEST_CASE("compartmented: an invited principal accepts, opens, and reads what it was granted") {
  const Lab lab;
  Session owner = lab.open();
  const RecordId id = add_person(owner, "Hoa", "0901").id;
  const Person officer = lab.add(owner, "officer", "officer", {"identity", "contact"});
  owner.close();
  REQUIRE(officer.pins.size() == 1);
  Session session = lab.open(officer);
  CHECK(REQUIRE_OK(session.status()).principal == "officer");
  CHECK(name_of(session, id) == "Hoa");
  const auto log = entries(session);
  CHECK(log.back().actor == "officer");
  CHECK(log.back().action == audit::Action::kDisclose);
  const auto principals = REQUIRE_OK(session.principals());
  REQUIRE(principals.size() == 2);
  CHECK(principals[1].grants == std::vector<std::string>{"identity", "contact"});
  CHECK(principals[1].may_grant.empty());
  require_sound(session);
}

TEST_CASE("bound: an invitation opens for the one it was made for, unaltered, only") {
  const Lab lab;
  Session session = lab.open();
  const Person binh = Person::make("binh", lab.folder / "binh.identity");
  const Person other = Person::make("binh", lab.folder / "other.identity");
  PrincipalRequest request;
  request.name = "binh";
  request.public_string = binh.public_string;
  request.role = "officer";
  const std::string invitation = REQUIRE_OK(session.add_principal(request));
  Identity wrong = other.identity();
  REQUIRE_ERROR(ErrorCode::kWrongKey, Session::accept(invitation, wrong));
  CHECK(wrong.pins().empty());
  Identity right = binh.identity();
  for (std::size_t i = 0; i + 1 < invitation.size(); ++i) {
    std::string altered = invitation;
    altered[i] = static_cast<char>(altered[i] ^ 1);
    CAPTURE(i);
    const auto refused = Session::accept(altered, right);
    REQUIRE_FALSE(refused.has_value());
    REQUIRE((refused.error().code == ErrorCode::kWrongKey || refused.error().code == ErrorCode::kBadInput));
  }
  REQUIRE_ERROR(ErrorCode::kBadInput, Session::accept("", right));
  CHECK(right.pins().empty());
  CHECK(REQUIRE_OK(Session::accept(invitation, right)) == REQUIRE_OK(session.status()).id);
  REQUIRE(right.pins().size() == 1);
  CHECK(right.pins()[0].log_key == lab.owner.pins.at(0).log_key);
}

TEST_CASE("tamper-evident: a vault that the identity has not pinned is untrusted unless its id is told") {
  const Lab lab;
  Session session = lab.open();
  const std::string id = REQUIRE_OK(session.status()).id;
  Person officer = lab.add(session, "officer", "officer", {});
  session.close();
  officer.pins.clear();
  REQUIRE_ERROR(ErrorCode::kUntrusted, lab.try_open(officer));
  OpenOptions options = lab.options();
  options.trust_id = std::string(64, '0');
  REQUIRE_ERROR(ErrorCode::kUntrusted, Session::open(lab.vault(), officer.identity(), options));
  options.trust_id = "not an id";
  REQUIRE_ERROR(ErrorCode::kUsage, Session::open(lab.vault(), officer.identity(), options));
  options.trust_id = id;
  REQUIRE_OK(Session::open(lab.vault(), officer.identity(), options));
}

TEST_CASE("compartmented: who is no principal of the vault gets nothing, pinned or not") {
  const Lab lab;
  Person stranger = Person::make("stranger", lab.folder / "stranger.identity");
  stranger.pins = lab.owner.pins;
  REQUIRE_ERROR(ErrorCode::kNoGrant, lab.try_open(stranger));
  Person impostor = stranger;  // the owner's name
  impostor.name = lab.owner.name;
  REQUIRE_ERROR(ErrorCode::kNoGrant, lab.try_open(impostor));
}

TEST_CASE(
    "compartmented: a principal with statistics alone gets no name, by policy and by key, and both denials are "
    "logged") {
  const Lab lab;
  Session owner = lab.open();
  const FieldInput fields[] = {{"full_name", "Hoa CANARY"}, {"sex", "female"}};
  const RecordId id = REQUIRE_OK(owner.add("person", fields)).id;
  const Person analyst = lab.add(owner, "analyst", "analyst", kStatistics);
  owner.close();
  Session session = lab.open(analyst);
  DisclosureRequest request = request_for({id}, {"sex"});
  request.purpose = "count";
  CHECK(REQUIRE_OK(disclose(session, request))[0][0] == "female");

  request.fields = {"sex", "full_name"};  // a rule admits it, the key is missing
  REQUIRE_ERROR(ErrorCode::kNoGrant, session.disclose(request));
  LogEntry denied = entries(session).back();
  CHECK(denied.outcome == audit::Outcome::kDenied);
  CHECK(denied.actor == "analyst");
  CHECK(denied.purpose == "count");
  CHECK(denied.basis == "duty");
  request.purpose = "care";  // no rule
  REQUIRE_ERROR(ErrorCode::kRefused, session.disclose(request));
  denied = entries(session).back();
  CHECK(denied.outcome == audit::Outcome::kDenied);
  CHECK(denied.purpose == "care");

  const FieldInput change[] = {{"sex", "male"}};
  REQUIRE_ERROR(ErrorCode::kRefused, session.add("person", fields));
  REQUIRE_ERROR(ErrorCode::kRefused, session.update(id, change));
  Rows rows(3);
  REQUIRE_ERROR(ErrorCode::kRefused, session.import_rows("person", rows));
  LogQuery details;
  details.details = true;
  REQUIRE_ERROR(ErrorCode::kNoGrant, session.read_log(details, [](const LogEntry&) { return true; }));
  const auto log = entries(session);
  for (std::size_t i = log.size() - 4; i < log.size(); ++i) CHECK(log[i].outcome == audit::Outcome::kDenied);
  CHECK(REQUIRE_OK(session.list("person", 10)).at(0).version == 1);
  require_sound(session);  // and says that it could not check details
  CHECK_FALSE(REQUIRE_OK(session.verify_log()).warnings.empty());
}

TEST_CASE("compartmented: a principal without the grant does not have the bytes, whatever program it runs") {
  const Lab lab;
  Session owner = lab.open();
  const FieldInput fields[] = {{"full_name", "Hoa CANARY"}, {"sex", "female"}};
  const RecordId id = REQUIRE_OK(owner.add("person", fields)).id;
  const Person analyst = lab.add(owner, "analyst", "analyst", kStatistics);
  owner.close();

  // Its own program around its keys: everything that the library reaches for this principal.
  const auto core = lab.core(analyst);
  const vault::Snapshot snapshot = REQUIRE_OK(core->snapshot());
  const keys::EpochName identity{1, 1};
  const keys::EpochName statistics{2, 1};
  CHECK(snapshot.authority->me().grants.size() == 1);
  CHECK(snapshot.authority->me().holds(statistics));
  CHECK_FALSE(snapshot.authority->me().holds(identity));
  REQUIRE_ERROR(ErrorCode::kNoGrant, core->epoch_key(*snapshot.txn, snapshot.db, *snapshot.authority, identity));
  REQUIRE_ERROR(ErrorCode::kNoGrant, core->granted_key(*snapshot.authority, identity));
  REQUIRE_ERROR(ErrorCode::kUnsupported, core->granted_key(*snapshot.authority, {1, 2}));

  // The half of the epoch is in reach of every holder of the vault key; the granted part is what is missing.
  const vault::EpochState& epoch = snapshot.authority->state.epochs.at(identity);
  const keys::KeyTree tree(core->tag(), core->random());
  const SecretBytes half =
      REQUIRE_OK(tree.get_slot(*snapshot.txn, *core->erasure_root(), keys::TreeKind::kEpochHalves, epoch.half_slot));
  const SecretBytes mine = REQUIRE_OK(core->granted_key(*snapshot.authority, statistics));
  REQUIRE_ERROR(ErrorCode::kIntegrity, keys::checked_epoch_key(core->tag(), identity, mine, half, epoch.commitments));
  REQUIRE_ERROR(ErrorCode::kIntegrity, keys::checked_epoch_key(core->tag(), identity, half, half, epoch.commitments));
  // The owner's boxes do not open with its key.
  const vault::PrincipalState& chief = snapshot.authority->state.principals.at(1);
  const Identity self = analyst.identity();
  for (const auto& [name, grant] : chief.grants) {
    REQUIRE_ERROR(ErrorCode::kIntegrity,
                  keys::open_epoch(core->tag(), name, self.impl().x_secret, self.impl().x_public, grant.box,
                                   snapshot.authority->state.epochs.at(name).commitments));
  }
  // The record key, which every holder of the vault key may know, opens no cell by itself.
  std::uint64_t row = 0;
  const model::OpenedRow opened = REQUIRE_OK(core->open_row(*snapshot.txn, snapshot.db, id, row));
  const auto& compartments = snapshot.authority->schema().compartments();
  for (std::size_t i = 0; i < opened.head.cells.size(); ++i) {
    if (opened.head.cells[i].compartment != 1) continue;
    const ByteView cell = REQUIRE_OK(opened.cell_bytes(i));
    for (const SecretBytes* key : std::initializer_list<const SecretBytes*>{&opened.head.record_key, &mine, &half}) {
      REQUIRE_ERROR(ErrorCode::kIntegrity,
                    model::CellOpener::make(core->row_context(row), compartments[0], opened.head.cells[i], cell,
                                            crypto::key_of(*key), crypto::key_of(opened.head.record_key)));
    }
  }
  // No byte of what it can read of the log names the person or the field.
  REQUIRE_DONE(core->journal().scan(core->log(), 0, [&](const vault::EntryFrame& frame) -> Result<bool> {
    CASEVAULT_TRY(const SecretBytes leaf, core->journal().open_leaf_bytes(frame));
    CHECK_FALSE(contains(leaf.view(), as_bytes("CANARY")));
    CHECK_FALSE(contains(frame.details, as_bytes("full_name")));
    return true;
  }));
}

TEST_CASE("compartmented: an update of one compartment works without the keys of the others and keeps their bytes") {
  const Lab lab;
  Session owner = lab.open();
  const RecordId id = add_person(owner, "Hoa", "0901").id;
  const Person intake = lab.add(owner, "intake", "officer", {"contact"});
  owner.close();
  {
    Session session = lab.open(intake);
    const FieldInput change[] = {{"phone", "0999"}};
    REQUIRE_OK(session.update(id, change, 1));
    const FieldInput forbidden[] = {{"full_name", "Another"}};
    REQUIRE_ERROR(ErrorCode::kNoGrant, session.update(id, forbidden, 2));
    CHECK(entries(session).back().outcome == audit::Outcome::kDenied);
    REQUIRE_ERROR(ErrorCode::kNoGrant, session.add("person", forbidden));
    REQUIRE_ERROR(ErrorCode::kNoGrant, session.disclose(request_for({id})));
  }
  Session session = lab.open();
  CHECK(REQUIRE_OK(disclose(session, request_for({id}, {"full_name", "phone"})))[0] ==
        std::vector<std::optional<std::string>>{"Hoa", "0999"});
  const auto history = REQUIRE_OK(session.history(id));
  REQUIRE(history.size() == 2);
  CHECK(history[1].actor == "intake");
}

TEST_CASE("compartmented: certifying and granting keep to roles and to grants marked may_grant") {
  const Lab lab;
  Session owner = lab.open();
  const Person admin = lab.add(owner, "admin", "administrator", {});
  const Person officer = lab.add(owner, "officer", "officer", {"identity"});
  const Person keeper = lab.add(owner, "keeper", "officer", {"contact"}, true);
  owner.close();
  PrincipalRequest request;
  const auto newcomer = [&](const std::string& name, const std::string& role, std::vector<std::string> grants = {}) {
    request.name = name;
    request.public_string = Person::make(name, lab.folder / name).public_string;
    request.role = role;
    request.grants = std::move(grants);
    return request;
  };
  {
    Session session = lab.open(admin);
    REQUIRE_ERROR(ErrorCode::kRefused, session.add_principal(newcomer("o2", "owner")));
    CHECK(entries(session).back().outcome == audit::Outcome::kDenied);
    REQUIRE_ERROR(ErrorCode::kRefused, session.add_principal(newcomer("a2", "administrator")));
    REQUIRE_ERROR(ErrorCode::kNoGrant, session.add_principal(newcomer("n2", "officer", {"identity"})));
    REQUIRE_OK(session.add_principal(newcomer("n2", "officer")));
    REQUIRE_ERROR(ErrorCode::kConflict, session.add_principal(newcomer("n2", "officer")));
    REQUIRE_ERROR(ErrorCode::kConflict, [&] {
      request.name = officer.name;
      request.public_string = officer.public_string;
      return session.add_principal(request);
    }());
    REQUIRE_ERROR(ErrorCode::kBadInput, session.add_principal(newcomer("x", "emperor")));
    REQUIRE_ERROR(ErrorCode::kNotFound, session.grant("nobody", kStatistics));
    REQUIRE_ERROR(ErrorCode::kNoGrant, session.grant("officer", kStatistics));
    REQUIRE_ERROR(ErrorCode::kUsage, session.grant("officer", {}));
    PrincipalRequest renamed = newcomer("real", "officer");
    renamed.name = "somebody else";
    REQUIRE_ERROR(ErrorCode::kBadInput, session.add_principal(renamed));
  }
  {
    Session session = lab.open(officer);
    REQUIRE_ERROR(ErrorCode::kRefused, session.add_principal(newcomer("n3", "officer")));
    const std::vector<std::string> identity = {"identity"};
    REQUIRE_ERROR(ErrorCode::kNoGrant, session.grant("keeper", identity));  // it holds it without may_grant
    CHECK(entries(session).back().outcome == audit::Outcome::kDenied);
  }
  {
    Session session = lab.open(keeper);
    const std::vector<std::string> contact = {"contact"};
    REQUIRE_OK(session.grant("officer", contact));
    const auto principals = REQUIRE_OK(session.principals());
    const auto found = std::ranges::find(principals, "officer", &PrincipalInfo::name);
    CHECK(found->grants == std::vector<std::string>{"identity", "contact"});
    CHECK(found->may_grant.empty());
    const std::vector<std::string> none = {"no such compartment"};
    REQUIRE_ERROR(ErrorCode::kNotFound, session.grant("officer", none));
    require_sound(session);
  }
}

/// Commits an entry with these ops, whatever the actor's rights: what an insider's own program does.
void forge(vault::Core& core, std::vector<vault::AuthorityOp> ops, bool mutation) {
  vault::UnitOfWork work = REQUIRE_OK(vault::UnitOfWork::begin(core));
  vault::EntryDraft entry = REQUIRE_OK(core.draft(work.authority(), audit::Action::kGrantAdd, audit::Outcome::kOk, {}));
  entry.authority = std::move(ops);
  if (mutation) {
    REQUIRE_OK(work.commit(std::move(entry)));
  } else {
    REQUIRE_OK(core.append(std::move(entry)));
  }
}

/// The vault either refuses to open and names the entry or its batch, or opens with the forgery ignored.
template <typename Unbelieved>
void require_never_believed(const Lab& lab, Unbelieved unbelieved) {
  auto session = lab.try_open(lab.owner);
  if (!session) {
    REQUIRE_ERROR(ErrorCode::kIntegrity, lab.try_open(lab.owner));
    const std::string& message = session.error().message;
    CHECK(
        (message.find("authority entry") != std::string::npos || message.find("end of a batch") != std::string::npos));
    return;
  }
  unbelieved(*session);
}

TEST_CASE("compartmented: authority payloads that an insider with the vault key forges are never believed") {
  const Lab lab;
  Session owner = lab.open();
  const Person analyst = lab.add(owner, "analyst", "analyst", kStatistics);
  const Person accomplice = Person::make("accomplice", lab.folder / "accomplice");
  owner.close();
  const bool mutation = GENERATE(true, false);
  const bool as_owner = GENERATE(true, false);
  const int kind = GENERATE(0, 1, 2, 3, 4);
  CAPTURE(mutation, as_owner, kind);
  {
    const auto core = lab.core(analyst);
    if (as_owner) core->journal().set_actor(1, core->ed_seed());
    std::vector<vault::AuthorityOp> ops;
    if (kind == 0) ops.emplace_back(vault::OpPrincipal{3, accomplice.public_string, "owner", {}, {}});
    if (kind == 1) ops.emplace_back(vault::OpPrincipal{2, analyst.public_string, "owner", {}, {}});
    if (kind == 2) ops.emplace_back(vault::OpGrant{2, {1, 1}, Bytes(137), true});
    if (kind == 3) ops.emplace_back(vault::OpVaultKey{1, crypto::Hash{}, {}});
    if (kind == 4) {
      const SecretBytes granted = crypto::random_key(core->random());
      const SecretBytes half = crypto::random_key(core->random());
      const SecretBytes key = keys::epoch_key(core->tag(), {1, 2}, granted, half);
      ops.emplace_back(vault::OpEpoch{{1, 2}, keys::commit_epoch(core->tag(), {1, 2}, granted, key), 0});
    }
    forge(*core, std::move(ops), mutation);
  }
  require_never_believed(lab, [](Session& session) {
    for (const PrincipalInfo& each : REQUIRE_OK(session.principals())) {
      CHECK((each.role == "owner") == (each.name == "owner"));
      CHECK(each.name != "accomplice");
      if (each.name == "analyst") CHECK(each.grants == kStatistics);
    }
    for (const EpochInfo& each : REQUIRE_OK(session.status()).epochs) CHECK(each.epoch == 1);
  });
}

TEST_CASE("tamper-evident: an entry that an insider writes in another's name is named by verify") {
  const Lab lab;
  Session owner = lab.open();
  const Person analyst = lab.add(owner, "analyst", "analyst", kStatistics);
  owner.close();
  std::uint64_t forged = 0;
  {
    const auto core = lab.core(analyst);
    const vault::Snapshot snapshot = REQUIRE_OK(core->snapshot());
    core->journal().set_actor(1, core->ed_seed());
    vault::EntryDraft entry =
        REQUIRE_OK(core->draft(*snapshot.authority, audit::Action::kDisclose, audit::Outcome::kOk, {}));
    forged = REQUIRE_OK(core->append(std::move(entry))).entry;
  }
  Session session = lab.open();
  const VerifyReport report = REQUIRE_OK(session.verify_log());
  CHECK_FALSE(report.ok);
  CHECK(report.entry == forged);
  CHECK(report.reason.find("signature") != std::string::npos);
}

TEST_CASE("tamper-evident: an insider who calls an administrator's act not applied is refused, or named by verify") {
  const Lab lab;
  Session owner = lab.open();
  const Person analyst = lab.add(owner, "analyst", "analyst", kStatistics);
  lab.add(owner, "auditor", "auditor", {"audit"});
  const auto principals = REQUIRE_OK(owner.principals());
  const std::uint64_t entry = std::ranges::find(principals, "auditor", &PrincipalInfo::name)->entry;
  add_person(owner, "A mutation after it");
  owner.close();
  forge(
      *lab.core(analyst),
      [&] {
        std::vector<vault::AuthorityOp> ops;
        ops.emplace_back(vault::OpNotApplied{entry});
        return ops;
      }(),
      false);
  auto session = lab.try_open(lab.owner);
  if (session) {
    const auto now = REQUIRE_OK(session->principals());
    if (std::ranges::count(now, "auditor", &PrincipalInfo::name) == 0) {
      const VerifyReport report = REQUIRE_OK(session->verify_log());
      CHECK_FALSE(report.ok);
      CHECK(report.reason.find("settled") != std::string::npos);
    }
  } else {
    CHECK((session.error().code == ErrorCode::kIntegrity || session.error().code == ErrorCode::kRolledBack));
  }
}

}  // namespace
}  // namespace casevault::test
