// SPDX-License-Identifier: Apache-2.0
/// The same work three ways, in rounds: what casevault takes, what the primitives alone take, what SQLCipher takes.
#include "bench/casevault_side.hpp"
#include "bench/limit.hpp"
#include "bench/sqlcipher.hpp"
#include "support/temp_folder.hpp"

#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <cstdlib>
#include <iomanip>
#include <iostream>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <stdexcept>

namespace casevault::bench {
namespace {

using Json = nlohmann::ordered_json;

enum Contender : std::size_t { kLimit, kCasevault, kSqlcipher, kSqlcipherCached, kContenders };
constexpr std::array<std::string_view, kContenders> kNames = {"limit", "casevault", "sqlcipher", "sqlcipher_cached"};
constexpr std::array<std::string_view, 13> kOperations = {"import",    "field",  "record",  "lookup",  "loose",
                                                          "scan",      "scan2",  "audit-1", "audit-8", "audit-64",
                                                          "reencrypt", "verify", "open"};
/// What performance bars speak of and casevault does not do: nobody does it here.
constexpr std::array<std::string_view, 2> kAbsent = {"erase", "doctor"};
constexpr std::size_t kReads = 20'000;
constexpr std::size_t kOpens = 20;
constexpr unsigned kCacheMib = 256;
constexpr std::size_t kScaleFrom = 1'000'000;
constexpr unsigned kScaleFactor = 10;

struct Options {
  std::size_t records = 100'000;
  unsigned rounds = 5;
  bool json = false;
  std::string folder;
  std::string sqlcipher;
};

/// One number a round.
using Series = std::vector<double>;

double median(Series values) {
  if (values.empty()) throw std::logic_error("no rounds");
  std::ranges::sort(values);
  const std::size_t half = values.size() / 2;
  return values.size() % 2 == 1 ? values[half] : (values[half - 1] + values[half]) / 2;
}

/// Median of the quotients within a round.
double median_ratio(const Series& over, const Series& under) {
  Series out;
  for (std::size_t i = 0; i < std::min(over.size(), under.size()); ++i) out.push_back(over[i] / under[i]);
  return median(std::move(out));
}

struct Results {
  struct Operation {
    std::size_t n = 0;
    std::array<Series, kContenders> microseconds;
  };
  std::map<std::string_view, Operation> operations;
  std::array<Series, kContenders> disk;  ///< bytes per byte of plaintext
  Series preflight;                      ///< bytes a second
  double disk_without_index = 0;         ///< of casevault, in the first round
  double import_memory = 0;              ///< of the first round: later ones reuse what the allocator kept

  [[nodiscard]] const Series& of(std::string_view operation, Contender who) const {
    return operations.at(operation).microseconds.at(who);
  }
};

double bytes_on_disk(const std::filesystem::path& folder) {
  std::uint64_t blocks = 0;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder)) {
    struct stat st{};
    if (entry.is_regular_file() && ::stat(entry.path().c_str(), &st) == 0) {
      blocks += static_cast<std::uint64_t>(st.st_blocks);
    }
  }
  return static_cast<double>(blocks) * 512;
}

std::uint64_t expected(const Workload& workload, Rows rows, bool all_fields) {
  std::uint64_t sum = 0;
  for (const std::uint32_t row : rows) {
    for (std::size_t field = 0; field < (all_fields ? kFields : 1); ++field) {
      sum += mark(workload.value(row, field), row, field);
    }
  }
  return sum;
}

/// All rounds over one workload. Each operation goes through the sides in turn, so that a slow moment of the machine
/// hits all of them.
class Rounds {
 public:
  Rounds(const Workload& workload, const Options& options) : workload_(workload), options_(options) {
    auto casevault = make_casevault(workload);
    casevault_ = casevault.get();
    sides_[kLimit] = make_limit(workload);
    sides_[kCasevault] = std::move(casevault);
    if (!options.sqlcipher.empty()) {
      sides_[kSqlcipher] = make_sqlcipher(workload, options.sqlcipher, 0);
      sides_[kSqlcipherCached] = make_sqlcipher(workload, options.sqlcipher, kCacheMib);
    }
  }

  Results run() {
    for (unsigned round = 0; round < options_.rounds; ++round) {
      std::cerr << workload_.size() << " records, round " << round + 1 << " of " << options_.rounds << ":"
                << std::flush;
      run_round(round == 0);
      std::cerr << "\n";
    }
    return std::move(results_);
  }

