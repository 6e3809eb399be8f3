#include "trainer/model/fused_halves.h"

#include <torch/csrc/autograd/custom_function.h>

#include <utility>

#include "trainer/kernels/activations.h"

namespace lacuna {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::tensor_list;

// What a node keeps from forward to backward. Its tensors are let go as soon as backward has taken them, not when the graph goes.
template <class T>
struct Kept : torch::CustomClassHolder {
  explicit Kept(T v) : value(std::move(v)) {}
  T value;
};
template <class T>
void keep(AutogradContext* ctx, T value) {
  ctx->saved_data["kept"] = c10::IValue::make_capsule(c10::make_intrusive<Kept<T>>(std::move(value)));
}
template <class T>
T take(AutogradContext* ctx) {
  const auto held = ctx->saved_data["kept"].toCapsule();
  return std::move(static_cast<Kept<T>*>(held.get())->value);
}

// The sum over the tensor axis of what each of its ranks has a part of.
void sum_over(Communicator& axis, at::Tensor& part) {
  if (axis.size() > 1) axis.all_reduce(part, Reduce::sum);
}

// x W^T + b whose products are split over the axis; the bias is added once.
at::Tensor row_parallel(const at::Tensor& x, const AffineWeights& w, Communicator& axis) {
  if (axis.size() == 1) return affine(x, w);
  auto sum = affine(x, {.weight = w.weight, .bias = {}, .weight_gradient = {}, .bias_gradient = {}});
  axis.all_reduce(sum, Reduce::sum);
  if (w.bias.defined()) sum.add_(w.bias);
  return sum;
}

// The normed input of a half, kept or made again.
struct NormedInput {
  NormState state;
  at::Tensor normed;

  static NormedInput make(const at::Tensor& residual, const at::Tensor& delta, const NormWeights& norm) {
    NormedInput input;
    input.normed = residual_norm(residual, delta, norm.values, input.state);
    return input;
  }
  // As kept by a node that also returns the sum: an alias, since a node that held its own output would never be freed.
  NormedInput kept(Recompute recompute) const {
    auto copy = *this;
    copy.state.sum = state.sum.detach();
    if (recompute != Recompute::none) copy.normed.reset();
    return copy;
  }
  at::Tensor again(const NormWeights& norm) const { return normed.defined() ? normed : renormed(state, norm.values); }
};

// Gradients of (residual, delta, parameters...): the stream's twice, and none that autograd would have to add.
tensor_list stream_gradients(const at::Tensor& dx, bool has_delta, size_t num_parameters) {
  tensor_list gradients(2 + num_parameters);
  gradients[0] = dx;
  if (has_delta) gradients[1] = dx;
  return gradients;
}

class AttentionNode : public torch::autograd::Function<AttentionNode> {
 public:
  struct State {
    AttentionHalf half;
    NormedInput input;
    bool has_delta = false;
    at::Tensor qkv, mixed, statistics;
  };

  static tensor_list forward(AutogradContext* ctx, const at::Tensor& residual, const std::optional<at::Tensor>& delta,
                             at::TensorList, const AttentionHalf* given) {
    State s{.half = *given, .input = {}, .has_delta = delta.has_value(), .qkv = {}, .mixed = {}, .statistics = {}};
    const auto& h = s.half;
    const auto input = NormedInput::make(residual, delta.value_or(at::Tensor()), h.norm);
    s.qkv = affine(input.normed, h.input);
    if (h.rotary.cosine.defined()) turn_heads(s.qkv, h.shape.num_heads, h.shape.num_kv_heads, h.rotary, h.positions);
    s.mixed = packed_attention(s.qkv, h.shape, s.statistics);
    const auto out = row_parallel(s.mixed, h.output, *h.axis);
    const auto sum = input.state.sum;
    s.input = input.kept(h.recompute);
    keep(ctx, std::move(s));
    return {sum, out};
  }

  static tensor_list backward(AutogradContext* ctx, const tensor_list& gradients) {
    auto s = take<State>(ctx);
    const auto& h = s.half;
    const auto d_out = gradients[1].contiguous();
    add_affine_gradients(d_out, s.mixed, h.output);
    const auto d_mixed = affine_input_gradient(d_out, h.output);
    const auto d_qkv = packed_attention_gradient(d_mixed, s.qkv, s.mixed, s.statistics, h.shape);
    s.qkv.reset();
    s.mixed.reset();
    if (h.rotary.cosine.defined()) turn_heads(d_qkv, h.shape.num_heads, h.shape.num_kv_heads, h.rotary, h.positions, true);
    add_affine_gradients(d_qkv, s.input.again(h.norm), h.input);
    s.input.normed.reset();
    auto d_normed = affine_input_gradient(d_qkv, h.input);
    sum_over(*h.axis, d_normed);
    const auto dx = residual_norm_backward(d_normed, gradients[0].contiguous(), s.input.state, h.norm.values, h.norm.weight_gradient,
                                           h.norm.bias_gradient, d_normed);
    auto result = stream_gradients(dx, s.has_delta, h.parameters.size());
    result.emplace_back();
    return result;
  }
};

Nonlinearity nonlinearity(Activation activation) {
  switch (activation) {
    case Activation::gelu:
    case Activation::geglu:
      return Nonlinearity::gelu;
    case Activation::gelu_tanh:
      return Nonlinearity::gelu_tanh;
    case Activation::swiglu:
      return Nonlinearity::silu;
  }
  throw std::logic_error("unreachable: an activation without a case");
}

class FeedForwardNode : public torch::autograd::Function<FeedForwardNode> {
 public:
  struct State {
    FeedForwardHalf half;
    NormedInput input;
    bool has_delta = false;
    at::Tensor before, after;  // of the activation
  };

