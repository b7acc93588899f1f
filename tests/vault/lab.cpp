// SPDX-License-Identifier: Apache-2.0
#include "lab.hpp"

#include <sys/stat.h>

#include <algorithm>
#include <fstream>
#include <map>

#include "vault/unit_of_work.hpp"

namespace casevault::test {
namespace {

constexpr std::string_view kSchema = R"(
name = "attack-lab"
version = 1
bases = ["duty", "consent"]
recipient_classes = ["clinic", "police"]
roles = ["nurse"]
[codelists]
sex = ["female", "male", "unknown"]
[[compartments]]
id = 1
name = "identity"
[[compartments]]
id = 2
name = "statistics"
sealed = "cell"
[[compartments]]
id = 3
name = "contact"
[[types]]
id = 1
name = "person"
fields = [
  { id = 1, name = "full_name", type = "text", compartment = "identity", required = true, index = "name", trait = "name" },
  { id = 2, name = "sex", type = "code", compartment = "statistics", list = "sex", trait = "sex" },
  { id = 3, name = "phone", type = "text", compartment = "contact", index = "phone", trait = "phone" },
  { id = 4, name = "born", type = "date", compartment = "statistics", index = "date", trait = "birth_date" },
  { id = 5, name = "note", type = "text", compartment = "identity" },
]
[[types]]
id = 2
name = "visit"
fields = [ { id = 1, name = "place", type = "text", compartment = "contact", required = true } ]
[[purposes]]
code = "care"
bases = ["duty", "consent"]
default_basis = "duty"
[[purposes]]
code = "count"
bases = ["duty"]
default_basis = "duty"
[[purposes]]
code = "press"
bases = ["consent"]
default_basis = "consent"
requires_consent = true
[[rules]]
roles = ["owner", "officer"]
purposes = ["care", "press"]
compartments = ["*"]
[[rules]]
roles = ["analyst"]
purposes = ["count"]
compartments = ["*"]
)";

struct Template {
  TempFolder folder;
  Person owner;

  explicit Template(std::string_view text, Suite suite) {
    const Schema schema = REQUIRE_OK(Schema::parse(text));
    InitOptions options;
    options.identity_file = folder / "owner.identity";
    options.slot_cost = {1, 64};
    options.suite = suite;
    options.state_folder = folder / "state";
    const Passphrase passphrase(SecretBytes::copy(as_bytes("template")));
    REQUIRE_OK(Session::init(folder / "vault", schema, passphrase, options));
    const Identity identity = REQUIRE_OK(Identity::open(options.identity_file, passphrase));
    owner = Person{identity.name(), identity.public_string(), {}, {}, identity.pins(), {}};
    const ByteView x = identity.impl().x_secret.view();
    const ByteView ed = identity.impl().ed_seed.view();
    owner.x_secret.assign(x.begin(), x.end());
    owner.ed_seed.assign(ed.begin(), ed.end());
  }
};

void copy_folder(const std::filesystem::path& from, const std::filesystem::path& to) {
  std::filesystem::remove_all(to);
  if (!std::filesystem::exists(from)) return;
  std::filesystem::copy(from, to, std::filesystem::copy_options::recursive);
  REQUIRE(::chmod(to.c_str(), 0700) == 0);
}

}  // namespace

Person Person::make(const std::string& name, const std::filesystem::path& file) {
  base::Random& random = *base::system_environment().random;
  Person person{name, {}, Bytes(32), Bytes(32), {}, file};
  random.fill(person.x_secret);
  random.fill(person.ed_seed);
  const SecretBytes x = SecretBytes::copy(person.x_secret);
  const SecretBytes ed = SecretBytes::copy(person.ed_seed);
  const keys::Principal who{name, crypto::x25519_public(crypto::key_of(x)), crypto::ed25519_public(crypto::key_of(ed))};
  person.public_string = keys::principal_string(who, crypto::key_of(ed));
  return person;
}

Identity Person::identity() const {
  auto impl = std::make_unique<Identity::Impl>();
  impl->file = file;
  impl->name = name;
  impl->public_string = public_string;
  impl->x_secret = SecretBytes::copy(x_secret);
  impl->ed_seed = SecretBytes::copy(ed_seed);
  impl->x_public = crypto::x25519_public(crypto::key_of(impl->x_secret));
  impl->ed_public = crypto::ed25519_public(crypto::key_of(impl->ed_seed));
  impl->pins = pins;
  impl->identity_key = SecretBytes(32);
  return Identity(std::move(impl));
}

Rows::Rows(std::uint64_t count)
    : Rows(count, [](std::uint64_t number) {
        return Values{{"full_name", "Person " + std::to_string(number)}, {"sex", number % 2 == 0 ? "female" : "male"}};
      }) {}

Result<void> Rows::rewind() {
  next_ = 1;
  ++passes;
  return {};
}

Result<bool> Rows::next(ImportRow& row) {
  if (next_ > count_) return false;
  values_ = make_(next_);
  row.number = next_;
  row.fields.clear();
  for (const auto& [name, text] : values_) row.fields.push_back({name, text});
  row.problem = problem ? problem(next_) : std::string();
  ++next_;
  return true;
}

Lab::Lab(Suite suite) : Lab(kSchema, suite) {}

