#include "trainer/model/fused_halves.h"

#include <torch/csrc/autograd/custom_function.h>

#include <utility>

#include "trainer/kernels/activations.h"
#include "trainer/model/kept.h"

namespace lacuna {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::tensor_list;

// x W^T + b whose products are split over the axis; the bias is added once.
at::Tensor row_parallel(const at::Tensor& x, const AffineWeights& w, const StreamLayout& stream) {
  if (stream.axis->size() == 1) return affine(x, w);
  auto sum = stream.summed(affine(x, {.weight = w.weight, .bias = {}, .weight_gradient = {}, .bias_gradient = {}}));
  if (w.bias.defined()) sum.add_(w.bias);
  return sum;
}

// Gradients of (residual, delta, parameters..., work): the stream's twice, and none that autograd would have to add.
tensor_list stream_gradients(const at::Tensor& dx, bool has_delta, size_t num_parameters) {
  tensor_list gradients(3 + num_parameters);
  gradients[0] = dx;
  if (has_delta) gradients[1] = dx;
  return gradients;
}

// The norm that a half begins with.
struct InputNorm {
  NormWeights weights;
  NormState state = {};
  at::Tensor normed = {};
  StreamLayout::Gathering gathering = {};

  void forward(const at::Tensor& residual, const at::Tensor& delta) {
    normed = residual_norm(residual, delta, weights.values, state);
  }
  // Keeps an alias of the sum, which its node returns: a node that held its own output would never be freed.
  void forget(Recompute recompute) {
    state.sum = state.sum.detach();
    if (recompute != Recompute::none) normed.reset();
  }
  void make_again() {
    if (!normed.defined()) normed = renormed(state, weights.values);
  }
  // For backward, what forward gave to the first product: where the stream is split it is gathered again, beside whatever runs
  // until it is asked for.
  void start_again(const StreamLayout& stream) {
    if (!stream.split) return;
    make_again();
    gathering = stream.start_gathering(normed);
  }
  at::Tensor again() {
    if (gathering.defined()) return gathering.take();
    make_again();
    return normed;
  }
  // From the gradients of what it returned and of the sum, that of the sum's two parts.
  at::Tensor backward(const at::Tensor& d_normed, const at::Tensor& d_sum) {
    normed.reset();
    return residual_norm_backward(d_normed, d_sum, state, weights.values, weights.gradients, d_normed);
  }
};

// What a node does, as its kernels in their order. start() and run() make what backward() needs, output() what is added to sum();
// forget() lets go of what backward makes again. The gradient of the output's bias is left to the norm behind (ResidualStream).
struct AttentionWork {
  AttentionHalf h;
  InputNorm norm;
  at::Tensor qkv = {}, mixed = {}, statistics = {};

