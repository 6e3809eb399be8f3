#include "data/prepare.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <memory>

#include "data/corpus_writer.h"
#include "data/error.h"
#include "data/hdf5_corpus.h"
#include "data/progress.h"
#include "data/prompt.h"
#include "data/prompt_reader.h"
#include "data/random.h"
#include "data/tokenizer/sentencepiece.h"
#include "data/tokenizer/tokenizer.h"
#include "data/tokenizer/utf8.h"
#include "data/whole_file.h"

namespace lacuna {
namespace {

constexpr int64_t kDefaultVocabulary = 8000;
constexpr uint64_t kSplitSeed = 1;          // fixed: the same files are split alike, whatever they are prepared for
constexpr int64_t kLongestLine = 64 << 10;  // the split of one document waits this long for a line break
constexpr size_t kLongestSentence = 4000;   // the trainer leaves out longer ones

void check(const PrepareOptions& options) {
  if (options.text.files.empty() == options.prompts.empty()) {
    throw usage_error("Name the files to read with --text FILE... or --prompts FILE..., one of the two.");
  }
  if (!options.prompts.empty() && options.tokenizer == "sentencepiece" && options.vocabulary.empty()) {
    throw usage_error("--prompts does not train a sentencepiece model; name one with --vocabulary.");
  }
  check_output(options.out, "--out", options.force);
  if (!(options.validation_fraction >= 0 && options.validation_fraction < 1)) {
    throw usage_error("--validation-fraction is a share of the documents, at least 0 and below 1.");
  }
  if ((options.validation_fraction > 0) == options.validation_out.empty()) {
    throw usage_error("--validation-fraction and --validation-out are given together, or neither is.");
  }
  if (!options.validation_out.empty()) {
    check_output(options.validation_out, "--validation-out", options.force);
    if (std::filesystem::weakly_canonical(options.out) == std::filesystem::weakly_canonical(options.validation_out)) {
      throw usage_error("--out and --validation-out name the same file.");
    }
  }
  if (options.tokenizer == "gpt2" && options.vocabulary.empty()) {
    throw usage_error("--tokenizer gpt2 needs --vocabulary: a folder with vocab.json and merges.txt, or a tokenizer.json.");
  }
  if (options.tokenizer == "bytes" && !options.vocabulary.empty()) throw usage_error("--tokenizer bytes takes no --vocabulary.");
  const bool trains = options.tokenizer == "sentencepiece" && options.vocabulary.empty();
  if (options.vocabulary_size && !trains) {
    throw usage_error("--vocabulary-size is for --tokenizer sentencepiece without --vocabulary, which trains a model.");
  }
  if (options.vocabulary_size && (*options.vocabulary_size < 300 || *options.vocabulary_size > 1'000'000)) {
    throw usage_error("--vocabulary-size is 300 to 1000000: 256 bytes, three special tokens, and pieces.");
  }
}

// Runs of text without control characters, cut between words where they are longer than the trainer takes.
class SentenceReader {
 public:
  explicit SentenceReader(TextOptions text) : reader_(with_default_parts(std::move(text)), sentence_end) {}

  bool next(std::string& sentence) {
    while (true) {
      rest_.remove_prefix(static_cast<size_t>(std::find_if_not(rest_.begin(), rest_.end(), control) - rest_.begin()));
      if (!rest_.empty()) break;
      TextPart part;
      if (!reader_.next(part)) return false;
      rest_ = part.text;
    }
    auto size = static_cast<size_t>(std::find_if(rest_.begin(), rest_.end(), control) - rest_.begin());
    if (size > kLongestSentence) {
      const size_t space = rest_.rfind(' ', kLongestSentence);
      size = space != std::string_view::npos && space > 0 ? space : kLongestSentence;
      while (size > 1 && (static_cast<unsigned char>(rest_[size]) & 0xc0) == 0x80) --size;  // not inside a character
    }
    const std::string_view text = rest_.substr(0, size);
    rest_.remove_prefix(size);
    sentence = replace_invalid_utf8(text).value_or(std::string(text));
    return true;
  }

 private:
  static bool control(char c) { return static_cast<unsigned char>(c) < 0x20; }
  static size_t sentence_end(std::string_view part) {
    const size_t newline = part.rfind('\n');
    return newline != std::string_view::npos && newline > 0 ? newline : part.size();
  }
  // How documents are cut up for tokenising must not change what is learnt.
  static TextOptions with_default_parts(TextOptions text) {
    text.part_bytes = TextOptions{}.part_bytes;
    return text;
  }

