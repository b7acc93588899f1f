// SPDX-License-Identifier: Apache-2.0
#include "support.hpp"

namespace casevault::python {
namespace {

constexpr std::array<std::string_view, 3> kEras = {"recorded", "2024", "2025"};
using Conditions = std::vector<std::tuple<std::string, std::string, std::string>>;

/// A callable that C++ may call and let go in any thread.
using Callable = std::shared_ptr<nb::object>;
Callable keep(const Callback& callable) {
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
      return advance(*kept, progress);
    } catch (nb::python_error& error) {
      error.discard_as_unraisable("a progress callback of casevault");
    } catch (...) {  // nothing is thrown through the frames of the library
    }
    return false;
  };
}

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

template <typename T>
std::vector<std::optional<std::uint64_t>> line(const T& table, std::size_t row) {
  std::vector<std::optional<std::uint64_t>> out;
  for (std::size_t c = 0; c <= table.column_labels.size(); ++c) out.push_back(table.at(row, c));
  return out;
}

std::vector<Filter> filters_of(const Conditions& where) {
  std::vector<Filter> out;
  for (const auto& [field, from, to] : where) out.push_back({.field = field, .from = from, .to = to});
  return out;
}

}  // namespace

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
      .def("__reduce__", not_pickled<Columns>, kReduce);

  nb::class_<Tabulation>(m, "Tabulation", "A cross table that may be published; None stands for what is hidden.")
      .def_ro("type", &Tabulation::type)
      .def_ro("rows", &Tabulation::rows)
      .def_ro("columns", &Tabulation::columns)
      .def_ro("row_labels", &Tabulation::row_labels)
      .def_ro("column_labels", &Tabulation::column_labels)
      .def_ro("min_cell", &Tabulation::min_cell)
      .def_ro("round_to", &Tabulation::round_to)
      .def_prop_ro("era", [](const Tabulation& table) { return kEras.at(static_cast<std::size_t>(table.era)); })
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
          nb::sig("def plot(self, ax: typing.Any = None) -> typing.Any"), "ax"_a = nb::none(),
          "Bars through matplotlib; what is hidden is hatched. Answers the axes.")
      .def(
          "_repr_html_",
          [](const nb::object& self) { return nb::module_::import_("casevault._show").attr("repr_html")(self); },
          nb::sig("def _repr_html_(self) -> str"))
      .def("__repr__",
           [](const Tabulation& table) {
             return "<casevault.Tabulation " + table.rows + (table.columns.empty() ? "" : " by " + table.columns) +
                    ", entry " + std::to_string(table.entry) + ">";
           })
      .def("__reduce__", not_pickled<Tabulation>, kReduce);

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
      .def("__reduce__", not_pickled<Release>, kReduce);
}

void bind_publishing(nb::class_<Open>& session) {
  session
      .def("table",
           [](Open& s, const std::string& type, const std::vector<std::string>& columns, bool ids,
              const std::string& purpose, const std::string& basis, const std::string& recipient,
              const std::string& recipient_class, const Callback& progress) {
             const Callable kept = keep(progress);
             const TableRequest request{.type = type,
                                        .columns = columns,
                                        .ids = ids,
                                        .purpose = purpose,
                                        .basis = basis,
                                        .recipient = recipient,
                                        .recipient_class = recipient_class,
                                        .progress = progress_of(kept)};
             return Columns{released([&] { return take(s.table(request)); }), kept};
           })
      .def("tabulate",
           [](Open& s, const std::string& type, const std::string& rows, const std::string& columns,
              const Conditions& where, int era, std::uint64_t min_cell, std::uint64_t round_to,
              const std::string& purpose, const std::string& basis, const std::string& recipient,
              const std::string& name, const Callback& progress) {
             return watched(progress, [&](const ProgressCallback& callback) {
               return s.tabulate({.type = type,
                                  .rows = rows,
                                  .columns = columns,
                                  .where = filters_of(where),
                                  .era = static_cast<Era>(era),
                                  .min_cell = min_cell,
                                  .round_to = round_to,
                                  .purpose = purpose,
                                  .basis = basis,
                                  .recipient = recipient,
                                  .name = name,
                                  .progress = callback});
             });
           })
      .def("indicators",
           [](Open& s, const std::string& from, const std::string& to, const std::vector<std::string>& names, int era,
              std::uint64_t min_cell, const std::string& purpose, const std::string& basis,
              const std::string& recipient, const Callback& progress) {
             const std::vector<IndicatorResult> results = watched(progress, [&](const ProgressCallback& callback) {
               return s.indicators({.from = from,
                                    .to = to,
                                    .names = names,
                                    .era = static_cast<Era>(era),
                                    .min_cell = min_cell,
                                    .purpose = purpose,
                                    .basis = basis,
                                    .recipient = recipient,
                                    .progress = callback});
             });
             using Titles = std::map<std::string, std::string>;
             std::vector<std::tuple<std::string, Titles, std::optional<Tabulation>, std::optional<std::string>>> out;
             for (const IndicatorResult& each : results) {
               out.emplace_back(each.indicator.name, Titles(each.indicator.titles.begin(), each.indicator.titles.end()),
                                each.table, each.refused ? std::optional(each.refused->message) : std::nullopt);
             }
             return out;
           })
      .def("release",
           [](Open& s, const std::string& type,
              const std::vector<
                  std::tuple<std::string, std::optional<int>, std::vector<std::int64_t>, std::string, bool>>& columns,
              const Conditions& where, const std::string& name, std::uint64_t k, std::uint64_t distinct, bool star,
              bool pseudonyms, int era, const std::string& purpose, const std::string& basis,
              const std::string& recipient, const std::string& recipient_class, const Callback& progress) {
             return watched(progress, [&](const ProgressCallback& callback) {
               ReleaseRequest request{.type = type,
                                      .columns = {},
                                      .where = filters_of(where),
                                      .name = name,
                                      .k = k,
                                      .distinct = distinct,
                                      .star = star,
                                      .pseudonyms = pseudonyms,
                                      .era = static_cast<Era>(era),
                                      .purpose = purpose,
                                      .basis = basis,
                                      .recipient = recipient,
                                      .recipient_class = recipient_class,
                                      .progress = callback};
               for (const auto& [field, level, bands, age_on, sensitive] : columns)
                 request.columns.push_back(
                     {.field = field,
                      .coarseness = level ? std::optional(static_cast<Coarseness>(*level)) : std::nullopt,
                      .bands = bands,
                      .age_on = age_on,
                      .sensitive = sensitive});
               return s.release(request);
             });
           })
      .def("ledger",
           [](Open& s) {
             const auto ledger = released([&] { return take(s.ledger()); });
             Dicts out;
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
      .def("record_budget", [](Open& s, const std::string& purpose, const std::string& tool, const std::string& name,
                               const std::string& epsilon) {
        return released([&] {
          return take(s.record_budget({.purpose = purpose, .tool = tool, .name = name, .epsilon = epsilon}));
        });
      });
}

}  // namespace casevault::python
