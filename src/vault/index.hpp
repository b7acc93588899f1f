// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <casevault/schema.hpp>

#include "model/search_index.hpp"
#include "vault/db_state.hpp"
#include "vault/encoded_field.hpp"

/// The search index of a vault: which generation of a compartment is searched and written, and what records put there.
namespace casevault::vault {

class Core;
class UnitOfWork;
struct Authority;

/// Fields of all types that can be searched for and live in this compartment (index into the schema), by id.
[[nodiscard]] std::vector<model::IndexedField> indexed_fields(const Schema& schema, std::uint16_t compartment);
/// What an index of the compartment is made by: its fields, their kinds, the normaliser.
[[nodiscard]] std::array<std::uint8_t, 8> index_rules(const Schema& schema, std::uint16_t compartment);
[[nodiscard]] bool has_index(const Schema& schema);

/// A word that a record is found by, and by which of its fields.
struct FieldWord {
  std::uint16_t field = 0;
  model::IndexWord word;
  auto operator<=>(const FieldWord&) const = default;
};
/// Words of the fields that live in the compartment (index into the schema), of values that were checked or verified.
/// `text` is room for a value, used again.
void words_of_fields(std::uint16_t compartment, std::span<const EncodedField> fields, SecretBytes& text,
                     std::vector<FieldWord>& out);

/// A phone or identity number, which says by itself who somebody is.
[[nodiscard]] bool identifies(const RecordType& type, const FieldWord& word);

/// Keys of a generation whose rules are the schema's, as the transaction sees it: a slot whose first generation was
/// rolled back is given out again with another key. kNoGrant without the compartment.
[[nodiscard]] Result<model::IndexWriter::Keys> index_keys(Core& core, store::ReadTxn& txn, const DbState& db,
                                                          const Authority& authority,
                                                          const IndexGeneration& generation);
/// A generation key in a new slot. The generation joins the state of the unit of work.
[[nodiscard]] Result<IndexGeneration*> begin_generation(UnitOfWork& work, std::uint16_t compartment);

/// Puts records into the index and takes them out, within one unit of work.
class Indexer {
 public:
  /// For those of the compartments (indices into the schema) that have an index this principal can write. A vault that
  /// is indexed from its first record on gets a compartment's generation with its first writer.
  [[nodiscard]] static Result<Indexer> make(UnitOfWork& work, std::span<const std::uint16_t> compartments);
  /// For all compartments that this principal holds.
  [[nodiscard]] static Result<Indexer> make(UnitOfWork& work);
  /// For one generation: what builds it.
  [[nodiscard]] static Result<Indexer> make(UnitOfWork& work, const IndexGeneration& generation);

  /// A record that was not there: a fixed number of postings in each compartment, whatever its fields. Its phones and
  /// identity numbers are telling (IndexWriter::take_shared), and its names when it also has a date.
  [[nodiscard]] Result<void> add(UnitOfWork& work, const RecordType& type, std::uint64_t row,
                                 std::span<const EncodedField> fields);
  /// Rows that have the word, ascending, without those of imports that are not
  /// published; the oldest `most` of them. `own`: of the import that asks,
  /// whose rows count.
  [[nodiscard]] Result<std::vector<std::uint32_t>> rows_with(UnitOfWork& work, const RecordType& type,
                                                             const FieldWord& word, std::size_t most,
                                                             const StagedRange* own) const;
  /// Postings of words that only `before` gives are overwritten, those that
  /// only `after` gives are added.
  [[nodiscard]] Result<void> replace(UnitOfWork& work, const RecordType& type, std::uint64_t row,
                                     std::span<const EncodedField> before, std::span<const EncodedField> after);
  [[nodiscard]] bool empty() const noexcept { return targets_.empty(); }
  /// Whether a field of the compartment (index) has a place here.
  [[nodiscard]] bool covers(std::uint16_t compartment) const noexcept;
  /// A line for each compartment, held by this principal, whose names and numbers of the type cannot be searched here,
  /// because its index is not whole, not there, or by other rules: what was there before is not found.
  [[nodiscard]] std::vector<std::string> not_searched(UnitOfWork& work, const RecordType& type) const;

 private:
  struct Target {
    std::uint16_t compartment = 0;  ///< index into the schema
    model::IndexWriter::Keys keys;
    std::optional<std::uint64_t> built;
    std::size_t usual = 0;  ///< postings of a record
  };
  [[nodiscard]] Result<void> join(UnitOfWork& work, std::uint16_t compartment, const IndexGeneration& generation);
  [[nodiscard]] Result<void> fill(UnitOfWork& work, const Target& target, std::uint64_t row, std::size_t count);

  std::vector<Target> targets_;
  SecretBytes text_;  ///< room for one value
  std::vector<FieldWord> before_;
  std::vector<FieldWord> after_;
};

}  // namespace casevault::vault
