// What corpus files have in common, whatever they hold: values that are mapped into memory, documents that begin somewhere among
// them, a format version and a content hash. Everything throws Error(data) that names the file.
#pragma once
#include <cstddef>
#include <cstring>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "data/error.h"
#include "data/hdf5_file.h"
#include "data/sha256.h"

namespace lacuna {

constexpr int64_t kCorpusBlockBytes = int64_t{1} << 20;  // that are read, hashed and written at once

// The error for a corpus file that contradicts itself.
Error damaged_corpus(const std::string& path, const std::string& what);

// Attributes that every corpus has.
int64_t read_version(const Hdf5File& file, const std::string& path,
                     int64_t newest);  // 1 to `newest`, else refused with a way out
std::string read_content_hash(const Hdf5File& file, const std::string& path);

// Read-only, and no shorter than `needed` bytes.
std::shared_ptr<const std::byte> map_file(const std::string& path, int64_t needed);
// Where the elements end in the file; 0 if they are not one run.
int64_t end_of(const Hdf5Dataset& values);

// Elements need not be aligned in the file.
template <class T>
T load(const std::byte* bytes, int64_t index) {
  T value;
  std::memcpy(&value, bytes + index * static_cast<int64_t>(sizeof(T)), sizeof(T));
  return value;
}

// Where documents begin among `values` values. Starts begin with 0, ascend and lie inside, so no document is empty.
class DocumentStarts {
 public:
  DocumentStarts() = default;
  // `map` holds the whole file, or is null where it is read through the library. `unit`: token, frame.
  DocumentStarts(const Hdf5Dataset& documents, std::shared_ptr<const std::byte> map, int64_t values, const std::string& path,
                 const std::string& unit);
  int64_t size() const { return size_; }
  int64_t begin(int64_t document) const { return static_cast<int64_t>(load<uint64_t>(bytes(), document)); }
  int64_t end(int64_t document) const { return document + 1 < size_ ? begin(document + 1) : values_; }
  void hash(Sha256& hash) const { hash.update(bytes(), static_cast<size_t>(size_) * sizeof(uint64_t)); }

 private:
  const std::byte* bytes() const { return map_ ? map_.get() + offset_ : owned_.data(); }
  int64_t size_ = 0, values_ = 0, offset_ = 0;
  std::shared_ptr<const std::byte> map_;
  std::vector<std::byte> owned_;  // where there is no map
};

}  // namespace lacuna
