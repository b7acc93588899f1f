// SPDX-License-Identifier: Apache-2.0
#include <sys/mman.h>
#include <sys/prctl.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <set>

#include "age/age.hpp"
#include "killed_child.hpp"
#include "maintained.hpp"
#include "support/fixed_environment.hpp"

/// Keys and people are changed by a process that is killed anywhere, while others write and read.
namespace casevault::test {
namespace {

constexpr std::size_t kPeople = 200;
constexpr std::uint32_t kOwn = 4;

/// What every trial begins with: a vault with people in it, and an identity file with slots.
struct World {
  Lab lab;
  Person clerk, leaver, keeper, mover, fresh;
  std::vector<RecordId> people;  ///< "Person 1" and on: nobody changes their names
  std::vector<RecordId> own;     ///< "Own <n>": written again and again
  std::filesystem::path desk = lab.folder / "desk.identity";
  std::filesystem::path old_shares = lab.folder / "old-shares";
  std::filesystem::path new_shares = lab.folder / "new-shares";
  /// Plain memory: forked children do not have the arena.
  struct AgeKey {
    std::string secret, recipient;
  };
  std::array<AgeKey, 3> age;
  std::string second_slot;

  World() {
    Session session = lab.open();
    clerk = lab.add(session, "clerk", "officer", {"identity", "contact"});
    leaver = lab.add(session, "leaver", "officer", {"identity", "contact"});
    keeper = lab.add(session, "keeper", "officer", {"identity", "statistics"});
    mover = lab.add(session, "mover", "officer", {"identity", "statistics"}, true);
    fresh = Person::make("mover", lab.folder / "fresh.identity");
    fresh.pins = mover.pins;
    make_desk(session);
    Rows rows(kPeople);
    ImportOptions options;
    options.collect_ids = true;
    people = REQUIRE_OK(session.import_rows("person", rows, options)).ids;
    for (std::uint32_t i = 0; i < kOwn; ++i) own.push_back(add_person(session, "Own 0", "0").id);
    session.close();
    lab.save("whole");
    session = lab.open();
    for (const char* compartment : {"identity", "statistics"}) REQUIRE_OK(session.rotate(compartment));
    session.close();
    lab.save("rotated");
    session = lab.open();
    REQUIRE(REQUIRE_OK(session.reencrypt({})).finished);
    session.close();
    lab.save("moved");
  }

  void restore(std::string_view as) const {
    lab.restore(as);
    std::filesystem::remove_all(lab.state());
    std::filesystem::remove_all(new_shares);
    std::filesystem::copy_file(lab.folder / "desk.start", desk, std::filesystem::copy_options::overwrite_existing);
  }
  [[nodiscard]] AgeIdentity age_identity(std::size_t which) const {
    return AgeIdentity(SecretBytes::copy(as_bytes(age[which].secret)));
  }
  [[nodiscard]] Result<Identity> open_desk(std::size_t which) const {
    return Identity::open(desk, Unlock(age_identity(which)), lab.state());
  }
  [[nodiscard]] Result<Identity> open_desk(const std::filesystem::path& shares) const {
    const std::filesystem::path some[] = {shares / "share-01-of-03.txt", shares / "share-03-of-03.txt"};
    CASEVAULT_TRY(Shares two, Shares::read(some));
    return Identity::open(desk, Unlock(std::move(two)), lab.state());
  }

