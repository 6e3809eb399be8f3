#include "data/synthetic_frames.h"

#include <cmath>

#include "data/error.h"
#include "data/random.h"
#include "data/sha256.h"

namespace lacuna {

SyntheticFrames::SyntheticFrames(const SyntheticFramesOptions& options) : options_(options) {
  const auto& o = options_;
  if (o.size < 1 || o.bins < 1 || o.least_frames < 1 || o.most_frames < o.least_frames || o.levels < 1 || !(o.noise >= 0)) {
    throw data_error("Synthetic frames need sizes of at least 1, and most_frames of at least least_frames.");
  }
  spec_.kind = "frames";
  spec_.name = "synthetic frames, seed " + std::to_string(o.seed) + ", " + std::to_string(o.size) + " x " +
               std::to_string(o.least_frames) + " to " + std::to_string(o.most_frames) + " x " + std::to_string(o.bins) +
               ", levels " + std::to_string(o.levels) + ", noise " + std::to_string(o.noise);
  Sha256 hash;  // of the description, which decides every value
  hash.update(spec_.name.data(), spec_.name.size());
  spec_.content_hash = hash.hex();
  spec_.documents = o.size;
  Label label{.name = "class", .classes = {}};
  for (int64_t c = 0; c < o.levels * o.levels; ++c) {
    label.classes.push_back(std::to_string(c / o.levels) + "-" + std::to_string(c % o.levels));
  }
  spec_.frames.bins = o.bins;
  spec_.frames.sample_rate = 8000;
  spec_.frames.labels = {label};
  for (int64_t i = 0; i < o.size; ++i) spec_.frames.frames += static_cast<int64_t>(at(i).frames.size()) / o.bins;
}

Sample SyntheticFrames::at(int64_t index) const {
  const auto& o = options_;
  if (index < 0 || index >= o.size) {
    throw Error(ExitCode::internal, spec_.name + ": sample " + std::to_string(index) + " was asked for.");
  }
  Random random = Random(o.seed, static_cast<uint64_t>(index)).fork("frames");
  const int64_t chosen = random.below(o.levels * o.levels);
  const int64_t frames = o.least_frames + random.below(o.most_frames - o.least_frames + 1);
  const auto height = [&](int64_t level) {
    return (static_cast<double>(level) + 0.3 + 0.4 * random.uniform()) * static_cast<double>(o.bins) /
           static_cast<double>(o.levels);
  };
  const double from = height(chosen / o.levels), to = height(chosen % o.levels);
  Sample sample;
  sample.document_starts = {0};
  sample.labels = {static_cast<int32_t>(chosen)};
  for (int64_t i = 0; i < frames * o.bins; ++i) {
    const auto frame = static_cast<double>(i / o.bins), bin = static_cast<double>(i % o.bins) + 0.5;
    const double centre = from + (to - from) * (frame + 0.5) / static_cast<double>(frames);
    const double noise =
        o.noise * random.normal_block(static_cast<uint64_t>(i) / 4 + (uint64_t{1} << 32))[static_cast<size_t>(i % 4)];
    sample.frames.push_back(static_cast<float>(3 * std::exp(-0.5 * (bin - centre) * (bin - centre)) + noise));
  }
  return sample;
}

}  // namespace lacuna
