// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <casevault/record.hpp>

#include <memory>

namespace casevault {

struct DisclosureRequest {
  std::vector<RecordId> ids;  ///< in the order wanted; none twice
  std::vector<std::string> fields;
  std::string purpose;
  std::string basis;            ///< empty: the purpose's default
  std::string recipient;        ///< free text for the sealed details; required
  std::string recipient_class;  ///< what rules match; may be empty
};

/// Released plaintext. Its entry is on disk before this object exists. Owns the values in locked memory and wipes them.
/// Values are decrypted window by window (about 1 MiB), each from a fresh snapshot that must still hold the versions
/// the entry fixed. Move-only; one thread at a time; must not outlive the session.
class CASEVAULT_API Disclosure {
 public:
  struct Record {
    RecordId id;
    std::vector<std::optional<std::string_view>> values;  ///< in the order of the requested fields; nullopt = empty
  };
  /// The next record in the order asked, or nullptr at the end. Valid until the next call. kConflict when it changed
  /// since the entry (never another value), kIntegrity when it was tampered with; both leave a `failed` entry.
  [[nodiscard]] Result<const Record*> next();
  [[nodiscard]] std::uint64_t entry() const noexcept;
  [[nodiscard]] const std::string& basis() const noexcept;  ///< the one the entry carries
  /// The receipt of the entry (C2SP tlog-proof), verifiable with audit::verify_receipt and no vault.
  [[nodiscard]] Result<std::string> receipt() const;

  Disclosure(Disclosure&&) noexcept;
  Disclosure& operator=(Disclosure&&) noexcept;
  ~Disclosure();
  struct Impl;
  explicit Disclosure(std::unique_ptr<Impl> impl) noexcept;

 private:
  std::unique_ptr<Impl> impl_;
};

}  // namespace casevault
