#include "trainer/optim/adamw.h"

#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>

#include <cmath>

#include "trainer/kernels/set_values.h"

namespace lacuna {

AdamW::AdamW(const Options& options, FlatStorage& storage)
    : options_(options),
      storage_(storage),
      first_(at::zeros_like(storage.master())),
      second_(at::zeros_like(storage.master())),
      scalars_(at::zeros({3}, storage.master().options().dtype(at::kDouble))) {
  for (const auto& range : storage.ranges()) {
    if (!segments_.empty() && segments_.back().decays == range.decays) {
      segments_.back().count = range.offset + range.count - segments_.back().offset;  // padding between them stays zero
    } else {
      segments_.push_back({range.offset, range.count, range.decays});
    }
  }
}

void AdamW::begin(int64_t step, double learning_rate) {
  const auto number = static_cast<double>(step);
  set_values(scalars_, {learning_rate, 1 - std::pow(options_.beta1, number), 1 - std::pow(options_.beta2, number)});
}

void AdamW::update(const at::Tensor& scale) {
  const AdamWConstants constants{options_.beta1, options_.beta2, options_.epsilon};
  for (const auto& segment : segments_) {
    const auto part = [&](const at::Tensor& flat) { return flat.narrow(0, segment.offset, segment.count); };
    adamw(part(storage_.master()), part(storage_.gradients()), part(first_), part(second_), constants,
          segment.decays ? options_.weight_decay : 0.0, scalars_, scale);
  }
  storage_.take_master();
}

std::vector<std::pair<std::string, at::Tensor>> AdamW::state() const { return {{"first_moment", first_}, {"second_moment", second_}}; }

}  // namespace lacuna
