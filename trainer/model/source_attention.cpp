#include "trainer/model/source_attention.h"

#include <ATen/ops/stack.h>

#include "trainer/kernels/attention.h"
#include "trainer/parallel/communicator.h"

namespace lacuna {

SourceMass source_mass(std::string attention, const AttentionWatch& watch, Communicator& tensor_axis) {
  auto mass = at::stack(watch.masses).to(at::kFloat).mean(2) / tensor_axis.size();
  tensor_axis.all_reduce(mass, Reduce::sum);
  return {std::move(attention), std::move(mass)};
}

}  // namespace lacuna
