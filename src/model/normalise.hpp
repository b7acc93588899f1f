// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <casevault/bytes.hpp>

#include <optional>
#include <vector>

/// What people type, as keys that are equal when it means the same: the words of the search index. Pure functions; no
/// locale, no clock, no tables but those of the tree (Unicode 15.0.0, code lists).
///
/// What comes out is as secret as what went in: whoever keeps it wipes it (crypto::wipe). Scratch memory is wiped here.
/// Errors are kBadInput with the reason and an offset, never a part of the text.
namespace casevault::model {

/// Persisted with every index generation: a change to any key of any function here is a new number.
inline constexpr std::uint32_t kNormaliserVersion = 1;

/// A name by its syllables, with one space between them. None is ever empty.
struct NameKeys {
  std::string exact;   ///< K1: letters, shape marks and the tone (as a superscript digit at the end of the syllable)
  std::string folded;  ///< K2: as typed without diacritics; -y after consonants or qu is -i
  std::string bag;     ///< K3: the syllables of K2 in byte order
  std::string joined;  ///< K4: K2 without spaces
  /// Whether the text tells letters apart that plain typing does not: of a query, its K1 is asked first. Not of an
  /// alias.
  bool marked = false;
};
/// Fails where nothing would be left, so that no name is indexed under an empty key. Not `loosely`: K3 and K4 are left
/// empty, for a query that does not ask for them.
[[nodiscard]] Result<NameKeys> name_keys(std::string_view text, bool loosely = true);
/// The names in a cell of several (between ; | or line breaks), without a label before a colon ("at home: Ty"). Empty
/// parts are left out. The views are of `cell`.
[[nodiscard]] std::vector<std::string_view> name_parts(std::string_view cell);
/// What a query may also mean, where regions write one name in two ways (Hoang and Huynh, Vu and Vo, Phuc and Phuoc,
/// with their tones; without any tone in what is typed without). At most seven, those with fewest changes first; none
/// for what is no name. Never stored.
[[nodiscard]] std::vector<NameKeys> name_aliases(std::string_view text);
/// One form for both names of such a pair, of a syllable of K2 ("hoang" for "huynh"): for comparing people, not for
/// keys.
[[nodiscard]] std::string_view regional_form(std::string_view folded_syllable) noexcept;
/// A name typed while the input method was off ("Nguyeenx Thij Hoaf", "Nguye64n Thi5 Hoa2"), as it was meant (Telex,
/// VNI). To be shown as a suggestion; nothing for what is no such text.
[[nodiscard]] std::optional<std::string> typing_suggestion(std::string_view text);
/// Code points to insert, remove or replace to come from one key to the other, for ranking K1 or K2. Not UTF-8, or
/// longer than a name can be: the larger length in bytes.
[[nodiscard]] std::uint32_t edit_distance(std::string_view a, std::string_view b);

inline constexpr std::size_t kMaxPhones = 8;  ///< in one cell
/// The telephone numbers of a cell, which may hold several (between ; , / | or line breaks) and remarks. E.164 such as
/// "+84912345678"; what was dialled before the change of 2018 as it is dialled since; a lost leading zero and the
/// letter O in place of 0 are put right. Short codes (111, 1800xxxx, 1900xxxx) as they are. What is no number is left
/// out; fails with the reason where no number remains.
[[nodiscard]] Result<std::vector<std::string>> phone_keys(std::string_view text);

/// The number of a document. Numbers of different types are never equal, though one person may hold both.
struct IdKey {
  std::string type;    ///< "cccd" (12 digits), "cmnd" (9 digits), "other"
  std::string number;  ///< digits and upper-case letters, leading zeros kept
};
/// A label before the number ("CCCD", "So CMND") is left out; fails where no digit remains.
[[nodiscard]] Result<IdKey> id_key(std::string_view text);
/// For 10 or 11 digits the 12-digit number, and for 8 digits the 9-digit number, that a spreadsheet may have taken the
/// zeros from. To be shown and decided by a person.
[[nodiscard]] std::optional<std::string> id_suggestion(std::string_view text);

enum class IdWarning : std::uint8_t {
  kZeroLost,   ///< id_suggestion has one
  kProvince,   ///< no province has ever had this code
  kBirthYear,  ///< another year than the date of birth
  kSex,        ///< another sex than the record's
};
[[nodiscard]] std::string_view text_of(IdWarning warning) noexcept;  ///< one line, without the number
/// What a 12-digit number says against the record: to be looked at, never a reason to refuse. `birth_date` is canonical
/// (see FieldType::kDate) or empty, `sex` is "female", "male" or anything else for not known. `years_off`: by how much
/// the date may be wrong, where it is estimated.
[[nodiscard]] std::vector<IdWarning> check_id(std::string_view text, std::string_view birth_date, std::string_view sex,
                                              int years_off = 0);

/// A date as people type it, in the form that fields keep: 5/3/1990, 05-03-1990 or 05.03.1990 is day, month, year;
/// 3/1990; 1990; ISO as it is. kBadInput for a year of two digits and for what is no date.
[[nodiscard]] Result<std::string> canonical_date(std::string_view typed);
inline constexpr std::size_t kMaxDateKeys = 3;  ///< of one date
/// The words under which a canonical date is found: its year, its month, its day. What is not known stands as 00 in the
/// last of them ("1990-00", "1990-05-00"), so that a range can ask for the imprecise dates that may fall in it.
[[nodiscard]] Result<std::vector<std::string>> date_keys(std::string_view canonical_date);
/// Few words that find each date from the beginning of `first` to the end of `last` (both canonical, of any precision),
/// and each imprecise one that may lie there. kBadInput past 200 years or when `last` ends before `first` begins.
[[nodiscard]] Result<std::vector<std::string>> date_range_keys(std::string_view first, std::string_view last);

inline constexpr std::size_t kMaxPlaceKeys = 8;  ///< of one text or code
/// The words under which a place is found, for a text as written or a province code. Units of an edition are
/// "2024:54" (63 provinces) and "2025:66" (34); a unit of 2024 also has the word of the one it went into. A name or
/// code without `edition` ("2024", "2025" or empty) has the words of all units that it may mean. Wards, communes,
/// districts and other names are "name:hoa binh", folded and without their kind: the province Hoa Binh has no such
/// word. "X (nay la Y)" and "X (Y cu)" name both eras. Nothing is rewritten: the text stays what the record holds.
/// kBadInput for a code that no list has and for what no name is left of.
[[nodiscard]] Result<std::vector<std::string>> place_keys(std::string_view text, std::string_view edition = {});
/// The words to ask for a place; a record with any of them is a hit. A province that is no more finds what was recorded
/// under it, and, when `loose`, also what was recorded under the unit it went into, because that may be the same place.
[[nodiscard]] Result<std::vector<std::string>> place_query_keys(std::string_view text, std::string_view edition = {},
                                                                bool loose = false);

}  // namespace casevault::model
