#include "trainer/model/attention_pattern.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/zeros.h>

#include <limits>

#include "data/error.h"

namespace lacuna {
namespace {

at::Tensor scores_where(const at::Tensor& allowed) {
  return at::zeros(allowed.sizes(), allowed.options().dtype(at::kFloat))
      .masked_fill_(allowed.logical_not(), -std::numeric_limits<float>::infinity());
}

at::Tensor causal_rule(int64_t length, int64_t window, const at::TensorOptions& options) {
  const auto before = at::ones({1, 1, length, length}, options.dtype(at::kBool)).tril();
  return window > 0 && window < length ? before.triu(1 - window) : before;
}

}  // namespace

at::Tensor allowed_pairs(Visibility visibility, int64_t window, const Batch& batch) {
  const int64_t length = batch.length();
  const auto options = batch.tokens.options();
  auto allowed = visibility == Visibility::full ? at::ones({1, 1, length, length}, options.dtype(at::kBool))
                                                : causal_rule(length, window, options);
  if (visibility == Visibility::prefix) {
    if (!batch.bidirectional.defined()) throw usage_error("visibility = \"prefix\" needs an objective that marks a prefix");
    const auto prefix = batch.bidirectional.unsqueeze(1);  // (B, 1, T)
    allowed = allowed.logical_or(prefix.unsqueeze(-1).logical_and(prefix.unsqueeze(-2)));
  }
  if (batch.segments.defined()) {
    const auto segment = batch.segments.unsqueeze(1);
    const auto same = segment.unsqueeze(-1).eq(segment.unsqueeze(-2)).logical_and(segment.unsqueeze(-2).ne(0));
    const auto itself = at::arange(length, options.dtype(at::kInt));
    allowed = allowed.logical_and(same).logical_or(itself.unsqueeze(0).eq(itself.unsqueeze(1)));
  }
  return allowed;
}

AttentionPattern attention_pattern(Visibility visibility, int64_t window, const Batch& batch) {
  const bool implied = !batch.segments.defined() && (window == 0 || window >= batch.length());
  if (visibility == Visibility::causal && implied) return {.causal = true, .scores = {}};
  if (visibility == Visibility::full && implied) return {.causal = false, .scores = {}};
  return {.causal = false, .scores = scores_where(allowed_pairs(visibility, window, batch))};
}

AttentionPattern newest_pattern(int64_t window, int64_t keys, const at::TensorOptions& options) {
  if (window == 0 || window >= keys) return {.causal = false, .scores = {}};
  return {.causal = false,
          .scores = scores_where(at::arange(keys, options.dtype(at::kInt)).ge(keys - window).view({1, 1, 1, keys}))};
}

AttentionPattern cross_pattern(const Batch& batch) {
  if (!batch.segments.defined() || !batch.encoder_segments.defined()) return {.causal = false, .scores = {}};
  const auto same = batch.segments.unsqueeze(-1).eq(batch.encoder_segments.unsqueeze(-2));  // (B, T, S)
  return {.causal = false, .scores = scores_where(same.logical_or(same.any(-1, true).logical_not()).unsqueeze(1))};
}

AttentionPattern joint_pattern(const Batch& batch) {
  const auto own = allowed_pairs(Visibility::causal, 0, batch);
  const int64_t sources = batch.encoder_tokens.size(1);
  auto source = at::ones({1, 1, 1, 1}, own.options());
  if (batch.segments.defined() && batch.encoder_segments.defined()) {
    const auto target = batch.segments.unsqueeze(-1);
    source = target.eq(batch.encoder_segments.unsqueeze(-2)).logical_and(target.ne(0)).unsqueeze(1);
  }
  return {.causal = false, .scores = scores_where(at::cat({source.expand({own.size(0), 1, own.size(2), sources}), own}, -1))};
}

void add_scores(AttentionPattern& pattern, const at::Tensor& scores) {
  if (pattern.scores.defined()) {
    pattern.scores = pattern.scores + scores;
  } else if (pattern.causal) {
    pattern.scores = scores_where(causal_rule(scores.size(-1), 0, scores.options())) + scores;
    pattern.causal = false;
  } else {
    pattern.scores = scores;
  }
}

}  // namespace lacuna
