#include "trainer/model/relative_bias.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/index_select.h>

#include <algorithm>
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

RelativeBias::RelativeBias(const ModelContext& context, int64_t num_heads, bool bidirectional)
    : bidirectional_(bidirectional), max_length_(context.max_length) {
  weight_ = context.parameters.declare(*this, "weight", {num_heads, kNumBuckets}, 0, context.mesh.tensor().size(),
                                       InitialValues::normal);
}

// The bucket of every distance from -(reach - 1) to reach - 1.
const at::Tensor& RelativeBias::buckets(int64_t reach) const {
  if (!buckets_.defined() || buckets_.size(0) < 2 * reach - 1 || buckets_.device() != weight_.device()) {
    const auto on_host = at::empty({2 * reach - 1}, at::kLong);
    for (int64_t i = 0; i < 2 * reach - 1; ++i) on_host.data_ptr<int64_t>()[i] = relative_bucket(i - (reach - 1), bidirectional_);
    buckets_ = on_host.to(weight_.device());
  }
  return buckets_;
}

at::Tensor RelativeBias::forward(int64_t queries, int64_t keys) const {
  const auto& all = buckets(std::max({queries, keys, max_length_}));
  const auto count = [&](int64_t n) { return at::arange(n, all.options()); };
  const auto distance = count(keys).unsqueeze(0) - (count(queries) + (keys - queries)).unsqueeze(1) + all.size(0) / 2;
  return weight_.index_select(1, all.index_select(0, distance.flatten())).view({1, weight_.size(0), queries, keys});
}

}  // namespace lacuna
