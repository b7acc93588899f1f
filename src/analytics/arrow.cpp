// SPDX-License-Identifier: Apache-2.0
#include "analytics/arrow.hpp"

#include <algorithm>
#include <bit>
#include <cerrno>
#include <new>

#include "format/cbor.hpp"
#include "model/value.hpp"

namespace casevault::analytics {
namespace {

// --- schemas ---

struct SchemaNode {
  std::string format, name, metadata;
  std::int64_t flags = ARROW_FLAG_NULLABLE;
  std::vector<SchemaNode> children;
  std::vector<SchemaNode> dictionary;
};

/// What a released schema owned; lives behind its private_data.
struct OwnedSchema {
  SchemaNode node;
  std::vector<ArrowSchema> children;
  std::vector<ArrowSchema*> places;
  ArrowSchema dictionary{};
};

void release_schema(ArrowSchema* schema) {
  auto* const owned = static_cast<OwnedSchema*>(schema->private_data);
  for (ArrowSchema& child : owned->children) {
    if (child.release != nullptr) child.release(&child);
  }
  if (owned->dictionary.release != nullptr) owned->dictionary.release(&owned->dictionary);
  delete owned;  // NOLINT(cppcoreguidelines-owning-memory): the interface is C
  schema->release = nullptr;
}

/// What was handed out already goes back when memory for the rest is lacking: `out` is untouched then.
template <typename T>
class HandedOut {
 public:
  HandedOut(std::vector<T>& children, T& dictionary) : children_(&children), dictionary_(&dictionary) {}
  HandedOut(const HandedOut&) = delete;
  HandedOut& operator=(const HandedOut&) = delete;
  ~HandedOut() {
    if (kept_) return;
    for (T& child : *children_) drop(child);
    drop(*dictionary_);
  }
  void keep() noexcept { kept_ = true; }