std::string schema_with(std::string_view of_person) {
  std::string text(kSchema);
  constexpr std::string_view kPerson = "name = \"person\"\n";
  return text.insert(text.find(kPerson) + kPerson.size(), std::string(of_person) + "\n");
}

std::string schema_of_own_units() {
  std::string text(kSchema);
  constexpr std::string_view kRule = "purposes = [\"care\", \"press\"]\ncompartments = [\"*\"]";
  return text.insert(text.find(kRule) + kRule.size(), "\nscope = \"own_unit\"");
}

Lab::Lab(std::string_view schema, Suite suite) {
  static std::map<std::pair<std::string, Suite>, Template> templates;
  const Template& made = templates.try_emplace({std::string(schema), suite}, schema, suite).first->second;
  owner = made.owner;
  owner.file = folder / "owner.identity";
  copy_folder(made.folder / "vault", vault());
  copy_folder(made.folder / "state", state());
}

OpenOptions Lab::options(bool read_only) const {
  OpenOptions out;
  out.read_only = read_only;
  out.state_folder = state();
  return out;
}

Result<Session> Lab::try_open(const Person& who, bool read_only) const {
  return Session::open(vault(), who.identity(), options(read_only));
}

std::unique_ptr<vault::Core> Lab::core(const Person& who) const {
  return REQUIRE_OK(vault::Core::open(vault(), who.identity(), options(), base::system_environment()));
}

Person Lab::add(Session& session, const std::string& name, const std::string& role, std::vector<std::string> grants,
                bool may_grant, const std::string& unit) const {
  Person person = Person::make(name, folder / (name + ".identity"));
  PrincipalRequest request;
  request.name = name;
  request.public_string = person.public_string;
  request.role = role;
  request.grants = std::move(grants);
  request.may_grant = may_grant;
  request.unit = unit;
  const std::string invitation = REQUIRE_OK(session.add_principal(request));
  Identity identity = person.identity();
  REQUIRE_OK(Session::accept(invitation, identity));
  person.pins = identity.pins();
  return person;
}

void Lab::save(std::string_view as) const { copy_folder(vault(), folder / as); }
void Lab::restore(std::string_view as) const { copy_folder(folder / as, vault()); }

Written add_person(Session& session, std::string_view full_name, std::string_view phone) {
  std::vector<FieldInput> fields = {{"full_name", full_name}};
  if (!phone.empty()) fields.push_back({"phone", phone});
  return REQUIRE_OK(session.add("person", fields));
}

DisclosureRequest request_for(std::vector<RecordId> ids, std::vector<std::string> fields) {
  DisclosureRequest request;
  request.ids = std::move(ids);
  request.fields = std::move(fields);
  request.purpose = "care";
  request.recipient = "clinic of the test";
  request.recipient_class = "clinic";
  return request;
}

Result<Values> read_all(Disclosure& disclosure) {
  Values out;
  for (;;) {
    CASEVAULT_TRY(const Disclosure::Record* record, disclosure.next());
    if (record == nullptr) return out;
    out.emplace_back();
    for (const auto& value : record->values) {
      out.back().push_back(value ? std::optional(std::string(*value)) : std::nullopt);
    }
  }
}

Result<Values> disclose(Session& session, const DisclosureRequest& request) {
  CASEVAULT_TRY(Disclosure disclosure, session.disclose(request));
  return read_all(disclosure);
}

std::string name_of(Session& session, const RecordId& id) {
  const Values values = REQUIRE_OK(disclose(session, request_for({id})));
  REQUIRE(values.size() == 1);
  REQUIRE(values[0].at(0).has_value());
  return *values[0][0];
}

std::vector<LogEntry> entries(Session& session, bool details) {
  std::vector<LogEntry> out;
  LogQuery query;
  query.details = details;
  REQUIRE_DONE(session.read_log(query, [&](const LogEntry& entry) {
    out.push_back(entry);
    return true;
  }));
  return out;
}

void require_sound(Session& session) {
  const VerifyReport report = REQUIRE_OK(session.verify_log());
  INFO(report.reason);
  REQUIRE(report.ok);
}

Bytes file_bytes(const std::filesystem::path& file) {
  std::ifstream in(file, std::ios::binary);
  REQUIRE(in.good());
  return {std::istreambuf_iterator<char>(in), {}};
}

void write_bytes(const std::filesystem::path& file, ByteView bytes) {
  std::ofstream out(file, std::ios::binary | std::ios::trunc);
  out.write(as_text(bytes).data(), static_cast<std::streamsize>(bytes.size()));
  out.close();
  REQUIRE(out.good());
  REQUIRE(::chmod(file.c_str(), 0600) == 0);
}

bool contains(ByteView haystack, ByteView needle) {
  return std::search(haystack.begin(), haystack.end(), needle.begin(), needle.end()) != haystack.end();
}

vault::EntryPlace append_pending(vault::Core& core) {
  vault::UnitOfWork work = REQUIRE_OK(vault::UnitOfWork::begin(core));
  vault::EntryDraft entry = REQUIRE_OK(core.draft(work.authority(), audit::Action::kAdd, audit::Outcome::kOk, {}));
  entry.leaf.count = 1;
  entry.mutation = true;
  entry.write = vault::WritePayload{work.db().next_row, 1, 1, {9}, false, 0};
  return REQUIRE_OK(core.append(std::move(entry)));
}

}  // namespace casevault::test
