// SPDX-License-Identifier: Apache-2.0
#include "model/record_row.hpp"

#include <ctime>
#include <functional>
#include <map>
#include <set>

#include "base/cursor.hpp"
#include "catch.hpp"
#include "crypto/aead.hpp"
#include "crypto/hash.hpp"
#include "crypto/keypair.hpp"
#include "format/cbor.hpp"
#include "format/labels.hpp"
#include "model/value.hpp"
#include "support/fixed_environment.hpp"

namespace casevault::model {
namespace {

using Values =
    std::map<std::pair<std::uint16_t, std::uint16_t>, std::string>;  // (compartment, field) -> padding stripped

const Compartment kIdentity{1, "identity", false};
const Compartment kContact{2, "contact", false};
const Compartment kStatistics{9, "statistics", true};

Bytes cbor(std::string_view text) {
  Bytes out;
  format::CborWriter(out).text(text);
  return out;
}

constexpr std::array kSuites = {crypto::Suite::kAes256Gcm, crypto::Suite::kChaCha20Poly1305,
                                crypto::Suite::kHkdfAes256Gcm};

/// The test case runs once for each.
crypto::Suite any_suite() {
  return GENERATE(crypto::Suite::kAes256Gcm, crypto::Suite::kChaCha20Poly1305, crypto::Suite::kHkdfAes256Gcm);
}

/// One record of three cells and everything that opens it.
struct World {
  test::SeededRandom random{11};
  RowContext context{{1, 2, 3}, 77};
  LeafKey leaf{crypto::random_key(random), crypto::random_key(random)};
  SecretBytes ck = crypto::random_key(random);  // of every compartment: what sets cells apart must not hang on it
  std::uint32_t epoch = 3;
  std::uint16_t schema_version = 2;
  crypto::Suite suite = crypto::Suite::kAes256Gcm;

  Head head() {
    Head out;
    out.record_key = crypto::random_key(random);
    random.fill(out.stamp);
    out.type = 1;
    out.version = 4;
    out.created_ms = 1'767'225'600'000;
    out.updated_ms = -5;
    out.policy_bits = 6;
    out.consent_bits = 0xFFFF'FFFF;
    out.import_id = ~std::uint64_t{0};
    out.seals = 9;
    out.unit = "Phòng 1";
    return out;
  }

  void add(Head& head, Bytes& cells, const Compartment& compartment,
           const std::map<std::uint16_t, std::string>& values) {
    std::vector<Bytes> encoded;
    std::vector<PlainField> fields;
    for (const auto& [field, value] : values) encoded.push_back(cbor(value));
    for (const auto& [field, value] : values) fields.push_back({field, encoded[fields.size()]});
    head.cells.push_back(seal_cell(context, compartment, epoch, schema_version, suite, crypto::key_of(ck),
                                   crypto::key_of(head.record_key), fields, random, cells));
  }

  Bytes seal(const Head& head, ByteView cells) { return seal_row(context, head, leaf, cells, random); }

