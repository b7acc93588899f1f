// SPDX-License-Identifier: Apache-2.0
#include "bench/sqlcipher.hpp"

#include <dlfcn.h>

#include <array>
#include <stdexcept>

// Of sqlite3.h, whose numbers and signatures never change: the library is loaded, so that this program builds without
// it.
struct sqlite3;
struct sqlite3_stmt;

namespace casevault::bench {
namespace {

constexpr int kRow = 100;
constexpr int kDone = 101;
constexpr int kOpenFlags = 0x2 | 0x4 | 0x8000;  // READWRITE | CREATE | NOMUTEX
constexpr int kBusyMs = 60'000;
constexpr std::size_t kRowsPerTransaction = 1000;

struct Api {
  int (*open_v2)(const char*, sqlite3**, int, const char*);
  int (*close_v2)(sqlite3*);
  const char* (*errmsg)(sqlite3*);
  int (*busy_timeout)(sqlite3*, int);
  int (*prepare_v2)(sqlite3*, const char*, int, sqlite3_stmt**, const char**);
  int (*bind_text)(sqlite3_stmt*, int, const char*, int, void (*)(void*));
  int (*bind_blob)(sqlite3_stmt*, int, const void*, int, void (*)(void*));
  int (*step)(sqlite3_stmt*);
  int (*reset)(sqlite3_stmt*);
  int (*finalize)(sqlite3_stmt*);
  const unsigned char* (*column_text)(sqlite3_stmt*, int);
  int (*column_bytes)(sqlite3_stmt*, int);
};

Api load(const std::filesystem::path& library) {
  void* const handle = ::dlopen(library.c_str(), RTLD_NOW | RTLD_LOCAL);  // kept to the end of the program
  if (handle == nullptr) throw std::runtime_error(std::string("SQLCipher: ") + ::dlerror());
  Api api{};
  const auto find = [&](auto& function, const char* name) {
    function = reinterpret_cast<std::remove_reference_t<decltype(function)>>(::dlsym(handle, name));  // NOLINT
    if (function == nullptr) throw std::runtime_error("SQLCipher: " + library.string() + " has no " + name);
  };
  find(api.open_v2, "sqlite3_open_v2");
  find(api.close_v2, "sqlite3_close_v2");
  find(api.errmsg, "sqlite3_errmsg");
  find(api.busy_timeout, "sqlite3_busy_timeout");
  find(api.prepare_v2, "sqlite3_prepare_v2");
  find(api.bind_text, "sqlite3_bind_text");
  find(api.bind_blob, "sqlite3_bind_blob");
  find(api.step, "sqlite3_step");
  find(api.reset, "sqlite3_reset");
  find(api.finalize, "sqlite3_finalize");
  find(api.column_text, "sqlite3_column_text");
  find(api.column_bytes, "sqlite3_column_bytes");
  return api;
}

class Connection {
 public:
  Connection(const Api& api, const std::filesystem::path& file, const std::string& passphrase, unsigned cache_mib)
      : api_(api) {
    check(api_.open_v2(file.c_str(), &db_, kOpenFlags, nullptr) == 0);
    check(api_.busy_timeout(db_, kBusyMs) == 0);
    run("PRAGMA key = '" + passphrase + "'");
    run("PRAGMA synchronous = FULL");
    if (cache_mib > 0) run("PRAGMA cache_size = -" + std::to_string(cache_mib * 1024));
  }
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;
  ~Connection() { api_.close_v2(db_); }

  [[nodiscard]] const Api& api() const { return api_; }
  [[nodiscard]] sqlite3* get() const { return db_; }
  void check(bool fine) const {
    if (!fine) throw std::runtime_error(std::string("SQLCipher: ") + api_.errmsg(db_));
  }
  /// The first column of the first row, if any.
  std::string run(const std::string& sql);

 private:
  const Api& api_;
  sqlite3* db_ = nullptr;
};

class Statement {
 public:
  Statement(const Connection& connection, const std::string& sql) : connection_(connection) {
    connection.check(connection.api().prepare_v2(connection.get(), sql.c_str(), -1, &statement_, nullptr) == 0);
  }
  Statement(const Statement&) = delete;
  Statement& operator=(const Statement&) = delete;
  ~Statement() { connection_.api().finalize(statement_); }

