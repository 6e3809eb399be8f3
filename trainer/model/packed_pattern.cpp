#include "trainer/model/packed_pattern.h"

#include "trainer/config/describe.h"
#include "trainer/model/attention_pattern.h"

namespace lacuna {

std::string in_words(const AttentionRule& rule, bool documents) {
  return std::string(name_of(rule.visibility)) + (rule.window > 0 ? ", window " + std::to_string(rule.window) : "") +
         (documents ? ", each document by itself" : "");
}

PackedPattern::PackedPattern(PackedAttentionShape heads, AttentionRule rule, int64_t rows, int64_t length, bool segments,
                             int64_t num_documents)
    : shape_(std::move(heads)),
      rule_(rule),
      written_out_(rule.visibility == Visibility::prefix || (segments && num_documents == 0)) {
  const auto take = [&] {
    shape_.causal = rule.visibility == Visibility::causal && !written_out_;
    shape_.window = shape_.causal && rule.window < length ? rule.window : 0;
  };
  take();
  refusal_ = packed_attention_refusal(shape_, rows, length, written_out_ ? 0 : num_documents, written_out_);
  if (refusal_.empty()) return;
  shape_.cudnn = false;
  written_out_ = written_out_ || segments || shape_.window > 0;
  take();
}

PackedAttentionShape PackedPattern::of(const Batch& batch) const {
  auto shape = shape_;
  if (written_out_) {
    shape.scores = packed_scores(allowed_pairs(rule_.visibility, rule_.window, batch));
  } else if (batch.documents.defined()) {
    place_documents(shape, batch.documents);
  }
  return shape;
}

std::string PackedPattern::backend() const {
  if (refusal_.empty()) return "cuDNN " + packed_attention_version() + (written_out_ ? " with the mask as numbers" : "");
  return "memory-efficient attention of ATen (cuDNN refused: " + refusal_ + ")";
}

}  // namespace lacuna
