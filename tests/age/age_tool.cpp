// SPDX-License-Identifier: Apache-2.0
// The module as a command, for the test against the `age` program: stdin to stdout.
#include <cstdio>
#include <fstream>
#include <iostream>
#include <iterator>
#include <string>

#include "age/age.hpp"

namespace {

using namespace casevault;
using namespace casevault::age;

Result<std::size_t> read_stdin(MutableBytes out) { return std::fread(out.data(), 1, out.size(), stdin); }

Result<void> write_stdout(ByteView bytes) {
  if (std::fwrite(bytes.data(), 1, bytes.size(), stdout) == bytes.size()) return {};
  return Error{ErrorCode::kIo, "cannot write"};
}

Result<void> seal(Result<Encryptor> encryptor) {
  if (!encryptor) return encryptor.error();
  Bytes block(10000);
  while (true) {
    CASEVAULT_TRY(const std::size_t size, read_stdin(block));
    if (size == 0) return encryptor->finish();
    CASEVAULT_CHECK(encryptor->write(ByteView(block).first(size)));
  }
}

Result<void> open(const Keys& keys) {
  CASEVAULT_TRY(Decryptor decryptor, Decryptor::open(read_stdin, keys));
  while (true) {
    CASEVAULT_TRY(const ByteView chunk, decryptor.next());
    if (chunk.empty()) return {};
    CASEVAULT_CHECK(write_stdout(chunk));
  }
}

Result<std::vector<Identity>> identities_of(const std::string& path) {
  std::ifstream in(path);
  return parse_identities(std::string(std::istreambuf_iterator<char>(in), {}));
}

Result<void> run(const std::vector<std::string>& words) {
  base::Random& random = *base::system_environment().random;
  const std::string& command = words.at(0);
  if (command == "keygen") {
    const Identity identity = Identity::generate(random);
    std::cout << identity.text().text() << "\n";
    return {};
  }
  if (command == "public") {
    CASEVAULT_TRY(const std::vector<Identity> identities, identities_of(words.at(1)));
    for (const Identity& identity : identities) std::cout << identity.recipient().text() << "\n";
    return {};
  }
  if (command == "open") {
    CASEVAULT_TRY(const std::vector<Identity> identities, identities_of(words.at(1)));
    return open(Keys(identities));
  }
  const Passphrase passphrase{SecretBytes::copy(as_bytes(words.size() > 1 ? words[1] : "")), 12};
  if (command == "open-passphrase") return open(passphrase);
  const Armor armor = words.at(2) == "armor" ? Armor::kYes : Armor::kNo;
  if (command == "seal-passphrase") return seal(Encryptor::start(passphrase, random, write_stdout, armor));
  if (command != "seal") return Error{ErrorCode::kUsage, "unknown command"};
  std::vector<Recipient> recipients;
  for (std::size_t i = 3; i < words.size(); ++i) {
    CASEVAULT_TRY(Recipient recipient, Recipient::parse(words[i]));
    recipients.push_back(recipient);
  }
  return seal(Encryptor::start(recipients, random, write_stdout, armor));
}

}  // namespace

int main(int argc, char** argv) {
  const Result<void> done = run(std::vector<std::string>(argv + 1, argv + argc));
  if (done) return 0;
  std::cerr << done.error().message << "\n";
  return exit_code(done.error().code);
}
