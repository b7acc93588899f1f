// SPDX-License-Identifier: Apache-2.0
#include <casevault/schema.hpp>

#include <algorithm>
#include <initializer_list>
#include <map>
#include <set>

#include "base/text.hpp"
#include "model/bundled.hpp"
#include "model/value.hpp"

// The parser returns errors instead of throwing them, and recurses no deeper than a schema needs. Version 3.3 asserts,
// or in release builds tells the optimizer to assume, what a text can break ("[.a]") although it handles the case right
// after: neither may happen to a host.
#undef NDEBUG
#define TOML_ASSERT(expr) static_cast<void>(0)
#define TOML_EXCEPTIONS 0
#define TOML_HEADER_ONLY 1
#define TOML_MAX_NESTED_VALUES 8
#include <toml++/toml.h>

namespace casevault {

namespace {

constexpr std::size_t kMaxText = std::size_t{1} << 20U;
constexpr std::size_t kMaxCompartments = 64;
constexpr std::size_t kMaxFields = 1000;
constexpr std::size_t kMaxTypes = 64;
constexpr std::size_t kMaxLists = 256;
constexpr std::size_t kMaxCodes = 16384;
constexpr std::size_t kMaxNames = 256;  ///< purposes, bases, recipient classes, roles
constexpr std::size_t kMaxRules = 1000;
constexpr std::size_t kMaxName = 64;
constexpr std::size_t kMaxDots = 64;

constexpr std::uint16_t kAuditId = 64;
constexpr std::string_view kAuditName = "audit";
constexpr std::string_view kEveryCompartment = "*";
/// As policy::is_role: the two modules are siblings.
constexpr std::array<std::string_view, 6> kAdministrativeRoles = {"owner",   "administrator", "officer",
                                                                  "analyst", "auditor",       "service"};
constexpr std::array<std::pair<std::string_view, FieldType>, 7> kTypeNames = {{{"text", FieldType::kText},
                                                                               {"code", FieldType::kCode},
                                                                               {"multi-code", FieldType::kMultiCode},
                                                                               {"date", FieldType::kDate},
                                                                               {"integer", FieldType::kInteger},
                                                                               {"boolean", FieldType::kBoolean},
                                                                               {"bytes", FieldType::kBytes}}};

constexpr std::string_view kNameCharacters = "abcdefghijklmnopqrstuvwxyz0123456789_";
constexpr std::string_view kSchemaCharacters = "abcdefghijklmnopqrstuvwxyz0123456789_-";
constexpr std::string_view kPathCharacters = "abcdefghijklmnopqrstuvwxyz0123456789_.";
constexpr std::string_view kListCharacters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.";

/// Text of the file as it may stand in an error line.
std::string shown(std::string_view text) {
  std::string out = "'";
  for (const char c : text.substr(0, kMaxName)) out += c < ' ' || c > '~' ? '?' : c;
  return out + (text.size() > kMaxName ? "...'" : "'");
}

Error bad(std::string_view message) { return {ErrorCode::kBadInput, "schema: " + std::string(message)}; }

Error bad(const toml::source_region& where, std::string_view message) {
  return {ErrorCode::kBadInput, "schema line " + std::to_string(where.begin.line) + ": " + std::string(message)};
}

Error bad(const toml::node& where, std::string_view message) { return bad(where.source(), message); }

bool made_of(std::string_view text, std::string_view characters) {
  return !text.empty() && text.size() <= kMaxName && text.find_first_not_of(characters) == std::string_view::npos;
}

/// A code of a list: any short text that can be joined by ';' and shown in one line.
bool is_code(std::string_view text) {
  const auto unfit = [](char c) { return c == ';' || (c >= 0 && c < ' ') || c == '\x7F'; };
  return !text.empty() && text.size() <= kMaxName && base::valid_utf8(text) && std::ranges::none_of(text, unfit);
}

template <typename T, typename Projection>
const typename T::value_type* find_in(const T& items, std::string_view name, Projection projection) {
  const auto found = std::ranges::find(items, name, projection);
  return found == items.end() ? nullptr : &*found;
}

bool contains(const std::vector<std::string>& names, std::string_view name) {
  return std::ranges::find(names, name) != names.end();
}

/// One table of the file under the name that errors use for it.
class Section {
 public:
  Section(const toml::table& table, std::string what) : table_(table), what_(std::move(what)) {}

