// SPDX-License-Identifier: Apache-2.0
#if !defined(__SANITIZE_ADDRESS__)  // its shadow memory cannot be read through, and it keeps freed memory
#include <cstring>

#include "base/process.hpp"
#include "catch.hpp"
#include "crypto/aead.hpp"
#include "crypto/envelope.hpp"
#include "crypto/hash.hpp"
#include "crypto/hex.hpp"
#include "crypto/keypair.hpp"
#include "format/labels.hpp"

namespace {

using namespace casevault;
using namespace casevault::crypto;

/// Copies of `needle` in the writable memory of this process outside the arena. Sixteen bytes, as a key schedule begins
/// with the key itself.
std::size_t copies_outside_arena(ByteView needle) {
  std::size_t count = 0;
  for (const test::Mapping& mapping : test::mappings()) {
    if (!mapping.permissions.starts_with("rw") || mapping.has("wf") || mapping.has("io") || mapping.has("pf")) continue;
    for (ByteView rest = mapping.bytes(); !rest.empty();) {
      const void* const hit = ::memmem(rest.data(), rest.size(), needle.data(), 16);
      if (hit == nullptr) break;
      ++count;
      rest = rest.subspan(static_cast<std::size_t>(static_cast<const std::uint8_t*>(hit) - rest.data()) + 1);
    }
  }
  return count;
}

/// Copies of `needle` in what the stack held below the caller. Calls nothing, which would overwrite it.
[[gnu::noinline]] std::size_t copies_below(ByteView needle) {
  const auto* const here = static_cast<const volatile std::uint8_t*>(__builtin_frame_address(0));
  std::size_t count = 0;
  for (const volatile std::uint8_t* at = here - 16384; at < here - needle.size(); ++at) {
    std::size_t same = 0;
    while (same < needle.size() && at[same] == needle.data()[same]) ++same;
    if (same == needle.size()) ++count;
  }
  return count;
}

[[gnu::noinline]] void leave_below(ByteView needle) {
  [[maybe_unused]] volatile std::uint8_t frame[4096];  // NOLINT: std::array gives no volatile elements
  for (std::size_t i = 0; i < needle.size(); ++i) frame[1000 + i] = needle.data()[i];
}

}  // namespace

TEST_CASE("No word that a key is derived of is left on the stack") {
  base::Random& random = *base::system_environment().random;
  const SecretBytes key = random_key(random);
  for (const std::size_t size : {std::size_t{20}, std::size_t{64}, std::size_t{130}, std::size_t{200}}) {
    Bytes message(size);
    random.fill(message);
    std::array<std::uint8_t, 64> out{};
    leave_below(ByteView(message).last(16));
    REQUIRE(copies_below(ByteView(message).last(16)) > 0);  // the search finds what is there
    random.fill(message);
    derive64(format::kIndexWord, key_of(key), message, out);
    const std::size_t left = copies_below(ByteView(message).last(16));
    CHECK(left == 0);
  }
}

TEST_CASE("No key is left outside the arena by any operation that takes it") {
  base::Random& random = *base::system_environment().random;
  const SecretBytes key = random_key(random);
  const KeyView view = key_of(key);
  const auto clean = [&key] { return copies_outside_arena(key.view()) == 0; };
  const std::array<std::uint8_t, 12> nonce{};
  const Bytes message(2000, 7);
  REQUIRE(clean());
  {
    const Bytes leaked(key.view().begin(), key.view().end());
    REQUIRE_FALSE(clean());                                                       // the search finds what is there
    wipe(MutableBytes(const_cast<std::uint8_t*>(leaked.data()), leaked.size()));  // NOLINT
  }
  REQUIRE(clean());
  for (const std::size_t size : {std::size_t{40}, std::size_t{2000}}) {
    Bytes sealed(size + kTagSize);
    aead_seal(view, nonce, {}, ByteView(message).first(size), sealed);
    REQUIRE(clean());
    SecretBytes out(size);
    REQUIRE(aead_open(view, nonce, {}, sealed, out.mutable_view()));
    REQUIRE(clean());
    sealed[0] ^= 1;
    REQUIRE_FALSE(aead_open(view, nonce, {}, sealed, out.mutable_view()));
    REQUIRE(clean());
    OpeningKey kept;
    kept.set(view);
    REQUIRE_FALSE(kept.open(nonce, {}, sealed, out.mutable_view()));
    sealed[0] ^= 1;
    REQUIRE(kept.open(nonce, {}, sealed, out.mutable_view()));
    REQUIRE(clean());  // while it is kept, too
  }
  const Aes256Block aes(view);
  REQUIRE(aes.decrypt(aes.encrypt({})) == std::array<std::uint8_t, 16>{});
  REQUIRE(clean());
  const SecretBytes derived = derive_key(format::kCell, key.view(), message);
  REQUIRE(clean());
  REQUIRE(copies_outside_arena(derived.view()) == 0);
  const Bytes envelope = seal_envelope(format::kCell, view, {}, message, random);
  REQUIRE_OK(open_envelope(format::kCell, view, {}, envelope));
  REQUIRE(clean());
  const PublicKey point = x25519_public(view);
  const Bytes box = REQUIRE_OK(seal_box(format::kCell, point, {}, message, random));
  REQUIRE_OK(open_box(format::kCell, view, point, {}, box));
  REQUIRE(clean());
  REQUIRE(verify(format::kCell, ed25519_public(view), message, sign(format::kCell, view, message)));
  REQUIRE(clean());
}
#endif
