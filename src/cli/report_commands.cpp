// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>

#include "cli/commands.hpp"

namespace casevault::cli {
namespace {

Error usage(std::string message) { return {ErrorCode::kUsage, std::move(message)}; }

constexpr std::string_view kHidden = "*";

Result<Era> parse_era(std::string_view text) {
  if (text == "recorded") return Era::kRecorded;
  if (text == "2024") return Era::k2024;
  if (text == "2025") return Era::k2025;
  return usage("--era is recorded, 2024 or 2025");
}

/// 0, which stands for the default, when the option is not given.
Result<std::uint64_t> parse_least(const std::string& text, std::string_view option) {
  if (text.empty()) return std::uint64_t{0};
  CASEVAULT_TRY(const std::uint64_t number, parse_number(text, option));
  if (number == 0) return usage(std::string(option) + " is a number from 1");
  return number;
}

std::string_view name_of(Era era) { return era == Era::k2024 ? "2024" : era == Era::k2025 ? "2025" : "recorded"; }

Result<std::vector<Filter>> parse_filters(const std::vector<std::string>& texts) {
  std::vector<Filter> out;
  for (const std::string& text : texts) {
    CASEVAULT_TRY(Filter filter, Filter::parse(text));
    out.push_back(std::move(filter));
  }
  return out;
}

Json number(const std::optional<std::uint64_t>& count) { return count ? Json(*count) : Json(nullptr); }
std::string shown(const std::optional<std::uint64_t>& count) {
  return count ? std::to_string(*count) : std::string(kHidden);
}

std::string rule_of(const Tabulation& table) {
  if (table.round_to != 0) return "rounded to multiples of " + std::to_string(table.round_to);
  return "* hidden: fewer than " + std::to_string(table.min_cell) + ", or hidden so that these cannot be worked out";
}

/// A table as lines of cells, labels and totals included.
std::vector<std::vector<std::string>> lines_of(const Tabulation& table) {
  const std::size_t rows = table.row_labels.size();
  const std::size_t columns = table.column_labels.size();
  const bool plain = table.columns.empty();                 // rows alone: their totals are all there is
  const std::size_t first = table.rows.empty() ? rows : 0;  // no rows: their total is all there is
  std::vector<std::vector<std::string>> out(rows - first + 2);
  out[0].push_back(table.columns.empty() ? table.rows : table.rows + " \\ " + table.columns);
  for (std::size_t c = 0; c < columns && !plain; ++c) out[0].push_back(table.column_labels[c]);
  out[0].emplace_back("total");
  for (std::size_t r = first; r <= rows; ++r) {
    std::vector<std::string>& line = out[r - first + 1];
    line.push_back(r < rows ? table.row_labels[r] : "total");
    for (std::size_t c = plain ? columns : 0; c <= columns; ++c) line.push_back(shown(table.at(r, c)));
  }
  return out;
}

std::size_t width_of(std::string_view text) {
  return static_cast<std::size_t>(
      std::ranges::count_if(text, [](char c) { return (static_cast<unsigned char>(c) & 0xC0U) != 0x80U; }));
}

std::string text_of(const Tabulation& table) {
  const auto lines = lines_of(table);
  std::vector<std::size_t> widths(lines.front().size(), 0);
  for (const auto& line : lines) {
    for (std::size_t i = 0; i < line.size(); ++i) widths[i] = std::max(widths[i], width_of(visible(line[i])));
  }
  std::string out;
  for (const auto& line : lines) {
    std::string row;
    for (std::size_t i = 0; i < line.size(); ++i) {
      const std::string cell = visible(line[i]);
      const std::string pad(widths[i] - width_of(cell), ' ');
      row += (i == 0 ? cell + pad : "  " + pad + cell);
    }
    out += row.substr(0, row.find_last_not_of(' ') + 1) + "\n";
  }
  return out + rule_of(table) + "\nentry " + std::to_string(table.entry) + ", basis " + visible(table.basis);
}

void append_csv(SecretBuffer& out, std::string_view cell) {
  if (cell.find_first_of(",\"\r\n") == std::string_view::npos) {
    out.append(cell);
    return;
  }
  out.append("\"");
  for (std::size_t quote = cell.find('"'); quote != std::string_view::npos; quote = cell.find('"')) {
    out.append(cell.substr(0, quote + 1));
    out.append("\"");
    cell.remove_prefix(quote + 1);
  }
  out.append(cell);
  out.append("\"");
}

template <typename Cells>
void append_csv_line(SecretBuffer& out, const Cells& cells) {
  bool first = true;
  for (const auto& cell : cells) {
    if (!first) out.append(",");
    first = false;
    append_csv(out, cell);
  }
  out.append("\r\n");
}

std::string csv_of(const Tabulation& table) {
  SecretBuffer out;
  for (const auto& line : lines_of(table)) append_csv_line(out, line);
  return std::string(out.text());
}

std::string escaped(std::string_view text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&quot;";
        break;
      default:
        out += c;
    }
  }
  return out;
}

