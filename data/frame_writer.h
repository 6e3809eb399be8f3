// Writes a corpus of frames (data/FORMAT.md has its parts); memory does not grow with it but for the labels. The mean and
// deviation over all values are gathered on the way. Throws Error(data) for values that are not finite and for a corpus without
// frames, Error(disk) when the disk fails or is full, Error(usage) for a folder that cannot be written to.
#pragma once
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "data/corpus.h"
#include "data/frame_labels.h"
#include "data/hdf5_file.h"
#include "data/scratch_file.h"
#include "data/sha256.h"

namespace lacuna {

// With what the values of a corpus are normalised.
struct FrameStatistics {
  double mean = 0, deviation = 1;
};

class FrameWriter {
 public:
  // Of `spec`, bins, channels and sample_rate are stored. `features` is what made the frames, one line of JSON.
  FrameWriter(const std::filesystem::path& path, const FrameSpec& spec, std::string features,
              std::vector<std::string> label_names);

  // A recording or picture: whole frames, at least one. A word per label; an empty one = unlabelled. `name` is for messages.
  void add_document(std::span<const float> frames, std::span<const std::string> words, const std::string& name);

  int64_t num_frames() const { return num_values_ / spec_.frame_size(); }
  int64_t num_documents() const { return documents_.size() / bytes_of(ElementType::uint64); }
  // Over all values until now; a deviation of 0 is given as 1.
  FrameStatistics statistics() const;

  // Once, at the end; an existing file at the path is replaced. Stores `other` in place of the corpus's own statistics where it
  // is given.
  void finish(const std::optional<FrameStatistics>& other = {});

 private:
  void write_file(const std::filesystem::path& path, const FrameStatistics& statistics);

  std::filesystem::path path_;
  FrameSpec spec_;
  std::string features_;
  ScratchFile frames_, documents_;
  LabelTable labels_;
  Sha256 hash_;
  int64_t num_values_ = 0;
  double mean_ = 0, squares_ = 0;  // squares of deviations from the mean, summed
};

}  // namespace lacuna
