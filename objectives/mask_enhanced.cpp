#include "objectives/mask_enhanced.h"

#include "objectives/corruption.h"

namespace lacuna {
namespace {

constexpr int64_t kPatterns = 51;
constexpr int64_t kShortResponse = 50;  // tokens; shorter ones are not masked

// The places of each document's response, without end tokens and without the row's first token, which nothing predicts.
std::vector<std::vector<int32_t>> responses_of(const Sample& sample, int32_t end_token) {
  std::vector<std::vector<int32_t>> responses(1);
  auto start = sample.document_starts.begin();
  for (int32_t t = 0; t < static_cast<int32_t>(sample.tokens.size()); ++t) {
    if (start != sample.document_starts.end() && *start == t) {
      responses.emplace_back();
      ++start;
    }
    const auto place = static_cast<size_t>(t);
    if (t > 0 && sample.responses[place] != 0 && sample.tokens[place] != end_token) responses.back().push_back(t);
  }
  return responses;
}

}  // namespace

MaskEnhanced::MaskEnhanced(const Options& options, const RowContext& context) : options_(options), context_(context) {}

// Every sample twice; the second row of each is masked.
Batch MaskEnhanced::prepare_responses(std::span<const Sample> samples, const Random& random) const {
  NextToken::need_responses(samples);
  std::vector<Sample> pairs;
  for (const auto& sample : samples) {
    for (const int64_t copy : {0, 1}) {
      pairs.push_back(sample);
      pairs.back().position = 2 * sample.position + copy;
    }
  }
  auto batch = NextToken::rows(pairs, context_);
  NextToken::weigh_responses(batch, pairs);
  const int64_t length = context_.length;
  auto* token = batch.tokens.data_ptr<int32_t>() + length;
  auto* weight = batch.weights.data_ptr<float>() + length;
  for (const auto& sample : samples) {
    for (int64_t t = 0; t < length; ++t) batch.target_count -= weight[t];
    std::fill_n(weight, length, 0.0f);
    auto drawn = random.fork(static_cast<uint64_t>(sample.position));
    for (const auto& response : responses_of(sample, context_.end_token)) {
      const auto size = static_cast<int64_t>(response.size());
      if (size <= kShortResponse) continue;
      const int64_t count = std::max<int64_t>(1, static_cast<int64_t>(static_cast<double>(size) * options_.mask_ratio));
      for (const int32_t chosen : choose(size, count, drawn.fork(static_cast<uint64_t>(response[0])))) {
        const int32_t place = response[static_cast<size_t>(chosen)];
        if (place < length) token[place] = mask();
        weight[place - 1] = 1;
      }
      batch.target_count += static_cast<double>(count);
    }
    token += 2 * length, weight += 2 * length;
  }
  return batch;
}

Batch MaskEnhanced::prepare(std::span<const Sample> samples, const Random& random) const {
  if (options_.fine_tuning) return prepare_responses(samples, random);
  auto batch = NextToken::rows(samples, context_);
  const int64_t length = context_.length, count = static_cast<int64_t>(static_cast<double>(length) * options_.mask_ratio);
  auto* row = batch.tokens.data_ptr<int32_t>();
  for (const auto& sample : samples) {
    const int64_t step = sample.position / context_.rows_per_step;
    const auto drawn = options_.pattern == MaskPattern::per_row
                           ? random.fork(static_cast<uint64_t>(sample.position))
                           : random.fork("shared").fork(static_cast<uint64_t>(step % kPatterns));
    for (const int32_t column : choose(length - 1, std::min(count, length - 1), drawn)) row[column] = mask();
    row += length;
  }
  return batch;
}

Batch MaskEnhanced::prepare_clean(std::span<const Sample> samples, const Random&) const {
  auto batch = NextToken::rows(samples, context_);
  if (options_.fine_tuning) NextToken::weigh_responses(batch, samples);
  return batch;
}

Loss MaskEnhanced::loss(Architecture& architecture, const Batch& batch) { return NextToken::loss_of_rows(architecture, batch); }

}  // namespace lacuna
