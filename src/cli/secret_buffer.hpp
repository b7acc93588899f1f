// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <casevault/bytes.hpp>

#include <algorithm>
#include <cstring>

namespace casevault::cli {

/// Text that grows in locked memory: std::string would leave copies behind whenever it grows.
class SecretBuffer {
 public:
  void push(char c) {
    if (size_ == block_.size()) reserve(size_ + 1);
    block_.mutable_view()[size_++] = static_cast<std::uint8_t>(c);
  }
  void append(std::string_view text) {
    if (text.empty()) return;
    reserve(size_ + text.size());
    std::memcpy(block_.mutable_view().data() + size_, text.data(), text.size());
    size_ += text.size();
  }
  /// Views taken before stay valid until more than `capacity` bytes are in.
  void reserve(std::size_t capacity) {
    if (capacity <= block_.size()) return;
    SecretBytes larger(std::max({capacity, block_.size() * 2, kFirst}));
    if (size_ != 0) std::memcpy(larger.mutable_view().data(), block_.view().data(), size_);
    block_ = std::move(larger);
  }
  void clear() noexcept { size_ = 0; }
  [[nodiscard]] std::size_t size() const noexcept { return size_; }
  [[nodiscard]] bool empty() const noexcept { return size_ == 0; }
  [[nodiscard]] std::string_view text() const noexcept { return as_text(block_.view().first(size_)); }

 private:
  static constexpr std::size_t kFirst = 4096;
  SecretBytes block_;
  std::size_t size_ = 0;
};

}  // namespace casevault::cli
