// SPDX-License-Identifier: Apache-2.0
#include "analytics/tabulate.hpp"

#include <algorithm>
#include <limits>
#include <map>
#include <numeric>

namespace casevault::analytics {
namespace {

constexpr std::uint64_t kUnbounded = std::numeric_limits<std::uint64_t>::max();

std::uint64_t plus(std::uint64_t a, std::uint64_t b) { return a > kUnbounded - b ? kUnbounded : a + b; }

/// The hidden numbers of a table as a network. Nodes: rows, the row of totals, columns, the column of totals.
class Network {
 public:
  /// `weights`: what hiding each number costs.
  Network(const Counts& counts, const std::vector<bool>& hidden, std::span<const Mark> earlier,
          const std::vector<std::uint64_t>& weights)
      : counts_(counts),
        hidden_(hidden),
        earlier_(earlier),
        weights_(weights),
        flow_(counts.values.size(), 0),
        hidden_at_(nodes()) {
    for (std::size_t at = 0; at < hidden.size(); ++at) {
      if (!hidden[at]) continue;
      hidden_at_[at / (counts.columns + 1)].push_back(at);
      hidden_at_[column_node(at % (counts.columns + 1))].push_back(at);
    }
  }

  /// The least that a reader takes a hidden number to be.
  [[nodiscard]] std::uint64_t least(std::size_t row, std::size_t column) const {
    if (row == counts_.rows || column == counts_.columns) return 1;
    return hidden_[counts_.at(row, counts_.columns)] || hidden_[counts_.at(counts_.rows, column)] ? 0 : 1;
  }

  /// Up to `want` units more that the number could be, given all that is shown.
  std::uint64_t up(std::size_t row, std::size_t column, std::uint64_t want) {
    const Edge edge = edge_of(row, column);
    return push(edge.to, edge.from, counts_.at(row, column), want);
  }
  /// The same for units less.
  std::uint64_t down(std::size_t row, std::size_t column, std::uint64_t want) {
    const Edge edge = edge_of(row, column);
    const std::uint64_t value = counts_.values[counts_.at(row, column)];
    const std::uint64_t floor = std::min(value, least(row, column));
    return push(edge.from, edge.to, counts_.at(row, column), std::min(want, value - floor));
  }

  /// Numbers whose hiding would let this one be `want` greater than up() reached, least information lost; empty when
  /// there are none. Goes on from the flow that up() left.
  [[nodiscard]] std::vector<std::size_t> cheapest(std::size_t row, std::size_t column, std::uint64_t want) {
    const Edge edge = edge_of(row, column);
    for (std::uint64_t need = want;; need /= 2) {
      if (search(edge.to, edge.from, counts_.at(row, column), need)) {
        std::vector<std::size_t> out;
        for (std::size_t node = edge.from; node != edge.to; node = from_[node]) {
          if (!hidden_[via_[node]]) out.push_back(via_[node]);
        }
        return out;
      }
      if (need == 1) return {};
    }
  }

 private:
  struct Edge {
    std::size_t from, to;
  };
  [[nodiscard]] std::size_t nodes() const { return counts_.rows + counts_.columns + 2; }
  [[nodiscard]] std::size_t column_node(std::size_t column) const { return counts_.rows + 1 + column; }
  /// total of all: column of totals -> row -> column -> row of totals -> column of totals
  [[nodiscard]] Edge edge_of(std::size_t row, std::size_t column) const {
    const bool back = (row == counts_.rows) != (column == counts_.columns);
    return back ? Edge{column_node(column), row} : Edge{row, column_node(column)};
  }

  /// What a step over this number may carry, along its edge or against it.
  [[nodiscard]] std::uint64_t room(std::size_t row, std::size_t column, bool along) const {
    const std::size_t at = counts_.at(row, column);
    if (along) return kUnbounded;
    const auto now = static_cast<std::int64_t>(counts_.values[at]) + flow_[at];
    const auto floor = static_cast<std::int64_t>(std::min(counts_.values[at], least(row, column)));
    return static_cast<std::uint64_t>(std::max<std::int64_t>(0, now - floor));
  }

  /// Zeros, and what readers know, cannot be hidden; of the rest the next smallest go first.
  [[nodiscard]] std::optional<std::uint64_t> cost(std::size_t at) const {
    if (hidden_[at]) return 0;
    if (counts_.values[at] == 0 || (!earlier_.empty() && earlier_[at] == Mark::kKnown)) return std::nullopt;
    return weights_[at];
  }