 private:
  void make_desk(Session& session) {
    base::Random& random = *base::system_environment().random;
    for (AgeKey& key : age) {
      const age::Identity made = age::Identity::generate(random);
      key = {std::string(as_text(made.text().view())), made.recipient().text()};
    }
    const Passphrase passphrase(SecretBytes::copy(as_bytes("correct horse")));
    REQUIRE_OK(Identity::create(desk, "desk", passphrase, {1, 64}));
    Identity identity = REQUIRE_OK(Identity::open(desk, passphrase, lab.state()));
    REQUIRE_OK(identity.add_slot(AgeRecipient{age[0].recipient}));
    second_slot = REQUIRE_OK(identity.add_slot(AgeRecipient{age[1].recipient}));
    REQUIRE_OK(identity.split({2, 3, old_shares}));
    REQUIRE_DONE(identity.remove_slot(identity.slots().front().id));
    PrincipalRequest request;
    request.name = "desk";
    request.public_string = identity.public_string();
    request.role = "officer";
    request.grants = {"identity"};
    REQUIRE_OK(Session::accept(REQUIRE_OK(session.add_principal(request)), identity));
    std::filesystem::copy_file(desk, lab.folder / "desk.start");
  }
};

// --- jobs: each goes on where the one before it was killed -----------------------------------------------------------

template <typename Work>
Result<void> as(const World& world, const Person& who, const Work& work) {
  CASEVAULT_TRY(Session session, patiently([&] { return world.lab.try_open(who); }));
  CASEVAULT_CHECK(patiently([&] { return work(session); }));
  return {};
}

Result<KeyInfo> find_key(Session& session, std::string_view compartment, std::uint32_t epoch) {
  CASEVAULT_TRY(const std::vector<KeyInfo> keys, session.keys());
  const auto found = std::ranges::find_if(
      keys, [&](const KeyInfo& key) { return key.compartment == compartment && key.epoch == epoch; });
  if (found == keys.end()) return Error{ErrorCode::kNotFound, "there is no such epoch"};
  return *found;
}
Result<PrincipalInfo> find_person(Session& session, std::string_view name) {
  CASEVAULT_TRY(const std::vector<PrincipalInfo> people, session.principals());
  const auto found = std::ranges::find(people, name, &PrincipalInfo::name);
  if (found == people.end()) return Error{ErrorCode::kNotFound, "there is no such principal"};
  return *found;
}
bool holds(const PrincipalInfo& person, std::string_view compartment) {
  return std::ranges::find(person.grants, compartment) != person.grants.end();
}
/// The next write of somebody who holds all: what an earlier entry left to be done is done with it.
Result<Written> write(const World& world, Session& session) {
  const FieldInput change[] = {{"note", "next"}, {"phone", "1"}, {"sex", "male"}};
  return session.update(world.people[0], change);
}
/// `change` unless it has taken effect, and then the next write.
template <typename Change>
Result<Written> once(const World& world, Session& session, bool done, const Change& change) {
  if (!done) CASEVAULT_CHECK(change());
  return write(world, session);
}

Result<void> rotate(const World& world) {
  return as(world, world.lab.owner, [&](Session& session) -> Result<Written> {
    CASEVAULT_TRY(const KeyInfo key, find_key(session, "identity", 1));
    return once(world, session, key.state == "old", [&] { return session.rotate("identity"); });
  });
}
Result<void> rotate_vault_key(const World& world) {
  return as(world, world.lab.owner, [&](Session& session) -> Result<Written> {
    CASEVAULT_TRY(const Status status, session.status());
    return once(world, session, status.vault_key_epoch > 1, [&] { return session.rotate_vault_key(); });
  });
}
Result<void> reencrypt(const World& world) {
  ReencryptOptions options;
  options.rate = 2000;  // 100 cells a transaction
  return as(world, world.lab.owner, [&](Session& session) { return session.reencrypt(options); });
}
Result<void> retire(const World& world) {
  return as(world, world.lab.owner, [&](Session& session) -> Result<Written> {
    CASEVAULT_TRY(const KeyInfo key, find_key(session, "identity", 1));
    return once(world, session, key.state == "retired", [&] { return session.retire_epoch("identity", 1); });
  });
}
Result<void> destroy(const World& world) {
  return as(world, world.lab.owner, [&](Session& session) -> Result<Written> {
    CASEVAULT_TRY(const KeyInfo key, find_key(session, "identity", 1));
    return once(world, session, key.state == "destroyed", [&] { return session.destroy_epoch("identity", 1); });
  });
}
Result<void> revoke(const World& world) {
  return as(world, world.lab.owner, [&](Session& session) -> Result<Written> {
    CASEVAULT_TRY(const PrincipalInfo leaver, find_person(session, "leaver"));
    return once(world, session, leaver.revoked.has_value(), [&] { return session.revoke("leaver"); });
  });
}
Result<void> take_back(const World& world) {
  return as(world, world.lab.owner, [&](Session& session) -> Result<Written> {
    CASEVAULT_TRY(const PrincipalInfo keeper, find_person(session, "keeper"));
    const std::string names[] = {"statistics"};
    return once(world, session, !holds(keeper, names[0]), [&] { return session.revoke_grant("keeper", names); });
  });
}
Result<void> rekey(const World& world) {
  auto old = patiently([&] { return world.lab.try_open(world.mover); });
  if (!old && old.error().code != ErrorCode::kNoGrant) return std::move(old).error();
  if (old) {
    CASEVAULT_CHECK(patiently([&] { return old->rekey(world.fresh.public_string); }));
    old->close();
  }
  return as(world, world.lab.owner, [&](Session& session) { return write(world, session); });
}
Result<void> add_slot(const World& world) {
  CASEVAULT_TRY(Identity identity, world.open_desk(0));
  if (identity.slots().size() == 4) return {};
  CASEVAULT_CHECK(identity.add_slot(AgeRecipient{world.age[2].recipient}));
  return {};
}
Result<void> remove_slot(const World& world) {
  CASEVAULT_TRY(Identity identity, world.open_desk(0));
  if (identity.slots().size() == 2) return {};
  return identity.remove_slot(world.second_slot);
}
Result<void> split(const World& world) {
  if (world.open_desk(world.new_shares)) return {};
  std::filesystem::remove_all(world.new_shares);  // shares that open nothing
  CASEVAULT_TRY(Identity identity, world.open_desk(0));
  CASEVAULT_CHECK(identity.split({2, 3, world.new_shares}));
  return {};
}

void require_state(Session& session, std::string_view compartment, std::string_view state) {
  CAPTURE(compartment);
  REQUIRE(state_of(session, compartment, 1) == state);
}
void require_out(const World& world, const Person& who) { REQUIRE_ERROR(ErrorCode::kNoGrant, world.lab.try_open(who)); }

struct Job {
  std::string_view name;
  std::string_view start;
  Result<void> (*run)(const World&);
  /// What is true when it has come to its end. May close the session: a process has a vault open once.
  void (*require_done)(const World&, Session&);
  /// It changes the identity file and not the vault.
  bool slots = false;
};

constexpr auto kOldIdentity = [](const World&, Session& session) { require_state(session, "identity", "old"); };

const std::vector<Job>& jobs() {
  static const std::vector<Job> all = {
      {"rotate", "whole", rotate, kOldIdentity},
      {"rotate --vault-key", "whole", rotate_vault_key,
       [](const World&, Session& session) { REQUIRE(REQUIRE_OK(session.status()).vault_key_epoch >= 2); }},
      {"reencrypt", "rotated", reencrypt,
       [](const World&, Session& session) {
         for (const char* compartment : {"identity", "statistics"})
           REQUIRE(key_info(session, compartment, 1).cells == 0);
         REQUIRE(REQUIRE_OK(session.census()).entry);
       }},
      {"retire", "moved", retire,
       [](const World&, Session& session) { require_state(session, "identity", "retired"); }},
      {"destroy", "moved", destroy,
       [](const World&, Session& session) { require_state(session, "identity", "destroyed"); }},
      {"revoke", "whole", revoke,
       [](const World& world, Session& session) {
         for (const char* compartment : {"identity", "contact"}) require_state(session, compartment, "old");
         session.close();
         require_out(world, world.leaver);
       }},
      {"revoke a grant", "whole", take_back,
       [](const World& world, Session& session) {
         REQUIRE_FALSE(holds(REQUIRE_OK(find_person(session, "keeper")), "statistics"));
         require_state(session, "statistics", "old");
         session.close();
         Session keeper = world.lab.open(world.keeper);
         REQUIRE_ERROR(ErrorCode::kNoGrant, disclose(keeper, request_for({world.people[1]}, {"sex"})));
       }},
      {"rekey", "whole", rekey,
       [](const World& world, Session& session) {
         session.close();
         require_out(world, world.mover);
         Session mover = world.lab.open(world.fresh);
         REQUIRE(name_of(mover, world.people[0]) == "Person 1");
         REQUIRE_OK(mover.rotate("statistics"));
       }},
      {"slot add", "whole", add_slot, [](const World& world, Session&) { REQUIRE_OK(world.open_desk(2)); }, true},
      {"slot remove", "whole", remove_slot,
       [](const World& world, Session&) { REQUIRE_ERROR(ErrorCode::kWrongKey, world.open_desk(1)); }, true},
      {"split", "whole", split,
       [](const World& world, Session&) {
         REQUIRE_OK(world.open_desk(world.new_shares));
         REQUIRE_ERROR(ErrorCode::kWrongKey, world.open_desk(world.old_shares));
       },
       true},
  };
  return all;
}

// --- the others ------------------------------------------------------------------------------------------------------

/// Memory that children share with their parent.
struct Board {
  std::atomic<bool> stop = false;
  std::array<char, 500> why{};

