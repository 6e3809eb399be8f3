// Model FLOPs of an encoder-decoder by the lengths of its sides.
#include "trainer/kernels/linear_cross_entropy.h"
#include "trainer/model/encoder_decoder.h"

namespace lacuna {

double EncoderDecoder::flops_of_row(int64_t source, int64_t target) const {
  const auto& o = options_;
  const auto d = static_cast<double>(o.hidden_size), s = static_cast<double>(source), t = static_cast<double>(target);
  const double kv = d * static_cast<double>(o.num_kv_heads) / static_cast<double>(o.num_heads);
  const double feed_forward = (is_gated(o.activation) ? 3 : 2) * d * static_cast<double>(o.feed_forward_size);
  const double self = d * (d + 2 * kv) + d * d;
  const double cross = t * 2 * d * d + s * d * 2 * kv;  // keys and values are those of the source
  const double head = d * static_cast<double>(padded_vocabulary(vocabulary_size_));
  const auto encoder = static_cast<double>(o.encoder_layers), decoder = static_cast<double>(o.decoder_layers);
  const double products = s * encoder * (self + feed_forward) + decoder * (t * (self + feed_forward) + cross) + t * head;
  const double pairs = encoder * s * s + decoder * (t * s + 0.5 * t * t);  // of queries and the keys that they see
  return 6 * products + 12 * pairs * d;
}

}  // namespace lacuna