  /// A way between two nodes over hidden numbers that does not use `without` and carries something.
  bool reach(std::size_t from, std::size_t to, std::size_t without) {
    from_.assign(nodes(), 0);
    via_.assign(nodes(), 0);
    done_.assign(nodes(), false);
    done_[from] = true;
    queue_.assign(1, from);
    for (std::size_t next = 0; next < queue_.size(); ++next) {
      const std::size_t node = queue_[next];
      for (const std::size_t at : hidden_at_[node]) {
        const std::size_t row = at / (counts_.columns + 1);
        const std::size_t column = at % (counts_.columns + 1);
        const std::size_t other = node <= counts_.rows ? column_node(column) : row;
        if (at == without || done_[other] || room(row, column, edge_of(row, column).from == node) == 0) continue;
        done_[other] = true;
        from_[other] = node;
        via_[other] = at;
        if (other == to) return true;
        queue_.push_back(other);
      }
    }
    return false;
  }

  /// The cheapest way between two nodes that does not use `without` and carries `need`, over hidden numbers or not.
  bool search(std::size_t from, std::size_t to, std::size_t without, std::uint64_t need) {
    distance_.assign(nodes(), kUnbounded);
    from_.assign(nodes(), 0);
    via_.assign(nodes(), 0);
    done_.assign(nodes(), false);
    distance_[from] = 0;
    for (;;) {
      std::size_t node = nodes();
      for (std::size_t i = 0; i < nodes(); ++i) {
        if (!done_[i] && distance_[i] != kUnbounded && (node == nodes() || distance_[i] < distance_[node])) node = i;
      }
      if (node == nodes()) return false;
      if (node == to) return true;
      done_[node] = true;
      const bool is_row = node <= counts_.rows;
      const std::size_t others = is_row ? counts_.columns + 1 : counts_.rows + 1;
      for (std::size_t other = 0; other < others; ++other) {
        const std::size_t row = is_row ? node : other;
        const std::size_t column = is_row ? other : node - counts_.rows - 1;
        const std::size_t at = counts_.at(row, column);
        if (at == without) continue;
        const std::optional<std::uint64_t> price = cost(at);
        if (!price || room(row, column, edge_of(row, column).from == node) < need) continue;
        const std::size_t next = is_row ? column_node(column) : row;
        const std::uint64_t distance = plus(distance_[node], *price);
        if (distance >= distance_[next]) continue;
        distance_[next] = distance;
        from_[next] = node;
        via_[next] = at;
      }
    }
  }

  std::uint64_t push(std::size_t from, std::size_t to, std::size_t without, std::uint64_t want) {
    std::ranges::fill(flow_, 0);
    std::uint64_t moved = 0;
    while (moved < want && reach(from, to, without)) {
      std::uint64_t step = want - moved;
      const auto walk = [&](const auto& visit) {
        for (std::size_t node = to; node != from; node = from_[node]) {
          const std::size_t row = via_[node] / (counts_.columns + 1);
          const std::size_t column = via_[node] % (counts_.columns + 1);
          visit(row, column, edge_of(row, column).to == node);
        }
      };
      walk([&](std::size_t row, std::size_t column, bool along) { step = std::min(step, room(row, column, along)); });
      walk([&](std::size_t row, std::size_t column, bool along) {
        const auto units = static_cast<std::int64_t>(step);
        flow_[counts_.at(row, column)] += along ? units : -units;
      });
      moved += step;
    }
    return moved;
  }

