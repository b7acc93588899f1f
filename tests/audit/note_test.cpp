// SPDX-License-Identifier: Apache-2.0
#include "audit/note.hpp"

#include "base/text.hpp"
#include "catch.hpp"

namespace casevault::audit {
namespace {

// Of C2SP signed-note.md and golang/mod sumdb/note.
constexpr std::string_view kFoo = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k";
constexpr std::string_view kFooNote =
    "This is an example message.\n\n\u2014 example.com/foo "
    "Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n";
constexpr std::string_view kPeter = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
constexpr std::string_view kEnoch = "EnochRoot+af0cfe78+ATtqJ7zOtqQtYqOo0CpvDXNlMhV3HeJDpjrASKGLWdop";
const std::string kText =
    "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n";
const std::string kPeterLine =
    "\u2014 PeterNeumann "
    "x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";
const std::string kEnochLine =
    "\u2014 EnochRoot "
    "rwz+eBzmZa0SO3NbfRGzPCpDckykFXSdeX+MNtCOXm2/5n2tiOHp+vAF1aGrQ5ovTG01oOTGwnWLox33WWd1RvMc+QQ=\n";
const std::string kNote = kText + '\n' + kPeterLine;

// A log with the seed 0x11.., a witness (cosignature/v1) with the seed 0x22...
constexpr std::string_view kLog = "log.example/casevault-test+e8f0e120+AdBKsjJ0K7SrOhNovUYV5ObQIkq3GgFrr4UgozLJd4c3";
constexpr std::string_view kWitness = "witness.example/w1+e0cd2864+BKCapfR6Z1mAL/lV+NwtKhSlyZ0jvpf4ZBJ/+Tg0VaTw";
const std::string kCheckpoint = "log.example/casevault-test\n8\nXcnaeacGWamtVZy3Ad7ZoqudgjqtL0lgz+Nw7/RgQyg=\n";
const std::string kLogLine =
    "\u2014 log.example/casevault-test "
    "6PDhIMRX9vYCfmR8BdCZKE7pbJhsPgtvEhVJ6lqMTOpzYdCdIqU+q4SZgNNqaMF4ET70XxYydjHGy6zYdUB8zWswOA8=\n";
const std::string kWitnessLine =
    "\u2014 witness.example/w1 "
    "4M0oZAAAAABpVbkATKc1OnIwB0cnUg9cjJxygr3WHJzyHEtacRi7tHj0oFjaYoSQuafRccd4R753JvYg/"
    "C+Z7AibPuDng4PqRtBgBA==\n";

Result<std::string> opened(std::string_view note, std::initializer_list<std::string_view> keys) {
  std::vector<NoteVerifier> verifiers;
  for (const std::string_view key : keys) verifiers.push_back(REQUIRE_OK(parse_verifier(key)));
  return open_note(note, verifiers);
}

std::string repeat(std::string_view piece, int times) {
  std::string out;
  for (int i = 0; i < times; ++i) out += piece;
  return out;
}

TEST_CASE("verifier keys of others parse, and ours are printed the same") {
  for (const std::string_view key : {kFoo, kPeter, kEnoch, kLog}) {
    const auto verifier = REQUIRE_OK(parse_verifier(key));
    REQUIRE(verifier.type == 1);
    REQUIRE(verifier_string(verifier.name, verifier.key) == key);
  }
  REQUIRE(REQUIRE_OK(parse_verifier(kWitness)).type == 4);
  REQUIRE(REQUIRE_OK(parse_verifier("localhost.localdev/sumdb+00000c67+AcTrnkbUA+TU4heY3hkjiSES/DSQniBqIeQ/YppAUtK6"))
              .key_id == 0xc67);
}

TEST_CASE("a verifier key with any one byte turned, cut or extended is refused") {
  for (std::size_t i = 0; i < kPeter.size(); ++i) {
    for (const int bit : {1, 2, 4, 8, 16, 32, 64, 128}) {
      std::string turned(kPeter);
      turned[i] = static_cast<char>(turned[i] ^ bit);
      REQUIRE_ERROR(ErrorCode::kBadInput, parse_verifier(turned));
    }
    REQUIRE_ERROR(ErrorCode::kBadInput, parse_verifier(kPeter.substr(0, i)));
    if (i > 0) REQUIRE_ERROR(ErrorCode::kBadInput, parse_verifier(kPeter.substr(i)));
  }
  for (const char* bad : {"", "+", "++", "a+b", "PeterNeumann+C74F20A3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
                          "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW\n",
                          " PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
                          "PeterNeumann+cc469956+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TWBADKEY==",
                          "PeterNeumann+173116ae+ZRpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"}) {
    REQUIRE_ERROR(ErrorCode::kBadInput, parse_verifier(bad));
  }
  // With an id that fits the name, so that only the name is wrong.
  const auto key = REQUIRE_OK(parse_verifier(kPeter)).key;
  for (const char* name : {"", "a b", "a\nb", "a\u00a0b", "a\u2003b", "\u3000", "a\tb", "a\xff", "a\u0085"}) {
    REQUIRE_ERROR(ErrorCode::kBadInput, parse_verifier(verifier_string(name, key)));
  }
}

TEST_CASE("notes signed by others open, and ours are byte for byte theirs") {
  REQUIRE(REQUIRE_OK(opened(kFooNote, {kFoo})) == "This is an example message.\n");
  REQUIRE(REQUIRE_OK(opened(kNote, {kPeter})) == kText);
  REQUIRE(REQUIRE_OK(opened(kNote + kEnochLine, {kEnoch})) == kText);
  REQUIRE(REQUIRE_OK(opened(kNote + kEnochLine, {kPeter, kEnoch})) == kText);
  const Bytes seed = *base::from_hex("810a1402d5146c8d84f2443330f54080ebf98ee17d9c74f6252fc5d5c7283173");
  REQUIRE(sign_note(kText, "PeterNeumann", crypto::KeyView(seed)) == kNote);
  const Bytes zeros(32);
  REQUIRE(sign_note(kText, "EnochRoot", crypto::KeyView(zeros)) == kText + '\n' + kEnochLine);
}

TEST_CASE("the text ends at the last blank line") {
  const Bytes seed(32);
  for (const std::string text : {"a\n\nb\n", "\n", "\n\n", "a\n\n", "th\u1eed\n"}) {
    const std::string note = sign_note(text, "EnochRoot", crypto::KeyView(seed));
    REQUIRE(REQUIRE_OK(opened(note, {kEnoch})) == text);
    REQUIRE(REQUIRE_OK(parse_note(note)).text == text);
  }
}

TEST_CASE("a note without a known key is refused, whoever signed it") {
  REQUIRE_ERROR(ErrorCode::kIntegrity, opened(kNote, {}));
  REQUIRE_ERROR(ErrorCode::kIntegrity, opened(kNote, {kEnoch, kFoo, kLog, kWitness}));
  std::string misnamed = kNote;
  misnamed.replace(misnamed.find("PeterNeumann"), 12, "PeterNeumanm");
  REQUIRE_ERROR(ErrorCode::kIntegrity, opened(misnamed, {kPeter}));
}

TEST_CASE("one bad signature of a known key spoils the note, one of an unknown key does not") {
  std::string bad_enoch = kEnochLine;
  bad_enoch[bad_enoch.size() - 10] = bad_enoch[bad_enoch.size() - 10] == 'A' ? 'B' : 'A';
  REQUIRE_ERROR(ErrorCode::kIntegrity, opened(kNote + bad_enoch, {kPeter, kEnoch}));
  REQUIRE_ERROR(ErrorCode::kIntegrity, opened(kText + '\n' + bad_enoch + kPeterLine, {kPeter, kEnoch}));
  REQUIRE(REQUIRE_OK(opened(kNote + bad_enoch, {kPeter})) == kText);
}

TEST_CASE("a key configured twice is refused where it is used") {
  REQUIRE_ERROR(ErrorCode::kIntegrity, opened(kNote, {kPeter, kEnoch, kPeter}));
  REQUIRE(REQUIRE_OK(opened(kNote, {kEnoch, kPeter, kEnoch})) == kText);
}

TEST_CASE("every byte of a signed note counts") {
  for (std::size_t i = 0; i < kNote.size(); ++i) {
    for (const int bit : {1, 32, 128}) {
      std::string turned = kNote;
      turned[i] = static_cast<char>(turned[i] ^ bit);
      INFO(i);
      REQUIRE_FALSE(opened(turned, {kPeter}).has_value());
    }
    REQUIRE_FALSE(opened(std::string_view(kNote).substr(0, i), {kPeter}).has_value());
  }
}

TEST_CASE("what is no note is refused as such") {
  const auto changed = [](std::string_view from, std::string_view to) {
    std::string out = kNote;
    return out.replace(out.find(from), from.size(), to);
  };
  const std::string cases[] = {"",
                               "\n",
                               "\n\n",
                               kText,
                               kText + '\n',
                               kPeterLine,
                               kNote + '\n',
                               kNote + "more\n",
                               kNote.substr(0, kNote.size() - 1),
                               changed("\u2014", "-"),
                               changed("\u2014", "\u2013"),
                               changed("\u2014 ", "\u2014"),
                               changed("\u2014 ", "\u2014  "),
                               changed("PeterNeumann", "Peter Neumann"),
                               changed("PeterNeumann", "Peter\u00a0Neumann"),
                               changed("PeterNeumann", "Peter+Neumann"),
                               changed("PeterNeumann", ""),
                               changed("x08g", "x08*"),
                               changed("nAM=", "nAM"),
                               changed("nAM=", "nAN="),
                               changed("nAM=", "nAM=="),
                               changed("\n\u2014", "\r\n\u2014"),
                               changed("If", "\tIf"),
                               changed("If", std::string_view("\0If", 3)),
                               changed("If", "\xff"),
                               changed("If", "\xed\xa0\x80"),
                               kText + "\n\u2014 PeterNeumann x08gow==\n",
                               kText + "\n\u2014 PeterNeumann \n",
                               kText + "\n\u2014 PeterNeumann\n"};
  for (const std::string& text : cases) {
    INFO(text);
    REQUIRE_ERROR(ErrorCode::kBadInput, parse_note(text));
    REQUIRE_ERROR(ErrorCode::kBadInput, opened(text, {kPeter}));
  }
}

TEST_CASE("64 signatures and 1 MiB are admitted, one more is refused") {
  REQUIRE(REQUIRE_OK(opened(kNote + repeat(kEnochLine, 63), {kPeter})) == kText);
  REQUIRE_ERROR(ErrorCode::kBadInput, opened(kNote + repeat(kEnochLine, 64), {kPeter}));
  const std::string filler((1U << 20U) - kEnochLine.size() - 2, 'x');
  const Bytes seed(32);
  const std::string largest = sign_note(filler + '\n', "EnochRoot", crypto::KeyView(seed));
  REQUIRE(largest.size() == 1U << 20U);
  REQUIRE_DONE(opened(largest, {kEnoch}));
  REQUIRE_ERROR(ErrorCode::kBadInput, opened('x' + largest, {kEnoch}));
}

TEST_CASE("cosignatures are checked with their time") {
  const std::string note = kCheckpoint + '\n' + kLogLine + kWitnessLine;
  REQUIRE(REQUIRE_OK(opened(note, {kLog, kWitness})) == kCheckpoint);
  REQUIRE(REQUIRE_OK(opened(note, {kWitness})) == kCheckpoint);
  std::string later = note;
  later.replace(later.find("AAAABpVbkA"), 10, "AAAABpVbkB");
  REQUIRE_ERROR(ErrorCode::kIntegrity, opened(later, {kLog, kWitness}));
  REQUIRE_DONE(opened(later, {kLog}));
  // A plain signature under the cosigner's id: 64 bytes instead of 72, and over other bytes.
  const std::string plain =
      "\u2014 witness.example/w1 "
      "4M0oZGcDQDmFGn9Gb7nwK2p0S2GAkoBpttNIVhfqSJWw7SnYayLI6vJ5BCprg+sgms/CZUKucCA5nqlvRS4voDa7YQQ=\n";
  REQUIRE_ERROR(ErrorCode::kIntegrity, opened(kCheckpoint + '\n' + kLogLine + plain, {kLog, kWitness}));
  const std::string beyond_63_bits =
      "\u2014 witness.example/w1 "
      "4M0oZIAAAAAAAAAAbemcqzo/NMbfAZBKEUnpxRYzK6/A4/1gq/I9dG6RiAxjURqxj9iTQRtlOPey83J7d7qi5Dm9w0LaBpV3vDtfCw==\n";
  REQUIRE_ERROR(ErrorCode::kIntegrity, opened(kCheckpoint + '\n' + beyond_63_bits, {kWitness}));
}

TEST_CASE("checkpoints are read and written in one form only") {
  const auto checkpoint = REQUIRE_OK(parse_checkpoint(kCheckpoint));
  REQUIRE(checkpoint.origin == "log.example/casevault-test");
  REQUIRE(checkpoint.size == 8);
  REQUIRE(base::to_hex(checkpoint.root) == "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328");
  REQUIRE(checkpoint_text(checkpoint) == kCheckpoint);
  REQUIRE(REQUIRE_OK(parse_checkpoint(kCheckpoint + "an extension\nand another\n")) == checkpoint);
  const auto with = [](std::string_view size) {
    return "o\n" + std::string(size) + "\nXcnaeacGWamtVZy3Ad7ZoqudgjqtL0lgz+Nw7/RgQyg=\n";
  };
  REQUIRE(REQUIRE_OK(parse_checkpoint(with("0"))).size == 0);
  REQUIRE(REQUIRE_OK(parse_checkpoint(with("18446744073709551615"))).size == 18446744073709551615U);
  for (const char* size : {"", "08", "00", "+8", "-8", "-0", "0x8", "8 ", " 8", "8\r", "\u0668", "1e3",
                           "18446744073709551616", "99999999999999999999999"}) {
    INFO(size);
    REQUIRE_ERROR(ErrorCode::kBadInput, parse_checkpoint(with(size)));
  }
  for (std::size_t size = 0; size < kCheckpoint.size(); ++size) {
    REQUIRE_ERROR(ErrorCode::kBadInput, parse_checkpoint(kCheckpoint.substr(0, size)));
  }
  for (const std::string& text :
       {'\n' + kCheckpoint, kCheckpoint + '\n', kCheckpoint + "more", kCheckpoint + "more\n\n",
        kCheckpoint + "\nmore\n", std::string("\n8\nXcnaeacGWamtVZy3Ad7ZoqudgjqtL0lgz+Nw7/RgQyg=\n"),
        std::string("o\n8\nXcnaeacGWamtVZy3Ad7ZoqudgjqtL0lgz+Nw7/RgQyh=\n"),
        std::string("o\n8\nXcnaeacGWamtVZy3Ad7ZoqudgjqtL0lgz+Nw7/RgQyg\n"),
        std::string("o\n8\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA==\n"),
        std::string("o\n8\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\n"), "\x1b[2J" + kCheckpoint}) {
    INFO(text);
    REQUIRE_ERROR(ErrorCode::kBadInput, parse_checkpoint(text));
  }
}

TEST_CASE("log proofs are read and written in one form only") {
  InclusionProof proof;
  proof.index = 3;
  proof.path = {Digest{1}, Digest{2}};
  proof.checkpoint_note = kCheckpoint + '\n' + kLogLine;
  for (const Bytes& extra : {Bytes{}, Bytes{1, 2, 3}}) {
    proof.extra = extra;
    const std::string text = proof_text(proof);
    const auto back = REQUIRE_OK(parse_proof(text));
    REQUIRE(back.extra == proof.extra);
    REQUIRE(back.index == proof.index);
    REQUIRE(back.path == proof.path);
    REQUIRE(back.checkpoint_note == proof.checkpoint_note);
    REQUIRE(proof_text(back) == text);
    for (std::size_t size = 0; size <= text.size() - proof.checkpoint_note.size(); ++size) {
      REQUIRE_ERROR(ErrorCode::kBadInput, parse_proof(std::string_view(text).substr(0, size)));
    }
  }
  const std::string hash = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n";
  const std::string head = "c2sp.org/tlog-proof@v1\n";
  REQUIRE_DONE(parse_proof(head + "index 0\n\nnote"));
  REQUIRE_DONE(parse_proof(head + "index 0\n" + repeat(hash, 63) + "\nnote"));
  for (const std::string& text : {head + "index 0\n" + repeat(hash, 64) + "\nnote",
                                  head + "index 00\n\nnote",
                                  head + "index -1\n\nnote",
                                  head + "index\n\nnote",
                                  head + "index \n\nnote",
                                  head + "Index 0\n\nnote",
                                  head + "index 18446744073709551616\n\nnote",
                                  head + "extra \nindex 0\n\nnote",
                                  head + "extra AA==\nextra AA==\nindex 0\n\nnote",
                                  head + "extra AB==\nindex 0\n\nnote",
                                  head + "extra AA\nindex 0\n\nnote",
                                  head + "index 0\nextra AA==\n\nnote",
                                  head + "index 0\nAAAA\n\nnote",
                                  head + "index 0\n" + hash,
                                  head + "index 0\n\n",
                                  head + "\nindex 0\n\nnote",
                                  "\n" + head + "index 0\n\nnote",
                                  "c2sp.org/tlog-proof@v2\nindex 0\n\nnote" + std::string(),
                                  head + "index 0\r\n\r\nnote",
                                  head + "index 0\n\n" + std::string(1U << 20U, 'x')}) {
    INFO(text.substr(0, 200));
    REQUIRE_ERROR(ErrorCode::kBadInput, parse_proof(text));
  }
}

}  // namespace
}  // namespace casevault::audit
