// SPDX-License-Identifier: Apache-2.0
#include <casevault/find.hpp>

#include <algorithm>
#include <map>

#include "base/text.hpp"
#include "model/normalise.hpp"
#include "model/value.hpp"
#include "vault/merge.hpp"
#include "vault/row_key.hpp"
#include "vault/session_impl.hpp"

namespace casevault {
namespace {

using vault::Authority;
using vault::Core;
using vault::Snapshot;

constexpr std::size_t kMostRanked = 1000;    ///< records of one search that are decrypted, unless more are asked
                                             ///< for
constexpr std::size_t kMostSearches = 1000;  ///< they share one read transaction
constexpr std::size_t kMostTyped = std::size_t{1} << 20U;
constexpr int kMaxAttempts = 4;

/// One field of one search, as words of the index.
struct Term {
  const Field* field = nullptr;
  std::string_view typed;
  model::TypedWords words;
};

struct Candidate {
  std::uint32_t row = 0;
  Match match = Match::kExact;
  std::size_t distance = 0;
};

/// A match that was decrypted.
struct Found {
  Candidate candidate;
  std::uint32_t version = 0;
  SecretBytes record_key;
};

Match match_of(const model::IndexWord& word, bool same_marks) {
  if (word.regional) return Match::kJoined;  // the loosest there is
  switch (word.word_class) {
    case model::WordClass::kFolded:
      return same_marks ? Match::kExact : Match::kFolded;
    case model::WordClass::kOrderFree:
      return Match::kOrderFree;
    case model::WordClass::kJoined:
      return Match::kJoined;
    default:
      return Match::kExact;
  }
}

/// Whether a record's value is what was typed, and how closely. `value` is in clear.
class Judge {
 public:
  std::optional<Match> match(const Term& term, std::string_view value) {
    if (value == term.typed) return Match::kExact;
    model::words_of_value(term.field->index, value, words_);
    std::optional<Match> best;
    for (const model::IndexWord& own : words_) {
      for (const model::IndexWord& typed : term.words.words) {
        if (own.word_class != typed.word_class || own.text != typed.text) continue;
        const Match match = match_of(typed, own.exact == typed.exact);
        if (term.words.exact_only && match != Match::kExact) continue;
        best = std::min(best.value_or(match), match);
      }
    }
    return best;
  }

 private:
  std::vector<model::IndexWord> words_;
};

class Search {
 public:
  Search(Core& core, const FindRequest& request) : core_(core), request_(request) {}

  Result<FindResult> run() {
    CASEVAULT_TRY(const Snapshot snapshot, core_.snapshot());
    snapshot_ = &snapshot;
    CASEVAULT_CHECK(resolve());
    CASEVAULT_CHECK(admit());
    if (auto opened = open_indexes(); !opened) {
      if (opened.error().code != ErrorCode::kNoGrant) return std::move(opened).error();
      return refuse(audit::Outcome::kDenied, std::move(opened).error());
    }
    FindResult result;
    for (const std::vector<Term>& terms : searches_) {
      auto answer = search(terms);
      if (!answer) return refuse(audit::Outcome::kFailed, std::move(answer).error());
      result.answers.push_back(*std::move(answer));
    }
    name_records(result);
    CASEVAULT_TRY(result.entry, log());
    result.basis = basis_;
    return result;
  }

 private:
  const Authority& authority() const { return *snapshot_->authority; }
  const Schema& schema() const { return authority().schema(); }

