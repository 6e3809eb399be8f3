#include "trainer/checkpoint/checkpoint.h"

#include <ATen/ops/zeros.h>
#include <gtest/gtest.h>

#include <fstream>
#include <random>
#include <set>

#include "tests/support/checkpoint_sample.h"
#include "tests/support/expect_error.h"
#include "tests/support/temporary_folder.h"
#include "trainer/checkpoint/checkpoints.h"

namespace lacuna {
namespace {

namespace fs = std::filesystem;
using namespace testing;

std::set<std::string> names_in(const fs::path& folder) {
  std::set<std::string> names;
  for (const auto& entry : fs::directory_iterator(folder)) names.insert(entry.path().filename().string());
  return names;
}

TEST(Checkpoint, AnyLayoutReadsWhatAnyLayoutSaved) {
  for (const int tensor : {1, 2, 4}) {
    for (const int data : {1, 2}) {
      const TemporaryFolder folder;
      ThreadWorld(data * tensor).run([&](Communicator& world) {
        CheckpointWriter writer(world, folder / "checkpoints", 2);
        EXPECT_TRUE(writer.written());
        // Data rank 0 writes; the others take part with nothing.
        const int part = world.rank() % tensor;
        auto slices = world.rank() < tensor ? sample_slices(5, part, tensor) : std::vector<TensorSlice>();
        writer.begin(slices, sample_meta(5, tensor));
        for (TensorSlice& slice : slices) slice.value.zero_();  // the next step's update must not reach the file
        const CommitResult result = writer.commit();
        EXPECT_TRUE(result.saved && !result.failure && writer.written() && !writer.in_flight());
        EXPECT_FALSE(writer.commit().saved);
      });
      const Checkpoint checkpoint = find_checkpoint(folder.path(), Verify::full).checkpoint;
      EXPECT_EQ(checkpoint.manifest().files.size(), static_cast<size_t>(tensor));
      EXPECT_EQ(checkpoint.meta().tokens_seen, 5000);
      EXPECT_EQ(checkpoint.meta().tensor, tensor);
      expect_sample(checkpoint, 5);
    }
  }
}

TEST(Checkpoint, ReadingRefusesWhatIsNotThere) {
  const TemporaryFolder folder;
  save_sample(folder / "c", 1);
  const Checkpoint checkpoint = find_checkpoint(folder / "c", Verify::sizes).checkpoint;
  EXPECT_NE(error_message(ExitCode::checkpoint, [&] { checkpoint.read("nothing"); }).find("no tensor \"nothing\""),
            std::string::npos);
  EXPECT_NE(error_message(ExitCode::usage, [&] { checkpoint.read("rows", 0, 0, 3); })
                .find("cannot be cut into 3 equal parts along dim 0"),
            std::string::npos);
  error_message(ExitCode::usage, [&] { checkpoint.read("rows", 2, 0, 1); });
  EXPECT_EQ(checkpoint.full_shape("columns"), (std::vector<int64_t>{3, 8, 5}));
  EXPECT_FALSE(checkpoint.contains("nothing"));
}

TEST(Checkpoint, KeepsTheNewestAndPointsAtTheLatest) {
  const TemporaryFolder folder;
  for (const int64_t step : {10, 20, 30, 40}) EXPECT_TRUE(save_sample(folder / "c", step, 3).saved);
  EXPECT_EQ(names_in(folder / "c"), (std::set<std::string>{"LATEST", "step-00000020", "step-00000030", "step-00000040"}));
  EXPECT_EQ(read_text(folder / "c" / "LATEST", 100), "step-00000040\n");
  const auto list = list_checkpoints(folder / "c");
  ASSERT_EQ(list.size(), 3u);
  EXPECT_EQ(list.front().step, 40);
  EXPECT_TRUE(list_checkpoints(folder / "absent").empty());
  EXPECT_NE(error_message(ExitCode::checkpoint, [&] { save_sample(folder / "c", 40); }).find("exists already"),
            std::string::npos);
}

TEST(Checkpoint, LeftoversOfDeadJobsGo) {
  const TemporaryFolder folder;
  save_sample(folder / "c", 1);
  fs::create_directory(folder / "c" / ".step-00000002.tmp-00");
  std::ofstream(folder / "c" / ".step-00000002.tmp-00" / "rank-0.safetensors") << "half";
  std::ofstream(folder / "c" / ".LATEST.tmp-00") << "half";
  std::ofstream(folder / "c" / "notes.txt") << "mine";
  save_sample(folder / "c", 2);
  EXPECT_EQ(names_in(folder / "c"), (std::set<std::string>{"LATEST", "notes.txt", "step-00000001", "step-00000002"}));
}

TEST(Checkpoint, DamagedOnesAreNamedAndTheOlderServes) {
  const TemporaryFolder folder;
  const auto damage = [&](int64_t step, const std::string& file) {
    fs::resize_file(folder / "c" / step_folder_name(step) / file, 3);
  };
  for (const int64_t step : {10, 20, 30}) save_sample(folder / "c", step, 3);
  damage(30, "rank-0.safetensors");
  damage(20, kManifestName);
  for (const OnDamage on_damage : {OnDamage::leave, OnDamage::rename}) {
    const FoundCheckpoint found = find_checkpoint(folder / "c", Verify::sizes, on_damage);
    expect_sample(found.checkpoint, 10);
    ASSERT_EQ(found.damaged.size(), 2u);
    EXPECT_EQ(found.damaged[0].folder, folder / "c" / "step-00000030");
    EXPECT_NE(found.damaged[0].reason.find("rank-0.safetensors has 3 bytes instead of"), std::string::npos);
    EXPECT_NE(found.damaged[1].reason.find("does not have the hash"), std::string::npos);
    EXPECT_EQ(found.damaged[0].renamed.filename(), on_damage == OnDamage::leave ? "" : "step-00000030.bad-1");
  }
  EXPECT_TRUE(fs::exists(folder / "c" / "step-00000020.bad-1"));
  EXPECT_TRUE(find_checkpoint(folder / "c", Verify::full).damaged.empty());

  // With none left nothing is renamed, so that a second try fails alike.
  damage(10, kManifestHashName);
  for (int attempt = 0; attempt < 2; ++attempt) {
    const std::string message =
        error_message(ExitCode::checkpoint, [&] { find_checkpoint(folder / "c", Verify::full, OnDamage::rename); });
    EXPECT_NE(message.find("step-00000010: "), std::string::npos) << message;
    EXPECT_NE(message.find("Bring an intact copy back"), std::string::npos);
  }
}

TEST(Checkpoint, FindsARunItsFolderOrOneCheckpoint) {
  const TemporaryFolder folder;
  fs::create_directory(folder / "run");
  save_sample(folder / "run" / "checkpoints", 10);
  save_sample(folder / "run" / "checkpoints", 20);
  const fs::path one = folder / "run" / "checkpoints" / "step-00000010";
  EXPECT_EQ(find_checkpoint(folder / "run", Verify::full).checkpoint.meta().step, 20);
  EXPECT_EQ(find_checkpoint(folder / "run" / "checkpoints", Verify::full).checkpoint.meta().step, 20);
  EXPECT_EQ(find_checkpoint(one, Verify::full).checkpoint.meta().step, 10);
  fs::copy(one, folder / "copy", fs::copy_options::recursive);
  EXPECT_EQ(find_checkpoint(folder / "copy", Verify::full).checkpoint.meta().step, 10);
  EXPECT_NE(error_message(ExitCode::checkpoint, [&] { find_checkpoint(folder / "absent", Verify::full); })
                .find("there is no checkpoint in"),
            std::string::npos);
  // A folder under a step's name must hold that step.
  fs::rename(one, folder / "run" / "checkpoints" / "step-00000090");
  const FoundCheckpoint found = find_checkpoint(folder / "run", Verify::full);
  EXPECT_EQ(found.checkpoint.meta().step, 20);
  EXPECT_NE(found.damaged.at(0).reason.find("that of step 10"), std::string::npos);
}

void flip(const fs::path& path, uint64_t place, int bit) {
  std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
  file.seekg(static_cast<std::streamoff>(place));
  const char flipped = static_cast<char>(file.get() ^ (1 << bit));
  file.seekp(static_cast<std::streamoff>(place));
  file.put(flipped);
}

TEST(Checkpoint, EverySingleBitFlipIsDetected) {
  const TemporaryFolder folder;
  save_sample(folder / "c", 10);
  const fs::path one = folder / "c" / "step-00000010";
  std::mt19937_64 random(7);
  for (const char* name : {"rank-0.safetensors", kManifestName, kManifestHashName}) {
    for (int i = 0; i < 150; ++i) {
      // A third of the flips at the very start, where lengths and the header are.
      const uint64_t size = fs::file_size(one / name), place = random() % (i % 3 == 0 ? std::min<uint64_t>(size, 64) : size);
      const int bit = static_cast<int>(random() % 8);
      flip(one / name, place, bit);
      ASSERT_NE(error_message(ExitCode::checkpoint, [&] { Checkpoint::open(one, Verify::full); }), "nothing was thrown")
          << name << " byte " << place;
      flip(one / name, place, bit);
    }
  }
  expect_sample(Checkpoint::open(one, Verify::full), 10);
}

TEST(Checkpoint, EveryTruncationAndExtensionIsRefusedBySizeAlone) {
  const TemporaryFolder folder;
  save_sample(folder / "c", 10);
  const fs::path one = folder / "c" / "step-00000010", file = one / "rank-0.safetensors";
  const uint64_t size = fs::file_size(file);
  std::mt19937_64 random(8);
  std::set<uint64_t, std::greater<>> others;  // descending, so that the content is still there when a length is tried
  while (others.size() < 500) others.insert(others.size() % 2 == 0 ? random() % size : size + 1 + random() % 100'000);
  for (const uint64_t other : others) {
    fs::resize_file(file, other);
    const std::string message = error_message(ExitCode::checkpoint, [&] { Checkpoint::open(one, Verify::sizes); });
    ASSERT_NE(message.find("has " + std::to_string(other) + " bytes instead of " + std::to_string(size)), std::string::npos);
  }
}

TEST(Checkpoint, RefusesFilesThatContradictTheManifest) {
  const TemporaryFolder folder;
  save_sample(folder / "c", 10);
  const fs::path one = folder / "c" / "step-00000010", file = one / "rank-0.safetensors";
  const auto rewrite = [&](const std::vector<NamedTensor>& tensors) {
    Manifest manifest = parse_manifest(read_text(one / kManifestName, 1 << 20), "manifest");
    fs::remove(file);
    const FileDigest digest = write_safetensors(FileIo(), file, tensors);
    manifest.files["rank-0.safetensors"] = {digest.size, digest.sha256};
    std::ofstream(one / kManifestName) << to_json(manifest);
    std::ofstream(one / kManifestHashName) << manifest_hash_line(to_json(manifest));
    return error_message(ExitCode::checkpoint, [&] { Checkpoint::open(one, Verify::full); });
  };
  std::vector<NamedTensor> tensors;
  for (const SampleTensor& sample : kSampleTensors) tensors.push_back({sample.name, sample_value(sample, 10)});
  EXPECT_EQ(rewrite(tensors), "nothing was thrown");
  auto more = tensors;
  more.push_back({"stowaway", at::zeros({1})});
  EXPECT_NE(rewrite(more).find("stores tensors that its manifest does not list"), std::string::npos);
  auto other = tensors;
  other[3].value = other[3].value.to(at::kInt);
  EXPECT_NE(rewrite(other).find("lacks the tensor \"whole\" of shape [7] and type F32"), std::string::npos);
  other = tensors;
  other[0].value = other[0].value.t().contiguous();
  EXPECT_NE(rewrite(other).find("lacks the tensor \"rows\" of shape [8, 6]"), std::string::npos);
}

TEST(Checkpoint, StaysReadableWhenItsFolderGoes) {
  const TemporaryFolder folder;
  save_sample(folder / "c", 10);
  const Checkpoint checkpoint = find_checkpoint(folder / "c", Verify::full).checkpoint;
  fs::remove_all(folder / "c");
  expect_sample(checkpoint, 10);
}

}  // namespace
}  // namespace lacuna
