// SPDX-License-Identifier: Apache-2.0
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "audit/merkle.hpp"
#include "audit/note.hpp"
#include "base/text.hpp"
#include "catch.hpp"

namespace casevault::audit {
namespace {

using nlohmann::json;
namespace fs = std::filesystem;

/// The folder of vectors, or nullopt with the message that the build's SKIP_REGULAR_EXPRESSION knows.
std::optional<fs::path> folder(const char* name) {
  const char* const set = std::getenv("CASEVAULT_VECTORS");
  const fs::path path = (set != nullptr ? fs::path(set) : fs::path(CASEVAULT_SOURCE_DIR) / "../shared/vectors") / name;
  if (fs::is_directory(path)) return path;
  WARN("skipped: no vectors in " << path.string());
  return std::nullopt;
}

json load(const fs::path& path) { return json::parse(std::ifstream(path)); }

/// nullopt for what is no 32 bytes: our entry points cannot even be asked about it.
std::optional<Digest> digest(const json& base64) {
  if (!base64.is_string()) return std::nullopt;
  const auto bytes = base::from_base64(base64.get<std::string>());
  if (!bytes || bytes->size() != 32) return std::nullopt;
  Digest out;
  std::copy(bytes->begin(), bytes->end(), out.begin());
  return out;
}

std::optional<std::vector<Digest>> digests(const json& list) {
  std::vector<Digest> out;
  if (list.is_null()) return out;
  for (const json& item : list) {
    const auto one = digest(item);
    if (!one) return std::nullopt;
    out.push_back(*one);
  }
  return out;
}

/// Roots of any length, as some cases have them: what is no digest is stood in for by its hash, so equal stays equal.
Digest stand_in(const json& base64) {
  return digest(base64).value_or(leaf_hash(base::from_base64(base64.get<std::string>()).value()));
}

template <typename Case>
std::size_t each_file(const fs::path& root, Case run) {
  std::size_t count = 0;
  for (const auto& file : fs::recursive_directory_iterator(root)) {
    if (file.path().extension() != ".json") continue;
    const json vector = load(file.path());
    const bool refused = vector.at("wantErr").get<bool>();
    INFO(file.path().string() << ": " << vector.at("desc"));
    REQUIRE(run(vector) == !refused);
    ++count;
  }
  return count;
}

std::vector<NoteVerifier> verifiers_of(const json& keys) {
  std::vector<NoteVerifier> out;
  for (const json& key : keys) out.push_back(REQUIRE_OK(parse_verifier(key.get<std::string>())));
  return out;
}

std::string note_of(const json& entry) {
  if (!entry.contains("note_b64")) return entry.at("note").get<std::string>();
  const Bytes raw = base::from_base64(entry.at("note_b64").get<std::string>()).value();
  return std::string(as_text(raw));
}

TEST_CASE("inclusion, consistency and roots agree with transparency-dev/merkle", "[merkle]") {
  const auto root = folder("merkle");
  if (!root) return;
  REQUIRE(each_file(*root / "inclusion", [](const json& v) {
            const auto leaf = digest(v.at("leafHash"));
            const auto tree = digest(v.at("root"));
            const auto path = digests(v.at("proof"));
            return leaf && tree && path &&
                   verify_inclusion(*leaf, v.at("leafIdx").get<std::uint64_t>(), v.at("treeSize").get<std::uint64_t>(),
                                    *path, *tree);
          }) >= 79);
  REQUIRE(each_file(*root / "consistency", [](const json& v) {
            const auto path = digests(v.at("proof"));
            return path && verify_consistency(v.at("size1").get<std::uint64_t>(), v.at("size2").get<std::uint64_t>(),
                                              *path, stand_in(v.at("root1")), stand_in(v.at("root2")));
          }) >= 79);

  const json roots = load(*root / "roots.json");
  std::vector<Digest> leaves;
  CompactRange range;
  for (const json& entry : roots.at("roots")) {
    const std::size_t size = entry.at("size").get<std::size_t>();
    if (size > 0) {
      leaves.push_back(leaf_hash(base::from_hex(roots.at("leaves_hex")[size - 1].get<std::string>()).value()));
      REQUIRE(base::to_hex(leaves.back()) == roots.at("leaf_hashes")[size - 1]);
      range.append(leaves.back());
    }
    REQUIRE(base::to_hex(range.root()) == entry.at("root"));
  }
  REQUIRE(leaves.size() == 8);
}

TEST_CASE("verifier keys agree with C2SP signed-note and golang/mod", "[notes]") {
  const auto root = folder("notes");
  if (!root) return;
  const json all = load(*root / "signed_notes.json");
  for (const json& v : all.at("vkeys")) {
    const auto key = REQUIRE_OK(parse_verifier(v.at("vkey").get<std::string>()));
    REQUIRE(key.name == v.at("name"));
    REQUIRE(key.type == v.at("type"));
    REQUIRE(base::to_hex(key.key) == v.at("public_key_hex"));
    REQUIRE(key.key_id == std::stoul(v.at("key_id").get<std::string>(), nullptr, 16));
    if (key.type == 1) REQUIRE(verifier_string(key.name, key.key) == v.at("vkey"));
  }
  for (const json& v : all.at("vkeys_invalid")) {  // we are a strict reader: "either" is refused, too
    INFO(v.at("why"));
    REQUIRE_ERROR(ErrorCode::kBadInput, parse_verifier(v.at("vkey").get<std::string>()));
  }
}

TEST_CASE("notes and cosignatures are signed and opened as C2SP and golang/mod do", "[notes]") {
  const auto root = folder("notes");
  if (!root) return;
  const json all = load(*root / "signed_notes.json");
  for (const json& v : all.at("sign")) {
    const Bytes seed = base::from_hex(v.at("seed_hex").get<std::string>()).value();
    const std::string skey = v.at("skey").get<std::string>().substr(std::string_view("PRIVATE+KEY+").size());
    REQUIRE(sign_note(v.at("text").get<std::string>(), skey.substr(0, skey.find('+')),
                      crypto::KeyView(seed.data(), 32)) == v.at("note"));
  }
  for (const char* list : {"open", "cosignatures"}) {
    for (const json& v : all.at(list)) {
      INFO(v.at("id"));
      const auto text = open_note(note_of(v), verifiers_of(v.at("vkeys")));
      REQUIRE(text.has_value() == (v.at("expect") == "verify"));
      if (text && v.contains("text")) REQUIRE(*text == v.at("text"));
      if (text || !v.contains("error")) continue;
      const auto expected = v.at("error") == "malformed" ? ErrorCode::kBadInput : ErrorCode::kIntegrity;
      REQUIRE(text.error().code == expected);
    }
  }
  for (const json& v : all.at("format_only")) {
    const auto note = REQUIRE_OK(parse_note(v.at("note").get<std::string>()));
    REQUIRE(note.text == v.at("text"));
    REQUIRE(note.signatures.size() == v.at("signatures").size());
    for (std::size_t i = 0; i < note.signatures.size(); ++i) {
      const json& line = v.at("signatures")[i];
      REQUIRE(note.signatures[i].name == line.at("name"));
      if (line.contains("blob_hex")) REQUIRE(base::to_hex(note.signatures[i].signature) == line.at("blob_hex"));
    }
    REQUIRE_ERROR(ErrorCode::kIntegrity, open_note(v.at("note").get<std::string>(), {}));
  }
}

TEST_CASE("checkpoints agree with C2SP tlog-checkpoint", "[notes]") {
  const auto root = folder("notes");
  if (!root) return;
  const json all = load(*root / "signed_notes.json");
  for (const json& v : all.at("checkpoints")) {
    INFO(v.at("id"));
    std::string text;
    if (v.contains("note") && v.contains("vkeys") && v.value("signature", "") == "valid") {
      text = REQUIRE_OK(open_note(note_of(v), verifiers_of(v.at("vkeys"))));
    } else {
      text = v.at("text").get<std::string>();
    }
    if (v.contains("text")) REQUIRE(text == v.at("text"));
    const auto checkpoint = parse_checkpoint(text);
    REQUIRE(checkpoint.has_value() == (v.at("expect") == "ok"));
    if (!checkpoint) continue;
    REQUIRE(checkpoint->origin == v.at("origin"));
    REQUIRE(std::to_string(checkpoint->size) == v.at("size"));
    REQUIRE(base::to_hex(checkpoint->root) == v.at("root_hex"));
    if (v.at("extensions").empty()) REQUIRE(checkpoint_text(*checkpoint) == text);
  }
}

TEST_CASE("log proofs agree with C2SP tlog-proof", "[notes]") {
  const auto root = folder("notes");
  if (!root) return;
  const json all = load(*root / "signed_notes.json");
  for (const json& v : all.at("tlog_proofs")) {
    INFO(v.at("id"));
    const std::string text = v.at("proof").get<std::string>();
    const auto verified = [&] {
      const auto proof = parse_proof(text);
      if (!proof) return false;
      REQUIRE(proof_text(*proof) == text);
      const auto note = open_note(proof->checkpoint_note, verifiers_of(v.at("vkeys")));
      if (!note) return false;
      const auto checkpoint = parse_checkpoint(*note);
      if (!checkpoint) return false;
      const Bytes leaf = base::from_hex(v.at("leaf_data_hex").get<std::string>()).value();
      return verify_inclusion(leaf_hash(leaf), proof->index, checkpoint->size, proof->path, checkpoint->root);
    }();
    REQUIRE(verified == (v.at("expect") == "verify"));
  }
}

}  // namespace
}  // namespace casevault::audit
