// Training, from the first step to the last.
#pragma once
#include <atomic>
#include <chrono>
#include <deque>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "trainer/batch_slot.h"
#include "trainer/checkpoint/checkpoint_writer.h"
#include "trainer/evaluate/evaluation.h"
#include "trainer/fault.h"
#include "trainer/kernels/graph.h"
#include "trainer/model/flat_storage.h"
#include "trainer/objective.h"
#include "trainer/optim/optimizer.h"
#include "trainer/optim/schedule.h"
#include "trainer/optim/shared_gradients.h"
#include "trainer/parallel/gradient_buckets.h"
#include "trainer/parallel/parameter_gather.h"
#include "trainer/parallel/watchdog.h"
#include "trainer/readback.h"
#include "trainer/report/event_file.h"
#include "trainer/report/profile.h"
#include "trainer/report/run_folder.h"
#include "trainer/report/screen.h"
#include "trainer/step_stream.h"

namespace lacuna {

// When things happen, in steps (0 = never), and how far the host runs ahead of the device.
struct TrainerPlan {
  int64_t first_step = 1, last_step = 0;
  int64_t tokens_per_step = 0, tokens_seen = 0;
  int64_t stop_after = 0, evaluate_every = 0, checkpoint_every = 0;
  int64_t steps_in_flight = 0;  // queued on the device before their results are read
  bool record_graphs = false;
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
  SharedGradients* shared_gradients;  // null where every tensor rank computes them whole
  ParameterGather* gather;            // null where every rank updates all parameters
  Watchdog& watchdog;
  MetricsFile* metrics;  // rank 0 alone
  EventFile* events;     // rank 0 alone; null where run.tensorboard is off
  Screen& screen;
  Profile profile;
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
  using Clock = std::chrono::steady_clock;

  StepInput prepare(int64_t step);
  void step(const StepInput& input);
  void forget_recordings();
  void accumulate(bool first, bool last);
  void update();
  void add_total(int64_t total, const at::Tensor& sum);
  double rate(int64_t step) const;
  // Reads the oldest results until at most `in_flight` steps are unread.
  void report_until(int64_t in_flight);
  void refuse_not_finite(int64_t step, double loss, double norm, double own_loss);
  void write(const StepReport& report);
  void gather_all();
  void evaluate(int64_t step);
  void save(int64_t step);
  void commit_save();

  TrainerParts p_;
  TrainerPlan plan_;
  // Of a step's first micro-batch, where that gathers parameters; of one like the others; of the last one, with the update.
  GraphPool graphs_;
  Graph first_, accumulate_, last_;
  BatchSlot batch_;
  int64_t document_room_ = 0;  // of Batch::documents; the prefetch thread's
  at::Tensor totals_, results_;  // float64, on the device, as trainer.cpp numbers them
  bool spoiled_ = false;
  std::vector<std::string> metric_names_;
  Readback readback_;
  struct Started {
    int64_t step;
    Clock::time_point began;
  };
  std::deque<Started> started_;  // queued and not reported
  Clock::time_point reported_{};
  // What the last step that was read says of the world.
  struct Agreement {
    bool stop = false, checkpoint_written = false;
  };
  Agreement agreed_;
  std::atomic<int64_t> step_done_;  // the watchdog reads it
  int64_t saved_step_ = 0;
};

}  // namespace lacuna
