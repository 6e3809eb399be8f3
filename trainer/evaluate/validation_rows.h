// Rows of the validation corpora, by number: the same whatever the layout.
#pragma once
#include <functional>

#include "data/sampler.h"
#include "trainer/evaluate/evaluation.h"

namespace lacuna {

class ValidationRows {
 public:
  explicit ValidationRows(const EvaluationContext& context);
  // Over the world; at most as many as there are.
  int64_t size() const { return size_; }
  // Sample::position is the row's number.
  Sample at(int64_t row) const;
  // Which of the corpora it is from.
  int64_t corpus(int64_t row) const { return sampler_.at(row).corpus; }

  // Calls `visit` with the samples of each micro-batch of this data rank; keeps the watchdog and the progress bar informed.
  void each(const std::string& label, const std::function<void(const std::vector<Sample>&)>& visit) const;

 private:
  const EvaluationContext& context_;
  int64_t size_ = 0;
  Sampler sampler_;
};

}  // namespace lacuna
