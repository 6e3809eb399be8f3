// What one micro-batch asks of one rank, forward and backward: the one description from which FLOPs, memory, predicted times,
// messages and the price of determinism follow.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

namespace lacuna {

// A linear layer: its product forward, and two backward, of the inputs' gradient and of the weight's.
struct LinearWork {
  int64_t rows = 0, in = 0, out = 0;
  double count = 0;         // such layers
  bool recomputed = false;  // backward makes the forward product again
};

// Scores, softmax and mixing of causal, prefix or full self-attention.
struct AttentionWork {
  int64_t rows = 0, length = 0, num_heads = 0, num_kv_heads = 0, head_size = 0;
  double visible = 1;  // share of the row that a position sees, on average
  double count = 0;
  bool recomputed = false;
};

// Kernels that do little but read and write: norms, activations, the classifier.
struct PassWork {
  std::string name;
  double bytes = 0;
};

struct ModelWork {
  int64_t tensor_ranks = 1;  // that share the network, of which this is one
  std::vector<LinearWork> linears = {};
  std::vector<AttentionWork> attention = {};
  std::vector<PassWork> passes = {};
  double launches = 0;      // kernels of all of it
  double tensor_bytes = 0;  // that are summed over the tensor axis
  double tensor_messages = 0;
  double kept_bytes = 0;       // of activations, from forward until their backward
  double transient_bytes = 0;  // that backward holds beside them at its widest
};

// Floating-point operations that the mathematics needs, without those that recomputation adds: 6 for each weight and row, 12 for
// each query, visible key and dimension.
double model_flops(const ModelWork& work);

}  // namespace lacuna