 private:
  static void drop(T& each) {
    if (each.release != nullptr) each.release(&each);
  }
  std::vector<T>* children_;
  T* dictionary_;
  bool kept_ = false;
};

void hand_out(SchemaNode node, ArrowSchema& out) {
  auto owned = std::make_unique<OwnedSchema>();
  owned->children.resize(node.children.size());
  HandedOut guard(owned->children, owned->dictionary);
  for (std::size_t i = 0; i < node.children.size(); ++i) {
    hand_out(std::move(node.children[i]), owned->children[i]);
    owned->places.push_back(&owned->children[i]);
  }
  if (!node.dictionary.empty()) hand_out(std::move(node.dictionary.front()), owned->dictionary);
  guard.keep();
  const bool dictionary = !node.dictionary.empty();
  owned->node = std::move(node);
  out = {owned->node.format.c_str(),
         owned->node.name.c_str(),
         owned->node.metadata.empty() ? nullptr : owned->node.metadata.data(),
         owned->node.flags,
         static_cast<std::int64_t>(owned->children.size()),
         owned->places.data(),
         dictionary ? &owned->dictionary : nullptr,
         release_schema,
         nullptr};
  out.private_data = owned.release();
}

/// Lengths in the byte order of the machine, as the interface says.
std::string encode(const ArrowMetadata& metadata) {
  std::string out;
  if (metadata.empty()) return out;
  const auto number = [&](std::size_t value) {
    const auto n = static_cast<std::int32_t>(value);
    out.append(reinterpret_cast<const char*>(&n), sizeof n);  // NOLINT
  };
  const auto text = [&](const std::string& value) {
    number(value.size());
    out += value;
  };
  number(metadata.size());
  for (const auto& [key, value] : metadata) {
    text(key);
    text(value);
  }
  return out;
}

SchemaNode leaf(std::string format, std::string name) { return {std::move(format), std::move(name), {}, 2, {}, {}}; }

SchemaNode schema_of(const ArrowField& field) {
  SchemaNode out = leaf("", field.name);
  out.metadata = encode(field.metadata);
  switch (field.kind) {
    case ArrowKind::kText:
      out.format = "u";
      break;
    case ArrowKind::kBytes:
      out.format = "z";
      break;
    case ArrowKind::kInteger:
      out.format = "l";
      break;
    case ArrowKind::kBoolean:
      out.format = "b";
      break;
    case ArrowKind::kCode:
      out.format = "s";
      out.dictionary.push_back(leaf("u", ""));
      break;
    case ArrowKind::kCodes:
      out.format = "+l";
      out.children.push_back(leaf("u", "item"));
      break;
    case ArrowKind::kDate:
      out.format = "+s";
      out.children.push_back(leaf("tdD", "date"));
      out.children.push_back(leaf("c", "precision"));
      out.children.back().dictionary.push_back(leaf("u", ""));
      break;
  }
  return out;
}

// --- arrays ---

struct OwnedArray {
  std::vector<SecretBytes> buffers;
  std::vector<const void*> addresses;
  std::vector<ArrowArray> children;
  std::vector<ArrowArray*> places;
  ArrowArray dictionary{};
};

void release_array(ArrowArray* array) {
  auto* const owned = static_cast<OwnedArray*>(array->private_data);
  for (ArrowArray& child : owned->children) {
    if (child.release != nullptr) child.release(&child);
  }
  if (owned->dictionary.release != nullptr) owned->dictionary.release(&owned->dictionary);
  delete owned;  // NOLINT(cppcoreguidelines-owning-memory): wipes the buffers
  array->release = nullptr;
}

void hand_out(ArrowNode node, ArrowArray& out) {
  auto owned = std::make_unique<OwnedArray>();
  owned->buffers = std::move(node.buffers);
  for (const SecretBytes& buffer : owned->buffers)
    owned->addresses.push_back(buffer.empty() ? nullptr : buffer.view().data());
  owned->children.resize(node.children.size());
  HandedOut guard(owned->children, owned->dictionary);
  for (std::size_t i = 0; i < node.children.size(); ++i) {
    hand_out(std::move(node.children[i]), owned->children[i]);
    owned->places.push_back(&owned->children[i]);
  }
  if (!node.dictionary.empty()) hand_out(std::move(node.dictionary.front()), owned->dictionary);
  guard.keep();
  out = {static_cast<std::int64_t>(node.length),
         static_cast<std::int64_t>(node.nulls),
         0,
         static_cast<std::int64_t>(owned->addresses.size()),
         static_cast<std::int64_t>(owned->children.size()),
         owned->addresses.data(),
         owned->places.data(),
         node.dictionary.empty() ? nullptr : &owned->dictionary,
         release_array,
         nullptr};
  out.private_data = owned.release();
}

template <typename Texts>
ArrowNode texts(const Texts& values) {
  TextBuilder out;
  for (const auto& value : values) out.put(value, true);
  return std::move(out).node();
}

/// Days since 1970-01-01 of a date of the Gregorian calendar.
std::int32_t days_of(int year, int month, int day) noexcept {
  // The calendar repeats every 400 years; a year that begins in March has its leap day at the end.
  const int y = month <= 2 ? year - 1 : year;
  const int era = (y >= 0 ? y : y - 399) / 400;
  const int of_era = y - era * 400;
  const int of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
  return era * 146'097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719'468;
}

}  // namespace

void TextBuilder::put(std::string_view text, bool valid) {
  valid_.add(valid);
  if (!text.empty()) std::ranges::copy(as_bytes(text), data_.grow(text.size()).begin());
  ends_.push_back(static_cast<std::int32_t>(data_.size()));
}

ArrowNode TextBuilder::node() && {
  ArrowNode out = std::move(valid_).node();
  out.buffers.push_back(std::move(ends_).take());
  out.buffers.push_back(std::move(data_).take());
  return out;
}

ArrowKind kind_of(FieldType type) noexcept {
  switch (type) {
    case FieldType::kCode:
      return ArrowKind::kCode;
    case FieldType::kMultiCode:
      return ArrowKind::kCodes;
    case FieldType::kDate:
      return ArrowKind::kDate;
    case FieldType::kInteger:
      return ArrowKind::kInteger;
    case FieldType::kBoolean:
      return ArrowKind::kBoolean;
    case FieldType::kBytes:
      return ArrowKind::kBytes;
    case FieldType::kText:
      break;
  }
  return ArrowKind::kText;
}

void make_schema(std::span<const ArrowField> fields, const ArrowMetadata& metadata, ArrowSchema& out) {
  SchemaNode root = leaf("+s", "");
  root.flags = 0;
  root.metadata = encode(metadata);
  for (const ArrowField& field : fields) root.children.push_back(schema_of(field));
  hand_out(std::move(root), out);
}

void make_batch(std::size_t rows, std::vector<ArrowNode> columns, ArrowArray& out) {
  ArrowNode root;
  root.length = rows;
  root.buffers.emplace_back();  // no validity: every row is one
  root.children = std::move(columns);
  hand_out(std::move(root), out);
}

CodeNumbers::CodeNumbers(const CodeList* list)
    : slots_(std::bit_ceil(list == nullptr ? 1 : 2 * list->codes.size() + 1)), mask_(slots_.size() - 1) {
  if (list == nullptr) return;
  std::int16_t number = 0;
  for (const std::string& code : list->codes) {
    const Ends ends = ends_of(code);
    std::size_t at = place(ends);
    while (slots_[at].number >= 0) at = (at + 1) & mask_;
    slots_[at] = {ends, code, number++};
  }
}

namespace {

struct Date {
  int year = 0;
  int month = 1;
  int day = 1;
  std::int8_t precision = 0;  ///< parts after the year
};

/// YYYY, YYYY-MM or YYYY-MM-DD as far as its characters go; the calendar was asked when the value came in.
std::optional<Date> date_of(std::string_view text) noexcept {
  Date out;
  bool fine = text.size() == 4 || text.size() == 7 || text.size() == 10;
  const auto number = [&](std::size_t begin, std::size_t end) {
    int sum = 0;
    for (; begin < end; ++begin) {
      const int digit = text[begin] - '0';
      fine = fine && digit >= 0 && digit <= 9;
      sum = 10 * sum + digit;
    }
    return sum;
  };
  const auto part = [&](std::size_t dash) {
    fine = fine && text[dash] == '-';
    ++out.precision;
    return std::clamp(number(dash + 1, dash + 3), 1, dash == 4 ? 12 : 31);
  };
  if (fine) out.year = number(0, 4);
  if (fine && text.size() > 4) out.month = part(4);
  if (fine && text.size() > 7) out.day = part(7);
  return fine ? std::optional(out) : std::nullopt;
}

bool all_zero(ByteView bytes) {
  return std::ranges::all_of(bytes, [](std::uint8_t byte) { return byte == 0; });
}

}  // namespace

struct ColumnBuilder::State {
  const Field* field = nullptr;
  const CodeList* list = nullptr;
  const CodeNumbers* codes = nullptr;
  Validity valid;
  TextBuilder text;                   ///< of text and bytes; items of multi-codes
  SecretArray<std::int16_t> numbers;  ///< of codes
  SecretArray<std::int64_t> integers;
  SecretArray<std::int32_t> days;  ///< of dates; ends of multi-codes
  SecretArray<std::int8_t> precisions;
  Validity bits;  ///< of booleans

