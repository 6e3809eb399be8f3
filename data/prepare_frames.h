// Recordings and pictures to a corpus of frames. Files are read and turned into frames by several threads and written in the
// order in which they were named; memory holds a few of them. A file that cannot be read ends the run, or is left out and listed.
#pragma once
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "data/corpus.h"
#include "data/features/features.h"

namespace lacuna {

struct FramesOptions {
  std::vector<std::filesystem::path> audio;         // files; one of the two
  std::vector<std::filesystem::path> images;        // PNG and JPEG files, folders of them (and of folders), or IDX files
  FeatureOptions features;                          // of audio
  int64_t resample = 0;                             // Hz; 0 = as the files are, all of one rate
  std::vector<std::filesystem::path> image_labels;  // an IDX file of labels per IDX file of pictures
  int64_t channels = 0;                             // of pictures: 1 or 3; 0 = as the files are, all alike
  std::string labels;                               // a NamePattern; empty = no labels
  std::filesystem::path statistics;                 // a corpus whose mean and deviation are stored in place of its own
  bool skip_bad = false;
  int64_t threads = 0;  // 0 = one per processor
  std::filesystem::path out;
  bool force = false;  // replace a corpus that exists
};

struct FramesReport {
  CorpusSpec spec;
  std::vector<std::string> skipped;    // why, file by file
  std::vector<int64_t> empty_filters;  // mel filters that are always at the floor
  double seconds = 0;
};

// Throws Error(usage) for options that contradict each other, Error(data) for files that cannot be read or do not go together.
FramesReport prepare_frames(const FramesOptions& options, bool show_progress);

}  // namespace lacuna
