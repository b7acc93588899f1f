// SPDX-License-Identifier: Apache-2.0
#include "model/bundled.hpp"

#include <algorithm>

namespace casevault::model {
namespace {

constexpr std::string_view kSchemaSuffix = ".toml";

std::optional<std::string_view> content_of(const std::string& name) {
  const auto files = bundled_files();
  const auto found = std::ranges::find(files, name, &BundledFile::name);
  return found == files.end() ? std::nullopt : std::optional(found->content);
}

std::string_view take_line(std::string_view& text) {
  const std::size_t end = std::min(text.find('\n'), text.size());
  const std::string_view line = text.substr(0, end);
  text.remove_prefix(std::min(end + 1, text.size()));
  return line;
}

/// RFC 4180 without line breaks inside quotes, which our lists do not have.
std::vector<std::string> split(std::string_view line) {
  std::vector<std::string> cells(1);
  bool quoted = false;
  for (std::size_t i = 0; i < line.size(); ++i) {
    if (line[i] == '"') {
      if (quoted && i + 1 < line.size() && line[i + 1] == '"') {
        cells.back() += line[++i];
      } else {
        quoted = !quoted;
      }
    } else if (line[i] == ',' && !quoted) {
      cells.emplace_back();
    } else {
      cells.back() += line[i];
    }
  }
  return cells;
}

}  // namespace

std::vector<std::string_view> bundled_schema_names() {
  std::vector<std::string_view> names;
  for (const BundledFile& file : bundled_files()) {
    if (file.name.ends_with(kSchemaSuffix))
      names.push_back(file.name.substr(0, file.name.size() - kSchemaSuffix.size()));
  }
  return names;
}

std::optional<std::string_view> bundled_schema(std::string_view name) {
  return content_of(std::string(name) + std::string(kSchemaSuffix));
}

std::optional<std::vector<std::string>> bundled_list(std::string_view name) {
  const std::size_t dot = std::min(name.find('.'), name.size());
  const std::string file(name.substr(0, dot));
  const std::string_view part = name.substr(std::min(dot + 1, name.size()));
  const bool htcds = file == "htcds";
  const auto content = content_of((htcds ? "htcds_codes" : file) + ".csv");
  if (!content) return std::nullopt;

  std::string_view text = *content;
  const std::vector<std::string> header = split(take_line(text));
  std::size_t column = htcds ? 1 : 0;
  if (!htcds && dot != name.size()) {
    column = static_cast<std::size_t>(std::ranges::find(header, part) - header.begin());
  }
  std::vector<std::string> codes;
  while (!text.empty()) {
    std::vector<std::string> cells = split(take_line(text));
    if (column >= cells.size() || (htcds && cells.front() != part)) continue;
    if (std::ranges::find(codes, cells[column]) == codes.end()) codes.push_back(std::move(cells[column]));
  }
  if (codes.empty()) return std::nullopt;
  return codes;
}

std::vector<std::vector<std::string>> bundled_rows(std::string_view file) {
  std::string_view text = content_of(std::string(file) + ".csv").value_or("");
  std::vector<std::vector<std::string>> rows;
  take_line(text);
  while (!text.empty()) rows.push_back(split(take_line(text)));
  return rows;
}

}  // namespace casevault::model
