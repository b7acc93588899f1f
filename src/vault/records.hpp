// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "vault/unit_of_work.hpp"

/// Records as rows: checked fields in, sealed rows out; listing and history.
namespace casevault::vault {

/// A checked, encoded field on its way into a cell.
struct EncodedField {
  const Field* field = nullptr;
  SecretBytes value;
};

/// Why a row is refused: the column (empty for the whole row) and the reason, never a value.
struct FieldProblem {
  std::string column;
  std::string reason;
};

/// Checks names and values; collects every problem instead of stopping at the first. Empty texts are left out of the
/// result.
[[nodiscard]] std::vector<FieldProblem> check_fields(const Schema& schema, const RecordType& type,
                                                     std::span<const FieldInput> fields, bool require_all);
[[nodiscard]] Result<std::vector<EncodedField>> encode_fields(const Schema& schema, const RecordType& type,
                                                              std::span<const FieldInput> fields);

/// The keys a writer needs, fetched once.
class RecordSealer {
 public:
  /// kNoGrant when the principal lacks a compartment of the type's fields named in `compartments` (indices into the
  /// schema).
  [[nodiscard]] static Result<RecordSealer> make(UnitOfWork& work, std::span<const std::uint16_t> compartments);

  struct NewRow {
    std::uint64_t number = 0;
    bool last = true;  ///< greater than every row there is: the store may append
    std::uint16_t type = 0;
    std::int64_t now_ms = 0;
    std::string unit;
    std::uint64_t import_id = 0;
    std::array<std::uint8_t, 16> stamp{};
  };
  /// Writes a new record; `record_key` receives a copy of RK when not null.
  [[nodiscard]] Result<void> write(UnitOfWork& work, const NewRow& row, std::span<const EncodedField> fields,
                                   SecretBytes* record_key);
  /// Seals one compartment's fields with its current epoch.
  [[nodiscard]] model::CellEntry seal(Core& core, const Schema& schema, const model::RowContext& context,
                                      std::uint16_t compartment, const SecretBytes& record_key,
                                      std::span<const model::PlainField> fields, Bytes& out) const;

 private:
  struct Key {
    keys::EpochName name;
    std::shared_ptr<const SecretBytes> key;
  };
  crypto::Suite suite_ = crypto::Suite::kAes256Gcm;
  std::map<std::uint16_t, Key> keys_;  ///< by compartment index
  std::uint64_t leaf_ = UINT64_MAX;
  std::shared_ptr<const model::LeafKey> leaf_key_;
};

/// Seals a row that is there under a new head and counts the seal; replaces the leaf node's key when it is due.
[[nodiscard]] Result<void> rewrite_row(UnitOfWork& work, std::uint64_t row, model::Head& head, ByteView cells);

/// kRefused for roles that never write (analyst, auditor).
[[nodiscard]] Result<void> require_writer(const Authority& authority);

[[nodiscard]] Result<Written> add_record(Core& core, std::string_view type, std::span<const FieldInput> fields);
[[nodiscard]] Result<Written> update_record(Core& core, const RecordId& id, std::span<const FieldInput> fields,
                                            std::optional<std::uint32_t> expect_version);
[[nodiscard]] Result<std::vector<RecordInfo>> list_records(Core& core, std::string_view type, std::size_t limit,
                                                           const std::optional<RecordId>& after);
[[nodiscard]] Result<std::vector<VersionInfo>> record_history(Core& core, const RecordId& id);

}  // namespace casevault::vault
