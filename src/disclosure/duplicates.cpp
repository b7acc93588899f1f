// SPDX-License-Identifier: Apache-2.0
#include "model/duplicates.hpp"

#include <algorithm>
#include <array>
#include <map>

#include "model/value.hpp"
#include "vault/session_impl.hpp"

namespace casevault {
namespace {

using vault::Authority;
using vault::Core;
using vault::Snapshot;

constexpr int kMaxAttempts = 4;
constexpr std::uint64_t kProgressStep = 4096;
/// A register that has only begun says little about how rare a name is.
constexpr std::size_t kLeastRegister = 500;

/// Where each trait goes.
std::string_view* cell_of(model::PersonCells& cells, Trait trait) {
  switch (trait) {
    case Trait::kNone:
      return nullptr;
    case Trait::kName:
      return &cells.name;
    case Trait::kAliases:
      return &cells.aliases;
    case Trait::kSex:
      return &cells.sex;
    case Trait::kBirthDate:
      return &cells.birth_date;
    case Trait::kBirthPrecision:
      return &cells.birth_precision;
    case Trait::kNationality:
      return &cells.nationality;
    case Trait::kDocument:
      return &cells.document;
    case Trait::kPhone:
      return &cells.phone;
    case Trait::kProvince:
      return &cells.province;
    case Trait::kProvinceCode:
      return &cells.province_code;
    case Trait::kProvinceEdition:
      return &cells.province_edition;
    case Trait::kCommune:
      return &cells.commune;
    case Trait::kRelatives:
      return &cells.relatives;
  }
  return nullptr;
}

/// People in clear, for as long as they are compared.
struct People {
  std::vector<model::Person> all;
  std::vector<std::uint32_t> rows;
  People() = default;
  People(const People&) = delete;
  People& operator=(const People&) = delete;
  ~People() {
    for (model::Person& person : all) model::wipe(person);
  }
};

class Comparison {
 public:
  Comparison(Core& core, const DuplicatesRequest& request) : core_(core), request_(request) {}

  /// Policy and keys, then the people, then the entry.
  Result<void> read() {
    CASEVAULT_TRY(const Snapshot snapshot, core_.snapshot());
    snapshot_ = &snapshot;
    authority_ = snapshot.authority;
    type_ = schema().find_type(request_.type);
    if (type_ == nullptr) return Error{ErrorCode::kNotFound, "the schema has no record type " + request_.type};
    if (type_->find(Trait::kName) == nullptr) {
      return Error{ErrorCode::kNotFound, "no field of type " + type_->name +
                                             " has trait = \"name\" in the schema of this vault: who is who cannot be "
                                             "compared"};
    }
    CASEVAULT_CHECK(choose_fields());
    if (auto opened = open_people(); !opened) {
      if (opened.error().code == ErrorCode::kCancelled) return opened;
      return refuse(audit::Outcome::kFailed, std::move(opened).error());
    }
    CASEVAULT_TRY(result.entry, log());
    snapshot_ = nullptr;
    return {};
  }

  /// What may leave once the entry is there.
  Result<void> compare(const std::function<bool(const DuplicatePair&)>& found) {
    DuplicatePair out;
    model::find_duplicates(
        people_.all, request_.min_score,
        [&](const model::ScoredPair& pair) {
          const std::uint32_t a = people_.rows[pair.a];
          const std::uint32_t b = people_.rows[pair.b];
          if (merged(a, b)) return true;
          out = {core_.id_of(a), core_.id_of(b), pair.score, {}, {}};
          for (const model::Reason reason : pair.because)
            (model::speaks_for(reason) ? out.because : out.against).push_back(model::text_of(reason));
          ++result.pairs;
          return found(out);
        },
        kLeastRegister);
    return {};
  }

  DuplicatesResult result;

 private:
  const Schema& schema() const { return authority_->schema(); }

