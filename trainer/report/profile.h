// A Chrome trace of a few steps: open it in chrome://tracing or https://ui.perfetto.dev.
#pragma once
#include <cstdint>
#include <filesystem>

namespace lacuna {

class Profile {
 public:
  // Steps first to last, both included; 0 = none. The device's kernels are in it where the build has CUDA.
  Profile(int64_t first, int64_t last, std::filesystem::path file) : first_(first), last_(last), file_(std::move(file)) {}
  void before(int64_t step) const;
  // Writes the file after the last step, once its work is done. True if it did. Throws Error(disk).
  bool after(int64_t step) const;
  const std::filesystem::path& file() const { return file_; }

 private:
  int64_t first_, last_;
  std::filesystem::path file_;
};

}  // namespace lacuna
