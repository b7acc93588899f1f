// SPDX-License-Identifier: Apache-2.0
#include "vault/create.hpp"

#include "audit/note.hpp"
#include "base/text.hpp"
#include "vault/core.hpp"

#include <fcntl.h>
#include <cerrno>
#include <cstdio>

namespace casevault::vault {
namespace {

/// Removes the half-made folder (and an identity file outside it) unless told that all went well.
class Scaffold {
 public:
  explicit Scaffold(std::filesystem::path folder) : folder_(std::move(folder)) {}
  Scaffold(const Scaffold&) = delete;
  Scaffold& operator=(const Scaffold&) = delete;
  ~Scaffold() {
    if (done_) return;
    std::error_code ignored;
    std::filesystem::remove_all(folder_, ignored);
    for (const std::filesystem::path& extra : extra_) std::filesystem::remove_all(extra, ignored);
  }
  void also(std::filesystem::path extra) { extra_.push_back(std::move(extra)); }
  void leave(const std::filesystem::path& extra) { std::erase(extra_, extra); }
  void keep() noexcept { done_ = true; }

 private:
  std::filesystem::path folder_;
  std::vector<std::filesystem::path> extra_;
  bool done_ = false;
};

struct NewKeys {
  keys::VaultTag tag{};
  SecretBytes vault_key;
  SecretBytes root;
  SecretBytes id_key;
  SecretBytes log_seed;
};

/// Epochs of every compartment, sealed to the owner; halves go into the key tree.
Result<std::vector<AuthorityOp>> first_epochs(store::WriteTxn& txn, const NewKeys& keys, const Schema& schema,
                                              const Identity::Impl& owner, DbState& db,
                                              keys::EpochCommitments& audit_epoch, base::Random& random) {
  std::vector<AuthorityOp> ops;
  const keys::KeyTree tree(keys.tag, random);
  for (const Compartment& compartment : schema.compartments()) {
    const keys::EpochName name{compartment.id, 1};
    const SecretBytes granted = crypto::random_key(random);
    const SecretBytes half = crypto::random_key(random);
    OpEpoch epoch{name, keys::commit_epoch(keys.tag, name, granted, keys::epoch_key(keys.tag, name, granted, half)),
                  db.next_half_slot++};
    CASEVAULT_CHECK(tree.put_slot(txn, keys.root, keys::TreeKind::kEpochHalves, epoch.half_slot, half));
    if (compartment.id == kAuditCompartment) audit_epoch = epoch.commitments;
    OpGrant grant{1, name, {}, true, 0};
    CASEVAULT_TRY(grant.box, keys::seal_epoch(keys.tag, name, owner.x_public, granted, random));
    ops.emplace_back(std::move(epoch));
    ops.emplace_back(std::move(grant));
  }
  return ops;
}

Result<void> rename_new(const std::filesystem::path& from, const std::filesystem::path& to) {
  if (::renameat2(AT_FDCWD, from.c_str(), AT_FDCWD, to.c_str(), RENAME_NOREPLACE) == 0) return {};
  if (errno == EEXIST)
    return Error{ErrorCode::kUsage, to.string() + " exists already; a vault is never made over something"};
  return base::errno_error(errno, "create", to.string());
}

}  // namespace

Result<InitResult> create_vault(const std::filesystem::path& folder_as_given, const Schema& schema,
                                const OwnerKey& owner_key, const InitOptions& options,
                                const base::Environment& environment) {
  base::Random& random = *environment.random;
  std::error_code problem;
  std::filesystem::path folder = std::filesystem::absolute(folder_as_given, problem).lexically_normal();
  if (!folder.has_filename()) folder = folder.parent_path();
  if (std::filesystem::exists(std::filesystem::symlink_status(folder, problem))) {
    return Error{ErrorCode::kUsage, folder.string() + " exists already; a vault is never made over something"};
  }
  if (!crypto::suite_of(static_cast<std::uint64_t>(options.suite))) {
    return Error{ErrorCode::kUsage,
                 "there is no suite " + std::to_string(static_cast<int>(options.suite)) + ": 1, 2 and 3 are known"};
  }
  const bool inside = options.identity_file.empty();
  const std::filesystem::path identity_file =
      inside ? folder / "identities" / (options.owner + ".identity") : options.identity_file;
  if (inside && (options.owner.find('/') != std::string::npos || options.owner.starts_with('.'))) {
    return Error{ErrorCode::kUsage,
                 "this owner's name makes no file name; give the identity a file of its own (--identity-out)"};
  }
  if (!inside && std::filesystem::exists(std::filesystem::symlink_status(identity_file, problem))) {
    return Error{ErrorCode::kUsage, identity_file.string() + " exists already; an identity is never overwritten"};
  }
  std::array<std::uint8_t, 8> suffix{};
  random.fill(suffix);
  const std::filesystem::path work =
      folder.parent_path() / ("." + folder.filename().string() + ".init-" + base::to_hex(suffix));
  CASEVAULT_CHECK(base::create_folder(work));
  Scaffold scaffold(work);
  CASEVAULT_CHECK(base::create_folder(work / "identities"));

  const std::filesystem::path identity_now = inside ? work / "identities" / identity_file.filename() : identity_file;
  const auto* quorum = std::get_if<QuorumPlan>(&owner_key);
  auto made = quorum != nullptr
                  ? keys::make_quorum_identity(identity_now, options.owner, *quorum, environment)
                  : keys::make_identity(identity_now, options.owner, *std::get<const Passphrase*>(owner_key),
                                        options.slot_cost, environment);
  if (!made) return std::move(made).error();
  Identity identity = *std::move(made);
  if (quorum != nullptr) scaffold.also(quorum->folder);
  Identity::Impl& owner = identity.impl();
  NewKeys keys;
  random.fill(keys.tag);
  keys.vault_key = crypto::random_key(random);
  keys.root = crypto::random_key(random);
  keys.id_key = crypto::random_key(random);
  keys.log_seed = crypto::random_key(random);
  const crypto::PublicKey log_public = crypto::ed25519_public(crypto::key_of(keys.log_seed));
  const keys::RootContext root_context{keys.tag, 1, &keys.vault_key};

  DbState db;
  if (has_index(schema)) db.index.emplace();
  db.root = {1, keys::commit_root(keys.tag, 1, keys.root)};
  CASEVAULT_CHECK(keys::ErasureRoot::create(work / "erasure.root", root_context, 1, keys.root, random));
  store::LmdbOptions lmdb;
  lmdb.create = true;
  CASEVAULT_TRY(auto store, store::open_lmdb_store(work, lmdb));
  CASEVAULT_TRY(auto txn, store->begin_write());
  keys::EpochCommitments audit_epoch;
  CASEVAULT_TRY(std::vector<AuthorityOp> epochs, first_epochs(*txn, keys, schema, owner, db, audit_epoch, random));

  EntryDraft genesis;
  genesis.leaf.action = audit::Action::kGenesis;
  genesis.mutation = true;
  genesis.authority.emplace_back(OpGenesis{keys.tag, environment.clock->now_ms(), keys.id_key.clone(),
                                           keys.log_seed.clone(), static_cast<std::uint64_t>(options.suite)});
  genesis.authority.emplace_back(OpSchema{schema.source()});
  genesis.authority.emplace_back(OpVaultKey{1, keys::vault_key_commitment(keys.tag, 1, keys.vault_key), {}});
  genesis.authority.emplace_back(OpPrincipal{1, owner.public_string, "owner", {}, {}});
  for (AuthorityOp& op : epochs) genesis.authority.push_back(std::move(op));
  CASEVAULT_TRY(Bytes box, keys::seal_vault_key(keys.tag, 1, owner.x_public, keys.vault_key, random));
  genesis.vault_key_grants.emplace_back(keys::vault_key_label(keys.tag, 1, owner.x_public), std::move(box));
  CASEVAULT_TRY(const DetailsSealer sealer,
                DetailsSealer::make(keys.tag, {kAuditCompartment, 1}, audit_epoch.deposit_public, random));
  DetailsDraft details;
  details.actor = 1;
  details.actor_name = owner.name;
  details.text = "vault created with schema " + schema.name() + " version " + std::to_string(schema.version());
  genesis.details = sealer.prepare(std::move(details), genesis.leaf);

  Journal journal(environment);
  journal.begin_new(keys.tag, keys.vault_key, 1, owner.ed_seed);
  CASEVAULT_CHECK(log::create_log(work / "log", journal));
  CASEVAULT_TRY(auto log, log::open_log(work / "log", journal, {}));
  CASEVAULT_TRY(const EntryPlace first, journal.append(*log, std::move(genesis)));
  db.applied = first.entry + 1;
  CASEVAULT_CHECK(write_state({keys.tag, &keys.vault_key}, *txn, db, random));
  CASEVAULT_CHECK(txn->commit());
  txn.reset();
  store.reset();
  log.reset();
  CASEVAULT_CHECK(base::write_new_file(work / "FORMAT", as_bytes(format_line(first.leaf_hash))));

  const std::string log_key = audit::verifier_string(log_origin(keys.tag), log_public);
  owner.pins.push_back({first.leaf_hash, log_key});
  if (!inside) scaffold.also(identity_file);
  if (auto written = keys::write_identity(identity, random); !written) {
    if (written.error().code == ErrorCode::kUsage) scaffold.leave(identity_file);  // someone else's file
    return std::move(written).error();
  }
  CASEVAULT_CHECK(base::sync_folder(work));
  CASEVAULT_CHECK(rename_new(work, folder));
  scaffold.keep();
  CASEVAULT_CHECK(base::sync_folder(folder.parent_path()));

  const std::string origin = log_origin(keys.tag);
  const audit::Checkpoint checkpoint{origin, 1, first.leaf_hash};
  const AnchorStore anchors(options.state_folder.empty() ? default_state_folder() : options.state_folder,
                            first.leaf_hash);
  (void)anchors.keep(audit::sign_note(audit::checkpoint_text(checkpoint), origin, crypto::key_of(keys.log_seed)), 1,
                     [&](std::string_view known) { return audit::verify_checkpoint(known, log_key); });
  return InitResult{base::to_hex(first.leaf_hash), options.owner, log_key, schema.name(), identity_file};
}

}  // namespace casevault::vault
