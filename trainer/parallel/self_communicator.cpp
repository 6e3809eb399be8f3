#include "trainer/parallel/self_communicator.h"

namespace lacuna {
namespace {

class DoneWork : public Work {
 public:
  bool test() override { return true; }
  void wait() override {}
};

}  // namespace

void SelfCommunicator::all_gather(at::Tensor& output, const at::Tensor& input) {
  if (output.const_data_ptr() != input.const_data_ptr()) output.view({-1}).copy_(input.view({-1}));
}

void SelfCommunicator::reduce_scatter(at::Tensor& output, const at::Tensor& input) { all_gather(output, input); }

std::unique_ptr<Work> SelfCommunicator::start_all_reduce(at::Tensor&, Reduce) { return std::make_unique<DoneWork>(); }

std::unique_ptr<Work> SelfCommunicator::start_all_gather(at::Tensor& output, const at::Tensor& input) {
  all_gather(output, input);
  return std::make_unique<DoneWork>();
}

std::unique_ptr<Work> SelfCommunicator::start_reduce_scatter(at::Tensor& output, const at::Tensor& input) {
  return start_all_gather(output, input);
}

}  // namespace lacuna
