// SPDX-License-Identifier: Apache-2.0
#include "vault/journal.hpp"

#include "base/cursor.hpp"
#include "crypto/envelope.hpp"
#include "crypto/hash.hpp"
#include "format/cbor.hpp"

#include <algorithm>
#include <utility>

namespace casevault::vault {
namespace {

using crypto::key_of;
using format::CborReader;
using format::CborWriter;

constexpr std::uint8_t kEntryFrame = 1;
constexpr std::uint8_t kCloseFrame = 2;
constexpr log::Position kNowhere{UINT32_MAX, UINT32_MAX};
constexpr std::size_t kAuthorityStep = 256;
constexpr std::size_t kMaxEntryBytes = std::size_t{1} << 23U;
constexpr std::size_t kLeafStep = 128;  // leaves are padded, so that the length of a code does not show

Error corrupt(log::Position at, std::string_view what) {
  return {ErrorCode::kIntegrity, "log segment " + std::to_string(at.segment) + " offset " + std::to_string(at.offset) +
                                     ": " + std::string(what)};
}

void write_position(base::Writer& w, log::Position p) { w.u32(p.segment).u32(p.offset); }
log::Position read_position(base::Reader& r) {
  log::Position p;
  p.segment = r.u32();
  p.offset = r.u32();
  return p;
}

/// u16 length ‖ bytes ‖ zeros up to a multiple of `step`.
Bytes padded(ByteView bytes, std::size_t step) {
  Bytes out;
  base::Writer(out).u16(static_cast<std::uint16_t>(bytes.size())).bytes(bytes);
  out.resize((out.size() + step - 1) / step * step);
  return out;
}

Result<SecretBytes> unpadded(const SecretBytes& padded_bytes) {
  base::Reader r(padded_bytes.view());
  const ByteView bytes = r.take(r.u16());
  if (!r.ok() || std::ranges::any_of(r.rest(), [](std::uint8_t b) { return b != 0; })) {
    return Error{ErrorCode::kIntegrity, "a log entry is malformed"};
  }
  return SecretBytes::copy(bytes);
}

struct SegmentHeader {
  std::uint64_t size = 0;
  keys::VaultTag tag{};
  log::Position vault_keys;
  std::uint32_t vault_key_epoch = 0;
  std::vector<audit::Digest> hashes;
  ByteView sealed_state;
};

Result<SegmentHeader> parse_header(ByteView bytes) {
  base::Reader r(bytes);
  SegmentHeader h;
  h.size = r.u64();
  h.tag = r.fixed<16>();
  h.vault_keys = read_position(r);
  h.vault_key_epoch = r.u32();
  const std::uint8_t hashes = r.u8();
  for (int i = 0; i < hashes && r.ok(); ++i) h.hashes.push_back(r.fixed<32>());
  h.sealed_state = r.block();
  if (!r.finish()) return Error{ErrorCode::kIntegrity, "the header of a log segment is malformed"};
  return h;
}

Bytes header_context(const keys::VaultTag& tag, std::uint64_t size, std::uint32_t epoch) {
  Bytes out;
  base::Writer(out).bytes(tag).u64(size).u32(epoch);
  return out;
}

/// What stands in clear beside a sealed state is bound by its seal: where the vault keys are, and the root of the tree
/// so far.
Bytes state_context(const keys::VaultTag& tag, std::uint64_t size, std::uint32_t epoch, log::Position vault_keys,
                    const audit::Digest& root) {
  Bytes out = header_context(tag, size, epoch);
  base::Writer w(out);
  write_position(w, vault_keys);
  w.bytes(root);
  return out;
}

std::optional<EntryFrame> parse_entry(const log::FrameView& frame) {
  base::Reader r(frame.body);
  if (r.u8() != kEntryFrame) return std::nullopt;
  EntryFrame e;
  e.position = frame.position;
  e.leaf_hash = r.fixed<32>();
  e.vault_key_epoch = r.u32();
  e.leaf = r.block();
  e.vault_keys = r.block();
  e.authority = r.block();
  e.write = r.block();
  e.details = r.block();
  if (!r.finish()) return std::nullopt;
  return e;
}

struct ParsedClose {
  CloseFrame close;
};

std::optional<ParsedClose> parse_close(const log::FrameView& frame) {
  base::Reader r(frame.body);
  if (r.u8() != kCloseFrame) return std::nullopt;
  ParsedClose c;
  c.close.vault_key_epoch = r.u32();
  c.close.vault_keys = read_position(r);
  c.close.size_before = r.u64();
  c.close.sealed = r.block();
  if (!r.finish()) return std::nullopt;
  return c;
}

void decode_state(CborReader& r, Journal::State& state) {
  if (r.array() != 7) r.fail();
  const std::uint64_t authority = r.uint();
  const auto segment = r.narrow<std::uint32_t>();
  const auto offset = r.narrow<std::uint32_t>();
  AuthorityLink link{authority - 1, r.fixed<32>(), {segment, offset}};
  state.last_authority.reset();
  if (authority > 0) {
    state.last_authority = link;
  } else if (link != AuthorityLink{UINT64_MAX, {}, {}}) {
    r.fail();
  }
  state.last_mutation = r.uint();
  state.database_floor = r.uint();
  if (state.database_floor > state.last_mutation) r.fail();
  state.last_time_ms = r.integer();
}

std::optional<BatchClose> decode_close(ByteView opened, const CloseFrame& frame) {
  CborReader r(opened);
  BatchClose out;
  if (r.array() != 6) r.fail();
  out.actor = r.narrow<PrincipalNumber>();
  out.size_before = r.uint();
  out.root_before = r.fixed<32>();
  out.count = r.uint();
  out.signature = r.fixed<64>();
  decode_state(r, out.state);
  out.state.vault_keys = frame.vault_keys;
  out.state.vault_key_epoch = frame.vault_key_epoch;
  return r.finish() ? std::optional(std::move(out)) : std::nullopt;
}

}  // namespace

/// The leaf commits to the authority payload and to the vault key grants that stand beside it in clear.
audit::Commitment Journal::authority_commitment(ByteView payload, ByteView vault_keys) {
  SecretBytes opening(payload.size() + 32);
  std::ranges::copy(payload, opening.mutable_view().begin());
  const crypto::Hash grants = crypto::sha256({vault_keys});
  std::ranges::copy(grants, opening.mutable_view().subspan(payload.size()).begin());
  return audit::commit(format::kCommitAuthority, opening.view());
}

void Journal::begin_new(const keys::VaultTag& tag, const SecretBytes& vault_key, PrincipalNumber actor,
                        const SecretBytes& ed_seed) {
  tag_ = tag;
  vault_keys_[1] = std::make_unique<const SecretBytes>(vault_key.clone());
  unlocked_ = true;
  set_actor(actor, ed_seed);
}

void Journal::set_actor(PrincipalNumber actor, const SecretBytes& ed_seed) {
  actor_ = actor;
  ed_seed_ = ed_seed.clone();
  signer_ = crypto::Signer(key_of(ed_seed_));
}

Journal::State Journal::state() const {
  const std::lock_guard lock(mutex_);
  return acknowledged_;
}

Journal::Newest Journal::newest() const {
  const std::lock_guard lock(mutex_);
  return {acknowledged_.last_authority, acknowledged_.last_mutation, acknowledged_.database_floor};
}

Result<const SecretBytes*> Journal::vault_key(std::uint32_t epoch) const {
  const std::lock_guard lock(keys_mutex_);
  const auto known = vault_keys_.find(epoch);
  if (known != vault_keys_.end()) return known->second.get();
  return Error{ErrorCode::kUnsupported, "vault key epoch " + std::to_string(epoch) + " is unknown here"};
}

std::uint32_t Journal::vault_key_epoch() const {
  const std::lock_guard lock(mutex_);
  return acknowledged_.vault_key_epoch;
}

const SecretBytes& Journal::vault_key() const { return **vault_key(vault_key_epoch()); }

Result<void> Journal::add_vault_key(std::uint32_t epoch, SecretBytes key) const {
  const std::lock_guard lock(keys_mutex_);
  const auto known = vault_keys_.find(epoch);
  if (known == vault_keys_.end()) {
    vault_keys_[epoch] = std::make_unique<const SecretBytes>(std::move(key));
    return {};
  }
  if (known->second->equals(key.view())) return {};
  return Error{ErrorCode::kIntegrity, "the log names two vault keys of epoch " + std::to_string(epoch)};
}

Bytes Journal::encode_state(const State& state) const {
  Bytes out;
  const AuthorityLink link = state.last_authority.value_or(AuthorityLink{});
  CborWriter(out)
      .array(7)
      .uint(state.last_authority ? link.entry + 1 : 0)
      .uint(link.position.segment)
      .uint(link.position.offset)
      .bytes(link.leaf_hash)
      .uint(state.last_mutation)
      .uint(state.database_floor)
      .integer(state.last_time_ms);
  return out;
}

/// The log tells of failure only (rollback): a batch is durable when the next one begins, or when one of its callers
/// returns.
void Journal::promote() {
  if (!closed_) return;
  acknowledged_ = *std::move(closed_);
  closed_.reset();
}

Bytes Journal::segment_header() {
  const std::lock_guard lock(mutex_);
  promote();
  const State& state = acknowledged_;  // a segment begins before the batch that needs it
  const std::uint64_t size = state.tree.size();
  Bytes out;
  base::Writer w(out);
  w.u64(size).bytes(tag_);
  write_position(w, state.vault_keys);
  w.u32(state.vault_key_epoch).u8(static_cast<std::uint8_t>(state.tree.hashes().size()));
  for (const audit::Digest& hash : state.tree.hashes()) w.bytes(hash);
  w.block(crypto::seal_envelope(format::kLogSegment, key_of(**vault_key(state.vault_key_epoch)),
                                state_context(tag_, size, state.vault_key_epoch, state.vault_keys, state.tree.root()),
                                encode_state(state), *environment_.random));
  return out;
}

Result<Journal::State> Journal::open_segment_header(ByteView header) const {
  CASEVAULT_TRY(const SegmentHeader h, parse_header(header));
  State state;
  CASEVAULT_TRY(state.tree, audit::CompactRange::restore(h.size, h.hashes));
  state.vault_keys = h.vault_keys;
  state.vault_key_epoch = h.vault_key_epoch;
  CASEVAULT_TRY(const SecretBytes* const key, vault_key(h.vault_key_epoch));
  auto opened = crypto::open_envelope(format::kLogSegment, key_of(*key),
                                      state_context(h.tag, h.size, h.vault_key_epoch, h.vault_keys, state.tree.root()),
                                      h.sealed_state);
  if (!opened) {
    return Error{ErrorCode::kIntegrity, "the head of the log segment from entry " + std::to_string(h.size) +
                                            " on does not open under the vault key: altered"};
  }
  CborReader r(opened->view());
  decode_state(r, state);
  if (!r.finish()) return Error{ErrorCode::kIntegrity, "the head of a log segment is malformed"};
  return state;
}

Result<void> Journal::start(ByteView header) {
  if (!unlocked_) {
    CASEVAULT_TRY(const SegmentHeader h, parse_header(header));
    tag_ = h.tag;
    locked_ = {};
    locked_.header.assign(header.begin(), header.end());
    locked_.size = h.size;
    locked_.vault_keys = h.vault_keys;
    locked_.epoch = h.vault_key_epoch;
    locked_.moves.vault_key_epoch = h.vault_key_epoch;
    return {};
  }
  CASEVAULT_TRY(State state, open_segment_header(header));
  const std::lock_guard lock(mutex_);
  acknowledged_ = state;
  working_ = std::move(state);
  moves_ = {};
  return {};
}

Result<void> Journal::replay(const log::FrameView& frame) { return unlocked_ ? absorb(frame) : keep_locked(frame); }

Result<void> Journal::keep_locked(const log::FrameView& frame) {
  if (auto entry = parse_entry(frame)) {
    entry->entry = locked_.size + locked_.leaves.size();
    locked_.moves.add(*entry);
    locked_.leaves.push_back(entry->leaf_hash);
    return {};
  }
  const auto close = parse_close(frame);
  if (!close) return corrupt(frame.position, "neither an entry nor the end of a batch");
  locked_.last_batch = std::exchange(locked_.batches, locked_.leaves.size());
  if (close->close.size_before != locked_.size + locked_.last_batch)
    return corrupt(frame.position, "a batch does not continue the one before");
  locked_.last_close.assign(frame.body.begin(), frame.body.end());
  locked_.last_close_at = frame.position;
  locked_.vault_keys = close->close.vault_keys;
  locked_.epoch = close->close.vault_key_epoch;
  return {};
}

Result<void> Journal::absorb(const log::FrameView& frame) {
  const std::lock_guard lock(mutex_);
  promote();
  if (auto entry = parse_entry(frame)) {
    entry->entry = working_.tree.size();
    // Own entries since the last batch of others moved the state without being absorbed.
    if (entry->entry == acknowledged_.tree.size()) moves_.vault_key_epoch = acknowledged_.vault_key_epoch;
    if (entry->vault_key_epoch > moves_.vault_key_epoch) CASEVAULT_CHECK(learn_vault_key(*entry));
    moves_.add(*entry);
    working_.tree.append(entry->leaf_hash);
    return {};
  }
  const auto close = parse_close(frame);
  if (!close) return corrupt(frame.position, "neither an entry nor the end of a batch");
  if (close->close.size_before != acknowledged_.tree.size())
    return corrupt(frame.position, "a batch does not continue the one before");
  CASEVAULT_TRY(const SecretBytes* const key, vault_key(close->close.vault_key_epoch));
  const auto opened =
      crypto::open_envelope(format::kLogClose, key_of(*key), close_context(close->close), close->close.sealed);
  if (!opened) return corrupt(frame.position, "the end of a batch does not open under the vault key: altered");
  auto end = decode_close(opened->view(), close->close);
  if (!end || end->size_before != close->close.size_before || end->size_before + end->count != working_.tree.size() ||
      end->root_before != acknowledged_.tree.root() || !follows(acknowledged_, moves_, end->state)) {
    return corrupt(frame.position, "the end of a batch does not fit its entries");
  }
  end->state.tree = std::move(working_.tree);
  working_ = std::move(end->state);
  moves_ = {};
  acknowledged_ = working_;
  return {};
}

void Journal::Moves::add(const EntryFrame& entry) {
  if (!entry.vault_keys.empty()) vault_keys = entry.position;
  if (!entry.authority.empty()) authority = AuthorityLink{entry.entry, entry.leaf_hash, entry.position};
  if (entry.vault_key_epoch != vault_key_epoch) {  // no mutation: it holds at once
    impossible = impossible || entry.vault_key_epoch != vault_key_epoch + 1 || entry.vault_keys.empty() ||
                 entry.authority.empty() || !entry.write.empty();
    vault_key_epoch = entry.vault_key_epoch;
    return;
  }
  if (entry.authority.empty() && entry.write.empty()) return;
  before = std::exchange(newest, entry.entry);
  may_mark = entry.write.empty();
}

/// Leaves are not opened here, so an authority payload may be a mutation or mark the one before it; nothing else moves
/// last_mutation, and nothing lowers the floor.
bool Journal::follows(const State& before, const Moves& moves, const State& said) {
  const std::uint64_t unmarked = moves.newest ? *moves.newest + 1 : before.last_mutation;
  const std::uint64_t marked = moves.before ? *moves.before + 1 : before.last_mutation;
  const bool marks = moves.may_mark && said.last_mutation == said.database_floor && said.last_mutation < marked;
  return (marks || said.last_mutation == unmarked) && said.database_floor >= before.database_floor &&
         said.last_authority == (moves.authority ? moves.authority : before.last_authority) &&
         said.vault_keys == moves.vault_keys.value_or(before.vault_keys) &&
         said.vault_key_epoch == moves.vault_key_epoch && !moves.impossible;
}

namespace {

/// A principal's box among the vault key grants of an entry; empty when it has none there.
Result<ByteView> find_box(const EntryFrame& entry, const keys::GrantLabel& wanted, log::Position& previous) {
  base::Reader r(entry.vault_keys);
  previous = read_position(r);
  const std::uint32_t count = r.u32();
  for (std::uint32_t i = 0; i < count && r.ok(); ++i) {
    const auto label = r.fixed<16>();
    const ByteView box = r.block();
    if (r.ok() && label == wanted) return box;
  }
  if (!r.finish()) return corrupt(entry.position, "the vault key grants are malformed");
  return ByteView();
}

}  // namespace

Result<SecretBytes> Journal::find_vault_key(log::Log& log, std::uint32_t epoch, log::Position at) const {
  const keys::GrantLabel wanted = keys::vault_key_label(tag_, epoch, x_public_);
  if (at == kNowhere) {
    return Error{ErrorCode::kIntegrity,
                 "the log holds no whole genesis entry: it was cut off or damaged; restore it from your copy", 0};
  }
  while (at != kNowhere) {
    CASEVAULT_TRY(const Bytes body, log.read(at));
    const auto entry = parse_entry({at, false, body});
    if (!entry) return corrupt(at, "no entry with vault key grants stands here");
    log::Position previous;
    CASEVAULT_TRY(const ByteView box, find_box(*entry, wanted, previous));
    if (!box.empty()) {
      auto key = keys::open_vault_key(tag_, epoch, x_secret_, x_public_, box);
      if (!key) return corrupt(at, "the vault key grant of this principal does not open: altered");
      return key;
    }
    if (entry->vault_key_epoch < epoch) break;
    if (previous != kNowhere && !(previous < at)) return corrupt(at, "the vault key grants run in a circle");
    at = previous;
  }
  return Error{ErrorCode::kNoGrant,
               epoch == 1 ? "this identity is not a principal of the vault (no vault key was granted to it)"
                          : "no vault key of epoch " + std::to_string(epoch) +
                                " was granted to this identity: it is no principal of the vault, or was revoked"};
}

Result<void> Journal::learn_vault_key(const EntryFrame& entry) {
  const std::uint32_t epoch = entry.vault_key_epoch;
  log::Position previous;
  CASEVAULT_TRY(const ByteView box, find_box(entry, keys::vault_key_label(tag_, epoch, x_public_), previous));
  if (box.empty()) {
    return Error{ErrorCode::kNoGrant, "entry " + std::to_string(entry.entry) +
                                          " changed the vault key, and this identity was not given the "
                                          "new one: it was revoked, or its keys were replaced"};
  }
  auto key = keys::open_vault_key(tag_, epoch, x_secret_, x_public_, box);
  if (!key) return corrupt(entry.position, "the vault key grant of this principal does not open: altered");
  set_vault_key(epoch, *std::move(key));
  return {};
}

/// Of an epoch that is not acknowledged yet: one of a batch that was never closed is none.
void Journal::set_vault_key(std::uint32_t epoch, SecretBytes key) {
  const std::lock_guard lock(keys_mutex_);
  vault_keys_[epoch] = std::make_unique<const SecretBytes>(std::move(key));
}

Result<void> Journal::unlock(log::Log& log, const SecretBytes& x_secret, const crypto::PublicKey& x_public) {
  x_secret_ = x_secret.clone();
  x_public_ = x_public;
  CASEVAULT_TRY(SecretBytes newest, find_vault_key(log, locked_.epoch, locked_.vault_keys));
  CASEVAULT_CHECK(add_vault_key(locked_.epoch, std::move(newest)));
  const Locked locked = std::exchange(locked_, {});
  unlocked_ = true;
  if (locked.moves.impossible) return corrupt(locked.last_close_at, "entries under impossible vault key epochs");
  // The segment began under an older key: the newest authority entry leads to it.
  CASEVAULT_TRY(const SegmentHeader head, parse_header(locked.header));
  if (head.vault_key_epoch != locked.epoch) {
    const auto close = parse_close({locked.last_close_at, true, locked.last_close});
    if (!close) return corrupt(locked.last_close_at, "not the end of a batch");
    CASEVAULT_TRY(const BatchClose end, open_close(close->close));
    CASEVAULT_CHECK(authority_chain(log, end.state.last_authority));
  }
  CASEVAULT_CHECK(start(locked.header));
  if (locked.last_close.empty()) return {};
  for (std::size_t i = 0; i < locked.leaves.size(); ++i) {
    if (i == locked.last_batch) acknowledged_ = working_;
    working_.tree.append(locked.leaves[i]);
  }
  moves_ = locked.moves;  // of the whole segment: its head is the state before
  return absorb({locked.last_close_at, true, locked.last_close});
}

Bytes Journal::close_context(const CloseFrame& frame) const {
  Bytes out = header_context(tag_, frame.size_before, frame.vault_key_epoch);
  base::Writer w(out);
  write_position(w, frame.vault_keys);
  return out;
}

Bytes Journal::entry_context(std::uint64_t entry, std::uint32_t vault_key_epoch) const {
  return header_context(tag_, entry, vault_key_epoch);
}

void Journal::database_at(std::uint64_t applied) {
  const std::lock_guard lock(mutex_);
  known_applied_ = std::max(known_applied_, applied);
}

Result<EntryPlace> Journal::append(log::Log& log, EntryDraft draft, const Guard& guard) {
  EntryPlace place;
  base::Random& random = *environment_.random;
  CASEVAULT_CHECK(log.append([&](log::FrameSink& sink) -> Result<void> {
    std::uint64_t known_applied = 0;
    {
      const std::lock_guard lock(mutex_);
      if (batch_.empty()) promote();
      known_applied = known_applied_;
    }
    if (guard) CASEVAULT_CHECK(guard(working_));
    // Everything is prepared on a copy: a failure or an exception leaves the state as it was, and others of the batch
    // go on.
    State next = working_;
    if (draft.vault_key) {
      const auto* op = draft.authority.empty() ? nullptr : std::get_if<OpVaultKey>(&draft.authority.front());
      if (op == nullptr || op->epoch != ++next.vault_key_epoch || draft.mutation)
        return Error{ErrorCode::kInternal, "a new vault key whose entry does not begin with it"};
    }
    const std::uint64_t entry = working_.tree.size();
    const Bytes context = entry_context(entry, next.vault_key_epoch);
    const log::Position position = sink.next();
    const SecretBytes* key = draft.vault_key ? &*draft.vault_key : nullptr;
    if (key == nullptr) {
      CASEVAULT_TRY(key, vault_key(next.vault_key_epoch));
    }
    const auto seal = [&](const format::Label& label, ByteView plaintext) {
      return crypto::seal_envelope(label, key_of(*key), context, plaintext, random);
    };

    Bytes details;
    if (draft.details) {
      CASEVAULT_TRY(details, draft.details(entry));
    }
    if (known_applied <= next.last_mutation) next.database_floor = std::max(next.database_floor, known_applied);
    Bytes vault_keys;
    if (!draft.vault_key_grants.empty()) {
      base::Writer w(vault_keys);
      write_position(w, next.vault_keys);
      w.u32(static_cast<std::uint32_t>(draft.vault_key_grants.size()));
      for (const auto& [label, box] : draft.vault_key_grants) w.bytes(label).block(box);
      next.vault_keys = position;
    }
    Bytes authority;
    if (!draft.authority.empty()) {
      AuthorityPayload payload{actor_, next.last_authority, std::move(draft.authority)};
      const SecretBytes encoded = encode_authority(tag_, payload, key_of(ed_seed_), random);
      draft.leaf.authority = authority_commitment(encoded.view(), vault_keys);
      SecretBytes room((4 + encoded.size() + kAuthorityStep - 1) / kAuthorityStep * kAuthorityStep);
      for (std::size_t i = 0; i < 4; ++i)
        room.mutable_view()[i] = static_cast<std::uint8_t>(encoded.size() >> (24 - 8 * i));
      std::ranges::copy(encoded.view(), room.mutable_view().begin() + 4);
      authority = seal(format::kAuthority, room.view());
      for (const AuthorityOp& op : payload.ops) {
        if (std::holds_alternative<OpNotApplied>(op)) next.last_mutation = next.database_floor;
      }
    }
    Bytes write;
    if (draft.write) {
      Bytes opening(32);
      random.fill(opening);
      CborWriter(opening)
          .array(6)
          .uint(draft.write->first_row)
          .uint(draft.write->rows)
          .uint(draft.write->version)
          .bytes(draft.write->stamp)
          .boolean(draft.write->range)
          .uint(draft.write->import_id);
      draft.leaf.write = audit::commit(format::kCommitWrite, opening);
      write = seal(format::kLogWrite, padded(opening, 32));
    }
    // Not before the time that the entry was judged by.
    draft.leaf.time_ms = std::max(draft.leaf.time_ms, environment_.clock->now_ms());
    next.last_time_ms = draft.leaf.time_ms;
    const Bytes leaf = audit::encode_leaf(draft.leaf);
    place = {entry, position, audit::leaf_hash(leaf)};

    Bytes body;
    base::Writer(body)
        .u8(kEntryFrame)
        .bytes(place.leaf_hash)
        .u32(next.vault_key_epoch)
        .block(seal(format::kLogLeaf, padded(leaf, kLeafStep)))
        .block(vault_keys)
        .block(authority)
        .block(write)
        .block(details);
    if (body.size() > kMaxEntryBytes)
      return Error{ErrorCode::kUsage, "this would be a log entry of more than 8 MiB; do it in parts"};
    next.tree.append(place.leaf_hash);
    if (!authority.empty()) next.last_authority = AuthorityLink{entry, place.leaf_hash, position};
    if (draft.mutation) next.last_mutation = entry + 1;
    batch_.reserve(batch_.size() + 1);
    if (draft.vault_key) set_vault_key(next.vault_key_epoch, draft.vault_key->clone());
    sink.append(body);
    batch_.push_back(place.leaf_hash);
    working_ = std::move(next);
    return {};
  }));
  const std::lock_guard lock(mutex_);
  if (place.entry >= acknowledged_.tree.size()) promote();  // else a later batch has promoted this one already
  return place;
}

Bytes Journal::batch_message(const keys::VaultTag& tag, std::uint64_t size_before, const audit::Digest& root_before,
                             std::span<const audit::Digest> leaves) {
  Bytes out;
  base::Writer w(out);
  w.bytes(tag).u64(size_before).bytes(root_before).u64(leaves.size());
  for (const audit::Digest& leaf : leaves) w.bytes(leaf);
  return out;
}

Result<Bytes> Journal::close_batch(log::Position /*position*/) {
  const std::uint64_t size_before = acknowledged_.tree.size();
  const audit::Digest root_before = acknowledged_.tree.root();
  const crypto::Signature signature =
      signer_.sign(format::kLogBatch, batch_message(tag_, size_before, root_before, batch_));
  Bytes closing;
  CborWriter(closing).array(6).uint(actor_).uint(size_before).bytes(root_before).uint(batch_.size()).bytes(signature);
  const Bytes state = encode_state(working_);
  closing.insert(closing.end(), state.begin(), state.end());
  Bytes body;
  base::Writer w(body);
  w.u8(kCloseFrame).u32(working_.vault_key_epoch);
  write_position(w, working_.vault_keys);
  CloseFrame frame;
  frame.size_before = size_before;
  frame.vault_key_epoch = working_.vault_key_epoch;
  frame.vault_keys = working_.vault_keys;
  w.u64(size_before)
      .block(crypto::seal_envelope(format::kLogClose, key_of(**vault_key(working_.vault_key_epoch)),
                                   close_context(frame), closing, *environment_.random));
  batch_.clear();
  const std::lock_guard lock(mutex_);
  closed_ = working_;
  return body;
}

void Journal::rollback() {
  const std::lock_guard lock(mutex_);
  batch_.clear();
  closed_.reset();
  working_ = acknowledged_;
  // A key that only this process knows is none.
  const std::lock_guard keys(keys_mutex_);
  vault_keys_.erase(vault_keys_.upper_bound(acknowledged_.vault_key_epoch), vault_keys_.end());
}

Result<audit::CompactRange> Journal::tree_before_segment(log::Log& log, std::uint64_t from,
                                                         std::uint32_t& segment) const {
  for (segment = log.segment_count() - 1;; --segment) {
    CASEVAULT_TRY(const Bytes bytes, log.read_segment_header(segment));
    CASEVAULT_TRY(State state, open_segment_header(bytes));
    if (state.tree.size() <= from || segment == 0) return std::move(state.tree);
  }
}

std::uint64_t Journal::intact_entries(const std::filesystem::path& folder) {
  std::uint64_t entries = 0;
  std::uint64_t acknowledged = 0;
  (void)log::walk_intact(folder, [&](const log::FrameView& frame) {
    if (frame.body.front() == kEntryFrame) ++entries;
    if (frame.closes_batch) acknowledged = entries;
  });
  return acknowledged;
}

Result<std::vector<Journal::State>> Journal::segment_heads(log::Log& log) const {
  std::vector<State> out;
  for (std::uint32_t segment = 0; segment < log.segment_count(); ++segment) {
    CASEVAULT_TRY(const Bytes bytes, log.read_segment_header(segment));
    CASEVAULT_TRY(State state, open_segment_header(bytes));
    out.push_back(std::move(state));
  }
  return out;
}

Result<void> Journal::scan(log::Log& log, std::uint64_t from, const VisitEntry& on_entry, const VisitClose& on_close,
                           bool whole_segment) const {
  std::uint32_t segment = 0;
  CASEVAULT_TRY(const audit::CompactRange before, tree_before_segment(log, from, segment));
  std::uint64_t next = before.size();
  std::uint64_t batch_start = next;
  return log.scan({segment, 0}, [&](const log::FrameView& frame) -> Result<bool> {
    if (auto entry = parse_entry(frame)) {
      entry->entry = next++;
      if (entry->entry < from && !whole_segment) return true;
      return on_entry(*entry);
    }
    auto close = parse_close(frame);
    if (!close) return corrupt(frame.position, "neither an entry nor the end of a batch");
    if (close->close.size_before != batch_start) {
      return Error{ErrorCode::kIntegrity,
                   "entry " + std::to_string(batch_start) + ": its batch does not continue the one before"};
    }
    close->close.size_after = next;
    batch_start = next;
    return on_close ? on_close(close->close) : Result<bool>(true);
  });
}

Result<SecretBytes> Journal::open_sealed(const format::Label& label, const EntryFrame& frame, ByteView sealed,
                                         std::string_view what) const {
  const auto key = vault_key(frame.vault_key_epoch);
  if (!key)
    return Error{key.error().code, "entry " + std::to_string(frame.entry) + ": " + key.error().message, frame.entry};
  auto opened = crypto::open_envelope(label, key_of(**key), entry_context(frame.entry, frame.vault_key_epoch), sealed);
  if (!opened) {
    return Error{ErrorCode::kIntegrity, "entry " + std::to_string(frame.entry) + ": its " + std::string(what) +
                                            " does not open: altered or moved"};
  }
  return opened;
}

Result<SecretBytes> Journal::open_leaf_bytes(const EntryFrame& frame) const {
  CASEVAULT_TRY(const SecretBytes opened, open_sealed(format::kLogLeaf, frame, frame.leaf, "leaf"));
  CASEVAULT_TRY(SecretBytes leaf, unpadded(opened));
  if (audit::leaf_hash(leaf.view()) != frame.leaf_hash) {
    return Error{ErrorCode::kIntegrity,
                 "entry " + std::to_string(frame.entry) + ": its leaf does not have the hash it stands under"};
  }
  return leaf;
}

Result<audit::Leaf> Journal::open_leaf(const EntryFrame& frame) const {
  CASEVAULT_TRY(const SecretBytes bytes, open_leaf_bytes(frame));
  return audit::decode_leaf(bytes.view());
}

Result<SecretBytes> Journal::open_authority(const EntryFrame& frame) const {
  CASEVAULT_TRY(const SecretBytes opened, open_sealed(format::kAuthority, frame, frame.authority, "authority payload"));
  base::Reader r(opened.view());
  const ByteView payload = r.block();
  if (!r.ok() || std::ranges::any_of(r.rest(), [](std::uint8_t b) { return b != 0; })) {
    return Error{ErrorCode::kIntegrity,
                 "entry " + std::to_string(frame.entry) + ": its authority payload is malformed"};
  }
  return SecretBytes::copy(payload);
}

Result<Journal::OpenedWrite> Journal::open_write(const EntryFrame& frame) const {
  CASEVAULT_TRY(const SecretBytes opened, open_sealed(format::kLogWrite, frame, frame.write, "write payload"));
  OpenedWrite out;
  CASEVAULT_TRY(out.opening, unpadded(opened));
  const Error bad{ErrorCode::kIntegrity, "entry " + std::to_string(frame.entry) + ": its write payload is malformed"};
  if (out.opening.size() < 32) return bad;
  CborReader r(out.opening.view().subspan(32));
  if (r.array() != 6) return bad;
  out.payload.first_row = r.uint();
  out.payload.rows = r.uint();
  out.payload.version = r.narrow<std::uint32_t>();
  out.payload.stamp = r.fixed<16>();
  out.payload.range = r.boolean();
  out.payload.import_id = r.uint();
  constexpr std::uint64_t kMaxRow = std::uint64_t{1} << 32U;  // rows of the key tree
  const WritePayload& p = out.payload;
  if (!r.finish() || p.first_row >= kMaxRow || p.rows > kMaxRow - p.first_row || p.rows == 0 || p.version == 0 ||
      (p.range ? p.version != 1 : p.rows != 1)) {
    return bad;
  }
  return out;
}

Result<BatchClose> Journal::open_close(const CloseFrame& frame) const {
  CASEVAULT_TRY(const SecretBytes* const key, vault_key(frame.vault_key_epoch));
  auto opened = crypto::open_envelope(format::kLogClose, key_of(*key), close_context(frame), frame.sealed);
  const Error bad{ErrorCode::kIntegrity, "the end of the batch of entries " + std::to_string(frame.size_before) +
                                             " to " + std::to_string(frame.size_after) +
                                             " (exclusive) does not open: altered or moved"};
  if (!opened) return bad;
  auto close = decode_close(opened->view(), frame);
  if (!close) return bad;
  return *std::move(close);
}

Result<std::vector<SealedLink>> Journal::authority_chain(log::Log& log) const {
  return authority_chain(log, state().last_authority);
}

Result<std::vector<SealedLink>> Journal::authority_chain(log::Log& log, std::optional<AuthorityLink> link) const {
  std::vector<SealedLink> chain;
  std::uint32_t expected = 0;  // vault key epoch of the link; 0 for the newest
  while (link) {
    const auto refuse = [&](std::string_view why) {
      return Error{ErrorCode::kIntegrity, "authority entry " + std::to_string(link->entry) + ": " + std::string(why)};
    };
    CASEVAULT_TRY(const Bytes body, log.read(link->position));
    auto entry = parse_entry({link->position, false, body});
    if (!entry || entry->leaf_hash != link->leaf_hash) return refuse("is not the one that the next names");
    entry->entry = link->entry;
    CASEVAULT_TRY(const audit::Leaf leaf, open_leaf(*entry));
    CASEVAULT_TRY(SecretBytes payload, open_authority(*entry));
    // Keys of earlier epochs are known through the entry that ended each, and through nothing else.
    if (expected != 0 && entry->vault_key_epoch != expected)
      return refuse("is under another vault key epoch than those after it say");
    if (!leaf.authority || *leaf.authority != authority_commitment(payload.view(), entry->vault_keys)) {
      return refuse("its leaf does not commit to its payload");
    }
    CASEVAULT_TRY(const AuthorityFacts facts, facts_of(payload.view()));
    if (facts.previous && facts.previous->entry >= link->entry)
      return refuse("names a predecessor that comes after it");
    if (facts.vault_key_epoch != 0) {
      if (facts.vault_key_epoch != entry->vault_key_epoch)
        return refuse("begins another vault key epoch than the one it is under");
      CASEVAULT_CHECK(add_vault_key(facts.vault_key_epoch - 1, facts.past_vault_key.clone()));
    }
    expected = facts.vault_key_epoch != 0 ? facts.vault_key_epoch - 1 : entry->vault_key_epoch;
    chain.push_back({*link, std::move(payload), leaf.time_ms});
    link = facts.previous;
  }
  if (expected > 1)
    return Error{ErrorCode::kIntegrity, "the authority of the log does not say how its vault keys began"};
  std::ranges::reverse(chain);
  return chain;
}

}  // namespace casevault::vault
