// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <casevault/analytics.hpp>

#include "analytics/buffer.hpp"
#include "base/environment.hpp"

/// Rows that may be handed on: values made coarser as declared, rows that are alone in what can be known of them
/// starred or left out, in random order. Pure; randomness is passed in.
namespace casevault::analytics {

/// How much coarser a column becomes: what was asked for, or what suits its type.
[[nodiscard]] Coarseness level_of(const ReleaseColumn& column, FieldType type);

/// Makes single values coarser. Made once for a column: parses what was declared.
class Generaliser {
 public:
  /// kBadInput when the declaration is malformed or does not fit the type: bands that do not ascend, a month of a code.
  [[nodiscard]] static Result<Generaliser> make(const ReleaseColumn& column, FieldType type);
  /// The coarser text. A value that is coarser already (a year where months are declared) stays as it is; one that
  /// cannot be placed becomes empty.
  [[nodiscard]] std::string apply(std::string_view value) const;

 private:
  Coarseness level_ = Coarseness::kExact;
  FieldType type_ = FieldType::kText;
  std::vector<std::int64_t> bands_;
  std::array<int, 3> reference_{};  ///< year, month, day that ages are of
};

/// One column of rows, values by number; kStarred where a value was taken out.
inline constexpr std::uint32_t kStarred = UINT32_MAX;
struct CoarseColumn {
  SecretTexts values;
  SecretArray<std::uint32_t> codes;  ///< of each row
  bool sensitive = false;            ///< protected by distinct-l; the others are taken to be known to an attacker
};

struct Rule {
  std::size_t k = 2;
  std::size_t l = 1;
  bool star = false;  ///< star values of small groups before rows are dropped
};

struct Kept {
  SecretArray<std::uint32_t> rows;     ///< numbers of those that stay, shuffled
  std::size_t k = 0;                   ///< least size of a group; 0 when no row stays
  std::size_t l = 0;                   ///< fewest different values of a sensitive column in a group; 0 without one
  std::vector<std::uint64_t> starred;  ///< values taken out of each column, in rows that stay
};

/// Afterwards every row that stays shares its values of all columns that are not sensitive with at least k - 1 others,
/// and the rows of such a group have at least l different values in each sensitive column. Stars count as a value of
/// their own: a starred row never fills up a group that shows more.
[[nodiscard]] Kept apply_rule(std::vector<CoarseColumn>& columns, std::size_t rows, const Rule& rule,
                              base::Random& random);

/// A name for a record in one release: nobody who has not its key can tell whether two releases speak of one record.
[[nodiscard]] std::string pseudonym(const SecretBytes& release_key, const RecordId& id);

}  // namespace casevault::analytics
