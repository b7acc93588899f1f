// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstring>

#include "faulty_calls.hpp"
#include "lab.hpp"

namespace casevault::test {
namespace {

constexpr std::uint8_t kMask = 0xA5;

/// A secret that this program itself never holds in clear, but for the moment of use.
class Canary {
 public:
  explicit Canary(ByteView clear) {
    for (const std::uint8_t byte : clear) masked_.push_back(byte ^ kMask);
  }
  [[nodiscard]] SecretBytes clear() const {
    SecretBytes out(masked_.size());
    for (std::size_t i = 0; i < masked_.size(); ++i) out.mutable_view()[i] = masked_[i] ^ kMask;
    return out;
  }
  [[nodiscard]] bool at(const std::uint8_t* bytes) const {
    for (std::size_t i = 0; i < masked_.size(); ++i) {
      if ((bytes[i] ^ kMask) != masked_[i]) return false;
    }
    return true;
  }
  [[nodiscard]] std::size_t size() const { return masked_.size(); }
  [[nodiscard]] std::uint8_t first() const { return masked_.front() ^ kMask; }

 private:
  Bytes masked_;
};

struct Hit {
  std::string canary;
  std::string where;
};

/// Looks through all readable memory of this process.
std::vector<Hit> scan(const std::vector<std::pair<std::string, const Canary*>>& canaries) {
  std::vector<Hit> hits;
  const int memory = ::open("/proc/self/mem", O_RDONLY | O_CLOEXEC);
  REQUIRE(memory >= 0);
  static Bytes buffer(1U << 20U);
  constexpr std::size_t kOverlap = 8192;  // longer than any canary
  std::array<bool, 256> starts{};
  for (const auto& [name, canary] : canaries) starts.at(canary->first()) = true;
  for (const Mapping& mapping : mappings()) {
    if (mapping.permissions.empty() || mapping.permissions[0] != 'r') continue;
    const auto own = reinterpret_cast<std::uintptr_t>(buffer.data());  // NOLINT
    for (std::uintptr_t at = mapping.begin; at < mapping.end; at += buffer.size() - kOverlap) {
      const std::size_t size = std::min<std::size_t>(buffer.size(), mapping.end - at);
      const ssize_t got = ::pread(memory, buffer.data(), size, static_cast<off_t>(at));
      if (got <= 0) break;  // beyond the end of a mapped file
      const std::uint8_t* const bytes = buffer.data();
      for (std::size_t i = 0; i < static_cast<std::size_t>(got); ++i) {
        if (!starts[bytes[i]]) continue;
        for (const auto& [name, canary] : canaries) {
          if (i + canary->size() > static_cast<std::size_t>(got) || !canary->at(bytes + i)) continue;
          if (at + i >= own && at + i < own + buffer.size()) continue;  // what this scan read before
          hits.push_back({name, mapping.permissions + mapping.flags + " +" + std::to_string(at + i - mapping.begin) +
                                    " of " + std::to_string(mapping.end - mapping.begin)});
        }
      }
      std::memset(buffer.data(), 0, buffer.size());
    }
  }
  ::close(memory);
  return hits;
}

void require_none(const std::vector<std::pair<std::string, const Canary*>>& canaries) {
  const std::vector<Hit> hits = scan(canaries);
  std::string told;
  for (const Hit& hit : hits) told += hit.canary + " in " + hit.where + "\n";
  INFO(told);
  CHECK(hits.empty());
}

Canary random_canary(std::size_t size) {
  Bytes bytes(size);
  base::system_environment().random->fill(bytes);
  for (std::uint8_t& byte : bytes) byte = static_cast<std::uint8_t>('a' + byte % 26);
  const Canary canary(bytes);
  std::memset(bytes.data(), 0, bytes.size());
  return canary;
}

TEST_CASE("quiet: after close no key and no plaintext is left in the memory of the process") {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  SUCCEED("sanitizers keep freed memory");
#else
  const Lab lab;
  const Canary full_name = random_canary(24);
  const Canary long_note = random_canary(6000);
  std::optional<Canary> x_secret, ed_seed, vault_key, root, epoch, log_seed;
  {
    // The keys of a session, masked as soon as they are seen.
    const auto core = lab.core();
    const vault::Snapshot snapshot = REQUIRE_OK(core->snapshot());
    vault_key.emplace(core->vault_key().view());
    root.emplace(core->erasure_root()->view());
    log_seed.emplace(snapshot.authority->state.log_seed.view());
    epoch.emplace(REQUIRE_OK(core->epoch_key(*snapshot.txn, snapshot.db, *snapshot.authority, {1, 1}))->view());
  }
  const std::vector<std::pair<std::string, const Canary*>> secrets = {
      {"name", &full_name}, {"note", &long_note}, {"vault key", &*vault_key},
      {"root", &*root},     {"epoch", &*epoch},   {"log seed", &*log_seed}};
  {
    const auto core = lab.core();  // the test finds what is there
    const auto hits = scan(secrets);
    CHECK(std::ranges::count(hits, "vault key", &Hit::canary) > 0);
    for (const Hit& hit : hits) CHECK(hit.where.find(" wf ") != std::string::npos);  // in the arena only
  }
  RecordId id;
  {
    Session session = lab.open();
    const SecretBytes name = full_name.clear();
    const SecretBytes note = long_note.clear();
    const FieldInput fields[] = {{"full_name", name.text()}, {"note", note.text()}, {"phone", "1"}};
    id = REQUIRE_OK(session.add("person", fields)).id;
    const FieldInput change[] = {{"phone", "2"}, {"full_name", name.text()}};
    REQUIRE_OK(session.update(id, change));
  }
  require_none(secrets);
  {
    Session session = lab.open();
    Disclosure disclosure = REQUIRE_OK(session.disclose(request_for({id}, {"full_name", "note"})));
    REQUIRE_OK(disclosure.next());
    for (const Hit& hit : scan(secrets)) {
      CAPTURE(hit.canary);
      CHECK(hit.where.find(" wf ") != std::string::npos);
    }
    session.close();  // the disclosure still lives
    const auto hits = scan(secrets);
    CHECK(std::ranges::count(hits, "vault key", &Hit::canary) == 0);
    CHECK(std::ranges::count(hits, "epoch", &Hit::canary) == 0);
  }
  require_none(secrets);
#endif
}

TEST_CASE("quiet: an identity leaves no key and no passphrase behind, opened or refused") {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  SUCCEED("sanitizers keep freed memory");
#else
  const TempFolder folder;
  const Canary passphrase = random_canary(32);
  const Canary wrong = random_canary(32);
  std::optional<Canary> x_secret, ed_seed, identity_key;
  {
    const Identity identity = REQUIRE_OK(Identity::create(folder / "a", "a", Passphrase(passphrase.clear()), {1, 64}));
    x_secret.emplace(identity.impl().x_secret.view());
    ed_seed.emplace(identity.impl().ed_seed.view());
    identity_key.emplace(identity.impl().identity_key.view());
  }
  const std::vector<std::pair<std::string, const Canary*>> secrets = {{"passphrase", &passphrase},
                                                                      {"wrong passphrase", &wrong},
                                                                      {"x", &*x_secret},
                                                                      {"ed", &*ed_seed},
                                                                      {"identity key", &*identity_key}};
  require_none(secrets);
  REQUIRE_OK(Identity::open(folder / "a", Passphrase(passphrase.clear())));
  REQUIRE_ERROR(ErrorCode::kWrongKey, Identity::open(folder / "a", Passphrase(wrong.clear())));
  require_none(secrets);
#endif
}

TEST_CASE("quiet: the library writes nothing to standard output or error, starts no thread and touches no handler") {
  const Lab lab;
  const std::filesystem::path out = lab.folder / "out";
  const auto count = [](const char* folder) {
    return std::distance(std::filesystem::directory_iterator(folder), std::filesystem::directory_iterator());
  };
  const int result = in_child([&] {
    const int file = ::open(out.c_str(), O_CREAT | O_RDWR | O_CLOEXEC, 0600);
    if (file < 0 || ::dup2(file, 1) < 0 || ::dup2(file, 2) < 0) return 1;
    std::array<struct sigaction, 32> before{};
    for (int signal = 1; signal < 32; ++signal)
      ::sigaction(signal, nullptr, &before.at(static_cast<std::size_t>(signal)));
    const auto threads = count("/proc/self/task");
    {
      auto session = Session::open(lab.vault(), lab.owner.identity(), lab.options());
      if (!session) return 2;
      const FieldInput fields[] = {{"full_name", "x"}};
      const auto added = session->add("person", fields);
      if (!added || !disclose(*session, request_for({added->id}))) return 3;
      (void)session->disclose(request_for({}));
      (void)session->add("nothing", fields);
      call_faults().reset();
      call_faults().fail_at = 1;
      call_faults().error = 5;
      (void)session->add("person", fields);
      call_faults().reset();
      (void)session->verify_log();
      if (count("/proc/self/task") != threads) return 4;
    }
    (void)Session::open(lab.folder / "nothing", lab.owner.identity(), lab.options());
    for (int signal = 1; signal < 32; ++signal) {
      struct sigaction now{};
      ::sigaction(signal, nullptr, &now);
      if (now.sa_handler != before.at(static_cast<std::size_t>(signal)).sa_handler) return 5;
    }
    return ::lseek(file, 0, SEEK_END) == 0 ? 0 : 6;
  });
  CHECK(result == 0);
  CHECK(file_bytes(out).empty());
}

}  // namespace
}  // namespace casevault::test
