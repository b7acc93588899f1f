// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <casevault/bytes.hpp>

#include <algorithm>
#include <cstring>
#include <span>
#include <type_traits>
#include <unordered_map>

namespace casevault::analytics {

/// An array in locked memory that grows, wiped on destruction. Like std::vector of a trivial type.
template <typename T>
  requires std::is_trivially_copyable_v<T>
class SecretArray {
 public:
  void push_back(const T& value) {
    if ((size_ + 1) * sizeof(T) > bytes_.size()) enlarge(size_ + 1);
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
    if (count * sizeof(T) > bytes_.size()) enlarge(count);
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
  /// Not inlined where values are added, for most additions find room.
  [[gnu::noinline]] void enlarge(std::size_t count) {
    SecretBytes larger(std::max({count * sizeof(T), 2 * bytes_.size(), kLeast * sizeof(T)}));
    if (size_ > 0) std::memcpy(larger.mutable_view().data(), bytes_.view().data(), size_ * sizeof(T));
    bytes_ = std::move(larger);
  }
  static constexpr std::size_t kLeast = 64 / sizeof(T);  ///< blocks of 64 bytes are aligned to 64
  SecretBytes bytes_;
  std::size_t size_ = 0;
};

/// Texts by number, in locked memory, wiped on destruction.
class SecretTexts {
 public:
  void push_back(std::string_view text) {
    known_.emplace(std::hash<std::string_view>()(text), static_cast<std::uint32_t>(size()));
    std::ranges::copy(text, text_.grow(text.size()).begin());
    ends_.push_back(text_.size());
  }
  /// Of this text, which is added when it is new.
  [[nodiscard]] std::uint32_t number_of(std::string_view text) {
    const auto [first, last] = known_.equal_range(std::hash<std::string_view>()(text));
    for (auto each = first; each != last; ++each) {
      if ((*this)[each->second] == text) return each->second;
    }
    push_back(text);
    return static_cast<std::uint32_t>(size() - 1);
  }
  [[nodiscard]] std::string_view operator[](std::size_t number) const noexcept {
    const std::size_t begin = number == 0 ? 0 : ends_[number - 1];
    return {text_.view().data() + begin, ends_[number] - begin};
  }
  [[nodiscard]] std::size_t size() const noexcept { return ends_.size(); }

 private:
  SecretArray<char> text_;
  SecretArray<std::size_t> ends_;
  std::unordered_multimap<std::size_t, std::uint32_t> known_;  ///< by hash: no text outside of locked memory
};

}  // namespace casevault::analytics
