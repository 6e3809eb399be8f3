#include "objectives/masked_spectrogram.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/zeros.h>

#include "data/error.h"
#include "objectives/documents.h"
#include "data/patch_rows.h"

namespace lacuna {
namespace {

PatchGrid grid_in(const RowContext& context) {
  if (!context.grid) throw Error(ExitCode::internal, "masked_spectrogram was made for rows without a grid");
  return *context.grid;
}

MaskedSpectrogramOptions with_defaults(MaskedSpectrogramOptions o, const PatchGrid& grid) {
  const bool tera = o.variant == SpectrogramVariant::tera, ssast = o.variant == SpectrogramVariant::ssast;
  if (o.scale == 0) o.scale = ssast ? 0.5 : 1;
  if (o.frequency_ratio < 0) o.frequency_ratio = tera ? 0.2 : 0;
  if (o.noise_probability < 0) o.noise_probability = tera ? 0.15 : 0;
  if (o.num_masked == 0) o.num_masked = std::max<int64_t>(1, grid.patches() * 400 / 512);
  if (grid.rows() == 1) o.cluster = Cluster::uniform;
  return o;
}

}  // namespace

MaskedSpectrogram::MaskedSpectrogram(const Options& options, const RowContext& context)
    : options_(with_defaults(options, grid_in(context))), grid_(grid_in(context)) {
  if (!masks_patches()) return;
  const auto& o = options_;
  const int64_t most = grid_.patches() - (o.cluster == Cluster::reference ? 2 : 0);
  if (o.num_masked > most) {
    throw usage_error("[objective] num_masked = " + std::to_string(o.num_masked) + " does not fit into the " +
                      std::to_string(grid_.patches()) + " patches of a row; use at most " + std::to_string(most));
  }
  if (o.cluster_min > o.cluster_max) {
    throw usage_error("[objective] cluster_min = " + std::to_string(o.cluster_min) +
                      " is more than cluster_max = " + std::to_string(o.cluster_max));
  }
}

Batch MaskedSpectrogram::prepare(std::span<const Sample> samples, const Random& random) const {
  return masks_patches() ? masked_rows(samples, random) : altered_rows(samples, random);
}

Batch MaskedSpectrogram::masked_rows(std::span<const Sample> samples, const Random& random) const {
  const int64_t copies = rows_of_a_sample(), count = options_.num_masked, length = grid_.patches(), size = grid_.patch_size();
  const int64_t rows = copies * static_cast<int64_t>(samples.size());
  Batch batch;
  batch.values = at::empty({rows, length, size}, at::kFloat);
  batch.masked = at::zeros({rows, length}, at::kBool);
  batch.weights = at::zeros({rows, length}, at::kFloat);
  batch.segments = at::empty({rows, length}, at::kInt);
  batch.predicted = at::empty({rows, count}, at::kInt);
  batch.stream_positions = at::empty({rows}, at::kLong);
  auto *value = batch.values.data_ptr<float>(), *weight = batch.weights.data_ptr<float>();
  auto* masked = batch.masked.data_ptr<bool>();
  auto *segment = batch.segments.data_ptr<int32_t>(), *predicted = batch.predicted.data_ptr<int32_t>();
  auto* place = batch.stream_positions.data_ptr<int64_t>();
  const float part = 1.0f / static_cast<float>(copies);
  for (const auto& sample : samples) {
    const auto own = random.fork(static_cast<uint64_t>(sample.position));
    const auto row = row_of_frames(grid_, sample, options_.scale);
    for (int64_t copy = 0; copy < copies; ++copy) {
      if (copy == 0) {
        cut_patches(grid_, row, value);
      } else {
        std::copy_n(value - length * size, length * size, value);
      }
      mark_patches(grid_, frames_in(grid_, sample), segment);
      const auto mask = mask_patches(grid_, options_.cluster, count, options_.cluster_min, options_.cluster_max,
                                     own.fork(static_cast<uint64_t>(copy)));
      for (const int32_t patch : mask.patches) {
        masked[patch] = true;
        weight[patch] = segment[patch] == 0 ? 0 : part;
        batch.target_count += static_cast<double>(weight[patch]);
      }
      predicted = std::copy(mask.patches.begin(), mask.patches.end(), predicted);
      *place++ = copies * sample.position + copy;
      value += length * size, masked += length, weight += length, segment += length;
    }
  }
  batch.value_targets = batch.values;
  forget_whole_segments(batch);
  return batch;
}

Batch MaskedSpectrogram::altered_rows(std::span<const Sample> samples, const Random& random) const {
  const int64_t length = grid_.patches(), size = grid_.patch_size(), rows = static_cast<int64_t>(samples.size());
  const Alteration alteration{.time_ratio = options_.time_ratio,
                              .time_width = options_.time_width,
                              .frequency_ratio = options_.frequency_ratio,
                              .noise_probability = options_.noise_probability,
                              .noise_deviation = options_.noise_deviation};
  Batch batch;
  batch.values = at::empty({rows, length, size}, at::kFloat);
  batch.value_targets = at::empty({rows, length, size}, at::kFloat);
  batch.value_weights = at::empty({rows, length, size}, at::kFloat);
  batch.segments = at::empty({rows, length}, at::kInt);
  for (int64_t i = 0; i < rows; ++i) {
    const auto& sample = samples[static_cast<size_t>(i)];
    const int64_t frames = frames_in(grid_, sample), offset = i * length * size;
    auto row = row_of_frames(grid_, sample, options_.scale);
    cut_patches(grid_, row, batch.value_targets.data_ptr<float>() + offset);
    const auto predicted = alter_frames(grid_, frames, alteration, row, random.fork(static_cast<uint64_t>(sample.position)));
    cut_patches(grid_, row, batch.values.data_ptr<float>() + offset);
    cut_patches(grid_, predicted, batch.value_weights.data_ptr<float>() + offset);
    mark_patches(grid_, frames, batch.segments.data_ptr<int32_t>() + i * length);
    for (const float weight : predicted) batch.target_count += static_cast<double>(weight);
  }
  batch.stream_positions = stream_positions(samples);
  forget_whole_segments(batch);
  return batch;
}

void MaskedSpectrogram::build(const ModelContext& context, const Architecture& architecture) {
  const auto head = [&](const std::string& name, ValueHeadKind kind) {
    return register_module(name, std::make_shared<ValueHead>(context, kind, architecture.hidden_size(), grid_.patch_size()));
  };
  if (!masks_patches()) {
    generative_ = head("generative", ValueHeadKind::normalised);
    return;
  }
  if (options_.terms != SpectrogramTerms::generative) discriminative_ = head("discriminative", ValueHeadKind::perceptron);
  if (options_.terms != SpectrogramTerms::discriminative) generative_ = head("generative", ValueHeadKind::perceptron);
}

Loss MaskedSpectrogram::loss(Architecture& architecture, const Batch& batch) {
  const auto states = architecture.forward(batch).states;
  return masks_patches() ? loss_of_masked(states, batch) : loss_of_altered(states, batch);
}

at::Tensor MaskedSpectrogram::paint(Architecture& architecture, const Batch& batch) {
  if (!generative_) throw usage_error("a network that was trained with terms = \"discriminative\" alone paints nothing");
  return generative_->forward(architecture.forward(batch).states);
}

Loss MaskedSpectrogram::loss_of_masked(const at::Tensor& states, const Batch& batch) const {
  const auto at = batch.predicted.to(at::kLong);
  const auto picked = [&](const at::Tensor& x) { return x.gather(1, at.unsqueeze(-1).expand({-1, -1, x.size(-1)})); };
  const auto reached = picked(states), patches = picked(batch.value_targets), weights = batch.weights.gather(1, at);
  // Each term's rows: all, or every second one, whose halves of weights then count whole. Unbound together, their gradients are put
  // together in one pass.
  const int64_t copies = rows_of_a_sample();
  const auto of_terms = [&](const at::Tensor& x) {
    return copies == 1 ? std::vector<at::Tensor>{x, x} : x.unflatten(0, {-1, copies}).unbind(1);
  };
  const auto states_of = of_terms(reached), patches_of = of_terms(patches);
  const auto weights_of = of_terms(weights * static_cast<double>(copies));
  Loss loss;
  const auto add = [&](const std::string& name, const at::Tensor& sum, double factor) {
    loss.metrics.emplace_back(name, sum.detach());
    loss.sum = loss.sum.defined() ? loss.sum + factor * sum : factor * sum;
  };
  if (discriminative_) {
    const auto found = contrast(discriminative_->forward(states_of[0]), patches_of[0], weights_of[0], options_.infonce_axis);
    add("discriminative", (weights_of[0] * found.losses).sum(), 1);
    loss.metrics.emplace_back("accuracy", (weights_of[0] * found.correct).sum());
  }
  if (generative_) {
    const auto errors = (generative_->forward(states_of[1]) - patches_of[1]).square().mean(-1);
    const bool joint = options_.terms == SpectrogramTerms::joint;
    add("generative", (weights_of[1] * errors).sum(), joint ? options_.lambda : 1);
  }
  return loss;
}

Loss MaskedSpectrogram::loss_of_altered(const at::Tensor& states, const Batch& batch) const {
  const auto errors = (generative_->forward(states) - batch.value_targets).abs();
  return {.sum = (batch.value_weights * errors).sum(), .metrics = {}};
}

double MaskedSpectrogram::flops_per_token(const Architecture& architecture, int64_t length) const {
  const auto d = static_cast<double>(architecture.hidden_size()), p = static_cast<double>(grid_.patch_size());
  const double head = 6 * d * (d + p);
  if (!masks_patches()) return head;
  const double count = static_cast<double>(options_.num_masked), share = count / static_cast<double>(length);
  // Scores of patches against predictions: one product forward, one backward.
  const double contrast = discriminative_ ? 4 * count * p : 0;
  const double heads = (discriminative_ ? head : 0) + (generative_ ? head : 0);
  return share * (heads + contrast) + (doubles_rows() ? architecture.flops_per_token(length) : 0);
}

}  // namespace lacuna
