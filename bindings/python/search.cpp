// SPDX-License-Identifier: Apache-2.0
#include "support.hpp"

namespace casevault::python {
namespace {

/// What one search found.
struct Found {
  FindResult::Answer answer;
  std::uint64_t entry = 0;
  std::string basis;
};

struct Pair {
  std::string a;
  std::string b;
  double score = 0;
  std::vector<std::string> because;
  std::vector<std::string> against;
};

Pair pair_of(const DuplicatePair& pair) {
  return {.a = pair.a.to_string(),
          .b = pair.b.to_string(),
          .score = pair.score,
          .because = {pair.because.begin(), pair.because.end()},
          .against = {pair.against.begin(), pair.against.end()}};
}

}  // namespace

void bind_search(nb::module_& m, nb::class_<Open>& session) {
  using Hit = FindResult::Hit;
  nb::class_<Hit>(m, "Hit", "A record that was found: its id, and how close it is to what was typed.")
      .def_prop_ro("id", [](const Hit& hit) { return hit.id.to_string(); })
      .def_prop_ro(
          "match", [](const Hit& hit) { return name_of(hit.match); }, "exact, folded, order_free or joined")
      .def_prop_ro(
          "same_person", [](const Hit& hit) -> nb::typed<nb::list, std::string> { return texts_of(hit.same_person); },
          "Ids of other records that merges say to be about the same person.")
      .def("__repr__", [](const Hit& hit) {
        return "<casevault.Hit " + hit.id.to_string() + ", " + std::string(name_of(hit.match)) + ">";
      });

  nb::class_<Found>(m, "Found", "What a search found, the closest first; iterating gives `Hit`s.")
      .def_prop_ro("matches", [](const Found& found) { return found.answer.matches; })
      .def_prop_ro("ids",
                   [](const Found& found) -> nb::typed<nb::list, std::string> {
                     nb::list out;
                     for (const Hit& hit : found.answer.matches) out.append(hit.id.to_string());
                     return out;
                   })
      .def_prop_ro(
          "count", [](const Found& found) { return found.answer.count; },
          "All that there are, beyond those that `limit` let through.")
      .def_ro("entry", &Found::entry, "The log entry, which searches of one call share.")
      .def_ro("basis", &Found::basis)
      .def("__len__", [](const Found& found) { return found.answer.matches.size(); })
      .def("__getitem__",
           [](const Found& found, std::size_t at) {
             if (at >= found.answer.matches.size()) throw nb::index_error("no such match");
             return found.answer.matches[at];
           })
      .def("__iter__",
           [](const Found& found) -> nb::typed<nb::iterator, Hit> { return nb::iter(nb::cast(found.answer.matches)); })
      .def("__repr__", [](const Found& found) {
        return "<casevault.Found, " + std::to_string(found.answer.matches.size()) + " of " +
               std::to_string(found.answer.count) + " matches, entry " + std::to_string(found.entry) + ">";
      });

  nb::class_<Pair>(m, "Pair", "Two records that may be about one person. A suggestion: only `merge` joins them.")
      .def_ro("a", &Pair::a)
      .def_ro("b", &Pair::b)
      .def_ro("score", &Pair::score, "The probability that they are one person.")
      .def_ro("because", &Pair::because, "What speaks for it, in a few words without values.")
      .def_ro("against", &Pair::against, "What speaks against it.")
      .def("__repr__", [](const Pair& pair) { return "<casevault.Pair " + pair.a + ", " + pair.b + ">"; });

  session
      .def("find",
           [](Open& s, const std::string& type, const std::vector<Pairs>& searches, const std::string& purpose,
              const std::string& basis, bool loose, std::size_t limit) {
             std::vector<Found> out;
             released([&] {
               FindRequest request{
                   .type = type, .searches = {}, .purpose = purpose, .basis = basis, .loose = loose, .limit = limit};
               for (const Pairs& search : searches) request.searches.push_back(inputs_of(search));
               FindResult result = take(s.find(request));
               for (FindResult::Answer& answer : result.answers)
                 out.push_back({.answer = std::move(answer), .entry = result.entry, .basis = result.basis});
             });
             return out;
           })
      .def("duplicates",
           [](Open& s, const std::string& type, const std::string& purpose, const std::string& basis, double min_score,
              const Callback& found, const Callback& progress) {
             nb::list pairs;
             Raised raised;
             const DuplicatesRequest request{
                 .type = type,
                 .purpose = purpose,
                 .basis = basis,
                 .min_score = min_score,
                 .progress = [&](const Progress& now) {
                   return raised.guard([&] { return !progress || advance(*progress, now); });
                 }};
             const DuplicatesResult done = raised.take(released([&] {
               return s.duplicates(request, [&](const DuplicatePair& pair) {
                 return raised.guard([&] {
                   nb::object one = nb::cast(pair_of(pair));
                   if (found) return goes_on((*found)(one));
                   pairs.append(std::move(one));
                   return true;
                 });
               });
             }));
             Dict out;
             out["pairs"] = pairs;
             out["entry"] = done.entry;
             out["basis"] = done.basis;
             out["records"] = done.records;
             out["found"] = done.pairs;
             out["unheard"] = done.unheard;
             return out;
           })
      .def("merge",
           [](Open& s, std::string_view a, std::string_view b, const std::string& reason, bool undo) {
             const RecordId first = id_of(a);
             const RecordId second = id_of(b);
             const Merged merged = released([&] { return take(s.merge(first, second, reason, undo)); });
             return std::tuple(merged.entry, texts_of(merged.person));
           })
      .def("same_person", [](Open& s, std::string_view text) {
        const RecordId id = id_of(text);
        return texts_of(released([&] { return take(s.same_person(id)); }));
      });
}

}  // namespace casevault::python
