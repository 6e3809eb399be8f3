#include "data/hdf5_corpus.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <limits>

#include "data/error.h"
#include "data/probe.h"
#include "data/sha256.h"
#include "data/tokenizer/tokenizer.h"

namespace lacuna {
namespace {

constexpr int64_t kMaxTokenizerBytes = int64_t{256} << 20;
constexpr int64_t kBlockBytes = int64_t{1} << 20;
constexpr int64_t kVersion = 1, kVersionWithResponses = 2;

Error damaged(const std::string& path, const std::string& what) {
  return data_error(path + ": " + what +
                    ". The file is damaged or was made by something else: make it again with lacuna prepare.");
}

// Read-only, and no shorter than `needed` bytes.
std::shared_ptr<const std::byte> map_file(const std::string& path, int64_t needed) {
  const int descriptor = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  struct stat info {};
  if (descriptor < 0 || fstat(descriptor, &info) != 0 || info.st_size < needed || info.st_size == 0) {
    if (descriptor >= 0) close(descriptor);
    throw damaged(path, "it cannot be opened, or became shorter while it was opened");
  }
  const auto size = static_cast<size_t>(info.st_size);
  void* start = mmap(nullptr, size, PROT_READ, MAP_SHARED, descriptor, 0);
  close(descriptor);
  if (start == MAP_FAILED) {
    throw Error(ExitCode::memory, path + ": its " + std::to_string(size) + " bytes cannot be mapped: " + std::strerror(errno) +
                                      ". Raise the limit on address space (ulimit -v).");
  }
  return {static_cast<const std::byte*>(start), [size](const std::byte* p) { munmap(const_cast<std::byte*>(p), size); }};
}

// Where the elements end in the file; 0 if they are not one run.
int64_t end_of(const Hdf5Dataset& values) {
  return values.offset() ? *values.offset() + values.size() * bytes_of(values.type()) : 0;
}

// Elements need not be aligned in the file.
template <class T>
T load(const std::byte* bytes, int64_t index) {
  T value;
  std::memcpy(&value, bytes + index * static_cast<int64_t>(sizeof(T)), sizeof(T));
  return value;
}

}  // namespace

Hdf5Corpus::Hdf5Corpus(const std::filesystem::path& path, int64_t window, int64_t stride) : window_(window), stride_(stride) {
  if (window < 1 || stride < 1 || window > std::numeric_limits<int32_t>::max()) {
    throw usage_error("A corpus is read in windows of 1 to 2147483647 tokens, at least one token apart.");
  }
  spec_.name = path.string();
  Hdf5File file = Hdf5File::open(path);
  read_spec(file);
  Hdf5Dataset tokens = file.dataset("tokens", {ElementType::uint16, ElementType::uint32});
  spec_.tokens = tokens.size();
  token_type_ = tokens.type();
  if (spec_.tokens < 1) throw damaged(spec_.name, "it holds no tokens");
  if (spec_.tokens >= window) size_ = (spec_.tokens - window) / stride + 1;
  const Hdf5Dataset documents = file.dataset("documents", {ElementType::uint64});
  if (spec_.responses) read_responses(file);
  if (tokens.offset()) {
    map_ = map_file(spec_.name, std::max(end_of(tokens), end_of(documents)));
    token_bytes_ = map_.get() + *tokens.offset();
  }
  read_documents(documents);
  if (spec_.responses) place_samples();
  if (!map_ || responses_) file_ = std::move(file);
  if (!map_) tokens_ = std::move(tokens);
}

void Hdf5Corpus::read_responses(const Hdf5File& file) {
  responses_ = file.dataset("responses", {ElementType::uint8});
  if (responses_->size() != spec_.tokens) {
    throw damaged(spec_.name, "it tells of " + std::to_string(responses_->size()) +
                                  " tokens whether they are responses, and has " + std::to_string(spec_.tokens));
  }
}

void Hdf5Corpus::place_samples() {
  int64_t next = 0;  // the first document that no sample has whole
  while (next < spec_.documents && spec_.tokens >= window_) {
    const int64_t begin = document(next), last = spec_.tokens - window_;
    const int64_t end = document_end(next);
    if (end - begin > window_) {
      sample_starts_.push_back(end - window_);
      ++next;
      continue;
    }
    const int64_t start = std::min(begin, last);
    sample_starts_.push_back(start);
    while (next < spec_.documents && document_end(next) <= start + window_) ++next;
  }
  size_ = static_cast<int64_t>(sample_starts_.size());
}

std::vector<uint8_t> Hdf5Corpus::responses_at(int64_t first) const {
  std::vector<uint8_t> responses(static_cast<size_t>(window_));
  responses_->read(first, window_, responses.data());
  if (std::any_of(responses.begin(), responses.end(), [](uint8_t r) { return r > 1; })) {
    throw damaged(spec_.name, "near token " + std::to_string(first) + " it tells something other than 0 or 1 of a token");
  }
  return responses;
}

void Hdf5Corpus::read_spec(const Hdf5File& file) {
  const std::string& path = spec_.name;
  const int64_t version = file.integer("format_version");
  if (version != kVersion && version != kVersionWithResponses) {
    throw data_error(
        path + ": its format version is " + std::to_string(version) +
        " and this program reads versions 1 and 2. Use the Lacuna that made it, or make it again with lacuna prepare.");
  }
  spec_.responses = version == kVersionWithResponses;
  if (const std::string kind = file.text("kind"); kind != "tokens") {
    throw data_error(path + ": it holds " + kind +
                     ", and tokens are needed. Name a corpus that was made with lacuna prepare --text.");
  }
  spec_.vocabulary_size = file.integer("vocabulary_size");
  spec_.bytes = file.integer("bytes");
  spec_.content_hash = file.text("content_hash");
  if (spec_.vocabulary_size < 1 || spec_.vocabulary_size > std::numeric_limits<int32_t>::max()) {
    throw damaged(path, "its vocabulary_size is " + std::to_string(spec_.vocabulary_size));
  }
  if (spec_.bytes < 0) throw damaged(path, "its number of bytes is " + std::to_string(spec_.bytes));
  if (spec_.content_hash.size() != 64 || spec_.content_hash.find_first_not_of("0123456789abcdef") != std::string::npos) {
    throw damaged(path, "its content_hash is not 64 hexadecimal digits");
  }
  const std::string name = file.text("tokenizer");
  if (name == "none") return;  // tokens of unknown meaning
  const Hdf5Dataset stored = file.dataset("tokenizer", {ElementType::uint8});
  if (stored.size() > kMaxTokenizerBytes) throw damaged(path, "its tokenizer takes over 256 MiB");
  std::string blob(static_cast<size_t>(stored.size()), '\0');
  if (!blob.empty()) stored.read(0, stored.size(), blob.data());
  spec_.tokenizer = make_tokenizer(name, blob);
  if (spec_.tokenizer->vocabulary_size() != spec_.vocabulary_size) {
    throw damaged(path, "its vocabulary_size is " + std::to_string(spec_.vocabulary_size) + " but its tokenizer's is " +
                            std::to_string(spec_.tokenizer->vocabulary_size()));
  }
}

void Hdf5Corpus::read_documents(const Hdf5Dataset& documents) {
  spec_.documents = documents.size();
  if (spec_.documents < 1 || spec_.documents > spec_.tokens) {
    throw damaged(spec_.name,
                  "it has " + std::to_string(spec_.documents) + " documents in " + std::to_string(spec_.tokens) + " tokens");
  }
  const int64_t num_bytes = spec_.documents * bytes_of(ElementType::uint64);
  if (map_ && documents.offset()) {
    document_bytes_ = map_.get() + *documents.offset();
  } else {
    owned_documents_.resize(static_cast<size_t>(num_bytes));
    documents.read(0, spec_.documents, owned_documents_.data());
    document_bytes_ = owned_documents_.data();
  }
  uint64_t previous = 0;
  for (int64_t i = 0; i < spec_.documents; ++i) {
    const auto start = load<uint64_t>(document_bytes_, i);
    if (i == 0 ? start != 0 : start <= previous || start >= static_cast<uint64_t>(spec_.tokens)) {
      throw damaged(spec_.name, "document " + std::to_string(i) + " starts at token " + std::to_string(start) +
                                    ", and starts must begin with 0, ascend and lie inside the " + std::to_string(spec_.tokens) +
                                    " tokens");
    }
    previous = start;
  }
}

int64_t Hdf5Corpus::document(int64_t index) const { return static_cast<int64_t>(load<uint64_t>(document_bytes_, index)); }
int64_t Hdf5Corpus::document_end(int64_t index) const { return index + 1 < spec_.documents ? document(index + 1) : spec_.tokens; }

template <class Stored>
void Hdf5Corpus::read_tokens(int64_t first, std::vector<int32_t>& tokens) const {
  std::vector<std::byte> read;
  const std::byte* bytes = token_bytes_ + (map_ ? first * static_cast<int64_t>(sizeof(Stored)) : 0);
  if (!map_) {
    read.resize(tokens.size() * sizeof(Stored));
    tokens_->read(first, static_cast<int64_t>(tokens.size()), read.data());
    bytes = read.data();
  }
  Stored largest = 0;
  const auto count = static_cast<int64_t>(tokens.size());
  for (int64_t i = 0; i < count; ++i) {
    const auto token = load<Stored>(bytes, i);
    largest = std::max(largest, token);
    tokens[static_cast<size_t>(i)] = static_cast<int32_t>(token);
  }
  if (static_cast<int64_t>(largest) < spec_.vocabulary_size) return;
  int64_t i = 0;
  while (static_cast<int64_t>(load<Stored>(bytes, i)) < spec_.vocabulary_size) ++i;
  throw damaged(spec_.name, "token " + std::to_string(load<Stored>(bytes, i)) + " at offset " + std::to_string(first + i) +
                                " is outside the vocabulary of " + std::to_string(spec_.vocabulary_size));
}

Sample Hdf5Corpus::at(int64_t index) const {
  if (index < 0 || index >= size_) {
    throw Error(ExitCode::internal,
                spec_.name + ": sample " + std::to_string(index) + " of " + std::to_string(size_) + " was asked for.");
  }
  const int64_t first = spec_.responses ? sample_starts_[static_cast<size_t>(index)] : index * stride_;
  Sample sample;
  sample.tokens.resize(static_cast<size_t>(window_));
  if (token_type_ == ElementType::uint16) {
    read_tokens<uint16_t>(first, sample.tokens);
  } else {
    read_tokens<uint32_t>(first, sample.tokens);
  }
  int64_t low = 0, high = spec_.documents;  // the first document that starts at `first` or later
  while (low < high) {
    const int64_t middle = low + (high - low) / 2;
    if (document(middle) < first) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  for (; low < spec_.documents && document(low) < first + window_; ++low) {
    sample.document_starts.push_back(static_cast<int32_t>(document(low) - first));
  }
  if (!spec_.responses) return sample;
  sample.responses = responses_at(first);
  // Before the first start lies the end of a document: one that fills the whole sample counts, of others the beginning is
  // missing.
  const auto begin = sample.responses.begin();
  const auto& starts = sample.document_starts;
  const int64_t first_start = starts.empty() ? window_ : starts.front();
  if (first_start < window_) std::fill(begin, begin + first_start, uint8_t{0});
  const bool last_is_cut = !starts.empty() && (low < spec_.documents ? document(low) : spec_.tokens) > first + window_;
  if (last_is_cut) std::fill(begin + starts.back(), sample.responses.end(), uint8_t{0});
  return sample;
}

void Hdf5Corpus::verify() const {
  Sha256 hash;
  const int64_t width = bytes_of(token_type_);
  std::vector<std::byte> block(map_ ? 0 : static_cast<size_t>(kBlockBytes));
  for (int64_t first = 0; first < spec_.tokens; first += kBlockBytes / width) {
    const int64_t count = std::min(kBlockBytes / width, spec_.tokens - first);
    if (!map_) tokens_->read(first, count, block.data());
    hash.update(map_ ? token_bytes_ + first * width : block.data(), static_cast<size_t>(count * width));
  }
  hash.update(document_bytes_, static_cast<size_t>(spec_.documents) * sizeof(uint64_t));
  std::vector<char> responses;
  for (int64_t first = 0; spec_.responses && first < spec_.tokens; first += kBlockBytes) {
    responses.resize(static_cast<size_t>(std::min(kBlockBytes, spec_.tokens - first)));
    responses_->read(first, static_cast<int64_t>(responses.size()), responses.data());
    hash.update(responses.data(), responses.size());
  }
  if (hash.hex() != spec_.content_hash) throw damaged(spec_.name, "its contents do not have the hash that is stored with them");
}

CorpusSpec Hdf5Corpus::open_spec(const std::filesystem::path& path) { return Hdf5Corpus(path, 1, 1).spec(); }

void Hdf5Corpus::probe(const std::filesystem::path& path) {
  probe_in_child(path, [&] {
    const Hdf5Corpus corpus(path, 1, 1);
    if (!corpus.mapped()) corpus.verify();  // the library will parse every chunk later
  });
}

}  // namespace lacuna
