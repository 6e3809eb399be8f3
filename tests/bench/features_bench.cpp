// Makes kaldi_fbank features of ten seconds of noise at 16 kHz on one thread; features_bench.py calls it and compares. Reads the
// samples (float32) from a file, writes the features of one pass to another, and prints one JSON object.
//   features_bench SAMPLES FEATURES MEL_BINS SECONDS
#include <chrono>
#include <cstdio>
#include <exception>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "data/features/features.h"

int main(int argc, char** argv) {
  if (argc != 5) {
    std::fprintf(stderr, "usage: features_bench SAMPLES FEATURES MEL_BINS SECONDS\n");
    return 2;
  }
  try {
    std::ifstream file(argv[1], std::ios::binary);
    const std::string bytes{std::istreambuf_iterator<char>(file), {}};
    std::vector<float> samples(bytes.size() / sizeof(float));
    std::copy_n(bytes.data(), samples.size() * sizeof(float), reinterpret_cast<char*>(samples.data()));
    lacuna::FeatureOptions options;
    options.mel_bins = std::stoll(argv[3]);
    const auto features = lacuna::make_features(options, 16000);
    const auto frames = (*features)(samples);
    std::ofstream(argv[2], std::ios::binary)
        .write(reinterpret_cast<const char*>(frames.data()), static_cast<std::streamsize>(frames.size() * sizeof(float)));
    int64_t passes = 0;
    double seconds = 0;
    const auto start = std::chrono::steady_clock::now();
    for (; seconds < std::stod(argv[4]); ++passes) {
      if ((*features)(samples) != frames) return 70;
      seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    }
    std::printf("{\"frames_per_second\": %.1f}\n",
                static_cast<double>(passes * features->num_frames(static_cast<int64_t>(samples.size()))) / seconds);
    return 0;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "features_bench: %s\n", error.what());
    return 3;
  }
}
