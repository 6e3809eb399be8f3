#include "trainer/parallel/mesh.h"

#include <mpi.h>

#include <functional>

#include "data/error.h"
#include "trainer/parallel/mpi_communicator.h"
#include "trainer/parallel/planned_communicator.h"
#include "trainer/parallel/self_communicator.h"
#ifdef LACUNA_CUDA
#include "trainer/parallel/communicator_nccl.h"
#endif

namespace lacuna {
namespace {

using Recorder = std::shared_ptr<FlightRecorder>;
// An axis of several ranks over its MPI communicator, which it takes.
using MakeAxis = std::function<std::unique_ptr<Communicator>(MPI_Comm comm, const char* name)>;

std::unique_ptr<Mesh> make_mesh(int64_t tensor, const MakeAxis& make) {
  int rank = 0, size = 1;
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  MPI_Comm_size(MPI_COMM_WORLD, &size);
  if (tensor < 1 || size % tensor != 0) {
    throw usage_error("[parallel] tensor = " + std::to_string(tensor) + " does not divide the " + std::to_string(size) +
                      " ranks of this job. Start a multiple of " + std::to_string(tensor) + " ranks, or set a divisor of " +
                      std::to_string(size) + ".");
  }
  // The ranks that share `color`, in the world's order. An axis of one rank needs no messages.
  const auto axis = [&](const char* name, int64_t axis_size, int color) -> std::unique_ptr<Communicator> {
    if (axis_size == 1) return std::make_unique<SelfCommunicator>(name);
    MPI_Comm comm;
    if (MPI_Comm_split(MPI_COMM_WORLD, color, 0, &comm) != MPI_SUCCESS) {
      throw Error(ExitCode::communication, std::string("MPI could not make the ") + name + " axis");
    }
    return make(comm, name);
  };
  const auto tensor_size = static_cast<int>(tensor);
  auto world = axis("world", size, 0);
  auto data = axis("data", size / tensor, rank % tensor_size);
  return std::make_unique<Mesh>(std::move(world), std::move(data), axis("tensor", tensor, rank / tensor_size));
}

}  // namespace

Mesh::Mesh(std::unique_ptr<Communicator> world, std::unique_ptr<Communicator> data, std::unique_ptr<Communicator> tensor)
    : world_(std::move(world)), data_(std::move(data)), tensor_(std::move(tensor)) {}

std::unique_ptr<Mesh> make_self_mesh() {
  return std::make_unique<Mesh>(std::make_unique<SelfCommunicator>("world"), std::make_unique<SelfCommunicator>("data"),
                                std::make_unique<SelfCommunicator>("tensor"));
}

std::unique_ptr<Mesh> make_planned_mesh(int world, int tensor) {
  const auto axis = [](const char* name, int size) { return std::make_unique<PlannedCommunicator>(name, size); };
  return std::make_unique<Mesh>(axis("world", world), axis("data", world / tensor), axis("tensor", tensor));
}

std::optional<std::string> Mesh::failure() {
  for (Communicator* axis : {world_.get(), data_.get(), tensor_.get()}) {
    if (auto text = axis->failure()) return text;
  }
  return std::nullopt;
}

void Mesh::check() {
  const auto text = failure();
  if (!text) return;
  for (Communicator* axis : {world_.get(), data_.get(), tensor_.get()}) axis->abort();
  throw Error(ExitCode::communication, *text);
}

std::unique_ptr<Mesh> make_mpi_mesh(int64_t tensor, Recorder recorder) {
  return make_mesh(tensor,
                   [&](MPI_Comm comm, const char* name) { return std::make_unique<MpiCommunicator>(comm, name, recorder); });
}

std::unique_ptr<Mesh> make_device_mesh(int64_t tensor, at::Device device, Recorder recorder) {
  if (device.is_cpu()) return make_mpi_mesh(tensor, std::move(recorder));
#ifdef LACUNA_CUDA
  return make_mesh(tensor, [&](MPI_Comm comm, const char* name) {
    auto axis = std::make_unique<NcclCommunicator>(comm, name, device, recorder);
    if (axis->name() != "world") axis->connect();
    return axis;
  });
#else
  throw usage_error("this build has no " + device.str() + ": configure with --preset cuda, or run on the CPU");
#endif
}

int local_rank() {
  int initialized = 0;
  MPI_Initialized(&initialized);
  if (!initialized) return 0;
  MPI_Comm machine;
  int rank = 0;
  MPI_Comm_split_type(MPI_COMM_WORLD, MPI_COMM_TYPE_SHARED, 0, MPI_INFO_NULL, &machine);
  MPI_Comm_rank(machine, &rank);
  MPI_Comm_free(&machine);
  return rank;
}

}  // namespace lacuna
