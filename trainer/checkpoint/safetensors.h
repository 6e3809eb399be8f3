// Reading and writing safetensors files: eight bytes with the header's length, the header, the tensors' bytes (little-endian).
#pragma once
#include <ATen/core/Tensor.h>

#include <cstdint>
#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "trainer/checkpoint/file_io.h"
#include "trainer/checkpoint/input_file.h"
#include "trainer/checkpoint/safetensors_header.h"

namespace lacuna {

struct NamedTensor {
  std::string name;
  at::Tensor value;  // on the CPU, contiguous
};

struct FileDigest {
  uint64_t size = 0;
  std::string sha256;  // hex
};

// Writes a file that did not exist before and syncs it; its bytes are hashed on their way. Throws Error(disk).
FileDigest write_safetensors(const FileIo& io, const std::filesystem::path& path, const std::vector<NamedTensor>& tensors,
                             const std::map<std::string, std::string>& metadata = {});

// A file that passed every check of its header. Throws Error(checkpoint) with the reason.
class SafetensorsFile {
 public:
  explicit SafetensorsFile(InputFile file, uint64_t max_header_bytes = kMaxHeaderBytes);

  const InputFile& file() const { return file_; }
  const SafetensorsHeader& header() const { return header_; }
  at::Tensor read(const std::string& name) const;
  // The box that begins at `offset` and has this shape. Reads only its bytes.
  at::Tensor read(const std::string& name, std::span<const int64_t> offset, std::span<const int64_t> shape) const;

 private:
  const StoredTensor& find(const std::string& name) const;

  InputFile file_;
  uint64_t data_start_ = 0;
  SafetensorsHeader header_;
};

}  // namespace lacuna
