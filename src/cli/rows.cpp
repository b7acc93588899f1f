// SPDX-License-Identifier: Apache-2.0
#include "cli/rows.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <toml++/toml.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace casevault::cli {
namespace {

constexpr std::size_t kMaxRow = 64U << 20U;  // a row is held in memory as a whole
constexpr std::size_t kMaxColumns = 4096;
constexpr std::size_t kChunk = 64U << 10U;

bool valid_utf8(std::string_view text) noexcept {
  const ByteView bytes = as_bytes(text);
  for (std::size_t i = 0; i < bytes.size();) {
    const std::uint8_t lead = bytes[i++];
    if (lead < 0x80) continue;
    if (lead < 0xC2 || lead > 0xF4) return false;
    const std::size_t more = lead >= 0xF0 ? 3 : lead >= 0xE0 ? 2 : 1;
    if (bytes.size() - i < more) return false;
    // The second byte carries the limits: no overlong forms, no surrogates, nothing above U+10FFFF.
    const std::uint8_t low = lead == 0xE0 ? 0xA0 : lead == 0xF0 ? 0x90 : 0x80;
    const std::uint8_t high = lead == 0xED ? 0x9F : lead == 0xF4 ? 0x8F : 0xBF;
    if (bytes[i] < low || bytes[i] > high) return false;
    for (std::size_t k = 1; k < more; ++k) {
      if ((bytes[i + k] & 0xC0U) != 0x80U) return false;
    }
    i += more;
  }
  return true;
}

void append_utf8(SecretBuffer& out, std::uint32_t c) {
  const auto put = [&](std::uint32_t byte) { out.push(static_cast<char>(byte)); };
  if (c < 0x80) return put(c);
  if (c < 0x800) return put(0xC0U | c >> 6U), put(0x80U | (c & 0x3FU));
  if (c < 0x10000) return put(0xE0U | c >> 12U), put(0x80U | (c >> 6U & 0x3FU)), put(0x80U | (c & 0x3FU));
  put(0xF0U | c >> 18U), put(0x80U | (c >> 12U & 0x3FU)), put(0x80U | (c >> 6U & 0x3FU)), put(0x80U | (c & 0x3FU));
}

/// Recursive descent over one flat object; `problem` is set once and ends it.
class FlatParser {
 public:
  FlatParser(std::string_view json, SecretBuffer& text) : json_(json), text_(text) {}

  std::string parse(std::vector<FieldInput>& fields) {
    skip();
    if (!take('{')) return "not a JSON object";
    skip();
    if (!take('}')) {
      do {
        skip();
        const auto key = string();
        if (!key) return where();
        skip();
        if (!take(':')) return fail("no ':' after a name"), where();
        skip();
        const auto value = scalar();
        if (!value) return where();
        if (fields.size() == kMaxColumns) return "more than " + std::to_string(kMaxColumns) + " names";
        fields.push_back({*key, *value});
        skip();
      } while (take(','));
      if (!take('}')) return fail("no ',' or '}' after a value"), where();
    }
    skip();
    if (at_ != json_.size()) return fail("text after the object"), where();
    return {};
  }

 private:
  using Text = std::optional<std::string_view>;

  [[nodiscard]] std::string where() const {
    return "not a JSON object at byte " + std::to_string(at_ + 1) + ": " + problem_;
  }
  Text fail(std::string_view problem) {
    if (problem_.empty()) problem_ = problem;
    return std::nullopt;
  }
  [[nodiscard]] char now() const noexcept { return at_ < json_.size() ? json_[at_] : '\0'; }
  bool take(char c) noexcept { return now() == c && at_ < json_.size() ? (++at_, true) : false; }
  bool take(std::string_view word) noexcept {
    if (json_.substr(at_, word.size()) != word) return false;
    at_ += word.size();
    return true;
  }
  void skip() noexcept {
    while (at_ < json_.size() && (now() == ' ' || now() == '\t' || now() == '\n' || now() == '\r')) ++at_;
  }
  bool digits() noexcept {
    const std::size_t begin = at_;
    while (now() >= '0' && now() <= '9') ++at_;
    return at_ != begin;
  }

