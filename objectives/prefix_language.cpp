#include "objectives/prefix_language.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/zeros.h>

#include "objectives/documents.h"
#include "objectives/next_token.h"

namespace lacuna {

Batch PrefixLanguage::prepare(std::span<const Sample> samples, const Random& random) const {
  return context_.encoder ? prepare_pairs(samples, random) : prepare_decoder(samples, random);
}

Batch PrefixLanguage::prepare_decoder(std::span<const Sample> samples, const Random& random) const {
  auto batch = NextToken::rows(samples, context_);
  const int64_t length = context_.length;
  batch.bidirectional = at::zeros({batch.rows(), length}, at::kBool);
  auto* visible = batch.bidirectional.data_ptr<bool>();
  auto* weight = batch.weights.data_ptr<float>();
  batch.target_count = 0;
  for (const auto& sample : samples) {
    const int64_t split = random.fork(static_cast<uint64_t>(sample.position)).below(std::max<int64_t>(1, length - 1));
    std::fill_n(visible, split + 1, true);
    std::fill_n(weight, split, 0.0f);
    batch.target_count += static_cast<double>(length - split);
    visible += length, weight += length;
  }
  return batch;
}

// a = the sample's first T + 1 tokens, b = its others. The decoder's slot holds the token before the one it predicts, which for
// its first of each segment is the last that the encoder read of it.
Batch PrefixLanguage::prepare_pairs(std::span<const Sample> samples, const Random& random) const {
  const auto rows = static_cast<int64_t>(samples.size()), length = context_.length;
  const auto ints = [&] { return at::empty({rows, length}, at::kInt); };
  Batch batch;
  for (at::Tensor* t : {&batch.tokens, &batch.targets, &batch.segments, &batch.positions, &batch.encoder_tokens,
                        &batch.encoder_segments, &batch.encoder_positions}) {
    *t = ints();
  }
  batch.weights = at::ones({rows, length}, at::kFloat);
  int64_t row = 0;
  for (const auto& sample : samples) {
    const int64_t split = 1 + random.fork(static_cast<uint64_t>(sample.position)).below(std::max<int64_t>(1, length - 1));
    const auto at = [&](const at::Tensor& t) { return t.data_ptr<int32_t>() + row * length; };
    const int32_t* const halves[2] = {sample.tokens.data(), sample.tokens.data() + length + 1};
    const int64_t read[2] = {split, length - split}, predicted[2] = {length - split, split};
    int64_t from = 0, to = 0;  // slots filled of the encoder, of the decoder
    for (int32_t part = 0; part < 2; ++part) {
      for (int64_t i = 0; i < read[part]; ++i, ++from) {
        at(batch.encoder_tokens)[from] = halves[part][i];
        at(batch.encoder_segments)[from] = part + 1;
        at(batch.encoder_positions)[from] = static_cast<int32_t>(i);
      }
      for (int64_t i = 0; i < predicted[part]; ++i, ++to) {
        at(batch.tokens)[to] = halves[part][read[part] + i - 1];
        at(batch.targets)[to] = halves[part][read[part] + i];
        at(batch.segments)[to] = part + 1;
        at(batch.positions)[to] = static_cast<int32_t>(i);
      }
    }
    ++row;
  }
  batch.target_count = static_cast<double>(rows * length);
  batch.stream_positions = stream_positions(samples);
  return batch;
}

Loss PrefixLanguage::loss(Architecture& architecture, const Batch& batch) {
  const auto hidden = architecture.forward(batch);
  return {.sum = architecture.head().loss(hidden.states, batch.targets, batch.weights), .metrics = {}};
}

}  // namespace lacuna
