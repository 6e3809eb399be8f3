// The socket that network families plug into.
#pragma once
#include <torch/nn/module.h>

#include <array>
#include <memory>
#include <optional>
#include <string>

#include "data/batch.h"
#include "data/patch_grid.h"
#include "trainer/model/head.h"
#include "trainer/model/model_work.h"
#include "trainer/model/operations.h"
#include "trainer/model/parameters.h"
#include "trainer/config/recompute.h"
#include "trainer/parallel/mesh.h"
#include "trainer/parallel/parameter_gather.h"

namespace lacuna {

// Which positions a position may attend to: those up to itself; also all of the prefix if it is in it; all.
enum class Visibility { causal, prefix, full };
constexpr std::array<std::string_view, 3> names_of(Visibility) { return {"causal", "prefix", "full"}; }

// What an architecture can carry; compared with an objective's Needs before anything is allocated.
struct Offers {
  std::string modality = "text";
  Visibility visibility = Visibility::causal;
  bool encoder = false;      // reads Batch::encoder_tokens
  bool withholds_positions = false;  // a token may be given the position behind the last one, which stands for none
  bool candidates = false;   // judges candidates: observe()
  bool bytes = false;        // takes tokens for the bytes of a text
  bool documents = true;     // keeps documents of a row apart where Batch::segments says so
  bool generates = false;    // can continue a prompt token by token
  // Of one that reads frames: the size of its patches, 0 = all bins of a frame.
  int64_t patch_bins = 0, patch_frames = 1;
};

// All that an architecture is told besides its own options.
struct ModelContext {
  Mesh& mesh;
  ParameterTable& parameters;
  int64_t vocabulary_size;   // the tokenizer's ids and the objective's special tokens
  int64_t max_length;        // longest row, and the positions that there are
  uint64_t seed;             // of dropout
  // Of layers that are composed. Fused: blocks are single autograd nodes of fixed kernels (fused_halves.h) where those can carry
  // the batch; needs bf16 on a GPU.
  const Operations& operations = kernel_operations();
  bool fused = false;
  Recompute recompute = Recompute::none;
  bool sequence = false;  // the residual stream is split over the tensor axis (stream_layout.h), where the network can
  bool deterministic = false;  // bit-equal gradients from run to run on a GPU
  std::optional<PatchGrid> grid = std::nullopt;  // of a network that reads frames; its rows are grid->patches() long
};

// By what a network is computed, in words for the run's banner.
struct Backends {
  std::string attention;  // empty where there is none
  std::string not_fused;  // why blocks are not the single nodes that ModelContext::fused asks for; empty where they are
};

// What the head reads: one state per position.
struct Hidden {
  at::Tensor states;  // (B, T, D)
};

// One prompt being continued, with the keys and values of what was read so far.
class Generation {
 public:
  virtual ~Generation() = default;
  // Reads `tokens` (B, n) int32 and returns the logits (B, V) of what follows the last one.
  virtual at::Tensor advance(const at::Tensor& tokens) = 0;
  virtual int64_t length() const = 0;  // tokens read
};

// A batch's tokens as they were read, against which candidates of what follows them are judged.
class CandidateStream {
 public:
  virtual ~CandidateStream() = default;
  // One candidate for what follows each of the last n positions, as vectors (B, n, D) -> their states (B, n, D), whole on every
  // tensor rank. A candidate sees the tokens up to its position and itself. Twice differentiable by the candidates, and then by
  // the parameters, whose gradients are ordinary ones.
  virtual at::Tensor states(const at::Tensor& candidates) const = 0;
};

class Architecture : public torch::nn::Module {
 public:
  // Parameters may still be on their way when forward() begins. An architecture that waits for each of them before it reads it says
  // so; for the others everything is waited for first.
  void gather_parameters(ParameterGather* gather) { gather_ = gather; }
  virtual bool waits_for_parameters() const { return false; }
  // Whether gradients of what every tensor rank holds whole are parts of a sum over the axis (stream_layout.h).
  virtual bool splits_sequence() const { return false; }
  virtual Offers offers() const = 0;
  // On the host, ahead of the step: adds to a batch what the network reads of it beside an objective's fields. Pure, and safe from
  // any thread. For a batch without it forward() does the same, and waits for the device's tokens.
  virtual void complete(Batch& /*batch*/) const {}
  virtual Hidden forward(const Batch& batch) = 0;
  virtual int64_t hidden_size() const = 0;  // D
  // Over the vocabulary; and for objectives with networks of their own the token embedding without positions, ids (...) int32 ->
  // (..., D), whole on every tensor rank. Both throw Error(internal) where the network reads frames, which have no vocabulary.
  virtual Head& head();
  virtual at::Tensor embed(const at::Tensor& ids) const;
  // Reads a batch's tokens for objectives that judge candidates of what follows. `first`, a vector (D), stands before each row and
  // is seen by all; undefined = there is none. Throws Error(internal) where offers().candidates is false.
  virtual std::unique_ptr<CandidateStream> observe(const Batch& batch, const at::Tensor& first);
  // What `rows` rows of `length` cost this rank, whose activations have elements of that many bytes.
  virtual ModelWork work(int64_t rows, int64_t length, int64_t element_size) const = 0;
  // Model FLOPs of one training token in a row of `length`: forward and backward, attention's share included.
  double flops_per_token(int64_t length) const;
  // Of training on a device's rows; `documents`: batches have segments. Where blocks are fused it asks the device.
  virtual Backends backends(int64_t rows, int64_t length, bool documents) const;
  // Starts to continue `rows` prompts; throws where offers().generates is false.
  virtual std::unique_ptr<Generation> generate(int64_t rows);

 protected:
  void wait_for(const std::vector<at::Tensor>& parameters) const;
  void wait_for(const torch::nn::Module& part) const;

 private:
  ParameterGather* gather_ = nullptr;
};

}  // namespace lacuna