  Result<void> resolve() {
    type_ = schema().find_type(request_.type);
    if (type_ == nullptr) return Error{ErrorCode::kNotFound, "the schema has no record type " + request_.type};
    for (const std::vector<FieldInput>& inputs : request_.searches) {
      std::vector<Term>& terms = searches_.emplace_back();
      for (const FieldInput& input : inputs) {
        const Field* const field = type_->find(input.name);
        if (field == nullptr) return Error{ErrorCode::kNotFound, "type " + type_->name + " has no such field"};
        if (field->index == IndexKind::kNone) return not_indexed(*field);
        if (std::ranges::find(terms, field, &Term::field) != terms.end())
          return Error{ErrorCode::kUsage, "field " + field->name + " is given twice"};
        // Several names are asked for as a record holds them: each by itself.
        std::vector<std::string_view> parts{input.text};
        if (field->index == IndexKind::kName) {
          parts = model::name_parts(input.text);
          if (parts.size() > model::kMaxNames)
            return Error{ErrorCode::kBadInput, "field " + field->name + ": more names than a record may hold"};
          if (parts.empty()) parts = {input.text};
        }
        for (const std::string_view part : parts) {
          auto words = model::words_of_query(field->index, part, request_.loose);
          if (!words) return Error{words.error().code, "field " + field->name + ": " + words.error().message};
          terms.push_back({field, part, *std::move(words)});
        }
        if (std::ranges::find(fields_, field) == fields_.end()) fields_.push_back(field);
      }
    }
    return {};
  }

  Error not_indexed(const Field& field) const {
    std::string names;
    for (const Field& each : type_->fields) {
      if (each.index != IndexKind::kNone) names += (names.empty() ? "" : ", ") + each.name;
    }
    return {ErrorCode::kNotFound,
            "field " + field.name + " of type " + type_->name + " has no index in the schema of this vault; " +
                (names.empty() ? "nothing of the type can be searched for" : "what can be searched for: " + names)};
  }

  policy::Decision decide(const std::string& unit) const {
    policy::Request question;
    question.actor = authority().actor();
    question.purpose = request_.purpose;
    question.basis = request_.basis;
    question.type = type_;
    question.fields = fields_;
    question.record_unit = unit;
    return policy::decide(schema(), question);
  }

  /// The most that could be admitted is about records of the principal's own unit; those of others are left out, and
  /// are not counted, where the policy says so.
  Result<void> admit() {
    policy::Decision own = decide(authority().me().unit);
    basis_ = own.basis;
    if (!own.allowed) return refuse(audit::Outcome::kDenied, {ErrorCode::kRefused, "refused: " + own.reason});
    // No principal's unit is that long: this asks for the rules that do not care.
    any_unit_ = decide(std::string(65, '-')).allowed;
    return {};
  }

  bool admits(std::string_view unit) {
    if (any_unit_ || unit == authority().me().unit) return true;
    return decide(std::string(unit)).allowed;
  }

  Result<void> open_indexes() {
    for (const Field* const field : fields_) {
      if (indexes_.contains(field->compartment)) continue;
      const Compartment& compartment = schema().compartments()[field->compartment];
      const keys::EpochName current = authority().state.current(compartment.id);
      CASEVAULT_CHECK(core_.epoch_key(*snapshot_->txn, snapshot_->db, authority(), current));
      const auto& index = snapshot_->db.index;
      const vault::IndexGeneration* const generation = index ? index->whole(compartment.id) : nullptr;
      const bool begins_with_vault =
          index.has_value() && std::ranges::find(index->generations, compartment.id,
                                                 &vault::IndexGeneration::compartment) == index->generations.end();
      if (generation == nullptr && begins_with_vault) {
        indexes_.emplace(field->compartment, nullptr);  // nobody has written there yet
        continue;
      }
      if (generation == nullptr || generation->rules != vault::index_rules(schema(), field->compartment)) {
        return Error{
            ErrorCode::kNotFound,
            "the index of compartment " + compartment.name +
                (generation == nullptr ? " is not there yet"
                                       : " was made by other rules than those of the schema and of this casevault") +
                "; build it with: key reencrypt --index"};
      }
      CASEVAULT_TRY(auto keys, vault::index_keys(core_, *snapshot_->txn, snapshot_->db, authority(), *generation));
      indexes_.emplace(field->compartment, std::move(keys));
    }
    return {};
  }

