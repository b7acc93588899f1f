// SPDX-License-Identifier: Apache-2.0
// The public headers for Python. What can be said in Python is said there (casevault/__init__.py); here are the types
// that hold keys and plaintext, and every call that waits or works gives the GIL away.
#include <casevault/casevault.hpp>

#include <nanobind/nanobind.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/string_view.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include <memory>
#include <tuple>

namespace nb = nanobind;
using namespace nb::literals;

namespace casevault::python {
namespace {

/// An Error on its way through C++ frames; becomes the exception named after its code.
struct Failure {
  Error error;
};

template <typename T>
T take(Result<T> result) {
  if (!result.has_value()) throw Failure{std::move(result).error()};
  return *std::move(result);
}
void take(const Result<void>& result) {
  if (!result.has_value()) throw Failure{result.error()};
}

void translate(const std::exception_ptr& thrown, void* /*unused*/) {
  try {
    std::rethrow_exception(thrown);
  } catch (const Failure& failure) {
    const Error& error = failure.error;
    try {
      const nb::object made = nb::module_::import_("casevault._errors")
                                  .attr("make")(static_cast<int>(error.code), error.message, error.entry);
      PyErr_SetObject(reinterpret_cast<PyObject*>(Py_TYPE(made.ptr())), made.ptr());
    } catch (nb::python_error& python) {
      python.restore();
    }
  }
}

/// Work without the GIL. Python objects are neither made nor let go in it.
template <typename Work>
auto released(const Work& work) {
  const nb::gil_scoped_release release;
  return work();
}

/// A callable that C++ may call and let go in any thread.
using Callable = std::shared_ptr<nb::object>;
Callable keep(const std::optional<nb::object>& callable) {
  if (!callable) return {};
  return {new nb::object(*callable), [](nb::object* object) {
            const nb::gil_scoped_acquire acquire;
            delete object;
          }};
}

ProgressCallback progress_of(const Callable& kept) {
  if (!kept) return {};
  return [kept](const Progress& progress) {
    const nb::gil_scoped_acquire acquire;
    if (!kept->is_valid()) return true;
    try {
      const nb::object answer = (*kept)(std::string(progress.stage), progress.done, progress.total);
      if (answer.is_none()) return true;
      const int goes_on = PyObject_IsTrue(answer.ptr());
      if (goes_on < 0) throw nb::python_error();
      return goes_on == 1;
    } catch (nb::python_error& error) {
      error.discard_as_unraisable("a progress callback of casevault");
    } catch (...) {  // nothing is thrown through the frames of the library
    }
    return false;
  };
}
ProgressCallback progress_of(const std::optional<nb::object>& callable) { return progress_of(keep(callable)); }

/// A table with the callback that it holds: callbacks refer to the tables that refer to them, so the collector must see
/// it.
struct Columns {
  Table table;
  Callable progress;
};

int traverse_columns(PyObject* self, visitproc visit, void* arg) {
  Py_VISIT(Py_TYPE(self));
  if (!nb::inst_ready(self)) return 0;
  const auto* const columns = nb::inst_ptr<Columns>(self);
  if (columns->progress) Py_VISIT(columns->progress->ptr());
  return 0;
}

int clear_columns(PyObject* self) {
  auto* const columns = nb::inst_ptr<Columns>(self);
  if (columns->progress) columns->progress->reset();
  return 0;
}

PyType_Slot columns_slots[] = {{Py_tp_traverse, reinterpret_cast<void*>(traverse_columns)},
                               {Py_tp_clear, reinterpret_cast<void*>(clear_columns)},
                               {0, nullptr}};

// --- Arrow capsules: the name is the contract ---

template <typename T>
void drop(PyObject* capsule, const char* name) noexcept {
  auto* const held = static_cast<T*>(PyCapsule_GetPointer(capsule, name));
  if (held == nullptr) return;
  if (held->release != nullptr) held->release(held);
  delete held;
}

nb::object capsule(std::unique_ptr<ArrowSchema> schema) {
  PyObject* const made =
      PyCapsule_New(schema.get(), "arrow_schema", [](PyObject* self) { drop<ArrowSchema>(self, "arrow_schema"); });
  if (made == nullptr) throw nb::python_error();
  (void)schema.release();
  return nb::steal(made);
}

nb::object capsule(std::unique_ptr<ArrowArrayStream> stream) {
  PyObject* const made = PyCapsule_New(stream.get(), "arrow_array_stream",
                                       [](PyObject* self) { drop<ArrowArrayStream>(self, "arrow_array_stream"); });
  if (made == nullptr) throw nb::python_error();
  (void)stream.release();
  return nb::steal(made);
}

template <typename T>
nb::object schema_capsule(const T& table) {
  auto schema = std::make_unique<ArrowSchema>();
  table.schema(*schema);
  return capsule(std::move(schema));
}

/// Values are kept in locked memory; only reveal() makes Python objects of them, which nobody can wipe.
struct Secret {
  SecretBytes bytes;
};

struct Row {
  RecordId id;
  std::shared_ptr<const std::vector<std::string>> fields;
  std::vector<std::optional<SecretBytes>> values;

