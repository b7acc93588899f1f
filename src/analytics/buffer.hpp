// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <casevault/bytes.hpp>

#include <algorithm>
#include <cstring>
#include <span>
#include <type_traits>

namespace casevault::analytics {

/// An array in locked memory that grows, wiped on destruction. Like std::vector of a trivial type.
template <typename T>
  requires std::is_trivially_copyable_v<T>
class SecretArray {
 public:
  void push_back(const T& value) {
    reserve(size_ + 1);
    ++size_;
    view().back() = value;
  }
  /// Room for `count` more, filled with zeros.
  std::span<T> grow(std::size_t count) {
    reserve(size_ + count);
    size_ += count;
    return view().last(count);
  }
  void reserve(std::size_t count) {
    if (count * sizeof(T) <= bytes_.size()) return;
    SecretBytes larger(std::max({count * sizeof(T), 2 * bytes_.size(), kLeast * sizeof(T)}));
    if (size_ > 0) std::memcpy(larger.mutable_view().data(), bytes_.view().data(), size_ * sizeof(T));
    bytes_ = std::move(larger);
  }
  [[nodiscard]] std::span<T> view() noexcept {
    return {reinterpret_cast<T*>(bytes_.mutable_view().data()), size_};  // NOLINT: the arena aligns it
  }
  [[nodiscard]] std::span<const T> view() const noexcept {
    return {reinterpret_cast<const T*>(bytes_.view().data()), size_};  // NOLINT
  }
  /// The bytes, never none: consumers of Arrow want an address.
  [[nodiscard]] SecretBytes take() && {
    if (bytes_.empty()) reserve(kLeast);
    return std::move(bytes_);
  }
  [[nodiscard]] T& operator[](std::size_t at) noexcept { return view()[at]; }
  [[nodiscard]] const T& operator[](std::size_t at) const noexcept { return view()[at]; }
  [[nodiscard]] std::size_t size() const noexcept { return size_; }
  [[nodiscard]] bool empty() const noexcept { return size_ == 0; }

 private:
  static constexpr std::size_t kLeast = 64 / sizeof(T);  ///< blocks of 64 bytes are aligned to 64
  SecretBytes bytes_;
  std::size_t size_ = 0;
};

}  // namespace casevault::analytics
