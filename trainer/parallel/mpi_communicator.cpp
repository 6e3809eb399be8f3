#include "trainer/parallel/mpi_communicator.h"

#include <algorithm>
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

class MpiWork : public Work {
 public:
  MpiWork(at::Tensor values, std::vector<MPI_Request> requests, std::string axis, FlightEntry entry)
      : values_(std::move(values)), requests_(std::move(requests)), axis_(std::move(axis)), entry_(std::move(entry)) {}

  ~MpiWork() override {
    if (requests_.empty()) return;
    if (std::uncaught_exceptions() > 0) {
      // This rank has failed and the job is about to be ended: the others may never join, so waiting could hide the failure.
      // The buffer stays alive for what MPI still does to it.
      new at::Tensor(values_);
      return;
    }
    MPI_Waitall(static_cast<int>(requests_.size()), requests_.data(), MPI_STATUSES_IGNORE);
  }

  bool test() override {
    if (requests_.empty()) return true;
    int done = 0;
    check(MPI_Testall(static_cast<int>(requests_.size()), requests_.data(), &done, MPI_STATUSES_IGNORE), "MPI_Iallreduce", axis_);
    if (done) finish();
    return done;
  }

  void wait() override {
    if (requests_.empty()) return;
    check(MPI_Waitall(static_cast<int>(requests_.size()), requests_.data(), MPI_STATUSES_IGNORE), "MPI_Iallreduce", axis_);
    finish();
  }

 private:
  void finish() {
    requests_.clear();
    entry_.done();
  }

  at::Tensor values_;  // the memory must live as long as the messages
  std::vector<MPI_Request> requests_;
  std::string axis_;
  FlightEntry entry_;
};

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
  std::vector<MPI_Request> requests;
  for (int64_t at = 0; at < values.numel(); at += max_count_) {
    const int count = static_cast<int>(std::min(max_count_, values.numel() - at));
    check(MPI_Iallreduce(MPI_IN_PLACE, bytes_of(values) + at * values.element_size(), count, type, operation(reduce), comm_,
                         &requests.emplace_back()),
          "MPI_Iallreduce", name());
  }
  return std::make_unique<MpiWork>(values, std::move(requests), name(), std::move(entry));
}

void MpiCommunicator::all_gather(at::Tensor& output, const at::Tensor& input) {
  check_tensor(output, "all_gather", name());
  check_tensor(input, "all_gather", name());
  if (output.nbytes() != input.nbytes() * size_ || output.scalar_type() != input.scalar_type()) {
    throw refusal("all_gather", name(), "the output must hold " + std::to_string(size_) + " inputs of the same type");
  }
  const FlightEntry entry = record("all_gather", input);
  const auto total = static_cast<int64_t>(input.nbytes());
  const bool in_place = bytes_of(input) == bytes_of(output) + rank_ * total;
  for (int64_t at = 0; at < total; at += max_count_) {
    // A rank's part of the output, but with the whole input's extent, so that the next rank's part is found behind it.
    const int count = static_cast<int>(std::min(max_count_, total - at));
    MPI_Datatype part, spaced;
    MPI_Type_contiguous(count, MPI_BYTE, &part);
    MPI_Type_create_resized(part, 0, total, &spaced);
    MPI_Type_commit(&spaced);
    const void* source = in_place ? MPI_IN_PLACE : static_cast<const void*>(bytes_of(input) + at);
    const int result = MPI_Allgather(source, count, MPI_BYTE, bytes_of(output) + at, 1, spaced, comm_);
    MPI_Type_free(&spaced);
    MPI_Type_free(&part);
    check(result, "MPI_Allgather", name());
  }
}

void MpiCommunicator::reduce_scatter(at::Tensor& output, const at::Tensor& input) {
  check_tensor(output, "reduce_scatter", name());
  check_tensor(input, "reduce_scatter", name());
  const MPI_Datatype type = reducible_type(input, Reduce::sum, "reduce_scatter", name());
  const int64_t count = output.numel();
  if (input.numel() != count * size_ || output.scalar_type() != input.scalar_type()) {
    throw refusal("reduce_scatter", name(), "the input must hold " + std::to_string(size_) + " outputs of the same type");
  }
  const FlightEntry entry = record("reduce_scatter", input);
  if (count <= max_count_) {
    check(MPI_Reduce_scatter_block(bytes_of(input), bytes_of(output), static_cast<int>(count), type, MPI_SUM, comm_),
          "MPI_Reduce_scatter_block", name());
    return;
  }
  for (int root = 0; root < size_; ++root) {
    for (int64_t at = 0; at < count; at += max_count_) {
      const char* source = bytes_of(input) + (root * count + at) * input.element_size();
      check(MPI_Reduce(source, bytes_of(output) + at * output.element_size(), static_cast<int>(std::min(max_count_, count - at)),
                       type, MPI_SUM, root, comm_),
            "MPI_Reduce", name());
    }
  }
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
