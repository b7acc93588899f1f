// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <casevault/schema.hpp>

#include <optional>

/// Which words a value is found by: the one place where schema, normaliser and
/// search index meet.
namespace casevault::model {

/// Kinds of words of one field; each has keys of its own. Persisted. DO NOT CHANGE THESE VALUES.
enum class WordClass : std::uint8_t {
  kNothing = 0,    ///< fills records up to a fixed number of postings
  kFolded = 1,     ///< of a name; its posting also tells the exact name
  kOrderFree = 2,  ///< of a name
  kJoined = 3,     ///< of a name
  kWhole = 4,      ///< of anything else
  kRaw = 5,        ///< a value that the normaliser makes nothing of, as it was written
};

/// A word in clear. Wiped when it goes.
struct IndexWord {
  WordClass word_class = WordClass::kWhole;
  std::string text;
  std::string exact;      ///< of kFolded
  bool regional = false;  ///< another region's way to say what was typed; never of a value
  IndexWord() = default;
  IndexWord(WordClass of, std::string word, std::string exactly = {})
      : word_class(of), text(std::move(word)), exact(std::move(exactly)) {}
  IndexWord(IndexWord&&) noexcept = default;
  IndexWord& operator=(IndexWord&&) noexcept = default;
  IndexWord(const IndexWord&) = delete;
  IndexWord& operator=(const IndexWord&) = delete;
  ~IndexWord();
  auto operator<=>(const IndexWord&) const = default;
};

/// Words that a value of the field is found by, none twice. Never empty for a field with an index.
void words_of_value(IndexKind kind, std::string_view value, std::vector<IndexWord>& out);

/// What was typed, as words any of which finds a record; of a name, one of
/// those in a cell. A date that is asked for loosely finds what is known too
/// badly to be left out, as a range does. kBadInput when it normalises to
/// nothing, or is no date.
struct TypedWords {
  std::vector<IndexWord> words;
  bool exact_only = false;  ///< of kFolded: only what carries the same marks is meant
};
[[nodiscard]] Result<TypedWords> words_of_query(IndexKind kind, std::string_view typed, bool loose);

/// Why the value or query is found by exactly its text alone, where it is: what
/// the normaliser says of it. Without the text.
[[nodiscard]] std::optional<std::string> why_as_written(IndexKind kind, std::string_view text);

/// How many postings a record has for a field, whatever its value; more only
/// when the value gives more words.
[[nodiscard]] std::size_t usual_words(IndexKind kind) noexcept;

}  // namespace casevault::model
