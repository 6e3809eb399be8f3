#include "trainer/model/relative_bias.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/index_select.h>

#include <cmath>

namespace lacuna {
namespace {
constexpr int64_t kNumBuckets = 32;
}

int64_t relative_bucket(int64_t relative, bool bidirectional, int64_t num_buckets, int64_t max_distance) {
  int64_t bucket = 0;
  if (bidirectional) {
    num_buckets /= 2;
    if (relative > 0) bucket = num_buckets;
    relative = std::abs(relative);
  } else {
    relative = std::max<int64_t>(-relative, 0);
  }
  const int64_t exact = num_buckets / 2;
  if (relative < exact) return bucket + relative;
  const double share = std::log(static_cast<double>(relative) / static_cast<double>(exact)) /
                       std::log(static_cast<double>(max_distance) / static_cast<double>(exact));
  const auto logarithmic = exact + static_cast<int64_t>(share * static_cast<double>(num_buckets - exact));
  return bucket + std::min(logarithmic, num_buckets - 1);
}

RelativeBias::RelativeBias(const ModelContext& context, int64_t num_heads, bool bidirectional) : bidirectional_(bidirectional) {
  weight_ = context.parameters.declare(*this, "weight", {num_heads, kNumBuckets}, 0, context.mesh.tensor().size(),
                                       InitialValues::normal);
}

at::Tensor RelativeBias::forward(int64_t queries, int64_t keys) const {
  auto buckets = at::empty({queries, keys}, at::kLong);
  auto* bucket = buckets.data_ptr<int64_t>();
  for (int64_t q = 0; q < queries; ++q) {
    for (int64_t k = 0; k < keys; ++k) *bucket++ = relative_bucket(k - (keys - queries + q), bidirectional_);
  }
  return weight_.index_select(1, buckets.view(-1).to(weight_.device())).view({1, weight_.size(0), queries, keys});
}

}  // namespace lacuna
