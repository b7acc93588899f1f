// SPDX-License-Identifier: Apache-2.0
#include "vault/audit_view.hpp"

#include "audit/note.hpp"

#include <algorithm>

namespace casevault::vault {
namespace {

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

Result<void> read_log(Core& core, const LogQuery& query, const std::function<bool(const LogEntry&)>& visit) {
  CASEVAULT_CHECK(core.log().refresh());
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
    if (!core.may_open(authority, name)) {
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
  std::map<std::uint32_t, DetailsOpener> openers;  // by epoch
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
        if (epoch && core.may_open(authority, {kAuditCompartment, *epoch})) {
          const keys::EpochName name{kAuditCompartment, *epoch};
          auto opener = openers.find(*epoch);
          if (opener == openers.end()) {
            CASEVAULT_TRY(const auto key, core.epoch_key(*snapshot.txn, snapshot.db, authority, name));
            opener = openers.try_emplace(*epoch, core.tag(), name, keys::deposit_secret(core.tag(), name, *key)).first;
          }
          CASEVAULT_TRY(const OpenedDetails details, opener->second.open(frame.entry, leaf, frame.details));
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
