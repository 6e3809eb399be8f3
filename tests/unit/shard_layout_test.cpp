// Every element belongs to one bucket and, in it, to one rank; packed shards lie side by side.
#include "trainer/parallel/shard_layout.h"

#include <gtest/gtest.h>

#include <random>

#include "tests/support/expect_error.h"

namespace lacuna {
namespace {

using Pair = std::pair<int64_t, int64_t>;

std::vector<Pair> bounds(const ShardLayout& layout) {
  std::vector<Pair> result;
  for (const auto& bucket : layout.buckets()) result.emplace_back(bucket.begin, bucket.end);
  return result;
}

TEST(ShardLayout, ForOneRankBucketsBeginWhereParametersDo) {
  const std::vector<int64_t> starts{0, 100, 200, 500};
  EXPECT_EQ(bounds(ShardLayout(starts, 600, 1)), (std::vector<Pair>{{500, 600}, {200, 500}, {100, 200}, {0, 100}}));
  EXPECT_EQ(bounds(ShardLayout(starts, 600, 399)), (std::vector<Pair>{{500, 600}, {200, 500}, {0, 200}}));
  EXPECT_EQ(bounds(ShardLayout(starts, 600, 400)), (std::vector<Pair>{{200, 600}, {0, 200}}));
  EXPECT_EQ(bounds(ShardLayout(starts, 600, 600)), (std::vector<Pair>{{0, 600}}));
}

TEST(ShardLayout, BucketsBeginAtMultiplesThatTheRanksShare) {
  const ShardLayout layout({0, 100, 200, 500}, 640, 200, 4, 16);  // steps of 64
  EXPECT_EQ(bounds(layout), (std::vector<Pair>{{512, 640}, {256, 512}, {128, 256}, {0, 128}}));
  EXPECT_EQ(layout.shard_size(), 160);
  const auto shard = layout.shard(1, 3);
  EXPECT_EQ(shard.begin, 448);
  EXPECT_EQ(shard.end, 512);
  EXPECT_EQ(shard.packed, 64);  // behind 32 of each bucket before 256
}

TEST(ShardLayout, ParametersShorterThanAStepMakeNoEmptyBucket) {
  const ShardLayout layout({0, 3, 5, 9, 70, 71}, 128, 1, 2, 32);
  EXPECT_EQ(bounds(layout), (std::vector<Pair>{{64, 128}, {0, 64}}));
}

TEST(ShardLayout, ABufferWithoutParametersIsOneBucket) {
  EXPECT_EQ(bounds(ShardLayout({}, 64, 8)), (std::vector<Pair>{{0, 64}}));
  EXPECT_TRUE(ShardLayout({}, 0, 8).buckets().empty());
}

TEST(ShardLayout, RefusesABufferThatItsRanksCannotShare) {
  testing::expect_error(ExitCode::internal, "pad the flat buffer's end", [] { ShardLayout({0}, 100, 10, 2, 32); });
}

TEST(ShardLayout, WhateverTheCutEveryElementHasOneOwnerAndOnePlace) {
  for (uint64_t seed = 0; seed < 200; ++seed) {
    std::mt19937_64 random(seed);
    const auto draw = [&](int64_t least, int64_t most) { return std::uniform_int_distribution<int64_t>(least, most)(random); };
    const int num_ranks = static_cast<int>(draw(1, 5));
    const int64_t alignment = draw(1, 8), unit = alignment * num_ranks;
    std::vector<int64_t> starts{0};
    for (int64_t i = draw(0, 12); i > 0; --i) starts.push_back(starts.back() + draw(1, 60));
    const int64_t size = (starts.back() + draw(1, 60) + unit - 1) / unit * unit;
    const ShardLayout layout(starts, size, draw(1, 300), num_ranks, alignment);

    int64_t end = size;
    for (const auto& bucket : layout.buckets()) {
      EXPECT_EQ(bucket.end, end) << "seed " << seed;
      EXPECT_LT(bucket.begin, bucket.end) << "seed " << seed;
      EXPECT_EQ(bucket.begin % unit, 0) << "seed " << seed;
      end = bucket.begin;
    }
    EXPECT_EQ(end, 0) << "seed " << seed;

    std::vector<int> owners(static_cast<size_t>(size), 0);
    for (int rank = 0; rank < num_ranks; ++rank) {
      int64_t packed = 0;  // ascending in the flat buffer, the packed shards follow one another
      for (const auto& shard : layout.shards_in(rank, 0, size)) {
        EXPECT_EQ(shard.packed, packed) << "seed " << seed;
        EXPECT_EQ(shard.begin % alignment, 0) << "seed " << seed;
        packed += shard.count();
        for (int64_t i = shard.begin; i < shard.end; ++i) ++owners[static_cast<size_t>(i)];
      }
      EXPECT_EQ(packed, layout.shard_size()) << "seed " << seed;
      // A part of the buffer finds the same places.
      const int64_t from = draw(0, size - 1), count = draw(1, size - from);
      for (const auto& part : layout.shards_in(rank, from, count)) {
        EXPECT_GE(part.begin, from) << "seed " << seed;
        EXPECT_LE(part.end, from + count) << "seed " << seed;
        bool found = false;
        for (const auto& whole : layout.shards_in(rank, 0, size)) {
          found |= whole.begin <= part.begin && part.end <= whole.end && part.packed - whole.packed == part.begin - whole.begin;
        }
        EXPECT_TRUE(found) << "seed " << seed;
      }
    }
    EXPECT_EQ(owners, std::vector<int>(static_cast<size_t>(size), 1)) << "seed " << seed;
  }
}

}  // namespace
}  // namespace lacuna
