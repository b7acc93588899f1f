// SPDX-License-Identifier: Apache-2.0
#include <casevault/audit.hpp>

#include "audit/entry.hpp"
#include "audit/merkle.hpp"
#include "audit/note.hpp"
#include "catch.hpp"

namespace casevault::audit {
namespace {

constexpr std::string_view kOrigin = "casevault.example/vault";
constexpr std::array<std::uint8_t, 32> kSeed{0x42};
constexpr std::array<std::uint8_t, 32> kOtherSeed{0x43};

/// A log of eleven entries, and receipts of it.
struct Log {
  std::vector<Bytes> leaves;
  std::vector<Digest> hashes;
  std::string key = verifier_string(kOrigin, crypto::ed25519_public(kSeed));

  Log() {
    for (std::uint8_t i = 0; i < 11; ++i) {
      Leaf leaf;
      leaf.action = i == 0 ? Action::kGenesis : Action::kDisclose;
      leaf.time_ms = 1'767'225'600'000 + i;
      leaf.purpose = "legal-aid";
      leaf.basis = "consent";
      leaf.count = i;
      leaf.actor = {i, 1};
      add(encode_leaf(leaf));
    }
  }
  void add(Bytes leaf) {
    hashes.push_back(leaf_hash(leaf));
    leaves.push_back(std::move(leaf));
  }
  [[nodiscard]] Checkpoint checkpoint() const {
    CompactRange range;
    for (const Digest& hash : hashes) range.append(hash);
    return {std::string(kOrigin), range.size(), range.root()};
  }
  [[nodiscard]] InclusionProof proof(std::uint64_t index) const {
    const LeafSource source = [this](std::uint64_t i) -> Result<Digest> { return hashes.at(i); };
    return {leaves.at(index), index, REQUIRE_OK(prove_inclusion(index, hashes.size(), source)),
            sign_note(checkpoint_text(checkpoint()), kOrigin, kSeed)};
  }
};

bool same(const ReceiptFacts& a, const ReceiptFacts& b) {
  return a.entry == b.entry && a.size == b.size && a.root == b.root && a.origin == b.origin && a.action == b.action &&
         a.outcome == b.outcome && a.time_ms == b.time_ms && a.purpose == b.purpose && a.basis == b.basis &&
         a.count == b.count;
}

TEST_CASE("a receipt of every entry states that entry's facts") {
  const Log log;
  for (std::uint64_t index = 0; index < log.leaves.size(); ++index) {
    const auto facts = REQUIRE_OK(verify_receipt(proof_text(log.proof(index)), log.key));
    REQUIRE(facts.entry == index);
    REQUIRE(facts.size == 11);
    REQUIRE(facts.root == log.checkpoint().root);
    REQUIRE(facts.origin == kOrigin);
    REQUIRE(facts.action == (index == 0 ? Action::kGenesis : Action::kDisclose));
    REQUIRE(facts.outcome == Outcome::kOk);
    REQUIRE(facts.time_ms == 1'767'225'600'000 + static_cast<std::int64_t>(index));
    REQUIRE(facts.purpose == "legal-aid");
    REQUIRE(facts.basis == "consent");
    REQUIRE(facts.count == index);
  }
}

TEST_CASE("no byte of a receipt can be turned, dropped or doubled without it being refused") {
  const Log log;
  const std::string receipt = proof_text(log.proof(6));
  for (std::size_t i = 0; i < receipt.size(); ++i) {
    INFO(i);
    for (const int bit : {1, 2, 4, 8, 16, 32, 64, 128}) {
      std::string turned = receipt;
      turned[i] = static_cast<char>(turned[i] ^ bit);
      REQUIRE_FALSE(verify_receipt(turned, log.key).has_value());
    }
    REQUIRE_FALSE(verify_receipt(std::string(receipt).erase(i, 1), log.key).has_value());
    REQUIRE_FALSE(verify_receipt(std::string(receipt).insert(i, 1, receipt[i]), log.key).has_value());
    REQUIRE_FALSE(verify_receipt(receipt.substr(0, i), log.key).has_value());
  }
  REQUIRE_FALSE(verify_receipt(receipt + '\n', log.key).has_value());
}

TEST_CASE("a signature line of an unknown key can be turned, and the facts stay the same") {
  const Log log;
  const std::string own = proof_text(log.proof(6));
  const std::string witness = sign_note(checkpoint_text(log.checkpoint()), "witness.example", kOtherSeed);
  const std::string receipt = own + witness.substr(witness.rfind("\n\n") + 2);
  const auto facts = REQUIRE_OK(verify_receipt(receipt, log.key));
  std::size_t admitted = 0;
  for (std::size_t i = 0; i < receipt.size(); ++i) {
    std::string turned = receipt;
    turned[i] = static_cast<char>(turned[i] ^ 1);
    const auto result = verify_receipt(turned, log.key);
    INFO(i);
    if (i < own.size()) REQUIRE_FALSE(result.has_value());
    if (!result) continue;
    ++admitted;
    REQUIRE(same(*result, facts));
  }
  REQUIRE(admitted > 50);
}

TEST_CASE("a receipt is of one log: another key, name or entry is refused") {
  const Log log;
  const InclusionProof proof = log.proof(6);
  const std::string receipt = proof_text(proof);
  REQUIRE_ERROR(ErrorCode::kIntegrity,
                verify_receipt(receipt, verifier_string(kOrigin, crypto::ed25519_public(kOtherSeed))));
  REQUIRE_ERROR(ErrorCode::kIntegrity,
                verify_receipt(receipt, verifier_string("other.example", crypto::ed25519_public(kSeed))));

  InclusionProof other = proof;
  other.extra = log.leaves[5];
  REQUIRE_ERROR(ErrorCode::kIntegrity, verify_receipt(proof_text(other), log.key));
  other = proof;
  other.index = 5;
  REQUIRE_ERROR(ErrorCode::kIntegrity, verify_receipt(proof_text(other), log.key));
  other.index = 11;
  REQUIRE_ERROR(ErrorCode::kIntegrity, verify_receipt(proof_text(other), log.key));
  other = proof;
  std::swap(other.path[0], other.path[1]);
  REQUIRE_ERROR(ErrorCode::kIntegrity, verify_receipt(proof_text(other), log.key));
  other = proof;
  other.checkpoint_note = sign_note(checkpoint_text(log.checkpoint()), kOrigin, kOtherSeed);
  REQUIRE_ERROR(ErrorCode::kIntegrity, verify_receipt(proof_text(other), log.key));
  other = proof;
  other.extra.clear();
  REQUIRE_ERROR(ErrorCode::kBadInput, verify_receipt(proof_text(other), log.key));
}

TEST_CASE("the log's key vouches for its own origin only") {
  const Log log;
  Checkpoint foreign = log.checkpoint();
  foreign.origin = "other.example";
  const std::string note = sign_note(checkpoint_text(foreign), kOrigin, kSeed);
  REQUIRE_ERROR(ErrorCode::kIntegrity, verify_checkpoint(note, log.key));
  InclusionProof proof = log.proof(6);
  proof.checkpoint_note = note;
  REQUIRE_ERROR(ErrorCode::kIntegrity, verify_receipt(proof_text(proof), log.key));
}

TEST_CASE("a signed checkpoint states its size and root, and a signed note that is none is refused") {
  const Log log;
  const std::string note = sign_note(checkpoint_text(log.checkpoint()), kOrigin, kSeed);
  REQUIRE(REQUIRE_OK(verify_checkpoint(note, log.key)) == log.checkpoint());
  for (std::size_t i = 0; i < note.size(); ++i) {
    std::string turned = note;
    turned[i] = static_cast<char>(turned[i] ^ 1);
    REQUIRE_FALSE(verify_checkpoint(turned, log.key).has_value());
  }
  REQUIRE_ERROR(ErrorCode::kBadInput, verify_checkpoint(sign_note("hello\n", kOrigin, kSeed), log.key));
  REQUIRE_ERROR(ErrorCode::kBadInput, verify_checkpoint("", log.key));
}

TEST_CASE("what is no key of a log is refused as such, also a witness's key") {
  const Log log;
  const std::string receipt = proof_text(log.proof(6));
  for (const std::string& key :
       {std::string(), log.key.substr(1), log.key + ' ',
        std::string("witness.example/w1+e0cd2864+BKCapfR6Z1mAL/lV+NwtKhSlyZ0jvpf4ZBJ/+Tg0VaTw")}) {
    REQUIRE_ERROR(ErrorCode::kBadInput, verify_receipt(receipt, key));
    REQUIRE_ERROR(ErrorCode::kBadInput, verify_checkpoint(log.proof(6).checkpoint_note, key));
  }
  REQUIRE_ERROR(ErrorCode::kBadInput, verify_receipt("", log.key));
  REQUIRE_ERROR(ErrorCode::kBadInput, verify_receipt("hello\n", log.key));
}

TEST_CASE("an entry of the log that this version cannot read is unsupported, a damaged one is refused") {
  Log log;
  Bytes newer = log.leaves[3];
  newer[2] = 10;
  log.add(newer);
  log.add(Bytes{1, 2, 3});
  REQUIRE_ERROR(ErrorCode::kUnsupported, verify_receipt(proof_text(log.proof(11)), log.key));
  REQUIRE_ERROR(ErrorCode::kIntegrity, verify_receipt(proof_text(log.proof(12)), log.key));
  REQUIRE_DONE(verify_receipt(proof_text(log.proof(3)), log.key));
}

}  // namespace
}  // namespace casevault::audit
