// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <casevault/analytics.hpp>

#include "analytics/buffer.hpp"

#include <cstring>
#include <functional>

/// Arrays of the Arrow C data interface in locked memory that their release wipes. Every buffer is aligned to 64 bytes.
namespace casevault::analytics {

inline constexpr std::size_t kMaxBatchRows = 65'536;

/// One array on its way out: buffers in the order of the format, then children, then the dictionary.
struct ArrowNode {
  std::size_t length = 0;
  std::size_t nulls = 0;
  std::vector<SecretBytes> buffers;
  std::vector<ArrowNode> children;
  std::vector<ArrowNode> dictionary;  ///< one or none
};

/// Which rows hold something.
class Validity {
 public:
  void reserve(std::size_t length) { bits_.reserve((length + 7) / 8); }
  void add(bool valid) {
    if (length_ % 8 == 0) bits_.push_back(0);
    std::uint8_t& byte = bits_[length_ / 8];
    byte = static_cast<std::uint8_t>(byte | unsigned{valid} << (length_ % 8));
    nulls_ += valid ? 0U : 1U;
    ++length_;
  }
  [[nodiscard]] std::size_t size() const noexcept { return length_; }
  /// The node with its first buffer.
  [[nodiscard]] ArrowNode node() && {
    ArrowNode out{length_, nulls_, {}, {}, {}};
    out.buffers.push_back(std::move(bits_).take());
    return out;
  }

 private:
  SecretArray<std::uint8_t> bits_;
  std::size_t length_ = 0;
  std::size_t nulls_ = 0;
};

/// Text or bytes.
class TextBuilder {
 public:
  TextBuilder() { ends_.push_back(0); }
  void add(std::string_view text) { put(text, !text.empty()); }
  void put(std::string_view text, bool valid);
  [[nodiscard]] std::size_t bytes() const noexcept { return data_.size(); }
  [[nodiscard]] ArrowNode node() &&;

 private:
  Validity valid_;
  SecretArray<std::int32_t> ends_;
  SecretArray<std::uint8_t> data_;
};

enum class ArrowKind : std::uint8_t { kText, kBytes, kCode, kCodes, kDate, kInteger, kBoolean };
[[nodiscard]] ArrowKind kind_of(FieldType type) noexcept;

using ArrowMetadata = std::vector<std::pair<std::string, std::string>>;
struct ArrowField {
  std::string name;
  ArrowKind kind{};
  ArrowMetadata metadata;
};
void make_schema(std::span<const ArrowField> fields, const ArrowMetadata& metadata, ArrowSchema& out);

/// Numbers of a list's codes by their text: every coded value of a table is looked up.
class CodeNumbers {
 public:
  /// `list`, which may be none, must outlive it.
  explicit CodeNumbers(const CodeList* list);
  /// -1 for a code that the list has not.
  [[nodiscard]] std::int16_t of(std::string_view code) const noexcept {
    const Ends ends = ends_of(code);
    for (std::size_t at = place(ends);; at = (at + 1) & mask_) {
      const Slot& slot = slots_[at];
      const bool same = slot.ends == ends && (code.size() <= 2 * sizeof ends.front || slot.code == code);
      if (same || slot.number < 0) return slot.number;
    }
  }

 private:
  /// The first and the last eight bytes, or fewer: with the length all of a code that has sixteen at most.
  struct Ends {
    std::uint64_t front = 0;
    std::uint64_t back = 0;
    std::size_t size = 0;
    bool operator==(const Ends&) const = default;
  };
  struct Slot {
    Ends ends;
    std::string_view code;
    std::int16_t number = -1;
  };
  [[nodiscard]] static Ends ends_of(std::string_view code) noexcept {
    const auto both = [code](auto word) {
      Ends out{0, 0, code.size()};
      std::memcpy(&word, code.data(), sizeof word);  // NOLINT(bugprone-suspicious-stringview-data-usage)
      out.front = word;
      std::memcpy(&word, code.data() + code.size() - sizeof word, sizeof word);
      out.back = word;
      return out;
    };
    if (code.size() >= 8) return both(std::uint64_t{});
    if (code.size() >= 4) return both(std::uint32_t{});
    if (code.size() >= 2) return both(std::uint16_t{});
    return {code.empty() ? std::uint64_t{0} : static_cast<std::uint8_t>(code.front()), 0, code.size()};
  }
  [[nodiscard]] std::size_t place(const Ends& ends) const noexcept {
    constexpr std::uint64_t kOdd = 0x9E37'79B9'7F4A'7C15U;  // bits of the golden ratio
    const std::uint64_t mixed = ((ends.front ^ ends.size) * kOdd ^ ends.back) * kOdd;
    return (mixed >> 32U ^ mixed >> 48U) & mask_;
  }
  std::vector<Slot> slots_;  ///< a power of two, at most half of them taken
  std::size_t mask_;
};

/// Values of one field as they lie in cells, CBOR with padding, into the buffers of its kind.
class ColumnBuilder {
 public:
  /// `codes` of the field's list must outlive it.
  ColumnBuilder(const Field& field, const CodeList* list, const CodeNumbers& codes, std::size_t rows);
  ColumnBuilder(ColumnBuilder&&) noexcept;
  ~ColumnBuilder();
  /// kIntegrity when the bytes are no value of the field, kUnsupported for a code that its list has not.
  [[nodiscard]] Result<void> add(const std::optional<ByteView>& encoded);
  [[nodiscard]] ArrowNode node() &&;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// A struct array of these columns.
void make_batch(std::size_t rows, std::vector<ArrowNode> columns, ArrowArray& out);

using GetSchema = std::function<Result<void>(ArrowSchema&)>;
using GetNext = std::function<Result<bool>(ArrowArray&)>;
void make_stream(GetSchema get_schema, GetNext get_next, ArrowArrayStream& out);

}  // namespace casevault::analytics
