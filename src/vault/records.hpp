// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "model/value.hpp"
#include "vault/encoded_field.hpp"
#include "vault/index.hpp"
#include "vault/unit_of_work.hpp"

/// Records as rows: checked fields in, sealed rows out; listing and history.
namespace casevault::vault {

/// Why a row is refused: the column (empty for the whole row) and the reason, never a value.
struct FieldProblem {
  std::string column;
  std::string reason;
};

/// Checks names and values; collects every problem instead of stopping at the first. Empty texts are left out of the
/// result.
[[nodiscard]] std::vector<FieldProblem> check_fields(const Schema& schema, const RecordType& type,
                                                     std::span<const FieldInput> fields, bool require_all);
/// Of fields that passed check_fields, into `buffer`, which grows as needed.
[[nodiscard]] std::vector<EncodedField> encode_fields(const RecordType& type, std::span<const FieldInput> fields,
                                                      SecretBytes& buffer);

/// Checks and encodes many rows of one type. What their names mean is found out once for all rows that carry the same
/// names in the same order. Schema and type must outlive it. One thread at a time.
class RowChecker {
 public:
  RowChecker(const Schema& schema, const RecordType& type) : schema_(schema), type_(type) {}
  /// As check_fields for a new record.
  [[nodiscard]] std::vector<FieldProblem> check(std::span<const FieldInput> fields);
  /// Of the row that `check` found good last. The values live until the next call.
  [[nodiscard]] std::span<const EncodedField> encode(std::span<const FieldInput> fields);

 private:
  struct Column {
    std::string name;
    const Field* field;
    model::ValueCheck check;
  };
  void resolve(std::span<const FieldInput> fields);
  const Schema& schema_;
  const RecordType& type_;
  std::vector<Column> columns_;  ///< empty: rows of the shape seen last are bad or must be looked at one by one
  std::vector<EncodedField> encoded_;
  SecretBytes buffer_;
};

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
                                      std::span<const model::PlainField> fields, Bytes& out);

 private:
  struct Key {
    keys::EpochName name;
    std::shared_ptr<const SecretBytes> key;
  };
  crypto::Suite suite_ = crypto::Suite::kAes256Gcm;
  std::map<std::uint16_t, Key> keys_;  ///< by compartment index
  std::uint64_t leaf_ = UINT64_MAX;
  std::shared_ptr<const model::LeafKey> leaf_key_;
  model::Head head_;  ///< of the row being written; this and the rest are used again for the next
  model::SealBuffers buffers_;
  std::vector<model::PlainField> own_;
  Bytes cells_;
  Bytes row_;
};

/// Fields of one cell as they stand in a record, copied into `copies`.
[[nodiscard]] Result<std::vector<EncodedField>> open_cell(Core& core, store::ReadTxn& txn, const DbState& db,
                                                          const Authority& authority, std::uint64_t number,
                                                          const model::OpenedRow& row, std::size_t index,
                                                          const RecordType& type, std::vector<SecretBytes>& copies);
/// Seals a row that is there under a new head and counts the seal; replaces the leaf node's key when it is due.
[[nodiscard]] Result<void> rewrite_row(UnitOfWork& work, std::uint64_t row, model::Head& head, ByteView cells);

/// kRefused for roles that never write (analyst, auditor).
[[nodiscard]] Result<void> require_writer(const Authority& authority);

[[nodiscard]] Result<Written> add_record(Core& core, std::string_view type, std::span<const FieldInput> fields,
                                         const std::optional<std::uint64_t>& searched);
[[nodiscard]] Result<Written> update_record(Core& core, const RecordId& id, std::span<const FieldInput> fields,
                                            std::optional<std::uint32_t> expect_version);
[[nodiscard]] Result<std::vector<RecordInfo>> list_records(Core& core, std::string_view type, std::size_t limit,
                                                           const std::optional<RecordId>& after);
[[nodiscard]] Result<std::vector<VersionInfo>> record_history(Core& core, const RecordId& id);

}  // namespace casevault::vault
