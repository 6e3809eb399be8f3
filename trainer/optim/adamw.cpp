#include "trainer/optim/adamw.h"

#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>

#include <cmath>

#include "trainer/kernels/line_mask.h"
#include "trainer/kernels/set_values.h"

namespace lacuna {

AdamW::AdamW(const Options& options, FlatStorage& storage)
    : options_(options),
      storage_(storage),
      first_(at::zeros_like(storage.master())),
      second_(at::zeros_like(storage.master())),
      scalars_(at::zeros({4}, storage.master().options())) {
  auto mask = empty_line_mask(storage.size());
  for (const auto& range : storage.ranges()) {
    if (range.decays) mark_lines(mask, range.offset, range.count);
    if (!segments_.empty() && segments_.back().decays == range.decays) {
      segments_.back().count = range.offset + range.count - segments_.back().offset;  // padding between them stays zero
    } else {
      segments_.push_back({range.offset, range.count, range.decays});
    }
  }
  if (!storage.master().is_cpu()) decays_ = tensor_of(mask).to(storage.master().device());
}

void AdamW::begin(int64_t step, double learning_rate) {
  const auto number = static_cast<double>(step);
  // The scale, which is not known yet, follows in update().
  set_values(scalars_, {learning_rate, 0, 1 - std::pow(options_.beta1, number), 1 - std::pow(options_.beta2, number)});
}

void AdamW::update(const at::Tensor& scale) {
  scalars_.narrow(0, 1, 1).copy_(scale);
  const AdamWConstants constants{options_.beta1, options_.beta2, options_.epsilon};
  if (decays_.defined()) {
    const bool copies = !storage_.parameters().is_same(storage_.master());
    adamw({.parameters = storage_.master(),
           .gradients = storage_.gradients(),
           .first = first_,
           .second = second_,
           .copy = copies ? storage_.parameters() : at::Tensor(),
           .decays = decays_},
          constants, options_.weight_decay, scalars_);
    return;
  }
  for (const auto& segment : segments_) {
    const auto part = [&](const at::Tensor& flat) { return flat.narrow(0, segment.offset, segment.count); };
    adamw({.parameters = part(storage_.master()),
           .gradients = part(storage_.gradients()),
           .first = part(first_),
           .second = part(second_),
           .copy = {},
           .decays = {}},
          constants, segment.decays ? options_.weight_decay : 0.0, scalars_);
  }
  storage_.take_master();
}

std::vector<std::pair<std::string, at::Tensor>> AdamW::state() const { return {{"first_moment", first_}, {"second_moment", second_}}; }

}  // namespace lacuna
