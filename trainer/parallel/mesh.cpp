#include "trainer/parallel/mesh.h"

#include <mpi.h>

#include "data/error.h"
#include "trainer/parallel/mpi_communicator.h"
#include "trainer/parallel/self_communicator.h"

namespace lacuna {
namespace {

// The ranks of `world` that share `color`, in the world's order. An axis of one rank needs no MPI.
std::unique_ptr<Communicator> make_axis(MPI_Comm world, const char* name, int64_t size, int color,
                                        const std::shared_ptr<FlightRecorder>& recorder) {
  if (size == 1) return std::make_unique<SelfCommunicator>(name);
  MPI_Comm comm;
  if (MPI_Comm_split(world, color, 0, &comm) != MPI_SUCCESS) {
    throw Error(ExitCode::communication, std::string("MPI could not make the ") + name + " axis");
  }
  return std::make_unique<MpiCommunicator>(comm, name, recorder);
}

}  // namespace

Mesh::Mesh(std::unique_ptr<Communicator> world, std::unique_ptr<Communicator> data, std::unique_ptr<Communicator> tensor)
    : world_(std::move(world)), data_(std::move(data)), tensor_(std::move(tensor)) {}

std::unique_ptr<Mesh> make_self_mesh() {
  return std::make_unique<Mesh>(std::make_unique<SelfCommunicator>("world"), std::make_unique<SelfCommunicator>("data"),
                                std::make_unique<SelfCommunicator>("tensor"));
}

std::unique_ptr<Mesh> make_mpi_mesh(int64_t tensor, std::shared_ptr<FlightRecorder> recorder) {
  int rank = 0, size = 1;
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  MPI_Comm_size(MPI_COMM_WORLD, &size);
  if (tensor < 1 || size % tensor != 0) {
    throw usage_error("[parallel] tensor = " + std::to_string(tensor) + " does not divide the " + std::to_string(size) +
                      " ranks of this job. Start a multiple of " + std::to_string(tensor) + " ranks, or set a divisor of " +
                      std::to_string(size) + ".");
  }
  // NCCL's place: where the parameters live on a GPU, data and tensor become NcclCommunicators over the same colors, whose
  // unique ids are broadcast over these MPI axes; world stays MPI, for host values.
  const auto tensor_size = static_cast<int>(tensor);
  return std::make_unique<Mesh>(make_axis(MPI_COMM_WORLD, "world", size, 0, recorder),
                                make_axis(MPI_COMM_WORLD, "data", size / tensor, rank % tensor_size, recorder),
                                make_axis(MPI_COMM_WORLD, "tensor", tensor, rank / tensor_size, recorder));
}

}  // namespace lacuna
