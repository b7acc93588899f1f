// SPDX-License-Identifier: Apache-2.0
#include <set>

#include "base/text.hpp"
#include "catch.hpp"
#include "crypto/hash.hpp"
#include "crypto/keypair.hpp"
#include "model/csv.hpp"
#include "model/normalise.hpp"
#include "model/record_row.hpp"
#include "model/value.hpp"
#include "support/fixed_environment.hpp"

namespace casevault::model {
namespace {

/// Writes all cells of `row` into a record row, compartment by compartment, opens it, and compares every text.
void round_trip(const Schema& schema, const std::vector<std::string>& header, const std::vector<std::string>& row,
                const LeafKey& leaf, crypto::KeyView ck, test::SeededRandom& random) {
  const RecordType& type = *schema.find_type("person");
  const RowContext context{{5}, 9};
  Head head;
  head.record_key = crypto::random_key(random);
  Bytes cells;
  for (std::uint16_t index = 0; index < schema.compartments().size(); ++index) {
    std::vector<SecretBytes> encoded;
    std::vector<PlainField> fields;
    for (std::size_t column = 0; column < header.size(); ++column) {
      const Field& field = *type.find(header[column]);
      if (field.compartment != index || row[column].empty()) continue;
      REQUIRE_DONE(check_value(schema, field, row[column]));
      encoded.push_back(REQUIRE_OK(encode_value(schema, field, row[column])));
      fields.push_back({field.id, encoded.back().view()});
    }
    if (fields.empty()) continue;
    head.cells.push_back(seal_cell(context, schema.compartments()[index], 1, schema.version(),
                                   crypto::Suite::kAes256Gcm, ck, crypto::key_of(head.record_key), fields, random,
                                   cells));
  }
  const Bytes sealed = seal_row(context, head, leaf, cells, random);
  const OpenedRow opened = REQUIRE_OK(open_row(context, sealed, leaf));
  std::set<std::string> seen;
  for (std::size_t i = 0; i < opened.head.cells.size(); ++i) {
    const CellEntry& entry = opened.head.cells[i];
    const auto& compartment = *std::ranges::find(schema.compartments(), entry.compartment, &Compartment::id);
    const ByteView bytes = REQUIRE_OK(opened.cell_bytes(i));
    CellOpener cell =
        REQUIRE_OK(CellOpener::make(context, compartment, entry, bytes, ck, crypto::key_of(opened.head.record_key)));
    for (std::size_t column = 0; column < header.size(); ++column) {
      const Field& field = *type.find(header[column]);
      if (schema.compartments()[field.compartment].id != entry.compartment) continue;
      const auto value = REQUIRE_OK(cell.open(field.id));
      if (value.has_value() == row[column].empty())
        FAIL(row[0] << " " << header[column] << " appeared or went missing");
      if (!value) continue;
      Bytes out(max_text_size(value->size()));
      const std::size_t end = REQUIRE_OK(decode_value(field, *value, out, 0));
      if (as_text(ByteView(out).first(end)) != row[column]) FAIL(row[0] << " " << header[column] << " changed");
      seen.insert(header[column]);
    }
  }
  for (std::size_t column = 0; column < header.size(); ++column) {
    if (seen.contains(header[column]) == row[column].empty()) FAIL(row[0] << " " << header[column] << " is lost");
  }
}

}  // namespace

TEST_CASE("every row of the invented register is accepted by the bundled schema and returns exactly as written") {
  const Schema schema = REQUIRE_OK(Schema::bundled("vn-victim-support"));
  const auto rows = test::read_csv(std::string(CASEVAULT_SOURCE_DIR) + "/tests/data/registry_vn.csv");
  REQUIRE(rows.size() == 2001);
  const std::vector<std::string>& header = rows.front();
  REQUIRE(header.size() == 49);
  const RecordType& type = *schema.find_type("person");
  REQUIRE(type.fields.size() == header.size());
  for (const std::string& column : header) REQUIRE(type.find(column) != nullptr);

  test::SeededRandom random(3);
  const LeafKey leaf{crypto::random_key(random), crypto::random_key(random)};
  const SecretBytes ck = crypto::random_key(random);
  for (std::size_t i = 1; i < rows.size(); ++i) {
    REQUIRE(rows[i].size() == header.size());
    round_trip(schema, header, rows[i], leaf, crypto::key_of(ck), random);
  }
}

TEST_CASE("the example register is the beginning of the test register") {
  const auto all = test::read_csv(std::string(CASEVAULT_SOURCE_DIR) + "/tests/data/registry_vn.csv");
  const auto few = test::read_csv(std::string(CASEVAULT_SOURCE_DIR) + "/examples/data/registry_vn_small.csv");
  REQUIRE(few.size() == 51);
  REQUIRE(std::equal(few.begin(), few.end(), all.begin()));
}

TEST_CASE("The register: no key changes without a new version of the normaliser") {
  const auto rows = test::read_csv(std::string(CASEVAULT_TEST_DATA) + "/data/registry_vn.csv");
  const auto column = [&rows](std::string_view name) {
    return static_cast<std::size_t>(std::ranges::find(rows.front(), name) - rows.front().begin());
  };
  Bytes keys;
  const auto add = [&keys](std::string_view key) {
    keys.insert(keys.end(), as_bytes(key).begin(), as_bytes(key).end());
    keys.push_back(0);
  };
  const auto add_all = [&add](const Result<std::vector<std::string>>& words) {
    if (!words) return add("refused");
    for (const std::string& word : *words) add(word);
  };
  for (std::size_t i = 1; i < rows.size(); ++i) {
    const auto& row = rows[i];
    std::vector<std::string_view> names = name_parts(row[column("aliases")]);
    names.push_back(row[column("full_name")]);
    for (const std::string_view name : names) {
      const NameKeys key = REQUIRE_OK(name_keys(name));
      for (const std::string& each : {key.exact, key.folded, key.bag, key.joined}) add(each);
    }
    add_all(phone_keys(row[column("phone")]));
    add_all(date_keys(row[column("dob")]));
    add_all(place_keys(row[column("province_text")], row[column("province_edition")]));
    add_all(place_keys(row[column("commune_text")]));
    if (const auto id = id_key(row[column("id_number")])) add(id->type + " " + id->number);
  }
  REQUIRE(kNormaliserVersion == 1);
  REQUIRE(base::to_hex(crypto::blake2b256(keys)) == "6c8b593fc3920cc0b6d54d621f09ec4b30b5de21b177b2525d3f6b7808ae2619");
}

TEST_CASE("The register: every name, date, place, telephone and document has keys") {
  const auto rows = test::read_csv(std::string(CASEVAULT_TEST_DATA) + "/data/registry_vn.csv");
  const auto column = [&rows](std::string_view name) {
    return static_cast<std::size_t>(std::ranges::find(rows.front(), name) - rows.front().begin());
  };
  const auto any_digit = [](std::string_view text) {
    return text.find_first_of("0123456789") != std::string_view::npos;
  };
  std::size_t suggestions = 0;
  for (std::size_t i = 1; i < rows.size(); ++i) {
    const auto& row = rows[i];
    INFO(row[column("case_no")]);
    REQUIRE(name_keys(row[column("full_name")]));
    for (const std::string_view name : name_parts(row[column("aliases")])) REQUIRE(name_keys(name));
    const std::string& phone = row[column("phone")];
    if (any_digit(phone)) REQUIRE(phone_keys(phone));
    const std::string& id = row[column("id_number")];
    if (!id.empty()) {
      const IdKey key = REQUIRE_OK(id_key(id));
      const std::optional<std::string> whole = id_suggestion(id);
      const std::string& type = row[column("id_type")];
      REQUIRE((type == "passport" ? key.type == "other" : key.type == type || whole.has_value()));
      suggestions += whole ? 1U : 0U;
    }
    const std::string& born = row[column("dob")];
    if (!born.empty()) REQUIRE(date_keys(born));
    const std::string& edition = row[column("province_edition")];
    const auto text = place_keys(row[column("province_text")], edition);
    REQUIRE(text);
    if (!edition.empty()) {
      const auto code = REQUIRE_OK(place_keys(row[column("province_code")], edition));
      for (const std::string& word : code) REQUIRE(std::ranges::find(*text, word) != text->end());
    } else {
      REQUIRE(text->front().starts_with("2024:"));
    }
    const std::string& commune = row[column("commune_text")];
    if (!commune.empty()) REQUIRE(REQUIRE_OK(place_keys(commune)).front().starts_with("name:"));
  }
  REQUIRE(suggestions == 16);
}

}  // namespace casevault::model