/// Bars of the row totals; what is hidden is hatched at one length, which says nothing of it.
std::string bars_of(const Tabulation& table) {
  constexpr std::size_t kLine = 24;
  constexpr std::size_t kLabels = 240;
  constexpr std::uint64_t kLength = 400;
  constexpr std::uint64_t kHiddenLength = 24;
  const std::size_t rows = table.row_labels.size();
  const std::size_t total = table.column_labels.size();
  std::uint64_t greatest = 1;
  for (std::size_t r = 0; r < rows; ++r) greatest = std::max(greatest, table.at(r, total).value_or(0));
  std::string out = "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"740\" height=\"" +
                    std::to_string(rows * kLine + 8) + "\" role=\"img\" aria-label=\"Totals of the rows\">\n";
  for (std::size_t r = 0; r < rows; ++r) {
    const auto& count = table.at(r, total);
    const std::uint64_t length = count ? *count * kLength / greatest : kHiddenLength;
    const std::string y = std::to_string(r * kLine + 4);
    const std::string base = std::to_string(r * kLine + 18);
    out += "<text x=\"" + std::to_string(kLabels - 8) + "\" y=\"" + base + "\" text-anchor=\"end\">" +
           escaped(table.row_labels[r]) + "</text><rect x=\"" + std::to_string(kLabels) + "\" y=\"" + y +
           "\" width=\"" + std::to_string(length) + "\" height=\"16\" fill=\"" + (count ? "#3465a4" : "url(#hidden)") +
           "\"/><text x=\"" + std::to_string(kLabels + length + 6) + "\" y=\"" + base + "\">" +
           (count ? std::to_string(*count) : "hidden") + "</text>\n";
  }
  return out + "</svg>\n";
}

std::string axes_of(const Tabulation& table) {
  if (table.rows.empty()) return table.type;
  return table.type + ": " + table.rows + (table.columns.empty() ? "" : " by " + table.columns);
}

/// A table with its bars and its rule.
std::string section_of(const Tabulation& table) {
  std::string out = "<table>\n";
  const auto lines = lines_of(table);
  for (std::size_t i = 0; i < lines.size(); ++i) {
    out += "<tr>";
    for (std::size_t j = 0; j < lines[i].size(); ++j) {
      const char* const tag = i == 0 || j == 0 ? "th" : "td";
      out += std::string("<") + tag + ">" + escaped(lines[i][j]) + "</" + tag + ">";
    }
    out += "</tr>\n";
  }
  return out + "</table>\n" + (table.rows.empty() ? "" : bars_of(table)) + "<p class=\"rule\">" +
         escaped(rule_of(table)) + ". Entry " + std::to_string(table.entry) + " of the log, basis " +
         escaped(table.basis) + ".</p>\n";
}

