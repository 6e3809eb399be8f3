#include "trainer/checkpoint/file_io.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cerrno>
#include <fstream>
#include <sstream>

#include "tests/support/expect_error.h"
#include "tests/support/temporary_folder.h"
#include "trainer/checkpoint/input_file.h"

namespace lacuna {
namespace {

namespace fs = std::filesystem;
using testing::TemporaryFolder;

template <class Work>
std::string disk_failure(const Work& work) {
  return testing::error_message(ExitCode::disk, work);
}

TEST(FileIo, WritesAFileForItsOwnerAlone) {
  const TemporaryFolder folder;
  const FileIo io;
  const std::string content(10'000'000, 'x');
  io.make_folder(folder / "sub");
  io.write_file(folder / "sub" / "f", content);
  io.sync_folder(folder / "sub");
  EXPECT_EQ(read_text(folder / "sub" / "f", content.size()), content);
  EXPECT_EQ(fs::status(folder / "sub" / "f").permissions(), fs::perms::owner_read | fs::perms::owner_write);
  EXPECT_EQ(fs::status(folder / "sub").permissions(), fs::perms::owner_all);
  EXPECT_GT(io.free_bytes(folder.path()), 0u);
}

TEST(FileIo, FailuresNameThePathAndTheReason) {
  const TemporaryFolder folder;
  const FileIo io;
  io.write_file(folder / "f", "old");
  const std::string there = disk_failure([&] { io.write_file(folder / "f", "new"); });
  EXPECT_EQ(there, "creating the file " + (folder / "f").string() + " failed: File exists");
  EXPECT_EQ(read_text(folder / "f", 10), "old");
  EXPECT_NE(disk_failure([&] { io.make_folder(folder / "f"); }).find("making the folder"), std::string::npos);
  EXPECT_NE(disk_failure([&] { io.make_folder(folder / "a" / "b"); }).find("No such file"), std::string::npos);
  EXPECT_NE(disk_failure([&] { io.rename(folder / "absent", folder / "g"); }).find("renaming"), std::string::npos);
  EXPECT_NE(disk_failure([&] { io.sync_folder(folder / "f"); }).find("Not a directory"), std::string::npos);
  EXPECT_NE(disk_failure([&] { io.free_bytes(folder / "absent"); }).find("free space"), std::string::npos);
  io.remove_tree(folder / "absent");
}

TEST(FileIo, NeverFollowsLinks) {
  const TemporaryFolder folder;
  const FileIo io;
  fs::create_directory(folder / "kept");
  io.write_file(folder / "kept" / "f", "content");
  fs::create_symlink(folder / "kept" / "new", folder / "link");
  EXPECT_NE(disk_failure([&] { io.write_file(folder / "link", "x"); }).find("failed"), std::string::npos);
  EXPECT_FALSE(fs::exists(folder / "kept" / "new"));
  fs::create_directory(folder / "going");
  fs::create_directory_symlink(folder / "kept", folder / "going" / "link");
  io.remove_tree(folder / "going");
  EXPECT_FALSE(fs::exists(folder / "going"));
  EXPECT_TRUE(fs::exists(folder / "kept" / "f"));
}

TEST(FileIo, EveryOperationCanBeMadeToFail) {
  const TemporaryFolder folder;
  const FileIo io;
  io.write_file(folder / "f", "x");
  const std::pair<FileOperation, std::function<void(const FileIo&)>> cases[] = {
      {FileOperation::make_folder, [&](const FileIo& faulty) { faulty.make_folder(folder / "sub"); }},
      {FileOperation::create, [&](const FileIo& faulty) { faulty.write_file(folder / "g", "x"); }},
      {FileOperation::write, [&](const FileIo& faulty) { faulty.write_file(folder / "h", "x"); }},
      {FileOperation::sync, [&](const FileIo& faulty) { faulty.write_file(folder / "i", "x"); }},
      {FileOperation::close, [&](const FileIo& faulty) { faulty.write_file(folder / "j", "x"); }},
      {FileOperation::rename, [&](const FileIo& faulty) { faulty.rename(folder / "f", folder / "k"); }},
      {FileOperation::remove, [&](const FileIo& faulty) { faulty.remove_tree(folder / "f"); }},
      {FileOperation::sync_folder, [&](const FileIo& faulty) { faulty.sync_folder(folder.path()); }},
      {FileOperation::free_space, [&](const FileIo& faulty) { faulty.free_bytes(folder.path()); }},
  };
  for (const auto& [operation, work] : cases) {
    const FileIo faulty([&](FileOperation asked, const fs::path&) { return asked == operation ? ENOSPC : 0; });
    const std::string message = disk_failure([&] { work(faulty); });
    EXPECT_NE(message.find("No space left on device; free some space"), std::string::npos) << message;
  }
  EXPECT_TRUE(fs::exists(folder / "f"));
}

TEST(InputFile, RefusesMoreThanTheLimit) {
  const TemporaryFolder folder;
  FileIo().write_file(folder / "f", "12345");
  EXPECT_EQ(read_text(folder / "f", 5), "12345");
  EXPECT_THROW(read_text(folder / "f", 4), Error);
}

TEST(InputFile, HashesTheWholeFile) {
  const TemporaryFolder folder;
  FileIo().write_file(folder / "empty", "");
  EXPECT_EQ(InputFile(folder / "empty").sha256(), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  FileIo().write_file(folder / "million", std::string(1'000'000, 'a'));
  EXPECT_EQ(InputFile(folder / "million").sha256(), "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
  FileIo().write_file(folder / "more", std::string(3'000'000, 'b'));
  EXPECT_NE(InputFile(folder / "more").sha256(), InputFile(folder / "million").sha256());
}

}  // namespace
}  // namespace lacuna
