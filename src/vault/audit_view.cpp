// SPDX-License-Identifier: Apache-2.0
#include "vault/audit_view.hpp"

#include "audit/note.hpp"
#include "vault/import.hpp"
#include "vault/row_key.hpp"

#include <algorithm>
#include <set>

namespace casevault::vault {
namespace {

/// What the log says a row must look like now.
struct Expected {
  std::uint32_t version = 0;
  std::array<std::uint8_t, 16> stamp{};
};

/// The write payloads of applied entries, in order: ranges of imports, then single rows over them.
class WriteHistory {
 public:
  void apply(const WritePayload& write) {
    if (write.range) {
      ranges_[write.first_row] = write;
    } else {
      singles_[write.first_row] = {write.version, write.stamp};
    }
  }
  [[nodiscard]] std::optional<Expected> expected(std::uint64_t row) const {
    if (const auto single = singles_.find(row); single != singles_.end()) return single->second;
    const WritePayload* range = range_of(row);
    return range == nullptr ? std::nullopt : std::optional(Expected{range->version, import_stamp(range->stamp, row)});
  }
  [[nodiscard]] std::uint64_t rows() const {
    std::uint64_t total = 0;
    for (const auto& [first, range] : ranges_) total += range.rows;
    for (const auto& [row, expectation] : singles_) total += range_of(row) == nullptr ? 1 : 0;
    return total;
  }
  /// Visits rows while `visit` returns true.
  template <typename Visit>
  void each_row(const Visit& visit) const {
    for (const auto& [first, range] : ranges_) {
      for (std::uint64_t i = 0; i < range.rows; ++i) {
        if (!visit(first + i)) return;
      }
    }
    for (const auto& [row, expectation] : singles_) {
      if (!visit(row)) return;
    }
  }

 private:
  [[nodiscard]] const WritePayload* range_of(std::uint64_t row) const {
    const auto after = ranges_.upper_bound(row);
    if (after == ranges_.begin()) return nullptr;
    const WritePayload& range = std::prev(after)->second;
    return row - range.first_row < range.rows ? &range : nullptr;
  }
  std::map<std::uint64_t, WritePayload> ranges_;  ///< imports by first row; rows are never given twice
  std::unordered_map<std::uint64_t, Expected> singles_;
};

class Verifier {
 public:
  /// `end`: the log as far as it is verified; what others append meanwhile is not looked at.
  Verifier(Core& core, const Snapshot& snapshot, Journal::State end, VerifyReport& report,
           const ProgressCallback& progress)
      : core_(core),
        journal_(core.journal()),
        snapshot_(snapshot),
        end_(std::move(end)),
        report_(report),
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

  /// Every head against the write entries.
  Result<void> heads() {
    std::uint64_t found = 0;
    auto scanned = core_.scan_rows(
        *snapshot_.txn, snapshot_.db, 0, [&](std::uint64_t row, const model::OpenedRow& opened) -> Result<bool> {
          const std::optional<Expected> expected = history_.expected(row);
          const std::string name = "record " + core_.id_of(row).to_string();
          if (!expected) return fail_row(name + ": no entry of the log wrote it (foreign)");
          if (opened.head.version != expected->version || opened.head.stamp != expected->stamp) {
            return fail_row(name + ": is not what the newest entry wrote (version " +
                            std::to_string(opened.head.version) + ", the log says " +
                            std::to_string(expected->version) + "): replayed or altered");
          }
          ++found;
          if (progress_ && found % 1024 == 0 && !progress_({"records", found, 0})) return stopped();
          return true;
        });
    if (!scanned) {
      if (scanned.error().code != ErrorCode::kIntegrity && scanned.error().code != ErrorCode::kUnsupported)
        return scanned;
      return fail(std::nullopt, scanned.error().message);
    }
    if (failed() || found == history_.rows()) return {};
    std::string missing;
    std::optional<Error> broken;
    history_.each_row([&](std::uint64_t row) {
      auto value = snapshot_.txn->get(store::Table::kRows, row_key(row));
      if (!value) {
        broken = std::move(value).error();
      } else if (!*value) {
        missing = core_.id_of(row).to_string();
      }
      return missing.empty() && !broken;
    });
    if (broken) return *std::move(broken);
    return fail(std::nullopt, "record " + missing + ": the log wrote it, but the database does not hold it (missing)");
  }

