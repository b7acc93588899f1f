// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <casevault/bytes.hpp>

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace casevault {

/// What a field holds. Values enter and leave as text, exactly as written; the type says what is accepted.
enum class FieldType : std::uint8_t {
  kText = 1,       ///< valid UTF-8, any form, up to 1 MiB
  kCode = 2,       ///< one code of the field's list
  kMultiCode = 3,  ///< codes joined by ';' without spaces, none twice
  kDate = 4,       ///< YYYY, YYYY-MM or YYYY-MM-DD of the Gregorian calendar: the precision is part of the value
  kInteger = 5,    ///< canonical decimal of 64 bits, e.g. -7, 0, 42
  kBoolean = 6,    ///< true or false
  kBytes = 7,      ///< canonical base64
};
[[nodiscard]] CASEVAULT_API std::string_view name_of(FieldType type) noexcept;  ///< as schemas write it: "multi-code"

/// How a field can be searched for (Session::find). Persisted in index keys. DO NOT CHANGE THESE VALUES.
enum class IndexKind : std::uint8_t {
  kNone = 0,
  kExact = 1,  ///< the whole value, byte for byte
  kName = 2,   ///< names of people, however they were typed
  kPhone = 3,  ///< phone numbers in any spelling, several in one value
  kId = 4,     ///< identity numbers
  kDate = 5,   ///< dates, and ranges of them
  kPlace = 6,  ///< places by the names of either era
};
[[nodiscard]] CASEVAULT_API std::string_view name_of(IndexKind kind) noexcept;  ///< as schemas write it

/// What a field tells of a person: what Session::duplicates compares. A type has each at most once.
enum class Trait : std::uint8_t {
  kNone = 0,
  kName,
  kAliases,         ///< other names, between ';'
  kSex,             ///< codes female and male; any other is not known
  kBirthDate,       ///< a date
  kBirthPrecision,  ///< code estimated: the birth date may be a year off
  kNationality,
  kDocument,         ///< an identity number
  kPhone,            ///< one number or several
  kProvince,         ///< a place as written
  kProvinceCode,     ///< the same as a code
  kProvinceEdition,  ///< the code's edition: 2024 or 2025
  kCommune,          ///< a place within it
  kRelatives,        ///< "name; relation; telephone" between '|'
};
[[nodiscard]] CASEVAULT_API std::string_view name_of(Trait trait) noexcept;  ///< as schemas write it: "birth_date"

struct Field {
  std::uint16_t id = 0;  ///< persisted; unique in its type for ever
  std::string name;
  FieldType type = FieldType::kText;
  std::uint16_t compartment = 0;  ///< index into Schema::compartments()
  bool required = false;
  std::string list;  ///< name of the code list, for the coded types
  IndexKind index = IndexKind::kNone;
  Trait trait = Trait::kNone;
  bool sensitive =
      false;  ///< nobody else knows it: a release may leave it out of the k rule (ReleaseColumn::sensitive)
};

struct RecordType {
  std::uint16_t id = 0;  ///< persisted
  std::string name;
  std::vector<Field> fields;       ///< in schema order
  bool search_before_add = false;  ///< a new record must name the log entry of a search that went before it
  [[nodiscard]] CASEVAULT_API const Field* find(std::string_view field) const noexcept;
  [[nodiscard]] CASEVAULT_API const Field* find(std::uint16_t field_id) const noexcept;
  [[nodiscard]] CASEVAULT_API const Field* find(Trait trait) const noexcept;
};

/// A class of fields with a key of its own. `sealed_as_cell`: the fields of a record are sealed as one map (coded
/// columns that are scanned together); otherwise each field has its own AEAD.
struct Compartment {
  std::uint16_t id = 0;  ///< persisted
  std::string name;
  bool sealed_as_cell = false;
};

struct CodeList {
  std::string name;
  std::vector<std::string> codes;
};

/// A purpose of disclosure and the legal bases that admit it.
struct Purpose {
  std::string code;
  std::vector<std::string> bases;     ///< admitted; not empty
  std::string default_basis;          ///< one of bases
  bool requires_consent = false;      ///< a consent in force for purpose and recipient class is needed too
  std::uint16_t tables_a_year = 0;    ///< that may be published in a calendar year (UTC); 0: no limit
  std::uint16_t row_sets_a_year = 0;  ///< likewise
  std::uint64_t epsilon_a_year = 0;   ///< privacy budget of tools outside, in millionths; 0: no limit
  std::uint16_t min_cell = 11;        ///< least minimum cell of a table and least k of rows; no request goes below it
  /// Whether tables and rows may be published for it; true of all purposes of a schema that says it of none.
  bool publishes = false;
};

/// "These roles, for these purposes, may see these compartments and fields." Everything no rule admits is denied.
struct Rule {
  std::vector<std::string> roles;
  std::vector<std::string> purposes;
  std::vector<std::string> compartments;  ///< names; "*" is every one
  std::vector<std::string> fields;        ///< "type.field" beyond the compartments
  bool own_unit_only = false;             ///< scope: the record's custodian unit must be the principal's
};

/// One condition on a field: a value, or a range of a date or number, both ends included. A date fits when as much of
/// it as the bound names does: 2024 is all of that year. A multi-code fits when it holds the code; an empty value means
/// that nothing is recorded.
struct Filter {
  std::string field;
  std::string from;
  std::string to;  ///< the same as `from` for one value
  /// FIELD=VALUE or FIELD=FROM..TO
  [[nodiscard]] static CASEVAULT_API Result<Filter> parse(std::string_view text);
};

/// A count that reports ask for: records of a type whose date lies in the period of the report, and which fit all of
/// `where`; broken down by up to two fields, as rows and columns of a table.
struct Indicator {
  std::string name;
  std::vector<std::pair<std::string, std::string>> titles;  ///< language and text, sorted; one at least
  std::string type;
  std::string date;  ///< field
  std::vector<Filter> where;
  std::vector<std::string> by;  ///< FIELD of codes or booleans, or a date as FIELD:year or FIELD:month; none: the total
  /// In this language, else in English, else in the first there is.
  [[nodiscard]] CASEVAULT_API const std::string& title(std::string_view language) const noexcept;
};

/// An immutable, validated schema: record types, compartments, code lists, purposes, bases, rules, indicators.
/// Cheap to copy (shared state), thread-safe.
class CASEVAULT_API Schema {
 public:
  /// Parses TOML (see src/model/SCHEMA.md). Code lists that the text names but does not define come from the bundled
  /// ones. kBadInput names line and what is wrong.
  [[nodiscard]] static Result<Schema> parse(std::string_view toml);
  /// The schema that ships with casevault, by name ("vn-victim-support"); kNotFound names those there are.
  [[nodiscard]] static Result<Schema> bundled(std::string_view name);

  [[nodiscard]] const std::string& name() const noexcept;
  [[nodiscard]] std::uint16_t version() const noexcept;  ///< from 1
  [[nodiscard]] const std::vector<Compartment>& compartments() const noexcept;
  [[nodiscard]] const Compartment* find_compartment(std::string_view name) const noexcept;
  [[nodiscard]] const std::vector<RecordType>& types() const noexcept;
  [[nodiscard]] const RecordType* find_type(std::string_view name) const noexcept;
  [[nodiscard]] const RecordType* find_type(std::uint16_t id) const noexcept;
  [[nodiscard]] const CodeList* find_list(std::string_view name) const noexcept;
  [[nodiscard]] const std::vector<Purpose>& purposes() const noexcept;
  [[nodiscard]] const Purpose* find_purpose(std::string_view code) const noexcept;
  [[nodiscard]] const std::vector<std::string>& bases() const noexcept;
  [[nodiscard]] const std::vector<std::string>& recipient_classes() const noexcept;
  [[nodiscard]] const std::vector<std::string>& functional_roles() const noexcept;
  [[nodiscard]] const std::vector<Rule>& rules() const noexcept;
  [[nodiscard]] const std::vector<Indicator>& indicators() const noexcept;
  [[nodiscard]] const Indicator* find_indicator(std::string_view name) const noexcept;
  /// What is allowed and unwise, one line each; empty for a schema without such things.
  [[nodiscard]] const std::vector<std::string>& warnings() const noexcept;
  /// TOML text that needs no bundled list: what a vault keeps.
  [[nodiscard]] const std::string& source() const noexcept;

 private:
  struct State;
  explicit Schema(std::shared_ptr<const State> state) noexcept;
  std::shared_ptr<const State> state_;
};

}  // namespace casevault
