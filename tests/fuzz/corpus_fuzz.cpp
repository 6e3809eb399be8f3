// Opens mutated corpus files the way the program does: first in a child process, then here. Anything but success or an Error
// fails: a crash, a hang, another exception, a token outside the vocabulary, or a frame
// that is no number.
//
//   corpus_fuzz [INPUTS = 300] [SEED = 1]
#include <sys/wait.h>
#include <unistd.h>

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "data/corpus_writer.h"
#include "data/error.h"
#include "data/frame_writer.h"
#include "data/open_corpus.h"
#include "data/random.h"
#include "tests/support/foreign_corpus.h"
#include "tests/support/fuzzing.h"
#include "tests/support/temporary_folder.h"

namespace lacuna {
namespace {

std::string contents(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

std::string written_corpus(const std::filesystem::path& path, int64_t vocabulary) {
  CorpusWriter writer(path, vocabulary);
  for (int32_t i = 0; i < 20; ++i) writer.add_document(std::vector<int32_t>(static_cast<size_t>(i + 3), i), i);
  writer.finish("none", "");
  return contents(path);
}

std::string frame_corpus(const std::filesystem::path& path) {
  FrameWriter writer(path, {.bins = 5, .sample_rate = 8000, .labels = {}}, "{}", {"digit", "speaker"});
  for (int32_t i = 0; i < 20; ++i) {
    const std::vector<std::string> words = {std::to_string(i % 10), i % 3 ? "a" : "b"};
    writer.add_document(std::vector<float>(static_cast<size_t>(5 * (i + 3)), static_cast<float>(i)), words, "x");
  }
  writer.finish();
  return contents(path);
}

std::string compressed_corpus(const std::filesystem::path& folder) {
  testing::ForeignCorpus foreign{.chunk = 50, .change_storage = [](hid_t creation) {
                                   H5Pset_shuffle(creation);
                                   H5Pset_deflate(creation, 6);
                                 }};
  foreign.tokens.resize(400);
  for (size_t i = 0; i < foreign.tokens.size(); ++i) foreign.tokens[i] = static_cast<uint16_t>(i * i % 10);
  foreign.claimed = static_cast<int64_t>(foreign.tokens.size());
  return contents(foreign.make(folder));
}

enum Outcome { accepted = 10, refused = 11, crashed_in_probe = 12 };

int open_and_read(const std::filesystem::path& path) {
  try {
    probe_corpus(path);
  } catch (const Error& e) {
    return std::string(e.what()).find("in a child process ended") == std::string::npos ? refused : crashed_in_probe;
  }
  try {
    const auto corpus = open_corpus(path, 7, 5);
    const auto& spec = corpus->spec();
    for (int64_t i = 0; i < std::min<int64_t>(corpus->size(), 1000); ++i) {
      const Sample sample = corpus->at(i);
      for (const int32_t token : sample.tokens) {
        if (token < 0 || token >= spec.vocabulary_size) return 1;
      }
      for (const float value : sample.frames) {
        if (!std::isfinite(value)) return 1;
      }
      for (size_t l = 0; l < sample.labels.size(); ++l) {
        if (sample.labels[l] >= static_cast<int64_t>(spec.frames.labels.at(l).classes.size())) return 1;
      }
    }
    verify_corpus(path);
  } catch (const Error&) {
    return refused;
  }
  return accepted;
}

int fuzz(int64_t inputs, uint64_t seed) {
  const testing::TemporaryFolder folder;
  const std::vector<std::string> valid = {written_corpus(folder / "a.h5", 1000), written_corpus(folder / "b.h5", 100'000),
                                          compressed_corpus(folder.path()), frame_corpus(folder / "f.h5")};
  const auto path = folder / "mutated.h5";
  int64_t counts[3] = {};
  for (int64_t input = 0; input < inputs; ++input) {
    const Random random = Random(seed, static_cast<uint64_t>(input));
    const std::string bytes = testing::damaged(valid[static_cast<size_t>(input) % valid.size()], random, /*head=*/2048);
    std::ofstream(path, std::ios::binary).write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
    const pid_t child = fork();
    if (child == 0) {
      alarm(60);
      _exit(open_and_read(path));
    }
    int status = 0;
    if (child < 0 || waitpid(child, &status, 0) != child) return std::puts("corpus_fuzz: no child process could be started"), 1;
    if (!WIFEXITED(status) || WEXITSTATUS(status) < accepted || WEXITSTATUS(status) > crashed_in_probe) {
      const auto kept = std::filesystem::temp_directory_path() /
                        ("lacuna-corpus-" + std::to_string(seed) + "-" + std::to_string(input) + ".h5");
      std::filesystem::copy_file(path, kept, std::filesystem::copy_options::overwrite_existing);
      std::printf("corpus_fuzz: input %lld of seed %llu ended with %s %d; it is kept as %s\n", static_cast<long long>(input),
                  static_cast<unsigned long long>(seed), WIFEXITED(status) ? "exit code" : "signal",
                  WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status), kept.c_str());
      return 1;
    }
    ++counts[WEXITSTATUS(status) - accepted];
  }
  std::printf("corpus_fuzz: %lld inputs: %lld read, %lld refused, %lld of which the HDF5 library did not survive in the child\n",
              static_cast<long long>(inputs), static_cast<long long>(counts[0]), static_cast<long long>(counts[1] + counts[2]),
              static_cast<long long>(counts[2]));
  return counts[0] > 0 && counts[1] > 0 ? 0 : 1;  // damage that is never refused, or always, tests nothing
}

}  // namespace
}  // namespace lacuna

int main(int argc, char** argv) {
  const lacuna::testing::FuzzArguments arguments(argc, argv, 300);
  return lacuna::fuzz(arguments.inputs, arguments.seed);
}
