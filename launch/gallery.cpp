#include "launch/gallery.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/where.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "data/open_corpus.h"
#include "launch/assemble.h"
#include "launch/mixture.h"
#include "trainer/model/painting.h"
#include "trainer/evaluate/validation_rows.h"
#include "trainer/report/chart.h"
#include "trainer/report/png.h"
#include "trainer/report/run_folder.h"

namespace lacuna {
namespace {

constexpr int64_t kRows = 12;

constexpr const char* kStyle = R"css(
:root { color-scheme: light dark; --back: #fff; --text: #1c2024; --soft: #5f6b76; --rule: #d9dee3; }
@media (prefers-color-scheme: dark) { :root { --back: #15181c; --text: #e6e9ec; --soft: #9aa5b0; --rule: #343b43; } }
body { margin: 0 auto; max-width: 1100px; padding: 16px; background: var(--back); color: var(--text);
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; }
h1 { font-size: 1.5rem; line-height: 1.25; margin: 8px 0; } p { max-width: 75ch; } .soft, figcaption { color: var(--soft); font-size: .875rem; }
.row { display: grid; grid-template-columns: repeat(3, minmax(0, 1fr)); gap: 12px; border-top: 1px solid var(--rule); padding: 10px 0; }
.row h2 { grid-column: 1 / -1; font-size: 1rem; margin: 0; } figure { margin: 0; min-width: 0; }
img { width: 100%; max-height: 320px; object-fit: fill; image-rendering: pixelated; display: block; }
)css";

// Dark blue over green to yellow, even in lightness (as viridis is), at x in 0..1.
std::array<double, 3> colour(double x) {
  constexpr std::array<std::array<double, 3>, 5> kStops{
      {{68, 1, 84}, {59, 82, 139}, {33, 145, 140}, {94, 201, 98}, {253, 231, 37}}};
  const double place = std::clamp(x, 0.0, 1.0) * 4;
  const auto left = static_cast<size_t>(std::min(3.0, place));
  std::array<double, 3> mixed{};
  for (size_t i = 0; i < 3; ++i)
    mixed[i] = kStops[left][i] + (place - static_cast<double>(left)) * (kStops[left + 1][i] - kStops[left][i]);
  return mixed;
}

// Of patches (T, P), with the mean of a place's channels; `hidden` (T, P) grey, frames from `frames` on left out. Pictures have
// line 0 on top, spectrograms the lowest bin below.
std::string picture(const PatchGrid& grid, const at::Tensor& patches, const at::Tensor& hidden, int64_t frames, double range,
                    bool sound) {
  const auto in_rows = [&](const at::Tensor& x) {  // (bins, frames)
    return x.to(at::kFloat)
        .view({grid.rows(), grid.columns(), grid.patch_bins, grid.patch_frames, grid.channels})
        .mean(-1)
        .permute({0, 2, 1, 3})
        .reshape({grid.bins, grid.frames})
        .narrow(1, 0, frames)
        .contiguous();
  };
  const auto values = in_rows(patches), covered = in_rows(hidden);
  const auto *value = values.const_data_ptr<float>(), *cover = covered.const_data_ptr<float>();
  std::vector<uint8_t> pixels;
  for (int64_t line = 0; line < grid.bins; ++line) {
    const int64_t bin = sound ? grid.bins - 1 - line : line;
    for (int64_t frame = 0; frame < frames; ++frame) {
      const int64_t at = bin * frames + frame;
      const auto seen = colour(0.5 + static_cast<double>(value[at]) / (2 * range));
      for (const double part : seen) pixels.push_back(cover[at] > 0.5F ? 150 : static_cast<uint8_t>(std::lround(part)));
    }
  }
  return "<img alt=\"\" src=\"" + data_uri(png_file(frames, grid.bins, pixels)) + "\">";
}

std::string figure(const std::string& image, const std::string& caption) {
  return "<figure>" + image + "<figcaption>" + caption + "</figcaption></figure>\n";
}

std::string labels_of(const Sample& sample, const std::vector<Label>& labels) {
  std::string words;
  for (size_t i = 0; i < labels.size() && i < sample.labels.size(); ++i) {
    if (sample.labels[i] < 0) continue;
    words += (words.empty() ? "" : " \u00b7 ") + labels[i].name + " " + labels[i].classes[static_cast<size_t>(sample.labels[i])];
  }
  return words;
}

}  // namespace

std::filesystem::path write_gallery(const std::string& run, const std::vector<std::string>& sets) {
  const auto mesh = make_self_mesh();
  const auto restored = restore_network(run, sets, *mesh, at::kCPU);
  auto* painting = dynamic_cast<Painting*>(restored.objective.get());
  if (painting == nullptr) {
    throw usage_error("a gallery shows what a network paints, and " +
                      std::string(find_objective(restored.experiment.objective).name) +
                      " paints nothing; masked_spectrogram does");
  }
  const auto& e = restored.experiment;
  auto paths = e.data.validation.paths;
  if (paths.empty()) {
    for (const auto& part : e.data.train) paths.push_back(part.path);
  }
  for (const auto& path : paths) probe_corpus(path);
  check_samples(paths, restored.samples, run);
  const auto corpora = open_corpora(paths, *restored.objective);
  const EvaluationContext context{.objective = *restored.objective,
                                  .architecture = *restored.network->architecture,
                                  .mesh = *mesh,
                                  .corpora = corpora,
                                  .rows = kRows,
                                  .micro_size = kRows,
                                  .seed = static_cast<uint64_t>(e.run.seed),
                                  .grid = grid_of(e, restored.samples.frames)};
  const auto& grid = *context.grid;
  const auto& frames = corpora.front()->spec().frames;
  const bool sound = frames.sample_rate > 0;
  const double range = 2.5 * restored.objective->frame_scale();
  std::string rows;
  const at::NoGradGuard no_grad;
  const ValidationRows chosen(context);
  chosen.each("gallery", [&](const std::vector<Sample>& samples) {
    const auto batch = restored.objective->prepare_clean(samples, Random(context.seed, 0).fork("validation"));
    const auto painted = painting->paint(*restored.network->architecture, batch);
    const int64_t copies = painting->rows_of_a_sample();
    for (size_t i = 0; i < samples.size(); ++i) {
      const int64_t row = copies * static_cast<int64_t>(i) + copies - 1;
      const auto clean = batch.value_targets[row];
      const auto hidden =
          batch.masked.defined() ? batch.masked[row].unsqueeze(1).expand_as(clean) : batch.value_weights[row].gt(0);
      const auto made = at::where(hidden, painted[row], clean);
      const auto there =
          std::max<int64_t>(1, std::min(grid.frames, static_cast<int64_t>(samples[i].frames.size()) / frames.frame_size()));
      const auto none = hidden.logical_and(hidden.logical_not());
      rows += "<div class=\"row\"><h2>" + xml_escape(labels_of(samples[i], frames.labels)) + "</h2>\n" +
              figure(picture(grid, clean, none, there, range, sound), "whole") +
              figure(picture(grid, batch.values[row], hidden, there, range, sound), "shown to the network; hidden is grey") +
              figure(picture(grid, made, none, there, range, sound), "hidden parts as the network paints them") + "</div>\n";
    }
  });
  const auto title = xml_escape(e.run.name) + ", step " + std::to_string(restored.step);
  // A checkpoint's folder is run/checkpoints/step.
  const auto given = std::filesystem::absolute(std::filesystem::path(run) / "").parent_path();
  const auto out = (std::filesystem::exists(given / "checkpoints") ? given : given.parent_path().parent_path()) / "gallery.html";
  replace_file(out,
               "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" "
               "content=\"width=device-width\">\n<title>" +
                   title + "</title><style>" + kStyle + "</style></head><body>\n<h1>" + title + "</h1>\n<p>" +
                   std::to_string(chosen.size()) + " rows of " + xml_escape(paths.front()) +
                   (paths.size() > 1 ? " and others" : "") + ". " +
                   (sound ? "Time runs to the right, low frequencies are below." : "Of the channels the mean is shown.") +
                   " Colours run over 2.5 deviations to both sides of the mean.</p>\n" + rows + "</body></html>\n");
  return out;
}

}  // namespace lacuna
