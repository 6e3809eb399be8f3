// An axis whose ranks are not there, seen from its rank 0: for networks that are laid out and never run.
#pragma once
#include <string>
#include <utility>

#include "data/error.h"
#include "trainer/parallel/communicator.h"

namespace lacuna {

class PlannedCommunicator : public Communicator {
 public:
  PlannedCommunicator(std::string name, int size) : Communicator(std::move(name)), size_(size) {}
  int rank() const override { return 0; }
  int size() const override { return size_; }
  void all_reduce(at::Tensor&, Reduce) override { refuse(); }
  void all_gather(at::Tensor&, const at::Tensor&) override { refuse(); }
  void reduce_scatter(at::Tensor&, const at::Tensor&) override { refuse(); }
  std::unique_ptr<Work> start_all_reduce(at::Tensor&, Reduce) override { refuse(); }
  std::unique_ptr<Work> start_all_gather(at::Tensor&, const at::Tensor&) override { refuse(); }
  std::unique_ptr<Work> start_reduce_scatter(at::Tensor&, const at::Tensor&) override { refuse(); }
  void broadcast(at::Tensor&, int) override { refuse(); }
  void barrier() override { refuse(); }

 private:
  [[noreturn]] void refuse() const {
    throw Error(ExitCode::internal, "a collective on the " + name() + " axis of a job that is only planned");
  }

  int size_;
};

}  // namespace lacuna
