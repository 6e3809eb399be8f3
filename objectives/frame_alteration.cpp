#include "objectives/frame_alteration.h"

#include <algorithm>

#include "objectives/corruption.h"

namespace lacuna {
namespace {

void alter_time(int64_t size, int64_t frames, const Alteration& a, std::vector<float>& row, std::vector<float>& predicted,
                const Random& random) {
  const int64_t starts = std::max<int64_t>(0, frames - a.time_width);
  const int64_t count =
      std::min(starts, round_half_even(static_cast<double>(frames) * a.time_ratio / static_cast<double>(a.time_width)));
  const double dice = random.fork("dice").uniform();
  Random places = random.fork("places");
  const auto original = row;
  const int64_t length = a.time_width * size;
  for (const int32_t start : choose(starts, count, random.fork("starts"))) {
    const auto first = row.begin() + start * size;
    if (dice < 0.8) {
      std::fill_n(first, length, 0.0f);
    } else if (dice < 0.9) {
      std::copy_n(original.begin() + places.below(starts) * size, length, first);
    }
    std::fill_n(predicted.begin() + start * size, length, 1.0f);
  }
}

void alter_frequency(const PatchGrid& grid, int64_t frames, double ratio, std::vector<float>& row, std::vector<float>& predicted,
                     Random random) {
  const int64_t width = random.below(static_cast<int64_t>(ratio * static_cast<double>(grid.bins)) + 1);
  if (width == 0) return;
  const int64_t first = width < grid.bins ? random.below(grid.bins - width) : 0;
  for (int64_t frame = 0; frame < frames; ++frame) {
    const int64_t place = (frame * grid.bins + first) * grid.channels;
    std::fill_n(row.begin() + place, width * grid.channels, 0.0f);
    std::fill_n(predicted.begin() + place, width * grid.channels, 1.0f);
  }
}

}  // namespace

std::vector<float> alter_frames(const PatchGrid& grid, int64_t frames, const Alteration& a, std::vector<float>& row,
                                const Random& random) {
  const int64_t size = grid.bins * grid.channels;
  std::vector<float> predicted(row.size());
  if (a.time_ratio > 0) alter_time(size, frames, a, row, predicted, random.fork("time"));
  if (a.frequency_ratio > 0) alter_frequency(grid, frames, a.frequency_ratio, row, predicted, random.fork("frequency"));
  if (a.time_ratio == 0 && a.frequency_ratio == 0) std::fill_n(predicted.begin(), frames * size, 1.0f);
  if (random.fork("magnitude").uniform() < a.noise_probability) {
    const auto noise = random.fork("noise");
    const auto deviation = static_cast<float>(a.noise_deviation);
    for (int64_t i = 0; i < frames * size; ++i) {
      row[static_cast<size_t>(i)] += deviation * noise.normal_block(static_cast<uint64_t>(i / 4))[static_cast<size_t>(i % 4)];
    }
  }
  return predicted;
}

}  // namespace lacuna
