#include "trainer/checkpoint/file_io.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <string>
#include <system_error>

#include "data/error.h"

namespace lacuna {
namespace {

constexpr size_t kWriteBytes = size_t{4} << 20;

constexpr std::array<const char*, 9> kDoing = {
    "making the folder",  "creating the file",       "writing to", "syncing", "closing", "renaming", "removing",
    "syncing the folder", "asking for free space at"};

[[noreturn]] void fail(FileOperation operation, const std::filesystem::path& path, int reason) {
  std::string message = std::string(kDoing[static_cast<size_t>(operation)]) + " " + path.string() +
                        " failed: " + std::generic_category().message(reason);
  if (reason == ENOSPC || reason == EDQUOT) message += "; free some space or choose another place with run.out";
  if (reason == EACCES || reason == EROFS) message += "; choose a folder that can be written with run.out";
  throw disk_error(message);
}

}  // namespace

void FileIo::check(FileOperation operation, const std::filesystem::path& path) const {
  if (!fault_) return;
  if (const int reason = fault_(operation, path)) fail(operation, path, reason);
}

void FileIo::make_folder(const std::filesystem::path& path) const {
  check(FileOperation::make_folder, path);
  if (::mkdir(path.c_str(), 0700) != 0) fail(FileOperation::make_folder, path, errno);
}

void FileIo::sync_folder(const std::filesystem::path& path) const {
  check(FileOperation::sync_folder, path);
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (descriptor < 0) fail(FileOperation::sync_folder, path, errno);
  const int reason = ::fsync(descriptor) == 0 ? 0 : errno;
  ::close(descriptor);
  // Some network file systems cannot sync a folder and say so; their renames are synchronous.
  if (reason != 0 && reason != EINVAL) fail(FileOperation::sync_folder, path, reason);
}

void FileIo::rename(const std::filesystem::path& from, const std::filesystem::path& to) const {
  check(FileOperation::rename, from);
  if (std::rename(from.c_str(), to.c_str()) != 0) fail(FileOperation::rename, from, errno);
}

void FileIo::remove_tree(const std::filesystem::path& path) const {
  check(FileOperation::remove, path);
  std::error_code error;
  std::filesystem::remove_all(path, error);
  if (error) fail(FileOperation::remove, path, error.value());
}

uint64_t FileIo::free_bytes(const std::filesystem::path& folder) const {
  check(FileOperation::free_space, folder);
  struct statvfs status {};
  if (::statvfs(folder.c_str(), &status) != 0) fail(FileOperation::free_space, folder, errno);
  return static_cast<uint64_t>(status.f_bavail) * status.f_frsize;
}

void FileIo::write_file(const std::filesystem::path& path, std::string_view content) const {
  NewFile file(*this, path);
  file.write(std::as_bytes(std::span(content)));
  file.finish();
}

NewFile::NewFile(const FileIo& io, std::filesystem::path path) : io_(io), path_(std::move(path)) {
  io_.check(FileOperation::create, path_);
  descriptor_ = ::open(path_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
  if (descriptor_ < 0) fail(FileOperation::create, path_, errno);
}

NewFile::~NewFile() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

void NewFile::write(std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    io_.check(FileOperation::write, path_);
    const ssize_t count = ::write(descriptor_, bytes.data(), std::min(bytes.size(), kWriteBytes));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) fail(FileOperation::write, path_, errno);
    bytes = bytes.subspan(static_cast<size_t>(count));
  }
}

void NewFile::finish() {
  io_.check(FileOperation::sync, path_);
  if (::fsync(descriptor_) != 0) fail(FileOperation::sync, path_, errno);
  io_.check(FileOperation::close, path_);
  const int descriptor = descriptor_;
  descriptor_ = -1;  // Linux releases it even when close reports a failure
  if (::close(descriptor) != 0) fail(FileOperation::close, path_, errno);
}

}  // namespace lacuna
