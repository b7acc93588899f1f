// SPDX-License-Identifier: Apache-2.0
#include "vault/verify.hpp"

#include "audit/note.hpp"
#include "base/cursor.hpp"
#include "vault/import.hpp"
#include "vault/row_key.hpp"

#include <algorithm>
#include <set>

namespace casevault::vault {

bool WriteHistory::apply(const WritePayload& write) {
  if (!write.range) {
    singles_[write.first_row] = {write.version, write.stamp};
    return true;
  }
  const auto begins_inside = [&](const auto& entries) {
    const auto next = entries.lower_bound(write.first_row);
    return next != entries.end() && next->first - write.first_row < write.rows;
  };
  if (range_of(write.first_row) != nullptr || begins_inside(ranges_) || begins_inside(singles_)) return false;
  ranges_[write.first_row] = write;
  return true;
}

const WritePayload* WriteHistory::range_of(std::uint64_t row) const {
  const auto after = ranges_.upper_bound(row);
  if (after == ranges_.begin()) return nullptr;
  const WritePayload& range = std::prev(after)->second;
  return row - range.first_row < range.rows ? &range : nullptr;
}

std::optional<WriteHistory::Expected> WriteHistory::expected(std::uint64_t row) const {
  if (const auto single = singles_.find(row); single != singles_.end()) return single->second;
  const WritePayload* range = range_of(row);
  return range == nullptr ? std::nullopt : std::optional(Expected{range->version, import_stamp(range->stamp, row)});
}

std::string WriteHistory::judge(std::uint64_t row, const model::Head& head) const {
  const std::optional<Expected> wanted = expected(row);
  if (!wanted) return "no entry of the log wrote it (foreign)";
  if (head.version == wanted->version && head.stamp == wanted->stamp) return {};
  return "is not what the newest entry wrote (version " + std::to_string(head.version) + ", the log says " +
         std::to_string(wanted->version) + "): replayed or altered";
}

std::uint64_t WriteHistory::rows() const {
  std::uint64_t total = 0;
  for (const auto& [first, range] : ranges_) total += range.rows;
  for (const auto& [row, expectation] : singles_) total += range_of(row) == nullptr ? 1 : 0;
  return total;
}

void WriteHistory::each_row(const std::function<bool(std::uint64_t row)>& visit) const {
  for (const auto& [first, range] : ranges_) {
    for (std::uint64_t i = 0; i < range.rows; ++i) {
      if (!visit(first + i)) return;
    }
  }
  for (const auto& [row, expectation] : singles_) {
    if (range_of(row) == nullptr && !visit(row)) return;
  }
}

Result<std::string> judge_absent(const Snapshot& snapshot, std::uint64_t row) {
  CASEVAULT_TRY(const std::optional<ByteView> value, snapshot.txn->get(store::Table::kRows, row_key(row)));
  if (!value) return std::string("the log wrote it, but the database does not hold it (missing)");
  if (snapshot.db.is_staged(row)) {
    return std::string("the log published it, but the state row hides it as part of an unfinished import (hidden)");
  }
  return std::string();
}

namespace {

/// Where a stored state departs from the one that the entries before it give, or nothing. Trees apart.
std::string_view difference(const Journal::State& said, const Journal::State& given) {
  if (said.last_authority != given.last_authority) return "the newest authority entry";
  if (said.last_mutation != given.last_mutation) return "the newest mutation";
  if (said.database_floor != given.database_floor) return "what the database has applied";
  if (said.vault_keys != given.vault_keys || said.vault_key_epoch != given.vault_key_epoch)
    return "the vault key grants";
  if (said.last_time_ms != given.last_time_ms) return "the time of the newest entry";
  return {};
}

class Verifier {
 public:
  /// `end`: the log as far as it is verified; what others append meanwhile is not looked at.
  Verifier(Core& core, Journal::State end, LogCheck& check, const ProgressCallback& progress)
      : core_(core),
        journal_(core.journal()),
        snapshot_(check.snapshot),
        end_(std::move(end)),
        check_(check),
        progress_(progress) {}

