#include <ATen/ops/empty.h>
#include <ATen/ops/from_blob.h>

#include "data/tokenizer/tokenizer.h"
#include "launch/assemble.h"
#include "launch/commands.h"
#include "launch/device.h"
#include "launch/environment.h"
#include "trainer/checkpoint/checkpoints.h"
#include "trainer/evaluate/sampling.h"

namespace lacuna {
namespace {

struct GenerateArguments {
  std::string where, prompt;
  int64_t max_tokens = 100, seed = 1;
  SamplingOptions sampling;
};

int generate(const GenerateArguments& arguments) {
  const MpiSession mpi;
  set_threads(0);
  // All ranks share one copy of the network: generation is for one prompt.
  const std::vector<std::string> sets{"parallel.tensor=" + std::to_string(mpi.size())};
  const auto saved =
      read_experiment_text(open_checkpoint(arguments.where, Verify::sizes).meta().config, arguments.where, ".", sets);
  const DeviceSession device(choose_device(saved), saved);
  const auto mesh = under_mpi() ? make_device_mesh(mpi.size(), device.device()) : make_self_mesh();
  const auto restored = restore_network(arguments.where, sets, *mesh, device.device());
  if (!restored.samples.tokenizer)
    throw usage_error("the network reads frames; only one that was trained on text continues a prompt");
  const auto& tokenizer = *restored.samples.tokenizer;
  std::vector<int32_t> tokens;
  tokenizer.encode(arguments.prompt, tokens);
  if (tokens.empty()) tokens.push_back(tokenizer.end_token());  // the start of a document is what follows an end
  const auto text = continue_text(
      [&](int64_t rows) { return restored.objective->generate(*restored.network->architecture, rows); }, mesh->world(), tokens,
      {.max_tokens = arguments.max_tokens,
       .context = restored.experiment.batch.sequence_length,
       .vocabulary_size = restored.samples.vocabulary_size,
       .end_token = tokenizer.end_token()},
      arguments.sampling, static_cast<uint64_t>(arguments.seed));
  if (mpi.rank() == 0) std::printf("%s%s\n", arguments.prompt.c_str(), tokenizer.decode(text).c_str());
  return 0;
}

}  // namespace

void add_generate(CLI::App& program, Command& chosen) {
  auto* command = program.add_subcommand("generate", "Continue a prompt");
  auto arguments = std::make_shared<GenerateArguments>();
  auto& sampling = arguments->sampling;
  command->add_option("CHECKPOINT", arguments->where, "a run's folder (its newest good checkpoint) or a checkpoint's")
      ->required();
  command->add_option("--prompt", arguments->prompt, "text to continue")->required();
  command->add_option("--max-tokens", arguments->max_tokens, "tokens to add at most")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  command->add_option("--temperature", sampling.temperature, "divides the logits; 0 = always the likeliest token")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  command->add_option("--top-k", sampling.top_k, "sample among the k likeliest; 0 = all")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  command->add_option("--top-p", sampling.top_p, "sample among the likeliest that together have this probability")
      ->check(CLI::Range(0.0, 1.0))
      ->capture_default_str();
  command->add_option("--seed", arguments->seed, "the same seed gives the same text")->capture_default_str();
  command->footer("Example: lacuna generate runs/quickstart --prompt \"Apple\" --max-tokens 60 --temperature 0.8 --top-p 0.9");
  command->callback([arguments, &chosen] { chosen = [arguments] { return generate(*arguments); }; });
}

}  // namespace lacuna
