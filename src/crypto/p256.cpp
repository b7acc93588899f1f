// SPDX-License-Identifier: Apache-2.0
#include "crypto/p256.hpp"

#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/params.h>

#include <memory>
#include <new>

namespace casevault::crypto {
namespace {

struct Free {
  void operator()(EVP_PKEY* key) const noexcept { EVP_PKEY_free(key); }
  void operator()(EVP_PKEY_CTX* context) const noexcept { EVP_PKEY_CTX_free(context); }
};
using Key = std::unique_ptr<EVP_PKEY, Free>;
using Context = std::unique_ptr<EVP_PKEY_CTX, Free>;

Key public_key(ByteView point) {
  std::string group = "P-256";
  Bytes copy(point.begin(), point.end());
  std::array parameters = {OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, group.data(), group.size()),
                           OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_PUB_KEY, copy.data(), copy.size()),
                           OSSL_PARAM_construct_end()};
  const Context context(EVP_PKEY_CTX_new_from_name(nullptr, "EC", nullptr));
  EVP_PKEY* key = nullptr;
  if (context == nullptr || EVP_PKEY_fromdata_init(context.get()) != 1 ||
      EVP_PKEY_fromdata(context.get(), &key, EVP_PKEY_PUBLIC_KEY, parameters.data()) != 1) {
    return nullptr;
  }
  return Key(key);
}

}  // namespace

Result<P256Shared> p256_share(ByteView peer) {
  const Key theirs = peer.size() == std::tuple_size_v<P256Point> && peer[0] == 4 ? public_key(peer) : nullptr;
  if (theirs == nullptr) return Error{ErrorCode::kBadInput, "the public key is no point of P-256"};
  const Key mine(EVP_EC_gen("P-256"));
  if (mine == nullptr) throw std::bad_alloc();
  P256Shared out{{}, SecretBytes(32)};
  std::size_t size = 0;
  if (EVP_PKEY_get_octet_string_param(mine.get(), OSSL_PKEY_PARAM_PUB_KEY, out.ephemeral.data(), out.ephemeral.size(),
                                      &size) != 1 ||
      size != out.ephemeral.size()) {
    throw std::bad_alloc();
  }
  const Context context(EVP_PKEY_CTX_new_from_pkey(nullptr, mine.get(), nullptr));
  size = out.secret.size();
  if (context == nullptr || EVP_PKEY_derive_init(context.get()) != 1 ||
      EVP_PKEY_derive_set_peer(context.get(), theirs.get()) != 1 ||
      EVP_PKEY_derive(context.get(), out.secret.mutable_view().data(), &size) != 1 || size != out.secret.size()) {
    return Error{ErrorCode::kBadInput, "the public key is no point of P-256"};
  }
  return out;
}

}  // namespace casevault::crypto
