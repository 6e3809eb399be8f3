// The main of distributed_tests. Rank 0 prints; at the end of each test the failures of all ranks are gathered and become
// failures of rank 0, with the rank's number. The exit code is the same on every rank. A test that takes too long on a rank
// ends the job with its name. In tests, use EXPECT between collectives, and ASSERT only where all ranks decide alike.
//   --file=distributed/x_test.cpp   the tests of one file     --ranks=N   the world size that is asserted
//   --seconds=N                     limit of one test (60)
#include <gtest/gtest.h>
#include <mpi.h>
#include <unistd.h>

#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <mutex>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <vector>

#include "tests/support/file_filter.h"

namespace {

// Ends this process, and so the job, when a test overruns. A rank that failed may have left the others in a collective, so
// its failures are printed here: they would otherwise never be seen.
class TimeLimit {
 public:
  TimeLimit(int rank, int seconds) : rank_(rank), limit_(seconds), thread_([this] { watch(); }) {}
  ~TimeLimit() {
    {
      const std::lock_guard lock(mutex_);
      stopped_ = true;
    }
    changed_.notify_one();
    thread_.join();
  }
  void start(const std::string& test) {
    const std::lock_guard lock(mutex_);
    test_ = test;
    failures_.clear();
    deadline_ = std::chrono::steady_clock::now() + limit_;
  }
  void add_failure(const std::string& text) {
    const std::lock_guard lock(mutex_);
    failures_ += text;
  }
  void end() {
    const std::lock_guard lock(mutex_);
    test_.clear();
  }

 private:
  void watch() {
    std::unique_lock lock(mutex_);
    while (!changed_.wait_for(lock, std::chrono::milliseconds(200), [this] { return stopped_; })) {
      if (test_.empty() || std::chrono::steady_clock::now() < deadline_) continue;
      std::fprintf(stderr, "rank %d: %s ran longer than %ld s\n%s", rank_, test_.c_str(), static_cast<long>(limit_.count()),
                   failures_.c_str());
      std::fflush(nullptr);
      std::this_thread::sleep_for(std::chrono::seconds(1));  // the other ranks print theirs before the launcher ends them
      _exit(7);
    }
  }

  const int rank_;
  const std::chrono::seconds limit_;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool stopped_ = false;
  std::string test_, failures_;
  std::chrono::steady_clock::time_point deadline_;
  std::thread thread_;
};

class GatherFailures : public ::testing::EmptyTestEventListener {
 public:
  GatherFailures(MPI_Comm comm, TimeLimit& limit) : comm_(comm), limit_(limit) {
    MPI_Comm_rank(comm, &rank_);
    MPI_Comm_size(comm, &size_);
  }

  void OnTestStart(const ::testing::TestInfo& test) override {
    failures_ = nlohmann::json::array();
    limit_.start(std::string(test.test_suite_name()) + "." + test.name());
  }

  void OnTestPartResult(const ::testing::TestPartResult& part) override {
    if (!part.failed() || gathering_) return;
    const std::string file = part.file_name() ? part.file_name() : "";
    failures_.push_back({{"file", file}, {"line", part.line_number()}, {"message", part.message()}});
    limit_.add_failure(file + ":" + std::to_string(part.line_number()) + ": " + part.message() + "\n");
  }

  void OnTestEnd(const ::testing::TestInfo&) override {
    gathering_ = true;
    for (const auto& [rank, failure] : gather()) {
      const std::string file = failure["file"];
      ADD_FAILURE_AT(file.c_str(), failure["line"].get<int>())
          << "rank " << rank << ": " << failure["message"].get<std::string>();
    }
    gathering_ = false;
    limit_.end();
  }

 private:
  // Rank 0: the other ranks' failures. Elsewhere: nothing.
  std::vector<std::pair<int, nlohmann::json>> gather() const {
    const std::string mine = failures_.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
    const int length = static_cast<int>(mine.size());
    std::vector<int> lengths(size_), offsets(size_);
    MPI_Gather(&length, 1, MPI_INT, lengths.data(), 1, MPI_INT, 0, comm_);
    int total = 0;
    for (int rank = 0; rank < size_; ++rank) {
      offsets[rank] = total;
      total += lengths[rank];
    }
    std::string all(total, ' ');
    MPI_Gatherv(mine.data(), length, MPI_CHAR, all.data(), lengths.data(), offsets.data(), MPI_CHAR, 0, comm_);
    std::vector<std::pair<int, nlohmann::json>> failures;
    for (int rank = 1; rank_ == 0 && rank < size_; ++rank) {
      for (auto& failure : nlohmann::json::parse(all.substr(offsets[rank], lengths[rank]))) failures.emplace_back(rank, failure);
    }
    return failures;
  }

  MPI_Comm comm_;
  TimeLimit& limit_;
  int rank_ = 0, size_ = 1;
  bool gathering_ = false;
  nlohmann::json failures_;
};

// All tests on this rank; the result is the same on every rank.
int run(MPI_Comm comm, int rank, int seconds) {
  TimeLimit limit(rank, seconds);
  auto& listeners = ::testing::UnitTest::GetInstance()->listeners();
  if (rank != 0) delete listeners.Release(listeners.default_result_printer());
  listeners.Append(new GatherFailures(comm, limit));
  int failed = RUN_ALL_TESTS();
  MPI_Allreduce(MPI_IN_PLACE, &failed, 1, MPI_INT, MPI_LOR, comm);
  return failed;
}

}  // namespace

int main(int argc, char** argv) {
  int provided = 0, rank = 0, size = 1;
  MPI_Init_thread(&argc, &argv, MPI_THREAD_FUNNELED, &provided);
  MPI_Comm comm;  // apart from the tests' own traffic
  MPI_Comm_dup(MPI_COMM_WORLD, &comm);
  MPI_Comm_rank(comm, &rank);
  MPI_Comm_size(comm, &size);
  ::testing::InitGoogleTest(&argc, argv);

  using lacuna::testing::argument;
  const std::string file = argument(argc, argv, "file"), ranks = argument(argc, argv, "ranks");
  const std::string seconds = argument(argc, argv, "seconds");
  int code = 2;
  if (!ranks.empty() && std::stoi(ranks) != size) {
    std::fprintf(stderr, "the world has %d ranks and the test wants %s: is this mpirun of the MPI that was linked?\n", size,
                 ranks.c_str());
  } else if (!lacuna::testing::select_file(file)) {
    if (rank == 0) std::fprintf(stderr, "no test is defined in %s\n", file.c_str());
  } else {
    code = run(comm, rank, seconds.empty() ? 60 : std::stoi(seconds));
  }
  MPI_Comm_free(&comm);
  MPI_Finalize();
  return code;
}
