// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <fstream>
#include <set>

#include "base/text.hpp"
#include "faulty_calls.hpp"
#include "lab.hpp"
#include "log_editor.hpp"
#include "support/fixed_environment.hpp"
#include "vault/session_impl.hpp"

/// One bit is flipped in a copy of a small vault, the vault is opened and everything in it is asked for. Allowed: an
/// error that names its cause, or every value and every entry as it was. Nothing else, wherever the bit stands.
namespace casevault::test {
namespace {

using store::Table;

const std::vector<std::string> kFields = {"full_name", "phone", "sex", "born", "note"};

/// Everything the database says, without the way it is stored.
using Content = std::map<std::pair<int, Bytes>, Bytes>;

Content content_of(vault::Core& core) {
  Content out;
  auto txn = REQUIRE_OK(core.store().begin_read());
  for (const Table table : {Table::kMeta, Table::kRows, Table::kTree, Table::kIndex}) {
    REQUIRE_DONE(txn->scan(table, {}, [&](const store::Item& item) {
      out[{static_cast<int>(table), Bytes(item.key.begin(), item.key.end())}] =
          Bytes(item.value.begin(), item.value.end());
      return true;
    }));
  }
  return out;
}

bool same_entry(const LogEntry& a, const LogEntry& b) {
  return a.entry == b.entry && a.time_ms == b.time_ms && a.action == b.action && a.outcome == b.outcome &&
         a.actor == b.actor && a.purpose == b.purpose && a.basis == b.basis && a.count == b.count;
}

/// Who tells of the flipped bit.
enum class Told : std::uint8_t { kOpening, kVerify, kDisclosure, kDoctor, kWarning, kNobody };

class Specimen {
 public:
  Specimen() {
    {
      Session session = lab.open();
      for (const char* name : {"Hoa", "Lan", "Minh"}) {
        const FieldInput fields[] = {
            {"full_name", name}, {"phone", "0901"}, {"sex", "female"}, {"born", "1999-02"}, {"note", "seen twice"}};
        ids.push_back(REQUIRE_OK(session.add("person", fields)).id);
      }
      const FieldInput change[] = {{"phone", "0902"}};
      REQUIRE_OK(session.update(ids[1], change));
      lab.add(session, "officer", "officer", {"identity"});
      values = REQUIRE_OK(disclose(session, request_for(ids, kFields)));
      log = entries(session);
    }
    // Without the zeros that the segment was given for later, so that every byte of the log can have its turn.
    segment_end = used_bytes(file_bytes(lab.segment()));
    std::filesystem::resize_file(lab.segment(), segment_end + 64);
    {
      const auto core = lab.core();
      content = content_of(*core);
    }
    write_bytes(lab.vault() / "identities" / "officer.identity", as_bytes("kept beside, not read by opening"));
    for (const auto& each : std::filesystem::recursive_directory_iterator(lab.vault())) {
      if (each.is_regular_file()) {
        files.push_back({std::filesystem::relative(each.path(), lab.vault()).string(), file_bytes(each.path())});
      }
    }
    const auto anchor = lab.state() / (base::to_hex(lab.owner.pins.at(0).vault_id) + ".anchor");
    anchor_ = {anchor, file_bytes(anchor)};
    call_faults().reset();
    call_faults().skip_flushes = true;
  }
  ~Specimen() { call_faults().reset(); }
  Specimen(const Specimen&) = delete;
  Specimen& operator=(const Specimen&) = delete;

  [[nodiscard]] const Bytes& whole(std::string_view name) const {
    return std::ranges::find(files, name, [](const auto& file) { return file.first; })->second;
  }

  /// The vault with these bits turned, looked at, and put back.
  Told flip(std::string_view name, std::size_t first, std::size_t count, std::uint8_t mask) {
    CAPTURE(name, first, count, static_cast<int>(mask));
    Bytes altered(whole(name).begin() + static_cast<std::ptrdiff_t>(first),
                  whole(name).begin() + static_cast<std::ptrdiff_t>(first + count));
    for (std::uint8_t& byte : altered) byte ^= mask;
    poke(name, first, altered);
    const Told told = look();
    put_back();
    return told;
  }

