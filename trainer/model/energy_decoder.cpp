#include "trainer/model/energy_decoder.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/constant_pad_nd.h>
#include <ATen/ops/zeros.h>

#include <limits>

#include "data/error.h"
#include "trainer/kernels/embedding.h"
#include "trainer/kernels/rms_norm.h"
#include "trainer/model/attention_pattern.h"
#include "trainer/parallel/collectives.h"

namespace lacuna {
namespace {

DecoderOptions as_decoder(const EnergyDecoderOptions& o) {
  return {.visibility = Visibility::causal,
          .num_layers = o.num_layers,
          .hidden_size = o.hidden_size,
          .num_heads = o.num_heads,
          .num_kv_heads = o.num_heads,
          .feed_forward_size = o.feed_forward_size == 0 ? o.hidden_size : o.feed_forward_size,
          .norm = NormKind::rms_norm,
          .norm_epsilon = o.norm_epsilon,
          .position = PositionKind::rotary,
          .activation = Activation::swiglu,
          .bias = BiasKind::none,
          .rotary_base = o.rotary_base,
          .tied_embedding = false};
}

// Both streams lie whole on every tensor rank, whatever parallel.sequence says, as an encoder's do.
ModelContext with_whole_streams(ModelContext context) {
  context.sequence = false;
  return context;
}

StreamWeights weights_of(const DecoderBlock& block) {
  const auto named = block.named_parameters();
  return {.attention_norm = named["attention_norm.weight"],
          .input = at::cat({named["attention.query.weight"], named["attention.key.weight"], named["attention.value.weight"]}),
          .output = named["attention.output.weight"],
          .feed_forward_norm = named["feed_forward_norm.weight"],
          .gate_up = at::cat({named["feed_forward.gate.weight"], named["feed_forward.up.weight"]}),
          .down = named["feed_forward.down.weight"]};
}

at::Tensor scores_where(const at::Tensor& allowed) {
  return at::zeros(allowed.sizes(), allowed.options().dtype(at::kFloat))
      .masked_fill_(allowed.logical_not(), -std::numeric_limits<float>::infinity());
}

class EnergyStream : public CandidateStream {
 public:
  EnergyStream(std::vector<ObservedLayer> layers, std::vector<StreamWeights> weights, const at::Tensor& final_norm,
               const StreamShape& shape, at::Tensor positions, at::Tensor scores)
      : layers_(std::move(layers)),
        weights_(std::move(weights)),
        final_norm_(final_norm),
        shape_(shape),
        positions_(std::move(positions)),
        scores_(std::move(scores)) {}

  at::Tensor states(const at::Tensor& candidates) const override {
    const int64_t n = candidates.size(1), skipped = scores_.size(-2) - n;
    const auto angles = rotary_angles(positions_.narrow(-1, skipped, n), shape_.head_size, shape_.rotary_base);
    const auto scores = scores_.narrow(-2, skipped, n);
    auto x = candidates;
    for (size_t i = 0; i < layers_.size(); ++i) x = candidate_block(x, layers_[i], weights_[i], shape_, angles, scores);
    return rms_norm(x, final_norm_, shape_.norm_epsilon);
  }

 private:
  std::vector<ObservedLayer> layers_;
  std::vector<StreamWeights> weights_;
  at::Tensor final_norm_;
  StreamShape shape_;
  at::Tensor positions_, scores_;  // of a candidate for every position
};

}  // namespace

void EnergyDecoder::check(const Options& options, const Section& section, int64_t tensor_size) {
  Decoder::check(as_decoder(options), section, tensor_size);
}

EnergyDecoder::EnergyDecoder(const Options& options, const ModelContext& context)
    : Decoder(as_decoder(options), with_whole_streams(context)) {}

std::unique_ptr<CandidateStream> EnergyDecoder::observe(const Batch& batch, const at::Tensor& first) {
  if (recompute_ != Recompute::none && is_training()) {
    throw usage_error("parallel.recompute does not go with objectives that judge candidates, whose slopes are differentiated again; "
                      "use \"none\"");
  }
  wait_for_input();
  const int64_t rows = batch.rows(), length = batch.length(), offset = first.defined() ? 1 : 0;
  const StreamShape shape{.head_size = options_.hidden_size / options_.num_heads,
                          .norm_epsilon = options_.norm_epsilon,
                          .rotary_base = options_.rotary_base,
                          .axis = &mesh_.tensor()};
  const auto& table = embedding_->weight();
  auto x = reduce_from_axis(embedding_reference(batch.tokens, table, shape.axis->rank() * table.size(0)), *shape.axis);
  // Positions of tokens, and who sees whom: what a token sees the candidate for what follows it sees too.
  auto positions = batch.positions.defined() ? batch.positions + offset
                                             : at::arange(offset, length + offset, batch.tokens.options().dtype(at::kInt));
  const auto proposed = positions + 1;
  auto allowed = allowed_pairs(Visibility::causal, 0, batch);
  if (first.defined()) {
    x = at::cat({first.to(x.scalar_type()).expand({rows, 1, -1}), x}, 1);
    positions = at::constant_pad_nd(positions, {1, 0});
    allowed = at::constant_pad_nd(allowed, {1, 0}, true);
  }
  AttentionPattern pattern{.causal = true, .scores = {}};
  if (batch.segments.defined()) {
    auto of_tokens = first.defined() ? at::constant_pad_nd(allowed, {0, 0, 1, 0}, false) : allowed;
    if (first.defined()) of_tokens.select(-2, 0).select(-1, 0).fill_(true);
    pattern = {.causal = false, .scores = scores_where(of_tokens)};
  }
  const auto angles = rotary_angles(positions, shape.head_size, shape.rotary_base);
  std::vector<ObservedLayer> layers;
  std::vector<StreamWeights> weights;
  // Products and kernels like lines of multiples of 8: candidates see so many more keys, which weigh nothing.
  const int64_t unseen = (8 - (length + offset) % 8) % 8;
  const auto with_unseen = [&](const at::Tensor& heads) { return at::constant_pad_nd(heads, {0, 0, 0, unseen}); };
  for (size_t i = 0; i < blocks_.size(); ++i) {
    wait_for(*blocks_[i]);
    weights.push_back(weights_of(*blocks_[i]));
    const auto heads = heads_of(x, weights.back(), shape, angles);
    layers.push_back({.keys = with_unseen(heads.keys), .values = with_unseen(heads.values)});
    if (i + 1 < blocks_.size()) x = observed_block(x, heads, weights.back(), shape, pattern);
  }
  wait_for_output();
  allowed = at::constant_pad_nd(allowed, {0, unseen}, false);
  return std::make_unique<EnergyStream>(std::move(layers), std::move(weights), final_norm_->parameters().front(), shape, proposed,
                                        scores_where(allowed));
}

}  // namespace lacuna
