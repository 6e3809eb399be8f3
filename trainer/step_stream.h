// Everything of a step that is known before the network runs, made ahead of time by the prefetch thread.
#pragma once
#include <cstdint>
#include <memory>
#include <vector>

#include "data/corpus.h"
#include "data/prefetch.h"
#include "data/sampler.h"
#include "trainer/objective.h"

namespace lacuna {

struct StepInput {
  int64_t step = 0;
  std::vector<Batch> micro_batches;  // of this data rank
  double target_count = 0;           // summed over them
  int64_t rows = 0;
};

// How the rows of a step fall on data ranks and micro-batches.
struct RowLayout {
  int64_t global_size, micro_size;
  int data_rank, data_size;
};

// The rows of step `step` (from 1) that this data rank takes: a pure function of (seed, step) and the layout, so that resuming
// needs nothing but the step's number. Where an architecture is given, it completes them. Thread-safe.
class StepSource {
 public:
  StepSource(std::vector<std::shared_ptr<const Corpus>> corpora, std::vector<double> weights, const Objective& objective,
             std::string_view objective_name, uint64_t seed, RowLayout layout, const Architecture* architecture = nullptr);
  StepInput at(int64_t step) const;

 private:
  std::vector<std::shared_ptr<const Corpus>> corpora_;
  Sampler sampler_;
  const Objective& objective_;
  Random random_;
  RowLayout layout_;
  const Architecture* architecture_;
};

}  // namespace lacuna
