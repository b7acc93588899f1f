// SPDX-License-Identifier: Apache-2.0
#include "bench/casevault_side.hpp"

#include <casevault/casevault.hpp>

#include <malloc.h>
#include <sys/stat.h>

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <limits>
#include <optional>
#include <stdexcept>

namespace casevault::bench {
namespace {

constexpr std::size_t kRecordsPerDisclosure = 10'000;
constexpr std::size_t kSearchesPerEntry = 1'000;
constexpr std::uint64_t kMemoryEvery = 1000;

/// Resident pages of this process that no file stands behind.
std::size_t own_memory() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("RssAnon:")) return std::stoul(line.substr(8)) * 1024;
  }
  return 0;
}

class Source final : public RowSource {
 public:
  explicit Source(const Workload& workload) : workload_(workload) {
    for (const Field& field : workload.type().fields) fields_.push_back({field.name, {}});
  }
  Result<void> rewind() override {
    row_ = 0;
    return {};
  }
  Result<bool> next(ImportRow& row) override {
    if (row_ % kMemoryEvery == 0) highest_ = std::max(highest_, own_memory());
    if (row_ == workload_.size()) return false;
    for (std::size_t field = 0; field < kFields; ++field) fields_[field].text = workload_.value(row_, field);
    row.fields = fields_;
    row.problem.clear();
    row.number = ++row_;
    return true;
  }
  [[nodiscard]] std::size_t highest_memory() const { return std::max(highest_, own_memory()); }

 private:
  const Workload& workload_;
  std::vector<FieldInput> fields_;
  std::size_t row_ = 0;
  std::size_t highest_ = 0;
};

/// A value as text, as it was imported.
std::string text_of(const Field& field, const ArrowArray& column, std::size_t row) {
  const auto text = [](const ArrowArray& texts, std::size_t at) {
    const auto* const ends = static_cast<const std::int32_t*>(texts.buffers[1]);
    const auto* const data = static_cast<const char*>(texts.buffers[2]);
    return std::string(data + ends[at], data + ends[at + 1]);
  };
  switch (field.type) {
    case FieldType::kCode:
      return text(*column.dictionary,
                  static_cast<std::size_t>(static_cast<const std::int16_t*>(column.buffers[1])[row]));
    case FieldType::kMultiCode: {
      const auto* const ends = static_cast<const std::int32_t*>(column.buffers[1]);
      std::string out;
      for (std::int32_t at = ends[row]; at < ends[row + 1]; ++at)
        out += (out.empty() ? "" : ";") + text(*column.children[0], static_cast<std::size_t>(at));
      return out;
    }
    case FieldType::kDate: {
      const std::chrono::days days(static_cast<const std::int32_t*>(column.children[0]->buffers[1])[row]);
      const std::chrono::year_month_day date{std::chrono::sys_days(days)};
      std::array<char, 16> out{};
      (void)std::snprintf(out.data(), out.size(), "%04d-%02u-%02u", static_cast<int>(date.year()),
                          static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()));
      return out.data();
    }
    case FieldType::kInteger:
      return std::to_string(static_cast<const std::int64_t*>(column.buffers[1])[row]);
    case FieldType::kBoolean:
      return (static_cast<const std::uint8_t*>(column.buffers[1])[row / 8] >> (row % 8) & 1U) != 0 ? "true" : "false";
    case FieldType::kText:
    case FieldType::kBytes:
      break;
  }
  throw std::logic_error("the workload scans no such field");
}

std::uint64_t marks_of(const Workload& workload, const ArrowArray& batch, std::size_t first_row) {
  std::uint64_t sum = 0;
  for (std::size_t field = kIdentifying; field < kFields; ++field) {
    const ArrowArray& column = *batch.children[field - kIdentifying];
    for (std::size_t row = 0; row < static_cast<std::size_t>(batch.length); ++row)
      sum += mark(text_of(workload.type().fields[field], column, row), first_row + row, field);
  }
  return sum;
}

