// The head of GPT-2 with its loss, forward and backward, 65,536 positions: how many positions' logits to store at a time.
#include <ATen/ops/ones.h>
#include <ATen/ops/randint.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/zeros.h>

#include "tests/bench/gpu/rows.h"
#include "trainer/kernels/linear_cross_entropy.h"
#include "trainer/parallel/self_communicator.h"

namespace lacuna::bench {

void head_rows(Table& table) {
  constexpr int64_t kRows = 65536, kWidth = 768, kColumns = 50304, kReal = 50257;
  const auto bf16 = at::TensorOptions().device(at::kCUDA).dtype(at::kBFloat16), fp32 = bf16.dtype(at::kFloat);
  const auto states = at::randn({kRows, kWidth}, bf16).set_requires_grad(true);
  const auto weight = (at::randn({kColumns, kWidth}, bf16) * 0.02).set_requires_grad(true);
  weight.mutable_grad() = at::zeros({kColumns, kWidth}, fp32);
  const auto targets = at::randint(kReal, {kRows}, bf16.dtype(at::kInt)), weights = at::ones({kRows}, fp32);
  SelfCommunicator axis("tensor");
  for (const int64_t chunk : {8192, 16384, 32768, 65536}) {
    table.row("head and loss, both ways, " + std::to_string(chunk) + " positions at a time",
              {.flops = 6.0 * kRows * kWidth * kColumns}, [&, chunk] {
                states.mutable_grad().reset();
                linear_cross_entropy(states, weight, targets, weights, kReal, axis, 0, chunk).backward();
              });
  }
}

}  // namespace lacuna::bench
