#include "trainer/kernels/embedding.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/embedding.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/zeros_like.h>
#include <torch/csrc/autograd/custom_function.h>

#include <cstring>

#include "trainer/kernels/tensor_checks.h"
#ifdef LACUNA_CUDA
#include <c10/cuda/CUDAStream.h>

#include "trainer/kernels/embedding_cuda.h"
#endif

namespace lacuna {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::tensor_list;

class Embedding : public torch::autograd::Function<Embedding> {
 public:
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& ids, const at::Tensor& weight, int64_t first) {
    ctx->save_for_backward({ids, weight});
    ctx->saved_data["first"] = first;
    if (weight.is_cuda()) return embed(ids.contiguous(), weight, first);
    auto shape = ids.sizes().vec();
    shape.push_back(weight.size(1));
    auto rows = at::empty(shape, weight.options());
    const auto contiguous = ids.contiguous();
    const auto* id = contiguous.const_data_ptr<int32_t>();
    const auto* table = weight.const_data_ptr<float>();
    auto* out = rows.data_ptr<float>();
    const int64_t width = weight.size(1), count = weight.size(0);
    for (int64_t i = 0; i < contiguous.numel(); ++i, out += width) {
      const int64_t row = id[i] - first;
      if (row >= 0 && row < count) {
        std::memcpy(out, table + row * width, static_cast<size_t>(width) * sizeof(float));
      } else {
        std::memset(out, 0, static_cast<size_t>(width) * sizeof(float));
      }
    }
    return rows;
  }

  static tensor_list backward(AutogradContext* ctx, const tensor_list& gradients) {
    const auto saved = ctx->get_saved_variables();
    const auto ids = saved[0].contiguous(), dy = gradients[0].contiguous();
    const auto& weight = saved[1];
    const bool in_place = weight.grad().defined();
    auto gradient = in_place ? weight.grad() : at::zeros_like(weight, weight.options().dtype(at::kFloat));
    const int64_t first = ctx->saved_data["first"].toInt(), width = weight.size(1), count = weight.size(0);
    if (weight.is_cuda()) {
      add_embedding_gradient(ids, dy, gradient, first);
      return {{}, in_place ? at::Tensor() : gradient.to(weight.scalar_type()), {}};
    }
    const auto* id = ids.const_data_ptr<int32_t>();
    const auto* from = dy.const_data_ptr<float>();
    auto* table = gradient.data_ptr<float>();
    for (int64_t i = 0; i < ids.numel(); ++i, from += width) {
      const int64_t row = id[i] - first;
      if (row < 0 || row >= count) continue;
      float* to = table + row * width;
      for (int64_t d = 0; d < width; ++d) to[d] += from[d];
    }
    return {{}, in_place ? at::Tensor() : gradient, {}};
  }
};

std::vector<int64_t> shape_of_rows(const char* kernel, const at::Tensor& ids, int64_t width) {
  require(ids.dim() > 0, kernel, "ids must have a dimension");
  require(ids.scalar_type() == at::kInt || ids.scalar_type() == at::kUInt16, kernel, "ids must be int32 or uint16");
  require(ids.is_contiguous(), kernel, "ids must be contiguous");
  auto shape = ids.sizes().vec();
  shape.push_back(width);
  return shape;
}

#ifdef LACUNA_CUDA
cuda::Ids ids_of(const at::Tensor& ids) { return {ids.const_data_ptr(), ids.scalar_type() == at::kUInt16}; }
#endif

}  // namespace

at::Tensor embedding(const at::Tensor& ids, const at::Tensor& weight, int64_t first) {
  return Embedding::apply(ids, weight, first);
}

at::Tensor embedding_reference(const at::Tensor& ids, const at::Tensor& weight, int64_t first) {
  const auto rows = ids.to(at::kLong) - first;
  const auto here = rows.ge(0).logical_and(rows.lt(weight.size(0)));
  return at::embedding(weight, rows.clamp(0, weight.size(0) - 1)) * here.unsqueeze(-1);
}

