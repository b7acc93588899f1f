// SPDX-License-Identifier: Apache-2.0
#include "model/record_row.hpp"

#include <algorithm>
#include <gsl/assert>
#include <limits>

#include "base/cursor.hpp"
#include "base/text.hpp"
#include "crypto/aead.hpp"
#include "crypto/hash.hpp"
#include "format/cbor.hpp"
#include "format/labels.hpp"
#include "model/secret_cbor.hpp"
#include "model/value.hpp"

namespace casevault::model {
namespace {

constexpr std::uint8_t kHeadFormat = 1;
constexpr std::size_t kHeadStep = 32;
constexpr std::size_t kNonceSize = 12;
constexpr std::size_t kPrefixSize = kNonceSize + 2;
constexpr std::size_t kCommitmentSize = 32;
constexpr std::size_t kMaxUnit = 64;
constexpr std::size_t kMaxCells = 64;
constexpr std::size_t kMaxFields = 1000;

using Nonce = std::array<std::uint8_t, kNonceSize>;

/// Big-endian layout of short fixed messages (nonces, AADs, KDF messages) on the stack: they are made for every field.
template <std::size_t N>
class Fixed {
 public:
  Fixed& number(std::uint64_t value, std::size_t size) {
    for (std::size_t i = size; i-- > 0;) bytes_[used_++] = static_cast<std::uint8_t>(value >> (8 * i));
    return *this;
  }
  Fixed& bytes(ByteView value) {
    std::ranges::copy(value, bytes_.begin() + static_cast<std::ptrdiff_t>(used_));
    used_ += value.size();
    return *this;
  }
  [[nodiscard]] const std::array<std::uint8_t, N>& done() const {
    Ensures(used_ == N);
    return bytes_;
  }

