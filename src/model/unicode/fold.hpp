// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <casevault/bytes.hpp>

#include <array>

#include "model/unicode/tables.hpp"

namespace casevault::model::unicode {

/// The most that one text may fold to, in code points; also bounds the scratch memory on the stack.
inline constexpr std::size_t kMaxFolded = 1024;

/// Text without case, width, composition or invisible signs, cut into syllables: NFKC, invisible signs dropped, Eth and
/// African D made the Vietnamese letter, full case folding without a locale, NFD. Wiped when it goes.
class Folded {
 public:
  using Unit = std::uint32_t;

  Folded() noexcept = default;
  Folded(const Folded&) = delete;
  Folded& operator=(const Folded&) = delete;
  ~Folded();

  /// Once per object. kBadInput: not UTF-8 (names the offset), U+FFFD, nothing left, too long; never the text.
  [[nodiscard]] Result<void> assign(std::string_view text);

  /// Letters, digits and marks; a zero between two syllables, none at the ends. A syllable begins with no mark.
  [[nodiscard]] std::span<const Unit> units() const noexcept { return {units_.data(), size_}; }
  [[nodiscard]] static char32_t point(Unit unit) noexcept { return unit & kPointMask; }
  [[nodiscard]] static Kind kind(Unit unit) noexcept { return static_cast<Kind>(unit >> kKindShift & 7U); }

 private:
  static constexpr Unit kPointMask = 0x1F'FFFF;
  static constexpr unsigned kKindShift = 21;
  static constexpr unsigned kClassShift = 24;
  [[nodiscard]] bool append(char32_t point) noexcept;
  [[nodiscard]] bool append_folded(char32_t point) noexcept;
  [[nodiscard]] bool append_unit(char32_t point, Kind kind, std::uint8_t ccc) noexcept;

  std::array<Unit, kMaxFolded> units_;
  std::size_t size_ = 0;
};

inline constexpr char32_t kInvalid = 0xFFFF'FFFF;
/// Takes one code point off the front of `rest`, which is not empty; kInvalid, and nothing taken, where none begins
/// there (RFC 3629).
[[nodiscard]] char32_t take_utf8(ByteView& rest) noexcept;
/// Whether a code point taken is one that text can hold: not kInvalid, and not the sign for lost letters (U+FFFD).
[[nodiscard]] constexpr bool readable(char32_t point) noexcept { return point != kInvalid && point != 0xFFFD; }
[[nodiscard]] Error unreadable(char32_t point, std::size_t offset);  ///< kBadInput, for what is not readable
/// Letters with a stroke or without a dot do not decompose, and are typed plain all the same: d for its stroked form.
[[nodiscard]] char32_t plain_letter(char32_t folded) noexcept;
/// Bytes of the UTF-8 of `point`, written to `out`, which has room for four.
std::size_t put_utf8(char32_t point, char* out) noexcept;

}  // namespace casevault::model::unicode
