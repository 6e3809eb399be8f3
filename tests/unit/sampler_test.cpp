#include "data/sampler.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <set>

#include "tests/support/expect_error.h"

namespace lacuna {
namespace {

using testing::expect_error;

TEST(Sampler, EveryEpochReadsEverySampleOnceInItsOwnOrder) {
  for (const int64_t size : {1, 2, 3, 7, 64, 65, 1000, 4097}) {
    const Sampler sampler({{size}}, 1);
    std::vector<std::vector<int64_t>> orders;
    for (int64_t epoch = 0; epoch < 3; ++epoch) {
      std::set<int64_t> seen;
      orders.emplace_back();
      for (int64_t i = 0; i < size; ++i) {
        const SamplePlace place = sampler.at(epoch * size + i);
        EXPECT_EQ(place.position, epoch * size + i);
        EXPECT_EQ(place.corpus, 0);
        EXPECT_EQ(place.epoch, epoch);
        ASSERT_TRUE(place.sample >= 0 && place.sample < size);
        seen.insert(place.sample);
        orders.back().push_back(place.sample);
      }
      ASSERT_EQ(static_cast<int64_t>(seen.size()), size);
    }
    if (size >= 64) {
      EXPECT_NE(orders[0], orders[1]);
      EXPECT_NE(orders[1], orders[2]);
    }
  }
}

TEST(Sampler, TheOrderLooksRandom) {
  const int64_t size = 100'000;
  const Sampler sampler({{size}}, 5);
  double products = 0, displacement = 0;
  int64_t neighbours = 0, previous = -10;
  for (int64_t i = 0; i < size; ++i) {
    const int64_t sample = sampler.at(i).sample;
    displacement += std::abs(static_cast<double>(sample - i)) / size;
    products += (static_cast<double>(sample) / size - 0.5) * (static_cast<double>(previous) / size - 0.5);
    neighbours += std::abs(sample - previous) == 1;
    previous = sample;
  }
  EXPECT_NEAR(displacement / size, 1.0 / 3, 0.01);  // of two uniform values
  EXPECT_NEAR(products / size, 0, 0.002);
  EXPECT_LE(neighbours, 20) << "a random order has two of them on average";
  EXPECT_NE(sampler.at(0).sample, Sampler({{size}}, 6).at(0).sample);
}

TEST(Sampler, SmallPermutationsAreEquallyFrequent) {
  std::vector<int> counts(6);
  const Random random(3, 0);
  for (uint64_t i = 0; i < 6000; ++i) {
    const Random order = random.fork(i);
    const int64_t a = permuted(0, 3, order), b = permuted(1, 3, order);
    ++counts[static_cast<size_t>(2 * a + (b > 3 - a - b))];
  }
  for (const int count : counts) EXPECT_NEAR(count, 1000, 150);
}

TEST(Sampler, MixturesHoldTheirProportions) {
  const std::vector<SampledSource> sources = {{500, 0.7}, {100'000, 0.2}, {70, 0.1}};
  const Sampler sampler(sources, 9);
  std::vector<std::set<std::pair<int64_t, int64_t>>> seen(3);
  std::vector<int64_t> block(3);
  for (int64_t run = 0; run < 64; ++run) {
    std::vector<int64_t> counts(3);
    for (int64_t i = 0; i < 1024; ++i) {
      const SamplePlace place = sampler.at(run * 1024 + i);
      const auto corpus = static_cast<size_t>(place.corpus);
      ++counts.at(corpus);
      ASSERT_LT(place.sample, sources[corpus].size);
      ASSERT_TRUE(seen[corpus].emplace(place.epoch, place.sample).second) << "a sample came twice in an epoch";
      ASSERT_EQ(place.epoch, (static_cast<int64_t>(seen[corpus].size()) - 1) / sources[corpus].size)
          << "an epoch began too early";
    }
    for (size_t c = 0; c < 3; ++c) {
      EXPECT_NEAR(static_cast<double>(counts[c]), 1024 * sources[c].weight, 3);
      block[c] += counts[c];
    }
  }
  for (size_t c = 0; c < 3; ++c) EXPECT_NEAR(static_cast<double>(block[c]), 65536 * sources[c].weight, 1);
}

TEST(Sampler, RanksShareTheGlobalBatch) {
  const Sampler sampler({{1000, 1}, {300, 2}}, 2);
  for (const int64_t global : {1, 12, 13}) {
    const auto whole = sampler.indices(7, global, 0, 1);
    ASSERT_EQ(static_cast<int64_t>(whole.size()), global);
    EXPECT_EQ(whole[0], sampler.at(7 * global));
    for (const int64_t ranks : {2, 3, 4, 5}) {
      std::vector<SamplePlace> joined;
      for (int64_t rank = 0; rank < ranks; ++rank) {
        const auto rows = sampler.indices(7, global, rank, ranks);
        joined.insert(joined.end(), rows.begin(), rows.end());
      }
      EXPECT_EQ(joined, whole);
    }
  }
}

TEST(Sampler, FarPositionsAndLargeCorporaWork) {
  const int64_t size = (int64_t{1} << 40) + 12345;
  const Sampler sampler({{size, 3}, {5, 1}}, 4);
  std::set<int64_t> seen;
  for (int64_t i = 0; i < 1000; ++i) {
    const SamplePlace place = sampler.at((int64_t{1} << 50) + i);
    ASSERT_TRUE(place.sample >= 0 && place.sample < (place.corpus == 0 ? size : 5));
    EXPECT_TRUE(place.corpus == 1 || seen.insert(place.sample).second);
  }
}

TEST(Sampler, RefusesMixturesThatCannotBeRead) {
  const double nan = std::numeric_limits<double>::quiet_NaN(), infinity = std::numeric_limits<double>::infinity();
  expect_error(ExitCode::data, "train names none", [] { Sampler({}, 1); });
  expect_error(ExitCode::data, "Corpus 1 of the mixture (counted from 0) has not one full row", [] { Sampler({{5}, {0}}, 1); });
  for (const double weight : {0.0, -1.0, nan, infinity}) {
    expect_error(ExitCode::data, "leave the corpus out", [&] { Sampler({{5, weight}, {5, 1}}, 1); });
  }
  expect_error(ExitCode::data, "less than 1/65536", [] { Sampler({{5, 1e-6}, {5, 1}}, 1); });
}

}  // namespace
}  // namespace lacuna
