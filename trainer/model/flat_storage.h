// All parameters of this rank in contiguous buffers of one layout: the values that modules compute with, their fp32 masters, and
// the fp32 gradients of sums over many micro-batches. In fp32 the values are the masters. Modules and autograd keep their tensors,
// which become views; the optimizer, the gradient norm, the reductions and the checkpoint see whole buffers. Parameters lie in the
// order of their list (layer-major), each at an offset of a multiple of 128 bytes of fp32; the gaps and the end, which fills up to
// a multiple of 128 bytes x data ranks, stay zero.
//
// With a Sharding each data rank owns shards of the buffers (ZeRO stage 1: Rajbhandari et al. 2020, section 5.1). It keeps masters
// of them alone, packed in one buffer as an optimizer keeps its state; values and gradients stay whole.
#pragma once
#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>
#include <vector>

#include "trainer/model/parameters.h"
#include "trainer/parallel/shard_layout.h"

namespace lacuna {

// How the buffers are cut into messages, and which of the data ranks' shards are this one's.
struct Sharding {
  int rank = 0, ranks = 1;      // one rank: it owns everything
  int64_t bucket_elements = 0;  // the most in a bucket, unless a parameter is larger; 0: all
};

class FlatStorage {
 public:
  using Shard = ShardLayout::Shard;
  struct Range {
    std::string name;
    int64_t offset = 0;  // in elements, of the flat buffers
    int64_t count = 0;
    bool decays = false;       // weight decay applies
    UpdateRule rule = {};
    bool is_table = false, whole_gradient = false;  // as ParameterSpec has them
    bool partitioned = false;  // each tensor rank has its own slice; otherwise all hold the same values
    std::vector<int64_t> shape;       // of this rank's slice
    std::vector<int64_t> full_shape;  // of the whole tensor
    int64_t partition_dim = -1;
  };

  // Repoints every parameter's data and .grad to `device`, its data as `compute`, and gives its spec the masters; values become
  // zero, so initialise or load after this. On the CPU no memory is touched until then: pages come as they are first written.
  // `data_size` is the number of data ranks, sharded or not. Throws Error(memory) with the size if the buffers do not fit, Error(internal) for
  // parameters that are no fp32 leaves.
  FlatStorage(std::vector<ParameterSpec>& parameters, int64_t data_size, at::Device device = at::kCPU,
              at::ScalarType compute = at::kFloat, Sharding sharding = {});

  const std::vector<Range>& ranges() const { return ranges_; }
  int64_t size() const { return parameters_.numel(); }  // elements, padding included
  const at::Tensor& parameters() const { return parameters_; }  // (size), of the compute type
  const at::Tensor& gradients() const { return gradients_; }    // (size), fp32
  const at::Tensor& partitioned() const { return partitioned_; }  // int32 line mask of the ranges that are, on the device
  const at::Tensor& value(size_t range) const { return values_[range]; }  // the module's own tensor

  const ShardLayout& layout() const { return layout_; }  // of one rank, which owns everything, unless sharded
  bool is_sharded() const { return layout_.num_ranks() > 1; }
  // What this rank updates, ascending. Buffers of owned_size(), such as an optimizer's state, hold these ranges alone, side by
  // side, each at its `packed`.
  const std::vector<Shard>& owned() const { return owned_; }
  int64_t owned_size() const { return layout_.shard_size(); }
  bool has_masters() const { return masters_.defined(); }  // in fp32 the parameters are their own
  const at::Tensor& masters() const { return masters_; }   // (owned_size), fp32
  at::Tensor master(const Shard& range) const;             // of an owned range: a view of the masters, or of the parameters
  // Of one parameter (range number, any shape of its count): the elements that this rank owns, into a buffer of owned_size().
  void put_owned(size_t range, const at::Tensor& value, const at::Tensor& packed) const;

  // Sets a parameter and its masters to an fp32 tensor of its shape.
  void set(size_t range, const at::Tensor& value);
  void zero_gradients();
  // After the masters were written: brings the owned parameters in line.
  void take_masters();
  // Throws Error(internal), naming the parameter, if something has replaced a parameter's data or .grad by a tensor of its own;
  // the flat buffers would then miss its values. Cheap enough for every step.
  void check_views() const;

 private:
  static ShardLayout cut(const std::vector<Range>& ranges, int64_t size, const Sharding& sharding);

  std::vector<Range> ranges_;
  Sharding sharding_;
  ShardLayout layout_;
  std::vector<Shard> owned_;
  at::Tensor parameters_, masters_, gradients_, partitioned_;
  std::vector<at::Tensor> values_;  // the modules' parameters, by range
};

// A line mask (kernels/line_mask.h) as an int32 tensor on the CPU.
at::Tensor tensor_of(const std::vector<uint32_t>& mask);

}  // namespace lacuna
