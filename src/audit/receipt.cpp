// SPDX-License-Identifier: Apache-2.0
#include <casevault/audit.hpp>

#include "audit/entry.hpp"
#include "audit/merkle.hpp"
#include "audit/note.hpp"

namespace casevault::audit {
namespace {

constexpr std::uint8_t kEd25519 = 0x01;

}  // namespace

std::string_view name_of(Action action) noexcept {
  switch (action) {
    case Action::kGenesis:
      return "genesis";
    case Action::kAdd:
      return "add";
    case Action::kUpdate:
      return "update";
    case Action::kImport:
      return "import";
    case Action::kDisclose:
      return "disclose";
    case Action::kPrincipalAdd:
      return "principal-add";
    case Action::kGrantAdd:
      return "grant-add";
    case Action::kNotApplied:
      return "not-applied";
    case Action::kReadLog:
      return "read-log";
    case Action::kKeyRotate:
      return "key-rotate";
    case Action::kKeyReencrypt:
      return "key-reencrypt";
    case Action::kKeyCensus:
      return "key-census";
    case Action::kKeyDestroy:
      return "key-destroy";
    case Action::kPrincipalRevoke:
      return "principal-revoke";
    case Action::kGrantRevoke:
      return "grant-revoke";
    case Action::kKeyVault:
      return "key-vault";
    case Action::kPrincipalRekey:
      return "principal-rekey";
    case Action::kKeyRetire:
      return "key-retire";
    case Action::kFind:
      return "find";
    case Action::kDuplicates:
      return "duplicates";
    case Action::kMerge:
      return "merge";
    case Action::kUnmerge:
      return "unmerge";
    case Action::kTable:
      return "table";
    case Action::kTabulate:
      return "tabulate";
    case Action::kRelease:
      return "release";
    case Action::kBudget:
      return "budget";
  }
  return {};
}

std::string_view name_of(Outcome outcome) noexcept {
  switch (outcome) {
    case Outcome::kOk:
      return "ok";
    case Outcome::kDenied:
      return "denied";
    case Outcome::kFailed:
      return "failed";
  }
  return {};
}

Result<Checkpoint> verify_checkpoint(std::string_view note, std::string_view log_key) {
  CASEVAULT_TRY(const NoteVerifier verifier, parse_verifier(log_key));
  if (verifier.type != kEd25519) {
    return Error{ErrorCode::kBadInput, "log key: this is a witness's key; give the log's own, as init printed it"};
  }
  CASEVAULT_TRY(const std::string text, open_note(note, {&verifier, 1}));
  CASEVAULT_TRY(Checkpoint checkpoint, parse_checkpoint(text));
  if (checkpoint.origin != verifier.name) {
    return Error{ErrorCode::kIntegrity,
                 "checkpoint: it is of the log " + checkpoint.origin + ", the key is of the log " + verifier.name};
  }
  return checkpoint;
}

Result<ReceiptFacts> verify_receipt(std::string_view receipt, std::string_view log_key) {
  CASEVAULT_TRY(const InclusionProof proof, parse_proof(receipt));
  if (proof.extra.empty()) {
    return Error{ErrorCode::kBadInput, "receipt: it carries no log entry (the extra line is missing)"};
  }
  CASEVAULT_TRY(Checkpoint checkpoint, verify_checkpoint(proof.checkpoint_note, log_key));
  // The leaf is read only after it is known to be the log's.
  if (!verify_inclusion(leaf_hash(proof.extra), proof.index, checkpoint.size, proof.path, checkpoint.root)) {
    return Error{ErrorCode::kIntegrity, "receipt: this is not entry " + std::to_string(proof.index) +
                                            " of the log that its checkpoint states; it was changed or forged"};
  }
  CASEVAULT_TRY(Leaf leaf, decode_leaf(proof.extra));
  return ReceiptFacts{.entry = proof.index,
                      .size = checkpoint.size,
                      .root = checkpoint.root,
                      .origin = std::move(checkpoint.origin),
                      .action = leaf.action,
                      .outcome = leaf.outcome,
                      .time_ms = leaf.time_ms,
                      .purpose = std::move(leaf.purpose),
                      .basis = std::move(leaf.basis),
                      .count = leaf.count};
}

}  // namespace casevault::audit