std::string page_of(const std::string& title, const std::string& sections) {
  return "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>" + escaped(title) +
         "</title>\n<style>body{font-family:sans-serif;max-width:60em;margin:2em auto}table{border-collapse:collapse}"
         "td,th{border:1px solid #ccc;padding:.2em .6em;text-align:right}th:first-child{text-align:left}"
         "svg text{font-size:13px}.rule{color:#555}</style></head><body>\n"
         "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"0\" height=\"0\" aria-hidden=\"true\">"
         "<defs><pattern id=\"hidden\" width=\"6\" height=\"6\" patternUnits=\"userSpaceOnUse\" "
         "patternTransform=\"rotate(45)\"><rect width=\"3\" height=\"6\" fill=\"#999\"/></pattern></defs></svg>\n"
         "<h1>" +
         escaped(title) + "</h1>\n" + sections + "</body></html>\n";
}

std::string html_of(const Tabulation& table) { return page_of(axes_of(table), section_of(table)); }

Json json_of(const Tabulation& table) {
  Json cells = Json::array();
  Json row_totals = Json::array();
  Json column_totals = Json::array();
  const std::size_t rows = table.row_labels.size();
  const std::size_t columns = table.column_labels.size();
  const bool alone = table.rows.empty();  // the total alone: it has no rows
  for (std::size_t r = 0; r < rows && !alone; ++r) {
    Json line = Json::array();
    for (std::size_t c = 0; c < columns; ++c) line.push_back(number(table.at(r, c)));
    cells.push_back(std::move(line));
    row_totals.push_back(number(table.at(r, columns)));
  }
  for (std::size_t c = 0; c < columns; ++c) column_totals.push_back(number(table.at(rows, c)));
  return {{"type", table.type},
          {"rows", alone ? Json(nullptr) : Json(table.rows)},
          {"columns", table.columns.empty() ? Json(nullptr) : Json(table.columns)},
          {"row_labels", alone ? std::vector<std::string>{} : table.row_labels},
          {"column_labels", table.columns.empty() ? std::vector<std::string>{} : table.column_labels},
          {"cells", table.columns.empty() ? Json::array() : cells},
          {"row_totals", row_totals},
          {"column_totals", table.columns.empty() ? Json::array() : column_totals},
          {"total", number(table.at(rows, columns))},
          {"min_cell", table.round_to == 0 ? Json(table.min_cell) : Json(nullptr)},
          {"round_to", table.round_to == 0 ? Json(nullptr) : Json(table.round_to)},
          {"era", name_of(table.era)},
          {"purpose", table.purpose},
          {"basis", table.basis},
          {"entry", table.entry}};
}

bool ends_with(std::string_view file, std::string_view suffix) { return file.ends_with(suffix); }

/// Whether a table goes into a page; checked before anything is published. `file` may be empty.
Result<bool> is_page(const std::string& file) {
  const bool html = ends_with(file, ".html");
  if (!file.empty() && !html && !ends_with(file, ".csv")) return usage("--out is a .csv or .html file");
  CASEVAULT_CHECK(check_new_file(file));
  return html;
}

/// Lines of a file of rows: CSV with a header, or an object a line.
class RowFile {
 public:
  static Result<RowFile> create(const std::string& file, std::vector<std::string> columns) {
    const bool csv = ends_with(file, ".csv");
    CASEVAULT_TRY(NewFile made, NewFile::create(file));
    RowFile out(std::move(made), csv, std::move(columns));
    if (csv) append_csv_line(out.text_, out.columns_);
    return out;
  }
  Result<void> add(const std::vector<std::optional<std::string_view>>& values) {
    if (csv_) {
      std::vector<std::string_view> cells;
      for (const auto& value : values) cells.push_back(value.value_or(std::string_view()));
      append_csv_line(text_, cells);
    } else {
      for (std::size_t i = 0; i < values.size(); ++i) {
        text_.append(i == 0 ? "{" : ",");
        append_json_string(text_, columns_[i]);
        text_.append(":");
        if (values[i]) {
          append_json_string(text_, *values[i]);
        } else {
          text_.append("null");
        }
      }
      text_.append("}\n");
    }
    ++rows_;
    return text_.text().size() < kPiece ? Result<void>() : flush();
  }
  Result<void> finish() {
    CASEVAULT_CHECK(flush());
    return file_.finish();
  }
  [[nodiscard]] std::uint64_t rows() const noexcept { return rows_; }

