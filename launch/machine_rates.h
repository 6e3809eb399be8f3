// How fast a machine with GPUs does the parts of a step: what the cost model multiplies. launch/machines.toml holds what was
// measured on known GPUs; `lacuna inspect --machine` measures the one at hand.
#pragma once
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "trainer/config/describe.h"

namespace lacuna {

struct MachineRates {
  std::string gpu;       // as the driver names it
  std::string measured;  // when and how
  std::vector<int64_t> widths = {1};
  std::vector<int64_t> product_tflops = {1};                           // by the narrower of a linear layer's two widths
  double fp32_tflops = 1, tf32_tflops = 1;                             // products
  double attention_forward_tflops = 1, attention_backward_tflops = 1;  // causal, heads of 64 and 128: what is seen counts
  double attention_head_128 = 1;                                       // how much faster heads of 128 are
  double copy_gbytes = 1;                                              // a large copy, read and written
  double pass_share = 1;                                               // of that, what kernels between products reach
  double launch_us = 1;                                                // from one kernel's end to the next one's start
  int64_t multiprocessors = 1;
  int64_t gpus_per_machine = 8;
  double link_gbytes = 1, link_us = 1;        // between GPUs of one machine, each way and GPU; of one message
  double network_gbytes = 1, network_us = 1;  // between machines, for each GPU
};
template <class Visitor>
void describe(Visitor& visit, MachineRates& r) {
  visit("gpu", r.gpu, "as the driver names it");
  visit("measured", r.measured, "when and how");
  visit("widths", r.widths, "the narrower width of a linear layer", at_least(1));
  visit("product_tflops", r.product_tflops, "bf16 products of such a layer, forward and backward", at_least(1));
  visit("fp32_tflops", r.fp32_tflops, "products of fp32", above(0));
  visit("tf32_tflops", r.tf32_tflops, "products of fp32 with precision.tf32", above(0));
  visit("attention_forward_tflops", r.attention_forward_tflops, "causal, heads of 64, what is seen alone counted", above(0));
  visit("attention_backward_tflops", r.attention_backward_tflops, "likewise", above(0));
  visit("attention_head_128", r.attention_head_128, "how many times faster heads of 128 are", above(0));
  visit("copy_gbytes", r.copy_gbytes, "GB/s of a large copy, read and written", above(0));
  visit("pass_share", r.pass_share, "share of it that kernels between products reach", between(0.01, 2));
  visit("launch_us", r.launch_us, "microseconds between the kernels of a recorded step", at_least(0));
  visit("multiprocessors", r.multiprocessors, "of the GPU", at_least(1));
  visit("gpus_per_machine", r.gpus_per_machine, "GPUs that the links join", at_least(1));
  visit("link_gbytes", r.link_gbytes, "GB/s each way of a GPU to those of its machine", above(0));
  visit("link_us", r.link_us, "microseconds of a small sum between two of them", at_least(0));
  visit("network_gbytes", r.network_gbytes, "GB/s each way of a GPU to other machines", above(0));
  visit("network_us", r.network_us, "microseconds of a small sum between machines", at_least(0));
}

// The sections of a text of rates, by name. Throws usage errors with file:line:column.
std::vector<std::pair<std::string, MachineRates>> read_machines(const std::string& text, const std::string& origin);

// Where `inspect --machine` keeps what it measured; empty where no cache folder is known.
std::filesystem::path kept_rates_file();
void keep_rates(const MachineRates& rates);  // writes it; throws Error(disk)

// `name`: a section of launch/machines.toml ("h100", "h200"), or a file; "": what was measured here, else the H200. Throws usage
// errors that list what there is.
MachineRates find_rates(const std::string& name);

// The folder for what is worth keeping from run to run: LACUNA_CACHE or ~/.cache/lacuna, made; empty where neither is known.
std::filesystem::path cache_folder();

}  // namespace lacuna
