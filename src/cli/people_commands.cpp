// SPDX-License-Identifier: Apache-2.0
#include "cli/commands.hpp"

#include <algorithm>

namespace casevault::cli {
namespace {

std::string joined(const std::vector<std::string>& parts) {
  std::string text;
  for (const std::string& part : parts) text += (text.empty() ? "" : ",") + part;
  return text;
}

}  // namespace

Result<int> identity_new(Context& context, const IdentityNewArguments& arguments) {
  CASEVAULT_CHECK(check_new_file(arguments.out));
  CASEVAULT_TRY(const Passphrase passphrase, context.new_passphrase(arguments.name));
  CASEVAULT_TRY(const Identity identity, Identity::create(arguments.out, arguments.name, passphrase));
  // Only the public string, so that `> officer.pub` is what `principal add --public` takes.
  CASEVAULT_CHECK(context.print(
      Json{{"name", identity.name()}, {"public", identity.public_string()}, {"file", identity.file().string()}},
      identity.public_string()));
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

Result<int> principal_add(Context& context, const PrincipalAddArguments& arguments) {
  PrincipalRequest request;
  request.name = arguments.name;
  request.role = arguments.role;
  request.unit = arguments.unit;
  request.may_grant = arguments.may_grant;
  if (!arguments.grants.empty()) {
    CASEVAULT_TRY(request.grants, parse_names(arguments.grants, "--grant"));
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
  if (!arguments.invitation.empty()) {
    const auto written = write_new_file(arguments.invitation, invitation);
    if (written.has_value()) {
      json["invitation"] = arguments.invitation;
      CASEVAULT_CHECK(context.print(json, visible(request.name) + " is added; hand over " + arguments.invitation));
      return 0;
    }
    // The principal exists and its invitation is made only once: it must not be lost with the file.
    json["invitation_text"] = invitation;
    CASEVAULT_CHECK(context.print(json, invitation));
    return Error{written.error().code, visible(request.name) + " is added, but " + written.error().message +
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
    json.push_back({{"name", one.name},
                    {"role", one.role},
                    {"unit", one.unit},
                    {"grants", one.grants},
                    {"may_grant", one.may_grant},
                    {"entry", one.entry},
                    {"revoked", one.revoked ? Json(*one.revoked) : Json(nullptr)}});
    const auto shown = [](const std::string& part) { return part.empty() ? std::string("-") : visible(part); };
    text += "\n" + shown(one.name) + "  " + one.role + "  " + shown(one.unit) + "  " + shown(joined(one.grants)) +
            "  " + shown(joined(one.may_grant)) +
            (one.revoked ? "  revoked in entry " + std::to_string(*one.revoked) : "");
  }
  CASEVAULT_CHECK(context.print(json, text));
  return 0;
}

Result<int> grant_add(Context& context, const GrantArguments& arguments) {
  CASEVAULT_TRY(Session session, context.open(Access::kReadWrite));
  CASEVAULT_TRY(const std::uint64_t entry, session.grant(arguments.name, arguments.compartments));
  CASEVAULT_CHECK(context.print(Json{{"name", arguments.name}, {"grants", arguments.compartments}, {"entry", entry}},
                                visible(arguments.name) + " may open " + joined(arguments.compartments) + " (entry " +
                                    std::to_string(entry) + ")"));
  return 0;
}

}  // namespace casevault::cli
