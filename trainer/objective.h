// The socket that objectives plug into. An objective says what a row of its batch looks like and what the loss is; it never
// sees ranks, optimizers or steps.
#pragma once
#include <torch/nn/module.h>

#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "data/batch.h"
#include "data/random.h"
#include "trainer/config/describe.h"
#include "trainer/model/architecture.h"

namespace lacuna {

// What an objective asks of an architecture and of the vocabulary; compared with Offers before anything is allocated.
struct Needs {
  std::string modality = "text";
  std::vector<Visibility> visibility;  // any of these will do
  bool encoder = false;                // fills Batch::encoder_tokens
  int64_t num_special_tokens = 0;      // ids after the tokenizer's, for masks and sentinels
};

// Why the two do not go together, in words that name the mend; nothing where they do.
std::optional<std::string> misfit(const Needs& needs, const Offers& offers);

// Ids that stand for no text. -1 = there is none.
struct SpecialTokens {
  int32_t pad = -1;
  int32_t end = -1;
  int32_t mask = -1;
  std::vector<int32_t> sentinels;
};

// All that an objective is told besides its own options.
struct RowContext {
  int64_t length = 0;          // T, positions of a row
  int64_t tokenizer_size = 0;  // ids of the tokenizer, its end token included; special tokens follow
  int32_t end_token = -1;
  bool document_mask = false;  // fill Batch::segments and Batch::positions
};

// A sum over weights and, beside it, named sums that are reported divided by the same count.
struct Loss {
  at::Tensor sum;
  std::vector<std::pair<std::string, at::Tensor>> metrics;
};

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
  virtual Loss loss(Architecture& architecture, const Batch& batch) = 0;
};

}  // namespace lacuna
