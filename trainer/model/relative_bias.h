// T5's relative position bias (Raffel et al. 2020, section 2.1): a learned score per head and bucket of key - query distance.
#pragma once
#include "trainer/model/architecture.h"

namespace lacuna {

// The bucket of distance `relative` = key - query. Half of the buckets are exact, the others grow logarithmically up to
// `max_distance`; bidirectional patterns give each sign its half of the buckets.
int64_t relative_bucket(int64_t relative, bool bidirectional, int64_t num_buckets = 32, int64_t max_distance = 128);

class RelativeBias : public torch::nn::Module {
 public:
  RelativeBias(const ModelContext& context, int64_t num_heads, bool bidirectional);
  // Scores (1, H / ranks, queries, keys); query i stands at position keys - queries + i.
  at::Tensor forward(int64_t queries, int64_t keys) const;

 private:
  const at::Tensor& buckets(int64_t reach) const;

  bool bidirectional_;
  int64_t max_length_;
  at::Tensor weight_;           // (H / ranks, buckets)
  mutable at::Tensor buckets_;  // of all distances, made at the first use on the weight's device: a recorded step copies nothing there
};

}  // namespace lacuna