  Text scalar() {
    if (now() == '"') return string();
    if (take("null")) return std::string_view{};
    if (take("true")) return "true";
    if (take("false")) return "false";
    if (now() == '{' || now() == '[') return fail("a nested value; only strings, numbers and booleans are taken");
    const std::size_t begin = at_;
    take('-');
    if (!take('0') && !digits()) return fail("not a string, number, boolean or null");
    if (take('.') && !digits()) return fail("a malformed number");
    if (take('e') || take('E')) {
      if (!take('+')) take('-');
      if (!digits()) return fail("a malformed number");
    }
    return json_.substr(begin, at_ - begin);
  }

  Text string() {
    if (!take('"')) return fail("no quoted name");
    const std::size_t begin = text_.size();
    while (at_ < json_.size()) {
      const char c = json_[at_++];
      if (c == '"') return text_.text().substr(begin);
      if (static_cast<unsigned char>(c) < 0x20) return fail("a control character inside a string");
      if (c != '\\') {
        text_.push(c);
      } else if (!escape()) {
        return std::nullopt;
      }
    }
    return fail("an unterminated string");
  }

  bool escape() {
    constexpr std::string_view kNames = "\"\\/bfnrt";
    constexpr std::string_view kMeant = "\"\\/\b\f\n\r\t";
    if (take('u')) {
      auto c = hex4();
      if (c && *c >= 0xD800 && *c < 0xDC00) {
        const auto low = take("\\u") ? hex4() : std::nullopt;
        if (!low || *low < 0xDC00 || *low > 0xDFFF) return fail("half of a surrogate pair"), false;
        c = 0x10000 + ((*c - 0xD800) << 10U) + (*low - 0xDC00);
      } else if (c && *c >= 0xDC00 && *c <= 0xDFFF) {
        return fail("half of a surrogate pair"), false;
      }
      if (!c) return fail("a malformed \\u escape"), false;
      if (*c == 0) return fail("a NUL character"), false;
      append_utf8(text_, *c);
      return true;
    }
    const std::size_t name = at_ < json_.size() ? kNames.find(json_[at_]) : std::string_view::npos;
    if (name == std::string_view::npos) return fail("an unknown escape"), false;
    ++at_;
    text_.push(kMeant[name]);
    return true;
  }

  std::optional<std::uint32_t> hex4() {
    std::uint32_t value = 0;
    if (json_.size() - at_ < 4) return std::nullopt;
    for (int i = 0; i < 4; ++i) {
      const char c = json_[at_++];
      const int digit = c >= '0' && c <= '9'   ? c - '0'
                        : c >= 'a' && c <= 'f' ? c - 'a' + 10
                        : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                               : -1;
      if (digit < 0) return std::nullopt;
      value = value << 4U | static_cast<std::uint32_t>(digit);
    }
    return value;
  }

  std::string_view json_;
  SecretBuffer& text_;
  std::size_t at_ = 0;
  std::string problem_;
};

/// The field that is named twice, or an empty view.
std::string_view repeated(std::vector<std::string_view> names) {
  std::sort(names.begin(), names.end());
  const auto twice = std::adjacent_find(names.begin(), names.end());
  return twice == names.end() ? std::string_view{} : *twice;
}

class CsvRows final : public FileRows {
 public:
  CsvRows(int fd, std::string name, ColumnMap map) : FileRows(fd, std::move(name), std::move(map)) {}

  Result<bool> next(ImportRow& row) override {
    do {
      CASEVAULT_TRY(const bool more, read_record(row_ + 1));
      if (!more) return false;
    } while (blank());
    ++row_;
    row.number = row_;
    row.fields.clear();
    row.problem.clear();
    if (cells_.size() != columns_.size()) {
      row.problem = std::to_string(cells_.size()) + " columns, " + std::to_string(columns_.size()) + " expected";
      return true;
    }
    for (std::size_t i = 0; i < cells_.size(); ++i) {
      if (columns_[i].field) row.fields.push_back({*columns_[i].field, cell(i)});
    }
    return true;
  }

