// Bytes that are appended once and then read back once, for streams that do not fit into memory. The file has no name, so the
// system removes it however the program ends. Throws Error(disk) when the disk is full, Error(usage) when the folder cannot be
// written to.
#pragma once
#include <cstdint>
#include <filesystem>
#include <vector>

namespace lacuna {

class ScratchFile {
 public:
  explicit ScratchFile(const std::filesystem::path& folder);
  ~ScratchFile();
  ScratchFile(const ScratchFile&) = delete;
  ScratchFile& operator=(const ScratchFile&) = delete;

  void append(const void* data, int64_t size);
  int64_t size() const { return size_; }
  void rewind();                               // ends the appending
  int64_t read(void* data, int64_t capacity);  // bytes read; 0 at the end

 private:
  void flush();
  std::filesystem::path folder_;
  int descriptor_ = -1;
  std::vector<char> buffer_;
  int64_t size_ = 0;
};

// The error for a failed file operation, by errno: Error(usage) where the place is wrong, otherwise Error(disk).
[[noreturn]] void throw_file_error(const std::filesystem::path& path, const char* what);

}  // namespace lacuna
