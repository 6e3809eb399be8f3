#include "trainer/parallel/collectives.h"

#include <ATen/ops/empty.h>
#include <torch/csrc/autograd/custom_function.h>

#include "data/error.h"

namespace lacuna {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::Function;
using torch::autograd::variable_list;

at::Tensor sum_over(const at::Tensor& input, Communicator& axis) {
  at::Tensor sum = input.clone(at::MemoryFormat::Contiguous);
  axis.all_reduce(sum, Reduce::sum);
  return sum;
}

at::Tensor gather(const at::Tensor& input, Communicator& axis, int64_t dim) {
  std::vector<int64_t> shape = input.sizes().vec();
  shape.insert(shape.begin(), axis.size());
  at::Tensor parts = at::empty(shape, input.options());
  axis.all_gather(parts, input.contiguous());
  // (size, ..., n, ...) -> (..., size, n, ...) -> (..., size * n, ...)
  return parts.movedim(0, dim).flatten(dim, dim + 1);
}

at::Tensor slice(const at::Tensor& input, Communicator& axis, int64_t dim) {
  const int64_t part = input.size(dim) / axis.size();
  return input.narrow(dim, axis.rank() * part, part).contiguous();
}

void remember(AutogradContext* ctx, Communicator& axis, int64_t dim) {
  ctx->saved_data["axis"] = reinterpret_cast<int64_t>(&axis);
  ctx->saved_data["dim"] = dim;
}
Communicator& axis_of(AutogradContext* ctx) { return *reinterpret_cast<Communicator*>(ctx->saved_data["axis"].toInt()); }
int64_t dim_of(AutogradContext* ctx) { return ctx->saved_data["dim"].toInt(); }

struct CopyToAxis : Function<CopyToAxis> {
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& input, Communicator& axis) {
    remember(ctx, axis, 0);
    return input.view_as(input);
  }
  static variable_list backward(AutogradContext* ctx, const variable_list& gradients) {
    return {reduce_from_axis(gradients[0], axis_of(ctx)), {}};
  }
};

struct ReduceFromAxis : Function<ReduceFromAxis> {
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& input, Communicator& axis) {
    remember(ctx, axis, 0);
    return sum_over(input, axis);
  }
  static variable_list backward(AutogradContext* ctx, const variable_list& gradients) {
    return {copy_to_axis(gradients[0], axis_of(ctx)), {}};
  }
};

struct GatherFromAxis : Function<GatherFromAxis> {
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& input, Communicator& axis, int64_t dim) {
    remember(ctx, axis, dim);
    return gather(input, axis, dim);
  }
  static variable_list backward(AutogradContext* ctx, const variable_list& gradients) {
    return {split_to_axis(gradients[0], axis_of(ctx), dim_of(ctx)), {}, {}};
  }
};

struct SplitToAxis : Function<SplitToAxis> {
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& input, Communicator& axis, int64_t dim) {
    remember(ctx, axis, dim);
    return slice(input, axis, dim);
  }
  static variable_list backward(AutogradContext* ctx, const variable_list& gradients) {
    return {gather_from_axis(gradients[0], axis_of(ctx), dim_of(ctx)), {}, {}};
  }
};

at::Tensor all_rows(const at::Tensor& input, Communicator& axis) {
  auto shape = input.sizes().vec();
  shape[0] *= axis.size();
  at::Tensor rows = at::empty(shape, input.options());
  axis.all_gather(rows, input.contiguous());
  return rows;
}

at::Tensor rows_of_sum(const at::Tensor& input, Communicator& axis) {
  auto shape = input.sizes().vec();
  shape[0] /= axis.size();
  at::Tensor rows = at::empty(shape, input.options());
  axis.reduce_scatter(rows, input.contiguous());
  return rows;
}

struct GatherToAxis : Function<GatherToAxis> {
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& input, Communicator& axis) {
    remember(ctx, axis, 0);
    return all_rows(input, axis);
  }
  static variable_list backward(AutogradContext* ctx, const variable_list& gradients) {
    return {scatter_from_axis(gradients[0], axis_of(ctx)), {}};
  }
};

struct ScatterFromAxis : Function<ScatterFromAxis> {
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& input, Communicator& axis) {
    remember(ctx, axis, 0);
    return rows_of_sum(input, axis);
  }
  static variable_list backward(AutogradContext* ctx, const variable_list& gradients) {
    return {gather_to_axis(gradients[0], axis_of(ctx)), {}};
  }
};

Error indivisible(const char* operation, Communicator& axis, int64_t size) {
  return {ExitCode::internal, std::string(operation) + ": the " + axis.name() + " axis of " + std::to_string(axis.size()) +
                                  " ranks does not divide a dim of " + std::to_string(size)};
}

int64_t wrapped(int64_t dim, const at::Tensor& input) { return dim < 0 ? dim + input.dim() : dim; }

}  // namespace

at::Tensor copy_to_axis(const at::Tensor& input, Communicator& axis) {
  return axis.size() == 1 ? input : CopyToAxis::apply(input, axis);
}

at::Tensor reduce_from_axis(const at::Tensor& input, Communicator& axis) {
  return axis.size() == 1 ? input : ReduceFromAxis::apply(input, axis);
}

at::Tensor gather_from_axis(const at::Tensor& input, Communicator& axis, int64_t dim) {
  return axis.size() == 1 ? input : GatherFromAxis::apply(input, axis, wrapped(dim, input));
}

at::Tensor split_to_axis(const at::Tensor& input, Communicator& axis, int64_t dim) {
  if (input.size(dim) % axis.size() != 0) throw indivisible("split_to_axis", axis, input.size(dim));
  return axis.size() == 1 ? input : SplitToAxis::apply(input, axis, wrapped(dim, input));
}

at::Tensor gather_to_axis(const at::Tensor& input, Communicator& axis) {
  return axis.size() == 1 ? input : GatherToAxis::apply(input, axis);
}

at::Tensor scatter_from_axis(const at::Tensor& input, Communicator& axis) {
  if (input.size(0) % axis.size() != 0) throw indivisible("scatter_from_axis", axis, input.size(0));
  return axis.size() == 1 ? input : ScatterFromAxis::apply(input, axis);
}

}  // namespace lacuna