  static Board* make() {
    void* const at = ::mmap(nullptr, sizeof(Board), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    REQUIRE(at != MAP_FAILED);
    return new (at) Board;
  }
  void say(std::string_view who, const Error& error) {
    std::snprintf(why.data(), why.size(), "%.*s: %s", static_cast<int>(who.size()), who.data(), error.message.c_str());
  }
};
struct Unmap {
  void operator()(Board* board) const { ::munmap(board, sizeof *board); }
};

/// A child that does not outlive us, whatever ends us.
pid_t fork_bound() {
  const pid_t child = ::fork();
  REQUIRE(child >= 0);
  if (child == 0) ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  return child;
}

/// One thing that was acknowledged, and the log entry that its caller was told of.
struct Told {
  enum class What : std::uint32_t { kUpdated, kAdded, kDisclosed, kOpened, kFailed } what{};
  std::uint32_t peer = 0;
  std::uint64_t entry = 0;
};

/// What is known to be in the vault.
struct Known {
  std::array<std::uint32_t, kOwn> updated{};  ///< the n of each "Own <n>"
  std::uint32_t added = 0;                    ///< "New 1" to "New <added>"
};

/// Two writers and a reader, each a process of its own with a session of its own; at slots, one who opens the identity.
class Peers {
 public:
  Peers(const World& world, const Known& known, bool slots) : board_(Board::make()) {
    begin([&](std::uint32_t me) { return update(world, known, me); });
    if (slots) {
      begin([&](std::uint32_t me) { return open_door(world, me); });
    } else {
      begin([&](std::uint32_t me) { return add(world, known, me); });
      begin([&](std::uint32_t me) { return read(world, known, me); });
    }
    wait_for_each();
  }
  ~Peers() {
    for (const pid_t child : children_) ::kill(child, SIGKILL);
    for (const pid_t child : children_) ::waitpid(child, nullptr, 0);
  }
  Peers(const Peers&) = delete;
  Peers& operator=(const Peers&) = delete;