 private:
  template <typename Step>
  void each(std::string_view operation, std::size_t contenders, const Step& step) {
    std::cerr << " " << operation << std::flush;
    for (std::size_t who = 0; who < contenders; ++who) {
      if (!sides_[who]) continue;
      const Timed timed = step(who);
      Results::Operation& result = results_.operations[operation];
      result.n = std::max(result.n, timed.operations);
      result.microseconds[who].push_back(timed.each());
    }
  }

  Timed checked(const Timed& timed, Rows rows, bool all_fields) const {
    if (timed.checksum != expected(workload_, rows, all_fields)) throw std::runtime_error("a wrong value was read");
    return timed;
  }

  void read(std::string_view operation, Rows rows, bool all_fields) {
    each(operation, kContenders, [&](std::size_t who) {
      (void)sides_[who]->read(rows, all_fields);  // everything hot
      return checked(sides_[who]->read(rows, all_fields), rows, all_fields);
    });
  }

  void lookup(std::string_view operation, Rows rows, bool loose) {
    each(operation, loose ? kCasevault + 1 : kContenders, [&](std::size_t who) {
      (void)sides_[who]->lookup(rows, loose);
      const Timed timed = sides_[who]->lookup(rows, loose);
      if (timed.checksum < rows.size()) throw std::runtime_error("a record was not found by its name");
      return timed;
    });
  }

  /// The limit and SQLCipher have one thread for it: bars for both cores hold casevault's two against their one.
  void scan(std::string_view operation, unsigned callers) {
    each(operation, kContenders, [&](std::size_t who) {
      std::uint64_t all = 0;
      for (std::size_t row = 0; row < workload_.size(); ++row) {
        for (std::size_t field = kIdentifying; field < kFields; ++field)
          all += mark(workload_.value(row, field), row, field);
      }
      if (sides_[who]->scan(callers, true).checksum != all) throw std::runtime_error("a wrong value was read");
      const Timed timed = sides_[who]->scan(callers, false);
      if (timed.checksum != workload_.size()) throw std::runtime_error("a scan has not read every record");
      return timed;
    });
  }

  void audit(std::string_view operation, unsigned callers, std::size_t times) {
    // SQLCipher has no group commit: 64 callers wait for one another for minutes.
    each(operation, callers > 8 ? kSqlcipher : kContenders, [&](std::size_t who) {
      const auto rows = workload_.sample(times);
      return checked(sides_[who]->audit(callers, rows), rows, false);
    });
  }

  void run_round(bool first) {
    const test::TempFolder& folder = folder_.emplace();
    each("import", kContenders, [&](std::size_t who) {
      const std::filesystem::path place = folder / kNames[who];
      const Timed timed = sides_[who]->import_all(place);
      results_.disk[who].push_back(bytes_on_disk(place) / static_cast<double>(workload_.plaintext_bytes()));
      return timed;
    });
    if (first) {
      results_.import_memory = static_cast<double>(casevault_->import_memory());
      const std::filesystem::path place = folder / "casevault_without_index";
      casevault_->import_without_index(place);
      results_.disk_without_index = bytes_on_disk(place) / static_cast<double>(workload_.plaintext_bytes());
      std::filesystem::remove_all(place);
    }
    const auto rows = workload_.sample(kReads);
    read("field", rows, false);
    read("record", rows, true);
    lookup("lookup", rows, false);
    lookup("loose", rows, true);
    scan("scan", 1);
    scan("scan2", 2);
    audit("audit-1", 1, 1000);
    audit("audit-8", 8, 4000);
    audit("audit-64", 64, 8000);
    each("reencrypt", kContenders, [&](std::size_t who) {
      const Timed timed = sides_[who]->reencrypt();
      (void)checked(sides_[who]->read(rows, true), rows, true);
      if (sides_[who]->lookup(rows, false).checksum < rows.size())
        throw std::runtime_error("a record is not found by its name any more");
      return timed;
    });

    const Timed verified = casevault_->verify();
    each("verify", kCasevault + 1,
         [&](std::size_t who) { return who == kLimit ? hash_tree(verified.operations) : verified; });
    each("open", kContenders, [&](std::size_t who) {
      const auto some = workload_.sample(who < kSqlcipher ? kOpens : 1);
      return checked(sides_[who]->open(some), some, false);
    });
    const Timed unremembered = casevault_->open_unremembered();
    results_.preflight.push_back(1e6 / unremembered.each());
    for (const auto& side : sides_) {
      if (side) side->close();
    }
    folder_.reset();
  }

  const Workload& workload_;
  const Options& options_;
  std::optional<test::TempFolder> folder_;  ///< outlives the sides, which write until they are gone
  std::array<std::unique_ptr<Side>, kContenders> sides_;
  CasevaultSide* casevault_ = nullptr;
  Results results_;
};

