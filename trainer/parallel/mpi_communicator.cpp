#include "trainer/parallel/mpi_communicator.h"

#include <ATen/ops/empty_like.h>

#include <algorithm>
#include <cstring>
#include <exception>
#include <vector>

#include "data/error.h"

namespace lacuna {
namespace {

void check(int result, const char* call, const std::string& axis) {
  if (result == MPI_SUCCESS) return;
  char text[MPI_MAX_ERROR_STRING];
  int length = 0;
  MPI_Error_string(result, text, &length);
  throw Error(ExitCode::communication, std::string(call) + " on the " + axis + " axis failed: " + std::string(text, length) +
                                           ". A rank or a link is gone; the other ranks' logs tell which.");
}

Error refusal(const char* collective, const std::string& axis, const std::string& why) {
  return {ExitCode::communication, std::string(collective) + " on the " + axis + " axis: " + why};
}

void check_tensor(const at::Tensor& values, const char* collective, const std::string& axis) {
  if (!values.device().is_cpu()) {
    throw refusal(collective, axis,
                  "the tensor is on " + values.device().str() + " and MPI takes host tensors: move it with .cpu()");
  }
  if (!values.is_contiguous()) throw refusal(collective, axis, "the tensor is not contiguous: pass values.contiguous()");
}

MPI_Datatype reducible_type(const at::Tensor& values, Reduce reduce, const char* collective, const std::string& axis) {
  switch (values.scalar_type()) {
    case at::kFloat:
      return MPI_FLOAT;
    case at::kDouble:
      return MPI_DOUBLE;
    case at::kInt:
      return MPI_INT32_T;
    case at::kLong:
      return MPI_INT64_T;
    case at::kByte:
      return MPI_UINT8_T;
    case at::kBool:
      if (reduce != Reduce::sum) return MPI_UINT8_T;
      throw refusal(collective, axis, "bool has no sum: use Reduce::max for any, Reduce::min for all");
    default:
      throw refusal(collective, axis,
                    std::string("MPI cannot reduce ") + c10::toString(values.scalar_type()) + ": convert it to float32 first");
  }
}

MPI_Op operation(Reduce reduce) {
  switch (reduce) {
    case Reduce::max:
      return MPI_MAX;
    case Reduce::min:
      return MPI_MIN;
    default:
      return MPI_SUM;
  }
}

char* bytes_of(const at::Tensor& values) { return static_cast<char*>(values.data_ptr()); }

// What MPI uses until the message is through: the memory, the datatypes and, for a reduce_scatter in place, the sum on its way
// to the output.
struct MpiWorkParts {
  std::vector<at::Tensor> tensors;
  std::vector<MPI_Request> requests;
  std::vector<MPI_Datatype> types;
  at::Tensor sum;  // if defined, copied to the first tensor at the end
};

class MpiWork : public Work {
 public:
  MpiWork(MpiWorkParts parts, const char* call, std::string axis, FlightEntry entry)
      : parts_(std::move(parts)), call_(call), axis_(std::move(axis)), entry_(std::move(entry)) {}

  ~MpiWork() override {
    if (parts_.requests.empty()) return;
    if (std::uncaught_exceptions() > 0) {
      // This rank has failed and the job is about to be ended: the others may never join, so waiting could hide the failure.
      // The buffers stay alive for what MPI still does to them.
      new MpiWorkParts(parts_);
      return;
    }
    MPI_Waitall(static_cast<int>(parts_.requests.size()), parts_.requests.data(), MPI_STATUSES_IGNORE);
    finish();
  }

  bool test() override {
    if (parts_.requests.empty()) return true;
    int done = 0;
    check(MPI_Testall(static_cast<int>(parts_.requests.size()), parts_.requests.data(), &done, MPI_STATUSES_IGNORE), call_,
          axis_);
    if (done) finish();
    return done;
  }

  void wait() override {
    if (parts_.requests.empty()) return;
    check(MPI_Waitall(static_cast<int>(parts_.requests.size()), parts_.requests.data(), MPI_STATUSES_IGNORE), call_, axis_);
    finish();
  }

 private:
  void finish() {
    if (parts_.sum.defined()) {
      std::memcpy(parts_.tensors.front().data_ptr(), parts_.sum.const_data_ptr(), parts_.sum.nbytes());
    }
    for (MPI_Datatype& type : parts_.types) MPI_Type_free(&type);
    parts_ = {};
    entry_.done();
  }

