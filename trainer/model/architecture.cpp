#include "trainer/model/architecture.h"

#include "data/error.h"

namespace lacuna {

Backends Architecture::backends(int64_t, int64_t, bool) const { return {}; }

std::unique_ptr<Generation> Architecture::generate(int64_t) {
  throw usage_error("this architecture cannot continue a prompt; train one that generates, such as a causal decoder");
}

void Architecture::wait_for(const std::vector<at::Tensor>& parameters) const {
  if (gather_ == nullptr) return;
  for (const auto& parameter : parameters) gather_->wait(parameter);
}

void Architecture::wait_for(const torch::nn::Module& part) const {
  if (gather_ != nullptr) wait_for(part.parameters());  // which are found by walking a tree
}

}  // namespace lacuna
