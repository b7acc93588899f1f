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
};
/// Fails where nothing would be left, so that no name is indexed under an empty key.
[[nodiscard]] Result<NameKeys> name_keys(std::string_view text);
/// Whether a query tells letters apart that plain typing does not: then its K1 is asked first. False for what is no
/// name.
[[nodiscard]] bool has_diacritics(std::string_view text);

}  // namespace casevault::model
