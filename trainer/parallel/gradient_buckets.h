// Sums the flat gradients over the data axis while the last micro-batch's backward still runs. The buffer is cut, from its end,
// into buckets of about the same size: backward reaches the last layers first. A bucket starts when all its parameters are ready
// and the bucket before it has started, so that every rank starts them in the same order whatever the order of its backward.
// On the host MPI moves messages only inside its own calls, so every later parameter also pushes the oldest message forward. On a
// device a bucket is ordered behind the stream that runs backward and finish() orders the current stream behind all buckets; the
// host waits for nothing, so that a CUDA graph may capture a step from arm() to finish().
// On an axis of one rank nothing happens.
#pragma once
#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <vector>

#include "trainer/parallel/communicator.h"
#include "trainer/parallel/shard_layout.h"

namespace lacuna {

// A parameter whose .grad is a view of the flat gradients at [offset, offset + count).
struct BucketParameter {
  at::Tensor variable;
  int64_t offset = 0;
  int64_t count = 0;
};

constexpr int64_t kShardAlignment = 32;  // elements: shards of fp32 begin at multiples of 128 bytes

enum class ReduceMode {
  all_reduce,      // every rank gets the whole sum
  reduce_scatter,  // each rank gets its shards of the sum (see layout()), the rest of its buffer is left undefined: half the
                   // traffic, for an optimizer that updates its shards alone
};

class GradientBuckets {
 public:
  // `parameters` ascend by offset. `gradients` is the flat buffer, padding included, and is reduced whole. `axis` must outlive
  // this object. A parameter larger than `megabytes` makes a bucket of its own. reduce_scatter wants a buffer whose size is a
  // multiple of kShardAlignment x axis ranks, as FlatStorage makes it. On a device the stream that will run the backward must be
  // current here, since autograd keeps it with each parameter.
  GradientBuckets(const std::vector<BucketParameter>& parameters, at::Tensor gradients, Communicator& axis, double megabytes,
                  ReduceMode mode = ReduceMode::all_reduce);
  // The same with the buckets of `layout`: reduce_scatter where it has several ranks, which are those of the axis.
  GradientBuckets(const std::vector<BucketParameter>& parameters, at::Tensor gradients, Communicator& axis, ShardLayout layout);
  ~GradientBuckets();
  GradientBuckets(const GradientBuckets&) = delete;
  GradientBuckets& operator=(const GradientBuckets&) = delete;

  // The next backward is the step's last: from here a gradient that autograd has finished may be sent.
  void arm();
  // Starts the buckets that never became ready, such as those of unused parameters, and waits for all. Without arm() it is a
  // plain sum. On return `gradients` holds the sum over the axis, or this rank's shards of it.
  void finish();

  const ShardLayout& layout() const;  // of one rank, which owns everything, unless the mode is reduce_scatter
  int64_t num_buckets() const;
  // Of the step that finish() ended: buckets whose message had started before it. For reports and tests.
  int64_t num_overlapped() const;

 private:
  class State;
  std::unique_ptr<State> state_;
};

}  // namespace lacuna