  Told look() {
    auto opened = vault::Core::open(lab.vault(), lab.owner.identity(), lab.options(), base::system_environment());
    if (!opened) {
      require_cause(opened.error());
      return Told::kOpening;
    }
    std::shared_ptr<vault::Core> core = *std::move(opened);
    Session session(std::make_unique<Session::Impl>(core));
    bool by_disclosure = false;
    for (std::size_t i = 0; i < ids.size(); ++i) {
      const auto got = disclose(session, request_for({ids[i]}, kFields));
      if (got) {
        REQUIRE(got->size() == 1);
        REQUIRE((*got)[0] == values[i]);
      } else {
        INFO(got.error().message);
        REQUIRE((got.error().code == ErrorCode::kIntegrity || got.error().code == ErrorCode::kNotFound ||
                 got.error().code == ErrorCode::kUnsupported));
        by_disclosure = true;
        not_found_ = not_found_ || got.error().code == ErrorCode::kNotFound;
      }
    }
    const auto report = session.verify_log();
    if (!report) {
      require_cause(report.error());
      return Told::kVerify;
    }
    if (!report->ok) {
      REQUIRE_FALSE(report->reason.empty());
      return Told::kVerify;
    }
    REQUIRE_FALSE(not_found_);  // a record that is gone is the log's business, not the reader's mistake
    // Verified: so no entry may be lost or changed, and no record but those that were written.
    const std::vector<LogEntry> now = entries(session);
    REQUIRE(now.size() >= log.size());
    for (std::size_t i = 0; i < log.size(); ++i) REQUIRE(same_entry(now[i], log[i]));
    const auto list = REQUIRE_OK(session.list("person", 100));
    REQUIRE(list.size() == ids.size());
    for (std::size_t i = 0; i < ids.size(); ++i) {
      REQUIRE(list[i].id == ids[i]);
      REQUIRE(list[i].version == (i == 1 ? 2 : 1));
    }
    if (by_disclosure) return Told::kDisclosure;
    if (content_of(*core) != content) {
      // Nobody asked for these rows: postings, and keys of indexes. They are doctor's to tell.
      DoctorOptions deep;
      deep.deep = true;
      session.close();
      core.reset();
      const DoctorReport seen = REQUIRE_OK(examine(lab.vault(), lab.owner.identity(), lab.options(true), deep));
      REQUIRE_FALSE(seen.ok);
      return Told::kDoctor;
    }
    // Everybody says that all is well: then the byte carries no meaning, and the vault is as good for writing.
    REQUIRE((content_of(*core) == content));
    const Status status = REQUIRE_OK(session.status());
    const RecordId after = add_person(session, "After").id;
    REQUIRE(name_of(session, after) == "After");
    require_sound(session);
    const bool warned = !report->warnings.empty() || std::ranges::any_of(status.warnings, [](const std::string& text) {
      return text.find("erasure.root: not all") != std::string::npos;
    });
    return warned ? Told::kWarning : Told::kNobody;
  }

  void poke(std::string_view name, std::size_t at, ByteView bytes) const {
    std::fstream file(lab.vault() / name, std::ios::binary | std::ios::in | std::ios::out);
    file.seekp(static_cast<std::streamoff>(at))
        .write(as_text(bytes).data(), static_cast<std::streamsize>(bytes.size()));
    file.close();
    REQUIRE(file.good());
  }

  /// Rewrites in place what differs, so that no trial sees anything of the one before.
  void put_back() {
    not_found_ = false;
    for (const auto& [name, bytes] : files) {
      const std::filesystem::path file = lab.vault() / name;
      if (file_bytes(file) != bytes) write_bytes(file, bytes);
    }
    std::filesystem::remove(lab.vault() / "log" / "00000001.log");
    std::filesystem::remove_all(lab.state());
    std::filesystem::create_directory(lab.state());
    write_bytes(anchor_.first, anchor_.second);
  }

  Lab lab;
  std::vector<RecordId> ids;
  Values values;
  std::vector<LogEntry> log;
  Content content;
  std::size_t segment_end = 0;
  std::vector<std::pair<std::string, Bytes>> files;  ///< relative to the vault, and as they were

