// SPDX-License-Identifier: Apache-2.0
#include "audit/entry.hpp"

#include <limits>

#include "base/text.hpp"
#include "catch.hpp"
#include "crypto/hash.hpp"
#include "format/cbor.hpp"

namespace casevault::audit {
namespace {

Leaf example() {
  Leaf leaf;
  leaf.action = Action::kDisclose;
  leaf.outcome = Outcome::kDenied;
  leaf.time_ms = 1'767'225'600'123;
  leaf.purpose = "legal-aid";
  leaf.basis = "consent";
  leaf.count = 300;
  leaf.actor = {1};
  leaf.subjects = {2};
  leaf.fields = {3};
  leaf.details = {4};
  leaf.authority = Commitment{5};
  return leaf;
}

bool same(const Leaf& a, const Leaf& b) {
  return a.action == b.action && a.outcome == b.outcome && a.time_ms == b.time_ms && a.purpose == b.purpose &&
         a.basis == b.basis && a.count == b.count && a.actor == b.actor && a.subjects == b.subjects &&
         a.fields == b.fields && a.details == b.details && a.authority == b.authority && a.write == b.write;
}

TEST_CASE("every leaf comes back as it went in") {
  for (const int action : {1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 12, 13, 14, 15, 16}) {
    for (int outcome = 0; outcome <= 2; ++outcome) {
      for (const std::int64_t time : {std::int64_t{0}, std::int64_t{-1}, std::numeric_limits<std::int64_t>::min(),
                                      std::numeric_limits<std::int64_t>::max()}) {
        Leaf leaf = example();
        leaf.action = static_cast<Action>(action);
        leaf.outcome = static_cast<Outcome>(outcome);
        leaf.time_ms = time;
        leaf.write = outcome == 1 ? std::optional<Commitment>{Commitment{6}} : std::nullopt;
        if (outcome == 2) leaf.authority.reset();
        leaf.count = outcome == 0 ? std::numeric_limits<std::uint64_t>::max() : 0;
        REQUIRE(same(REQUIRE_OK(decode_leaf(encode_leaf(leaf))), leaf));
      }
    }
  }
  REQUIRE(same(REQUIRE_OK(decode_leaf(encode_leaf(Leaf{}))), Leaf{}));
}

TEST_CASE("the bytes of a leaf do not change: they are hashed into logs that exist") {
  const std::string zeros(62, '0');
  REQUIRE(base::to_hex(encode_leaf(example())) ==
          "8d0105011b0000019b76daa87b696c6567616c2d61696467636f6e73656e7419012c"
          "582001" +
              zeros + "582002" + zeros + "582003" + zeros + "582004" + zeros + "582005" + zeros + "f6");
}

TEST_CASE("actions, outcomes and versions that are not known are unsupported, not damaged") {
  const auto with = [](std::size_t at, std::uint8_t value) {
    Bytes raw = encode_leaf(example());
    raw[at] = value;
    return decode_leaf(raw);
  };
  REQUIRE_DONE(with(2, 16));
  for (const std::uint8_t action : Bytes{0, 10}) REQUIRE_ERROR(ErrorCode::kUnsupported, with(2, action));
  REQUIRE_ERROR(ErrorCode::kUnsupported, with(3, 3));
  REQUIRE_ERROR(ErrorCode::kUnsupported, with(1, 2));
  REQUIRE_ERROR(ErrorCode::kUnsupported, with(1, 0));
  // 257 must not be taken for 1.
  Bytes wide = encode_leaf(example());
  wide[2] = 0x19;
  wide.insert(wide.begin() + 3, {0x01, 0x01});
  REQUIRE_ERROR(ErrorCode::kUnsupported, decode_leaf(wide));
  // A later version may have other members.
  REQUIRE_ERROR(ErrorCode::kUnsupported, decode_leaf(Bytes{0x82, 0x02, 0x00}));
}

TEST_CASE("a leaf that is cut, extended or of another shape is damaged") {
  const Bytes raw = encode_leaf(example());
  for (std::size_t size = 0; size < raw.size(); ++size) {
    REQUIRE_ERROR(ErrorCode::kIntegrity,
                  decode_leaf(Bytes(raw.begin(), raw.begin() + static_cast<std::ptrdiff_t>(size))));
  }
  for (const std::uint8_t extra : Bytes{0x00, 0xf6, 0xff}) {
    Bytes longer = raw;
    longer.push_back(extra);
    REQUIRE_ERROR(ErrorCode::kIntegrity, decode_leaf(longer));
  }
  Bytes fourteen = raw;
  fourteen[0] = 0x8e;
  fourteen.push_back(0xf6);
  REQUIRE_ERROR(ErrorCode::kIntegrity, decode_leaf(fourteen));
  Bytes short_commitment = raw;
  short_commitment[short_commitment.size() - 34] = 0x1f;
  short_commitment.erase(short_commitment.end() - 2);
  REQUIRE_ERROR(ErrorCode::kIntegrity, decode_leaf(short_commitment));
  REQUIRE_ERROR(ErrorCode::kIntegrity, decode_leaf(Bytes{0xa1, 0x00, 0x01}));
}

TEST_CASE("no byte of a leaf can be turned unseen: what still decodes is another leaf, in its one form") {
  const Bytes raw = encode_leaf(example());
  for (std::size_t i = 0; i < raw.size(); ++i) {
    for (unsigned bit = 0; bit < 8; ++bit) {
      Bytes turned = raw;
      turned[i] = static_cast<std::uint8_t>(turned[i] ^ 1U << bit);
      const auto leaf = decode_leaf(turned);
      if (leaf) REQUIRE(encode_leaf(*leaf) == turned);
    }
  }
}

TEST_CASE("a commitment binds its label and its opening") {
  const Bytes opening(40, 7);
  const Commitment actor = commit(format::kCommitActor, opening);
  REQUIRE(actor == crypto::sha256({format::kCommitActor, opening}));
  REQUIRE(actor != commit(format::kCommitSubjects, opening));
  REQUIRE(actor != commit(format::kCommitActor, Bytes(41, 7)));
}

TEST_CASE("every action and outcome has its name, and no other number has one") {
  REQUIRE(name_of(Action::kDisclose) == "disclose");
  REQUIRE(name_of(Outcome::kDenied) == "denied");
  for (int number = 0; number < 256; ++number) {
    REQUIRE(name_of(static_cast<Action>(number)).empty() ==
            (number < 1 || number == 10 || (number > 23 && number < 32) || number > 35));
    REQUIRE(name_of(static_cast<Outcome>(number)).empty() == (number > 2));
  }
}

}  // namespace
}  // namespace casevault::audit
