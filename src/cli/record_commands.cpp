// SPDX-License-Identifier: Apache-2.0
#include "cli/commands.hpp"
#include "cli/rows.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <set>

namespace casevault::cli {
namespace {

constexpr std::size_t kMaxRecordFile = 64U << 20U;
constexpr std::size_t kPage = 1000;

Error usage(std::string message) { return {ErrorCode::kUsage, std::move(message)}; }

/// FIELD=VALUE arguments as fields. An argument is never repeated in a message: it may be a value.
Result<void> append_fields(const std::vector<std::string>& arguments, std::vector<FieldInput>& fields) {
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    const std::string_view text = arguments[i];
    const std::size_t equals = text.find('=');
    if (equals == 0 || equals == std::string_view::npos) {
      return usage("value " + std::to_string(i + 1) + " is not FIELD=VALUE; quote a value that has spaces");
    }
    fields.push_back({text.substr(0, equals), text.substr(equals + 1)});
  }
  std::set<std::string_view> names;
  for (const FieldInput& field : fields) {
    if (!names.insert(field.name).second) return usage("field " + std::string(field.name) + " is given twice");
  }
  return {};
}

/// What fields of a flat JSON object point into.
struct FieldTexts {
  SecretBuffer json;
  SecretBuffer text;
};

/// Those of the file (- is standard input), if there is one, then the
/// arguments.
Result<void> read_fields(const std::string& file, const std::vector<std::string>& arguments, FieldTexts& texts,
                         std::vector<FieldInput>& fields) {
  if (!file.empty()) {
    CASEVAULT_TRY(texts.json, read_secret_text(file == "-" ? "/dev/stdin" : file, kMaxRecordFile));
    const std::string problem = parse_flat_object(texts.json.text(), texts.text, fields);
    if (!problem.empty()) return Error{ErrorCode::kBadInput, file + ": " + problem};
  }
  return append_fields(arguments, fields);
}

/// On standard error, unless that is JSON lines of progress: the result has
/// them too.
void tell(const Context& context, const std::vector<std::string>& warnings) {
  if (context.options.progress == "json") return;
  for (const std::string& warning : warnings) note("warning: " + warning);
}

Result<int> print_written(const Context& context, const Written& written) {
  const std::string id = written.id.to_string();
  Json json{{"id", id}, {"version", written.version}, {"entry", written.entry}};
  if (!written.warnings.empty()) json["warnings"] = written.warnings;
  tell(context, written.warnings);
  CASEVAULT_CHECK(context.print(
      json, id + "  version " + std::to_string(written.version) + "  entry " + std::to_string(written.entry)));
  return 0;
}

Error with_prefix(std::string prefix, const Error& error) { return {error.code, std::move(prefix) + error.message}; }

/// Columns that the type does not have: said once for the file, before any row is read.
std::vector<RowProblem> unknown_columns(const FileRows& rows, const RecordType& type) {
  std::vector<RowProblem> problems;
  const auto known = [&](const FileRows::Column& column) {
    return column.field && type.find(*column.field) != nullptr;
  };
  // A header in which no name fits may be a row of values: its cells are counted, not repeated.
  const bool named = std::any_of(rows.columns().begin(), rows.columns().end(), known);
  std::size_t number = 0;
  for (const FileRows::Column& column : rows.columns()) {
    ++number;
    if (!column.field || known(column)) continue;
    problems.push_back({0, named ? column.name : "#" + std::to_string(number),
                        "no such field in " + type.name + "; map or drop the column with --map" +
                            (named ? "" : " (is the header row missing?)")});
  }
  return problems;
}

/// A name that no row should have would be reported for every row of a JSONL file: once is enough.
std::vector<RowProblem> without_repeats(std::vector<RowProblem> problems, const RecordType* type) {
  if (type == nullptr) return problems;
  std::set<std::pair<std::string, std::string>> seen;
  std::erase_if(problems, [&](const RowProblem& problem) {
    const bool foreign = !problem.column.empty() && type->find(problem.column) == nullptr;
    return foreign && !seen.emplace(problem.column, problem.reason).second;
  });
  return problems;
}

/// The rows that are left out, in the bytes they came in; the file appears with the first one.
class Rejects {
 public:
  Rejects(std::string file, const FileRows& rows) : file_(std::move(file)), rows_(rows) {}

  Result<void> add(std::uint64_t row) {
    if (row == last_) return {};  // a row can have several problems
    last_ = row;
    if (!out_) {
      CASEVAULT_TRY(NewFile created, NewFile::create(file_));
      out_.emplace(std::move(created));
      CASEVAULT_CHECK(write(rows_.raw_header()));
    }
    return write(rows_.raw_row());
  }
  Result<void> finish() { return out_ ? out_->finish() : Result<void>(); }

