// SPDX-License-Identifier: Apache-2.0
#include <sys/wait.h>

#include "audit/note.hpp"
#include "forger.hpp"
#include "maintained.hpp"
#include "vault/epochs.hpp"
#include "vault/vault_key.hpp"

/// The vault key as it is replaced, by the owner and by whoever kept the old one.
namespace casevault::test {
namespace {

Bytes copy_of(const SecretBytes& secret) { return {secret.view().begin(), secret.view().end()}; }

/// What a principal takes home on its last day: every key that it can reach.
struct Leaver {
  Person who;
  Bytes vault_key, root, log_seed;
  keys::VaultTag tag{};
  crypto::Hash root_commitment{};
  std::uint64_t root_epoch = 0;

  Leaver(const Lab& lab, const Person& person) : who(person) {
    const auto core = lab.core(person);
    const vault::Snapshot snapshot = REQUIRE_OK(core->snapshot());
    vault_key = copy_of(core->vault_key());
    root = copy_of(*snapshot.db.root_key);
    log_seed = copy_of(snapshot.authority->state.log_seed);
    tag = core->tag();
    root_epoch = snapshot.db.root.epoch;
  }
  [[nodiscard]] SecretBytes key() const { return SecretBytes::copy(vault_key); }
};

/// A clock that others set.
struct SetClock final : base::Clock {
  std::int64_t at = base::system_environment().clock->now_ms();
  [[nodiscard]] std::int64_t now_ms() const override { return at; }
};

TEST_CASE(
    "rotatable: revoking replaces the vault key, the log key and the erasure root, and nothing new is under the old "
    "ones") {
  const Lab lab;
  Person officer;
  RecordId first;
  {
    Session owner = lab.open();
    officer = lab.add(owner, "officer", "officer", {"identity"});
    first = add_person(owner, "Before").id;
  }
  const Leaver leaver(lab, officer);
  const std::string old_log_key = REQUIRE_OK(lab.read_only().status()).log_key;
  const std::string old_anchor = REQUIRE_OK(lab.open().checkpoint());
  const std::string old_receipt = REQUIRE_OK(lab.open().prove(1));
  RecordId second;
  {
    Session owner = lab.open();
    REQUIRE_OK(owner.revoke("officer"));
    second = add_person(owner, "After").id;
    const Status now = REQUIRE_OK(owner.status());
    CHECK(now.log_key != old_log_key);
    CHECK(now.vault_key_epoch == 2);
    CHECK(name_of(owner, first) == "Before");
    require_sound(owner);
    // Checkpoints of before stay good, and receipts are still held against the key they were given with.
    CHECK(REQUIRE_OK(owner.verify_log(old_anchor)).ok);
    REQUIRE_OK(audit::verify_receipt(old_receipt, old_log_key));
  }
  REQUIRE_ERROR(ErrorCode::kNoGrant, lab.try_open(officer));
  CHECK(healthy(lab, lab.owner));

  const auto core = lab.core();
  const vault::Snapshot snapshot = REQUIRE_OK(core->snapshot());
  CHECK(snapshot.db.vault_key_epoch == 2);
  CHECK(snapshot.db.root.epoch == leaver.root_epoch + 1);
  const SecretBytes key = leaver.key();
  // The state row, erasure.root, and every frame from the revocation on.
  const vault::StateRow row = REQUIRE_OK(vault::read_state_row(*snapshot.txn));
  CHECK(row.vault_key_epoch == 2);
  REQUIRE_FALSE(vault::decode_state({leaver.tag, &key}, row).has_value());
  for (const std::uint32_t epoch : {1U, 2U}) {
    REQUIRE_FALSE(
        keys::ErasureRoot::load(lab.vault() / "erasure.root", {leaver.tag, epoch, &key}, snapshot.db.root).has_value());
  }
  const std::uint64_t revoked = *snapshot.authority->state.find("officer")->revoked;
  std::size_t sealed = 0;
  REQUIRE_DONE(core->journal().scan(core->log(), 0, [&](const vault::EntryFrame& frame) -> Result<bool> {
    CHECK(frame.vault_key_epoch == (frame.entry < revoked ? 1U : 2U));
    Bytes context;
    base::Writer(context).bytes(leaver.tag).u64(frame.entry).u32(frame.vault_key_epoch);
    const bool opens = crypto::open_envelope(format::kLogLeaf, crypto::key_of(key), context, frame.leaf).has_value();
    CHECK(opens == (frame.entry < revoked));
    if (!frame.authority.empty() && frame.entry >= revoked) {
      REQUIRE_FALSE(
          crypto::open_envelope(format::kAuthority, crypto::key_of(key), context, frame.authority).has_value());
      ++sealed;
    }
    return true;
  }));
  CHECK(sealed >= 2);
  CHECK(copy_of(snapshot.authority->state.log_seed) != leaver.log_seed);
}

TEST_CASE("bound: who kept every node key of the tree does not come to the leaf nodes of rows written after") {
  const Lab lab;
  RecordId second;
  std::vector<Bytes> kept;  // node keys the leaver could read: root, levels 2 to 0 of the path of the first row
  const auto path = [&](const SecretBytes& top, const keys::VaultTag& tag, std::uint64_t leaf, store::ReadTxn& txn,
                        std::vector<Bytes>* out) {
    Bytes parent = copy_of(top);
    for (int level = 2; level >= 0; --level) {
      Bytes row;
      base::Writer(row).u8(1).u8(static_cast<std::uint8_t>(level)).u64(leaf >> (8U * static_cast<unsigned>(level)));
      const auto value = REQUIRE_OK(txn.get(store::Table::kTree, row));
      if (!value) return false;
      std::optional<Bytes> child = unwrap_tree_row(tag, row, *value, parent);
      if (!child) return false;
      if (out != nullptr) out->push_back(*child);
      parent = *std::move(child);
    }
    return true;
  };
  {
    Session owner = lab.open();
    lab.add(owner, "officer", "officer", {"identity"});
    add_person(owner, "Before");
  }
  {
    const auto core = lab.core();
    const vault::Snapshot snapshot = REQUIRE_OK(core->snapshot());
    kept.push_back(copy_of(*snapshot.db.root_key));
    REQUIRE(path(*snapshot.db.root_key, core->tag(), 0, *snapshot.txn, &kept));
    REQUIRE(kept.size() == 4);
  }
  {
    Session owner = lab.open();
    REQUIRE_OK(owner.revoke("officer"));
    second = add_person(owner, "After").id;
  }
  const auto core = lab.core();
  const vault::Snapshot snapshot = REQUIRE_OK(core->snapshot());
  const std::uint64_t row = *core->row_of(second);
  const std::uint64_t leaf = row / keys::kFanout;
  CHECK(leaf == 1);
  CHECK(path(*snapshot.db.root_key, core->tag(), leaf, *snapshot.txn, nullptr));  // for who is in, the path is whole
  for (const std::uint64_t at : {std::uint64_t{0}, leaf}) {
    for (int level = 2; level >= 0; --level) {
      if (at == 0 && level == 0) continue;  // rows of before stay readable to who kept their leaf node's key
      Bytes name;
      base::Writer(name).u8(1).u8(static_cast<std::uint8_t>(level)).u64(at >> (8U * static_cast<unsigned>(level)));
      const auto value = REQUIRE_OK(snapshot.txn->get(store::Table::kTree, name));
      REQUIRE(value);
      for (const Bytes& known : kept) CHECK_FALSE(unwrap_tree_row(core->tag(), name, *value, known));
    }
  }
}

TEST_CASE(
    "rotatable: vault keys are replaced again and again, in one segment of the log and over several, by several "
    "people") {
  const Lab lab;
  Person administrator, officer;
  {
    Session owner = lab.open();
    administrator = lab.add(owner, "administrator", "administrator", {});
    officer = lab.add(owner, "officer", "officer", {"identity"});
    add_person(owner, "1");
  }
  std::vector<std::string> anchors;
  for (int round = 0; round < 6; ++round) {
    CAPTURE(round);
    Session session = lab.open(round % 2 == 0 ? lab.owner : administrator);
    anchors.push_back(REQUIRE_OK(session.checkpoint()));
    REQUIRE_OK(session.rotate_vault_key());
    if (round % 3 == 2) REQUIRE_OK(session.rotate_vault_key());
    session.close();
    Session other = lab.open(officer);
    add_person(other, std::to_string(round + 2));
    CHECK(REQUIRE_OK(other.status()).vault_key_epoch == static_cast<std::uint32_t>(2 + round + (round + 1) / 3));
  }
  Session owner = lab.open();
  for (const std::string& anchor : anchors) CHECK(REQUIRE_OK(owner.verify_log(anchor)).ok);
  require_sound(owner);
  // Who comes now gets the newest key, and reads all of the past.
  const Person late = lab.add(owner, "late", "auditor", {"audit"});
  CHECK(entries(owner, true).size() >= 20);
  owner.close();
  Session auditor = lab.open(late);
  CHECK(entries(auditor, true).size() >= 20);
  require_sound(auditor);
  auditor.close();
  CHECK(healthy(lab, lab.owner));
}

TEST_CASE("rotatable: processes that have the vault open take the new vault key along while they write") {
  const Lab lab;
  Person officer;
  {
    Session owner = lab.open();
    officer = lab.add(owner, "officer", "officer", {"identity"});
  }
  constexpr int kWrites = 40;
  const pid_t child = ::fork();
  if (child == 0) {
    auto session = Session::open(lab.vault(), officer.identity(), lab.options());
    int done = 0;
    for (int i = 0; session && i < kWrites; ++i) {
      const FieldInput fields[] = {{"full_name", "written meanwhile"}};
      for (;;) {
        const auto written = session->add("person", fields);
        if (written) ++done;
        if (written || written.error().code != ErrorCode::kBusy) break;
      }
    }
    ::_exit(done == kWrites ? 0 : 1);
  }
  {
    Session owner = lab.open();
    for (int i = 0; i < 5; ++i) {
      Result<std::uint64_t> rotated = owner.rotate_vault_key();
      while (!rotated && rotated.error().code == ErrorCode::kBusy) rotated = owner.rotate_vault_key();
      REQUIRE_OK(rotated);
    }
    int status = 0;
    REQUIRE(::waitpid(child, &status, 0) == child);
    CHECK(WIFEXITED(status));
    CHECK(WEXITSTATUS(status) == 0);
    const Status now = REQUIRE_OK(owner.status());
    CHECK(now.vault_key_epoch == 6);
    CHECK(now.records.at("person") == kWrites);
    require_sound(owner);
  }
  CHECK(healthy(lab, lab.owner));
}

TEST_CASE("rotatable: grants end by one clock and by the newest grant, whatever the clock does meanwhile") {
  const Lab lab;
  Person officer;
  SetClock clock;
  const base::Environment environment{&clock, base::system_environment().random};
  const std::int64_t end = clock.at + 86'400'000;
  const std::vector<std::string> identity = {"identity"};
  const auto core_of = [&](const Person& who) {
    return REQUIRE_OK(vault::Core::open(lab.vault(), who.identity(), lab.options(), environment));
  };
  const auto can_open = [&](vault::Core& core, keys::EpochName name) {
    const vault::Snapshot snapshot = REQUIRE_OK(core.snapshot());
    return core.epoch_key(*snapshot.txn, snapshot.db, *snapshot.authority, name);
  };
  {
    Session owner = lab.open();
    officer = lab.add(owner, "officer", "officer", {});
    REQUIRE_OK(owner.grant("officer", identity, {true, end}));
    REQUIRE_OK(owner.rotate("identity"));
    REQUIRE_OK(owner.grant("officer", identity, {true, end + 1000}));  // of the present epoch
  }
  {
    const auto core = core_of(officer);
    clock.at = end + 500;
    REQUIRE_OK(can_open(*core, {1, 1}));  // what is older goes with the newest grant
    clock.at = end + 1000;
    REQUIRE_ERROR(ErrorCode::kNoGrant, can_open(*core, {1, 1}));
    REQUIRE_ERROR(ErrorCode::kNoGrant, can_open(*core, {1, 2}));
    // Its own program does not make it last longer, nor give it on.
    auto work = REQUIRE_OK(vault::UnitOfWork::begin(*core));
    std::vector<vault::AuthorityOp> ops;
    ops.emplace_back(vault::OpGrant{2, {1, 2}, Bytes(137), true, 0});
    REQUIRE_ERROR(ErrorCode::kBadInput, work.commit_authority(audit::Action::kGrantAdd, "longer", std::move(ops)));
  }
  {
    const auto core = core_of(lab.owner);
    auto work = REQUIRE_OK(vault::UnitOfWork::begin(*core));
    clock.at = end - 5000;  // set back while the entry is made: it keeps the time that it was judged by
    std::vector<vault::AuthorityOp> ops;
    ops.emplace_back(vault::OpEndGrant{2, 1});
    REQUIRE_OK(work.commit_authority(audit::Action::kGrantRevoke, "expired", std::move(ops)));
  }
  const auto core = core_of(lab.owner);
  REQUIRE_OK(core->snapshot());
}

TEST_CASE(
    "rotatable: a kill between the new vault key and the database leaves a vault that opens, and the next writer goes "
    "on") {
  const Lab lab;
  Person officer;
  {
    Session owner = lab.open();
    officer = lab.add(owner, "officer", "officer", {"identity"});
    add_person(owner, "Before");
  }
  {
    const auto core = lab.core();
    auto work = REQUIRE_OK(vault::UnitOfWork::begin(*core));
    std::vector<vault::AuthorityOp> ops;
    ops.emplace_back(vault::OpRevoke{2});
    REQUIRE_OK(vault::begin_vault_key(work, audit::Action::kPrincipalRevoke, "revoked officer", std::move(ops)));
  }
  REQUIRE_ERROR(ErrorCode::kNoGrant, lab.try_open(officer));
  CHECK(healthy(lab, lab.owner));
  {
    Session reader = lab.read_only();
    CHECK(REQUIRE_OK(reader.status()).vault_key_epoch == 2);
    require_sound(reader);
  }
  const auto database_epoch = [&] { return REQUIRE_OK(lab.core()->snapshot()).db.vault_key_epoch; };
  CHECK(database_epoch() == 1);
  {
    Session owner = lab.open();
    add_person(owner, "After");
    require_sound(owner);
  }
  CHECK(database_epoch() == 2);
  CHECK(healthy(lab, lab.owner));
}

TEST_CASE("tamper-evident: state rows, roots, batches and checkpoints made with an old vault key are refused") {
  const Lab lab;
  Person officer;
  RecordId first;
  {
    Session owner = lab.open();
    officer = lab.add(owner, "officer", "officer", {"identity"});
    first = add_person(owner, "Before").id;
  }
  const Leaver leaver(lab, officer);
  const SecretBytes key = leaver.key();
  vault::StateRow old_row;
  vault::DbState old_state;
  {
    const auto core = lab.core();
    const vault::Snapshot snapshot = REQUIRE_OK(core->snapshot());
    old_row = REQUIRE_OK(vault::read_state_row(*snapshot.txn));
    old_state = snapshot.db;
  }
  const Bytes old_root = file_bytes(lab.vault() / "erasure.root");
  {
    Session owner = lab.open();
    REQUIRE_OK(owner.revoke("officer"));
  }
  lab.save("revoked");
  const auto with_store = [&](const std::function<void(store::WriteTxn&)>& change) {
    lab.restore("revoked");
    const auto store = REQUIRE_OK(store::open_lmdb_store(lab.vault(), {}));
    const auto txn = REQUIRE_OK(store->begin_write());
    change(*txn);
    REQUIRE_DONE(txn->commit());
  };
  base::Random& random = *base::system_environment().random;
  SECTION("the row of before, put back beside the present one") {
    with_store(
        [&](store::WriteTxn& txn) { REQUIRE_DONE(txn.put(store::Table::kMeta, as_bytes("state"), old_row.bytes)); });
    REQUIRE_ERROR(ErrorCode::kIntegrity, lab.try_open(lab.owner));
  }
  SECTION("a row under the old key in place of the present one, and the root of before") {
    with_store([&](store::WriteTxn& txn) {
      vault::DbState state = old_state;
      const auto core_applied = REQUIRE_OK(vault::read_state_row(txn));
      CHECK(core_applied.vault_key_epoch == 2);
      state.applied = 7;
      REQUIRE_DONE(vault::write_state({leaver.tag, &key}, txn, state, random));
    });
    write_bytes(lab.vault() / "erasure.root", old_root);
    REQUIRE_FALSE(lab.try_open(lab.owner).has_value());
  }
  SECTION("a row under the old key that says it has applied all") {
    std::uint64_t applied = 0;
    {
      const auto core = lab.core();
      applied = REQUIRE_OK(core->snapshot()).db.applied;
    }
    lab.save("revoked");
    with_store([&](store::WriteTxn& txn) {
      vault::DbState state = old_state;
      state.applied = applied;
      REQUIRE_DONE(vault::write_state({leaver.tag, &key}, txn, state, random));
    });
    write_bytes(lab.vault() / "erasure.root", old_root);
    REQUIRE_ERROR(ErrorCode::kIntegrity, lab.try_open(lab.owner));
  }
  SECTION("a batch under the old key after the revocation") {
    LogEditor editor(lab.segment());
    // Its own last batch of before, which its signature and the old vault key hold together.
    editor.batches.push_back(editor.batches[editor.batches.size() - 3]);
    editor.write();
    REQUIRE_ERROR(ErrorCode::kIntegrity, lab.try_open(lab.owner));
  }
  SECTION("a checkpoint of the old log key that speaks of later entries") {
    Session owner = lab.open();
    add_person(owner, "After");
    const std::string note = REQUIRE_OK(owner.checkpoint());
    const Status now = REQUIRE_OK(owner.status());
    const std::string origin = vault::log_origin(leaver.tag);
    const auto sign = [&](std::uint64_t size, const audit::Digest& root) {
      const SecretBytes seed = SecretBytes::copy(leaver.log_seed);
      return audit::sign_note(audit::checkpoint_text({origin, size, root}), origin, crypto::key_of(seed));
    };
    CHECK(REQUIRE_OK(owner.verify_log(note)).ok);
    CHECK_FALSE(REQUIRE_OK(owner.verify_log(sign(now.log_size, now.root))).ok);
    const std::filesystem::path file = lab.folder / "late.anchor";
    write_bytes(file, as_bytes(sign(now.log_size, now.root)));
    owner.close();
    OpenOptions options = lab.options();
    options.anchors.push_back(file);
    REQUIRE_ERROR(ErrorCode::kIntegrity, Session::open(lab.vault(), lab.owner.identity(), options));
  }
}

TEST_CASE(
    "compartmented: only who may takes a new vault key, a revocation never goes without one, and nobody is left out by "
    "name") {
  const Lab lab;
  Person officer;
  {
    Session owner = lab.open();
    officer = lab.add(owner, "officer", "officer", {"identity"});
  }
  {
    Session session = lab.open(officer);
    REQUIRE_ERROR(ErrorCode::kRefused, session.rotate_vault_key());
    CHECK(entries(session).back().outcome == audit::Outcome::kDenied);
  }
  const auto attempt = [&](const Person& who,
                           const std::function<std::vector<vault::AuthorityOp>(vault::Core&)>& make) {
    const auto core = lab.core(who);
    auto work = REQUIRE_OK(vault::UnitOfWork::begin(*core));
    return work.commit_authority(audit::Action::kKeyVault, "forged", make(*core));
  };
  const auto ops = [](auto... op) {
    std::vector<vault::AuthorityOp> out;
    (out.emplace_back(std::move(op)), ...);
    return out;
  };
  const auto next_key = [](vault::Core& core, std::uint32_t epoch, const SecretBytes& past) {
    const SecretBytes key = crypto::random_key(core.random());
    return vault::OpVaultKey{epoch, keys::vault_key_commitment(core.tag(), epoch, key), past.clone()};
  };
  const auto log_key = [](vault::Core& core) { return vault::OpLogKey{crypto::random_key(core.random())}; };
  // What needs a transaction of the database, beside a new vault key, which holds at once; no log key, or two.
  REQUIRE_ERROR(ErrorCode::kBadInput,
                attempt(lab.owner, [&](vault::Core& core) { return ops(next_key(core, 2, core.vault_key())); }));
  REQUIRE_ERROR(ErrorCode::kBadInput, attempt(lab.owner, [&](vault::Core& core) {
                  return ops(next_key(core, 2, core.vault_key()), log_key(core), log_key(core));
                }));
  REQUIRE_ERROR(ErrorCode::kBadInput, attempt(lab.owner, [&](vault::Core& core) {
                  return ops(next_key(core, 2, core.vault_key()), log_key(core), vault::OpDatabaseKey{2});
                }));
  REQUIRE_ERROR(ErrorCode::kBadInput, attempt(lab.owner, [&](vault::Core& core) {
                  return ops(next_key(core, 2, core.vault_key()), log_key(core),
                             vault::OpGrant{2, {2, 1}, Bytes(137), false, 0});
                }));
  // A revocation, a log key or new keys of a principal without a new vault key.
  REQUIRE_ERROR(ErrorCode::kBadInput, attempt(lab.owner, [&](vault::Core&) { return ops(vault::OpRevoke{2}); }));
  REQUIRE_ERROR(ErrorCode::kBadInput, attempt(lab.owner, [&](vault::Core& core) {
                  return ops(vault::OpLogKey{crypto::random_key(core.random())});
                }));
  const Person again = Person::make("owner", lab.folder / "again.identity");
  REQUIRE_ERROR(ErrorCode::kBadInput,
                attempt(lab.owner, [&](vault::Core&) { return ops(vault::OpRekey{again.public_string}); }));
  // By an officer, with a wrong past, with a number left out, of a database that is not behind.
  REQUIRE_ERROR(ErrorCode::kBadInput,
                attempt(officer, [&](vault::Core& core) { return ops(next_key(core, 2, core.vault_key())); }));
  REQUIRE_ERROR(ErrorCode::kBadInput, attempt(lab.owner, [&](vault::Core& core) {
                  return ops(next_key(core, 2, crypto::random_key(core.random())), log_key(core));
                }));
  REQUIRE_ERROR(ErrorCode::kBadInput, attempt(lab.owner, [&](vault::Core& core) {
                  return ops(next_key(core, 3, core.vault_key()), log_key(core));
                }));
  REQUIRE_ERROR(ErrorCode::kBadInput, attempt(lab.owner, [&](vault::Core&) { return ops(vault::OpDatabaseKey{2}); }));
  // New keys that take along less, or more, than was held.
  const auto rekey = [&](std::uint16_t compartment, bool may_grant) {
    return attempt(officer, [&](vault::Core& core) {
      auto made = ops(next_key(core, 2, core.vault_key()), log_key(core),
                      vault::OpRekey{Person::make("officer", lab.folder / "o2.identity").public_string});
      if (compartment != 0) made.emplace_back(vault::OpGrant{2, {compartment, 1}, Bytes(137), may_grant, 0});
      return made;
    });
  };
  REQUIRE_ERROR(ErrorCode::kBadInput, rekey(0, false));
  std::filesystem::remove(lab.folder / "o2.identity");
  REQUIRE_ERROR(ErrorCode::kBadInput, rekey(1, true));
  std::filesystem::remove(lab.folder / "o2.identity");
  REQUIRE_ERROR(ErrorCode::kBadInput, rekey(2, false));
  Session owner = lab.open();
  CHECK(REQUIRE_OK(owner.status()).vault_key_epoch == 1);
  require_sound(owner);
}

TEST_CASE("rotatable: a principal replaces its own keys, keeps what it holds, and the old ones open nothing new") {
  const Lab lab;
  Person officer;
  RecordId first;
  {
    Session owner = lab.open();
    officer = lab.add(owner, "officer", "officer", {"identity", "contact"}, true);
    first = add_person(owner, "Before", "0912345678").id;
  }
  {
    Session session = lab.open(officer);
    add_person(session, "By the officer");
  }
  Person fresh = Person::make("officer", lab.folder / "fresh.identity");
  const Person other = Person::make("other", lab.folder / "other.identity");
  {
    Session session = lab.open(officer);
    REQUIRE_ERROR(ErrorCode::kBadInput, session.rekey(other.public_string));
    REQUIRE_ERROR(ErrorCode::kBadInput, session.rekey(officer.public_string));
    const std::string invitation = REQUIRE_OK(session.rekey(fresh.public_string));
    Identity identity = fresh.identity();
    REQUIRE_OK(Session::accept(invitation, identity));
    fresh.pins = identity.impl().pins;
    REQUIRE_ERROR(ErrorCode::kNoGrant, disclose(session, request_for({first})));
  }
  REQUIRE_ERROR(ErrorCode::kNoGrant, lab.try_open(officer));
  {
    Session session = lab.open(fresh);
    CHECK(name_of(session, first) == "Before");
    add_person(session, "By the officer again");
    require_sound(session);
    const auto people = REQUIRE_OK(session.principals());
    const auto me = std::ranges::find(people, "officer", &PrincipalInfo::name);
    REQUIRE(me != people.end());
    CHECK(me->grants == std::vector<std::string>{"identity", "contact"});
    CHECK(me->may_grant == me->grants);
    // Nobody else may come with keys that somebody had.
    PrincipalRequest request;
    request.name = "officer";
  }
  Session owner = lab.open();
  PrincipalRequest thief;
  thief.name = "officer";
  thief.public_string = officer.public_string;
  thief.role = "officer";
  REQUIRE_FALSE(owner.add_principal(thief).has_value());
  REQUIRE_OK(owner.revoke("officer"));
  require_sound(owner);
  owner.close();
  REQUIRE_ERROR(ErrorCode::kNoGrant, lab.try_open(fresh));
  CHECK(healthy(lab, lab.owner));
}

TEST_CASE("compartmented: a grant that has expired opens nothing, and the next holder who writes closes it for good") {
  const Lab lab;
  Person officer;
  RecordId first;
  {
    Session owner = lab.open();
    officer = lab.add(owner, "officer", "officer", {});
    first = add_person(owner, "Before").id;
  }
  SetClock clock;
  const base::Environment environment{&clock, base::system_environment().random};
  const std::int64_t end = clock.at + 86'400'000;
  const std::vector<std::string> identity = {"identity"};
  {
    Session owner = lab.open();
    REQUIRE_OK(owner.grant("officer", identity, {false, end}));
    const auto people = REQUIRE_OK(owner.principals());
    CHECK(std::ranges::find(people, "officer", &PrincipalInfo::name)->expires_ms.at("identity") == end);
  }
  const auto core_of = [&](const Person& who) {
    return REQUIRE_OK(vault::Core::open(lab.vault(), who.identity(), lab.options(), environment));
  };
  const keys::EpochName epoch{1, 1};
  const auto can_open = [&](vault::Core& core, keys::EpochName name) {
    const vault::Snapshot snapshot = REQUIRE_OK(core.snapshot());
    return core.epoch_key(*snapshot.txn, snapshot.db, *snapshot.authority, name);
  };
  {
    const auto core = core_of(officer);
    clock.at = end - 1;
    REQUIRE_OK(can_open(*core, epoch));
    clock.at = end;
    REQUIRE_ERROR(ErrorCode::kNoGrant, can_open(*core, epoch));  // also what it has in its cache
    // Nor does the officer open the successor: it would be among its grantees.
    REQUIRE_DONE(vault::catch_up(*core));
    CHECK(REQUIRE_OK(core->snapshot()).authority->state.current(1) == epoch);
    // It does not take the grant back from another either, before its time.
    clock.at = end - 1;
    auto work = REQUIRE_OK(vault::UnitOfWork::begin(*core));
    std::vector<vault::AuthorityOp> ops;
    ops.emplace_back(vault::OpEndGrant{2, 1});
    REQUIRE_ERROR(ErrorCode::kBadInput, work.commit_authority(audit::Action::kGrantRevoke, "early", std::move(ops)));
  }
  clock.at = end + 1;
  {
    const auto core = core_of(lab.owner);
    REQUIRE_DONE(vault::catch_up(*core));
    const vault::Snapshot snapshot = REQUIRE_OK(core->snapshot());
    CHECK(snapshot.authority->state.current(1) == keys::EpochName{1, 2});
    CHECK_FALSE(snapshot.authority->state.find("officer")->holds({1, 2}));
    REQUIRE_OK(can_open(*core, {1, 2}));
    REQUIRE_DONE(vault::catch_up(*core));
    CHECK(REQUIRE_OK(core->snapshot()).authority->state.current(1) == keys::EpochName{1, 2});  // once
  }
  Session owner = lab.open();
  add_person(owner, "After");
  CHECK(name_of(owner, first) == "Before");
  require_sound(owner);
  owner.close();
  // With the true clock of today, and a program of its own: the old epoch was ended in the log.
  const auto core = lab.core(officer);
  REQUIRE_ERROR(ErrorCode::kNoGrant, can_open(*core, {1, 2}));
}

TEST_CASE("compartmented: a grant is given again only to give more, and never to who lost it in this epoch") {
  const Lab lab;
  Session owner = lab.open();
  const Person officer = lab.add(owner, "officer", "officer", {});
  lab.add(owner, "clerk", "officer", {});
  const std::vector<std::string> identity = {"identity"};
  const std::int64_t later = base::system_environment().clock->now_ms() + 1'000'000;
  REQUIRE_OK(owner.grant("officer", identity, {false, later - 1}));
  REQUIRE_ERROR(ErrorCode::kConflict, owner.grant("officer", identity, {false, later - 1}));
  REQUIRE_ERROR(ErrorCode::kConflict, owner.grant("officer", identity, {true, later - 2}));
  REQUIRE_OK(owner.grant("officer", identity, {true, later}));
  REQUIRE_ERROR(ErrorCode::kConflict, owner.grant("officer", identity, {true, later}));
  REQUIRE_ERROR(ErrorCode::kConflict, owner.grant("officer", identity, {false, 0}));
  // Nobody gives an end to what another holds without one.
  REQUIRE_ERROR(ErrorCode::kConflict, owner.grant("owner", identity, {true, later}));
  // What the successor hands on is what was held.
  REQUIRE_OK(owner.rotate("identity"));
  auto people = REQUIRE_OK(owner.principals());
  const auto it = std::ranges::find(people, "officer", &PrincipalInfo::name);
  CHECK(it->may_grant == identity);
  CHECK(it->expires_ms.at("identity") == later);
  // A holder whose grant ends some day is not counted as one who keeps the compartment.
  REQUIRE_ERROR(ErrorCode::kRefused, owner.revoke_grant("owner", identity));
  require_sound(owner);
  owner.close();
  {
    Session session = lab.open(officer);
    REQUIRE_OK(session.grant("clerk", identity));
  }
  const auto attempt = [&](vault::OpGrant grant) {
    const auto core = lab.core();
    auto work = REQUIRE_OK(vault::UnitOfWork::begin(*core));
    std::vector<vault::AuthorityOp> ops;
    ops.emplace_back(std::move(grant));
    return work.commit_authority(audit::Action::kGrantAdd, "forged", std::move(ops));
  };
  REQUIRE_ERROR(ErrorCode::kBadInput, attempt({2, {1, 2}, Bytes(137), false, 0}));
  REQUIRE_ERROR(ErrorCode::kBadInput, attempt({2, {1, 2}, Bytes(137), true, later}));
  REQUIRE_ERROR(ErrorCode::kBadInput, attempt({1, {1, 2}, Bytes(137), true, later}));
  // A longer grant with a box that holds nothing does not take the good one away.
  REQUIRE_OK(attempt({2, {1, 2}, Bytes(137), true, later + 1}));
  Session again = lab.open(officer);
  add_person(again, "still in");
}

TEST_CASE("rotatable: who lost a compartment does not get out of its successor by taking new keys") {
  const Lab lab;
  Person officer, administrator;
  {
    Session owner = lab.open();
    officer = lab.add(owner, "officer", "officer", {"identity", "contact"});
    administrator = lab.add(owner, "administrator", "administrator", {});
  }
  const std::vector<std::string> identity = {"identity"};
  {
    Session session = lab.open(administrator);  // holds nothing, so the successor waits
    REQUIRE_OK(session.revoke_grant("officer", identity));
  }
  const Person fresh = Person::make("officer", lab.folder / "fresh.identity");
  {
    Session session = lab.open(officer);
    REQUIRE_OK(session.rekey(fresh.public_string));
  }
  CHECK(REQUIRE_OK(lab.core()->snapshot()).authority->state.due.contains(1));
  Session owner = lab.open();
  add_person(owner, "After");
  owner.close();
  const vault::Snapshot snapshot = REQUIRE_OK(lab.core()->snapshot());
  CHECK(snapshot.authority->state.current(1) == keys::EpochName{1, 2});
  CHECK_FALSE(snapshot.authority->state.find("officer")->holds({1, 2}));
  CHECK(snapshot.authority->state.find("officer")->holds({3, 1}));
}

TEST_CASE("rotatable: an epoch is retired when it is empty, in words of the log, and can be destroyed after") {
  const Lab lab;
  Session owner = lab.open();
  const Person officer = lab.add(owner, "officer", "officer", {"identity"});
  const RecordId id = add_person(owner, "Before").id;
  REQUIRE_ERROR(ErrorCode::kRefused, owner.retire_epoch("identity", 1));  // the current one
  REQUIRE_OK(owner.rotate("identity"));
  REQUIRE_ERROR(ErrorCode::kRefused, owner.retire_epoch("identity", 1));  // a cell is under it
  REQUIRE_OK(owner.reencrypt());
  REQUIRE_ERROR(ErrorCode::kNotFound, owner.retire_epoch("identity", 3));
  REQUIRE_OK(owner.retire_epoch("identity", 1));
  REQUIRE_ERROR(ErrorCode::kConflict, owner.retire_epoch("identity", 1));
  const auto keys = REQUIRE_OK(owner.keys());
  CHECK(std::ranges::any_of(keys, [](const KeyInfo& key) { return key.epoch == 1 && key.state == "retired"; }));
  CHECK(entries(owner).back().action == audit::Action::kKeyRetire);
  owner.close();
  {
    Session session = lab.open(officer);
    REQUIRE_ERROR(ErrorCode::kRefused, session.retire_epoch("identity", 1));
  }
  owner = lab.open();
  REQUIRE_OK(owner.destroy_epoch("identity", 1));
  CHECK(name_of(owner, id) == "Before");
  owner.close();
  CHECK(healthy(lab, lab.owner));
}

TEST_CASE("compartmented: an owner made for a quorum opens with shares enough and with nothing else") {
  TempFolder folder;
  const Schema schema = REQUIRE_OK(Schema::bundled("vn-victim-support"));
  const std::filesystem::path shares = folder / "shares";
  InitOptions options;
  options.state_folder = folder / "state";
  options.identity_file = folder / "owner.identity";
  REQUIRE_ERROR(ErrorCode::kUsage, Session::init(folder / "vault", schema, QuorumPlan{1, 3, shares}, options));
  CHECK_FALSE(std::filesystem::exists(shares));
  {  // what fails after the shares were made leaves none
    InitOptions bad = options;
    bad.identity_file = folder / "no" / "such" / "folder";
    REQUIRE_FALSE(Session::init(folder / "vault", schema, QuorumPlan{2, 3, shares}, bad).has_value());
    CHECK_FALSE(std::filesystem::exists(shares));
    CHECK_FALSE(std::filesystem::exists(folder / "vault"));
  }
  REQUIRE_OK(Session::init(folder / "vault", schema, QuorumPlan{2, 3, shares}, options));
  std::vector<std::filesystem::path> files;
  for (const auto& file : std::filesystem::directory_iterator(shares)) files.push_back(file.path());
  REQUIRE(files.size() == 3);
  const auto open_with = [&](std::vector<std::filesystem::path> some) {
    return Identity::open(options.identity_file, Unlock(REQUIRE_OK(Shares::read(some))), folder / "state");
  };
  REQUIRE_ERROR(ErrorCode::kWaiting, open_with({files[0]}));
  REQUIRE_FALSE(open_with({files[0], files[0]}).has_value());
  const Identity owner = REQUIRE_OK(open_with({files[2], files[0]}));
  CHECK(owner.slots().size() == 1);
  OpenOptions open;
  open.state_folder = folder / "state";
  Session session = REQUIRE_OK(Session::open(folder / "vault", owner, open));
  CHECK(REQUIRE_OK(session.status()).role == "owner");
  REQUIRE_FALSE(
      Identity::open(options.identity_file, Passphrase(SecretBytes::copy(as_bytes("guess"))), folder / "state")
          .has_value());
}

TEST_CASE("tamper-evident: a vault key that passes somebody by, or goes to who is out, is named by verify") {
  for (const bool left_out : {true, false}) {
    CAPTURE(left_out);
    const Lab lab;
    {
      Session owner = lab.open();
      lab.add(owner, "officer", "officer", {"identity"});
      lab.add(owner, "analyst", "analyst", {});
      REQUIRE_OK(owner.revoke("analyst"));
    }
    {
      const auto core = lab.core();
      auto work = REQUIRE_OK(vault::UnitOfWork::begin(*core));
      SecretBytes key = crypto::random_key(core->random());
      std::vector<vault::AuthorityOp> ops;
      ops.emplace_back(
          vault::OpVaultKey{3, keys::vault_key_commitment(core->tag(), 3, key), core->vault_key().clone()});
      ops.emplace_back(vault::OpLogKey{crypto::random_key(core->random())});
      std::vector<vault::VaultKeyGrant> grants;
      for (const auto& [number, principal] : work.authority().state.principals) {
        if (left_out && principal.who.name != "owner") continue;  // else to all, the revoked one among them
        const crypto::PublicKey& to = principal.who.x_public;
        grants.emplace_back(keys::vault_key_label(core->tag(), 3, to),
                            REQUIRE_OK(keys::seal_vault_key(core->tag(), 3, to, key, core->random())));
      }
      REQUIRE_OK(
          work.append_vault_key(audit::Action::kKeyVault, "forged", std::move(ops), std::move(key), std::move(grants)));
    }
    Session owner = lab.open();
    const VerifyReport report = REQUIRE_OK(owner.verify_log());
    CHECK_FALSE(report.ok);
    CHECK(report.reason.find("exactly those who are in") != std::string::npos);
  }
}

TEST_CASE("tamper-evident: a session that is open does not take a database put back under the old vault key") {
  const Lab lab;
  Person officer;
  {
    Session owner = lab.open();
    officer = lab.add(owner, "officer", "officer", {"identity"});
    add_person(owner, "Before");
  }
  const Leaver leaver(lab, officer);
  const SecretBytes key = leaver.key();
  const Bytes old_root = file_bytes(lab.vault() / "erasure.root");
  vault::DbState old_state = REQUIRE_OK(lab.core()->snapshot()).db;
  const auto core = lab.core();
  REQUIRE_OK(vault::rotate_vault_key(*core));
  const std::uint64_t applied = REQUIRE_OK(core->snapshot()).db.applied;
  {
    // The leaver's program works on the database of the open vault.
    const auto txn = REQUIRE_OK(core->store().begin_write());
    old_state.applied = applied;
    REQUIRE_DONE(vault::write_state({leaver.tag, &key}, *txn, old_state, *base::system_environment().random));
    REQUIRE_DONE(txn->commit());
    write_bytes(lab.vault() / "erasure.root", old_root);
  }
  REQUIRE_ERROR(ErrorCode::kIntegrity, core->snapshot());
  REQUIRE_ERROR(ErrorCode::kIntegrity, vault::UnitOfWork::begin(*core));
}

TEST_CASE("bound: rows of an import that was at work when somebody was put out are under node keys never shown") {
  const Lab lab;
  {
    Session owner = lab.open();
    lab.add(owner, "officer", "officer", {"identity"});
    add_person(owner, "Before");
  }
  const auto node = [&](std::uint64_t leaf) {  // the sealed row of level 1 above a leaf node
    const auto core = lab.core();
    const vault::Snapshot snapshot = REQUIRE_OK(core->snapshot());
    Bytes row;
    base::Writer(row).u8(1).u8(1).u64(leaf >> 8U);
    const auto value = REQUIRE_OK(snapshot.txn->get(store::Table::kTree, row));
    REQUIRE(value);
    return Bytes(value->begin(), value->end());
  };
  {
    // An import has taken rows 256 to 200,191 and written into two of its leaf nodes.
    const auto core = lab.core();
    auto work = REQUIRE_OK(vault::UnitOfWork::begin(*core));
    work.db().staged.push_back({256, 200'192});
    work.db().next_row = 200'192;
    REQUIRE_OK(core->make_leaf_key(work.txn(), work.db(), 1));
    REQUIRE_OK(core->make_leaf_key(work.txn(), work.db(), 300));
    REQUIRE_DONE(work.commit_unseen());
  }
  const Bytes first = node(1);
  const Bytes second = node(300);
  {
    const auto core = lab.core();
    REQUIRE_OK(vault::rotate_vault_key(*core));
  }
  CHECK(node(1) != first);
  CHECK(node(300) != second);
  const auto core = lab.core();
  const vault::Snapshot snapshot = REQUIRE_OK(core->snapshot());
  REQUIRE_OK(core->leaf_key(*snapshot.txn, snapshot.db, 300));
  CHECK(snapshot.db.next_row == 200'192);
}

TEST_CASE("compartmented: new keys take along what was held, and no more of it in the same entry") {
  const Lab lab;
  Person officer;
  const std::int64_t later = base::system_environment().clock->now_ms() + 1'000'000;
  {
    Session owner = lab.open();
    officer = lab.add(owner, "officer", "officer", {});
    const std::vector<std::string> identity = {"identity"};
    REQUIRE_OK(owner.grant("officer", identity, {true, later}));
  }
  const Person fresh = Person::make("officer", lab.folder / "fresh.identity");
  const auto attempt = [&](bool more) {
    const auto core = lab.core(officer);
    auto work = REQUIRE_OK(vault::UnitOfWork::begin(*core));
    std::vector<vault::AuthorityOp> ops;
    ops.emplace_back(vault::OpRekey{fresh.public_string});
    ops.emplace_back(vault::OpGrant{2, {1, 1}, Bytes(137), true, later});
    if (more) ops.emplace_back(vault::OpGrant{2, {1, 1}, Bytes(137), true, 0});
    return vault::begin_vault_key(work, audit::Action::kPrincipalRekey, "forged", std::move(ops));
  };
  REQUIRE_ERROR(ErrorCode::kBadInput, attempt(true));
  REQUIRE_OK(attempt(false));  // the same without the second grant is well-formed
}

}  // namespace
}  // namespace casevault::test
