#include "data/prepare_frames.h"

#include <gtest/gtest.h>
#include <png.h>
#include <sndfile.h>
#include <turbojpeg.h>
#include <zlib.h>

#include <cmath>
#include <fstream>
#include <functional>
#include <limits>
#include <numbers>

#include "data/audio_reader.h"
#include "data/frame_corpus.h"
#include "data/image_reader.h"
#include "data/in_order.h"
#include "data/name_pattern.h"
#include "tests/support/expect_error.h"
#include "tests/support/temporary_folder.h"

namespace lacuna {
namespace {

using testing::expect_error;
using testing::TemporaryFolder;

// A tone, `channels` times as loud in the first of them as the mean.
std::filesystem::path write_wav(const std::filesystem::path& path, int64_t samples, int rate = 8000, int channels = 1,
                                int format = SF_FORMAT_WAV | SF_FORMAT_PCM_16, double pitch = 440) {
  SF_INFO info{};
  info.samplerate = rate;
  info.channels = channels;
  info.format = format;
  SNDFILE* file = sf_open(path.c_str(), SFM_WRITE, &info);
  std::vector<float> values(static_cast<size_t>(samples * channels));
  for (int64_t i = 0; i < samples; ++i) {
    const double t = static_cast<double>(i) / rate;
    values[static_cast<size_t>(i * channels)] =
        static_cast<float>(0.25 * std::sin(2 * std::numbers::pi * pitch * t)) * static_cast<float>(channels);
  }
  sf_writef_float(file, values.data(), samples);
  sf_close(file);
  return path;
}

std::string contents(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

std::filesystem::path write(const std::filesystem::path& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary) << bytes;
  return path;
}

TEST(AudioReader, FormatsChannelsAndRates) {
  const TemporaryFolder folder;
  const auto mono = read_audio(write_wav(folder / "a.wav", 4000));
  EXPECT_EQ(mono.sample_rate, 8000);
  ASSERT_EQ(mono.samples.size(), 4000u);
  for (const auto& [name, channels, format] : {std::tuple{"b.wav", 2, SF_FORMAT_WAV | SF_FORMAT_PCM_24},
                                               {"c.flac", 1, SF_FORMAT_FLAC | SF_FORMAT_PCM_16},
                                               {"d.wav", 1, SF_FORMAT_WAV | SF_FORMAT_FLOAT},
                                               {"e.au", 3, SF_FORMAT_AU | SF_FORMAT_PCM_32}}) {
    const auto other = read_audio(write_wav(folder / name, 4000, 8000, channels, format));
    ASSERT_EQ(other.samples.size(), 4000u) << name;
    for (size_t i = 0; i < 4000; ++i) ASSERT_NEAR(other.samples[i], mono.samples[i], 1e-4) << name;
  }
  const auto faster = read_audio(write_wav(folder / "f.wav", 8000, 16000), 8000);
  EXPECT_EQ(faster.sample_rate, 8000);
  ASSERT_NEAR(static_cast<double>(faster.samples.size()), 4000, 2);
  for (size_t i = 200; i < 3800; ++i) ASSERT_NEAR(faster.samples[i], mono.samples[i], 5e-3) << i;
}

TEST(AudioReader, BadFilesAreNamed) {
  const TemporaryFolder folder;
  const auto good = contents(write_wav(folder / "good.wav", 4000));
  const auto refused = [&](const std::string& name, const std::string& bytes, const std::string& words) {
    const auto path = write(folder / name, bytes);
    expect_error(ExitCode::data, words, [&] { read_audio(path); });
    expect_error(ExitCode::data, path.string(), [&] { read_audio(path); });
  };
  refused("empty.wav", "", "cannot be read as audio");
  refused("cut.wav", good.substr(0, 30), "cannot be read as audio");
  refused("text.wav", "this is no sound at all, whatever its name says", "cannot be read as audio");
  refused("half.wav", good.substr(0, 4044), "its header tells of 8000 bytes of sound and 4000 are there");
  auto huge = good;
  huge.replace(40, 4, std::string("\x00\x00\x40\x06", 4));  // 100 MiB
  refused("huge.wav", huge, "its header tells of 104857600 bytes");
  auto silent = good.substr(0, 44);
  silent.replace(40, 4, std::string(4, '\0'));
  refused("silent.wav", silent, "holds no samples");
  auto fast = good;
  fast.replace(24, 4, "\xff\xff\xff\x7f");
  refused("fast.wav", fast, "2147483647 Hz");
  auto numbers = contents(write_wav(folder / "float.wav", 1000, 8000, 1, SF_FORMAT_WAV | SF_FORMAT_FLOAT));
  const float nan = std::numeric_limits<float>::quiet_NaN();
  numbers.replace(numbers.size() - 400, 4, reinterpret_cast<const char*>(&nan), 4);
  refused("nan.wav", numbers, "is not a finite number");
  expect_error(ExitCode::data, "there is no such file", [&] { read_audio(folder / "absent.wav"); });
  expect_error(ExitCode::data, "there is no such file", [&] { read_audio(folder.path()); });
}

FramesOptions audio_options(const TemporaryFolder& folder, std::vector<std::filesystem::path> files) {
  FramesOptions options;
  options.audio = std::move(files);
  options.features.mel_bins = 20;
  options.labels = "{digit}_{speaker}_{}";
  options.out = folder / "out.h5";
  options.force = true;
  return options;
}

TEST(PrepareFrames, RecordingsBecomeACorpusWhateverTheThreads) {
  const TemporaryFolder folder;
  std::vector<std::filesystem::path> files;
  for (int i = 0; i < 12; ++i) {
    const auto name = std::to_string(i % 3) + "_" + (i % 2 ? "ann" : "theo") + "_" + std::to_string(i) + ".wav";
    files.push_back(write_wav(folder / name, 1000 + 100 * i, 8000, 1, SF_FORMAT_WAV | SF_FORMAT_PCM_16, 300 + 50 * i));
  }
  auto options = audio_options(folder, files);
  std::string hash;
  for (const int64_t threads : {1, 2, 5}) {
    options.threads = threads;
    const auto report = prepare_frames(options, false);
    EXPECT_EQ(report.spec.documents, 12);
    EXPECT_EQ(report.spec.frames.sample_rate, 8000);
    if (hash.empty()) hash = report.spec.content_hash;
    EXPECT_EQ(report.spec.content_hash, hash);
  }
  const FrameCorpus corpus(options.out, 1000);
  const auto features = make_features(options.features, 8000);
  ASSERT_EQ(corpus.spec().frames.labels.size(), 2u);
  for (int64_t i = 0; i < 12; ++i) {
    const auto sample = corpus.at(i);
    EXPECT_EQ(sample.labels, (std::vector<int32_t>{static_cast<int32_t>(i % 3), i % 2 ? 0 : 1}));
    const auto expected = (*features)(read_audio(files[static_cast<size_t>(i)]).samples);
    ASSERT_EQ(sample.frames.size(), expected.size());
    const auto& spec = corpus.spec().frames;
    for (size_t v = 0; v < expected.size(); ++v) ASSERT_NEAR(sample.frames[v] * spec.deviation + spec.mean, expected[v], 1e-4);
  }
  EXPECT_EQ(corpus.features(), describe_features(options.features, 8000));
}

TEST(PrepareFrames, AnotherCorpussStatistics) {
  const TemporaryFolder folder;
  auto options = audio_options(folder, {write_wav(folder / "0_a_0.wav", 2000)});
  const auto train = prepare_frames(options, false);
  auto other = audio_options(folder, {write_wav(folder / "1_a_0.wav", 3000, 8000, 1, SF_FORMAT_WAV | SF_FORMAT_PCM_16, 700)});
  other.out = folder / "validation.h5";
  other.statistics = options.out;
  const auto validation = prepare_frames(other, false);
  EXPECT_EQ(validation.spec.frames.mean, train.spec.frames.mean);
  EXPECT_EQ(validation.spec.frames.deviation, train.spec.frames.deviation);
  other.features.mel_bins = 21;
  expect_error(ExitCode::data, "statistics of other features", [&] { prepare_frames(other, false); });
}

TEST(PrepareFrames, BadFilesEndTheRunOrAreListed) {
  const TemporaryFolder folder;
  const auto good = write_wav(folder / "0_a_0.wav", 2000), bad = write(folder / "1_a_0.wav", "no sound");
  const auto brief = write_wav(folder / "2_a_0.wav", 100);
  auto options = audio_options(folder, {good, bad, brief});
  expect_error(ExitCode::data, bad.string(), [&] { prepare_frames(options, false); });
  EXPECT_FALSE(std::filesystem::exists(options.out));
  options.audio = {brief};
  expect_error(ExitCode::data, "its 100 samples are fewer than the 200 of one frame", [&] { prepare_frames(options, false); });
  options.audio = {bad, good, brief};
  options.skip_bad = true;
  const auto report = prepare_frames(options, false);
  EXPECT_EQ(report.spec.documents, 1);
  ASSERT_EQ(report.skipped.size(), 2u);
  EXPECT_NE(report.skipped[0].find("1_a_0.wav"), std::string::npos);
  EXPECT_NE(report.skipped[1].find("2_a_0.wav"), std::string::npos);
  options.audio = {bad};
  expect_error(ExitCode::data, "None of the files can be read", [&] { prepare_frames(options, false); });
}

TEST(PrepareFrames, RatesDoNotMixUnlessResampled) {
  const TemporaryFolder folder;
  auto options = audio_options(folder, {write_wav(folder / "0_a_0.wav", 2000), write_wav(folder / "1_a_0.wav", 4000, 16000)});
  expect_error(ExitCode::data, "1_a_0.wav has 16000 Hz and", [&] { prepare_frames(options, false); });
  expect_error(ExitCode::data, "--resample", [&] { prepare_frames(options, false); });
  options.resample = 8000;
  const auto report = prepare_frames(options, false);
  EXPECT_EQ(report.spec.documents, 2);
  EXPECT_EQ(report.spec.frames.sample_rate, 8000);
}

TEST(PrepareFrames, OptionsThatContradictEachOtherAreExplained) {
  const TemporaryFolder folder;
  const auto good = write_wav(folder / "0_a_0.wav", 2000);
  const auto refused = [&](const std::string& words, const std::function<void(FramesOptions&)>& change) {
    auto options = audio_options(folder, {good});
    change(options);
    expect_error(ExitCode::usage, words, [&] { prepare_frames(options, false); });
  };
  refused("one of the two", [](FramesOptions& o) { o.audio.clear(); });
  refused("one of the two", [&](FramesOptions& o) { o.images = {good}; });
  refused("are for --images", [](FramesOptions& o) { o.channels = 1; });
  refused("1000 to 1000000 Hz", [](FramesOptions& o) { o.resample = 5; });
  refused("--out", [](FramesOptions& o) { o.out.clear(); });
  refused("with nothing between them", [](FramesOptions& o) { o.labels = "{a}{b}"; });
  auto options = audio_options(folder, {good});
  options.labels = "{a}-{b}";
  expect_error(ExitCode::data, "does not fit --labels '{a}-{b}'", [&] { prepare_frames(options, false); });
}

TEST(NamePattern, LabelsOutOfNames) {
  using Words = std::vector<std::string>;
  const NamePattern digits("{digit}_{speaker}_{index}");
  EXPECT_EQ(digits.labels(), (Words{"digit", "speaker", "index"}));
  EXPECT_EQ(digits.match("/x/0_jackson_12.wav"), (Words{"0", "jackson", "12"}));
  EXPECT_EQ(digits.match("0_a_b_c.wav"), (Words{"0", "a", "b_c"}));
  expect_error(ExitCode::data, "/x/0-jackson.wav", [&] { digits.match("/x/0-jackson.wav"); });
  expect_error(ExitCode::data, "does not fit", [&] { digits.match("0__1.wav"); });
  EXPECT_EQ(NamePattern("{class}/{}").match("/data/cat/7.png"), Words{"cat"});
  EXPECT_EQ(NamePattern("{set}/{class}/{}").match("/data/train/cat/7.png"), (Words{"train", "cat"}));
  EXPECT_EQ(NamePattern("img-{n}x").match("img-4x.png"), Words{"4"});
  expect_error(ExitCode::data, "does not fit", [] { NamePattern("img-{n}x").match("img-4y.png"); });
  for (const auto& [pattern, words] : {std::pair{"{a", "not closed"},
                                       {"a}", "not open"},
                                       {"{a}{b}", "nothing between"},
                                       {"{a}_{a}", "twice"},
                                       {"{}", "names no label"},
                                       {"abc", "names no label"}}) {
    expect_error(ExitCode::usage, words, [&] { NamePattern{pattern}; });
  }
}

TEST(InOrder, ResultsComeInTheOrderOfTheNumbers) {
  for (const int64_t threads : {1, 3}) {
    std::vector<int64_t> seen;
    in_order<int64_t>(
        100, threads,
        [](int64_t i) {
          if (i % 7 == 0) std::this_thread::sleep_for(std::chrono::milliseconds(1));
          return i * i;
        },
        [&](int64_t i, int64_t result) {
          EXPECT_EQ(result, i * i);
          seen.push_back(i);
        });
    ASSERT_EQ(seen.size(), 100u);
    for (int64_t i = 0; i < 100; ++i) EXPECT_EQ(seen[static_cast<size_t>(i)], i);
    int64_t taken = 0;
    const auto failing = [](int64_t i) -> int64_t { return i == 30 ? throw data_error("thirty") : i; };
    expect_error(ExitCode::data, "thirty", [&] { in_order<int64_t>(100, threads, failing, [&](int64_t, int64_t) { ++taken; }); });
    EXPECT_EQ(taken, 30);
  }
}

// 3 columns of 2 lines: red at the top left, and ever lighter greys below.
std::vector<uint8_t> colours() { return {255, 0, 0, 50, 50, 50, 0, 0, 0, 100, 100, 100, 150, 150, 150, 200, 200, 200}; }

std::filesystem::path write_png(const std::filesystem::path& path, int channels, int width = 3, int height = 2) {
  png_image image{};
  image.version = PNG_IMAGE_VERSION;
  image.width = static_cast<png_uint_32>(width);
  image.height = static_cast<png_uint_32>(height);
  image.format = channels == 3 ? PNG_FORMAT_RGB : PNG_FORMAT_GRAY;
  auto values = colours();
  if (channels == 1) values = {10, 20, 30, 40, 50, 60};
  values.resize(static_cast<size_t>(width * height * channels));
  png_image_write_to_file(&image, path.c_str(), 0, values.data(), 0, nullptr);
  return path;
}

TEST(ImageReader, ColumnsOfPictures) {
  const TemporaryFolder folder;
  const auto grey = read_picture(write_png(folder / "g.png", 1));
  EXPECT_EQ(grey.width, 3);
  EXPECT_EQ(grey.height, 2);
  EXPECT_EQ(grey.channels, 1);
  EXPECT_EQ(grey.columns, (std::vector<float>{10.F / 255, 40.F / 255, 20.F / 255, 50.F / 255, 30.F / 255, 60.F / 255}));
  const auto coloured = read_picture(write_png(folder / "c.png", 3));
  EXPECT_EQ(coloured.channels, 3);
  EXPECT_EQ((std::vector<float>(coloured.columns.begin(), coloured.columns.begin() + 6)),
            (std::vector<float>{1, 0, 0, 100.F / 255, 100.F / 255, 100.F / 255}));
  EXPECT_EQ(read_picture(folder / "c.png", 1).columns.size(), 6u);
  EXPECT_EQ(read_picture(folder / "g.png", 3).columns.size(), 18u);

  std::vector<uint8_t> flat(16 * 16, 120);
  unsigned char* jpeg = nullptr;
  unsigned long size = 0;
  const auto writer = tjInitCompress();
  tjCompress2(writer, flat.data(), 16, 0, 16, TJPF_GRAY, &jpeg, &size, TJSAMP_GRAY, 95, 0);
  const std::string bytes(reinterpret_cast<char*>(jpeg), size);
  tjFree(jpeg);
  tjDestroy(writer);
  const auto picture = read_picture(write(folder / "p.jpg", bytes));
  EXPECT_EQ(picture.channels, 1);
  for (const float value : picture.columns) EXPECT_NEAR(value, 120.F / 255, 0.01);
  for (const auto& name : {"cut.jpg", "cut.png", "junk.jpeg"}) {
    const auto source = std::string(name) == "cut.png" ? contents(folder / "c.png") : bytes;
    const auto path = write(folder / name, std::string(name) == "junk.jpeg" ? "junk" : source.substr(0, source.size() / 2));
    expect_error(ExitCode::data, path.string(), [&] { read_picture(path); });
  }
}

TEST(PrepareFrames, FoldersOfPictures) {
  const TemporaryFolder folder;
  for (const auto* name : {"cat", "dog"}) {
    std::filesystem::create_directories(folder / "p" / name);
    for (const auto* file : {"1.png", "2.PNG"}) write_png(folder / "p" / name / file, 1);
  }
  FramesOptions options;
  options.images = {folder / "p"};
  options.labels = "{class}/{}";
  options.out = folder / "out.h5";
  options.force = true;
  const auto report = prepare_frames(options, false);
  EXPECT_EQ(report.spec.documents, 4);
  EXPECT_EQ(report.spec.frames.frames, 12);
  EXPECT_EQ(report.spec.frames.bins, 2);
  EXPECT_EQ(report.spec.frames.sample_rate, 0);
  EXPECT_EQ(report.spec.frames.labels[0].classes, (std::vector<std::string>{"cat", "dog"}));
  write_png(folder / "p" / "dog" / "3.png", 1, 2, 3);
  expect_error(ExitCode::data, "3.png has 3 lines and 1 channel", [&] { prepare_frames(options, false); });
  write_png(folder / "p" / "dog" / "3.png", 3);
  expect_error(ExitCode::data, "--channels", [&] { prepare_frames(options, false); });
  options.channels = 1;
  EXPECT_EQ(prepare_frames(options, false).spec.documents, 5);
}

TEST(PrepareFrames, IdxPicturesAndTheirLabels) {
  const TemporaryFolder folder;
  const std::string head("\0\0\x08\x03\0\0\0\x02\0\0\0\x02\0\0\0\x03", 16);
  const auto pictures = write(folder / "p", head + "abcdefghijkl");
  const auto labels = folder / "l.gz";
  const std::string label_bytes("\0\0\x08\x01\0\0\0\x02\x07\x03", 10);
  const auto gz = gzopen(labels.c_str(), "wb");
  gzwrite(gz, label_bytes.data(), static_cast<unsigned>(label_bytes.size()));
  gzclose(gz);
  FramesOptions options;
  options.images = {pictures};
  options.image_labels = {labels};
  options.out = folder / "out.h5";
  options.force = true;
  const auto report = prepare_frames(options, false);
  EXPECT_EQ(report.spec.documents, 2);
  EXPECT_EQ(report.spec.frames.bins, 2);
  EXPECT_EQ(report.spec.frames.labels[0].classes, (std::vector<std::string>{"3", "7"}));
  const FrameCorpus corpus(options.out, 100);
  EXPECT_EQ(corpus.at(0).labels, std::vector<int32_t>{1});
  EXPECT_NEAR(corpus.at(0).frames[1] * report.spec.frames.deviation + report.spec.frames.mean, 'd' / 255.0, 1e-6);  // second line

  options.images = {write(folder / "cut", head + "abc")};
  expect_error(ExitCode::data, "ends before its header says", [&] { prepare_frames(options, false); });
  options.images = {
      write(folder / "three", std::string("\0\0\x08\x03\0\0\0\x03\0\0\0\x02\0\0\0\x03", 16) + "abcdefghijklmnopqr")};
  expect_error(ExitCode::data, "has 2 labels for 3 pictures", [&] { prepare_frames(options, false); });
  options.image_labels = {pictures};
  expect_error(ExitCode::data, "no IDX file of bytes with 1 dimension", [&] { prepare_frames(options, false); });
}

}  // namespace
}  // namespace lacuna
