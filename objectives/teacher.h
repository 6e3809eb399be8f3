// Knowledge distillation from a decoder to a network of prefix_language (Elfeki et al. 2025, "Return of the Encoder", and its
// released code): the gradient is that of share * KL(teacher || student) + (1 - share) * cross-entropy with the text. The teacher
// is a causal decoder of a run, frozen: neither trained nor saved. It reads source and targets as one text, each segment for
// itself, and says what follows each token that the student's decoder reads.
//
// The release divides the divergence by all slots, padding included; here it counts slots by their weights, like the loss. Its
// temperature is 1, as there. Targets are the text's own: the student's own writing, which the release trains on, is left out.
//
// Of every slot both networks' logits are stored for backward. The teacher's FLOPs are not counted among the run's.
#pragma once
#include <memory>

#include "trainer/objective.h"

namespace lacuna {

class Teacher {
 public:
  // `checkpoint`: a run or checkpoint, which is opened with the first loss in training alone, so that what was trained can be
  // judged without it. `tokenizer_size` is the student's, which must be the teacher's.
  Teacher(std::string checkpoint, double share, int64_t tokenizer_size);
  // The mesh that the teacher is to share.
  void build(const ModelContext& context) { mesh_ = &context.mesh, operations_ = &context.operations; }

  // The loss at the batch's slots, given the student's states (B, T, D) there. What is told is the cross-entropy, and
  // "teacher_kl" the divergence. Throws Error(checkpoint) or usage errors where the teacher is none.
  Loss loss(const Head& student, const at::Tensor& states, const Batch& batch);

 private:
  struct Network;
  Network& network(const at::Tensor& like);
  at::Tensor logits(const Batch& batch, const at::Tensor& like);  // (B, T, V)

  std::string checkpoint_;
  double share_;
  int64_t tokenizer_size_;
  Mesh* mesh_ = nullptr;
  const Operations* operations_ = nullptr;
  std::shared_ptr<Network> network_;
};

// Source and targets of each row as one text: what follows a segment's source are its targets, whose first slot holds the
// source's last token again and so falls together with it.
struct JoinedText {
  Batch text;         // tokens, segments and positions (B, S + T); gaps are padding
  at::Tensor places;  // (B, T) int64, where in it each slot of the decoder stands; of padding anywhere
};
JoinedText joined_text(const Batch& batch);

}  // namespace lacuna