  MpiWorkParts parts_;
  const char* call_;
  std::string axis_;
  FlightEntry entry_;
};

// A rank's part of an all_gather's output, but with the whole input's extent, so that the next rank's part is found behind it.
MPI_Datatype spaced_bytes(int count, int64_t extent) {
  MPI_Datatype part, spaced;
  MPI_Type_contiguous(count, MPI_BYTE, &part);
  MPI_Type_create_resized(part, 0, extent, &spaced);
  MPI_Type_commit(&spaced);
  MPI_Type_free(&part);
  return spaced;
}

}  // namespace

MpiCommunicator::MpiCommunicator(MPI_Comm comm, std::string name, std::shared_ptr<FlightRecorder> recorder, int64_t max_count)
    : Communicator(std::move(name)), comm_(comm), recorder_(std::move(recorder)), max_count_(max_count) {
  MPI_Comm_set_errhandler(comm_, MPI_ERRORS_RETURN);
  check(MPI_Comm_rank(comm_, &rank_), "MPI_Comm_rank", this->name());
  check(MPI_Comm_size(comm_, &size_), "MPI_Comm_size", this->name());
}

MpiCommunicator::~MpiCommunicator() {
  int finalized = 0;
  MPI_Finalized(&finalized);
  // Freeing is collective; a rank that leaves by an exception must not wait for the others in it.
  if (!finalized && std::uncaught_exceptions() == 0) MPI_Comm_free(&comm_);
}

FlightEntry MpiCommunicator::record(const char* collective, const at::Tensor& input) const {
  return {recorder_, name(), collective, static_cast<int64_t>(input.nbytes())};
}

void MpiCommunicator::all_reduce(at::Tensor& values, Reduce reduce) {
  check_tensor(values, "all_reduce", name());
  const MPI_Datatype type = reducible_type(values, reduce, "all_reduce", name());
  const FlightEntry entry = record("all_reduce", values);
  for (int64_t at = 0; at < values.numel(); at += max_count_) {
    const int count = static_cast<int>(std::min(max_count_, values.numel() - at));
    check(MPI_Allreduce(MPI_IN_PLACE, bytes_of(values) + at * values.element_size(), count, type, operation(reduce), comm_),
          "MPI_Allreduce", name());
  }
}

std::unique_ptr<Work> MpiCommunicator::start_all_reduce(at::Tensor& values, Reduce reduce) {
  check_tensor(values, "start_all_reduce", name());
  const MPI_Datatype type = reducible_type(values, reduce, "start_all_reduce", name());
  FlightEntry entry = record("start_all_reduce", values);
  MpiWorkParts parts{.tensors = {values}, .requests = {}, .types = {}, .sum = {}};
  for (int64_t at = 0; at < values.numel(); at += max_count_) {
    const int count = static_cast<int>(std::min(max_count_, values.numel() - at));
    check(MPI_Iallreduce(MPI_IN_PLACE, bytes_of(values) + at * values.element_size(), count, type, operation(reduce), comm_,
                         &parts.requests.emplace_back()),
          "MPI_Iallreduce", name());
  }
  return std::make_unique<MpiWork>(std::move(parts), "MPI_Iallreduce", name(), std::move(entry));
}

void MpiCommunicator::check_gather(const at::Tensor& output, const at::Tensor& input, const char* collective) const {
  check_tensor(output, collective, name());
  check_tensor(input, collective, name());
  if (output.nbytes() != input.nbytes() * size_ || output.scalar_type() != input.scalar_type()) {
    throw refusal(collective, name(), "the output must hold " + std::to_string(size_) + " inputs of the same type");
  }
}

void MpiCommunicator::all_gather(at::Tensor& output, const at::Tensor& input) {
  check_gather(output, input, "all_gather");
  const FlightEntry entry = record("all_gather", input);
  const auto total = static_cast<int64_t>(input.nbytes());
  const bool in_place = bytes_of(input) == bytes_of(output) + rank_ * total;
  for (int64_t at = 0; at < total; at += max_count_) {
    const int count = static_cast<int>(std::min(max_count_, total - at));
    MPI_Datatype spaced = spaced_bytes(count, total);
    const void* source = in_place ? MPI_IN_PLACE : static_cast<const void*>(bytes_of(input) + at);
    const int result = MPI_Allgather(source, count, MPI_BYTE, bytes_of(output) + at, 1, spaced, comm_);
    MPI_Type_free(&spaced);
    check(result, "MPI_Allgather", name());
  }
}

std::unique_ptr<Work> MpiCommunicator::start_all_gather(at::Tensor& output, const at::Tensor& input) {
  check_gather(output, input, "start_all_gather");
  FlightEntry entry = record("start_all_gather", input);
  const auto total = static_cast<int64_t>(input.nbytes());
  const bool in_place = bytes_of(input) == bytes_of(output) + rank_ * total;
  MpiWorkParts parts{.tensors = {output, input}, .requests = {}, .types = {}, .sum = {}};
  for (int64_t at = 0; at < total; at += max_count_) {
    const int count = static_cast<int>(std::min(max_count_, total - at));
    parts.types.push_back(spaced_bytes(count, total));
    const void* source = in_place ? MPI_IN_PLACE : static_cast<const void*>(bytes_of(input) + at);
    check(MPI_Iallgather(source, count, MPI_BYTE, bytes_of(output) + at, 1, parts.types.back(), comm_,
                         &parts.requests.emplace_back()),
          "MPI_Iallgather", name());
  }
  return std::make_unique<MpiWork>(std::move(parts), "MPI_Iallgather", name(), std::move(entry));
}

MPI_Datatype MpiCommunicator::check_scatter(const at::Tensor& output, const at::Tensor& input, const char* collective) const {
  check_tensor(output, collective, name());
  check_tensor(input, collective, name());
  if (input.numel() != output.numel() * size_ || output.scalar_type() != input.scalar_type()) {
    throw refusal(collective, name(), "the input must hold " + std::to_string(size_) + " outputs of the same type");
  }
  return reducible_type(input, Reduce::sum, collective, name());
}

void MpiCommunicator::reduce_scatter(at::Tensor& output, const at::Tensor& input) {
  const MPI_Datatype type = check_scatter(output, input, "reduce_scatter");
  const int64_t count = output.numel();
  const FlightEntry entry = record("reduce_scatter", input);
  // MPI's own way of doing it in place would leave the sum in the first rank's part.
  const bool in_place = bytes_of(output) == bytes_of(input) + rank_ * output.nbytes();
  const at::Tensor sum = in_place ? at::empty_like(output) : output;
  if (count <= max_count_) {
    // In Open MPI 4.1 sooner done than MPI_Reduce_scatter_block, which is made for equal counts.
    const std::vector<int> counts(static_cast<size_t>(size_), static_cast<int>(count));
    check(MPI_Reduce_scatter(bytes_of(input), bytes_of(sum), counts.data(), type, MPI_SUM, comm_), "MPI_Reduce_scatter", name());
  } else {
    for (int root = 0; root < size_; ++root) {
      for (int64_t at = 0; at < count; at += max_count_) {
        const char* source = bytes_of(input) + (root * count + at) * input.element_size();
        check(MPI_Reduce(source, bytes_of(sum) + at * output.element_size(), static_cast<int>(std::min(max_count_, count - at)),
                         type, MPI_SUM, root, comm_),
              "MPI_Reduce", name());
      }
    }
  }
  if (in_place) std::memcpy(bytes_of(output), bytes_of(sum), sum.nbytes());
}

std::unique_ptr<Work> MpiCommunicator::start_reduce_scatter(at::Tensor& output, const at::Tensor& input) {
  const MPI_Datatype type = check_scatter(output, input, "start_reduce_scatter");
  const int64_t count = output.numel();
  FlightEntry entry = record("start_reduce_scatter", input);
  const bool in_place = bytes_of(output) == bytes_of(input) + rank_ * output.nbytes();
  const at::Tensor sum = in_place ? at::empty_like(output) : output;
  MpiWorkParts parts{.tensors = {output, input}, .requests = {}, .types = {}, .sum = in_place ? sum : at::Tensor()};
  if (count <= max_count_) {
    check(MPI_Ireduce_scatter_block(bytes_of(input), bytes_of(sum), static_cast<int>(count), type, MPI_SUM, comm_,
                                    &parts.requests.emplace_back()),
          "MPI_Ireduce_scatter_block", name());
  } else {
    for (int root = 0; root < size_; ++root) {
      for (int64_t at = 0; at < count; at += max_count_) {
        const char* source = bytes_of(input) + (root * count + at) * input.element_size();
        check(MPI_Ireduce(source, bytes_of(sum) + at * output.element_size(), static_cast<int>(std::min(max_count_, count - at)),
                          type, MPI_SUM, root, comm_, &parts.requests.emplace_back()),
              "MPI_Ireduce", name());
      }
    }
  }
  return std::make_unique<MpiWork>(std::move(parts), "MPI_Ireduce_scatter_block", name(), std::move(entry));
}

void MpiCommunicator::broadcast(at::Tensor& values, int root) {
  check_tensor(values, "broadcast", name());
  if (root < 0 || root >= size_) throw refusal("broadcast", name(), "there is no rank " + std::to_string(root));
  const FlightEntry entry = record("broadcast", values);
  const auto total = static_cast<int64_t>(values.nbytes());
  for (int64_t at = 0; at < total; at += max_count_) {
    check(MPI_Bcast(bytes_of(values) + at, static_cast<int>(std::min(max_count_, total - at)), MPI_BYTE, root, comm_),
          "MPI_Bcast", name());
  }
}

void MpiCommunicator::barrier() {
  const FlightEntry entry(recorder_, name(), "barrier", 0);
  check(MPI_Barrier(comm_), "MPI_Barrier", name());
}

}  // namespace lacuna