 private:
  static constexpr std::size_t kPiece = std::size_t{1} << 18U;
  RowFile(NewFile file, bool csv, std::vector<std::string> columns)
      : file_(std::move(file)), csv_(csv), columns_(std::move(columns)) {}
  Result<void> flush() {
    CASEVAULT_CHECK(file_.write(text_.text()));
    text_ = SecretBuffer();
    return {};
  }
  NewFile file_;
  bool csv_;
  std::vector<std::string> columns_;
  SecretBuffer text_;
  std::uint64_t rows_ = 0;
};

Result<ReleaseColumn> release_column(std::string_view text, const ExportArguments& arguments, const RecordType& type) {
  ReleaseColumn out;
  const std::size_t colon = text.find(':');
  out.field = text.substr(0, colon);
  const std::string_view level = colon == std::string_view::npos ? std::string_view() : text.substr(colon + 1);
  const Field* const field = type.find(out.field);
  if (field == nullptr) return Error{ErrorCode::kBadInput, "type " + type.name + " has no field " + visible(out.field)};
  if (level == "month") {
    out.coarseness = Coarseness::kMonth;
  } else if (level == "year") {
    out.coarseness = Coarseness::kYear;
  } else if (level == "exact") {
    out.coarseness = Coarseness::kExact;
  } else if (!level.empty()) {
    return usage("a column of a release is FIELD, FIELD:month, FIELD:year or FIELD:exact");
  }
  for (const std::string& bands : arguments.bands) {
    const std::size_t equals = bands.find('=');
    if (equals == std::string::npos) return usage("--bands is FIELD=N,N,...");
    if (bands.substr(0, equals) != out.field) continue;
    out.age_on = field->type == FieldType::kDate ? arguments.age_on : std::string();
    CASEVAULT_TRY(const std::vector<std::string> starts, parse_names(bands.substr(equals + 1), "--bands"));
    for (const std::string& start : starts) {
      CASEVAULT_TRY(const std::uint64_t first, parse_number(start, "a band"));
      out.bands.push_back(static_cast<std::int64_t>(std::min<std::uint64_t>(first, INT64_MAX)));
    }
  }
  return out;
}

