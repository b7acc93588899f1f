// SPDX-License-Identifier: Apache-2.0
// FORMAT.md, "Vectors": the library must keep producing exactly these bytes from these inputs. With the environment
// variable CASEVAULT_WRITE_VECTORS the file is written instead of compared.
#include "audit/entry.hpp"
#include "audit/merkle.hpp"
#include "audit/note.hpp"
#include "base/text.hpp"
#include "catch.hpp"
#include "crypto/aead.hpp"
#include "crypto/envelope.hpp"
#include "crypto/hash.hpp"
#include "format/labels.hpp"
#include "keys/erasure_root.hpp"
#include "keys/grants.hpp"
#include "keys/identity.hpp"
#include "keys/key_tree.hpp"
#include "log/segment.hpp"
#include "model/record_row.hpp"
#include "model/search_index.hpp"
#include "model/value.hpp"
#include "store/store.hpp"
#include "support/temp_folder.hpp"
#include "vault/authority.hpp"
#include "vault/details.hpp"
#include "vault/import.hpp"

#include <cstdlib>
#include <fstream>
#include <numeric>
#include <sstream>

using namespace casevault;

namespace {

/// Byte n of the stream is n mod 256, so that a reader can reproduce every "random" input by counting.
class CountingRandom final : public base::Random {
 public:
  void fill(MutableBytes out) override {
    for (std::uint8_t& byte : out) byte = next_++;
  }

 private:
  std::uint8_t next_ = 0;
};

SecretBytes filled(std::uint8_t value) {
  SecretBytes out(32);
  for (std::uint8_t& byte : out.mutable_view()) byte = value;
  return out;
}

class Lines {
 public:
  void hex(const std::string& name, ByteView bytes) { out_ << name << " = " << base::to_hex(bytes) << "\n"; }
  void text(const std::string& name, std::string_view text) { out_ << name << " = \"" << text << "\"\n"; }
  void number(const std::string& name, std::uint64_t value) { out_ << name << " = " << value << "\n"; }
  std::string str() const { return out_.str(); }

