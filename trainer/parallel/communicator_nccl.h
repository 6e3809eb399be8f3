// One axis over NCCL, for the tensors of one device, and over MPI, for host tensors. Only in builds with CUDA.
//
// Every device collective runs on a stream of this communicator's own, of high priority, so that they keep their order: it first
// waits for what the current stream had been given before the call; a plain collective then makes the current stream wait for it,
// a started one does so in Work::wait(). The host waits for nothing. All of it may be captured in a CUDA graph; a Work is then
// waited for inside the capture that started it. Reductions take float32, float64, bfloat16, float16, int32, int64, uint8, and
// bool (min and max only); all_gather and broadcast move any type.
//
// A lost rank shows in failure(), not in the collective: the host has long gone on when its message fails.
#pragma once
#include <c10/cuda/CUDAEvent.h>
#include <c10/cuda/CUDAStream.h>
#include <nccl.h>

#include <chrono>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "trainer/parallel/communicator.h"
#include "trainer/parallel/flight_recorder.h"
#include "trainer/parallel/mpi_communicator.h"
#include "trainer/parallel/self_communicator.h"

namespace lacuna {

class NcclCommunicator : public Communicator {
 public:
  // Takes `comm`, whose ranks these are, and frees it. Nothing is sent before connect().
  NcclCommunicator(MPI_Comm comm, std::string name, at::Device device, std::shared_ptr<FlightRecorder> recorder = nullptr);
  // Leaves together with the other ranks; while an exception unwinds, or after a failure, without them. Graphs that captured its
  // collectives must be gone: NCCL waits for them.
  ~NcclCommunicator() override;
  NcclCommunicator(const NcclCommunicator&) = delete;
  NcclCommunicator& operator=(const NcclCommunicator&) = delete;

  // Brings the ranks together and sends a first message; once, on every rank. The first device tensor does it otherwise. Throws
  // Error(communication) if that takes longer than `limit`.
  void connect(std::chrono::seconds limit = std::chrono::seconds(120));

  int rank() const override { return host_.rank(); }
  int size() const override { return host_.size(); }
  void all_reduce(at::Tensor& values, Reduce reduce) override;
  void all_gather(at::Tensor& output, const at::Tensor& input) override;
  void reduce_scatter(at::Tensor& output, const at::Tensor& input) override;
  std::unique_ptr<Work> start_all_reduce(at::Tensor& values, Reduce reduce) override;
  std::unique_ptr<Work> start_all_gather(at::Tensor& output, const at::Tensor& input) override;
  std::unique_ptr<Work> start_reduce_scatter(at::Tensor& output, const at::Tensor& input) override;
  void broadcast(at::Tensor& values, int root) override;
  void barrier() override { host_.barrier(); }

  std::optional<std::string> failure() override;
  void abort() noexcept override;

 private:
  using Event = std::shared_ptr<c10::cuda::CUDAEvent>;
  using Call = std::function<ncclResult_t(ncclComm_t comm, cudaStream_t stream)>;
  struct Launched {
    Event done;  // on this communicator's stream, behind the collective
    bool captured = false;
  };
  struct Recorded {
    int64_t number;  // in the recorder
    Event done;
  };

  // Who else takes the tensors: the host's communicator, or the one of an axis of one rank; null if it is NCCL.
  Communicator* elsewhere(const at::Tensor& values, const char* collective);
  Communicator* elsewhere(const at::Tensor& output, const at::Tensor& input, const char* collective);
  Launched launch(const char* collective, const at::Tensor& input, const Call& call);
  void run(const char* collective, const at::Tensor& input, const Call& call);
  std::unique_ptr<Work> start(const char* collective, std::vector<at::Tensor> tensors, const Call& call);
  void retire();  // what has passed, to the recorder
  std::string describe(ncclResult_t result) const;
  [[noreturn]] void fail(ncclResult_t result);

  MpiCommunicator host_;
  SelfCommunicator alone_;
  const at::Device device_;
  const c10::cuda::CUDAStream stream_;
  const std::shared_ptr<FlightRecorder> recorder_;
  c10::cuda::CUDAEvent before_;  // on the caller's stream, ahead of the collective

  std::mutex mutex_;  // of all below: the watchdog's thread calls failure()
  ncclComm_t comm_ = nullptr;
  std::deque<Recorded> recorded_;          // not yet known to be done
  const char* last_collective_ = nullptr;  // for messages
  int64_t last_bytes_ = 0;
  std::optional<std::string> failure_;
};

}  // namespace lacuna
