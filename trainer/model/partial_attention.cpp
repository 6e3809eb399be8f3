#include "trainer/model/partial_attention.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/gelu.h>
#include <ATen/ops/zeros.h>

#include <limits>

namespace lacuna {
namespace {

// (B, 1 or T, T) bool: which keys are of a query's source.
at::Tensor source_pairs(const Batch& batch) {
  const auto source = batch.bidirectional.unsqueeze(-2);
  if (!batch.segments.defined()) return source;
  const auto keys = batch.segments.unsqueeze(-2);
  return source.logical_and(batch.segments.unsqueeze(-1).eq(keys)).logical_and(keys.ne(0));
}

}  // namespace

PartialAttention::PartialAttention(const ModelContext& context, const AttentionShape& shape) : operations_(context.operations) {
  const auto square = [&](const char* name) {
    return context.parameters.declare(*this, name, {shape.hidden_size, shape.hidden_size}, -1, 1, InitialValues::normal);
  };
  first_ = square("first");
  second_ = square("second");
  cross_ = register_module("attention", std::make_shared<CrossAttention>(context, shape));
}

KeyValues PartialAttention::read(const at::Tensor& x, const StreamLayout& stream) const {
  const auto p = at::gelu(operations_.linear(x, first_, {}), "none");
  return cross_->read(p + operations_.linear(p, second_, {}), stream);
}

at::Tensor PartialAttention::forward(const at::Tensor& x, const StreamLayout& stream, const KeyValues& source,
                                     const AttentionPattern& pattern) const {
  return cross_->forward(x, stream, source, pattern);
}

AttentionPattern source_pattern(const Batch& batch) {
  const auto pairs = source_pairs(batch);
  const auto place = at::arange(batch.length(), batch.tokens.options().dtype(at::kInt));
  const auto alone = pairs.any(-1, true).logical_not().logical_and(place.unsqueeze(0).eq(place.unsqueeze(1)));
  const auto allowed = pairs.logical_or(alone).unsqueeze(1);
  return {.causal = false,
          .scores = at::zeros(allowed.sizes(), allowed.options().dtype(at::kFloat))
                        .masked_fill_(allowed.logical_not(), -std::numeric_limits<float>::infinity())};
}

at::Tensor source_counts(const Batch& batch) { return source_pairs(batch).sum(-1, false, at::kInt).expand_as(batch.tokens); }

}  // namespace lacuna