 private:
  std::array<std::uint8_t, N> bytes_{};
  std::size_t used_ = 0;
};

std::string place(const RowContext& context) { return "row " + std::to_string(context.row); }

Error damaged(const RowContext& context, std::string_view what) {
  return {ErrorCode::kIntegrity, place(context) + ": " + std::string(what) + "; restore the record from a backup"};
}

std::array<std::uint8_t, 40> head_aad(const RowContext& context) {
  return Fixed<40>().bytes(format::kTreeHead).bytes(context.vault).number(context.row, 8).done();
}

std::uint16_t length_mask(const LeafKey& leaf, ByteView nonce) {
  return static_cast<std::uint16_t>(crypto::siphash(crypto::key_of(leaf.mask), nonce));
}

void derive_cell(const RowContext& context, const CellEntry& entry, crypto::KeyView ck, crypto::KeyView rk,
                 std::span<std::uint8_t, 64> out) {
  const auto message = Fixed<49>()
                           .number(static_cast<std::uint8_t>(entry.suite), 1)
                           .bytes(context.vault)
                           .number(context.row, 8)
                           .number(entry.compartment, 2)
                           .number(entry.epoch, 4)
                           .number(entry.schema_version, 2)
                           .bytes(entry.salt)
                           .done();
  crypto::derive_cell_keys(entry.suite, format::kCell, ck, rk, message, out);
}

void write_directory(const std::vector<DirectoryEntry>& directory, base::Writer& out) {
  out.varint(directory.size());
  for (const DirectoryEntry& entry : directory) out.varint(entry.field).varint(entry.length_class);
}

crypto::Hash directory_hash(const std::vector<DirectoryEntry>& directory) {
  Bytes bytes;
  bytes.reserve(2 + directory.size() * 6);
  base::Writer out(bytes);
  write_directory(directory, out);
  return crypto::blake2b256(bytes);
}

Nonce field_nonce(std::size_t ordinal) { return Fixed<kNonceSize>().number(0, 8).number(ordinal, 4).done(); }

std::array<std::uint8_t, 38> field_aad(std::uint16_t field, std::size_t ordinal, const crypto::Hash& directory) {
  return Fixed<38>().number(field, 2).number(ordinal, 4).bytes(directory).done();
}

std::size_t sealed_size(const DirectoryEntry& entry) { return class_size(entry.length_class) + crypto::kTagSize; }

std::size_t cell_size(const std::vector<DirectoryEntry>& directory) {
  std::size_t size = kCommitmentSize;
  for (const DirectoryEntry& entry : directory) size += sealed_size(entry);
  return size;
}

/// No field twice, and field 0 (the map of a whole cell) only alone.
bool well_formed(const std::vector<DirectoryEntry>& directory) {
  const auto not_above = [](const DirectoryEntry& a, const DirectoryEntry& b) { return a.field >= b.field; };
  if (std::ranges::adjacent_find(directory, not_above) == directory.end()) {
    return directory.size() <= 1 || directory.front().field != 0;
  }
  std::vector<DirectoryEntry> sorted = directory;
  std::ranges::sort(sorted, {}, &DirectoryEntry::field);
  return sorted.front().field != 0 && std::ranges::adjacent_find(sorted, not_above) == sorted.end();
}

bool all_zero(ByteView bytes) {
  return std::ranges::all_of(bytes, [](std::uint8_t byte) { return byte == 0; });
}

SecretBytes encode_map(std::span<const PlainField> fields) {
  std::vector<PlainField> sorted(fields.begin(), fields.end());
  std::ranges::sort(sorted, {}, &PlainField::field);
  std::size_t capacity = SecretCbor::kMaxHead;
  for (const PlainField& field : sorted) capacity += SecretCbor::kMaxHead + field.encoded.size();
  SecretCbor out(capacity);
  out.head(SecretCbor::kMap, sorted.size());
  for (const PlainField& field : sorted) out.head(SecretCbor::kUint, field.field).raw(field.encoded);
  return std::move(out).finish();
}

template <typename T>
T bounded(base::Reader& in, std::uint64_t limit = std::numeric_limits<T>::max()) {
  const std::uint64_t value = in.varint();
  if (value > limit) in.fail();
  return in.ok() ? static_cast<T>(value) : T{};
}

/// Milliseconds of any sign travel as their 64 bits.
std::int64_t time_of(base::Reader& in) { return static_cast<std::int64_t>(in.varint()); }

/// `supported` turns false when only a newer version can read the entry.
CellEntry read_entry(base::Reader& in, bool& supported) {
  CellEntry entry;
  entry.compartment = bounded<std::uint16_t>(in);
  entry.size = bounded<std::uint32_t>(in);
  const std::optional<crypto::Suite> suite = crypto::suite_of(bounded<std::uint8_t>(in));
  entry.epoch = bounded<std::uint32_t>(in);
  entry.schema_version = bounded<std::uint16_t>(in);
  entry.flags = bounded<std::uint8_t>(in);
  entry.salt = in.fixed<16>();
  const auto count = bounded<std::size_t>(in, std::min<std::size_t>(kMaxFields, in.rest().size() / 2));
  entry.directory.reserve(count);
  for (std::size_t i = 0; i < count && in.ok(); ++i) {
    const auto field = bounded<std::uint16_t>(in);
    const auto size = bounded<std::uint16_t>(in);
    if (class_size(size) == 0) in.fail();
    entry.directory.push_back({field, size});
  }
  const auto share = bounded<std::size_t>(in);
  (void)in.take(share);
  if (!suite || entry.flags != 0 || share != 0) {
    supported = false;
    return entry;
  }
  entry.suite = *suite;
  if (!well_formed(entry.directory) || cell_size(entry.directory) != entry.size) {
    in.fail();
  }
  return entry;
}

Result<Head> read_head(const RowContext& context, ByteView plain) {
  base::Reader in(plain);
  Head head;
  if (in.u8() != kHeadFormat) {
    return Error{ErrorCode::kUnsupported, place(context) + ": written by a newer casevault; use that version"};
  }
  head.record_key = SecretBytes::copy(in.take(32));
  head.stamp = in.fixed<16>();
  head.type = bounded<std::uint16_t>(in);
  head.version = bounded<std::uint32_t>(in);
  head.created_ms = time_of(in);
  head.updated_ms = time_of(in);
  head.policy_bits = bounded<std::uint32_t>(in);
  head.consent_bits = bounded<std::uint32_t>(in);
  head.import_id = in.varint();
  head.seals = bounded<std::uint32_t>(in);
  head.unit = as_text(in.take(bounded<std::size_t>(in, kMaxUnit)));
  if (!base::valid_utf8(head.unit)) in.fail();
  const auto count = bounded<std::size_t>(in, kMaxCells);
  head.cells.reserve(count);
  bool supported = true;
  for (std::size_t i = 0; i < count && in.ok(); ++i) {
    head.cells.push_back(read_entry(in, supported));
    if (i != 0 && head.cells[i].compartment <= head.cells[i - 1].compartment) in.fail();
  }
  if (!in.ok() || plain.size() % kHeadStep != 0 || in.rest().size() >= kHeadStep || !all_zero(in.rest())) {
    return damaged(context, "its head is malformed");
  }
  if (!supported) {
    return Error{ErrorCode::kUnsupported,
                 place(context) + ": holds a kind of cell or a suite of a newer casevault; use that version"};
  }
  return head;
}

}  // namespace

CellEntry seal_cell(const RowContext& context, const Compartment& compartment, std::uint32_t epoch,
                    std::uint16_t schema_version, crypto::Suite suite, crypto::KeyView ck, crypto::KeyView rk,
                    std::span<const PlainField> fields, base::Random& random, Bytes& out) {
  CellEntry entry;
  entry.compartment = compartment.id;
  entry.suite = suite;
  entry.epoch = epoch;
  entry.schema_version = schema_version;
  random.fill(entry.salt);

  SecretBytes map;
  PlainField whole;
  if (compartment.sealed_as_cell) {
    map = encode_map(fields);
    whole.encoded = map.view();
    fields = {&whole, 1};
  }
  Expects(fields.size() <= kMaxFields);
  std::size_t largest = 0;
  entry.directory.reserve(fields.size());
  for (const PlainField& field : fields) {
    entry.directory.push_back({field.field, length_class(field.encoded.size())});
    const std::size_t padded = class_size(entry.directory.back().length_class);
    Expects(padded != 0);  // encode_value and the schema's limit on sealed maps keep values below the largest class
    largest = std::max(largest, padded);
  }
  Expects(well_formed(entry.directory));
  entry.size = static_cast<std::uint32_t>(cell_size(entry.directory));

  crypto::Wiped<64> derived;
  derive_cell(context, entry, ck, rk, derived.out());
  const crypto::Hash directory = directory_hash(entry.directory);

  std::size_t at = out.size();
  out.resize(at + entry.size);
  std::ranges::copy(derived.view().last<kCommitmentSize>(), out.begin() + static_cast<std::ptrdiff_t>(at));
  at += kCommitmentSize;
  SecretBytes scratch(largest);
  for (std::size_t i = 0; i < fields.size(); ++i) {
    const ByteView value = fields[i].encoded;
    const MutableBytes padded = scratch.mutable_view().first(class_size(entry.directory[i].length_class));
    std::ranges::copy(value, padded.begin());
    std::ranges::fill(padded.subspan(value.size()), std::uint8_t{0});
    const std::size_t size = padded.size() + crypto::kTagSize;
    crypto::seal_field(suite, derived.view().first<32>(), field_nonce(i), field_aad(fields[i].field, i, directory),
                       padded, MutableBytes(out).subspan(at, size));
    at += size;
  }
  return entry;
}

Bytes seal_row(const RowContext& context, const Head& head, const LeafKey& leaf, ByteView cells, base::Random& random) {
  Expects(head.unit.size() <= kMaxUnit && base::valid_utf8(head.unit) && head.cells.size() <= kMaxCells);
  Bytes open;  // the head after RK: no key among it
  open.reserve(512);
  base::Writer out(open);
  out.bytes(head.stamp)
      .varint(head.type)
      .varint(head.version)
      .varint(static_cast<std::uint64_t>(head.created_ms))
      .varint(static_cast<std::uint64_t>(head.updated_ms))
      .varint(head.policy_bits)
      .varint(head.consent_bits)
      .varint(head.import_id)
      .varint(head.seals)
      .varint(head.unit.size())
      .bytes(as_bytes(head.unit))
      .varint(head.cells.size());
  Expects(std::ranges::adjacent_find(head.cells, std::ranges::greater_equal{}, &CellEntry::compartment) ==
          head.cells.end());
  std::size_t total = 0;
  for (const CellEntry& cell : head.cells) {
    Expects(cell.flags == 0 && cell.size == cell_size(cell.directory) && well_formed(cell.directory));
    out.varint(cell.compartment)
        .varint(cell.size)
        .varint(static_cast<std::uint8_t>(cell.suite))
        .varint(cell.epoch)
        .varint(cell.schema_version)
        .varint(cell.flags)
        .bytes(cell.salt);
    write_directory(cell.directory, out);
    out.varint(0);  // no share block
    total += cell.size;
  }
  Expects(total == cells.size());

  const crypto::KeyView rk = crypto::key_of(head.record_key);
  const std::size_t used = 1 + rk.size() + open.size();
  const std::size_t size = (used + kHeadStep - 1) / kHeadStep * kHeadStep;
  Expects(size <= std::numeric_limits<std::uint16_t>::max());
  SecretBytes plain(size);
  plain.mutable_view().front() = kHeadFormat;
  std::ranges::copy(rk, plain.mutable_view().subspan(1).begin());
  std::ranges::copy(open, plain.mutable_view().subspan(1 + rk.size()).begin());
  crypto::wipe(open);

  Nonce nonce{};
  random.fill(nonce);
  Bytes row;
  row.reserve(kPrefixSize + size + crypto::kTagSize + cells.size());
  base::Writer(row).bytes(nonce).u16(static_cast<std::uint16_t>(size ^ length_mask(leaf, nonce)));
  row.resize(kPrefixSize + size + crypto::kTagSize);
  crypto::aead_seal(crypto::key_of(leaf.seal), nonce, head_aad(context), plain.view(),
                    MutableBytes(row).subspan(kPrefixSize));
  base::Writer(row).bytes(cells);
  return row;
}

Result<ByteView> OpenedRow::cell_bytes(std::size_t index) const {
  if (index >= head.cells.size()) return Error{ErrorCode::kInternal, "asked for a cell that the head does not list"};
  std::size_t offset = 0;
  for (std::size_t i = 0; i < index; ++i) offset += head.cells[i].size;
  const std::size_t size = head.cells[index].size;
  if (offset > cells.size() || size > cells.size() - offset) {
    return Error{ErrorCode::kIntegrity, "a cell reaches beyond its row; restore the record from a backup"};
  }
  return cells.subspan(offset, size);
}

Result<OpenedRow> open_row(const RowContext& context, ByteView row, const LeafKey& leaf) {
  base::Reader in(row);
  const Nonce nonce = in.fixed<kNonceSize>();
  const std::size_t size = in.u16() ^ length_mask(leaf, nonce);
  const ByteView sealed = in.take(size + crypto::kTagSize);
  SecretBytes plain(in.ok() ? size : 0);
  if (!in.ok() ||
      !crypto::aead_open(crypto::key_of(leaf.seal), nonce, head_aad(context), sealed, plain.mutable_view())) {
    return damaged(context, "its head does not verify: changed, moved or sealed under another key");
  }
  CASEVAULT_TRY(Head head, read_head(context, plain.view()));
  std::size_t total = 0;
  for (const CellEntry& cell : head.cells) total += cell.size;
  if (total != in.rest().size()) return damaged(context, "its cells are not as long as its head says");
  return OpenedRow{std::move(head), in.rest()};
}

struct CellOpener::State {
  static constexpr std::size_t kNear = 256;

