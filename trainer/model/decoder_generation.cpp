#include <ATen/ops/arange.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/full.h>

#include "data/error.h"
#include "trainer/model/attention_pattern.h"
#include "trainer/model/decoder.h"

namespace lacuna {

// Continues prompts with a key/value cache per layer: a new token costs one position's work.
class DecoderGeneration : public Generation {
 public:
  DecoderGeneration(const Decoder& decoder, int64_t rows) : decoder_(decoder), caches_(decoder.blocks_.size()) {
    const auto& o = decoder.options_;
    const int64_t kv_heads = o.num_kv_heads / decoder.mesh_.tensor().size(), head_size = o.hidden_size / o.num_heads;
    for (auto& cache : caches_) {
      cache.keys = at::empty({rows, kv_heads, decoder.max_length_, head_size}, decoder.embedding_->weight().options());
      cache.values = at::empty_like(cache.keys);
    }
  }

  int64_t length() const override { return caches_.front().length; }

  at::Tensor advance(const at::Tensor& tokens) override {
    const torch::NoGradGuard no_grad;
    const int64_t start = length(), count = tokens.size(1);
    if (start + count > decoder_.max_length_) throw usage_error("the text is longer than the network's rows");
    if (start > 0 && count > 1) throw std::logic_error("after the prompt, tokens are read one at a time");
    Batch batch;
    batch.tokens = tokens.to(decoder_.embedding_->weight().device());
    // All of the prompt is the mutually visible prefix.
    if (decoder_.options_.visibility == Visibility::prefix) {
      batch.bidirectional = at::full(tokens.sizes(), start == 0, batch.tokens.options().dtype(at::kBool));
    }
    if (start == 0) prompt_ = count;
    const auto& o = decoder_.options_;
    auto pattern = start > 0 ? newest_pattern(o.window, start + 1, batch.tokens.options())
                             : attention_pattern(o.visibility, o.window, batch);
    if (decoder_.relative_bias_) add_scores(pattern, decoder_.relative_bias_->forward(count, start + count));
    const int64_t first = o.separate_positions && start > 0 ? start - prompt_ : start;
    const auto positions = at::arange(first, first + count, batch.tokens.options().dtype(at::kInt));
    const AttentionPattern source{.causal = false, .scores = {}};  // all of it
    const auto states = decoder_.stack(batch, pattern, positions, &caches_, &source);
    return decoder_.head_->logits(states.narrow(1, count - 1, 1).squeeze(1));
  }

 private:
  const Decoder& decoder_;
  std::vector<KeyValueCache> caches_;
  int64_t prompt_ = 0;
};

std::unique_ptr<Generation> Decoder::generate(int64_t rows) {
  if (!offers().generates) return Architecture::generate(rows);
  return std::make_unique<DecoderGeneration>(*this, rows);
}

}  // namespace lacuna
