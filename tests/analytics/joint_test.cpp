// SPDX-License-Identifier: Apache-2.0
#include <numeric>
#include <random>

#include "analytics/joint.hpp"
#include "catch.hpp"

namespace casevault::analytics {
namespace {

base::Random& chance() { return *base::system_environment().random; }

/// Draws nothing.
class Zeros final : public base::Random {
 public:
  void fill(MutableBytes out) override { std::ranges::fill(out, std::uint8_t{0}); }
};

Sum range(std::uint32_t from, std::uint32_t to) {
  Sum out(to - from);
  std::iota(out.begin(), out.end(), from);
  return out;
}

TEST_CASE("a sum follows from what is known exactly when it can be made of it by adding and subtracting") {
  const std::size_t records = GENERATE(std::size_t{310}, std::size_t{100'000});  // as they are, and folded
  JointSystem system(records, 16, chance());
  REQUIRE(system.know(range(0, 100)));
  REQUIRE(system.know(range(0, 40)));
  CHECK(system.gives(range(40, 100)));
  CHECK_FALSE(system.gives(range(0, 20)));
  system.mark();
  REQUIRE(system.know(range(60, 100)));
  REQUIRE(system.know(range(300, 310)));
  CHECK(system.newly(range(40, 60)));
  CHECK_FALSE(system.newly(range(40, 100)));  // without what is new
  CHECK_FALSE(system.newly(range(40, 50)));
  CHECK(system.gives(Sum{}));
}

TEST_CASE("mentions count as often as they are made, and numbers that follow from others need no room") {
  JointSystem system(10, 4, chance());
  Sum twice = range(0, 10);
  twice.insert(twice.end(), {3, 3});
  REQUIRE(system.know(twice));
  CHECK_FALSE(system.gives(range(0, 10)));
  REQUIRE(system.know(range(3, 4)));
  CHECK(system.gives(range(0, 10)));
  for (int i = 0; i < 10'000; ++i) REQUIRE(system.know(range(0, 10)));
}

TEST_CASE("of random tables, what the system gives is what elimination over fractions gives") {
  std::mt19937 random(7);
  for (int round = 0; round < 50; ++round) {
    // 12 records, 0/1 sums: small enough to be judged by hand.
    std::vector<std::vector<double>> rows;
    JointSystem system(12, 12, chance());
    const auto sum_of = [](unsigned bits) {
      Sum out;
      for (std::uint32_t i = 0; i < 12; ++i) {
        if ((bits >> i & 1U) != 0) out.push_back(i);
      }
      return out;
    };
    const auto reduced = [&](unsigned bits) {
      std::vector<double> values(12);
      for (std::size_t i = 0; i < 12; ++i) values[i] = (bits >> i & 1U) != 0 ? 1 : 0;
      for (const std::vector<double>& row : rows) {
        const auto pivot =
            static_cast<std::size_t>(std::ranges::find_if(row, [](double value) { return value != 0; }) - row.begin());
        const double times = values[pivot];
        for (std::size_t i = 0; i < 12; ++i) {
          values[i] -= times * row[i];
          if (std::abs(values[i]) < 1e-9) values[i] = 0;
        }
      }
      return values;
    };
    for (int i = 0; i < 6; ++i) {
      const unsigned bits = random() % 4096;
      REQUIRE(system.know(sum_of(bits)));
      std::vector<double> left = reduced(bits);
      const auto pivot = std::ranges::find_if(left, [](double value) { return value != 0; });
      if (pivot == left.end()) continue;
      const double scale = *pivot;
      for (double& value : left) value /= scale;
      rows.push_back(left);
    }
    for (unsigned bits = 0; bits < 4096; ++bits) {
      const std::vector<double> left = reduced(bits);
      const bool follows = std::ranges::all_of(left, [](double value) { return value == 0; });
      REQUIRE(system.gives(sum_of(bits)) == follows);
    }
  }
}

TEST_CASE("what is drawn for a system decides what looks known in it, so that nobody can choose records by it") {
  const std::size_t records = GENERATE(std::size_t{60}, std::size_t{100'000});
  Zeros zeros;
  CHECK(JointSystem(records, 16, zeros).gives(range(0, 3)));
  for (std::uint32_t i = 0; i < 50; ++i) CHECK_FALSE(JointSystem(records, 16, chance()).gives(range(i, i + 3)));
}

TEST_CASE("bound: a system that is full says so, and never that nothing follows") {
  JointSystem system(kMaxJointRank * 4, kMaxJointRank * 4, chance());
  std::uint32_t i = 0;
  while (system.know(range(i, i + 1))) REQUIRE(++i <= kMaxJointRank);
  CHECK(i == kMaxJointRank);
}

}  // namespace
}  // namespace casevault::analytics
