#include "data/open_corpus.h"

#include "data/frame_corpus.h"
#include "data/hdf5_corpus.h"
#include "data/probe.h"

namespace lacuna {
namespace {

bool holds_frames(const std::filesystem::path& path) { return Hdf5File::open(path).text("kind") == "frames"; }

}  // namespace

std::unique_ptr<Corpus> open_corpus(const std::filesystem::path& path, int64_t window, int64_t stride) {
  if (holds_frames(path)) return std::make_unique<FrameCorpus>(path, window);
  return std::make_unique<Hdf5Corpus>(path, window, stride);  // refuses other kinds
}

CorpusSpec corpus_spec(const std::filesystem::path& path) { return open_corpus(path, 1, 1)->spec(); }

void probe_corpus(const std::filesystem::path& path) {
  // The kind is asked for in a child process of its own: reading an attribute runs the library on a file of unknown origin too.
  probe_in_child(path, [&] { holds_frames(path); });
  holds_frames(path) ? FrameCorpus::probe(path) : Hdf5Corpus::probe(path);
}

void verify_corpus(const std::filesystem::path& path) { open_corpus(path, 1, 1)->verify(); }

}  // namespace lacuna
