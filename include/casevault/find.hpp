// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <casevault/record.hpp>

namespace casevault {

/// How what was typed and what a record holds are the same, from the closest on. For names; everything else is exact.
enum class Match : std::uint8_t {
  kExact,      ///< letters and marks
  kFolded,     ///< letters without their marks
  kOrderFree,  ///< the same syllables in another order
  kJoined,     ///< the same letters with other spaces
};
[[nodiscard]] CASEVAULT_API std::string_view name_of(
    Match match) noexcept;  ///< "exact", "folded", "order_free", "joined"

struct FindRequest {
  std::string type;
  /// Each is one search: fields with what was typed, all of which must fit. A
  /// date may be a day, month or year, or FROM..TO; several names (between ; |
  /// or line breaks) must all be there. Searches of one request, at most 1,000,
  /// share one log entry. The texts must live until the call returns.
  std::vector<std::vector<FieldInput>> searches;
  std::string purpose;
  std::string basis;        ///< empty: the purpose's default
  bool loose = false;       ///< names without their marks, in any order, with other
                            ///< spaces; dates known in part
  std::size_t limit = 100;  ///< matches that are returned, per search
};

struct FindResult {
  struct Hit {
    RecordId id;
    Match match{};
    std::vector<RecordId> same_person;  ///< other records that merges say to be about the same person
  };
  struct Answer {
    std::vector<Hit> matches;  ///< the closest first
    std::uint64_t count = 0;   ///< all that there are, beyond those that are returned
    /// Where nothing was found: what may have been meant, and why a text is
    /// only found exactly as it stands.
    std::vector<std::string> suggestions;
  };
  std::vector<Answer> answers;  ///< one for each search, in their order
  std::uint64_t entry = 0;
  std::string basis;  ///< the one the entry carries
};

/// The score from which on a pair is worth a look; on an invented register of 2,000 with known pairs it finds more than
/// nine of ten, and more than eight of ten that it finds are pairs.
inline constexpr double kDefaultDuplicateScore = 0.5;

struct DuplicatesRequest {
  std::string type;
  std::string purpose;
  std::string basis;                          ///< empty: the purpose's default
  double min_score = kDefaultDuplicateScore;  ///< 0 to 1: the probability that a pair is one person
  ProgressCallback progress;                  ///< while records are read
};

/// Two records that may be about one person. A suggestion: nothing joins them but Session::merge.
struct DuplicatePair {
  RecordId a;
  RecordId b;
  double score = 0;
  std::vector<std::string_view> because;  ///< what speaks for it, in a few words without values
  std::vector<std::string_view> against;  ///< what speaks against it
};

struct DuplicatesResult {
  std::uint64_t entry = 0;
  std::string basis;                 ///< the one the entry carries
  std::uint64_t records = 0;         ///< that were compared
  std::uint64_t pairs = 0;           ///< that were handed over
  std::uint64_t damaged = 0;         ///< records that were left out because they do not open: run doctor
  std::vector<std::string> unheard;  ///< fields that tell of a person and that this principal may not read
};

}  // namespace casevault
