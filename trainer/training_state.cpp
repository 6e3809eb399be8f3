#include "trainer/training_state.h"

#include <ATen/core/grad_mode.h>

namespace lacuna {
namespace {

// Every tensor that belongs to a parameter: the prefix of its name in a checkpoint and the flat buffer that holds it.
std::vector<std::pair<std::string, at::Tensor>> buffers(const FlatStorage& storage, const Optimizer* optimizer) {
  std::vector<std::pair<std::string, at::Tensor>> all{{"parameter.", storage.master()}};
  if (optimizer != nullptr) {
    for (const auto& [name, flat] : optimizer->state()) all.emplace_back("optimizer." + name + ".", flat);
  }
  return all;
}

}  // namespace

std::vector<TensorSlice> training_slices(const FlatStorage& storage, const Optimizer* optimizer, Mesh& mesh) {
  std::vector<TensorSlice> slices;
  if (mesh.data().rank() != 0) return slices;
  const int part = mesh.tensor().rank(), parts = mesh.tensor().size();
  for (const auto& [prefix, flat] : buffers(storage, optimizer)) {
    for (const auto& range : storage.ranges()) {
      if (!range.partitioned && part != 0) continue;
      slices.push_back({.name = prefix + range.name,
                        .full_shape = range.full_shape,
                        .partition_dim = range.partition_dim,
                        .part = part,
                        .parts = range.partitioned ? parts : 1,
                        .value = flat.narrow(0, range.offset, range.count).view(range.shape)});
    }
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
  for (const auto& [prefix, flat] : buffers(storage, optimizer)) {
    for (const auto& range : storage.ranges()) {
      const auto name = prefix + range.name;
      const auto value =
          checkpoint.read(name, range.partition_dim, mesh.tensor().rank(), range.partitioned ? mesh.tensor().size() : 1);
      if (value.sizes() != at::IntArrayRef(range.shape)) {
        throw checkpoint_error(name + " has another shape in the checkpoint; the architecture has changed since");
      }
      flat.narrow(0, range.offset, range.count).view(range.shape).copy_(value);
    }
  }
  storage.take_master();
}

}  // namespace lacuna