  /// Entries and batches, from the first on.
  Result<void> log() {
    const std::uint64_t total = end_.tree.size();
    auto scanned = journal_.scan(
        core_.log(), 0, [&](const EntryFrame& frame) -> Result<bool> { return entry(frame, total); },
        [&](const CloseFrame& close) -> Result<bool> {
          CASEVAULT_TRY(const bool more, batch(close));
          return more && tree_.size() < total;
        });
    if (!scanned) {
      if (scanned.error().code != ErrorCode::kIntegrity && scanned.error().code != ErrorCode::kUnsupported)
        return scanned;
      return fail(tree_.size(), scanned.error().message);
    }
    heads_up_to(UINT32_MAX);
    if (failed()) return {};
    if (tree_.size() != total || tree_.root() != end_.tree.root()) {
      return fail(tree_.size(), "the log holds other entries than its last segment says");
    }
    if (!link_ || link_->entry != snapshot_.authority->newest) {
      return fail(link_ ? std::optional(link_->entry) : std::nullopt,
                  "the newest authority entry is not the one the log ends with");
    }
    if (undone_ != snapshot_.authority->state.not_applied)
      return fail(std::nullopt, "an authority entry undoes a mutation that is settled");
    return {};
  }

  /// Checkpoints that the log must contain, and the states that segments claim to continue: compared with what is
  /// recomputed.
  Result<void> expect(std::string_view caller_anchor, Result<std::vector<Journal::State>> heads) {
    const auto add = [&](const std::string& name, std::string_view note) {
      const auto checkpoint = core_.verify_checkpoint(note);
      if (!checkpoint) {
        (void)fail(std::nullopt, name + " is not a checkpoint of this vault's log: " + checkpoint.error().message);
      } else {
        expected_roots_.emplace(checkpoint->size,
                                std::pair(checkpoint->root, name + " has seen other entries up to here"));
      }
    };
    for (const auto& [name, note] : core_.anchor_notes()) add("anchor " + name, note);
    if (!caller_anchor.empty()) add("the anchor", caller_anchor);
    if (!heads) return fail(std::nullopt, heads.error().message);
    heads_ = *std::move(heads);
    return at_size();
  }
  Result<void> all_expected_seen() {
    if (expected_roots_.empty()) return {};
    return fail(tree_.size(), "the log has " + std::to_string(tree_.size()) + " entries, but an anchor has seen " +
                                  std::to_string(expected_roots_.begin()->first) +
                                  ": entries were cut off or the vault was rolled back");
  }

  [[nodiscard]] bool failed() const { return !check_.reason.empty(); }
  [[nodiscard]] const audit::CompactRange& tree() const { return tree_; }

 private:
  Result<void> at_size() {
    const std::uint64_t size = tree_.size();
    for (auto [at, end] = expected_roots_.equal_range(size); at != end; at = expected_roots_.erase(at)) {
      if (at->second.first != tree_.root()) (void)fail(size == 0 ? 0 : size - 1, at->second.second);
    }
    return {};
  }
  /// The heads of the segments up to this one, held against the batches before them.
  void heads_up_to(std::uint32_t segment) {
    for (; next_head_ < heads_.size() && next_head_ <= segment && !failed(); ++next_head_) {
      const Journal::State& head = heads_[next_head_];
      std::string_view wrong = difference(head, given_);
      if (head.tree.size() != given_.tree.size() || head.tree.root() != given_.tree.root()) wrong = "the entries";
      if (wrong.empty()) continue;
      const std::uint64_t size = given_.tree.size();
      (void)fail(size == 0 ? 0 : size - 1, "the head of log segment " + std::to_string(next_head_) +
                                               " does not say of " + std::string(wrong) +
                                               " what the log says up to here");
    }
  }
  static Error stopped() { return {ErrorCode::kCancelled, "the verification was stopped"}; }
  Result<void> fail(std::optional<std::uint64_t> entry, std::string reason) {
    if (!failed()) {
      check_.entry = entry;
      check_.reason = std::move(reason);
    }
    return {};
  }
  Result<bool> fail_entry(std::uint64_t entry, std::string reason) {
    (void)fail(entry, "entry " + std::to_string(entry) + ": " + std::move(reason));
    return false;
  }

