// SPDX-License-Identifier: Apache-2.0
#include "support.hpp"

namespace casevault::python {
namespace {

constexpr std::size_t kEntriesBetweenSignals = 4096;

Dict verify_dict(const VerifyReport& report) {
  Dict out;
  out["ok"] = report.ok;
  out["size"] = report.size;
  out["root"] = hex(report.root);
  out["entry"] = report.entry;
  out["reason"] = report.reason;
  out["warnings"] = report.warnings;
  return out;
}

Dict entry_dict(const LogEntry& entry) {
  Dict out;
  out["entry"] = entry.entry;
  out["time_ms"] = entry.time_ms;
  out["action"] = audit::name_of(entry.action);
  out["outcome"] = audit::name_of(entry.outcome);
  out["actor"] = entry.actor;
  out["purpose"] = entry.purpose;
  out["basis"] = entry.basis;
  out["count"] = entry.count;
  out["details"] = entry.details;
  return out;
}

}  // namespace

void bind_log(nb::class_<Open>& session) {
  session
      .def("verify",
           [](Open& s, const std::string& anchor, const Callback& progress) {
             return verify_dict(
                 watched(progress, [&](const ProgressCallback& callback) { return s.verify_log(anchor, callback); }));
           })
      .def("entries",
           [](Open& s, std::uint64_t from, const std::string& actor, const std::optional<std::string>& subject,
              bool details, std::size_t limit) {
             LogQuery query{.from = from, .actor = actor, .subject = {}, .details = details};
             if (subject) query.subject = id_of(*subject);
             std::vector<LogEntry> entries;
             Raised raised;
             const auto visit = [&](const LogEntry& entry) {
               entries.push_back(entry);
               if (entries.size() == limit) return false;
               return entries.size() % kEntriesBetweenSignals != 0 || raised.guard([] { return true; });
             };
             raised.take(released([&] { return s.read_log(query, visit); }));
             Dicts out;
             for (const LogEntry& entry : entries) out.append(entry_dict(entry));
             return out;
           })
      .def("prove", [](Open& s, std::uint64_t entry) { return released([&] { return take(s.prove(entry)); }); })
      .def("checkpoint", [](Open& s) { return released([&] { return take(s.checkpoint()); }); });
}

}  // namespace casevault::python
