// The subcommands of `lacuna`: each adds itself, with its options, help and example, to the program. The command that the user
// picked leaves what it has to do in `chosen`, which main runs.
#pragma once
#include <CLI/CLI.hpp>
#include <functional>

namespace lacuna {

using Command = std::function<int()>;

void add_train(CLI::App& program, Command& chosen);
void add_evaluate(CLI::App& program, Command& chosen);
void add_generate(CLI::App& program, Command& chosen);
void add_ablate(CLI::App& program, Command& chosen);
void add_inspect(CLI::App& program, Command& chosen);

}  // namespace lacuna
