// SPDX-License-Identifier: Apache-2.0
#include "age/age.hpp"

#include <algorithm>
#include <optional>

#include "age/armor.hpp"
#include "age/file_key.hpp"
#include "crypto/aead.hpp"

namespace casevault::age {
namespace {

constexpr std::size_t kChunk = std::size_t{64} * 1024;
constexpr std::size_t kSealedChunk = kChunk + crypto::kTagSize;
constexpr std::size_t kPayloadNonce = 16;
constexpr std::string_view kMagic = "age-encryption.org/";

/// 11 bytes of counter, then whether the chunk is the last.
std::array<std::uint8_t, 12> chunk_nonce(std::uint64_t counter, bool last) {
  std::array<std::uint8_t, 12> out{};
  for (std::size_t i = 11; i-- > 3; counter >>= 8U) out[i] = static_cast<std::uint8_t>(counter);
  out[11] = last ? 1 : 0;
  return out;
}

std::string sealed_header(const SecretBytes& file_key, const std::vector<Stanza>& stanzas) {
  std::string text = header_text(stanzas);
  return text + " " + unpadded_base64(header_mac(file_key, text)) + "\n";
}

SecretBytes new_file_key(base::Random& random) {
  SecretBytes key(kFileKeySize);
  random.fill(key.mutable_view());
  return key;
}

}  // namespace

struct Encryptor::State {
  State(SecretBytes payload_key, Sink to, Armor armor) : key(std::move(payload_key)), sink(std::move(to)) {
    if (armor == Armor::kYes) armored.emplace(sink);
  }

  Result<void> emit(ByteView bytes) { return armored ? armored->write(bytes) : sink(bytes); }
  Result<void> seal(bool last) {
    const MutableBytes out = MutableBytes(sealed).first(used + crypto::kTagSize);
    crypto::chacha_seal(crypto::key_of(key), chunk_nonce(counter++, last), {}, plain.view().first(used), out);
    used = 0;
    return emit(out);
  }
  Result<void> write(ByteView plaintext) {
    while (!plaintext.empty()) {
      if (used == kChunk) CASEVAULT_CHECK(seal(false));  // not before more is known to come: it may be the last
      const std::size_t size = std::min(plaintext.size(), kChunk - used);
      std::ranges::copy(plaintext.first(size), plain.mutable_view().subspan(used).begin());
      used += size;
      plaintext = plaintext.subspan(size);
    }
    return {};
  }
  Result<void> finish() {
    CASEVAULT_CHECK(seal(true));
    return armored ? armored->finish() : Result<void>();
  }
  /// Runs a step unless one failed before.
  template <typename Step>
  Result<void> guarded(Step step) {
    if (over) return *over;
    Result<void> done = step();
    if (!done) over = done.error();
    return done;
  }

  SecretBytes key;
  Sink sink;
  std::optional<ArmorWriter> armored;
  SecretBytes plain{kChunk};
  std::size_t used = 0;
  Bytes sealed = Bytes(kSealedChunk);
  std::uint64_t counter = 0;
  std::optional<Error> over;
};

Encryptor::Encryptor(std::unique_ptr<State> state) : state_(std::move(state)) {}
Encryptor::Encryptor(Encryptor&&) noexcept = default;
Encryptor& Encryptor::operator=(Encryptor&&) noexcept = default;
Encryptor::~Encryptor() = default;

Result<Encryptor> Encryptor::start(const SecretBytes& file_key, std::string header, base::Random& random, Sink sink,
                                   Armor armor) {
  std::array<std::uint8_t, kPayloadNonce> nonce{};
  random.fill(nonce);
  header += as_text(nonce);
  auto state = std::make_unique<State>(payload_key(file_key, nonce), std::move(sink), armor);
  CASEVAULT_CHECK(state->emit(as_bytes(header)));
  return Encryptor(std::move(state));
}

Result<Encryptor> Encryptor::start(std::span<const Recipient> recipients, base::Random& random, Sink sink,
                                   Armor armor) {
  if (recipients.empty() || recipients.size() > kMaxRecipients) {
    return Error{ErrorCode::kUsage, "an age file needs 1 to " + std::to_string(kMaxRecipients) + " recipients; " +
                                        std::to_string(recipients.size()) + " were given"};
  }
  const SecretBytes file_key = new_file_key(random);
  std::vector<Stanza> stanzas;
  for (const Recipient& recipient : recipients) {
    CASEVAULT_TRY(Stanza stanza, wrap(file_key, recipient, random));
    stanzas.push_back(std::move(stanza));
  }
  return start(file_key, sealed_header(file_key, stanzas), random, std::move(sink), armor);
}

Result<Encryptor> Encryptor::start(const Passphrase& passphrase, base::Random& random, Sink sink, Armor armor) {
  if (passphrase.text.empty()) return Error{ErrorCode::kUsage, "an age file cannot be sealed to an empty passphrase"};
  const SecretBytes file_key = new_file_key(random);
  CASEVAULT_TRY(Stanza stanza, wrap(file_key, passphrase, random));
  return start(file_key, sealed_header(file_key, {std::move(stanza)}), random, std::move(sink), armor);
}

Result<void> Encryptor::write(ByteView plaintext) {
  return state_->guarded([&] { return state_->write(plaintext); });
}

Result<void> Encryptor::finish() {
  CASEVAULT_CHECK(state_->guarded([&] { return state_->finish(); }));
  state_->over = Error{ErrorCode::kUsage, "the age file was finished before; start another one"};
  return {};
}

struct Decryptor::State {
  State(Input from, SecretBytes payload_key) : input(std::move(from)), key(std::move(payload_key)) {}