  Result<void> add_code(const std::optional<ByteView>& encoded);
  Result<void> add_other(const std::optional<ByteView>& encoded);
  [[nodiscard]] Error damaged() const {
    return {ErrorCode::kIntegrity, "field " + field->name + ": its bytes are no value of its type"};
  }
};

ColumnBuilder::ColumnBuilder(const Field& field, const CodeList* list, const CodeNumbers& codes, std::size_t rows)
    : state_(std::make_unique<State>()) {
  state_->field = &field;
  state_->list = list;
  state_->codes = &codes;
  state_->valid.reserve(rows);
  if (field.type == FieldType::kCode) state_->numbers.reserve(rows);
  if (field.type == FieldType::kInteger) state_->integers.reserve(rows);
  if (field.type == FieldType::kDate) state_->days.reserve(rows);
  if (field.type == FieldType::kMultiCode) {
    state_->days.reserve(rows + 1);
    state_->days.push_back(0);
  }
}
ColumnBuilder::ColumnBuilder(ColumnBuilder&&) noexcept = default;
ColumnBuilder::~ColumnBuilder() = default;

Result<void> ColumnBuilder::add(const std::optional<ByteView>& encoded) {
  State& s = *state_;
  return s.field->type == FieldType::kCode ? s.add_code(encoded) : s.add_other(encoded);
}

/// On its own, because most columns hold codes.
Result<void> ColumnBuilder::State::add_code(const std::optional<ByteView>& encoded) {
  std::int16_t number = 0;
  if (encoded) {
    format::CborReader in(*encoded);
    number = codes->of(in.text());
    if (!in.ok() || !all_zero(in.rest())) return damaged();
    if (number < 0) {
      return Error{ErrorCode::kUnsupported,
                   "field " + field->name + " holds a code that its list in the schema has not"};
    }
  }
  numbers.push_back(number);
  valid.add(encoded.has_value());
  return {};
}

Result<void> ColumnBuilder::State::add_other(const std::optional<ByteView>& encoded) {
  format::CborReader in(encoded.value_or(ByteView()));
  const bool there = encoded.has_value();
  bool fine = true;
  switch (field->type) {
    case FieldType::kText:
      text.put(there ? in.text() : std::string_view(), there);
      break;
    case FieldType::kBytes:
      text.put(there ? as_text(in.bytes()) : std::string_view(), there);
      break;
    case FieldType::kCode:
      return add_code(encoded);
    case FieldType::kMultiCode: {
      const std::size_t count = there ? in.array_once() : 0;
      fine = !there || count != 0;
      for (std::size_t i = 0; i < count && in.ok(); ++i) text.put(in.text(), true);
      days.push_back(days[days.size() - 1] + static_cast<std::int32_t>(count));
      break;
    }
    case FieldType::kDate: {
      const std::optional<Date> date = there ? date_of(in.text()) : std::nullopt;
      fine = !there || date;
      days.push_back(date ? days_of(date->year, date->month, date->day) : 0);
      precisions.push_back(date ? date->precision : std::int8_t{0});
      break;
    }
    case FieldType::kInteger:
      integers.push_back(there ? in.integer() : 0);
      break;
    case FieldType::kBoolean:
      bits.add(there && in.boolean());
      break;
  }
  valid.add(there);
  if (there && (!in.ok() || !fine || !all_zero(in.rest()))) return damaged();
  return {};
}

ArrowNode ColumnBuilder::node() && {
  State& s = *state_;
  const FieldType type = s.field->type;
  if (type == FieldType::kText || type == FieldType::kBytes) return std::move(s.text).node();
  ArrowNode out = std::move(s.valid).node();
  if (type == FieldType::kCode) {
    out.buffers.push_back(std::move(s.numbers).take());
    out.dictionary.push_back(texts(s.list == nullptr ? std::vector<std::string>() : s.list->codes));
  } else if (type == FieldType::kMultiCode) {
    out.buffers.push_back(std::move(s.days).take());
    out.children.push_back(std::move(s.text).node());
  } else if (type == FieldType::kDate) {
    // The parts of a date are there where it is.
    const auto part = [&out](SecretBytes values) {
      ArrowNode node{out.length, out.nulls, {}, {}, {}};
      node.buffers.push_back(out.buffers.front().clone());
      node.buffers.push_back(std::move(values));
      return node;
    };
    ArrowNode days = part(std::move(s.days).take());
    ArrowNode precisions = part(std::move(s.precisions).take());
    precisions.dictionary.push_back(texts(std::initializer_list<std::string_view>{"year", "month", "day"}));
    out.children.push_back(std::move(days));
    out.children.push_back(std::move(precisions));
  } else if (type == FieldType::kInteger) {
    out.buffers.push_back(std::move(s.integers).take());
  } else {
    ArrowNode bits = std::move(s.bits).node();
    out.buffers.push_back(std::move(bits.buffers.front()));
  }
  return out;
}

// --- streams ---

namespace {

struct OwnedStream {
  GetSchema get_schema;
  GetNext get_next;
  std::string error;
};

/// Nothing is thrown into the consumer's C.
template <typename Work>
int guarded(OwnedStream& stream, const Work& work) {
  try {
    const Result<void> done = work();
    if (done) return 0;
    stream.error = done.error().message;
    return exit_code(done.error().code) == 130 ? ECANCELED : EIO;
  } catch (const std::bad_alloc&) {
    stream.error.clear();
    return ENOMEM;
  } catch (const std::exception& thrown) {
    stream.error = thrown.what();
    return EIO;
  } catch (...) {  // of a callback of the host
    stream.error = "something was thrown that is no exception";
    return EIO;
  }
}

OwnedStream& owned(ArrowArrayStream* stream) { return *static_cast<OwnedStream*>(stream->private_data); }

}  // namespace

void make_stream(GetSchema get_schema, GetNext get_next, ArrowArrayStream& out) {
  auto stream = std::make_unique<OwnedStream>(OwnedStream{std::move(get_schema), std::move(get_next), {}});
  out.get_schema = [](ArrowArrayStream* self, ArrowSchema* schema) {
    return guarded(owned(self), [&] { return owned(self).get_schema(*schema); });
  };
  out.get_next = [](ArrowArrayStream* self, ArrowArray* batch) {
    return guarded(owned(self), [&]() -> Result<void> {
      CASEVAULT_TRY(const bool more, owned(self).get_next(*batch));
      if (!more) *batch = {};
      return {};
    });
  };
  out.get_last_error = [](ArrowArrayStream* self) -> const char* {
    return owned(self).error.empty() ? nullptr : owned(self).error.c_str();
  };
  out.release = [](ArrowArrayStream* self) {
    delete static_cast<OwnedStream*>(self->private_data);  // NOLINT(cppcoreguidelines-owning-memory)
    self->release = nullptr;
  };
  out.private_data = stream.release();
}

}  // namespace casevault::analytics