  Row() = default;
  Row(Row&&) noexcept = default;
  Row& operator=(Row&&) noexcept = default;

  [[nodiscard]] nb::object at(std::string_view field) const {
    for (std::size_t i = 0; i < fields->size(); ++i) {
      if ((*fields)[i] != field) continue;
      if (!values[i]) return nb::none();
      return nb::cast(Secret{values[i]->clone()});
    }
    throw nb::key_error(std::string(field).c_str());
  }
  [[nodiscard]] nb::dict reveal() const {
    nb::dict out;
    for (std::size_t i = 0; i < fields->size(); ++i) {
      const std::string_view text = values[i] ? values[i]->text() : std::string_view();
      out[nb::cast((*fields)[i])] = values[i] ? nb::object(nb::str(text.data(), text.size())) : nb::object(nb::none());
    }
    return out;
  }
};

struct Disclosed {
  Disclosure disclosure;
  std::shared_ptr<const std::vector<std::string>> fields;
};

template <typename T>
std::vector<std::optional<std::uint64_t>> line(const T& table, std::size_t row) {
  std::vector<std::optional<std::uint64_t>> out;
  for (std::size_t c = 0; c <= table.column_labels.size(); ++c) out.push_back(table.at(row, c));
  return out;
}

std::vector<RecordId> ids_of(const std::vector<std::string>& texts) {
  std::vector<RecordId> out;
  out.reserve(texts.size());
  for (const std::string& text : texts) out.push_back(take(RecordId::parse(text)));
  return out;
}

std::vector<Filter> filters_of(const std::vector<std::tuple<std::string, std::string, std::string>>& where) {
  std::vector<Filter> out;
  for (const auto& [field, from, to] : where) out.push_back({field, from, to});
  return out;
}

Passphrase passphrase_of(const std::string& text) { return Passphrase(SecretBytes::copy(as_bytes(text))); }

using Pairs = std::vector<std::pair<std::string, std::string>>;

std::vector<FieldInput> inputs_of(const Pairs& fields) {
  std::vector<FieldInput> out;
  for (const auto& [name, text] : fields) out.push_back({name, text});
  return out;
}

nb::dict verify_dict(const VerifyReport& report) {
  nb::dict out;
  out["ok"] = report.ok;
  out["size"] = report.size;
  out["entry"] = report.entry;
  out["reason"] = report.reason;
  out["warnings"] = report.warnings;
  return out;
}

nb::dict entry_dict(const LogEntry& entry) {
  nb::dict out;
  out["entry"] = entry.entry;
  out["time_ms"] = entry.time_ms;
  out["action"] = std::string(audit::name_of(entry.action));
  out["outcome"] = std::string(audit::name_of(entry.outcome));
  out["actor"] = entry.actor;
  out["purpose"] = entry.purpose;
  out["basis"] = entry.basis;
  out["count"] = entry.count;
  out["details"] = entry.details;
  return out;
}

nb::dict record_dict(const RecordInfo& info) {
  nb::dict out;
  out["id"] = info.id.to_string();
  out["type"] = info.type;
  out["version"] = info.version;
  out["created_ms"] = info.created_ms;
  out["updated_ms"] = info.updated_ms;
  out["unit"] = info.unit;
  return out;
}

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

void bind_values(nb::module_& m) {
  nb::class_<Secret>(m, "Secret",
                     "A value in locked memory, wiped when it goes. Shows itself to nobody but `reveal()`.")
      .def(
          "reveal", [](const Secret& s) { return nb::str(s.bytes.text().data(), s.bytes.size()); },
          "The text as a Python string, which cannot be wiped: keep it short.")
      .def("__repr__", [](const Secret&) { return "<casevault.Secret>"; })
      .def("__len__", [](const Secret& s) { return s.bytes.size(); })
      .def("__reduce__", [](const Secret&) -> nb::object { throw nb::type_error("a secret is not pickled"); });

  nb::class_<Row>(m, "Row", "One disclosed record. `row[field]` is a `Secret`, or None where nothing is recorded.")
      .def_prop_ro("id", [](const Row& row) { return row.id.to_string(); })
      .def_prop_ro("fields", [](const Row& row) { return *row.fields; })
      .def("__getitem__", [](const Row& row, std::string_view field) { return row.at(field); })
      .def("reveal", &Row::reveal, "All values as a dictionary of strings and None.")
      .def("__repr__", [](const Row& row) { return "<casevault.Row " + row.id.to_string() + ">"; })
      .def("__reduce__", [](const Row&) -> nb::object { throw nb::type_error("a disclosed record is not pickled"); });

  nb::class_<Disclosed>(m, "Disclosure", "Released records, in the order asked. Their entry is on disk already.")
      .def_prop_ro("entry", [](const Disclosed& d) { return d.disclosure.entry(); })
      .def_prop_ro("basis", [](const Disclosed& d) { return d.disclosure.basis(); })
      .def("receipt", [](const Disclosed& d) { return released([&] { return take(d.disclosure.receipt()); }); })
      .def("__iter__", [](nb::object self) { return self; })
      .def(
          "__next__",
          [](Disclosed& d) {
            Row row;
            row.fields = d.fields;
            const bool more = released([&] {
              const Disclosure::Record* const record = take(d.disclosure.next());
              if (record == nullptr) return false;
              row.id = record->id;
              row.values.reserve(record->values.size());
              for (const auto& value : record->values)
                row.values.push_back(value ? std::optional(SecretBytes::copy(as_bytes(*value))) : std::nullopt);
              return true;
            });
            if (!more) throw nb::stop_iteration();
            return row;
          },
          nb::lock_self())
      .def("__repr__",
           [](const Disclosed& d) {
             return "<casevault.Disclosure, entry " + std::to_string(d.disclosure.entry()) + ">";
           })
      .def("__reduce__", [](const Disclosed&) -> nb::object { throw nb::type_error("a disclosure is not pickled"); });
}

void bind_tables(nb::module_& m) {
  nb::class_<Columns>(
      m, "Table", nb::type_slots(columns_slots),
      "Granted columns, exactly, as an Arrow stream. The first read is the disclosure, under one entry; "
      "its schema may be looked at before, and it may be read again.")
      .def("__arrow_c_schema__", [](const Columns& self) { return schema_capsule(self.table); })
      .def(
          "__arrow_c_stream__",
          [](Columns& self, const nb::object& /*requested_schema*/) {
            auto stream = std::make_unique<ArrowArrayStream>();
            released([&] { take(self.table.stream(*stream)); });
            return capsule(std::move(stream));
          },
          "requested_schema"_a = nb::none())
      .def_prop_ro(
          "entry", [](const Columns& self) { return released([&] { return self.table.entry(); }); },
          "The log entry, or None before the first read.")
      .def_prop_ro(
          "rows", [](const Columns& self) { return released([&] { return self.table.rows(); }); },
          "How many records the entry fixed, or None before the first read.")
      .def_prop_ro("basis", [](const Columns& self) { return released([&] { return self.table.basis(); }); })
      .def(
          "check",
          [](const Columns& self) {
            if (auto error = released([&] { return self.table.last_error(); })) throw Failure{*std::move(error)};
          },
          "Raises what went wrong in the last read, with its own exception.")
      .def("__repr__",
           [](const Columns& self) {
             const auto entry = released([&] { return self.table.entry(); });
             return entry ? "<casevault.Table, entry " + std::to_string(*entry) + ">"
                          : std::string("<casevault.Table, not read>");
           })
      .def("__reduce__", [](const Columns&) -> nb::object { throw nb::type_error("a table is not pickled"); });

  nb::class_<Tabulation>(m, "Tabulation", "A cross table that may be published; None stands for what is hidden.")
      .def_ro("type", &Tabulation::type)
      .def_ro("rows", &Tabulation::rows)
      .def_ro("columns", &Tabulation::columns)
      .def_ro("row_labels", &Tabulation::row_labels)
      .def_ro("column_labels", &Tabulation::column_labels)
      .def_ro("min_cell", &Tabulation::min_cell)
      .def_ro("round_to", &Tabulation::round_to)
      .def_ro("purpose", &Tabulation::purpose)
      .def_ro("basis", &Tabulation::basis)
      .def_ro("entry", &Tabulation::entry)
      .def_prop_ro("cells",
                   [](const Tabulation& table) {
                     std::vector<std::vector<std::optional<std::uint64_t>>> out;
                     for (std::size_t r = 0; r < table.row_labels.size(); ++r) {
                       out.push_back(line(table, r));
                       out.back().pop_back();
                     }
                     return out;
                   })
      .def_prop_ro("row_totals",
                   [](const Tabulation& table) {
                     std::vector<std::optional<std::uint64_t>> out;
                     for (std::size_t r = 0; r < table.row_labels.size(); ++r)
                       out.push_back(table.at(r, table.column_labels.size()));
                     return out;
                   })
      .def_prop_ro("column_totals",
                   [](const Tabulation& table) {
                     auto out = line(table, table.row_labels.size());
                     out.pop_back();
                     return out;
                   })
      .def_prop_ro(
          "total",
          [](const Tabulation& table) { return table.at(table.row_labels.size(), table.column_labels.size()); })
      .def("__arrow_c_schema__", [](const Tabulation& table) { return schema_capsule(table); })
      .def(
          "__arrow_c_stream__",
          [](const Tabulation& table, const nb::object& /*requested_schema*/) {
            auto stream = std::make_unique<ArrowArrayStream>();
            table.stream(*stream);
            return capsule(std::move(stream));
          },
          "requested_schema"_a = nb::none())
      .def(
          "plot",
          [](const nb::object& self, const nb::object& ax) {
            return nb::module_::import_("casevault._show").attr("plot")(self, ax);
          },
          "ax"_a = nb::none(), "Bars through matplotlib; what is hidden is hatched. Answers the axes.")
      .def("_repr_html_",
           [](const nb::object& self) { return nb::module_::import_("casevault._show").attr("repr_html")(self); })
      .def("__repr__",
           [](const Tabulation& table) {
             return "<casevault.Tabulation " + table.rows + (table.columns.empty() ? "" : " by " + table.columns) +
                    ", entry " + std::to_string(table.entry) + ">";
           })
      .def("__reduce__", [](const Tabulation&) -> nb::object { throw nb::type_error("a tabulation is not pickled"); });

  nb::class_<Release>(m, "Release",
                      "Rows that may be handed on: coarser, in groups of k, shuffled. Not readable in a forked child.")
      .def_prop_ro("columns", &Release::columns)
      .def_prop_ro("entry", &Release::entry)
      .def_prop_ro("name", &Release::name)
      .def_prop_ro("basis", &Release::basis)
      .def_prop_ro("k", &Release::k)
      .def_prop_ro("distinct", &Release::distinct)
      .def_prop_ro("dropped", &Release::dropped, "Rows left out, or None when these are some, but fewer than k.")
      .def_prop_ro("starred", &Release::starred)
      .def("__len__", &Release::rows)
      .def("__arrow_c_schema__", [](const Release& release) { return schema_capsule(release); })
      .def(
          "__arrow_c_stream__",
          [](const Release& release, const nb::object& /*requested_schema*/) {
            auto stream = std::make_unique<ArrowArrayStream>();
            release.stream(*stream);
            return capsule(std::move(stream));
          },
          "requested_schema"_a = nb::none())
      .def("__repr__",
           [](const Release& release) {
             return "<casevault.Release " + release.name() + ", " + std::to_string(release.rows()) + " rows, entry " +
                    std::to_string(release.entry()) + ">";
           })
      .def("__reduce__", [](const Release&) -> nb::object { throw nb::type_error("a release is not pickled"); });
}

void bind_session(nb::module_& m) {
  nb::class_<Session>(m, "Session")
      .def_static("open",
                  [](const std::string& folder, const std::string& identity, const std::string& passphrase,
                     bool read_only, const std::string& state_folder, const std::string& trust_id) {
                    return released([&] {
                      const Identity opened = take(Identity::open(identity, passphrase_of(passphrase), state_folder));
                      OpenOptions options;
                      options.read_only = read_only;
                      options.state_folder = state_folder;
                      options.trust_id = trust_id;
                      return take(Session::open(folder, opened, options));
                    });
                  })
      .def("close", [](Session& s) { released([&] { s.close(); }); })
      .def("schema_source", [](const Session& s) { return s.schema().source(); })
      .def("status",
           [](Session& s) {
             const Status status = released([&] { return take(s.status()); });
             nb::dict out;
             out["id"] = status.id;
             out["schema"] = status.schema;
             out["principal"] = status.principal;
             out["role"] = status.role;
             nb::dict records;
             for (const auto& [type, count] : status.records) records[nb::cast(type)] = count;
             out["records"] = records;
             out["log_size"] = status.log_size;
             out["erasure_level"] = status.erasure_level;
             out["warnings"] = status.warnings;
             return out;
           })
      .def("records",
           [](Session& s, const std::string& type, std::size_t limit, const std::optional<std::string>& after) {
             const auto page = released([&] {
               std::optional<RecordId> id;
               if (after) id = take(RecordId::parse(*after));
               return take(s.list(type, limit, id));
             });
             nb::list out;
             for (const RecordInfo& info : page) out.append(record_dict(info));
             return out;
           })
      .def("add",
           [](Session& s, const std::string& type, const Pairs& fields) {
             const Written written = released([&] { return take(s.add(type, inputs_of(fields))); });
             return std::tuple(written.id.to_string(), written.version, written.entry);
           })
      .def("import_rows",
           [](Session& s, const std::string& type, const std::vector<Pairs>& rows,
              const std::optional<nb::object>& progress) {
             ImportOptions options;
             options.collect_ids = true;
             options.progress = progress_of(progress);
             std::vector<std::string> ids;
             std::string problem;
             const std::optional<std::uint64_t> entry = released([&] {
               Rows source(rows);
               const ImportReport report = take(s.import_rows(type, source, options));
               if (!report.problems.empty()) {
                 const RowProblem& first = report.problems.front();
                 take(Result<void>(Error{ErrorCode::kBadInput, std::to_string(report.rejected) +
                                                                   " bad rows, nothing was written; row " +
                                                                   std::to_string(first.row) + ", column " +
                                                                   first.column + ": " + first.reason}));
               }
               for (const RecordId& id : report.ids) ids.push_back(id.to_string());
               return report.entry;
             });
             return std::tuple(ids, entry);
           })
      .def("update",
           [](Session& s, const std::string& id, const Pairs& fields, const std::optional<std::uint32_t>& expect) {
             const Written written =
                 released([&] { return take(s.update(take(RecordId::parse(id)), inputs_of(fields), expect)); });
             return std::tuple(written.id.to_string(), written.version, written.entry);
           })
      .def("disclose",
           [](Session& s, const std::vector<std::string>& ids, const std::vector<std::string>& fields,
              const std::string& purpose, const std::string& basis, const std::string& recipient,
              const std::string& recipient_class) {
             return released([&] {
               const DisclosureRequest request{ids_of(ids), fields, purpose, basis, recipient, recipient_class};
               return Disclosed{take(s.disclose(request)), std::make_shared<const std::vector<std::string>>(fields)};
             });
           })
      .def("table",
           [](Session& s, const std::string& type, const std::vector<std::string>& columns, bool ids,
              const std::string& purpose, const std::string& basis, const std::string& recipient,
              const std::string& recipient_class, const std::optional<nb::object>& progress) {
             const Callable kept = keep(progress);
             const TableRequest request{
                 type, columns, ids, purpose, basis, recipient, recipient_class, progress_of(kept)};
             return released([&] { return Columns{take(s.table(request)), kept}; });
           })
      .def("tabulate",
           [](Session& s, const std::string& type, const std::string& rows, const std::string& columns,
              const std::vector<std::tuple<std::string, std::string, std::string>>& where, int era,
              std::uint64_t min_cell, std::uint64_t round_to, const std::string& purpose, const std::string& basis,
              const std::string& recipient, const std::string& name) {
             return released([&] {
               return take(s.tabulate({type, rows, columns, filters_of(where), static_cast<Era>(era), min_cell,
                                       round_to, purpose, basis, recipient, name}));
             });
           })
      .def("release",
           [](Session& s, const std::string& type,
              const std::vector<
                  std::tuple<std::string, std::optional<int>, std::vector<std::int64_t>, std::string, bool>>& columns,
              const std::vector<std::tuple<std::string, std::string, std::string>>& where, const std::string& name,
              std::uint64_t k, std::uint64_t distinct, bool star, bool pseudonyms, int era, const std::string& purpose,
              const std::string& basis, const std::string& recipient, const std::string& recipient_class) {
             return released([&] {
               ReleaseRequest request;
               request.type = type;
               for (const auto& [field, level, bands, age_on, sensitive] : columns) {
                 const auto coarseness = level ? std::optional(static_cast<Coarseness>(*level)) : std::nullopt;
                 request.columns.push_back({field, coarseness, bands, age_on, sensitive});
               }
               request.where = filters_of(where);
               request.name = name;
               request.k = k;
               request.distinct = distinct;
               request.star = star;
               request.pseudonyms = pseudonyms;
               request.era = static_cast<Era>(era);
               request.purpose = purpose;
               request.basis = basis;
               request.recipient = recipient;
               request.recipient_class = recipient_class;
               return take(s.release(request));
             });
           })
      .def("ledger",
           [](Session& s) {
             const auto ledger = released([&] { return take(s.ledger()); });
             nb::list out;
             for (const LedgerEntry& entry : ledger) {
               nb::dict one;
               one["entry"] = entry.entry;
               one["time_ms"] = entry.time_ms;
               one["kind"] = entry.kind;
               one["actor"] = entry.actor;
               one["type"] = entry.type;
               one["name"] = entry.name;
               one["definition"] = entry.definition;
               out.append(one);
             }
             return out;
           })
      .def("record_budget",
           [](Session& s, const std::string& purpose, const std::string& tool, const std::string& name,
              const std::string& epsilon) {
             return released([&] { return take(s.record_budget({purpose, tool, name, epsilon})); });
           })
      .def("verify",
           [](Session& s, const std::string& anchor, const std::optional<nb::object>& progress) {
             const ProgressCallback callback = progress_of(progress);
             return verify_dict(released([&] { return take(s.verify_log(anchor, callback)); }));
           })
      .def("entries",
           [](Session& s, std::uint64_t from, const std::string& actor, const std::optional<std::string>& subject,
              bool details) {
             std::vector<LogEntry> entries;
             released([&] {
               LogQuery query;
               query.from = from;
               query.actor = actor;
               if (subject) query.subject = take(RecordId::parse(*subject));
               query.details = details;
               take(s.read_log(query, [&](const LogEntry& entry) {
                 entries.push_back(entry);
                 return true;
               }));
             });
             nb::list out;
             for (const LogEntry& entry : entries) out.append(entry_dict(entry));
             return out;
           })
      .def("prove", [](Session& s, std::uint64_t entry) { return released([&] { return take(s.prove(entry)); }); })
      .def("checkpoint", [](Session& s) { return released([&] { return take(s.checkpoint()); }); })
      .def("keys",
           [](Session& s) {
             const auto keys = released([&] { return take(s.keys()); });
             nb::list out;
             for (const KeyInfo& key : keys) {
               nb::dict one;
               one["compartment"] = key.compartment;
               one["epoch"] = key.epoch;
               one["state"] = key.state;
               one["cells"] = key.cells;
               out.append(one);
             }
             return out;
           })
      .def("rotate",
           [](Session& s, const std::string& compartment) {
             const Rotation made = released([&] { return take(s.rotate(compartment)); });
             return std::tuple(made.old_epoch, made.new_epoch, made.entry);
           })
      .def("reencrypt",
           [](Session& s, const std::string& compartment, std::uint64_t rate, bool index,
              const std::optional<nb::object>& progress) {
             const ReencryptOptions options{
                 .compartment = compartment, .rate = rate, .index = index, .progress = progress_of(progress)};
             const Reencryption done = released([&] { return take(s.reencrypt(options)); });
             nb::dict out;
             out["done"] = done.done;
             out["total"] = done.total;
             out["finished"] = done.finished;
             out["failed"] = done.failed;
             out["skipped"] = done.skipped;
             return out;
           })
      .def("destroy_epoch",
           [](Session& s, const std::string& compartment, std::uint32_t epoch) {
             return released([&] { return take(s.destroy_epoch(compartment, epoch)); });
           })
      .def("principals",
           [](Session& s) {
             const auto all = released([&] { return take(s.principals()); });
             nb::list out;
             for (const PrincipalInfo& who : all) {
               nb::dict one;
               one["name"] = who.name;
               one["role"] = who.role;
               one["unit"] = who.unit;
               one["grants"] = who.grants;
               one["entry"] = who.entry;
               one["revoked"] = who.revoked;
               out.append(one);
             }
             return out;
           })
      .def("add_principal",
           [](Session& s, const std::string& name, const std::string& public_string, const std::string& role,
              const std::vector<std::string>& grants, const std::string& unit) {
             return released([&] {
               PrincipalRequest request;
               request.name = name;
               request.public_string = public_string;
               request.role = role;
               request.grants = grants;
               request.unit = unit;
               return take(s.add_principal(request));
             });
           })
      .def("revoke", [](Session& s, const std::string& name) { return released([&] { return take(s.revoke(name)); }); })
      .def("__reduce__", [](const Session&) -> nb::object { throw nb::type_error("an open vault is not pickled"); });
}

NB_MODULE(_casevault, m) {
  nb::set_leak_warnings(true);
  nb::register_exception_translator(translate, nullptr);
  bind_values(m);
  bind_tables(m);
  bind_session(m);
  m.def("init", [](const std::string& folder, const std::string& schema, const std::string& passphrase,
                   const std::string& identity_file, const std::string& owner, const std::string& state_folder,
                   std::uint32_t memory_mib) {
    const InitResult made = released([&] {
      InitOptions options;
      options.owner = owner;
      options.identity_file = identity_file;
      options.state_folder = state_folder;
      if (memory_mib != 0) options.slot_cost = {1, memory_mib};
      return take(Session::init(
          folder, take(schema.find('\n') == std::string::npos ? Schema::bundled(schema) : Schema::parse(schema)),
          passphrase_of(passphrase), options));
    });
    nb::dict out;
    out["vault_id"] = made.vault_id;
    out["owner"] = made.owner;
    out["log_key"] = made.log_key;
    out["schema"] = made.schema;
    out["identity_file"] = made.identity_file.string();
    return out;
  });
  m.def("create_identity",
        [](const std::string& file, const std::string& name, const std::string& passphrase, std::uint32_t memory_mib) {
          return released([&] {
            const SlotCost cost = memory_mib == 0 ? SlotCost{} : SlotCost{1, memory_mib};
            return take(Identity::create(file, name, passphrase_of(passphrase), cost)).public_string();
          });
        });
  m.def("accept", [](const std::string& invitation, const std::string& identity, const std::string& passphrase,
                     const std::string& state_folder) {
    return released([&] {
      Identity opened = take(Identity::open(identity, passphrase_of(passphrase), state_folder));
      return take(Session::accept(invitation, opened));
    });
  });
  m.def("verify_receipt", [](const std::string& receipt, const std::string& log_key) {
    const audit::ReceiptFacts facts = released([&] { return take(audit::verify_receipt(receipt, log_key)); });
    nb::dict out;
    out["entry"] = facts.entry;
    out["size"] = facts.size;
    out["action"] = std::string(audit::name_of(facts.action));
    out["outcome"] = std::string(audit::name_of(facts.outcome));
    out["time_ms"] = facts.time_ms;
    out["purpose"] = facts.purpose;
    out["basis"] = facts.basis;
    out["count"] = facts.count;
    return out;
  });
  m.def("parse_filter", [](const std::string& text) {
    const Filter filter = take(Filter::parse(text));
    return std::tuple(filter.field, filter.from, filter.to);
  });
}

}  // namespace
}  // namespace casevault::python