  explicit AttentionWork(AttentionHalf half) : h(std::move(half)), norm{h.norm} {}
  void start(const at::Tensor& residual, const at::Tensor& delta) { norm.forward(residual, delta); }
  void run() {
    norm.make_again();
    qkv = affine(h.stream.gathered(norm.normed), h.input);
    if (h.rotary.cosine.defined()) turn_heads(qkv, h.shape.num_heads, h.shape.num_kv_heads, h.rotary, h.positions);
    mixed = packed_attention(qkv, h.shape, statistics);
  }
  at::Tensor output() const { return row_parallel(mixed, h.output, h.stream); }
  at::Tensor sum() const { return norm.state.sum; }
  void drop() { qkv = mixed = statistics = at::Tensor(); }
  void forget(Recompute recompute) {
    norm.forget(recompute);
    if (recompute == Recompute::block) drop();
  }
  at::Tensor backward(const at::Tensor& d_sum, const at::Tensor& d_mine) {
    const auto d_out = h.stream.gathered(d_mine);
    norm.start_again(h.stream);
    add_affine_gradients(d_out, mixed, h.output, false);
    const auto d_mixed = affine_input_gradient(d_out, h.output);
    const auto d_qkv = packed_attention_gradient(d_mixed, qkv, mixed, statistics, h.shape);
    drop();
    if (h.rotary.cosine.defined()) turn_heads(d_qkv, h.shape.num_heads, h.shape.num_kv_heads, h.rotary, h.positions, true);
    add_affine_gradients(d_qkv, norm.again(), h.input);
    return norm.backward(h.stream.summed(affine_input_gradient(d_qkv, h.input)), d_sum);
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

struct FeedForwardWork {
  FeedForwardHalf h;
  InputNorm norm;
  at::Tensor before = {}, after = {};  // of the activation

  explicit FeedForwardWork(FeedForwardHalf half) : h(std::move(half)), norm{h.norm} {}
  void start(const at::Tensor& residual, const at::Tensor& delta) { norm.forward(residual, delta); }
  void run() {
    norm.make_again();
    const auto normed = h.stream.gathered(norm.normed);
    const auto f = nonlinearity(h.activation);
    if (is_gated(h.activation)) {
      before = affine(normed, h.input);
      after = gated_activation(f, before);
    } else {
      after = affine_activation(f, normed, h.input, before);
    }
  }
  at::Tensor output() const { return row_parallel(after, h.output, h.stream); }
  at::Tensor sum() const { return norm.state.sum; }
  void forget(Recompute recompute) {
    norm.forget(recompute);
    if (recompute == Recompute::feed_forward) after.reset();
  }
  at::Tensor backward(const at::Tensor& d_sum, const at::Tensor& d_out) {
    const auto d_all = h.stream.gathered(d_out);
    norm.start_again(h.stream);
    const auto d_before = through_activation(d_all);
    before.reset();
    // The way through an activation without a gate has added the bias gradient already.
    add_affine_gradients(d_before, norm.again(), h.input, is_gated(h.activation));
    return norm.backward(h.stream.summed(affine_input_gradient(d_before, h.input)), d_sum);
  }
  // The gradient of what the activation was applied to; adds those of the output's weights on the way.
  at::Tensor through_activation(const at::Tensor& d_out) {
    const auto f = nonlinearity(h.activation);
    if (!is_gated(h.activation)) {
      add_affine_gradients(d_out, after.defined() ? after : activation(f, before), h.output, false);
      after.reset();
      return affine_input_gradient_through(f, d_out, h.output, before, h.input.bias_gradient);
    }
    const auto d_after = affine_input_gradient(d_out, h.output);
    if (after.defined()) {
      add_affine_gradients(d_out, after, h.output, false);
      after.reset();
      return gated_activation_backward(f, d_after, before, before);
    }
    const auto again = at::empty_like(d_after);  // the activation's output, made on the way
    const auto d_before = gated_activation_backward(f, d_after, before, before, again);
    add_affine_gradients(d_out, again, h.output, false);
    return d_before;
  }
};

// Both halves, of which only the sum at the start is kept; backward first goes forward again, but for the last product.
struct BlockWork {
  AttentionWork attention;
  FeedForwardWork feed_forward;

  void start(const at::Tensor& residual, const at::Tensor& delta) { attention.start(residual, delta); }
  void run() {
    attention.run();
    feed_forward.start(attention.sum(), attention.output());
    feed_forward.run();
  }
  at::Tensor output() const { return feed_forward.output(); }
  at::Tensor sum() const { return feed_forward.sum(); }
  void forget(Recompute) {
    attention.forget(Recompute::block);
    feed_forward = FeedForwardWork(feed_forward.h);
  }
  at::Tensor backward(const at::Tensor& d_sum, const at::Tensor& d_out) {
    run();
    const auto d = feed_forward.backward(d_sum, d_out);
    return attention.backward(d, d);
  }
};

template <class Work>
class StreamNode : public torch::autograd::Function<StreamNode<Work>> {
 public:
  struct State {
    Work work;
    bool has_delta = false;
    size_t num_parameters = 0;
  };

  static tensor_list forward(AutogradContext* ctx, const at::Tensor& residual, const std::optional<at::Tensor>& delta,
                             at::TensorList parameters, std::pair<Work, Recompute>* given) {
    auto& [work, recompute] = *given;
    work.start(residual, delta.value_or(at::Tensor()));
    work.run();
    const auto out = work.output(), sum = work.sum();
    work.forget(recompute);
    keep(ctx, State{.work = std::move(work), .has_delta = delta.has_value(), .num_parameters = parameters.size()});
    return {sum, out};
  }

  static tensor_list backward(AutogradContext* ctx, const tensor_list& gradients) {
    auto s = take<State>(ctx);
    const auto dx = s.work.backward(gradients[0].contiguous(), gradients[1].contiguous());
    return stream_gradients(dx, s.has_delta, s.num_parameters);
  }
};

class FinalNormNode : public torch::autograd::Function<FinalNormNode> {
 public:
  struct State {
    InputNorm norm;
    bool has_delta = false;
    size_t num_parameters = 0;
  };

  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& residual, const std::optional<at::Tensor>& delta,
                            at::TensorList parameters, const NormWeights* weights) {
    State s{.norm = {*weights}, .has_delta = delta.has_value(), .num_parameters = parameters.size()};
    s.norm.forward(residual, delta.value_or(at::Tensor()));
    const auto normed = std::exchange(s.norm.normed, {});
    keep(ctx, std::move(s));
    return normed;
  }

  static tensor_list backward(AutogradContext* ctx, const tensor_list& gradients) {
    auto s = take<State>(ctx);
    const auto dx =
        residual_norm_backward(gradients[0].contiguous(), {}, s.norm.state, s.norm.weights.values, s.norm.weights.gradients);
    return stream_gradients(dx, s.has_delta, s.num_parameters);
  }
};

std::optional<at::Tensor> given(const at::Tensor& t) { return t.defined() ? std::optional(t) : std::nullopt; }

template <class Work>
ResidualStream node(const ResidualStream& x, Work work, Recompute recompute, const std::vector<at::Tensor>& parameters,
                    const at::Tensor& bias_gradient) {
  std::pair<Work, Recompute> pair(std::move(work), recompute);
  const auto out = StreamNode<Work>::apply(x.residual, given(x.delta), at::TensorList(parameters), &pair);
  return {out[0], out[1], bias_gradient};
}

}  // namespace

ResidualStream attention_half(const ResidualStream& x, AttentionHalf half, Recompute recompute) {
  half.norm.gradients.d_sums = x.bias_gradient;
  const auto parameters = half.parameters;
  const auto bias_gradient = half.output.bias_gradient;
  return node(x, AttentionWork(std::move(half)), recompute, parameters, bias_gradient);
}

ResidualStream feed_forward_half(const ResidualStream& x, FeedForwardHalf half, Recompute recompute) {
  half.norm.gradients.d_sums = x.bias_gradient;
  const auto parameters = half.parameters;
  const auto bias_gradient = half.output.bias_gradient;
  return node(x, FeedForwardWork(std::move(half)), recompute, parameters, bias_gradient);
}

ResidualStream transformer_block(const ResidualStream& x, AttentionHalf attention, FeedForwardHalf feed_forward,
                                 Recompute recompute) {
  if (recompute != Recompute::block) {
    return feed_forward_half(attention_half(x, std::move(attention), recompute), std::move(feed_forward), recompute);
  }
  attention.norm.gradients.d_sums = x.bias_gradient;
  feed_forward.norm.gradients.d_sums = attention.output.bias_gradient;
  auto parameters = attention.parameters;
  parameters.insert(parameters.end(), feed_forward.parameters.begin(), feed_forward.parameters.end());
  const auto bias_gradient = feed_forward.output.bias_gradient;
  return node(x, BlockWork{AttentionWork(std::move(attention)), FeedForwardWork(std::move(feed_forward))}, recompute, parameters,
              bias_gradient);
}

at::Tensor final_norm(const ResidualStream& x, NormWeights norm, std::vector<at::Tensor> parameters) {
  norm.gradients.d_sums = x.bias_gradient;
  return FinalNormNode::apply(x.residual, given(x.delta), at::TensorList(parameters), &norm);
}

}  // namespace lacuna
