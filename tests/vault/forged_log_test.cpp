// SPDX-License-Identifier: Apache-2.0
#include <set>

#include "crypto/keypair.hpp"
#include "forger.hpp"

/// What an insider with the vault key writes into the parts of the log that no signature covers, and into what only
/// its own signatures cover, held against every rule of FORMAT.md.
namespace casevault::test {
namespace {

struct Attack {
  std::string name;
  std::function<void(Entries&, vault::Core&)> edit;
  std::function<void(Rewriter::State&)> head = [](Rewriter::State&) {};  ///< what the second segment's head says
  std::string told{};                                                    ///< part of what opening or verifying says
};

/// Each attack in a log of one segment, whose batches an opener replays, and in one of two, where it sees the last head
/// only.
void require_told(const Story& story, const std::vector<Attack>& attacks) {
  for (const bool two : {false, true}) {
    story.rewrite([](Entries&, vault::Core&) {},
                  two ? [](Rewriter::State&) {} : std::function<void(Rewriter::State&)>{});
    const Story::Verdict truth = story.judge(story.lab.owner, Anchor::kNone);
    INFO(truth.reason);
    REQUIRE(truth.ok);  // without this the refusals below could rest on a clumsy forger
    for (const Attack& attack : attacks) {
      CAPTURE(attack.name, two);
      story.rewrite(attack.edit, two ? attack.head : std::function<void(Rewriter::State&)>{});
      const Story::Verdict verdict = story.judge(story.lab.owner, Anchor::kNone);
      INFO(verdict.reason);
      CHECK_FALSE(verdict.ok);
      CHECK(verdict.reason.find(attack.told) != std::string::npos);
    }
  }
}

/// An authority payload of this principal after the newest one.
Bytes payload_of(vault::Core& core, const Person& who, std::uint32_t number,
                 const std::optional<vault::AuthorityLink>& previous, std::vector<vault::AuthorityOp> ops) {
  const SecretBytes seed = SecretBytes::copy(who.ed_seed);
  const SecretBytes bytes =
      vault::encode_authority(core.tag(), {number, previous, std::move(ops)}, crypto::key_of(seed), core.random());
  return {bytes.view().begin(), bytes.view().end()};
}
std::vector<vault::AuthorityOp> undo(std::initializer_list<std::uint64_t> marked) {
  std::vector<vault::AuthorityOp> ops;
  for (const std::uint64_t entry : marked) ops.emplace_back(vault::OpNotApplied{entry});
  return ops;
}

/// Mallory's word that a mutation never reached the database.
Rewriter::Entry mark(const Story& story, vault::Core& core, const Rewriter::Entry& like, std::uint64_t entry) {
  Rewriter::Entry out = own_entry(story, core, like);
  out.leaf.action = audit::Action::kNotApplied;
  out.authority = payload_of(core, story.mallory, 2, core.journal().state().last_authority, undo({entry}));
  return out;
}

/// 7 the owner certifies quan, 8 mallory looks.
struct Certified : Story {
  Certified() {
    go_on([&] {
      Session session = lab.open();
      (void)lab.add(session, "quan", "officer", {"identity"});
      session.close();
      look(mallory);
    });
    REQUIRE(size == 9);
  }
};

TEST_CASE(
    "tamper-evident: a state in a closing frame or in the head of a segment that is not what the entries give is "
    "told") {
  const Certified story;
  const auto last = [](Entries& e) -> Rewriter::Entry& { return e.back(); };
  const auto honest = [](Entries&, vault::Core&) {};
  const auto marked = [&](std::uint64_t mutation, std::uint64_t floor) {
    return [&story, mutation, floor](Entries& e, vault::Core& core) {
      e.push_back(mark(story, core, e.back(), 7));
      e.back().last_mutation = mutation;
      e.back().floor = floor;
    };
  };
  const auto claim = [&](std::size_t entry, const std::function<void(Rewriter::State&)>& lie) {
    return [entry, lie](Entries& e, vault::Core&) { e[entry].claim = lie; };
  };
  std::vector<Attack> attacks = {
      {"the newest mutation marked, M left", marked(8, 8)},
      {"the newest mutation marked, M left, M' let fall", marked(8, 3)},
      {"the newest mutation marked, a look raises M and M' again",
       [&](Entries& e, vault::Core& core) {
         marked(3, 3)(e, core);
         e[8].floor = 3;
         e.push_back(e[5]);
         e.back().last_mutation = e.back().floor = 8;
       }},
      {"M' falls", [&](Entries& e, vault::Core&) { last(e).floor = 1; }},
      {"M' above M", [&](Entries& e, vault::Core&) { last(e).floor = 9; }},
      {"M' names no mutation", [&](Entries& e, vault::Core&) { last(e).floor = 5; }},
      {"M raised by a look", [&](Entries& e, vault::Core&) { last(e).last_mutation = 9; }},
      {"M lowered", [&](Entries& e, vault::Core&) { last(e).last_mutation = last(e).floor = 3; }},
      {"M lowered, long ago", [&](Entries& e, vault::Core&) { e[5].last_mutation = 1; }},
      {"A names an older entry", claim(8, [](Rewriter::State& s) { s.last_authority->entry = 2; })},
      {"A stands elsewhere, long ago", claim(5, [](Rewriter::State& s) { s.last_authority->position.offset += 1; })},
      {"A has another hash, long ago", claim(5, [](Rewriter::State& s) { s.last_authority->leaf_hash[0] ^= 1; })},
      {"there is no A, long ago", claim(5, [](Rewriter::State& s) { s.last_authority.reset(); })},
      {"the time", claim(8, [](Rewriter::State& s) { s.last_time_ms += 1000; })},
      {"the vault key grants are elsewhere, long ago", claim(5, [](Rewriter::State& s) { s.vault_keys.offset += 1; })},
  };
  require_told(story, attacks);
  attacks = {
      {"M'", honest, [](Rewriter::State& s) { s.database_floor = 3; }},
      {"M", honest, [](Rewriter::State& s) { s.last_mutation = 9; }},
      {"A", honest, [](Rewriter::State& s) { s.last_authority->position.offset += 1; }},
      {"the time", honest, [](Rewriter::State& s) { s.last_time_ms -= 1; }},
      {"the vault key grants", honest, [](Rewriter::State& s) { s.vault_keys = {UINT32_MAX, UINT32_MAX}; }},
      {"the size", honest, [](Rewriter::State& s) { s.tree.append(s.last_authority->leaf_hash); }},
  };
  for (const Attack& attack : attacks) {
    CAPTURE(attack.name);
    story.rewrite(attack.edit, attack.head);
    const Story::Verdict verdict = story.judge(story.lab.owner, Anchor::kNone);
    INFO(verdict.reason);
    CHECK_FALSE(verdict.ok);
  }
}

TEST_CASE(
    "tamper-evident: a mutation that the database holds is not undone by whoever says so: the vault does not open") {
  const Certified story;
  for (const bool two : {false, true}) {
    for (const std::uint64_t floor : {3, 8}) {
      CAPTURE(two, floor);
      story.rewrite(
          [&](Entries& e, vault::Core& core) {
            e[8].floor = floor;
            e.push_back(mark(story, core, e[6], 7));
            e.back().last_mutation = 8;
            e.back().floor = floor;
          },
          two ? [](Rewriter::State&) {} : std::function<void(Rewriter::State&)>{});
      REQUIRE_ERROR(ErrorCode::kIntegrity, story.lab.try_open(story.lab.owner));
      std::filesystem::remove_all(story.lab.state());
      REQUIRE_ERROR(ErrorCode::kIntegrity, story.lab.try_open(story.lab.owner));
    }
  }
}

/// 7 mallory's record whose transaction never committed, 8 mallory's next session marks it.
struct Marked : Story {
  Marked() {
    go_on([&] {
      append_pending(*lab.core(mallory));
      Session settled = lab.open(mallory);
    });
    REQUIRE(size == 9);
  }
};

TEST_CASE("tamper-evident: not applied is said alone, of the newest mutation, under its own action") {
  const Marked story;
  const auto replaced = [&](std::vector<vault::AuthorityOp> (*ops)()) {
    return [&story, ops](Entries& e, vault::Core& core) {
      auto chain = REQUIRE_OK(core.journal().authority_chain(core.log()));
      e[8].authority = payload_of(core, story.mallory, 2, chain.at(chain.size() - 2).at, ops());
      story.sign(e[8], 2);
    };
  };
  require_told(story, {
                          {"twice", replaced(+[] { return undo({7, 7}); })},
                          {"beside a grant", replaced(+[] {
                             std::vector<vault::AuthorityOp> ops = undo({7});
                             ops.emplace_back(vault::OpGrant{2, {3, 1}, Bytes(100), true, 0});
                             return ops;
                           })},
                          {"of a mutation before the newest", replaced(+[] { return undo({2}); })},
                          {"under another action",
                           [&](Entries& e, vault::Core&) {
                             e[8].leaf.action = audit::Action::kReadLog;
                             story.sign(e[8], 2);
                           }},
                          {"as an action without words",
                           [&](Entries& e, vault::Core& core) {
                             e.push_back(own_entry(story, core, e[6]));
                             e.back().leaf.action = audit::Action::kNotApplied;
                             e.back().last_mutation = e.back().floor = 3;
                           }},
                          {"with something written",
                           [&](Entries& e, vault::Core&) {
                             e[8].write = e[7].write;
                             story.sign(e[8], 2);
                           }},
                          {"again",
                           [&](Entries& e, vault::Core& core) {
                             e.push_back(mark(story, core, e[8], 7));
                             e.back().last_mutation = e.back().floor = 3;
                           }},
                      });
}

/// 7 the owner certifies an administrator, 8 that one is refused a look, 9 certifies an accomplice, 10 another.
struct Administered : Story {
  Person admin, accomplice;
  Administered() {
    go_on([&] {
      Session session = lab.open();
      admin = lab.add(session, "admin", "administrator", {});
      session.close();
      {
        const auto core = lab.core(admin);
        const vault::Snapshot now = REQUIRE_OK(core->snapshot());
        REQUIRE_OK(core->append(
            REQUIRE_OK(core->draft(*now.authority, audit::Action::kReadLog, audit::Outcome::kDenied, {}))));
      }
      session = lab.open(admin);
      accomplice = lab.add(session, "accomplice", "officer", {});
      (void)lab.add(session, "another", "officer", {});
    });
    REQUIRE(size == 11);
  }
};

TEST_CASE("traced: who signs a batch was certified before it, and wrote the authority that stands in it") {
  const Administered story;
  const auto sign_rest = [&](Entries& e) {
    for (std::size_t i = 8; i < e.size(); ++i) {
      if (e[i].seed == nullptr) e[i].seed = &story.admin.ed_seed;
    }
  };
  require_told(story, {
                          {"signed by one who was certified later",
                           [&](Entries& e, vault::Core& core) {
                             e[8] = entry_of(core, story.accomplice, 4, e[8]);
                             sign_rest(e);
                           },
                           [](Rewriter::State&) {}, "entry 8"},
                          {"signed by one who did not write the payload",
                           [&](Entries& e, vault::Core& core) {
                             e[10] = entry_of(core, story.accomplice, 4, e[10]);
                             sign_rest(e);
                           },
                           [](Rewriter::State&) {}, "entry 10"},
                          {"vault key grants that pass over those before",
                           [&](Entries& e, vault::Core&) {
                             std::copy_n(e[2].vault_keys.begin(), 8, e[10].vault_keys.begin());
                             sign_rest(e);
                           },
                           [](Rewriter::State&) {}, "entry 10"},
                      });
}

/// An entry of mallory's with a details block put together by hand.
struct Shape {
  std::uint64_t actor = 2;
  std::uint64_t type = 0;
  std::uint64_t field = 1;
  std::size_t parts = 0;
  std::uint8_t padding = 0;
};
Rewriter::Entry hand_made(const Story& story, vault::Core& core, const Rewriter::Entry& like, const Shape& shape) {
  base::Random& random = core.random();
  const auto salted = [&] {
    Bytes out(32);
    random.fill(out);
    return out;
  };
  Bytes actor = salted();
  format::CborWriter(actor).array(2).uint(shape.actor).text(story.mallory.name);
  Bytes fields = salted();
  format::CborWriter(fields).array(2).uint(shape.type).array(1).uint(shape.field);
  Bytes subjects = salted();
  Bytes tags;
  for (std::size_t i = 0; i < shape.parts; ++i) {
    base::Writer(tags).bytes(Bytes(32, static_cast<std::uint8_t>(i)));
    base::Writer(subjects).u64(0).bytes(Bytes(32, static_cast<std::uint8_t>(i))).bytes(Bytes(32));
  }
  Bytes common = salted();
  format::CborWriter(common).array(7).bytes(actor).bytes(fields).bytes(subjects).text("").text("").text("").map(0);
  Rewriter::Entry entry = like;
  story.sign(entry, 2);
  entry.leaf.actor = audit::commit(format::kCommitActor, actor);
  entry.leaf.fields = audit::commit(format::kCommitFields, fields);
  entry.leaf.subjects = audit::commit(format::kCommitSubjects, subjects);
  entry.leaf.details = audit::commit(format::kCommitDetails, common);

  const vault::Snapshot snapshot = REQUIRE_OK(core.snapshot());
  const crypto::PublicKey deposit =
      snapshot.authority->state.epochs.at({vault::kAuditCompartment, 1}).commitments.deposit_public;
  const SecretBytes secret = crypto::random_key(random);
  const crypto::PublicKey ephemeral = crypto::x25519_public(crypto::key_of(secret));
  const SecretBytes agreed = REQUIRE_OK(crypto::x25519(crypto::key_of(secret), deposit));
  const auto shared = std::make_shared<SecretBytes>(crypto::derive_key(format::kLogDetails, agreed.view(), ephemeral));
  entry.details = [=, tag = core.tag(), &random](std::uint64_t number) {
    Bytes context, inside, out;
    base::Writer(context).bytes(tag).u64(number).u32(1).bytes(ephemeral);
    base::Writer w(inside);
    w.block(common).u8(static_cast<std::uint8_t>(shape.parts));
    for (std::size_t i = 0; i < shape.parts; ++i) w.block(Bytes(90));
    inside.resize((inside.size() + 128) / 128 * 128);
    inside.back() = shape.padding;
    base::Writer outer(out);
    outer.bytes(ephemeral).u32(1);
    outer.block(crypto::seal_envelope(format::kLogDetails, crypto::key_of(*shared), context, inside, random));
    outer.u8(static_cast<std::uint8_t>(shape.parts)).bytes(tags);
    return out;
  };
  return entry;
}

TEST_CASE("tamper-evident: details that are padded with something, or hold more than 64 parts, are told") {
  const Story story;
  const auto shaped = [&](const Shape& shape) {
    return [&story, shape](Entries& e, vault::Core& core) { e[6] = hand_made(story, core, e[6], shape); };
  };
  for (const Shape& fine : {Shape{}, Shape{2, 0, 1, 64, 0}, Shape{2, 65535, 65535, 0, 0}}) {
    CAPTURE(fine.parts);
    story.rewrite(shaped(fine));
    const Story::Verdict verdict = story.judge(story.lab.owner, Anchor::kNone);
    INFO(verdict.reason);
    REQUIRE(verdict.ok);
  }
  const std::function<void(Rewriter::State&)> honest = [](Rewriter::State&) {};
  require_told(story, {
                          {"padding", shaped({2, 0, 1, 0, 1}), honest, "entry 6"},
                          {"padding after parts", shaped({2, 0, 1, 3, 0x80}), honest, "entry 6"},
                          {"65 parts", shaped({2, 0, 1, 65, 0}), honest, "entry 6"},
                          {"255 parts", shaped({2, 0, 1, 255, 0}), honest, "entry 6"},
                      });
}

TEST_CASE("tamper-evident: numbers of people, types and fields that are too great are told, and never cut off") {
  const Story story;
  const auto shaped = [&](const Shape& shape) {
    return [&story, shape](Entries& e, vault::Core& core) { e[6] = hand_made(story, core, e[6], shape); };
  };
  const std::function<void(Rewriter::State&)> honest = [](Rewriter::State&) {};
  constexpr std::uint64_t kWide = std::uint64_t{1} << 32U;
  story.rewrite(shaped({2, 65535, 65535, 0, 0}));
  REQUIRE(story.judge(story.lab.owner, Anchor::kNone).ok);
  require_told(story, {
                          {"actor of a batch", [&](Entries& e, vault::Core&) { story.sign(e[6], kWide + 2); }},
                          {"actor", shaped({kWide + 2, 0, 1, 0, 0}), honest, "entry 6"},
                          {"type", shaped({2, 65536, 1, 0, 0}), honest, "entry 6"},
                          {"field", shaped({2, 0, 65537, 0, 0}), honest, "entry 6"},
                      });
}

TEST_CASE("tamper-evident: an entry under an action that is reserved is told") {
  const Story story;
  const std::function<void(Rewriter::State&)> honest = [](Rewriter::State&) {};
  std::vector<Attack> attacks;
  for (const int action : {0, 10, 255}) {
    attacks.push_back({std::to_string(action),
                       [&story, action](Entries& e, vault::Core&) {
                         e[6].leaf.action = static_cast<audit::Action>(action);
                         story.sign(e[6], 2);
                       },
                       honest, "action " + std::to_string(action)});
  }
  require_told(story, attacks);
}

/// 7 mallory adds a record.
struct Added : Story {
  Added() {
    go_on([&] {
      Session session = lab.open(mallory);
      add_person(session, "Lan");
    });
    REQUIRE(size == 8);
  }
};

Bytes write_opening(std::uint64_t first, std::uint64_t rows, std::uint64_t version, ByteView stamp, bool range) {
  Bytes out(32, 7);
  format::CborWriter(out).array(6).uint(first).uint(rows).uint(version).bytes(stamp).boolean(range).uint(0);
  return out;
}

TEST_CASE("tamper-evident: a write payload of no rows, of no version, or of a shape that nothing writes is told") {
  const Added story;
  const auto shaped = [&](std::uint64_t rows, std::uint64_t version, bool range) {
    return [&story, rows, version, range](Entries& e, vault::Core&) {
      format::CborReader r(ByteView(e[7].write).subspan(32));
      REQUIRE(r.array() == 6);
      const std::uint64_t row = r.uint();
      for (int i = 0; i < 2; ++i) r.skip();
      e[7].write = write_opening(row, rows, version, r.fixed<16>(), range);
      story.sign(e[7], 2);
    };
  };
  story.rewrite(shaped(1, 1, false));
  REQUIRE(story.judge(story.lab.owner, Anchor::kNone).ok);
  const std::function<void(Rewriter::State&)> honest = [](Rewriter::State&) {};
  constexpr std::uint64_t kWide = std::uint64_t{1} << 32U;
  const char* told = "entry 7: its write payload is malformed";
  require_told(story, {
                          {"no rows", shaped(0, 1, false), honest, told},
                          {"two rows of one record", shaped(2, 1, false), honest, told},
                          {"version 0", shaped(1, 0, false), honest, told},
                          {"version beyond 32 bits", shaped(1, kWide + 1, false), honest, told},
                          {"a range of version 2", shaped(1, 2, true), honest, told},
                          {"a range without rows", shaped(0, 1, true), honest, told},
                          {"rows beyond the last", shaped(kWide, 1, true), honest, told},
                      });
}

/// Says of the database what suits the log: every principal with the vault key can.
void set_applied(const Lab& lab, const SecretBytes& vault_key, const keys::VaultTag& tag, std::uint64_t applied) {
  const auto store = REQUIRE_OK(store::open_lmdb_store(lab.vault(), {}));
  auto txn = REQUIRE_OK(store->begin_write());
  const vault::StateSeal seal{tag, &vault_key};
  vault::DbState state = REQUIRE_OK(vault::decode_state(seal, REQUIRE_OK(vault::read_state_row(*txn))));
  state.applied = applied;
  REQUIRE_DONE(vault::write_state(seal, *txn, state, *base::system_environment().random));
  REQUIRE_DONE(txn->commit());
}

TEST_CASE("bound: a range of an import over rows that an entry has named before is told, with the entry") {
  const Added story;
  struct Range {
    std::uint64_t first, rows;
    std::optional<std::pair<std::uint64_t, std::uint64_t>> before{};  ///< another range, in an entry of its own
  };
  for (const Range& range : {Range{0, 1}, Range{0, 1000}, Range{1, 1}, Range{50, 10, {{55, 1}}},
                             Range{50, 10, {{40, 11}}}, Range{50, 10, {{40, 100}}}, Range{50, 10, {{59, 7}}}}) {
    CAPTURE(range.first, range.rows, range.before.has_value());
    SecretBytes vault_key;
    keys::VaultTag tag{};
    std::uint64_t applied = 0;
    story.rewrite([&](Entries& e, vault::Core& core) {
      vault_key = core.vault_key().clone();
      tag = core.tag();
      const auto add = [&](std::uint64_t first, std::uint64_t rows) {
        const std::uint64_t before = e.back().last_mutation;
        e.push_back(own_entry(story, core, e[6]));
        e.back().leaf.action = audit::Action::kImport;
        e.back().write = write_opening(first, rows, 1, Bytes(16, 9), true);
        e.back().floor = before;
        e.back().last_mutation = applied = e.size();
      };
      if (range.before) add(range.before->first, range.before->second);
      add(range.first, range.rows);
    });
    set_applied(story.lab, vault_key, tag, applied);
    const Story::Verdict verdict = story.judge(story.lab.owner, Anchor::kNone);
    INFO(verdict.reason);
    CHECK_FALSE(verdict.ok);
    CHECK(verdict.entry == applied - 1);
  }
}

TEST_CASE("robust: a state row that counts records of a type beyond 16 bits does not open") {
  const Lab lab;
  SecretBytes vault_key;
  keys::VaultTag tag{};
  {
    const auto core = lab.core();
    vault_key = core->vault_key().clone();
    tag = core->tag();
  }
  {
    const auto store = REQUIRE_OK(store::open_lmdb_store(lab.vault(), {}));
    auto txn = REQUIRE_OK(store->begin_write());
    const vault::StateSeal seal{tag, &vault_key};
    const vault::DbState state = REQUIRE_OK(vault::decode_state(seal, REQUIRE_OK(vault::read_state_row(*txn))));
    Bytes row;
    format::CborWriter w(row);
    w.array(9).uint(state.applied).uint(state.tree_generation).uint(state.root.epoch).bytes(state.root.commitment);
    w.uint(state.next_row).uint(state.next_half_slot).map(1).uint(65537).uint(1).array(0).map(0);
    row.resize(256);
    REQUIRE_DONE(txn->put(store::Table::kMeta, as_bytes("state"),
                          crypto::seal_envelope(format::kMetaRow, crypto::key_of(vault_key), tag, row,
                                                *base::system_environment().random)));
    REQUIRE_DONE(txn->commit());
  }
  REQUIRE_ERROR(ErrorCode::kIntegrity, lab.try_open(lab.owner));
}

TEST_CASE(
    "compartmented: a genesis that says a thing twice, or is signed by another than its first principal, is "
    "refused") {
  const TempFolder folder;
  base::Random& random = *base::system_environment().random;
  const Person owner = Person::make("owner", folder / "owner");
  const Person second = Person::make("second", folder / "second");
  const keys::VaultTag tag{7};
  const std::string schema = [] {
    const Lab lab;
    const auto core = lab.core();
    return REQUIRE_OK(core->snapshot()).authority->schema().source();
  }();
  const auto fold = [&](std::vector<int> kinds, const Person& signer, std::uint32_t number) {
    std::vector<vault::AuthorityOp> ops;
    for (const int kind : kinds) {
      if (kind == 1)
        ops.emplace_back(vault::OpGenesis{tag, 0, crypto::random_key(random), crypto::random_key(random), 1});
      if (kind == 2) ops.emplace_back(vault::OpSchema{schema});
      if (kind == 3) ops.emplace_back(vault::OpVaultKey{1, {}, {}});
      if (kind == 4) ops.emplace_back(vault::OpPrincipal{1, owner.public_string, "owner", {}, {}});
      if (kind == 5) ops.emplace_back(vault::OpPrincipal{2, second.public_string, "owner", {}, {}});
    }
    const SecretBytes seed = SecretBytes::copy(signer.ed_seed);
    std::vector<vault::SealedLink> chain;
    chain.push_back({{}, vault::encode_authority(tag, {number, {}, std::move(ops)}, crypto::key_of(seed), random)});
    return vault::fold_authority(chain, 1);
  };
  REQUIRE_OK(fold({1, 2, 3, 4, 5}, owner, 1));
  for (const std::vector<int>& kinds : {std::vector{1, 1, 2, 3, 4},
                                        {1, 2, 2, 3, 4},
                                        {1, 2, 3, 3, 4},
                                        {1, 2, 3, 4, 2},
                                        {1, 2, 3, 4, 3},
                                        {1, 2, 3, 4, 1}}) {
    CAPTURE(kinds);
    REQUIRE_ERROR(ErrorCode::kIntegrity, fold(kinds, owner, 1));
  }
  REQUIRE_ERROR(ErrorCode::kIntegrity, fold({1, 2, 3, 4, 5}, second, 2));
  REQUIRE_ERROR(ErrorCode::kIntegrity, fold({1, 2, 3, 4, 5}, owner, 2));
}

}  // namespace
}  // namespace casevault::test
