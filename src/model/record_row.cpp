// SPDX-License-Identifier: Apache-2.0
#include "model/record_row.hpp"

#include <algorithm>
#include <bit>
#include <gsl/assert>
#include <limits>

#include "base/cursor.hpp"
#include "base/prefetch.hpp"
#include "base/text.hpp"
#include "crypto/hash.hpp"
#include "format/cbor.hpp"
#include "format/labels.hpp"
#include "model/secret_cbor.hpp"
#include "model/value.hpp"

namespace casevault::model {
namespace {

constexpr std::uint8_t kHeadFormat = 1;
constexpr std::size_t kHeadStep = 32;
constexpr std::size_t kNonceSize = kHeadNonceSize;
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
  template <std::unsigned_integral T>
  Fixed& number(T value) {
#pragma GCC unroll 8  // which makes one store of it
    for (std::size_t i = 0; i < sizeof value; ++i)
      bytes_[used_ + i] = static_cast<std::uint8_t>(value >> (8 * (sizeof value - 1 - i)));
    used_ += sizeof value;
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
  return Fixed<40>().bytes(format::kTreeHead).bytes(context.vault).number(context.row).done();
}

std::uint16_t length_mask(const LeafKey& leaf, ByteView nonce) {
  return static_cast<std::uint16_t>(crypto::siphash(crypto::key_of(leaf.mask), nonce));
}

/// `Entry` is a CellEntry or a CellView.
template <typename Entry>
void derive_cell(const RowContext& context, const Entry& entry, crypto::KeyView ck, crypto::KeyView rk,
                 std::span<std::uint8_t, 64> out) {
  const auto message = Fixed<49>()
                           .number(static_cast<std::uint8_t>(entry.suite))
                           .bytes(context.vault)
                           .number(context.row)
                           .number(entry.compartment)
                           .number(entry.epoch)
                           .number(entry.schema_version)
                           .bytes(entry.salt)
                           .done();
  crypto::derive_cell_keys(entry.suite, format::kCell, ck, rk, message, out);
}

void write_directory(const std::vector<DirectoryEntry>& directory, base::Writer& out) {
  out.varint(directory.size());
  for (const DirectoryEntry& entry : directory) out.varint(entry.field).varint(entry.length_class);
}

Nonce field_nonce(std::size_t ordinal) {
  return Fixed<kNonceSize>().number(std::uint64_t{0}).number(static_cast<std::uint32_t>(ordinal)).done();
}

std::array<std::uint8_t, 38> field_aad(std::uint16_t field, std::size_t ordinal, const crypto::Hash& directory) {
  return Fixed<38>().number(field).number(static_cast<std::uint32_t>(ordinal)).bytes(directory).done();
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

/// At least `size` bytes of `buffer`, which grows as needed.
MutableBytes room(SecretBytes& buffer, std::size_t size) {
  if (buffer.size() < size) buffer = SecretBytes(std::bit_ceil(size));
  return buffer.mutable_view().first(size);
}

ByteView encode_map(std::span<const PlainField> fields, SecretBytes& buffer) {
  std::vector<PlainField> sorted(fields.begin(), fields.end());
  std::ranges::sort(sorted, {}, &PlainField::field);
  std::size_t capacity = format::kMaxCborHead;
  for (const PlainField& field : sorted) capacity += format::kMaxCborHead + field.encoded.size();
  const MutableBytes map = room(buffer, capacity);
  SecretCbor out(map);
  out.head(SecretCbor::kMap, sorted.size());
  for (const PlainField& field : sorted) out.head(SecretCbor::kUint, field.field).raw(field.encoded);
  return map.first(out.size());
}

template <typename T>
T bounded(base::Reader& in, std::uint64_t limit = std::numeric_limits<T>::max()) {
  const std::uint64_t value = in.varint();
  if (value > limit) return in.fail(), T{};
  return static_cast<T>(value);
}

/// Milliseconds of any sign travel as their 64 bits.
std::int64_t time_of(base::Reader& in) { return static_cast<std::int64_t>(in.varint()); }

/// Tells `each` the entries of a directory, with the size of a value of their length class; `in` fails when its bytes
/// are none.
template <typename Each>
void for_each_entry(base::Reader& in, const Each& each) {
  const auto count = bounded<std::size_t>(in, std::min<std::size_t>(kMaxFields, in.rest().size() / 2));
  for (std::size_t i = 0; i < count && in.ok(); ++i) {
    DirectoryEntry entry;
    entry.field = bounded<std::uint16_t>(in);
    entry.length_class = bounded<std::uint16_t>(in);
    const std::size_t size = class_size(entry.length_class);
    if (size == 0) in.fail();
    each(entry, size);
  }
}

/// The directory whose bytes these are; empty and `in` failed when they are none.
void read_directory(base::Reader& in, std::vector<DirectoryEntry>& out) {
  out.clear();
  for_each_entry(in, [&out](const DirectoryEntry& entry, std::size_t) { out.push_back(entry); });
  if (!in.ok()) out.clear();
}

/// Size of the cell that a directory is of, 0 when the directory is not well formed.
std::size_t read_cell_size(base::Reader& in) {
  const ByteView from = in.rest();
  std::size_t size = kCommitmentSize;
  std::size_t count = 0;
  std::uint32_t least = 0;  // of the next field
  bool ascending = true;
  bool has_map = false;
  for_each_entry(in, [&](const DirectoryEntry& entry, std::size_t plain) {
    size += plain + crypto::kTagSize;
    ascending = ascending && entry.field >= least;
    has_map = has_map || entry.field == 0;
    least = entry.field + 1U;
    ++count;
  });
  if (ascending) return count > 1 && has_map ? 0 : size;
  std::vector<DirectoryEntry> directory;
  base::Reader again(from);
  read_directory(again, directory);
  return well_formed(directory) ? size : 0;
}

/// `supported` turns false when only a newer version can read the entry.
void read_entry(base::Reader& in, CellView& entry, bool& supported) {
  entry.compartment = bounded<std::uint16_t>(in);
  entry.size = bounded<std::uint32_t>(in);
  const std::optional<crypto::Suite> suite = crypto::suite_of(bounded<std::uint8_t>(in));
  entry.epoch = bounded<std::uint32_t>(in);
  entry.schema_version = bounded<std::uint16_t>(in);
  entry.flags = bounded<std::uint8_t>(in);
  entry.salt = in.fixed<16>();
  const ByteView from = in.rest();
  const std::size_t size = read_cell_size(in);
  entry.directory = from.first(in.ok() ? from.size() - in.rest().size() : 0);
  const auto share = bounded<std::size_t>(in);
  (void)in.take(share);
  if (!suite || entry.flags != 0 || share != 0) {
    supported = false;
    return;
  }
  entry.suite = *suite;
  if (size == 0 || size != entry.size) in.fail();
}

}  // namespace

const crypto::Hash& DirectoryHashes::of(ByteView directory) {
  constexpr std::size_t kMost = 4096;  // far more than there are shapes, and little memory
  const auto known = known_.find(as_text(directory));
  if (known != known_.end()) return known->second;
  if (known_.size() >= kMost) known_.clear();
  return known_.emplace(as_text(directory), crypto::blake2b256(directory)).first->second;
}

CellEntry seal_cell(const RowContext& context, const Compartment& compartment, std::uint32_t epoch,
                    std::uint16_t schema_version, crypto::Suite suite, crypto::KeyView ck, crypto::KeyView rk,
                    std::span<const PlainField> fields, base::Random& random, Bytes& out, SealBuffers& buffers) {
  CellEntry entry;
  entry.compartment = compartment.id;
  entry.suite = suite;
  entry.epoch = epoch;
  entry.schema_version = schema_version;
  random.fill(entry.salt);

  PlainField whole;
  if (compartment.sealed_as_cell) {
    whole.encoded = encode_map(fields, buffers.map);
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
  buffers.directory.clear();
  base::Writer directory(buffers.directory);
  write_directory(entry.directory, directory);
  const crypto::Hash& hash = buffers.hashes.of(buffers.directory);

  std::size_t at = out.size();
  out.resize(at + entry.size);
  std::ranges::copy(derived.view().last<kCommitmentSize>(), out.begin() + static_cast<std::ptrdiff_t>(at));
  at += kCommitmentSize;
  const MutableBytes scratch = room(buffers.plain, largest);
  for (std::size_t i = 0; i < fields.size(); ++i) {
    const ByteView value = fields[i].encoded;
    const MutableBytes padded = scratch.first(class_size(entry.directory[i].length_class));
    std::ranges::copy(value, padded.begin());
    const MutableBytes padding = padded.subspan(value.size());
    std::fill(padding.begin(), padding.end(), std::uint8_t{0});  // becomes memset, which ranges::fill does not
    const std::size_t size = padded.size() + crypto::kTagSize;
    crypto::seal_field(suite, derived.view().first<32>(), field_nonce(i), field_aad(fields[i].field, i, hash), padded,
                       MutableBytes(out).subspan(at, size));
    at += size;
  }
  return entry;
}

void seal_row(const RowContext& context, const Head& head, const LeafKey& leaf, ByteView cells, base::Random& random,
              Bytes& row, SealBuffers& buffers) {
  Expects(head.unit.size() <= kMaxUnit && base::valid_utf8(head.unit) && head.cells.size() <= kMaxCells);
  Bytes& open = buffers.head;  // the head after RK: no key among it
  open.clear();
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
  const MutableBytes plain = room(buffers.plain, size);
  plain.front() = kHeadFormat;
  std::ranges::copy(rk, plain.subspan(1).begin());
  std::ranges::copy(open, plain.subspan(1 + rk.size()).begin());
  const MutableBytes padding = plain.subspan(used);
  std::fill(padding.begin(), padding.end(), std::uint8_t{0});
  crypto::wipe(open);

  Nonce nonce{};
  random.fill(nonce);
  row.clear();
  row.reserve(kPrefixSize + size + crypto::kTagSize + cells.size());
  base::Writer(row).bytes(nonce).u16(static_cast<std::uint16_t>(size ^ length_mask(leaf, nonce)));
  row.resize(kPrefixSize + size + crypto::kTagSize);
  crypto::aead_seal(crypto::key_of(leaf.seal), nonce, head_aad(context), plain, MutableBytes(row).subspan(kPrefixSize));
  base::Writer(row).bytes(cells);
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

Result<void> HeadOpener::open(const RowContext& context, ByteView row, const LeafKey& leaf) {
  base::Reader in(row);
  nonce = in.fixed<kNonceSize>();
  const std::size_t size = in.u16() ^ length_mask(leaf, nonce);
  const ByteView sealed = in.take(size + crypto::kTagSize);
  const MutableBytes plain = room(plain_, in.ok() ? size : 0);
  leaf_.set(crypto::key_of(leaf.seal));
  if (!in.ok() || !leaf_.open(nonce, head_aad(context), sealed, plain)) {
    return damaged(context, "its head does not verify: changed, moved or sealed under another key");
  }
  CASEVAULT_CHECK(read(context, plain));
  std::size_t total = 0;
  for (CellView& cell : cells) {
    cell.offset = static_cast<std::uint32_t>(std::min(total, in.rest().size()));
    total += cell.size;
  }
  if (total != in.rest().size()) return damaged(context, "its cells are not as long as its head says");
  sealed_cells = in.rest();
  return {};
}

Result<void> HeadOpener::read(const RowContext& context, ByteView plain) {
  base::Reader in(plain);
  if (in.u8() != kHeadFormat) {
    return Error{ErrorCode::kUnsupported, place(context) + ": written by a newer casevault; use that version"};
  }
  record_key = in.take(32);
  stamp = in.fixed<16>();
  type = bounded<std::uint16_t>(in);
  version = bounded<std::uint32_t>(in);
  created_ms = time_of(in);
  updated_ms = time_of(in);
  policy_bits = bounded<std::uint32_t>(in);
  consent_bits = bounded<std::uint32_t>(in);
  import_id = in.varint();
  seals = bounded<std::uint32_t>(in);
  unit = as_text(in.take(bounded<std::size_t>(in, kMaxUnit)));
  if (!base::valid_utf8(unit)) in.fail();
  const auto count = bounded<std::size_t>(in, kMaxCells);
  cells.clear();
  bool supported = true;
  for (std::size_t i = 0; i < count && in.ok(); ++i) {
    read_entry(in, cells.emplace_back(), supported);
    if (i != 0 && cells[i].compartment <= cells[i - 1].compartment) in.fail();
  }
  if (!in.ok() || plain.size() % kHeadStep != 0 || in.rest().size() >= kHeadStep || !all_zero(in.rest())) {
    return damaged(context, "its head is malformed");
  }
  if (!supported) {
    return Error{ErrorCode::kUnsupported,
                 place(context) + ": holds a kind of cell or a suite of a newer casevault; use that version"};
  }
  return {};
}

Result<OpenedRow> open_row(const RowContext& context, ByteView row, const LeafKey& leaf) {
  HeadOpener opened;
  CASEVAULT_CHECK(opened.open(context, row, leaf));
  Head head;
  head.record_key = SecretBytes::copy(opened.record_key);
  head.stamp = opened.stamp;
  head.type = opened.type;
  head.version = opened.version;
  head.created_ms = opened.created_ms;
  head.updated_ms = opened.updated_ms;
  head.policy_bits = opened.policy_bits;
  head.consent_bits = opened.consent_bits;
  head.import_id = opened.import_id;
  head.seals = opened.seals;
  head.unit = opened.unit;
  head.cells.reserve(opened.cells.size());
  for (const CellView& cell : opened.cells) {
    CellEntry entry{cell.compartment,    cell.size,  cell.suite, cell.epoch,
                    cell.schema_version, cell.flags, cell.salt,  {}};
    base::Reader directory(cell.directory);
    read_directory(directory, entry.directory);
    head.cells.push_back(std::move(entry));
  }
  return OpenedRow{std::move(head), opened.sealed_cells};
}

struct CellOpener::State {
  static constexpr std::size_t kNear = 256;

  RowContext context;
  std::string compartment;
  crypto::Suite suite = crypto::Suite::kAes256Gcm;
  bool whole = false;  ///< one sealed map
  std::vector<DirectoryEntry> directory;
  Bytes directory_bytes;  ///< that `directory` and `hash` are of
  crypto::Hash hash{};
  ByteView sealed;              ///< the cell after its commitment
  SecretBytes key{32 + kNear};  ///< AEAD key ‖ room for a short plaintext: one block of the arena serves most cells
  SecretBytes far;              ///< room for a long one
  DirectoryHashes own_hashes;
  DirectoryHashes* hashes = nullptr;
  bool map_opened = false;
  std::vector<MapEntry> map;

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
  const std::size_t count = in.map_once();
  map.reserve(std::min(count, kMaxFields));
  for (std::size_t i = 0; i < count && in.ok(); ++i) {
    const auto [field, value] = in.entry();
    if (field == 0 || field > std::numeric_limits<std::uint16_t>::max()) in.fail();
    if (in.ok()) map.emplace_back(static_cast<std::uint16_t>(field), value);
  }
  if (!in.ok() || !all_zero(in.rest())) {
    map.clear();
    return damaged(context, "the map of compartment " + compartment + " is malformed");
  }
  map_opened = true;
  return {};
}

CellOpener::CellOpener(DirectoryHashes* hashes) : state_(std::make_unique<State>()) {
  state_->hashes = hashes == nullptr ? &state_->own_hashes : hashes;
}
CellOpener::CellOpener(CellOpener&&) noexcept = default;
CellOpener& CellOpener::operator=(CellOpener&&) noexcept = default;
CellOpener::~CellOpener() = default;

Result<void> CellOpener::begin(const RowContext& context, const Compartment& compartment, const CellView& entry,
                               ByteView cell, crypto::KeyView ck, crypto::KeyView rk) {
  State& state = *state_;
  const auto refuse = [&state](Error error) {
    state.directory.clear();  // nothing of the cell before can be asked for
    state.directory_bytes.clear();
    state.whole = false;
    return error;
  };
  base::prefetch(cell);  // while its key is derived
  state.map_opened = false;
  state.map.clear();
  // Most cells of a scan are of one shape, whose directory was read and hashed with the cell before.
  const bool known = !state.directory.empty() && std::ranges::equal(state.directory_bytes, entry.directory);
  base::Reader in(entry.directory);
  if (known) {
    (void)in.take(entry.directory.size());
  } else {
    read_directory(in, state.directory);
    state.directory_bytes.clear();
  }
  if (entry.flags != 0) {
    return refuse({ErrorCode::kUnsupported, place(context) + ": cell of compartment " + compartment.name +
                                                " is of a kind of a newer casevault; use that version"});
  }
  const bool is_map = state.directory.size() == 1 && state.directory.front().field == 0;
  const bool has_map = !state.directory.empty() && state.directory.front().field == 0;
  if (!in.finish() || entry.compartment != compartment.id || cell.size() != entry.size ||
      cell_size(state.directory) != cell.size() || (compartment.sealed_as_cell ? !is_map : has_map)) {
    return refuse(damaged(context, "a cell does not fit compartment " + compartment.name));
  }
  crypto::Wiped<64> derived;
  derive_cell(context, entry, ck, rk, derived.out());
  if (!crypto::equal(derived.view().last<kCommitmentSize>(), cell.first<kCommitmentSize>())) {
    return refuse(damaged(context, "cell of compartment " + compartment.name +
                                       " was not sealed with the key of epoch " + std::to_string(entry.epoch) +
                                       " in this place: changed, moved or replaced"));
  }
  state.context = context;
  if (state.compartment != compartment.name) state.compartment = compartment.name;
  state.suite = entry.suite;
  state.whole = compartment.sealed_as_cell;
  if (!known) {
    state.hash = state.hashes->of(entry.directory);
    state.directory_bytes.assign(entry.directory.begin(), entry.directory.end());
  }
  state.sealed = cell.subspan<kCommitmentSize>();
  std::ranges::copy(derived.view().first<32>(), state.key.mutable_view().begin());
  return {};
}

Result<CellOpener> CellOpener::make(const RowContext& context, const Compartment& compartment, const CellEntry& entry,
                                    ByteView cell, crypto::KeyView ck, crypto::KeyView rk) {
  Bytes directory;
  base::Writer out(directory);
  write_directory(entry.directory, out);
  CellOpener opener;
  CASEVAULT_CHECK(opener.begin(context, compartment,
                               {entry.compartment, 0, entry.size, entry.suite, entry.epoch, entry.schema_version,
                                entry.flags, entry.salt, directory},
                               cell, ck, rk));
  return opener;
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

Result<std::span<const CellOpener::MapEntry>> CellOpener::map() {
  Expects(state_->whole);
  CASEVAULT_CHECK(state_->open_map());
  return std::span<const MapEntry>(state_->map);
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
