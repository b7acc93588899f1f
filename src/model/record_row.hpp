// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <casevault/schema.hpp>

#include <unordered_map>

#include "base/environment.hpp"
#include "crypto/aead.hpp"
#include "crypto/suite.hpp"
#include "crypto/types.hpp"

/// One row a record: sealed head ‖ cells. The only file that knows the layout of a row (FORMAT.md, "Record row").
///
///   row  = nonce 12 ‖ masked head length u16 ‖ AES-256-GCM(leaf key, nonce, aad = label kTreeHead ‖ vault ‖ row, head)
///   ‖ cells mask = low 16 bits of siphash(mask key, nonce): the length of the head shows to nobody without the leaf
///   node key head = 1 format ‖ RK 32 ‖ stamp 16 ‖ varints(type, version, created ms, updated ms, policy bits, consent
///   bits, import id,
///          seals) ‖ unit (varint length, text) ‖ varint cell count ‖ cells' entries ‖ zeros up to a multiple of 32
///   entry = varints(compartment, size in bytes, suite, epoch, schema version, flags) ‖ salt 16 ‖ varint n ‖ n ×
///   (varint field,
///          varint length class) ‖ varint share block length ‖ share block
///   cell = commitment 32 ‖ for each directory entry, ciphertext ‖ tag 16
///
/// Cell key: derive_cell_keys(suite, kCell, CK, RK, suite u8 ‖ vault 16 ‖ row u64 ‖ compartment u16 ‖ epoch u32 ‖
/// schema version u16 ‖ salt 16) = AEAD key 32 ‖ commitment 32. Field i of the directory is sealed with nonce = 0^8 ‖ i
/// u32 and AAD = field u16 ‖ i u32 ‖ BLAKE2b-256(directory bytes of the entry: varint n and the n pairs). A compartment
/// sealed as one map has a single entry with field 0; its plaintext is a CBOR map field id -> value, padded like any
/// value. Flag bit 0 marks a deposit cell, bit 1 a split cell: reserved, a reader of this version refuses them as
/// kUnsupported.
namespace casevault::model {

/// A row begins with the nonce of its head: random, a new one whenever the head is sealed.
inline constexpr std::size_t kHeadNonceSize = 12;

struct RowContext {
  std::array<std::uint8_t, 16> vault{};
  std::uint64_t row = 0;
};

struct DirectoryEntry {
  std::uint16_t field = 0;
  std::uint16_t length_class = 0;
};

struct CellEntry {
  std::uint16_t compartment = 0;  ///< persisted compartment id
  std::uint32_t size = 0;         ///< bytes of the cell in the row
  crypto::Suite suite = crypto::Suite::kAes256Gcm;
  std::uint32_t epoch = 0;
  std::uint16_t schema_version = 0;
  std::uint8_t flags = 0;
  std::array<std::uint8_t, 16> salt{};
  std::vector<DirectoryEntry> directory;
};

struct Head {
  SecretBytes record_key;  ///< RK, 32 bytes
  std::array<std::uint8_t, 16> stamp{};
  std::uint16_t type = 0;
  std::uint32_t version = 1;
  std::int64_t created_ms = 0;
  std::int64_t updated_ms = 0;
  std::uint32_t policy_bits = 0;
  std::uint32_t consent_bits = 0;
  std::uint64_t import_id = 0;   ///< random number of the import that brought it, 0 when added singly
  std::uint32_t seals = 1;       ///< times a head was sealed for this row
  std::string unit;              ///< custodian unit, at most 64 bytes
  std::vector<CellEntry> cells;  ///< ascending compartment ids, none twice
};

/// A leaf node of the key tree, ready for use: its AEAD key and the mask key derived from it.
struct LeafKey {
  SecretBytes seal;
  SecretBytes mask;
};

/// A cell's entry as it stands in an opened head: a CellEntry without copies.
struct CellView {
  std::uint16_t compartment = 0;
  std::uint32_t offset = 0;  ///< of the cell in the row's cells
  std::uint32_t size = 0;
  crypto::Suite suite = crypto::Suite::kAes256Gcm;
  std::uint32_t epoch = 0;
  std::uint16_t schema_version = 0;
  std::uint8_t flags = 0;
  std::array<std::uint8_t, 16> salt{};
  ByteView directory;  ///< as it is written: varint n and the n pairs
};

/// Hashes of directories by their bytes: the records of a type share few shapes, and a hash costs as much as opening a
/// field. One thread at a time.
class DirectoryHashes {
 public:
  [[nodiscard]] const crypto::Hash& of(ByteView directory);

