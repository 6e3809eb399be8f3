#include "trainer/model/recomputed.h"

#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/custom_function.h>

#include <utility>

namespace lacuna {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::tensor_list;
using Body = std::function<at::Tensor(const at::Tensor&)>;

struct Held : torch::CustomClassHolder {
  explicit Held(Body b) : body(std::move(b)) {}
  Body body;
};

class Recomputed : public torch::autograd::Function<Recomputed> {
 public:
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& x, const Body* body) {
    ctx->save_for_backward({x});
    ctx->saved_data["body"] = c10::IValue::make_capsule(c10::make_intrusive<Held>(*body));
    return (*body)(x);
  }

  static tensor_list backward(AutogradContext* ctx, const tensor_list& gradients) {
    const auto held = ctx->saved_data["body"].toCapsule();
    const auto x = ctx->get_saved_variables()[0].detach().set_requires_grad(true);
    const at::AutoGradMode with_graph(true);
    const auto y = static_cast<const Held*>(held.get())->body(x);
    torch::autograd::backward({y}, {gradients[0]});
    return {x.grad(), {}};
  }
};

}  // namespace

at::Tensor recomputed(const at::Tensor& x, Body body) { return Recomputed::apply(x, &body); }

}  // namespace lacuna
