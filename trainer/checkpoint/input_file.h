// A file that is read and not trusted: regular, not a symbolic link, and read by offset with checked lengths (a mapping would
// end the process if somebody shortened the file meanwhile). What is wrong with the file itself throws Error(checkpoint); what
// is wrong with this process's rights or resources throws Error(disk).
#pragma once
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>

namespace lacuna {

class InputFile {
 public:
  explicit InputFile(std::filesystem::path path);
  ~InputFile();
  InputFile(InputFile&& other) noexcept;
  InputFile& operator=(InputFile&&) = delete;

  const std::filesystem::path& path() const { return path_; }
  uint64_t size() const { return size_; }  // when it was opened
  void read(uint64_t offset, std::span<std::byte> out) const;
  std::string sha256() const;  // of the whole file, hex

 private:
  std::filesystem::path path_;
  int descriptor_ = -1;
  uint64_t size_ = 0;
};

// The whole content. Throws Error(checkpoint) where there are more than `limit` bytes.
std::string read_text(const std::filesystem::path& path, uint64_t limit);

}  // namespace lacuna
