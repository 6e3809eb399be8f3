#include "trainer/checkpoint/run_lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <string>
#include <system_error>
#include <utility>

#include "data/error.h"

namespace lacuna {
namespace {

// What the holder wrote: a hint for people, so anything unprintable goes.
std::string holder(int descriptor) {
  char text[200];
  const ssize_t count = ::pread(descriptor, text, sizeof text, 0);
  std::string line(text, static_cast<size_t>(std::max<ssize_t>(count, 0)));
  std::erase_if(line, [](unsigned char letter) { return !std::isprint(letter); });
  return line.empty() ? "another process" : line;
}

Error failure(const std::filesystem::path& path, int reason) {
  return disk_error(path.string() + " cannot be locked: " + std::generic_category().message(reason) +
                    "; choose a folder on a file system that can be written and supports locks with run.out");
}

}  // namespace

RunLock::RunLock(const std::filesystem::path& folder) {
  const std::filesystem::path path = folder / ".lock";
  descriptor_ = ::open(path.c_str(), O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
  if (descriptor_ < 0) throw failure(path, errno);
  if (::flock(descriptor_, LOCK_EX | LOCK_NB) != 0) {
    const int reason = errno;
    const std::string who = holder(descriptor_);
    ::close(descriptor_);
    if (reason != EWOULDBLOCK) throw failure(path, reason);
    throw usage_error("the run in " + folder.string() + " is in use by " + who +
                      "; wait until it has ended, or give this run another run.name");
  }
  char host[256] = "";
  ::gethostname(host, sizeof host - 1);
  const std::string line = "process " + std::to_string(::getpid()) + " on host " + host + "\n";
  const bool written = ::ftruncate(descriptor_, 0) == 0 && ::pwrite(descriptor_, line.data(), line.size(), 0) >= 0;
  if (!written) {
    const int reason = errno;
    ::close(descriptor_);
    throw failure(path, reason);
  }
}

RunLock::~RunLock() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

bool RunLock::held(const std::filesystem::path& folder) {
  const int descriptor = ::open((folder / ".lock").c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
  if (descriptor < 0) return errno != ENOENT;
  const bool free = ::flock(descriptor, LOCK_SH | LOCK_NB) == 0;
  ::close(descriptor);
  return !free;
}

RunLock::RunLock(RunLock&& other) noexcept : descriptor_(std::exchange(other.descriptor_, -1)) {}

}  // namespace lacuna