  static tensor_list forward(AutogradContext* ctx, const at::Tensor& residual, const std::optional<at::Tensor>& delta,
                             at::TensorList, const FeedForwardHalf* given) {
    State s{.half = *given, .input = {}, .has_delta = delta.has_value(), .before = {}, .after = {}};
    const auto& h = s.half;
    const auto input = NormedInput::make(residual, delta.value_or(at::Tensor()), h.norm);
    if (h.activation == Activation::gelu_tanh) {
      s.after = affine_gelu(input.normed, h.input, s.before);
    } else {
      s.before = affine(input.normed, h.input);
      s.after = is_gated(h.activation) ? gated_activation(nonlinearity(h.activation), s.before)
                                    : activation(nonlinearity(h.activation), s.before);
    }
    const auto out = row_parallel(s.after, h.output, *h.axis);
    const auto sum = input.state.sum;
    s.input = input.kept(h.recompute);
    if (h.recompute == Recompute::feed_forward) s.after.reset();
    keep(ctx, std::move(s));
    return {sum, out};
  }

  static tensor_list backward(AutogradContext* ctx, const tensor_list& gradients) {
    auto s = take<State>(ctx);
    const auto& h = s.half;
    const auto d_out = gradients[1].contiguous();
    const auto d_before = through_activation(s, d_out);
    s.before.reset();
    // Where the product's epilogue makes the bias gradient, it has been added already.
    add_affine_gradients(d_before, s.input.again(h.norm), h.input, h.activation != Activation::gelu_tanh);
    s.input.normed.reset();
    auto d_normed = affine_input_gradient(d_before, h.input);
    sum_over(*h.axis, d_normed);
    const auto dx = residual_norm_backward(d_normed, gradients[0].contiguous(), s.input.state, h.norm.values, h.norm.weight_gradient,
                                           h.norm.bias_gradient, d_normed);
    auto result = stream_gradients(dx, s.has_delta, h.parameters.size());
    result.emplace_back();
    return result;
  }

 private:
  // The gradient of what the activation was applied to; adds those of the output's weights on the way.
  static at::Tensor through_activation(State& s, const at::Tensor& d_out) {
    const auto& h = s.half;
    const auto f = nonlinearity(h.activation);
    if (h.activation == Activation::gelu_tanh) {
      add_affine_gradients(d_out, s.after.defined() ? s.after : activation(f, s.before), h.output);
      s.after.reset();
      return affine_input_gradient_gelu(d_out, h.output, s.before, h.input.bias_gradient);
    }
    const auto d_after = affine_input_gradient(d_out, h.output);
    if (s.after.defined()) {
      add_affine_gradients(d_out, s.after, h.output);
      s.after.reset();
      return is_gated(h.activation) ? gated_activation_backward(f, d_after, s.before, s.before)
                                 : activation_backward(f, d_after, s.before, d_after);
    }
    auto after = at::empty_like(d_after);  // made again on the way
    const auto d_before = is_gated(h.activation) ? gated_activation_backward(f, d_after, s.before, s.before, after)
                                              : activation_backward(f, d_after, s.before, d_after, after);
    add_affine_gradients(d_out, after, h.output);
    return d_before;
  }
};

class FinalNormNode : public torch::autograd::Function<FinalNormNode> {
 public:
  struct State {
    NormWeights norm;
    NormState state;
    bool has_delta = false;
    size_t num_parameters = 0;
  };

  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& residual, const std::optional<at::Tensor>& delta,
                            at::TensorList parameters, const NormWeights* norm) {
    State s{.norm = *norm, .state = {}, .has_delta = delta.has_value(), .num_parameters = parameters.size()};
    const auto normed = residual_norm(residual, delta.value_or(at::Tensor()), norm->values, s.state);
    keep(ctx, std::move(s));
    return normed;
  }

  static tensor_list backward(AutogradContext* ctx, const tensor_list& gradients) {
    const auto s = take<State>(ctx);
    const auto dx = residual_norm_backward(gradients[0].contiguous(), {}, s.state, s.norm.values, s.norm.weight_gradient,
                                           s.norm.bias_gradient);
    auto result = stream_gradients(dx, s.has_delta, s.num_parameters);
    result.emplace_back();
    return result;
  }
};

std::optional<at::Tensor> given(const at::Tensor& t) { return t.defined() ? std::optional(t) : std::nullopt; }

}  // namespace

ResidualStream attention_half(const ResidualStream& x, AttentionHalf half) {
  const auto parameters = half.parameters;
  const auto out = AttentionNode::apply(x.residual, given(x.delta), at::TensorList(parameters), &half);
  return {out[0], out[1]};
}

ResidualStream feed_forward_half(const ResidualStream& x, FeedForwardHalf half) {
  const auto parameters = half.parameters;
  const auto out = FeedForwardNode::apply(x.residual, given(x.delta), at::TensorList(parameters), &half);
  return {out[0], out[1]};
}

at::Tensor final_norm(const ResidualStream& x, NormWeights norm, std::vector<at::Tensor> parameters) {
  return FinalNormNode::apply(x.residual, given(x.delta), at::TensorList(parameters), &norm);
}

}  // namespace lacuna
