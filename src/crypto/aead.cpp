// SPDX-License-Identifier: Apache-2.0
#include "crypto/aead.hpp"

#include <openssl/evp.h>

#include <algorithm>
#include <gsl/gsl>
#include <memory>
#include <new>
#include <utility>

#include "crypto/sodium.hpp"

namespace casevault::crypto {
namespace {

constexpr std::size_t kShort = 1024;  // below this the set-up of an OpenSSL context costs more than it saves

struct FreeContext {
  void operator()(EVP_CIPHER_CTX* context) const noexcept { EVP_CIPHER_CTX_free(context); }  // wipes the key schedule
};
using Context = std::unique_ptr<EVP_CIPHER_CTX, FreeContext>;

/// With the arguments used here libcrypto fails only for want of memory, or when it is installed without AES.
void require(bool success) {
  if (!success) throw std::bad_alloc();
}

/// Fetching takes locks and compares names, so it is done once. Kept to the end of the process.
EVP_CIPHER* fetch(const char* name) {
  EVP_CIPHER* const cipher = EVP_CIPHER_fetch(nullptr, name, nullptr);
  require(cipher != nullptr);
  return cipher;
}

const EVP_CIPHER* gcm() {
  static EVP_CIPHER* const cipher = fetch("AES-256-GCM");
  return cipher;
}

const EVP_CIPHER* ecb() {
  static EVP_CIPHER* const cipher = fetch("AES-256-ECB");
  return cipher;
}

enum Direction : int { kDecrypt = 0, kEncrypt = 1 };

/// libcrypto keeps the key schedule on the ordinary heap while a context lives, so none outlives a call.
Context begin(const EVP_CIPHER* cipher, KeyView key, const std::uint8_t* nonce, Direction direction) {
  Context context(EVP_CIPHER_CTX_new());
  require(context != nullptr);
  require(EVP_CipherInit_ex2(context.get(), cipher, key.data(), nonce, direction, nullptr) == 1);
  return context;
}

/// `out` null: `in` is authenticated only. In pieces, because libcrypto counts in int.
void update(const Context& context, std::uint8_t* out, ByteView in) {
  constexpr std::size_t kPiece = std::size_t{1} << 30U;
  while (!in.empty()) {
    const ByteView piece = in.first(std::min(in.size(), kPiece));
    int written = 0;
    require(EVP_CipherUpdate(context.get(), out, &written, piece.data(), static_cast<int>(piece.size())) == 1);
    if (out != nullptr) out += written;
    in = in.subspan(piece.size());
  }
}

bool sizes_fit(ByteView sealed, MutableBytes out) {
  if (sealed.size() < kTagSize) return false;
  Expects(out.size() == sealed.size() - kTagSize);
  return true;
}

bool use_sodium(std::size_t text_size) { return text_size < kShort && detail::sodium_aes_available(); }

}  // namespace

namespace detail {

bool sodium_aes_available() {
  ready_sodium();
  static const bool available = crypto_aead_aes256gcm_is_available() == 1;
  return available;
}

void sodium_seal(KeyView key, NonceView nonce, ByteView aad, ByteView plaintext, MutableBytes out) {
  Expects(sodium_aes_available() && out.size() == plaintext.size() + kTagSize);
  crypto_aead_aes256gcm_encrypt(out.data(), nullptr, plaintext.data(), plaintext.size(), aad.data(), aad.size(),
                                nullptr, nonce.data(), key.data());
}

bool sodium_open(KeyView key, NonceView nonce, ByteView aad, ByteView sealed, MutableBytes out) {
  Expects(sodium_aes_available());
  if (!sizes_fit(sealed, out)) return wipe(out), false;
  const bool genuine = crypto_aead_aes256gcm_decrypt(out.data(), nullptr, nullptr, sealed.data(), sealed.size(),
                                                     aad.data(), aad.size(), nonce.data(), key.data()) == 0;
  if (!genuine) wipe(out);
  return genuine;
}

void openssl_seal(KeyView key, NonceView nonce, ByteView aad, ByteView plaintext, MutableBytes out) {
  Expects(out.size() == plaintext.size() + kTagSize);
  const Context context = begin(gcm(), key, nonce.data(), kEncrypt);
  update(context, nullptr, aad);
  update(context, out.data(), plaintext);
  std::uint8_t* const tag = out.data() + plaintext.size();
  int none = 0;
  require(EVP_CipherFinal_ex(context.get(), tag, &none) == 1);
  require(EVP_CIPHER_CTX_ctrl(context.get(), EVP_CTRL_AEAD_GET_TAG, static_cast<int>(kTagSize), tag) == 1);
}

bool openssl_open(KeyView key, NonceView nonce, ByteView aad, ByteView sealed, MutableBytes out) {
  if (!sizes_fit(sealed, out)) return wipe(out), false;
  bool genuine = false;
  const auto wipe_unverified = gsl::finally([&] {
    if (!genuine) wipe(out);
  });
  const Context context = begin(gcm(), key, nonce.data(), kDecrypt);
  std::array<std::uint8_t, kTagSize> tag{};
  std::ranges::copy(sealed.last(kTagSize), tag.begin());
  require(EVP_CIPHER_CTX_ctrl(context.get(), EVP_CTRL_AEAD_SET_TAG, static_cast<int>(kTagSize), tag.data()) == 1);
  update(context, nullptr, aad);
  update(context, out.data(), sealed.first(out.size()));
  int none = 0;
  std::array<std::uint8_t, kTagSize> unused{};
  genuine = EVP_CipherFinal_ex(context.get(), unused.data(), &none) == 1;
  return genuine;
}

}  // namespace detail

void aead_seal(KeyView key, NonceView nonce, ByteView aad, ByteView plaintext, MutableBytes out) {
  return use_sodium(plaintext.size()) ? detail::sodium_seal(key, nonce, aad, plaintext, out)
                                      : detail::openssl_seal(key, nonce, aad, plaintext, out);
}

bool aead_open(KeyView key, NonceView nonce, ByteView aad, ByteView sealed, MutableBytes out) {
  return use_sodium(out.size()) ? detail::sodium_open(key, nonce, aad, sealed, out)
                                : detail::openssl_open(key, nonce, aad, sealed, out);
}

namespace {

constexpr std::size_t kStateSize = sizeof(crypto_aead_aes256gcm_state);

}  // namespace

void OpeningKey::set(KeyView key) {
  if (state_.empty()) {
    state_ = SecretBytes(kStateSize + key.size());  // blocks of the arena are aligned to 32 bytes
  } else if (equal(state_.view().subspan(kStateSize), key)) {
    return;
  }
  std::ranges::copy(key, state_.mutable_view().subspan(kStateSize).begin());
  if (!detail::sodium_aes_available()) return;
  void* const state = state_.mutable_view().data();
  crypto_aead_aes256gcm_beforenm(static_cast<crypto_aead_aes256gcm_state*>(state), key.data());
}

bool OpeningKey::open(NonceView nonce, ByteView aad, ByteView sealed, MutableBytes out) const {
  Expects(!state_.empty());
  if (!use_sodium(out.size())) {
    return detail::openssl_open(state_.view().subspan<kStateSize>().first<KeyView::extent>(), nonce, aad, sealed, out);
  }
  if (!sizes_fit(sealed, out)) return wipe(out), false;
  const void* const state = state_.view().data();
  const bool genuine = crypto_aead_aes256gcm_decrypt_afternm(
                           out.data(), nullptr, nullptr, sealed.data(), sealed.size(), aad.data(), aad.size(),
                           nonce.data(), static_cast<const crypto_aead_aes256gcm_state*>(state)) == 0;
  if (!genuine) wipe(out);
  return genuine;
}

void chacha_seal(KeyView key, NonceView nonce, ByteView aad, ByteView plaintext, MutableBytes out) {
  Expects(out.size() == plaintext.size() + kTagSize);
  ready_sodium();
  crypto_aead_chacha20poly1305_ietf_encrypt(out.data(), nullptr, plaintext.data(), plaintext.size(), aad.data(),
                                            aad.size(), nullptr, nonce.data(), key.data());
}

bool chacha_open(KeyView key, NonceView nonce, ByteView aad, ByteView sealed, MutableBytes out) {
  if (!sizes_fit(sealed, out)) return wipe(out), false;
  ready_sodium();
  const bool genuine =
      crypto_aead_chacha20poly1305_ietf_decrypt(out.data(), nullptr, nullptr, sealed.data(), sealed.size(), aad.data(),
                                                aad.size(), nonce.data(), key.data()) == 0;
  if (!genuine) wipe(out);
  return genuine;
}

struct Aes256Block::State {
  SecretBytes key;

  void crypt(std::span<Block> blocks, Direction direction) const {
    if (blocks.empty()) return;
    const Context context = begin(ecb(), key_of(key), nullptr, direction);
    require(EVP_CIPHER_CTX_set_padding(context.get(), 0) == 1);
    const MutableBytes bytes(blocks.front().data(), blocks.size_bytes());
    update(context, bytes.data(), bytes);
  }
};

Aes256Block::Aes256Block(KeyView key) : state_(new State{SecretBytes::copy(key)}) {}
Aes256Block::Aes256Block(Aes256Block&& other) noexcept : state_(std::exchange(other.state_, nullptr)) {}
Aes256Block& Aes256Block::operator=(Aes256Block&& other) noexcept {
  std::swap(state_, other.state_);
  return *this;
}
Aes256Block::~Aes256Block() { delete state_; }

void Aes256Block::encrypt_all(std::span<Block> blocks) const { state_->crypt(blocks, kEncrypt); }
void Aes256Block::decrypt_all(std::span<Block> blocks) const { state_->crypt(blocks, kDecrypt); }

}  // namespace casevault::crypto