at::Tensor embed(const at::Tensor& ids, const at::Tensor& table, int64_t first, const at::Tensor& position_table,
                 const at::Tensor& positions, at::Tensor out) {
  const at::NoGradGuard no_grad;
  constexpr const char* kName = "embed";
  require(table.dim() == 2, kName, "the table must have two dimensions");
  const int64_t rows = table.size(0), width = table.size(1);
  const auto shape = shape_of_rows(kName, ids, width);
  const auto type = table.scalar_type();
  const auto device = table.device();
  require_tensor(kName, "ids", ids, ids.sizes(), ids.scalar_type(), device);
  require_tensor(kName, "table", table, table.sizes(), type, device);
  const bool placed = position_table.defined();
  if (placed) {
    require(position_table.dim() == 2, kName, "the position table must have two dimensions");
    require_tensor(kName, "position_table", position_table, {position_table.size(0), width}, type, device);
    if (positions.defined()) require_tensor(kName, "positions", positions, ids.sizes(), at::kInt, device);
    require(positions.defined() || ids.size(-1) <= position_table.size(0), kName, "the position table is shorter than the rows");
  }
  out = given_or_new(kName, "out", out, shape, type, device);
#ifdef LACUNA_CUDA
  if (table.is_cuda()) {
    cuda::embedding({.rows = ids.numel(),
                     .width = width,
                     .ids = ids_of(ids),
                     .first = first,
                     .table_rows = rows,
                     .table = data_of(table),
                     .position_table = data_of(position_table),
                     .positions = placed ? static_cast<const int32_t*>(data_of(positions)) : nullptr,
                     .num_positions = placed ? position_table.size(0) : 0,
                     .length = ids.size(-1),
                     .out = mutable_data_of(out)},
                    element_of(kName, table), c10::cuda::getCurrentCUDAStream());
    return out;
  }
#endif
  const auto local = ids.to(at::kLong).view(-1) - first;
  const auto known = local.ge(0).logical_and(local.lt(rows));
  auto found = table.index_select(0, local.clamp(0, rows - 1)).to(at::kFloat).masked_fill(known.logical_not().unsqueeze(-1), 0);
  found = found.view(shape);
  if (placed) {
    const auto at_positions = positions.defined() ? position_table.index_select(0, positions.view(-1)).view(shape)
                                                  : position_table.narrow(0, 0, ids.size(-1));
    found = found + at_positions.to(at::kFloat);
  }
  out.copy_(found);
  return out;
}

void add_embedding_gradient(const at::Tensor& ids, const at::Tensor& d_out, const at::Tensor& gradient, int64_t first) {
  const at::NoGradGuard no_grad;
  constexpr const char* kName = "add_embedding_gradient";
  require(gradient.dim() == 2, kName, "the gradient must have two dimensions");
  const int64_t rows = gradient.size(0), width = gradient.size(1);
  const auto device = gradient.device();
  require_tensor(kName, "gradient", gradient, gradient.sizes(), at::kFloat, device);
  require_tensor(kName, "d_out", d_out, shape_of_rows(kName, ids, width), d_out.scalar_type(), device);
  require_tensor(kName, "ids", ids, ids.sizes(), ids.scalar_type(), device);
#ifdef LACUNA_CUDA
  if (gradient.is_cuda()) {
    const auto bytes = cuda::embedding_backward_workspace(ids.numel(), width, rows);
    const auto workspace = at::empty({static_cast<int64_t>(bytes)}, gradient.options().dtype(at::kByte));
    cuda::embedding_backward({.rows = ids.numel(),
                              .width = width,
                              .ids = ids_of(ids),
                              .first = first,
                              .table_rows = rows,
                              .d_out = data_of(d_out),
                              .d_table = gradient.mutable_data_ptr<float>(),
                              .workspace = workspace.mutable_data_ptr(),
                              .workspace_size = bytes},
                             element_of(kName, d_out), c10::cuda::getCurrentCUDAStream());
    return;
  }
#endif
  const auto local = ids.to(at::kLong).view(-1) - first;
  const auto kept = local.ge(0).logical_and(local.lt(rows)).nonzero().view(-1);
  gradient.index_add_(0, local.index_select(0, kept), d_out.view({-1, width}).index_select(0, kept).to(at::kFloat));
}

void add_position_gradient(const at::Tensor& d_out, const at::Tensor& gradient) {
  const at::NoGradGuard no_grad;
  constexpr const char* kName = "add_position_gradient";
  require(d_out.dim() == 3 && gradient.dim() == 2, kName, "d_out must have three dimensions, the gradient two");
  const int64_t batch = d_out.size(0), length = d_out.size(1), width = gradient.size(1);
  require_tensor(kName, "d_out", d_out, {batch, length, width}, d_out.scalar_type(), gradient.device());
  require_tensor(kName, "gradient", gradient, gradient.sizes(), at::kFloat, gradient.device());
  require(length <= gradient.size(0), kName, "the gradient is shorter than the rows");
#ifdef LACUNA_CUDA
  if (gradient.is_cuda()) {
    cuda::position_backward(data_of(d_out), gradient.mutable_data_ptr<float>(), batch, length, width, element_of(kName, d_out),
                            c10::cuda::getCurrentCUDAStream());
    return;
  }
#endif
  gradient.narrow(0, 0, length).add_(d_out.to(at::kFloat).sum(0));
}

}  // namespace lacuna