 private:
  struct Hasher : std::hash<std::string_view> {
    using is_transparent = void;
  };
  std::unordered_map<std::string, crypto::Hash, Hasher, std::equal_to<>> known_;
};

/// What sealing needs besides its input and is used again for the next row. One thread at a time.
struct SealBuffers {
  SecretBytes plain;  ///< of a head, a padded value or a map
  SecretBytes map;
  Bytes head;
  Bytes directory;
  DirectoryHashes hashes;
};

/// Plaintext of one field on its way in: encoded value (model/value.hpp), without padding.
struct PlainField {
  std::uint16_t field = 0;
  ByteView encoded;
};

/// Seals the fields of one compartment under a fresh salt. Appends the cell's bytes to `out` and returns its entry.
[[nodiscard]] CellEntry seal_cell(const RowContext& context, const Compartment& compartment, std::uint32_t epoch,
                                  std::uint16_t schema_version, crypto::Suite suite, crypto::KeyView ck,
                                  crypto::KeyView rk, std::span<const PlainField> fields, base::Random& random,
                                  Bytes& out, SealBuffers& buffers);
[[nodiscard]] inline CellEntry seal_cell(const RowContext& context, const Compartment& compartment, std::uint32_t epoch,
                                         std::uint16_t schema_version, crypto::Suite suite, crypto::KeyView ck,
                                         crypto::KeyView rk, std::span<const PlainField> fields, base::Random& random,
                                         Bytes& out) {
  SealBuffers buffers;
  return seal_cell(context, compartment, epoch, schema_version, suite, ck, rk, fields, random, out, buffers);
}

/// The row: sealed head, then `cells` (concatenated in the order of head.cells).
void seal_row(const RowContext& context, const Head& head, const LeafKey& leaf, ByteView cells, base::Random& random,
              Bytes& row, SealBuffers& buffers);
[[nodiscard]] inline Bytes seal_row(const RowContext& context, const Head& head, const LeafKey& leaf, ByteView cells,
                                    base::Random& random) {
  Bytes row;
  SealBuffers buffers;
  seal_row(context, head, leaf, cells, random, row, buffers);
  return row;
}

/// Opens the heads of many rows one after another into one block of the arena. One thread at a time.
class HeadOpener {
 public:
  /// As open_row. All below is about the row that was opened last, and lives until the next one is.
  [[nodiscard]] Result<void> open(const RowContext& context, ByteView row, const LeafKey& leaf);

  std::array<std::uint8_t, kHeadNonceSize> nonce{};
  ByteView record_key;
  std::array<std::uint8_t, 16> stamp{};
  std::uint16_t type = 0;
  std::uint32_t version = 0;
  std::int64_t created_ms = 0;
  std::int64_t updated_ms = 0;
  std::uint32_t policy_bits = 0;
  std::uint32_t consent_bits = 0;
  std::uint64_t import_id = 0;
  std::uint32_t seals = 0;
  std::string_view unit;
  std::vector<CellView> cells;
  ByteView sealed_cells;  ///< into the row
  [[nodiscard]] ByteView bytes_of(const CellView& cell) const { return sealed_cells.subspan(cell.offset, cell.size); }

 private:
  [[nodiscard]] Result<void> read(const RowContext& context, ByteView plain);
  crypto::OpeningKey leaf_;  ///< of the head before, which most heads have
  SecretBytes plain_;
};

/// Opens the head. kIntegrity when it does not verify (moved, swapped, flipped), or its sizes disagree with the row.
struct OpenedRow {
  Head head;
  ByteView cells;                                                      ///< into the row
  [[nodiscard]] Result<ByteView> cell_bytes(std::size_t index) const;  ///< bytes of head.cells[index]
};
[[nodiscard]] Result<OpenedRow> open_row(const RowContext& context, ByteView row, const LeafKey& leaf);

/// An opened cell: derived key checked against its commitment. Opens fields one by one.
class CellOpener {
 public:
  /// `hashes` outlives it; none: it keeps its own.
  explicit CellOpener(DirectoryHashes* hashes = nullptr);
  /// Turns to another cell; buffers are used again. kIntegrity when the commitment does not match `ck` and `rk` in this
  /// place.
  [[nodiscard]] Result<void> begin(const RowContext& context, const Compartment& compartment, const CellView& entry,
                                   ByteView cell, crypto::KeyView ck, crypto::KeyView rk);
  /// The same for a single cell: kIntegrity when the commitment does not match `ck` and `rk` in this place.
  [[nodiscard]] static Result<CellOpener> make(const RowContext& context, const Compartment& compartment,
                                               const CellEntry& entry, ByteView cell, crypto::KeyView ck,
                                               crypto::KeyView rk);
  CellOpener(CellOpener&&) noexcept;
  CellOpener& operator=(CellOpener&&) noexcept;
  ~CellOpener();
  /// Encoded value of the field (with padding), or nullopt when the record has none. For a compartment sealed as one
  /// map the map is opened once and kept. The view lives until the next call or the end of the opener.
  [[nodiscard]] Result<std::optional<ByteView>> open(std::uint16_t field);
  /// All fields of a compartment sealed as one map, by ascending ids. The views live as those of open().
  using MapEntry = std::pair<std::uint16_t, ByteView>;
  [[nodiscard]] Result<std::span<const MapEntry>> map();
  /// Ids of all fields present, in directory or map order.
  [[nodiscard]] Result<std::vector<std::uint16_t>> fields();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace casevault::model
