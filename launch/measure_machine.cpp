#include "launch/measure_machine.h"

#include <cmath>
#include <ctime>

#include "data/error.h"
#ifdef LACUNA_CUDA
#include <ATen/cuda/CUDAContext.h>
#include <ATen/cuda/CUDAGraph.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/randn_like.h>
#include <ATen/ops/zeros.h>
#include <c10/cuda/CUDAStream.h>

#include "launch/device_timer_cuda.h"
#include "trainer/kernels/gemm_cuda.h"
#include "trainer/kernels/packed_attention.h"
#include "trainer/kernels/residual_norm.h"
#endif

namespace lacuna {

#ifdef LACUNA_CUDA
namespace {

constexpr double kWindow = 100;     // milliseconds of each timing; the clock follows the load within that
constexpr int64_t kTokens = 16384;  // of the products: as a large micro-batch has them
const std::vector<int64_t> kWidths = {256, 512, 768, 1024, 1600, 2048, 4096};

at::TensorOptions options(at::ScalarType type = at::kBFloat16) { return at::TensorOptions().device(at::kCUDA).dtype(type); }

// A layer from `width` to four times that and its three products, each followed by a pass over memory, as a step has it: a chip
// at its limit of power multiplies faster when it is let breathe.
void measure_products(MachineRates& rates) {
  cuda::Gemm gemm;
  const cudaStream_t stream = c10::cuda::getCurrentCUDAStream();
  const auto input = [](const at::Tensor& t) { return cuda::GemmInput{t.const_data_ptr(), t.size(1)}; };
  const auto output = [](const at::Tensor& t) { return cuda::GemmOutput{t.data_ptr(), t.size(1)}; };
  rates.widths = kWidths;
  rates.product_tflops.clear();
  for (const auto width : kWidths) {
    const cuda::LinearShape shape{.element = cuda::Element::bf16, .rows = kTokens, .in = width, .out = 4 * width};
    const auto x = at::randn({kTokens, width}, options()), w = at::randn({4 * width, width}, options());
    const auto y = at::randn({kTokens, 4 * width}, options()), dw = at::zeros({4 * width, width}, options(at::kFloat));
    auto out = at::empty_like(y), dx = at::empty_like(x);
    const auto products = [&] {
      gemm.forward(shape, input(x), input(w), nullptr, output(out), false, stream);
      gemm.input_gradient(shape, input(y), input(w), output(dx), false, stream);
      gemm.weight_gradient(shape, input(y), input(x), dw.data_ptr<float>(), width, true, nullptr, stream);
    };
    const auto passes = [&] { out.copy_(y); };
    const double both = device_seconds([&] { products(), passes(); }, 2 * kWindow), alone = device_seconds(passes, kWindow / 2);
    const double flops = 6.0 * static_cast<double>(kTokens) * 4 * static_cast<double>(width * width);
    rates.product_tflops.push_back(static_cast<int64_t>(flops / (both - alone) / 1e12 + 0.5));
  }
  const auto a = at::randn({4096, 4096}, options(at::kFloat));
  auto c = at::empty_like(a);
  const double cube = 2.0 * 4096 * 4096 * 4096;
  auto& context = at::globalContext();
  for (const bool tf32 : {false, true}) {
    context.setAllowTF32CuBLAS(tf32);
    (tf32 ? rates.tf32_tflops : rates.fp32_tflops) = cube / 1e12 / device_seconds([&] { at::mm_out(c, a, a); }, kWindow);
  }
  context.setAllowTF32CuBLAS(false);
}

struct AttentionTimes {
  double forward = 0, backward = 0;  // TFLOP/s
};
AttentionTimes measure_attention(int64_t head_size) {
  const int64_t rows = 16, length = 1024, heads = 1024 / head_size;
  const PackedAttentionShape shape{.num_heads = heads, .num_kv_heads = heads, .head_size = head_size};
  const auto qkv = at::randn({rows, length, 3 * 1024}, options());
  at::Tensor statistics;
  const auto out = packed_attention(qkv, shape, statistics), d_out = at::randn_like(out);
  const double flops = 4.0 * static_cast<double>(rows * length) * static_cast<double>(length) / 2 * 1024;
  return {flops / 1e12 / device_seconds([&] { packed_attention(qkv, shape, statistics); }, kWindow),
          2.5 * flops / 1e12 / device_seconds([&] { packed_attention_gradient(d_out, qkv, out, statistics, shape); }, kWindow)};
}

void measure_passes(MachineRates& rates) {
  const auto from = at::randn({int64_t{1} << 28}, options(at::kFloat));
  auto to = at::empty_like(from);
  rates.copy_gbytes = 8.0 * static_cast<double>(from.numel()) / 1e9 / device_seconds([&] { to.copy_(from); }, kWindow);
  const auto residual = at::randn({65536, 1024}, options()), delta = at::randn({65536, 1024}, options());
  const NormParameters norm{.weight = at::ones({1024}, options()), .bias = at::zeros({1024}, options())};
  const auto gradient = at::zeros({1024}, options(at::kFloat));
  NormState state;
  const auto normed = residual_norm(residual, delta, norm, state);
  const double seconds = device_seconds(
      [&] {
        NormState own;
        residual_norm(residual, delta, norm, own);
        residual_norm_backward(normed, delta, state, norm, {.weight = gradient, .bias = gradient});
      },
      kWindow);
  rates.pass_share = 16.0 * static_cast<double>(residual.numel()) / 1e9 / seconds / rates.copy_gbytes;
}

void measure_launches(MachineRates& rates) {
  constexpr int kKernels = 500;
  auto one = at::ones({1}, options(at::kFloat));
  one.add_(1);
  at::cuda::CUDAGraph graph;
  c10::cuda::getCurrentCUDAStream().synchronize();
  graph.capture_begin();
  for (int i = 0; i < kKernels; ++i) one.mul_(1);
  graph.capture_end();
  rates.launch_us = 1e6 * device_seconds([&] { graph.replay(); }, kWindow) / kKernels;
}

// How many of the world's ranks share a machine.
int ranks_of_machine(Communicator& world) {
  auto most = at::zeros({1}, at::kLong).fill_(local_rank() + 1);
  world.all_reduce(most, Reduce::max);
  return static_cast<int>(most.item<int64_t>());
}

void measure_links(Mesh& mesh, MachineRates& rates, std::string& missing) {
  auto& world = mesh.world();
  const int ranks = world.size(), together = ranks > 1 ? ranks_of_machine(world) : 1;
  missing = ranks == 1 ? "; links and network as known" : ranks == together ? "; network as known" : "; links as known";
  if (ranks == 1) return;
  auto values = at::zeros({int64_t{1} << 26}, options(at::kFloat)), few = at::zeros({32}, options(at::kFloat));
  // As many calls on every rank.
  const auto seconds = [&](at::Tensor& tensor, int calls) {
    return window_seconds([&] { world.all_reduce(tensor, Reduce::sum); }, calls);
  };
  seconds(few, 1);  // connects
  const double large = seconds(values, 20), small = seconds(few, 100);
  const double gbytes = 2.0 * (ranks - 1) / ranks * 4 * static_cast<double>(values.numel()) / 1e9 / large;
  const double us = 1e6 * small / std::log2(ranks);
  (ranks == together ? rates.link_gbytes : rates.network_gbytes) = gbytes;
  (ranks == together ? rates.link_us : rates.network_us) = us;
}

}  // namespace

MachineRates measure_machine(Mesh& mesh, const MachineRates& known, const std::string& gpu) {
  MachineRates rates = known;
  rates.gpu = gpu;
  rates.multiprocessors = at::cuda::getCurrentDeviceProperties()->multiProcessorCount;
  measure_products(rates);
  const auto narrow = measure_attention(64), wide = measure_attention(128);
  rates.attention_forward_tflops = narrow.forward;
  rates.attention_backward_tflops = narrow.backward;
  rates.attention_head_128 = (wide.forward + wide.backward) / (narrow.forward + narrow.backward);
  measure_passes(rates);
  measure_launches(rates);
  std::string missing;
  measure_links(mesh, rates, missing);
  const std::time_t now = std::time(nullptr);
  char day[16];
  std::strftime(day, sizeof day, "%Y-%m-%d", std::gmtime(&now));
  rates.measured = std::string(day) + " by lacuna inspect --machine" + missing;
  return rates;
}
#else
MachineRates measure_machine(Mesh&, const MachineRates&, const std::string&) {
  throw usage_error("there are rates of GPUs only, and this build has no CUDA: build the preset cuda, on a machine with a GPU");
}
#endif

}  // namespace lacuna
