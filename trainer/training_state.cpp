#include "trainer/training_state.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty.h>

#include <algorithm>

namespace lacuna {
namespace {

const std::string kObjectivePrefix = "objective_state.";

// A tensor of values that belong to parameters, and the prefix of their names in a checkpoint.
struct Buffer {
  std::string prefix;
  at::Tensor values;
  bool of_owned = false;  // laid out as FlatStorage::owned() and not like the parameters
};

std::vector<Buffer> buffers(const FlatStorage& storage, const Optimizer* optimizer) {
  std::vector<Buffer> all{storage.has_masters() ? Buffer{"parameter.", storage.masters(), true}
                                                : Buffer{"parameter.", storage.parameters(), false}};
  if (optimizer != nullptr) {
    for (const auto& [name, values] : optimizer->state()) all.push_back({"optimizer." + name + ".", values, true});
  }
  return all;
}

// Every parameter's values, on the host of the data rank that writes it: parameter number modulo ranks. Elsewhere undefined.
std::vector<at::Tensor> gathered(const FlatStorage& storage, const at::Tensor& owned, Communicator& data) {
  const auto& ranges = storage.ranges();
  std::vector<at::Tensor> values(ranges.size());
  for (size_t i = static_cast<size_t>(data.rank()); i < ranges.size(); i += static_cast<size_t>(data.size())) {
    values[i] = at::empty({ranges[i].count}, at::kFloat);
  }
  for (size_t b = 0; b < storage.layout().buckets().size(); ++b) {
    const auto bucket = storage.layout().buckets()[b];
    const auto shard = storage.layout().shard(b, data.rank());
    auto whole = at::empty({bucket.count()}, owned.options());
    data.all_gather(whole, owned.narrow(0, shard.packed, shard.count()));
    for (size_t i = 0; i < ranges.size(); ++i) {
      const int64_t begin = std::max(bucket.begin, ranges[i].offset),
                    end = std::min(bucket.end, ranges[i].offset + ranges[i].count);
      if (begin >= end || !values[i].defined()) continue;
      values[i].narrow(0, begin - ranges[i].offset, end - begin).copy_(whole.narrow(0, begin - bucket.begin, end - begin));
    }
  }
  return values;
}

}  // namespace

std::vector<TensorSlice> training_slices(const FlatStorage& storage, const Optimizer* optimizer, Mesh& mesh) {
  std::vector<TensorSlice> slices;
  const int part = mesh.tensor().rank(), parts = mesh.tensor().size();
  for (const auto& buffer : buffers(storage, optimizer)) {
    std::vector<at::Tensor> gathered_values;
    const bool gathers = buffer.of_owned && storage.is_sharded();
    if (gathers) gathered_values = gathered(storage, buffer.values, mesh.data());
    for (size_t i = 0; i < storage.ranges().size(); ++i) {
      const auto& range = storage.ranges()[i];
      const bool mine = gathers ? gathered_values[i].defined() : mesh.data().rank() == 0;
      if (!mine || (!range.partitioned && part != 0)) continue;
      const auto values = gathers ? gathered_values[i] : buffer.values.narrow(0, range.offset, range.count);
      slices.push_back({.name = buffer.prefix + range.name,
                        .full_shape = range.full_shape,
                        .partition_dim = range.partition_dim,
                        .part = part,
                        .parts = range.partitioned ? parts : 1,
                        .value = values.view(range.shape)});
    }
  }
  return slices;
}

std::vector<TensorSlice> objective_slices(Objective& objective, Mesh& mesh) {
  std::vector<TensorSlice> slices;
  if (mesh.tensor().rank() != 0) return slices;
  for (const auto& [name, values] : objective.state()) {
    auto shape = values.sizes().vec();
    shape[0] *= mesh.data().size();
    slices.push_back({.name = kObjectivePrefix + name,
                      .full_shape = shape,
                      .partition_dim = 0,
                      .part = mesh.data().rank(),
                      .parts = mesh.data().size(),
                      .value = values});
  }
  return slices;
}

std::vector<BucketParameter> bucket_parameters(const FlatStorage& storage) {
  std::vector<BucketParameter> parameters;
  for (size_t i = 0; i < storage.ranges().size(); ++i) {
    parameters.push_back(
        {.variable = storage.value(i), .offset = storage.ranges()[i].offset, .count = storage.ranges()[i].count});
  }
  return parameters;
}

void restore(const Checkpoint& checkpoint, FlatStorage& storage, Optimizer* optimizer, Mesh& mesh) {
  const at::NoGradGuard no_grad;
  const auto read = [&](const std::string& prefix, const FlatStorage::Range& range) {
    const auto name = prefix + range.name;
    auto value = checkpoint.read(name, range.partition_dim, mesh.tensor().rank(), range.partitioned ? mesh.tensor().size() : 1);
    if (value.sizes() == at::IntArrayRef(range.shape)) return value;
    throw checkpoint_error(name + " has another shape in the checkpoint; the architecture has changed since");
  };
  for (size_t i = 0; i < storage.ranges().size(); ++i) {
    const auto& range = storage.ranges()[i];
    storage.set(i, read("parameter.", range));
    if (optimizer == nullptr) continue;
    for (const auto& [name, values] : optimizer->state()) storage.put_owned(i, read("optimizer." + name + ".", range), values);
  }
}

void restore(const Checkpoint& checkpoint, Objective& objective, Mesh& mesh) {
  for (const auto& [name, values] : objective.state()) {
    const auto saved = checkpoint.read(kObjectivePrefix + name, 0, mesh.data().rank(), mesh.data().size());
    if (saved.sizes() != values.sizes()) {
      throw checkpoint_error("what the objective keeps, " + name + ", has another shape in the checkpoint; [objective] or [batch] has changed since");
    }
    values.copy_(saved);
  }
}

}  // namespace lacuna