 private:
  std::ostringstream out_;
};

/// Groups that came after the first file of vectors: they stand at its end.
void render_more(const keys::VaultTag& vault, Lines& lines) {
  {
    const SecretBytes seed = filled(0xBB);
    const keys::Principal who{"Mai", crypto::x25519_public(crypto::key_of(filled(0x22))),
                              crypto::ed25519_public(crypto::key_of(seed))};
    lines.text("principal.name", who.name);
    lines.text("principal.string", keys::principal_string(who, crypto::key_of(seed)));
  }
  {
    CountingRandom random;
    const std::uint64_t slot = 258;
    const std::unique_ptr<store::Store> memory = store::make_memory_store();
    const std::unique_ptr<store::WriteTxn> txn = memory->begin_write().value();
    const keys::KeyTree tree(vault, random);
    REQUIRE(tree.put_slot(*txn, filled(0x44), keys::TreeKind::kEpochHalves, slot, filled(0x33)));
    lines.number("tree.slot", slot);
    REQUIRE(txn->scan(store::Table::kTree, {}, [&](const store::Item& item) {
      lines.hex("tree.row_" + base::to_hex(item.key), item.value);
      return true;
    }));
  }
  {
    CountingRandom random;
    const test::TempFolder folder;
    const SecretBytes vault_key = filled(0x33);
    REQUIRE(keys::ErasureRoot::create(folder / "erasure.root", {vault, 1, &vault_key}, 1, filled(0x44), random));
    const Bytes file = base::read_file(folder / "erasure.root", std::size_t{1} << 21U, true).value();
    lines.number("erasure_root.size", file.size());
    lines.hex("erasure_root.place", ByteView(file).first(125));
  }
  {
    std::array<std::uint8_t, 12> message{};
    std::iota(message.begin(), message.end(), std::uint8_t{0});
    lines.hex("siphash.message", message);
    lines.number("siphash.number", crypto::siphash(crypto::key_of(filled(0x88)), message));
    lines.number("crc64.of_message", log::crc64(message));
  }
  {
    CountingRandom random;
    const SecretBytes deposit = filled(0xDD);
    const auto sealer = vault::DetailsSealer::make(vault, {vault::kAuditCompartment, 1},
                                                   crypto::x25519_public(crypto::key_of(deposit)), random);
    vault::DetailsDraft draft;
    draft.actor = 2;
    draft.actor_name = "Mai";
    draft.type = 1;
    draft.fields = {7, 2};
    draft.recipient = "police";
    draft.recipient_class = "authority";
    draft.text = "note";
    draft.subjects.push_back({258, 3, filled(0x66)});
    draft.rows = {300, 5, 6};
    audit::Leaf leaf;
    const auto seal = sealer.value().prepare(std::move(draft), leaf);
    lines.hex("details.deposit_secret", deposit.view());
    lines.hex("details.actor", leaf.actor);
    lines.hex("details.fields", leaf.fields);
    lines.hex("details.subjects", leaf.subjects);
    lines.hex("details.details", leaf.details);
    lines.hex("details.block", seal(9).value());
  }
  {
    const SecretBytes generation = filled(0xEE);
    const std::array fields{model::IndexedField{1, 2}};
    const model::IndexKeys keys({vault, 5, 1, 3}, crypto::key_of(filled(0x55)), crypto::key_of(generation), fields);
    lines.hex("index.generation_key", generation.view());
    lines.text("index.folded", "hoa");
    lines.text("index.exact", "hoa2");
    model::WordKey word;
    keys.word(fields.front(), {model::WordClass::kFolded, "hoa", "hoa2"}, word);
    model::Labels labels(keys.slot(), word);
    const model::IndexRowKey at = labels.at(7);
    lines.hex("index.key_0", labels.at(0));
    lines.hex("index.key_7", at);
    const auto sealed = [&](const model::Placed& posting) { return keys.seal({&posting, 1}).front(); };
    lines.hex("index.posting_7", sealed({at, {model::PostingKind::kRecord, word.print, 258, 7}}));
    lines.hex("index.tombstone_7", sealed({at, {model::PostingKind::kTombstone, 0, 0, 7}}));
    model::WordKey filler;
    keys.filler(258, filler);
    const model::IndexRowKey filled_at = model::Labels(keys.slot(), filler).at(0);
    lines.hex("index.filler_key", filled_at);
    lines.hex("index.filler", sealed({filled_at, {model::PostingKind::kFiller, 0, 258, 0}}));
    for (const std::uint64_t position : {1U, 5U, 6U})
      lines.hex("index.key_" + std::to_string(position), labels.at(position));
  }
}

std::string render() {
  Lines lines;
  const keys::VaultTag vault = {0xA0, 0xA1, 0xA2, 0xA3, 0xA4, 0xA5, 0xA6, 0xA7,
                                0xA8, 0xA9, 0xAA, 0xAB, 0xAC, 0xAD, 0xAE, 0xAF};
  lines.hex("vault.tag", vault);

  {
    CountingRandom random;
    const SecretBytes key = filled(0x11);
    lines.hex("envelope.key", key.view());
    lines.text("envelope.label", as_text(format::kMetaRow));
    lines.text("envelope.context", "context");
    lines.text("envelope.plaintext", "plaintext");
    lines.hex("envelope.sealed", crypto::seal_envelope(format::kMetaRow, crypto::key_of(key), as_bytes("context"),
                                                       as_bytes("plaintext"), random));
  }
  {
    CountingRandom random;
    const SecretBytes secret = filled(0x22);
    const crypto::PublicKey recipient = crypto::x25519_public(crypto::key_of(secret));
    lines.hex("box.recipient_secret", secret.view());
    lines.hex("box.recipient_public", recipient);
    lines.text("box.label", as_text(format::kInvitation));
    lines.hex(
        "box.sealed",
        crypto::seal_box(format::kInvitation, recipient, as_bytes("context"), as_bytes("plaintext"), random).value());
  }
  {
    const SecretBytes granted = filled(0x33);
    const SecretBytes half = filled(0x44);
    const keys::EpochName name{5, 1};
    const SecretBytes key = keys::epoch_key(vault, name, granted, half);
    const keys::EpochCommitments commitments = keys::commit_epoch(vault, name, granted, key);
    lines.hex("epoch.granted", granted.view());
    lines.hex("epoch.half", half.view());
    lines.hex("epoch.key", key.view());
    lines.hex("epoch.commit_granted", commitments.granted);
    lines.hex("epoch.commit_key", commitments.key);
    lines.hex("epoch.deposit_public", commitments.deposit_public);
    lines.hex("vault_key.label", keys::vault_key_label(vault, 1, crypto::x25519_public(crypto::key_of(granted))));
    lines.hex("vault_key.commitment", keys::vault_key_commitment(vault, 1, granted));
    lines.hex("erasure_root.commitment", keys::commit_root(vault, 1, half));
  }
  {
    CountingRandom random;
    const model::RowContext context{vault, 258};
    const SecretBytes ck = filled(0x55);
    const SecretBytes rk = filled(0x66);
    model::LeafKey leaf{filled(0x77), filled(0x88)};
    const Compartment each{1, "identity", false};
    const Compartment map{9, "statistics", true};
    // CBOR text "Hoa" and "female"
    const Bytes name = {0x63, 'H', 'o', 'a'};
    const Bytes sex = {0x66, 'f', 'e', 'm', 'a', 'l', 'e'};
    Bytes cells;
    model::Head head;
    head.record_key = rk.clone();
    head.stamp.fill(0x99);
    head.type = 1;
    head.created_ms = 1700000000000;
    head.updated_ms = 1700000000001;
    head.unit = "unit";
    const std::vector<model::PlainField> identity = {{2, name}};
    const std::vector<model::PlainField> statistics = {{7, sex}};
    head.cells.push_back(model::seal_cell(context, each, 1, 1, crypto::Suite::kAes256Gcm, crypto::key_of(ck),
                                          crypto::key_of(rk), identity, random, cells));
    const std::size_t first = cells.size();
    head.cells.push_back(model::seal_cell(context, map, 1, 1, crypto::Suite::kAes256Gcm, crypto::key_of(ck),
                                          crypto::key_of(rk), statistics, random, cells));
    lines.number("row.number", context.row);
    lines.hex("row.ck", ck.view());
    lines.hex("row.rk", rk.view());
    lines.hex("row.leaf_seal", leaf.seal.view());
    lines.hex("row.leaf_mask", leaf.mask.view());
    lines.hex("row.cell_identity_salt", head.cells[0].salt);
    lines.hex("row.cell_identity", ByteView(cells).first(first));
    lines.hex("row.cell_statistics_salt", head.cells[1].salt);
    lines.hex("row.cell_statistics", ByteView(cells).subspan(first));
    lines.hex("row.row", model::seal_row(context, head, leaf, cells, random));

    for (const crypto::Suite suite : {crypto::Suite::kChaCha20Poly1305, crypto::Suite::kHkdfAes256Gcm}) {
      const std::string group = "suite" + std::to_string(static_cast<int>(suite));
      CountingRandom same;
      cells.clear();
      head.cells = {
          model::seal_cell(context, each, 1, 1, suite, crypto::key_of(ck), crypto::key_of(rk), identity, same, cells)};
      head.cells.push_back(
          model::seal_cell(context, map, 1, 1, suite, crypto::key_of(ck), crypto::key_of(rk), statistics, same, cells));
      lines.hex(group + ".cell_identity", ByteView(cells).first(first));
      lines.hex(group + ".cell_statistics", ByteView(cells).subspan(first));
      lines.hex(group + ".row", model::seal_row(context, head, leaf, cells, same));
    }
  }
  {
    const crypto::Aes256Block cipher(crypto::key_of(filled(0x0F)));
    std::array<std::uint8_t, 16> block{};
    block[7] = 1;
    block[6] = 1;  // row 257
    const auto id = cipher.encrypt(block);
    lines.hex("id.key", filled(0x0F).view());
    lines.number("id.row", 257);
    lines.hex("id.bytes", id);
    lines.text("id.text", base::to_crockford(id));
  }
  {
    audit::Leaf leaf;
    leaf.action = audit::Action::kDisclose;
    leaf.time_ms = 1700000000000;
    leaf.purpose = "protection";
    leaf.basis = "protection_order";
    leaf.count = 1;
    leaf.actor.fill(1);
    leaf.subjects.fill(2);
    leaf.fields.fill(3);
    leaf.details.fill(4);
    const Bytes encoded = audit::encode_leaf(leaf);
    lines.hex("leaf.bytes", encoded);
    lines.hex("leaf.hash", audit::leaf_hash(encoded));
    lines.hex("commitment.actor", audit::commit(format::kCommitActor, as_bytes("opening")));
    const SecretBytes seed = filled(0xBB);
    const std::string origin = vault::log_origin(vault);
    lines.hex("checkpoint.seed", seed.view());
    lines.text("checkpoint.log_key", audit::verifier_string(origin, crypto::ed25519_public(crypto::key_of(seed))));
    const std::string note =
        audit::sign_note(audit::checkpoint_text({origin, 1, audit::leaf_hash(encoded)}), origin, crypto::key_of(seed));
    lines.hex("checkpoint.note", as_bytes(note));
    audit::InclusionProof proof;
    proof.extra = encoded;
    proof.checkpoint_note = note;
    lines.hex("receipt", as_bytes(audit::proof_text(proof)));
  }
  {
    std::array<std::uint8_t, 16> seed{};
    seed.fill(0xCC);
    lines.hex("import.seed", seed);
    lines.hex("import.stamp_of_row_300", vault::import_stamp(seed, 300));
  }
  for (const std::size_t size : {std::size_t{1}, std::size_t{16}, std::size_t{17}, std::size_t{256}, std::size_t{257},
                                 std::size_t{1025}, std::size_t{4097}, std::size_t{100000}}) {
    const std::uint16_t length_class = model::length_class(size);
    lines.number("length_class." + std::to_string(size), length_class);
    lines.number("class_size." + std::to_string(length_class), model::class_size(length_class));
  }
  render_more(vault, lines);
  return lines.str();
}

}  // namespace

TEST_CASE("format: every vector of FORMAT.md is reproduced byte for byte") {
  const std::string path = std::string(CASEVAULT_TEST_DATA) + "/format/vectors.txt";
  const std::string now = render();
  if (std::getenv("CASEVAULT_WRITE_VECTORS") != nullptr) {
    std::ofstream(path) << now;
    return;
  }
  std::ifstream file(path);
  REQUIRE(file.good());
  std::stringstream known;
  known << file.rdbuf();
  std::string line_known;
  std::string line_now;
  std::istringstream lines_known(known.str());
  std::istringstream lines_now(now);
  while (std::getline(lines_known, line_known)) {
    REQUIRE(std::getline(lines_now, line_now));
    CHECK(line_now == line_known);
  }
  CHECK_FALSE(std::getline(lines_now, line_now));
}
