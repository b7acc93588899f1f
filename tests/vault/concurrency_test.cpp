// SPDX-License-Identifier: Apache-2.0
#include <array>
#include <atomic>
#include <set>
#include <thread>
#include <utility>

#include "lab.hpp"

namespace casevault::test {
namespace {

/// Entries of a kind, by number.
std::set<std::uint64_t> numbers(Session& session, audit::Action action) {
  std::set<std::uint64_t> out;
  for (const LogEntry& entry : entries(session)) {
    if (entry.action == action) out.insert(entry.entry);
  }
  return out;
}

TEST_CASE("traced: eight threads that disclose at once leave an entry each, and each gets the right values") {
  const Lab lab;
  Session session = lab.open();
  std::vector<RecordId> ids;
  for (int i = 0; i < 8; ++i) ids.push_back(add_person(session, "Person " + std::to_string(i)).id);
  constexpr int kEach = 12;
  std::vector<std::vector<std::uint64_t>> made(8);
  std::atomic<int> wrong = 0;
  std::vector<std::thread> threads;
  for (std::size_t t = 0; t < 8; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < kEach; ++i) {
        auto disclosure = session.disclose(request_for({ids[t], ids[(t + 1) % 8]}));
        if (!disclosure) {
          ++wrong;
          continue;
        }
        made[t].push_back(disclosure->entry());
        const auto values = read_all(*disclosure);
        if (!values || (*values)[0][0] != "Person " + std::to_string(t)) ++wrong;
        const auto receipt = disclosure->receipt();
        if (!receipt) ++wrong;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(wrong == 0);
  std::set<std::uint64_t> all;
  for (const auto& each : made) {
    CHECK(each.size() == kEach);
    all.insert(each.begin(), each.end());
  }
  CHECK(all.size() == 8 * kEach);
  CHECK(numbers(session, audit::Action::kDisclose) == all);
  require_sound(session);
}

TEST_CASE("durable: threads that add, update, list, disclose and verify at once see whole states only") {
  const Lab lab;
  Session session = lab.open();
  const RecordId shared = add_person(session, "Version 1").id;
  std::atomic<int> wrong = 0;
  std::atomic<bool> stop = false;
  std::string first_wrong;
  std::mutex mutex;
  const auto expect = [&](bool right, const std::string& what) {
    if (right) return;
    ++wrong;
    const std::lock_guard lock(mutex);
    if (first_wrong.empty()) first_wrong = what;
  };
  std::vector<std::thread> threads;
  threads.emplace_back([&] {
    for (std::uint32_t i = 2; i <= 25; ++i) {
      const std::string name = "Version " + std::to_string(i);
      const FieldInput change[] = {{"full_name", name}};
      const auto updated = session.update(shared, change, i - 1);
      expect(updated && updated->version == i, updated ? "version" : updated.error().message);
    }
    stop = true;
  });
  threads.emplace_back([&] {
    while (!stop) {
      const FieldInput fields[] = {{"full_name", "Added"}};
      const auto added = session.add("person", fields);
      expect(added.has_value(), added ? "" : added.error().message);
    }
  });
  threads.emplace_back([&] {
    while (!stop) {
      const auto values = disclose(session, request_for({shared}));
      if (values) {
        expect((*values)[0][0]->starts_with("Version "), "value");
      } else {
        expect(values.error().code == ErrorCode::kBusy || values.error().code == ErrorCode::kConflict,
               values.error().message);
      }
    }
  });
  threads.emplace_back([&] {
    while (!stop) {
      const auto report = session.verify_log();
      expect(report && report->ok, report ? report->reason : report.error().message);
      const auto list = session.list("person", 1000);
      expect(list.has_value(), list ? "" : list.error().message);
      const auto status = session.status();
      expect(status.has_value(), "status");
      const auto proof = session.prove(1);
      expect(proof && audit::verify_receipt(*proof, lab.owner.pins[0].log_key), "proof");
    }
  });
  for (std::thread& thread : threads) thread.join();
  INFO(first_wrong);
  CHECK(wrong == 0);
  CHECK(name_of(session, shared) == "Version 25");
  require_sound(session);
}

TEST_CASE("traced: processes that disclose and import at once leave every entry once, in one log") {
  const Lab lab;
  RecordId id;
  {
    Session session = lab.open();
    id = add_person(session, "Hoa").id;
  }
  const auto start = [&](const std::function<int(Session&)>& work) {
    const pid_t child = ::fork();
    if (child == 0) {
      auto session = Session::open(lab.vault(), lab.owner.identity(), lab.options());
      ::_exit(session ? work(*session) : 99);
    }
    return child;
  };
  std::vector<pid_t> children;
  for (int i = 0; i < 2; ++i) {
    children.push_back(start([&](Session& session) {
      for (int n = 0; n < 40; ++n) {
        const auto values = disclose(session, request_for({id}));
        if (!values) return 1;
        if ((*values)[0][0] != "Hoa") return 2;
      }
      return 0;
    }));
  }
  for (int i = 0; i < 2; ++i) {
    children.push_back(start([&](Session& session) {
      for (int n = 0; n < 6; ++n) {
        Rows rows(50);
        for (;;) {
          const auto report = session.import_rows("person", rows);
          if (report && report->imported == 50) break;
          if (report || report.error().code != ErrorCode::kBusy) return 3;
          std::this_thread::yield();
        }
      }
      return 0;
    }));
  }
  for (const pid_t child : children) {
    int status = 0;
    REQUIRE(::waitpid(child, &status, 0) == child);
    REQUIRE(WIFEXITED(status));
    CHECK(WEXITSTATUS(status) == 0);
  }
  Session session = lab.open();
  CHECK(numbers(session, audit::Action::kDisclose).size() == 80);
  CHECK(numbers(session, audit::Action::kImport).size() == 12);
  CHECK(REQUIRE_OK(session.status()).records.at("person") == 601);
  require_sound(session);
}

/// Two processes that take turns.
class Baton {
 public:
  Baton() { REQUIRE((::pipe(to_child_.data()) == 0 && ::pipe(to_parent_.data()) == 0)); }
  Baton(const Baton&) = delete;
  Baton& operator=(const Baton&) = delete;
  ~Baton() {
    for (const int fd : {to_child_[0], to_child_[1], to_parent_[0], to_parent_[1]}) ::close(fd);
  }
  /// Wakes the other one and sleeps until it does the same; false when the other has ended.
  bool pass(bool child) { return wake(child) && sleep(child); }
  bool wake(bool child) { return ::write((child ? to_parent_ : to_child_)[1], "x", 1) == 1; }
  bool sleep(bool child) {
    // The other end must be closed here, so that a death is an end and not a wait for ever.
    int& mine = (child ? to_child_ : to_parent_)[1];
    if (mine >= 0) ::close(std::exchange(mine, -1));
    char byte = 0;
    return ::read((child ? to_child_ : to_parent_)[0], &byte, 1) == 1;
  }

 private:
  std::array<int, 2> to_child_{};
  std::array<int, 2> to_parent_{};
};

TEST_CASE("traced: a session acts at once on what another process granted, wrote or logged") {
  const Lab lab;
  RecordId id;
  Person officer;
  {
    Session owner = lab.open();
    id = add_person(owner, "Hoa").id;
    officer = lab.add(owner, "officer", "officer", {"statistics"});
  }
  Baton baton;
  const pid_t child = ::fork();
  if (child == 0) {
    ::_exit([&] {
      auto session = Session::open(lab.vault(), officer.identity(), lab.options());
      if (!session) return 1;
      const auto denied = disclose(*session, request_for({id}));
      if (denied || denied.error().code != ErrorCode::kNoGrant) return 2;
      if (!baton.pass(true)) return 3;  // the owner grants
      const auto granted = disclose(*session, request_for({id}));
      if (!granted || (*granted)[0][0] != "Hoa") return 4;
      if (!baton.pass(true)) return 5;  // the owner renames
      const auto renamed = disclose(*session, request_for({id}));
      if (!renamed || (*renamed)[0][0] != "Mai") return 6;
      const auto before = session->status();
      if (!before || !baton.pass(true)) return 7;  // the owner discloses: the log grows, the database does not change
      const auto after = session->status();
      if (!after || after->log_size != before->log_size + 1 || after->root == before->root) return 8;
      if (entries(*session).size() != after->log_size) return 9;
      const auto report = session->verify_log();
      return report && report->ok && report->size == after->log_size ? 0 : 10;
    }());
  }
  bool went_on = baton.sleep(false);
  Session owner = lab.open();
  const std::vector<std::string> compartments = {"identity"};
  REQUIRE_OK(owner.grant("officer", compartments));
  went_on = went_on && baton.pass(false);
  const FieldInput fields[] = {{"full_name", "Mai"}};
  REQUIRE_OK(owner.update(id, fields));
  went_on = went_on && baton.pass(false);
  REQUIRE_OK(disclose(owner, request_for({id})));
  went_on = went_on && baton.wake(false);
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  REQUIRE(WIFEXITED(status));
  CHECK(WEXITSTATUS(status) == 0);
  CHECK(went_on);
  require_sound(owner);
}

}  // namespace
}  // namespace casevault::test
