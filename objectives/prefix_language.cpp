#include "objectives/prefix_language.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/zeros.h>

#include "objectives/documents.h"
#include "objectives/next_token.h"
#include "objectives/source_loss.h"
#include "trainer/model/two_sided.h"

namespace lacuna {

PrefixLanguage::PrefixLanguage(const Options& options, const RowContext& context) : options_(options), context_(context) {
  if (!options_.teacher.empty()) {
    teacher_ = std::make_unique<Teacher>(options_.teacher, options_.teacher_share, context_.tokenizer_size);
  }
}

Batch PrefixLanguage::prepare(std::span<const Sample> samples, const Random& random) const {
  if (options_.split == PrefixSplit::response) {
    NextToken::need_responses(samples);
    return context_.encoder ? prepare_encoded_responses(samples) : prepare_responses(samples);
  }
  return context_.encoder ? prepare_pairs(samples, random) : prepare_decoder(samples, random);
}

Batch PrefixLanguage::prepare_clean(std::span<const Sample> samples, const Random& random) const {
  if (options_.split == PrefixSplit::random) return prepare(samples, random);
  std::vector<Sample> cut(samples.begin(), samples.end());
  for (auto& sample : cut) {
    if (!sample.responses.empty()) continue;
    const auto count = static_cast<int64_t>(sample.tokens.size());
    const int64_t split = 1 + random.fork(static_cast<uint64_t>(sample.position)).below(count - 1);
    sample.document_starts = {0};
    sample.responses.assign(sample.tokens.size(), 1);
    std::fill_n(sample.responses.begin(), split, uint8_t{0});
  }
  return prepare(cut, random);
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

// A slot is in the visible part of its segment where its token is no response; the last of these predicts the response's first.
Batch PrefixLanguage::prepare_responses(std::span<const Sample> samples) const {
  auto batch = NextToken::rows(samples, context_);
  if (!context_.document_mask) add_documents(batch, samples);
  NextToken::weigh_responses(batch, samples);
  batch.bidirectional = at::empty({batch.rows(), context_.length}, at::kBool);
  auto* visible = batch.bidirectional.data_ptr<bool>();
  for (const auto& sample : samples) {
    for (int64_t t = 0; t < context_.length; ++t) *visible++ = sample.responses[static_cast<size_t>(t)] == 0;
  }
  return batch;
}

// Prompts to the encoder, responses to the decoder, each in its document's segment; what is left of either side is padding.
Batch PrefixLanguage::prepare_encoded_responses(std::span<const Sample> samples) const {
  const auto rows = static_cast<int64_t>(samples.size()), length = context_.length;
  const auto padding = [&] { return at::zeros({rows, length}, at::kInt); };
  Batch batch;
  for (at::Tensor* t : {&batch.tokens, &batch.targets, &batch.segments, &batch.positions, &batch.encoder_tokens,
                        &batch.encoder_segments, &batch.encoder_positions}) {
    *t = padding();
  }
  batch.weights = at::zeros({rows, length}, at::kFloat);
  int64_t row = 0;
  for (const auto& sample : samples) {
    const auto at = [&](const at::Tensor& t) { return t.data_ptr<int32_t>() + row * length; };
    auto* weight = batch.weights.data_ptr<float>() + row * length;
    auto start = sample.document_starts.begin();
    int32_t segment = 1;
    int64_t from = 0, to = 0;                    // slots filled of the encoder, of the decoder
    int32_t from_position = 0, to_position = 0;  // within the segment
    for (size_t t = 0; t < sample.tokens.size(); ++t) {
      if (start != sample.document_starts.end() && *start == static_cast<int32_t>(t)) {
        if (t > 0) ++segment;
        from_position = to_position = 0;
        ++start;
      }
      if (sample.responses[t] == 0 && from < length) {
        at(batch.encoder_tokens)[from] = sample.tokens[t];
        at(batch.encoder_segments)[from] = segment;
        at(batch.encoder_positions)[from++] = from_position++;
      } else if (sample.responses[t] != 0 && t > 0 && to < length) {
        at(batch.tokens)[to] = sample.tokens[t - 1];
        at(batch.targets)[to] = sample.tokens[t];
        at(batch.segments)[to] = segment;
        at(batch.positions)[to] = to_position++;
        weight[to++] = 1;
        ++batch.target_count;
      }
    }
    ++row;
  }
  batch.stream_positions = stream_positions(samples);
  return batch;
}

void PrefixLanguage::build(const ModelContext& context, const Architecture& architecture) {
  check_source_loss(options_.source_loss, architecture);
  if (teacher_) teacher_->build(context);
}

Loss PrefixLanguage::loss(Architecture& architecture, const Batch& batch) {
  const double source_loss = options_.source_loss;
  if (!at::GradMode::is_enabled() || (source_loss == 0 && !teacher_)) return NextToken::loss_of_rows(architecture, batch);
  TwoSided::States states;
  if (source_loss > 0) {
    states = dynamic_cast<TwoSided&>(architecture).forward_both(batch);
  } else {
    states.target = architecture.forward(batch).states;
  }
  const auto& head = architecture.head();
  Loss loss;
  if (teacher_) {
    loss = teacher_->loss(head, states.target, batch);
  } else {
    loss.sum = head.loss(states.target, batch.targets, batch.weights);
  }
  if (source_loss > 0) add_source_loss(loss, head, states.source, batch, source_loss);
  return loss;
}

double PrefixLanguage::flops_per_token(const Architecture& architecture, int64_t length) const {
  if (options_.source_loss == 0) return 0;
  return dynamic_cast<const TwoSided&>(architecture).flops_of_source_loss(length) / static_cast<double>(length);
}

}  // namespace lacuna
