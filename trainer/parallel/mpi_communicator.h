// One axis over MPI, for host tensors. Reductions take float32, float64, int32, int64, uint8, and bool (min and max only);
// all_gather and broadcast move any type. Messages of more elements than an MPI count holds are sent in parts. For one layout of
// ranks the order of additions is fixed, so that results repeat bit for bit: Open MPI chooses its algorithm by size alone.
// MPI's own errors become Error(communication).
#pragma once
#include <mpi.h>

#include <climits>
#include <memory>
#include <string>

#include "trainer/parallel/communicator.h"
#include "trainer/parallel/flight_recorder.h"

namespace lacuna {

class MpiCommunicator : public Communicator {
 public:
  // Takes `comm` and frees it. `max_count` is the most elements of one MPI call; tests make it small.
  MpiCommunicator(MPI_Comm comm, std::string name, std::shared_ptr<FlightRecorder> recorder = nullptr,
                  int64_t max_count = INT_MAX);
  ~MpiCommunicator() override;
  MpiCommunicator(const MpiCommunicator&) = delete;
  MpiCommunicator& operator=(const MpiCommunicator&) = delete;

  int rank() const override { return rank_; }
  int size() const override { return size_; }
  void all_reduce(at::Tensor& values, Reduce reduce) override;
  void all_gather(at::Tensor& output, const at::Tensor& input) override;
  void reduce_scatter(at::Tensor& output, const at::Tensor& input) override;
  std::unique_ptr<Work> start_all_reduce(at::Tensor& values, Reduce reduce) override;
  std::unique_ptr<Work> start_all_gather(at::Tensor& output, const at::Tensor& input) override;
  std::unique_ptr<Work> start_reduce_scatter(at::Tensor& output, const at::Tensor& input) override;
  void broadcast(at::Tensor& values, int root) override;
  void barrier() override;

 private:
  FlightEntry record(const char* collective, const at::Tensor& input) const;
  void check_gather(const at::Tensor& output, const at::Tensor& input, const char* collective) const;
  MPI_Datatype check_scatter(const at::Tensor& output, const at::Tensor& input, const char* collective) const;

  MPI_Comm comm_;
  std::shared_ptr<FlightRecorder> recorder_;
  int64_t max_count_;
  int rank_ = 0, size_ = 1;
};

}  // namespace lacuna
