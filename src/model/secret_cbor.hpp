// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>

#include "crypto/types.hpp"
#include "format/cbor.hpp"

namespace casevault::model {

/// Lays deterministic CBOR out into the secret arena: CborWriter's buffer is ordinary memory.
class SecretCbor {
 public:
  static constexpr std::size_t kMaxHead = 9;
  enum Major : std::uint8_t { kUint = 0, kNegative = 1, kBytes = 2, kText = 3, kArray = 4, kMap = 5 };

  /// `capacity` is an upper bound of all that will be written.
  explicit SecretCbor(std::size_t capacity) : out_(capacity) {}

  SecretCbor& head(Major major, std::uint64_t value) {
    Bytes head;
    format::CborWriter(head).uint(value);  // the one encoder of shortest heads; the major type is its top three bits
    head.front() = static_cast<std::uint8_t>(head.front() | major << 5U);
    raw(head);
    crypto::wipe(head);
    return *this;
  }
  SecretCbor& text(std::string_view v) { return head(kText, v.size()).raw(as_bytes(v)); }
  SecretCbor& raw(ByteView v) {
    std::ranges::copy(v, out_.mutable_view().subspan(used_, v.size()).begin());
    used_ += v.size();
    return *this;
  }
  [[nodiscard]] SecretBytes finish() && {
    out_.shrink(used_);
    return std::move(out_);
  }

 private:
  SecretBytes out_;
  std::size_t used_ = 0;
};

}  // namespace casevault::model
