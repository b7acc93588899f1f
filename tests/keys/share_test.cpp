// SPDX-License-Identifier: Apache-2.0
#include "keys/share.hpp"

#include <sys/stat.h>

#include <algorithm>
#include <fstream>

#include "age/bech32.hpp"
#include "base/file.hpp"
#include "catch.hpp"
#include "keys/slot.hpp"
#include "support/fixed_environment.hpp"
#include "support/temp_folder.hpp"

namespace casevault::test {
namespace {

constexpr SlotCost kCheap{1, 64};
constexpr std::string_view kDigits = "qpzry9x8gf2tvdw0s3jn54khce6mua7l";

Passphrase passphrase(std::string_view text = "correct horse") { return Passphrase(SecretBytes::copy(as_bytes(text))); }
Bytes read(const std::filesystem::path& file) { return REQUIRE_OK(base::read_file(file, 1U << 20U, true)); }

std::vector<std::filesystem::path> files_of(const std::filesystem::path& folder) {
  std::vector<std::filesystem::path> out;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) out.push_back(entry.path());
  std::ranges::sort(out);
  return out;
}

/// A set of shares made by hand, and the pair of keys that signs it.
struct Dealer {
  FixedEnvironment environment;
  SecretBytes seed = crypto::random_key(environment.random);
  SecretBytes secret = crypto::random_key(environment.random);
  crypto::PublicKey ed_public = crypto::ed25519_public(crypto::key_of(seed));
  keys::ShareTerms terms{{1, 2, 3}, 3, 5};

