#include "launch/environment.h"

#include <ATen/Parallel.h>
#include <c10/util/Exception.h>
#include <c10/util/Logging.h>
#include <malloc.h>
#include <mpi.h>
#include <signal.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <new>
#include <system_error>
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
// The run that the failure under way belongs to, and its last step.
struct FailedRun {
  std::filesystem::path folder;
  int64_t step = 0;
};
FailedRun failed_run;

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
  // A mistake that every rank meets is told once: the others wait for rank 0, whose end ends them.
  if (rank != 0) std::this_thread::sleep_for(std::chrono::seconds(1));
  std::fprintf(stderr, "lacuna: %s%s\n", rank != 0 ? ("rank " + std::to_string(rank) + ": ").c_str() : "",
               message.c_str());
  std::fflush(nullptr);
  if (!failed_run.folder.empty()) {
    try {
      write_status(failed_run.folder,
                   {.state = "failed", .exit_code = number, .step = failed_run.step, .message = message, .rank = rank});
    } catch (const std::exception& error) {
      std::fprintf(stderr, "lacuna: %s\n", error.what());
    }
  }
  if (mpi_is_up()) MPI_Abort(MPI_COMM_WORLD, number);
  return number;
}

ExitCode code_of(const std::error_code& reason) {
  if (reason == std::errc::no_space_on_device || reason == std::errc::read_only_file_system) return ExitCode::disk;
  if (reason == std::errc::not_enough_memory) return ExitCode::memory;
  return ExitCode::internal;
}

constexpr const char* kOutOfMemory =
    "out of memory; lower batch.micro_size or the network's sizes: lacuna train CONFIG --dry-run "
    "shows what a run needs";

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
  FLAGS_caffe2_use_fatal_for_enforce = false;  // memory that runs out is an exception with a message, not an abort
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

FailureNote::FailureNote(std::filesystem::path run, std::function<int64_t()> step)
    : run_(std::move(run)), step_(std::move(step)), exceptions_(std::uncaught_exceptions()) {}

FailureNote::~FailureNote() {
  if (std::uncaught_exceptions() > exceptions_ && failed_run.folder.empty()) failed_run = {run_, step_()};
}

int run_to_exit_code(const std::function<int()>& command) {
  try {
    return command();
  } catch (const Error& error) {
    return leave(error.code(), error.what());
  } catch (const std::bad_alloc&) {
    return leave(ExitCode::memory, kOutOfMemory);
  } catch (const c10::Error& error) {
    const std::string message = error.what_without_backtrace();
    const bool memory = message.find("llocat") != std::string::npos && message.find("memory") != std::string::npos;
    return memory ? leave(ExitCode::memory, kOutOfMemory + (" (" + message + ")")) : leave(ExitCode::internal, message);
  } catch (const std::system_error& error) {
    return leave(code_of(error.code()), error.what());
  } catch (const std::exception& error) {
    return leave(ExitCode::internal, error.what());
  }
}

}  // namespace lacuna
