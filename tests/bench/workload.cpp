// SPDX-License-Identifier: Apache-2.0
#include "bench/workload.hpp"

#include <algorithm>
#include <bit>
#include <fstream>
#include <iterator>
#include <numeric>
#include <stdexcept>

namespace casevault::bench {
namespace {

/// splitmix64: the distributions of the standard library differ between implementations.
class Draw {
 public:
  explicit Draw(std::uint64_t seed) : state_(seed) {}
  std::uint64_t next() {
    state_ += 0x9E3779B97F4A7C15U;
    std::uint64_t z = state_;
    z = (z ^ (z >> 30U)) * 0xBF58476D1CE4E5B9U;
    z = (z ^ (z >> 27U)) * 0x94D049BB133111EBU;
    return z ^ (z >> 31U);
  }
  std::uint64_t below(std::uint64_t bound) { return next() % bound; }

 private:
  std::uint64_t state_;
};

constexpr std::array<std::string_view, 16> kSyllables = {"Nguyễn", "Thị",   "Ánh",  "Trần", "Hồng", "Đức",
                                                         "Lê",     "Minh",  "Phạm", "Văn",  "Bảo",  "Vũ",
                                                         "Thanh",  "Hoàng", "Quốc", "An"};

/// 20 to 80 bytes of words.
void add_words(Draw& draw, std::string& out) {
  const std::size_t end = out.size() + 20 + draw.below(61);
  for (;;) {
    const std::string_view word = kSyllables[draw.below(kSyllables.size())];
    if (out.size() + word.size() + 1 > end) break;
    out += word;
    out += ' ';
  }
  out.append(end - out.size(), 'a');
}

void add_date(Draw& draw, std::string& out) {
  const auto two = [](std::uint64_t number) {
    return std::string{static_cast<char>('0' + number / 10), static_cast<char>('0' + number % 10)};
  };
  out += "20" + two(10 + draw.below(15)) + "-" + two(1 + draw.below(12)) + "-" + two(1 + draw.below(28));
}

void add_value(Draw& draw, const Schema& schema, const Field& field, std::string& out) {
  const auto code = [&]() -> const std::string& {
    const std::vector<std::string>& codes = schema.find_list(field.list)->codes;
    return codes[draw.below(codes.size())];
  };
  switch (field.type) {
    case FieldType::kText:
      return add_words(draw, out);
    case FieldType::kDate:
      return add_date(draw, out);
    case FieldType::kCode:
      out += code();
      return;
    case FieldType::kMultiCode: {
      const std::string& first = code();
      const std::string& second = code();
      out += first;
      if (second != first) out += ";" + second;
      return;
    }
    case FieldType::kInteger:
      out += std::to_string(1 + draw.below(70));
      return;
    case FieldType::kBoolean:
      out += draw.below(2) == 0 ? "false" : "true";
      return;
    case FieldType::kBytes:
      break;
  }
  throw std::logic_error("no values are made for field " + field.name);
}

Schema load_schema(bool index) {
  std::ifstream file(CASEVAULT_BENCH_SCHEMA);
  std::string text(std::istreambuf_iterator<char>(file), {});
  constexpr std::string_view kIndex = ", index = \"name\"";
  if (!index) text.erase(text.find(kIndex), kIndex.size());
  return Schema::parse(text).value();
}

}  // namespace

Workload::Workload(std::size_t records)
    : schema_(load_schema(true)), plain_schema_(load_schema(false)), size_(records) {
  if (type().fields.size() != kFields) throw std::logic_error("the schema of the workload has not 24 fields");
  text_.reserve(records * 640);
  ends_.reserve(records * kFields + 1);
  ends_.push_back(0);
  Draw draw(42);
  for (std::size_t row = 0; row < records; ++row) {
    for (const Field& field : type().fields) {
      add_value(draw, schema_, field, text_);
      ends_.push_back(text_.size());
    }
  }
}

std::array<std::uint8_t, kIdBytes> Workload::random_id(std::size_t row) noexcept {
  Draw draw(row);
  const std::array<std::uint64_t, 2> words = {draw.next(), draw.next()};
  return std::bit_cast<std::array<std::uint8_t, kIdBytes>>(words);
}

std::vector<std::uint32_t> Workload::sample(std::size_t count) const {
  std::vector<std::uint32_t> rows(size_);
  std::iota(rows.begin(), rows.end(), 0U);
  Draw draw(7);
  count = std::min(count, size_);
  for (std::size_t i = 0; i < count; ++i) std::swap(rows[i], rows[i + draw.below(size_ - i)]);
  rows.resize(count);
  return rows;
}

}  // namespace casevault::bench