class Impl final : public CasevaultSide {
 public:
  explicit Impl(const Workload& workload) : workload_(workload) {
    one_.push_back(workload.type().fields[kReadField].name);
    for (const Field& field : workload.type().fields) all_.push_back(field.name);
  }

  Timed import_all(const std::filesystem::path& folder) override {
    std::filesystem::create_directory(folder);
    make_vault(folder, workload_.schema());

    ::malloc_trim(0);  // what earlier work left to the allocator would hide growth
    const std::size_t before = own_memory();
    Source source(workload_);
    ImportOptions options;
    options.collect_ids = true;
    const auto start = Clock::now();
    ImportReport report = session_->import_rows(workload_.type().name, source, options).value();
    const double time = microseconds_since(start);
    if (report.imported != workload_.size()) throw std::runtime_error("casevault: rows were refused");
    memory_ = std::max(source.highest_memory(), before) - before;
    ids_ = std::move(report.ids);
    return {time, workload_.size(), 0};
  }

  Timed read(Rows rows, bool all_fields) override {
    std::uint64_t sum = 0;
    const auto start = Clock::now();
    for (std::size_t from = 0; from < rows.size(); from += kRecordsPerDisclosure) {
      sum +=
          disclose(rows.subspan(from, std::min(kRecordsPerDisclosure, rows.size() - from)), all_fields ? all_ : one_);
    }
    return {microseconds_since(start), rows.size(), sum};
  }

  Timed lookup(Rows rows, bool loose) override {
    Timed out{0, rows.size(), 0};
    for (std::size_t from = 0; from < rows.size(); from += kSearchesPerEntry) {
      const Rows some = rows.subspan(from, std::min(kSearchesPerEntry, rows.size() - from));
      const auto start = Clock::now();
      FindRequest request;
      request.type = workload_.type().name;
      request.purpose = "support";
      request.loose = loose;
      for (const std::uint32_t row : some)
        request.searches.push_back({{workload_.type().fields[kReadField].name, workload_.value(row, kReadField)}});
      const FindResult result = session_->find(request).value();
      out.microseconds += microseconds_since(start);
      for (std::size_t i = 0; i < some.size(); ++i) {
        for (const FindResult::Hit& hit : result.answers[i].matches) out.checksum += hit.id == ids_[some[i]] ? 1U : 0U;
      }
    }
    return out;
  }

  Timed scan(unsigned callers, bool check) override {
    TableRequest request;
    request.type = workload_.type().name;
    for (std::size_t field = kIdentifying; field < kFields; ++field)
      request.columns.push_back(workload_.type().fields[field].name);
    request.purpose = "support";
    request.recipient = "bench";
    Table table = session_->table(request).value();
    const auto start = Clock::now();
    Table::Reader reader = table.read().value();
    const double decided = microseconds_since(start);
    // Which batch is which shows in its rows only where batches are taken one after another.
    Timed out = run_callers(check ? 1 : callers, workload_.size(), [&](unsigned) {
      return [&] {
        std::uint64_t sum = 0;
        std::size_t row = 0;
        for (ArrowArray batch{}; reader.next(batch).value(); batch.release(&batch)) {
          if (check) sum += marks_of(workload_, batch, row);
          row += static_cast<std::size_t>(batch.length);
        }
        return check ? sum : row;
      };
    });
    out.microseconds += decided;
    return out;
  }

  void import_without_index(const std::filesystem::path& folder) override {
    Impl other(workload_);
    std::filesystem::create_directory(folder);
    other.make_vault(folder, workload_.schema_without_index());
    Source source(workload_);
    if (other.session_->import_rows(workload_.type().name, source).value().imported != workload_.size())
      throw std::runtime_error("casevault: rows were refused");
    other.close();
  }

  Timed audit(unsigned callers, Rows rows) override {
    return run_callers(callers, rows.size(), [&](unsigned i) {
      return [&, mine = share(rows, i, callers)] {
        std::uint64_t sum = 0;
        for (std::size_t at = 0; at < mine.size(); ++at) sum += disclose(mine.subspan(at, 1), one_);
        return sum;
      };
    });
  }

