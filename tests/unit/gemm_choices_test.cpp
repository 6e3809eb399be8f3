#include "trainer/kernels/gemm_choices.h"

#include <gtest/gtest.h>

#include <fstream>
#include <iterator>

#include "tests/support/temporary_folder.h"

namespace lacuna {
namespace {

constexpr char kMachine[] = "Some GPU, cublasLt 130100";

GemmChoice sample(uint64_t first) { return {.algorithm = {first, 2, 0, ~uint64_t{0}, 5, 6, 7, 8}, .microseconds = 12.5}; }

std::string read(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

void write(const std::filesystem::path& path, const std::string& content) {
  std::ofstream(path, std::ios::binary | std::ios::trunc) << content;
}

class GemmChoicesTest : public ::testing::Test {
 protected:
  void SetUp() override {
    GemmChoices choices(path, kMachine);
    EXPECT_EQ(choices.note(), "");
    choices.put("bf16 m768 n64", sample(1));
    choices.put("fp32 m5 n7", sample(2));
    EXPECT_EQ(choices.note(), "");
  }
  // A file with this content counts as empty, and is whole again after the next choice.
  void expect_ignored(const std::string& content, const std::string& why) {
    write(path, content);
    GemmChoices choices(path, kMachine);
    EXPECT_EQ(choices.find("fp32 m5 n7"), nullptr) << why;
    EXPECT_NE(choices.note().find(why), std::string::npos) << "note: " << choices.note() << "; expected: " << why;
    EXPECT_NE(choices.note().find("written anew"), std::string::npos) << choices.note();
    choices.put("new", sample(3));
    const GemmChoices again(path, kMachine);
    EXPECT_EQ(again.note(), "");
    EXPECT_NE(again.find("new"), nullptr);
  }

  testing::TemporaryFolder folder;
  std::filesystem::path path = folder / "nested/choices.txt";
};

TEST_F(GemmChoicesTest, AreThereInTheNextRun) {
  const GemmChoices choices(path, kMachine);
  EXPECT_EQ(choices.note(), "");
  ASSERT_NE(choices.find("bf16 m768 n64"), nullptr);
  EXPECT_EQ(choices.find("bf16 m768 n64")->algorithm, sample(1).algorithm);
  EXPECT_EQ(choices.find("fp32 m5 n7")->algorithm, sample(2).algorithm);
  EXPECT_EQ(choices.find("fp32 m5 n7")->microseconds, 12.5);
  EXPECT_EQ(choices.find("another"), nullptr);
}

TEST_F(GemmChoicesTest, OfAnotherMachineAreIgnored) {
  const auto content = read(path);
  GemmChoices other(path, "Another GPU, cublasLt 130100");
  EXPECT_EQ(other.find("fp32 m5 n7"), nullptr);
  EXPECT_NE(other.note().find("another GPU or library version"), std::string::npos) << other.note();
  EXPECT_EQ(read(path), content) << "a file is not touched before there is something to write";
}

TEST_F(GemmChoicesTest, ADamagedFileIsIgnoredAndWrittenAnew) {
  const auto whole = read(path);
  expect_ignored("", "is damaged");
  expect_ignored("what is this", "is damaged");
  expect_ignored(whole.substr(0, whole.size() - 1), "is damaged");
  expect_ignored(whole + "more\n", "is damaged");
  expect_ignored(std::string(2 << 20, 'x'), "is damaged");
  for (size_t at = 0; at < whole.size(); at += 5) {
    auto damaged = whole;
    damaged[at] = static_cast<char>(damaged[at] ^ 1);
    expect_ignored(damaged, "");
  }
}

TEST_F(GemmChoicesTest, AFileThatCannotBeWrittenIsNoted) {
  write(folder / "file", "");
  GemmChoices choices(folder / "file/choices.txt", kMachine);
  choices.put("a", sample(1));
  EXPECT_NE(choices.find("a"), nullptr);
  EXPECT_NE(choices.note().find("could not be written"), std::string::npos) << choices.note();
}

TEST_F(GemmChoicesTest, WithoutAPathStayInMemory) {
  GemmChoices choices({}, kMachine);
  choices.put("a", sample(1));
  EXPECT_NE(choices.find("a"), nullptr);
  EXPECT_EQ(choices.note(), "");
}

}  // namespace
}  // namespace lacuna
