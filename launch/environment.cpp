#include "launch/environment.h"

#include <ATen/Parallel.h>
#include <malloc.h>
#include <mpi.h>
#include <signal.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <new>
#include <thread>

#include "data/error.h"
#include "trainer/report/run_folder.h"

// MKL, inside LibTorch, runs its AVX2 kernels on processors of other makers than Intel, AVX-512 or not. It asks this function;
// with the answer yes it goes by what the processor says of itself, which doubles the speed of matrix products there.
extern "C" int mkl_serv_intel_cpu_true();
extern "C" __attribute__((visibility("default"))) int mkl_serv_intel_cpu_true() { return 1; }

namespace lacuna {
namespace {

std::atomic<bool> stop_requested = false;
struct FailureNote {
  std::filesystem::path run;
  std::function<int64_t()> step;
};
FailureNote failure_note;

const char* first_set(std::initializer_list<const char*> names) {
  for (const auto* name : names) {
    if (const auto* value = std::getenv(name)) return value;
  }
  return nullptr;
}

void on_signal(int) {
  if (stop_requested.exchange(true)) ::_exit(static_cast<int>(ExitCode::stopped));
}

bool mpi_is_up() {
  int initialized = 0, finalized = 0;
  MPI_Initialized(&initialized);
  MPI_Finalized(&finalized);
  return initialized && !finalized;
}

int leave(ExitCode code, const std::string& message) {
  const int rank = launcher_rank(), number = static_cast<int>(code);
  const bool in_job = mpi_is_up();
  // A mistake that every rank meets is told once: the others wait for rank 0, whose abort ends them.
  if (in_job && rank != 0) std::this_thread::sleep_for(std::chrono::seconds(1));
  std::fprintf(stderr, "lacuna: %s%s\n", in_job && rank != 0 ? ("rank " + std::to_string(rank) + ": ").c_str() : "",
               message.c_str());
  std::fflush(nullptr);
  if (!failure_note.run.empty()) {
    try {
      write_status(failure_note.run,
                   {.state = "failed", .exit_code = number, .step = failure_note.step(), .message = message, .rank = rank});
    } catch (const Error& error) {
      std::fprintf(stderr, "lacuna: %s\n", error.what());
    }
  }
  if (in_job) MPI_Abort(MPI_COMM_WORLD, number);
  return number;
}

}  // namespace

bool under_mpi() { return first_set({"OMPI_COMM_WORLD_SIZE", "PMIX_RANK", "PMI_RANK"}) != nullptr; }

int launcher_rank() {
  const auto* rank = first_set({"OMPI_COMM_WORLD_RANK", "PMIX_RANK", "PMI_RANK"});
  return rank == nullptr ? 0 : std::atoi(rank);
}

void prepare_process() {
  // A training step frees and takes the same large blocks again and again. By default each goes back to the kernel and comes in
  // as fresh zeroed pages, which costs more than many of the operations on them.
  mallopt(M_MMAP_THRESHOLD, 1 << 30);
  mallopt(M_TRIM_THRESHOLD, -1);
  mallopt(M_TOP_PAD, 64 << 20);
  mallopt(M_ARENA_MAX, 2);
  at::set_num_interop_threads(1);
}

MpiSession::MpiSession() {
  if (!under_mpi()) return;
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);  // a rank does not outlive its launcher
  int provided = 0;
  if (MPI_Init_thread(nullptr, nullptr, MPI_THREAD_FUNNELED, &provided) != MPI_SUCCESS) {
    throw Error(ExitCode::communication, "MPI could not be initialised");
  }
  MPI_Comm_rank(MPI_COMM_WORLD, &rank_);
  MPI_Comm_size(MPI_COMM_WORLD, &size_);
}

MpiSession::~MpiSession() {
  // While an exception is on its way out the job is ended by MPI_Abort instead: finalising would wait for the other ranks.
  if (mpi_is_up() && std::uncaught_exceptions() == 0) MPI_Finalize();
}

int set_threads(int64_t asked) {
  int threads = static_cast<int>(asked);
  if (threads == 0) {
    if (const auto* value = std::getenv("OMP_NUM_THREADS")) {
      threads = std::atoi(value);
    } else {
      const auto* local = std::getenv("OMPI_COMM_WORLD_LOCAL_SIZE");
      threads = static_cast<int>(std::thread::hardware_concurrency()) / (local != nullptr ? std::atoi(local) : 1);
    }
  }
  threads = std::max(threads, 1);
  at::set_num_threads(threads);
  return threads;
}

const std::atomic<bool>& listen_for_stop() {
  struct sigaction action {};
  action.sa_handler = on_signal;
  action.sa_flags = SA_RESTART;
  for (const int signal : {SIGUSR1, SIGTERM, SIGINT}) ::sigaction(signal, &action, nullptr);
  return stop_requested;
}

void note_failures_in(const std::filesystem::path& run, std::function<int64_t()> step) { failure_note = {run, std::move(step)}; }

int run_to_exit_code(const std::function<int()>& command) {
  try {
    return command();
  } catch (const Error& error) {
    return leave(error.code(), error.what());
  } catch (const std::bad_alloc&) {
    return leave(ExitCode::memory, "out of memory; lacuna train CONFIG --dry-run shows what a run needs");
  } catch (const std::exception& error) {
    const std::string message = error.what();
    const bool memory = message.find("DefaultCPUAllocator") != std::string::npos;
    return leave(memory ? ExitCode::memory : ExitCode::internal, message);
  }
}

}  // namespace lacuna