struct Bar {
  std::string name;
  double value = 0;
  double bound = 0;
  bool at_most = true;
  [[nodiscard]] bool met() const { return at_most ? value <= bound : value >= bound; }
};

void add_limit_bars(const Results& results, std::vector<Bar>& bars) {
  constexpr std::array<std::pair<std::string_view, double>, 12> kBounds = {{{"import", 2.5},
                                                                            {"lookup", 6},
                                                                            {"loose", 15},
                                                                            {"field", 1.8},
                                                                            {"record", 1.8},
                                                                            {"scan", 1.8},
                                                                            {"scan2", 1.0},
                                                                            {"audit-1", 1.45},
                                                                            {"audit-8", 1.6},
                                                                            {"audit-64", 2.2},
                                                                            {"reencrypt", 3},
                                                                            {"open", 10}}};
  for (const auto& [operation, bound] : kBounds) {
    bars.push_back({std::string(operation) + " against the limit",
                    median_ratio(results.of(operation, kCasevault), results.of(operation, kLimit)), bound});
  }
}

void add_sqlcipher_bars(const Results& results, std::vector<Bar>& bars) {
  struct Bound {
    std::string_view operation;
    Contender than;
    double faster;
  };
  constexpr std::array<Bound, 11> kBounds = {{{"import", kSqlcipher, 2},
                                              {"import", kSqlcipherCached, 1},
                                              {"field", kSqlcipher, 12},
                                              {"field", kSqlcipherCached, 1.5},
                                              {"record", kSqlcipher, 4},
                                              {"lookup", kSqlcipher, 4},
                                              {"scan", kSqlcipher, 2.4},
                                              {"scan2", kSqlcipherCached, 1},
                                              {"audit-1", kSqlcipher, 1.4},
                                              {"audit-8", kSqlcipher, 8},
                                              {"open", kSqlcipher, 50}}};
  for (const Bound& bound : kBounds) {
    const Series& theirs = results.of(bound.operation, bound.than);
    if (theirs.empty()) continue;
    const std::string_view who = bound.than == kSqlcipher ? "SQLCipher" : "SQLCipher, all cached";
    bars.push_back({std::string(bound.operation) + " faster than " + std::string(who),
                    median_ratio(theirs, results.of(bound.operation, kCasevault)), bound.faster, false});
  }
}

void add_scale_bars(const Results& results, const Results& smaller, std::vector<Bar>& bars) {
  constexpr std::array<std::pair<std::string_view, double>, 4> kBounds = {
      {{"import", 2.0}, {"field", 1.8}, {"record", 1.8}, {"open", 1.3}}};
  for (const auto& [operation, bound] : kBounds) {
    bars.push_back({std::string(operation) + " against a tenth of the records",
                    median(results.of(operation, kCasevault)) / median(smaller.of(operation, kCasevault)), bound});
  }
}

std::vector<Bar> bars_of(const Results& results, const std::optional<Results>& smaller) {
  std::vector<Bar> bars;
  add_limit_bars(results, bars);
  add_sqlcipher_bars(results, bars);
  if (const Series& theirs = results.of("reencrypt", kSqlcipher); !theirs.empty()) {
    bars.push_back(
        {"reencrypt against SQLCipher's, offline", median_ratio(results.of("reencrypt", kCasevault), theirs), 2.5});
  }
  bars.push_back({"bytes on disk / plaintext, no index", results.disk_without_index, 2.4});
  bars.push_back({"bytes on disk / plaintext, name index", median(results.disk[kCasevault]), 3.2});
  bars.push_back({"full pre-flight at open, GB/s", median(results.preflight) / 1e9, 0.5, false});
  bars.push_back({"memory of import, MiB", results.import_memory / (1U << 20U), 128});
  bars.push_back(
      {"audit verify, leaves/s, signatures included", 1e6 / median(results.of("verify", kCasevault)), 1e6, false});
  if (smaller) add_scale_bars(results, *smaller, bars);
  return bars;
}

Json to_json(const Results& results, const std::vector<Bar>& bars, const Options& options) {
  Json out;
  out["records"] = options.records;
  out["rounds"] = options.rounds;
  out["rows"] = Json::array();
  for (const std::string_view operation : kOperations) {
    Json row = {{"operation", operation}, {"n", results.operations.at(operation).n}};
    for (std::size_t who = 0; who < kContenders; ++who) {
      const Series& series = results.of(operation, static_cast<Contender>(who));
      row[std::string(kNames[who]) + "_us"] = series.empty() ? Json() : Json(median(series));
    }
    row["ratio"] = median_ratio(results.of(operation, kCasevault), results.of(operation, kLimit));
    out["rows"].push_back(std::move(row));
  }
  for (std::size_t who = 0; who < kContenders; ++who) {
    const Series& series = results.disk[who];
    out["disk_per_plaintext"][std::string(kNames[who])] = series.empty() ? Json() : Json(median(series));
  }
  out["bars"] = Json::array();
  for (const Bar& bar : bars) {
    out["bars"].push_back({{"name", bar.name},
                           {"met", bar.met()},
                           {"value", bar.value},
                           {bar.at_most ? "at_most" : "at_least", bar.bound}});
  }
  out["disk_per_plaintext"]["casevault_without_index"] = results.disk_without_index;
  out["absent"] = kAbsent;
  return out;
}