  Result<FindResult::Answer> search(const std::vector<Term>& terms) {
    CASEVAULT_CHECK(candidates_of(terms.front(), candidates_));
    for (std::size_t i = 1; i < terms.size() && !candidates_.empty(); ++i) {
      CASEVAULT_CHECK(candidates_of(terms[i], others_));
      intersect();
    }
    FindResult::Answer answer;
    CASEVAULT_CHECK(leave_out_hidden());
    answer.count = candidates_.size();
    std::ranges::sort(candidates_, {}, [](const Candidate& each) { return std::pair(each.match, each.row); });
    // What lies beyond is counted and not decrypted.
    if (const std::size_t most = std::max(request_.limit, kMostRanked); candidates_.size() > most)
      candidates_.resize(most);
    const std::size_t looked_at = candidates_.size();
    CASEVAULT_CHECK(rank(terms));
    answer.count -= looked_at - found_.size();
    if (found_.empty()) suggest(terms, answer.suggestions);
    for (Found& found : found_) {
      if (answer.matches.size() == request_.limit) break;
      answer.matches.push_back(
          {{}, found.candidate.match, vault::other_records(core_, authority().state, found.candidate.row)});
      leaving_.push_back(found.candidate.row);
      if (subjects_.size() <= vault::kMaxSubjectParts)
        subjects_.try_emplace(found.candidate.row, std::pair(found.version, std::move(found.record_key)));
    }
    return answer;
  }

  /// Of what was typed alone, whatever is held.
  static void suggest(const std::vector<Term>& terms, std::vector<std::string>& out) {
    for (const Term& term : terms) {
      const std::string field = "field " + term.field->name + ": ";
      std::optional<std::string> meant;
      if (term.field->index == IndexKind::kName) meant = model::typing_suggestion(term.typed);
      if (term.field->index == IndexKind::kId) meant = model::id_suggestion(term.typed);
      if (meant) out.push_back(field + "did you mean " + *meant + "?");
      if (const auto why = model::why_as_written(term.field->index, term.typed)) out.push_back(field + *why);
    }
  }

  /// All at once: a cipher is set up for each call.
  void name_records(FindResult& result) {
    const std::vector<RecordId> ids = core_.ids_of(leaving_);
    auto id = ids.begin();
    for (FindResult::Answer& answer : result.answers) {
      for (FindResult::Hit& hit : answer.matches) hit.id = *id++;
    }
  }

  /// Rows that any word of the term leads to, ascending, each with its closest match.
  Result<void> candidates_of(const Term& term, std::vector<Candidate>& out) {
    out.clear();
    const model::IndexWriter::Keys& keys = indexes_.at(term.field->compartment);
    if (!keys) return {};
    for (const model::IndexWord& word : term.words.words) {
      model::WordKey key;
      keys->word({type_->id, term.field->id}, word, key);
      CASEVAULT_CHECK(model::each_posting(*snapshot_->txn, *keys, key, [&](const model::Posting& posting) {
        const bool same_marks = posting.print == key.print;
        if (!term.words.exact_only || same_marks) out.push_back({posting.row, match_of(word, same_marks), 0});
        return true;
      }));
    }
    if (out.size() < 2) return {};
    std::ranges::sort(out, {}, [](const Candidate& each) { return std::pair(each.row, each.match); });
    const auto rest = std::ranges::unique(out, {}, &Candidate::row);
    out.erase(rest.begin(), rest.end());
    return {};
  }

  /// What both hold; a match is as close as its worst field.
  void intersect() {
    std::vector<Candidate> both;
    auto other = others_.begin();
    for (const Candidate& each : candidates_) {
      while (other != others_.end() && other->row < each.row) ++other;
      if (other == others_.end()) break;
      if (other->row == each.row) both.push_back({each.row, std::max(each.match, other->match), 0});
    }
    candidates_.swap(both);
  }

  /// Rows of unpublished and of dropped imports, and of units that the policy keeps from this principal. Few candidates
  /// are only looked at when they are ranked.
  Result<void> leave_out_hidden() {
    std::erase_if(candidates_, [&](const Candidate& each) { return snapshot_->db.is_staged(each.row); });
    if (any_unit_ && candidates_.size() <= kMostRanked) return {};
    std::optional<Error> broken;
    std::erase_if(candidates_, [&](const Candidate& each) {
      if (broken) return false;
      auto there = open_head(each.row);
      if (!there) broken = std::move(there).error();
      return !broken && (!*there || !admits(head_.unit));
    });
    if (broken) return *std::move(broken);
    return {};
  }