  void bind(int place, std::string_view text) {
    connection_.check(
        connection_.api().bind_text(statement_, place, text.data(), static_cast<int>(text.size()), nullptr) == 0);
  }
  void bind(int place, std::span<const std::uint8_t> bytes) {
    connection_.check(
        connection_.api().bind_blob(statement_, place, bytes.data(), static_cast<int>(bytes.size()), nullptr) == 0);
  }
  [[nodiscard]] bool step() {
    const int code = connection_.api().step(statement_);
    connection_.check(code == kRow || code == kDone);
    return code == kRow;
  }
  void reset() { connection_.check(connection_.api().reset(statement_) == 0); }
  [[nodiscard]] std::string_view text(int column) const {
    const auto* bytes = reinterpret_cast<const char*>(connection_.api().column_text(statement_, column));  // NOLINT
    return {bytes, static_cast<std::size_t>(connection_.api().column_bytes(statement_, column))};
  }

 private:
  const Connection& connection_;
  sqlite3_stmt* statement_ = nullptr;
};

std::string Connection::run(const std::string& sql) {
  Statement statement(*this, sql);
  std::string out;
  if (statement.step()) out = statement.text(0);
  return out;
}

/// SELECT of one field or all, by id.
class Reader {
 public:
  Reader(const Connection& connection, const Workload& workload, bool all_fields)
      : fields_(all_fields ? kFields : 1), select_(connection, sql(workload, all_fields)) {}
  [[nodiscard]] std::uint64_t read(std::uint32_t row) {
    const auto id = Workload::random_id(row);
    select_.bind(1, id);
    if (!select_.step()) throw std::runtime_error("SQLCipher: a record is missing");
    std::uint64_t sum = 0;
    for (std::size_t field = 0; field < fields_; ++field) {
      sum += mark(select_.text(static_cast<int>(field)), row, field);
    }
    select_.reset();
    return sum;
  }

 private:
  static std::string sql(const Workload& workload, bool all_fields) {
    std::string columns = workload.type().fields[kReadField].name;
    for (std::size_t field = 1; all_fields && field < kFields; ++field)
      columns += ", " + workload.type().fields[field].name;
    return "SELECT " + columns + " FROM person WHERE id = ?";
  }
  std::size_t fields_;
  Statement select_;
};

class SqlCipher final : public Side {
 public:
  SqlCipher(const Workload& workload, const std::filesystem::path& library, unsigned cache_mib)
      : workload_(workload), api_(load(library)), cache_mib_(cache_mib) {}

  Timed import_all(const std::filesystem::path& folder) override {
    std::filesystem::create_directory(folder);
    file_ = folder / "bench.db";
    passphrase_ = "bench passphrase";
    connection_ = connect();
    if (connection_->run("PRAGMA cipher_version").empty()) throw std::runtime_error("SQLCipher: this is plain SQLite");
    if (connection_->run("PRAGMA journal_mode = WAL") != "wal") throw std::runtime_error("SQLCipher: no WAL");
    std::string columns;
    std::string places;
    for (const Field& field : workload_.type().fields) {
      columns += ", " + field.name + " TEXT";
      places += ", ?";
    }
    connection_->run("CREATE TABLE person (id BLOB PRIMARY KEY" + columns + ")");
    connection_->run("CREATE INDEX names ON person (" + workload_.type().fields[0].name + ")");
    connection_->run("CREATE TABLE audit (id INTEGER PRIMARY KEY, line BLOB)");

    Statement insert(*connection_, "INSERT INTO person VALUES (?" + places + ")");
    const auto start = Clock::now();
    for (std::size_t row = 0; row < workload_.size();) {
      connection_->run("BEGIN IMMEDIATE");
      const std::size_t end = std::min(workload_.size(), row + kRowsPerTransaction);
      for (; row < end; ++row) {
        const auto id = Workload::random_id(row);
        insert.bind(1, id);
        for (std::size_t field = 0; field < kFields; ++field) {
          insert.bind(static_cast<int>(field + 2), workload_.value(row, field));
        }
        (void)insert.step();
        insert.reset();
      }
      connection_->run("COMMIT");
    }
    return {microseconds_since(start), workload_.size(), 0};
  }

