// Saving while the process ends, the power goes or the disk fills up, at every operation in turn.
#include <ATen/ops/zeros.h>
#include <gtest/gtest.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <set>

#include "tests/support/checkpoint_sample.h"
#include "tests/support/temporary_folder.h"
#include "trainer/checkpoint/checkpoints.h"

namespace lacuna {
namespace {

namespace fs = std::filesystem;
using namespace testing;

// Hundreds of saves, each with its syncs: in memory where the system has such a place, since nothing here depends on the disk.
class CheckpointCrash : public ::testing::Test {
 protected:
  CheckpointCrash() {
    if (std::getenv("TMPDIR") == nullptr && fs::is_directory("/dev/shm")) changed_ = setenv("TMPDIR", "/dev/shm", 1) == 0;
  }
  ~CheckpointCrash() override {
    if (changed_) unsetenv("TMPDIR");
  }

 private:
  bool changed_ = false;
};

bool has_temporary(const fs::path& folder) {
  for (const auto& entry : fs::directory_iterator(folder)) {
    if (entry.path().filename().string().starts_with(".")) return true;
  }
  return false;
}

int count_operations(const fs::path& folder, int64_t step) {
  std::atomic<int> count = 0;
  const FileIo counting([&](FileOperation, const fs::path&) { return ++count, 0; });
  EXPECT_TRUE(save_sample(folder, step, 1, counting).saved);
  return count;
}

struct Logged {
  FileOperation operation;
  fs::path path;
};

// Saves `step` in a child that ends at operation `end`, before it is done. What was done until then is logged.
std::vector<Logged> save_until(const fs::path& folder, int64_t step, int end, const fs::path& log) {
  fs::remove(log);
  const pid_t child = fork();
  if (child == 0) {
    std::atomic<int> count = 0;
    std::ofstream out(log);
    const FileIo ending([&](FileOperation operation, const fs::path& path) {
      if (count++ == end) _exit(42);
      out << static_cast<int>(operation) << ' ' << path.string() << std::endl;
      return 0;
    });
    save_sample(folder, step, 1, ending);
    _exit(0);
  }
  int status = 0;
  waitpid(child, &status, 0);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 42) << "operation " << end;
  std::vector<Logged> logged;
  std::ifstream in(log);
  int operation = 0;
  for (std::string path; in >> operation >> path;) logged.push_back({static_cast<FileOperation>(operation), path});
  return logged;
}

int64_t newest(const fs::path& folder) {
  const FoundCheckpoint found = find_checkpoint(folder, Verify::full);
  expect_sample(found.checkpoint, found.checkpoint.meta().step, {1});
  return found.checkpoint.meta().step;
}

// Test 3 of the bar: whichever operation the process ends at, the previous checkpoint or the new one is there.
TEST_F(CheckpointCrash, EveryOperationLeavesALoadableCheckpoint) {
  const TemporaryFolder folder;
  save_sample(folder / "c", 10);
  fs::copy(folder / "c", folder / "counted", fs::copy_options::recursive);
  const int num_operations = count_operations(folder / "counted", 20);
  EXPECT_GT(num_operations, 25);
  std::set<int64_t> seen;
  for (int end = 0; end < num_operations; ++end) {
    const fs::path work = folder / "work";
    fs::remove_all(work);
    fs::copy(folder / "c", work, fs::copy_options::recursive);
    save_until(work, 20, end, folder / "log");
    seen.insert(newest(work));
    // The next job goes on and leaves nothing behind.
    EXPECT_TRUE(save_sample(work, 30, 1).saved) << end;
    EXPECT_EQ(newest(work), 30);
    EXPECT_FALSE(has_temporary(work)) << end;
    EXPECT_EQ(list_checkpoints(work).size(), 1u);
  }
  EXPECT_EQ(seen, (std::set<int64_t>{10, 20}));
}

// Test 5: the power goes at every operation. The worst that a file system may do: files that were not synced lose their content,
// and a rename whose folder was not synced may or may not have happened.
TEST_F(CheckpointCrash, EveryPowerCutLeavesALoadableCheckpoint) {
  const TemporaryFolder folder;
  save_sample(folder / "c", 10);
  fs::copy(folder / "c", folder / "counted", fs::copy_options::recursive);
  const int num_operations = count_operations(folder / "counted", 20);
  for (int end = 0; end < num_operations; ++end) {
    const fs::path work = folder / "work";
    fs::remove_all(work);
    fs::copy(folder / "c", work, fs::copy_options::recursive);
    const std::vector<Logged> logged = save_until(work, 20, end, folder / "log");
    std::set<fs::path> unsynced;
    bool renamed = false, rename_synced = false;
    for (const auto& [operation, path] : logged) {
      if (operation == FileOperation::create) unsynced.insert(path);
      if (operation == FileOperation::sync) unsynced.erase(path);
      const bool of_checkpoint = path.filename().string().starts_with(".step-00000020");
      if (operation == FileOperation::rename && of_checkpoint) renamed = true;
      // LATEST never names what may not be there.
      if (operation == FileOperation::rename && path.filename().string().starts_with(".LATEST")) {
        EXPECT_TRUE(rename_synced);
      }
      if (operation == FileOperation::sync_folder && path == work) rename_synced = renamed;
    }
    // With its data unsynced a file may be under the new name, had it been renamed.
    for (const fs::path& path : unsynced) {
      const fs::path now = renamed && fs::exists(work / "step-00000020") ? work / "step-00000020" / path.filename() : path;
      if (fs::exists(now)) fs::resize_file(now, 0);
    }
    const int64_t step = newest(work);
    EXPECT_TRUE(step == 10 || step == 20);
    // Without the rename the older one must still be there.
    if (renamed && !rename_synced) {
      fs::remove_all(work / "step-00000020");
      EXPECT_EQ(newest(work), 10) << end;
    }
  }
}

// Test 4: the disk is full, or refuses, at every operation.
TEST_F(CheckpointCrash, EveryFailureIsReportedAndLeavesNoHalf) {
  const TemporaryFolder folder;
  save_sample(folder / "c", 10);
  fs::copy(folder / "c", folder / "counted", fs::copy_options::recursive);
  const int num_operations = count_operations(folder / "counted", 20);
  for (int failing = 0; failing < num_operations; ++failing) {
    const fs::path work = folder / "work";
    fs::remove_all(work);
    fs::copy(folder / "c", work, fs::copy_options::recursive);
    std::atomic<int> count = 0;
    const FileIo full([&](FileOperation, const fs::path&) { return count++ == failing ? ENOSPC : 0; });
    CommitResult result;
    try {
      result = save_sample(work, 20, 1, full);
    } catch (const Error& error) {
      result.failure = error;  // from begin, before anything was written
    }
    ASSERT_TRUE(result.failure.has_value()) << failing;
    EXPECT_EQ(result.failure->code(), ExitCode::disk);
    EXPECT_NE(std::string(result.failure->what()).find("No space left on device"), std::string::npos) << result.failure->what();
    EXPECT_EQ(newest(work), fs::exists(work / "step-00000020") ? 20 : 10);
    if (result.saved) {
      EXPECT_EQ(newest(work), 20);
    } else {
      EXPECT_FALSE(has_temporary(work)) << failing;
    }
  }
}

TEST_F(CheckpointCrash, OneRanksFailureIsEveryRanks) {
  const TemporaryFolder folder;
  save_sample(folder / "c", 10);
  std::atomic<int> num_told = 0;
  ThreadWorld(3).run([&](Communicator& world) {
    const FileIo full([](FileOperation operation, const fs::path&) { return operation == FileOperation::write ? ENOSPC : 0; });
    CheckpointWriter writer(world, folder / "c", 2, world.rank() == 1 ? full : FileIo());
    const auto slices = world.rank() < 2 ? sample_slices(20, world.rank(), 2) : std::vector<TensorSlice>();
    writer.begin(slices, sample_meta(20, 2));
    const CommitResult failed = writer.commit();
    EXPECT_FALSE(failed.saved);
    if (failed.failure && std::string(failed.failure->what()).find("rank 1: writing to") != std::string::npos) ++num_told;
    EXPECT_EQ(list_checkpoints(folder / "c").size(), 1u);
    EXPECT_FALSE(has_temporary(folder / "c"));
    // A part that nobody saves is no checkpoint either.
    writer.begin(world.rank() == 2 ? sample_slices(20, 1, 2) : std::vector<TensorSlice>(), sample_meta(20, 2));
    const CommitResult incomplete = writer.commit();
    ASSERT_TRUE(incomplete.failure.has_value());
    EXPECT_NE(std::string(incomplete.failure->what()).find("gap or overlap at 0"), std::string::npos)
        << incomplete.failure->what();
    EXPECT_FALSE(has_temporary(folder / "c"));
  });
  EXPECT_EQ(num_told, 3);
  EXPECT_EQ(newest(folder / "c"), 10);
}

// Test 4 on a real full file system, where one can be mounted.
TEST_F(CheckpointCrash, AFullFileSystemIsReported) {
  const TemporaryFolder folder;
  fs::create_directory(folder / "small");
  if (mount("tmpfs", (folder / "small").c_str(), "tmpfs", 0, "size=2m") != 0) {
    std::cout << "No small file system can be mounted here (it takes root), so a really full disk is not tried.\n";
    return;
  }
  const fs::path work = folder / "small" / "c";
  save_sample(work, 10);
  std::ofstream ballast(folder / "small" / "ballast", std::ios::binary);
  ballast << std::string(FileIo().free_bytes(work) - 300'000, 'x') << std::flush;
  // Seen before anything is written.
  try {
    ThreadWorld(1).run([&](Communicator& world) {
      CheckpointWriter writer(world, work, 2);
      writer.begin({{"large", {100'000}, -1, 0, 1, at::zeros({100'000})}}, sample_meta(20));
    });
    ADD_FAILURE() << "the checkpoint was begun";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::disk);
    EXPECT_NE(std::string(error.what()).find("free some space, lower checkpoint.keep"), std::string::npos) << error.what();
  }
  EXPECT_FALSE(has_temporary(work));
  // Seen while writing: somebody else takes the space after the check.
  for (int size = 0; size < 20; ++size) {
    const FileIo greedy([&, done = false](FileOperation operation, const fs::path&) mutable {
      if (operation == FileOperation::create && !std::exchange(done, true)) {
        ballast << std::string(FileIo().free_bytes(work) - static_cast<size_t>(size) * 4096, 'x') << std::flush;
      }
      return 0;
    });
    CommitResult result;
    ThreadWorld(1).run([&](Communicator& world) {
      CheckpointWriter writer(world, work, 2, greedy);
      writer.begin({{"large", {50'000}, -1, 0, 1, at::zeros({50'000})}}, sample_meta(20));
      result = writer.commit();
    });
    ASSERT_TRUE(result.failure.has_value()) << size;
    EXPECT_EQ(result.failure->code(), ExitCode::disk);
    EXPECT_NE(std::string(result.failure->what()).find("No space left on device"), std::string::npos);
    EXPECT_FALSE(has_temporary(work));
    EXPECT_EQ(newest(work), 10);
    ballast.close();
    ballast.open(folder / "small" / "ballast", std::ios::binary | std::ios::trunc);
    ballast << std::string(FileIo().free_bytes(work) - 300'000, 'x') << std::flush;
  }
  ballast.close();
  EXPECT_EQ(umount((folder / "small").c_str()), 0);
}

}  // namespace
}  // namespace lacuna
