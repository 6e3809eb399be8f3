#include "data/frame_corpus.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>

#include "data/error.h"
#include "data/frame_labels.h"
#include "data/probe.h"

namespace lacuna {
namespace {

constexpr int64_t kMaxLabelBytes = int64_t{64} << 20;
constexpr int64_t kMaxBins = 1 << 16, kMaxChannels = 16, kMaxSampleRate = 10'000'000;

}  // namespace

FrameCorpus::FrameCorpus(const std::filesystem::path& path, int64_t window) : window_(window) {
  if (window < 1 || window > std::numeric_limits<int32_t>::max()) {
    throw usage_error("A corpus is read in windows of 1 to 2147483647 frames.");
  }
  spec_.kind = "frames";
  spec_.name = path.string();
  Hdf5File file = Hdf5File::open(path);
  read_spec(file);
  Hdf5Dataset frames = file.dataset("frames", {ElementType::float32});
  if (frames.size() < 1 || frames.size() % spec_.frames.frame_size() != 0) {
    throw damaged_corpus(spec_.name, "it holds " + std::to_string(frames.size()) +
                                         " values, which are no whole number of frames of " +
                                         std::to_string(spec_.frames.frame_size()));
  }
  spec_.frames.frames = frames.size() / spec_.frames.frame_size();
  const Hdf5Dataset documents = file.dataset("documents", {ElementType::uint64});
  if (frames.offset()) {
    map_ = map_file(spec_.name, std::max(end_of(frames), end_of(documents)));
    frame_bytes_ = map_.get() + *frames.offset();
  }
  documents_ = DocumentStarts(documents, map_, spec_.frames.frames, spec_.name, "frame");
  spec_.documents = documents_.size();
  read_labels(file);
  int64_t samples = 0;
  for (int64_t d = 0; d < documents_.size(); ++d) {
    samples += (documents_.end(d) - documents_.begin(d) - 1) / window_ + 1;
    sample_ends_.push_back(samples);
  }
  if (map_) return;
  file_ = std::move(file);
  frames_ = std::move(frames);
}

void FrameCorpus::read_spec(const Hdf5File& file) {
  const std::string& path = spec_.name;
  read_version(file, path, 1);
  if (const std::string kind = file.text("kind"); kind != "frames") {
    throw data_error(path + ": it holds " + kind +
                     ", and frames are needed. Name a corpus that was made with lacuna prepare --audio or --images.");
  }
  spec_.content_hash = read_content_hash(file, path);
  auto& frames = spec_.frames;
  const auto within = [&](const char* name, int64_t least, int64_t most) {
    const int64_t value = file.integer(name);
    if (value >= least && value <= most) return value;
    throw damaged_corpus(path, "its " + std::string(name) + " is " + std::to_string(value));
  };
  frames.bins = within("bins", 1, kMaxBins);
  frames.channels = within("channels", 1, kMaxChannels);
  frames.sample_rate = within("sample_rate", 0, kMaxSampleRate);
  frames.mean = file.number("mean");
  frames.deviation = file.number("deviation");
  if (!std::isfinite(frames.mean) || !std::isfinite(frames.deviation) || !(static_cast<float>(frames.deviation) > 0)) {
    throw damaged_corpus(path, "its mean " + std::to_string(frames.mean) + " and deviation " + std::to_string(frames.deviation) +
                                   " do not normalise");
  }
  features_ = file.text("features");
  if (!nlohmann::json::accept(features_)) throw damaged_corpus(path, "its features are no JSON");
}

void FrameCorpus::read_labels(const Hdf5File& file) {
  const Hdf5Dataset classes = file.dataset("label_classes", {ElementType::uint8});
  if (classes.size() > kMaxLabelBytes) throw damaged_corpus(spec_.name, "the classes of its labels take over 64 MiB");
  label_classes_.resize(static_cast<size_t>(classes.size()));
  if (!label_classes_.empty()) classes.read(0, classes.size(), label_classes_.data());
  auto labels = labels_of_json(label_classes_);
  if (!labels) throw damaged_corpus(spec_.name, "the classes of its labels are no list of names with their classes");
  spec_.frames.labels = std::move(*labels);
  const auto num_labels = static_cast<int64_t>(spec_.frames.labels.size());
  const Hdf5Dataset stored = file.dataset("labels", {ElementType::int32});
  if (stored.size() != spec_.documents * num_labels) {
    throw damaged_corpus(spec_.name, "it stores " + std::to_string(stored.size()) + " labels of " +
                                         std::to_string(spec_.documents) + " documents, and each has " +
                                         std::to_string(num_labels));
  }
  labels_.resize(static_cast<size_t>(stored.size()));
  if (!labels_.empty()) stored.read(0, stored.size(), labels_.data());
  for (size_t i = 0; i < labels_.size(); ++i) {
    const auto& label = spec_.frames.labels[i % spec_.frames.labels.size()];
    if (labels_[i] >= -1 && labels_[i] < static_cast<int32_t>(label.classes.size())) continue;
    throw damaged_corpus(spec_.name, "document " + std::to_string(static_cast<int64_t>(i) / num_labels) + " has the " +
                                         label.name + " number " + std::to_string(labels_[i]) + " of " +
                                         std::to_string(label.classes.size()));
  }
}

const float* FrameCorpus::read_values(int64_t first, int64_t count, std::vector<float>& space) const {
  space.resize(static_cast<size_t>(count));
  if (map_) {
    std::memcpy(space.data(), frame_bytes_ + first * static_cast<int64_t>(sizeof(float)), space.size() * sizeof(float));
  } else {
    frames_->read(first, count, space.data());
  }
  return space.data();
}

Sample FrameCorpus::at(int64_t index) const {
  if (index < 0 || index >= size()) {
    throw Error(ExitCode::internal,
                spec_.name + ": sample " + std::to_string(index) + " of " + std::to_string(size()) + " was asked for.");
  }
  const int64_t document = std::upper_bound(sample_ends_.begin(), sample_ends_.end(), index) - sample_ends_.begin();
  const int64_t before = document > 0 ? sample_ends_[static_cast<size_t>(document - 1)] : 0;
  const int64_t begin = documents_.begin(document), end = documents_.end(document);
  const int64_t count = std::min(window_, end - begin);
  const int64_t first = std::min(begin + (index - before) * window_, end - count);
  const auto& frames = spec_.frames;
  Sample sample;
  if (index == before) sample.document_starts = {0};
  read_values(first * frames.frame_size(), count * frames.frame_size(), sample.frames);
  const auto mean = static_cast<float>(frames.mean), scale = static_cast<float>(1 / frames.deviation);
  float sum = 0;
  for (float& value : sample.frames) {
    value = (value - mean) * scale;
    sum += value - value;  // 0 unless a value is not finite
  }
  if (sum != 0) {
    const auto bad = std::find_if(sample.frames.begin(), sample.frames.end(), [](float x) { return !std::isfinite(x); });
    throw damaged_corpus(spec_.name, "a value of frame " +
                                         std::to_string(first + (bad - sample.frames.begin()) / frames.frame_size()) +
                                         " is not a finite number");
  }
  const auto own = labels(document);
  sample.labels.assign(own.begin(), own.end());
  return sample;
}

void FrameCorpus::verify() const {
  Sha256 hash;
  const int64_t values = spec_.frames.frames * spec_.frames.frame_size(), block = kCorpusBlockBytes / 4;
  std::vector<float> space;
  for (int64_t first = 0; first < values; first += block) {
    const int64_t count = std::min(block, values - first);
    hash.update(read_values(first, count, space), static_cast<size_t>(count) * sizeof(float));
  }
  documents_.hash(hash);
  hash_frame_facts(hash, labels_, label_classes_, spec_.frames.mean, spec_.frames.deviation);
  if (hash.hex() == spec_.content_hash) return;
  throw damaged_corpus(spec_.name, "its contents do not have the hash that is stored with them");
}

void FrameCorpus::probe(const std::filesystem::path& path) {
  probe_in_child(path, [&] {
    const FrameCorpus corpus(path, 1);
    if (!corpus.mapped()) corpus.verify();  // the library will parse every chunk later
  });
}

void hash_frame_facts(Sha256& hash, const std::vector<int32_t>& labels, const std::string& label_classes, double mean,
                      double deviation) {
  hash.update(labels.data(), labels.size() * sizeof(int32_t));
  hash.update(label_classes.data(), label_classes.size());
  hash.update(&mean, sizeof mean);
  hash.update(&deviation, sizeof deviation);
}

}  // namespace lacuna