/// Three digits that matter.
std::string number(const Json& value) {
  if (value.is_null()) return "-";
  const auto x = value.get<double>();
  std::ostringstream out;
  out << std::fixed << std::setprecision(x < 10 ? 2 : x < 100 ? 1 : 0) << x;
  return out.str();
}

void print_table(const Json& json) {
  std::cout << "Microseconds an operation, medians of " << json["rounds"] << " rounds, " << json["records"]
            << " records\n\n"
            << std::left << std::setw(10) << "operation" << std::right << std::setw(9) << "n" << std::setw(10)
            << "limit" << std::setw(11) << "casevault" << std::setw(9) << "ratio" << std::setw(11) << "SQLCipher"
            << std::setw(12) << "all cached" << "\n";
  for (const Json& row : json["rows"]) {
    std::cout << std::left << std::setw(10) << row["operation"].get<std::string>() << std::right << std::setw(9)
              << row["n"] << std::setw(10) << number(row["limit_us"]) << std::setw(11) << number(row["casevault_us"])
              << std::setw(9) << number(row["ratio"]) << std::setw(11) << number(row["sqlcipher_us"]) << std::setw(12)
              << number(row["sqlcipher_cached_us"]) << "\n";
  }
  std::cout << "\nBars\n";
  for (const Json& bar : json["bars"]) {
    const bool at_most = bar.contains("at_most");
    std::cout << (bar["met"].get<bool>() ? "  met     " : "  MISSED  ") << std::left << std::setw(46)
              << bar["name"].get<std::string>() << std::right << std::setw(10) << number(bar["value"])
              << (at_most ? "  at most  " : "  at least ") << number(bar[at_most ? "at_most" : "at_least"]) << "\n";
  }
  std::cout << "\nNot built, so compared with nothing:";
  for (const Json& name : json["absent"])
    std::cout << (&name == &json["absent"][0] ? " " : ", ") << name.get<std::string>();
  std::cout << "\n";
}

void run(const Options& options) {
  if (!options.folder.empty()) ::setenv("TMPDIR", options.folder.c_str(), 1);
  struct statfs place{};
  if (::statfs(std::filesystem::temp_directory_path().c_str(), &place) == 0 && place.f_type == TMPFS_MAGIC) {
    std::cerr << "the data lies in memory, where a flush costs nothing: --dir names a real disk\n";
  }
  if (options.sqlcipher.empty()) std::cerr << "SQLCipher is left out: no library of it was given\n";
  std::optional<Results> smaller;
  if (options.records >= kScaleFrom) {
    const Workload workload(options.records / kScaleFactor);
    Options alone = options;
    alone.sqlcipher.clear();
    smaller = Rounds(workload, alone).run();
  }
  const Workload workload(options.records);
  const Results results = Rounds(workload, options).run();
  const Json json = to_json(results, bars_of(results, smaller), options);
  options.json ? static_cast<void>(std::cout << json.dump(2) << "\n") : print_table(json);
}

}  // namespace
}  // namespace casevault::bench

int main(int argc, char** argv) {
  casevault::bench::Options options;
  CLI::App app("Times casevault against its primitives alone and against SQLCipher.");
  app.add_option("N", options.records, "records; from a million on, a tenth of them is timed too")
      ->check(CLI::Range(100UL, 20'000'000UL));
  app.add_flag("--json", options.json, "only JSON on stdout");
  app.add_option("--rounds", options.rounds, "rounds")->check(CLI::Range(1U, 1000U));
  app.add_option("--dir", options.folder, "where the data goes, on a real disk (default: TMPDIR, else /tmp)")
      ->check(CLI::ExistingDirectory);
  app.add_option("--sqlcipher", options.sqlcipher, "shared library of SQLCipher 4")->check(CLI::ExistingFile);
  CLI11_PARSE(app, argc, argv);
  try {
    casevault::bench::run(options);
    return 0;
  } catch (const std::exception& failure) {
    std::cerr << "\nbench: " << failure.what() << "\n";
    return 1;
  }
}
