// A patch encoder with an objective on frames, small enough to be tried in every way.
#pragma once
#include <memory>
#include <vector>

#include "tests/support/network.h"
#include "trainer/model/patch_encoder.h"
#include "trainer/objective.h"

namespace lacuna::testing {

// `count` recordings of normal noise, `frames` long, at positions from `first` on.
inline std::vector<Sample> noise_frames(int64_t count, int64_t frames, int64_t bins, int64_t first = 0) {
  std::vector<Sample> samples;
  for (int64_t i = first; i < first + count; ++i) {
    const auto random = Random(11, static_cast<uint64_t>(i));
    Sample sample{.position = i, .tokens = {}, .document_starts = {0}};
    for (int64_t v = 0; v < frames * bins; ++v) {
      sample.frames.push_back(random.normal_block(static_cast<uint64_t>(v / 4))[static_cast<size_t>(v % 4)]);
    }
    samples.push_back(std::move(sample));
  }
  return samples;
}

inline PatchEncoderOptions tiny_patch_encoder() {
  PatchEncoderOptions o;
  o.num_layers = 2, o.hidden_size = 32, o.num_heads = 4, o.feed_forward_size = 64;
  return o;
}

struct PatchNetwork {
  ParameterTable table;
  std::unique_ptr<PatchEncoder> encoder;
  std::vector<ParameterSpec> parameters;  // the objective's behind the encoder's, under "objective."

  at::Tensor operator[](const std::string& name) const { return find_parameter(parameters, name); }
};
// With large values. `objective` may be null.
inline std::unique_ptr<PatchNetwork> make_patch_network(const PatchEncoderOptions& options, const PatchGrid& grid, Mesh& mesh,
                                                        Objective* objective, uint64_t seed = 7) {
  auto network = std::make_unique<PatchNetwork>();
  const bool withholds = objective != nullptr && objective->needs().withheld_positions;
  const ModelContext context{.mesh = mesh,
                             .parameters = network->table,
                             .vocabulary_size = 0,
                             .max_length = grid.patches() + (withholds ? 1 : 0),
                             .seed = seed,
                             .grid = grid};
  network->encoder = std::make_unique<PatchEncoder>(options, context);
  network->parameters = network->table.list(*network->encoder);
  if (objective != nullptr) {
    objective->build(context, *network->encoder);
    for (auto& own : network->table.list(*objective)) {
      own.name = "objective." + own.name;
      network->parameters.push_back(std::move(own));
    }
  }
  draw_large_values(network->parameters, mesh, seed);
  return network;
}

}  // namespace lacuna::testing
