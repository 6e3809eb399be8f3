// The sums over rows that are the gradients of biases.
#include <ATen/ops/empty.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/sum.h>
#include <ATen/ops/zeros.h>
#include <c10/cuda/CUDAStream.h>

#include "tests/bench/gpu/rows.h"
#include "trainer/kernels/column_sum_cuda.h"

namespace lacuna::bench {
namespace {

constexpr int64_t kRows = 65536;

void widths(Table& table, int64_t columns) {
  const auto options = at::TensorOptions().device(at::kCUDA).dtype(at::kBFloat16), fp32 = options.dtype(at::kFloat);
  const auto values = at::randn({kRows, columns}, options);
  const auto sums = at::zeros({columns}, fp32), space = at::empty({cuda::column_sum_workspace(kRows, columns) / 4}, fp32);
  const auto size = " " + std::to_string(kRows) + "x" + std::to_string(columns);
  const auto stream = [] { return c10::cuda::getCurrentCUDAStream().stream(); };
  const auto bytes = static_cast<double>(values.nbytes());
  table.row(
      "column sums" + size, {.bytes = bytes},
      [=] {
        cuda::column_sum(cuda::Element::bf16, kRows, columns, values.data_ptr(), columns, sums.data_ptr<float>(),
                         space.data_ptr(), stream());
      },
      [=] { sums.add_(values.sum(0, false, at::kFloat)); });
}

}  // namespace

void sum_rows(Table& table) {
  for (const int64_t columns : {768, 2304, 3072}) widths(table, columns);
}

}  // namespace lacuna::bench
