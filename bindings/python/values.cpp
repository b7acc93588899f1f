// SPDX-License-Identifier: Apache-2.0
#include "support.hpp"

#include <deque>
#include <mutex>

namespace casevault::python {
namespace {

/// So much is taken at a time: to let the GIL go for each record alone takes longer than all the rest.
constexpr std::size_t kAhead = 32;
constexpr std::size_t kAheadBytes = 4095;  // with the byte before them a block of the arena

nb::str string(std::string_view text) { return nb::str(text.data(), text.size()); }

/// Some disclosed records, in one plaintext.
struct Group {
  static constexpr std::size_t kNothing = ~std::size_t{0};
  struct Place {
    std::size_t at = 0;
    std::size_t size = 0;
  };

  std::shared_ptr<const std::vector<std::string>> fields;
  std::vector<RecordId> ids;
  std::vector<Place> places;  ///< of each record those of each field
  Plaintext plaintext{kAheadBytes};

  [[nodiscard]] bool full() const { return ids.size() == kAhead || plaintext.size() >= kAheadBytes; }
  void add(const Disclosure::Record& record) {
    ids.push_back(record.id);
    for (const auto& value : record.values) {
      places.push_back({.at = plaintext.size(), .size = value ? value->size() : kNothing});
      if (value) plaintext.append(*value);
    }
  }
};

/// One disclosed record.
struct Row {
  std::shared_ptr<const Group> group;
  std::size_t number = 0;

  [[nodiscard]] const RecordId& id() const { return group->ids[number]; }
  [[nodiscard]] const std::vector<std::string>& fields() const { return *group->fields; }
  [[nodiscard]] std::optional<Secret> value(std::size_t field) const {
    const Group::Place place = group->places[number * fields().size() + field];
    if (place.size == Group::kNothing) return std::nullopt;
    return Secret{.plaintext = {group, &group->plaintext}, .at = place.at, .size = place.size};
  }
  [[nodiscard]] std::optional<Secret> at(std::string_view field) const {
    const auto found = std::ranges::find(fields(), field);
    if (found == fields().end()) throw nb::key_error(std::string(field).c_str());
    return value(static_cast<std::size_t>(found - fields().begin()));
  }
  [[nodiscard]] nb::typed<nb::dict, nb::str, std::optional<nb::str>> reveal() const {
    nb::dict out;
    for (std::size_t i = 0; i < fields().size(); ++i) {
      const auto secret = value(i);
      out[string(fields()[i])] = secret ? nb::object(string(secret->text())) : nb::object(nb::none());
    }
    return out;
  }
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
      auto group = released([&] { return take_some(); });
      if (group->ids.empty()) return std::nullopt;
      ready_.push_back(std::move(group));
    }
    Row row{.group = ready_.front(), .number = at_};
    if (++at_ == row.group->ids.size()) {
      at_ = 0;
      ready_.pop_front();
    }
    return row;
  }

 private:
  /// Records that came before an error are handed over first; then it comes, again and again.
  std::shared_ptr<const Group> take_some() {
    const std::lock_guard lock(mutex_);
    if (*closed_) throw Failure{{.code = ErrorCode::kUsage, .message = "the vault of this disclosure is closed"}};
    auto group = std::make_shared<Group>();
    group->fields = fields_;
    group->ids.reserve(kAhead);
    group->places.reserve(kAhead * fields_->size());
    while (!failed_ && !group->full()) {
      auto record = disclosure_.next();
      if (!record.has_value())
        failed_ = std::move(record).error();
      else if (*record == nullptr)
        break;
      else
        group->add(**record);
    }
    if (failed_ && group->ids.empty()) throw Failure{*failed_};
    return group;
  }

  std::mutex mutex_;
  Disclosure disclosure_;
  std::optional<Error> failed_;
  std::shared_ptr<const std::vector<std::string>> fields_;
  std::shared_ptr<const std::atomic<bool>> closed_;
  std::deque<std::shared_ptr<const Group>> ready_;  ///< more than one only when threads took some at once
  std::size_t at_ = 0;                              ///< in the first of them
};

std::vector<RecordId> ids_of(const nb::sequence& texts) {
  std::vector<RecordId> out;
  out.reserve(nb::len(texts));
  for (const nb::handle text : texts) {
    std::string_view view;
    if (!nb::try_cast(text, view)) throw nb::type_error("an id is a string");
    out.push_back(id_of(view));
  }
  return out;
}

}  // namespace

void bind_values(nb::module_& m) {
  nb::class_<Secret>(m, "Secret",
                     "A value in locked memory, wiped when it and those that it came with (at most 32 records) go. "
                     "Shows itself to nobody but `reveal()`.")
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