  Result<bool> entry(const EntryFrame& frame, std::uint64_t total) {
    heads_up_to(frame.position.segment);
    if (failed()) return false;
    if (progress_ && frame.entry % 1024 == 0 && !progress_({"log", frame.entry, total})) return stopped();
    CASEVAULT_TRY(const audit::Leaf leaf, journal_.open_leaf(frame));
    if (frame.authority.empty() && !frame.vault_keys.empty())
      return fail_entry(frame.entry, "vault key grants were added to it");
    if (leaf.authority.has_value() != !frame.authority.empty() || leaf.write.has_value() != !frame.write.empty()) {
      return fail_entry(frame.entry, "a payload was added or dropped");
    }
    if (!frame.vault_keys.empty()) {
      base::Reader grants(frame.vault_keys);
      const std::uint32_t segment = grants.u32();
      if (log::Position{segment, grants.u32()} != vault_keys_)
        return fail_entry(frame.entry, "its vault key grants pass over those before it");
      vault_keys_ = frame.position;
    }
    std::optional<std::uint64_t> marked;
    bool begins_epoch = false;  // a new vault key: no mutation, it holds at once
    if (!frame.authority.empty()) {
      CASEVAULT_TRY(const SecretBytes payload, journal_.open_authority(frame));
      if (Journal::authority_commitment(payload.view(), frame.vault_keys) != *leaf.authority)
        return fail_entry(frame.entry, "its authority payload is not the one its leaf commits to");
      CASEVAULT_TRY(const AuthorityFacts facts, facts_of(payload.view()));
      const std::optional<AuthorityLink>& previous = facts.previous;
      if (previous.has_value() != link_.has_value() ||
          (previous && (previous->entry != link_->entry || previous->leaf_hash != link_->leaf_hash))) {
        return fail_entry(frame.entry, "its authority payload passes over the one before it");
      }
      marked = facts.not_applied;
      begins_epoch = facts.vault_key_epoch != 0;
      if (begins_epoch && (facts.vault_key_epoch != vault_key_epoch_ + 1 || frame.vault_keys.empty()))
        return fail_entry(frame.entry, "it begins a vault key epoch out of order, or hands it to nobody");
      if (begins_epoch) vault_key_epoch_ = facts.vault_key_epoch;
      if (begins_epoch && granted_labels(frame) != expected_labels(frame.entry))
        return fail_entry(frame.entry, "the vault key that it begins does not go to exactly those who are in");
      authors_.emplace_back(frame.entry, facts.actor);
      link_ = AuthorityLink{frame.entry, frame.leaf_hash, frame.position};
    }
    if (frame.vault_key_epoch != vault_key_epoch_)
      return fail_entry(frame.entry, "it is under another vault key epoch than its place in the log says");
    if (begins_epoch && !frame.write.empty()) return fail_entry(frame.entry, "it begins a vault key epoch and writes");
    if (marked.has_value() != (leaf.action == audit::Action::kNotApplied) || (marked && !frame.write.empty()))
      return fail_entry(frame.entry, "what it undoes does not stand alone under the action for it");
    if (marked) {
      // Undoing anything but the newest mutation would hide one that took effect.
      if (newest_marked_ || waiting_.empty() || *waiting_.rbegin() != *marked + 1)
        return fail_entry(frame.entry, "it undoes a mutation that is settled");
      undone_.insert(*marked);
      waiting_.erase(*marked + 1);
      newest_marked_ = true;
    } else if (!begins_epoch && (!frame.write.empty() || !frame.authority.empty())) {
      if (last_mutation() > snapshot_.db.applied) {
        return fail_entry(
            last_mutation() - 1,
            "another mutation follows it, but the database does not hold it: the database was rolled back");
      }
      waiting_.insert(frame.entry + 1);
      newest_marked_ = false;
    }
    const bool applied =
        frame.entry < snapshot_.db.applied && !snapshot_.authority->state.not_applied.contains(frame.entry);
    if (!frame.write.empty()) {
      CASEVAULT_TRY(const Journal::OpenedWrite write, journal_.open_write(frame));
      if (audit::commit(format::kCommitWrite, write.opening.view()) != *leaf.write)
        return fail_entry(frame.entry, "its write payload is not the one its leaf commits to");
      if (applied && !check_.history.apply(write.payload))
        return fail_entry(frame.entry, "it imports over rows that entries before it have written");
    }
    CASEVAULT_CHECK(details(frame, leaf));
    if (failed()) return false;
    if (leaf.time_ms < last_time_) {
      check_.clock_steps.push_back(frame.entry);
    }
    last_time_ = leaf.time_ms;
    tree_.append(frame.leaf_hash);
    batch_.push_back(frame.leaf_hash);
    CASEVAULT_CHECK(at_size());
    return !failed();
  }