  std::vector<std::string> lines() {
    std::vector<std::string> out;
    for (const SecretBytes& line :
         keys::make_shares(terms, crypto::key_of(secret), crypto::key_of(seed), environment.random)) {
      out.emplace_back(line.text());
    }
    return out;
  }
};

Shares shares_of(const std::vector<std::string>& lines) {
  std::vector<Shares::Share> out;
  for (std::size_t i = 0; i < lines.size(); ++i)
    out.push_back({"number " + std::to_string(i + 1), SecretBytes::copy(as_bytes(lines[i]))});
  return Shares(std::move(out));
}

TEST_CASE("robust: a share is one line, and each character of it is checked") {
  Dealer dealer;
  const std::string line = dealer.lines()[1];
  REQUIRE(line.size() == 4 + 173 + 6 + 1);
  CHECK(line.starts_with("cvs1"));
  CHECK(std::ranges::count(line, '\n') == 1);
  const std::string text = line.substr(0, line.size() - 1);
  const keys::ParsedShare share = REQUIRE_OK(keys::parse_share(line));
  CHECK(share.terms == dealer.terms);
  CHECK(share.share.index == 2);

  for (std::size_t at = 0; at < text.size(); ++at) {
    for (const char other : std::string(kDigits) + "1bioBQ \n\x80") {
      if (other == text[at]) continue;
      std::string altered = text;
      altered[at] = other;
      const auto parsed = keys::parse_share(altered);
      // A blank at an end shortens the line, which is as wrong.
      if (parsed.has_value()) FAIL("character " << at << " as " << static_cast<int>(other));
    }
    for (const std::string& altered : {text.substr(0, at), text.substr(at), text.substr(0, at) + text.substr(at + 1),
                                       text.substr(0, at) + text[at] + text.substr(at)}) {
      if (altered != text && keys::parse_share(altered).has_value()) FAIL("cut, dropped or doubled at " << at);
    }
    if (at + 1 < text.size() && text[at] != text[at + 1]) {
      std::string swapped = text;
      std::swap(swapped[at], swapped[at + 1]);
      if (keys::parse_share(swapped).has_value()) FAIL("swapped at " << at);
    }
  }
  for (const std::string& same : {"  " + text + " \r\n\n", [&] {
                                    std::string upper = text;
                                    std::ranges::transform(upper, upper.begin(), [](char c) {
                                      return c >= 'a' && c <= 'z' ? static_cast<char>(c - 32) : c;
                                    });
                                    return upper;
                                  }()}) {
    CHECK(REQUIRE_OK(keys::parse_share(same)).share.value.equals(share.share.value.view()));
  }
}

TEST_CASE("robust: a share with impossible numbers or of another version is refused though its checksum holds") {
  Dealer dealer;
  const std::string line = dealer.lines()[0];
  const auto data = age::bech32_decode(line.substr(0, line.size() - 1));
  REQUIRE(data.has_value());
  const auto with = [&](std::size_t at, std::uint8_t value) {
    SecretBytes altered = data->data.clone();
    altered.mutable_view()[at] = value;
    return keys::parse_share(age::bech32_encode("cvs", altered.view()).text());
  };
  REQUIRE_ERROR(ErrorCode::kUnsupported, with(0, 2));
  REQUIRE_ERROR(ErrorCode::kBadInput, with(9, 1));    // threshold
  REQUIRE_ERROR(ErrorCode::kBadInput, with(9, 6));    // above the total
  REQUIRE_ERROR(ErrorCode::kBadInput, with(10, 33));  // total
  REQUIRE_ERROR(ErrorCode::kBadInput, with(11, 0));   // index
  REQUIRE_ERROR(ErrorCode::kBadInput, with(11, 6));
  REQUIRE_ERROR(ErrorCode::kBadInput,
                keys::parse_share(age::bech32_encode("cvs", data->data.view().first(107)).text()));
  REQUIRE_ERROR(ErrorCode::kBadInput, keys::parse_share(age::bech32_encode("cvt", data->data.view()).text()));
  REQUIRE_ERROR(ErrorCode::kBadInput, keys::parse_share(age::bech32_encode("cvs", {}).text()));
  REQUIRE_ERROR(ErrorCode::kBadInput, keys::parse_share(""));
  REQUIRE_ERROR(ErrorCode::kBadInput, keys::parse_share(" \n"));

  // What is signed is everything but the signature.
  for (std::size_t at = 1; at < 108; ++at) {
    SecretBytes altered = data->data.clone();
    altered.mutable_view()[at] ^= at == 9 || at == 10 || at == 11 ? 6U : 1U;
    std::vector<std::string> lines = dealer.lines();
    lines[0] = age::bech32_encode("cvs", altered.view()).text();
    const auto combined = keys::combine_shares(shares_of({lines[0]}), dealer.ed_public);
    REQUIRE_FALSE(combined.has_value());
    CHECK((combined.error().code == ErrorCode::kWrongKey || combined.error().code == ErrorCode::kBadInput));
  }
}

TEST_CASE("bound: shares that do not belong together are each told by their own error") {
  Dealer dealer;
  const std::vector<std::string> lines = dealer.lines();
  const auto combined = [&](const std::vector<std::string>& some) {
    return keys::combine_shares(shares_of(some), dealer.ed_public);
  };
  for (const auto& some : {std::vector{lines[0], lines[1], lines[2]}, std::vector{lines[4], lines[0], lines[3]},
                           std::vector{lines[4], lines[3], lines[2], lines[1], lines[0]}}) {
    CHECK(REQUIRE_OK(combined(some)).secret.equals(dealer.secret.view()));
  }
  const auto few = combined({lines[4], lines[1]});
  REQUIRE_FALSE(few.has_value());
  CHECK(few.error().code == ErrorCode::kWaiting);
  CHECK(few.error().message.starts_with("2 of the 3 shares"));
  REQUIRE_ERROR(ErrorCode::kWaiting, combined({}));

  const auto twice = combined({lines[0], lines[1], lines[0]});
  REQUIRE_FALSE(twice.has_value());
  CHECK(twice.error().code == ErrorCode::kUsage);
  CHECK(twice.error().message.find("number 3") != std::string::npos);

  std::string typo = lines[1];
  typo[50] = typo[50] == 'q' ? 'p' : 'q';
  const auto damaged = combined({lines[0], typo, lines[2]});
  REQUIRE_FALSE(damaged.has_value());
  CHECK(damaged.error().code == ErrorCode::kBadInput);
  CHECK(damaged.error().message.starts_with("share number 2:"));

  dealer.terms.set[0] = 9;
  const auto mixed = combined({lines[0], lines[1], dealer.lines()[2]});
  REQUIRE_FALSE(mixed.has_value());
  CHECK(mixed.error().code == ErrorCode::kBadInput);
  CHECK(mixed.error().message.find("two sets") != std::string::npos);
  dealer.terms.set[0] = 1;
  dealer.terms.total = 4;
  REQUIRE_ERROR(ErrorCode::kBadInput, combined({lines[0], lines[1], dealer.lines()[2]}));

  Dealer stranger;
  stranger.seed.mutable_view()[0] ^= 1U;
  const auto foreign = combined({lines[0], stranger.lines()[1], lines[2]});
  REQUIRE_FALSE(foreign.has_value());
  CHECK(foreign.error().code == ErrorCode::kWrongKey);
  CHECK(foreign.error().message.find("number 2") != std::string::npos);
}

TEST_CASE("durable: an identity is split, opens with any quorum, and a new quorum takes the place of the old") {
  const TempFolder folder;
  const std::filesystem::path file = folder / "a.identity";
  REQUIRE_OK(Identity::create(file, "An", passphrase(), kCheap));
  const std::filesystem::path state = folder / "state";
  Identity identity = REQUIRE_OK(Identity::open(file, passphrase(), state));
  const std::string id = REQUIRE_OK(identity.split({2, 3, folder / "shares"}));
  const auto first = files_of(folder / "shares");
  REQUIRE(first.size() == 3);
  CHECK(first[0].filename() == "share-01-of-03.txt");
  CHECK(std::filesystem::status(folder / "shares").permissions() == std::filesystem::perms::owner_all);
  for (const auto& one : first) {
    CHECK(std::filesystem::status(one).permissions() ==
          (std::filesystem::perms::owner_read | std::filesystem::perms::owner_write));
    const Bytes line = read(one);
    CHECK(std::ranges::count(line, '\n') == 1);
    CHECK(line.back() == '\n');
  }
  REQUIRE(identity.slots().size() == 2);
  CHECK(identity.slots()[1].id == id);
  CHECK(identity.slots()[1].kind == "shares");
  CHECK(identity.slots()[1].detail == "2 of 3");

  const auto open_with = [&](std::initializer_list<std::filesystem::path> some) {
    return Identity::open(file, Unlock(REQUIRE_OK(Shares::read(std::vector(some)))), state);
  };
  for (const auto& some : {std::pair(0, 1), std::pair(2, 0), std::pair(1, 2)}) {
    const Identity opened = REQUIRE_OK(
        open_with({first[static_cast<std::size_t>(some.first)], first[static_cast<std::size_t>(some.second)]}));
    CHECK(opened.impl().ed_seed.equals(identity.impl().ed_seed.view()));
  }
  REQUIRE_ERROR(ErrorCode::kWaiting, open_with({first[1]}));

  REQUIRE_OK(identity.split({3, 4, folder / "again"}));
  const auto second = files_of(folder / "again");
  REQUIRE(identity.slots().size() == 2);
  CHECK(identity.slots()[1].detail == "3 of 4");
  REQUIRE_OK(open_with({second[3], second[1], second[0]}));
  REQUIRE_ERROR(ErrorCode::kWrongKey, open_with({first[0], first[1]}));
  REQUIRE_ERROR(ErrorCode::kBadInput, open_with({second[0], second[1], first[2]}));
  // Shares open without the passphrase, and can become the only way.
  REQUIRE_DONE(identity.remove_slot(identity.slots()[0].id));
  Identity by_shares = REQUIRE_OK(open_with({second[0], second[1], second[2]}));
  REQUIRE_ERROR(ErrorCode::kUsage, by_shares.remove_slot(by_shares.slots()[0].id));
}

TEST_CASE("durable: a split that fails leaves the identity, its old quorum and the folders as they were") {
  const TempFolder folder;
  const std::filesystem::path file = folder / "a.identity";
  REQUIRE_OK(Identity::create(file, "An", passphrase(), kCheap));
  Identity identity = REQUIRE_OK(Identity::open(file, passphrase(), folder / "state"));
  REQUIRE_OK(identity.split({2, 2, folder / "shares"}));
  const Bytes before = read(file);
  for (const auto& [threshold, total] : {std::pair(1U, 2U), std::pair(0U, 0U), std::pair(3U, 2U), std::pair(2U, 33U)}) {
    REQUIRE_ERROR(ErrorCode::kUsage, identity.split({threshold, total, folder / "never"}));
  }
  REQUIRE_ERROR(ErrorCode::kUsage, identity.split({2, 3, folder / "shares"}));  // exists
  CHECK(files_of(folder / "shares").size() == 2);
  REQUIRE_FALSE(identity.split({2, 3, folder / "no" / "such"}).has_value());
  CHECK(read(file) == before);

  // The file was changed by another process: shares of a slot that never was do not stay behind.
  Identity other = REQUIRE_OK(Identity::open(file, passphrase(), folder / "state"));
  REQUIRE_OK(other.add_slot(passphrase("more"), kCheap));
  REQUIRE_ERROR(ErrorCode::kConflict, identity.split({2, 3, folder / "never"}));
  CHECK_FALSE(std::filesystem::exists(folder / "never"));
  CHECK(identity.slots().size() == 2);
}

TEST_CASE("bound: a quorum's slot is bound to its numbers, its set and its principal") {
  Dealer dealer;
  const TempFolder folder;
  const Identity identity = REQUIRE_OK(Identity::create(folder / "a", "An", passphrase(), kCheap));
  const keys::Principal who = REQUIRE_OK(keys::parse_principal(identity.public_string()));
  const keys::Quorum quorum = REQUIRE_OK(keys::seal_quorum(2, 3, who, crypto::key_of(identity.impl().ed_seed),
                                                           identity.impl().identity_key, dealer.environment.random));
  std::vector<std::string> lines;
  for (std::size_t i = 0; i < 2; ++i) lines.emplace_back(quorum.lines[i].text());
  const Unlock shares(shares_of(lines));
  const auto opens = [&](const keys::Slot& slot, const keys::Principal& as) {
    return keys::open_slots(std::span(&slot, 1), shares, as);
  };
  CHECK(REQUIRE_OK(opens(quorum.slot, who)).equals(identity.impl().identity_key.view()));
  for (std::size_t at = 0; at < quorum.slot.body.size(); ++at) {
    keys::Slot altered = quorum.slot;
    altered.body[at] ^= 1U;
    CAPTURE(at);
    const auto answer = opens(altered, who);
    REQUIRE_FALSE(answer.has_value());
    REQUIRE((answer.error().code == ErrorCode::kWrongKey || answer.error().code == ErrorCode::kIntegrity));
  }
  keys::Slot altered = quorum.slot;
  altered.id[7] ^= 1U;
  REQUIRE_ERROR(ErrorCode::kWrongKey, opens(altered, who));
  altered = quorum.slot;
  altered.salt[0] ^= 1U;
  REQUIRE_ERROR(ErrorCode::kWrongKey, opens(altered, who));
  keys::Principal renamed = who;
  renamed.name = "Anh";
  REQUIRE_ERROR(ErrorCode::kWrongKey, opens(quorum.slot, renamed));
}

TEST_CASE("robust: share files that others may read are refused, as are long ones") {
  const TempFolder folder;
  const std::filesystem::path file = folder / "s";
  std::ofstream(file) << "cvs1";
  REQUIRE(::chmod(file.c_str(), 0644) == 0);
  REQUIRE_ERROR(ErrorCode::kUnsafePermissions, Shares::read(std::span(&file, 1)));
  std::ofstream(file) << std::string(1025, 'q');
  REQUIRE(::chmod(file.c_str(), 0600) == 0);
  REQUIRE_ERROR(ErrorCode::kBadInput, Shares::read(std::span(&file, 1)));
}

}  // namespace
}  // namespace casevault::test