  /// Checkpoints that the log must contain, and the trees that segments claim to continue: compared with the recomputed
  /// tree.
  Result<void> expect(std::string_view caller_anchor) {
    const auto add = [&](const std::string& name, std::string_view note) {
      const auto checkpoint = audit::verify_checkpoint(note, core_.log_key());
      if (!checkpoint) {
        (void)fail(std::nullopt, name + " is not a checkpoint of this vault's log: " + checkpoint.error().message);
      } else {
        expected_roots_.emplace(checkpoint->size,
                                std::pair(checkpoint->root, name + " has seen other entries up to here"));
      }
    };
    for (const auto& [name, note] : core_.anchor_notes()) add("anchor " + name, note);
    if (!caller_anchor.empty()) add("the anchor", caller_anchor);
    auto trees = journal_.segment_trees(core_.log());
    if (!trees) return fail(std::nullopt, trees.error().message);
    for (const audit::CompactRange& tree : *trees) {
      expected_roots_.emplace(
          tree.size(),
          std::pair(tree.root(), std::string("the head of a log segment claims other entries up to here")));
    }
    return at_size();
  }
  Result<void> all_expected_seen() {
    if (expected_roots_.empty()) return {};
    return fail(tree_.size(), "the log has " + std::to_string(tree_.size()) + " entries, but an anchor has seen " +
                                  std::to_string(expected_roots_.begin()->first) +
                                  ": entries were cut off or the vault was rolled back");
  }

  [[nodiscard]] bool failed() const { return !report_.reason.empty(); }
  [[nodiscard]] const audit::CompactRange& tree() const { return tree_; }

 private:
  Result<void> at_size() {
    const std::uint64_t size = tree_.size();
    for (auto [at, end] = expected_roots_.equal_range(size); at != end; at = expected_roots_.erase(at)) {
      if (at->second.first != tree_.root()) (void)fail(size == 0 ? 0 : size - 1, at->second.second);
    }
    return {};
  }
  static Error stopped() { return {ErrorCode::kCancelled, "the verification was stopped"}; }
  Result<void> fail(std::optional<std::uint64_t> entry, std::string reason) {
    if (!failed()) {
      report_.entry = entry;
      report_.reason = std::move(reason);
    }
    return {};
  }
  Result<bool> fail_row(std::string reason) {
    (void)fail(std::nullopt, std::move(reason));
    return false;
  }
  Result<bool> fail_entry(std::uint64_t entry, std::string reason) {
    (void)fail(entry, "entry " + std::to_string(entry) + ": " + std::move(reason));
    return false;
  }

