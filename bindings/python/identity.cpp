// SPDX-License-Identifier: Apache-2.0
#include "support.hpp"

namespace casevault::python {
namespace {

/// Classes of their own, so that Python does not see the variants, which may hold secrets and cannot be copied.
struct Opener {
  Unlock unlock;
};
struct Slot {
  NewSlot slot;
};

Passphrase passphrase_of(std::string_view text) { return Passphrase(SecretBytes::copy(as_bytes(text))); }
Passphrase passphrase_of(const Secret& secret) { return passphrase_of(secret.text()); }

/// `cost` of passphrases; 0 leaves a part at its default.
SlotCost cost_of(std::uint32_t passes, std::uint32_t memory_mib) {
  SlotCost cost;
  if (passes != 0) cost.passes = passes;
  if (memory_mib != 0) cost.memory_mib = memory_mib;
  return cost;
}

Dicts slot_list(const std::vector<SlotInfo>& slots) {
  Dicts out;
  for (const SlotInfo& slot : slots) {
    nb::dict one;
    one["id"] = slot.id;
    one["kind"] = slot.kind;
    one["detail"] = slot.detail;
    out.append(one);
  }
  return out;
}

template <typename Text>
void bind_openers_of(nb::class_<Opener>& opener) {
  opener.def_static(
            "passphrase", [](const Text& text) { return Opener{passphrase_of(text)}; }, "text"_a)
      .def_static(
          "token",
          [](const Path& module, const Text& pin, const std::string& label) {
            return Opener{Token{.module = module, .pin = passphrase_of(pin), .label = label}};
          },
          "module"_a, "pin"_a, "label"_a = "", "A PKCS#11 token; the PIN is tried once.");
}

template <typename Text>
void bind_slots_of(nb::class_<Slot>& slot) {
  slot.def_static(
          "passphrase", [](const Text& text) { return Slot{passphrase_of(text)}; }, "text"_a)
      .def_static(
          "token",
          [](const Path& module, const std::string& token, const std::string& key, const Text& pin) {
            return Slot{TokenKey{.module = module, .token = token, .key = key, .pin = passphrase_of(pin)}};
          },
          "module"_a, "token"_a, "key"_a, "pin"_a, "A key on a PKCS#11 token that cannot be taken out of it.");
}

void bind_ways(nb::module_& m) {
  nb::class_<Opener> opener(m, "Unlock", "What opens an identity.");
  bind_openers_of<std::string_view>(opener);
  bind_openers_of<Secret>(opener);
  opener
      .def_static(
          "key_file", [](const Path& file) { return released([&] { return Opener{take(KeyFile::read(file))}; }); },
          "file"_a)
      .def_static(
          "age", [](const Path& file) { return released([&] { return Opener{take(AgeIdentity::read(file))}; }); },
          "file"_a, "An identity file of age.")
      .def_static(
          "shares",
          [](const std::vector<Path>& files) {
            const std::vector<std::filesystem::path> all(files.begin(), files.end());
            return released([&] { return Opener{take(Shares::read(all))}; });
          },
          "files"_a, "Shares of a quorum, as many as it needs.")
      .def("__repr__", [](const Opener&) { return "<casevault.Unlock>"; })
      .def("__reduce__", not_pickled<Opener>, kReduce);

  nb::class_<Slot> slot(m, "NewSlot", "A further way to open an identity.");
  bind_slots_of<std::string_view>(slot);
  bind_slots_of<Secret>(slot);
  slot.def_static(
          "key_file", [](const Path& file) { return released([&] { return Slot{take(KeyFile::read(file))}; }); },
          "file"_a)
      .def_static(
          "new_key_file", [](const Path& file) { return released([&] { return Slot{take(KeyFile::create(file))}; }); },
          "file"_a, "Makes the file too; it must not exist.")
      .def_static(
          "age", [](const std::string& recipient) { return Slot{AgeRecipient{recipient}}; }, "recipient"_a, "age1...")
      .def("__repr__", [](const Slot&) { return "<casevault.NewSlot>"; })
      .def("__reduce__", not_pickled<Slot>, kReduce);
}

template <typename Get>
auto asked(Holder& holder, const Get& get) {
  return released([&] { return holder.with(get); });
}

void bind_holder(nb::module_& m) {
  nb::class_<Holder>(m, "Identity",
                     "The keys of one principal, in locked memory. A context manager: its end wipes them.")
      .def_static(
          "open",
          [](const Path& file, const Opener& unlock, const Path& state_folder) {
            return new Holder(released([&] { return take(Identity::open(file, unlock.unlock, state_folder)); }));
          },
          "file"_a, "unlock"_a, "state_folder"_a = "")
      .def_static(
          "create",
          [](const Path& file, const std::string& name, const Opener& passphrase, std::uint32_t passes,
             std::uint32_t memory_mib) {
            const auto* const text = std::get_if<Passphrase>(&passphrase.unlock);
            if (text == nullptr)
              throw Failure{
                  {.code = ErrorCode::kUsage, .message = "a new identity begins with a passphrase; add slots"}};
            return new Holder(
                released([&] { return take(Identity::create(file, name, *text, cost_of(passes, memory_mib))); }));
          },
          "file"_a, nb::kw_only(), "name"_a, "passphrase"_a, "passes"_a = 0, "memory_mib"_a = 0,
          "Makes a new identity file; never overwrites. `passes`, `memory_mib`: cost of the passphrase, 0 the default.")
      .def_static(
          "inspect",
          [](const Path& file) -> Dict {
            const IdentityInfo info = released([&] { return take(Identity::inspect(file)); });
            Dict out;
            out["name"] = info.name;
            out["public"] = info.public_string;
            out["slots"] = slot_list(info.slots);
            return out;
          },
          "file"_a, "What an identity file shows without a key.")
      .def_prop_ro("name", [](Holder& h) { return asked(h, [](Identity& i) { return i.name(); }); })
      .def_prop_ro(
          "public", [](Holder& h) { return asked(h, [](Identity& i) { return i.public_string(); }); },
          "The self-signed public string, for `add_principal`.")
      .def_prop_ro("file", [](Holder& h) { return asked(h, [](Identity& i) { return i.file().string(); }); })
      .def_prop_ro(
          "pins",
          [](Holder& h) {
            std::vector<std::pair<std::string, std::string>> out;
            for (const Pin& pin : asked(h, [](Identity& i) { return i.pins(); }))
              out.emplace_back(hex(pin.vault_id), pin.log_key);
            return out;
          },
          "Vaults that it trusts: id and log key of each.")
      .def(
          "slots", [](Holder& h) { return slot_list(asked(h, [](Identity& i) { return i.slots(); })); },
          "The ways to open it: `id`, `kind`, `detail` of each.")
      .def(
          "add_slot",
          [](Holder& h, const Slot& slot, std::uint32_t passes, std::uint32_t memory_mib) {
            return asked(h, [&](Identity& i) { return take(i.add_slot(slot.slot, cost_of(passes, memory_mib))); });
          },
          "slot"_a, nb::kw_only(), "passes"_a = 0, "memory_mib"_a = 0,
          "Rewrites the file at once. Answers the slot's id.")
      .def(
          "split",
          [](Holder& h, unsigned threshold, unsigned total, const Path& folder) {
            return asked(h, [&](Identity& i) {
              return take(i.split({.threshold = threshold, .total = total, .folder = folder}));
            });
          },
          "threshold"_a, "total"_a, "folder"_a,
          "Makes shares in a new folder, of which `threshold` open it. Answers the id of their slot.")
      .def(
          "remove_slot",
          [](Holder& h, const std::string& id) { asked(h, [&](Identity& i) { take(i.remove_slot(id)); }); }, "id"_a)
      .def(
          "accept",
          [](Holder& h, const std::string& invitation) {
            return asked(h, [&](Identity& i) { return take(Session::accept(invitation, i)); });
          },
          "invitation"_a, "Pins the vault of an invitation. Answers the vault's id.")
      .def(
          "close", [](Holder& h) { released([&] { h.close(); }); }, "Wipes the keys; open vaults keep their own.")
      .def(
          "__enter__", [](nb::object self) { return self; }, nb::sig("def __enter__(self) -> Identity"))
      .def(
          "__exit__", [](Holder& h, const nb::args& /*unused*/) { released([&] { h.close(); }); },
          nb::sig("def __exit__(self, *args: object) -> None"))
      .def("__repr__", [](const Holder&) { return "<casevault.Identity>"; })
      .def("__reduce__", not_pickled<Holder>, kReduce);
}

using Quorum = std::tuple<unsigned, unsigned, Path>;

Dict init(const Path& folder, const Schema& schema, const Opener* unlock, const std::optional<Quorum>& quorum,
          const Path& identity_file, const std::string& owner, std::uint8_t suite, const Path& state_folder,
          std::uint32_t passes, std::uint32_t memory_mib) {
  const InitOptions options{.owner = owner,
                            .identity_file = identity_file,
                            .slot_cost = cost_of(passes, memory_mib),
                            .suite = static_cast<Suite>(suite),
                            .state_folder = state_folder};
  const Passphrase* const passphrase = unlock == nullptr ? nullptr : std::get_if<Passphrase>(&unlock->unlock);
  if ((passphrase == nullptr) == !quorum.has_value())
    throw Failure{{.code = ErrorCode::kUsage, .message = "an owner has either a passphrase or a quorum"}};
  const InitResult made = released([&] {
    if (passphrase != nullptr) return take(Session::init(folder, schema, *passphrase, options));
    const auto& [threshold, total, shares] = *quorum;
    return take(
        Session::init(folder, schema, QuorumPlan{.threshold = threshold, .total = total, .folder = shares}, options));
  });
  Dict out;
  out["id"] = made.vault_id;
  out["vault_id"] = made.vault_id;
  out["owner"] = made.owner;
  out["log_key"] = made.log_key;
  out["schema"] = made.schema;
  out["identity_file"] = made.identity_file.string();
  return out;
}

Dict doctor(const Path& folder, Holder& holder, bool deep, const Path& state_folder, const std::vector<Path>& anchors,
            const std::string& trust_id, const Callback& progress) {
  const DoctorReport report = watched(progress, [&](const ProgressCallback& callback) {
    return holder.with([&](Identity& identity) {
      const OpenOptions open{.read_only = true,
                             .state_folder = state_folder,
                             .anchors = {anchors.begin(), anchors.end()},
                             .trust_id = trust_id};
      return examine(folder, identity, open, {.deep = deep, .progress = callback});
    });
  });
  nb::list findings;
  for (const Finding& finding : report.findings) {
    nb::dict one;
    one["severity"] = name_of(finding.severity);
    one["where"] = finding.where;
    one["what"] = finding.what;
    one["remedy"] = finding.remedy;
    findings.append(one);
  }
  Dict out;
  out["ok"] = report.ok;
  out["worst"] = name_of(report.worst);
  out["findings"] = findings;
  out["more"] = report.more;
  out["entries"] = report.entries;
  out["records"] = report.records;
  out["tree_rows"] = report.tree_rows;
  out["cells"] = report.cells;
  out["sealed_cells"] = report.sealed_cells;
  return out;
}

}  // namespace

void bind_identity(nb::module_& m) {
  bind_ways(m);
  bind_holder(m);
  m.def("init", init, "folder"_a, "schema"_a, "unlock"_a.none(), "quorum"_a, "identity_file"_a, "owner"_a, "suite"_a,
        "state_folder"_a, "passes"_a, "memory_mib"_a);
  m.def("doctor", doctor);
  m.def("generate_passphrase", [](unsigned words) {
    const Passphrase made = released([&] { return take(generate_passphrase(words)); });
    const std::string_view text = made.secret().text();
    const auto plaintext = std::make_shared<Plaintext>();
    plaintext->append(text);
    return Secret{.plaintext = plaintext, .at = 0, .size = text.size()};
  });
  m.def("default_state_folder", [] { return default_state_folder().string(); });
}

}  // namespace casevault::python
