#include "data/open_corpus.h"
#include "launch/assemble.h"
#include "launch/commands.h"
#include "launch/device.h"
#include "launch/environment.h"
#include "trainer/checkpoint/checkpoints.h"
#include "trainer/evaluate/catalog.h"
#include "trainer/evaluate/scores.h"

namespace lacuna {
namespace {

struct EvaluateArguments {
  std::string where;
  std::vector<std::string> tasks, corpora, sets;
  bool json = false;
};

int evaluate(const EvaluateArguments& arguments) {
  const auto saved =
      read_experiment_text(open_checkpoint(arguments.where, Verify::sizes).meta().config, arguments.where, ".", arguments.sets);
  if (launcher_rank() == 0) {
    for (const auto& path : arguments.corpora.empty() ? saved.data.validation.paths : arguments.corpora) probe_corpus(path);
    for (const auto& path : saved.evaluate.probe.fit.paths) probe_corpus(path);
  }
  const MpiSession mpi;
  set_threads(saved.run.threads);
  const int64_t tensor = tensor_size_for(saved, mpi.size());
  if (tensor != saved.parallel.tensor && mpi.rank() == 0) {
    std::fprintf(stderr, "lacuna: trained with parallel.tensor = %lld, evaluated with %lld, which divides the %d ranks\n",
                 static_cast<long long>(saved.parallel.tensor), static_cast<long long>(tensor), mpi.size());
  }
  const DeviceSession device(choose_device(saved), saved);
  const auto mesh = under_mpi() ? make_device_mesh(tensor, device.device()) : make_self_mesh();
  const auto restored = restore_network(arguments.where, arguments.sets, *mesh, device.device());
  const auto& experiment = restored.experiment;
  const auto paths = arguments.corpora.empty() ? experiment.data.validation.paths : arguments.corpora;
  check_samples(paths, restored.samples, arguments.where);
  const auto& tasks = arguments.tasks.empty() ? experiment.evaluate.tasks : arguments.tasks;
  check_evaluations(experiment, tasks, restored.samples, !paths.empty());
  const auto corpora = open_corpora(paths, *restored.objective);
  const EvaluationContext context{.objective = *restored.objective,
                                  .architecture = *restored.network->architecture,
                                  .mesh = *mesh,
                                  .corpora = corpora,
                                  .rows = experiment.evaluate.rows,
                                  .micro_size = experiment.batch.micro_size == 0 ? 16 : experiment.batch.micro_size,
                                  .seed = static_cast<uint64_t>(experiment.run.seed),
                                  .device = device.device(),
                                  .tokenizer = restored.samples.tokenizer,
                                  .length = experiment.batch.sequence_length,
                                  .grid = grid_of(experiment, restored.samples.frames),
                                  .options = experiment.evaluate,
                                  .show_progress = mpi.rank() == 0,
                                  .parameters = &restored.network->parameters};
  auto lines = nlohmann::ordered_json::array();
  for (const auto& task : tasks) {
    for (const auto& result : find_evaluation(task).make()->run(context)) {
      nlohmann::ordered_json line{{"event", "evaluate"}, {"step", restored.step}};
      line.update(result);
      lines.push_back(line);
    }
  }
  if (mpi.rank() != 0) return 0;
  if (arguments.json) {
    std::printf("%s\n", lines.dump(2).c_str());
    return 0;
  }
  for (auto line : lines) {
    line.erase("event");
    std::printf("%s\n", readable(line).c_str());
  }
  return 0;
}

}  // namespace

void add_evaluate(CLI::App& program, Command& chosen) {
  auto* command = program.add_subcommand("evaluate", "Judge a checkpoint");
  auto arguments = std::make_shared<EvaluateArguments>();
  command->add_option("CHECKPOINT", arguments->where, "a run's folder (its newest good checkpoint) or a checkpoint's")
      ->required();
  command->add_option("--task", arguments->tasks, "evaluations; those of the config by default");
  command->add_option("--corpus", arguments->corpora, "corpora to judge on; data.validation by default");
  command->add_option("--set", arguments->sets, "section.key=value, over the checkpoint's config");
  command->add_flag("--json", arguments->json, "print a JSON list");
  command->footer("Example: lacuna evaluate runs/quickstart --task loss --json");
  command->callback([arguments, &chosen] { chosen = [arguments] { return evaluate(*arguments); }; });
}

}  // namespace lacuna
