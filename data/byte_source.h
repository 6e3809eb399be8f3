// The bytes of a file as they stand, or inflated where the file is gzip (also dictzip and several members in a row), whatever
// its name. Streams; throws Error(data) for a file that is missing, cut short or damaged.
#pragma once
#include <zlib.h>

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <memory>
#include <vector>

namespace lacuna {

class ByteSource {
 public:
  explicit ByteSource(const std::filesystem::path& path);

  // Bytes written to `data`, at most `capacity`; 0 at the end.
  size_t read(char* data, size_t capacity);

  bool compressed() const { return inflater_ != nullptr; }
  int64_t stored_size() const { return stored_size_; }  // of the file on disk
  int64_t stored_read() const { return stored_read_; }  // of it, so far

 private:
  struct EndInflate {
    void operator()(z_stream* stream) const;
  };
  size_t read_stored(char* data, size_t capacity);
  size_t read_inflated(char* data, size_t capacity);
  bool refill();
  bool another_member();

  std::filesystem::path path_;
  std::ifstream file_;
  int64_t stored_size_ = 0;
  int64_t stored_read_ = 0;
  std::unique_ptr<z_stream, EndInflate> inflater_;
  std::vector<char> input_;
  bool member_ended_ = false;
};

}  // namespace lacuna
