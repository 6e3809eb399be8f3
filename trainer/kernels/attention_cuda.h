// Scaled dot-product attention on the device through cuDNN, from one packed buffer of queries, keys and values into another:
// bf16, head by head softmax(Q K^T / sqrt(d) + scores) V (Vaswani et al. 2017), query heads sharing key and value heads in
// groups.
//
// The packed buffer is (B, T, (H + 2 K) d): of each position H query heads, then K key heads, then K value heads of d elements.
// The gradients come in the same layout, so that nothing is split or joined.
#pragma once
#include <cstdint>
#include <memory>
#include <string>

#include "trainer/kernels/cuda_types.h"

namespace lacuna::cuda {

struct AttentionShape {
  int64_t batch = 0, length = 0;
  int64_t num_heads = 0, num_kv_heads = 0;  // the latter divides the former
  int64_t head_size = 0;
  bool causal = true;          // key <= query
  int64_t window = 0;          // with causal: how many positions a query sees, itself included; 0: all before it
  int64_t documents = 0;       // the most that the rows of a call hold together, each seen from inside alone; 0: a row is one
  bool scores = false;         // numbers added to the scores, the same for all heads; not together with documents
  bool deterministic = false;  // the same gradients in every run, for B H T^2 2 bytes of workspace more
  int64_t stride = 0;          // elements from position to position of the packed buffers; 0: (H + 2 K) d

  auto operator<=>(const AttentionShape&) const = default;
};

// Where the documents of a call lie, in device memory. Documents that are not there have length 0 and begin where the last ends.
struct AttentionDocuments {
  const int32_t* lengths = nullptr;  // (documents), tokens
  // (documents + 1): elements before a document's first token in the packed buffers, in out and in log_sums; the last is the end.
  const int64_t *packed = nullptr, *out = nullptr, *log_sums = nullptr;
};

// What forward and backward read alike.
struct AttentionInputs {
  const void* packed = nullptr;
  AttentionDocuments documents;
  const void* scores = nullptr;  // (B, T, T) bf16, rows of score_stride(T); finite, very negative where nothing is to be seen
};

constexpr int64_t score_stride(int64_t length) { return (length + 7) / 8 * 8; }

// Plans are made once a shape, which takes up to a second and must not fall into the capture of a CUDA graph. For one stream at a
// time; calls from several threads take turns.
class Attention {
 public:
  Attention();
  ~Attention();
  Attention(const Attention&) = delete;
  Attention& operator=(const Attention&) = delete;

  // Why cuDNN does not do this shape, in words for the user; empty where it does. Makes the plans.
  std::string refusal(const AttentionShape& shape);
  bool supports(const AttentionShape& shape) { return refusal(shape).empty(); }

  // What forward and backward need, the larger of the two; 16-byte aligned. These throw where the shape is refused.
  int64_t workspace_bytes(const AttentionShape& shape);

  // out (B, T, H, d) contiguous; log_sums (B, H, T), with documents (B, T, H), float32: the logarithms of the softmax's
  // denominators, kept for backward.
  void forward(const AttentionShape& shape, const AttentionInputs& inputs, void* out, float* log_sums, void* workspace,
               cudaStream_t stream);

  // Writes all of packed_gradient's H + 2 K heads; nothing is added to.
  void backward(const AttentionShape& shape, const AttentionInputs& inputs, const void* out, const float* log_sums,
                const void* out_gradient, void* packed_gradient, void* workspace, cudaStream_t stream);

  int64_t cudnn_version() const;  // such as 91900

 private:
  struct State;
  std::unique_ptr<State> state_;
};

Attention& process_attention();  // the process's own, made at first use

}  // namespace lacuna::cuda