  policy::Decision decide(std::span<const Field* const> fields, const std::string& unit) const {
    policy::Request question;
    question.actor = authority_->actor();
    question.purpose = request_.purpose;
    question.basis = request_.basis;
    question.type = type_;
    question.fields.assign(fields.begin(), fields.end());
    question.record_unit = unit;
    return policy::decide(schema(), question);
  }

  /// The fields that this principal may read, and has the keys for; without names there is nothing to compare.
  Result<void> choose_fields() {
    const std::string& own = authority_->me().unit;
    for (const Field& field : type_->fields) {
      if (field.trait == Trait::kNone) continue;
      const Field* const one = &field;
      const policy::Decision decision = decide(std::span(&one, 1), own);
      const Compartment& compartment = schema().compartments()[field.compartment];
      auto key =
          core_.epoch_key(*snapshot_->txn, snapshot_->db, *authority_, authority_->state.current(compartment.id));
      if (!key && key.error().code != ErrorCode::kNoGrant) return std::move(key).error();
      if (decision.allowed && key) {
        fields_.push_back(one);
        result.basis = decision.basis;
      } else if (field.trait == Trait::kName) {
        fields_ = {one};
        result.basis = decision.basis;
        return refuse(audit::Outcome::kDenied, decision.allowed
                                                   ? std::move(key).error()
                                                   : Error{ErrorCode::kRefused, "refused: " + decision.reason});
      } else {
        result.unheard.push_back(field.name);
      }
    }
    return {};
  }

  /// What of `fields_` may be read in records of a unit; empty when their names may not.
  const std::vector<const Field*>& fields_in(std::string_view unit) {
    const auto known = fields_in_.find(unit);
    if (known != fields_in_.end()) return known->second;
    std::vector<const Field*> fields = fields_;
    std::erase_if(fields, [&](const Field* field) { return !decide(std::span(&field, 1), std::string(unit)).allowed; });
    if (std::ranges::find(fields, Trait::kName, &Field::trait) == fields.end()) fields.clear();
    return fields_in_.emplace(unit, std::move(fields)).first->second;
  }

  Result<void> open_people() {
    struct Source {
      const Field* field;
      SecretBytes text;
    };
    std::map<std::uint16_t, std::vector<Source>> by_compartment;  // persisted ids
    for (const Field* const field : fields_)
      by_compartment[schema().compartments()[field->compartment].id].push_back({field, SecretBytes(512)});
    const auto total = snapshot_->db.records.find(type_->id);
    const std::uint64_t expected = total == snapshot_->db.records.end() ? 0 : total->second;
    model::HeadOpener head;
    model::DirectoryHashes hashes;
    model::CellOpener cell(&hashes);
    return core_.scan_heads(
        *snapshot_->txn, snapshot_->db, 0, head,
        [&](std::uint64_t row, const model::HeadOpener& opened) -> Result<bool> {
          if (opened.type != type_->id) return true;
          const std::vector<const Field*>& readable = fields_in(opened.unit);
          if (readable.empty()) return true;
          model::PersonCells cells;
          for (auto& [id, sources] : by_compartment) {
            const auto place = std::ranges::find(opened.cells, id, &model::CellView::compartment);
            if (place == opened.cells.end()) continue;
            const Compartment& compartment = schema().compartments()[sources.front().field->compartment];
            CASEVAULT_TRY(const auto key,
                          core_.epoch_key(*snapshot_->txn, snapshot_->db, *authority_, {id, place->epoch}));
            const auto open = [&]() -> Result<void> {
              CASEVAULT_CHECK(cell.begin(core_.row_context(row), compartment, *place, opened.bytes_of(*place),
                                         crypto::key_of(*key), opened.record_key.first<32>()));
              for (Source& source : sources) {
                if (std::ranges::find(readable, source.field) == readable.end()) continue;
                CASEVAULT_TRY(const std::optional<ByteView> encoded, cell.open(source.field->id));
                if (!encoded) continue;
                const std::size_t most = model::max_text_size(encoded->size());
                if (source.text.size() < most) source.text = SecretBytes(most);
                CASEVAULT_TRY(const std::size_t end,
                              model::decode_value(*source.field, *encoded, source.text.mutable_view(), 0));
                *cell_of(cells, source.field->trait) = source.text.text().substr(0, end);
              }
              return {};
            };
            if (auto done = open(); !done) {
              if (vault::is_damage(done.error())) return ++result.damaged, true;
              return Error{done.error().code,
                           "record " + core_.id_of(row).to_string() + ": " + std::move(done).error().message};
            }
          }
          people_.all.push_back(model::person_of(cells));
          people_.rows.push_back(static_cast<std::uint32_t>(row));
          if (request_.progress && people_.rows.size() % kProgressStep == 0 &&
              !request_.progress({"read", people_.rows.size(), expected})) {
            return Error{ErrorCode::kCancelled, "stopped before anything was compared; nothing was disclosed"};
          }
          return true;
        },
        [&](std::uint64_t, const Error&) -> Result<bool> { return ++result.damaged, true; });
  }

