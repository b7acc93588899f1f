// SPDX-License-Identifier: Apache-2.0
#include "model/value.hpp"

#include <algorithm>
#include <charconv>
#include <optional>

#include "base/text.hpp"
#include "crypto/types.hpp"
#include "format/cbor.hpp"
#include "model/normalise.hpp"
#include "model/secret_cbor.hpp"

namespace casevault::model {
namespace {

constexpr std::uint8_t kCborFalse = 0xF4;
constexpr std::uint8_t kCborTrue = 0xF5;

Error refuse(const Field& field, std::string_view why) {
  return {ErrorCode::kBadInput, "field " + field.name + ": " + std::string(why)};
}

Error damaged(const Field& field) {
  return {ErrorCode::kIntegrity,
          "field " + field.name + ": the stored bytes are no value of its type; restore the record from a backup"};
}

/// Calls `each` for every code between the separators, also empty ones; stops when it returns false.
template <typename Each>
bool for_each_code(std::string_view text, Each each) {
  for (;;) {
    const std::size_t end = text.find(';');
    if (!each(text.substr(0, end))) return false;
    if (end == std::string_view::npos) return true;
    text.remove_prefix(end + 1);
  }
}

std::optional<unsigned> digits(std::string_view text) {
  unsigned value = 0;
  for (const char c : text) {
    if (c < '0' || c > '9') return std::nullopt;
    value = value * 10 + static_cast<unsigned>(c - '0');
  }
  return value;
}

/// Canonical decimal only: what from_chars takes and to_chars would not write (+7, 007, -0) is refused.
std::optional<std::int64_t> canonical_integer(std::string_view text) {
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  const std::string_view magnitude = text.substr(text.front() == '-' ? 1 : 0);
  if (magnitude.front() == '0' && text != "0") return std::nullopt;
  return value;
}

bool canonical_base64(std::string_view text) {
  auto bytes = base::from_base64(text);
  if (bytes) crypto::wipe(*bytes);
  return bytes.has_value();
}

template <typename Known>
Result<void> check_codes(const Field& field, std::string_view text, const Known& known) {
  if (field.type == FieldType::kCode) {
    if (!known(text)) return refuse(field, "not a code of list " + field.list);
    return {};
  }
  // An unknown code stops the walk, so `seen` never outgrows the list.
  std::vector<std::string_view> seen;
  bool repeated = false;
  const bool all_known = for_each_code(text, [&](std::string_view code) {
    repeated = repeated || std::ranges::find(seen, code) != seen.end();
    seen.push_back(code);
    return !repeated && known(code);
  });
  if (repeated) return refuse(field, "names a code twice");
  if (!all_known)
    return refuse(field, "holds something that is no code of list " + field.list + " (';' between codes)");
  return {};
}

bool is_plain(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9'); }

/// What holds no name could never be found again; and what holds very many would keep every writer waiting.
Result<void> check_names(const Field& field, std::string_view text) {
  const std::vector<std::string_view> parts = name_parts(text);
  if (parts.size() > kMaxNames) {
    return refuse(field, "more than " + std::to_string(kMaxNames) +
                             " names (between ; | or line breaks); a field that is searched by name takes no more");
  }
  // A name with a plain letter is not normalised for this: it has keys, or is too long for them and found as it is.
  if (std::ranges::any_of(parts, [](std::string_view part) { return std::ranges::any_of(part, is_plain); })) return {};
  std::string reason = "holds separators or labels alone, and no name; write the name, or leave it empty";
  for (const std::string_view part : parts) {
    Result<NameKeys> keys = name_keys(part, false);
    if (keys) {
      for (std::string* const key : {&keys->exact, &keys->folded}) crypto::wipe(*key);
      return {};
    }
    reason = keys.error().message;
  }
  return refuse(field, reason);
}

template <typename Known>
Result<void> check_against(const Field& field, std::string_view text, const Known& known) {
  if (text.size() > kMaxValueBytes) return refuse(field, "longer than 1 MiB");
  switch (field.type) {
    case FieldType::kText:
      if (!base::valid_utf8(text)) return refuse(field, "not valid UTF-8");
      return field.index == IndexKind::kName ? check_names(field, text) : Result<void>();
    case FieldType::kCode:
    case FieldType::kMultiCode:
      return check_codes(field, text, known);
    case FieldType::kDate:
      if (!valid_date(text)) return refuse(field, "not a date (YYYY, YYYY-MM or YYYY-MM-DD)");
      return {};
    case FieldType::kInteger:
      if (!canonical_integer(text)) return refuse(field, "not a whole number like -7, 0 or 42");
      return {};
    case FieldType::kBoolean:
      if (text != "true" && text != "false") return refuse(field, "neither true nor false");
      return {};
    case FieldType::kBytes:
      if (!canonical_base64(text)) return refuse(field, "not canonical base64");
      return {};
  }
  return Error{ErrorCode::kInternal, "field " + field.name + " has an unknown type"};
}

bool is_coded(const Field& field) { return field.type == FieldType::kCode || field.type == FieldType::kMultiCode; }

}  // namespace

bool valid_date(std::string_view text) {
  if (text.size() != 4 && text.size() != 7 && text.size() != 10) return false;
  const auto year = digits(text.substr(0, 4));
  if (!year || *year == 0) return false;
  if (text.size() == 4) return true;
  const auto month = digits(text.substr(5, 2));
  if (text[4] != '-' || !month || *month < 1 || *month > 12) return false;
  if (text.size() == 7) return true;
  const auto day = digits(text.substr(8, 2));
  if (text[7] != '-' || !day || *day < 1) return false;
  const bool leap = (*year % 4 == 0 && *year % 100 != 0) || *year % 400 == 0;
  const bool short_month = *month == 4 || *month == 6 || *month == 9 || *month == 11;
  const unsigned last = *month == 2 ? (leap ? 29U : 28U) : (short_month ? 30U : 31U);
  return *day <= last;
}

Result<void> check_value(const Schema& schema, const Field& field, std::string_view text) {
  const CodeList* const list = is_coded(field) ? schema.find_list(field.list) : nullptr;
  if (is_coded(field) && list == nullptr)
    return Error{ErrorCode::kInternal, "field " + field.name + " names a list its schema lacks"};
  return check_against(
      field, text, [list](std::string_view code) { return std::ranges::find(list->codes, code) != list->codes.end(); });
}

ValueCheck::ValueCheck(const Schema& schema, const Field& field) : field_(&field) {
  const CodeList* const list = is_coded(field) ? schema.find_list(field.list) : nullptr;
  constexpr std::size_t kFew = 256;
  if (list == nullptr) return;
  codes_ = decltype(codes_)(list->codes.begin(), list->codes.end(), list->codes.size(), {list->codes.size() <= kFew});
}

bool ValueCheck::admits(std::string_view text) const {
  return check_against(*field_, text, [this](std::string_view code) { return codes_.contains(code); }).has_value();
}

std::size_t max_encoded_size(const Field& field, std::string_view text) noexcept {
  const auto codes = field.type == FieldType::kMultiCode ? std::ranges::count(text, ';') + 1 : 0;
  return text.size() + (static_cast<std::size_t>(codes) + 1) * format::kMaxCborHead;
}

std::size_t encode_checked(const Field& field, std::string_view text, MutableBytes out) {
  SecretCbor cbor(out);
  switch (field.type) {
    case FieldType::kText:
    case FieldType::kCode:
    case FieldType::kDate:
      cbor.text(text);
      break;
    case FieldType::kMultiCode:
      cbor.head(SecretCbor::kArray, static_cast<std::size_t>(std::ranges::count(text, ';')) + 1);
      for_each_code(text, [&cbor](std::string_view code) { return cbor.text(code), true; });
      break;
    case FieldType::kInteger: {
      const std::int64_t value = canonical_integer(text).value_or(0);
      const auto bits = static_cast<std::uint64_t>(value);
      cbor.head(value < 0 ? SecretCbor::kNegative : SecretCbor::kUint, value < 0 ? ~bits : bits);
      break;
    }
    case FieldType::kBoolean:
      cbor.raw(std::array{text == "true" ? kCborTrue : kCborFalse});
      break;
    case FieldType::kBytes: {
      Bytes bytes = base::from_base64(text).value_or(Bytes{});
      cbor.head(SecretCbor::kBytes, bytes.size()).raw(bytes);
      crypto::wipe(bytes);
      break;
    }
  }
  return cbor.size();
}

Result<SecretBytes> encode_value(const Schema& schema, const Field& field, std::string_view text) {
  CASEVAULT_CHECK(check_value(schema, field, text));
  SecretBytes out(max_encoded_size(field, text));
  out.shrink(encode_checked(field, text, out.mutable_view()));
  return out;
}

Result<std::size_t> decode_value(const Field& field, ByteView encoded, MutableBytes out, std::size_t used) {
  const std::size_t begin = used;
  bool fits = used <= out.size();
  const auto put = [&](std::string_view text) {
    fits = fits && text.size() <= out.size() - used;
    if (!fits) return;
    std::ranges::copy(as_bytes(text), out.subspan(used).begin());
    used += text.size();
  };
  format::CborReader in(encoded);
  bool valid = true;
  switch (field.type) {
    case FieldType::kText:
    case FieldType::kCode:
      put(in.text());
      break;
    case FieldType::kDate: {
      const std::string_view date = in.text();
      valid = valid_date(date);
      put(date);
      break;
    }
    case FieldType::kMultiCode: {
      const std::size_t count = in.array();
      valid = count != 0;
      for (std::size_t i = 0; i < count && in.ok(); ++i) {
        const std::string_view code = in.text();
        valid = valid && !code.empty() && code.find(';') == std::string_view::npos;
        if (i != 0) put(";");
        put(code);
      }
      break;
    }
    case FieldType::kInteger: {
      std::array<char, 24> text{};
      const auto end = std::to_chars(text.data(), text.data() + text.size(), in.integer()).ptr;
      put({text.data(), end});
      break;
    }
    case FieldType::kBoolean:
      put(in.boolean() ? "true" : "false");
      break;
    case FieldType::kBytes: {
      std::string text = base::to_base64(in.bytes());
      put(text);
      crypto::wipe({reinterpret_cast<std::uint8_t*>(text.data()), text.size()});  // NOLINT
      break;
    }
  }
  const auto zero = [](std::uint8_t byte) { return byte == 0; };
  if (!in.ok() || !valid || !std::ranges::all_of(in.rest(), zero)) {
    crypto::wipe(out.subspan(std::min(begin, out.size()), used - begin));
    return damaged(field);
  }
  if (!fits) return Error{ErrorCode::kInternal, "field " + field.name + ": the buffer for its text is too small"};
  return used;
}

std::size_t max_text_size(std::size_t encoded) noexcept {
  constexpr std::size_t kShortest = 20;      // "-9223372036854775808" from 9 bytes, "false" from 1
  return (encoded / 3 + 1) * 4 + kShortest;  // base64 grows by a third; everything else is no longer than its encoding
}

std::uint16_t length_class(std::size_t size) noexcept {
  using detail::kBands;
  constexpr std::uint16_t kNoClass = 0xFFFF;
  if (size > detail::kLargestClassSize) return kNoClass;
  if (size == 0) return 0;
  auto band = kBands.begin();
  while (band + 1 != kBands.end() && size > (band + 1)->first_size - (band + 1)->step) ++band;
  return static_cast<std::uint16_t>(band->first_class + (size - (band->first_size - band->step) - 1) / band->step);
}

}  // namespace casevault::model
