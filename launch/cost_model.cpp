#include "launch/cost_model.h"

#include <algorithm>
#include <cmath>

namespace lacuna {
namespace {

// y at x of a curve through (xs, ys), straight over the logarithm of x, level beyond its ends.
double along(const std::vector<int64_t>& xs, const std::vector<int64_t>& ys, double x) {
  const size_t n = std::min(xs.size(), ys.size());
  if (x <= static_cast<double>(xs.front())) return static_cast<double>(ys.front());
  for (size_t i = 1; i < n; ++i) {
    const auto left = static_cast<double>(xs[i - 1]), right = static_cast<double>(xs[i]);
    if (x > right) continue;
    const double share = std::log(x / left) / std::log(right / left);
    return (1 - share) * static_cast<double>(ys[i - 1]) + share * static_cast<double>(ys[i]);
  }
  return static_cast<double>(ys[n - 1]);
}

double product_seconds(double m, double n, double k, double tflops, double element_size, const MachineRates& rates) {
  // Output tiles of 128 x 256 on as many processors; where they are fewer, k is split among several.
  const double tiles = std::ceil(m / 128) * std::ceil(n / 256);
  const double filled = std::min(1.0, tiles * std::max(1.0, k / 1024) / static_cast<double>(rates.multiprocessors));
  const double arithmetic = 2 * m * n * k / (tflops * 1e12 * filled);
  const double bytes = element_size * (m * k + k * n + m * n);
  return std::max(arithmetic, bytes / (rates.copy_gbytes * 1e9));
}

double attention_seconds(const AttentionWork& a, bool bf16, double fp32_tflops, const MachineRates& rates) {
  const double queries = static_cast<double>(a.rows * a.length), keys = a.visible * static_cast<double>(a.length);
  const double flops = 4 * queries * keys * static_cast<double>(a.num_heads * a.head_size);  // forward
  // Rates are those of a causal mask at heads of 64 and of 128.
  const double wide = a.head_size >= 128
                          ? rates.attention_head_128
                          : 1 + (rates.attention_head_128 - 1) * std::max<double>(0, static_cast<double>(a.head_size) - 64) / 64;
  const double forward = flops / (1e12 * (bf16 ? wide * rates.attention_forward_tflops : fp32_tflops / 2));
  const double backward = 2.5 * flops / (1e12 * (bf16 ? wide * rates.attention_backward_tflops : fp32_tflops / 2));
  return a.count * ((a.recomputed ? 2 : 1) * forward + backward);
}

}  // namespace

double linear_seconds(const LinearWork& l, bool bf16, bool tf32, const MachineRates& rates) {
  const auto rows = static_cast<double>(l.rows), in = static_cast<double>(l.in), out = static_cast<double>(l.out);
  const double plain = tf32 ? rates.tf32_tflops : rates.fp32_tflops;
  const double tflops = bf16 ? along(rates.widths, rates.product_tflops, std::min(in, out)) : plain;
  const double e = bf16 ? 2 : 4;
  const double forward = product_seconds(rows, out, in, tflops, e, rates);
  const double inputs = product_seconds(rows, in, out, tflops, e, rates);
  const double weights = product_seconds(in, out, rows, tflops, e, rates);
  return l.count * ((l.recomputed ? 2 : 1) * forward + inputs + weights);
}

double sum_seconds(double bytes, int ranks, int stride, const MachineRates& rates) {
  if (ranks <= 1) return 0;
  const bool inside = static_cast<int64_t>(ranks) * stride <= rates.gpus_per_machine;
  const double sent = 2.0 * (ranks - 1) / ranks * bytes;
  return sent / (1e9 * (inside ? rates.link_gbytes : rates.network_gbytes)) +
         std::log2(ranks) * 1e-6 * (inside ? rates.link_us : rates.network_us);
}

double StepCost::communication() const {
  double seconds = 0;
  for (const auto& axis : traffic) seconds += axis.seconds - axis.hidden;
  return seconds;
}

StepCost predict(const CostInput& input, const MachineRates& rates) {
  const auto& work = input.work;
  StepCost cost;
  const double micro_batches = input.micro_batches;
  for (const auto& l : work.linears) cost.products += micro_batches * linear_seconds(l, input.bf16, input.tf32, rates);
  const double plain = input.tf32 ? rates.tf32_tflops : rates.fp32_tflops;
  for (const auto& a : work.attention) cost.attention += micro_batches * attention_seconds(a, input.bf16, plain, rates);
  const double pass_bytes = rates.copy_gbytes * 1e9 * rates.pass_share;
  for (const auto& p : work.passes) cost.passes += micro_batches * p.bytes / pass_bytes;
  cost.launches = micro_batches * work.launches * rates.launch_us * 1e-6;
  // The gradients' norm; then masters, moments and gradients in, and all of these out, gradients as zeros, with a copy in bf16.
  cost.optimizer = (4 * input.local_parameters + (input.bf16 ? 34 : 32) * input.own_parameters) / pass_bytes;

  if (input.tensor > 1) {
    AxisTraffic axis{.name = "tensor", .ranks = input.tensor};
    axis.messages = micro_batches * work.tensor_messages;
    axis.bytes = micro_batches * 2.0 * (input.tensor - 1) / input.tensor * work.tensor_bytes;
    axis.seconds = axis.messages * sum_seconds(work.tensor_bytes / work.tensor_messages, input.tensor, 1, rates);
    cost.traffic.push_back(axis);
  }
  if (input.data > 1) {
    AxisTraffic axis{.name = "data", .ranks = input.data};
    // Sums of fp32 gradients; sharded, half of a sum brings them in and half of one in the compute type brings the values out.
    const double bytes = (input.shard_optimizer ? 2 + (input.bf16 ? 1 : 2) : 4) * input.local_parameters;
    axis.messages = std::max(1.0, std::ceil(4 * input.local_parameters / input.bucket_bytes)) * (input.shard_optimizer ? 2 : 1);
    axis.bytes = 2.0 * (input.data - 1) / input.data * bytes;
    axis.seconds = axis.messages * sum_seconds(bytes / axis.messages, input.data, input.tensor, rates);
    // Behind the last micro-batch's backward, two thirds of its time; the last bucket has nothing left to hide behind.
    const double backward = 2.0 / 3 * (cost.products + cost.attention + cost.passes + cost.launches) / micro_batches;
    axis.hidden = std::min(axis.seconds * (1 - 1 / axis.messages), backward);
    cost.traffic.push_back(axis);
  }
  return cost;
}

}  // namespace lacuna
