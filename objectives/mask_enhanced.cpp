#include "objectives/mask_enhanced.h"

#include "objectives/corruption.h"

namespace lacuna {
namespace {

constexpr int64_t kPatterns = 51;

}  // namespace

MaskEnhanced::MaskEnhanced(const Options& options, const RowContext& context) : options_(options), context_(context) {}

Batch MaskEnhanced::prepare(std::span<const Sample> samples, const Random& random) const {
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
  return NextToken::rows(samples, context_);
}

Loss MaskEnhanced::loss(Architecture& architecture, const Batch& batch) {
  const auto hidden = architecture.forward(batch);
  return {.sum = architecture.head().loss(hidden.states, batch.targets, batch.weights), .metrics = {}};
}

}  // namespace lacuna
