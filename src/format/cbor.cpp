// SPDX-License-Identifier: Apache-2.0
#include "format/cbor.hpp"

#include <limits>

#include "base/cursor.hpp"

namespace casevault::format {
namespace {

constexpr std::uint8_t kUnsigned = 0;
constexpr std::uint8_t kNegative = 1;
constexpr std::uint8_t kByteString = 2;
constexpr std::uint8_t kTextString = 3;
constexpr std::uint8_t kArray = 4;
constexpr std::uint8_t kMap = 5;
constexpr std::uint8_t kSimple = 7;
constexpr std::uint64_t kFalse = 20;
constexpr std::uint64_t kTrue = 21;
constexpr std::uint64_t kNull = 22;
constexpr unsigned kMaxDepth = 16;
constexpr std::uint64_t kInt64Max = std::numeric_limits<std::int64_t>::max();

struct Head {
  std::uint8_t major = 0;
  std::uint64_t value = 0;
};

/// One head of the subset, in its shortest form. Counts and lengths fit the input that is left.
Head take_head(base::Reader& in) noexcept {
  const std::uint8_t first = in.u8();
  Head head{static_cast<std::uint8_t>(first >> 5U), first & 0x1FU};
  // Most are small numbers and short texts.
  if (head.value < 24 && head.major <= kTextString && (head.major < kByteString || head.value <= in.rest().size()))
    return head;
  std::uint64_t minimum = 0;
  switch (first & 0x1FU) {
    case 24:
      head.value = in.u8();
      minimum = 24;
      break;
    case 25:
      head.value = in.u16();
      minimum = 0x100;
      break;
    case 26:
      head.value = in.u32();
      minimum = 0x1'0000;
      break;
    case 27:
      head.value = in.u64();
      minimum = 0x1'0000'0000;
      break;
    case 28:
    case 29:
    case 30:
    case 31:
      in.fail();
      break;
    default:
      break;
  }
  if (head.value < minimum) in.fail();
  const std::uint64_t left = in.rest().size();
  switch (head.major) {
    case kUnsigned:
      break;
    case kNegative:
      if (head.value > kInt64Max) in.fail();
      break;
    case kByteString:
    case kTextString:
    case kArray:
      if (head.value > left) in.fail();
      break;
    case kMap:
      if (head.value > left / 2) in.fail();
      break;
    case kSimple:
      if (head.value != kFalse && head.value != kTrue && head.value != kNull) in.fail();
      break;
    default:
      in.fail();
  }
  return in.ok() ? head : Head{};
}

void walk(base::Reader& in, unsigned depth) noexcept {
  const Head head = take_head(in);
  if (!in.ok()) return;
  if (head.major == kByteString) {
    (void)in.take(static_cast<std::size_t>(head.value));
  } else if (head.major == kTextString) {
    if (!base::valid_utf8(as_text(in.take(static_cast<std::size_t>(head.value))))) in.fail();
  } else if (head.major == kArray || head.major == kMap) {
    if (depth == kMaxDepth) return in.fail();
    std::uint64_t previous = 0;
    for (std::uint64_t i = 0; i < head.value && in.ok(); ++i) {
      if (head.major == kMap) {
        const Head key = take_head(in);
        if (key.major != kUnsigned || (i != 0 && key.value <= previous)) return in.fail();
        previous = key.value;
      }
      walk(in, depth + 1);
    }
  }
}

/// Size of the value at the front when it is a small number, a short ASCII text or a simple value, as most are that
/// stand in maps. 0: it is another or none, which walk() tells apart.
std::size_t small_value(ByteView in) noexcept {
  if (in.empty()) return 0;
  const std::size_t first = in.front();
  const std::size_t length = first & 0x1FU;
  switch (first >> 5U) {
    case kUnsigned:
      if (length == 24) return in.size() > 1 && in[1] >= 24 ? 2 : 0;
      [[fallthrough]];
    case kNegative:
      return length < 24 ? 1 : 0;
    case kTextString:
      return length < 24 && length < in.size() && base::is_ascii(as_text(in.subspan(1, length))) ? 1 + length : 0;
    case kSimple:
      return length >= kFalse && length <= kNull ? 1 : 0;
    default:
      return 0;
  }
}

/// Size of the key at the front when it is below 256; 0 as for small_value().
std::size_t small_key(ByteView in, std::uint64_t& key) noexcept {
  if (in.size() < 2 || in.front() > 24) return 0;
  const bool two = in.front() == 24;
  key = in[two ? 1 : 0];
  if (two && key < 24) return 0;
  return two ? 2 : 1;
}

}  // namespace

std::size_t write_cbor_head(std::span<std::uint8_t, kMaxCborHead> out, std::uint8_t major, std::uint64_t v) noexcept {
  const auto first = static_cast<std::uint8_t>(major << 5U);
  if (v < 24) {
    out[0] = static_cast<std::uint8_t>(first | v);
    return 1;
  }
  const unsigned log = v <= 0xFF ? 0 : v <= 0xFFFF ? 1 : v <= 0xFFFF'FFFF ? 2 : 3;  // of the number's bytes
  const std::size_t size = std::size_t{1} << log;
  out[0] = static_cast<std::uint8_t>(first | (24 + log));
  for (std::size_t i = size; i > 0; --i, v >>= 8U) out[i] = static_cast<std::uint8_t>(v);
  return 1 + size;
}

CborWriter& CborWriter::head(std::uint8_t major, std::uint64_t v) {
  std::array<std::uint8_t, kMaxCborHead> head{};
  const std::size_t size = write_cbor_head(head, major, v);
  out_.insert(out_.end(), head.begin(), head.begin() + static_cast<std::ptrdiff_t>(size));
  return *this;
}

CborWriter& CborWriter::integer(std::int64_t v) {
  const auto bits = static_cast<std::uint64_t>(v);
  return v < 0 ? head(kNegative, ~bits) : head(kUnsigned, bits);
}

CborWriter& CborWriter::bytes(ByteView v) {
  head(kByteString, v.size());
  out_.insert(out_.end(), v.begin(), v.end());
  return *this;
}

CborWriter& CborWriter::text(std::string_view v) {
  head(kTextString, v.size());
  const ByteView raw = as_bytes(v);
  out_.insert(out_.end(), raw.begin(), raw.end());
  return *this;
}

CborWriter& CborWriter::boolean(bool v) { return head(kSimple, v ? kTrue : kFalse); }

CborWriter& CborWriter::null() { return head(kSimple, kNull); }

CborReader::Kind CborReader::peek() const noexcept {
  if (rest_.empty()) return Kind::kEnd;
  const std::uint8_t first = rest_.front();
  switch (first >> 5U) {
    case kUnsigned:
      return Kind::kUint;
    case kNegative:
      return Kind::kNegative;
    case kByteString:
      return Kind::kBytes;
    case kTextString:
      return Kind::kText;
    case kArray:
      return Kind::kArray;
    case kMap:
      return Kind::kMap;
    case kSimple: {
      const std::uint64_t value = first & 0x1FU;
      if (value == kFalse || value == kTrue) return Kind::kBool;
      return value == kNull ? Kind::kNull : Kind::kEnd;
    }
    default:
      return Kind::kEnd;
  }
}

std::uint64_t CborReader::single_head(std::uint8_t major) noexcept {
  base::Reader in(rest_);
  const Head found = take_head(in);
  if (!in.ok() || found.major != major) return fail(), 0;
  rest_ = in.rest();
  return found.value;
}

CborReader::Entry CborReader::entry() noexcept {
  Entry out;
  if (const std::size_t key = small_key(rest_, out.key); key != 0 && out.key >= least_key_) {
    if (const std::size_t value = small_value(rest_.subspan(key)); value != 0) {
      least_key_ = out.key + 1;
      out.value = rest_.subspan(key, value);
      rest_ = rest_.subspan(key + value);
      return out;
    }
  }
  out.key = single_head(kUnsigned);
  if (out.key < least_key_ || out.key == std::numeric_limits<std::uint64_t>::max()) return fail(), Entry{};
  least_key_ = out.key + 1;
  base::Reader in(rest_);
  walk(in, 1);
  if (!ok_ || !in.ok()) return fail(), Entry{};
  out.value = rest_.first(rest_.size() - in.rest().size());
  rest_ = in.rest();
  return out;
}

std::uint64_t CborReader::head(std::uint8_t major) noexcept {
  base::Reader in(rest_);
  const Head found = take_head(in);
  if (!in.ok() || found.major != major) return fail(), 0;
  // Order of keys and depth belong to whole containers: the outermost one is walked once, before anyone reads it.
  if ((major == kArray || major == kMap) && rest_.data() >= checked_) {
    base::Reader whole(rest_);
    walk(whole, 0);
    if (!whole.ok()) return fail(), 0;
    checked_ = rest_.data() + (rest_.size() - whole.rest().size());
  }
  rest_ = in.rest();
  return found.value;
}

std::uint64_t CborReader::uint() noexcept { return head(kUnsigned); }

std::int64_t CborReader::integer() noexcept {
  if (peek() == Kind::kNegative) return static_cast<std::int64_t>(~head(kNegative));
  const std::uint64_t v = head(kUnsigned);
  if (v > kInt64Max) return fail(), 0;
  return static_cast<std::int64_t>(v);
}

ByteView CborReader::bytes() noexcept {
  const auto size = static_cast<std::size_t>(head(kByteString));
  const ByteView v = rest_.first(size);
  rest_ = rest_.subspan(size);
  return v;
}

std::string_view CborReader::long_text() noexcept {
  const auto size = static_cast<std::size_t>(head(kTextString));
  const std::string_view v = as_text(rest_.first(size));
  if (!base::valid_utf8(v)) return fail(), std::string_view{};
  rest_ = rest_.subspan(size);
  return v;
}

std::size_t CborReader::array() noexcept { return static_cast<std::size_t>(head(kArray)); }

std::size_t CborReader::map() noexcept { return static_cast<std::size_t>(head(kMap)); }

bool CborReader::boolean() noexcept {
  const std::uint64_t v = head(kSimple);
  if (v != kFalse && v != kTrue) return fail(), false;
  return v == kTrue;
}

void CborReader::null() noexcept {
  if (head(kSimple) != kNull) fail();
}

void CborReader::skip() noexcept {
  base::Reader in(rest_);
  walk(in, 0);
  if (!ok_ || !in.ok()) return fail();
  rest_ = in.rest();
}

}  // namespace casevault::format
