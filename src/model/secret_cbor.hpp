// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>

#include "crypto/types.hpp"
#include "format/cbor.hpp"

namespace casevault::model {

/// Lays deterministic CBOR out into memory of the secret arena that the caller owns: CborWriter's buffer is ordinary.
class SecretCbor {
 public:
  enum Major : std::uint8_t { kUint = 0, kNegative = 1, kBytes = 2, kText = 3, kArray = 4, kMap = 5 };

  /// `out` has room for all that will be written.
  explicit SecretCbor(MutableBytes out) noexcept : out_(out) {}

  SecretCbor& head(Major major, std::uint64_t value) {
    crypto::Wiped<format::kMaxCborHead> head;
    return raw(head.view().first(format::write_cbor_head(head.out(), major, value)));
  }
  SecretCbor& text(std::string_view v) { return head(kText, v.size()).raw(as_bytes(v)); }
  SecretCbor& raw(ByteView v) {
    std::ranges::copy(v, out_.subspan(used_, v.size()).begin());
    used_ += v.size();
    return *this;
  }
  [[nodiscard]] std::size_t size() const noexcept { return used_; }

 private:
  MutableBytes out_;
  std::size_t used_ = 0;
};

}  // namespace casevault::model
