#include "data/prepare_frames.h"

#include <algorithm>
#include <chrono>
#include <map>
#include <memory>
#include <mutex>

#include "data/audio_reader.h"
#include "data/error.h"
#include "data/frame_corpus.h"
#include "data/frame_writer.h"
#include "data/image_reader.h"
#include "data/in_order.h"
#include "data/name_pattern.h"
#include "data/progress.h"
#include "data/whole_file.h"

namespace lacuna {
namespace {

// A file as frames, or why it is none.
struct Document {
  FrameSpec spec;  // bins, channels, sample rate
  std::vector<float> frames;
  std::vector<std::string> words;
  std::string bad;
};

void check(const FramesOptions& o) {
  if (o.audio.empty() == o.images.empty())
    throw usage_error("Name files with --audio FILE... or --images PATH..., one of the two.");
  check_output(o.out, "--out", o.force);
  if (!o.audio.empty() && (!o.image_labels.empty() || o.channels != 0)) {
    throw usage_error("--image-labels and --channels are for --images.");
  }
  if (!o.images.empty() && o.resample != 0) throw usage_error("--resample is for --audio.");
  if (o.resample != 0 && (o.resample < 1000 || o.resample > 1'000'000)) throw usage_error("--resample is 1000 to 1000000 Hz.");
  if (o.channels != 0 && o.channels != 1 && o.channels != 3) throw usage_error("--channels is 1 (grey) or 3 (colours).");
  if (o.threads < 0 || o.threads > 1024) throw usage_error("--threads is 1 to 1024.");
}

// What is written: the first document decides what all others have to be.
class Output {
 public:
  Output(const FramesOptions& options, std::vector<std::string> label_names)
      : options_(options), label_names_(std::move(label_names)) {}

  void add(const Document& document, const std::string& name) {
    if (!document.bad.empty()) {
      skipped_.push_back(document.bad);
      return;
    }
    if (!writer_) begin(document, name);
    check_alike(document, name);
    writer_->add_document(document.frames, document.words, name);
  }

  FramesReport finish() {
    if (!writer_) {
      throw data_error(skipped_.empty() ? "There are no files to make a corpus of."
                                        : "None of the files can be read; the first: " + skipped_.front());
    }
    writer_->finish(statistics_);
    FramesReport report{.spec = FrameCorpus::open_spec(options_.out), .skipped = skipped_, .empty_filters = {}};
    if (!options_.audio.empty()) {
      report.empty_filters = make_features(options_.features, spec_.sample_rate)->bank().empty();
    }
    return report;
  }

 private:
  void begin(const Document& document, const std::string& name) {
    spec_ = document.spec;
    first_ = name;
    const auto features =
        options_.audio.empty() ? std::string(R"({"kind":"pictures"})") : describe_features(options_.features, spec_.sample_rate);
    if (!options_.statistics.empty()) {
      FrameCorpus::probe(options_.statistics);
      const FrameCorpus other(options_.statistics, 1);
      const auto& frames = other.spec().frames;
      if (other.features() != features || frames.bins != spec_.bins || frames.channels != spec_.channels) {
        throw data_error(options_.statistics.string() + ": its frames were made with " + other.features() + ", these with " +
                         features +
                         ", and statistics of other features do not normalise these. Prepare both with the same options.");
      }
      statistics_ = {.mean = frames.mean, .deviation = frames.deviation};
    }
    writer_.emplace(options_.out, spec_, features, label_names_);
  }

  void check_alike(const Document& document, const std::string& name) const {
    const auto& spec = document.spec;
    if (spec.sample_rate != spec_.sample_rate) {
      throw data_error(name + " has " + std::to_string(spec.sample_rate) + " Hz and " + first_ + " " +
                       std::to_string(spec_.sample_rate) + " Hz. Give --resample HZ to bring all to one rate.");
    }
    if (spec.bins == spec_.bins && spec.channels == spec_.channels) return;
    const auto shape = [](const FrameSpec& s) {
      return std::to_string(s.bins) + " lines and " + std::to_string(s.channels) + (s.channels > 1 ? " channels" : " channel");
    };
    throw data_error(name + " has " + shape(spec) + ", " + first_ + " " + shape(spec_) +
                     ". Scale pictures to one height, and give --channels to bring all to grey or to colours.");
  }

  const FramesOptions& options_;
  std::vector<std::string> label_names_;
  FrameSpec spec_;
  std::string first_;
  std::optional<FrameStatistics> statistics_;
  std::optional<FrameWriter> writer_;
  std::vector<std::string> skipped_;
};

// Features of the sample rates that come along.
class FeatureCache {
 public:
  explicit FeatureCache(const FeatureOptions& options) : options_(options) {}
  const Features& of(int64_t sample_rate) {
    const std::lock_guard lock(mutex_);
    auto& features = made_[sample_rate];
    if (!features) features = make_features(options_, sample_rate);
    return *features;
  }

