// SPDX-License-Identifier: Apache-2.0
#include "crypto/hash.hpp"

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/params.h>

#include <algorithm>
#include <gsl/gsl>
#include <memory>
#include <new>
#include <utility>

#include "crypto/sodium.hpp"

namespace casevault::crypto {
namespace {

constexpr std::size_t kMaxDigest = 64;

std::size_t digest_size(Digest digest) { return digest == Digest::kSha256 ? 32 : 64; }

/// With the arguments used here libcrypto fails only for want of memory, or when it is installed without HMAC.
void require(bool success) {
  if (!success) throw std::bad_alloc();
}

/// One computation. The context, and with it the copy of the key that libcrypto keeps, dies with it.
class Hmac {
 public:
  Hmac(Digest digest, ByteView key) : size_(digest_size(digest)), context_(EVP_MAC_CTX_new(algorithm())) {
    require(context_ != nullptr);
    std::string name = digest == Digest::kSha256 ? "SHA256" : "SHA512";
    const std::array parameters = {OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, name.data(), name.size()),
                                   OSSL_PARAM_construct_end()};
    static constexpr std::uint8_t kNothing = 0;  // null would mean to keep the key of before
    require(EVP_MAC_init(context_.get(), key.empty() ? &kNothing : key.data(), key.size(), parameters.data()) == 1);
  }
  void add(ByteView bytes) { require(EVP_MAC_update(context_.get(), bytes.data(), bytes.size()) == 1); }
  void finish(MutableBytes out) {
    Expects(out.size() <= size_);
    Wiped<kMaxDigest> whole;
    std::size_t written = 0;
    require(EVP_MAC_final(context_.get(), whole.out().data(), &written, kMaxDigest) == 1 && written == size_);
    std::ranges::copy(whole.view().first(out.size()), out.begin());
  }

 private:
  struct Free {
    void operator()(EVP_MAC_CTX* context) const noexcept { EVP_MAC_CTX_free(context); }  // wipes the key
  };
  /// Fetching takes locks and compares names, so it is done once. Kept to the end of the process.
  static EVP_MAC* algorithm() {
    static EVP_MAC* const fetched = EVP_MAC_fetch(nullptr, "HMAC", nullptr);
    require(fetched != nullptr);
    return fetched;
  }

  std::size_t size_;
  std::unique_ptr<EVP_MAC_CTX, Free> context_;
};

/// A context a thread, because making one costs more than using it. The pointer outlives the one who frees it: a vault
/// may be closed by a static destructor.
template <typename Context, Context* (*make)(), void (*free)(Context*)>
Context* of_thread() {
  thread_local Context* context = nullptr;
  struct Free {
    ~Free() { free(std::exchange(context, nullptr)); }
  };
  if (context == nullptr) {
    thread_local const Free at_end;
    context = make();
  }
  return context;
}

/// After a final nothing of the text is left in it.
EVP_MD_CTX* sha256_context() {
  static const EVP_MD* const algorithm = EVP_MD_fetch(nullptr, "SHA256", nullptr);  // kept to the end of the process
  EVP_MD_CTX* const context = of_thread<EVP_MD_CTX, EVP_MD_CTX_new, EVP_MD_CTX_free>();
  require(context != nullptr && EVP_DigestInit_ex2(context, algorithm, nullptr) == 1);
  return context;
}

EVP_MAC_CTX* new_blake2b() {
  static EVP_MAC* const algorithm = EVP_MAC_fetch(nullptr, "BLAKE2BMAC", nullptr);  // kept to the end of the process
  return algorithm == nullptr ? nullptr : EVP_MAC_CTX_new(algorithm);
}

OSSL_PARAM octets(const char* name, ByteView bytes) {
  // libcrypto only reads what it is given here.
  return OSSL_PARAM_construct_octet_string(name, const_cast<std::uint8_t*>(bytes.data()), bytes.size());  // NOLINT
}

}  // namespace

Hash sha256(std::initializer_list<ByteView> parts) {
  EVP_MD_CTX* const context = sha256_context();
  for (const ByteView part : parts) require(EVP_DigestUpdate(context, part.data(), part.size()) == 1);
  Hash out{};
  require(EVP_DigestFinal_ex(context, out.data(), nullptr) == 1);
  return out;
}

Hash blake2b256(ByteView data) {
  ready_sodium();
  Hash out{};
  crypto_generichash_blake2b(out.data(), out.size(), data.data(), data.size(), nullptr, 0);
  return out;
}

namespace detail {

void sodium_derive64(LabelView label, ByteView key, ByteView message, std::span<std::uint8_t, 64> out) noexcept {
  ready_sodium();
  static constexpr std::array<std::uint8_t, crypto_generichash_blake2b_SALTBYTES> kNoSalt{};
  crypto_generichash_blake2b_salt_personal(out.data(), out.size(), message.data(), message.size(), key.data(),
                                           key.size(), kNoSalt.data(), label.data());
}

bool openssl_derive64(LabelView label, ByteView key, ByteView message, std::span<std::uint8_t, 64> out) noexcept {
  EVP_MAC_CTX* const context = of_thread<EVP_MAC_CTX, new_blake2b, EVP_MAC_CTX_free>();
  if (context == nullptr) return false;
  const std::array begin = {octets(OSSL_MAC_PARAM_CUSTOM, label), OSSL_PARAM_construct_end()};
  std::size_t written = 0;
  const bool done = EVP_MAC_init(context, key.data(), key.size(), begin.data()) == 1 &&
                    EVP_MAC_update(context, message.data(), message.size()) == 1 &&
                    EVP_MAC_final(context, out.data(), &written, out.size()) == 1 && written == out.size();
  // The context keeps its key for the next message, on the ordinary heap: overwritten at once.
  static constexpr std::array<std::uint8_t, 64> kNoKey{};
  const std::array end = {octets(OSSL_MAC_PARAM_KEY, kNoKey), OSSL_PARAM_construct_end()};
  return EVP_MAC_CTX_set_params(context, end.data()) == 1 && done;
}

}  // namespace detail

