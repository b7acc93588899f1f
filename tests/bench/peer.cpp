// SPDX-License-Identifier: Apache-2.0
/// What python_bench.py compares with: makes the vault that both read, then does in C++ what it is told on stdin, a
/// line each, and answers with microseconds an operation and how many bytes it has seen.
#include "bench/workload.hpp"

#include <casevault/casevault.hpp>

#include <ctime>

#include <algorithm>
#include <iostream>
#include <optional>
#include <stdexcept>

namespace casevault::bench {
namespace {

constexpr std::size_t kRecordsPerDisclosure = 10'000;

double microseconds_now() {
  timespec now{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) * 1e6 + static_cast<double>(now.tv_nsec) / 1e3;
}

std::uint64_t characters_of(std::string_view text) {
  return static_cast<std::uint64_t>(std::ranges::count_if(text, [](char c) { return (c & 0xC0) != 0x80; }));
}

struct Seen {
  double microseconds = 0;  ///< an operation
  std::uint64_t sum = 0;
};

class Source final : public RowSource {
 public:
  explicit Source(const Workload& workload) : workload_(workload) {}
  Result<void> rewind() override {
    row_ = 0;
    return {};
  }
  Result<bool> next(ImportRow& row) override {
    if (row_ == workload_.size()) return false;
    row.fields.clear();
    for (std::size_t field = 0; field < kFields; ++field)
      row.fields.push_back({.name = workload_.type().fields[field].name, .text = workload_.value(row_, field)});
    row.number = ++row_;
    return true;
  }

 private:
  const Workload& workload_;
  std::size_t row_ = 0;
};

class Peer {
 public:
  Peer(const std::filesystem::path& folder, const Workload& workload) : workload_(workload) {
    const Passphrase passphrase(SecretBytes::copy(as_bytes("bench passphrase")));
    InitOptions init;
    init.identity_file = folder / "identity";
    init.state_folder = folder / "state";
    init.slot_cost = {.passes = 1, .memory_mib = 64};
    (void)Session::init(folder / "vault", workload.schema(), passphrase, init).value();
    const Identity identity = Identity::open(init.identity_file, passphrase, init.state_folder).value();
    OpenOptions open;
    open.state_folder = init.state_folder;
    session_ = Session::open(folder / "vault", identity, open).value();
    Source source(workload);
    ImportOptions options;
    options.collect_ids = true;
    ids_ = session_->import_rows(workload.type().name, source, options).value().ids;
  }

  /// All coded columns, batch by batch, in one thread.
  Seen table() {
    std::uint64_t rows = 0;
    const double start = microseconds_now();
    TableRequest request;
    request.type = workload_.type().name;
    for (std::size_t field = kIdentifying; field < kFields; ++field)
      request.columns.push_back(workload_.type().fields[field].name);
    request.purpose = "support";
    Table table = session_->table(request).value();
    Table::Reader reader = table.read().value();
    ArrowArray batch{};
    while (reader.next(batch).value()) {
      rows += static_cast<std::uint64_t>(batch.length);
      batch.release(&batch);
    }
    return {.microseconds = (microseconds_now() - start) / static_cast<double>(ids_.size()), .sum = rows};
  }

  /// One field of `count` records, many of them under one entry.
  Seen field(std::size_t count) {
    std::uint64_t characters = 0;
    const double start = microseconds_now();
    for (std::size_t from = 0; from < count; from += kRecordsPerDisclosure) {
      const std::size_t to = std::min(count, from + kRecordsPerDisclosure);
      DisclosureRequest request;
      request.ids.assign(ids_.begin() + static_cast<std::ptrdiff_t>(from),
                         ids_.begin() + static_cast<std::ptrdiff_t>(to));
      request.fields = {workload_.type().fields[kReadField].name};
      request.purpose = "support";
      request.recipient = "bench";
      Disclosure disclosure = session_->disclose(request).value();
      while (const Disclosure::Record* const record = disclosure.next().value())
        characters += characters_of(record->values.front().value_or(std::string_view()));
    }
    return {.microseconds = (microseconds_now() - start) / static_cast<double>(count), .sum = characters};
  }

 private:
  const Workload& workload_;
  std::optional<Session> session_;
  std::vector<RecordId> ids_;
};

void run(const std::filesystem::path& folder, std::size_t records) {
  const Workload workload(records);
  Peer peer(folder, workload);
  std::cout << "ready" << std::endl;
  std::size_t count = 0;
  for (std::string what; std::cin >> what >> count;) {
    const Seen seen = what == "table" ? peer.table() : peer.field(std::min(count, records));
    std::cout << seen.microseconds << ' ' << seen.sum << std::endl;
  }
}

}  // namespace
}  // namespace casevault::bench

int main(int argc, char** argv) {
  try {
    if (argc != 3) throw std::invalid_argument("usage: casevault_bench_peer FOLDER RECORDS");
    casevault::bench::run(argv[1], std::stoul(argv[2]));
    return 0;
  } catch (const std::exception& failure) {
    std::cerr << "bench peer: " << failure.what() << "\n";
    return 1;
  }
}