 private:
  Result<void> write(std::string_view raw) {
    CASEVAULT_CHECK(out_->write(raw));
    return raw.empty() || raw.ends_with('\n') ? Result<void>() : out_->write("\n");
  }
  std::string file_;
  const FileRows& rows_;
  std::optional<NewFile> out_;
  std::uint64_t last_ = 0;
};

/// The values of a disclosure on their way out, in locked memory.
Result<SecretBuffer> render(Disclosure& disclosure, const std::vector<std::string>& fields, bool json) {
  SecretBuffer out;
  if (json) out.append("{\"disclosures\": [");
  bool first = true;
  for (;;) {
    CASEVAULT_TRY(const Disclosure::Record* const record, disclosure.next());
    if (record == nullptr) return out;
    if (json) {
      out.append(first ? "{\"id\": " : ", {\"id\": ");
      append_json_string(out, record->id.to_string());
      out.append(", \"values\": {");
    } else {
      out.append(record->id.to_string());
      out.push('\n');
    }
    first = false;
    for (std::size_t i = 0; i < fields.size() && i < record->values.size(); ++i) {
      const auto& value = record->values[i];
      if (json) {
        if (i != 0) out.append(", ");
        append_json_string(out, fields[i]);
        out.append(": ");
        if (value) {
          append_json_string(out, *value);
        } else {
          out.append("null");
        }
      } else {
        out.append("  ");
        out.append(fields[i]);
        out.append(": ");
        append_visible(out, value.value_or("(empty)"), "    ");
        out.push('\n');
      }
    }
    if (json) out.append("}}");
  }
}

}  // namespace

Result<int> add(Context& context, const AddArguments& arguments) {
  FieldTexts texts;
  std::vector<FieldInput> fields;
  CASEVAULT_CHECK(read_fields(arguments.from, arguments.values, texts, fields));
  if (fields.empty()) return usage("nothing to add; give FIELD=VALUE or --from FILE.json");
  CASEVAULT_TRY(Session session, context.open(Access::kReadWrite));
  std::optional<std::uint64_t> searched;
  if (!arguments.searched.empty()) {
    CASEVAULT_TRY(searched, parse_number(arguments.searched, "--searched"));
  }
  CASEVAULT_TRY(const Written written, session.add(arguments.type, fields, searched));
  return print_written(context, written);
}

Result<int> update(Context& context, const UpdateArguments& arguments) {
  std::vector<FieldInput> fields;
  CASEVAULT_CHECK(append_fields(arguments.values, fields));
  CASEVAULT_TRY(const RecordId id, RecordId::parse(arguments.id));
  std::optional<std::uint32_t> expected;
  if (!arguments.expect_version.empty()) {
    CASEVAULT_TRY(const std::uint64_t version, parse_number(arguments.expect_version, "--expect-version"));
    if (version == 0 || version > UINT32_MAX) return usage("--expect-version counts from 1");
    expected = static_cast<std::uint32_t>(version);
  }
  CASEVAULT_TRY(Session session, context.open(Access::kReadWrite));
  CASEVAULT_TRY(const Written written, session.update(id, fields, expected));
  return print_written(context, written);
}

Result<int> list(Context& context, const ListArguments& arguments) {
  std::size_t left = SIZE_MAX;
  if (!arguments.limit.empty()) {
    CASEVAULT_TRY(const std::uint64_t limit, parse_number(arguments.limit, "--limit"));
    if (limit == 0) return usage("--limit must be at least 1");
    left = static_cast<std::size_t>(limit);
  }
  std::optional<RecordId> after;
  if (!arguments.after.empty()) {
    CASEVAULT_TRY(after, RecordId::parse(arguments.after));
  }
  CASEVAULT_TRY(Session session, context.open(Access::kReadOnly));
  std::string json = "{\"records\":[";
  std::string text;
  std::string next;
  bool first = true;
  while (next.empty()) {
    const std::size_t wanted = std::min(left, kPage);
    CASEVAULT_TRY(std::vector<RecordInfo> page,
                  session.list(arguments.type, wanted + 1, after));  // one more tells whether more follow
    const bool more = page.size() > wanted;
    if (more) page.resize(wanted);
    for (const RecordInfo& info : page) {
      const std::string id = info.id.to_string();
      if (context.options.json) {
        json += (first ? "" : ",") + dump(Json{{"id", id},
                                               {"type", info.type},
                                               {"version", info.version},
                                               {"created", rfc3339(info.created_ms)},
                                               {"updated", rfc3339(info.updated_ms)},
                                               {"unit", info.unit}});
      } else {
        text += id + "  version " + std::to_string(info.version) + "  updated " + rfc3339(info.updated_ms) +
                (info.unit.empty() ? "" : "  unit " + visible(info.unit)) + "\n";
      }
      first = false;
    }
    left -= page.size();
    if (!more || page.empty()) break;
    after = page.back().id;
    if (left == 0) next = after->to_string();
  }
  json += "],\"next\":" + (next.empty() ? std::string("null") : "\"" + next + "\"") + "}\n";
  CASEVAULT_CHECK(context.print(context.options.json ? json : text));
  if (!next.empty() && !context.options.json) note("more follow: --after " + next);
  return 0;
}