  Timed read(Rows rows, bool all_fields) override {
    Reader reader(*connection_, workload_, all_fields);
    std::uint64_t sum = 0;
    const auto start = Clock::now();
    connection_->run("BEGIN");
    for (const std::uint32_t row : rows) sum += reader.read(row);
    connection_->run("COMMIT");
    return {microseconds_since(start), rows.size(), sum};
  }

  Timed scan(unsigned, bool check) override {
    std::string sql;
    for (std::size_t field = kIdentifying; field < kFields; ++field)
      sql += (sql.empty() ? "SELECT " : ", ") + workload_.type().fields[field].name;
    Statement select(*connection_, sql + " FROM person ORDER BY rowid");
    std::string out;
    std::vector<std::size_t> ends{0};
    ends.reserve(workload_.size() * (kFields - kIdentifying) + 1);
    out.reserve(workload_.plaintext_bytes());
    const auto start = Clock::now();
    while (select.step()) {
      for (int column = 0; column < static_cast<int>(kFields - kIdentifying); ++column) {
        out += select.text(column);
        ends.push_back(out.size());
      }
    }
    Timed timed{microseconds_since(start), workload_.size(), ends.size() / (kFields - kIdentifying)};
    if (!check) return timed;
    timed.checksum = 0;
    for (std::size_t at = 0; at + 1 < ends.size(); ++at) {
      timed.checksum += mark(std::string_view(out).substr(ends[at], ends[at + 1] - ends[at]),
                             at / (kFields - kIdentifying), kIdentifying + at % (kFields - kIdentifying));
    }
    return timed;
  }

  Timed lookup(Rows rows, bool) override {
    const std::string& name = workload_.type().fields[kReadField].name;
    Statement select(*connection_, "SELECT id, " + name + " FROM person WHERE " + name + " = ?");
    Timed out{0, rows.size(), 0};
    const auto start = Clock::now();
    connection_->run("BEGIN");
    for (const std::uint32_t row : rows) {
      select.bind(1, workload_.value(row, kReadField));
      while (select.step()) out.checksum += select.text(1).empty() ? 0U : 1U;
      select.reset();
    }
    connection_->run("COMMIT");
    out.microseconds = microseconds_since(start);
    return out;
  }

  Timed audit(unsigned callers, Rows rows) override {
    return run_callers(callers, rows.size(), [&](unsigned i) {
      auto caller = std::make_shared<Caller>(*this);
      (void)caller->reader.read(rows[0]);  // derives the key of this connection
      return [caller, mine = share(rows, i, callers)] {
        std::uint64_t sum = 0;
        const std::array<std::uint8_t, kAuditLineBytes> line{};
        for (const std::uint32_t row : mine) {
          caller->insert.bind(1, line);
          (void)caller->insert.step();
          caller->insert.reset();
          sum += caller->reader.read(row);
        }
        return sum;
      };
    });
  }

  Timed reencrypt() override {
    const auto start = Clock::now();
    passphrase_ += " too";
    connection_->run("PRAGMA rekey = '" + passphrase_ + "'");
    return {microseconds_since(start), workload_.size(), 0};
  }

  Timed open(Rows rows) override {
    Timed out{0, rows.size(), 0};
    for (const std::uint32_t row : rows) {
      connection_.reset();
      const auto start = Clock::now();
      connection_ = connect();
      out.checksum += Reader(*connection_, workload_, false).read(row);
      out.microseconds += microseconds_since(start);
    }
    return out;
  }

  void close() override { connection_.reset(); }

 private:
  struct Caller {
    explicit Caller(const SqlCipher& side)
        : connection(side.connect()),
          insert(*connection, "INSERT INTO audit (line) VALUES (?)"),
          reader(*connection, side.workload_, false) {}
    std::unique_ptr<Connection> connection;
    Statement insert;
    Reader reader;
  };

  [[nodiscard]] std::unique_ptr<Connection> connect() const {
    return std::make_unique<Connection>(api_, file_, passphrase_, cache_mib_);
  }

  const Workload& workload_;
  const Api api_;
  const unsigned cache_mib_;
  std::filesystem::path file_;
  std::string passphrase_ = "bench passphrase";
  std::unique_ptr<Connection> connection_;
};

}  // namespace

std::unique_ptr<Side> make_sqlcipher(const Workload& workload, const std::filesystem::path& library,
                                     unsigned cache_mib) {
  return std::make_unique<SqlCipher>(workload, library, cache_mib);
}

}  // namespace casevault::bench
