// What an encoder-decoder costs, without running it.
#include "trainer/kernels/linear_cross_entropy.h"
#include "trainer/model/encoder_decoder.h"

namespace lacuna {
namespace {

// The last of coordinated layers makes nothing that the decoder reads, and runs for a loss on the source alone.
double encoder_layers_run(const EncoderDecoderOptions& o) {
  return static_cast<double>(o.encoder_layers - (o.coordinated_layers ? 1 : 0));
}

}  // namespace

ModelWork EncoderDecoder::work(int64_t rows, int64_t length, int64_t element_size) const {
  const auto& o = options_;
  const int64_t ranks = mesh_.tensor().size(), head_size = o.hidden_size / o.num_heads, tokens = rows * length;
  const int64_t d = o.hidden_size, kv = o.num_kv_heads * head_size, f = o.feed_forward_size,
                gates = is_gated(o.activation) ? 2 : 1;
  const double encoder = encoder_layers_run(o), decoder = static_cast<double>(o.decoder_layers);
  const double cross = o.joint_softmax ? 0 : decoder;
  const auto n = static_cast<double>(tokens), e = static_cast<double>(element_size);
  ModelWork work{.tensor_ranks = ranks};
  const auto linear = [&](int64_t in, int64_t out, double count) {
    work.linears.push_back({.rows = tokens, .in = in, .out = out, .count = count});
  };
  const auto attention = [&](double visible, double count) {
    work.attention.push_back({.rows = rows,
                              .length = length,
                              .num_heads = o.num_heads / ranks,
                              .num_kv_heads = o.num_kv_heads / ranks,
                              .head_size = head_size,
                              .visible = visible,
                              .count = count});
  };
  linear(d, (d + 2 * kv) / ranks, encoder + decoder);
  linear(d / ranks, d, encoder + decoder + cross);
  linear(d, d / ranks, cross);
  linear(d, 2 * kv / ranks, decoder);  // of the source
  linear(d, gates * f / ranks, encoder + decoder);
  linear(f / ranks, d, encoder + decoder);
  linear(d, padded_vocabulary(vocabulary_size_) / ranks, 1);
  attention(o.causal_encoder ? 0.5 : 1.0, encoder);
  attention(1.0, decoder);  // to the source
  attention(0.5, decoder);

  // Elements of a token that each layer keeps: its branches' inputs and norms, heads, and what surrounds the activation.
  const double wide = static_cast<double>(d), shared = 1.0 / static_cast<double>(ranks);
  const double inner = shared * static_cast<double>((2 * gates) * f), branch = wide * (o.norm == NormKind::rms_norm ? 3 : 2);
  const double scores = o.position == PositionKind::relative ? shared * static_cast<double>(o.num_heads * length) : 0;
  const double masks = o.dropout > 0 ? wide : 0;
  const double kept = encoder * (2 * (branch + masks) + shared * 4 * wide + inner + scores) +
                      decoder * (2 * (branch + masks) + shared * 4 * wide + inner + scores) +
                      cross * (branch + masks + shared * 4 * wide) + (decoder - cross) * shared * 4 * wide;
  work.kept_bytes = e * n * (kept + 8 * wide);
  work.transient_bytes = e * n * (inner + 3 * wide + 2 * scores);
  work.passes.push_back({"norms, activations and sums", 4 * e * n * kept});
  work.launches = 60 * (encoder + 1.5 * decoder);
  if (ranks > 1) {
    const double sums = 4 * encoder + 4 * decoder + 2 * cross + 2;
    work.tensor_bytes = sums * e * n * wide;
    work.tensor_messages = sums;
  }
  return work;
}

double EncoderDecoder::flops_of_layer() const {
  const auto& o = options_;
  const auto d = static_cast<double>(o.hidden_size);
  const double kv = d * static_cast<double>(o.num_kv_heads) / static_cast<double>(o.num_heads);
  return d * (2 * d + 2 * kv) + (is_gated(o.activation) ? 3 : 2) * d * static_cast<double>(o.feed_forward_size);
}

double EncoderDecoder::flops_of_row(int64_t source, int64_t target) const {
  const auto& o = options_;
  const auto d = static_cast<double>(o.hidden_size), s = static_cast<double>(source), t = static_cast<double>(target);
  const double kv = d * static_cast<double>(o.num_kv_heads) / static_cast<double>(o.num_heads);
  const double cross = (o.joint_softmax ? 0 : t * 2 * d * d) + s * d * 2 * kv;  // keys and values are those of the source
  const double head = d * static_cast<double>(padded_vocabulary(vocabulary_size_));
  const double encoder = encoder_layers_run(o), decoder = static_cast<double>(o.decoder_layers);
  const double products = s * encoder * flops_of_layer() + decoder * (t * flops_of_layer() + cross) + t * head;
  // Of queries and the keys that they see.
  const double pairs = encoder * s * s * (o.causal_encoder ? 0.5 : 1.0) + decoder * (t * s + 0.5 * t * t);
  return 6 * products + 12 * pairs * d;
}

double EncoderDecoder::flops_of_source_loss(int64_t source) const {
  const auto d = static_cast<double>(options_.hidden_size), s = static_cast<double>(source);
  const double layers = static_cast<double>(options_.encoder_layers) - encoder_layers_run(options_);
  const double head = d * static_cast<double>(padded_vocabulary(vocabulary_size_));
  return 6 * s * (layers * flops_of_layer() + head) + 12 * layers * d * s * s * (options_.causal_encoder ? 0.5 : 1.0);
}

}  // namespace lacuna
