// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstdlib>

#include "base/cursor.hpp"
#include "crypto/aead.hpp"
#include "crypto/hash.hpp"
#include "format/labels.hpp"
#include "model/record_row.hpp"
#include "model/value.hpp"

namespace {

using namespace casevault;

/// The same bytes for ever: a fuzz input must mean one thing.
class FixedRandom final : public base::Random {
 public:
  void fill(MutableBytes out) override { std::ranges::fill(out, std::uint8_t{0x5A}); }
};

SecretBytes fixed_key(std::uint8_t byte) { return SecretBytes::copy(std::vector<std::uint8_t>(32, byte)); }

}  // namespace

/// Input: u16 length, that many bytes of a head, cells. The head is sealed under a fixed leaf key, as whoever holds the
/// key could, because what is behind the AEAD would never be reached otherwise. What opens must seal and open to the
/// same; its fields open or are errors.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const model::LeafKey leaf{fixed_key(1), fixed_key(2)};
  static const SecretBytes ck = fixed_key(3);
  const model::RowContext context{{7}, 5};
  base::Reader in({data, size});
  const ByteView head = in.take(in.u16());
  if (!in.ok()) return 0;
  const ByteView cells = in.rest();

  const std::array<std::uint8_t, 12> nonce{};
  Bytes aad;
  base::Writer(aad).bytes(format::kTreeHead).bytes(context.vault).u64(context.row);
  const auto mask = static_cast<std::uint16_t>(crypto::siphash(crypto::key_of(leaf.mask), nonce));
  Bytes sealed(head.size() + crypto::kTagSize);
  crypto::aead_seal(crypto::key_of(leaf.seal), nonce, aad, head, sealed);
  Bytes row;
  base::Writer(row).bytes(nonce).u16(static_cast<std::uint16_t>(head.size() ^ mask)).bytes(sealed).bytes(cells);

  const auto opened = model::open_row(context, row, leaf);
  if (!opened) return 0;
  FixedRandom random;
  const Bytes again = model::seal_row(context, opened->head, leaf, opened->cells, random);
  const auto reopened = model::open_row(context, again, leaf);
  if (!reopened || again.size() != row.size() || reopened->head.unit != opened->head.unit ||
      reopened->head.cells.size() != opened->head.cells.size()) {
    std::abort();
  }
  for (std::size_t i = 0; i < opened->head.cells.size(); ++i) {
    const model::CellEntry& entry = opened->head.cells[i];
    const auto bytes = opened->cell_bytes(i);
    if (!bytes) std::abort();
    for (const bool sealed_as_cell : {false, true}) {
      const Compartment compartment{entry.compartment, "c", sealed_as_cell};
      // Almost never the right commitment: it stands in for a wrong key.
      auto cell = model::CellOpener::make(context, compartment, entry, *bytes, crypto::key_of(ck),
                                          crypto::key_of(opened->head.record_key));
      if (!cell) continue;
      const auto fields = cell->fields();
      if (!fields) continue;
      for (const std::uint16_t field : *fields) (void)cell->open(field);
    }
  }
  return 0;
}