Result<int> export_release(Context& context, const ExportArguments& arguments) {
  CASEVAULT_TRY(Session session, context.open(Access::kReadWrite));
  ReleaseRequest request;
  request.type = arguments.type;
  const RecordType* const type = session.schema().find_type(arguments.type);
  if (type == nullptr) return Error{ErrorCode::kNotFound, "the schema has no type " + visible(arguments.type)};
  CASEVAULT_TRY(const std::vector<std::string> columns, parse_names(arguments.columns, "--columns"));
  for (const std::string& text : columns) {
    CASEVAULT_TRY(ReleaseColumn column, release_column(text, arguments, *type));
    request.columns.push_back(std::move(column));
  }
  if (!arguments.sensitive.empty()) {
    CASEVAULT_TRY(const std::vector<std::string> names, parse_names(arguments.sensitive, "--sensitive"));
    for (const std::string& name : names) {
      const auto column = std::ranges::find(request.columns, name, &ReleaseColumn::field);
      if (column == request.columns.end()) return usage("--sensitive names a field that is not among --columns");
      column->sensitive = true;
    }
  }
  CASEVAULT_TRY(request.where, parse_filters(arguments.where));
  CASEVAULT_TRY(request.era, parse_era(arguments.era));
  CASEVAULT_TRY(request.k, parse_least(arguments.k, "--k"));
  CASEVAULT_TRY(request.distinct, parse_least(arguments.distinct, "--distinct"));
  request.star = arguments.star;
  request.name = arguments.release;
  request.purpose = arguments.purpose;
  request.basis = arguments.basis;
  request.recipient = arguments.to;
  request.recipient_class = arguments.to_class;
  request.progress = context.progress();
  CASEVAULT_TRY(const Release release, session.release(request));
  const auto write = [&]() -> Result<void> {
    CASEVAULT_TRY(RowFile file, RowFile::create(arguments.out, release.columns()));
    std::vector<std::optional<std::string_view>> values(release.columns().size());
    for (std::size_t r = 0; r < release.rows(); ++r) {
      for (std::size_t c = 0; c < values.size(); ++c) {
        CASEVAULT_TRY(const std::string_view value, release.value(r, c));
        values[c] = value.empty() ? std::nullopt : std::optional(value);
      }
      CASEVAULT_CHECK(file.add(values));
    }
    return file.finish();
  };
  if (auto written = write(); !written.has_value()) {
    return Error{written.error().code,
                 "the release is entry " + std::to_string(release.entry()) + ", but " + written.error().message};
  }
  Json starred = Json::object();
  std::uint64_t stars = 0;
  for (std::size_t c = 0; c < release.columns().size(); ++c) {
    stars += release.starred()[c];
    if (release.starred()[c] != 0) starred[release.columns()[c]] = release.starred()[c];
  }
  CASEVAULT_CHECK(context.print(Json{{"rows", release.rows()},
                                     {"dropped", number(release.dropped())},
                                     {"starred", starred},
                                     {"k", release.k()},
                                     {"distinct", release.distinct()},
                                     {"release", release.name()},
                                     {"entry", release.entry()},
                                     {"basis", release.basis()},
                                     {"out", arguments.out}},
                                std::to_string(release.rows()) + " rows in " + arguments.out + ", " +
                                    (release.dropped() ? std::to_string(*release.dropped()) : "fewer than k") +
                                    " left out, " + std::to_string(stars) + " values starred, smallest group " +
                                    std::to_string(release.k()) + ", entry " + std::to_string(release.entry()) +
                                    ", basis " + visible(release.basis())));
  return 0;
}

Result<int> export_exact(Context& context, const ExportArguments& arguments) {
  constexpr std::size_t kPage = 10'000;
  if (!arguments.where.empty() || arguments.star || !arguments.bands.empty() || !arguments.sensitive.empty())
    return usage("--where, --bands, --sensitive and --star are for --release");
  DisclosureRequest request;
  CASEVAULT_TRY(request.fields, parse_names(arguments.columns, "--columns"));
  request.purpose = arguments.purpose;
  request.basis = arguments.basis;
  request.recipient = arguments.to.empty() ? "export" : arguments.to;
  request.recipient_class = arguments.to_class;
  CASEVAULT_TRY(Session session, context.open(Access::kReadWrite));
  std::optional<RecordId> after;
  for (std::size_t found = kPage; found == kPage;) {
    CASEVAULT_TRY(const std::vector<RecordInfo> page, session.list(arguments.type, kPage, after));
    for (const RecordInfo& info : page) request.ids.push_back(info.id);
    found = page.size();
    if (found != 0) after = page.back().id;
  }
  if (request.ids.empty()) return Error{ErrorCode::kNotFound, "there is no record of type " + visible(arguments.type)};
  CASEVAULT_TRY(Disclosure disclosure, session.disclose(request));
  const auto write = [&]() -> Result<std::uint64_t> {
    CASEVAULT_TRY(RowFile file, RowFile::create(arguments.out, request.fields));
    for (;;) {
      CASEVAULT_TRY(const Disclosure::Record* const record, disclosure.next());
      if (record == nullptr) break;
      CASEVAULT_CHECK(file.add(record->values));
    }
    CASEVAULT_CHECK(file.finish());
    return file.rows();
  };
  const std::string entry = std::to_string(disclosure.entry());
  const auto rows = write();
  if (!rows.has_value())
    return Error{rows.error().code, "the disclosure is entry " + entry + ", but " + rows.error().message};
  CASEVAULT_CHECK(context.print(
      Json{{"rows", *rows}, {"entry", disclosure.entry()}, {"basis", disclosure.basis()}, {"out", arguments.out}},
      std::to_string(*rows) + " rows in " + arguments.out + ", entry " + entry + ", basis " +
          visible(disclosure.basis())));
  return 0;
}

}  // namespace