  /// Who is given the vault key that an entry begins, and who should be: all who are in after it, by the keys they have
  /// then. What is in a box shows only to its principal.
  static std::multiset<keys::GrantLabel> granted_labels(const EntryFrame& frame) {
    base::Reader r(frame.vault_keys);
    (void)r.u64();  // the position before
    std::multiset<keys::GrantLabel> labels;
    for (std::uint32_t left = r.u32(); left > 0 && r.ok(); --left) {
      labels.insert(r.fixed<16>());
      (void)r.block();
    }
    return labels;
  }
  std::multiset<keys::GrantLabel> expected_labels(std::uint64_t entry) const {
    std::multiset<keys::GrantLabel> labels;
    for (const auto& [number, principal] : snapshot_.authority->state.principals) {
      if (principal.entry < entry && (!principal.revoked || *principal.revoked > entry))
        labels.insert(keys::vault_key_label(core_.tag(), vault_key_epoch_, principal.keys_after(entry).x_public));
    }
    return labels;
  }

  /// Details open only for holders of the audit compartment; others see that they are there, and that is said.
  Result<void> details(const EntryFrame& frame, const audit::Leaf& leaf) {
    const auto epoch = details_epoch(frame.details);
    if (!epoch) return fail(frame.entry, "entry " + std::to_string(frame.entry) + ": its details are malformed");
    const keys::EpochName name{kAuditCompartment, *epoch};
    if (!snapshot_.authority->state.epochs.contains(name)) {
      return fail(frame.entry,
                  "entry " + std::to_string(frame.entry) + ": its details name an epoch that the log never opened");
    }
    if (!core_.may_open(*snapshot_.authority, name)) {
      check_.details_unchecked = true;
      return {};
    }
    if (!opener_ || opener_epoch_ != *epoch) {
      CASEVAULT_TRY(const auto key, core_.epoch_key(*snapshot_.txn, snapshot_.db, *snapshot_.authority, name));
      opener_.emplace(core_.tag(), name, keys::deposit_secret(core_.tag(), name, *key));
      opener_epoch_ = *epoch;
    }
    auto opened = opener_->open(frame.entry, leaf, frame.details);
    if (!opened) return fail(frame.entry, opened.error().message);
    named_.push_back({frame.entry, opened->actor, opened->actor_name});
    return {};
  }

  Result<bool> batch(const CloseFrame& close) {
    CASEVAULT_TRY(const BatchClose opened, journal_.open_close(close));
    const std::uint64_t first = given_.tree.size();
    if (opened.size_before != first || opened.root_before != given_.tree.root() || opened.count != batch_.size() ||
        batch_.empty()) {
      return fail_entry(first, "its batch was signed over another log");
    }
    const auto actor = snapshot_.authority->state.principals.find(opened.actor);
    if (actor == snapshot_.authority->state.principals.end())
      return fail_entry(first, "its batch is signed by an unknown principal");
    if (first > 0 ? actor->second.entry >= first : actor->second.entry != 0)
      return fail_entry(first, "its batch is signed by a principal who was certified later");
    if (actor->second.revoked && first > *actor->second.revoked)
      return fail_entry(first, "its batch is signed by a principal who was revoked before");
    if (!crypto::verify(format::kLogBatch, actor->second.signer_at(first),
                        Journal::batch_message(core_.tag(), first, opened.root_before, batch_), opened.signature)) {
      return fail_entry(first, "the signature of its batch does not verify");
    }
    for (const auto& [entry, author] : authors_) {
      if (author != opened.actor) return fail_entry(entry, "its authority payload is not by who signed its batch");
    }
    authors_.clear();
    for (const Named& named : named_) {
      if (named.number != opened.actor || named.name != actor->second.who.name) {
        return fail_entry(named.entry, "its details name another actor than the one who signed it");
      }
    }
    named_.clear();
    batch_.clear();
    return state(opened.state);
  }

