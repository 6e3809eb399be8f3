#include "objectives/future_network.h"

#include <ATen/ops/cat.h>
#include <ATen/ops/silu.h>
#include <ATen/ops/stack.h>

#include <stdexcept>

namespace lacuna {
namespace {

DecoderOptions block_options(const FutureShape& s, int64_t num_layers) {
  return {.num_layers = num_layers,
          .hidden_size = s.hidden_size,
          .num_heads = s.num_heads,
          .num_kv_heads = s.num_heads,
          .feed_forward_size = 4 * s.hidden_size,
          .norm = NormKind::rms_norm,
          .activation = Activation::gelu,
          .bias = BiasKind::none};
}

std::shared_ptr<Norm> make_norm(const ModelContext& context, const FutureShape& s) {
  return std::make_shared<Norm>(context, NormKind::rms_norm, s.hidden_size, false, 1e-5);
}

// A linear map that every tensor rank holds whole, as it does the states that it reads.
at::Tensor declare_linear(torch::nn::Module& module, const ModelContext& context, const std::string& name, int64_t out,
                          int64_t in, InitialValues initial = InitialValues::normal) {
  return context.parameters.declare(module, name, {out, in}, -1, 1, initial);
}

double block_products(const FutureShape& s, double visible) {
  const auto d = static_cast<double>(s.hidden_size);
  return 12 * d * d + 2 * d * visible;
}

class FutureDecoder : public FutureNetwork {
 public:
  FutureDecoder(const ModelContext& context, const FutureShape& s)
      : operations_(context.operations), stream_{.axis = &context.mesh.tensor()}, shape_(s) {
    spread_ = declare_linear(*this, context, "spread", s.pseudo_length * s.hidden_size, s.hidden_size);
    start_ = context.parameters.declare(*this, "start", {s.hidden_size}, -1, 1, InitialValues::normal);
    position_ = context.parameters.declare(*this, "position", {s.horizon, s.hidden_size}, -1, 1, InitialValues::normal);
    for (int64_t i = 0; i < s.num_layers; ++i) {
      blocks_.push_back(
          register_module("block" + std::to_string(i), std::make_shared<CrossBlock>(context, block_options(s, s.num_layers), i)));
    }
    norm_ = register_module("norm", make_norm(context, s));
  }

  at::Tensor forward(const at::Tensor& states, const at::Tensor& next) const override {
    const int64_t num = states.size(0) * states.size(1), n = shape_.horizon, d = shape_.hidden_size;
    const auto rows = operations_.linear(states, spread_, {}).view({num, shape_.pseudo_length, d});
    const auto before = next.reshape({num, n, d}).narrow(1, 0, n - 1);
    auto x = at::cat({start_.view({1, 1, d}).expand({num, 1, d}), before}, 1) + position_;
    const CrossPass pass{stream_, {.causal = true, .scores = {}}, {.causal = false, .scores = {}}, nullptr, {}};
    for (const auto& block : blocks_) x = block->forward(x, pass, block->read(rows, stream_), nullptr);
    return norm_->forward(x).view({states.size(0), states.size(1), n, d});
  }

  double products(int64_t) const override {
    const auto d = static_cast<double>(shape_.hidden_size), n = static_cast<double>(shape_.horizon);
    const auto p = static_cast<double>(shape_.pseudo_length), layers = static_cast<double>(shape_.num_layers);
    return p * d * d + layers * ((14 * n + 2 * p) * d * d + n * d * (n + 2 * p));
  }

 private:
  const Operations& operations_;
  StreamLayout stream_;
  FutureShape shape_;
  at::Tensor spread_, start_, position_;
  std::vector<std::shared_ptr<CrossBlock>> blocks_;
  std::shared_ptr<Norm> norm_;
};

class FutureHeads : public FutureNetwork {
 public:
  FutureHeads(const ModelContext& context, const FutureShape& s) : stream_{.axis = &context.mesh.tensor()}, shape_(s) {
    for (int64_t k = 0; k < s.horizon; ++k) {
      blocks_.push_back(
          register_module("head" + std::to_string(k), std::make_shared<DecoderBlock>(context, block_options(s, 1), k)));
    }
    norm_ = register_module("norm", make_norm(context, s));
  }

  at::Tensor forward(const at::Tensor& states, const at::Tensor&) const override {
    std::vector<at::Tensor> all;
    for (const auto& block : blocks_) {
      all.push_back(norm_->forward(block->forward(states, stream_, {.causal = true, .scores = {}}, nullptr, nullptr, {})));
    }
    return at::stack(all, 2);
  }

  double products(int64_t length) const override {
    return static_cast<double>(shape_.horizon) * block_products(shape_, 0.5 * static_cast<double>(length));
  }

