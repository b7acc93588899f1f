// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "analytics/dataset.hpp"
#include "analytics/joint.hpp"
#include "vault/authority.hpp"

#include <tuple>
#include <variant>

/// Definitions of what was published, as entries of the release ledger hold them (FORMAT.md section 10), and what each
/// new one is held against. Definitions hold fields, conditions and rules, never a count.
namespace casevault::analytics {

/// A field by its number, and how coarse it is.
struct DefinedAxis {
  std::uint16_t field = 0;  ///< 0: none
  Coarseness coarseness = Coarseness::kExact;
  bool operator==(const DefinedAxis&) const = default;
};
struct DefinedFilter {
  std::uint16_t field = 0;
  std::string from;
  std::string to;
  bool operator==(const DefinedFilter&) const = default;
};
/// What tables and rows have in common: the records they are made of.
struct DefinedSet {
  std::uint16_t type = 0;
  Era era = Era::kRecorded;
  std::vector<DefinedFilter> where;
  std::string purpose;
  std::string name;
};
struct DefinedTable {
  std::int64_t time_ms = 0;
  DefinedSet set;
  DefinedAxis rows;
  DefinedAxis columns;
  std::uint64_t min_cell = 0;
  std::uint64_t round_to = 0;
};
struct DefinedColumn {
  std::uint16_t field = 0;
  Coarseness coarseness = Coarseness::kExact;
  std::vector<std::int64_t> bands;
  std::string age_on;
  bool sensitive = false;
};
struct DefinedRows {
  std::int64_t time_ms = 0;
  DefinedSet set;
  std::vector<DefinedColumn> columns;
  std::uint64_t k = 0;
  std::uint64_t distinct = 0;
  bool star = false;
};
struct DefinedBudget {
  std::int64_t time_ms = 0;
  std::string purpose;
  std::string tool;
  std::string name;
  std::uint64_t millionths = 0;  ///< of epsilon
};
using Definition = std::variant<DefinedTable, DefinedRows, DefinedBudget>;

[[nodiscard]] vault::OpRelease encode_definition(const Definition& definition);
/// kUnsupported for a definition of a newer casevault: what cannot be understood cannot be compared either.
[[nodiscard]] Result<Definition> decode_definition(const vault::ReleaseState& state);
/// In words, for people; codes as they stand in the filters.
[[nodiscard]] std::string describe(const Definition& definition, const Schema& schema);

/// Something published before, or now.
struct Published {
  std::uint64_t entry = 0;
  Definition definition;
};
[[nodiscard]] Result<std::vector<Published>> read_ledger(const vault::Authority& authority);

/// Refused when the purpose's quota of the year is used up; the newest entry that counts is named.
[[nodiscard]] Result<void> check_quota(const Schema& schema, std::span<const Published> ledger,
                                       const Definition& definition);

/// Fields that must be read to compare a new set with those published before.
[[nodiscard]] std::vector<const Field*> fields_to_compare(const RecordType& type, std::span<const Published> ledger);

struct Judged {
  Counts counts;
  std::vector<std::string> row_labels;
  std::vector<std::string> column_labels;
  std::vector<bool> hidden;  ///< all false when counts are rounded
};
/// Judges new definitions against the ledger, on the records as they are now.
class Judge {
 public:
  /// `readable`: fields that the dataset holds. kCancelled from what follows when `progress` says so.
  Judge(const Schema& schema, const RecordType& type, const Dataset& data, std::span<const Published> ledger,
        std::span<const Field* const> readable, base::Random& random, ProgressCallback progress);
  /// What may be shown of a new table. kRefused, with the earlier entry named, when the two together would show a small
  /// cell, or when it cannot be told; then also by which field, and who could publish.
  [[nodiscard]] Result<Judged> table(const DefinedTable& definition);
  /// The same question for a set of rows.
  [[nodiscard]] Result<void> rows(const DefinedRows& definition);
  [[nodiscard]] Result<Chosen> choose(const DefinedSet& set) const;

