// Recordings and pictures as frames, of an HDF5 corpus of the kind "frames" (the file's parts are listed in data/FORMAT.md). A
// sample is a document, or a window of one that is longer: windows stand end to end, the last one ends with the document and so
// overlaps the one before it, and every frame is in a sample. `Sample::document_starts` holds 0 in a document's first sample and
// nothing in the others. Values are normalised with the corpus's stored mean and deviation.
//
// Contiguous frames are read through a memory map, chunked or compressed ones through the library, as Hdf5Corpus does with
// tokens.
#pragma once
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "data/corpus.h"
#include "data/corpus_file.h"
#include "data/hdf5_file.h"

namespace lacuna {

class FrameCorpus : public Corpus {
 public:
  // `window`: the most frames of a sample. Throws Error(data) for a file that is missing, damaged or not a corpus of frames.
  FrameCorpus(const std::filesystem::path& path, int64_t window);

  int64_t size() const override { return sample_ends_.back(); }
  // Throws Error(data) where a value of the sample is not a finite number.
  Sample at(int64_t index) const override;
  const CorpusSpec& spec() const override { return spec_; }

  // Of a document, per label of the spec its class; -1 = unlabelled.
  std::span<const int32_t> labels(int64_t document) const {
    return std::span(labels_).subspan(static_cast<size_t>(document) * spec_.frames.labels.size(), spec_.frames.labels.size());
  }
  // What made the frames, as one line of JSON: {"kind": "kaldi_fbank", ...}.
  const std::string& features() const { return features_; }
  bool mapped() const { return map_ != nullptr; }
  void verify() const override;

  static CorpusSpec open_spec(const std::filesystem::path& path) { return FrameCorpus(path, 1).spec(); }
  // Opens the file in a child process first; see data/probe.h for when this may be called.
  static void probe(const std::filesystem::path& path);

 private:
  void read_spec(const Hdf5File& file);
  void read_labels(const Hdf5File& file);
  // `count` stored values from `first`, as they lie in the file.
  const float* read_values(int64_t first, int64_t count, std::vector<float>& space) const;

  CorpusSpec spec_;
  int64_t window_;
  std::string features_, label_classes_;
  std::vector<int32_t> labels_;       // of document d: d * number of labels, ...
  std::vector<int64_t> sample_ends_;  // per document, the number of samples that it and those before it have
  std::optional<Hdf5File> file_;      // only while frames are read through the library; outlives frames_
  std::optional<Hdf5Dataset> frames_;
  std::shared_ptr<const std::byte> map_;    // the whole file
  const std::byte* frame_bytes_ = nullptr;  // in map_
  DocumentStarts documents_;
};

// What a corpus of frames is verified by: over the bytes of frames, documents and labels as stored, of the labels' classes, and
// of mean and deviation as 64-bit floats, in this order. The writer hashes the frames as they come.
void hash_frame_facts(Sha256& hash, const std::vector<int32_t>& labels, const std::string& label_classes, double mean,
                      double deviation);

}  // namespace lacuna
