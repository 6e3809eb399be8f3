#include "trainer/parallel/connection_nccl.h"

#include <ATen/ops/zeros.h>
#include <c10/cuda/CUDAGuard.h>

#include <cstring>
#include <future>
#include <memory>
#include <thread>

#include "data/error.h"

namespace lacuna {
namespace {

constexpr std::chrono::seconds kMostForAbort{5};

Error refusal(Communicator& host, const std::string& why) {
  return {ExitCode::communication, "NCCL cannot connect rank " + std::to_string(host.rank()) + " with the " +
                                       std::to_string(host.size()) + " ranks of the " + host.name() + " axis: " + why};
}

// Connecting, in a thread that may be left behind. A communicator made with NCCL's own non-blocking mode would also return in
// time, but starts a thread for each of its collectives for the rest of its life.
struct Attempt {
  ncclUniqueId id;
  int rank, size;
  at::Device device;
  cudaStream_t stream;
  ncclComm_t comm = nullptr;
  std::string error;
  std::promise<ncclResult_t> result;

  ncclResult_t run() {
    const c10::cuda::CUDAGuard guard(device);
    ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
    config.blocking = 1;
    const ncclResult_t made = ncclCommInitRankConfig(&comm, size, id, rank, &config);
    const ncclResult_t sent = made == ncclSuccess ? first_message() : made;
    if (sent != ncclSuccess) error = ncclGetLastError(comm);
    return sent;
  }

  // NCCL opens most of its connections with the first collective.
  ncclResult_t first_message() {
    void* value = nullptr;
    if (cudaMalloc(&value, sizeof(float)) != cudaSuccess) return ncclUnhandledCudaError;
    cudaError_t cuda = cudaMemsetAsync(value, 0, sizeof(float), stream);
    const ncclResult_t sent = ncclAllReduce(value, value, 1, ncclFloat32, ncclSum, comm, stream);
    if (cuda == cudaSuccess) cuda = cudaStreamSynchronize(stream);
    (void)cudaFree(value);
    return sent == ncclSuccess && cuda != cudaSuccess ? ncclUnhandledCudaError : sent;
  }
};

ncclUniqueId broadcast_id(Communicator& host) {
  ncclUniqueId id{};
  at::Tensor message = at::zeros({1 + static_cast<int64_t>(sizeof id)}, at::kByte);  // whether rank 0 has an id; the id
  auto* bytes = static_cast<uint8_t*>(message.mutable_data_ptr());
  if (host.rank() == 0 && ncclGetUniqueId(&id) == ncclSuccess) {
    bytes[0] = 1;
    std::memcpy(bytes + 1, &id, sizeof id);
  }
  host.broadcast(message, 0);
  if (bytes[0] == 0) {
    throw refusal(host,
                  "rank 0 found no network. Name an interface with NCCL_SOCKET_IFNAME; NCCL_DEBUG=WARN says what it tried.");
  }
  std::memcpy(&id, bytes + 1, sizeof id);
  return id;
}

}  // namespace

ncclComm_t connect_nccl(Communicator& host, at::Device device, cudaStream_t stream, std::chrono::seconds limit) {
  const auto attempt =
      std::make_shared<Attempt>(Attempt{broadcast_id(host), host.rank(), host.size(), device, stream, nullptr, {}, {}});
  auto result = attempt->result.get_future();
  std::thread([attempt] {
    try {
      attempt->result.set_value(attempt->run());
    } catch (...) {
      attempt->result.set_exception(std::current_exception());
    }
  }).detach();
  if (result.wait_for(limit) != std::future_status::ready) {
    throw refusal(host, "they did not meet within " + std::to_string(limit.count()) +
                            " s. A rank is missing, or the machines do not reach each other over the interface that NCCL chose: "
                            "name another with NCCL_SOCKET_IFNAME; NCCL_DEBUG=INFO says what it tries.");
  }
  if (const ncclResult_t made = result.get(); made != ncclSuccess) {
    throw refusal(host, std::string(ncclGetErrorString(made)) + ": " + attempt->error + ". NCCL refuses two ranks on one GPU (" +
                            device.str() + " here): start at most as many as a machine has. NCCL_DEBUG=WARN says more.");
  }
  return attempt->comm;
}

void abort_nccl(ncclComm_t comm) {
  const auto ended = std::make_shared<std::promise<void>>();
  auto result = ended->get_future();
  std::thread([comm, ended] {
    ncclCommAbort(comm);
    ended->set_value();
  }).detach();
  result.wait_for(kMostForAbort);
}

}  // namespace lacuna
