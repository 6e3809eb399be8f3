#include "trainer/model/word_slots.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/full_like.h>
#include <ATen/ops/searchsorted.h>
#include <ATen/ops/zeros.h>
#include <torch/csrc/autograd/custom_function.h>

#include <limits>

namespace lacuna {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::tensor_list;

// Rows of x (rows, D) in another order; `inverse` puts them back, which is the derivative.
class Permuted : public torch::autograd::Function<Permuted> {
 public:
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& x, const at::Tensor& order, const at::Tensor& inverse) {
    ctx->saved_data["inverse"] = inverse;
    return x.index_select(0, order);
  }
  static tensor_list backward(AutogradContext* ctx, const tensor_list& gradients) {
    return {gradients[0].index_select(0, ctx->saved_data["inverse"].toTensor()), {}, {}};
  }
};

at::Tensor permuted(const at::Tensor& x, const at::Tensor& order, const at::Tensor& inverse) {
  return Permuted::apply(x.flatten(0, 1), order, inverse).view(x.sizes());
}

}  // namespace

WordSlots::WordSlots(const at::Tensor& words, int64_t max_words, int64_t max_bytes) {
  const int64_t rows = words.size(0), length = words.size(1);
  // A word and its head are within reach of a block and its neighbours. Kernels like lines of multiples of 8.
  block_ = (max_bytes + 1 + 7) / 8 * 8;
  const int64_t slots = (max_words + length + block_ - 1) / block_ * block_;
  num_heads_ = slots - length;
  const auto count = [&](int64_t n) { return at::arange(n, words.options().dtype(at::kLong)); };
  const auto number = count(num_heads_).expand({rows, -1}).contiguous();
  // A head stands before its word's first byte; heads without bytes find the row's end.
  const auto first = at::searchsorted(words.to(at::kLong).contiguous(), number);
  const auto place = at::cat({first + number, count(length) + words.to(at::kLong) + 1}, 1);
  const auto order = at::empty_like(place).scatter_(1, place, count(slots).expand({rows, -1}));
  word_of_ = at::cat({number, words.to(at::kLong)}, 1).gather(1, order);
  positions_ = count(slots) - place.gather(1, word_of_);
  const auto row = (count(rows) * slots).unsqueeze(1);
  const auto head = place.narrow(1, 0, num_heads_);
  first_ = (head.gather(1, word_of_) + row).flatten();
  const auto behind = at::cat({head.narrow(1, 1, num_heads_ - 1), at::full_like(head.narrow(1, 0, 1), slots)}, 1);
  end_ = (behind.gather(1, word_of_) + row).flatten();
  order_ = (order + row).flatten();
  place_ = (place + row).flatten();
}

at::Tensor WordSlots::join(const at::Tensor& heads, const at::Tensor& bytes) const {
  return permuted(at::cat({heads, bytes}, 1), order_, place_);
}

at::Tensor WordSlots::heads(const at::Tensor& slots, int64_t count) const {
  return permuted(slots, place_, order_).narrow(1, 0, count);
}

at::Tensor WordSlots::bytes(const at::Tensor& slots) const {
  return permuted(slots, place_, order_).narrow(1, num_heads_, slots.size(1) - num_heads_);
}

AttentionPattern WordSlots::within_words(bool causal) const {
  const auto blocks = word_of_.unflatten(1, {-1, block_});  // (B, blocks, block)
  const auto nowhere = at::full_like(blocks.narrow(1, 0, 1), -1);
  const int64_t num_blocks = blocks.size(1);
  std::vector<at::Tensor> seen{at::cat({nowhere, blocks.narrow(1, 0, num_blocks - 1)}, 1), blocks};
  if (!causal) seen.push_back(at::cat({blocks.narrow(1, 1, num_blocks - 1), nowhere}, 1));
  const auto keys = at::cat(seen, 2);
  auto allowed = blocks.unsqueeze(-1).eq(keys.unsqueeze(-2));  // (B, blocks, block, keys)
  if (causal) {
    const auto place = at::arange(block_, word_of_.options());
    allowed = allowed.logical_and(at::arange(2 * block_, word_of_.options()).unsqueeze(0).le((place + block_).unsqueeze(1)));
  }
  const auto scores = at::zeros(allowed.sizes(), allowed.options().dtype(at::kFloat))
                          .masked_fill_(allowed.logical_not(), -std::numeric_limits<float>::infinity());
  return {.causal = false, .scores = scores.flatten(0, 1).unsqueeze(1), .block = block_, .looks_ahead = !causal};
}

}  // namespace lacuna