  Bytes row() {
    Head made = head();
    Bytes cells;
    add(made, cells, kIdentity, {{5, "Nguyễn Thị A"}, {6, std::string(300, 'n')}});
    add(made, cells, kContact, {{13, "0900 000 000"}});
    add(made, cells, kStatistics, {{7, "female"}, {2, "2024-01-02"}, {300, "x"}});
    return seal(made, cells);
  }
};

const Compartment& compartment_of(std::uint16_t id) { return id == 1 ? kIdentity : id == 2 ? kContact : kStatistics; }

std::string stripped(ByteView encoded) {
  format::CborReader in(encoded);
  return std::string(in.text());
}

/// Everything that opens, and the number of refusals; a refusal that is not kIntegrity fails the test.
struct Reading {
  Values values;
  int refused = 0;
};
Reading read(const RowContext& context, ByteView row, const LeafKey& leaf, crypto::KeyView ck) {
  Reading out;
  const auto refuse = [&out](const Error& error) {
    REQUIRE(error.code == ErrorCode::kIntegrity);
    ++out.refused;
  };
  const auto opened = open_row(context, row, leaf);
  if (!opened) return refuse(opened.error()), out;
  for (std::size_t i = 0; i < opened->head.cells.size(); ++i) {
    const CellEntry& entry = opened->head.cells[i];
    auto cell = CellOpener::make(context, compartment_of(entry.compartment), entry, REQUIRE_OK(opened->cell_bytes(i)),
                                 ck, crypto::key_of(opened->head.record_key));
    if (!cell) {
      refuse(cell.error());
      continue;
    }
    const auto fields = cell->fields();
    if (!fields) {
      refuse(fields.error());
      continue;
    }
    for (const std::uint16_t field : *fields) {
      const auto value = cell->open(field);
      if (!value) {
        refuse(value.error());
      } else {
        REQUIRE(value->has_value());
        out.values[{entry.compartment, field}] = stripped(**value);
      }
    }
  }
  return out;
}

/// Seals hand-made head bytes (after padding) as whoever holds the leaf key could.
Bytes row_around(const RowContext& context, const LeafKey& leaf, Bytes plain, ByteView cells = {}) {
  const std::array<std::uint8_t, 12> nonce{9};
  Bytes aad;
  base::Writer(aad).bytes(format::kTreeHead).bytes(context.vault).u64(context.row);
  const auto mask = static_cast<std::uint16_t>(crypto::siphash(crypto::key_of(leaf.mask), nonce));
  Bytes row;
  base::Writer(row).bytes(nonce).u16(static_cast<std::uint16_t>(plain.size() ^ mask));
  Bytes sealed(plain.size() + crypto::kTagSize);
  crypto::aead_seal(crypto::key_of(leaf.seal), nonce, aad, plain, sealed);
  base::Writer(row).bytes(sealed).bytes(cells);
  return row;
}

struct HeadParts {
  std::uint8_t format = 1;
  std::uint64_t type = 1;
  std::uint64_t unit_size = 2;
  std::string unit = "ab";
  std::uint64_t cells = 1;
  std::uint64_t compartment = 1;
  std::uint64_t size = 32 + 16 + 16;
  std::uint64_t suite = 1;
  std::uint64_t epoch = 1;
  std::uint64_t flags = 0;
  std::uint64_t fields = 1;
  std::uint64_t field = 5;
  std::uint64_t length_class = 0;
  std::uint64_t share = 0;
  int entries = 1;  // how often the entry is really written
  int pairs = 1;    // how often the directory pair is
  std::size_t tail = 0;
  std::uint8_t tail_byte = 0;
  std::size_t pad_to = 32;
};
Bytes head_bytes(const HeadParts& parts) {
  Bytes out;
  base::Writer w(out);
  w.u8(parts.format)
      .bytes(Bytes(32, 7))
      .bytes(Bytes(16, 8))
      .varint(parts.type)
      .varint(1)
      .varint(2)
      .varint(3)
      .varint(0)
      .varint(0);
  w.varint(0).varint(1).varint(parts.unit_size).bytes(as_bytes(parts.unit)).varint(parts.cells);
  for (int i = 0; i < parts.entries; ++i) {
    w.varint(parts.compartment)
        .varint(parts.size)
        .varint(parts.suite)
        .varint(parts.epoch)
        .varint(1)
        .varint(parts.flags);
    w.bytes(Bytes(16, 3)).varint(parts.fields);
    for (int j = 0; j < parts.pairs; ++j) w.varint(parts.field).varint(parts.length_class);
    w.varint(parts.share).bytes(Bytes(parts.share < 100 ? parts.share : 0, 1));
  }
  while (out.size() % parts.pad_to != 0) out.push_back(0);
  out.resize(out.size() + parts.tail, parts.tail_byte);
  return out;
}

}  // namespace

TEST_CASE("a sealed row gives back head and fields") {
  World world;
  world.suite = any_suite();
  Head head = world.head();
  Bytes cells;
  world.add(head, cells, kIdentity, {{5, "Nguyễn Thị A"}, {6, std::string(3000, 'n')}});
  world.add(head, cells, kStatistics, {{7, "female"}, {2, "2024-01-02"}, {300, "x"}});
  const Bytes row = world.seal(head, cells);

  const OpenedRow opened = REQUIRE_OK(open_row(world.context, row, world.leaf));
  REQUIRE(opened.head.record_key.equals(head.record_key.view()));
  REQUIRE(opened.head.stamp == head.stamp);
  REQUIRE(opened.head.type == head.type);
  REQUIRE(opened.head.version == head.version);
  REQUIRE(opened.head.created_ms == head.created_ms);
  REQUIRE(opened.head.updated_ms == head.updated_ms);
  REQUIRE(opened.head.policy_bits == head.policy_bits);
  REQUIRE(opened.head.consent_bits == head.consent_bits);
  REQUIRE(opened.head.import_id == head.import_id);
  REQUIRE(opened.head.seals == head.seals);
  REQUIRE(opened.head.unit == head.unit);
  REQUIRE(opened.head.cells.size() == 2);
  REQUIRE(opened.cells.size() == cells.size());
  REQUIRE_ERROR(ErrorCode::kInternal, opened.cell_bytes(2));

  const Reading all = read(world.context, row, world.leaf, crypto::key_of(world.ck));
  REQUIRE(all.refused == 0);
  REQUIRE(all.values == Values{{{1, 5}, "Nguyễn Thị A"},
                               {{1, 6}, std::string(3000, 'n')},
                               {{9, 2}, "2024-01-02"},
                               {{9, 7}, "female"},
                               {{9, 300}, "x"}});
}

TEST_CASE("a row without cells, a cell without fields and a field that is not there are no errors") {
  World world;
  REQUIRE(read(world.context, world.seal(world.head(), {}), world.leaf, crypto::key_of(world.ck)).refused == 0);
  Head head = world.head();
  Bytes cells;
  world.add(head, cells, kIdentity, {});
  world.add(head, cells, kStatistics, {});
  const Bytes row = world.seal(head, cells);
  const OpenedRow opened = REQUIRE_OK(open_row(world.context, row, world.leaf));
  for (std::size_t i = 0; i < 2; ++i) {
    const ByteView bytes = REQUIRE_OK(opened.cell_bytes(i));
    CellOpener cell =
        REQUIRE_OK(CellOpener::make(world.context, i == 0 ? kIdentity : kStatistics, opened.head.cells[i], bytes,
                                    crypto::key_of(world.ck), crypto::key_of(opened.head.record_key)));
    REQUIRE(REQUIRE_OK(cell.fields()).empty());
    REQUIRE_FALSE(REQUIRE_OK(cell.open(5)).has_value());
    REQUIRE_FALSE(REQUIRE_OK(cell.open(0)).has_value());
  }
}

TEST_CASE("a cell of a thousand fields opens") {
  World world;
  world.suite = any_suite();
  Head head = world.head();
  Bytes cells;
  std::map<std::uint16_t, std::string> values;
  for (std::uint16_t field = 1; field <= 1000; ++field) values[field] = std::to_string(field);
  world.add(head, cells, kIdentity, values);
  const Reading all = read(world.context, world.seal(head, cells), world.leaf, crypto::key_of(world.ck));
  REQUIRE(all.refused == 0);
  REQUIRE(all.values.size() == 1000);
  REQUIRE(all.values.at({1, 777}) == "777");
}

TEST_CASE("bound: every flipped bit of a row refuses the head or a field and never yields another value") {
  World world;
  world.suite = any_suite();
  const Bytes row = world.row();
  const Values truth = read(world.context, row, world.leaf, crypto::key_of(world.ck)).values;
  REQUIRE(truth.size() == 6);
  for (std::size_t bit = 0; bit < row.size() * 8; ++bit) {
    Bytes flipped = row;
    flipped[bit / 8] = static_cast<std::uint8_t>(flipped[bit / 8] ^ 1U << bit % 8);
    const Reading got = read(world.context, flipped, world.leaf, crypto::key_of(world.ck));
    if (got.refused == 0) FAIL("bit " << bit << " went unnoticed");
    for (const auto& [key, value] : got.values) {
      if (truth.at(key) != value) FAIL("bit " << bit << " changed a value");
    }
  }
}

TEST_CASE("robust: a truncated or extended row is refused") {
  World world;
  Bytes row = world.row();
  for (std::size_t size = 0; size < row.size(); ++size) {
    REQUIRE_ERROR(ErrorCode::kIntegrity, open_row(world.context, ByteView(row).first(size), world.leaf));
  }
  row.push_back(0);
  REQUIRE_ERROR(ErrorCode::kIntegrity, open_row(world.context, row, world.leaf));
}

TEST_CASE("bound: a row opens only in its vault, at its number, under its leaf key") {
  World world;
  const Bytes row = world.row();
  RowContext other = world.context;
  other.row += 1;
  REQUIRE_ERROR(ErrorCode::kIntegrity, open_row(other, row, world.leaf));
  other = world.context;
  other.vault[15] = 1;
  REQUIRE_ERROR(ErrorCode::kIntegrity, open_row(other, row, world.leaf));
  const LeafKey stranger{crypto::random_key(world.random), world.leaf.mask.clone()};
  REQUIRE_ERROR(ErrorCode::kIntegrity, open_row(world.context, row, stranger));
}

TEST_CASE("bound: a cell opens only in its row, vault, compartment, epoch and schema version, with its own keys") {
  World world;
  world.suite = any_suite();
  Head head = world.head();
  Bytes cells;
  world.add(head, cells, kIdentity, {{5, "A"}});
  const CellEntry entry = head.cells[0];
  const crypto::KeyView ck = crypto::key_of(world.ck);
  const crypto::KeyView rk = crypto::key_of(head.record_key);
  REQUIRE_DONE(CellOpener::make(world.context, kIdentity, entry, cells, ck, rk));

  const auto refused = [&](const RowContext& context, const Compartment& compartment, const CellEntry& changed) {
    REQUIRE_ERROR(ErrorCode::kIntegrity, CellOpener::make(context, compartment, changed, cells, ck, rk));
  };
  RowContext context = world.context;
  context.row = 78;
  refused(context, kIdentity, entry);
  context = world.context;
  context.vault[0] ^= 1;
  refused(context, kIdentity, entry);
  CellEntry changed = entry;
  changed.epoch += 1;
  refused(world.context, kIdentity, changed);
  changed = entry;
  changed.schema_version += 1;
  refused(world.context, kIdentity, changed);
  changed = entry;
  changed.salt[0] ^= 1;
  refused(world.context, kIdentity, changed);
  changed = entry;
  changed.compartment = kContact.id;
  refused(world.context, kContact, changed);
  refused(world.context, kContact, entry);
  changed = entry;
  changed.directory[0].length_class += 1;
  refused(world.context, kIdentity, changed);
  changed = entry;
  changed.size -= 1;
  refused(world.context, kIdentity, changed);
  for (const crypto::Suite other : kSuites) {
    if (other == entry.suite) continue;
    changed = entry;
    changed.suite = other;
    refused(world.context, kIdentity, changed);
  }
  const Compartment as_map{1, "identity", true};
  refused(world.context, as_map, entry);

  const SecretBytes wrong = crypto::random_key(world.random);
  const auto wrong_ck = CellOpener::make(world.context, kIdentity, entry, cells, crypto::key_of(wrong), rk);
  REQUIRE_FALSE(wrong_ck.has_value());
  REQUIRE(wrong_ck.error().code == ErrorCode::kIntegrity);
  REQUIRE(wrong_ck.error().message.find("key of epoch 3") != std::string::npos);
  REQUIRE_ERROR(ErrorCode::kIntegrity,
                CellOpener::make(world.context, kIdentity, entry, cells, ck, crypto::key_of(wrong)));

  changed = entry;
  changed.flags = 1;
  REQUIRE_ERROR(ErrorCode::kUnsupported, CellOpener::make(world.context, kIdentity, changed, cells, ck, rk));
}

TEST_CASE("bound: cells swapped between rows are refused even when their shapes agree") {
  World world;
  world.suite = any_suite();
  Head a = world.head();
  Head b = world.head();
  Bytes cells_a;
  Bytes cells_b;
  world.add(a, cells_a, kIdentity, {{5, "A"}});
  const RowContext context_a = world.context;
  world.context.row = 78;
  world.add(b, cells_b, kIdentity, {{5, "B"}});
  const Bytes swapped = seal_row(context_a, a, world.leaf, cells_b, world.random);
  const Reading got = read(context_a, swapped, world.leaf, crypto::key_of(world.ck));
  REQUIRE(got.refused == 1);
  REQUIRE(got.values.empty());
}

TEST_CASE("bound: an opener that turns from cell to cell answers for the last one only, and for none after a refusal") {
  World world;
  world.suite = any_suite();
  const Bytes row = world.row();
  HeadOpener head;
  REQUIRE_DONE(head.open(world.context, row, world.leaf));
  CellOpener cell;
  const auto turn = [&](std::size_t to, std::size_t bytes_of) {
    const CellView& view = head.cells[to];
    return cell.begin(world.context, compartment_of(view.compartment), view, head.bytes_of(head.cells[bytes_of]),
                      crypto::key_of(world.ck), head.record_key.first<32>());
  };
  for (int round = 0; round < 2; ++round) {
    REQUIRE_DONE(turn(0, 0));
    REQUIRE(stripped(*REQUIRE_OK(cell.open(5))) == "Nguyễn Thị A");
    REQUIRE(stripped(*REQUIRE_OK(cell.open(6))) == std::string(300, 'n'));
    REQUIRE_DONE(turn(2, 2));
    REQUIRE(REQUIRE_OK(cell.fields()) == std::vector<std::uint16_t>{2, 7, 300});
    REQUIRE_FALSE(REQUIRE_OK(cell.open(5)).has_value());
    REQUIRE(stripped(*REQUIRE_OK(cell.open(7))) == "female");
    REQUIRE_ERROR(ErrorCode::kIntegrity, turn(2, 1));
    REQUIRE_FALSE(REQUIRE_OK(cell.open(7)).has_value());
    Bytes changed = row;
    changed[changed.size() - head.sealed_cells.size()] ^= 1U;  // the first cell's commitment
    HeadOpener of_changed;
    REQUIRE_DONE(of_changed.open(world.context, changed, world.leaf));
    REQUIRE_ERROR(ErrorCode::kIntegrity,
                  cell.begin(world.context, kIdentity, of_changed.cells[0], of_changed.bytes_of(of_changed.cells[0]),
                             crypto::key_of(world.ck), of_changed.record_key.first<32>()));
    REQUIRE_FALSE(REQUIRE_OK(cell.open(5)).has_value());
  }
}

TEST_CASE("sealed: buffers that were used for other rows change no byte of a row") {
  SealBuffers used;
  for (int round = 0; round < 3; ++round) {
    const auto seal = [](SealBuffers& buffers, std::size_t name_size) {
      World world;  // the same randomness each time
      Head head = world.head();
      Bytes cells;
      const Bytes name = cbor(std::string(name_size, 'x'));
      const Bytes code = cbor("red");
      for (const Compartment* each : {&kIdentity, &kStatistics}) {
        const std::array<PlainField, 2> fields = {PlainField{5, name}, PlainField{6, code}};
        head.cells.push_back(seal_cell(world.context, *each, 1, 1, crypto::Suite::kAes256Gcm, crypto::key_of(world.ck),
                                       crypto::key_of(head.record_key), fields, world.random, cells, buffers));
      }
      Bytes row(7, 9);
      seal_row(world.context, head, world.leaf, cells, world.random, row, buffers);
      return row;
    };
    for (const std::size_t size : {2000, 3, 80}) {
      SealBuffers fresh;
      REQUIRE(seal(used, size) == seal(fresh, size));
    }
  }
}

TEST_CASE("bound: an older cell under a newer head is refused") {
  World world;
  world.suite = any_suite();
  Head head = world.head();
  Bytes old_cells;
  world.add(head, old_cells, kIdentity, {{5, "old"}});
  head.cells.clear();
  Bytes new_cells;
  world.add(head, new_cells, kIdentity, {{5, "new"}});
  REQUIRE(old_cells.size() == new_cells.size());
  const Reading got = read(world.context, world.seal(head, old_cells), world.leaf, crypto::key_of(world.ck));
  REQUIRE(got.refused == 1);
  REQUIRE(got.values.empty());
}

TEST_CASE("bound: fields of one cell cannot change places, names or order of the directory") {
  World world;
  world.suite = any_suite();
  Head head = world.head();
  Bytes cells;
  world.add(head, cells, kIdentity, {{5, "first"}, {6, "other"}, {7, "third"}});
  const crypto::KeyView ck = crypto::key_of(world.ck);
  const crypto::KeyView rk = crypto::key_of(head.record_key);
  const auto all_refused = [&](const CellEntry& entry, ByteView bytes) {
    CellOpener cell = REQUIRE_OK(CellOpener::make(world.context, kIdentity, entry, bytes, ck, rk));
    for (const std::uint16_t field : std::array<std::uint16_t, 3>{5, 6, 7})
      REQUIRE_ERROR(ErrorCode::kIntegrity, cell.open(field));
  };
  CellEntry renamed = head.cells[0];
  std::swap(renamed.directory[0].field, renamed.directory[1].field);
  all_refused(renamed, cells);

  CellEntry shorter = head.cells[0];
  shorter.directory.pop_back();
  shorter.size -= 32;
  CellOpener cut =
      REQUIRE_OK(CellOpener::make(world.context, kIdentity, shorter, ByteView(cells).first(cells.size() - 32), ck, rk));
  REQUIRE_ERROR(ErrorCode::kIntegrity, cut.open(5));

  Bytes exchanged = cells;
  std::swap_ranges(exchanged.begin() + 32, exchanged.begin() + 64, exchanged.begin() + 64);
  CellOpener moved = REQUIRE_OK(CellOpener::make(world.context, kIdentity, head.cells[0], exchanged, ck, rk));
  REQUIRE_ERROR(ErrorCode::kIntegrity, moved.open(5));
  REQUIRE_ERROR(ErrorCode::kIntegrity, moved.open(6));
  REQUIRE(stripped(*REQUIRE_OK(moved.open(7))) == "third");
}

TEST_CASE("sealed: two seals of the same record share nothing but their sizes") {
  World world;
  world.suite = any_suite();
  const Bytes a = world.row();
  const Bytes b = world.row();
  REQUIRE(a.size() == b.size());
  std::size_t equal = 0;
  for (std::size_t i = 0; i + 8 <= a.size(); ++i) {
    const auto at = static_cast<std::ptrdiff_t>(i);
    equal += std::equal(a.begin() + at, a.begin() + at + 8, b.begin() + at) ? 1U : 0U;
  }
  REQUIRE(equal == 0);
}

TEST_CASE("sealed: values of one length class make rows of one size") {
  World world;
  world.suite = any_suite();
  std::set<std::size_t> sizes;
  for (std::size_t length = 0; length <= 15; ++length) {
    Head head = world.head();
    Bytes cells;
    world.add(head, cells, kIdentity, {{5, std::string(length, 'n')}});
    sizes.insert(world.seal(head, cells).size());
  }
  REQUIRE(sizes.size() == 1);
}

TEST_CASE("robust: a hostile head is refused and bounded") {
  World world;
  const auto open = [&](const HeadParts& parts) {
    return open_row(world.context, row_around(world.context, world.leaf, head_bytes(parts), Bytes(64)), world.leaf);
  };
  REQUIRE_DONE(open({}));

  const std::vector<std::pair<std::string, std::function<void(HeadParts&)>>> malformed = {
      {"type beyond 16 bits", [](HeadParts& p) { p.type = 0x1'0000; }},
      {"unit longer than the limit", [](HeadParts& p) { p.unit = std::string(65, 'u'), p.unit_size = 65; }},
      {"unit longer than the head", [](HeadParts& p) { p.unit_size = 64; }},
      {"unit of 2^64 bytes", [](HeadParts& p) { p.unit_size = ~std::uint64_t{0}; }},
      {"unit that is no UTF-8", [](HeadParts& p) { p.unit = "\xFF\xFE"; }},
      {"65 cells", [](HeadParts& p) { p.cells = 65; }},
      {"2^64 cells", [](HeadParts& p) { p.cells = ~std::uint64_t{0}; }},
      {"more cells than entries", [](HeadParts& p) { p.cells = 2; }},
      {"fewer cells than entries", [](HeadParts& p) { p.cells = 0; }},
      {"one compartment twice", [](HeadParts& p) { p.cells = 2, p.entries = 2; }},
      {"compartment beyond 16 bits", [](HeadParts& p) { p.compartment = 0x1'0001; }},
      {"epoch beyond 32 bits", [](HeadParts& p) { p.epoch = 0x1'0000'0000; }},
      {"size beyond 32 bits", [](HeadParts& p) { p.size = 0x1'0000'0040; }},
      {"size against the directory", [](HeadParts& p) { p.size = 65; }},
      {"suite beyond 8 bits", [](HeadParts& p) { p.suite = 257; }},
      {"1001 fields", [](HeadParts& p) { p.fields = 1001; }},
      {"2^64 fields", [](HeadParts& p) { p.fields = ~std::uint64_t{0}; }},
      {"no length class", [](HeadParts& p) { p.length_class = 296; }},
      {"field twice", [](HeadParts& p) { p.fields = 2, p.pairs = 2, p.size = 96; }},
      {"map beside another field", [](HeadParts& p) { p.fields = 2, p.pairs = 2, p.size = 96, p.field = 0; }},
      {"padding that is not zero", [](HeadParts& p) { p.tail = 31, p.tail_byte = 1; }},
      {"padding that stops early", [](HeadParts& p) { p.pad_to = 1; }},
      {"a step of padding too much", [](HeadParts& p) { p.tail = 32; }},
  };
  for (const auto& [what, change] : malformed) {
    INFO(what);
    HeadParts parts;
    change(parts);
    REQUIRE_ERROR(ErrorCode::kIntegrity, open(parts));
  }

  const std::vector<std::pair<std::string, std::function<void(HeadParts&)>>> newer = {
      {"format", [](HeadParts& p) { p.format = 2; }},
      {"suite", [](HeadParts& p) { p.suite = 4; }},
      {"suite 0", [](HeadParts& p) { p.suite = 0; }},
      {"deposit cell", [](HeadParts& p) { p.flags = 1; }},
      {"split cell", [](HeadParts& p) { p.flags = 2, p.share = 48; }},
      {"unknown flag", [](HeadParts& p) { p.flags = 0x40; }},
  };
  for (const auto& [what, change] : newer) {
    INFO(what);
    HeadParts parts;
    change(parts);
    REQUIRE_ERROR(ErrorCode::kUnsupported, open(parts));
  }
}

TEST_CASE("robust: every truncation and every changed byte of a head's plaintext opens or is an error") {
  World world;
  const Bytes good = head_bytes({});
  for (std::size_t size = 0; size < good.size() - 31; ++size) {
    const Bytes cut(good.begin(), good.begin() + static_cast<std::ptrdiff_t>(size));
    REQUIRE_FALSE(
        open_row(world.context, row_around(world.context, world.leaf, cut, Bytes(64)), world.leaf).has_value());
  }
  for (std::size_t at = 0; at < good.size(); ++at) {
    for (int value = 0; value < 256; ++value) {
      Bytes changed = good;
      changed[at] = static_cast<std::uint8_t>(value);
      const Bytes row = row_around(world.context, world.leaf, changed, Bytes(64));
      const auto opened = open_row(world.context, row, world.leaf);
      if (!opened) continue;
      // What opens is what sealing it again would say: one head has one encoding.
      const Bytes again = world.seal(opened->head, opened->cells);
      REQUIRE(again.size() == row.size());
    }
  }
}

TEST_CASE("robust: a sealed map that is no map of fields is refused") {
  World world;
  const auto refused = [&](const Bytes& plain) {
    // A cell of field 0 sealed per field has the shape of a map: its holder can seal any bytes there.
    Head head = world.head();
    Bytes cells;
    const std::vector<PlainField> fields = {{0, plain}};
    const Compartment by_field{9, "statistics", false};
    const CellEntry entry =
        seal_cell(world.context, by_field, 1, 1, crypto::Suite::kAes256Gcm, crypto::key_of(world.ck),
                  crypto::key_of(head.record_key), fields, world.random, cells);
    CellOpener cell = REQUIRE_OK(CellOpener::make(world.context, kStatistics, entry, cells, crypto::key_of(world.ck),
                                                  crypto::key_of(head.record_key)));
    REQUIRE_ERROR(ErrorCode::kIntegrity, cell.open(7));
    REQUIRE_ERROR(ErrorCode::kIntegrity, cell.fields());
  };
  refused(cbor("no map"));
  refused({});
  refused({0xA1, 0x00, 0x01});              // field 0
  refused({0xA2, 0x07, 0x01, 0x07, 0x02});  // a field twice
  refused({0xA2, 0x08, 0x01, 0x07, 0x02});  // descending
  refused({0xA1, 0x1A, 0, 1, 0, 0, 0x01});  // field beyond 16 bits
  refused({0xBB, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF});
  refused({0xA1, 0x07, 0x01, 0x00, 0x01});  // bytes behind it
}

TEST_CASE("time of reading one field", "[.bench]") {
  World world;
  Head head = world.head();
  Bytes cells;
  world.add(head, cells, kIdentity, {{5, std::string(50, 'n')}, {6, std::string(30, 'n')}, {8, "1987-02-15"}});
  world.add(head, cells, kContact, {{13, "0900 000 000"}});
  std::map<std::uint16_t, std::string> coded;
  for (std::uint16_t field = 20; field < 34; ++field) coded[field] = "code";
  world.add(head, cells, kStatistics, coded);
  const Bytes row = world.seal(head, cells);
  const auto measure = [&](const char* what, std::size_t index, const Compartment& compartment, auto use) {
    constexpr int kRounds = 200000;
    const std::clock_t begin = std::clock();  // processor time: other jobs on the machine do not count
    for (int i = 0; i < kRounds; ++i) {
      const auto opened = open_row(world.context, row, world.leaf);
      auto cell = CellOpener::make(world.context, compartment, opened->head.cells[index], *opened->cell_bytes(index),
                                   crypto::key_of(world.ck), crypto::key_of(opened->head.record_key));
      use(*cell);
    }
    const double took = static_cast<double>(std::clock() - begin) / CLOCKS_PER_SEC * 1e6;
    WARN(what << ": " << took / kRounds << " us");
  };
  measure("one field of 50 bytes", 0, kIdentity, [](CellOpener& cell) { (void)cell.open(5); });
  measure("14 coded fields", 2, kStatistics, [](CellOpener& cell) {
    for (std::uint16_t field = 20; field < 34; ++field) (void)cell.open(field);
  });
}

}  // namespace casevault::model
