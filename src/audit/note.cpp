// SPDX-License-Identifier: Apache-2.0
#include "audit/note.hpp"

#include <algorithm>
#include <charconv>
#include <limits>

#include "base/cursor.hpp"
#include "base/text.hpp"
#include "crypto/hash.hpp"

namespace casevault::audit {
namespace {

constexpr std::size_t kMaxText = std::size_t{1} << 20U;
constexpr std::size_t kMaxSignatures = 64;
constexpr std::size_t kMaxPath = 63;
constexpr std::uint8_t kEd25519 = 0x01;
constexpr std::uint8_t kCosignature = 0x04;
constexpr std::string_view kDash = "\u2014 ";
constexpr std::string_view kProofHeader = "c2sp.org/tlog-proof@v1";

Error bad(std::string message) { return {ErrorCode::kBadInput, std::move(message)}; }

/// UTF-8 in which the newline is the only ASCII control character.
bool plain_text(std::string_view text) {
  return base::valid_utf8(text) && std::none_of(text.begin(), text.end(), [](char c) {
           return static_cast<unsigned char>(c) < 0x20 && c != '\n';
         });
}

/// Every character with the Unicode property White_Space that plain_text admits.
bool has_space(std::string_view text) {
  static constexpr std::string_view kSpaces[] = {" ",      "\n",     "\u0085", "\u00A0", "\u1680", "\u2000", "\u2001",
                                                 "\u2002", "\u2003", "\u2004", "\u2005", "\u2006", "\u2007", "\u2008",
                                                 "\u2009", "\u200A", "\u2028", "\u2029", "\u202F", "\u205F", "\u3000"};
  return std::any_of(std::begin(kSpaces), std::end(kSpaces),
                     [text](std::string_view space) { return text.find(space) != std::string_view::npos; });
}

bool valid_name(std::string_view name) {
  return !name.empty() && name.find('+') == std::string_view::npos && plain_text(name) && !has_space(name);
}

/// The line before the next newline, which is removed; nullopt when none is left.
std::optional<std::string_view> take_line(std::string_view& rest) {
  const std::size_t end = rest.find('\n');
  if (end == std::string_view::npos) return std::nullopt;
  const std::string_view line = rest.substr(0, end);
  rest.remove_prefix(end + 1);
  return line;
}

/// Decimal without sign and leading zeros.
std::optional<std::uint64_t> parse_decimal(std::string_view text) {
  std::uint64_t value = 0;
  const char* const end = text.data() + text.size();
  if (text.empty() || (text.size() > 1 && text.front() == '0')) return std::nullopt;
  const auto [stop, error] = std::from_chars(text.data(), end, value);
  if (error != std::errc{} || stop != end) return std::nullopt;
  return value;
}

std::optional<Digest> parse_digest(std::string_view text) {
  const auto bytes = base::from_base64(text);
  if (!bytes || bytes->size() != Digest{}.size()) return std::nullopt;
  Digest out;
  std::copy(bytes->begin(), bytes->end(), out.begin());
  return out;
}

std::uint32_t key_id(std::string_view name, std::uint8_t type, const crypto::PublicKey& key) {
  const std::array<std::uint8_t, 2> separator{'\n', type};
  const crypto::Hash hash = crypto::sha256({as_bytes(name), separator, key});
  return base::Reader(hash).u32();
}

Bytes big_endian(std::uint32_t id) {
  Bytes out;
  base::Writer(out).u32(id);
  return out;
}

bool verify_line(const NoteVerifier& verifier, std::string_view text, ByteView signature) {
  if (verifier.type == kEd25519) {
    return signature.size() == sizeof(crypto::Signature) && crypto::verify_raw(verifier.key, as_bytes(text), signature);
  }
  if (verifier.type != kCosignature) return false;
  base::Reader in(signature);
  const std::uint64_t time = in.u64();
  const ByteView ed25519 = in.take(sizeof(crypto::Signature));
  if (!in.finish() || time > std::numeric_limits<std::int64_t>::max()) return false;
  std::string message = "cosignature/v1\ntime " + std::to_string(time) + '\n';
  message += text;
  return crypto::verify_raw(verifier.key, as_bytes(message), ed25519);
}

}  // namespace

std::string verifier_string(std::string_view name, const crypto::PublicKey& key) {
  Bytes material{kEd25519};
  material.insert(material.end(), key.begin(), key.end());
  std::string out(name);
  out += '+';
  out += base::to_hex(big_endian(key_id(name, kEd25519, key)));
  out += '+';
  out += base::to_base64(material);
  return out;
}

Result<NoteVerifier> parse_verifier(std::string_view text) {
  const std::size_t name_end = text.find('+');
  const std::size_t id_end = name_end == std::string_view::npos ? name_end : text.find('+', name_end + 1);
  if (id_end == std::string_view::npos) {
    return bad("verifier key: it is not of the form name+id+base64; copy the whole line that init printed");
  }
  NoteVerifier out;
  out.name = text.substr(0, name_end);
  if (!valid_name(out.name)) return bad("verifier key: the name is empty or has a space or control character");
  const auto material = base::from_base64(text.substr(id_end + 1));
  if (!material || material->size() != 1 + out.key.size()) {
    return bad("verifier key: its last part is not the base64 of 33 bytes; copy the whole line that init printed");
  }
  out.type = material->front();
  if (out.type != kEd25519 && out.type != kCosignature) {
    return bad("verifier key: key type " + std::to_string(out.type) + " is not known; Ed25519 keys are of type 1 or 4");
  }
  std::copy(material->begin() + 1, material->end(), out.key.begin());
  out.key_id = key_id(out.name, out.type, out.key);
  if (base::to_hex(big_endian(out.key_id)) != text.substr(name_end + 1, id_end - name_end - 1)) {
    return bad("verifier key: the key id does not belong to this name and key; copy the whole line that init printed");
  }
  return out;
}

Result<Note> parse_note(std::string_view text) {
  if (text.size() > kMaxText) return bad("signed note: larger than 1 MiB");
  if (!plain_text(text)) return bad("signed note: not UTF-8, or with a control character other than newline");
  const std::size_t blank = text.rfind("\n\n");
  if (blank == std::string_view::npos) return bad("signed note: no blank line between the text and the signatures");
  Note note;
  note.text = text.substr(0, blank + 1);
  std::string_view rest = text.substr(blank + 2);
  if (rest.empty()) return bad("signed note: it has no signature line");
  while (!rest.empty()) {
    if (note.signatures.size() == kMaxSignatures) return bad("signed note: more than 64 signature lines");
    const std::string where = "signed note: signature line " + std::to_string(note.signatures.size() + 1);
    const auto line = take_line(rest);
    if (!line) return bad(where + " does not end in a newline");
    if (!line->starts_with(kDash)) return bad(where + " does not begin with an em dash and a space");
    const std::string_view body = line->substr(kDash.size());
    const std::size_t space = body.find(' ');
    if (space == std::string_view::npos || !valid_name(body.substr(0, space))) {
      return bad(where + " does not name its key");
    }
    const auto blob = base::from_base64(body.substr(space + 1));
    if (!blob) return bad(where + " is not in base64");
    base::Reader in(*blob);
    const std::uint32_t id = in.u32();
    const ByteView signature = in.rest();
    if (!in.ok() || signature.empty()) return bad(where + " is too short for a signature");
    note.signatures.push_back({std::string(body.substr(0, space)), id, Bytes(signature.begin(), signature.end())});
  }
  return note;
}

Result<std::string> open_note(std::string_view note, std::span<const NoteVerifier> verifiers) {
  CASEVAULT_TRY(Note parsed, parse_note(note));
  bool known = false;
  for (const Note::Line& line : parsed.signatures) {
    const auto names = [&line](const NoteVerifier& v) { return v.key_id == line.key_id && v.name == line.name; };
    const auto match = std::find_if(verifiers.begin(), verifiers.end(), names);
    if (match == verifiers.end()) continue;
    if (std::any_of(match + 1, verifiers.end(), names)) {
      return Error{ErrorCode::kIntegrity, "signed note: two of the known keys are both called " + line.name};
    }
    if (!verify_line(*match, parsed.text, line.signature)) {
      return Error{ErrorCode::kIntegrity, "signed note: the signature of " + line.name +
                                              " is not of this text; it was changed or forged, get a new copy"};
    }
    known = true;
  }
  if (!known) return Error{ErrorCode::kIntegrity, "signed note: none of its signatures is of a known key"};
  return std::move(parsed.text);
}

std::string sign_note(std::string_view text, std::string_view name, crypto::KeyView seed) {
  const crypto::PublicKey key = crypto::ed25519_public(seed);
  const crypto::Signature signature = crypto::sign_raw(seed, as_bytes(text));
  Bytes blob = big_endian(key_id(name, kEd25519, key));
  blob.insert(blob.end(), signature.begin(), signature.end());
  std::string out(text);
  out += '\n';
  out += kDash;
  out += name;
  out += ' ';
  out += base::to_base64(blob);
  out += '\n';
  return out;
}

std::string checkpoint_text(const Checkpoint& checkpoint) {
  return checkpoint.origin + '\n' + std::to_string(checkpoint.size) + '\n' + base::to_base64(checkpoint.root) + '\n';
}

Result<Checkpoint> parse_checkpoint(std::string_view text) {
  if (text.size() > kMaxText || !plain_text(text)) {
    return bad("checkpoint: larger than 1 MiB, not UTF-8, or with a control character other than newline");
  }
  const auto origin = take_line(text);
  if (!origin || origin->empty()) return bad("checkpoint: line 1, the origin, is empty or missing");
  const auto size_line = take_line(text);
  const auto size = parse_decimal(size_line.value_or(std::string_view{}));
  if (!size) return bad("checkpoint: line 2 is not a size in decimal");
  const auto root_line = take_line(text);
  const auto root = parse_digest(root_line.value_or(std::string_view{}));
  if (!root) return bad("checkpoint: line 3 is not the base64 of a 32-byte root");
  while (!text.empty()) {
    const auto extension = take_line(text);
    if (!extension || extension->empty()) return bad("checkpoint: an extension line is empty or has no newline");
  }
  return Checkpoint{std::string(*origin), *size, *root};
}

std::string proof_text(const InclusionProof& proof) {
  std::string out(kProofHeader);
  if (!proof.extra.empty()) out += "\nextra " + base::to_base64(proof.extra);
  out += "\nindex " + std::to_string(proof.index) + '\n';
  for (const Digest& hash : proof.path) out += base::to_base64(hash) + '\n';
  out += '\n';
  out += proof.checkpoint_note;
  return out;
}

Result<InclusionProof> parse_proof(std::string_view text) {
  static constexpr std::string_view kExtra = "extra ";
  static constexpr std::string_view kIndex = "index ";
  if (text.size() > kMaxText) return bad("log proof: larger than 1 MiB");
  if (take_line(text) != kProofHeader) return bad("log proof: line 1 is not \"" + std::string(kProofHeader) + '"');
  InclusionProof proof;
  auto line = take_line(text);
  if (line && line->starts_with(kExtra)) {
    auto extra = base::from_base64(line->substr(kExtra.size()));
    if (!extra || extra->empty()) return bad("log proof: the extra line is empty or not in base64");
    proof.extra = std::move(*extra);
    line = take_line(text);
  }
  const bool has_index = line && line->starts_with(kIndex);
  const auto index = has_index ? parse_decimal(line->substr(kIndex.size())) : std::nullopt;
  if (!index) return bad("log proof: the index line is missing or not in decimal");
  proof.index = *index;
  for (line = take_line(text); line && !line->empty(); line = take_line(text)) {
    const auto hash = parse_digest(*line);
    if (!hash)
      return bad("log proof: hash " + std::to_string(proof.path.size() + 1) + " is not the base64 of 32 bytes");
    if (proof.path.size() == kMaxPath) return bad("log proof: more than 63 hashes");
    proof.path.push_back(*hash);
  }
  if (!line || text.empty()) return bad("log proof: no blank line and checkpoint after the hashes");
  proof.checkpoint_note = text;
  return proof;
}

}  // namespace casevault::audit
