// Sentencepiece (Kudo and Richardson, 2018): unigram or byte-pair pieces of the raw text, from a .model file or trained here.
// Bytes that are not valid UTF-8 count as U+FFFD. Whether decode(encode(text)) is `text` is up to the model: those trained here
// keep every character, those that normalise do not.
#pragma once
#include <filesystem>
#include <functional>
#include <memory>
#include <string>

#include "data/tokenizer/sentencepiece_model.h"
#include "data/tokenizer/tokenizer.h"

namespace sentencepiece {
class SentencePieceProcessor;
}

namespace lacuna {

class SentencepieceTokenizer : public Tokenizer {
 public:
  // Throws Error(data), naming `where`, for a damaged model.
  SentencepieceTokenizer(std::string model, const std::string& where);
  ~SentencepieceTokenizer() override;

  std::string name() const override { return "sentencepiece"; }
  int64_t vocabulary_size() const override { return vocabulary_size_; }
  int32_t end_token() const override { return end_token_; }  // </s>, or one id more than the model has
  void encode(std::string_view text, std::vector<int32_t>& out) const override;
  std::string decode(std::span<const int32_t> tokens) const override;
  bool begins_word(int32_t token) const override;  // by the piece, since decoding one piece drops its space
  // Between two words. Never for a model that sets a space before a text and keeps extra ones: its parts would gain a space.
  size_t safe_cut(std::string_view text) const override;
  std::string serialize() const override { return model_; }

 private:
  void encode_part(std::string_view text, std::vector<int32_t>& out) const;

  std::string model_;
  std::unique_ptr<sentencepiece::SentencePieceProcessor> processor_;
  int32_t num_pieces_ = 0;
  int32_t end_token_ = -1;
  int64_t vocabulary_size_ = 0;
  bool can_cut_ = false;
};

std::string read_sentencepiece_file(const std::filesystem::path& path);

// Trains unigram pieces, with bytes for rare characters, on a sample of at most half a million of the sentences that
// `next_sentence` gives until it returns false. No character is changed and no space is added, so decoding gives back the text.
// The same sentences give the same model. Throws Error(data) when there is too little text for the vocabulary.
std::string train_sentencepiece(const std::function<bool(std::string& sentence)>& next_sentence, int64_t vocabulary_size);

}  // namespace lacuna