  [[nodiscard]] Error damaged(std::string_view what) const {
    return {ErrorCode::kIntegrity, "age payload, chunk " + std::to_string(counter + 1) + " (from byte " +
                                       std::to_string(kPayloadNonce + counter * kSealedChunk) +
                                       " after the header): " + std::string(what)};
  }
  [[nodiscard]] bool opens(ByteView chunk, bool last) {
    return crypto::chacha_open(crypto::key_of(key), chunk_nonce(counter, last), {}, chunk,
                               plain.mutable_view().first(chunk.size() - crypto::kTagSize));
  }
  Result<ByteView> next() {
    if (last_seen) {
      std::uint8_t more = 0;
      CASEVAULT_TRY(const std::size_t got, input.read({&more, 1}));
      if (got != 0) return damaged("bytes follow the end of the file; something was appended");
      return ByteView();
    }
    CASEVAULT_TRY(const std::size_t size, input.read(sealed));
    if (size < crypto::kTagSize) return damaged("the file ends before its last chunk; it was cut off, get it again");
    const ByteView chunk = ByteView(sealed).first(size);
    last_seen = size < kSealedChunk;  // only the last chunk may be short; whether a full one is, its nonce tells
    bool authentic = !last_seen && opens(chunk, false);
    if (!authentic) authentic = last_seen = opens(chunk, true);
    if (!authentic) return damaged("it does not verify: the file was changed, damaged or cut off; get it again");
    if (size == crypto::kTagSize && counter > 0) return damaged("it is empty, which no writer makes");
    ++counter;
    return plain.view().first(size - crypto::kTagSize);
  }

  Input input;
  SecretBytes key;
  Bytes sealed = Bytes(kSealedChunk);
  SecretBytes plain{kChunk};
  std::uint64_t counter = 0;
  bool last_seen = false;
  std::optional<Error> failure;
};

Decryptor::Decryptor(std::unique_ptr<State> state) : state_(std::move(state)) {}
Decryptor::Decryptor(Decryptor&&) noexcept = default;
Decryptor& Decryptor::operator=(Decryptor&&) noexcept = default;
Decryptor::~Decryptor() = default;

Result<Decryptor> Decryptor::open(Source source, const Keys& keys) {
  Input input(std::move(source));
  CASEVAULT_TRY(const ByteView first, input.peek(kMagic.size()));
  if (!first.empty() && as_text(first) != kMagic) {
    const auto armored = std::make_shared<ArmorReader>(std::move(input));  // a std::function must be copyable
    input = Input([armored](MutableBytes out) { return armored->read(out); });
  }
  CASEVAULT_TRY(const std::string text, read_header(input));
  CASEVAULT_TRY(const Header header, parse_header(text));
  CASEVAULT_TRY(const SecretBytes file_key, unwrap(header.stanzas, keys));
  if (!crypto::equal(header_mac(file_key, header.authenticated), header.mac)) {
    return Error{ErrorCode::kIntegrity, "age header does not verify: the file was changed or damaged; get it again"};
  }
  std::array<std::uint8_t, kPayloadNonce> nonce{};
  CASEVAULT_TRY(const std::size_t size, input.read(nonce));
  if (size < nonce.size()) {
    return Error{ErrorCode::kBadInput, "age header: the file ends right after it; it was cut off, get it again"};
  }
  return Decryptor(std::make_unique<State>(std::move(input), payload_key(file_key, nonce)));
}

Result<ByteView> Decryptor::next() {
  if (state_->failure) return *state_->failure;
  Result<ByteView> out = state_->next();
  if (!out) state_->failure = out.error();
  return out;
}

namespace {

template <typename To>
Result<Bytes> encrypt_to(ByteView plaintext, const To& to, base::Random& random, Armor armor) {
  Bytes out;
  CASEVAULT_TRY(Encryptor encryptor, Encryptor::start(to, random, sink_to(out), armor));
  CASEVAULT_CHECK(encryptor.write(plaintext));
  CASEVAULT_CHECK(encryptor.finish());
  return out;
}

}  // namespace

Result<Bytes> encrypt(ByteView plaintext, std::span<const Recipient> recipients, base::Random& random, Armor armor) {
  return encrypt_to(plaintext, recipients, random, armor);
}

Result<Bytes> encrypt(ByteView plaintext, const Passphrase& passphrase, base::Random& random, Armor armor) {
  return encrypt_to(plaintext, passphrase, random, armor);
}

Result<SecretBytes> decrypt(ByteView file, const Keys& keys) {
  CASEVAULT_TRY(Decryptor decryptor, Decryptor::open(source_of(file), keys));
  SecretBytes out(file.size());  // the plaintext is shorter
  std::size_t used = 0;
  while (true) {
    CASEVAULT_TRY(const ByteView chunk, decryptor.next());
    if (chunk.empty()) break;
    std::ranges::copy(chunk, out.mutable_view().subspan(used).begin());
    used += chunk.size();
  }
  out.shrink(used);
  return out;
}

}  // namespace casevault::age