void derive64(LabelView label, ByteView key, ByteView message, std::span<std::uint8_t, 64> out) noexcept {
  Expects(key.size() >= 32 && key.size() <= 64);
  // A context that is kept makes OpenSSL's take three quarters of libsodium's time. Its copy of the last block of the
  // message, which may be a name, stays on the stack within 1 KiB below.
  if (!detail::openssl_derive64(label, key, message, out)) detail::sodium_derive64(label, key, message, out);
  sodium_stackzero(1024);
}

void derive32(LabelView label, ByteView key, ByteView message, std::span<std::uint8_t, 32> out) noexcept {
  Wiped<64> whole;
  derive64(label, key, message, whole.out());
  std::ranges::copy(whole.view().first<32>(), out.begin());
}

SecretBytes derive_key(LabelView label, ByteView key, ByteView message) {
  SecretBytes out(32);
  derive32(label, key, message, out.mutable_view().first<32>());
  return out;
}

void hmac(Digest digest, ByteView key, ByteView message, MutableBytes out) {
  Hmac mac(digest, key);
  mac.add(message);
  mac.finish(out);
}

void hkdf(Digest digest, ByteView salt, ByteView input_key, ByteView info, MutableBytes out) {
  const std::size_t size = digest_size(digest);
  Expects(!out.empty() && out.size() <= 255 * size);
  Wiped<kMaxDigest> extracted;
  Wiped<kMaxDigest> block;
  hmac(digest, salt, input_key, extracted.out().first(size));
  for (std::uint8_t counter = 1; !out.empty(); ++counter) {
    Hmac mac(digest, extracted.view().first(size));
    if (counter > 1) mac.add(block.view().first(size));
    mac.add(info);
    mac.add({&counter, 1});
    mac.finish(block.out().first(size));
    const std::size_t take = std::min(size, out.size());
    std::ranges::copy(block.view().first(take), out.begin());
    out = out.subspan(take);
  }
}

std::uint64_t siphash(KeyView key, ByteView message) noexcept {
  std::array<std::uint8_t, crypto_shorthash_BYTES> out{};
  crypto_shorthash(out.data(), message.data(), message.size(), key.data());
  std::uint64_t value = 0;  // SipHash is defined as a number; libsodium writes it little-endian
  for (std::size_t i = out.size(); i-- > 0;) value = value << 8U | out[i];
  return value;
}

Result<SecretBytes> argon2id(ByteView passphrase, std::span<const std::uint8_t, 16> salt, Argon2Cost cost) {
  if (cost.passes < 1 || cost.passes > 8 || cost.memory_kib < 64 * 1024 || cost.memory_kib > 1024 * 1024) {
    return Error{ErrorCode::kUnsupported, "Argon2id cost of " + std::to_string(cost.passes) + " passes over " +
                                              std::to_string(cost.memory_kib) +
                                              " KiB is outside 1 to 8 passes over 64 MiB to 1 GiB; the file is not "
                                              "one this version writes"};
  }
  ready_sodium();
  SecretBytes out(32);
  const char* const text = passphrase.empty() ? "" : as_text(passphrase).data();  // libsodium takes no null
  const std::size_t memory = std::size_t{cost.memory_kib} * 1024;
  if (crypto_pwhash(out.mutable_view().data(), out.size(), text, passphrase.size(), salt.data(), cost.passes, memory,
                    crypto_pwhash_ALG_ARGON2ID13) != 0) {
    return Error{ErrorCode::kIo, "Argon2id could not get " + std::to_string(cost.memory_kib / 1024) +
                                     " MiB of memory; close other programs and try again"};
  }
  return out;
}

Result<SecretBytes> scrypt(ByteView passphrase, ByteView salt, unsigned log2_n) {
  if (log2_n < 1 || log2_n > kMaxScryptLog2N) {
    return Error{ErrorCode::kUnsupported, "scrypt work factor is outside 1 to " + std::to_string(kMaxScryptLog2N) +
                                              " (1 GiB of memory); ask for a file made with less"};
  }
  ready_sodium();
  SecretBytes out(32);
  if (crypto_pwhash_scryptsalsa208sha256_ll(passphrase.data(), passphrase.size(), salt.data(), salt.size(),
                                            std::uint64_t{1} << log2_n, 8, 1, out.mutable_view().data(),
                                            out.size()) != 0) {
    return Error{ErrorCode::kIo, "scrypt could not get " + std::to_string((std::uint64_t{1} << log2_n) / 1024) +
                                     " MiB of memory; close other programs and try again"};
  }
  return out;
}

}  // namespace casevault::crypto