Result<int> history(Context& context, const HistoryArguments& arguments) {
  CASEVAULT_TRY(const RecordId id, RecordId::parse(arguments.id));
  CASEVAULT_TRY(Session session, context.open(Access::kReadOnly));
  CASEVAULT_TRY(const std::vector<VersionInfo> versions, session.history(id));
  Json json{{"id", id.to_string()}, {"versions", Json::array()}};
  std::string text = id.to_string();
  for (const VersionInfo& one : versions) {
    const std::string time = rfc3339(one.time_ms);
    json["versions"].push_back(
        {{"version", one.version}, {"entry", one.entry}, {"time", time}, {"action", one.action}, {"actor", one.actor}});
    text += "\nversion " + std::to_string(one.version) + "  entry " + std::to_string(one.entry) + "  " + time + "  " +
            one.action + " by " + visible(one.actor);
  }
  CASEVAULT_CHECK(context.print(json, text));
  return 0;
}

Result<int> import_file(Context& context, const ImportArguments& arguments) {
  CASEVAULT_CHECK(check_new_file(arguments.rejects));
  CASEVAULT_CHECK(check_new_file(arguments.ids_out));
  if (!arguments.rejects.empty() && arguments.rejects == arguments.ids_out)
    return usage("--rejects and --ids-out name the same file");
  ColumnMap map;
  if (!arguments.map.empty()) {
    CASEVAULT_TRY(const std::string toml, read_text(arguments.map));
    CASEVAULT_TRY(map, ColumnMap::parse(toml, arguments.map));
  }
  CASEVAULT_TRY(const std::unique_ptr<FileRows> rows, FileRows::open(arguments.file, std::move(map)));
  CASEVAULT_TRY(Session session, context.open(Access::kReadWrite));
  const RecordType* type = session.schema().find_type(arguments.type);
  if (type != nullptr) context.problems = unknown_columns(*rows, *type);
  if (!context.problems.empty()) {
    return Error{ErrorCode::kBadInput, arguments.file + ": " + std::to_string(context.problems.size()) +
                                           " columns of the header are no fields of " + arguments.type +
                                           "; nothing was written"};
  }

  Rejects rejects(arguments.rejects, *rows);
  ImportOptions options;
  options.dry_run = arguments.dry_run;
  options.skip_bad_rows = !arguments.rejects.empty();
  options.collect_ids = !arguments.ids_out.empty();
  options.progress = context.progress();
  if (options.skip_bad_rows && !options.dry_run) {
    options.on_reject = [&](const ImportRow& row, const RowProblem&) { return rejects.add(row.number); };
  }
  CASEVAULT_TRY(const ImportReport report, session.import_rows(arguments.type, *rows, options));
  context.problems = without_repeats(report.problems, type);
  if (!options.skip_bad_rows && !report.problems.empty()) {
    return Error{ErrorCode::kBadInput,
                 arguments.file + ": " + std::to_string(report.rejected) +
                     " bad rows, nothing was written; correct them, or set them aside with --rejects FILE"};
  }
  context.list_problems();
  context.problems.clear();

  const std::string entry = report.entry ? std::to_string(*report.entry) : "none";
  const std::string done = "the import is done (entry " + entry + "), but ";
  if (auto finished = rejects.finish(); !finished.has_value()) return with_prefix(done, finished.error());
  Json ids_file = nullptr;
  if (!arguments.ids_out.empty() && !arguments.dry_run) {
    std::string lines;
    for (const RecordId& id : report.ids) lines += id.to_string() + "\n";
    if (auto written = write_new_file(arguments.ids_out, lines); !written.has_value())
      return with_prefix(done, written.error());
    ids_file = arguments.ids_out;
  }
  Json json{{"imported", report.imported},
            {"rejected", report.rejected},
            {"entry", report.entry ? Json(*report.entry) : Json(nullptr)},
            {"ids_file", ids_file}};
  if (arguments.dry_run) json["dry_run"] = true;
  if (!report.warnings.empty()) json["warnings"] = report.warnings;
  tell(context, report.warnings);
  CASEVAULT_CHECK(context.print(json, (arguments.dry_run ? "dry run, nothing written: " : "imported ") +
                                          std::to_string(report.imported) + " rows, rejected " +
                                          std::to_string(report.rejected) + ", entry " + entry));
  return 0;
}

