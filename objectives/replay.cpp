#include "objectives/replay.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>

#include <algorithm>
#include <cmath>

#include "data/error.h"

namespace lacuna {

Replay::Replay(int64_t rows, double share, int64_t rows_per_step) : share_(share), rows_per_step_(rows_per_step) {
  num_places_ = before(rows_per_step);
  if (num_places_ == 0) {
    throw usage_error("[objective] replay_share = " + std::to_string(share) + " of batch.global_size = " + std::to_string(rows_per_step) +
                      " is less than one row; raise it, or set replay_rows = 0");
  }
  depth_ = std::max<int64_t>(1, rows / num_places_);
}

int64_t Replay::before(int64_t place) const { return static_cast<int64_t>(std::floor(static_cast<double>(place) * share_)); }

void Replay::mark(Batch& batch, std::span<const Sample> samples, const Random& random) const {
  std::vector<int64_t> kept, replayed;
  for (size_t i = 0; i < samples.size(); ++i) {
    const int64_t position = samples[i].position, step = position / rows_per_step_;
    if (!keeps(position % rows_per_step_)) continue;
    kept.push_back(static_cast<int64_t>(i));
    if (step == 0) continue;
    auto drawn = random.fork("replay").fork(static_cast<uint64_t>(position));
    replayed.push_back(position - (1 + drawn.below(std::min(depth_, step))) * rows_per_step_);
  }
  if (kept.empty()) return;
  batch.kept = at::tensor(kept, at::kLong);
  if (replayed.empty()) return;
  batch.replayed = at::tensor(replayed, at::kLong);
  batch.target_count += static_cast<double>(batch.replayed.size(0) * batch.length());
}

void Replay::build(const Communicator& data, int64_t length, int64_t vocabulary_size) {
  if (num_places_ % data.size() != 0) {
    throw usage_error("[objective] replay_share keeps " + std::to_string(num_places_) + " rows of a step, which do not divide over " +
                      std::to_string(data.size()) + " data ranks; change it or batch.global_size");
  }
  own_places_ = num_places_ / data.size();
  first_place_ = own_places_ * data.rank();
  length_ = length;
  vocabulary_size_ = vocabulary_size;
}

void Replay::make(at::Device device) {
  if (tokens_.defined()) return;
  const auto numbers = at::TensorOptions(device).dtype(at::kInt);
  tokens_ = at::zeros({own_places_, depth_, length_}, numbers);
  targets_ = at::zeros({own_places_, depth_, length_}, numbers);
  logits_ = at::zeros({own_places_, depth_, length_, vocabulary_size_}, numbers.dtype(at::kFloat));
}

at::Tensor Replay::slots(const at::Tensor& positions) const {
  const auto place = positions.remainder(rows_per_step_), step = positions.floor_divide(rows_per_step_);
  // As before(place + 1) - 1, which is the place's number among those that keep.
  const auto number = ((place + 1).to(at::kDouble) * share_).floor().to(at::kLong) - (1 + first_place_);
  return number * depth_ + step.remainder(depth_);
}

Replay::Rows Replay::read(const Batch& batch) {
  const at::NoGradGuard no_grad;
  make(batch.tokens.device());
  const auto from = slots(batch.replayed);
  const auto rows = [&](const at::Tensor& all) { return all.flatten(0, 1).index_select(0, from); };
  return {rows(tokens_), rows(targets_), rows(logits_)};
}

void Replay::write(const Batch& batch, const at::Tensor& logits) {
  const at::NoGradGuard no_grad;
  make(batch.tokens.device());
  const auto to = slots(batch.stream_positions.index_select(0, batch.kept));
  const auto put = [&](const at::Tensor& all, const at::Tensor& values) {
    all.flatten(0, 1).index_copy_(0, to, values.index_select(0, batch.kept).to(all.scalar_type()));
  };
  put(tokens_, batch.tokens);
  put(targets_, batch.targets);
  put(logits_, logits);
}

std::vector<std::pair<std::string, at::Tensor>> Replay::state(at::Device device) {
  make(device);
  return {{"replay_tokens", tokens_}, {"replay_targets", targets_}, {"replay_logits", logits_}};
}

}  // namespace lacuna
