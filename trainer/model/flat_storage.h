// All parameters of this rank in contiguous buffers of one layout: the values that modules compute with, their fp32 masters, and
// the fp32 gradients of sums over many micro-batches. In fp32 the values are the masters. Modules and autograd keep their tensors,
// which become views; the optimizer, the gradient norm, the reductions and the checkpoint see whole buffers. Parameters lie in the
// order of their list (layer-major), each at an offset of a multiple of 128 bytes of fp32; the gaps and the end, which fills up to
// a multiple of 128 bytes x data ranks, stay zero.
#pragma once
#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>
#include <vector>

#include "trainer/model/parameters.h"

namespace lacuna {

class FlatStorage {
 public:
  struct Range {
    std::string name;
    int64_t offset = 0;  // in elements, of the flat buffers
    int64_t count = 0;
    bool decays = false;       // weight decay applies
    bool partitioned = false;  // each tensor rank has its own slice; otherwise all hold the same values
    std::vector<int64_t> shape;       // of this rank's slice
    std::vector<int64_t> full_shape;  // of the whole tensor
    int64_t partition_dim = -1;
  };

  // Repoints every parameter's data and .grad to `device`, its data as `compute`, and gives its spec the master; values become
  // zero, so initialise or load after this. On the CPU no memory is touched until then: pages come as they are first written.
  // `data_size` is the number of data ranks. Throws Error(memory) with the size if the buffers do not fit, Error(internal) for
  // parameters that are no fp32 leaves.
  FlatStorage(std::vector<ParameterSpec>& parameters, int64_t data_size, at::Device device = at::kCPU,
              at::ScalarType compute = at::kFloat);

  const std::vector<Range>& ranges() const { return ranges_; }
  int64_t size() const { return parameters_.numel(); }  // elements, padding included
  const at::Tensor& parameters() const { return parameters_; }  // (size), of the compute type
  const at::Tensor& master() const { return master_; }          // (size), fp32; parameters() itself where that is fp32
  const at::Tensor& gradients() const { return gradients_; }    // (size), fp32
  const at::Tensor& partitioned() const { return partitioned_; }  // int32 line mask of the ranges that are, on the device
  const at::Tensor& value(size_t range) const { return values_[range]; }  // the module's own tensor

  void zero_gradients();
  // After the masters were written: brings parameters() in line.
  void take_master();
  // Throws Error(internal), naming the parameter, if something has replaced a parameter's data or .grad by a tensor of its own;
  // the flat buffers would then miss its values. Cheap enough for every step.
  void check_views() const;

 private:
  at::Tensor parameters_, master_, gradients_, partitioned_;
  std::vector<Range> ranges_;
  std::vector<at::Tensor> values_;  // the modules' parameters, by range
};

// A line mask (kernels/line_mask.h) as an int32 tensor on the CPU.
at::Tensor tensor_of(const std::vector<uint32_t>& mask);

}  // namespace lacuna
