// A tiny decoder trained as trainer/trainer.cpp does it, but for files and reports: what a layout, a sharded optimizer, a split
// stream or a recorded step must not change is its curve.
#pragma once
#include <string>
#include <vector>

#include "trainer/model/decoder.h"

namespace lacuna::testing {

struct TrainingSettings {
  bool shard_optimizer = false, sequence = false;
  bool fused = false, record = false;  // on a device
  at::ScalarType compute = at::kFloat;
  int64_t steps = 20, micro_batches = 2;
  int64_t bucket_elements = 4000;  // several buckets, some of one parameter and some of many
  DecoderOptions decoder;
};
std::string words(Mesh& mesh, const TrainingSettings& settings);

struct Curve {
  std::vector<double> losses, norms;  // by step: of the mean over the whole batch
  int64_t state_size = 0;             // elements of a moment on this rank
};
// The same batches whatever the mesh; every rank calls it. On a device that is not the default stream's if steps are recorded.
Curve train(Mesh& mesh, at::Device device, const TrainingSettings& settings);

// The largest relative difference of losses and of norms.
double distance(const Curve& a, const Curve& b);

}  // namespace lacuna::testing
