// SPDX-License-Identifier: Apache-2.0
#include "keys/identity.hpp"

#include <sys/stat.h>

#include <algorithm>
#include <fstream>

#include "base/file.hpp"
#include "base/text.hpp"
#include "catch.hpp"
#include "crypto/envelope.hpp"
#include "format/cbor.hpp"
#include "support/fixed_environment.hpp"
#include "support/temp_folder.hpp"

namespace casevault::test {
namespace {

constexpr SlotCost kCheap{1, 64};
constexpr std::string_view kFirstLine = "casevault-identity 1\n";

Passphrase passphrase(std::string_view text = "correct horse") { return Passphrase(SecretBytes::copy(as_bytes(text))); }

std::string read(const std::filesystem::path& file) {
  return std::string(as_text(REQUIRE_OK(base::read_file(file, 1U << 20U, false))));
}
void write(const std::filesystem::path& file, std::string_view text) {
  std::ofstream(file, std::ios::binary | std::ios::trunc) << text;
  REQUIRE(::chmod(file.c_str(), 0600) == 0);
}

/// The three members of an identity file, taken apart and put together as an attacker with an editor would.
struct Parts {
  std::string public_string;
  Bytes slots;
  Bytes body;

  static Parts of(std::string_view file) {
    REQUIRE(file.starts_with(kFirstLine));
    std::string packed(file.substr(kFirstLine.size()));
    std::erase(packed, '\n');
    const auto raw = base::from_base64(packed);
    REQUIRE(raw.has_value());
    format::CborReader reader(*raw);
    REQUIRE(reader.array() == 3);
    Parts parts;
    parts.public_string = std::string(reader.text());
    const ByteView slots = reader.bytes();
    parts.slots.assign(slots.begin(), slots.end());
    const ByteView body = reader.bytes();
    parts.body.assign(body.begin(), body.end());
    REQUIRE(reader.finish());
    return parts;
  }
  [[nodiscard]] std::string file() const {
    Bytes out;
    format::CborWriter(out).array(3).text(public_string).bytes(slots).bytes(body);
    return std::string(kFirstLine) + base::to_base64(out) + "\n";
  }
};

/// One file of each run: making one costs an Argon2id.
struct Fixture {
  TempFolder folder;
  std::filesystem::path file = folder / "a.identity";
  std::optional<Identity> identity;
  std::string text;
  Fixture() {
    identity = REQUIRE_OK(Identity::create(file, "An Nguyễn", passphrase(), kCheap));
    text = read(file);
  }
  /// Opens a variant of the file.
  [[nodiscard]] Result<Identity> open(std::string_view variant, std::string_view with = "correct horse") const {
    const std::filesystem::path other = folder / "variant.identity";
    write(other, variant);
    return Identity::open(other, passphrase(with));
  }
};

Fixture& fixture() {
  static Fixture one;
  return one;
}

bool same(const Identity& a, const Identity& b) {
  return a.public_string() == b.public_string() && a.impl().x_secret.equals(b.impl().x_secret.view()) &&
         a.impl().ed_seed.equals(b.impl().ed_seed.view());
}

void require_never_another(std::string_view variant) {
  const auto opened = fixture().open(variant);
  if (opened) {
    REQUIRE(same(*opened, *fixture().identity));
    return;
  }
  const ErrorCode code = opened.error().code;
  INFO(opened.error().message);
  REQUIRE((code == ErrorCode::kWrongKey || code == ErrorCode::kIntegrity || code == ErrorCode::kBadInput ||
           code == ErrorCode::kUnsupported));
}

void flip_every(std::size_t step) {
  const std::string& text = fixture().text;
  for (std::size_t i = 0; i < text.size(); i += step) {
    CAPTURE(i);
    std::string altered = text;
    altered[i] = static_cast<char>(altered[i] ^ 1);
    require_never_another(altered);
  }
}

TEST_CASE("bound: an identity opens with its passphrase to the very keys and name it was made with") {
  const Identity opened = REQUIRE_OK(Identity::open(fixture().file, passphrase()));
  CHECK(same(opened, *fixture().identity));
  CHECK(opened.name() == "An Nguyễn");
  CHECK(opened.pins().empty());
  const keys::Principal who = REQUIRE_OK(keys::parse_principal(opened.public_string()));
  CHECK(who.name == opened.name());
  CHECK(who.x_public == crypto::x25519_public(crypto::key_of(opened.impl().x_secret)));
  CHECK(who.ed_public == crypto::ed25519_public(crypto::key_of(opened.impl().ed_seed)));
}

TEST_CASE("bound: a wrong passphrase is a wrong key, never garbage") {
  for (const std::string_view wrong : {"correct hors", "correct horse ", "Correct horse"}) {
    REQUIRE_ERROR(ErrorCode::kWrongKey, Identity::open(fixture().file, passphrase(wrong)));
  }
  REQUIRE_ERROR(ErrorCode::kUsage, Identity::open(fixture().file, passphrase("")));
  REQUIRE_ERROR(ErrorCode::kUsage, Identity::open(fixture().file, passphrase("\xFF\xFE")));
}

TEST_CASE("robust: no flipped byte of an identity file opens as another identity") { flip_every(9); }
TEST_CASE("robust: no flipped byte of an identity file opens as another identity, every byte", "[.long]") {
  flip_every(1);
}

TEST_CASE("robust: an identity file cut off anywhere is refused") {
  const std::string& text = fixture().text;
  for (std::size_t size = 0; size + 1 < text.size(); size += size < 40 ? 1 : 13) {
    CAPTURE(size);
    const auto opened = fixture().open(text.substr(0, size));
    REQUIRE_FALSE(opened.has_value());
    CHECK((opened.error().code == ErrorCode::kIntegrity || opened.error().code == ErrorCode::kBadInput));
  }
  REQUIRE_FALSE(fixture().open(text + "AAAA\n").has_value());
}

TEST_CASE("robust: hostile slot parameters are refused before any memory is taken") {
  Parts parts = Parts::of(fixture().text);
  for (const auto& [passes, memory] : std::vector<std::pair<std::uint64_t, std::uint64_t>>{
           {0, 65536}, {9, 65536}, {1, 1024}, {1, 1U << 30U}, {UINT64_MAX, 65536}, {1, UINT64_MAX}}) {
    CAPTURE(passes, memory);
    parts.slots.clear();
    format::CborWriter(parts.slots)
        .array(1)
        .array(6)
        .uint(1)
        .bytes(Bytes(8))
        .uint(passes)
        .uint(memory)
        .bytes(Bytes(16))
        .bytes(Bytes(105));
    const auto opened = fixture().open(parts.file());
    REQUIRE_FALSE(opened.has_value());
    CHECK((opened.error().code == ErrorCode::kUnsupported || opened.error().code == ErrorCode::kIntegrity));
  }
  parts.slots.clear();
  format::CborWriter many(parts.slots);
  many.array(33);
  for (int i = 0; i < 33; ++i)
    many.array(6).uint(9).bytes(Bytes(8)).uint(1).uint(65536).bytes(Bytes(16)).bytes(Bytes(105));
  REQUIRE_ERROR(ErrorCode::kIntegrity, fixture().open(parts.file()));
}

TEST_CASE("bound: a slot that was added, dropped, doubled or renumbered is told as tampering") {
  const Parts parts = Parts::of(fixture().text);
  format::CborReader reader(parts.slots);
  REQUIRE(reader.array() == 1);
  const ByteView slot = reader.rest();
  Bytes foreign;
  format::CborWriter(foreign).array(6).uint(7).bytes(Bytes(8)).uint(1).uint(65536).bytes(Bytes(16)).bytes(Bytes(105));
  const auto table = [](std::initializer_list<ByteView> slots) {
    Bytes out;
    format::CborWriter(out).array(slots.size());
    for (const ByteView each : slots) out.insert(out.end(), each.begin(), each.end());
    return out;
  };

  SECTION("added or doubled") {
    for (const Bytes& slots : {table({slot, foreign}), table({foreign, slot}), table({slot, slot})}) {
      Parts altered = parts;
      altered.slots = slots;
      REQUIRE_ERROR(ErrorCode::kIntegrity, fixture().open(altered.file()));
    }
  }
  SECTION("dropped") {
    // A file of two slots, as a later version writes it.
    const std::filesystem::path two = fixture().folder / "two.identity";
    std::filesystem::remove(two);
    Identity identity = REQUIRE_OK(Identity::open(fixture().file, passphrase()));
    identity.impl().file = two;
    identity.impl().slots = table({slot, foreign});
    FixedEnvironment environment;
    REQUIRE_DONE(keys::write_identity(identity, environment.random));
    const auto listed = REQUIRE_OK(Identity::inspect(two)).slots;
    REQUIRE(listed.size() == 2);
    CHECK(listed[0].kind == "passphrase");
    CHECK(listed[1].kind == "unknown");
    CHECK(same(REQUIRE_OK(Identity::open(two, passphrase())), identity));
    Parts altered = Parts::of(read(two));
    for (const Bytes& slots : {table({slot}), table({foreign, slot})}) {
      altered.slots = slots;
      REQUIRE_ERROR(ErrorCode::kIntegrity, fixture().open(altered.file()));
    }
    altered.slots = table({foreign});
    REQUIRE_ERROR(ErrorCode::kWrongKey, fixture().open(altered.file()));
    altered.slots = table({});
    REQUIRE_ERROR(ErrorCode::kIntegrity, fixture().open(altered.file()));
  }
}

TEST_CASE("bound: parts of two identity files cannot be mixed") {
  const std::filesystem::path file = fixture().folder / "b.identity";
  std::filesystem::remove(file);
  const Identity other = REQUIRE_OK(Identity::create(file, "An Nguyễn", passphrase(), kCheap));
  const Parts mine = Parts::of(fixture().text);
  const Parts theirs = Parts::of(read(file));
  REQUIRE_FALSE(fixture().open(Parts{theirs.public_string, mine.slots, mine.body}.file()).has_value());
  REQUIRE_FALSE(fixture().open(Parts{mine.public_string, theirs.slots, mine.body}.file()).has_value());
  REQUIRE_FALSE(fixture().open(Parts{mine.public_string, mine.slots, theirs.body}.file()).has_value());
  // The whole identity key of another in front of my name: the commitment names the principal.
  REQUIRE_ERROR(ErrorCode::kWrongKey, fixture().open(Parts{mine.public_string, theirs.slots, theirs.body}.file()));
}

TEST_CASE("durable: pins survive the file, and a pinned vault takes no other log key") {
  FixedEnvironment environment;
  const std::filesystem::path file = fixture().folder / "pins.identity";
  write(file, fixture().text);
  Identity identity = REQUIRE_OK(Identity::open(file, passphrase()));
  Pin one;
  one.vault_id.fill(1);
  one.log_key = "casevault/00+12345678+AAAA";
  Pin two = one;
  two.vault_id.fill(2);
  REQUIRE_DONE(keys::add_pin(identity, one, environment.random));
  REQUIRE_DONE(keys::add_pin(identity, two, environment.random));
  REQUIRE_DONE(keys::add_pin(identity, one, environment.random));  // again: nothing to do
  Pin other = one;
  other.log_key = "another";
  REQUIRE_ERROR(ErrorCode::kUntrusted, keys::add_pin(identity, other, environment.random));
  const Identity again = REQUIRE_OK(Identity::open(file, passphrase()));
  REQUIRE(again.pins().size() == 2);
  CHECK(again.pins()[0].log_key == one.log_key);
  CHECK(again.pins()[1].vault_id == two.vault_id);
  CHECK(same(again, identity));
  CHECK(std::filesystem::status(file).permissions() ==
        (std::filesystem::perms::owner_read | std::filesystem::perms::owner_write));

  // The pins lie inside the sealed body: the file before shows nothing of them.
  CHECK(read(file).find(one.log_key) == std::string::npos);
  // A failure leaves memory as the file is.
  identity.impl().file = fixture().folder.path() / "no such folder" / "x";
  Pin three = one;
  three.vault_id.fill(3);
  REQUIRE_FALSE(keys::add_pin(identity, three, environment.random).has_value());
  CHECK(identity.pins().size() == 2);
}

TEST_CASE("sealed: what an identity file shows without a key is names, public keys and kinds of slots") {
  const IdentityInfo info = REQUIRE_OK(Identity::inspect(fixture().file));
  CHECK(info.name == "An Nguyễn");
  CHECK(info.public_string == fixture().identity->public_string());
  REQUIRE(info.slots.size() == 1);
  CHECK(info.slots[0].kind == "passphrase");
  const Parts parts = Parts::of(fixture().text);
  Bytes all = parts.slots;
  all.insert(all.end(), parts.body.begin(), parts.body.end());
  for (const SecretBytes* secret : std::initializer_list<const SecretBytes*>{
           &fixture().identity->impl().x_secret, &fixture().identity->impl().ed_seed,
           &fixture().identity->impl().identity_key}) {
    CHECK(std::ranges::search(all, secret->view().first(8)).empty());
  }
}

TEST_CASE("robust: names that nobody can read or that break a line are refused") {
  const std::filesystem::path file = fixture().folder / "never.identity";
  for (const std::string& name : {std::string(), std::string(65, 'x'), std::string("a\nb"), std::string("a\0b", 3),
                                  std::string("\x7F"), std::string("\xC3\x28"), std::string("\xED\xA0\x80")}) {
    REQUIRE_ERROR(ErrorCode::kBadInput, Identity::create(file, name, passphrase(), kCheap));
    CHECK_FALSE(std::filesystem::exists(file));
  }
  for (const SlotCost cost : {SlotCost{0, 64}, SlotCost{9, 64}, SlotCost{1, 63}, SlotCost{1, 1025}}) {
    REQUIRE_ERROR(ErrorCode::kUsage, Identity::create(file, "a", passphrase(), cost));
  }
  REQUIRE_ERROR(ErrorCode::kUsage, Identity::create(file, "a", passphrase(""), kCheap));
  CHECK_FALSE(std::filesystem::exists(file));
}

TEST_CASE("durable: an identity is never written over a file") {
  const std::string before = read(fixture().file);
  REQUIRE_ERROR(ErrorCode::kUsage, Identity::create(fixture().file, "x", passphrase("p"), kCheap));
  CHECK(read(fixture().file) == before);
}

TEST_CASE("robust: an identity file that others could have written is refused") {
  const std::filesystem::path file = fixture().folder / "loose.identity";
  write(file, fixture().text);
  for (const mode_t mode : {0640, 0604, 0660, 0620}) {
    REQUIRE(::chmod(file.c_str(), mode) == 0);
    REQUIRE_ERROR(ErrorCode::kUnsafePermissions, Identity::open(file, passphrase()));
  }
  REQUIRE(::chmod(file.c_str(), 0600) == 0);
  const std::filesystem::path link = fixture().folder / "link.identity";
  std::filesystem::create_symlink(file, link);
  REQUIRE_ERROR(ErrorCode::kUnsafePermissions, Identity::open(link, passphrase()));
  std::filesystem::remove(link);
  std::filesystem::create_hard_link(file, link);
  REQUIRE_ERROR(ErrorCode::kUnsafePermissions, Identity::open(file, passphrase()));
  std::filesystem::remove(link);
  REQUIRE_ERROR(ErrorCode::kNotFound, Identity::open(fixture().folder / "none", passphrase()));
}

TEST_CASE("bound: a principal string with another's name, keys or signature is refused") {
  const std::string text = fixture().identity->public_string();
  REQUIRE_OK(keys::parse_principal(text + "\n"));
  for (std::size_t i = 0; i < text.size(); ++i) {
    for (const int bit : {1, 4}) {
      std::string altered = text;
      altered[i] = static_cast<char>(altered[i] ^ bit);
      CAPTURE(i, bit);
      REQUIRE_ERROR(ErrorCode::kBadInput, keys::parse_principal(altered));
    }
  }
  REQUIRE_ERROR(ErrorCode::kBadInput, keys::parse_principal(""));
  REQUIRE_ERROR(ErrorCode::kBadInput, keys::parse_principal("cvp1:" + std::string(2000, 'A')));

  // A name of mine over the X25519 key of another: only who holds the Ed25519 key signs, and then it is theirs.
  FixedEnvironment environment;
  const keys::Principal real = REQUIRE_OK(keys::parse_principal(text));
  const SecretBytes seed = crypto::random_key(environment.random);
  keys::Principal forged = real;
  forged.x_public = crypto::x25519_public(crypto::key_of(seed));
  REQUIRE_ERROR(ErrorCode::kBadInput, keys::parse_principal(keys::principal_string(forged, crypto::key_of(seed))));
  forged.ed_public = crypto::ed25519_public(crypto::key_of(seed));
  CHECK(REQUIRE_OK(keys::parse_principal(keys::principal_string(forged, crypto::key_of(seed)))).ed_public !=
        real.ed_public);
}

}  // namespace
}  // namespace casevault::test
