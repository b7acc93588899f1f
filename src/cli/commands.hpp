// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "cli/context.hpp"

/// What each command takes, as written on the command line, and its work; the answer is the exit code.
namespace casevault::cli {

struct InitArguments {
  std::string folder, schema = "vn-victim-support", name = "owner", identity_out, suite = "1", quorum, shares;
};
Result<int> init(Context& context, const InitArguments& arguments);
Result<int> status(Context& context);
struct DoctorArguments {
  bool deep = false;
};
Result<int> doctor(Context& context, const DoctorArguments& arguments);
Result<int> schema_show(Context& context);
struct SchemaCheckArguments {
  std::string file;
};
Result<int> schema_check(Context& context, const SchemaCheckArguments& arguments);
Result<int> key_list(Context& context);
struct KeyRotateArguments {
  std::string compartment;
  bool all = false, vault_key = false;
};
Result<int> key_rotate(Context& context, const KeyRotateArguments& arguments);
struct KeyReencryptArguments {
  std::string compartment, rate;
  bool index = false;
};
Result<int> key_reencrypt(Context& context, const KeyReencryptArguments& arguments);
Result<int> key_status(Context& context);
Result<int> key_census(Context& context);
struct KeyDestroyArguments {
  std::string compartment, epoch, confirm;
};
Result<int> key_destroy(Context& context, const KeyDestroyArguments& arguments);
struct KeyRetireArguments {
  std::string compartment, epoch;
};
Result<int> key_retire(Context& context, const KeyRetireArguments& arguments);
struct AcceptArguments {
  std::string invitation;
};
Result<int> vault_accept(Context& context, const AcceptArguments& arguments);

struct AddArguments {
  std::string type, from, searched;
  std::vector<std::string> values;
};
Result<int> add(Context& context, const AddArguments& arguments);
struct UpdateArguments {
  std::string id, expect_version;
  std::vector<std::string> values;
};
Result<int> update(Context& context, const UpdateArguments& arguments);
struct ListArguments {
  std::string type, limit, after;
};
Result<int> list(Context& context, const ListArguments& arguments);
struct HistoryArguments {
  std::string id;
};
Result<int> history(Context& context, const HistoryArguments& arguments);
struct ImportArguments {
  std::string type, file, map, rejects, ids_out;
  bool dry_run = false;
};
Result<int> import_file(Context& context, const ImportArguments& arguments);
struct DiscloseArguments {
  std::vector<std::string> ids;
  std::string fields, purpose, basis, to, to_class, receipt, out;
};
Result<int> disclose(Context& context, const DiscloseArguments& arguments);
struct FindArguments {
  std::string type, purpose, basis, limit, from;
  std::vector<std::string> values;
  bool loose = false;
};
Result<int> find(Context& context, const FindArguments& arguments);
struct DuplicatesArguments {
  std::string type, purpose, basis, min_score;
};
Result<int> duplicates(Context& context, const DuplicatesArguments& arguments);
struct MergeArguments {
  std::string a, b, reason;
  bool undo = false;
};
Result<int> merge(Context& context, const MergeArguments& arguments);

Result<int> audit_verify(Context& context);
struct AuditLogArguments {
  std::string from, actor, subject;
  bool details = false;
};
Result<int> audit_log(Context& context, const AuditLogArguments& arguments);
struct ProveArguments {
  std::string entry, out;
};
Result<int> audit_prove(Context& context, const ProveArguments& arguments);
struct CheckpointArguments {
  std::string out;
};
Result<int> audit_checkpoint(Context& context, const CheckpointArguments& arguments);
struct ReceiptArguments {
  std::string file, log_key;
};
Result<int> receipt_verify(Context& context, const ReceiptArguments& arguments);

struct IdentityNewArguments {
  std::string name, out;
  bool generate = false;
};
Result<int> identity_new(Context& context, const IdentityNewArguments& arguments);
struct IdentityShowArguments {
  std::string file;
};
Result<int> identity_show(Context& context, const IdentityShowArguments& arguments);
struct SlotAddArguments {
  std::string file, type = "passphrase", recipient, keyfile, new_passphrase_file, module, token, key, pin_file;
  bool generate = false;
};
Result<int> slot_add(Context& context, const SlotAddArguments& arguments);
struct SlotRemoveArguments {
  std::string file, id;
};
Result<int> slot_remove(Context& context, const SlotRemoveArguments& arguments);
struct SlotListArguments {
  std::string file;
};
Result<int> slot_list(Context& context, const SlotListArguments& arguments);
struct SplitArguments {
  std::string file, quorum, folder;
};
Result<int> identity_split(Context& context, const SplitArguments& arguments);
struct PrincipalAddArguments {
  std::string name, public_file, role, grants, unit, functional_roles, invitation, expires;
  bool may_grant = false;
};
Result<int> principal_add(Context& context, const PrincipalAddArguments& arguments);
Result<int> principal_list(Context& context);
struct GrantArguments {
  std::string name;
  std::vector<std::string> compartments;
  std::string expires;
  bool may_grant = false;
};
Result<int> grant_add(Context& context, const GrantArguments& arguments);
Result<int> grant_revoke(Context& context, const GrantArguments& arguments);
struct RekeyArguments {
  std::string public_file, invitation;
};
Result<int> principal_rekey(Context& context, const RekeyArguments& arguments);
struct RevokeArguments {
  std::string name;
};
Result<int> principal_revoke(Context& context, const RevokeArguments& arguments);

struct ReportTableArguments {
  std::string type, rows, columns, era = "recorded", min_cell, round_to, out, name, purpose, basis, to;
  std::vector<std::string> where;
};
Result<int> report_table(Context& context, const ReportTableArguments& arguments);
struct ReportIndicatorsArguments {
  std::string from, until, era = "recorded", min_cell, only, out, purpose, basis, to;
};
Result<int> report_indicators(Context& context, const ReportIndicatorsArguments& arguments);
Result<int> report_ledger(Context& context);
struct ReportBudgetArguments {
  std::string tool, epsilon, name, purpose;
};
Result<int> report_budget(Context& context, const ReportBudgetArguments& arguments);
struct ExportArguments {
  std::string type, columns, out, purpose, basis, to, to_class, release, era = "recorded", k, distinct, sensitive,
                                                                         age_on;
  std::vector<std::string> where, bands;
  bool star = false;
};
Result<int> export_rows(Context& context, const ExportArguments& arguments);

}  // namespace casevault::cli