  [[nodiscard]] Board& board() { return *board_; }
  /// Until each of them has done something more, and been told so.
  void wait_for_each() {
    std::set<std::uint32_t> seen;
    while (seen.size() < children_.size()) {
      const std::optional<Told> next = channel_.next();
      INFO(board_->why.data());
      REQUIRE(next);
      REQUIRE(next->what != Told::What::kFailed);
      told_.push_back(*next);
      seen.insert(next->peer);
    }
  }
  /// They come to their end, or are killed; everything they were told.
  [[nodiscard]] std::vector<Told> end(bool kill) {
    board_->stop = true;
    if (kill) {
      for (const pid_t child : children_) ::kill(child, SIGKILL);
    }
    const std::vector<Told> rest = channel_.all();
    told_.insert(told_.end(), rest.begin(), rest.end());
    for (const pid_t child : std::exchange(children_, {})) {
      const int status = wait_for(child);
      INFO(board_->why.data());
      REQUIRE((kill ? was_killed(status) || status == 0 : status == 0));
    }
    return std::move(told_);
  }

 private:
  template <typename Body>
  void begin(const Body& body) {
    const auto me = static_cast<std::uint32_t>(children_.size());
    const pid_t child = fork_bound();
    if (child == 0) {
      const Result<void> done = body(me);
      if (done) ::_exit(0);
      board_->say("peer " + std::to_string(me), done.error());
      (void)channel_.tell({Told::What::kFailed, me, 0});
      ::_exit(1);
    }
    children_.push_back(child);
  }
  [[nodiscard]] Result<void> tell(Told::What what, std::uint32_t me, std::uint64_t entry) {
    if (channel_.tell({what, me, entry})) return {};
    return Error{ErrorCode::kIo, "nobody listens"};
  }

