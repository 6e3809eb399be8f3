// The `lacuna` program: pick a subcommand, run it, leave with its code.
#include "launch/commands.h"
#include "launch/environment.h"
#include "launch/prepare.h"

int main(int argc, char** argv) {
  CLI::App program("Lacuna pretrains sequence models and compares ways of pretraining them.", "lacuna");
  program.require_subcommand(1);
  program.footer(
      "Exit codes: 0 ok, 2 usage or config, 3 data, 4 checkpoint, 5 numerical, 6 memory, 7 communication, 8 disk, "
      "70 internal, 75 stopped on request after saving.\nExample: mpirun -n 2 lacuna train configs/quickstart.toml");
  lacuna::Command chosen;
  lacuna::add_prepare(program, chosen);
  lacuna::add_train(program, chosen);
  lacuna::add_evaluate(program, chosen);
  lacuna::add_generate(program, chosen);
  lacuna::add_ablate(program, chosen);
  lacuna::add_inspect(program, chosen);
  try {
    program.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return program.exit(error) == 0 ? 0 : 2;
  }
  lacuna::prepare_process();
  return lacuna::run_to_exit_code(chosen);
}
