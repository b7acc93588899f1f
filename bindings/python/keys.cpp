// SPDX-License-Identifier: Apache-2.0
#include "support.hpp"

namespace casevault::python {
namespace {

Dicts key_list(const std::vector<KeyInfo>& keys) {
  Dicts out;
  for (const KeyInfo& key : keys) {
    nb::dict one;
    one["compartment"] = key.compartment;
    one["epoch"] = key.epoch;
    one["state"] = key.state;
    one["cells"] = key.cells;
    one["indexes"] = key.indexes;
    out.append(one);
  }
  return out;
}

Dict principal_dict(const PrincipalInfo& who) {
  Dict out;
  out["name"] = who.name;
  out["role"] = who.role;
  out["unit"] = who.unit;
  out["grants"] = who.grants;
  out["may_grant"] = who.may_grant;
  out["expires_ms"] = who.expires_ms;
  out["entry"] = who.entry;
  out["revoked"] = who.revoked;
  return out;
}

void bind_epochs(nb::class_<Open>& session) {
  session.def("keys", [](Open& s) { return key_list(released([&] { return take(s.keys()); })); })
      .def("rotate",
           [](Open& s, const std::string& compartment) {
             const Rotation made = released([&] { return take(s.rotate(compartment)); });
             return std::tuple(made.old_epoch, made.new_epoch, made.entry);
           })
      .def("rotate_vault_key", [](Open& s) { return released([&] { return take(s.rotate_vault_key()); }); })
      .def("reencrypt",
           [](Open& s, const std::string& compartment, std::uint64_t rate, bool index, const Callback& progress) {
             const Reencryption done = watched(progress, [&](const ProgressCallback& callback) {
               return s.reencrypt({.compartment = compartment, .rate = rate, .index = index, .progress = callback});
             });
             Dict out;
             out["done"] = done.done;
             out["total"] = done.total;
             out["records"] = done.records;
             out["finished"] = done.finished;
             out["failed"] = done.failed;
             out["skipped"] = done.skipped;
             return out;
           })
      .def("census",
           [](Open& s) {
             const Census census = released([&] { return take(s.census()); });
             Dict out;
             out["keys"] = key_list(census.keys);
             out["old_cells"] = census.old_cells;
             out["old_indexes"] = census.old_indexes;
             out["entry"] = census.entry;
             return out;
           })
      .def("retire_epoch",
           [](Open& s, const std::string& compartment, std::uint32_t epoch) {
             return released([&] { return take(s.retire_epoch(compartment, epoch)); });
           })
      .def("destroy_epoch", [](Open& s, const std::string& compartment, std::uint32_t epoch) {
        return released([&] { return take(s.destroy_epoch(compartment, epoch)); });
      });
}

void bind_people(nb::class_<Open>& session) {
  session
      .def("principals",
           [](Open& s) {
             const auto all = released([&] { return take(s.principals()); });
             Dicts out;
             for (const PrincipalInfo& who : all) out.append(principal_dict(who));
             return out;
           })
      .def("add_principal",
           [](Open& s, const std::string& name, const std::string& public_string, const std::string& role,
              const std::string& unit, const std::vector<std::string>& functional_roles,
              const std::vector<std::string>& grants, bool may_grant, std::int64_t expires_ms) {
             return released([&] {
               return take(s.add_principal({.name = name,
                                            .public_string = public_string,
                                            .role = role,
                                            .unit = unit,
                                            .functional_roles = functional_roles,
                                            .grants = grants,
                                            .may_grant = may_grant,
                                            .expires_ms = expires_ms}));
             });
           })
      .def("revoke", [](Open& s, const std::string& name) { return released([&] { return take(s.revoke(name)); }); })
      .def("grant",
           [](Open& s, const std::string& principal, const std::vector<std::string>& compartments, bool may_grant,
              std::int64_t expires_ms) {
             return released([&] {
               return take(s.grant(principal, compartments, {.may_grant = may_grant, .expires_ms = expires_ms}));
             });
           })
      .def("revoke_grant",
           [](Open& s, const std::string& principal, const std::vector<std::string>& compartments) {
             return released([&] { return take(s.revoke_grant(principal, compartments)); });
           })
      .def("rekey", [](Open& s, const std::string& public_string) {
        return released([&] { return take(s.rekey(public_string)); });
      });
}

}  // namespace

void bind_keys(nb::class_<Open>& session) {
  bind_epochs(session);
  bind_people(session);
}

}  // namespace casevault::python
