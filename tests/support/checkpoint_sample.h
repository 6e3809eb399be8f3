// A small state to save and to find again, whose values depend on the step, in any layout.
#pragma once
#include <ATen/ops/arange.h>
#include <ATen/ops/equal.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <string>
#include <vector>

#include "tests/support/thread_world.h"
#include "trainer/checkpoint/checkpoint.h"
#include "trainer/checkpoint/checkpoint_writer.h"

namespace lacuna::testing {

struct SampleTensor {
  std::string name;
  std::vector<int64_t> shape;
  int64_t partition_dim;
  at::ScalarType dtype;
};
inline const std::vector<SampleTensor> kSampleTensors = {{"rows", {8, 6}, 0, at::kFloat},
                                                         {"columns", {3, 8, 5}, 1, at::kFloat},
                                                         {"last", {2, 4}, 1, at::kBFloat16},
                                                         {"whole", {7}, -1, at::kFloat},
                                                         {"count", {}, -1, at::kLong},
                                                         {"big", {4, 300, 10}, 1, at::kDouble},
                                                         {"embedding.weight", {40, 3}, 0, at::kHalf}};

inline at::Tensor sample_value(const SampleTensor& sample, int64_t step) {
  int64_t count = 1;
  for (const int64_t size : sample.shape) count *= size;
  return (at::arange(count, at::kLong) % 97 + step).to(sample.dtype).reshape(sample.shape);
}

// The slices of tensor rank `part` of `parts`.
inline std::vector<TensorSlice> sample_slices(int64_t step, int64_t part, int64_t parts) {
  std::vector<TensorSlice> slices;
  for (const SampleTensor& sample : kSampleTensors) {
    const at::Tensor whole = sample_value(sample, step);
    if (sample.partition_dim < 0) {
      if (part == 0) slices.push_back({sample.name, sample.shape, -1, 0, 1, whole});
      continue;
    }
    slices.push_back({sample.name, sample.shape, sample.partition_dim, part, parts,
                      whole.chunk(parts, sample.partition_dim)[static_cast<size_t>(part)]});
  }
  return slices;
}

inline CheckpointMeta sample_meta(int64_t step, int64_t tensor = 1) {
  return {.step = step,
          .tokens_seen = step * 1000,
          .data = 1,
          .tensor = tensor,
          .counters = {{"adamw_step", step}},
          .corpus_hashes = {{"corpus", "ab12"}},
          .config = "[run]\nseed = 1\n",
          .code_version = "test"};
}

// Saves a step as the only rank.
inline CommitResult save_sample(const std::filesystem::path& folder, int64_t step, int64_t keep = 2,
                                const FileIo& io = FileIo()) {
  CommitResult result;
  ThreadWorld(1).run([&](Communicator& world) {
    CheckpointWriter writer(world, folder, keep, io);
    writer.begin(sample_slices(step, 0, 1), sample_meta(step));
    result = writer.commit();
  });
  return result;
}

// Every slice of every layout is that of `step`.
inline void expect_sample(const Checkpoint& checkpoint, int64_t step, const std::vector<int64_t>& layouts = {1, 2, 4}) {
  EXPECT_EQ(checkpoint.meta().step, step);
  EXPECT_EQ(checkpoint.names().size(), kSampleTensors.size());
  for (const SampleTensor& sample : kSampleTensors) {
    const at::Tensor whole = sample_value(sample, step);
    for (const int64_t parts : layouts) {
      for (int64_t part = 0; part < parts; ++part) {
        const at::Tensor expected =
            sample.partition_dim < 0 ? whole : whole.chunk(parts, sample.partition_dim)[static_cast<size_t>(part)];
        const at::Tensor read = checkpoint.read(sample.name, sample.partition_dim, sample.partition_dim < 0 ? 0 : part, parts);
        EXPECT_TRUE(read.scalar_type() == sample.dtype && read.sizes() == expected.sizes() && at::equal(read, expected))
            << sample.name << " part " << part << " of " << parts;
      }
    }
  }
}

}  // namespace lacuna::testing
