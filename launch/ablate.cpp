#include <cstdio>

#include "data/error.h"
#include "launch/commands.h"

namespace lacuna {

void add_ablate(CLI::App& program, Command& chosen) {
  auto* command = program.add_subcommand("ablate", "Run every cell and seed of a study and report (not built yet)");
  struct Arguments {
    std::string study;
    bool resume = false;
  };
  auto arguments = std::make_shared<Arguments>();
  command->add_option("STUDY", arguments->study, "study, TOML")->required();
  command->add_flag("--resume", arguments->resume, "skip the cells that are done");
  command->footer("Example: lacuna ablate configs/ablation/study.toml");
  command->callback([&chosen] {
    chosen = [] {
      std::fprintf(stderr, "lacuna: ablate is not built yet; run its cells with lacuna train CONFIG --set section.key=value\n");
      return static_cast<int>(ExitCode::internal);
    };
  });
}

}  // namespace lacuna
