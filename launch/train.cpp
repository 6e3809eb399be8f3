#include <atomic>
#include <cstdio>
#include <map>
#include <optional>

#include "data/tokenizer/tokenizer.h"
#include "launch/assemble.h"
#include "launch/commands.h"
#include "launch/deterministic_price.h"
#include "launch/device.h"
#include "launch/dry_run.h"
#include "launch/environment.h"
#include "launch/peak.h"
#include "launch/rank_log.h"
#include "launch/run_facts.h"
#include "launch/run_start.h"
#include "launch/start_from.h"
#include "trainer/optim/catalog.h"
#include "trainer/trainer.h"
#include "trainer/training_state.h"

namespace lacuna {
namespace {

struct TrainArguments {
  std::string config;
  std::vector<std::string> sets;
  bool resume = false, dry_run = false;
  int world = 0;  // that a dry run asks about; 0: this one
  std::string machine;
};

int dry_run(const Experiment& experiment, const Layout& layout, const TrainArguments& arguments) {
  const auto mesh = make_planned_mesh(layout.world, layout.tensor);
  const auto samples = sample_spec_of(experiment);
  make_evaluations(experiment, samples);  // says what does not fit
  const auto objective = make_objective(experiment, samples);
  const auto network = make_network(experiment, samples, *objective, *mesh);
  auto table = describe_run(experiment, layout, *objective, *network, samples);
  if (layout.device != at::kCPU) {
    const auto cost = describe_cost(experiment, layout, *objective, *network, find_rates(arguments.machine));
    table.insert(table.end(), cost.begin(), cost.end());
  } else if (arguments.world > 0) {
    table.emplace_back("predicted step", "none: rates are of GPUs; --set run.device=cuda predicts one");
  }
  std::printf("%s\n%s", format_table(table).c_str(), resolved_config(experiment).c_str());
  return 0;
}

void tell_price(const DeviceSession& device, const Experiment& e, const Layout& layout, const Objective& objective,
                const Network& network, Table& table) {
  if (device.is_cpu() || !e.run.deterministic) return;
  const auto input = cost_of(e, layout, objective, network);
  table.emplace_back("deterministic", uses_fused_kernels(e) ? price_text(deterministic_price(input.work), input.micro_batches)
                                                            : "at a price that is measured for fused blocks only");
}

// Beside the banner: what MFU is a share of.
Peaks peaks_of(const DeviceSession& device, const Experiment& experiment, Table& table) {
  if (device.is_cpu()) return {};
  const auto promised = promised_flops(device.gpu(), experiment.precision);
  const Peaks peaks{.promised = promised.value_or(0), .measured = measured_flops(experiment.precision)};
  table.emplace_back("peak of a GPU",
                     (promised ? format_count(*promised) + "FLOP/s promised" : "not known of a " + device.gpu()) + ", " +
                         format_count(peaks.measured) + "FLOP/s measured");
  return peaks;
}

// Rank 0 alone is profiled.
Profile profile_of(const Experiment& e, const std::filesystem::path& folder, int rank) {
  const auto& steps = e.run.profile;
  if (steps.empty()) return {0, 0, {}};
  if (steps.size() != 2 || steps[1] < steps[0])
    throw e.run_section.error("profile", "it takes [first, last], two steps in order");
  return rank == 0 ? Profile(steps[0], steps[1], folder / "profile.json") : Profile(0, 0, {});
}

int train(const TrainArguments& arguments) {
  const auto experiment = read_experiment(arguments.config, arguments.sets);
  const auto resolved = resolved_config(experiment);
  if (launcher_rank() == 0) probe_corpora(experiment);
  const MpiSession mpi;
  const auto& stop_requested = listen_for_stop();
  const auto purpose = !arguments.dry_run ? Purpose::run : arguments.world > 0 ? Purpose::elsewhere : Purpose::dry_run;
  const auto layout = lay_out(experiment, arguments.world > 0 ? arguments.world : mpi.size(), purpose);
  check_fit(experiment, layout.tensor);
  const Fault fault(experiment.run.fault);
  set_threads(experiment.run.threads);
  if (arguments.dry_run) return mpi.rank() == 0 ? dry_run(experiment, layout, arguments) : 0;

  const auto recorder = std::make_shared<FlightRecorder>();
  const DeviceSession device(layout.device, experiment);
  const auto mesh = under_mpi() ? make_device_mesh(layout.tensor, device.device(), recorder) : make_self_mesh();
  const auto samples = sample_spec_of(experiment);
  auto evaluations = make_evaluations(experiment, samples);
  const auto objective = make_objective(experiment, samples);
  const auto network = make_network(experiment, samples, *objective, *mesh);
  const auto source = make_source(experiment, samples, *objective, layout, mesh->data().rank(), network->architecture.get());
  const auto validation = open_corpora(experiment.data.validation.paths, *objective);

  std::optional<Checkpoint> origin;  // what is wrong with it is told before a folder is made
  if (!arguments.resume) origin = open_origin(experiment, samples, mesh->world());

  mesh->world().barrier();  // the run's folder is touched only once every rank has what it needs
  auto run = start_run(experiment, resolved, arguments.resume, layout.steps, mesh->world());
  if (run.nothing_left) return 0;
  const FailureNote starting(run.folder, [&run] { return run.first_step - 1; });
  RankLog log(run.folder, mpi.rank());
  auto banner = describe_run(experiment, layout, *objective, *network, samples);
  if (mpi.rank() == 0) tell_price(device, experiment, layout, *objective, *network, banner);
  auto peaks = mpi.rank() == 0 ? peaks_of(device, experiment, banner) : Peaks{};
  peaks = {.promised = mpi.size() * peaks.promised, .measured = mpi.size() * peaks.measured};
  Screen screen(mpi.rank() == 0, layout.steps, peaks);
  screen.note(format_table(banner));
  log.write(format_table(banner));

  FlatStorage storage(network->parameters, layout.data, device.device(), compute_type(experiment),
                      sharding_of(experiment, layout, mesh->data().rank()));
  const auto optimizer = find_optimizer(experiment.optimizer).make(experiment.optimizer, storage);
  const auto hashes = corpus_hashes(experiment, samples, *objective);
  if (run.checkpoint) {
    check_corpora(*run.checkpoint, hashes);
    restore(*run.checkpoint, storage, optimizer.get(), *mesh);
    restore(*run.checkpoint, *objective, *mesh);
    screen.note("resumed from " + run.checkpoint->folder().string());
  } else {
    initialize(network->parameters, static_cast<uint64_t>(experiment.run.seed), mesh->tensor().rank(), mesh->tensor().size());
    if (arguments.resume) origin = open_origin(experiment, samples, mesh->world());  // the run had no checkpoint yet
    if (origin) begin_from(*origin, storage, *mesh, screen);
  }
  run.checkpoint.reset();
  origin.reset();

  CheckpointWriter checkpoints(mesh->world(), run.folder / "checkpoints", experiment.checkpoint.keep);
  GradientBuckets buckets(bucket_parameters(storage), storage.gradients(), mesh->data(), storage.layout());
  std::optional<SharedGradients> shared_gradients;
  if (network->architecture->splits_sequence()) shared_gradients.emplace(storage, mesh->tensor());
  std::optional<ParameterGather> gather;
  if (storage.is_sharded()) gather.emplace(bucket_parameters(storage), storage.parameters(), storage.layout(), mesh->data());
  network->architecture->gather_parameters(gather ? &*gather : nullptr);
  std::unique_ptr<MetricsFile> metrics;
  std::unique_ptr<EventFile> events;
  if (mpi.rank() == 0) {
    replace_file(run.folder / "run.json", run_facts(experiment, layout, *network, *objective).dump(2) + "\n");
    metrics = std::make_unique<MetricsFile>(run.folder / "metrics.jsonl");
    if (experiment.run.tensorboard) events = std::make_unique<EventFile>(run.folder, run.first_step);
  }
  std::atomic<const Trainer*> running = nullptr;
  Watchdog watchdog(
      experiment.run.watchdog, mpi.rank(), recorder,
      [&](const std::string& text) {
        std::fprintf(stderr, "lacuna: %s\n", text.c_str());
        log.write(text);
        const Trainer* started = running;
        write_status(run.folder, {.state = "failed",
                                  .exit_code = static_cast<int>(ExitCode::communication),
                                  .step = started != nullptr ? started->step_done() : run.first_step - 1,
                                  .message = text,
                                  .rank = mpi.rank()});
      },
      [&mesh] { return mesh->failure(); });
  const CheckpointMeta meta{.data = layout.data,
                            .tensor = layout.tensor,
                            .counters = {},
                            .corpus_hashes = hashes,
                            .config = resolved,
                            .code_version = LACUNA_VERSION};

  Trainer trainer({.mesh = *mesh,
                   .objective = *objective,
                   .architecture = *network->architecture,
                   .storage = storage,
                   .optimizer = *optimizer,
                   .schedule = Schedule(experiment.schedule.read<ScheduleOptions>(), layout.steps),
                   .source = source,
                   .evaluations = evaluations,
                   .evaluation = {.objective = *objective,
                                  .architecture = *network->architecture,
                                  .mesh = *mesh,
                                  .corpora = validation,
                                  .rows = experiment.evaluate.rows,
                                  .micro_size = layout.micro_size,
                                  .seed = static_cast<uint64_t>(experiment.run.seed),
                                  .device = device.device(),
                                  .tokenizer = samples.tokenizer,
                                  .length = experiment.batch.sequence_length,
                                  .grid = grid_of(experiment, samples.frames),
                                  .options = experiment.evaluate,
                                  .alive = [&] { watchdog.beat(running.load() != nullptr ? running.load()->step_done() : 0); },
                                  .show_progress = mpi.rank() == 0,
                                  .parameters = &network->parameters},
                   .checkpoints = checkpoints,
                   .meta = meta,
                   .extra = {sample_spec_slice(samples)},
                   .buckets = buckets,
                   .shared_gradients = shared_gradients ? &*shared_gradients : nullptr,
                   .gather = gather ? &*gather : nullptr,
                   .watchdog = watchdog,
                   .metrics = metrics.get(),
                   .events = events.get(),
                   .screen = screen,
                   .profile = profile_of(experiment, run.folder, mpi.rank()),
                   .fault = fault,
                   .stop_requested = stop_requested},
                  {.first_step = run.first_step,
                   .last_step = layout.steps,
                   .tokens_per_step = layout.tokens_per_step,
                   .tokens_seen = run.tokens_seen,
                   .stop_after = experiment.run.stop_after,
                   .evaluate_every = experiment.evaluate.every,
                   .checkpoint_every = experiment.checkpoint.every,
                   .steps_in_flight = device.is_cpu() ? 0 : 2,
                   .record_graphs = !device.is_cpu() && experiment.run.cuda_graphs && experiment.run.fault.empty() &&
                                    !experiment.run.reference_kernels,
                   .flops_per_token = flops_per_token(*objective, *network->architecture, layout.row_length)});
  const FailureNote training(run.folder, [&trainer] { return trainer.step_done(); });
  running = &trainer;
  const auto end = trainer.run();

  const bool stopped = end == Trainer::End::stopped;
  const auto code = static_cast<int>(stopped ? ExitCode::stopped : ExitCode::ok);
  if (mpi.rank() == 0) {
    write_status(run.folder,
                 {.state = stopped ? "stopped" : "finished", .exit_code = code, .step = trainer.step_done(), .message = {}});
  }
  screen.note(stopped ? "stopped on request after saving step " + std::to_string(trainer.step_done()) + "; continue with --resume"
                      : "finished: " + run.folder.string());
  return code;
}

}  // namespace

void add_train(CLI::App& program, Command& chosen) {
  auto* command = program.add_subcommand("train", "Train as a config says");
  auto arguments = std::make_shared<TrainArguments>();
  command->add_option("CONFIG", arguments->config, "experiment, TOML")->required();
  command->add_option("--set", arguments->sets, "section.key=value, over the file's; the value is TOML, a bare word a string");
  command->add_flag("--resume", arguments->resume, "go on from the newest good checkpoint of the run");
  auto* dry =
      command->add_flag("--dry-run", arguments->dry_run,
                        "print the resolved config, layout, parameters, memory and, for GPUs, the predicted step, and leave");
  command
      ->add_option("--world", arguments->world,
                   "with --dry-run: ranks of a job that need not be here; device \"auto\" is then a GPU")
      ->needs(dry)
      ->check(CLI::Range(1, 1 << 20));
  command
      ->add_option("--machine", arguments->machine,
                   "with --dry-run: rates to predict with, h200, h100 or a file; those of lacuna inspect --machine by default")
      ->needs(dry);
  command->footer(
      "Example: mpirun -n 2 lacuna train configs/quickstart.toml --set run.steps=500\n"
      "SIGUSR1, SIGTERM or Ctrl-C save and leave with code 75.");
  command->callback([arguments, &chosen] { chosen = [arguments] { return train(*arguments); }; });
}

}  // namespace lacuna
