#include "trainer/model/flat_storage.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/zeros.h>
#include <c10/core/GradMode.h>
#include <sys/mman.h>

#include <cstdio>
#include <cstring>

#include "data/error.h"
#include "trainer/kernels/line_mask.h"

namespace lacuna {
namespace {

constexpr int64_t kAlignment = 128 / sizeof(float);  // elements

int64_t round_up(int64_t value, int64_t multiple) { return (value + multiple - 1) / multiple * multiple; }

Error misuse(const std::string& name, const std::string& what) {
  return {ExitCode::internal, "FlatStorage: parameter " + name + " " + what};
}

// Zeros. Pages of an anonymous mapping are zero and come when they are first written, and large ones spare the TLB.
at::Tensor make_buffer(int64_t count, at::Device device, at::ScalarType type = at::kFloat) {
  const auto options = at::TensorOptions().dtype(type).device(device);
  if (!device.is_cpu() || count == 0 || type != at::kFloat) return at::zeros({count}, options);
  const size_t bytes = static_cast<size_t>(count) * sizeof(float);
  void* memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) {
    char text[160];
    std::snprintf(text, sizeof text,
                  "%.2f GB for the parameters or their gradients cannot be had. Use a smaller network, or "
                  "split it over more ranks with [parallel] tensor.",
                  static_cast<double>(bytes) * 1e-9);
    throw Error(ExitCode::memory, text);
  }
  madvise(memory, bytes, MADV_HUGEPAGE);  // a hint: a kernel without huge pages refuses it, and nothing is lost
  return at::from_blob(
      memory, {count}, [bytes](void* pointer) { munmap(pointer, bytes); }, options);
}

}  // namespace

FlatStorage::FlatStorage(std::vector<ParameterSpec>& parameters, int64_t data_size, at::Device device, at::ScalarType compute) {
  int64_t end = 0;
  for (const ParameterSpec& parameter : parameters) {
    if (parameter.value.scalar_type() != at::kFloat) throw misuse(parameter.name, "is not fp32");
    if (!parameter.value.is_leaf()) throw misuse(parameter.name, "is not a leaf of the autograd graph");
    ranges_.push_back({.name = parameter.name,
                       .offset = round_up(end, kAlignment),
                       .count = parameter.value.numel(),
                       .decays = parameter.decays(),
                       .partitioned = parameter.partition_dim >= 0,
                       .shape = parameter.value.sizes().vec(),
                       .full_shape = parameter.full_shape,
                       .partition_dim = parameter.partition_dim});
    end = ranges_.back().offset + ranges_.back().count;
  }
  const int64_t total = round_up(end, kAlignment * data_size);
  master_ = make_buffer(total, device);
  parameters_ = compute == at::kFloat ? master_ : make_buffer(total, device, compute);
  gradients_ = make_buffer(total, device);
  auto mask = empty_line_mask(total);
  for (const auto& range : ranges_) {
    if (range.partitioned) mark_lines(mask, range.offset, range.count);
  }
  partitioned_ = tensor_of(mask).to(device);

  const c10::AutoGradMode no_graph(false);
  for (size_t i = 0; i < parameters.size(); ++i) {
    at::Tensor& value = parameters[i].value;
    const auto view = [&](const at::Tensor& flat) {
      return flat.narrow(0, ranges_[i].offset, ranges_[i].count).view(value.sizes());
    };
    const at::Tensor gradient = view(gradients_);
    value.set_data(view(parameters_));
    parameters[i].master = view(master_);
    if (value.requires_grad()) value.mutable_grad() = gradient;
    values_.push_back(value);
  }
}

void FlatStorage::zero_gradients() { gradients_.zero_(); }

void FlatStorage::take_master() {
  if (!parameters_.is_same(master_)) parameters_.copy_(master_);
}

void FlatStorage::check_views() const {
  const auto* values = static_cast<const char*>(parameters_.const_data_ptr());
  const auto* gradients = static_cast<const float*>(gradients_.const_data_ptr());
  for (size_t i = 0; i < values_.size(); ++i) {
    const at::Tensor& value = values_[i];
    if (value.const_data_ptr() != values + ranges_[i].offset * parameters_.element_size()) throw misuse(ranges_[i].name, "no longer lies in the flat buffer");
    if (!value.requires_grad()) continue;
    if (!value.grad().defined() || value.grad().const_data_ptr() != gradients + ranges_[i].offset) {
      throw misuse(ranges_[i].name,
                   "has a .grad outside the flat gradients: accumulate in place, without create_graph, and "
                   "clear it with zero_gradients()");
    }
  }
}

at::Tensor tensor_of(const std::vector<uint32_t>& mask) {
  auto tensor = at::empty({static_cast<int64_t>(mask.size())}, at::kInt);
  std::memcpy(tensor.mutable_data_ptr(), mask.data(), mask.size() * sizeof(uint32_t));
  return tensor;
}

}  // namespace lacuna
