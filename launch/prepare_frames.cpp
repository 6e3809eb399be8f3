#include "launch/prepare_frames.h"

#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "data/error.h"
#include "data/prepare_frames.h"

namespace lacuna {
namespace {

template <class Enum>
std::vector<std::string> words_of() {
  const auto names = names_of(Enum{});
  return {names.begin(), names.end()};
}

template <class Enum>
Enum chosen_of(const std::string& word) {
  const auto names = names_of(Enum{});
  return static_cast<Enum>(std::find(names.begin(), names.end(), word) - names.begin());
}

void print_json(const FramesReport& report) {
  const auto& frames = report.spec.frames;
  auto labels = nlohmann::ordered_json::object();
  for (const auto& label : frames.labels) labels[label.name] = label.classes.size();
  const nlohmann::ordered_json json{{"file", report.spec.name},
                                    {"documents", report.spec.documents},
                                    {"frames", frames.frames},
                                    {"mel_bins", frames.bins},
                                    {"channels", frames.channels},
                                    {"sample_rate", frames.sample_rate},
                                    {"mean", frames.mean},
                                    {"deviation", frames.deviation},
                                    {"labels", labels},
                                    {"content_hash", report.spec.content_hash},
                                    {"skipped", report.skipped},
                                    {"empty_filters", report.empty_filters},
                                    {"seconds", report.seconds}};
  std::printf("%s\n", json.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace).c_str());
}

void print_table(const FramesReport& report) {
  const auto& frames = report.spec.frames;
  const auto number = [](const char* name, int64_t value) { std::printf("%-16s %lld\n", name, static_cast<long long>(value)); };
  std::printf("%-16s %s\n", "file", report.spec.name.c_str());
  number("documents", report.spec.documents);
  number("frames", frames.frames);
  number(frames.sample_rate > 0 ? "mel bins" : "lines", frames.bins);
  number("channels", frames.channels);
  if (frames.sample_rate > 0) number("sample rate", frames.sample_rate);
  std::printf("%-16s %.6g, deviation %.6g\n", "mean", frames.mean, frames.deviation);
  for (const auto& label : frames.labels)
    std::printf("%-16s %s: %zu classes\n", "label", label.name.c_str(), label.classes.size());
  std::printf("%-16s %s\n", "hash", report.spec.content_hash.c_str());
  if (!report.skipped.empty()) number("skipped", static_cast<int64_t>(report.skipped.size()));
  std::printf("%-16s %.1f\n", "seconds", report.seconds);
}

void warn(const FramesReport& report) {
  for (const auto& why : report.skipped) std::fprintf(stderr, "lacuna: skipped %s\n", why.c_str());
  if (report.empty_filters.empty()) return;
  std::string numbers;
  for (const int64_t filter : report.empty_filters) numbers += (numbers.empty() ? "" : ", ") + std::to_string(filter);
  std::fprintf(
      stderr,
      "lacuna: mel filters without any bin of the spectrum, which always give the floor: %s (counted from 0). Fewer --mel-bins "
      "avoid them.\n",
      numbers.c_str());
}

}  // namespace

struct FramesCommand::Arguments {
  FramesOptions options;
  std::string features = "kaldi_fbank", window = "hanning";
};

FramesCommand::FramesCommand(CLI::App& command) : arguments_(std::make_shared<Arguments>()) {
  auto& o = arguments_->options;
  auto* audio =
      command.add_option("--audio", o.audio, "recordings to read, in any format that libsndfile knows; channels are averaged");
  auto* images = command.add_option("--images", o.images,
                                    "pictures to read: PNG and JPEG files, folders of them, or IDX files (MNIST), plain or gzip");
  sources_ = {audio, images};
  audio->excludes(images);
  const auto of_audio = [&](CLI::Option* option) { option->needs(audio); };
  of_audio(command.add_option("--features", arguments_->features, "what frames are made of recordings; kaldi_fbank unless given")
               ->check(CLI::IsMember(words_of<FeatureKind>())));
  of_audio(command.add_option("--mel-bins", o.features.mel_bins, "values of a frame; 80")->check(CLI::Range(1, 4096)));
  of_audio(
      command
          .add_option("--window", arguments_->window, "kaldi_fbank's window function; hanning unless given, Kaldi's own is povey")
          ->check(CLI::IsMember(words_of<FrameWindow>())));
  of_audio(command.add_option("--resample", o.resample, "bring every recording to so many Hz"));
  command.add_option(
      "--labels", o.labels,
      "labels out of the files' names: '{digit}_{speaker}_{index}', or with folders '{class}/{}', where {} is no label");
  command.add_option("--image-labels", o.image_labels, "the labels' IDX file of each IDX file of pictures")->needs(images);
  command.add_option("--channels", o.channels, "bring every picture to grey (1) or colours (3)")->needs(images);
  command.add_option("--statistics", o.statistics,
                     "a corpus whose mean and deviation normalise this one, such as training's for validation");
  command.add_flag("--skip-bad", o.skip_bad, "leave out files that cannot be read, and list them");
  command.add_option("--threads", o.threads, "files that are read at once; one per processor unless given");
}

bool FramesCommand::chosen() const { return !arguments_->options.audio.empty() || !arguments_->options.images.empty(); }

int FramesCommand::run(const std::string& out, bool force, bool json) const {
  FramesOptions options = arguments_->options;
  options.features.kind = chosen_of<FeatureKind>(arguments_->features);
  options.features.window = chosen_of<FrameWindow>(arguments_->window);
  options.out = out;
  options.force = force;
  const auto report = prepare_frames(options, true);
  warn(report);
  json ? print_json(report) : print_table(report);
  return 0;
}

}  // namespace lacuna
