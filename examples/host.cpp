// SPDX-License-Identifier: Apache-2.0
/// The smallest useful host: makes a vault, adds a record, discloses one field of it for a purpose, and checks the
/// receipt the way an outsider would. Usage: host FOLDER, where FOLDER exists and holds no vault yet.
#include <casevault/casevault.hpp>

#include <array>
#include <filesystem>
#include <iostream>

namespace {

/// Every call answers with a value or one `Error`; CASEVAULT_TRY binds the value or returns the error to the caller.
casevault::Result<void> run(const std::filesystem::path& place) {
  // A schema says which fields there are, which key opens which, and who may see what for which purpose.
  CASEVAULT_TRY(const casevault::Schema schema, casevault::Schema::bundled("vn-victim-support"));

  // A real host reads the passphrase from its user into SecretBytes and never into a std::string.
  const casevault::Passphrase passphrase(
      casevault::SecretBytes::copy(casevault::as_bytes("six plain words nobody would guess")));
  casevault::InitOptions init;
  init.identity_file = place / "owner.identity";  // outside the vault, so that a copy of the vault holds no identity
  init.state_folder = place / "state";            // where anchors are kept; left empty: the user's state folder
  CASEVAULT_TRY(const casevault::InitResult made, casevault::Session::init(place / "vault", schema, passphrase, init));

  // Later, and in other processes: unlock the identity, open the vault.
  CASEVAULT_TRY(const casevault::Identity identity, casevault::Identity::open(init.identity_file, passphrase));
  casevault::OpenOptions open;
  open.state_folder = init.state_folder;
  CASEVAULT_TRY(casevault::Session session, casevault::Session::open(place / "vault", identity, open));

  const std::array fields = {casevault::FieldInput{"full_name", "Nguyen Thi A"},
                             casevault::FieldInput{"sex", "female"}};
  CASEVAULT_TRY(const casevault::Written written, session.add("person", fields));

  // The only way to a value. When `disclose` returns, the log entry is on disk.
  casevault::DisclosureRequest request;
  request.ids = {written.id};
  request.fields = {"full_name"};
  request.purpose = "reception";  // basis left empty: the purpose's default
  request.recipient = "intake desk";
  CASEVAULT_TRY(casevault::Disclosure disclosure, session.disclose(request));
  for (;;) {
    CASEVAULT_TRY(const casevault::Disclosure::Record* const record, disclosure.next());
    if (record == nullptr) break;
    // The view is into locked memory that is wiped with the disclosure: use it, do not keep it.
    std::cout << record->id.to_string() << " " << record->values.front().value_or("(empty)") << "\n";
  }

  // The receipt proves the entry to whoever has the log's public key: no vault, no identity.
  CASEVAULT_TRY(const std::string receipt, disclosure.receipt());
  CASEVAULT_TRY(const casevault::audit::ReceiptFacts facts, casevault::audit::verify_receipt(receipt, made.log_key));
  std::cout << "entry " << facts.entry << ": " << casevault::audit::name_of(facts.action) << " for " << facts.purpose
            << "\n";
  return {};
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::cerr << "usage: host FOLDER\n";
    return 2;
  }
  const casevault::Result<void> done = run(argv[1]);
  if (done) return 0;
  std::cerr << done.error().message << "\n";
  return casevault::exit_code(done.error().code);
}
