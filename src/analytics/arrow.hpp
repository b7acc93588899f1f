// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <casevault/analytics.hpp>

#include "analytics/buffer.hpp"

#include <functional>
#include <unordered_map>

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
  void add(bool valid) {
    if (length_ % 8 == 0) bits_.push_back(0);
    if (valid) {
      std::uint8_t& byte = bits_[length_ / 8];
      byte = static_cast<std::uint8_t>(byte | 1U << (length_ % 8));
    } else {
      ++nulls_;
    }
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

/// Values of one field as they lie in cells, CBOR with padding, into the buffers of its kind.
class ColumnBuilder {
 public:
  /// `codes` of the field's list, by their numbers; must outlive it.
  using Codes = std::unordered_map<std::string_view, std::int16_t>;
  ColumnBuilder(const Field& field, const CodeList* list, const Codes& codes, std::size_t rows);
  ColumnBuilder(ColumnBuilder&&) noexcept;
  ~ColumnBuilder();
  /// kIntegrity when the bytes are no value of the field, kUnsupported for a code that its list has not.
  [[nodiscard]] Result<void> add(const std::optional<ByteView>& encoded);
  [[nodiscard]] ArrowNode node() &&;

 private:
  struct State;
  std::unique_ptr<State> state_;
};
[[nodiscard]] ColumnBuilder::Codes codes_of(const CodeList* list);

/// A struct array of these columns.
void make_batch(std::size_t rows, std::vector<ArrowNode> columns, ArrowArray& out);

using GetSchema = std::function<Result<void>(ArrowSchema&)>;
using GetNext = std::function<Result<bool>(ArrowArray&)>;
void make_stream(GetSchema get_schema, GetNext get_next, ArrowArrayStream& out);

}  // namespace casevault::analytics