  [[nodiscard]] Error refuse(std::string_view message) const {
    return bad(table_, what_ + ": " + std::string(message));
  }
  [[nodiscard]] Error refuse(std::string_view key, std::string_view message) const {
    const toml::node* const node = table_.get(key);
    return bad(node == nullptr ? table_.source() : node->source(),
               what_ + ": " + std::string(key) + " " + std::string(message));
  }

  [[nodiscard]] Result<void> only(std::initializer_list<std::string_view> keys) const {
    for (auto&& [key, node] : table_) {
      if (std::ranges::find(keys, key.str()) == keys.end()) {
        return bad(key.source(), what_ + ": unknown key " + shown(key.str()));
      }
    }
    return {};
  }

  [[nodiscard]] Result<std::string> text(std::string_view key, std::string_view characters) const {
    const toml::node* const node = table_.get(key);
    if (node == nullptr) return refuse("needs " + std::string(key));
    const auto* const value = node->as_string();
    if (value == nullptr) return refuse(key, "must be text");
    if (!made_of(value->get(), characters)) {
      return refuse(key, "must be 1 to 64 characters of " + std::string(characters));
    }
    return value->get();
  }

  [[nodiscard]] Result<std::uint16_t> number(std::string_view key) const {
    const toml::node* const node = table_.get(key);
    if (node == nullptr) return refuse("needs " + std::string(key));
    const auto* const value = node->as_integer();
    if (value == nullptr || value->get() < 1 || value->get() > 0xFFFF)
      return refuse(key, "must be a number from 1 to 65535");
    return static_cast<std::uint16_t>(value->get());
  }

  /// False when absent.
  [[nodiscard]] Result<bool> flag(std::string_view key) const {
    const toml::node* const node = table_.get(key);
    if (node == nullptr) return false;
    const auto* const value = node->as_boolean();
    if (value == nullptr) return refuse(key, "must be true or false");
    return value->get();
  }

  /// One of `words`, by position; the first when absent.
  [[nodiscard]] Result<std::size_t> choice(std::string_view key, std::initializer_list<std::string_view> words) const {
    if (!has(key)) return std::size_t{0};
    const auto* const value = table_.get(key)->as_string();
    const auto found = value == nullptr ? words.end() : std::ranges::find(words, value->get());
    if (found == words.end()) {
      std::string message = "must be one of";
      for (const std::string_view word : words) message += " " + std::string(word);
      return refuse(key, message);
    }
    return static_cast<std::size_t>(found - words.begin());
  }

  /// Texts that pass `fits`, none twice; empty when absent.
  template <typename Fits>
  [[nodiscard]] Result<std::vector<std::string>> texts(std::string_view key, std::size_t limit, Fits fits) const {
    std::vector<std::string> out;
    const toml::node* const node = table_.get(key);
    if (node == nullptr) return out;
    const toml::array* const array = node->as_array();
    if (array == nullptr) return refuse(key, "must be an array of texts");
    if (array->size() > limit) return refuse(key, "holds more than " + std::to_string(limit) + " entries");
    std::set<std::string_view> seen;
    for (const toml::node& element : *array) {
      const auto* const value = element.as_string();
      if (value == nullptr || !fits(value->get()))
        return bad(element, what_ + ": " + std::string(key) + " holds an entry that is no name or code");
      if (!seen.insert(value->get()).second) {
        return bad(element, what_ + ": " + std::string(key) + " holds " + shown(value->get()) + " twice");
      }
      out.push_back(value->get());
    }
    return out;
  }
  [[nodiscard]] Result<std::vector<std::string>> names(std::string_view key, std::size_t limit = kMaxNames,
                                                       std::string_view characters = kNameCharacters) const {
    return texts(key, limit, [characters](std::string_view text) { return made_of(text, characters); });
  }

