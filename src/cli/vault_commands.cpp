// SPDX-License-Identifier: Apache-2.0
#include "cli/commands.hpp"

namespace casevault::cli {
namespace {

namespace fs = std::filesystem;

Result<Schema> schema_from_file(const fs::path& file) {
  CASEVAULT_TRY(const std::string text, read_text(file));
  auto schema = Schema::parse(text);
  if (!schema) return Error{schema.error().code, file.string() + ": " + schema.error().message};
  return schema;
}

/// A path is told from the name of a bundled schema by its slash or suffix, so that a stray file cannot shadow a
/// bundled one.
Result<Schema> choose_schema(const std::string& text) {
  const bool file = text.find('/') != std::string::npos || text.ends_with(".toml");
  return file ? schema_from_file(text) : Schema::bundled(text);
}

Json facts_of(const Schema& schema) {
  Json types = Json::array();
  for (const RecordType& type : schema.types()) types.push_back(type.name);
  Json compartments = Json::array();
  for (const Compartment& compartment : schema.compartments()) compartments.push_back(compartment.name);
  return {{"name", schema.name()}, {"version", schema.version()}, {"types", types}, {"compartments", compartments}};
}

}  // namespace

Result<int> init(Context& context, const InitArguments& arguments) {
  const fs::path folder(arguments.folder);
  CASEVAULT_CHECK(check_new_file(folder.has_filename() ? folder : folder.parent_path()));
  CASEVAULT_CHECK(check_new_file(arguments.identity_out));
  CASEVAULT_TRY(const Schema schema, choose_schema(arguments.schema));
  if (arguments.quorum.empty() != arguments.shares.empty())
    return Error{ErrorCode::kUsage, "--quorum K/N and --shares-dir DIR go together"};
  InitOptions options;
  options.owner = arguments.name;
  options.identity_file = arguments.identity_out;
  options.suite = static_cast<Suite>(arguments.suite.front() - '0');
  const auto make = [&]() -> Result<InitResult> {
    if (!arguments.quorum.empty()) {
      CASEVAULT_TRY(const QuorumPlan plan, parse_quorum(arguments.quorum, arguments.shares));
      return Session::init(folder, schema, plan, options);
    }
    CASEVAULT_TRY(const Passphrase passphrase, context.new_passphrase(arguments.name));
    return Session::init(folder, schema, passphrase, options);
  };
  CASEVAULT_TRY(const InitResult made, make());
  const std::string identity = made.identity_file.string();
  CASEVAULT_CHECK(context.print(Json{{"vault", arguments.folder},
                                     {"id", made.vault_id},
                                     {"owner", made.owner},
                                     {"log_key", made.log_key},
                                     {"schema", made.schema},
                                     {"identity", identity},
                                     {"shares", arguments.shares.empty() ? Json(nullptr) : Json(arguments.shares)}},
                                "vault:    " + arguments.folder + "\nid:       " + made.vault_id +
                                    "\nowner:    " + made.owner + "\nidentity: " + identity +
                                    "\nschema:   " + made.schema + "\nlog key:  " + made.log_key));
  return 0;
}

Result<int> doctor(Context& context, const DoctorArguments& arguments) {
  CASEVAULT_TRY(const fs::path folder, context.vault());
  CASEVAULT_TRY(const Identity identity, context.identity());
  DoctorOptions options;
  options.deep = arguments.deep;
  options.progress = context.progress();
  CASEVAULT_TRY(const DoctorReport report,
                examine(folder, identity, context.open_options(Access::kReadOnly, context.options.anchors), options));
  Json findings = Json::array();
  std::string text;
  for (const Finding& finding : report.findings) {
    findings.push_back({{"severity", name_of(finding.severity)},
                        {"where", visible(finding.where)},
                        {"what", visible(finding.what)},
                        {"remedy", finding.remedy}});
    text += std::string(name_of(finding.severity)) + ": " + visible(finding.where) + ": " + visible(finding.what) +
            (finding.remedy.empty() ? "" : "\n  remedy: " + finding.remedy) + "\n";
  }
  if (report.more > 0) text += "and " + std::to_string(report.more) + " more\n";
  text += std::string(report.ok                            ? "ok"
                      : report.worst == Severity::kWarning ? "degraded"
                                                           : "NOT OK") +
          ": " + std::to_string(report.entries) + " entries, " + std::to_string(report.records) + " records, " +
          std::to_string(report.tree_rows) + " rows of the key tree";
  if (arguments.deep) text += ", " + std::to_string(report.cells) + " cells";
  CASEVAULT_CHECK(context.print(Json{{"ok", report.ok},
                                     {"findings", findings},
                                     {"more", report.more},
                                     {"entries", report.entries},
                                     {"records", report.records},
                                     {"tree_rows", report.tree_rows},
                                     {"cells", report.cells},
                                     {"sealed_cells", report.sealed_cells}},
                                text));
  switch (report.worst) {
    case Severity::kInfo:
      return 0;
    case Severity::kWarning:
      return exit_code(ErrorCode::kDegraded);
    case Severity::kError:
      return exit_code(ErrorCode::kIntegrity);
  }
  return 1;
}

Result<int> status(Context& context) {
  CASEVAULT_TRY(Session session, context.open(Access::kReadOnly));
  CASEVAULT_TRY(const Status now, session.status());
  Json records = Json::object();
  Json epochs = Json::object();
  std::string text = "vault " + now.id + "\nschema " + now.schema + ", suite " +
                     std::to_string(static_cast<int>(now.suite)) + ", opened by " + visible(now.principal) + " (" +
                     now.role + ")\n";
  for (const auto& [type, count] : now.records) {
    records[type] = count;
    text += "records of " + type + ": " + std::to_string(count) + "\n";
  }
  text += "log: " + std::to_string(now.log_size) + " entries, root " + hex(now.root) + "\nepochs:";
  for (const EpochInfo& info : now.epochs) {
    epochs[info.compartment] = info.epoch;
    text += " " + info.compartment + ":" + std::to_string(info.epoch);
  }
  text += " vault key:" + std::to_string(now.vault_key_epoch) + "\nlog key " + now.log_key + "\nerasure level " +
          now.erasure_level;
  for (const std::string& warning : now.warnings) text += "\nwarning: " + visible(warning);
  CASEVAULT_CHECK(context.print(Json{{"id", now.id},
                                     {"schema", now.schema},
                                     {"suite", static_cast<int>(now.suite)},
                                     {"principal", now.principal},
                                     {"role", now.role},
                                     {"records", records},
                                     {"log_size", now.log_size},
                                     {"log_key", now.log_key},
                                     {"vault_key_epoch", now.vault_key_epoch},
                                     {"root", hex(now.root)},
                                     {"epochs", epochs},
                                     {"erasure_level", now.erasure_level},
                                     {"warnings", now.warnings}},
                                text));
  return 0;
}

Result<int> schema_show(Context& context) {
  CASEVAULT_TRY(Session session, context.open(Access::kReadOnly));
  const Schema& schema = session.schema();
  if (!context.options.json) {
    CASEVAULT_CHECK(context.print(schema.source()));
    return 0;
  }
  Json json = facts_of(schema);
  json["source"] = schema.source();
  CASEVAULT_CHECK(context.print(json, {}));
  return 0;
}

Result<int> schema_check(Context& context, const SchemaCheckArguments& arguments) {
  CASEVAULT_TRY(const Schema schema, schema_from_file(arguments.file));
  Json json{{"ok", true}};
  json.update(facts_of(schema));
  json["warnings"] = schema.warnings();
  std::string text =
      arguments.file + ": schema " + schema.name() + " version " + std::to_string(schema.version()) + " is valid";
  for (const std::string& warning : schema.warnings()) text += "\nwarning: " + warning;
  CASEVAULT_CHECK(context.print(json, text));
  return 0;
}

Result<int> vault_accept(Context& context, const AcceptArguments& arguments) {
  CASEVAULT_TRY(const std::string invitation, read_text(arguments.invitation));
  CASEVAULT_TRY(Identity identity, context.identity());
  CASEVAULT_TRY(const std::string id, Session::accept(invitation, identity));
  CASEVAULT_CHECK(context.print(Json{{"id", id}, {"name", identity.name()}, {"identity", identity.file().string()}},
                                "vault " + id + " is pinned in " + identity.file().string()));
  return 0;
}

}  // namespace casevault::cli
