// Brings the parameters together again where each data rank has updated its shards alone: one all_gather a bucket, begun before a
// forward and waited for bucket by bucket, in the order in which the network reaches its parameters, so that the messages of
// later layers travel while the first ones compute. On a device waiting only orders the current stream; the host goes on, and a
// CUDA graph may capture everything from start() to finish(). On the host MPI moves a message mostly while it is waited for.
#pragma once
#include <ATen/core/Tensor.h>

#include <memory>
#include <unordered_map>
#include <vector>

#include "trainer/parallel/communicator.h"
#include "trainer/parallel/gradient_buckets.h"
#include "trainer/parallel/shard_layout.h"

namespace lacuna {

class ParameterGather {
 public:
  // `values` is the flat buffer that the parameters are views of, `layout` its cut over the ranks of `axis`, which must outlive
  // this object.
  ParameterGather(const std::vector<BucketParameter>& parameters, at::Tensor values, ShardLayout layout, Communicator& axis);

  // Every rank's shards set out for all others, front first. They are those of now: nothing may write parameters before finish().
  void start();
  // The caller may read this parameter. Nothing to wait for where no message is under way.
  void wait(const at::Tensor& parameter);
  // The caller may read all.
  void finish();

 private:
  void wait_until(size_t messages);

  at::Tensor values_;
  ShardLayout layout_;
  Communicator& axis_;
  std::unordered_map<const c10::TensorImpl*, size_t> needs_;  // how many messages a parameter needs, counted from the front
  std::vector<std::unique_ptr<Work>> works_;                  // front first
  size_t num_waited_ = 0;
};

}  // namespace lacuna