  /// Array of tables; empty when absent.
  [[nodiscard]] Result<std::vector<Section>> sections(std::string_view key, std::size_t limit) const {
    std::vector<Section> out;
    const toml::node* const node = table_.get(key);
    if (node == nullptr) return out;
    const toml::array* const array = node->as_array();
    if (array == nullptr) return refuse(key, "must be an array of tables");
    if (array->size() > limit) return refuse(key, "holds more than " + std::to_string(limit) + " tables");
    for (const toml::node& element : *array) {
      const toml::table* const table = element.as_table();
      if (table == nullptr) return bad(element, std::string(key) + " must hold tables only");
      out.emplace_back(*table, std::string(key));
    }
    return out;
  }

  [[nodiscard]] bool has(std::string_view key) const { return table_.contains(key); }
  [[nodiscard]] const toml::table& table() const { return table_; }

 private:
  const toml::table& table_;
  std::string what_;
};

/// toml++ 3.3 bounds nested values but not dotted keys, which nest as deep as they are long. A key stands on one line.
Result<void> check_dots(std::string_view text) {
  std::size_t line = 1;
  std::size_t dots = 0;
  for (const char c : text) {
    if (c == '\n') {
      ++line;
      dots = 0;
    } else if (c == '.' && ++dots > kMaxDots) {
      return bad("line " + std::to_string(line) + ": more than 64 dots; break the line");
    }
  }
  return {};
}

}  // namespace

/// The parse in steps; each relies on the ones before.
struct Schema::State {
  std::string name;
  std::uint16_t version = 0;
  std::vector<Compartment> compartments;
  std::vector<RecordType> types;
  std::vector<CodeList> lists;
  std::vector<Purpose> purposes;
  std::vector<std::string> bases;
  std::vector<std::string> recipient_classes;
  std::vector<std::string> roles;  ///< functional
  std::vector<Rule> rules;
  std::string source;

  enum class Lists : std::uint8_t { kOwnOnly, kWithBundled };
  [[nodiscard]] static Result<std::shared_ptr<const State>> parse(std::string_view text, Lists lists);

