#include "trainer/parallel/communicator_nccl.h"

#include <c10/cuda/CUDAGuard.h>
#include <cuda_runtime_api.h>

#include <algorithm>
#include <exception>

#include "data/error.h"
#include "trainer/parallel/connection_nccl.h"

namespace lacuna {
namespace {

Error refusal(const char* collective, const std::string& axis, const std::string& why) {
  return {ExitCode::communication, std::string(collective) + " on the " + axis + " axis: " + why};
}

ncclDataType_t reducible_type(const at::Tensor& values, Reduce reduce, const char* collective, const std::string& axis) {
  switch (values.scalar_type()) {
    case at::kFloat:
      return ncclFloat32;
    case at::kDouble:
      return ncclFloat64;
    case at::kBFloat16:
      return ncclBfloat16;
    case at::kHalf:
      return ncclFloat16;
    case at::kInt:
      return ncclInt32;
    case at::kLong:
      return ncclInt64;
    case at::kByte:
      return ncclUint8;
    case at::kBool:
      if (reduce != Reduce::sum) return ncclUint8;
      throw refusal(collective, axis, "bool has no sum: use Reduce::max for any, Reduce::min for all");
    default:
      throw refusal(collective, axis,
                    std::string("NCCL cannot reduce ") + c10::toString(values.scalar_type()) + ": convert it to float32 first");
  }
}

ncclRedOp_t operation(Reduce reduce) {
  switch (reduce) {
    case Reduce::max:
      return ncclMax;
    case Reduce::min:
      return ncclMin;
    default:
      return ncclSum;
  }
}

bool is_captured(cudaStream_t stream) {
  cudaStreamCaptureStatus status = cudaStreamCaptureStatusNone;
  C10_CUDA_CHECK(cudaStreamIsCapturing(stream, &status));
  return status != cudaStreamCaptureStatusNone;
}

// While one is alive this thread may ask for events and free them though another thread captures: that would otherwise spoil the
// capture. The events are never the capture's.
class BesideCaptures {
 public:
  BesideCaptures() { (void)cudaThreadExchangeStreamCaptureMode(&mode_); }
  ~BesideCaptures() { (void)cudaThreadExchangeStreamCaptureMode(&mode_); }
  BesideCaptures(const BesideCaptures&) = delete;
  BesideCaptures& operator=(const BesideCaptures&) = delete;

 private:
  cudaStreamCaptureMode mode_ = cudaStreamCaptureModeRelaxed;
};

cudaError_t query(const c10::cuda::CUDAEvent& event) {
  const BesideCaptures relaxed;
  const cudaError_t result = cudaEventQuery(event.event());
  if (result != cudaSuccess) (void)cudaGetLastError();  // "not ready" counts as an error
  return result;
}

class NcclWork : public Work {
 public:
  NcclWork(std::shared_ptr<c10::cuda::CUDAEvent> done, bool captured, std::vector<at::Tensor> tensors)
      : done_(std::move(done)), captured_(captured), tensors_(std::move(tensors)) {}

  ~NcclWork() override {
    if (waited_ || std::uncaught_exceptions() > 0) return;
    try {
      wait();
    } catch (const std::exception&) {  // of a device that has failed: its next call says so again
    }
  }

  bool test() override {
    if (captured_) return waited_;  // nothing of it has run
    const cudaError_t result = query(*done_);
    if (result == cudaSuccess || result == cudaErrorNotReady) return result == cudaSuccess;
    throw Error(ExitCode::communication, std::string("the device failed before a collective: ") + cudaGetErrorString(result));
  }

  void wait() override {
    if (waited_) return;
    done_->block(c10::cuda::getCurrentCUDAStream(done_->device_index()));
    waited_ = true;
    tensors_.clear();
  }

