#include "data/corpus_writer.h"

#include <fcntl.h>
#include <unistd.h>

#include <limits>
#include <random>
#include <vector>

#include "data/error.h"
#include "data/hdf5_corpus.h"

namespace lacuna {
namespace {

constexpr int64_t kBlockBytes = int64_t{1} << 20;

std::filesystem::path folder_of(const std::filesystem::path& path) { return path.has_parent_path() ? path.parent_path() : "."; }

int64_t checked_vocabulary(int64_t size) {
  if (size < 1 || size > std::numeric_limits<int32_t>::max()) {
    throw data_error("A vocabulary has 1 to 2147483647 entries, not " + std::to_string(size) + ".");
  }
  return size;
}

// A file or folder reaches the disk.
void sync(const std::filesystem::path& path) {
  const int descriptor = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor < 0) throw_file_error(path, "cannot be opened");
  const int status = fsync(descriptor);
  close(descriptor);
  if (status != 0) throw_file_error(path, "cannot be synced");
}

// Copies everything that was appended to `scratch` into the dataset; each block goes to `seen` too.
template <class Seen>
void copy(ScratchFile& scratch, Hdf5Dataset dataset, const Seen& seen) {
  std::vector<char> block(static_cast<size_t>(kBlockBytes));
  const int64_t width = bytes_of(dataset.type());
  scratch.rewind();
  int64_t first = 0;
  while (const int64_t n = scratch.read(block.data(), kBlockBytes)) {
    dataset.write(first, n / width, block.data());
    seen(block.data(), static_cast<size_t>(n));
    first += n / width;
  }
}

// Removes a half-made file unless it was renamed in the meantime.
struct Removal {
  std::filesystem::path path;
  ~Removal() {
    std::error_code ignored;
    std::filesystem::remove(path, ignored);
  }
};

}  // namespace

CorpusWriter::CorpusWriter(const std::filesystem::path& path, int64_t vocabulary_size)
    : path_(path),
      folder_(folder_of(path)),
      vocabulary_size_(checked_vocabulary(vocabulary_size)),
      type_(vocabulary_size <= 65536 ? ElementType::uint16 : ElementType::uint32),
      tokens_(folder_),
      documents_(folder_),
      responses_(folder_) {}

void CorpusWriter::add_document(std::span<const int32_t> tokens, int64_t text_bytes) {
  if (!tokens.empty()) {
    const auto start = static_cast<uint64_t>(num_tokens_);
    documents_.append(&start, sizeof start);
  }
  extend_document(tokens, text_bytes);
}

void CorpusWriter::add_document(std::span<const int32_t> tokens, int64_t text_bytes, std::span<const uint8_t> responses) {
  if (responses.size() != tokens.size() || responses_.size() != num_tokens_) {
    throw Error(ExitCode::internal,
                path_.string() + ": every token of every document tells whether it is a response, or none does");
  }
  responses_.append(responses.data(), static_cast<int64_t>(responses.size()));
  add_document(tokens, text_bytes);
}

void CorpusWriter::extend_document(std::span<const int32_t> tokens, int64_t text_bytes) {
  for (const int32_t token : tokens) {
    if (token < 0 || token >= vocabulary_size_) {
      throw data_error(path_.string() + ": token " + std::to_string(token) + " of document " +
                       std::to_string(num_documents() - 1) + " is outside the vocabulary of " + std::to_string(vocabulary_size_) +
                       ". Check the tokenizer.");
    }
  }
  num_bytes_ += text_bytes;
  num_tokens_ += static_cast<int64_t>(tokens.size());
  const auto store = [&](const void* data, size_t size) {
    tokens_.append(data, static_cast<int64_t>(size));
    hash_.update(data, size);
  };
  if (type_ == ElementType::uint16) {
    const std::vector<uint16_t> narrow(tokens.begin(), tokens.end());
    store(narrow.data(), narrow.size() * sizeof(uint16_t));
  } else {
    store(tokens.data(), tokens.size_bytes());  // non-negative, so the same bits as uint32
  }
}

void CorpusWriter::finish(const std::string& tokenizer, std::string_view blob) {
  if (num_tokens_ == 0) throw data_error(path_.string() + ": there is no text to make a corpus of. Are the input files empty?");
  const auto needed = static_cast<uint64_t>(tokens_.size() + documents_.size()) + blob.size() + kBlockBytes;
  std::error_code unknown;
  if (const auto space = std::filesystem::space(folder_, unknown); !unknown && space.available < needed) {
    throw disk_error(path_.string() + ": the disk is full: " + std::to_string(needed >> 20) + " MiB are needed and " +
                     std::to_string(space.available >> 20) + " MiB are free. Free some space and run again.");
  }
  const Removal partial{path_.string() + ".partial-" + std::to_string(std::random_device{}())};
  write_file(partial.path, tokenizer, blob);
  sync(partial.path);
  try {
    Hdf5Corpus(partial.path, 1, 1).verify();
  } catch (const Error& e) {
    throw disk_error(path_.string() + ": what was written does not read back (" + e.what() + ") Is the disk full or failing?");
  }
  if (std::rename(partial.path.c_str(), path_.c_str()) != 0) throw_file_error(path_, "cannot be put in place");
  sync(folder_);
}

void CorpusWriter::write_file(const std::filesystem::path& path, const std::string& tokenizer, std::string_view blob) {
  Hdf5File file = Hdf5File::create(path);
  copy(tokens_, file.create_dataset("tokens", type_, num_tokens_), [](const void*, size_t) {});
  copy(documents_, file.create_dataset("documents", ElementType::uint64, num_documents()),
       [&](const void* data, size_t size) { hash_.update(data, size); });
  if (responses_.size() > 0) {
    copy(responses_, file.create_dataset("responses", ElementType::uint8, num_tokens_),
         [&](const void* data, size_t size) { hash_.update(data, size); });
  }
  if (const auto size = static_cast<int64_t>(blob.size()); size > 0) {
    file.create_dataset("tokenizer", ElementType::uint8, size).write(0, size, blob.data());
  } else {
    file.create_dataset("tokenizer", ElementType::uint8, 0);
  }
  file.set_integer("format_version", responses_.size() > 0 ? 2 : 1);  // older programs would take prompts for text
  file.set_text("kind", "tokens");
  file.set_text("tokenizer", tokenizer);
  file.set_integer("vocabulary_size", vocabulary_size_);
  file.set_integer("bytes", num_bytes_);
  file.set_text("content_hash", hash_.hex());
  file.close();
}

}  // namespace lacuna
