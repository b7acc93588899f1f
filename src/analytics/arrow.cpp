// SPDX-License-Identifier: Apache-2.0
#include "analytics/arrow.hpp"

#include <algorithm>
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

int digits(std::string_view text, std::size_t begin, std::size_t count) noexcept {
  int out = 0;
  for (const char digit : text.substr(begin, count)) out = out * 10 + (digit - '0');
  return out;
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

ColumnBuilder::Codes codes_of(const CodeList* list) {
  ColumnBuilder::Codes out;
  if (list == nullptr) return out;
  for (const std::string& code : list->codes) out.emplace(code, static_cast<std::int16_t>(out.size()));
  return out;
}

namespace {

/// Numbers of codes by their text. A column holds few different ones: those seen are found in a small table first.
class CodeNumbers {
 public:
  explicit CodeNumbers(const ColumnBuilder::Codes& codes) : codes_(codes) {}
  [[nodiscard]] std::optional<std::int16_t> find(std::string_view code) {
    if (code.empty()) return std::nullopt;
    const auto ends = static_cast<std::size_t>(static_cast<std::uint8_t>(code.front()) * 7U +
                                               static_cast<std::uint8_t>(code.back()) * 3U + code.size());
    Seen& seen = seen_[(ends + static_cast<std::uint8_t>(code[code.size() / 2])) % seen_.size()];
    if (seen.code == code) return seen.number;
    const auto found = codes_.find(code);
    if (found == codes_.end()) return std::nullopt;
    seen = {found->first, found->second};
    return seen.number;
  }

 private:
  struct Seen {
    std::string_view code;  ///< of the schema's list
    std::int16_t number = 0;
  };
  const ColumnBuilder::Codes& codes_;
  std::array<Seen, 64> seen_{};
};

/// YYYY, YYYY-MM or YYYY-MM-DD as far as its characters go; the calendar was asked when the value came in.
bool shaped_like_date(std::string_view text) noexcept {
  if (text.size() != 4 && text.size() != 7 && text.size() != 10) return false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const bool dash = i == 4 || i == 7;
    if (dash ? text[i] != '-' : text[i] < '0' || text[i] > '9') return false;
  }
  return true;
}

}  // namespace

struct ColumnBuilder::State {
  State(const Codes& known, const CodeList* of, const Field& own) : field(&own), list(of), codes(known) {}
  const Field* field;
  const CodeList* list;
  CodeNumbers codes;
  Validity valid;
  TextBuilder text;                   ///< of text and bytes; items of multi-codes
  SecretArray<std::int16_t> numbers;  ///< of codes
  SecretArray<std::int64_t> integers;
  SecretArray<std::int32_t> days;  ///< of dates; ends of multi-codes
  SecretArray<std::int8_t> precisions;
  Validity bits;  ///< of booleans
};

ColumnBuilder::ColumnBuilder(const Field& field, const CodeList* list, const Codes& codes, std::size_t rows)
    : state_(std::make_unique<State>(codes, list, field)) {
  if (field.type == FieldType::kCode) state_->numbers.reserve(rows);
  if (field.type == FieldType::kInteger) state_->integers.reserve(rows);
  if (field.type == FieldType::kMultiCode || field.type == FieldType::kDate) state_->days.reserve(rows + 1);
  if (field.type == FieldType::kMultiCode) state_->days.push_back(0);
}
ColumnBuilder::ColumnBuilder(ColumnBuilder&&) noexcept = default;
ColumnBuilder::~ColumnBuilder() = default;

Result<void> ColumnBuilder::add(const std::optional<ByteView>& encoded) {
  State& s = *state_;
  const Field& field = *s.field;
  format::CborReader in(encoded.value_or(ByteView()));
  const bool there = encoded.has_value();
  bool valid = true;
  switch (field.type) {
    case FieldType::kText:
      s.text.put(there ? in.text() : std::string_view(), there);
      break;
    case FieldType::kBytes:
      s.text.put(there ? as_text(in.bytes()) : std::string_view(), there);
      break;
    case FieldType::kCode: {
      std::int16_t number = 0;
      if (there) {
        const auto found = s.codes.find(in.text());
        if (in.ok() && !found) {
          return Error{ErrorCode::kUnsupported,
                       "field " + field.name + " holds a code that its list in the schema has not"};
        }
        number = found.value_or(0);
      }
      s.numbers.push_back(number);
      s.valid.add(there);
      break;
    }
    case FieldType::kMultiCode: {
      const std::size_t count = there ? in.array_once() : 0;
      valid = !there || count != 0;
      for (std::size_t i = 0; i < count && in.ok(); ++i) s.text.put(in.text(), true);
      s.days.push_back(s.days[s.days.size() - 1] + static_cast<std::int32_t>(count));
      s.valid.add(there);
      break;
    }
    case FieldType::kDate: {
      const std::string_view date = there ? in.text() : std::string_view();
      valid = !there || shaped_like_date(date);
      const bool readable = there && valid && in.ok();
      const auto part = [&](std::size_t begin) {
        return readable && date.size() > begin ? std::clamp(digits(date, begin, 2), 1, 31) : 1;
      };
      s.days.push_back(readable ? days_of(digits(date, 0, 4), std::min(part(5), 12), part(8)) : 0);
      s.precisions.push_back(static_cast<std::int8_t>(readable ? (date.size() - 4) / 3 : 0));
      s.valid.add(there);
      break;
    }
    case FieldType::kInteger:
      s.integers.push_back(there ? in.integer() : 0);
      s.valid.add(there);
      break;
    case FieldType::kBoolean:
      s.bits.add(there && in.boolean());
      s.valid.add(there);
      break;
  }
  const auto zero = [](std::uint8_t byte) { return byte == 0; };
  if (there && (!in.ok() || !valid || !std::ranges::all_of(in.rest(), zero)))
    return Error{ErrorCode::kIntegrity, "field " + field.name + ": its bytes are no value of its type"};
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
