// SPDX-License-Identifier: Apache-2.0
#include "support.hpp"

namespace casevault::python {
namespace {

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

Dict verify_receipt(const std::string& receipt, const std::string& log_key) {
  const audit::ReceiptFacts facts = released([&] { return take(audit::verify_receipt(receipt, log_key)); });
  Dict out;
  out["entry"] = facts.entry;
  out["size"] = facts.size;
  out["root"] = hex(facts.root);
  out["origin"] = facts.origin;
  out["action"] = audit::name_of(facts.action);
  out["outcome"] = audit::name_of(facts.outcome);
  out["time_ms"] = facts.time_ms;
  out["purpose"] = facts.purpose;
  out["basis"] = facts.basis;
  out["count"] = facts.count;
  return out;
}

Dict verify_checkpoint(const std::string& note, const std::string& log_key) {
  const audit::Checkpoint checkpoint = released([&] { return take(audit::verify_checkpoint(note, log_key)); });
  Dict out;
  out["origin"] = checkpoint.origin;
  out["size"] = checkpoint.size;
  out["root"] = hex(checkpoint.root);
  return out;
}

NB_MODULE(_casevault, m) {
  nb::set_leak_warnings(true);
  nb::register_exception_translator(translate, nullptr);
  bind_schema(m);
  bind_values(m);
  bind_tables(m);
  bind_identity(m);
  bind_session(m);
  m.def("verify_receipt", verify_receipt);
  m.def("verify_checkpoint", verify_checkpoint);
  m.def("parse_filter", [](const std::string& text) {
    const Filter filter = take(Filter::parse(text));
    return std::tuple(filter.field, filter.from, filter.to);
  });
  m.def("memory_lock_status", [] {
    const MemoryLockStatus status = memory_lock_status();
    Dict out;
    out["locked"] = status.locked;
    out["bytes_in_use"] = status.bytes_in_use;
    return out;
  });
}

}  // namespace
}  // namespace casevault::python