 private:
  static void require_cause(const Error& error) {
    const ErrorCode code = error.code;
    INFO(error.message);
    REQUIRE((code == ErrorCode::kIntegrity || code == ErrorCode::kRolledBack || code == ErrorCode::kUnsupported ||
             code == ErrorCode::kUntrusted || code == ErrorCode::kNoGrant));
    const auto names = [&](std::string_view word) { return error.message.find(word) != std::string::npos; };
    REQUIRE((names("log") || names("data.mdb") || names("erasure.root") || names("FORMAT") || names("vault") ||
             names("entry") || names("record") || names("key tree")));
  }

  std::pair<std::filesystem::path, Bytes> anchor_;
  bool not_found_ = false;
};

constexpr std::string_view kSegmentName = "log/00000000.log";
/// Where erasure.root holds the key, four times; nothing else of it is read.
constexpr std::array<std::size_t, 4> kPlaces = {0, 4096, 1U << 20U, (1U << 20U) + 4096};
constexpr std::size_t kPlaceBytes = 125;

/// How many flips each told of.
using Tally = std::map<Told, int>;

/// `step` 1 is every byte; the bit of each comes from a fixed seed.
Tally flip_database(Specimen& specimen, std::size_t step) {
  SeededRandom random(11);
  Tally tally;
  const std::size_t size = specimen.whole("data.mdb").size();
  for (std::size_t i = 0; i < size; i += step) {
    ++tally[specimen.flip("data.mdb", i, 1, static_cast<std::uint8_t>(1U << random.below(8)))];
  }
  return tally;
}

void flip_log(Specimen& specimen, std::size_t step) {
  SeededRandom random(12);
  for (std::size_t i = 0; i < specimen.whole(kSegmentName).size(); i += step) {
    const Told told = specimen.flip(kSegmentName, i, 1, static_cast<std::uint8_t>(1U << random.below(8)));
    // Behind the last entry stand zeros for later: what is written there was never acknowledged, is cut, and told.
    if (i < specimen.segment_end) {
      REQUIRE((told == Told::kOpening || told == Told::kVerify));
    } else {
      REQUIRE(told != Told::kNobody);
    }
  }
}

void flip_root(Specimen& specimen, std::size_t step, std::size_t filler) {
  SeededRandom random(13);
  const std::size_t size = specimen.whole("erasure.root").size();
  REQUIRE(size == (1U << 20U) + 8192);
  for (const std::size_t place : kPlaces) {
    for (std::size_t i = 0; i < kPlaceBytes; i += step) {
      // Three other copies serve; that one was spoiled is said, and mended.
      REQUIRE(specimen.flip("erasure.root", place + i, 1, static_cast<std::uint8_t>(1U << random.below(8))) ==
              Told::kWarning);
    }
  }
  // The filler carries nothing: so many bytes of it at a time.
  for (std::size_t i = 0; i < size; i += filler) {
    const std::size_t count = std::min(filler, size - i);
    if (std::ranges::any_of(kPlaces, [&](std::size_t place) { return i < place + kPlaceBytes && i + count > place; })) {
      continue;
    }
    REQUIRE(specimen.flip("erasure.root", i, count, static_cast<std::uint8_t>(1U << random.below(8))) == Told::kNobody);
  }
}

/// FORMAT, all bits of it.
void flip_format(Specimen& specimen, std::size_t step) {
  const Bytes format = specimen.whole("FORMAT");
  for (std::size_t i = 0; i < format.size(); i += step) {
    for (unsigned bit = 0; bit < 8; ++bit) {
      CAPTURE(i, bit);
      const auto turned = static_cast<std::uint8_t>(format[i] ^ 1U << bit);
      // Hexadecimal digits may be written in either case: the same vault id.
      const bool same_digit = bit == 5 && i >= 21 && std::isxdigit(turned) != 0 && std::isalpha(turned) != 0;
      REQUIRE(specimen.flip("FORMAT", i, 1, static_cast<std::uint8_t>(1U << bit)) ==
              (same_digit ? Told::kNobody : Told::kOpening));
    }
  }
}

/// The files that opening makes anew or does not read.
void flip_unread(Specimen& specimen, std::size_t step) {
  REQUIRE(specimen.whole("log/lock").empty());
  SeededRandom random(14);
  for (const std::string_view name : {"lock.mdb", "identities/officer.identity"}) {
    for (std::size_t i = 0; i < specimen.whole(name).size(); i += step) {
      // Whoever opens LMDB alone makes the reader table anew, whatever it held.
      REQUIRE(specimen.flip(name, i, 1, static_cast<std::uint8_t>(1U << random.below(8))) == Told::kNobody);
    }
  }
}

TEST_CASE("bound: a bit flipped anywhere in the database is told, or changes nothing that it says") {
  Specimen specimen;
  const Tally tally = flip_database(specimen, 149);
  CHECK(tally.at(Told::kOpening) > 0);
  CHECK(tally.at(Told::kDisclosure) > 0);
}
TEST_CASE("tamper-evident: a bit flipped anywhere in the log is told, and no entry is lost in silence") {
  Specimen specimen;
  flip_log(specimen, 61);
}
TEST_CASE("bound: a bit flipped anywhere in erasure.root costs at most one of four copies, which is told and mended") {
  Specimen specimen;
  flip_root(specimen, 7, std::size_t{1} << 15U);
}
TEST_CASE(
    "robust: a bit flipped in FORMAT is told, and files that opening makes anew or does not read change nothing") {
  Specimen specimen;
  flip_format(specimen, 5);
  flip_unread(specimen, 251);
}

TEST_CASE("bound: one bit flipped, in turn, in every byte of every file of a vault", "[.long]") {
  Specimen specimen;
  std::set<std::string> names;
  for (const auto& file : specimen.files) names.insert(file.first);
  // A file that is not treated here would be a file that nobody has thought of.
  REQUIRE(names == std::set<std::string>{"FORMAT", "data.mdb", "erasure.root", "identities/officer.identity",
                                         "lock.mdb", "log/00000000.log", "log/lock"});
  const Tally tally = flip_database(specimen, 1);
  CHECK(tally.at(Told::kVerify) > 0);
  CHECK(tally.at(Told::kNobody) > 0);
  flip_log(specimen, 1);
  flip_root(specimen, 1, 64);
  flip_format(specimen, 1);
  flip_unread(specimen, 1);
}

TEST_CASE(
    "robust: erasure.root with garbage in any of its places, or cut anywhere, serves from what is left or is named") {
  Specimen specimen;
  SeededRandom random(15);
  for (unsigned spoiled = 1; spoiled < 16; ++spoiled) {
    for (const bool keep_head : {false, true}) {  // garbage that still looks like a place
      CAPTURE(spoiled, keep_head);
      for (std::size_t p = 0; p < kPlaces.size(); ++p) {
        if ((spoiled >> p & 1U) == 0) continue;
        Bytes garbage(kPlaceBytes - (keep_head ? 20 : 0));
        random.fill(garbage);
        specimen.poke("erasure.root", kPlaces[p] + (keep_head ? 20 : 0), garbage);
      }
      const Told told = specimen.look();
      REQUIRE(told == (spoiled == 15 ? Told::kOpening : Told::kWarning));
      if (spoiled == 15) {
        const auto session = specimen.lab.try_open(specimen.lab.owner, true);
        REQUIRE(session.error().code == ErrorCode::kIntegrity);
        REQUIRE(session.error().message.find("erasure.root") != std::string::npos);
      } else {
        // Mended by the session that looked: the next one has nothing to say.
        Session next = specimen.lab.read_only();
        REQUIRE(REQUIRE_OK(next.verify_log()).warnings.empty());
      }
      specimen.put_back();
    }
  }
  const Bytes& whole = specimen.whole("erasure.root");
  for (const std::size_t size : {std::size_t{0}, std::size_t{1}, kPlaceBytes - 1, kPlaceBytes, std::size_t{4096},
                                 4096 + kPlaceBytes, std::size_t{1} << 20U, (std::size_t{1} << 20U) + kPlaceBytes - 1,
                                 (std::size_t{1} << 20U) + kPlaceBytes, whole.size() - 8192, whole.size() - 1}) {
    CAPTURE(size);
    write_bytes(specimen.lab.vault() / "erasure.root", ByteView(whole).first(size));
    const Told told = specimen.look();
    if (size < kPlaceBytes) {
      REQUIRE(told == Told::kOpening);
    } else {
      REQUIRE(told == (size >= kPlaces[3] + kPlaceBytes ? Told::kNobody : Told::kWarning));
    }
    specimen.put_back();
  }
}

}  // namespace
}  // namespace casevault::test