  TextReader reader_;
  std::string_view rest_;
};

std::shared_ptr<const Tokenizer> tokenizer_for(const PrepareOptions& options, bool show_progress) {
  if (options.tokenizer != "sentencepiece" || !options.vocabulary.empty())
    return load_tokenizer(options.tokenizer, options.vocabulary);
  const int64_t size = options.vocabulary_size.value_or(kDefaultVocabulary);
  if (show_progress)
    std::fprintf(stderr, "Training a sentencepiece model of %lld pieces on the text\n", static_cast<long long>(size));
  SentenceReader sentences(options.text);
  return make_tokenizer("sentencepiece", train_sentencepiece([&](std::string& s) { return sentences.next(s); }, size));
}

// One corpus that documents are sent to, piece by piece.
class Output {
 public:
  Output(const std::filesystem::path& path, const Tokenizer& tokenizer)
      : path_(path), tokenizer_(tokenizer), writer_(path, tokenizer.vocabulary_size()) {}

  void add(std::string_view text, bool ends_document) {
    tokens_.clear();
    tokenizer_.encode(text, tokens_);
    if (ends_document) tokens_.push_back(tokenizer_.end_token());
    if (inside_) {
      writer_.extend_document(tokens_, static_cast<int64_t>(text.size()));
    } else {
      writer_.add_document(tokens_, static_cast<int64_t>(text.size()));
    }
    inside_ = !ends_document && (inside_ || !tokens_.empty());
  }
  void add(const Prompt& prompt) {
    auto encoded = encode_prompt(tokenizer_, prompt.prompt, prompt.response);
    encoded.tokens.push_back(tokenizer_.end_token());
    std::vector<uint8_t> responses(encoded.tokens.size(), 1);
    std::fill_n(responses.begin(), encoded.prompt, uint8_t{0});
    writer_.add_document(encoded.tokens, static_cast<int64_t>(prompt.prompt.size() + prompt.response.size()), responses);
  }
  int64_t num_tokens() const { return writer_.num_tokens(); }

  PreparedCorpus finish() {
    writer_.finish(tokenizer_.name(), tokenizer_.serialize());
    return {path_, writer_.num_documents(), writer_.num_tokens(), writer_.num_bytes(), Hdf5Corpus::open_spec(path_).content_hash};
  }

 private:
  std::filesystem::path path_;
  const Tokenizer& tokenizer_;
  CorpusWriter writer_;
  std::vector<int32_t> tokens_;
  bool inside_ = false;  // the document goes on
};

// The size of a file's text; of a compressed file it is known only after reading it.
int64_t text_size(const std::filesystem::path& path, bool show_progress) {
  ByteSource source(path);
  if (!source.compressed()) return source.stored_size();
  std::optional<Progress> progress;
  if (show_progress) progress.emplace("Measuring", source.stored_size(), "B");
  std::vector<char> block(1 << 20);
  int64_t size = 0;
  while (const size_t count = source.read(block.data(), block.size())) {
    size += static_cast<int64_t>(count);
    if (progress) progress->update(source.stored_read());
  }
  return size;
}

// Sends the start of a single document to one output and its end to the other. They part where the first line begins that lies
// wholly after the place `target` bytes into the document.
class SplitOfOneDocument {
 public:
  SplitOfOneDocument(Output& train, Output& validation, int64_t target)
      : train_(train), validation_(validation), target_(target) {}

  void add(const TextPart& part) {
    if (parted_) return add_validation(part.text, part.ends_document);
    const size_t at = place(part.text);
    if (at == std::string_view::npos) {
      train_.add(part.text, part.ends_document);
    } else {
      train_.add(part.text.substr(0, at), true);
      parted_ = true;
      add_validation(part.text.substr(at), part.ends_document);
    }
    offset_ += static_cast<int64_t>(part.text.size());
  }

 private:
  // An end alone is no document.
  void add_validation(std::string_view text, bool ends_document) {
    if (!text.empty() || validation_.num_tokens() > 0) validation_.add(text, ends_document);
  }