Result<int> find(Context& context, const FindArguments& arguments) {
  FindRequest request;
  request.type = arguments.type;
  FieldTexts typed;
  std::vector<FieldInput>& terms = request.searches.emplace_back();
  CASEVAULT_CHECK(read_fields(arguments.from, arguments.values, typed, terms));
  if (terms.empty()) return usage("nothing to search for; give FIELD=VALUE or --from FILE.json");
  request.purpose = arguments.purpose;
  request.basis = arguments.basis;
  request.loose = arguments.loose;
  if (!arguments.limit.empty()) {
    CASEVAULT_TRY(const std::uint64_t limit, parse_number(arguments.limit, "--limit"));
    if (limit == 0 || limit > UINT32_MAX) return usage("--limit must be at least 1");
    request.limit = static_cast<std::size_t>(limit);
  }
  CASEVAULT_TRY(Session session, context.open(Access::kReadWrite));
  CASEVAULT_TRY(const FindResult result, session.find(request));
  const FindResult::Answer& answer = result.answers.front();
  Json matches = Json::array();
  std::string text;
  for (const FindResult::Hit& hit : answer.matches) {
    const std::string id = hit.id.to_string();
    Json match{{"id", id}, {"match", name_of(hit.match)}};
    text += id + "  " + std::string(name_of(hit.match));
    for (const RecordId& other : hit.same_person) {
      match["same_person"].push_back(other.to_string());
      text += (&other == &hit.same_person.front() ? "  same person as " : ", ") + other.to_string();
    }
    matches.push_back(std::move(match));
    text += "\n";
  }
  text += std::to_string(answer.count) + (answer.count == 1 ? " match" : " matches") +
          (answer.count > answer.matches.size() ? ", the closest are listed (--limit)" : "") + ", entry " +
          std::to_string(result.entry);
  if (answer.count == 0 && !request.loose) text += "; --loose asks for more: other spaces and orders, Hoang for Huynh";
  for (const std::string& suggestion : answer.suggestions) text += "\n" + visible(suggestion);
  Json json{{"matches", matches}, {"count", answer.count}, {"entry", result.entry}, {"basis", result.basis}};
  if (!answer.suggestions.empty()) json["suggestions"] = answer.suggestions;
  CASEVAULT_CHECK(context.print(json, text));
  return 0;
}

Result<int> duplicates(Context& context, const DuplicatesArguments& arguments) {
  DuplicatesRequest request;
  request.type = arguments.type;
  request.purpose = arguments.purpose;
  request.basis = arguments.basis;
  request.progress = context.progress();
  if (const std::string& text = arguments.min_score; !text.empty()) {
    const auto end = std::from_chars(text.data(), text.data() + text.size(), request.min_score);
    if (end.ec != std::errc() || end.ptr != text.data() + text.size())
      return usage("--min-score is a number from 0 to 1, e.g. 0.8");
  }
  CASEVAULT_TRY(Session session, context.open(Access::kReadWrite));
  Result<void> printed;
  const auto show = [&](const DuplicatePair& pair) {
    const std::string a = pair.a.to_string();
    const std::string b = pair.b.to_string();
    const double score = std::round(pair.score * 1000) / 1000;
    std::string line = a + "  " + b + "  " + Json(score).dump();
    for (std::size_t i = 0; i < pair.because.size(); ++i) line += (i == 0 ? "  " : "; ") + std::string(pair.because[i]);
    for (const std::string_view reason : pair.against) line += "; but " + std::string(reason);
    printed = context.print(
        Json{{"a", a}, {"b", b}, {"score", score}, {"because", pair.because}, {"against", pair.against}}, line);
    return printed.has_value();
  };
  CASEVAULT_TRY(const DuplicatesResult result, session.duplicates(request, show));
  CASEVAULT_CHECK(std::move(printed));
  if (context.options.progress == "json") {
    // Standard output holds pairs alone: what is about all of them is the last line of standard error.
    note(dump(Json{{"pairs", result.pairs},
                   {"records", result.records},
                   {"entry", result.entry},
                   {"basis", result.basis},
                   {"damaged", result.damaged},
                   {"unheard", result.unheard}}));
  } else {
    std::string unheard;
    for (const std::string& field : result.unheard) unheard += (unheard.empty() ? "" : ", ") + field;
    note(std::to_string(result.pairs) + (result.pairs == 1 ? " pair among " : " pairs among ") +
         std::to_string(result.records) + " records, entry " + std::to_string(result.entry) + ", basis " +
         visible(result.basis) +
         (result.damaged == 0
              ? ""
              : "; left out, because they do not open (run doctor): " + std::to_string(result.damaged)) +
         (unheard.empty() ? "" : "; not compared, because you may not read them: " + unheard));
  }
  return 0;
}

