// What reading a corpus costs; run.py calls it and compares. Prints one JSON object.
//   loader_bench windows CORPUS                      random windows of 1025 tokens, read alone
//   loader_bench batches CORPUS                      the same as next-token batches of 12 rows, through sampler and prefetch
//   loader_bench train CONFIG CORPUS ROUNDS STEPS    training steps that take turns: with the loader, and on one fixed batch
#include <ATen/ops/full.h>
#include <ATen/ops/zeros.h>

#include <chrono>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "data/hdf5_corpus.h"
#include "data/prefetch.h"
#include "launch/assemble.h"
#include "launch/environment.h"
#include "objectives/next_token.h"
#include "trainer/optim/catalog.h"
#include "trainer/optim/gradient_norm.h"

namespace lacuna {
namespace {

constexpr int64_t kLength = 1024, kRows = 12;
constexpr double kSeconds = 1;
constexpr size_t kStepsAhead = 3;

class Stopwatch {
 public:
  double seconds() const { return std::chrono::duration<double>(std::chrono::steady_clock::now() - began_).count(); }

 private:
  std::chrono::steady_clock::time_point began_ = std::chrono::steady_clock::now();
};

// Windows per second over kSeconds, after a tenth of it that fills the page cache's maps.
template <class Read>
double windows_per_second(int64_t windows, const Read& read) {
  for (const Stopwatch warm_up; warm_up.seconds() < kSeconds / 10;) read();
  int64_t count = 0;
  const Stopwatch watch;
  while (watch.seconds() < kSeconds) {
    for (int i = 0; i < 10; ++i) read();
    count += 10 * windows;
  }
  return static_cast<double>(count) / watch.seconds();
}

nlohmann::json windows(const std::string& path) {
  const Hdf5Corpus corpus(path, kLength + 1, 1);
  Random random(1, 0);
  int64_t sum = 0;
  const double rate = windows_per_second(1, [&] { sum += corpus.at(random.below(corpus.size())).tokens.back(); });
  return {{"windows_per_second", rate}, {"checksum", sum}};
}

nlohmann::json batches(const std::string& path) {
  const NextToken objective({}, {.length = kLength});
  const auto corpus = std::make_shared<Hdf5Corpus>(path, objective.sample_length(), objective.sample_stride());
  const StepSource source({corpus}, {1.0}, objective, "next_token", 1,
                          {.global_size = kRows, .micro_size = kRows, .data_rank = 0, .data_size = 1});
  Prefetch<StepInput> inputs([&](int64_t step) { return source.at(step); }, 1, kStepsAhead);
  double targets = 0;
  const double rate = windows_per_second(kRows, [&] { targets += inputs.next().target_count; });
  return {{"windows_per_second", rate}, {"checksum", targets}};
}

// One rank's training step, as trainer.cpp has it, without reports.
struct Steps {
  Steps(const std::string& config, const std::string& corpus)
      : experiment(read_experiment(config, {"data.train=[" + nlohmann::json(corpus).dump() + "]"})),
        layout(lay_out(experiment, 1)),
        samples(sample_spec_of(experiment)),
        objective(make_objective(experiment, samples)),
        network(make_network(experiment, samples, *objective, *mesh)),
        source(make_source(experiment, samples, *objective, layout, 0)),
        storage(network->parameters, 1),
        optimizer(find_optimizer(experiment.optimizer).make(experiment.optimizer, storage)) {
    initialize(network->parameters, static_cast<uint64_t>(experiment.run.seed), 0, 1);
    network->architecture->train();
  }

  void step(const StepInput& input) {
    auto total = at::zeros({1}, at::kDouble);
    for (const auto& batch : input.micro_batches) {
      const auto sum = objective->loss(*network->architecture, batch).sum;
      sum.backward();
      total.add_(sum.detach());
    }
    const auto targets = at::full({1}, input.target_count, at::kDouble);
    optimizer->begin(++done, optimizer->learning_rate());
    optimizer->update(
        gradient_scale(squared_gradient_norm(storage, *mesh), targets, total, optimizer->clip_norm()).scale);
  }

  Experiment experiment;
  Layout layout;
  std::unique_ptr<Mesh> mesh = make_self_mesh();
  SampleSpec samples;
  std::unique_ptr<Objective> objective;
  std::unique_ptr<Network> network;
  StepSource source;
  FlatStorage storage;
  std::unique_ptr<Optimizer> optimizer;
  int64_t done = 0;
};

// Tokens per second of `count` steps after one that does not count; waiting for input counts.
template <class Next>
double tokens_per_second(Steps& steps, int64_t count, const Next& next) {
  steps.step(next());
  const Stopwatch watch;
  for (int64_t i = 0; i < count; ++i) steps.step(next());
  return static_cast<double>(count * steps.layout.tokens_per_step) / watch.seconds();
}

nlohmann::json train(const std::string& config, const std::string& corpus, int64_t rounds, int64_t count) {
  Steps steps(config, corpus);
  const StepInput fixed = steps.source.at(1);
  std::vector<double> loader, synthetic;
  for (int64_t round = 0; round < rounds; ++round) {
    {
      Prefetch<StepInput> inputs([&](int64_t step) { return steps.source.at(step); }, steps.done + 1, kStepsAhead);
      loader.push_back(tokens_per_second(steps, count, [&] { return inputs.next(); }));
    }
    synthetic.push_back(tokens_per_second(steps, count, [&]() -> const StepInput& { return fixed; }));
  }
  return {{"loader", loader}, {"synthetic", synthetic}};
}

int run(const std::vector<std::string>& arguments) {
  set_threads(1);
  nlohmann::json result;
  if (arguments.size() == 2 && arguments[0] == "windows") {
    result = windows(arguments[1]);
  } else if (arguments.size() == 2 && arguments[0] == "batches") {
    result = batches(arguments[1]);
  } else if (arguments.size() == 5 && arguments[0] == "train") {
    result = train(arguments[1], arguments[2], std::stoll(arguments[3]), std::stoll(arguments[4]));
  } else {
    throw usage_error("use: loader_bench windows CORPUS | batches CORPUS | train CONFIG CORPUS ROUNDS STEPS");
  }
  std::printf("%s\n", result.dump().c_str());
  return 0;
}

}  // namespace
}  // namespace lacuna

int main(int argc, char** argv) {
  lacuna::prepare_process();
  return lacuna::run_to_exit_code([&] { return lacuna::run({argv + 1, argv + argc}); });
}
