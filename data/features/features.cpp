#include "data/features/features.h"

#include <cmath>
#include <nlohmann/json.hpp>
#include <numbers>

#include "data/error.h"
#include "data/features/kaldi_fbank.h"
#include "data/features/tera_mel.h"

namespace lacuna {

std::unique_ptr<const Features> make_features(const FeatureOptions& options, int64_t sample_rate) {
  if (!(options.frame_ms > 0 && options.frame_ms <= 1000 && options.hop_ms > 0 && options.hop_ms <= 1000)) {
    throw usage_error("A frame and the hop to the next one take more than 0 and at most 1000 ms.");
  }
  if (options.mel_bins < 1 || options.mel_bins > 4096) throw usage_error("Features have 1 to 4096 mel bins.");
  if (options.kind == FeatureKind::mel) return std::make_unique<TeraMel>(options, sample_rate);
  return std::make_unique<KaldiFbank>(options, sample_rate);
}

std::string describe_features(const FeatureOptions& o, int64_t sample_rate) {
  nlohmann::ordered_json json{{"kind", names_of(o.kind)[static_cast<size_t>(o.kind)]},
                              {"sample_rate", sample_rate},
                              {"mel_bins", o.mel_bins},
                              {"frame_ms", o.frame_ms},
                              {"hop_ms", o.hop_ms}};
  if (o.kind == FeatureKind::kaldi_fbank) {
    json["window"] = names_of(o.window)[static_cast<size_t>(o.window)];
    json["preemphasis"] = o.preemphasis;
    json["snip_edges"] = o.snip_edges;
  }
  return json.dump();
}

double window_value(FrameWindow window, int64_t i, int64_t size) {
  if (size == 1) return 1;
  const double cosine = std::cos(2 * std::numbers::pi * static_cast<double>(i) / static_cast<double>(size - 1));
  if (window == FrameWindow::hamming) return 0.54 - 0.46 * cosine;
  const double hanning = 0.5 - 0.5 * cosine;
  return window == FrameWindow::povey ? std::pow(hanning, 0.85) : hanning;
}

}  // namespace lacuna