 private:
  struct Cell {
    std::size_t begin = 0;
    std::size_t size = 0;
  };
  [[nodiscard]] std::string_view cell(std::size_t i) const {
    return text_.text().substr(cells_[i].begin, cells_[i].size);
  }
  /// An empty line, which files often end with; in a file of one column it is an empty value.
  [[nodiscard]] bool blank() const {
    return columns_.size() > 1 && cells_.size() == 1 && raw_.text().find_first_not_of("\r\n") == std::string_view::npos;
  }

  Result<void> read_header() override {
    CASEVAULT_TRY(const bool any, read_record(0));
    if (!any) return Error{ErrorCode::kBadInput, name_ + " is empty; it must begin with a header row"};
    if (!columns_.empty()) {  // the second pass
      if (raw_.text() == raw_header_) return {};
      return Error{ErrorCode::kConflict, name_ + " changed while it was read; run the import again"};
    }
    raw_header_ = raw_.text();
    std::vector<std::string_view> fields;
    for (std::size_t i = 0; i < cells_.size(); ++i) {
      const std::string_view column = cell(i);
      if (column.empty()) return bad(std::to_string(i + 1), "the header names no column here");
      const auto field = map_.field_of(column);
      columns_.push_back({std::string(column), field ? std::optional<std::string>(*field) : std::nullopt});
    }
    for (const Column& column : columns_) {
      if (column.field) fields.push_back(*column.field);
    }
    const std::string_view twice = repeated(fields);
    if (!twice.empty()) return bad(twice, "two columns of the header go to this field");
    return {};
  }

  /// The record after this one, into raw_, text_ and cells_. False at the end of the file.
  Result<bool> read_record(std::uint64_t number) {
    enum class State { kStart, kPlain, kQuoted, kClosed };
    raw_.clear();
    text_.clear();
    cells_.clear();
    line_ = next_line_;
    reading_ = number;
    std::size_t begin = 0;
    State state = State::kStart;
    const auto end_cell = [&]() -> Result<void> {
      const std::string_view value = text_.text().substr(begin);
      if (!valid_utf8(value)) return bad_here("not UTF-8; save the file as UTF-8");
      if (cells_.size() == kMaxColumns) return bad_here("more than " + std::to_string(kMaxColumns) + " columns");
      cells_.push_back({begin, value.size()});
      begin = text_.size();
      state = State::kStart;
      return {};
    };
    for (;;) {
      const int byte = get();
      if (byte < 0) {
        CASEVAULT_CHECK(check_read());
        if (raw_.empty()) return false;
        if (state == State::kQuoted) return bad_here("a quote is opened and never closed");
        CASEVAULT_CHECK(end_cell());
        return true;
      }
      const char c = static_cast<char>(byte);
      if (c == '\0') return bad_here("a NUL byte");
      if (raw_.size() == kMaxRow) return bad_here("the row is larger than 64 MiB; is a quote missing?");
      raw_.push(c);
      if (c == '\n') ++next_line_;
      if (state == State::kQuoted) {
        if (c == '"') {
          state = State::kClosed;
        } else {
          text_.push(c);
        }
      } else if (c == ',') {
        CASEVAULT_CHECK(end_cell());
      } else if (c == '\n') {
        CASEVAULT_CHECK(end_cell());
        return true;
      } else if (c == '\r') {
        if (peek() != '\n') return bad_here("a carriage return without line feed outside quotes");
      } else if (c == '"' && state == State::kStart) {
        state = State::kQuoted;
      } else if (c == '"' && state == State::kClosed) {
        text_.push(c);
        state = State::kQuoted;
      } else if (c == '"') {
        return bad_here("a quote inside a value that is not quoted");
      } else if (state == State::kClosed) {
        return bad_here("text after a closing quote");
      } else {
        text_.push(c);
        state = State::kPlain;
      }
    }
  }