Result<int> merge(Context& context, const MergeArguments& arguments) {
  CASEVAULT_TRY(const RecordId a, RecordId::parse(arguments.a));
  CASEVAULT_TRY(const RecordId b, RecordId::parse(arguments.b));
  CASEVAULT_TRY(Session session, context.open(Access::kReadWrite));
  CASEVAULT_TRY(const Merged merged, session.merge(a, b, arguments.reason, arguments.undo));
  Json person = Json::array();
  for (const RecordId& id : merged.person) person.push_back(id.to_string());
  std::string line = (arguments.undo ? "no longer merged: " : "merged: ") + a.to_string() + " and " + b.to_string() +
                     "  entry " + std::to_string(merged.entry);
  if (merged.person.size() > 2)
    line += "  (" + std::to_string(merged.person.size()) + " records are about this person)";
  CASEVAULT_CHECK(context.print(
      Json{{"a", a.to_string()}, {"b", b.to_string()}, {"person", person}, {"entry", merged.entry}}, line));
  return 0;
}

Result<int> disclose(Context& context, const DiscloseArguments& arguments) {
  DisclosureRequest request;
  const std::pair<std::string_view, const std::string&> needed[] = {
      {"--purpose", arguments.purpose}, {"--basis", arguments.basis}, {"--to", arguments.to}};
  for (const auto& [option, value] : needed) {
    if (value.empty()) return usage(std::string(option) + " must not be empty");
  }
  CASEVAULT_TRY(request.fields, parse_names(arguments.fields, "--fields"));
  for (const std::string& text : arguments.ids) {
    CASEVAULT_TRY(const RecordId id, RecordId::parse(text));
    request.ids.push_back(id);
  }
  request.purpose = arguments.purpose;
  request.basis = arguments.basis;
  request.recipient = arguments.to;
  request.recipient_class = arguments.to_class;
  if (!arguments.out.empty() && arguments.out == arguments.receipt)
    return usage("--out and --receipt name the same file");
  CASEVAULT_CHECK(check_new_file(arguments.receipt));
  CASEVAULT_CHECK(check_new_file(arguments.out));

  CASEVAULT_TRY(Session session, context.open(Access::kReadWrite));
  CASEVAULT_TRY(Disclosure disclosure, session.disclose(request));
  const bool json = context.options.json;
  CASEVAULT_TRY(SecretBuffer values, render(disclosure, request.fields, json));
  const std::string entry = std::to_string(disclosure.entry());

  std::optional<Error> no_receipt;
  if (!arguments.receipt.empty()) {
    auto receipt = disclosure.receipt();
    auto written = receipt.has_value() ? write_new_file(arguments.receipt, *receipt) : Result<void>(receipt.error());
    if (!written.has_value()) {
      no_receipt =
          with_prefix("the disclosure is entry " + entry + ", but its receipt is not there (", written.error());
      no_receipt->message += "); get it with: casevault audit prove " + entry + " --out FILE";
    }
  }
  // The entry stands and cannot be taken back, so the values are handed out whatever became of the receipt.
  const bool has_receipt = !arguments.receipt.empty() && !no_receipt;
  const Json facts{{"entry", disclosure.entry()},
                   {"receipt", has_receipt ? Json(arguments.receipt) : Json(nullptr)},
                   {"basis", disclosure.basis()}};
  const std::string line = "entry " + entry + ", basis " + visible(disclosure.basis()) +
                           (has_receipt ? ", receipt " + arguments.receipt : std::string());
  values.append(json ? "], " + dump(facts).substr(1) + "\n" : line + "\n");
  const auto handed =
      arguments.out.empty() ? context.print(values.text()) : write_new_file(arguments.out, values.text());
  if (!handed.has_value()) return with_prefix("the disclosure is entry " + entry + ", but ", handed.error());
  if (!arguments.out.empty()) {
    Json summary = facts;
    summary["out"] = arguments.out;
    CASEVAULT_CHECK(context.print(summary, line + ", values in " + arguments.out));
  }
  if (no_receipt) return *std::move(no_receipt);
  return 0;
}

}  // namespace casevault::cli