  Error of_record(std::uint64_t row, const Error& error) const {
    return {error.code, "record " + core_.id_of(row).to_string() + ": " + error.message};
  }

  /// False when there is no such row.
  Result<bool> open_head(std::uint64_t row) {
    const auto key = vault::row_key(row);
    CASEVAULT_TRY(const auto value, snapshot_->txn->get(store::Table::kRows, key));
    if (!value) return false;
    const auto leaf = core_.leaf_key(*snapshot_->txn, snapshot_->db, row / keys::kFanout);
    if (!leaf) return of_record(row, leaf.error());
    if (auto opened = head_.open(core_.row_context(row), *value, **leaf); !opened)
      return of_record(row, opened.error());
    return true;
  }

  /// Decrypts what was typed about in each candidate, drops those that are not there, and puts the closest first.
  Result<void> rank(const std::vector<Term>& terms) {
    found_.clear();
    for (const Candidate& candidate : candidates_) {
      CASEVAULT_TRY(const bool there, open_head(candidate.row));
      if (!there) continue;
      Found found{{candidate.row, Match::kExact, 0}, head_.version, {}};
      if (subjects_.size() <= vault::kMaxSubjectParts) found.record_key = SecretBytes::copy(head_.record_key);
      for (const Term& term : terms) {
        auto fits = open_value(candidate.row, term);
        if (fits && !*fits) fits = Error{ErrorCode::kIntegrity, kStale};
        if (!fits) return of_record(candidate.row, fits.error());
        found.candidate.match = std::max(found.candidate.match, **fits);
        const bool close = candidates_.size() == 1 || term.field->index != IndexKind::kName;
        if (!close) found.candidate.distance += model::edit_distance(term.typed, as_text(value_));
      }
      found_.push_back(std::move(found));
    }
    std::ranges::sort(found_, {}, [](const Found& each) {
      return std::tuple(each.candidate.match, each.candidate.distance, each.candidate.row);
    });
    return {};
  }

  /// How the value of the open head fits; it stays in `value_` until the next one.
  Result<std::optional<Match>> open_value(std::uint64_t row, const Term& term) {
    const Compartment& compartment = schema().compartments()[term.field->compartment];
    const auto cell = std::ranges::find(head_.cells, compartment.id, &model::CellView::compartment);
    if (cell == head_.cells.end()) return std::optional<Match>();
    CASEVAULT_TRY(const auto key,
                  core_.epoch_key(*snapshot_->txn, snapshot_->db, authority(), {cell->compartment, cell->epoch}));
    CASEVAULT_CHECK(cell_.begin(core_.row_context(row), compartment, *cell, head_.bytes_of(*cell), crypto::key_of(*key),
                                head_.record_key.first<32>()));
    CASEVAULT_TRY(const std::optional<ByteView> encoded, cell_.open(term.field->id));
    if (!encoded) return std::optional<Match>();
    const std::size_t most = model::max_text_size(encoded->size());
    if (text_.size() < most) text_ = SecretBytes(std::max<std::size_t>(most, 512));
    CASEVAULT_TRY(const std::size_t end, model::decode_value(*term.field, *encoded, text_.mutable_view(), 0));
    value_ = text_.view().first(end);
    return judge_.match(term, as_text(value_));
  }

  vault::DetailsDraft describe() const {
    vault::DetailsDraft details;
    if (type_ != nullptr) details.type = type_->id;
    for (const Field* const field : fields_) details.fields.push_back(field->id);
    return details;
  }

  /// What was typed, for the sealed details alone.
  std::string typed() const {
    std::string out = request_.loose ? "loosely:" : "";
    for (const std::vector<Term>& terms : searches_) {
      if (!out.empty()) out += ' ';
      for (const Term& term : terms) {
        if (&term != &terms.front()) out += " and ";
        out += term.field->name;
        out += '=';
        out += term.typed;
      }
      out += ';';
    }
    return out;
  }

  Error refuse(audit::Outcome outcome, Error error) {
    const std::string purpose = schema().find_purpose(request_.purpose) != nullptr ? request_.purpose : std::string();
    const bool known = std::ranges::find(schema().bases(), basis_) != schema().bases().end();
    return core_.refuse(authority(), audit::Action::kFind, outcome, describe(), purpose, known ? basis_ : std::string(),
                        std::move(error));
  }