 private:
  [[nodiscard]] Result<void> read_names(const Section& root);
  [[nodiscard]] Result<void> read_compartments(const Section& root);
  [[nodiscard]] Result<void> read_lists(const Section& root);
  [[nodiscard]] Result<void> read_types(const Section& root, Lists from);
  [[nodiscard]] Result<Field> read_field(const Section& section, Lists from);
  [[nodiscard]] Result<void> resolve_list(const Section& section, const Field& field, Lists from);
  [[nodiscard]] Result<void> check_sealed_sizes(const Section& section, const RecordType& type) const;
  [[nodiscard]] Result<void> read_purposes(const Section& root);
  [[nodiscard]] Result<void> read_rules(const Section& root);
  [[nodiscard]] Result<void> check_rule(const Section& section, const Rule& rule) const;
  [[nodiscard]] bool has_field(std::string_view path) const;
  [[nodiscard]] Result<void> add_list(const Section& section, CodeList list);
};

Result<void> Schema::State::read_names(const Section& root) {
  CASEVAULT_CHECK(root.only({"name", "version", "compartments", "codelists", "bundled_codelists", "types", "bases",
                             "recipient_classes", "roles", "purposes", "rules"}));
  CASEVAULT_TRY(name, root.text("name", kSchemaCharacters));
  CASEVAULT_TRY(version, root.number("version"));
  CASEVAULT_TRY(bases, root.names("bases"));
  CASEVAULT_TRY(recipient_classes, root.names("recipient_classes"));
  CASEVAULT_TRY(roles, root.names("roles"));
  for (const std::string_view role : kAdministrativeRoles) {
    if (contains(roles, role)) return root.refuse("roles", "holds " + shown(role) + ", which every vault has");
  }
  return {};
}

Result<void> Schema::State::read_compartments(const Section& root) {
  CASEVAULT_TRY(const auto sections, root.sections("compartments", kMaxCompartments - 1));  // one is `audit`
  if (sections.empty()) return root.refuse("needs compartments");
  std::set<std::uint16_t> ids;
  for (const Section& section : sections) {
    CASEVAULT_CHECK(section.only({"id", "name", "sealed"}));
    Compartment compartment;
    CASEVAULT_TRY(compartment.id, section.number("id"));
    CASEVAULT_TRY(compartment.name, section.text("name", kNameCharacters));
    CASEVAULT_TRY(const std::size_t sealed, section.choice("sealed", {"field", "cell"}));
    compartment.sealed_as_cell = sealed == 1;
    if (compartment.name == kAuditName || compartment.id == kAuditId) {
      return section.refuse("the name audit and the id 64 are the library's; every schema has that compartment");
    }
    if (!ids.insert(compartment.id).second) return section.refuse("id", "is used twice");
    if (find_in(compartments, compartment.name, &Compartment::name) != nullptr)
      return section.refuse("name", "is used twice");
    compartments.push_back(std::move(compartment));
  }
  compartments.push_back({kAuditId, std::string(kAuditName), false});
  return {};
}

Result<void> Schema::State::add_list(const Section& section, CodeList list) {
  if (list.codes.empty()) return section.refuse("list " + shown(list.name) + " holds no code");
  if (find_in(lists, list.name, &CodeList::name) != nullptr) {
    return section.refuse("list " + shown(list.name) + " is defined twice");
  }
  if (lists.size() == kMaxLists) return section.refuse("more than 256 lists");
  lists.push_back(std::move(list));
  return {};
}

Result<void> Schema::State::read_lists(const Section& root) {
  if (root.has("codelists")) {
    const toml::table* const table = root.table().get_as<toml::table>("codelists");
    if (table == nullptr) return root.refuse("codelists", "must be a table");
    const Section section(*table, "codelists");
    for (auto&& [key, node] : *table) {
      if (!made_of(key.str(), kListCharacters)) {
        return bad(key.source(),
                   "codelists: " + shown(key.str()) + " must be 1 to 64 characters of " + std::string(kListCharacters));
      }
      CASEVAULT_TRY(auto codes, section.texts(key.str(), kMaxCodes, is_code));
      CASEVAULT_CHECK(add_list(section, {std::string(key.str()), std::move(codes)}));
    }
  }
  CASEVAULT_TRY(const auto sections, root.sections("bundled_codelists", kMaxLists));
  for (const Section& section : sections) {
    CASEVAULT_CHECK(section.only({"name", "codes"}));
    CASEVAULT_TRY(auto list, section.text("name", kListCharacters));
    CASEVAULT_TRY(auto codes, section.texts("codes", kMaxCodes, is_code));
    CASEVAULT_CHECK(add_list(section, {std::move(list), std::move(codes)}));
  }
  return {};
}

Result<void> Schema::State::resolve_list(const Section& section, const Field& field, Lists from) {
  const bool coded = field.type == FieldType::kCode || field.type == FieldType::kMultiCode;
  if (coded == field.list.empty())
    return section.refuse(coded ? "a coded field needs list" : "only a coded field has list");
  if (!coded || find_in(lists, field.list, &CodeList::name) != nullptr) return {};
  std::optional<std::vector<std::string>> codes;
  if (from == Lists::kWithBundled) codes = model::bundled_list(field.list);
  if (!codes) return section.refuse("list", shown(field.list) + " is neither in codelists nor bundled");
  CASEVAULT_CHECK(add_list(section, {field.list, *std::move(codes)}));
  // Appended in a form that may be repeated at the end of any file, whatever tables it ends with.
  source += "\n[[bundled_codelists]]\nname = \"" + field.list + "\"\ncodes = [";
  for (const std::string& code : lists.back().codes) source += "\"" + code + "\", ";
  source += "]\n";
  return {};
}

Result<Field> Schema::State::read_field(const Section& section, Lists from) {
  CASEVAULT_CHECK(section.only({"id", "name", "type", "compartment", "required", "list"}));
  Field field;
  CASEVAULT_TRY(field.id, section.number("id"));
  CASEVAULT_TRY(field.name, section.text("name", kNameCharacters));
  CASEVAULT_TRY(const std::string type, section.text("type", kSchemaCharacters));
  const auto* const known = find_in(kTypeNames, type, &decltype(kTypeNames)::value_type::first);
  if (known == nullptr) return section.refuse("type", shown(type) + " is no field type");
  field.type = known->second;
  CASEVAULT_TRY(const std::string compartment, section.text("compartment", kNameCharacters));
  const Compartment* const home = find_in(compartments, compartment, &Compartment::name);
  if (home == nullptr) return section.refuse("compartment", shown(compartment) + " is not among compartments");
  if (home->id == kAuditId) return section.refuse("compartment", "audit holds no field");
  if (home->sealed_as_cell && (field.type == FieldType::kText || field.type == FieldType::kBytes)) {
    return section.refuse("type", "text and bytes need a compartment with sealed = \"field\"");
  }
  field.compartment = static_cast<std::uint16_t>(home - compartments.data());
  CASEVAULT_TRY(field.required, section.flag("required"));
  if (section.has("list")) {
    CASEVAULT_TRY(field.list, section.text("list", kListCharacters));
  }
  CASEVAULT_CHECK(resolve_list(section, field, from));
  return field;
}

/// A map sealed as one value must fit the largest length class, whatever codes it holds.
Result<void> Schema::State::check_sealed_sizes(const Section& section, const RecordType& type) const {
  constexpr std::size_t kOverhead = 9;  // of one CBOR head; also more than any date, number or boolean without its own
  constexpr std::size_t kScalar = 16;
  std::map<std::string_view, std::pair<std::size_t, std::size_t>> of_list;  // longest code, all codes
  for (const CodeList& list : lists) {
    auto& [longest, all] = of_list[list.name];
    for (const std::string& code : list.codes) {
      longest = std::max(longest, code.size());
      all += kOverhead + code.size();
    }
  }
  std::vector<std::size_t> sizes(compartments.size(), kOverhead);
  for (const Field& field : type.fields) {
    std::size_t size = kScalar;
    if (field.type == FieldType::kCode) size = of_list[field.list].first;
    if (field.type == FieldType::kMultiCode) size = of_list[field.list].second;
    std::size_t& total = sizes[field.compartment];
    total += 2 * kOverhead + size;
    if (compartments[field.compartment].sealed_as_cell && total > model::kMaxValueBytes) {
      return section.refuse("the coded fields of compartment " + compartments[field.compartment].name +
                            " may exceed 1 MiB together; use shorter lists or sealed = \"field\"");
    }
  }
  return {};
}

Result<void> Schema::State::read_types(const Section& root, Lists from) {
  CASEVAULT_TRY(const auto sections, root.sections("types", kMaxTypes));
  if (sections.empty()) return root.refuse("needs types");
  std::set<std::uint16_t> ids;
  for (const Section& section : sections) {
    CASEVAULT_CHECK(section.only({"id", "name", "fields"}));
    RecordType type;
    CASEVAULT_TRY(type.id, section.number("id"));
    CASEVAULT_TRY(type.name, section.text("name", kNameCharacters));
    if (!ids.insert(type.id).second) return section.refuse("id", "is used twice");
    if (find_in(types, type.name, &RecordType::name) != nullptr) return section.refuse("name", "is used twice");
    CASEVAULT_TRY(const auto fields, section.sections("fields", kMaxFields));
    if (fields.empty()) return section.refuse("needs fields");
    std::set<std::uint16_t> field_ids;
    std::set<std::string> field_names;
    for (const Section& field_section : fields) {
      CASEVAULT_TRY(Field field, read_field(field_section, from));
      if (!field_ids.insert(field.id).second) return field_section.refuse("id", "is used twice in type " + type.name);
      if (!field_names.insert(field.name).second)
        return field_section.refuse("name", "is used twice in type " + type.name);
      type.fields.push_back(std::move(field));
    }
    CASEVAULT_CHECK(check_sealed_sizes(section, type));
    types.push_back(std::move(type));
  }
  return {};
}

Result<void> Schema::State::read_purposes(const Section& root) {
  CASEVAULT_TRY(const auto sections, root.sections("purposes", kMaxNames));
  for (const Section& section : sections) {
    CASEVAULT_CHECK(section.only({"code", "bases", "default_basis", "requires_consent"}));
    Purpose purpose;
    CASEVAULT_TRY(purpose.code, section.text("code", kNameCharacters));
    CASEVAULT_TRY(purpose.bases, section.names("bases"));
    CASEVAULT_TRY(purpose.default_basis, section.text("default_basis", kNameCharacters));
    CASEVAULT_TRY(purpose.requires_consent, section.flag("requires_consent"));
    if (find_in(purposes, purpose.code, &Purpose::code) != nullptr) return section.refuse("code", "is used twice");
    if (purpose.bases.empty()) return section.refuse("needs bases");
    for (const std::string& basis : purpose.bases) {
      if (!contains(bases, basis))
        return section.refuse("bases", "names " + shown(basis) + ", which is not among bases");
    }
    if (!contains(purpose.bases, purpose.default_basis)) {
      return section.refuse("default_basis", "is not among the bases of purpose " + purpose.code);
    }
    purposes.push_back(std::move(purpose));
  }
  return {};
}

bool Schema::State::has_field(std::string_view path) const {
  const std::size_t dot = path.find('.');
  if (dot == std::string_view::npos) return false;
  const RecordType* const type = find_in(types, path.substr(0, dot), &RecordType::name);
  return type != nullptr && type->find(path.substr(dot + 1)) != nullptr;
}

Result<void> Schema::State::check_rule(const Section& section, const Rule& rule) const {
  if (rule.roles.empty()) return section.refuse("needs roles");
  if (rule.purposes.empty()) return section.refuse("needs purposes");
  if (rule.compartments.empty() && rule.fields.empty()) return section.refuse("needs compartments or fields");
  for (const std::string& role : rule.roles) {
    if (std::ranges::find(kAdministrativeRoles, role) == kAdministrativeRoles.end() && !contains(roles, role)) {
      return section.refuse("roles", "names " + shown(role) + ", which is no role of a vault nor among roles");
    }
  }
  for (const std::string& purpose : rule.purposes) {
    if (find_in(purposes, purpose, &Purpose::code) == nullptr) {
      return section.refuse("purposes", "names " + shown(purpose) + ", which is not among purposes");
    }
  }
  for (const std::string& compartment : rule.compartments) {
    if (compartment == kEveryCompartment) continue;
    if (compartment == kAuditName || find_in(compartments, compartment, &Compartment::name) == nullptr) {
      return section.refuse("compartments", "names " + shown(compartment) + ", which is not among compartments");
    }
  }
  for (const std::string& field : rule.fields) {
    if (!has_field(field)) return section.refuse("fields", "names " + shown(field) + ", which is no \"type.field\"");
  }
  return {};
}

Result<void> Schema::State::read_rules(const Section& root) {
  CASEVAULT_TRY(const auto sections, root.sections("rules", kMaxRules));
  for (const Section& section : sections) {
    CASEVAULT_CHECK(section.only({"roles", "purposes", "compartments", "fields", "scope"}));
    Rule rule;
    CASEVAULT_TRY(rule.roles, section.names("roles"));
    CASEVAULT_TRY(rule.purposes, section.names("purposes"));
    CASEVAULT_TRY(rule.compartments, section.texts("compartments", kMaxCompartments, [](std::string_view text) {
      return text == kEveryCompartment || made_of(text, kNameCharacters);
    }));
    CASEVAULT_TRY(rule.fields, section.names("fields", kMaxFields, kPathCharacters));
    CASEVAULT_TRY(const std::size_t scope, section.choice("scope", {"any", "own_unit"}));
    rule.own_unit_only = scope == 1;
    CASEVAULT_CHECK(check_rule(section, rule));
    rules.push_back(std::move(rule));
  }
  return {};
}

Result<std::shared_ptr<const Schema::State>> Schema::State::parse(std::string_view text, Lists lists) {
  if (text.size() > kMaxText) return bad("longer than 1 MiB");
  CASEVAULT_CHECK(check_dots(text));
  const toml::parse_result parsed = toml::parse(text);
  if (!parsed) {
    std::string why(parsed.error().description());
    std::ranges::replace_if(why, [](char c) { return c < ' ' || c > '~'; }, '?');
    return bad(parsed.error().source(), why);
  }
  auto state = std::make_shared<State>();
  state->source = text;
  const Section root(parsed.table(), "schema");
  CASEVAULT_CHECK(state->read_names(root));
  CASEVAULT_CHECK(state->read_compartments(root));
  CASEVAULT_CHECK(state->read_lists(root));
  CASEVAULT_CHECK(state->read_types(root, lists));
  CASEVAULT_CHECK(state->read_purposes(root));
  CASEVAULT_CHECK(state->read_rules(root));
  return std::shared_ptr<const State>(std::move(state));
}

Schema::Schema(std::shared_ptr<const State> state) noexcept : state_(std::move(state)) {}

Result<Schema> Schema::parse(std::string_view toml) {
  CASEVAULT_TRY(auto state, State::parse(toml, State::Lists::kWithBundled));
  if (state->source.size() != toml.size()) {
    // What a vault keeps must open again without this version's lists.
    if (auto again = State::parse(state->source, State::Lists::kOwnOnly); !again) {
      return bad("with the bundled lists it names written out it does not parse (" + again.error().message +
                 "); write bundled_codelists as [[bundled_codelists]] tables, and no more than 1 MiB in all");
    }
  }
  return Schema(std::move(state));
}

Result<Schema> Schema::bundled(std::string_view name) {
  if (const auto text = model::bundled_schema(name)) return parse(*text);
  std::string known;
  for (const std::string_view each : model::bundled_schema_names()) known += " " + std::string(each);
  return Error{ErrorCode::kNotFound, "no schema " + shown(name) + " is bundled; there are:" + known};
}

std::string_view name_of(FieldType type) noexcept {
  for (const auto& [name, value] : kTypeNames) {
    if (value == type) return name;
  }
  return "unknown";
}

const Field* RecordType::find(std::string_view field) const noexcept { return find_in(fields, field, &Field::name); }
const Field* RecordType::find(std::uint16_t field_id) const noexcept {
  const auto found = std::ranges::find(fields, field_id, &Field::id);
  return found == fields.end() ? nullptr : &*found;
}

const std::string& Schema::name() const noexcept { return state_->name; }
std::uint16_t Schema::version() const noexcept { return state_->version; }
const std::vector<Compartment>& Schema::compartments() const noexcept { return state_->compartments; }
const Compartment* Schema::find_compartment(std::string_view name) const noexcept {
  return find_in(state_->compartments, name, &Compartment::name);
}
const std::vector<RecordType>& Schema::types() const noexcept { return state_->types; }
const RecordType* Schema::find_type(std::string_view name) const noexcept {
  return find_in(state_->types, name, &RecordType::name);
}
const RecordType* Schema::find_type(std::uint16_t id) const noexcept {
  const auto found = std::ranges::find(state_->types, id, &RecordType::id);
  return found == state_->types.end() ? nullptr : &*found;
}
const CodeList* Schema::find_list(std::string_view name) const noexcept {
  return find_in(state_->lists, name, &CodeList::name);
}
const std::vector<Purpose>& Schema::purposes() const noexcept { return state_->purposes; }
const Purpose* Schema::find_purpose(std::string_view code) const noexcept {
  return find_in(state_->purposes, code, &Purpose::code);
}
const std::vector<std::string>& Schema::bases() const noexcept { return state_->bases; }
const std::vector<std::string>& Schema::recipient_classes() const noexcept { return state_->recipient_classes; }
const std::vector<Rule>& Schema::rules() const noexcept { return state_->rules; }
const std::string& Schema::source() const noexcept { return state_->source; }

}  // namespace casevault