  /// Entry + 1 of the newest mutation that is not marked.
  [[nodiscard]] std::uint64_t last_mutation() const {
    return waiting_.empty() ? given_.database_floor : *waiting_.rbegin();
  }

  /// The state that ends a batch. Only the floor is its signer's to say, within bounds: a mutation that the database
  /// may hold, never an earlier one than before, and the newest as soon as one after it is marked.
  Result<bool> state(const Journal::State& said) {
    const std::uint64_t last_entry = tree_.size() - 1;
    if (said.database_floor != given_.database_floor) {
      const auto floor = waiting_.find(said.database_floor);
      if (floor == waiting_.end())
        return fail_entry(last_entry, "after it the log says that the database holds what it cannot hold");
      waiting_.erase(waiting_.begin(), std::next(floor));
      given_.database_floor = said.database_floor;
    }
    if (newest_marked_ && !waiting_.empty())
      return fail_entry(last_entry, "after it the log does not say what the database holds instead of what is undone");
    given_.tree = tree_;
    given_.last_authority = link_;
    given_.last_mutation = last_mutation();
    given_.vault_keys = vault_keys_;
    given_.vault_key_epoch = vault_key_epoch_;
    given_.last_time_ms = last_time_;
    if (const std::string_view wrong = difference(said, given_); !wrong.empty())
      return fail_entry(last_entry, "after it the log does not say of " + std::string(wrong) + " what its entries say");
    return true;
  }

