// SPDX-License-Identifier: Apache-2.0
#include "keys/grants.hpp"

#include "catch.hpp"
#include "support/fixed_environment.hpp"

namespace casevault::test {
namespace {

using keys::EpochName;

struct Person {
  SecretBytes secret;
  crypto::PublicKey key;
  explicit Person(base::Random& random)
      : secret(crypto::random_key(random)), key(crypto::x25519_public(crypto::key_of(secret))) {}
};

struct Fixture {
  FixedEnvironment environment;
  base::Random& random = environment.random;
  keys::VaultTag vault{1};
  keys::VaultTag other_vault{2};
  Person an{random};
  Person binh{random};
  EpochName name{3, 1};
  SecretBytes granted = crypto::random_key(random);
  SecretBytes half = crypto::random_key(random);
  SecretBytes key = keys::epoch_key(vault, name, granted, half);
  keys::EpochCommitments commitments = keys::commit_epoch(vault, name, granted, key);
};

TEST_CASE("compartmented: a grant opens for its principal, to the key the log commits to") {
  Fixture f;
  const Bytes box = REQUIRE_OK(keys::seal_epoch(f.vault, f.name, f.an.key, f.granted, f.random));
  const SecretBytes opened = REQUIRE_OK(keys::open_epoch(f.vault, f.name, f.an.secret, f.an.key, box, f.commitments));
  CHECK(opened.equals(f.granted.view()));
  CHECK(REQUIRE_OK(keys::checked_epoch_key(f.vault, f.name, opened, f.half, f.commitments)).equals(f.key.view()));
}

TEST_CASE("compartmented: an epoch whose deposit key is somebody else's is refused before it is used") {
  Fixture f;
  keys::EpochCommitments foreign = f.commitments;
  foreign.deposit_public = f.binh.key;
  REQUIRE_ERROR(ErrorCode::kIntegrity, keys::checked_epoch_key(f.vault, f.name, f.granted, f.half, foreign));
}

TEST_CASE("bound: a grant moved to another compartment, epoch, vault or principal does not open") {
  Fixture f;
  const Bytes box = REQUIRE_OK(keys::seal_epoch(f.vault, f.name, f.an.key, f.granted, f.random));
  const auto open = [&](const keys::VaultTag& vault, EpochName name, const Person& who) {
    return keys::open_epoch(vault, name, who.secret, who.key, box, f.commitments);
  };
  REQUIRE_ERROR(ErrorCode::kIntegrity, open(f.vault, {4, 1}, f.an));
  REQUIRE_ERROR(ErrorCode::kIntegrity, open(f.vault, {3, 2}, f.an));
  REQUIRE_ERROR(ErrorCode::kIntegrity, open(f.other_vault, f.name, f.an));
  REQUIRE_ERROR(ErrorCode::kIntegrity, open(f.vault, f.name, f.binh));
  REQUIRE_ERROR(ErrorCode::kIntegrity, keys::open_epoch(f.vault, f.name, f.an.secret, f.binh.key, box, f.commitments));
  for (std::size_t i = 0; i < box.size(); ++i) {
    Bytes altered = box;
    altered[i] ^= 1;
    REQUIRE_ERROR(ErrorCode::kIntegrity,
                  keys::open_epoch(f.vault, f.name, f.an.secret, f.an.key, altered, f.commitments));
    REQUIRE_ERROR(ErrorCode::kIntegrity,
                  keys::open_epoch(f.vault, f.name, f.an.secret, f.an.key, ByteView(box).first(i), f.commitments));
  }
}

TEST_CASE("bound: a grant of a key that the log does not commit to is refused, whoever sealed it") {
  Fixture f;
  // An outsider can seal anything to a public key.
  const SecretBytes planted = crypto::random_key(f.random);
  const Bytes box = REQUIRE_OK(keys::seal_epoch(f.vault, f.name, f.an.key, planted, f.random));
  REQUIRE_ERROR(ErrorCode::kIntegrity, keys::open_epoch(f.vault, f.name, f.an.secret, f.an.key, box, f.commitments));
  const Bytes short_box = REQUIRE_OK(keys::seal_epoch(f.vault, f.name, f.an.key, SecretBytes(31), f.random));
  REQUIRE_ERROR(ErrorCode::kIntegrity,
                keys::open_epoch(f.vault, f.name, f.an.secret, f.an.key, short_box, f.commitments));
}

TEST_CASE("bound: a half of another epoch, or a granted part of another, gives no key") {
  Fixture f;
  const SecretBytes other = crypto::random_key(f.random);
  REQUIRE_ERROR(ErrorCode::kIntegrity, keys::checked_epoch_key(f.vault, f.name, f.granted, other, f.commitments));
  REQUIRE_ERROR(ErrorCode::kIntegrity, keys::checked_epoch_key(f.vault, f.name, other, f.half, f.commitments));
  REQUIRE_ERROR(ErrorCode::kIntegrity, keys::checked_epoch_key(f.vault, f.name, f.half, f.granted, f.commitments));
  REQUIRE_ERROR(ErrorCode::kIntegrity, keys::checked_epoch_key(f.vault, {3, 2}, f.granted, f.half, f.commitments));
}

TEST_CASE("compartmented: neither part of an epoch key, nor what is public of it, is the key") {
  Fixture f;
  CHECK_FALSE(f.key.equals(f.granted.view()));
  CHECK_FALSE(f.key.equals(f.half.view()));
  CHECK(f.commitments.granted != f.commitments.key);
  // The two commitments never stand for each other, even over equal bytes.
  const keys::EpochCommitments equal = keys::commit_epoch(f.vault, f.name, f.key, f.key);
  CHECK(equal.granted != equal.key);
  const SecretBytes deposit = keys::deposit_secret(f.vault, f.name, f.key);
  CHECK_FALSE(deposit.equals(f.key.view()));
  CHECK(crypto::x25519_public(crypto::key_of(deposit)) == f.commitments.deposit_public);
  CHECK_FALSE(deposit.equals(keys::deposit_secret(f.vault, {3, 2}, f.key).view()));
}

TEST_CASE("bound: a vault key grant opens in its vault and epoch for its principal only") {
  Fixture f;
  const SecretBytes vault_key = crypto::random_key(f.random);
  const Bytes box = REQUIRE_OK(keys::seal_vault_key(f.vault, 1, f.an.key, vault_key, f.random));
  CHECK(REQUIRE_OK(keys::open_vault_key(f.vault, 1, f.an.secret, f.an.key, box)).equals(vault_key.view()));
  REQUIRE_FALSE(keys::open_vault_key(f.vault, 2, f.an.secret, f.an.key, box).has_value());
  REQUIRE_FALSE(keys::open_vault_key(f.other_vault, 1, f.an.secret, f.an.key, box).has_value());
  REQUIRE_FALSE(keys::open_vault_key(f.vault, 1, f.binh.secret, f.binh.key, box).has_value());
  const Bytes epoch_box = REQUIRE_OK(keys::seal_epoch(f.vault, f.name, f.an.key, vault_key, f.random));
  REQUIRE_FALSE(keys::open_vault_key(f.vault, 1, f.an.secret, f.an.key, epoch_box).has_value());
  const Bytes short_box = REQUIRE_OK(keys::seal_vault_key(f.vault, 1, f.an.key, SecretBytes(16), f.random));
  REQUIRE_ERROR(ErrorCode::kIntegrity, keys::open_vault_key(f.vault, 1, f.an.secret, f.an.key, short_box));

  CHECK(keys::vault_key_commitment(f.vault, 1, vault_key) != keys::vault_key_commitment(f.vault, 2, vault_key));
  CHECK(keys::vault_key_commitment(f.vault, 1, vault_key) != keys::vault_key_commitment(f.other_vault, 1, vault_key));
}

TEST_CASE("sealed: labels of vault key grants do not link a principal across epochs or vaults") {
  Fixture f;
  const auto label = keys::vault_key_label(f.vault, 1, f.an.key);
  CHECK(label == keys::vault_key_label(f.vault, 1, f.an.key));
  CHECK(label != keys::vault_key_label(f.vault, 2, f.an.key));
  CHECK(label != keys::vault_key_label(f.other_vault, 1, f.an.key));
  CHECK(label != keys::vault_key_label(f.vault, 1, f.binh.key));
}

TEST_CASE("robust: nothing is sealed to a low-order point") {
  Fixture f;
  REQUIRE_ERROR(ErrorCode::kBadInput, keys::seal_epoch(f.vault, f.name, crypto::PublicKey{}, f.granted, f.random));
  REQUIRE_ERROR(ErrorCode::kBadInput, keys::seal_vault_key(f.vault, 1, crypto::PublicKey{}, f.granted, f.random));
}

}  // namespace
}  // namespace casevault::test