  Result<bool> entry(const EntryFrame& frame, std::uint64_t total) {
    if (progress_ && frame.entry % 1024 == 0 && !progress_({"log", frame.entry, total})) return stopped();
    CASEVAULT_TRY(const audit::Leaf leaf, journal_.open_leaf(frame));
    if (frame.authority.empty() && !frame.vault_keys.empty())
      return fail_entry(frame.entry, "vault key grants were added to it");
    if (leaf.authority.has_value() != !frame.authority.empty() || leaf.write.has_value() != !frame.write.empty()) {
      return fail_entry(frame.entry, "a payload was added or dropped");
    }
    if (!frame.authority.empty()) {
      CASEVAULT_TRY(const SecretBytes payload, journal_.open_authority(frame));
      if (Journal::authority_commitment(payload.view(), frame.vault_keys) != *leaf.authority)
        return fail_entry(frame.entry, "its authority payload is not the one its leaf commits to");
      CASEVAULT_TRY(const std::optional<AuthorityLink> previous, previous_of(payload.view()));
      if (previous.has_value() != link_.has_value() ||
          (previous && (previous->entry != link_->entry || previous->leaf_hash != link_->leaf_hash))) {
        return fail_entry(frame.entry, "its authority payload passes over the one before it");
      }
      link_ = AuthorityLink{frame.entry, frame.leaf_hash, frame.position};
    }
    if (leaf.action == audit::Action::kNotApplied) {
      // Undoing anything but the newest mutation would hide one that took effect.
      if (!newest_mutation_ || !snapshot_.authority->state.not_applied.contains(*newest_mutation_)) {
        return fail_entry(frame.entry, "it undoes a mutation that is settled");
      }
      undone_.insert(*newest_mutation_);
      newest_mutation_.reset();
    } else if (!frame.write.empty() || !frame.authority.empty()) {
      if (newest_mutation_ && *newest_mutation_ >= snapshot_.db.applied) {
        return fail_entry(
            *newest_mutation_,
            "another mutation follows it, but the database does not hold it: the database was rolled back");
      }
      newest_mutation_ = frame.entry;
    }
    const bool applied =
        frame.entry < snapshot_.db.applied && !snapshot_.authority->state.not_applied.contains(frame.entry);
    if (!frame.write.empty()) {
      CASEVAULT_TRY(const Journal::OpenedWrite write, journal_.open_write(frame));
      if (audit::commit(format::kCommitWrite, write.opening.view()) != *leaf.write)
        return fail_entry(frame.entry, "its write payload is not the one its leaf commits to");
      if (applied) history_.apply(write.payload);
    }
    CASEVAULT_CHECK(details(frame, leaf));
    if (failed()) return false;
    if (leaf.time_ms < last_time_) {
      report_.warnings.push_back("entry " + std::to_string(frame.entry) + ": its time is before that of entry " +
                                 std::to_string(frame.entry - 1) + " (a clock was set back)");
    }
    last_time_ = leaf.time_ms;
    tree_.append(frame.leaf_hash);
    batch_.push_back(frame.leaf_hash);
    CASEVAULT_CHECK(at_size());
    return !failed();
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
    if (!snapshot_.authority->me().holds(name)) {
      if (!told_)
        report_.warnings.emplace_back(
            "the details of entries were not checked: this principal does not hold the audit compartment");
      told_ = true;
      return {};
    }
    if (!deposit_ || deposit_epoch_ != *epoch) {
      CASEVAULT_TRY(const auto key, core_.epoch_key(*snapshot_.txn, *snapshot_.authority, name));
      deposit_ = keys::deposit_secret(core_.tag(), name, *key);
      deposit_epoch_ = *epoch;
    }
    auto opened = open_details(core_.tag(), frame.entry, leaf, frame.details, name, *deposit_);
    if (!opened) return fail(frame.entry, opened.error().message);
    named_.push_back({frame.entry, opened->actor, opened->actor_name});
    return {};
  }

  Result<bool> batch(const CloseFrame& close) {
    CASEVAULT_TRY(const BatchClose opened, journal_.open_close(close));
    const std::uint64_t first = batch_start_.size();
    if (opened.size_before != first || opened.root_before != batch_start_.root() || opened.count != batch_.size() ||
        batch_.empty()) {
      return fail_entry(first, "its batch was signed over another log");
    }
    const auto actor = snapshot_.authority->state.principals.find(opened.actor);
    if (actor == snapshot_.authority->state.principals.end())
      return fail_entry(first, "its batch is signed by an unknown principal");
    if (!crypto::verify(format::kLogBatch, actor->second.who.ed_public,
                        Journal::batch_message(core_.tag(), first, opened.root_before, batch_), opened.signature)) {
      return fail_entry(first, "the signature of its batch does not verify");
    }
    for (const Named& named : named_) {
      if (named.number != opened.actor || named.name != actor->second.who.name) {
        return fail_entry(named.entry, "its details name another actor than the one who signed it");
      }
    }
    named_.clear();
    batch_.clear();
    batch_start_ = tree_;
    return true;
  }

