// The axis of one rank: every collective is done as soon as it is called. Takes tensors of any device and type.
#pragma once
#include <memory>
#include <string>

#include "trainer/parallel/communicator.h"

namespace lacuna {

class SelfCommunicator : public Communicator {
 public:
  explicit SelfCommunicator(std::string name) : Communicator(std::move(name)) {}
  int rank() const override { return 0; }
  int size() const override { return 1; }
  void all_reduce(at::Tensor&, Reduce) override {}
  void all_gather(at::Tensor& output, const at::Tensor& input) override;
  void reduce_scatter(at::Tensor& output, const at::Tensor& input) override;
  std::unique_ptr<Work> start_all_reduce(at::Tensor& values, Reduce reduce) override;
  std::unique_ptr<Work> start_all_gather(at::Tensor& output, const at::Tensor& input) override;
  std::unique_ptr<Work> start_reduce_scatter(at::Tensor& output, const at::Tensor& input) override;
  void broadcast(at::Tensor&, int) override {}
  void barrier() override {}
};

}  // namespace lacuna