  /// The column being read, by its name when the header has one for it.
  [[nodiscard]] Error bad_here(std::string_view what) {
    const std::size_t i = cells_.size();
    const std::uint64_t before = std::exchange(row_, reading_);
    Error error = bad(reading_ != 0 && i < columns_.size() ? columns_[i].name : std::to_string(i + 1), what);
    row_ = before;
    return error;
  }

  std::vector<Cell> cells_;
  std::uint64_t reading_ = 0;
};

class JsonlRows final : public FileRows {
 public:
  JsonlRows(int fd, std::string name, ColumnMap map) : FileRows(fd, std::move(name), std::move(map)) {}

  Result<bool> next(ImportRow& row) override {
    do {
      CASEVAULT_TRY(const bool more, read_line());
      if (!more) return false;
    } while (raw_.text().find_first_not_of(" \t\r\n") == std::string_view::npos);
    row.number = row_;
    row.fields.clear();
    row.problem = parse_flat_object(raw_.text(), text_, parsed_);
    if (!row.problem.empty()) return true;
    std::vector<std::string_view> names;
    for (const FieldInput& field : parsed_) {
      const auto name = map_.field_of(field.name);
      if (!name) continue;
      row.fields.push_back({*name, field.text});
      names.push_back(*name);
    }
    if (!repeated(std::move(names)).empty()) {
      row.problem = "two names go to one field";
      row.fields.clear();
    }
    return true;
  }

 private:
  Result<void> read_header() override { return {}; }

  Result<bool> read_line() {
    raw_.clear();
    line_ = next_line_;
    for (int byte = get(); byte >= 0; byte = get()) {
      if (raw_.empty()) ++next_line_;
      if (raw_.size() == kMaxRow) return ++row_, bad({}, "the row is larger than 64 MiB");
      if (byte == 0) return ++row_, bad({}, "a NUL byte");
      raw_.push(static_cast<char>(byte));
      if (byte == '\n') break;
    }
    CASEVAULT_CHECK(check_read());
    if (raw_.empty()) return false;
    if (raw_.text().find_first_not_of(" \t\r\n") != std::string_view::npos) ++row_;
    if (!valid_utf8(raw_.text())) return bad({}, "not UTF-8; save the file as UTF-8");
    return true;
  }

  std::vector<FieldInput> parsed_;
};

std::string lower_suffix(const std::filesystem::path& file) {
  std::string suffix = file.extension().string();
  std::transform(suffix.begin(), suffix.end(), suffix.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c; });
  return suffix;
}

}  // namespace

std::string parse_flat_object(std::string_view json, SecretBuffer& text, std::vector<FieldInput>& fields) {
  text.clear();
  fields.clear();
  text.reserve(json.size());  // an escape is never shorter than what it stands for, so the views below stay valid
  std::string problem = FlatParser(json, text).parse(fields);
  if (problem.empty()) {
    std::vector<std::string_view> names;
    for (const FieldInput& field : fields) names.push_back(field.name);
    if (!repeated(std::move(names)).empty()) problem = "a name stands there twice";
  }
  if (!problem.empty()) fields.clear();
  return problem;
}

Result<ColumnMap> ColumnMap::parse(std::string_view toml, std::string_view name) {
  const auto bad = [&](std::string_view what) {
    return Error{ErrorCode::kBadInput, std::string(name) + ": " + std::string(what)};
  };
  ColumnMap map;
  try {
    const toml::table table = toml::parse(toml, name);
    for (const auto& [key, node] : table) {
      if (key.str() != "columns" || !node.is_table())
        return bad("only a [columns] table is expected, with \"column\" = \"field\"");
    }
    const toml::table* columns = table["columns"].as_table();
    if (columns == nullptr) return bad("no [columns] table");
    for (const auto& [key, node] : *columns) {
      const auto field = node.value_exact<std::string>();
      if (!field)
        return bad("column \"" + std::string(key.str()) + "\" needs a field name in quotes, or \"\" to be dropped");
      map.fields_.emplace(key.str(), *field);
    }
  } catch (const toml::parse_error& error) {
    return bad("line " + std::to_string(error.source().begin.line) + ": " + std::string(error.description()));
  }
  return map;
}

