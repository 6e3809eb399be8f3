#include "trainer/optim/adamw.h"

#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>

#include <cmath>

namespace lacuna {

AdamW::AdamW(const Options& options, FlatStorage& storage)
    : options_(options),
      storage_(storage),
      first_(at::zeros_like(storage.parameters())),
      second_(at::zeros_like(storage.parameters())),
      scalars_(at::zeros({4}, storage.parameters().options())) {
  for (const auto& range : storage.ranges()) {
    if (!segments_.empty() && segments_.back().decays == range.decays) {
      segments_.back().count = range.offset + range.count - segments_.back().offset;  // padding between them stays zero
    } else {
      segments_.push_back({range.offset, range.count, range.decays});
    }
  }
}

void AdamW::step(int64_t step, double learning_rate, double clip_factor) {
  auto* s = scalars_.data_ptr<float>();
  s[0] = static_cast<float>(learning_rate);
  s[1] = static_cast<float>(clip_factor);
  s[2] = static_cast<float>(1 - std::pow(options_.beta1, static_cast<double>(step)));
  s[3] = static_cast<float>(1 - std::pow(options_.beta2, static_cast<double>(step)));
  const AdamWConstants constants{options_.beta1, options_.beta2, options_.epsilon};
  for (const auto& segment : segments_) {
    const auto part = [&](const at::Tensor& flat) { return flat.narrow(0, segment.offset, segment.count); };
    adamw(part(storage_.parameters()), part(storage_.gradients()), part(first_), part(second_), constants,
          segment.decays ? options_.weight_decay : 0.0, scalars_);
  }
}

std::vector<std::pair<std::string, at::Tensor>> AdamW::state() const { return {{"first_moment", first_}, {"second_moment", second_}}; }

}  // namespace lacuna
