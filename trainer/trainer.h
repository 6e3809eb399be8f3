// Training, from the first step to the last.
#pragma once
#include <atomic>
#include <chrono>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "trainer/checkpoint/checkpoint_writer.h"
#include "trainer/evaluate/evaluation.h"
#include "trainer/fault.h"
#include "trainer/model/flat_storage.h"
#include "trainer/objective.h"
#include "trainer/optim/optimizer.h"
#include "trainer/optim/schedule.h"
#include "trainer/parallel/gradient_buckets.h"
#include "trainer/parallel/watchdog.h"
#include "trainer/report/run_folder.h"
#include "trainer/report/screen.h"
#include "trainer/step_stream.h"

namespace lacuna {

// When things happen, in steps; 0 = never.
struct TrainerPlan {
  int64_t first_step = 1, last_step = 0;
  int64_t tokens_per_step = 0, tokens_seen = 0;
  int64_t stop_after = 0, evaluate_every = 0, checkpoint_every = 0;
  double flops_per_token = 0;
};

// One rank's parts, put together by launch/assemble. All outlive the trainer.
struct TrainerParts {
  Mesh& mesh;
  Objective& objective;
  Architecture& architecture;
  FlatStorage& storage;
  Optimizer& optimizer;
  Schedule schedule;
  const StepSource& source;
  std::vector<std::pair<std::string, std::unique_ptr<Evaluation>>>& evaluations;
  EvaluationContext evaluation;
  CheckpointWriter& checkpoints;
  CheckpointMeta meta;             // what every checkpoint of this run says of itself
  std::vector<TensorSlice> extra;  // written beside the training state, such as the tokenizer
  GradientBuckets& buckets;
  Watchdog& watchdog;
  MetricsFile* metrics;  // rank 0 alone
  Screen& screen;
  Fault fault;
  const std::atomic<bool>& stop_requested;
};

class Trainer {
 public:
  Trainer(TrainerParts parts, TrainerPlan plan);

  enum class End { finished, stopped };
  // Trains from plan.first_step on. Stopped: on request or by stop_after, a checkpoint of the last step on disk.
  End run();
  int64_t step_done() const { return step_done_; }  // from any thread

 private:
  StepReport step(const StepInput& input);
  double count_targets(const StepInput& input);
  // What all ranks must know of each other once a step, in one message.
  struct Agreement {
    double loss = 0;
    std::vector<double> metrics;
    bool stop = false, checkpoint_written = false;
  };
  Agreement agree(double loss_sum, const std::vector<std::pair<std::string, at::Tensor>>& metrics, double targets);
  void refuse_not_finite(int64_t step, double loss, double norm, double own_loss);
  void report(const StepReport& report);
  void evaluate(int64_t step);
  void save(int64_t step);
  void commit_save();

  TrainerParts p_;
  TrainerPlan plan_;
  Agreement agreed_;
  std::atomic<int64_t> step_done_;  // the watchdog reads it
  int64_t saved_step_ = 0;
  std::chrono::steady_clock::time_point step_began_;  // before the step's data are waited for
};

}  // namespace lacuna
