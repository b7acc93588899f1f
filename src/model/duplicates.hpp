// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>

#include "model/normalise.hpp"

/// Who may be recorded twice. Pure: people in, scored and explained pairs out; a pair is a suggestion and joins nobody.
///
/// Three explanations of a pair are weighed against each other: one person, two of one household (brothers, sisters,
/// twins share a family name, a place, relatives, often a telephone, some a birthday), and two strangers. The score is
/// the probability of the first. How much an agreement says depends on how many of the people at hand share the value.
namespace casevault::model {

struct Relative {
  std::string name;
  std::string relation;             ///< as written
  std::vector<std::string> phones;  ///< phone_keys
};

/// What is compared. Everything may be missing; what does not normalise is left out.
struct Person {
  std::vector<std::string> names;  ///< as written; the first is the name, the others aliases
  std::string birth_date;          ///< canonical, or empty
  bool birth_estimated = false;    ///< may be a year off
  std::string sex;                 ///< "female", "male", anything else is not known
  std::string nationality;
  std::vector<IdKey> documents;
  std::vector<std::string> phones;     ///< phone_keys
  std::vector<std::string> provinces;  ///< place_keys of the province
  std::vector<std::string> communes;   ///< place_keys of the place within it: only "name:" words
  std::vector<Relative> relatives;
};

/// The cells of a record as written, by what they mean; empty where there are none.
struct PersonCells {
  std::string_view name = {};
  std::string_view aliases = {};
  std::string_view sex = {};
  std::string_view birth_date = {};
  std::string_view birth_precision = {};
  std::string_view nationality = {};
  std::string_view document = {};
  std::string_view phone = {};
  std::string_view province = {};
  std::string_view province_code = {};
  std::string_view province_edition = {};
  std::string_view commune = {};
  std::string_view relatives = {};
};
/// A document that lost its zeros is compared with them: this is a suggestion, too. `relatives` holds "name; relation;
/// telephone" between '|'.
[[nodiscard]] Person person_of(const PersonCells& cells);
void wipe(Person& person) noexcept;  ///< all its texts, which are empty afterwards

enum class Reason : std::uint8_t {
  kSameName,
  kSameNamePlain,  ///< one is typed without diacritics
  kOtherTones,     ///< the same letters with other diacritics
  kNameReordered,
  kNameSpacing,
  kRegionalName,  ///< Hoang and Huynh
  kMiddleNameLeftOut,
  kNearName,            ///< a slip of the keyboard
  kTypedWithoutMethod,  ///< Telex or VNI that nothing turned into letters
  kNameIsAlias,         ///< the name of one is an alias of the other
  kSameAlias,
  kSameBirthDate,
  kBirthDateFits,  ///< as far as both are known
  kNearBirthDate,  ///< day and month exchanged, one digit off, or estimated
  kSameDocument,
  kNearDocument,
  kSamePhone,
  kSamePlace,
  kSameProvince,
  kSameRelative,
  kOtherGivenName,  ///< from here on: against it
  kOtherName,
  kOtherBirthDate,
  kOtherDocument,
  kOtherSex,
  kOtherNationality,
  kOtherProvince,
  kOtherIsRelative,  ///< one names the other as a relative
};
[[nodiscard]] std::string_view text_of(Reason reason) noexcept;  ///< a few words, without values
[[nodiscard]] bool speaks_for(Reason reason) noexcept;           ///< for one person, not against

struct ScoredPair {
  std::size_t a = 0;  ///< indexes into the people, a < b
  std::size_t b = 0;
  double score = 0;  ///< 0 to 1
  std::vector<Reason> because;
};

/// Calls `found` for each pair of at least `least_score`, in the order of a, then b; stops when it returns false. Only
/// people who share a name, document, telephone or relative, or a family name and a birthday or commune, are compared,
/// and no value that more than 64 people share brings them together by itself: 100,000 people take less than half a
/// minute.
/// `register_size`: of the register that the people were picked from, by their names, documents and telephones, when
/// they are not all of it: so a newcomer is held against those that a search has found.
void find_duplicates(std::span<const Person> people, double least_score,
                     const std::function<bool(const ScoredPair&)>& found, std::size_t register_size = 0);

}  // namespace casevault::model