  RowContext context;
  std::string compartment;
  crypto::Suite suite = crypto::Suite::kAes256Gcm;
  bool whole = false;  ///< one sealed map
  std::vector<DirectoryEntry> directory;
  crypto::Hash hash{};
  ByteView sealed;  ///< the cell after its commitment
  SecretBytes key;  ///< AEAD key ‖ room for a short plaintext: one block of the arena serves most cells
  SecretBytes far;  ///< room for a long one
  bool map_opened = false;
  std::vector<std::pair<std::uint16_t, ByteView>> map;

  [[nodiscard]] crypto::KeyView aead_key() const { return key.view().first<32>(); }
  Result<ByteView> open(std::size_t ordinal, std::size_t offset);
  Result<void> open_map();
};

Result<ByteView> CellOpener::State::open(std::size_t ordinal, std::size_t offset) {
  const DirectoryEntry& entry = directory[ordinal];
  const std::size_t size = class_size(entry.length_class);
  MutableBytes plain = key.mutable_view().subspan<32>();
  if (size > plain.size()) {
    if (far.size() < size) far = SecretBytes(size);
    plain = far.mutable_view();
  }
  plain = plain.first(size);
  if (!crypto::open_field(suite, aead_key(), field_nonce(ordinal), field_aad(entry.field, ordinal, hash),
                          sealed.subspan(offset, size + crypto::kTagSize), plain)) {
    return damaged(context, "a field of compartment " + compartment + " does not verify: changed or moved");
  }
  return ByteView(plain);
}

Result<void> CellOpener::State::open_map() {
  if (map_opened) return {};
  CASEVAULT_TRY(const ByteView plain, open(0, 0));
  format::CborReader in(plain);
  const std::size_t count = in.map();
  map.reserve(std::min(count, kMaxFields));
  for (std::size_t i = 0; i < count && in.ok(); ++i) {
    const std::uint64_t field = in.uint();
    const ByteView before = in.rest();
    in.skip();
    if (field == 0 || field > std::numeric_limits<std::uint16_t>::max()) in.fail();
    if (in.ok()) map.emplace_back(static_cast<std::uint16_t>(field), before.first(before.size() - in.rest().size()));
  }
  if (!in.ok() || !all_zero(in.rest())) {
    map.clear();
    return damaged(context, "the map of compartment " + compartment + " is malformed");
  }
  map_opened = true;
  return {};
}

CellOpener::CellOpener(std::unique_ptr<State> state) noexcept : state_(std::move(state)) {}
CellOpener::CellOpener(CellOpener&&) noexcept = default;
CellOpener& CellOpener::operator=(CellOpener&&) noexcept = default;
CellOpener::~CellOpener() = default;

Result<CellOpener> CellOpener::make(const RowContext& context, const Compartment& compartment, const CellEntry& entry,
                                    ByteView cell, crypto::KeyView ck, crypto::KeyView rk) {
  if (entry.flags != 0) {
    return Error{ErrorCode::kUnsupported, place(context) + ": cell of compartment " + compartment.name +
                                              " is of a kind of a newer casevault; use that version"};
  }
  const bool is_map = entry.directory.size() == 1 && entry.directory.front().field == 0;
  const bool has_map = !entry.directory.empty() && entry.directory.front().field == 0;
  if (entry.compartment != compartment.id || cell.size() != entry.size || cell_size(entry.directory) != cell.size() ||
      (compartment.sealed_as_cell ? !is_map : has_map)) {
    return damaged(context, "a cell does not fit compartment " + compartment.name);
  }
  crypto::Wiped<64> derived;
  derive_cell(context, entry, ck, rk, derived.out());
  if (!crypto::equal(derived.view().last<kCommitmentSize>(), cell.first<kCommitmentSize>())) {
    return damaged(context, "cell of compartment " + compartment.name + " was not sealed with the key of epoch " +
                                std::to_string(entry.epoch) + " in this place: changed, moved or replaced");
  }
  auto state = std::make_unique<State>();
  state->context = context;
  state->compartment = compartment.name;
  state->suite = entry.suite;
  state->whole = compartment.sealed_as_cell;
  state->directory = entry.directory;
  state->hash = directory_hash(entry.directory);
  state->sealed = cell.subspan<kCommitmentSize>();
  state->key = SecretBytes(32 + State::kNear);
  std::ranges::copy(derived.view().first<32>(), state->key.mutable_view().begin());
  return CellOpener(std::move(state));
}

Result<std::optional<ByteView>> CellOpener::open(std::uint16_t field) {
  if (state_->whole) {
    CASEVAULT_CHECK(state_->open_map());
    for (const auto& [id, value] : state_->map) {
      if (id == field) return std::optional(value);
    }
    return std::optional<ByteView>();
  }
  std::size_t offset = 0;
  for (std::size_t i = 0; i < state_->directory.size(); ++i) {
    if (state_->directory[i].field == field) {
      CASEVAULT_TRY(const ByteView value, state_->open(i, offset));
      return std::optional(value);
    }
    offset += sealed_size(state_->directory[i]);
  }
  return std::optional<ByteView>();
}

Result<std::vector<std::uint16_t>> CellOpener::fields() {
  std::vector<std::uint16_t> ids;
  if (state_->whole) {
    CASEVAULT_CHECK(state_->open_map());
    for (const auto& [id, value] : state_->map) ids.push_back(id);
  } else {
    for (const DirectoryEntry& entry : state_->directory) ids.push_back(entry.field);
  }
  return ids;
}

}  // namespace casevault::model
