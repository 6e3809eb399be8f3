#include "objectives/position_on_patches.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/cosine_similarity.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/unique_dim.h>
#include <ATen/ops/zeros.h>

#include <cmath>
#include <map>
#include <numeric>
#include <string_view>

#include "objectives/corruption.h"
#include "objectives/documents.h"
#include "data/patch_rows.h"

namespace lacuna {
namespace {

int64_t share(double part, int64_t count) { return static_cast<int64_t>(part * static_cast<double>(count)); }

// The chances of all places, by their distance to one.
void smooth(const PatchGrid& grid, int64_t place, double deviation, float* out) {
  const int64_t columns = grid.columns();
  double sum = 0;
  std::vector<double> chances(static_cast<size_t>(grid.patches()));
  for (int64_t i = 0; i < grid.patches(); ++i) {
    const auto lines = static_cast<double>(i / columns - place / columns),
               frames = static_cast<double>(i % columns - place % columns);
    const double squared = lines * lines + frames * frames;
    chances[static_cast<size_t>(i)] = deviation > 0 ? std::exp(-squared / (2 * deviation * deviation)) : squared == 0 ? 1 : 0;
    sum += chances[static_cast<size_t>(i)];
  }
  for (const double chance : chances) *out++ = static_cast<float>(chance / sum);
}

}  // namespace

std::vector<bool> find_duplicates(const float* patches, const int32_t* valid, int64_t count, int64_t size) {
  std::map<std::string_view, int64_t> times;
  const auto content = [&](int64_t i) {
    return std::string_view(reinterpret_cast<const char*>(patches + i * size), static_cast<size_t>(size) * sizeof(float));
  };
  for (int64_t i = 0; i < count; ++i) times[content(i)] += valid[i] != 0;
  std::vector<bool> duplicates(static_cast<size_t>(count));
  for (int64_t i = 0; i < count; ++i) duplicates[static_cast<size_t>(i)] = valid[i] != 0 && times[content(i)] > 1;
  return duplicates;
}

at::Tensor resemblance(const at::Tensor& picked, const at::Tensor& states, const Batch& batch, const at::Tensor& counted,
                       double temperature) {
  const at::NoGradGuard no_grad;
  const auto present = batch.segments.defined() ? states * batch.segments.ne(0).unsqueeze(-1).to(states.scalar_type()) : states;
  const auto mean = present.sum(1, true).to(at::kFloat);  // its length does not matter
  const auto similarity = at::cosine_similarity(picked.to(at::kFloat), mean, -1);
  const auto shares = (similarity / temperature).masked_fill(counted.eq(0), -1e30).softmax(-1);
  return shares * counted.sum(-1, true);  // a row without weights keeps none
}

at::Tensor findable(const at::Tensor& picked, const at::Tensor& counted) {
  const auto rows = picked.size(0), asked = picked.size(1);
  const auto row = at::arange(rows, picked.options()).view({rows, 1, 1}).expand({rows, asked, 1});
  const auto asked_for = counted.ne(0).unsqueeze(-1).to(picked.scalar_type());
  const auto told_apart = at::cat({row, asked_for, picked}, -1).flatten(0, 1);
  const auto [contents, which, times] = at::unique_dim(told_apart, 0, /*sorted=*/true, /*inverse=*/true, /*counts=*/true);
  return times.index_select(0, which).reciprocal().view({rows, asked}) * counted.ne(0);
}

Batch place_patches(std::span<const Sample> samples, const PatchGrid& grid, const PositionOptions& o, int64_t rows_per_step,
                    const Random& random) {
  const int64_t rows = static_cast<int64_t>(samples.size()), places = grid.patches(), size = grid.patch_size();
  const int64_t length = places - share(o.drop, places), asked = std::max<int64_t>(1, share(o.withheld, length));
  Batch batch;
  batch.values = at::zeros({rows, length, size}, at::kFloat);
  batch.segments = at::zeros({rows, length}, at::kInt);
  batch.targets = at::zeros({rows, length}, at::kInt);
  batch.weights = at::zeros({rows, length}, at::kFloat);
  batch.predicted = at::empty({rows, asked}, at::kInt);
  if (o.withheld < 1) batch.positions = at::zeros({rows, length}, at::kInt);
  if (o.eta > 0) batch.keys = at::zeros({rows, length}, at::kBool);
  if (o.smoothing > 0) batch.value_targets = at::zeros({rows, asked, places}, at::kFloat);
  std::vector<float> patches(static_cast<size_t>(places * size));
  std::vector<int32_t> valid(static_cast<size_t>(places));
  for (int64_t b = 0; b < rows; ++b) {
    const auto& sample = samples[static_cast<size_t>(b)];
    const auto own = random.fork(static_cast<uint64_t>(sample.position));
    cut_patches(grid, row_of_frames(grid, sample, 1), patches.data());
    mark_patches(grid, frames_in(grid, sample), valid.data());
    std::vector<int32_t> present;
    for (int32_t i = 0; i < places; ++i) {
      if (valid[static_cast<size_t>(i)] != 0) present.push_back(i);
    }
    const auto there = static_cast<int64_t>(present.size()), kept = there - share(o.drop, there);
    const auto duplicates = find_duplicates(patches.data(), valid.data(), places, size);
    const auto offset = b * length;
    auto *target = batch.targets.data_ptr<int32_t>() + offset, *segment = batch.segments.data_ptr<int32_t>() + offset;
    auto* position = o.withheld < 1 ? batch.positions.data_ptr<int32_t>() + offset : nullptr;
    int64_t slot = 0;
    for (const int32_t index : choose(there, kept, own.fork("kept"))) {
      const int32_t place = present[static_cast<size_t>(index)];
      std::copy_n(patches.begin() + place * size, size, batch.values.data_ptr<float>() + (offset + slot) * size);
      target[slot] = place, segment[slot] = 1;
      if (position != nullptr) position[slot] = place;
      ++slot;
    }
    if (o.eta > 0) {
      for (const int32_t key : choose(kept, kept - share(o.eta, kept), own.fork("keys")))
        batch.keys.data_ptr<bool>()[offset + key] = true;
    }
    // Slots without weight fill the list up where a row has fewer patches than places.
    const auto withheld = choose(kept, std::min(kept, std::max<int64_t>(1, share(o.withheld, kept))), own.fork("withheld"));
    auto* predicted = batch.predicted.data_ptr<int32_t>() + b * asked;
    const auto* first = predicted;
    std::vector<bool> taken(static_cast<size_t>(length));
    for (const int32_t s : withheld) {
      if (position != nullptr) position[s] = static_cast<int32_t>(places);  // the vector behind the places
      const bool ignored = o.duplicates == Duplicates::ignore && duplicates[static_cast<size_t>(target[s])];
      batch.weights.data_ptr<float>()[offset + s] = ignored ? 0 : 1;
      batch.target_count += ignored ? 0 : 1;
      taken[static_cast<size_t>(s)] = true;
      *predicted++ = s;
    }
    for (int32_t s = 0; predicted - first < asked; ++s) {
      if (!taken[static_cast<size_t>(s)]) *predicted++ = s;
    }
    if (o.smoothing == 0) continue;
    const double step = std::floor(static_cast<double>(sample.position) / static_cast<double>(rows_per_step));
    const double left = o.smoothing_steps > 0 ? std::max(0.0, 1 - step / static_cast<double>(o.smoothing_steps)) : 1;
    for (int64_t i = 0; i < asked; ++i) {
      smooth(grid, target[first[i]], o.smoothing * left, batch.value_targets.data_ptr<float>() + (b * asked + i) * places);
    }
  }
  batch.stream_positions = stream_positions(samples);
  forget_whole_segments(batch);
  return batch;
}

}  // namespace lacuna
