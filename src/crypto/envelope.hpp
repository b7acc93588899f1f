// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/environment.hpp"
#include "crypto/types.hpp"

namespace casevault::crypto {

/// Committing envelope: the one way casevault seals bytes under a key that is *chosen* (slots, grants, vault keys,
/// log). Its suite byte is 1 in every vault.
///
///   salt 24 random; key 32 ‖ commitment 32 = derive64(label, K, suite ‖ salt ‖ context)
///   envelope = suite 1 ‖ salt 24 ‖ commitment 32 ‖ AES-256-GCM(key, nonce 0, aad "", plaintext)
///
/// The derived key is used once. The commitment binds key, label and context.
inline constexpr std::size_t kEnvelopeOverhead = 1 + 24 + 32 + 16;

[[nodiscard]] Bytes seal_envelope(LabelView label, KeyView key, ByteView context, ByteView plaintext,
                                  base::Random& random);
/// kWrongKey when the commitment does not match (other key, label or context), kUnsupported for an unknown suite,
/// kIntegrity when shorter than the overhead or when the tag fails under the right key.
[[nodiscard]] Result<SecretBytes> open_envelope(LabelView label, KeyView key, ByteView context, ByteView envelope);

/// To a public key: E 32 ‖ envelope under derive32(label, X25519(e, R), E ‖ R). Anonymous sender.
inline constexpr std::size_t kBoxOverhead = 32 + kEnvelopeOverhead;
/// kBadInput when `recipient` is a low-order point.
[[nodiscard]] Result<Bytes> seal_box(LabelView label, KeyView recipient_public, ByteView context, ByteView plaintext,
                                     base::Random& random);
[[nodiscard]] Result<SecretBytes> open_box(LabelView label, KeyView recipient_secret, KeyView recipient_public,
                                           ByteView context, ByteView box);

}  // namespace casevault::crypto
