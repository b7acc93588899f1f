// SPDX-License-Identifier: Apache-2.0
#include "support.hpp"

namespace casevault::python {
namespace {

/// Rows that Python holds already, read twice.
class Rows final : public RowSource {
 public:
  explicit Rows(const std::vector<Pairs>& rows) : rows_(rows) {}
  Result<void> rewind() override {
    next_ = 0;
    return {};
  }
  Result<bool> next(ImportRow& row) override {
    if (next_ == rows_.size()) return false;
    row.fields = inputs_of(rows_[next_]);
    row.number = ++next_;
    row.problem.clear();
    return true;
  }

 private:
  const std::vector<Pairs>& rows_;
  std::size_t next_ = 0;
};

Dict status_dict(const Status& status) {
  nb::list epochs;
  for (const EpochInfo& each : status.epochs) {
    nb::dict one;
    one["compartment"] = each.compartment;
    one["epoch"] = each.epoch;
    epochs.append(one);
  }
  Dict out;
  out["id"] = status.id;
  out["schema"] = status.schema;
  out["suite"] = static_cast<int>(status.suite);
  out["principal"] = status.principal;
  out["role"] = status.role;
  out["records"] = status.records;
  out["log_size"] = status.log_size;
  out["root"] = hex(status.root);
  out["epochs"] = epochs;
  out["log_key"] = status.log_key;
  out["vault_key_epoch"] = status.vault_key_epoch;
  out["erasure_level"] = status.erasure_level;
  out["warnings"] = status.warnings;
  return out;
}

auto written_tuple(const Written& written) {
  return std::tuple(written.id.to_string(), written.version, written.entry, written.warnings);
}

Dict import_rows(Open& s, const std::string& type, const std::vector<Pairs>& rows, bool dry_run, bool skip_bad_rows,
                 const Callback& progress) {
  std::vector<RowProblem> rejects;
  const ImportReport report = watched(progress, [&](const ProgressCallback& callback) {
    Rows source(rows);
    return s.import_rows(type, source,
                         {.dry_run = dry_run,
                          .skip_bad_rows = skip_bad_rows,
                          .collect_ids = true,
                          .on_reject =
                              [&](const ImportRow& /*row*/, const RowProblem& problem) {
                                rejects.push_back(problem);
                                return Result<void>();
                              },
                          .progress = callback});
  });
  nb::list problems;
  for (const RowProblem& problem : rejects.empty() ? report.problems : rejects)
    problems.append(std::tuple(problem.row, problem.column, problem.reason));
  Dict out;
  out["imported"] = report.imported;
  out["rejected"] = report.rejected;
  out["entry"] = report.entry;
  out["ids"] = texts_of(report.ids);
  out["problems"] = problems;
  out["warnings"] = report.warnings;
  return out;
}

void bind_records(nb::class_<Open>& session) {
  session
      .def("records",
           [](Open& s, const std::string& type, std::size_t limit, const std::optional<std::string>& after) {
             std::optional<RecordId> id;
             if (after) id = id_of(*after);
             const auto page = released([&] { return take(s.list(type, limit, id)); });
             Dicts out;
             for (const RecordInfo& info : page) {
               nb::dict one;
               one["id"] = info.id.to_string();
               one["type"] = info.type;
               one["version"] = info.version;
               one["created_ms"] = info.created_ms;
               one["updated_ms"] = info.updated_ms;
               one["unit"] = info.unit;
               out.append(one);
             }
             return out;
           })
      .def("history",
           [](Open& s, std::string_view text) {
             const RecordId id = id_of(text);
             const auto versions = released([&] { return take(s.history(id)); });
             Dicts out;
             for (const VersionInfo& version : versions) {
               nb::dict one;
               one["version"] = version.version;
               one["entry"] = version.entry;
               one["time_ms"] = version.time_ms;
               one["action"] = version.action;
               one["actor"] = version.actor;
               out.append(one);
             }
             return out;
           })
      .def("add",
           [](Open& s, const std::string& type, const Pairs& fields, const std::optional<std::uint64_t>& searched) {
             return written_tuple(released([&] { return take(s.add(type, inputs_of(fields), searched)); }));
           })
      .def("update",
           [](Open& s, std::string_view text, const Pairs& fields, const std::optional<std::uint32_t>& expect) {
             const RecordId id = id_of(text);
             return written_tuple(released([&] { return take(s.update(id, inputs_of(fields), expect)); }));
           })
      .def("import_rows", import_rows);
}

}  // namespace

void bind_session(nb::module_& m) {
  nb::class_<Open> session(m, "Session");
  session
      .def_static("open",
                  [](const Path& folder, Holder& holder, bool read_only, const Path& state_folder,
                     const std::vector<Path>& anchors, const std::string& trust_id) {
                    return released([&] {
                      const OpenOptions options{.read_only = read_only,
                                                .state_folder = state_folder,
                                                .anchors = {anchors.begin(), anchors.end()},
                                                .trust_id = trust_id};
                      return holder.with(
                          [&](Identity& identity) { return Open(take(Session::open(folder, identity, options))); });
                    });
                  })
      .def("close",
           [](Open& s) {
             *s.closed = true;
             released([&] { s.close(); });
           })
      .def("schema", [](const Open& s) { return s.schema(); })
      .def("status", [](Open& s) { return status_dict(released([&] { return take(s.status()); })); })
      .def("__reduce__", not_pickled<Open>, kReduce);
  bind_records(session);
  bind_disclosing(session);
  bind_search(m, session);
  bind_publishing(session);
  bind_log(session);
  bind_keys(session);
}

}  // namespace casevault::python
