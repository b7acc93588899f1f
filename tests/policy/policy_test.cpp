// SPDX-License-Identifier: Apache-2.0
#include "policy/policy.hpp"

#include "catch.hpp"
#include "support/fixed_environment.hpp"

namespace casevault::policy {
namespace {

const Schema& bundled() {
  static const Schema schema = REQUIRE_OK(Schema::bundled("vn-victim-support"));
  return schema;
}

Request request(std::string role, std::string purpose, const std::vector<std::string>& fields) {
  Request out;
  out.actor.role = std::move(role);
  out.purpose = std::move(purpose);
  out.type = bundled().find_type("person");
  for (const std::string& field : fields) {
    out.fields.push_back(out.type->find(field));
    REQUIRE(out.fields.back() != nullptr);
  }
  return out;
}

struct Row {
  std::string role;
  std::string functional;
  std::string purpose;
  std::vector<std::string> fields;
  bool allowed;
};

/// The rule once more, as naively as it can be said: one loop a condition, no early way to yes.
bool naive(const Schema& schema, const Request& r) {
  bool purpose_known = false;
  bool basis_fits = false;
  bool consent_fits = false;
  for (const Purpose& purpose : schema.purposes()) {
    if (purpose.code != r.purpose) continue;
    purpose_known = true;
    consent_fits = !purpose.requires_consent || r.consent_in_force;
    if (r.basis.empty()) basis_fits = true;
    for (const std::string& basis : purpose.bases) basis_fits = basis_fits || basis == r.basis;
  }
  bool class_fits = r.recipient_class.empty();
  for (const std::string& known : schema.recipient_classes()) class_fits = class_fits || known == r.recipient_class;
  bool fields_fit = r.type != nullptr && !r.fields.empty();
  for (const Field* const field : r.fields) {
    bool admitted = false;
    for (const Rule& rule : schema.rules()) {
      bool role_fits = false;
      for (const std::string& role : rule.roles) {
        role_fits = role_fits || role == r.actor.role;
        for (const std::string& mine : r.actor.functional_roles)
          role_fits = role_fits || (role == mine && !is_role(mine));
      }
      bool purpose_fits = false;
      for (const std::string& purpose : rule.purposes) purpose_fits = purpose_fits || purpose == r.purpose;
      bool place_fits = false;
      for (const std::string& compartment : rule.compartments) {
        place_fits = place_fits || compartment == "*" || compartment == schema.compartments()[field->compartment].name;
      }
      for (const std::string& path : rule.fields) place_fits = place_fits || path == r.type->name + "." + field->name;
      const bool unit_fits = !rule.own_unit_only || r.actor.unit == r.record_unit;
      admitted = admitted || (role_fits && purpose_fits && place_fits && unit_fits);
    }
    fields_fit = fields_fit && admitted;
  }
  return purpose_known && basis_fits && consent_fits && class_fits && fields_fit;
}

}  // namespace

TEST_CASE("the bundled rules admit what each role needs and nothing else") {
  const std::vector<std::string> everything = [] {
    std::vector<std::string> out;
    for (const Field& field : bundled().find_type("person")->fields) out.push_back(field.name);
    return out;
  }();
  const std::vector<Row> rows = {
      {"owner", "", "protection", everything, true},
      {"owner", "", "reception", everything, true},
      {"owner", "", "subject_rights", everything, true},
      {"owner", "", "statistics", {"sex", "province_code", "exploitation_type"}, true},
      {"analyst", "", "statistics", {"sex", "intake_date"}, true},
      {"officer", "", "statistics", {"status"}, true},
      {"owner", "", "statistics", {"full_name"}, false},
      {"analyst", "", "statistics", {"sex", "full_name"}, false},
      {"officer", "", "statistics", {"narrative"}, false},
      {"owner", "", "communication_with_consent", {"full_name"}, false},
      {"officer", "", "verification", {"full_name", "dob", "narrative", "status"}, true},
      {"officer", "", "verification", {"health_note"}, false},
      {"officer", "", "essential_support", {"full_name", "phone", "needs_accepted", "shelter"}, true},
      {"officer", "", "essential_support", {"narrative"}, false},
      {"officer", "", "medical_care", {"full_name", "phone", "health_note"}, true},
      {"officer", "", "medical_care", {"relatives"}, false},
      {"service", "health_worker", "medical_care", {"full_name", "health_note"}, true},
      {"service", "", "medical_care", {"health_note"}, false},
      {"service", "health_worker", "legal_assistance", {"narrative"}, false},
      {"service", "legal_aid_worker", "legal_assistance", {"narrative"}, true},
      {"service", "", "referral", {"needs_accepted"}, true},
      {"service", "", "referral", {"full_name"}, false},
      {"service", "", "statistics", {"sex"}, false},
      {"officer", "", "emergency", {"full_name", "phone", "relatives", "health_note"}, true},
      {"analyst", "", "emergency", {"full_name"}, false},
      {"auditor", "", "audit_oversight", {"case_no", "services", "consent_support", "sex"}, true},
      {"auditor", "", "audit_oversight", {"full_name"}, false},
      {"auditor", "", "audit_oversight", {"narrative"}, false},
      {"auditor", "", "protection", {"full_name"}, false},
      {"officer", "", "criminal_proceedings", {"narrative"}, false},
      {"owner", "", "criminal_proceedings", {"narrative", "full_name"}, true},
      {"owner", "", "international_cooperation", {"health_note"}, false},
      {"administrator", "", "protection", {"sex"}, false},
      {"administrator", "owner", "protection", {"full_name"}, false},  // called owner, but is not
      {"", "", "protection", {"full_name"}, false},
      {"health_worker", "", "medical_care", {"full_name"}, false},
      {"owner", "", "curiosity", {"sex"}, false},
      {"owner", "", "", {"sex"}, false},
  };
  for (const Row& row : rows) {
    Request asked = request(row.role, row.purpose, row.fields);
    if (!row.functional.empty()) asked.actor.functional_roles = {row.functional};
    const Decision decision = decide(bundled(), asked);
    INFO(row.role << " " << row.functional << " " << row.purpose << ": " << decision.reason);
    REQUIRE(decision.allowed == row.allowed);
    REQUIRE(decision.reason.empty() == row.allowed);
  }
}

TEST_CASE("an administrator or a stranger is admitted to nothing for any purpose") {
  for (const Purpose& purpose : bundled().purposes()) {
    for (const Field& field : bundled().find_type("person")->fields) {
      for (const char* role : {"administrator", "stranger", "*"}) {
        Request asked = request(role, purpose.code, {field.name});
        asked.consent_in_force = true;
        REQUIRE_FALSE(decide(bundled(), asked).allowed);
      }
    }
  }
}

TEST_CASE("the name is admitted neither for statistics nor for communication, whoever asks, with or without consent") {
  for (const char* purpose : {"statistics", "communication_with_consent"}) {
    for (const char* role : {"owner", "administrator", "officer", "analyst", "auditor", "service"}) {
      for (const bool consent : {false, true}) {
        Request asked = request(role, purpose, {"full_name"});
        asked.actor.functional_roles = {"health_worker", "psychologist", "legal_aid_worker", "shelter_worker",
                                        "vocational_worker"};
        asked.consent_in_force = consent;
        REQUIRE_FALSE(decide(bundled(), asked).allowed);
      }
    }
  }
}

TEST_CASE("an entry carries the basis asked for, or the purpose's default") {
  REQUIRE(decide(bundled(), request("owner", "protection", {"sex"})).basis == "protection_order");
  REQUIRE(decide(bundled(), request("owner", "reception", {"sex"})).basis == "self_report_reception");
  REQUIRE(decide(bundled(), request("owner", "statistics", {"sex"})).basis == "state_agency_duty");
  REQUIRE(decide(bundled(), request("analyst", "statistics", {"full_name"})).basis == "state_agency_duty");
  Request asked = request("owner", "protection", {"sex"});
  asked.basis = "vital_interest";
  REQUIRE(decide(bundled(), asked).allowed);
  REQUIRE(decide(bundled(), asked).basis == "vital_interest");
  asked.basis = "support_entitlement";
  const Decision denied = decide(bundled(), asked);
  REQUIRE_FALSE(denied.allowed);
  REQUIRE(denied.basis == "support_entitlement");
  REQUIRE(
      denied.reason.find("'support_entitlement' is not admitted for purpose protection; admitted: protection_order") !=
      std::string::npos);
}

TEST_CASE("consent, unit and recipient class are conditions of their own") {
  Request story = request("owner", "communication_with_consent", {"narrative"});
  REQUIRE(decide(bundled(), story).reason.find("consent in force") != std::string::npos);
  story.consent_in_force = true;
  REQUIRE(decide(bundled(), story).allowed);

  Request support = request("officer", "essential_support", {"needs_accepted"});
  support.actor.unit = "Phòng 1";
  REQUIRE_FALSE(decide(bundled(), support).allowed);
  REQUIRE(decide(bundled(), support).reason.find("own unit") != std::string::npos);
  support.record_unit = "Phòng 2";
  REQUIRE_FALSE(decide(bundled(), support).allowed);
  support.record_unit = "Phòng 1";
  REQUIRE(decide(bundled(), support).allowed);
  support.recipient_class = "shelter";
  REQUIRE(decide(bundled(), support).allowed);
  support.recipient_class = "neighbour";
  REQUIRE_FALSE(decide(bundled(), support).allowed);
}

TEST_CASE("a denial names purpose and field and what would be admitted, and shows no foreign text") {
  const Decision field = decide(bundled(), request("analyst", "statistics", {"sex", "full_name", "dob"}));
  REQUIRE(field.reason == "purpose statistics does not admit full_name, dob for role 'analyst'; it admits: statistics");
  const Decision role = decide(bundled(), request("analyst", "protection", {"sex"}));
  REQUIRE(role.reason == "purpose protection does not admit sex for role 'analyst'; it admits nothing");
  const Decision purpose = decide(bundled(), request("owner", "curiosity", {"sex"}));
  REQUIRE(purpose.reason.find("'curiosity' is not in the schema; it has: reception, verification") !=
          std::string::npos);
  const Decision foreign = decide(bundled(), request("owner", "line\nbreak", {"sex"}));
  REQUIRE(foreign.reason.find('\n') == std::string::npos);
}

TEST_CASE("a request for nothing, or for what is no field, is denied") {
  REQUIRE_FALSE(decide(bundled(), request("owner", "protection", {})).allowed);
  Request asked = request("owner", "protection", {"sex"});
  asked.fields.push_back(nullptr);
  REQUIRE_FALSE(decide(bundled(), asked).allowed);
  Field foreign = *asked.type->find("sex");
  foreign.compartment = 99;
  asked.fields = {&foreign};
  REQUIRE_FALSE(decide(bundled(), asked).allowed);
  asked = request("owner", "protection", {"sex"});
  asked.type = nullptr;
  REQUIRE_FALSE(decide(bundled(), asked).allowed);
}

TEST_CASE("nothing outside the rules is ever allowed, and nothing inside them denied") {
  test::SeededRandom random(42);
  const auto pick = [&random](const auto& from) { return from[random.below(from.size())]; };
  const std::vector<std::string> roles = {"owner",   "administrator", "officer", "analyst",
                                          "auditor", "service",       "stranger"};
  const std::vector<std::string> functional = {
      "health_worker", "psychologist", "legal_aid_worker", "shelter_worker", "owner", "vocational_worker", "stranger"};
  const std::vector<std::string> units = {"", "a", "b"};
  const RecordType& type = *bundled().find_type("person");
  int allowed = 0;
  for (int round = 0; round < 50000; ++round) {
    Request asked;
    asked.actor.role = pick(roles);
    for (std::uint64_t i = random.below(3); i > 0; --i) asked.actor.functional_roles.push_back(pick(functional));
    asked.actor.unit = pick(units);
    asked.record_unit = pick(units);
    const Purpose& purpose = bundled().purposes()[random.below(bundled().purposes().size())];
    asked.purpose = random.below(20) == 0 ? "none" : purpose.code;
    if (random.below(2) == 0) asked.basis = random.below(2) == 0 ? pick(bundled().bases()) : pick(purpose.bases);
    if (random.below(4) == 0)
      asked.recipient_class = random.below(4) == 0 ? "none" : pick(bundled().recipient_classes());
    asked.consent_in_force = random.below(2) == 0;
    asked.type = &type;
    for (std::uint64_t i = random.below(4); i > 0; --i)
      asked.fields.push_back(&type.fields[random.below(type.fields.size())]);
    const Decision decision = decide(bundled(), asked);
    if (decision.allowed != naive(bundled(), asked)) {
      FAIL(asked.actor.role << " " << asked.purpose << " " << asked.basis << ": " << decision.reason);
    }
    allowed += decision.allowed ? 1 : 0;
  }
  REQUIRE(allowed > 2000);
}

TEST_CASE("the library knows six roles, two of which administer, and every schema may use them") {
  for (const char* role : {"owner", "administrator", "officer", "analyst", "auditor", "service"}) {
    INFO(role);
    REQUIRE(is_role(role));
    REQUIRE(may_administer(role) == (std::string_view(role) == "owner" || std::string_view(role) == "administrator"));
    const std::string head = "name = \"s\"\nversion = 1\nbases = [\"b\"]\n";
    const std::string rest =
        "[[compartments]]\nid = 1\nname = \"c\"\n[[types]]\nid = 1\nname = \"t\"\nfields = [{ id = 1, name = \"f\", "
        "type = "
        "\"text\", compartment = \"c\" }]\n[[purposes]]\ncode = \"p\"\nbases = [\"b\"]\ndefault_basis = \"b\"\n";
    REQUIRE_DONE(Schema::parse(head + rest + "[[rules]]\nroles = [\"" + role +
                               "\"]\npurposes = [\"p\"]\ncompartments = [\"*\"]\n"));
    REQUIRE_ERROR(ErrorCode::kBadInput, Schema::parse(head + "roles = [\"" + role + "\"]\n" + rest));
  }
  for (const char* role : {"", "Owner", "owner ", "health_worker", "*"}) REQUIRE_FALSE(is_role(role));
}

}  // namespace casevault::policy
