// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "crypto/types.hpp"

#include <initializer_list>

namespace casevault::crypto {

[[nodiscard]] Hash sha256(std::initializer_list<ByteView> parts);  ///< FIPS 180-4, of the concatenation
[[nodiscard]] Hash blake2b256(ByteView data);                      ///< RFC 7693, unkeyed, 32 bytes

/// BLAKE2b-512 (RFC 7693) keyed with `key` (32 to 64 bytes), personalised with the 16-byte label. By OpenSSL, or by
/// libsodium where OpenSSL has none.
void derive64(LabelView label, ByteView key, ByteView message, std::span<std::uint8_t, 64> out) noexcept;
/// First 32 bytes of derive64.
void derive32(LabelView label, ByteView key, ByteView message, std::span<std::uint8_t, 32> out) noexcept;
[[nodiscard]] SecretBytes derive_key(LabelView label, ByteView key, ByteView message);  ///< derive32 into the arena

/// HMAC (FIPS 198-1) and HKDF (RFC 5869) by OpenSSL: for formats and suites that ask for them by name. HMAC is cut to
/// out.size(), at most the size of the digest; HKDF gives 1 to 255 digests.
enum class Digest : std::uint8_t { kSha256, kSha512 };
void hmac(Digest digest, ByteView key, ByteView message, MutableBytes out);
void hkdf(Digest digest, ByteView salt, ByteView input_key, ByteView info, MutableBytes out);

/// SipHash-2-4 (a PRF) under the first 16 bytes of `key`.
[[nodiscard]] std::uint64_t siphash(KeyView key, ByteView message) noexcept;

/// Argon2id version 1.3, parallelism 1 (RFC 9106). kUnsupported outside t 1..8 and m 64 MiB..1 GiB, checked before
/// any memory is taken, because whoever wrote the file chose them. kIo when memory cannot be had.
struct Argon2Cost {
  std::uint32_t passes = 3;
  std::uint32_t memory_kib = 256 * 1024;
};
[[nodiscard]] Result<SecretBytes> argon2id(ByteView passphrase, std::span<const std::uint8_t, 16> salt,
                                           Argon2Cost cost);

/// scrypt (RFC 7914) with r = 8 and p = 1, 32 bytes; takes 2^log2_n KiB of memory. kUnsupported outside 1 to
/// kMaxScryptLog2N, checked before any of it is taken, because whoever wrote the file chose it. kIo when memory cannot
/// be had.
inline constexpr unsigned kMaxScryptLog2N = 20;
[[nodiscard]] Result<SecretBytes> scrypt(ByteView passphrase, ByteView salt, unsigned log2_n);

/// The two ways of derive64; equal bytes.
namespace detail {
void sodium_derive64(LabelView label, ByteView key, ByteView message, std::span<std::uint8_t, 64> out) noexcept;
/// false: OpenSSL has no BLAKE2b (only a provider of approved algorithms, say), or no memory.
[[nodiscard]] bool openssl_derive64(LabelView label, ByteView key, ByteView message,
                                    std::span<std::uint8_t, 64> out) noexcept;
}  // namespace detail

}  // namespace casevault::crypto