  // Where in this part the documents part, npos for nowhere.
  size_t place(std::string_view text) const {
    const auto begin = static_cast<size_t>(std::max<int64_t>(0, target_ - offset_));
    if (begin >= text.size()) return std::string_view::npos;
    if (const size_t newline = text.find('\n', begin); newline != std::string_view::npos) return newline + 1;
    auto limit = static_cast<size_t>(std::max<int64_t>(0, target_ + kLongestLine - offset_));
    while (limit < text.size() && (static_cast<unsigned char>(text[limit]) & 0xc0) == 0x80) ++limit;  // not inside a character
    return limit < text.size() ? limit : std::string_view::npos;
  }

  Output& train_;
  Output& validation_;
  int64_t target_;
  int64_t offset_ = 0;
  bool parted_ = false;
};

// Whether a document goes to validation.
class Aside {
 public:
  explicit Aside(double share) : threshold_(share * 0x1p32) {}
  bool operator()(int64_t document) const { return random_.block(static_cast<uint64_t>(document))[0] < threshold_; }

 private:
  Random random_ = Random(kSplitSeed, 0).fork("validation");
  double threshold_;
};

PrepareReport report_of(const PrepareOptions& options, const Tokenizer& tokenizer, Output& train,
                        std::optional<Output>& validation, int64_t num_documents, std::chrono::steady_clock::time_point start) {
  if (num_documents == 0) {
    throw data_error("The input holds no text. Name files that do with " +
                     std::string(options.prompts.empty() ? "--text." : "--prompts."));
  }
  if (train.num_tokens() == 0)
    throw data_error("No document is left for " + options.out.string() + ". Lower --validation-fraction.");
  if (validation && validation->num_tokens() == 0) {
    throw data_error("Of " + std::to_string(num_documents) +
                     " documents none fell to validation. Raise --validation-fraction, or make more " +
                     "and smaller documents with --documents line or block.");
  }
  PrepareReport report;
  report.tokenizer = tokenizer.name();
  report.vocabulary_size = tokenizer.vocabulary_size();
  report.train = train.finish();
  if (validation) report.validation = validation->finish();
  report.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return report;
}

PrepareReport prepare_prompts(const PrepareOptions& options, bool show_progress) {
  const auto tokenizer = tokenizer_for(options, show_progress);
  const auto start = std::chrono::steady_clock::now();
  PromptReader reader(options.prompts);
  Output train(options.out, *tokenizer);
  std::optional<Output> validation;
  if (options.validation_fraction > 0) validation.emplace(options.validation_out, *tokenizer);
  std::optional<Progress> progress;
  if (show_progress) progress.emplace("Tokenising", reader.stored_size(), "B");
  const Aside aside(options.validation_fraction);
  Prompt prompt;
  int64_t documents = 0;
  for (; reader.next(prompt); ++documents) {
    (validation && aside(documents) ? *validation : train).add(prompt);
    if (progress) progress->update(reader.stored_read());
  }
  const auto report = report_of(options, *tokenizer, train, validation, documents, start);
  if (progress) progress->finish();
  return report;
}

}  // namespace

PrepareReport prepare_text(const PrepareOptions& options, bool show_progress) {
  check(options);
  if (!options.prompts.empty()) return prepare_prompts(options, show_progress);
  const auto tokenizer = tokenizer_for(options, show_progress);
  const auto start = std::chrono::steady_clock::now();
  TextReader reader(options.text, [&](std::string_view text) { return tokenizer->safe_cut(text); });
  Output train(options.out, *tokenizer);
  std::optional<Output> validation;
  std::optional<SplitOfOneDocument> split;
  if (options.validation_fraction > 0) {
    validation.emplace(options.validation_out, *tokenizer);
    if (reader.is_one_document()) {
      const auto size = static_cast<double>(text_size(options.text.files[0], show_progress));
      split.emplace(train, *validation, static_cast<int64_t>(std::floor(size * (1 - options.validation_fraction))));
    }
  }
  std::optional<Progress> progress;
  if (show_progress) progress.emplace("Tokenising", reader.stored_size(), "B");

  const Aside aside(options.validation_fraction);
  TextPart part;
  int64_t document = -1;
  while (reader.next(part)) {
    if (part.begins_document) ++document;
    if (split) {
      split->add(part);
    } else {
      (validation && aside(document) ? *validation : train).add(part.text, part.ends_document);
    }
    if (progress) progress->update(reader.stored_read());
  }
  const auto report = report_of(options, *tokenizer, train, validation, document + 1, start);
  if (progress) progress->finish();
  return report;
}

}  // namespace lacuna
