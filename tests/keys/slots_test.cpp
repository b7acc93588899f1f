// SPDX-License-Identifier: Apache-2.0
#include <signal.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <set>

#include "age/age.hpp"
#include "base/file.hpp"
#include "base/text.hpp"
#include "catch.hpp"
#include "format/cbor.hpp"
#include "keys/slot.hpp"
#include "keys/slot_memory.hpp"
#include "support/fixed_environment.hpp"
#include "support/temp_folder.hpp"

namespace casevault::test {
namespace {

constexpr SlotCost kCheap{1, 64};

Passphrase passphrase(std::string_view text = "correct horse") { return Passphrase(SecretBytes::copy(as_bytes(text))); }
KeyFile key_file(char fill = 'k', std::size_t size = 32) {
  return KeyFile(SecretBytes::copy(as_bytes(std::string(size, fill))));
}
AgeIdentity age_identity(const age::Identity& of) { return AgeIdentity(of.text()); }

Bytes read(const std::filesystem::path& file) { return REQUIRE_OK(base::read_file(file, 1U << 20U, false)); }
void write(const std::filesystem::path& file, ByteView bytes) {
  std::ofstream(file, std::ios::binary | std::ios::trunc) << as_text(bytes);
  REQUIRE(::chmod(file.c_str(), 0600) == 0);
}

/// An identity with a slot of each kind that needs no device, and what opens them.
struct Lab {
  TempFolder folder;
  std::filesystem::path file = folder / "a.identity";
  std::filesystem::path state = folder / "state";
  FixedEnvironment environment;
  age::Identity age = age::Identity::generate(environment.random);
  std::vector<std::string> ids;