  Result<void> update(const World& world, Known known, std::uint32_t me) {
    CASEVAULT_TRY(Session session, patiently([&] { return world.lab.try_open(world.clerk); }));
    for (std::uint32_t i = 0; !board_->stop; ++i) {
      const std::string name = "Own " + std::to_string(++known.updated[i % kOwn]);
      const FieldInput change[] = {{"full_name", name}, {"phone", name}};
      CASEVAULT_TRY(const Written written, patiently([&] { return session.update(world.own[i % kOwn], change); }));
      CASEVAULT_CHECK(tell(Told::What::kUpdated, me, written.entry));
    }
    return {};
  }
  Result<void> add(const World& world, Known known, std::uint32_t me) {
    CASEVAULT_TRY(Session session, patiently([&] { return world.lab.try_open(world.keeper); }));
    while (!board_->stop) {
      const std::string name = "New " + std::to_string(++known.added);
      const FieldInput fields[] = {{"full_name", name}};
      CASEVAULT_TRY(const Written written, patiently([&] { return session.add("person", fields); }));
      CASEVAULT_CHECK(tell(Told::What::kAdded, me, written.entry));
    }
    return {};
  }
  Result<void> read(const World& world, Known known, std::uint32_t me) {
    CASEVAULT_TRY(Session session, patiently([&] { return world.lab.try_open(world.clerk); }));
    for (std::uint32_t i = 0; !board_->stop; ++i) {
      const std::size_t person = i % kPeople;
      auto disclosure = session.disclose(request_for({world.people[person], world.own[i % kOwn]}));
      const auto values = disclosure ? read_all(*disclosure) : Result<Values>(std::move(disclosure).error());
      if (!values) {
        // A record that a writer was faster with is never shown as another.
        if (values.error().code == ErrorCode::kBusy || values.error().code == ErrorCode::kConflict) continue;
        return values.error();
      }
      const std::string own = values->at(1).at(0).value_or("");
      const auto n = static_cast<std::uint32_t>(std::stoul(own.substr(4)));
      if (values->at(0).at(0) != "Person " + std::to_string(person + 1) || n < known.updated[i % kOwn]) {
        return Error{ErrorCode::kInternal, "a value that was not written there, or not since"};
      }
      known.updated[i % kOwn] = n;
      CASEVAULT_CHECK(tell(Told::What::kDisclosed, me, disclosure->entry()));
    }
    return {};
  }
  Result<void> open_door(const World& world, std::uint32_t me) {
    while (!board_->stop) {
      CASEVAULT_CHECK(world.open_desk(0));
      CASEVAULT_CHECK(tell(Told::What::kOpened, me, 0));
    }
    return {};
  }