  Timed reencrypt() override {
    const auto start = Clock::now();
    for (const Compartment& compartment : workload_.schema().compartments())
      (void)session_->rotate(compartment.name).value();
    const Reencryption done = session_->reencrypt().value();
    const double time = microseconds_since(start);
    if (!done.finished) throw std::runtime_error("casevault: something is left under old keys");
    return {time, workload_.size(), 0};
  }

  Timed open(Rows rows) override {
    remember();
    Timed out{0, rows.size(), 0};
    for (std::size_t at = 0; at < rows.size(); ++at) {
      session_.reset();
      const auto start = Clock::now();
      session_ = open_vault();
      out.checksum += disclose(rows.subspan(at, 1), one_);
      out.microseconds += microseconds_since(start);
    }
    return out;
  }

  Timed verify() override {
    const auto start = Clock::now();
    const VerifyReport report = session_->verify_log().value();
    const double time = microseconds_since(start);
    if (!report.ok) throw std::runtime_error("casevault: the log does not verify: " + report.reason);
    return {time, report.size, 0};
  }

  Timed open_unremembered() override {
    session_.reset();
    const std::filesystem::path data = vault_ / "data.mdb";
    std::filesystem::last_write_time(data, std::filesystem::file_time_type::clock::now());
    const auto start = Clock::now();
    session_ = open_vault();
    return {microseconds_since(start), std::filesystem::file_size(data), 0};
  }

  void close() override {
    session_.reset();
    identity_.reset();
  }

  [[nodiscard]] std::size_t import_memory() const override { return memory_; }

 private:
  void make_vault(const std::filesystem::path& folder, const Schema& schema) {
    vault_ = folder / "vault";
    const Passphrase passphrase(SecretBytes::copy(as_bytes("bench passphrase")));
    InitOptions init;
    init.identity_file = folder / "identity";
    init.state_folder = options_.state_folder = folder / "state";
    init.slot_cost = {1, 64};
    (void)Session::init(vault_, schema, passphrase, init).value();
    identity_ = Identity::open(init.identity_file, passphrase).value();
    session_ = open_vault();
  }

  [[nodiscard]] Session open_vault() const { return Session::open(vault_, *identity_, options_).value(); }

  /// A database that changed in the last two seconds is not remembered as checked.
  void remember() {
    session_.reset();
    struct stat data{};
    if (::stat((vault_ / "data.mdb").c_str(), &data) != 0) throw std::runtime_error("casevault: no database");
    const std::chrono::system_clock::time_point changed(std::chrono::seconds(data.st_ctim.tv_sec));
    std::this_thread::sleep_until(changed + std::chrono::milliseconds(3100));
    session_ = open_vault();
  }

  [[nodiscard]] std::uint64_t disclose(Rows rows, const std::vector<std::string>& fields) {
    DisclosureRequest request;
    request.ids.reserve(rows.size());
    for (const std::uint32_t row : rows) request.ids.push_back(ids_[row]);
    request.fields = fields;
    request.purpose = "support";
    request.recipient = "bench";
    Disclosure disclosure = session_->disclose(request).value();
    std::uint64_t sum = 0;
    for (const std::uint32_t row : rows) {
      const Disclosure::Record* const record = disclosure.next().value();
      if (record == nullptr || record->id != ids_[row]) throw std::runtime_error("casevault: another record came");
      for (std::size_t field = 0; field < fields.size(); ++field) {
        sum += mark(record->values[field].value_or(std::string_view()), row, field);
      }
    }
    return sum;
  }

  const Workload& workload_;
  std::vector<std::string> one_;
  std::vector<std::string> all_;
  std::filesystem::path vault_;
  OpenOptions options_;
  std::optional<Identity> identity_;
  std::optional<Session> session_;
  std::vector<RecordId> ids_;
  std::size_t memory_ = 0;
};

static_assert(kReadField == 0, "the one field is the first of all");

}  // namespace

std::unique_ptr<CasevaultSide> make_casevault(const Workload& workload) { return std::make_unique<Impl>(workload); }

}  // namespace casevault::bench
