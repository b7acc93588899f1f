// SPDX-License-Identifier: Apache-2.0
#include "cli/commands.hpp"

#include <algorithm>
#include <chrono>

namespace casevault::cli {
namespace {

std::string joined(const std::vector<std::string>& parts) {
  std::string text;
  for (const std::string& part : parts) text += (text.empty() ? "" : ",") + part;
  return text;
}

Error usage(std::string message) { return {ErrorCode::kUsage, std::move(message)}; }

Json named(const Identity& identity) {
  return {{"name", identity.name()}, {"public", identity.public_string()}, {"file", identity.file().string()}};
}

/// What the options of `slot add` say the new slot is made of. `shown`: a passphrase that was made here.
Result<NewSlot> new_slot(const Context& context, const SlotAddArguments& arguments, std::optional<SecretBytes>& shown) {
  if (arguments.type == "age") return NewSlot(AgeRecipient{arguments.recipient});
  if (arguments.type == "pkcs11") {
    CASEVAULT_TRY(Passphrase pin, context.pin(arguments.pin_file, arguments.token));
    return NewSlot(TokenKey{arguments.module, arguments.token, arguments.key, std::move(pin)});
  }
  if (arguments.type == "keyfile") {
    if (arguments.generate) {
      CASEVAULT_TRY(KeyFile made, KeyFile::create(arguments.keyfile));
      return NewSlot(std::move(made));
    }
    CASEVAULT_TRY(SecretBytes content, read_secret_file(arguments.keyfile));
    return NewSlot(KeyFile(std::move(content)));
  }
  if (arguments.generate) {
    CASEVAULT_TRY(Passphrase made, generate_passphrase());
    shown = made.secret().clone();
    return NewSlot(std::move(made));
  }
  if (!arguments.new_passphrase_file.empty()) {
    CASEVAULT_TRY(SecretBytes line, read_passphrase_file(arguments.new_passphrase_file));
    return NewSlot(Passphrase(std::move(line)));
  }
  CASEVAULT_TRY(Passphrase asked, context.ask_new_passphrase(arguments.file));
  return NewSlot(std::move(asked));
}

Result<void> check(const SlotAddArguments& arguments) {
  const std::string& type = arguments.type;
  if (type == "keyfile" && arguments.keyfile.empty()) return usage("--type keyfile needs --keyfile FILE");
  if (type == "keyfile" && arguments.generate) CASEVAULT_CHECK(check_new_file(arguments.keyfile));
  if ((type == "age") == arguments.recipient.empty()) return usage("--recipient AGE1... and --type age go together");
  const bool token = !arguments.module.empty() && !arguments.token.empty() && !arguments.key.empty();
  if (type == "pkcs11" && !token) return usage("--type pkcs11 needs --module, --token and --key");
  if (type != "pkcs11" && !(arguments.module.empty() && arguments.key.empty()))
    return usage("--module and --key go with --type pkcs11");
  if (type != "passphrase" && !arguments.new_passphrase_file.empty())
    return usage("--new-passphrase-file goes with --type passphrase");
  if (arguments.generate && (type == "age" || type == "pkcs11" || !arguments.new_passphrase_file.empty()))
    return usage(
        "--generate makes a passphrase or a key file; it goes with neither of the others nor --new-passphrase-file");
  return {};
}

}  // namespace

Result<int> identity_new(Context& context, const IdentityNewArguments& arguments) {
  CASEVAULT_CHECK(check_new_file(arguments.out));
  const bool given = !context.options.passphrase_file.empty() || !context.options.passphrase_fd.empty();
  if (arguments.generate && given) return usage("--generate makes the passphrase; give none");
  CASEVAULT_TRY(const Passphrase passphrase,
                arguments.generate ? generate_passphrase() : context.new_passphrase(arguments.name));
  CASEVAULT_TRY(const Identity identity, Identity::create(arguments.out, arguments.name, passphrase));
  if (arguments.generate) CASEVAULT_CHECK(show_passphrase(passphrase.secret()));
  // Only the public string, so that `> officer.pub` is what `principal add --public` takes.
  CASEVAULT_CHECK(context.print(named(identity), identity.public_string()));
  return 0;
}

Result<int> identity_show(Context& context, const IdentityShowArguments& arguments) {
  CASEVAULT_TRY(const IdentityInfo info, Identity::inspect(arguments.file));
  std::vector<std::string> kinds;
  for (const SlotInfo& slot : info.slots) kinds.push_back(slot.kind);
  CASEVAULT_CHECK(context.print(
      Json{{"name", info.name}, {"public", info.public_string}, {"slots", kinds}, {"file", arguments.file}},
      "name:   " + visible(info.name) + "\npublic: " + info.public_string + "\nslots:  " + joined(kinds)));
  return 0;
}

Result<int> slot_add(Context& context, const SlotAddArguments& arguments) {
  CASEVAULT_CHECK(check(arguments));
  if (arguments.type != "keyfile" && !arguments.keyfile.empty()) context.options.keyfile = arguments.keyfile;
  if (arguments.type != "pkcs11") {
    if (!arguments.token.empty()) context.options.token = arguments.token;
    if (!arguments.pin_file.empty()) context.options.pin_file = arguments.pin_file;
  }
  CASEVAULT_TRY(Identity identity, context.identity(arguments.file));
  std::optional<SecretBytes> shown;
  CASEVAULT_TRY(const NewSlot slot, new_slot(context, arguments, shown));
  const auto id = identity.add_slot(slot);
  if (!id) {
    std::error_code ignored;
    if (arguments.type == "keyfile" && arguments.generate) std::filesystem::remove(arguments.keyfile, ignored);
    return id.error();
  }
  if (shown) CASEVAULT_CHECK(show_passphrase(*shown));
  Json json = named(identity);
  json["id"] = *id;
  json["kind"] = arguments.type;
  CASEVAULT_CHECK(context.print(json, "slot " + *id + " (" + arguments.type + ") is added to " + arguments.file));
  return 0;
}

Result<int> slot_remove(Context& context, const SlotRemoveArguments& arguments) {
  CASEVAULT_TRY(Identity identity, context.identity(arguments.file));
  CASEVAULT_CHECK(identity.remove_slot(arguments.id));
  Json json = named(identity);
  json["removed"] = arguments.id;
  CASEVAULT_CHECK(context.print(json, "slot " + arguments.id + " is removed from " + arguments.file +
                                          "; older copies of the file still open with it: destroy them"));
  return 0;
}

Result<int> slot_list(Context& context, const SlotListArguments& arguments) {
  CASEVAULT_TRY(const IdentityInfo info, Identity::inspect(arguments.file));
  Json json{{"name", info.name}, {"public", info.public_string}, {"slots", Json::array()}};
  std::string text = "id  kind  detail";
  for (const SlotInfo& slot : info.slots) {
    json["slots"].push_back({{"id", slot.id}, {"kind", slot.kind}, {"detail", slot.detail}});
    text += "\n" + slot.id + "  " + slot.kind + "  " + (slot.detail.empty() ? "-" : visible(slot.detail));
  }
  CASEVAULT_CHECK(context.print(json, text));
  return 0;
}

Result<int> identity_split(Context& context, const SplitArguments& arguments) {
  CASEVAULT_TRY(const QuorumPlan plan, parse_quorum(arguments.quorum, arguments.folder));
  CASEVAULT_TRY(Identity identity, context.identity(arguments.file));
  CASEVAULT_TRY(const std::string id, identity.split(plan));
  Json json = named(identity);
  json["id"] = id;
  json["quorum"] = arguments.quorum;
  json["shares"] = plan.folder.string();
  CASEVAULT_CHECK(context.print(json, "any " + std::to_string(plan.threshold) + " of the " +
                                          std::to_string(plan.total) + " files in " + arguments.folder + " open " +
                                          arguments.file + "; hand them out and leave no copy here"));
  return 0;
}

namespace {

/// The invitation goes to FILE or, without one, to standard output. It is made only once: when FILE cannot be written
/// it is not lost with it.
Result<int> hand_invitation(Context& context, Json json, const std::string& done, const std::string& invitation,
                            const std::string& file) {
  if (!file.empty()) {
    const auto written = write_new_file(file, invitation);
    if (written.has_value()) {
      json["invitation"] = file;
      CASEVAULT_CHECK(context.print(json, visible(done) + "; hand over " + file));
      return 0;
    }
    json["invitation_text"] = invitation;
    CASEVAULT_CHECK(context.print(json, invitation));
    return Error{written.error().code, visible(done) + ", but " + written.error().message +
                                           "; the invitation is on standard output instead, keep it"};
  }
  json["invitation_text"] = invitation;
  if (context.options.json) {
    CASEVAULT_CHECK(context.print(json, {}));
  } else {
    CASEVAULT_CHECK(context.print(invitation.ends_with('\n') ? invitation : invitation + "\n"));
  }
  return 0;
}

/// Midnight UTC of a day to come, in Unix milliseconds; 0 for none.
Result<std::int64_t> parse_expiry(const std::string& text) {
  if (text.empty()) return 0;
  const auto digits = [&](std::size_t from, std::size_t count) {
    int value = 0;
    for (std::size_t i = from; i < from + count; ++i) {
      if (i >= text.size() || text[i] < '0' || text[i] > '9') return -1;
      value = value * 10 + (text[i] - '0');
    }
    return value;
  };
  using namespace std::chrono;
  const year_month_day day{year(digits(0, 4)), month(static_cast<unsigned>(digits(5, 2))),
                           std::chrono::day(static_cast<unsigned>(digits(8, 2)))};
  if (text.size() != 10 || text[4] != '-' || text[7] != '-' || !day.ok())
    return usage("--expires wants a day, YYYY-MM-DD");
  const milliseconds when = sys_days(day).time_since_epoch();
  if (when <= duration_cast<milliseconds>(system_clock::now().time_since_epoch()))
    return usage("--expires wants a day to come");
  return when.count();
}

}  // namespace

Result<int> principal_add(Context& context, const PrincipalAddArguments& arguments) {
  PrincipalRequest request;
  request.name = arguments.name;
  request.role = arguments.role;
  request.unit = arguments.unit;
  request.may_grant = arguments.may_grant;
  CASEVAULT_TRY(request.expires_ms, parse_expiry(arguments.expires));
  if (!arguments.grants.empty()) {
    CASEVAULT_TRY(request.grants, parse_names(arguments.grants, "--grant"));
  }
  if (!arguments.functional_roles.empty()) {
    CASEVAULT_TRY(request.functional_roles, parse_names(arguments.functional_roles, "--functional-role"));
  }
  CASEVAULT_CHECK(check_new_file(arguments.invitation));
  CASEVAULT_TRY(request.public_string, read_public_string(arguments.public_file, "public", "public"));
  CASEVAULT_TRY(Session session, context.open(Access::kReadWrite));
  CASEVAULT_TRY(const std::string invitation, session.add_principal(request));

  Json json{{"name", request.name}, {"role", request.role}, {"grants", request.grants}};
  if (const auto all = session.principals(); all.has_value()) {
    const auto found =
        std::find_if(all->begin(), all->end(), [&](const PrincipalInfo& p) { return p.name == request.name; });
    if (found != all->end()) json["entry"] = found->entry;
  }
  return hand_invitation(context, std::move(json), request.name + " is added", invitation, arguments.invitation);
}

Result<int> principal_rekey(Context& context, const RekeyArguments& arguments) {
  CASEVAULT_CHECK(check_new_file(arguments.invitation));
  CASEVAULT_TRY(const std::string fresh, read_public_string(arguments.public_file, "public", "public"));
  CASEVAULT_TRY(Session session, context.open(Access::kReadWrite));
  CASEVAULT_TRY(const Status now, session.status());
  CASEVAULT_TRY(const std::string invitation, session.rekey(fresh));
  return hand_invitation(context, Json{{"name", now.principal}, {"role", now.role}},
                         now.principal + " has new keys; the old identity opens the vault no more", invitation,
                         arguments.invitation);
}

namespace {

/// What a revocation leaves to do: cells that keys handed out before still open.
Result<int> tell_revoked(Context& context, Session& session, Json json, std::string text) {
  CASEVAULT_TRY(const std::vector<KeyInfo> keys, session.keys());
  std::uint64_t old_cells = 0;
  for (const KeyInfo& key : keys) old_cells += key.state == "old" ? key.cells : 0;
  json["old_cells"] = old_cells;
  if (old_cells > 0) {
    text += "\n" + std::to_string(old_cells) +
            " cells are still under old epochs, which keys handed out before open: key reencrypt, then key destroy";
  }
  CASEVAULT_CHECK(context.print(json, text));
  return 0;
}

}  // namespace

Result<int> principal_revoke(Context& context, const RevokeArguments& arguments) {
  CASEVAULT_TRY(Session session, context.open(Access::kReadWrite));
  CASEVAULT_TRY(const std::uint64_t entry, session.revoke(arguments.name));
  CASEVAULT_TRY(const std::vector<PrincipalInfo> all, session.principals());
  const auto found = std::ranges::find(all, arguments.name, &PrincipalInfo::name);
  const std::string role = found == all.end() ? std::string() : found->role;
  return tell_revoked(context, session,
                      Json{{"name", arguments.name}, {"role", role}, {"grants", Json::array()}, {"entry", entry}},
                      visible(arguments.name) + " is revoked (entry " + std::to_string(entry) + ")");
}

Result<int> grant_revoke(Context& context, const GrantArguments& arguments) {
  CASEVAULT_TRY(Session session, context.open(Access::kReadWrite));
  CASEVAULT_TRY(const std::uint64_t entry, session.revoke_grant(arguments.name, arguments.compartments));
  return tell_revoked(context, session,
                      Json{{"name", arguments.name}, {"revoked", arguments.compartments}, {"entry", entry}},
                      visible(arguments.name) + " may open " + joined(arguments.compartments) + " no more (entry " +
                          std::to_string(entry) + ")");
}

Result<int> principal_list(Context& context) {
  CASEVAULT_TRY(Session session, context.open(Access::kReadOnly));
  CASEVAULT_TRY(const std::vector<PrincipalInfo> all, session.principals());
  Json json = Json::array();
  std::string text = "name  role  unit  grants  may grant";
  for (const PrincipalInfo& one : all) {
    Json expiries = Json::object();
    for (const auto& [compartment, when] : one.expires_ms) expiries[compartment] = rfc3339(when);
    json.push_back({{"name", one.name},
                    {"role", one.role},
                    {"unit", one.unit},
                    {"grants", one.grants},
                    {"may_grant", one.may_grant},
                    {"expires", expiries},
                    {"entry", one.entry},
                    {"revoked", one.revoked ? Json(*one.revoked) : Json(nullptr)}});
    const auto shown = [](const std::string& part) { return part.empty() ? std::string("-") : visible(part); };
    text += "\n" + shown(one.name) + "  " + one.role + "  " + shown(one.unit) + "  " + shown(joined(one.grants)) +
            "  " + shown(joined(one.may_grant)) + (expiries.empty() ? "" : "  expires " + expiries.dump()) +
            (one.revoked ? "  revoked in entry " + std::to_string(*one.revoked) : "");
  }
  CASEVAULT_CHECK(context.print(json, text));
  return 0;
}

Result<int> grant_add(Context& context, const GrantArguments& arguments) {
  GrantOptions options;
  options.may_grant = arguments.may_grant;
  CASEVAULT_TRY(options.expires_ms, parse_expiry(arguments.expires));
  CASEVAULT_TRY(Session session, context.open(Access::kReadWrite));
  CASEVAULT_TRY(const std::uint64_t entry, session.grant(arguments.name, arguments.compartments, options));
  CASEVAULT_CHECK(context.print(Json{{"name", arguments.name}, {"grants", arguments.compartments}, {"entry", entry}},
                                visible(arguments.name) + " may open " + joined(arguments.compartments) + " (entry " +
                                    std::to_string(entry) + ")"));
  return 0;
}

}  // namespace casevault::cli
