// SPDX-License-Identifier: Apache-2.0
#include "support.hpp"

namespace casevault::python {
namespace {

/// A field with what its schema says of it, in words.
struct FieldFacts {
  std::string name;
  std::string type;
  std::string compartment;
  bool required = false;
  std::vector<std::string> codes;
  std::string index;
  std::string trait;
};

std::vector<FieldFacts> fields_of(const Schema& schema, const std::string& name) {
  const RecordType* const type = schema.find_type(name);
  if (type == nullptr)
    throw Failure{{.code = ErrorCode::kNotFound, .message = "the schema has no type '" + name + "'"}};
  std::vector<FieldFacts> out;
  for (const Field& field : type->fields) {
    const CodeList* const list = schema.find_list(field.list);
    out.push_back({.name = field.name,
                   .type = std::string(name_of(field.type)),
                   .compartment = schema.compartments()[field.compartment].name,
                   .required = field.required,
                   .codes = list == nullptr ? std::vector<std::string>() : list->codes,
                   .index = std::string(name_of(field.index)),
                   .trait = std::string(name_of(field.trait))});
  }
  return out;
}

}  // namespace

void bind_schema(nb::module_& m) {
  nb::class_<FieldFacts>(m, "Field", "A field of a type, as the schema has it.")
      .def_ro("name", &FieldFacts::name)
      .def_ro("type", &FieldFacts::type, "text, code, multi-code, date, integer, boolean or bytes")
      .def_ro("compartment", &FieldFacts::compartment)
      .def_ro("required", &FieldFacts::required)
      .def_ro("codes", &FieldFacts::codes, "What a coded field may hold.")
      .def_ro("index", &FieldFacts::index, "How it can be searched for.")
      .def_ro("trait", &FieldFacts::trait, "What it tells of a person, for `duplicates`.")
      .def("__repr__", [](const FieldFacts& f) { return "<casevault.Field " + f.name + ">"; });

  nb::class_<Purpose>(m, "Purpose", "A purpose, and the legal bases that admit it.")
      .def_ro("code", &Purpose::code)
      .def_ro("bases", &Purpose::bases)
      .def_ro("default_basis", &Purpose::default_basis)
      .def_ro("requires_consent", &Purpose::requires_consent)
      .def_ro("tables_a_year", &Purpose::tables_a_year, "0: no limit")
      .def_ro("row_sets_a_year", &Purpose::row_sets_a_year, "0: no limit")
      .def_prop_ro(
          "epsilon_a_year", [](const Purpose& p) { return static_cast<double>(p.epsilon_a_year) / 1e6; }, "0: no limit")
      .def_ro("publishes", &Purpose::publishes, "whether tables and rows may be published for it")
      .def("__repr__", [](const Purpose& p) { return "<casevault.Purpose " + p.code + ">"; });

  nb::class_<Rule>(m, "Rule", "These roles, for these purposes, may see these compartments and fields.")
      .def_ro("roles", &Rule::roles)
      .def_ro("purposes", &Rule::purposes)
      .def_ro("compartments", &Rule::compartments)
      .def_ro("fields", &Rule::fields)
      .def_ro("own_unit_only", &Rule::own_unit_only)
      .def("__repr__", [](const Rule&) { return "<casevault.Rule>"; });

  nb::class_<Schema>(m, "Schema", "Types, fields, codes, purposes and rules. `str(schema)` is its TOML text.")
      .def_static(
          "parse", [](std::string_view toml) { return take(Schema::parse(toml)); }, "toml"_a,
          "Checks a schema; raises `BadInput` that names the line.")
      .def_static(
          "bundled", [](std::string_view name) { return take(Schema::bundled(name)); }, "name"_a = "vn-victim-support",
          "A schema that ships with casevault.")
      .def_prop_ro("name", &Schema::name)
      .def_prop_ro("version", &Schema::version)
      .def_prop_ro("types",
                   [](const Schema& schema) {
                     std::vector<std::string> out;
                     for (const RecordType& type : schema.types()) out.push_back(type.name);
                     return out;
                   })
      .def("fields", fields_of, "type"_a, "The fields of a type, in schema order.")
      .def(
          "search_before_add",
          [](const Schema& schema, const std::string& name) {
            const RecordType* const type = schema.find_type(name);
            return type != nullptr && type->search_before_add;
          },
          "type"_a, "Whether a new record of this type must name the entry of a search.")
      .def_prop_ro("compartments",
                   [](const Schema& schema) {
                     std::vector<std::string> out;
                     for (const Compartment& each : schema.compartments()) out.push_back(each.name);
                     return out;
                   })
      .def_prop_ro("purposes", &Schema::purposes)
      .def_prop_ro("bases", &Schema::bases)
      .def_prop_ro("recipient_classes", &Schema::recipient_classes)
      .def_prop_ro("functional_roles", &Schema::functional_roles)
      .def_prop_ro("rules", &Schema::rules)
      .def_prop_ro("warnings", &Schema::warnings, "What is allowed and unwise.")
      .def_prop_ro("source", &Schema::source)
      .def("__str__", &Schema::source)
      .def("__repr__", [](const Schema& schema) {
        return "<casevault.Schema " + schema.name() + ", version " + std::to_string(schema.version()) + ">";
      });
}

}  // namespace casevault::python
