#include <ATen/ops/constant_pad_nd.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/full.h>

#include "data/error.h"
#include "trainer/model/encoder_decoder.h"

namespace lacuna {

// Reads the prompt into the encoder once; then a token costs the decoder one position's work. The first token that the decoder is
// given is the prompt's last, as rows of prefix_language have it.
class EncoderDecoderGeneration : public Generation {
 public:
  EncoderDecoderGeneration(const EncoderDecoder& network, int64_t rows) : network_(network), caches_(network.decoder_.size()) {
    const auto& o = network.options_;
    const int64_t kv_heads = o.num_kv_heads / network.mesh_.tensor().size();
    for (auto& cache : caches_) {
      cache.keys =
          at::empty({rows, kv_heads, network.max_length_, o.hidden_size / o.num_heads}, network.embedding_->weight().options());
      cache.values = at::empty_like(cache.keys);
    }
  }

  int64_t length() const override { return prompt_ + std::max<int64_t>(0, caches_.front().length - 1); }

  at::Tensor advance(const at::Tensor& tokens) override {
    const torch::NoGradGuard no_grad;
    const auto given = tokens.to(network_.embedding_->weight().device());
    if (prompt_ == 0) {
      prompt_ = given.size(1);
      if (prompt_ > network_.max_length_) throw usage_error("the text is longer than the network's rows");
      Batch source;
      source.encoder_tokens = given;
      memories_ = network_.read(network_.encode(source, /*top=*/false));
    } else if (given.size(1) != 1) {
      throw std::logic_error("after the prompt, tokens are read one at a time");
    }
    if (caches_.front().length >= network_.max_length_) throw usage_error("the text is longer than the network's rows");
    Batch batch;
    batch.tokens = given.narrow(1, given.size(1) - 1, 1);
    const int64_t written = caches_.front().length, start = network_.options_.consecutive_positions ? prompt_ + written : written;
    const auto position = at::full({1}, start, batch.tokens.options().dtype(at::kInt));
    const auto states = network_.decode(batch, position, memories_, newest(written + 1), &caches_);
    return network_.head_->logits(states.squeeze(1));
  }

 private:
  // Of one target that sees the source and all that was written.
  EncoderDecoder::Patterns newest(int64_t keys) const {
    EncoderDecoder::Patterns patterns{{.causal = false, .scores = {}}, {.causal = false, .scores = {}}};
    if (network_.decoder_bias_) {
      const auto scores = network_.decoder_bias_->forward(1, keys);
      patterns.self.scores = network_.options_.joint_softmax ? at::constant_pad_nd(scores, {prompt_, 0}) : scores;
    }
    return patterns;
  }

  const EncoderDecoder& network_;
  std::vector<KeyValueCache> caches_;
  std::vector<KeyValues> memories_;
  int64_t prompt_ = 0;
};

std::unique_ptr<Generation> EncoderDecoder::generate(int64_t rows) {
  return std::make_unique<EncoderDecoderGeneration>(*this, rows);
}

}  // namespace lacuna
