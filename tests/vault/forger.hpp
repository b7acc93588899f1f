// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>

#include "base/cursor.hpp"
#include "crypto/envelope.hpp"
#include "crypto/hash.hpp"
#include "format/cbor.hpp"
#include "format/labels.hpp"
#include "lab.hpp"
#include "log_editor.hpp"
#include "vault/details.hpp"

/// The program of a principal with the vault key (which opens the log-signing secret too): it seals whatever it likes;
/// only the signatures of others are out of its reach.
namespace casevault::test {

/// A log of one segment, opened entry by entry and put together again with every hash, seal and number right.
class Rewriter {
 public:
  struct Entry {
    audit::Leaf leaf;
    Bytes vault_keys, authority, write;
    std::function<Bytes(std::uint64_t entry)> details;
    std::uint64_t actor = 0;
    crypto::Signature kept{};
    const Bytes* seed = nullptr;  ///< signs the batch anew with it; null: the signature stays the true one
    bool mend_leaf = true;        ///< the leaf commits to the authority payload as it is now
    std::uint64_t last_mutation = 0, floor = 0;
    std::function<void(vault::Journal::State&)> claim;  ///< what the closing frame says against better knowledge
  };
  using State = vault::Journal::State;

  explicit Rewriter(vault::Core& core) : tag_(core.tag()), vault_key_(core.vault_key().clone()) {
    const vault::Journal& journal = core.journal();
    REQUIRE_DONE(journal.scan(
        core.log(), 0,
        [&](const vault::EntryFrame& frame) -> Result<bool> {
          Entry e;
          e.leaf = REQUIRE_OK(journal.open_leaf(frame));
          e.vault_keys.assign(frame.vault_keys.begin(), frame.vault_keys.end());
          if (!frame.authority.empty()) {
            const SecretBytes payload = REQUIRE_OK(journal.open_authority(frame));
            e.authority.assign(payload.view().begin(), payload.view().end());
          }
          if (!frame.write.empty()) {
            const auto write = REQUIRE_OK(journal.open_write(frame));
            e.write.assign(write.opening.view().begin(), write.opening.view().end());
          }
          e.details = [raw = Bytes(frame.details.begin(), frame.details.end())](std::uint64_t) { return raw; };
          entries.push_back(std::move(e));
          return true;
        },
        [&](const vault::CloseFrame& frame) -> Result<bool> {
          REQUIRE(frame.size_after == frame.size_before + 1);  // the stories below append one by one
          const vault::BatchClose close = REQUIRE_OK(journal.open_close(frame));
          Entry& e = entries.back();
          e.actor = close.actor;
          e.kept = close.signature;
          const SecretBytes opened =
              REQUIRE_OK(crypto::open_envelope(format::kLogClose, crypto::key_of(vault_key_),
                                               close_context(frame.size_before, frame.vault_keys), frame.sealed));
          format::CborReader r(opened.view());
          REQUIRE(r.array() == 6);
          for (int i = 0; i < 5; ++i) r.skip();
          REQUIRE(r.array() == 7);
          for (int i = 0; i < 4; ++i) r.skip();
          e.last_mutation = r.uint();
          e.floor = r.uint();
          (void)r.integer();
          REQUIRE(r.finish());
          return true;
        }));
  }

