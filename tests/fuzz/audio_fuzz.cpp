// Puts mutated recordings (WAV of several encodings, FLAC) through lacuna prepare's path: file to features to corpus. Anything
// but success or an Error fails; run it in the asan build, where every stray access ends the program.
//
//   audio_fuzz [INPUTS = 1000] [SEED = 1]
#include <sndfile.h>

#include <cmath>
#include <cstdio>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "data/error.h"
#include "data/prepare_frames.h"
#include "tests/support/fuzzing.h"
#include "tests/support/temporary_folder.h"

namespace lacuna {
namespace {

std::string recording(const std::filesystem::path& path, int format, int channels) {
  SF_INFO info{};
  info.samplerate = 8000;
  info.channels = channels;
  info.format = format;
  SNDFILE* file = sf_open(path.c_str(), SFM_WRITE, &info);
  std::vector<float> values(static_cast<size_t>(1200 * channels));
  for (size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(0.5 * std::sin(0.3 * static_cast<double>(i)));
  sf_writef_float(file, values.data(), 1200);
  sf_close(file);
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

int fuzz(int64_t inputs, uint64_t seed) {
  const testing::TemporaryFolder folder;
  const std::vector<std::string> valid = {recording(folder / "a.wav", SF_FORMAT_WAV | SF_FORMAT_PCM_16, 1),
                                          recording(folder / "b.wav", SF_FORMAT_WAV | SF_FORMAT_FLOAT, 2),
                                          recording(folder / "c.wav", SF_FORMAT_WAV | SF_FORMAT_IMA_ADPCM, 1),
                                          recording(folder / "d.flac", SF_FORMAT_FLAC | SF_FORMAT_PCM_16, 1)};
  FramesOptions options;
  options.audio = {folder / "mutated.wav"};
  options.features.mel_bins = 20;
  options.threads = 1;
  options.out = folder / "out.h5";
  options.force = true;
  int64_t read = 0, refused = 0;
  for (int64_t input = 0; input < inputs; ++input) {
    const Random random = Random(seed, static_cast<uint64_t>(input));
    const auto bytes = testing::damaged(valid[static_cast<size_t>(input) % valid.size()], random, /*head=*/80);
    std::ofstream(options.audio[0], std::ios::binary).write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
    options.features.kind = input / 4 % 2 == 0 ? FeatureKind::kaldi_fbank : FeatureKind::mel;
    options.resample = input / 8 % 4 == 0 ? 16000 : 0;
    try {
      prepare_frames(options, false);
      ++read;
    } catch (const Error& error) {
      ++refused;
      if (error.code() == ExitCode::data || error.code() == ExitCode::usage) continue;
      std::printf("audio_fuzz: input %lld of seed %llu: %s\n", static_cast<long long>(input),
                  static_cast<unsigned long long>(seed), error.what());
      return 1;
    }
  }
  std::printf("audio_fuzz: %lld inputs: %lld read, %lld refused\n", static_cast<long long>(inputs), static_cast<long long>(read),
              static_cast<long long>(refused));
  return read > 0 && refused > 0 ? 0 : 1;  // damage that is never refused, or always, tests nothing
}

}  // namespace
}  // namespace lacuna

int main(int argc, char** argv) {
  const lacuna::testing::FuzzArguments arguments(argc, argv, 1000);
  return lacuna::fuzz(arguments.inputs, arguments.seed);
}
