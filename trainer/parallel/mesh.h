// The world's ranks as data x tensor, the tensor axis fastest: rank = data_rank * tensor_size + tensor_rank.
#pragma once
#include <cstdint>
#include <memory>

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

 private:
  std::unique_ptr<Communicator> world_, data_, tensor_;
};

// The mesh of a program that was started plain.
std::unique_ptr<Mesh> make_self_mesh();
// The mesh of an MPI job; MPI must be initialised. Throws a usage Error if `tensor` does not divide the world. Each collective is
// written to `recorder`, if there is one.
std::unique_ptr<Mesh> make_mpi_mesh(int64_t tensor, std::shared_ptr<FlightRecorder> recorder = nullptr);

}  // namespace lacuna
