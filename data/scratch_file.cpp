#include "data/scratch_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string>

#include "data/error.h"

namespace lacuna {
namespace {

constexpr size_t kBufferBytes = size_t{1} << 20;

}  // namespace

void throw_file_error(const std::filesystem::path& path, const char* what) {
  const int number = errno;
  const std::string message = path.string() + ": " + what + ": " + std::strerror(number);
  if (number == ENOENT || number == ENOTDIR || number == EACCES || number == EPERM || number == EROFS) {
    throw usage_error(message + ". Name a folder that exists and can be written to.");
  }
  throw disk_error(message + ". Free some space, or name a place on another disk, and run again.");
}

ScratchFile::ScratchFile(const std::filesystem::path& folder) : folder_(folder) {
  std::string name = (folder / ".lacuna-scratch-XXXXXX").string();
  descriptor_ = mkostemp(name.data(), O_CLOEXEC);
  if (descriptor_ < 0) throw_file_error(folder, "a temporary file cannot be created");
  unlink(name.c_str());
  buffer_.reserve(kBufferBytes);
}

ScratchFile::~ScratchFile() { close(descriptor_); }

void ScratchFile::append(const void* data, int64_t size) {
  const auto* bytes = static_cast<const char*>(data);
  buffer_.insert(buffer_.end(), bytes, bytes + size);
  size_ += size;
  if (buffer_.size() >= kBufferBytes) flush();
}

void ScratchFile::flush() {
  for (size_t done = 0; done < buffer_.size();) {
    const ssize_t n = write(descriptor_, buffer_.data() + done, buffer_.size() - done);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) throw_file_error(folder_, "a temporary file cannot be written");
    done += static_cast<size_t>(n);
  }
  buffer_.clear();
}

void ScratchFile::rewind() {
  flush();
  if (lseek(descriptor_, 0, SEEK_SET) != 0) throw_file_error(folder_, "a temporary file cannot be read back");
}

int64_t ScratchFile::read(void* data, int64_t capacity) {
  int64_t done = 0;
  while (done < capacity) {
    const ssize_t n = ::read(descriptor_, static_cast<char*>(data) + done, static_cast<size_t>(capacity - done));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) throw_file_error(folder_, "a temporary file cannot be read back");
    if (n == 0) break;
    done += n;
  }
  return done;
}

}  // namespace lacuna
