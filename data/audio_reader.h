// Recordings in any format that libsndfile reads: one channel of samples in [-1, 1], the mean of the file's channels.
#pragma once
#include <cstdint>
#include <filesystem>
#include <vector>

namespace lacuna {

struct Recording {
  std::vector<float> samples;
  int64_t sample_rate = 0;  // Hz
};

// Resampled to `sample_rate` Hz where that is not 0 (libsamplerate, medium sinc). Throws Error(data) that names the file where it
// cannot be read, ends before its header says, holds no samples or ones that are not finite numbers.
Recording read_audio(const std::filesystem::path& path, int64_t sample_rate = 0);

}  // namespace lacuna
