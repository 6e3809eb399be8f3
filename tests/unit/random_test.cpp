#include "data/random.h"

#include <gtest/gtest.h>

#include <cmath>
#include <set>
#include <vector>

#include "data/error.h"

namespace lacuna {
namespace {

using Words = std::array<uint32_t, 4>;

// The known-answer vectors that the Random123 distribution publishes for philox4x32 with 10 rounds.
TEST(Random, MatchesTheKnownAnswers) {
  EXPECT_EQ(Random(0, 0).block(0), (Words{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  EXPECT_EQ(Random(~0ull, ~0ull).block(~0ull), (Words{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
  EXPECT_EQ(Random(0x299f31d0a4093822, 0x0370734413198a2e).block(0x85a308d3243f6a88),
            (Words{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

TEST(Random, SequentialDrawsReadTheBlocksInOrder) {
  Random random(7, 3);
  for (uint64_t index = 0; index < 5; ++index) {
    const auto four = random.block(index);
    EXPECT_EQ(random.bits(), uint64_t{four[1]} << 32 | four[0]);
    EXPECT_EQ(random.bits(), uint64_t{four[3]} << 32 | four[2]);
  }
}

TEST(Random, ForksDifferFromEachOtherAndIgnoreEarlierDraws) {
  Random parent(1, 2);
  const auto before = parent.fork("mask").block(0);
  parent.bits();
  EXPECT_EQ(parent.fork("mask").block(0), before);
  std::set<Words> seen = {parent.block(0)};
  for (uint64_t name = 0; name < 1000; ++name) EXPECT_TRUE(seen.insert(parent.fork(name).block(0)).second) << name;
  for (const char* name : {"mask", "order", "", "a", "b", "ab"})
    EXPECT_TRUE(seen.insert(parent.fork(name).block(0)).second) << name;
  EXPECT_TRUE(seen.insert(parent.fork("a").fork("b").block(0)).second);
  EXPECT_TRUE(seen.insert(parent.fork("b").fork("a").block(0)).second);
  EXPECT_NE(parent.fork("a").block(0), Random(1, 3).fork("a").block(0)) << "the stream still counts after a fork";
}

TEST(Random, UniformFillsTheUnitIntervalWithFiftyThreeBits) {
  Random random(5, 0);
  double sum = 0;
  bool fine = false;
  for (int i = 0; i < 100000; ++i) {
    const double u = random.uniform();
    ASSERT_GE(u, 0.0);
    ASSERT_LT(u, 1.0);
    sum += u;
    fine |= u * 0x1p32 != std::floor(u * 0x1p32);  // more than 32 bits
  }
  EXPECT_NEAR(sum / 100000, 0.5, 0.005);
  EXPECT_TRUE(fine);
}

TEST(Random, BelowIsUnbiased) {
  Random random(11, 0);
  std::vector<int> counts(7);
  for (int i = 0; i < 70000; ++i) ++counts.at(static_cast<size_t>(random.below(7)));
  double chi_square = 0;
  for (const int c : counts) chi_square += (c - 1e4) * (c - 1e4) / 1e4;
  EXPECT_LT(chi_square, 22.5);  // six degrees of freedom, one in a thousand
  // Here the remainder of a division would favour the first third, and a high word that is never rejected one of the classes
  // modulo 3 (2, 3 and 3 of 8 draws).
  const int64_t bound = int64_t{3} << 61;
  std::array<int, 3> thirds{}, classes{};
  for (int i = 0; i < 10000; ++i) {
    const int64_t value = random.below(bound);
    ++thirds.at(static_cast<size_t>(value / (bound / 3)));
    ++classes.at(static_cast<size_t>(value % 3));
  }
  for (size_t i = 0; i < 3; ++i) {
    EXPECT_NEAR(thirds[i], 3333, 200) << i;
    EXPECT_NEAR(classes[i], 3333, 200) << i;
  }
  EXPECT_EQ(random.below(1), 0);
}

TEST(Random, BelowRefusesAnEmptyRange) {
  Random random(1, 1);
  EXPECT_THROW(random.below(0), Error);
  EXPECT_THROW(random.below(-1), Error);
}

TEST(Random, NormalValuesHaveTheMomentsOfANormal) {
  const Random random(3, 9);
  double sum = 0, square = 0, fourth = 0, cross = 0;
  const int blocks = 50000;
  for (int i = 0; i < blocks; ++i) {
    const auto n = random.normal_block(static_cast<uint64_t>(i));
    for (const double x : n) {
      sum += x;
      square += x * x;
      fourth += x * x * x * x;
    }
    cross += n[0] * n[1];
  }
  EXPECT_NEAR(sum / (4 * blocks), 0, 0.01);
  EXPECT_NEAR(square / (4 * blocks), 1, 0.02);
  EXPECT_NEAR(fourth / (4 * blocks), 3, 0.12);
  EXPECT_NEAR(cross / blocks, 0, 0.02);
}

}  // namespace
}  // namespace lacuna
