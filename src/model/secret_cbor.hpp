// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <gsl/gsl>

#include "format/cbor.hpp"

namespace casevault::model {

/// Lays deterministic CBOR out into memory of the secret arena that the caller owns: CborWriter's buffer is ordinary.
class SecretCbor {
 public:
  enum Major : std::uint8_t { kUint = 0, kNegative = 1, kBytes = 2, kText = 3, kArray = 4, kMap = 5 };

  /// `out` has room for all that will be written, and in it kMaxCborHead for every head.
  explicit SecretCbor(MutableBytes out) noexcept : out_(out) {}

  SecretCbor& head(Major major, std::uint64_t value) {
    Expects(out_.size() - used_ >= format::kMaxCborHead);
    used_ += format::write_cbor_head(out_.subspan(used_).first<format::kMaxCborHead>(), major, value);
    return *this;
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
