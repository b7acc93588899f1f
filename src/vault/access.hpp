// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "vault/core.hpp"

/// The way from a request for fields to the right to read them: policy, then keys; whatever says no leaves an entry.
namespace casevault::vault {

/// What is asked for from one compartment: fields and their places in the request.
struct Wanted {
  const Compartment* compartment;
  std::vector<std::pair<const Field*, std::size_t>> fields;
};

class Access {
 public:
  struct Asked {
    audit::Action action{};
    std::vector<std::string> fields;
    std::string purpose;
    std::string basis;  ///< empty: the purpose's default
    std::string recipient;
    std::string recipient_class;
  };
  Access(Core& core, Asked asked) : core_(core), asked_(std::move(asked)) {}

  /// Finds the fields; kBadInput for one that the type has not. The schema must outlive what wanted() says.
  [[nodiscard]] Result<void> resolve(const Schema& schema, const RecordType& type);
  /// The policy's decision for records of these units (sorted, each once), nothing else of a record enters it; then the
  /// keys. The basis that the entry carries, or kRefused and kNoGrant, logged with `rows`.
  [[nodiscard]] Result<std::string> admit(const Snapshot& snapshot, std::span<const std::string> units,
                                          std::span<const std::uint64_t> rows = {});
  /// Whether the policy's decision is yes whatever unit a record is of. Leaves no entry.
  [[nodiscard]] bool admits_every_unit(const Snapshot& snapshot) const;
  [[nodiscard]] DetailsDraft describe() const;
  /// Logs what did not come to pass.
  [[nodiscard]] Error refuse(const Authority& authority, audit::Outcome outcome, std::span<const std::uint64_t> rows,
                             std::string basis, Error error) const;

  [[nodiscard]] const RecordType* type() const noexcept { return type_; }
  [[nodiscard]] const std::vector<const Field*>& fields() const noexcept { return fields_; }
  [[nodiscard]] const std::vector<Wanted>& wanted() const noexcept { return wanted_; }
  [[nodiscard]] const Asked& asked() const noexcept { return asked_; }

 private:
  [[nodiscard]] policy::Decision decide(const Authority& authority, std::string unit) const;
  Core& core_;
  Asked asked_;
  const RecordType* type_ = nullptr;
  std::vector<const Field*> fields_;
  std::vector<Wanted> wanted_;
};

}  // namespace casevault::vault