  const Counts& counts_;
  const std::vector<bool>& hidden_;
  std::span<const Mark> earlier_;
  const std::vector<std::uint64_t>& weights_;
  std::vector<std::int64_t> flow_;
  std::vector<std::uint64_t> distance_;
  std::vector<std::size_t> from_;
  std::vector<std::size_t> via_;
  std::vector<bool> done_;
  std::vector<std::vector<std::size_t>> hidden_at_;  ///< hidden numbers of each node
  std::vector<std::size_t> queue_;
};

bool small(const Counts& counts, std::size_t at, std::uint64_t min_cell) {
  return (counts.values[at] > 0 && counts.values[at] < min_cell) ||
         (counts.records[at] > 0 && counts.records[at] < min_cell);
}

/// How much greater a hidden number must possibly be than it is; 0 when it needs no protection.
std::uint64_t needed(const Counts& counts, std::size_t row, std::size_t column, std::uint64_t min_cell, bool partner,
                     Network& network) {
  const std::size_t at = counts.at(row, column);
  const std::uint64_t value = counts.values[at];
  if (value == 0 && !partner) {
    const bool nobody =
        counts.values[counts.at(row, counts.columns)] == 0 || counts.values[counts.at(counts.rows, column)] == 0;
    return nobody ? 0 : 1;
  }
  if (!small(counts, at, min_cell) && !partner) return 0;
  const std::uint64_t low = value - network.down(row, column, value);
  return std::max(std::max(value, min_cell) - value, low + (min_cell - 2) - std::min(value, low + (min_cell - 2)));
}

/// Lines of few records that all fall into one category. Which zeros are hidden beside that cell must not tell it, so
/// categories are partners by their order among those that anybody is in, two and two, three at an odd end: what is
/// hidden is the same whichever of them is filled. Nor must what is hidden elsewhere to protect them depend on what
/// readers cannot see: cells of partners are protected alike, cost alike, and are hidden together in every line.
class Partners {
 public:
  Partners(const Counts& counts, std::uint64_t min_cell, std::span<const Mark> earlier)
      : beside_(counts.values.size(), false), weights_(counts.values), group_of_(counts.values.size(), 0) {
    const auto known = [&](std::size_t at) { return !earlier.empty() && earlier[at] == Mark::kKnown; };
    std::vector<std::size_t> rows(counts.rows);  // of each category the first of its partners
    std::vector<std::size_t> columns(counts.columns);
    std::iota(rows.begin(), rows.end(), std::size_t{0});
    std::iota(columns.begin(), columns.end(), std::size_t{0});
    const auto pair_up = [&](std::vector<std::size_t>& line, const auto& cell, const auto& total) {
      std::vector<std::size_t> open;
      std::size_t filled = 0;
      std::size_t place = 0;
      for (std::size_t i = 0; i < line.size(); ++i) {
        if (counts.values[cell(i)] != 0) {
          ++filled;
          place = open.size();
        }
        // That nobody is in a category, and what earlier tables show, every reader knows.
        if (counts.values[total(i)] != 0 && !known(cell(i))) open.push_back(i);
      }
      if (filled != 1 || open.size() < 2) return;
      const std::size_t begin = std::min(place - place % 2, open.size() - open.size() % 2 - 2);
      const std::size_t end = begin + 3 == open.size() ? begin + 3 : begin + 2;
      for (std::size_t i = begin; i < end; ++i) {
        beside_[cell(open[i])] = true;
        line[open[i]] = std::min(line[open[i]], line[open[begin]]);
      }
    };
    for (std::size_t row = 0; row < counts.rows; ++row) {
      if (!small(counts, counts.at(row, counts.columns), min_cell)) continue;
      pair_up(
          columns, [&](std::size_t column) { return counts.at(row, column); },
          [&](std::size_t column) { return counts.at(counts.rows, column); });
    }
    for (std::size_t column = 0; column < counts.columns; ++column) {
      if (!small(counts, counts.at(counts.rows, column), min_cell)) continue;
      pair_up(
          rows, [&](std::size_t row) { return counts.at(row, column); },
          [&](std::size_t row) { return counts.at(row, counts.columns); });
    }
    std::map<std::pair<std::size_t, std::size_t>, std::vector<std::size_t>> groups;
    for (std::size_t row = 0; row < counts.rows; ++row) {
      for (std::size_t column = 0; column < counts.columns; ++column)
        groups[{rows[row], columns[column]}].push_back(counts.at(row, column));
    }
    for (auto& [unused, group] : groups) {
      if (group.size() == 1) continue;
      std::uint64_t sum = 0;
      for (const std::size_t at : group) sum += counts.values[at];
      for (const std::size_t at : group) {
        weights_[at] = std::max<std::uint64_t>(1, sum / group.size());
        group_of_[at] = groups_.size();
      }
      std::erase_if(group, [&](std::size_t at) { return counts.values[at] == 0 || known(at); });
      groups_.push_back(std::move(group));
    }
  }

  /// Whether it is the cell of such few, or one beside it.
  [[nodiscard]] bool has(std::size_t at) const { return beside_[at]; }
  /// What hiding each number costs.
  [[nodiscard]] const std::vector<std::uint64_t>& weights() const { return weights_; }
  /// What is hidden when this number is, without it.
  [[nodiscard]] const std::vector<std::size_t>& of(std::size_t at) const { return groups_[group_of_[at]]; }

