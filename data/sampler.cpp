#include "data/sampler.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <string>

#include "data/error.h"

namespace lacuna {
namespace {

constexpr int64_t kBlock = 65536;  // positions after which the mixture's proportions are exact
constexpr int64_t kRun = 1024;     // positions that are shuffled among each other
constexpr uint64_t kRounds = 6;

// Whole positions of a block for each source, by largest remainder.
std::vector<int64_t> apportion(const std::vector<SampledSource>& sources) {
  double total = 0;
  for (const SampledSource& source : sources) total += source.weight;
  std::vector<int64_t> counts;
  std::vector<double> remainders;
  for (const SampledSource& source : sources) {
    const double share = source.weight / total * kBlock;
    counts.push_back(static_cast<int64_t>(share));
    remainders.push_back(share - std::floor(share));
  }
  for (int64_t left = kBlock - std::accumulate(counts.begin(), counts.end(), int64_t{0}); left > 0; --left) {
    const auto most = std::max_element(remainders.begin(), remainders.end()) - remainders.begin();
    ++counts[static_cast<size_t>(most)];
    remainders[static_cast<size_t>(most)] = -1;
  }
  return counts;
}

// Smooth weighted round-robin: at each position the source that is furthest behind its share, so that every stretch is close
// to the proportions; then a shuffle within runs, so that the order of corpora is no pattern that a model could learn.
std::vector<int32_t> interleave(const std::vector<int64_t>& counts, Random random) {
  std::vector<int32_t> pattern;
  std::vector<int64_t> credit(counts.size());
  for (int64_t p = 0; p < kBlock; ++p) {
    for (size_t c = 0; c < counts.size(); ++c) credit[c] += counts[c];
    const auto best = std::max_element(credit.begin(), credit.end()) - credit.begin();
    credit[static_cast<size_t>(best)] -= kBlock;
    pattern.push_back(static_cast<int32_t>(best));
  }
  for (int64_t run = 0; run < kBlock; run += kRun) {
    for (int64_t i = kRun - 1; i > 0; --i) {
      std::swap(pattern[static_cast<size_t>(run + i)], pattern[static_cast<size_t>(run + random.below(i + 1))]);
    }
  }
  return pattern;
}

}  // namespace

// A Feistel network over pairs (low, high) with low < width and high < height, where width * height is the least such product
// that is not below size; what lands outside [0, size) walks on along its cycle until it is inside (Black and Rogaway, 2002).
int64_t permuted(int64_t index, int64_t size, const Random& order) {
  auto width = static_cast<int64_t>(std::sqrt(static_cast<double>(size)));
  while (width * width < size) ++width;
  const int64_t height = (size + width - 1) / width;
  do {
    int64_t low = index % width, high = index / width;
    for (uint64_t round = 0; round < kRounds; round += 2) {
      const auto draw = [&](uint64_t number, int64_t other) {
        const auto bits = order.block(number << 56 | static_cast<uint64_t>(other));
        return static_cast<int64_t>((uint64_t{bits[1]} << 32 | bits[0]) >> 1);
      };
      low = (low + draw(round, high) % width) % width;
      high = (high + draw(round + 1, low) % height) % height;
    }
    index = high * width + low;
  } while (index >= size);
  return index;
}

Sampler::Sampler(std::vector<SampledSource> sources, uint64_t seed) : sources_(std::move(sources)) {
  if (sources_.empty()) throw data_error("There is no corpus to read from: [data] train names none.");
  const Random random = Random(seed, 0).fork("sampler");
  for (size_t i = 0; i < sources_.size(); ++i) {
    const std::string which = "Corpus " + std::to_string(i) + " of the mixture (counted from 0) ";
    if (sources_[i].size < 1) {
      throw data_error(which + "has not one full row. Use a shorter sequence_length or a longer corpus.");
    }
    if (!(sources_[i].weight > 0) || !std::isfinite(sources_[i].weight)) {
      throw data_error(which + "has the weight " + std::to_string(sources_[i].weight) +
                       ". Weights are above 0; leave the corpus out instead.");
    }
    orders_.push_back(random.fork(i));
  }
  counts_ = apportion(sources_);
  if (const auto none = std::find(counts_.begin(), counts_.end(), 0); none != counts_.end()) {
    throw data_error("Corpus " + std::to_string(none - counts_.begin()) +
                     " of the mixture (counted from 0) has less than 1/65536 of all weights. Raise its weight or leave it out.");
  }
  if (sources_.size() == 1) return;
  pattern_ = interleave(counts_, random.fork("mixture"));
  std::vector<int32_t> seen(sources_.size());
  for (const int32_t source : pattern_) ranks_.push_back(seen[static_cast<size_t>(source)]++);
}

SamplePlace Sampler::at(int64_t position) const {
  int64_t corpus = 0, ordinal = position;  // the ordinal-th draw from that corpus
  if (!pattern_.empty()) {
    const auto inside = static_cast<size_t>(position % kBlock);
    corpus = pattern_[inside];
    ordinal = position / kBlock * counts_[static_cast<size_t>(corpus)] + ranks_[inside];
  }
  const auto source = static_cast<size_t>(corpus);
  const int64_t size = sources_[source].size, epoch = ordinal / size;
  return {position, corpus, permuted(ordinal % size, size, orders_[source].fork(static_cast<uint64_t>(epoch))), epoch};
}

std::vector<SamplePlace> Sampler::indices(int64_t step, int64_t global_size, int64_t data_rank, int64_t data_size) const {
  std::vector<SamplePlace> places;
  for (int64_t row = data_rank * global_size / data_size; row < (data_rank + 1) * global_size / data_size; ++row) {
    places.push_back(at(step * global_size + row));
  }
  return places;
}

}  // namespace lacuna
