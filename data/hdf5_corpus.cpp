#include "data/hdf5_corpus.h"

#include <algorithm>
#include <limits>

#include "data/error.h"
#include "data/probe.h"
#include "data/tokenizer/tokenizer.h"

namespace lacuna {
namespace {

constexpr int64_t kMaxTokenizerBytes = int64_t{256} << 20;
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
  if (spec_.tokens < 1) throw damaged_corpus(spec_.name, "it holds no tokens");
  if (spec_.tokens >= window) size_ = (spec_.tokens - window) / stride + 1;
  const Hdf5Dataset documents = file.dataset("documents", {ElementType::uint64});
  if (spec_.responses) read_responses(file);
  if (tokens.offset()) {
    map_ = map_file(spec_.name, std::max(end_of(tokens), end_of(documents)));
    token_bytes_ = map_.get() + *tokens.offset();
  }
  documents_ = DocumentStarts(documents, map_, spec_.tokens, spec_.name, "token");
  spec_.documents = documents_.size();
  if (spec_.responses) place_samples();
  if (!map_ || responses_) file_ = std::move(file);
  if (!map_) tokens_ = std::move(tokens);
}

void Hdf5Corpus::read_responses(const Hdf5File& file) {
  responses_ = file.dataset("responses", {ElementType::uint8});
  if (responses_->size() != spec_.tokens) {
    throw damaged_corpus(spec_.name, "it tells of " + std::to_string(responses_->size()) +
                                         " tokens whether they are responses, and has " + std::to_string(spec_.tokens));
  }
}

void Hdf5Corpus::place_samples() {
  int64_t next = 0;  // the first document that no sample has whole
  while (next < spec_.documents && spec_.tokens >= window_) {
    const int64_t begin = documents_.begin(next), last = spec_.tokens - window_;
    const int64_t end = documents_.end(next);
    if (end - begin > window_) {
      sample_starts_.push_back(end - window_);
      ++next;
      continue;
    }
    const int64_t start = std::min(begin, last);
    sample_starts_.push_back(start);
    while (next < spec_.documents && documents_.end(next) <= start + window_) ++next;
  }
  size_ = static_cast<int64_t>(sample_starts_.size());
}

std::vector<uint8_t> Hdf5Corpus::responses_at(int64_t first) const {
  std::vector<uint8_t> responses(static_cast<size_t>(window_));
  responses_->read(first, window_, responses.data());
  if (std::any_of(responses.begin(), responses.end(), [](uint8_t r) { return r > 1; })) {
    throw damaged_corpus(spec_.name, "near token " + std::to_string(first) + " it tells something other than 0 or 1 of a token");
  }
  return responses;
}

void Hdf5Corpus::read_spec(const Hdf5File& file) {
  const std::string& path = spec_.name;
  spec_.responses = read_version(file, path, 2) == 2;
  if (const std::string kind = file.text("kind"); kind != "tokens") {
    throw data_error(path + ": it holds " + kind +
                     ", and tokens are needed. Name a corpus that was made with lacuna prepare --text.");
  }
  spec_.vocabulary_size = file.integer("vocabulary_size");
  spec_.bytes = file.integer("bytes");
  spec_.content_hash = read_content_hash(file, path);
  if (spec_.vocabulary_size < 1 || spec_.vocabulary_size > std::numeric_limits<int32_t>::max()) {
    throw damaged_corpus(path, "its vocabulary_size is " + std::to_string(spec_.vocabulary_size));
  }
  if (spec_.bytes < 0) throw damaged_corpus(path, "its number of bytes is " + std::to_string(spec_.bytes));
  const std::string name = file.text("tokenizer");
  if (name == "none") return;  // tokens of unknown meaning
  const Hdf5Dataset stored = file.dataset("tokenizer", {ElementType::uint8});
  if (stored.size() > kMaxTokenizerBytes) throw damaged_corpus(path, "its tokenizer takes over 256 MiB");
  std::string blob(static_cast<size_t>(stored.size()), '\0');
  if (!blob.empty()) stored.read(0, stored.size(), blob.data());
  spec_.tokenizer = make_tokenizer(name, blob);
  if (spec_.tokenizer->vocabulary_size() != spec_.vocabulary_size) {
    throw damaged_corpus(path, "its vocabulary_size is " + std::to_string(spec_.vocabulary_size) + " but its tokenizer's is " +
                                   std::to_string(spec_.tokenizer->vocabulary_size()));
  }
}

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
  throw damaged_corpus(spec_.name, "token " + std::to_string(load<Stored>(bytes, i)) + " at offset " + std::to_string(first + i) +
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
    if (documents_.begin(middle) < first) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  for (; low < spec_.documents && documents_.begin(low) < first + window_; ++low) {
    sample.document_starts.push_back(static_cast<int32_t>(documents_.begin(low) - first));
  }
  if (!spec_.responses) return sample;
  sample.responses = responses_at(first);
  // Before the first start lies the end of a document: one that fills the whole sample counts, of others the beginning is
  // missing.
  const auto begin = sample.responses.begin();
  const auto& starts = sample.document_starts;
  const int64_t first_start = starts.empty() ? window_ : starts.front();
  if (first_start < window_) std::fill(begin, begin + first_start, uint8_t{0});
  const bool last_is_cut = !starts.empty() && (low < spec_.documents ? documents_.begin(low) : spec_.tokens) > first + window_;
  if (last_is_cut) std::fill(begin + starts.back(), sample.responses.end(), uint8_t{0});
  return sample;
}

void Hdf5Corpus::verify() const {
  Sha256 hash;
  const int64_t width = bytes_of(token_type_);
  std::vector<std::byte> block(map_ ? 0 : static_cast<size_t>(kCorpusBlockBytes));
  for (int64_t first = 0; first < spec_.tokens; first += kCorpusBlockBytes / width) {
    const int64_t count = std::min(kCorpusBlockBytes / width, spec_.tokens - first);
    if (!map_) tokens_->read(first, count, block.data());
    hash.update(map_ ? token_bytes_ + first * width : block.data(), static_cast<size_t>(count * width));
  }
  documents_.hash(hash);
  std::vector<char> responses;
  for (int64_t first = 0; spec_.responses && first < spec_.tokens; first += kCorpusBlockBytes) {
    responses.resize(static_cast<size_t>(std::min(kCorpusBlockBytes, spec_.tokens - first)));
    responses_->read(first, static_cast<int64_t>(responses.size()), responses.data());
    hash.update(responses.data(), responses.size());
  }
  if (hash.hex() != spec_.content_hash)
    throw damaged_corpus(spec_.name, "its contents do not have the hash that is stored with them");
}

CorpusSpec Hdf5Corpus::open_spec(const std::filesystem::path& path) { return Hdf5Corpus(path, 1, 1).spec(); }

void Hdf5Corpus::probe(const std::filesystem::path& path) {
  probe_in_child(path, [&] {
    const Hdf5Corpus corpus(path, 1, 1);
    if (!corpus.mapped()) corpus.verify();  // the library will parse every chunk later
  });
}

}  // namespace lacuna
