// A batch's attention rule as the packed kernels take it, and who attends: cuDNN, or ATen where cuDNN refuses.
#pragma once
#include "trainer/kernels/packed_attention.h"
#include "trainer/model/architecture.h"

namespace lacuna {

// Who may look at whom, as attention_pattern.h says.
struct AttentionRule {
  Visibility visibility = Visibility::causal;
  int64_t window = 0;
};
// Such as "causal, window 128, each document by itself".
std::string in_words(const AttentionRule& rule, bool documents);

class PackedPattern {
 public:
  // `heads`: its numbers of heads, head size and determinism. Of rows with segments, num_documents is that of Batch::documents, 0
  // where the batch does not list them. Makes cuDNN's plans, so it needs a GPU, and takes a second the first time.
  PackedPattern(PackedAttentionShape heads, AttentionRule rule, int64_t rows, int64_t length, bool segments,
                int64_t num_documents);
  // The shape with what it reads of the batch.
  PackedAttentionShape of(const Batch& batch) const;
  std::string backend() const;                             // "cuDNN 9.19.0", or ATen's and why
  const std::string& refusal() const { return refusal_; }  // cuDNN's; empty where it attends

 private:
  PackedAttentionShape shape_;
  AttentionRule rule_;
  bool written_out_;  // the rule, as scores
  std::string refusal_;
};

}  // namespace lacuna
