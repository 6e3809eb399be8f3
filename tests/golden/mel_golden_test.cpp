// TERA's features against librosa's transform and filters (mel/make_golden.py). What is compared is the end of all steps.
#include <ATen/ops/from_blob.h>
#include <gtest/gtest.h>

#include <span>

#include "data/features/features.h"
#include "tests/golden/golden_file.h"

namespace lacuna {
namespace {

struct Case {
  const char* name;
  int64_t sample_rate, bins, frames;
};
std::ostream& operator<<(std::ostream& out, const Case& c) { return out << c.name << " Hz"; }

class MelGolden : public ::testing::TestWithParam<Case> {};

TEST_P(MelGolden, EveryValueIsThatOfLibrosa) {
  const auto& c = GetParam();
  const testing::GoldenFile golden("tests/golden/mel/mel.safetensors");
  const auto samples = golden[std::string(c.name) + "/samples"], expected = golden[std::string(c.name) + "/features"];
  FeatureOptions options;
  options.kind = FeatureKind::mel;
  options.mel_bins = c.bins;
  const auto features = make_features(options, c.sample_rate);
  ASSERT_EQ(features->num_frames(samples.size(0)), c.frames);
  auto found = (*features)(std::span(samples.data_ptr<float>(), static_cast<size_t>(samples.size(0))));
  ASSERT_EQ(expected.sizes(), (at::IntArrayRef{c.frames, c.bins}));
  const auto difference = (at::from_blob(found.data(), {c.frames, c.bins}, at::kFloat) - expected).abs();
  EXPECT_LT(difference.max().item<float>(), 2e-3);
  EXPECT_LT(difference.mean().item<float>(), 1e-4);
}

INSTANTIATE_TEST_SUITE_P(Rates, MelGolden, ::testing::Values(Case{"16000", 16000, 80, 26}, Case{"8000", 8000, 40, 29}));

}  // namespace
}  // namespace lacuna