  /// With `roll`, an empty second segment follows, whose head says what `roll` makes of the state: who opens the vault
  /// reads no batch of the first one then.
  void write(const std::filesystem::path& segment, const std::function<void(State&)>& roll = {}) const {
    LogEditor editor(segment);
    editor.batches.clear();
    State state;
    log::Position at{0, editor.first_frame()};
    for (const Entry& e : entries) {
      const std::uint64_t number = state.tree.size();
      const audit::Digest root = state.tree.root();
      audit::Leaf leaf = e.leaf;
      if (!e.authority.empty() && e.mend_leaf) {
        leaf.authority = vault::Journal::authority_commitment(e.authority, e.vault_keys);
      }
      if (!e.write.empty()) leaf.write = audit::commit(format::kCommitWrite, e.write);
      const Bytes encoded = audit::encode_leaf(leaf);
      const audit::Digest hash = audit::leaf_hash(encoded);
      if (!e.authority.empty()) state.last_authority = vault::AuthorityLink{number, hash, at};
      if (!e.vault_keys.empty()) state.vault_keys = at;
      state.last_mutation = e.last_mutation;
      state.database_floor = e.floor;
      state.last_time_ms = leaf.time_ms;
      state.tree.append(hash);
      Bytes body;
      base::Writer(body)
          .u8(1)
          .bytes(hash)
          .u32(1)
          .block(seal(format::kLogLeaf, number, padded(encoded, 128)))
          .block(e.vault_keys)
          .block(e.authority.empty() ? Bytes{} : seal(format::kAuthority, number, blocked(e.authority)))
          .block(e.write.empty() ? Bytes{} : seal(format::kLogWrite, number, padded(e.write, 32)))
          .block(e.details(number));

      const crypto::Signature signature =
          e.seed == nullptr ? e.kept
                            : crypto::sign(format::kLogBatch, crypto::key_of(SecretBytes::copy(*e.seed)),
                                           vault::Journal::batch_message(tag_, number, root, {&hash, 1}));
      State claimed = state;
      if (e.claim) e.claim(claimed);
      Bytes closing;
      format::CborWriter(closing).array(6).uint(e.actor).uint(number).bytes(root).uint(1).bytes(signature);
      append_state(closing, claimed);
      Bytes end;
      base::Writer(end)
          .u8(2)
          .u32(1)
          .u32(claimed.vault_keys.segment)
          .u32(claimed.vault_keys.offset)
          .u64(number)
          .block(crypto::seal_envelope(format::kLogClose, crypto::key_of(vault_key_),
                                       close_context(number, claimed.vault_keys), closing, random()));
      at.offset += static_cast<std::uint32_t>(body.size() + end.size() + std::size_t{2} * log::kFrameHead);
      editor.batches.push_back({{std::move(body), false}, {std::move(end), true}});
    }
    editor.write();
    if (roll) roll(state), write_head(segment.parent_path(), at.offset, state);
  }

  std::vector<Entry> entries;

 private:
  [[nodiscard]] Bytes close_context(std::uint64_t size, log::Position keys) const {
    Bytes out;
    base::Writer(out).bytes(tag_).u64(size).u32(1).u32(keys.segment).u32(keys.offset);
    return out;
  }
  static void append_state(Bytes& out, const State& state) {
    const vault::AuthorityLink link = state.last_authority.value_or(vault::AuthorityLink{});
    format::CborWriter(out)
        .array(7)
        .uint(state.last_authority ? link.entry + 1 : 0)
        .uint(link.position.segment)
        .uint(link.position.offset)
        .bytes(link.leaf_hash)
        .uint(state.last_mutation)
        .uint(state.database_floor)
        .integer(state.last_time_ms);
  }
  void write_head(const std::filesystem::path& folder, std::uint32_t previous_end, const State& state) const {
    const log::Position keys = state.vault_keys;
    const std::uint64_t size = state.tree.size();
    Bytes context, sealed, head;
    base::Writer(context).bytes(tag_).u64(size).u32(1).u32(keys.segment).u32(keys.offset).bytes(state.tree.root());
    append_state(sealed, state);
    base::Writer w(head);
    w.u64(size).bytes(tag_).u32(keys.segment).u32(keys.offset).u32(1);
    w.u8(static_cast<std::uint8_t>(state.tree.hashes().size()));
    for (const audit::Digest& hash : state.tree.hashes()) w.bytes(hash);
    w.block(crypto::seal_envelope(format::kLogSegment, crypto::key_of(vault_key_), context, sealed, random()));
    REQUIRE_DONE(log::create_segment(folder, 1, previous_end, head, std::uint32_t{1} << 20U, log::system_file_ops()));
  }
  static base::Random& random() { return *base::system_environment().random; }
  [[nodiscard]] Bytes seal(const format::Label& label, std::uint64_t number, ByteView plaintext) const {
    Bytes context;
    base::Writer(context).bytes(tag_).u64(number).u32(1);
    return crypto::seal_envelope(label, crypto::key_of(vault_key_), context, plaintext, random());
  }
  static Bytes padded(ByteView bytes, std::size_t step) {
    Bytes out;
    base::Writer(out).u16(static_cast<std::uint16_t>(bytes.size())).bytes(bytes);
    out.resize((out.size() + step - 1) / step * step);
    return out;
  }
  static Bytes blocked(ByteView bytes) {
    Bytes out;
    base::Writer(out).block(bytes);
    out.resize((out.size() + 255) / 256 * 256);
    return out;
  }

