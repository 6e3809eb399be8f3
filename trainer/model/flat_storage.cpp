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

std::vector<FlatStorage::Range> ranges_of(const std::vector<ParameterSpec>& parameters) {
  std::vector<FlatStorage::Range> ranges;
  int64_t end = 0;
  for (const ParameterSpec& parameter : parameters) {
    if (parameter.value.scalar_type() != at::kFloat) throw misuse(parameter.name, "is not fp32");
    if (!parameter.value.is_leaf()) throw misuse(parameter.name, "is not a leaf of the autograd graph");
    ranges.push_back({.name = parameter.name,
                      .offset = round_up(end, kAlignment),
                      .count = parameter.value.numel(),
                      .decays = parameter.decays(),
                      .rule = parameter.rule,
                      .is_table = parameter.is_table,
                      .whole_gradient = parameter.whole_gradient,
                      .partitioned = parameter.partition_dim >= 0,
                      .shape = parameter.value.sizes().vec(),
                      .full_shape = parameter.full_shape,
                      .partition_dim = parameter.partition_dim});
    end = ranges.back().offset + ranges.back().count;
  }
  return ranges;
}

// Neighbours as one: a range is one call of a kernel.
std::vector<FlatStorage::Shard> joined(const std::vector<FlatStorage::Shard>& shards) {
  std::vector<FlatStorage::Shard> result;
  for (const auto& shard : shards) {
    if (!result.empty() && result.back().end == shard.begin) {
      result.back().end = shard.end;
    } else {
      result.push_back(shard);
    }
  }
  return result;
}

}  // namespace

FlatStorage::FlatStorage(std::vector<ParameterSpec>& parameters, int64_t data_size, at::Device device, at::ScalarType compute,
                         Sharding sharding)
    : ranges_(ranges_of(parameters)),
      sharding_(sharding),
      layout_(cut(ranges_, round_up(ranges_.empty() ? 0 : ranges_.back().offset + ranges_.back().count, kAlignment * data_size),
                  sharding)),
      owned_(joined(layout_.shards_in(sharding.rank, 0, layout_.size()))) {
  const int64_t total = layout_.size();
  parameters_ = make_buffer(total, device, compute);
  gradients_ = make_buffer(total, device);
  if (compute != at::kFloat) masters_ = make_buffer(owned_size(), device);
  auto mask = empty_line_mask(total);
  for (const auto& range : ranges_) {
    if (range.partitioned) mark_lines(mask, range.offset, range.count);
  }
  partitioned_ = tensor_of(mask).to(device);

  const c10::AutoGradMode no_graph(false);
  for (size_t i = 0; i < parameters.size(); ++i) {
    at::Tensor& value = parameters[i].value;
    const auto& range = ranges_[i];
    const auto view = [&](const at::Tensor& flat) { return flat.narrow(0, range.offset, range.count).view(value.sizes()); };
    const at::Tensor gradient = view(gradients_);
    value.set_data(view(parameters_));
    parameters[i].masters.clear();
    for (const auto& shard : has_masters() ? layout_.shards_in(sharding.rank, range.offset, range.count) : std::vector<Shard>()) {
      parameters[i].masters.push_back({masters_.narrow(0, shard.packed, shard.count()), shard.begin - range.offset});
    }
    if (value.requires_grad()) value.mutable_grad() = gradient;
    values_.push_back(value);
  }
}

ShardLayout FlatStorage::cut(const std::vector<Range>& ranges, int64_t size, const Sharding& sharding) {
  std::vector<int64_t> starts;
  for (const auto& range : ranges) starts.push_back(range.offset);
  return {starts, size, sharding.bucket_elements > 0 ? sharding.bucket_elements : size, sharding.ranks, kAlignment};
}

at::Tensor FlatStorage::master(const Shard& range) const {
  return has_masters() ? masters_.narrow(0, range.packed, range.count()) : parameters_.narrow(0, range.begin, range.count());
}

void FlatStorage::put_owned(size_t range, const at::Tensor& value, const at::Tensor& packed) const {
  const int64_t offset = ranges_[range].offset;
  const auto flat = value.view(-1);
  for (const auto& shard : layout_.shards_in(sharding_.rank, offset, ranges_[range].count)) {
    packed.narrow(0, shard.packed, shard.count()).copy_(flat.narrow(0, shard.begin - offset, shard.count()));
  }
}

void FlatStorage::set(size_t range, const at::Tensor& value) {
  const c10::AutoGradMode no_graph(false);
  values_[range].copy_(value);
  if (has_masters()) put_owned(range, value, masters_);
}

void FlatStorage::zero_gradients() { gradients_.zero_(); }

void FlatStorage::take_masters() {
  if (!has_masters()) return;
  for (const auto& range : owned_) parameters_.narrow(0, range.begin, range.count()).copy_(master(range));
}

void FlatStorage::check_views() const {
  const auto* values = static_cast<const char*>(parameters_.const_data_ptr());
  const auto* gradients = static_cast<const float*>(gradients_.const_data_ptr());
  for (size_t i = 0; i < values_.size(); ++i) {
    const at::Tensor& value = values_[i];
    if (value.const_data_ptr() != values + ranges_[i].offset * parameters_.element_size())
      throw misuse(ranges_[i].name, "no longer lies in the flat buffer");
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
