#include "data/audio_reader.h"

#include <samplerate.h>
#include <sndfile.h>

#include <cmath>
#include <cstring>
#include <fstream>
#include <limits>
#include <memory>
#include <string>

#include "data/error.h"

namespace lacuna {
namespace {

constexpr int64_t kMostSamples = int64_t{1} << 30;
constexpr int64_t kLeastRate = 1000, kMostRate = 1'000'000;  // Hz
constexpr int64_t kBlock = 1 << 14;                          // frames of all channels that are read at once

Error unreadable(const std::filesystem::path& path, const std::string& why) {
  return data_error(path.string() + ": " + why + ". Mend or leave out the file, or give --skip-bad.");
}

struct Close {
  void operator()(SNDFILE* file) const { sf_close(file); }
};

uint32_t little_endian(const char* bytes) {
  uint32_t value = 0;
  for (int i = 3; i >= 0; --i) value = value << 8 | static_cast<unsigned char>(bytes[i]);
  return value;
}

// libsndfile takes what is there of a WAV file that was cut short; its header tells how much there should be. (A length of 2^32 -
// 1 says that the writer did not know it.)
void check_wav_is_whole(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  char header[12], chunk[8];
  if (!file.read(header, sizeof header) || std::memcmp(header, "RIFF", 4) != 0 || std::memcmp(header + 8, "WAVE", 4) != 0) return;
  std::error_code error;
  const auto size = static_cast<int64_t>(std::filesystem::file_size(path, error));
  for (int64_t at = sizeof header; !error && file.seekg(at).read(chunk, sizeof chunk);) {
    const int64_t length = little_endian(chunk + 4), begin = at + static_cast<int64_t>(sizeof chunk);
    if (std::memcmp(chunk, "data", 4) == 0) {
      if (length != std::numeric_limits<uint32_t>::max() && length > size - begin) {
        throw unreadable(path, "its header tells of " + std::to_string(length) + " bytes of sound and " +
                                   std::to_string(size - begin) + " are there");
      }
      return;
    }
    at = begin + length + length % 2;
  }
}

Recording resampled(const std::filesystem::path& path, Recording recording, int64_t sample_rate) {
  const double ratio = static_cast<double>(sample_rate) / static_cast<double>(recording.sample_rate);
  if (!src_is_valid_ratio(ratio) || static_cast<double>(recording.samples.size()) * ratio > static_cast<double>(kMostSamples)) {
    throw unreadable(path,
                     "its " + std::to_string(recording.sample_rate) + " Hz cannot become " + std::to_string(sample_rate) + " Hz");
  }
  Recording result{
      .samples = std::vector<float>(static_cast<size_t>(std::ceil(static_cast<double>(recording.samples.size()) * ratio)) + 1),
      .sample_rate = sample_rate};
  SRC_DATA data{};
  data.data_in = recording.samples.data();
  data.input_frames = static_cast<long>(recording.samples.size());
  data.data_out = result.samples.data();
  data.output_frames = static_cast<long>(result.samples.size());
  data.src_ratio = ratio;
  if (const int code = src_simple(&data, SRC_SINC_MEDIUM_QUALITY, 1); code != 0) {
    throw unreadable(path, std::string("it cannot be resampled (") + src_strerror(code) + ")");
  }
  result.samples.resize(static_cast<size_t>(data.output_frames_gen));
  return result;
}

}  // namespace

Recording read_audio(const std::filesystem::path& path, int64_t sample_rate) {
  std::error_code error;
  if (!std::filesystem::is_regular_file(path, error)) throw unreadable(path, "there is no such file");
  SF_INFO info{};
  const std::unique_ptr<SNDFILE, Close> file(sf_open(path.c_str(), SFM_READ, &info));
  if (!file) throw unreadable(path, std::string("it cannot be read as audio (") + sf_strerror(nullptr) + ")");
  if (info.channels < 1) throw unreadable(path, "its header names no channels");
  if (info.samplerate < kLeastRate || info.samplerate > kMostRate) {
    throw unreadable(path, "its header names " + std::to_string(info.samplerate) + " Hz");
  }
  check_wav_is_whole(path);
  // The header's number of samples is a claim: memory grows with what is read.
  Recording recording{.samples = {}, .sample_rate = info.samplerate};
  const auto channels = static_cast<size_t>(info.channels);
  std::vector<float> block(static_cast<size_t>(kBlock) * channels);
  const auto share = 1.F / static_cast<float>(channels);
  for (sf_count_t n = 0; (n = sf_readf_float(file.get(), block.data(), kBlock)) > 0;) {
    for (size_t i = 0; i < static_cast<size_t>(n); ++i) {
      float sum = 0;
      for (size_t c = 0; c < channels; ++c) sum += block[i * channels + c];
      if (!std::isfinite(sum)) {
        throw unreadable(path, "sample " + std::to_string(recording.samples.size()) + " is not a finite number");
      }
      recording.samples.push_back(sum * share);
    }
    if (static_cast<int64_t>(recording.samples.size()) > kMostSamples) {
      throw unreadable(path, "it has more than " + std::to_string(kMostSamples) + " samples");
    }
  }
  if (recording.samples.empty()) throw unreadable(path, "it holds no samples");
  const auto told = static_cast<int64_t>(info.frames), read = static_cast<int64_t>(recording.samples.size());
  // Of some formats the length is not known beforehand.
  if (sf_error(file.get()) != SF_ERR_NO_ERROR || (read < told && told < std::numeric_limits<int64_t>::max())) {
    throw unreadable(path, "it ends after " + std::to_string(read) + " of " + std::to_string(told) + " samples");
  }
  if (sample_rate == 0 || sample_rate == recording.sample_rate) return recording;
  return resampled(path, std::move(recording), sample_rate);
}

}  // namespace lacuna
