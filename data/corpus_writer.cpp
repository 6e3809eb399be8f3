#include "data/corpus_writer.h"

#include <limits>
#include <vector>

#include "data/error.h"
#include "data/hdf5_corpus.h"
#include "data/whole_file.h"

namespace lacuna {
namespace {

int64_t checked_vocabulary(int64_t size) {
  if (size < 1 || size > std::numeric_limits<int32_t>::max()) {
    throw data_error("A vocabulary has 1 to 2147483647 entries, not " + std::to_string(size) + ".");
  }
  return size;
}

}  // namespace

CorpusWriter::CorpusWriter(const std::filesystem::path& path, int64_t vocabulary_size)
    : path_(path),
      vocabulary_size_(checked_vocabulary(vocabulary_size)),
      type_(vocabulary_size <= 65536 ? ElementType::uint16 : ElementType::uint32),
      tokens_(folder_of(path)),
      documents_(folder_of(path)),
      responses_(folder_of(path)) {}

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
  write_whole(
      path_, tokens_.size() + documents_.size() + responses_.size() + static_cast<int64_t>(blob.size()),
      [&](const std::filesystem::path& partial) { write_file(partial, tokenizer, blob); },
      [](const std::filesystem::path& partial) { Hdf5Corpus(partial, 1, 1).verify(); });
}

void CorpusWriter::write_file(const std::filesystem::path& path, const std::string& tokenizer, std::string_view blob) {
  Hdf5File file = Hdf5File::create(path);
  copy(tokens_, file.create_dataset("tokens", type_, num_tokens_), nullptr);
  copy(documents_, file.create_dataset("documents", ElementType::uint64, num_documents()), &hash_);
  if (responses_.size() > 0) {
    copy(responses_, file.create_dataset("responses", ElementType::uint8, num_tokens_), &hash_);
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
