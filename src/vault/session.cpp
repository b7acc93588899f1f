// SPDX-License-Identifier: Apache-2.0
#include "base/text.hpp"
#include "vault/audit_view.hpp"
#include "vault/create.hpp"
#include "vault/epochs.hpp"
#include "vault/import.hpp"
#include "vault/merge.hpp"
#include "vault/people.hpp"
#include "vault/session_impl.hpp"
#include "vault/vault_key.hpp"
#include "vault/verify.hpp"

#include <algorithm>

namespace casevault {

Result<RecordId> RecordId::parse(std::string_view text) {
  const auto bytes = base::from_crockford(text);
  if (!bytes) {
    // What could never have been an id may be a name in the wrong place: it is not repeated.
    const bool like_an_id =
        text.size() <= 40 && std::ranges::all_of(text, [](char c) {
          return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '-';
        });
    return Error{ErrorCode::kNotFound,
                 (like_an_id ? std::string(text) + " is" : std::string("this is")) +
                     " not a record id (26 characters, as casevault prints them): it is mistyped"};
  }
  return RecordId(*bytes);
}

std::string RecordId::to_string() const { return base::to_crockford(bytes_); }

Result<InitResult> Session::init(const std::filesystem::path& folder, const Schema& schema,
                                 const Passphrase& passphrase, const InitOptions& options) {
  return vault::create_vault(folder, schema, &passphrase, options, base::system_environment());
}

Result<InitResult> Session::init(const std::filesystem::path& folder, const Schema& schema, const QuorumPlan& quorum,
                                 const InitOptions& options) {
  return vault::create_vault(folder, schema, quorum, options, base::system_environment());
}

Result<Session> Session::open(const std::filesystem::path& folder, const Identity& identity,
                              const OpenOptions& options) {
  CASEVAULT_TRY(auto core, vault::Core::open(folder, identity, options, base::system_environment()));
  std::optional<Schema> schema;
  {
    CASEVAULT_TRY(const vault::Snapshot snapshot, core->snapshot());
    schema = snapshot.authority->schema();
  }
  auto impl = std::make_unique<Impl>(std::move(core));
  impl->schema = std::move(schema);
  return Session(std::move(impl));
}

Result<std::string> Session::accept(std::string_view invitation, Identity& identity) {
  CASEVAULT_TRY(const vault::Invitation parsed, vault::parse_invitation(invitation));
  CASEVAULT_TRY(const Pin pin, vault::open_invitation(parsed, identity.impl()));
  CASEVAULT_CHECK(keys::add_pin(identity, pin, *base::system_environment().random));
  return base::to_hex(pin.vault_id);
}

Session::Session(std::unique_ptr<Impl> impl) noexcept : impl_(std::move(impl)) {}
Session::Session(Session&&) noexcept = default;
Session& Session::operator=(Session&&) noexcept = default;
Session::~Session() = default;

const Schema& Session::schema() const { return *impl_->schema; }

Result<Status> Session::status() {
  CASEVAULT_TRY(const auto open, impl_->core());
  vault::Core& core = *open;
  CASEVAULT_CHECK(core.log().refresh());
  CASEVAULT_TRY(const vault::Snapshot snapshot, core.snapshot());
  const vault::Authority& authority = *snapshot.authority;
  const vault::Journal::State log = core.journal().state();
  Status status;
  status.id = base::to_hex(core.vault_id());
  status.schema = authority.schema().name();
  status.suite = static_cast<Suite>(authority.state.suite);
  status.principal = authority.me().who.name;
  status.role = authority.me().role;
  for (const RecordType& type : authority.schema().types()) {
    const auto count = snapshot.db.records.find(type.id);
    status.records[type.name] = count == snapshot.db.records.end() ? 0 : count->second;
  }
  status.log_size = log.tree.size();
  status.root = log.tree.root();
  for (const Compartment& compartment : authority.schema().compartments()) {
    status.epochs.push_back({compartment.name, authority.state.current(compartment.id).epoch});
  }
  status.log_key = core.log_key();
  status.vault_key_epoch = authority.state.vault_key_epoch;
  status.erasure_level = keys::erasure_level(core.root_file());
  status.warnings = core.open_warnings();
  if (status.erasure_level == "E0") {
    status.warnings.emplace_back(
        "erasure.root lies on a file system that may keep overwritten blocks: erasure can only reach level E0 here");
  }
  std::error_code ignored;
  for (const auto& file : std::filesystem::directory_iterator(core.folder() / "identities", ignored)) {
    status.warnings.push_back(
        "identity " + file.path().filename().string() +
        " lies inside the vault: whoever copies the folder has it, guarded by its passphrase alone; move it elsewhere");
  }
  if (!memory_lock_status().locked)
    status.warnings.emplace_back("memory could not be locked (RLIMIT_MEMLOCK): keys may be swapped out");
  for (std::string& what : vault::left_over(core, authority)) status.warnings.push_back(std::move(what));
  if (log.last_mutation > snapshot.db.applied) {
    status.warnings.push_back("entry " + std::to_string(log.last_mutation - 1) +
                              " is pending: the next writer settles it");
  }
  return status;
}

Result<Written> Session::add(std::string_view type, std::span<const FieldInput> fields,
                             const std::optional<std::uint64_t>& searched) {
  CASEVAULT_TRY(const auto core, impl_->core());
  CASEVAULT_CHECK(vault::catch_up(*core));
  return vault::add_record(*core, type, fields, searched);
}

Result<Written> Session::update(const RecordId& id, std::span<const FieldInput> fields,
                                std::optional<std::uint32_t> expect_version) {
  CASEVAULT_TRY(const auto core, impl_->core());
  CASEVAULT_CHECK(vault::catch_up(*core));
  return vault::update_record(*core, id, fields, expect_version);
}

Result<std::vector<RecordInfo>> Session::list(std::string_view type, std::size_t limit,
                                              const std::optional<RecordId>& after) {
  CASEVAULT_TRY(const auto core, impl_->core());
  return vault::list_records(*core, type, limit, after);
}

Result<std::vector<VersionInfo>> Session::history(const RecordId& id) {
  CASEVAULT_TRY(const auto core, impl_->core());
  return vault::record_history(*core, id);
}

Result<Merged> Session::merge(const RecordId& a, const RecordId& b, std::string_view reason, bool undo) {
  CASEVAULT_TRY(const auto core, impl_->core());
  return vault::merge_records(*core, a, b, reason, undo);
}

Result<std::vector<RecordId>> Session::same_person(const RecordId& id) {
  CASEVAULT_TRY(const auto core, impl_->core());
  return vault::records_of_person(*core, id);
}

Result<ImportReport> Session::import_rows(std::string_view type, RowSource& source, const ImportOptions& options) {
  CASEVAULT_TRY(const auto core, impl_->core());
  CASEVAULT_CHECK(vault::catch_up(*core));
  return vault::import_rows(*core, type, source, options);
}

Result<VerifyReport> Session::verify_log(std::string_view anchor, const ProgressCallback& progress) {
  CASEVAULT_TRY(const auto core, impl_->core());
  return vault::verify_log(*core, anchor, progress);
}

Result<void> Session::read_log(const LogQuery& query, const std::function<bool(const LogEntry&)>& visit) {
  CASEVAULT_TRY(const auto core, impl_->core());
  return vault::read_log(*core, query, visit);
}

Result<std::string> Session::prove(std::uint64_t entry) {
  CASEVAULT_TRY(const auto core, impl_->core());
  return vault::prove_entry(*core, entry);
}

Result<std::string> Session::checkpoint() {
  CASEVAULT_TRY(const auto core, impl_->core());
  CASEVAULT_CHECK(core->log().refresh());
  return core->sign_checkpoint();
}

Result<std::string> Session::add_principal(const PrincipalRequest& request) {
  CASEVAULT_TRY(const auto core, impl_->core());
  CASEVAULT_CHECK(vault::catch_up(*core));
  return vault::add_principal(*core, request);
}

Result<std::vector<PrincipalInfo>> Session::principals() {
  CASEVAULT_TRY(const auto core, impl_->core());
  return vault::list_principals(*core);
}

Result<std::uint64_t> Session::grant(std::string_view principal, std::span<const std::string> compartments,
                                     const GrantOptions& options) {
  CASEVAULT_TRY(const auto core, impl_->core());
  CASEVAULT_CHECK(vault::catch_up(*core));
  return vault::grant(*core, principal, compartments, options);
}

Result<std::uint64_t> Session::revoke(std::string_view principal) {
  CASEVAULT_TRY(const auto core, impl_->core());
  return vault::revoke(*core, principal);
}

Result<std::uint64_t> Session::revoke_grant(std::string_view principal, std::span<const std::string> compartments) {
  CASEVAULT_TRY(const auto core, impl_->core());
  return vault::revoke_grant(*core, principal, compartments);
}

Result<std::string> Session::rekey(std::string_view public_string) {
  CASEVAULT_TRY(const auto core, impl_->core());
  CASEVAULT_CHECK(vault::catch_up(*core));
  return vault::rekey(*core, public_string);
}

Result<std::uint64_t> Session::rotate_vault_key() {
  CASEVAULT_TRY(const auto core, impl_->core());
  CASEVAULT_CHECK(vault::catch_up(*core));
  return vault::rotate_vault_key(*core);
}

Result<std::vector<KeyInfo>> Session::keys() {
  CASEVAULT_TRY(const auto core, impl_->core());
  return vault::list_keys(*core);
}

void Session::close() noexcept {
  if (impl_) impl_->close();
}

}  // namespace casevault
