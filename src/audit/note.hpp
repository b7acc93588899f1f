// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <casevault/audit.hpp>

#include "crypto/keypair.hpp"

/// C2SP signed-note, tlog-checkpoint, tlog-proof (c2sp.org). Pure: bytes in, bytes out.
namespace casevault::audit {

/// Verifier key string "name+hex8+base64(type ‖ public)": Ed25519 (type 0x01) or cosignature/v1 (0x04).
struct NoteVerifier {
  std::string name;
  std::uint32_t key_id = 0;
  std::uint8_t type = 1;
  crypto::PublicKey key{};
};
[[nodiscard]] std::string verifier_string(std::string_view name, const crypto::PublicKey& key);  ///< type 0x01
[[nodiscard]] Result<NoteVerifier> parse_verifier(std::string_view text);  ///< kBadInput: name, key id or base64 wrong

struct Note {
  std::string text;  ///< ends with a newline
  struct Line {
    std::string name;
    std::uint32_t key_id = 0;
    Bytes signature;  ///< without the key id
  };
  std::vector<Line> signatures;
};
/// Splits at the last blank line; refuses control characters, invalid UTF-8, malformed lines, over 1 MiB or 64
/// signatures.
[[nodiscard]] Result<Note> parse_note(std::string_view text);
/// The text, when at least one of `verifiers` signed it: a known key with a bad signature refuses the note
/// (kIntegrity), unknown keys are ignored, none known is kIntegrity too.
[[nodiscard]] Result<std::string> open_note(std::string_view note, std::span<const NoteVerifier> verifiers);
[[nodiscard]] std::string sign_note(std::string_view text, std::string_view name, crypto::KeyView seed);

[[nodiscard]] std::string checkpoint_text(const Checkpoint& checkpoint);
[[nodiscard]] Result<Checkpoint> parse_checkpoint(
    std::string_view text);  ///< origin, size, root; extension lines allowed

/// A tlog-proof: "c2sp.org/tlog-proof@v1", optional "extra <base64>", "index <n>", hashes, blank line, checkpoint note.
struct InclusionProof {
  Bytes extra;
  std::uint64_t index = 0;
  std::vector<Digest> path;
  std::string checkpoint_note;
};
[[nodiscard]] std::string proof_text(const InclusionProof& proof);
[[nodiscard]] Result<InclusionProof> parse_proof(std::string_view text);

}  // namespace casevault::audit
