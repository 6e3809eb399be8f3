#include "launch/deterministic_price.h"

#include <cstdio>

#include "data/error.h"
#ifdef LACUNA_CUDA
#include <ATen/ops/empty.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/randn_like.h>
#include <ATen/ops/zeros.h>
#include <c10/cuda/CUDACachingAllocator.h>
#include <c10/cuda/CUDAStream.h>

#include "launch/device_timer_cuda.h"
#include "launch/machine_rates.h"
#include "trainer/kernels/gemm_cuda.h"
#include "trainer/kernels/packed_attention.h"
#endif

namespace lacuna {

std::string price_text(const DeterministicPrice& p, double micro_batches) {
  const double attention = 1e3 * micro_batches * p.attention, products = 1e3 * micro_batches * p.products;
  char text[160];
  std::snprintf(text, sizeof text,
                "%+.2f ms a step: gradients of attention %+.2f, products %+.2f; %+.1f %% of what these take (measured at start)",
                attention + products, attention, products, 100 * (p.attention + p.products) / p.without);
  return text;
}

#ifdef LACUNA_CUDA
namespace {

constexpr double kWindow = 30;  // milliseconds of each timing

at::TensorOptions options(at::ScalarType type) { return at::TensorOptions().device(at::kCUDA).dtype(type); }

void add_attention(DeterministicPrice& price, const AttentionWork& a) {
  const auto qkv = at::randn({a.rows, a.length, (a.num_heads + 2 * a.num_kv_heads) * a.head_size}, options(at::kBFloat16));
  PackedAttentionShape free{
      .num_heads = a.num_heads, .num_kv_heads = a.num_kv_heads, .head_size = a.head_size, .causal = a.visible < 1};
  auto fixed = free;
  fixed.deterministic = true;
  at::Tensor statistics;
  const auto out = packed_attention(qkv, free, statistics), d_out = at::randn_like(out);
  const auto times = device_seconds_in_turns([&] { packed_attention_gradient(d_out, qkv, out, statistics, free); },
                                             [&] { packed_attention_gradient(d_out, qkv, out, statistics, fixed); }, kWindow);
  price.attention += a.count * (times.second - times.first);
  price.without += a.count * (times.first + device_seconds([&] { packed_attention(qkv, free, statistics); }, kWindow / 3));
}

void add_products(DeterministicPrice& price, const LinearWork& l, cuda::Gemm& free, cuda::Gemm& fixed) {
  const cuda::LinearShape shape{.element = cuda::Element::bf16, .rows = l.rows, .in = l.in, .out = l.out};
  const auto x = at::randn({l.rows, l.in}, options(at::kBFloat16)), w = at::randn({l.out, l.in}, options(at::kBFloat16));
  const auto y = at::randn({l.rows, l.out}, options(at::kBFloat16)), dx = at::empty({l.rows, l.in}, options(at::kBFloat16));
  const auto dw = at::zeros({l.out, l.in}, options(at::kFloat)), z = at::empty({l.rows, l.out}, options(at::kBFloat16));
  const cudaStream_t stream = c10::cuda::getCurrentCUDAStream();
  const auto input = [](const at::Tensor& t) { return cuda::GemmInput{t.const_data_ptr(), t.size(1)}; };
  const auto output = [](const at::Tensor& t) { return cuda::GemmOutput{t.data_ptr(), t.size(1)}; };
  const auto layer = [&](cuda::Gemm& gemm) {
    gemm.forward(shape, input(x), input(w), nullptr, output(z), false, stream);
    gemm.input_gradient(shape, input(y), input(w), output(dx), false, stream);
    gemm.weight_gradient(shape, input(y), input(x), dw.data_ptr<float>(), l.in, true, nullptr, stream);
  };
  const auto times = device_seconds_in_turns([&] { layer(free); }, [&] { layer(fixed); }, kWindow);
  price.products += l.count * (times.second - times.first);
  price.without += l.count * times.first;
}

}  // namespace

DeterministicPrice deterministic_price(const ModelWork& work) {
  DeterministicPrice price;
  const auto folder = cache_folder();
  cuda::Gemm free({.choices_file = folder.empty() ? folder : folder / "matmul_choices.txt"}), fixed({.deterministic = true});
  for (const auto& a : work.attention) add_attention(price, a);
  for (const auto& l : work.linears) add_products(price, l, free, fixed);
  c10::cuda::CUDACachingAllocator::emptyCache();
  return price;
}
#else
DeterministicPrice deterministic_price(const ModelWork&) { throw Error(ExitCode::internal, "this build has no CUDA"); }
#endif

}  // namespace lacuna
