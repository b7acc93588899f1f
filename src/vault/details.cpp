// SPDX-License-Identifier: Apache-2.0
#include "vault/details.hpp"

#include "base/cursor.hpp"
#include "crypto/envelope.hpp"
#include "crypto/hash.hpp"
#include "format/cbor.hpp"

#include <algorithm>
#include <memory>

namespace casevault::vault {
namespace {

using crypto::key_of;
using format::CborReader;
using format::CborWriter;

constexpr std::size_t kStep = 128;
constexpr std::size_t kSaltSize = 16;
constexpr std::size_t kSharedKeys = 256;

Bytes salted(base::Random& random) {
  Bytes out(32);
  random.fill(out);
  return out;
}

Bytes context_of(const keys::VaultTag& tag, std::uint64_t entry, std::uint32_t epoch,
                 const crypto::PublicKey& ephemeral) {
  Bytes out;
  base::Writer(out).bytes(tag).u64(entry).u32(epoch).bytes(ephemeral);
  return out;
}

std::array<std::uint8_t, 16> subject_tag(const SecretBytes& record_key, ByteView salt) {
  crypto::Hash full{};
  crypto::derive32(format::kLogSubjectTag, record_key.view(), salt, full);
  std::array<std::uint8_t, 16> tag{};
  std::copy_n(full.begin(), tag.size(), tag.begin());
  return tag;
}

SecretBytes subject_key(const SecretBytes& record_key) {
  return crypto::derive_key(format::kLogSubject, record_key.view(), as_bytes("details"));
}

/// Ascending rows as runs: varint gap from the end of the run before, varint length - 1.
Bytes encode_rows(std::vector<std::uint64_t> rows) {
  std::ranges::sort(rows);
  rows.erase(std::unique(rows.begin(), rows.end()), rows.end());
  Bytes out;
  base::Writer w(out);
  std::uint64_t end = 0;
  for (std::size_t i = 0; i < rows.size();) {
    std::size_t j = i + 1;
    while (j < rows.size() && rows[j] == rows[j - 1] + 1) ++j;
    w.varint(rows[i] - end).varint(j - i - 1);
    end = rows[j - 1] + 1;
    i = j;
  }
  return out;
}

/// `count` is what the leaf says: a few bytes cannot make a reader hold billions of rows.
std::optional<std::vector<std::uint64_t>> decode_rows(ByteView bytes, std::uint64_t count) {
  constexpr std::uint64_t kLimit = std::uint64_t{1} << 32U;
  base::Reader r(bytes);
  std::vector<std::uint64_t> rows;
  std::uint64_t next = 0;
  while (r.ok() && !r.rest().empty()) {
    const std::uint64_t gap = r.varint();
    const std::uint64_t more = r.varint();
    if (gap > kLimit || more > kLimit || next + gap + more >= kLimit || rows.size() + more >= count)
      return std::nullopt;
    next += gap;
    for (std::uint64_t i = 0; i <= more; ++i) rows.push_back(next++);
  }
  return r.ok() ? std::optional(std::move(rows)) : std::nullopt;
}

struct Part {
  SecretBytes key;
  Bytes plaintext;  ///< salt 32 ‖ CBOR [row, version]
  Bytes tag;        ///< salt 16 ‖ tag 16, outside the seal
};

struct Parsed {
  crypto::PublicKey ephemeral{};
  std::uint32_t epoch = 0;
  ByteView envelope;
  ByteView tags;  ///< n times salt 16 ‖ tag 16
};

std::optional<Parsed> parse(ByteView sealed) {
  base::Reader r(sealed);
  Parsed p;
  p.ephemeral = r.fixed<32>();
  p.epoch = r.u32();
  p.envelope = r.block();
  const std::uint8_t count = r.u8();
  if (count > kMaxSubjectParts) return std::nullopt;
  p.tags = r.take(std::size_t{count} * 32);
  return r.finish() ? std::optional(p) : std::nullopt;
}

}  // namespace

Result<DetailsSealer> DetailsSealer::make(const keys::VaultTag& tag, keys::EpochName audit_epoch,
                                          const crypto::PublicKey& deposit_public, base::Random& random) {
  DetailsSealer sealer(tag, audit_epoch, random);
  const SecretBytes secret = crypto::random_key(random);
  sealer.ephemeral_ = crypto::x25519_public(key_of(secret));
  CASEVAULT_TRY(const SecretBytes agreed, crypto::x25519(key_of(secret), deposit_public));
  sealer.shared_ = crypto::derive_key(format::kLogDetails, agreed.view(), sealer.ephemeral_);
  return sealer;
}

std::function<Result<Bytes>(std::uint64_t)> DetailsSealer::prepare(DetailsDraft draft, audit::Leaf& leaf) const {
  Bytes actor = salted(*random_);
  CborWriter(actor).array(2).uint(draft.actor).text(draft.actor_name);
  Bytes fields = salted(*random_);
  CborWriter fields_writer(fields);
  fields_writer.array(2).uint(draft.type).array(draft.fields.size());
  for (const std::uint16_t field : draft.fields) fields_writer.uint(field);

  auto parts = std::make_shared<std::vector<Part>>();
  Bytes subjects = salted(*random_);
  for (SubjectDraft& subject : draft.subjects) {
    Part part;
    part.key = std::move(subject.record_key);
    part.plaintext = salted(*random_);
    CborWriter(part.plaintext).array(2).uint(subject.row).uint(subject.version);
    std::array<std::uint8_t, kSaltSize> salt{};
    random_->fill(salt);
    base::Writer(part.tag).bytes(salt).bytes(subject_tag(part.key, salt));
    base::Writer(subjects)
        .u64(subject.row)
        .bytes(part.tag)
        .bytes(audit::commit(format::kCommitSubjects, part.plaintext));
    parts->push_back(std::move(part));
  }
  base::Writer(subjects).bytes(encode_rows(std::move(draft.rows)));

  Bytes common = salted(*random_);
  CborWriter(common)
      .array(7)
      .bytes(actor)
      .bytes(fields)
      .bytes(subjects)
      .text(draft.recipient)
      .text(draft.recipient_class)
      .text(draft.text)
      .map(0);  // reserved
  leaf.actor = audit::commit(format::kCommitActor, actor);
  leaf.fields = audit::commit(format::kCommitFields, fields);
  leaf.subjects = audit::commit(format::kCommitSubjects, subjects);
  leaf.details = audit::commit(format::kCommitDetails, common);

  return [this, parts, common = std::move(common)](std::uint64_t entry) -> Result<Bytes> {
    const Bytes context = context_of(tag_, entry, epoch_.epoch, ephemeral_);
    Bytes inside;
    base::Writer w(inside);
    w.block(common).u8(static_cast<std::uint8_t>(parts->size()));
    for (const Part& part : *parts) {
      w.block(
          crypto::seal_envelope(format::kLogSubject, key_of(subject_key(part.key)), context, part.plaintext, *random_));
    }
    inside.resize((inside.size() + kStep - 1) / kStep * kStep);
    Bytes out;
    base::Writer outer(out);
    outer.bytes(ephemeral_).u32(epoch_.epoch);
    outer.block(crypto::seal_envelope(format::kLogDetails, key_of(shared_), context, inside, *random_));
    outer.u8(static_cast<std::uint8_t>(parts->size()));
    for (const Part& part : *parts) outer.bytes(part.tag);
    return out;
  };
}

std::optional<std::uint32_t> details_epoch(ByteView sealed) {
  const auto parsed = parse(sealed);
  return parsed ? std::optional(parsed->epoch) : std::nullopt;
}

bool concerns(ByteView sealed, const SecretBytes& record_key) {
  const auto parsed = parse(sealed);
  if (!parsed) return false;
  base::Reader r(parsed->tags);
  while (!r.rest().empty()) {
    const ByteView salt = r.take(kSaltSize);
    if (crypto::equal(r.take(16), subject_tag(record_key, salt))) return true;
  }
  return false;
}

Result<const SecretBytes*> DetailsOpener::shared_with(const crypto::PublicKey& ephemeral) {
  if (const auto known = shared_.find(ephemeral); known != shared_.end()) return &known->second;
  CASEVAULT_TRY(const SecretBytes agreed, crypto::x25519(key_of(deposit_secret_), ephemeral));
  if (shared_.size() >= kSharedKeys) shared_.clear();
  SecretBytes& shared = shared_[ephemeral];
  shared = crypto::derive_key(format::kLogDetails, agreed.view(), ephemeral);
  return &shared;
}

Result<OpenedDetails> DetailsOpener::open(std::uint64_t entry, const audit::Leaf& leaf, ByteView sealed) {
  const Error bad{ErrorCode::kIntegrity,
                  "entry " + std::to_string(entry) + ": its details were altered or do not belong to its leaf"};
  const auto parsed = parse(sealed);
  if (!parsed || parsed->epoch != epoch_.epoch) return bad;
  const auto shared = shared_with(parsed->ephemeral);
  if (!shared) return bad;
  auto inside = crypto::open_envelope(format::kLogDetails, key_of(**shared),
                                      context_of(tag_, entry, parsed->epoch, parsed->ephemeral), parsed->envelope);
  if (!inside) return bad;
  base::Reader r(inside->view());
  const ByteView common = r.block();
  const std::uint8_t parts = r.u8();
  for (int i = 0; i < parts && r.ok(); ++i) (void)r.block();
  if (!r.ok() || std::ranges::any_of(r.rest(), [](std::uint8_t b) { return b != 0; })) return bad;
  if (common.size() < 32 || audit::commit(format::kCommitDetails, common) != leaf.details) return bad;
  if (parsed->tags.size() != std::size_t{parts} * 32) return bad;

  OpenedDetails out;
  CborReader c(common.subspan(32));
  if (c.array() != 7) c.fail();
  const ByteView actor = c.bytes();
  const ByteView fields = c.bytes();
  const ByteView subjects = c.bytes();
  out.recipient = std::string(c.text());
  out.recipient_class = std::string(c.text());
  out.text = std::string(c.text());
  if (c.map() != 0)
    return Error{ErrorCode::kUnsupported,
                 "entry " + std::to_string(entry) + ": its details hold what a later version wrote"};
  if (!c.finish() || actor.size() < 32 || fields.size() < 32 || subjects.size() < 32) return bad;
  if (audit::commit(format::kCommitActor, actor) != leaf.actor ||
      audit::commit(format::kCommitFields, fields) != leaf.fields ||
      audit::commit(format::kCommitSubjects, subjects) != leaf.subjects) {
    return bad;
  }
  CborReader a(actor.subspan(32));
  if (a.array() != 2) a.fail();
  out.actor = a.narrow<PrincipalNumber>();
  out.actor_name = std::string(a.text());
  CborReader f(fields.subspan(32));
  if (f.array() != 2) f.fail();
  out.type = f.narrow<std::uint16_t>();
  const std::size_t count = f.array();
  for (std::size_t i = 0; i < count && f.ok(); ++i) out.fields.push_back(f.narrow<std::uint16_t>());
  if (!a.finish() || !f.finish()) return bad;
  // The commitment to the subjects covers the rows and the tags that stand outside the seal.
  base::Reader s(subjects.subspan(32));
  base::Reader tags(parsed->tags);
  for (int i = 0; i < parts; ++i) {
    out.rows.push_back(s.u64());
    if (!crypto::equal(s.take(32), tags.take(32))) return bad;
    (void)s.take(32);
  }
  if (!s.ok()) return bad;
  const auto bulk = decode_rows(s.rest(), leaf.count);
  if (!bulk) return bad;
  out.rows.insert(out.rows.end(), bulk->begin(), bulk->end());
  return out;
}

}  // namespace casevault::vault
