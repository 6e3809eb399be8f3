#include "launch/frames.h"

#include <ATen/ops/tensor.h>

#include "data/error.h"
#include "data/open_corpus.h"
#include "launch/assemble.h"

namespace lacuna {
namespace {

std::string words(const FrameSpec& frames) {
  return std::to_string(frames.bins) + " bins of " + std::to_string(frames.channels) +
         (frames.channels == 1 ? " channel" : " channels");
}

}  // namespace

TensorSlice frames_slice(const FrameSpec& frames) {
  const auto value = at::tensor({frames.bins, frames.channels}, at::kLong);
  return {.name = std::string(kFramesName), .full_shape = value.sizes().vec(), .value = value};
}

FrameSpec frames_of(const at::Tensor& stored) {
  return {.bins = stored[0].item<int64_t>(), .channels = stored[1].item<int64_t>(), .labels = {}};
}

void check_frames(const std::vector<std::string>& corpora, const FrameSpec& frames, const std::string& origin) {
  for (const auto& path : corpora) {
    const auto own = corpus_spec(path).frames;
    if (own.bins == 0) throw data_error(path + " holds text, and " + origin + " frames; a run reads one of them");
    if (own.bins == frames.bins && own.channels == frames.channels) continue;
    throw data_error(path + " has frames of " + words(own) + ", those of " + origin + " have " + words(frames) +
                     "; prepare both with the same features");
  }
}

std::optional<PatchGrid> grid_of(const Experiment& e, const FrameSpec& frames) {
  const auto& architecture = find_architecture(e.architecture);
  const auto offers = architecture.offers(e.architecture, 1);
  const bool reads_frames = offers.modality == "frames";
  if (reads_frames != (frames.bins > 0)) {
    throw e.architecture.error("kind", std::string(find_objective(e.objective).name) + " does not fit " +
                                           std::string(architecture.name) + " here: the corpora hold " +
                                           (reads_frames ? "text, and the network reads frames"
                                                         : "frames, and the network reads text; use patch_encoder"));
  }
  if (!reads_frames) return std::nullopt;
  PatchGrid grid{.bins = frames.bins,
                 .frames = e.batch.sequence_length,
                 .channels = frames.channels,
                 .patch_bins = offers.patch_bins == 0 ? frames.bins : offers.patch_bins,
                 .patch_frames = offers.patch_frames};
  if (grid.bins % grid.patch_bins != 0) {
    throw e.architecture.error("patch_mels", std::to_string(grid.patch_bins) + " does not divide the " +
                                                 std::to_string(grid.bins) +
                                                 " bins of a frame; use a divisor, or 0 for all of them");
  }
  if (grid.frames % grid.patch_frames != 0) {
    throw e.architecture.error("patch_frames", std::to_string(grid.patch_frames) + " does not divide batch.sequence_length = " +
                                                   std::to_string(grid.frames) + ", the frames of a row; change one of them");
  }
  return grid;
}

}  // namespace lacuna
