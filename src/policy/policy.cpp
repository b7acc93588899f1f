// SPDX-License-Identifier: Apache-2.0
#include "policy/policy.hpp"

#include <algorithm>
#include <array>

namespace casevault::policy {
namespace {

constexpr std::array<std::string_view, 6> kRoles = {"owner",   "administrator", "officer",
                                                    "analyst", "auditor",       "service"};
constexpr std::string_view kEveryCompartment = "*";

bool contains(const std::vector<std::string>& names, std::string_view name) {
  return std::ranges::find(names, name) != names.end();
}

/// A code that the caller typed, as it may stand in an error line.
std::string shown(std::string_view code) {
  constexpr std::string_view kCharacters = "abcdefghijklmnopqrstuvwxyz0123456789_";
  const bool plain = code.size() <= 64 && code.find_first_not_of(kCharacters) == std::string_view::npos;
  return plain ? "'" + std::string(code) + "'" : "(not a code)";
}

std::string joined(const std::vector<std::string>& names) {
  std::string out;
  for (const std::string& name : names) out += (out.empty() ? "" : ", ") + name;
  return out;
}

void add(std::vector<std::string>& names, const std::string& name) {
  if (!contains(names, name)) names.push_back(name);
}

/// An administrative role is the principal's own; being called like one functionally does not count.
bool has_role(const Actor& actor, std::string_view role) {
  return is_role(role) ? actor.role == role : contains(actor.functional_roles, role);
}

bool admits(const Rule& rule, const Schema& schema, const RecordType& type, const Field& field) {
  return contains(rule.compartments, kEveryCompartment) ||
         contains(rule.compartments, schema.compartments()[field.compartment].name) ||
         contains(rule.fields, type.name + "." + field.name);
}

/// Rules for the actor and the purpose, and whether some were left out because the record is another unit's.
struct Applicable {
  std::vector<const Rule*> rules;
  bool other_unit = false;
};

Applicable applicable(const Schema& schema, const Request& request) {
  Applicable out;
  for (const Rule& rule : schema.rules()) {
    const auto held = [&request](const std::string& role) { return has_role(request.actor, role); };
    if (!contains(rule.purposes, request.purpose) || std::ranges::none_of(rule.roles, held)) continue;
    if (rule.own_unit_only && request.actor.unit != request.record_unit) {
      out.other_unit = true;
    } else {
      out.rules.push_back(&rule);
    }
  }
  return out;
}

std::string refusal(const Request& request, const Applicable& found, const std::vector<std::string>& refused) {
  std::string who = "role " + shown(request.actor.role);
  for (const std::string& role : request.actor.functional_roles) who += " and " + shown(role);
  std::string reason = "purpose " + request.purpose + " does not admit " + joined(refused) + " for " + who;
  std::vector<std::string> admitted;
  for (const Rule* const rule : found.rules) {
    for (const std::string& compartment : rule->compartments) add(admitted, compartment);
    for (const std::string& field : rule->fields) add(admitted, field);
  }
  reason += admitted.empty() ? "; it admits nothing" : "; it admits: " + joined(admitted);
  if (found.other_unit) reason += "; more is admitted to the record's own unit only";
  return reason;
}

}  // namespace

Decision decide(const Schema& schema, const Request& request) {
  Decision decision;
  decision.basis = request.basis;
  const auto deny = [&decision](std::string reason) {
    decision.reason = std::move(reason);
    return decision;
  };

  const Purpose* const purpose = schema.find_purpose(request.purpose);
  if (purpose == nullptr) {
    std::vector<std::string> known;
    for (const Purpose& each : schema.purposes()) known.push_back(each.code);
    return deny("purpose " + shown(request.purpose) + " is not in the schema; it has: " + joined(known));
  }
  if (decision.basis.empty()) decision.basis = purpose->default_basis;
  if (!contains(purpose->bases, decision.basis)) {
    return deny("basis " + shown(decision.basis) + " is not admitted for purpose " + purpose->code +
                "; admitted: " + joined(purpose->bases));
  }
  if (!request.recipient_class.empty() && !contains(schema.recipient_classes(), request.recipient_class)) {
    return deny("recipient class " + shown(request.recipient_class) +
                " is not in the schema; it has: " + joined(schema.recipient_classes()));
  }
  if (purpose->requires_consent && !request.consent_in_force) {
    return deny("purpose " + purpose->code +
                " requires a consent in force for it and the recipient class; there is none");
  }
  if (request.type == nullptr || request.fields.empty()) return deny("no field was asked for; name at least one");

  const Applicable found = applicable(schema, request);
  std::vector<std::string> refused;
  for (const Field* const field : request.fields) {
    if (field == nullptr || field->compartment >= schema.compartments().size())
      return deny("a field is not of this schema");
    const auto fits = [&](const Rule* rule) { return admits(*rule, schema, *request.type, *field); };
    if (std::ranges::none_of(found.rules, fits)) add(refused, field->name);
  }
  if (!refused.empty()) return deny(refusal(request, found, refused));
  decision.allowed = true;
  return decision;
}

bool is_role(std::string_view role) noexcept { return std::ranges::find(kRoles, role) != kRoles.end(); }

bool may_administer(std::string_view role) noexcept { return role == "owner" || role == "administrator"; }

}  // namespace casevault::policy
