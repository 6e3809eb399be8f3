// What an autograd node keeps from forward to backward. Its tensors are let go as soon as backward has taken them, not when the
// graph goes.
#pragma once
#include <torch/csrc/autograd/custom_function.h>

#include <utility>

namespace lacuna {

template <class T>
struct Kept : torch::CustomClassHolder {
  explicit Kept(T v) : value(std::move(v)) {}
  T value;
};
template <class T>
void keep(torch::autograd::AutogradContext* ctx, T value) {
  ctx->saved_data["kept"] = c10::IValue::make_capsule(c10::make_intrusive<Kept<T>>(std::move(value)));
}
template <class T>
T take(torch::autograd::AutogradContext* ctx) {
  const auto held = ctx->saved_data["kept"].toCapsule();
  return std::move(static_cast<Kept<T>*>(held.get())->value);
}

}  // namespace lacuna
