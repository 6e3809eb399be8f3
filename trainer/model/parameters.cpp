#include "trainer/model/parameters.h"

#include <ATen/Parallel.h>
#include <ATen/ops/empty.h>

#include <algorithm>
#include <functional>
#include <numeric>
#include <thread>
#include <unordered_map>

#include "data/random.h"

namespace lacuna {

at::Tensor ParameterTable::declare(torch::nn::Module& module, const std::string& name, std::vector<int64_t> full_shape,
                                   int64_t partition_dim, int64_t parts, InitialValues initial, double deviation,
                                   UpdateRule rule) {
  auto local_shape = full_shape;
  if (partition_dim >= 0) local_shape[static_cast<size_t>(partition_dim)] /= parts;
  auto& parameter = module.register_parameter(name, at::empty(local_shape, at::kFloat));
  specs_.push_back({.name = name,
                    .full_shape = std::move(full_shape),
                    .partition_dim = partition_dim,
                    .initial = initial,
                    .deviation = deviation,
                    .rule = rule,
                    .value = parameter,
                    .masters = {}});
  return parameter;
}

at::Tensor ParameterTable::declare_table(torch::nn::Module& module, const std::string& name, int64_t rows, int64_t width,
                                         int64_t parts) {
  auto table = declare(module, name, {rows, width}, parts > 0 ? 0 : -1, parts, InitialValues::normal);
  specs_.back().is_table = true;
  return table;
}

std::vector<ParameterSpec> ParameterTable::list(const torch::nn::Module& root) const {
  std::unordered_map<const c10::TensorImpl*, std::string> names;
  for (const auto& named : root.named_parameters()) names.emplace(named.value().unsafeGetTensorImpl(), named.key());
  std::vector<ParameterSpec> parameters;
  for (auto spec : specs_) {
    const auto name = names.find(spec.value.unsafeGetTensorImpl());
    if (name == names.end()) continue;  // of another tree
    spec.name = name->second;
    parameters.push_back(std::move(spec));
  }
  return parameters;
}

namespace {

// The slice of a tensor as `outer` runs of `inner` consecutive elements of the whole tensor.
struct Runs {
  int64_t outer, inner, full_inner, start;
};

Runs runs_of(const ParameterSpec& p, int tensor_rank, int tensor_size) {
  const auto product = [&](size_t from, size_t to) {
    return std::accumulate(p.full_shape.begin() + static_cast<ptrdiff_t>(from), p.full_shape.begin() + static_cast<ptrdiff_t>(to),
                           int64_t{1}, std::multiplies<>());
  };
  if (p.partition_dim < 0) return {1, product(0, p.full_shape.size()), 0, 0};
  const auto dim = static_cast<size_t>(p.partition_dim);
  const int64_t full = product(dim, p.full_shape.size()), local = full / tensor_size;
  return {product(0, dim), local, full, local * tensor_rank};
}

// Not at::parallel_for, which takes one thread alone in code that is compiled without OpenMP: the values of a large network are
// what its start waits for.
void in_threads(int64_t count, const std::function<void(int64_t begin, int64_t end)>& work) {
  const int64_t parts = std::clamp<int64_t>(count >> 14, 1, at::get_num_threads());
  std::vector<std::jthread> others;
  for (int64_t part = 1; part < parts; ++part) others.emplace_back(work, count * part / parts, count * (part + 1) / parts);
  work(0, count / parts);
}

void fill_normal(const at::Tensor& out, const ParameterSpec& p, const Random& random, const Runs& runs) {
  auto* values = out.data_ptr<float>();
  const auto deviation = static_cast<float>(p.deviation);
  in_threads(runs.outer * runs.inner, [&](int64_t begin, int64_t end) {
    std::array<float, 4> block{};
    int64_t held = -1;
    for (int64_t i = begin; i < end; ++i) {
      const int64_t element = i / runs.inner * runs.full_inner + runs.start + i % runs.inner;
      if (element / 4 != held) block = random.normal_block(static_cast<uint64_t>(held = element / 4));
      values[i] = block[static_cast<size_t>(element % 4)] * deviation;
    }
  });
}

}  // namespace

void initialize(std::vector<ParameterSpec>& parameters, uint64_t seed, int tensor_rank, int tensor_size) {
  const torch::NoGradGuard no_grad;
  const Random root(seed, 0);
  for (auto& p : parameters) {
    // Drawn on the host, so that every device starts from the same bits.
    const bool in_place = p.value.is_cpu() && p.value.scalar_type() == at::kFloat;
    const auto drawn = in_place ? p.value : at::empty(p.value.sizes(), at::kFloat);
    switch (p.initial) {
      case InitialValues::zeros: drawn.zero_(); break;
      case InitialValues::ones: drawn.fill_(1); break;
      case InitialValues::constant: drawn.fill_(p.deviation); break;
      case InitialValues::normal: fill_normal(drawn, p, root.fork(p.name), runs_of(p, tensor_rank, tensor_size));
    }
    if (!in_place) p.value.copy_(drawn);
    for (auto& kept : p.masters) kept.values.copy_(drawn.view(-1).narrow(0, kept.begin, kept.values.numel()));
  }
}

}  // namespace lacuna