 private:
  /// The field, or the edition beside it, where it cannot be read; 0 where it can.
  [[nodiscard]] std::uint16_t unreadable(std::uint16_t field) const;
  [[nodiscard]] std::uint16_t unreadable(const Definition& definition) const;
  /// Finds the earlier publications that share records with the new one, or with others that do. What is not joined to
  /// it by records cannot give anything away together with it, nor can a table that was published before. kRefused
  /// when one of them cannot be read.
  [[nodiscard]] Result<void> join(const DefinedSet& set, const Chosen& chosen);
  [[nodiscard]] CodedColumn line(const DefinedAxis& axis, Era era, const Chosen& chosen) const;
  [[nodiscard]] Result<Judged> count_table(const DefinedTable& definition, const Chosen& chosen) const;
  [[nodiscard]] Result<Judged> publish(const DefinedTable& definition, const Chosen& chosen, std::size_t before);
  /// An earlier table; nothing where none can be made any more.
  [[nodiscard]] Result<const std::optional<Judged>*> made_again(std::size_t i, const DefinedTable& definition,
                                                                const Chosen& chosen);
  /// Labels of an axis in one era, and for each label of the same axis in a coarser era (or the same) the places of
  /// those that it is made of. Eras are nested: recorded units make up those of 2024, these those of 2025.
  using Parts = std::vector<std::vector<std::size_t>>;
  [[nodiscard]] Result<Parts> parts(const DefinedAxis& axis, Era fine, const std::vector<std::string>& labels,
                                    const Chosen& chosen, Era coarse,
                                    const std::vector<std::string>& coarse_labels) const;
  /// What an earlier table shows and hides of the numbers of a new one, both of the same records.
  [[nodiscard]] Result<void> mark(const DefinedTable& earlier, const Judged& shown, const DefinedTable& definition,
                                  const Chosen& chosen, const Judged& fresh, std::vector<Mark>& marks) const;
  /// Whether what lies between a new set and an earlier one is a small set, or has a small cell that both show.
  [[nodiscard]] Result<void> compare(std::uint64_t min_cell, const Chosen& chosen, const DefinedTable* table,
                                     const Judged* judged);

  /// Rows and columns along which small numbers are looked for; either may be none.
  using Lines = std::pair<DefinedAxis, DefinedAxis>;
  /// Of a release, its columns one by one, as far as tables can be made of them.
  [[nodiscard]] std::vector<Lines> lines_of(const DefinedRows& definition) const;
  /// Numbers as sums of records: those of a table, totals included, or of the groups of rows that a release keeps.
  struct Numbers {
    std::vector<Sum> sums;
    std::vector<bool> shown;
    std::vector<std::size_t> records;  ///< different ones behind each
    std::uint64_t least = 0;           ///< fewer than these are a secret
  };
  [[nodiscard]] Numbers numbers_of(const CodedColumn& rows, const CodedColumn& columns, const Chosen& chosen,
                                   std::uint64_t least) const;
  [[nodiscard]] Result<Numbers> numbers_of(const DefinedTable& definition, const Judged& judged,
                                           const Chosen& chosen) const;
  [[nodiscard]] Result<Numbers> numbers_of(const DefinedRows& definition, const Chosen& chosen) const;
  /// Whether a small number follows from all that was published and the new numbers that did not follow before.
  [[nodiscard]] Result<void> hold_together(const DefinedSet& set, const Chosen& chosen, const Numbers& fresh,
                                           std::span<const Lines> lines, std::uint64_t round_to);

  const ProgressCallback progress_;
  base::Random& random_;
  const Schema& schema_;
  const RecordType& type_;
  const Dataset& data_;
  std::span<const Published> ledger_;
  std::vector<std::uint16_t> readable_;
  /// Publications of the type, of equal ones the first. What the progress tells goes by their number alone: which of
  /// them share records with the new one, and how many parts they have, tells of few records.
  std::vector<std::size_t> different_;
  std::vector<bool> joined_;                      ///< of each entry of the ledger
  mutable std::map<std::string, Chosen> chosen_;  ///< by filter
  mutable std::map<std::tuple<std::uint16_t, Coarseness, Era>, AxisLines> lines_;
  std::map<std::size_t, std::optional<Judged>> judged_;  ///< earlier tables; nothing where none can be made any more
};

}  // namespace casevault::analytics
