// SPDX-License-Identifier: Apache-2.0
#include <zlib.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <map>
#include <optional>
#include <set>

#include "age/age.hpp"
#include "age/sources.hpp"
#include "catch.hpp"
#include "crypto/hash.hpp"
#include "crypto/hex.hpp"

/// The vectors of C2SP/CCTV: a header of "key: value" lines, an empty line, the age file.
namespace {

using namespace casevault;
namespace fs = std::filesystem;

struct Vector {
  std::string expect;
  std::string payload;
  bool armored = false;
  std::vector<age::Identity> identities;
  std::vector<age::Passphrase> passphrases;
  Bytes file;
};

Bytes inflated(ByteView packed) {
  z_stream stream{};
  REQUIRE(inflateInit(&stream) == Z_OK);
  stream.next_in = const_cast<Bytef*>(packed.data());
  stream.avail_in = static_cast<uInt>(packed.size());
  Bytes out;
  int status = Z_OK;
  while (status == Z_OK) {
    const std::size_t before = out.size();
    out.resize(before + 65536);
    stream.next_out = out.data() + before;
    stream.avail_out = 65536;
    status = inflate(&stream, Z_NO_FLUSH);
    out.resize(out.size() - stream.avail_out);
  }
  inflateEnd(&stream);
  REQUIRE(status == Z_STREAM_END);
  return out;
}

Vector read_vector(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  Vector out;
  bool compressed = false;
  std::string line;
  while (std::getline(in, line) && !line.empty()) {
    const std::size_t colon = line.find(": ");
    REQUIRE(colon != std::string::npos);
    const std::string key = line.substr(0, colon);
    const std::string value = line.substr(colon + 2);
    if (key == "expect") {
      out.expect = value;
    } else if (key == "payload") {
      out.payload = value;
    } else if (key == "identity") {
      out.identities.push_back(REQUIRE_OK(age::Identity::parse(value)));
    } else if (key == "passphrase") {
      out.passphrases.push_back({SecretBytes::copy(as_bytes(value))});
    } else if (key == "armored") {
      REQUIRE(value == "yes");
      out.armored = true;
    } else if (key == "compressed") {
      REQUIRE(value == "zlib");
      compressed = true;
    } else {
      REQUIRE((key == "file key" || key == "comment"));
    }
  }
  const std::string rest((std::istreambuf_iterator<char>(in)), {});
  out.file = compressed ? inflated(as_bytes(rest)) : Bytes(rest.begin(), rest.end());
  return out;
}

struct Class {
  ErrorCode code;
  std::string_view where;  ///< how the message begins
};

const std::map<std::string, Class>& classes() {
  static const std::map<std::string, Class> all = {
      {"no match", {ErrorCode::kWrongKey, "age file: "}},
      {"HMAC failure", {ErrorCode::kIntegrity, "age header does not verify"}},
      {"header failure", {ErrorCode::kBadInput, "age header"}},
      {"armor failure", {ErrorCode::kBadInput, "age armor, line "}},
      {"payload failure", {ErrorCode::kIntegrity, "age payload, chunk "}},
  };
  return all;
}

/// Of the header failures those that are none of the file's grammar.
const std::set<std::string>& unsupported() {
  static const std::set<std::string> all = {"scrypt_work_factor_23", "scrypt_work_factor_overflow",
                                            "version_unsupported"};
  return all;
}

void run_vector(const std::string& name, const Vector& vector, age::Source source) {
  Bytes plaintext;
  auto decryptor = age::Decryptor::open(std::move(source), age::Keys(vector.identities, vector.passphrases));
  std::optional<Error> failure;
  if (!decryptor) failure = decryptor.error();
  while (!failure) {
    const auto chunk = decryptor->next();
    if (!chunk) {
      failure = chunk.error();
    } else if (chunk->empty()) {
      break;
    } else {
      plaintext.insert(plaintext.end(), chunk->begin(), chunk->end());
    }
  }
  const crypto::Hash released = crypto::sha256({plaintext});
  if (vector.expect == "success") {
    INFO((failure ? failure->message : ""));
    REQUIRE_FALSE(failure.has_value());
    REQUIRE_FALSE(vector.payload.empty());
  } else {
    const auto expected = classes().find(vector.expect);
    REQUIRE(expected != classes().end());
    REQUIRE(failure.has_value());
    INFO(failure->message);
    REQUIRE(failure->message.starts_with(expected->second.where));
    REQUIRE(failure->code == (unsupported().contains(name) ? ErrorCode::kUnsupported : expected->second.code));
  }
  REQUIRE(test::hex_of(released) == (vector.payload.empty() ? test::hex_of(crypto::sha256({})) : vector.payload));
}

std::size_t run_folder(const fs::path& folder) {
  std::size_t run = 0;
  for (const auto& entry : fs::directory_iterator(folder)) {
    const std::string name = entry.path().filename();
    if (name == "README.md") continue;
    INFO(name);
    const Vector vector = read_vector(entry.path());
    run_vector(name, vector, age::source_of(vector.file));
    run_vector(name, vector, test::in_pieces(vector.file, 1));
    run_vector(name, vector, test::in_pieces(vector.file, 1000));
    ++run;
  }
  return run;
}

}  // namespace

TEST_CASE("The age vectors of the tree come out as they must") {
  REQUIRE(run_folder(fs::path(CASEVAULT_TEST_DATA) / "age/testdata") == 17);
}

TEST_CASE("Every age vector there is comes out as it must", "[.vectors]") {
  const char* const set = std::getenv("CASEVAULT_VECTORS");
  const fs::path folder =
      (set != nullptr ? fs::path(set) : fs::path(CASEVAULT_SOURCE_DIR) / "../shared/vectors") / "age";
  if (!fs::is_directory(folder)) {
    WARN("skipped: no vectors in " << folder.string());
    return;
  }
  const std::size_t run = run_folder(folder);
  REQUIRE(run > 0);
  std::cout << run << " files\n";
}
