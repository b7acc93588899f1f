// SPDX-License-Identifier: Apache-2.0
#include "vault/access.hpp"

#include <algorithm>

namespace casevault::vault {

Result<void> Access::resolve(const Schema& schema, const RecordType& type) {
  type_ = &type;
  for (const std::string& name : asked_.fields) {
    const Field* const field = type.find(name);
    if (field == nullptr) return Error{ErrorCode::kBadInput, "type " + type.name + " has no field " + name};
    const Compartment* const compartment = &schema.compartments()[field->compartment];
    auto place = std::ranges::find(wanted_, compartment, &Wanted::compartment);
    if (place == wanted_.end()) place = wanted_.insert(place, {compartment, {}});
    place->fields.emplace_back(field, fields_.size());
    fields_.push_back(field);
  }
  return {};
}

policy::Decision Access::decide(const Authority& authority, std::string unit) const {
  policy::Request question;
  question.actor = authority.actor();
  question.purpose = asked_.purpose;
  question.basis = asked_.basis;
  question.recipient_class = asked_.recipient_class;
  question.type = type_;
  question.fields = fields_;
  question.record_unit = std::move(unit);
  return policy::decide(authority.schema(), question);
}

bool Access::admits_every_unit(const Snapshot& snapshot) const {
  // Units are compared, nothing else is asked of them: one that is not the principal's stands for all others.
  const std::string& own = snapshot.authority->me().unit;
  return decide(*snapshot.authority, own).allowed && decide(*snapshot.authority, own + " of others").allowed;
}

Result<std::string> Access::admit(const Snapshot& snapshot, std::span<const std::string> units,
                                  std::span<const std::uint64_t> rows) {
  const Authority& authority = *snapshot.authority;
  policy::Decision decision;
  for (const std::string& unit : units) {
    decision = decide(authority, unit);
    if (!decision.allowed) {
      return refuse(authority, audit::Outcome::kDenied, rows, std::move(decision.basis),
                    {ErrorCode::kRefused, "refused: " + decision.reason});
    }
  }
  // A policy that admits is not enough: the key must be there.
  for (const Wanted& each : wanted_) {
    auto key = core_.epoch_key(*snapshot.txn, snapshot.db, authority, authority.state.current(each.compartment->id));
    if (key) continue;
    if (key.error().code != ErrorCode::kNoGrant) return std::move(key).error();
    return refuse(authority, audit::Outcome::kDenied, rows, decision.basis, std::move(key).error());
  }
  return std::move(decision.basis);
}

DetailsDraft Access::describe() const {
  DetailsDraft details;
  details.recipient = asked_.recipient;
  details.recipient_class = asked_.recipient_class;
  if (type_ != nullptr) details.type = type_->id;
  for (const std::string& name : asked_.fields) {
    const Field* const field = type_ == nullptr ? nullptr : type_->find(name);
    if (field != nullptr) details.fields.push_back(field->id);
  }
  return details;
}

Error Access::refuse(const Authority& authority, audit::Outcome outcome, std::span<const std::uint64_t> rows,
                     std::string basis, Error error) const {
  DetailsDraft details = describe();
  details.rows.assign(rows.begin(), rows.end());
  // Leaves hold codes of the schema only: what is no code stays in the sealed details.
  const Schema& schema = authority.schema();
  const std::string purpose = schema.find_purpose(asked_.purpose) != nullptr ? asked_.purpose : std::string();
  if (std::ranges::find(schema.bases(), basis) == schema.bases().end()) basis.clear();
  return core_.refuse(authority, asked_.action, outcome, std::move(details), purpose, std::move(basis),
                      std::move(error));
}

}  // namespace casevault::vault
