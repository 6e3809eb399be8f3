#include "trainer/evaluate/frame_states.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/std.h>
#include <ATen/ops/zeros.h>

#include "data/patch_rows.h"
#include "trainer/evaluate/answerer.h"
#include "trainer/model/layer_states.h"

namespace lacuna {

Batch whole_rows(const EvaluationContext& c, const std::vector<const Sample*>& samples) {
  const auto& grid = c.grid.value();
  const auto rows = static_cast<int64_t>(samples.size()), patches = grid.patches(), size = grid.patch_size();
  Batch batch;
  batch.values = at::empty({rows, patches, size}, at::kFloat);
  batch.segments = at::empty({rows, patches}, at::kInt);
  batch.stream_positions = at::empty({rows}, at::kLong);
  for (int64_t i = 0; i < rows; ++i) {
    const auto& sample = *samples[static_cast<size_t>(i)];
    cut_patches(grid, row_of_frames(grid, sample, c.objective.frame_scale()), batch.values.data_ptr<float>() + i * patches * size);
    mark_patches(grid, frames_in(grid, sample), batch.segments.data_ptr<int32_t>() + i * patches);
    batch.stream_positions.data_ptr<int64_t>()[i] = sample.position;
  }
  return batch.to(c.device);
}

at::Tensor pooled(const at::Tensor& states, const Batch& batch) {
  const auto valid = batch.segments.ne(0).to(states.scalar_type()).unsqueeze(2);
  return (states * valid).sum(1) / valid.sum(1).clamp_min(1);
}

at::Tensor document_states(const EvaluationContext& c, const Documents& documents) {
  const Judging judging(c.architecture);
  auto& data = c.mesh.data();
  auto* layered = dynamic_cast<LayerStates*>(&c.architecture);
  const auto n = static_cast<int64_t>(documents.size());
  const int64_t first = n * data.rank() / data.size(), last = n * (data.rank() + 1) / data.size();
  struct Place {
    const Sample* sample;
    int64_t document;
  };
  std::vector<Place> places;
  for (int64_t d = first; d < last; ++d) {
    for (const auto& sample : documents[static_cast<size_t>(d)]->samples) places.push_back({&sample, d});
  }
  const auto states_of = [&](const Batch& batch) {
    const auto states = layered ? layered->layer_states(batch) : std::vector{c.architecture.forward(batch).states};
    std::vector<at::Tensor> means;
    for (const auto& layer : states) means.push_back(pooled(layer, batch).to(at::kCPU, at::kDouble));
    return at::stack(means);
  };
  // Every rank needs the number of layers, one without documents too.
  int64_t layers = 1;
  if (layered) {
    const auto batch = whole_rows(c, {&documents.front()->samples.front()});
    layers = static_cast<int64_t>(layered->layer_states(batch).size());
  }
  auto states = at::zeros({layers, n, c.architecture.hidden_size()}, at::kDouble);
  for (size_t begin = 0; begin < places.size(); begin += static_cast<size_t>(c.micro_size)) {
    const auto end = std::min(places.size(), begin + static_cast<size_t>(c.micro_size));
    std::vector<const Sample*> samples;
    for (size_t i = begin; i < end; ++i) samples.push_back(places[i].sample);
    const auto found = states_of(whole_rows(c, samples));
    for (size_t i = begin; i < end; ++i) {
      const auto windows = static_cast<double>(documents[static_cast<size_t>(places[i].document)]->samples.size());
      states.select(1, places[i].document) += found.select(1, static_cast<int64_t>(i - begin)) / windows;
    }
    if (c.alive) c.alive();
  }
  data.all_reduce(states, Reduce::sum);
  return states;
}

at::Tensor document_features(const Documents& documents, int64_t frame_size) {
  auto features = at::zeros({1, static_cast<int64_t>(documents.size()), 2 * frame_size}, at::kDouble);
  for (size_t d = 0; d < documents.size(); ++d) {
    std::vector<float> frames;
    for (const auto& sample : documents[d]->samples) frames.insert(frames.end(), sample.frames.begin(), sample.frames.end());
    const auto values =
        at::from_blob(frames.data(), {static_cast<int64_t>(frames.size()) / frame_size, frame_size}, at::kFloat).to(at::kDouble);
    auto row = features[0][static_cast<int64_t>(d)];
    row.narrow(0, 0, frame_size).copy_(values.mean(0));
    row.narrow(0, frame_size, frame_size).copy_(values.std(0, /*unbiased=*/false));
  }
  return features;
}

}  // namespace lacuna
