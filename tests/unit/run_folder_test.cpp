// A run's folder: its status, and its metrics through crashes and full disks.
#include "trainer/report/run_folder.h"

#include <gtest/gtest.h>

#include <fstream>
#include <sstream>

#include "tests/support/expect_error.h"
#include "tests/support/temporary_folder.h"

namespace lacuna {
namespace {

using testing::expect_error;

std::string read(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

void write(const std::filesystem::path& path, const std::string& text) { std::ofstream(path, std::ios::binary) << text; }

nlohmann::ordered_json step_line(int64_t step) {
  return {{"event", "step"}, {"step", step}, {"loss", 0.1 * static_cast<double>(step)}};
}

class RunFolderTest : public ::testing::Test {
 protected:
  testing::TemporaryFolder folder;
  std::filesystem::path metrics = folder / "metrics.jsonl";
};

TEST_F(RunFolderTest, StatusIsReadBackAsItWasWritten) {
  write_status(folder.path(), {.state = "running", .exit_code = 0, .step = 3, .message = "", .rank = 0});
  write_status(folder.path(), {.state = "failed", .exit_code = 5, .step = 7, .message = "loss \"nan\"\nof step 8", .rank = 2});
  const auto json = nlohmann::json::parse(read(folder / "status.json"));
  const nlohmann::json expected{
      {"state", "failed"}, {"exit_code", 5}, {"step", 7}, {"message", "loss \"nan\"\nof step 8"}, {"rank", 2}};
  EXPECT_EQ(json, expected);
  EXPECT_FALSE(std::filesystem::exists(folder / "status.json.tmp"));
}

TEST_F(RunFolderTest, AMessageThatIsNoUtf8StillLeavesAStatus) {
  write_status(folder.path(), {.state = "failed", .exit_code = 3, .message = "file \xff\xfe.txt"});
  EXPECT_EQ(nlohmann::json::parse(read(folder / "status.json"))["state"], "failed");
}

TEST_F(RunFolderTest, StatusOfAFolderThatIsGoneFailsAsDisk) {
  expect_error(ExitCode::disk, "could not be written",
               [&] { write_status(folder / "gone", {.state = "running", .message = ""}); });
}

TEST_F(RunFolderTest, EveryLineIsOnDiskOnceWrittenAndLinesAreAppended) {
  {
    MetricsFile file(metrics);
    file.write(step_line(1));
    EXPECT_EQ(nlohmann::ordered_json::parse(read(metrics)), step_line(1));
  }
  MetricsFile(metrics).write(step_line(2));
  EXPECT_EQ(read(metrics), step_line(1).dump() + "\n" + step_line(2).dump() + "\n");
}

TEST_F(RunFolderTest, NumbersRoundTrip) {
  const double loss = 0.1 + 0.2;
  MetricsFile(metrics).write({{"loss", loss}});
  EXPECT_EQ(nlohmann::json::parse(read(metrics))["loss"].get<double>(), loss);
}

TEST_F(RunFolderTest, AFullDiskIsAnError) {
  MetricsFile file("/dev/full");
  expect_error(ExitCode::disk, "/dev/full could not be written: No space left on device", [&] { file.write(step_line(1)); });
}

TEST_F(RunFolderTest, AFileThatCannotBeOpenedIsAnError) {
  expect_error(ExitCode::disk, "cannot be opened for writing", [&] { MetricsFile(folder / "gone" / "metrics.jsonl"); });
}

TEST_F(RunFolderTest, LaterStepsAreCut) {
  std::string kept;
  for (const auto& line : {step_line(1), step_line(2), nlohmann::ordered_json{{"event", "evaluate"}, {"step", 2}}}) {
    kept += line.dump() + "\n";
  }
  write(metrics, kept + step_line(3).dump() + "\n" + step_line(4).dump() + "\n");
  cut_metrics(metrics, 2);
  EXPECT_EQ(read(metrics), kept);
  MetricsFile(metrics).write(step_line(3));
  EXPECT_EQ(read(metrics), kept + step_line(3).dump() + "\n");
}

TEST_F(RunFolderTest, ALastLineThatWasTornIsCut) {
  const auto whole = step_line(1).dump() + "\n", torn = step_line(2).dump();
  for (size_t length = 1; length < torn.size(); ++length) {
    write(metrics, whole + torn.substr(0, length));
    cut_metrics(metrics, 2);
    EXPECT_EQ(read(metrics), whole) << "torn after " << length << " bytes";
  }
}

TEST_F(RunFolderTest, NothingIsLeftOfARunWithoutCheckpoint) {
  write(metrics, step_line(1).dump() + "\n");
  cut_metrics(metrics, 0);
  EXPECT_EQ(read(metrics), "");
}

}  // namespace
}  // namespace lacuna