Result<int> report_table(Context& context, const ReportTableArguments& arguments) {
  TabulateRequest request;
  request.type = arguments.type;
  request.rows = arguments.rows;
  request.columns = arguments.columns;
  CASEVAULT_TRY(request.where, parse_filters(arguments.where));
  CASEVAULT_TRY(request.era, parse_era(arguments.era));
  CASEVAULT_TRY(request.min_cell, parse_least(arguments.min_cell, "--min-cell"));
  if (!arguments.round_to.empty()) {
    CASEVAULT_TRY(request.round_to, parse_number(arguments.round_to, "--round-to"));
    if (request.round_to == 0) return usage("--round-to is a number from 5 to 1000");
  }
  if (!arguments.purpose.empty()) request.purpose = arguments.purpose;
  request.basis = arguments.basis;
  request.recipient = arguments.to;
  request.name = arguments.name;
  request.progress = context.progress();
  CASEVAULT_TRY(const bool html, is_page(arguments.out));
  CASEVAULT_TRY(Session session, context.open(Access::kReadWrite));
  CASEVAULT_TRY(const Tabulation table, session.tabulate(request));
  Json json = json_of(table);
  if (!arguments.out.empty()) {
    const auto written = write_new_file(arguments.out, html ? html_of(table) : csv_of(table));
    if (!written.has_value()) {
      return Error{written.error().code, "the table is published as entry " + std::to_string(table.entry) + ", but " +
                                             written.error().message + "; the same table again is allowed"};
    }
    json["out"] = arguments.out;
  }
  CASEVAULT_CHECK(context.print(json, text_of(table)));
  return 0;
}

namespace {

constexpr std::string_view kLanguage = "en";

/// A number a line, whatever the shapes of the tables.
std::string csv_of(const std::vector<IndicatorResult>& report) {
  SecretBuffer out;
  append_csv_line(out, std::array<std::string_view, 6>{"indicator", "title", "row", "column", "count", "note"});
  for (const IndicatorResult& each : report) {
    const std::string& title = each.indicator.title(kLanguage);
    const auto line = [&](std::string_view row, std::string_view column, std::string_view count,
                          std::string_view note) {
      append_csv_line(out, std::array<std::string_view, 6>{each.indicator.name, title, row, column, count, note});
    };
    if (each.refused) line("", "", "", each.refused->message);
    if (!each.table) continue;
    const std::size_t rows = each.table->row_labels.size();
    const std::size_t columns = each.table->column_labels.size();
    for (std::size_t r = each.table->rows.empty() ? rows : 0; r <= rows; ++r) {
      for (std::size_t c = each.table->columns.empty() ? columns : 0; c <= columns; ++c) {
        line(r < rows ? each.table->row_labels[r] : "total", c < columns ? each.table->column_labels[c] : "total",
             shown(each.table->at(r, c)), each.table->at(r, c) ? "" : "hidden");
      }
    }
  }
  return std::string(out.text());
}

}  // namespace

