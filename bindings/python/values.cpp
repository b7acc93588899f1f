// SPDX-License-Identifier: Apache-2.0
#include "support.hpp"

#include <algorithm>
#include <deque>
#include <iterator>

namespace casevault::python {
namespace {

/// So many records are taken at a time: to let the GIL go for each alone takes longer than all the rest.
constexpr std::size_t kAhead = 32;

nb::str string(std::string_view text) { return nb::str(text.data(), text.size()); }

/// One disclosed record: its values one after another in one plaintext.
class Row {
 public:
  using Fields = std::shared_ptr<const std::vector<std::string>>;

  Row(const Disclosure::Record& record, Fields fields) : id_(record.id), fields_(std::move(fields)) {
    std::size_t size = 0;
    places_.reserve(record.values.size());
    for (const auto& value : record.values) {
      places_.push_back({.at = size, .size = value ? value->size() : kNothing});
      size += value ? value->size() : 0;
    }
    const auto plaintext = std::make_shared<Plaintext>(size);
    auto out = plaintext->room().begin();
    for (const auto& value : record.values) {
      if (value) out = std::ranges::copy(as_bytes(*value), out).out;
    }
    plaintext_ = plaintext;
  }

  [[nodiscard]] const RecordId& id() const noexcept { return id_; }
  [[nodiscard]] const std::vector<std::string>& fields() const noexcept { return *fields_; }
  [[nodiscard]] std::optional<Secret> at(std::string_view field) const {
    const auto found = std::ranges::find(*fields_, field);
    if (found == fields_->end()) throw nb::key_error(std::string(field).c_str());
    (void)plaintext_->text();  // in a forked child this is the place to say so
    return value(static_cast<std::size_t>(found - fields_->begin()));
  }
  [[nodiscard]] nb::typed<nb::dict, nb::str, std::optional<nb::str>> reveal() const {
    nb::dict out;
    for (std::size_t i = 0; i < fields_->size(); ++i) {
      const auto secret = value(i);
      out[string((*fields_)[i])] = secret ? nb::object(string(secret->text())) : nb::object(nb::none());
    }
    return out;
  }

 private:
  static constexpr std::size_t kNothing = ~std::size_t{0};
  struct Place {
    std::size_t at = 0;
    std::size_t size = 0;
  };

  [[nodiscard]] std::optional<Secret> value(std::size_t field) const {
    const Place place = places_[field];
    if (place.size == kNothing) return std::nullopt;
    return Secret{.plaintext = plaintext_, .at = place.at, .size = place.size};
  }

  RecordId id_;
  Fields fields_;
  std::shared_ptr<const Plaintext> plaintext_;
  std::vector<Place> places_;
};

/// A disclosure that threads may share: each takes the next record.
class Disclosed {
 public:
  Disclosed(Disclosure disclosure, std::vector<std::string> fields, std::shared_ptr<const std::atomic<bool>> closed)
      : disclosure_(std::move(disclosure)),
        fields_(std::make_shared<const std::vector<std::string>>(std::move(fields))),
        closed_(std::move(closed)) {}
  [[nodiscard]] std::uint64_t entry() const noexcept { return disclosure_.entry(); }
  [[nodiscard]] const std::string& basis() const noexcept { return disclosure_.basis(); }
  [[nodiscard]] std::string receipt() {
    return released([&] {
      const std::lock_guard lock(mutex_);
      return take(disclosure_.receipt());
    });
  }
  /// nullopt at the end. The GIL guards `ready_`.
  [[nodiscard]] std::optional<Row> next() {
    if (ready_.empty() || *closed_) {
      Taken taken = released([&] { return take_some(); });
      ready_.insert(ready_.end(), std::move_iterator(taken.rows.begin()), std::move_iterator(taken.rows.end()));
      if (ready_.empty()) {
        if (taken.error) throw Failure{*std::move(taken.error)};
        return std::nullopt;
      }
    }
    std::optional<Row> row(std::move(ready_.front()));
    ready_.pop_front();
    return row;
  }

 private:
  struct Taken {
    std::vector<Row> rows;
    std::optional<Error> error;
  };

  /// Rows that came before an error are handed over first: it comes again.
  Taken take_some() {
    Taken out;
    const std::lock_guard lock(mutex_);
    if (*closed_) throw Failure{{.code = ErrorCode::kUsage, .message = "the vault of this disclosure is closed"}};
    if (failed_) out.error = failed_;
    while (!out.error && out.rows.size() < kAhead) {
      auto record = disclosure_.next();
      if (!record.has_value())
        out.error = failed_ = std::move(record).error();
      else if (*record == nullptr)
        break;
      else
        out.rows.emplace_back(**record, fields_);
    }
    return out;
  }

  std::mutex mutex_;
  Disclosure disclosure_;
  std::optional<Error> failed_;
  Row::Fields fields_;
  std::shared_ptr<const std::atomic<bool>> closed_;
  std::deque<Row> ready_;
};

std::vector<RecordId> ids_of(const nb::sequence& texts) {
  std::vector<RecordId> out;
  out.reserve(nb::len(texts));
  for (const nb::handle text : texts) out.push_back(id_of(nb::cast<std::string_view>(text)));
  return out;
}

}  // namespace

void bind_values(nb::module_& m) {
  nb::class_<Secret>(m, "Secret",
                     "A value in locked memory, wiped when it and its row go. Shows itself to nobody but `reveal()`.")
      .def(
          "reveal", [](const Secret& s) { return string(s.text()); },
          "The text as a Python string, which cannot be wiped: keep it short.")
      .def("__repr__", [](const Secret&) { return "<casevault.Secret>"; })
      .def("__len__", [](const Secret& s) { return s.size; })
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

void bind_disclosing(nb::class_<Open>& session) {
  session.def("disclose",
              [](Open& s, const nb::typed<nb::sequence, std::string>& ids, const std::vector<std::string>& fields,
                 const std::string& purpose, const std::string& basis, const std::string& recipient,
                 const std::string& recipient_class) {
                const DisclosureRequest request{.ids = ids_of(ids),
                                                .fields = fields,
                                                .purpose = purpose,
                                                .basis = basis,
                                                .recipient = recipient,
                                                .recipient_class = recipient_class};
                return new Disclosed(released([&] { return take(s.disclose(request)); }), fields, s.closed);
              });
}

}  // namespace casevault::python