  Lab() {
    Identity made = REQUIRE_OK(Identity::create(file, "An", passphrase(), kCheap));
    ids.push_back(made.slots().at(0).id);
    Identity identity = open(passphrase());
    ids.push_back(REQUIRE_OK(identity.add_slot(key_file())));
    ids.push_back(REQUIRE_OK(identity.add_slot(AgeRecipient{age.recipient().text()})));
  }
  [[nodiscard]] Identity open(const Unlock& with) const { return REQUIRE_OK(Identity::open(file, with, state)); }
  [[nodiscard]] Result<Identity> try_open(const Unlock& with) const { return Identity::open(file, with, state); }
};

TEST_CASE("bound: each kind of slot opens the identity to the same keys, and each only with its own key") {
  const Lab lab;
  const Identity by_passphrase = lab.open(passphrase());
  std::vector<std::string> kinds;
  for (const SlotInfo& slot : by_passphrase.slots()) kinds.push_back(slot.kind);
  CHECK(kinds == std::vector<std::string>{"passphrase", "keyfile", "age"});
  for (const Identity& other : {lab.open(key_file()), lab.open(age_identity(lab.age))}) {
    CHECK(other.impl().x_secret.equals(by_passphrase.impl().x_secret.view()));
    CHECK(other.impl().ed_seed.equals(by_passphrase.impl().ed_seed.view()));
  }

  FixedEnvironment other(2);
  REQUIRE_ERROR(ErrorCode::kWrongKey, lab.try_open(passphrase("correct hors")));
  REQUIRE_ERROR(ErrorCode::kWrongKey, lab.try_open(key_file('l')));
  REQUIRE_ERROR(ErrorCode::kWrongKey, lab.try_open(key_file('k', 33)));
  REQUIRE_ERROR(ErrorCode::kWrongKey, lab.try_open(age_identity(age::Identity::generate(other.random))));
  // The key file's content is no passphrase and the passphrase no key file, even where the bytes are the same.
  REQUIRE_ERROR(ErrorCode::kWrongKey, lab.try_open(passphrase(std::string(32, 'k'))));
}

TEST_CASE("durable: an identity opens while another process changes its slots, and is not called rolled back") {
  const Lab lab;
  const std::string secret(as_text(lab.age.text().view()));  // a forked child does not have the arena
  const pid_t child = ::fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    for (;;) {
      auto identity = lab.try_open(AgeIdentity(SecretBytes::copy(as_bytes(secret))));
      if (!identity) ::_exit(1);
      const auto added = identity->add_slot(AgeRecipient{lab.age.recipient().text()});
      if (!added || !identity->remove_slot(*added)) ::_exit(2);
    }
  }
  // Stretching a passphrase takes as long as many changes.
  std::vector<Result<Identity>> opened;
  for (int i = 0; i < 8; ++i) opened.push_back(lab.try_open(passphrase()));
  ::kill(child, SIGKILL);
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  CHECK(WIFSIGNALED(status));
  for (const auto& each : opened) {
    if (!each) UNSCOPED_INFO(each.error().message);
    CHECK(each.has_value());
  }
  REQUIRE_OK(lab.try_open(passphrase()));
}

TEST_CASE("robust: key files and age identities that are none are refused by their form") {
  const Lab lab;
  REQUIRE_ERROR(ErrorCode::kBadInput, lab.try_open(key_file('k', 31)));
  REQUIRE_ERROR(ErrorCode::kBadInput, lab.try_open(key_file('k', 65537)));
  REQUIRE_ERROR(ErrorCode::kBadInput, lab.try_open(AgeIdentity(SecretBytes::copy(as_bytes("# nothing\n")))));
  Identity identity = lab.open(passphrase());
  const Bytes before = read(lab.file);
  REQUIRE_ERROR(ErrorCode::kBadInput, identity.add_slot(key_file('k', 31)));
  REQUIRE_ERROR(ErrorCode::kUsage, identity.add_slot(passphrase("")));
  REQUIRE_ERROR(ErrorCode::kUsage, identity.add_slot(passphrase("x"), SlotCost{9, 64}));
  REQUIRE_ERROR(ErrorCode::kBadInput, identity.add_slot(AgeRecipient{"age1nonsense"}));
  CHECK(read(lab.file) == before);
}

TEST_CASE("bound: a slot of another identity, of another id or kind, or with altered bytes opens nothing") {
  const Lab lab;
  const Identity identity = lab.open(passphrase());
  const keys::Principal who = REQUIRE_OK(keys::parse_principal(identity.public_string()));
  const auto slots = *keys::decode_slots(identity.impl().slots);
  const std::vector<Unlock> unlocks = [&] {
    std::vector<Unlock> out;
    out.emplace_back(passphrase());
    out.emplace_back(key_file());
    out.emplace_back(age_identity(lab.age));
    return out;
  }();
  keys::Principal renamed = who;
  renamed.name = "Anh";
  for (std::size_t i = 0; i < slots.size(); ++i) {
    CAPTURE(i);
    const auto opened = [&](const keys::Slot& slot, const keys::Principal& as) {
      return keys::open_slots(std::span(&slot, 1), unlocks[i], as).has_value();
    };
    REQUIRE(opened(slots[i], who));
    CHECK_FALSE(opened(slots[i], renamed));
    keys::Slot altered = slots[i];
    altered.id[0] ^= 1U;
    CHECK_FALSE(opened(altered, who));
    altered = slots[i];
    altered.kind = i == 0 ? 2 : 1;
    CHECK_FALSE(opened(altered, who));
    altered = slots[i];
    altered.salt[0] ^= 1U;
    CHECK_FALSE(opened(altered, who));
    altered = slots[i];
    ++altered.cost.passes;
    CHECK_FALSE(opened(altered, who));
  }
  // Every byte of the age slot; the others differ by their length only and are checked by the flips of the whole file.
  for (std::size_t at = 0; at < slots[2].body.size(); ++at) {
    keys::Slot altered = slots[2];
    altered.body[at] ^= 0x10U;
    CAPTURE(at);
    const auto answer = keys::open_slots(std::span(&altered, 1), unlocks[2], who);
    REQUIRE_FALSE(answer.has_value());
    REQUIRE((answer.error().code == ErrorCode::kWrongKey || answer.error().code == ErrorCode::kIntegrity));
  }
}

TEST_CASE("robust: whatever stands in an age slot, only the identities that were given are tried") {
  const Lab lab;
  const Identity identity = lab.open(passphrase());
  const keys::Principal who = REQUIRE_OK(keys::parse_principal(identity.public_string()));
  keys::Slot slot = keys::decode_slots(identity.impl().slots)->at(2);
  using namespace std::string_view_literals;
  for (const std::string_view body : {""sv, "\x80"sv, "\x82\x40\x40"sv, "\x82\x01\x40"sv, "\x83\x40\x40\x40"sv,
                                      "\x9b\xff\xff\xff\xff\xff\xff\xff\xff"sv}) {
    slot.body.assign(body.begin(), body.end());
    REQUIRE_ERROR(ErrorCode::kIntegrity, keys::open_slots(std::span(&slot, 1), Unlock(age_identity(lab.age)), who));
  }
  // Sealed to a passphrase: nobody stretches one for it.
  FixedEnvironment environment;
  const Bytes file =
      REQUIRE_OK(age::encrypt(Bytes(32), age::Passphrase{SecretBytes::copy(as_bytes("p"sv)), 10}, environment.random));
  slot.body.clear();
  format::CborWriter(slot.body).array(2).bytes(file).bytes(Bytes(105));
  REQUIRE_ERROR(ErrorCode::kWrongKey, keys::open_slots(std::span(&slot, 1), Unlock(age_identity(lab.age)), who));
  // Sealed to the right recipient, but longer or shorter than a key.
  for (const std::size_t size : {0U, 31U, 33U, 100000U}) {
    const auto recipient = lab.age.recipient();
    slot.body.clear();
    format::CborWriter(slot.body)
        .array(2)
        .bytes(REQUIRE_OK(age::encrypt(Bytes(size), std::span(&recipient, 1), environment.random)))
        .bytes(Bytes(105));
    REQUIRE_ERROR(ErrorCode::kIntegrity, keys::open_slots(std::span(&slot, 1), Unlock(age_identity(lab.age)), who));
  }
}

TEST_CASE("durable: slots come and go one by one, and the last one stays") {
  const Lab lab;
  Identity identity = lab.open(key_file());
  REQUIRE_ERROR(ErrorCode::kNotFound, identity.remove_slot("0000000000000000"));
  REQUIRE_ERROR(ErrorCode::kNotFound, identity.remove_slot(""));
  REQUIRE_DONE(identity.remove_slot(lab.ids[0]));
  REQUIRE_ERROR(ErrorCode::kWrongKey, lab.try_open(passphrase()));
  REQUIRE_DONE(identity.remove_slot(lab.ids[1]));
  REQUIRE_ERROR(ErrorCode::kWrongKey, lab.try_open(key_file()));
  const Bytes before = read(lab.file);
  REQUIRE_ERROR(ErrorCode::kUsage, identity.remove_slot(lab.ids[2]));
  CHECK(read(lab.file) == before);
  Identity again = lab.open(age_identity(lab.age));
  const std::string added = REQUIRE_OK(again.add_slot(passphrase("new one"), kCheap));
  CHECK(lab.open(passphrase("new one")).slots().back().id == added);

  // A slot that only a later version can open does not count as one that is left.
  std::vector<keys::Slot> slots = *keys::decode_slots(again.impl().slots);
  slots[0].kind = 77;
  again.impl().slots = keys::encode_slots(slots);
  REQUIRE_ERROR(ErrorCode::kUsage, again.remove_slot(added));
}

TEST_CASE("bound: a table put back to before a slot was removed is named at the next open") {
  const Lab lab;
  const Bytes before = read(lab.file);
  {
    Identity identity = lab.open(passphrase());
    REQUIRE_DONE(identity.remove_slot(lab.ids[1]));  // the key file was stolen
  }
  const Bytes after = read(lab.file);
  write(lab.file, before);
  for (const bool stolen : {true, false}) {
    const auto opened = stolen ? lab.try_open(key_file()) : lab.try_open(passphrase());
    REQUIRE_FALSE(opened.has_value());
    CHECK(opened.error().code == ErrorCode::kRolledBack);
    CHECK(opened.error().message.find(lab.file.string()) != std::string::npos);
    CHECK(opened.error().message.find(".slots") != std::string::npos);
  }
  write(lab.file, after);
  CHECK(lab.open(passphrase()).slots().size() == 2);

  // A machine that has not seen the removal cannot tell.
  write(lab.file, before);
  REQUIRE_OK(Identity::open(lab.file, key_file(), lab.folder / "elsewhere"));
}

TEST_CASE("bound: the memory of generations is believed only under the identity's own key") {
  const Lab lab;
  const Identity identity = lab.open(passphrase());
  const keys::SlotMemory memory(lab.state, identity.impl().ed_public);
  CHECK(memory.newest(identity.impl().identity_key) == 2);
  CHECK(memory.newest(identity.impl().x_secret) == 0);
  memory.remember(1, identity.impl().identity_key);  // never goes back
  CHECK(memory.newest(identity.impl().identity_key) == 2);
  Bytes forged = read(memory.file());
  REQUIRE(forged.size() == 40);
  forged[7] = 200;  // would lock the owner out
  write(memory.file(), forged);
  CHECK(lab.open(passphrase()).impl().generation == 2);
  CHECK(memory.newest(identity.impl().identity_key) == 2);  // and is written anew
}

TEST_CASE("durable: two who change one identity file at once do not undo each other") {
  const Lab lab;
  Identity first = lab.open(passphrase());
  Identity second = lab.open(key_file());
  REQUIRE_DONE(first.remove_slot(lab.ids[1]));
  REQUIRE_ERROR(ErrorCode::kConflict, second.add_slot(passphrase("another"), kCheap));
  FixedEnvironment environment;
  REQUIRE_ERROR(ErrorCode::kConflict, keys::add_pin(second, Pin{}, environment.random));
  CHECK(second.pins().empty());
  CHECK(lab.open(passphrase()).slots().size() == 2);
}

TEST_CASE("bound: an identity without a generation is of generation 0, as the first files are") {
  const TempFolder folder;
  const Identity made = REQUIRE_OK(Identity::create(folder / "a", "a", passphrase(), kCheap));
  CHECK(made.impl().generation == 0);
  CHECK(REQUIRE_OK(Identity::open(folder / "a", passphrase(), folder / "state")).impl().generation == 0);
  CHECK_FALSE(std::filesystem::exists(folder / "state"));
}

TEST_CASE("sealed: a generated passphrase has ten bits a word and is never the same") {
  std::set<std::string> seen, words;
  for (int i = 0; i < 200; ++i) {
    const Passphrase made = REQUIRE_OK(generate_passphrase());
    const std::string text(made.secret().text());
    REQUIRE(text.size() == 6 * 5 - 1);
    for (std::size_t at = 0; at < text.size(); at += 5) {
      words.insert(text.substr(at, 4));
      REQUIRE((at == 0 || text[at - 1] == ' '));
      REQUIRE(text.substr(at, 4).find_first_not_of("bdklmnstaiou") == std::string::npos);
    }
    seen.insert(text);
  }
  CHECK(seen.size() == 200);
  CHECK(words.size() > 500);  // 1,200 draws of 1,024: about 707
  CHECK(words.size() <= 1024);
  CHECK(REQUIRE_OK(generate_passphrase(64)).secret().size() == 64 * 5 - 1);
  REQUIRE_ERROR(ErrorCode::kUsage, generate_passphrase(5));
  REQUIRE_ERROR(ErrorCode::kUsage, generate_passphrase(65));
}

TEST_CASE("durable: a key file is made once, private, and never over another") {
  const TempFolder folder;
  const KeyFile made = REQUIRE_OK(KeyFile::create(folder / "k"));
  CHECK(made.secret().size() == 32);
  CHECK(REQUIRE_OK(KeyFile::read(folder / "k")).secret().equals(made.secret().view()));
  REQUIRE_ERROR(ErrorCode::kUsage, KeyFile::create(folder / "k"));
  REQUIRE(::chmod((folder / "k").c_str(), 0640) == 0);
  REQUIRE_ERROR(ErrorCode::kUnsafePermissions, KeyFile::read(folder / "k"));
  REQUIRE_ERROR(ErrorCode::kUnsafePermissions, AgeIdentity::read(folder / "k"));
}

}  // namespace
}  // namespace casevault::test
