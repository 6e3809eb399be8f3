#include "trainer/checkpoint/input_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <system_error>
#include <utility>
#include <vector>

#include "data/error.h"
#include "data/sha256.h"

namespace lacuna {
namespace {

constexpr uint64_t kHashBytes = uint64_t{1} << 20;

[[noreturn]] void fail(const std::filesystem::path& path, int reason) {
  const std::string message = path.string() + " cannot be read: " + std::generic_category().message(reason);
  const bool damaged = reason == ENOENT || reason == ENOTDIR || reason == ELOOP || reason == EISDIR || reason == EIO;
  throw Error(damaged ? ExitCode::checkpoint : ExitCode::disk, message);
}

}  // namespace

InputFile::InputFile(std::filesystem::path path) : path_(std::move(path)) {
  // Without O_NONBLOCK a named pipe in the file's place would make the program wait for ever.
  descriptor_ = ::open(path_.c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
  if (descriptor_ < 0) fail(path_, errno);
  struct stat status {};
  const int reason = ::fstat(descriptor_, &status) == 0 ? 0 : errno;
  if (reason == 0 && S_ISREG(status.st_mode)) {
    size_ = static_cast<uint64_t>(status.st_size);
    return;
  }
  ::close(descriptor_);
  if (reason != 0) fail(path_, reason);
  throw checkpoint_error(path_.string() + " is not a regular file");
}

InputFile::~InputFile() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

InputFile::InputFile(InputFile&& other) noexcept
    : path_(std::move(other.path_)), descriptor_(std::exchange(other.descriptor_, -1)), size_(other.size_) {}

void InputFile::read(uint64_t offset, std::span<std::byte> out) const {
  while (!out.empty()) {
    const ssize_t count = ::pread(descriptor_, out.data(), out.size(), static_cast<off_t>(offset));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) fail(path_, errno);
    if (count == 0) throw checkpoint_error(path_.string() + " ends early, at byte " + std::to_string(offset));
    offset += static_cast<uint64_t>(count);
    out = out.subspan(static_cast<size_t>(count));
  }
}

std::string InputFile::sha256() const {
  Sha256 hash;
  std::vector<std::byte> block(std::min(size_, kHashBytes));
  for (uint64_t offset = 0; offset < size_; offset += block.size()) {
    const std::span<std::byte> part = std::span(block).first(std::min<uint64_t>(block.size(), size_ - offset));
    read(offset, part);
    hash.update(part.data(), part.size());
  }
  return hash.hex();
}

std::string read_text(const std::filesystem::path& path, uint64_t limit) {
  const InputFile file(path);
  if (file.size() > limit) {
    throw checkpoint_error(path.string() + " has " + std::to_string(file.size()) + " bytes; more than " + std::to_string(limit) +
                           " are refused");
  }
  std::string text(file.size(), '\0');
  file.read(0, std::as_writable_bytes(std::span(text)));
  return text;
}

}  // namespace lacuna