  Core& core_;
  Journal& journal_;
  const Snapshot& snapshot_;
  Journal::State end_;
  LogCheck& check_;
  const ProgressCallback& progress_;
  audit::CompactRange tree_;
  Journal::State given_;  ///< what the whole batches so far give
  std::vector<Journal::State> heads_;
  std::size_t next_head_ = 0;
  std::vector<audit::Digest> batch_;
  std::multimap<std::uint64_t, std::pair<audit::Digest, std::string>> expected_roots_;  ///< by size
  std::set<std::uint64_t> waiting_;  ///< entry + 1 of each mutation above the floor that is not marked
  bool newest_marked_ = false;
  log::Position vault_keys_ = given_.vault_keys;  ///< newest vault key grants
  std::uint32_t vault_key_epoch_ = 1;
  std::set<std::uint64_t> undone_;
  std::optional<AuthorityLink> link_;  ///< newest authority entry seen
  struct Named {
    std::uint64_t entry = 0;
    PrincipalNumber number = 0;
    std::string name;
  };
  std::vector<Named> named_;                                        ///< whom the details of the batch name as actor
  std::vector<std::pair<std::uint64_t, PrincipalNumber>> authors_;  ///< of the batch's authority payloads, by entry
  std::int64_t last_time_ = INT64_MIN;
  std::optional<DetailsOpener> opener_;
  std::uint32_t opener_epoch_ = 0;
};

/// Every head of the database against the write entries; what is wrong with the first that differs, or nothing.
Result<std::string> check_heads(Core& core, const LogCheck& check, const ProgressCallback& progress) {
  const Snapshot& snapshot = check.snapshot;
  std::uint64_t found = 0;
  std::string wrong;
  auto scanned = core.scan_rows(*snapshot.txn, snapshot.db, 0,
                                [&](std::uint64_t row, const model::OpenedRow& opened) -> Result<bool> {
                                  wrong = check.history.judge(row, opened.head);
                                  if (!wrong.empty()) {
                                    wrong = "record " + core.id_of(row).to_string() + ": " + wrong;
                                    return false;
                                  }
                                  ++found;
                                  if (progress && found % 1024 == 0 && !progress({"records", found, 0})) {
                                    return Error{ErrorCode::kCancelled, "the verification was stopped"};
                                  }
                                  return true;
                                });
  if (!scanned) {
    if (scanned.error().code != ErrorCode::kIntegrity && scanned.error().code != ErrorCode::kUnsupported)
      return std::move(scanned).error();
    return std::move(scanned).error().message;
  }
  if (!wrong.empty() || found == check.history.rows()) return wrong;
  std::optional<Error> broken;
  check.history.each_row([&](std::uint64_t row) {
    auto absent = judge_absent(snapshot, row);
    if (!absent) {
      broken = std::move(absent).error();
    } else if (!absent->empty()) {
      wrong = "record " + core.id_of(row).to_string() + ": " + *absent;
    }
    return wrong.empty() && !broken;
  });
  if (broken) return *std::move(broken);
  return wrong;
}

}  // namespace

Result<LogCheck> check_log(Core& core, std::string_view anchor, const ProgressCallback& progress) {
  LogCheck check;
  CASEVAULT_CHECK(core.log().refresh());
  CASEVAULT_TRY(check.snapshot, core.snapshot());
  auto heads = core.journal().segment_heads(core.log());  // before the state: it knows all entries that they continue
  Journal::State end = core.journal().state();
  // Others write on: principals of the entries that are looked at must be known to the snapshot.
  const auto together = [&] {
    const Snapshot& snapshot = check.snapshot;
    return end.last_authority && end.last_authority->entry == snapshot.authority->newest &&
           (snapshot.db.applied == end.last_mutation || snapshot.db.applied == end.database_floor);
  };
  for (int attempt = 0; attempt < 64 && !together(); ++attempt) {
    check.snapshot.txn.reset();
    CASEVAULT_CHECK(core.log().refresh());
    CASEVAULT_TRY(check.snapshot, core.snapshot());
    end = core.journal().state();
  }
  if (end.last_mutation > check.snapshot.db.applied) check.pending = end.last_mutation - 1;
  check.torn = core.log().torn_bytes() > 0;
  Verifier verifier(core, std::move(end), check, progress);
  CASEVAULT_CHECK(verifier.expect(anchor, std::move(heads)));
  if (!verifier.failed()) CASEVAULT_CHECK(verifier.log());
  if (!verifier.failed()) CASEVAULT_CHECK(verifier.all_expected_seen());
  check.size = verifier.tree().size();
  check.root = verifier.tree().root();
  return check;
}

Result<VerifyReport> verify_log(Core& core, std::string_view anchor, const ProgressCallback& progress) {
  CASEVAULT_TRY(LogCheck check, check_log(core, anchor, progress));
  VerifyReport report;
  report.warnings = core.open_warnings();
  if (check.pending) {
    report.warnings.push_back("entry " + std::to_string(*check.pending) +
                              " is pending: its transaction has not committed; the next writer settles it");
  }
  if (check.torn) {
    report.warnings.emplace_back(
        "a batch that was never acknowledged stands at the end of the log; the next writer cuts it");
  }
  for (const std::uint64_t entry : check.clock_steps) {
    report.warnings.push_back("entry " + std::to_string(entry) + ": its time is before that of entry " +
                              std::to_string(entry - 1) + " (a clock was set back)");
  }
  if (check.details_unchecked) {
    report.warnings.emplace_back(
        "the details of entries were not checked: this principal does not hold the audit compartment");
  }
  if (check.reason.empty()) {
    CASEVAULT_TRY(check.reason, check_heads(core, check, progress));
  }
  report.size = check.size;
  report.root = check.root;
  report.ok = check.reason.empty();
  report.entry = check.entry;
  report.reason = std::move(check.reason);
  return report;
}

}  // namespace casevault::vault