  bool merged(std::uint32_t a, std::uint32_t b) const {
    if (!authority_->state.links.contains(a)) return false;
    const std::vector<std::uint32_t> person = authority_->state.rows_of_person(a);
    return std::ranges::find(person, b) != person.end();
  }

  vault::DetailsDraft describe() const {
    vault::DetailsDraft details;
    details.type = type_->id;
    for (const Field* const field : fields_) details.fields.push_back(field->id);
    return details;
  }

  Error refuse(audit::Outcome outcome, Error error) const {
    const std::string purpose = schema().find_purpose(request_.purpose) != nullptr ? request_.purpose : std::string();
    const bool known = std::ranges::find(schema().bases(), result.basis) != schema().bases().end();
    return core_.refuse(*authority_, audit::Action::kDuplicates, outcome, describe(), purpose,
                        known ? result.basis : std::string(), std::move(error));
  }

  Result<std::uint64_t> log() {
    result.records = people_.rows.size();
    vault::DetailsDraft details = describe();
    details.rows.assign(people_.rows.begin(), people_.rows.end());
    CASEVAULT_TRY(vault::EntryDraft entry,
                  core_.draft(*authority_, audit::Action::kDuplicates, audit::Outcome::kOk, std::move(details)));
    entry.leaf.purpose = request_.purpose;
    entry.leaf.basis = result.basis;
    entry.leaf.count = result.records;
    CASEVAULT_TRY(const vault::EntryPlace place, core_.append(std::move(entry)));
    return place.entry;
  }

  Core& core_;
  const DuplicatesRequest& request_;
  const Snapshot* snapshot_ = nullptr;
  std::shared_ptr<const Authority> authority_;
  const RecordType* type_ = nullptr;
  std::vector<const Field*> fields_;
  std::map<std::string, std::vector<const Field*>, std::less<>> fields_in_;  ///< by unit
  People people_;
};

}  // namespace

Result<DuplicatesResult> Session::duplicates(const DuplicatesRequest& request,
                                             const std::function<bool(const DuplicatePair&)>& found) {
  if (request.purpose.empty()) return Error{ErrorCode::kUsage, "a purpose is required"};
  if (!(request.min_score >= 0 && request.min_score <= 1))
    return Error{ErrorCode::kUsage, "the least score is a number from 0 to 1"};
  CASEVAULT_TRY(const auto core, impl_->core());
  for (int attempt = 1;; ++attempt) {
    Comparison comparison(*core, request);
    auto read = comparison.read();
    // The authority moved under the decision: decide again.
    if (!read && read.error().code == ErrorCode::kBusy && attempt != kMaxAttempts) continue;
    CASEVAULT_CHECK(std::move(read));
    CASEVAULT_CHECK(comparison.compare(found));
    return std::move(comparison.result);
  }
}

}  // namespace casevault
