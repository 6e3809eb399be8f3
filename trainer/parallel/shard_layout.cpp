#include "trainer/parallel/shard_layout.h"

#include <algorithm>
#include <string>

#include "data/error.h"

namespace lacuna {

ShardLayout::ShardLayout(const std::vector<int64_t>& starts, int64_t size, int64_t most, int num_ranks, int64_t alignment)
    : size_(size), num_ranks_(num_ranks) {
  const int64_t unit = num_ranks * alignment;
  if (size % unit != 0) {
    throw Error(ExitCode::internal, "ShardLayout: " + std::to_string(size) + " elements do not divide over " +
                                        std::to_string(num_ranks) + " ranks in steps of " + std::to_string(alignment) +
                                        ": pad the flat buffer's end");
  }
  const auto rounded = [&](size_t start) { return start == 0 ? 0 : (starts[start] + unit - 1) / unit * unit; };
  int64_t end = size;
  for (size_t i = starts.size(); i-- > 1;) {
    const int64_t begin = std::min(rounded(i), end);
    const bool next_fits = end - rounded(i - 1) <= most;
    if (next_fits || begin == end) continue;  // begin == end: the parameter is shorter than a step
    buckets_.push_back({begin, end});
    end = begin;
  }
  if (end > 0) buckets_.push_back({0, end});
}

ShardLayout::Shard ShardLayout::shard(size_t bucket, int rank) const {
  const auto [begin, end] = buckets_[bucket];
  const int64_t count = (end - begin) / num_ranks_;
  // The buckets before this one in the flat buffer end at its begin and give every rank the same share.
  return {begin + rank * count, begin + (rank + 1) * count, begin / num_ranks_};
}

std::vector<ShardLayout::Shard> ShardLayout::shards_in(int rank, int64_t begin, int64_t count) const {
  std::vector<Shard> result;
  for (size_t bucket = buckets_.size(); bucket-- > 0;) {
    const Shard whole = shard(bucket, rank);
    const int64_t from = std::max(begin, whole.begin), to = std::min(begin + count, whole.end);
    if (from < to) result.push_back({from, to, whole.packed + from - whole.begin});
  }
  return result;
}

}  // namespace lacuna