 private:
  std::shared_ptr<c10::cuda::CUDAEvent> done_;
  bool captured_, waited_ = false;
  std::vector<at::Tensor> tensors_;  // their memory must not be given to others before the current stream waits
};

}  // namespace

NcclCommunicator::NcclCommunicator(MPI_Comm comm, std::string name, at::Device device, std::shared_ptr<FlightRecorder> recorder)
    : Communicator(name),
      host_(comm, name, recorder),
      alone_(name),
      device_(device.has_index() ? device : at::Device(device.type(), c10::cuda::current_device())),
      stream_(c10::cuda::getStreamFromPool(true, device_.index())),
      recorder_(std::move(recorder)) {}

NcclCommunicator::~NcclCommunicator() {
  if (std::uncaught_exceptions() > 0 || failure()) {
    abort();
  } else if (comm_ != nullptr) {
    const std::lock_guard lock(mutex_);
    ncclCommFinalize(comm_);
    ncclCommDestroy(comm_);
    comm_ = nullptr;
  }
}

void NcclCommunicator::connect(std::chrono::seconds limit) {
  if (size() == 1 || comm_ != nullptr) return;
  ncclComm_t comm = connect_nccl(host_, device_, stream_.stream(), limit);
  const std::lock_guard lock(mutex_);
  comm_ = comm;
}

Communicator* NcclCommunicator::elsewhere(const at::Tensor& values, const char* collective) {
  if (values.is_cpu()) return &host_;
  if (values.device() != device_) {
    throw refusal(collective, name(),
                  "the tensor is on " + values.device().str() + " and this rank's device is " + device_.str());
  }
  if (!values.is_contiguous()) throw refusal(collective, name(), "the tensor is not contiguous: pass values.contiguous()");
  return size() == 1 ? &alone_ : nullptr;
}

Communicator* NcclCommunicator::elsewhere(const at::Tensor& output, const at::Tensor& input, const char* collective) {
  if (output.device() != input.device() || output.scalar_type() != input.scalar_type()) {
    throw refusal(collective, name(), "output and input must be of the same type on the same device");
  }
  elsewhere(output, collective);
  return elsewhere(input, collective);
}

// The collective's place in the order of this stream, and a point behind it that others can wait for.
NcclCommunicator::Launched NcclCommunicator::launch(const char* collective, const at::Tensor& input, const Call& call) {
  const c10::cuda::CUDAGuard guard(device_);
  const auto current = c10::cuda::getCurrentCUDAStream(device_.index());
  const bool captured = is_captured(current.stream());
  {
    const std::lock_guard lock(mutex_);
    if (failure_) throw Error(ExitCode::communication, *failure_);
    last_collective_ = collective;
    last_bytes_ = static_cast<int64_t>(input.nbytes());
  }
  if (comm_ == nullptr) {
    if (captured) throw refusal(collective, name(), "the axis's first collective may not be captured: call connect() before");
    connect();
  }
  const int64_t number = recorder_ ? recorder_->start(name(), collective, last_bytes_) : -1;
  before_.record(current);
  before_.block(stream_);
  if (const ncclResult_t result = call(comm_, stream_.stream()); result != ncclSuccess) fail(result);
  const auto done = std::make_shared<c10::cuda::CUDAEvent>();
  done->record(stream_);
  if (recorder_ && captured) recorder_->done(number);  // it runs with its graph, whenever and as often as that does
  if (recorder_ && !captured) {
    const std::lock_guard lock(mutex_);
    recorded_.push_back({number, done});
    retire();
  }
  return {done, captured};
}

void NcclCommunicator::run(const char* collective, const at::Tensor& input, const Call& call) {
  launch(collective, input, call).done->block(c10::cuda::getCurrentCUDAStream(device_.index()));
}

std::unique_ptr<Work> NcclCommunicator::start(const char* collective, std::vector<at::Tensor> tensors, const Call& call) {
  Launched launched = launch(collective, tensors.back(), call);
  return std::make_unique<NcclWork>(std::move(launched.done), launched.captured, std::move(tensors));
}

namespace {

using Call = std::function<ncclResult_t(ncclComm_t, cudaStream_t)>;

Call all_reduce_call(const at::Tensor& values, Reduce reduce, const char* collective, const std::string& axis) {
  const ncclDataType_t type = reducible_type(values, reduce, collective, axis);
  return [=](ncclComm_t comm, cudaStream_t stream) {
    void* data = values.data_ptr();
    return ncclAllReduce(data, data, static_cast<size_t>(values.numel()), type, operation(reduce), comm, stream);
  };
}

Call all_gather_call(const at::Tensor& output, const at::Tensor& input, int size, const char* collective,
                     const std::string& axis) {
  if (output.numel() != input.numel() * size) {
    throw refusal(collective, axis, "the output must hold " + std::to_string(size) + " inputs of the same type");
  }
  return [=](ncclComm_t comm, cudaStream_t stream) {
    return ncclAllGather(input.const_data_ptr(), output.data_ptr(), input.nbytes(), ncclUint8, comm, stream);
  };
}

Call reduce_scatter_call(const at::Tensor& output, const at::Tensor& input, int size, const char* collective,
                         const std::string& axis) {
  if (input.numel() != output.numel() * size) {
    throw refusal(collective, axis, "the input must hold " + std::to_string(size) + " outputs of the same type");
  }
  const ncclDataType_t type = reducible_type(input, Reduce::sum, collective, axis);
  return [=](ncclComm_t comm, cudaStream_t stream) {
    return ncclReduceScatter(input.const_data_ptr(), output.data_ptr(), static_cast<size_t>(output.numel()), type, ncclSum, comm,
                             stream);
  };
}

}  // namespace

void NcclCommunicator::all_reduce(at::Tensor& values, Reduce reduce) {
  if (Communicator* other = elsewhere(values, "all_reduce")) return other->all_reduce(values, reduce);
  run("all_reduce", values, all_reduce_call(values, reduce, "all_reduce", name()));
}

void NcclCommunicator::all_gather(at::Tensor& output, const at::Tensor& input) {
  if (Communicator* other = elsewhere(output, input, "all_gather")) return other->all_gather(output, input);
  run("all_gather", input, all_gather_call(output, input, size(), "all_gather", name()));
}

void NcclCommunicator::reduce_scatter(at::Tensor& output, const at::Tensor& input) {
  if (Communicator* other = elsewhere(output, input, "reduce_scatter")) return other->reduce_scatter(output, input);
  run("reduce_scatter", input, reduce_scatter_call(output, input, size(), "reduce_scatter", name()));
}

std::unique_ptr<Work> NcclCommunicator::start_all_reduce(at::Tensor& values, Reduce reduce) {
  if (Communicator* other = elsewhere(values, "start_all_reduce")) return other->start_all_reduce(values, reduce);
  return start("start_all_reduce", {values}, all_reduce_call(values, reduce, "start_all_reduce", name()));
}

std::unique_ptr<Work> NcclCommunicator::start_all_gather(at::Tensor& output, const at::Tensor& input) {
  if (Communicator* other = elsewhere(output, input, "start_all_gather")) return other->start_all_gather(output, input);
  return start("start_all_gather", {output, input}, all_gather_call(output, input, size(), "start_all_gather", name()));
}

std::unique_ptr<Work> NcclCommunicator::start_reduce_scatter(at::Tensor& output, const at::Tensor& input) {
  if (Communicator* other = elsewhere(output, input, "start_reduce_scatter")) return other->start_reduce_scatter(output, input);
  return start("start_reduce_scatter", {output, input},
               reduce_scatter_call(output, input, size(), "start_reduce_scatter", name()));
}

void NcclCommunicator::broadcast(at::Tensor& values, int root) {
  if (root < 0 || root >= size()) throw refusal("broadcast", name(), "there is no rank " + std::to_string(root));
  if (Communicator* other = elsewhere(values, "broadcast")) return other->broadcast(values, root);
  run("broadcast", values, [&](ncclComm_t comm, cudaStream_t stream) {
    return ncclBroadcast(values.data_ptr(), values.data_ptr(), values.nbytes(), ncclUint8, root, comm, stream);
  });
}

void NcclCommunicator::retire() {
  const BesideCaptures relaxed;
  while (!recorded_.empty() && query(*recorded_.front().done) == cudaSuccess) {
    recorder_->done(recorded_.front().number);
    recorded_.pop_front();
  }
}

std::optional<std::string> NcclCommunicator::failure() {
  const std::lock_guard lock(mutex_);
  (void)cudaSetDevice(device_.index());  // the watchdog's thread has none, and asking would wake another GPU
  retire();
  if (failure_ || comm_ == nullptr) return failure_;
  ncclResult_t state = ncclSuccess;
  const ncclResult_t asked = ncclCommGetAsyncError(comm_, &state);
  const ncclResult_t result = asked == ncclSuccess ? state : asked;
  if (result != ncclSuccess && result != ncclInProgress) failure_ = describe(result);
  return failure_;
}

std::string NcclCommunicator::describe(ncclResult_t result) const {
  std::string text = "NCCL failed on the " + name() + " axis at rank " + std::to_string(rank()) + " of " +
                     std::to_string(size()) + " (" + device_.str() + "): " + ncclGetErrorString(result);
  if (const char* detail = ncclGetLastError(comm_); detail != nullptr && *detail != '\0') text += ": " + std::string(detail);
  if (last_collective_ != nullptr) {
    text += ". The last collective was " + std::string(last_collective_) + " of " + std::to_string(last_bytes_) + " bytes";
  }
  std::replace(text.begin(), text.end(), '\n', ' ');
  const bool is_remote = result == ncclRemoteError || result == ncclSystemError;
  return text + (is_remote ? ". A rank or a link is gone; the other ranks' logs tell which." : ". NCCL_DEBUG=WARN says more.");
}

void NcclCommunicator::fail(ncclResult_t result) {
  std::string text;
  {
    const std::lock_guard lock(mutex_);
    if (!failure_) failure_ = describe(result);
    text = *failure_;
  }
  abort();
  throw Error(ExitCode::communication, text);
}

void NcclCommunicator::abort() noexcept {
  ncclComm_t comm = nullptr;
  {
    const std::lock_guard lock(mutex_);
    std::swap(comm, comm_);
    if (!failure_) failure_ = "the " + name() + " axis was aborted";
  }
  if (comm != nullptr) abort_nccl(comm);
}

}  // namespace lacuna
