// Corpus files of any kind: what a file holds decides which class reads it.
#pragma once
#include <filesystem>
#include <memory>

#include "data/corpus.h"

namespace lacuna {

// Tokens in windows of `window`, `stride` apart, or frames in windows of at most `window`. Throws Error(data) for a file that is
// missing, damaged or of an unknown kind.
std::unique_ptr<Corpus> open_corpus(const std::filesystem::path& path, int64_t window, int64_t stride);
// What a file says of itself.
CorpusSpec corpus_spec(const std::filesystem::path& path);
// Opens the file in a child process first; see data/probe.h for when this may be called.
void probe_corpus(const std::filesystem::path& path);
// Reads everything and compares it with the stored content hash.
void verify_corpus(const std::filesystem::path& path);

}  // namespace lacuna
