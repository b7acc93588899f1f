// SPDX-License-Identifier: Apache-2.0
#include "age/age.hpp"

#include <algorithm>
#include <optional>

#include "age/armor.hpp"
#include "age/bech32.hpp"
#include "age/header.hpp"

namespace age = casevault::age;
using casevault::Bytes;
using casevault::ByteView;

namespace {

/// The one of corpus/age/identity; files of the corpus are sealed to it.
const age::Identity& identity() {
  static const age::Identity kept(casevault::SecretBytes::copy(Bytes(32, 7)));
  return kept;
}

struct Outcome {
  std::optional<casevault::ErrorCode> failure;
  Bytes plaintext;
  bool operator==(const Outcome&) const = default;
};

Outcome open(ByteView file, std::size_t most) {
  Outcome out;
  auto decryptor =
      age::Decryptor::open([whole = age::source_of(file),
                            most](casevault::MutableBytes to) { return whole(to.first(std::min(to.size(), most))); },
                           identity());
  if (!decryptor) return {decryptor.error().code, {}};
  while (true) {
    const auto chunk = decryptor->next();
    if (!chunk) out.failure = chunk.error().code;
    if (!chunk || chunk->empty()) return out;
    out.plaintext.insert(out.plaintext.end(), chunk->begin(), chunk->end());
  }
}

std::optional<Bytes> unarmored(ByteView text) {
  age::ArmorReader reader{age::Input(age::source_of(text))};
  Bytes out;
  Bytes block(100);
  while (true) {
    const auto size = reader.read(block);
    if (!size) return std::nullopt;
    if (*size == 0) return out;
    out.insert(out.end(), block.begin(), block.begin() + static_cast<std::ptrdiff_t>(*size));
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const ByteView input(data, size);
  const std::string_view text = casevault::as_text(input);
  // How the bytes arrive does not matter.
  if (open(input, 1) != open(input, SIZE_MAX)) __builtin_trap();
  if (const auto header = age::parse_header(text)) {
    if (age::header_text(header->stanzas) != header->authenticated) __builtin_trap();
    if (!text.starts_with(header->authenticated)) __builtin_trap();
  }
  if (const auto bytes = unarmored(input)) {
    Bytes again;
    age::ArmorWriter writer(age::sink_to(again));
    if (!writer.write(*bytes) || !writer.finish() || unarmored(again) != bytes) __builtin_trap();
  }
  if (const auto decoded = age::bech32_decode(text)) {
    const auto again = age::bech32_decode(age::bech32_encode(decoded->prefix, decoded->data.view()).text());
    if (!again || again->prefix != decoded->prefix || !again->data.equals(decoded->data.view())) __builtin_trap();
  }
  if (const auto recipient = age::Recipient::parse(text)) {
    if (recipient->text() != text) __builtin_trap();
  }
  if (const auto identities = age::parse_identities(text)) {
    if (identities->empty()) __builtin_trap();
  }
  return 0;
}