  Result<std::uint64_t> log() {
    vault::DetailsDraft details = describe();
    details.text = typed();
    std::ranges::sort(leaving_);
    leaving_.erase(std::unique(leaving_.begin(), leaving_.end()), leaving_.end());
    if (leaving_.size() <= vault::kMaxSubjectParts) {
      for (auto& [row, found] : subjects_) details.subjects.push_back({row, found.first, std::move(found.second)});
    } else {
      details.rows.assign(leaving_.begin(), leaving_.end());
    }
    CASEVAULT_TRY(vault::EntryDraft entry,
                  core_.draft(authority(), audit::Action::kFind, audit::Outcome::kOk, std::move(details)));
    entry.leaf.purpose = request_.purpose;
    entry.leaf.basis = basis_;
    entry.leaf.count = leaving_.size();
    CASEVAULT_TRY(const vault::EntryPlace place, core_.append(std::move(entry)));
    return place.entry;
  }

  static constexpr const char* kStale =
      "the search index leads to it by a word that it does not hold: one of them was put back; run doctor --deep";

  Core& core_;
  const FindRequest& request_;
  const Snapshot* snapshot_ = nullptr;
  const RecordType* type_ = nullptr;
  std::vector<const Field*> fields_;  ///< of all searches, each once
  std::vector<std::vector<Term>> searches_;
  std::string basis_;
  bool any_unit_ = false;
  std::map<std::uint16_t, model::IndexWriter::Keys> indexes_;  ///< by compartment; null: nothing was written there
  std::vector<std::uint32_t> leaving_;                         ///< rows, in the order of the hits
  std::map<std::uint32_t, std::pair<std::uint32_t, SecretBytes>> subjects_;  ///< of few rows: version and key

  std::vector<Candidate> candidates_;  ///< of the search at hand, like all below
  std::vector<Candidate> others_;
  std::vector<Found> found_;
  model::HeadOpener head_;
  model::DirectoryHashes hashes_;
  model::CellOpener cell_{&hashes_};
  SecretBytes text_;
  ByteView value_;
  Judge judge_;
};

Result<void> check_request(const FindRequest& request) {
  if (request.purpose.empty()) return Error{ErrorCode::kUsage, "a purpose is required"};
  if (request.limit == 0) return Error{ErrorCode::kUsage, "a limit must be at least 1"};
  if (request.searches.empty()) return Error{ErrorCode::kUsage, "nothing is searched for"};
  if (request.searches.size() > kMostSearches)
    return Error{ErrorCode::kUsage, "more than 1,000 searches at once; split the request"};
  std::size_t typed = 0;
  for (const std::vector<FieldInput>& terms : request.searches) {
    if (terms.empty()) return Error{ErrorCode::kUsage, "a search names no field"};
    for (const FieldInput& term : terms) {
      if (term.text.empty()) return Error{ErrorCode::kUsage, "a search for nothing: every field needs a text"};
      typed += term.name.size() + term.text.size() + 8;
      if (!base::valid_utf8(term.text)) return Error{ErrorCode::kBadInput, "a text to search for is not valid UTF-8"};
    }
  }
  if (typed > kMostTyped) return Error{ErrorCode::kUsage, "more than 1 MiB is searched for at once; split the request"};
  return {};
}

}  // namespace

std::string_view name_of(Match match) noexcept {
  switch (match) {
    case Match::kExact:
      return "exact";
    case Match::kFolded:
      return "folded";
    case Match::kOrderFree:
      return "order_free";
    case Match::kJoined:
      return "joined";
  }
  return "unknown";
}

Result<FindResult> Session::find(const FindRequest& request) {
  CASEVAULT_CHECK(check_request(request));
  CASEVAULT_TRY(const auto core, impl_->core());
  for (int attempt = 1;; ++attempt) {
    auto result = Search(*core, request).run();
    // The authority moved under the decision: decide again.
    if (result || result.error().code != ErrorCode::kBusy || attempt == kMaxAttempts) return result;
  }
}

}  // namespace casevault