  Core& core_;
  Journal& journal_;
  const Snapshot& snapshot_;
  Journal::State end_;
  VerifyReport& report_;
  const ProgressCallback& progress_;
  audit::CompactRange tree_;
  audit::CompactRange batch_start_;
  std::vector<audit::Digest> batch_;
  WriteHistory history_;
  std::multimap<std::uint64_t, std::pair<audit::Digest, std::string>> expected_roots_;  ///< by size
  std::optional<std::uint64_t> newest_mutation_;
  std::set<std::uint64_t> undone_;
  std::optional<AuthorityLink> link_;  ///< newest authority entry seen
  struct Named {
    std::uint64_t entry = 0;
    PrincipalNumber number = 0;
    std::string name;
  };
  std::vector<Named> named_;  ///< whom the details of the batch name as actor
  std::int64_t last_time_ = INT64_MIN;
  std::optional<SecretBytes> deposit_;
  std::uint32_t deposit_epoch_ = 0;
  bool told_ = false;
};

void json_text(std::string& out, std::string_view text) {
  constexpr std::string_view kHex = "0123456789abcdef";
  out += '"';
  for (const char c : text) {
    const auto u = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (u < 0x20) {
      out += "\\u00";
      out += kHex[u >> 4U];
      out += kHex[u & 15U];
    } else {
      out += c;
    }
  }
  out += '"';
}

std::string details_json(Core& core, const Schema& schema, const OpenedDetails& details) {
  std::string out = "{\"actor\":";
  json_text(out, details.actor_name);
  const RecordType* type = schema.find_type(details.type);
  out += ",\"type\":";
  json_text(out, type == nullptr ? "" : type->name);
  out += ",\"fields\":[";
  for (std::size_t i = 0; i < details.fields.size(); ++i) {
    if (i > 0) out += ',';
    const Field* field = type == nullptr ? nullptr : type->find(details.fields[i]);
    json_text(out, field == nullptr ? std::to_string(details.fields[i]) : field->name);
  }
  out += "],\"records\":[";
  for (std::size_t i = 0; i < details.rows.size(); ++i) {
    if (i > 0) out += ',';
    json_text(out, core.id_of(details.rows[i]).to_string());
  }
  out += "],\"recipient\":";
  json_text(out, details.recipient);
  out += ",\"recipient_class\":";
  json_text(out, details.recipient_class);
  out += ",\"text\":";
  json_text(out, details.text);
  out += '}';
  return out;
}

}  // namespace

Result<VerifyReport> verify_log(Core& core, std::string_view anchor, const ProgressCallback& progress) {
  VerifyReport report;
  CASEVAULT_TRY(Snapshot snapshot, core.snapshot());
  Journal::State end = core.journal().state();
  // Others write on: principals of the entries that are looked at must be known to the snapshot.
  const auto together = [&] {
    return end.last_authority && end.last_authority->entry == snapshot.authority->newest &&
           (snapshot.db.applied == end.last_mutation || snapshot.db.applied == end.database_floor);
  };
  for (int attempt = 0; attempt < 64 && !together(); ++attempt) {
    snapshot.txn.reset();
    CASEVAULT_TRY(snapshot, core.snapshot());
    end = core.journal().state();
  }
  report.warnings = core.open_warnings();
  if (const std::uint64_t newest = end.last_mutation; newest > snapshot.db.applied) {
    report.warnings.push_back("entry " + std::to_string(newest - 1) +
                              " is pending: its transaction has not committed; the next writer settles it");
  }
  if (core.log().torn_bytes() > 0)
    report.warnings.emplace_back(
        "a batch that was never acknowledged stands at the end of the log; the next writer cuts it");
  Verifier verifier(core, snapshot, std::move(end), report, progress);
  CASEVAULT_CHECK(verifier.expect(anchor));
  if (!verifier.failed()) CASEVAULT_CHECK(verifier.log());
  if (!verifier.failed()) CASEVAULT_CHECK(verifier.all_expected_seen());
  if (!verifier.failed()) CASEVAULT_CHECK(verifier.heads());
  report.size = verifier.tree().size();
  report.root = verifier.tree().root();
  report.ok = !verifier.failed();
  return report;
}

Result<void> read_log(Core& core, const LogQuery& query, const std::function<bool(const LogEntry&)>& visit) {
  CASEVAULT_TRY(const Snapshot snapshot, core.snapshot());
  const Authority& authority = *snapshot.authority;
  const bool look_inside = query.details || query.subject;
  std::optional<std::uint64_t> subject;
  if (query.subject) {
    subject = core.row_of(*query.subject);
    if (!subject)
      return Error{ErrorCode::kNotFound,
                   "record " + query.subject->to_string() + ": this id was never issued by this vault; it is mistyped"};
  }
  if (look_inside) {
    // Reading who saw whom is itself an access: its entry comes first, also when it is denied.
    const keys::EpochName name = authority.state.current(kAuditCompartment);
    if (!authority.me().holds(name)) {
      return core.refuse(authority, audit::Action::kReadLog, audit::Outcome::kDenied, {}, {}, {},
                         {ErrorCode::kNoGrant, authority.me().who.name + " holds no grant for compartment audit"});
    }
    DetailsDraft details;
    details.text = "details from entry " + std::to_string(query.from) + " on";
    CASEVAULT_TRY(EntryDraft entry,
                  core.draft(authority, audit::Action::kReadLog, audit::Outcome::kOk, std::move(details)));
    CASEVAULT_CHECK(core.append(std::move(entry)));
  }
  const std::uint64_t size = core.journal().state().tree.size();
  if (query.from >= size) return {};
  std::vector<LogEntry> batch;
  bool stopped = false;
  std::map<std::uint32_t, SecretBytes> deposits;
  return core.journal().scan(
      core.log(), query.from,
      [&](const EntryFrame& frame) -> Result<bool> {
        if (frame.entry < query.from) return true;
        CASEVAULT_TRY(const audit::Leaf leaf, core.journal().open_leaf(frame));
        LogEntry entry{frame.entry, leaf.time_ms, leaf.action, leaf.outcome, {}, leaf.purpose,
                       leaf.basis,  leaf.count,   {}};
        const auto epoch = look_inside ? details_epoch(frame.details) : std::nullopt;
        if (look_inside && (!epoch || !authority.state.epochs.contains({kAuditCompartment, *epoch}))) {
          return Error{ErrorCode::kIntegrity, "entry " + std::to_string(frame.entry) +
                                                  ": its details name an epoch that the log never opened"};
        }
        if (epoch && authority.me().holds({kAuditCompartment, *epoch})) {
          const keys::EpochName name{kAuditCompartment, *epoch};
          if (!deposits.contains(*epoch)) {
            CASEVAULT_TRY(const auto key, core.epoch_key(*snapshot.txn, authority, name));
            deposits[*epoch] = keys::deposit_secret(core.tag(), name, *key);
          }
          CASEVAULT_TRY(const OpenedDetails details,
                        open_details(core.tag(), frame.entry, leaf, frame.details, name, deposits[*epoch]));
          if (subject && std::ranges::find(details.rows, *subject) == details.rows.end()) return true;
          if (query.details) entry.details = details_json(core, authority.schema(), details);
        }
        batch.push_back(std::move(entry));
        return true;
      },
      [&](const CloseFrame& close) -> Result<bool> {
        if (batch.empty()) return true;
        CASEVAULT_TRY(const BatchClose opened, core.journal().open_close(close));
        const auto actor = authority.state.principals.find(opened.actor);
        const std::string name = actor == authority.state.principals.end() ? "?" : actor->second.who.name;
        for (LogEntry& entry : batch) {
          entry.actor = name;
          if (!query.actor.empty() && query.actor != name) continue;
          if (!visit(entry)) {
            stopped = true;
            break;
          }
        }
        batch.clear();
        return !stopped;
      },
      true);
}

Result<std::string> prove_entry(Core& core, std::uint64_t entry) {
  CASEVAULT_CHECK(core.log().refresh());
  const std::uint64_t size = core.journal().state().tree.size();
  if (entry >= size)
    return Error{ErrorCode::kNotFound,
                 "the log has no entry " + std::to_string(entry) + " (it has " + std::to_string(size) + ")"};
  std::uint32_t segment = 0;
  CASEVAULT_TRY(audit::CompactRange before, core.journal().tree_before_segment(core.log(), entry, segment));
  std::vector<audit::Digest> leaves;
  audit::InclusionProof proof;
  CASEVAULT_CHECK(core.journal().scan(core.log(), before.size(), [&](const EntryFrame& frame) -> Result<bool> {
    if (frame.entry < entry) {
      before.append(frame.leaf_hash);
    } else {
      if (frame.entry == entry) {
        CASEVAULT_TRY(const SecretBytes leaf, core.journal().open_leaf_bytes(frame));
        proof.extra.assign(leaf.view().begin(), leaf.view().end());
      }
      leaves.push_back(frame.leaf_hash);
    }
    return frame.entry + 1 < size;
  }));
  proof.index = entry;
  proof.path = audit::inclusion_path(before, leaves);
  CASEVAULT_TRY(const audit::Digest root, core.root_at(size));
  if (leaves.empty() || !audit::verify_inclusion(leaves.front(), entry, size, proof.path, root)) {
    return Error{ErrorCode::kIntegrity,
                 "entry " + std::to_string(entry) + " cannot be proved: the log was altered; run audit verify"};
  }
  CASEVAULT_TRY(proof.checkpoint_note, core.sign_checkpoint(size));
  return audit::proof_text(proof);
}

}  // namespace casevault::vault
