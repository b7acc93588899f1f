// SPDX-License-Identifier: Apache-2.0
#include "cli/commands.hpp"

#include <algorithm>

namespace casevault::cli {
namespace {

std::string label_of(const KeyInfo& key) { return key.compartment + ":" + std::to_string(key.epoch); }

Json json_of(const std::vector<KeyInfo>& keys) {
  Json json = Json::array();
  for (const KeyInfo& key : keys) {
    json.push_back({{"compartment", key.compartment},
                    {"epoch", key.epoch},
                    {"state", key.state},
                    {"cells", key.cells},
                    {"indexes", key.indexes}});
  }
  return json;
}

std::string text_of(const std::vector<KeyInfo>& keys) {
  std::string text = "compartment:epoch  state  cells  indexes";
  for (const KeyInfo& key : keys) {
    text +=
        "\n" + label_of(key) + "  " + key.state + "  " + std::to_string(key.cells) + "  " + std::to_string(key.indexes);
  }
  return text;
}

Result<std::uint32_t> parse_epoch(const std::string& text) {
  CASEVAULT_TRY(const std::uint64_t epoch, parse_number(text, "EPOCH"));
  if (epoch > UINT32_MAX) return Error{ErrorCode::kUsage, "there is no such epoch"};
  return static_cast<std::uint32_t>(epoch);
}

/// Compartments that the session's principal holds.
Result<std::vector<std::string>> held(Session& session) {
  CASEVAULT_TRY(const Status now, session.status());
  CASEVAULT_TRY(const std::vector<PrincipalInfo> all, session.principals());
  const auto me = std::ranges::find(all, now.principal, &PrincipalInfo::name);
  if (me == all.end()) return Error{ErrorCode::kInternal, "the session's principal is not in the vault"};
  return me->grants;
}

}  // namespace

Result<int> key_list(Context& context) {
  CASEVAULT_TRY(Session session, context.open(Access::kReadOnly));
  CASEVAULT_TRY(const std::vector<KeyInfo> keys, session.keys());
  CASEVAULT_CHECK(context.print(json_of(keys), text_of(keys)));
  return 0;
}

Result<int> key_rotate(Context& context, const KeyRotateArguments& arguments) {
  if (!arguments.vault_key && arguments.all == !arguments.compartment.empty()) {
    return Error{ErrorCode::kUsage, "name one COMPARTMENT, or say --all, or --vault-key"};
  }
  CASEVAULT_TRY(Session session, context.open(Access::kReadWrite));
  if (arguments.vault_key) {
    CASEVAULT_TRY(const std::uint64_t entry, session.rotate_vault_key());
    CASEVAULT_TRY(const Status now, session.status());
    CASEVAULT_CHECK(
        context.print(Json{{"vault_key_epoch", now.vault_key_epoch}, {"log_key", now.log_key}, {"entry", entry}},
                      "vault key epoch " + std::to_string(now.vault_key_epoch) + ", entry " + std::to_string(entry) +
                          "\nreceipts from now on are held against this log key:\n" + now.log_key));
    return 0;
  }
  std::vector<std::string> names = {arguments.compartment};
  if (arguments.all) {
    CASEVAULT_TRY(names, held(session));
  }
  Json json = Json::array();
  std::string text;
  for (const std::string& name : names) {
    auto rotated = session.rotate(name);
    if (!rotated) {
      Error error = std::move(rotated).error();
      if (!json.empty()) error.message += "; rotated before that: " + json.dump();
      return error;
    }
    const Rotation done = *std::move(rotated);
    json.push_back(
        {{"compartment", done.compartment}, {"old", done.old_epoch}, {"new", done.new_epoch}, {"entry", done.entry}});
    text += (text.empty() ? "" : "\n") + done.compartment + ": epoch " + std::to_string(done.old_epoch) + " -> " +
            std::to_string(done.new_epoch) + ", entry " + std::to_string(done.entry);
  }
  CASEVAULT_CHECK(context.print(arguments.all ? json : json.front(), text));
  return 0;
}

Result<int> key_reencrypt(Context& context, const KeyReencryptArguments& arguments) {
  ReencryptOptions options;
  options.compartment = arguments.compartment;
  options.index = arguments.index;
  options.progress = context.progress();
  if (!arguments.rate.empty()) {
    CASEVAULT_TRY(options.rate, parse_number(arguments.rate, "--rate"));
    if (options.rate == 0) return Error{ErrorCode::kUsage, "--rate needs at least one cell a second"};
  }
  CASEVAULT_TRY(Session session, context.open(Access::kReadWrite));
  CASEVAULT_TRY(const Reencryption done, session.reencrypt(options));
  std::string text = arguments.index ? "" : std::to_string(done.done) + " cells moved\n";
  text += std::to_string(done.records) + " records put into new search indexes, each counted once a compartment";
  for (const std::string& what : done.failed) text += "\ncould not be moved: " + visible(what);
  for (const std::string& name : done.skipped) text += "\n" + name + ": not held by this identity, left as it is";
  CASEVAULT_CHECK(context.print(Json{{"done", done.done},
                                     {"total", done.total},
                                     {"indexed", done.records},
                                     {"finished", done.finished},
                                     {"skipped", done.skipped},
                                     {"failed", done.failed}},
                                text));
  return done.finished ? 0 : exit_code(ErrorCode::kDegraded);
}

Result<int> key_status(Context& context) {
  CASEVAULT_TRY(Session session, context.open(Access::kReadOnly));
  CASEVAULT_TRY(const std::vector<KeyInfo> keys, session.keys());
  std::uint64_t current = 0;
  std::uint64_t total = 0;
  for (const KeyInfo& key : keys) {
    total += key.cells;
    if (key.state == "current") current += key.cells;
  }
  CASEVAULT_CHECK(
      context.print(Json{{"done", current}, {"total", total}, {"finished", current == total}},
                    std::to_string(current) + " of " + std::to_string(total) + " cells are under current epochs"));
  return 0;
}

Result<int> key_census(Context& context) {
  CASEVAULT_TRY(Session session, context.open(Access::kReadWrite));
  CASEVAULT_TRY(const Census census, session.census());
  std::string text = text_of(census.keys);
  if (census.entry) text += "\nnothing is left under old epochs: signed in entry " + std::to_string(*census.entry);
  CASEVAULT_CHECK(context.print(Json{{"keys", json_of(census.keys)},
                                     {"old_cells", census.old_cells},
                                     {"old_indexes", census.old_indexes},
                                     {"entry", census.entry ? Json(*census.entry) : Json(nullptr)}},
                                text));
  return 0;
}

Result<int> key_retire(Context& context, const KeyRetireArguments& arguments) {
  CASEVAULT_TRY(const std::uint32_t epoch, parse_epoch(arguments.epoch));
  CASEVAULT_TRY(Session session, context.open(Access::kReadWrite));
  CASEVAULT_TRY(const std::uint64_t entry, session.retire_epoch(arguments.compartment, epoch));
  CASEVAULT_CHECK(context.print(
      Json{{"compartment", arguments.compartment}, {"epoch", epoch}, {"entry", entry}},
      "epoch " + arguments.compartment + ":" + std::to_string(epoch) + " is retired, entry " + std::to_string(entry)));
  return 0;
}

Result<int> key_destroy(Context& context, const KeyDestroyArguments& arguments) {
  CASEVAULT_TRY(const std::uint32_t epoch, parse_epoch(arguments.epoch));
  const std::string label = arguments.compartment + ":" + std::to_string(epoch);
  CASEVAULT_CHECK(
      context.confirm(label, arguments.confirm, "After this nothing opens what is under epoch " + label + "."));
  CASEVAULT_TRY(Session session, context.open(Access::kReadWrite));
  CASEVAULT_TRY(const std::uint64_t entry, session.destroy_epoch(arguments.compartment, epoch));
  CASEVAULT_TRY(const Status now, session.status());
  CASEVAULT_CHECK(context.print(
      Json{{"compartment", arguments.compartment}, {"epoch", epoch}, {"level", now.erasure_level}, {"entry", entry}},
      "epoch " + label + " is destroyed (level " + now.erasure_level + "), entry " + std::to_string(entry)));
  return 0;
}

}  // namespace casevault::cli
