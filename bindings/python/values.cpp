// SPDX-License-Identifier: Apache-2.0
#include "support.hpp"

#include <algorithm>
#include <numeric>

namespace casevault::python {
namespace {

constexpr std::uint8_t kAlive = 1;

std::string_view text_in(const SecretBytes& bytes) {
  if (bytes.view().front() != kAlive)
    throw Failure{{.code = ErrorCode::kUsage, .message = "what was disclosed is wiped in a forked child"}};
  return bytes.text().substr(1);
}

nb::str string(std::string_view text) { return nb::str(text.data(), text.size()); }

/// One disclosed record: its values one after another in one block of locked memory.
class Row {
 public:
  using Fields = std::shared_ptr<const std::vector<std::string>>;
  static constexpr std::size_t kNothing = ~std::size_t{0};

  Row(const Disclosure::Record& record, Fields fields) : id_(record.id), fields_(std::move(fields)) {
    std::size_t size = 1;
    for (const auto& value : record.values) size += value ? value->size() : 0;
    bytes_ = SecretBytes(size);
    const MutableBytes out = bytes_.mutable_view();
    out.front() = kAlive;
    std::size_t at = 0;
    places_.reserve(record.values.size());
    for (const auto& value : record.values) {
      places_.emplace_back(at, value ? value->size() : kNothing);
      if (!value) continue;
      std::ranges::copy(as_bytes(*value), out.begin() + static_cast<std::ptrdiff_t>(at + 1));
      at += value->size();
    }
  }

  [[nodiscard]] const RecordId& id() const noexcept { return id_; }
  [[nodiscard]] const std::vector<std::string>& fields() const noexcept { return *fields_; }
  [[nodiscard]] std::optional<Secret> at(std::string_view field) const {
    const auto found = std::ranges::find(*fields_, field);
    if (found == fields_->end()) throw nb::key_error(std::string(field).c_str());
    const auto value = text(static_cast<std::size_t>(found - fields_->begin()));
    return value ? std::optional<Secret>(*value) : std::nullopt;
  }
  [[nodiscard]] nb::typed<nb::dict, nb::str, std::optional<nb::str>> reveal() const {
    nb::dict out;
    for (std::size_t i = 0; i < fields_->size(); ++i) {
      const auto value = text(i);
      out[string((*fields_)[i])] = value ? nb::object(string(*value)) : nb::object(nb::none());
    }
    return out;
  }

 private:
  [[nodiscard]] std::optional<std::string_view> text(std::size_t field) const {
    const auto [at, size] = places_[field];
    if (size == kNothing) return std::nullopt;
    return text_in(bytes_).substr(at, size);
  }

  RecordId id_;
  Fields fields_;
  SecretBytes bytes_;
  std::vector<std::pair<std::size_t, std::size_t>> places_;  ///< offset and size of each
};

/// A disclosure that threads may share: each takes the next record.
class Disclosed {
 public:
  Disclosed(Disclosure disclosure, std::vector<std::string> fields)
      : disclosure_(std::move(disclosure)),
        fields_(std::make_shared<const std::vector<std::string>>(std::move(fields))) {}
  [[nodiscard]] std::uint64_t entry() const noexcept { return disclosure_.entry(); }
  [[nodiscard]] const std::string& basis() const noexcept { return disclosure_.basis(); }
  [[nodiscard]] std::string receipt() {
    return released([&] {
      const std::lock_guard lock(mutex_);
      return take(disclosure_.receipt());
    });
  }
  [[nodiscard]] std::optional<Row> next() {
    return released([&]() -> std::optional<Row> {
      const std::lock_guard lock(mutex_);
      const Disclosure::Record* const record = take(disclosure_.next());
      if (record == nullptr) return std::nullopt;
      return std::optional<Row>(std::in_place, *record, fields_);
    });
  }

 private:
  std::mutex mutex_;
  Disclosure disclosure_;
  Row::Fields fields_;
};

std::vector<RecordId> ids_of(const nb::sequence& texts) {
  std::vector<RecordId> out;
  out.reserve(nb::len(texts));
  for (const nb::handle text : texts) out.push_back(id_of(nb::cast<std::string_view>(text)));
  return out;
}

}  // namespace

Secret::Secret(std::string_view text) : bytes_(text.size() + 1) {
  bytes_.mutable_view().front() = kAlive;
  std::ranges::copy(as_bytes(text), bytes_.mutable_view().begin() + 1);
}

std::string_view Secret::text() const { return text_in(bytes_); }

void bind_values(nb::module_& m) {
  nb::class_<Secret>(m, "Secret",
                     "A value in locked memory, wiped when it goes. Shows itself to nobody but `reveal()`.")
      .def(
          "reveal", [](const Secret& s) { return string(s.text()); },
          "The text as a Python string, which cannot be wiped: keep it short.")
      .def("__repr__", [](const Secret&) { return "<casevault.Secret>"; })
      .def("__len__", [](const Secret& s) { return s.size(); })
      .def("__reduce__", not_pickled<Secret>, kReduce);

  nb::class_<Row>(m, "Row", "One disclosed record. `row[field]` is a `Secret`, or None where nothing is recorded.")
      .def_prop_ro("id", [](const Row& row) { return row.id().to_string(); })
      .def_prop_ro("fields", [](const Row& row) { return row.fields(); })
      .def("__getitem__", &Row::at)
      .def("reveal", &Row::reveal, "All values as a dictionary of strings and None.")
      .def("__repr__", [](const Row& row) { return "<casevault.Row " + row.id().to_string() + ">"; })
      .def("__reduce__", not_pickled<Row>, kReduce);

  nb::class_<Disclosed>(m, "Disclosure", "Released records, in the order asked. Their entry is on disk already.")
      .def_prop_ro("entry", &Disclosed::entry)
      .def_prop_ro("basis", &Disclosed::basis)
      .def("receipt", &Disclosed::receipt, "The receipt of the entry, for `verify_receipt`.")
      .def(
          "__iter__", [](nb::object self) { return self; }, nb::sig("def __iter__(self) -> Disclosure"))
      .def("__next__",
           [](Disclosed& d) {
             auto row = d.next();
             if (!row) throw nb::stop_iteration();
             return *std::move(row);
           })
      .def("__repr__",
           [](const Disclosed& d) { return "<casevault.Disclosure, entry " + std::to_string(d.entry()) + ">"; })
      .def("__reduce__", not_pickled<Disclosed>, kReduce);
}

void bind_disclosing(nb::class_<Session>& session) {
  session.def("disclose",
              [](Session& s, const nb::typed<nb::sequence, std::string>& ids, const std::vector<std::string>& fields,
                 const std::string& purpose, const std::string& basis, const std::string& recipient,
                 const std::string& recipient_class) {
                const DisclosureRequest request{.ids = ids_of(ids),
                                                .fields = fields,
                                                .purpose = purpose,
                                                .basis = basis,
                                                .recipient = recipient,
                                                .recipient_class = recipient_class};
                return new Disclosed(released([&] { return take(s.disclose(request)); }), fields);
              });
}

}  // namespace casevault::python
