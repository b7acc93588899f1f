// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "vault/records.hpp"

/// A new record that may be about a person who is there already: told to who wrote it, decided by nobody.
namespace casevault::vault {

inline constexpr std::size_t kMostNamed = 8;  ///< records in the warnings about one

/// Looks, within one unit of work, for published records that have the same
/// name (exact or without marks) and year of birth, the same phone number or
/// the same identity number as one that this unit of work wrote. What the index
/// is to find is flushed before. Numbers that many records share are nobody's
/// own and not looked at.
class Lookalikes {
 public:
  /// `own`: of the import at hand, whose rows count although they are not published yet.
  Lookalikes(UnitOfWork& work, const Indexer& indexer, const RecordType& type, const StagedRange* own = nullptr);
  /// One line for each such record, at most a few. It is named only to whom the
  /// policy admits, for some purpose, what the two have in common; others are
  /// told that it may be there.
  [[nodiscard]] Result<std::vector<std::string>> of(std::uint64_t row);
  [[nodiscard]] std::uint64_t opened() const noexcept { return opened_; }  ///< records so far, and as much for postings
  /// The records that were named so far: they belong into the entry.
  [[nodiscard]] std::vector<SubjectDraft>& named() noexcept { return named_; }

 private:
  struct Looked {
    std::vector<FieldWord> words;  ///< in the compartments that this unit of work indexes
    std::string unit;
    std::uint32_t version = 0;
    SecretBytes record_key;
  };
  [[nodiscard]] Result<Looked> look(std::uint64_t row);
  /// Rows worth opening, those that share a number first; `telling` gets the
  /// words that may tell of a person.
  [[nodiscard]] Result<std::vector<std::uint32_t>> candidates(const std::vector<FieldWord>& mine,
                                                              std::vector<FieldWord>& telling);
  [[nodiscard]] Result<const std::vector<std::uint32_t>*> of_year(const FieldWord& word);
  [[nodiscard]] bool may_know(std::span<const Field* const> fields, const std::string& unit) const;

  UnitOfWork& work_;
  const Indexer& indexer_;
  const RecordType& type_;
  const StagedRange* own_;
  std::map<std::uint64_t, std::shared_ptr<const model::LeafKey>> leaves_;
  std::map<std::pair<std::uint16_t, std::string>, std::vector<std::uint32_t>> years_;  ///< rows with each
  std::vector<SubjectDraft> named_;
  SecretBytes text_;
  std::uint64_t opened_ = 0;
};

/// kRefused unless `searched` is the entry of a search that this principal made within the last day.
[[nodiscard]] Result<void> require_search(Core& core, const Authority& authority, const RecordType& type,
                                          const std::optional<std::uint64_t>& searched);

}  // namespace casevault::vault