Result<int> report_indicators(Context& context, const ReportIndicatorsArguments& arguments) {
  IndicatorsRequest request;
  request.from = arguments.from;
  request.to = arguments.until;
  if (!arguments.only.empty()) {
    CASEVAULT_TRY(request.names, parse_names(arguments.only, "--only"));
  }
  CASEVAULT_TRY(request.era, parse_era(arguments.era));
  CASEVAULT_TRY(request.min_cell, parse_least(arguments.min_cell, "--min-cell"));
  if (!arguments.purpose.empty()) request.purpose = arguments.purpose;
  request.basis = arguments.basis;
  request.recipient = arguments.to;
  request.progress = context.progress();
  CASEVAULT_TRY(const bool html, is_page(arguments.out));
  CASEVAULT_TRY(Session session, context.open(Access::kReadWrite));
  CASEVAULT_TRY(const std::vector<IndicatorResult> report, session.indicators(request));

  const std::string period = arguments.from + " to " + arguments.until;
  Json json{{"from", arguments.from}, {"to", arguments.until}, {"indicators", Json::array()}};
  std::string text;
  std::string sections;
  std::optional<Error> refused;
  std::size_t published = 0;
  for (const IndicatorResult& each : report) {
    Json titles = Json::object();
    for (const auto& [language, title] : each.indicator.titles) titles[language] = title;
    json["indicators"].push_back({{"name", each.indicator.name},
                                  {"title", titles},
                                  {"table", each.table ? json_of(*each.table) : Json(nullptr)},
                                  {"refused", each.refused ? Json(each.refused->message) : Json(nullptr)}});
    const std::string& title = each.indicator.title(kLanguage);
    text += (text.empty() ? "" : "\n\n") + each.indicator.name + ": " + visible(title) + "\n" +
            (each.table ? text_of(*each.table) : visible(each.refused->message));
    sections += "<h2>" + escaped(title) + "</h2>\n" +
                (each.table ? section_of(*each.table) : "<p>" + escaped(each.refused->message) + "</p>\n");
    published += each.table ? 1U : 0U;
    if (!refused) refused = each.refused;
  }
  if (published == 0 && refused) return *std::move(refused);
  if (!arguments.out.empty()) {
    const auto written =
        write_new_file(arguments.out, html ? page_of("Indicators, " + period, sections) : csv_of(report));
    if (!written.has_value()) {
      return Error{written.error().code, std::to_string(published) + " indicators are published, but " +
                                             written.error().message + "; the same report again is allowed"};
    }
    json["out"] = arguments.out;
  }
  CASEVAULT_CHECK(context.print(json, text));
  return 0;
}

Result<int> report_ledger(Context& context) {
  CASEVAULT_TRY(Session session, context.open(Access::kReadOnly));
  CASEVAULT_TRY(const std::vector<LedgerEntry> ledger, session.ledger());
  Json json = Json::array();
  std::string text;
  for (const LedgerEntry& each : ledger) {
    json.push_back({{"entry", each.entry},
                    {"time", rfc3339(each.time_ms)},
                    {"kind", each.kind},
                    {"actor", each.actor},
                    {"type", each.type},
                    {"name", each.name},
                    {"definition", each.definition}});
    text += (text.empty() ? "" : "\n") + std::string("entry ") + std::to_string(each.entry) + "  " +
            rfc3339(each.time_ms) + "  " + each.kind + " by " + visible(each.actor) +
            (each.name.empty() ? "" : "  " + visible(each.name)) + "  " + visible(each.definition);
  }
  CASEVAULT_CHECK(context.print(json, text.empty() ? "nothing was published" : text));
  return 0;
}

Result<int> report_budget(Context& context, const ReportBudgetArguments& arguments) {
  BudgetUse use;
  use.tool = arguments.tool;
  use.name = arguments.name;
  use.epsilon = arguments.epsilon;
  if (!arguments.purpose.empty()) use.purpose = arguments.purpose;
  CASEVAULT_TRY(Session session, context.open(Access::kReadWrite));
  CASEVAULT_TRY(const std::uint64_t entry, session.record_budget(use));
  CASEVAULT_CHECK(context.print(Json{{"entry", entry}}, "entry " + std::to_string(entry)));
  return 0;
}

Result<int> export_rows(Context& context, const ExportArguments& arguments) {
  const std::pair<std::string_view, const std::string&> needed[] = {
      {"--purpose", arguments.purpose}, {"--basis", arguments.basis}, {"--out", arguments.out}};
  for (const auto& [option, value] : needed) {
    if (value.empty()) return usage(std::string(option) + " must not be empty");
  }
  if (!ends_with(arguments.out, ".csv") && !ends_with(arguments.out, ".jsonl"))
    return usage("--out is a .csv or .jsonl file");
  CASEVAULT_CHECK(check_new_file(arguments.out));
  return arguments.release.empty() ? export_exact(context, arguments) : export_release(context, arguments);
}

}  // namespace casevault::cli
