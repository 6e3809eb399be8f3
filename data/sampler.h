// Which sample each row of a run reads: a pure function of (seed, position), so that it depends neither on ranks nor on where
// a run was resumed, and costs the same at any position.
//
// A corpus is read epoch by epoch, each sample once an epoch in an order of that epoch's own. Several corpora are interleaved:
// every 65,536 positions hold each of them exactly in proportion to its weight (to one position), every 1,024 to within a few.
#pragma once
#include <cstdint>
#include <vector>

#include "data/random.h"

namespace lacuna {

struct SampledSource {
  int64_t size = 0;     // samples
  double weight = 1.0;  // share of the rows, relative to the other sources
};

struct SamplePlace {
  int64_t position = 0;  // Sample::position
  int64_t corpus = 0;
  int64_t sample = 0;
  int64_t epoch = 0;  // of that corpus, from 0
  bool operator==(const SamplePlace&) const = default;
};

class Sampler {
 public:
  // Throws Error(data) for no sources, an empty corpus, or a weight that is not above 0 or below 1/65,536 of all.
  Sampler(std::vector<SampledSource> sources, uint64_t seed);

  SamplePlace at(int64_t position) const;
  // The rows of step `step` (from 0) that data rank `data_rank` of `data_size` reads: [rank * global_size / data_size,
  // (rank + 1) * global_size / data_size) of the step's global batch.
  std::vector<SamplePlace> indices(int64_t step, int64_t global_size, int64_t data_rank, int64_t data_size) const;

 private:
  std::vector<SampledSource> sources_;
  std::vector<Random> orders_;    // one per source
  std::vector<int32_t> pattern_;  // the source of each position of a block; empty for a single source
  std::vector<int32_t> ranks_;    // how many positions before it in the block have the same source
  std::vector<int64_t> counts_;   // positions of each source in a block
};

// Where `index` goes in a random permutation of [0, size) that `order` stands for.
int64_t permuted(int64_t index, int64_t size, const Random& order);

}  // namespace lacuna
