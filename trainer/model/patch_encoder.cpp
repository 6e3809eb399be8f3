#include "trainer/model/patch_encoder.h"

#include <ATen/Context.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/where.h>
#include <ATen/ops/zeros.h>

#include <cmath>
#include <limits>

#include "data/error.h"
#include "trainer/model/decoder.h"
#include "trainer/model/recomputed.h"

namespace lacuna {
namespace {

// Residual streams lie whole on every tensor rank, whatever parallel.sequence says, as an encoder's do.
ModelContext with_whole_stream(ModelContext context) {
  context.sequence = false;
  return context;
}

DecoderOptions block_of(const PatchEncoderOptions& o) {
  return lacuna::block_of(o, Visibility::full, PositionKind::none);
}

// places (n) -> (n, size): sines, then cosines, of size / 2 wave lengths.
at::Tensor sines_of(const at::Tensor& places, int64_t size) {
  const auto options = places.options();
  const auto rates = (at::arange(size / 2, options) * (-std::log(10000.0) / static_cast<double>(size / 2))).exp();
  const auto angles = places.unsqueeze(1) * rates;
  return at::cat({angles.sin(), angles.cos()}, 1);
}

}  // namespace

at::Tensor sine_positions(const PatchGrid& grid, int64_t size, at::Device device) {
  const auto options = at::TensorOptions().dtype(at::kFloat).device(device);
  const auto columns = at::arange(grid.columns(), options);
  if (grid.rows() == 1) return sines_of(columns, size);
  const auto lines = at::arange(grid.rows(), options).repeat_interleave(grid.columns());
  return at::cat({sines_of(lines, size / 2), sines_of(columns.repeat({grid.rows()}), size / 2)}, 1);
}

void PatchEncoder::check(const Options& o, const Section& section, int64_t tensor_size) {
  Decoder::check(block_of(o), section, tensor_size);
  if (o.position == PatchPosition::sine && o.hidden_size % 4 != 0) {
    throw section.error("hidden_size",
                        std::to_string(o.hidden_size) + " is not a multiple of 4, which position = \"sine\" needs");
  }
}

Offers PatchEncoder::offers(const Options& o) {
  return {.modality = "frames",
          .visibility = Visibility::full,
          .withholds_positions = o.position != PatchPosition::none,
          .documents = false,
          .patch_bins = o.patch_mels,
          .patch_frames = o.patch_frames};
}

PatchEncoder::PatchEncoder(const Options& o, const ModelContext& given)
    : options_(o),
      mesh_(given.mesh),
      operations_(given.operations),
      fused_(given.fused),
      deterministic_(given.deterministic),
      recompute_(given.recompute),
      random_(Random(given.seed, 1).fork("dropout").fork("embedding")) {
  if (!given.grid) throw Error(ExitCode::internal, "a patch encoder was made without a grid");
  grid_ = *given.grid;
  const auto context = with_whole_stream(given);
  auto& table = context.parameters;
  const int64_t size = o.hidden_size, places = grid_.patches();
  weight_ = table.declare(*this, "patch_weight", {size, grid_.patch_size()}, -1, 1, InitialValues::normal);
  bias_ = table.declare(*this, "patch_bias", {size}, -1, 1, InitialValues::zeros);
  mask_ = table.declare(*this, "mask", {size}, -1, 1, InitialValues::normal);
  if (o.num_class_tokens > 0) class_tokens_ = table.declare_table(*this, "class_tokens", o.num_class_tokens, size);
  if (o.position == PatchPosition::learned) position_ = table.declare_table(*this, "position", context.max_length, size);
  if (o.position == PatchPosition::sine && context.max_length > places) {
    withheld_ = table.declare(*this, "withheld", {size}, -1, 1, InitialValues::normal);
  }
  for (int64_t i = 0; i < (o.shared_layers ? 1 : o.num_layers); ++i) {
    blocks_.push_back(register_module("block" + std::to_string(i), std::make_shared<DecoderBlock>(context, block_of(o), i)));
  }
  norm_ = register_module(o.post_norm ? "embedding_norm" : "final_norm",
                          std::make_shared<Norm>(context, o.norm, size, o.bias == BiasKind::all, o.norm_epsilon));
}

const at::Tensor& PatchEncoder::sines(const at::Tensor& like) const {
  if (!sines_.defined() || sines_.device() != like.device() || sines_.scalar_type() != like.scalar_type()) {
    sines_ = sine_positions(grid_, options_.hidden_size, like.device()).to(like.scalar_type());
  }
  return sines_;
}

at::Tensor PatchEncoder::with_positions(const at::Tensor& x, const Batch& batch) const {
  if (position_.defined()) return x + operations_.embedding(batch.positions, position_, 0);
  if (options_.position == PatchPosition::none) return x;
  if (!batch.positions.defined()) return x + sines(x);
  const auto places = batch.positions.to(at::kLong);
  const auto known = sines(x).index_select(0, places.clamp_max(grid_.patches() - 1).flatten()).view(x.sizes());
  if (!withheld_.defined()) return x + known;
  return x + at::where(places.eq(grid_.patches()).unsqueeze(-1), withheld_, known);
}

at::Tensor PatchEncoder::embedded(const Batch& batch) const {
  auto x = operations_.linear(batch.values.to(weight_.scalar_type()), weight_, bias_);
  if (position_.defined() && !batch.positions.defined()) {
    x = operations_.patch_stem(x, batch.masked, {.mask = mask_, .position = position_, .class_tokens = class_tokens_});
  } else {
    if (batch.masked.defined()) x = at::where(batch.masked.unsqueeze(-1), mask_, x);
    x = with_positions(x, batch);
    if (class_tokens_.defined()) x = at::cat({class_tokens_.unsqueeze(0).expand({batch.rows(), -1, -1}), x}, 1);
  }
  if (options_.post_norm) x = norm_->forward(x);
  const StreamLayout stream{.axis = &mesh_.tensor()};
  return is_training() ? stream.drop(x, options_.dropout, random_, batch.stream_positions) : x;
}

// By key alone: whoever asks sees the same. A row of padding alone sees all of it, so that its softmax stays finite.
AttentionPattern PatchEncoder::pattern(const Batch& batch) const {
  if (!batch.segments.defined() && !batch.keys.defined()) return {.causal = false, .scores = {}};
  auto seen = batch.segments.defined() ? batch.segments.ne(0) : batch.keys;  // (B, T)
  if (batch.segments.defined() && batch.keys.defined()) seen = seen.logical_and(batch.keys);
  if (class_tokens_.defined()) {
    seen = at::cat({at::ones({batch.rows(), options_.num_class_tokens}, seen.options()), seen}, 1);
  } else {
    seen = seen.logical_or(seen.any(1, true).logical_not());
  }
  auto scores = at::zeros(seen.sizes(), seen.options().dtype(at::kFloat))
                    .masked_fill_(seen.logical_not(), -std::numeric_limits<float>::infinity());
  return {.causal = false, .scores = scores.unsqueeze(1).unsqueeze(1)};
}

std::string PatchEncoder::not_fused(bool training, bool restricted) const {
  if (restricted) return "rows with padding or keys";
  return DecoderBlock::not_fused(block_of(options_), mesh_.tensor().size(), training);
}

PackedPattern PatchEncoder::packed_pattern(int64_t rows, int64_t length) const {
  auto heads = blocks_.front()->packed_heads();
  heads.deterministic = deterministic_;
  return {
      heads, {.visibility = Visibility::full}, rows, length + options_.num_class_tokens, /*segments=*/false, /*num_documents=*/0};
}

at::Tensor PatchEncoder::fused_stack(const Batch& batch) const {
  const auto pattern = packed_pattern(batch.rows(), batch.length()).of(batch);
  const StreamLayout stream{.axis = &mesh_.tensor(), .rows = batch.rows(), .length = batch.length() + options_.num_class_tokens};
  ResidualStream x{embedded(batch), {}};
  for (int64_t i = 0; i < options_.num_layers; ++i) {
    x = shared_block(i)->forward(x, stream, pattern, RotaryTable{}, at::Tensor(), recompute_);
  }
  return patches_of(final_norm(x, norm_->weights(), norm_->parameters()));
}

bool PatchEncoder::makes_again() const {
  const bool again = recompute_ != Recompute::none && is_training() && at::GradMode::is_enabled();
  if (again && recompute_ != Recompute::block) {
    throw usage_error(
        "parallel.recompute = \"norms\" and \"feed_forward\" are for the fused blocks of precision.compute = \"bf16\" on a GPU, "
        "which do not carry this network; use \"block\" or \"none\"");
  }
  return again;
}

at::Tensor PatchEncoder::block(int64_t layer, const at::Tensor& x, const Batch& batch, const AttentionPattern& pattern) const {
  const auto run = [block = shared_block(layer), pattern, places = batch.stream_positions,
                    stream = StreamLayout{.axis = &mesh_.tensor()}](const at::Tensor& from) {
    return block->forward(from, stream, pattern, nullptr, nullptr, places);
  };
  return makes_again() ? recomputed(x, run) : run(x);
}

at::Tensor PatchEncoder::block_on(const at::Tensor& context, int64_t layer, const at::Tensor& x, const Batch& batch,
                                  const AttentionPattern& pattern) const {
  const auto run = [block = shared_block(layer), pattern, places = batch.stream_positions,
                    stream = StreamLayout{.axis = &mesh_.tensor()}](const at::Tensor& both) {
    return block->forward_to(both[0], both[1], stream, pattern, places);
  };
  const auto both = at::stack({context, x});
  return makes_again() ? recomputed(both, run) : run(both);
}

at::Tensor PatchEncoder::finished(const at::Tensor& x) const { return patches_of(options_.post_norm ? x : norm_->forward(x)); }

Hidden PatchEncoder::forward(const Batch& batch) {
  const bool restricted = batch.segments.defined() || batch.keys.defined();
  if (fused_ && not_fused(is_training(), restricted).empty()) return {fused_stack(batch)};
  const auto rule = pattern(batch);
  auto x = embedded(batch);
  for (int64_t i = 0; i < options_.num_layers; ++i) x = block(i, x, batch, rule);
  return {finished(x)};
}

Hidden PatchEncoder::forward_on_embeddings(const Batch& batch) {
  const auto rule = pattern(batch);
  const auto context = embedded(batch);
  auto x = context;
  for (int64_t i = 0; i < options_.num_layers; ++i) x = block_on(context, i, x, batch, rule);
  return {finished(x)};
}

std::vector<at::Tensor> PatchEncoder::layer_states(const Batch& batch) {
  const auto rule = pattern(batch);
  auto x = embedded(batch);
  std::vector<at::Tensor> states{patches_of(x)};
  for (int64_t i = 0; i < options_.num_layers; ++i) {
    x = block(i, x, batch, rule);
    states.push_back(i + 1 == options_.num_layers ? finished(x) : patches_of(x));
  }
  return states;
}

// Of rows without padding: which ones a step will have is not known before it.
Backends PatchEncoder::backends(int64_t rows, int64_t length, bool) const {
  const auto reason = not_fused(/*training=*/true, /*restricted=*/false);
  if (!fused_ || !reason.empty())
    return {.attention = "scaled_dot_product_attention of ATen, full", .not_fused = fused_ ? reason : ""};
  if (!at::hasCUDA())
    return {.attention = "cuDNN, or ATen where it refuses, full; of ATen where rows have padding", .not_fused = {}};
  return {.attention = packed_pattern(rows, length).backend() + ", full; of ATen where rows have padding", .not_fused = {}};
}

ModelWork PatchEncoder::work(int64_t rows, int64_t length, int64_t element_size) const {
  const auto o = block_of(options_);
  const int64_t ranks = mesh_.tensor().size(), d = o.hidden_size, f = o.feed_forward_size / ranks;
  const int64_t row = length + options_.num_class_tokens, tokens = rows * row;
  const auto layers = static_cast<double>(o.num_layers), n = static_cast<double>(tokens), width = static_cast<double>(d);
  const auto e = static_cast<double>(element_size), shared = 1 / static_cast<double>(ranks);
  const bool again = recompute_ == Recompute::block, gated = is_gated(o.activation);
  ModelWork work{.tensor_ranks = ranks};
  const auto linear = [&](int64_t in, int64_t out) {
    work.linears.push_back({.rows = tokens, .in = in, .out = out, .count = layers, .recomputed = again});
  };
  linear(d, 3 * d / ranks);
  linear(d / ranks, d);
  linear(d, (gated ? 2 : 1) * f);
  linear(f, d);
  // Every rank embeds all patches; model FLOPs are counted over the ranks.
  work.linears.push_back({.rows = rows * length, .in = grid_.patch_size(), .out = d, .count = shared});
  work.attention.push_back({.rows = rows,
                            .length = row,
                            .num_heads = o.num_heads / ranks,
                            .num_kv_heads = o.num_heads / ranks,
                            .head_size = d / o.num_heads,
                            .visible = 1,
                            .count = layers,
                            .recomputed = again});
  const double inner = static_cast<double>(f) * (gated ? 4 : 2);
  const double block = 4 * width + (o.dropout > 0 ? 2 * width : 0) + shared * 4 * width + inner;
  work.passes.push_back({"norms and additions", e * n * (2 * layers + 1) * (o.norm == NormKind::rms_norm ? 24 : 15) * width});
  work.passes.push_back({"copies", e * n * layers * (12 * shared + 6) * width});
  work.passes.push_back({"activations", e * n * layers * (gated ? 14 : 5) * static_cast<double>(f)});
  work.launches = 90 * layers + 60;
  if (ranks > 1) {
    work.tensor_messages = 4 * layers;
    work.tensor_bytes = work.tensor_messages * e * n * width;
  }
  // The embedding, the mask's choice, the last norm, the states and their gradient; patches and scores of the rows.
  const double around = 6 * width + static_cast<double>(grid_.patch_size());
  work.kept_bytes = e * n * (layers * (again ? width : block) + around);
  work.transient_bytes = e * n * (inner + 3 * width + (again ? block : 0));
  return work;
}

}  // namespace lacuna