  std::unique_ptr<Board, Unmap> board_;
  Channel<Told> channel_;
  std::vector<pid_t> children_;
  std::vector<Told> told_;
};

// --- what is left ----------------------------------------------------------------------------------------------------

/// Everything acknowledged is there, each thing once; of what was under way when its writer was killed, all or nothing.
void require_kept(const World& world, Session& session, Known& known, const std::vector<Told>& told, bool cut) {
  const std::vector<LogEntry> log = entries(session);
  std::array<std::uint32_t, kOwn> updated = known.updated;
  std::uint32_t updates = 0;
  std::uint32_t added = known.added;
  for (const Told& each : told) {
    if (each.what == Told::What::kOpened) continue;
    REQUIRE(each.entry < log.size());
    const audit::Action action = log[each.entry].action;
    REQUIRE(log[each.entry].outcome == audit::Outcome::kOk);
    if (each.what == Told::What::kUpdated) {
      REQUIRE(action == audit::Action::kUpdate);
      ++updated[updates++ % kOwn];
    } else if (each.what == Told::What::kAdded) {
      REQUIRE(action == audit::Action::kAdd);
      ++added;
    } else {
      REQUIRE(action == audit::Action::kDisclose);
    }
  }
  std::vector<RecordId> ids;
  for (const RecordInfo& record : REQUIRE_OK(session.list("person", 1'000'000))) ids.push_back(record.id);
  const Values values = REQUIRE_OK(disclose(session, request_for(ids)));
  std::vector<std::string> names;
  for (const auto& value : values) names.push_back(value.at(0).value_or(""));
  REQUIRE(ids.size() >= kPeople + kOwn + added);
  REQUIRE(ids.size() <= kPeople + kOwn + added + (cut ? 1 : 0));
  for (std::size_t i = 0; i < kPeople; ++i) {
    REQUIRE(ids[i] == world.people[i]);
    REQUIRE(names[i] == "Person " + std::to_string(i + 1));
  }
  for (std::uint32_t i = 0; i < kOwn; ++i) {
    REQUIRE(ids[kPeople + i] == world.own[i]);
    if (cut && i == updates % kOwn && names[kPeople + i] == "Own " + std::to_string(updated[i] + 1)) ++updated[i];
    REQUIRE(names[kPeople + i] == "Own " + std::to_string(updated[i]));
  }
  for (std::size_t i = kPeople + kOwn; i < ids.size(); ++i) {
    REQUIRE(names[i] == "New " + std::to_string(i + 1 - kPeople - kOwn));
  }
  known.updated = updated;
  known.added = static_cast<std::uint32_t>(ids.size() - kPeople - kOwn);
}

/// Somebody can always open the identity, and with it the vault.
void require_desk(const World& world) {
  Identity desk = REQUIRE_OK(world.open_desk(0));
  Session session = REQUIRE_OK(Session::open(world.lab.vault(), desk, world.lab.options()));
  REQUIRE(name_of(session, world.people[2]) == "Person 3");
  const bool by_old = world.open_desk(world.old_shares).has_value();
  REQUIRE(by_old != world.open_desk(world.new_shares).has_value());
}

/// When the process that does the job is killed.
struct Death {
  int call = 0;      ///< at this storage call of it (from 1)
  int delay_us = 0;  ///< and so long after, whatever it is doing
  bool all = false;  ///< and everybody else with it, at the same moment
};

class Campaign {
 public:
  explicit Campaign(std::uint64_t seed) : random_(seed) {}
  /// Storage calls of the job when nobody kills it and nobody else is at work.
  [[nodiscard]] int calls(const Job& job) const {
    world_.restore(job.start);
    return calls_until(0, [&] { return job.run(world_) ? 0 : 1; });
  }
  /// Kills the job, and those who go on with it, one after the other; then it comes to its end. How many were killed:
  /// others may have come to their end before their turn.
  int trial(const Job& job, const std::vector<Death>& deaths) {
    world_.restore(job.start);
    Known known;
    const int before = kills_;
    for (const Death& death : deaths) {
      CAPTURE(job.name, death.call, death.delay_us, death.all);
      Peers peers(world_, known, job.slots);
      Channel<bool> done;  // after them: they would keep it open
      const pid_t child = fork_bound();
      if (child == 0) ::_exit(run(job, death, done, peers.board()));
      const int status = wait_for(child);
      const bool finished = done.next().has_value();
      INFO(peers.board().why.data());
      REQUIRE((was_killed(status) || status == 0));
      if (was_killed(status)) ++kills_;
      if (!death.all) peers.wait_for_each();  // whatever lock it held is free
      const std::vector<Told> told = peers.end(death.all);
      require_well(job, known, told, death, finished);
    }
    finish(job, known);
    return kills_ - before;
  }
  [[nodiscard]] int kills() const { return kills_; }
  [[nodiscard]] Death random_death(int calls) {
    return {static_cast<int>(random_.below(static_cast<std::uint64_t>(calls))) + 1, 1 << random_.below(12),
            random_.below(3) == 0};
  }

