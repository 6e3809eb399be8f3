#include "data/tokenizer/sentencepiece.h"

#include <sentencepiece_processor.h>
#include <sentencepiece_trainer.h>

#include <algorithm>
#include <exception>
#include <fstream>
#include <unordered_map>

#include "data/error.h"
#include "data/tokenizer/utf8.h"

namespace lacuna {
namespace {

constexpr size_t kPartBytes = 1 << 20;  // the library needs some hundred bytes of memory for each byte of text
constexpr uintmax_t kMaxModelBytes = 256 << 20;

// Hands sentences to the library, through which no exception may pass.
class Sentences : public sentencepiece::SentenceIterator {
 public:
  explicit Sentences(const std::function<bool(std::string&)>& next) : next_(next) { Next(); }

  bool done() const override { return done_; }
  void Next() override {
    try {
      done_ = !next_(sentence_);
      if (!done_) any_ = true;
    } catch (...) {
      failure_ = std::current_exception();
      done_ = true;
    }
  }
  const std::string& value() const override { return sentence_; }
  sentencepiece::util::Status status() const override { return {}; }

  void rethrow() const {
    if (failure_) std::rethrow_exception(failure_);
  }
  bool any() const { return any_; }

 private:
  const std::function<bool(std::string&)>& next_;
  std::string sentence_;
  bool done_ = false, any_ = false;
  std::exception_ptr failure_;
};

// The library's words without the line of its source that they start with, nor the full stop.
std::string message_of(const sentencepiece::util::Status& status) {
  std::string message = status.error_message();
  if (const size_t source = message.rfind("] "); source != std::string::npos) message.erase(0, source + 2);
  while (message.ends_with('.') || message.ends_with(' ')) message.pop_back();
  return message.empty() ? "it gives no reason" : message;
}

}  // namespace

SentencepieceTokenizer::SentencepieceTokenizer(std::string model, const std::string& where) : model_(std::move(model)) {
  const SentencepieceTraits traits = check_sentencepiece_model(model_, where);
  processor_ = std::make_unique<sentencepiece::SentencePieceProcessor>();
  if (const auto status = processor_->LoadFromSerializedProto(model_); !status.ok()) {
    throw data_error(where + " is not a sentencepiece model that can be used: " + message_of(status) +
                     ". Name a .model file with --vocabulary, or none to train one.");
  }
  num_pieces_ = processor_->GetPieceSize();
  const int32_t end = processor_->eos_id();
  end_token_ = end >= 0 && end < num_pieces_ ? end : num_pieces_;
  vocabulary_size_ = std::max(num_pieces_, end_token_ + 1);
  can_cut_ = traits.add_dummy_prefix == traits.remove_extra_whitespaces && !traits.whitespace_is_suffix;
}

SentencepieceTokenizer::~SentencepieceTokenizer() = default;

void SentencepieceTokenizer::encode(std::string_view text, std::vector<int32_t>& out) const {
  const std::optional<std::string> replaced = replace_invalid_utf8(text);
  std::string_view rest = replaced ? *replaced : text;
  while (rest.size() > kPartBytes) {
    const size_t cut = safe_cut(rest.substr(0, kPartBytes));
    if (cut == 0) break;
    encode_part(rest.substr(0, cut), out);
    rest.remove_prefix(cut);
  }
  encode_part(rest, out);
}

void SentencepieceTokenizer::encode_part(std::string_view text, std::vector<int32_t>& out) const {
  std::vector<int> tokens;
  if (const auto status = processor_->Encode(text, &tokens); !status.ok()) {
    throw data_error("sentencepiece cannot encode this text: " + message_of(status));
  }
  out.insert(out.end(), tokens.begin(), tokens.end());
}

std::string SentencepieceTokenizer::decode(std::span<const int32_t> tokens) const {
  std::vector<int> known;
  for (int32_t token : tokens) {
    if (token >= 0 && token < num_pieces_ && token != end_token_) known.push_back(token);
  }
  std::string text;
  if (const auto status = processor_->Decode(known, &text); !status.ok()) {
    throw data_error("sentencepiece cannot decode these tokens: " + message_of(status));
  }
  return text;
}

bool SentencepieceTokenizer::begins_word(int32_t token) const {
  return token >= 0 && token < num_pieces_ && processor_->IdToPiece(token).starts_with("\xe2\x96\x81");  // U+2581 for a space
}

size_t SentencepieceTokenizer::safe_cut(std::string_view text) const {
  const auto letter = [&](size_t i) { return (text[i] >= 'a' && text[i] <= 'z') || (text[i] >= 'A' && text[i] <= 'Z'); };
  if (!can_cut_ || text.size() < 3) return 0;
  for (size_t at = text.size() - 2; at > 0; --at) {
    if (text[at] == ' ' && letter(at - 1) && letter(at + 1)) return at;
  }
  return 0;
}

std::string read_sentencepiece_file(const std::filesystem::path& path) {
  std::error_code failed;
  const uintmax_t size = std::filesystem::file_size(path, failed);
  if (failed)
    throw data_error("Cannot read " + path.string() + ": " + failed.message() + ". Name a .model file with --vocabulary.");
  if (size > kMaxModelBytes)
    throw data_error(path.string() + " is larger than any sentencepiece model. Name a .model file with --vocabulary.");
  std::ifstream file(path, std::ios::binary);
  std::string model(size, '\0');
  if (!file.read(model.data(), static_cast<std::streamsize>(size))) throw data_error("Cannot read " + path.string() + ".");
  return model;
}

std::string train_sentencepiece(const std::function<bool(std::string&)>& next_sentence, int64_t vocabulary_size) {
  const std::unordered_map<std::string, std::string> settings = {
      {"model_type", "unigram"},
      {"vocab_size", std::to_string(vocabulary_size)},
      {"byte_fallback", "true"},
      {"split_digits", "true"},
      {"normalization_rule_name", "identity"},
      {"remove_extra_whitespaces", "false"},
      {"add_dummy_prefix", "false"},
      {"input_sentence_size", "500000"},
      {"num_threads", "4"},  // sums are taken by thread, so their number is part of the result
      {"minloglevel", "2"},
  };
  Sentences sentences(next_sentence);
  std::string model;
  const auto status = sentencepiece::SentencePieceTrainer::Train(settings, &sentences, &model);
  sentences.rethrow();
  if (!sentences.any())
    throw data_error("There is no text to train a sentencepiece model on. Name files that hold text with --text.");
  if (!status.ok()) {
    throw data_error("No sentencepiece model of " + std::to_string(vocabulary_size) + " pieces can be trained on this text: " +
                     message_of(status) + ". Set --vocabulary-size, or give more text.");
  }
  return model;
}

}  // namespace lacuna
