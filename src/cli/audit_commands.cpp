// SPDX-License-Identifier: Apache-2.0
#include "cli/commands.hpp"

#include <algorithm>

namespace casevault::cli {
namespace {

constexpr int kIntegrityExit = exit_code(ErrorCode::kIntegrity);
constexpr std::size_t kLinesKept = 64U << 10U;

Json optional_number(const std::optional<std::uint64_t>& number) { return number ? Json(*number) : Json(nullptr); }

/// A finding is a result: standard output in full, one line for people on standard error, exit 8.
Result<int> print_bad(const Context& context, const Json& json, const std::string& line) {
  CASEVAULT_CHECK(context.print(json, line));
  return kIntegrityExit;
}

/// Size and root of a C2SP checkpoint that the library has just signed: origin, size and base64 root, a line each. Read
/// from the note itself, since the log may have grown by the time anything else is asked.
Result<audit::Checkpoint> read_checkpoint(std::string_view text) {
  constexpr std::string_view kBase64 = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::array<std::string_view, 3> lines;
  for (std::string_view& line : lines) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  audit::Checkpoint checkpoint;
  checkpoint.origin = lines[0];
  CASEVAULT_TRY(checkpoint.size, parse_number(lines[1], "the size of the checkpoint"));
  std::uint32_t bits = 0;
  unsigned held = 0;
  std::size_t at = 0;
  for (const char c : lines[2]) {
    const std::size_t six = kBase64.find(c);
    if (six == std::string_view::npos) break;
    bits = (bits << 6U | static_cast<std::uint32_t>(six)) & 0xFFFFU;
    held += 6;
    if (held < 8) continue;
    held -= 8;
    if (at < checkpoint.root.size()) checkpoint.root[at++] = static_cast<std::uint8_t>(bits >> held);
  }
  return checkpoint;
}

}  // namespace

Result<int> audit_verify(Context& context) {
  std::string anchor;
  std::vector<std::string> more = context.options.anchors;
  if (!more.empty()) {  // the first is compared here, where a contradiction is a finding and not a refusal to open
    CASEVAULT_TRY(anchor, read_text(more.front()));
    more.erase(more.begin());
  }
  auto session = context.open(Access::kReadOnly, more);
  if (!session.has_value()) {
    if (exit_code(session.error().code) != kIntegrityExit) return std::move(session).error();
    const std::string reason = visible(session.error().message);
    const std::optional<std::uint64_t> bad = session.error().entry;
    return print_bad(context,
                     Json{{"ok", false},
                          {"size", nullptr},
                          {"root", nullptr},
                          {"entry", bad ? Json(*bad) : Json(nullptr)},
                          {"reason", reason},
                          {"warnings", Json::array()}},
                     "NOT OK: " + (bad ? "entry " + std::to_string(*bad) + ": " : std::string()) + reason);
  }
  auto verified = session->verify_log(anchor, context.progress());
  VerifyReport report;
  if (verified.has_value()) {
    report = *std::move(verified);
  } else {
    if (exit_code(verified.error().code) != kIntegrityExit) return std::move(verified).error();
    report.reason = verified.error().message;
  }
  const Json json{{"ok", report.ok},          {"size", report.size},
                  {"root", hex(report.root)}, {"entry", optional_number(report.entry)},
                  {"reason", report.reason},  {"warnings", report.warnings}};
  for (const std::string& warning : report.warnings) note("casevault: warning: " + warning);
  if (!report.ok) {
    return print_bad(context, json,
                     "NOT OK: " + (report.entry ? "entry " + std::to_string(*report.entry) + ": " : std::string()) +
                         visible(report.reason));
  }
  CASEVAULT_CHECK(context.print(json, "ok: " + std::to_string(report.size) + " entries, root " + hex(report.root)));
  return 0;
}

Result<int> audit_log(Context& context, const AuditLogArguments& arguments) {
  LogQuery query;
  query.actor = arguments.actor;
  if (!arguments.subject.empty()) {
    CASEVAULT_TRY(query.subject, RecordId::parse(arguments.subject));
  }
  query.details = arguments.details;
  if (!arguments.from.empty()) {
    CASEVAULT_TRY(query.from, parse_number(arguments.from, "--from"));
  }
  CASEVAULT_TRY(Session session,
                context.open(arguments.details || !arguments.subject.empty() ? Access::kReadWrite : Access::kReadOnly));
  std::string lines;
  Result<void> printed;
  CASEVAULT_CHECK(session.read_log(query, [&](const LogEntry& entry) {
    const std::string_view action = audit::name_of(entry.action);
    const std::string_view outcome = audit::name_of(entry.outcome);
    if (context.options.json) {
      Json json{
          {"entry", entry.entry}, {"time", rfc3339(entry.time_ms)}, {"action", action},     {"outcome", outcome},
          {"actor", entry.actor}, {"purpose", entry.purpose},       {"basis", entry.basis}, {"count", entry.count}};
      if (arguments.details) {
        Json details = Json::parse(entry.details, nullptr, false);
        json["details"] = details.is_discarded() ? Json(nullptr) : std::move(details);
      }
      lines += dump(json) + "\n";
    } else {
      lines += std::to_string(entry.entry) + "  " + rfc3339(entry.time_ms) + "  " + std::string(action) + "  " +
               std::string(outcome) + "  " + visible(entry.actor);
      if (!entry.purpose.empty()) lines += "  purpose " + visible(entry.purpose) + "  basis " + visible(entry.basis);
      if (entry.count != 0) lines += "  count " + std::to_string(entry.count);
      if (!entry.details.empty()) lines += "  " + visible(entry.details);
      lines += "\n";
    }
    if (lines.size() < kLinesKept) return true;
    printed = context.print(lines);
    lines.clear();
    return printed.has_value();
  }));
  CASEVAULT_CHECK(std::move(printed));
  CASEVAULT_CHECK(context.print(lines));
  return 0;
}

Result<int> audit_prove(Context& context, const ProveArguments& arguments) {
  CASEVAULT_TRY(const std::uint64_t entry, parse_number(arguments.entry, "ENTRY"));
  CASEVAULT_CHECK(check_new_file(arguments.out));
  CASEVAULT_TRY(Session session, context.open(Access::kReadOnly));
  CASEVAULT_TRY(const std::string receipt, session.prove(entry));
  CASEVAULT_CHECK(write_new_file(arguments.out, receipt));
  CASEVAULT_CHECK(context.print(Json{{"entry", entry}, {"receipt", arguments.out}},
                                "receipt of entry " + std::to_string(entry) + " written to " + arguments.out));
  return 0;
}

Result<int> audit_checkpoint(Context& context, const CheckpointArguments& arguments) {
  CASEVAULT_CHECK(check_new_file(arguments.out));
  CASEVAULT_TRY(Session session, context.open(Access::kReadOnly));
  CASEVAULT_TRY(const std::string note_text, session.checkpoint());
  CASEVAULT_TRY(const auto facts, read_checkpoint(note_text));
  if (!arguments.out.empty()) CASEVAULT_CHECK(write_new_file(arguments.out, note_text));
  Json json{{"size", facts.size}, {"root", hex(facts.root)}, {"checkpoint", note_text}};
  if (!arguments.out.empty()) json["file"] = arguments.out;
  if (context.options.json) {
    CASEVAULT_CHECK(context.print(json, {}));
  } else if (arguments.out.empty()) {
    CASEVAULT_CHECK(context.print(note_text));
  } else {
    CASEVAULT_CHECK(
        context.print("checkpoint of " + std::to_string(facts.size) + " entries written to " + arguments.out + "\n"));
  }
  return 0;
}

Result<int> receipt_verify(Context& context, const ReceiptArguments& arguments) {
  CASEVAULT_TRY(const std::string receipt, read_text(arguments.file));
  CASEVAULT_TRY(const std::string log_key, read_public_string(arguments.log_key, "log_key", "log key"));
  // A verifier key is name+hash+key; told apart here because a file that is no key must not pass for a forged receipt.
  if (std::count(log_key.begin(), log_key.end(), '+') < 2) {
    return Error{ErrorCode::kBadInput, arguments.log_key + " holds no log key; give it what init printed"};
  }
  const auto facts = audit::verify_receipt(receipt, log_key);
  if (!facts.has_value()) {
    const ErrorCode code = facts.error().code;  // an unreadable receipt proves nothing either: same answer
    if (code != ErrorCode::kBadInput && exit_code(code) != kIntegrityExit) return facts.error();
    const std::string reason = visible(facts.error().message);
    return print_bad(context,
                     Json{{"ok", false}, {"entry", nullptr}, {"size", nullptr}, {"root", nullptr}, {"reason", reason}},
                     "NOT OK: " + arguments.file + ": " + reason);
  }
  const std::string action(audit::name_of(facts->action));
  const std::string outcome(audit::name_of(facts->outcome));
  CASEVAULT_CHECK(context.print(Json{{"ok", true},
                                     {"entry", facts->entry},
                                     {"size", facts->size},
                                     {"root", hex(facts->root)},
                                     {"action", action},
                                     {"outcome", outcome},
                                     {"time", rfc3339(facts->time_ms)},
                                     {"purpose", facts->purpose},
                                     {"basis", facts->basis},
                                     {"count", facts->count},
                                     {"origin", facts->origin}},
                                "ok: entry " + std::to_string(facts->entry) + " of " + std::to_string(facts->size) +
                                    ", " + action + " " + outcome + " at " + rfc3339(facts->time_ms) + ", purpose " +
                                    visible(facts->purpose) + ", basis " + visible(facts->basis) + ", log " +
                                    visible(facts->origin)));
  return 0;
}

}  // namespace casevault::cli
