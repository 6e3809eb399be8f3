// Networks that go from a trunk's states to states from which the shared head predicts the next N tokens of every position. All
// of them are whole on every tensor rank but for the layers that the trunk's kind splits too.
#pragma once
#include "trainer/model/decoder.h"
#include "trainer/model/cross_block.h"

namespace lacuna {

// decoder: a linear map spreads h_t to P rows, and a small causal decoder, which attends to these rows alone, predicts the tokens from
//   [start, x_{t+1}, ..., x_{t+N-1}] (future token prediction, Walker 2024).
// heads: a transformer block an offset, side by side on the trunk's states (multi-token prediction, Gloeckle et al. 2024).
// chained: offset 1 from the trunk; each further one from a block on [norm(state of the one before); norm(embedding of the token
//   between)], so that the chain of causes is kept (DeepSeek-V3 2024, section 2.2).
// medusa: offset 1 from the trunk, others from h + SiLU(W h), W = 0 at the start (Cai et al. 2024).
// hydra: as medusa, but each head also reads the embeddings of the tokens between (Ankner et al. 2024).
enum class FutureKind { decoder, heads, chained, medusa, hydra };
constexpr std::array<std::string_view, 5> names_of(FutureKind) { return {"decoder", "heads", "chained", "medusa", "hydra"}; }

class FutureNetwork : public torch::nn::Module {
 public:
  // states (B, T, D): h_t, a function of the tokens up to t. next (B, T, N, D): embeddings of the tokens 1..N places ahead, of
  // which offset k may read those before it. Returns (B, T, N, D), at [t, k] the state that predicts token t + k + 1.
  virtual at::Tensor forward(const at::Tensor& states, const at::Tensor& next) const = 0;
  // Multiply-adds of one position, the head's left out.
  virtual double products(int64_t length) const = 0;
};

struct FutureShape {
  int64_t hidden_size, num_heads;
  int64_t horizon;             // N
  int64_t num_layers = 3;      // of the small decoder
  int64_t pseudo_length = 12;  // P, rows that a state is spread to
};

std::shared_ptr<FutureNetwork> make_future_network(FutureKind kind, const ModelContext& context, const FutureShape& shape);

}  // namespace lacuna