 private:
  std::vector<bool> beside_;
  std::vector<std::uint64_t> weights_;
  std::vector<std::size_t> group_of_;
  std::vector<std::vector<std::size_t>> groups_{{}};  ///< the first: nothing
};

}  // namespace

Result<Counts> count(const CodedColumn& rows, const CodedColumn& columns) {
  Counts out;
  out.rows = rows.categories.size();
  out.columns = columns.categories.size();
  if (out.rows > kMaxTableCells || out.columns > kMaxTableCells ||
      (out.rows + 1) * (out.columns + 1) > kMaxTableCells) {
    return Error{ErrorCode::kBadInput, "a table of " + std::to_string(out.rows) + " rows and " +
                                           std::to_string(out.columns) +
                                           " columns is too large; filter it or take fields with fewer codes"};
  }
  out.values.assign((out.rows + 1) * (out.columns + 1), 0);
  out.records = out.values;
  std::vector<std::size_t> own;
  for (std::size_t i = 0; i < rows.ends.size(); ++i) {
    const auto of = [i](const CodedColumn& column) {
      const std::size_t begin = i == 0 ? 0 : column.ends[i - 1];
      return std::span(column.codes).subspan(begin, column.ends[i] - begin);
    };
    own.clear();
    for (const std::uint32_t row : of(rows)) {
      for (const std::uint32_t column : of(columns)) {
        for (const std::size_t at :
             {out.at(row, column), out.at(row, out.columns), out.at(out.rows, column), out.at(out.rows, out.columns)}) {
          ++out.values[at];
          own.push_back(at);
        }
      }
    }
    std::ranges::sort(own);
    own.erase(std::unique(own.begin(), own.end()), own.end());
    for (const std::size_t at : own) ++out.records[at];
  }
  return out;
}

std::optional<std::size_t> given_away(const Counts& counts, std::uint64_t min_cell, const std::vector<bool>& hidden) {
  for (std::size_t at = 0; at < counts.values.size(); ++at) {
    if (!hidden[at]) {
      if (small(counts, at, min_cell)) return at;
      continue;
    }
    Network network(counts, hidden, {}, counts.values);
    const std::size_t row = at / (counts.columns + 1);
    const std::size_t column = at % (counts.columns + 1);
    const std::uint64_t need = needed(counts, row, column, min_cell, false, network);
    if (need > 0 && network.up(row, column, need) < need) return at;
  }
  return std::nullopt;
}

Result<std::vector<bool>> suppress(const Counts& counts, std::uint64_t min_cell, std::span<const Mark> earlier) {
  if (min_cell < 2) return Error{ErrorCode::kUsage, "the minimum cell is at least 2"};
  std::vector<bool> hidden(counts.values.size(), false);
  const Error unsafe{ErrorCode::kRefused, "refused: earlier tables show what this one would have to hide"};
  for (std::size_t at = 0; at < hidden.size(); ++at) {
    hidden[at] = small(counts, at, min_cell);
    if (earlier.empty()) continue;
    if (hidden[at] && earlier[at] == Mark::kKnown) return unsafe;
    hidden[at] = hidden[at] || earlier[at] == Mark::kHidden;
  }
  const Partners partners(counts, min_cell, earlier);
  for (std::size_t at = 0; at < hidden.size(); ++at) hidden[at] = hidden[at] || partners.has(at);
  // Hiding more only makes what is possible wider, but the range of one number needs hidden ones whose own floor may
  // move: a pass that hid more is followed by another.
  for (bool changed = true; changed;) {
    changed = false;
    for (std::size_t at = 0; at < hidden.size(); ++at) {
      if (!hidden[at]) continue;
      const std::size_t row = at / (counts.columns + 1);
      const std::size_t column = at % (counts.columns + 1);
      for (;;) {
        Network network(counts, hidden, earlier, partners.weights());
        const std::uint64_t need = needed(counts, row, column, min_cell, partners.has(at), network);
        if (need == 0) break;
        const std::uint64_t reached = network.up(row, column, need);
        if (reached == need) break;
        const std::uint64_t want = partners.has(at) ? min_cell : need - reached;
        const std::vector<std::size_t> more = network.cheapest(row, column, want);
        if (more.empty()) return unsafe;
        for (const std::size_t each : more) {
          hidden[each] = true;
          for (const std::size_t mate : partners.of(each)) hidden[mate] = true;
        }
        changed = true;
      }
    }
  }
  return hidden;
}

std::vector<std::uint64_t> round_to(const Counts& counts, std::uint64_t base) {
  std::vector<std::uint64_t> out(counts.values.size(), 0);
  for (std::size_t row = 0; row < counts.rows; ++row) {
    for (std::size_t column = 0; column < counts.columns; ++column) {
      const std::uint64_t value = (counts.values[counts.at(row, column)] + base / 2) / base * base;
      out[counts.at(row, column)] = value;
      out[counts.at(row, counts.columns)] += value;
      out[counts.at(counts.rows, column)] += value;
      out[counts.at(counts.rows, counts.columns)] += value;
    }
  }
  return out;
}

}  // namespace casevault::analytics
