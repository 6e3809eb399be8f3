#include "data/corpus_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

namespace lacuna {

Error damaged_corpus(const std::string& path, const std::string& what) {
  return data_error(path + ": " + what +
                    ". The file is damaged or was made by something else: make it again with lacuna prepare.");
}

int64_t read_version(const Hdf5File& file, const std::string& path, int64_t newest) {
  const int64_t version = file.integer("format_version");
  if (version >= 1 && version <= newest) return version;
  throw data_error(path + ": its format version is " + std::to_string(version) + " and this program reads version" +
                   (newest > 1 ? "s 1 and " : " ") + std::to_string(newest) +
                   ". Use the Lacuna that made it, or make it again with lacuna prepare.");
}

std::string read_content_hash(const Hdf5File& file, const std::string& path) {
  auto hash = file.text("content_hash");
  if (hash.size() != 64 || hash.find_first_not_of("0123456789abcdef") != std::string::npos) {
    throw damaged_corpus(path, "its content_hash is not 64 hexadecimal digits");
  }
  return hash;
}

std::shared_ptr<const std::byte> map_file(const std::string& path, int64_t needed) {
  const int descriptor = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  struct stat info {};
  if (descriptor < 0 || fstat(descriptor, &info) != 0 || info.st_size < needed || info.st_size == 0) {
    if (descriptor >= 0) close(descriptor);
    throw damaged_corpus(path, "it cannot be opened, or became shorter while it was opened");
  }
  const auto size = static_cast<size_t>(info.st_size);
  void* start = mmap(nullptr, size, PROT_READ, MAP_SHARED, descriptor, 0);
  close(descriptor);
  if (start == MAP_FAILED) {
    throw Error(ExitCode::memory, path + ": its " + std::to_string(size) + " bytes cannot be mapped: " + std::strerror(errno) +
                                      ". Raise the limit on address space (ulimit -v).");
  }
  return {static_cast<const std::byte*>(start), [size](const std::byte* p) { munmap(const_cast<std::byte*>(p), size); }};
}

int64_t end_of(const Hdf5Dataset& values) {
  return values.offset() ? *values.offset() + values.size() * bytes_of(values.type()) : 0;
}

DocumentStarts::DocumentStarts(const Hdf5Dataset& documents, std::shared_ptr<const std::byte> map, int64_t values,
                               const std::string& path, const std::string& unit)
    : size_(documents.size()), values_(values) {
  if (size_ < 1 || size_ > values) {
    throw damaged_corpus(path, "it has " + std::to_string(size_) + " documents in " + std::to_string(values) + " " + unit + "s");
  }
  if (map && documents.offset()) {
    map_ = std::move(map);
    offset_ = *documents.offset();
  } else {
    owned_.resize(static_cast<size_t>(size_ * bytes_of(ElementType::uint64)));
    documents.read(0, size_, owned_.data());
  }
  uint64_t previous = 0;
  for (int64_t i = 0; i < size_; ++i) {
    const auto start = load<uint64_t>(bytes(), i);
    if (i == 0 ? start != 0 : start <= previous || start >= static_cast<uint64_t>(values)) {
      throw damaged_corpus(path, "document " + std::to_string(i) + " starts at " + unit + " " + std::to_string(start) +
                                     ", and starts must begin with 0, ascend and lie inside the " + std::to_string(values) + " " +
                                     unit + "s");
    }
    previous = start;
  }
}

}  // namespace lacuna
