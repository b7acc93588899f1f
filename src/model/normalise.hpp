// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <casevault/bytes.hpp>

#include <string>
#include <vector>

/// What a person, number, date or place is found by, however it was typed.
namespace casevault::model {

inline constexpr unsigned kNormaliserVersion = 1;

struct NameKeys {
  std::string exact;   ///< letters with their marks; composition, case and the place of a tone do not matter
  std::string folded;  ///< without marks
  std::string bag;     ///< folded syllables in order
  std::string joined;  ///< folded, without spaces
};
[[nodiscard]] Result<NameKeys> name_keys(std::string_view text);
[[nodiscard]] bool has_diacritics(std::string_view text);
[[nodiscard]] Result<std::vector<std::string>> phone_keys(std::string_view text);
[[nodiscard]] Result<std::string> id_key(std::string_view text);
[[nodiscard]] Result<std::vector<std::string>> date_keys(std::string_view text);  ///< year, month, day: what is known
[[nodiscard]] Result<std::vector<std::string>> place_keys(std::string_view text);
[[nodiscard]] std::size_t edit_distance(std::string_view a, std::string_view b);

}  // namespace casevault::model
