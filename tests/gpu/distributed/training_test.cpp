// Layout changes no curve over NCCL: data x tensor, sharded optimizers and split streams against one rank; in fp32 composed of
// ordinary operations, in bf16 of fused halves, step by step and recorded as CUDA graphs.
#include "tests/support/training.h"

#include <c10/cuda/CUDAFunctions.h>
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>
#include <mpi.h>

#include "tests/gpu/distributed/device_axis.h"

namespace lacuna {
namespace {

using testing::TrainingSettings;

// Heads and widths that the fused halves take, over two tensor ranks too.
TrainingSettings network(bool llama) {
  DecoderOptions o{.num_layers = 2,
                   .hidden_size = 64,
                   .num_heads = 4,
                   .num_kv_heads = 4,
                   .feed_forward_size = 128,
                   .activation = Activation::gelu_tanh};
  if (llama) {
    o.norm = NormKind::rms_norm;
    o.position = PositionKind::rotary;
    o.activation = Activation::swiglu;
    o.bias = BiasKind::none;
    o.tied_embedding = false;
  }
  return {.micro_batches = 1, .bucket_elements = 30000, .decoder = o};
}

testing::Curve run(Mesh& mesh, const TrainingSettings& settings) {
  const c10::cuda::CUDAStreamGuard guard(c10::cuda::getStreamFromPool(false, testing::own_device().index()));
  auto curve = testing::train(mesh, testing::own_device(), settings);
  c10::cuda::device_synchronize();
  return curve;
}

void compare(const TrainingSettings& base, const std::string& name, double tolerance) {
  int size = 0;
  MPI_Comm_size(MPI_COMM_WORLD, &size);
  const auto alone = make_self_mesh();
  const auto expected = run(*alone, base);
  EXPECT_LT(expected.losses.back(), 0.97 * expected.losses.front()) << name << ": it learns";
  double worst = 0;
  // Fused halves of this width go over two ranks. Over four, two of the ranks hold nothing of the vocabulary but padding.
  const int most = base.fused ? std::min(size, 2) : size;
  for (int64_t tensor = 1; tensor <= most; tensor *= 2) {
    const auto mesh = make_device_mesh(tensor, testing::own_device());
    for (const bool all : {false, true}) {
      auto settings = base;
      settings.shard_optimizer = all && mesh->data().size() > 1;
      settings.sequence = all && tensor > 1;
      const double distance = testing::distance(run(*mesh, settings), expected);
      worst = std::max(worst, distance);
      EXPECT_LT(distance, tolerance) << name << ", " << testing::words(*mesh, settings);
    }
  }
  int rank = 0;
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  if (rank == 0) std::printf("%s: worst relative difference of losses and norms %.1e\n", name.c_str(), worst);
}

TEST(NcclTraining, Fp32CurvesAreThoseOfOneRank) { compare(network(false), "gpt2 fp32", 1e-5); }

// bf16 rounds what the tensor axis sums.
TEST(NcclTraining, Bf16CurvesOfFusedHalvesAreCloseToThoseOfOneRank) {
  auto settings = network(false);
  settings.fused = true;
  settings.compute = at::kBFloat16;
  settings.steps = 8;
  compare(settings, "gpt2 bf16 fused", 2e-2);
}

TEST(NcclTraining, RecordedStepsAreThoseThatAreQueuedOneByOne) {
  auto settings = network(true);
  settings.fused = settings.record = true;
  settings.compute = at::kBFloat16;
  settings.steps = 10;
  settings.micro_batches = 2;  // three recordings: the first one gathers parameters, the last one updates them
  compare(settings, "llama bf16 fused, recorded", 2e-2);
}

}  // namespace
}  // namespace lacuna
