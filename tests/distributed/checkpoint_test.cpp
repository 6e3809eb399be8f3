// Saving over MPI on every mesh of the world, and reading under every other; a rank that fails fails for all.
#include <gtest/gtest.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <optional>

#include "tests/support/checkpoint_sample.h"
#include "tests/support/temporary_folder.h"
#include "trainer/checkpoint/checkpoints.h"
#include "trainer/parallel/mesh.h"

namespace lacuna {
namespace {

namespace fs = std::filesystem;
using namespace testing;

// Rank 0's folder, known to all.
class SharedFolder {
 public:
  explicit SharedFolder(Communicator& world) : world_(world) {
    at::Tensor name = at::arange(4096, at::kByte);
    if (world.rank() == 0) {
      own_.emplace();
      std::strncpy(static_cast<char*>(name.mutable_data_ptr()), own_->path().c_str(), 4095);
    }
    world.broadcast(name, 0);
    path_ = static_cast<const char*>(name.const_data_ptr());
  }
  ~SharedFolder() { world_.barrier(); }
  fs::path operator/(const std::string& name) const { return path_ / name; }

 private:
  Communicator& world_;
  std::optional<TemporaryFolder> own_;
  fs::path path_;
};

std::vector<TensorSlice> slices_of(Mesh& mesh, int64_t step) {
  return mesh.data().rank() == 0 ? sample_slices(step, mesh.tensor().rank(), mesh.tensor().size()) : std::vector<TensorSlice>();
}

TEST(Checkpoint, AnyMeshReadsWhatAnyMeshSaved) {
  const int size = make_mpi_mesh(1)->world().size();
  for (int64_t tensor = 1; tensor <= size; tensor *= 2) {
    const auto mesh = make_mpi_mesh(tensor);
    const SharedFolder folder(mesh->world());
    {
      CheckpointWriter writer(mesh->world(), folder / "checkpoints", 1);
      for (const int64_t step : {10, 20}) {
        writer.begin(slices_of(*mesh, step), sample_meta(step, tensor));
        const CommitResult result = writer.commit();
        EXPECT_TRUE(result.saved && !result.failure) << (result.failure ? result.failure->what() : "");
      }
    }
    const Checkpoint checkpoint = Checkpoint::open(folder / "checkpoints/step-00000020", Verify::full);
    EXPECT_EQ(checkpoint.manifest().files.size(), static_cast<size_t>(tensor));
    expect_sample(checkpoint, 20);
    EXPECT_FALSE(fs::exists(folder / "checkpoints/step-00000010"));
    mesh->world().barrier();
  }
}

TEST(Checkpoint, OneRanksFailureIsEveryRanks) {
  const auto mesh = make_mpi_mesh(2);
  const SharedFolder folder(mesh->world());
  const FileIo full([](FileOperation operation, const fs::path&) { return operation == FileOperation::write ? ENOSPC : 0; });
  CheckpointWriter writer(mesh->world(), folder / "checkpoints", 1, mesh->world().rank() == 1 ? full : FileIo());
  writer.begin(slices_of(*mesh, 10), sample_meta(10, 2));
  const CommitResult result = writer.commit();
  EXPECT_FALSE(result.saved);
  ASSERT_TRUE(result.failure.has_value());
  EXPECT_EQ(result.failure->code(), ExitCode::disk);
  EXPECT_NE(std::string(result.failure->what()).find("rank 1: writing to"), std::string::npos) << result.failure->what();
  EXPECT_TRUE(fs::is_empty(folder / "checkpoints"));
}

// Rank 0 alone hashes files; another rank would take the newest checkpoint, whose sizes are right and whose bytes are not.
TEST(Checkpoint, AllRanksOpenTheOneThatRankZeroFinds) {
  const auto mesh = make_mpi_mesh(1);
  auto& world = mesh->world();
  const SharedFolder folder(world);
  if (world.rank() == 0) {
    for (const int64_t step : {10, 20}) save_sample(folder / "checkpoints", step);
    std::fstream file(folder / "checkpoints/step-00000020/rank-0.safetensors", std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(-1, std::ios::end);
    file.put('x');
  }
  world.barrier();
  EXPECT_EQ(open_checkpoint(folder / "checkpoints", Verify::sizes).meta().step, 20);
  const auto opened = open_together(folder / "checkpoints", world);
  EXPECT_EQ(opened.folder(), folder / "checkpoints/step-00000010");
  expect_sample(opened, 10);

  // What another rank has for a path does not count.
  const auto elsewhere = open_together(world.rank() == 0 ? folder / "checkpoints" : "nowhere", world);
  EXPECT_EQ(elsewhere.folder(), opened.folder());
  EXPECT_FALSE(share_checkpoint(std::nullopt, world).has_value());
}

}  // namespace
}  // namespace lacuna
