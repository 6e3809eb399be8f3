// A job that loses a rank, for run_distributed.sh: lost_rank killed|lonely FOLDER. What this rank's watchdog reports, or its
// error tells, is written to FOLDER/rank-N.txt.
//   killed   every rank sums for ever; the last one is killed after some steps
//   lonely   every rank waits for a rank 1 that nobody starts
#include <ATen/ops/zeros.h>
#include <c10/cuda/CUDAFunctions.h>
#include <c10/cuda/CUDAStream.h>
#include <mpi.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <filesystem>
#include <fstream>

#include "data/error.h"
#include "trainer/parallel/connection_nccl.h"
#include "trainer/parallel/mesh.h"
#include "trainer/parallel/self_communicator.h"
#include "trainer/parallel/watchdog.h"

namespace lacuna {
namespace {

constexpr int kStepOfDeath = 5;

struct Lonely : SelfCommunicator {
  using SelfCommunicator::SelfCommunicator;
  int size() const override { return 2; }
};

[[noreturn]] void sum_for_ever(at::Device device, const std::filesystem::path& folder, const Watchdog::Report& report) {
  std::signal(SIGTERM, SIG_IGN);  // the launcher's first word; a training run hears it as a request to stop
  const auto recorder = std::make_shared<FlightRecorder>();
  const auto mesh = make_device_mesh(1, device, recorder);
  Communicator& axis = mesh->data();
  Watchdog watchdog(60, axis.rank(), recorder, report, [&] { return mesh->failure(); });
  at::Tensor values = at::zeros({1024}, at::TensorOptions(device));
  for (int step = 1;; ++step) {
    watchdog.beat(step);
    if (step == kStepOfDeath && axis.rank() == axis.size() - 1) {
      std::ofstream(folder / "killed").flush();  // its time is when it happened
      std::raise(SIGKILL);
    }
    axis.all_reduce(values, Reduce::sum);
    c10::cuda::device_synchronize();
  }
}

}  // namespace
}  // namespace lacuna

int main(int argc, char** argv) {
  using namespace lacuna;
  if (argc != 3) return 2;
  int provided = 0, rank = 0;
  MPI_Init_thread(&argc, &argv, MPI_THREAD_FUNNELED, &provided);
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  const auto report = [&](const std::string& text) {
    std::ofstream(std::filesystem::path(argv[2]) / ("rank-" + std::to_string(rank) + ".txt")) << text;
    std::fprintf(stderr, "rank %d: %s\n", rank, text.c_str());
  };
  const at::Device device(at::kCUDA, static_cast<c10::DeviceIndex>(local_rank() % c10::cuda::device_count()));
  try {
    if (std::string(argv[1]) == "killed") sum_for_ever(device, argv[2], report);
    Lonely host("data");
    connect_nccl(host, device, c10::cuda::getStreamFromPool(true, device.index()).stream(), std::chrono::seconds(3));
    report("connected with nobody");
  } catch (const std::exception& error) {
    report(error.what());
  }
  MPI_Barrier(MPI_COMM_WORLD);  // all have written
  _exit(static_cast<int>(ExitCode::communication));
}
