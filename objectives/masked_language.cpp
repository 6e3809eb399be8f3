#include "objectives/masked_language.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/zeros.h>

#include <algorithm>

#include "data/error.h"
#include "objectives/corruption.h"
#include "objectives/documents.h"

namespace lacuna {
namespace {

// The order in which candidates are tried: every order is equally likely (Fisher and Yates).
void shuffle(std::vector<std::vector<int32_t>>& groups, Random random) {
  for (size_t i = groups.size(); i > 1; --i)
    std::swap(groups[i - 1], groups[static_cast<size_t>(random.below(static_cast<int64_t>(i)))]);
}

}  // namespace

MaskedLanguage::MaskedLanguage(const Options& options, const RowContext& context) : options_(options), context_(context) {
  if (options.mask_share + options.random_share > 1) {
    throw usage_error("[objective] mask_share + random_share is more than 1: they are shares of the same tokens");
  }
  if (options.whole_words && !context.begins_word) {
    throw usage_error(
        "[objective] whole_words needs to know which tokens begin a word, and this corpus's tokenizer does not tell");
  }
}

std::vector<int32_t> MaskedLanguage::chosen(std::span<const int32_t> row, int64_t most, const Random& random) const {
  std::vector<std::vector<int32_t>> groups;
  for (size_t t = 0; t < row.size(); ++t) {
    if (row[t] == context_.end_token) continue;
    const bool continues = options_.whole_words && t > 0 && row[t - 1] != context_.end_token && !context_.begins_word(row[t]);
    if (!continues || groups.empty()) groups.emplace_back();
    groups.back().push_back(static_cast<int32_t>(t));
  }
  shuffle(groups, random);
  std::vector<int32_t> positions;
  for (const auto& group : groups) {
    if (static_cast<int64_t>(positions.size() + group.size()) > most) continue;
    positions.insert(positions.end(), group.begin(), group.end());
  }
  std::sort(positions.begin(), positions.end());
  return positions;
}

Batch MaskedLanguage::prepare(std::span<const Sample> samples, const Random& random) const {
  const auto rows = static_cast<int64_t>(samples.size()), length = context_.length;
  const int64_t most = std::max<int64_t>(1, round_half_even(static_cast<double>(length) * options_.mask_ratio));
  Batch batch;
  batch.tokens = at::empty({rows, length}, at::kInt);
  batch.targets = at::empty({rows, length}, at::kInt);
  batch.weights = at::zeros({rows, length}, at::kFloat);
  batch.predicted = at::zeros({rows, most}, at::kInt);
  auto *token = batch.tokens.data_ptr<int32_t>(), *target = batch.targets.data_ptr<int32_t>();
  auto* weight = batch.weights.data_ptr<float>();
  auto* predicted = batch.predicted.data_ptr<int32_t>();
  for (const auto& sample : samples) {
    std::copy_n(sample.tokens.data(), length, token);
    std::copy_n(sample.tokens.data(), length, target);
    auto draws = random.fork(static_cast<uint64_t>(sample.position));
    const auto positions = chosen({sample.tokens.data(), static_cast<size_t>(length)}, most, draws.fork("positions"));
    for (const int32_t t : positions) {
      const double u = draws.uniform();
      if (u < options_.mask_share) {
        token[t] = mask();
      } else if (u < options_.mask_share + options_.random_share) {
        token[t] = static_cast<int32_t>(draws.below(context_.tokenizer_size));
      }
      weight[t] = 1;
    }
    // A row that has fewer fills its places with slots of weight 0.
    auto place = std::copy(positions.begin(), positions.end(), predicted);
    for (int32_t t = 0; place < predicted + most; ++t) {
      if (weight[t] == 0) *place++ = t;
    }
    batch.target_count += static_cast<double>(positions.size());
    token += length, target += length, weight += length, predicted += most;
  }
  batch.stream_positions = stream_positions(samples);
  if (context_.document_mask) add_documents(batch, samples);
  return batch;
}

Loss MaskedLanguage::loss(Architecture& architecture, const Batch& batch) {
  const auto states = architecture.forward(batch).states;
  return {.sum = loss_of_predicted(architecture.head(), states, batch), .metrics = {}};
}

}  // namespace lacuna
