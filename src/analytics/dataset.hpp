// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <casevault/analytics.hpp>

#include "analytics/buffer.hpp"
#include "analytics/tabulate.hpp"
#include "vault/core.hpp"

#include <map>

/// Coded columns of all records of a type, for counting: every different value once, records by numbers. Values lie in
/// locked memory; which records were chosen, labels and counts do not.
namespace casevault::analytics {

struct DataColumn {
  const Field* field = nullptr;
  SecretTexts values;  ///< the first is empty: nothing recorded
  SecretArray<std::uint32_t> codes;
  SecretArray<std::uint32_t> ends;  ///< of each record in `codes`; empty for a column with one code a record
  [[nodiscard]] std::span<const std::uint32_t> of(std::size_t record) const {
    if (ends.empty()) return codes.view().subspan(record, 1);
    const std::size_t begin = record == 0 ? 0 : ends[record - 1];
    return codes.view().subspan(begin, ends[record] - begin);
  }
};

/// kCancelled when whoever waits for a publication wants it no more.
[[nodiscard]] Result<void> advance(const ProgressCallback& progress, std::string_view stage, std::size_t done,
                                   std::size_t total);

/// Records of the dataset, one bit each.
using Chosen = std::vector<bool>;
[[nodiscard]] std::size_t number_of(const Chosen& chosen);

/// kBadInput when a filter does not fit the field.
[[nodiscard]] Result<void> check_filter(const Field& field, const Filter& filter);

class Dataset {
 public:
  /// Reads every record of the type; text and bytes cannot be asked for. kNoGrant without a key that is needed.
  [[nodiscard]] static Result<Dataset> read(vault::Core& core, const vault::Snapshot& snapshot, const RecordType& type,
                                            std::span<const Field* const> fields, const ProgressCallback& progress);
  [[nodiscard]] std::size_t size() const noexcept { return rows_.size(); }
  [[nodiscard]] std::uint64_t row(std::size_t record) const { return rows_[record]; }
  [[nodiscard]] const std::vector<std::string>& units() const noexcept { return units_; }  ///< each once, sorted
  [[nodiscard]] const DataColumn& column(std::uint16_t field) const { return columns_.at(field); }
  /// kBadInput when a filter does not fit its field.
  [[nodiscard]] Result<Chosen> choose(std::span<const Filter> where) const;

 private:
  SecretArray<std::uint64_t> rows_;
  std::vector<std::string> units_;
  std::map<std::uint16_t, DataColumn> columns_;
};

/// The field that says of which edition of the administrative units a place is: `x_edition` beside `x_code`.
[[nodiscard]] const Field* edition_of(const RecordType& type, const Field& field);

/// A line of a table: a field, coarser when it is a date.
struct Axis {
  const Field* field = nullptr;
  Coarseness coarseness = Coarseness::kExact;
  bool operator==(const Axis&) const = default;
  /// FIELD or FIELD:year or FIELD:month; kBadInput for fields that are not coded.
  [[nodiscard]] static Result<Axis> parse(const RecordType& type, std::string_view text);
};

/// The lines of an axis, and in which of them each record is; made once, for any choice of records. Which lines there
/// are does not tell what a small set holds: all of a list of up to 64 codes and both of a boolean; of a longer list
/// the codes that as many records of the type have, chosen or not, as the greatest min_cell of the schema's purposes,
/// and one for all others; of places those of units of 2025 that have so many, and one for all others, so that those of
/// a finer era stay parts of those of a coarser one; of dates every year or month from the first to the last chosen.
class AxisLines {
 public:
  AxisLines(const Dataset& data, const RecordType& type, const Schema& schema, const Axis& axis, Era era);
  /// The chosen records as categories, in the order of the code list or of the labels.
  [[nodiscard]] CodedColumn of(const Chosen& chosen) const;

 private:
  [[nodiscard]] std::size_t date_size() const noexcept { return coarseness_ == Coarseness::kYear ? 4 : 7; }
  Coarseness coarseness_;
  std::vector<std::string> labels_;
  std::vector<bool> always_;  ///< of these labels, whatever is chosen
  std::vector<bool> dates_;   ///< of these as precise as the axis
  SecretArray<std::uint32_t> lines_;
  SecretArray<std::uint32_t> ends_;  ///< of each record in `lines_`
};

/// A place as an era names it. `edition` may be empty.
[[nodiscard]] std::string place_in(Era era, std::string_view code, std::string_view edition);

inline constexpr std::string_view kNotRecorded = "(not recorded)";
inline constexpr std::string_view kOther = "(other)";

}  // namespace casevault::analytics
