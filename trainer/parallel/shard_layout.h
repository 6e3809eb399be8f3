// How a flat buffer is cut into buckets, one message each, and what of every bucket each rank owns: an equal, contiguous shard,
// in rank order, as reduce_scatter gives it and all_gather takes it. Shards of ranges and not of tensors are equal whatever the
// parameters' sizes (Rajbhandari et al., "ZeRO", 2020, section 5; Megatron's distributed optimizer cuts the same way).
// All figures are elements.
#pragma once
#include <cstdint>
#include <vector>

namespace lacuna {

class ShardLayout {
 public:
  struct Bucket {
    int64_t begin = 0, end = 0;  // in the flat buffer
    int64_t count() const { return end - begin; }
  };
  struct Shard {
    int64_t begin = 0, end = 0;  // in the flat buffer
    int64_t packed = 0;          // where `begin` lies in a buffer of shard_size() that holds one rank's shards alone
    int64_t count() const { return end - begin; }
  };

  // Cuts [0, size) from its end, since backward reaches the last parameters first. A bucket begins at one of `starts` (the
  // parameters' offsets, ascending) rounded up to a multiple of num_ranks * alignment, so a parameter may lie across two buckets;
  // it is the largest one within `most` elements, or one parameter. Throws Error(internal) if `size` is not such a multiple.
  ShardLayout(const std::vector<int64_t>& starts, int64_t size, int64_t most, int num_ranks = 1, int64_t alignment = 1);

  // In the order in which backward fills them: the first one is the end of the buffer.
  const std::vector<Bucket>& buckets() const { return buckets_; }
  int num_ranks() const { return num_ranks_; }
  int64_t size() const { return size_; }
  int64_t shard_size() const { return size_ / num_ranks_; }  // of all the shards of one rank

  Shard shard(size_t bucket, int rank) const;
  // Those of one rank that meet [begin, begin + count), cut to it, ascending in the flat buffer: what a rank owns of a parameter.
  std::vector<Shard> shards_in(int rank, int64_t begin, int64_t count) const;

 private:
  int64_t size_;
  int num_ranks_;
  std::vector<Bucket> buckets_;
};

}  // namespace lacuna
