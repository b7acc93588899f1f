// SPDX-License-Identifier: Apache-2.0
#include "analytics/release.hpp"

#include <algorithm>
#include <charconv>
#include <ranges>

#include "base/text.hpp"
#include "crypto/hash.hpp"
#include "format/labels.hpp"

namespace casevault::analytics {
namespace {

constexpr std::size_t kMaxBands = 256;

/// Year, month and day of YYYY, YYYY-MM or YYYY-MM-DD; what is not there is 0.
std::optional<std::array<int, 3>> parse_date(std::string_view text) {
  std::array<int, 3> out{};
  constexpr std::array<std::pair<std::size_t, std::size_t>, 3> kParts{{{0, 4}, {5, 2}, {8, 2}}};
  for (std::size_t i = 0; i < kParts.size(); ++i) {
    const auto [begin, size] = kParts[i];
    if (text.size() < begin + size) return i == 0 ? std::nullopt : std::optional(out);
    const char* const first = text.data() + begin;
    if (std::from_chars(first, first + size, out[i]).ptr != first + size) return std::nullopt;
  }
  return out;
}

/// Whole years between two dates, as far as they are known.
std::int64_t age_at(const std::array<int, 3>& born, const std::array<int, 3>& day) {
  const bool before = born[1] != 0 && (std::pair(day[1], day[2]) < std::pair(born[1], born[2]));
  return std::int64_t{day[0]} - born[0] - (before ? 1 : 0);
}

/// A number below `bound` (not 0), every one as likely.
std::uint32_t below(std::uint32_t bound, base::Random& random) {
  const std::uint32_t limit = UINT32_MAX - UINT32_MAX % bound;
  for (;;) {
    std::array<std::uint8_t, 4> bytes{};
    random.fill(bytes);
    const std::uint32_t drawn = std::uint32_t{bytes[0]} << 24U | std::uint32_t{bytes[1]} << 16U |
                                std::uint32_t{bytes[2]} << 8U | std::uint32_t{bytes[3]};
    if (drawn < limit) return drawn % bound;
  }
}

/// Rows in an order in which those that look alike lie together.
class Groups {
 public:
  Groups(const std::vector<CoarseColumn>& columns, std::size_t rows) : columns_(columns) {
    std::ranges::iota_view numbers(std::uint32_t{0}, static_cast<std::uint32_t>(rows));
    std::ranges::copy(numbers, order_.grow(rows).begin());
  }

  /// Calls `visit` with the rows of each group.
  template <typename Visit>
  void each(const Visit& visit) {
    const auto compare = [this](std::uint32_t a, std::uint32_t b) {
      for (const CoarseColumn& column : columns_) {
        if (!column.sensitive && column.codes[a] != column.codes[b]) return column.codes[a] < column.codes[b] ? -1 : 1;
      }
      return 0;
    };
    const std::span<std::uint32_t> order = order_.view();
    std::ranges::sort(order, [&](std::uint32_t a, std::uint32_t b) { return compare(a, b) < 0; });
    for (std::size_t begin = 0; begin < order.size();) {
      std::size_t end = begin + 1;
      while (end < order.size() && compare(order[begin], order[end]) == 0) ++end;
      visit(std::span<const std::uint32_t>(order.subspan(begin, end - begin)));
      begin = end;
    }
  }

  /// Fewest different values of a sensitive column among these rows; no limit without such a column.
  [[nodiscard]] std::size_t diversity(std::span<const std::uint32_t> rows) {
    std::size_t least = SIZE_MAX;
    for (const CoarseColumn& column : columns_) {
      if (!column.sensitive) continue;
      seen_.assign(column.values.size(), false);
      std::size_t different = 0;
      for (const std::uint32_t row : rows) {
        if (seen_[column.codes[row]] || column.values[column.codes[row]].empty()) continue;  // nothing is no value
        seen_[column.codes[row]] = true;
        ++different;
      }
      least = std::min(least, different);
    }
    return least;
  }

