// Pictures: PNG (libpng), JPEG (libjpeg-turbo), and MNIST's IDX files.
#pragma once
#include <cstdint>
#include <filesystem>
#include <vector>

#include "data/byte_source.h"

namespace lacuna {

// Columns are the frames that a corpus stores: value (column * height + line) * channels + channel, in [0, 1], lines from the
// top.
struct Picture {
  int64_t width = 0, height = 0, channels = 1;  // grey, or red, green and blue
  std::vector<float> columns;
};

bool is_picture_file(const std::filesystem::path& path);  // by its ending: .png, .jpg, .jpeg

// `channels`: 1 or 3, to which the picture is converted; 0 = as it is stored (transparency is laid on black). Throws Error(data)
// that names the file where it cannot be read or has more than 64 million values.
Picture read_picture(const std::filesystem::path& path, int64_t channels = 0);

// An IDX file of bytes, plain or gzip (LeCun's description beside MNIST): pictures of three dimensions, labels of one.
class IdxReader {
 public:
  // Throws Error(data) for a file that is something else, or has other than `dimensions` dimensions.
  IdxReader(const std::filesystem::path& path, size_t dimensions);
  static bool recognises(const std::filesystem::path& path);  // by its first bytes
  int64_t count() const { return sizes_[0]; }
  // The next one's bytes; throws Error(data) where the file ends before.
  std::vector<uint8_t> next();
  Picture next_picture();

 private:
  void read(void* data, size_t size);
  std::filesystem::path path_;
  ByteSource source_;
  std::vector<int64_t> sizes_;
};

}  // namespace lacuna
