// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "vault/records.hpp"

/// A new record that may be about a person who is there already: told to who wrote it, decided by nobody.
namespace casevault::vault {

/// Looks, within one unit of work, for published records that have the same name (exact or without marks) and year of
/// birth, the same phone number or the same identity number as one that this unit of work wrote. What the index is to
/// find is flushed before.
class Lookalikes {
 public:
  /// `own`: of the import at hand, whose rows count although they are not published yet.
  Lookalikes(UnitOfWork& work, const Indexer& indexer, const RecordType& type, const StagedRange* own = nullptr);
  /// One line for each such record, at most a few.
  [[nodiscard]] Result<std::vector<std::string>> of(std::uint64_t row);
  [[nodiscard]] std::uint64_t opened() const noexcept { return opened_; }  ///< records so far

 private:
  /// By the compartments that this unit of work indexes.
  [[nodiscard]] Result<std::vector<FieldWord>> words_of(std::uint64_t row);

  UnitOfWork& work_;
  const Indexer& indexer_;
  const RecordType& type_;
  const StagedRange* own_;
  std::map<std::uint64_t, std::shared_ptr<const model::LeafKey>> leaves_;
  SecretBytes text_;
  std::uint64_t opened_ = 0;
};

/// kRefused unless `searched` is the entry of a search that this principal made within the last day.
[[nodiscard]] Result<void> require_search(Core& core, const Authority& authority, const RecordType& type,
                                          const std::optional<std::uint64_t>& searched);

}  // namespace casevault::vault
