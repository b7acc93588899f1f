// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <casevault/casevault.hpp>

#include <functional>

#include "base/process.hpp"
#include "catch.hpp"
#include "support/temp_folder.hpp"
#include "vault/core.hpp"

/// A real vault in a temporary folder, made anew for every test by copying one template of this process.
namespace casevault::test {

/// Canaries: what must never be seen in any file, message or foreign memory.
inline constexpr std::string_view kSchemaName = "attack-lab";

/// A principal whose keys lie in plain memory, so that forked children, where the arena is wiped, can use them, and so
/// that opening costs no Argon2id.
struct Person {
  std::string name;
  std::string public_string;
  Bytes x_secret;
  Bytes ed_seed;
  std::vector<Pin> pins;
  std::filesystem::path file;  ///< where pins are written; holds no slot

  static Person make(const std::string& name, const std::filesystem::path& file);
  [[nodiscard]] Identity identity() const;
};

/// Rows made by a function of their number, from 1.
class Rows final : public RowSource {
 public:
  using Values = std::vector<std::pair<std::string, std::string>>;
  using Make = std::function<Values(std::uint64_t number)>;
  Rows(std::uint64_t count, Make make) : count_(count), make_(std::move(make)) {}
  explicit Rows(std::uint64_t count);  ///< people "Person <number>"

  Result<void> rewind() override;
  Result<bool> next(ImportRow& row) override;
  int passes = 0;
  std::function<std::string(std::uint64_t)> problem;  ///< what is unreadable about a row

 private:
  std::uint64_t count_;
  Make make_;
  std::uint64_t next_ = 1;
  Values values_;
};

using Values = std::vector<std::vector<std::optional<std::string>>>;

/// The small schema, with a line of its own in the type person.
[[nodiscard]] std::string schema_with(std::string_view of_person);
/// The small schema, whose officers see what their own unit has.
[[nodiscard]] std::string schema_of_own_units();

class Lab {
 public:
  explicit Lab(Suite suite = Suite::kAes256Gcm);  ///< the small schema, owner "owner"
  explicit Lab(std::string_view schema, Suite suite = Suite::kAes256Gcm);
  [[nodiscard]] std::filesystem::path vault() const { return folder / "vault"; }
  [[nodiscard]] std::filesystem::path state() const { return folder / "state"; }
  [[nodiscard]] std::filesystem::path data() const { return vault() / "data.mdb"; }
  [[nodiscard]] std::filesystem::path segment() const { return vault() / "log" / "00000000.log"; }
  [[nodiscard]] OpenOptions options(bool read_only = false) const;
  [[nodiscard]] Result<Session> try_open(const Person& who, bool read_only = false) const;
  Session open() const { return REQUIRE_OK(try_open(owner)); }
  Session open(const Person& who) const { return REQUIRE_OK(try_open(who)); }
  [[nodiscard]] Session read_only() const { return REQUIRE_OK(try_open(owner, true)); }
  /// The inside of an open vault.
  [[nodiscard]] std::unique_ptr<vault::Core> core(const Person& who) const;
  [[nodiscard]] std::unique_ptr<vault::Core> core() const { return core(owner); }
  /// Certifies a new principal, which accepts.
  Person add(Session& session, const std::string& name, const std::string& role, std::vector<std::string> grants,
             bool may_grant = false, const std::string& unit = {}) const;
  /// Copies of the vault folder (and of the anchors), to bring back later.
  void save(std::string_view as) const;
  void restore(std::string_view as) const;  ///< the vault folder; the anchors stay as they are

  TempFolder folder;
  Person owner;
};

Written add_person(Session& session, std::string_view full_name, std::string_view phone = {});
[[nodiscard]] DisclosureRequest request_for(std::vector<RecordId> ids, std::vector<std::string> fields = {"full_name"});
/// All values of a disclosure, or the first error.
[[nodiscard]] Result<Values> read_all(Disclosure& disclosure);
[[nodiscard]] Result<Values> disclose(Session& session, const DisclosureRequest& request);
/// The full name of one record.
[[nodiscard]] std::string name_of(Session& session, const RecordId& id);
[[nodiscard]] std::vector<LogEntry> entries(Session& session, bool details = false);
/// Requires that everything verifies.
void require_sound(Session& session);
[[nodiscard]] Bytes file_bytes(const std::filesystem::path& file);
void write_bytes(const std::filesystem::path& file, ByteView bytes);
[[nodiscard]] bool contains(ByteView haystack, ByteView needle);
/// An entry for a mutation whose transaction does not commit: what a kill between the two leaves.
vault::EntryPlace append_pending(vault::Core& core);

}  // namespace casevault::test
