#include "trainer/optim/adamw.h"

#include <ATen/ops/zeros.h>

#include <algorithm>
#include <cmath>

#include "trainer/kernels/line_mask.h"
#include "trainer/kernels/set_values.h"

namespace lacuna {

AdamW::AdamW(const Options& options, FlatStorage& storage)
    : options_(options),
      storage_(storage),
      first_(at::zeros({storage.owned_size()}, storage.gradients().options())),
      second_(at::zeros({storage.owned_size()}, storage.gradients().options())),
      scalars_(at::zeros({4}, storage.gradients().options())) {
  const bool on_host = storage.gradients().is_cpu();
  segments_ = split(/*by_decay=*/on_host);
  if (on_host) return;
  auto mask = empty_line_mask(storage.size());
  for (const auto& range : storage.ranges()) {
    if (range.decays) mark_lines(mask, range.offset, range.count);
  }
  decays_ = tensor_of(mask).to(storage.gradients().device());
}

std::vector<AdamW::Segment> AdamW::split(bool by_decay) const {
  struct Stretch {
    int64_t begin, end;
    bool decays;
    UpdateRule rule;
  };
  std::vector<Stretch> stretches;  // padding between parameters stays zero
  for (const auto& range : storage_.ranges()) {
    const int64_t end = range.offset + range.count;
    const bool decays = range.decays || !by_decay;
    const bool joins = !stretches.empty() && stretches.back().decays == decays && stretches.back().rule == range.rule &&
                       std::isinf(range.rule.minimum);  // the gaps stay zero
    if (joins) {
      stretches.back().end = end;
    } else {
      stretches.push_back({range.offset, end, decays, range.rule});
    }
  }
  std::vector<Segment> segments;
  for (const auto& owned : storage_.owned()) {
    for (const auto& stretch : stretches) {
      const int64_t begin = std::max(owned.begin, stretch.begin), end = std::min(owned.end, stretch.end);
      if (begin < end) segments.push_back({{begin, end, owned.packed + begin - owned.begin}, stretch.decays, stretch.rule});
    }
  }
  return segments;
}

void AdamW::begin(int64_t step, double learning_rate) {
  const auto number = static_cast<double>(step);
  // The scale, which is not known yet, follows in update().
  set_values(scalars_, {learning_rate, 0, 1 - std::pow(options_.beta1, number), 1 - std::pow(options_.beta2, number)});
}

void AdamW::update(const at::Tensor& scale) {
  scalars_.narrow(0, 1, 1).copy_(scale);
  const bool on_device = decays_.defined();
  for (const auto& segment : segments_) {
    const auto& range = segment.range;
    const auto flat = [&](const at::Tensor& whole) { return whole.narrow(0, range.begin, range.count()); };
    const auto packed = [&](const at::Tensor& owned) { return owned.narrow(0, range.packed, range.count()); };
    adamw({.parameters = storage_.master(range),
           .gradients = flat(storage_.gradients()),
           .first = packed(first_),
           .second = packed(second_),
           .copy = on_device && storage_.has_masters() ? flat(storage_.parameters()) : at::Tensor(),
           .decays = decays_,
           .begin = range.begin},
          {options_.beta1, options_.beta2, options_.epsilon, segment.rule.rate, segment.rule.minimum}, segment.decays ? options_.weight_decay : 0.0, scalars_);
  }
  if (!on_device) storage_.take_masters();
  if (storage_.is_sharded()) storage_.zero_gradients();  // those of the other ranks' shards too
}

std::vector<std::pair<std::string, at::Tensor>> AdamW::state() const {
  return {{"first_moment", first_}, {"second_moment", second_}};
}

}  // namespace lacuna
