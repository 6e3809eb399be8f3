#include "data/features/mel_bank.h"

#include <cmath>
#include <string>

#include "data/error.h"

namespace lacuna {
namespace {

double mel(double hertz) { return 1127 * std::log(1 + hertz / 700); }
double hertz(double mel) { return 700 * (std::exp(mel / 1127) - 1); }

}  // namespace

MelBank::MelBank(const MelBankOptions& o) {
  if (o.filters < 1 || !(o.low >= 0) || !(o.high > o.low) || o.high > o.sample_rate / 2) {
    throw usage_error(std::to_string(o.filters) + " mel filters between " + std::to_string(o.low) + " and " +
                      std::to_string(o.high) + " Hz cannot be made of " + std::to_string(o.sample_rate) + " Hz.");
  }
  const double low = mel(o.low), step = (mel(o.high) - low) / static_cast<double>(o.filters + 1);
  const auto on_axis = [&](double m) { return o.slope == MelSlope::mel ? m : hertz(m); };
  const int64_t bins = o.length / 2 + (o.nyquist ? 1 : 0);
  for (int64_t f = 0; f < o.filters; ++f) {
    const auto point = [&](int64_t i) { return on_axis(low + step * static_cast<double>(f + i)); };
    const double left = point(0), centre = point(1), right = point(2);
    Filter filter;
    for (int64_t k = 0; k < bins; ++k) {
      const double frequency = static_cast<double>(k) * o.sample_rate / static_cast<double>(o.length);
      const double at = o.slope == MelSlope::mel ? mel(frequency) : frequency;
      const double weight = std::min((at - left) / (centre - left), (right - at) / (right - centre));
      if (!(weight > 0)) continue;
      if (filter.weights.empty()) filter.first = k;
      filter.weights.push_back(static_cast<float>(weight));
    }
    filters_.push_back(std::move(filter));
  }
}

std::vector<int64_t> MelBank::empty() const {
  std::vector<int64_t> numbers;
  for (size_t f = 0; f < filters_.size(); ++f) {
    if (filters_[f].weights.empty()) numbers.push_back(static_cast<int64_t>(f));
  }
  return numbers;
}

void MelBank::apply(const std::vector<Lanes>& power, std::vector<Lanes>& energies) const {
  energies.resize(filters_.size());
  for (size_t f = 0; f < filters_.size(); ++f) {
    const auto& filter = filters_[f];
    Lanes sum;
    for (size_t i = 0; i < filter.weights.size(); ++i) sum += power[static_cast<size_t>(filter.first) + i] * filter.weights[i];
    energies[f] = sum;
  }
}

}  // namespace lacuna
