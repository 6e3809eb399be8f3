#include "trainer/model/architecture.h"

#include "data/error.h"

namespace lacuna {

Head& Architecture::head() {
  throw Error(ExitCode::internal, "an objective asked for the head over the vocabulary of an architecture that has none");
}

at::Tensor Architecture::embed(const at::Tensor&) const {
  throw Error(ExitCode::internal, "an objective asked for the token embedding of an architecture that has none");
}

Backends Architecture::backends(int64_t, int64_t, bool) const { return {}; }

double Architecture::flops_per_token(int64_t length) const {
  const auto row = work(1, length, 2);
  return model_flops(row) * static_cast<double>(row.tensor_ranks) / static_cast<double>(length);
}

std::unique_ptr<Generation> Architecture::generate(int64_t) {
  throw usage_error("this architecture cannot continue a prompt; train one that generates, such as a causal decoder");
}

std::unique_ptr<CandidateStream> Architecture::observe(const Batch&, const at::Tensor&) {
  throw Error(ExitCode::internal, "an objective with candidates was given an architecture without a stream for them");
}

void Architecture::wait_for(const std::vector<at::Tensor>& parameters) const {
  if (gather_ == nullptr) return;
  for (const auto& parameter : parameters) gather_->wait(parameter);
}

void Architecture::wait_for(const torch::nn::Module& part) const {
  if (gather_ != nullptr) wait_for(part.parameters());  // which are found by walking a tree
}

}  // namespace lacuna
