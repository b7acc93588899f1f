// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <map>
#include <thread>

#include "bureau.hpp"

namespace casevault::test {
namespace {

/// Owns what came out of the C interface.
template <typename T>
struct Held : T {
  Held() : T{} {}
  Held(const Held&) = delete;
  Held& operator=(const Held&) = delete;
  ~Held() {
    if (this->release != nullptr) this->release(this);
  }
};

bool valid(const ArrowArray& array, std::int64_t row) {
  const auto* const bits = static_cast<const std::uint8_t*>(array.buffers[0]);
  return (bits[row / 8] >> (row % 8) & 1) != 0;
}

std::string text_at(const ArrowArray& array, std::int64_t row) {
  const auto* const ends = static_cast<const std::int32_t*>(array.buffers[1]);
  return {static_cast<const char*>(array.buffers[2]) + ends[row], static_cast<std::size_t>(ends[row + 1] - ends[row])};
}

template <typename T>
T number_at(const ArrowArray& array, std::int64_t row) {
  return static_cast<const T*>(array.buffers[1])[row];
}

/// A value as a reader of Arrow sees it.
std::string shown(const ArrowSchema& schema, const ArrowArray& array, std::int64_t row) {
  if (!valid(array, row)) return "-";
  const std::string format = schema.format;
  if (format == "u") return text_at(array, row);
  if (format == "s") return text_at(*array.dictionary, number_at<std::int16_t>(array, row));
  if (format == "c") return text_at(*array.dictionary, number_at<std::int8_t>(array, row));
  if (format == "l") return std::to_string(number_at<std::int64_t>(array, row));
  if (format == "tdD") return std::to_string(number_at<std::int32_t>(array, row));
  if (format == "b") {
    const auto* const bits = static_cast<const std::uint8_t*>(array.buffers[1]);
    return (bits[row / 8] >> (row % 8) & 1) != 0 ? "true" : "false";
  }
  std::string out;
  if (format == "+s") {
    for (std::int64_t i = 0; i < array.n_children; ++i)
      out += (i == 0 ? "" : " ") + shown(*schema.children[i], *array.children[i], row);
  } else if (format == "+l") {
    const auto* const ends = static_cast<const std::int32_t*>(array.buffers[1]);
    for (std::int32_t i = ends[row]; i < ends[row + 1]; ++i)
      out += (i == ends[row] ? "" : ";") + shown(*schema.children[0], *array.children[0], i);
  }
  return out;
}

TableRequest request_for_table(std::vector<std::string> columns) {
  TableRequest request;
  request.type = "person";
  request.columns = std::move(columns);
  request.purpose = "statistics";
  return request;
}

std::vector<std::vector<std::string>> read_table(Table& table) {
  Held<ArrowArrayStream> stream;
  REQUIRE_OK(table.stream(stream));
  Held<ArrowSchema> schema;
  REQUIRE(stream.get_schema(&stream, &schema) == 0);
  std::vector<std::vector<std::string>> out;
  for (;;) {
    Held<ArrowArray> batch;
    REQUIRE(stream.get_next(&stream, &batch) == 0);
    if (batch.release == nullptr) return out;
    REQUIRE(batch.n_children == schema.n_children);
    for (std::int64_t row = 0; row < batch.length; ++row) {
      auto& line = out.emplace_back();
      for (std::int64_t i = 0; i < batch.n_children; ++i)
        line.push_back(shown(*schema.children[i], *batch.children[i], row));
    }
  }
}

TEST_CASE("traced: a table has one entry, before its first batch, with columns, purpose, basis and every record") {
  Bureau bureau(GENERATE(Types::kOne, Types::kTwo));
  bureau.add(3, {{"sex", "female"}});
  const std::uint64_t before = REQUIRE_OK(bureau.session.status()).log_size;
  Table table = REQUIRE_OK(bureau.session.table(request_for_table({"sex", "status"})));
  Held<ArrowSchema> schema;
  table.schema(schema);
  CHECK(schema.n_children == 2);
  CHECK(REQUIRE_OK(bureau.session.status()).log_size == before);
  CHECK_FALSE(table.entry().has_value());

  Table::Reader reader = REQUIRE_OK(table.read());
  CHECK(in_child([&] {
          auto other = Session::open(bureau.lab.vault(), bureau.lab.owner.identity(), bureau.lab.options(true));
          if (!other) return 1;
          const auto status = other->status();
          return status && status->log_size == before + 1 ? 0 : 2;
        }) == 0);
  CHECK(table.entry() == before);
  CHECK(table.rows() == 3U);
  CHECK(read_table(table).size() == 3);
  CHECK(read_table(table).size() == 3);
  CHECK(REQUIRE_OK(bureau.session.status()).log_size == before + 1);

  const LogEntry entry = entries(bureau.session, true).at(before);
  CHECK(entry.action == audit::Action::kTable);
  CHECK(entry.purpose == "statistics");
  CHECK(entry.basis == "duty");
  CHECK(entry.count == 3);
  CHECK(entry.details.find("\"sex\",\"status\"") != std::string::npos);
  for (const RecordInfo& record : REQUIRE_OK(bureau.session.list("person", 10)))
    CHECK(entry.details.find(record.id.to_string()) != std::string::npos);
}

TEST_CASE("a table holds exactly what was written: codes, lists, dates with precision, numbers, booleans, nothing") {
  Bureau bureau(GENERATE(Types::kOne, Types::kTwo));
  bureau.add(1,
             {{"sex", "male"}, {"intake", "2024-02-29"}, {"harm", "sexual;labour"}, {"age", "-7"}, {"minor", "true"}});
  bureau.add(1, {{"intake", "1969-12"}, {"harm", "marriage"}, {"minor", "false"}});
  bureau.add(1, {{"intake", "0001"}, {"sex", "unknown"}, {"age", "9223372036854775807"}});
  TableRequest request = request_for_table({"sex", "intake", "harm", "age", "minor", "full_name", "outcome"});
  request.ids = true;
  Table table = REQUIRE_OK(bureau.session.table(request));
  const auto rows = read_table(table);
  const auto records = REQUIRE_OK(bureau.session.list("person", 10));
  REQUIRE(rows.size() == 3);
  const std::string name = "CANARY 1";
  CHECK(rows[0] == std::vector<std::string>{records[0].id.to_string(), "male", "19782 day", "sexual;labour", "-7",
                                            "true", name, "-"});
  CHECK(rows[1] ==
        std::vector<std::string>{records[1].id.to_string(), "-", "-31 month", "marriage", "-", "false", name, "-"});
  CHECK(rows[2] == std::vector<std::string>{records[2].id.to_string(), "unknown", "-719162 year", "-",
                                            "9223372036854775807", "-", name, "-"});
}

TEST_CASE("compartmented: who holds statistics only gets no other column, though the policy would admit it") {
  Bureau bureau;
  bureau.add(20, {{"sex", "female"}, {"outcome", "home"}});
  bureau.become_analyst();
  Table coded = REQUIRE_OK(bureau.session.table(request_for_table({"sex"})));
  CHECK(read_table(coded).size() == 20);
  for (const std::string column : {"full_name", "outcome"}) {
    Table table = REQUIRE_OK(bureau.session.table(request_for_table({"sex", column})));
    const std::uint64_t before = REQUIRE_OK(bureau.session.status()).log_size;
    Held<ArrowArrayStream> stream;
    CHECK(table.stream(stream).error().code == ErrorCode::kNoGrant);
    CHECK(stream.release == nullptr);
    const LogEntry entry = entries(bureau.session).at(before);
    CHECK(entry.outcome == audit::Outcome::kDenied);
    CHECK(entry.actor == "ana");
  }
  TabulateRequest question;
  question.type = "person";
  question.rows = "outcome";
  CHECK(bureau.session.tabulate(question).error().code == ErrorCode::kNoGrant);
  ReleaseRequest rows;
  rows.type = "person";
  rows.columns = {{"outcome", Coarseness::kExact, {}, {}, false}};
  rows.name = "r";
  CHECK(bureau.session.release(rows).error().code == ErrorCode::kNoGrant);
}

TEST_CASE("traced: a purpose that does not admit a table is denied, with an entry, and nothing is opened") {
  Bureau bureau(GENERATE(Types::kOne, Types::kTwo));
  bureau.add(2, {{"sex", "female"}});
  bureau.become_analyst();
  TableRequest request = request_for_table({"sex"});
  request.purpose = "care";
  Table table = REQUIRE_OK(bureau.session.table(request));
  const std::uint64_t before = REQUIRE_OK(bureau.session.status()).log_size;
  CHECK(table.read().error().code == ErrorCode::kRefused);
  CHECK(REQUIRE_OK(bureau.session.status()).log_size == before + 1);
  CHECK(entries(bureau.session).at(before).outcome == audit::Outcome::kDenied);
}

TEST_CASE("traced: when the entry of a table cannot be written there is no table") {
  Bureau bureau(GENERATE(Types::kOne, Types::kTwo));
  bureau.add(2, {{"sex", "female"}});
  bureau.session.close();
  Session reader = bureau.lab.read_only();
  Table table = REQUIRE_OK(reader.table(request_for_table({"sex"})));
  CHECK(table.read().error().code == ErrorCode::kUsage);
  CHECK_FALSE(table.entry().has_value());
}

TEST_CASE(
    "traced: a record that changes after the entry makes its batch a conflict with an entry, never another value") {
  Bureau bureau(GENERATE(Types::kOne, Types::kTwo));
  bureau.add(3, {{"sex", "female"}});
  const RecordId id = REQUIRE_OK(bureau.session.list("person", 1)).front().id;
  Table table = REQUIRE_OK(bureau.session.table(request_for_table({"sex"})));
  Table::Reader reader = REQUIRE_OK(table.read());
  const std::vector<FieldInput> changed{{"sex", "male"}};
  REQUIRE_OK(bureau.session.update(id, changed));
  const std::uint64_t before = REQUIRE_OK(bureau.session.status()).log_size;
  ArrowArray batch{};
  CHECK(reader.next(batch).error().code == ErrorCode::kConflict);
  CHECK(batch.release == nullptr);
  CHECK(reader.next(batch).error().code == ErrorCode::kConflict);
  CHECK(table.last_error()->code == ErrorCode::kConflict);
  const auto log = entries(bureau.session);
  REQUIRE(log.size() == before + 1);
  CHECK(log.back().action == audit::Action::kTable);
  CHECK(log.back().outcome == audit::Outcome::kFailed);
}

TEST_CASE("a record that came after the entry is not in the table") {
  Bureau bureau(GENERATE(Types::kOne, Types::kTwo));
  bureau.add(3, {{"sex", "female"}});
  Table table = REQUIRE_OK(bureau.session.table(request_for_table({"sex"})));
  Table::Reader reader = REQUIRE_OK(table.read());
  bureau.add(2, {{"sex", "male"}});
  Held<ArrowArray> batch;
  REQUIRE(REQUIRE_OK(reader.next(batch)));
  CHECK(batch.length == 3);
  ArrowArray none{};
  CHECK_FALSE(REQUIRE_OK(reader.next(none)));
}

TEST_CASE("new keys that reach records after the entry of a table keep none of them out of it") {
  Bureau bureau(GENERATE(Types::kOne, Types::kTwo));
  bureau.add(300, {{"sex", "female"}});
  REQUIRE_OK(bureau.session.rotate("statistics"));
  Table table = REQUIRE_OK(bureau.session.table(request_for_table({"sex"})));
  Table::Reader reader = REQUIRE_OK(table.read());
  REQUIRE_OK(bureau.session.reencrypt());
  Held<ArrowArray> batch;
  REQUIRE(REQUIRE_OK(reader.next(batch)));
  CHECK(batch.length == 300);
}

TEST_CASE("who may see records of the own unit only gets no table of those of others, though there is one type alone") {
  std::string schema = bureau_schema({}, Types::kOne);
  const std::string_view all = "purposes = [\"care\"]\ncompartments = [\"*\"]\n";
  schema.insert(schema.find(all) + all.size(),
                "[[rules]]\nroles = [\"analyst\"]\npurposes = [\"care\"]\ncompartments = "
                "[\"statistics\"]\nscope = \"own_unit\"\n");
  Lab lab(schema);
  Session session = lab.open();
  const Person near = lab.add(session, "near", "analyst", {"statistics"});
  Person far = Person::make("far", lab.folder / "far.identity");
  PrincipalRequest stranger;
  stranger.name = "far";
  stranger.public_string = far.public_string;
  stranger.role = "analyst";
  stranger.grants = {"statistics"};
  stranger.unit = "north";
  Identity identity = far.identity();
  REQUIRE_OK(Session::accept(REQUIRE_OK(session.add_principal(stranger)), identity));
  far.pins = identity.pins();
  const std::vector<FieldInput> fields{{"full_name", "x"}, {"sex", "female"}};
  REQUIRE_OK(session.add("person", fields));
  TableRequest request = request_for_table({"sex"});
  request.purpose = "care";
  for (const auto& [who, admitted] : std::map<const Person*, bool>{{&near, true}, {&far, false}}) {
    session.close();
    session = lab.open(*who);
    Table table = REQUIRE_OK(session.table(request));
    const auto read = table.read();
    CHECK(read.has_value() == admitted);
    if (!read) CHECK(read.error().code == ErrorCode::kRefused);
  }
}

TEST_CASE("batches hold at most 65,536 rows and may be taken by several threads, each row once") {
  Bureau bureau;
  Rows rows(150'000,
            [](std::uint64_t number) { return Rows::Values{{"full_name", "x"}, {"age", std::to_string(number)}}; });
  REQUIRE_OK(bureau.session.import_rows("person", rows));
  TableRequest request = request_for_table({"age"});
  std::atomic<std::uint64_t> told{0};
  request.progress = [&](const Progress& progress) {
    told = std::max<std::uint64_t>(told, progress.done);
    return progress.total == 150'000;
  };
  Table table = REQUIRE_OK(bureau.session.table(request));
  Table::Reader reader = REQUIRE_OK(table.read());
  std::array<std::vector<std::int64_t>, 2> seen;
  std::atomic<bool> sound{true};
  const auto take = [&](std::vector<std::int64_t>& own) {
    for (;;) {
      Held<ArrowArray> batch;
      const auto more = reader.next(batch);
      if (!more) sound = false;
      if (!more || !*more) return;
      if (batch.length > 65'536) sound = false;
      for (std::int64_t i = 0; i < batch.length; ++i) own.push_back(number_at<std::int64_t>(*batch.children[0], i));
    }
  };
  {
    std::jthread other([&] { take(seen[1]); });
    take(seen[0]);
  }
  CHECK(sound);
  CHECK(told == 150'000);
  std::vector<std::int64_t> all = seen[0];
  all.insert(all.end(), seen[1].begin(), seen[1].end());
  std::ranges::sort(all);
  REQUIRE(all.size() == 150'000);
  CHECK(all.front() == 1);
  CHECK(all.back() == 150'000);
  CHECK(std::ranges::adjacent_find(all) == all.end());
}

TEST_CASE("a table that is stopped gives nothing more, and its buffers are aligned for any consumer") {
  Bureau bureau;
  bureau.add(5, {{"sex", "female"}, {"intake", "2024-01-01"}});
  TableRequest request = request_for_table({"sex", "intake"});
  bool go_on = true;
  request.progress = [&](const Progress&) { return go_on; };
  Table table = REQUIRE_OK(bureau.session.table(request));
  {
    Table::Reader reader = REQUIRE_OK(table.read());
    Held<ArrowArray> batch;
    REQUIRE(REQUIRE_OK(reader.next(batch)));
    for (const ArrowArray* const array :
         {batch.children[0], batch.children[0]->dictionary, batch.children[1]->children[0]}) {
      for (std::int64_t i = 0; i < array->n_buffers; ++i)
        CHECK(reinterpret_cast<std::uintptr_t>(array->buffers[i]) % 64 == 0);  // NOLINT
    }
  }
  go_on = false;
  Table::Reader reader = REQUIRE_OK(table.read());
  ArrowArray batch{};
  CHECK(reader.next(batch).error().code == ErrorCode::kCancelled);
  CHECK(batch.release == nullptr);
}

TEST_CASE("a child moved out of a batch outlives it, as the interface wants") {
  Bureau bureau;
  bureau.add(5, {{"sex", "female"}});
  Table table = REQUIRE_OK(bureau.session.table(request_for_table({"sex"})));
  Held<ArrowArray> column;
  {
    Table::Reader reader = REQUIRE_OK(table.read());
    Held<ArrowArray> batch;
    REQUIRE(REQUIRE_OK(reader.next(batch)));
    static_cast<ArrowArray&>(column) = *batch.children[0];
    batch.children[0]->release = nullptr;
  }
  CHECK(text_at(*column.dictionary, number_at<std::int16_t>(column, 4)) == "female");
}

TEST_CASE("robust: a table whose session is closed, or that asks for what is not there, says so") {
  Bureau bureau;
  bureau.add(1, {{"sex", "female"}});
  CHECK(bureau.session.table(request_for_table({})).error().code == ErrorCode::kUsage);
  CHECK(bureau.session.table(request_for_table({"sex", "sex"})).error().code == ErrorCode::kUsage);
  CHECK(bureau.session.table(request_for_table({"shoe"})).error().code == ErrorCode::kBadInput);
  TableRequest request = request_for_table({"sex"});
  request.type = "car";
  CHECK(bureau.session.table(request).error().code == ErrorCode::kNotFound);
  request = request_for_table({"sex"});
  request.purpose.clear();
  CHECK(bureau.session.table(request).error().code == ErrorCode::kUsage);
  Table empty = REQUIRE_OK(bureau.session.table([] {
    TableRequest out;
    out.type = "visit";
    out.columns = {"reason"};
    out.purpose = "statistics";
    return out;
  }()));
  CHECK(read_table(empty).empty());
  Table table = REQUIRE_OK(bureau.session.table(request_for_table({"sex"})));
  Table::Reader reader = REQUIRE_OK(table.read());
  bureau.session.close();
  ArrowArray batch{};
  CHECK(reader.next(batch).error().code == ErrorCode::kUsage);
}

}  // namespace
}  // namespace casevault::test