 private:
  FeatureOptions options_;
  std::mutex mutex_;
  std::map<int64_t, std::unique_ptr<const Features>> made_;
};

Document read_recording(const std::filesystem::path& path, const FramesOptions& options, FeatureCache& cache) {
  const auto recording = read_audio(path, options.resample);
  const auto& features = cache.of(recording.sample_rate);
  Document document;
  document.spec.bins = options.features.mel_bins;
  document.spec.sample_rate = recording.sample_rate;
  document.frames = features(recording.samples);
  if (document.frames.empty()) {
    throw data_error(path.string() + ": its " + std::to_string(recording.samples.size()) + " samples are fewer than the " +
                     std::to_string(features.least_samples()) + " of one frame. Leave out the file, or give --skip-bad.");
  }
  return document;
}

Document document_of(Picture picture) {
  Document document;
  document.spec.bins = picture.height;
  document.spec.channels = picture.channels;
  document.frames = std::move(picture.columns);
  return document;
}

// Folders as the picture files in them, in order of their names.
std::vector<std::filesystem::path> picture_files(const std::vector<std::filesystem::path>& paths) {
  std::vector<std::filesystem::path> files;
  for (const auto& path : paths) {
    if (!std::filesystem::is_directory(path)) {
      files.push_back(path);
      continue;
    }
    std::vector<std::filesystem::path> found;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(path)) {
      if (entry.is_regular_file() && is_picture_file(entry.path())) found.push_back(entry.path());
    }
    if (found.empty()) throw data_error(path.string() + ": there is no .png, .jpg or .jpeg file in this folder.");
    std::sort(found.begin(), found.end());
    files.insert(files.end(), found.begin(), found.end());
  }
  return files;
}

FramesReport prepare_files(const FramesOptions& o, bool show_progress) {
  const auto files = o.audio.empty() ? picture_files(o.images) : o.audio;
  const std::optional<NamePattern> pattern = o.labels.empty() ? std::nullopt : std::optional<NamePattern>(o.labels);
  Output output(o, pattern ? pattern->labels() : std::vector<std::string>{});
  FeatureCache cache(o.features);
  std::optional<Progress> progress;
  if (show_progress)
    progress.emplace(o.audio.empty() ? "Reading pictures" : "Making features", static_cast<int64_t>(files.size()), "files");
  const auto work = [&](int64_t i) {
    const auto& path = files[static_cast<size_t>(i)];
    Document document;
    try {
      document = o.audio.empty() ? document_of(read_picture(path, o.channels)) : read_recording(path, o, cache);
    } catch (const Error& error) {
      if (!o.skip_bad || error.code() != ExitCode::data) throw;
      document.bad = error.what();
      return document;
    }
    if (pattern) document.words = pattern->match(path);
    return document;
  };
  const auto threads = o.threads > 0 ? o.threads : std::max<int64_t>(1, std::thread::hardware_concurrency());
  in_order<Document>(static_cast<int64_t>(files.size()), threads, work, [&](int64_t i, Document document) {
    output.add(document, files[static_cast<size_t>(i)].string());
    if (progress) progress->update(i + 1);
  });
  auto report = output.finish();
  if (progress) progress->finish();
  return report;
}

FramesReport prepare_idx(const FramesOptions& o, bool show_progress) {
  if (!o.image_labels.empty() && o.image_labels.size() != o.images.size()) {
    throw usage_error("--image-labels names " + std::to_string(o.image_labels.size()) + " files, and --images " +
                      std::to_string(o.images.size()) + ". Name the labels' file of each, in the same order.");
  }
  if (!o.labels.empty()) throw usage_error("IDX pictures have no names: their labels come with --image-labels, not --labels.");
  if (o.channels == 3) throw usage_error("IDX pictures are grey; --channels 3 is for PNG and JPEG.");
  Output output(o, o.image_labels.empty() ? std::vector<std::string>{} : std::vector<std::string>{"class"});
  for (size_t f = 0; f < o.images.size(); ++f) {
    IdxReader pictures(o.images[f], 3);
    std::optional<IdxReader> labels;
    if (!o.image_labels.empty()) labels.emplace(o.image_labels[f], 1);
    if (labels && labels->count() != pictures.count()) {
      throw data_error(o.image_labels[f].string() + " has " + std::to_string(labels->count()) + " labels for " +
                       std::to_string(pictures.count()) + " pictures.");
    }
    std::optional<Progress> progress;
    if (show_progress) progress.emplace("Reading pictures", pictures.count(), "pictures");
    for (int64_t i = 0; i < pictures.count(); ++i) {
      auto document = document_of(pictures.next_picture());
      if (labels) document.words = {std::to_string(labels->next().at(0))};
      output.add(document, o.images[f].string());
      if (progress) progress->update(i + 1);
    }
    if (progress) progress->finish();
  }
  return output.finish();
}

}  // namespace

FramesReport prepare_frames(const FramesOptions& options, bool show_progress) {
  check(options);
  const auto start = std::chrono::steady_clock::now();
  const auto is_idx = [](const std::filesystem::path& path) {
    return std::filesystem::is_regular_file(path) && !is_picture_file(path) && IdxReader::recognises(path);
  };
  const auto num_idx = std::count_if(options.images.begin(), options.images.end(), is_idx);
  if (num_idx > 0 && num_idx < static_cast<int64_t>(options.images.size())) {
    throw usage_error("--images names IDX files beside others. Make a corpus of each kind.");
  }
  if (num_idx == 0 && !options.image_labels.empty())
    throw usage_error("--image-labels is for IDX files; --labels reads the names of others.");
  auto report = num_idx > 0 ? prepare_idx(options, show_progress) : prepare_files(options, show_progress);
  report.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return report;
}

}  // namespace lacuna
