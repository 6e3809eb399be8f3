// How the residual stream lies on the tensor axis while a network runs. Whole: every rank holds all of it, (B, T, D), and all
// normalise the same (Megatron-LM, Shoeybi et al. 2019). Split: the rank holds an equal share of its B * T positions,
// (B * T / ranks, D), and normalises and drops out of that alone (sequence parallelism, Korthikanti et al. 2022, section 4.2.2).
// What one half sends stays as much: an all_gather before its first product and a reduce_scatter after its last one are the two
// halves of the all_reduce that they replace. The share is cut from the positions of all rows, in their order, so that no message
// needs to be transposed.
//
// Where the stream is split, what a rank adds to the gradient of a parameter that every rank holds whole is a part of the sum over
// the axis; shared_gradients.h makes the sum, once a step.
#pragma once
#include <ATen/core/Tensor.h>

#include <memory>

#include "data/random.h"
#include "trainer/parallel/communicator.h"

namespace lacuna {

struct StreamLayout {
  Communicator* axis;  // tensor
  int64_t rows = 0, length = 0;  // B, T; only where split
  bool split = false;

  // For composed networks, differentiable.
  // The stream as all its positions (B, T, D), about to be used differently by each rank.
  at::Tensor enter(const at::Tensor& x) const;
  // Parts (B, T, D) of a sum over the axis, as the stream.
  at::Tensor leave(const at::Tensor& part) const;
  // All positions (B, T, D), which every rank then uses alike.
  at::Tensor whole(const at::Tensor& x) const;
  // Of a value a position, (T) or (B, T), those of this rank's share.
  at::Tensor share(const at::Tensor& positions) const;
  // Dropout (kernels/dropout.h) of the stream, with the same mask whether it is split or not; stream_positions (B).
  at::Tensor drop(const at::Tensor& x, double rate, const Random& site, const at::Tensor& stream_positions) const;

  // For fixed sequences of kernels, which autograd does not see: enter and leave, each the other's derivative.
  at::Tensor gathered(const at::Tensor& x) const;
  at::Tensor summed(at::Tensor part) const;
  // gathered(), begun now and waited for when it is taken: of a split stream alone.
  class Gathering {
   public:
    bool defined() const { return all_.defined(); }
    at::Tensor take();

   private:
    friend struct StreamLayout;
    at::Tensor all_;
    std::unique_ptr<Work> work_;
  };
  Gathering start_gathering(const at::Tensor& x) const;
  // Whether this rank adds what it has of all positions to a parameter that every rank holds whole: one alone, where those are parts
  // of a sum.
  bool adds_whole() const { return !split || axis->rank() == 0; }

 private:
  int64_t num_mine() const { return rows * length / axis->size(); }
};

}  // namespace lacuna
