#include "data/features/features.h"

#include <gtest/gtest.h>

#include <cmath>
#include <complex>
#include <numbers>

#include "data/features/fourier.h"
#include "data/features/mel_bank.h"
#include "data/random.h"
#include "tests/support/expect_error.h"

namespace lacuna {
namespace {

using testing::expect_error;

// Golden values were computed from the formulas in double precision by an independent program; tests/bench/features_bench.py
// compares with torchaudio.
constexpr float kTolerance = 2e-3F;
constexpr float kFloor = -15.942385F;

std::vector<float> tones(int64_t size = 16000) {
  std::vector<float> x;
  for (int64_t i = 0; i < size; ++i) {
    const double t = 2 * std::numbers::pi * static_cast<double>(i) / 16000;
    x.push_back(static_cast<float>(0.5 * std::sin(440 * t) + 0.25 * std::sin(1000 * t)));
  }
  return x;
}

std::vector<float> noise(int64_t size) {
  Random random(7, 0);
  std::vector<float> x;
  for (int64_t i = 0; i < size; ++i) x.push_back(static_cast<float>(random.uniform() - 0.5));
  return x;
}

FeatureOptions options(int64_t bins, FrameWindow window) {
  FeatureOptions o;
  o.mel_bins = bins;
  o.window = window;
  return o;
}

void expect_values(const std::vector<float>& frames, int64_t bins, int64_t frame, int64_t first,
                   const std::vector<float>& expected) {
  for (size_t i = 0; i < expected.size(); ++i) {
    EXPECT_NEAR(frames.at(static_cast<size_t>(frame * bins + first) + i), expected[i], kTolerance)
        << "frame " << frame << ", bin " << first + static_cast<int64_t>(i);
  }
}

TEST(KaldiFbank, GoldenTones) {
  const auto hanning = (*make_features(options(128, FrameWindow::hanning), 16000))(tones());
  ASSERT_EQ(hanning.size(), 98u * 128);
  for (const int64_t frame : {0, 50}) {
    expect_values(hanning, 128, frame, 20, {-0.35814F, 3.07913F, 3.41852F, 3.90879F, 3.53679F, 1.42519F});
    expect_values(hanning, 128, frame, 42, {3.03203F, 4.24042F, 4.21556F, 2.90827F});
    expect_values(hanning, 128, frame, 3, {kFloor});
  }
  const auto povey = (*make_features(options(128, FrameWindow::povey), 16000))(tones());
  expect_values(povey, 128, 0, 20, {-1.17993F, 3.09150F, 3.51779F, 4.03092F, 3.58352F, 1.34171F});
  expect_values(povey, 128, 0, 42, {3.03961F, 4.33614F, 4.30693F, 2.90657F});
  const auto few = (*make_features(options(40, FrameWindow::povey), 16000))(tones());
  expect_values(few, 40, 0, 6, {4.21631F, 4.43555F, -0.46809F});
  expect_values(few, 40, 0, 13, {5.00915F, 3.50767F});
}

TEST(KaldiFbank, GoldenImpulseAndSilence) {
  const auto features = make_features(options(23, FrameWindow::povey), 16000);
  std::vector<float> x(400);
  for (const float value : (*features)(x)) EXPECT_EQ(value, std::log(std::numeric_limits<float>::epsilon()));
  x[200] = 1;
  const auto frames = (*features)(x);
  expect_values(frames, 23, 0, 0, {-5.0050F});
  expect_values(frames, 23, 0, 5, {-1.2634F});
  expect_values(frames, 23, 0, 11, {1.3675F});
  expect_values(frames, 23, 0, 22, {4.5855F});
}

TEST(KaldiFbank, NumberOfFrames) {
  const auto features = make_features({}, 16000);  // 400 samples a frame, 160 a hop
  for (const auto& [samples, frames] : {std::pair{399, 0}, {400, 1}, {559, 1}, {560, 2}, {0, 0}}) {
    EXPECT_EQ(features->num_frames(samples), frames);
    EXPECT_EQ((*features)(noise(samples)).size(), static_cast<size_t>(frames * 80));
  }
  FeatureOptions whole;
  whole.snip_edges = false;
  const auto mirrored = make_features(whole, 16000);
  for (const auto& [samples, frames] : {std::pair{79, 0}, {80, 1}, {239, 1}, {240, 2}, {1600, 10}}) {
    EXPECT_EQ(mirrored->num_frames(samples), frames);
    EXPECT_EQ((*mirrored)(noise(samples)).size(), static_cast<size_t>(frames * 80));
  }
}

TEST(KaldiFbank, WithoutSnippedEdgesTheRecordingIsMirrored) {
  FeatureOptions whole = options(40, FrameWindow::hanning);
  const auto snipped = make_features(whole, 16000);
  whole.snip_edges = false;
  const auto x = noise(2000);
  std::vector<float> padded;  // 120 samples before: 200 - 80
  for (int64_t i = -120; i < 2400; ++i) {
    const int64_t at = i < 0 ? -1 - i : i < 2000 ? i : 3999 - i;
    padded.push_back(x[static_cast<size_t>(at)]);
  }
  const auto expected = (*snipped)(padded), got = (*make_features(whole, 16000))(x);
  ASSERT_EQ(got.size(), 13u * 40);
  for (size_t i = 0; i < got.size(); ++i) EXPECT_EQ(got[i], expected[i]);
}

TEST(KaldiFbank, ConstantsScalesAndShifts) {
  const auto features = make_features(options(80, FrameWindow::hanning), 16000);
  const auto x = noise(8000), frames = (*features)(x);
  auto moved = x, louder = x;
  for (auto& value : moved) value += 0.25F;
  for (auto& value : louder) value *= 3;
  const auto moved_frames = (*features)(moved), louder_frames = (*features)(louder);
  const auto shifted = (*features)(std::span(x).subspan(160));
  for (size_t i = 0; i < frames.size(); ++i) {
    EXPECT_NEAR(moved_frames[i], frames[i], kTolerance);
    EXPECT_NEAR(louder_frames[i], frames[i] + 2 * std::log(3.F), kTolerance);
    if (i >= 80) {
      EXPECT_EQ(shifted.at(i - 80), frames[i]);
    }
  }
  EXPECT_EQ(frames, (*features)(x));
}

// All three steps inside a frame are linear: one matrix diag(window) Pre (I - 11'/W), then the transform by its definition.
TEST(KaldiFbank, AgreesWithItsDefinitionAtOtherRates) {
  for (const int64_t rate : {8000, 11025, 44100}) {
    const auto x = noise(rate / 10);
    const auto o = options(20, FrameWindow::hamming);
    const auto frames = (*make_features(o, rate))(x);
    const int64_t size = rate / 40, hop = rate / 100;
    int64_t length = 2;
    while (length < size) length *= 2;
    const MelBank bank(
        {.filters = 20, .length = length, .sample_rate = static_cast<double>(rate), .high = static_cast<double>(rate) / 2});
    for (const int64_t t : {0, 3}) {
      double mean = 0;
      for (int64_t i = 0; i < size; ++i) mean += x[static_cast<size_t>(t * hop + i)] / static_cast<double>(size);
      std::vector<double> y;
      for (int64_t i = 0; i < size; ++i) {
        const auto at = [&](int64_t j) { return x[static_cast<size_t>(t * hop + std::max<int64_t>(0, j))] - mean; };
        y.push_back((at(i) - 0.97 * at(i - 1)) * window_value(FrameWindow::hamming, i, size));
      }
      for (int64_t f = 0; f < 20; ++f) {
        const auto& filter = bank.filters()[static_cast<size_t>(f)];
        double energy = 0;
        for (size_t w = 0; w < filter.weights.size(); ++w) {
          std::complex<double> sum;
          for (int64_t i = 0; i < size; ++i) {
            const auto turn =
                static_cast<double>((filter.first + static_cast<int64_t>(w)) * i % length) / static_cast<double>(length);
            sum += y[static_cast<size_t>(i)] * std::polar(1.0, -2 * std::numbers::pi * turn);
          }
          energy += filter.weights[w] * std::norm(sum);
        }
        EXPECT_NEAR(frames[static_cast<size_t>(t * 20 + f)], std::log(energy), kTolerance)
            << rate << " Hz, frame " << t << ", bin " << f;
      }
    }
  }
}

TEST(MelBank, GoldenBankOf23Filters) {
  const MelBank bank({.filters = 23});
  for (const auto& [number, first, last, sum] :
       {std::tuple{0, 1, 5, 2.66054}, {1, 4, 9, 2.96648}, {11, 50, 66, 8.32144}, {22, 204, 255, 26.07193}}) {
    const auto& filter = bank.filters()[static_cast<size_t>(number)];
    EXPECT_EQ(filter.first, first);
    EXPECT_EQ(filter.first + static_cast<int64_t>(filter.weights.size()) - 1, last);
    double total = 0;
    for (const float weight : filter.weights) total += weight;
    EXPECT_NEAR(total, sum, 1e-4);
  }
  EXPECT_NEAR(bank.filters()[0].weights[0], 0.14933, 1e-5);
  EXPECT_NEAR(bank.filters()[1].weights[0], 0.31116, 1e-5);
}

TEST(MelBank, FiltersShareOutEveryBinBetweenTheFirstCentreAndTheLast) {
  for (const auto slope : {MelSlope::mel, MelSlope::hertz}) {
    const MelBank bank({.filters = 30, .slope = slope});
    std::vector<double> covered(256);
    for (const auto& filter : bank.filters()) {
      for (size_t i = 0; i < filter.weights.size(); ++i) {
        EXPECT_GE(filter.weights[i], 0);
        covered[static_cast<size_t>(filter.first) + i] += filter.weights[i];
      }
    }
    for (size_t k = 4; k < 230; ++k) EXPECT_NEAR(covered[k], 1, 1e-5) << "bin " << k;
  }
}

TEST(MelBank, EmptyFiltersAreTold) {
  const auto empty = [](int64_t bins, int64_t rate) {
    return make_features(options(bins, FrameWindow::povey), rate)->bank().empty();
  };
  for (const int64_t bins : {23, 40, 64, 80}) EXPECT_TRUE(empty(bins, 16000).empty());
  EXPECT_EQ(empty(128, 16000), std::vector<int64_t>{3});
  EXPECT_TRUE(empty(80, 8000).empty());
  EXPECT_EQ(empty(128, 8000), (std::vector<int64_t>{4, 7, 12, 17}));
}

TEST(Fourier, IsTheTransformByItsDefinition) {
  for (const int64_t length : {2, 6, 16, 44, 200, 400, 512, 882}) {
    const auto values = noise(length * Lanes::kSize);
    std::vector<Lanes> frame(static_cast<size_t>(length)), power;
    for (int64_t i = 0; i < length * Lanes::kSize; ++i) {
      frame[static_cast<size_t>(i / Lanes::kSize)].set(i % Lanes::kSize, values[static_cast<size_t>(i)]);
    }
    Fourier::Space space;
    Fourier(length).power(frame, power, space);
    ASSERT_EQ(static_cast<int64_t>(power.size()), length / 2 + 1);
    for (int64_t k = 0; k <= length / 2; ++k) {
      for (const int64_t lane : {0, 5}) {
        std::complex<double> sum;
        for (int64_t n = 0; n < length; ++n) {
          const auto turn = static_cast<double>(k * n % length) / static_cast<double>(length);
          sum += static_cast<double>(frame[static_cast<size_t>(n)][lane]) * std::polar(1.0, -2 * std::numbers::pi * turn);
        }
        EXPECT_NEAR(power[static_cast<size_t>(k)][lane], std::norm(sum), 1e-5 * static_cast<double>(length))
            << length << ", bin " << k;
      }
    }
  }
}

TEST(Lanes, LogarithmOfAllSizes) {
  for (float x = 1.2e-38F; x < 3e38F; x *= 1.37F) {
    EXPECT_NEAR(log(Lanes::all(x))[3], std::log(x), 2e-7 * (1 + std::abs(std::log(x)))) << x;
  }
  EXPECT_EQ(log(Lanes::all(1))[0], 0);
}

TEST(TeraMel, EveryBinHasMeanZeroAndDeviationOne) {
  FeatureOptions o;
  o.kind = FeatureKind::mel;
  o.mel_bins = 40;
  const auto features = make_features(o, 16000);
  const auto x = noise(4000);
  const auto frames = (*features)(x);
  const int64_t count = features->num_frames(4000);
  EXPECT_EQ(count, 26);  // centred: one more than whole hops
  for (int64_t bin = 0; bin < 40; ++bin) {
    double sum = 0, squares = 0;
    for (int64_t t = 0; t < count; ++t) sum += frames[static_cast<size_t>(t * 40 + bin)];
    for (int64_t t = 0; t < count; ++t) squares += std::pow(frames[static_cast<size_t>(t * 40 + bin)] - sum / 26, 2);
    EXPECT_NEAR(sum / 26, 0, 1e-5);
    EXPECT_NEAR(squares / 25, 1, 1e-4);
  }
  auto louder = x;
  for (auto& value : louder) value *= 0.01F;
  const auto same = (*features)(louder);
  for (size_t i = 0; i < same.size(); ++i) EXPECT_NEAR(same[i], frames[i], 1e-3);
  EXPECT_EQ(features->num_frames(200), 0);  // too short to be mirrored
  EXPECT_EQ(features->num_frames(201), 2);
  for (const float value : (*make_features(o, 16000))(std::vector<float>(500))) EXPECT_EQ(value, 0);  // silence
}

TEST(Features, OptionsThatMakeNoneAreRefused) {
  FeatureOptions o;
  o.hop_ms = 0;
  expect_error(ExitCode::usage, "at most 1000 ms", [&] { make_features(o, 16000); });
  o = {};
  o.mel_bins = 0;
  expect_error(ExitCode::usage, "1 to 4096 mel bins", [&] { make_features(o, 16000); });
  o = {};
  o.hop_ms = 0.1;
  expect_error(ExitCode::usage, "are not two samples", [&] { make_features(o, 8000); });
}

TEST(Features, TheirDescriptionTellsEveryOption) {
  EXPECT_EQ(
      describe_features({}, 8000),
      R"({"kind":"kaldi_fbank","sample_rate":8000,"mel_bins":80,"frame_ms":25.0,"hop_ms":10.0,"window":"hanning","preemphasis":0.97,"snip_edges":true})");
  FeatureOptions o;
  o.kind = FeatureKind::mel;
  EXPECT_EQ(describe_features(o, 16000), R"({"kind":"mel","sample_rate":16000,"mel_bins":80,"frame_ms":25.0,"hop_ms":10.0})");
}

}  // namespace
}  // namespace lacuna
