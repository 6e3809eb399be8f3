// Byte-level byte-pair encoding (Radford et al., 2019; Sennrich et al., 2016): GPT-2's and those that tokenizer.json files give.
//
// The tokens are the reference's on every input. The references (Hugging Face tokenizers, tiktoken) take characters, not bytes:
// bytes that are not valid UTF-8 count as U+FFFD, as Python's decode(errors="replace") reads them. Added tokens of a
// tokenizer.json are found in the text, as Hugging Face's encode(add_special_tokens=False) does, so a text that spells
// <|endoftext|> holds that token; with vocab.json and merges.txt, where nothing is marked as added, those letters are plain
// text, as tiktoken's encode_ordinary reads them.
#pragma once
#include <array>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "data/tokenizer/byte_pair_model.h"
#include "data/tokenizer/merge_table.h"
#include "data/tokenizer/splitter.h"
#include "data/tokenizer/tokenizer.h"
#include "data/tokenizer/word_cache.h"

namespace lacuna {

class BytePairTokenizer : public Tokenizer {
 public:
  // Throws Error(data), naming `where`, for a model whose parts do not fit together.
  BytePairTokenizer(BytePairModel model, const std::string& where);

  std::string name() const override { return "gpt2"; }
  int64_t vocabulary_size() const override { return static_cast<int64_t>(text_of_.size()); }
  // <|endoftext|>, <|end_of_text|> or </s>, the first that the vocabulary has; else one id more than it has.
  int32_t end_token() const override { return end_token_; }
  void encode(std::string_view text, std::vector<int32_t>& out) const override;
  std::string decode(std::span<const int32_t> tokens) const override;  // special tokens stand for no text
  // Between two words or after a line break. Only for the patterns of GPT-2, Llama 3 and Qwen 2, of which it is known.
  size_t safe_cut(std::string_view text) const override;
  std::string serialize() const override { return byte_pair_to_json(model_); }

 private:
  struct Scratch {
    std::vector<Piece> pieces;
    std::vector<int32_t> tokens;
    Merger merger;
  };
  void number_tokens(const std::string& where);
  void read_merges(const std::string& where);
  void find_end_token();
  bool is_cut(std::string_view text, size_t at) const;
  void encode_sections(std::string_view text, bool normalized, Scratch& scratch, std::vector<int32_t>& out) const;
  void encode_section(std::string_view text, Scratch& scratch, std::vector<int32_t>& out) const;
  void encode_piece(std::string_view piece, Scratch& scratch, std::vector<int32_t>& out) const;

  BytePairModel model_;
  std::vector<std::string> text_of_;                     // by id
  std::unordered_map<std::string, int32_t> letters_id_;  // by token in byte-level letters
  std::unordered_map<std::string, int32_t> whole_;       // by bytes; only where pieces are looked up before they are merged
  std::array<int32_t, 256> byte_id_{};
  std::array<bool, 256> starts_added_{};
  MergeTable merges_;
  WordCache cache_;
  std::unique_ptr<Splitter> splitter_;
  int32_t end_token_ = -1;
  bool can_cut_ = false;
};

}  // namespace lacuna
