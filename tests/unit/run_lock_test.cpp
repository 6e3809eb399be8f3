#include "trainer/checkpoint/run_lock.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>

#include "data/error.h"
#include "tests/support/temporary_folder.h"

namespace lacuna {
namespace {

using testing::TemporaryFolder;

std::string refusal(const std::filesystem::path& folder, ExitCode code) {
  try {
    RunLock lock(folder);
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), code);
    return error.what();
  }
  return "taken";
}

TEST(RunLock, IsHeldOnceAndNamesItsHolder) {
  const TemporaryFolder folder;
  char host[256] = "";
  gethostname(host, sizeof host - 1);
  {
    RunLock lock(folder.path());
    const RunLock moved(std::move(lock));
    const std::string message = refusal(folder.path(), ExitCode::usage);
    EXPECT_NE(
        message.find("in " + folder.path().string() + " is in use by process " + std::to_string(getpid()) + " on host " + host),
        std::string::npos)
        << message;
    EXPECT_NE(message.find("run.name"), std::string::npos);
  }
  EXPECT_EQ(refusal(folder.path(), ExitCode::usage), "taken");
}

TEST(RunLock, EndsWithAKilledProcess) {
  const TemporaryFolder folder;
  int ready[2];
  ASSERT_EQ(pipe(ready), 0);
  const pid_t child = fork();
  if (child == 0) {
    const RunLock lock(folder.path());
    if (write(ready[1], "x", 1) == 1) pause();
    _exit(1);
  }
  char letter;
  ASSERT_EQ(read(ready[0], &letter, 1), 1);
  EXPECT_NE(refusal(folder.path(), ExitCode::usage).find("process " + std::to_string(child)), std::string::npos);
  kill(child, SIGKILL);
  waitpid(child, nullptr, 0);
  EXPECT_EQ(refusal(folder.path(), ExitCode::usage), "taken");
  close(ready[0]);
  close(ready[1]);
}

TEST(RunLock, HostileLockFilesDoNoHarm) {
  const TemporaryFolder folder;
  std::ofstream(folder / ".lock") << "\x1b[2J" << std::string(100'000, 'x');
  EXPECT_EQ(refusal(folder.path(), ExitCode::usage), "taken");
  std::filesystem::remove(folder / ".lock");
  std::ofstream(folder / "precious") << "content";
  std::filesystem::create_symlink(folder / "precious", folder / ".lock");
  EXPECT_NE(refusal(folder.path(), ExitCode::disk).find("cannot be locked"), std::string::npos);
  EXPECT_EQ(std::filesystem::file_size(folder / "precious"), 7u);
  EXPECT_NE(refusal(folder / "absent", ExitCode::disk).find("No such file"), std::string::npos);
}

}  // namespace
}  // namespace lacuna