 private:
  const std::vector<CoarseColumn>& columns_;
  SecretArray<std::uint32_t> order_;
  std::vector<bool> seen_;
};

}  // namespace

Coarseness level_of(const ReleaseColumn& column, FieldType type) {
  if (column.coarseness) return *column.coarseness;
  if (!column.bands.empty()) return Coarseness::kBands;
  return type == FieldType::kDate ? Coarseness::kYear : Coarseness::kExact;
}

Result<Generaliser> Generaliser::make(const ReleaseColumn& column, FieldType type) {
  const auto bad = [&](std::string_view why) {
    return Error{ErrorCode::kBadInput, "column " + column.field + ": " + std::string(why)};
  };
  Generaliser out;
  out.level_ = level_of(column, type);
  out.type_ = type;
  if (type == FieldType::kText || type == FieldType::kBytes)
    return bad("free text cannot be made coarser; leave it out, or disclose it");
  if ((out.level_ == Coarseness::kMonth || out.level_ == Coarseness::kYear) && type != FieldType::kDate)
    return bad("months and years are made of dates");
  if (out.level_ != Coarseness::kBands) {
    if (!column.bands.empty()) return bad("either bands or a level, not both");
    return out;
  }
  if (type != FieldType::kInteger && type != FieldType::kDate)
    return bad("bands are made of numbers, or of dates of birth");
  if (column.bands.empty() || column.bands.size() > kMaxBands ||
      std::ranges::adjacent_find(column.bands, std::greater_equal<>()) != column.bands.end())
    return bad("bands are 1 to 256 numbers at which the next one begins, each greater than the one before");
  out.bands_ = column.bands;
  if (type != FieldType::kDate) return out;
  const auto reference = column.age_on.size() == 10 ? parse_date(column.age_on) : std::nullopt;
  if (!reference) return bad("ages need the day they are of, YYYY-MM-DD");
  out.reference_ = *reference;
  return out;
}

std::string Generaliser::apply(std::string_view value) const {
  if (level_ == Coarseness::kMonth) return std::string(value.substr(0, 7));
  if (level_ == Coarseness::kYear) return std::string(value.substr(0, 4));
  if (level_ != Coarseness::kBands || value.empty()) return std::string(value);
  std::int64_t number = 0;
  if (type_ == FieldType::kDate) {
    const auto born = parse_date(value);
    if (!born) return {};
    number = age_at(*born, reference_);
  } else if (std::from_chars(value.data(), value.data() + value.size(), number).ptr != value.data() + value.size()) {
    return {};
  }
  const auto next = std::ranges::upper_bound(bands_, number);
  if (next == bands_.begin()) return "<" + std::to_string(bands_.front());
  if (next == bands_.end()) return std::to_string(bands_.back()) + "+";
  const std::int64_t first = *(next - 1);
  const std::int64_t last = *next - 1;
  return first == last ? std::to_string(first) : std::to_string(first) + "-" + std::to_string(last);
}

Kept apply_rule(std::vector<CoarseColumn>& columns, std::size_t rows, const Rule& rule, base::Random& random) {
  Groups groups(columns, rows);
  const auto safe = [&](std::span<const std::uint32_t> group) {
    return group.size() >= rule.k && (rule.l <= 1 || groups.diversity(group) >= rule.l);
  };
  if (rule.star) {
    // The column with the most values tells rows apart best: it is starred first.
    std::vector<std::size_t> by_values;
    for (std::size_t i = 0; i < columns.size(); ++i) {
      if (!columns[i].sensitive) by_values.push_back(i);
    }
    std::ranges::stable_sort(by_values, std::greater<>(), [&](std::size_t i) { return columns[i].values.size(); });
    for (const std::size_t i : by_values) {
      SecretArray<std::uint32_t> small;
      groups.each([&](std::span<const std::uint32_t> group) {
        if (safe(group)) return;
        for (const std::uint32_t row : group) small.push_back(row);
      });
      for (const std::uint32_t row : small.view()) columns[i].codes[row] = kStarred;
    }
  }
  Kept kept;
  std::size_t least = SIZE_MAX;
  std::size_t diverse = SIZE_MAX;
  groups.each([&](std::span<const std::uint32_t> group) {
    if (!safe(group)) return;
    for (const std::uint32_t row : group) kept.rows.push_back(row);
    least = std::min(least, group.size());
    diverse = std::min(diverse, groups.diversity(group));
  });
  kept.k = kept.rows.empty() ? 0 : least;
  kept.l = diverse == SIZE_MAX ? 0 : diverse;
  const std::span<std::uint32_t> order = kept.rows.view();
  for (std::size_t i = order.size(); i > 1; --i)
    std::swap(order[i - 1], order[below(static_cast<std::uint32_t>(i), random)]);
  for (const CoarseColumn& column : columns) {
    kept.starred.push_back(static_cast<std::uint64_t>(
        std::ranges::count_if(order, [&](std::uint32_t row) { return column.codes[row] == kStarred; })));
  }
  return kept;
}

std::string pseudonym(const SecretBytes& release_key, const RecordId& id) {
  std::array<std::uint8_t, 32> out{};
  crypto::derive32(format::kReleasePseudonym, release_key.view(), id.bytes(), out);
  std::array<std::uint8_t, 16> name{};
  std::copy_n(out.begin(), name.size(), name.begin());
  return base::to_crockford(name);
}

}  // namespace casevault::analytics
