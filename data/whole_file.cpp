#include "data/whole_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <random>
#include <vector>

#include "data/corpus_file.h"
#include "data/error.h"

namespace lacuna {
namespace {

// A file or folder reaches the disk.
void sync(const std::filesystem::path& path) {
  const int descriptor = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor < 0) throw_file_error(path, "cannot be opened");
  const int status = fsync(descriptor);
  close(descriptor);
  if (status != 0) throw_file_error(path, "cannot be synced");
}

// Removes a half-made file unless it was renamed in the meantime.
struct Removal {
  std::filesystem::path path;
  ~Removal() {
    std::error_code ignored;
    std::filesystem::remove(path, ignored);
  }
};

}  // namespace

std::filesystem::path folder_of(const std::filesystem::path& path) { return path.has_parent_path() ? path.parent_path() : "."; }

void check_output(const std::filesystem::path& path, const char* option, bool force) {
  if (path.empty()) throw usage_error(std::string("Name the corpus to write with ") + option + " FILE.");
  std::error_code unknown;
  if (std::filesystem::is_directory(path, unknown))
    throw usage_error(path.string() + " is a folder; name a file with " + option + ".");
  if (!force && std::filesystem::exists(path, unknown)) {
    throw usage_error(path.string() + " exists. Replace it with --force, or name another file with " + option + ".");
  }
}

void write_whole(const std::filesystem::path& path, int64_t size, const std::function<void(const std::filesystem::path&)>& write,
                 const std::function<void(const std::filesystem::path&)>& verify) {
  const auto needed = static_cast<uint64_t>(size + kCorpusBlockBytes);
  const auto folder = folder_of(path);
  std::error_code unknown;
  if (const auto space = std::filesystem::space(folder, unknown); !unknown && space.available < needed) {
    throw disk_error(path.string() + ": the disk is full: " + std::to_string(needed >> 20) + " MiB are needed and " +
                     std::to_string(space.available >> 20) + " MiB are free. Free some space and run again.");
  }
  const Removal partial{path.string() + ".partial-" + std::to_string(std::random_device{}())};
  write(partial.path);
  sync(partial.path);
  try {
    verify(partial.path);
  } catch (const Error& e) {
    throw disk_error(path.string() + ": what was written does not read back (" + e.what() + ") Is the disk full or failing?");
  }
  if (std::rename(partial.path.c_str(), path.c_str()) != 0) throw_file_error(path, "cannot be put in place");
  sync(folder);
}

void copy(ScratchFile& scratch, Hdf5Dataset dataset, Sha256* hash) {
  std::vector<char> block(static_cast<size_t>(kCorpusBlockBytes));
  const int64_t width = bytes_of(dataset.type());
  scratch.rewind();
  int64_t first = 0;
  while (const int64_t n = scratch.read(block.data(), kCorpusBlockBytes)) {
    dataset.write(first, n / width, block.data());
    if (hash) hash->update(block.data(), static_cast<size_t>(n));
    first += n / width;
  }
}

}  // namespace lacuna
