// The world's ranks as data x tensor, the tensor axis fastest: rank = data_rank * tensor_size + tensor_rank.
#pragma once
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "trainer/parallel/communicator.h"
#include "trainer/parallel/flight_recorder.h"

namespace lacuna {

class Mesh {
 public:
  // Every axis of the same rank in its own communicator. Takes ownership.
  Mesh(std::unique_ptr<Communicator> world, std::unique_ptr<Communicator> data, std::unique_ptr<Communicator> tensor);
  Communicator& world() { return *world_; }
  Communicator& data() { return *data_; }
  Communicator& tensor() { return *tensor_; }

  // The first failure of an axis (Communicator::failure); from any thread, for the watchdog.
  std::optional<std::string> failure();
  // After a step, before its results are used: throws Error(communication) with the failure, once every axis's device is free.
  void check();

 private:
  std::unique_ptr<Communicator> world_, data_, tensor_;
};

// The mesh of a program that was started plain.
std::unique_ptr<Mesh> make_self_mesh();
// The mesh of a job that is only planned, seen from its rank 0: axes have their sizes, and collectives throw Error(internal).
std::unique_ptr<Mesh> make_planned_mesh(int world, int tensor);
// The mesh of an MPI job; MPI must be initialised. Throws a usage Error if `tensor` does not divide the world. Each collective is
// written to `recorder`, if there is one.
std::unique_ptr<Mesh> make_mpi_mesh(int64_t tensor, std::shared_ptr<FlightRecorder> recorder = nullptr);

// The same for tensors on `device`, of which every rank has its own: its axes take device tensors over NCCL and host tensors over
// MPI. data and tensor are connected on return; world when the first device tensor comes, which must not be while a CUDA graph is
// captured. CUDA graphs that captured its collectives must be destroyed before the mesh. Throws a usage Error if this build has
// no CUDA, Error(communication) if the ranks do not find each other. A host device gives make_mpi_mesh's.
std::unique_ptr<Mesh> make_device_mesh(int64_t tensor, at::Device device, std::shared_ptr<FlightRecorder> recorder = nullptr);

// The number of this process among those of its machine, from 0. One process has one GPU: its number is this one modulo the GPUs.
int local_rank();

}  // namespace lacuna
