// The trunk of an energy-based transformer (EBT; Gladstone et al. 2025, "Energy-Based Transformers are Scalable Learners and
// Thinkers", section 3 and its released code): a causal decoder of the Llama shape (RMS norm, SwiGLU, rotary positions, no bias)
// whose blocks read a second stream beside the tokens. Candidate c_s proposes what follows token s. It has the position of the
// token that it proposes, passes through the same weights, and sees the tokens up to s and itself; no token sees a candidate.
//
// Without candidates it is that decoder and nothing more, on all of its paths: the Transformer++ baseline of the same trunk. The
// head's table is a second one beside the embedding: rows of it, mixed, are candidates (Head::mixtures).
//
// Deviations from the release: since tokens see no candidate, they are read once for all candidates that are judged, and by
// ordinary attention without a second derivative. Initial values are the decoder's.
#pragma once
#include "trainer/model/decoder.h"
#include "trainer/model/two_streams.h"

namespace lacuna {

struct EnergyDecoderOptions {
  int64_t num_layers = 4;
  int64_t hidden_size = 128;
  int64_t num_heads = 4;
  int64_t feed_forward_size = 0;
  double norm_epsilon = 1e-6;
  double rotary_base = 10000.0;
};
template <class Visitor>
void describe(Visitor& visit, EnergyDecoderOptions& o) {
  describe_block(visit, o,
                 {.feed_forward_size = "inner width of the feed-forward half; 0 = hidden_size, as in the paper",
                  .norm_epsilon = "added to the mean square; candidates start small"});
}

class EnergyDecoder : public Decoder {
 public:
  using Options = EnergyDecoderOptions;
  // Throws usage errors at the keys that do not go together, or not with the tensor axis.
  static void check(const Options& options, const Section& section, int64_t tensor_size);
  static Offers offers(const Options&) { return {.visibility = Visibility::causal, .candidates = true, .generates = true}; }

  EnergyDecoder(const Options& options, const ModelContext& context);
  Offers offers() const override { return offers(Options{}); }
  // Throws a usage error for parallel.recompute in training: slopes are differentiated again.
  std::unique_ptr<CandidateStream> observe(const Batch& batch, const at::Tensor& first) override;
};

}  // namespace lacuna
