// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>

/// The registry of KDF and signature labels (FORMAT.md, "Labels"). Each is 16 bytes and used by one file.
/// DO NOT CHANGE OR REUSE A VALUE.
namespace casevault::format {

using Label = std::array<std::uint8_t, 16>;

consteval Label label(const char (&text)[17]) {
  Label out{};
  for (int i = 0; i < 16; ++i) out[i] = static_cast<std::uint8_t>(text[i]);
  return out;
}

// keys/slot.cpp
inline constexpr Label kSlotPassphrase = label("cv1 slot passphr");
inline constexpr Label kSlotKeyFile = label("cv1 slot keyfile");
inline constexpr Label kSlotAge = label("cv1 slot age    ");
inline constexpr Label kSlotShares = label("cv1 slot shares ");
inline constexpr Label kSlotToken = label("cv1 slot token  ");
// keys/token.cpp
inline constexpr Label kTokenDerive = label("cv1 token derive");
// keys/share.cpp
inline constexpr Label kShare = label("cv1 share signed");
// keys/slot_memory.cpp
inline constexpr Label kSlotMemory = label("cv1 slot memory ");
// keys/identity.cpp
inline constexpr Label kIdentityBody = label("cv1 identity key");
inline constexpr Label kPrincipalFile = label("cv1 principal fl");
// keys/grants.cpp
inline constexpr Label kVaultKeyGrant = label("cv1 vk grant box");
inline constexpr Label kVaultKeyLabel = label("cv1 vk grant tag");
inline constexpr Label kVaultKeyCommit = label("cv1 vk commitmnt");
inline constexpr Label kEpochGrant = label("cv1 ck grant box");
inline constexpr Label kEpochKey = label("cv1 ck from half");
inline constexpr Label kEpochCommit = label("cv1 ck commitmnt");
inline constexpr Label kEpochPast = label("cv1 ck past epoc");
inline constexpr Label kEpochDeposit = label("cv1 ck deposit x");
// keys/erasure_root.cpp
inline constexpr Label kErasureRoot = label("cv1 erasure root");
inline constexpr Label kErasureCommit = label("cv1 erasure comm");
// keys/key_tree.cpp
inline constexpr Label kTreeNode = label("cv1 key tree nod");
// model/record_row.cpp
inline constexpr Label kTreeHead = label("cv1 key tree hd ");
inline constexpr Label kCell = label("cv1 record cell ");
// model/search_index.cpp
inline constexpr Label kIndexGeneration = label("cv1 index genera");
inline constexpr Label kIndexField = label("cv1 index field ");
inline constexpr Label kIndexWord = label("cv1 index word  ");
inline constexpr Label kIndexLabel = label("cv1 index label ");
inline constexpr Label kIndexTag = label("cv1 index tag   ");
// vault/authority.cpp
inline constexpr Label kAuthoritySign = label("cv1 authority sg");
// vault/core.cpp
inline constexpr Label kLeafKeys = label("cv1 leaf seal+mk");
// vault/journal.cpp
inline constexpr Label kAuthority = label("cv1 authority pl");
inline constexpr Label kLogLeaf = label("cv1 log leaf    ");
inline constexpr Label kLogWrite = label("cv1 log write   ");
inline constexpr Label kLogClose = label("cv1 log close   ");
inline constexpr Label kLogSegment = label("cv1 log segment ");
inline constexpr Label kLogBatch = label("cv1 log batchsig");
// vault/import.cpp
inline constexpr Label kImportStamp = label("cv1 import stamp");
// vault/details.cpp
inline constexpr Label kLogDetails = label("cv1 log details ");
inline constexpr Label kLogSubject = label("cv1 log subject ");
inline constexpr Label kLogSubjectTag = label("cv1 log subj tag");
// audit/entry.cpp
inline constexpr Label kCommitActor = label("cv1 commit actor");
inline constexpr Label kCommitSubjects = label("cv1 commit subj ");
inline constexpr Label kCommitFields = label("cv1 commit field");
inline constexpr Label kCommitDetails = label("cv1 commit detls");
inline constexpr Label kCommitAuthority = label("cv1 commit autho");
inline constexpr Label kCommitWrite = label("cv1 commit write");
// vault/preflight_memo.cpp
inline constexpr Label kPreflight = label("cv1 preflight ok");
// vault/db_state.cpp
inline constexpr Label kMetaRow = label("cv1 meta row    ");
// vault/people.cpp
inline constexpr Label kInvitation = label("cv1 invitation  ");
// analytics/release.cpp
inline constexpr Label kReleasePseudonym = label("cv1 release name");

}  // namespace casevault::format
