// What the data side hands to the engine. Shape letters, used in every comment of the project:
//   B rows   T positions   S encoder positions   V vocabulary   D hidden size   H heads   K key/value heads   F feed-forward size
//   P values of a patch (data/patch_grid.h)
#pragma once
#include <ATen/core/Tensor.h>

#include <array>
#include <cstdint>
#include <vector>

namespace lacuna {

// One stored piece of a corpus, before an objective has made a row of it.
struct Sample {
  int64_t position = 0;  // place in the run's stream: step * global rows + row; keys every random draw
  std::vector<int32_t> tokens;
  std::vector<int32_t> document_starts;  // offsets in `tokens` at which a document begins, ascending
  // Per token, whether it belongs to a response to the prompt before it: 1 or 0; empty where the corpus does not tell.
  std::vector<uint8_t> responses = {};
  // Of a corpus of frames (FrameSpec): as many of them as the recording has, each FrameSpec::frame_size() values; no tokens then.
  std::vector<float> frames = {};
  // Per label of FrameSpec::labels, the class; -1 = unlabelled.
  std::vector<int32_t> labels = {};
};

// One micro-batch of one data rank. The objective has shifted; a model never does. Absent fields are undefined tensors.
struct Batch {
  at::Tensor tokens;             // (B, T) int32, the model's input
  at::Tensor targets;            // (B, T) int32, the value predicted at that position
  at::Tensor weights;            // (B, T) float32, 0 = no loss here
  at::Tensor predicted;          // (B, P) int32, slots whose states the head reads where that is not all of them; others weigh 0
  at::Tensor future_targets;     // (B, T, N) int32, what stands 1 to N places ahead
  at::Tensor future_weights;     // (B, T, N) float32
  at::Tensor bidirectional;      // (B, T) bool, position belongs to the mutually visible prefix
  at::Tensor segments;           // (B, T) int32, document within the row from 1, 0 = padding
  at::Tensor documents;          // (N + 1) int32, where the runs of `segments` begin, as data/documents.h makes it
  at::Tensor positions;          // (B, T) int32, position ids where they are not 0..T-1
  at::Tensor words;              // (B, T) int32, which word of the row, from 0, a byte belongs to; made by Architecture::complete
  at::Tensor stream_positions;   // (B) int64, Sample::position of each row
  at::Tensor encoder_tokens;     // (B, S) int32
  at::Tensor encoder_segments;   // (B, S) int32
  at::Tensor encoder_positions;  // (B, S) int32
  at::Tensor kept;               // (K) int64, rows of this batch of which the objective keeps what it made, to show them again
  at::Tensor replayed;           // (K) int64, stream positions of such earlier rows, shown again beside these; counted as targets
  // Of objectives on frames, whose rows are patches instead of tokens. `segments` is 0 at patches of padding.
  at::Tensor values;             // (B, T, P) float32, the model's input in place of tokens: normalised, already corrupted
  at::Tensor masked;             // (B, T) bool, positions at which a learned vector stands in place of the patch
  at::Tensor keys;               // (B, T) bool, positions that may be attended to where those are not all
  at::Tensor value_targets;      // (B, T, P) float32, the values predicted at that position
  at::Tensor value_weights;      // (B, T, P) float32, 0 = no loss here; undefined where `weights` holds for all values of a patch
  double target_count = 0;       // sum of weights

  const at::Tensor& input() const { return values.defined() ? values : tokens; }
  int64_t rows() const { return input().size(0); }
  int64_t length() const { return input().size(1); }
  // Every tensor of the batch, undefined ones included, always in the same order.
  static constexpr size_t kNumTensors = 22;
  std::array<at::Tensor*, kNumTensors> tensors();
  std::array<const at::Tensor*, kNumTensors> tensors() const;
  Batch to(at::Device device) const;
  // In page-locked memory, from which a device copies beside its work; needs a device.
  Batch pinned() const;
};

}  // namespace lacuna
