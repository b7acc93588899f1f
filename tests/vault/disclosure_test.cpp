// SPDX-License-Identifier: Apache-2.0
#include <sys/resource.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>

#include "audit/entry.hpp"
#include "audit/note.hpp"
#include "faulty_calls.hpp"
#include "lab.hpp"
#include "vault/records.hpp"
#include "vault/session_impl.hpp"

namespace casevault::test {
namespace {

/// A lab with two people.
struct People {
  Lab lab;
  Session session = lab.open();
  RecordId hoa = add_person(session, "Hoa CANARY", "0901").id;
  RecordId lan = add_person(session, "Lan CANARY", "0902").id;
};

TEST_CASE("traced: every disclosure has its entry: who, purpose, basis, fields, records, recipient") {
  People p;
  Disclosure disclosure = REQUIRE_OK(p.session.disclose(request_for({p.hoa, p.lan}, {"full_name", "phone"})));
  const LogEntry entry = entries(p.session, true).at(disclosure.entry());
  CHECK(entry.action == audit::Action::kDisclose);
  CHECK(entry.outcome == audit::Outcome::kOk);
  CHECK(entry.actor == "owner");
  CHECK(entry.purpose == "care");
  CHECK(entry.basis == "duty");
  CHECK(disclosure.basis() == "duty");
  CHECK(entry.count == 2);
  for (const std::string& part : {std::string("full_name"), std::string("phone"), p.hoa.to_string(), p.lan.to_string(),
                                  std::string("clinic of the test")}) {
    CHECK(entry.details.find(part) != std::string::npos);
  }
  CHECK(entry.details.find("CANARY") == std::string::npos);
  CHECK(REQUIRE_OK(read_all(disclosure)).size() == 2);
}

TEST_CASE("traced: the entry is in the file before the first value can be read") {
  People p;
  const std::uint64_t before = REQUIRE_OK(p.session.status()).log_size;
  Disclosure disclosure = REQUIRE_OK(p.session.disclose(request_for({p.hoa})));
  // A process that knows nothing of this session finds it on disk although next() was never called.
  CHECK(in_child([&] {
          auto other = Session::open(p.lab.vault(), p.lab.owner.identity(), p.lab.options(true));
          if (!other) return 1;
          const auto status = other->status();
          return status && status->log_size == before + 1 ? 0 : 2;
        }) == 0);
  CHECK(disclosure.entry() == before);
}

TEST_CASE("traced: when the entry cannot be written, at whatever step, nothing is released and the error says why") {
  for (const int error : {EIO, ENOSPC, EROFS}) {
    for (const bool flushes : {false, true}) {
      for (int at = 1; at <= 4; ++at) {
        CAPTURE(error, flushes, at);
        People p;
        call_faults().reset();
        call_faults().only_flushes = flushes;
        call_faults().fail_at = at;
        call_faults().fail_count = 1'000'000;
        call_faults().error = error;
        const auto disclosure = p.session.disclose(request_for({p.hoa}));
        const bool failed = call_faults().calls >= at;
        call_faults().reset();
        if (!failed) {
          REQUIRE(disclosure.has_value());
          continue;
        }
        REQUIRE_FALSE((disclosure.has_value() && at == 1));
        if (disclosure) continue;  // what failed came after the entry was durable (an anchor is kept at best effort)
        const ErrorCode code = disclosure.error().code;
        INFO(disclosure.error().message);
        REQUIRE((code == ErrorCode::kIo || code == ErrorCode::kDiskFull || code == ErrorCode::kUnknownOutcome));
        CHECK(disclosure.error().message.find("CANARY") == std::string::npos);
        // The next one has its entry again, in this session or, if it must be, in the next.
        const auto again = p.session.disclose(request_for({p.hoa}));
        if (!again) p.session.close();
        Session other = again ? std::move(p.session) : p.lab.open();
        CHECK(name_of(other, p.hoa) == "Hoa CANARY");
        require_sound(other);
      }
    }
  }
}

TEST_CASE("traced: a disclosure of a log whose files may not grow releases nothing") {
  People p;
  CHECK(in_child([&] {
          auto other = Session::open(p.lab.vault(), p.lab.owner.identity(), p.lab.options());
          if (!other) return 1;
          ::signal(SIGXFSZ, SIG_IGN);
          const rlimit none{1, 1};
          if (::setrlimit(RLIMIT_FSIZE, &none) != 0) return 2;
          const auto refused = other->disclose(request_for({p.hoa}));
          if (refused) return 3;
          return refused.error().code == ErrorCode::kDiskFull || refused.error().code == ErrorCode::kIo ? 0 : 4;
        }) == 0);
  CHECK(name_of(p.session, p.hoa) == "Hoa CANARY");
}

TEST_CASE("traced: a vault whose log folder was taken away does not open, and opens again when it is back") {
  People p;
  p.session.close();
  std::filesystem::rename(p.lab.vault() / "log", p.lab.folder / "log");
  REQUIRE_FALSE(p.lab.try_open(p.lab.owner).has_value());
  REQUIRE_FALSE(p.lab.try_open(p.lab.owner, true).has_value());
  std::filesystem::rename(p.lab.folder / "log", p.lab.vault() / "log");
  Session session = p.lab.open();
  CHECK(name_of(session, p.hoa) == "Hoa CANARY");
}

TEST_CASE("traced: denials are entries with purpose and basis, and unknown words stay out of the coarse codes") {
  People p;
  struct Case {
    std::function<void(DisclosureRequest&)> change;
    std::string purpose, basis;
  };
  const std::vector<Case> cases = {
      {[](DisclosureRequest& r) { r.purpose = "count"; }, "count", "duty"},
      {[](DisclosureRequest& r) { r.basis = "consent", r.purpose = "count"; }, "count", "consent"},
      {[](DisclosureRequest& r) { r.purpose = "press"; }, "press", "consent"},
      {[](DisclosureRequest& r) { r.purpose = "curiosity"; }, "", ""},
      {[](DisclosureRequest& r) { r.basis = "because"; }, "care", ""},
      {[](DisclosureRequest& r) { r.recipient_class = "neighbour"; }, "care", "duty"},
  };
  for (const Case& each : cases) {
    DisclosureRequest request = request_for({p.hoa});
    each.change(request);
    CAPTURE(request.purpose, request.basis);
    const std::uint64_t size = REQUIRE_OK(p.session.status()).log_size;
    REQUIRE_ERROR(ErrorCode::kRefused, p.session.disclose(request));
    const LogEntry entry = entries(p.session).back();
    CHECK(entry.entry == size);
    CHECK(entry.outcome == audit::Outcome::kDenied);
    CHECK(entry.purpose == each.purpose);
    CHECK(entry.basis == each.basis);
    CHECK(entry.count == 1);  // asked for
  }
  require_sound(p.session);
}

TEST_CASE("traced: a request that cannot be is told before anything happens; an unknown record is a failed entry") {
  People p;
  const std::uint64_t size = REQUIRE_OK(p.session.status()).log_size;
  const auto refused = [&](ErrorCode code, const std::function<void(DisclosureRequest&)>& change) {
    DisclosureRequest request = request_for({p.hoa});
    change(request);
    REQUIRE_ERROR(code, p.session.disclose(request));
  };
  refused(ErrorCode::kUsage, [](DisclosureRequest& r) { r.ids.clear(); });
  refused(ErrorCode::kUsage, [](DisclosureRequest& r) { r.fields.clear(); });
  refused(ErrorCode::kUsage, [](DisclosureRequest& r) { r.purpose.clear(); });
  refused(ErrorCode::kUsage, [](DisclosureRequest& r) { r.recipient.clear(); });
  refused(ErrorCode::kUsage, [](DisclosureRequest& r) { r.fields = {"full_name", "full_name"}; });
  refused(ErrorCode::kUsage, [&](DisclosureRequest& r) { r.ids = {p.hoa, p.hoa}; });
  refused(ErrorCode::kBadInput, [](DisclosureRequest& r) { r.fields = {"no_such_field"}; });
  CHECK(REQUIRE_OK(p.session.status()).log_size == size);
  std::array<std::uint8_t, 16> bytes = p.hoa.bytes();
  bytes[3] ^= 1;
  refused(ErrorCode::kNotFound, [&](DisclosureRequest& r) { r.ids = {p.hoa, RecordId(bytes)}; });
  const LogEntry entry = entries(p.session).back();
  CHECK(entry.entry == size);
  CHECK(entry.action == audit::Action::kDisclose);
  CHECK(entry.outcome == audit::Outcome::kFailed);
}

TEST_CASE("traced: when the log cannot take a denial, the failure of the log is what is told") {
  People p;
  DisclosureRequest request = request_for({p.hoa});
  request.purpose = "curiosity";
  call_faults().reset();
  call_faults().fail_at = 1;
  call_faults().fail_count = 1'000'000;
  call_faults().error = EIO;
  const auto refused = p.session.disclose(request);
  call_faults().reset();
  REQUIRE_FALSE(refused.has_value());
  CHECK(refused.error().code != ErrorCode::kRefused);
}

TEST_CASE("traced: a record that changes after its entry is a conflict with an entry, never another value") {
  People p;
  // More than a window of records, so that the later ones are decrypted after the change.
  const std::string wide(1U << 19U, 'w');
  std::vector<RecordId> ids = {p.hoa};
  for (int i = 0; i < 4; ++i) {
    const FieldInput fields[] = {{"full_name", "Wide"}, {"note", wide}};
    ids.push_back(REQUIRE_OK(p.session.add("person", fields)).id);
  }
  ids.push_back(p.lan);
  Disclosure disclosure = REQUIRE_OK(p.session.disclose(request_for(ids, {"full_name", "note"})));
  REQUIRE(REQUIRE_OK(disclosure.next())->id == p.hoa);
  const FieldInput change[] = {{"full_name", "Lan CHANGED"}};
  REQUIRE_OK(p.session.update(p.lan, change));
  std::optional<Error> error;
  for (int i = 0; i < 10 && !error; ++i) {
    auto next = disclosure.next();
    if (!next) {
      error = next.error();
    } else if (*next != nullptr) {
      REQUIRE((*next)->values[0] != "Lan CHANGED");
      REQUIRE((*next)->id != p.lan);
    }
  }
  REQUIRE(error.has_value());
  CHECK(error->code == ErrorCode::kConflict);
  const LogEntry last = entries(p.session, true).at(REQUIRE_OK(p.session.status()).log_size - 2);
  CHECK(last.outcome == audit::Outcome::kFailed);
  CHECK(last.purpose == "care");
  CHECK(last.details.find(p.lan.to_string()) != std::string::npos);
}

TEST_CASE("robust: a disclosure of many windows gives every record once, in the order asked, views whole") {
  const Lab lab;
  Session session = lab.open();
  Rows rows(3000, [](std::uint64_t n) -> Rows::Values {
    return {{"full_name", "Person " + std::to_string(n)},
            {"note", std::string(n % 1500, static_cast<char>('a' + n % 26))}};
  });
  ImportOptions options;
  options.collect_ids = true;
  std::vector<RecordId> ids = REQUIRE_OK(session.import_rows("person", rows, options)).ids;
  std::ranges::reverse(ids);
  Disclosure disclosure = REQUIRE_OK(session.disclose(request_for(ids, {"note", "full_name"})));
  for (std::size_t i = 0; i < ids.size(); ++i) {
    const Disclosure::Record* record = REQUIRE_OK(disclosure.next());
    REQUIRE(record != nullptr);
    REQUIRE(record->id == ids[i]);
    const std::size_t n = ids.size() - i;
    REQUIRE(record->values[1] == "Person " + std::to_string(n));
    if (n % 1500 == 0) {
      REQUIRE_FALSE(record->values[0].has_value());
    } else {
      REQUIRE(record->values[0] == std::string(n % 1500, static_cast<char>('a' + n % 26)));
    }
  }
  CHECK(REQUIRE_OK(disclosure.next()) == nullptr);
  CHECK(REQUIRE_OK(disclosure.next()) == nullptr);
  CHECK(entries(session).back().count == 3000);
  require_sound(session);
}

TEST_CASE("tamper-evident: receipts verify with the log's public key and no vault, and any change to one is refused") {
  People p;
  Disclosure disclosure = REQUIRE_OK(p.session.disclose(request_for({p.hoa})));
  const std::string receipt = REQUIRE_OK(disclosure.receipt());
  const std::string key = p.lab.owner.pins.at(0).log_key;
  const audit::ReceiptFacts facts = REQUIRE_OK(audit::verify_receipt(receipt, key));
  CHECK(facts.entry == disclosure.entry());
  CHECK(facts.action == audit::Action::kDisclose);
  CHECK(facts.outcome == audit::Outcome::kOk);
  CHECK(facts.purpose == "care");
  CHECK(facts.basis == "duty");
  CHECK(facts.count == 1);
  for (std::size_t i = 0; i < receipt.size(); ++i) {
    std::string altered = receipt;
    altered[i] = static_cast<char>(altered[i] ^ 1);
    CAPTURE(i);
    REQUIRE_FALSE(audit::verify_receipt(altered, key).has_value());
  }
  const SecretBytes seed = crypto::random_key(*base::system_environment().random);
  const std::string foreign = audit::verifier_string(facts.origin, crypto::ed25519_public(crypto::key_of(seed)));
  REQUIRE_ERROR(ErrorCode::kIntegrity, audit::verify_receipt(receipt, foreign));
  // Every entry can be proved, and later receipts of it still agree.
  for (std::uint64_t i = 0; i < REQUIRE_OK(p.session.status()).log_size; ++i) {
    const std::string proof = REQUIRE_OK(p.session.prove(i));
    CHECK(REQUIRE_OK(audit::verify_receipt(proof, key)).entry == i);
  }
  REQUIRE_ERROR(ErrorCode::kNotFound, p.session.prove(10'000));
  const std::string note = REQUIRE_OK(p.session.checkpoint());
  const audit::Checkpoint checkpoint = REQUIRE_OK(audit::verify_checkpoint(note, key));
  CHECK(checkpoint.size == REQUIRE_OK(p.session.status()).log_size);
}

TEST_CASE("private log: receipts and checkpoints hold no names, ids, recipients or words") {
  People p;
  Disclosure disclosure = REQUIRE_OK(p.session.disclose(request_for({p.hoa}, {"full_name", "phone"})));
  const std::string receipt = REQUIRE_OK(disclosure.receipt());
  const audit::InclusionProof proof = REQUIRE_OK(audit::parse_proof(receipt));
  std::string all = receipt + REQUIRE_OK(p.session.checkpoint());
  all += as_text(proof.extra);
  const auto id = p.hoa.bytes();
  for (const std::string_view word :
       {std::string_view("CANARY"), std::string_view("owner"), std::string_view("clinic"),
        std::string_view("full_name"), std::string_view("phone"), std::string_view("person")}) {
    CHECK(all.find(word) == std::string::npos);
  }
  CHECK(all.find(p.hoa.to_string()) == std::string::npos);
  CHECK(all.find(as_text(id)) == std::string::npos);
}

TEST_CASE("private log: two receipts about one person share no 16 bytes but public codes") {
  People p;
  const auto leaf_of = [&] {
    Disclosure disclosure = REQUIRE_OK(p.session.disclose(request_for({p.hoa})));
    const std::string receipt = REQUIRE_OK(disclosure.receipt());
    return REQUIRE_OK(audit::parse_proof(receipt)).extra;
  };
  const Bytes first = leaf_of();
  const Bytes second = leaf_of();
  const audit::Leaf a = REQUIRE_OK(audit::decode_leaf(first));
  const audit::Leaf b = REQUIRE_OK(audit::decode_leaf(second));
  CHECK(a.actor != b.actor);
  CHECK(a.subjects != b.subjects);
  CHECK(a.fields != b.fields);
  CHECK(a.details != b.details);
  // Codes and times come first and may agree (two entries of one millisecond); from the first commitment on nothing
  // may.
  const auto commitments = std::ranges::search(first, a.actor).begin() - first.begin();
  constexpr std::size_t kShared = 16;
  for (auto i = static_cast<std::size_t>(commitments) - kShared / 2; i + kShared <= first.size(); ++i) {
    CAPTURE(i);
    REQUIRE_FALSE(contains(second, ByteView(first).subspan(i, kShared)));
  }
}

TEST_CASE("traced: who reads the details of the log leaves an entry first") {
  People p;
  const std::uint64_t size = REQUIRE_OK(p.session.status()).log_size;
  CHECK(entries(p.session).size() == size);
  CHECK(REQUIRE_OK(p.session.status()).log_size == size);
  const auto log = entries(p.session, true);
  REQUIRE(log.size() == size + 1);
  CHECK(log.back().action == audit::Action::kReadLog);
}

}  // namespace
}  // namespace casevault::test
