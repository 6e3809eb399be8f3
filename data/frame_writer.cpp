#include "data/frame_writer.h"

#include <cmath>

#include "data/error.h"
#include "data/frame_corpus.h"
#include "data/whole_file.h"

namespace lacuna {

FrameWriter::FrameWriter(const std::filesystem::path& path, const FrameSpec& spec, std::string features,
                         std::vector<std::string> label_names)
    : path_(path),
      spec_(spec),
      features_(std::move(features)),
      frames_(folder_of(path)),
      documents_(folder_of(path)),
      labels_(std::move(label_names)) {}

void FrameWriter::add_document(std::span<const float> frames, std::span<const std::string> words, const std::string& name) {
  const auto size = static_cast<int64_t>(frames.size());
  if (size == 0 || size % spec_.frame_size() != 0) {
    throw Error(ExitCode::internal, name + ": " + std::to_string(size) + " values are no whole number of frames");
  }
  double sum = 0, squares = 0;
  for (const float value : frames) sum += value;
  if (!std::isfinite(sum)) throw data_error(name + ": a value of its frames is not a finite number.");
  const double mean = sum / static_cast<double>(size);
  for (const float value : frames) squares += (value - mean) * (value - mean);
  // Means and squares of the documents until now and of this one, joined (Chan et al., 1983).
  const auto before = static_cast<double>(num_values_), all = before + static_cast<double>(size), step = mean - mean_;
  mean_ += step * static_cast<double>(size) / all;
  squares_ += squares + step * step * before * static_cast<double>(size) / all;

  const auto start = static_cast<uint64_t>(num_frames());
  documents_.append(&start, sizeof start);
  frames_.append(frames.data(), static_cast<int64_t>(frames.size_bytes()));
  hash_.update(frames.data(), frames.size_bytes());
  labels_.add(words);
  num_values_ += size;
}

FrameStatistics FrameWriter::statistics() const {
  const double deviation = num_values_ > 0 ? std::sqrt(squares_ / static_cast<double>(num_values_)) : 0;
  return {.mean = mean_, .deviation = deviation > 0 ? deviation : 1};
}

void FrameWriter::finish(const std::optional<FrameStatistics>& other) {
  if (num_values_ == 0) throw data_error(path_.string() + ": there are no frames to make a corpus of.");
  write_whole(
      path_, frames_.size() + documents_.size(),
      [&](const std::filesystem::path& partial) { write_file(partial, other.value_or(statistics())); },
      [](const std::filesystem::path& partial) { FrameCorpus(partial, 1).verify(); });
}

void FrameWriter::write_file(const std::filesystem::path& path, const FrameStatistics& statistics) {
  const auto numbered = labels_.numbered();
  const std::string classes = json_of_labels(numbered.labels);
  Hdf5File file = Hdf5File::create(path);
  copy(frames_, file.create_dataset("frames", ElementType::float32, num_values_), nullptr);
  copy(documents_, file.create_dataset("documents", ElementType::uint64, num_documents()), &hash_);
  const auto store = [&](const char* name, ElementType type, const auto& values) {
    const auto size = static_cast<int64_t>(values.size());
    auto dataset = file.create_dataset(name, type, size);
    if (size > 0) dataset.write(0, size, values.data());
  };
  store("labels", ElementType::int32, numbered.values);
  store("label_classes", ElementType::uint8, classes);
  file.set_integer("format_version", 1);
  file.set_text("kind", "frames");
  file.set_integer("bins", spec_.bins);
  file.set_integer("channels", spec_.channels);
  file.set_integer("sample_rate", spec_.sample_rate);
  file.set_number("mean", statistics.mean);
  file.set_number("deviation", statistics.deviation);
  file.set_text("features", features_);
  hash_frame_facts(hash_, numbered.values, classes, statistics.mean, statistics.deviation);
  file.set_text("content_hash", hash_.hex());
  file.close();
}

}  // namespace lacuna