 private:
  StreamLayout stream_;
  FutureShape shape_;
  std::vector<std::shared_ptr<DecoderBlock>> blocks_;
  std::shared_ptr<Norm> norm_;
};

class FutureChain : public FutureNetwork {
 public:
  FutureChain(const ModelContext& context, const FutureShape& s)
      : operations_(context.operations), stream_{.axis = &context.mesh.tensor()}, shape_(s) {
    for (int64_t k = 1; k < s.horizon; ++k) {
      const auto name = std::to_string(k);
      join_.push_back(declare_linear(*this, context, "join" + name, s.hidden_size, 2 * s.hidden_size));
      state_norms_.push_back(register_module("state_norm" + name, make_norm(context, s)));
      token_norms_.push_back(register_module("token_norm" + name, make_norm(context, s)));
      blocks_.push_back(register_module("block" + name, std::make_shared<DecoderBlock>(context, block_options(s, 1), k)));
    }
    if (s.horizon > 1) norm_ = register_module("norm", make_norm(context, s));
  }

  at::Tensor forward(const at::Tensor& states, const at::Tensor& next) const override {
    std::vector<at::Tensor> all{states};
    auto h = states;
    for (size_t k = 0; k < blocks_.size(); ++k) {
      const auto token = next.select(2, static_cast<int64_t>(k));
      const auto joined =
          operations_.linear(at::cat({state_norms_[k]->forward(h), token_norms_[k]->forward(token)}, -1), join_[k], {});
      h = blocks_[k]->forward(joined, stream_, {.causal = true, .scores = {}}, nullptr, nullptr, {});
      all.push_back(norm_->forward(h));
    }
    return at::stack(all, 2);
  }

  double products(int64_t length) const override {
    const auto d = static_cast<double>(shape_.hidden_size);
    return static_cast<double>(shape_.horizon - 1) * (2 * d * d + block_products(shape_, 0.5 * static_cast<double>(length)));
  }

 private:
  const Operations& operations_;
  StreamLayout stream_;
  FutureShape shape_;
  std::vector<at::Tensor> join_;
  std::vector<std::shared_ptr<Norm>> state_norms_, token_norms_;
  std::vector<std::shared_ptr<DecoderBlock>> blocks_;
  std::shared_ptr<Norm> norm_;
};

// Medusa's and Hydra's heads: a residual layer an offset, which reads the state and, with `tokens`, what lies between.
class ResidualHeads : public FutureNetwork {
 public:
  ResidualHeads(const ModelContext& context, const FutureShape& s, bool tokens)
      : operations_(context.operations), shape_(s), tokens_(tokens) {
    for (int64_t k = 1; k < s.horizon; ++k) {
      const auto in = s.hidden_size * (tokens ? k + 1 : 1);
      weights_.push_back(declare_linear(*this, context, "head" + std::to_string(k), s.hidden_size, in, InitialValues::zeros));
    }
  }

  at::Tensor forward(const at::Tensor& states, const at::Tensor& next) const override {
    std::vector<at::Tensor> all{states};
    for (size_t i = 0; i < weights_.size(); ++i) {
      const auto k = static_cast<int64_t>(i) + 1;
      const auto read = tokens_ ? at::cat({states, next.narrow(2, 0, k).flatten(2)}, -1) : states;
      all.push_back(states + at::silu(operations_.linear(read, weights_[i], {})));
    }
    return at::stack(all, 2);
  }

  double products(int64_t) const override {
    const auto d = static_cast<double>(shape_.hidden_size), n = static_cast<double>(shape_.horizon);
    return d * d * (tokens_ ? (n - 1) * (n + 2) / 2 : n - 1);
  }

 private:
  const Operations& operations_;
  FutureShape shape_;
  bool tokens_;
  std::vector<at::Tensor> weights_;
};

}  // namespace

std::shared_ptr<FutureNetwork> make_future_network(FutureKind kind, const ModelContext& context, const FutureShape& shape) {
  switch (kind) {
    case FutureKind::decoder:
      return std::make_shared<FutureDecoder>(context, shape);
    case FutureKind::heads:
      return std::make_shared<FutureHeads>(context, shape);
    case FutureKind::chained:
      return std::make_shared<FutureChain>(context, shape);
    case FutureKind::medusa:
      return std::make_shared<ResidualHeads>(context, shape, /*tokens=*/false);
    case FutureKind::hydra:
      return std::make_shared<ResidualHeads>(context, shape, /*tokens=*/true);
  }
  throw std::logic_error("unreachable: a kind of future network without a case");
}

}  // namespace lacuna
