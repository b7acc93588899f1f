// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <casevault/schema.hpp>

#include <array>
#include <unordered_set>

namespace casevault::model {

inline constexpr std::size_t kMaxValueBytes = std::size_t{1} << 20U;
inline constexpr std::size_t kMaxNames = 64;  ///< in one value of a field that is searched by name

/// Checks `text` against the field's type and code list. The error says what is wrong with the field by name, never the
/// value itself: "field sex: not a code of list sex".
[[nodiscard]] Result<void> check_value(const Schema& schema, const Field& field, std::string_view text);

/// YYYY, YYYY-MM or YYYY-MM-DD of the Gregorian calendar, as a field of dates keeps it.
[[nodiscard]] bool valid_date(std::string_view text);

/// The same question about many values of one field: its code list is looked up once. Says yes or no; check_value says
/// why. Schema and field must outlive it.
class ValueCheck {
 public:
  ValueCheck(const Schema& schema, const Field& field);
  [[nodiscard]] bool admits(std::string_view text) const;

 private:
  /// Lists are no adversary's. Of those that are short a few letters tell the codes apart, which costs a third.
  struct Hasher {
    bool few;
    std::size_t operator()(std::string_view code) const noexcept {
      if (!few) return std::hash<std::string_view>()(code);
      if (code.empty()) return 0;
      const auto at = [code](std::size_t i) { return static_cast<std::size_t>(static_cast<unsigned char>(code[i])); };
      return at(0) | at(code.size() / 2) << 8U | at(code.size() - 1) << 16U | code.size() << 24U;
    }
  };
  const Field* field_;
  std::unordered_set<std::string_view, Hasher> codes_;
};

/// Canonical CBOR of a checked value: text, code, date as text; multi-code as array of texts; integer; boolean; bytes.
[[nodiscard]] Result<SecretBytes> encode_value(const Schema& schema, const Field& field, std::string_view text);
/// The same for a value that is known to be admitted, into memory of the caller's with room for max_encoded_size.
/// Returns the size.
[[nodiscard]] std::size_t encode_checked(const Field& field, std::string_view text, MutableBytes out);
[[nodiscard]] std::size_t max_encoded_size(const Field& field, std::string_view text) noexcept;
/// Appends the text, exactly as it was written, to `out` starting at `used`; grows nothing: `out` is sized by the
/// caller to at least `used` + max_text_size(encoded size). Returns the new end. kIntegrity when the bytes are no value
/// of the field. `encoded` may be followed by zero padding.
[[nodiscard]] Result<std::size_t> decode_value(const Field& field, ByteView encoded, MutableBytes out,
                                               std::size_t used);
/// Upper bound of the text of an encoded value of this many bytes.
[[nodiscard]] std::size_t max_text_size(std::size_t encoded) noexcept;

/// Length classes hide exact lengths: a value is padded with zeros to the size of its class. Persisted (FORMAT.md,
/// "Length classes"): 0..15 are 16..256 in steps of 16, 16..27 are 320..1024 in steps of 64, 28..39 are 1280..4096 in
/// steps of 256, then steps of 4096 up to 1 MiB + 4096.
[[nodiscard]] std::uint16_t length_class(std::size_t size) noexcept;
namespace detail {
struct Band {
  std::uint16_t first_class;
  std::size_t first_size;
  std::size_t step;
};
// Persisted. DO NOT CHANGE.
inline constexpr std::array kBands = {Band{0, 16, 16}, Band{16, 320, 64}, Band{28, 1280, 256}, Band{40, 8192, 4096}};
inline constexpr std::size_t kLargestClassSize = kMaxValueBytes + 4096;
}  // namespace detail
/// 0 for no class. Here, because it is asked of every field of every head.
[[nodiscard]] inline std::size_t class_size(std::uint16_t length_class) noexcept {
  if (length_class < detail::kBands[1].first_class) return (std::size_t{length_class} + 1) * detail::kBands[0].step;
  auto band = detail::kBands.begin() + 1;
  while (band + 1 != detail::kBands.end() && length_class >= (band + 1)->first_class) ++band;
  const std::size_t size = band->first_size + (std::size_t{length_class} - band->first_class) * band->step;
  return size <= detail::kLargestClassSize ? size : 0;
}

}  // namespace casevault::model