std::optional<std::string_view> ColumnMap::field_of(std::string_view column) const {
  const auto found = fields_.find(column);
  if (found == fields_.end()) return column;
  if (found->second.empty()) return std::nullopt;
  return found->second;
}

FileRows::FileRows(int fd, std::string name, ColumnMap map)
    : name_(std::move(name)), map_(std::move(map)), fd_(fd), chunk_(kChunk) {}

FileRows::~FileRows() { ::close(fd_); }

Result<std::unique_ptr<FileRows>> FileRows::over(int fd, std::string name, bool csv, ColumnMap map) {
  std::unique_ptr<FileRows> rows;
  if (csv) {
    rows = std::make_unique<CsvRows>(fd, std::move(name), std::move(map));
  } else {
    rows = std::make_unique<JsonlRows>(fd, std::move(name), std::move(map));
  }
  CASEVAULT_CHECK(rows->rewind());
  return rows;
}

Result<std::unique_ptr<FileRows>> FileRows::open(const std::filesystem::path& file, ColumnMap map) {
  const std::string suffix = lower_suffix(file);
  if (suffix != ".csv" && suffix != ".jsonl") {
    return Error{ErrorCode::kUsage, file.string() + ": the name must end in .csv or .jsonl"};
  }
  const int fd = ::open(file.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);  // a FIFO must not block before it is refused
  if (fd < 0) {
    const int error = errno;
    return Error{error == ENOENT ? ErrorCode::kNotFound : ErrorCode::kIo,
                 "cannot open " + file.string() + ": " + std::strerror(error)};
  }
  struct stat info{};
  if (::fstat(fd, &info) != 0 || !S_ISREG(info.st_mode)) {
    ::close(fd);
    return Error{ErrorCode::kUsage, file.string() + " is not a regular file; an import reads it twice"};
  }
  return over(fd, file.string(), suffix == ".csv", std::move(map));
}

Result<void> FileRows::rewind() {
  if (::lseek(fd_, 0, SEEK_SET) != 0)
    return Error{ErrorCode::kIo, "cannot rewind " + name_ + ": " + std::strerror(errno)};
  at_ = filled_ = 0;
  read_error_ = 0;
  row_ = 0;
  line_ = next_line_ = 1;
  if (peek() == 0xEF && filled_ >= 3 && chunk_.view()[1] == 0xBB && chunk_.view()[2] == 0xBF) at_ = 3;
  return read_header();
}

bool FileRows::fill() {
  at_ = filled_ = 0;
  while (filled_ < kChunk && read_error_ == 0) {
    const ssize_t got = ::read(fd_, chunk_.mutable_view().data() + filled_, kChunk - filled_);
    if (got == 0) break;
    if (got > 0) filled_ += static_cast<std::size_t>(got);
    if (got < 0 && errno != EINTR) read_error_ = errno;
  }
  return filled_ != 0;
}

Result<void> FileRows::check_read() const {
  if (read_error_ == 0) return {};
  return Error{ErrorCode::kIo, "cannot read " + name_ + ": " + std::strerror(read_error_)};
}

Error FileRows::bad(std::string_view column, std::string_view what) const {
  std::string message = name_ + (row_ == 0 ? ": header row" : ": row " + std::to_string(row_));
  message += " (line " + std::to_string(line_) + ")";
  if (!column.empty()) message.append(", column ").append(column);
  return {ErrorCode::kBadInput, message.append(": ").append(what)};
}

}  // namespace casevault::cli
