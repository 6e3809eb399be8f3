// The socket that objectives plug into. An objective says what a row of its batch looks like and what the loss is; it never
// sees ranks, optimizers or steps.
#pragma once
#include <torch/nn/module.h>

#include <functional>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "data/batch.h"
#include "data/patch_grid.h"
#include "data/random.h"
#include "trainer/config/describe.h"
#include "trainer/model/architecture.h"

namespace lacuna {

// Whether an objective fills Batch::encoder_tokens: for no architecture, for those that have an encoder, or always.
enum class EncoderUse { never, either, always };

// What an objective asks of an architecture and of the vocabulary; compared with Offers before anything is allocated.
struct Needs {
  std::string modality = "text";
  std::vector<Visibility> visibility;  // of a network without an encoder; any of these will do
  EncoderUse encoder = EncoderUse::never;
  bool withheld_positions = false;     // gives some tokens the position that stands for none
  bool candidates = false;             // asks Architecture::observe
  int64_t num_special_tokens = 0;      // ids after the tokenizer's, for masks and sentinels
  bool responses = false;              // training corpora must tell which tokens are responses
};

// Why the two do not go together, in words that name the mend; nothing where they do.
std::optional<std::string> misfit(const Needs& needs, const Offers& offers);

// Ids that stand for no text. -1 = there is none.
struct SpecialTokens {
  int32_t pad = -1;
  int32_t end = -1;
  int32_t mask = -1;
  std::vector<int32_t> sentinels = {};
};

// All that an objective is told besides its own options.
struct RowContext {
  int64_t length = 0;          // T, positions of a row
  int64_t tokenizer_size = 0;  // ids of the tokenizer, its end token included; special tokens follow
  int32_t end_token = -1;
  bool document_mask = false;  // fill Batch::segments and Batch::positions
  int64_t rows_per_step = 1;   // over the whole world
  // What the architecture offers, where an objective's rows depend on it.
  bool encoder = false;
  Visibility visibility = Visibility::causal;
  // Of corpora of frames, how the architecture cuts a row of `length` frames; its positions are patches then. Empty on text.
  std::optional<PatchGrid> grid = std::nullopt;
  // Whether a token begins a word; empty where the tokenizer does not tell.
  std::function<bool(int32_t)> begins_word;
};

// A sum over weights and, beside it, named sums that are reported divided by the same count.
struct Loss {
  at::Tensor sum;
  std::vector<std::pair<std::string, at::Tensor>> metrics;
};

// How long a prediction may take of an objective that searches for it: steps of the search, and starts of which the best is taken.
struct Effort {
  int64_t steps = 0;  // 0 = as in training
  int64_t samples = 1;
};

// The head's loss at the slots of Batch::predicted alone.
at::Tensor loss_of_predicted(const Head& head, const at::Tensor& states, const Batch& batch);

class Objective : public torch::nn::Module {
 public:
  virtual Needs needs() const = 0;
  virtual SpecialTokens special_tokens() const = 0;
  // Stored tokens that one row is made of, and by how many the next row's begin further on.
  virtual int64_t sample_length() const = 0;
  virtual int64_t sample_stride() const { return sample_length(); }
  // On the host, pure, no network: the same samples and the same `random` give the same batch. Draws are keyed by
  // Sample::position, never by a sample's place in the batch.
  virtual Batch prepare(std::span<const Sample> samples, const Random& random) const = 0;
  // The rows that the loss is evaluated on, where they are others than those of training.
  virtual Batch prepare_clean(std::span<const Sample> samples, const Random& random) const { return prepare(samples, random); }
  virtual Loss loss(Architecture& architecture, const Batch& batch) = 0;
  // By what it multiplies the values of a corpus of frames before the network reads them.
  virtual double frame_scale() const { return 1; }

  // Among how many classes the loss chooses, where those are not the tokens of the vocabulary.
  virtual std::optional<int64_t> num_classes() const { return std::nullopt; }
  // For an objective with parameters of its own: declares them, once, after the architecture has declared its own.
  virtual void build(const ModelContext& /*context*/, const Architecture& /*architecture*/) {}
  // Model FLOPs of one training token in a row of `length` beside the architecture's.
  virtual double flops_per_token(const Architecture& /*architecture*/, int64_t /*length*/) const { return 0; }
  // What a micro-batch of so many samples costs this rank, rows being of `length`: the architecture's work on the rows that they
  // become, and the objective's own where it says so.
  virtual ModelWork work(const Architecture& architecture, int64_t samples, int64_t length, int64_t element_size) const {
    return architecture.work(samples, length, element_size);
  }
  // What it keeps from step to step beside parameters, by name: of each tensor, whole over the data ranks, this rank's equal part
  // along dim 0, the same on every tensor rank. Checkpoints hold it, and restoring writes into it.
  virtual std::vector<std::pair<std::string, at::Tensor>> state() { return {}; }

  // What a trained network says. The logits (B, T, V) of every position's target; where thinks(), of a search that takes the effort.
  virtual bool thinks() const { return false; }
  virtual at::Tensor logits(Architecture& architecture, const Batch& batch, const Effort& effort);
  // Continues `rows` prompts as it was trained to. Throws where the architecture cannot.
  virtual std::unique_ptr<Generation> generate(Architecture& architecture, int64_t rows) { return architecture.generate(rows); }
};

// Model FLOPs of one training token: the network's, and those that the objective adds.
double flops_per_token(const Objective& objective, const Architecture& architecture, int64_t length);

}  // namespace lacuna