 private:
  int run(const Job& job, const Death& death, const Channel<bool>& done, Board& board) const {
    call_faults().reset();
    call_faults().kill_at = death.call;
    call_faults().kill_delay_us = death.delay_us;
    const Result<void> result = job.run(world_);
    if (!result) board.say(job.name, result.error());
    if (!result || !done.tell(true)) return 1;
    while (death.delay_us > 0 && call_faults().calls >= death.call) ::pause();  // its end is near
    return 0;
  }
  void require_well(const Job& job, Known& known, const std::vector<Told>& told, const Death& death, bool done) {
    {
      // As it lies there: nothing is wrong with it, but that somebody has to put right what was under way.
      const DoctorReport report = examined(world_.lab, world_.lab.owner);
      REQUIRE(report.worst != Severity::kError);
    }
    Session session = world_.lab.open();
    require_sound(session);
    require_kept(world_, session, known, told, death.all);
    if (done) job.require_done(world_, session);
    session.close();
    require_desk(world_);
  }
  void finish(const Job& job, Known& known) {
    REQUIRE_DONE(job.run(world_));
    Session session = world_.lab.open();
    require_sound(session);
    require_kept(world_, session, known, {}, false);
    job.require_done(world_, session);
    session.close();
    require_desk(world_);
    REQUIRE(healthy(world_.lab));
    const auto core = world_.lab.core();
    const vault::Snapshot snapshot = REQUIRE_OK(core->snapshot());
    REQUIRE(snapshot.db.vault_key_epoch == snapshot.authority->state.vault_key_epoch);
    REQUIRE(REQUIRE_OK(keys::ErasureRoot::idle(
        core->root_file(), REQUIRE_OK(core->root_context(snapshot.db.vault_key_epoch)), snapshot.db.root)));
  }

  World world_;
  SeededRandom random_;
  int kills_ = 0;
};

TEST_CASE(
    "durable: killed at any step of a change of keys, people or slots, with others at work, the vault loses nothing "
    "acknowledged and the change, repeated, comes to its end") {
  Campaign campaign(41);
  for (std::size_t i = 0; i < jobs().size() || campaign.kills() < 20; ++i) {
    const Job& job = jobs()[i % jobs().size()];
    const int calls = campaign.calls(job);
    campaign.trial(job, {{campaign.random_death(calls).call, 0, i % 3 == 0}, campaign.random_death(calls)});
  }
}

TEST_CASE(
    "rotatable: 500 kills at every storage call and at random instructions of changes of keys, people and slots lose "
    "nothing acknowledged, and each change comes to its end",
    "[.long]") {
  constexpr int kKills = 500;
  constexpr int kAtRandom = 150;
  Campaign campaign(42);
  std::vector<int> calls;
  for (const Job& job : jobs()) {
    calls.push_back(campaign.calls(job));
    for (int at = 1;; ++at) {
      if (campaign.trial(job, {{at, 0, at % 3 == 0}}) == 0) break;
      REQUIRE(at < 1000);
    }
  }
  const int swept = campaign.kills();
  for (std::size_t i = 0; campaign.kills() < std::max(kKills, swept + kAtRandom); ++i) {
    const std::size_t which = i % jobs().size();
    std::vector<Death> deaths = {campaign.random_death(calls[which])};
    if (i % 4 == 0) deaths.push_back(campaign.random_death(calls[which]));  // and whoever goes on with it
    campaign.trial(jobs()[which], deaths);
  }
}

}  // namespace
}  // namespace casevault::test