  keys::VaultTag tag_;
  SecretBytes vault_key_;
};

enum class Anchor : std::uint8_t { kNone, kOwners, kNewest };

/// 0 genesis, 1 a record, 2 mallory is certified; 3 mallory looks, 4 the owner looks, 5 and 6 mallory looks again.
struct Story {
  Lab lab;
  Person mallory;
  RecordId hoa;
  std::size_t size = 7;

  Story() {
    {
      Session session = lab.open();
      hoa = add_person(session, "Hoa").id;
      mallory = lab.add(session, "mallory", "officer", {"identity"}, true);
    }
    look(mallory);
    look(lab.owner);
    std::filesystem::copy(lab.state(), lab.folder / "owner-state");
    look(mallory);
    look(mallory);
    lab.save("true");
  }
  void look(const Person& who) const {
    Session session = lab.open(who);
    REQUIRE(name_of(session, hoa) == "Hoa");
  }

  /// What opening and verifying say; nobody's open changes what the next one finds.
  struct Verdict {
    bool ok = false;
    std::optional<std::uint64_t> entry;
    std::string reason;
    std::vector<std::string> warnings;
  };
  [[nodiscard]] Verdict judge(const Person& who, Anchor anchor) const {
    // A copy: a session keeps the newest checkpoint that it saw.
    const TempFolder state;
    if (anchor != Anchor::kNone) {
      const auto from = anchor == Anchor::kOwners ? lab.folder / "owner-state" : lab.state();
      std::filesystem::copy(from, state.path());
    }
    OpenOptions options = lab.options(true);
    options.state_folder = state.path();
    auto session = Session::open(lab.vault(), who.identity(), options);
    if (!session) {
      INFO(session.error().message);
      REQUIRE((session.error().code == ErrorCode::kIntegrity || session.error().code == ErrorCode::kRolledBack));
      return {false, session.error().entry, session.error().message, {}};
    }
    const auto report = session->verify_log();
    if (!report) return {false, report.error().entry, report.error().message, {}};
    return {report->ok, report->entry, report->reason, report->warnings};
  }

  /// What else happened before the attack.
  void go_on(const std::function<void()>& more) {
    more();
    std::filesystem::remove_all(lab.folder / "true");
    lab.save("true");
    size = REQUIRE_OK(lab.read_only().status()).log_size;
  }
  /// The log as it was, with what `edit` does to its entries.
  template <typename Edit>
  void rewrite(const Edit& edit, const std::function<void(Rewriter::State&)>& roll = {}) const {
    lab.restore("true");
    OpenOptions options = lab.options(true);
    options.state_folder = lab.folder / "mallory-state";
    std::unique_ptr<vault::Core> core =
        REQUIRE_OK(vault::Core::open(lab.vault(), mallory.identity(), options, base::system_environment()));
    Rewriter log(*core);
    REQUIRE(log.entries.size() == size);
    edit(log.entries, *core);
    core.reset();
    log.write(lab.segment(), roll);
  }
  /// Whoever really wrote it, mallory signs it now, in this principal's name.
  void sign(Rewriter::Entry& entry, std::uint64_t as) const {
    entry.actor = as;
    entry.seed = &mallory.ed_seed;
  }
};

using Entries = std::vector<Rewriter::Entry>;

/// An entry of this principal's own, with details of its own making.
inline Rewriter::Entry entry_of(vault::Core& core, const Person& who, std::uint32_t number,
                                const Rewriter::Entry& like) {
  const vault::Snapshot snapshot = REQUIRE_OK(core.snapshot());
  const auto& audit_epoch = snapshot.authority->state.epochs.at({vault::kAuditCompartment, 1});
  auto sealer = std::make_shared<vault::DetailsSealer>(REQUIRE_OK(vault::DetailsSealer::make(
      core.tag(), {vault::kAuditCompartment, 1}, audit_epoch.commitments.deposit_public, core.random())));
  vault::DetailsDraft details;
  details.actor = number;
  details.actor_name = who.name;
  Rewriter::Entry entry = like;
  const auto prepared = sealer->prepare(std::move(details), entry.leaf);
  entry.details = [sealer, prepared](std::uint64_t at) { return REQUIRE_OK(prepared(at)); };
  entry.actor = number;
  entry.seed = &who.ed_seed;
  return entry;
}
inline Rewriter::Entry own_entry(const Story& story, vault::Core& core, const Rewriter::Entry& like) {
  return entry_of(core, story.mallory, 2, like);
}

}  // namespace casevault::test
