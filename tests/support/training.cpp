#include "tests/support/training.h"

#include <ATen/ops/full.h>
#include <ATen/ops/zeros.h>

#include <cmath>
#include <optional>

#include "tests/support/network.h"
#include "trainer/batch_slot.h"
#include "trainer/kernels/graph.h"
#include "trainer/optim/adamw.h"
#include "trainer/optim/gradient_norm.h"
#include "trainer/optim/shared_gradients.h"
#include "trainer/training_state.h"

namespace lacuna::testing {
namespace {

constexpr int64_t kVocabulary = 61, kLength = 16, kRows = 8;
constexpr double kLearningRate = 3e-3, kClipNorm = 0.5;

Batch rows_of(const Batch& whole, int64_t first, int64_t count) {
  Batch part = whole;
  for (at::Tensor* field : part.tensors()) {
    if (field->defined()) *field = field->narrow(0, first, count).contiguous();
  }
  return part;
}

class Training {
 public:
  Training(Mesh& mesh, at::Device device, const TrainingSettings& s)
      : mesh_(mesh),
        device_(device),
        settings_(s),
        decoder_(s.decoder, {.mesh = mesh,
                             .parameters = table_,
                             .vocabulary_size = kVocabulary,
                             .max_length = kLength,
                             .seed = 3,
                             .fused = s.fused,
                             .sequence = s.sequence}),
        parameters_(table_.list(decoder_)),
        storage_(parameters_, mesh.data().size(), device, s.compute,
                 {.rank = s.shard_optimizer ? mesh.data().rank() : 0,
                  .ranks = s.shard_optimizer ? mesh.data().size() : 1,
                  .bucket_elements = s.bucket_elements}),
        optimizer_({.clip_norm = kClipNorm}, storage_),
        buckets_(bucket_parameters(storage_), storage_.gradients(), mesh.data(), storage_.layout()),
        graphs_(s.record),
        first_(graphs_),
        middle_(graphs_),
        last_(graphs_) {
    initialize(parameters_, 3, mesh.tensor().rank(), mesh.tensor().size());
    if (storage_.is_sharded()) {
      gather_.emplace(bucket_parameters(storage_), storage_.parameters(), storage_.layout(), mesh.data());
    }
    decoder_.gather_parameters(gather_ ? &*gather_ : nullptr);
    if (decoder_.splits_sequence()) shared_.emplace(storage_, mesh.tensor());
    loss_ = at::zeros({1}, at::TensorOptions(device).dtype(at::kDouble));
    norm_ = at::zeros({1}, loss_.options());
    count_ = at::full({1}, static_cast<double>(kRows * kLength), loss_.options());
  }

  Curve run() {
    Curve curve;
    for (int64_t step = 1; step <= settings_.steps; ++step) {
      optimizer_.begin(step, kLearningRate);
      graphs_.begin_round();
      loss_.zero_();
      const auto whole = random_batch(kRows, kLength, kVocabulary, static_cast<uint64_t>(step % 4 + 1));
      const int64_t share = kRows / mesh_.data().size(), micro = share / settings_.micro_batches;
      for (int64_t m = 0; m < settings_.micro_batches; ++m) {
        slot_.load(rows_of(whole, mesh_.data().rank() * share + m * micro, micro), device_);
        const bool first = m == 0, last = m + 1 == settings_.micro_batches;
        (last ? last_ : first ? first_ : middle_).run([&] { micro_batch(first, last); });
      }
      curve.losses.push_back(loss_.item<double>() / static_cast<double>(kRows * kLength));
      curve.norms.push_back(norm_.item<double>());
    }
    curve.state_size = optimizer_.state().front().second.numel();
    return curve;
  }

 private:
  void micro_batch(bool first, bool last) {
    if (first && gather_) gather_->start();
    const auto& batch = slot_.value();
    const auto sum = decoder_.head().loss(decoder_.forward(batch).states, batch.targets, batch.weights);
    if (first && gather_) gather_->finish();
    if (last) buckets_.arm();
    sum.backward();
    loss_.add_(sum.detach());
    if (!last) return;
    buckets_.finish();
    if (shared_) shared_->sum();
    if (mesh_.tensor().rank() != 0) loss_.zero_();
    mesh_.world().all_reduce(loss_, Reduce::sum);
    const auto [norm, scale] = gradient_scale(squared_gradient_norm(storage_, mesh_), count_, loss_, optimizer_.clip_norm());
    optimizer_.update(scale);
    norm_.copy_(norm);
  }

  Mesh& mesh_;
  const at::Device device_;
  const TrainingSettings settings_;
  ParameterTable table_;
  Decoder decoder_;
  std::vector<ParameterSpec> parameters_;
  FlatStorage storage_;
  AdamW optimizer_;
  GradientBuckets buckets_;
  std::optional<ParameterGather> gather_;
  std::optional<SharedGradients> shared_;
  BatchSlot slot_;
  at::Tensor loss_, norm_, count_;
  GraphPool graphs_;
  Graph first_, middle_, last_;
};

}  // namespace

std::string words(Mesh& mesh, const TrainingSettings& s) {
  return std::to_string(mesh.data().size()) + "x" + std::to_string(mesh.tensor().size()) +
         (s.shard_optimizer ? ", sharded" : "") + (s.sequence ? ", split stream" : "") + (s.fused ? ", fused" : "") +
         (s.record ? ", recorded" : "");
}

Curve train(Mesh& mesh, at::Device device, const TrainingSettings& settings) { return Training(mesh, device, settings).run(); }

double distance(const Curve& a, const Curve& b) {
  double worst = 0;
  const auto compare = [&](const std::vector<double>& x, const std::vector<double>& y) {
    for (size_t i = 0; i < x.size(); ++i) {
      const double difference = std::abs(x[i] - y[i]) / std::abs(y[i]);
      if (!(difference <= worst)) worst = difference;  // a NaN too
    }
  };
  compare(a.losses, b.losses);
  compare(a.norms, b.norms);
  return worst;
}

}  // namespace lacuna::testing
